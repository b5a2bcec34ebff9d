"""SuperSuit: a world of several players as copies for Stable-Baselines3, one policy for all players.

usage: python supersuit_sb3.py [WORLD]
"""

import sys

import supersuit
from stable_baselines3 import PPO
from stable_baselines3.common.utils import set_random_seed

import inscape

WORLD = sys.argv[1] if len(sys.argv) > 1 else "Spread"

set_random_seed(0)  # SuperSuit's copies have no `seed`
env = inscape.make_world(WORLD).parallel_env()
copies = supersuit.concat_vec_envs_v1(supersuit.pettingzoo_env_to_vec_env_v1(env), 2, base_class="stable_baselines3")
model = PPO("MlpPolicy", copies, n_steps=128, device="cpu").learn(2_000)

total, env = 0.0, inscape.make_world(WORLD).parallel_env()
for episode in range(5):
    observations, _ = env.reset(seed=episode)
    while env.agents:
        actions = {agent: model.predict(observations[agent])[0] for agent in env.agents}
        observations, rewards, *_ = env.step(actions)
        total += sum(rewards.values()) / len(rewards)
print(f"{WORLD}: mean return {total / 5:.4g} over 5 episodes")
