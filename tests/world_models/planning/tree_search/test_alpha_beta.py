"""Alpha-beta: against minimax, games with chance and intermediate rewards, known values, what is refused."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
import pytest

import inscape
from inscape import MissingLawError, PartialObservationError, UsageError, World, make_world
from inscape.world_models import AlphaBeta, KnownModel, game_values, make_planner

RNG = np.random.default_rng(0)


def plan(world, states=None, **settings):
    states = world.sample_initial(1, RNG) if states is None else states
    return AlphaBeta(**settings).plan(world, states, RNG)[0]


def played(world, moves):
    """Returns the state after the moves."""
    states = world.sample_initial(1, RNG)
    for move in moves:
        states, *_ = world.step(states, np.array([move]), RNG)
    return states


@cache
def tic_tac_toe():
    return game_values("TicTacToe")


@pytest.mark.slow
def test_tic_tac_toe_is_a_draw_and_every_position_is_right():
    solved = tic_tac_toe()
    world, rng = solved.world, np.random.default_rng(1)
    whole = plan(world)
    assert (whole.value, whole.metrics["proven"]) == (0.0, 1.0)
    going = np.flatnonzero(solved.mover >= 0)
    for row in rng.choice(going, 20, replace=False):
        found = plan(world, solved.states[[row]], every_action=True)
        assert found.value == solved.values[row, solved.mover[row]]
        legal = np.isfinite(solved.q_values[row])
        assert found.action_values[legal] == pytest.approx(solved.q_values[row][legal])
        assert solved.optimal_actions()[row, found.action]
        assert found.metrics["proven"] == 1.0


@pytest.mark.quick("3-3-3", "4-3-3")
@pytest.mark.parametrize(("rows", "columns", "length"), [(3, 3, 3), (3, 4, 3), (4, 3, 3), (2, 4, 2)])
def test_connect_four_on_small_boards_by_backward_induction(rows, columns, length):
    world = make_world("ConnectFour", rows=rows, columns=columns, length=length)
    found = plan(world)
    assert found.value == game_values(world).value[0]
    assert found.metrics["proven"] == 1.0


class Sticks(World):
    """Two take one or two sticks in turn; who takes the last earns 3 more. After each move a coin decides whether the
    sticks are worth their number, or nothing, and then the same player moves again. There are two passes."""

    class State(NamedTuple):
        left: int
        mover: int
        passed: int

    class Params(NamedTuple):
        sticks: int = 6
        chance: float = 0.5

    actions = ("one", "two", "pass")
    players = 2
    branches = 2
    gamma = 0.9

    @staticmethod
    def initial(params, branch):
        return 1.0, Sticks.State(params.sticks, 0, 0)

    @staticmethod
    def transition(params, state, action, branch):
        lost = branch == 1
        p = params.chance if lost else 1.0 - params.chance
        if action == 2:
            return (1.0 if branch == 0 else 0.0), Sticks.State(state.left, 1 - state.mover, state.passed + 1)
        left = state.left - action - 1
        # who loses the coin moves again
        return p, Sticks.State(left, state.mover if lost else 1 - state.mover, state.passed)

    @staticmethod
    def reward(params, purpose, state, action, next_state):
        gained = 0.0
        if action != 2:
            gained = 0.0 if next_state.mover == state.mover else 1.0 * (action + 1)
            if next_state.left == 0:
                gained += 3.0
        return (gained, -gained) if state.mover == 0 else (-gained, gained)

    @staticmethod
    def terminal(params, purpose, state):
        return state.left == 0

    @staticmethod
    def legal(params, state, action):
        return action < state.left if action < 2 else state.passed < 2

    @staticmethod
    def mover(params, state):
        return state.mover


@pytest.mark.quick(every=3)
@pytest.mark.parametrize("gamma", [1.0, 0.9, 0.0])
@pytest.mark.parametrize("chance", [0.5, 0.25, 0.0])
@pytest.mark.parametrize("win", [None, 40.0])
def test_chance_rewards_on_the_way_and_moving_twice(gamma, chance, win):
    world = Sticks(chance=chance)
    solved = game_values(world, gamma)
    for row in np.flatnonzero(solved.mover >= 0)[::3]:
        found = plan(world, solved.states[[row]], gamma=gamma, every_action=True, win=win)
        legal = np.isfinite(solved.q_values[row])
        assert found.value == pytest.approx(solved.values[row, solved.mover[row]], abs=1e-12)
        assert found.action_values[legal] == pytest.approx(solved.q_values[row][legal], abs=1e-12)
        assert found.metrics["proven"] == 1.0
        assert plan(world, solved.states[[row]], gamma=gamma, win=win).value == pytest.approx(found.value, abs=1e-12)


def test_mates_within_six_plies_are_found():
    """Connect four, 7×6: an open row of three, of two, a threat to block, and a position that is lost."""
    world = make_world("ConnectFour")
    mate_in_two = played(world, [3, 0, 2, 0])  # three in a row, open on both sides, cannot be met
    found = plan(world, mate_in_two, depth=6)
    assert (found.value, found.metrics["proven"]) == (1.0, 1.0)
    assert found.action in (1, 4)
    assert found.metrics["depth"] == 3.0
    in_one = played(world, [3, 0, 3, 0, 3, 1])
    found = plan(world, in_one, depth=6)
    assert (found.action, found.value, found.metrics["depth"]) == (3, 1.0, 1.0)
    must_block = played(world, [3, 0, 3, 0, 3])
    assert plan(world, must_block, depth=6).action == 3
    lost = played(world, [3, 0, 2, 0, 4])
    found = plan(world, lost, depth=6)
    assert (found.value, found.metrics["proven"]) == (-1.0, 1.0)


@pytest.mark.slow
def test_a_small_table_and_a_cut_off_change_nothing_that_is_proven():
    world = make_world("ConnectFour", rows=3, columns=4, length=3)
    values = {plan(world, table_entries=entries, max_nodes=10**6).value for entries in (4, 2**12)}
    assert values == {game_values(world).value[0]}
    cut = plan(make_world("ConnectFour"), max_nodes=300)
    assert cut.metrics["proven"] == 0.0
    assert 1 <= cut.metrics["depth"] < 10
    assert cut.simulations == 300


def test_the_agent_does_not_lose():
    found = inscape.evaluate(["alphabeta", "random"], "TicTacToe", episodes=20)
    assert found.players[0].mean > 0.5
    agent = inscape.make_agent("alphabeta", "ConnectFour", settings={"depth": 4})
    observation = np.asarray(agent.model.world.observe(played(agent.model.world, [3, 0, 3, 0, 3])))
    assert agent.act(observation).tolist() == [3]


def test_by_name():
    planner = make_planner("alphabeta", depth=2)
    assert planner == AlphaBeta(depth=2)
    assert inscape.plan("TicTacToe", planner="alphabeta").metrics["proven"] == 1.0


class Generous(Sticks):
    """Both earn something."""

    @staticmethod
    def reward(params, purpose, state, action, next_state):
        return 1.0, 0.0


def test_what_is_no_such_game_is_refused():
    for name, message in (("FrozenLake", "two players who move in turn"), ("RockPaperScissors", "act at once")):
        alone = make_world(name)
        with pytest.raises(UsageError, match=message):
            AlphaBeta().plan(alone, alone.sample_initial(1, RNG), RNG)
    poker = make_world("KuhnPoker")
    with pytest.raises(PartialObservationError, match="alpha-beta needs to see the state"):
        plan(poker)
    with pytest.raises(UsageError, match="do not earn opposite amounts"):
        plan(Generous())
    with pytest.raises(UsageError, match="exceeds win = 1"):
        plan(Sticks(), win=1.0)
    with pytest.raises(UsageError, match="terminal"):
        plan(make_world("TicTacToe"), played(make_world("TicTacToe"), [0, 3, 1, 4, 2]))
    with pytest.raises(UsageError, match="not enough to look at each action"):
        plan(make_world("TicTacToe"), max_nodes=2)
    world = make_world("TicTacToe")
    with pytest.raises(UsageError, match="with an evaluate"):
        AlphaBeta().plan(world, world.sample_initial(1, RNG), RNG, lambda states: (np.zeros(1), None))
    for settings in (
        {"depth": 0},
        {"max_nodes": 0},
        {"gamma": 1.5},
        {"win": -1.0},
        {"table_entries": 1},
        {"depth": 2.5},
    ):
        with pytest.raises(UsageError, match=next(iter(settings))):
            AlphaBeta(**settings)
    with pytest.raises(UsageError, match="depth = 0"):
        inscape.make_agent("alphabeta", "TicTacToe", settings={"depth": 0})
    with pytest.raises(PartialObservationError):
        inscape.make_agent("alphabeta", "KuhnPoker")
    with pytest.raises(MissingLawError):
        inscape.make_agent("alphabeta", "FrozenLake")


@pytest.mark.slow
@pytest.mark.compiled
@pytest.mark.parametrize(("rows", "columns"), [(4, 4), (4, 5), (5, 4), (5, 5)])
def test_connect_four_up_to_five_by_five_is_a_draw(rows, columns):
    """Tromp's table of connect four on small boards, https://tromp.github.io/c4/c4.html."""
    world = make_world("ConnectFour", rows=rows, columns=columns)
    found = plan(KnownModel(world, compiled=True), world.sample_initial(1, RNG), max_nodes=10**8, table_entries=2**22)
    assert (found.value, found.metrics["proven"]) == (0.0, 1.0)
    if rows == columns == 4:  # compiled or not, the same states are looked at
        plain = plan(KnownModel(world, compiled=False), world.sample_initial(1, RNG), table_entries=2**22)
        assert (plain.value, plain.simulations, plain.action) == (found.value, found.simulations, found.action)
