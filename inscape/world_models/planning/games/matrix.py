"""Equilibria of games in which everybody chooses once, at the same time.

Sources: zero-sum by linear programme: von Neumann (1928); Dantzig (1951); all equilibria of two players by their
supports: Porter, Nudelman & Shoham (2008), "Simple search methods for finding a Nash equilibrium", Games and Economic
Behavior 63(2); correlated equilibria: Aumann (1974), "Subjectivity and correlation in randomized strategies", Journal
of Mathematical Economics 1(1).
"""

from __future__ import annotations

import itertools
from typing import Any, Literal, NamedTuple

import numpy as np

from inscape.errors import MissingLawError, UsageError

Array = np.ndarray[Any, Any]
LARGER = "a setting such as rounds=1; or GameTree.from_world and cfr"
LARGEST_SUPPORTS = 12
"""Actions of a player up to which all supports are looked at."""


class Equilibrium(NamedTuple):
    """A mixed strategy for each player, and what they earn by it.

    Attributes:
        strategies: `[A_i]` probabilities, one array for each player.
        values: `[M]` expected payoffs.
    """

    strategies: tuple[Array, ...]
    values: Array


def zero_sum_equilibrium(payoffs: Any) -> Equilibrium:
    """Returns optimal strategies of both players of a zero-sum game, and its value, by linear programming.

    Args:
        payoffs: `[A_1, A_2]` what the first player gets, the second loses.

    Raises:
        UsageError: not a matrix of finite numbers.
    """
    from scipy.optimize import linprog

    given = _matrix(payoffs, "payoffs")
    matrix, shift, scale = _unit(given)
    rows, columns = matrix.shape
    # maximise v with x' A ≥ v: variables (x, v); the dual variables are the other player's strategy
    done = linprog(
        np.append(np.zeros(rows), -1.0),
        A_ub=np.column_stack([-matrix.T, np.ones(columns)]),
        b_ub=np.zeros(columns),
        A_eq=np.append(np.ones(rows), 0.0)[None],
        b_eq=[1.0],
        bounds=[*([(0, None)] * rows), (None, None)],
        method="highs",
    )
    if not done.success:
        raise UsageError(f"the linear programme was not solved: {done.message}")
    first, second = _normalised(done.x[:-1]), _normalised(-done.ineqlin.marginals)
    value = float(done.x[-1]) * scale + shift
    return Equilibrium((first, second), np.array([value, -value]))


def nash_equilibria(first: Any, second: Any, tolerance: float = 1e-9) -> list[Equilibrium]:
    """Returns the Nash equilibria of two players by enumerating supports of equal size, pure ones first.

    That is all of them in games that are not degenerate; in degenerate ones, where equilibria form continua, some.

    Args:
        first, second: `[A_1, A_2]` payoffs of each player.
        tolerance: by how much a strategy may miss being a best response, in units of the range of that player's
            payoffs.

    Raises:
        UsageError: shapes differ, or there are more than 12 actions.
    """
    A, B = _matrix(first, "first"), _matrix(second, "second")
    if A.shape != B.shape:
        raise UsageError(f"payoffs of shape {list(A.shape)} and {list(B.shape)}", expected="the same shape")
    if max(A.shape) > LARGEST_SUPPORTS:
        raise UsageError(
            f"{max(A.shape)} actions", expected=f"at most {LARGEST_SUPPORTS}",
            hint="zero_sum_equilibrium, correlated_equilibrium",
        )  # fmt: skip
    unit_a, unit_b = _unit(A)[0], _unit(B)[0]  # units and zero of the payoffs do not matter
    found: list[Equilibrium] = []
    for size in range(1, min(A.shape) + 1):
        for rows in itertools.combinations(range(A.shape[0]), size):
            for columns in itertools.combinations(range(A.shape[1]), size):
                y = _indifferent(unit_a[np.ix_(rows, columns)], columns, A.shape[1])
                x = _indifferent(unit_b[np.ix_(rows, columns)].T, rows, A.shape[0])
                if x is None or y is None:
                    continue
                best_a, best_b = (unit_a @ y).max(), (x @ unit_b).max()
                if best_a <= x @ unit_a @ y + tolerance and best_b <= x @ unit_b @ y + tolerance:
                    known = any(np.allclose(x, e.strategies[0]) and np.allclose(y, e.strategies[1]) for e in found)
                    if not known:
                        found.append(Equilibrium((x, y), np.array([x @ A @ y, x @ B @ y])))
    return found


def correlated_equilibrium(
    payoffs: Any, objective: Literal["welfare", "fairness"] | Any = "welfare"
) -> tuple[Array, Array]:
    """Returns the correlated equilibrium that is best by the objective, and what everybody earns: `(joint, values)`.

    Args:
        payoffs: `[M, A_1, …, A_M]` what each player gets.
        objective: `"welfare"` (the sum), `"fairness"` (the least), or `[M]` weights of the players.

    Raises:
        UsageError: wrong shapes, or an unknown objective.
    """
    from scipy.optimize import linprog

    tensor = np.asarray(payoffs, float)
    players = tensor.shape[0] if tensor.ndim else 0
    if tensor.ndim != players + 1 or players < 2 or not np.isfinite(tensor).all():
        raise UsageError(
            f"payoffs of shape {list(tensor.shape)}", expected="[M, A_1, …, A_M] finite numbers, M players"
        )
    unit = _unit(tensor)[0]  # all in the same units, for their sum is what counts
    shape = tensor.shape[1:]
    size = int(np.prod(shape))
    rows = []
    for player in range(players):
        for told, other in itertools.permutations(range(shape[player]), 2):
            # who is told to do one action does not gain by the other
            gain = np.take(unit[player], [other], axis=player) - np.take(unit[player], [told], axis=player)
            row = np.zeros(shape)
            np.moveaxis(row, player, 0)[told] = np.moveaxis(gain, player, 0)[0]
            rows.append(row.reshape(-1))
    flat = unit.reshape(players, size)
    constraints, bounds = np.array(rows).reshape(len(rows), size), np.zeros(len(rows))
    if isinstance(objective, str) and objective == "fairness":  # one more variable: the least of all payoffs
        constraints = np.vstack(
            [np.column_stack([constraints, np.zeros(len(rows))]), np.column_stack([-flat, np.ones(players)])]
        )
        bounds, cost = np.zeros(len(rows) + players), np.append(np.zeros(size), -1.0)
        ones, ranges = np.append(np.ones(size), 0.0), [*([(0, None)] * size), (None, None)]
    else:
        weights = np.ones(players) if isinstance(objective, str) else np.asarray(objective, float)
        if (isinstance(objective, str) and objective != "welfare") or weights.shape != (players,):
            raise UsageError(f"objective = {objective!r}", expected='"welfare", "fairness" or [M] weights')
        cost, ones, ranges = -weights @ flat, np.ones(size), [(0, None)] * size
    done = linprog(
        cost, A_ub=constraints if len(bounds) else None, b_ub=bounds if len(bounds) else None,
        A_eq=ones[None], b_eq=[1.0], bounds=ranges, method="highs",
    )  # fmt: skip
    if not done.success:
        raise UsageError(f"the linear programme was not solved: {done.message}")
    joint = _normalised(done.x[:size]).reshape(shape)
    return joint, np.asarray((tensor * joint).reshape(players, -1).sum(axis=1))


def payoffs_of(world: Any) -> Array:
    """Returns `[M, A, …, A]` payoffs of a world (or its class or name) in which all players choose once, at once.

    Raises:
        MissingLawError: the players do not act at once, or the law can only be sampled.
        UsageError: the game goes on after the first choice, or begins in several states.
    """
    from inscape.envs.tasks.resolve import resolve_task

    task = resolve_task(world)
    if task.world is None or not task.world.simultaneous:
        raise MissingLawError(
            f"{task.name} is not a game in which all players act at once", expected="a world such as PrisonersDilemma"
        )
    game = task.world
    probability, starts = game.initial_outcomes()
    starts = starts[probability > 0]
    if len(starts) != 1:
        raise UsageError(
            f"{game.name} begins in one of {len(starts)} states", expected="one", hint="GameTree.from_world"
        )
    joint = game.joint_actions(np.arange(game.num_choices))
    chance, following = game.outcomes(starts[np.zeros(len(joint), np.int64)], joint)
    width = chance.shape[1]
    reached = chance.reshape(-1) > 0
    if not game.terminal_of(following)[reached].all():
        raise UsageError(
            f"{game.name} goes on after a choice", expected="a game of one choice", hint="GameTree.from_world"
        )
    sources = starts[np.zeros(len(joint) * width, np.int64)]
    reward = np.asarray(game.reward_of(sources, np.repeat(joint, width, axis=0), following))
    expected = (
        (chance.reshape(-1)[:, None] * np.where(reached[:, None], reward, 0.0)).reshape(len(joint), width, -1).sum(1)
    )
    return np.ascontiguousarray(expected.T).reshape(game.players, *([game.num_actions] * game.players))


def _indifferent(payoffs: Array, support: tuple[int, ...], actions: int) -> Array | None:
    """Returns the strategy on a support that makes the other's actions `[K, K]` equally good, or None."""
    size = len(support)
    system = np.zeros((size + 1, size + 1))
    system[:size, :size], system[:size, size], system[size, :size] = payoffs, -1.0, 1.0
    right = np.append(np.zeros(size), 1.0)
    try:
        found = np.linalg.solve(system, right)[:size]
    except np.linalg.LinAlgError:
        return None
    if not np.isfinite(found).all() or (found < -1e-12).any():
        return None
    strategy = np.zeros(actions)
    strategy[list(support)] = _normalised(found)
    return strategy


def _normalised(weights: Array) -> Array:
    found = np.maximum(weights, 0.0)
    return np.asarray(found / found.sum())


def _unit(payoffs: Array) -> tuple[Array, float, float]:
    """Returns payoffs from 0 to 1, what was subtracted and the unit: tolerances of linear programmes are absolute."""
    least = float(payoffs.min())
    with np.errstate(over="ignore"):
        scale = float(payoffs.max() - least)
    if not np.isfinite(scale):
        raise UsageError(f"payoffs from {least:g} to {float(payoffs.max()):g}", expected="a finite range")
    return ((payoffs - least) / scale, least, scale) if scale > 0 else (np.zeros_like(payoffs), least, 1.0)


def _matrix(given: Any, what: str) -> Array:
    try:
        found = np.asarray(given, float)
    except (TypeError, ValueError):
        raise UsageError(f"{what} = {given!r}", expected="a matrix of numbers") from None
    if found.ndim != 2 or 0 in found.shape or not np.isfinite(found).all():
        raise UsageError(f"{what} of shape {list(found.shape)}", expected="[A_1, A_2] finite numbers")
    return found
