"""Alarms: signs in a training's metrics that it is going wrong, named with the step they were seen at.

| alarm | seen when |
|---|---|
| `not finite` | a metric is NaN or infinite |
| `entropy` | the policy is all but certain (entropy below `entropy` nats) and returns less than it once did |
| `echo trap` | returns hardly differ any more (deviation below `deviation` of the early one) and are less than once |
| `ratio` | new and old policy are further apart than `divergence` nats, in the mean over an update |
| `repeated text` | more than `repetition` of the word n-grams of what was generated are repeats |

A policy that is certain *and* as good as it ever was has converged, not collapsed: the means compared are over
`window` updates, and "less" is by more than a fifth of what they ranged over so far and three deviations of a single
update's mean.

Source of the echo trap: Wang et al. (2025), RAGEN, arXiv:2504.20073, section 4.1.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from inscape.agents.learning.settings_checks import require_counts, require_positive

MOST_KEPT = 100_000
"""Updates whose mean returns are kept."""


@dataclass(frozen=True)
class AlarmLimits:
    """Where alarms sound."""

    entropy: float = 0.01
    """Entropy, in nats, below which a policy counts as certain."""
    deviation: float = 0.1
    """Share of the deviation of returns in the first updates, below which they count as alike."""
    divergence: float = 2.0
    """Mean divergence between the policies before and after an update, in nats. First updates from random weights reach
    1 and end well."""
    repetition: float = 0.5
    """Share of the n-grams that are repeats."""
    window: int = 10
    """Updates that means are taken over."""

    def __post_init__(self) -> None:
        require_counts(self, "window")
        require_positive(self, "entropy", "deviation", "divergence", "repetition")


@dataclass(frozen=True)
class Alarm:
    """One sign: its kind, the environment steps taken when it was seen, and what was seen."""

    kind: str
    step: int
    seen: str

    def __str__(self) -> str:
        return f"{self.kind} at step {self.step:,}: {self.seen}"


def repeated_share(text: str, n: int = 4) -> float:
    """Returns the share of a text's word n-grams that occurred in it before; 0 for a text of fewer than n words."""
    words = text.split()
    grams = Counter(tuple(words[k : k + n]) for k in range(len(words) - n + 1))
    total = grams.total()
    return 1.0 - len(grams) / total if total else 0.0


class Alarms:
    """Watches the metrics of one training.

    Metrics are found by the end of their names, whichever learner reports them: `…/entropy`, `…/approximate_kl`,
    `…/return_deviation`, `…/repeated_text`, `train/return_mean`.
    """

    def __init__(self, limits: AlarmLimits | None = None) -> None:
        self.limits = limits or AlarmLimits()
        self._means: list[float] = []
        self._deviations: list[float] = []

    def see(self, metrics: Mapping[str, float]) -> list[Alarm]:
        """Returns what is wrong in the metrics of one update, given those before."""
        step = int(metrics["steps"])
        bad = [f"{name} is {value}" for name, value in metrics.items() if not math.isfinite(value)]
        if bad:
            return [Alarm("not finite", step, ", ".join(bad))]
        by_end = {name.rsplit("/", 1)[-1]: value for name, value in metrics.items()}
        if "return_mean" in by_end:
            self._means = [*self._means[-MOST_KEPT:], by_end["return_mean"]]
        if "return_deviation" in by_end:
            self._deviations = [*self._deviations[-MOST_KEPT:], by_end["return_deviation"]]
        found = []
        if (drift := by_end.get("approximate_kl", 0.0)) > self.limits.divergence:
            found.append(Alarm("ratio", step, f"the policy moved by {drift:.3g} nats in one update"))
        if (share := by_end.get("repeated_text", 0.0)) > self.limits.repetition:
            found.append(Alarm("repeated text", step, f"{100 * share:.0f} % of the n-grams are repeats"))
        fallen = self._fallen()
        if fallen and by_end.get("entropy", math.inf) < self.limits.entropy:
            found.append(Alarm("entropy", step, f"entropy {by_end['entropy']:.2g} nats, {fallen}"))
        if fallen and (alike := self._alike()):
            found.append(Alarm("echo trap", step, f"{alike}, {fallen}"))
        return found

    def _fallen(self) -> str:
        """Returns how far returns are below the best window so far; empty where they are not."""
        w = self.limits.window
        if len(self._means) < 2 * w:
            return ""
        means = np.convolve(self._means, np.full(w, 1 / w), "valid")
        best, now = float(means.max()), float(means[-1])
        noise = 3 * float(np.std(self._means[-w:]))
        if best - now <= max(0.2 * float(means.max() - means.min()), noise) + 1e-9:
            return ""
        return f"mean return {now:.3g} after {best:.3g}"

    def _alike(self) -> str:
        w = self.limits.window
        if len(self._deviations) < 2 * w:
            return ""
        early, now = float(np.mean(self._deviations[:w])), float(np.mean(self._deviations[-w:]))
        return f"returns deviate by {now:.2g} after {early:.2g}" if now < self.limits.deviation * early else ""

    def forget(self) -> None:
        """Begins to watch anew, as after a roll-back."""
        self._means, self._deviations = [], []

    def state_dict(self) -> dict[str, Any]:
        return {"means": np.array(self._means), "deviations": np.array(self._deviations)}

    def load_state_dict(self, state: Mapping[str, Sequence[float]]) -> None:
        self._means, self._deviations = (np.asarray(state[k]).tolist() for k in ("means", "deviations"))
