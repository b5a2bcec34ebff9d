"""Published programs whose source prints no number: recomputed by enumeration in plain NumPy, to six digits."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tests.theory_of_mind.published.programs import run


def rows(weights: np.ndarray) -> np.ndarray:
    """Returns weights divided by the sum of their row."""
    return weights / weights.sum(axis=-1, keepdims=True)


def test_reference_game() -> None:
    holds = np.array([[1, 1, 0], [0, 0, 1], [1, 0, 0], [0, 1, 1]], float)  # [word, thing]
    level_0 = rows(rows(holds.T).T)
    assert run("reference_game")["literal"] == pytest.approx(level_0, abs=1e-6)
    for beta, found in ((1.0, "pragmatic"), (1.74, "fitted")):
        level_1 = rows(rows((holds * np.exp(beta * level_0)).T).T)
        assert run("reference_game")[found] == pytest.approx(level_1, abs=1e-6)


def test_scalar_implicature() -> None:
    holds = np.array([[0, 0, 0, 1], [0, 1, 1, 1], [1, 0, 0, 0]], float)
    literal = rows(holds)
    speaker = rows(literal.T**2)
    found = run("scalar_implicature")
    assert found["literal"][1] == pytest.approx([0, 1 / 3, 1 / 3, 1 / 3], abs=1e-6)
    assert found["speaker"] == pytest.approx(speaker, abs=1e-6)
    assert found["speaker"][3] == pytest.approx([0.9, 0.1, 0], abs=1e-6)  # 1 : (1/3)²
    assert found["listener"][1] == pytest.approx([0, 1 / 2.1, 1 / 2.1, 0.1 / 2.1], abs=1e-6)


def test_niceness() -> None:
    """A speaker to whom none or all fit says so with 1 : 1/10,000, and some in all other states."""
    some = np.ones(10_001)
    some[0], some[-1] = 0.0, 1e-4 / (1 + 1e-4)
    assert run("niceness")["listener"][1] == pytest.approx(some / some.sum(), abs=1e-12)


def test_false_belief() -> None:
    assert run("false_belief")["after"] == pytest.approx([1.0, 0.0], abs=1e-6)


def test_polarization() -> None:
    """Sums over what is wanted (0.9, 0.1), what the bill does (0.5) and what the study says of it (0.9)."""
    for who, liberal in enumerate((0.9, 0.1)):
        if_spends = 0.9 * liberal + 0.1 * (1 - liberal)
        assert run("polarization")["before"][who] == pytest.approx(0.5 * 0.5 + 0.5 * if_spends, abs=1e-6)
        for study, spends in enumerate((0.1, 0.9)):
            after = (1 - spends) * 0.5 + spends * if_spends
            assert run("polarization")["after"][study, who] == pytest.approx(after, abs=1e-6)


def test_politeness() -> None:
    meaning = np.array([[1, 0.5, 0, 0], [1, 1, 1, 0], [0, 1, 1, 1], [0, 0, 0.5, 1]])
    spoken = meaning / meaning.sum(axis=0)
    heard = rows(spoken)
    for phi, name in ((0.9, "honest"), (0.1, "polite")):
        weights = np.zeros((4, 4))
        for hearts, word in itertools.product(range(4), range(4)):
            if heard[word, hearts] > 0:
                pleasing = sum(h * heard[word, h] for h in range(4))
                weights[hearts, word] = np.exp(3 * (phi * np.log(heard[word, hearts]) + (1 - phi) * pleasing))
        assert run("politeness")[name] == pytest.approx(rows(weights), abs=1e-6)


def test_persuasion_of_kamenica_and_gentzkow() -> None:
    """At 4/7 the accused are as often guilty as not (0.3 = 0.7 · 3/7): 60 % are convicted; with all known, 30 %."""
    found = run("persuasion")["convicted"]
    assert found[-1, -1] == pytest.approx(0.3, abs=1e-9)
    assert found.max() == pytest.approx(0.3 + 0.7 * (1 - 0.575), abs=1e-9)
    assert found.max() == pytest.approx(0.6, abs=0.005)  # as printed, but for the grid
