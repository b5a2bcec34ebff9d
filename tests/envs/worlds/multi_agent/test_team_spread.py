"""Spread: forces worked by hand, and steps equal to MPE's."""

from __future__ import annotations

import math

import numpy as np
import pytest

from inscape.envs.worlds.multi_agent.spread import Spread, SpreadForces, SpreadState
from inscape.errors import UsageError

STAY, LEFT, RIGHT, DOWN, UP = range(5)


def still(x, y, lx=None, ly=None):
    zeros = (0.0,) * len(x)
    return SpreadState(tuple(x), tuple(y), zeros, zeros, lx or zeros, ly or zeros)


def step(world, state, actions):
    return world.transition(world.params, state, actions, 0)[1]


def test_a_push_and_the_damping_after_it():
    world = Spread(agents=2)
    state = step(world, still((-0.9, 0.9), (0.0, 0.0)), (RIGHT, UP))
    assert (state.vx, state.vy) == ((0.5, 0.0), (0.0, 0.5))  # force 5, mass 1, 0.1 units of time
    assert (state.x, state.y) == ((-0.9, 0.9), (0.0, 0.0))  # positions move with the velocity before
    state = step(world, state, (STAY, STAY))
    assert state.x[0] == pytest.approx(-0.85)
    assert state.vx[0] == 0.375
    for _ in range(60):  # each step moves the velocity v to 0.75 v + 0.5: at rest where v = 2
        state = step(world, state, (LEFT, DOWN))
    assert state.vx[0] == pytest.approx(-2.0, abs=1e-6)
    assert state.vy[1] == pytest.approx(-2.0, abs=1e-6)


def test_contact_forces():
    world = Spread(agents=2)
    # exactly touching: 100 · 0.001 · log 2, along the line between them, equal and opposite
    state = step(world, still((0.0, 0.3), (0.0, 0.0)), (STAY, STAY))
    assert state.vx[1] == pytest.approx(0.1 * 100 * 0.001 * math.log(2), rel=1e-9)
    assert state.vx[0] == -state.vx[1]
    assert state.vy == (0.0, 0.0)
    # deep: nearly linear, 100 · depth
    state = step(world, still((0.0, 0.0), (0.0, -0.2)), (STAY, STAY))
    assert state.vy[0] == pytest.approx(0.1 * 100 * 0.1, rel=1e-9)
    assert state.vy[1] == -state.vy[0]
    # apart: none
    assert step(world, still((0.0, 0.4), (0.0, 0.0)), (STAY, STAY)).vx == (0.0, 0.0)
    # in one place: no direction to push in
    assert step(world, still((0.0, 0.0), (0.0, 0.0)), (STAY, STAY)).vx == (0.0, 0.0)


def test_contacts_move_no_momentum():
    world = Spread(agents=4)
    rng = np.random.default_rng(0)
    for _ in range(50):
        x, y = rng.uniform(-0.3, 0.3, (2, 4))
        state = step(world, still(x.tolist(), y.tolist()), (STAY,) * 4)
        assert sum(state.vx) == pytest.approx(0.0, abs=1e-12)
        assert sum(state.vy) == pytest.approx(0.0, abs=1e-12)


def test_rewards():
    world = Spread(agents=2, local_ratio=0.25)
    state = still((0.0, 0.2), (0.0, 0.0), (0.0, 1.2), (0.5, 0.0))
    distances = 0.5 + 1.0
    reward = world.reward(world.params, world.purpose, state, (STAY, STAY), state)
    assert reward == pytest.approx([-0.75 * distances - 0.25] * 2)  # they touch: one collision each
    apart = state._replace(x=(0.0, 1.0))
    reward = world.reward(world.params, world.purpose, apart, (STAY, STAY), apart)
    assert reward == pytest.approx([-0.75 * (0.5 + 0.2)] * 2)


def test_players_are_alike():
    """Renaming the agents renames velocities and rewards."""
    world = Spread()
    rng = np.random.default_rng(3)
    order = [2, 0, 1]
    for _ in range(20):
        x, y, lx, ly = (tuple(row) for row in rng.uniform(-0.5, 0.5, (4, 3)).tolist())
        actions = tuple(rng.integers(0, 5, 3).tolist())
        state = still(x, y, lx, ly)
        other = still([x[k] for k in order], [y[k] for k in order], lx, ly)
        one, two = step(world, state, actions), step(world, other, tuple(actions[k] for k in order))
        assert [one.vx[k] for k in order] == pytest.approx(two.vx, abs=1e-12)
        rewards = [world.reward(world.params, world.purpose, s, actions, s) for s in (one, two)]
        assert [rewards[0][k] for k in order] == pytest.approx(rewards[1], abs=1e-12)


def test_success_ends_the_task_if_asked_to():
    covered = still((0.05, 0.95), (0.0, 0.0), (0.0, 1.0), (0.0, 0.0))
    missed = covered._replace(x=(0.05, 0.85))
    for ends, state, over in ((True, covered, True), (True, missed, False), (False, covered, False)):
        world = Spread(agents=2, terminate_on_success=ends)
        assert world.terminal(world.params, world.purpose, state) == over
    with pytest.raises(UsageError, match="terminate_on_success"):
        Spread(terminate_on_success=1)


def test_start_fills_the_square():
    world = Spread()
    starts = world.sample_initial(4000, np.random.default_rng(0), compiled=False).floats
    moving = slice(6, 12)  # rows: x, y, vx, vy, lx, ly, three each
    assert (starts[moving] == 0).all()
    placed = np.delete(starts, moving, axis=0)
    assert np.abs(placed).max() <= 1
    assert np.allclose(placed.mean(1), 0, atol=5 / math.sqrt(3 * 4000))
    assert np.allclose(placed.std(1), 1 / math.sqrt(3), rtol=0.03)


@pytest.mark.quick("3-0.35")
@pytest.mark.parametrize(("agents", "spread"), [(3, 1.0), (3, 0.35), (5, 0.6)])
def test_steps_equal_mpes(agents, spread):
    """1,000 steps from the same states: states and rewards to 1e-9, observations to the float32 they are cast to."""
    simple_spread = pytest.importorskip("mpe2.simple_spread_v3")
    theirs = simple_spread.parallel_env(N=agents, max_cycles=10**9)
    theirs.reset(seed=0)
    arena = theirs.aec_env.unwrapped.world
    world = Spread(agents=agents)
    rng = np.random.default_rng(agents)
    state = None
    hits = 0
    for t in range(1000):
        if t % 25 == 0:
            x, y, lx, ly = (tuple(row) for row in rng.uniform(-spread, spread, (4, agents)).tolist())
            state = still(x, y, lx, ly)
        for k, agent in enumerate(arena.agents):
            agent.state.p_pos = np.array([state.x[k], state.y[k]])
            agent.state.p_vel = np.array([state.vx[k], state.vy[k]])
        for k, landmark in enumerate(arena.landmarks):
            landmark.state.p_pos = np.array([state.lx[k], state.ly[k]])
        actions = tuple(rng.integers(0, 5, agents).tolist())
        seen, reward, *_ = theirs.step({f"agent_{k}": a for k, a in enumerate(actions)})
        following = step(world, state, actions)
        for k, agent in enumerate(arena.agents):
            assert np.abs(agent.state.p_pos - (following.x[k], following.y[k])).max() < 1e-9
            assert np.abs(agent.state.p_vel - (following.vx[k], following.vy[k])).max() < 1e-9
        ours = world.reward(world.params, world.purpose, state, actions, following)
        assert np.abs(np.array(list(reward.values())) - ours).max() < 1e-9
        hits += min(ours) < max(ours)
        for k in range(agents):
            view = world.observation_view(world.params, following, k)
            entries = [world.observation_entry(world.params, view, i) for i in range(6 * agents)]
            assert np.allclose(seen[f"agent_{k}"], entries, rtol=0, atol=1e-6)
        state = following
    assert hits > 10 or spread == 1.0


def test_continuous_forces_equal_mpes():
    """200 steps; their five entries per agent are pushes to the right − left and up − down."""
    simple_spread = pytest.importorskip("mpe2.simple_spread_v3")
    theirs = simple_spread.parallel_env(N=3, max_cycles=10**9, continuous_actions=True)
    theirs.reset(seed=0)
    arena = theirs.aec_env.unwrapped.world
    world = SpreadForces()
    rng = np.random.default_rng(0)
    x, y, lx, ly = (tuple(row) for row in rng.uniform(-0.5, 0.5, (4, 3)).tolist())
    state = still(x, y, lx, ly)
    for k in range(3):
        arena.agents[k].state.p_pos, arena.agents[k].state.p_vel = np.array([x[k], y[k]]), np.zeros(2)
        arena.landmarks[k].state.p_pos = np.array([lx[k], ly[k]])
    for _ in range(200):
        pushes = rng.uniform(0, 1, (3, 5)).astype(np.float32)
        _, reward, *_ = theirs.step({f"agent_{k}": pushes[k] for k in range(3)})
        forces = tuple(float(v) for k in range(3) for v in (pushes[k, 2] - pushes[k, 1], pushes[k, 4] - pushes[k, 3]))
        following = world.transition(world.params, state, forces, 0)[1]
        assert np.allclose([a.state.p_pos[0] for a in arena.agents], following.x, atol=1e-6)
        ours = world.reward(world.params, world.purpose, state, forces, following)
        assert ours == pytest.approx(np.mean(list(reward.values())), abs=1e-6)
        state = following


@pytest.mark.compiled
def test_compiled_equals_plain():
    world = Spread()
    rng = np.random.default_rng(0)
    states = world.sample_initial(50, rng)
    states.floats[:6] *= 0.4  # crowded
    actions = rng.integers(0, 5, (50, 3))
    plain = world.step(states, actions, np.random.default_rng(0), compiled=False)
    compiled = world.step(states, actions, np.random.default_rng(0))
    # a compiled logarithm or exponential may differ from the C library's in its last bit
    assert np.allclose(plain[0].floats, compiled[0].floats, rtol=0, atol=1e-13)
    assert np.allclose(plain[1], compiled[1], rtol=0, atol=1e-13)
    assert np.allclose(world.observe(states, compiled=False), world.observe(states))
