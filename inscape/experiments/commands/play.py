"""`inscape play`: plays by hand, and says where the record lies and what can be done with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from rich.markup import escape
from tyro.conf import Positional, arg

from inscape.experiments.arguments import parsing as args
from inscape.experiments.commands.observers import live_observer
from inscape.experiments.commands.output import make_console, returns_of


@dataclass(frozen=True)
class PlayArguments(args.TaskArguments):
    """Opens a window to play in; what happens is recorded as any agent's episodes are.

    The window lists the keys. R begins again, P pauses, Space takes a single step, Esc or Q leaves and keeps what was
    played. Worlds in real time begin with the first key; the others wait for every key.

    Examples:
      inscape play FourGoals
      inscape play CartPole --fps 15
      inscape play TicTacToe --players human,mcts
      inscape play TicTacToe --players human          everybody at one keyboard
      inscape play FourGoals --observe                an observer infers what you want, as you play
    """

    task: Annotated[Positional[str], arg(metavar="WORLD")]
    """The world, or any Gymnasium environment with few enough actions."""

    players: Annotated[str, arg(metavar="NAME,…")] = ""
    """Who plays each part: human, an agent or a run; one name for all; without it, you, the others at random."""

    reveal: bool = False
    """Show what the player cannot perceive, too."""

    fps: Annotated[float | None, arg(metavar="FLOAT")] = None
    """Steps per second in real time; without it, what suits the world."""

    realtime: Annotated[bool | None, arg(metavar="True|False")] = None
    """Whether time goes on without a key; without it, in worlds of continuous states or actions."""

    size: int = 640
    """Pixels of the longer side of the picture."""

    save: Annotated[str | None, arg(metavar="FILE.npz")] = None
    """Where to record; without it, a fresh file in runs/play."""

    seed: int = 0
    """Seed of the first episode; each later one has the next."""

    observe: bool = False
    """Show in the panel what an observer believes about you, after every step."""

    minds: Annotated[str, arg(metavar="FILE:NAME")] = ""
    """Minds of your own that the observer considers, as in inscape observe; without it, the world's goals."""


def play_command(argv: Sequence[str]) -> int:
    """Plays by hand, and says where the record lies and what can be done with it."""
    names = args.leading_names(argv, 1, "inscape play WORLD [options]")
    given = args.parse("play", PlayArguments, argv, args.world_settings_group(names[0]) if names else None)
    from inscape.envs.rendering.rasterizer import require_display

    require_display("inscape play")
    task = args.named_task(given.task, args.task_options_of(given), args.changed_world_settings(given))
    from inscape.experiments.viewing.play import play

    players = args.words_of(given.players)
    observer = live_observer(given.minds, task, players) if given.observe or given.minds else None
    played = play(
        task,
        players,
        given.seed,
        given.save,
        given.reveal,
        given.fps,
        given.size,
        given.realtime,
        observer=observer,
    )
    console = make_console()
    if played.path is None:
        console.print("Nothing was played, nothing is kept.")
        return 0
    for number, trajectory in enumerate(played.trajectories, 1):
        how = "terminated" if trajectory.terminated else "truncated"
        gained = returns_of(trajectory)
        console.print(f"Episode {number}: {len(trajectory)} steps, return [bold]{gained}[/bold], {how}")
    console.print(f"Recorded in {played.path}", soft_wrap=True)
    if task.world is not None:
        console.print(f"See it again: inscape watch {escape(str(played.path))}", soft_wrap=True)
        if task.world.players == 1 and task.world.goals:
            console.print(f"What did you want? inscape observe {escape(str(played.path))}", soft_wrap=True)
    return 0
