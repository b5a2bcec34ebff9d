from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

from inscape.envs.worlds.gridworld.taxi import Taxi, TaxiState
from inscape.errors import UsageError
from inscape.world_models import value_iteration
from tests.envs.worlds.mdp.plain import outcomes, plain_table, starts


def state_of(code: int) -> TaxiState:
    return TaxiState(code // 20, code // 4 % 5, code % 4, False)


def code_of(state: TaxiState) -> int:
    return Taxi.observation(None, state)


@pytest.mark.parametrize("settings", [{}, {"is_rainy": True}, {"is_rainy": True, "rainy_probability": 0.6}])
def test_law_equals_gymnasiums_table(settings):
    """All 500 states, the 100 ended or unreachable ones included; outcomes in one state merged."""
    theirs_env = gym.make("Taxi-v4", **settings).unwrapped
    world = Taxi(**settings)
    for code, by_action in theirs_env.P.items():
        state = state_of(code)
        reachable = state.passenger != state.destination
        for action, entries in by_action.items():
            ours = {code_of(following): p for following, p in outcomes(world, state, action).items()}
            theirs: dict[int, float] = {}
            for p, to, reward, over in entries:
                theirs[to] = theirs.get(to, 0.0) + p
                assert world.reward(world.params, world.purpose, state, action, state_of(to)) == reward
                if reachable:
                    assert world.terminal(world.params, world.purpose, state_of(to)) == over
            assert ours == pytest.approx(theirs, abs=1e-15)
    initial = np.zeros(500)
    for state, p in starts(world).items():
        initial[code_of(state)] += p
    assert np.allclose(initial, theirs_env.initial_state_distrib, atol=1e-15, rtol=0)


def test_the_enumeration_has_gymnasiums_states_in_order():
    world = Taxi(is_rainy=True)
    dynamics = world.dynamics()
    assert [code_of(world.unpack(dynamics.states, s)) for s in range(len(dynamics))] == list(range(500))
    assert (world.observe(dynamics.states) == np.arange(500)).all()
    assert dynamics.initial.sum() == pytest.approx(1) and (dynamics.initial > 0).sum() == 300
    table = gym.make("Taxi-v4", is_rainy=True).unwrapped.P
    for code in np.flatnonzero(~world.terminal_of(dynamics.states)):
        for action in range(6):
            theirs: dict[int, float] = {}
            for p, to, _, _ in table[code][action]:
                theirs[to] = theirs.get(to, 0.0) + p
            kept = dynamics.probability[code, action] > 0
            listed = zip(dynamics.next_state[code, action][kept], dynamics.probability[code, action][kept])
            assert dict(listed) == pytest.approx(theirs, abs=1e-15)


def test_a_fickle_passenger_changes_their_mind_once_on_the_first_move():
    """What Gymnasium's `step` does outside its table: drawn at the start, done when the taxi first moves with them."""
    world = Taxi(fickle_passenger=True)
    first = starts(world)
    assert len(first) == 600
    assert sum(p for state, p in first.items() if state.fickle) == pytest.approx(0.3)
    riding = TaxiState(place=7, passenger=4, destination=2, fickle=True)
    south, west = 0, 3
    moved = outcomes(world, riding, south)
    assert moved == pytest.approx({TaxiState(12, 4, wish, False): 1 / 3 for wish in (0, 1, 3)})
    assert outcomes(world, riding, west) == {riding: 1.0}  # a wall: they have not moved
    waiting = riding._replace(passenger=1)
    assert outcomes(world, waiting, south) == {waiting._replace(place=12): 1.0}
    calm = riding._replace(fickle=False)
    assert outcomes(world, calm, south) == {calm._replace(place=12): 1.0}
    both = outcomes(Taxi(fickle_passenger=True, is_rainy=True), riding, south)
    assert both[TaxiState(12, 4, 0, False)] == pytest.approx(0.8 / 3)
    assert both[TaxiState(8, 4, 0, False)] == pytest.approx(0.1 / 3)
    assert both[riding] == pytest.approx(0.1)  # it drifted into the wall
    assert sum(both.values()) == pytest.approx(1)


def test_the_best_policy_delivers_by_the_shortest_way():
    """γ^(n − 1)·20 and −1 for each step before it, with n by breadth-first search: two routes to one number."""
    table, states = plain_table(Taxi())
    gamma, start = 0.99, TaxiState(20, 1, 2, False)  # on the yellow pad, a passenger at green who wants to yellow
    steps = shortest(Taxi(), start)
    value = value_iteration(table, gamma).values[states.index(start)]
    assert value == pytest.approx(20 * gamma ** (steps - 1) - (1 - gamma ** (steps - 1)) / (1 - gamma), abs=1e-5)


def shortest(world: Taxi, state: TaxiState) -> int:
    """Breadth first: steps until the passenger is delivered."""
    reached, steps = {state}, 0
    while not any(s.passenger == s.destination for s in reached):
        reached |= {following for s in reached for a in range(6) for following in outcomes(world, s, a)}
        steps += 1
    return steps


@pytest.mark.parametrize(
    "settings", [{"is_rainy": 1}, {"rainy_probability": 1.5}, {"fickle_probability": -0.1}, {"step_reward": "x"}]
)
def test_bad_settings_are_refused(settings):
    (name,) = settings
    with pytest.raises(UsageError, match=f"{name} = "):
        Taxi(**settings)
