"""`inscape study`: every section on the page, once planned always the same, bad input in words."""

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from inscape.envs.tasks.resolve import resolve_task
from inscape.errors import UsageError
from inscape.experiments import study
from inscape.experiments.cli import main
from inscape.experiments.studies import budget, probing
from inscape.experiments.studies.context import StudyContext
from inscape.experiments.studies.mistakes import mistakes
from inscape.experiments.trials import execute
from inscape.experiments.trials.results import ResultsFile
from inscape.experiments.trials.worker import perform


@pytest.fixture(autouse=True)
def known_speeds(monkeypatch):
    """Speeds as on a slow machine, and trials in this process."""
    speeds = {"q-learning": 150.0, "ppo": 0.0}

    def probe(name, task, seed, learns, timeout):
        if learns and not speeds.get(name):
            raise UsageError(f"{name} is not tried here")
        return probing.Speeds(speeds.get(name, 0.0), 0.1, 0.1, 10.0)

    def here(due, jobs):
        for job in due:
            yield perform(job.trial, job.payload, job.root)

    monkeypatch.setattr(budget, "probe", probe)
    monkeypatch.setattr(execute, "local", here)


def titles(page):
    return re.findall(r'"title":"([^"]+)"', page.read_text(encoding="utf-8")) + re.findall(
        r"<h2[^>]*>([^<]+)</h2>", page.read_text(encoding="utf-8")
    )


def test_every_section_and_the_same_page_again(tmp_path):
    page = study("FrozenLake", 0.5, out=tmp_path, verbose=False)
    for title in (
        "In short", "The exact optimum", "Values and optimal actions", "Agents", "Learning curves", "In pairs",
        "A learned model", "What an observer makes of them", "Best episodes", "Where they go wrong",
    ):  # fmt: skip
        assert title in titles(page), title
    text = page.read_text(encoding="utf-8")
    assert "The optimum from the start is 0.542" in text
    assert page.stat().st_size < 5e6
    results = (tmp_path / "trials" / "results.jsonl").read_bytes()
    again = study("FrozenLake", 0.5, out=tmp_path, verbose=False)
    assert (tmp_path / "trials" / "results.jsonl").read_bytes() == results  # nothing ran twice
    assert titles(again) == titles(page)


def test_costs_of_mistakes_sum_to_the_regret(tmp_path):
    task = resolve_task("FrozenLake")
    plan = budget.Budget(1.0, (), (), {})
    context = StudyContext(task, tmp_path, 0, plan, lambda text: None)
    uniform = np.full((16, 4), 0.25)
    context.__dict__["policies"] = {"somebody": uniform}
    table, *_ = mistakes(context)
    from inscape.world_models import policy_evaluation

    assert context.table is not None
    values = policy_evaluation(context.table, uniform, task.world.gamma)
    regret = float(context.table.initial @ (context.solution.values - values))
    shown = sum(row[2] for row in table.rows)
    assert 0.8 * regret < shown <= regret + 1e-9  # the eight worst states have nearly all of it
    assert table.rows[0][2] == max(row[2] for row in table.rows)


def test_bad_input(tmp_path, capsys):
    with pytest.raises(UsageError, match=r"expected: at least 0\.33"):
        study("FrozenLake", 0.1, out=tmp_path / "a", verbose=False)
    assert not (tmp_path / "a").exists()  # what was refused leaves nothing
    with pytest.raises(UsageError, match="minutes = -1"):
        study("FrozenLake", -1, out=tmp_path / "a", verbose=False)
    (tmp_path / "b").mkdir()
    document = {"format": 0, "minutes": 1.0, "rows": [], "model_steps": [], "left_out": {}}
    (tmp_path / "b" / "plan.json").write_text(json.dumps(document))
    with pytest.raises(UsageError, match="holds a study with format = 0"):
        study("FrozenLake", 1.0, out=tmp_path / "b", verbose=False)
    (tmp_path / "b" / "plan.json").write_text("{")
    with pytest.raises(UsageError, match="cannot read"):
        study("FrozenLake", 1.0, out=tmp_path / "b", verbose=False)
    assert main(["study", "FrozenLak"]) == 2
    assert "FrozenLake" in capsys.readouterr().err
    assert main(["study", "FrozenLake", "--jobs", "0"]) == 2


def test_a_slow_search_leaves_time_to_try_learners(monkeypatch):
    """Compiling a search may take all the time that is meant for trying agents."""
    tried = []

    def slow(self, name, learns):
        tried.append(name)
        self.spent += 1e6
        return probing.Speeds(150.0, 0.1, 0.1, 10.0) if name == "q-learning" else None

    monkeypatch.setattr(budget._Probes, "speeds", slow)
    planned = budget._planned(resolve_task("FrozenLake"), 60.0, 0, lambda text: None)
    assert [row.label for row in planned.rows] == ["random", "q-learning"] and tried == ["mcts", "q-learning"]


def test_tables_are_tried_where_observations_count_several_things(elevator_file):
    assert budget._candidates(resolve_task(elevator_file))[0] == "q-learning"
    assert "q-learning" not in budget._candidates(resolve_task("CartPole"))


def test_worlds_without_a_law_have_the_other_sections(tmp_path):
    page = study("CartPole-v1", 0.5, out=tmp_path, verbose=False)
    text = page.read_text(encoding="utf-8")
    assert "has no law, so that its optimum cannot be computed" in text
    assert "ppo is not tried here" in text
    assert "Left out" in titles(page)
    assert "Agents" in titles(page)


@pytest.mark.slow
def test_an_agent_is_tried_in_a_process_of_its_own():
    task = resolve_task("FrozenLake")
    found = probing.probe("q-learning", task, 0, True, 60.0)
    assert found.steps > 100
    with pytest.raises(UsageError, match="actions Discrete"):
        probing.probe("sac", task, 0, True, 60.0)
    with pytest.raises(UsageError, match="too slow"):
        probing.probe("q-learning", task, 0, True, 0.01)


@pytest.mark.slow
def test_killed_three_times_it_comes_to_the_same_page(tmp_path):
    command = [sys.executable, "-m", "inscape", "study", "FrozenLake", "--minutes", "0.4", "--out"]
    whole = subprocess.run([*command, str(tmp_path / "whole")], capture_output=True, check=True)
    assert b"The page" in whole.stdout
    plan = (tmp_path / "whole" / "plan.json").read_bytes()
    (tmp_path / "killed").mkdir()
    (tmp_path / "killed" / "plan.json").write_bytes(plan)  # measured speeds differ from time to time
    rng = np.random.default_rng(0)
    for seconds in 3.0 + 9.0 * np.sort(rng.random(3)):  # importing takes two
        process = subprocess.Popen([*command, str(tmp_path / "killed")], process_group=0, stderr=subprocess.DEVNULL)
        time.sleep(seconds)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    subprocess.run([*command, str(tmp_path / "killed")], capture_output=True, check=True)
    pages = []
    for name in ("whole", "killed"):
        file = ResultsFile(tmp_path / name / "trials")
        results = sorted(file.read().values(), key=lambda result: result.id)
        file.path.unlink()
        for result in results:  # what it took differs, and how often it was begun
            file.append(dataclasses.replace(result, seconds=1.0, attempts=1))
        file.close()
        page = study("FrozenLake", 0.4, out=tmp_path / name, verbose=False, commands=("inscape study",))
        text = page.read_text(encoding="utf-8")
        pages.append(re.sub(r"\d+ \w+ 20\d\d, \d\d:\d\d UTC", "then", text))
    assert len(pages[0]) > 50_000
    assert pages[0] == pages[1]
