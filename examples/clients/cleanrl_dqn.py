"""A script in the style of CleanRL, as its dqn is: one file, torch and Gymnasium only.

usage: python cleanrl_dqn.py [WORLD]
"""

import random
import sys
from collections import deque

import gymnasium as gym
import numpy as np
import torch
from torch import nn

WORLD = sys.argv[1] if len(sys.argv) > 1 else "CartPole"
TOTAL, STARTS, EVERY, BATCH, GAMMA = 2_000, 500, 4, 64, 0.99

random.seed(0)
torch.manual_seed(0)
env = gym.make(f"inscape:inscape/{WORLD}-v0")
env = gym.wrappers.RecordEpisodeStatistics(gym.wrappers.FlattenObservation(env))
assert isinstance(env.action_space, gym.spaces.Discrete), "only discrete action space is supported"
env.action_space.seed(0)
size, count = int(np.prod(env.observation_space.shape)), int(env.action_space.n)


def network():
    return nn.Sequential(nn.Linear(size, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, count))


def greedy(obs):
    with torch.no_grad():
        return int(q_network(torch.as_tensor(obs, dtype=torch.float32)).argmax())


q_network, target_network = network(), network()
target_network.load_state_dict(q_network.state_dict())
optimizer = torch.optim.Adam(q_network.parameters(), lr=2.5e-4)
memory, (obs, _) = deque(maxlen=10_000), env.reset(seed=0)
for step in range(TOTAL):
    epsilon = max(0.05, 1 - step / (0.5 * TOTAL))
    action = env.action_space.sample() if random.random() < epsilon else greedy(obs)
    following, reward, terminated, truncated, info = env.step(action)
    memory.append((obs, action, reward, terminated, following))
    obs = following
    if terminated or truncated:
        obs, _ = env.reset()
    if step > STARTS and step % EVERY == 0:
        columns = zip(*random.sample(memory, BATCH), strict=True)
        b_obs, b_actions, b_rewards, b_terminated, b_next = (torch.as_tensor(np.array(c)) for c in columns)
        with torch.no_grad():
            best = target_network(b_next.float()).max(1).values
            target = b_rewards.float() + GAMMA * best * ~b_terminated
        q_values = q_network(b_obs.float()).gather(1, b_actions.long()[:, None])[:, 0]
        loss = nn.functional.mse_loss(q_values, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    if step % 500 == 0:
        target_network.load_state_dict(q_network.state_dict())

returns = []
for episode in range(5):
    (obs, _), ended = env.reset(seed=100 + episode), False
    while not ended:
        obs, _, terminated, truncated, info = env.step(greedy(obs))
        ended = terminated or truncated
    returns.append(info["episode"]["r"])
print(f"{WORLD}: mean return {np.mean(returns):.4g} over 5 episodes")
