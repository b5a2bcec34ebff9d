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
LATER = 10
"""Without a time limit, the last episodes are given up after so many times the steps asked for."""
PARALLEL_FROM = 1024
"""From so many copies on more than one thread pays."""


@dataclass(frozen=True)
class RandomPlay:
    """What came of it.

    Means are over the episodes begun within the steps, each played to its end. Of those that end within the steps
    alone, short ones would be too many. An episode is begun or not before it is known how it goes, so that by Wald's
    equation the mean of the sums is the mean number of episodes times the mean of one: both means are consistent
    estimates, in the number of copies, of what a single episode from the start earns and how long it is.

    Attributes:
        steps: steps asked for, all copies together; those that finish the last episodes come on top.
        late_steps: steps that finished the last episodes.
        episodes: episodes that ended (by the law or the time limit) within the steps.
        mean_return: `[M]` mean undiscounted return per player; NaN if an episode did not end in `LATER` times the steps
            more, where there is no time limit.
        mean_length: mean number of steps; infinity if an episode did not end.

    Source: Wald (1944), "On cumulative sums of random variables", Annals of Mathematical Statistics 15(3).
    """

    steps: int
    episodes: int
    mean_return: np.ndarray
    mean_length: float
    late_steps: int


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
        sums, episodes = _play(world, copies, steps, max_episode_steps, blocks, arithmetic, True)
    else:
        before, began = (copies.floats.copy(), copies.ints.copy()), time.perf_counter()
        try:
            with np.errstate(all="ignore"):
                sums, episodes = _play(world, copies, steps, max_episode_steps, blocks, "exact", False)
            if compiled is None:
                choice.usage(world, PLAY, name).charge(num_envs * steps, time.perf_counter() - began)
        except choice.PLAIN_FAILURES as error:
            if compiled is not None:
                raise
            choice.refuse_unless_arithmetic(error)
            copies.floats[...], copies.ints[...] = before
            sums, episodes = _play(world, copies, steps, max_episode_steps, blocks, "exact", True)
    return played(sums, num_envs * steps, episodes)


def _play(
    world: BatchedLaw,
    copies: PackedCopies,
    steps: int,
    max_episode_steps: int | None,
    blocks: int,
    arithmetic: Literal["exact", "fast"],
    compiled: bool,
) -> tuple[np.ndarray, int]:
    """Returns (sums as in `played`, episodes that ended)."""
    num_envs = len(copies)
    gained = np.zeros(num_envs if world.players == 1 else (world.players, num_envs))
    sums = np.zeros((blocks, world.players + 3))  # see the template's `finish`
    kernels = world.kernel(PLAY, compiled, arithmetic)
    kernels.start(world.packed, copies.floats, copies.ints)
    state = world.packed, copies.floats, copies.ints, gained
    limit = max_episode_steps or 0
    rest = np.zeros(num_envs + 1, np.int64), limit, limit or LATER * steps, steps
    if blocks > 1 and (is_forked() or not compiled):  # one after another, each with its own sum: a parallel run's bits
        size = -(-num_envs // blocks)
        ranges = [(b * size, min(num_envs, (b + 1) * size)) for b in range(blocks)]
        episodes = sum(kernels.play_range(*state, sums[b], *rest, *ranges[b]) for b in range(blocks))
    else:
        play = kernels.play_parallel if blocks > 1 else kernels.play
        episodes = play(*state, sums, *rest, blocks)
    return sums.sum(0), int(episodes)


def played(sums: np.ndarray, steps: int, episodes: int) -> RandomPlay:
    """Returns what came of it, from sums.

    Args:
        sums: `[M + 3]`: returns of all episodes that ended, steps taken to end the last episodes, how many of these
            ended, and how many did not.
        steps, episodes: as in `RandomPlay`.
    """
    *returns, extra, late, unfinished = sums
    begun = episodes + int(late)
    if not np.isfinite(returns).all():
        raise UsageError(
            f"random play met rewards that add up to {np.array(returns).tolist()}",
            expected="finite rewards",
            hint="fix `reward`: inscape check tells state and action",
        )
    if unfinished:
        return RandomPlay(steps, episodes, np.full(len(returns), np.nan), float("inf"), int(extra))
    return RandomPlay(steps, episodes, np.array(returns) / begun, (steps + int(extra)) / begun, int(extra))
