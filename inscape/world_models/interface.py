"""What a world model is, and what a planner hands back. Batches first, randomness an argument."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from inscape.errors import UsageError

if TYPE_CHECKING:
    from inscape.envs.data.trajectory import Trajectory


@dataclass(frozen=True, eq=False)
class ModelStep:
    """One imagined step of a batch.

    Attributes:
        states: `B` successor model states, of the model's own kind.
        reward: `[B]` float64; `[B, M]` for M > 1 players.
        continuation: `[B]` float64 probability that the task goes on after this step (0: terminated). A planner
            multiplies `gamma * continuation`; truncation is never a model's output.
        legal: `[B, A]` bool, True where an action is legal in the successor.
    """

    states: Any
    reward: np.ndarray
    continuation: np.ndarray
    legal: np.ndarray


@dataclass(frozen=True)
class FitReport:
    """How well a model predicts, as code length: what it needs to write down what happened next.

    Attributes:
        transitions: transitions fitted in this call.
        states: distinct states known after it.
        state_actions: distinct (state, action) pairs tried after it.
        held_out_bits_per_step: mean −log₂ P(next observation, terminated | observation, action) over the last fifth of
            the new transitions, by the model fitted to all before them. NaN with fewer than five transitions.
        prequential_bits_per_step: the same mean over every new transition, each coded by the model fitted to those
            before it (Dawid 1984): includes the cost of learning.
        metrics: what else the model reports.
    """

    transitions: int
    states: int
    state_actions: int
    held_out_bits_per_step: float
    prequential_bits_per_step: float
    metrics: dict[str, float] = field(default_factory=dict)


@runtime_checkable
class WorldModel(Protocol):
    """Known, tabular or learned: what a planner simulates in.

    Model states are opaque: `len(states)` is B and `states[index]` selects, as with arrays. Optional strengths, found
    by name (see `require`):

    - `outcomes(states, actions) -> (probability [B, K], states of B·K rows, row b·K + k, reward [B, K] or [B, K, M],
      continuation [B, K])`: the exact law. A model with the method but not the means says so: `exact = False`.
    - `tabular() -> TabularModel`.
    - `terminal_of(states) -> [B] bool`.
    - `mover_of(states) -> [B] int`: whose turn it is, for several players.
    - `keys(states) -> list[bytes]`: equal states have equal keys; without it a search cannot share nodes.
    - `fit(trajectories) -> FitReport`; `log_prob(trajectory) -> float` in nats; `sample_model(rng)`.
    """

    num_actions: int
    num_players: int

    def init(self, observations: np.ndarray) -> Any:
        """Returns the model states in which `[B, ...]` observations are made."""
        ...

    def step(self, states: Any, actions: np.ndarray, rng: np.random.Generator) -> ModelStep:
        """Returns a sampled successor for each of B states under `[B]` actions."""
        ...

    def legal_of(self, states: Any) -> np.ndarray:
        """Returns `[B, A]` bool, True where the action is legal."""
        ...


def require(model: Any, strength: str, reader: str) -> Any:
    """Returns the method `strength` of `model`.

    Raises:
        UsageError: the model lacks it; the message names the reader, the model and what is missing.
    """
    method = getattr(model, strength, None)
    if not callable(method):
        have = [name for name in CAPABILITIES if callable(getattr(model, name, None))]
        raise UsageError(
            f"{reader} needs a model with {strength}(), and {type(model).__name__} has none",
            expected=f"a model with {strength}(); this one has: init, step, legal_of"
            + "".join(f", {name}" for name in have),
            hint="the known model of a world, or a learned tabular one, has every strength",
        )
    return method


CAPABILITIES = ("outcomes", "tabular", "terminal_of", "mover_of", "keys", "fit", "log_prob", "sample_model")


def total_log_prob(model: Any, trajectories: Sequence[Trajectory]) -> float:
    """Returns the summed log-probability of trajectories, in nats; −inf when one is impossible under the model."""
    log_prob = require(model, "log_prob", "scoring trajectories")
    return float(sum(log_prob(trajectory) for trajectory in trajectories))
