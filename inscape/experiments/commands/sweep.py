"""`inscape sweep`: the settings with which an agent does best in a world; the best becomes the user's preset."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from rich.markup import escape
from tyro.conf import Positional, arg

from inscape.experiments.arguments import parsing as args
from inscape.experiments.arguments.suggestions import require_agent_first
from inscape.experiments.arguments.train import Device, Steps
from inscape.experiments.commands.output import make_console, make_table, number, print_table

DEFAULT_FOLDER = Path("sweeps")


@dataclass(frozen=True)
class SweepArguments(args.TaskArguments):
    """Searches the settings with which an agent does best in a world. The best becomes a preset of yours.

    Stopped or killed, the same command goes on. Several, on several machines, may work on one --out.

    Examples:
      inscape sweep ppo my_world.py:World --trials 50 --minutes 10
      inscape sweep dqn CartPole --trials 40 --jobs 2 --search space.toml
      inscape sweep q-learning FrozenLake8x8 --minutes 5 --seeds 3
    """

    agent: Annotated[Positional[str], arg(metavar="AGENT")]
    """The agent: a name, file.py:Class or package.module:Class."""

    task: Annotated[Positional[str], arg(metavar="WORLD")]
    """The world."""

    trials: Annotated[int | None, arg(metavar="N")] = None
    """How many, those before included; 50, or with --minutes as many as there is time for."""

    minutes: Annotated[float | None, arg(metavar="M")] = None
    """Time for everything; three tenths of it train the best again with fresh seeds."""

    jobs: Annotated[int, arg(metavar="N")] = 1
    """Worker processes."""

    search: Annotated[str | None, arg(metavar="FILE.toml")] = None
    """A search space of your own, a line for each setting: learning_rate = {low = 1e-4, high = 1e-2, log = true}, or
    gamma = {choices = [0.9, 0.99]}. Without it, what comes with the agent."""

    steps: Steps = None
    """Environment steps of each trial; without it, what is known to do for this agent and world."""

    seeds: Annotated[int, arg(metavar="N")] = 1
    """Seeds that each trial is trained with; its score is their mean."""

    confirm: Annotated[int, arg(metavar="N")] = 5
    """Fresh seeds that the best are trained again with, beside the defaults; 0 for none."""

    pruner: Literal["median", "halving", "none"] = "median"
    """What ends trials early whose learning curve is low."""

    seed: int = 0
    """Of the search."""

    device: Device = "cpu"
    """Where tensors live."""

    out: Annotated[str | None, arg(metavar="DIR")] = None
    """The sweep's folder; without it, sweeps/WORLD-AGENT."""

    save_preset: bool = True
    """Keep the best as your preset, which train takes from then on."""


def sweep_command(argv: Sequence[str]) -> int:
    """Sweeps and prints what was found."""
    from inscape.experiments.sweeps.sweep import sweep

    names = args.leading_names(argv, 2, "inscape sweep AGENT WORLD [options]")
    require_agent_first("sweep", names)
    default = args.named_task(names[1], args.task_options(argv)[1]) if len(names) == 2 else None
    groups = None if default is None else args.world_settings_group(default.name, default.settings)
    given = args.parse("sweep", SweepArguments, argv, groups)
    task = args.task_given(given, default)
    plain = re.sub(r"[^\w.=-]+", "-", f"{task.name.rpartition('/')[2]}-{given.agent.rpartition('/')[2]}").strip("-")
    out = Path(given.out) if given.out else DEFAULT_FOLDER / plain
    found = sweep(
        given.agent, task, trials=given.trials, minutes=given.minutes, jobs=given.jobs, search=given.search,
        steps=given.steps, seeds=given.seeds, confirm=given.confirm, pruner=given.pruner, seed=given.seed,
        device=given.device, out=out, save_preset=given.save_preset,
    )  # fmt: skip
    _print(found, out)
    return 0


def _print(found: Any, out: Path) -> None:
    console = make_console()
    counts = f"{found.complete} trials complete, {found.pruned} pruned, {found.failed} failed"
    console.print(f"{counts}, of {found.steps:,} steps each", soft_wrap=True)
    for error in found.errors[:5]:
        console.print(f"[red]failed[/red] {escape(error)}", soft_wrap=True)
    table = make_table("settings", "search", "fresh seeds", numbers=("search", "fresh seeds"))
    for one in found.candidates:
        said = ", ".join(f"{name}={_short(value)}" for name, value in one.settings.items()) or "defaults"
        cells = [number(value) if value is not None else "" for value in (one.searched, one.score)]
        table.add_row(escape(said), *cells)
    print_table(console, f"{found.agent} in {found.world}: mean returns", table)
    if not found.best.settings:
        console.print("Nothing better than the defaults was found.")
        return
    words = " ".join(f"--{name.replace('_', '-')} {_word(value)}" for name, value in found.best.settings.items())
    if found.preset is not None:
        text = f"Saved as your preset, which inscape train takes in this world (--no-preset for none): {found.preset}"
        console.print(escape(text), soft_wrap=True)
    console.print(f"The best: {escape(words)}", soft_wrap=True)
    console.print(f"Trials in {escape(shlex.quote(str(out)))}; the same command goes on.", soft_wrap=True)


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _word(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return " ".join(map(str, value))
    return str(value)
