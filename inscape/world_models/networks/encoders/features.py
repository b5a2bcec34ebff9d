"""Observations as features for a network, in NumPy: what `encoder.ObservationEncoder` is in torch."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from inscape.errors import UsageError
from inscape.world_models.networks.encoders.moments import merged_moments

SMALLEST_PICTURE = 20
"""Pixels below which the two layers of filters of `networks.pixel_network` have nowhere left to go."""
LIMIT = 10.0
"""Normalised numbers are kept within ± this."""


def picture_layout(space: gymnasium.Space[Any]) -> tuple[tuple[int, int, int], tuple[int, ...], tuple[int, ...]] | None:
    """Returns ((channels, height, width), the shape of an observation, its axes in the order that puts height and width
    last) of pictures; None of anything else. Axes other than height and width are channels, together.

    Pictures are `Box`es of uint8, or of floating-point numbers from 0 to 1 with 3 axes or more: `[height, width]`,
    `[frames, height, width]`, `[height, width, channels]`, and stacked ones with a fourth axis, `[frames, height,
    width, channels]`, `[frames, channels, height, width]` or `[height, width, channels, frames]`. Height and width are
    the two neighbouring axes whose smaller one is largest. What is smaller than the filters reach is no picture, but
    numbers: such are the views of grids.

    Raises:
        UsageError: an array of uint8 with more axes, with two of them as large as a picture's.
    """
    shape = space.shape or ()
    if not isinstance(space, gymnasium.spaces.Box) or len(shape) < 2:
        return None
    scaled = space.dtype.kind == "f" and len(shape) > 2 and bool((space.low == 0).all() and (space.high == 1).all())
    if space.dtype != np.uint8 and not scaled:
        return None
    # of equals the last two: the layout [frames, height, width] came first
    at = max(range(len(shape) - 1), key=lambda k: (min(shape[k : k + 2]), k))
    height, width = shape[at : at + 2]
    if min(height, width) < SMALLEST_PICTURE:
        return None
    if len(shape) > 4:
        raise UsageError(
            f"observations {shape} of {space.dtype}",
            expected="pictures of 2 to 4 axes",
            hint="gymnasium.wrappers.ReshapeObservation to [frames, height, width] or [height, width, channels]",
        )
    others = tuple(axis for axis in range(len(shape)) if axis not in (at, at + 1))
    return (int(np.prod([shape[k] for k in others])), height, width), shape, (*others, at, at + 1)


class FeatureReader:
    """Turns `[B, ...]` observations into `[B, width]` float32 features.

    `Discrete` becomes one-hot, `MultiDiscrete` one-hots side by side, `MultiBinary` and `Box` numbers (bytes divided by
    255), flattened. With `normalize`, numbers are shifted and scaled by the running mean and variance of what `update`
    was shown, and kept within ± 10.

    Args:
        space: the space of one observation.
        normalize: keep running statistics, where there are numbers.

    Attributes:
        space: the space of one observation.
        width: features of an observation.
        places: `[n]` int64: number k of an observation stands for a one in column `places[k] + number`; empty where
            numbers are features themselves.
        bounds: `[n + 1]` int64: the columns of number k are those from `bounds[k]` to below `bounds[k + 1]`.
        scale: what those are multiplied by.
        statistics: of normalised numbers, {"mean" `[width]`, "variance" `[width]`, "count" `[]`}, arrays of float64;
            else empty.

    Raises:
        UsageError: a space that is none of these.
    """

    def __init__(self, space: gymnasium.Space[Any], normalize: bool = False) -> None:
        sizes, start = np.zeros(0, np.int64), np.zeros(0, np.int64)
        self._unit, self.space = 1.0, space
        if isinstance(space, gymnasium.spaces.Discrete):
            sizes, start = np.array([space.n], np.int64), np.array([space.start], np.int64)
        elif isinstance(space, gymnasium.spaces.MultiDiscrete):
            sizes, start = space.nvec.reshape(-1).astype(np.int64), space.start.reshape(-1).astype(np.int64)
        elif isinstance(space, gymnasium.spaces.Box):
            self._unit = 1 / 255 if space.dtype == np.uint8 else 1.0
        elif not isinstance(space, gymnasium.spaces.MultiBinary):
            raise UsageError(f"observations {space}", expected="Discrete, MultiDiscrete, MultiBinary or Box")
        self.scale = np.float32(self._unit)
        self.bounds = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        self.places = self.bounds[:-1] - start
        self.width = int(sizes.sum()) if len(sizes) else int(np.prod(space.shape or (1,)))
        numbers = normalize and not len(self.places)
        self.statistics: dict[str, NDArray[np.float64]] = (
            {"mean": np.zeros(self.width), "variance": np.ones(self.width), "count": np.zeros(())} if numbers else {}
        )

    @property
    def centre_and_deviation(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """What to take off numbers as they are observed, and what to divide by; empty where nothing is normalised."""
        if not self.statistics:
            return np.zeros(0), np.zeros(0)
        return self.statistics["mean"] / self._unit, np.sqrt(self.statistics["variance"] + 1e-8) / self._unit

    def __call__(self, observations: NDArray[Any]) -> NDArray[np.float32]:
        rows = np.asarray(observations).reshape(len(observations), -1)
        if self.statistics:
            centre, deviation = self.centre_and_deviation
            return np.ascontiguousarray(((rows - centre) / deviation).clip(-LIMIT, LIMIT), np.float32)
        if not len(self.places):
            return np.ascontiguousarray(rows.astype(np.float32) * self.scale)
        features = np.zeros((len(rows), self.width), np.float32)
        features[np.arange(len(rows))[:, None], rows.astype(np.int64) + self.places] = 1.0
        return features

    def columns(self, observations: NDArray[Any]) -> NDArray[np.int64]:
        """Returns the columns `[B, n]` of the ones in the one-hot features of `[B, ...]` observations.

        Raises:
            UsageError: a number is outside the space.
        """
        columns = np.asarray(observations).reshape(len(observations), -1).astype(np.int64) + self.places
        wrong = (columns < self.bounds[:-1]) | (columns >= self.bounds[1:])
        if wrong.any():
            row = int(wrong.any(axis=1).argmax())
            raise UsageError(
                f"the observation {np.asarray(observations)[row].tolist()} in row {row}",
                expected=f"numbers within {self.space}",
            )
        return np.ascontiguousarray(columns)

    def update(self, observations: NDArray[Any]) -> None:
        """Adds `[B, ...]` observations to the running mean and variance, where there are such."""
        if not self.statistics:
            return
        rows = observations.reshape(len(observations), -1).astype(np.float64) * self._unit
        mean, variance, count = self.statistics.values()
        found = merged_moments(mean, variance, count, rows.mean(axis=0), rows.var(axis=0), len(rows))
        for name, array in zip(self.statistics, found, strict=True):
            self.statistics[name][...] = array
