"""Gradient steps on the model: from sequences remembered, towards what searches and episodes said of them.

Source: Schrittwieser et al. (2020), Nature 588, equation 1 and appendix G; the policy's target: Danihelka et al.
(2022), ICLR, equation 12; consistency: Ye et al. (2021), NeurIPS, equation 2; chance codes: Antonoglou et al. (2022),
ICLR, equations 4 to 6.
"""

from __future__ import annotations

import logging
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from inscape.agents.muzero.memory import Sequences
from inscape.agents.muzero.settings import MuZeroSettings
from inscape.world_models.learned.muzero.model import MuZeroModel
from inscape.world_models.learned.muzero.supports import class_loss, restored
from inscape.world_models.networks.tensors import step_if_finite
from inscape.world_models.networks.types import Array

logger = logging.getLogger(__name__)
HALF = 0.5
"""What a gradient is multiplied by at each step of the dynamics (appendix G)."""


class Learner:
    """Takes gradient steps on a model.

    Args:
        model: what learns.
        settings: see `MuZeroSettings`.
    """

    def __init__(self, model: MuZeroModel, settings: MuZeroSettings) -> None:
        self.model, self.settings, self._warned = model, settings, False
        self.weights = [weight for weight in model.network.parameters() if weight.requires_grad]
        self.optimizer = torch.optim.AdamW(
            self.weights, settings.learning_rate, eps=1e-5, weight_decay=settings.weight_decay, foreach=True
        )

    def set_rate(self, rate: float) -> None:
        """Sets the optimiser's step size."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def step(self, drawn: Sequences, steps: int) -> tuple[dict[str, float], Array]:
        """Takes a gradient step; returns the parts of the loss and `[N]` errors of the values of the first positions.

        Args:
            drawn: what is learned from.
            steps: environment steps so far, for messages.

        Raises:
            DivergenceError: a gradient is not finite.
        """
        total, parts, errors = self.loss(drawn)
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        metrics = {name: float(part.detach()) for name, part in parts.items()}
        metrics["gradient_norm"] = step_if_finite(
            self.optimizer, self.model.network, self.settings.max_grad_norm, float(total.detach()), steps, "muzero"
        )
        metrics["beyond_support"] = self._beyond_support(drawn, steps)
        return metrics, errors

    def _beyond_support(self, drawn: Sequences, steps: int) -> float:
        """Returns the share of values and rewards that lie beyond the classes, and warns of the first."""
        limit = float(restored(np.array(float(self.settings.support))))
        beyond = float((np.concatenate([np.abs(drawn.values), np.abs(drawn.rewards)], axis=1) > limit).mean())
        if beyond and not self._warned:
            self._warned = True
            logger.warning(
                "muzero: at step %d, values or rewards of up to %.4g; its classes reach %.4g (--support %d): larger "
                "ones count as that.", steps, max(np.abs(drawn.values).max(), np.abs(drawn.rewards).max()), limit,
                self.settings.support,
            )  # fmt: skip
        return beyond

    def loss(self, drawn: Sequences) -> tuple[Tensor, dict[str, Tensor], Array]:
        """Returns the loss, its parts, and `[N]` errors of the values of the first positions."""
        s, network = self.settings, self.model.network
        count, K = drawn.actions.shape
        rows = drawn.observations.reshape(count * (K + 1), *drawn.observations.shape[2:])
        reached = self._reached(rows, count, K)
        latent = network.represent(drawn.observations[:, 0])
        actions = functional.one_hot(torch.as_tensor(drawn.actions), network.actions).to(latent.dtype)
        states, steps = [latent], []
        for k in range(K):
            given = states[-1] * HALF + states[-1].detach() * HALF if k else states[-1]
            following = reached[:, k + 1] if s.codes and reached is not None else None
            steps.append(network.unroll(given, actions[:, k], following))
            states.append(steps[-1].latent)
        return self._weighed(drawn, torch.stack(states, 1), steps, reached)

    def _reached(self, rows: Any, count: int, K: int) -> Tensor | None:
        """Returns `[N, K + 1, D]` latent states of what was observed, if they are needed."""
        s, network = self.settings, self.model.network
        if s.codes:  # the codes are read from them, and their gradient teaches to read
            return network.represent(rows).reshape(count, K + 1, -1)
        if not s.consistency_coef:
            return None
        with torch.no_grad():
            return network.represent(rows).reshape(count, K + 1, -1)

    def _weighed(
        self, drawn: Sequences, states: Tensor, steps: list[Any], reached: Tensor | None
    ) -> tuple[Tensor, dict[str, Tensor], Array]:
        s, network = self.settings, self.model.network
        count, K = drawn.actions.shape

        def weighed(losses: Tensor, there: Array, share: Tensor | float) -> Tensor:
            mask = torch.as_tensor(there * drawn.weight[:, None], dtype=losses.dtype)
            total: Tensor = (losses * mask * share).sum() / count
            return total

        logits, classes = network.predict(states)
        per_step = torch.full((K + 1,), 1.0 / K)
        per_step[0] = 1.0
        values = torch.as_tensor(drawn.values, dtype=torch.float32)
        policy = torch.as_tensor(drawn.policy)
        acts, taken = drawn.acts.astype(np.float64), drawn.taken.astype(np.float64)
        rewards = torch.as_tensor(drawn.rewards, dtype=torch.float32)
        going = torch.as_tensor(drawn.going, dtype=torch.float32)
        parts = {
            "policy_loss": weighed(-(policy * logits.log_softmax(-1)).sum(-1), acts, per_step),
            "value_loss": weighed(class_loss(classes, values, s.support), acts, per_step),
            "reward_loss": weighed(
                class_loss(torch.stack([one.reward for one in steps], 1), rewards, s.support), taken, 1 / K
            ),
            "ending_loss": weighed(
                functional.binary_cross_entropy_with_logits(
                    torch.stack([one.going for one in steps], 1), going, reduction="none"
                ), taken, 1 / K,
            ),
        }  # fmt: skip
        whole = parts["policy_loss"] + s.value_coef * parts["value_loss"] + parts["reward_loss"] + parts["ending_loss"]
        # what was reached, where the episode went on and something was observed
        seen = (drawn.taken & drawn.going & drawn.seen[:, 1:]).astype(np.float64)
        if s.consistency_coef and reached is not None:
            parts["consistency_loss"] = weighed(network.dissimilarity(states[:, 1:], reached[:, 1:]), seen, 1 / K)
            parts["sameness"] = network.sameness(states[:, 0])
            whole = whole + s.consistency_coef * (parts["consistency_loss"] + parts["sameness"])
        if s.codes:  # the last observation of an episode that ended tells the code, too
            parts |= self._code_losses(steps, weighed, taken)
            whole = whole + s.code_coef * (parts["code_loss"] + parts["unused_codes"])
        with torch.no_grad():
            support = torch.arange(-s.support, s.support + 1, dtype=torch.float32)
            foreseen = restored((classes[:, 0].softmax(-1) * support).sum(-1))
        errors = np.where(drawn.acts[:, 0], foreseen.numpy() - drawn.values[:, 0], 0.0)
        return whole, parts, np.asarray(errors)

    @staticmethod
    def _code_losses(steps: list[Any], weighed: Any, seen: Array) -> dict[str, Tensor]:
        """Returns the cross-entropy of the codes foreseen and of those read from what was observed, and how many nats
        the entropy of their use falls short: without it all outcomes may come to have one code (Krause, Perona &
        Gomes 2010, "Discriminative clustering by regularized information maximization", NIPS)."""
        foreseen = torch.stack([one.codes for one in steps], 1).log_softmax(-1)
        read = torch.stack([one.seen for one in steps], 1).softmax(-1)
        there = torch.as_tensor(seen, dtype=read.dtype)[..., None]
        use = (read * there).sum((0, 1)) / there.sum().clamp(min=1.0)
        hard = functional.one_hot(read.argmax(-1), read.shape[-1]).to(read.dtype)
        return {
            "code_loss": weighed(-(hard * foreseen).sum(-1), seen, 1 / len(steps)),
            "unused_codes": (use * (use + 1e-8).log()).sum() + math.log(len(use)),
        }
