"""Models behind a server that speaks OpenAI's protocol: chat completions over HTTP, with retries, counts and costs."""

from __future__ import annotations

import http.client
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

from inscape.errors import UsageError, printable, whole_number

KEY = "OPENAI_API_KEY"
"""Environment variable that the key is read from; it is stored nowhere."""
MOST_BYTES = 1 << 24
"""Longest answer that is read."""
AGAIN = (408, 409, 425, 429, 500, 502, 503, 504)
"""Statuses after which a request is made again."""

Message = Mapping[str, str]


@dataclass(frozen=True)
class Said:
    """What a server answered.

    Attributes:
        text: the answer.
        cut: whether it ended because its budget was used up.
    """

    text: str
    cut: bool


@dataclass
class Usage:
    """What has been asked of a server so far.

    Attributes:
        requests, retries: of them answered, and made again.
        prompt_tokens, answer_tokens: as the server counts; 0 where it does not say.
        cost: of these tokens, in the currency of the prices.
    """

    requests: int = 0
    retries: int = 0
    prompt_tokens: int = 0
    answer_tokens: int = 0
    cost: float = 0.0


@dataclass
class Endpoint:
    """A server of chat completions.

        server = Endpoint("http://127.0.0.1:8000/v1", "my-model")
        server.ask([{"role": "user", "content": "2 + 2 = ?"}], most=8).text

    The key, where the server asks for one, is read from the environment (`OPENAI_API_KEY`) at each request, and sent to
    no other server: redirections are refused.

    Args:
        url: up to `/v1`.
        model: its name there.
        temperature, top_p: as the server understands them; None leaves them to it.
        seconds: a request may take.
        tries: of a request.
        wait: seconds before the second try; doubled with each, unless the server says how long (`Retry-After`).
        parallel: requests at once.
        prices: of a million tokens of prompts and of answers.
        sleep: waits; tests hand in their own.

    Attributes:
        usage: what was asked so far.

    Raises:
        UsageError: no URL of a server, or numbers out of range.
    """

    url: str
    model: str
    temperature: float | None = None
    top_p: float | None = None
    seconds: float = 60.0
    tries: int = 5
    wait: float = 1.0
    parallel: int = 8
    prices: tuple[float, float] = (0.0, 0.0)
    sleep: Callable[[float], None] = time.sleep
    usage: Usage = field(default_factory=Usage)

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.username:
            raise UsageError(
                f"the endpoint {printable(self.url)!r}",
                expected="http://HOST:PORT/v1 or https://…",
                hint=f"a key belongs into the environment, as {KEY}" if parts.username or parts.query else "",
            )
        if not self.model:
            raise UsageError("an endpoint without a model's name", expected="--model NAME, as the server calls it")
        for name in ("tries", "parallel"):
            whole_number(f"{name} =", getattr(self, name), 1)
        if not self.seconds > 0 or not self.wait >= 0:
            raise UsageError(f"seconds {self.seconds}, wait {self.wait}", expected="above 0, at least 0")
        self._parts, self._lock = parts, Lock()

    def ask_all(self, talks: Sequence[Sequence[Message]], most: int, stop: Sequence[str] = ()) -> list[Said]:
        """Returns an answer to each of B conversations, `parallel` at once.

        Raises:
            UsageError: as `ask`; requests that are under way are waited for.
        """
        with ThreadPoolExecutor(self.parallel) as pool:
            return list(pool.map(lambda talk: self.ask(talk, most, stop), talks))

    def ask(self, messages: Sequence[Message], most: int, stop: Sequence[str] = ()) -> Said:
        """Returns the answer to a conversation.

        Args:
            messages: `{"role", "content"}` each, the newest last.
            most: tokens of the answer.
            stop: texts that end it; servers leave them out of the answer.

        Raises:
            UsageError: the server cannot be reached, refuses, answers something else than the protocol has, or goes on
                failing; the message says which, and how often it was tried.
        """
        body: dict[str, Any] = {"model": self.model, "messages": [dict(m) for m in messages], "max_tokens": most}
        body |= {"stop": list(stop)} if stop else {}
        given = {"temperature": self.temperature, "top_p": self.top_p}
        body |= {name: value for name, value in given.items() if value is not None}
        wait, last = self.wait, ""
        for number in range(self.tries):
            if number:
                with self._lock:
                    self.usage.retries += 1
                self.sleep(wait)
                wait *= 2
            try:
                status, headers, data = self._post(body)
            except (OSError, http.client.HTTPException) as error:
                last = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
                continue
            if status == 200:
                said = self._read(data)
                if said is not None:
                    return said
                last = f"no chat completion: {printable(data[:80].decode('utf-8', 'replace'))!r}"
                continue
            last = f"status {status}: {printable(data[:200].decode('utf-8', 'replace'))}"
            if status not in AGAIN:
                raise self._refused(status, last)
            wait = _asked_for(headers.get("Retry-After"), wait)
        raise UsageError(
            f"{self.url} has not answered after {self.tries} tries; the last: {last}",
            expected="a chat completion",
            hint="look at the server; more patience with --endpoint-seconds",
        )

    def _refused(self, status: int, what: str) -> UsageError:
        hint = {
            401: f"the key in {KEY}",
            403: f"the key in {KEY}",
            404: f"the URL (up to /v1), and the model's name ({self.model})",
            400: "shorter prompts, or a larger model context",
        }.get(status, "the server's own log")
        return UsageError(f"{self.url} refused: {what}", expected="a chat completion", hint=hint)

    def _post(self, body: Mapping[str, Any]) -> tuple[int, Mapping[str, str], bytes]:
        made = http.client.HTTPSConnection if self._parts.scheme == "https" else http.client.HTTPConnection
        connection = made(self._parts.hostname or "", self._parts.port, timeout=self.seconds)
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if key := os.environ.get(KEY):
            headers["Authorization"] = f"Bearer {key}"
        ends = time.monotonic() + self.seconds
        try:
            path = f"{self._parts.path.rstrip('/')}/chat/completions"
            connection.request("POST", path, json.dumps(body).encode(), headers)
            response = connection.getresponse()
            data = bytearray()
            while chunk := response.read1(1 << 16):
                data += chunk
                if len(data) > MOST_BYTES or time.monotonic() > ends:  # a byte now and then would never time out
                    raise TimeoutError(f"{len(data):,} bytes in {self.seconds:g} s, without an end")
            return response.status, dict(response.getheaders()), bytes(data)
        finally:
            connection.close()

    def _read(self, data: bytes) -> Said | None:
        """Returns the answer in what a server sent; None where it is none."""
        try:
            document = json.loads(data)
            choice = document["choices"][0]
            text = choice["message"]["content"]
        except (ValueError, LookupError, TypeError, RecursionError):
            return None
        if not isinstance(text, str):  # None where a model only called tools, or was filtered
            text = ""
        counted = document.get("usage") if isinstance(document.get("usage"), dict) else {}
        prompt, answer = (_count(counted.get(name)) for name in ("prompt_tokens", "completion_tokens"))
        with self._lock:
            used = self.usage
            used.requests += 1
            used.prompt_tokens += prompt
            used.answer_tokens += answer
            used.cost += (prompt * self.prices[0] + answer * self.prices[1]) / 1e6
        return Said(text, choice.get("finish_reason") == "length")


def _count(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else 0


def _asked_for(header: str | None, wait: float) -> float:
    """Returns the seconds to wait, as a server says, at most a minute; a date is not read."""
    try:
        asked = float(header or "")
    except ValueError:
        return wait
    return min(asked, 60.0) if asked >= 0 else wait
