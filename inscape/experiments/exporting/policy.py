"""An agent's policy as one torch module, observation in, most probable action out; what every format is written from.

A module is a chain of stages: features of the observation, the network's layers, the choice of an action. Stages are
few and plain, so that each can be traced by torch and has a counterpart in ONNX (`onnx_graph`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
import torch
from torch import Tensor, nn

from inscape.errors import UsageError
from inscape.world_models.networks.encoders.features import LIMIT
from inscape.world_models.networks.modules import PictureRows
from inscape.world_models.networks.numpy_distributions import half_range

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task

Array = np.ndarray
LAYERS = (nn.Linear, nn.Tanh, nn.ReLU, nn.Conv2d, nn.Flatten, PictureRows)
"""Layers of networks that every format has."""
EXPORTED = "ppo, a2c, reinforce, dqn, sac, tabular agents, and sb3: agents with an MlpPolicy"


class OneHot(nn.Module):
    """Numbers of choices `[B, n]` as one-hots side by side, `[B, Σ sizes]`.

    Args:
        sizes: choices of each number.
        start: `[n]` the first choice of each.
    """

    start: Tensor

    def __init__(self, sizes: list[int], start: Array) -> None:
        super().__init__()
        self.sizes = sizes
        self.register_buffer("start", torch.as_tensor(np.asarray(start, np.int64).reshape(-1)))

    def forward(self, rows: Tensor) -> Tensor:
        numbers = rows.to(torch.int64) - self.start
        columns = [nn.functional.one_hot(numbers[:, k], size) for k, size in enumerate(self.sizes)]
        return torch.cat(columns, dim=1).to(torch.float32)


class Scaled(nn.Module):
    """Numbers `[B, n]` as float32, multiplied by `scale`."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, rows: Tensor) -> Tensor:
        return rows.to(torch.float32) * self.scale


class Standardised(nn.Module):
    """Numbers `[B, n]` shifted and scaled by `[n]` mean and deviation, in double precision, and kept within ± 10."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, scale: float, mean: Array, deviation: Array) -> None:
        super().__init__()
        self.scale = scale
        self.register_buffer("mean", torch.as_tensor(np.asarray(mean, np.float64)))
        self.register_buffer("deviation", torch.as_tensor(np.asarray(deviation, np.float64)))

    def forward(self, rows: Tensor) -> Tensor:
        standard = (rows.to(torch.float64) * self.scale - self.mean) / self.deviation
        return standard.clamp(-LIMIT, LIMIT).to(torch.float32)


class Table(nn.Module):
    """Rows of a table of action values, `[B, A]`, that numbers `[B, n]` lead to.

    Args:
        values: `[rows, A]`.
        first: `[n]` the first choice of each number.
        strides: `[n]`.
    """

    values: Tensor
    first: Tensor
    strides: Tensor

    def __init__(self, values: Array, first: Array, strides: Array) -> None:
        super().__init__()
        self.register_buffer("values", torch.as_tensor(np.array(values, np.float64)))
        self.register_buffer("first", torch.as_tensor(np.asarray(first, np.int64)))
        self.register_buffer("strides", torch.as_tensor(np.asarray(strides, np.int64)))

    def forward(self, rows: Tensor) -> Tensor:
        return self.values[((rows.to(torch.int64) - self.first) * self.strides).sum(dim=1)]


class Choice(nn.Module):
    """The highest score's action, counted from `start`; the first of equals."""

    def __init__(self, start: int) -> None:
        super().__init__()
        self.start = start

    def forward(self, scores: Tensor) -> Tensor:
        return scores.argmax(dim=1) + self.start


class Choices(nn.Module):
    """Of each part of the scores the highest one's action."""

    start: Tensor

    def __init__(self, sizes: list[int], start: Array, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.sizes, self.shape = sizes, shape
        self.register_buffer("start", torch.as_tensor(np.asarray(start, np.int64).reshape(-1)))

    def forward(self, scores: Tensor) -> Tensor:
        parts = [part.argmax(dim=1) for part in torch.split(scores, self.sizes, dim=1)]
        return (torch.stack(parts, dim=1) + self.start).reshape(-1, *self.shape)


class Continuous(nn.Module):
    """Scores as actions of a Box: centre + half range · score, of its tanh with `squashed`, within the bounds."""

    half_range: Tensor
    centre: Tensor
    low: Tensor
    high: Tensor

    def __init__(self, space: gymnasium.spaces.Box, squashed: bool, plain: bool = False) -> None:
        super().__init__()
        self.shape, self.squashed, self.whole = space.shape, squashed, space.dtype.kind in "iu"
        centre, half = half_range(space)
        if plain:
            centre, half = np.zeros_like(centre), np.ones_like(half)
        with np.errstate(over="ignore"):  # a bound beyond single precision is infinite
            for name, part in (("half_range", half), ("centre", centre), ("low", space.low), ("high", space.high)):
                self.register_buffer(name, torch.as_tensor(part.reshape(-1).astype(np.float32)))

    def forward(self, scores: Tensor) -> Tensor:
        means = scores.tanh() if self.squashed else scores
        actions = torch.minimum(torch.maximum(means * self.half_range + self.centre, self.low), self.high)
        return (actions.round() if self.whole else actions).reshape(-1, *self.shape)


class ExportedPolicy(nn.Module):
    """A policy that acts greedily: `forward(observation[, action_mask])` returns actions and their scores.

    Args:
        stages: from `[B, n]` numbers of observations to `[B, A]` scores: logits, action values or means.
        head: from scores to actions.
        task: what it acts in.
        masked: whether it takes `[B, A]` booleans of legal actions too; illegal ones have score −∞.

    Attributes:
        about: what it is, as JSON values.
    """

    def __init__(self, stages: nn.Sequential, head: nn.Module, task: Task, masked: bool, agent: str) -> None:
        super().__init__()
        self.stages, self.head, self.masked = stages, head, masked
        self.single = not task.observation_space.shape
        self.observation_space = task.observation_space
        self.about = {
            "agent": agent, "world": task.name, "observation_space": str(task.observation_space),
            "action_space": str(task.action_space), "acts": "greedily",
        }  # fmt: skip

    def forward(self, observation: Tensor, action_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        rows = observation.unsqueeze(1) if self.single else observation.flatten(1)
        scores: Tensor = self.stages(rows)
        if self.masked and action_mask is not None:
            scores = scores.masked_fill(~action_mask, -math.inf)
        return self.head(scores), scores

    def examples(self, count: int = 2) -> tuple[Tensor, ...]:
        """Returns arguments of `forward`, `count` rows each."""
        space: Any = self.observation_space
        rows = np.zeros((count, *space.shape), space.dtype)
        if isinstance(space, (gymnasium.spaces.Discrete, gymnasium.spaces.MultiDiscrete)):
            rows = rows + np.asarray(space.start, space.dtype)
        given = [torch.as_tensor(rows)]
        if self.masked:
            with torch.inference_mode():
                width = self(given[0], None)[1].shape[1]
            given.append(torch.ones((count, width), dtype=torch.bool))
        return tuple(given)


def exported_policy(agent: Any, task: Task) -> ExportedPolicy:
    """Returns the policy of a trained agent as a module on the CPU, its weights copied.

    Args:
        agent: `ppo`, `a2c`, `reinforce`, `dqn`, `sac`, a tabular agent, or an agent of Stable-Baselines3 with a
            perceptron as its policy.
        task: what it was trained in.

    Raises:
        UsageError: another agent; observations of several parts.
    """
    from inscape.agents.off_policy.dqn import DQN
    from inscape.agents.off_policy.sac import SAC
    from inscape.agents.on_policy.agent import ActorCriticAgent
    from inscape.agents.on_policy.reinforce import Reinforce
    from inscape.agents.sb3.agent import SB3Agent
    from inscape.agents.tabular.base import TabularAgent

    makers: list[tuple[Any, Callable[[Any, Task], tuple[list[nn.Module], nn.Module]]]] = [
        (TabularAgent, _tabular), (ActorCriticAgent, _actor_critic), (Reinforce, _reinforce), (DQN, _dqn), (SAC, _sac),
        (SB3Agent, _sb3),
    ]  # fmt: skip
    for kind, maker in makers:
        if isinstance(agent, kind):
            with torch.no_grad():
                stages, head = maker(agent, task)
            break
    else:
        raise UsageError(
            f"agent {agent.name} has no policy that is one network or table", expected=EXPORTED,
            hint="--to hub-folder keeps every agent, for Inscape",
        )  # fmt: skip
    world = task.world
    masked = world is not None and world.law_function("legal") is not None and not isinstance(head, Continuous)
    return ExportedPolicy(nn.Sequential(*stages), head, task, masked, agent.name).eval()


def head_of(space: gymnasium.Space[Any], squashed: bool = False, plain: bool = False) -> nn.Module:
    """Returns the last stage for an action space.

    Args:
        space: Discrete, MultiDiscrete, MultiBinary or Box.
        squashed: whether scores of a Box go through tanh.
        plain: whether they are in the units of the Box already.
    """
    if isinstance(space, gymnasium.spaces.Discrete):
        return Choice(int(space.start))
    if isinstance(space, gymnasium.spaces.MultiDiscrete):
        return Choices([int(n) for n in space.nvec.reshape(-1)], space.start, space.shape)
    if isinstance(space, gymnasium.spaces.MultiBinary):
        size = int(np.prod(space.shape))
        return Choices([2] * size, np.zeros(size), space.shape)
    assert isinstance(space, gymnasium.spaces.Box)
    return Continuous(space, squashed, plain)


def _features(encoder: Any) -> nn.Module:
    """Returns the first stage: what an `ObservationEncoder` does."""
    if encoder.packing is not None:
        raise UsageError(
            "observations of several parts, which exported policies do not take",
            expected="Discrete, MultiDiscrete, MultiBinary or Box observations",
            hint="--to hub-folder, or a wrapper that makes them one array",
        )
    if encoder.sizes:
        return OneHot(list(encoder.sizes), encoder.offset.cpu().numpy())
    if encoder.normalize:
        deviation = torch.sqrt(encoder.variance + 1e-8).cpu().numpy()
        return Standardised(encoder.scale, encoder.mean.cpu().numpy(), deviation)
    return Scaled(float(encoder.scale))


def _copied(body: Any, name: str) -> list[nn.Module]:
    """Returns copies, on the CPU, of the layers of a network that is a chain of known ones."""
    import copy

    layers = list(body) if isinstance(body, nn.Sequential) else [body]
    flat = [inner for layer in layers for inner in (layer if isinstance(layer, nn.Sequential) else [layer])]
    for layer in flat:
        if not isinstance(layer, LAYERS):
            raise UsageError(
                f"a layer {type(layer).__name__} in the policy of {name}",
                expected=", ".join(kind.__name__ for kind in LAYERS), hint="--to hub-folder keeps every agent",
            )  # fmt: skip
    return [copy.deepcopy(layer).cpu() for layer in flat]


def _width(layers: list[nn.Module]) -> int:
    last = layers[-1]
    assert isinstance(last, nn.Linear)
    return last.out_features


def _last(layers: list[nn.Module], matrix: Tensor) -> list[nn.Module]:
    """Returns layers whose last one gives what `matrix [n, m]` makes of its m outputs."""
    last = layers[-1]
    assert isinstance(last, nn.Linear)
    made = nn.Linear(last.in_features, len(matrix))
    made.weight.copy_(matrix @ last.weight.double())
    made.bias.copy_(matrix @ last.bias.double())
    return [*layers[:-1], made]


def _tabular(agent: Any, task: Task) -> tuple[list[nn.Module], nn.Module]:
    return [Table(agent.q_values, agent._first, agent._strides)], head_of(task.action_space)


def _actor_critic(agent: Any, task: Task) -> tuple[list[nn.Module], nn.Module]:
    from inscape.agents.on_policy.torch_learner import ActorCritic
    from inscape.world_models.networks.tensors import load_module

    network = ActorCritic(task, agent.settings, agent.seed)
    load_module(network, agent.state_dict()["network"])
    return [_features(network.encoder), *_copied(network.actor, agent.name)], head_of(task.action_space)


def _reinforce(agent: Any, task: Task) -> tuple[list[nn.Module], nn.Module]:
    network = agent.network
    return [_features(network.encoder), *_copied(network.policy, agent.name)], head_of(task.action_space)


def _dqn(agent: Any, task: Task) -> tuple[list[nn.Module], nn.Module]:
    network = agent.network
    layers = _copied(network.body, agent.name)
    if network.picture is not None:
        layers = [*_copied(network.rows, agent.name), *layers]
    if network.dueling:  # value and advantages apart: their sum is linear in them
        actions = _width(layers) - 1
        mean = torch.full((actions, actions), -1 / actions, dtype=torch.float64)
        ones = torch.ones((actions, 1), dtype=torch.float64)
        layers = _last(layers, torch.cat([ones, torch.eye(actions, dtype=torch.float64) + mean], dim=1))
    return [_features(network.encoder), *layers], head_of(task.action_space)


def _sac(agent: Any, task: Task) -> tuple[list[nn.Module], nn.Module]:
    network = agent.network
    layers = _copied(network.actor, agent.name)
    size = _width(layers) // 2
    means = torch.eye(2 * size, dtype=torch.float64)[:size]
    return [_features(network.encoder), *_last(layers, means)], head_of(task.action_space, squashed=True)


def _sb3(agent: Any, task: Task) -> tuple[list[nn.Module], nn.Module]:
    from inscape.world_models.networks.encoders.encoder import ObservationEncoder

    policy, name = agent.model.policy, agent.name
    kind = type(policy).__name__
    if hasattr(policy, "mlp_extractor"):
        body = [policy.mlp_extractor.policy_net, policy.action_net]
    elif hasattr(policy, "q_net"):
        body = [policy.q_net.q_net]
    elif hasattr(getattr(policy, "actor", None), "latent_pi"):
        body = [policy.actor.latent_pi, policy.actor.mu]
    elif isinstance(getattr(getattr(policy, "actor", None), "mu", None), nn.Sequential):
        body = [*list(policy.actor.mu)[:-1]]  # the last is tanh
    else:
        raise UsageError(f"policy {kind} of {name}", expected=EXPORTED, hint="--to sb3, or --to hub-folder")
    owner = policy.q_net if hasattr(policy, "q_net") else getattr(policy, "actor", policy)
    extractor = type(getattr(policy, "features_extractor", None) or owner.features_extractor).__name__
    if extractor != "FlattenExtractor" or kind.startswith(("Recurrent", "Quantile")):
        raise UsageError(f"policy {kind} over {extractor} of {name}", expected=EXPORTED, hint="--to sb3")
    layers = [inner for part in body for inner in _copied(part, name)]
    squashed = hasattr(policy, "actor") and not hasattr(policy, "mlp_extractor")
    return [_features(ObservationEncoder(task.observation_space)), *layers], head_of(
        task.action_space, squashed, plain=not squashed
    )
