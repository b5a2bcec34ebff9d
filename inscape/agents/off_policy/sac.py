"""Soft actor-critic: continuous actions, learned off-policy, with as much entropy as asked for.

The file reads top to bottom: settings, mathematics (squashed Gaussian, targets, losses), networks, agent (act, explore,
update, save). What other agents share is elsewhere: the rounds of learning in `agent`, replay and
features in `world_models.networks`, the compiled update in `kernels.soft_actor_critic`.

Source: Haarnoja et al. (2018), "Soft Actor-Critic Algorithms and Applications", arXiv:1812.05905.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import relu, softplus

from inscape.agents.kernels.update_arrays import ActorCriticBatches, ActorCriticSettings, Trained
from inscape.agents.learning.settings_checks import (
    require_counts,
    require_positive,
    require_weights_if_any,
    require_widths,
)
from inscape.agents.off_policy.agent import OffPolicyAgent, OffPolicySettings
from inscape.errors import UsageError
from inscape.world_models.networks.blas import blas_threads
from inscape.world_models.networks.encoders.encoder import ObservationEncoder
from inscape.world_models.networks.encoders.features import FeatureReader
from inscape.world_models.networks.encoders.packing import stored_space
from inscape.world_models.networks.finite_checks import divergence
from inscape.world_models.networks.modules import as_one_vector, linear
from inscape.world_models.networks.numpy_distributions import UNBOUNDED
from inscape.world_models.networks.part_networks import PartNetworks, learns_parts, network_over
from inscape.world_models.networks.replay import ReplayBatch, ReplayMemory
from inscape.world_models.networks.tensors import (
    load_module,
    load_optimizer,
    not_finite,
    optimizer_arrays,
    require_finite_gradients,
    to_arrays,
)
from inscape.world_models.networks.types import Array, State

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task

LOG_STD_RANGE = (-20.0, 2.0)
"""The policy's log standard deviation is kept within this, as in the authors' program."""
ADAM_EPSILON = 1e-8
METRICS = ("critic_loss", "actor_loss", "q_value", "entropy", "entropy_coef")
"""What is reported of each gradient step."""


@dataclass(frozen=True)
class SACSettings(OffPolicySettings):
    """Settings of soft actor-critic."""

    hold_random: int = 1
    """Steps for which each of the first, uniform actions is held; more reaches farther where one step moves little."""
    entropy_coef: float | None = None
    """Weight of the entropy beside the reward, α; None adjusts it to reach the target entropy."""
    initial_entropy_coef: float = 1.0
    """What α begins with where it is adjusted."""
    target_entropy: float | None = None
    """Entropy aimed at (nats, of actions scaled to [−1, 1]); None for minus the number of action dimensions."""
    normalize_observations: bool = False
    """Whether Box observations are standardised by their running mean and variance, saved with the agent."""
    hidden: tuple[int, ...] = (256, 256)
    """Widths of the hidden layers, of the policy and of each critic."""
    greedy: bool = True
    """How it acts outside `learn`: True takes the centre of the policy, False draws from it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_counts(self, "hold_random")
        require_positive(self, "initial_entropy_coef")
        require_widths(self)
        require_weights_if_any(self, "entropy_coef")
        if self.target_entropy is not None and not math.isfinite(self.target_entropy):
            raise UsageError(f"target_entropy = {self.target_entropy!r}", expected="a finite number, or None")


# --------------------------------------------------------------------------------------------- mathematics


def squashed_gaussian(outputs: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Returns actions a = tanh(u), u = μ + σ·ε, and their log-probabilities log N(u; μ, σ) − Σ_d log(1 − tanh²(u_d)).

    log(1 − tanh²(u)) = 2·(log 2 − u − softplus(−2u)) is exact where 1 − tanh² rounds to 0.

    Args:
        outputs: `[N, 2·D]`, μ and log σ side by side; log σ is kept within `LOG_STD_RANGE`.
        noise: `[N, D]` ε, standard normal.

    Returns:
        `[N, D]` actions in [−1, 1], `[N]` log-probabilities, both differentiable in `outputs`.

    Source: Haarnoja et al. (2018), appendix C, equation 26.
    """
    mean, log_std = outputs.chunk(2, dim=-1)
    log_std = log_std.clamp(*LOG_STD_RANGE)
    unsquashed = mean + log_std.exp() * noise
    constant = 0.5 * math.log(2 * math.pi) + 2 * math.log(2)
    log_probs = 2 * (unsquashed + softplus(-2 * unsquashed)) - log_std - (0.5 * noise.square() + constant)
    return unsquashed.tanh(), log_probs.sum(dim=-1)


def soft_targets(
    reward: Tensor, discount: Tensor, next_q_values: Tensor, next_log_probs: Tensor, entropy_coef: Tensor | float
) -> Tensor:
    """Returns `[N]` r + d·(min_i Q_i(s′, a′) − α·log π(a′|s′)).

    Args:
        reward: `[N]` the sum of the rewards of n steps.
        discount: `[N]` d: γⁿ, and 0 where the episode terminated. A time limit leaves it at γⁿ.
        next_q_values: `[2, N]` of the target critics, for an action a′ drawn from the policy as it is now.
        next_log_probs: `[N]` log π(a′|s′).
        entropy_coef: α.

    Source: Haarnoja et al. (2018), equations 3 and 5; the lesser of two critics: section 5.
    """
    return reward + discount * (torch.minimum(next_q_values[0], next_q_values[1]) - entropy_coef * next_log_probs)


def critic_loss(q_values: Tensor, targets: Tensor) -> Tensor:
    """Returns ½·Σ_i E[(Q_i(s, a) − y)²], for `[2, N]` values and `[N]` targets.

    Source: Haarnoja et al. (2018), equation 5.
    """
    return 0.5 * (q_values - targets).square().mean(dim=1).sum()


def actor_loss(log_probs: Tensor, q_values: Tensor, entropy_coef: Tensor | float) -> Tensor:
    """Returns E[α·log π(a|s) − min_i Q_i(s, a)], for `[N]` log-probabilities and `[2, N]` values of a drawn from π.

    Source: Haarnoja et al. (2018), equation 7.
    """
    return (entropy_coef * log_probs - torch.minimum(q_values[0], q_values[1])).mean()


def entropy_coef_loss(log_entropy_coef: Tensor, log_probs: Tensor, target_entropy: float) -> Tensor:
    """Returns −log α·E[log π(a|s) + H̄]: α grows while the entropy is below H̄. `log_probs [N]` count as constants.

    Source: Haarnoja et al. (2018), equation 18, with log α for α, as in the authors' program.
    """
    return -(log_entropy_coef * (log_probs.detach().mean() + target_entropy))


# --------------------------------------------------------------------------------------------- networks


class TwinCritic(nn.Module):
    """Two critics Q_i(s, a) computed as one: every layer is a batch of two matrices.

    They share what is learned of pictures among the observations, and of numbers of many choices.
    """

    def __init__(
        self, encoder: ObservationEncoder, actions: int, hidden: tuple[int, ...], generator: torch.Generator
    ) -> None:
        super().__init__()
        self.parts = PartNetworks(encoder, generator) if learns_parts(encoder) else None
        sizes = ((encoder.width if self.parts is None else self.parts.width) + actions, *hidden, 1)
        self.depth = len(sizes) - 1
        for k, (before, after) in enumerate(pairwise(sizes)):
            gain = 1.0 if k == self.depth - 1 else math.sqrt(2)
            both = [linear(before, after, gain, generator).weight.detach().T for _ in range(2)]
            self.register_parameter(f"weight_{k}", nn.Parameter(torch.stack(both)))
            self.register_parameter(f"bias_{k}", nn.Parameter(torch.zeros(2, 1, after)))

    def forward(self, features: Tensor, actions: Tensor) -> Tensor:
        """Returns `[2, N]` Q_i(s, a) from `[N, F]` features and `[N, D]` actions in [−1, 1]."""
        rows = torch.cat([features if self.parts is None else self.parts(features), actions], dim=-1)
        values = rows.expand(2, *rows.shape)
        for k in range(self.depth):
            values = torch.baddbmm(getattr(self, f"bias_{k}"), values, getattr(self, f"weight_{k}"))
            if k < self.depth - 1:
                values = relu(values)
        return values[..., 0]


class SACNetworks(nn.Module):
    """Policy, critics, target critics and log α over encoded observations."""

    def __init__(self, task: Task, settings: SACSettings, generator: torch.Generator) -> None:
        super().__init__()
        self.encoder = ObservationEncoder(task.observation_space, settings.normalize_observations)
        size = int(np.prod(task.action_space.shape or ()))
        # nearly the same wide Gaussian everywhere at first: mean 0, deviation 1
        self.actor = network_over(self.encoder, settings.hidden, 2 * size, "relu", 0.01, generator)
        self.critic = TwinCritic(self.encoder, size, settings.hidden, generator)
        self.target_critic = TwinCritic(self.encoder, size, settings.hidden, generator)
        self.target_critic.load_state_dict(self.critic.state_dict())
        self.target_critic.requires_grad_(False)
        coefficient = settings.initial_entropy_coef
        self.log_entropy_coef = nn.Parameter(torch.tensor(math.log(coefficient)), settings.entropy_coef is None)


class _Trained:
    """Parameters laid out as one vector with one gradient, so that Adam takes one call however many there are."""

    def __init__(self, named: list[tuple[str, nn.Parameter]], learning_rate: float) -> None:
        self.named = named
        self.parameters = [parameter for _, parameter in named]
        vector, self.gradient = as_one_vector(self.parameters)
        self.vector = nn.Parameter(vector)
        self.vector.grad = self.gradient
        self.optimizer = torch.optim.Adam([self.vector], lr=learning_rate, eps=ADAM_EPSILON, fused=True)
        self._begin()

    def _begin(self) -> None:
        """Gives Adam its state where it has none yet, for compiled code steps too, and looks where it lies."""
        device = self.vector.device
        if not self.optimizer.state[self.vector]:
            first, second = torch.zeros((2, *self.vector.shape), device=device)
            self.optimizer.state[self.vector] = {
                "step": torch.zeros((), device=device), "exp_avg": first, "exp_avg_sq": second,
            }  # fmt: skip
        state = self.optimizer.state[self.vector]
        tensors = (self.vector, self.gradient, state["exp_avg"], state["exp_avg_sq"], state["step"].view(1))
        self.arrays = Trained(*(tensor.detach().numpy() for tensor in tensors)) if device.type == "cpu" else None
        """The very memory of the tensors, on the CPU."""

    def load(self, arrays: dict[str, Any]) -> None:
        """Puts in a stored state of the optimiser."""
        load_optimizer(self.optimizer, arrays)
        self._begin()

    def step(self, gradients: Sequence[Tensor], loss: Tensor, steps: int, agent: str) -> None:
        """Takes a step of Adam.

        Raises:
            DivergenceError: a gradient is not finite; nothing has changed then.
        """
        torch.cat([gradient.reshape(-1) for gradient in gradients], out=self.gradient)
        self.require_finite(float(torch.linalg.vector_norm(self.gradient)), float(loss.detach()), steps, agent)
        self.optimizer.step()

    def require_finite(self, norm: float, loss: float, steps: int, agent: str) -> None:
        """Raises DivergenceError, naming the tensors, if the norm of the gradient is not finite."""
        require_finite_gradients(norm, loss, self.named, steps, agent)


# --------------------------------------------------------------------------------------------- the agent


class SAC(OffPolicyAgent):
    """Soft actor-critic for Box actions with finite bounds, which the policy sees scaled to [−1, 1].

    Time limits do not end the sum of rewards: where an episode was cut, the target critics' value of its last
    observation stands for the rest.

    Args:
        task: what to act in.
        seed: seed of weights, exploration, replay and environment.
        device: `"auto"`, `"cpu"` or `"cuda"`.
        settings: see `SACSettings`.

    Raises:
        UsageError: unsupported spaces, or CUDA is not available.
    """

    name = "sac"
    settings: SACSettings

    def __init__(self, task: Task, seed: int = 0, device: str = "cpu", settings: SACSettings | None = None) -> None:
        s = settings or SACSettings()
        self.space = _bounded_box(task)
        self._prepare(seed, device, s)
        low, high = self.space.low.astype(np.float64), self.space.high.astype(np.float64)
        self._centre, self._half = (low + high) / 2, (high - low) / 2
        self._size = int(np.prod(self.space.shape))
        self._target_entropy = -float(self._size) if s.target_entropy is None else s.target_entropy
        self.network = SACNetworks(task, s, torch.Generator().manual_seed(seed)).to(self.device)
        policy = [(f"actor.{name}", p) for name, p in self.network.actor.named_parameters()]
        if s.entropy_coef is None:
            policy.append(("log_entropy_coef", self.network.log_entropy_coef))
        self._policy = _Trained(policy, s.learning_rate)
        critic = [(f"critic.{name}", p) for name, p in self.network.critic.named_parameters()]
        self._critic = _Trained(critic, s.learning_rate)
        self._target, _ = as_one_vector(self.network.target_critic.parameters())
        # stored as the policy sees them
        actions = gymnasium.spaces.Box(-1.0, 1.0, (self._size,), np.float32)
        self.memory = ReplayMemory(
            s.buffer_size, s.num_envs, stored_space(task.observation_space), actions, n_step=s.n_step, gamma=s.gamma,
            seed=seed,
        )  # fmt: skip
        self._packing = self.network.encoder.packing
        # `act` uses a separate random generator, so evaluation does not affect training
        self._acting = torch.Generator(self.device).manual_seed(seed * 2 + 1)
        self._exploring = torch.Generator(self.device).manual_seed(seed * 2)
        self._held = np.zeros((s.num_envs, self._size), np.float32)
        # measured on one core: 5 times torch's speed at 64 × 64, 1.6 at 256 × 256, 1.3 at 512 × 512; never slower
        self._compiled = (
            _CompiledUpdate(self, task.observation_space) if self._compiles(s.backend, self.network.encoder) else None
        )

    # ------------------------------------------------------------------------------------------- acting

    def act(self, observation: Array, action_mask: Array | None = None) -> Array:
        with torch.inference_mode():
            outputs = self.network.actor(self.network.encoder(observation))
            mean = outputs.chunk(2, dim=-1)[0]
            scaled = mean.tanh() if self.settings.greedy else squashed_gaussian(outputs, self._noise(mean))[0]
        return self._to_environment(scaled.cpu().numpy())

    def action_values(self, observation: Array, actions: Array) -> Array:
        """Returns `[B]` min_i Q_i(s, a), the critics' estimate of the discounted return with its entropy bonuses.

        Args:
            observation: `[B, ...]`.
            actions: `[B, ...]` as the environment takes them.
        """
        scaled = ((np.asarray(actions, np.float64) - self._centre) / self._half).reshape(len(actions), -1)
        with torch.inference_mode():
            tensor = torch.as_tensor(scaled, dtype=torch.float32, device=self.device)
            values: Tensor = self.network.critic(self.network.encoder(observation), tensor)
        return values.amin(dim=0).cpu().numpy().astype(np.float64)

    def _noise(self, like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=self._acting, device=self.device)

    def _to_environment(self, scaled: Array) -> Array:
        """Returns actions in [−1, 1] as the environment takes them; rounding must not lead out of its bounds."""
        values = scaled.reshape(len(scaled), *self.space.shape) * self._half + self._centre
        return np.asarray(values.astype(self.space.dtype).clip(self.space.low, self.space.high))

    # ------------------------------------------------------------------------------------------- learning

    def _explore(self, observation: Array, action_mask: Array | None, steps: int) -> Array:
        s = self.settings
        shape = (s.num_envs, self._size)
        if self.steps < s.learning_starts:
            if self.steps // s.num_envs % s.hold_random == 0:
                uniform = torch.rand(shape, generator=self._exploring, device=self.device)
                self._held = (2 * uniform - 1).cpu().numpy()
            return self._held[self._own]
        noise = torch.randn(shape, generator=self._exploring, device=self.device)[self._own]
        if self._compiled is not None:
            scaled = self._compiled.actions(observation, noise.numpy())
        else:
            with torch.inference_mode():
                outputs = self.network.actor(self.network.encoder(observation))
                mean, log_std = outputs.chunk(2, dim=-1)
                scaled = (mean + log_std.clamp(*LOG_STD_RANGE).exp() * noise).tanh().cpu().numpy()
        if not np.isfinite(scaled).all():
            raise divergence(self.name, self.steps, math.nan, not_finite(self.network.named_parameters()))
        return scaled

    def _seen(self, observations: list[Array]) -> None:
        if self.settings.normalize_observations:
            known = self.network.encoder if self._compiled is None else self._compiled.features
            known.update(np.concatenate(observations))

    def _update(self, count: int, progress: float) -> Sequence[Mapping[str, Tensor | float]]:
        """Takes gradient steps, on transitions and noise drawn together."""
        size = self.settings.batch_size
        index = self.memory.draw(count * size).reshape(count, size)
        noise = torch.randn((count, 2, size, self._size), generator=self._exploring, device=self.device)
        if self._group is not None:
            rows, _ = self._group.share(size)
            index, noise = index[:, rows], noise[:, :, rows]
        return self._gradient_steps(self.memory.take(index.reshape(-1)), noise)

    def _gradient_steps(self, drawn: ReplayBatch, noise: Tensor) -> Sequence[Mapping[str, Tensor | float]]:
        """Takes a gradient step for each minibatch of `drawn`, in which they lie one behind the other.

        Args:
            drawn: `[count · N, ...]`.
            noise: `[count, 2, N, D]` ε of the actions drawn at the observations, and at the next ones.

        Raises:
            DivergenceError: a gradient is not finite; what it was to change has not changed.
        """
        if self._compiled is not None:
            return self._compiled_steps(self._compiled, drawn, noise)
        encoder = self.network.encoder
        columns = (
            encoder(drawn.observation),
            self._tensor(drawn.action),
            self._tensor(drawn.reward),
            encoder(drawn.next_observation),
            self._tensor(drawn.discount),
        )
        batches = zip(*(torch.split(column, noise.shape[2]) for column in columns), strict=True)
        return [self.gradient_step(*batch, *noise[k]) for k, batch in enumerate(batches)]

    def _compiled_steps(self, compiled: _CompiledUpdate, drawn: ReplayBatch, noise: Tensor) -> list[dict[str, float]]:
        critic, policy = self._critic, self._policy
        found, norm, loss, metrics = compiled.train(critic, policy, drawn, noise.numpy())
        if found is not None:
            found.require_finite(norm, loss, self.steps, self.name)
        return [dict(zip(METRICS, row, strict=True)) for row in metrics.tolist()]

    def gradient_step(
        self,
        features: Tensor,
        actions: Tensor,
        reward: Tensor,
        next_features: Tensor,
        discount: Tensor,
        noise: Tensor,
        next_noise: Tensor,
    ) -> dict[str, Tensor]:
        """Changes critics, then policy and α, then target critics by one minibatch; returns the losses' parts.

        With several processes each is given its own rows of the minibatch.

        Args:
            features: `[N, F]` encoded observations.
            actions: `[N, D]` in [−1, 1].
            reward: `[N]`.
            next_features: `[N, F]`.
            discount: `[N]` as in `soft_targets`.
            noise: `[N, D]` ε of the actions drawn at `features`.
            next_noise: `[N, D]` ε of those drawn at `next_features`.

        Raises:
            DivergenceError: a gradient is not finite; what it was to change has not changed.
        """
        s, network = self.settings, self.network
        with torch.no_grad():
            coefficient = network.log_entropy_coef.exp() if s.entropy_coef is None else s.entropy_coef
            next_actions, next_log_probs = squashed_gaussian(network.actor(next_features), next_noise)
            next_q_values = network.target_critic(next_features, next_actions)
            targets = soft_targets(reward, discount, next_q_values, next_log_probs, coefficient)
        q_values = network.critic(features, actions)
        of_critic, q_value = self._descend(self._critic, critic_loss(q_values, targets), q_values.mean())

        drawn, log_probs = squashed_gaussian(network.actor(features), noise)
        loss = of_actor = actor_loss(log_probs, network.critic(features, drawn), coefficient)
        if s.entropy_coef is None:
            # one sum, two sets of parameters: each loss is constant in the other's
            loss = loss + entropy_coef_loss(network.log_entropy_coef, log_probs, self._target_entropy)
        _, of_actor, entropy = self._descend(self._policy, loss, of_actor, -log_probs.mean())
        with torch.no_grad():
            self._target.lerp_(self._critic.vector, s.tau)
        metrics = (of_critic, of_actor, q_value, entropy, torch.as_tensor(coefficient))
        return dict(zip(METRICS, metrics, strict=True))

    def _descend(self, trained: _Trained, loss: Tensor, *metrics: Tensor) -> list[Tensor]:
        """Takes a step of Adam down the gradient of a loss; returns the loss and the means `metrics`, of all rows.

        Raises:
            DivergenceError: the gradient is not finite; nothing has changed then.
        """
        # of these parameters, and computed in no others
        gradients = torch.autograd.grad(loss, trained.parameters)
        means = [mean.detach() for mean in (loss, *metrics)]
        if self._group is not None:
            _, weight = self._group.share(self.settings.batch_size)
            sums = self._group.add_up([tensor * weight for tensor in (*gradients, *means)])
            gradients, means = tuple(sums[: len(gradients)]), sums[len(gradients) :]
        trained.step(gradients, means[0], self.steps, self.name)
        return means

    def _tensor(self, array: Array) -> Tensor:
        return torch.as_tensor(array, device=self.device)

    # ------------------------------------------------------------------------------------------- saving

    def _own_state(self) -> State:
        return {
            "network": to_arrays(self.network.state_dict()),
            "policy_optimizer": optimizer_arrays(self._policy.optimizer),
            "critic_optimizer": optimizer_arrays(self._critic.optimizer),
            "held": self._held.copy(),
            "acting": to_arrays(self._acting.get_state()),
            "exploring": to_arrays(self._exploring.get_state()),
        }

    def _load_own_state(self, state: State) -> None:
        load_module(self.network, state["network"])
        self._policy.load(state["policy_optimizer"])
        self._critic.load(state["critic_optimizer"])
        self._held = np.array(state["held"])
        self._acting.set_state(torch.from_numpy(np.array(state["acting"])))
        self._exploring.set_state(torch.from_numpy(np.array(state["exploring"])))


class _CompiledUpdate:
    """Acting and updates in compiled code, on the memory in which an agent's tensors lie."""

    def __init__(self, agent: SAC, space: gymnasium.Space[Any]) -> None:
        from inscape.agents.kernels import soft_actor_critic  # imports Numba
        from inscape.world_models.networks.kernels import perceptron

        s, network = agent.settings, agent.network
        encoder, size = network.encoder, agent._size
        self.features = FeatureReader(space, s.normalize_observations)
        for name in self.features.statistics:  # are the encoder's, which are saved
            self.features.statistics[name] = getattr(encoder, name).numpy()
        self._kernels, self._settings, self._goal = soft_actor_critic, s, float(agent._target_entropy)
        self._actor_sizes = np.array([encoder.width, *s.hidden, 2 * size], np.int64)
        self._critic_sizes = np.array([encoder.width + size, *s.hidden, 1], np.int64)
        self._actor = agent._policy.vector.detach().numpy()[: perceptron.parameter_count(self._actor_sizes)]
        self._target = agent._target.numpy()
        self._acting = np.empty(perceptron.space(self._actor_sizes, s.num_envs), np.float32)
        self._memory = soft_actor_critic.working_memory(self._critic_sizes, self._actor_sizes, s.batch_size)

    def actions(self, observation: Array, noise: Array) -> Array:
        """Returns `[B, D]` actions in [−1, 1] drawn from the policy with `[B, D]` noise."""
        drawn: Array = self._kernels.drawn_actions(
            self._actor, self._actor_sizes, self.features(observation), noise, *LOG_STD_RANGE, self._acting
        )
        return drawn

    def train(
        self, critic: _Trained, policy: _Trained, drawn: ReplayBatch, noise: Array
    ) -> tuple[_Trained | None, float, float, Array]:
        """Takes a gradient step for each minibatch of `drawn`; arguments as in `SAC._gradient_steps`.

        Returns:
            whose gradient was not finite, where one was: nothing after it was done; its norm and its loss; `[count, 5]`
            `METRICS` of each step.
        """
        s, kernels = self._settings, self._kernels
        batches = ActorCriticBatches(
            self.features(drawn.observation), drawn.action, drawn.reward, self.features(drawn.next_observation),
            drawn.discount,
        )  # fmt: skip
        metrics = np.empty((len(noise), len(METRICS)), np.float32)
        settings = ActorCriticSettings(
            float(critic.optimizer.param_groups[0]["lr"]), ADAM_EPSILON, float(s.tau), *LOG_STD_RANGE,
            -1.0 if s.entropy_coef is None else float(s.entropy_coef), self._goal,
        )  # fmt: skip
        # measured at 64 × 64 and 256 × 256: two threads wait for each other longer than they compute, on busy cores
        with blas_threads(1) if s.threads > 1 else nullcontext():
            found, norm, loss = kernels.train(
                critic.arrays, policy.arrays, self._target, self._critic_sizes, self._actor_sizes, batches, noise,
                settings, self._memory, metrics,
            )  # fmt: skip
        broken = {kernels.CRITIC: critic, kernels.POLICY: policy}.get(found)
        return broken, norm, loss, metrics


def _bounded_box(task: Task) -> gymnasium.spaces.Box:
    """Returns the action space of a task if the policy can be scaled to it.

    Raises:
        UsageError: it is not a Box of numbers with finite bounds.
    """
    space = task.action_space
    if not isinstance(space, gymnasium.spaces.Box) or not np.issubdtype(space.dtype, np.floating):
        raise UsageError(
            f"actions {space} of {task.name}",
            expected="continuous actions, a Box of floating-point numbers",
            hint=f"inscape train ppo {task.name}",
        )
    bounded = (np.maximum(np.abs(space.low), np.abs(space.high)) < UNBOUNDED).all()
    if not (bounded and (space.low < space.high).all()):
        raise UsageError(
            f"actions {space} of {task.name}, from {space.low} to {space.high}",
            expected=f"finite bounds within ±{UNBOUNDED:g}, the upper above the lower: the policy is scaled to them",
            hint="gymnasium.wrappers.RescaleAction, or bounds in the world's action_low and action_high",
        )
    return space
