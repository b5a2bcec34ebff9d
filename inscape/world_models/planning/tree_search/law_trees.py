"""Trees of a batched search on a known law: everything in one compiled call, the batch spread over the cores."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from inscape.envs.compile.threads import block_count
from inscape.envs.law.states import States
from inscape.world_models.known import KnownModel
from inscape.world_models.networks.blas import blas_threads
from inscape.world_models.planning.interface import Evaluate
from inscape.world_models.planning.kernels.tree import ROOM, WIDTH, Trees, keep_subtree
from inscape.world_models.planning.tree_search.columns import Columns
from inscape.world_models.planning.tree_search.common import terminal_root
from inscape.world_models.planning.tree_search.network import PerceptronEvaluator
from inscape.world_models.tabular.as_world import world_of
from inscape.world_models.tabular.model import TabularModel

TEMPLATE = "inscape.world_models.planning.kernels.law_search"
CHUNK = 8  # of the template
WORTH_A_THREAD = 4096
"""Simulations from which on several threads share them."""
WITHOUT_PAUSE = 1 << 18
"""Simulations between two chances for Ctrl-C."""


class LawTrees:
    """See `BatchedSearch`. Attributes: `trees`, `rule`, `roots [B]`, `owner` for messages."""

    def __init__(
        self, planner: Any, model: KnownModel | TabularModel, states: Any, evaluate: Evaluate | None,
        keys: np.ndarray, nodes: int, allocate: Callable[..., tuple[Trees, tuple[Any, ...]]],
    ) -> None:  # fmt: skip
        self._tables = isinstance(model, TabularModel)
        self.world = world = world_of(model) if isinstance(model, TabularModel) else model.world
        world.require_probabilities()
        self.owner, self._planner, self._keys = world.name, planner, keys
        count, exact = len(keys), world.is_enumerable
        width = world.count_outcomes()[0] if exact else -planner.max_outcomes
        self.trees, self.rule = allocate(planner, count, nodes, world.num_actions, world.players, width)
        self._room, self.columns = self.rule[ROOM], Columns(self.trees, self.rule)
        self.roots = np.arange(count) * self._room
        self._states = world.empty_states(count * self._room)
        reward_out = np.zeros(count) if world.players == 1 else np.zeros((world.players, count))
        network = isinstance(evaluate, PerceptronEvaluator)
        self._kernels = world.kernel(TEMPLATE, constants={"NETWORK": network, "SAMPLE": not exact})
        self._rewards = reward_out, reward_out.reshape(world.players, count)
        self._leaf_of = np.zeros(count, np.int64)
        blocks = block_count(None, count * planner.num_simulations, WORTH_A_THREAD)
        size = -(-count // (min(blocks, count) * CHUNK)) * CHUNK if blocks > 1 else count
        self._blocks = [(b, min(count, b + size)) for b in range(0, count, size)]
        evaluator = evaluate if isinstance(evaluate, PerceptronEvaluator) else None
        self._working = [_working_memory(world, evaluator) for _ in self._blocks]
        self._network = _nothing() if evaluator is None else evaluator.network
        self._plant(self._packed(states), np.ones(count, np.bool_))

    def _packed(self, states: Any) -> States:
        return self.world.pack([(int(s), False) for s in states]) if self._tables else states

    def _plant(self, states: States, chosen: np.ndarray) -> None:
        """Begins the trees `chosen [B]` anew."""
        over = self.world.terminal_of(states) & chosen
        if over.any():
            raise terminal_root(self.world.unpack(states, int(np.flatnonzero(over)[0])), self.owner)
        columns = self.roots[chosen]
        self._states.floats[:, columns] = states.floats[:, chosen]
        self._states.ints[:, columns] = states.ints[:, chosen]
        p = self._planner
        with blas_threads(1):
            for (first, last), (reading, memory) in zip(self._blocks, self._working, strict=True):
                edges = np.flatnonzero(np.diff(np.concatenate([[0], chosen[first:last].astype(np.int8), [0]])))
                for begin, end in edges.reshape(-1, 2) + first:  # runs of neighbours: one, where all begin
                    self._kernels.plant(
                        self.world.packed, self._states.floats, self._states.ints, self.trees, self._keys,
                        self.rule, p.gamma, p.max_depth, p.rollout == "uniform", self._rewards, reading, self._network,
                        memory, self._leaf_of, int(begin), int(end),
                    )  # fmt: skip

    def simulate(self, count: int) -> None:
        """Runs `count` simulations in every tree."""
        pause = max(1, WITHOUT_PAUSE // len(self.roots))
        for begin in range(0, count, pause):
            self._simulate(begin, min(count, begin + pause))

    def _simulate(self, begin: int, end: int) -> None:
        p = self._planner

        def part(k: int) -> None:
            reading, memory = self._working[k]
            self._kernels.search(
                self.world.packed, self._states.floats, self._states.ints, self.trees, self._keys, begin, end,
                self.rule, p.gamma, p.max_depth, p.rollout == "uniform", self._rewards, reading, self._network, memory,
                self._leaf_of, *self._blocks[k],
            )  # fmt: skip

        with blas_threads(1), np.errstate(all="ignore"):
            if len(self._blocks) == 1:
                part(0)
                return
            with ThreadPoolExecutor(len(self._blocks)) as pool:
                list(pool.map(part, range(len(self._blocks))))

    def advance(self, actions: np.ndarray, states: Any) -> np.ndarray:
        """See `BatchedSearch.advance`."""
        packed, T, width = self._packed(states), self.columns, self.rule[WIDTH]
        slots = actions[:, None] * width + np.arange(width)
        children = T.child[self.roots[:, None], slots]
        bits = self._states.floats.view(np.int64)
        same = (bits[:, children] == packed.floats.view(np.int64)[:, :, None]).all(axis=0)
        same &= (self._states.ints[:, children] == packed.ints[:, :, None]).all(axis=0)
        same &= children >= 0
        kept = same.any(axis=1)
        moved = np.zeros(self._room, np.int64)
        for b in np.flatnonzero(kept):
            child = int(children[b, same[b].argmax()])
            count = keep_subtree(*self.trees[:3], int(b), child, self.rule, moved)
            first = int(self.roots[b])
            old, new = first + moved[:count], slice(first, first + count)
            self._states.floats[:, new], self._states.ints[:, new] = (
                self._states.floats[:, old], self._states.ints[:, old]
            )  # fmt: skip
        if not kept.all():
            if self._planner.value_range is None:
                T.span[~kept] = np.inf, -np.inf
            self._plant(packed, ~kept)
        return np.asarray(kept)

    def states_of(self, nodes: np.ndarray) -> Any:
        """Returns the states of nodes: `States`, or numbers."""
        found = self._states[nodes]
        return found.ints[0] if self._tables else found

    def describe(self, node: int) -> str:
        """Returns the state of a node, for messages."""
        return str(self.world.unpack(self._states, node))


def _nothing() -> tuple[Any, ...]:
    return np.zeros(0, np.float32), np.zeros(1, np.int64), 0, 1.0


def _working_memory(world: Any, evaluator: PerceptronEvaluator | None) -> tuple[Any, Any]:
    """Returns what a thread writes into: (observation, as a table, places, scale), (features, layers' outputs)."""
    obs = world.observation_array(1)
    table = world.batch_first(obs).reshape(1, -1)
    if evaluator is None:
        nothing = np.zeros((0, 0), np.float32), np.zeros(0, np.float32)
        return (obs, table, np.zeros(0, np.int64), np.float32(1.0)), nothing
    sizes = evaluator.network[1]
    memory = np.zeros((CHUNK, int(sizes[0])), np.float32), np.zeros(CHUNK * int(sizes[1:].sum()), np.float32)
    return (obs, table, evaluator.reader.places, evaluator.reader.scale), memory
