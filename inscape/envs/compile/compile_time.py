"""How long compiling takes: what this process has spent on it, and what a kernel is likely to take.

The seconds spent come from Numba's events; machine code read from the cache counts for nothing.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

WORLD = "__world__"
"""The global of a kernel module that names the world to whose law it is bound."""
TEMPLATE = "__template__"
"""The global of a kernel module that holds the last part of its template's name."""

TYPICAL_SECONDS = {
    ("alpha_beta", "search"): 5.0,
    ("batch", "steps"): 0.8,
    ("enumeration", "insert_all"): 0.3, ("enumeration", "explore"): 1.0, ("enumeration", "tabulate"): 0.6,
    ("play", "play"): 1.0, ("play", "play_parallel"): 3.0, ("play", "play_range"): 1.0,
    ("collecting", "collect"): 6.0, ("policy_gradient", "update"): 8.0, ("policy_gradient", ""): 2.0,
    ("pomcp", "search"): 4.0,
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
MUCH_MORE = 3.0
"""Seconds beyond those announced from which on a world's compiling is announced again."""
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
        self._announced: dict[str, float] = {}  # world → seconds that were announced and have not been spent
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
        if WORLD in scope:
            world, seconds = scope[WORLD], typical_seconds(scope[TEMPLATE], function.__name__)
            if seconds - self._announced.get(world, 0.0) >= (MUCH_MORE if world in self._announced else WORTH_SAYING):
                self.say(world, seconds)
            if world in self._announced:
                self._announced[world] -= seconds

    def say(self, world: str, seconds: float) -> None:
        """Logs how long compiling for a world is about to take, and expects it to."""
        self._announced[world] = self._announced.get(world, 0.0) + seconds
        logger.info("compiling the law of %s: about %.0f s, the first time only", world, seconds)


_compiling = _Compiling()


def announce(world: str, kernels: Mapping[tuple[str, str], Any]) -> None:
    """Logs, as one, how long compiling some kernels is about to take, those aside that are compiled or on the disk.

    Args:
        world: name of the world they are for.
        kernels: (last part of the template's name, function) → the kernel, or None where it is not made yet.
    """
    missing = [name for name, kernel in kernels.items() if not _is_ready(kernel)]
    if all(kernels[name] is None for name in missing):  # of those that could be asked, everything is there
        return
    if (seconds := sum(typical_seconds(*name) for name in missing)) >= WORTH_SAYING:
        _compiling.say(world, seconds)


def _is_ready(kernel: Any) -> bool:
    """Returns whether a kernel's machine code is in memory or on the disk; plain kernels have none."""
    if kernel is None or not hasattr(kernel, "overloads"):
        return kernel is not None
    stored = getattr(kernel, "_cache", None)
    return bool(kernel.overloads) or bool(getattr(stored, "holds_any", lambda: False)())


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
