"""Helpers: what to do, given what is observed and a posterior over minds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from inscape.errors import UsageError, closest
from inscape.theory_of_mind.controllers import Array
from inscape.world_models.planning.beliefs.mixed_observability import MixedSolution
from inscape.world_models.planning.dynamic_programming import Solution, ties

if TYPE_CHECKING:
    from inscape.envs.world import World
    from inscape.theory_of_mind.minds import Mind
    from inscape.world_models.belief.model import BeliefModel
    from inscape.world_models.planning.beliefs.mixed_problem import MixedProblem

WAITING = ("stay", "wait", "look", "noop")
"""Names of actions that do nothing."""
TIE = 1e-9


class Assisting(Protocol):
    """What of an `AssistanceProblem` helpers read; the attributes are described there."""

    @property
    def world(self) -> World: ...
    @property
    def minds(self) -> tuple[Mind, ...]: ...
    @property
    def gamma(self) -> float: ...
    @property
    def model(self) -> BeliefModel: ...
    @property
    def mixed(self) -> MixedProblem: ...
    @property
    def known(self) -> Solution: ...
    @property
    def mind_of(self) -> Array: ...
    def percept_of(self, observation: Any) -> int: ...


class Helper(ABC):
    """Acts on what it observes, by number, and on its belief over what looks the same.

    Attributes:
        problem: whom it helps, and where.
    """

    problem: Assisting

    @abstractmethod
    def action_values(self, percept: int, belief: Array) -> Array:
        """Returns `[A]` values of the helper's actions; −inf where illegal.

        Args:
            percept: number of what it observes (`problem.percept_of`).
            belief: `[n]` over the joint states that look so, in the order of `problem.mixed`.
        """

    def act(self, percept: int, belief: Array) -> int:
        """Returns the best action, the first among equals."""
        return int(ties(self.action_values(percept, belief)[None], TIE)[0].argmax())

    def begin(self, observation: Any) -> Helping:
        """Returns the helper at work in an episode that begins with an observation.

        Raises:
            ImpossiblePerceptError: no episode begins so.
        """
        percept = self.problem.percept_of(observation)
        return Helping(self, percept, self.problem.mixed.start(percept))


class Helping:
    """A helper at work: what it observes and believes.

    Attributes:
        helper: who helps.
        percept: number of what it observes.
        belief: `[n]` over the joint states that look so.
    """

    def __init__(self, helper: Helper, percept: int, belief: Array) -> None:
        self.helper, self.percept, self.belief = helper, percept, belief

    def act(self) -> int:
        """Returns what to do now."""
        return self.helper.act(self.percept, self.belief)

    def update(self, action: int, observation: Any) -> Array:
        """Takes in what the helper did and what it observed then; returns the posterior over minds, `[G]`.

        Raises:
            ImpossiblePerceptError: no mind could bring that about.
            UsageError: there is no such action, or no state gives the observation.
        """
        problem = self.helper.problem
        percept = problem.percept_of(observation)
        if percept < 0:
            raise UsageError(f"{np.asarray(observation).tolist()}", expected=f"an observation of {problem.world.name}")
        self.belief = problem.mixed.update(self.percept, self.belief, int(action), percept)
        self.percept = percept
        return self.posterior()

    def posterior(self) -> Array:
        """Returns `[G]` P(mind | what was observed)."""
        problem = self.helper.problem
        here = problem.mixed.order[problem.mixed.members(self.percept)]
        return np.bincount(problem.mind_of[here], self.belief, len(problem.minds))


@dataclass(frozen=True, eq=False)
class PlannedHelper(Helper):
    """The helper that plans for what it may learn, with certified bounds on what it is worth.

    Attributes:
        problem: whom it helps, and where.
        solution: the bounds.
    """

    problem: Assisting
    solution: MixedSolution

    @property
    def lower(self) -> float:
        """The helper earns at least this."""
        return self.solution.lower

    @property
    def upper(self) -> float:
        """No helper that has to infer the other's mind earns more."""
        return self.solution.upper

    @property
    def gap(self) -> float:
        """How far from the best it may be, in units of reward."""
        return self.solution.gap

    def action_values(self, percept: int, belief: Array) -> Array:
        return self.solution.action_values(percept, belief)


class QMDPHelper(Helper):
    """Takes the action that would be best if the other's mind were known from the next step on."""

    def __init__(self, problem: Assisting) -> None:
        self.problem = problem
        self._q_values = problem.known.q_values[problem.mixed.order]

    def action_values(self, percept: int, belief: Array) -> Array:
        here, legal = self.problem.mixed.members(percept), self.problem.mixed.fan(percept).legal
        return np.where(legal, belief @ np.where(legal, self._q_values[here], 0.0), -np.inf)


class Ensemble(Helper):
    """Votes: minds are drawn from the posterior, and each counts for the action that is best for it.

    Source: acting by a draw from the posterior: Thompson (1933), Biometrika 25.
    """

    def __init__(self, problem: Assisting, num_samples: int, seed: int = 0) -> None:
        if isinstance(num_samples, bool) or not isinstance(num_samples, (int, np.integer)) or num_samples < 1:
            raise UsageError(f"num_samples = {num_samples!r}", expected="a whole number, 1 or more")
        self.problem, self.num_samples = problem, int(num_samples)
        self._best = problem.known.q_values[problem.mixed.order].argmax(axis=1)
        self._rng = np.random.default_rng(seed)

    def action_values(self, percept: int, belief: Array) -> Array:
        """Returns `[A]` shares of the votes; −inf where illegal."""
        here, legal = self.problem.mixed.members(percept), self.problem.mixed.fan(percept).legal
        drawn = self._rng.multinomial(self.num_samples, belief / belief.sum())
        votes = np.bincount(self._best[here], drawn, len(legal)) / self.num_samples
        return np.where(legal, votes, -np.inf)


class SearchingHelper(Helper):
    """Searches from its belief at every step.

    Source: Silver & Veness (2010), "Monte-Carlo planning in large POMDPs", NIPS.
    """

    def __init__(self, problem: Assisting, num_simulations: int, seed: int = 0) -> None:
        from inscape.world_models.planning.beliefs.pomcp import POMCP

        self.problem = problem
        self._planner = POMCP(num_simulations=num_simulations, gamma=problem.gamma)
        self._rng = np.random.default_rng(seed)

    def action_values(self, percept: int, belief: Array) -> Array:
        problem = self.problem
        whole = np.zeros((1, problem.model.tables.num_states))
        whole[0, problem.mixed.order[problem.mixed.members(percept)]] = belief
        plan = self._planner.plan(problem.model, whole, self._rng)[0]
        legal = problem.mixed.fan(percept).legal
        return np.where(legal & np.isfinite(plan.action_values), plan.action_values, -np.inf)


class Waiting(Helper):
    """Does not help."""

    def __init__(self, problem: Assisting, action: int | str | None) -> None:
        names = [str(name) for name in problem.world.action_names]
        if action is None:
            action = next((name for name in WAITING if name in names), None)
            if action is None:
                raise UsageError(f"no action of {problem.world.name} is known to do nothing", expected="its name")
        if isinstance(action, str):
            if action not in names:
                raise UsageError(f"no action {action!r}", expected=", ".join(names), hint=closest(action, names))
            action = names.index(action)
        if isinstance(action, bool) or action not in range(len(names)):
            raise UsageError(f"action {action!r}", expected=f"0 to {len(names) - 1}, or a name")
        self.problem, self.action = problem, int(action)

    @property
    def choices(self) -> Array:
        """`[X]` what it does in each joint state: the first legal action where it cannot wait."""
        legal = self.problem.model.tables.legal
        return np.where(legal[:, self.action], self.action, legal.argmax(axis=1))

    def action_values(self, percept: int, belief: Array) -> Array:
        """Returns `[A]`: 0 for the one action, −1 for other legal ones."""
        legal = self.problem.mixed.fan(percept).legal
        values = np.where(legal, -1.0, -np.inf)
        values[self.action if legal[self.action] else int(legal.argmax())] = 0.0
        return values


class Knowing:
    """Knows the other's mind: what to do in each joint state."""

    def __init__(self, problem: Assisting) -> None:
        self.problem = problem

    @cached_property
    def choices(self) -> Array:
        """`[X]` actions."""
        return self.problem.known.policy
