"""`inscape report`: one HTML file on some runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from tyro.conf import Positional, arg

from inscape.errors import UsageError
from inscape.experiments.arguments import parsing as args
from inscape.experiments.commands.output import make_console
from inscape.experiments.runs.folders import open_run


@dataclass(frozen=True)
class ReportArguments:
    """Writes one self-contained HTML file on some runs.

    Examples:
      inscape report runs/CartPole-ppo-seed0
      inscape report runs/CartPole-* --out cartpole.html
    """

    runs: Annotated[Positional[tuple[str, ...]], arg(metavar="RUN")]
    """Run folders; runs of one agent and world are averaged."""

    out: Annotated[str | None, arg(metavar="FILE")] = None
    """Where to write; without it, report.html in the first run's folder."""


def report_command(argv: Sequence[str]) -> int:
    """Writes the report on some runs."""
    from inscape.experiments.report import report_for_runs

    given = args.parse("report", ReportArguments, argv)
    if not given.runs:
        raise UsageError("no runs to report on", expected="inscape report RUN…", hint="inscape list runs")
    path = report_for_runs(given.runs, given.out or open_run(given.runs[0]).path / "report.html")
    make_console().print(f"Report in {path}; open it in a browser.", soft_wrap=True)
    return 0
