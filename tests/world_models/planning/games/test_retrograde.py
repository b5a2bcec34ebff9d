"""Games in which states come back: against a long finite horizon, and a race that one may delay."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from inscape import UsageError, World
from inscape.world_models import AlphaBeta, game_values

STATES = 12


class Wandering(World):
    """A token moves along arrows; its owner in each state chooses one of two; some states are the end."""

    class State(NamedTuple):
        at: int

    class Params(NamedTuple):
        arrows: np.ndarray
        owner: np.ndarray
        payoff: np.ndarray  # 9: not the end

    actions = ("left", "right")
    players = 2
    gamma = 1.0

    def setup(self, seed=0):
        rng = np.random.default_rng(seed)
        payoff = np.full(STATES, 9)
        payoff[-4:] = rng.integers(-2, 3, 4)
        params = Wandering.Params(rng.integers(0, STATES, (STATES, 2)), rng.integers(0, 2, STATES), payoff)
        return params, ()

    @staticmethod
    def initial(params, branch):
        return 1.0, Wandering.State(0)

    @staticmethod
    def roots(params):
        return [Wandering.State(s) for s in range(STATES)]

    @staticmethod
    def transition(params, state, action, branch):
        return 1.0, Wandering.State(params.arrows[state.at, action])

    @staticmethod
    def reward(params, purpose, state, action, next_state):
        paid = params.payoff[next_state.at]
        paid = 0.0 if paid == 9 else float(paid)
        return paid, -paid

    @staticmethod
    def terminal(params, purpose, state):
        return params.payoff[state.at] != 9

    @staticmethod
    def mover(params, state):
        return params.owner[state.at]


def long_horizon(world):
    """Returns the first player's value for 60 moves: more than any forced end takes."""
    p = world.params
    values = np.zeros(STATES)
    over = p.payoff != 9
    for _ in range(60):
        ahead = np.where(over, p.payoff, values)[p.arrows]
        values = np.where(over, 0.0, np.where(p.owner == 0, ahead.max(axis=1), ahead.min(axis=1)))
    return values


@pytest.mark.parametrize("seed", range(25))
def test_random_games_by_a_long_horizon(seed):
    world = Wandering(seed=seed)
    found = game_values(world)
    at = np.array([world.unpack(found.states, s).at for s in range(len(found.states))])
    assert found.values[:, 0] == pytest.approx(long_horizon(world)[at], abs=1e-12)
    assert found.values.sum(axis=1) == pytest.approx(0.0)
    # who can force a payoff gets it by the policy, whatever the other does
    where = {int(a): s for s, a in enumerate(at)}
    for s in np.flatnonzero(np.abs(found.values[:, 0]) > 0):
        better = 0 if found.values[s, 0] > 0 else 1
        frontier, steps = {int(s)}, 0
        while frontier:
            following = set()
            for row in frontier:
                if world.params.payoff[at[row]] != 9:
                    assert (1 - 2 * better) * world.params.payoff[at[row]] >= abs(found.values[s, 0]) - 1e-12
                    continue
                choices = [found.policy[row]] if found.mover[row] == better else range(2)
                following |= {where[int(world.params.arrows[at[row], a])] for a in choices}
            frontier, steps = following, steps + 1
            assert steps <= STATES + 1


def test_alpha_beta_agrees_where_it_looks_far_enough():
    rng = np.random.default_rng(0)
    for seed in range(10):
        world = Wandering(seed=seed)
        start = world.sample_initial(1, rng)
        if not world.terminal_of(start)[0]:
            solved = game_values(world)
            found = AlphaBeta(depth=STATES).plan(world, start, rng)[0]
            assert found.value == solved.value_of(start)[0, world.mover_of(start)[0]]


class Paying(Wandering):
    """Every move pays."""

    @staticmethod
    def reward(params, purpose, state, action, next_state):
        return 1.0, -1.0


class Kind(Wandering):
    """Both win."""

    @staticmethod
    def reward(params, purpose, state, action, next_state):
        return 1.0, 1.0


def test_what_has_no_such_value_is_refused():
    with pytest.raises(UsageError, match="pays before its end"):
        game_values(Paying())
    with pytest.raises(UsageError, match="opposite amounts"):
        game_values(Kind())
    assert game_values(Paying(), 0.9).error_bound <= 1e-8
