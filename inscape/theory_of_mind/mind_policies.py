"""Plans: what each mind would do in every state, from the shared dynamics and what the mind wants and believes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from inscape.errors import MissingLawError, UsageError
from inscape.theory_of_mind.minds import Mind, fingerprint
from inscape.world_models.planning.choice import boltzmann_log_probs
from inscape.world_models.planning.dynamic_programming import soft_value_iteration
from inscape.world_models.tabular.model import TabularModel

if TYPE_CHECKING:
    from inscape.envs.world import World

Array = NDArray[Any]

RELATIVE_TOLERANCE = 1e-12
LONGEST_HORIZON = 1000.0


@dataclass(frozen=True, eq=False)
class Plans:
    """What G minds would do in the S states of `world.dynamics()`.

    Attributes:
        q_values: `[G, S, A]` in reward units; −inf for actions the mind takes to be illegal, 0 once it has arrived.
        log_probs: `[G, S, A]` log P(a | s, mind); −inf where illegal.
        arrived: `[G, S]` bool, True where the mind has what it wants, or can no longer get it: its episode ends there.
    """

    q_values: Array
    log_probs: Array
    arrived: Array


def plans_of(world: World, minds: Sequence[Mind], gamma: float) -> Plans:
    """Returns the plans of all minds; minds that share Q (the hard backup at several β) share one solve.

    A mind that finds itself where its own episode would have ended, and goes on, is indifferent: uniform over the legal
    actions. That happens when an agent walks over a goal it has been supposed to want. At β = 0, where the maximum-
    entropy backup has no finite values, the values are those of the uniform policy, which all backups share there.

    Raises:
        MissingLawError: the world cannot be enumerated, or has several players.
        UsageError: a mind wants what the world has no purpose for, or believes in dynamics that do not know a state of
            the world.
    """
    if world.players > 1:
        raise MissingLawError(
            f"{world.name} has {world.players} players, and the exact observer watches one",
            expected="a world with one player",
        )
    dynamics = world.dynamics()
    beliefs: dict[Any, World] = {}
    q_values = np.empty((len(minds), *dynamics.legal.shape))
    log_probs = np.empty_like(q_values)
    arrived = np.empty((len(minds), len(dynamics)), np.bool_)
    expectations: dict[Any, _Expectation] = {}
    solved: dict[Any, Array] = {}
    for g, mind in enumerate(minds):
        subject = (fingerprint(mind.goal), fingerprint(mind.params))
        if subject not in expectations:
            expectations[subject] = _Expectation.of(world, mind, beliefs)
        # the hard backup plans as if it would act optimally, so its Q does not depend on β
        key = (*subject, mind.backup, None if mind.backup == "hard" else mind.beta)
        if key not in solved:
            solved[key] = expectations[subject].solve(world, mind, gamma)
        q_values[g], arrived[g] = solved[key], expectations[subject].arrived
        log_probs[g] = boltzmann_log_probs(q_values[g], mind.beta, dynamics.legal)
    return Plans(q_values, log_probs, arrived)


@dataclass(frozen=True, eq=False)
class _Expectation:
    """What a mind plans in: tables of its purpose over the dynamics it believes in, and where true states lie there.

    Attributes:
        model: the tables.
        rows: `[S]` row of each true state in the tables.
        arrived: `[S]` bool, as in `Plans`.
    """

    model: TabularModel
    rows: Array
    arrived: Array

    @staticmethod
    def of(world: World, mind: Mind, beliefs: dict[Any, World]) -> _Expectation:
        key = fingerprint(mind.params)
        if key not in beliefs:
            beliefs[key] = world if mind.params is None else world.with_params(_params_of(world, mind))
        believed = beliefs[key]
        model = TabularModel.from_world(believed, purpose=_purpose_of(believed, mind))
        rows = np.arange(len(world.dynamics())) if believed is world else _rows_in(world, believed, mind)
        return _Expectation(model, rows, model.terminal[rows])

    def solve(self, world: World, mind: Mind, gamma: float) -> Array:
        """Returns `[S, A]` Q over the true world's states."""
        backup = "soft-eval" if mind.backup == "maxent" and mind.beta == 0 else mind.backup
        solution = soft_value_iteration(self.model, gamma, mind.beta, backup, _tolerance(self.model, gamma))
        q_values = np.where(self.model.legal[self.rows], solution.q_values[self.rows], -np.inf)
        q_values[self.arrived] = 0.0
        _refuse_paralysis(world, mind, q_values)
        return q_values


def _tolerance(model: TabularModel, gamma: float) -> float:
    """A twelfth digit of the largest value possible: what β multiplies must be exact, and rounding allows no more."""
    largest = float(np.abs(model.reward).max(initial=0.0)) or 1.0
    return RELATIVE_TOLERANCE * largest / max(1 - gamma, 1 / LONGEST_HORIZON)


def _rows_in(world: World, believed: World, mind: Mind) -> Array:
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


def _refuse_paralysis(world: World, mind: Mind, q_values: Array) -> None:
    legal = world.dynamics().legal
    stuck = ~(legal & np.isfinite(q_values)).any(axis=1)
    if stuck.any():
        state = world.unpack(world.dynamics().states, int(np.argmax(stuck)))
        raise UsageError(
            f"the mind ({mind.name}) believes every action that is legal in {state} to be illegal",
            expected="a belief under which at least one legal action is possible in every state",
        )


def _purpose_of(world: World, mind: Mind) -> Any:
    """The purpose, from its name where it has one; a name means what it means in the dynamics the mind believes in."""
    if not isinstance(mind.goal, (str, world.Purpose)):
        named = ", ".join(world.goals) or "none is named"
        raise UsageError(
            f"goal {mind.goal!r} of a mind in {world.name}",
            expected=f"the name of a purpose ({named}) or a {world.Purpose.__name__}",
        )
    return mind.goal


def _params_of(world: World, mind: Mind) -> Any:
    if not isinstance(mind.params, world.Params):
        raise UsageError(
            f"params {mind.params!r} of a mind in {world.name}",
            expected=f"a {world.Params.__name__}, the dynamics the mind believes in, or None for the true ones",
            hint="world.params._replace(…)",
        )
    return mind.params
