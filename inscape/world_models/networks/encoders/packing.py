"""Observations of several parts (Dict, Tuple, nested; text) as rows of bytes: one array for any space. NumPy only.

packing = packing_of(task.observation_space)      # None where observations are one array already
rows = packing({"camera": pictures, "speed": speeds})   # [B, packing.size] uint8
packing.unpacked(rows)                            # one array [B, ...] for each of packing.parts

Rollouts, replay memories and checkpoints hold such rows; the networks read the parts from them. No number changes on
the way: what is packed are the bytes of every part in its own dtype, so a picture of uint8 takes a byte for each value.
Action masks that lie among the observations (`contract.MASK_KEYS`) are left out: they are obeyed, not observed.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import gymnasium
import numpy as np

from inscape.envs.tasks.checking.contract import MASK_KEYS
from inscape.errors import UsageError
from inscape.world_models.networks.types import Array

ARRAYS = (
    gymnasium.spaces.Box,
    gymnasium.spaces.Discrete,
    gymnasium.spaces.MultiDiscrete,
    gymnasium.spaces.MultiBinary,
)
"""Spaces whose elements are one array of numbers."""
TOKENS = 512
"""Columns that the words of a text are hashed into, and pairs of neighbouring words."""


@dataclass(frozen=True)
class Part:
    """One array among those of an observation.

    Attributes:
        name: where it is in the observation, for messages: `'camera'`, `'goal'[1]`; empty where it is all there is.
        path: keys and indices that lead to it.
        space: of it; of text, `MultiBinary(TOKENS)`.
        text: whether it is a text, of which `tokens` are packed.
        first, size: where its bytes lie in a row, and how many there are.
        given: the space as the environment has it.
        columns: where it lies in what `gymnasium.spaces.flatten` makes of an observation.
    """

    name: str
    path: tuple[Any, ...]
    space: gymnasium.Space[Any]
    text: bool
    first: int
    size: int
    given: gymnasium.Space[Any]
    columns: slice

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of its numbers."""
        return np.dtype(self.space.dtype)

    def of(self, batch: Any) -> Any:
        """Returns this part of a batch of observations.

        Raises:
            UsageError: it is not there.
        """
        for key in self.path:
            try:
                batch = batch[key]
            except (KeyError, IndexError, TypeError) as error:
                raise UsageError(
                    f"observations without {self.name}", expected="every part of the observation space"
                ) from error
        return batch


class ObservationPacking:
    """Packs `[B]` observations of a space into `[B, size]` uint8, and takes them apart again.

    Args:
        space: the space of one observation.

    Attributes:
        parts: the arrays it consists of, in order.
        size: bytes of a row.
        space: of a row, for whoever stores them.

    Raises:
        UsageError: a part has no fixed size (Sequence, Graph, …), or there is nothing but an action mask.
    """

    def __init__(self, space: gymnasium.Space[Any]) -> None:
        self.observed = space
        self.parts: list[Part] = []
        self.size = 0
        self._flattens, column = flattens(space), 0
        for path, part in _leaves(space, ()):
            columns = slice(column, column + (gymnasium.spaces.flatdim(part) if self._flattens else 0))
            column = columns.stop
            if len(path) and path[0] in MASK_KEYS and isinstance(space, gymnasium.spaces.Dict):
                continue
            text = is_text(part)
            own = gymnasium.spaces.MultiBinary(TOKENS) if text else part
            size = int(np.prod(own.shape or ())) * np.dtype(own.dtype).itemsize
            if size:
                self.parts.append(Part(_name(path), path, own, text, self.size, size, part, columns))
                self.size += size
        if not self.parts:
            raise UsageError(
                f"observations {space} hold nothing to observe",
                expected="a part beside the action mask",
                hint="gymnasium.wrappers.FlattenObservation, or FilterObservation with other keys",
            )
        self.space = gymnasium.spaces.Box(0, 255, (self.size,), np.uint8)

    def __call__(self, batch: Any) -> Array:
        """Returns `[B, size]` uint8 of a batch: of dictionaries, tuples or texts, as environments give them; packed
        already; or `[B, D]` as `gymnasium.spaces.flatten` has them, as in recorded episodes.

        Raises:
            UsageError: a part is missing, or has another shape.
        """
        if isinstance(batch, np.ndarray) and batch.dtype != object:
            return self._of_array(batch)
        if isinstance(batch, np.ndarray):  # of objects: texts, or whole observations
            batch = batch if is_text(self.observed) else _joined(list(batch), self.observed)
        return self._rows([part.of(batch) for part in self.parts])

    def _rows(self, parts: list[Any]) -> Array:
        columns = []
        for part, values in zip(self.parts, parts, strict=True):
            if part.text:
                rows = np.frombuffer(b"".join(tokens(str(text)) for text in values), np.uint8).reshape(-1, part.size)
            else:
                array = np.ascontiguousarray(values, part.dtype)
                if array.shape[1:] != (part.space.shape or ()) or array.ndim == 0:
                    raise UsageError(
                        f"observations with {part.name} of shape {array.shape}",
                        expected=f"(B, {', '.join(map(str, part.space.shape or ()))}), one row for each observation",
                    )
                rows = array.reshape(len(array), -1).view(np.uint8)
            columns.append(rows)
        return np.concatenate(columns, axis=1)

    def _of_array(self, batch: Array) -> Array:
        if batch.dtype == np.uint8 and batch.ndim == 2 and batch.shape[1] == self.size:
            return batch
        space = self.observed
        if batch.ndim == 2 and self._flattens and batch.shape[1] == gymnasium.spaces.flatdim(space):
            return self._rows([_from_flat(batch[:, part.columns], part.given) for part in self.parts])
        raise UsageError(
            f"observations of shape {batch.shape}, {batch.dtype}", expected=f"a batch of observations of {space}"
        )

    def unpacked(self, rows: Array) -> list[Array]:
        """Returns `[B, ...]` of each part, in the dtype and shape of its space, from `[B, size]` rows."""
        return [
            rows[:, part.first : part.first + part.size]
            .copy()  # numbers must lie where their dtype can be read
            .view(part.dtype)
            .reshape(len(rows), *(part.space.shape or ()))
            for part in self.parts
        ]


def packing_of(space: gymnasium.Space[Any]) -> ObservationPacking | None:
    """Returns how observations of several parts, or of text, are packed; None where they are one array already.

    Raises:
        UsageError: as `ObservationPacking`.
    """
    return None if isinstance(space, ARRAYS) else ObservationPacking(space)


def stored_space(space: gymnasium.Space[Any]) -> gymnasium.Space[Any]:
    """Returns the space of observations as memories hold them: packed, where they are of several parts."""
    packing = packing_of(space)
    return space if packing is None else packing.space


def is_text(space: gymnasium.Space[Any]) -> bool:
    """Returns whether the elements of a space are strings: `Text`, and spaces of packages like MiniGrid's missions."""
    kind = getattr(space, "dtype", None)
    return isinstance(space, gymnasium.spaces.Text) or (isinstance(kind, np.dtype) and kind.kind == "U")


def flattens(space: gymnasium.Space[Any]) -> bool:
    """Returns whether `gymnasium.spaces.flatten` takes elements of a space: not of one that a package has made."""
    if isinstance(space, gymnasium.spaces.Dict):
        return all(flattens(part) for part in space.spaces.values())
    if isinstance(space, gymnasium.spaces.Tuple):
        return all(flattens(part) for part in space.spaces)
    try:
        return bool(space.is_np_flattenable)
    except NotImplementedError:
        return False


@lru_cache(1 << 12)
def tokens(text: str) -> bytes:
    """Returns `TOKENS` bytes of 0 and 1: which hashed words, and pairs of neighbouring ones, are in a text.

    Source: Weinberger et al. (2009), "Feature hashing for large scale multitask learning", ICML, without signs.
    """
    words = re.findall(r"\w+|[^\w\s]", text)
    present = bytearray(TOKENS)
    for token in (*words, *(f"{one} {other}" for one, other in pairwise(words))):
        present[zlib.crc32(token.encode()) % TOKENS] = 1
    return bytes(present)


def _leaves(space: gymnasium.Space[Any], path: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], Any]]:
    if isinstance(space, gymnasium.spaces.Dict):
        for key, part in space.spaces.items():
            yield from _leaves(part, (*path, key))
    elif isinstance(space, gymnasium.spaces.Tuple):
        for number, part in enumerate(space.spaces):
            yield from _leaves(part, (*path, number))
    elif isinstance(space, ARRAYS) or is_text(space):
        yield path, space
    else:
        where = f"{_name(path)}: {space}" if path else str(space)
        raise UsageError(
            f"observations {where}",
            expected="Box, Discrete, MultiDiscrete, MultiBinary or Text, or a Dict or Tuple of them",
            hint="a wrapper that turns it into one of these: --wrap file.py:MyWrapper",
        )


def _name(path: tuple[Any, ...]) -> str:
    return "".join(
        f"[{key!r}]" if isinstance(key, int) else f"{'.' if at else ''}{key!r}" for at, key in enumerate(path)
    )


def _joined(rows: list[Any], space: gymnasium.Space[Any]) -> Any:
    from inscape.envs.tasks.checking.batches import batch_of

    return batch_of(space, rows)


def _from_flat(columns: Array, space: Any) -> Any:
    """Returns `[B, ...]` elements of a space from what `gymnasium.spaces.flatten` makes of each, `[B, n]`."""
    if isinstance(space, gymnasium.spaces.Discrete):
        return columns.argmax(axis=1) + space.start
    if isinstance(space, gymnasium.spaces.MultiDiscrete):
        places = np.cumsum(space.nvec.reshape(-1))[:-1]
        numbers = [one_hot.argmax(axis=1) for one_hot in np.split(columns, places, axis=1)]
        return np.stack(numbers, axis=1).reshape(-1, *space.shape) + space.start
    if isinstance(space, gymnasium.spaces.Text):
        return [gymnasium.spaces.unflatten(space, row.astype(np.int32)) for row in columns]
    return columns.astype(space.dtype).reshape(-1, *space.shape)
