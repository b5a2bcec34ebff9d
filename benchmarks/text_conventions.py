"""Same seed, same episode through every adapter of text environments, beside the world played directly.

python -m benchmarks.text_conventions --episodes 1000
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

import inscape  # noqa: F401  registers the worlds with Gymnasium
from inscape.envs import text_env

PENALTY, MAX_TURNS = 0.25, 40
BAD = ("", "nowhere", "left or right", "action:")


class Episode(NamedTuple):
    """What an agent meets in an episode."""

    texts: tuple[str, ...]
    rewards: tuple[float, ...]
    end: tuple[bool, bool]


Play = Callable[[str, int, list[str]], Episode]


def answers_of(actions: tuple[str, ...], seed: int) -> list[str]:
    """Returns an episode's answers: random actions, one of ten that names none."""
    rng = random.Random(seed)
    return [rng.choice(BAD) if rng.random() < 0.1 else f"action: {rng.choice(actions)}" for _ in range(MAX_TURNS)]


def play(env: Any, seed: int, answers: list[str]) -> Episode:
    """Plays an environment of Gymnasium's and GEM's convention."""
    texts, rewards, end = [env.reset(seed=seed)[0]], [], (False, False)
    for answer in answers:
        text, reward, terminated, truncated, _ = env.step(answer)
        texts.append(text)
        rewards.append(reward)
        end = (terminated, truncated)
        if terminated or truncated:
            break
    return Episode(tuple(texts), tuple(rewards), end)


def lawful(env: Any, names: tuple[str, ...], seed: int, answers: list[str], episode: Episode) -> bool:
    """Returns whether `gym.make` gives the same rewards and end for the actions that were understood."""
    env.reset(seed=seed)
    for turn, reward in enumerate(episode.rewards):
        word = answers[turn].removeprefix("action: ")
        if word not in names:
            if reward != -PENALTY:
                return False
            continue
        _, known, terminated, truncated, _ = env.step(np.int64(names.index(word)))
        if known != reward:
            return False
        if terminated or truncated:
            return turn == len(episode.rewards) - 1 and episode.end == (terminated, truncated)
    return not episode.end[0]


def by_gem() -> Play:
    from inscape.envs.text.conventions.gem_env import gem_env

    made: dict[str, Any] = {}

    def one(world: str, seed: int, answers: list[str]) -> Episode:
        if world not in made:
            made[world] = gem_env(world, penalty=PENALTY, max_turns=MAX_TURNS)
        return play(made[world], seed, answers)

    return one


def by_trl() -> Play:
    from inscape.envs.text.conventions.trl_env import ENDED, trl_environment

    made: dict[str, Any] = {}

    def one(world: str, seed: int, answers: list[str]) -> Episode:
        if world not in made:
            made[world] = trl_environment(world, penalty=PENALTY, max_turns=MAX_TURNS)()
        env = made[world]
        texts, totals = [env.reset(seed=seed)], [0.0]
        for answer in answers:
            text = env.act(answer)
            texts.append(text.removesuffix(f"\n{ENDED}"))
            totals.append(env.get_reward())
            if text.endswith(ENDED):
                break
        return Episode(tuple(texts), (totals[-1],), (False, False))

    return one


def by_verifiers() -> Play:
    from inscape.envs.text.conventions.verifiers_tasks import WorldEnv, WorldTaskset, WorldTasksetConfig

    def one(world: str, seed: int, answers: list[str]) -> Episode:
        config = WorldTasksetConfig(world=world, first_seed=seed, episodes=1, penalty=PENALTY, max_turns=MAX_TURNS)
        (task,) = WorldTaskset(config)
        texts, given, trace = [task.data.prompt], iter(answers), SimpleNamespace(info={}, reward=0.0)
        trace.record_reward = lambda name, value, weight: setattr(trace, "reward", value)

        async def turn(text: str | None = None) -> Any:
            if text is not None:
                texts.append(text)
            return SimpleNamespace(terminated=False, last_reply=next(given))

        @contextmanager
        def opened(task: Any) -> Iterator[Any]:
            yield SimpleNamespace(turn=turn, trace=trace)

        class Seat:
            def interaction(self, task: Any) -> Any:
                return _Asynchronous(opened(task))

        asyncio.run(WorldEnv.run(object.__new__(WorldEnv), task, SimpleNamespace(player=Seat())))
        told = trace.info["episode"]
        return Episode(tuple(texts), (trace.reward,), (told["terminated"], told["truncated"]))

    return one


class _Asynchronous:
    def __init__(self, manager: Any) -> None:
        self.manager = manager

    async def __aenter__(self) -> Any:
        return self.manager.__enter__()

    async def __aexit__(self, *error: Any) -> None:
        self.manager.__exit__(*error)


def by_openenv() -> Play:
    import uvicorn

    from inscape.envs.text.conventions.openenv_server import openenv_app

    made: dict[str, Any] = {}

    def one(world: str, seed: int, answers: list[str]) -> Episode:
        if world not in made:
            app = openenv_app(world, penalty=PENALTY, max_turns=MAX_TURNS)
            server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error"))
            threading.Thread(target=server.run, daemon=True).start()
            while not server.started:
                time.sleep(0.05)
            made[world] = text_env(f"openenv:127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}")
        return play(made[world], seed, answers)

    return one


ADAPTERS: dict[str, tuple[str, Callable[[], Play]]] = {
    "GEM": ("gem", by_gem),
    "OpenEnv (served and played over a websocket)": ("openenv", by_openenv),
    "TRL environment_factory": ("trl", by_trl),
    "verifiers v1": ("verifiers", by_verifiers),
}
WHOLE = ("GEM", "OpenEnv (served and played over a websocket)")
"""Adapters that tell rewards of single steps; the others tell the return."""


def same(name: str, got: Episode, known: Episode) -> bool:
    """Returns whether an adapter's episode is the world's, as far as it tells."""
    if name in WHOLE:
        return got == known
    texts = known.texts if name.startswith("TRL") else known.texts[: len(got.texts)]
    enough = len(got.texts) >= len(known.texts) - 1
    ends = name.startswith("TRL") or got.end == known.end
    return enough and ends and got.texts == texts and got.rewards[0] == sum(known.rewards)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=1000)
    parser.add_argument("--worlds", nargs="+", default=["FrozenLake", "CliffWalking"])
    given = parser.parse_args()
    print("| adapter | world | same episodes | turns/s |\n|---|---|---:|---:|")
    for world in given.worlds:
        direct = text_env(world, penalty=PENALTY, max_turns=MAX_TURNS)
        seeds = range(given.episodes)
        answers = [answers_of(direct.actions, seed) for seed in seeds]
        begun = time.perf_counter()
        known = [play(direct, seed, answers[seed]) for seed in seeds]
        turns = sum(len(episode.rewards) for episode in known)
        rate = turns / (time.perf_counter() - begun)
        law = gym.make(f"inscape/{world}-v0")
        right = sum(lawful(law, direct.actions, seed, answers[seed], known[seed]) for seed in seeds)
        print(f"| `text_env`, against `gym.make` | {world} | {right} of {given.episodes} | {rate:,.0f} |", flush=True)
        for name, (package, make) in ADAPTERS.items():
            if importlib.util.find_spec(package) is None:
                print(f"| {name} | {world} | not measured: {package} is not installed | – |", flush=True)
                continue
            one = make()
            one(world, 0, answers[0])  # imports, servers
            begun = time.perf_counter()
            got = [one(world, seed, answers[seed]) for seed in seeds]
            rate = turns / (time.perf_counter() - begun)
            right = sum(same(name, *pair) for pair in zip(got, known, strict=True))
            print(f"| {name} | {world} | {right} of {given.episodes} | {rate:,.0f} |", flush=True)


if __name__ == "__main__":
    main()
