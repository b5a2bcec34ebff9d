"""tianshou: PPO through its high-level interface, by the id.

usage: python tianshou_ppo.py [WORLD]
"""

import sys

from tianshou.highlevel.config import OnPolicyTrainingConfig
from tianshou.highlevel.env import EnvFactoryRegistered, VectorEnvType
from tianshou.highlevel.experiment import ExperimentConfig, PPOExperimentBuilder

WORLD = sys.argv[1] if len(sys.argv) > 1 else "CartPole"

experiment = (
    PPOExperimentBuilder(
        EnvFactoryRegistered(task=f"inscape:inscape/{WORLD}-v0", venv_type=VectorEnvType.DUMMY),
        ExperimentConfig(seed=0, device="cpu", watch=False, persistence_enabled=False),
        OnPolicyTrainingConfig(
            max_epochs=1,
            epoch_num_steps=2_048,
            collection_step_num_env_steps=512,
            num_training_envs=4,
            num_test_envs=5,
            test_step_num_episodes=5,
            batch_size=128,
            update_step_num_repetitions=4,
        ),
    )
    .with_actor_factory_default((64, 64))
    .with_critic_factory_default((64, 64))
    .build()
)
result = experiment.run().trainer_result

print(f"{WORLD}: mean return {result.best_reward:.4g} over 5 episodes")
