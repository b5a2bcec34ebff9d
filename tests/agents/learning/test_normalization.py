from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from inscape.agents.learning.normalization import ReturnNormalizer
from inscape.errors import UsageError
from inscape.experiments.runs.storage.checkpoints import load_checkpoint, save_checkpoint


class Prescribed(VecEnv):
    """A vector environment of Stable-Baselines3's that pays what it was told."""

    def __init__(self, rewards, ended):
        super().__init__(rewards.shape[1], gymnasium.spaces.Box(-1, 1, (1,)), gymnasium.spaces.Discrete(2))
        self.rows = zip(rewards, ended, strict=True)

    def reset(self):
        return np.zeros((self.num_envs, 1), np.float32)

    def step_async(self, actions):
        pass

    def step_wait(self):
        rewards, ended = next(self.rows)
        return self.reset(), rewards, ended, [{} for _ in range(self.num_envs)]

    def close(self): ...
    def get_attr(self, attr_name, indices=None):
        return [None] * self.num_envs

    def set_attr(self, attr_name, value, indices=None): ...
    def env_method(self, method_name, *args, indices=None, **kwargs): ...
    def env_is_wrapped(self, wrapper_class, indices=None):
        return [False] * self.num_envs


@pytest.fixture
def paid():
    rng = np.random.default_rng(0)
    return rng.normal(-5.0, 20.0, (60, 3)), rng.random((60, 3)) < 0.1


def test_the_moments_are_those_of_vecnormalize(paid):
    """A round is divided by what VecNormalize divides its last step by."""
    rewards, ended = paid
    theirs = VecNormalize(Prescribed(rewards, ended), norm_obs=False, gamma=0.9, clip_reward=1.0)
    theirs.reset()
    last = np.array([theirs.step(np.zeros(3))[1] for _ in rewards])[-1]
    ours = ReturnNormalizer(3, 0.9, clip=1.0)
    found = ours(rewards, ended)
    assert np.isclose(ours.variance, theirs.ret_rms.var, rtol=1e-5)  # theirs begins with a variance of 1
    assert np.abs(found).max() == 1.0  # some are clipped
    assert np.allclose(found, (rewards / np.sqrt(theirs.ret_rms.var)).clip(-1, 1), rtol=1e-5)
    assert np.allclose(found[-1], last, rtol=1e-5)


def test_first_rewards_by_hand():
    """R = 2 then 2·½ + 4 = 5, in two copies with opposite signs; the episode of copy 1 ends in between: R = −4."""
    normalizer = ReturnNormalizer(2, 0.5)
    found = normalizer(np.array([[2.0, -2.0], [4.0, -4.0]]), np.array([[False, True], [False, False]]))
    deviation = np.std([2, -2, 5, -4])
    # the first weight, 1e-4 of variance 1, is all that is not the returns' own
    assert np.allclose(found, np.array([[2, -2], [4, -4]]) / deviation, rtol=1e-4)
    assert np.isclose(normalizer.deviation, deviation, rtol=1e-4)


def test_goes_on_exactly(paid, tmp_path):
    rewards, ended = paid
    whole, half, rest = (ReturnNormalizer(3, 0.9) for _ in range(3))
    expected = [whole(rewards[:25], ended[:25]), whole(rewards[25:], ended[25:])]
    first = half(rewards[:25], ended[:25])
    save_checkpoint(tmp_path / "step", half.state_dict())
    rest.load_state_dict(load_checkpoint(tmp_path / "step")[0])
    assert np.array_equal(first, expected[0])
    assert np.array_equal(rest(rewards[25:], ended[25:]), expected[1])


def test_what_cannot_be_is_refused():
    with pytest.raises(UsageError, match="gamma = 1.5"):
        ReturnNormalizer(1, 1.5)
    with pytest.raises(UsageError, match="clip = 0"):
        ReturnNormalizer(1, 0.9, clip=0.0)
    with pytest.raises(UsageError, match="2 copies"):
        ReturnNormalizer(3, 0.9).load_state_dict(ReturnNormalizer(2, 0.9).state_dict())
