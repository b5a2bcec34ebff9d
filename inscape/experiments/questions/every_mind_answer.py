"""The answer to "one law, every mind": tables of what `every_mind_measures` found, and who is taken for whom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from inscape.errors import UsageError
from inscape.experiments.numbers import number_text
from inscape.experiments.questions.every_mind import EPISODES, KINDS, LAPSE, READINGS, WATCHED
from inscape.experiments.runs.statistics import bootstrap_interval

if TYPE_CHECKING:
    from inscape.experiments.report.sections import Section
    from inscape.experiments.trials.results import Results
    from inscape.experiments.trials.trial import TrialResult

MOST_ERRORS = 4.0
"""Standard errors that an exact value may differ from the mean of the episodes."""
OPTIMAL = 1e-6
"""Regret, as a share of V* − random play, below which an agent counts as optimal."""


def every_mind_sections(results: Results) -> list[Section]:
    """Returns what each agent is worth, what it knows, what it is taken for, in short and in each world."""
    from inscape.experiments.report.sections import Label, TableSection, TextSection

    judged = [r for r in results if r.finished and "regret_high" in r.measures]
    if not judged:
        raise UsageError("no agent was judged", expected='measures = ["every-mind"]')
    agents = [a for a in results.agents if any(r.agent == a for r in judged)]
    taken = recognised(results)
    rows: list[tuple[Any, ...]] = []
    for k, agent in enumerate(results.agents):
        own = [r for r in judged if r.agent == agent]
        if not own:
            continue
        bits, goals = _measured(own, "bits"), _measured(own, "goal")
        kinds = np.mean([[r.measures[f"as {kind}"] for kind in KINDS] for r in own], axis=0)
        likeliest = np.argsort(-kinds, kind="stable")[:2]
        rows.append(
            (
                Label(agent, k),
                bootstrap_interval([r.measures["share"] for r in own]),
                f"{sum(r.measures['share'] < OPTIMAL for r in own)} of {len(own)}",
                float(np.mean(bits)) if bits else None,
                round(float(np.mean(goals)), 3) if goals else None,
                ", ".join(f"{KINDS[j]} {kinds[j]:.2f}" for j in likeliest if kinds[j] > 0.05),
            )
        )
    rows.sort(key=lambda row: row[1].estimate)
    heads = ("agent", "regret, share", "optimal", "bits", "P(goal)", "as what mind")
    note = (
        "Regret: of V* − random play, mean over worlds and seeds. Bits: what its own model of the law wastes a step. "
        f"P(goal), as what mind: beliefs of an observer after {WATCHED} episodes."
    )
    return [
        TextSection("One law", _answer(judged, rows, taken, len(agents))),
        TableSection("Every mind", heads, tuple(rows), note),
        _taken_for(agents, taken, results),
        _in_each_world(results, judged),
        _readings(agents, judged),
    ]


def _measured(own: list[TrialResult], name: str) -> list[float]:
    return [r.measures[name] for r in own if name in r.measures]


def _answer(
    judged: list[TrialResult], rows: list[tuple[Any, ...]], taken: dict[str, dict[str, float]], agents: int
) -> str:
    worlds = len({r.world for r in judged})
    z = np.array([r.measures["z"] for r in judged])
    off = [r for r in judged if abs(r.measures["z"]) > MOST_ERRORS]
    certified = max(r.measures["regret_high"] - r.measures["regret_low"] for r in judged)
    text = (
        f"{agents} kinds of agent in {worlds} worlds: {len(judged)} exact values. "
        + (
            f"Each is within {MOST_ERRORS:g} standard errors of the mean of {EPISODES:,} episodes"
            if not off
            else f"{len(off)} of them are further than {MOST_ERRORS:g} standard errors from the mean of {EPISODES:,} "
            f"episodes ({', '.join(f'{r.agent} in {r.world}' for r in off[:5])})"
        )
        + f" (largest {np.abs(z).max():.2f}; above 2 in {(np.abs(z) > 2).mean():.1%}). "
        f"Regrets are certified to within {certified:.1g}."
    )
    optimal = sum(r.measures["share"] < OPTIMAL for r in judged)
    text += f"\n\n{optimal} of the {len(judged)} agents are optimal."
    learners = [row for row in rows if any(r.agent == row[0].text and r.steps for r in judged)]
    if learners:
        least, most = learners[0], learners[-1]
        text += (
            f" Of those that learn, {least[0].text} loses least ({least[1].estimate:.1%} of what can be had above "
            f"random play), {most[0].text} most ({most[1].estimate:.0%})."
        )
    told = [row[agent] for agent, row in taken.items() if agent in row]
    if told:
        text += (
            f"\n\nAn observer who knows all of them gives the right one {np.mean(told):.2f} on average; by chance it "
            f"would be {1 / agents:.2f}. Agents that act alike cannot be told apart."
        )
    return text


# ------------------------------------------------------------------------------------------------ which of them is it


def recognised(results: Results) -> dict[str, dict[str, float]]:
    """Returns watched agent → considered agent → posterior probability, mean over worlds and the seeds watched.

    Each agent is a hypothesis: the policy of its first seed. Watched are the other seeds, which have learned from
    other episodes; the first itself where there is no other. In every world only agents count that were judged there.
    """
    found: dict[str, dict[str, list[float]]] = {}
    for world in results.worlds:
        policies = {agent: results.arrays("policy", world, agent) for agent in results.agents}
        held = {agent: by_seed[min(by_seed)] for agent, by_seed in policies.items() if by_seed}
        for agent in held:
            counts = results.arrays("counts", world, agent)
            watched = sorted(counts)[1:] or sorted(counts)
            for seed in watched:
                log_likelihood = np.array([_log_likelihood(counts[seed], policy) for policy in held.values()])
                posterior = np.exp(log_likelihood - log_likelihood.max())
                for name, probability in zip(held, posterior / posterior.sum(), strict=True):
                    found.setdefault(agent, {}).setdefault(name, []).append(float(probability))
    return {agent: {name: float(np.mean(held)) for name, held in row.items()} for agent, row in found.items()}


def _log_likelihood(counts: np.ndarray, policy: np.ndarray) -> float:
    seen = counts > 0
    with np.errstate(divide="ignore"):
        return float((counts[seen] * np.log(policy[seen])).sum())


def _taken_for(agents: list[str], taken: dict[str, dict[str, float]], results: Results) -> Section:
    from inscape.experiments.report.sections import Label, TableSection

    numbers = {agent: k for k, agent in enumerate(results.agents)}
    rows = []
    for agent in agents:
        row = taken.get(agent, {})
        others = sorted((name for name in row if name != agent), key=lambda name: -row[name])[:3]
        said = ", ".join(f"{name} {row[name]:.2f}" for name in others if row[name] >= 0.01)
        right = round(row[agent], 3) if agent in row else None
        rows.append((Label(agent, numbers[agent]), right, said))
    several = len({r.seed for r in results}) > 1
    note = (
        f"An observer considers all agents, each by the policy of its first seed and {LAPSE:.0%} lapses, and watches "
        + ("another individual of the kind, trained with another seed" if several else "the same individual")
        + f", for {WATCHED} episodes; mean over worlds."
    )
    return TableSection("Which of them is it?", ("watched", "P(right)", "else taken for"), tuple(rows), note)


# ------------------------------------------------------------------------------------------------------- in each world


def _in_each_world(results: Results, judged: list[TrialResult]) -> Section:
    from inscape.experiments.report.sections import Label, TableSection

    rows = []
    for world in results.worlds:
        here = [r for r in judged if r.world == world]
        for k, agent in enumerate(results.agents):
            for r in (r for r in here if r.agent == agent):
                m = r.measures
                goal = round(m["goal"], 3) if "goal" in m else None
                most = f"{m['regret_high'] - m['regret']:.0e}"
                kind = max(KINDS, key=lambda kind: m[f"as {kind}"])
                rows.append(
                    (
                        world, Label(agent, k), r.seed, m["value"], m["regret"], most,
                        m["played"], m["error"], round(m["z"], 2), m.get("bits"), goal,
                        f"{kind} {m[f'as {kind}']:.2f}",
                    )
                )  # fmt: skip
    optima = ", ".join(
        f"{world} {number_text(next(r.measures['optimum'] for r in judged if r.world == world), 5)}"
        for world in results.worlds
        if any(r.world == world for r in judged)
    )
    heads = (
        "world", "agent", "seed", "exact value", "regret", "at most + ", "mean played", "standard error", "z", "bits",
        "P(goal)", "as what mind",
    )  # fmt: skip
    note = (
        "Discounted, from the initial states, without a time limit. Regret: V* − V^π; the certificates of value "
        f"iteration and of policy evaluation say how much more it can be at most. Optima: {optima}. Mean played: of "
        f"{EPISODES:,} episodes of the law; z: how many of its standard errors it is off."
    )
    return TableSection("In each world", tuple(head.strip() for head in heads), tuple(rows), note)


def _readings(agents: list[str], judged: list[TrialResult]) -> Section:
    from inscape.experiments.report.sections import TableSection

    rows = []
    for agent in agents:
        own = list(dict.fromkeys(int(r.measures["reading"]) for r in judged if r.agent == agent))
        rows.append((agent, "; ".join(READINGS[reading] for reading in own)))
    return TableSection("How policies are read off", ("agent", "in every state"), tuple(rows))
