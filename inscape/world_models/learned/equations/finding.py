"""A system of equations for how variables change, what is paid and when the task ends."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from inscape.world_models.learned.equations.readings import Readings
from inscape.world_models.learned.equations.selection import Selection, best_by_evidence, select
from inscape.world_models.learned.equations.terms import Term, reward_terms, simple_terms, wave_terms

Array = np.ndarray[Any, Any]
MOST = 6
"""Terms of an equation."""
SLACK = 3.0
"""Errors up to that many times the rounding of the data count as none."""
OUTLYING = 5.0
"""A single error may be that many times what the mean one may be."""
FREQUENCIES = (1, 2, 3)
SUSPICIOUS = 5
"""Equations of so many terms are compared with those that have a denominator."""
SEARCHED = 150
"""Transitions that sets of terms are searched on; what is found is tried on all."""
FEWEST = 8
LEAST_DENOMINATOR = 0.1


@dataclass(frozen=True, eq=False)
class Equation:
    """The change of a variable in a step: (Σ c·term) / (1 − Σ d·wave).

    Attributes:
        variable: its number.
        terms, coefficients: of the numerator.
        implicit, implicit_coefficients: of the denominator: terms that are multiplied by the change itself.
        error: root mean square of what it leaves of the changes seen.
        exact: whether that is no more than rounding, or the noise that was stated.
        low, high: values between which the variable is kept, or −inf and inf.
    """

    variable: int
    terms: tuple[Term, ...]
    coefficients: Array
    implicit: tuple[Term, ...] = ()
    implicit_coefficients: Array = field(default_factory=lambda: np.zeros(0))
    error: float = 0.0
    exact: bool = True
    low: float = -np.inf
    high: float = np.inf

    @property
    def size(self) -> tuple[int, float]:
        """How many terms it has, and their cost."""
        every = (*self.terms, *self.implicit)
        return len(every), sum(term.cost for term in every)

    def change(self, data: Readings) -> Array:
        """Returns the `[N]` changes; those of variables it builds on are read from `data`."""
        top = combined(self.terms, self.coefficients, data)
        if self.implicit:
            top = top / (1.0 - combined(self.implicit, self.implicit_coefficients, data))
        if np.isfinite(self.low) or np.isfinite(self.high):
            start = data.before[:, self.variable]
            top = np.clip(start + top, self.low, self.high) - start
        return top


def combined(terms: tuple[Term, ...], coefficients: Array, data: Readings) -> Array:
    """Returns the `[N]` sums of terms times coefficients."""
    total = np.zeros(len(data))
    for term, coefficient in zip(terms, coefficients.tolist(), strict=True):
        total = total + coefficient * term.values(data)
    return total


@dataclass(frozen=True, eq=False)
class System:
    """Equations in an order in which each uses the changes of earlier ones only.

    Attributes:
        equations: one for each variable.
        reward_terms, reward_coefficients: the reward of a step.
        reward_at_end: what ending pays beside.
        reward_error: root mean square of what that leaves of the rewards.
        ends: `(variable, low, high)`: the task ends where a variable is below or above; infinite where never seen.
        unexplained: `[M]` rows that the system leaves unexplained by more than rounding.
    """

    equations: tuple[Equation, ...]
    reward_terms: tuple[Term, ...]
    reward_coefficients: Array
    reward_at_end: float
    reward_error: float
    ends: tuple[tuple[int, float, float], ...]
    unexplained: Array


def find_system(data: Readings) -> System:
    """Returns the simplest system that explains N transitions; where none does, the equation of the least description
    length."""
    found: dict[int, Equation] = {}
    while len(found) < len(data.variables):
        equation = _best(data, found, (0,)) or _best(data, found, (1,))
        if equation is None or equation.size[0] >= SUSPICIOUS:
            made = [one for one in (equation, _best(data, found, (2,))) if one is not None]
            equation = min(made, key=lambda one: (*one.size, one.variable), default=None)
        if equation is None:
            equation = _by_evidence(data, next(k for k in range(len(data.variables)) if k not in found))
        found[equation.variable] = equation
    terms, coefficients, at_end, error = _reward(data)
    wrong = np.zeros(len(data), np.bool_)
    for equation in found.values():
        off = equation.change(data) - data.change[:, equation.variable]
        wrong |= np.abs(off) > OUTLYING * SLACK * data.grain[equation.variable]
    return System(tuple(found.values()), terms, coefficients, at_end, error, _ends(data), np.flatnonzero(wrong))


def _best(data: Readings, found: dict[int, Equation], tiers: tuple[int, ...]) -> Equation | None:
    """Returns the simplest exact equation of any variable that has none, among the libraries of some tiers."""
    made = [
        equation
        for k in range(len(data.variables))
        if k not in found
        for tier in tiers
        if (equation := _exact(data, k, tuple(found), tier)) is not None
    ]
    return min(made, key=lambda equation: (*equation.size, equation.variable), default=None)


def _exact(data: Readings, variable: int, known: tuple[int, ...], tier: int) -> Equation | None:
    """Returns the simplest equation that explains all rows, those at a bound by being stopped there."""
    best: Equation | None = None
    for bounds in _bounds(data, variable):
        rows = data.rows(_inside(data, variable, bounds))
        if len(rows) < FEWEST:
            continue
        few = rows.rows(np.unique(np.linspace(0, len(rows) - 1, SEARCHED).astype(np.int64)))
        tolerance = SLACK * float(data.grain[variable])
        for terms, implicit in _libraries(few, known, variable, tier):
            every = (*terms, *implicit)
            columns = np.stack([term.values(few) for term in every], axis=1)
            costs = [term.cost for term in every]
            chosen = select(columns, few.change[:, variable], tolerance, min(MOST, len(few) // 8), costs)
            if chosen is None:
                continue
            made = _equation(variable, every, len(terms), chosen, bounds, True)
            if (best is None or (*made.size, made.error) < (*best.size, best.error)) and _holds(made, data):
                best = made
        if best is not None:
            break  # with fewer bounds
    return best


def _holds(equation: Equation, data: Readings) -> bool:
    """Whether it explains every row, and its denominator keeps away from 0."""
    if equation.implicit:
        below = 1.0 - combined(equation.implicit, equation.implicit_coefficients, data)
        if np.abs(below).min() < LEAST_DENOMINATOR or (below > 0).any() != (below > 0).all():
            return False
    off = np.abs(equation.change(data) - data.change[:, equation.variable])
    return bool(off.max() <= OUTLYING * SLACK * data.grain[equation.variable])


def _libraries(
    data: Readings, known: tuple[int, ...], variable: int, tier: int
) -> list[tuple[list[Term], tuple[Term, ...]]]:
    """Returns libraries of candidate terms, each with those that multiply the change itself.

    Tier 0 is linear; 1 has waves; 2 a denominator. Of terms in the denominator at most one: of two, as cosine and
    squared sine, some combination is nearly 1, and "explains" anything.
    """
    if tier == 0:
        return [(simple_terms(data, known), ())]
    waves = [
        (angle, frequency, wave_terms(data, known, angle, frequency))
        for frequency in FREQUENCIES
        for angle in range(len(data.variables))
    ]
    if tier == 1:
        return [(terms, ()) for *_, terms in waves]
    return [
        (terms, (Term((), trig, angle, frequency, change=variable),))
        for angle, frequency, terms in waves
        if frequency == 1
        for trig in ("ss", "c", "s", "sc")
    ]


def _equation(
    variable: int, every: tuple[Term, ...], plain: int, chosen: Selection, bounds: tuple[float, float], exact: bool
) -> Equation:
    top = [(k, c) for k, c in zip(chosen.terms, chosen.coefficients.tolist(), strict=True) if k < plain]
    below = [(k, c) for k, c in zip(chosen.terms, chosen.coefficients.tolist(), strict=True) if k >= plain]
    waves = tuple(Term((), every[k].trig, every[k].angle, every[k].frequency) for k, _ in below)
    return Equation(
        variable,
        tuple(every[k] for k, _ in top),
        np.array([c for _, c in top]),
        waves,
        np.array([c for _, c in below]),
        chosen.error,
        exact,
        *bounds,
    )


def _by_evidence(data: Readings, variable: int) -> Equation:
    rows = data.rows(np.unique(np.linspace(0, len(data) - 1, SEARCHED).astype(np.int64)))
    most = max(1, min(MOST, len(rows) // 8))
    best: tuple[float, Equation] | None = None
    for angle in range(len(data.variables)):
        terms = wave_terms(rows, (), angle, 1)
        columns = np.stack([term.values(rows) for term in terms], axis=1)
        costs = [term.cost for term in terms]
        chosen = best_by_evidence(columns, rows.change[:, variable], most, costs, float(data.grain[variable]))
        length = len(rows) * float(np.log2(max(chosen.error, 1e-300))) + sum(costs[k] for k in chosen.terms)
        if best is None or length < best[0]:
            made = _equation(variable, tuple(terms), len(terms), chosen, (-np.inf, np.inf), False)
            best = length, made
    assert best is not None
    return best[1]


def _bounds(data: Readings, variable: int) -> list[tuple[float, float]]:
    """Returns between which values the variable may have been kept: none, or its extremes, where it came there from
    elsewhere in a step that the others do not reach."""
    nowhere = (-np.inf, np.inf)
    if data.variables[variable].is_angle:
        return [nowhere]
    grain = data.grain[variable]
    after = data.before[:, variable] + data.change[:, variable]
    moved = np.abs(data.change[:, variable]) > 100 * grain
    low, high = (bool((moved & (np.abs(after - end) <= 4 * grain)).any()) for end in (after.min(), after.max()))
    options = [(float(after.min()) if low else -np.inf, np.inf), (-np.inf, float(after.max()) if high else np.inf)]
    options.append((options[0][0], options[1][1]))
    return list(dict.fromkeys([nowhere, *options]))


def _inside(data: Readings, variable: int, bounds: tuple[float, float]) -> Array:
    after = data.before[:, variable] + data.change[:, variable]
    slack = 4 * data.grain[variable]
    return np.asarray((after > bounds[0] + slack) & (after < bounds[1] - slack))


def _reward(data: Readings) -> tuple[tuple[Term, ...], Array, float, float]:
    """Returns terms and coefficients of the reward, what ending pays beside, and the error."""
    going = data.rows(np.flatnonzero(~data.ended)) if not data.ended.all() else data
    terms = reward_terms(going)
    columns = np.stack([term.values(going) for term in terms], axis=1)
    costs = [term.cost for term in terms]
    tolerance = 2e-6 * float(np.abs(going.reward).max(initial=0.0)) + 1e-9
    most = max(1, min(MOST, len(going) // 8))
    chosen = select(columns, going.reward, tolerance, most, costs)
    if chosen is None:
        chosen = best_by_evidence(columns, going.reward, most, costs, tolerance)
    kept = tuple(terms[k] for k in chosen.terms)
    left = data.reward - combined(kept, chosen.coefficients, data)
    ending = left[data.ended]
    at_end = float(ending.mean()) if len(ending) and np.abs(ending.mean()) > 10 * tolerance else 0.0
    return kept, chosen.coefficients, at_end, float(np.sqrt(np.mean((left - at_end * data.ended) ** 2)))


def _ends(data: Readings) -> tuple[tuple[int, float, float], ...]:
    """Returns the limits of variables beyond which the task ended: the fewest variables that account for all ends.

    A limit stands midway between the farthest value where the task went on and the nearest where it ended.
    """
    after = data.before + data.change
    free = [k for k, v in enumerate(data.variables) if not v.is_angle]
    going = after[~data.ended]
    left = np.flatnonzero(data.ended)
    limits: list[tuple[int, float, float]] = []
    while len(left) and len(going) and free:
        outside = {k: (after[left, k] < going[:, k].min()) | (after[left, k] > going[:, k].max()) for k in free}
        best = max(free, key=lambda k: (int(outside[k].sum()), -k))
        if not outside[best].any():
            break
        values = after[left, best][outside[best]]
        low, high = float(going[:, best].min()), float(going[:, best].max())
        below, above = values[values < low], values[values > high]
        limits.append(
            (
                best,
                (low + float(below.max())) / 2 if len(below) else -np.inf,
                (high + float(above.min())) / 2 if len(above) else np.inf,
            )
        )
        left = left[~outside[best]]
        free.remove(best)
    return tuple(limits)
