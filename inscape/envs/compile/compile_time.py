"""How long compiling takes: what this process has spent on it, and what a kernel is likely to take.

The seconds spent come from Numba's events; machine code read from the cache counts for nothing.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from functools import lru_cache
from typing import Any

WORLD = "__world__"
"""The global of a kernel module that names the world to whose law it is bound."""
TEMPLATE = "__template__"
"""The global of a kernel module that holds the last part of its template's name."""

TYPICAL_SECONDS = {
    ("batch", "steps"): 0.8,
    ("enumeration", "insert_all"): 0.3, ("enumeration", "explore"): 1.0, ("enumeration", "tabulate"): 0.6,
    ("play", "play"): 1.0, ("play", "play_parallel"): 3.0, ("play", "play_range"): 1.0,
    ("policy_gradient", ""): 3.0,
    ("single", "step"): 0.8, ("stepping", "step"): 2.2,
    ("sweeps", "sweep"): 1.0,
    ("tabular", ""): 2.0,
    ("turns", "step_at_once"): 0.8, ("turns", "step_in_turn"): 0.8,
    ("uct", "search"): 5.0,
}  # fmt: skip
"""Seconds that a function of a template takes to compile, the median of laws of a page, on one core of a server of 2023
(benchmarks/cold_start.py --compile-times prints them); `""` stands for its other functions."""
OTHERWISE = 0.3
IMPORT_SECONDS = 0.7
"""Seconds that importing Numba takes."""
LOAD_SECONDS = 0.05
"""Seconds that reading the machine code of one function from the cache takes."""
WORTH_SAYING = 1.5
"""Seconds of compiling from which on it is announced."""
ENOUGH_TO_JUDGE = 0.5
"""Typical seconds that must have been compiled before the speed of this machine is judged by them."""

logger = logging.getLogger(__name__)


def typical_seconds(template: str, function: str) -> float:
    """Returns how long a function of a template is likely to take to compile, as fast as this machine was until now.

    Args:
        template: the template's name, dotted or its last part alone.
        function: the function's name.
    """
    return _listed(template.rpartition(".")[2], function) * _compiling.slowness()


def _listed(template: str, function: str) -> float:
    found = TYPICAL_SECONDS.get((template, function))
    return TYPICAL_SECONDS.get((template, ""), OTHERWISE) if found is None else found


def import_seconds() -> float:
    """Returns how long importing Numba is likely to take: 0 once it is imported."""
    return 0.0 if "numba" in sys.modules else IMPORT_SECONDS


def compile_seconds() -> float:
    """Returns the seconds that this process has spent compiling kernels."""
    return _compiling.seconds


class _Compiling:
    """Receives Numba's events of compilations; one that another needs counts as part of that one."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._listed = self._measured = 0.0
        self._announced: set[tuple[str, str]] = set()
        self._thread = threading.local()

    def begin(self, function: Any) -> None:
        self._thread.depth = getattr(self._thread, "depth", 0) + 1
        if self._thread.depth == 1:
            self._announce(function)
            self._thread.began = time.perf_counter()

    def end(self, function: Any) -> None:
        self._thread.depth -= 1
        if self._thread.depth == 0:
            seconds = time.perf_counter() - self._thread.began
            self.seconds += seconds
            template = function.__globals__.get(TEMPLATE)
            logger.debug("compiled %s.%s in %.2f s", template or function.__module__, function.__name__, seconds)
            if template is not None:
                self._measured += seconds
                self._listed += _listed(template, function.__name__)

    def slowness(self) -> float:
        """Returns how many times the listed seconds compiling has taken here; 1 until enough was compiled."""
        return self._measured / self._listed if self._listed >= ENOUGH_TO_JUDGE else 1.0

    def _announce(self, function: Any) -> None:
        scope = function.__globals__
        if WORLD not in scope or (key := (scope[WORLD], scope[TEMPLATE])) in self._announced:
            return
        seconds = typical_seconds(scope[TEMPLATE], function.__name__)
        if seconds >= WORTH_SAYING:
            self._announced.add(key)
            logger.info("compiling the law of %s: about %.0f s, the first time only", scope[WORLD], seconds)


_compiling = _Compiling()


@lru_cache(maxsize=1)
def listen() -> None:
    """Has the seconds of every compilation from now on counted."""
    from numba.core import event

    class Listener(event.Listener):  # type: ignore[misc, unused-ignore]
        def on_start(self, event: Any) -> None:
            _compiling.begin(event.data["dispatcher"].py_func)

        def on_end(self, event: Any) -> None:
            _compiling.end(event.data["dispatcher"].py_func)

    event.register("numba:compile", Listener())
