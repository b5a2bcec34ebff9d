"""One world, many readers: the same (seed, copy, step) gives the same observations, rewards, ends, states and texts.

    python benchmarks/twin_worlds.py [--episodes 1000] [--copies 4096] [--routes gym,text,…]

What 4,096 copies of a vector environment go through is compared, number by number and bit by bit, with

- `gym`: `gym.make` for each copy alone (`seed_of_copy`), worlds of one player,
- `pettingzoo`: an AEC or a parallel environment for each copy alone, worlds of several players,
- `text`: what `render_mode="ansi"` writes after each step,
- `answers`: `text_env`, played by answers in words (`action: NAME`): observations, rewards, ends, and the text that
  describes each observation of the copies,
- `model`: the known model's law as plain Python, from each state and the copy's own random numbers,
- `pickle`: an environment sent to another process, and pickled again at every fifth step there,
- `cuda`: the GPU's kernels in numba's simulator, in a process of its own (`NUMBA_ENABLE_CUDASIM`).

Exits with 1 if anything differs.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import pickle
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from inscape import make_world
from inscape.envs import resolve_task, text_env
from inscape.envs.law.states import States
from inscape.envs.law.streams import GOLDEN, seed_of_copy, stream_keys, words
from inscape.envs.text.described import Describer

ONE_PLAYER = ("FrozenLake8x8", "CartPole", "Taxi", "Tiger", "RiverSwim")
SEVERAL = ("ConnectFour", "KuhnPoker", "RockPaperScissors")
ROUTES = ("gym", "pettingzoo", "text", "answers", "model", "pickle", "cuda")
SEED, LIMIT = 20_261_201, 24


class Step(NamedTuple):
    """What came of a step, or with reward (), of a reset."""

    observation: bytes
    reward: tuple[float, ...]
    terminated: bool
    truncated: bool


Episode = list[Step]


class Reference(NamedTuple):
    """What the first copies of a vector environment went through in their first episodes.

    Attributes:
        episodes: one for each copy.
        texts: the same, of what is written of each state.
        before, after: `[T]` packed states of those copies that went on, with
        copies: `[T]` their numbers, and
        actions: `[T]` actions.
    """

    episodes: list[Episode]
    texts: list[list[str]]
    before: list[States]
    after: list[States]
    copies: list[np.ndarray]
    actions: list[np.ndarray]


def chosen(world: Any, states: States, copies: np.ndarray, step: int) -> np.ndarray:
    """Returns a legal action for each copy, a function of copy, step and what is legal there alone."""
    random = words(copies.astype(np.int64), np.full(len(copies), 7 + step, np.int64))
    legal = np.asarray(world.legal_actions(states))
    legal = legal.reshape(len(copies), -1, legal.shape[-1])
    numbers = [[int(np.flatnonzero(row)[int(random[k] % np.uint64(row.sum()))]) if row.any() else 0
                for row in legal[k]] for k in range(len(copies))]  # fmt: skip
    actions = np.array(numbers, np.int64)
    return actions if world.simultaneous else actions[:, 0]


def plain(value: Any) -> bytes:
    return np.ascontiguousarray(value).tobytes()


def rewards_of(reward: Any) -> tuple[float, ...]:
    return tuple(np.asarray(reward, np.float64).reshape(-1).tolist())


def reference(world: Any, copies: int, episodes: int) -> Reference:
    venv = world.vector_env(copies, autoreset="next-step", max_episode_steps=LIMIT)
    observations, _ = venv.reset(seed=SEED)
    found: list[Episode] = [[Step(plain(observations[k]), (), False, False)] for k in range(episodes)]
    start = venv.states
    texts = [[world.describe_state(start, k)] for k in range(episodes)]
    going = np.ones(episodes, np.bool_)
    everyone = np.arange(copies)
    result = Reference(found, texts, [], [], [], [])
    for step in range(LIMIT):
        before = venv.states
        actions = chosen(world, before, everyone, step)
        observations, rewards, terminated, truncated, _ = venv.step(actions)
        after, own = venv.states, np.flatnonzero(going)
        result.before.append(taken(before, own))
        result.after.append(taken(after, own))
        result.copies.append(own)
        result.actions.append(actions[own])
        for k in own.tolist():
            ends = bool(terminated[k]), bool(truncated[k])
            found[k].append(Step(plain(observations[k]), rewards_of(rewards[k]), *ends))
            texts[k].append(world.describe_state(after, k))
        going &= ~(terminated | truncated)[:episodes]
        if not going.any():
            break
    return result


def taken(states: States, which: np.ndarray) -> States:
    return States(states.floats[:, which].copy(), states.ints[:, which].copy())


# ------------------------------------------------------------------------------------------------------- routes


def alone(env: Any, world: Any, copy: int, pickled: bool = False, text: bool = False) -> tuple[Episode, list[str]]:
    """Returns an episode of one environment with the random numbers of a copy."""
    observation, _ = env.reset(seed=seed_of_copy(SEED, copy))
    episode, written = [Step(plain(observation), (), False, False)], [env.render()] if text else []
    for step in range(LIMIT):
        action = chosen(world, env.unwrapped.states, np.array([copy]), step)[0]
        observation, reward, terminated, truncated, _ = env.step(action)
        episode.append(Step(plain(observation), rewards_of(reward), bool(terminated), bool(truncated)))
        if text:
            written.append(env.render())
        if terminated or truncated:
            break
        if pickled and step % 5 == 4:
            env = pickle.loads(pickle.dumps(env))
    return episode, written


def in_words(env: Any, world: Any, copy: int) -> tuple[Episode, list[str]]:
    """Returns an episode of a text environment with the random numbers of a copy, and the texts that were read."""
    text, _ = env.reset(seed=seed_of_copy(SEED, copy))
    episode, read = [Step(plain(env.observation), (), False, False)], [text]
    for step in range(LIMIT):
        action = chosen(world, env.env.unwrapped.states, np.array([copy]), step)[0]
        text, reward, terminated, truncated, info = env.step(f"I choose this.\naction: {world.action_names[action]}")
        assert info.get("problem") is None, info
        episode.append(Step(plain(env.observation), rewards_of(reward), bool(terminated), bool(truncated)))
        read.append(text)
        if terminated or truncated:
            break
    return episode, read


def described(task: Any, episodes: list[Episode]) -> list[list[str]]:
    """Returns the description of each observation of the copies."""
    describer, space = Describer(task), task.observation_space
    found = []
    for episode in episodes:
        seen = [np.frombuffer(one.observation, space.dtype).reshape(space.shape or ()) for one in episode]
        found.append([describer.describe(row[None])[0].rstrip() for row in seen])
    return found


def at_table(world: Any, env: Any, copy: int, pickled: bool = False) -> Episode:
    """Returns an episode of a PettingZoo environment with the random numbers of a copy, as the law steps."""
    parallel = world.simultaneous
    first = env.reset(seed=seed_of_copy(SEED, copy))
    episode = [Step(_seen(env, first, parallel), (), False, False)]
    for step in range(LIMIT):
        action = chosen(world, env.states, np.array([copy]), step)[0]
        if parallel:
            by_player = dict(zip(env.possible_agents, action.tolist(), strict=True))
            observations, rewards, ends, cuts, _ = env.step(by_player)
        else:
            env.step(int(action))
            observations, rewards, ends, cuts = None, env.rewards, env.terminations, env.truncations
        reward = tuple(float(rewards[name]) for name in env.possible_agents)
        ended, cut = all(ends.values()), all(cuts.values())
        episode.append(Step(_seen(env, (observations, None), parallel), reward, ended, cut))
        if ended or cut:
            break
        if pickled and step % 5 == 4:
            env = pickle.loads(pickle.dumps(env))
    return episode


def _seen(env: Any, answered: Any, parallel: bool) -> bytes:
    """Returns what a vector environment has as the observation: of the mover, or of all players."""
    if not parallel:
        return plain(_inner(env.observe(env.agent_selection)))
    return plain(np.stack([np.asarray(_inner(answered[0][name])) for name in env.possible_agents]))


def _inner(observation: Any) -> Any:
    return observation["observation"] if isinstance(observation, dict) else observation


def environment_of(world: Any) -> Any:
    if world.players == 1:
        return world.env(max_episode_steps=LIMIT)
    return world.parallel_env(max_episode_steps=LIMIT) if world.simultaneous else world.aec_env(max_episode_steps=LIMIT)


def by_pickle(data: bytes, episodes: int) -> list[Episode]:
    """Runs in the other process."""
    world, env = pickle.loads(data)
    if world.players == 1:
        return [alone(env, world, copy, pickled=True)[0] for copy in range(episodes)]
    return [at_table(world, env, copy, pickled=True) for copy in range(episodes)]


def by_cuda(name: str, episodes: int, folder: str) -> list[Episode]:
    """Returns what the copies of a CUDA environment in the simulator go through, from a process of its own."""
    out = Path(folder) / f"{name}.pickle"
    command = [sys.executable, __file__, "--simulate", name, "--episodes", str(episodes), "--out", str(out)]
    subprocess.run(command, check=True, env={**os.environ, "NUMBA_ENABLE_CUDASIM": "1"}, stdout=subprocess.DEVNULL)
    return [[Step(*step) for step in episode] for episode in pickle.loads(out.read_bytes())]


def simulate(name: str, episodes: int) -> list[Episode]:
    import torch

    world = make_world(name)
    venv: Any = world.vector_env(episodes, autoreset="next-step", max_episode_steps=LIMIT, device="cuda")
    observations, _ = venv.reset(seed=SEED)
    found = [[Step(plain(observations[k].cpu().numpy()), (), False, False)] for k in range(episodes)]
    going = np.ones(episodes, np.bool_)
    for step in range(LIMIT):
        actions = chosen(world, venv.states, np.arange(episodes), step)
        observations, *rest, _ = venv.step(torch.as_tensor(actions))
        rewards, terminated, truncated = (tensor.cpu().numpy() for tensor in rest)
        for k in np.flatnonzero(going).tolist():
            ends = bool(terminated[k]), bool(truncated[k])
            found[k].append(Step(plain(observations[k].cpu().numpy()), rewards_of(rewards[k]), *ends))
        going &= ~(terminated | truncated)
        if not going.any():
            break
    return found


def differing_laws(world: Any, expected: Reference) -> tuple[int, int]:
    """Returns (differences, steps) of the law in plain Python, from each state with the copy's own random numbers."""
    keys = stream_keys(SEED, 1 + max(int(copies.max()) for copies in expected.copies))
    kinds = type(world)
    slots = world.noise or int(getattr(kinds, "branches", 1) != 1)
    starts = world.initial_noise or int(getattr(kinds, "initial_branches", 1) != 1)
    width = max(1, slots + starts)
    wrong = steps = 0
    for step, (before, after, copies, actions) in enumerate(
        zip(expected.before, expected.after, expected.copies, expected.actions, strict=True)
    ):
        # a step's random numbers begin at its clock, 1 after the reset
        own = keys[copies] + np.uint64((step + 1) * width * GOLDEN % 2**64).astype(np.int64)
        following, rewards, ended = world.step_with_keys(before, actions, own, compiled=False)
        for row, copy in enumerate(copies.tolist()):
            told = expected.episodes[copy][step + 1]
            same = (
                np.array_equal(following.floats[:, row], after.floats[:, row])
                and np.array_equal(following.ints[:, row], after.ints[:, row])
                and rewards_of(rewards[row]) == told.reward
                and bool(ended[row]) == told.terminated
            )
            wrong += not same
            steps += 1
    return wrong, steps


def differing(expected: list[Any], found: list[Any]) -> tuple[int, int]:
    """Returns (differences, comparisons) of episodes, a missing or surplus step being one."""
    wrong = 0
    for own, other in zip(expected, found, strict=True):
        wrong += abs(len(own) - len(other)) + sum(a != b for a, b in zip(own, other, strict=False))
    return wrong, sum(map(len, expected))


def compared(name: str, copies: int, episodes: int, routes: tuple[str, ...] = ROUTES) -> dict[str, tuple[int, int]]:
    """Returns for each route that a world has: (differences, steps compared).

    Args:
        name: of a registered world.
        copies: of the vector environment.
        episodes: how many are compared, those of the first copies.
        routes: which.
    """
    world = make_world(name)
    expected = reference(world, copies, episodes)
    found: dict[str, tuple[int, int]] = {}
    if world.players == 1 and {"gym", "text"} & set(routes):
        env = gym.make(f"inscape/{name}-v0", max_episode_steps=LIMIT, render_mode="ansi", disable_env_checker=True)
        played = [alone(env, world, copy, text="text" in routes) for copy in range(episodes)]
        found["gym"] = differing(expected.episodes, [episode for episode, _ in played])
        if "text" in routes:
            found["text"] = differing(expected.texts, [written for _, written in played])
    if world.players == 1 and "answers" in routes:
        task = resolve_task(name, max_episode_steps=LIMIT)
        played = [in_words(text_env(task, list_actions=False), world, copy) for copy in range(episodes)]
        acted = differing(expected.episodes, [episode for episode, _ in played])
        told = differing(described(task, expected.episodes), [read for _, read in played])
        found["answers"] = acted[0] + told[0], acted[1] + told[1]
    if world.players > 1 and "pettingzoo" in routes:
        table = environment_of(world)
        found["pettingzoo"] = differing(expected.episodes, [at_table(world, table, k) for k in range(episodes)])
    if "model" in routes:
        found["model"] = differing_laws(world, expected)
    if "pickle" in routes:
        data = pickle.dumps((world, environment_of(world)))
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            found["pickle"] = differing(expected.episodes, pool.apply(by_pickle, (data, episodes)))
    if "cuda" in routes:
        with tempfile.TemporaryDirectory() as folder:
            found["cuda"] = differing(expected.episodes, by_cuda(name, episodes, folder))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=1000, help="in all worlds together")
    parser.add_argument("--copies", type=int, default=4096, help="of the vector environment")
    parser.add_argument("--routes", default=",".join(ROUTES))
    parser.add_argument("--simulate", help=argparse.SUPPRESS)
    parser.add_argument("--out", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.simulate:
        # plain tuples: classes of this script have another name where it is imported
        plain_steps = [[tuple(step) for step in episode] for episode in simulate(given.simulate, given.episodes)]
        Path(given.out).write_bytes(pickle.dumps(plain_steps))
        return 0
    worlds = (*ONE_PLAYER, *SEVERAL)
    each = -(-given.episodes // len(worlds))
    routes = tuple(given.routes.split(","))
    print(f"load {os.getloadavg()[0]:.1f}; {each} episodes of each of {len(worlds)} worlds, {given.copies:,} copies\n")
    print("| world | " + " | ".join(routes) + " | seconds |\n|---|" + "---:|" * (len(routes) + 1))
    total = steps = 0
    for name in worlds:
        began = time.perf_counter()
        found = compared(name, given.copies, each, routes)
        cells = [f"{found[r][0]} of {found[r][1]:,}" if r in found else "–" for r in routes]
        print(f"| {name} | " + " | ".join(cells) + f" | {time.perf_counter() - began:.1f} |", flush=True)
        total += sum(wrong for wrong, _ in found.values())
        steps += sum(compared_ for _, compared_ in found.values())
    print(f"\n{each * len(worlds):,} episodes: {total} differences in {steps:,} comparisons")
    return 1 if total else 0


if __name__ == "__main__":
    sys.exit(main())
