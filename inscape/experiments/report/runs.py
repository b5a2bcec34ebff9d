"""A report about run folders: table, learning curves, recorded episodes."""

from __future__ import annotations

import functools
import json
import logging
import math
import shlex
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from inscape import trust
from inscape.envs.catalogue import FAMILIES
from inscape.envs.tasks.resolve import task_from_json, world_settings
from inscape.errors import UsageError
from inscape.experiments.arguments.command_lines import train_line
from inscape.experiments.numbers import number_text
from inscape.experiments.report.clips import CLIP_FPS, clip
from inscape.experiments.report.curriculum import curriculum_keys, curriculum_sections
from inscape.experiments.report.episodes import player_episode, returns_text
from inscape.experiments.report.file import ReportFile
from inscape.experiments.report.packing import MAX_CURVE_POINTS, binned
from inscape.experiments.report.page import write_report
from inscape.experiments.report.sections import (
    Cell,
    Curve,
    CurvesSection,
    Label,
    PlayerEpisode,
    PlayerSection,
    Section,
    TableSection,
)
from inscape.experiments.runs.during.curriculum import short_settings
from inscape.experiments.runs.folders import open_run
from inscape.experiments.runs.run import Run
from inscape.experiments.runs.settings import RunSettings, differing, flat_settings
from inscape.experiments.runs.statistics import Interval, bootstrap_interval
from inscape.experiments.runs.storage.metrics import MetricColumns

if TYPE_CHECKING:
    from inscape.envs.world import World

CURVES = {
    "evaluation/return_mean": "Evaluation return",
    "episode_return": "Episode return",
    "model/bits": "Code length of held-out random play, bits a step",
    "model/excess_bits": "Bits a step above the true law, all state-action pairs alike",
    "model/regret": "Regret of the plan made in the model",
    "elo": "Elo rating (a random player: 0)",
    "win_rate/random": "Share won against a random player",
    "win_rate/pool": "Share won against past selves",
}
"""Metrics that are drawn against steps wherever a run has them, and what they are called."""

RETURNS = ("evaluation/return_mean", "episode_return")
"""Those that are returns, and share a scale."""


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


def report_for_runs(run_folders: Sequence[Run | str | Path], out: str | Path, *, max_episodes: int = 24) -> ReportFile:
    """Writes a report about runs: a table, and for each world learning curves and a player of recorded episodes.

    Runs of the same agent with the same settings in the same task differ by their seed only, so they share a curve:
    the mean over runs with its 95 % bootstrap interval. A single run shows the interval it logged itself. Others of
    one agent are named by the settings that differ. An environment that is no Inscape world is drawn by itself: a
    short clip of the agent as it is now.

    Args:
        run_folders: runs that have folders, run folders, or their names under `runs/`.
        out: the file or folder to write.
        max_episodes: most episodes in the players, spread evenly over agents (at least one of each).

    Raises:
        UsageError: no runs, or one that cannot be read.
    """
    if not run_folders:
        raise UsageError("no runs to report on", expected="one or more run folders", hint="inscape list runs")
    runs = [folder if isinstance(folder, Run) else open_run(folder) for folder in run_folders]
    groups = _logged_groups(runs)
    sections = _sections(groups, max_episodes)
    report = ["inscape", "report", *map(_folder, run_folders), "--out", str(out)]
    return write_report(
        sections,
        out,
        title=", ".join(dict.fromkeys(group.task for group in groups)),
        summary=_summary(groups),
        commands=[*map(train_line, runs), shlex.join(report)],
    )


def runs_sections(runs: Sequence[Run], max_episodes: int = 24) -> list[Section]:
    """Returns the sections of a report about runs; see `report_for_runs`.

    Args:
        runs: at least one.
        max_episodes: most episodes in the players; with 0 there are none, and nothing of what the runs name is run.

    Raises:
        UsageError: the metrics of one cannot be read.
    """
    return _sections(_logged_groups(runs), max_episodes)


def _logged_groups(runs: Sequence[Run]) -> list[_Group]:
    read = [(run, (*READ, *curriculum_keys(run.settings.curriculum))) for run in runs]
    return _grouped([_LoggedRun(run, run.metric_columns(keys)) for run, keys in read])


def _sections(groups: Sequence[_Group], max_episodes: int) -> list[Section]:
    sections: list[Section] = [_runs_table(groups)]
    for world in dict.fromkeys(group.world for group in groups):
        here = [group for group in groups if group.world == world]
        sections += _curve_sections(world, here)
        for group in here:
            curriculum, label = group.runs[0].run.settings.curriculum, f"{group.name} in {world}"
            sections += curriculum_sections(curriculum, label, functools.partial(_group_curve, group))
        if max_episodes:
            sections += _episode_sections(world, here, max(1, max_episodes // len(groups)))
    return sections


def _folder(given: Run | str | Path) -> str:
    return str(given.path if isinstance(given, Run) else given)


def _summary(groups: Sequence[_Group]) -> str:
    runs = _counted(sum(len(group.runs) for group in groups), "run")
    agents = _counted(len({group.runs[0].run.settings.agent for group in groups}), "agent")
    worlds = _counted(len({group.world for group in groups}), "world")
    return f"{runs} of {agents} in {worlds}."


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


@dataclass(frozen=True)
class _Group:
    """Runs that differ by their seed only.

    Attributes:
        task: name of the world.
        world: the same, with the settings that tell it from other worlds of the name.
        name: the agent, with the settings that tell it from others of the name in that world.
        color: number of its colour; that of the name, in every world.
    """

    task: str
    world: str
    name: str
    color: int
    runs: list[_LoggedRun]


def _grouped(runs: Sequence[_LoggedRun]) -> list[_Group]:
    """Returns runs in groups, worlds together, in the order given."""
    by_content: dict[str, list[_LoggedRun]] = {}
    for logged in runs:
        s = logged.run.settings
        code = {name: entry["sha256"] for name, entry in s.code.items()}
        content = json.dumps(
            [s.task, s.agent, s.agent_settings, s.steps, code, s.curriculum], sort_keys=True, default=str
        )
        by_content.setdefault(content, []).append(logged)
    members = list(by_content.values())
    first = [own[0].run.settings for own in members]
    tasks = [str(s.task.get("name", "task")) for s in first]
    worlds = told_apart(tasks, [_world_settings(s.task) for s in first])
    agents = told_apart(
        [(world, s.agent) for world, s in zip(worlds, first, strict=True)],
        [{**s.agent_settings, "steps": s.steps, "code": _versions(s), **short_settings(s.curriculum)} for s in first],
    )
    names = [label[1] for label in agents]
    colors = {name: number for number, name in enumerate(dict.fromkeys(names))}
    groups = [
        _Group(task, world, name, colors[name], own)
        for task, world, name, own in zip(tasks, worlds, names, members, strict=True)
    ]
    order = list(dict.fromkeys(worlds))
    return sorted(groups, key=lambda group: order.index(group.world))


def _world_settings(task: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings of a stored task; those of a built-in world with its defaults, which takes no making it."""
    name = str(task.get("name", "task"))
    known = world_settings(name) if any(name == spec.name for specs in FAMILIES.values() for spec in specs) else {}
    defaults = {key: default for key, (_, default, _) in known.items()}
    others = {key: value for key, value in task.items() if key not in ("name", "settings")}
    return {**others, **defaults, **task.get("settings", {})}


def _versions(s: RunSettings) -> str:
    return " ".join(sorted({entry["sha256"][:7] for entry in s.code.values()}))


def told_apart(names: Sequence[Any], settings: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Returns the names, those that occur with several settings with what differs: `ppo, learning rate 0.001`.

    Args:
        names: texts, or tuples whose last entry is the text.
        settings: those of each; a setting that one does not have has its default.
    """
    labels = list(names)
    for name in dict.fromkeys(names):
        places = [place for place, other in enumerate(names) if other == name]
        differing_here = sorted({key for i in places for key in differing(settings[places[0]], settings[i])})
        for i in places if differing_here else ():
            flat = flat_settings(settings[i])
            words = [_setting_text(key, flat.get(key, "default")) for key in differing_here]
            more = [f"{len(words) - MOST_SETTINGS} more"] if len(words) > MOST_SETTINGS else []
            labels[i] = _named(name, ", ".join([_bare(name), *words[:MOST_SETTINGS], *more]))
    kinds: dict[Any, list[Mapping[str, Any]]] = {}  # label → distinct settings under it: what differs may be left out
    for i, label in enumerate(labels):
        known = kinds.setdefault(label, [])
        number = next((k for k, other in enumerate(known) if not differing(other, settings[i])), len(known))
        known[number:] = known[number:] or [settings[i]]
        if number > 0:
            labels[i] = _named(label, f"{_bare(label)} ({number + 1})")
    return labels


MOST_SETTINGS = 4
"""Settings named in a label."""
LONGEST_VALUE = 24
"""Characters of a setting's value in a label."""


def _bare(name: Any) -> str:
    return str(name[-1] if isinstance(name, tuple) else name)


def _named(name: Any, text: str) -> Any:
    return (*name[:-1], text) if isinstance(name, tuple) else text


def _setting_text(key: str, value: Any) -> str:
    name = key.replace("_", " ")
    if isinstance(value, bool) or value is None:
        return f"{name} {'none' if value is None else 'on' if value else 'off'}"
    if isinstance(value, int | float):
        return f"{name} {number_text(value)}"
    text = " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return f"{name} {textwrap.shorten(text, LONGEST_VALUE, placeholder='…')}"


def _runs_table(groups: Sequence[_Group]) -> TableSection:
    rows: list[tuple[Cell, ...]] = []
    for group in groups:
        steps, seconds = (
            [value for logged in group.runs if (value := logged.metrics.last(key)) is not None]
            for key in ("steps", "seconds")
        )
        finals = [final for logged in group.runs if (final := _final_evaluation(logged)) is not None]
        score: Cell = finals[0] if finals else None
        if len(finals) > 1:
            score = bootstrap_interval([v.estimate if isinstance(v, Interval) else v for v in finals])
        taken = max(steps, default=None)
        agent = Label(group.name, group.color)
        rows.append((group.world, agent, len(group.runs), score, taken, sum(seconds) if seconds else None))
    return TableSection(
        "Runs",
        ("world", "agent", "runs", "return", "steps", "seconds"),
        tuple(rows),
        "Return after training. Intervals: 95 %, over runs where there are several, else over episodes. "
        "Bars: one scale for each world.",
        scale_by=0,
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


def _curve_sections(world: str, groups: Sequence[_Group]) -> list[Section]:
    """Returns the charts of a world: what are returns on one scale, and all against the same steps."""
    found = {key: [c for g in groups if (c := _group_curve(g, key)) is not None] for key in CURVES}
    scale = _extent([curve for key in RETURNS for curve in found[key]])
    end = max((float(c.steps[-1] or 0) for curves in found.values() for c in curves if c.steps), default=0.0)
    several = any(len(group.runs) > 1 for group in groups)
    note = "Band: 95 % interval of the mean over runs." if several else ""
    return [
        CurvesSection(
            f"{CURVES[key]}, {world}", tuple(curves), CURVES[key].lower(), note=note,
            y_range=scale if key in RETURNS else None, x_end=end,
        )
        for key, curves in found.items() if curves
    ]  # fmt: skip


def _extent(curves: Sequence[Curve]) -> tuple[float, float] | None:
    values = [v for c in curves for part in (c.mean, c.low, c.high) for v in part if v is not None and math.isfinite(v)]
    return (min(values), max(values)) if values else None


def _group_curve(group: _Group, key: str) -> Curve | None:
    """Returns one curve for runs that differ by their seed, on the steps that all of them cover."""
    found = [(logged, column) for logged in group.runs if len((column := _column(logged.metrics, key))[0])]
    columns = [column for _, column in found]
    if not columns:
        return None
    if len(columns) == 1:
        steps, values, seconds = columns[0]
        bounds = [_column(found[0][0].metrics, bound) for bound in _bound_keys(key)]
        low, high = (b[1] if len(b[0]) == len(steps) and (b[0] == steps).all() else () for b in bounds)
        return _curve(group, steps, values, low, high, seconds)
    start, end = max(c[0][0] for c in columns), min(c[0][-1] for c in columns)
    steps = np.unique(np.concatenate([c[0] for c in columns]))
    steps = steps[(steps >= start) & (steps <= end)]
    if not len(steps):
        return None
    steps = steps[np.linspace(0, len(steps) - 1, min(len(steps), MAX_CURVE_POINTS)).astype(int)]
    values = np.array([np.interp(steps, c[0], c[1]) for c in columns])
    seconds = np.mean([np.interp(steps, c[0], c[2]) for c in columns], axis=0)
    intervals = [bootstrap_interval(column) for column in values.T]
    lows, highs = [interval.low for interval in intervals], [interval.high for interval in intervals]
    return _curve(group, steps, values.mean(axis=0), lows, highs, seconds)


def _curve(group: _Group, steps: np.ndarray, mean: np.ndarray, low: Any, high: Any, seconds: np.ndarray) -> Curve:
    """Returns the curve as it will be drawn: in bins, before a million points become Python objects."""
    timed = seconds if np.isfinite(seconds).all() else ()
    steps, mean, low, high, seconds = (binned(part) for part in (steps, mean, low, high, timed))
    curve = Curve(group.name, steps.tolist(), mean.tolist(), low.tolist(), high.tolist(), seconds.tolist())
    return replace(curve, color=group.color)


def _episode_sections(world: str, groups: Sequence[_Group], share: int) -> list[Section]:
    """Returns a player of the recorded episodes of each agent in a world, side by side, at most `share` of each; of an
    environment that only draws itself, short clips."""
    episodes: list[PlayerEpisode] = []
    pace = 6.0
    for group in groups:
        by_run = max(1, share // len(group.runs))
        before = len(episodes)
        for logged in group.runs:
            if len(episodes) - before >= share:
                break
            run = logged.run
            if not trust.is_allowed(trust.task_code_names(run.settings.task)):
                logging.getLogger("inscape").warning(
                    "The episodes of %s are not drawn: that would run %s, and you did not sign the run (--trust).",
                    run.path, run.settings.task["name"],
                )  # fmt: skip
                continue
            try:
                task = task_from_json(run.settings.task, run.path) if run.held is None else run.held[1]
            except UsageError as error:  # a package that is not installed here, say: the rest needs no world
                logging.getLogger("inscape").warning("The episodes of %s are not drawn: %s", run.path, error)
                continue
            whose = f"seed {run.settings.seed}: " if len(group.runs) > 1 else ""
            if task.world is not None:
                episodes += _recorded(run, task.world, group, whose, by_run)
                pace = 30.0 if task.world.layouts()[0].num_floats else pace
            elif len(episodes) == before:
                episodes += clip(run, task, group.name, group.color, whose)
                pace = CLIP_FPS
    agents = len({episode.agent for episode in episodes})
    title = f"Episodes, {world}"
    return [PlayerSection(title, tuple(episodes), fps=pace, side_by_side=agents > 1)] if episodes else []


def _recorded(run: Run, world: World, group: _Group, whose: str, most: int) -> list[PlayerEpisode]:
    """Returns the latest episodes recorded in a run: what the agent became."""
    recorded = [(one, one.states) for one in run.episodes() if one.states is not None]
    made = []
    for number, (trajectory, states) in list(enumerate(recorded, 1))[-most:]:
        world.require_states(states, f"the states recorded in {run.path}")
        title = f"{whose}episode {number}, return {returns_text(trajectory)}"
        episode = player_episode(world, trajectory, title=title, agent=group.name)
        made.append(replace(episode, color=group.color))
    return made
