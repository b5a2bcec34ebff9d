"""Worlds served by OpenEnv's own server and played by its own client and by ours."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from inscape.envs import text_env
from inscape.errors import UsageError
from inscape.experiments.cli import main

pytest.importorskip("openenv", reason="the package openenv is not installed")
pytest.importorskip("websockets", reason="the package websockets is not installed")
pytestmark = pytest.mark.slow

SESSIONS = 8


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    import uvicorn

    from inscape.envs.text.conventions.openenv_server import openenv_app

    app = openenv_app("FrozenLake", sessions=SESSIONS, penalty=0.25, max_turns=30)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    yield f"127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


def test_same_episodes_by_our_client_and_by_theirs(address: str) -> None:
    from openenv.core.generic_client import GenericEnvClient

    direct = text_env("FrozenLake", penalty=0.25, max_turns=30)
    ours = text_env(f"openenv:http://{address}")
    words = ("left", "down", "jump", "right", "", "up", "action: down")
    with GenericEnvClient(base_url=f"http://{address}").sync() as theirs:
        for seed in range(20):
            text, _ = direct.reset(seed=seed)
            assert ours.reset(seed=seed, options={"episode_id": f"e{seed}"})[0] == text
            assert theirs.reset(seed=seed).observation["text"] == text
            over, turn = False, 0
            while not over:
                answer = words[(seed * 5 + turn * (1 + seed % 3)) % len(words)]
                known, got, other = direct.step(answer), ours.step(answer), theirs.step({"text": answer})
                assert known[:4] == got[:4]
                assert known[4].get("problem") == got[4].get("problem")
                assert (known[0], known[1]) == (other.observation["text"], other.reward)
                assert other.done == (known[2] or known[3])
                assert (other.metadata["terminated"], other.metadata["truncated"]) == known[2:4]
                over, turn = known[2] or known[3], turn + 1
            state = ours.state()
            assert (state["episode_id"], state["step_count"]) == (f"e{seed}", turn)
    ours.close()


def test_two_hundred_dropped_connections_leak_no_slot(address: str) -> None:
    from websockets.sync.client import connect

    for number in range(200):
        socket = connect(f"ws://{address}/ws").__enter__()
        if number % 2:
            socket.send(json.dumps({"type": "reset", "data": {"seed": number}}))
        socket.socket.close()  # without a closing handshake: the client died
        if number % 4 == 3:
            time.sleep(0.02)  # else more would be open at a time than there are slots
    deadline, open_ones = time.monotonic() + 20, list[Any]()
    while len(open_ones) < SESSIONS and time.monotonic() < deadline:
        one = text_env(f"openenv:{address}")
        try:
            one.reset(seed=0)
            open_ones.append(one)
        except UsageError:
            time.sleep(0.2)
    assert len(open_ones) == SESSIONS  # every slot is free again
    with pytest.raises(UsageError, match="capacity"):
        text_env(f"openenv:{address}").reset(seed=0)
    for one in open_ones:
        one.close()


def test_malformed_calls_are_refused_and_the_session_goes_on(address: str) -> None:
    from websockets.sync.client import connect

    with connect(f"ws://{address}/ws") as socket:
        socket.send(json.dumps({"type": "reset", "data": {"seed": 3}}))
        first = json.loads(socket.recv())["data"]["observation"]["text"]
        bad = ['{"type": "step", "data": {}}', '{"type": "step", "data": {"text": 3}}', "{", '{"type": "x"}',
               '{"type": "step", "data": {"text": "left", "y": 1}}']  # fmt: skip
        for number in range(1000):
            socket.send(bad[number % len(bad)])
            assert json.loads(socket.recv())["type"] == "error"
        socket.send('{"type": "state"}')
        assert json.loads(socket.recv())["data"]["step_count"] == 0
        socket.send(json.dumps({"type": "step", "data": {"text": "nowhere"}}))
        reply = json.loads(socket.recv())["data"]
    assert reply["reward"] == -0.25 and first.splitlines()[0] in reply["observation"]["text"]


@pytest.mark.parametrize("headers", [{"Origin": "http://evil.example"}, {"Host": "evil.example"}])
def test_pages_of_other_sites_are_not_answered(address: str, headers: dict[str, str]) -> None:
    request = urllib.request.Request(f"http://{address}/schema", headers=headers)
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(request)


def test_idle_sessions_end() -> None:
    import uvicorn

    from inscape.envs.text.conventions.openenv_server import openenv_app

    app = openenv_app("FrozenLake", sessions=1, idle_seconds=1.0)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    url = f"openenv:127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    idle = text_env(url)
    idle.reset(seed=0)
    deadline = time.monotonic() + 30
    while True:
        try:
            text_env(url).reset(seed=0)
            break
        except UsageError:
            assert time.monotonic() < deadline, "the idle session kept its slot"
            time.sleep(0.3)
    with pytest.raises(UsageError):
        idle.step("left")
    server.should_exit = True
    thread.join()


def test_the_folder_is_one_that_openenv_takes(tmp_path: Path) -> None:
    yaml = pytest.importorskip("yaml")
    assert main(["serve", "FrozenLake", "--write", str(tmp_path / "lake")]) == 0
    manifest = yaml.safe_load((tmp_path / "lake" / "openenv.yaml").read_text())
    assert (manifest["spec_version"], manifest["name"], manifest["app"]) == (1, "frozenlake", "server.app:app")
    assert main(["serve", "FrozenLake", "--write", str(tmp_path / "lake")]) == 2
