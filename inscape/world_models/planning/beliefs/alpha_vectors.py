"""Values of beliefs as the maximum of vectors: exact for a fixed horizon, and the bounds QMDP and FIB.

Sources: Smallwood & Sondik (1973), "The optimal control of partially observable Markov processes over a finite
horizon", Operations Research 21(5); incremental pruning: Cassandra, Littman & Zhang (1997), UAI, with the linear
programme of White (1991); QMDP: Littman, Cassandra & Kaelbling (1995), ICML; fast informed bound: Hauskrecht (2000),
"Value-function approximations for partially observable Markov decision processes", JAIR 13, section 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from inscape.errors import UsageError
from inscape.world_models.planning.beliefs.problem import BeliefProblem

Array = np.ndarray[Any, Any]
PRUNING = 1e-10
"""A vector stays if it is better than the others by more than this somewhere."""


@dataclass(frozen=True, eq=False)
class AlphaVectors:
    """V(b) = max_i b·vectors[i], with the action that each vector begins with.

    Attributes:
        problem: the partly observed problem.
        vectors: `[N, C]` values by class of states.
        actions: `[N]` first actions.
    """

    problem: BeliefProblem
    vectors: Array
    actions: Array

    def __len__(self) -> int:
        return len(self.vectors)

    def values(self, beliefs: Array) -> Array:
        """Returns `[B]` values of `[B, S]` beliefs over the states of the world (what `BeliefModel.init` returns)."""
        return np.asarray((self._seen(beliefs) @ self.vectors.T).max(axis=1))

    def act(self, beliefs: Array) -> Array:
        """Returns `[B]` actions, those of the best vectors."""
        classes = self._seen(beliefs)
        allowed = self.problem.allowed(classes)[:, self.actions]
        return np.asarray(self.actions[np.where(allowed, classes @ self.vectors.T, -np.inf).argmax(axis=1)])

    @property
    def value(self) -> float:
        """Value of the start."""
        start = self.problem.initial @ self.vectors.T
        return float(self.problem.initial_probability @ start.max(axis=1))

    def _seen(self, beliefs: Array) -> Array:
        found = np.asarray(beliefs, np.float64)
        states = len(self.problem.class_of)
        if found.ndim != 2 or found.shape[1] != states:
            raise UsageError(f"beliefs of shape {list(found.shape)}", expected=f"[B, {states}] probabilities of states")
        return self.problem.belief_of(found)


def alpha_vectors(
    model: Any, horizon: int, gamma: float | None = None, max_vectors: int = 10_000
) -> list[AlphaVectors]:
    """Returns the exact value functions of 1, …, H steps to go, by incremental pruning.

    Args:
        model: a world that hides its state (or its class or name), or a `BeliefModel`.
        horizon: H, at least 1.
        gamma: discount in [0, 1]; None: the one that the world states, 1 where nothing is stated.
        max_vectors: before pruning; more are refused.

    Raises:
        UsageError: horizon below 1; actions are legal in some states and not in others; too many vectors.
    """
    if isinstance(horizon, bool) or not isinstance(horizon, int | np.integer) or horizon < 1:
        raise UsageError(f"horizon = {horizon!r}", expected="a number of steps, at least 1")
    problem = BeliefProblem.of(model, gamma, horizon=horizon)
    if not problem.legal.all():
        raise UsageError(
            "actions that are legal in some states only",
            expected="a problem in which all actions are always legal",
            hint="point_based, whose bounds close",
        )
    vectors, actions = np.zeros((1, problem.num_classes)), np.zeros(1, np.int64)
    stages = []
    for _ in range(horizon):
        found, first = [], []
        projected = problem.gamma * (problem.ahead @ vectors.T)  # [U, N]
        for a in range(problem.num_actions):
            total = np.zeros((1, problem.num_classes))
            for o in np.unique(problem.observation[problem.action == a]):
                rows = np.flatnonzero((problem.action == a) & (problem.observation == o))
                every = np.zeros((len(vectors), problem.num_classes))
                every[:, problem.source[rows]] = projected[rows].T
                ahead = prune(every)
                if len(total) * len(ahead) > max_vectors:
                    raise UsageError(
                        f"{len(total) * len(ahead):,} vectors to prune", expected=f"at most {max_vectors:,}",
                        hint="a shorter horizon, or point_based, whose bounds close",
                    )  # fmt: skip
                total = prune((total[:, None] + ahead[None]).reshape(-1, problem.num_classes))
            found.append(total + problem.reward[:, a])
            first.append(np.full(len(total), a))
        stacked, chosen = np.concatenate(found), np.concatenate(first)
        kept = pruned(stacked)
        vectors, actions = stacked[kept], chosen[kept]
        stages.append(AlphaVectors(problem, vectors, actions))
    return stages


def prune(vectors: Array) -> Array:
    """Returns the vectors that are best at some belief."""
    return vectors[pruned(vectors)]


def pruned(vectors: Array) -> Array:
    """Returns the numbers of the vectors that are best at some belief, by linear programmes (Lark's filter).

    Source: White (1991), "A survey of solution techniques for the partially observed Markov decision process", Annals
    of Operations Research 32.
    """
    vectors = _in_units(vectors)
    candidates = _not_dominated(vectors)
    if len(candidates) == 1:
        return candidates
    # best at a corner: certainly kept
    kept = list(dict.fromkeys(candidates[vectors[candidates].argmax(axis=0)].tolist()))
    waiting = [c for c in candidates.tolist() if c not in set(kept)]
    while waiting:
        belief = _where_better(vectors[waiting[-1]], vectors[kept])
        if belief is None:
            waiting.pop()
            continue
        best = max(waiting, key=lambda c: (round(float(belief @ vectors[c]), 12), -c))
        kept.append(best)
        waiting.remove(best)
    return np.array(sorted(kept))


def _in_units(vectors: Array) -> Array:
    """Returns the vectors with a range of about 1,000 from 0 on: tolerances here and in linear programmes are absolute.

    The unit is a power of two, by which nothing is rounded.
    """
    least, most = float(vectors.min()), float(vectors.max())
    exponent = int(np.frexp(most - least)[1])
    return np.asarray(np.ldexp(vectors - least, 10 - exponent)) if most > least else np.zeros_like(vectors)


def _not_dominated(vectors: Array) -> Array:
    """Returns the numbers of vectors that no other is at least as good as everywhere; of equals the first."""
    _, first = np.unique(np.round(vectors, 12), axis=0, return_index=True)
    order = np.sort(first)
    kept = []
    for i in order:
        above = (vectors[order] >= vectors[i] - PRUNING).all(axis=1) & (order != i)
        if not (above & (vectors[order].sum(axis=1) > vectors[i].sum())).any():
            kept.append(i)
    return np.array(kept)


def _where_better(vector: Array, others: Array) -> Array | None:
    """Returns a belief at which a vector is better than all others, or None."""
    from scipy.optimize import linprog

    size = len(vector)
    # maximise d with b·(vector − other) ≥ d for all others, b a distribution
    done = linprog(
        np.append(np.zeros(size), -1.0),
        A_ub=np.column_stack([others - vector, np.ones(len(others))]),
        b_ub=np.zeros(len(others)),
        A_eq=np.append(np.ones(size), 0.0)[None],
        b_eq=[1.0],
        bounds=[*([(0.0, 1.0)] * size), (None, None)],
        method="highs",
    )
    if not done.success:
        raise UsageError(f"a linear programme was not solved: {done.message}")
    return np.asarray(done.x[:size]) if done.x[-1] > PRUNING else None


def qmdp(problem: BeliefProblem | Any) -> Array:
    """Returns `[C, A]` action values of one who sees the state from the next step on: V(b) ≤ max_a b·Q[:, a].

    Takes a `BeliefProblem`, or what one is made of: a `BeliefModel`, a world, its class or its name.

    Source: Littman, Cassandra & Kaelbling (1995), "Learning policies for partially observable environments: scaling
    up", ICML.
    """
    problem = problem if isinstance(problem, BeliefProblem) else BeliefProblem.of(problem)
    rows, size = problem.action * problem.num_classes + problem.source, problem.reward.size

    def backed_up(q: Array) -> Array:
        best = problem.ahead @ np.where(problem.legal, q, -np.inf).max(axis=1)
        total = np.bincount(rows, best, size).reshape(problem.num_actions, -1)
        return np.asarray(problem.reward + problem.gamma * total.T)

    return _fixed_point(problem, backed_up, np.zeros(problem.reward.shape))


def fast_informed_bound(problem: BeliefProblem | Any) -> Array:
    """Returns `[C, A]` the fast informed bound, between the value and QMDP: V(b) ≤ max_a b·Q[:, a].

    Takes what `qmdp` takes.

    Source: Hauskrecht (2000), JAIR 13, section 4.
    """
    problem = problem if isinstance(problem, BeliefProblem) else BeliefProblem.of(problem)
    rows, size = problem.action * problem.num_classes + problem.source, problem.reward.size
    able = (problem.ahead > 0).astype(float) @ (~problem.legal).astype(float) == 0

    def backed_up(q: Array) -> Array:
        # Q(s, a) = R + γ Σ_o max_a' Σ_s' P(s', o | s, a) Q(s', a'), a' legal in every state that may follow; where
        # there is none, the next state is as good as seen
        best = np.where(able, problem.ahead @ np.where(problem.legal, q, 0.0), -np.inf).max(axis=1)
        seen = problem.ahead @ np.where(problem.legal, q, -np.inf).max(axis=1)
        total = np.bincount(rows, np.where(np.isneginf(best), seen, best), size).reshape(problem.num_actions, -1)
        return np.asarray(problem.reward + problem.gamma * total.T)

    return _fixed_point(problem, backed_up, qmdp(problem))


def _fixed_point(problem: BeliefProblem, backed_up: Any, q: Array) -> Array:
    """Iterates a contraction from above or below until it moves by rounding alone, and adds what may be left."""
    problem.require_discount("bounds on values of beliefs")
    for _ in range(1_000_000):
        after = backed_up(q)
        change = float(np.abs(after - q).max())
        q = after
        if change <= 1e-10 * max(float(np.abs(problem.reward).max()), float(np.abs(q).max())):
            break
    return np.asarray(q + problem.gamma / (1.0 - problem.gamma) * change)
