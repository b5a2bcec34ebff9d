"""The best model kept beside the newest: that of the evaluation with the highest mean return so far."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from inscape.errors import UsageError
from inscape.experiments.runs.callbacks import Callback
from inscape.experiments.runs.during.stopping import RETURN, require_evaluations

if TYPE_CHECKING:
    from inscape.experiments.runs.callbacks import Training


class KeepBest(Callback):
    """Keeps the agent as it was when an evaluation's mean return was highest: `train(…, keep_best=True)`.

    It is the run's `run.best`, and `RUN/best` wherever a run may be named: `inscape evaluate RUN --best`. Of equal
    returns the first is kept. What Stable-Baselines3's `EvalCallback` has as `best_model_save_path`.
    """

    def on_start(self, training: Training) -> None:
        require_evaluations(training, "keep_best")
        # a resumed run may have kept one of after its last checkpoint, which counts: the agent is there
        kept = training.run.best_evaluation()
        self.return_mean = -math.inf if kept is None else kept.return_mean

    def on_evaluation(self, training: Training, metrics: Mapping[str, float]) -> None:
        found = metrics[RETURN]
        if not found > self.return_mean:
            return
        state_dict = getattr(training.agent, "state_dict", None)
        if state_dict is None:
            raise UsageError(
                f"keep_best with {training.run.settings.agent}, which has no state_dict",
                expected="an agent whose state can be stored",
            )
        training.run.save_best(state_dict(), training.steps, found)
        self.return_mean = found
