"""Gumbel search with sequential halving at the root and completed action values, for a batch of states at once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from inscape.envs.law import streams
from inscape.world_models.planning.interface import Evaluate, Plans
from inscape.world_models.planning.tree_search.batched_settings import SelectionRule
from inscape.world_models.planning.tree_search.settings import require_count

if TYPE_CHECKING:
    from inscape.world_models.planning.tree_search.batched import BatchedSearch


@dataclass(frozen=True)
class Gumbel(SelectionRule):
    """The planner: `Gumbel(num_simulations=32).plan(model, states, rng, evaluate)`, one tree for each of B states.

    The root draws `max_considered` actions without replacement from the prior (the largest logits plus Gumbel noise)
    and halves them in phases of equal visits, by noise + logits + σ(q). Below it the action is taken that brings visits
    closest to the improved policy π′ = softmax(logits + σ(completed q)), with σ(q) = (value_offset + max N) ·
    value_scale · q and q in units of the tree's span. It improves on the prior however few the simulations are: E[q]
    under π′ is at least that under the prior, where q is exact. It proposes the action that halving leaves;
    `Plans.action_probs` is π′, and `values` what π′ earns by the values of the actions tried. What it needs of a model:
    finitely many actions; `mover_of` where several players act in turn.

    Source: Danihelka, Guez, Schrittwieser & Silver (2022), "Policy improvement by planning with Gumbel", ICLR:
    algorithm 2, equations 8, 10, 11, 14, 33. Sequential halving: Karnin, Koren & Somekh (2013), ICML.
    """

    selection: ClassVar[int] = 1

    max_considered: int = 16
    """Actions that the root considers at most."""
    value_scale: float = 0.1
    """How much action values weigh against the prior; 1.0 in the paper's board games."""
    value_offset: float = 50.0
    """Visits that σ adds to the most visited action's."""
    noise: float = 1.0
    """Scale of the Gumbel noise at the root; 0 takes the largest logits, and proposes the best action it finds."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_count(self, "max_considered")
        self._require_weights("value_scale", "value_offset", "noise")

    def plan(self, model: Any, states: Any, rng: np.random.Generator, evaluate: Evaluate | None = None) -> Plans:
        """Returns a plan for each of B states; see `BatchedSearch` for the arguments, and for what it raises."""
        from inscape.world_models.planning.tree_search.batched import BatchedSearch

        return BatchedSearch(self, model, states, rng, evaluate, keep=False).run()

    def begin(
        self, model: Any, states: Any, rng: np.random.Generator, evaluate: Evaluate | None = None
    ) -> BatchedSearch:
        """Returns a search that goes on: `run()`, then `advance(actions, states)`, which keeps the subtrees."""
        from inscape.world_models.planning.tree_search.batched import BatchedSearch

        return BatchedSearch(self, model, states, rng, evaluate)

    # ------------------------------------------------------------------------------------------- the rule

    @property
    def value_weights(self) -> tuple[float, float]:
        return float(self.value_scale), float(self.value_offset)

    def begin_roots(self, T: Any, roots: np.ndarray, keys: np.ndarray, run: int, count: int) -> dict[str, np.ndarray]:
        """Draws the roots' Gumbel noise; returns how often the root has taken what it takes at each simulation."""
        trees, actions = T.fresh.shape
        counters = NOISE + run * actions + np.tile(np.arange(actions), trees)
        u = streams.uniforms(np.repeat(keys, actions), counters).reshape(trees, actions)
        T.noise[:] = self.noise * -np.log(-np.log(np.maximum(u, 2.0**-54)))
        legal = (T.prior[roots] > 0.0).sum(axis=1).tolist()
        rows = {n: considered_visits(min(n, self.max_considered), count) for n in set(legal)}
        return {"considered": np.array([rows[n] for n in legal], np.int32)}

    def read_roots(self, T: Any, roots: np.ndarray, engine: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns the actions that halving left, what π′ earns by the values of the actions tried, and π′."""
        from inscape.world_models.planning.kernels.tree import improved_policy

        probs = np.zeros(T.fresh.shape)
        improved_policy(engine.trees, engine.rule, probs)
        with np.errstate(divide="ignore"):
            scores = T.noise + np.log(probs)
        scores[T.fresh < T.fresh.max(axis=1, keepdims=True)] = -np.inf
        tried = np.where(T.tried[roots] > 0, np.maximum(probs, 1e-300), 0.0)
        values = (tried * T.q[roots]).sum(axis=1) / tried.sum(axis=1)
        return scores.argmax(axis=1), values, probs


NOISE = 1 << 61
"""Number of a tree's random stream from which the root's noise is drawn: no roll-out gets there."""


@lru_cache(maxsize=256)
def considered_visits(actions: int, simulations: int) -> tuple[int, ...]:
    """Returns, for each simulation at the root, how often the action to take has been taken before.

    Sequential halving of `actions` actions: ⌈log₂ actions⌉ phases, in each of which the remaining ones are taken
    equally often; half of them remain for the next, at least two, until the simulations are used up.

    Source: Karnin, Koren & Somekh (2013), "Almost optimal exploration in multi-armed bandits", ICML, algorithm 1.
    """
    if actions <= 1:
        return tuple(range(simulations))
    phases, remaining, done = math.ceil(math.log2(actions)), actions, 0
    sequence: list[int] = []
    while len(sequence) < simulations:
        for _ in range(max(1, simulations // (phases * remaining))):
            sequence += [done] * remaining
            done += 1
        remaining = max(2, remaining // 2)
    return tuple(sequence[:simulations])
