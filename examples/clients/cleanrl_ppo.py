"""A script in the style of CleanRL, as its ppo and ppo_continuous_action are: one file, torch and Gymnasium only.

usage: python cleanrl_ppo.py [WORLD]
"""

import sys

import gymnasium as gym
import numpy as np
import torch
from torch import nn
from torch.distributions import Categorical, Normal

WORLD = sys.argv[1] if len(sys.argv) > 1 else "CartPole"
ENVS, STEPS, TOTAL, EPOCHS, MINIBATCHES = 4, 128, 2_048, 4, 4
GAMMA, LAMBDA, CLIP, ENTROPY, RATE = 0.99, 0.95, 0.2, 0.01, 2.5e-4


def make_env(seed):
    def thunk():
        env = gym.make(f"inscape:inscape/{WORLD}-v0")
        env = gym.wrappers.RecordEpisodeStatistics(gym.wrappers.FlattenObservation(env))
        if isinstance(env.action_space, gym.spaces.Box):
            env = gym.wrappers.ClipAction(env)
        env.action_space.seed(seed)
        return env

    return thunk


class Agent(nn.Module):
    def __init__(self, envs):
        super().__init__()
        size = int(np.prod(envs.single_observation_space.shape))
        self.discrete = isinstance(envs.single_action_space, gym.spaces.Discrete)
        out = envs.single_action_space.n if self.discrete else int(np.prod(envs.single_action_space.shape))
        self.critic = nn.Sequential(nn.Linear(size, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1))
        self.actor = nn.Sequential(
            nn.Linear(size, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, int(out))
        )
        self.log_std = nn.Parameter(torch.zeros(int(out)))

    def act(self, obs, action=None):
        out = self.actor(obs)
        law = Categorical(logits=out) if self.discrete else Normal(out, self.log_std.exp())
        action = law.sample() if action is None else action
        log_prob, entropy = law.log_prob(action), law.entropy()
        if not self.discrete:
            log_prob, entropy = log_prob.sum(-1), entropy.sum(-1)
        return action, log_prob, entropy, self.critic(obs).flatten()


torch.manual_seed(0)
envs = gym.vector.SyncVectorEnv(
    [make_env(i) for i in range(ENVS)], autoreset_mode=gym.vector.AutoresetMode.SAME_STEP
)  # as CleanRL: an observation after the end is that of the next episode
agent = Agent(envs)
optimizer = torch.optim.Adam(agent.parameters(), lr=RATE, eps=1e-5)
obs = torch.as_tensor(envs.reset(seed=0)[0], dtype=torch.float32)
done, returns = torch.zeros(ENVS), []
for _ in range(TOTAL // (ENVS * STEPS)):
    rows = []
    for _ in range(STEPS):
        with torch.no_grad():
            action, log_prob, _, value = agent.act(obs)
        following, reward, terminated, truncated, infos = envs.step(action.numpy())
        rows.append((obs, action, log_prob, torch.as_tensor(reward, dtype=torch.float32), done, value))
        obs = torch.as_tensor(following, dtype=torch.float32)
        done = torch.as_tensor(terminated | truncated, dtype=torch.float32)
        if "final_info" in infos:
            returns += infos["final_info"]["episode"]["r"][infos["_final_info"]].tolist()
    seen, actions, log_probs, rewards, dones, values = map(torch.stack, zip(*rows, strict=True))
    with torch.no_grad():
        next_value, next_done, advantage = agent.critic(obs).flatten(), done, torch.zeros(ENVS)
        advantages = torch.zeros_like(rewards)
        for t in reversed(range(STEPS)):
            delta = rewards[t] + GAMMA * next_value * (1 - next_done) - values[t]
            advantages[t] = advantage = delta + GAMMA * LAMBDA * (1 - next_done) * advantage
            next_value, next_done = values[t], dones[t]
    batch = [array.flatten(0, 1) for array in (seen, actions, log_probs, advantages, advantages + values)]
    for _ in range(EPOCHS):
        for rows in torch.randperm(ENVS * STEPS).chunk(MINIBATCHES):
            b_obs, b_actions, b_log_probs, b_advantages, b_returns = (array[rows] for array in batch)
            _, log_prob, entropy, value = agent.act(b_obs, b_actions)
            b_advantages = (b_advantages - b_advantages.mean()) / (b_advantages.std() + 1e-8)
            ratio = (log_prob - b_log_probs).exp()
            policy_loss = -torch.min(ratio * b_advantages, ratio.clamp(1 - CLIP, 1 + CLIP) * b_advantages).mean()
            loss = policy_loss - ENTROPY * entropy.mean() + 0.25 * (value - b_returns).square().mean()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(agent.parameters(), 0.5)
            optimizer.step()
envs.close()

env, returns = make_env(0)(), []
for episode in range(5):
    (obs, _), ended = env.reset(seed=100 + episode), False
    while not ended:
        with torch.no_grad():
            action = agent.act(torch.as_tensor(obs, dtype=torch.float32)[None])[0][0].numpy()
        obs, _, terminated, truncated, info = env.step(action)
        ended = terminated or truncated
    returns.append(info["episode"]["r"])
print(f"{WORLD}: mean return {np.mean(returns):.4g} over 5 episodes")
