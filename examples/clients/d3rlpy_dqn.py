"""d3rlpy: episodes recorded by Inscape become its data set; DQN (SAC for continuous actions) learns from them offline.

usage: python d3rlpy_dqn.py [WORLD]
"""

import sys

import d3rlpy
import gymnasium as gym
import numpy as np

import inscape

WORLD = sys.argv[1] if len(sys.argv) > 1 else "CartPole"

task = inscape.resolve_task(WORLD)
recorded = inscape.rollout(inscape.make_agent("random", task, seed=0), task, 60, seed=0)[:60]
episodes = [
    d3rlpy.dataset.Episode(
        observations=np.asarray(t.observations[:-1], np.float32).reshape(len(t), -1),
        actions=np.asarray(t.actions).reshape(len(t), -1),
        rewards=np.asarray(t.rewards, np.float32).reshape(len(t), 1),
        terminated=t.terminated,
    )
    for t in recorded
]
dataset = d3rlpy.dataset.ReplayBuffer(d3rlpy.dataset.InfiniteBuffer(), episodes=episodes)

env = gym.wrappers.FlattenObservation(gym.make(f"inscape:inscape/{WORLD}-v0"))
discrete = isinstance(env.action_space, gym.spaces.Discrete)
config = d3rlpy.algos.DQNConfig(batch_size=64) if discrete else d3rlpy.algos.SACConfig(batch_size=64)
algorithm = config.create(device="cpu:0")
algorithm.fit(
    dataset, n_steps=500, n_steps_per_epoch=500, show_progress=False, logger_adapter=d3rlpy.logging.NoopAdapterFactory()
)
mean = d3rlpy.metrics.evaluate_qlearning_with_environment(algorithm, env, n_trials=5)
print(f"{WORLD}: mean return {mean:.4g} over 5 episodes")
