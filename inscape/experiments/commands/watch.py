"""`inscape watch`: shows agents at work, or recorded episodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, arg

from inscape.errors import UsageError
from inscape.experiments.arguments import parsing as args
from inscape.experiments.commands.observers import live_observer, task_of
from inscape.experiments.commands.output import make_console
from inscape.experiments.commands.sources import agent_and_task, cast_and_task, parse_cast_command
from inscape.experiments.runs.storage.episodes import load_trajectories, names_episodes


@dataclass(frozen=True)
class WatchArguments(args.TaskArguments):
    """Shows agents at work, or recorded episodes: a window, a GIF or MP4 file, or a folder of pictures.

    Examples:
      inscape watch runs/CartPole-ppo-seed0
      inscape watch mcts FrozenLake8x8
      inscape watch random CartPole --copies 9 --save nine.gif
      inscape watch mcts,random TicTacToe
      inscape watch runs/play/FourGoals-1.npz
      inscape watch value-iteration FourGoals --observe
      inscape watch runs/TextRepair-llm-seed0 --save episode.txt
    """

    source: Annotated[Positional[str], arg(metavar="RUN|AGENT[,AGENT…]|EPISODES")]
    """A run folder, an agent (several players: one for each, with commas), or a file of recorded episodes."""

    task: Annotated[Positional[str], arg(metavar="WORLD")] = ""
    """The world; a run or recorded episodes leave it out."""

    save: Annotated[str | None, arg(metavar="FILE|DIR")] = None
    """Write .gif or .mp4, or numbered .png pictures in a folder, instead of opening a window; .txt of texts."""

    episodes: Annotated[int | None, arg(metavar="N")] = None
    """Episodes to show; without it, as many as copies, and all that are recorded."""

    copies: int = 1
    """Episodes side by side."""

    fps: Annotated[float | None, arg(metavar="FLOAT")] = None
    """Frames per second; without it, what suits the world."""

    size: int = 480
    """Width of the picture in pixels."""

    seed: int = 0
    """Seed of the episodes."""

    best: bool = False
    """Of a run: the model of its best evaluation, as RUN/best (train with --keep-best), not the newest."""

    observe: bool = False
    """Show beside the picture what an observer believes about the agent."""

    minds: Annotated[str, arg(metavar="FILE:NAME")] = ""
    """Minds of your own that the observer considers, as in inscape observe; without it, the world's goals."""


def watch_command(argv: Sequence[str]) -> int:
    """Shows episodes in a window or writes them to a file."""
    from inscape.agents.rollout import rollout
    from inscape.envs.tasks.text_task import TextTask
    from inscape.experiments.viewing.transcript import is_text, show
    from inscape.experiments.viewing.watch import replay, watch

    given, together, world = parse_cast_command("watch", WatchArguments, argv)
    if given.episodes is not None:
        args.require_positive("episodes", given.episodes)
    look: dict[str, Any] = {"save": given.save, "copies": given.copies, "fps": given.fps, "size": given.size}
    if names_episodes(given.source):
        if given.task:
            raise UsageError(f"the world {given.task} beside recorded episodes", expected="the file alone")
        recorded = load_trajectories(given.source)[: given.episodes]
        if recorded and is_text(recorded[0]):
            saved = show(recorded, given.save)
            return _told(saved, len(recorded))
        observer = live_observer(given.minds, task_of(recorded)) if given.observe or given.minds else None
        saved = replay(recorded, observer=observer, **look)
    else:
        agents, task = (cast_and_task if together else agent_and_task)(given.source, given, world)
        if isinstance(task, TextTask):
            episodes = given.episodes or given.copies
            saved = show(rollout(agents, task, episodes, given.seed, max_copies=given.copies), given.save)
            return _told(saved, episodes)
        observer = live_observer(given.minds, task) if given.observe or given.minds else None
        saved = watch(agents, task, episodes=given.episodes or 1, seed=given.seed, observer=observer, **look)
    return _told(saved, given.episodes or given.copies)


def _told(saved: Path | None, episodes: int) -> int:
    """Says where something was saved."""
    if saved is not None:
        what = "Pictures" if saved.is_dir() else "Episode" if episodes == 1 else "Episodes"
        make_console().print(f"{what} in {saved}", soft_wrap=True)
    return 0
