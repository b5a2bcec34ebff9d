"""Measures what a process offers, when it is told to: so that peers in processes of their own take turns with ours.

A script beside this one calls `serve` with what it can do. It prints one line, the JSON list of their names, and then
answers each line `index seconds` of its standard input with a line that holds one rate.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping

Call = Callable[[], int]
"""Does some work and returns how many units of it."""


def speed(call: Call, seconds: float) -> float:
    """Returns how many units per second `call` does, over at least `seconds`."""
    done, start = 0, time.perf_counter()
    while True:
        done += call()
        spent = time.perf_counter() - start
        if spent >= seconds:
            return done / spent


def fastest(calls: Mapping[str, Call], seconds: float) -> tuple[str, Call]:
    """Returns the fastest of several after one short look at each."""
    rates = {}
    for name, call in calls.items():
        call()
        rates[name] = speed(call, seconds)
    best = max(rates, key=lambda name: rates[name])
    return best, calls[best]


def serve(make: Callable[[], Mapping[str, Call]]) -> None:
    """Makes what there is to measure, warms it up, and measures it as often as it is asked to."""
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)  # what libraries print while they are imported is no answer
        calls = dict(make())
        for call in calls.values():
            call()
            call()
        print(json.dumps(list(calls)), file=answers, flush=True)
        for line in sys.stdin:
            index, seconds = line.split()
            print(speed(list(calls.values())[int(index)], float(seconds)), file=answers, flush=True)
