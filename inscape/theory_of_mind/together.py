"""Minds that plan in the same dynamics: their problems are solved side by side, on all cores, a share at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from inscape.theory_of_mind.controllers import Array
from inscape.theory_of_mind.mind_solver import MindSolver
from inscape.theory_of_mind.parts.believing import Filtering
from inscape.theory_of_mind.parts.planning import Exponential, tolerance_of
from inscape.theory_of_mind.parts.wanting import ByValue, fingerprint, purpose_of
from inscape.theory_of_mind.planning_mind import PlanningMind
from inscape.theory_of_mind.player_view import PlayerView

BYTES_AT_ONCE = 2**26
"""Action values of minds that are held at once, beside what minds do."""
LEAST_AT_ONCE = 32
"""Problems that are solved at once, however large: both cores have lanes to fill."""


def share_out(solver: MindSolver, minds: Sequence[PlanningMind]) -> Iterator[list[int]]:
    """Yields numbers of minds in groups, each mind once; while a group is out, its minds are solved in `solver`.

    Minds of a group that have their dynamics in common are solved together; what is not of that kind is in groups of
    one, and solved when its controller is asked for.

    Args:
        solver: of the world acted in.
        minds: built-in minds.

    Raises:
        UsageError: as `MindSolver.controller`.
    """
    shared: dict[Any, dict[Any, list[int]]] = {}
    for g, mind in enumerate(minds):
        if _plans_like_others(solver, mind):
            kind = mind.plans, mind.plans.backup_for(mind.chooses), fingerprint(mind.can), fingerprint(mind.params)
            own = fingerprint(mind.wants), mind.plans.depends_on(mind.chooses)
            shared.setdefault(kind, {}).setdefault(own, []).append(g)
        else:
            shared.setdefault(g, {})[g] = [g]
    for problems in shared.values():
        groups = list(problems.values())
        if len(groups) == 1:
            yield from ([g] for g in groups[0])
            continue
        size = 8 * solver.dynamics.legal.size
        at_once = max(LEAST_AT_ONCE, BYTES_AT_ONCE // size)
        for low in range(0, len(groups), at_once):
            part = groups[low : low + at_once]
            first = [minds[group[0]] for group in part]
            _solve(solver, first)
            yield [g for group in part for g in group]
            for mind in first:
                solver.forget(mind, mind.wants)


def _plans_like_others(solver: MindSolver, mind: PlanningMind) -> bool:
    """Returns whether a mind's problem is one of a purpose over dynamics that may be shared."""
    plans = mind.plans
    exponential = plans.discount is None or isinstance(plans.discount, Exponential)
    ends = _gamma(solver, mind) < 1.0 or plans.backup_for(mind.chooses) == "soft-eval"
    return (
        exponential and ends and plans.horizon is None and plans.pays == "arrival"
        and mind.others is None and not isinstance(mind.wants, ByValue)
        and not isinstance(mind.believes, Filtering) and not isinstance(solver.world, PlayerView)
    )  # fmt: skip


def _gamma(solver: MindSolver, mind: PlanningMind) -> float:
    discount = mind.plans.discount
    return discount.gamma if isinstance(discount, Exponential) else solver.gamma


def _solve(solver: MindSolver, minds: list[PlanningMind]) -> None:
    """Solves the problems of minds that have all but purpose and rationality in common."""
    from inscape.world_models.planning.batches.soft_value_iteration import batched_soft_value_iteration
    from inscape.world_models.planning.batches.value_iteration import batched_value_iteration
    from inscape.world_models.tabular.purposes import purpose_tables

    one = minds[0]
    believed, gamma, backup = solver.believed(one), _gamma(solver, one), one.plans.backup_for(one.chooses)
    number: dict[Any, int] = {}
    purposes: list[Any] = []
    for mind in minds:
        if number.setdefault(fingerprint(mind.wants), len(number)) == len(purposes):
            purposes.append(purpose_of(believed, mind.wants, mind.name))
    dynamics, rewards, terminal = purpose_tables(believed, purposes)
    if one.can is not None:
        able = np.ones(dynamics.legal.shape, np.bool_)
        able[solver.rows(one)] = solver.able(one)
        dynamics = replace(dynamics, legal=dynamics.legal & able)
    pursued = np.array([number[fingerprint(mind.wants)] for mind in minds])
    possible = dynamics.legal & ~terminal[:, :, None]
    limits = np.array([tolerance_of(largest, gamma) for largest in _largest(rewards, possible)])
    if backup == "hard":
        q_values = batched_value_iteration(dynamics, gamma, rewards, terminal, float(limits.min())).q_values
        for mind, n in zip(minds, pursued):
            solver.keep(mind, mind.wants, q_values[n], terminal[n])
        return
    betas = np.array([mind.beta for mind in minds])
    found = batched_soft_value_iteration(
        dynamics, gamma, betas, backup, rewards, terminal, limits[pursued], purpose=pursued
    )
    for g, (mind, n) in enumerate(zip(minds, pursued)):
        solver.keep(mind, mind.wants, found.q_values[g], terminal[n])


def _largest(rewards: Array, possible: Array) -> Array:
    """Returns `[N]` the largest |reward| of each purpose."""
    return np.asarray(np.abs(rewards).max(axis=(1, 2), where=possible, initial=0.0))
