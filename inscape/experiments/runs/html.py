"""A run as a notebook shows it: agent, world, how far it came, its learning curve."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from inscape import html
from inscape.errors import UsageError
from inscape.experiments.runs.storage.metrics import MetricColumns

SHOWN = ("evaluation/return_mean", "episode_return")
"""Metrics of which the first that was logged is the curve."""


class ShownRun(Protocol):
    """What is asked of a run: see `inscape.experiments.runs.run.Run`."""

    @property
    def folder(self) -> Path | None: ...
    @property
    def settings(self) -> Any: ...
    def metric_columns(self, keys: list[str]) -> MetricColumns: ...
    def evaluation(self) -> Any: ...


def run_html(run: ShownRun) -> str:
    """Returns a run as HTML; what is wrong with its files is written instead of what they would say."""
    settings = run.settings
    title = f"{settings.agent} in {settings.task.get('name')}"
    place = "in memory: run.save(FOLDER) keeps it" if run.folder is None else str(run.folder)
    try:
        columns = run.metric_columns(["steps", *SHOWN])
        evaluation = run.evaluation()
    except UsageError as error:
        return html.block(title, note=str(error))
    steps = columns["steps"].values
    reached = int(steps[-1]) if len(steps) else 0
    parts = [html.line(f"{reached:,} of {settings.steps:,} steps, seed {settings.seed}")]
    for key in SHOWN:
        column = columns[key]
        if len(column.rows):
            parts += [html.curve(list(columns["steps"].at(column.rows)), list(column.values))]
            parts += [
                html.line(
                    f"{key.replace('/', ' ').replace('_', ' ')}: {html.number(float(column.values[-1]))} at the end"
                )
            ]
            break
    if evaluation is not None:
        interval, episodes = evaluation
        low, high = html.number(interval.low), html.number(interval.high)
        parts.append(html.line(f"evaluated: {html.number(interval.estimate)} ({low} to {high}, {episodes} episodes)"))
    return html.block(title, *parts, note=place)
