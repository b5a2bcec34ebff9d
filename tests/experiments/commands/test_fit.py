"""`inscape fit` and `inscape.fit`, on the simulated people of examples/choices."""

from __future__ import annotations

import csv
import json
import runpy
from pathlib import Path

import numpy as np
import pytest

import inscape
from inscape.errors import UsageError
from inscape.experiments.cli import main
from inscape.theory_of_mind import PlanningMind, read_choices, simulate_choices
from tests.conftest import EXAMPLES

TRUCKS = EXAMPLES / "choices" / "trucks.csv"
PROGRAM = EXAMPLES / "choices" / "trucks.py"
LAKE = "who,trial,t,cell,action\n" + "".join(
    f"p{p},{trial},{t},{cell},{action}\n"
    for p in range(4)
    for trial in range(3)
    for t, (cell, action) in enumerate([(0, "down"), (4, "down"), (8, "right"), (9, "down"), (13, "right")])
)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "lake.csv"
    path.write_text(LAKE)
    (tmp_path / "own.py").write_text(
        "from inscape.theory_of_mind import PlanningMind\n"
        "def minds(world):\n    return [PlanningMind(world.purpose, beta, 'hard') for beta in (5.0, 20.0)]\n"
    )
    return path


def test_the_command_prints_and_writes(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["fit", str(table), "FrozenLake"]
    words += ["--minds", str(tmp_path / "own.py"), "--participant", "who", "--refine", "beta", "--each", "--lesions"]
    words += ["--kinds", "1,2", "--out", str(tmp_path / "out.json"), "--report", str(tmp_path / "out.html")]
    assert main(words) == 0
    printed = capsys.readouterr().out
    for part in ("60 of 4 participants in 12 episodes", "without planning", "uniform", "1 kinds of people", "beta"):
        assert part in printed
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["choices"] == 60
    assert [row["model"] for row in found["models"]][:2] == ["minds", "without planning"]
    assert found["refined"]["beta"]["low"] > 0
    assert "Minds fitted to choices in FrozenLake" in (tmp_path / "out.html").read_text()
    assert main([*words[:3], *words[3:-4], "--out", str(tmp_path / "out.csv")]) == 0
    rows = list(csv.DictReader((tmp_path / "out.csv").open()))
    assert [row["participant"] for row in rows] == ["p0", "p1", "p2", "p3"]
    assert float(rows[0]["beta"]) > 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--minds", "nobody.py"], "nobody.py"),
        (["--out", "x.txt"], ".json or .csv"),
        (["--each"], "--refine beta --each"),
        (["--kinds", "two"], "whole numbers"),
        (["--action", "acton"], "did you mean 'action'"),
        ([], "step 0 again, after line 2"),
    ],
)
def test_what_the_command_refuses(words: list[str], said: str, table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", str(table), "FrozenLake", *words]) == 2
    assert said in capsys.readouterr().err


def test_the_verb_takes_choices_and_trajectories() -> None:
    world = inscape.make_world("FourGoals")
    choices = simulate_choices(world, [PlanningMind("B", 20.0, "hard")] * 3, 2, 0)
    fitted = inscape.fit(choices, world, betas=[5.0, 25.0], backups="hard")
    assert fitted.fit.best.goal == "B"
    assert fitted.comparison is not None
    assert "Minds fitted" in fitted._repr_html_()
    played = inscape.rollout("value-iteration", world, 1, 0)
    alone = inscape.fit(played, world, backups="hard", lapse=0.05)
    assert alone.comparison is None  # one episode: nothing to hold out
    with pytest.raises(UsageError, match="minds and goals"):
        inscape.fit(choices, world, [PlanningMind("B", 1.0, "hard")], goals=["A"])


def test_the_example_recovers_what_its_people_were_made_of() -> None:
    program = runpy.run_path(str(PROGRAM))
    world = inscape.make_world("FoodTrucks", map=program["CAMPUS"])
    made = program["people"](world, np.random.default_rng(0))
    choices = read_choices(TRUCKS, world)
    assert [e.actions.tolist() for e in choices.episodes] == [e.actions.tolist() for e in made.episodes]
    fitted = inscape.fit(choices, world, program["minds"](world), lesions=True)
    assert fitted.comparison is not None
    assert fitted.comparison.best == "beliefs and desires"
    assert {"motion", "without beliefs", "without costs", "without planning"} < set(fitted.comparison.scores)
    assert all(mind.beta == 1.0 for mind in fitted.fit.best_of_each)
