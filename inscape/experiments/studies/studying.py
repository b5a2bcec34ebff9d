"""A study: the budget is planned, the parts run one after another, the page is written after each."""

from __future__ import annotations

import re
import shlex
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inscape.envs.tasks.resolve import Given, as_task
from inscape.errors import UsageError, whole_number
from inscape.experiments.report.file import ReportFile
from inscape.experiments.report.sections import Section, TextSection
from inscape.experiments.runs.storage.lock import RunLock
from inscape.experiments.studies.budget import load_or_plan
from inscape.experiments.studies.context import StudyContext
from inscape.experiments.studies.parts import PARTS

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task

DEFAULT_FOLDER = Path("experiments")
PAGE = "study.html"


def study(
    world: Given,
    minutes: float = 5.0,
    *,
    out: str | Path | None = None,
    seed: int = 0,
    jobs: int = 1,
    verbose: bool = True,
    commands: tuple[str, ...] = (),
) -> ReportFile:
    """Finds out what is to be known about a world and returns the page.

    The exact optimum where it can be had; agents that suit it, with intervals over seeds, exact values and regrets;
    search; a learned model; what an observer makes of each; the best episode of each; where they go wrong. The minutes
    are planned for once, from measured speeds; a study that was stopped or killed goes on by the same call.

        study("FrozenLake8x8", minutes=2)
        study("my_world.py:World")

    Args:
        world: a name, a task, a world or an environment.
        minutes: about how long it may take.
        out: the study's folder; None for `experiments/study-WORLD`.
        seed: of everything random.
        jobs: worker processes for the agents.
        verbose: say what goes on.
        commands: what the page says re-creates it.

    Raises:
        UsageError: there is no such world; too few minutes (the message says how many it takes); the folder holds
            another study, or another process runs this one.
    """
    task = as_task(world)
    if isinstance(minutes, bool) or not isinstance(minutes, (int, float)) or not 0 < minutes < float("inf"):
        raise UsageError(f"minutes = {minutes!r}", expected="a positive number")
    jobs, seed = whole_number("jobs =", jobs, 1), whole_number("seed", seed)
    folder = Path(out) if out is not None else DEFAULT_FOLDER / f"study-{_plain(task.name)}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot write {folder}: {error.strerror or error}", hint="another --out") from error
    lock = RunLock(folder)
    say: Callable[[str], None] = _say if verbose else lambda text: None
    try:
        return _studied(task, float(minutes), folder, seed, jobs, say, commands)
    finally:
        lock.release()
        with suppress(OSError):  # of a study that was refused nothing is left
            folder.rmdir()


def _studied(
    task: Task, minutes: float, folder: Path, seed: int, jobs: int, say: Callable[[str], None], commands: Any
) -> ReportFile:
    began = time.monotonic()
    say(f"{task.name}: measuring how fast agents are")
    budget = load_or_plan(task, folder, minutes, seed, say)
    context = StudyContext(task, folder, seed, budget, say, jobs=jobs)
    context.notes += [f"{name}: {why}." for name, why in budget.left_out.items()]
    sections: list[Section] = []
    for part in PARTS:
        say(f"{part.name} ({time.monotonic() - began:.0f} s so far)")
        try:
            sections += part.run(context)
        except UsageError as error:
            context.notes.append(f"{part.name}: {str(error).splitlines()[0]}.")
    return _page(context, sections, commands)


def _page(context: StudyContext, sections: list[Section], commands: tuple[str, ...]) -> ReportFile:
    from inscape.experiments.report.page import write_report

    short = TextSection("In short", "\n\n".join(context.facts) or "Nothing could be found out.")
    left = [TextSection("Left out", "\n\n".join(dict.fromkeys(context.notes)))] if context.notes else []
    name = context.task.name
    made = commands or (shlex.join(["inscape", "study", name, "--minutes", f"{context.budget.minutes:g}"]),)
    return write_report([short, *sections, *left], context.folder / PAGE, title=f"{name}, studied", commands=made)


def _plain(name: str) -> str:
    return re.sub(r"[^\w.-]+", "-", (name.rpartition("/")[2] if ".py:" in name else name).replace(".py:", "-"))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
