"""PettingZoo environments of one player, all at once and in turn: tasks of one player everywhere."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from pettingzoo import AECEnv, ParallelEnv

from inscape import evaluate, load_agent, make_agent, resolve_task, rollout
from inscape.errors import UsageError
from inscape.experiments.cli import main

NAME = "pettingzoo:solo_games.solo"
SEES = gym.spaces.Box(-9, 9, (2,), np.float32)


class Solo(ParallelEnv):
    """Pays the number of the action, for five steps; with `masked`, action 2 is never legal."""

    metadata = {"name": "solo", "render_modes": ["rgb_array"], "render_fps": 10}
    possible_agents = ["alone"]

    def __init__(self, render_mode: str | None = None, masked: bool = False) -> None:
        self.render_mode, self.masked = render_mode, masked

    def observation_space(self, agent: str) -> gym.Space[Any]:
        mask = {"action_mask": gym.spaces.Box(0, 1, (3,), np.int8)} if self.masked else {}
        return gym.spaces.Dict({"observation": SEES, **mask}) if self.masked else SEES

    def action_space(self, agent: str) -> gym.Space[Any]:
        return gym.spaces.Discrete(3)

    def _seen(self) -> Any:
        seen = np.array([self.steps, self.seed], np.float32)
        return {"alone": {"observation": seen, "action_mask": np.array([1, 1, 0], np.int8)} if self.masked else seen}

    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        self.steps, self.seed, self.agents = 0, 0 if seed is None else seed % 7, ["alone"]
        return self._seen(), {"alone": {}}

    def step(self, actions: Any) -> Any:
        assert type(actions["alone"]) is int and not (self.masked and actions["alone"] == 2)
        self.steps += 1
        over = self.steps == 5
        self.agents = [] if over else self.agents
        return self._seen(), {"alone": float(actions["alone"])}, {"alone": over}, {"alone": False}, {"alone": {}}

    def render(self) -> np.ndarray:
        return np.full((32, 32, 3), 40 * self.steps, np.uint8)


@pytest.fixture(params=["parallel_env", "env"])
def solo(request, monkeypatch) -> str:
    """The name of a module with the environment, all at once or in turn."""
    from pettingzoo.utils.conversions import parallel_to_aec

    def in_turn(**given: Any) -> AECEnv[Any, Any, Any]:
        return parallel_to_aec(Solo(**given))

    module = types.ModuleType("solo_games.solo")
    setattr(module, request.param, Solo if request.param == "parallel_env" else in_turn)
    monkeypatch.setitem(sys.modules, "solo_games", types.ModuleType("solo_games"))
    monkeypatch.setitem(sys.modules, "solo_games.solo", module)
    return NAME


def test_it_is_a_task_of_one_player(solo):
    task = resolve_task(solo)
    assert task.players == 1 and not task.simultaneous and task.player_names == ("alone",)
    assert task.observation_space == SEES and task.action_names == ("0", "1", "2")
    env = task.env()
    observation, info = env.reset(seed=3)
    assert observation.shape == (2,) and info == {}
    steps = [env.step(np.int64(2)) for _ in range(5)]
    assert [reward for _, reward, *_ in steps] == [2.0] * 5
    assert [terminated for _, _, terminated, _, _ in steps] == [False] * 4 + [True]
    assert steps[-1][0][0] == 5


@pytest.mark.quick("parallel_env-a2c", "env-a2c")
@pytest.mark.parametrize("agent", ["ppo", "dqn", "sb3:ppo", "a2c"])
def test_learners_of_one_player_take_it(solo, agent):
    task = resolve_task(solo)
    settings = {"num_envs": 2, "num_steps": 8} if agent in ("ppo", "a2c") else {}
    learner = make_agent(agent, task, seed=0, settings=settings or ({"num_steps": 16} if agent == "sb3:ppo" else {}))
    *_, last = learner.learn(task, 64)
    assert last["steps"] >= 64
    assert 0 <= evaluate(learner, task, episodes=3, seed=0).mean <= 10


@pytest.mark.parametrize("agent", ["random", "ppo", "sb3:maskable-ppo"])
def test_its_mask_is_obeyed(solo, agent):
    task = resolve_task(solo, {"masked": True})
    assert task.observation_space == SEES
    actions = np.concatenate([t.actions for t in rollout(make_agent(agent, task, seed=0), task, 20, seed=0)])
    assert set(actions.tolist()) <= {0, 1}


@pytest.mark.quick("env")
def test_it_is_trained_evaluated_and_watched(solo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    few = ["--steps", "64", "--evaluate-every", "0", "--final-episodes", "2"]
    assert main(["train", "ppo", solo, *few, "--num-envs", "2", "--num-steps", "8", "--out", "run"]) == 0
    assert load_agent("run")[1].players == 1
    assert main(["evaluate", "run", "--episodes", "2", "--save-episodes", "some.npz"]) == 0
    assert main(["watch", "run", "--save", "run.gif", "--size", "64"]) == 0
    assert main(["report", "run", "--out", "report.html"]) == 0
    assert Path("run.gif").read_bytes()[:3] == b"GIF"


def test_what_it_cannot_is_refused(solo):
    with pytest.raises(UsageError, match="1 player|one player|several"):
        make_agent("self-play", resolve_task(solo))


def test_a_module_that_is_missing_is_named_as_such():
    with pytest.raises(UsageError, match="does not import") as caught:
        resolve_task("pettingzoo:pettingzoo.classic.nothing_v9")
    assert "constructor" not in str(caught.value)
