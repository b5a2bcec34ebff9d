"""A learned tabular model: bits a step and the regret of planning in it, against the size of its data."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from inscape.errors import UsageError
from inscape.experiments.numbers import number_text
from inscape.experiments.report.sections import Curve, CurvesSection, Section, TableSection

if TYPE_CHECKING:
    from inscape.envs.data.trajectory import Trajectory
    from inscape.experiments.studies.context import StudyContext

MOST_EPISODES = 20_000
JUDGED = 2_000
"""Steps that code lengths are measured on."""


def learned_models(context: StudyContext) -> list[Section]:
    """Returns how good a learned table is, by the steps of random play it was fitted to."""
    from inscape.agents.rollout import rollout
    from inscape.world_models.tabular.counts import LearnedTabularModel

    task = context.task
    if task.players > 1:
        context.notes.append("No learned model: it models the world of one player.")
        return []
    try:
        LearnedTabularModel.for_task(task)
    except UsageError as error:
        context.notes.append(f"No learned model: {str(error).splitlines()[0]}.")
        return []
    shape = task.observation_space.shape
    if np.issubdtype(task.observation_space.dtype or np.int64, np.floating) and shape:
        context.notes.append("No learned model: a table needs observations that come back, and these are real numbers.")
        return []
    sizes = context.budget.model_steps
    played: list[Trajectory] = []
    taken = 0
    while taken < sizes[-1] + JUDGED and len(played) < MOST_EPISODES:
        more = rollout("random", task, min(200, max(1, len(played) or 8)), context.seed + 77_000 + len(played))
        played += more
        taken += sum(map(len, more))
    judged, rest = _cut(played, JUDGED)
    rows, bits, regrets = [], [], []
    for size in sizes:
        data, _ = _cut(rest, size)
        if sum(map(len, data)) < size:
            break
        model = LearnedTabularModel.for_task(task)
        model.fit(data)
        steps = sum(map(len, judged))
        bits.append(-sum(model.log_prob(episode) for episode in judged) / steps / math.log(2))
        regrets.append(_regret(context, model))
        rows.append((size, bits[-1], regrets[-1]))
    if not rows:
        return []
    known = regrets[-1] is not None
    columns = ("steps of random play", "bits a step, held out", *(("regret of planning in it",) if known else ()))
    table = tuple(row if known else row[:2] for row in rows)
    text = f"A table learned from {rows[-1][0]:,} random steps needs {number_text(bits[-1], 3)} bits a step"
    context.facts.append(text + (f"; planning in it costs {number_text(regrets[-1] or 0.0, 3)}." if known else "."))
    note = "Code length of what was observed next, on episodes the model has not learned from."
    curve = Curve("tabular", [float(row[0]) for row in rows], bits)
    sections: list[Section] = [
        TableSection("A learned model", columns, table, note),
        CurvesSection("Code length against data", (curve,), "bits a step"),
    ]
    return sections


def _regret(context: StudyContext, model: object) -> float | None:
    """Returns what acting best by the learned table loses in the true law, from the start."""
    from inscape.world_models.planning.dynamic_programming import policy_evaluation
    from inscape.world_models.planning.solve import solve

    table, solution, world = context.table, context.solution, context.world
    if table is None or solution is None or world is None or context.hidden:
        return None
    learned = model.tabular()  # type: ignore[attr-defined]
    try:
        q_values = solve(learned, min(world.gamma, 0.9999)).q_values
    except UsageError:
        return None
    states = world.dynamics().states
    numbers = learned.init(world.observe(states))
    policy = np.zeros((table.num_states, table.num_actions))
    scores = np.where(table.legal, q_values[numbers], -np.inf)
    best = scores >= scores.max(axis=1, keepdims=True) - 1e-9
    policy[:] = best / best.sum(axis=1, keepdims=True)
    values = policy_evaluation(table, policy, min(world.gamma, 0.9999))
    return max(0.0, float(table.initial @ (solution.values - values)))


def _cut(episodes: list[Trajectory], steps: int) -> tuple[list[Trajectory], list[Trajectory]]:
    """Returns the first episodes with that many steps together, the last one shortened, and the others."""
    import dataclasses

    taken: list[Trajectory] = []
    total = 0
    for number, episode in enumerate(episodes):
        left = steps - total
        if left <= 0:
            return taken, episodes[number:]
        if len(episode) > left:
            short = dataclasses.replace(
                episode,
                observations=episode.observations[: left + 1],
                actions=episode.actions[:left],
                rewards=episode.rewards[:left],
                terminated=False,
                truncated=True,
                states=None,
                action_masks=None if episode.action_masks is None else episode.action_masks[:left],
            )
            return [*taken, short], episodes[number + 1 :]
        taken.append(episode)
        total += len(episode)
    return taken, []
