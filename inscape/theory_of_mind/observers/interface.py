"""What every observer has in common, whatever it computes with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inscape.errors import UsageError
from inscape.theory_of_mind.controllers import Array
from inscape.theory_of_mind.minds import Mind

if TYPE_CHECKING:
    from inscape.envs.data.trajectory import Trajectory
    from inscape.envs.law.states import States


class ImpossibleEvidenceError(UsageError):
    """What was seen cannot happen under any mind: never a silent return to the prior."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """What an observer expects of an agent in one state.

    Attributes:
        action_probs: `[A]` distribution over the next action.
        state_probs: `[H + 1, S]` distribution over the state after h = 0 … H further steps, numbered as in
            `world.dynamics().states`, or as in `states`. A mind that has arrived stays where it is.
        states: the S states that sampled futures came to, of an observer that does not number them all; else None.
    """

    action_probs: NDArray[np.float64]
    state_probs: NDArray[np.float64]
    states: States | None = None


@runtime_checkable
class ObserverProtocol(Protocol):
    """Beliefs about which of G minds acts, updated by what the agent is seen to do.

    `ExactObserver`, which users import as `Observer`, is the one that enumerates. Another one (particles, a network)
    has the same methods.

    Attributes:
        minds: the G hypotheses.
    """

    minds: tuple[Mind, ...]

    def reset(self) -> None:
        """Forgets all evidence: the posterior is the prior again."""
        ...

    def update(self, state: Any, action: int | str | None = None, next_state: Any = None) -> Array:
        """Takes in one step and returns the posterior, `[G]`.

        Args:
            state: where the agent was.
            action: what it did; None: that was not seen.
            next_state: where that led; None: the next call says it.

        Raises:
            ImpossibleEvidenceError: this cannot happen under any mind, or in the world; the observer is left as it was.
        """
        ...

    def posterior(self) -> Array:
        """Returns `[G]` P(mind | all that was observed)."""
        ...

    def log_posterior(self) -> Array:
        """Returns `[G]` log P(mind | all that was observed)."""
        ...

    def marginal(self, f: str | Callable[[Mind], Any]) -> dict[Any, Any]:
        """Returns the posterior of a feature of the minds (a function, or an attribute's name): `{value: P}`."""
        ...

    def expect(self, f: Callable[[Mind], ArrayLike]) -> Any:
        """Returns the posterior mean of a number or an array f(mind)."""
        ...

    def predict(self, state: Any, horizon: int = 1) -> Prediction:
        """Returns what the agent will do next in `state`, and where it will be up to `horizon` steps later."""
        ...

    def action_log_probs(self, states: Any) -> Array:
        """Returns log P(next action | what was observed): `[A]` for one state, `[B, A]` for a batch."""
        ...

    def bits_per_action(self, trajectory: Trajectory) -> Array:
        """Returns `[T]` −log₂ P(action | all before it), in bits; the observer stays as it is."""
        ...
