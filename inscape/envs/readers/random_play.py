"""Uniform random play in compiled code: the floor of every comparison, and the speed of a law."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

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
) -> RandomPlay:
    """Plays; see `World.random_play`. Same seed and number of copies, same trajectories, for any number of threads.

    Raises:
        UsageError: `num_envs` or `steps` is below 1.
    """
    if num_envs < 1 or steps < 1:
        raise UsageError(f"num_envs = {num_envs}, steps = {steps}", expected="at least 1 of each")
    world.require_probabilities()
    blocks = block_count(threads, num_envs, PARALLEL_FROM)
    copies = PackedCopies.empty(world, num_envs)
    copies.reseed(seed)
    gained = np.zeros(num_envs if world.players == 1 else (world.players, num_envs))
    returns = np.zeros((blocks, world.players))
    kernels = world.kernel(PLAY, arithmetic=arithmetic)
    kernels.start(world.packed, copies.floats, copies.ints)
    state = world.packed, copies.floats, copies.ints, gained
    rest = np.zeros(num_envs + 1, np.int64), max_episode_steps or 0, steps
    if blocks > 1 and is_forked():  # one block after another, each with its own sum: the bits of a parallel run
        size = -(-num_envs // blocks)
        ranges = [(b * size, min(num_envs, (b + 1) * size)) for b in range(blocks)]
        episodes = sum(kernels.play_range(*state, returns[b], *rest, *ranges[b]) for b in range(blocks))
    else:
        play = kernels.play_parallel if blocks > 1 else kernels.play
        episodes = play(*state, returns, *rest, blocks)
    with np.errstate(invalid="ignore"):
        mean = returns.sum(0) / np.float64(episodes)
    return RandomPlay(num_envs * steps, int(episodes), mean, num_envs * steps / episodes if episodes else float("inf"))
