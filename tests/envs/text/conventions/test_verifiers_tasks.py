"""Worlds as tasks of verifiers v1, loaded by verifiers' own loaders and played by a scripted agent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from inscape.envs import text_env

vf = pytest.importorskip("verifiers.v1", reason="the package verifiers is not installed")
pytestmark = pytest.mark.slow
ID = "inscape-verifiers"


class Scripted:
    """An agent of one seat that gives answers in turn, then leaves."""

    def __init__(self, answers: list[str]) -> None:
        self.answers, self.read, self.player = answers, list[str | None](), self
        self.rewards, self.info = dict[str, float](), dict[str, Any]()
        self.trace = self

    @asynccontextmanager
    async def interaction(self, task: Any) -> AsyncIterator[Scripted]:
        yield self

    async def turn(self, message: str | None = None) -> Any:
        self.read.append(message)
        if not self.answers:
            return vf.Segment(messages=[], terminated=True)
        return vf.Segment(messages=[], root_reply=self.answers.pop(0))

    def record_reward(self, name: str, value: float, weight: float) -> None:
        self.rewards[name] = value * weight


def test_same_seed_same_episode_through_verifiers() -> None:
    from verifiers.v1.utils import loaders

    config = loaders.taskset_config_type(ID)(id=ID, world="FrozenLake", episodes=60, penalty=0.25, max_turns=20)
    taskset = loaders.load_taskset(config)
    env_class = loaders.environment_class(ID)
    env = object.__new__(env_class)  # `run` alone: a model and its harness are verifiers' own
    direct, ends = text_env("FrozenLake", penalty=0.25, max_turns=20), set()
    words = ("left", "down", "nowhere", "right", "", "up")
    for task in taskset:
        seed = task.data.seed
        answers = [words[(seed * 7 + turn * (1 + seed % 5)) % len(words)] for turn in range(15 + seed % 10)]
        agent = Scripted(list(answers))
        asyncio.run(env.run(task, agent))
        text, _ = direct.reset(seed=seed)
        assert task.data.prompt == text and task.data.system_prompt == direct.instructions
        read, total, step = [None], 0.0, ("", 0.0, False, False, {"problems": {}})
        for answer in answers:
            step = direct.step(answer)
            total += step[1]
            if step[2] or step[3]:
                break
            read.append(step[0])
        assert agent.read == read
        assert agent.rewards == {"episode_return": pytest.approx(total, abs=1e-12)}
        ended = {"terminated": step[2], "truncated": step[3], "problems": step[4]["problems"], "turns": direct.turns}
        assert agent.info["episode"] == ended
        ends.add(step[2:4])
    assert ends == {(True, False), (False, True), (False, False)}
