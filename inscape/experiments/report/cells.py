"""Sections as cells of a notebook: a chart, a table, a player, each in a frame of its own, or saved as a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from inscape import html
from inscape.errors import UsageError
from inscape.experiments.report.episodes import player_episode
from inscape.experiments.report.file import HEIGHT, ReportFile, frame
from inscape.experiments.report.page import render_report, write_report
from inscape.experiments.report.sections import (
    CurvesSection,
    MapSection,
    PlayerSection,
    Section,
    TableSection,
    TextSection,
)

if TYPE_CHECKING:
    from inscape.envs.data.trajectory import Trajectory
    from inscape.envs.world import World

BARE = "header.page, nav.contents, footer.page{display:none} main{padding:0;max-width:none} section{margin:0 0 8px}"
"""A cell is no page: what stands around the sections goes."""

KINDS = (CurvesSection, MapSection, PlayerSection, TableSection, TextSection)


@dataclass(frozen=True)
class Shown:
    """Sections of a report that a notebook shows (`_repr_html_`), in Jupyter and marimo alike.

    Attributes:
        sections: what is shown, in order.
        title: heading above them.
        height: of the frame, in pixels.
    """

    sections: tuple[Section, ...]
    title: str = ""
    height: int = HEIGHT

    def save(self, out: str | Path) -> ReportFile:
        """Writes the same as one self-contained HTML file and returns its path; see `write_report`."""
        return write_report(self.sections, out, title=self.title or self.sections[0].title, facts={})

    def __repr__(self) -> str:
        return f"Shown({', '.join(section.title for section in self.sections)})"

    def _repr_html_(self) -> str:
        title = self.title or self.sections[0].title
        page = render_report(self.sections, title=title, facts={}).replace("</style>", f"{BARE}</style>", 1)
        return html.block(self.title, frame(page, title, self.height))


def cell(*sections: Section, title: str = "", height: int = HEIGHT) -> Shown:
    """Returns sections as a cell of a notebook.

        cell(CurvesSection("Learning", (Curve("mine", steps=[0, 100], mean=[0.1, 0.8]),)))

    Args:
        sections: of the classes in `inscape.experiments` whose names end in `Section`.
        title: heading above them; "" for that of the first.
        height: of the frame, in pixels.

    Raises:
        UsageError: there are none, or one is something else.
    """
    for section in sections:
        if not isinstance(section, KINDS):
            raise UsageError(
                f"{type(section).__name__} among the sections",
                expected=", ".join(kind.__name__ for kind in KINDS),
                hint="player(world, trajectories) for episodes; results of verbs show themselves",
            )
    if not sections:
        raise UsageError("no section to show", expected="at least one, as TableSection(…)")
    return Shown(tuple(sections), title, height)


def player(
    world: World, trajectories: Trajectory | Sequence[Trajectory], *, title: str = "Episodes", height: int = HEIGHT
) -> Shown:
    """Returns the episode player as a cell of a notebook. With overlays: `player_episode`, `PlayerSection`, `cell`.

        player(world, rollout("random", world, episodes=3, seed=0))

    Args:
        world: the world the episodes happened in.
        trajectories: one, or several; of several agents, listed under each.
        title: heading.
        height: of the frame, in pixels.

    Raises:
        UsageError: there are none, or one has no states (it was not recorded in an Inscape world).
    """
    episodes = list(trajectories) if isinstance(trajectories, Sequence) else [trajectories]
    if not episodes:
        raise UsageError("no episode to play", expected="a trajectory, or several", hint="rollout(agent, world, 3)")
    section = PlayerSection(title, tuple(player_episode(world, episode) for episode in episodes))
    return Shown((section,), "", height)
