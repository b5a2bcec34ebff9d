"""Agents compared in statistics: per world, over all worlds, in pairs."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from inscape import html
from inscape.errors import UsageError
from inscape.experiments.runs.during.curriculum import short_settings
from inscape.experiments.runs.folders import find_run, open_run, run_folders
from inscape.experiments.runs.run import Run
from inscape.experiments.runs.settings import differing, flat_settings
from inscape.experiments.runs.statistics import (
    Interval,
    bootstrap_interval,
    improvement_interval,
    interquartile_mean,
    performance_profile,
    stratified_bootstrap_interval,
)
from inscape.experiments.trials.results import RESULTS, Results, ResultsFile, scores_array
from inscape.experiments.trials.trial import TrialResult

ROUNDING = 1e-8
"""A regret below it is none: values are solved for to about that."""

POINTS = 101
"""Thresholds of a performance profile."""


@dataclass(frozen=True)
class Row:
    """An agent in a world.

    Attributes:
        agent, world: labels.
        runs: finished trials.
        iqm: interquartile mean of their scores, with its bootstrap interval.
        mean: their mean.
        regret: mean exact regret, where it was computed.
        steps: environment steps of a trial.
        seconds: mean time of a trial.
        failed: trials that failed.
        curve: `[(steps, interval over seeds of the mean return)]`.
    """

    agent: str
    world: str
    runs: int
    iqm: Interval
    mean: float
    regret: float | None
    steps: int
    seconds: float
    failed: int = 0
    curve: tuple[tuple[int, Interval], ...] = ()


@dataclass(frozen=True)
class Pair:
    """Two agents in a world, or over all worlds ("").

    Attributes:
        better, worse: labels; `better` has the higher interquartile mean.
        improvement: P(a run of `better` scores higher than one of `worse`), ties half, with its interval.
        difference: mean of `better` minus `worse` at equal seeds, with its interval; None where no seeds are shared.
    """

    world: str
    better: str
    worse: str
    improvement: Interval
    difference: Interval | None


@dataclass(frozen=True)
class Comparison:
    """Agents compared.

    Attributes:
        rows: one for each agent in each world.
        pairs: one for each two agents in each world.
        overall: for each agent that has runs in every world, the interquartile mean of its normalised scores; empty
            for one world.
        profiles: for each such agent `[POINTS]` share of runs above each threshold of the normalised score.
        thresholds: `[POINTS]`.
        settings: for each agent, the settings in which it differs from others of the same name.
        confidence: of the intervals.
        scale: what 0 and 1 of a normalised score are.
    """

    rows: tuple[Row, ...]
    pairs: tuple[Pair, ...]
    overall: Mapping[str, Interval] = field(default_factory=dict)
    profiles: Mapping[str, np.ndarray] = field(default_factory=dict)
    thresholds: np.ndarray = field(default_factory=lambda: np.linspace(0.0, 1.0, POINTS))
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    confidence: float = 0.95
    scale: str = ""

    def best(self, world: str) -> str:
        """Returns the agent with the highest interquartile mean in a world.

        Raises:
            UsageError: there is no such world.
        """
        rows = [row for row in self.rows if row.world == world]
        if not rows:
            raise UsageError(f"no world {world!r}", expected=", ".join(dict.fromkeys(row.world for row in self.rows)))
        return max(rows, key=lambda row: row.iqm.estimate).agent

    def __str__(self) -> str:
        widths = max(len(row.agent) for row in self.rows), max(len(row.world) for row in self.rows)
        return "\n".join(f"{r.world:{widths[1]}}  {r.agent:{widths[0]}}  {r.iqm}  ({r.runs} runs)" for r in self.rows)

    def _repr_html_(self) -> str:
        cells = [
            [row.world, row.agent, str(row.runs), str(row.iqm), html.number(row.mean), html.number(row.seconds, 2)]
            for row in self.rows
        ]
        columns = ("world", "agent", "runs", "interquartile mean", "mean", "seconds")
        return html.block("Comparison", html.table(columns, cells, columns[2:]), note=self.scale)


def compare(*sources: Any, exact: bool = False, confidence: float = 0.95, resamples: int = 2000) -> Comparison:
    """Returns agents compared: what the sources are of is found out from them.

        compare("runs/FrozenLake-ppo-seed0", "runs/FrozenLake-ppo-seed1", "runs/FrozenLake-dqn-seed0")
        compare("experiments/lake")
        compare(results)

    Args:
        sources: `Results`; folders of experiments, of runs, or folders full of runs; runs.
        exact: exact values of the final policies in place of mean returns of episodes; trials without are left out.
        confidence: of the intervals, in (0, 1).
        resamples: of the bootstrap.

    Raises:
        UsageError: there is nothing to compare: no run, no finished trial.

    Source: Agarwal et al. (2021), "Deep Reinforcement Learning at the Edge of the Statistical Precipice", NeurIPS.
    """
    results = _joined(sources)
    rows, pairs = [], []
    for world in results.worlds:
        scores = scores_array(results, world, results.agents, exact)
        if not scores:
            continue
        made = [_row(results, world, agent, values, confidence, resamples) for agent, values in scores.items()]
        rows += made
        order = sorted(made, key=lambda row: -row.iqm.estimate)
        for better, worse in itertools.combinations([row.agent for row in order], 2):
            by_seed = results.scores(world, better, exact), results.scores(world, worse, exact)
            pairs.append(_pair(world, better, worse, *by_seed, confidence, resamples))
    if not rows:
        errors = "; ".join(sorted({r.error.splitlines()[0] for r in results.failed})[:3])
        raise UsageError(
            f"no scores to compare among {len(results)} trials" + (f" (failed: {errors})" if errors else ""),
            expected="finished trials" + (" with exact values (exact = true)" if exact else ""),
        )
    overall, profiles = _overall(results, exact, confidence, resamples)
    return Comparison(
        tuple(rows), tuple(pairs), overall, profiles, settings=_settings(results), confidence=confidence,
        scale=SCALE if overall else "",
    )  # fmt: skip


SCALE = "normalised: in each world 0 is the worst and 1 the best mean score of an agent compared here"


def _row(results: Results, world: str, agent: str, values: np.ndarray, confidence: float, resamples: int) -> Row:
    own = [r for r in results if r.world == world and r.agent == agent]
    done = [r for r in own if r.finished]
    regrets = [r.exact["regret"] if abs(r.exact["regret"]) > ROUNDING else 0.0 for r in done if r.exact]
    points: dict[int, list[float]] = {}
    for result in done:
        for steps, value in result.curve:
            points.setdefault(steps, []).append(value)
    curve = tuple(
        (steps, bootstrap_interval(points[steps], confidence=confidence, resamples=min(resamples, 500)))
        for steps in sorted(points)
        if 2 * len(points[steps]) > len(done) and np.isfinite(points[steps]).all()
    )
    return Row(
        agent, world, len(values),
        bootstrap_interval(values, interquartile_mean, confidence, resamples),
        float(values.mean()), float(np.mean(regrets)) if regrets else None,
        max(r.steps for r in done), float(np.mean([r.seconds for r in done])), len(own) - len(done), curve,
    )  # fmt: skip


def _pair(
    world: str, better: str, worse: str, x: dict[int, float], y: dict[int, float], confidence: float, resamples: int
) -> Pair:
    shared = sorted(set(x) & set(y))
    difference = None
    if len(shared) > 1:
        difference = bootstrap_interval([x[s] - y[s] for s in shared], confidence=confidence, resamples=resamples)
    first, second = (np.array([by[s] for s in sorted(by)])[:, None] for by in (x, y))
    return Pair(world, better, worse, improvement_interval(first, second, confidence, resamples), difference)


def _overall(
    results: Results, exact: bool, confidence: float, resamples: int
) -> tuple[dict[str, Interval], dict[str, np.ndarray]]:
    """Returns, over several worlds, each agent's normalised interquartile mean and performance profile."""
    worlds = results.worlds
    by_world = {world: scores_array(results, world, results.agents, exact) for world in worlds}
    agents = [agent for agent in results.agents if all(agent in by_world[world] for world in worlds)]
    if len(worlds) < 2 or not agents:
        return {}, {}
    columns: dict[str, list[np.ndarray]] = {agent: [] for agent in agents}
    for world in worlds:
        means = [values.mean() for values in by_world[world].values()]
        low, high = min(means), max(means)
        for agent in agents:
            columns[agent].append((by_world[world][agent] - low) / (high - low or 1.0))
    overall, profiles = {}, {}
    thresholds = np.linspace(0.0, 1.0, POINTS)
    for agent in agents:
        count = min(map(len, columns[agent]))  # failed trials leave worlds of fewer runs
        table = np.stack([column[:count] for column in columns[agent]], axis=1)
        overall[agent] = stratified_bootstrap_interval(table, interquartile_mean, confidence, resamples)
        profiles[agent] = performance_profile(table, thresholds)
    return overall, profiles


def _settings(results: Results) -> dict[str, dict[str, Any]]:
    """Returns for each agent the settings in which it differs from another of its name."""
    first = {agent: next((r.settings for r in results if r.agent == agent), {}) for agent in results.agents}
    flat = {agent: flat_settings(settings) for agent, settings in first.items()}
    told: dict[str, dict[str, Any]] = {agent: {} for agent in flat}
    for one, other in itertools.combinations(flat, 2):
        if one.split()[:1] == other.split()[:1]:  # labels begin with the agent's name
            for name in differing(flat[one], flat[other]):
                told[one][name], told[other][name] = flat[one].get(name), flat[other].get(name)
    return told


# ------------------------------------------------------------------------------------------------------- where from


def _joined(sources: Sequence[Any]) -> Results:
    if not sources:
        raise UsageError("nothing to compare", expected="runs, or an experiment's folder", hint="inscape compare runs")
    if len(sources) == 1 and isinstance(sources[0], Results):
        return sources[0]
    found: list[TrialResult] = []
    runs: list[Run] = []
    for source in sources:
        if isinstance(source, Results):
            found += source
        elif isinstance(source, Run):
            runs.append(source)
        elif isinstance(source, (str, Path)):
            path = Path(source)
            if (path / RESULTS).is_file():
                file = ResultsFile(path)
                found += file.read().values()
                if file.damaged:
                    logging.getLogger("inscape").warning(
                        "%s is damaged at line %s: what stood there is left out; inscape run runs it again",
                        file.path, ", ".join(map(str, file.damaged[:5])),
                    )  # fmt: skip
            elif (folder := find_run(source)) is not None:
                runs.append(open_run(folder))
            elif inside := run_folders(path):
                runs += [open_run(folder) for folder in reversed(inside)]
            else:
                open_run(source)  # says what is missing
        else:
            raise UsageError(f"{type(source).__name__} to compare", expected="runs, folders, or results of experiments")
    return Results([*found, *_of_runs(runs)])


def _of_runs(runs: Sequence[Run]) -> list[TrialResult]:
    """Returns runs as results; agents of one name whose settings differ have them in their labels."""
    told = []
    names = [(run.settings.agent, str(run.settings.task.get("name"))) for run in runs]
    flat = [
        flat_settings(run.settings.agent_settings)
        | {"steps": run.settings.steps}
        | short_settings(run.settings.curriculum)
        for run in runs
    ]
    worlds = [flat_settings(run.settings.task.get("settings", {})) for run in runs]
    for k, run in enumerate(runs):
        same_agent = [j for j, name in enumerate(names) if name == names[k]]
        same_world = [j for j, name in enumerate(names) if name[1] == names[k][1]]
        agent = _label(names[k][0], flat[k], [flat[j] for j in same_agent])
        world = _label(_short(names[k][1]), worlds[k], [worlds[j] for j in same_world])
        evaluation = run.evaluation()
        columns = run.metric_columns(["steps", "seconds", "evaluation/return_mean"])
        evaluated = columns["evaluation/return_mean"]
        at = columns["steps"].at(evaluated.rows)
        curve = tuple((int(s), float(v)) for s, v in zip(at, evaluated.values, strict=True) if np.isfinite(s))
        score = evaluation[0].estimate if evaluation is not None else curve[-1][1] if curve else None
        seconds = columns["seconds"].values
        told.append(
            TrialResult(
                run.name,
                agent,
                world,
                run.settings.seed,
                score,
                curve=curve,
                seconds=float(seconds[-1]) if len(seconds) else 0.0,
                steps=run.settings.steps,
                settings=dict(run.settings.agent_settings),
                error="" if score is not None else f"{run.name} was never evaluated",
                run=run.name,
            )
        )
    return told


def _short(name: str) -> str:
    return name.rpartition("/")[2] if ".py:" in name else name


def _label(name: str, own: Mapping[str, Any], among: Sequence[Mapping[str, Any]]) -> str:
    names = sorted({key for other in among for key in differing(dict(own), dict(other))})
    return " ".join(filter(None, [name, ", ".join(f"{key}={own[key]}" for key in names if key in own)]))
