"""What an observer is made with, checked: minds, prior, discount, and where episodes begin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from inscape.errors import UsageError
from inscape.theory_of_mind.controllers import Array
from inscape.theory_of_mind.minds import Mind, identity_of, name_of

PRIOR_TOLERANCE = 1e-9


def check_minds(minds: Sequence[Mind]) -> tuple[Mind, ...]:
    if callable(getattr(minds, "controller", None)):
        raise UsageError(f"{minds!r} where minds are asked for", expected="a list of minds", hint="[mind]")
    hypotheses = tuple(minds)
    if not hypotheses:
        raise UsageError(
            "an observer without minds", expected="at least one Mind", hint="minds_grid(goals, betas, backups)"
        )
    for mind in hypotheses:
        # isinstance(mind, Mind) asks the same and takes some fifty times as long (2.8 µs)
        if isinstance(mind, type) or not callable(getattr(mind, "controller", None)):
            raise UsageError(
                f"{mind!r} among the minds",
                expected="objects with a method controller(world, player=0)",
                hint="PlanningMind(goal, beta, backup)",
            )
    first: dict[Any, int] = {}
    for g, mind in enumerate(hypotheses):
        if first.setdefault(identity_of(mind), g) != g:
            raise UsageError(
                f"the mind ({name_of(mind)}) is there twice", expected="distinct minds; weigh them by the prior"
            )
    return hypotheses


def check_fresh(fresh: bool | ArrayLike, count: int) -> Array:
    begins = np.asarray(fresh)
    if begins.dtype != np.bool_ or begins.shape not in ((), (count,)):
        raise UsageError(f"fresh = {fresh!r}", expected=f"True, False, or {count} of them, one for each state")
    if begins.ndim:
        return begins.copy()
    first_only = np.zeros(count, np.bool_)
    first_only[0] = begins
    return first_only


def check_gamma(gamma: float) -> float:
    if not (isinstance(gamma, (int, float, np.number)) and 0 <= float(gamma) <= 1):
        raise UsageError(f"gamma = {gamma!r}", expected="a number in [0, 1]")
    return float(gamma)


def check_prior(prior: ArrayLike | None, minds: tuple[Mind, ...], of_grid: Array | None = None) -> Array:
    """Returns `[G]` the prior: what is given, else that of the grid the minds are from, else uniform."""
    if prior is None and of_grid is not None:
        return of_grid.copy()
    if prior is None:
        return np.full(len(minds), 1 / len(minds))
    try:
        array = np.array(prior, np.float64)
    except (TypeError, ValueError) as error:
        raise UsageError(f"prior = {prior!r}", expected="one probability for each mind") from error
    if array.shape != (len(minds),):
        raise UsageError(
            f"a prior of shape {array.shape}", expected=f"one probability for each of the {len(minds)} minds"
        )
    if not np.isfinite(array).all() or (array < 0).any():
        bad = int(np.argmax(~np.isfinite(array) | (array < 0)))
        raise UsageError(
            f"the prior of the mind ({name_of(minds[bad])}) is {array[bad]}", expected="a probability, 0 or more"
        )
    if abs(array.sum() - 1) > PRIOR_TOLERANCE:
        raise UsageError(
            f"the prior sums to {array.sum():.12g}",
            expected="1",
            hint="divide it by its sum, or leave it out for a uniform one",
        )
    return array
