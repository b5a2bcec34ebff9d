"""The built-in mind: it plans for a goal in the dynamics it believes in, and chooses softly among the values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from inscape.errors import MissingLawError, UsageError, closest
from inscape.theory_of_mind.controllers import Array, Controller
from inscape.world_models.planning.choice import boltzmann_log_probs
from inscape.world_models.planning.dynamic_programming import soft_value_iteration
from inscape.world_models.tabular.model import TabularModel

if TYPE_CHECKING:
    from inscape.envs.world import World

Backup = Literal["soft-eval", "maxent", "hard"]
BACKUPS: tuple[str, ...] = get_args(Backup)
"""Ways in which a planning mind values the states after the next: what its `backup` may be."""

RELATIVE_TOLERANCE = 1e-12
LONGEST_HORIZON = 1000.0


@dataclass(frozen=True, eq=False)
class PlanningMind:
    """One hypothesis: an agent that plans for `goal` and chooses by P(a|s) ∝ exp(β·Q(s,a)).

    Two minds are equal when all fields are, tables in them compared by value.

    A mind that finds itself where its own episode would have ended, and goes on, is indifferent: uniform over the legal
    actions. That happens when an agent walks over a goal it has been supposed to want. At β = 0, where the maximum-
    entropy backup has no finite values, the values are those of the uniform policy, which all backups share there.

    Raises:
        UsageError: beta is negative, not a number or infinite; or the backup is not one of the three.

    Source: Baker, Saxe & Tenenbaum (2009), Action understanding as inverse planning, Cognition 113(3).
    """

    goal: Any
    """What the mind wants: the name of one of the world's purposes, or a `Purpose` of the world."""
    beta: float
    """Rationality β ≥ 0, per unit of reward: 0 acts uniformly, large values act almost optimally."""
    backup: Backup
    """How Q is backed up: the agent evaluates its own soft policy, or log-sum-exp, or the maximum. No default."""
    params: Any = None
    """The dynamics the mind believes in, a `Params` of the world; None: the true ones."""
    sees: bool = False
    """The mind knows the whole state even where the world hides it. Without it, observers refuse a mind that acts
    differently in states that look alike."""

    def __post_init__(self) -> None:
        number = isinstance(self.beta, (int, float, np.integer, np.floating)) and not isinstance(self.beta, bool)
        if not number or not math.isfinite(self.beta) or self.beta < 0:
            raise UsageError(
                f"beta is {self.beta!r}",
                expected="a finite number, 0 or larger, per unit of reward",
                hint="0 for random actions, 25 for nearly the best ones",
            )
        if self.backup not in BACKUPS:
            raise UsageError(
                f"backup is {self.backup!r}",
                expected=", ".join(BACKUPS),
                hint=closest(str(self.backup), BACKUPS),
            )
        if not isinstance(self.sees, bool):
            raise UsageError(f"sees is {self.sees!r}", expected="True or False")
        object.__setattr__(self, "beta", float(self.beta))

    @property
    def key(self) -> tuple[Any, ...]:
        """A hashable value that distinguishes minds: what equality and hashing use."""
        return (fingerprint(self.goal), self.beta, self.backup, fingerprint(self.params), self.sees)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PlanningMind) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    @property
    def name(self) -> str:
        """The mind in a few words, for legends and messages."""
        belief = "" if self.params is None else f", believing {self.params}"
        return f"{self.goal}, β={self.beta:g}, {self.backup}{belief}{', seeing the state' if self.sees else ''}"

    def controller(self, world: World, player: int = 0) -> Controller:
        """Returns what the mind does in each state of `world`, planning with the world's discount; it has no memory.

        Raises:
            MissingLawError: the world cannot be enumerated, or has several players.
            UsageError: the mind wants what the world has no purpose for, or believes in dynamics that do not know a
                state of the world; or `player` is not a player of the world.
        """
        if not 0 <= player < world.players:
            raise UsageError(f"player {player} of {world.name}", expected=f"0 to {world.players - 1}")
        problem = PlanningProblem.of(world, self, {})
        q_values = problem.solve(world, self, world.gamma)
        return Controller.memoryless(boltzmann_log_probs(q_values, self.beta, world.dynamics().legal), problem.arrived)

    def action_values(self, world: World, gamma: float | None = None) -> Array:
        """Returns `[S, A]` the mind's Q, in reward units: −inf for actions it takes to be illegal, 0 once arrived.

        Args:
            world: the world acted in.
            gamma: the discount it plans with; None: the world's.

        Raises:
            MissingLawError, UsageError: as `controller`.
        """
        return PlanningProblem.of(world, self, {}).solve(world, self, world.gamma if gamma is None else gamma)


@dataclass(frozen=True, eq=False)
class PlanningProblem:
    """What a mind plans in: tables of its purpose over the dynamics it believes in, and where true states lie there.

    Attributes:
        model: the tables.
        rows: `[S]` row of each true state in the tables.
        arrived: `[S]` bool, True where the mind has what it wants, or can no longer get it: its episode ends there.
    """

    model: TabularModel
    rows: Array
    arrived: Array

    @staticmethod
    def of(world: World, mind: PlanningMind, beliefs: dict[Any, World]) -> PlanningProblem:
        """Returns the problem of `mind`; `beliefs` keeps believed worlds, by the fingerprint of their parameters.

        Raises:
            MissingLawError, UsageError: as `PlanningMind.controller`.
        """
        if world.players > 1:
            raise MissingLawError(
                f"{world.name} has {world.players} players, and the exact observer watches one",
                expected="a world with one player",
            )
        key = fingerprint(mind.params)
        if key not in beliefs:
            beliefs[key] = world if mind.params is None else world.with_params(_params_of(world, mind))
        believed = beliefs[key]
        model = TabularModel.from_world(believed, purpose=_purpose_of(believed, mind))
        rows = np.arange(len(world.dynamics())) if believed is world else _rows_in(world, believed, mind)
        return PlanningProblem(model, rows, model.terminal[rows])

    def solve(self, world: World, mind: PlanningMind, gamma: float) -> Array:
        """Returns `[S, A]` Q over the true world's states."""
        backup = "soft-eval" if mind.backup == "maxent" and mind.beta == 0 else mind.backup
        solution = soft_value_iteration(self.model, gamma, mind.beta, backup, _tolerance(self.model, gamma))
        q_values = np.where(self.model.legal[self.rows], solution.q_values[self.rows], -np.inf)
        q_values[self.arrived] = 0.0
        _refuse_paralysis(world, mind, q_values)
        return q_values


def fingerprint(value: Any) -> Any:
    """Returns a hashable stand-in for a purpose or for parameters, which may hold arrays: equal iff they are."""
    if isinstance(value, np.ndarray):
        return ("array", value.dtype.str, value.shape, value.tobytes())
    if isinstance(value, tuple):
        # the type's name distinguishes Reach(1) from Avoid(1), which compare equal as tuples
        return (type(value).__qualname__, *(fingerprint(entry) for entry in value))
    return value


def _tolerance(model: TabularModel, gamma: float) -> float:
    """A twelfth digit of the largest value possible: what β multiplies must be exact, and rounding allows no more."""
    largest = float(np.abs(model.reward).max(initial=0.0)) or 1.0
    return RELATIVE_TOLERANCE * largest / max(1 - gamma, 1 / LONGEST_HORIZON)


def _rows_in(world: World, believed: World, mind: PlanningMind) -> Array:
    """Returns `[S]`: where each true state lies among the states the mind believes in."""
    states, known = world.dynamics().states, believed.dynamics()
    try:
        return known.index_of(states)
    except UsageError as error:
        keys = set(known.states.keys())
        missing = next(s for s, key in enumerate(states.keys()) if key not in keys)
        raise UsageError(
            f"the mind ({mind.name}) believes in dynamics of {world.name} in which {world.unpack(states, missing)} "
            "cannot be reached, so it has no plan there",
            expected="a false belief over the same states",
            hint="list every state in the world's `roots(params)`",
        ) from error


def _refuse_paralysis(world: World, mind: PlanningMind, q_values: Array) -> None:
    legal = world.dynamics().legal
    stuck = ~(legal & np.isfinite(q_values)).any(axis=1)
    if stuck.any():
        state = world.unpack(world.dynamics().states, int(np.argmax(stuck)))
        raise UsageError(
            f"the mind ({mind.name}) believes every action that is legal in {state} to be illegal",
            expected="a belief under which at least one legal action is possible in every state",
        )


def _purpose_of(world: World, mind: PlanningMind) -> Any:
    """The purpose, from its name where it has one; a name means what it means in the dynamics the mind believes in."""
    if not isinstance(mind.goal, (str, world.Purpose)):
        named = ", ".join(world.goals) or "none is named"
        raise UsageError(
            f"goal {mind.goal!r} of a mind in {world.name}",
            expected=f"the name of a purpose ({named}) or a {world.Purpose.__name__}",
        )
    return mind.goal


def _params_of(world: World, mind: PlanningMind) -> Any:
    if not isinstance(mind.params, world.Params):
        raise UsageError(
            f"params {mind.params!r} of a mind in {world.name}",
            expected=f"a {world.Params.__name__}, the dynamics the mind believes in, or None for the true ones",
            hint="world.params._replace(…)",
        )
    return mind.params
