"""The player and the curves as a notebook's cell."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inscape import html
from inscape.envs.data.trajectory import Trajectory
from inscape.envs.tasks.resolve import task_from_json
from inscape.errors import UsageError
from inscape.experiments.report.episodes import player_episode, posterior_overlays
from inscape.experiments.report.page import render_report
from inscape.experiments.report.runs import runs_sections
from inscape.experiments.report.sections import PlayerSection, Section
from inscape.experiments.runs.folders import open_run
from inscape.experiments.runs.run import Run

if TYPE_CHECKING:
    from inscape.envs.world import World

HEIGHT = 760
"""Of the frame, in pixels."""


class Cell:
    """A page of a report, which a notebook shows in a frame of its own, whose scripts see nothing of the notebook.

    Attributes:
        page: the HTML.
        height: of the frame, in pixels.
    """

    def __init__(self, page: str, height: int = HEIGHT) -> None:
        self.page, self.height = page, height

    def __repr__(self) -> str:
        return f"Cell({len(self.page):,} characters: shown in a notebook; .save(FILE.html))"

    def _repr_html_(self) -> str:
        return (
            f'<iframe sandbox="allow-scripts" srcdoc="{html.text(self.page)}" title="Inscape" '
            f'style="width:100%;height:{self.height}px;border:1px solid currentColor;border-radius:4px"></iframe>'
        )

    def save(self, path: str | Path) -> Path:
        """Writes the page and returns the file.

        Raises:
            UsageError: it cannot be written.
        """
        try:
            Path(path).write_text(self.page, encoding="utf-8")
        except OSError as error:
            raise UsageError(f"cannot write {path}: {error.strerror or error}", hint="another place") from error
        return Path(path)


def show(what: Any, *, height: int = HEIGHT) -> Cell:
    """Returns a notebook's cell: the curves and episodes of runs, or episodes in the player.

        show("runs/FourGoals-q-learning-seed0")
        show(rollout("mcts", "FourGoals", 3, seed=0))

    Args:
        what: a run, its folder or name, or several; an episode, or several of one Inscape world. In worlds with goals
            the player shows what an observer believes.
        height: of the frame, in pixels.

    Raises:
        UsageError: nothing to show, or it cannot be read or drawn.
    """
    several = list(what) if isinstance(what, Sequence) and not isinstance(what, str) else [what]
    if not several:
        raise UsageError("nothing to show", expected="a run, or episodes as rollout returns them")
    if all(isinstance(one, Trajectory) for one in several):
        sections: list[Section] = [_player(several)]
    elif all(isinstance(one, (Run, str, Path)) for one in several):
        sections = runs_sections([one if isinstance(one, Run) else open_run(one) for one in several])
    else:
        kinds = ", ".join(sorted({type(one).__name__ for one in several}))
        raise UsageError(f"{kinds} to show", expected="a run, or episodes as rollout returns them")
    return Cell(render_report(sections, title="", facts={}), height)


def _player(trajectories: Sequence[Trajectory]) -> PlayerSection:
    names = {repr(trajectory.task) for trajectory in trajectories}
    if len(names) > 1 or not trajectories[0].task:
        raise UsageError(f"episodes of {len(names)} tasks", expected="episodes of one task, with its name")
    task = task_from_json(trajectories[0].task, "the episodes")
    world = task.world
    if world is None:
        raise UsageError(f"episodes of {task.name}, which is no Inscape world", hint="inscape.experiments.watch")
    observer = _observer(world, task)
    episodes = tuple(
        player_episode(world, one, posteriors=None if observer is None else posterior_overlays(observer, one))
        for one in trajectories
    )
    pace = 30.0 if world.layouts()[0].num_floats else 6.0
    return PlayerSection(f"{trajectories[0].agent} in {task.name}", episodes, fps=pace)


def _observer(world: World, task: Any) -> Any:
    """Returns the observer that the world's goals suggest; None where it has none, or cannot be enumerated."""
    from inscape.errors import MissingLawError
    from inscape.experiments.verbs.observe import observer_for

    if world.players > 1 or not world.goals:
        return None
    try:
        return observer_for(task)
    except MissingLawError:
        return None
