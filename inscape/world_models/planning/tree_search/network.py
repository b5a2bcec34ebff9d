"""A perceptron that values states for a search: called as any `evaluate`, or compiled into a search of a law."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from inscape.errors import UsageError
from inscape.world_models.networks.blas import blas_threads
from inscape.world_models.networks.encoders.features import FeatureReader
from inscape.world_models.networks.kernels import perceptron

if TYPE_CHECKING:
    from inscape.envs.law.states import States
    from inscape.envs.world import World

ACTIVATIONS = {"tanh": perceptron.TANH, "relu": perceptron.RELU}
ROWS = 8
"""Rows of a product: always as many, so that what is said of a state does not depend on the batch."""


class PerceptronEvaluator:
    """Values and prior logits of states of a world, by a perceptron over what the player to move observes there.

    Its outputs are A logits and then the values of the M players, that of the player to move first, the one after it
    second, and so on. `PUCT` and `Gumbel` on the known law of `world` compile it into the search.

    Args:
        world: whose states are valued; observations of numbers (`FeatureReader`).
        layers: (weight `[outputs, inputs]`, bias `[outputs]`) of each layer; the last has A + M outputs.
        activation: between the layers.
        value_unit: what values are multiplied by.

    Raises:
        UsageError: the layers do not fit the world, or one another.
    """

    def __init__(
        self,
        world: World,
        layers: Sequence[tuple[Any, Any]],
        activation: Literal["tanh", "relu"] = "relu",
        value_unit: float = 1.0,
    ) -> None:
        self.world, self.reader = world, FeatureReader(world.observation_space)
        if activation not in ACTIVATIONS:
            raise UsageError(f"activation {activation!r}", expected="'tanh' or 'relu'")
        weights = [np.asarray(weight, np.float32) for weight, _ in layers]
        biases = [np.asarray(bias, np.float32) for _, bias in layers]
        sizes = [self.reader.width, *(len(bias) for bias in biases)]
        fit = [w.shape == (m, n) and b.shape == (m,) for w, b, n, m in zip(weights, biases, sizes, sizes[1:])]
        outputs = world.num_actions + world.players
        if not layers or not all(fit) or sizes[-1] != outputs:
            shapes = ", ".join(str(list(w.shape)) for w in weights)
            raise UsageError(
                f"layers with weights of shape {shapes or 'none'} for {world.name}",
                expected=f"{self.reader.width} inputs, each layer as wide as the next one takes, and {outputs} outputs "
                f"({world.num_actions} logits, {world.players} values)",
            )
        parameters = [part.reshape(-1) for pair in zip(weights, biases) for part in pair]
        self.network = (
            np.concatenate(parameters), np.array(sizes, np.int64), ACTIVATIONS[activation], float(value_unit)
        )  # fmt: skip

    def __call__(self, states: States) -> tuple[np.ndarray, np.ndarray]:
        """Returns values `[B]` (of M players `[B, M]`) and logits `[B, A]` of B states."""
        outputs = self.outputs(self.reader(self.world.observe(states))).astype(np.float64)
        actions, players = self.world.num_actions, self.world.players
        values = outputs[:, actions:] * self.network[3]
        if players == 1:
            return values[:, 0], outputs[:, :actions]
        movers = np.asarray(self.world.mover_of(states))
        place = (np.arange(players) - movers[:, None]) % players
        return np.take_along_axis(values, place, axis=1), outputs[:, :actions]

    def on(self, world: World) -> PerceptronEvaluator:
        """Returns the same network for another world, of the same observations, actions and players.

        Raises:
            UsageError: they are not the same.
        """
        mine, theirs = (
            (w.observation_space, w.num_actions, w.players) for w in (self.world, world)
        )  # fmt: skip
        if mine != theirs:
            raise UsageError(
                f"a network for {mine[1]} actions, {mine[2]} players and observations {mine[0]} in {world.name}",
                expected=f"{theirs[1]} actions, {theirs[2]} players and observations {theirs[0]}",
            )
        other = copy.copy(self)
        other.world = world
        return other

    @staticmethod
    def inputs(world: World) -> int:
        """Returns how many inputs a network for a world has."""
        return FeatureReader(world.observation_space).width

    def outputs(self, features: np.ndarray) -> np.ndarray:
        """Returns `[B, A + M]` float32 outputs for features `[B, D]`."""
        parameters, sizes, activation, _ = self.network
        found = np.empty((len(features), int(sizes[-1])), np.float32)
        memory = np.empty(ROWS * int(sizes[1:].sum()), np.float32)
        rows = np.zeros((ROWS, features.shape[1]), np.float32)
        with blas_threads(1):
            for start in range(0, len(features), ROWS):
                part = features[start : start + ROWS]
                rows[: len(part)] = part
                found[start : start + ROWS] = perceptron.forward(parameters, sizes, activation, rows, memory)[
                    : len(part)
                ]
        return found
