"""`inscape train --seeds`, `--config`, and the list of runs."""

import json
from pathlib import Path

import pytest

from inscape.experiments.cli import main
from inscape.experiments.commands import list as listing
from inscape.experiments.runs.folders import open_run, run_folders
from inscape.experiments.runs.storage.metrics import TAIL_BYTES, last_values

FEW = "--final-episodes 2 --evaluate-every 0"

CONFIG = """
agent = {name = "q-learning", learning_rate = 0.5}
world = {name = "FrozenLake", slip = 0.1, max_episode_steps = 50}
steps = 200
seed = 3
final_episodes = 2
evaluate_every = 0
"""


def run(line: str) -> int:
    return main(line.split())


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_run_for_each_seed_then_the_comparison(capsys):
    line = f"train q-learning FrozenLake --steps 200 --learning-rate 0.5 --seed 4 {FEW}"
    assert run(f"{line} --seeds 2") == 0
    assert "2 runs, none of them finished before" in capsys.readouterr().out
    assert run(f"{line} --seeds 3") == 0
    assert "3 runs, 2 of them finished before" in capsys.readouterr().out
    runs = [open_run(folder) for folder in run_folders()]
    assert sorted(one.settings.seed for one in runs) == [4, 5, 6]
    assert {one.settings.agent_settings["learning_rate"] for one in runs} == {0.5}
    assert run("list runs --sort steps --limit 2") == 0
    listed = capsys.readouterr().out
    assert listed.count("q-learning  FrozenLake") == 2 and "and 1 more" in listed
    # what one training of that seed finds, an experiment's finds
    assert run(f"{line} --out runs/alone") == 0
    alone, same = open_run(Path("runs/alone")), next(one for one in runs if one.settings.seed == 4)
    assert alone.evaluation() == same.evaluation()


def test_settings_of_a_file_and_the_line_over_them(capsys):
    Path("q.toml").write_text(CONFIG)
    assert run("train --config q.toml") == 0
    run_ = open_run("FrozenLake-q-learning-seed3")
    assert run_.settings.agent_settings["learning_rate"] == 0.5
    assert run_.settings.task["settings"] == {"slip": 0.1, "max_episode_steps": 50}
    assert (run_.settings.steps, run_.evaluation()[1]) == (200, 2)
    line = "train --config q.toml --learning-rate 0.25 --world.slip 0.3 --steps 100 --max-episode-steps 20 --seed 7"
    assert run(line) == 0
    over = open_run("FrozenLake-q-learning-seed7")
    assert over.settings.agent_settings["learning_rate"] == 0.25
    assert over.settings.task["settings"] == {"slip": 0.3, "max_episode_steps": 20}
    assert over.settings.steps == 100
    assert run("train sarsa FrozenLake8x8 --config q.toml --out runs/sarsa") == 0  # names on the line win, too
    other = open_run("sarsa")
    assert (other.settings.agent, other.settings.task["name"]) == ("sarsa", "FrozenLake8x8")
    assert other.settings.agent_settings["learning_rate"] == 0.5
    capsys.readouterr()
    assert run("list runs --agent sarsa") == 0
    assert "runs/sarsa" in (listed := capsys.readouterr().out) and "seed7" not in listed
    assert run("list runs --world CartPole") == 0
    assert "none of these" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("agnet = 'ppo'", "", "line 1: unknown key 'agnet'"),
        (CONFIG.replace("learning_rate", "lerning_rate"), "", "lerning_rate"),
        (CONFIG.replace("steps = 200", "steps = 'many'"), "", "line 4: 'steps' = 'many'"),
        (CONFIG.replace("slip", "slide"), "", "slide"),
        ("agent = 'q-learning'", "", "names no world"),
        ("agent = [", "", "Invalid value"),
        ("agent = {name = 'random', gamma = 0.5}\nworld = 'FrozenLake'", "", "has no setting 'gamma'"),
        (CONFIG, "--resume", "--resume with --config"),
        (CONFIG, "--jobs 2", "--jobs without --seeds"),
        (CONFIG, "--seeds 0", "--seeds 0"),
        (CONFIG, "--seeds", "--seeds without a value"),
        (CONFIG + "seeds = 0\n", "", "seeds = 0"),
    ],
)
def test_wrong_files_and_numbers_are_refused(capsys, text, line, said):
    Path("q.toml").write_text(text)
    assert run(f"train --config q.toml {line}".strip()) == 2
    assert said in capsys.readouterr().err
    assert not run_folders()


def test_a_file_that_is_not_there(capsys):
    assert run("train --config nowhere.toml") == 2
    assert "cannot read nowhere.toml" in capsys.readouterr().err


def test_wrong_options_of_the_list(capsys):
    assert run("list agents --sort score") == 2
    assert "--sort with agents" in capsys.readouterr().err
    assert run("list runs --limit 0") == 2


def test_runs_are_sorted_and_those_without_a_value_come_last():
    rows = [listing._Row(name, score=score, seconds=s) for name, score, s in
            (("a", None, 3.0), ("b", 1.0, 2.0), ("c", float("nan"), 9.0), ("d", 5.0, 1.0))]  # fmt: skip
    assert [r.folder for r in sorted(rows, key=lambda r: r.place("score"))] == ["d", "b", "a", "c"]
    assert [r.folder for r in sorted(rows, key=lambda r: r.place("time"))] == ["c", "a", "b", "d"]


def test_last_values_come_from_the_end_of_the_file(tmp_path):
    file = tmp_path / "metrics.jsonl"
    assert last_values(file, ["steps"]) == {}
    file.write_text("")
    assert last_values(file, ["steps"]) == {}
    rows = [{"steps": n, **({"score": n / 2} if n == 5 else {})} for n in range(TAIL_BYTES // 8)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert file.stat().st_size > TAIL_BYTES
    found = last_values(file, ["steps", "score", "never"])
    assert found == {"steps": float(len(rows) - 1), "score": 2.5}
    with file.open("a") as more:
        more.write('{"steps": 1e9, "sco')  # cut short by a kill
    assert last_values(file, ["steps"]) == {"steps": float(len(rows) - 1)}
