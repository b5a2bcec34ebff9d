"""Agents that suit the world: trained with several seeds, searching, at random; compared, curves, best episodes."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from inscape.errors import UsageError
from inscape.experiments.numbers import number_text
from inscape.experiments.report.sections import Section, TableSection, TextSection
from inscape.experiments.studies.budget import EVALUATE_EPISODES, POINTS
from inscape.experiments.studies.context import MOST_SECONDS_A_TABLE
from inscape.experiments.trials.comparison import compare
from inscape.experiments.trials.experiment import AgentSpec, Experiment, WorldSpec

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task
    from inscape.experiments.studies.context import StudyContext
    from inscape.experiments.trials.trial import Trial


def agents(context: StudyContext) -> list[Section]:
    """Runs the trials that are due and returns their comparison."""
    from inscape.experiments.report.compared import compared_sections
    from inscape.experiments.trials.execute import run_trials

    context.results = run_trials(trials(context), context.folder / "trials", context.jobs, verbose=True, title="Agents")
    for result in context.results.failed:
        first = result.error.splitlines()[0]
        context.notes.append(f"{result.agent}, seed {result.seed}, failed: {first}.")
    try:
        compared = compare(context.results)
    except UsageError as error:
        return [TextSection("Agents", str(error))]
    world = compared.rows[0].world
    rows = {row.agent: row for row in compared.rows}
    best = rows[compared.best(world)]
    text = f"The best agent is {best.agent}, with a mean return of {number_text(best.mean, 4)}"
    if best.regret is not None:
        text += f" and an exact regret of {number_text(best.regret, 4)}"
    if context.task.players > 1 and not context.task.simultaneous:
        text += "; each agent plays every part once, the others being random"
    context.facts.append(text + ".")
    return [_of_one_world(section) for section in compared_sections(compared)]


def _of_one_world(section: Section) -> Section:
    """Returns a table without the column that says in each row which world it is of: there is one here."""
    if not isinstance(section, TableSection) or section.columns[0] != "world":
        return section
    scale = section.scale_by - 1 if section.scale_by else None
    return dataclasses.replace(
        section, columns=section.columns[1:], rows=tuple(row[1:] for row in section.rows), scale_by=scale
    )


def trials(context: StudyContext) -> list[tuple[Trial, Task]]:
    """Returns the trials of the plan, first seeds first."""
    table = context.table
    made = []
    for row in context.budget.rows:
        small = table is not None and row.seconds_a_decision * table.num_states < MOST_SECONDS_A_TABLE
        experiment = Experiment(
            [WorldSpec(context.task, label=context.task.name)],
            [AgentSpec(row.agent, row.settings, row.label, row.steps or None)],
            seeds=[context.seed + k for k in range(row.seeds)],
            final_episodes=row.final_episodes,
            evaluate_every=max(1, row.steps // POINTS) if row.steps else None,
            evaluate_episodes=EVALUATE_EPISODES,
            exact=small and not context.hidden,
        )
        keep, steps = ("runs", row.steps) if row.kind == "learner" else ("results", 0)
        own = [(dataclasses.replace(t, keep=keep, steps=steps), task) for t, task in experiment.trials()]
        made += own
    return sorted(made, key=lambda pair: pair[0].seed)
