"""`inscape export`: a run's agent in a format of others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from tyro.conf import Positional, arg

from inscape.experiments.arguments import parsing as args
from inscape.experiments.commands.output import make_console


@dataclass(frozen=True)
class ExportArguments:
    """Writes a run's agent in a format of others.

    Examples:
      inscape export runs/CartPole-ppo-seed0 --to onnx
      inscape export runs/CartPole-ppo-seed0 --to sb3 --out cartpole.zip
      inscape export runs/CartPole-ppo-seed0 --to hub:me/cartpole
      inscape export hub:somebody/cartpole --to hub-folder --out runs/theirs
    """

    run: Annotated[Positional[str], arg(metavar="RUN")]
    """A run folder, or hub:NAME to download one."""

    to: Annotated[str, arg(metavar="onnx|torchscript|sb3|hub-folder|hub:NAME")]
    """The format: onnx and torchscript act greedily and need no Inscape; sb3 is a zip of Stable-Baselines3; hub-folder
    is the run with a card, without pickles; hub:NAME uploads that."""

    out: Annotated[str | None, arg(metavar="PATH")] = None
    """Where to write; without it, the run's name with an ending, here."""


def export_command(argv: Sequence[str]) -> int:
    """Writes the file or folder and says where it is."""
    from inscape.experiments.exporting.export import export

    given = args.parse("export", ExportArguments, argv)
    where = export(given.run, given.to, given.out)
    make_console().print(f"{given.run} as {given.to}: {where}", soft_wrap=True)
    return 0
