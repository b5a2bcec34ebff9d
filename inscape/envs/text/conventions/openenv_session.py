"""A session with an OpenEnv server: JSON over one websocket, one message answered by one."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Protocol
from urllib.parse import urlsplit

from inscape.envs.text.conventions.foreign import package
from inscape.errors import UsageError

LONGEST_MESSAGE = 16 << 20
"""Bytes of a server's message that are read at most."""

REFUSALS = ("VALIDATION_ERROR", "INVALID_JSON")
"""Codes of errors by which a server says that an action is none."""


class Connection(Protocol):
    """A websocket: what `websockets.sync.client.connect` returns."""

    def send(self, message: str, /) -> None: ...

    def recv(self, timeout: float | None = None) -> str | bytes:
        """Returns the next message; raises `TimeoutError`."""

    def close(self) -> None: ...


class Session:
    """A session: opened by the first message, and anew by the first after `close` or a failure.

    Args:
        url: `http://HOST:PORT`, `https://…`, `ws://…`, `wss://…`, or `HOST:PORT`.
        timeout: seconds to wait for an answer.
        connection: an open connection, in place of the first.

    """

    def __init__(self, url: str, timeout: float, connection: Connection | None = None) -> None:
        scheme, _, rest = url.partition("://") if "://" in url else ("http", "", url)
        try:
            host, _ = urlsplit(f"http://{rest}").hostname, urlsplit(f"http://{rest}").port
        except ValueError:
            host = None
        if scheme not in ("http", "https", "ws", "wss") or not host:
            raise UsageError(f"the address {url!r} of an OpenEnv server", expected="http://HOST:PORT")
        if not timeout > 0:
            raise UsageError(f"timeout = {timeout!r}", expected="seconds above 0")
        self.name, self.timeout, self._connection = f"openenv:{url}", timeout, connection
        self._http = f"http{'s' * (scheme in ('https', 'wss'))}://{rest.rstrip('/').removesuffix('/ws')}"

    def action_schema(self) -> dict[str, Any]:
        """Returns the JSON schema of the server's actions.

        Raises:
            UsageError: no server of OpenEnv's is there.
        """
        try:
            with urllib.request.urlopen(f"{self._http}/schema", timeout=self.timeout) as answer:
                schema = dict(json.loads(answer.read(LONGEST_MESSAGE))["action"])
                dict(schema.get("properties", {}))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UsageError(
                f"{self._http}/schema did not tell what actions are: {type(error).__name__}: {error}",
                expected="a server of OpenEnv 0.2 or later",
                hint="inscape serve FrozenLake --protocol openenv",
            ) from error
        return schema

    def ask(self, message: Mapping[str, Any], expected: str) -> dict[str, Any]:
        """Sends a message and returns the answer's data; those of a refused action are under `"refused"`.

        Raises:
            UsageError: there is no answer in time, it cannot be read, or it is an error. The session is closed.
        """
        try:
            connection = self._open()
            with suppress(Exception):  # a server that closed the connection may have said why before
                connection.send(json.dumps(message))
            reply = json.loads(connection.recv(timeout=self.timeout))
            kind, data = reply["type"], dict(reply["data"])
        except Exception as error:  # of a socket, of JSON, of its shape: what the session does now is unknown
            self.close()
            if isinstance(error, UsageError):
                raise
            late = isinstance(error, TimeoutError)
            found = f"no answer within {self.timeout:g} s" if late else f"{type(error).__name__}: {str(error)[:300]}"
            raise UsageError(
                f"{self.name}: {found}", expected=f"{expected} as JSON", hint="reset() opens a new session"
            ) from error
        if kind == expected:
            return data
        if kind == "error" and message["type"] == "step" and data.get("code") in REFUSALS:
            return {"refused": str(data.get("message"))}
        self.close()
        raise UsageError(
            f"{self.name} answered {kind!r}: {str(data.get('message', data))[:300]}", expected=f"{expected} as JSON"
        )

    def _open(self) -> Connection:
        if self._connection is None:
            connect = package("websockets.sync.client", "inscape[openenv]").connect
            address = f"ws{self._http.removeprefix('http')}/ws"
            opened = connect(address, open_timeout=self.timeout, max_size=LONGEST_MESSAGE)
            self._connection = opened.__enter__()  # left by `close`
        assert self._connection is not None
        return self._connection

    def close(self) -> None:
        """Ends the session."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):  # the other end may be gone
                connection.send('{"type": "close"}')
            with suppress(Exception):
                connection.close()
