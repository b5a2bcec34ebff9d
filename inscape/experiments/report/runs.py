"""A report about run folders: table, learning curves, recorded episodes."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from inscape import trust
from inscape.envs.tasks.in_hand import IN_HAND
from inscape.envs.tasks.resolve import task_from_json
from inscape.errors import UsageError
from inscape.experiments.arguments.command_lines import train_line
from inscape.experiments.report.episodes import player_episode
from inscape.experiments.report.file import ReportFile
from inscape.experiments.report.packing import MAX_CURVE_POINTS, binned
from inscape.experiments.report.page import write_report
from inscape.experiments.report.sections import (
    Cell,
    Curve,
    CurvesSection,
    PlayerEpisode,
    PlayerSection,
    Section,
    TableSection,
)
from inscape.experiments.runs.metrics import MetricColumns
from inscape.experiments.runs.run import Run, open_run
from inscape.experiments.runs.statistics import Interval, bootstrap_interval

CURVES = {
    "evaluation/return_mean": "Evaluation return",
    "episode_return": "Episode return",
    "elo": "Elo rating (a random player: 0)",
    "win_rate/random": "Share won against a random player",
    "win_rate/pool": "Share won against past selves",
}
"""Metrics that are drawn against steps wherever a run has them, and what they are called."""


def _bound_keys(key: str) -> tuple[str, str]:
    """Returns the names of the interval that a run logs around a metric."""
    return f"{key.removesuffix('_mean')}_low", f"{key.removesuffix('_mean')}_high"


READ = ("steps", "seconds", *CURVES, *(bound for key in CURVES for bound in _bound_keys(key)))
"""Metrics that a report reads; the others cost it no memory."""


@dataclass(frozen=True)
class _LoggedRun:
    """A run and what it logged under `READ`: read once, for all sections."""

    run: Run
    metrics: MetricColumns


def report_for_runs(run_folders: Sequence[Run | str | Path], out: str | Path, *, max_episodes: int = 12) -> ReportFile:
    """Writes a report about runs: a table, their learning curves, and a player of recorded episodes.

    Runs of the same agent with the same settings in the same task differ by their seed only, so they share a curve:
    the mean over runs with its 95 % bootstrap interval. A single run shows the interval it logged itself.

    Args:
        run_folders: runs that have folders, run folders, or their names under `runs/`.
        out: the file or folder to write.
        max_episodes: most episodes in the player, spread evenly over the runs.

    Raises:
        UsageError: no runs, or one that cannot be read.
    """
    if not run_folders:
        raise UsageError("no runs to report on", expected="one or more run folders", hint="inscape list runs")
    runs = [folder if isinstance(folder, Run) else open_run(folder) for folder in run_folders]
    groups = _grouped([_LoggedRun(run, run.metric_columns(READ)) for run in runs])
    sections: list[Section] = [_runs_table(groups)]
    for key, label in CURVES.items():
        sections += _curve_sections(groups, key, label)
    sections += _player_sections(runs, max_episodes)
    names = sorted({str(run.settings.task.get("name", "task")) for run in runs})
    return write_report(
        sections,
        out,
        title=", ".join(names),
        summary=f"{_counted(len(runs), 'run')} of {_counted(len(groups), 'agent')}.",
        commands=[train_line(run) for run in runs]
        + [f"inscape report {' '.join(str(_folder(given)) for given in run_folders)}"],
    )


def _folder(given: Run | str | Path) -> str | Path:
    return given.path if isinstance(given, Run) else given


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


Groups = dict[tuple[str, str], list[_LoggedRun]]
"""(task, agent) as shown → its runs."""


def _grouped(runs: Sequence[_LoggedRun]) -> Groups:
    """Returns runs that differ by seed only under one label; labels that collide get a number."""
    by_content: dict[str, list[_LoggedRun]] = {}
    for logged in runs:
        s = logged.run.settings
        content = json.dumps([s.task, s.agent, s.agent_settings], sort_keys=True, default=str)
        by_content.setdefault(content, []).append(logged)
    groups: Groups = {}
    for members in by_content.values():
        settings = members[0].run.settings
        task, agent = str(settings.task.get("name", "task")), settings.agent
        label, number = agent, 1
        while (task, label) in groups:
            number += 1
            label = f"{agent} ({number})"
        groups[task, label] = members
    return groups


def _runs_table(groups: Groups) -> TableSection:
    rows = []
    for (task, agent), members in groups.items():
        steps, seconds = (
            [value for logged in members if (value := logged.metrics.last(key)) is not None]
            for key in ("steps", "seconds")
        )
        finals = [final for logged in members if (final := _final_evaluation(logged)) is not None]
        score: Cell = finals[0] if finals else None
        if len(finals) > 1:
            score = bootstrap_interval([v.estimate if isinstance(v, Interval) else v for v in finals])
        rows.append((task, agent, len(members), score, max(steps, default=None), sum(seconds) if seconds else None))
    return TableSection(
        "Runs",
        ("task", "agent", "runs", "return", "steps", "seconds"),
        tuple(rows),
        "Return after training. Intervals: 95 %, over runs where there are several, else over episodes.",
    )


def _final_evaluation(logged: _LoggedRun) -> Interval | float | None:
    """Returns how well a run's agent ended up: its evaluation after training, else its last logged return."""
    evaluation = logged.run.evaluation()
    if evaluation is not None:
        return evaluation[0]
    for key in ("evaluation/return_mean", "episode_return"):
        _, values, _ = _column(logged.metrics, key)
        if len(values):
            return float(values[-1])
    return None


def _column(metrics: MetricColumns, key: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns steps, values and seconds of the rows that have a finite `key`, in order of steps."""
    rows, values = metrics[key].rows, metrics[key].values
    steps, seconds = metrics["steps"].at(rows), metrics["seconds"].at(rows)
    chosen = np.isfinite(values) & np.isfinite(steps)
    if not chosen.all():
        steps, values, seconds = steps[chosen], values[chosen], seconds[chosen]
    if (steps[1:] < steps[:-1]).any():
        order = np.argsort(steps, kind="stable")
        steps, values, seconds = steps[order], values[order], seconds[order]
    return steps, values, np.where(np.isfinite(seconds), seconds, math.nan)


def _curve_sections(groups: Groups, key: str, label: str) -> list[Section]:
    sections: list[Section] = []
    for task in dict.fromkeys(task for task, _ in groups):
        found = [(agent, _group_curve(agent, runs, key)) for (name, agent), runs in groups.items() if name == task]
        curves = tuple(curve for _, curve in found if curve is not None)
        if curves:
            several = any(len(runs) > 1 for (name, _), runs in groups.items() if name == task)
            note = "Band: 95 % interval of the mean over runs." if several else ""
            sections.append(CurvesSection(f"{label}, {task}", curves, label.lower(), note=note))
    return sections


def _group_curve(name: str, runs: Sequence[_LoggedRun], key: str) -> Curve | None:
    """Returns one curve for runs that differ by their seed, on the steps that all of them cover."""
    found = [(logged, column) for logged in runs if len((column := _column(logged.metrics, key))[0])]
    columns = [column for _, column in found]
    if not columns:
        return None
    if len(columns) == 1:
        steps, values, seconds = columns[0]
        bounds = [_column(found[0][0].metrics, bound) for bound in _bound_keys(key)]
        low, high = (b[1] if len(b[0]) == len(steps) and (b[0] == steps).all() else () for b in bounds)
        return _curve(name, steps, values, low, high, seconds)
    start, end = max(c[0][0] for c in columns), min(c[0][-1] for c in columns)
    steps = np.unique(np.concatenate([c[0] for c in columns]))
    steps = steps[(steps >= start) & (steps <= end)]
    if not len(steps):
        return None
    steps = steps[np.linspace(0, len(steps) - 1, min(len(steps), MAX_CURVE_POINTS)).astype(int)]
    values = np.array([np.interp(steps, c[0], c[1]) for c in columns])
    seconds = np.mean([np.interp(steps, c[0], c[2]) for c in columns], axis=0)
    intervals = [bootstrap_interval(column) for column in values.T]
    return _curve(name, steps, values.mean(axis=0), [i.low for i in intervals], [i.high for i in intervals], seconds)


def _curve(name: str, steps: np.ndarray, mean: np.ndarray, low: Any, high: Any, seconds: np.ndarray) -> Curve:
    """Returns the curve as it will be drawn: in bins, before a million points become Python objects."""
    timed = seconds if np.isfinite(seconds).all() else ()
    steps, mean, low, high, seconds = (binned(part) for part in (steps, mean, low, high, timed))
    return Curve(name, steps.tolist(), mean.tolist(), low.tolist(), high.tolist(), seconds.tolist())


def _player_sections(runs: Sequence[Run], max_episodes: int) -> list[Section]:
    """Returns one player per task for the recorded episodes that can be drawn."""

    by_task: dict[str, list[PlayerEpisode]] = {}
    share = max(1, max_episodes // len(runs))
    for run in runs:
        if not trust.is_allowed(trust.task_code_names(run.settings.task)):
            logging.getLogger("inscape").warning(
                "The episodes of %s are not drawn: that would run %s, and you did not sign the run (--trust).",
                run.path, run.settings.task["name"],
            )  # fmt: skip
            continue
        if run.settings.task.get(IN_HAND) and run.held is None:
            logging.getLogger("inscape").warning(
                "The episodes of %s are not drawn: %s was in hand where it was trained, and is not here.",
                run.path, run.settings.task["name"],
            )  # fmt: skip
            continue
        task = task_from_json(run.settings.task, run.path) if run.held is None else run.held[1]
        if task.world is None:
            continue
        recorded = [(one, one.states) for one in run.episodes() if one.states is not None]
        for trajectory, states in recorded[-share:]:  # the latest: what the agent became
            task.world.require_states(states, f"the states recorded in {run.path}")
            label = run.settings.agent if len(runs) == 1 else f"{run.settings.agent}, {run.name}"
            by_task.setdefault(task.name, []).append(player_episode(task.world, trajectory, agent=label))
    return [PlayerSection(f"Episodes, {name}", tuple(episodes[:max_episodes])) for name, episodes in by_task.items()]
