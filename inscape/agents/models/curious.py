"""A model that pays for what it does not know: planning in it is exploring.

Source: model disagreement as the reward of exploration: Sekar et al. (2020), "Planning to explore via self-supervised
world models", ICML; expected information gain of counts: Storck, Hochreiter & Schmidhuber (1995), ICANN.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from inscape.world_models.interface import ModelStep, as_numpy, require

if TYPE_CHECKING:
    from inscape.world_models.tabular.model import TabularModel

_HIDDEN = ("tabular", "outcomes", "sample_model", "log_prob", "learn")
"""Methods of a model that would answer with its own rewards."""


class CuriousModel:
    """A model whose reward is its own disagreement; otherwise the same.

    Args:
        model: has `disagreement(states, actions)`.
    """

    def __init__(self, model: Any) -> None:
        require(model, "disagreement", "disagreement-seeking exploration")
        self.model = model

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "model" or name in _HIDDEN:
            raise AttributeError(name)
        return getattr(self.model, name)

    def step(self, states: Any, actions: Any, rng: np.random.Generator) -> ModelStep:
        """Returns the model's step, paid by what it would teach."""
        found: ModelStep = self.model.step(states, actions, rng)
        reward = np.asarray(as_numpy(self.model.disagreement(states, actions)), np.float64)
        return dataclasses.replace(found, reward=reward)


def curious_table(model: Any) -> TabularModel:
    """Returns the tables of a model with its disagreement in place of rewards; where it takes a state for an end, 0."""
    table: TabularModel = model.tabular()
    states, actions = np.divmod(np.arange(table.num_states * table.num_actions), table.num_actions)
    gain = np.asarray(model.disagreement(states, actions), np.float64).reshape(table.num_states, table.num_actions)
    gain = np.where(table.terminal[:, None], 0.0, gain)
    return dataclasses.replace(table, reward=np.broadcast_to(gain[:, :, None], table.reward.shape).copy())
