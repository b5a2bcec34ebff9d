"""`inscape list`: what is known by name."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from rich.markup import escape
from rich.table import Table
from tyro.conf import Positional, arg

from inscape.errors import UsageError
from inscape.experiments.arguments import parsing as args
from inscape.experiments.commands.output import make_console, make_table, print_table
from inscape.experiments.runs.folders import open_run, run_folders

DEFAULT_ROOT = "runs"


@dataclass(frozen=True)
class ListArguments:
    """Lists what is known by name.

    Examples:
      inscape list
      inscape list agents
      inscape list runs
      inscape list runs --world CartPole --sort score --limit 10
      inscape list worlds --gallery docs/worlds.md
    """

    what: Positional[Literal["all", "worlds", "agents", "planners", "models", "questions", "runs"]] = "all"
    """What to list."""

    gallery: Annotated[str | None, arg(metavar="FILE.md")] = None
    """Write a page on every world, with a picture and the settings of each, instead."""

    agent: Annotated[str | None, arg(metavar="NAME")] = None
    """Runs: of this agent only."""

    world: Annotated[str | None, arg(metavar="NAME")] = None
    """Runs: in this world only."""

    sort: Annotated[Literal["score", "time", "steps"] | None, arg(metavar="score|time|steps")] = None
    """Runs: the highest score, the longest time or the most steps first; without it, the newest."""

    limit: Annotated[int | None, arg(metavar="N")] = None
    """Runs: so many at most."""

    root: Annotated[str, arg(metavar="DIR")] = DEFAULT_ROOT
    """Runs: those in this folder, and those of experiments in it."""


def list_command(argv: Sequence[str]) -> int:
    """Prints what is known by name."""
    given = args.parse("list", ListArguments, argv)
    console = make_console()
    for name in ("agent", "world", "sort", "limit"):
        if getattr(given, name) is not None and given.what not in ("all", "runs"):
            raise UsageError(f"--{name} with {given.what}", expected="runs", hint=f"inscape list runs --{name} …")
    if given.limit is not None:
        args.require_positive("limit", given.limit)
    if given.gallery is not None:
        from inscape.experiments.viewing.gallery import write_gallery

        count = write_gallery(given.gallery)
        console.print(f"{count} worlds in {given.gallery}", soft_wrap=True)
        return 0
    tables: dict[str, Callable[[], tuple[str, Table]]] = {
        "worlds": _list_worlds, "agents": _list_agents, "planners": _list_planners, "models": _list_models,
        "questions": _list_questions, "runs": functools.partial(_list_runs, given),
    }  # fmt: skip
    for name, make in tables.items():
        if given.what in ("all", name):
            print_table(console, *make())
            console.print()
    return 0


def _list_worlds() -> tuple[str, Table]:
    import gymnasium

    from inscape.envs.catalogue import FAMILIES
    from inscape.envs.registry import world_specs
    from inscape.envs.text.registry import text_env_specs

    table = make_table("name", "players", "what it is", numbers=("players",))
    left = {spec.name: spec for spec in world_specs()}
    families = {family: [left.pop(s.name) for s in specs if s.name in left] for family, specs in FAMILIES.items()}
    for family, specs in {**families, "Others": list(left.values())}.items():
        if specs:
            table.add_row(f"[dim]{escape(family)}[/dim]")
        for spec in specs:
            table.add_row(f"  {spec.name}", str(spec.players), escape(spec.description))
    others = sum(not name.startswith("inscape/") for name in gymnasium.registry)
    table.add_row("[dim]Read and answered in text (no law)[/dim]")
    for text in text_env_specs().values():
        table.add_row(f"  {text.name}", "1", escape(text.summary))
    table.add_row("[dim]Not in this list[/dim]")
    table.add_row("[dim]  file.py:Class[/dim]", "", "[dim]a World of your own, as in examples/elevator.py[/dim]")
    more = f"{others} registered, LunarLander-v3 among them; no law"
    table.add_row("[dim]  any Gymnasium id[/dim]", "", f"[dim]{more}[/dim]")
    table.add_row("[dim]  text:WORLD[/dim]", "", "[dim]anything with named actions, answered in words[/dim]")
    table.add_row("[dim]  pixels:WORLD[/dim]", "", "[dim]an Inscape world seen as its drawing, frames stacked[/dim]")
    table.add_row("[dim]  pettingzoo:MODULE[/dim]", "", "[dim]a PettingZoo environment[/dim]")
    return "Worlds (Gymnasium ids: inscape/NAME-v0)", table


def _list_agents() -> tuple[str, Table]:
    from inscape.agents.registry import agent_entries

    table = make_table("name", "what it is", "learns")
    for entry in agent_entries():
        table.add_row(entry.name, escape(entry.description), "yes" if entry.learns else "")
    table.add_row(
        "[dim]independent:NAME[/dim]", "[dim]one learner for each player: independent:ppo[/dim]", "[dim]yes[/dim]"
    )
    table.add_row("[dim]file.py:Class[/dim]", "[dim]an agent of your own, as in examples/my_agent.py[/dim]")
    return "Agents", table


def _list_planners() -> tuple[str, Table]:
    from inscape.world_models.planning.catalogue import PLANNERS

    table = make_table("name", "what it is", "actions")
    for entry in PLANNERS:
        table.add_row(", ".join((entry.name, *entry.aliases)), escape(entry.description), entry.actions)
    table.add_row("[dim]file.py:Class[/dim]", "[dim]a planner of your own, as in examples/my_planner.py[/dim]")
    return "Planners (inscape plan WORLD --planner NAME)", table


def _list_models() -> tuple[str, Table]:
    from inscape.world_models.catalogue import WORLD_MODELS

    table = make_table("name", "what it is", "worlds")
    table.add_row("known", "the world's own law, searched compiled", "")
    for entry in WORLD_MODELS:
        table.add_row(entry.name, escape(entry.description), escape(entry.worlds))
    table.add_row("[dim]RUN[/dim]", "[dim]the model that a run, or its agent, has learned[/dim]")
    table.add_row("[dim]file.py:Class[/dim]", "[dim]a model of your own, as in examples/my_model.py[/dim]")
    return "World models (inscape train NAME WORLD; inscape plan WORLD --model NAME)", table


def _list_questions() -> tuple[str, Table]:
    import tomllib

    from inscape.experiments.commands.run import questions

    table = make_table("name", "what it asks", "expected")
    for name, file in questions().items():
        document = tomllib.loads(file.read_text(encoding="utf-8"))
        table.add_row(name, escape(document["question"]), escape(document["expected"]))
    table.add_row("[dim]FILE.toml[/dim]", "[dim]an experiment of your own: docs/experiments.md[/dim]")
    return "Questions (inscape run NAME)", table


def _list_runs(given: ListArguments) -> tuple[str, Table]:
    """Returns the runs of a folder; of metrics, however long, only the end is read."""
    if given.root != DEFAULT_ROOT and not Path(given.root).is_dir():
        raise UsageError(f"no folder {given.root}", expected="a folder of runs", hint="inscape list runs --root runs")
    folders = run_folders(given.root)
    rows = [row for folder in folders if (row := _row(folder, given)) is not None]
    if given.sort is not None:
        rows.sort(key=lambda row: row.place(given.sort))
    table = make_table("folder", "agent", "world", "seed", "steps", "return", "seconds",
                       numbers=("seed", "steps", "return", "seconds"))  # fmt: skip
    for row in rows[: given.limit]:
        if row.error:
            table.add_row(escape(row.folder), f"[red]{escape(row.error)}[/red]")
            continue
        progress = f"{row.steps:,}" if row.steps >= row.asked else f"{row.steps:,} of {row.asked:,}"
        score = "" if row.score is None else f"{row.score:.4g}"
        cells = (row.folder, row.agent, row.world, str(row.seed), progress, score, f"{row.seconds:.3g}")
        table.add_row(*map(escape, cells))
    if given.limit is not None and len(rows) > given.limit:
        table.add_row(f"[dim]and {len(rows) - given.limit} more[/dim]")
    if not rows:
        table.add_row(f"[dim]{'none of these' if folders else 'none yet: inscape train AGENT WORLD'}[/dim]")
    return "Runs", table


@dataclass(frozen=True)
class _Row:
    """A run in the list; a damaged one has an error, and no more than its folder."""

    folder: str
    agent: str = ""
    world: str = ""
    seed: int = 0
    steps: int = 0
    asked: int = 0
    score: float | None = None
    seconds: float = 0.0
    error: str = ""

    def place(self, by: str | None) -> tuple[bool, float]:
        """Returns what to sort by: the highest score, the longest time, the most steps first; what has none last."""
        value = {"score": self.score, "time": self.seconds, "steps": float(self.steps)}[str(by)]
        if self.error or value is None or value != value:
            return (True, 0.0)
        return (False, -value)


def _row(folder: Path, given: ListArguments) -> _Row | None:
    """Returns a run's row; None where it is not of the agent or the world that are asked for."""
    try:
        run = open_run(folder)
        final = run.evaluation()
    except UsageError as error:  # one damaged run does not hide the others
        return _Row(str(folder), error=error.found) if given.agent is None and given.world is None else None
    settings, world = run.settings, str(run.settings.task.get("name"))
    names = (world, world.rpartition("/")[2], world.removeprefix("inscape/").removesuffix("-v0"))
    if given.agent not in (None, settings.agent) or (given.world is not None and given.world not in names):
        return None
    # of the evaluation at the end, as `train` printed it; before there is one, the curve's last point
    try:
        last = run.latest(("steps", "seconds", *(() if final is not None else ("evaluation/return_mean",))))
    except UsageError as error:
        return _Row(str(folder), error=error.found)
    score = final[0].estimate if final is not None else last.get("evaluation/return_mean")
    steps, seconds = last.get("steps", 0.0), last.get("seconds", 0.0)
    return _Row(
        str(run.path), settings.agent, world, settings.seed, int(steps) if np.isfinite(steps) else 0, settings.steps,
        score, seconds,
    )  # fmt: skip
