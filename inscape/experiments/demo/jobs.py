"""What the demo does in its worker processes: one job trains, evaluates and watches one agent.

Workers are separate processes so that two cores are busy; what they return are plain frozen dataclasses.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from inscape.envs.compile.compile_time import compile_seconds
from inscape.envs.tasks.resolve import resolve_task
from inscape.envs.tasks.task import Task
from inscape.experiments.report import PlayerEpisode, imagined_futures, player_episode, posterior_overlays
from inscape.experiments.runs.evaluation import ExactEvaluation, exact_value
from inscape.experiments.runs.resuming import load_agent
from inscape.experiments.runs.statistics import Interval
from inscape.experiments.runs.training import train

if TYPE_CHECKING:
    from inscape.envs.data.trajectory import Trajectory
    from inscape.envs.law.states import States

OBSERVER_BETAS = (2.0, 8.0, 25.0)
"""How rational the observer thinks an agent may be, per unit of reward; equally likely beforehand."""
WATCH_SEED = 2024


@dataclass(frozen=True)
class Job:
    """One agent in one task.

    Attributes:
        key: name of its run folder and of its progress bar.
        part: `cartpole`, `lake` or `goals`.
        label: what tables and legends call the agent.
        steps: environment steps to train for; 0 for an agent that does not learn.
        episodes: evaluation episodes.
    """

    key: str
    part: str
    label: str
    agent: str
    world: str
    steps: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    world_settings: Mapping[str, Any] = field(default_factory=dict)
    episodes: int = 500


@dataclass(frozen=True)
class Inference:
    """What the observer made of an agent heading for a goal it does not know.

    Attributes:
        goal: the true one.
        probability: posterior of the true goal at the end of the episodes, their mean.
        decided_at: fraction of an episode after which the true goal stays the most probable; the mean (1: never).
        bits: per action, predicted before it was seen.
        uniform_bits: per action, of knowing nothing.
        curves: per goal, its posterior over the steps of the first episode.
    """

    goal: str
    probability: float
    decided_at: float
    bits: float
    uniform_bits: float
    curves: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Attributes:
        seconds: of training, compiling apart.
        compiling: seconds of compiling during training: only on a machine where that was not done before.
    """

    job: Job
    steps: int
    seconds: float
    compiling: float
    returns: Interval
    exact: ExactEvaluation | None = None
    exact_before: ExactEvaluation | None = None
    inference: Inference | None = None
    episodes: tuple[PlayerEpisode, ...] = ()


def run_job(job: Job, folder: Path, seed: int) -> Outcome:
    """Trains, evaluates and watches the agent of `job`; its run is `folder / job.key`."""
    _one_thread()
    task = resolve_task(job.world, job.world_settings)
    before: list[ExactEvaluation] = []

    def watch_cloning(agent: Any, metrics: Mapping[str, float]) -> None:
        """Keeps the language model's value at the moment cloning ends and reinforcement begins."""
        if not before and metrics.get("clone/steps") == agent.settings.clone_steps:
            before.append(exact_value(agent, task))

    start, compiled = time.monotonic(), compile_seconds()
    if job.steps:
        run = train(
            job.agent, task, job.steps, seed=seed, out=folder / job.key, settings=dict(job.settings) or None,
            progress=False, on_yield=watch_cloning if job.agent == "llm" else None,
        )  # fmt: skip
        compiling = compile_seconds() - compiled
        steps, seconds = int(run.trained_steps), time.monotonic() - start - compiling
        agent, task = load_agent(run)
    else:
        from inscape.agents.registry import make_agent

        steps, seconds, compiling = 0, 0.0, 0.0
        agent = make_agent(job.agent, task, seed=seed, settings=dict(job.settings))

    from inscape.agents.rollout import evaluate, rollout

    result = evaluate(agent, task, job.episodes, seed=WATCH_SEED)
    returns = Interval(result.mean, *result.ci)
    watched = rollout(agent, task, 4 if job.part == "goals" else 1, seed=WATCH_SEED)
    exact = None if job.part == "cartpole" else exact_value(agent, task)
    inference, posteriors = _observe(task, watched) if job.part == "goals" else (None, None)
    return Outcome(
        job, steps, seconds, compiling, returns, exact, before[0] if before else None, inference,
        (_episode(agent, task, job, watched[0], posteriors),),
    )  # fmt: skip


def _one_thread() -> None:
    """Two workers on two cores: threads inside them would only get in each other's way."""
    import numba
    import torch

    torch.set_num_threads(1)
    numba.set_num_threads(1)


def _observe(task: Task, watched: Sequence[Trajectory]) -> tuple[Inference, Any]:
    from inscape.theory_of_mind import Observer, minds_grid
    from inscape.theory_of_mind.scoring import score_predictions

    world = task.world
    assert world is not None
    goals = list(world.goals)
    observer = Observer(world, minds_grid(goals, OBSERVER_BETAS, ["soft-eval"]))
    true = str(world.settings["goal"])
    final, decided = [], []
    curves: dict[str, tuple[float, ...]] = {}
    for number, trajectory in enumerate(watched):
        by_goal = observer.marginal("goal", observer.posterior_over(trajectory))
        path = np.stack([np.asarray(by_goal[goal]) for goal in goals], axis=1)
        if number == 0:
            curves = {goal: tuple(path[:, k].tolist()) for k, goal in enumerate(goals)}
        final.append(path[-1, goals.index(true)])
        wrong = np.flatnonzero(path.argmax(axis=1) != goals.index(true))
        decided.append((wrong[-1] + 1) / len(path) if len(wrong) else 0.0)
    score = score_predictions(observer, watched)
    inference = Inference(
        true, float(np.mean(final)), float(np.mean(decided)), score.bits_per_action, score.uniform_bits_per_action,
        curves,
    )  # fmt: skip
    return inference, posterior_overlays(observer, watched[0])


def _episode(agent: Any, task: Task, job: Job, trajectory: Trajectory, posteriors: Any) -> PlayerEpisode:
    """Returns the episode for the player, with the search behind each action and the futures the agent imagines."""
    world = task.world
    assert world is not None
    steps = range(len(trajectory))
    plans = None
    if callable(getattr(agent, "plan_for", None)):
        plans = [agent.plan_for(trajectory.observations[t]) for t in steps]
    futures = None
    if job.part != "cartpole":
        futures = _futures(agent, task, trajectory)
    return player_episode(
        world, trajectory, title=f"{job.label}: return {trajectory.total_reward:.3g}", agent=job.label,
        plans=plans, futures=futures, posteriors=posteriors, locate=_locator(agent, task),
    )  # fmt: skip


def _locator(agent: Any, task: Task) -> Callable[[Any], States] | None:
    """Returns what turns the states of the agent's searches into packed ones, where it searches a learned table."""
    world = task.world
    observations_of = getattr(getattr(agent, "model", None), "observations_of", None)
    if world is None or observations_of is None:
        return None
    return lambda states: world.states_of(observations_of(states, task.observation_space))


def _futures(agent: Any, task: Task, trajectory: Trajectory) -> list[list[States]]:
    """Returns, per step, futures under the agent's own policy in the law (the learned model's are in its search)."""
    from inscape.world_models.known import KnownModel

    world = task.world
    assert world is not None
    model, rng = KnownModel(world), np.random.default_rng(WATCH_SEED)
    chosen: dict[bytes, int] = {}

    def choose(states: States) -> np.ndarray:
        observations = world.observe(states)
        keys = states.keys()
        fresh = [i for i, key in enumerate(keys) if key not in chosen]
        if fresh:
            over = world.terminal_of(states[np.array(fresh)])
            acting = [i for i, ended in zip(fresh, over) if not ended]
            chosen.update({keys[i]: 0 for i in fresh})
            if acting:
                actions = agent.act(observations[np.array(acting)])
                chosen.update({keys[i]: int(a) for i, a in zip(acting, actions)})
        return np.array([chosen[key] for key in keys])

    return [
        imagined_futures(model, trajectory.observations[t], choose, rng, count=5, horizon=6)
        for t in range(len(trajectory))
    ]
