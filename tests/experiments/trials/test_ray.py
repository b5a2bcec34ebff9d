"""Trials on a Ray cluster: what is sent, what a dying machine costs, and what does not answer."""

import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from inscape.errors import UsageError
from inscape.experiments import Experiment, RayEngine
from inscape.experiments.cli import main
from inscape.experiments.runs.folders import run_folders
from inscape.experiments.trials import ray_engine, remote
from inscape.experiments.trials.engines import engine_of
from inscape.experiments.trials.execute import _due, run_trials
from inscape.experiments.trials.results import ResultsFile

ROOT = Path(__file__).parents[3]
WORLD = (ROOT / "examples" / "elevator.py").read_text()
AGENT = """
import os
import time
from pathlib import Path

from helper import CHOICES
from inscape import make_agent


class Slow:
    '''Random, and slow to be made. Each beginning is noted.'''

    name = "slow"

    def __init__(self, task, seed=0, **ignored):
        if "one" not in CHOICES:
            raise ValueError("no such luck")
        with open(os.environ["BEGUN"], "a") as file:
            file.write(f"{seed}\\n")
        time.sleep(1.0)
        self.inner = make_agent("random", task, seed=seed)

    def act(self, observations, **rest):
        return self.inner.act(observations, **rest)


class Failing:
    def __init__(self, task, seed=0, **ignored):
        raise ValueError("no such luck")
"""


def user_files(folder):
    folder.mkdir(exist_ok=True)
    (folder / "elevator.py").write_text(WORLD)
    (folder / "lift_in_a_module.py").write_text(WORLD)
    (folder / "agent.py").write_text(AGENT)
    (folder / "helper.py").write_text("CHOICES = ['one']\n")
    return folder


# ------------------------------------------------------------------------------------------------ without Ray


def test_engines_by_name():
    assert engine_of(None) is engine_of("local") is None
    assert engine_of("ray", "auto") == RayEngine("auto")
    assert engine_of(print) is print
    for wrong in ("rai", 3):
        with pytest.raises(UsageError, match="no engine"):
            engine_of(wrong)
    with pytest.raises(UsageError, match="no cluster"):
        engine_of("local", "127.0.0.1:6379")


@pytest.mark.parametrize("address", ["", 6379, "host", "host:0", "host:99999", "host:٣", "ray://host:10001", "a:b:c"])
def test_addresses_that_are_none(address):
    with pytest.raises(UsageError, match="HOST:PORT"):
        ray_engine._parsed(address)


def test_an_address_that_does_not_answer(monkeypatch):
    monkeypatch.setattr(ray_engine, "ANSWER_SECONDS", 0.2)
    began = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(UsageError, match="no answer"):
            ray_engine._require_answer("it", "127.0.0.1", port)
    with pytest.raises(UsageError, match="refused"):
        ray_engine._require_answer("it", "127.0.0.1", port)
    with pytest.raises(UsageError, match="no Ray cluster at 'it'"):
        ray_engine._require_answer("it", "no-such-host.invalid", port)
    assert time.monotonic() - began < 5


def test_ray_that_is_not_installed(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.chdir(tmp_path)
    Path("e.toml").write_text('worlds = ["FrozenLake"]\nagents = ["random"]\nseeds = 1\n')
    assert main(["run", "e.toml", "--engine", "ray"]) == 2
    assert 'pip install "inscape[ray]"' in capsys.readouterr().err
    assert main(["run", "e.toml", "--address", "auto"]) == 2
    assert "--engine ray" in capsys.readouterr().err


def orders_of(experiment, out=None):
    return [(remote.order_of(job, None, {}), job.payload) for job in _due(experiment.trials(), out, {})]


def test_orders_of_another_version_too_late_or_of_a_folder_that_is_not_seen(tmp_path):
    ((order, payload),) = orders_of(Experiment(["FrozenLake"], ["q-learning"], 1, 300, final_episodes=2), tmp_path)
    assert order.root == tmp_path / "runs"
    (tmp_path / "lock.json").write_text("{}")  # another folder of that name: the lock is not the one of the order
    far = remote.Order(**{**vars(order), "token": "of another folder"})
    result = remote.perform_order(far, payload)
    assert (result.finished, result.run) == (True, "")
    assert not (tmp_path / "runs").exists()
    assert remote.perform_order(remote.Order(**{**vars(order), "until": time.time() - 1}), payload) is None
    assert "0.0.9" in remote.perform_order(remote.Order(**{**vars(order), "version": "0.0.9"}), payload).error


def test_code_that_was_edited_between_two_orders_of_one_process(tmp_path, monkeypatch):
    monkeypatch.setenv("BEGUN", os.devnull)
    monkeypatch.chdir(user_files(tmp_path / "project"))
    monkeypatch.setattr(remote, "_loaded", {})
    experiment = Experiment(["FrozenLake"], ["agent.py:Failing"], 1, final_episodes=3)
    assert "no such luck" in remote.perform_order(*orders_of(experiment)[0]).error
    Path("helper.py").write_text("CHOICES = ['another']\n")
    assert "helper.py was edited" in remote.perform_order(*orders_of(experiment)[0]).error


@pytest.mark.slow
def test_code_comes_with_the_order(tmp_path, monkeypatch, forks):
    """World and agent in files, with a module beside them, on a machine that has none of these: equal results."""
    monkeypatch.setenv("BEGUN", os.devnull)
    here = user_files(tmp_path / "project")
    monkeypatch.chdir(here)
    worlds = ["elevator.py:Elevator", "lift_in_a_module:Elevator"]
    experiment = Experiment(worlds, ["q-learning", "agent.py:Slow"], 1, 200, final_episodes=3)
    orders = orders_of(experiment)
    local = [remote.perform_order(*order) for order in orders]
    assert all(result.finished for result in local), [result.error for result in local]
    (tmp_path / "orders").write_bytes(pickle.dumps(orders))
    here.rename(tmp_path / "elsewhere")
    source = """
import json, pickle
from inscape.experiments.trials.remote import perform_order
found = [perform_order(*order) for order in pickle.load(open("orders", "rb"))]
print(json.dumps([[result.error, result.returns] for result in found]))
"""
    done = forks.program(source, tmp_path)
    assert done.returncode == 0, done.err
    assert json.loads(done.stdout) == [["", list(result.returns)] for result in local]


# ------------------------------------------------------------------------------------------ a cluster of two nodes

try:
    import ray
    from ray.cluster_utils import Cluster
except ImportError:
    ray = None
needs_ray = pytest.mark.skipif(ray is None, reason="the package ray is not installed: make test-ray")


@pytest.fixture
def cluster(tmp_path_factory, monkeypatch):
    """A head without processors, and two nodes with two each."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("BEGUN", str(tmp_path_factory.mktemp("begun") / "begun"))
    monkeypatch.chdir(tmp_path_factory.mktemp("cwd-of-the-nodes"))
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    made.nodes = [made.add_node(num_cpus=2) for _ in range(2)]
    made.wait_for_nodes()
    yield made
    ray.shutdown()
    made.shutdown()


def begun():
    file = Path(os.environ["BEGUN"])
    return file.read_text().split() if file.exists() else []


@needs_ray
@pytest.mark.slow
def test_two_nodes_one_of_them_killed(cluster, tmp_path, monkeypatch):
    """Every trial has one result, those that the node had are begun again, and failing ones are counted as always."""
    monkeypatch.chdir(user_files(tmp_path / "project"))
    experiment = Experiment(
        ["elevator.py:Elevator"], ["agent.py:Slow", "q-learning", "agent.py:Failing"], 12, 2000, final_episodes=3
    )
    plain = run_trials(
        Experiment(["elevator.py:Elevator"], ["q-learning"], 12, 2000, final_episodes=3).trials(), verbose=False
    )
    trials = experiment.trials()
    appended, append = [], ResultsFile.append

    def kill_half_way(file, result):
        appended.append(result.id)
        if len(appended) == len(trials) // 2:
            cluster.remove_node(cluster.nodes[0], allow_graceful=False)
        append(file, result)

    monkeypatch.setattr(ResultsFile, "append", kill_half_way)
    results = run_trials(trials, "out", engine=RayEngine(cluster.address), verbose=False)
    assert len(appended) == len(set(appended)) == len(results) == 36
    assert sorted(appended) == sorted(trial.id for trial, _ in trials)
    lines = Path("out/results.jsonl").read_text().splitlines()
    assert len(lines) == 36
    by = {agent: [r for r in results if r.agent == agent] for agent in results.agents}
    assert all(r.finished for r in by["agent.py:Slow"] + by["q-learning"]), [r.error for r in results]
    assert all("no such luck" in r.error and r.attempts <= 2 for r in by["agent.py:Failing"]), [
        r.error for r in results
    ]
    assert [r.score for r in by["q-learning"]] == [r.score for r in plain]
    assert {folder.name for folder in run_folders(Path("out/runs"))} == {r.run for r in by["q-learning"]}
    assert all(r.run for r in by["q-learning"])
    again = sum(r.attempts - 1 for r in results)
    assert again <= 4, again  # what the node was running, and what had been given to it
    assert len(begun()) >= 12


@needs_ray
@pytest.mark.slow
def test_the_driver_is_killed_and_started_again(cluster, tmp_path, monkeypatch):
    folder = user_files(tmp_path / "project")
    monkeypatch.chdir(folder)
    Path("e.toml").write_text(
        'worlds = ["elevator.py:Elevator"]\nagents = ["agent.py:Slow"]\nseeds = 16\nfinal_episodes = 3\n'
    )
    command = [sys.executable, "-m", "inscape", "run", "e.toml", "--engine", "ray", "--address", cluster.address]
    driver = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    results = Path("experiments/e/results.jsonl")
    end = time.monotonic() + 90
    while time.monotonic() < end and not (results.exists() and len(results.read_bytes().splitlines()) >= 4):
        time.sleep(0.1)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    kept = results.read_bytes().splitlines()
    assert 4 <= len(kept) < 16
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"16 trials, {len(kept)} of them finished before" in done.stdout
    lines = results.read_bytes().splitlines()
    assert lines[: len(kept)] == kept
    assert len({json.loads(line.partition(b" ")[2])["id"] for line in lines}) == len(lines) == 16


@needs_ray
@pytest.mark.slow
def test_a_process_that_always_dies_fails_and_stops_no_other(cluster, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("dead.py").write_text(
        "import os\nclass Dead:\n    act = print\n    def __init__(self, *given, **rest):\n        os._exit(3)\n"
    )
    experiment = Experiment(["FrozenLake"], ["random", "dead.py:Dead"], 2, final_episodes=2)
    results = experiment.run(engine=RayEngine(cluster.address), verbose=False)
    assert [r.finished for r in results] == [True, False, True, False]
    assert all((r.attempts, "3 times" in r.error) == (3, True) for r in results.failed)


@needs_ray
@pytest.mark.slow
def test_a_cluster_of_its_own_and_classes_in_hand(tmp_path, monkeypatch):
    from inscape import make_world

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    experiment = Experiment([make_world("FrozenLake", slip=0.0)], ["random", "q-learning"], 2, 300, final_episodes=2)
    there = experiment.run(jobs=2, engine="ray", verbose=False)
    assert [r.score for r in there] == [r.score for r in experiment.run(verbose=False)]
    with pytest.raises(UsageError, match="no Ray cluster at 'auto'"):
        experiment.run(engine=RayEngine("auto"), verbose=False)
