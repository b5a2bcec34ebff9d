"""torch's DataLoader: transitions of a world, collected in worker processes.

usage: python torch_dataloader.py [WORLD]
"""

import sys

import gymnasium as gym
import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

WORLD = sys.argv[1] if len(sys.argv) > 1 else "CartPole"


class Transitions(IterableDataset):
    """Steps of an environment that was made in the main process."""

    def __init__(self, env, steps):
        self.env, self.steps = env, steps

    def __iter__(self):
        worker = get_worker_info()
        seed = 0 if worker is None else worker.id
        self.env.action_space.seed(seed)
        observation, _ = self.env.reset(seed=seed)
        for _ in range(self.steps):
            action = self.env.action_space.sample()
            following, reward, terminated, truncated, _ = self.env.step(action)
            yield observation, action, reward, following, terminated
            observation = self.env.reset()[0] if terminated or truncated else following


if __name__ == "__main__":
    env = gym.make(f"inscape:inscape/{WORLD}-v0")
    env.reset(seed=0)  # an environment in use goes to workers too
    loader = DataLoader(Transitions(env, 1_000), batch_size=100, num_workers=2)
    batches = list(loader)
    rewards = torch.cat([batch[2] for batch in batches])
    print(f"{WORLD}: {len(rewards)} transitions in {len(batches)} batches, mean reward {rewards.mean():.4g}")
