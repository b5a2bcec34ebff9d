"""The networks without gradients, in NumPy on the same weights: a search asks for few rows at a time, very often, and
in a tensor library the calls would cost more than the arithmetic."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from inscape.world_models.learned.muzero.network import MuZeroNetwork
from inscape.world_models.learned.muzero.supports import class_mean

Array = np.ndarray


def standardised(x: Array) -> Array:
    """Returns rows of mean 0 and deviation 1, as torch's layer_norm does."""
    x = x - x.mean(axis=-1, keepdims=True)
    x /= np.sqrt(np.einsum("bd,bd->b", x, x) / x.shape[-1] + 1e-5)[:, None]
    return x


class Inference:
    """Reads a network on the CPU; weights are shared with it, so that gradient steps are seen at once.

    Args:
        network: whose weights are read.
    """

    def __init__(self, network: MuZeroNetwork) -> None:
        self.network, self.settings = network, network.settings
        self._layers: dict[str, tuple[Array, Array]] = {}
        self.refresh()

    def refresh(self) -> None:
        """Takes the weights anew, where tensors were replaced and not written into."""
        names = ["transition", "following", "reward", "going", "trunk", "policy", "value"]
        names += ["afterstate", "after", "code"] if self.settings.codes else []
        for name in names:
            layer: Any = getattr(self.network, name)
            self._layers[name] = layer.weight.detach().numpy().T, layer.bias.detach().numpy()

    def _apply(self, name: str, x: Array) -> Array:
        weight, bias = self._layers[name]
        out: Array = x @ weight
        out += bias
        return out

    def _chosen(self, name: str, x: Array, choice: Array) -> Array:
        """Returns a layer of `x` and a one-hot choice, after ReLU, without making the one-hot rows."""
        weight, bias = self._layers[name]
        width = x.shape[1]
        out: Array = x @ weight[:width]
        out += weight[width + choice]
        out += bias
        np.maximum(out, 0, out=out)
        return out

    def represent(self, observations: Any) -> Array:
        """Returns `[B, D]` float32 latent states of observations."""
        with torch.no_grad():
            return np.asarray(self.network.represent(observations).numpy())

    def predict(self, latent: Array) -> tuple[Array, Array]:
        """Returns the policy's logits `[B, A]` and values `[B]`, of whoever moves."""
        hidden = self._apply("trunk", latent)
        np.maximum(hidden, 0, out=hidden)
        return self._apply("policy", hidden), class_mean(self._apply("value", hidden), self.settings.support)

    def after(self, latent: Array, actions: Array) -> tuple[Array, Array]:
        """Returns afterstates `[B, D]` and the probabilities of the codes `[B, C]`."""
        hidden = self._chosen("afterstate", latent, actions)
        logits = self._apply("code", hidden).astype(np.float64)
        probability = np.exp(logits - logits.max(axis=1, keepdims=True))
        probability /= probability.sum(axis=1, keepdims=True)
        return standardised(latent + self._apply("after", hidden)), probability

    def follow(self, latent: Array, choice: Array) -> tuple[Array, Array, Array]:
        """Returns next states `[B, D]`, rewards `[B]` and probabilities of going on `[B]`.

        Args:
            latent: `[B, D]` states, or with codes afterstates.
            choice: `[B]` actions, or with codes codes.
        """
        hidden = self._chosen("transition", latent, choice)
        reward = class_mean(self._apply("reward", hidden), self.settings.support)
        going = 1 / (1 + np.exp(-self._apply("going", hidden)[:, 0].astype(np.float64)))
        return standardised(latent + self._apply("following", hidden)), reward, going
