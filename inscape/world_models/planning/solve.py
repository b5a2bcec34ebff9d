"""`inscape.solve`: exact values and actions of a world or a table, by the method and criterion that are asked for."""

from __future__ import annotations

from typing import Any, Literal, get_args, overload

import numpy as np

from inscape.errors import MissingLawError, PartialObservationError, TooManyStatesError, UsageError, closest
from inscape.world_models.belief.model import BeliefModel
from inscape.world_models.planning.average_reward.average import AverageSolution, average_reward, with_programme
from inscape.world_models.planning.beliefs.alpha_vectors import AlphaVectors, alpha_vectors
from inscape.world_models.planning.beliefs.point_based import point_based
from inscape.world_models.planning.dynamic_programming import Solution, value_iteration
from inscape.world_models.planning.finite_horizon import FiniteHorizonSolution, backward_induction
from inscape.world_models.planning.policy_iteration import linear_programme, policy_iteration, prioritized_sweeping
from inscape.world_models.tabular.model import TabularModel, as_tabular

Method = Literal["value-iteration", "policy-iteration", "prioritized-sweeping", "linear-programme"]
Criterion = Literal["discounted", "total", "average"]


# fmt: off
@overload
def solve(
    world: Any, gamma: None = None, *, criterion: Literal["average"], horizon: None = None,
    method: Method = "value-iteration", tolerance: float | None = None, max_iterations: int = 1_000_000,
    full_information: bool = False, max_seconds: float = 30.0,
) -> AverageSolution: ...
@overload
def solve(
    world: BeliefModel, gamma: float | None = None, *, horizon: int | None = None,
    criterion: Literal["discounted", "total"] | None = None, method: Method = "value-iteration",
    tolerance: float | None = None, max_iterations: int = 1_000_000, full_information: bool = False,
    max_seconds: float = 30.0,
) -> AlphaVectors: ...
@overload
def solve(
    world: Any, gamma: float | None = None, *, horizon: int,
    criterion: Literal["discounted", "total"] | None = None, method: Method = "value-iteration",
    tolerance: float | None = None, max_iterations: int = 1_000_000, full_information: bool = False,
    max_seconds: float = 30.0,
) -> FiniteHorizonSolution: ...
@overload
def solve(
    world: Any, gamma: float | None = None, *, horizon: None = None,
    criterion: Literal["discounted", "total"] | None = None, method: Method = "value-iteration",
    tolerance: float | None = None, max_iterations: int = 1_000_000, full_information: bool = False,
    max_seconds: float = 30.0,
) -> Solution: ...
# fmt: on
def solve(
    world: Any,
    gamma: float | None = None,
    *,
    horizon: int | None = None,
    criterion: Criterion | None = None,
    method: Method = "value-iteration",
    tolerance: float | None = None,
    max_iterations: int = 1_000_000,
    full_information: bool = False,
    max_seconds: float = 30.0,
) -> Solution | FiniteHorizonSolution | AverageSolution | AlphaVectors:
    """Returns the exact values, action values and optimal actions, with a certificate on their error.

    Where the observation does not determine the state, values are those of beliefs: what one who acts can have.

    Args:
        world: a world (an instance, a class, or a name such as `"FrozenLake8x8"`), a `TabularModel` (see
            `TabularModel.from_arrays`), or a model that can be tabulated.
        gamma: discount in [0, 1]; 1: total reward. None: the one that the world or its file states; where nothing is
            stated (FrozenLake, tables) 0.99, with a horizon 1, for a `BeliefModel` without a horizon 0.95.
        horizon: H: a fixed number of steps, values and actions for each stage.
        criterion: `"discounted"` (γ < 1), `"total"` (γ = 1), or `"average"`: reward per step in the long run, and the
            bias (without gamma and horizon). None: as gamma says.
        method: four routes to the same values; value iteration solves every γ and the largest tables.
        tolerance: the error bound to reach, in units of reward (None: 1e-6, or 1e-6 of the largest reward if that is
            below 1; 1e-3 of beliefs); not with a horizon, which is
            exact.
        max_iterations: after which to stop; `error_bound` then says how far it got.
        full_information: solve a world that hides its state for one who sees it: an upper bound.
        max_seconds: of a world that hides its state, after which to stop; the `gap` then says how far it got.

    Returns:
        `Solution`: `values [S]`, `q_values [S, A]`, `policy [S]`, `error_bound`; with a horizon
        `FiniteHorizonSolution`, each with a stage axis in front; with criterion `"average"` `AverageSolution`
        (`gain [S]`, `bias [S]`, `error_bound` of the gain). Of a world that hides its state `BeliefSolution`
        (`lower`, `upper`, `values(beliefs)`, `act(beliefs)`); with a horizon the exact `AlphaVectors`. What a type
        checker cannot know is whether a world does: `solve_beliefs` says so to it.

    Raises:
        UsageError: what is given has no tables (an environment, a law that can only be sampled, several players), an
            argument is out of range, or the values are not finite (naming a state).
    """
    if method not in get_args(Method):
        known = get_args(Method)
        raise UsageError(f"method = {method!r}", expected=", ".join(known), hint=closest(str(method), known))
    if isinstance(world, (np.ndarray, dict, list, tuple)):
        raise UsageError(
            f"an object of {type(world).__name__} as a world", expected="a world, its class or name, or a TabularModel",
            hint="solve(TabularModel.from_arrays(P, R), gamma); from_arrays(env.unwrapped.P) of Gymnasium's dictionary",
        )  # fmt: skip
    gamma = _discount(criterion, gamma, horizon)
    belief = None if full_information else _belief_model(world, horizon)
    if belief is not None and criterion == "average":
        raise UsageError(
            "criterion = 'average' for a world that hides its state", hint="full_information=True, for one who sees it"
        )
    if belief is not None and method != "value-iteration":
        raise UsageError(
            f"method = {method!r} for a world that hides its state", hint="full_information=True, for one who sees it"
        )
    if belief is not None:
        hidden, discount = belief
        return solve_beliefs(
            hidden, discount if gamma is None else gamma, horizon=horizon,
            tolerance=1e-3 if tolerance is None else tolerance, max_seconds=max_seconds,
        )  # fmt: skip
    model, own = _table(world, horizon)
    if tolerance is None:  # of small rewards, in their unit: else nothing would be left to reach
        largest = float(np.abs(model.reward).max(initial=0.0))
        tolerance = 1e-6 * (largest if 0.0 < largest < 1.0 else 1.0)
    if criterion == "average":
        average = average_reward(model, tolerance, max_iterations)
        return with_programme(model, average) if method == "linear-programme" else average
    if horizon is not None:
        return backward_induction(model, horizon, own if gamma is None else gamma)
    discount = gamma if gamma is not None else own
    if criterion == "discounted" and discount == 1.0:
        raise UsageError("criterion = 'discounted' with gamma = 1", expected="gamma < 1", hint='criterion="total"')
    if method == "policy-iteration":
        return policy_iteration(model, discount, tolerance, min(max_iterations, 100_000))
    if method == "prioritized-sweeping":
        return prioritized_sweeping(model, discount, tolerance, min(max_iterations, 100_000))
    if method == "linear-programme":
        return linear_programme(model, discount)
    return value_iteration(model, discount, tolerance, max_iterations)


def _discount(criterion: str | None, gamma: float | None, horizon: int | None) -> float | None:
    """Returns the discount that goes with the criterion; raises UsageError where they contradict each other."""
    known = get_args(Criterion)
    if criterion is not None and criterion not in known:
        raise UsageError(f"criterion = {criterion!r}", expected=", ".join(known), hint=closest(str(criterion), known))
    if criterion == "average" and (gamma is not None or horizon is not None):
        given = f"gamma = {gamma}" if gamma is not None else f"horizon = {horizon}"
        raise UsageError(
            f"criterion = 'average' with {given}",
            expected="neither: it is the reward per step in the long run, not discounted",
        )
    if criterion == "total":
        if gamma is not None and gamma != 1.0:
            raise UsageError(f"criterion = 'total' with gamma = {gamma}", expected="gamma = 1, or none")
        return 1.0
    return gamma


def solve_beliefs(
    world: Any,
    gamma: float | None = None,
    *,
    horizon: int | None = None,
    tolerance: float = 1e-3,
    max_seconds: float = 30.0,
) -> AlphaVectors:
    """Returns values of beliefs: within both bounds (`BeliefSolution`), or with a horizon the exact ones.

    Args:
        world: a world (its class, or its name), or a `BeliefModel`.
        gamma: discount, below 1 without a horizon; None: as in `solve`.
        horizon, tolerance, max_seconds: as in `solve`.

    Raises:
        MissingLawError, UsageError: see `point_based` and `alpha_vectors`.
    """
    if horizon is not None:
        return alpha_vectors(world, horizon, gamma)[-1]
    return point_based(world, gamma, tolerance, max_seconds)


def _belief_model(world: Any, horizon: int | None) -> tuple[BeliefModel, float] | None:
    """Returns beliefs over a world that hides its state, and the discount to take where none is given.

    None where the state is seen.
    """
    if isinstance(world, BeliefModel):
        return world, 0.95 if horizon is None else 1.0
    if isinstance(world, TabularModel) or (hasattr(world, "tabular") and not hasattr(world, "dynamics")):
        return None
    from inscape.envs.tasks.resolve import resolve_task

    found = resolve_task(world).world
    if found is None or found.players > 1 or found.continuous or not found.is_enumerable:
        return None
    try:
        found.states_of(found.observe(found.sample_initial(1, np.random.default_rng(0))))
    except PartialObservationError:
        return BeliefModel.from_world(found), found.default_gamma(horizon)
    except TooManyStatesError:  # refused where it is tabulated, with what to try
        pass
    return None


def _table(world: Any, horizon: int | None) -> tuple[TabularModel, float]:
    """Returns the tables, and the discount to take where none is given."""
    unstated = 0.99 if horizon is None else 1.0
    if isinstance(world, TabularModel):
        return world, unstated
    if hasattr(world, "tabular") and not hasattr(world, "dynamics"):
        return as_tabular(world, "solve"), unstated
    from inscape.envs.tasks.resolve import resolve_task

    task = resolve_task(world)
    if task.world is None:
        raise MissingLawError(
            f"{task.name} has no law to solve",
            expected="a built-in world (inscape list worlds), a World in a file, or a TabularModel",
            hint="TabularModel.from_arrays(env.unwrapped.P) where an environment has its outcomes in a dictionary; "
            "LearnedTabularModel learns a table from episodes",
        )
    return TabularModel.from_world(task.world), task.world.default_gamma(horizon)
