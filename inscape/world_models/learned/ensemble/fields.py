"""What an observation is made of, field by field: numbers, and variables of a few classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces

from inscape.errors import UsageError

MOST_CLASSES = 256
MOST_FIELDS = 256


@dataclass(frozen=True, eq=False)
class Fields:
    """Columns of flat observations `[N, D]`, and how actions are put beside them as inputs.

    Attributes:
        shape: of one observation.
        dtype: of one observation.
        numbers: `[C]` columns that are numbers.
        low, high: `[C]` bounds of the numbers; infinite where there are none.
        columns: `[J]` columns that hold a class.
        classes: `[J]` how many classes each has.
        lows: `[J]` the first of them.
        num_actions: A where actions are discrete, else 0.
        action_width: numbers that an action is as an input.
        names: of the fields, the numbers' first.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    numbers: np.ndarray
    low: np.ndarray
    high: np.ndarray
    columns: np.ndarray
    classes: np.ndarray
    lows: np.ndarray
    num_actions: int
    action_width: int

    @classmethod
    def of_spaces(cls, observation_space: spaces.Space[Any], action_space: spaces.Space[Any]) -> Fields:
        """Returns the fields of a task.

        Raises:
            UsageError: observations of several parts, texts or pictures; actions that are neither Discrete, counted
                from 0, nor a Box of floats with one axis.
        """
        actions, width = _action_width(action_space)
        space, none = observation_space, np.zeros(0, np.int64)
        if isinstance(space, spaces.Discrete):
            return cls(
                (), np.dtype(np.int64), none, np.zeros(0), np.zeros(0), np.zeros(1, np.int64),
                np.array([space.n], np.int64), np.array([space.start], np.int64), actions, width,
            ).checked(space)  # fmt: skip
        if isinstance(space, spaces.MultiDiscrete):
            classes, lows = np.ravel(space.nvec).astype(np.int64), np.ravel(space.start).astype(np.int64)
            return cls(
                tuple(space.shape), np.dtype(space.dtype), none, np.zeros(0), np.zeros(0), np.arange(len(classes)),
                classes, lows, actions, width,
            ).checked(space)  # fmt: skip
        if isinstance(space, spaces.MultiBinary):
            count = int(np.prod(space.shape))
            return cls(
                tuple(space.shape), np.dtype(np.int8), none, np.zeros(0), np.zeros(0), np.arange(count),
                np.full(count, 2), np.zeros(count, np.int64), actions, width,
            ).checked(space)  # fmt: skip
        if isinstance(space, spaces.Box):
            count = int(np.prod(space.shape))
            low, high = np.ravel(space.low).astype(np.float64), np.ravel(space.high).astype(np.float64)
            if np.issubdtype(space.dtype, np.integer) and (high - low).max(initial=0.0) < MOST_CLASSES:
                return cls(
                    tuple(space.shape), np.dtype(space.dtype), none, np.zeros(0), np.zeros(0), np.arange(count),
                    (high - low).astype(np.int64) + 1, low.astype(np.int64), actions, width,
                ).checked(space)  # fmt: skip
            return cls(
                tuple(space.shape), np.dtype(space.dtype), np.arange(count), low, high, none, none, none, actions,
                width,
            ).checked(space)  # fmt: skip
        raise UsageError(
            f"observations {space} for an ensemble",
            expected="Discrete, MultiDiscrete, MultiBinary or Box",
            hint="one flat Box: gymnasium.wrappers.FlattenObservation (--wrap)",
        )

    def checked(self, space: spaces.Space[Any]) -> Fields:
        """Returns itself.

        Raises:
            UsageError: more fields or classes than a network of this kind is for.
        """
        count = len(self.numbers) + len(self.columns)
        if count > MOST_FIELDS or self.classes.sum() > 4 * MOST_CLASSES:
            raise UsageError(
                f"observations {space}: {count} fields, {int(self.classes.sum())} classes",
                expected=f"at most {MOST_FIELDS} fields and {4 * MOST_CLASSES} classes in all",
                hint="pictures are for the model `latent`",
            )
        return self

    @property
    def width(self) -> int:
        """Inputs that an observation is: its numbers, and a one-hot block for each class."""
        return len(self.numbers) + int(self.classes.sum())

    def flat(self, observations: np.ndarray) -> np.ndarray:
        """Returns `[N, D]` float64 of `[N, ...]` observations.

        Raises:
            UsageError: they are of another shape, or a class is not of the space.
        """
        array = np.asarray(observations)
        if array.shape[1:] != self.shape:
            raise UsageError(
                f"observations of shape {array.shape[1:]}", expected=f"{self.shape}, as the model was made for"
            )
        rows = array.reshape(len(array), -1).astype(np.float64)
        at = rows[:, self.columns] - self.lows
        wrong = ~((at >= 0) & (at < self.classes) & (at % 1 == 0))
        if wrong.any():
            row, j = map(int, np.argwhere(wrong)[0])
            raise UsageError(
                f"field {self.columns[j]} of observation {row} is {rows[row, self.columns[j]]:g}",
                expected=f"a whole number from {self.lows[j]} to {self.lows[j] + self.classes[j] - 1}",
            )
        return rows

    def inputs(self, flat: np.ndarray) -> np.ndarray:
        """Returns `[N, width]` float64 inputs of `[N, D]` flat observations."""
        parts = [flat[:, self.numbers]]
        parts += [np.eye(int(n))[k] for n, k in zip(self.classes, self.classes_of(flat).T, strict=True)]
        return np.concatenate(parts, axis=1) if len(parts) > 1 else parts[0]

    def classes_of(self, flat: np.ndarray) -> np.ndarray:
        """Returns `[N, J]` int64 classes, counted from 0."""
        return np.asarray(flat[:, self.columns] - self.lows, np.int64).reshape(len(flat), len(self.columns))

    def actions(self, actions: np.ndarray) -> np.ndarray:
        """Returns `[N, action_width]` float64.

        Raises:
            UsageError: actions that the space does not have.
        """
        given = np.asarray(actions)
        if self.num_actions:
            if given.ndim != 1 or given.dtype.kind not in "iu" or ((given < 0) | (given >= self.num_actions)).any():
                raise UsageError(
                    f"actions {given.dtype} of shape {given.shape}",
                    expected=f"[N] integers from 0 to {self.num_actions - 1}",
                )
            return np.eye(self.num_actions)[given] if self.num_actions > 1 else np.zeros((len(given), 0))
        if given.shape[1:] != (self.action_width,):
            raise UsageError(f"actions of shape {given.shape}", expected=f"[N, {self.action_width}]")
        return given.astype(np.float64)

    def observations(self, flat: np.ndarray) -> np.ndarray:
        """Returns `[N, ...]` observations of flat ones."""
        return flat.reshape(len(flat), *self.shape).astype(self.dtype)


def _action_width(space: spaces.Space[Any]) -> tuple[int, int]:
    if isinstance(space, spaces.Discrete) and space.start == 0:
        return int(space.n), int(space.n) if space.n > 1 else 0
    if isinstance(space, spaces.Box) and len(space.shape) == 1 and np.issubdtype(space.dtype, np.floating):
        return 0, int(space.shape[0])
    raise UsageError(
        f"actions {space} for an ensemble", expected="Discrete, counted from 0, or a Box of floats with one axis"
    )
