"""Adversarial imitation: a discriminator tells the expert from the learner, whose reward is to be taken for the expert.

Proximal policy optimisation is the learner; of the environment's rewards it sees nothing.

Sources: Fu, Luo & Levine (2018), "Learning robust rewards with adversarial inverse reinforcement learning", ICLR,
algorithm 1 and section 4 (`airl`); Ho & Ermon (2016), "Generative adversarial imitation learning", NIPS (`gail`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, one_hot, softplus

from inscape.agents.interface import Metrics
from inscape.agents.learning.env_runner import EnvRunner
from inscape.agents.on_policy.agent import OnPolicyAgent
from inscape.agents.on_policy.base import LossTerms, Schedule
from inscape.agents.on_policy.ppo import ppo_loss
from inscape.agents.on_policy.torch_learner import ActorCritic, Rollout, TorchLearner
from inscape.envs.data.trajectory import Trajectory
from inscape.envs.data.transition import Transition
from inscape.errors import UsageError
from inscape.theory_of_mind.imitation.demonstrations import (
    Demonstrations,
    demonstrations_of,
    gathered,
    network_actions,
)
from inscape.theory_of_mind.imitation.settings import AIRLSettings
from inscape.world_models.networks.device import resolve_device
from inscape.world_models.networks.distributions import CategoricalActions, MultiCategoricalActions
from inscape.world_models.networks.finite_checks import divergence
from inscape.world_models.networks.part_networks import network_over
from inscape.world_models.networks.policy import PolicyNetwork
from inscape.world_models.networks.tensors import (
    load_module,
    load_optimizer,
    not_finite,
    optimizer_arrays,
    step_if_finite,
    to_arrays,
)
from inscape.world_models.networks.types import Array, State

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task


class Discriminator(nn.Module):
    """D(s, a, s') = σ(f − log π(a|s)), f = g(s, a) + γ h(s') − h(s), h = 0 where the task has ended (Fu et al., Eq. 4).

    In the form `gail` D = σ(g(s, a)), and there is no h.

    Args:
        network: of the policy, whose encoder and distribution of actions are used.
        settings: see `AIRLSettings`.
        seed: of the weights.
    """

    def __init__(self, network: PolicyNetwork, settings: AIRLSettings, seed: int) -> None:
        super().__init__()
        self._distribution, self.settings = network.distribution, settings
        generator = torch.Generator().manual_seed(seed + 1)
        self._with_actions = settings.form == "gail" or settings.reward == "state-action"
        width = settings.reward_hidden
        encoder, activation = network.encoder, settings.activation
        self.state_part = network_over(encoder, width, self._outputs(network), activation, 0.01, generator)
        self.shaping = network_over(encoder, width, 1, activation, 0.01, generator) if settings.form == "airl" else None
        self.action_part: nn.Module | None = None
        if self._with_actions and not isinstance(network.distribution, CategoricalActions):
            sizes = (self._outputs(network) + self._action_width(network), *(width or (64,)), 1)
            layers: list[nn.Module] = []
            for k in range(len(sizes) - 1):
                layer = nn.Linear(sizes[k], sizes[k + 1])
                bound = 1 / math.sqrt(sizes[k])
                with torch.no_grad():
                    layer.weight.uniform_(-bound, bound, generator=generator)
                    layer.bias.zero_()
                layers += [layer, nn.Tanh() if activation == "tanh" else nn.ReLU()]
            self.action_part = nn.Sequential(*layers[:-1])

    def _outputs(self, network: PolicyNetwork) -> int:
        """How many numbers the state's part gives: one, one for each action, or features to put beside the action."""
        if not self._with_actions:
            return 1
        if isinstance(network.distribution, CategoricalActions):
            return network.distribution.width
        return (self.settings.reward_hidden or (64,))[-1]

    @staticmethod
    def _action_width(network: PolicyNetwork) -> int:
        distribution = network.distribution
        if isinstance(distribution, MultiCategoricalActions):
            return distribution.width
        return distribution.width // 2

    def reward(self, features: Tensor, actions: Tensor) -> Tensor:
        """Returns `[N]` g."""
        found: Tensor = self.state_part(features)
        if not self._with_actions:
            return found.squeeze(-1)
        if self.action_part is None:
            return found.gather(-1, actions[..., None])[..., 0]
        beside = actions.to(torch.float32)
        if isinstance(self._distribution, MultiCategoricalActions):
            columns = [one_hot(actions[..., d], size) for d, size in enumerate(self._distribution.sizes)]
            beside = torch.cat(columns, dim=-1).to(torch.float32)
        together: Tensor = self.action_part(torch.cat([found, beside], dim=-1))[..., 0]
        return together

    def logits(
        self, features: Tensor, actions: Tensor, following: Tensor, terminated: Tensor, log_probs: Tensor
    ) -> Tensor:
        """Returns `[N]` log D − log(1 − D)."""
        found = self.reward(features, actions)
        if self.shaping is None:
            return found
        ahead: Tensor = self.shaping(following)[..., 0] * (~terminated)
        here: Tensor = self.shaping(features)[..., 0]
        return found + self.settings.gamma * ahead - here - log_probs


class WatchedRunner(EnvRunner):
    """Copies that keep what each action led to, until somebody takes it."""

    def __init__(self, *args: Any, **named: Any) -> None:
        self.following: list[Array] = []
        super().__init__(*args, **named)

    def step(self, actions: Array) -> Transition:
        transition = super().step(actions)
        self.following.append(transition.next_observation)
        return transition


class AdversarialLearner(TorchLearner):
    """The torch learner whose rewards come from a discriminator, which learns from every rollout."""

    agent: AIRL
    settings: AIRLSettings

    def __init__(self, agent: AIRL, network: PolicyNetwork, device: torch.device) -> None:
        super().__init__(agent, network, device)
        s = self.settings
        self.discriminator = Discriminator(network, s, agent.seed).to(device)
        self.reward_optimizer = torch.optim.AdamW(
            self.discriminator.parameters(), lr=s.reward_learning_rate, weight_decay=s.reward_decay
        )
        self.judged: Metrics = {}

    def begin(self, task: Task, steps: int) -> None:
        s, state = self.settings, self._pending
        self.agent.require_demonstrations(task)
        self._copies = WatchedRunner(
            task, s.num_envs, self.agent.seed, steps=steps // s.num_envs, state=state,
            packing=self.network.encoder.packing,
        )  # fmt: skip
        self._pending = None
        if state is not None and state["env"] is None:
            self._begin_episodes()

    def round(self, schedule: Schedule, steps: int) -> Metrics:
        return {**super().round(schedule, steps), **self.judged}

    def _act(self) -> Rollout:
        copies = self._copies
        assert isinstance(copies, WatchedRunner)
        copies.following.clear()
        done = super()._act()
        after = np.stack(copies.following)
        copies.following.clear()
        with torch.inference_mode():
            following = self.network.encoder(after.reshape(-1, *after.shape[2:]))
        # what was computed in inference mode takes no part in gradients
        rows = (
            done.features.flatten(0, 1).clone(), done.actions.flatten(0, 1).clone(), following.clone(),
            torch.as_tensor(done.terminated.reshape(-1), device=self.device), done.old_log_probs.flatten().clone(),
        )  # fmt: skip
        if not bool(torch.isfinite(rows[-1]).all()):  # the policy has diverged, which the discriminator would not say
            raise divergence(self.agent.name, self.agent.steps, math.nan, not_finite(self.network.named_parameters()))
        self.judged = self._learn_to_tell(rows)
        with torch.inference_mode():
            logits = self.discriminator.logits(*rows)
            # log D − log(1 − D) of `airl`; −log(1 − D) of `gail`
            rewards = logits if self.settings.form == "airl" else softplus(logits)
        self.judged["learned_reward"] = float(rewards.mean())
        return replace(done, rewards=rewards.reshape(done.rewards.shape).cpu().numpy().astype(np.float64))

    def _learn_to_tell(self, own: tuple[Tensor, ...]) -> Metrics:
        """Takes the discriminator's gradient steps on decisions of the expert and of the learner."""
        s, expert = self.settings, self.agent.demonstrations
        assert expert is not None and expert.next_observations is not None
        losses, right = [], []
        for _ in range(s.reward_steps):
            chosen = self._drawn(len(expert)).cpu().numpy()
            shown = expert.of(chosen)
            assert shown.next_observations is not None
            with torch.no_grad():
                features = self.network.encoder(shown.observations).clone()
                outputs = self.network.outputs(features, self.tensor(shown.action_masks))
                actions = torch.as_tensor(shown.actions, device=self.device)
                theirs = (
                    features, actions, self.network.encoder(shown.next_observations).clone(),
                    torch.as_tensor(shown.terminated, device=self.device),
                    self.network.distribution.log_prob(outputs, actions),
                )  # fmt: skip
            rows = self._drawn(len(own[0]))
            logits_expert = self.discriminator.logits(*theirs)
            logits_own = self.discriminator.logits(*(column[rows] for column in own))
            loss = binary_cross_entropy_with_logits(logits_expert, torch.ones_like(logits_expert))
            loss = loss + binary_cross_entropy_with_logits(logits_own, torch.zeros_like(logits_own))
            self.reward_optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            losses.append(float(loss.detach()) / 2)
            step_if_finite(
                self.reward_optimizer, self.discriminator, None, losses[-1], self.agent.steps, self.agent.name
            )
            right.append(0.5 * float((logits_expert > 0).float().mean() + (logits_own <= 0).float().mean()))
        return {
            "discriminator_loss": float(np.mean(losses)), "discriminator_accuracy": float(np.mean(right)),
        }  # fmt: skip

    def _drawn(self, count: int) -> Tensor:
        size = min(count, self.settings.reward_batch)
        if size == count:
            return torch.arange(count, device=self.device)
        return torch.randint(count, (size,), generator=self.exploring, device=self.device)

    def state_dict(self) -> State:
        return {
            **super().state_dict(),
            "discriminator": to_arrays(self.discriminator.state_dict()),
            "reward_optimizer": optimizer_arrays(self.reward_optimizer),
        }

    def load_state_dict(self, state: State) -> None:
        super().load_state_dict(state)
        load_module(self.discriminator, state["discriminator"])
        load_optimizer(self.reward_optimizer, state["reward_optimizer"])


class AIRL(OnPolicyAgent):
    """Adversarial imitation, by proximal policy optimisation: discrete, multi-discrete and continuous actions, masks.

    `steps` are environment steps of the learner; the expert's episodes do not count. With `form` `airl`, `reward_of` is
    the learned reward. Rewards change sign as the discriminator does: in tasks that end early, or go on, according to
    what is done, a learner may be drawn to either by that alone.

    Args:
        task: what to act in.
        seed: seed of weights, exploration, environment, the expert and its episodes.
        device: `"auto"`, `"cpu"` or `"cuda"`.
        settings: see `AIRLSettings`.
        expert: an agent in hand to imitate, instead of the one that the settings name.
        data: recorded episodes to imitate, instead.

    Raises:
        UsageError: unsupported spaces, CUDA is not available; when it learns, as `gathered`.

    Attributes:
        demonstrations: what is imitated; None before it learns.
    """

    name = "airl"
    Settings = AIRLSettings
    learner: AdversarialLearner

    def __init__(
        self,
        task: Task,
        seed: int = 0,
        device: str = "cpu",
        settings: AIRLSettings | None = None,
        expert: Any = None,
        data: Sequence[Trajectory] | None = None,
    ) -> None:
        super().__init__(task, seed, device, settings)
        self._made_for, self.expert = task, expert
        self.demonstrations: Demonstrations | None = None
        if data is not None:
            self.demonstrate(data)

    def demonstrate(self, trajectories: Sequence[Trajectory]) -> None:
        """Takes recorded episodes as what is to be imitated, instead of what the settings say.

        Raises:
            UsageError: as `demonstrations_of`.
        """
        self.demonstrations = demonstrations_of(self._made_for, trajectories)

    def require_demonstrations(self, task: Task) -> None:
        """Gathers what is to be imitated, where that has not happened."""
        if self.demonstrations is None:
            self.demonstrations = gathered(self.settings, task, self.seed, self.expert)

    def schedule(self, remaining: float) -> Schedule:
        s = self.settings
        kl = math.inf if s.target_kl is None else s.target_kl
        return Schedule(self._rate(remaining), s.clip, s.epochs, s.minibatches, kl)

    def loss(self, terms: LossTerms, clip: float | Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        return ppo_loss(*terms, clip, self.settings.value_coef, self.settings.entropy_coef)

    def _make_learner(self, task: Task, device: str) -> AdversarialLearner:
        return AdversarialLearner(self, ActorCritic(task, self.settings, self.seed), resolve_device(device))

    def reward_of(self, observation: Array, action: Array) -> Array:
        """Returns `[B]` g(s, a), the learned reward, known up to shaping; of `gail`, the logit of the discriminator.

        Args:
            observation: `[B, ...]`.
            action: `[B, ...]` as the environment takes them.
        """
        rows = np.asarray(action)
        if len(rows) != len(observation):
            raise UsageError(f"{len(rows)} actions for {len(observation)} observations", expected="one for each")
        with torch.inference_mode():
            actions = torch.as_tensor(network_actions(rows, self._made_for.action_space), device=self.learner.device)
            found = self.learner.discriminator.reward(self.learner.features(observation), actions)
        return np.asarray(found.cpu().numpy(), np.float64)

    def shaping_of(self, observation: Array) -> Array:
        """Returns `[B]` h(s), the learned shaping term.

        Raises:
            UsageError: the form is `gail`, which has none.
        """
        shaping = self.learner.discriminator.shaping
        if shaping is None:
            raise UsageError("a shaping term of gail", expected="form 'airl'")
        with torch.inference_mode():
            found: Tensor = shaping(self.learner.features(observation))[..., 0]
        return found.cpu().numpy().astype(np.float64)

    def state_dict(self) -> State:
        demonstrations = None if self.demonstrations is None else self.demonstrations.state_dict()
        return {**super().state_dict(), "demonstrations": demonstrations}

    def load_state_dict(self, state: State) -> None:
        super().load_state_dict(state)
        self.demonstrations = Demonstrations.from_state(state["demonstrations"])
