"""`sys.exit()` in other people's code is an error of that code: named with file and line, exit code 2, the run kept."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from inscape import resolve_task
from inscape.agents import make_agent
from inscape.agents.rollout import evaluate
from inscape.errors import UsageError, exits_as_errors
from inscape.experiments import train
from inscape.experiments.cli import main
from inscape.experiments.runs.folders import open_run

ROOT = Path(__file__).parents[2]
WORLD = """
import sys
from typing import NamedTuple
from inscape import World

class Walk(World):
    class State(NamedTuple):
        x: int
    actions = ("on",)
    max_episode_steps = 10
    def setup(self):
        {setup}
        return self.Params(), self.Purpose()
    def initial(params, branch):
        {initial}
        return 1.0, Walk.State(0)
    def transition(params, state, action, branch):
        {transition}
        return 1.0, Walk.State((state.x + 1) % 50)
    def reward(params, purpose, state, action, next_state):
        {reward}
        return 1.0
    def terminal(params, purpose, state):
        {terminal}
        return False
    def observations(params):
        {observations}
        return 50
    def describe(params, purpose, state):
        {describe}
        return "somewhere"
    def draw(params, purpose, state):
        {draw}
        from inscape.envs import Scene
        return Scene(1, 1, ())
{module}
"""

AGENT = """
import sys
import numpy as np
{module}
class Idle:
    def __init__(self, task, seed=0, device="cpu", settings=None):
        {init}
        self.calls = 0
    def act(self, observation, action_mask=None):
        {act}
        return np.zeros(len(observation), np.int64)
    def learn(self, task, steps):
        for step in range(4, steps + 1, 4):
            {learn}
            yield {{"steps": float(step)}}
    def state_dict(self):
        {save}
        return {{"calls": self.calls}}
    def load_state_dict(self, state):
        {load}
        self.calls = state["calls"]
"""

WORLD_PLACES = ("setup", "initial", "transition", "reward", "terminal", "observations", "module")
AGENT_PLACES = ("module", "init", "act", "learn", "save")


def written(path: Path, template: str, places: tuple[str, ...], exits: str = "", code: str = "7") -> int:
    """Writes a file that exits in one place; returns the line."""
    names = dict.fromkeys(places, "pass") | {exits: f"sys.exit({code})"} if exits else dict.fromkeys(places, "pass")
    text = template.format(**names)
    path.write_text(text)
    return next((n for n, line in enumerate(text.splitlines(), 1) if "sys.exit(" in line), 0)


ALL_WORLD = (*WORLD_PLACES, "describe", "draw")
ALL_AGENT = (*AGENT_PLACES, "load")


def require_said(code: int, said: str, file: str, line: int) -> None:
    assert code == 2, said
    assert "inscape: " in said and f"{file}:{line}" in said and "sys.exit(7)" in said, said
    assert "Traceback" not in said


@pytest.mark.parametrize("place", WORLD_PLACES)
@pytest.mark.parametrize("command", ["evaluate", "train"])
def test_in_a_world(
    place: str, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("INSCAPE_KERNELS", "plain")
    monkeypatch.chdir(tmp_path)
    line = written(Path("world.py"), WORLD, ALL_WORLD, place)
    words = {
        "evaluate": ("evaluate", "random", "world.py:Walk", "--episodes", "2"),
        "train": ("train", "q-learning", "world.py:Walk", "--steps", "50", "--out", "run", "--final-episodes", "0"),
    }
    code = main(words[command])
    captured = capsys.readouterr()
    require_said(code, captured.err, "world.py", line)


@pytest.mark.parametrize("place", AGENT_PLACES)
def test_in_an_agent(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    line = written(Path("agent.py"), AGENT, ALL_AGENT, place)
    code = main(("train", "agent.py:Idle", "FrozenLake", "--steps", "20", "--out", "run", "--final-episodes", "2"))
    require_said(code, capsys.readouterr().err, "agent.py", line)


def test_as_an_agent_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    line = written(Path("agent.py"), AGENT, ALL_AGENT, "load")
    words = ("train", "agent.py:Idle", "FrozenLake", "--steps", "20", "--out", "run", "--final-episodes", "0")
    assert main(words) == 0
    capsys.readouterr()
    assert main(("evaluate", "run", "--episodes", "2")) == 2
    require_said(2, capsys.readouterr().err, "agent.py", line)


def test_in_the_middle_of_learning_the_run_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    text = AGENT.format(**dict.fromkeys(ALL_AGENT, "pass")).replace(
        'yield {"steps"', 'if step == 12 and not Path("mended").exists(): sys.exit(0)\n            yield {"steps"'
    )
    Path("agent.py").write_text("from pathlib import Path\n" + text)
    words = ("train", "agent.py:Idle", "FrozenLake", "--steps", "20", "--out", "run", "--final-episodes", "0")
    assert main(words) == 2
    said = capsys.readouterr().err
    assert "sys.exit(0) in learn, while agent.py:Idle learned in FrozenLake" in said and "kept: " in said
    Path("mended").touch()
    assert main(("train", "--resume", "run", "--final-episodes", "0")) == 0
    assert open_run("run").finished


@pytest.mark.parametrize(
    "words",
    [
        ("watch", "random", "world.py:Walk", "--save", "x.gif", "--episodes", "1"),
        ("check", "world.py:Walk"),
        ("play", "world.py:Walk"),
    ],
    ids=lambda words: words[0],
)
def test_where_a_world_is_drawn(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("INSCAPE_KERNELS", "plain")
    monkeypatch.chdir(tmp_path)
    line = written(Path("world.py"), WORLD, ALL_WORLD, "draw")
    code = main(words)
    captured = capsys.readouterr()
    require_said(code, captured.out + captured.err + "inscape: ", "world.py", line)


def test_from_python_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    line = written(Path("agent.py"), AGENT, ALL_AGENT, "act")
    task = resolve_task("FrozenLake")
    with pytest.raises(UsageError, match=rf"agent.py:{line} called sys.exit\(7\) in act, while .* acted in FrozenLake"):
        evaluate(make_agent("agent.py:Idle", task), task, 2, 0)
    line = written(Path("agent.py"), AGENT, ALL_AGENT, "learn", code="None")
    with pytest.raises(UsageError, match=rf"agent.py:{line} called sys.exit\(None\) in learn"):
        train("agent.py:Idle", task, 20, out=tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()  # nothing was learned


@pytest.mark.parametrize("code", ["0", "None", "'licence expired'", "3"])
def test_whatever_the_code(
    code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    line = written(Path("agent.py"), AGENT, ALL_AGENT, "module", code=code)
    assert main(("evaluate", "agent.py:Idle", "FrozenLake")) == 2
    assert f"agent.py:{line} called sys.exit({code}) in <module>" in capsys.readouterr().err


def test_an_environment_that_exits_as_it_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("env.py").write_text(
        "import sys, gymnasium as gym\n"
        "class Quits(gym.Env):\n    def __init__(self):\n        sys.exit(7)\n"
        "gym.register('QuitsAtOnce-v0', Quits)\n"
    )
    assert main(("train", "ppo", "env.py:QuitsAtOnce-v0")) == 2
    assert "cannot be made: its constructor called sys.exit(7)" in capsys.readouterr().err


THREAD = """
import sys, threading
from inscape.experiments import cli
cli.LAST_SECONDS = 0.5
threading.Thread(target=threading.Event().wait, name="of a simulator").start()
sys.argv = ["inscape", "--version"]
sys.exit(cli.main())
"""


def test_threads_left_running_do_not_keep_the_process() -> None:
    done = subprocess.run([sys.executable, "-c", THREAD], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stdout.startswith("inscape ")
    assert "threads are still running, and are ended: of a simulator" in done.stderr


def test_exits_of_the_command_line_itself_stay(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(("train", "ppo", "CartPole", "--help")) == 0
    assert main(("train", "ppo", "CartPole", "--steps", "many")) == 2
    assert "sys.exit" not in capsys.readouterr().err
    with pytest.raises(SystemExit, match="3"), exits_as_errors("it was tried"):
        main_exit()


def main_exit() -> None:
    """Exits from Inscape's own code, as processes under torchrun do."""
    from inscape import errors

    exec(compile("raise SystemExit(3)", f"{Path(errors.__file__).parent}/x.py", "exec"), {})


# --------------------------------------------------------------------------------------- what their code raises


def files(folder: Path, monkeypatch: pytest.MonkeyPatch, **sources: str) -> None:
    monkeypatch.chdir(folder)
    for name, source in sources.items():
        (folder / f"{name}.py").write_text(source)


HELPER = """
def chosen(observation):
    return 1 / 0
"""
RAISING = """
import numpy as np
class Mine:
    def __init__(self, task, seed=0):
        {init}
        self.learned = 0
    def act(self, observation, action_mask=None):
        {act}
        return np.zeros(len(observation), np.int64)
    def learn(self, task, steps):
        for self.learned in range(1, steps + 1):
            {learn}
            yield {{"steps": self.learned}}
    def state_dict(self):
        return {{"learned": self.learned}}
    def load_state_dict(self, state):
        self.learned = state["learned"]
"""


@pytest.mark.parametrize(
    ("where", "line", "words"),
    [
        ("act", "raise ValueError('odd shape')", "mine.py:8 raised ValueError: odd shape in act"),
        ("act", "np.zeros(2)[7]", "mine.py:8 raised IndexError"),
        ("act", "{}['left']", "mine.py:8 raised KeyError: 'left' in act"),
        ("act", "raise RuntimeError", "mine.py:8 raised RuntimeError in act"),
        ("learn", "assert self.learned < 3, 'too far'", "mine.py:12 raised AssertionError: too far in learn"),
    ],
)
def test_what_an_agent_raises_is_named_without_a_traceback(
    where: str,
    line: str,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    files(tmp_path, monkeypatch, mine=RAISING.format(**{"init": "pass", "act": "pass", "learn": "pass", where: line}))
    assert main(["train", "mine.py:Mine", "Chain", "--steps", "5", "--out", "run"]) == 2
    said = capsys.readouterr().err
    assert words in said and "while inscape train was running" in said and "Traceback" not in said


def test_what_a_helper_raises_is_named_with_its_callers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = RAISING.format(init="pass", act="return chosen(observation)", learn="pass")
    files(tmp_path, monkeypatch, helper=HELPER, mine=f"from helper import chosen{source}")
    assert main(["evaluate", "mine.py:Mine", "Chain", "--episodes", "2"]) == 2
    said = capsys.readouterr().err
    assert "helper.py:3 raised ZeroDivisionError: division by zero in chosen" in said
    assert "mine.py:8 in act" in said


def test_errors_of_inscape_and_of_python_callers_stay_what_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of Inscape's own has its traceback; in Python an agent's error is the agent's."""

    source = compile("def broken(words):\n    return words[0].nothing", f"{ROOT}/inscape/experiments/x.py", "exec")
    names: dict[str, object] = {}
    exec(source, names)  # code that lies in the package
    monkeypatch.setattr("inscape.experiments.cli._run", names["broken"])
    with pytest.raises(AttributeError):
        main(["list", "worlds"])
    monkeypatch.undo()

    def act(observation: object) -> int:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        evaluate(act, resolve_task("Chain"), 1, seed=0)


@pytest.mark.parametrize(
    ("name", "source", "spec", "words"),
    [
        (
            "argv", "import argparse\nargparse.ArgumentParser().parse_args(['--no'])", "argv.py:Mine",
            "argv.py:2 called sys.exit(2)",
        ),
        ("one", "class Mine: pass", "one.py", "one.py:YourClass"),
        ("part", "from .other import x", "part.py:Mine", "part:YourClass"),
    ],
)  # fmt: skip
def test_files_that_cannot_be_taken_say_why(
    name: str, source: str, spec: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    files(tmp_path, monkeypatch, **{name: source})
    assert main(["evaluate", "random", spec, "--episodes", "1"]) == 2
    assert words in capsys.readouterr().err
