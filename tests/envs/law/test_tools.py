"""What laws may call: plain Python against Numba against NumPy and SciPy."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from scipy import stats

from inscape.envs.law import tools as lawtools

NUMBERS = [0, 1, -1, 2**62, -(2**63), 2**63 - 1, 0x5A5A5A5A5A5A5A5A]


@pytest.mark.compiled
@pytest.mark.parametrize("bits", NUMBERS)
def test_bits_plain_equals_compiled_equals_numpy(bits):
    for name in ("popcount", "int64"):
        plain = getattr(lawtools, name)
        assert plain(bits) == plain(np.int64(bits)) == lawtools.compiled_form(plain)(bits)
    assert lawtools.popcount(bits) == np.bitwise_count(np.int64(bits).view(np.uint64))
    for count in (0, 1, 17, 63):
        expected = int((np.int64(bits).view(np.uint64) >> np.uint64(count)).astype(np.uint64).view(np.int64))
        assert lawtools.shift_right(bits, count) == expected
        assert lawtools.compiled_form(lawtools.shift_right)(bits, count) == expected


def test_int64_wraps_what_python_leaves_unbounded():
    assert lawtools.int64(1 << 63) == -(2**63)
    assert lawtools.int64((1 << 64) + 5) == 5


@pytest.mark.compiled
@pytest.mark.parametrize("items", [(1, 2, 3), (0.5, 1.5), (True, False, True, False)])
def test_replaced(items):
    compiled = lawtools.compiled_form(lawtools.replaced)
    for index in range(len(items)):
        value = items[0]
        expected = list(items)
        expected[index] = value
        assert lawtools.replaced(items, index, value) == tuple(expected)
        assert compiled(items, index, value) == tuple(expected)


@pytest.mark.compiled
def test_the_gaussian_quantile_agrees_with_scipy():
    uniforms = np.concatenate([np.linspace(1e-12, 1 - 1e-12, 2001), 10.0 ** -np.arange(1.0, 17), [0.075, 0.925]])
    expected = stats.norm.ppf(uniforms)
    plain = np.array([lawtools.gaussian(u) for u in uniforms])
    compiled = numba.njit(lawtools.gaussian)
    np.testing.assert_allclose(plain, expected, rtol=1e-14, atol=1e-15)
    np.testing.assert_allclose([compiled(u) for u in uniforms], plain, rtol=1e-15, atol=0)
    assert lawtools.gaussian(0.0) == lawtools.gaussian(2.0**-54)
