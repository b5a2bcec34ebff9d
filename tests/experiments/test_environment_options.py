"""Environments of others from the command line: classes in files and modules, `--env.X`, `--wrap`, time limits; trained
in one folder, opened from another."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Any

import gymnasium
import pytest

from inscape.agents import make_agent
from inscape.agents.rollout import rollout
from inscape.envs import resolve_task
from inscape.errors import UsageError
from inscape.experiments import open_run, train
from inscape.experiments.arguments import parsing
from inscape.experiments.arguments.command_lines import train_line
from inscape.experiments.arguments.parsing import NO_OPTIONS, TaskOptions, task_options
from inscape.experiments.arguments.train import TrainArguments
from inscape.experiments.cli import main
from inscape.experiments.runs.settings import settings_as_json
from inscape.experiments.runs.storage.episodes import save_trajectories

ROOM = """
import gymnasium as gym
import numpy as np
from room_helper import START


class Room(gym.Env):
    metadata = {"render_modes": ["rgb_array"], "render_fps": 5}

    def __init__(self, size: int = 3, walls: tuple[int, ...] = (), level_file: str = "", speed=1.0, render_mode=None):
        assert isinstance(walls, tuple), walls
        self.size, self.walls, self.speed, self.render_mode = size, walls, speed, render_mode
        self.bonus = float(open(level_file).read()) if level_file else 0.0
        self.observation_space = gym.spaces.Dict(
            at=gym.spaces.Box(0, 100, (2,), np.float32), say=gym.spaces.Text(10), left=gym.spaces.Discrete(500)
        )
        self.action_space = gym.spaces.Discrete(3)

    def look(self):
        at = np.full(2, min(self.n, 99), np.float32)
        return {"at": at, "say": "go" if self.n % 2 else "stop", "left": self.n % 500}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.n = START
        return self.look(), {}

    def step(self, action):
        self.n += 1
        return self.look(), self.size + self.bonus, self.n >= 20, False, {}

    def render(self):
        return np.full((40, 60, 3), self.n, np.uint8)


class Half(gym.RewardWrapper):
    def __init__(self, env, scale: float = 0.5):
        super().__init__(env)
        self.scale = scale

    def reward(self, reward):
        return reward * self.scale


class OldRoom:
    observation_space = gym.spaces.Discrete(5)
    action_space = gym.spaces.Discrete(2)

    def __init__(self, length=4):
        self.length = length

    def reset(self):
        self.n = 0
        return 0

    def step(self, action):
        self.n += 1
        return min(self.n, 4), 1.0, self.n >= self.length, {}


def make_room(size: int = 2):
    return Room(size)


class Needs(Room):
    def __init__(self, size: int):
        super().__init__(size)


gym.register("Beside-v0", "room_helper:Other", max_episode_steps=6)
"""
CLIP = "gymnasium.wrappers:ClipReward"
HELPER = """
import gymnasium as gym

START = 0


class Other(gym.Env):
    observation_space = gym.spaces.Discrete(5)
    action_space = gym.spaces.Discrete(2)

    def __init__(self, prize=1.0):
        self.prize = prize

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return 0, {}

    def step(self, action):
        return 1, self.prize, False, False, {}
"""


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """A folder with environments, in which we are, and another one."""
    here, there = tmp_path / "here", tmp_path / "there"
    (here / "roomkit").mkdir(parents=True)
    there.mkdir()
    (here / "room.py").write_text(ROOM)
    (here / "room_helper.py").write_text(HELPER)
    (here / "roomkit" / "__init__.py").write_text("")
    (here / "roomkit" / "envs.py").write_text(ROOM)
    (here / "bonus.txt").write_text("0.5")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(here)
    path = [*sys.path]
    yield here, there
    sys.path[:] = path
    gymnasium.registry.pop("Beside-v0", None)
    for name in [name for name in sys.modules if name.partition(".")[0] in ("room_helper", "roomkit")]:
        del sys.modules[name]


def mean_of(text: str) -> float:
    return float(text.partition("mean return ")[2].partition(",")[0])


@pytest.mark.quick(every=2)
@pytest.mark.parametrize(
    ("name", "options", "mean", "length"),
    [
        ("room.py:Room", [], 60, 20),
        ("room.py:Room", ["--env.size", "5"], 100, 20),
        ("room.py:Room", ["--env.size=5", "--env.walls", "1,2"], 100, 20),
        ("room.py:Room", ["--env.level-file", "bonus.txt"], 70, 20),
        ("room.py:Room", ["--max-episode-steps", "4"], 12, 4),
        ("room.py:Room", ["--wrap", "room.py:Half"], 30, 20),
        ("room.py:Room", ["--wrap", "room.py:Half:scale=0.1", "--max-episode-steps=5"], 1.5, 5),
        ("room.py:Room", ["--wrap", "room.py:Half", "--wrap", "gymnasium.wrappers:ClipReward:max_reward=1"], 20, 20),
        ("room.py:Room", ["--wrap", "gymnasium.wrappers:ClipReward:max_reward=1", "--wrap", "room.py:Half"], 10, 20),
        ("room.py:OldRoom", [], 4, 4),
        ("room.py:OldRoom", ["--env.length", "2"], 2, 2),
        ("room.py:make_room", [], 40, 20),
        ("room.py:make_room", ["--env.size", "4"], 80, 20),
        ("room.py:Needs", ["--env.size", "1"], 20, 20),
        ("room.py:Beside-v0", [], 6, 6),
        ("room.py:Beside-v0", ["--env.prize", "2"], 12, 6),
        ("roomkit.envs:Room", ["--env.size", "1"], 20, 20),
        ("roomkit.envs:Beside-v0", ["--max-episode-steps", "3"], 3, 3),
        ("room_helper:Other", ["--max-episode-steps", "3"], 3, 3),
        ("CartPole", ["--max-episode-steps", "3"], 3, 3),
        ("CartPole-v1", ["--max-episode-steps", "3"], 3, 3),
    ],
)
def test_environments_of_every_form_with_their_options(folders, capsys, name, options, mean, length):
    assert main(["evaluate", "random", name, *options, "--episodes", "2"]) == 0
    text = capsys.readouterr().out
    assert mean_of(text) == pytest.approx(mean)
    assert f"of {length} steps" in text


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("room.py:Room --env.siez 5", "did you mean 'size'"),
        ("room.py:Room --env.size five", "a number"),
        ("room.py:Room --env.size", "without a value"),
        ("room.py:Needs", "--env.size VALUE"),
        ("room.py:Half", "--wrap room.py:Half"),
        ("room.py:START", "inscape.World or of gymnasium.Env"),
        ("room.py:Romo", "Room"),
        ("CartPole --env.length 2", "--world.length"),
        ("room.py:Room --wrap", "--wrap gymnasium"),
        ("room.py:Room --wrap Half", "gymnasium.wrappers:NAME"),
        ("room.py:Room --wrap room.py:Room", "subclass of gymnasium.Wr"),
        ("room.py:Room --wrap room.py:Half:scla=2", "did you mean 'scale'"),
        ("room.py:Room --max-episode-steps 0", "positive"),
        ("room.py:Room --max-episode-steps many", "positive"),
        ("room.py:Room --max-episode-steps", "500"),
        ("nowhere.envs:Room", "has no nowhere.py"),
        ("ALE/Pong-v5", "ale_py:ALE/Pong-v5"),
        ("MiniGrid-Empty-9x9-v0", "minigrid:MiniGrid-Empty-9x9-v0"),
        ("FetchReach-v4", "gymnasium_robotics:FetchReach-v4"),
        ("TicTacToe --wrap room.py:Half", "2 players"),
        ("FrozenLake-v1 --env.is_slipery no", "did you mean 'is_slippery'"),
    ],
)
def test_what_cannot_be_is_refused_with_what_to_do(folders, capsys, line, said):
    assert main(["evaluate", "random", *line.split(), "--episodes", "1"]) == 2
    text = capsys.readouterr().err
    assert said in text
    assert "Traceback" not in text


def trained(agent: str, name: str, *options: str) -> Path:
    line = ["train", agent, name, *options, "--steps", "64", "--out", "runs/one", "--final-episodes", "2"]
    small = ["--num-envs", "2", "--num-steps", "16", "--hidden", "8", "--epochs", "1"] if agent == "ppo" else []
    assert main([*line, *small]) == 0
    return Path("runs/one").resolve()


@pytest.mark.quick("roomkit.envs:Room")
@pytest.mark.parametrize("name", ["room.py:Room", "roomkit.envs:Room"])
def test_a_run_keeps_options_and_wrappers_and_is_opened_from_another_folder(folders, capsys, monkeypatch, forks, name):
    here, there = folders
    options = ["--env.size", "5", "--env.walls", "1,2", "--env.level_file", "bonus.txt", "--max-episode-steps", "8"]
    run = trained("ppo", name, *options, "--wrap", f"{name.partition(':')[0]}:Half:scale=0.25")
    settings = open_run(run).settings
    assert settings.task["settings"]["level_file"] == str(here / "bonus.txt")
    assert str(here / "bonus.txt") in settings.code
    assert len(settings.task["wrappers"]) == 1
    capsys.readouterr()
    monkeypatch.chdir(there)
    one = "mean return 11, 95 % interval 11 to 11 (3 episodes of 8 steps)"
    done = forks.command("evaluate", str(run), "--episodes", "3")
    assert one in done.stdout, done.stderr
    for line, said in (
        (["evaluate", run, "--episodes", "3"], one),
        (["evaluate", run, "--episodes", "3", "--max-episode-steps", "4"], "mean return 5.5,"),
        (["evaluate", run, "--episodes", "3", "--env.size", "1"], "mean return 3,"),
        (["evaluate", run, "--wrap", f"{CLIP}:max_reward=1", "--episodes", "2"], "mean return 8,"),
        (["watch", run, "--save", "one.gif"], "Episode in"),
        (["report", run, "--out", "report.html"], "report.html"),
        (["train", "--resume", run, "--steps", "64"], "finished already"),
    ):  # fmt: skip
        assert main([str(word) for word in line]) == 0
        assert said in capsys.readouterr().out
    assert "scale" in (there / "report.html").read_text()


def test_resuming_with_other_options_names_them(folders, capsys):
    run = trained("ppo", "room.py:Room", "--env.size", "5", "--wrap", "room.py:Half")
    capsys.readouterr()
    assert main(["train", "--resume", str(run), "--steps", "64", "--env.size", "6"]) == 2
    assert "task.settings.size: 5 -> 6" in capsys.readouterr().err
    assert main(["train", "--resume", str(run), "--steps", "64", "--wrap", "room.py:Half"]) == 2
    assert "task.wrappers" in capsys.readouterr().err


def test_an_edited_wrapper_or_file_of_a_setting_is_noticed_on_resume(folders, capsys):
    here, _ = folders
    (here / "wrap.py").write_text("import gymnasium as gym\n\n\nclass Same(gym.Wrapper):\n    pass\n")
    run = trained("ppo", "room.py:Room", "--env.level_file", "bonus.txt", "--wrap", "wrap.py:Same")
    capsys.readouterr()
    for file, text in (("wrap.py", "\n# edited\n"), ("bonus.txt", "1")):
        before = (here / file).read_text()
        (here / file).write_text(before + text)
        assert main(["train", "--resume", str(run)]) == 2
        assert file in capsys.readouterr().err
        (here / file).write_text(before)


def test_somebody_else_s_run_with_a_wrapper_is_refused_until_trusted(folders, capsys, monkeypatch, tmp_path, forks):
    run = trained("ppo", "CartPole-v1", "--wrap", "room.py:Half")
    stored = json.loads((run / "settings.json").read_text())
    assert stored["task"]["wrappers"][0]["name"] == "room.py:Half"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "other"))
    refused = forks.command("evaluate", str(run), "--episodes", "1")
    assert refused.returncode == 2
    assert "names code to run, 'room.py:Half'" in refused.stderr
    trusted = forks.command("evaluate", str(run), "--episodes", "1", "--trust")
    assert trusted.returncode == 0, trusted.stderr


@pytest.mark.parametrize(
    ("line", "rest", "options"),
    [
        ("train ppo X --env.a 1", "train ppo X", TaskOptions({"a": "1"})),
        ("X --env.a=1 --seed 3", "X --seed 3", TaskOptions({"a": "1"})),
        ("X --env.a --seed 3", "X --seed 3", TaskOptions({"a": None})),
        ("X --env.a -9.8", "X", TaskOptions({"a": "-9.8"})),
        ("X --env.a -1", "X", TaskOptions({"a": "-1"})),
        ("X --env.a-b c", "X", TaskOptions({"a-b": "c"})),
        ("X --wrap m:W --wrap n:V", "X", TaskOptions({}, ("m:W", "n:V"))),
        ("X --wrap=m:W:a=1", "X", TaskOptions({}, ("m:W:a=1",))),
        ("X --max-episode-steps 1e3", "X", TaskOptions({}, (), 1000)),
        ("X --max_episode_steps -1", "X", TaskOptions({}, (), -1)),
        ("X --resume --env.a x", "X --resume", TaskOptions({"a": "x"})),
        ("X --world.map S", "X --world.map S", NO_OPTIONS),
        ('X --env.a {"b":1}', "X", TaskOptions({"a": '{"b":1}'})),
    ],
)
def test_options_of_the_task_are_taken_off_the_line(line, rest, options, monkeypatch):
    monkeypatch.setattr("inscape.experiments.arguments.parsing.is_world", lambda name: True)
    assert task_options(line.split()) == (rest.split(), options)


@pytest.mark.parametrize(
    "line", ["room.py:Room", "room.py:Room --env.size 4", f"CartPole-v1 --wrap {CLIP}:max_reward=0.5"]
)
def test_environments_are_checked_with_their_options(folders, capsys, line):
    assert main(["check", *line.split()]) == 0
    assert "all passed" in capsys.readouterr().out
    assert main(["check", "room.py:Room", "--env.siez", "4"]) == 2
    assert "did you mean 'size'" in capsys.readouterr().err


def test_in_python_the_same(folders):
    task = resolve_task("room.py:Room", {"size": 4}, wrappers=["room.py:Half"], max_episode_steps=3)
    env = task.env()
    env.reset(seed=0)
    assert env.step(0)[1] == 2.0
    given = resolve_task("room.py:Room", {"walls": (print,)})
    with pytest.raises(UsageError, match="a run can store"):
        train("random", given, 100, out="runs/none")
    with pytest.raises(UsageError, match="a run can store"):
        save_trajectories("none.npz", rollout(make_agent("random", given), given, 1, seed=0))
    assert not Path("runs/none").exists()


@pytest.mark.quick("--env.level-file bonus.txt", "--max-episode-steps 7")
@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--env.size", "5"],
        ["--env.walls", "1,2", "--env.speed", "0.5"],
        ["--env.level-file", "bonus.txt"],
        ["--max-episode-steps", "7"],
        ["--wrap", "room.py:Half"],
        ["--wrap", "room.py:Half:scale=0.25", "--wrap", f"{CLIP}:max_reward=1"],
        ["--env.size", "2", "--max-episode-steps", "-1", "--wrap", "room.py:Half"],
    ],
    ids=" ".join,
)
def test_the_command_of_a_report_says_the_same(folders, options):
    run = open_run(trained("ppo", "room.py:Room", *options))
    line = train_line(run)
    assert line.startswith("inscape train ppo")
    words = shlex.split(line)[2:]
    given, taken = parsed_train(words)
    assert settings_as_json(taken.to_json()) == run.settings.task
    assert given.steps == 64


def parsed_train(words: list[str]) -> Any:
    default = parsing.named_task(words[1], parsing.task_options(words)[1])
    given = parsing.parse("train", TrainArguments, words, parsing.settings_groups(TrainArguments, words[0], default))
    return given, parsing.task_given(given, default)
