"""skrl: PPO and its sequential trainer around `gym.make_vec` by the id, compiled copies included.

usage: python skrl_ppo.py [WORLD]
"""

import sys

import gymnasium as gym
import torch
from skrl.agents.torch.ppo import PPO
from skrl.envs.wrappers.torch import wrap_env
from skrl.memories.torch import RandomMemory
from skrl.models.torch import CategoricalMixin, DeterministicMixin, GaussianMixin, Model
from skrl.trainers.torch import SequentialTrainer
from torch import nn
