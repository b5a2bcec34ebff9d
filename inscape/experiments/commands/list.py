"""`inscape list`: what is known by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from rich.markup import escape
from rich.table import Table
from tyro.conf import Positional, arg

from inscape.errors import UsageError
from inscape.experiments.arguments import parsing as args
from inscape.experiments.commands.output import make_console, make_table, print_table
from inscape.experiments.runs.folders import open_run, run_folders


@dataclass(frozen=True)
class ListArguments:
    """Lists what is known by name.

    Examples:
      inscape list
      inscape list agents
      inscape list runs
      inscape list worlds --gallery docs/worlds.md
    """

    what: Positional[Literal["all", "worlds", "agents", "planners", "models", "questions", "runs"]] = "all"
    """What to list."""

    gallery: Annotated[str | None, arg(metavar="FILE.md")] = None
    """Write a page on every world, with a picture and the settings of each, instead."""


def list_command(argv: Sequence[str]) -> int:
    """Prints what is known by name."""
    given = args.parse("list", ListArguments, argv)
    console = make_console()
    if given.gallery is not None:
        from inscape.experiments.viewing.gallery import write_gallery

        count = write_gallery(given.gallery)
        console.print(f"{count} worlds in {given.gallery}", soft_wrap=True)
        return 0
    tables = {
        "worlds": _list_worlds, "agents": _list_agents, "planners": _list_planners, "models": _list_models,
        "questions": _list_questions, "runs": _list_runs,
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

    table = make_table("name", "players", "what it is", numbers=("players",))
    left = {spec.name: spec for spec in world_specs()}
    families = {family: [left.pop(s.name) for s in specs if s.name in left] for family, specs in FAMILIES.items()}
    for family, specs in {**families, "Others": list(left.values())}.items():
        if specs:
            table.add_row(f"[dim]{escape(family)}[/dim]")
        for spec in specs:
            table.add_row(f"  {spec.name}", str(spec.players), escape(spec.description))
    others = sum(not name.startswith("inscape/") for name in gymnasium.registry)
    table.add_row("[dim]Not in this list[/dim]")
    table.add_row("[dim]  file.py:Class[/dim]", "", "[dim]a World of your own, as in examples/elevator.py[/dim]")
    more = f"{others} registered, LunarLander-v3 among them; no law"
    table.add_row("[dim]  any Gymnasium id[/dim]", "", f"[dim]{more}[/dim]")
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
    table = make_table("name", "what it is")
    table.add_row("known", "the world's own law, searched compiled")
    table.add_row("tabular", "counts of what followed what, learned from random steps")
    table.add_row("RUN", "the model that the agent of a run has learned")
    return "World models (inscape plan WORLD --model NAME)", table


def _list_questions() -> tuple[str, Table]:
    import tomllib

    from inscape.experiments.commands.run import questions

    table = make_table("name", "what it asks", "expected")
    for name, file in questions().items():
        document = tomllib.loads(file.read_text(encoding="utf-8"))
        table.add_row(name, escape(document["question"]), escape(document["expected"]))
    table.add_row("[dim]FILE.toml[/dim]", "[dim]an experiment of your own: docs/experiments.md[/dim]")
    return "Questions (inscape run NAME)", table


def _list_runs() -> tuple[str, Table]:
    table = make_table("folder", "agent", "world", "seed", "steps", "return", numbers=("seed", "steps", "return"))
    for folder in run_folders():
        try:
            run = open_run(folder)
            metrics = run.metric_columns(("steps", "evaluation/return_mean"))
            final = run.evaluation()
        except UsageError as error:  # one damaged run does not hide the others
            table.add_row(escape(str(folder)), f"[red]{escape(error.found)}[/red]")
            continue
        settings = run.settings
        steps, returns = metrics["steps"].values, metrics["evaluation/return_mean"].values
        done = int(steps[np.isfinite(steps)].max(initial=0))
        progress = f"{done:,}" if done >= settings.steps else f"{done:,} of {settings.steps:,}"
        # of the evaluation at the end, as `train` printed it; before there is one, the curve's last point
        last = f"{final[0].estimate:.4g}" if final is not None else f"{returns[-1]:.4g}" if len(returns) else ""
        name = str(settings.task.get("name"))
        table.add_row(escape(str(run.path)), escape(settings.agent), escape(name), str(settings.seed), progress, last)
    if not table.rows:
        table.add_row("[dim]none yet: inscape train AGENT WORLD[/dim]")
    return "Runs", table
