"""RLlib: PPO by the id; a world of several players through its `ParallelPettingZooEnv`.

usage: python rllib_ppo.py [WORLD]
"""

import sys

import gymnasium as gym
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig
from ray.rllib.env.wrappers.pettingzoo_env import ParallelPettingZooEnv
from ray.tune.registry import register_env

import inscape

WORLD = sys.argv[1] if len(sys.argv) > 1 else "CartPole"
IS_GAME = inscape.make_world(WORLD).players > 1


def make(_):
    if IS_GAME:
        return ParallelPettingZooEnv(inscape.make_world(WORLD).parallel_env())
    # RLlib's own convolutions are for pictures larger than a view of 7×7 cells
    return gym.wrappers.FlattenObservation(gym.make(f"inscape/{WORLD}-v0"))


register_env(WORLD, make)  # for a world of numbers, .environment("inscape:inscape/CartPole-v0") does as well
config = (
    PPOConfig()
    .environment(WORLD)
    .env_runners(num_env_runners=0, num_envs_per_env_runner=1)
    .rl_module(model_config=DefaultModelConfig(fcnet_hiddens=[64, 64]))
    .training(train_batch_size_per_learner=512, minibatch_size=128, num_epochs=4)
    .evaluation(evaluation_duration=5, evaluation_num_env_runners=0)
    .debugging(seed=0)
)
if IS_GAME:
    config = config.multi_agent(policies={"shared"}, policy_mapping_fn=lambda *_, **__: "shared")
algorithm = config.build_algo()
for _ in range(4):
    algorithm.train()
found = algorithm.evaluate()["env_runners"]
algorithm.stop()
print(f"{WORLD}: mean return {found['episode_return_mean']:.4g} over 5 episodes")
