from __future__ import annotations

import numpy as np
import pytest

from inscape.envs.worlds.mdp.garnet import Garnet
from inscape.errors import UsageError
from inscape.world_models import TabularModel, value_iteration
from tests.envs.worlds.mdp.plain import plain_table


def test_dynamics_are_garnets():
    """b different successors, drawn alike; probabilities are the pieces of b − 1 uniform cuts."""
    world = Garnet(states=200, num_actions=8, branching=5, seed=3)
    successors, probability = world.params
    assert successors.shape == probability.shape == (200, 8, 5)
    assert all(len(set(row)) == 5 for row in successors.reshape(-1, 5).tolist())
    assert np.allclose(probability.sum(2), 1, atol=1e-14) and (probability > 0).all()
    # each state is a successor of each of 1,600 choices with probability 5/200, hence 40 ± 6.2 times
    counts = np.bincount(successors.ravel(), minlength=200)
    assert counts.sum() == 8000
    assert ((counts - 40) ** 2).sum() / (40 * (1 - 5 / 200)) == pytest.approx(199, abs=5 * np.sqrt(2 * 199))
    # a piece of b − 1 cuts is Beta(1, b − 1): mean 1/b, E[p²] = 2 / (b (b + 1))
    assert (probability**2).mean() == pytest.approx(2 / 30, rel=0.03)
    assert np.allclose(probability.mean((0, 1)), 1 / 5, atol=0.015)  # whichever piece


def test_the_same_seed_gives_the_same_world():
    one, again, other = Garnet(seed=1), Garnet(seed=1), Garnet(seed=2)
    for a, b in ((one.params, again.params), (one.purpose, again.purpose)):
        assert all(np.array_equal(x, y) for x, y in zip(a, b))
    assert not np.array_equal(one.params.successors, other.params.successors)
    assert not np.array_equal(one.purpose.rewards, other.purpose.rewards)
    # rewards do not depend on how much chance the dynamics took
    assert np.array_equal(Garnet(seed=1, branching=7).purpose.rewards, one.purpose.rewards)


def test_rewards_follow_the_scheme():
    pairs = Garnet(states=500, num_actions=8).purpose.rewards
    assert pairs.mean() == pytest.approx(0, abs=0.08) and pairs.std() == pytest.approx(1, abs=0.06)
    states = Garnet(states=500, num_actions=8, rewards="states").purpose.rewards
    assert (states == states[:, :1]).all() and len(np.unique(states)) == 500
    sparse = Garnet(states=500, num_actions=8, sparsity=0.9).purpose.rewards
    assert (sparse == 0).mean() == pytest.approx(0.9, abs=0.03)
    assert not Garnet(sparsity=1.0).purpose.rewards.any()
    goals = Garnet().goals
    assert list(goals) == [f"rewards {k}" for k in range(4)]
    assert np.array_equal(goals["rewards 0"].rewards, Garnet().purpose.rewards)
    assert len({purpose.rewards.tobytes() for purpose in goals.values()}) == 4


def test_values_equal_those_of_a_linear_system():
    """Value iteration against policy iteration by dense linear algebra, from the world's own tables."""
    gamma = 0.95
    world = Garnet(states=40, num_actions=3, branching=4, seed=5)
    table, states = plain_table(world)
    assert [s.number for s in states] == list(range(40))
    dense = np.zeros((40, 3, 40))
    s, a, _ = np.indices(world.params.successors.shape)
    dense[s, a, world.params.successors] = world.params.probability
    policy, rewards = np.zeros(40, int), world.purpose.rewards
    for _ in range(50):
        chosen = np.arange(40), policy
        values = np.linalg.solve(np.eye(40) - gamma * dense[chosen], rewards[chosen])
        policy = (rewards + gamma * dense @ values).argmax(1)
    assert np.allclose(value_iteration(table, gamma, tolerance=1e-10).values, values, atol=1e-9)
    read = TabularModel.from_world(world)  # its purposes have lookup tables of their own, and none of them ends it
    assert np.allclose(value_iteration(read, gamma, tolerance=1e-10).values, values, atol=1e-9)


def test_large_worlds_are_made_at_once():
    world = Garnet(states=10_000, num_actions=16, branching=3)
    assert world.params.successors.shape == (10_000, 16, 3)
    assert world.num_actions == 16 and world.observation_space.n == 10_000
    assert (
        np.sort(world.params.successors, axis=2)[..., 1:] != np.sort(world.params.successors, axis=2)[..., :-1]
    ).all()


@pytest.mark.parametrize(
    "settings",
    [{"states": 0}, {"num_actions": 0}, {"branching": 31}, {"rewards": "all"}, {"sparsity": 1.5}, {"seed": -1}],
)
def test_bad_settings_are_refused(settings):
    (name,) = settings
    with pytest.raises(UsageError, match=f"{name} = "):
        Garnet(**settings)
