"""Replay memory: what off-policy agents have seen, drawn again uniformly or by priority. NumPy only.

memory = ReplayMemory(100_000, 8, task.observation_space, task.action_space, n_step=3, gamma=0.99)
memory.add(observation, action, copies.step(action), copies.action_mask)
batch = memory.sample(64)
target = batch.reward + batch.discount * value(batch.next_observation)

An observation is stored once, as what was acted on; what an action led to is the observation of the next row. Only the
last observations of episodes, which no action follows, lie apart. Of stacked frames only the newest is stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np

from inscape.errors import UsageError
from inscape.rng import restore_rng, rng_state
from inscape.world_models.networks.types import Array, State

if TYPE_CHECKING:
    from inscape.envs.data.transition import Transition

SMALLEST_PRIORITY = 1e-6
"""Added to every error, so that each may be drawn again."""


@dataclass(frozen=True)
class ReplayBatch:
    """N transitions over m ≤ n steps: m is smaller where the episode ended earlier.

    Attributes:
        observation: `[N, ...]`.
        action: `[N, ...]` as the environment took it.
        reward: `[N]` float32, Σ_{k<m} γ^k r_{t+k}.
        next_observation: `[N, ...]` what was observed after m steps, before any reset.
        discount: `[N]` float32, γ^m, and 0 where the episode terminated.
        next_mask: `[N, A]` bool, what was legal there; None where everything is.
        weight: `[N]` float32 importance weights, at most 1; all 1 when drawn uniformly.
        index: `[N]` int64, where they lie, for `update_priorities`.
    """

    observation: Array
    action: Array
    reward: Array
    next_observation: Array
    discount: Array
    next_mask: Array | None
    weight: Array
    index: Array


class SumTree:
    """Priorities in a binary tree whose inner nodes are sums, so that drawing by priority takes log₂ N steps.

    Every call works level by level on whole arrays.

    Args:
        size: how many priorities, all 0 at first.

    Source: Schaul, Quan, Antonoglou & Silver (2016), "Prioritized Experience Replay", arXiv:1511.05952, appendix B.2.1.
    """

    def __init__(self, size: int) -> None:
        self.depth = max(1, int(size - 1).bit_length())
        self.leaves = 1 << self.depth
        self.nodes = np.zeros(2 * self.leaves)

    @property
    def total(self) -> float:
        """Sum of all priorities."""
        return float(self.nodes[1])

    def get(self, index: Array) -> Array:
        """Returns `[N]` priorities."""
        return np.asarray(self.nodes[self.leaves + index])

    def set(self, index: Array, priority: Array | float) -> None:
        """Sets `[N]` priorities; of an index given twice the last one counts."""
        nodes = self.nodes
        at = index + self.leaves
        nodes[at] = priority
        for _ in range(self.depth):
            at = np.unique(at >> 1) if len(at) > 1 else at >> 1
            nodes[at] = nodes[2 * at] + nodes[2 * at + 1]

    def find(self, mass: Array) -> Array:
        """Returns `[N]` the index at which the running sum of priorities first exceeds each `mass` in [0, total)."""
        nodes, mass = self.nodes, mass.copy()
        at = np.ones(len(mass), np.int64)
        for _ in range(self.depth):
            at *= 2
            left = nodes[at]
            # never into an empty half, where rounding of the sums would lead there
            right = (mass >= left) & (nodes[at + 1] > 0)
            mass -= np.where(right, left, 0.0)
            at += right
        return at - self.leaves


class ReplayMemory:
    """The last transitions of `copies` environment copies.

    A transition may be drawn once the n steps it sums over have been taken.

    Args:
        capacity: transitions kept, of all copies together (rounded down to whole rows of copies).
        copies: B, environment copies that `add` is given each time.
        observation_space: of one copy.
        action_space: of one copy.
        n_step: n, rewards summed before the value of what follows.
        gamma: γ, discount per step.
        priority: α, how much errors count for the probability of being drawn (0 not at all); None draws uniformly.
        seed: of the drawing.
        stack: k where observations are `[k, ...]`, the last k frames, oldest first, with the first frame of an episode
            repeated before it; then only the newest is stored. 1 stores observations as they are.

    Raises:
        UsageError: a setting out of range, or too little capacity for n steps (and k frames).
    """

    def __init__(
        self,
        capacity: int,
        copies: int,
        observation_space: gymnasium.Space[Any],
        action_space: gymnasium.Space[Any],
        *,
        n_step: int = 1,
        gamma: float = 0.99,
        priority: float | None = None,
        seed: int = 0,
        stack: int = 1,
    ) -> None:
        _require_settings(copies, n_step, gamma, priority, stack)
        self.rows = capacity // copies
        if self.rows < n_step + stack:
            raise UsageError(
                f"a replay memory of {capacity} transitions for {copies} copies, {n_step} steps and {stack} frames",
                expected=f"room for at least {copies * (n_step + stack)}",
                hint="a larger buffer_size, or fewer num_envs",
            )
        self.copies, self.n_step, self.gamma, self.stack = copies, n_step, gamma, stack
        frame = observation_space.shape or ()
        if stack > 1 and (len(frame) < 2 or frame[0] != stack):
            raise UsageError(f"observations of shape {frame}", expected=f"({stack}, …), a stack of {stack} frames")
        self._frame = frame[1:] if stack > 1 else frame
        self._dtype = np.dtype(observation_space.dtype or np.float32)
        shape = (self.rows, copies)
        self._observation = np.zeros((*shape, *self._frame), self._dtype)
        self._action = np.zeros((*shape, *(action_space.shape or ())), action_space.dtype or np.int64)
        self._reward = np.zeros(shape, np.float32)
        self._terminated, self._ended = np.zeros(shape, np.bool_), np.zeros(shape, np.bool_)
        self._next_mask: Array | None = None
        self._mask_known = np.ones(shape, np.bool_)
        # last observations of episodes, by number; freed with the row they belong to
        self._last_at = np.full(shape, -1, np.int64)
        self._last = np.zeros((64, *self._frame), self._dtype)
        self._free = np.arange(64)[::-1].copy()
        self._head: Array | None = None  # what followed the newest row
        self._following: Array | None = None  # the array it came in
        self.added = 0
        """Rows added so far."""
        self._tree = None if priority is None else SumTree(self.rows * copies)
        self._alpha, self._largest = priority, 1.0
        self._rng = np.random.default_rng(seed)

    def __len__(self) -> int:
        """Transitions that may be drawn."""
        first, last = self._drawable()
        return max(0, last - first) * self.copies

    def _drawable(self) -> tuple[int, int]:
        """Returns the first row added that may be drawn, and the one after the last; counted since the beginning."""
        oldest = max(0, self.added - self.rows)
        # of rows overwritten the frames are gone that would complete the stacks of the k − 1 after them
        return oldest + (self.stack - 1 if oldest else 0), self.added - self.n_step + 1

    # ------------------------------------------------------------------------------------------- adding

    def add(
        self,
        observation: Array,
        action: Array,
        transition: Transition,
        action_mask: Array | None = None,
        last_mask: Array | None = None,
    ) -> None:
        """Adds one step of every copy.

        Args:
            observation: `[B, ...]` what was acted on. Where it is not what followed the step before (a run that was
                resumed in new episodes), that step counts as the last of its episode, cut.
            action: `[B, ...]`.
            transition: what the step led to.
            action_mask: `[B, A]` bool, what is legal next (of ended copies, in their new episode).
            last_mask: `[E, A]` bool, what was legal in the last observations of ended copies. Without it nothing is
                known of them: where the episode was cut by a time limit, such transitions get weight 0.

        Raises:
            UsageError: observations or actions of another shape.
        """
        self._require_shapes(observation, action)
        row = self.added % self.rows
        newest, following = observation, transition.observation
        if self.stack > 1:
            newest, following = observation[:, -1], following[:, -1]
        if self._following is not observation:  # the very array: nothing lies between
            self._close_where_broken(newest)
        self._following = transition.observation
        if self.added >= self.rows:
            self._forget(row)
        self._observation[row] = newest
        self._action[row] = action
        self._reward[row] = transition.reward
        self._terminated[row] = transition.terminated
        ended = transition.ended
        self._ended[row] = False
        self._mask_known[row] = True
        if len(ended):
            last = transition.last_observation
            self._keep_last(row, ended, last[:, -1] if self.stack > 1 else last)
        if action_mask is not None:
            self._add_masks(row, ended, action_mask, last_mask)
        self._head = np.array(following, self._dtype)
        self.added += 1
        if self._tree is not None:
            self._give_priorities(self._tree)

    def _add_masks(self, row: int, ended: Array, action_mask: Array, last_mask: Array | None) -> None:
        if self._next_mask is None:
            self._next_mask = np.ones((self.rows, self.copies, action_mask.shape[-1]), np.bool_)
        self._next_mask[row] = action_mask
        if len(ended):
            self._next_mask[row, ended] = True if last_mask is None else last_mask
            self._mask_known[row, ended] = last_mask is not None

    def _close_where_broken(self, observation: Array) -> None:
        """Ends the episodes of copies that do not go on from what followed their newest step."""
        if self._head is None or not self.added:
            return
        row = (self.added - 1) % self.rows
        broken = (observation != self._head).reshape(self.copies, -1).any(axis=1) & ~self._ended[row]
        if broken.any():
            ended = np.flatnonzero(broken)
            self._keep_last(row, ended, self._head[ended])

    def _keep_last(self, row: int, ended: Array, last: Array) -> None:
        if len(ended) > len(self._free):
            size = len(self._last)
            grown = max(2 * size, size + len(ended))
            self._last = np.concatenate([self._last, np.zeros((grown - size, *self._frame), self._dtype)])
            self._free = np.concatenate([np.arange(size, grown)[::-1], self._free])
        places, self._free = self._free[len(self._free) - len(ended) :], self._free[: len(self._free) - len(ended)]
        self._last[places] = last
        self._ended[row, ended] = True
        self._last_at[row, ended] = places

    def _forget(self, row: int) -> None:
        """Frees what belonged to a row about to be overwritten."""
        places = self._last_at[row]
        used = places >= 0
        if used.any():
            self._free = np.concatenate([self._free, places[used]])
            places[used] = -1

    def _give_priorities(self, tree: SumTree) -> None:
        """Lets the row just completed be drawn, with the largest priority so far, and no row that is gone."""
        first, last = self._drawable()
        copies = np.arange(self.copies)
        if self.added > self.rows:  # the row overwritten, and those whose stacks are incomplete now
            gone = np.arange(self.added - self.rows - 1, first) % self.rows
            tree.set((gone[:, None] * self.copies + copies).reshape(-1), 0.0)
        if last > first:
            tree.set((last - 1) % self.rows * self.copies + copies, self._largest)

    def _require_shapes(self, observation: Array, action: Array) -> None:
        expected = (self.copies, *((self.stack,) if self.stack > 1 else ()), *self._frame)
        if observation.shape != expected or len(action) != self.copies:
            raise UsageError(
                f"observations of shape {observation.shape} and {len(action)} actions for the replay memory",
                expected=f"{expected}, one row for each of {self.copies} copies",
            )

    # ------------------------------------------------------------------------------------------- drawing

    def sample(self, size: int, beta: float = 1.0) -> ReplayBatch:
        """Returns `size` transitions, drawn with replacement: uniformly, or transition i with probability p_i / Σ p.

        Priorities are p_i = (|error| + 1e-6)^α; draws are stratified, one from each `size`-th part of the sum. Weights
        are (N·P(i))^−β, divided by the largest of the batch.

        Args:
            size: how many.
            beta: β, from 0 (no correction) to 1 (unbiased); without priorities it plays no part.

        Raises:
            UsageError: nothing may be drawn yet.

        Source: Schaul et al. (2016), equation 1 and section 3.4.
        """
        if not len(self):
            raise UsageError(
                f"a sample of {size} from a replay memory of {self.added} steps of {self.copies} copies",
                expected=f"at least {self.n_step} steps",
                hint="a larger learning_starts",
            )
        return self.take(self.draw(size)) if self._tree is None else self.take(*self.draw_by_priority(size, beta))

    def draw(self, size: int) -> Array:
        """Returns `[size]` int64 places of transitions, uniform and with replacement."""
        first, last = self._drawable()
        drawn = self._rng.integers(0, (last - first) * self.copies, size)
        return np.asarray((drawn + first * self.copies) % (self.rows * self.copies))

    def draw_by_priority(self, size: int, beta: float) -> tuple[Array, Array]:
        """Returns `[size]` places and weights, as `sample` draws and weighs them where there are priorities."""
        assert self._tree is not None
        mass = (np.arange(size) + self._rng.random(size)) * (self._tree.total / size)
        index = self._tree.find(mass)
        probability = self._tree.get(index) / self._tree.total
        weight = (len(self) * probability) ** -beta
        return index, (weight / weight.max()).astype(np.float32)

    def update_priorities(self, index: Array, errors: Array) -> None:
        """Sets the priorities of transitions drawn earlier.

        Args:
            index: `[N]`, as in the batch. Rows overwritten since keep the priority of what lies there now.
            errors: `[N]` errors of their values, of either sign.
        """
        if self._tree is None or self._alpha is None:
            return
        present = self._tree.get(index) > 0
        priority = (np.abs(np.asarray(errors, np.float64)) + SMALLEST_PRIORITY) ** self._alpha
        self._tree.set(index[present], priority[present])
        self._largest = max(self._largest, float(priority.max()))

    def take(self, index: Array, weight: Array | None = None) -> ReplayBatch:
        """Returns the transitions at places `index` `[N]`, with weights `[N]` (None: all 1)."""
        weight = np.ones(len(index), np.float32) if weight is None else weight
        reward, discount, end, terminated = self._sums(index)
        next_mask = None
        if self._next_mask is not None:
            next_mask = self._next_mask.reshape(-1, self._next_mask.shape[2])[end]
            # a cut whose last mask nobody knows has no target
            weight = np.where(self._mask_known.reshape(-1)[end] | terminated, weight, 0.0).astype(np.float32)
        following = self._reached(end)
        if self.stack == 1:
            observation = self._observation.reshape(-1, *self._frame).take(index, axis=0)
        else:
            observation = self._frames(index)
            before = observation if self.n_step == 1 else self._frames(end)
            following = np.concatenate([before[:, 1:], following[:, None]], axis=1)
        action = self._action.reshape(-1, *self._action.shape[2:]).take(index, axis=0)
        return ReplayBatch(observation, action, reward, following, discount, next_mask, weight, index)

    def _sums(self, index: Array) -> tuple[Array, Array, Array, Array]:
        """Returns the sums of rewards, the discounts of what follows, the last places summed, and what terminated."""
        # one number for row and copy: looking up by it takes a third of the time that two take
        rewards, terminations, ends = self._reward.reshape(-1), self._terminated.reshape(-1), self._ended.reshape(-1)
        end, reward = index, rewards.take(index)
        if self.n_step == 1:
            terminated = terminations.take(index)
            return reward, np.where(terminated, np.float32(0), np.float32(self.gamma)), end, terminated
        total, discount = reward.astype(np.float64), np.full(len(index), self.gamma)
        for _ in range(self.n_step - 1):
            going = ~ends.take(end)
            end = np.where(going, (end + self.copies) % rewards.size, end)
            total += np.where(going, discount * rewards.take(end), 0.0)
            discount = np.where(going, discount * self.gamma, discount)
        terminated = terminations.take(end)
        return (
            total.astype(np.float32),
            np.where(terminated, 0.0, discount).astype(np.float32),
            end,
            terminated,
        )

    def _reached(self, index: Array) -> Array:
        """Returns `[N, ...]` what was observed (its newest frame) after the step at each place."""
        assert self._head is not None
        size = self.rows * self.copies
        following = self._observation.reshape(-1, *self._frame).take((index + self.copies) % size, axis=0)
        newest = index // self.copies == (self.added - 1) % self.rows
        following[newest] = self._head[index[newest] % self.copies]
        places = self._last_at.reshape(-1).take(index)
        last = places >= 0
        following[last] = self._last[places[last]]
        return following

    def _frames(self, index: Array) -> Array:
        """Returns `[N, k, ...]` the newest k frames at each place, the first of the episode repeated."""
        row, copy = index // self.copies, index % self.copies
        rows = [row]
        for _ in range(self.stack - 1):
            before = (rows[-1] - 1) % self.rows
            first = self._ended[before, copy] | ((rows[-1] == 0) & (self.added <= self.rows))
            rows.append(np.where(first, rows[-1], before))
        return np.stack([self._observation[r, copy] for r in reversed(rows)], axis=1)

    # ------------------------------------------------------------------------------------------- saving

    def state_dict(self) -> State:
        """Returns everything that later draws depend on (copies)."""
        used = min(self.added, self.rows)
        return {
            "observation": self._observation[:used].copy(),
            "action": self._action[:used].copy(),
            "reward": self._reward[:used].copy(),
            "terminated": self._terminated[:used].copy(),
            "ended": self._ended[:used].copy(),
            "next_mask": None if self._next_mask is None else self._next_mask[:used].copy(),
            "mask_known": self._mask_known[:used].copy(),
            "last_at": self._last_at[:used].copy(),
            "last": self._last.copy(),
            "free": self._free.copy(),
            "head": None if self._head is None else self._head.copy(),
            "added": self.added,
            "priorities": None if self._tree is None else self._tree.nodes.copy(),
            "largest": self._largest,
            "random": rng_state(self._rng),
        }

    def load_state_dict(self, state: State) -> None:
        """Goes on from `state_dict()`.

        Raises:
            UsageError: the state is of a memory of another size, or of other observations or actions.
        """
        used = min(int(state["added"]), self.rows)
        for name, array in (("observation", self._observation), ("action", self._action)):
            stored = np.asarray(state[name])
            if stored.shape != (used, *array.shape[1:]) or stored.dtype != array.dtype:
                raise UsageError(
                    f"a stored replay memory with {name}s of shape {stored.shape}, {stored.dtype}",
                    expected=f"{(used, *array.shape[1:])}, {array.dtype}",
                    hint="the same buffer_size, num_envs and task as when it was saved",
                )
        if (self._tree is None) != (state["priorities"] is None):
            raise UsageError(
                "a stored replay memory with" + ("out" if state["priorities"] is None else "") + " priorities",
                expected="the same kind of memory as when it was saved",
            )
        stored_arrays = (
            (self._observation, "observation"),
            (self._action, "action"),
            (self._reward, "reward"),
            (self._terminated, "terminated"),
            (self._ended, "ended"),
            (self._mask_known, "mask_known"),
            (self._last_at, "last_at"),
        )
        for array, name in stored_arrays:
            array[:used] = state[name]
        self._last_at[used:] = -1
        self._next_mask = None
        if state["next_mask"] is not None:
            masks = np.asarray(state["next_mask"])
            self._next_mask = np.ones((self.rows, *masks.shape[1:]), np.bool_)
            self._next_mask[:used] = masks
        self._last, self._free = np.array(state["last"]), np.array(state["free"])
        self._head = None if state["head"] is None else np.array(state["head"])
        self._following = None
        self.added, self._largest = int(state["added"]), float(state["largest"])
        if self._tree is not None:
            self._tree.nodes[:] = state["priorities"]
        restore_rng(self._rng, state["random"])


def _require_settings(copies: int, n_step: int, gamma: float, priority: float | None, stack: int) -> None:
    for name, count in (("copies", copies), ("n_step", n_step), ("stack", stack)):
        if count < 1:
            raise UsageError(f"{name} = {count!r}", expected="an integer of at least 1")
    if not 0 <= gamma <= 1:
        raise UsageError(f"gamma = {gamma!r}", expected="a number from 0 to 1")
    if priority is not None and not 0 <= priority <= 1:
        raise UsageError(f"priority = {priority!r}", expected="a number from 0 to 1, or None to draw uniformly")
