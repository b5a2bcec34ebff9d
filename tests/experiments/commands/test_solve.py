"""`inscape solve`: what it prints and saves."""

from __future__ import annotations

import csv

import pytest

from inscape import solve
from inscape.experiments.cli import main


def printed(capsys, *words):
    code = main(["solve", *words])
    out, err = capsys.readouterr()
    return code, out, err


def test_a_map_with_values_and_every_optimal_action(capsys):
    code, out, _ = printed(capsys, "CliffWalking", "--gamma", "1")
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == "CliffWalking: 48 states, 4 actions, γ = 1, value-iteration"
    assert lines[7].split()[:2] == ["−13.0", "−12.0"]
    assert lines[8].split() == ["↑"] * 10 + ["→", "end"]
    assert "Value of the start: -13.000000; every value is certified to ±" in out
    assert "In 22 states several actions are optimal." in out


def test_a_table_where_there_is_no_map_and_a_file_of_all(capsys, tmp_path):
    file = tmp_path / "new" / "taxi.csv"
    code, out, _ = printed(capsys, "Taxi", "--states", "3", "--save", str(file))
    assert code == 0
    assert "497 more states" in out
    with file.open() as opened:
        rows = list(csv.DictReader(opened))
    solution = solve("Taxi")
    assert [float(row["value"]) for row in rows] == solution.values.tolist()
    assert float(rows[1]["q pickup"]) == solution.q_values[1, 4]
    assert rows[1]["optimal"] == "pickup"
    assert rows[0]["optimal"] == ""  # where it is over


def test_a_horizon_has_values_for_every_number_of_steps_to_go(capsys, tmp_path):
    file = tmp_path / "lake.csv"
    code, out, _ = printed(capsys, "FrozenLake", "--horizon", "7", "--save", str(file))
    assert code == 0
    assert "7 steps to go" in out
    with file.open() as opened:
        rows = list(csv.DictReader(opened))
    assert len(rows) == 7 * 16
    assert [row["steps_to_go"] for row in rows[::16]] == ["7", "6", "5", "4", "3", "2", "1"]
    assert float(rows[0]["value"]) == solve("FrozenLake", horizon=7).values[0, 0]


def test_a_world_that_hides_its_state_is_solved_for_beliefs(capsys):
    code, out, _ = printed(capsys, "Tiger", "--tolerance", "0.5")
    assert code == 0
    assert "Value of the start: from 19." in out
    assert "listen" in out
    code, out, _ = printed(capsys, "Tiger", "--horizon", "2")
    assert code == 0
    assert "γ = 0.95" in out  # which the world states, as pomdp-solve takes it from a file
    assert "Value of the start: -1.950000, exact; 5 vectors with 2 steps to go" in out
    code, out, _ = printed(capsys, "Tiger", "--horizon", "2", "--criterion", "total")
    assert code == 0
    assert "Value of the start: -2.000000, exact" in out
    code, _, err = printed(capsys, "Tiger", "--criterion", "total")
    assert code == 2
    assert "gamma = 1" in err


def test_or_for_one_who_sees_it(capsys):
    code, out, _ = printed(capsys, "Tiger", "--full-information")
    assert code == 0
    assert "these are the values of one who sees the state" in out
    code, _, err = printed(capsys, "Tiger", "--method", "linear-programme")
    assert code == 2
    assert "hides its state" in err


def test_reward_per_step_in_the_long_run(capsys, tmp_path):
    file = tmp_path / "gain.csv"
    code, out, _ = printed(capsys, "RiverSwim", "--criterion", "average", "--save", str(file))
    assert code == 0
    assert "Reward per step from the start: 0.428622, certified to ±" in out
    assert "the same from every state" in out
    rows = list(csv.DictReader(file.open()))
    assert [float(row["gain"]) for row in rows] == pytest.approx([0.428622] * 6, abs=1e-6)
    assert {row["optimal"] for row in rows} == {"right"}
    code, out, _ = printed(capsys, "FrozenLake", "--criterion", "average")
    assert "the bias is the total reward" in out


def test_a_team_that_sees_different_things(capsys):
    code, out, _ = printed(capsys, "DecTiger", "--horizon", "3")
    assert code == 0
    assert "Expected return of each: 5.190812, exact" in out
    assert "open right" in out
    code, _, err = printed(capsys, "DecTiger", "--horizon", "3", "--criterion", "average")
    assert code == 2
    assert "the team of DecTiger" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["TicTacToe"], "has 2 players"),
        (["CartPole"], "can only be sampled"),
        (["MountainCar-v0"], "can only be sampled"),
        (["Acrobot-v1"], "has no law to solve"),
        (["FrozenLake", "--gamma", "1.5"], "gamma = 1.5"),
        (["FrozenLake", "--horizon", "0"], "--horizon 0"),
        (["FrozenLake", "--horizon", "-3"], "horizon = -3"),
        (["FrozenLake", "--tolerance", "0"], "tolerance = 0"),
        (["FrozenLake", "--states", "0"], "--states"),
        (["CliffWalking", "--gamma", "1", "--method", "linear-programme"], "goes on for ever"),
        (["FrozenLak"], "FrozenLake"),
        (["RiverSwim", "--criterion", "average", "--gamma", "0.9"], "criterion = 'average' with gamma = 0.9"),
        (["RiverSwim", "--criterion", "average", "--horizon", "9"], "criterion = 'average' with horizon = 9"),
        (["Tiger", "--criterion", "average"], "--criterion average for Tiger, which hides its state"),
        (["FrozenLake", "--criterion", "total", "--gamma", "0.5"], "criterion = 'total' with gamma = 0.5"),
    ],
)
def test_what_cannot_be_solved_is_refused(capsys, words, message):
    code, _, err = printed(capsys, *words)
    assert code == 2
    assert message in err
    assert "Traceback" not in err


def test_a_file_that_cannot_be_written(capsys, tmp_path):
    (tmp_path / "taken").write_text("")
    code, _, err = printed(capsys, "FrozenLake", "--save", str(tmp_path / "taken" / "values.csv"))
    assert code == 2
    assert "cannot be written" in err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("FrozenLake",), ("Certificate", "every value is within", 'class="map"', "<polygon", "States")),
        (("FrozenLake", "--horizon", "3"), ("steps to go", 'class="map"')),
        (("RiverSwim", "--criterion", "average"), ("reward per step from the start", "bias")),
        (("Taxi", "--states", "3"), ("3 of 500 states",)),
        (("Tiger", "--tolerance", "1"), ("value of the start, at least", "gap", "listen")),
        (("Tiger", "--horizon", "2"), ("value of the start", "vectors", "listen")),
    ],
)
def test_a_page_of_what_was_solved(capsys, tmp_path, words, expected):
    page = tmp_path / "solved.html"
    code, out, _ = printed(capsys, *words, "--report", str(page))
    assert code == 0
    assert "Report: " in out
    written = page.read_text()
    for part in (*expected, f"inscape solve {' '.join(words)}"):
        assert part in written


def test_a_page_that_cannot_be_written(capsys, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    code, _, err = printed(capsys, "FrozenLake", "--report", str(blocked / "page.html"))
    assert code == 2
    assert "cannot write" in err
