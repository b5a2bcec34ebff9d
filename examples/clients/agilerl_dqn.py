"""AgileRL: its DQN on copies that `gym.make_vec` makes by the id; it takes `info["action_mask"]`.

usage: python agilerl_dqn.py [WORLD]
"""

import sys

import gymnasium as gym
import numpy as np
import torch
from agilerl.algorithms import DQN
from agilerl.components.replay_buffer import ReplayBuffer
from tensordict import TensorDict

WORLD = sys.argv[1] if len(sys.argv) > 1 else "CartPole"
COPIES = 4


def mask_of(infos):
    """AgileRL subtracts masks, so they are numbers."""
    return infos["action_mask"].astype(np.int8) if "action_mask" in infos else None


torch.manual_seed(0)
copies = gym.make_vec(
    f"inscape:inscape/{WORLD}-v0", COPIES, vectorization_mode="vector_entry_point", autoreset_mode="SameStep"
)
agent = DQN(copies.single_observation_space, copies.single_action_space, batch_size=64, lr=1e-3, learn_step=4)
memory = ReplayBuffer(max_size=10_000)
observations, infos = copies.reset(seed=0)
for step in range(500):
    epsilon = max(0.1, 1 - step / 250)
    actions = agent.get_action(observations, epsilon, action_mask=mask_of(infos))
    following, rewards, terminated, truncated, next_infos = copies.step(np.asarray(actions))
    ended = terminated | truncated
    last = following.copy()
    if ended.any():  # the observation after the end is that of the next episode
        last[ended] = next_infos["final_obs"][ended]
    rows = {"obs": observations, "action": actions, "reward": rewards[:, None], "next_obs": last}
    rows = {name: torch.as_tensor(np.asarray(row, np.float32)) for name, row in rows.items()}
    rows["done"] = torch.as_tensor(terminated[:, None], dtype=torch.float32)
    memory.add(TensorDict(rows, batch_size=[COPIES]))
    observations, infos = following, next_infos
    if len(memory) >= agent.batch_size and step % agent.learn_step == 0:
        agent.learn(memory.sample(agent.batch_size))

returns, totals = [], np.zeros(COPIES)
observations, infos = copies.reset(seed=100)
while len(returns) < 5:
    actions = agent.get_action(observations, 0.0, action_mask=mask_of(infos))
    observations, rewards, terminated, truncated, infos = copies.step(np.asarray(actions))
    totals += rewards
    for copy in np.flatnonzero(terminated | truncated):
        returns.append(totals[copy])
        totals[copy] = 0
print(f"{WORLD}: mean return {np.mean(returns):.4g} over {len(returns)} episodes")
