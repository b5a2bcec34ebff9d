"""What a step returned is never written again while anything refers to it, on any Python."""

from __future__ import annotations

import copy
import pickle
import sys

import numpy as np
import pytest
import torch

from inscape.envs.readers.outputs import Outputs
from inscape.envs.registry import make_world

SHAPE = (4, 4096)


def outputs() -> Outputs:
    made = Outputs(SHAPE, np.float64)
    assert np.prod(SHAPE) * 8 >= Outputs.LARGE
    return made


def address(array: np.ndarray) -> int:
    return int(array.__array_interface__["data"][0])


@pytest.mark.parametrize(
    "hold",
    [
        lambda array: array,
        lambda array: array.T,
        lambda array: array[1:, ::2].T[3],
        lambda array: array.reshape(-1).view(np.int64),
        memoryview,
        lambda array: memoryview(array.T),
        torch.from_numpy,
        lambda array: torch.from_numpy(array.T)[2:],
        lambda array: np.frombuffer(array.data),
        lambda array: np.ndarray(SHAPE, buffer=array),
        lambda array: np.lib.stride_tricks.sliding_window_view(array, 5, axis=1),
        lambda array: array.view(type("Special", (np.ndarray,), {}))[2:].view(np.ndarray)[1:],
        lambda array: np.broadcast_to(array, (2, *SHAPE)),
        lambda array: array.flat,
        iter,
        lambda array: lambda: array,
        lambda array: {"obs": [array]},
    ],
)
def test_whatever_holds_an_array_keeps_its_memory(hold):
    made = outputs()
    for _ in range(3):
        array = made.take()
        array[:] = 7.0
        known, held = address(array), hold(array)
        del array
        later = [made.take() for _ in range(6)]
        assert known not in {address(other) for other in later}
        for other in later:
            other[:] = 0.0
        del held, later, other


def test_held_arrays_never_share_memory():
    made, kept = outputs(), []
    rng = np.random.default_rng(0)
    for taken in range(300):
        array = made.take()
        array[:] = taken
        kept.append((taken, array.T))
        del array
        while len(kept) > 12 or (kept and rng.random() < 0.4):
            del kept[rng.integers(len(kept))]
        assert all((array == number).all() for number, array in kept)


def test_memory_that_nobody_holds_is_used_again():
    made = outputs()
    first = made.take()
    known = address(first)
    del first
    assert address(made.take()) == known
    many = [made.take() for _ in range(50)]
    assert len({address(array) for array in many}) == 50
    assert len(made._pieces) == Outputs.KEPT


def test_small_arrays_are_plain_ones():
    made = Outputs((3,), np.float64)
    assert made.take().base is None


def test_arrays_are_like_fresh_ones():
    for shape, dtype in ((SHAPE, np.float64), ((70000,), np.bool_), ((8, 9000), np.uint8), ((9000,), np.int64)):
        array = Outputs(shape, dtype).take()
        assert (array.shape, array.dtype) == (shape, np.dtype(dtype))
        assert array.flags.c_contiguous and array.flags.writeable and array.flags.aligned


def test_copies_of_outputs_share_nothing():
    made = outputs()
    made.take()  # and gives back at once
    for other in (copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        assert address(other.take()) != address(made.take())


def test_reference_counts_decide_nothing(monkeypatch):
    """Python 3.14 counts one reference less: there an array held once has the 3 of a free one on Python 3.11."""
    monkeypatch.setattr(sys, "getrefcount", lambda _: 3)
    env = make_world("CartPole").vector_env(2048, autoreset="same-step", max_episode_steps=5)
    first, _ = env.reset(seed=0)
    kept, copies, actions = [first], [first.copy()], np.zeros(2048, np.int64)
    for _ in range(8):
        obs, rewards, _, _, infos = env.step(actions)
        kept += [obs, rewards] + ([infos["final_obs"]] if "final_obs" in infos else [])
        copies += [array.copy() for array in kept[len(copies) :]]
    for array, copied in zip(kept, copies, strict=True):
        np.testing.assert_array_equal(array, copied)
