"""tianshou: DQN, which reads masks from observations `{"obs", "mask"}`; a game comes through its `PettingZooEnv`.

usage: python tianshou_dqn.py [WORLD]
"""

import sys

import gymnasium as gym
import numpy as np
import torch
from tianshou.algorithm import DQN
from tianshou.algorithm.modelfree.dqn import DiscreteQLearningPolicy
from tianshou.algorithm.multiagent.marl import MultiAgentOffPolicyAlgorithm
from tianshou.algorithm.optim import AdamOptimizerFactory
from tianshou.algorithm.random import MARLRandomDiscreteMaskedOffPolicyAlgorithm
from tianshou.data import Collector, VectorReplayBuffer
from tianshou.env import DummyVectorEnv, PettingZooEnv
from tianshou.trainer import OffPolicyTrainerParams
from tianshou.utils.net.common import Net

import inscape

WORLD = sys.argv[1] if len(sys.argv) > 1 else "CartPole"
IS_GAME = inscape.make_world(WORLD).players > 1


class Masked(gym.Wrapper):
    """Observations with the mask in them, as tianshou wants them."""

    def _told(self, observation):
        return {"obs": observation, "mask": self.get_wrapper_attr("action_masks")()}

    def reset(self, **given):
        observation, info = self.env.reset(**given)
        return self._told(observation), info

    def step(self, action):
        observation, *rest = self.env.step(action)
        return self._told(observation), *rest


def make():
    if IS_GAME:
        return PettingZooEnv(inscape.make_world(WORLD).aec_env())
    env = gym.wrappers.FlattenObservation(gym.make(f"inscape:inscape/{WORLD}-v0"))
    return Masked(env) if WORLD == "SkiResort" else env


torch.manual_seed(0)
np.random.seed(0)
env = make()
sees = env.observation_space["observation"] if IS_GAME else env.observation_space
count = int(env.action_space.n)
network = Net(state_shape=sees.shape, action_shape=count, hidden_sizes=[64, 64])
policy = DiscreteQLearningPolicy(
    model=network, action_space=env.action_space, observation_space=sees, eps_training=0.2, eps_inference=0.05
)
algorithm = DQN(policy=policy, optim=AdamOptimizerFactory(lr=1e-3), gamma=0.99, target_update_freq=100)
if IS_GAME:  # against a random player
    other = MARLRandomDiscreteMaskedOffPolicyAlgorithm(action_space=env.action_space)
    algorithm = MultiAgentOffPolicyAlgorithm(algorithms=[algorithm, other], env=env)
training, test = DummyVectorEnv([make] * 4), DummyVectorEnv([make] * 5)
collector = Collector(algorithm, training, VectorReplayBuffer(10_000, 4), exploration_noise=True)
collector.reset()
collector.collect(n_step=256)
algorithm.run_training(
    OffPolicyTrainerParams(
        training_collector=collector,
        test_collector=Collector(algorithm, test),
        max_epochs=1,
        epoch_num_steps=1_700,
        collection_step_num_env_steps=16,
        update_step_num_gradient_steps_per_sample=0.1,
        test_step_num_episodes=5,
        batch_size=64,
    )
)
measured = Collector(algorithm, DummyVectorEnv([make] * 5))
measured.reset()
returns = measured.collect(n_episode=5).returns
returns = returns[:, 0] if returns.ndim > 1 else returns
print(f"{WORLD}: mean return {returns.mean():.4g} over 5 episodes")
