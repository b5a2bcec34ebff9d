"""Published programs restated: every number that their source prints, at the digits it prints."""

from __future__ import annotations

import ast
from typing import Any

import numpy as np
import pytest

from tests.theory_of_mind.published.programs import FOLDER, PROGRAMS, lines_of, run

# program → variable → (what its source prints, the last digit that it prints)
SIX = 1e-6
SLOW = ("food_trucks",)  # more than a second
PRINTED: dict[str, dict[str, tuple[Any, float]]] = {
    "monty_hall": {"doors": ([1 / 3, 0, 2 / 3], SIX)},
    "sally_anne": {"looks": ([[[0.99, 0.01], [1, 0], [0, 1]], [[0.01, 0.99], [0, 1], [1, 0]]], SIX)},
    "schelling": {
        "alice": (
            [[0.59900993, 0.40099007], [0.6905481, 0.30945188], [0.76923996, 0.23076005], [0.832767, 0.16723298],
             [0.88149947, 0.11850046], [0.91743904, 0.08256097], [0.9431811, 0.05681884], [0.9612362, 0.03876386],
             [0.9737139, 0.0262862]], SIX),
        "bob": (
            [[0.64611655, 0.35388345], [0.73171747, 0.26828253], [0.8029279, 0.1970721], [0.8588822, 0.1411178],
             [0.90091014, 0.09908987], [0.9314207, 0.06857934], [0.9530266, 0.04697341], [0.96805906, 0.031941],
             [0.97838986, 0.02161017]], SIX),
        "believed": ([0.510, 0.556, 0.625, 0.702, 0.774, 0.835, 0.882, 0.918, 0.943], 1e-3),
        "observed": ([0.529, 0.588, 0.663, 0.739, 0.806, 0.860, 0.902, 0.932, 0.953], 1e-3),
    },
    "questions": {
        "nats": (
            {"even": 0.69315, "over 6": 0.67919, "prime": 0.67919, "threes": 0.63651, "over 5": 0.59084,
             "over 8": 0.59084, "fours": 0.56234, "power of 2": 0.56234, "fives": 0.49260, "square": 0.49260,
             "7": 0.45056, "over 10": 0.28684, "12": 0.12693}, 1e-5),
    },
    "chimpanzees": {
        "first": (
            [[0.6117194294929504, 0.38828057050704956], [0.8411309123039246, 0.15886907279491425],
             [0.9925355911254883, 0.007464459165930748]], SIX),
        "second": (
            [[[0.5, 0.5], [0.22932583093643188, 0.7706741690635681], [0.011709635145962238, 0.9882904291152954]],
             [[0.7706740498542786, 0.22932595014572144], [0.5, 0.5], [0.03829298913478851, 0.9617070555686951]],
             [[0.9882904291152954, 0.011709637008607388], [0.9617070555686951, 0.03829297050833702], [0.5, 0.5]]], SIX),
    },
    "cryptographers": {
        # [coin a, coin b, B says, C says]: the parity of all four tells whether it was the NSA
        "payer": ([[[[[0, 0, 1] if (a + b + says_b + says_c) % 2 == 0 else [0.5, 0.5, 0] for says_c in (0, 1)]
                     for says_b in (0, 1)] for b in (0, 1)] for a in (0, 1)], SIX),
    },
    "newcomb": {"fearful": ([0, 1], SIX), "realist": ([1, 0], SIX)},
    "weather": {"right": ([1.0, 5.242885696424093e-22], 1e-27), "confused": (0.5761168599128723, SIX)},
    "lemons": {"bid": (0.0, SIX)},
    "risk": {"first_choice": ([1, 0], SIX), "second_choice": ([0, 1], SIX)},
    "persuasion": {"innocent_right": (0.575, 1e-3), "guilty_right": (1.000, 1e-3)},
    "integer_line": {"path": ([0, 1, 2, 3], SIX)},
    "two_rewards": {
        "worth": (
            {"γ=0.5": [[100 / 16, 110 / 32], [100, 55]], "hyperbolic k=2": [[100 / 9, 110 / 11], [100, 110 / 3]]}, SIX),
    },
    "kuhn_poker": {
        "family": ([0, 0, 0], SIX), "value": (-1 / 18, SIX), "passing": (2.0, SIX),
        "solved_returns": ([-1 / 18, 1 / 18], SIX), "uniform": (11 / 12, SIX),
    },
    "leduc_poker": {"uniform": (4.747222222222222, SIX), "folding": (2.0, SIX), "value": (-0.085606424078, 1e-9)},
    "stag_hunt": {"hunted_in_twos": ([1, 1, 1, 0], SIX), "hunted_in_threes": ([1, 0, 0, 0], SIX)},
    "hawks_and_doves": {"hawks": (7 / 12, SIX), "earned": (6.25, SIX)},
    "quantal": {
        "branch": (
            [[0.335873, 0.328284, 0.335843, 0.501962, 0.498038], [0.338668, 0.322803, 0.33853, 0.504249, 0.495751],
             [0.341747, 0.316863, 0.34139, 0.506915, 0.493085], [0.345145, 0.310443, 0.344413, 0.510023, 0.489977],
             [0.348902, 0.303519, 0.347578, 0.51364, 0.48636], [1, 0, 4.40659e-11, 0.500016, 0.499984],
             [1, 0, 3.66976e-11, 0.500015, 0.499985]], SIX),
        "three": (
            [[0.643, 0.357, 0.5883, 0.41168], [0.7727, 0.2273, 0.6117, 0.3883], [0.8595, 0.1405, 0.6038, 0.39618]],
            1e-4),
    },
    "money_requests": {
        "asked": ([20, 19, 18, 17, 16], SIX), "expected": ([20, 19, 18, 17, 17], SIX),
        "equilibrium": ([0, 0, 0, 0, 0.25, 0.25, 0.20, 0.15, 0.10, 0.05], SIX),
    },
    "beauty_contest": {
        "steps": ({2 / 3: [33.33, 22.22, 14.81, 9.88], 1 / 2: [25.0, 12.5, 6.25, 3.125]}, 1e-2),
    },
    "newspaper": {"first_two": ([33, 22], SIX)},
    "travelers": {"basu": ([2, 2], SIX), "conv": (0.0, SIX)},
    "investment": {
        "invests": ([[0.78, 0.22], [0.38, 0.62]], 1e-2),
        "returns": ([[[0.86, 0.14], [0.86, 0.14]], [[1.00, 0.00], [0.94, 0.06]]], 1e-2),
    },
    "birthday": {"born": ({("April", 30): 1.0}, SIX)},
}  # fmt: skip


def test_the_naive_are_tempted_and_the_sophisticated_walk_around() -> None:
    """Both trajectories are listed in chapter 5a."""
    assert run("temptation")["walks"] == {False: "uuuul", True: "uurruuulu"}


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in PROGRAMS])
def test_a_program_is_short_and_says_where_it_is_from(name: str) -> None:
    assert lines_of(name) <= 25
    assert "Source: " in (ast.get_docstring(ast.parse((FOLDER / f"{name}.py").read_text())) or "")
    assert run(name)["printed"].strip()


@pytest.mark.parametrize(("name", "variable"), [(name, each) for name in PRINTED for each in PRINTED[name]])
def test_a_program_prints_what_its_source_prints(name: str, variable: str) -> None:
    expected, digit = PRINTED[name][variable]
    found = run(name)[variable]
    if isinstance(expected, dict):
        assert list(found) == list(expected) or set(found) == set(expected)
        found, expected = [found[key] for key in expected], list(expected.values())
    # half a unit of the last digit, and what is lost in the float32 of some sources
    np.testing.assert_allclose(np.asarray(found, float), np.asarray(expected, float), rtol=0, atol=0.6 * digit)
