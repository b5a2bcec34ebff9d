"""Minari: its `DataCollector` records a world; the data set recovers the environment, and Inscape reads the episodes.

usage: python minari_dataset.py [WORLD]
"""

import sys

import gymnasium as gym
import minari

from inscape.envs import trajectories_from_minari

WORLD = sys.argv[1] if len(sys.argv) > 1 else "CartPole"
NAME = f"{WORLD.lower()}/random-v0"

env = minari.DataCollector(gym.make(f"inscape:inscape/{WORLD}-v0"))
for episode in range(5):
    env.reset(seed=episode)
    ended = False
    while not ended:
        _, _, terminated, truncated, _ = env.step(env.action_space.sample())
        ended = terminated or truncated
if NAME in minari.list_local_datasets():
    minari.delete_dataset(NAME)
dataset = env.create_dataset(NAME, algorithm_name="random", author="me", author_email="me@example.org")
assert dataset.recover_environment().spec.id == f"inscape/{WORLD}-v0"
returns = [float(episode.rewards.sum()) for episode in dataset.iterate_episodes()]
assert [t.total_reward for t in trajectories_from_minari(NAME)] == returns
print(f"{WORLD}: mean return {sum(returns) / 5:.4g} over {dataset.total_episodes} episodes")
