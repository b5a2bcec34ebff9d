"""Probes: is what a filter would believe to be read, linearly, from what a model holds inside?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from inscape.errors import UsageError

if TYPE_CHECKING:
    from inscape.envs.data.trajectory import Trajectory
    from inscape.envs.world import World


@dataclass(frozen=True, eq=False)
class ProbeResult:
    """A linear map from activations to beliefs, and how well it does on episodes it was not fitted to.

    Attributes:
        r_squared: share of the variance of the beliefs that it explains, over all states together.
        weights: `[D + 1, S]`, the last row the constant.
        predicted: `[N, S]` beliefs read off, on the held-out episodes.
        beliefs: `[N, S]` the filter's.
    """

    r_squared: float
    weights: np.ndarray
    predicted: np.ndarray
    beliefs: np.ndarray


def linear_probe(activations: np.ndarray, targets: np.ndarray, held_out: np.ndarray) -> ProbeResult:
    """Returns the least-squares map from activations to targets, judged where it was not fitted.

    Args:
        activations: `[N, D]`.
        targets: `[N, S]`.
        held_out: `[N]` bool: what it is judged on.

    Raises:
        UsageError: nothing to fit on or to judge by; targets that do not vary.

    Source: Alain & Bengio (2016), "Understanding intermediate layers using linear classifier probes".
    """
    x = np.concatenate([np.asarray(activations, np.float64), np.ones((len(activations), 1))], axis=1)
    y, aside = np.asarray(targets, np.float64), np.asarray(held_out, np.bool_)
    if len(x) != len(y) or aside.shape != (len(x),) or aside.all() or not aside.any():
        raise UsageError(
            f"{len(x)} activations, {len(y)} targets, {int(aside.sum())} held out",
            expected="as many of each, some of them held out and some not",
        )
    weights = np.linalg.lstsq(x[~aside], y[~aside], rcond=None)[0]
    predicted = x[aside] @ weights
    spread = ((y[aside] - y[aside].mean(axis=0)) ** 2).sum()
    if spread == 0:
        raise UsageError("targets that are all alike", expected="beliefs that differ")
    missed = ((y[aside] - predicted) ** 2).sum()
    return ProbeResult(float(1 - missed / spread), weights, predicted, y[aside])


def belief_probe(model: Any, world: World, trajectories: Sequence[Trajectory], layer: int | None = None) -> ProbeResult:
    """Returns how well the exact filter's beliefs can be read from a model's activations; half the episodes judge.

    Args:
        model: with `activations(trajectory)`, `[T + 1, D]`.
        world: what the episodes are of; it can be enumerated.
        trajectories: two at least.
        layer: after that many blocks of the model; None for its last.

    Raises:
        UsageError: fewer than two episodes, or a model without activations.

    Source: Shai et al. (2024), "Transformers represent belief state geometry in their residual stream".
    """
    from inscape.world_models.belief.exact import BeliefFilter

    if not callable(getattr(model, "activations", None)):
        raise UsageError(f"{type(model).__name__} has no activations", expected="a model with activations(trajectory)")
    if len(trajectories) < 2:
        raise UsageError(f"{len(trajectories)} episodes to probe with", expected="two at least: half of them judge")
    exact = BeliefFilter.from_world(world)
    held, beliefs, aside = [], [], []
    for number, trajectory in enumerate(trajectories):
        filtered = exact.filter(trajectory.observations, trajectory.actions).beliefs
        own = model.activations(trajectory) if layer is None else model.activations(trajectory, layer)
        held.append(own)
        beliefs.append(filtered)
        aside.append(np.full(len(filtered), 2 * number >= len(trajectories)))
    return linear_probe(np.concatenate(held), np.concatenate(beliefs), np.concatenate(aside))
