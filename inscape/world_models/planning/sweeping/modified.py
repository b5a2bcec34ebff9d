"""Modified policy iteration in large tables, stopped by bounds on V* − V.

A Jacobi backup over all actions says by how much it changes each value: with d the least and D the most of TV − V,
MacQueen's bounds V + d/(1 − γ) ≤ V* ≤ V + D/(1 − γ) hold in every state, and the middle between them is certified to
half their distance. Where an episode can end, a constant added to V is not γ times that constant in TV, and the bounds
hold with 0 among d and D.

Between two such backups the greedy policy is evaluated. Where its chain mixes, Jacobi sweeps leave little but a
constant, which the bounds know. Where it does not (a grid in which values travel from cell to cell), Gauss–Seidel
sweeps take its place: where episodes can end, outwards from the states that earn or end (`kernels.tables.wavefront`),
from below, so that nothing unknown tempts; elsewhere, and where that does not help, in both orders of the states.

Sources: MacQueen (1966), "A modified dynamic programming method for Markovian decision problems", Journal of
Mathematical Analysis and Applications 14; Puterman (2005), "Markov Decision Processes", sections 6.3 (Gauss–Seidel),
6.5 (modified policy iteration) and 6.6.3 (bounds); one constant for all states: Bertsekas & Castañon (1989), "Adaptive
aggregation methods for infinite horizon dynamic programming", IEEE Transactions on Automatic Control 34(6).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from inscape.world_models.planning.problem import Bounds, Problem

Array = np.ndarray[Any, Any]
MOST_EVALUATIONS = 20
"""Jacobi sweeps under the greedy policy between two backups over all actions."""
ENOUGH = 0.1
"""Evaluation ends when the changes differ by so much of what they did before it."""
MIXES = 0.7
"""The chain mixes where two sweeps leave at most so much of the differences between changes."""
OUTWARDS = 5
"""Sweeps under the greedy policy in each place of a window that moves outwards."""
IN_PLACE = 8
"""Gauss–Seidel sweeps under the greedy policy between two over all actions."""
STICKY = 0.5
"""From which probability of staying on (less what is discounted) Gauss–Seidel sweeps sum it in closed form."""
LOOK = 10
"""Gauss–Seidel rounds between two looks at how large the values are, which sets the limit of rounding."""
NARROW = 8
"""Outcomes of an action up to which distances are looked at before anything else: that is a cheap look then."""
SURELY = 0.25
"""Passes outwards end when one more as good as the last would leave this much of what is wanted."""
FAR = 50
"""How many distances there must be for passes outwards."""
DISTANCES = 12
"""How many distances a window holds that moves outwards."""
PASSES = 3
"""After so many outwards, each has to halve the changes, or sweeps in both orders go on."""
FEW = 0.1
"""States that earn most are where a pass begins if they are at most this share of all."""
ROUNDS = 4
"""Gauss–Seidel rounds between two certificates where a constant can be added to all values."""


@dataclass(frozen=True, eq=False)
class Found:
    """Values `[S]`, action values `[S, A]` looked ahead from them, the bound on |V* − V|, sweeps, and max |TV − V|."""

    values: Array
    q_values: Array
    error_bound: float
    iterations: int
    residual: float


def solve(problem: Problem, bounds: Bounds, tolerance: float, most_sweeps: int) -> Found:
    """Returns values certified to `tolerance`, or as far as double precision or `most_sweeps` allow.

    Args:
        problem: the tables.
        bounds: what a backup certifies (see `Problem.bounds`).
        tolerance: the error bound to reach.
        most_sweeps: backups over all actions after which to stop; with one action, backups.
    """
    run = _Run(problem, bounds, tolerance, most_sweeps)
    in_place, mixes, last, work, before = False, True, np.inf, 0, np.inf
    gains = {False: np.inf, True: np.inf}  # log of what Jacobi and in-place sweeps left the last time, per sweep
    if not bounds.shifts and problem.weight.shape[2] <= NARROW:
        in_place = run.looks_outwards()
        run.spread_outwards()
    while True:
        least, most, total = run.improve()
        lower, upper = bounds.of(least, most)
        if bounds.shifts:
            reached, residual = 0.5 * (upper - lower), 0.5 * (most - least)
        else:
            reached, residual = max(-lower, upper), max(-least, most)
        floor = problem.rounding(run.values)
        at_limit = residual <= 2.0 * floor or last <= residual <= 4.0 * floor
        if not reached > tolerance or at_limit or run.sweeps >= most_sweeps:
            break
        run.accept()
        if run.order is not None:
            run.spread_outwards()
            continue
        run.follow()
        if np.isfinite(before):
            gains[in_place] = np.log(before / reached) / (run.work - work)
        before, work, last = reached, run.work, residual
        # a constant explains most of the changes, or, where episodes end, a first guess and what mixes lets it be found
        if abs(least + most) >= 2.0 * (most - least) if bounds.shifts else not in_place:
            run.shift(total)
        if bounds.shifts and not mixes:
            in_place = gains[True] > gains[False]
        if in_place:
            run.sweep_in_place(ROUNDS if bounds.shifts else most_sweeps)
        else:
            mixes = run.evaluate(most - least)
            in_place = not mixes and not bounds.shifts
    if bounds.shifts:
        middle = 0.5 * (lower + upper)
        run.values += middle
        run.q_values += bounds.largest * middle
        floor = problem.rounding(run.values)
    return Found(run.values, run.q_values, (reached + floor * bounds.amplified) + floor, run.sweeps, residual)


class _Run:
    """The arrays of one solution, and what is done to them."""

    def __init__(self, problem: Problem, bounds: Bounds, tolerance: float, most_sweeps: int) -> None:
        from inscape.world_models.planning.kernels.tables import backups, wavefront

        self.kernels, self.wavefront, self.problem, self.amplified = backups, wavefront, problem, bounds.amplified
        self.target, self.most_sweeps = tolerance / bounds.amplified, most_sweeps
        states, actions, width = problem.weight.shape
        self.tables = problem.next_state.view(np.uint32), problem.weight, problem.reward, problem.terminal
        self.values, self.backed_up = np.zeros(states), np.zeros(states)
        self.q_values = np.where(problem.terminal[:, None], problem.reward, 0.0)
        self.greedy, self.taken = np.zeros(states, np.int32), np.full(states, -1, np.int32)
        self.chain = np.zeros((states, width), np.uint32), np.zeros((states, width)), np.zeros(states)
        self.leaks, self.leak = np.zeros(states), 0.0
        self.sticky = 2.0
        self.chooses, self.shifts = actions > 1, bounds.shifts
        self.going = states - np.count_nonzero(problem.terminal)
        self.sweeps = self.work = 0
        self.backwards = True
        self.order: Array | None = None  # of the states, outwards; None where passes outwards do not help
        self.step, self.before = 0, 0.0

    def improve(self) -> tuple[float, float, float]:
        """Backs up over all actions into `backed_up` (Jacobi); returns (least, most, sum) of the changes."""
        self.sweeps += 1
        return self._improve(self.backed_up, False)

    def accept(self) -> None:
        """Takes what was backed up as the values."""
        self.values, self.backed_up = self.backed_up, self.values

    def follow(self) -> None:
        """Takes the greedy policy as the one to evaluate."""
        self.leak = self.kernels.follow(*self.tables, self.greedy, self.taken, *self.chain, self.leaks, self.sticky)

    def shift(self, total: float) -> None:
        """Adds to all values the constant that leaves the greedy policy's next changes, whose sum was `total`, a sum of
        0."""
        if self.leak > 1e-12 * self.going:
            self.values += np.where(self.problem.terminal, 0.0, total * (1.0 / self.leak - 1.0 / self.going))

    def evaluate(self, before: float) -> bool:
        """Evaluates the greedy policy by Jacobi sweeps, until they hardly change anything but a constant.

        Where a constant added to the values is not certified away, it is found by `shift`.

        Args:
            before: by how much changes differed when all actions were backed up.

        Returns:
            Whether that was soon: whether the chain mixes.
        """
        enough = max(ENOUGH * before if self.chooses else 0.0, self.target, 2.0 * self.problem.rounding(self.values))
        most_evaluations = MOST_EVALUATIONS if self.chooses else self.most_sweeps - self.sweeps - 2
        size = before
        for done in range(0, most_evaluations, 2):
            last = size
            self._evaluate(self.backed_up, 2)  # the second leaves its result in `values`
            least, most, total = self._changes(self.backed_up)
            size = most - least if self.shifts else max(-least, most)
            if size <= enough:
                return True
            if done > 0 and size > MIXES * last:
                return False
            if not self.shifts:
                self.shift(total)
        return not self.chooses

    def sweep_in_place(self, rounds: int) -> None:
        """Gauss–Seidel sweeps over all actions, each followed by some under the greedy ones, until none changes much.

        The order of states is reversed from sweep to sweep: values travel against the steps of the policy, wherever to.
        """
        if self.sticky > STICKY:
            self.sticky, self.taken[:] = STICKY, -1
            self.follow()
        floor = 0.0
        for n in range(rounds):
            if self.sweeps >= self.most_sweeps - (1 if self.chooses else IN_PLACE + 2):
                break
            if n % LOOK == 0:
                floor = self.problem.rounding(self.values)
            if self.chooses:
                self.sweeps += 1
                least, most, _ = self._improve(self.values, self.backwards)
            else:
                self.backed_up[:] = self.values
                self._evaluate(self.values, 1, self.backwards)
                least, most, _ = self._changes(self.backed_up)
            self.backwards = not self.backwards
            if max(-least, most) <= max(self.target, 2.0 * floor):
                break
            if self.chooses:
                self.follow()
            self._evaluate(self.values, IN_PLACE, self.backwards)

    def looks_outwards(self) -> bool:
        """Returns whether there are states that earn most, or end, and many distances to them: then `order` is set, and
        `values` are a lower bound."""
        states, actions, _ = self.problem.weight.shape
        low, high, sources = self.wavefront.earnings(*self.tables[2:])
        low *= self.amplified  # some action of each state earns at least this, always
        if not np.isfinite(low):
            return False
        high = high if sources <= FEW * states else np.inf
        order, ends = np.empty(states, np.uint32), 0.5 * self.problem.kept()[1]
        number, distances, sources = self.wavefront.outwards(
            *self.tables, high, ends, 2.0 if actions > 1 else 0.5, order
        )
        if sources == 0 or distances < FAR:
            return False
        self.order, self.step = order[:number], max(8, DISTANCES * number // (2 * distances))
        self.values[:] = np.where(self.problem.terminal, 0.0, low)
        return True

    def spread_outwards(self) -> None:
        """Gauss–Seidel passes in `order` until one more should be enough, or until they do not help."""
        passes = 0
        while self.order is not None and self.sweeps < self.most_sweeps - 2:
            change = self.wavefront.spread(
                *self.tables[:3], self.values, self.order, self.taken, *self.chain,
                2 * self.step, self.step, OUTWARDS, STICKY,
            )  # fmt: skip
            self.sweeps, self.work = self.sweeps + 2, self.work + 2 * (self.problem.weight.shape[1] + OUTWARDS)
            passes, before, self.before = passes + 1, self.before, change
            enough = max(self.target, 2.0 * self.problem.rounding(self.values))
            if change <= enough or change**2 <= SURELY * enough * before:
                return
            if passes > PASSES and change > 0.5 * before:
                self.order, self.taken[:] = None, -1
                for array in self.chain:
                    array[:] = 0  # those of terminal states stay so

    def _improve(self, backed_up: Array, backwards: bool) -> tuple[float, float, float]:
        self.work += self.problem.weight.shape[1]
        found = self.kernels.improve(
            *self.tables, self.values, backed_up, self.q_values, self.greedy, backwards
        )  # fmt: skip
        return _or_nothing(found)

    def _evaluate(self, backed_up: Array, sweeps: int, backwards: bool = False) -> None:
        self.work += sweeps
        if not self.chooses:
            self.sweeps += sweeps
        self.kernels.evaluate(*self.chain, self.values, backed_up, backwards, sweeps)

    def _changes(self, before: Array) -> tuple[float, float, float]:
        return _or_nothing(self.kernels.changes(self.problem.terminal, before, self.values))


def _or_nothing(changes: tuple[float, float, float]) -> tuple[float, float, float]:
    """Returns (least, most, sum) of changes; zeros where every state is terminal."""
    return changes if changes[0] <= changes[1] else (0.0, 0.0, 0.0)
