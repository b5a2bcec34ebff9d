"""Random play in compiled code: what a loop counts, and known results."""

from __future__ import annotations

import numpy as np
import pytest

from tests.envs.multi_worlds import Tag


@pytest.mark.slow
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


@pytest.mark.compiled(all=False)
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


@pytest.mark.slow
@pytest.mark.compiled(all=False)
@pytest.mark.parametrize("steps", [1, 2, 3, 5, 10])
def test_random_play_of_few_steps_is_not_biased_to_short_episodes(steps):
    """Kuhn poker under uniform play: 1/8 for who moves first, in 9/4 steps (3 steps after a pass and a bet, else 2)."""
    from inscape.envs.registry import make_world

    played = [make_world("KuhnPoker").random_play(8000, steps, seed=seed) for seed in range(4)]
    episodes = sum(max(one.episodes, 8000) for one in played)
    error = 5 * 2 / np.sqrt(episodes)  # stakes are at most 2
    assert np.mean([one.mean_return[0] for one in played]) == pytest.approx(0.125, abs=error)
    assert np.mean([one.mean_length for one in played]) == pytest.approx(2.25, abs=5 * 0.5 / np.sqrt(episodes))


@pytest.mark.compiled(all=False)
@pytest.mark.parametrize("steps", [1, 4, 16, 64])
def test_short_random_play_of_a_slippery_lake_is_not_biased(steps):
    from inscape.envs.registry import make_world
    from inscape.world_models.planning.dynamic_programming import policy_evaluation
    from inscape.world_models.tabular.model import TabularModel

    world = make_world("FrozenLake")
    table = TabularModel.from_world(world)
    exact = policy_evaluation(table, np.full((table.num_states, 4), 0.25), 1.0) @ table.initial
    played = world.random_play(40_000, steps, max_episode_steps=None if steps > 10 else 100_000)
    error = 5 * np.sqrt(exact * (1 - exact) / 40_000)
    assert played.mean_return[0] == pytest.approx(exact, abs=error)


def test_random_play_without_an_end_has_no_mean():
    from inscape.envs.registry import make_world

    played = make_world("Pendulum").random_play(3, 5, max_episode_steps=None)
    assert np.isnan(played.mean_return).all()
    assert (played.steps, played.episodes, played.mean_length) == (15, 0, float("inf"))
