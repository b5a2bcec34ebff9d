"""Representation, dynamics and prediction in torch: what gradient steps are taken on. `inference.py` reads it.

A latent state is a row of D numbers of mean 0 and deviation 1. With chance codes an action leads to an afterstate,
which says how probable each code is; the afterstate and a code lead to the next state. Which code it was is read, while
learning, from what was observed next.

Sources: Schrittwieser et al. (2020), Nature 588; afterstates and codes: Antonoglou et al. (2022), "Planning in
stochastic environments with a learned model", ICLR; consistency: Ye et al. (2021), "Mastering Atari games with limited
data", NeurIPS.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from inscape.world_models.learned.muzero.settings import MuZeroModelSettings
from inscape.world_models.networks.encoders.encoder import ObservationEncoder
from inscape.world_models.networks.encoders.features import picture_layout
from inscape.world_models.networks.modules import PictureRows, linear, perceptron, pixel_network

GAIN = 2**0.5


class Unrolled(NamedTuple):
    """What a step of the model gives.

    Attributes:
        latent: `[B, D]` the next state.
        reward: `[B, 2·support + 1]` logits.
        going: `[B]` logit of the task going on.
        codes: `[B, C]` logits of the chance codes, by the action alone; None without codes.
        seen: `[B, C]` logits of the codes by what was observed next; None without codes.
    """

    latent: Tensor
    reward: Tensor
    going: Tensor
    codes: Tensor | None
    seen: Tensor | None


def standardised(x: Tensor) -> Tensor:
    """Returns rows of mean 0 and deviation 1."""
    return functional.layer_norm(x, x.shape[-1:])


class MuZeroNetwork(nn.Module):
    """The networks.

    Args:
        observation_space: Discrete, MultiDiscrete, MultiBinary, Box, or several such parts.
        actions: A.
        settings: see `MuZeroModelSettings`.
        generator: of the first weights. Heads begin at 0.
    """

    def __init__(
        self, observation_space: Any, actions: int, settings: MuZeroModelSettings, generator: torch.Generator
    ) -> None:
        super().__init__()
        s, D, W = settings, settings.latent, settings.width
        self.settings, self.actions = s, actions
        bins = 2 * s.support + 1
        picture = picture_layout(observation_space)
        self.encoder = ObservationEncoder(observation_space, s.normalize and picture is None)
        self.representation: nn.Module
        if picture is None:
            self.representation = perceptron((self.encoder.width, W, D), "relu", 1.0, generator)
        else:
            channels, height, width = picture[0]
            layers = pixel_network(channels, height, width, (W,), D, generator)
            self.representation = nn.Sequential(PictureRows(*picture), *layers)
        made = actions if not s.codes else s.codes
        self.transition = linear(D + made, W, GAIN, generator)
        self.following = linear(W, D, 1.0, generator)
        self.reward = linear(W, bins, 0.0, generator)
        self.going = linear(W, 1, 0.0, generator)
        if s.codes:
            self.afterstate = linear(D + actions, W, GAIN, generator)
            self.after = linear(W, D, 1.0, generator)
            self.code = linear(W, s.codes, 0.0, generator)
            self.reading = perceptron((2 * D, W, s.codes), "relu", 1.0, generator)
        self.trunk = linear(D, W, GAIN, generator)
        self.policy = linear(W, actions, 0.0, generator)
        self.value = linear(W, bins, 0.0, generator)
        self.projection = perceptron((D, W, D), "relu", 1.0, generator)

    def represent(self, observations: Any) -> Tensor:
        """Returns `[B, D]` latent states of `[B, ...]` observations."""
        return standardised(self.representation(self.encoder(observations)))

    def predict(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """Returns logits of the policy `[..., A]` and of the value's classes `[..., 2·support + 1]`."""
        hidden = self.trunk(latent).relu()
        return self.policy(hidden), self.value(hidden)

    def unroll(self, latent: Tensor, action: Tensor, reached: Tensor | None) -> Unrolled:
        """Returns a step from latent states.

        Args:
            latent: `[B, D]`.
            action: `[B, A]` one-hot.
            reached: with codes, `[B, D]` latent state of what was observed next.
        """
        codes = seen = None
        if self.settings.codes:
            assert reached is not None
            hidden = self.afterstate(torch.cat([latent, action], -1)).relu()
            codes = self.code(hidden)
            latent = standardised(latent + self.after(hidden))
            seen = self.reading(torch.cat([latent, reached], -1))
            soft = seen.softmax(-1)
            hard = functional.one_hot(soft.argmax(-1), self.settings.codes).to(soft.dtype)
            action = hard + soft - soft.detach()  # straight through: Bengio et al. (2013), arXiv:1308.3432
        hidden = self.transition(torch.cat([latent, action], -1)).relu()
        following = standardised(latent + self.following(hidden))
        return Unrolled(following, self.reward(hidden), self.going(hidden)[..., 0], codes, seen)

    def dissimilarity(self, latent: Tensor, reached: Tensor) -> Tensor:
        """Returns `[...]` 1 − cosine of what a state foresaw and what was observed, which takes no gradient."""
        return 1 - functional.cosine_similarity(self.projection(latent), reached.detach(), -1)

    @staticmethod
    def sameness(latent: Tensor) -> Tensor:
        """Returns how far the deviations of numbers of `[B, D]` states over the batch fall short of a half, on average.

        Without it all observations may come to have one state, which is foreseen perfectly. Source: Bardes, Ponce &
        LeCun (2022), "VICReg", ICLR, equation 1.
        """
        return (0.5 - (latent.var(0, unbiased=False) + 1e-4).sqrt()).relu().mean()
