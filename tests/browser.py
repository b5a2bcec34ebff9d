"""A headless browser for tests, driven through the DevTools protocol with nothing but the standard library."""

from __future__ import annotations

import base64
import itertools
import json
import os
import re
import secrets
import shutil
import socket
import struct
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge")

DESKTOP, PHONE = 1280, 390
"""Widths at which pages are looked at, in pixels."""


def find_browser() -> str | None:
    """Returns the program of a browser that speaks the protocol: `$INSCAPE_BROWSER` or one on the path."""
    given = os.environ.get("INSCAPE_BROWSER")
    return given or next((path for name in NAMES if (path := shutil.which(name))), None)


class Browser:
    """A browser with one page, for a `with` block."""

    def __init__(self) -> None:
        program = find_browser()
        assert program is not None
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self._log = Path(self._profile.name) / "log"
        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", "--no-first-run"]
        flags += ["--disable-dev-shm-usage", "--hide-scrollbars", "--mute-audio", "--disable-extensions"]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [program, *flags, f"--user-data-dir={self._profile.name}/profile", "about:blank"], stderr=log
            )
        self._numbers = itertools.count(1)
        self.problems: list[str] = []
        """Errors that pages threw or wrote to their console."""
        try:
            self._socket = _connected(self._address())
            target = self._call("Target.createTarget", url="about:blank")["targetId"]
            self._session: str | None = None
            self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            for domain in ("Page", "Runtime", "Log", "Network"):
                self._call(f"{domain}.enable")
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the browser."""
        if getattr(self, "_socket", None) is not None:
            self._socket.close()
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._profile.cleanup()

    # ------------------------------------------------------------------------------------------------- a page

    def look(self, width: int, dark: bool = False, height: int = 900) -> None:
        """Sets what the page is seen on."""
        phone = width < 600
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._call("Emulation.setEmulatedMedia", features=[scheme])

    def open(self, url: str) -> None:
        """Goes to a page; returns when its own programs have run."""
        self._call("Page.navigate", url=url)
        self.wait(f"location.href.startsWith({json.dumps(url.split('#')[0])}) && document.readyState === 'complete'")

    def ask(self, script: str) -> Any:
        """Returns what a JavaScript expression is; a promise is waited for."""
        found = self._call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise AssertionError(f"{script}: {found['exceptionDetails']}")
        return found["result"].get("value")

    def wait(self, script: str, seconds: float = 30.0) -> Any:
        """Returns the value of an expression once it is true."""
        end = time.monotonic() + seconds
        while not (found := self.ask(f"(() => {{ try {{ return {script} }} catch {{ return false }} }})()")):
            assert time.monotonic() < end, f"{script} is not true after {seconds} s; {self.problems}"
            time.sleep(0.05)
        return found

    def click(self, selector: str, number: int = 0) -> None:
        """Clicks an element."""
        self.ask(f"document.querySelectorAll({json.dumps(selector)})[{number}].click()")

    def key(self, key: str) -> None:
        """Presses a key and lets it go."""
        for kind in ("keyDown", "keyUp"):
            text = {"text": key} if kind == "keyDown" and len(key) == 1 else {}
            self._call("Input.dispatchKeyEvent", type=kind, key=key, **text)

    def overflow(self) -> float:
        """Returns by how many pixels the page is wider than the window."""
        return float(self.ask("document.documentElement.scrollWidth - document.documentElement.clientWidth"))

    def picture(self) -> bytes:
        """Returns the whole page as a PNG."""
        found = self._call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        return base64.b64decode(found["data"])

    def pdf(self) -> bytes:
        """Returns the page as it is printed on A4."""
        found = self._call("Page.printToPDF", printBackground=True, paperWidth=8.27, paperHeight=11.69)
        return base64.b64decode(found["data"])

    # ----------------------------------------------------------------------------------------------- protocol

    def _address(self) -> str:
        end = time.monotonic() + 60
        while not (found := re.search(r"ws://\S+", self._log.read_text(errors="replace"))):
            assert time.monotonic() < end and self._process.poll() is None, self._log.read_text(errors="replace")[
                -2000:
            ]
            time.sleep(0.05)
        return found[0]

    def _call(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        message: dict[str, Any] = {"id": number, "method": method, "params": params}
        if getattr(self, "_session", None):
            message["sessionId"] = self._session
        _send(self._socket, json.dumps(message).encode())
        while True:
            answer = json.loads(_receive(self._socket))
            if answer.get("id") == number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                result: dict[str, Any] = answer["result"]
                return result
            self._note(answer)

    def _note(self, event: dict[str, Any]) -> None:
        params = event.get("params", {})
        if event.get("method") == "Runtime.exceptionThrown":
            self.problems.append(str(params["exceptionDetails"].get("exception", params)))
        elif event.get("method") == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.problems.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")


def _connected(address: str) -> socket.socket:
    """Returns a WebSocket, its handshake done (RFC 6455, section 4)."""
    place = urlsplit(address)
    connection = socket.create_connection((place.hostname, place.port), timeout=120)
    key = base64.b64encode(secrets.token_bytes(16)).decode()
    connection.sendall(
        f"GET {place.path} HTTP/1.1\r\nHost: {place.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        answer += connection.recv(1)
    assert answer.startswith(b"HTTP/1.1 101"), answer
    return connection


def _send(connection: socket.socket, data: bytes) -> None:
    """Sends one text frame, masked as a client's has to be (RFC 6455, section 5.2)."""
    size = len(data)
    head = bytes([0x81, 0x80 | (size if size < 126 else 126 if size < 1 << 16 else 127)])
    head += b"" if size < 126 else struct.pack("!H", size) if size < 1 << 16 else struct.pack("!Q", size)
    mask = secrets.token_bytes(4)
    repeated = mask * (size // 4 + 1)
    masked = int.from_bytes(data, "big") ^ int.from_bytes(repeated[:size], "big")
    connection.sendall(head + mask + masked.to_bytes(size, "big"))


def _receive(connection: socket.socket) -> bytes:
    """Returns the next message, of however many frames."""
    message = b""
    while True:
        first, second = _exactly(connection, 2)
        size = second & 0x7F
        if size > 125:
            size = int.from_bytes(_exactly(connection, 2 if size == 126 else 8), "big")
        payload = _exactly(connection, size)
        if first & 0x0F in (0, 1, 2):
            message += payload
            if first & 0x80:
                return message


def _exactly(connection: socket.socket, count: int) -> bytes:
    parts = bytearray()
    while len(parts) < count:
        part = connection.recv(count - len(parts))
        assert part, "the browser closed the connection"
        parts += part
    return bytes(parts)
