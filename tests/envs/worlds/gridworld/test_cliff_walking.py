from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

from inscape.envs.worlds.gridworld.cliff_walking import CliffWalking
from inscape.errors import UsageError
from inscape.world_models import value_iteration
from tests.envs.worlds.mdp.plain import outcomes, plain_table


@pytest.mark.parametrize("slippery", [False, True])
def test_law_equals_gymnasiums_table(slippery):
    """All 48 cells, the goal and the cliff's own (which nobody reaches) included; outcomes in one cell merged."""
    table = gym.make("CliffWalking-v1", is_slippery=slippery).unwrapped.P
    world = CliffWalking(is_slippery=slippery)
    dynamics = world.dynamics()
    assert [world.unpack(dynamics.states, s).cell for s in range(len(dynamics))] == list(table)
    for cell, by_action in table.items():
        state = world.State(cell)
        for action, entries in by_action.items():
            ours = {following.cell: p for following, p in outcomes(world, state, action).items()}
            theirs: dict[int, float] = {}
            paid: dict[int, float] = {}
            for p, to, reward, over in entries:
                theirs[to] = theirs.get(to, 0.0) + p
                paid[to] = paid.get(to, 0.0) + p * reward
                assert over == world.terminal(world.params, world.purpose, world.State(to))
            assert ours == pytest.approx(theirs, abs=1e-15)
            for to, reward in paid.items():
                mean = world.reward(world.params, world.purpose, state, action, world.State(to))
                assert mean == pytest.approx(reward / theirs[to], abs=1e-12)
            if not world.terminal(world.params, world.purpose, state):
                kept = dynamics.probability[cell, action] > 0
                listed = zip(dynamics.next_state[cell, action][kept], dynamics.probability[cell, action][kept])
                assert dict(listed) == pytest.approx(theirs, abs=1e-15)
    assert dynamics.initial.argmax() == 36 and dynamics.initial[36] == 1


def test_only_the_start_blends_rewards():
    """Everywhere else that can be reached each reward is one that Gymnasium gives."""
    world = CliffWalking(is_slippery=True)
    blended = {}
    for cell in (*range(37),):
        for action, name in enumerate(world.actions):
            for following in outcomes(world, world.State(cell), action):
                reward = world.reward(world.params, world.purpose, world.State(cell), action, following)
                if reward not in (-1.0, -100.0):
                    blended[cell, name] = round(reward, 9)
    assert blended == {(36, "up"): -50.5, (36, "right"): -50.5, (36, "down"): -34.0}


def test_the_shortest_walk_has_thirteen_steps():
    """Along the edge, one row above the cliff (Sutton & Barto 2018, Figure in Example 6.6, the optimal path)."""
    table, _ = plain_table(CliffWalking())
    gamma = 0.999
    solution = value_iteration(table, gamma)
    assert solution.values[36] == pytest.approx(-(1 - gamma**13) / (1 - gamma), abs=1e-5)
    world, cell, path = CliffWalking(), 36, []
    while cell != 47:
        path.append(cell)
        (following,) = outcomes(world, world.State(cell), int(solution.policy[cell]))
        cell = following.cell
    assert path == [36, *range(24, 36)]


def test_plain_python_equals_compiled_where_it_is_slippery():
    world = CliffWalking(is_slippery=True)
    states = world.pack([world.State(c) for c in range(48)] * 4)
    actions, keys = np.repeat(np.arange(4), 48), np.arange(192) * 7919
    plain, fast = (world.step_with_keys(states, actions, keys, compiled=c) for c in (False, True))
    assert np.array_equal(plain[0].ints, fast[0].ints)
    assert np.array_equal(plain[1], fast[1]) and np.array_equal(plain[2], fast[2])
    assert set(fast[1][states.ints[0] < 36]) == {-1.0, -100.0}


@pytest.mark.parametrize("settings", [{"is_slippery": 1}, {"step_reward": float("nan")}, {"fall_reward": "low"}])
def test_bad_settings_are_refused(settings):
    (name,) = settings
    with pytest.raises(UsageError, match=f"{name} = "):
        CliffWalking(**settings)
