"""The report of a solved world: certificate, values and optimal actions on its own picture, a table of states."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from inscape.experiments.numbers import number_text
from inscape.experiments.report.file import ReportFile
from inscape.experiments.report.page import write_report
from inscape.experiments.report.sections import Cell, MapCell, MapSection, Section, TableSection

if TYPE_CHECKING:
    from inscape.envs.law.states import States
    from inscape.envs.world import World

MOST_CELLS = 2_000
DIRECTIONS = {
    "left": (-1.0, 0.0), "right": (1.0, 0.0), "up": (0.0, -1.0), "down": (0.0, 1.0),
    "west": (-1.0, 0.0), "east": (1.0, 0.0), "north": (0.0, -1.0), "south": (0.0, 1.0),
}  # fmt: skip


def write_solve_report(
    out: Path,
    world: World,
    title: str,
    certificate: Sequence[tuple[str, Cell]],
    states: States,
    values: np.ndarray,
    best: np.ndarray,
    terminal: np.ndarray,
    order: np.ndarray,
    commands: Sequence[str],
    value_name: str = "value",
) -> ReportFile:
    """Writes the report of a world whose states are seen, and returns its path.

    Args:
        out: the file, or a folder.
        world: what was solved.
        title: the heading.
        certificate: what was found and how sure it is, by name.
        states: all S states.
        values: `[S]`.
        best: `[S, A]` bool, the optimal actions.
        terminal: `[S]` bool.
        order: numbers of the states in the table.
        commands: what makes the report again.
        value_name: what the values are.

    Raises:
        UsageError: the file cannot be written.
    """
    sections: list[Section] = [TableSection("Certificate", ("", "found"), tuple(certificate))]
    drawn = value_map(world, states, values, best, terminal, value_name)
    if drawn is not None:
        sections.append(drawn)
    rows: list[tuple[Cell, ...]] = []
    for s in order:
        where = world.describe_state(states, int(s)).replace("\n", " / ")
        rows.append((where, float(values[s]), "end" if terminal[s] else _names(world, best[s])))
    note = "" if len(order) == len(values) else f"{len(order)} of {len(values):,} states; --states shows more."
    sections.append(TableSection("States", ("state", value_name, "optimal actions"), tuple(rows), note))
    return write_report(sections, out, title=title, commands=commands)


def write_belief_report(
    out: Path,
    title: str,
    certificate: Sequence[tuple[str, Cell]],
    starts: Sequence[tuple[Cell, ...]],
    commands: Sequence[str],
) -> ReportFile:
    """Writes the report of a world that hides its state: bounds, and what to do after each first observation.

    Args:
        out: the file, or a folder.
        title: the heading.
        certificate: what was found and how sure it is, by name.
        starts: (first observation, probability, value, action) each.
        commands: what makes the report again.

    Raises:
        UsageError: the file cannot be written.
    """
    columns = ("first observation", "probability", "value", "best action")
    sections: list[Section] = [
        TableSection("Certificate", ("", "found"), tuple(certificate)),
        TableSection("Starts", columns, tuple(starts), "Values of what is known after the first observation."),
    ]
    return write_report(sections, out, title=title, commands=commands)


def value_map(
    world: World, states: States, values: np.ndarray, best: np.ndarray, terminal: np.ndarray, value_name: str = "value"
) -> MapSection | None:
    """Returns values and optimal actions on the world's picture; None where states have no place of their own."""
    if len(states) > MOST_CELLS:
        return None
    places = [world.place_of(states, index) for index in range(len(states))]
    known = [place for place in places if place is not None]
    if len(known) < len(states) or len(set(known)) < len(known):
        return None
    side = min((_spacing(sorted({place[axis] for place in known})) for axis in (0, 1)), default=1.0)
    cells = []
    for s, (x, y) in enumerate(known):
        if terminal[s]:
            continue
        names = [str(world.choice_name(int(a))) for a in np.flatnonzero(best[s])]
        label = f"{world.describe_state(states, s).splitlines()[0][:120]}: {number_text(float(values[s]))}"
        directions = tuple(DIRECTIONS[name] for name in names if name in DIRECTIONS)
        words = tuple(name for name in names if name not in DIRECTIONS)
        cells.append(MapCell(x, y, float(values[s]), directions, words, f"{label}, {', '.join(names)}"))
    scene = world.scene(states, int(np.argmin(terminal)))
    note = f"The {value_name} of each state by tint, and every optimal action. Ends of the task have none."
    return MapSection("Values and optimal actions", scene, tuple(cells), side, note)


def _spacing(coordinates: list[float]) -> float:
    """Returns the least distance of neighbours; 1 where there is one alone."""
    return float(np.diff(coordinates).min()) if len(coordinates) > 1 else 1.0


def _names(world: Any, best: np.ndarray) -> str:
    return ", ".join(str(world.choice_name(int(a))) for a in np.flatnonzero(best))
