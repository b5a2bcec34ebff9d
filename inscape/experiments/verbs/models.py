"""World models that verbs and commands are given: one in hand, a run's, or a name, learned from random steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from inscape.agents.learning.model_settings import ModelLearningSettings
from inscape.agents.models.collecting import Collector
from inscape.errors import UsageError, whole_number
from inscape.experiments.runs.folders import open_run
from inscape.experiments.runs.resuming import load_agent
from inscape.experiments.runs.run import Run
from inscape.experiments.verbs.given import require_same_spaces, run_given, shown
from inscape.world_models.catalogue import build_model, find_model, model_class
from inscape.world_models.interface import fit_model

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task
    from inscape.world_models.interface import FitReport

MODEL_STEPS = 20_000


def model_given(given: Any, task: Task | None, steps: int = MODEL_STEPS, seed: int = 0) -> tuple[Any, Task]:
    """Returns a world model and the task it is of.

    Args:
        given: a model in hand; a run or its folder; or a name (`model_names()`, `file.py:Class`), of which one is
            learned from random steps.
        task: the world; None: that of the run.
        steps: random steps that a named model is learned from.
        seed: of what it is learned from.

    Raises:
        UsageError: no such model or run; the run's agent has no model, or one of another world (the field is named).
    """
    run = None if isinstance(given, str) and find_model(given) is not None else run_given(given)
    if run is not None:
        return _of_run(run, task)
    if isinstance(given, str) and find_model(given) is None and ":" not in given:
        open_run(given)  # raises the error that there is none
    if task is None:
        raise UsageError(f"no world for {shown(given)}", expected="a world, or a run of a model")
    if isinstance(given, (str, type)):
        return learned_at_random(given, task, steps, seed)[0], task
    missing = [name for name in ("init", "step", "action_space") if not hasattr(given, name)]
    if missing:
        raise UsageError(
            f"{shown(given)} as a world model, without {', '.join(missing)}",
            expected="a WorldModel, a run of one, or a name", hint="inscape list models",
        )  # fmt: skip
    if given.action_space != task.action_space:
        raise UsageError(
            f"a model with the action space {given.action_space}, for {task.name} with {task.action_space}",
            expected="a model of this world",
        )
    return given, task


def _of_run(run: Run, task: Task | None) -> tuple[Any, Task]:
    agent, trained = load_agent(run)
    model: Any = getattr(agent, "model", None)
    if not callable(getattr(model, "init", None)):
        raise UsageError(
            f"the agent of {run.path} has no model of the world",
            expected="a run of a world model, or of an agent that learns one, such as mcts",
            hint="inscape train tabular WORLD",
        )
    if task is None:
        return model, trained
    require_same_spaces(trained, task)
    if trained.name != task.name:
        raise UsageError(
            f"world = {task.name}; the model of {run.path} was learned in {trained.name}",
            expected="the world it was learned in", hint=f"inscape train {run.settings.agent} {task.name}",
        )  # fmt: skip
    return model, task


def learned_at_random(name: str | type, task: Task, steps: int, seed: int) -> tuple[Any, FitReport]:
    """Returns a model that is learned from random steps, and its last report.

    Raises:
        UsageError: no such model, or a world that it does not take.
    """
    steps = whole_number("steps =", steps, 1)
    if task.players > 1:
        raise UsageError(
            f"a learned model of {task.name}, which has {task.players} players",
            expected="a world of one player: what is learned holds one reward",
        )
    if isinstance(name, str):
        model_class(name)
        model = build_model(name, task, None, seed)
    else:
        model = name.for_task(task)  # type: ignore[attr-defined]
    collector = Collector(task, None, ModelLearningSettings(), 0.99, seed)
    return model, fit_model(model, collector.round(steps))


def first_observation(task: Task, rng: np.random.Generator) -> tuple[Any, np.ndarray]:
    """Returns an initial state (packed; None without a law) and its observation, as a batch of one."""
    if task.world is not None:
        state = task.world.sample_initial(1, rng)
        return state, task.world.observe(state)
    env = task.env()
    observation, _ = env.reset(seed=int(rng.integers(2**31)))
    env.close()
    return None, np.asarray(observation)[None]
