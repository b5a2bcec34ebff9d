"""The named fast arithmetic: how far its sine and cosine are from the library's, and what a trajectory makes of it."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from inscape.envs.compile import fast_math
from inscape.envs.registry import make_world
from inscape.errors import UsageError

pytestmark = pytest.mark.compiled


@pytest.mark.parametrize("name", ["sin", "cos"])
def test_within_a_unit_in_the_last_place(name):
    function = getattr(fast_math.compiled(), name)
    far = np.random.default_rng(0).uniform(-(2**20), 2**20, 100_000)
    angles = np.concatenate([np.linspace(-20, 20, 200_001), far])

    @numba.njit
    def every(angles):
        out = np.empty_like(angles)
        for i in range(len(angles)):
            out[i] = function(angles[i])
        return out

    exact = getattr(np, name)(angles)
    error = np.abs(every(angles) - exact)
    small = np.abs(angles) <= 20
    assert (error[small] <= np.spacing(np.abs(exact[small])) + 1e-19).all()  # where the sine is nearly zero: absolute
    assert error.max() <= 2.0**-52
    plain = np.array([getattr(fast_math, name)(float(x)) for x in angles[::997]])
    assert np.abs(plain - exact[::997]).max() <= 2.0**-52


def test_trajectories_part_in_the_last_bits_only():
    world = make_world("CartPole")
    exact, fast = (world.vector_env(512, "same-step", arithmetic=name) for name in ("exact", "fast"))
    exact.reset(seed=0)
    fast.reset(seed=0)
    rng = np.random.default_rng(0)
    for _ in range(40):
        actions = rng.integers(0, 2, 512)
        a, b = exact.step(actions), fast.step(actions)
        assert np.array_equal(a[2], b[2])
    apart = np.abs(exact.states.floats - fast.states.floats)
    assert 0 < apart.max() < 1e-12


def test_other_names_are_refused():
    with pytest.raises(UsageError, match="arithmetic 'approximate'"):
        make_world("CartPole").vector_env(2, arithmetic="approximate")
