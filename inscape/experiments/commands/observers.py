"""Observers as the command line names them: minds in a file, and one that stands beside a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from inscape.errors import UsageError

if TYPE_CHECKING:
    from inscape.envs.data.trajectory import Trajectory
    from inscape.envs.tasks.task import Task
    from inscape.theory_of_mind.observers.exact import ExactObserver


def live_observer(minds: str, task: Task, players: Sequence[str] = ()) -> ExactObserver:
    """Returns the observer of one who acts before one's eyes: of the first human among several players.

    Args:
        minds: `FILE:NAME` of minds of one's own; "" for those that the world's goals suggest.
        task: what is acted in.
        players: who plays each part, as `play` takes it.

    Raises:
        UsageError: the task has no law to observe with, or names no goals and no minds are given.
    """
    from inscape.experiments.verbs.observe import observer_for

    player = (list(players).index("human") if "human" in players else 0) if task.players > 1 else None
    return observer_for(task, minds_of(minds, task) if minds else None, player=player)


def task_of(recorded: Sequence[Trajectory]) -> Task:
    """Returns the task that recorded episodes were played in."""
    from inscape.envs.tasks.resolve import task_from_json

    if not recorded or not recorded[0].task:
        raise UsageError("episodes that do not say what they were played in", expected="episodes inscape wrote")
    return task_from_json(recorded[0].task, "the episodes' file")


def minds_of(name: str, task: Task, models: bool = False) -> Any:
    """Returns the minds that `file.py:NAME` or `package.module:NAME` names: a list; with `models` also a dict of lists.

    Raises:
        UsageError: it is no list of minds, and no function of a world that returns one.
    """
    from inscape.envs.loading import load_class

    found = load_class(name, "list of minds")
    if callable(found) and not hasattr(found, "controller"):
        found = found(task.world)
    minds = [found] if callable(getattr(found, "controller", None)) else found
    if models and isinstance(minds, dict) and all(isinstance(some, (list, tuple)) for some in minds.values()):
        return minds
    if not isinstance(minds, (list, tuple)):
        raise UsageError(f"{name} is {type(found).__name__}", expected="a list of minds, or a function(world) of one")
    return minds if isinstance(minds, list) else list(minds)
