"""Shared by the benchmarks: repeated measurements, medians, one table."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Measured:
    """Rates of repeated measurements of one thing, per second."""

    name: str
    rates: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.rates)


def rate(name: str, call: Callable[[], int], seconds: float = 1.0, repeats: int = 3) -> Measured:
    """Returns how many units per second `call` does; each call returns how many it did. Two calls warm up."""
    call()
    call()
    rates = []
    for _ in range(repeats):
        done, start = 0, time.perf_counter()
        while (spent := time.perf_counter() - start) < seconds:
            done += call()
        rates.append(done / spent)
    return Measured(name, tuple(rates))


def print_table(title: str, rows: Sequence[Measured], unit: str, baseline: str | None = None) -> None:
    """Prints medians, ranges, and ratios to the row named `baseline`."""
    base = next((row.median for row in rows if row.name == baseline), None)
    print(f"\n{title}")
    print(f"{'':58s} {unit:>16s} {'range':>29s}" + (f" {'ratio':>8s}" if base else ""))
    for row in rows:
        span = f"{min(row.rates):,.0f} – {max(row.rates):,.0f}"
        ratio = f" {row.median / base:8.2f}" if base else ""
        print(f"{row.name:58s} {row.median:16,.0f} {span:>29s}{ratio}")
