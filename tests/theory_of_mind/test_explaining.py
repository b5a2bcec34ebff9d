"""Sentences made of a posterior: their numbers, and the evidence of each step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from inscape import observe
from inscape.errors import UsageError
from inscape.theory_of_mind import Observer, PlanningMind, explain, weight_of_evidence
from inscape.theory_of_mind import observe as take_in
from tests.theory_of_mind.worlds import Corridor, simulate

WORLD = Corridor(slip=0.2)
MINDS = [PlanningMind("left end", 3.0, "hard"), PlanningMind("right end", 3.0, "hard")]


def test_the_weight_of_evidence_of_two_minds_is_their_likelihood_ratio() -> None:
    policy = np.exp(MINDS[1].controller(WORLD).log_probs[:, 0])
    steps = simulate(WORLD, policy, 6, np.random.default_rng(0), start=2)
    watch = Observer(WORLD, MINDS)
    bits = watch.bits_per_mind(steps)
    path = take_in(watch, steps)
    np.testing.assert_allclose(weight_of_evidence(path[:, 1]), bits[:, 0] - bits[:, 1], atol=1e-9)


def test_certainty_and_ruling_out_are_infinite_evidence_and_afterwards_none() -> None:
    assert weight_of_evidence([0.5, 1.0, 1.0]).tolist() == [np.inf, 0.0]
    assert weight_of_evidence([0.5, 0.0, 0.0]).tolist() == [-np.inf, 0.0]
    text = explain({"A": [0.5, 1.0], "B": [0.5, 0.0]}, ["go"], [1.0], 2)
    assert "After 1 step A has probability 100 %" in text and "step 1 (go, which proves it)" in text


def test_near_certainty_is_no_proof() -> None:
    others = np.array([0.5, 1e-15, 1e-20, 1e-25])
    held = 1.0 - others
    assert held[2] == 1.0  # no digits left
    bits = np.log2(10.0) * 5
    np.testing.assert_allclose(weight_of_evidence(held, others)[1:], bits, rtol=1e-9)
    text = explain({"A": held, "B": others}, ["on"] * 3, [1.0] * 3, 2)
    assert "proves" not in text and f"step 3 (on, +{bits:.2f} bits)" in text
    assert "proves" in explain({"A": [0.5, 1.0], "B": [0.5, 0.0]}, ["on"], [1.0], 2)
    with pytest.raises(UsageError, match="others"):
        weight_of_evidence(held, others[:2])


def test_the_sentences_hold_the_numbers() -> None:
    paths = {"A": [0.25, 0.2, 0.8], "B": [0.25, 0.5, 0.15], "C": [0.5, 0.3, 0.05]}
    text = explain(paths, ["left", "up"], [0.5, 3.25], 4)
    assert "After 2 steps A has probability 80 %, from 25 % before; next is B with 15 %." in text
    assert "step 2 (up, +4.00 bits)" in text  # odds 1/4 to 4
    assert "predicted at 1.88 bits each (a uniform guess: 2.00)" in text and "step 2 (up, 3.25 bits)" in text
    assert "worse than a guess" in explain(paths, ["left", "up"], [2.5, 3.25], 4)
    assert explain({"A": [1.0]}, [], [], 4) == "Nothing was seen: A has probability 100 %."
    assert "No step told more" in explain({"A": [0.5, 0.5], "B": [0.5, 0.5]}, ["go"], [1.0], 2)


def test_what_does_not_fit_together_is_refused() -> None:
    for arguments in (({}, [], [], 2), ({"A": [0.5]}, ["go"], [1.0], 2), ({"A": [0.5, 0.5]}, ["go"], [], 2)):
        with pytest.raises(UsageError, match="hypotheses"):
            explain(*arguments)
    with pytest.raises(UsageError, match="of one hypothesis"):
        weight_of_evidence([[0.5]])


def test_observe_explains_and_takes_minds_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from inscape.experiments.cli import main

    assert observe("value-iteration", WORLD, goals=["left end", "right end"]).episodes[0].explain().startswith("After")
    (tmp_path / "mine.py").write_text(
        "from inscape.theory_of_mind import PlanningMind\n"
        "def minds(world):\n    return [PlanningMind(goal, 2.0, 'hard') for goal in world.goals]\n"
        "number = 3\n"
    )
    line = ["observe", "random", "FourGoals", "--minds", f"{tmp_path / 'mine.py'}:minds", "--explain"]
    assert main(line) == 0
    assert "Actions were predicted at" in capsys.readouterr().out
    assert main([*line[:4], f"{tmp_path / 'mine.py'}:number"]) == 2
    assert "a list of minds" in capsys.readouterr().err
    assert main(["observe", "random", "Tiger", "--goals", "x", "--minds-see", "--minds-filter"]) == 2
    assert "one of minds_see and minds_filter" in capsys.readouterr().err
    assert main(["observe", "random", "TicTacToe"]) == 2
    assert "player" in capsys.readouterr().err
