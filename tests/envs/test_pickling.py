"""Worlds, environments and tasks through pickle, copy and new processes, used before or not."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
import sys
from pathlib import Path
from typing import Any

import cloudpickle
import gymnasium as gym
import numpy as np
import pytest

from inscape import World, make_world, resolve_task
from inscape.envs.loading import load_class
from inscape.envs.readers.gym_env import WorldEnv
from inscape.envs.tasks.opponents_task import OpponentsTask
from inscape.envs.tasks.shared_policy import one_player
from inscape.errors import UsageError
from tests.conftest import EXAMPLES
from tests.envs.pickling_cases import WAYS, in_a_new_process, plain, played, played_in_turn

RECTANGLE = [[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], [[6.0, 5.0, 4.0], [3.0, 2.0, 1.0]]]
WORLDS: dict[str, tuple[str, dict[str, Any]]] = {
    "tables": ("FrozenLake", {"slip": 0.5}),
    "in turn": ("TicTacToe", {}),
    "sized by a number": ("MoneyRequest", {"low": 2, "high": 5}),
    "sized by a table, with a law function": ("RockPaperScissors", {"payoffs": RECTANGLE}),
    "all at once": ("RockPaperScissors", {"rounds": 3}),
    "goals": ("FourGoals", {"goal": "B"}),
    "sampled": ("CartPole", {}),
    "of a file": (f"{EXAMPLES / 'elevator.py'}:Elevator", {"floors": 5}),
}


def use(world: World) -> None:
    """Compiles it, packs it, and looks at its spaces."""
    states = world.sample_initial(2, np.random.default_rng(0))
    world.observe(states)
    if world.is_enumerable == "enumerate" and world.players == 1 and not world.initial_noise:
        world.dynamics()


@pytest.mark.parametrize("used", [False, True], ids=["new", "used"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", WORLDS)
def test_a_world_is_the_same_world(kind: str, way: str, used: bool) -> None:
    name, settings = WORLDS[kind]
    world = make_world(name, **settings)
    if used:
        use(world)
    twin = WAYS[way](world)
    assert type(twin) is type(world)
    assert repr(twin) == repr(world)
    assert twin.max_episode_steps == world.max_episode_steps
    assert (twin.action_space, twin.observation_space) == (world.action_space, world.observation_space)
    first, second = (w.sample_initial(4, np.random.default_rng(3)) for w in (world, twin))
    assert first.keys() == second.keys()
    acted = [w.random_actions(first, np.random.default_rng(1)) for w in (world, twin)]
    one, other = (w.step(first, a, np.random.default_rng(2)) for w, a in zip((world, twin), acted, strict=True))
    assert one[0].keys() == other[0].keys()
    assert plain(one[1:]) == plain(other[1:])


def test_what_was_worked_out_is_not_copied() -> None:
    world = make_world("FrozenLake")
    before = len(pickle.dumps(world))
    use(world)
    assert len(pickle.dumps(world)) == before
    twin = copy.deepcopy(world)
    assert not set(vars(twin)) & {"packed", "compiled_law", "observation_space", "action_space"}
    assert dict(twin._shared) == {}
    assert twin.dynamics() is not world.dynamics()


def test_worlds_that_share_dynamics_share_them_again() -> None:
    world = make_world("FourGoals")
    pair = pickle.loads(pickle.dumps((world, world.with_purpose("B"), world.with_params(world.params))))
    assert pair[0].dynamics() is pair[1].dynamics()
    assert pair[0].dynamics() is not pair[2].dynamics()


def test_a_world_with_another_purpose_keeps_what_it_was_registered_with() -> None:
    world = make_world("FrozenLake8x8")
    for other in (world.with_params(world.params), world.with_purpose(world.purpose), copy.deepcopy(world)):
        assert other.max_episode_steps == world.max_episode_steps == 200
        assert other.name == "FrozenLake8x8"
    assert type(world).max_episode_steps == 100  # the class has another


PLAY = "e = value.env(); e.reset(seed=0)\nprint([float(e.step(0)[1]) for _ in range(3)], e.state)"


@pytest.mark.quick("tables-used", "of a file-used")
@pytest.mark.parametrize("used", [False, True], ids=["new", "used"])
@pytest.mark.parametrize("kind", ["tables", "goals", "of a file"])
def test_a_world_works_in_a_new_process(kind: str, used: bool) -> None:
    name, settings = WORLDS[kind]
    world = make_world(name, **settings)
    if used:
        use(world)
    env = world.env()
    env.reset(seed=0)
    here = f"{[float(env.step(0)[1]) for _ in range(3)]} {env.state}"
    assert in_a_new_process(world, PLAY) == here


@pytest.mark.quick("in turn")
@pytest.mark.parametrize("kind", ["sized by a number", "sized by a table, with a law function", "in turn"])
def test_a_world_of_several_players_works_in_a_new_process(kind: str) -> None:
    name, settings = WORLDS[kind]
    world = make_world(name, **settings)
    code = "e = value.vector_env(2); e.reset(seed=0)\nprint(e.action_space.shape, value.action_names)"
    assert in_a_new_process(world, code) == f"{world.vector_env(2).action_space.shape} {world.action_names}"


# ---------------------------------------------------------------------------------------------- environments


def frozen_lake() -> WorldEnv:
    return make_world("FrozenLake", slip=0.5).env()


ROWS = [np.arange(4) % 3] * 3
SINGLE: dict[str, Any] = {
    "gym": (frozen_lake, [0, 0, 0]),
    "gymnasium.make": (lambda: gym.make("inscape/FrozenLake-v0"), [2, 1, 2]),
    "continuous": (lambda: make_world("Pendulum").env(), [np.array([0.5], np.float32)] * 3),
    "restricted": (lambda: make_world(f"{EXAMPLES / 'elevator.py'}:Elevator").env(), [0, 0, 0]),
    "vector": (lambda: make_world("FrozenLake", slip=0.5).vector_env(3), [np.array([0, 1, 2])] * 30),
    "vector, same step": (
        lambda: make_world("FrozenLake").vector_env(3, "same-step", max_episode_steps=4), [np.array([0, 1, 2])] * 9
    ),
    "vector, in turn": (
        lambda: make_world("TicTacToe").vector_env(2, "same-step"), [np.array([k, 8 - k]) for k in (2, 3)]
    ),
    "parallel": (
        lambda: make_world("RockPaperScissors", rounds=5).parallel_env(),
        [{"player_0": k, "player_1": 1} for k in range(3)],
    ),
    "pictures": (lambda: resolve_task("pixels:FrozenLake").env(), [2, 1, 2]),
    "pictures, vector": (lambda: resolve_task("pixels:FrozenLake").vector_env(2), [np.array([2, 1])] * 8),
    "players as rows": (lambda: one_player(resolve_task("RockPaperScissors", {"rounds": 5})).vector_env(4), ROWS),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", SINGLE)
def test_a_copied_environment_goes_on_identically_and_by_itself(kind: str, way: str) -> None:
    make, actions = SINGLE[kind]
    env = make()
    env.reset(seed=4)
    env.step(actions[0])
    first, second = WAYS[way](env), WAYS[way](env)
    answers = played(first, actions[1:])
    again = plain(first.reset(seed=None))
    assert (played(env, actions[1:]), plain(env.reset(seed=None))) == (answers, again)
    assert (played(second, actions[1:]), plain(second.reset(seed=None))) == (answers, again)


@pytest.mark.parametrize("way", WAYS)
def test_a_copy_before_the_first_reset_is_one_before_the_first_reset(way: str) -> None:
    env, twin = (WAYS[way](frozen_lake()) for _ in range(2))
    with pytest.raises(UsageError, match="before the first reset"):
        twin.step(0)
    assert plain(env.reset(seed=3)) == plain(twin.reset(seed=3))


@pytest.mark.parametrize("way", WAYS)
def test_players_in_turn_go_on_identically(way: str) -> None:
    env = make_world("TicTacToe").aec_env()
    env.reset(seed=0)
    played_in_turn(env, 2)
    twin = WAYS[way](env)
    assert played_in_turn(twin, 6) == played_in_turn(env, 6)
    assert twin.agents == env.agents


class Uniform:
    """Opponents who choose uniformly among what is legal."""

    def drawn(self, numbers: np.ndarray) -> np.ndarray:
        return np.zeros(len(numbers), np.int64)

    def probabilities(self, opponent: Any, player: Any, observation: Any, mask: Any) -> np.ndarray:
        weights = np.asarray(mask, float)
        return np.asarray(weights / weights.sum(1, keepdims=True))


@pytest.mark.parametrize("way", WAYS)
def test_a_seat_against_opponents_goes_on_identically(way: str) -> None:
    task = OpponentsTask.against(resolve_task("TicTacToe"), Uniform(), seat=0)
    env = task.vector_env(2)
    info = env.reset(seed=0)[1]
    twin = WAYS[way](env)
    actions = info["action_mask"].argmax(1)
    assert played(twin, [actions]) == played(env, [actions])
    assert plain(WAYS[way](task).vector_env(2).reset(seed=5)) == plain(task.vector_env(2).reset(seed=5))


@pytest.mark.parametrize("way", WAYS)
def test_samples_of_a_copied_space_go_on_and_stay_legal(way: str) -> None:
    world = make_world(f"{EXAMPLES / 'elevator.py'}:Elevator")
    env = world.env()
    env.action_space.seed(5)
    env.reset(seed=0)
    env.action_space.sample()
    twin = WAYS[way](env)
    assert [twin.action_space.sample() for _ in range(8)] == [env.action_space.sample() for _ in range(8)]
    if hasattr(twin.action_space, "_legal"):
        assert twin.action_space._legal.base is twin._mask or twin.action_space._legal is twin._mask[0]


def test_a_window_stays_where_it_is() -> None:
    env = make_world("FrozenLake").env(render_mode="human")
    env.reset(seed=0)
    twin = pickle.loads(pickle.dumps(env))
    assert env._window is not None
    assert twin._window is None
    twin.step(1)  # opens one of its own
    assert twin._window is not None
    twin.close()
    env.close()


def test_environments_of_one_world_share_it_again() -> None:
    world = make_world("FrozenLake")
    first, second = pickle.loads(pickle.dumps((world.env(), world.vector_env(2))))
    assert first.world is second.world


def test_attributes_of_a_users_own_go_along() -> None:
    env = frozen_lake()
    env.label = "mine"  # type: ignore[attr-defined]
    assert copy.deepcopy(env).label == "mine"


def _last_observation(env: Any) -> Any:
    return plain([env.step(2)[0] for _ in range(3)][-1])


def test_an_environment_is_sent_to_a_spawned_worker() -> None:
    env = frozen_lake()
    env.reset(seed=0)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        there = pool.apply(_last_observation, (env,))
    assert there == _last_observation(env)


# ---------------------------------------------------------------------------------------------- tasks

TASKS = ["FrozenLake", "CartPole-v1", "pixels:FrozenLake", "TicTacToe", f"{EXAMPLES / 'elevator.py'}:Elevator",
         "pettingzoo:pettingzoo.classic.rps_v2"]  # fmt: skip


@pytest.mark.parametrize("used", [False, True], ids=["new", "used"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", TASKS)
def test_a_task_is_the_same_task(name: str, way: str, used: bool) -> None:
    task = resolve_task(name)
    if used:
        task.vector_env(2).reset(seed=0)
    twin = WAYS[way](task)
    assert twin.to_json() == task.to_json()
    assert twin.max_episode_steps == task.max_episode_steps
    assert (twin.observation_space, twin.action_space) == (task.observation_space, task.action_space)
    first, second = (t.vector_env(2).reset(seed=1)[0] for t in (task, twin))
    assert plain(first) == plain(second)


def test_a_task_works_in_a_new_process() -> None:
    code = "print(value.vector_env(2).reset(seed=1)[0].tolist())"
    for name in ("FrozenLake", "CartPole-v1"):
        task = resolve_task(name)
        task.env().reset()
        assert in_a_new_process(task, code) == str(task.vector_env(2).reset(seed=1)[0].tolist())


# ---------------------------------------------------------------------------------------------- users' files

OWN = """
from enum import Enum
from typing import Any, NamedTuple
import numpy as np
from inscape import World

class Way(Enum):
    UP = 1

class Steps(NamedTuple):
    n: int

class Size(NamedTuple):
    table: np.ndarray
    top: int = 3

class Climb(World):
    State, Params = Steps, Size
    actions = ("stay", "climb")
    def setup(self, top=3):
        return Size(np.arange(4.0), top), self.Purpose()
    def initial(params, branch):
        return 1.0, Steps(0)
    def transition(params, state, action, branch):
        return 1.0, Steps(min(state.n + action, params.top))
    def reward(params, purpose, state, action, next_state):
        return params.table[next_state.n]
    def terminal(params, purpose, state):
        return state.n == params.top

class Wide(Climb):
    @classmethod
    def sized(cls, top=3):
        return {"actions": tuple(str(k) for k in range(top))}

class Mine:
    name = "mine"
    def __init__(self):
        self.kept = Steps(4)
    def act(self, observation):
        return np.ones(len(observation), int)
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "climbing.py"
    path.write_text(OWN)
    return path


OBJECTS = {
    "world": "Climb(top=2)",
    "sized world": "Wide(top=3)",
    "environment": "Climb().env()",
    "copies": "Climb().vector_env(2)",
    "state": "Steps(3)",
    "parameters": "Size(np.arange(2.0))",
    "member of an enumeration": "Way.UP",
    "agent": "Mine()",
    "list of them": "[Steps(1), Mine()]",
    "world with another purpose": "Climb().with_params(Size(np.arange(4.0) + 1.0, 2))",
}


@pytest.mark.quick(every=4)
@pytest.mark.parametrize("kind", OBJECTS)
def test_what_a_file_defines_is_found_in_a_new_process(own: Path, kind: str) -> None:
    module = sys.modules[load_class(f"{own}:Climb", "world").__module__]
    value = eval(OBJECTS[kind], vars(module))
    names = in_a_new_process(value, "print(type(value).__name__)")
    assert names == type(value).__name__
    for way in WAYS.values():
        assert type(way(value)) is type(value)


def test_a_file_edited_since_is_refused_and_not_run(own: Path, tmp_path: Path) -> None:
    world = make_world(f"{own}:Climb")
    data = pickle.dumps((world, world.State(2)))
    own.write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n" + OWN)
    code = f"import inscape\ntry:\n    pickle.loads({data!r})\nexcept inscape.UsageError as error:\n    print(error)"
    told = in_a_new_process(None, code)
    assert "climbing.py was edited since" in told
    assert "expected: the file as it was" in told
    assert not (tmp_path / "ran").exists()
    assert pickle.loads(data)[0].params.top == 3  # in this process the class is still there
    assert copy.deepcopy(world).params.top == 3


def test_a_file_that_is_gone_is_named(own: Path) -> None:
    data = pickle.dumps(make_world(f"{own}:Climb"))
    own.unlink()
    code = f"import inscape\ntry:\n    pickle.loads({data!r})\nexcept inscape.UsageError as error:\n    print(error)"
    assert "no file" in in_a_new_process(None, code)


def test_a_file_is_run_once(own: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    own.write_text(f"open({str(log)!r}, 'a').write('run ')\n" + OWN)
    task = resolve_task(f"{own}:Climb")
    pickle.loads(pickle.dumps(task))
    resolve_task(f"{own}:Wide")
    assert log.read_text() == "run "


MAIN = """
import subprocess, sys
from typing import NamedTuple
import cloudpickle
from inscape import World

STEP = 2

def further(n):
    return n + STEP

class Place(NamedTuple):
    n: int

class Walk(World):
    State = Place
    actions = ("on",)
    def initial(params, branch):
        return 1.0, Place(0)
    def transition(params, state, action, branch):
        return 1.0, Place(further(state.n))
    def reward(params, purpose, state, action, next_state):
        return float(next_state.n)
    {more}

world = Walk({settings})
if {used}:
    world.env().reset(seed=0)
child = "import pickle, sys; e = pickle.load(sys.stdin.buffer).env(); e.reset(seed=0); print(e.step(0)[1], e.world)"
sys.exit(subprocess.run([sys.executable, "-W", "ignore", "-c", child], input=cloudpickle.dumps(world)).returncode)
"""
SIZED = """@classmethod
    def sized(cls, count=1):
        return {"actions": tuple(f"on {k}" for k in range(count))}
    def setup(self, count=1):
        return self.Params(), self.Purpose()"""


@pytest.mark.quick("plain-used", "sized-new")
@pytest.mark.parametrize("used", [False, True], ids=["new", "used"])
@pytest.mark.parametrize(("more", "settings"), [("", ""), (SIZED, "count=3")], ids=["plain", "sized"])
def test_a_world_of_a_notebook_goes_by_value(tmp_path: Path, used: bool, more: str, settings: str) -> None:
    """A script's `__main__` is to pickle what a notebook's is."""
    import os
    import subprocess

    path = tmp_path / "main.py"
    path.write_text(MAIN.format(more=more, settings=settings, used=used))
    environment = {**os.environ, "PYTHONPATH": str(EXAMPLES.parent), "NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(path)], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("2.0 Walk(" + settings)


def test_cloudpickle_copies_a_local_class_with_its_environment() -> None:
    from tests.envs.law.test_law import LampRow, Row

    class Brighter(LampRow):
        @staticmethod
        def reward(params: Row, purpose: Any, state: Any, action: int, next_state: Any) -> float:
            return 2.0

    env = Brighter(lamps=2).env()
    env.reset(seed=0)
    twin = cloudpickle.loads(cloudpickle.dumps(env))
    assert twin.step(1)[1] == env.step(1)[1] == 2.0
