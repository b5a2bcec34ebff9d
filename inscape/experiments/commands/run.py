"""`inscape run`: an experiment file, or a shipped question."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from rich.markup import escape
from tyro.conf import Positional, arg

from inscape.errors import UsageError, closest
from inscape.experiments.arguments import parsing as args
from inscape.experiments.commands.compare import print_comparison
from inscape.experiments.commands.output import make_console, print_sections
from inscape.experiments.trials.comparison import Comparison, compare
from inscape.experiments.trials.engines import engine_of
from inscape.experiments.trials.experiment import Experiment
from inscape.experiments.trials.named import load_analysis

if TYPE_CHECKING:
    from inscape.experiments.report.sections import Section

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
      inscape run lake.toml --engine ray --address 10.0.0.5:6379
      inscape run no-free-lunch --jobs 2        a question that comes with Inscape: inscape list questions
    """

    file: Annotated[Positional[str], arg(metavar="FILE.toml|QUESTION")]
    """The experiment: worlds, agents, seeds (docs/experiments.md); or the name of a shipped question."""

    seeds: Annotated[int | None, arg(metavar="N")] = None
    """How many seeds, in place of the file's."""

    steps: Annotated[int | None, arg(metavar="N")] = None
    """Environment steps of every trial, in place of the file's."""

    jobs: Annotated[int | None, arg(metavar="N")] = None
    """Worker processes; 1, and on a cluster as many as it has processors."""

    engine: Annotated[str, arg(metavar="local|ray")] = "local"
    """What runs the trials: worker processes of this machine, or a Ray cluster."""

    address: Annotated[str | None, arg(metavar="HOST:PORT|auto|local")] = None
    """Of the Ray cluster's head; without it RAY_ADDRESS, or a cluster of this machine's own."""

    out: Annotated[str | None, arg(metavar="DIR")] = None
    """The experiment's folder; without it, experiments/ and the file's name."""

    save: Annotated[str | None, arg(metavar="FILE.html")] = None
    """Write a page with the answer and the comparison."""


def run_command(argv: Sequence[str]) -> int:
    """Runs an experiment and prints its comparison."""
    given = args.parse("run", RunArguments, argv)
    if given.jobs is not None:
        args.require_positive("jobs", given.jobs)
    engine = engine_of(given.engine, given.address)
    page = None if given.save is None else Path(given.save)
    if page is not None and page.suffix != ".html":
        raise UsageError(f"--save {given.save}", expected="a file that ends in .html")
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
    results = experiment.run(out, given.jobs, engine=engine)
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
    if experiment.question:
        console.print(f"\n[bold]{escape(experiment.question)}[/bold]", soft_wrap=True)
    answer: list[Section] = []
    if len(results.failed) < len(results):
        if experiment.analysis:
            answer = list(load_analysis(experiment.analysis)(results))
            print_sections(console, answer)
            if experiment.expected:
                console.print(f"[dim]Expected: {escape(experiment.expected)}[/dim]", soft_wrap=True)
        compared = None if answer and page is None else compare(results)
        if compared is not None and not answer:
            print_comparison(console, compared)
        if page is not None and compared is not None:
            _save(page, experiment, answer, compared, "inscape run " + shlex.join(argv))
            console.print(f"Saved in {escape(str(page))}", soft_wrap=True)
    console.print(f"Results in {escape(str(out))}; compare again: inscape compare {escape(shlex.quote(str(out)))}",
                  soft_wrap=True)  # fmt: skip
    return 1 if results.failed else 0


def _save(page: Path, experiment: Experiment, answer: Sequence[Section], compared: Comparison, command: str) -> None:
    from inscape.experiments.report.compared import compared_sections
    from inscape.experiments.report.page import write_report

    sections = [*answer, *compared_sections(compared)]
    title = experiment.question or "Agents compared"
    summary = f"Expected: {experiment.expected}" if experiment.expected else ""
    write_report(sections, page, title=title, summary=summary, commands=(command,))


def questions() -> dict[str, Path]:
    """Returns the questions that come with Inscape: name → experiment file."""
    return {file.stem: file for file in sorted(QUESTIONS.glob("*.toml"))}


def _file(name: str) -> Path:
    """Returns the file that a name means: a path, or a question that comes with Inscape.

    Raises:
        UsageError: there is none.
    """
    path = Path(name)
    if path.is_file():
        return path
    shipped = questions()
    if name in shipped:
        return shipped[name]
    if path.is_dir():
        raise UsageError(f"{name} is a folder", expected="an experiment file", hint=f"inscape compare {name}")
    known = [*shipped, *map(str, Path().glob("*.toml"))]
    hint = closest(name, known) if known else "docs/experiments.md has an example"
    raise UsageError(f"no experiment {name!r}", expected="a TOML file" + _or(shipped), hint=hint)


def _or(names: Sequence[str] | dict[str, Path]) -> str:
    return f", or one of {', '.join(names)}" if names else ""
