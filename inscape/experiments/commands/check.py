"""`inscape check`: whether a world or an agent keeps its contract."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from rich.markup import escape
from tyro.conf import Positional, arg

from inscape.errors import UsageError
from inscape.experiments.arguments import parsing as args
from inscape.experiments.commands.output import make_console, make_table, print_table


@dataclass(frozen=True)
class CheckArguments(args.TaskArguments):
    """Checks a world, an environment or an agent against its contract.

    Examples:
      inscape check FrozenLake
      inscape check examples/elevator.py:Elevator
      inscape check q-learning FrozenLake8x8
      inscape check examples/balance.py:Balance CartPole
      inscape check examples/elevator.py:Elevator --show-law
    """

    target: Annotated[Positional[str], arg(metavar="WORLD|AGENT|FILE.py:Class")]
    """What to check."""

    task: Annotated[Positional[str], arg(metavar="WORLD")] = ""
    """The world to check an agent in; without it, one that it can act in."""

    show_law: bool = False
    """Print the code generated between a world's law and the kernels, and where it lies; check nothing."""


def check_command(argv: Sequence[str]) -> int:
    """Prints a table of checks; exit code 2 if one fails."""
    from inscape.experiments.checks.check import check, classify

    names = args.leading_names(argv, 2, "inscape check WORLD | inscape check AGENT [WORLD] [options]")
    kind = classify(names[0]) if names else ""
    if kind == "world" and len(names) == 2:
        raise UsageError(f"{names[1]!r} after the world {names[0]}", expected="a world alone, or AGENT WORLD")
    world = names[-1] if kind == "world" or len(names) == 2 else ""
    given = args.parse("check", CheckArguments, argv, args.world_settings_group(world) if world else None)
    settings = args.changed_world_settings(given)
    if given.show_law:
        return _show_law(given.target, kind, settings)
    report = check(
        given.target,
        task=args.named_task(world, args.task_options_of(given), settings) if world else None,
        settings=settings if kind == "world" else None,
    )
    console = make_console()
    table = make_table("", "check", "found")
    marks = {True: "[green]pass[/green]", False: "[bold red]FAIL[/bold red]", None: "[dim]skip[/dim]"}
    for item in report.checks:
        table.add_row(marks[item.passed], item.name, escape(item.message))
    print_table(console, report.subject, table)
    if kind == "agent" and not given.task:
        console.print(f"[dim]Another world: inscape check {escape(given.target)} WORLD[/dim]", soft_wrap=True)
    failures = len(report.failures)
    made = sum(item.passed is not None for item in report.checks)
    console.print(f"{made} checks made, {failures} failed." if failures else f"{made} checks made, all passed.")
    return 2 if failures else 0


def _show_law(target: str, kind: str, settings: dict[str, Any]) -> int:
    """Prints the generated module of a world's law, as plain kernels run it and debuggers stop in it."""
    from inscape.envs.compile import cpu as compiler
    from inscape.envs.tasks.resolve import resolve_task

    task = resolve_task(target, settings) if kind == "world" else None
    if task is None or task.world is None:
        raise UsageError(f"{target} has no law to show", expected="a world written as a law (inscape list worlds)")
    law = compiler.law_module(task.world.compiled_law, compiled=False)
    print(f"# {law.__file__}\n{compiler.law_text(task.world.compiled_law, compiler.PYTHON_NUMBERS)}", end="")
    return 0
