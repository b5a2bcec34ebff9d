"""The networks of the latent model: encoder, recurrent state, decoder, heads; and the sequences they run over.

Two forms of one model. Without feedback (Hafner et al. 2019) a state is (h, z), h = f(h, z, a before), z ~ p(z | h),
and everything is predicted from (h, z). With feedback (Chung et al. 2015) a state is h = f(h, o, z, a before), and the
next observation is predicted from (h, a) and z. Without stochastic variables only the second carries what is observed.

Sources: Hafner et al. (2019), "Learning latent dynamics for planning from pixels", ICML, equation 4; Chung et al.
(2015), "A recurrent latent variable model for sequential data", NeurIPS, equations 5 to 9; categorical variables with
straight-through gradients: Hafner et al. (2021), "Mastering Atari with discrete world models", ICLR.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn
from torch.nn import functional

from inscape.errors import UsageError
from inscape.world_models.learned.latent.parts import Numbers, Parts, perceptron
from inscape.world_models.learned.latent.pictures import PictureDrawer, PictureReader
from inscape.world_models.learned.latent.scales import BINS, two_hot_loss, two_hot_mean
from inscape.world_models.learned.latent.settings import LatentSettings
from inscape.world_models.networks.modules import linear
from inscape.world_models.networks.numpy_distributions import half_range

UNIFORM = 0.01
"""Share of the uniform distribution in every categorical variable, so that no divergence is infinite."""


class Cell(nn.Module):
    """The deterministic path: a gated recurrent unit (Cho et al. 2014), or a linear map."""

    def __init__(self, kind: str, inputs: int, width: int, generator: torch.Generator) -> None:
        super().__init__()
        self.kind = kind
        if kind == "linear":
            self.map = linear(inputs + width, width, 1.0, generator)
            with torch.no_grad():
                self.map.weight.mul_(0.5)
            return
        with torch.random.fork_rng(devices=[]):  # its own start, replaced below, draws from torch's global generator
            self.gru = nn.GRU(inputs, width)
        named = dict(self.gru.named_parameters())
        for name, size in (("weight_ih_l0", inputs), ("weight_hh_l0", width)):
            for part in named[name].detach().chunk(3):
                part.copy_(linear(size, width, 1.0, generator).weight.detach())
        nn.init.zeros_(named["bias_ih_l0"])
        nn.init.zeros_(named["bias_hh_l0"])

    def forward(self, inputs: Tensor, held: Tensor) -> Tensor:
        """Returns `[B, width]` after one step."""
        if self.kind == "linear":
            after: Tensor = self.map(torch.cat([inputs, held], -1))
            return after
        g: Any = self.gru
        return torch.gru_cell(inputs, held, g.weight_ih_l0, g.weight_hh_l0, g.bias_ih_l0, g.bias_hh_l0)

    def over(self, inputs: Tensor, held: Tensor) -> Tensor:
        """Returns `[L, B, width]` after each of L steps."""
        if self.kind == "gru":
            found: Tensor = self.gru(inputs, held[None].contiguous())[0]
            return found
        rows = []
        for row in inputs:
            held = self(row, held)
            rows.append(held)
        return torch.stack(rows)


@dataclass
class Run:
    """A network run over L observations of B sequences; time first.

    Attributes:
        features: `[L, B, F]` the states after each observation.
        foreseen: `[L, B, H]` what was held before it, with the action: what it is predicted from beside z.
        z: `[L, B, Z]` stochastic variables, drawn from the posterior; None without.
        posterior, prior: `[L, B, W]` their parameters.
    """

    features: Tensor
    foreseen: Tensor
    z: Tensor | None
    posterior: Tensor | None
    prior: Tensor | None


class LatentNetwork(nn.Module):
    """All that is learned. See the module's docstring for the two forms.

    Args:
        observation_space, action_space: of the task.
        settings: see `LatentSettings`.
        generator: of the first weights.
    """

    action_half: Tensor
    action_centre: Tensor

    def __init__(
        self, observation_space: spaces.Space[Any], action_space: spaces.Space[Any], settings: LatentSettings,
        generator: torch.Generator,
    ) -> None:  # fmt: skip
        super().__init__()
        s = self.settings = settings
        self.parts = Parts(observation_space, s)
        self._hold_actions(action_space)
        self.z_width = s.stochastic * (s.classes or 1)
        self.stats = s.stochastic * (s.classes or 2)
        self.feedback = s.reads_observations
        embed = s.width
        self.encoders = nn.ModuleList(
            PictureReader(picture, embed, generator)
            if picture is not None and isinstance(part, Numbers)
            else perceptron(int(part.inputs), embed, s, generator)  # type: ignore[arg-type]
            for part, picture in zip(self.parts.each, self.parts.pictures, strict=True)
        )
        several = len(self.parts.each) > 1
        self.missing = nn.Parameter(torch.zeros(len(self.parts.each), embed), several)
        self.initial = nn.Parameter(torch.zeros(2, s.recurrent))
        reads = self.z_width + self.actions + (embed if self.feedback else 0)
        self.cell = Cell(s.cell, max(1, reads), s.recurrent, generator)
        self.feature = s.recurrent + (0 if self.feedback else self.z_width)
        if self.feedback:
            self.foresee = perceptron(s.recurrent + self.actions, s.recurrent, s, generator)
        if self.z_width:
            self.prior = perceptron(s.recurrent, self.stats, s, generator, 0.1)
            self.posterior = perceptron(s.recurrent + embed, self.stats, s, generator, 0.1)
        self.decoders = nn.ModuleList(
            PictureDrawer(picture, s.recurrent + self.z_width, generator)
            if picture is not None and isinstance(part, Numbers) and part.noise != "state"
            else perceptron(s.recurrent + self.z_width, int(part.width), s, generator)  # type: ignore[arg-type]
            for part, picture in zip(self.parts.each, self.parts.pictures, strict=True)
        )
        self.reward = perceptron(self.feature, BINS if s.reward_head == "twohot" else 1, s, generator, 0.0)
        self.goes_on = perceptron(self.feature, 1, s, generator, 0.1)

    # ----------------------------------------------------------------------------------------------------- actions

    def _hold_actions(self, space: spaces.Space[Any]) -> None:
        self.action_sizes: list[int] = []
        self.action_low = np.zeros(1, np.int64)
        centre, half = np.zeros(1), np.ones(1)
        if isinstance(space, spaces.Discrete):
            self.action_sizes, self.action_low = [int(space.n)], np.array([space.start])
        elif isinstance(space, spaces.MultiDiscrete):
            self.action_sizes = [int(n) for n in space.nvec.ravel()]
            self.action_low = space.start.ravel()
        elif isinstance(space, spaces.MultiBinary):
            self.action_sizes = [2] * int(np.prod(space.shape))
            self.action_low = np.zeros(len(self.action_sizes), np.int64)
        elif isinstance(space, spaces.Box) and space.dtype.kind == "f":
            centre, half = (array.ravel() for array in half_range(space))
        else:
            raise UsageError(f"actions {space}", expected="Discrete, MultiDiscrete, MultiBinary, or a Box of floats")
        shown = [n if n > 1 else 0 for n in self.action_sizes]
        self.actions = sum(shown) if self.action_sizes else len(half)
        self.register_buffer("action_centre", torch.as_tensor(centre, dtype=torch.float32), persistent=False)
        self.register_buffer("action_half", torch.as_tensor(half, dtype=torch.float32), persistent=False)

    @property
    def action_rows(self) -> int:
        """Numbers of an action as it is stored."""
        return len(self.action_sizes) or len(self.action_half)

    def action_features(self, actions: Any) -> Tensor:
        """Returns `[..., actions]` of `[..., action_rows]` actions: one-hot; continuous ones scaled to [−1, 1]."""
        device = self.action_half.device
        if not self.action_sizes:
            return (
                torch.as_tensor(actions, dtype=torch.float32, device=device) - self.action_centre
            ) / self.action_half
        rows = torch.as_tensor(np.asarray(actions, np.int64) - self.action_low, device=device)
        columns = [
            functional.one_hot(rows[..., k].clamp(0, n - 1), n) for k, n in enumerate(self.action_sizes) if n > 1
        ]
        if not columns:
            return torch.zeros(*rows.shape[:-1], 0, device=device)
        return torch.cat(columns, -1).to(torch.float32)

    # --------------------------------------------------------------------------------------------------- observing

    def embed(self, observed: list[Tensor], given: Tensor | None = None) -> Tensor:
        """Returns `[..., width]` of the parts `[..., size]`, those summed that are given.

        Args:
            observed: each part on its scale.
            given: `[..., P]` 1 where a part is seen, 0 where it is hidden; None: all are seen.
        """
        found = [
            encoder(part.features(values))  # type: ignore[operator]
            for encoder, part, values in zip(self.encoders, self.parts.each, observed, strict=True)
        ]
        if given is not None:
            found = [
                given[..., k : k + 1] * one + (1 - given[..., k : k + 1]) * self.missing[k]
                for k, one in enumerate(found)
            ]
        return torch.stack(found).sum(0) if len(found) > 1 else found[0]

    def drawn(self, stats: Tensor, noise: Tensor | None) -> Tensor:
        """Returns `[..., Z]` variables; differentiable, of categorical ones straight through.

        Args:
            stats: `[..., W]` parameters.
            noise: `[..., Z]`: standard normal, or Gumbel; None for means and likeliest classes.
        """
        s = self.settings
        if not s.classes:
            mean, std = self.normal(stats)
            return mean if noise is None else mean + std * noise
        logits = self.log_probs(stats)
        best = (logits if noise is None else logits + noise.reshape(logits.shape)).argmax(-1)
        hard = functional.one_hot(best, s.classes).to(logits.dtype)
        probs = logits.exp()
        return (hard + probs - probs.detach()).flatten(-2)

    def normal(self, stats: Tensor) -> tuple[Tensor, Tensor]:
        """Returns mean and deviation of Gaussian variables."""
        mean, raw = stats.chunk(2, -1)
        return mean, functional.softplus(raw + 0.5) + self.settings.min_std

    def log_probs(self, stats: Tensor) -> Tensor:
        """Returns `[..., S, C]` log-probabilities of categorical variables."""
        probs = stats.reshape(*stats.shape[:-1], self.settings.stochastic, self.settings.classes).softmax(-1)
        return ((1 - UNIFORM) * probs + UNIFORM / self.settings.classes).log()

    def density(self, stats: Tensor, z: Tensor) -> Tensor:
        """Returns `[...]` log-density, or log-probability, of variables."""
        if not self.settings.classes:
            mean, std = self.normal(stats)
            return (-0.5 * ((z - mean) / std) ** 2 - std.log() - 0.5 * math.log(2 * math.pi)).sum(-1)
        logits = self.log_probs(stats)
        return (logits * z.reshape(logits.shape)).sum((-1, -2))

    def divergence(self, q: Tensor, p: Tensor) -> Tensor:
        """Returns `[...]` KL(q ‖ p) in nats of the distributions with these parameters."""
        if not self.settings.classes:
            (mean, std), (other, wide) = self.normal(q), self.normal(p)
            apart = ((mean - other) ** 2 + std**2) / (2 * wide**2)
            return ((wide / std).log() + apart - 0.5).sum(-1)
        own, theirs = self.log_probs(q), self.log_probs(p)
        return (own.exp() * (own - theirs)).sum((-1, -2))

    def noise(self, rng: np.random.Generator, *shape: int) -> Tensor:
        """Returns `[*shape, Z]` what `drawn` takes."""
        size = (*shape, self.z_width)
        made = rng.gumbel(size=size) if self.settings.classes else rng.standard_normal(size)
        return torch.as_tensor(made, dtype=torch.float32, device=self.action_half.device)

    # ----------------------------------------------------------------------------------------------------- running

    def before(self, count: int, whole: bool = True) -> Tensor:
        """Returns `[B, H]` what is held before the first observation: of an episode, or else of a part of one."""
        return self.initial[int(not whole)].expand(count, -1)

    def ahead(self, features: Tensor, actions: Tensor) -> Tensor:
        """Returns `[B, H]` what the next observation is predicted from, beside z, after `[B, A]` actions."""
        if self.feedback:
            foreseen: Tensor = self.foresee(torch.cat([features, actions], -1))
            return foreseen
        held, z = torch.split(features, [self.settings.recurrent, self.z_width], -1)
        after: Tensor = self.cell(torch.cat([z, actions], -1), held)
        return after

    def arrived(
        self, features: Tensor | None, foreseen: Tensor, z: Tensor | None, embedded: Tensor | None, actions: Tensor
    ) -> Tensor:
        """Returns `[B, F]` the state once z, and with feedback the observation, are known."""
        if not self.feedback:
            assert z is not None
            return torch.cat([foreseen, z], -1)
        assert embedded is not None and features is not None
        columns = [embedded, *([] if z is None else [z]), actions]
        after: Tensor = self.cell(torch.cat(columns, -1), features)
        return after

    def first_ahead(self, held: Tensor) -> Tensor:
        """Returns `[B, H]` what the first observation is met with."""
        if not self.feedback:
            return held
        return self.ahead(held, torch.zeros(len(held), self.actions, device=held.device))

    def run(self, embedded: Tensor, actions: Tensor, held: Tensor, noise: Tensor | None) -> Run:
        """Runs over sequences, drawing z from the posterior.

        Args:
            embedded: `[L, B, width]` observations.
            actions: `[L, B, A]`, row t the one before observation t; the first is not read.
            held: `[B, H]`, see `before`.
            noise: `[L, B, Z]`; None for means.
        """
        zero = torch.cat([torch.zeros_like(actions[:1]), actions[1:]])
        if not self.z_width:
            features = self.cell.over(torch.cat([embedded, zero], -1), held)
            earlier = torch.cat([held[None], features[:-1]])
            return Run(features, self.foresee(torch.cat([earlier, zero], -1)), None, None, None)
        kept, foreseen, drawn, stats = [], [], [], []
        features = held
        for t in range(len(embedded)):
            if t:
                ahead = self.ahead(features, zero[t])
            else:
                ahead = self.first_ahead(held)
            posterior = self.posterior(torch.cat([ahead, embedded[t]], -1))
            z = self.drawn(posterior, None if noise is None else noise[t])
            features = self.arrived(features, ahead, z, embedded[t], zero[t])
            kept.append(features)
            foreseen.append(ahead)
            drawn.append(z)
            stats.append(posterior)
        together = torch.stack(foreseen)
        return Run(torch.stack(kept), together, torch.stack(drawn), torch.stack(stats), self.prior(together))

    # ------------------------------------------------------------------------------------------------- predicting

    def decoded(self, foreseen: Tensor, z: Tensor | None) -> list[Tensor]:
        """Returns what each part's distribution takes, of the observation."""
        states = foreseen if z is None else torch.cat([foreseen, z], -1)
        return [decoder(states) for decoder in self.decoders]

    def observed_log_prob(self, foreseen: Tensor, z: Tensor | None, observed: list[Tensor]) -> Tensor:
        """Returns `[...]` log P(observation | state), on the scale of each part."""
        found = [
            part.log_prob(raw, values)  # type: ignore[operator]
            for part, raw, values in zip(self.parts.each, self.decoded(foreseen, z), observed, strict=True)
        ]
        return found[0] if len(found) == 1 else torch.stack(found).sum(0)

    def reward_loss(self, features: Tensor, rewards: Tensor) -> Tensor:
        """Returns `[...]` nats, but for a constant."""
        raw: Tensor = self.reward(features)
        if self.settings.reward_head == "twohot":
            return two_hot_loss(raw, rewards)
        return 0.5 * (raw[..., 0] - rewards) ** 2

    def reward_mean(self, features: Tensor) -> Tensor:
        """Returns `[...]` rewards to be expected on the way into these states."""
        raw: Tensor = self.reward(features)
        return two_hot_mean(raw) if self.settings.reward_head == "twohot" else raw[..., 0]

    def ending_log_prob(self, features: Tensor, ended: Tensor) -> Tensor:
        """Returns `[...]` log P(the task has ended here, or not, as `ended` says)."""
        logits = self.goes_on(features)[..., 0]
        return functional.logsigmoid(torch.where(ended > 0, -logits, logits))

    def continuation(self, features: Tensor) -> Tensor:
        """Returns `[...]` the probability that the task goes on."""
        return torch.sigmoid(self.goes_on(features)[..., 0])
