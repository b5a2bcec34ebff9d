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
from inscape.world_models.planning.beliefs.alpha_vectors import AlphaVectors
from inscape.world_models.planning.beliefs.bounds import Bounds, Node
from inscape.world_models.planning.beliefs.problem import BeliefProblem

Array = np.ndarray[Any, Any]
DEEPEST = 1_000
"""Steps of a trial."""
NARROWING = 0.5
"""A trial goes on until what is left cannot narrow the gap at the start below this share of it: the first ones are
short, since deep beliefs matter only once the gap is small."""
IMPOSSIBLE = 1e-12
"""Observations below this probability are not followed."""
MOST_UNPRUNED, GROWTH = 50, 1.1
"""Vectors (and beliefs with values) are pruned once there are more than this factor of those left, and so many more."""


@dataclass(frozen=True, eq=False)
class BeliefSolution(AlphaVectors):
    """A lower bound on the values of all beliefs, and how far from the optimum it may be at the start.

    Attributes:
        lower, upper: bounds on the value of the start; acting by the vectors earns at least `lower`.
        trials: walks through belief space.
        steps: beliefs they came through.
        seconds: it took.
    """

    lower: float
    upper: float
    trials: int
    steps: int
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
    bounds = Bounds(problem, tolerance)
    weights, starts = problem.initial_probability, problem.initial
    trials = steps = 0
    sizes = (MOST_UNPRUNED, MOST_UNPRUNED)
    while True:
        lower, upper = bounds.lower(starts), bounds.upper(starts)
        gap = float(weights @ (upper - lower))
        spent = time.perf_counter() - began
        if gap <= tolerance or trials >= max_trials or spent >= max_seconds:
            break
        start = int(np.argmax((upper - lower) * weights))
        steps += _trial(bounds, starts[start], max(0.9 * tolerance, NARROWING * gap), began + max_seconds)
        trials += 1
        if bounds.num_vectors > sizes[0] or bounds.num_points > sizes[1]:
            bounds.tidy()
            sizes = (MOST_UNPRUNED + int(GROWTH * bounds.num_vectors), MOST_UNPRUNED + int(GROWTH * bounds.num_points))
    bounds.tidy()
    return BeliefSolution(
        problem, bounds.vectors, bounds.actions, float(weights @ lower), float(weights @ upper), trials, steps,
        time.perf_counter() - began,
    )  # fmt: skip


def _trial(bounds: Bounds, belief: Array, tolerance: float, until: float) -> int:
    """Walks from a belief to where the gap no longer matters, then improves both bounds on the way back.

    Returns:
        How many beliefs it came through.
    """
    path: list[Node] = []
    gamma = max(bounds.problem.gamma, 1e-9)
    allowed_gap = tolerance
    while len(path) < DEEPEST and time.perf_counter() < until:
        node = bounds.node(belief)
        path.append(node)
        action = int(bounds.ahead(node, node.upper).argmax())
        allowed_gap /= gamma
        mine = node.action == action
        excess = node.probability * np.where(mine, node.upper - node.lower - allowed_gap, -np.inf)
        excess = np.where(node.probability > IMPOSSIBLE, excess, -np.inf)
        if not len(excess) or not excess.max() > 0:
            break
        belief = node.beliefs[int(excess.argmax())]
    for node in reversed(path):
        if time.perf_counter() > until:
            break
        bounds.improve(node)
    return len(path)
