"""Reports: one self-contained HTML file with tables, learning curves and an episode player.

The file loads nothing from anywhere (its own content policy forbids it), so it can be mailed and opened in ten years.
A report is a list of sections, all frozen dataclasses; `write_report` packs them. Scenes travel as display lists: the
static layer once, each distinct moving layer once, so an episode costs some bytes per step, and the page draws them.
"""

from inscape.experiments.report.episodes import (
    imagination_overlay,
    imagined_futures,
    player_episode,
    posterior_overlays,
    search_overlay,
)
from inscape.experiments.report.page import machine_facts, render_report, write_report
from inscape.experiments.report.runs import report_for_runs
from inscape.experiments.report.sections import (
    Curve,
    CurvesSection,
    Frame,
    ImaginationOverlay,
    Label,
    MapCell,
    MapSection,
    Picture,
    PlayerEpisode,
    PlayerSection,
    PosteriorOverlay,
    SearchOverlay,
    Section,
    TableSection,
    TextSection,
)

__all__ = [
    "Curve",
    "CurvesSection",
    "Frame",
    "ImaginationOverlay",
    "Label",
    "MapCell",
    "MapSection",
    "Picture",
    "PlayerEpisode",
    "PlayerSection",
    "PosteriorOverlay",
    "SearchOverlay",
    "Section",
    "TableSection",
    "TextSection",
    "imagination_overlay",
    "imagined_futures",
    "machine_facts",
    "player_episode",
    "posterior_overlays",
    "render_report",
    "report_for_runs",
    "search_overlay",
    "write_report",
]
