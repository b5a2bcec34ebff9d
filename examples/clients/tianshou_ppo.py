"""tianshou: its high-level interface by the id; games through its `PettingZooEnv`, which reads the mask.

usage: python tianshou_ppo.py [WORLD]
"""

import sys

import gymnasium as gym
import numpy as np
import torch

import inscape

WORLD = sys.argv[1] if len(sys.argv) > 1 else "CartPole"
