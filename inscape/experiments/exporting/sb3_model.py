"""A trained actor-critic or Q-network as a zip that `stable_baselines3.PPO.load` (A2C, DQN) reads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
import torch
from torch import nn

from inscape.errors import UsageError
from inscape.world_models.networks.modules import ACTIVATIONS
from inscape.world_models.networks.numpy_distributions import half_range

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task

CLASSES = {"ppo": "PPO", "a2c": "A2C", "dqn": "DQN"}


def write_sb3(agent: Any, task: Task, path: Path) -> Path:
    """Writes a zip of Stable-Baselines3 with the agent's network: same actions, same values.

    An agent of Stable-Baselines3 is saved by its own library. Optimisers and replay memories stay behind. The file
    holds pickles, as all of that format do: who loads it must trust it.

    Args:
        agent: `ppo`, `a2c` or `dqn`, or any agent of Stable-Baselines3.
        task: what it was trained in.
        path: the file.

    Raises:
        UsageError: a network that Stable-Baselines3's perceptron policy cannot be.
    """
    from inscape.agents.sb3.agent import SB3Agent

    if isinstance(agent, SB3Agent):
        agent.model.save(path)
        return path
    if agent.name not in CLASSES:
        raise _unfit(f"agent {agent.name}", ", ".join(CLASSES) + ", or an agent of Stable-Baselines3")
    if task.world is not None and task.world.law_function("legal") is not None:
        raise _unfit("a world with illegal actions", "a policy without masks")
    model = _model(agent, task)
    model.save(path)
    return path


def _unfit(found: str, expected: str) -> UsageError:
    return UsageError(
        f"{found}, which Stable-Baselines3's MlpPolicy cannot be", expected=expected,
        hint="--to onnx or torchscript; --to hub-folder keeps every agent",
    )  # fmt: skip


def _require_fitting(encoder: Any, task: Task) -> None:
    space = task.observation_space
    if encoder.packing is not None:
        raise _unfit("observations of several parts", "one array")
    if encoder.normalize:
        raise _unfit("normalised observations", "a network over observations as they are")
    if isinstance(space, (gymnasium.spaces.Discrete, gymnasium.spaces.MultiDiscrete)) and np.any(space.start):
        raise _unfit("observations counted from another number than 0", "numbers from 0")
    if isinstance(space, gymnasium.spaces.Box) and space.dtype == np.uint8:
        raise _unfit("observations of bytes", "numbers, which it does not divide by 255")
    actions = task.action_space
    if isinstance(actions, (gymnasium.spaces.Discrete, gymnasium.spaces.MultiDiscrete)) and np.any(actions.start):
        raise _unfit("actions counted from another number than 0", "numbers from 0")
    if isinstance(actions, gymnasium.spaces.Box) and actions.dtype.kind in "iu":
        raise _unfit("actions of a Box of whole numbers", "floating-point numbers")


def _model(agent: Any, task: Task) -> Any:
    import stable_baselines3

    s = agent.settings
    activation = ACTIVATIONS[s.activation]
    if agent.name == "dqn":
        _require_fitting(agent.network.encoder, task)
        if agent.network.dueling:
            raise _unfit("a dueling network", "dueling = false")
        hidden = list(agent.network.sizes[1:-1])
        arguments: dict[str, Any] = {"buffer_size": 1, "policy_kwargs": {"net_arch": hidden}}
    else:
        from inscape.agents.on_policy.torch_learner import ActorCritic
        from inscape.world_models.networks.tensors import load_module

        network = ActorCritic(task, s, agent.seed)
        _require_fitting(network.encoder, task)
        load_module(network, agent.state_dict()["network"])
        layers = list(s.hidden)
        arguments = {"policy_kwargs": {"net_arch": {"pi": layers, "vf": layers}, "ortho_init": False}}
    arguments["policy_kwargs"]["activation_fn"] = activation
    kind = getattr(stable_baselines3, CLASSES[agent.name])
    model = kind("MlpPolicy", None, gamma=s.gamma, seed=agent.seed, device="cpu", _init_setup_model=False, **arguments)
    model.observation_space, model.action_space, model.n_envs = task.observation_space, task.action_space, 1
    model._setup_model()
    model.num_timesteps = int(agent.steps)
    policy = model.policy
    with torch.no_grad():
        if agent.name == "dqn":
            for theirs in (policy.q_net, policy.q_net_target):
                _copy([*theirs.q_net], agent.network.body)
            return model
        _copy([*policy.mlp_extractor.policy_net, policy.action_net], network.actor)
        _copy([*policy.mlp_extractor.value_net, policy.value_net], network.critic)
        if isinstance(task.action_space, gymnasium.spaces.Box):
            # ours are units of half the range, theirs the units of the Box
            centre, half = (
                torch.as_tensor(part.reshape(-1), dtype=torch.float32) for part in half_range(task.action_space)
            )
            policy.action_net.weight.mul_(half[:, None])
            policy.action_net.bias.mul_(half).add_(centre)
            assert network.log_std is not None
            policy.log_std.copy_(network.log_std + half.log())
    return model


def _copy(theirs: list[nn.Module], ours: nn.Module) -> None:
    """Copies weights of linear layers from one chain to another of the same shape."""
    pairs = [[layer for layer in chain if isinstance(layer, nn.Linear)] for chain in (theirs, ours.modules())]
    for to, source in zip(*pairs, strict=True):
        to.load_state_dict(source.state_dict())
