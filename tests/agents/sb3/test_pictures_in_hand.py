"""A model of Stable-Baselines3 that was trained on pictures, in hand: its own wrapper put their channels first."""

import numpy as np
import pytest

from inscape.envs import make_world
from inscape.errors import UsageError
from inscape.experiments import evaluate


@pytest.mark.slow
def test_a_model_trained_on_pictures_is_evaluated_in_the_world_that_shows_them():
    from stable_baselines3 import PPO
    from stable_baselines3.common.evaluation import evaluate_policy
    from stable_baselines3.common.monitor import Monitor

    model = PPO("MlpPolicy", make_world("EmptyRoom").env(), n_steps=16, batch_size=16, n_epochs=1, device="cpu", seed=0)
    assert model.observation_space.shape == (3, 7, 7)
    found = evaluate(model, "EmptyRoom", episodes=3)
    theirs, _ = evaluate_policy(model, Monitor(make_world("EmptyRoom").env()), n_eval_episodes=3)
    assert found.mean == pytest.approx(theirs)  # it acts greedily, and every start is the same
    pictures = np.stack([make_world("EmptyRoom").env().reset(seed=seed)[0] for seed in range(3)])
    expected, _ = model.predict(pictures, deterministic=True)
    assert (model.predict(pictures.transpose(0, 3, 1, 2), deterministic=True)[0] == expected).all()
    with pytest.raises(UsageError, match="made for observations"):
        evaluate(model, "FrozenLake", episodes=1)
