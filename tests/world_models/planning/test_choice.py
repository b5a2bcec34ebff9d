from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inscape.errors import UsageError
from inscape.world_models.planning.choice import boltzmann_log_probs, boltzmann_value

NAN, INF = float("nan"), float("inf")


def test_matches_the_formula() -> None:
    q = np.array([[1.0, 2.0, -0.5], [0.0, 0.0, 3.0]])
    expected = np.exp(0.7 * q) / np.exp(0.7 * q).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(np.exp(boltzmann_log_probs(q, 0.7)), expected, rtol=1e-14)
    np.testing.assert_allclose(boltzmann_value(q, 0.7), (expected * q).sum(axis=1), rtol=1e-13)


def test_masks_do_not_leak_between_rows() -> None:
    q = np.array([[1e9, 0.0, 1.0], [5.0, -INF, NAN], [2.0, 2.0, 2.0]])
    mask = np.array([[False, True, True], [True, False, False], [True, True, True]])
    found = boltzmann_log_probs(q, 1.0, mask)
    assert np.isneginf(found[~mask]).all()
    for row in range(3):
        np.testing.assert_array_equal(found[row], boltzmann_log_probs(q[row], 1.0, mask[row]))
    assert found[1, 0] == 0.0


def test_beta_zero_is_uniform_over_legal() -> None:
    mask = np.array([True, False, True, True])
    found = np.exp(boltzmann_log_probs(np.array([1e12, 0.0, -1e12, 3.0]), 0.0, mask))
    np.testing.assert_allclose(found, [1 / 3, 0, 1 / 3, 1 / 3], rtol=1e-15)


def test_beta_per_row() -> None:
    q = np.array([[0.0, 1.0], [0.0, 1.0]])
    found = boltzmann_log_probs(q, np.array([0.0, 3.0]))
    np.testing.assert_array_equal(found[0], boltzmann_log_probs(q[0], 0.0))
    np.testing.assert_array_equal(found[1], boltzmann_log_probs(q[1], 3.0))


@given(st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=6), st.floats(0, 1e300))
@settings(max_examples=200, deadline=None)
def test_sums_to_one_however_large(q: list[float], beta: float) -> None:
    found = boltzmann_log_probs(np.array(q), beta)
    assert not np.isnan(found).any()
    assert np.exp(found).sum() == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("beta", [-0.1, NAN, INF, np.array([1.0, -2.0])])
def test_refuses_beta(beta: float) -> None:
    with pytest.raises(UsageError, match="beta"):
        boltzmann_log_probs(np.zeros((2, 3)), beta)


@pytest.mark.parametrize(
    ("q", "mask", "message"),
    [
        ([[0.0, 1.0], [0.0, 1.0]], [[True, True], [False, False]], r"row \[1\] has no legal action"),
        ([[0.0, NAN]], None, r"q_values\[0, 1\] = nan"),
        ([[0.0, INF]], None, r"q_values\[0, 1\] = inf"),
        ([[-INF, -INF]], None, "−inf"),
    ],
)
def test_refuses_values(q: list[list[float]], mask: list[list[bool]] | None, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        boltzmann_log_probs(np.array(q), 1.0, None if mask is None else np.array(mask))
