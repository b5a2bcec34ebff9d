"""How probable recorded choices are under minds: the table every estimate is made from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from inscape.errors import UsageError
from inscape.theory_of_mind.controllers import Array, Controller, check_controller
from inscape.theory_of_mind.fitting.choices import ChoiceEpisode, Choices
from inscape.theory_of_mind.mind_policies import MindPolicies, policies_of
from inscape.theory_of_mind.mind_solver import MindSolver
from inscape.theory_of_mind.minds import Mind, name_of
from inscape.theory_of_mind.observers.checks import check_minds
from inscape.theory_of_mind.observers.interface import ImpossibleEvidenceError
from inscape.theory_of_mind.planning_mind import PlanningMind

AT_ONCE = 64
"""Minds whose tables are held at the same time."""


def log_likelihoods(choices: Choices, minds: Sequence[Mind], gamma: float | None = None) -> Array:
    """Returns `[E, G]` log P(actions of an episode | its states, mind), in nats; −inf where a mind rules them out.

    Minds with memory (goals in turn, beliefs) are filtered along each episode.

    Args:
        choices: E episodes.
        minds: the G minds.
        gamma: discount of `PlanningMind`s that have none of their own; None: the world's.

    Raises:
        UsageError: no minds, or equal ones; or as `Observer`.
    """
    hypotheses = check_minds(minds)
    found = np.empty((len(choices.episodes), len(hypotheses)))
    for w, world in enumerate(choices.worlds):
        here = [e for e, episode in enumerate(choices.episodes) if episode.world == w]
        discount = world.gamma if gamma is None else gamma
        for first in range(0, len(hypotheses) if here else 0, AT_ONCE):
            some = hypotheses[first : first + AT_ONCE]
            policies = policies_of(world, some, discount, choices.player)
            found[np.ix_(here, range(first, first + len(some)))] = _along(
                policies, choices.views[w].dynamics(), [choices.episodes[e] for e in here]
            )
    return found


def _along(policies: MindPolicies, dynamics: Any, episodes: Sequence[ChoiceEpisode]) -> Array:
    """Returns `[E, G]` log-likelihoods of episodes in one world."""
    if policies.log_start is None and not policies.steps:
        states, actions = (np.concatenate([getattr(e, name) for e in episodes]) for name in ("states", "actions"))
        each = policies.log_probs[:, states, actions]
        ends = np.cumsum([len(episode) for episode in episodes])
        found = np.zeros((len(episodes), policies.num_minds))
        filled = np.flatnonzero(np.diff(ends, prepend=0))  # reduceat would give an empty episode the next one's
        found[filled] = np.add.reduceat(each, (ends - np.diff(ends, prepend=0))[filled], axis=1).T
        return found
    return np.array([_filtered(policies, dynamics, episode) for episode in episodes])


def _filtered(policies: MindPolicies, dynamics: Any, episode: ChoiceEpisode) -> Array:
    """Returns `[G]` log-likelihoods of one episode: the forward algorithm, each mind as if it were the only one."""
    rows = np.full(len(policies.mind_of), -np.inf)
    rows[policies.first_row] = 0.0
    for t in range(len(episode)):
        state, action = int(episode.states[t]), int(episode.actions[t])
        if episode.begins[t]:
            rows = policies.begin(rows, state)
        rows = rows + policies.log_probs[:, state, action]
        if t + 1 < len(episode) and not episode.begins[t + 1]:
            leads = dynamics.next_state[state, action] == int(episode.states[t + 1])
            leads &= dynamics.probability[state, action] > 0
            rows = policies.remember(rows, state, action, int(leads.argmax()))
    return policies.by_mind(rows)


class MindLikelihood:
    """log P(choices | mind), for minds that differ a little: what they have in common is solved once.

    Args:
        choices: what was done.
        mind: the mind that the others vary.
        gamma: discount of minds that have none of their own; None: the world's.
        weights: `[E]` how much each episode counts; None: all alike.
    """

    def __init__(self, choices: Choices, mind: Mind, gamma: float | None = None, weights: Array | None = None) -> None:
        self.choices = choices
        self.evaluations = 0
        each = np.ones(len(choices.episodes)) if weights is None else weights
        self._solvers: list[MindSolver] = []
        self._counts: list[Array] = []
        self._episodes: list[list[tuple[ChoiceEpisode, float]]] = []
        for w, (world, view) in enumerate(zip(choices.worlds, choices.views)):
            solver = MindSolver(view, world.gamma if gamma is None else gamma)
            if type(mind) is PlanningMind:
                solver.controller(mind)
            episodes = [(e, float(n)) for e, n in zip(choices.episodes, each) if e.world == w and n > 0]
            counts = np.zeros(view.dynamics().legal.shape)
            for episode, weight in episodes:
                np.add.at(counts, (episode.states, episode.actions), weight)
            self._solvers.append(solver)
            self._counts.append(counts)
            self._episodes.append(episodes)

    def __call__(self, mind: Mind) -> float:
        """Returns the log-likelihood, in nats."""
        self.evaluations += 1
        total = 0.0
        for world, view, solver, counts, episodes in zip(
            self.choices.worlds, self.choices.views, self._solvers, self._counts, self._episodes
        ):
            if not episodes:
                continue
            controller = (
                solver.fork().controller(mind)
                if type(mind) is PlanningMind
                else check_controller(mind.controller(world, self.choices.player or 0), view, name_of(mind))
            )
            if controller.num_memories == 1 and not controller.partial:
                taken = counts > 0
                total += float((counts[taken] * controller.log_probs[:, 0][taken]).sum())
            else:
                policies = policies_of_one(controller, world, view)
                total += sum(float(_filtered(policies, view.dynamics(), e)[0]) * weight for e, weight in episodes)
        return total


def policies_of_one(controller: Controller, world: Any, view: Any) -> MindPolicies:
    """Returns the tables of one controller, in the form observers filter with."""
    return policies_of(world, [_Given(controller)], 1.0, getattr(view, "player", None))


class _Given:
    """A mind that has been solved already."""

    sees = True

    def __init__(self, controller: Controller) -> None:
        self._controller = controller

    def controller(self, world: Any, player: int = 0) -> Controller:
        return self._controller


def refuse_impossible(choices: Choices, found: Array, minds: Sequence[Mind], gamma: float | None) -> None:
    """Raises ImpossibleEvidenceError where an episode is ruled out by every mind, naming the first such choice.

    Args:
        choices, minds, gamma: as `log_likelihoods` was given them.
        found: `[E, G]` what it returned.
    """
    dead = np.isneginf(found).all(axis=1)
    if not dead.any():
        return
    episode = choices.episodes[int(np.argmax(dead))]
    low, high = 1, len(episode)  # choices after which every mind is ruled out: at most `high`
    while low < high:
        length = (low + high) // 2
        cut = ChoiceEpisode(
            episode.participant, episode.label, episode.states[:length], episode.actions[:length],
            episode.begins[:length], episode.world,
        )  # fmt: skip
        one = Choices(choices.worlds, (cut,), choices.player, choices.source)
        low, high = (low, length) if np.isneginf(log_likelihoods(one, minds, gamma)).all() else (length + 1, high)
    step = low - 1
    view = choices.views[episode.world]
    state, action = int(episode.states[step]), view.action_names[int(episode.actions[step])]
    raise ImpossibleEvidenceError(
        f"{episode.place(step)}: {action!r} in {view.unpack(view.dynamics().states, state)}, which none of the "
        f"{len(minds)} minds would do",
        expected="choices that some mind makes possible",
        hint="a lapse, Softmax(beta, lapse=0.01); finite beta instead of Best(); or more minds",
    )


def bits_per_choice(log_likelihood: float, choices: int) -> float:
    """Returns −log₂ of a likelihood, for each choice."""
    return -log_likelihood / math.log(2) / choices


def require_choices(given: Any) -> Choices:
    """Returns choices, or refuses what is not."""
    if not isinstance(given, Choices):
        raise UsageError(
            f"{type(given).__name__} where choices are asked for",
            expected="Choices",
            hint="read_choices('people.csv', world), or choices_of(world, trajectories)",
        )
    return given
