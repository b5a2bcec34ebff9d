"""The best model of a run: `best/step-<n>/`, a checkpoint beside the newest, with the return that it is best by."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

from inscape.errors import UsageError
from inscape.experiments.runs.storage.checkpoints import (
    checkpoint_folders,
    load_checkpoint,
    remove_checkpoint,
    remove_leftovers,
    require_metadata,
    save_checkpoint,
)

BEST = "best"


class BestEvaluation(NamedTuple):
    """The evaluation that a run's best model is from.

    Attributes:
        steps: environment steps taken by then.
        return_mean: its mean return.
    """

    steps: int
    return_mean: float


def save_best(run: Path, state: dict[str, Any], steps: int, return_mean: float) -> None:
    """Saves a state as the best of a run folder and removes the one before: killed in between, there are both."""
    metadata = {"steps": steps, "finished": False, "return_mean": float(return_mean)}
    saved = save_checkpoint(run / BEST / f"step-{steps}", state, metadata)
    for old in checkpoint_folders(run, BEST):
        if old != saved:
            remove_checkpoint(old)
    remove_leftovers(run, BEST)


def load_best(run: Path) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Returns `(state, metadata)` of the best model of a run folder; None where none was kept.

    Raises:
        UsageError: it is damaged.
    """
    found = []
    for folder in checkpoint_folders(run, BEST):
        state, metadata = load_checkpoint(folder)
        require_metadata(folder, metadata)
        kept = metadata.get("return_mean")
        if not isinstance(kept, float) or math.isnan(kept):
            raise UsageError(
                f"{folder} holds a model with return {kept!r}", expected="the mean return it is best by",
                hint=f"{run}, the newest model",
            )  # fmt: skip
        found.append((state, metadata))
    return max(found, key=lambda one: one[1]["return_mean"], default=None)


def remove_best(run: Path) -> None:
    """Removes what `save_best` made."""
    for folder in checkpoint_folders(run, BEST):
        remove_checkpoint(folder)
    remove_leftovers(run, BEST)
    if (run / BEST).is_dir() and not any((run / BEST).iterdir()):
        (run / BEST).rmdir()
