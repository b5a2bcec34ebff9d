"""Reports environments that do not come back from `step` or `reset`: where, in which copy, at which step and seed.

A thread looks at the stacks of all others now and then, so that steps cost nothing. It only reports: code that hangs
cannot be interrupted safely from outside.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

HANG_SECONDS = 60.0
"""Seconds in one step or reset after which it is reported."""
_LOOK_SECONDS = 5.0
_CHECKING = str(Path(__file__).parent) + os.sep

_thread: threading.Thread | None = None
_lock = threading.Lock()


def watch() -> None:
    """Starts the thread, unless it runs (a forked process has none)."""
    global _thread
    if _thread is not None and _thread.is_alive():
        return
    with _lock:
        if _thread is None or not _thread.is_alive():
            _thread = threading.Thread(target=_look, name="inscape-hangs", daemon=True)
            _thread.start()


def _look() -> None:
    since: dict[int, tuple[Any, float]] = {}
    reported: dict[int, Any] = {}
    while True:
        time.sleep(min(_LOOK_SECONDS, HANG_SECONDS))
        now, stacks = time.monotonic(), sys._current_frames()
        found = {thread: place for thread, frame in stacks.items() if (place := _place(frame)) is not None}
        del stacks
        since = {
            thread: since[thread] if thread in since and since[thread][0] == place[0] else (place[0], now)
            for thread, place in found.items()
        }
        for thread, (mark, began) in since.items():
            if now - began >= HANG_SECONDS and reported.get(thread) != mark:
                reported[thread] = mark
                _, text = found[thread]
                print(f"inscape: {text} for {now - began:.0f} s; Ctrl-C (twice in training) stops it", file=sys.stderr)


def _place(frame: FrameType | None) -> tuple[Any, str] | None:
    """Returns what tells one step from the next, and a description, of the innermost copy a thread is in; else None."""
    at = frame
    while frame is not None:
        found = _copy_in(frame)
        if found is not None:
            where = f"{at.f_code.co_filename}:{at.f_lineno}" if at is not None else "?"
            mark = (id(found), found.clock.steps, found.number)
            method = frame.f_locals.get("method", frame.f_code.co_name).replace("begin", "reset")
            return mark, f"{found.contract.name} has been in {method} {found.place}, at {where}"
        frame = frame.f_back
    return None


def _copy_in(frame: FrameType) -> Any:
    """Returns the copy that a frame of this folder steps or begins; None of any other frame."""
    if frame.f_code.co_name not in ("step", "begin", "call") or not frame.f_code.co_filename.startswith(_CHECKING):
        return None
    names = frame.f_locals
    own = names.get("self")
    if frame.f_code.co_name != "step":
        return own
    copies = getattr(own, "copies", None)
    if copies is not None:
        return copies[names["i"]] if "i" in names else None
    return getattr(own, "copy", None)
