"""Agents compared, as a page: tables, learning curves over seeds, who is better in pairs, performance profiles."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from inscape.experiments.report.file import ReportFile
from inscape.experiments.report.sections import Curve, CurvesSection, Label, Section, TableSection

if TYPE_CHECKING:
    from inscape.experiments.trials.comparison import Comparison


def compared_sections(compared: Comparison) -> list[Section]:
    """Returns the sections of a page about a comparison."""
    agents = list(dict.fromkeys(row.agent for row in compared.rows))
    worlds = list(dict.fromkeys(row.world for row in compared.rows))
    color = {agent: k for k, agent in enumerate(agents)}
    rows = tuple(
        (row.world, Label(row.agent, color[row.agent]), row.runs, row.iqm, row.mean, row.regret, row.steps, row.seconds)
        for row in compared.rows
    )
    note = f"Interquartile mean over seeds with bootstrap intervals of {100 * compared.confidence:g} %."
    columns = ("world", "agent", "runs", "interquartile mean", "mean", "regret", "steps", "seconds a run")
    kept = [k for k, name in enumerate(columns) if name != "regret" or any(row[k] is not None for row in rows)]
    table = tuple(tuple(row[k] for k in kept) for row in rows)
    sections: list[Section] = [TableSection("Agents", tuple(columns[k] for k in kept), table, note, scale_by=0)]
    if compared.overall:
        ranked = sorted(compared.overall.items(), key=lambda item: -item[1].estimate)
        cells = tuple((Label(agent, color[agent]), interval) for agent, interval in ranked)
        sections.append(TableSection("Over all worlds", ("agent", "interquartile mean"), cells, compared.scale))
        xs = tuple(map(float, compared.thresholds))
        curves = tuple(
            Curve(agent, xs, tuple(map(float, profile)), color=color[agent])
            for agent, profile in compared.profiles.items()
        )
        note = "Share of runs above each normalised score (the horizontal axis): higher is better."
        sections.append(CurvesSection("Performance profiles", curves, "share of runs", note=note, y_range=(0.0, 1.0)))
    for world in worlds:
        curves = tuple(
            Curve(
                row.agent,
                [float(steps) for steps, _ in row.curve],
                [point.estimate for _, point in row.curve],
                [point.low for _, point in row.curve],
                [point.high for _, point in row.curve],
                color=color[row.agent],
            )
            for row in compared.rows
            if row.world == world and len(row.curve) > 1
        )
        if curves:
            title = f"Learning curves in {world}" if len(worlds) > 1 else "Learning curves"
            sections.append(CurvesSection(title, curves, "mean return", note="Bands: bootstrap intervals over seeds."))
    pairs = tuple((pair.world, pair.better, pair.worse, pair.improvement, pair.difference) for pair in compared.pairs)
    if pairs:
        heads = ("world", "better", "than", "P(improvement)", "difference at equal seeds")
        note = "P(improvement): how probable it is that a run of the one scores higher than one of the other."
        sections.append(TableSection("In pairs", heads, pairs, note))
    told = tuple(
        (agent, ", ".join(f"{name} {value}" for name, value in settings.items()))
        for agent, settings in compared.settings.items()
        if settings
    )
    if told:
        sections.append(TableSection("Settings that differ", ("agent", "settings"), told))
    return sections


def save_compared(path: Path, compared: Comparison, commands: Sequence[str] = ()) -> ReportFile:
    """Writes the page about a comparison and returns its path.

    Raises:
        UsageError: the file cannot be written.
    """
    from inscape.experiments.report.page import write_report

    return write_report(compared_sections(compared), path, title="Agents compared", commands=tuple(commands))
