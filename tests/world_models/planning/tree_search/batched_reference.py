"""PUCT and Gumbel search in plain Python, one tree of objects, written from the papers: arrays must agree with it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


class Node:
    """A state of the tree; `states` is a batch of one."""

    def __init__(self, search: Search, states: Any, ended: bool) -> None:
        self.states, self.ended, self.n = states, ended, 0
        self.children: dict[tuple[int, int], tuple[Node, np.ndarray]] = {}
        self.outcomes: dict[int, Any] = {}
        if ended:
            self.mean = self.v = np.zeros(search.players)
            return
        self.mover = int(search.model.mover_of(states)[0]) if search.players > 1 else 0
        legal = search.model.legal_of(states)[0]
        values, logits = search.evaluate(states)
        self.v = np.asarray(values, float).reshape(-1)
        x = np.where(legal, logits[0], -np.inf)
        self.prior = np.exp(x - x.max()) / np.exp(x - x.max()).sum()
        self.mean = np.zeros(search.players)
        self.tried, self.q = np.zeros(len(legal), int), np.zeros(len(legal))


class Search:
    """One search. `rule` is "puct" or "gumbel", `schedule` the visits considered at the root, `noise [A]` its noise."""

    def __init__(self, model: Any, evaluate: Any, states: Any, rule: str, gamma: float, **options: Any) -> None:
        self.model, self.evaluate, self.rule, self.gamma, self.options = model, evaluate, rule, gamma, options
        self.players = model.num_players
        self.low, self.high = math.inf, -math.inf
        self.root = Node(self, states, False)
        self.root.n, self.root.mean = 1, self.root.v.copy()

    def unit(self, q: Any) -> Any:
        return q / (self.high - self.low) if self.high > self.low else 0.0 * q

    def completed(self, node: Node) -> np.ndarray:
        tried, q, total = node.tried > 0, node.q, node.tried.sum()
        v = node.v[node.mover]
        if total:
            weighted = (node.prior * q)[tried].sum() / node.prior[tried].sum()
            v = (v + total * weighted) / (1 + total)
        return np.where(tried, q, v)

    def sigma(self, node: Node) -> np.ndarray:
        o = self.options
        return np.asarray((o["value_offset"] + node.tried.max()) * o["value_scale"] * self.unit(self.completed(node)))

    def improved(self, node: Node) -> np.ndarray:
        with np.errstate(divide="ignore"):
            x = np.log(node.prior) + self.sigma(node)
        return np.asarray(np.exp(x - x.max()) / np.exp(x - x.max()).sum())

    def action(self, node: Node, simulation: int) -> int:
        legal = node.prior > 0
        if self.rule == "puct":
            base = self.options["exploration_base"]
            c = self.options["exploration"] + math.log((1 + node.n + base) / base)
            q = np.where(node.tried > 0, node.q, node.mean[node.mover])
            score = self.unit(q) + c * node.prior * math.sqrt(node.n) / (1 + node.tried)
        elif node is self.root:
            with np.errstate(divide="ignore"):
                score = self.options["noise"] + np.log(node.prior) + self.sigma(node)
            legal = legal & (node.tried == self.options["schedule"][simulation])
        else:
            score = self.improved(node) - node.tried / (1 + node.tried.sum())
        return int(np.where(legal, score, -np.inf).argmax())

    def outcome(self, node: Node, a: int) -> int:
        if a not in node.outcomes:
            probability, following, reward, going = self.model.outcomes(node.states, np.array([a]))
            node.outcomes[a] = probability[0], following, reward[0], going[0]
        p = node.outcomes[a][0]
        seen = [node.children[a, k][0].n if (a, k) in node.children else 0 for k in range(len(p))]
        behind = np.where(p > 0, p * (node.tried[a] + 1) - seen, -np.inf)
        return int(behind.argmax())

    def simulate(self, simulation: int) -> None:
        node, path = self.root, []
        while not node.ended:
            a = self.action(node, simulation)
            k = self.outcome(node, a)
            path.append((node, a, k))
            fresh = (a, k) not in node.children
            if fresh:
                _, following, reward, going = node.outcomes[a]
                child = Node(self, following[[k]], going[k] == 0)
                node.children[a, k] = child, np.atleast_1d(reward[k])
            node = node.children[a, k][0]
            if fresh:
                break
        returns = np.array(node.v, float)
        node.n += 1
        node.mean = node.mean + (returns - node.mean) / node.n
        for parent, a, k in reversed(path):
            returns = parent.children[a, k][1] + self.gamma * returns
            parent.n, parent.tried[a] = parent.n + 1, parent.tried[a] + 1
            parent.mean = parent.mean + (returns - parent.mean) / parent.n
            parent.q[a] += (returns[parent.mover] - parent.q[a]) / parent.tried[a]
            self.low, self.high = min(self.low, parent.q[a]), max(self.high, parent.q[a])
