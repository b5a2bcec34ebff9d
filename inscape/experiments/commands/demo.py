"""`inscape demo`: the whole platform once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from tyro.conf import arg

from inscape.experiments.arguments import parsing as args


@dataclass(frozen=True)
class DemoArguments:
    """Runs the whole platform once, in under three minutes, and leaves runs/demo/report.html.

    Examples:
      inscape demo
    """

    seed: int = 0
    """Seed of everything random."""

    out: Annotated[str, arg(metavar="DIR")] = "runs/demo"
    """Where the runs and the report go."""


def demo_command(argv: Sequence[str]) -> int:
    """Runs the demo."""
    given = args.parse("demo", DemoArguments, argv)
    from inscape.experiments.demo.demo import run_demo

    run_demo(given.out, seed=given.seed)
    return 0
