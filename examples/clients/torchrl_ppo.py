"""TorchRL: `GymEnv` by the id, its collector and ClipPPOLoss; masks are read from the infos; a game by PettingZoo.

usage: python torchrl_ppo.py [WORLD]
"""

import sys

import gymnasium as gym
import torch
from tensordict.nn import TensorDictModule
from tensordict.nn.distributions import NormalParamExtractor
from torch import nn
from torchrl.collectors import Collector
from torchrl.data import Binary
from torchrl.envs import (
    ActionMask,
    Compose,
    DoubleToFloat,
    DTypeCastTransform,
    FlattenObservation,
    GymEnv,
    GymWrapper,
    PettingZooWrapper,
    RewardSum,
    TransformedEnv,
)
from torchrl.envs.libs.gym import default_info_dict_reader
from torchrl.modules import IndependentNormal, MaskedCategorical, ProbabilisticActor, ValueOperator
from torchrl.objectives import ClipPPOLoss
from torchrl.objectives.value import GAE

import inscape

WORLD = sys.argv[1] if len(sys.argv) > 1 else "CartPole"
STEPS, TOTAL = 512, 2_048
torch.manual_seed(0)

if inscape.make_world(WORLD).players > 1:  # TorchRL's random policy plays within the rules
    game = PettingZooWrapper(inscape.make_world(WORLD).aec_env(), use_mask=True, categorical_actions=True, seed=0)
    lengths = [len(game.rollout(100)) for _ in range(5)]
    print(f"{WORLD}: 5 random games of {sum(lengths) / 5:.4g} steps")
    sys.exit()

if isinstance(inscape.make_world(WORLD).observation_space, gym.spaces.Discrete):  # a number: as zeros and a one
    one_hot = gym.wrappers.FlattenObservation(gym.make(f"inscape/{WORLD}-v0"))
    env = GymWrapper(one_hot, categorical_action_encoding=True, device="cpu")
else:
    env = GymEnv(f"inscape/{WORLD}-v0", categorical_action_encoding=True, device="cpu")
discrete = env.action_spec.dtype == torch.int64
names = list(env.observation_spec.keys())
key = "pixels" if "pixels" in names else "observation"  # what TorchRL calls a picture
sees, restricts = env.observation_spec[key], WORLD == "SkiResort"
if restricts:
    mask = Binary(int(env.action_spec.space.n), dtype=torch.bool)
    env.set_info_dict_reader(default_info_dict_reader(["action_mask"], spec={"action_mask": mask}))
steps = [DTypeCastTransform(sees.dtype, torch.float32, in_keys=[key], out_keys=["observation"]), DoubleToFloat()]
if len(sees.shape) > 1:
    steps.append(FlattenObservation(-len(sees.shape), -1, in_keys=["observation"]))
env = TransformedEnv(env, Compose(*steps, RewardSum(), *([ActionMask()] if restricts else [])))
env.set_seed(0)

size = env.observation_spec["observation"].shape[-1]
count = env.action_spec.space.n if discrete else 2 * env.action_spec.shape[-1]
body = nn.Sequential(nn.Linear(size, 64), nn.Tanh(), nn.Linear(64, int(count)))
if discrete:
    module = TensorDictModule(body, in_keys=["observation"], out_keys=["logits"])
    law = {"distribution_class": MaskedCategorical if restricts else torch.distributions.Categorical}
    keys = {"logits": "logits", "mask": "action_mask"} if restricts else ["logits"]
else:
    module = TensorDictModule(
        nn.Sequential(body, NormalParamExtractor()), in_keys=["observation"], out_keys=["loc", "scale"]
    )
    law, keys = {"distribution_class": IndependentNormal}, ["loc", "scale"]
policy = ProbabilisticActor(module, in_keys=keys, spec=env.action_spec, return_log_prob=True, **law)
value = ValueOperator(nn.Sequential(nn.Linear(size, 64), nn.Tanh(), nn.Linear(64, 1)), in_keys=["observation"])
advantage, loss = GAE(gamma=0.99, lmbda=0.95, value_network=value), ClipPPOLoss(policy, value)
optimizer = torch.optim.Adam(loss.parameters(), lr=1e-3)
for batch in Collector(env, policy, frames_per_batch=STEPS, total_frames=TOTAL):
    for _ in range(4):
        with torch.no_grad():
            advantage(batch)
        for rows in torch.randperm(STEPS).chunk(4):
            found = loss(batch.reshape(-1)[rows])
            optimizer.zero_grad()
            (found["loss_objective"] + found["loss_critic"] + found["loss_entropy"]).backward()
            optimizer.step()

with torch.no_grad():
    returns = [env.rollout(1_000, policy)["next", "episode_reward"][-1].item() for _ in range(5)]
print(f"{WORLD}: mean return {sum(returns) / 5:.4g} over 5 episodes")
