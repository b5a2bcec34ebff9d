"""Theory of mind: which mind would have acted like this, and what will it do next?

Names are loaded when first used, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inscape.theory_of_mind.minds import BACKUPS, Mind, minds_grid
    from inscape.theory_of_mind.observers import ImpossibleEvidenceError, Observer, Prediction, observe
    from inscape.theory_of_mind.plans import Plans, plans_of
    from inscape.theory_of_mind.prediction import Calibration, PredictionScore, calibration, score_predictions

__all__ = [
    "BACKUPS",
    "Calibration",
    "ImpossibleEvidenceError",
    "Mind",
    "Observer",
    "Plans",
    "Prediction",
    "PredictionScore",
    "calibration",
    "minds_grid",
    "observe",
    "plans_of",
    "score_predictions",
]

_HOMES = {
    "minds": ("BACKUPS", "Mind", "minds_grid"),
    "observers": ("ImpossibleEvidenceError", "Observer", "Prediction", "observe"),
    "plans": ("Plans", "plans_of"),
    "prediction": ("Calibration", "PredictionScore", "calibration", "score_predictions"),
}


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
