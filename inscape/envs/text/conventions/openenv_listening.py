"""Listening for an application, and who is answered."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from inscape.envs.text.conventions.foreign import package
from inscape.errors import UsageError

INSTALL = "inscape[openenv]"
LOCAL = ("127.0.0.1", "localhost", "::1")
Scope = Mapping[str, Any]


class LocalOnly:
    """Answers requests to this machine's own names only, and none from pages of other sites (DNS rebinding)."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Callable[[], Awaitable[Any]], send: Callable[..., Any]) -> None:
        if scope["type"] in ("http", "websocket"):
            headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
            named = [f"http://{headers.get(b'host', '')}", headers.get(b"origin", "http://localhost")]
            if any(urlsplit(one).hostname not in LOCAL for one in named):
                if scope["type"] == "websocket":
                    await receive()
                    await send({"type": "websocket.close", "code": 1008})
                    return
                await send({"type": "http.response.start", "status": 403, "headers": []})
                await send({"type": "http.response.body", "body": b"only this machine is answered"})
                return
        await self.app(scope, receive, send)


def listening(app: Any, host: str, port: int) -> tuple[socket.socket, Callable[[], None]]:
    """Returns a socket that listens, and what serves the application on it until Ctrl-C.

    Raises:
        UsageError: the port cannot be listened on.
    """
    uvicorn = package("uvicorn", INSTALL)
    try:
        listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise UsageError(
            f"{host}:{port} cannot be listened on: {error.strerror or error}",
            expected="a port that is free",
            hint="--port 0",
        ) from error
    config = uvicorn.Config(app, log_level="warning", ws_max_size=1 << 20)
    return listener, lambda: uvicorn.Server(config).run(sockets=[listener])
