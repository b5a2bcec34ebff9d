"""Uniform random play: the floor of every comparison, and the speed of a law."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from inscape.envs.compile import choice
from inscape.envs.compile.threads import block_count, is_forked
from inscape.envs.readers.copies import PackedCopies
from inscape.errors import UsageError

if TYPE_CHECKING:
    from inscape.envs.readers.batched import BatchedLaw

PLAY = "inscape.envs.kernels.play"
PARALLEL_FROM = 1024
"""From so many copies on more than one thread pays."""


@dataclass(frozen=True)
class RandomPlay:
    """What came of it.

    Attributes:
        steps: steps taken, all copies together.
        episodes: episodes that ended (by the law or the time limit).
        mean_return: `[M]` mean undiscounted return of those, per player; NaN if none ended.
        mean_length: steps per ended episode; those still running are left out of the return and spread over here.
    """

    steps: int
    episodes: int
    mean_return: np.ndarray
    mean_length: float


def random_play(
    world: BatchedLaw,
    num_envs: int,
    steps: int,
    seed: int,
    max_episode_steps: int | None,
    threads: int | None = None,
    arithmetic: Literal["exact", "fast"] = "exact",
    *,
    compiled: bool | None = None,
) -> RandomPlay:
    """Plays; see `World.random_play`. Same seed and number of copies, same trajectories, for any number of threads.

    `compiled`: whether by a compiled kernel, or in plain Python; None: what takes less time. "fast" arithmetic is
    compiled.

    Raises:
        UsageError: `num_envs` or `steps` is below 1.
    """
    if num_envs < 1 or steps < 1:
        raise UsageError(f"num_envs = {num_envs}, steps = {steps}", expected="at least 1 of each")
    world.require_probabilities()
    blocks = block_count(threads, num_envs, PARALLEL_FROM)
    copies = PackedCopies.empty(world, num_envs)
    copies.reseed(seed)
    name = "play_parallel" if blocks > 1 else "play"
    if arithmetic == "fast" or choice.choose(world, PLAY, name, num_envs * steps, compiled):
        returns, episodes = _play(world, copies, steps, max_episode_steps, blocks, arithmetic, True)
    else:
        before, began = (copies.floats.copy(), copies.ints.copy()), time.perf_counter()
        try:
            with np.errstate(all="ignore"):
                returns, episodes = _play(world, copies, steps, max_episode_steps, blocks, "exact", False)
            if compiled is None:
                choice.usage(world, PLAY, name).charge(num_envs * steps, time.perf_counter() - began)
        except choice.PLAIN_FAILURES as error:
            if compiled is not None:
                raise
            choice.refuse_unless_arithmetic(error)
            copies.floats[...], copies.ints[...] = before
            returns, episodes = _play(world, copies, steps, max_episode_steps, blocks, "exact", True)
    with np.errstate(invalid="ignore"):
        mean = returns.sum(0) / np.float64(episodes)
    return RandomPlay(num_envs * steps, int(episodes), mean, num_envs * steps / episodes if episodes else float("inf"))


def _play(
    world: BatchedLaw,
    copies: PackedCopies,
    steps: int,
    max_episode_steps: int | None,
    blocks: int,
    arithmetic: Literal["exact", "fast"],
    compiled: bool,
) -> tuple[np.ndarray, int]:
    """Returns (sums of returns `[blocks, M]`, episodes that ended)."""
    num_envs = len(copies)
    gained = np.zeros(num_envs if world.players == 1 else (world.players, num_envs))
    returns = np.zeros((blocks, world.players))
    kernels = world.kernel(PLAY, compiled, arithmetic)
    kernels.start(world.packed, copies.floats, copies.ints)
    state = world.packed, copies.floats, copies.ints, gained
    rest = np.zeros(num_envs + 1, np.int64), max_episode_steps or 0, steps
    if blocks > 1 and (is_forked() or not compiled):  # one after another, each with its own sum: a parallel run's bits
        size = -(-num_envs // blocks)
        ranges = [(b * size, min(num_envs, (b + 1) * size)) for b in range(blocks)]
        episodes = sum(kernels.play_range(*state, returns[b], *rest, *ranges[b]) for b in range(blocks))
    else:
        play = kernels.play_parallel if blocks > 1 else kernels.play
        episodes = play(*state, returns, *rest, blocks)
    return returns, int(episodes)
