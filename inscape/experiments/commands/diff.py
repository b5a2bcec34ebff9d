"""`inscape diff`: in what two runs differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from rich.markup import escape
from tyro.conf import Positional, arg

from inscape.experiments.arguments import parsing as args
from inscape.experiments.commands.output import make_console, make_table, print_table

ABSENT = "–"


@dataclass(frozen=True)
class DiffArguments:
    """Says in what two runs differ: agent, world, settings, versions, and what came of them.

    Example:
      inscape diff runs/CartPole-ppo-seed0 runs/CartPole-ppo-seed1
    """

    first: Annotated[Positional[str], arg(metavar="RUN")]
    """A run."""

    second: Annotated[Positional[str], arg(metavar="RUN")]
    """Another."""


def diff_command(argv: Sequence[str]) -> int:
    """Prints in what two runs differ."""
    from inscape.experiments.runs.folders import open_run
    from inscape.experiments.runs.settings import flat_settings

    given = args.parse("diff", DiffArguments, argv)
    runs = [open_run(given.first), open_run(given.second)]
    documents = [flat_settings({k: v for k, v in run.settings.to_json().items() if k != "code"}) for run in runs]
    table = make_table("setting", runs[0].name, runs[1].name)
    names = [name for name in dict.fromkeys([*documents[0], *documents[1]])
             if documents[0].get(name, ABSENT) != documents[1].get(name, ABSENT)]  # fmt: skip
    for name in names:
        table.add_row(escape(name), *(escape(str(document.get(name, ABSENT))) for document in documents))
    codes = [{name: record.get("sha256") for name, record in run.settings.code.items()} for run in runs]
    for name in dict.fromkeys([*codes[0], *codes[1]]):
        if codes[0].get(name) != codes[1].get(name):
            table.add_row(escape(f"file {name}"), *((code.get(name) or ABSENT)[:12] for code in codes))
    console = make_console()
    if table.row_count:
        print_table(console, "Settings that differ", table)
    else:
        console.print("All settings are the same")
    evaluations = [run.evaluation() for run in runs]
    if all(evaluations):
        told = [f"{run.name}: {found[0]}" for run, found in zip(runs, evaluations, strict=True) if found]
        console.print("Return after training: " + escape("; ".join(told)), soft_wrap=True)
    return 0
