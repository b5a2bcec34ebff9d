"""What MuZero remembers: for each copy a ring of steps, with what the search said there; and the targets made of it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from inscape.errors import UsageError
from inscape.world_models.networks.replay import SumTree
from inscape.world_models.networks.types import Array, State

GOING, TERMINATED, LAST = 0, 1, 2
"""What a row is: a step after which the episode went on; one after which it had ended; the last observation of an
episode that was cut off, where nothing was done."""


class Sequences(NamedTuple):
    """N sequences of K + 1 positions, the first ones drawn. What lies beyond the end of an episode has weight 0.

    Attributes:
        places: `[N]` places of the first positions.
        weight: `[N]` importance weights, at most 1.
        observations: `[N, K + 1, ...]`.
        seen: `[N, K + 1]` whether there is an observation.
        actions, rewards: `[N, K]`, of whoever moved. going: `[N, K]` whether the task went on after the step.
        taken: `[N, K]` whether there is a step.
        policy: `[N, K + 1, A]` of the searches. acts: `[N, K + 1]` whether there is a policy and a value.
        values: `[N, K + 1]` n-step returns, of whoever moves there.
    """

    places: Array
    weight: Array
    observations: Array
    seen: Array
    actions: Array
    rewards: Array
    going: Array
    taken: Array
    policy: Array
    acts: Array
    values: Array


class SearchMemory:
    """Rings of steps, one for each copy.

    Args:
        size: steps remembered of each copy. copies: B. like: `[B, ...]` observations, for their type and shape.
        actions: A. gamma: discount. alternating: whether two players move in turn, each for itself.
        priority: exponent of errors; 0 draws uniformly.

    Attributes:
        arrays: by name, `[B·size, ...]`.
        added: `[B]` rows each copy has added.
    """

    def __init__(
        self, size: int, copies: int, like: Array, actions: int, gamma: float, alternating: bool, priority: float
    ) -> None:
        rows = size * copies
        self.size, self.copies, self.actions, self.priority = size, copies, actions, priority
        self._step = -gamma if alternating else gamma
        self.arrays: dict[str, Array] = {
            "observations": np.zeros((rows, *like.shape[1:]), like.dtype), "masks": np.zeros((rows, actions), np.bool_),
            "actions": np.zeros(rows, np.int64), "rewards": np.zeros(rows, np.float64),
            "policy": np.zeros((rows, actions), np.float32), "values": np.zeros(rows, np.float64),
            "kinds": np.zeros(rows, np.int8),
        }  # fmt: skip
        self.added = np.zeros(copies, np.int64)
        self._tree = SumTree(rows)
        self._largest = 1.0

    def __len__(self) -> int:
        return int(np.minimum(self.added, self.size).sum())

    def add(self, copies: Array, kinds: Array, **rows: Array) -> None:
        """Adds a row to each of some copies.

        Args:
            copies: `[N]`, each once. kinds: `[N]`. rows: by name, `[N, ...]`; what a last observation lacks is 0.
        """
        rings = copies * self.size
        here = rings + self.added[copies] % self.size
        for name, table in self.arrays.items():
            table[here] = kinds if name == "kinds" else rows.get(name, 0)
        newest = self.added[copies] > 0
        before = (rings + (self.added[copies] - 1) % self.size)[newest]
        # a step can be learned from once what followed it is there; of the newest that is known only where it ended
        known = before[self.arrays["kinds"][before] == GOING]
        if len(known):
            self._tree.set(known, self._largest)
        self._tree.set(here, np.where(kinds == TERMINATED, self._largest, 0.0))
        self.added[copies] += 1

    def cut_off(self) -> None:
        """Ends the episodes under way: what follows in each copy is another one."""
        copies = np.flatnonzero(self.added > 0)
        newest = copies * self.size + (self.added[copies] - 1) % self.size
        self.arrays["kinds"][newest[self.arrays["kinds"][newest] == GOING]] = LAST

    @property
    def ready(self) -> bool:
        """Whether there is a step to learn from."""
        return self._tree.total > 0

    def stored(self) -> Array:
        """Returns the places of all rows there are."""
        counts = np.minimum(self.added, self.size)
        if (counts == self.size).all():
            return np.arange(self.copies * self.size)
        return np.concatenate([copy * self.size + np.arange(count) for copy, count in enumerate(counts)])

    def some(self, count: int, rng: np.random.Generator) -> Array:
        """Returns `[count]` places of rows, uniform and with replacement."""
        counts = np.minimum(self.added, self.size)
        ends = np.cumsum(counts)
        drawn = rng.integers(0, int(ends[-1]), count)
        copy = np.searchsorted(ends, drawn, side="right")
        return np.asarray(copy * self.size + drawn - (ends - counts)[copy])

    def draw(self, count: int, unroll: int, n_step: int, beta: float, rng: np.random.Generator) -> Sequences:
        """Returns sequences of `unroll` steps, their first positions drawn by priority."""
        strata = (np.arange(count) + rng.random(count)) / count
        places = self._tree.find(np.minimum(strata * self._tree.total, np.nextafter(self._tree.total, 0)))
        share = self._tree.get(places) / self._tree.total
        weight = (share / share.min()) ** -beta
        return self.take(places, weight, unroll, n_step)

    def take(self, places: Array, weight: Array, unroll: int, n_step: int) -> Sequences:
        """Returns the sequences that begin at places `places [N]`; see `Sequences`."""
        a, steps = self.arrays, unroll + n_step
        copy, at = places // self.size, places % self.size
        # rows from the drawn one to the copy's newest
        left = (self.added[copy] - 1 - at) % self.size
        offsets = np.arange(steps + 1)
        window = copy[:, None] * self.size + (at[:, None] + offsets) % self.size
        kinds = a["kinds"][window]
        within = offsets <= left[:, None]
        over = np.cumsum((kinds != GOING) & within, axis=1) > 0
        before = np.concatenate([np.zeros((len(places), 1), np.bool_), over[:, :-1]], axis=1)
        seen = within & ~before  # the row belongs to the same episode
        newest = offsets == left[:, None]
        # a step whose outcome is known: not the newest row, unless the episode ended there, and not a last observation
        taken = seen & (kinds != LAST) & (~newest | (kinds == TERMINATED))
        rewards = np.where(taken, a["rewards"][window], 0.0)
        values = np.where(seen, a["values"][window], 0.0)
        targets = self._returns(rewards, values, seen, taken, taken & (kinds == GOING), n_step)
        first = slice(unroll + 1)
        return Sequences(
            places=places, weight=weight, observations=a["observations"][window[:, first]], seen=seen[:, first],
            actions=a["actions"][window[:, :unroll]], rewards=rewards[:, :unroll],
            going=(kinds == GOING)[:, :unroll], taken=taken[:, :unroll], policy=a["policy"][window[:, first]],
            acts=(seen & (kinds != LAST))[:, first], values=targets,
        )  # fmt: skip

    def _returns(self, rewards: Array, values: Array, seen: Array, taken: Array, goes_on: Array, n_step: int) -> Array:
        """Returns `[N, K + 1]` n-step returns: rewards as long as steps are known, then the search's value.

        With two players, who move in turn, what the other one gains counts against whoever moves.
        """
        columns = np.arange(rewards.shape[1] - n_step)
        total, factor = np.zeros((len(rewards), len(columns))), 1.0
        alive = seen[:, columns]
        for j in range(n_step):
            at = columns + j
            stops = alive & ~taken[:, at]
            total += factor * np.where(stops, values[:, at], np.where(alive, rewards[:, at], 0.0))
            alive = alive & goes_on[:, at]
            factor *= self._step
        return np.asarray(total + factor * np.where(alive, values[:, columns + n_step], 0.0))

    def update_priorities(self, places: Array, errors: Array) -> None:
        """Sets the priorities of steps drawn earlier to |error|^priority."""
        priority = (np.abs(errors) + 1e-3) ** self.priority if self.priority else np.ones(len(places))
        self._largest = max(self._largest, float(priority.max()))
        self._tree.set(places, priority)

    # ------------------------------------------------------------------------------------------- saving

    def state_dict(self) -> State:
        places = self.stored()
        return {
            "added": self.added.copy(), "largest": self._largest, "priorities": self._tree.get(places).copy(),
            **{name: table[places].copy() for name, table in self.arrays.items()},
        }  # fmt: skip

    def load_state_dict(self, state: State) -> None:
        """Goes on from `state_dict()`.

        Raises:
            UsageError: it is of another number of copies, another size or another world.
        """
        added = np.asarray(state["added"], np.int64)
        if added.shape != self.added.shape:
            raise UsageError(f"a stored memory of {len(added)} copies", expected=f"{self.copies}: num_envs as it was")
        self.added[:] = added
        places = self.stored()
        for name, table in self.arrays.items():
            rows = np.asarray(state[name])
            if rows.shape != (len(places), *table.shape[1:]):
                raise UsageError(
                    f"a stored memory with {name} of shape {list(rows.shape)}",
                    expected=f"{[len(places), *table.shape[1:]]}: the same world and buffer_size",
                )
            table[places] = rows
        self._largest = float(state["largest"])
        self._tree = SumTree(self.size * self.copies)
        if len(places):
            self._tree.set(places, np.asarray(state["priorities"], np.float64))
