from __future__ import annotations

import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete
from scipy.stats import chisquare

from inscape.envs.data.transition import Transition
from inscape.errors import UsageError
from inscape.experiments.runs.storage.checkpoints import load_checkpoint, save_checkpoint
from inscape.world_models.networks.replay import ReplayMemory, SumTree

CLOCK = Box(0, 1e6, (2,), np.float32)
PICTURES = Box(0, 255, (3, 2, 2), np.uint8)


class Clocks:
    """Copies whose observations are (episode, time): copy c's episodes last c + 2 steps, the odd ones are cut, the
    others terminate. The reward of the step at time t is 1 + t."""

    def __init__(self, count, stack=1):
        self.lengths = np.arange(count) + 2
        self.episode, self.time = np.zeros(count, np.int64), np.zeros(count, np.int64)
        self.stack = stack
        self.frames = np.repeat(self._frame()[:, None], stack, axis=1)

    def _frame(self):
        if self.stack == 1:
            return np.stack([self.episode, self.time], axis=1).astype(np.float32)
        both = np.stack([self.episode, self.time], axis=1).astype(np.uint8)
        return np.repeat(both[:, None], 2, axis=1)

    @property
    def observation(self):
        return self.frames[:, 0] if self.stack == 1 else self.frames.copy()

    def step(self):
        reward = 1.0 + self.time
        self.time = self.time + 1
        self.frames = np.concatenate([self.frames[:, 1:], self._frame()[:, None]], axis=1)
        over = self.time == self.lengths
        ended, last = np.flatnonzero(over), self.observation[over]
        terminated = over & (self.episode % 2 == 0)
        self.episode, self.time = self.episode + over, np.where(over, 0, self.time)
        self.frames[ended] = self._frame()[ended, None]
        return Transition(reward, terminated, over & ~terminated, ended, last, self.observation)


def filled(memory, clocks, steps):
    for _ in range(steps):
        before = clocks.observation
        action = (before.reshape(len(before), -1)[:, -1] % 3).astype(np.int64)
        memory.add(before, action, clocks.step())
    return memory


def everything(memory):
    first, last = memory._drawable()
    index = (np.arange(first, last)[:, None] % memory.rows * memory.copies + np.arange(memory.copies)).reshape(-1)
    return memory.take(index)


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("steps", [9, 40])
def test_sums_stop_at_ends_and_cuts_bootstrap_from_the_last_observation(n, steps):
    """Checked against what each clock's hands imply, before and after the memory has gone round."""
    gamma, count = 0.5, 3
    memory = filled(ReplayMemory(51, count, CLOCK, Discrete(3), n_step=n, gamma=gamma), Clocks(count), steps)
    assert memory.rows == 17
    assert len(memory) == (min(steps, 17) - n + 1) * count
    batch = everything(memory)
    assert len(batch.action) == len(memory)
    for row in range(len(memory)):
        episode, time = batch.observation[row]
        length = row % count + 2
        m = int(min(n, length - time))
        assert batch.action[row] == time % 3
        assert batch.reward[row] == sum(gamma**k * (1 + time + k) for k in range(m))
        assert batch.next_observation[row].tolist() == [episode, time + m]
        ends = time + m == length and episode % 2 == 0
        assert batch.discount[row] == (0.0 if ends else gamma**m)
    assert {float(d) for d in batch.discount} >= {0.0, gamma**n}


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("steps", [5, 8, 9, 10, 40])
@pytest.mark.parametrize("alpha", [None, 0.5])
def test_stacked_frames_are_put_together_again(n, steps, alpha):
    """Storing one frame of each stack returns the same stacks as storing whole ones."""
    sharing = ReplayMemory(40, 4, PICTURES, Discrete(3), n_step=n, stack=3, priority=alpha)
    whole = ReplayMemory(40, 4, PICTURES, Discrete(3), n_step=n, priority=alpha)
    for memory in (sharing, whole):
        filled(memory, Clocks(4, stack=3), steps)
    assert sharing._observation.nbytes * 3 == whole._observation.nbytes
    one = everything(sharing)
    other = whole.take(one.index)
    assert len(one.index) == len(sharing) > 0
    for name in ("observation", "action", "reward", "next_observation", "discount"):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name
    if alpha is not None:
        drawable = np.zeros(40, bool)
        drawable[one.index] = True
        assert np.array_equal(sharing._tree.get(np.arange(40)) > 0, drawable)


def test_masks_are_those_of_the_state_reached():
    memory = ReplayMemory(20, 2, CLOCK, Discrete(2), n_step=2)
    clocks, masks = Clocks(2), []
    for t in range(8):
        before = clocks.observation
        step = clocks.step()
        masks.append(np.array([[True, t % 2 == 0], [t % 3 == 0, True]]))
        last = np.tile([False, True], (len(step.ended), 1)) if t < 6 else None
        memory.add(before, np.zeros(2, np.int64), step, masks[-1], last)
    batch = everything(memory)
    for row in range(len(memory)):
        t, copy = divmod(row, 2)
        length = copy + 2
        left = length - t % length  # steps to the end of the episode
        reached, cut = t + min(2, left) - 1, (t // length) % 2 == 1
        if left > 2:
            assert np.array_equal(batch.next_mask[row], masks[reached][copy])
        elif reached < 6:
            assert batch.next_mask[row].tolist() == [False, True]
        # a cut of which nobody told the mask must not be learned from; an end needs none
        assert batch.weight[row] == (0.0 if left <= 2 and reached >= 6 and cut else 1.0)
    assert (batch.weight == 0).any()


def test_a_stream_that_breaks_off_ends_its_episode():
    """What a resumed run on an ordinary environment does: new episodes where the old ones had not ended."""
    memory = filled(ReplayMemory(30, 3, CLOCK, Discrete(3), gamma=0.5), Clocks(3), 4)
    fresh = Clocks(3)
    fresh.episode += 100
    fresh.frames[:, 0] = fresh._frame()
    filled(memory, fresh, 2)
    batch = everything(memory)
    assert (batch.next_observation[:, 0] < 100).sum() == 12  # none of the old rows leads into the new ones
    assert (batch.observation[:, 0] < 100).sum() == 12


def test_every_transition_is_drawn_as_often():
    memory = filled(ReplayMemory(24, 2, CLOCK, Discrete(3), n_step=3, seed=1), Clocks(2), 30)
    index = memory.sample(20_000).index
    times = np.bincount(index, minlength=24)
    drawn = times[times > 0]
    assert len(drawn) == len(memory) == 20
    assert chisquare(drawn).pvalue > 1e-3


def test_priorities_are_probabilities():
    """p_i = (|δ_i| + 1e-6)^α against the frequencies; weights are (N·P)^−β over their largest."""
    memory = filled(ReplayMemory(8, 2, CLOCK, Discrete(3), priority=0.5, seed=2), Clocks(2), 4)
    assert set(memory.sample(100).weight) == {1.0}
    errors = np.array([0.0, 1.0, 4.0, 9.0, -16.0, 25.0, 36.0, 49.0])
    memory.update_priorities(np.arange(8), errors)
    expected = np.sqrt(np.abs(errors) + 1e-6)
    expected /= expected.sum()
    batch = memory.sample(50_000, beta=0.7)
    times = np.bincount(batch.index, minlength=8)
    assert np.abs(times / 50_000 - expected).max() < 1e-3  # stratified: less scatter than independent draws
    weight = (8 * expected[batch.index]) ** -0.7
    assert np.allclose(batch.weight, weight / weight.max(), rtol=1e-6)


def test_new_transitions_come_with_the_largest_priority_and_old_ones_leave():
    memory = filled(ReplayMemory(8, 2, CLOCK, Discrete(3), n_step=2, priority=1.0), Clocks(2), 4)
    memory.update_priorities(np.arange(6), np.full(6, 5.0))
    memory.update_priorities(np.array([6, 7]), np.full(2, 50.0))  # not to be drawn yet: n = 2
    assert memory._tree.get(np.arange(8)).tolist() == [pytest.approx(5.0)] * 6 + [0.0] * 2
    assert memory._tree.total == pytest.approx(30.0)
    memory._largest = 5.0
    filled(memory, Clocks(2), 1)
    assert memory._tree.get(np.arange(8)) == pytest.approx([0.0] * 2 + [5.0] * 6)


def test_the_tree_sums_and_finds():
    rng = np.random.default_rng(0)
    tree, plain = SumTree(13), np.zeros(13)
    for _ in range(20):
        index = rng.integers(0, 13, 6)
        value = rng.random(6) * (rng.random(6) < 0.7)
        tree.set(index, value)
        plain[index] = value
    assert np.array_equal(tree.get(np.arange(13)), plain)
    assert tree.total == pytest.approx(plain.sum())
    mass = np.linspace(0, tree.total, 500, endpoint=False)
    assert np.array_equal(tree.find(mass), np.searchsorted(np.cumsum(plain), mass, side="right"))
    assert (plain[tree.find(np.array([tree.total * (1 + 1e-15)]))] > 0).all()


@pytest.mark.parametrize("alpha", [None, 0.6])
@pytest.mark.parametrize("before", [6, 25])
def test_going_on_is_exact(alpha, before, tmp_path):
    def made():
        return ReplayMemory(60, 4, PICTURES, Discrete(3), n_step=3, priority=alpha, seed=7, stack=3)

    def live(memory, clocks, steps):
        drawn = []
        for _ in range(steps):
            filled(memory, clocks, 1)
            if len(memory):
                batch = memory.sample(5, beta=0.4)
                memory.update_priorities(batch.index, batch.reward)
                drawn.append(batch)
        return drawn

    whole, first, second = made(), made(), made()
    clocks = Clocks(4, stack=3)
    expected = live(whole, clocks, before + 20)[-20:]
    clocks = Clocks(4, stack=3)
    live(first, clocks, before)
    save_checkpoint(tmp_path / "step", first.state_dict())
    live(second, Clocks(4, stack=3), 3)  # loading replaces whatever was there
    second.load_state_dict(load_checkpoint(tmp_path / "step")[0])
    for one, other in zip(expected, live(second, clocks, 20), strict=True):
        for name in ("observation", "action", "reward", "next_observation", "discount", "weight", "index"):
            assert np.array_equal(getattr(one, name), getattr(other, name)), name


def test_last_observations_take_no_more_room_than_needed():
    memory = filled(ReplayMemory(300, 3, CLOCK, Discrete(3)), Clocks(3), 1000)
    live = int(memory._ended.sum())
    assert (memory._last_at >= 0).sum() == live
    assert len(memory._free) + live == len(memory._last) <= 256
    assert len(np.unique(memory._last_at[memory._last_at >= 0])) == live


def test_refusals():
    def made(**changes):
        return ReplayMemory(**{"capacity": 20, "copies": 2, "observation_space": CLOCK,
                               "action_space": Discrete(3), **changes})  # fmt: skip

    for changes, message in (
        ({"copies": 0}, "copies = 0"),
        ({"n_step": 0}, "n_step = 0"),
        ({"gamma": 1.5}, "gamma = 1.5"),
        ({"priority": -0.1}, "priority = -0.1"),
        ({"capacity": 5, "n_step": 3}, "room for at least 8"),
        ({"stack": 3}, "stack of 3 frames"),
    ):
        with pytest.raises(UsageError, match=message):
            made(**changes)
    memory = made(n_step=2)
    with pytest.raises(UsageError, match="learning_starts"):
        memory.sample(4)
    with pytest.raises(UsageError, match=r"shape \(3, 2\)"):
        filled(memory, Clocks(3), 1)
    filled(memory, Clocks(2), 5)
    with pytest.raises(UsageError, match="same kind of memory"):
        made(n_step=2, priority=0.5).load_state_dict(memory.state_dict())
    with pytest.raises(UsageError, match="same buffer_size"):
        made(capacity=21, copies=3).load_state_dict(memory.state_dict())
