"""What a user has in hand, where the name of a world is wanted."""

from __future__ import annotations

import functools
import pickle
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import pettingzoo
import pytest
from pettingzoo.classic import rps_v2, tictactoe_v3

from inscape import World, make_world
from inscape.agents import evaluate, evaluate_players, make_agent
from inscape.envs.tasks.in_hand import EnvironmentInHand, task_in_hand
from inscape.envs.tasks.resolve import resolve_task, task_from_json
from inscape.errors import UsageError


class Corridor(gym.Env[np.ndarray, int]):
    """Goes right for `length` steps; every step right is worth 1."""

    observation_space = gym.spaces.Box(0, 100, (1,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def __init__(self, length: int = 4, render_mode: str | None = None) -> None:
        self.length, self.render_mode = length, render_mode

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.x = self.steps = 0
        return np.array([self.x], np.float32), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.x += action
        self.steps += 1
        return np.array([self.x], np.float32), float(action), self.steps >= self.length, False, {}


class OldCorridor:
    """The same without Gymnasium's class, with the old interface."""

    observation_space, action_space = Corridor.observation_space, Corridor.action_space

    def reset(self) -> np.ndarray:
        self.steps = 0
        return np.zeros(1, np.float32)

    def step(self, action: int) -> tuple[np.ndarray, float, bool, dict[str, Any]]:
        self.steps += 1
        return np.zeros(1, np.float32), float(action), self.steps >= 4, {}


class Uncopied(Corridor):
    """Keeps something that cannot be copied, as simulators written in C do."""

    def __init__(self) -> None:
        super().__init__(4)
        self.handle = (n for n in range(3))  # generators cannot be pickled


class Line(World):
    class State(NamedTuple):
        x: int

    actions = ("left", "right")
    max_episode_steps = 5

    @staticmethod
    def initial(params: Any, branch: int) -> tuple[float, Any]:
        return 1.0, Line.State(0)

    @staticmethod
    def transition(params: Any, state: Any, action: int, branch: int) -> tuple[float, Any]:
        return 1.0, Line.State(min(max(state.x + 2 * action - 1, 0), 9))

    @staticmethod
    def reward(params: Any, purpose: Any, state: Any, action: int, next_state: Any) -> float:
        return float(action)


def right(observation: Any) -> int:
    return 1


def make_corridor() -> Corridor:
    return Corridor(4)


def modified() -> gym.Env[Any, Any]:
    env = Corridor(9)
    env.length = 4
    return env


ENVIRONMENTS: dict[str, Any] = {
    "class": Corridor,
    "instance": Corridor(4),
    "instance changed after it was made": modified(),
    "function": make_corridor,
    "lambda": lambda: Corridor(4),
    "partial": functools.partial(Corridor, length=4),
    "time limit": gym.wrappers.TimeLimit(Corridor(100), 4),
    "wrapped": gym.wrappers.TransformReward(Corridor(4), lambda reward: reward),
    "copies": gym.vector.SyncVectorEnv([make_corridor] * 3),
    "without Gymnasium's class": OldCorridor,
    "an object without it": OldCorridor(),
}


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_an_environment_in_hand_is_acted_in(name: str) -> None:
    task = resolve_task(ENVIRONMENTS[name])
    found = evaluate(make_agent(right, task), task, 3, seed=0)
    assert found.returns.tolist() == [4.0] * 3
    assert found.lengths.tolist() == [4] * 3


def test_settings_go_to_a_class_and_to_a_function() -> None:
    assert evaluate(right, resolve_task(Corridor, {"length": 7}), 2, seed=0).mean == 7
    assert evaluate(right, resolve_task(lambda length: Corridor(length), {"length": 6}), 2, seed=0).mean == 6
    with pytest.raises(UsageError, match="made already"):
        resolve_task(Corridor(4), {"length": 7})


@pytest.mark.parametrize(
    "given",
    [Line, Line(), lambda: Line(), Line().env(), gym.wrappers.OrderEnforcing(Line().env()), Line().vector_env(2)],
    ids=["class", "world", "function", "its environment", "wrapped", "its copies"],
)
def test_a_world_keeps_its_law_whatever_stands_for_it(given: Any) -> None:
    task = resolve_task(given)
    assert isinstance(task.world, Line)
    assert task.max_episode_steps == 5
    assert evaluate(right, task, 2, seed=0).mean == 5


def test_an_environment_of_gymnasium_is_stored_as_it_can_be_made_again() -> None:
    task = resolve_task(gym.make("CartPole-v1", sutton_barto_reward=True, max_episode_steps=30))
    assert (task.name, task.max_episode_steps) == ("CartPole-v1", 30)
    again = task_from_json(task.to_json())
    assert again.to_json() == task.to_json()
    assert again.max_episode_steps == 30
    assert evaluate(right, task, 5, seed=3).returns.tolist() == evaluate(right, again, 5, seed=3).returns.tolist()


def test_what_stands_for_a_registered_world_is_that_world() -> None:
    for given in (make_world("FrozenLake"), gym.make("inscape/FrozenLake-v0"), make_world("FrozenLake").env()):
        assert resolve_task(given).to_json() == {"name": "FrozenLake", "settings": {}}
    assert resolve_task(make_world("FrozenLake", slip=0.25)).to_json()["settings"] == {"slip": 0.25}


def test_what_has_no_name_says_so_when_it_is_to_be_made_again() -> None:
    class Local(Line):
        pass

    for given in (Local(), lambda: Corridor(3)):
        stored = resolve_task(given).to_json()
        with pytest.raises(UsageError, match="no name by which it could be made again"):
            task_from_json(stored)


def test_a_class_of_a_module_is_found_again() -> None:
    stored = resolve_task(Line()).to_json()
    assert stored["name"] == f"{__name__}:Line"
    assert type(task_from_json(stored).world) is Line


@pytest.mark.parametrize(
    "given",
    [
        rps_v2,
        rps_v2.parallel_env,
        rps_v2.parallel_env(),
        lambda: rps_v2.parallel_env(max_cycles=15),
        tictactoe_v3,
        tictactoe_v3.env,
        tictactoe_v3.env(),
    ],
    ids=["module", "parallel_env", "Parallel", "function", "module in turn", "env", "AEC"],
)
def test_a_game_of_pettingzoo_in_hand_is_played(given: Any) -> None:
    task = resolve_task(given)
    assert task.players == 2
    found = evaluate_players("random", task, 3, seed=0)
    assert len(found) == 2
    assert (found[0].returns + found[1].returns == 0).all()


def test_a_world_as_a_game_of_pettingzoo_is_that_world() -> None:
    game = make_world("TicTacToe").aec_env()
    assert isinstance(game, pettingzoo.AECEnv)
    assert resolve_task(game).to_json() == {"name": "TicTacToe", "settings": {}}


def test_what_cannot_be_copied_is_made_again_or_refused() -> None:
    gym.register("InHandUncopied-v0", Uncopied)
    try:
        assert evaluate(right, resolve_task(gym.make("InHandUncopied-v0")), 2, seed=0).mean == 4
    finally:
        del gym.registry["InHandUncopied-v0"]
    with pytest.raises(UsageError, match=r"cannot be copied.*\n.*\n.*lambda: Uncopied"):
        evaluate(right, resolve_task(Uncopied()), 2, seed=0)


def test_an_environment_in_hand_is_left_alone() -> None:
    env = Corridor(4)
    env.reset(seed=1)
    env.step(1)
    evaluate(right, resolve_task(env), 3, seed=0)
    assert (env.x, env.steps) == (1, 1)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (3, "an object of int as a world"),
        (None, "an object of NoneType"),
        (dict, "the class dict as a world"),
        (np.zeros(3), "an object of ndarray"),
        (lambda: 5, "made an object of int"),
        (lambda length: Corridor(length), "missing 1 required positional argument: 'length'"),
        (pytest, "the module pytest as a world"),
        (lambda: 1 / 0, "raised ZeroDivisionError"),
        (lambda: "CartPole", "which made 'CartPole'"),
    ],
    ids=["number", "nothing", "class", "array", "makes a number", "asks for more", "module", "raises", "makes a name"],
)
def test_what_is_nothing_to_act_in_is_refused(given: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        resolve_task(given)


def test_an_agent_in_place_of_a_world_is_pointed_out() -> None:
    with pytest.raises(UsageError, match="the agent comes first"):
        resolve_task(make_agent("random", "FrozenLake"))


def test_a_task_of_a_class_is_pickled() -> None:
    task = pickle.loads(pickle.dumps(task_in_hand(Corridor)))
    assert isinstance(task, EnvironmentInHand)
    assert evaluate(right, task, 2, seed=0).mean == 4


def test_a_world_of_another_purpose_is_not_stored_as_its_settings() -> None:
    world = make_world("FourGoals")
    other = resolve_task(world.with_purpose("D"))
    assert other.world is not None
    assert other.world.purpose == world.goals["D"]
    with pytest.raises(UsageError, match="no name by which it could be made again"):
        task_from_json(other.to_json())
    assert resolve_task(world.with_purpose("A")).to_json() == {"name": "FourGoals", "settings": {}}
