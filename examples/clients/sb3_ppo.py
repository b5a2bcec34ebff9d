"""Stable-Baselines3: PPO, by the id alone; pixels and one-hot encoding are SB3's own.

usage: python sb3_ppo.py [WORLD]
"""

import sys

import gymnasium as gym
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy

WORLD = sys.argv[1] if len(sys.argv) > 1 else "CartPole"

copies = make_vec_env(f"inscape:inscape/{WORLD}-v0", n_envs=4, seed=0)
model = PPO("MlpPolicy", copies, n_steps=128, seed=0, device="cpu").learn(2_000)
env = gym.make(f"inscape:inscape/{WORLD}-v0")
mean, _ = evaluate_policy(model, env, n_eval_episodes=5, warn=False)
print(f"{WORLD}: mean return {mean:.4g} over 5 episodes")
