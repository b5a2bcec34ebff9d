"""A user's file, outside of this repository, passes `mypy --strict` and `pyright`: what the docs show, and more."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

PAGES = [
    ROOT / "README.md",
    ROOT / "docs" / "python.md",
    ROOT / "docs" / "agents.md",
    ROOT / "docs" / "environments.md",
]
USER = """
from typing import Any, NamedTuple, assert_type

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

import inscape
from inscape import MissingLawError, Task, UsageError, World, evaluate, load_agent, observe, plan, rollout, solve, train
from inscape.agents import PPO, Agent, AnyAgent, Evaluation, Learner, PPOSettings, make_agent
from inscape.experiments import Posterior, Posteriors, Run, open_run, report_for_runs
from inscape.theory_of_mind import Observer, PlanningMind
from inscape.world_models import UCT, KnownModel, Plan, Plans, TabularModel


class Walk(World):
    class State(NamedTuple):
        x: int

    actions = ("left", "right")


class Mine:
    def act(self, observation: NDArray[Any]) -> NDArray[np.int64]:
        return np.zeros(len(observation), np.int64)


def lean(observation: NDArray[np.float32]) -> int:
    return int(observation[2] > 0)


def training() -> None:
    env = gym.make("CartPole-v1")
    assert_type(train("ppo", "CartPole", 1000), Run)
    assert_type(train(PPO, Walk(), steps=1000, learning_rate=1e-3), Run)
    assert_type(train(PPO, Walk, steps=1000, settings=PPOSettings(num_envs=4)), Run)
    run = train(Mine(), lambda: gym.make("CartPole-v1"), steps=1000, out="runs/a", verbose=False)
    print(run.agent.act(np.zeros(4)), run.metrics()[-1]["steps"], run.task.name, run.folder)
    agent = make_agent("ppo", env)
    assert_type(agent, Learner)
    for metrics in agent.learn(inscape.resolve_task(env), 100):
        print(metrics["steps"] + 1)
    other = make_agent(Mine(), env)
    assert_type(other, AnyAgent)
    acting: Agent = other
    print(acting.name, other.settings)
    loaded, task = load_agent("runs/a")
    assert_type(task, Task)
    print(open_run("runs/a").name, report_for_runs([run], "report.html").suffix)


def evaluating() -> None:
    found = evaluate(lean, gym.make("CartPole-v1"), episodes=10)
    assert_type(found, Evaluation)
    assert_type(found.mean, float)
    low, high = found.ci
    print(high - low, evaluate(["random", Mine()], "TicTacToe"), evaluate(Mine, Walk))
    print(rollout("random", "FrozenLake", 3, seed=0)[0].rewards.sum())


def planning() -> None:
    world = inscape.make_world("FrozenLake")
    assert_type(plan(world, Walk.State(3), num_simulations=10), Plan)
    assert_type(plan("FrozenLake"), Plan)
    assert_type(plan(world, world.sample_initial(2, np.random.default_rng(0))), Plans)
    found = plan(KnownModel(world), planner=UCT(num_simulations=3))
    assert_type(found.action_name, str)
    print(found.action_values.max(), solve(world).values[0], solve(TabularModel.from_world(world), 0.9).policy)


def observing() -> None:
    found = observe("random", "FourGoals", minds=[PlanningMind("A", 1.0, "hard")])
    assert_type(found, Posteriors)
    assert_type(found[0], Posterior)
    print(found.goal, found.goals["A"][0], found.probabilities.shape)
    watched = Observer(inscape.make_world("FourGoals"), [PlanningMind("A", 1.0, "hard")])
    print(watched.posterior())


def errors() -> None:
    try:
        plan("CartPole-v1")
    except MissingLawError as error:
        print(error.found, error.expected, error.hint)
    except UsageError as error:
        print(error)
"""
WRONG = """
import inscape
from inscape import evaluate, train
from inscape.experiments import Runn

train("ppo", 3)
evaluate("random", "CartPole", "ten")
inscape.maek_world("CartPole")
"""


def files_of_a_user(folder: Path) -> list[Path]:
    """Writes the docs' programs, the examples and a file of all that is public; returns them."""
    files = [folder / "everything.py"]
    files[0].write_text(USER)
    for page in PAGES:
        programs = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL) if page.exists() else []
        for number, program in enumerate(programs):
            if "import" in program and not re.search(
                r"^\s*(def|class) ", program, re.MULTILINE
            ):  # theirs have no types
                files.append(folder / f"{page.stem}_{number}.py".lower())
                files[-1].write_text(program)
    for example in sorted((ROOT / "examples" / "verbs").glob("*.py")):
        if "class " not in example.read_text():
            files.append(folder / f"example_{example.name}")
            shutil.copy(example, files[-1])
    return files


def without(*names: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in names}


def mypy(folder: Path, files: list[Path]) -> str:
    """Returns what `mypy --strict` says of files in a folder where no configuration is."""
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "--no-error-summary"]
    env = without("PYTHONPATH", "MYPYPATH") | {"MYPYPATH": str(ROOT)}  # as an installed package is found
    done = subprocess.run(
        [*command, "--cache-dir", str(folder / "cache"), *(file.name for file in files)],
        cwd=folder, capture_output=True, text=True, env=env,
    )  # fmt: skip
    return (done.stdout + done.stderr).strip()


@pytest.mark.slow
def test_what_the_docs_show_passes_mypy(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    files = files_of_a_user(tmp_path)
    assert len(files) >= 8
    assert mypy(tmp_path, files) == ""
    (tmp_path / "wrong.py").write_text(WRONG)
    said = mypy(tmp_path, [tmp_path / "wrong.py"])
    assert [int(line) for line in re.findall(r"^wrong.py:(\d+): error", said, re.MULTILINE)] == [4, 6, 7, 8]


@pytest.mark.slow
def test_what_the_docs_show_passes_pyright(tmp_path: Path) -> None:
    pytest.importorskip("pyright")
    files = files_of_a_user(tmp_path)
    (tmp_path / "pyrightconfig.json").write_text(
        json.dumps({"extraPaths": [str(ROOT)], "typeCheckingMode": "standard"})
    )
    done = subprocess.run(
        [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, *(file.name for file in files)],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert "0 errors" in done.stdout, done.stdout + done.stderr


def test_the_package_says_that_it_has_types() -> None:
    assert (ROOT / "inscape" / "py.typed").is_file()
