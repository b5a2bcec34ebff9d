"""Choices made up: what minds would do, many episodes side by side. For recovery, calibration and examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from inscape.errors import UsageError, whole_number
from inscape.theory_of_mind.controllers import Array
from inscape.theory_of_mind.fitting.choices import ChoiceEpisode, Choices, EpisodeChecker
from inscape.theory_of_mind.mind_policies import MindPolicies, policies_of
from inscape.theory_of_mind.minds import Mind, identity_of
from inscape.theory_of_mind.observers.checks import check_minds

if TYPE_CHECKING:
    from inscape.envs.world import World


def simulate_choices(
    world: World,
    minds: Sequence[Mind],
    episodes: int = 1,
    rng: np.random.Generator | int = 0,
    *,
    max_steps: int | None = None,
    stops: bool = True,
    gamma: float | None = None,
    player: int | None = None,
    participants: Sequence[str] | None = None,
) -> Choices:
    """Returns choices of simulated participants, one for each of `minds`; a mind may be there several times.

    Episodes begin as the world begins, and end where the mind has arrived, where the world ends, or after `max_steps`.
    Of several players, the others act at random.

    Args:
        world: what they act in.
        minds: N minds, one for each participant.
        episodes: of each participant.
        rng: a generator, or a seed.
        max_steps: longest episode; None: the world's time limit, or 100.
        stops: an episode ends where its mind has arrived. False: it goes on there, indifferent, as observers take it to
            (that an episode has ended is no evidence to them).
        gamma: discount of `PlanningMind`s that have none of their own; None: the world's.
        player: whose minds these are, where there are several players.
        participants: names; None: p1 … pN.

    Raises:
        UsageError: no minds; counts below 1; names that are not as many as minds, or not distinct; no mind could make
            any choice; or as `Observer`.
    """
    generator = np.random.default_rng(rng)
    given, count = list(minds), whole_number("episodes =", episodes, 1)
    number: dict[Any, int] = {}
    kinds = np.array([number.setdefault(identity_of(mind), len(number)) for mind in given])
    distinct = check_minds([given[int(n)] for n in np.unique(kinds, return_index=True)[1]])
    names = [f"p{n + 1}" for n in range(len(given))] if participants is None else [str(name) for name in participants]
    if len(names) != len(given) or len(set(names)) != len(names):
        raise UsageError(f"{len(names)} participants for {len(given)} minds", expected="one distinct name for each")
    limit = max_steps if max_steps is not None else world.max_episode_steps or 100
    checker = EpisodeChecker(world, player)
    policies = policies_of(world, distinct, world.gamma if gamma is None else gamma, player)
    if not stops:
        policies = replace(policies, arrived=np.zeros_like(policies.arrived))
    acting = np.repeat(kinds, count)
    paths = walk(policies, checker, acting, whole_number("max_steps =", limit, 1), generator)
    made = []
    for e, (states, actions) in enumerate(paths):
        begins = np.arange(len(actions)) == 0
        made.append(ChoiceEpisode(names[e // count], str(e % count + 1), states, actions, begins))
    return Choices((world,), tuple(made), player, "simulated choices")


def walk(
    policies: MindPolicies, checker: EpisodeChecker, minds: Array, max_steps: int, rng: np.random.Generator
) -> list[tuple[Array, Array]]:
    """Returns `(states [T], actions [T])` of an episode of each of `minds [B]`, numbers among those of `policies`."""
    dynamics = checker.numbering.dynamics
    count = len(minds)
    states = _drawn(np.broadcast_to(np.asarray(dynamics.initial), (count, len(dynamics))), rng)
    rows = policies.first_row[minds].copy()
    sizes = np.bincount(policies.mind_of)
    for mind in np.flatnonzero(sizes > 1):
        begun = np.flatnonzero(minds == mind)
        if policies.log_start is not None and len(begun):
            held_rows = slice(policies.first_row[mind], policies.first_row[mind] + sizes[mind])
            rows[begun] += _drawn(np.exp(policies.log_start[held_rows][:, states[begun]]).T, rng)
    memory = {int(policies.mind_of[step.rows.start]): step for step in policies.steps}
    seen, done = [], []
    going = ~(policies.arrived[rows, states] | checker.over[states])
    for _ in range(max_steps):
        here = np.flatnonzero(going)
        if not len(here):
            break
        actions = _drawn(np.exp(policies.log_probs[rows[here], states[here]]), rng)
        outcome = _drawn(dynamics.probability[states[here], actions], rng)
        seen.append(np.where(going, states, -1))
        taken = np.zeros(count, np.int64)
        taken[here] = actions
        done.append(taken)
        before = states[here]
        states[here] = dynamics.next_state[before, actions, outcome]
        for g, step in memory.items():
            own = np.flatnonzero(minds[here] == g)
            if len(own):
                following, log_probability = step.at(before[own], actions[own], outcome[own])  # [own, M, J]
                each = np.arange(len(own))
                held = rows[here[own]] - step.rows.start
                j = _drawn(np.exp(log_probability[each, held]), rng)
                rows[here[own]] = step.rows.start + following[each, held, j]
        going[here] = ~(policies.arrived[rows[here], states[here]] | checker.over[states[here]])
    if not seen:
        return [(np.zeros(0, np.int64), np.zeros(0, np.int64)) for _ in range(count)]
    paths, acts = np.array(seen), np.array(done)
    lengths = (paths >= 0).sum(axis=0)
    return [(paths[: lengths[b], b], acts[: lengths[b], b]) for b in range(count)]


def _drawn(probs: Any, rng: np.random.Generator) -> Array:
    """Returns `[B]` indices drawn from the rows of `[B, N]`."""
    edges = np.cumsum(probs, axis=1)
    drawn = (rng.random(len(edges))[:, None] * edges[:, -1:] >= edges).sum(axis=1)
    return np.asarray(np.minimum(drawn, edges.shape[1] - 1))
