"""Point-based value iteration with a lower and an upper bound that close: heuristic search value iteration.

The lower bound is a set of vectors backed up at the beliefs met, the upper one the values of those beliefs,
interpolated ("sawtooth"). Trials follow the action that looks best from above and the observation whose gap matters
most.

Sources: Pineau, Gordon & Thrun (2003), IJCAI (point-based backup); Smith & Simmons (2005), "Point-based POMDP
algorithms: improved analysis and implementation", UAI (HSVI2); upper bound by interpolation: Hauskrecht (2000), JAIR
13, section 4.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from inscape.errors import UsageError
from inscape.world_models.planning.beliefs.alpha_vectors import AlphaVectors, fast_informed_bound
from inscape.world_models.planning.beliefs.problem import BeliefProblem

Array = np.ndarray[Any, Any]
DEEPEST = 1_000
"""Steps of a trial."""
NARROWING = 0.5
"""A trial goes on until what is left cannot narrow the gap at the start below this share of it: the first ones are
short, since deep beliefs matter only once the gap is small."""
IMPOSSIBLE = 1e-12
"""Observations below this probability are not followed."""


@dataclass(frozen=True, eq=False)
class BeliefSolution(AlphaVectors):
    """A lower bound on the values of all beliefs, and how far from the optimum it may be at the start.

    Attributes:
        lower, upper: bounds on the value of the start; acting by the vectors earns at least `lower`.
        trials: walks through belief space.
        seconds: it took.
    """

    lower: float
    upper: float
    trials: int
    seconds: float

    @property
    def gap(self) -> float:
        """Certifies that acting by the vectors earns at least the optimum less this, from the start."""
        return self.upper - self.lower


def point_based(
    model: Any,
    gamma: float | None = None,
    tolerance: float = 1e-3,
    max_seconds: float = 30.0,
    max_trials: int = 1_000_000,
) -> BeliefSolution:
    """Returns vectors whose value at the start is within `gap` of the optimum.

    Args:
        model: a world that hides its state (or its class or name), or a `BeliefModel`.
        gamma: discount below 1; None: the world's own.
        tolerance: the gap to reach.
        max_seconds, max_trials: stops after these; `gap` then says how far it got.

    Raises:
        MissingLawError: the law can only be sampled, or there are several players.
        UsageError: gamma is 1 or out of range; tolerance not positive; tables too large for memory.
    """
    if not tolerance > 0:
        raise UsageError(f"tolerance = {tolerance}", expected="a positive number")
    problem = BeliefProblem.of(model, gamma)
    problem.require_discount("point-based value iteration")
    began = time.perf_counter()
    search = _Search(problem)
    trials = 0
    while True:
        lower, upper = search.bounds()
        spent = time.perf_counter() - began
        if upper - lower <= tolerance or trials >= max_trials or spent >= max_seconds:
            break
        gaps = search.upper(problem.initial) - search.lower(problem.initial)
        start = int(np.argmax(gaps * problem.initial_probability))
        search.trial(problem.initial[start], max(0.9 * tolerance, NARROWING * (upper - lower)), began + max_seconds)
        trials += 1
        if trials % 20 == 0:
            search.tidy()
    vectors, actions = search.tidy()
    return BeliefSolution(problem, vectors, actions, lower, upper, trials, time.perf_counter() - began)


class _Search:
    """The two bounds, and what improves them."""

    def __init__(self, problem: BeliefProblem) -> None:
        self.problem = problem
        self.informed = fast_informed_bound(problem)
        # corners: what each class is worth at most when it is known; points: beliefs met, and what they are worth
        self.corners = np.where(problem.legal, self.informed, -np.inf).max(axis=1)
        self.points = np.zeros((0, problem.num_classes))
        self.values = np.zeros(0)
        self.vectors, self.actions = _blind(problem)
        self.floor = self.vectors[0].min() if len(self.vectors) else 0.0

    def lower(self, beliefs: Array) -> Array:
        """Returns `[B]` lower bounds of `[B, C]` beliefs."""
        return np.asarray((beliefs @ self.vectors.T).max(axis=1))

    def upper(self, beliefs: Array) -> Array:
        """Returns `[B]` the lesser of the informed bound and of what the points met say."""
        allowed = self.problem.allowed(beliefs)
        informed = np.where(allowed, beliefs @ self.informed, -np.inf).max(axis=1)
        plain = beliefs @ self.corners
        if len(self.points):
            share = _share(beliefs, self.points)
            plain = plain + np.minimum(0.0, (share * (self.values - self.points @ self.corners)).min(axis=1))
        return np.asarray(np.minimum(informed, plain))

    def bounds(self) -> tuple[float, float]:
        """Returns both bounds on the value of the start."""
        weights, starts = self.problem.initial_probability, self.problem.initial
        return float(weights @ self.lower(starts)), float(weights @ self.upper(starts))

    def trial(self, belief: Array, tolerance: float, until: float) -> None:
        """Walks from a belief to where the gap no longer matters, then improves both bounds on the way back."""
        path: list[Array] = []
        allowed_gap = tolerance
        while len(path) < DEEPEST and time.perf_counter() < until:
            path.append(belief)
            action, _, mass = self._ahead(belief)
            allowed_gap /= max(self.problem.gamma, 1e-9)
            probability = mass[action].sum(axis=1)
            possible: Array = np.flatnonzero(probability > IMPOSSIBLE)
            if not len(possible):
                break
            following = mass[action, possible] / probability[possible, None]
            gap = self.upper(following) - self.lower(following) - allowed_gap
            excess = probability[possible] * gap
            if excess.max() <= 0:
                break
            belief = following[int(excess.argmax())]
        for met in reversed(path):
            if time.perf_counter() > until:
                break
            self._improve(met)

    def _ahead(self, belief: Array) -> tuple[int, float, Array]:
        """Returns the action that looks best from above, its value, and `[A, O, C]` what may follow."""
        problem = self.problem
        mass = problem.following(belief)
        probability = mass.sum(axis=2)
        a, o = np.nonzero(probability > IMPOSSIBLE)
        bounds = self.upper(mass[a, o] / probability[a, o, None])
        worth = np.bincount(a, probability[a, o] * bounds, problem.num_actions)
        values = belief @ problem.reward + problem.gamma * worth
        values = np.where(problem.allowed(belief[None])[0], values, -np.inf)
        return int(values.argmax()), float(values.max()), mass

    def _improve(self, belief: Array) -> None:
        """Backs both bounds up at a belief."""
        problem = self.problem
        _, best, mass = self._ahead(belief)
        chosen = (mass @ self.vectors.T).argmax(axis=2)  # [A, O] the best vector after each observation
        entries = problem.ahead.tocoo()
        row = entries.row
        ahead = entries.data * self.vectors[chosen[problem.action[row], problem.observation[row]], entries.col]
        at = problem.action[row] * problem.num_classes + problem.source[row]
        total = np.bincount(at, ahead, problem.reward.size).reshape(problem.num_actions, -1)
        backed_up = np.where(problem.legal.T, problem.reward.T + problem.gamma * total, self.floor)
        values = np.where(problem.allowed(belief[None])[0], backed_up @ belief, -np.inf)
        action = int(values.argmax())
        if values[action] > self.lower(belief[None])[0] + 1e-12:
            self.vectors = np.vstack([self.vectors, backed_up[action]])
            self.actions = np.append(self.actions, action)
        if best < self.upper(belief[None])[0] - 1e-12:
            if belief.max() > 1.0 - 1e-12:
                self.corners[int(belief.argmax())] = best
            else:
                self.points, self.values = np.vstack([self.points, belief]), np.append(self.values, best)

    def tidy(self) -> tuple[Array, Array]:
        """Drops vectors and points that others make useless; returns the vectors and their actions."""
        keep = []
        for i, vector in enumerate(self.vectors):
            above = (self.vectors >= vector).all(axis=1)
            above[i] = False
            equal = above & (self.vectors == vector).all(axis=1)
            if not (above & ~equal).any() and not equal[:i].any():
                keep.append(i)
        self.vectors, self.actions = self.vectors[keep], self.actions[keep]
        share = _share(self.points, self.points)
        np.fill_diagonal(share, 0.0)
        gain = self.values - self.points @ self.corners
        others = self.points @ self.corners + np.minimum(0.0, (share * gain).min(axis=1, initial=0.0))
        useful = self.values < others - 1e-12
        self.points, self.values = self.points[useful], self.values[useful]
        return self.vectors, self.actions


def _share(beliefs: Array, points: Array) -> Array:
    """Returns `[B, P]` the largest share φ of each point that a belief holds: b ≥ φ·point everywhere."""
    share = np.empty((len(beliefs), len(points)))
    for p, point in enumerate(points):
        where = np.flatnonzero(point)
        share[:, p] = (beliefs[:, where] / point[where]).min(axis=1)
    return share


def _blind(problem: BeliefProblem) -> tuple[Array, Array]:
    """Returns vectors that are below the value: the worst reward for ever, and always the same action.

    Source: Hauskrecht (1997), "Incremental methods for computing bounds in partially observable Markov decision
    processes", AAAI (blind policies).
    """
    worst = min(0.0, float(problem.reward[problem.legal].min()))
    always = np.flatnonzero(problem.legal.all(axis=0))
    first = int(always[0]) if len(always) else 0
    vectors, actions = [np.full(problem.num_classes, worst / (1.0 - problem.gamma))], [first]
    for a in always:
        system = np.eye(problem.num_classes) - problem.gamma * problem.chain(int(a))
        vectors.append(np.linalg.solve(system, problem.reward[:, a]))
        actions.append(int(a))
    return np.array(vectors), np.array(actions)
