"""Families of agents at equal steps: labels that begin with a family's name ("model-free: sarsa") belong to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from inscape.errors import UsageError
from inscape.experiments.runs.statistics import (
    Interval,
    bootstrap_interval,
    improvement_interval,
    interquartile_mean,
)

if TYPE_CHECKING:
    from inscape.experiments.report.sections import Section
    from inscape.experiments.trials.results import Results


def family_sections(results: Results) -> list[Section]:
    """Returns, for each world and number of steps, the families' exact regrets, and who is how probably better.

    Agents of different steps are trials of their own: labels end with the steps after a comma ("model-free: sarsa,
    1000"), or all have the same.
    """
    from inscape.experiments.report.sections import Curve, CurvesSection, TableSection, TextSection

    families = list(dict.fromkeys(_family(agent) for agent in results.agents))
    if len(families) != 2:
        raise UsageError(f"families {', '.join(families)}", expected='two: labels such as "model-free: sarsa"')
    rows: list[tuple[Any, ...]] = []
    sections: list[Section] = []
    better: list[float] = []
    for world in results.worlds:
        found = _regrets(results, world)
        steps = sorted({at for _, at in found})
        for at in steps:
            one, other = (found.get((family, at)) for family in families)
            if one is None or other is None:
                continue
            # regrets: less is better
            improvement = improvement_interval(-np.array(other), -np.array(one), resamples=1000)
            better.append(improvement.estimate)
            rows.append((world, at, _interval(one), _interval(other), improvement))
        curves = []
        for k, family in enumerate(families):
            points = [(at, _interval(found[family, at])) for at in steps if (family, at) in found]
            curves.append(
                Curve(
                    family,
                    [float(at) for at, _ in points],
                    [p.estimate for _, p in points],
                    [p.low for _, p in points],
                    [p.high for _, p in points],
                    color=k,
                )
            )
        sections.append(CurvesSection(f"Regret in {world}", tuple(curves), "regret"))
    if not rows:
        raise UsageError("no exact regrets to compare", expected="exact = true, in worlds that can be enumerated")
    fewest = [row for row in rows if row[1] == min(r[1] for r in rows if r[0] == row[0])]
    most = [row for row in rows if row[1] == max(r[1] for r in rows if r[0] == row[0])]
    early, late = (float(np.mean([row[4].estimate for row in part])) for part in (fewest, most))
    answer = (
        f"A run of {families[1]} agents has less regret than one of {families[0]} agents at equal steps with "
        f"probability {early:.2f} at the fewest steps, {float(np.mean(better)):.2f} over all, {late:.2f} at the most."
    )
    columns = ("world", "steps", families[0], families[1], f"P({families[1]} better)")
    note = "Interquartile mean of the exact regret over agents and seeds, with its bootstrap interval; ties half."
    return [
        TextSection("At equal steps", answer),
        TableSection("Regret by family", columns, tuple(rows), note, scale_by=0),
        *sections,
        TableSection("Regret by agent", ("world", "agent", "regret"), _by_agent(results), scale_by=0),
    ]


def _family(agent: str) -> str:
    return agent.partition(":")[0].strip()


def _regrets(results: Results, world: str) -> dict[tuple[str, int], list[float]]:
    found: dict[tuple[str, int], list[float]] = {}
    for r in results:
        if r.world == world and r.finished and r.exact is not None:
            found.setdefault((_family(r.agent), r.steps), []).append(max(0.0, r.exact["regret"]))
    return found


def _interval(values: list[float]) -> Interval:
    return bootstrap_interval(values, interquartile_mean, resamples=1000)


def _by_agent(results: Results) -> tuple[tuple[str, str, Interval], ...]:
    rows = []
    for world in results.worlds:
        for agent in results.agents:
            own = [r for r in results if (r.world, r.agent) == (world, agent) and r.finished and r.exact is not None]
            if own:
                rows.append((world, agent, _interval([max(0.0, r.exact["regret"]) for r in own if r.exact])))
    return tuple(rows)
