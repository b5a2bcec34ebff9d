"""Theory of mind: which mind would have acted like this, and what will it do next? Deeper paths are private."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inscape.lazy import lazy_names

if TYPE_CHECKING:
    from inscape.theory_of_mind.mind_policies import Plans as Plans
    from inscape.theory_of_mind.mind_policies import plans_of as plans_of
    from inscape.theory_of_mind.minds import BACKUPS as BACKUPS
    from inscape.theory_of_mind.minds import Mind as Mind
    from inscape.theory_of_mind.minds import minds_grid as minds_grid
    from inscape.theory_of_mind.observers.exact import ImpossibleEvidenceError as ImpossibleEvidenceError
    from inscape.theory_of_mind.observers.exact import Observer as Observer
    from inscape.theory_of_mind.observers.exact import Prediction as Prediction
    from inscape.theory_of_mind.observers.exact import observe as observe
    from inscape.theory_of_mind.scoring import Calibration as Calibration
    from inscape.theory_of_mind.scoring import PredictionScore as PredictionScore
    from inscape.theory_of_mind.scoring import calibration as calibration
    from inscape.theory_of_mind.scoring import score_predictions as score_predictions

_HOMES = {
    "minds": (
        "BACKUPS",
        "Mind",
        "minds_grid",
    ),
    "observers.exact": (
        "ImpossibleEvidenceError",
        "Observer",
        "Prediction",
        "observe",
    ),
    "mind_policies": (
        "Plans",
        "plans_of",
    ),
    "scoring": (
        "Calibration",
        "PredictionScore",
        "calibration",
        "score_predictions",
    ),
}
__getattr__, __all__ = lazy_names(__name__, _HOMES)
