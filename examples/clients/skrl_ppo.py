"""skrl: PPO and its sequential trainer around copies that `gym.make_vec` makes by the id.

usage: python skrl_ppo.py [WORLD]
"""

import sys

import gymnasium as gym
import torch
from skrl.agents.torch.ppo import PPO, PPO_CFG
from skrl.envs.wrappers.torch import wrap_env
from skrl.memories.torch import RandomMemory
from skrl.models.torch import CategoricalMixin, DeterministicMixin, GaussianMixin, Model
from skrl.trainers.torch import SequentialTrainer
from skrl.utils import set_seed
from torch import nn

WORLD = sys.argv[1] if len(sys.argv) > 1 else "CartPole"
ROLLOUT, COPIES = 128, 4


def layers(inputs, outputs):
    return nn.Sequential(nn.Linear(inputs, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, outputs))


class Discrete(CategoricalMixin, Model):
    def __init__(self, **spaces):
        Model.__init__(self, **spaces)
        CategoricalMixin.__init__(self)
        self.net = layers(self.num_observations, self.num_actions)

    def compute(self, inputs, role):
        return self.net(inputs["observations"]), {}


class Continuous(GaussianMixin, Model):
    def __init__(self, **spaces):
        Model.__init__(self, **spaces)
        GaussianMixin.__init__(self, clip_actions=True)
        self.net = layers(self.num_observations, self.num_actions)
        self.log_std = nn.Parameter(torch.zeros(self.num_actions))

    def compute(self, inputs, role):
        return self.net(inputs["observations"]), {"log_std": self.log_std}


class Value(DeterministicMixin, Model):
    def __init__(self, **spaces):
        Model.__init__(self, **spaces)
        DeterministicMixin.__init__(self)
        self.net = layers(self.num_observations, 1)

    def compute(self, inputs, role):
        return self.net(inputs["observations"]), {}


set_seed(0)
env = wrap_env(gym.make_vec(f"inscape:inscape/{WORLD}-v0", COPIES, vectorization_mode="vector_entry_point"))
spaces = {"observation_space": env.observation_space, "action_space": env.action_space, "device": env.device}
actor = Continuous if isinstance(env.action_space, gym.spaces.Box) else Discrete
agent = PPO(
    models={"policy": actor(**spaces).to(env.device), "value": Value(**spaces).to(env.device)},
    memory=RandomMemory(memory_size=ROLLOUT, num_envs=COPIES, device=env.device),
    cfg=PPO_CFG(rollouts=ROLLOUT, learning_epochs=4, mini_batches=4),
    **spaces,
)
trainer = SequentialTrainer(env=env, agents=agent, cfg={"timesteps": 512, "headless": True})
trainer.train()

returns, totals = [], torch.zeros(COPIES, 1)
observations, _ = env.reset()
with torch.no_grad():
    while len(returns) < 5:
        actions, _ = agent.act(observations, env.state(), timestep=0, timesteps=0)
        observations, rewards, terminated, truncated, _ = env.step(actions)
        totals += rewards
        for copy in (terminated | truncated).nonzero()[:, 0].tolist():
            returns.append(totals[copy].item())
            totals[copy] = 0
print(f"{WORLD}: mean return {sum(returns) / len(returns):.4g} over {len(returns)} episodes")
