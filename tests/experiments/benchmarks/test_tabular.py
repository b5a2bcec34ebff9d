from __future__ import annotations

import json

import pytest

from inscape.experiments.cli import main


def test_a_small_comparison_knows_the_exact_values(tmp_path, capsys):
    line = ["bench", "tabular", "FrozenLake-firm", "--steps", "300", "--seeds", "1", "--out", str(tmp_path / "out")]
    assert main(line) == 0
    world = json.loads((tmp_path / "out" / "results.json").read_text())["worlds"]["FrozenLake-firm"]
    assert abs(world["exact"]["best"] - 0.99**5) < 1e-8
    assert len(world["control"]) > 5 and len(world["prediction"]) > 1
    assert all(row["greedy_value"] <= world["exact"]["best"] + 1e-8 for row in world["control"])


@pytest.mark.slow
@pytest.mark.compiled(all=False)
def test_the_comparison_knows_the_exact_values_and_says_where_it_lies(tmp_path, capsys):
    line = ["bench", "tabular", "FrozenLake-firm", "--steps", "20000", "--seeds", "4", "--out", str(tmp_path / "out")]
    assert main(line) == 0
    said = capsys.readouterr().out.strip()
    assert said.endswith(f"Results in {tmp_path / 'out' / 'results.json'}")
    world = json.loads((tmp_path / "out" / "results.json").read_text())["worlds"]["FrozenLake-firm"]
    assert abs(world["exact"]["best"] - 0.99**5) < 1e-8
    rows = {row["method"]: row for row in world["control"]}
    assert rows["Q-learning"]["greedy_value"] <= world["exact"]["best"] + 1e-8
    assert rows["Dyna-Q, 10 a step"]["solved"] > 0.5
    assert all(abs(row["bias"]) < 0.05 for row in world["prediction"])


def test_what_cannot_be_compared_is_refused(capsys):
    assert main(["bench", "tabular", "CartPole"]) == 2
    assert main(["bench", "tabular", "--seeds", "0"]) == 2
    assert "at least 1" in capsys.readouterr().err
