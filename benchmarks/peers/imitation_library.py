"""The `imitation` library on episodes recorded by Inscape: prints mean returns and seconds, as JSON.

Run by `benchmarks/imitation.py --imitation PYTHON`, with the Python of an environment that has `imitation` 1.0.1 and
its Gymnasium 0.29. FILE.npz holds lengths of the episodes, observations, actions, terminated. Settings are those of the
library's own examples, where it has them.
"""

from __future__ import annotations

import json
import sys
import time

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from imitation.algorithms import bc
from imitation.algorithms.adversarial.airl import AIRL
from imitation.algorithms.adversarial.gail import GAIL
from imitation.data import types
from imitation.data.wrappers import RolloutInfoWrapper
from imitation.rewards.reward_nets import BasicRewardNet, BasicShapedRewardNet
from imitation.util.networks import RunningNorm
from stable_baselines3 import PPO
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import DummyVecEnv

COPIES = 8


class OneHot(gymnasium.ObservationWrapper):
    """A Discrete observation as the library's networks take it."""

    def __init__(self, env):
        super().__init__(env)
        self.observation_space = spaces.Box(0.0, 1.0, (env.observation_space.n,), np.float32)

    def observation(self, observation):
        return np.eye(self.observation_space.shape[0], dtype=np.float32)[observation]


def make(name, options):
    env = gymnasium.make(name, **options)
    if isinstance(env.observation_space, spaces.Discrete):
        env = OneHot(env)
    return RolloutInfoWrapper(env)


def episodes(path, space):
    """Returns the recorded episodes as the library's trajectories."""
    data = np.load(path, allow_pickle=False)
    found, at_obs, at_act = [], 0, 0
    for length, over in zip(data["lengths"], data["terminated"], strict=True):
        obs = data["observations"][at_obs : at_obs + length + 1]
        if obs.ndim == 1:
            obs = np.eye(space.shape[0], dtype=np.float32)[obs]
        acts = data["actions"][at_act : at_act + length]
        found.append(
            types.TrajectoryWithRew(obs=obs, acts=acts, infos=None, terminal=bool(over), rews=np.zeros(length))
        )
        at_obs, at_act = at_obs + length + 1, at_act + length
    return found


def cloned(shown, env, seed, steps, batch):
    trainer = bc.BC(
        observation_space=env.observation_space, action_space=env.action_space, demonstrations=shown,
        rng=np.random.default_rng(seed), batch_size=batch,
    )  # fmt: skip
    trainer.train(n_batches=steps, progress_bar=False)
    return trainer.policy


def adversarial(form, shown, env, seed, steps):
    learner = PPO(
        "MlpPolicy", env, batch_size=64, ent_coef=0.0, learning_rate=4e-4, gamma=0.95, n_epochs=5, seed=seed,
        n_steps=256,
    )  # fmt: skip
    net = BasicShapedRewardNet if form is AIRL else BasicRewardNet
    reward = net(
        observation_space=env.observation_space, action_space=env.action_space, normalize_input_layer=RunningNorm
    )
    trainer = form(
        demonstrations=shown, demo_batch_size=256, gen_replay_buffer_capacity=2048, n_disc_updates_per_round=16,
        venv=env, gen_algo=learner, reward_net=reward, allow_variable_horizon=True,
    )  # fmt: skip
    trainer.train(steps)
    return learner


def main():
    given = json.loads(sys.argv[1])
    torch.set_num_threads(1)
    env = DummyVecEnv([lambda: make(given["env"], given["options"])] * COPIES)
    env.seed(given["seed"])
    shown = episodes(given["file"], env.observation_space)
    found = {}
    for method in given["methods"]:
        began = time.process_time()
        torch.manual_seed(given["seed"])
        np.random.seed(given["seed"])
        if method == "clone":
            policy = cloned(shown, env, given["seed"], given["clone_steps"], given["batch"])
        else:
            policy = adversarial(AIRL if method == "airl" else GAIL, shown, env, given["seed"], given["steps"])
        seconds = time.process_time() - began
        mean, _ = evaluate_policy(policy, env, given["episodes"], deterministic=True)
        found[method] = {"return": float(mean), "seconds": seconds}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
