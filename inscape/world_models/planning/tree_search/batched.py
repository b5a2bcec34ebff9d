"""A batched search under way: B trees in one block of memory, simulated, read, and moved on with what happens.

`kernels/tree.py` has the search itself. Here is what surrounds it: memory, the roots' noise, plans, subtrees kept
between moves, and what can go wrong. `law_trees.py` runs it on a known law in one compiled call, `model_trees.py` on
any world model with one call of the model, and one of `evaluate`, for all trees in each wave.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from inscape.envs.law import streams
from inscape.errors import UsageError
from inscape.world_models.interface import num_actions, require
from inscape.world_models.known import KnownModel, as_model
from inscape.world_models.planning.interface import Evaluate, Plans, SearchTree
from inscape.world_models.planning.kernels.tree import NO_ACTION, Trees
from inscape.world_models.planning.tree_search.batched_settings import SelectionRule
from inscape.world_models.planning.tree_search.common import checked_states, no_legal_action, no_number
from inscape.world_models.planning.tree_search.law_trees import LawTrees
from inscape.world_models.planning.tree_search.model_trees import ModelTrees
from inscape.world_models.planning.tree_search.network import PerceptronEvaluator
from inscape.world_models.tabular.counts import LearnedTabularModel
from inscape.world_models.tabular.model import TabularModel

MOST_BYTES = 16 << 30
"""Memory beyond which a search is refused before it is taken."""


class BatchedSearch:
    """Trees over B states: `run()` returns `Plans`, `advance(actions, states)` moves the roots on.

    Args:
        planner: `PUCT(...)` or `Gumbel(...)`.
        model: a `World` or `KnownModel`, a `TabularModel` (compiled without `evaluate`, or with a
            `PerceptronEvaluator`), or any other `WorldModel` with finitely many actions; several players need
            `mover_of`.
        states: a batch of B model states: `States`, `[B]` state numbers, or what `model.init` returned. One state of a
            world, or one number, is a batch of one.
        rng: gives each tree its own random stream; the environment's is never touched.
        evaluate: values `[B]` (of M players: `[B, M]`) and prior logits `[B, A]`, or None, of new states that are not
            terminal. None: roll-outs or 0, as the planner's `rollout` has it, and a uniform prior.
        keep: whether there is to be room for subtrees that are kept.

    Raises:
        UsageError: a state is terminal, or not one of the model's; a state that is not terminal has no legal action; a
            reward, value or logit is not a finite number; the model is an environment, its actions are not `Discrete`,
            or its players act at once.
    """

    def __init__(
        self, planner: SelectionRule, model: Any, states: Any, rng: np.random.Generator,
        evaluate: Evaluate | None = None, keep: bool = True,
    ) -> None:  # fmt: skip
        self.planner, name = planner, type(planner).__name__
        model = as_model(model, name)
        num_actions(model, name)
        if isinstance(model, LearnedTabularModel):
            model = model.tabular()
        if getattr(model, "num_players", 1) > 1:
            require(model, "mover_of", "a search with several players")
        self.model, self.evaluate = model, evaluate
        states = checked_states(states, model)
        self.keys = streams.random_keys(rng, len(states))
        self._runs = 0
        nodes = planner.max_nodes or (2 if keep else 1) * planner.num_simulations + 1
        by_law = isinstance(model, KnownModel) and (
            evaluate is None or (isinstance(evaluate, PerceptronEvaluator) and evaluate.world is model.world)
        )
        by_law = by_law or (isinstance(model, TabularModel) and evaluate is None)
        self.engine: LawTrees | ModelTrees = (LawTrees if by_law else ModelTrees)(
            planner, model, states, evaluate, self.keys, nodes, _allocate
        )
        self._found_trouble()

    def run(self, num_simulations: int | None = None) -> Plans:
        """Simulates (as often as the planner's settings say, by default) and returns the plans."""
        count = self.planner.num_simulations if num_simulations is None else num_simulations
        if count < 1:
            raise UsageError(f"num_simulations = {count}", expected="a whole number of at least 1")
        self._prepare(count)
        self.engine.simulate(count)
        self._found_trouble()
        return self._plans(count)

    def _prepare(self, count: int) -> None:
        """Lets the rule of selection make the roots ready."""
        columns = self.engine.columns
        columns.fresh[:] = 0
        tables = self.planner.begin_roots(columns, self.engine.roots, self.keys, self._runs, count)
        self._runs += 1
        self.engine.trees = self.engine.trees._replace(**tables)

    def _plans(self, count: int) -> Plans:
        T, roots, p = self.engine.columns, self.engine.roots, self.planner
        visits = T.tried[roots].astype(np.int64)
        actions, values, probs = p.read_roots(T, roots, self.engine)
        return Plans(
            actions=actions.astype(np.int64),
            values=values,
            action_values=np.where(visits > 0, T.q[roots], -np.inf),
            visit_counts=visits,
            action_probs=probs,
            simulations=np.full(len(roots), count, np.int64),
            trees=tuple(self._tree(b) for b in range(len(roots))) if p.keep_trees else (),
        )

    def _tree(self, b: int) -> SearchTree:
        T = self.engine.columns
        nodes = int(self.engine.roots[b]) + np.arange(T.count[b])
        depth = np.zeros(len(nodes), np.int64)
        for i in range(1, len(nodes)):
            depth[i] = depth[T.parent[nodes[i]] - nodes[0]] + 1
        visits = T.tried[nodes].astype(np.int64)
        return SearchTree(
            states=self.engine.states_of(nodes),
            visit_counts=T.visits[nodes].astype(np.int64),
            depth=depth,
            values=np.where(T.ended[nodes] > 0, 0.0, T.value[nodes, T.mover[nodes]]),
            terminal=T.ended[nodes] > 0,
            action_visits=visits,
            action_values=np.where(visits > 0, T.q[nodes], -np.inf),
        )

    # ------------------------------------------------------------------------------------------- between moves

    def advance(self, actions: Any, states: Any) -> np.ndarray:
        """Moves every root to what follows; returns `[B]` bool, whether its tree knew that state and keeps the subtree.

        Args:
            actions: `[B]` what was done at the roots.
            states: B states that followed, none of them terminal. (Another one begins a new tree.)

        Raises:
            UsageError: as when the search was begun; another number of actions or of states.
        """
        states = checked_states(states, self.model)
        actions = np.asarray(actions)
        count = len(self.keys)
        if actions.shape != (count,) or len(states) != count:
            raise UsageError(
                f"{len(states)} states after actions of shape {actions.shape}", expected=f"{count} of each, one a tree"
            )
        kept = self.engine.advance(actions.astype(np.int64), states)
        self._found_trouble()
        return kept

    # ------------------------------------------------------------------------------------------- what can go wrong

    def _found_trouble(self) -> None:
        T = self.engine.columns
        if not T.trouble.any():
            return
        b = int(np.flatnonzero(T.trouble)[0])
        kind, node = int(T.trouble[b]), int(T.where[b])
        where, owner = self.engine.describe(node), self.engine.owner
        if kind == NO_ACTION:
            error = no_legal_action(owner)
            raise UsageError(f"{error.found}: {where}", expected=error.expected, hint=error.hint)
        numbers = np.concatenate([T.reward[node], T.leaf[node], T.prior[node]])
        wrong = numbers[np.isnan(numbers) | np.isposinf(numbers)]
        if not np.isfinite(T.reward[node]).all():
            raise no_number(owner, float(T.reward[node][~np.isfinite(T.reward[node])][0]), f"on the way to {where}")
        raise UsageError(
            f"the value or a logit of {where} of {owner} is {float(wrong[0]) if len(wrong) else np.nan}",
            expected="finite numbers",
        )


def _allocate(
    planner: SelectionRule, trees: int, nodes: int, actions: int, players: int, width: int
) -> tuple[Trees, tuple[Any, ...]]:
    """Returns memory for B trees of `nodes` nodes, and the rule of `kernels/tree.py`; `width` < 0: sampled outcomes."""
    sampled, width = width < 0, abs(width)
    room = nodes + planner.leaves
    total = trees * room
    bytes_ = total * (32 + 24 * players + 20 * actions + 12 * actions * width)
    if bytes_ > MOST_BYTES or total * actions * width >= 2**31:
        raise UsageError(
            f"a search of {trees} trees × {room:,} nodes × {actions} actions × {width} outcomes: "
            f"{bytes_ / 2**30:,.1f} GiB",
            expected=f"at most {MOST_BYTES >> 30} GiB",
            hint="fewer states at a time, fewer simulations, or max_nodes",
        )

    def zeros(kind: Any, *shape: int) -> np.ndarray:
        return np.zeros(shape, kind)

    low, high = planner.value_range or (np.inf, -np.inf)
    span = np.tile(np.array([low, high, *[0.0] * (players + 2 * actions)]), (trees, 1))
    T = Trees(
        node=np.zeros((total, 6 + actions * (1 + width)), np.int32),
        real=np.zeros((total, 1 + 3 * players + actions * (2 + (width if width > 1 else 0)))),
        tree=np.zeros((trees, 4 + actions), np.int64),
        tree_real=span,
        considered=np.zeros((trees, 1), np.int32),
        spread=np.zeros(1),
    )
    rule = (
        planner.selection, planner.max_depth, room, nodes, width, sampled, planner.value_range is not None,
        *planner.value_weights, actions, players,
    )  # fmt: skip
    return T, rule
