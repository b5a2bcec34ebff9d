"""Numbers of a mind fitted to choices: maximum likelihood, with standard errors and intervals."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from inscape.errors import UsageError
from inscape.theory_of_mind.controllers import Array
from inscape.theory_of_mind.fitting.choices import Choices
from inscape.theory_of_mind.fitting.features import numbers_of, path_of, read, replaced, with_purpose
from inscape.theory_of_mind.fitting.likelihood import MindLikelihood, require_choices
from inscape.theory_of_mind.minds import Mind, name_of
from inscape.theory_of_mind.planning_mind import PlanningMind

SHARES = ("lapse", "gamma", "rate")
"""Parameters from 0 to 1; those of a purpose may be any number, all others are 0 or larger."""
LEAST, MOST = 1e-6, 1e4
"""How small and how large a positive parameter is looked for."""
NARROW = 1e-3
"""Steps of differences, on the scale that is searched."""


@dataclass(frozen=True)
class Estimate:
    """A fitted number.

    Attributes:
        value: the maximum-likelihood estimate.
        standard_error: from the curvature of the log-likelihood; NaN at the end of the range.
        low, high: confidence interval; an end of the range where the data do not bound it (infinity for β).
    """

    value: float
    standard_error: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4g} [{self.low:.4g}, {self.high:.4g}]"


@dataclass(frozen=True, eq=False)
class RefinedMind:
    """A mind whose numbers were fitted.

    Attributes:
        mind: the fitted one.
        estimates: by parameter.
        log_likelihood: at the estimates, in nats.
        choices: how many it was fitted to.
        level: of the intervals.
        evaluations: of the likelihood.
    """

    mind: Mind
    estimates: Mapping[str, Estimate]
    log_likelihood: float
    choices: int
    level: float
    evaluations: int

    def __repr__(self) -> str:
        found = ", ".join(f"{name} {estimate}" for name, estimate in self.estimates.items())
        return f"RefinedMind({found}; log-likelihood {self.log_likelihood:.3f} of {self.choices} choices)"


class Scale:
    """A parameter on a scale without ends: logarithms of positive numbers, log-odds of what has two ends.

    Args:
        ends: least and greatest value, (−∞, ∞), (0, ∞) or two numbers.
    """

    def __init__(self, ends: tuple[float, float]) -> None:
        self.ends = ends
        self.kind = "free" if not math.isfinite(ends[0]) else "positive" if not math.isfinite(ends[1]) else "between"

    @staticmethod
    def of(mind: Any, path: str) -> Scale:
        """Returns that of a parameter of a mind; a dataclass may say it, `field(metadata={"range": (0, 1)})`."""
        last = path.rsplit(".", 1)[-1]
        owner = mind
        for part in path.split(".")[:-1]:
            owner = getattr(owner, part)
        said = getattr(owner, "__dataclass_fields__", {}).get(last)
        if said is not None and "range" in said.metadata:
            low, high = said.metadata["range"]
            if (math.isfinite(high) and not low < high) or (low not in (0, -math.inf) and not math.isfinite(high)):
                raise UsageError(f"the range {(low, high)} of {path}", expected="(0, inf), (-inf, inf), or two numbers")
            return Scale((float(low), float(high)))
        if last in SHARES:
            return Scale((0.0, 1.0))
        return Scale((-math.inf if hasattr(owner, "_fields") else 0.0, math.inf))

    def inward(self, value: float) -> float:
        """Returns where a number lies on the scale; numbers at an end lie a little within."""
        if self.kind == "between":
            share = (value - self.ends[0]) / (self.ends[1] - self.ends[0])
            share = min(max(share, LEAST), 1 - LEAST)
            return math.log(share / (1 - share))
        return value if self.kind == "free" else math.log(min(max(value, LEAST), MOST))

    def outward(self, place: float) -> float:
        """Returns the number at a place."""
        if self.kind == "between":
            return self.ends[0] + (self.ends[1] - self.ends[0]) / (1 + math.exp(-place))
        return place if self.kind == "free" else math.exp(place)

    @property
    def range(self) -> tuple[float, float]:
        """Where on the scale it is looked for."""
        if self.kind == "between":
            return self.inward(self.ends[0]), self.inward(self.ends[1])
        return (-MOST, MOST) if self.kind == "free" else (math.log(LEAST), math.log(MOST))

    def slope(self, place: float) -> float:
        """Returns how much the number changes with its place."""
        if self.kind == "between":
            value = self.outward(place)
            return (value - self.ends[0]) * (self.ends[1] - value) / (self.ends[1] - self.ends[0])
        return 1.0 if self.kind == "free" else self.outward(place)


def refine_mind(
    choices: Choices,
    mind: Mind,
    parameters: Sequence[str] = ("beta",),
    *,
    gamma: float | None = None,
    level: float = 0.95,
    intervals: Literal["profile", "wald"] = "profile",
) -> RefinedMind:
    """Returns the mind with the numbers that make the choices most probable, begun where `mind` has them.

        refine_mind(choices, PlanningMind("north", 2.0, "hard"), ["beta", "lapse"]).estimates["beta"]

    Args:
        choices: what was done; all by this mind.
        mind: where the search begins, as the best of a grid; a mind of another kind may be any dataclass with numbers.
        parameters: `beta`, `lapse`, `k` (hyperbolic), `gamma`, `rate` (switching), `guilt`, `envy`, `tau`, or a path
            such as `wants.step_cost` (a field of the purpose).
        gamma: discount of a mind that has none of its own; None: the world's.
        level: of the intervals.
        intervals: `"profile"`: where the log-likelihood, the other parameters at their best, has fallen by half the
            quantile of χ²₁; `"wald"`: from its curvature, on the logarithm of positive numbers and the log-odds of
            shares.

    Raises:
        UsageError: no such parameter; one twice; the mind has choices of likelihood zero whatever they are.

    Source: profile likelihood: Venzon & Moolgavkar (1988), Applied Statistics 37(1); the curvature: Efron & Hinkley
        (1978), Biometrika 65(3).
    """
    require_choices(choices)
    if isinstance(parameters, str):
        parameters = (parameters,)
    if not 0 < level < 1:
        raise UsageError(f"level = {level!r}", expected="a probability between 0 and 1", hint="0.95")
    if intervals not in ("profile", "wald"):
        raise UsageError(f"intervals = {intervals!r}", expected="'profile' or 'wald'")
    mind, paths = parameters_of(mind, parameters, choices)
    search = MindSearch(choices, mind, paths, gamma)
    places, found = search.best(np.array([s.inward(float(read(mind, p))) for s, p in zip(search.scales, paths)]))
    return search.result(list(parameters), places, found, level, intervals)


def parameters_of(mind: Any, parameters: Sequence[str], choices: Choices) -> tuple[Any, list[str]]:
    """Returns a mind whose parameters can be changed, and their paths.

    Raises:
        UsageError: it has no such number; a parameter twice.
    """
    if not isinstance(mind, PlanningMind) and not dataclasses.is_dataclass(mind):
        raise UsageError(f"{name_of(mind)} to refine", expected="a PlanningMind, or a mind that is a dataclass")
    paths = [path_of(name, mind) for name in parameters]
    if not paths or len(set(paths)) != len(paths):
        raise UsageError(f"parameters = {list(parameters)!r}", expected="one or more, each once")
    own = isinstance(mind, PlanningMind) and any(path.startswith("wants.") for path in paths)
    if isinstance(mind, PlanningMind) and own and not set(paths) <= set(numbers_of(mind)):
        mind = with_purpose(mind, choices.worlds[0])
    for name, path in zip(parameters, paths):
        value = read(mind, path)
        if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
            replaced(mind, name, 0.0)  # which says what there is, where there is nothing of that name
            raise UsageError(
                f"the parameter {name!r} is {value!r}", expected="a number: " + ", ".join(numbers_of(mind))
            )
    return mind, paths


class MindSearch:
    """Maximises the likelihood of one mind over some of its numbers."""

    def __init__(
        self, choices: Choices, mind: Mind, paths: Sequence[str], gamma: float | None,
        weights: Array | None = None,
    ) -> None:  # fmt: skip
        self.mind, self.paths, self.choices = mind, paths, choices
        self.scales = [Scale.of(mind, path) for path in paths]
        self.likelihood = MindLikelihood(choices, mind, gamma, weights)

    def at(self, places: Array) -> Any:
        """Returns the mind with numbers at these places."""
        return self.with_values([scale.outward(place) for scale, place in zip(self.scales, places)])

    def with_values(self, values: Sequence[float]) -> Any:
        made = self.mind
        for path, value in zip(self.paths, values):
            made = replaced(made, path, float(value))
        return made

    def loss(self, places: Array) -> float:
        """Returns −log-likelihood; 1e300 where it is infinite, or out of range."""
        inside = all(low <= place <= high for place, (low, high) in zip(places, (s.range for s in self.scales)))
        found = -self.likelihood(self.at(places)) if inside else math.inf
        return found if math.isfinite(found) else 1e300

    def best(self, start: Array, free: Sequence[int] | None = None) -> tuple[Array, float]:
        """Returns `(places, log-likelihood)` at the maximum over the free parameters, the others as they are."""
        moving = list(range(len(start)) if free is None else free)
        if not moving:
            return start, -self.loss(start)

        def loss(some: Array) -> float:
            places = start.copy()
            places[moving] = some
            return self.loss(places)

        some, value = minimum(loss, start[moving], [self.scales[n].range for n in moving])
        places = start.copy()
        places[moving] = some
        return places, -value

    def result(
        self, names: list[str], places: Array, found: float, level: float, intervals: Literal["profile", "wald"]
    ) -> RefinedMind:
        if found <= -1e299:
            raise UsageError(
                f"the mind ({name_of(self.mind)}) rules out some choice whatever {', '.join(names)} may be",
                expected="choices that it makes possible",
                hint="a lapse, Softmax(beta, lapse=0.01)",
            )
        values = [scale.outward(place) for scale, place in zip(self.scales, places)]
        for n, scale in enumerate(self.scales):  # at an end of the range, or as good there
            for end in scale.ends:
                if math.isfinite(end) and abs(places[n] - scale.inward(end)) < 3:
                    tried = [*values[:n], end, *values[n + 1 :]]
                    there = self.likelihood(self.with_values(tried))
                    if there >= found:
                        values, found = tried, there
        errors, curved = self._errors(places)
        estimates = {}
        for n, (name, scale) in enumerate(zip(names, self.scales)):
            at_end = values[n] in scale.ends
            if intervals == "profile" or at_end or not math.isfinite(errors[n]):
                low, high = (self._bound(places, n, side, found, level, errors[n]) for side in (-1, 1))
            else:
                reach = _quantile(level) * errors[n]
                low, high = scale.outward(places[n] - reach), scale.outward(places[n] + reach)
            error = errors[n] * scale.slope(float(places[n])) if curved and not at_end else math.nan
            estimates[name] = Estimate(values[n], float(error), min(low, values[n]), max(high, values[n]))
        mind = self.with_values(values)
        return RefinedMind(mind, estimates, found, len(self.choices), level, self.likelihood.evaluations)

    def _errors(self, places: Array) -> tuple[Array, bool]:
        """Returns `[P]` standard errors on the scale, and whether the log-likelihood is curved in every direction."""
        count, step = len(places), NARROW * 10
        hessian = np.zeros((count, count))
        middle = self.loss(places)
        for i in range(count):
            for j in range(i, count):
                if i == j:
                    up, down = (self.loss(_moved(places, {i: side * step})) for side in (1, -1))
                    hessian[i, i] = (up - 2 * middle + down) / step**2
                else:
                    corners = [
                        a * b * self.loss(_moved(places, {i: a * step, j: b * step})) for a in (1, -1) for b in (1, -1)
                    ]
                    hessian[i, j] = hessian[j, i] = sum(corners) / (4 * step**2)
        if np.abs(hessian).max() > 1e200 or np.linalg.eigvalsh(hessian).min() <= 1e-9:
            return np.full(count, math.nan), False
        return np.sqrt(np.diag(np.linalg.inv(hessian))), True

    def _bound(self, places: Array, n: int, side: int, found: float, level: float, error: float) -> float:
        """Returns where the profile of parameter n falls by half the quantile of χ²₁; an end where it does not."""
        from scipy.optimize import brentq

        scale, target = self.scales[n], found - _quantile(level) ** 2 / 2
        others = [m for m in range(len(places)) if m != n]
        end = scale.range[(side + 1) // 2]
        inner = float(places[n])
        at: dict[float, tuple[Array, float]] = {inner: (places, found)}  # what is known of the profile

        def above(place: float) -> float:
            if place not in at:
                begun = at[min(at, key=lambda known: abs(known - place))][0].copy()
                begun[n] = place
                at[place] = self.best(begun, others)
            return max(at[place][1], -1e299) - target

        reach = 2 * error if math.isfinite(error) and error > 0 else 0.5
        reach = reach if scale.kind == "free" else min(reach, 2.0)
        while True:
            outer = inner + side * reach
            if (outer - end) * side >= 0:
                if above(end) >= 0:
                    return scale.ends[(side + 1) // 2]
                outer = end
                break
            if above(outer) < 0:
                break
            inner, reach = outer, reach * 1.6
        return scale.outward(float(brentq(above, inner, outer, xtol=1e-4, rtol=1e-6)))


def _moved(places: Array, moves: Mapping[int, float]) -> Array:
    moved = places.copy()
    for n, move in moves.items():
        moved[n] += move
    return moved


def _quantile(level: float) -> float:
    from scipy.special import ndtri

    return float(ndtri((1 + level) / 2))


def minimum(loss: Callable[[Array], float], start: Array, ranges: Sequence[tuple[float, float]]) -> tuple[Array, float]:
    """Returns `(place, loss)` of a minimum found from `start`: Brent's method for one number, else Nelder–Mead's."""
    from scipy.optimize import minimize, minimize_scalar

    if len(start) > 1:
        simplex = np.array([start, *(start + 0.4 * row for row in np.eye(len(start)))])
        options: Any = {"initial_simplex": simplex, "xatol": 1e-5, "fatol": 1e-8, "maxfev": 400 * len(start)}
        found = minimize(loss, start, method="Nelder-Mead", options=options)
        return np.asarray(found.x), float(found.fun)
    low, high = ranges[0]
    left, middle, right = _bracket(loss, float(start[0]), low, high)
    found = minimize_scalar(
        lambda x: loss(np.array([x])), bounds=(left, right), method="bounded", options={"xatol": 1e-7}
    )
    if found.fun <= loss(np.array([middle])):
        return np.array([found.x]), float(found.fun)
    return np.array([middle]), loss(np.array([middle]))


def _bracket(loss: Callable[[Array], float], start: float, low: float, high: float) -> tuple[float, float, float]:
    """Returns three places of which the middle one has the least loss, or lies at an end."""
    step = 1.0 if high - low < 100 else max(1.0, 0.25 * abs(start))
    middle, value = start, loss(np.array([start]))
    left, right = max(middle - step, low), min(middle + step, high)
    for _ in range(60):
        below, above = loss(np.array([left])), loss(np.array([right]))
        if value <= below and value <= above:
            break
        step *= 1.5
        if below < above:
            right, middle, value = middle, left, below
            left = max(left - step, low)
        else:
            left, middle, value = middle, right, above
            right = min(right + step, high)
        if middle in (low, high):
            break
    return left, middle, right
