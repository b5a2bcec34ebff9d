"""Names and what they stand for, of environments that are not ours above all."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import gymnasium as gym
import numpy as np
import pytest

from inscape import resolve_task
from inscape.envs.registry import gymnasium_spec, load_spec
from inscape.envs.tasks.resolve import task_from_json
from inscape.errors import UsageError

THEIRS = '''
import gymnasium as gym, numpy as np

class Walk(gym.Env):
    """Takes no render_mode."""
    def __init__(self, size=3):
        self.observation_space = gym.spaces.Box(-1, 1, (size,))
        self.action_space = gym.spaces.Discrete(2)
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(self.observation_space.shape, np.float32), {}
    def step(self, action):
        return np.zeros(self.observation_space.shape, np.float32), 1.0, False, False, {}

gym.register("Walk-v0", Walk, max_episode_steps=5)
gym.register("near/Walk-v1", Walk, max_episode_steps=6)
gym.register("Stroll", Walk)
'''


@pytest.fixture
def theirs(tmp_path, monkeypatch) -> Iterator[str]:
    """A module of somebody's that registers environments with Gymnasium as it is imported."""
    known = set(gym.registry)
    (tmp_path / "somebodys_walks.py").write_text(THEIRS)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "somebodys_walks"
    sys.modules.pop("somebodys_walks", None)
    for name in set(gym.registry) - known:
        del gym.registry[name]


def test_an_id_after_a_module_is_gymnasiums(theirs, tmp_path):
    for source in (theirs, str(tmp_path / "somebodys_walks.py")):
        task = resolve_task(f"{source}:Walk-v0", {"size": 4})
        assert task.world is None
        assert task.max_episode_steps == 5
        assert task.vector_env(2).reset(seed=0)[0].shape == (2, 4)
        assert task_from_json(task.to_json()).observation_space.shape == (4,)
        assert resolve_task(f"{source}:near/Walk-v1").max_episode_steps == 6
        assert load_spec(f"{source}:Stroll") is gym.spec("Stroll")
        assert resolve_task(f"{source}:Stroll").max_episode_steps is None
    with pytest.raises(UsageError, match="registers no Gymnasium environment 'Walk-v3'"):
        resolve_task(f"{theirs}:Walk-v3")
    assert resolve_task(f"{theirs}:Walk").max_episode_steps is None
    with pytest.raises(UsageError, match="no module 'nobodys'"):
        resolve_task("nobodys:Walk-v0")
    assert gymnasium_spec("inscape:CartPole") is None
    assert gymnasium_spec("CartPole-v1") is not None


def test_the_command_line_reaches_it(theirs, tmp_path):
    line = [sys.executable, "-m", "inscape", "evaluate", "random", f"{theirs}:Walk-v0", "--world.size", "2"]
    found = subprocess.run([*line, "--episodes", "2e0"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "2 episodes of 5 steps" in found.stdout, found.stderr


@pytest.mark.parametrize("autoreset", ["same-step", "next-step"])
def test_what_a_method_says_of_masks_is_told(gates, autoreset):
    """sb3-contrib asks environments by a method; everybody else reads the info."""
    task = resolve_task("AskedGate-v0")
    _, info = task.env().reset()
    assert info["action_mask"].tolist() == [True, False, False, False]
    env = task.vector_env(2, autoreset)
    _, info = env.reset(seed=0)
    for t in range(3):
        assert info["action_mask"].dtype == np.bool_
        assert info["action_mask"].tolist() == [[k == t for k in range(4)]] * 2
        info = env.step(np.full(2, 2 + t))[4]


def test_a_copy_that_tells_no_mask_may_do_everything(gates):
    """Gymnasium fills in zeros, by which nothing at all would be legal."""
    env = resolve_task("Gate-v0", {"told": 2}).vector_env(2)
    assert "action_mask" not in env.reset(seed=0)[1]
    env.copies[0].env.step(2)  # copy 0 is a step ahead
    info = env.step(np.full(2, 2))[4]
    assert info["action_mask"].tolist() == [[False, False, True, False], [True] * 4]
