"""`inscape bench`: methods compared over many seeds, exact values beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from inscape.errors import UsageError
from inscape.experiments.arguments import parsing as args
from inscape.experiments.commands.output import make_console, make_table, number, print_table


@dataclass(frozen=True)
class BenchArguments:
    """Compares methods over many seeds, exact values beside them.

    tabular: Monte Carlo against temporal differences, learning on-policy against off-policy.

    Examples:
      inscape bench tabular
      inscape bench tabular FrozenLake Chain --steps 50000 --seeds 100
    """

    what: Annotated[Positional[Literal["tabular"]], arg(metavar="tabular")]
    """The comparison."""

    worlds: Annotated[Positional[tuple[str, ...]], arg(metavar="WORLD")] = ("FrozenLake", "CliffWalking")
    """Worlds small enough to solve exactly."""

    steps: Annotated[int, arg(metavar="N")] = 50_000
    """Environment steps of each learner."""

    seeds: int = 30
    """Learners of each method."""

    seed: int = 0
    """Seed of the first."""

    out: Annotated[str, arg(metavar="DIR")] = "runs/bench-tabular"
    """Where the numbers go."""


def bench_command(argv: Sequence[str]) -> int:
    """Compares methods; prints tables and where the numbers lie."""
    from inscape.experiments.benchmarks.tabular import bench_tabular, save_bench

    given = args.parse("bench", BenchArguments, argv)
    for name in ("steps", "seeds"):
        if getattr(given, name) < 1:
            raise UsageError(f"--{name} {getattr(given, name)}", expected="a whole number of at least 1")
    console = make_console()
    found = bench_tabular(given.worlds, given.steps, given.seeds, given.seed)
    for world, results in found.items():
        exact = results["exact"]
        title = f"{world}: γ = {exact['gamma']:g}, {given.seeds} seeds, {given.steps:,} steps each"
        columns = ("bias at start", "deviation", "rms error")
        table = make_table("the value of random play", *columns, numbers=columns)
        for row in results["prediction"]:
            table.add_row(row["method"], *(number(row[key]) for key in ("bias", "deviation", "rms_error")))
        table.add_row("[dim]exact value at start[/dim]", f"[dim]{number(exact['random'])}[/dim]")
        print_table(console, title, table)
        console.print()
        measures = ("online return", "greedy value", "believed", "solved", "greedy steps")
        table = make_table("learning to act", *measures, numbers=measures)
        for row in results["control"]:
            numbers = [number(row[key]) for key in ("online_return", "greedy_value", "believed_value")]
            table.add_row(row["method"], *numbers, f"{row['solved']:.0%}", f"{row['greedy_length']:.1f}")
        table.add_row("[dim]exact optimum[/dim]", "", f"[dim]{number(exact['best'])}[/dim]")
        console.print(table)
        console.print()
    settings = {"steps": given.steps, "seeds": given.seeds, "seed": given.seed}
    console.print(f"Results in {save_bench(found, settings, given.out)}", soft_wrap=True)
    return 0
