"""Equilibria of zero-sum games with hidden information by one linear programme, of the size of the tree.

Source: Koller, Megiddo & von Stengel (1996), "Efficient computation of equilibria for extensive two-person games",
Games and Economic Behavior 14(2); von Stengel (1996), the same volume.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from inscape.errors import UsageError
from inscape.world_models.planning.games.regret import GameSolution
from inscape.world_models.planning.games.tree import GameTree

Array = np.ndarray[Any, Any]
ZERO = 1e-9


def sequence_form_equilibrium(game: Any) -> GameSolution:
    """Returns a Nash equilibrium of a zero-sum game of two players, exact up to rounding.

    Where an information set is reached by nobody's own moves, its legal actions are alike.

    Args:
        game: a `GameTree`, or a world (its class or its name) of two players.

    Raises:
        UsageError: more than two players; rewards that do not add up to 0; the linear programme cannot be solved.
        MissingLawError: as `GameTree.from_world`.
    """
    from scipy.optimize import linprog
    from scipy.sparse import coo_array, csr_array, hstack

    began = time.perf_counter()
    tree = game if isinstance(game, GameTree) else GameTree.from_world(game)
    if tree.players != 2 or (np.abs(tree.payoff.sum(axis=1)) > ZERO).any():
        raise UsageError(
            f"{tree.name}, in which what {tree.players} players get does not add up to 0",
            expected="a zero-sum game of two",
            hint="cfr(game), whose exploitability says how far it is from an equilibrium",
        )
    number, count = _numbers(tree)
    after, before = _sequences(tree, number)
    worth = tree.reach(tree.uniform_policy())[-1] * tree.payoff[:, 0]
    payoff = csr_array(coo_array((worth, (after[0], after[1])), (count[0], count[1])))
    flow = [_flow(tree, player, number, count[player], before) for player in range(2)]
    # maximise q₀ with E x = e, x ≥ 0, F'q ≤ A'x: x are the first player's sequences, the dual variables the second's
    sets = flow[1].shape[0]
    ones = np.zeros(flow[0].shape[0])
    ones[0] = 1.0
    done = linprog(
        np.concatenate([np.zeros(count[0]), [-1.0], np.zeros(sets - 1)]),
        A_ub=hstack([-payoff.T, flow[1].T]),
        b_ub=np.zeros(count[1]),
        A_eq=hstack([flow[0], csr_array((flow[0].shape[0], sets))]),
        b_eq=ones,
        bounds=[*([(0, None)] * count[0]), *([(None, None)] * sets)],
        method="highs",
    )
    if not done.success:
        raise UsageError(f"the linear programme of {tree.name} was not solved: {done.message}")
    policy = tree.uniform_policy()
    for player, plan in enumerate((done.x[: count[0]], -done.ineqlin.marginals)):
        for i in np.flatnonzero(tree.owner == player):
            legal = np.flatnonzero(tree.legal[i])
            weights = np.maximum(plan[number[i, legal]], 0.0)
            if weights.sum() > ZERO:
                policy[i] = 0.0
                policy[i, legal] = weights / weights.sum()
    return GameSolution(
        tree,
        policy,
        tree.expected_returns(policy),
        tree.exploitability(policy),
        int(done.nit),
        time.perf_counter() - began,
    )


def _numbers(tree: GameTree) -> tuple[Array, list[int]]:
    """Returns `[I, A]` the number of each move among its player's sequences (0: no move yet), and their counts."""
    number: Array = np.zeros(tree.legal.shape, np.int64)
    counts = []
    for player in range(2):
        own = tree.legal & (tree.owner == player)[:, None]
        number[own] = 1 + np.arange(own.sum())
        counts.append(1 + int(own.sum()))
    return number, counts


def _sequences(tree: GameTree, number: Array) -> tuple[Array, Array]:
    """Returns `[2, N]` each player's sequence in every history, and `[I]` the one that leads to an information set."""
    after: Array = np.zeros((2, len(tree)), np.int64)
    before: Array = np.zeros(tree.num_information_sets, np.int64)
    for depth in range(len(tree.depth_starts) - 1):
        here = np.arange(tree.depth_starts[depth], tree.depth_starts[depth + 1])
        if depth:
            parent = tree.parent[here]
            after[:, here] = after[:, parent]
            after[tree.mover[parent], here] = number[tree.information_set[parent], tree.action[here]]
        moving = here[tree.mover[here] >= 0]
        before[tree.information_set[moving]] = after[tree.mover[moving], moving]
    return after, before


def _flow(tree: GameTree, player: int, number: Array, count: int, before: Array) -> Any:
    """Returns the sparse matrix of a player's plan: one at the root, and what comes into a set goes out of it."""
    from scipy.sparse import coo_array, csr_array

    rows, columns, entries = [0], [0], [1.0]
    own = np.flatnonzero(tree.owner == player)
    for row, i in enumerate(own, 1):
        moves = number[i, tree.legal[i]].tolist()
        rows += [row] * (1 + len(moves))
        columns += [int(before[i]), *moves]
        entries += [-1.0, *([1.0] * len(moves))]
    return csr_array(coo_array((entries, (rows, columns)), (1 + len(own), count)))
