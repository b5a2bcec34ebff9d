"""Code length of held-out episodes, in bits a step: prediction is compression.

Sources: Shannon (1948), section 7; code length of what is predicted before it is learned: Dawid (1984), JRSS A 147(2).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from inscape.errors import UsageError
from inscape.world_models.episodes import check_episodes
from inscape.world_models.interface import fit_model, require

if TYPE_CHECKING:
    from inscape.envs.data.trajectory import Trajectory


@dataclass(frozen=True)
class CodeLength:
    """What a model needs to write down what happened next, the actions given.

    Attributes:
        per_step: mean −log₂ P(next observation, terminated | all before, actions) a step; infinite where an episode is
            impossible under the model.
        standard_error: of `per_step` over episodes, each as long as it is; NaN with one episode.
        steps: steps scored.
        episodes: episodes scored.
        impossible: how many of them the model holds to be impossible.
        by_field: the part of each field of the observation and of `terminated`, by name, where the model factorises
            (`field_log_probs`); the parts add up to `per_step`.
    """

    per_step: float
    standard_error: float
    steps: int
    episodes: int
    impossible: int = 0
    by_field: dict[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        error = "" if math.isnan(self.standard_error) else f" ± {self.standard_error:.4f}"
        return f"{self.per_step:.4f}{error} bits a step ({self.steps:,} steps in {self.episodes:,} episodes)"


def bits(model: Any, episodes: Iterable[Trajectory]) -> CodeLength:
    """Returns the code length of episodes under a model, in bits a step; nothing is learned.

    Args:
        model: anything with `log_prob(trajectory)`; with `field_log_probs(trajectory) -> {name: nats}`, field by field.
        episodes: what it has not learned from.

    Raises:
        UsageError: the model has no code length; no step to score; an observation or a reward is not a finite number
            (naming episode and step).
    """
    log_prob = require(model, "log_prob", "scoring in bits")
    episodes = list(episodes)
    check_episodes(episodes, "scoring")
    lengths = np.array([len(episode) for episode in episodes], np.float64)
    spent = -np.array([log_prob(episode) for episode in episodes], np.float64) / math.log(2)
    if np.isnan(spent).any():
        raise UsageError(
            f"{type(model).__name__}.log_prob of episode {int(np.argmax(np.isnan(spent)))} is NaN",
            expected="a log-probability in nats, or −inf",
        )
    steps, impossible = float(lengths.sum()), int(np.isposinf(spent).sum())
    mean = float(spent.sum() / steps)
    error = math.nan
    if len(episodes) > 1 and not impossible:
        count = len(episodes)
        error = float(np.sqrt(((spent - mean * lengths) ** 2).sum() * count / (count - 1)) / steps)
    parts: dict[str, float] = {}
    if callable(getattr(model, "field_log_probs", None)):
        for episode in episodes:
            for name, nats in model.field_log_probs(episode).items():
                parts[name] = parts.get(name, 0.0) - nats / math.log(2) / steps
    return CodeLength(mean, error, int(steps), len(episodes), impossible, parts)


def learning_curve(
    make: Callable[[], Any], episodes: Sequence[Trajectory], held_out: Sequence[Trajectory], points: int = 8
) -> list[tuple[int, float]]:
    """Returns `(steps learned from, bits a step on held-out episodes)` at sizes that double, the last being all.

    Args:
        make: makes an untrained model: one for each size, as a model may not learn the same in parts.
        episodes: what is learned from, in this order.
        held_out: what is scored.
        points: most sizes.

    Raises:
        UsageError: as `bits`; no episodes.
    """
    check_episodes(episodes, "a learning curve")
    if points < 1:
        raise UsageError(f"points = {points}", expected="at least 1")
    sizes = sorted({max(1, len(episodes) >> k) for k in range(points)})
    curve = []
    for size in sizes:
        model = make()
        fit_model(model, episodes[:size])
        curve.append((sum(len(episode) for episode in episodes[:size]), bits(model, held_out).per_step))
    return curve
