"""Counterfactual regret minimisation: equilibria of games with hidden information.

Sources: Zinkevich, Johanson, Bowling & Piccione (2007), "Regret minimization in games with incomplete information",
NeurIPS; CFR+ (regrets cut at 0, players in turn, later iterations weigh more): Tammelin (2014), "Solving large
imperfect information games using CFR+", arXiv:1407.5042; discounted: Brown & Sandholm (2019), AAAI.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from inscape.errors import UsageError, closest
from inscape.world_models.planning.games.tree import GameTree

Array = np.ndarray[Any, Any]
Variant = Literal["cfr+", "cfr", "discounted"]
LOOK_EVERY = 25
"""Iterations between two looks at the exploitability, where a tolerance is asked for."""


@dataclass(frozen=True, eq=False)
class GameSolution:
    """What counterfactual regret minimisation arrived at.

    Attributes:
        tree: the game.
        policy: `[I, A]` average policy of every information set (of every player).
        returns: `[M]` what the players earn by it.
        exploitability: what a best responder gains on average over players: the certificate. In a zero-sum game of two
            players the value is within `2 · exploitability` of `returns`; with more players, or another sum, no
            equilibrium is promised, and this number says how far it is from one.
        iterations: over the whole tree, each updating every player.
        seconds: it took.
    """

    tree: GameTree
    policy: Array
    returns: Array
    exploitability: float
    iterations: int
    seconds: float

    def table(self, player: int | None = None) -> list[tuple[int, str, dict[str, float]]]:
        """Returns a row for each information set: player, observation, probabilities."""
        return self.tree.table(self.policy, player)


def cfr(
    game: Any,
    iterations: int = 1_000,
    variant: Variant = "cfr+",
    tolerance: float = 0.0,
    max_seconds: float = np.inf,
) -> GameSolution:
    """Returns the average policy of counterfactual regret minimisation, and how exploitable it is.

    Deterministic: the whole tree is swept, nothing is sampled.

    Args:
        game: a world of several players (or its class or name), or a `GameTree`.
        iterations: at most.
        variant: `"cfr+"`; `"cfr"` as published first; `"discounted"` (α = 3/2, β = 0, γ = 2).
        tolerance: stops once the exploitability is at most this.
        max_seconds: stops after this time.

    Raises:
        UsageError: as `GameTree.from_world`; iterations below 1, or an unknown variant.
    """
    if variant not in get_args(Variant):
        known = get_args(Variant)
        raise UsageError(f"variant = {variant!r}", expected=", ".join(known), hint=closest(str(variant), known))
    if iterations < 1:
        raise UsageError(f"iterations = {iterations}", expected="at least 1")
    tree = game if isinstance(game, GameTree) else GameTree.from_world(game)
    began = time.perf_counter()
    regrets, total = np.zeros(tree.legal.shape), np.zeros(tree.legal.shape)
    policy = tree.uniform_policy()
    done = 0
    while done < iterations and time.perf_counter() - began < max_seconds:
        done += 1
        if variant == "discounted" and done > 1:
            before = float(done - 1)
            regrets *= np.where(regrets > 0, before**1.5 / (before**1.5 + 1), 0.5)
            total *= (before / done) ** 2
        for players in [[p] for p in range(tree.players)] if variant == "cfr+" else [list(range(tree.players))]:
            _update(tree, policy, regrets, total, players, float(done) if variant == "cfr+" else 1.0)
            if variant == "cfr+":
                np.maximum(regrets, 0.0, out=regrets)
            policy = _matched(tree, regrets)
        if tolerance > 0 and done % LOOK_EVERY == 0 and tree.exploitability(_average(tree, total)) <= tolerance:
            break
    average = _average(tree, total)
    return GameSolution(
        tree, average, tree.expected_returns(average), tree.exploitability(average), done, time.perf_counter() - began
    )


def _update(tree: GameTree, policy: Array, regrets: Array, total: Array, players: list[int], weight: float) -> None:
    """Adds the regrets of one iteration, and the policy, weighed by how likely its player gets there."""
    reach = tree.reach(policy)
    _, move_values = tree.values(policy)
    for player in players:
        rows = np.flatnonzero(tree.mover == player)
        sets = tree.information_set[rows]
        others = np.prod(np.delete(reach[:, rows], player, axis=0), axis=0)
        values = move_values[rows, :, player]
        mean = (policy[sets] * values).sum(axis=1, keepdims=True)
        gain = others[:, None] * (values - mean)
        actions = tree.num_actions
        for a in range(actions):
            regrets[:, a] += np.bincount(sets, gain[:, a], len(regrets))
        # every history of an information set has the same reach of its player: perfect recall
        own = np.zeros(len(regrets))
        own[sets] = reach[player, rows]
        mine = tree.owner == player
        total[mine] += weight * own[mine, None] * policy[mine]
    regrets[~tree.legal] = 0.0


def _matched(tree: GameTree, regrets: Array) -> Array:
    """Returns `[I, A]` regret matching: in proportion to positive regrets, uniform where none is positive."""
    positive = np.maximum(regrets, 0.0) * tree.legal
    total = positive.sum(axis=1, keepdims=True)
    return np.where(total > 0, positive / np.where(total > 0, total, 1.0), tree.uniform_policy())


def _average(tree: GameTree, total: Array) -> Array:
    sums = total.sum(axis=1, keepdims=True)
    return np.where(sums > 0, total / np.where(sums > 0, sums, 1.0), tree.uniform_policy())
