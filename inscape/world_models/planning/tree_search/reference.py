"""The search of `kernels/uct.py` in plain Python, on any world model, one state at a time.

On a model with exact `outcomes` it draws the same random numbers in the same order as the compiled search, and the two
agree number for number. Read `kernels/uct.py` beside it.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from inscape.envs.law.states import States
from inscape.envs.law.streams import uniform
from inscape.errors import UsageError
from inscape.world_models.interface import as_numpy, has_outcomes, legal_actions, num_actions, require
from inscape.world_models.planning.interface import Evaluate, Plan, SearchTree, evaluated
from inscape.world_models.planning.kernels.search_arrays import (
    COMPLETE,
    ENDLESS,
    NEARLY_ALL,
    SENSITIVITY,
    SOLVED,
    TERMINAL,
    UNVISITED,
    UPDATES,
    VISITED,
)
from inscape.world_models.planning.tree_search.common import TABLES, no_legal_action, plan_from_tree, terminal_root
from inscape.world_models.planning.tree_search.settings import UCTSettings


@dataclass(eq=False)
class Edge:
    """An outcome of an action: where it leads, how likely (or how often), and what it earned `[M]`."""

    child: Node
    weight: float
    reward: np.ndarray


@dataclass(eq=False)
class Node:
    """A state of the search graph; `states` is a batch of one."""

    states: Any
    kind: int
    depth: int
    player: int
    legal: np.ndarray
    value: np.ndarray
    leaf: np.ndarray
    action_value: np.ndarray
    tried: np.ndarray
    outcomes: list[list[Edge]]
    parents: list[Node] = field(default_factory=list)
    visits: int = 0
    seen: int = -1
    queued: bool = False


class PythonSearch:
    """One search. Args: the settings, the model, what values new states (or None), and the key of the random stream."""

    def __init__(self, options: UCTSettings, model: Any, evaluate: Evaluate | None, key: int) -> None:
        self.options, self.model, self.evaluate, self.key = options, model, evaluate, key
        self.actions, self.players = num_actions(model, "UCT"), getattr(model, "num_players", 1)
        if self.players > 1:
            require(model, "mover_of", "a search with several players")
        self.exact = has_outcomes(model)
        self.rng = np.random.default_rng(key % 2**64)  # for models that sample by themselves
        self.clock = self.frontier = self.open = self.legal_actions = 0
        self.complete = False
        self.low, self.high = math.inf, -math.inf
        self.nodes: list[Node] = []
        self.index: dict[tuple[bytes, bool], Node] = {}
        self.pending: deque[Node] = deque()

    def run(self, states: Any) -> Plan:
        """Returns the plan for a batch of one state."""
        if callable(getattr(self.model, "terminal_of", None)) and self.model.terminal_of(states)[0]:
            raise terminal_root(states, type(self.model).__name__)
        root = self.node_of(states, ended=False, depth=0)
        done = 0
        while done < self.options.num_simulations and len(self.nodes) <= self.options.max_nodes:
            if root.kind == SOLVED:
                break
            done += 1
            self.simulate(root, done)
        return plan_from_tree(self.tree(), done, root.legal, self.key, type(self.model).__name__)

    # --------------------------------------------------------------------------------------- states and outcomes

    def draw(self) -> float:
        self.clock += 1
        return uniform(self.key, self.clock - 1)

    def node_of(self, states: Any, *, ended: bool, depth: int) -> Node:
        keys = getattr(self.model, "keys", None)
        key = (keys(states)[0], ended) if callable(keys) else None
        if key is not None and key in self.index:
            return self.index[key]
        zeros, size = np.zeros(self.players), (self.actions, self.players)
        player = int(self.model.mover_of(states)[0]) if self.players > 1 and not ended else 0
        legal = np.zeros(self.actions, bool) if ended else legal_actions(self.model, states, "UCT")[0]
        node = Node(
            states, TERMINAL if ended else UNVISITED, depth, player, legal, zeros, zeros.copy(), np.zeros(size),
            np.zeros(self.actions, np.int64), [[] for _ in range(self.actions)],
        )  # fmt: skip
        self.nodes.append(node)
        self.frontier += not ended
        self.open += int(legal.sum())
        self.legal_actions += int(legal.sum())
        if key is not None:
            self.index[key] = node
        return node

    def branches(self, states: Any, action: int) -> list[tuple[float, Any, bool, np.ndarray]]:
        """Returns (probability, successor, ended, reward) of every outcome, impossible ones included."""
        probability, following, *rest = self.model.outcomes(states, np.array([action]))
        probability, reward, continuation = map(as_numpy, (probability, *rest))
        found = []
        for k, p in enumerate(probability[0]):
            earned = np.atleast_1d(np.asarray(reward[0, k], np.float64))
            for ended, part in ((False, continuation[0, k]), (True, 1.0 - continuation[0, k])):
                found.append((float(p * part), following[[k]], ended, earned))
        return found

    def sample(self, states: Any, action: int) -> tuple[Any, bool, np.ndarray]:
        """Returns a sampled (successor, ended, reward)."""
        if not self.exact:
            step = self.model.step(states, np.array([action]), self.rng)
            ended = bool(self.rng.random() >= as_numpy(step.continuation)[0])
            return step.states, ended, np.atleast_1d(np.asarray(as_numpy(step.reward)[0], np.float64))
        branches, u = self.branches(states, action), self.draw()
        total, chosen = branches[0][0], branches[0]
        for branch in branches[1:]:
            if u < total:
                break
            if branch[0] > 0:
                total, chosen = total + branch[0], branch
        return chosen[1:]

    def add_outcome(self, node: Node, action: int, p: float, states: Any, ended: bool, reward: np.ndarray) -> Edge:
        known = len(self.nodes)
        child = self.node_of(states, ended=ended, depth=node.depth + 1)
        if len(self.nodes) == known:
            for edge in node.outcomes[action]:
                if edge.child is child:
                    # a sampled reward may differ each time: the edge keeps the mean
                    edge.reward = (edge.weight * edge.reward + p * reward) / (edge.weight + p)
                    edge.weight += p
                    return edge
        child.parents.append(node)
        node.outcomes[action].append(Edge(child, p, reward))
        return node.outcomes[action][-1]

    def follow(self, node: Node, action: int) -> Edge:
        """Returns a random outcome of the action; those of an exact law are all made when it is first tried.

        Sampled outcomes: a new one only while there are fewer than √n, so that a continuum is searched in depth.
        """
        if not self.exact and len(node.outcomes[action]) ** 2 <= node.tried[action]:
            states, ended, reward = self.sample(node.states, action)
            return self.add_outcome(node, action, 1.0, states, ended, reward)
        if not node.outcomes[action]:
            for p, states, ended, reward in self.branches(node.states, action):
                if p > 0.0:
                    self.add_outcome(node, action, p, states, ended, reward)
        scale = 1.0 if self.exact else sum(edge.weight for edge in node.outcomes[action])
        u, total = scale * self.draw(), 0.0
        for edge in node.outcomes[action]:
            total += edge.weight
            if u < total:
                return edge
        return node.outcomes[action][-1]

    # --------------------------------------------------------------------------------------- one simulation

    def simulate(self, root: Node, number: int) -> None:
        """Selects, expands, evaluates, backs up."""
        returns = int(1.0 / (1.0 - self.draw()))
        node, path = root, list[Node]()
        while node.kind == VISITED and len(path) < self.options.max_depth:
            if node.seen == number and self.frontier == 0:
                returns -= 1
                if returns <= 0:
                    break
            node.seen = number
            action = self.select(node)
            fresh = node.tried[action] == 0
            self.open -= int(fresh)
            edge = self.follow(node, action)
            path.append(node)
            node.visits += 1
            node.tried[action] += 1
            node = edge.child
            if self.exact and fresh:
                break
        node.visits += 1
        if node.kind == UNVISITED:
            node.kind = VISITED
            self.frontier -= 1
            node.leaf = self.first_value(node)
            node.value = node.leaf.copy()
        self.update(path)

    def select(self, node: Node) -> int:
        """Returns the action to simulate: an untried legal one first, else the highest upper bound; of several, any."""
        legal = np.flatnonzero(node.legal)
        if not len(legal):
            raise no_legal_action(type(self.model).__name__)
        untried = legal[node.tried[legal] == 0]
        if len(untried):
            return int(untried[int(self.draw() * len(untried))] if len(untried) > 1 else untried[0])
        scale = self.high - self.low if self.high > self.low else 1.0
        limit = TABLES.shape[1]
        root_log = float(TABLES[1, node.visits]) if node.visits < limit else math.sqrt(math.log(node.visits))
        spread = self.options.exploration * scale * root_log
        best, highest, equals = -1, -math.inf, 0
        doubtful: list[Edge] = []
        for a in map(int, legal):
            if self.exact:
                doubtful = [edge for edge in node.outcomes[a] if edge.child.kind < TERMINAL]
                width = 0.0
                for edge in doubtful:
                    width += edge.weight * self.width(edge.child.visits)
            if not self.exact or not doubtful:
                width = self.width(int(node.tried[a]))
            bound = float(node.action_value[a, node.player]) + spread * width
            if bound > highest:
                best, highest, equals = a, bound, 1
            elif bound == highest:
                equals += 1
                if self.draw() * equals < 1.0:
                    best = a
        return best

    @staticmethod
    def width(visits: int) -> float:
        """Returns 1/√n, as the compiled search has it."""
        return float(TABLES[0, visits]) if visits < TABLES.shape[1] else 1.0 / math.sqrt(visits)

    def first_value(self, node: Node) -> np.ndarray:
        """Returns `[M]` values of a new state that is not terminal."""
        if self.evaluate is not None:
            values, prior = evaluated(self.evaluate, node.states, self.players, self.actions)
            if prior is not None:
                raise UsageError(
                    "evaluate returned prior logits, and UCT takes no prior",
                    expected="values and None",
                    hint="return values, None",
                )
            return np.asarray(values[0])
        total, states, discount = np.zeros(self.players), node.states, 1.0
        if self.options.rollout == "none":
            return total
        for _ in range(self.options.max_depth):
            legal = np.flatnonzero(legal_actions(self.model, states, "UCT")[0])
            if not len(legal):
                raise no_legal_action(type(self.model).__name__)
            action = int(legal[int(self.draw() * len(legal))])
            states, ended, reward = self.sample(states, action)
            total += discount * reward
            if ended:
                break
            discount *= self.options.gamma
        return total

    # --------------------------------------------------------------------------------------- back up

    def update(self, path: list[Node]) -> None:
        """Brings the path up to date, last state first; then states that can lead to those that changed."""
        tried, visited = NEARLY_ALL * self.open <= self.legal_actions, NEARLY_ALL * self.frontier <= len(self.nodes)
        self.complete = tried and visited
        change = 0.0
        for i in range(len(path) + UPDATES):
            if i < len(path):
                if i > 0 and change < math.inf and not self.high > self.low:
                    return
                node = path[-1 - i]
            elif not self.pending:
                return
            else:
                node = self.pending.popleft()
                node.queued = False
            change = self.back_up(node)
            if change > SENSITIVITY * (self.high - self.low):
                for parent in reversed(node.parents):
                    if not parent.queued:
                        parent.queued = True
                        self.pending.append(parent)

    def back_up(self, node: Node) -> float:
        """Sets the action values and the value of a node; returns by how much it changed, ∞ when it became exact."""
        best, solved = -1, self.exact
        for a in range(self.actions):
            if node.tried[a] == 0:
                continue
            total, q = 0.0, np.zeros(self.players)
            for edge in node.outcomes[a]:
                total += edge.weight
                solved = solved and edge.child.kind >= TERMINAL
                future = edge.child.value if edge.child.kind != UNVISITED else node.leaf
                q += edge.weight * (edge.reward + self.options.gamma * future)
            node.action_value[a] = q / total
            own = float(node.action_value[a, node.player])
            self.low, self.high = min(self.low, own), max(self.high, own)
            if best < 0 or own > node.action_value[best, node.player]:
                best = a
        visits, average = 1.0 + float(node.tried.sum()), node.leaf.copy()
        for a in range(self.actions):
            if node.tried[a] > 0:
                average += node.tried[a] * node.action_value[a]
        average /= visits
        untried = (node.legal & (node.tried == 0)).any()
        solved = solved and not untried
        averaging = self.options.averaging_visits
        if averaging is None:
            averaging = COMPLETE if self.complete else ENDLESS
        trust = 1.0 if solved else visits / (visits + averaging)
        hopeful = untried and node.leaf[node.player] > node.action_value[best, node.player]
        fresh = trust * (node.leaf if hopeful else node.action_value[best]) + (1.0 - trust) * average
        change = float(np.abs(fresh - node.value).max())
        node.value = fresh
        if solved:
            node.kind = SOLVED
            return math.inf
        return change

    def tree(self) -> SearchTree:
        """Returns the graph as arrays."""
        nodes = self.nodes
        tried = np.array([node.tried for node in nodes])
        own = np.array([node.action_value[:, node.player] for node in nodes])
        values = np.array([np.nan if node.kind == UNVISITED else node.value[node.player] for node in nodes])
        return SearchTree(
            states=_joined([node.states for node in nodes]),
            visit_counts=np.array([node.visits for node in nodes], np.int64),
            depth=np.array([node.depth for node in nodes], np.int64),
            values=values,
            terminal=np.array([node.kind == TERMINAL for node in nodes]),
            action_visits=tried,
            action_values=np.where(tried > 0, own, -np.inf),
        )


def _joined(batches: list[Any]) -> Any:
    """Returns batches of one as one batch where their kind is known, else the list."""
    if isinstance(batches[0], States):
        return States.concatenate(batches)
    if isinstance(batches[0], np.ndarray):
        return np.concatenate(batches)
    return batches
