"""What an observer makes of each agent: its goal where there are several, how rational it is, bits an action."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from inscape.errors import UsageError
from inscape.experiments.numbers import number_text
from inscape.experiments.report.episodes import player_episode, posterior_overlays
from inscape.experiments.report.sections import PlayerSection, Section, TableSection

if TYPE_CHECKING:
    from inscape.experiments.studies.context import StudyContext

BETAS = (0.0, 1.0, 5.0, 25.0, 125.0)
MOST_STATES = 5_000
"""States up to which minds are solved for."""


def observing(context: StudyContext) -> list[Section]:
    """Returns what is believed of each agent, and the best episode of each in the player."""
    observer = _observer(context)
    rows, shown = [], []
    for agent, episodes in context.episodes.items():
        overlays: Any = None
        best = max(episodes, key=lambda episode: float(np.sum(episode.rewards)))
        if observer is not None:
            rows.append(_row(observer, agent, episodes))
            if best.states is not None and len(best) <= 200:
                overlays = posterior_overlays(observer, best, 6)
        if context.world is not None and best.states is not None:
            shown.append(player_episode(context.world, best, agent=agent, posteriors=overlays, max_frames=300))
    sections: list[Section] = []
    if rows:
        own = any(row[-1] is not None for row in rows)
        columns = (
            "agent", "most probable mind", "probability", "bits an action", "a uniform guess", "mean β",
            *(("P(its goal)",) if own else ()),
        )  # fmt: skip
        rows = rows if own else [row[:-1] for row in rows]
        note = "Each from the prior, over a few episodes; a mind plans in the law, and chooses by a softmax of β."
        if own:
            note += (
                " P(its goal): of the goal that the agent is rewarded for. Among actions of equal value a mind takes "
                "any; an agent that always takes the same one can look as if it wanted something else."
            )
        sections.append(TableSection("What an observer makes of them", columns, tuple(rows), note))
    if shown:
        sections.append(PlayerSection("Best episodes", tuple(shown), overlays=("posterior",)))
    elif context.world is None:
        context.notes.append("No episodes in the player: the environment draws itself; inscape watch shows it.")
    return sections


def _observer(context: StudyContext) -> Any:
    from inscape.theory_of_mind import Observer, PlanningMind, minds_grid

    world, table = context.world, context.table
    if world is None or table is None or context.hidden or table.num_states > MOST_STATES:
        if world is not None and world.players == 1:
            context.notes.append("No observer: minds are solved for where the state is seen and can be tabulated.")
        return None
    try:
        if len(world.goals) > 1:
            return Observer(world, minds_grid(list(world.goals), BETAS, "soft-eval"))
        scale = float(np.abs(context.solution.q_values).max()) if context.solution is not None else 1.0
        unit = 1.0 / max(1e-9, scale)
        return Observer(world, [PlanningMind(world.purpose, beta * unit, "hard") for beta in BETAS])
    except UsageError as error:
        context.notes.append(f"No observer: {str(error).splitlines()[0]}.")
        return None


def _row(observer: Any, agent: str, episodes: Any) -> tuple[Any, ...]:
    observer.reset()
    bits: list[float] = []
    try:
        for episode in episodes:
            bits += observer.bits_per_action(episode).tolist()
            observer.observe(episode)
    except UsageError:
        observer.reset()
        return agent, "none of these", None, None, None, None, None
    held = observer.posterior()
    # whoever acts at random wants nothing: with β = 0 all goals are one hypothesis
    random = np.array([mind.beta == 0.0 for mind in observer.minds])
    best = int(np.argmax(np.where(random, -1.0, held)))
    mind = observer.minds[best]
    rational = f"β = {number_text(mind.beta, 3)}"
    name = f"{mind.goal}, {rational}" if isinstance(mind.goal, str) else rational
    probability = float(held[best])
    if held[random].sum() > probability:
        name, probability = "acts at random", float(held[random].sum())
    beta = float(observer.expect(lambda mind: mind.beta))
    uniform = float(np.log2(observer.world.num_actions))
    goal = _own_goal(observer)
    own = None if goal is None else float(held[[m.goal == goal for m in observer.minds]].sum())
    observer.reset()
    return agent, name, probability, float(np.mean(bits)) if bits else None, uniform, beta, own


def _own_goal(observer: Any) -> str | None:
    """Returns the name of the world's own purpose among several goals; None where it is none of them."""
    from inscape.theory_of_mind.parts.wanting import fingerprint

    goals = observer.world.goals
    own = fingerprint(observer.world.purpose)
    return next((name for name, goal in goals.items() if len(goals) > 1 and fingerprint(goal) == own), None)
