"""Packed copies of a world: their states, and the three rows of integers that say how each copy goes on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from inscape.envs.compile import choice
from inscape.envs.law import streams
from inscape.envs.law.states import States
from inscape.errors import UsageError

if TYPE_CHECKING:
    from inscape.envs.readers.batched import BatchedLaw

STEPPING = "inscape.envs.kernels.stepping"
KEY, CLOCK, ELAPSED = -3, -2, -1
"""Rows of `ints`, counted from its end; kernels have them under the same names, counted from its beginning."""
ROWS = 3
OVER = -1
"""What ELAPSED is of a copy whose episode is over, or has not begun. (Tabular learners keep minus the length there.)"""


class PackedCopies:
    """B copies of a world as kernels take them, batch axis last.

    Args:
        floats, ints: see the attributes.
        world: the law.
        keyed: whether the copies have been given streams of random numbers.

    Attributes:
        floats: `[NF, B]` float64, one row per float of the state.
        ints: `[NI + 3, B]` int64, one row per integer of the state, then the rows `key`, `clock` and `elapsed`.
            Both may be torch tensors on a GPU.
        keyed: whether the copies have streams of random numbers.
    """

    def __init__(self, world: BatchedLaw, floats: Any, ints: Any, keyed: bool = False) -> None:
        self.world, self.floats, self.ints, self.keyed = world, floats, ints, keyed

    @classmethod
    def empty(cls, world: BatchedLaw, count: int) -> PackedCopies:
        """Returns `count` copies without streams, whose episodes have not begun."""
        layout = world.layouts()[0]
        copies = cls(world, np.zeros((layout.num_floats, count)), np.zeros((layout.num_ints + ROWS, count), np.int64))
        copies.elapsed[:] = OVER
        return copies

    @classmethod
    def begin(
        cls,
        world: BatchedLaw,
        count: int,
        seed: int | Sequence[int | None] | None,
        first: int = 0,
        *,
        arithmetic: Literal["exact", "fast"] = "exact",
    ) -> PackedCopies:
        """Returns `count` copies in their first states: those of a vector environment reset with this seed.

        Compiles the law's initial distribution and nothing else of it; not even that for few copies.

        Args:
            world: the law.
            count: B.
            seed: see `reseed`; None draws a seed.
            first: see `reseed`.
            arithmetic: that of the vector environment.

        Raises:
            UsageError: the number of seeds is not that of copies.
        """
        copies = cls.empty(world, count)
        copies.reseed(seed, first)
        arguments = world.packed, copies.floats, copies.ints
        if arithmetic == "exact":
            choice.call(world, STEPPING, "begin", count, *arguments, changed=(copies.floats, copies.ints))
        else:
            world.kernel(STEPPING, arithmetic=arithmetic).begin(*arguments)
        return copies

    def __len__(self) -> int:
        return int(self.ints.shape[1])

    @property
    def states(self) -> States:
        """The current states, packed, `[., B]`: the memory of the copies, not a copy of it."""
        return States(self.floats, self.ints[:KEY])

    def set_states(self, states: States, rows: Any = slice(None)) -> None:
        """Writes the states of the copies `rows` (a slice, a mask or numbers); all by default."""
        self.floats[:, rows], self.ints[:KEY, rows] = states.floats, states.ints

    @property
    def key(self) -> Any:
        """`[B]` stream of random numbers of each copy (memory of the copies)."""
        return self.ints[KEY]

    @property
    def clock(self) -> Any:
        """`[B]` steps and resets each copy has taken: which of its random numbers come next (memory of the copies)."""
        return self.ints[CLOCK]

    @property
    def elapsed(self) -> Any:
        """`[B]` steps of the episode under way, below 0 where it is over (memory of the copies)."""
        return self.ints[ELAPSED]

    def reseed(self, seed: int | Sequence[int | None] | None, first: int = 0) -> None:
        """Gives the copies streams of random numbers, read from their beginning.

        Args:
            seed: s gives copy i the stream (s, first + i); a list gives copy i the stream (seed[i], 0), where None
                leaves it the stream it has. None draws a seed for copies that have no streams yet, and does nothing
                to others.
            first: number of the first copy, where several processes share out the copies of one run.

        Raises:
            UsageError: the number of seeds is not that of copies.
        """
        given = self.streams(seed, first)
        if given is not None:
            rows, keys = given
            self.key[rows], self.clock[rows] = keys, 0
        self.keyed = True

    def streams(self, seed: int | Sequence[int | None] | None, first: int = 0) -> tuple[Any, np.ndarray] | None:
        """Returns which copies `reseed` gives which streams, `(rows, keys)`, or None where it gives none."""
        if isinstance(seed, (Sequence, np.ndarray)):
            if len(seed) != len(self):
                raise UsageError(f"{len(seed)} seeds for {len(self)} copies", expected="one seed per copy")
            given = [(i, streams.stream_key(int(own))) for i, own in enumerate(seed) if own is not None]
            return [i for i, _ in given], np.array([key for _, key in given], np.int64)
        if seed is None and self.keyed:
            return None
        drawn = int(np.random.default_rng().integers(2**63)) if seed is None else int(seed)
        return slice(None), streams.stream_keys(drawn, first + len(self))[first:]

    def state_dict(self) -> dict[str, Any]:
        """Returns everything the copies' future depends on, but the actions: `floats`, `ints` and `keyed`, copied."""
        return {"floats": self.floats.copy(), "ints": self.ints.copy(), "keyed": self.keyed}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from `state_dict()`, in the memory there is: kernels that were given it see the change.

        Raises:
            UsageError: the state is of another number of copies or of another world, or no state of it.
        """
        floats, ints = np.asarray(state["floats"]), np.asarray(state["ints"])
        if floats.shape != self.floats.shape or ints.shape != self.ints.shape:
            raise UsageError(
                f"an environment state of shapes {floats.shape}, {ints.shape}",
                expected=f"{self.floats.shape}, {self.ints.shape} ({len(self)} copies of {self.world.name})",
            )
        self.world.require_states(States(floats, ints[:KEY]), "stored copies")
        if (ints[CLOCK] < 0).any():
            raise UsageError("stored copies with a negative clock", expected="steps lived, at least 0")
        self.floats[:], self.ints[:], self.keyed = floats, ints, bool(state["keyed"])
