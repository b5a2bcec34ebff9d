"""What `train` is asked to do while an agent learns, as a run stores it, and the callbacks that do it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from inscape.errors import UsageError, whole_number
from inscape.experiments.runs.callbacks import Callback

STOPPING = ("stop_at", "patience")


def during_options(
    keep_best: bool | None, stop_at: float | None, patience: int | None, video_every: int | None
) -> dict[str, Any]:
    """Returns what is asked for, by name, as it is stored; what is not given is left out.

    Raises:
        UsageError: a number that cannot be.
    """
    options: dict[str, Any] = {}
    if keep_best is not None:
        if not isinstance(keep_best, bool):
            raise UsageError(f"keep_best = {keep_best!r}", expected="True or False")
        options["keep_best"] = keep_best
    if stop_at is not None:
        from inscape.experiments.runs.during.stopping import StopAt

        options["stop_at"] = StopAt(stop_at).return_mean
    if patience is not None:
        options["patience"] = whole_number("patience =", patience, 1)
    if video_every is not None:
        options["video_every"] = whole_number("video_every =", video_every, 0)
    return options


def callbacks_for(options: Mapping[str, Any]) -> list[Callback]:
    """Returns the callbacks that do what is asked for; videos last, so that what stops training is asked first."""
    callbacks: list[Callback] = []
    if options.get("keep_best"):
        from inscape.experiments.runs.during.best import KeepBest

        callbacks.append(KeepBest())
    if options.get("stop_at") is not None:
        from inscape.experiments.runs.during.stopping import StopAt

        callbacks.append(StopAt(options["stop_at"]))
    if options.get("patience") is not None:
        from inscape.experiments.runs.during.stopping import StopOnPlateau

        callbacks.append(StopOnPlateau(options["patience"]))
    if options.get("video_every"):
        # by name: what draws stands above runs, and is loaded where it is asked for alone
        recording = import_module("inscape.experiments.viewing.recording")
        callbacks.append(recording.RecordVideo(options["video_every"]))
    return callbacks
