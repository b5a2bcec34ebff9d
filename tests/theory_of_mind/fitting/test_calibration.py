"""Stated probabilities hold for minds of mixed kinds, and the check notices where they do not."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.observer_calibration import QUESTIONS, statements
from inscape.theory_of_mind import calibration


@pytest.fixture(scope="module")
def said() -> list[tuple[np.ndarray, np.ndarray]]:
    return statements(1_000)


@pytest.mark.parametrize("question", range(3))
def test_what_is_said_comes_true_as_often(question: int, said: list[tuple[np.ndarray, np.ndarray]]) -> None:
    found = calibration(*said[question])
    many = found.count >= 100  # of few statements, standard errors are not known well
    assert many.sum() >= 4
    assert found.holds()[many].all(), QUESTIONS[question]
    assert found.error < 0.02


def test_what_is_said_too_surely_is_noticed(said: list[tuple[np.ndarray, np.ndarray]]) -> None:
    for probs, outcomes in said:
        sharper = probs**2 / (probs**2).sum(axis=1, keepdims=True)
        assert not calibration(sharper, outcomes).holds().all()


def test_standard_errors_are_those_of_independent_rows() -> None:
    rng = np.random.default_rng(0)
    gaps = []
    for _ in range(200):
        probs = rng.dirichlet(np.ones(3), size=60)
        outcomes = (rng.random((60, 1)) > np.cumsum(probs, axis=1)).sum(axis=1)
        found = calibration(probs, outcomes, bins=2)
        gaps.append((found.frequency - found.confidence) / found.standard_error)
    assert np.std(gaps, axis=0) == pytest.approx([1.0, 1.0], abs=0.15)
