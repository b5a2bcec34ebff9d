"""Exact values of games in which players move in turn and see everything: backward induction over all states, or
retrograde analysis where states may come back.

Sources: Zermelo (1913); von Neumann & Morgenstern (1944), chapter 15; order by removing states whose successors are
done: Kahn (1962), "Topological sorting of large networks", CACM 5(11); cycles, discounted: Shapley (1953), "Stochastic
games", PNAS 39(10).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from inscape.errors import MissingLawError, UsageError
from inscape.world_models.interface import check_gamma
from inscape.world_models.planning.dynamic_programming import ties
from inscape.world_models.planning.games.retrograde import retrograde

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class GameValues:
    """Values of every state of a game under optimal play of all.

    Attributes:
        world: the game.
        states: the S states.
        values: `[S, M]` what each player will earn from here on; 0 where it is over.
        q_values: `[S, A]` what the mover will earn by each action; −inf where illegal.
        mover: `[S]`; −1 where it is over.
        initial: `[S]` probabilities of the first state.
        error_bound: of the values: rounding, and where the game may go on for ever what iteration has left.
        progress: `[S]` where states may come back and γ = 1, a best move that brings the end nearer; −1 where there is
            none. None: every best move does.
    """

    world: Any
    states: Any
    values: Array
    q_values: Array
    mover: Array
    initial: Array
    error_bound: float
    progress: Array | None = None

    @property
    def policy(self) -> Array:
        """`[S]` int64 optimal actions, the first among equals, and such that a game that is won is won in the end."""
        best = np.asarray(self.q_values.argmax(axis=1))
        return best if self.progress is None else np.where(self.progress >= 0, self.progress, best)

    @property
    def value(self) -> Array:
        """`[M]` value of the game."""
        return np.asarray(self.initial @ self.values)

    def optimal_actions(self, tolerance: float = 1e-9) -> Array:
        """Returns `[S, A]` bool: every optimal action of the mover."""
        return ties(self.q_values, tolerance) & np.isfinite(self.q_values)

    def value_of(self, states: Any) -> Array:
        """Returns `[B, M]` values of given states (`States`, as `world.sample_initial` or `world.step` return them)."""
        return np.asarray(self.values[self.world.dynamics().index_of(states)])


def game_values(world: Any, gamma: float | None = None, tolerance: float = 1e-9) -> GameValues:
    """Returns the values of every state of a game in turn, each player maximising its own return.

    Where several actions are best for the mover, and the others' returns differ, the first counts. Where states may
    come back and γ = 1, going on for ever is a draw, worth 0 (two players with opposite rewards, no chance, paid at
    the end).

    Args:
        world: a world of players who move in turn (or its class or name), whose states can be enumerated.
        gamma: discount; None: the world's own.
        tolerance: error to reach where the game may go on for ever.

    Raises:
        MissingLawError: one player, or players who act at once, or a law that can only be sampled.
        UsageError: players do not see everything; the game may go on for ever, gamma = 1, and it is no such game.
    """
    from inscape.envs.tasks.resolve import resolve_task

    task = resolve_task(world)
    game = task.world
    if game is None or game.players < 2 or game.simultaneous:
        raise MissingLawError(
            f"{task.name} is not a game in turn whose law is known",
            expected="a world of several players who move in turn, such as TicTacToe",
            hint="inscape.solve for one player; cfr and nash_equilibria where players act at once",
        )
    discount = game.gamma if gamma is None else gamma
    check_gamma(discount)
    law = game.dynamics()
    _require_everything_is_seen(game, law.states)
    terminal = game.terminal_of(law.states)
    mover = np.where(terminal, -1, game.mover_of(law.states))
    size, actions, width = law.next_state.shape
    sources, choices = np.repeat(np.arange(size), actions * width), np.tile(np.repeat(np.arange(actions), width), size)
    reward = np.asarray(game.reward_of(law.states[sources], choices, law.states[law.next_state.reshape(-1)]))
    reward = reward.reshape(size, actions, width, game.players)
    used = (law.probability > 0) & law.legal[:, :, None] & ~terminal[:, None, None]
    probability = np.where(used, law.probability, 0.0)
    paid = np.einsum("sak,sakm->sam", probability, np.where(used[..., None], reward, 0.0))
    order = _order(law.next_state, used, terminal)
    values = np.zeros((size, game.players))
    q = np.full((size, actions, game.players), -np.inf)

    def back_up(rows: Array) -> float:
        ahead = np.einsum("sak,sakm->sam", probability[rows], values[law.next_state[rows]])
        found = np.where(law.legal[rows][..., None], paid[rows] + discount * ahead, -np.inf)
        own = np.take_along_axis(found, mover[rows][:, None, None], axis=2)[:, :, 0]
        best = found[np.arange(len(rows)), own.argmax(axis=1)]
        change = float(np.abs(best - values[rows]).max(initial=0.0))
        q[rows], values[rows] = found, best
        return change

    left, progress = 0.0, None
    if order is None and discount == 1.0 and game.players == 2:
        first, progress = retrograde(game.name, law.next_state, probability, law.legal, paid, terminal, mover)
        values = np.stack([first, -first], axis=1)
        back_up(np.flatnonzero(~terminal))  # for the values of actions: the values of states stay what they are
        order = []
    elif order is not None:
        for layer in order:
            back_up(layer)
    else:
        left = _iterate(game.name, np.flatnonzero(~terminal), back_up, discount, tolerance, game.players)
    own = np.take_along_axis(q, np.maximum(mover, 0)[:, None, None], axis=2)[:, :, 0]
    own[terminal] = 0.0
    largest = float(np.abs(values).max(initial=0.0) + np.abs(paid).max(initial=0.0))
    rounding = (width + 8) * np.finfo(float).eps * largest * (len(order) if order is not None else 1)
    return GameValues(game, law.states, values, own, mover, law.initial, left + float(rounding), progress)


def _iterate(name: str, rows: Array, back_up: Any, gamma: float, tolerance: float, players: int) -> float:
    """Iterates where the game may go on for ever; returns the bound on the error that is left."""
    if gamma == 1.0 or players > 2:
        raise UsageError(
            f"{name} may go on for ever",
            expected="a game of two players and gamma < 1, or one in which no state comes back",
        )
    for _ in range(1_000_000):
        left = float(back_up(rows)) * gamma / (1.0 - gamma)
        if left <= tolerance:
            return left
    raise UsageError(f"the values of {name} do not settle", expected="a zero-sum game", hint="a smaller gamma")


def _order(next_state: Array, used: Array, terminal: Array) -> list[Array] | None:
    """Returns layers of states, each after all its successors; None where some state may come back."""
    from scipy.sparse import coo_matrix

    s, a, k = np.nonzero(used)
    size = len(terminal)
    graph = coo_matrix((np.ones(len(s)), (s, next_state[s, a, k])), (size, size)).tocsr()
    graph.data[:] = 1.0  # duplicates were summed
    waiting = np.asarray(graph.sum(axis=1)).reshape(-1)
    layers, layer, done = [], np.flatnonzero(waiting == 0), 0
    while len(layer):
        done += len(layer)
        layers.append(layer[~terminal[layer]])
        mark = np.zeros(size)
        mark[layer] = 1.0
        fewer = graph @ mark  # of each state, how many successors were just done
        waiting = waiting - fewer
        waiting[layer] = -1.0
        layer = np.flatnonzero(waiting == 0)
    return [one for one in layers if len(one)] if done == size else None


def _require_everything_is_seen(game: Any, states: Any) -> None:
    from inscape.world_models.tabular.model import observation_keys

    for player in range(game.players):
        keys = observation_keys(game.observe(states, player))
        if len(set(keys)) < len(keys):
            raise UsageError(
                f"player {player} of {game.name} does not see everything: two states look the same",
                expected="a game without hidden cards",
                hint="cfr solves games with hidden information",
            )
