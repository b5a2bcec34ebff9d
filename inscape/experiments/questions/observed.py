"""What does an observer infer from trained against optimal agents? It watches episodes of each trial's agent."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np

from inscape.errors import MissingLawError, UsageError
from inscape.experiments.runs.statistics import bootstrap_interval

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task
    from inscape.experiments.report.sections import Section
    from inscape.experiments.trials.results import Results

EPISODES = 20


def observed_measures(agent: Any, task: Task, seed: int) -> dict[str, float]:
    """Returns what an observer of goals and rationalities believes after watching an agent for `EPISODES` episodes.

    Returns:
        `goal`: posterior probability of the goal that the agent was trained for, at the end of an episode; `halfway`:
        after half its actions; `right`: share of episodes at whose end that goal is the most probable one; `bits` per
        action of the observer's predictions; `beta`: the rationality it infers, exp E[log β]; `length` of episodes;
        `score`: the agent's mean return in them.

    Raises:
        MissingLawError: the world has no law.
        UsageError: the world's purpose is none of the goals it names.
    """
    from inscape.agents.rollout import rollout
    from inscape.experiments.runs.loop import EVALUATION_SEED
    from inscape.experiments.verbs.observe import posterior_of

    world = task.world
    if world is None:
        raise MissingLawError(f"{task.name} has no law to observe with", expected="a world that names its goals")
    wanted = next((name for name, purpose in world.goals.items() if purpose == world.purpose), None)
    if wanted is None:
        raise UsageError(f"{task.name} pursues {world.purpose}", expected=f"one of its goals: {', '.join(world.goals)}")
    observer = _observer(task)
    episodes = rollout(agent, task, EPISODES, EVALUATION_SEED + seed)
    found = [posterior_of(observer, episode, task) for episode in episodes]
    betas = np.log([mind.beta for mind in observer.minds])
    return {
        "goal": float(np.mean([p.goals[wanted][-1] for p in found])),
        "halfway": float(np.mean([p.goals[wanted][len(p) // 2] for p in found])),
        "right": float(np.mean([p.goal == wanted for p in found])),
        "bits": float(np.concatenate([p.bits for p in found]).mean()),
        "beta": float(np.exp(np.mean([p.final @ betas for p in found]))),
        "length": float(np.mean([len(p) for p in found])),
        "score": float(np.mean([np.sum(episode.rewards) for episode in episodes])),
    }


def _observer(task: Task) -> Any:
    """Returns the observer of a world, kept for agents that are watched one after another in it."""
    from inscape.experiments.verbs.observe import observer_for

    for known, observer in _observers:
        if known is task.world:
            return observer
    observer = observer_for(task)
    _observers.appendleft((task.world, observer))
    return observer


_observers: deque[tuple[Any, Any]] = deque(maxlen=2)


def observed_sections(results: Results) -> list[Section]:
    """Returns what is inferred from each agent, over all worlds, and in each."""
    from inscape.experiments.report.sections import Label, TableSection, TextSection

    columns = ("goal", "halfway", "right", "bits", "beta", "length")
    rows: list[tuple[Any, ...]] = []
    by_world: list[tuple[Any, ...]] = []
    for k, agent in enumerate(results.agents):
        own = [r for r in results if r.agent == agent and r.finished and "goal" in r.measures]
        if not own:
            continue
        rows.append((Label(agent, k), *(bootstrap_interval([r.measures[c] for r in own]) for c in columns)))
        for world in results.worlds:
            here = [r for r in own if r.world == world]
            if here:
                means = (float(np.mean([r.measures[c] for r in here])) for c in columns)
                by_world.append((world, Label(agent, k), float(np.mean([r.score or 0.0 for r in here])), *means))
    if not rows:
        raise UsageError("nothing was observed", expected='measures = ["observed"]')
    by_goal = sorted(rows, key=lambda row: -row[1].estimate)
    by_bits = sorted(rows, key=lambda row: row[4].estimate)
    answer = (
        f"The goal is known best from {by_goal[0][0].text} (probability {by_goal[0][1].estimate:.2f} in the end, "
        f"{by_goal[0][2].estimate:.2f} half-way) and worst from {by_goal[-1][0].text} ({by_goal[-1][1].estimate:.2f}). "
        f"{by_bits[0][0].text} is predicted best, with {by_bits[0][4].estimate:.2f} bits an action, and taken for "
        f"one of rationality β = {by_bits[0][5].estimate:.3g}; {by_bits[-1][0].text} worst, with "
        f"{by_bits[-1][4].estimate:.2f} bits and β = {by_bits[-1][5].estimate:.3g}."
    )
    note = (
        f"Mean over worlds and seeds, with intervals; {EPISODES} episodes of each trial. P(goal) of the goal that the "
        "agent was trained for."
    )
    heads = ("agent", "P(goal)", "half-way", "right", "bits an action", "β inferred", "steps")
    order = results.worlds
    by_world.sort(key=lambda row: order.index(row[0]))
    return [
        TextSection("What is inferred", answer),
        TableSection("By agent", heads, tuple(rows), note),
        TableSection("By world", ("world", "agent", "return", *heads[1:]), tuple(by_world)),
    ]
