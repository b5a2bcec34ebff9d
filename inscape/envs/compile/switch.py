"""How kernels run: compiled, as plain Python, or as takes less time. One switch for all of them.

`INSCAPE_KERNELS=plain` (or Numba's own `NUMBA_DISABLE_JIT=1`) runs every kernel as the Python it is written in, with
the results of compiled ones and without Numba: for debuggers, for coverage of kernels line by line, and for tests of
logic, which would compile longer than they run. `INSCAPE_KERNELS=compiled` compiles all that asks for neither. By
default, `auto`, work that is smaller than its compilation runs as plain Python (`envs.compile.choice`). The variable is
read once, when the first kernel is made.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from types import ModuleType
from typing import Any, Literal, cast

from inscape.errors import UsageError

VARIABLE = "INSCAPE_KERNELS"
Mode = Literal["auto", "plain", "compiled"]

_plain_blocks = _compiled_blocks = 0


def kernels_mode() -> Mode:
    """Returns how kernels that are made now run.

    Raises:
        UsageError: `INSCAPE_KERNELS` is none of `auto`, `plain` and `compiled`.
    """
    if _plain_blocks > 0:
        return "plain"
    mode = _mode_of_process()
    return "compiled" if mode == "auto" and _compiled_blocks > 0 else mode


def is_plain() -> bool:
    """Returns whether all kernels that are made now run as plain Python, whatever is asked for.

    Raises:
        UsageError: see `kernels_mode`.
    """
    return kernels_mode() == "plain"


@lru_cache(maxsize=1)
def _mode_of_process() -> Mode:
    chosen = os.environ.get(VARIABLE) or "auto"
    if chosen not in ("auto", "plain", "compiled"):
        raise UsageError(f"{VARIABLE}={chosen}", expected="auto, plain or compiled")
    return "plain" if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0") else cast(Mode, chosen)


@contextmanager
def plain_kernels() -> Iterator[None]:
    """Runs kernels as plain Python that are asked for inside, in every thread.

    This is so of kernels of a world (`World.kernel`). Kernels without one, those of networks and of dynamic
    programming, are made when their module is imported, and stay what they were made then.
    """
    global _plain_blocks
    _plain_blocks += 1
    try:
        yield
    finally:
        _plain_blocks -= 1


@contextmanager
def compiled_kernels() -> Iterator[None]:
    """Compiles kernels that are asked for inside, in every thread, however little work they have to do.

    Where they run as plain Python in the whole process, they still do.
    """
    global _compiled_blocks
    _compiled_blocks += 1
    try:
        yield
    finally:
        _compiled_blocks -= 1


def plain_form(form: Callable[..., Any]) -> Callable[[Callable[..., Any]], Any]:
    """Returns a decorator of kernels that puts `form` in their place in processes whose kernels are plain Python: for
    loops over long arrays, which NumPy takes at once. The kernel is its attribute `kernel`."""

    def chosen(kernel: Callable[..., Any]) -> Callable[..., Any]:
        if not is_plain():
            return kernel
        form.kernel = kernel  # type: ignore[attr-defined]
        return form

    return chosen


def kernel_math() -> ModuleType:
    """Returns `math` for kernels: where they are plain, infinity and NaN come of what Python's refuses, as they do in
    compiled code."""
    if not is_plain():
        return math
    made = ModuleType("math")
    vars(made).update({name: value for name, value in vars(math).items() if not name.startswith("_")})
    for name, pole in (("exp", None), ("log", 0.0), ("log1p", -1.0), ("sqrt", None)):
        setattr(made, name, _without_errors(getattr(math, name), pole))
    return made


def _without_errors(function: Callable[[float], float], pole: float | None) -> Callable[[float], float]:
    """Returns the function with −∞ at `pole`, ∞ where it is too large, and NaN where it has no value."""

    def value(x: float) -> float:
        try:
            return function(x)
        except OverflowError:
            return math.inf
        except ValueError:
            return -math.inf if x == pole else math.nan

    return value
