"""A model behind a server, against a real one on this machine that answers, fails, hangs and talks nonsense."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from inscape import make_agent, resolve_task
from inscape.agents import evaluate
from inscape.agents.interface import can_learn
from inscape.agents.llm.generation.endpoint import Endpoint
from inscape.agents.llm.generation.endpoint_agent import EndpointAgent
from inscape.errors import UsageError
from inscape.trust import agent_code_names


class Server(ThreadingHTTPServer):
    """Answers sums; `script` says what comes instead, one entry a request."""

    daemon_threads = True
    script: list[Any]
    seen: list[dict[str, Any]]
    keys: list[str | None]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.seen.append(body)
        self.server.keys.append(self.headers["Authorization"])
        assert self.path == "/v1/chat/completions"
        step = self.server.script.pop(0) if self.server.script else None
        if step == "hang":
            time.sleep(1.0)
            return
        if step == "drop":
            self.connection.close()
            return
        if isinstance(step, tuple):
            status, headers, data = step
        else:
            question = body["messages"][-1]["content"]
            a, _sign, b, *_ = question.split()
            text = step if isinstance(step, str) else f"answer: {int(a) + int(b)}"
            done = {"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
            usage = {"prompt_tokens": 7, "completion_tokens": 3}
            status, headers, data = 200, {}, json.dumps({"choices": [done], "usage": usage}).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server(("127.0.0.1", 0), Handler)
    made.script, made.seen, made.keys = [], [], []
    thread = threading.Thread(target=made.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()


def url(server: Server) -> str:
    return f"http://127.0.0.1:{server.server_port}/v1"


QUESTION = [{"role": "user", "content": "2 + 3 = ?"}]


def test_it_acts_in_a_text_environment_and_counts(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    settings = {"endpoint": url(server), "model": "tiny", "temperature": 0.0}
    agent = make_agent("llm", resolve_task("Arithmetic"), settings=settings)
    assert isinstance(agent, EndpointAgent) and not can_learn(agent)
    assert evaluate(agent, agent.task, 12, 0).mean == 1.0
    assert (agent.usage.requests, agent.usage.prompt_tokens, agent.usage.answer_tokens) == (12, 84, 36)
    assert server.seen[0]["messages"][0]["role"] == "system" and server.seen[0]["temperature"] == 0.0
    assert set(server.keys) == {"Bearer secret"} and "secret" not in repr(agent.settings)


def test_it_remembers_the_turns_of_an_episode(server: Server) -> None:
    server.script = ["goto 1", "find a", "done"]
    task = resolve_task("TextRepair")
    agent = make_agent("llm", task, settings={"endpoint": url(server), "model": "tiny", "endpoint_parallel": 1})
    evaluate(agent, task, 1, 0)
    assert [len(body["messages"]) for body in server.seen] == [2, 4, 6]
    assert [m["role"] for m in server.seen[2]["messages"]] == ["system", *["user", "assistant"] * 2, "user"]


@pytest.mark.parametrize(
    "step",
    [
        (429, {"Retry-After": "0"}, b""),
        (503, {}, b"busy"),
        "drop",
        "hang",
        (200, {}, b"<html>"),
        (200, {}, b'{"choices": []}'),
        (200, {}, b"[" * 5000),
        (200, {}, b""),
    ],
    ids=str,
)
def test_what_passes_is_tried_again(server: Server, step: Any) -> None:
    waits: list[float] = []
    asked = Endpoint(url(server), "tiny", seconds=0.3, wait=0.5, sleep=waits.append)
    server.script = [step, step]
    assert asked.ask(QUESTION, 8).text == "answer: 5"
    assert asked.usage.retries == 2 and waits == ([0.0, 0.0] if isinstance(step, tuple) and step[1] else [0.5, 1.0])


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ((401, {}, b"no key"), "OPENAI_API_KEY"),
        ((404, {}, b""), "the model's name"),
        ((307, {"Location": "http://127.0.0.1:1/steal"}, b""), "status 307"),
        ((400, {}, b"context length exceeded \x1b[31m"), "context length"),
    ],
)
def test_what_does_not_pass_is_told_at_once(server: Server, step: Any, message: str) -> None:
    asked = Endpoint(url(server), "tiny", sleep=lambda seconds: None)
    server.script = [step] * 9
    with pytest.raises(UsageError, match=message) as told:
        asked.ask(QUESTION, 8)
    assert len(server.seen) == 1 and "\x1b" not in str(told.value)


def test_it_gives_up_in_the_end_and_says_why(server: Server) -> None:
    server.script = [(500, {}, b"out of memory")] * 3
    with pytest.raises(UsageError, match="after 3 tries; the last: status 500: out of memory"):
        Endpoint(url(server), "tiny", tries=3, sleep=lambda seconds: None).ask(QUESTION, 8)
    with pytest.raises(UsageError, match="has not answered"):
        Endpoint("http://127.0.0.1:9/v1", "tiny", tries=2, sleep=lambda seconds: None).ask(QUESTION, 8)


def test_answers_that_are_cut_or_missing(server: Server) -> None:
    def completion(content: Any, reason: str = "stop") -> tuple[int, dict[str, str], bytes]:
        choice = {"message": {"content": content}, "finish_reason": reason}
        return 200, {}, json.dumps({"choices": [choice], "usage": {"prompt_tokens": "many"}}).encode()

    asked = Endpoint(url(server), "tiny", prices=(1e6, 1e6))
    server.script = [completion("answer: 1", "length"), completion(None)]
    assert asked.ask(QUESTION, 8).cut and asked.ask(QUESTION, 8).text == ""
    assert asked.usage.cost == 0.0
    assert asked.ask(QUESTION, 8).text == "answer: 5" and asked.usage.cost == 10.0


def test_what_is_no_endpoint_is_refused() -> None:
    for given in ("", "ftp://x/v1", "127.0.0.1:80", "http://user:pass@host/v1", "http://host/v1?key=1"):
        with pytest.raises(UsageError, match="endpoint"):
            Endpoint(given, "tiny")
    with pytest.raises(UsageError, match="text:FrozenLake"):
        make_agent("llm", resolve_task("FrozenLake"), settings={"endpoint": "http://127.0.0.1:9/v1", "model": "tiny"})
    with pytest.raises(UsageError, match="model"):
        make_agent("llm", resolve_task("Arithmetic"), settings={"endpoint": "http://127.0.0.1:9/v1"})


def test_a_stored_endpoint_is_not_asked_without_trust() -> None:
    """A run that somebody sent must not make this machine send its key to a server of theirs."""
    assert agent_code_names("llm", {"endpoint": "https://somewhere.example/v1"})
    assert agent_code_names("llm", {"endpoint": "http://127.0.0.1:8000/v1"})
