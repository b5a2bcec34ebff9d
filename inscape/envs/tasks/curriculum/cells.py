"""The tasks of a curriculum: settings of a world, listed or drawn from the cells of a grid over ranges."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from inscape.errors import UsageError

MOST = 200
"""Tasks, at most: each has metrics of its own."""
EXAMPLE = 'lists of values, or ranges: {"size": [5, 6, 8]}, {"slip": {"low": 0.0, "high": 0.4}}'


@dataclass(frozen=True)
class Part:
    """Values of one setting: a single one, or an interval from which a number is drawn uniformly.

    Attributes:
        low, high: its ends, equal for a single value (which may be of any type).
        whole: whether only whole numbers are drawn; both ends are included then.
    """

    low: Any
    high: Any
    whole: bool = False

    @property
    def single(self) -> bool:
        """Whether it is a single value."""
        return self.low is self.high or bool(self.low == self.high)

    def value(self, number: float) -> Any:
        """Returns the value that a number in [0, 1) stands for."""
        if self.single:
            return self.low
        if self.whole:
            return int(self.low) + int(number * (self.high - self.low + 1))
        return float(self.low) + number * (float(self.high) - float(self.low))

    def contains(self, value: Any) -> bool:
        """Returns whether `value` may have been drawn."""
        if self.single:
            return type(value) is type(self.low) and bool(value == self.low)
        if isinstance(value, bool) or not isinstance(value, int if self.whole else float):
            return False
        return bool(self.low <= value <= self.high)

    @property
    def text(self) -> str:
        """It in a few characters."""
        if self.single:
            return f"{self.low:g}" if isinstance(self.low, float) else str(self.low)
        return f"{self.low:g}..{self.high:g}"


@dataclass(frozen=True)
class Cell:
    """One task of a curriculum: for each setting the values it is drawn from.

    Attributes:
        parts: setting → its values.
    """

    parts: Mapping[str, Part]

    @property
    def name(self) -> str:
        """What it is called in metrics: `size=5` or `size=5,slip=0..0.1`."""
        return ",".join(f"{name}={part.text}" for name, part in self.parts.items())

    @property
    def single(self) -> bool:
        """Whether the settings are always the same."""
        return all(part.single for part in self.parts.values())

    def settings(self, numbers: Sequence[float]) -> dict[str, Any]:
        """Returns the settings that numbers in [0, 1) stand for, one for each setting in order."""
        return {name: part.value(number) for (name, part), number in zip(self.parts.items(), numbers, strict=True)}

    def corners(self) -> list[dict[str, Any]]:
        """Returns the settings at both ends of every part, each once."""
        ends = [[part.low] if part.single else [part.low, part.high] for part in self.parts.values()]
        return [dict(zip(self.parts, values, strict=True)) for values in itertools.product(*ends)]

    def contains(self, settings: Any) -> bool:
        """Returns whether these settings may have been drawn from it."""
        return (
            isinstance(settings, Mapping)
            and set(settings) == set(self.parts)
            and all(part.contains(settings[name]) for name, part in self.parts.items())
        )


def cells_of(settings: Any, bins: int) -> tuple[Cell, ...]:
    """Returns the tasks that settings describe: every combination of a value, or part of a range, of each.

    Args:
        settings: setting → list of values, or `{"low": …, "high": …}`.
        bins: into how many parts a range is divided; fewer where there are not so many whole numbers in it.

    Raises:
        UsageError: it describes none, or too many; a value twice; ends that are no finite numbers, or in the wrong
            order.
    """
    if not isinstance(settings, Mapping) or not settings:
        raise UsageError(f"a curriculum of {settings!r}"[:100], expected=EXAMPLE)
    parts = {str(name): _parts(str(name), given, bins) for name, given in settings.items()}
    count = math.prod(len(own) for own in parts.values())
    if not 2 <= count <= MOST:
        number = "one task" if count == 1 else f"{count:,} tasks"
        hint = "leave it out" if count == 1 else "fewer values, or a range of few parts"
        raise UsageError(f"a curriculum of {number}", expected=f"2 to {MOST}", hint=hint)
    return tuple(Cell(dict(zip(parts, chosen, strict=True))) for chosen in itertools.product(*parts.values()))


def _parts(name: str, given: Any, bins: int) -> list[Part]:
    if isinstance(given, Mapping):
        return _parts_of_range(name, given, bins)
    if isinstance(given, np.ndarray):
        given = given.tolist()
    if isinstance(given, str) or not isinstance(given, Sequence | range) or not len(given):
        raise UsageError(f"a curriculum with {name} = {given!r}"[:120], expected=EXAMPLE)
    values = [value.item() if isinstance(value, np.generic) else value for value in given]
    for k, value in enumerate(values):
        if isinstance(value, float) and not math.isfinite(value):
            raise UsageError(f"a curriculum with {name} = {value}", expected="finite numbers")
        if any(type(value) is type(other) and value == other for other in values[:k]):
            raise UsageError(f"a curriculum with {name} = {value!r} twice", expected="each value once")
    return [Part(value, value) for value in values]


def _parts_of_range(name: str, given: Mapping[Any, Any], bins: int) -> list[Part]:
    if set(given) != {"low", "high"}:
        raise UsageError(f"a curriculum with {name} = {dict(given)}"[:120], expected=EXAMPLE)
    low, high = (end.item() if isinstance(end, np.generic) else end for end in (given["low"], given["high"]))
    for end in (low, high):
        if isinstance(end, bool) or not isinstance(end, int | float) or not math.isfinite(end):
            raise UsageError(f"a curriculum with {name} from {low!r} to {high!r}", expected="finite numbers")
    if not low < high:
        raise UsageError(f"a curriculum with {name} from {low!r} to {high!r}", expected="low below high")
    if isinstance(low, int) and isinstance(high, int):
        count = min(bins, high - low + 1)
        cuts = [low + round(k * (high - low + 1) / count) for k in range(count + 1)]
        return [Part(begin, end - 1, True) for begin, end in itertools.pairwise(cuts)]
    ends = np.linspace(low, high, bins + 1).tolist()
    return [Part(begin, end) for begin, end in itertools.pairwise(ends)]
