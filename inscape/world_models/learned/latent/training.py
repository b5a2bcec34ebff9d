"""One gradient step on sequences: the evidence lower bound, plain or balanced.

Sources: the bound: Kingma & Welling (2014), "Auto-encoding variational Bayes", ICLR, equation 3, step by step as Hafner
et al. (2019), equation 3; both sides of the divergence weighted apart, free nats: Hafner et al. (2023), equation 5.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from inscape.world_models.learned.latent.network import LatentNetwork, Run
from inscape.world_models.learned.latent.sequences import Sequences
from inscape.world_models.learned.latent.settings import LatentSettings
from inscape.world_models.networks.tensors import require_finite_gradients


def shown_parts(rng: np.random.Generator, count: int, parts: int, hide: float) -> np.ndarray:
    """Returns `[B, P]` 1 where a part of the observations of a sequence is seen; one at least is."""
    seen = rng.random((count, parts)) >= hide
    seen[np.arange(count), rng.integers(0, parts, count)] = True
    return seen.astype(np.float32)


def run_sequences(
    network: LatentNetwork, sequences: Sequences, rng: np.random.Generator
) -> tuple[Run, list[Tensor], Tensor]:
    """Returns the network run over sequences, what was observed, and `[L, B]` where there are rows."""
    device, s = network.action_half.device, network.settings
    observed = network.parts.tensors(sequences.observations, device)
    length, count = sequences.known.shape
    given = None
    if s.hide and len(observed) > 1:
        shown = torch.as_tensor(shown_parts(rng, count, len(observed), s.hide), device=device)
        given = shown.expand(length, -1, -1)
    whole = torch.as_tensor(sequences.whole, device=device)[:, None]
    held = torch.where(whole, network.before(count), network.before(count, whole=False))
    noise = network.noise(rng, length, count) if network.z_width else None
    actions = network.action_features(sequences.actions)
    run = network.run(network.embed(observed, given), actions, held, noise)
    return run, observed, torch.as_tensor(sequences.known, device=device)


def sequence_loss(
    network: LatentNetwork, sequences: Sequences, rng: np.random.Generator
) -> tuple[Tensor, dict[str, Tensor], Run, Tensor]:
    """Returns (nats a step to be lowered, its parts, the run, `[L, B]` where there are rows).

    The first observation of a sequence is given, not predicted, as in the code length.
    """
    run, observed, known = run_sequences(network, sequences, rng)
    device = known.device
    later, steps = known[1:], known[1:].sum().clamp(min=1.0)

    def mean(nats: Tensor) -> Tensor:
        return (nats * later).sum() / steps

    z = None if run.z is None else run.z[1:]
    rewards = torch.as_tensor(sequences.rewards, device=device)[1:]
    ended = torch.as_tensor(sequences.ended, device=device)[1:]
    parts = {
        "observation_nats": -mean(network.observed_log_prob(run.foreseen[1:], z, [one[1:] for one in observed])),
        "reward_nats": mean(network.reward_loss(run.features[1:], rewards)),
        "ending_nats": -mean(network.ending_log_prob(run.features[1:], ended)),
    }
    loss = torch.stack(list(parts.values())).sum()
    if run.posterior is not None and run.prior is not None:
        q, p = run.posterior[1:], run.prior[1:]
        of_prior, of_posterior, free = network.settings.weights
        dynamics = mean(network.divergence(q.detach(), p).clamp(min=free))
        representation = mean(network.divergence(q, p.detach()).clamp(min=free))
        loss = loss + of_prior * dynamics + of_posterior * representation
        parts["divergence_nats"] = dynamics
    return loss, parts, run, known


class Training:
    """The optimiser of a network, and its steps.

    Args:
        network: what is learned.
        settings: see `LatentSettings`.
    """

    def __init__(self, network: LatentNetwork, settings: LatentSettings) -> None:
        self.network, self.settings = network, settings
        weights = [parameter for parameter in network.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.Adam(weights, settings.learning_rate, betas=(0.9, 0.99), eps=1e-8)
        self.weights = weights

    def step(
        self, sequences: Sequences, rng: np.random.Generator, share: float, number: int
    ) -> tuple[dict[str, float], Run, Tensor]:
        """Takes one step with `share` of the learning rate; returns nats a step by part, the run, where rows are.

        Raises:
            DivergenceError: a gradient is not finite; nothing has changed then.
        """
        loss, parts, run, known = sequence_loss(self.network, sequences, rng)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self.weights, self.settings.max_grad_norm)
        require_finite_gradients(float(norm), float(loss.detach()), self.network.named_parameters(), number, "latent")
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate * share
        self.optimizer.step()
        return {name: float(value.detach()) for name, value in parts.items()}, run, known


def stored(arrays: Any) -> np.ndarray:
    """Returns a tensor as a NumPy array."""
    return np.asarray(arrays.detach().cpu().numpy())
