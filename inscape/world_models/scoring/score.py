"""One call that scores a learned model the two ways every model is scored: bits and regret."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from inscape.errors import MissingLawError, PartialObservationError
from inscape.world_models.scoring.code_length import CodeLength, bits
from inscape.world_models.scoring.exact import ExactBits, Regret, exact_bits, regret

if TYPE_CHECKING:
    from inscape.envs.data.trajectory import Trajectory


@dataclass(frozen=True)
class ModelScore:
    """How good a learned model is.

    Attributes:
        held_out: code length of the episodes given.
        exact: what it wastes against the true law; None where the law cannot be enumerated, hides its state, or the
            model's predictions are not of one step.
        regret: what planning in it loses; None likewise, or where the model has no tables and no planner was given.
    """

    held_out: CodeLength
    exact: ExactBits | None
    regret: Regret | None

    def __str__(self) -> str:
        return "; ".join(str(part) for part in (self.held_out, self.exact, self.regret) if part is not None)


def score_model(
    model: Any, world: Any, episodes: Iterable[Trajectory], gamma: float | None = None, planner: Any = None
) -> ModelScore:
    """Returns held-out code length, exact excess bits and exact regret of a model, those that there are.

        model = LearnedTabularModel.for_task("FrozenLake")
        fit_model(model, rollout("random", "FrozenLake", episodes=200, seed=1))
        print(score_model(model, "FrozenLake", rollout("random", "FrozenLake", episodes=50, seed=2)))

    Args:
        model: a learned model with `log_prob`.
        world: the truth: a world, its class or name.
        episodes: episodes that it has not learned from.
        gamma: discount of the regret; None for the world's.
        planner: what to plan with in a model without `tabular()`.

    Raises:
        UsageError: as `bits`.
    """
    held_out = bits(model, episodes)
    exact: ExactBits | None = None
    lost: Regret | None = None
    try:
        if callable(getattr(model, "transition_log_probs", None)):
            exact = exact_bits(model, world)
        if planner is not None or callable(getattr(model, "tabular", None)):
            lost = regret(model, world, gamma, planner)
    except (MissingLawError, PartialObservationError):  # the truth is no table: held-out bits are all there is
        pass
    return ModelScore(held_out, exact, lost)
