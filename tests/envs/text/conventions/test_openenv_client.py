"""Environments of OpenEnv's protocol, played through a scripted connection: no package, no network."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from inscape.envs import text_env
from inscape.envs.text.conventions.openenv_client import OpenEnvClient
from inscape.errors import UsageError

TEXT = {"properties": {"text": {"type": "string"}, "metadata": {"type": "object"}}, "required": ["text"]}
MOVE = {"properties": {"row": {"type": "integer"}, "column": {"type": "integer"}}, "required": ["row", "column"]}


class Scripted:
    """A connection whose server answers by a function."""

    def __init__(self, answer: Callable[[dict[str, Any]], Any]) -> None:
        self.answer, self.sent, self.closed = answer, list[dict[str, Any]](), False

    def send(self, message: str, /) -> None:
        self.sent.append(json.loads(message))

    def recv(self, timeout: float | None = None) -> str:
        answer = self.answer(self.sent[-1])
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, str) else json.dumps(answer)

    def close(self) -> None:
        self.closed = True


def seen(text: str, reward: Any = 0.0, done: bool = False, **metadata: Any) -> dict[str, Any]:
    observation = {"text": text, "metadata": metadata}
    return {"type": "observation", "data": {"observation": observation, "reward": reward, "done": done}}


def client(answer: Callable[[dict[str, Any]], Any], schema: Any = TEXT, **settings: Any) -> OpenEnvClient:
    return OpenEnvClient("http://nowhere:1", connection=Scripted(answer), schema=schema, **settings)


def world_behind(name: str, **settings: Any) -> Callable[[dict[str, Any]], Any]:
    """Speaks the protocol for one of our worlds, without the package."""
    env = text_env(name, **settings)

    def answer(message: dict[str, Any]) -> Any:
        if message["type"] == "reset":
            return seen(env.reset(seed=message["data"]["seed"])[0], None)
        if message["type"] == "state":
            return {"type": "state", "data": {"step_count": env.turns}}
        text, reward, terminated, truncated, info = env.step(message["data"]["text"])
        flags = {"terminated": terminated, "truncated": truncated}
        return seen(text, reward, terminated or truncated, problem=info.get("problem"), **flags)

    return answer


def test_same_seed_same_episode_through_the_protocol() -> None:
    direct, served = (
        text_env("FrozenLake", penalty=0.25, max_turns=20),
        client(world_behind("FrozenLake", penalty=0.25, max_turns=20)),
    )
    words = ("left", "down", "nowhere", "right", "", "up", "action: down")
    ends = set()
    for seed in range(60):
        assert direct.reset(seed=seed)[0] == served.reset(seed=seed)[0]
        over, turn = False, 0
        while not over:
            answer = words[(seed * 7 + turn * (1 + seed % 5)) % len(words)]
            ours, theirs = direct.step(answer), served.step(answer)
            assert ours[:4] == theirs[:4]
            assert ours[4].get("problem") == theirs[4].get("problem")
            assert ours[4]["problems"] == theirs[4]["problems"]
            over, turn = ours[2] or ours[3], turn + 1
        assert served.state() == {"step_count": turn}
        ends.add((ours[2], ours[3]))
    assert ends == {(True, False), (False, True)}  # both kinds of end were met, and kept apart


def test_a_done_without_flags_is_terminated() -> None:
    env = client(lambda m: seen("x", 1.0, m["type"] == "step"))
    env.reset(seed=0)
    assert env.step("a")[1:4] == (1.0, True, False)


@pytest.mark.parametrize(
    "reply", [TimeoutError(), "garbage", "[1]", "null", '{"type": "observation"}', "{}", OSError("gone")]
)
def test_servers_that_hang_drop_or_send_garbage(reply: Any) -> None:
    env = client(lambda m: seen("begun") if m["type"] == "reset" else reply, timeout=0.5)
    env.reset(seed=0)
    with pytest.raises(UsageError, match=r"no answer within 0.5 s|as JSON"):
        env.step("left")
    with pytest.raises(UsageError, match="reset"):
        env.step("left")  # the session is closed, nothing was guessed
    assert env.session._connection is None


@pytest.mark.parametrize("reward", [float("nan"), float("inf"), "much", [1.0]])
def test_rewards_that_are_no_numbers(reward: Any) -> None:
    env = client(lambda m: seen("x", reward if m["type"] == "step" else None))
    env.reset(seed=0)
    with pytest.raises(UsageError, match="finite number"):
        env.step("left")


def test_missing_rewards_are_refused_or_what_is_said() -> None:
    env = client(lambda m: seen("x", None))
    env.reset(seed=0)
    with pytest.raises(UsageError, match="missing_reward"):
        env.step("left")
    env = client(lambda m: seen("x", None), missing_reward=0.0)
    env.reset(seed=0)
    assert env.step("left")[1] == 0.0


@pytest.mark.parametrize("error", ["CAPACITY_REACHED", "EXECUTION_ERROR", "SESSION_ERROR"])
def test_errors_of_the_server_are_told(error: str) -> None:
    env = client(lambda m: {"type": "error", "data": {"message": "all slots taken", "code": error}})
    with pytest.raises(UsageError, match="all slots taken"):
        env.reset(seed=0)


def test_a_thousand_malformed_calls_are_counted_and_move_nothing() -> None:
    def answer(message: dict[str, Any]) -> Any:
        if message["type"] == "step" and set(message["data"]) != {"row", "column"}:
            return {"type": "error", "data": {"message": "Invalid message", "code": "VALIDATION_ERROR"}}
        return seen("board", 1.0 if message["type"] == "step" else None)

    env = client(answer, MOVE)
    env.penalty = 0.1
    assert "row" in env.instructions
    env.reset(seed=0)
    calls = [
        "",
        "{",
        "[1]",
        "null",
        '{"row": 1}',
        "left",
        '{"row": 1, "column": 2, "x": 3}',
        "[" * 5000,
        "\ud800",
        "{}",
    ]
    for number in range(1000):
        text, reward, terminated, truncated, info = env.step(calls[number % len(calls)])
        assert (text, reward, terminated, truncated) == ("board", -0.1, False, False)
    assert info["problems"] == {"malformed": 1000}
    assert env.step('{"row": 1, "column": 2}')[1] == 1.0


@pytest.mark.parametrize("url", ["", "ftp://host", "http://", "http://host:port", "http://[::1"])
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(UsageError, match="HOST:PORT"):
        text_env(f"openenv:{url}") if url else OpenEnvClient(url)


def test_no_server_there() -> None:
    with pytest.raises(UsageError, match="inscape serve"):
        text_env("openenv:http://127.0.0.1:9", timeout=2)
