"""Experiments of many trials: what is to be run, that each is run once, and what a dying process costs."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest

from inscape.envs.tasks.resolve import as_task
from inscape.errors import UsageError
from inscape.experiments import AgentSpec, Experiment, WorldSpec, compare
from inscape.experiments.cli import main
from inscape.experiments.runs.folders import open_run, run_folders
from inscape.experiments.trials import execute
from inscape.experiments.trials.results import RESULTS, ResultsFile
from inscape.experiments.trials.trial import TrialResult
from inscape.experiments.trials.worker import perform

SMALL = Experiment(["FrozenLake"], ["random", "q-learning"], seeds=2, steps=400, final_episodes=5, evaluate_every=200)

DYING = """
import os
from pathlib import Path

from inscape import make_agent


class Dying:
    '''Random; its process dies the first time it is made with an even seed.'''

    name = "dying"

    def __init__(self, task, seed=0, **ignored):
        self.inner = make_agent("random", task, seed=seed)
        mark = Path(__file__).with_name(f"died-{seed}")
        if seed % 2 == 0 and not mark.exists():
            mark.touch()
            os._exit(7)

    def act(self, observations, **rest):
        return self.inner.act(observations, **rest)


class Failing(Dying):
    def __init__(self, task, seed=0, **ignored):
        raise ValueError("no such luck")
"""


DEAD = """
import os


class Dead:
    act = print

    def __init__(self, *given):
        os._exit(3)
"""


def here(due, jobs):
    """Runs jobs in this process."""
    for job in due:
        yield perform(job.trial, job.payload, job.root)


def ran(experiment, out, **options):
    return execute.run_trials(experiment.trials(), out, verbose=False, engine=here, **options)


def test_every_agent_in_every_world_with_every_seed():
    experiment = Experiment(
        ["FrozenLake", WorldSpec("FrozenLake", {"slip": 0.1})],
        ["random", AgentSpec("q-learning", grid={"learning_rate": [0.1, 0.2], "initial_value": [0.0, 1.0]})],
        seeds=[3, 5],
        steps=1000,
    )
    trials = [trial for trial, _ in experiment.trials()]
    assert len(trials) == 2 * (1 + 4) * 2
    assert len({trial.id for trial in trials}) == len(trials)
    assert [trial.seed for trial in trials] == [3] * 10 + [5] * 10
    assert trials[1].agent_label == "q-learning learning_rate=0.1, initial_value=0.0"
    assert {trial.world_label for trial in trials} == {"FrozenLake", "FrozenLake slip=0.1"}
    assert [trial.steps for trial in trials[:2]] == [0, 1000]  # random does not learn


def test_identity_is_what_determines_the_result():
    (trial, _), *_ = SMALL.trials()
    same = dataclasses.replace(trial, agent_label="another name", keep="results")
    assert same.id == trial.id
    for change in ({"seed": 9}, {"steps": 1}, {"settings": {"a": 1}}, {"final_episodes": 6}, {"exact": True}):
        assert dataclasses.replace(trial, **change).id != trial.id
    assert [t.id for t, _ in SMALL.trials()] == [t.id for t, _ in SMALL.trials()]


def test_what_is_finished_is_never_run_again(tmp_path, monkeypatch):
    first = ran(SMALL, tmp_path)
    assert (first.reused, len(first)) == (0, 4)
    more = dataclasses.replace(SMALL, seeds=3)
    begun = []
    monkeypatch.setattr(execute, "_due", lambda *args, real=execute._due: begun.extend(real(*args)) or real(*args))
    second = ran(more, tmp_path)
    assert (second.reused, len(second)) == (4, 6)
    assert [job.trial.seed for job in begun] == [2, 2]
    assert {r.id: r.score for r in first}.items() <= {r.id: r.score for r in second}.items()
    assert len(run_folders(tmp_path / "runs")) == 3
    assert open_run(tmp_path / "runs" / second[1].run).evaluation()[0].estimate == pytest.approx(second[1].score)


def test_an_edited_file_makes_another_trial(tmp_path):
    file = tmp_path / "dying.py"
    file.write_text(DYING)
    experiment = Experiment(["FrozenLake"], [f"{file}:Dying"], seeds=[1], final_episodes=2)
    before = experiment.trials()[0][0].id
    assert experiment.trials()[0][0].id == before
    file.write_text(DYING + "# edited\n")
    assert experiment.trials()[0][0].id != before


def test_results_do_not_depend_on_processes_and_a_death_costs_an_attempt(tmp_path):
    file = tmp_path / "dying.py"
    file.write_text(DYING)
    experiment = Experiment(
        ["FrozenLake"], ["q-learning", f"{file}:Dying", f"{file}:Failing"], seeds=2, steps=300, final_episodes=3
    )
    results = experiment.run(tmp_path / "out", jobs=2, verbose=False)
    by = {(r.agent, r.seed): r for r in results}
    dying, failing = f"{file}:Dying", f"{file}:Failing"
    assert [by[dying, seed].attempts for seed in (0, 1)] == [2, 1]
    assert by[dying, 0].finished
    assert all("no such luck" in by[failing, seed].error for seed in (0, 1))
    alone = ran(dataclasses.replace(experiment, agents=["q-learning"]), None)
    assert [r.score for r in alone] == [by["q-learning", seed].score for seed in (0, 1)]
    assert len(results.failed) == 2
    again = ran(experiment, tmp_path / "out")  # what failed is tried again, and only that
    assert again.reused == 4


@pytest.mark.slow
def test_a_process_that_dies_every_time_fails_its_trial_alone(tmp_path):
    file = tmp_path / "dead.py"
    file.write_text(DEAD)
    experiment = Experiment(["FrozenLake"], [f"{file}:Dead"], seeds=1, final_episodes=2)
    (result,) = experiment.run(None, verbose=False)
    assert result.error == "its process ended (exit code 3) 3 times"
    assert result.attempts == 3


def test_a_killed_experiment_goes_on(tmp_path):
    file = tmp_path / "lake.toml"
    file.write_text('worlds = ["FrozenLake"]\nagents = ["random"]\nseeds = 400\nfinal_episodes = 40\n')
    command = [sys.executable, "-m", "inscape", "run", str(file), "--out", str(tmp_path / "out")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, process_group=0)
    results = tmp_path / "out" / RESULTS
    until = time.monotonic() + 60
    while time.monotonic() < until and (not results.exists() or results.read_bytes().count(b"\n") < 3):
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    done = ResultsFile(tmp_path / "out").read()
    assert 3 <= len(done) < 400
    experiment = dataclasses.replace(Experiment.from_toml(file), seeds=10)
    again = ran(experiment, tmp_path / "out")
    assert again.reused == min(10, len(done))
    assert [r.score for r in again] == [r.score for r in ran(experiment, None)]


@pytest.mark.parametrize(
    "damage", [lambda d: d[:-20], lambda d: d[:40] + b"X" + d[41:], lambda d: d + b"\x00\xff junk"]
)
def test_damaged_lines_run_again(damage, tmp_path, capsys):
    results = ran(SMALL, tmp_path)
    file = tmp_path / RESULTS
    file.write_bytes(damage(file.read_bytes()))
    again = execute.run_trials(SMALL.trials(), tmp_path, verbose=True, engine=here)
    assert again.reused in (3, 4)
    assert "damaged at line" in capsys.readouterr().err
    assert [r.score for r in again] == [r.score for r in results]
    assert ran(SMALL, tmp_path).reused == 4


def test_worlds_and_classes_in_hand():
    import gymnasium

    from inscape import make_world

    experiment = Experiment([make_world("FrozenLake", slip=0.0), gymnasium.make("CartPole-v1")], ["random"], 1)
    assert [r.score is not None for r in ran(dataclasses.replace(experiment, final_episodes=2), None)] == [True, True]
    assert as_task(make_world("FrozenLake")).name == "FrozenLake"


def test_exact_values_stand_beside_scores():
    experiment = Experiment(["FrozenLake"], ["value-iteration", "random"], 1, final_episodes=0, exact=True)
    optimal, random = ran(experiment, None)
    assert optimal.exact["regret"] == pytest.approx(0.0, abs=1e-6)
    assert optimal.score == pytest.approx(optimal.exact["optimum"])
    assert random.exact["regret"] > 0.1


# ------------------------------------------------------------------------------------------------------------- files


def write(tmp_path, text):
    (tmp_path / "e.toml").write_text(text)
    return tmp_path / "e.toml"


def test_a_file_is_what_python_says(tmp_path):
    file = write(
        tmp_path,
        """
worlds = ["FrozenLake", {name = "FrozenLake", slip = 0.1, label = "dry"}]
agents = [{name = "q-learning", learning_rate = 0.3, steps = 50, grid = {initial_value = [0.0, 1.0]}}]
seeds = [1, 2]
""",
    )
    told = Experiment(
        ["FrozenLake", WorldSpec("FrozenLake", {"slip": 0.1}, label="dry")],
        [AgentSpec("q-learning", {"learning_rate": 0.3}, steps=50, grid={"initial_value": [0.0, 1.0]})],
        seeds=[1, 2],
    )
    assert [t for t, _ in Experiment.from_toml(file).trials()] == [t for t, _ in told.trials()]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('worlds = ["FrozenLake"]\nagents = ["qlearning"]', "line 2: no agent 'qlearning'"),
        ('worlds = ["FrozenLak"]\nagents = ["ppo"]', "line 1: "),
        ('worlds = ["FrozenLake"]\nagents = ["ppo"]\n\nseed = 3', "line 4: unknown key 'seed'"),
        ('worlds = ["FrozenLake"]\nagents = [\n  {name = "ppo", lr = 3}]', "line 3: "),
        ('worlds = ["FrozenLake"]', "no agents"),
        ('worlds = []\nagents = ["ppo"]', "worlds = []"),
        ('worlds = ["FrozenLake"]\nagents = ["ppo"]\nseeds = 0', "seeds ="),
        ('worlds = ["FrozenLake"]\nagents = ["ppo"]\nseeds = [1, 1]', "seeds = [1, 1]"),
        ('worlds = ["FrozenLake"]\nagents = [{name = "ppo", grid = {gamma = []}}]', "grid gamma = []"),
        ('worlds = ["FrozenLake"]\nagents = ["ppo"]\nkeep = "all"', "keep = 'all'"),
        ('worlds = ["FrozenLake"\nagents = ["ppo"]', "line 2"),
        ('worlds = "FrozenLake"\nagents = ["ppo"]', "no list"),
        ('worlds = ["FrozenLake"]\nagents = [{label = "a"}]', "agent {'label': 'a'}"),
    ],
)
def test_wrong_files_are_refused_with_the_line(text, found, tmp_path):
    with pytest.raises(UsageError) as refused:
        Experiment.from_toml(write(tmp_path, text))
    assert found in str(refused.value)


def test_the_commands(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(execute, "local", here)
    write(tmp_path, 'worlds = ["FrozenLake"]\nagents = ["random", "q-learning"]\nsteps = 300\nfinal_episodes = 4\n')
    assert main(["run", "e.toml", "--seeds", "2"]) == 0
    assert "4 trials, none of them finished before" in capsys.readouterr().out
    assert main(["run", "e.toml", "--seeds", "2"]) == 0
    assert "4 trials, 4 of them finished before" in capsys.readouterr().out
    assert main(["compare", "experiments/e", "--save", "c.json"]) == 0
    document = json.loads(Path("c.json").read_text())
    assert [row["agent"] for row in document["agents"]] == ["random", "q-learning"]
    assert main(["compare", "experiments/e", "--save", "c.html"]) == 0
    assert "Learning curves" in Path("c.html").read_text(encoding="utf-8")
    one, two = sorted(map(str, Path("experiments/e/runs").iterdir()))
    capsys.readouterr()
    assert main(["diff", one, two]) == 0
    assert "seed" in capsys.readouterr().out
    for line, said in [
        (["run", "e.toml", "--jobs", "0"], "jobs"),
        (["run", "none.toml"], "no experiment 'none.toml'"),
        (["run", "experiments"], "is a folder"),
        (["compare", "nowhere"], "no run at nowhere"),
        (["compare", "experiments/e", "--save", "c.txt"], ".html or .json"),
    ]:
        assert main(line) == 2
        assert said in " ".join(capsys.readouterr().err.split())


def test_two_processes_cannot_run_one_experiment(tmp_path):
    from inscape.experiments.runs.storage.lock import RunLock

    lock = RunLock(tmp_path)
    try:
        with pytest.raises(UsageError):
            ran(SMALL, tmp_path)
    finally:
        lock.release()


# -------------------------------------------------------------------------------------------------------- comparison


def results_of(scores):
    return [
        TrialResult(f"{agent}{world}{seed}", agent, world, seed, float(score), steps=10)
        for (agent, world), values in scores.items()
        for seed, score in enumerate(values)
    ]


def test_comparisons_agree_with_scipy():
    from scipy.stats import mannwhitneyu, trim_mean

    from inscape.experiments.trials.results import Results

    rng = np.random.default_rng(0)
    x, y = rng.normal(1, 1, 12).round(1), rng.normal(0, 1, 9).round(1)
    compared = compare(Results(results_of({("a", "w"): x, ("b", "w"): y})))
    rows = {row.agent: row for row in compared.rows}
    assert rows["a"].iqm.estimate == pytest.approx(trim_mean(x, 0.25))
    (pair,) = compared.pairs
    assert (pair.better, pair.worse) == ("a", "b")
    assert pair.improvement.estimate == pytest.approx(mannwhitneyu(x, y).statistic / (12 * 9))
    assert pair.difference.estimate == pytest.approx(np.mean(x[:9] - y))
    assert pair.improvement.low < pair.improvement.estimate < pair.improvement.high
    assert compared.best("w") == "a"


def test_over_several_worlds_scores_are_normalised():
    from inscape.experiments.trials.results import Results

    scores = {("a", "u"): [1, 1], ("b", "u"): [0, 0], ("a", "v"): [-100, -100], ("b", "v"): [100, 100]}
    compared = compare(Results(results_of(scores)))
    assert {agent: interval.estimate for agent, interval in compared.overall.items()} == {"a": 0.5, "b": 0.5}
    np.testing.assert_allclose(compared.profiles["a"][[0, 50, 99, 100]], [0.5, 0.5, 0.5, 0.0])


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("seeds = [1, 2, 1]", r"line 3: seeds = \[1, 2, 1\]"),
        ('agents = ["random", {name = "q-learning", steps = -5}]', "line 3: steps = -5"),
        (
            'agents = ["random", {name = "q-learning", learning_rate = "fast"}]',
            "line 3: QLearningSettings.learning_rate",
        ),
    ],
)
def test_a_wrong_value_is_named_with_its_line(tmp_path, line, said):
    file = tmp_path / "wrong.toml"
    agents = "" if "agents" in line else 'agents = ["random"]'
    file.write_text(f'worlds = ["FrozenLake"]\n{agents}\n{line}\n')
    with pytest.raises(UsageError, match=said):
        Experiment.from_toml(file)


def test_results_of_another_version_are_left_alone(tmp_path):
    file = ResultsFile(tmp_path)
    file.append(TrialResult("0" * 16, "a", "w", 0, 1.0))
    file.close()
    text = file.path.read_bytes().split(b" ", 1)[1].replace(b'"measures":', b'"mood":3,"measures":').strip()
    file.path.write_bytes(f"{zlib.crc32(text):08x} ".encode() + text + b"\n")
    before = file.path.read_bytes()
    with pytest.raises(UsageError, match=r"line 1, has 'mood'[\s\S]*another --out"):
        ResultsFile(tmp_path).read()
    with pytest.raises(UsageError, match="mood"):
        Experiment(["FrozenLake"], ["random"], seeds=1, final_episodes=1).run(tmp_path, verbose=False)
    assert file.path.read_bytes() == before


TRUSTED = """
from inscape import make_agent
from inscape.trust import require_trust


class Trusted:
    name = "trusted"

    def __init__(self, task, seed=0, **ignored):
        require_trust(["somebody.py:Code"], "a stored run")
        self.inner = make_agent("random", task, seed=seed)

    def act(self, observations, **rest):
        return self.inner.act(observations, **rest)
"""


@pytest.mark.parametrize("trust", [[], ["--trust"]])
def test_workers_trust_what_the_command_does(
    trust: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "trusted.py").write_text(TRUSTED)
    (tmp_path / "e.toml").write_text(
        'worlds = ["FrozenLake"]\nagents = ["trusted.py:Trusted"]\nseeds = 1\nsteps = 10\nfinal_episodes = 2\n'
        "evaluate_every = 0\n"
    )
    assert main(["run", "e.toml", *trust]) == (0 if trust else 1)
    assert ("somebody.py:Code" in capsys.readouterr().out) == (not trust)
