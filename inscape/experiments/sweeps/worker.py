"""A worker of a sweep: takes one trial after another, trains it, and says how it did."""

from __future__ import annotations

import os
import pickle
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inscape.agents.settings import build_settings
from inscape.errors import UsageError, exits_as_errors
from inscape.experiments.runs.callbacks import Callback, Training
from inscape.experiments.runs.training import train
from inscape.experiments.sweeps.space import Space, frozen
from inscape.experiments.sweeps.study import SweepStudy, worker_lock
from inscape.experiments.trials.trial import Trial, final_returns

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task

REFUSED = 1000
"""Combinations of settings in a row that an agent may refuse."""


@dataclass(frozen=True)
class SweepJob:
    """What a worker of a sweep does.

    Attributes:
        trial: the trial that each is a change of: agent, world, steps, evaluations; its settings are all defaults.
        space: what is searched.
        seeds: how many each trial is trained with.
        trials: how many trials in all.
        pruner, seed: see `sweep`.
        folder: of the sweep.
        deadline: when to stop, by the system's clock (`time.time`).
    """

    trial: Trial
    space: Space
    seeds: int
    trials: int
    pruner: str
    seed: int
    folder: Path
    deadline: float


class OutOfTime(Exception):
    """The time is up: the trial is begun again when the sweep goes on."""


def work(job: SweepJob, task: Task, agent: Any, done: Callable[[SweepStudy], None] = lambda study: None) -> None:
    """Runs trials until as many as asked for are finished or under way, or the time is up.

    Args:
        job: what to do.
        task: the world.
        agent: a name, or a class.
        done: called after each trial.

    Raises:
        UsageError: the agent refuses every combination of settings.
    """
    study = SweepStudy(job.folder, job.pruner, job.seed, job.trials)
    first = _default_parameters(job)
    refused = 0
    with worker_lock(job.folder) as name:
        while time.time() < job.deadline:
            trial = study.begin(name, first)
            if trial is None:
                return
            given = {setting: one.suggest(trial, setting) for setting, one in job.space.items()}
            try:
                settings = _settings(job, agent, given)
            except UsageError as error:  # such as for minibatches that do not fit: it costs no trial
                study.study.tell(trial, state=study.optuna.trial.TrialState.FAIL)
                refused += 1
                if refused >= REFUSED:
                    raise UsageError(
                        f"{REFUSED} combinations of settings in a row are refused, the last with: {error.found}",
                        expected=error.expected or "a search space with combinations that fit",
                    ) from error
                continue
            refused = 0
            _run(study, trial, job, task, agent, settings)
            done(study)


def _settings(job: SweepJob, agent: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns all settings of a trial.

    Raises:
        UsageError: the agent refuses this combination.
    """
    from inscape.agents.registry import settings_class
    from inscape.experiments.runs.settings import json_values

    settings = {**job.trial.settings, **given}
    build_settings(settings_class(agent), settings)  # type: ignore[arg-type]
    plain: dict[str, Any] = json_values(settings)
    return plain


def _default_parameters(job: SweepJob) -> dict[str, Any] | None:
    """Returns the defaults as parameters; None where the space leaves one of them out."""
    found = {name: one.parameter(frozen(job.trial.settings.get(name))) for name, one in job.space.items()}
    return None if any(value is None for value in found.values()) else found


def _run(study: SweepStudy, trial: Any, job: SweepJob, task: Task, agent: Any, settings: dict[str, Any]) -> None:
    states = study.optuna.trial.TrialState
    began, scores = time.monotonic(), []
    watch = _Watch(trial, job)
    try:
        for number in range(job.seeds):
            watch.number = number
            one = replace(job.trial, settings=settings, seed=number)
            with exits_as_errors(f"trial {trial.number} was running"):
                run = train(
                    agent, task, one.steps, seed=one.seed, device=one.device, settings=settings, verbose=False,
                    evaluate_every=one.evaluate_every, evaluate_episodes=one.evaluate_episodes, on=[watch],
                )  # fmt: skip
            scores.append(float(final_returns(run.agent, task, one).mean()))
        trial.set_user_attr("seconds", time.monotonic() - began)
        study.study.tell(trial, sum(scores) / len(scores))
    except study.optuna.TrialPruned:
        trial.set_user_attr("seconds", time.monotonic() - began)
        study.study.tell(trial, state=states.PRUNED)
    except OutOfTime:
        trial.set_user_attr("seconds", time.monotonic() - began)
        trial.set_user_attr("share", watch.share)
        study.give_back(trial.number, trial.params, trial.user_attrs)
    except Exception as error:  # of the agent or the world, with these settings: it costs no other trial
        trial.set_user_attr("error", f"{type(error).__name__}: {error}"[:2000])
        study.study.tell(trial, state=states.FAIL)
    except BaseException:
        study.give_back(trial.number, trial.params, trial.user_attrs)
        raise


class _Watch(Callback):
    """Reports the learning curve of a trial's first seed, and ends what does not pay or takes too long."""

    def __init__(self, trial: Any, job: SweepJob) -> None:
        self.trial, self.job, self.number = trial, job, 0
        self.share = 0.0  # how much of the trial is done

    def on_step(self, training: Training, metrics: Mapping[str, float]) -> None:
        self.share = (self.number + min(1.0, training.steps / self.job.trial.steps)) / self.job.seeds
        if time.time() >= self.job.deadline and self.share < 1:
            raise OutOfTime

    def on_evaluation(self, training: Training, metrics: Mapping[str, float]) -> None:
        point = training.steps // max(1, self.job.trial.evaluate_every)
        if self.number or point == 0:
            return
        self.trial.report(metrics["evaluation/return_mean"], point)
        if (
            training.steps < self.job.trial.steps
            and not self.trial.user_attrs.get("default")
            and self.trial.should_prune()
        ):
            import optuna

            raise optuna.TrialPruned


def main() -> None:
    """Works on a job that comes by standard input, until it is done or standard input ends: then its parent is gone."""
    from inscape.trust import allow, trusting

    job, payload, agent = pickle.load(sys.stdin.buffer)
    task, allowed, trusted = pickle.loads(payload)
    allow(allowed)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        with trusting(trusted):
            work(job, task, agent)
    except UsageError as error:
        print(error, file=sys.stderr)
        sys.stderr.flush()
        os._exit(2)
    os._exit(0)


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(1)
