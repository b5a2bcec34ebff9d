"""A run of somebody else, in a folder with code that leaves a file when it runs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from inscape import trust
from inscape.experiments.cli import main

CODE = """
from pathlib import Path
Path("EXECUTED").touch()
import gymnasium
from inscape.envs.worlds.gridworld.grid import GridWorld as World

class Agent:
    def __init__(self, task): ...
    def act(self, observation): return [0] * len(observation)
    def learn(self, task, steps): yield {"steps": steps}
    def state_dict(self): return {}
    def load_state_dict(self, state): ...
"""


@pytest.fixture(scope="session")
def innocent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a built-in agent in a built-in world, with episodes, made by somebody else."""
    place = tmp_path_factory.mktemp("innocent")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(place / "config"))
        patch.chdir(place)
        line = "train q-learning FrozenLake --steps 200 --evaluate-every 0 --final-episodes 2 --out theirs"
        assert main(line.split()) == 0
    return place


@pytest.fixture
def theirs(innocent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """That run in the present folder, beside code that leaves a file when it runs."""
    shutil.copytree(innocent / "theirs", tmp_path / "theirs")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(trust, "_allowed", set())
    for name in ("theirs/notes.py", "theirs/my notes.py", "attacker.py", "independent.py", "pixels.py"):
        Path(name).write_text(CODE)
    monkeypatch.setenv("THEIR_CONFIG", str(innocent / "config"))
    return tmp_path / "theirs"
