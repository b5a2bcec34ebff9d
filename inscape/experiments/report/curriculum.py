"""Charts of a curriculum: how often each task was drawn, and the returns in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from inscape.experiments.report.sections import Curve, CurvesSection
from inscape.experiments.runs.during.curriculum import curriculum_names

MOST = 12
"""Tasks in a chart; of more, so many at equal distances are drawn."""
CHARTS = {
    "probability": ("How often each task of the curriculum is drawn", "probability"),
    "return": ("Returns in each task of the curriculum", "mean of the latest returns"),
}


def curriculum_keys(document: Mapping[str, Any]) -> list[str]:
    """Returns the metrics that are drawn of a run with this curriculum; none of a run without."""
    ends = ("", "_low", "_high")  # as of every curve; a curriculum logs no intervals
    return [f"curriculum/{name}/{chart}{end}" for name in _shown(document) for chart in CHARTS for end in ends]


def curriculum_sections(
    document: Mapping[str, Any], label: str, curve_of: Callable[[str], Curve | None]
) -> list[CurvesSection]:
    """Returns the charts of the runs of one agent with this curriculum; none without.

    Args:
        document: the curriculum, as a run stores it.
        label: of agent and world, for titles.
        curve_of: the curve of a metric, or None where it was not logged.
    """
    names, sections = _shown(document), []
    count = len(curriculum_names(document))
    note = f"{len(names)} of {count} tasks, at equal distances." if len(names) < count else ""
    for chart, (title, y_label) in CHARTS.items():
        found = [(name, curve_of(f"curriculum/{name}/{chart}")) for name in names]
        curves = tuple(replace(curve, name=name, color=None) for name, curve in found if curve is not None)
        if curves:
            sections.append(CurvesSection(f"{title}, {label}", curves, y_label, note=note))
    return sections


def _shown(document: Mapping[str, Any]) -> list[str]:
    names = curriculum_names(document)
    if len(names) <= MOST:
        return names
    return [names[round(k * (len(names) - 1) / (MOST - 1))] for k in range(MOST)]
