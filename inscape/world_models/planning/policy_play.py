"""What a policy earns in many episodes of the law itself: the other route to the value that policy evaluation finds."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from inscape.envs.compile import choice
from inscape.envs.readers.copies import PackedCopies
from inscape.errors import UsageError, whole_number
from inscape.world_models.interface import check_gamma
from inscape.world_models.planning.dynamic_programming import check_policy, policy_evaluation
from inscape.world_models.tabular.model import TabularModel, as_tabular

if TYPE_CHECKING:
    from inscape.envs.world import World

TEMPLATE = "inscape.world_models.planning.kernels.policy_play"
LONGEST = 1_000_000
"""Steps of an episode at most, also where a reward further away would still count."""
TAIL = 1e-7
"""What is cut off an endless episode, at most, as a share of the largest reward that could come, discounted."""


@dataclass(frozen=True)
class PlayedPolicy:
    """What came of a policy's episodes, none cut by a time limit.

    Attributes:
        returns: `[N]` discounted returns Σ γᵗ·r_t.
        gamma: the discount.
        cut: how far the mean can be off because episodes without an end were cut: γ^H·max|r|/(1 − γ) times the share
            of those that were.
        steps: all together.
    """

    returns: np.ndarray
    gamma: float
    cut: float
    steps: int

    @property
    def mean(self) -> float:
        """The mean return."""
        return float(self.returns.mean())

    @property
    def standard_error(self) -> float:
        """Of the mean: the standard deviation of a return over √N."""
        return float(self.returns.std(ddof=1) / math.sqrt(len(self.returns)))

    def deviations(self, value: float, standard_error: float | None = None) -> float:
        """Returns how many standard errors the mean lies above `value`; what cutting and rounding explain is taken off.

        Args:
            value: what the mean is compared with.
            standard_error: the true one (`return_deviation` over √N); None for that of the returns, which is too small
                where what matters is so rare that it was not met: infinite deviations, if all returns are the same.
        """
        off = self.mean - value
        rounding = 1e-9 * max(1.0, abs(value), float(np.abs(self.returns).max(initial=0.0)))
        left = max(0.0, abs(off) - self.cut - rounding)
        if left == 0.0:
            return 0.0
        error = self.standard_error if standard_error is None else standard_error
        return math.copysign(left / error if error > 0 else math.inf, off)


def return_deviation(model: Any, policy: np.ndarray, gamma: float) -> float:
    """Returns the standard deviation of a policy's discounted return from the initial states, exactly.

    Var(s) = E[(r + γV(s') − V(s))²] + γ²·E[Var(s')], and over initial states the variance of V(s₀) on top.

    Args:
        model: a `TabularModel`, anything with `tabular()`, or an enumerable `World`.
        policy: `[S, A]` probabilities.
        gamma: discount below 1.

    Raises:
        UsageError: the policy is not one; gamma out of range.

    Source: Sobel (1982), "The variance of discounted Markov decision processes", Journal of Applied Probability 19(4),
        theorem 1.
    """
    table = as_tabular(model, "the deviation of a return")
    if not 0.0 <= gamma < 1.0:
        raise UsageError(f"the deviation of a return with gamma = {gamma}", expected="a discount below 1")
    values = policy_evaluation(table, policy, gamma)
    held = values[:, None, None]
    ahead = gamma * values[table.next_state]
    squared = (
        table.continuation * (table.reward + ahead - held) ** 2 + (1 - table.continuation) * (table.reward - held) ** 2
    )
    scale = float(np.abs(values).max(initial=0.0)) ** 2 or 1.0
    variances = policy_evaluation(replace(table, reward=squared), policy, gamma**2, 1e-13 * scale)
    mean = float(table.initial @ values)
    variance = float(table.initial @ (variances + (values - mean) ** 2))
    return math.sqrt(variance) if variance > 1e-12 * scale else 0.0  # what evaluation leaves of 0


def play_policy(
    world: World,
    policy: np.ndarray,
    episodes: int,
    seed: int,
    gamma: float | None = None,
    max_steps: int | None = None,
    *,
    compiled: bool | None = None,
) -> PlayedPolicy:
    """Returns what a policy earns in `episodes` episodes of the law, from its initial states.

    Actions are drawn from the policy's row of the state, outcomes from the law with the random numbers of the copies of
    an environment; no table of transitions is read. An episode that does not end is cut where all that could follow
    is less than `TAIL` of it, or after `max_steps`.

    Args:
        world: of one player, enumerable.
        policy: `[S, A]` probabilities, states numbered as `world.dynamics().states`.
        episodes: how many, at least 2.
        seed: of outcomes and actions.
        gamma: discount; None for the world's.
        max_steps: of an episode; None for what gamma asks. With γ = 1: a million.
        compiled: whether by a compiled kernel; None: what takes less time.

    Raises:
        MissingLawError: the world cannot be enumerated.
        UsageError: several players; the policy is not one; fewer than two episodes; gamma out of range.
    """
    whole_number("{} episodes", episodes, 2)
    if world.players > 1:
        raise UsageError(f"{world.name}, which has {world.players} players", expected="a world of one player")
    gamma = world.gamma if gamma is None else gamma
    check_gamma(gamma)
    table = TabularModel.from_world(world)
    policy = check_policy(table, np.asarray(policy, np.float64))
    largest = float(np.abs(table.reward[table.probability > 0]).max(initial=0.0))
    if max_steps is not None:
        most = whole_number("max_steps =", max_steps, 1)
    else:
        most = LONGEST if gamma == 1.0 else max(1, math.ceil(math.log(TAIL) / math.log(gamma))) if gamma > 0.0 else 1
        most = min(most, LONGEST)
    returns, lengths = _play(world, np.cumsum(policy, axis=1), episodes, seed, gamma, most, compiled)
    unfinished = float((lengths < 0).mean())
    tail = (gamma**most * largest / (1.0 - gamma) if gamma < 1.0 else math.inf) if unfinished else 0.0
    return PlayedPolicy(returns, gamma, unfinished * tail if unfinished else 0.0, int(np.abs(lengths).sum()))


def _play(
    world: World, cumulative: np.ndarray, episodes: int, seed: int, gamma: float, most: int, compiled: bool | None
) -> tuple[np.ndarray, np.ndarray]:
    """Returns `[N]` returns and `[N]` lengths, negative where the law did not end the episode."""
    copies = PackedCopies.empty(world, episodes)
    copies.reseed(seed)
    states = world.dynamics().states
    known: tuple[Any, ...] = np.ascontiguousarray(states.floats).view(np.int64), np.ascontiguousarray(states.ints)
    name, units = "play_policy", episodes * min(most, 100)
    fast = choice.choose(world, TEMPLATE, name, units, compiled)
    before = copies.floats.copy(), copies.ints.copy()
    while True:
        kernels = world.kernel(TEMPLATE, fast)
        slots = np.full(2 * len(states) + 3, -1, np.int64)
        returns, lengths = np.zeros(episodes), np.zeros(episodes, np.int64)
        began = time.perf_counter()
        try:
            with np.errstate(all="ignore"):
                kernels.number_states(world.packed, known[1], known[0], slots)
                unknown = kernels.play_policy(
                    world.packed, copies.floats, copies.ints, copies.floats.view(np.int64), *known, slots,
                    np.ascontiguousarray(cumulative), gamma, most, returns, lengths,
                )  # fmt: skip
        except choice.PLAIN_FAILURES as error:
            if compiled is not None or fast:
                raise
            choice.refuse_unless_arithmetic(error)
            copies.floats[...], copies.ints[...] = before
            fast = True
            continue
        if compiled is None and not fast:
            choice.usage(world, TEMPLATE, name).charge(units, time.perf_counter() - began)
        break
    if unknown:
        raise UsageError(
            f"a policy in {world.name} came to a state that is not among the enumerated ones",
            expected="a law whose outcomes can be listed",
            hint="inscape check on the world",
        )
    return returns, lengths
