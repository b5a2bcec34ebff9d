"""The exact optimum of a world, where it can be had: of one who sees the state, of one who does not, of games."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inscape.errors import UsageError
from inscape.experiments.numbers import number_text
from inscape.experiments.report.sections import Section, TableSection, TextSection
from inscape.experiments.report.solved import value_map
from inscape.experiments.studies.context import TIES

if TYPE_CHECKING:
    from inscape.experiments.studies.context import StudyContext


def optimum(context: StudyContext) -> list[Section]:
    """Returns value, certificate and map of the optimum; in words why there is none."""
    world = context.world
    if world is None:
        text = f"{context.task.name} has no law, so that its optimum cannot be computed."
        return [TextSection("The exact optimum", text)]
    if world.players > 1:
        return _game(context)
    if context.why_no_table:
        text = f"No table of {context.task.name} can be made: {context.why_no_table}."
        return [TextSection("The exact optimum", text)]
    solution, table = context.solution, context.table
    if solution is None or table is None:
        return []
    start = float(solution.values @ table.initial)
    rows: list[tuple[str, float | int | str]] = [
        ("value of the start", start), ("every value is within", float(solution.error_bound)),
        ("states", table.num_states), ("actions", table.num_actions), ("discount", float(world.gamma)),
    ]  # fmt: skip
    note = ""
    if context.hidden:
        note = "Of one who sees the state: an upper bound on what can be had by what is observed."
        rows += _hidden(context)
    context.facts.append(
        f"The optimum from the start is {number_text(start)} (γ = {world.gamma:g}), certified to "
        f"{solution.error_bound:.1g}" + (", for one who sees the state." if context.hidden else ".")
    )
    sections: list[Section] = [TableSection("The exact optimum", ("", "found"), tuple(rows), note)]
    states = world.dynamics().states
    best = solution.optimal_actions(TIES) & table.legal
    drawn = value_map(world, states, solution.values, best, table.terminal)
    return [*sections, drawn] if drawn is not None else sections


def _hidden(context: StudyContext) -> list[tuple[str, float]]:
    """Returns bounds on the value of one who acts on what is observed."""
    from inscape.world_models.planning.beliefs.point_based import BeliefSolution
    from inscape.world_models.planning.solve import solve_beliefs

    assert context.world is not None
    try:
        seconds = min(30.0, 6 * context.budget.minutes)
        found = solve_beliefs(context.world, context.world.gamma, tolerance=1e-3, max_seconds=seconds)
    except UsageError as error:
        context.notes.append(f"No values of beliefs: {str(error).splitlines()[0]}.")
        return []
    if not isinstance(found, BeliefSolution):
        return []
    context.facts.append(
        f"By what is observed, between {number_text(found.lower)} and {number_text(found.upper)} can be had."
    )
    return [("by what is observed, at least", found.lower), ("at most", found.upper)]


def _game(context: StudyContext) -> list[Section]:
    from inscape.world_models.planning.games.exact import game_values

    world = context.world
    assert world is not None
    try:
        values = game_values(world)
    except UsageError as error:
        text = f"The values of {context.task.name} cannot be computed: {str(error).splitlines()[0]}."
        return [TextSection("The exact optimum", text)]
    start = values.initial @ values.values
    told = ", ".join(f"{world.agents[k]} {number_text(float(v))}" for k, v in enumerate(start))
    context.facts.append(f"Played at its best by everybody, the game is worth {told}.")
    rows = tuple((world.agents[k], float(v)) for k, v in enumerate(start))
    return [TableSection("The exact optimum", ("player", "value of the start"), rows)]
