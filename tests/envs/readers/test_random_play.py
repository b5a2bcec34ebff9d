"""Random play in compiled code: what a loop counts, and known results."""

from __future__ import annotations

import numpy as np
import pytest

from tests.envs.multi_worlds import Tag


@pytest.mark.compiled
def test_random_play_counts_what_a_loop_counts():
    """Against the vector environment under a random policy: the same distribution, other draws."""
    world = Tag()
    played = world.random_play(2000, 60, seed=1)
    assert played.steps == 120_000
    assert played.mean_return[0] == -played.mean_return[1]
    one = world.random_play(2000, 60, seed=1, threads=2)
    assert (one.episodes, one.mean_return.tolist()) == (played.episodes, pytest.approx(played.mean_return.tolist()))
    env = world.vector_env(2000, "same-step")
    env.reset(seed=0)
    rng = np.random.default_rng(0)
    total, episodes = np.zeros(2), 0
    for _ in range(60):
        _, rewards, terminated, _, _ = env.step(world.random_actions(env.states, rng))
        total += rewards.sum(0)
        episodes += terminated.sum()
    assert played.episodes == pytest.approx(episodes, rel=0.02)
    assert played.mean_return == pytest.approx(total / episodes, abs=0.03)


@pytest.mark.compiled
def test_random_play_reproduces_known_random_play():
    """Random play of a slippery lake reaches the goal about once in 70 episodes; the chance is a linear system."""
    from inscape.envs.registry import make_world
    from inscape.world_models.planning.dynamic_programming import policy_evaluation
    from inscape.world_models.tabular.model import TabularModel

    world = make_world("FrozenLake")
    table = TabularModel.from_world(world)
    exact = policy_evaluation(table, np.full((table.num_states, 4), 0.25), 1.0) @ table.initial
    played = world.random_play(4096, 800, max_episode_steps=None)
    error = 5 * np.sqrt(exact * (1 - exact) / played.episodes)
    assert played.mean_return[0] == pytest.approx(exact, abs=error)
