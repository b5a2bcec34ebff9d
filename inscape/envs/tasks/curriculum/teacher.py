"""Teachers: which task of a curriculum the next episode is in, from the returns so far.

`learning_progress` prefers tasks whose returns change, up or down: those where something is being learned, or
forgotten. What is mastered and what is out of reach yet has returns that stay as they are.

Source: Matiisen, Oliver, Cohen & Schulman (2017), "Teacher-Student Curriculum Learning", arXiv:1707.00183 (sampling by
absolute learning progress over a window of scores); Portelas, Colas, Hofmann & Oudeyer (2020), "Teacher algorithms for
curriculum learning of Deep RL in continuously parameterized environments", CoRL (a share of tasks drawn uniformly; here
over the cells of a grid, not a mixture of Gaussians); Oudeyer, Kaplan & Hafner (2007), "Intrinsic motivation systems
for autonomous mental development", IEEE Transactions on Evolutionary Computation 11(2) (progress as the difference
between two halves of a window).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from inscape.errors import UsageError, closest

LEAST = 4
"""Returns of a task below which nothing is known of its progress: it is drawn as the one with the most."""


@dataclass(frozen=True)
class Scores:
    """What a teacher knows of the K tasks.

    Attributes:
        names: of the tasks.
        returns: of each task the returns of its latest episodes, oldest first, at most `window`.
        counts: `[K]` episodes that ended in each.
    """

    names: tuple[str, ...]
    returns: tuple[np.ndarray, ...]
    counts: np.ndarray

    def progress(self) -> np.ndarray:
        """Returns `[K]` absolute learning progress, in reward units: |mean of the newer half of the latest returns −
        mean of the older half|; NaN below `LEAST` returns."""
        found = [
            abs(float(own[len(own) // 2 :].mean() - own[: len(own) // 2].mean())) if len(own) >= LEAST else np.nan
            for own in self.returns
        ]
        return np.array(found)


Teacher = Callable[[Scores], Any]
"""Returns `[K]` weights, at least 0, not all 0: tasks are drawn in proportion."""


def learning_progress(scores: Scores) -> np.ndarray:
    """Returns weights in proportion to absolute learning progress; where there is none anywhere, equal ones."""
    progress = scores.progress()
    unknown = np.isnan(progress)
    most = float(np.max(progress, initial=0.0, where=~unknown))
    if most <= 0.0:
        return np.where(unknown, 1.0, 0.0) if unknown.any() else np.ones(len(progress))
    return np.where(unknown, most, progress)


def uniform(scores: Scores) -> np.ndarray:
    """Returns equal weights: what learning progress is compared with ("domain randomisation")."""
    return np.ones(len(scores.names))


TEACHERS: dict[str, Teacher] = {"learning-progress": learning_progress, "uniform": uniform}


def teacher_named(name: str) -> Teacher:
    """Returns a teacher by its name.

    Raises:
        UsageError: there is none of this name.
    """
    if name not in TEACHERS:
        raise UsageError(f"teacher {name!r}", expected=", ".join(TEACHERS), hint=closest(name, TEACHERS))
    return TEACHERS[name]


class Lessons:
    """Keeps the latest returns of each task, and says how probable each task is for the next episode.

    Args:
        names: of the K tasks.
        teacher: what weighs them.
        window: how many returns of each task are kept.
        random_share: probability of a task drawn uniformly, whatever the teacher says.
    """

    def __init__(self, names: tuple[str, ...], teacher: Teacher, window: int, random_share: float) -> None:
        self.names, self.teacher, self.random_share = names, teacher, random_share
        self._returns = np.zeros((len(names), window))
        self.counts = np.zeros(len(names), np.int64)
        self._known: np.ndarray | None = None

    def scores(self) -> Scores:
        """Returns what is known of the tasks."""
        window = self._returns.shape[1]
        kept = [
            np.roll(row, -(count % window))[:] if count >= window else row[:count].copy()
            for row, count in zip(self._returns, self.counts.tolist(), strict=True)
        ]
        return Scores(self.names, tuple(kept), self.counts.copy())

    def note(self, task: int, episode_return: float) -> None:
        """Notes the return of an episode that ended in a task."""
        self._returns[task, self.counts[task] % self._returns.shape[1]] = episode_return
        self.counts[task] += 1
        self._known = None

    def probabilities(self) -> np.ndarray:
        """Returns `[K]`: how probable each task is for the next episode.

        Raises:
            UsageError: the teacher returned no weights.
        """
        if self._known is None:
            weights = self._weights()
            share = self.random_share
            self._known = share / len(weights) + (1.0 - share) * weights / weights.sum()
        return self._known

    def _weights(self) -> np.ndarray:
        given = self.teacher(self.scores())
        try:
            weights = np.asarray(given, np.float64)
        except (TypeError, ValueError):
            weights = np.full(1, np.nan)
        if weights.shape != (len(self.names),) or not np.isfinite(weights).all() or (weights < 0).any():
            raise UsageError(
                f"the teacher of the curriculum returned {given!r}"[:160],
                expected=f"{len(self.names)} weights of at least 0, one for each task",
            )
        return weights if weights.any() else np.ones(len(weights))

    def metrics(self) -> dict[str, float]:
        """Returns of each task its probability, the mean of its latest returns, and how many episodes ended in it."""
        found: dict[str, float] = {}
        scores, probabilities = self.scores(), self.probabilities()
        for k, name in enumerate(self.names):
            found[f"curriculum/{name}/probability"] = float(probabilities[k])
            if len(scores.returns[k]):
                found[f"curriculum/{name}/return"] = float(scores.returns[k].mean())
            found[f"curriculum/{name}/episodes"] = float(self.counts[k])
        return found

    def state_dict(self) -> dict[str, Any]:
        """Returns what later choices depend on."""
        return {"returns": self._returns.copy(), "counts": self.counts.copy()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from `state_dict()`.

        Raises:
            UsageError: it is of other tasks, or another window.
        """
        returns, counts = np.asarray(state["returns"], np.float64), np.asarray(state["counts"])
        sound = counts.dtype == np.int64 and (counts >= 0).all() and np.isfinite(returns).all()
        if returns.shape != self._returns.shape or counts.shape != self.counts.shape or not sound:
            raise UsageError(
                f"returns of a curriculum of shape {returns.shape}, counts of shape {counts.shape}",
                expected=f"finite returns of shape {self._returns.shape} and counts of at least 0",
            )
        self._returns[:], self.counts[:], self._known = returns, counts, None
