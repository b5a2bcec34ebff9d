"""`inscape study`: what is to be known about a world, in one page."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from rich.markup import escape
from tyro.conf import Positional, arg

from inscape.experiments.arguments import parsing as args
from inscape.experiments.commands.output import make_console


@dataclass(frozen=True)
class StudyArguments(args.TaskArguments):
    """Finds out what is to be known about a world, and writes it on one page.

    The exact optimum where it can be had; agents that suit the world, with intervals over seeds, exact values and
    regrets; search; a learned model; what an observer makes of each agent; the best episode of each, in a player; where
    they go wrong. The same command goes on where one was stopped.

    Examples:
      inscape study FrozenLake8x8 --minutes 2
      inscape study my_world.py:World
      inscape study CartPole-v1 --minutes 5 --jobs 2
    """

    task: Annotated[Positional[str], arg(metavar="WORLD")]
    """The world: a name, a Gymnasium id, or file.py:Class."""

    minutes: float = 5.0
    """About how long it may take."""

    jobs: Annotated[int, arg(metavar="N")] = 1
    """Worker processes for the agents."""

    seed: int = 0
    """Seed of everything random."""

    out: Annotated[str | None, arg(metavar="DIR")] = None
    """The study's folder; without it, experiments/study-WORLD."""


def study_command(argv: Sequence[str]) -> int:
    """Studies a world and says where the page is."""
    from inscape.experiments.studies.studying import study

    names = args.leading_names(argv, 1, "inscape study WORLD [options]")
    given = args.parse("study", StudyArguments, argv, args.world_settings_group(names[0]) if names else None)
    args.require_positive("jobs", given.jobs)
    task = args.named_task(given.task, args.task_options_of(given), args.changed_world_settings(given))
    command = shlex.join(["inscape", "study", *argv])
    page = study(task, given.minutes, out=given.out, seed=given.seed, jobs=given.jobs, commands=(command,))
    make_console().print(f"The page: [bold]{escape(str(page))}[/bold]", soft_wrap=True)
    return 0
