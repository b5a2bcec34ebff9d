"""Trees of a batched search on any model: one call of it, and one of `evaluate`, for all trees in a wave."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from inscape.envs.law.states import States
from inscape.errors import UsageError
from inscape.world_models.interface import as_numpy, has_outcomes, legal_actions, num_actions
from inscape.world_models.planning.interface import Evaluate, evaluated
from inscape.world_models.planning.kernels import tree as kernels
from inscape.world_models.planning.kernels import waves
from inscape.world_models.planning.kernels.tree import HERE, NO_ACTION, Trees
from inscape.world_models.planning.tree_search.columns import Columns
from inscape.world_models.planning.tree_search.common import terminal_root

READER = "a batched search"


class ModelTrees:
    """See `BatchedSearch`. Attributes: `trees`, `rule`, `roots [B]`, `owner` for messages."""

    def __init__(
        self, planner: Any, model: Any, states: Any, evaluate: Evaluate | None,
        keys: np.ndarray, nodes: int, allocate: Callable[..., tuple[Trees, tuple[Any, ...]]],
    ) -> None:  # fmt: skip
        self.owner, self._planner, self.model = type(model).__name__, planner, model
        self._rng = np.random.default_rng(keys.view(np.uint64).tolist())
        self._players, self._actions = getattr(model, "num_players", 1), num_actions(model, READER)
        self._exact, self._evaluate = has_outcomes(model), evaluate
        count = len(keys)
        self._width = self._count_outcomes(states) if self._exact else planner.max_outcomes
        width = self._width if self._exact else -self._width
        self.trees, self.rule = allocate(planner, count, nodes, self._actions, self._players, width)
        self.columns, room = Columns(self.trees, self.rule), self.rule[kernels.ROOM]
        self.roots = np.arange(count) * room
        self._store = StateStore(states, count * room)
        self._plant(states, np.arange(count))

    def _count_outcomes(self, states: Any) -> int:
        action = legal_actions(self.model, states[[0]], READER)[0].argmax()
        return int(as_numpy(self.model.outcomes(states[[0]], np.array([action]))[0]).shape[1])

    def _plant(self, states: Any, trees: np.ndarray) -> None:
        """Begins the trees anew, a state each."""
        if callable(getattr(self.model, "terminal_of", None)):
            over = np.asarray(as_numpy(self.model.terminal_of(states)), np.bool_)
            if over.any():
                raise terminal_root(self._shown(states[[int(over.argmax())]]), self.owner)
        T, roots = self.columns, self.roots[trees]
        T.count[trees], T.visits[roots], T.parent[roots] = 1, 1, -1
        T.tried[roots], T.q[roots], T.child[roots] = 0, 0.0, -1
        count, nothing = len(trees), np.zeros(len(trees))
        self._fill(roots, states, np.zeros((count, self._players)), nothing, np.zeros(count, np.bool_), None)
        T.value[roots] = T.leaf[roots]

    # ------------------------------------------------------------------------------------------- simulations

    def simulate(self, count: int) -> None:
        """Runs `count` simulations in every tree, `leaves` of each tree in a wave."""
        trees, leaves = len(self.roots), self._planner.leaves
        for begin in range(0, count, leaves):
            wave = min(leaves, count - begin)
            nodes, slots = np.empty(trees * wave, np.int64), np.empty(trees * wave, np.int64)
            waves.select_wave(self.trees, 0, trees, begin, wave, self.rule, nodes, slots)
            listed = np.flatnonzero(slots != HERE)
            if len(listed):
                self._expand(nodes, slots, listed, wave)
            if self.columns.trouble.any():
                return
            waves.back_up_wave(self.trees, nodes, wave, self.rule)

    def _expand(self, nodes: np.ndarray, slots: np.ndarray, listed: np.ndarray, wave: int) -> None:
        """Makes the nodes of the outcomes `listed`, and writes them into `nodes`."""
        count, players = len(listed), self._players
        states = self._store.at(nodes[listed])
        actions = slots[listed] // self._width
        fresh, legal = np.empty(count, np.int64), None
        if self._exact:
            probability, following, reward, continuation = self.model.outcomes(states, actions)
            probability = np.ascontiguousarray(as_numpy(probability), np.float64)
            self._check_width(probability.shape)
            waves.place_wave(self.trees, nodes, slots, listed, probability, wave, self.rule, fresh)
            taken = np.arange(count) * self._width + slots[listed] % self._width
            following = following[taken]
            reward = as_numpy(reward).reshape(count * self._width, players)[taken]
            continuation = as_numpy(continuation).reshape(-1)[taken]
        else:
            step = self.model.step(states, actions, self._rng)
            sampled = np.zeros((count, 0))
            waves.place_wave(self.trees, nodes, slots, listed, sampled, wave, self.rule, fresh)
            following, legal = step.states, step.legal
            reward = np.asarray(as_numpy(step.reward)).reshape(count, players)
            continuation = np.asarray(as_numpy(step.continuation))
            legal = None if legal is None else np.asarray(as_numpy(legal), np.bool_)
        reward = np.asarray(reward, np.float64)
        continuation = np.asarray(continuation, np.float64)
        if wave > 1 and (fresh < 0).any():  # another leaf of this wave made the node
            new = np.flatnonzero(fresh >= 0)
            fresh, following, reward, continuation = fresh[new], following[new], reward[new], continuation[new]
            legal = None if legal is None else legal[new]
        if not np.isfinite(reward).all():
            row = int((~np.isfinite(reward)).any(axis=1).argmax())
            self._trouble(fresh[row], kernels.NO_NUMBER)
            self.columns.reward[fresh[row]] = reward[row]
            self._store.put(fresh, following)
            return
        self._fill(fresh, following, reward, self._planner.gamma * continuation, continuation <= 0.0, legal)

    def _fill(
        self, made: np.ndarray, states: Any, reward: np.ndarray, discount: np.ndarray, ended: np.ndarray,
        legal: np.ndarray | None,
    ) -> None:  # fmt: skip
        """Writes what the model and the evaluation say of the states of new nodes."""
        self._store.put(made, states)
        count, players = len(made), self._players
        alive = None if not ended.any() else np.flatnonzero(~ended)
        asked = states if alive is None else states[alive]
        values, logits = np.zeros((count, players)), np.zeros((count, 0))
        mover, masks = np.zeros(count, np.int64), np.zeros((count, 0), np.bool_)
        if len(asked):
            found, prior = self._valued(asked)
            if legal is None and callable(getattr(self.model, "legal_of", None)):
                masks = self._spread(np.asarray(as_numpy(self.model.legal_of(asked)), np.bool_), alive, count)
            if players > 1:
                mover = self._spread(np.asarray(as_numpy(self.model.mover_of(asked)), np.int64), alive, count)
            values = self._spread(found, alive, count)
            logits = logits if prior is None else self._spread(prior, alive, count)
        masks = masks if legal is None else legal
        row = waves.fill_wave(self.trees, made, reward, discount, ended, mover, masks, values, logits, self.rule)
        if row >= 0:
            self._trouble(made[row], NO_ACTION)

    def _valued(self, states: Any) -> tuple[np.ndarray, np.ndarray | None]:
        if self._evaluate is not None:
            return evaluated(self._evaluate, states, self._players, self._actions)
        if self._planner.rollout == "none":
            return np.zeros((len(states), self._players)), None
        return random_returns(self.model, states, self._planner.gamma, self._planner.max_depth, self._rng), None

    @staticmethod
    def _spread(rows: np.ndarray, alive: np.ndarray | None, count: int) -> np.ndarray:
        """Returns the rows of states that are not ends among those of all states."""
        if alive is None:
            return rows
        table = np.zeros((count, *rows.shape[1:]), rows.dtype)
        table[alive] = rows
        return table

    def _trouble(self, node: int, kind: int) -> None:
        tree = int(node) // self.rule[kernels.ROOM]
        self.columns.trouble[tree], self.columns.where[tree] = kind, node

    def _check_width(self, shape: tuple[int, ...]) -> None:
        if shape[1] != self._width:
            raise UsageError(
                f"{self.owner}.outcomes lists {shape[1]} outcomes, and {self._width} of the first state",
                expected="as many in every call, those of probability 0 included",
            )

    # ------------------------------------------------------------------------------------------- between moves

    def advance(self, actions: np.ndarray, states: Any) -> np.ndarray:
        """See `BatchedSearch.advance`. States are compared by the model's `keys`, or, without, value for value."""
        T, width = self.columns, self._width
        children = T.child[self.roots[:, None], actions[:, None] * width + np.arange(width)]
        there = np.argwhere(children >= 0)
        kept, chosen = np.zeros(len(actions), np.bool_), np.zeros(len(actions), np.int64)
        if len(there):
            nodes = children[there[:, 0], there[:, 1]].astype(np.int64)
            same = self._same(self._store.at(nodes), states[there[:, 0]]) & (T.ended[nodes] == 0)
            kept[there[same, 0]], chosen[there[same, 0]] = True, nodes[same]
        moved = np.zeros(self.rule[kernels.ROOM], np.int64)
        for b in np.flatnonzero(kept):
            count = kernels.keep_subtree(*self.trees[:3], int(b), int(chosen[b]), self.rule, moved)
            first = int(self.roots[b])
            self._store.put(first + np.arange(count), self._store.at(first + moved[:count]))
        if not kept.all():
            begun = np.flatnonzero(~kept)
            if self._planner.value_range is None:
                T.span[begun] = np.inf, -np.inf
            self._plant(states[begun], begun)
        return kept

    def _same(self, some: Any, others: Any) -> np.ndarray:
        keys = getattr(self.model, "keys", None)
        if callable(keys):
            return np.array([one == other for one, other in zip(keys(some), keys(others), strict=True)], np.bool_)
        pairs = zip(StateStore.parts_of(some), StateStore.parts_of(others), strict=True)
        rows = [(as_numpy(one) == as_numpy(other)).reshape(len(some), -1).all(axis=1) for one, other in pairs]
        return np.asarray(np.logical_and.reduce(rows))

    def states_of(self, nodes: np.ndarray) -> Any:
        """Returns the states of nodes, as the model has them."""
        return self._store.at(nodes)

    def describe(self, node: int) -> str:
        """Returns the state of a node, for messages."""
        return self._shown(self._store.at(np.array([node])))

    def _shown(self, states: Any) -> str:
        world = getattr(self.model, "world", None)
        if world is not None and isinstance(states, States):
            return str(world.unpack(states))
        return str(states[0])


class StateStore:
    """Model states by node, in arrays made once: states are an array, a tensor, `States`, or a named tuple of arrays.

    Args:
        like: a batch of states. size: how many are stored.

    Raises:
        UsageError: states are something else.
    """

    def __init__(self, like: Any, size: int) -> None:
        self._kind = type(like)
        self._parts = [_empty(part, size) for part in self.parts_of(like)]

    def put(self, nodes: np.ndarray, states: Any) -> None:
        for kept, part in zip(self._parts, self.parts_of(states), strict=True):
            kept[_index(nodes, kept)] = part

    def at(self, nodes: np.ndarray) -> Any:
        parts = [kept[_index(nodes, kept)] for kept in self._parts]
        if self._kind is States:
            return States(np.ascontiguousarray(parts[0].T), np.ascontiguousarray(parts[1].T))
        return self._kind(*parts) if hasattr(self._kind, "_fields") else parts[0]

    @staticmethod
    def parts_of(states: Any) -> list[Any]:
        """Returns the arrays or tensors, batch axis first, that a batch of states is made of."""
        if isinstance(states, States):
            return [states.floats.T, states.ints.T]
        if hasattr(states, "_fields"):
            return list(states)
        if isinstance(states, np.ndarray) or hasattr(states, "detach"):
            return [states]
        raise UsageError(
            f"model states of type {type(states).__name__}, which a batched search cannot store",
            expected="an array or a tensor [B, ...], a named tuple of them, or packed States",
            hint="UCT searches models with states of any kind",
        )


def _empty(part: Any, size: int) -> Any:
    if hasattr(part, "detach"):
        return part.new_zeros((size, *part.shape[1:]))
    return np.zeros((size, *part.shape[1:]), part.dtype)


def _index(nodes: np.ndarray, kept: Any) -> Any:
    if hasattr(kept, "detach"):
        import torch

        return torch.as_tensor(nodes, device=kept.device)
    return nodes


def random_returns(model: Any, states: Any, gamma: float, max_depth: int, rng: np.random.Generator) -> np.ndarray:
    """Returns `[B, M]` discounted returns of uniformly random legal actions, of at most `max_depth` steps.

    Raises:
        UsageError: a state that is not terminal has no legal action.
    """
    players = getattr(model, "num_players", 1)
    returns, weight = np.zeros((len(states), players)), np.ones(len(states))
    rows = np.arange(len(states))
    legal = legal_actions(model, states, READER)
    for _ in range(max_depth):
        if not legal.any(axis=1).all():
            row = int((~legal.any(axis=1)).argmax())
            raise UsageError(
                f"{type(model).__name__} has no legal action in {states[[row]][0]}",
                expected="at least one legal action in every state that is not terminal",
            )
        actions = np.where(legal, rng.random(legal.shape), -1.0).argmax(axis=1)
        step = model.step(states, actions, rng)
        returns[rows] += weight[rows, None] * np.asarray(as_numpy(step.reward)).reshape(len(rows), players)
        # an end that is not certain is drawn, as in an episode
        going = rng.random(len(rows)) < as_numpy(step.continuation)
        weight[rows] *= gamma
        alive = np.flatnonzero(going)
        if not len(alive):
            break
        rows, states = rows[alive], step.states[alive]
        legal = legal_actions(model, states, READER) if step.legal is None else as_numpy(step.legal)[alive]
    return returns
