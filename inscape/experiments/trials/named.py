"""Functions that an experiment names: measures of a trial's agent, and analyses of all results."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from inscape.errors import UsageError, closest

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task

Measure = Callable[[Any, "Task", int], Mapping[str, Any]]
"""Called with a trial's agent, its world and its seed when training is over; returns numbers and NumPy arrays by name.
A number called "score" is the trial's score."""

Analysis = Callable[[Any], Sequence[Any]]
"""Called with all `Results`; returns what answers the experiment's question, as sections of a page."""

_HERE = "inscape.experiments.questions"
MEASURES = {
    "model": f"{_HERE}.compression:model_measures",
    "observed": f"{_HERE}.observed:observed_measures",
    "helped": f"{_HERE}.helping:helped_measures",
    "every-mind": f"{_HERE}.every_mind:every_mind_measures",
}
"""name → where it is. Others are named `package.module:function` or `file.py:function`."""

ANALYSES = {
    "compression": f"{_HERE}.compression:compression_sections",
    "families": f"{_HERE}.families:family_sections",
    "no-free-lunch": f"{_HERE}.no_free_lunch:no_free_lunch_sections",
    "observed": f"{_HERE}.observed:observed_sections",
    "helped": f"{_HERE}.helping:helped_sections",
    "every-mind": f"{_HERE}.every_mind_answer:every_mind_sections",
}
"""The same for analyses."""


def load_measure(name: str) -> Measure:
    """Returns a measure.

    Raises:
        UsageError: there is none of that name.
    """
    measure: Measure = _load(name, MEASURES, "measure", "function(agent, task, seed) that returns numbers by name")
    return measure


def load_analysis(name: str) -> Analysis:
    """Returns an analysis.

    Raises:
        UsageError: there is none of that name.
    """
    analysis: Analysis = _load(name, ANALYSES, "analysis", "function(results) that returns sections")
    return analysis


def measured(names: Iterable[str], agent: Any, task: Task, seed: int) -> tuple[dict[str, float], dict[str, list[Any]]]:
    """Returns what the named measures find, together: numbers, and arrays as nested lists.

    Raises:
        UsageError: a measure returns anything but finite numbers, or arrays of them, by name; or a name that another
            has used.
    """
    found: dict[str, float] = {}
    arrays: dict[str, list[Any]] = {}
    for name in names:
        given = load_measure(name)(agent, task, seed)
        if not isinstance(given, Mapping) or not all(isinstance(key, str) for key in given):
            raise UsageError(f"measure {name!r} returned {given!r}", expected='numbers by name: {"bits": 1.5}')
        for key, value in given.items():
            twice = ", which another measure returns too" if key in found or key in arrays else ""
            if isinstance(value, np.ndarray) and value.ndim and value.dtype.kind in "biuf" and not twice:
                if not np.isfinite(value).all():
                    raise UsageError(f"measure {name!r} returned {key} with NaN or infinity", expected="finite numbers")
                arrays[key] = value.tolist()
                continue
            try:
                number = float(value)
            except (TypeError, ValueError):
                number = math.nan
            if not math.isfinite(number) or twice:
                raise UsageError(f"measure {name!r} returned {key} = {value!r}{twice}", expected="finite numbers")
            found[key] = number
    return found, arrays


def code_of(names: Iterable[str]) -> list[str]:
    """Returns those names that say where code lies."""
    return [name for name in names if ":" in name]


def _load(name: str, known: Mapping[str, str], what: str, expected: str) -> Any:
    from inscape.envs.loading import load_class

    if not isinstance(name, str) or (name not in known and ":" not in name):
        hint = closest(name, known) if isinstance(name, str) else f"one of {', '.join(known)}"
        raise UsageError(f"no {what} {name!r}", expected=f"{', '.join(known)}; or file.py:function", hint=hint)
    found = load_class(known.get(name, name), what)
    if not callable(found):
        raise UsageError(f"{what} {name!r} is {type(found).__name__}", expected=expected)
    return found
