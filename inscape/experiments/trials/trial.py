"""One training run of an experiment: what it is made of, its identity, what came of it."""

from __future__ import annotations

import functools
import hashlib
import json
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from inscape.errors import UsageError
from inscape.experiments.trials.named import measured

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task
    from inscape.experiments.runs.run import Run

FORMAT = 1
"""Part of every identity: raised when the same words come to mean another result."""


@dataclass(frozen=True)
class Trial:
    """An agent trained in a world with one seed, then evaluated.

    Attributes:
        agent: a name, as `train` takes it.
        settings: the agent's settings that are given; the others are its defaults in that world.
        task: the world, as `Task.to_json` describes it.
        seed: of everything random.
        steps: environment steps; 0 for agents that do not learn.
        evaluate_every, evaluate_episodes, final_episodes, device: as `train` and `inscape train` take them.
        exact: also compute the policy's exact value, where the world can be enumerated.
        keep: "runs" keeps a run folder; "results" only the numbers.
        measures: names of what else is measured of the agent (`trials.named`).
        code: digests of the files that agent and world are in: an edited file makes another trial.
        agent_label, world_label: what tables call them; no part of the identity.
    """

    agent: str
    settings: dict[str, Any]
    task: dict[str, Any]
    seed: int
    steps: int
    evaluate_every: int = 0
    evaluate_episodes: int = 10
    final_episodes: int = 100
    device: str = "cpu"
    exact: bool = False
    keep: str = "runs"
    code: dict[str, Any] = field(default_factory=dict)
    measures: list[str] = field(default_factory=list)
    agent_label: str = ""
    world_label: str = ""

    @functools.cached_property
    def id(self) -> str:
        """16 hexadecimal digits of what determines the result; labels and what is kept of it do not."""
        content = {k: v for k, v in asdict(self).items() if k not in ("agent_label", "world_label", "keep")}
        if not self.measures:
            del content["measures"]  # identities of experiments without are those of before there were measures
        content["code"] = {name: record.get("sha256", "") for name, record in self.code.items()}
        text = json.dumps({"format": FORMAT, **content}, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def name(self) -> str:
        """What messages and folders call it."""
        return f"{self.world_label}-{self.agent_label}-seed{self.seed}"


@dataclass(frozen=True)
class TrialResult:
    """What came of a trial.

    Attributes:
        id: of the trial.
        agent, world, seed: its labels and seed.
        score: mean return of the final evaluation; None where it failed.
        returns: of each of its episodes (of all players that the agent played).
        exact: value, optimum and regret of the final policy, from the initial states; None where not computed.
        curve: `[(steps, mean return)]` of the evaluations in training.
        seconds: time it took, training and evaluation.
        steps: environment steps learned.
        settings: the agent's settings, all of them.
        attempts: how often it was begun; more than one where a process died.
        error: why it failed; "" where it did not.
        run: name of its run folder, "" without one.
        measures: numbers that the experiment's measures found, by name.
        arrays: the arrays that they returned, as nested lists.
    """

    id: str
    agent: str
    world: str
    seed: int
    score: float | None = None
    returns: tuple[float, ...] = ()
    exact: dict[str, float] | None = None
    curve: tuple[tuple[int, float], ...] = ()
    seconds: float = 0.0
    steps: int = 0
    settings: dict[str, Any] = field(default_factory=dict)
    attempts: int = 1
    error: str = ""
    run: str = ""
    measures: dict[str, float] = field(default_factory=dict)
    arrays: dict[str, list[Any]] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        """Whether it came to its end."""
        return not self.error


def run_trial(trial: Trial, task: Task, agent: Any, root: Path | None) -> TrialResult:
    """Trains and evaluates one trial; goes on with its run folder where a killed attempt left one.

    Args:
        trial: what to run.
        task: its world.
        agent: its agent: a name, or a class.
        root: where its run folder goes; None keeps none.

    Raises:
        Exception: whatever training raises.
    """
    from inscape.agents.registry import make_agent

    began = time.monotonic()
    if trial.steps == 0:
        acting = make_agent(agent, task, seed=trial.seed, settings=trial.settings or None, device=trial.device)
        returns = final_returns(acting, task, trial)
        return _result(trial, returns, acting, task, began)
    run = _trained(trial, task, agent, root)
    acting = run.agent
    returns = final_returns(acting, task, trial)
    if root is not None:
        _record(run, acting, task, trial, returns)
    columns = run.metric_columns(["steps", "evaluation/return_mean"])
    evaluated = columns["evaluation/return_mean"]
    at = columns["steps"].at(evaluated.rows)
    curve = tuple((int(s), float(v)) for s, v in zip(at, evaluated.values, strict=True) if np.isfinite(s))
    kept = run.folder.name if run.folder is not None else ""
    taken = columns["steps"].values
    learned = int(taken[-1]) if len(taken) and np.isfinite(taken[-1]) else trial.steps
    result = _result(trial, returns, acting, task, began, curve, dict(run.settings.agent_settings), kept)
    return replace(result, steps=learned)


def _trained(trial: Trial, task: Task, agent: Any, root: Path | None) -> Run:
    from inscape.experiments.runs.folders import find_run
    from inscape.experiments.runs.training import train

    folder = None if root is None else root / folder_name(trial)
    return train(
        agent,
        task,
        trial.steps,
        seed=trial.seed,
        device=trial.device,
        out=folder,
        resume=folder is not None and find_run(folder) is not None,
        settings=trial.settings or None,
        verbose=False,
        evaluate_every=trial.evaluate_every,
        evaluate_episodes=trial.evaluate_episodes,
    )


def folder_name(trial: Trial) -> str:
    """Returns the name of a trial's run folder: readable, and its own by the identity at the end."""
    import re

    plain = re.sub(r"[^\w.=-]+", "-", trial.name.replace(".py:", "-")).strip("-")
    return f"{plain[:80]}-{trial.id[:8]}"


def final_returns(agent: Any, task: Task, trial: Trial) -> np.ndarray:
    """Returns the returns of a trained agent's final evaluation, `[N]`, of all players that it plays."""
    from inscape.agents.rollout import evaluate_players
    from inscape.experiments.runs.loop import EVALUATION_SEED, evaluated_casts

    if trial.final_episodes == 0:
        return np.empty(0)
    returns = []
    for by_player, own in evaluated_casts(agent, task, EVALUATION_SEED + trial.seed):
        found = evaluate_players(by_player, task, trial.final_episodes, EVALUATION_SEED + trial.seed)
        returns += [found[player].returns for player in own]
    return np.concatenate(returns)


def _record(run: Run, agent: Any, task: Task, trial: Trial, returns: np.ndarray) -> None:
    """Stores the evaluation and some episodes in the run folder, as `inscape train` does."""
    from inscape.agents.rollout import rollout
    from inscape.experiments.runs.loop import EVALUATION_SEED, evaluated_casts
    from inscape.experiments.runs.statistics import bootstrap_interval

    if not len(returns) or run.evaluation() is not None:
        return
    seed = EVALUATION_SEED + trial.seed
    interval = bootstrap_interval(returns, seed=trial.seed)
    by_player, _ = next(iter(evaluated_casts(agent, task, seed)))
    run.save_episodes("final", rollout(by_player, task, min(2, trial.final_episodes), seed))
    run.write_evaluation(
        {
            "mean": float(returns.mean()),
            "low": interval.low,
            "high": interval.high,
            "episodes": trial.final_episodes,
            "seed": seed,
        }
    )


def _result(
    trial: Trial,
    returns: np.ndarray,
    agent: Any,
    task: Task,
    began: float,
    curve: tuple[tuple[int, float], ...] = (),
    settings: dict[str, Any] | None = None,
    run: str = "",
) -> TrialResult:
    exact = _exact(agent, task) if trial.exact else None
    measures, arrays = measured(trial.measures, agent, task, trial.seed)
    score = measures.pop("score", None)
    if score is None:
        score = float(returns.mean()) if len(returns) else exact["value"] if exact else curve[-1][1] if curve else None
    if score is None or not np.isfinite(score):
        raise UsageError(
            "no score" if score is None else f"a score of {score}",
            expected="final_episodes above 0, or exact = true in a world that can be enumerated",
        )
    return TrialResult(
        trial.id, trial.agent_label, trial.world_label, trial.seed, score, tuple(float(r) for r in returns), exact,
        curve, time.monotonic() - began, trial.steps, settings if settings is not None else trial.settings, run=run,
        measures=measures, arrays=arrays,
    )  # fmt: skip


def _exact(agent: Any, task: Task) -> dict[str, float] | None:
    from inscape.errors import MissingLawError, TooManyStatesError
    from inscape.experiments.runs.evaluation import exact_value

    try:
        found = exact_value(agent, task)
    except (MissingLawError, TooManyStatesError):
        return None
    return {"value": found.value, "optimum": found.optimum, "regret": found.regret, "gamma": found.gamma}
