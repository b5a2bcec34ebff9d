"""Early stopping: at a return that is good enough, or when evaluations do not improve any more."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from inscape.errors import UsageError, whole_number
from inscape.experiments.numbers import number_text
from inscape.experiments.runs.callbacks import Callback

if TYPE_CHECKING:
    from inscape.experiments.runs.callbacks import Training

RETURN = "evaluation/return_mean"


class StopAt(Callback):
    """Stops training when an evaluation's mean return reaches a threshold: `train(…, stop_at=195)`.

    What Stable-Baselines3 calls `StopTrainingOnRewardThreshold`.

    Args:
        return_mean: the threshold, in reward units.

    Raises:
        UsageError: it is not a finite number.
    """

    def __init__(self, return_mean: float) -> None:
        self.return_mean = _finite("stop_at", return_mean)

    def on_start(self, training: Training) -> None:
        require_evaluations(training, "stop_at")

    def on_evaluation(self, training: Training, metrics: Mapping[str, float]) -> None:
        found = metrics[RETURN]
        if found >= self.return_mean:
            training.stop(f"evaluation return {number_text(found)} is at least {number_text(self.return_mean)}")


class StopOnPlateau(Callback):
    """Stops training after a number of evaluations in a row without a new best: `train(…, patience=5)`.

    What Stable-Baselines3 calls `StopTrainingOnNoModelImprovement`.

    Args:
        patience: how many evaluations in a row may be no better than the best before them.
        min_evaluations: evaluations before which it does not stop.
        min_improvement: by how much an evaluation is to be above the best, in reward units, to count as a new best.

    Raises:
        UsageError: a patience below 1, another number below 0, or one that is not finite.
    """

    def __init__(self, patience: int, min_evaluations: int = 0, min_improvement: float = 0.0) -> None:
        self.patience = whole_number("patience =", patience, 1)
        self.min_evaluations = whole_number("min_evaluations =", min_evaluations, 0)
        self.min_improvement = _finite("min_improvement", min_improvement)
        if self.min_improvement < 0:
            raise UsageError(f"min_improvement = {min_improvement!r}", expected="a number of at least 0")
        self.best, self.best_steps, self.evaluations, self.without = -math.inf, 0, 0, 0

    def on_start(self, training: Training) -> None:
        require_evaluations(training, "patience")

    def on_evaluation(self, training: Training, metrics: Mapping[str, float]) -> None:
        self.evaluations += 1
        found = metrics[RETURN]
        if found > self.best + self.min_improvement or (self.evaluations == 1 and math.isfinite(found)):
            self.best, self.best_steps, self.without = found, training.steps, 0
            return
        self.without += 1
        if self.without >= self.patience and self.evaluations >= self.min_evaluations:
            number = "one evaluation" if self.without == 1 else f"{self.without} evaluations in a row"
            best = f"the best, {number_text(self.best)} at step {self.best_steps:,}"
            training.stop(f"{number} without improvement on {best if math.isfinite(self.best) else 'no number'}")

    def state_dict(self) -> dict[str, Any]:
        return {
            "best": float(self.best), "best_steps": self.best_steps, "evaluations": self.evaluations,
            "without": self.without,
        }  # fmt: skip

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.best, self.best_steps = float(state["best"]), int(state["best_steps"])
        self.evaluations, self.without = int(state["evaluations"]), int(state["without"])


def require_evaluations(training: Training, name: str) -> None:
    """Raises `UsageError` where training is never evaluated."""
    if training.run.settings.evaluate_every < 1:
        raise UsageError(
            f"{name} without evaluations", expected="evaluate_every above 0", hint="leave out evaluate_every"
        )


def _finite(name: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if isinstance(value, bool | str) or not math.isfinite(number):
        raise UsageError(f"{name} = {value!r}", expected="a finite number, a mean return")
    return number
