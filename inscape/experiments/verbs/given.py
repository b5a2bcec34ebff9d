"""What verbs are given: an agent, a run or a run folder, with a world or without."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inscape.agents.registry import make_agent
from inscape.envs.tasks.in_hand import task_in_hand
from inscape.envs.tasks.resolve import as_task
from inscape.errors import UsageError, whole_number
from inscape.experiments.runs.folders import find_run, open_run
from inscape.experiments.runs.resuming import load_agent
from inscape.experiments.runs.run import Run

if TYPE_CHECKING:
    from inscape.agents.interface import Agent
    from inscape.envs.tasks.resolve import Given
    from inscape.envs.tasks.task import Task


def run_given(given: Any) -> Run | None:
    """Returns the run that a verb is given: a `Run`, or the folder of one; None for anything else."""
    if isinstance(given, Run):
        return given
    if isinstance(given, (str, Path)) and find_run(given) is not None:
        return open_run(given)
    if isinstance(given, Path):
        open_run(given)  # raises the error that there is none
    return None


def agents_and_task(
    agent: Any, world: Given | None, seed: int, device: str = "cpu", settings: Any = None
) -> tuple[list[Agent], Task]:
    """Returns the agent of each player, and the task.

    Args:
        agent: an agent, by name or in hand, or a run; several players: a list of them, a dictionary by the players'
            names, or one for all.
        world: what to act in; None: what a run was trained in.
        seed: of the agents' own random generators; player k has `seed + k`. That of an agent in hand goes on.
        device: where tensors of agents that are made live.
        settings: of agents that are made.

    Raises:
        UsageError: there is no such agent or world; no world is given, and it is no run; a run's agent was trained in
            a world of other spaces; not one agent for each player; or world and agent are interchanged.
    """
    seed = whole_number("seed", seed)
    if world is None:
        run = run_given(agent)
        if run is None:
            raise UsageError(
                f"no world for {shown(agent)}", expected="an agent and a world, or a run", hint="inscape list worlds"
            )
        made, task = load_agent(run, seed)
        return [made] * task.players, task
    _require_order(agent, world)
    task = as_task(world)
    if isinstance(agent, Mapping) and set(agent) == set(task.player_names):
        agent = [agent[name] for name in task.player_names]
    several = list(agent) if isinstance(agent, (list, tuple)) else None
    if several is not None and len(several) != task.players:
        raise UsageError(
            f"{len(several)} agents for the {task.players} players of {task.name}",
            expected=f"{task.players} agents, or one that acts for all" if task.players > 1 else "one agent",
        )
    if several is None:
        return [_agent(agent, task, seed, device, settings)] * task.players, task
    return [_agent(one, task, seed + k, device, settings) for k, one in enumerate(several)], task


def _agent(given: Any, task: Task, seed: int, device: str, settings: Any) -> Agent:
    run = run_given(given)
    if isinstance(given, (str, Path)) and str(given).endswith(".zip"):
        raise UsageError(
            f"{given} is a zip",
            expected="an agent, by name or in hand",
            hint=f"a model of Stable-Baselines3: PPO.load({str(given)!r}), with the class it was saved by",
        )
    if run is None:
        made: Agent = make_agent(given, task, seed=seed, device=device, settings=settings)
        return made
    stored = run.settings.task.get("in_hand")
    agent, trained = load_agent(run, seed, world=task) if stored else load_agent(run, seed)
    require_same_spaces(trained, task)
    return agent


def require_same_spaces(trained: Task, task: Task) -> None:
    """Raises UsageError unless what was learned in one task can act in the other."""
    for name in ("observation_space", "action_space"):
        if getattr(task, name) != getattr(trained, name):
            raise UsageError(
                f"{task.name} has the {name.replace('_', ' ')} {getattr(task, name)}; the run's agent was trained in "
                f"{trained.name}, with {getattr(trained, name)}",
                expected="a world with the same spaces",
                hint="the world it was trained in",
            )


def shown(given: Any) -> str:
    """Returns what messages call something that was given."""
    if isinstance(given, str):
        return given
    return f"the class {given.__name__}" if isinstance(given, type) else f"an object of {type(given).__name__}"


def _require_order(agent: Any, world: Any) -> None:
    """Raises UsageError where the world was given first, and the agent second."""
    if isinstance(agent, str) or not (_acts(world) and not _acts(agent)):
        return
    try:
        task_in_hand(agent)
    except UsageError:  # no world either: what it is not is reported where it is looked at
        return
    raise UsageError(
        f"{shown(agent)} as an agent, and {shown(world)} as a world", expected="the agent first, then the world"
    )


def _acts(given: Any) -> bool:
    return not isinstance(given, str) and any(callable(getattr(given, name, None)) for name in ("act", "predict"))
