"""Heuristic search value iteration where most of the state is seen: vectors and points for each percept by itself.

The bounds are those of `point_based`; a vector has an entry for each state that looks like what is seen, so that tens
of thousands of states cost little where few of them look alike: a world that is seen whole, and a hidden goal.

Sources: Ong, Png, Hsu & Lee (2010), IJRR 29(8) (mixed observability); Smith & Simmons (2005), UAI (HSVI2); upper bound
by interpolation: Hauskrecht (2000), JAIR 13, section 4.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from inscape.errors import UsageError
from inscape.world_models.belief.model import BeliefModel
from inscape.world_models.planning.beliefs.mixed_problem import SMALLEST, MixedProblem
from inscape.world_models.planning.dynamic_programming import value_iteration

Array = np.ndarray[Any, Any]
DEEPEST = 1_000
"""Steps of a trial."""
NARROWING = 0.5
"""A trial goes on until what is left cannot narrow the gap at the start below this share of it."""
DIGITS = 12
"""Decimals by which beliefs are told apart."""
SWEEPS, LOWEST = 10_000, -1e200
LEAST = 1e-12
"""What counts as better, as a share of the largest reward."""


class Place:
    """The bounds of one percept: vectors `[n]` with their first actions, and values of beliefs."""

    def __init__(self, vectors: Array, actions: Array, q_values: Array) -> None:
        self.vectors, self.actions = vectors, actions
        self.q_values = np.maximum(q_values, LOWEST)  # −inf times a probability of 0 is no number
        self.corners = q_values.max(axis=1)
        self.points: list[Array] = []
        self.values: list[float] = []
        self._inverse, self._gains = np.zeros((0, len(q_values))), np.zeros(0)
        self.version = 0

    def lower(self, belief: Array) -> tuple[float, int]:
        """Returns the lower bound at a belief, and which vector gives it."""
        scores = self.vectors @ belief
        best = int(scores.argmax())
        return float(scores[best]), best

    def upper(self, belief: Array) -> float:
        """Returns the upper bound at a belief: what would be known a step later, and what points say."""
        bound = min(float((belief @ self.q_values).max()), float(belief @ self.corners))
        if len(self._gains):
            share = np.where(self._inverse > 0, belief * self._inverse, 1.0).min(axis=1)
            bound = min(bound, float(belief @ self.corners + (share * self._gains).min()))
        return bound

    def add_vector(self, vector: Array, action: int) -> None:
        """Adds a vector of the lower bound; those it is nowhere below go."""
        kept = (self.vectors > vector).any(axis=1)
        self.vectors = np.concatenate([self.vectors[kept], vector[None]])
        self.actions = np.append(self.actions[kept], action)
        self.version += 1

    def add_point(self, belief: Array, value: float) -> None:
        """Adds a belief whose value is at most `value`."""
        if belief.max() > 1.0 - 1e-12:
            corner = int(belief.argmax())
            self.corners[corner] = min(self.corners[corner], value)
        else:
            self.points.append(belief)
            self.values.append(value)
        if self.points:
            points = np.array(self.points)
            self._gains = np.minimum(np.array(self.values) - points @ self.corners, 0.0)
            self._inverse = np.divide(1.0, points, out=np.zeros_like(points), where=points > SMALLEST)
        self.version += 1


class Node:
    """A belief at a percept, with its bounds and, once it was expanded, what may follow it."""

    __slots__ = ("belief", "best", "children", "lower", "percept", "probability", "reward", "seen", "upper")

    def __init__(self, percept: int, belief: Array) -> None:
        self.percept, self.belief = percept, belief
        self.children: list[Node | None] | None = None
        self.probability = self.reward = np.zeros(0)
        self.lower, self.upper = -np.inf, np.inf
        self.best = np.zeros(0)
        self.seen = -1


class MixedBounds:
    """A lower and an upper bound on the values of all beliefs of a problem.

    Attributes:
        problem: the problem.
        q_values: `[N, A]` of one who sees everything (the upper bound at first); −inf where illegal.
    """

    def __init__(self, problem: MixedProblem) -> None:
        self.problem = problem
        tables = problem.model.tables
        solution = value_iteration(tables, problem.gamma, 1e-9 * max(1.0, float(np.abs(tables.reward).max())))
        full = np.where(tables.legal, solution.q_values + min(solution.error_bound, 1e300), -np.inf)
        self.q_values = full[problem.order]
        self._base, self._base_actions = base_vectors(problem, self.q_values)
        self._places: dict[int, Place] = {}
        self._nodes: dict[tuple[int, bytes], Node] = {}
        self._least = LEAST * max(1e-300, float(np.abs(problem.reward).max()))

    def place(self, percept: int) -> Place:
        """Returns the bounds of a percept."""
        place = self._places.get(percept)
        if place is None:
            here = self.problem.members(percept)
            vectors, actions = self._base[here].T, self._base_actions[:, here.start]
            place = self._places[percept] = Place(vectors, actions, self.q_values[here])
        return place

    def node(self, percept: int, belief: Array) -> Node:
        """Returns the node of a belief; the same one for the same belief."""
        key = percept, (np.round(belief, DIGITS) + 0.0).tobytes()
        node = self._nodes.get(key)
        if node is None:
            node = self._nodes[key] = Node(percept, belief)
        self.look(node)
        return node

    def look(self, node: Node) -> None:
        """Brings the bounds at a node up to date with its percept's vectors and points."""
        place = self.place(node.percept)
        if node.seen != place.version:
            lower, best = place.lower(node.belief)
            node.lower, node.best = lower, place.vectors[best]
            node.upper = min(node.upper, place.upper(node.belief))
            node.seen = place.version

    def expand(self, node: Node) -> list[Node | None]:
        """Returns what may follow a node, link by link; None where it cannot."""
        if node.children is None:
            problem, fan = self.problem, self.problem.fan(node.percept)
            probability, mass = problem.following(node.percept, node.belief)
            node.probability = np.where(probability > SMALLEST, probability, 0.0)
            node.reward = np.where(fan.legal, node.belief @ fan.reward, -np.inf)
            node.children = [
                self.node(int(target), mass[fan.first[l] : fan.first[l + 1]] / probability[l])
                if node.probability[l] > 0
                else None
                for l, target in enumerate(fan.target)
            ]  # fmt: skip
        return node.children

    def ahead(self, node: Node, which: str) -> tuple[Array, Array]:
        """Returns `([A] values of actions, [L] bounds of what follows)`, lower or upper."""
        children, fan = self.expand(node), self.problem.fan(node.percept)
        worth = np.zeros(len(children))
        for l, child in enumerate(children):
            if child is not None:
                self.look(child)
                worth[l] = getattr(child, which)
        total = np.bincount(fan.action, node.probability * worth, self.problem.num_actions)
        return node.reward + self.problem.gamma * total, worth

    def improve(self, node: Node) -> None:
        """Backs both bounds up at a node."""
        place = self.place(node.percept)
        best = float(self.ahead(node, "upper")[0].max())
        if best < place.upper(node.belief) - self._least:
            place.add_point(node.belief, best)
        values = self.ahead(node, "lower")[0]
        action = int(values.argmax())
        if values[action] > place.lower(node.belief)[0] + self._least:
            place.add_vector(self._backed_up(node, action), action)
        self.look(node)

    def _backed_up(self, node: Node, action: int) -> Array:
        """Returns `[n]` the vector of an action followed by the best vector after each percept."""
        problem, fan = self.problem, self.problem.fan(node.percept)
        vector = fan.reward[:, action].copy()
        mine = np.flatnonzero(fan.action == action)
        if not len(mine):
            return vector
        row = np.zeros(int(fan.first[-1]))
        uniform = np.full(len(node.belief), 1.0 / len(node.belief))
        anywhere: Array | None = None
        for l in mine.tolist():
            child = node.children[l] if node.children is not None else None
            span = slice(int(fan.first[l]), int(fan.first[l + 1]))
            if child is not None:
                row[span] = child.best
            else:
                anywhere = problem.following(node.percept, uniform)[1] if anywhere is None else anywhere
                there = self.place(int(fan.target[l]))
                row[span] = there.vectors[there.lower(anywhere[span])[1]]
        used = np.isin(fan.link, mine)
        return np.asarray(
            vector + problem.gamma * np.bincount(fan.source[used], fan.mass[used] * row[fan.place[used]], len(vector))
        )


def base_vectors(problem: MixedProblem, q_values: Array) -> tuple[Array, Array]:
    """Returns `([N, X] values, [X, N] actions)` of policies that depend on the percept alone: lower bounds.

    Each action for ever, where it is always legal; the best action on average over the states of a percept; and, for
    the k-th of those states, the action that is best there.
    """
    tables, order = problem.model.tables, problem.order
    owner = np.repeat(np.arange(len(problem.first) - 1), np.diff(problem.first))
    heads = problem.first[:-1][np.diff(problem.first) > 0]
    at = np.cumsum(np.bincount(owner, minlength=len(problem.first) - 1) > 0)[owner] - 1  # percepts that have members
    legal = np.logical_and.reduceat(problem.legal, heads)
    finite = np.where(np.isfinite(q_values), q_values, 0.0)
    sizes = np.diff(np.append(heads, len(order)))
    choices = [np.full(len(heads), a) for a in np.flatnonzero(problem.legal.all(axis=0))]
    choices.append(np.where(legal, np.add.reduceat(finite, heads), -np.inf).argmax(axis=1))
    for k in range(int(sizes.max(initial=1)) if int(sizes.max(initial=1)) <= 64 else 0):
        row = heads + np.minimum(k, sizes - 1)
        choices.append(np.where(legal, finite[row], -np.inf).argmax(axis=1))
    chosen = np.unique(np.array(choices), axis=0)
    actions = chosen[:, at]
    vectors = np.empty((len(order), len(chosen)))
    for x, taken in enumerate(actions):
        vectors[:, x] = _value_from_below(problem, tables, taken)
    return vectors, actions


def _value_from_below(problem: MixedProblem, tables: Any, actions: Array) -> Array:
    """Returns `[N]` a lower bound, close to the value, of always taking the given action in each state."""
    from scipy.sparse import csr_matrix

    rows, size = problem.order, len(problem.order)
    mass = tables.probability[rows, actions] * tables.continuation[rows, actions]
    following = problem.place[tables.next_state[rows, actions]]
    used = (mass > 0) & (following >= 0)
    row, k = np.nonzero(used)
    chain = problem.gamma * csr_matrix((mass[row, k], (row, following[row, k])), (size, size))
    reward = problem.reward[np.arange(size), actions]
    values = np.full(size, min(0.0, float(reward.min())) / (1.0 - problem.gamma))
    scale = max(1e-300, float(np.abs(reward).max()))
    for _ in range(SWEEPS):  # from below, each sweep is a lower bound
        after = reward + chain @ values
        done = float(np.abs(after - values).max()) <= 1e-9 * scale
        values = after
        if done:
            break
    return np.asarray(values)


@dataclass(frozen=True, eq=False)
class MixedSolution:
    """Bounds that were brought together, and what is best by them.

    Attributes:
        problem: what was solved.
        bounds: the bounds on all beliefs.
        lower, upper: on the value of the start; acting by `action_values` earns at least `lower`.
        trials: walks through belief space.
        seconds: it took.
    """

    problem: MixedProblem
    bounds: MixedBounds
    lower: float
    upper: float
    trials: int
    seconds: float

    @property
    def gap(self) -> float:
        """Certifies that acting so earns at least the optimum less this, from the start."""
        return self.upper - self.lower

    def action_values(self, percept: int, belief: Array) -> Array:
        """Returns `[A]` values of actions, looking a step ahead to the lower bound; −inf where illegal."""
        problem, fan = self.problem, self.problem.fan(percept)
        probability, mass = problem.following(percept, belief)
        worth = np.zeros(len(probability))
        for l in np.flatnonzero(probability > SMALLEST).tolist():
            # the mass itself, not the belief: the bound is a maximum of linear functions
            part = mass[fan.first[l] : fan.first[l + 1]]
            worth[l] = self.bounds.place(int(fan.target[l])).lower(part)[0]
        total = np.bincount(fan.action, worth, problem.num_actions)
        return np.where(fan.legal, belief @ fan.reward + problem.gamma * total, -np.inf)


def mixed_point_based(
    model: BeliefModel,
    gamma: float | None = None,
    tolerance: float = 1e-3,
    max_seconds: float = 30.0,
    max_trials: int = 1_000_000,
) -> MixedSolution:
    """Returns bounds within `tolerance` of each other at the start, where much of the state is seen.

    The value found is that of `point_based`, whose vectors have an entry for every state; here they have one for every
    state that looks the same, so that tens of thousands of states can be planned in.

    Args:
        model: a `BeliefModel`.
        gamma: discount below 1; None: 0.95.
        tolerance: the gap to reach.
        max_seconds, max_trials: stops after these; `gap` then says how far it got.

    Raises:
        UsageError: gamma is 1 or out of range; tolerance not positive.
    """
    if not tolerance > 0:
        raise UsageError(f"tolerance = {tolerance}", expected="a positive number")
    began = time.perf_counter()
    problem = MixedProblem.of(model, 0.95 if gamma is None else gamma)
    bounds = MixedBounds(problem)
    starts = [(probability, bounds.node(o, belief)) for o, probability, belief in problem.starts]
    trials = 0
    while True:
        for _, node in starts:
            bounds.look(node)
        lower = sum(p * node.lower for p, node in starts)
        upper = sum(p * node.upper for p, node in starts)
        gap = upper - lower
        if gap <= tolerance or trials >= max_trials or time.perf_counter() - began >= max_seconds:
            break
        worst = max(starts, key=lambda start: start[0] * (start[1].upper - start[1].lower))[1]
        _trial(bounds, worst, max(0.9 * tolerance, NARROWING * gap), began + max_seconds)
        trials += 1
    return MixedSolution(problem, bounds, lower, upper, trials, time.perf_counter() - began)


def _trial(bounds: MixedBounds, node: Node, tolerance: float, until: float) -> None:
    """Walks from a belief to where the gap no longer matters, then improves both bounds on the way back."""
    path: list[Node] = []
    allowed = tolerance
    gamma = max(bounds.problem.gamma, 1e-9)
    while len(path) < DEEPEST and time.perf_counter() < until:
        path.append(node)
        values, upper = bounds.ahead(node, "upper")
        action, fan = int(values.argmax()), bounds.problem.fan(node.percept)
        allowed /= gamma
        lower = np.array([0.0 if child is None else child.lower for child in node.children or ()])
        mine = (fan.action == action) & (node.probability > 0)
        excess = np.where(mine, node.probability * (upper - lower - allowed), -np.inf)
        if not len(excess) or not excess.max() > 0:
            break
        child = (node.children or [])[int(excess.argmax())]
        assert child is not None
        node = child
    for node in reversed(path):
        if time.perf_counter() > until:
            break
        bounds.improve(node)
