"""Worlds as tasks of verifiers v1 (https://github.com/PrimeIntellect-ai/verifiers): the environment plays the user.

A task is an episode: a world and a seed. Verifiers finds this by the taskset id `inscape-verifiers`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from inscape.envs.text.conventions.foreign import number, package, plain
from inscape.envs.text.interface import TextEnv
from inscape.envs.text.registry import text_env

vf: Any = package("verifiers.v1", "inscape[verifiers]")


class WorldData(vf.TaskData):  # type: ignore[misc]
    """One episode: the name of a world, the settings of its text environment, and the seed."""

    world: str
    seed: int
    settings: dict[str, Any]


class WorldTask(vf.Task[WorldData, vf.State, vf.TaskConfig]):  # type: ignore[misc]
    """An episode to play."""


class WorldTasksetConfig(vf.TasksetConfig):  # type: ignore[misc]
    """Which world, and which episodes."""

    world: str = "FrozenLake"
    """As `text_env` takes it."""
    first_seed: int = 0
    episodes: int = 1000
    penalty: float = 0.0
    """What an answer costs that names no action."""
    max_turns: int | None = None


class WorldTaskset(vf.Taskset[WorldTask, WorldTasksetConfig]):  # type: ignore[misc]
    """Episodes `first_seed`, `first_seed + 1`, … of a world."""

    def load(self) -> Iterator[WorldTask]:
        """Yields an episode for each seed; its prompt is the episode's first text."""
        given = {"penalty": self.config.penalty, "max_turns": self.config.max_turns}
        settings = {name: value for name, value in given.items() if value}
        env = text_env(self.config.world, **settings)
        for seed in range(self.config.first_seed, self.config.first_seed + self.config.episodes):
            data = WorldData(
                name=f"{env.name}#{seed}",
                prompt=env.reset(seed=seed)[0],
                system_prompt=env.instructions or None,
                world=self.config.world,
                seed=seed,
                settings=settings,
            )
            yield WorldTask(data, self.config.task)


class WorldEnvConfig(vf.EnvConfig):  # type: ignore[misc]
    """One player."""

    player: vf.AgentConfig = vf.AgentConfig()


class WorldEnv(vf.Env[WorldEnvConfig]):  # type: ignore[misc]
    """Plays an episode: each reply is an answer, what the world says is the next message of the user.

    The trace's reward `episode_return` is the sum of rewards; its `info["episode"]` says how the episode ended and
    which answers had problems. An episode that the agent leaves counts as neither terminated nor truncated.
    """

    async def run(self, task: Any, agents: Any) -> None:
        """Plays one episode."""
        env: TextEnv = text_env(task.data.world, **task.data.settings)
        env.reset(seed=task.data.seed)
        total, told = 0.0, dict[str, Any](terminated=False, truncated=False, problems={})
        async with agents.player.interaction(task) as interaction:
            segment = await interaction.turn()
            while not segment.terminated:
                text, reward, terminated, truncated, info = env.step(segment.last_reply)
                total += number(reward, env.name)
                told = {"terminated": terminated, "truncated": truncated, "problems": plain(info["problems"])}
                if terminated or truncated:
                    break
                segment = await interaction.turn(text)
        interaction.trace.record_reward("episode_return", total, 1.0)
        interaction.trace.info["episode"] = {**told, "turns": env.turns}
        env.close()


__all__ = ["WorldEnv", "WorldTaskset"]
