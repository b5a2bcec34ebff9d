"""`inscape compare`: agents in statistics, from runs or experiments; `inscape diff`: the settings of two runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from rich.console import Console
from rich.markup import escape
from tyro.conf import Positional, arg

from inscape.errors import UsageError
from inscape.experiments.arguments import parsing as args
from inscape.experiments.commands.output import make_console, make_table, print_table
from inscape.experiments.numbers import number_text
from inscape.experiments.runs.storage.files import write_text, writing

if TYPE_CHECKING:
    from inscape.experiments.runs.statistics import Interval
    from inscape.experiments.trials.comparison import Comparison


@dataclass(frozen=True)
class CompareArguments:
    """Compares agents: interquartile means with bootstrap intervals over seeds, and who is how probably better.

    Examples:
      inscape compare runs
      inscape compare experiments/lake
      inscape compare runs/CartPole-ppo-seed* runs/CartPole-dqn-seed*
      inscape compare experiments/lake --save compared.html
    """

    sources: Annotated[Positional[tuple[str, ...]], arg(metavar="RUN|FOLDER…")]
    """Run folders, folders full of runs, or folders of experiments."""

    exact: bool = False
    """Exact values of the final policies in place of mean returns."""

    confidence: float = 0.95
    """Coverage of the intervals."""

    save: Annotated[str | None, arg(metavar="FILE.html|.json")] = None
    """Write a page with learning curves, or the numbers."""


def compare_command(argv: Sequence[str]) -> int:
    """Prints agents compared."""
    from inscape.experiments.trials.comparison import compare

    given = args.parse("compare", CompareArguments, argv)
    path = None if given.save is None else Path(given.save)
    if path is not None and path.suffix not in (".html", ".json"):
        raise UsageError(f"--save {given.save}", expected="a file that ends in .html or .json")
    compared = compare(*given.sources, exact=given.exact, confidence=given.confidence)
    console = make_console()
    print_comparison(console, compared)
    if path is not None:
        if path.suffix == ".json":
            with writing(path):
                write_text(path, json.dumps(as_json(compared), indent=2) + "\n")
        else:
            from inscape.experiments.report.compared import save_compared

            save_compared(path, compared, ("inscape compare " + " ".join(argv),))
        console.print(f"Saved in {escape(str(path))}", soft_wrap=True)
    return 0


def print_comparison(console: Console, compared: Comparison) -> None:
    """Prints a table of agents by world, who is better in pairs, and over all worlds."""
    several = len({row.world for row in compared.rows}) > 1
    exact = any(row.regret is not None for row in compared.rows)
    columns = ["world", "agent", "runs", "interquartile mean", "interval", "mean"]
    columns += ["regret"] if exact else []
    columns += ["steps", "s a run"]
    table = make_table(*columns, numbers=columns[2:])
    for row in compared.rows:
        best = compared.best(row.world) == row.agent
        estimate = number_text(row.iqm.estimate, 4)
        cells = [escape(row.world), escape(row.agent), str(row.runs)]
        cells += [f"[bold]{estimate}[/bold]" if best else estimate, _interval(row.iqm), number_text(row.mean, 4)]
        cells += [("" if row.regret is None else number_text(row.regret, 3))] if exact else []
        cells += [f"{row.steps:,}", f"{row.seconds:.3g}"]
        table.add_row(*cells)
    print_table(console, f"Agents, intervals of {100 * compared.confidence:g} % over seeds", table)
    if compared.pairs:
        pairs = make_table("world", "better", "than", "P(improvement)", "interval", "difference",
                           numbers=("P(improvement)", "interval", "difference"))  # fmt: skip
        for pair in compared.pairs[:MOST_PAIRS]:
            by_seed = pair.difference
            cell = "" if by_seed is None else f"{number_text(by_seed.estimate, 3)} ({_interval(by_seed)})"
            pairs.add_row(escape(pair.world), escape(pair.better), escape(pair.worse),
                          number_text(pair.improvement.estimate, 3), _interval(pair.improvement), cell)  # fmt: skip
        print_table(console, "In pairs; differences at equal seeds", pairs)
        if len(compared.pairs) > MOST_PAIRS:
            console.print(f"[dim]and {len(compared.pairs) - MOST_PAIRS} more pairs[/dim]")
    if several and compared.overall:
        overall = make_table("agent", "interquartile mean", "interval", numbers=("interquartile mean", "interval"))
        for agent, interval in sorted(compared.overall.items(), key=lambda item: -item[1].estimate):
            overall.add_row(escape(agent), number_text(interval.estimate, 3), _interval(interval))
        print_table(console, "Over all worlds", overall)
        console.print(f"[dim]{compared.scale}[/dim]", soft_wrap=True)
    for agent, settings in compared.settings.items():
        if settings:
            said = ", ".join(f"{name} {value}" for name, value in settings.items())
            console.print(f"[dim]{escape(agent)}: {escape(said)}[/dim]", soft_wrap=True)


MOST_PAIRS = 20


def _interval(interval: Interval) -> str:
    return f"{number_text(interval.low, 3)} to {number_text(interval.high, 3)}"


def as_json(compared: Comparison) -> dict[str, Any]:
    """Returns a comparison as plain data."""

    def plain(interval: Interval | None) -> Any:
        return None if interval is None else [interval.estimate, interval.low, interval.high]

    return {
        "confidence": compared.confidence,
        "agents": [
            {
                "world": row.world, "agent": row.agent, "runs": row.runs, "failed": row.failed,
                "interquartile_mean": plain(row.iqm), "mean": row.mean, "regret": row.regret, "steps": row.steps,
                "seconds": row.seconds, "curve": [[steps, *plain(interval)] for steps, interval in row.curve],
            }
            for row in compared.rows
        ],
        "pairs": [
            {
                "world": pair.world, "better": pair.better, "worse": pair.worse,
                "improvement": plain(pair.improvement), "difference": plain(pair.difference),
            }
            for pair in compared.pairs
        ],
        "overall": {agent: plain(interval) for agent, interval in compared.overall.items()},
        "profiles": {agent: list(map(float, profile)) for agent, profile in compared.profiles.items()},
        "thresholds": list(map(float, compared.thresholds)),
        "settings": {agent: dict(settings) for agent, settings in compared.settings.items()},
    }  # fmt: skip
