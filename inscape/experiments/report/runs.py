"""A report about run folders: table, learning curves, recorded episodes."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from inscape.envs.tasks.resolve import task_from_json
from inscape.errors import UsageError
from inscape.experiments.arguments.command_lines import train_line
from inscape.experiments.report.episodes import player_episode
from inscape.experiments.report.packing import MAX_CURVE_POINTS
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


def report_for_runs(run_folders: Sequence[str | Path], out: str | Path, *, max_episodes: int = 12) -> Path:
    """Writes a report about runs: a table, their learning curves, and a player of recorded episodes.

    Runs of the same agent with the same settings in the same task differ by their seed only, so they share a curve:
    the mean over runs with its 95 % bootstrap interval. A single run shows the interval it logged itself.

    Args:
        run_folders: run folders, or their names under `runs/`.
        out: the file or folder to write.
        max_episodes: most episodes in the player, spread evenly over the runs.

    Raises:
        UsageError: no runs, or one that cannot be read.
    """
    if not run_folders:
        raise UsageError("no runs to report on", expected="one or more run folders", hint="inscape list runs")
    runs = [open_run(folder) for folder in run_folders]
    groups = _grouped(runs)
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
        + [f"inscape report {' '.join(str(folder) for folder in run_folders)}"],
    )


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


Groups = dict[tuple[str, str], list[Run]]
"""(task, agent) as shown → its runs."""


def _grouped(runs: Sequence[Run]) -> Groups:
    """Returns runs that differ by seed only under one label; labels that collide are told apart by a number."""
    by_content: dict[str, list[Run]] = {}
    for run in runs:
        s = run.settings
        by_content.setdefault(json.dumps([s.task, s.agent, s.agent_settings], sort_keys=True, default=str), []).append(
            run
        )
    groups: Groups = {}
    for members in by_content.values():
        task, agent = str(members[0].settings.task.get("name", "task")), members[0].settings.agent
        label, number = agent, 1
        while (task, label) in groups:
            number += 1
            label = f"{agent} ({number})"
        groups[task, label] = members
    return groups


def _runs_table(groups: Groups) -> TableSection:
    rows = []
    for (task, agent), members in groups.items():
        last = [_last_row(run) for run in members]
        steps = [row["steps"] for row in last if "steps" in row]
        seconds = [row["seconds"] for row in last if row.get("seconds") is not None]
        finals = [value for run in members if (value := _final_evaluation(run)) is not None]
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


def _last_row(run: Run) -> dict[str, Any]:
    rows = run.metrics()
    return rows[-1] if rows else {}


def _final_evaluation(run: Run) -> Interval | float | None:
    """Returns how well a run's agent ended up: its evaluation after training, else its last logged return."""
    path = run.path / "evaluation.json"
    if path.is_file():
        try:
            document = json.loads(path.read_text())
            return Interval(*(float(document[key]) for key in ("mean", "low", "high")))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UsageError(
                f"cannot read {path}: {error}", expected="the JSON that inscape wrote", hint="remove that file"
            ) from error
    for key in ("evaluation/return_mean", "episode_return"):
        _, values, _ = _column(run, key)
        if len(values):
            return float(values[-1])
    return None


def _column(run: Run, key: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns steps, values and seconds of the rows that have a finite `key`, in order of steps."""
    rows = [row for row in run.metrics() if _is_number(row.get(key)) and _is_number(row.get("steps"))]
    rows.sort(key=lambda row: float(row["steps"]))
    seconds = [row["seconds"] if _is_number(row.get("seconds")) else math.nan for row in rows]
    columns = ([row["steps"] for row in rows], [row[key] for row in rows], seconds)
    steps, values, times = (np.array(column, dtype=np.float64) for column in columns)
    return steps, values, times


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


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


def _group_curve(name: str, runs: Sequence[Run], key: str) -> Curve | None:
    """Returns one curve for runs that differ by their seed, on the steps that all of them cover."""
    columns = [column for run in runs if len((column := _column(run, key))[0])]
    if not columns:
        return None
    if len(columns) == 1:
        steps, values, seconds = columns[0]
        run = next(run for run in runs if len(_column(run, key)[0]))
        bounds = [_column(run, f"{key.removesuffix('_mean')}{end}") for end in ("_low", "_high")]
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
    timed = seconds.tolist() if np.isfinite(seconds).all() else ()
    return Curve(name, steps.tolist(), mean.tolist(), list(low), list(high), timed)


def _player_sections(runs: Sequence[Run], max_episodes: int) -> list[Section]:
    """Returns one player per task for the recorded episodes that can be drawn."""

    by_task: dict[str, list[PlayerEpisode]] = {}
    share = max(1, max_episodes // len(runs))
    for run in runs:
        task = task_from_json(run.settings.task)
        if task.world is None:
            continue
        recorded = [trajectory for trajectory in run.episodes() if trajectory.states is not None]
        for trajectory in recorded[-share:]:  # the latest: what the agent became
            label = run.settings.agent if len(runs) == 1 else f"{run.settings.agent}, {run.name}"
            by_task.setdefault(task.name, []).append(player_episode(task.world, trajectory, agent=label))
    return [PlayerSection(f"Episodes, {name}", tuple(episodes[:max_episodes])) for name, episodes in by_task.items()]
