"""`inscape run`: an experiment file, or a shipped question."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from rich.markup import escape
from tyro.conf import Positional, arg

from inscape.errors import UsageError, closest
from inscape.experiments.arguments import parsing as args
from inscape.experiments.commands.compare import print_comparison
from inscape.experiments.commands.output import make_console
from inscape.experiments.trials.comparison import compare
from inscape.experiments.trials.experiment import Experiment

QUESTIONS = Path(__file__).parents[1] / "questions"
DEFAULT_FOLDER = Path("experiments")
MOST_FAILURES = 12
"""Lines on what failed."""


@dataclass(frozen=True)
class RunArguments:
    """Runs an experiment: every agent in every world with every seed, then compares them.

    What is finished is never run again: the same command goes on where one was stopped or killed, and runs what was
    added to the file since.

    Examples:
      inscape run lake.toml
      inscape run lake.toml --seeds 10 --jobs 2
      inscape run lake.toml --out experiments/lake
    """

    file: Annotated[Positional[str], arg(metavar="FILE.toml")]
    """The experiment: worlds, agents, seeds (docs/experiments.md)."""

    seeds: Annotated[int | None, arg(metavar="N")] = None
    """How many seeds, in place of the file's."""

    steps: Annotated[int | None, arg(metavar="N")] = None
    """Environment steps of every trial, in place of the file's."""

    jobs: Annotated[int, arg(metavar="N")] = 1
    """Worker processes."""

    out: Annotated[str | None, arg(metavar="DIR")] = None
    """The experiment's folder; without it, experiments/ and the file's name."""


def run_command(argv: Sequence[str]) -> int:
    """Runs an experiment and prints its comparison."""
    given = args.parse("run", RunArguments, argv)
    args.require_positive("jobs", given.jobs)
    file = _file(given.file)
    experiment = Experiment.from_toml(file)
    changes = {name: value for name in ("seeds", "steps") if (value := getattr(given, name)) is not None}
    if "steps" in changes:
        changes |= {
            "agents": [replace(agent, steps=None) for agent in experiment.agent_specs()],
            "worlds": [replace(world, steps=None) for world in experiment.world_specs()],
        }
    experiment = replace(experiment, **changes)
    out = Path(given.out) if given.out else DEFAULT_FOLDER / file.stem
    results = experiment.run(out, given.jobs)
    console = make_console()
    console.print(f"{len(results)} trials, {results.reused or 'none'} of them finished before", soft_wrap=True)
    failures: dict[tuple[str, str, str], list[int]] = {}
    for result in results.failed:
        failures.setdefault((result.agent, result.world, result.error.splitlines()[0]), []).append(result.seed)
    for (agent, world, error), seeds in list(failures.items())[:MOST_FAILURES]:
        which = f"seed {seeds[0]}" if len(seeds) == 1 else f"{len(seeds)} seeds"
        text = escape(f"{agent} in {world}, {which}: {error}")
        console.print(f"[red]failed[/red] {text}", soft_wrap=True)
    if len(failures) > MOST_FAILURES:
        console.print(f"and {len(failures) - MOST_FAILURES} more agents in worlds failed", soft_wrap=True)
    if len(results.failed) < len(results):
        print_comparison(console, compare(results))
    console.print(f"Results in {escape(str(out))}; compare again: inscape compare {escape(shlex.quote(str(out)))}",
                  soft_wrap=True)  # fmt: skip
    return 1 if results.failed else 0


def _file(name: str) -> Path:
    """Returns the file that a name means: a path, or a question that comes with Inscape.

    Raises:
        UsageError: there is none.
    """
    path = Path(name)
    if path.is_file():
        return path
    shipped = {file.stem: file for file in sorted(QUESTIONS.glob("*.toml"))}
    if name in shipped:
        return shipped[name]
    if path.is_dir():
        raise UsageError(f"{name} is a folder", expected="an experiment file", hint=f"inscape compare {name}")
    known = [*shipped, *map(str, Path().glob("*.toml"))]
    hint = closest(name, known) if known else "docs/experiments.md has an example"
    raise UsageError(f"no experiment {name!r}", expected="a TOML file" + _or(shipped), hint=hint)


def _or(names: Sequence[str] | dict[str, Path]) -> str:
    return f", or one of {', '.join(names)}" if names else ""
