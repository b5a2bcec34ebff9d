"""How much does a helper save? A helper that infers what is wanted, beside none, and beside one that knows it."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np

from inscape.errors import UsageError
from inscape.experiments.runs.statistics import bootstrap_interval

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task
    from inscape.experiments.report.sections import Section
    from inscape.experiments.trials.results import Results
    from inscape.theory_of_mind.assistance.problem import AssistanceProblem, Assisted

EPISODES = 100


def helped_measures(agent: Any, task: Task, seed: int) -> dict[str, float]:
    """Returns what comes of a helper in `EPISODES` episodes beside people whose goals are drawn from its prior.

    The same people, with the same random numbers, are met without help and with a helper that knows what they want.

    Returns:
        `steps`, `steps_without`, `steps_knowing`: mean lengths of episodes; `saved`: steps without minus steps with the
        helper; `share`: of what the one that knows saves (0 where it saves nothing); `return_without`,
        `return_knowing`: mean discounted returns; `score`: with the helper.

    Raises:
        UsageError: the agent is not `helper`.
    """
    from inscape.theory_of_mind.assistance.agent import HelperAgent

    if not isinstance(agent, HelperAgent):
        raise UsageError(f"{getattr(agent, 'name', agent)} in a trial of helpers", expected="helper")
    problem = agent.problem
    with_helper = problem.simulate(agent.helper, EPISODES, seed)
    without, knowing = _references(problem, agent, task, seed)
    steps = {
        "steps": with_helper.lengths.mean(), "steps_without": without.lengths.mean(),
        "steps_knowing": knowing.lengths.mean(),
    }  # fmt: skip
    saved, most = steps["steps_without"] - steps["steps"], steps["steps_without"] - steps["steps_knowing"]
    return {
        **{name: float(value) for name, value in steps.items()},
        "saved": float(saved),
        "share": float(saved / most) if most > 0 else 0.0,
        "return_without": without.mean,
        "return_knowing": knowing.mean,
        "score": with_helper.mean,
    }


def _references(problem: AssistanceProblem, agent: Any, task: Task, seed: int) -> tuple[Assisted, Assisted]:
    """Returns what comes of no help, and of one who knows; kept for helpers that plan otherwise beside the same."""
    s = agent.settings
    beside = (s.goals, s.beta, s.accuracy, s.gamma, agent.player, seed)
    for world, who, found in _known:
        if world is task.world and who == beside:
            return found
    found = problem.simulate(problem.waiting(), EPISODES, seed), problem.simulate(problem.knowing(), EPISODES, seed)
    _known.appendleft((task.world, beside, found))
    return found


_known: deque[tuple[Any, Any, tuple[Assisted, Assisted]]] = deque(maxlen=16)


def helped_sections(results: Results) -> list[Section]:
    """Returns the steps that each helper saves in each world."""
    from inscape.experiments.report.sections import TableSection, TextSection

    rows: list[tuple[Any, ...]] = []
    for world in results.worlds:
        for agent in results.agents:
            own = [r for r in results if (r.world, r.agent) == (world, agent) and "saved" in r.measures]
            if own:
                names = ("steps_without", "steps", "steps_knowing", "saved")
                cells = [bootstrap_interval([r.measures[name] for r in own]) for name in names]
                most = np.mean([r.measures["steps_without"] - r.measures["steps_knowing"] for r in own])
                share = cells[3].estimate / most if most > 0.05 else None
                rows.append((world, agent, *cells, None if share is None else float(share)))
    if not rows:
        raise UsageError("nobody was helped", expected='measures = ["helped"], agents = ["helper"]')
    saved = [row[5].estimate / row[2].estimate for row in rows]
    shares = [row[6] for row in rows if row[6] is not None]
    top, least = rows[int(np.argmax(saved))], rows[int(np.argmin(saved))]
    known = f", which is {np.mean(shares):.0%} of what one saves that knows what is wanted" if shares else ""
    answer = (
        f"On average helpers save {np.mean(saved):.0%} of the steps{known}. Most in {top[0]} ({top[1]}): "
        f"{top[5].estimate:.1f} of {top[2].estimate:.1f} steps; least in {least[0]} ({least[1]}): "
        f"{least[5].estimate:.1f} of {least[2].estimate:.1f}."
    )
    columns = ("world", "helper", "steps alone", "with the helper", "with one that knows", "saved", "share")
    note = (
        f"Mean steps over {EPISODES} episodes a seed, with intervals over seeds. Share: of what a helper saves that "
        "knows what is wanted."
    )
    return [TextSection("Steps saved", answer), TableSection("Helpers", columns, tuple(rows), note, scale_by=0)]
