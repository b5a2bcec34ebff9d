"""Where agents go wrong: the states in which what they do costs most, counted by how often they are there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from inscape.errors import UsageError
from inscape.experiments.report.sections import Section, TableSection
from inscape.experiments.report.solved import value_map
from inscape.experiments.studies.context import TIES
from inscape.world_models.planning.policies import occupancy

if TYPE_CHECKING:
    from inscape.experiments.studies.context import StudyContext

MOST_ROWS = 8


def mistakes(context: StudyContext) -> list[Section]:
    """Returns states of largest regret: V*(s) − Σ π(a|s) Q*(s, a), times expected discounted visits.

    By the performance-difference lemma (Kakade & Langford 2002) these sum to the whole regret of the agent.
    """
    world, table, solution = context.world, context.table, context.solution
    if world is None or table is None or solution is None or not context.policies:
        return []
    states = world.dynamics().states
    q_values = np.where(table.legal, solution.q_values, 0.0)
    optimal = solution.optimal_actions(TIES) & table.legal
    rows, worst = [], None
    for agent, policy in context.policies.items():
        if agent == "random":
            continue
        try:
            visits = occupancy(table, policy, min(world.gamma, 0.9999))
        except UsageError as error:
            context.notes.append(f"No visits of {agent}: {str(error).splitlines()[0]}.")
            continue
        gap = np.where(table.terminal, 0.0, solution.values - (policy * q_values).sum(axis=1))
        cost = visits * np.maximum(gap, 0.0)
        order = np.argsort(-cost, kind="stable")[:MOST_ROWS]
        for s in order:
            if cost[s] > 1e-6:
                does = str(world.choice_name(int(np.argmax(policy[s]))))
                should = ", ".join(str(world.choice_name(int(a))) for a in np.flatnonzero(optimal[s]))
                where = world.describe_state(states, int(s)).replace("\n", " / ")[:120]
                rows.append((agent, where, float(cost[s]), float(visits[s]), does, should))
        if worst is None or cost.sum() > worst[1].sum():
            worst = (agent, cost)
    if not rows or worst is None:
        context.facts.append("No trained agent that can be tabulated loses anything worth naming.")
        return []
    note = "Cost: regret of one visit times expected visits; over all states these sum to the regret from the start."
    columns = ("agent", "state", "cost", "visits", "does mostly", "best")
    sections: list[Section] = [TableSection("Where they go wrong", columns, tuple(rows), note)]
    agent, cost = worst
    drawn = value_map(world, states, cost, optimal, table.terminal, f"regret of {agent}")
    if drawn is not None:
        import dataclasses

        title = f"Regret of {agent}, by place"
        sections.append(dataclasses.replace(drawn, title=title, note="Tint: what acting there costs it; arrows: best."))
    return sections
