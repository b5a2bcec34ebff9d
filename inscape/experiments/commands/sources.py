"""What the names on a line mean: RUN, AGENT, AGENT,AGENT and WORLD, read before the rest of the line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inscape.errors import UsageError
from inscape.experiments.arguments import parsing as args
from inscape.experiments.arguments.suggestions import require_agent_first
from inscape.experiments.runs.folders import find_run, open_run
from inscape.experiments.runs.storage.best import BEST
from inscape.experiments.runs.storage.episodes import names_episodes

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task


def parse_cast_command(command: str, kind: type, argv: Sequence[str]) -> tuple[Any, bool, Task | None]:
    """Parses `COMMAND RUN|AGENT[,AGENT…] [WORLD]`; returns also whether the world has several players, and the world as
    it is without the line's settings (None where the line names none): it is resolved once."""
    names = args.leading_names(argv, 2, f"inscape {command} RUN|AGENT[,AGENT…] [WORLD] [options]")
    task = _world_named(command, argv, names)
    together = task is not None and task.players > 1
    if together and "," in names[0]:  # whose settings would be meant is not said
        return args.parse(command, kind, argv, args.world_settings_group(names[1])), True, task
    if len(names) == 1 and "," in names[0] and not Path(names[0]).exists():
        raise UsageError(
            f"no world for {names[0]}", expected=f"inscape {command} AGENT,AGENT WORLD", hint="inscape list worlds"
        )
    return _parse_with_settings(command, kind, argv, names, task), together, task


def parse_agent_command(command: str, kind: type, argv: Sequence[str]) -> tuple[Any, Task | None]:
    """Parses a command of the form `COMMAND RUN|AGENT [WORLD]`, with the settings of both where they are named; returns
    also the world, as `parse_cast_command` does."""
    names = args.leading_names(argv, 2, f"inscape {command} RUN|AGENT [WORLD] [options]")
    task = _world_named(command, argv, names)
    return _parse_with_settings(command, kind, argv, names, task), task


def _world_named(command: str, argv: Sequence[str], names: Sequence[str]) -> Task | None:
    """Returns the world that the first words of a line name after an agent or a run.

    Raises:
        UsageError: there is no such world, or what stands before it is no agent and no run.
    """
    if names and names[0].endswith(".zip"):
        raise _zip_is_no_agent(names[0])
    if names and "/" in names[0] and ":" not in names[0] and _is_agent(names[0]) and not Path(names[0]).is_dir():
        open_run(names[0])  # what is not an agent can only be a run, and this one does not exist
    if names and _is_agent(names[0]):
        require_agent_first(command, names)
    return args.named_task(names[1], args.task_options(argv)[1]) if len(names) == 2 else None


def _parse_with_settings(command: str, kind: type, argv: Sequence[str], names: Sequence[str], task: Task | None) -> Any:
    if task is None:
        return args.parse(command, kind, argv)
    if _is_agent(names[0]):
        return args.parse(command, kind, argv, args.settings_groups(kind, names[0], task))
    return args.parse(command, kind, argv, args.world_settings_group(names[1]))


def _is_agent(source: str) -> bool:
    return find_run(source) is None and not names_episodes(source)


def _zip_is_no_agent(source: str) -> UsageError:
    return UsageError(
        f"{source} is a zip",
        expected="an agent by name, which may begin from a zip of Stable-Baselines3",
        hint=f"sb3:ppo WORLD --load {source} --trust (with the algorithm it was trained by)",
    )


def agent_and_task(source: str, given: Any, world: Task | None = None) -> tuple[Any, Task]:
    """Returns the agent that RUN|AGENT|ZIP means, and the task to act in: `world`, unless the line changes it."""
    from inscape.agents.registry import make_agent
    from inscape.experiments.runs.resuming import load_agent
    from inscape.experiments.verbs.given import require_same_spaces

    if getattr(given, "best", False):
        source = _best_of(source)
    if find_run(source) is not None:
        agent, task = load_agent(source, seed=given.seed)
        if given.task:
            return agent, _same_spaces(task, given, world)
        changed = args.changed_task(task, args.task_options_of(given))
        require_same_spaces(task, changed)
        return agent, changed
    if Path(source).is_dir():
        open_run(source)  # raises the error that there is none
    if not given.task:
        raise UsageError(f"no world for {source}", expected="AGENT WORLD, or a run", hint="inscape list worlds")
    task = args.task_given(given, world)
    return make_agent(source, task, seed=given.seed, settings=getattr(given, "settings", None)), task


def _best_of(source: str) -> str:
    """Returns the name of a run's best model."""
    if (run := find_run(source)) is None:
        raise UsageError(f"--best with {source}", expected="a run that was trained with --keep-best")
    return str(open_run(run).best.path / BEST)


def cast_and_task(sources: str, given: Any, world: Task | None = None) -> tuple[list[Any], Task]:
    """Returns the agents of a world of several players, from their names with commas between, and the task."""
    from inscape.experiments.viewing.stage import agents_by_player

    task = args.task_given(given, world)
    if getattr(given, "best", False):
        sources = ",".join(_best_of(word) for word in args.words_of(sources))
    return agents_by_player(
        args.words_of(sources), task, given.seed, humans=False, settings=getattr(given, "settings", None)
    ), task


def _same_spaces(trained: Task, given: Any, world: Task | None) -> Task:
    """Returns the world named beside a run: any with the spaces of the one its agent was trained in."""
    from inscape.experiments.verbs.given import require_same_spaces

    task = args.task_given(given, world)
    require_same_spaces(trained, task)
    return task
