"""The process-wide random generators are lent to Stable-Baselines3 and put back."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from inscape.agents.sb3.global_rng import global_state, isolated_globals, seeded_globals


def draws() -> list[float]:
    return [random.random(), float(np.random.random()), float(np.random.normal()), float(torch.rand(()))]


def test_what_is_drawn_inside_changes_nothing_outside() -> None:
    with isolated_globals(None):
        expected = draws()
    with isolated_globals(seeded_globals(3)):
        inside = draws()
    assert draws() == expected
    with isolated_globals(seeded_globals(3)):
        assert draws() == inside
    with isolated_globals(seeded_globals(4)):
        assert draws() != inside


def test_a_state_goes_on_where_it_was_taken_also_between_two_normals() -> None:
    with isolated_globals(seeded_globals(0)):
        draws()  # NumPy keeps the second of two normals for the next call
        state = global_state()
        expected = [draws() for _ in range(3)]
    with isolated_globals(state):
        assert [draws() for _ in range(3)] == expected


def test_an_error_inside_puts_them_back_too() -> None:
    with isolated_globals(None):
        expected = draws()

    def fail() -> None:
        draws()
        raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"), isolated_globals(seeded_globals(1)):
        fail()
    assert draws() == expected
