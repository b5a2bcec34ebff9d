"""The HTTP server of `inscape view`: routes behind the guard, one thread a request, few open streams."""

from __future__ import annotations

import contextvars
import json
import logging
import secrets
import select
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from inscape.errors import UsageError
from inscape.experiments.serving.guard import ADDRESS, Guard, Refusal

JSON = Any

FIRST_PORT = 8631
"""The port taken when none is asked for; if it is in use, another that is free."""

STREAMS = 32
"""Streams open at a time: each holds a thread while a page is open."""

POLL_SECONDS = 0.5
"""Between two looks at what a stream reports, and at whether the page is still there."""

REQUEST_SECONDS = 15.0
"""How long a client may take to send its request."""

WAITING = 64
"""Requests answered at a time; further ones are turned away at once."""

HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class NotFoundError(UsageError):
    """What a request names is not there (any more)."""


@dataclass(frozen=True)
class Page:
    """A whole HTML page."""

    html: str


@dataclass(frozen=True)
class Stream:
    """An event stream: `look()` is called every `POLL_SECONDS`; what differs from the last time is sent."""

    look: Callable[[], JSON]


Answer = Page | Stream | JSON
Route = Callable[[Mapping[str, Any]], Answer]


class Viewer:
    """A server on 127.0.0.1.

    Args:
        routes: (method, path) → what answers. It is given the query's or the body's values by name.
        port: to listen on; 0 for any; None for `FIRST_PORT`, or any if that is in use.

    Raises:
        UsageError: the port is in use, or is no port.

    Attributes:
        token: that every request has to carry.
        port: that is listened on.
        open_streams: how many streams are open.
    """

    def __init__(self, routes: Mapping[tuple[str, str], Route], port: int | None = None) -> None:
        self.routes = routes
        self.token = secrets.token_urlsafe(24)
        self.stopping = threading.Event()
        self._server = _listening(port)
        self.port = int(self._server.server_address[1])
        self._server.viewer = self
        self.guard = Guard(self.token, self.port)
        self._streams = threading.BoundedSemaphore(STREAMS)
        self._counting = threading.Lock()
        self.open_streams = 0
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """The address to open, token included."""
        return f"http://{ADDRESS}:{self.port}/?token={self.token}"

    def serve(self) -> None:
        """Serves until `close` is called or Ctrl-C is pressed."""
        self._server.serve_forever(poll_interval=0.1)

    def start(self) -> None:
        """Serves in a thread, until `close`."""
        context = contextvars.copy_context()
        self._thread = threading.Thread(target=lambda: context.run(self.serve), name="inscape-view", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends the streams and stops listening."""
        self.stopping.set()
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    @contextmanager
    def stream_slot(self) -> Iterator[bool]:
        """Yields whether a stream may be opened; its slot is free again after the block, however it ends."""
        free = self._streams.acquire(blocking=False)
        if free:
            with self._counting:
                self.open_streams += 1
        try:
            yield free
        finally:
            if free:
                with self._counting:
                    self.open_streams -= 1
                self._streams.release()


def _listening(port: int | None) -> _Server:
    if port is not None and not 0 <= port <= 65535:
        raise UsageError(f"--port {port}", expected="a number from 1 to 65535, or 0 for any that is free")
    try:
        return _Server((ADDRESS, FIRST_PORT if port is None else port), _Handler)
    except OSError as error:
        if port is None:
            return _Server((ADDRESS, 0), _Handler)
        with socket.socket() as probe:
            probe.bind((ADDRESS, 0))
            free = probe.getsockname()[1]
        raise UsageError(
            f"port {port} cannot be listened on: {error.strerror or error}",
            expected="a port that is free",
            hint=f"--port {free}, which is free now, or no --port",
        ) from error


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    viewer: Viewer

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self._context = contextvars.copy_context()  # --trust holds in the threads too
        self._room = threading.BoundedSemaphore(WAITING + STREAMS)
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._room.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            self._context.copy().run(super().process_request_thread, request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        logging.getLogger("inscape").debug("A request to the viewer was not answered.", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = REQUEST_SECONDS
    server_version, sys_version = "inscape", ""

    def do_GET(self) -> None:
        self._answer()

    do_POST = do_HEAD = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_TRACE = do_CONNECT = do_GET

    def _answer(self) -> None:
        viewer = self.server.viewer
        headers: dict[str, list[str]] = {}
        for name, value in self.headers.items():
            headers.setdefault(name.lower(), []).append(value.strip())
        try:
            address = urlsplit(self.path)
            query = {name: values[-1] for name, values in parse_qs(address.query, max_num_fields=50).items()}
        except ValueError:
            return self._refuse(Refusal(400, "the address cannot be read"))
        has_body = bool(headers.get("content-length", ["0"]) != ["0"] or headers.get("transfer-encoding"))
        refused = viewer.guard.refusal(self.command, headers, query.pop("token", None), has_body)
        if refused is None and self.command == "POST":
            refused = viewer.guard.body_refusal(headers)
        if refused is not None:
            return self._refuse(refused)
        route = viewer.routes.get((self.command, address.path))
        if route is None:
            known = {path for _, path in viewer.routes}
            return self._refuse(Refusal(405 if address.path in known else 404, "nothing is served there"))
        given: Mapping[str, Any] = query
        if self.command == "POST":
            try:
                given = json.loads(self.rfile.read(int(headers["content-length"][0])))
            except (ValueError, RecursionError, OSError):
                return self._refuse(Refusal(400, "the body is not JSON"))
            if not isinstance(given, dict):
                return self._refuse(Refusal(400, "the body is no JSON object"))
        self._run(route, given)

    def _run(self, route: Route, given: Mapping[str, Any]) -> None:
        try:
            answer = route(given)
        except NotFoundError as error:
            return self._send(404, {"error": str(error)})
        except (UsageError, OSError) as error:
            return self._send(400, {"error": str(error)})
        except Exception as error:  # of code that a run names: the page says it, the server goes on
            logging.getLogger("inscape").debug("Answering %s", self.path, exc_info=True)
            return self._send(500, {"error": f"{type(error).__name__}: {error}"})
        if isinstance(answer, Stream):
            self._stream(answer)
        else:
            self._send(200, answer)

    def _refuse(self, refusal: Refusal) -> None:
        self._send(refusal.status, {"error": refusal.reason})

    def _send(self, status: int, answer: Page | JSON) -> None:
        page = isinstance(answer, Page)
        text = answer.html if isinstance(answer, Page) else json.dumps(answer, separators=(",", ":"), allow_nan=False)
        data = text.encode("utf-8", "replace")
        with suppress(OSError):  # the page is gone
            self._begin(status, "text/html" if page else "application/json", len(data))
            if self.command != "HEAD":
                self.wfile.write(data)

    def _begin(self, status: int, kind: str, length: int | None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        if length is not None:
            self.send_header("Content-Length", str(length))
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.end_headers()

    def _stream(self, stream: Stream) -> None:
        """Sends events until the page is closed or the server stops."""
        viewer = self.server.viewer
        with viewer.stream_slot() as free:
            if not free:
                return self._refuse(Refusal(503, f"{STREAMS} pages are open: close one"))
            last: JSON = None
            with suppress(OSError):  # a page that was closed
                self._begin(200, "text/event-stream", None)
                while not viewer.stopping.is_set():
                    try:
                        found = stream.look()
                    except (UsageError, OSError) as error:
                        found = {"error": str(error)}
                    if found != last:
                        self.wfile.write(f"data: {json.dumps(found, separators=(',', ':'))}\n\n".encode())
                        last = found
                    if self._left():
                        break

    def _left(self) -> bool:
        """Waits until the next look, and returns whether the client closed its end meanwhile."""
        readable, _, _ = select.select([self.connection], [], [], POLL_SECONDS)
        return bool(readable) and not self.connection.recv(1024)

    def version_string(self) -> str:
        return self.server_version

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing: the terminal belongs to the user."""
