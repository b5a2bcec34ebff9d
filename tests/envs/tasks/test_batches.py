"""Batches of elements of any space."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from inscape.envs.tasks.checking.batches import batch_of, copied, count_of, is_array_space, objects, rows_of, stacked

NESTED = spaces.Dict(
    place=spaces.Box(0, 1, (2,), np.float32), parts=spaces.Tuple((spaces.Discrete(3), spaces.Text(4))),
)  # fmt: skip
ROWS = [
    {"place": np.array([0.5, k], np.float32), "parts": (np.int64(k), text)} for k, text in enumerate(["a", "bc", ""])
]


def same(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(np.array_equal(one, other))


@pytest.mark.parametrize("make", [lambda rows: batch_of(NESTED, rows), stacked])
def test_a_batch_of_a_nested_space_keeps_its_form(make: Any) -> None:
    batch = make(ROWS)
    assert list(batch) == (["parts", "place"] if list(NESTED) == ["parts", "place"] else ["place", "parts"])
    assert batch["place"].shape == (3, 2) and batch["place"].dtype == np.float32
    assert isinstance(batch["parts"], tuple)
    assert batch["parts"][0].tolist() == [0, 1, 2]
    assert batch["parts"][1].tolist() == ["a", "bc", ""]
    assert count_of(batch) == 3
    assert same(rows_of(batch, 1), {name: ROWS[1][name] for name in batch})
    assert rows_of(batch, [2, 0])["parts"][1].tolist() == ["", "a"]


def test_a_copy_shares_nothing() -> None:
    batch = batch_of(NESTED, ROWS)
    other = copied(batch)
    assert same(batch, other)
    other["place"][0] = 9
    other["parts"][0][0] = 9
    assert batch["place"].max() <= 2 and batch["parts"][0][0] == 0


@pytest.mark.parametrize(
    ("space", "shape"),
    [
        (spaces.Box(0, 255, (4, 5), np.uint8), (0, 4, 5)),
        (spaces.Discrete(3), (0,)),
        (spaces.MultiBinary(6), (0, 6)),
        (spaces.Sequence(spaces.Discrete(2)), (0,)),
    ],
)
def test_no_rows_are_a_batch_too(space: gym.Space[Any], shape: tuple[int, ...]) -> None:
    batch = batch_of(space, [])
    assert batch.shape == shape
    assert batch.dtype == (space.dtype or object)
    assert is_array_space(space) == (not isinstance(space, spaces.Sequence))


def test_objects_of_one_shape_stay_objects() -> None:
    array = objects([np.zeros(2), np.ones(2)])
    assert array.shape == (2,) and array.dtype == object
    assert array[1].tolist() == [1.0, 1.0]
