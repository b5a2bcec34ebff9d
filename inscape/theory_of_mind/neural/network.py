"""The observing network: character, mental state, prediction."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from inscape.world_models.networks.modules import perceptron


class ObservingNetwork(nn.Module):
    """P(next action | past episodes, this episode so far, state), and P(kind of mind | the same).

    - character: e = Σ over past episodes of h + f(h), h = Σ_t φ(sₜ, aₜ);
    - mental state: m_t = Σ_{τ<t} ψ(s_τ, a_τ) + a gated recurrent unit over the same steps;
    - prediction: a perceptron of (embedding of the state now, e, m).

    For minds that remember nothing, sums over steps are all there is to know: log P(actions | mind) is one.

    Args:
        states, actions: S and A.
        kinds: K.
        width: of embeddings and hidden layers.
        seed: of the initial weights.

    Source: Rabinowitz, Perbet, Song, Zhang, Eslami & Botvinick (2018), "Machine Theory of Mind", ICML, section 2 and
        appendix A; sums as functions of sets: Zaheer et al. (2017), "Deep Sets", NeurIPS, theorem 2.
    """

    def __init__(self, states: int, actions: int, kinds: int, width: int, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.actions = actions

        def table(rows: int, scale: float) -> nn.Embedding:
            return nn.Embedding(rows, width, _weight=scale * torch.randn(rows, width, generator=generator))

        self.character_steps = table(states * actions, 0.1)
        self.mental_steps = table(states * actions, 0.1)
        self.places = table(states, 0.5)
        self.character = perceptron((width, width, width), "relu", 0.5, generator)
        self.recurrent = nn.GRU(width, width, batch_first=True)
        with torch.no_grad():
            for weight in self.recurrent.parameters():
                weight.copy_((torch.rand(weight.shape, generator=generator) - 0.5) * 2 / width**0.5)
        self.mind = perceptron((2 * width, 2 * width, width), "relu", 1.0, generator)
        self.predict = perceptron((2 * width, 2 * width, 2 * width, actions), "relu", 0.1, generator)
        self.kind = perceptron((width, width, kinds), "relu", 0.1, generator)

    def characters(self, states: Tensor, actions: Tensor, acting: Tensor) -> Tensor:
        """Returns `[N, D]` of past episodes `[N, E, T]`; steps and episodes that are not `acting` count nothing."""
        steps = self.character_steps(states * self.actions + actions) * acting[..., None]
        episodes = steps.sum(dim=2)
        each: Tensor = episodes + self.character(episodes) * acting.any(dim=2)[..., None]
        return each.sum(dim=1)

    def minds(self, character: Tensor, states: Tensor, actions: Tensor, acting: Tensor) -> Tensor:
        """Returns `[N, T + 1, D]` what is held of minds before each step of this episode `[N, T]`, and after it."""
        steps = self.mental_steps(states * self.actions + actions) * acting[..., None]
        first = torch.zeros_like(character)[:, None]
        sums = torch.cat([first, steps.cumsum(dim=1)], dim=1)
        mental = sums + torch.cat([first, self.recurrent(steps)[0]], dim=1) if states.shape[1] else sums
        both = torch.cat([character[:, None].expand_as(mental), mental], dim=-1)
        return self.mind(both)  # type: ignore[no-any-return]

    def action_logits(self, minds: Tensor, states: Tensor) -> Tensor:
        """Returns `[..., A]` of minds `[..., D]` in states `[...]`, legal or not."""
        place = self.places(states)
        return self.predict(torch.cat([place * (1 + minds), minds], dim=-1))  # type: ignore[no-any-return]

    def kind_logits(self, minds: Tensor) -> Tensor:
        """Returns `[..., K]`."""
        return self.kind(minds)  # type: ignore[no-any-return]


def masked_log_probs(logits: Tensor, legal: Tensor) -> Any:
    """Returns log-probabilities over legal actions, `[..., A]`; −inf elsewhere."""
    return torch.log_softmax(logits.masked_fill(~legal, -torch.inf), dim=-1)
