"""The viewer as other programs meet it: who is answered, what is not served, and what becomes of streams."""

from __future__ import annotations

import http.client
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from inscape.errors import UsageError
from inscape.experiments.cli import main
from inscape.experiments.serving import server
from inscape.experiments.serving.app import App
from inscape.experiments.serving.guard import BODY_BYTES
from inscape.experiments.serving.server import Viewer


def ask(
    viewer: Viewer, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, bytes]:
    """Returns status and body of an answer; 0 where the connection was closed without one."""
    connection = http.client.HTTPConnection("127.0.0.1", viewer.port, timeout=20)
    try:
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in headers.items() if headers else ():
            connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (ConnectionError, http.client.BadStatusLine):
        return 0, b""
    finally:
        connection.close()


def good(viewer: Viewer, **changes: str | None) -> dict[str, str]:
    """Returns the headers of the viewer's own page, some changed; None leaves one out."""
    usual = {
        "Host": f"127.0.0.1:{viewer.port}",
        "Origin": f"http://127.0.0.1:{viewer.port}",
        "X-Inscape-Token": viewer.token,
        "Content-Type": "application/json",
    }
    named = {name.replace("_", "-"): value for name, value in changes.items()}
    return {name: value for name, value in {**usual, **named}.items() if value is not None}


def post(viewer: Viewer, path: str, values: Any) -> tuple[int, Any]:
    body = json.dumps(values).encode()
    status, answer = ask(viewer, "POST", path, body, good(viewer, Content_Length=str(len(body))))
    return status, json.loads(answer)


def get(viewer: Viewer, path: str) -> tuple[int, Any]:
    status, answer = ask(viewer, "GET", path, None, good(viewer, Content_Type=None))
    return status, json.loads(answer)


def test_its_own_page_is_answered(viewer: Viewer) -> None:
    status, page = ask(viewer, "GET", f"/?token={viewer.token}", None, {"Host": f"localhost:{viewer.port}"})
    assert status == 200
    assert b"<title>Runs</title>" in page
    status, found = get(viewer, "/api/runs")
    assert status == 200
    assert {run["id"] for run in found["runs"]} == {"first", "second"}
    for run in found["runs"]:
        assert (run["agent"], run["world"], run["steps"], run["total"]) == ("q-learning", "FourGoals", 400, 400)
        assert len(run["curve"][0]) == len(run["curve"][1]) >= 2
        assert not run["live"]
        assert not run["damage"]


METHODS = ("GET", "POST", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "PROPFIND")
PATHS = ("/", "/api/runs", "/api/play/new", "/api/changes", "/run?run=first")


def test_bad_requests_are_refused_on_every_method(viewer: Viewer) -> None:
    """Each of ten methods, with a wrong or missing token, a foreign host or origin, a bad body: none is answered."""
    wrong: list[dict[str, Any]] = [
        {"X_Inscape_Token": None}, {"X_Inscape_Token": viewer.token[:-1]}, {"X_Inscape_Token": viewer.token + "x"},
        {"X_Inscape_Token": "é"}, {"Host": None}, {"Host": "evil.example"}, {"Host": f"127.0.0.1:{viewer.port + 1}"},
        {"Host": "127.0.0.1"}, {"Host": f"evil.example:{viewer.port}"}, {"Origin": "null"},
        {"Origin": "http://evil.example"}, {"Origin": f"https://127.0.0.1:{viewer.port}"},
        {"Origin": f"http://127.0.0.1:{viewer.port}.evil.example"}, {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ]  # fmt: skip
    asked = 0
    for method, path, changes in itertools.islice(itertools.product(METHODS, PATHS, wrong), 0, None, 3):
        body = b"{}" if method == "POST" else None
        length = {"Content_Length": "2" if body else None}
        status, answer = ask(viewer, method, path, body, good(viewer, **length | changes))
        assert status in (0, 400, 403, 405, 501), (method, path, changes, status, answer)
        assert b"first" not in answer and b"token" not in answer.replace(b"the token is missing", b"")
        asked += 1
    for method in METHODS[2:]:  # also with everything right
        assert ask(viewer, method, "/", None, good(viewer))[0] in (0, 405, 501)
        asked += 1
    assert asked >= 200


@pytest.mark.parametrize(
    ("changes", "body", "status"),
    [
        ({"Content_Type": "text/plain"}, b"{}", 415),
        ({"Content_Type": "application/x-www-form-urlencoded"}, b"a=1", 415),
        ({"Content_Length": str(BODY_BYTES + 1)}, b"{}", 413),
        ({"Content_Length": "-1"}, b"", 411),
        ({"Content_Length": "2e3"}, b"", 411),
        ({"Transfer_Encoding": "chunked"}, b"0\r\n\r\n", 411),
        ({"Origin": None}, b"{}", 403),
        ({}, b"[]", 400),
        ({}, b"{", 400),
        ({}, b"[" * 100_000, 400),
        ({}, b'{"id": "../../etc/passwd"}', 404),
    ],
)
def test_bad_bodies_are_refused(viewer: Viewer, changes: dict[str, str], body: bytes, status: int) -> None:
    found, _ = ask(viewer, "POST", "/api/act", body, good(viewer, **{"Content_Length": str(len(body))} | changes))
    assert found in (status, 0)  # 0: it closed the connection, what was sent unread


@pytest.mark.parametrize(
    "path",
    ["/../../etc/passwd", "/view.js", "/api/curves?run=../first", "/api/curves?run=/etc", "/api/curves?run=..%2Ffirst",
     "/run?run=.", "/experiment?experiment=..", "/api/changes?run=%00", "//etc/passwd", "/%2e%2e/first/settings.json"],
)  # fmt: skip
def test_nothing_but_listed_runs_is_read(viewer: Viewer, path: str) -> None:
    status, answer = get(viewer, path)
    assert status == 404, (status, answer)


def test_two_hosts_in_one_request_are_refused(viewer: Viewer) -> None:
    with socket.create_connection(("127.0.0.1", viewer.port), timeout=10) as raw:
        own = f"Host: 127.0.0.1:{viewer.port}\r\n"
        raw.sendall(f"GET /?token={viewer.token} HTTP/1.1\r\n{own}Host: evil.example\r\n\r\n".encode())
        assert b" 403 " in raw.makefile("rb").readline()


def test_other_interfaces_are_not_listened_on(viewer: Viewer) -> None:
    assert viewer._server.socket.getsockname()[0] == "127.0.0.1"
    for address in {"127.0.0.2", *socket.gethostbyname_ex(socket.gethostname())[2]} - {"127.0.0.1"}:
        with socket.socket() as other:
            other.settimeout(2)
            assert other.connect_ex((address, viewer.port)) != 0


def open_stream(viewer: Viewer) -> socket.socket:
    raw = socket.create_connection(("127.0.0.1", viewer.port), timeout=20)
    raw.sendall(f"GET /api/changes?token={viewer.token} HTTP/1.1\r\nHost: 127.0.0.1:{viewer.port}\r\n\r\n".encode())
    return raw


def wait_until(viewer: Viewer, count: int) -> None:
    end = time.monotonic() + 30
    while viewer.open_streams != count:
        assert time.monotonic() < end, f"{viewer.open_streams} streams are open"
        time.sleep(0.01)


def test_dropped_streams_leave_no_slot_taken(viewer: Viewer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "POLL_SECONDS", 0.02)
    for number in range(200):
        raw = open_stream(viewer)
        if number % 2:
            raw.recv(64)
        if number % 4 > 1:  # with a reset in place of an end
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        raw.close()
    wait_until(viewer, 0)
    streams = [open_stream(viewer) for _ in range(server.STREAMS)]
    wait_until(viewer, server.STREAMS)
    with open_stream(viewer) as refused:
        assert b" 503 " in refused.makefile("rb").readline()
    for stream in streams:
        stream.close()
    wait_until(viewer, 0)


def test_a_stream_tells_of_a_run_that_grows_and_of_one_that_is_removed(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "POLL_SECONDS", 0.02)
    root = tmp_path / "runs"
    shutil.copytree(runs, root)
    app = App(root)
    viewer = app.viewer(0)
    viewer.start()
    try:
        with open_stream(viewer) as raw:
            lines = raw.makefile("rb")

            def event() -> Any:
                while not (line := lines.readline()).startswith(b"data: "):
                    assert line
                return json.loads(line[6:])

            before = event()
            with (root / "first/metrics.jsonl").open("a") as file:
                file.write('{"steps": 600, "episode_return": 9.5}\n')
            assert event() != before
            assert get(viewer, "/api/runs")[1]["runs"][0]["steps"] in (400, 600)
            status, found = post(viewer, "/api/episodes", {"run": "first"})
            assert status == 200
            shutil.rmtree(root / "first")
            while [name for name, _ in event()] != ["second"]:
                pass
        assert get(viewer, "/api/curves?run=first")[0] == 404
        assert post(viewer, "/api/prior", {"id": found["id"], "prior": dict.fromkeys("ABCD", 1)})[0] == 200
    finally:
        viewer.close()


def test_a_port_in_use(app: App, viewer: Viewer, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="which is free now"):
        app.viewer(viewer.port)
    with pytest.raises(UsageError, match="1 to 65535"):
        app.viewer(70000)
    monkeypatch.setattr(server, "FIRST_PORT", viewer.port)
    other = app.viewer()
    assert other.port != viewer.port
    other.close()


def test_a_folder_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["view", str(tmp_path / "none"), "--no-open"]) == 2
    assert "no folder" in capsys.readouterr().err


@pytest.mark.slow
def test_ctrl_c_ends_it_cleanly(runs: Path) -> None:
    command = [sys.executable, "-u", "-m", "inscape", "view", str(runs), "--port", "0", "--no-open"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    assert "http://127.0.0.1:" in process.stdout.readline()
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(20) == 0
    assert process.stdout.read().endswith("Stopped.\n")
