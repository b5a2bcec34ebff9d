"""Deep Q-learning from a replay memory: double, dueling, n-step and prioritised as settings, from numbers or pictures.

The file reads top to bottom: settings, target and loss, network, agent (act, explore, update, save). What other agents
share is elsewhere: the rounds of learning in `agent`, the memory, features and encoders in
`world_models.networks`, the compiled update in `kernels.q_network`.

Source: Mnih et al. (2015), "Human-level control through deep reinforcement learning", Nature 518.
"""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import gymnasium
import numpy as np
import torch
from torch import Tensor, nn

from inscape.agents.acting import choice_log_probs, sample_actions
from inscape.agents.interface import Metrics
from inscape.agents.kernels.update_arrays import Trained, ValueBatches, ValueMemory, ValueNetwork, ValueSettings
from inscape.agents.learning.distributed import ProcessGroup
from inscape.agents.learning.env_runner import EnvRunner
from inscape.agents.learning.settings_checks import (
    require_counts,
    require_positive,
    require_shares,
    require_weights_if_any,
    require_widths,
)
from inscape.agents.off_policy.agent import OffPolicyAgent, OffPolicySettings, Step
from inscape.envs.tasks.pixels import PixelTask
from inscape.errors import UsageError
from inscape.rng import restore_rng, rng_state
from inscape.world_models.networks.blas import blas_threads
from inscape.world_models.networks.encoders.encoder import ObservationEncoder
from inscape.world_models.networks.encoders.features import FeatureReader, picture_layout
from inscape.world_models.networks.encoders.packing import stored_space
from inscape.world_models.networks.finite_checks import divergence
from inscape.world_models.networks.modules import PictureRows, as_one_vector, perceptron, pixel_network
from inscape.world_models.networks.part_networks import learns_parts, network_over
from inscape.world_models.networks.replay import ReplayBatch, ReplayMemory
from inscape.world_models.networks.tensors import load_module, to_arrays
from inscape.world_models.networks.types import Array, State

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task

ADAM_EPSILON = 1e-8
MAX_ROWS = 16_384
"""Transitions the compiled update is given in one call, at most."""


@dataclass(frozen=True)
class DQNSettings(OffPolicySettings):
    """Settings of deep Q-learning."""

    buffer_size: int = 100_000
    """Transitions remembered, of all copies together."""
    batch_size: int = 64
    """Transitions in each gradient step."""
    train_freq: int = 4
    """Steps of every copy between rounds of gradient steps."""
    target_update_interval: int = 500
    """Environment steps between updates of the target network."""
    tau: float = 1.0
    """Share of the network that the target network takes over at each of its updates; 1 copies it."""
    learning_rate: float = 1e-3
    """Adam's step size at the beginning."""
    anneal: Literal["linear", "constant"] = "constant"
    """Whether the learning rate falls linearly to zero over the training."""
    double: bool = False
    """Whether the network chooses the action whose value the target network gives (van Hasselt et al. 2016)."""
    dueling: bool = False
    """Whether the network gives a value and advantages apart (Wang et al. 2016); its streams part after the last hidden
    layer."""
    prioritized: bool = False
    """Whether transitions with larger errors are drawn more often (Schaul et al. 2016)."""
    priority_alpha: float = 0.6
    """How strongly the probability of being drawn grows with the error, as |δ|^α; 0 not at all."""
    priority_beta: float = 0.4
    """How far the weights correct for that at the start; rises linearly to 1 over the training."""
    normalize_rewards: bool = True
    """Whether rewards are divided by the running deviation of discounted returns, saved with the agent: then it learns
    alike whatever the scale of rewards."""
    huber: bool = True
    """Whether errors above 1 count linearly; False for half their square."""
    max_grad_norm: float = 10.0
    """Gradients are scaled down to this norm."""
    epsilon_start: float = 1.0
    """Probability of a uniformly random action at the first step."""
    epsilon_end: float = 0.05
    """The same from `epsilon_fraction` of the training on."""
    epsilon_fraction: float = 0.1
    """Part of the training over which epsilon falls, linearly."""
    hidden: tuple[int, ...] | None = None
    """Widths of the hidden layers; None for (64, 64), and for pictures for (256,) after the filters."""
    activation: Literal["relu", "tanh"] = "relu"
    """Nonlinearity of the hidden layers (of pictures always relu)."""
    beta: float | None = None
    """Rationality when acting after learning, P(a|s) ∝ exp(beta·Q); None acts greedily."""
    threads: int = 1
    """CPU threads for torch, and in the compiled update for the target network's values of many rows at once; more than
    one only pays for pictures and large networks, on a machine with nothing else to do. How many decides on the last
    bits of the weights; OMP_NUM_THREADS does not."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_counts(self, "target_update_interval")
        require_shares(self, "priority_alpha", "priority_beta", "epsilon_start", "epsilon_end", "epsilon_fraction")
        require_positive(self, "max_grad_norm")
        require_weights_if_any(self, "beta")
        if self.hidden is not None:
            require_widths(self)


# --------------------------------------------------------------------------------------------- target and loss


def dqn_target(
    reward: Tensor,
    discount: Tensor,
    next_values: Tensor,
    next_mask: Tensor | None = None,
    choosing_values: Tensor | None = None,
) -> Tensor:
    """Returns `[N]` r + d·Q⁻(s′, argmax_a′ Q(s′, a′)), a′ legal; a state in which nothing is legal is worth 0.

    Args:
        reward: `[N]` the sum of the rewards of n steps.
        discount: `[N]` d: γⁿ, and 0 where the episode terminated. A time limit leaves it at γⁿ.
        next_values: `[N, A]` Q⁻(s′, ·) of the target network.
        next_mask: `[N, A]` bool, True where legal; None where everything is.
        choosing_values: `[N, A]` Q(s′, ·) that choose: the network's own for double Q-learning; None for Q⁻ itself.

    Source: Mnih et al. (2015), equation 2; van Hasselt, Guez & Silver (2016), "Deep Reinforcement Learning with Double
    Q-learning", equation 4.
    """
    choosing = next_values if choosing_values is None else choosing_values
    if next_mask is not None:
        choosing = choosing.masked_fill(~next_mask, -math.inf)
    values = next_values.gather(1, choosing.argmax(dim=1, keepdim=True))[:, 0]
    if next_mask is not None:
        values = values.masked_fill(~next_mask.any(dim=1), 0.0)
    return reward + discount * values


def dqn_loss(
    values: Tensor, action: Tensor, target: Tensor, weight: Tensor | None = None, huber: bool = True
) -> tuple[Tensor, Tensor]:
    """Returns the loss E[w·ℓ(Q(s, a) − target)] and the errors `[N]` Q(s, a) − target.

    ℓ(e) = ½e² where |e| ≤ 1, else |e| − ½; without `huber` ½e² everywhere.

    Args:
        values: `[N, A]` Q(s, ·), being changed.
        action: `[N]` int64.
        target: `[N]`.
        weight: `[N]` w; None for 1.
        huber: whether large errors count linearly.

    Source: Mnih et al. (2015), "Methods", where errors are clipped to [−1, 1], which is the same gradient.
    """
    errors = values.gather(1, action[:, None])[:, 0] - target
    size = errors.abs()
    losses = torch.where(size > 1, size - 0.5, 0.5 * errors**2) if huber else 0.5 * errors**2
    return (losses if weight is None else weight * losses).mean(), errors.detach()


# --------------------------------------------------------------------------------------------- the network


class QNetwork(nn.Module):
    """Action values: a perceptron over encoded observations, or the classic filters over uint8 pictures; over
    observations of several parts, what is learned of each (`part_networks.PartNetworks`), then a perceptron.

    Args:
        observation_space: pictures are `Box`es of uint8 at least 20 pixels high and wide (`features.picture_layout`).
        actions: A.
        settings: see `DQNSettings`.
        generator: of the weights.

    Source of `dueling`: Wang et al. (2016), "Dueling Network Architectures for Deep Reinforcement Learning",
    equation 9.
    """

    def __init__(
        self,
        observation_space: gymnasium.Space[Any],
        actions: int,
        settings: DQNSettings,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        outputs = actions + 1 if settings.dueling else actions
        self.encoder = ObservationEncoder(observation_space)
        self.dueling = settings.dueling
        self.picture = picture_layout(observation_space)
        parts = self.encoder.packing is not None and learns_parts(self.encoder)
        self.body: nn.Sequential
        self.sizes: tuple[int, ...]
        usual = (64, 64) if self.picture is None else (256,)
        hidden = usual if settings.hidden is None else settings.hidden
        if parts:
            self.sizes = ()
            self.body = network_over(self.encoder, hidden, outputs, settings.activation, 1.0, generator)
        elif self.picture is None:
            self.sizes = (self.encoder.width, *hidden, outputs)
            self.body = perceptron(self.sizes, settings.activation, 1.0, generator)
        else:
            self.sizes = ()
            self.rows = PictureRows(*self.picture)
            self.body = pixel_network(*self.picture[0], hidden, outputs, generator)

    def features(self, observation: Array) -> Tensor:
        """Returns `[N, D]` floats, or `[N, channels, height, width]` of pictures."""
        features: Tensor = self.encoder(observation)
        if self.picture is None:
            return features
        pictures: Tensor = self.rows(features)
        return pictures

    def forward(self, features: Tensor) -> Tensor:
        """Returns `[N, A]` Q(s, ·)."""
        outputs: Tensor = self.body(features)
        if not self.dueling:
            return outputs
        value, advantages = outputs[:, :1], outputs[:, 1:]
        return value + advantages - advantages.mean(dim=1, keepdim=True)


# --------------------------------------------------------------------------------------------- the agent


class DQN(OffPolicyAgent):
    """Deep Q-network: discrete actions, action masks, any usual observations.

    Time limits do not end the sum of rewards: where an episode was cut, the value of its last observation stands for
    the rest. The compiled update and torch's work on the same parameters and moments, so that what one has learned the
    other resumes.

    Args:
        task: what to act in; actions `Discrete`.
        seed: seed of weights, exploration, drawing and environment.
        device: `"auto"`, `"cpu"` or `"cuda"`.
        settings: see `DQNSettings`.

    Raises:
        UsageError: unsupported spaces, CUDA is not available, or a compiled update of what only torch computes.
    """

    name = "dqn"
    settings: DQNSettings

    def __init__(self, task: Task, seed: int = 0, device: str = "cpu", settings: DQNSettings | None = None) -> None:
        if not isinstance(task.action_space, gymnasium.spaces.Discrete):
            raise UsageError(
                f"actions {task.action_space} of {task.name}", expected="Discrete actions for dqn", hint="sac, or ppo"
            )
        s = settings or DQNSettings()
        self._prepare(seed, device, s)
        self._first, self._actions = int(task.action_space.start), int(task.action_space.n)
        actions = self._actions
        start = torch.Generator().manual_seed(seed)
        self.network = QNetwork(task.observation_space, actions, s, start).to(self.device)
        self.target = QNetwork(task.observation_space, actions, s, start).to(self.device)
        self.target.load_state_dict(self.network.state_dict())
        self._vector, self._gradient = as_one_vector(self.network.parameters())
        self._target_vector, _ = as_one_vector(self.target.parameters())
        whole = nn.Parameter(self._vector)
        whole.grad = self._gradient
        self.optimizer = torch.optim.Adam([whole], lr=s.learning_rate, eps=ADAM_EPSILON, fused=True)
        self._moments = torch.zeros((2, len(self._vector)), device=self.device)
        self._adam_steps = torch.zeros((), device=self.device)
        self.optimizer.state[whole] = {
            "step": self._adam_steps, "exp_avg": self._moments[0], "exp_avg_sq": self._moments[1],
        }  # fmt: skip
        self._packing = self.network.encoder.packing
        compiles = self._compiles(s.backend, self.network.encoder)
        self._compiled = _CompiledUpdate(self, task.observation_space) if compiles else None
        self.memory = ReplayMemory(
            s.buffer_size, s.num_envs, stored_space(task.observation_space), gymnasium.spaces.Discrete(actions),
            n_step=s.n_step,
            gamma=s.gamma, priority=s.priority_alpha if s.prioritized else None, seed=seed,
            stack=task.frames if isinstance(task, PixelTask) else 1,
        )  # fmt: skip
        # `act` uses a separate random generator, so evaluation does not affect training
        self._acting = np.random.default_rng([seed, 0])
        self._exploring = np.random.default_rng([seed, 1])

    # ------------------------------------------------------------------------------------------- acting

    def act(self, observation: Array, action_mask: Array | None = None) -> Array:
        return self._first + sample_actions(self.action_log_probs(observation, action_mask), self._acting)

    def action_log_probs(self, observation: Array, action_mask: Array | None = None) -> Array:
        """Returns `[B, A]` log-probabilities of the actions by the choice rule (greedily: 0 for the best)."""
        return choice_log_probs(self.action_values(observation), self.settings.beta, action_mask)

    def action_values(self, observation: Array) -> Array:
        """Returns `[B, A]` Q(s, a), the network's estimates of discounted returns."""
        with torch.inference_mode():
            values: Tensor = self.network(self.network.features(observation))
            return values.cpu().numpy().astype(np.float64) * self.value_unit

    # ------------------------------------------------------------------------------------------- learning

    def _learn_until_report(self, task: Task, steps: int) -> Metrics:
        return {**super()._learn_until_report(task, steps), "epsilon": self._epsilon(steps)}

    def _epsilon(self, steps: int) -> float:
        s = self.settings
        part = self.steps / max(1.0, s.epsilon_fraction * steps)
        return s.epsilon_end + (s.epsilon_start - s.epsilon_end) * max(0.0, 1.0 - part)

    def _explore(self, observation: Array, action_mask: Array | None, steps: int) -> Array:
        s = self.settings
        epsilon = 1.0 if self.steps < s.learning_starts else self._epsilon(steps)
        explores = self._exploring.random(s.num_envs) < epsilon
        scores = np.empty((s.num_envs, self._actions))
        scores[explores] = self._exploring.random((int(explores.sum()), self._actions))
        greedy, scores = ~explores[self._own], scores[self._own]
        if greedy.any():
            scores[greedy] = self._values(observation[greedy])
        return np.asarray(np.argmax(scores if action_mask is None else np.where(action_mask, scores, -np.inf), axis=1))

    def _to_environment(self, actions: Array) -> Array:
        return actions + self._first

    def _step(self, copies: EnvRunner, steps: int) -> Step:
        s = self.settings
        step = super()._step(copies, steps)
        if copies.steps % max(s.target_update_interval // s.num_envs, 1) == 0:
            self._target_vector.lerp_(self._vector, s.tau)
        return step

    def _values(self, observation: Array) -> Array:
        if self._compiled is not None:
            return self._compiled.values(self._compiled.features(observation))
        with torch.inference_mode():
            return np.asarray(self.network(self.network.features(observation)).cpu().numpy())

    def _update(self, count: int, progress: float) -> list[dict[str, float]]:
        s, memory = self.settings, self.memory
        rate = s.learning_rate * (1.0 - progress if s.anneal == "linear" else 1.0)
        parts = []
        if s.prioritized:
            beta = s.priority_beta + (1.0 - s.priority_beta) * progress
            for _ in range(count):
                index, weight = memory.draw_by_priority(s.batch_size, beta)
                rows = self._own_rows()
                errors, loss, value = self._gradient_steps(self._taken(index[rows], weight[rows]), None, rate)
                memory.update_priorities(index, errors)
                parts.append({"loss": loss, "value": value * self.value_unit})
            return parts
        most = 1 if self._compiled is None else max(1, MAX_ROWS // s.batch_size)
        for done in range(0, count, most):
            steps = min(most, count - done)
            index = memory.draw(steps * s.batch_size)
            # what is drawn several times in a round is looked up, and valued by the target network, once
            distinct, places = np.unique(index, return_inverse=True) if steps > 1 else (index[self._own_rows()], None)
            _, loss, value = self._gradient_steps(self._taken(distinct), places, rate)
            parts += [{"loss": loss, "value": value * self.value_unit}] * steps
        return parts

    def _taken(self, index: Array, weight: Array | None = None) -> ReplayBatch:
        """Returns transitions of the memory, their rewards as they are learned from."""
        batch = self.memory.take(index) if weight is None else self.memory.take(index, weight)
        return replace(batch, reward=self._scaled(batch.reward))

    def _own_rows(self) -> slice:
        """Returns which rows of a batch this process computes; at least one."""
        return slice(None) if self._group is None else self._group.share(self.settings.batch_size)[0]

    def _gradient_steps(self, batch: ReplayBatch, places: Array | None, rate: float) -> tuple[Array, float, float]:
        """Learns from one batch, or from several that lie one behind the other: row i of them is row `places[i]`.

        With several processes from one, of which each is given its own rows.

        Returns:
            `[N]` errors Q(s, a) − target of all rows, the mean loss, and the mean of Q(s, a).

        Raises:
            DivergenceError: a gradient is not finite; it has not been applied.
        """
        if self._compiled is None:
            return self._torch_step(batch, rate)
        taken, errors, loss, value = self._compiled.train(batch, places, rate)
        if taken * self.settings.batch_size < len(errors):
            raise self._divergence(loss)
        return errors, loss, value

    def _torch_step(self, batch: ReplayBatch, rate: float) -> tuple[Array, float, float]:
        s = self.settings
        features = self.network.features(batch.observation)
        with torch.no_grad():
            following = self.network.features(batch.next_observation)
            target = dqn_target(
                self._tensor(batch.reward), self._tensor(batch.discount), self.target(following),
                None if batch.next_mask is None else self._tensor(batch.next_mask),
                self.network(following) if s.double else None,
            )  # fmt: skip
        values, action = self.network(features), self._tensor(batch.action)
        loss, errors = dqn_loss(values, action, target, self._tensor(batch.weight), s.huber)
        self._gradient.zero_()
        loss.backward()  # type: ignore[no-untyped-call]
        loss, value = loss.detach(), (errors + target).mean()
        if self._group is not None:
            errors, loss, value = self._added_up(self._group, errors, loss, value)
        norm = torch.linalg.vector_norm(self._gradient)
        if not bool(torch.isfinite(norm) & torch.isfinite(loss)):
            raise self._divergence(float(loss))
        self._gradient *= (s.max_grad_norm / (norm + 1e-6)).clamp(max=1.0)
        self.optimizer.param_groups[0]["lr"] = rate
        self.optimizer.step()
        return errors.cpu().numpy(), float(loss), float(value)

    def _added_up(
        self, group: ProcessGroup, errors: Tensor, loss: Tensor, value: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Makes the gradient, the errors and the means, of this process's rows, those of the whole batch."""
        rows, weight = group.share(self.settings.batch_size)
        of_all = errors.new_zeros(self.settings.batch_size)
        if weight:
            of_all[rows] = errors
        gradient, loss, value, of_all = group.add_up([self._gradient * weight, loss * weight, value * weight, of_all])
        self._gradient.copy_(gradient)
        return of_all, loss, value

    def _tensor(self, array: Array) -> Tensor:
        return torch.as_tensor(array, device=self.device)

    def _divergence(self, loss: float) -> Exception:
        parameters = list(self.network.named_parameters())
        broken = [f"weights {name}" for name, p in parameters if not bool(torch.isfinite(p).all())]
        broken += [
            f"gradient of {name}" for name, p in parameters if p.grad is not None and not torch.isfinite(p.grad).all()
        ]
        return divergence(self.name, self.steps, loss, broken)

    # ------------------------------------------------------------------------------------------- saving

    def _own_state(self) -> State:
        return {
            "network": to_arrays(self.network.state_dict()),
            "target": to_arrays(self.target.state_dict()),
            "optimizer": {"steps": int(self._adam_steps), "moments": to_arrays(self._moments)},
            "acting": rng_state(self._acting),
            "exploring": rng_state(self._exploring),
        }

    def _load_own_state(self, state: State) -> None:
        load_module(self.network, state["network"])
        load_module(self.target, state["target"])
        self._moments.copy_(torch.from_numpy(np.array(state["optimizer"]["moments"])))
        self._adam_steps.fill_(int(state["optimizer"]["steps"]))
        restore_rng(self._acting, state["acting"])
        restore_rng(self._exploring, state["exploring"])


class _CompiledUpdate:
    """The update in compiled code, on the memory in which an agent's tensors lie."""

    def __init__(self, agent: DQN, space: gymnasium.Space[Any]) -> None:
        from inscape.agents.kernels import q_network  # imports Numba
        from inscape.world_models.networks.kernels import perceptron

        s = agent.settings
        self.features = FeatureReader(space)
        self._kernels, self._settings = q_network, s
        sizes = np.array(agent.network.sizes, np.int64)
        activation = perceptron.TANH if s.activation == "tanh" else perceptron.RELU
        self._network, self._target = (
            ValueNetwork(vector.numpy(), sizes, activation, s.dueling)
            for vector in (agent._vector, agent._target_vector)
        )
        first, second = agent._moments.numpy()
        self._trained = Trained(
            self._network.parameters, agent._gradient.numpy(), first, second, agent._adam_steps.view(1).numpy()
        )
        self._actions = agent._actions
        self._memory = ValueMemory(
            np.empty(perceptron.space(sizes, max(s.batch_size, q_network.CHUNK)), np.float32),
            np.empty((2, s.batch_size * int(sizes.max())), np.float32),
        )

    def values(self, features: Array, target: bool = False) -> Array:
        """Returns `[N, A]` Q(s, ·) for `[N, D]` features, of the network or of its target."""
        values = np.empty((len(features), self._actions), np.float32)
        self._kernels.action_values(self._target if target else self._network, features, self._memory.outputs, values)
        return values

    def train(self, batch: ReplayBatch, places: Array | None, rate: float) -> tuple[int, Array, float, float]:
        """Takes a gradient step for each batch_size of the rows `places` of `batch`.

        Returns:
            steps taken, `[N]` errors, mean loss, mean Q(s, a); fewer steps than asked where a gradient was not finite.
        """
        s, kernels = self._settings, self._kernels
        features, next_features = self.features(batch.observation), self.features(batch.next_observation)
        next_values = self.values(next_features, target=True)
        nothing = np.zeros((0, next_features.shape[1]), np.float32)
        mask = np.zeros((0, self._actions), np.bool_) if batch.next_mask is None else batch.next_mask
        batches = ValueBatches(
            features, batch.action, batch.reward, batch.discount, next_features if s.double else nothing, next_values,
            mask, batch.weight,
        )  # fmt: skip
        if places is not None:
            batches = ValueBatches(*(column[places] if len(column) else column for column in batches))
        settings = ValueSettings(s.batch_size, rate, ADAM_EPSILON, float(s.max_grad_norm), s.double, s.huber)
        errors = np.empty(len(batches.features), np.float32)
        # in products as small as a minibatch's, threads wait for each other longer than they compute
        with blas_threads(1) if s.threads > 1 else nullcontext():
            taken, loss, value = kernels.train(self._network, self._trained, batches, settings, self._memory, errors)
        return taken, errors, loss, value
