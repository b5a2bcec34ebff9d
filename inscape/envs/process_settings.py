"""What of the process an environment's code may not change for everybody: folder, output, torch's defaults."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

_LOG = logging.getLogger("inscape")


@contextlib.contextmanager
def kept_process_settings(code: str) -> Iterator[None]:
    """Changes back, with a warning, what other people's code changes for the whole process while it is imported or
    makes an environment: the working folder, from which paths of runs count; standard output and error; the limit of
    recursion, where it is lowered; torch's default dtype, default device and whether it computes gradients, which
    networks of ours are made and learn with.

    Args:
        code: what runs, for the warning.
    """
    before = {name: (value, put) for name, value, put in _settings()}
    try:
        yield
    finally:
        for name, now, put in _settings():
            was = before[name][0] if name in before else _TORCH_FIRST[name]
            if now is not was and now != was and not (name == _RECURSION and now > was):
                put(was)
                shown = "" if name in _STREAMS else f" to {now or 'one that is gone'}"
                _LOG.warning("%s changed %s%s; it is changed back", code, name, shown)


_RECURSION = "the limit of recursion"
_STREAMS = ("standard output", "standard error")
_TORCH_FIRST = {"torch's default dtype": "torch.float32", "torch's default device": "cpu", "torch's gradients": "on"}
"""What torch begins with, where the code was the first to import it."""


def _settings() -> Iterator[tuple[str, Any, Callable[[Any], None]]]:
    """Yields name, value and setter of each; of torch only once somebody has imported it."""
    try:
        folder = os.getcwd()
    except FileNotFoundError:  # it was removed
        folder = ""
    yield "the working folder", folder, _go
    for name, stream in zip(_STREAMS, ("stdout", "stderr"), strict=True):
        yield name, getattr(sys, stream), partial(setattr, sys, stream)
    yield _RECURSION, sys.getrecursionlimit(), sys.setrecursionlimit
    torch = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "get_default_device"):  # not there, or not yet whole
        return
    dtypes = {str(dtype): dtype for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64)}
    yield (
        "torch's default dtype",
        str(torch.get_default_dtype()),
        lambda value: torch.set_default_dtype(dtypes[value]),
    )
    yield "torch's default device", str(torch.get_default_device()), torch.set_default_device
    yield (
        "torch's gradients",
        "on" if torch.is_grad_enabled() else "off",
        lambda value: torch.set_grad_enabled(value == "on"),
    )


def _go(folder: str) -> None:
    if folder:
        os.chdir(folder)
