"""Third-party environments go wrong in every way; each is converted, or named with copy, step and seed."""

from __future__ import annotations

import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from inscape import resolve_task
from inscape.agents import EnvRunner, make_agent
from inscape.agents.rollout import evaluate, rollout
from inscape.agents.sb3.env import gymnasium_copies
from inscape.envs.tasks.checking import hangs
from inscape.envs.tasks.checking.contract import EnvironmentFault
from inscape.envs.tasks.checking.env import CheckedEnv
from inscape.envs.tasks.checking.vector_env import checked_batch
from inscape.errors import UsageError

BOX = spaces.Box(-1, 1, (2,), np.float32)
GOOD = np.zeros(2, np.float32)
TWO = spaces.Discrete(2)


TWO = spaces.Discrete(2)


class Theirs(gym.Env[Any, Any]):
    """Ends after six steps; the third step of an episode (and `reset`, of observations) gives what it is told to."""

    def __init__(
        self,
        space: spaces.Space[Any] = BOX,
        taken: spaces.Space[Any] = TWO,
        good: Any = GOOD,
        **third: Any,
    ) -> None:
        self.observation_space, self.action_space = space, taken
        self.good, self.third, self.t = good, third, 0
        self.acted: list[Any] = []

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.t = 0
        return self.good, self.info()

    def info(self) -> dict[str, Any]:
        mask = self.third.get("mask")
        return {} if mask is None else {self.third.get("key", "action_mask"): mask(self.t)}

    def step(self, action: Any) -> Any:
        self.t += 1
        self.acted.append(action)
        out = [self.good, 1.0, self.t >= 6, False, self.info()]
        if self.t == 3:
            for place, name in enumerate(("observation", "reward", "terminated", "truncated", "info")):
                if name in self.third:
                    value = self.third[name]
                    out[place] = value() if callable(value) else value
        return tuple(out)


@pytest.fixture
def task() -> Iterator[Callable[..., Any]]:
    """Registers an environment under a name of its own (what is reported once is reported once a name)."""
    made: list[str] = []

    def register(cls: Any = Theirs, **settings: Any) -> Any:
        name = f"Theirs{time.monotonic_ns()}-v0"
        gym.register(name, lambda **given: cls(**settings, **given), max_episode_steps=settings.pop("limit", 20))
        made.append(name)
        return resolve_task(name)

    yield register
    for name in made:
        del gym.registry[name]


def through(task: Any, how: str, steps: int = 8) -> None:
    """Steps an environment as one of its users does."""
    if how == "single":
        env = task.env()
        env.reset(seed=3)
        for _ in range(steps):
            _, _, terminated, truncated, _ = env.step(0)
            if terminated or truncated:
                env.reset()
    elif how == "learners":
        copies = EnvRunner(task, 2, 0)
        for _ in range(steps):
            copies.step(np.zeros(2, int))
    elif how == "evaluation":
        evaluate(make_agent("random", task), task, 2, seed=0)
    else:
        theirs = gymnasium_copies(task, 2, 0)
        theirs.reset()
        for _ in range(steps):
            theirs.step(np.zeros(2, int))


HOW = pytest.mark.parametrize("how", ["single", "learners", "evaluation", "sb3"])


def exits() -> Any:
    sys.exit(3)


def raises(error: BaseException) -> Callable[[], Any]:
    def function() -> Any:
        raise error

    return function


FAULTS: dict[str, dict[str, Any]] = {
    "reward None": {"reward": None},
    "reward text": {"reward": "1.0"},
    "reward pair": {"reward": np.array([1.0, 2.0])},
    "reward empty": {"reward": np.zeros(0)},
    "reward NaN": {"reward": float("nan")},
    "reward infinite": {"reward": -np.inf},
    "reward beyond float32": {"reward": 1e39},
    "reward complex": {"reward": 1 + 2j},
    "reward dictionary": {"reward": {"player": 1.0}},
    "reward ragged": {"reward": [[1.0], [1.0, 2.0]]},
    "reward NaN in an array": {"reward": np.array([np.nan])},
    "terminated text": {"terminated": "False"},
    "terminated None": {"terminated": None},
    "terminated 2": {"terminated": 2},
    "terminated 0.5": {"terminated": 0.5},
    "terminated pair": {"terminated": np.array([True, False])},
    "truncated text": {"truncated": "True"},
    "info None": {"info": None},
    "info list": {"info": []},
    "info text": {"info": "fine"},
    "observation shape": {"observation": np.zeros(3, np.float32)},
    "observation scalar": {"observation": np.float32(0)},
    "observation wrapped": {"observation": np.zeros((1, 2), np.float32)},
    "observation None": {"observation": None},
    "observation text": {"observation": "ab"},
    "observation NaN": {"observation": np.array([0, np.nan], np.float32)},
    "observation infinite": {"observation": np.array([np.inf, 0], np.float32)},
    "observation beyond float32": {"observation": np.array([1e39, 0])},
    "observation complex": {"observation": np.zeros(2, complex)},
    "observation dictionary": {"observation": {"x": 0.0}},
    "observation ragged": {"observation": [[0.0], [0.0, 1.0]]},
    "exit": {"reward": exits},
    "exit without a code": {"observation": raises(SystemExit())},
    "raises": {"reward": raises(ConnectionError("the simulator hung up"))},
    "raises an assertion": {"reward": raises(AssertionError())},
    "raises a key": {"reward": raises(KeyError("x"))},
    "raises StopIteration": {"reward": raises(StopIteration())},
    "raises MemoryError": {"reward": raises(MemoryError())},
}


@HOW
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_with_copy_step_and_seed(task, fault, how):
    with pytest.raises(EnvironmentFault, match=r"in copy 0 at step 2 \(seed \d+\)") as raised:
        through(task(**FAULTS[fault]), how)
    assert "Theirs" in str(raised.value)
    said = {"exit": "sys.exit(3)", "raises": "ConnectionError: the simulator hung up", "reward beyond float32": "1e+39"}
    assert said.get(fault, "") in str(raised.value)


def test_ctrl_c_passes(task):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where a shell started it beside others
    with pytest.raises(KeyboardInterrupt):
        through(task(reward=lambda: signal.raise_signal(signal.SIGINT)), "learners")
    signal.signal(signal.SIGINT, before)


@HOW
def test_a_keyboard_interrupt_that_nobody_pressed_is_named(how, task):
    with pytest.raises(EnvironmentFault, match=r"raised KeyboardInterrupt in step, in copy \d at step 2"):
        through(task(reward=raises(KeyboardInterrupt())), how)


@HOW
@pytest.mark.parametrize(
    "good",
    [
        {"reward": np.array([2.0])}, {"reward": np.array(2.0)}, {"reward": np.float32(2)}, {"reward": 2},
        {"reward": True}, {"reward": Fraction(1, 2)}, {"reward": [[2.0]]}, {"terminated": np.False_},
        {"terminated": 0}, {"truncated": np.array([False])}, {"observation": [0.0, 0.5]},
        {"observation": np.zeros(2)}, {"observation": np.zeros(2, int)}, {"observation": (0, 1)},
    ],
    ids=str,
)  # fmt: skip
def test_what_can_be_read_without_doubt_is_taken(task, good, how):
    through(task(**good), how)


def test_rewards_and_observations_come_as_the_interface_has_them(task):
    env = task(reward=np.array([2.5]), observation=[0.25, 0.5]).env()
    env.reset(seed=0)
    seen, reward, terminated, truncated, info = [env.step(0) for _ in range(3)][-1]
    assert (seen.dtype, seen.tolist(), type(reward), reward) == (np.float32, [0.25, 0.5], float, 2.5)
    assert (terminated, truncated, info) == (False, False, {})


class Tank(Theirs):
    """Hands out its own buffer, which all copies share, and overwrites it."""

    level = np.zeros(2, np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.level[:] = 0
        return self.level, {}

    def step(self, action: Any) -> Any:
        self.t += 1
        self.level[:] = self.t / 10
        return self.level, 1.0, self.t == 5, False, {}


def test_reused_buffers_are_copied(task):
    tank = task(Tank)
    copies, theirs = EnvRunner(tank, 3, 0), gymnasium_copies(tank, 2, 0)
    theirs.reset()
    first = copies.observation
    for _ in range(5):
        transition, infos = copies.step(np.zeros(3, int)), theirs.step(np.zeros(2, int))[3]
    assert first.max() == 0
    assert transition.last_observation.tolist() == [[0.5, 0.5]] * 3
    assert infos[1]["terminal_observation"].tolist() == [0.5, 0.5]
    assert copies.observation.max() == 0
    [episode] = rollout(make_agent("random", tank), tank, 1, seed=0)
    assert episode.observations[:, 0].tolist() == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5])


@pytest.mark.parametrize("how", ["single", "learners", "sb3"])
def test_out_of_bounds_is_reported_once_and_kept(task, how):
    far = task(observation=np.array([5, 0], np.float32))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        through(far, how, 30)
        through(far, how, 30)
    assert [str(w.message)[:60] for w in told if "outside its space" in str(w.message)] == [
        f"the observation of {far.name} is 5.0 at [0], outside its space's bounds"[:60]
    ]


@pytest.mark.parametrize(
    ("space", "good", "wrong"),
    [
        (spaces.Discrete(3), 1, 3),
        (spaces.Discrete(3, start=2), 2, 1),
        (spaces.Discrete(3), np.int64(2), -1),
        (spaces.Discrete(3), np.array([2]), 1.5),
        (spaces.MultiDiscrete([2, 3]), np.array([1, 2]), np.array([1, 3])),
        (spaces.MultiDiscrete([[2, 3], [4, 5]]), np.array([[1, 2], [3, 4]]), np.array([[1, 2], [4, 4]])),
        (spaces.MultiBinary(2), np.array([1, 0], np.int8), np.array([1, 2], np.int8)),
        (spaces.MultiBinary([2, 2]), np.eye(2, dtype=np.int8), np.eye(2) / 2),
        (spaces.Box(0, 255, (2, 2), np.uint8), np.full((2, 2), 9, np.uint8), np.full((2, 2), 300)),
        (spaces.Box(0, 255, (2,), np.uint8), np.array([7, 8]), np.array([0.5, 8])),
        (spaces.Box(-1, 1, (), np.float32), 0.5, np.zeros(2)),
        (spaces.Text(4, charset="ab"), "ab", "xyz"),
        (spaces.Dict(a=BOX, b=spaces.Discrete(2)), {"a": GOOD, "b": 1}, {"a": GOOD}),
        (spaces.Dict(a=spaces.Dict(b=spaces.Discrete(2))), {"a": {"b": 1}}, {"a": {"b": 2}}),
        (spaces.Tuple((spaces.Discrete(2), BOX)), (1, GOOD), (1,)),
        (spaces.Tuple((spaces.Discrete(2), BOX)), (1, GOOD), (1, np.full(2, np.nan))),
        (spaces.Sequence(spaces.Discrete(2)), (1, 0, 1), (2,)),
    ],
    ids=lambda value: str(value)[:30],
)  # fmt: skip
def test_every_space_is_taken_by_random_custom_agents_evaluation_and_recording(task, space, good, wrong):
    class Looker:
        batched = False
        name = "looker"

        def act(self, observation: Any) -> int:
            assert space.contains(observation) or np.shape(observation) == (), observation
            return 0

    fine = task(space=space, good=good)
    for agent in (make_agent("random", fine), Looker()):
        assert evaluate(agent, fine, 3, seed=0).mean == 6
        if isinstance(space, spaces.Sequence):
            with pytest.raises(UsageError, match="cannot be recorded"):
                rollout(agent, fine, 1, seed=0)
        else:
            assert len(rollout(agent, fine, 2, seed=0)[0].observations) == 7
    with pytest.raises(EnvironmentFault, match="the observation.* in copy 0 at step 2"):
        evaluate(make_agent("random", fine), task(space=space, good=good, observation=wrong), 3, seed=0)


@pytest.mark.parametrize(
    "space",
    [
        spaces.Discrete(3), spaces.Discrete(3, start=-1), spaces.MultiDiscrete([3, 4], dtype=np.int32),
        spaces.MultiDiscrete([3, 4], dtype=np.uint8), spaces.MultiDiscrete([[2, 3], [4, 5]]),
        spaces.MultiBinary(3), spaces.MultiBinary([2, 2]), spaces.Box(-1, 1, (2,), np.float32),
        spaces.Box(-0.1, 0.1, (2, 2), np.float64), spaces.Box(0, 255, (2,), np.uint8), spaces.Text(3, charset="ab"),
        spaces.Dict(a=spaces.Discrete(2), b=spaces.Box(0, 1, (2,))), spaces.Tuple((spaces.Discrete(2), BOX)),
        spaces.Tuple((spaces.Dict(a=spaces.MultiBinary(2)), spaces.Discrete(3, start=4))),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_actions_have_dtype_shape_and_range_of_their_space(task, space):
    class Strict(Theirs):
        def step(self, action: Any) -> Any:
            assert space.contains(action), repr(action)
            assert not isinstance(action, np.ndarray) or action.dtype == space.dtype
            return super().step(action)

    strict = task(Strict, taken=space)
    assert len(rollout(make_agent("random", strict), strict, 3, seed=0)) == 3
    through_single = strict.env()
    through_single.reset(seed=0)
    through_single.step(space.sample())


@pytest.mark.parametrize(
    ("space", "action"),
    [
        (spaces.Discrete(2), 2), (spaces.Discrete(2), -1), (spaces.Discrete(2), 0.5), (spaces.Discrete(2), [0, 1]),
        (spaces.Discrete(2), "0"), (spaces.MultiDiscrete([2, 2]), [0, 2]), (spaces.MultiDiscrete([2, 2]), 1),
        (BOX, [np.nan, 0]), (BOX, [0]), (BOX, "up"), (spaces.MultiBinary(2), [0, 2]), (spaces.Text(2), 3),
        (spaces.Dict(a=BOX), {"b": GOOD}),
    ],
    ids=str,
)  # fmt: skip
def test_an_action_that_is_none_is_not_the_environments_fault(space, action):
    env = CheckedEnv(Theirs(taken=space), "Theirs")
    env.reset(seed=0)
    with pytest.raises(UsageError, match="action") as raised:
        env.step(action)
    assert not isinstance(raised.value, EnvironmentFault)


def test_continuous_actions_out_of_bounds_are_clipped():
    env = CheckedEnv(Theirs(taken=BOX), "Theirs")
    env.reset(seed=0)
    env.step(np.array([3.0, -3.0]))
    assert env.unwrapped.acted[0].tolist() == [1, -1]  # type: ignore[attr-defined]


# ---------------------------------------------------------------------------------------------------------- old Gym


class OldGym(Theirs):
    def reset(self) -> Any:  # type: ignore[override]
        self.t = 0
        return self.good

    def seed(self, seed: int) -> None:
        self.seeded = seed

    def step(self, action: Any) -> Any:
        observation, reward, terminated, _, info = super().step(action)
        cut = self.t == 4 and bool(self.third.get("cut"))
        return observation, reward, terminated or cut, {**info, "TimeLimit.truncated": cut}


class OlderReset(OldGym):
    def reset(self, seed: int | None = None, return_info: bool = False, options: Any = None) -> Any:  # type: ignore[override]
        return super().reset()


@HOW
@pytest.mark.parametrize("cls", [OldGym, OlderReset])
def test_old_gym_is_adapted(task, cls, how):
    through(task(cls), how)


def test_old_gym_ends_by_its_time_limit_as_truncated(task):
    env = task(OldGym, cut=True).env()
    env.reset(seed=5)
    assert env.unwrapped.seeded == 5
    assert [env.step(0)[2:4] for _ in range(4)][-1] == (False, True)
    limited = EnvRunner(task(OldGym, limit=2), 2, 0)
    limited.step(np.zeros(2, int))
    assert limited.step(np.zeros(2, int)).truncated.all()


class HalfOld(Theirs):
    def step(self, action: Any) -> Any:
        return super().step(action)[:4]


@HOW
def test_a_step_of_four_values_after_a_new_reset_is_refused_with_the_way(task, how):
    with pytest.raises(EnvironmentFault, match=r"terminated, truncated, info\) from step"):
        through(task(HalfOld), how)


@pytest.mark.parametrize("space", [None, "Box", 3, int])
def test_what_is_no_space_is_refused(space):
    with pytest.raises(UsageError, match="observation_space"):
        CheckedEnv(Theirs(space=space), "Theirs")


def test_copies_of_different_spaces_are_refused():
    sizes = iter((2, 3))
    with pytest.raises(EnvironmentFault, match="copy 1"):
        checked_batch([lambda: Theirs(space=spaces.Box(0, 1, (next(sizes),)))] * 2, "Theirs")


def test_a_constructor_that_exits_is_named(task):
    class Never(Theirs):
        def __init__(self, **_: Any) -> None:
            sys.exit("no licence")

    with pytest.raises(EnvironmentFault, match="cannot be made.*no licence"):
        task(Never)


@pytest.mark.parametrize("error", [AssertionError(), AssertionError("joint"), KeyError("x"), RuntimeError("no GL")])
def test_a_constructor_that_raises_is_named_with_its_line(task, error):
    class Never(Theirs):
        def __init__(self, **_: Any) -> None:
            raise error

    with pytest.raises(EnvironmentFault, match=f"cannot be made.*{type(error).__name__}") as caught:
        task(Never)
    assert "test_boundary.py:" in caught.value.hint
    assert not caught.value.found.endswith(": ")


def test_what_does_not_come_back_is_reported(monkeypatch, capfd, task):
    monkeypatch.setattr(hangs, "HANG_SECONDS", 0.2)
    monkeypatch.setattr(hangs, "_LOOK_SECONDS", 0.05)
    monkeypatch.setattr(hangs, "_thread", None)
    through(task(reward=lambda: time.sleep(1.0) or 1.0), "learners", 3)
    said = capfd.readouterr().err
    assert "has been in step in copy 0 at step 2 (seed" in said
    assert "test_boundary.py" in said


# ------------------------------------------------------------------------------------------------------------ masks

MULTI = spaces.MultiDiscrete([2, 3])
SPLIT = ([1, 0], [0, 1, 1])
FLAT = np.array([1, 0, 0, 1, 1])
MASKS: dict[str, tuple[spaces.Space[Any], Any]] = {
    "bool": (spaces.Discrete(3), np.array([False, True, False])),
    "bytes": (spaces.Discrete(3), np.array([0, 1, 0], np.int8)),
    "list": (spaces.Discrete(3), [0, 1, 0]),
    "floats": (spaces.Discrete(3), np.array([0.0, 1.0, 0.0])),
    "start": (spaces.Discrete(3, start=5), np.array([0, 1, 0])),
    "flat": (MULTI, FLAT),
    "tuple": (MULTI, tuple(np.array(part) for part in SPLIT)),
    "tuple of lists": (MULTI, SPLIT),
    "list of arrays": (MULTI, [np.array(part, bool) for part in SPLIT]),
    "objects": (MULTI, np.array([np.array(part) for part in SPLIT] + [None], object)[:2]),
    "rows": (spaces.MultiDiscrete([2, 2]), np.array([[1, 0], [0, 1]])),
    "several dimensions": (spaces.MultiDiscrete([[2, 2], [2, 2]]), np.array([1, 0] * 4)),
    "bits": (spaces.MultiBinary(2), np.array([1, 0, 0, 1])),
    "pairs": (spaces.MultiBinary(2), [[1, 0], [0, 1]]),
}


class Told(Theirs):
    """Says what is legal in the place asked for, and refuses what is not."""

    def __init__(self, place: str, told: Any, taken: spaces.Space[Any]) -> None:
        space: spaces.Space[Any] = BOX
        self.place, self.told = place, told
        if place == "observation":
            space = spaces.Dict(seen=BOX, action_mask=spaces.MultiBinary(len(told)))
        good: Any = {"seen": GOOD, "action_mask": np.array(told, np.int8)} if place == "observation" else GOOD
        super().__init__(space, taken, good)
        if place == "method":
            self.action_masks = lambda: told
        if place == "attribute":
            self.action_mask = told

    def info(self) -> dict[str, Any]:
        return {self.place: self.told} if self.place.startswith("action") else {}

    def step(self, action: Any) -> Any:
        parts = self.told if np.ndim(self.told[0]) else [self.told]
        flat = np.concatenate([np.ravel(part) for part in parts])
        sizes = [2, 2] if isinstance(self.action_space, spaces.MultiBinary) else None
        sizes = np.ravel(getattr(self.action_space, "nvec", [len(flat)])).tolist() if sizes is None else sizes
        numbers = np.ravel(np.asarray(action) - getattr(self.action_space, "start", 0))
        firsts = np.cumsum([0, *sizes[:-1]])
        assert np.asarray(flat)[firsts + numbers].all(), f"{action} is illegal"
        return super().step(action)


@pytest.mark.quick(every=4)
@pytest.mark.parametrize("kind", MASKS)
def test_masks_of_every_form_are_obeyed(task, kind):
    space, mask = MASKS[kind]
    masked = task(Told, place="action_mask", told=mask, taken=space)
    agents = [make_agent("random", masked)]
    if not isinstance(space, spaces.MultiBinary):
        agents.append(make_agent("ppo", masked, settings={"num_envs": 2, "num_steps": 8}))
        list(agents[-1].learn(masked, 32))  # type: ignore[attr-defined]
    for agent in agents:
        assert evaluate(agent, masked, 3, seed=0).mean == 6
    [episode] = rollout(agents[0], masked, 1, seed=0)
    assert episode.action_masks is not None
    assert episode.action_masks.dtype == np.bool_

    class Stubborn:
        name = "stubborn"

        def act(self, observation: Any, action_mask: Any = None) -> Any:
            count = len(observation)
            first = np.full((count, *(space.shape or ())), 0) + getattr(space, "start", 0)
            return first.astype(int) if kind in ("bool", "start") else first

    if kind in ("bool", "bytes", "start", "flat", "tuple", "rows"):
        with pytest.raises(UsageError, match="illegal action"):
            evaluate(Stubborn(), masked, 1, seed=0)


@pytest.mark.quick(every=3)
@pytest.mark.parametrize("place", ["action_mask", "action_masks", "method", "attribute", "observation"])
@pytest.mark.parametrize("agent", ["random", "dqn", "sb3:maskable-ppo", "ppo"])
def test_masks_are_found_wherever_they_are(task, place, agent):
    masked = task(Told, place=place, told=[0, 1, 0], taken=spaces.Discrete(3))
    small: dict[str, dict[str, Any]] = {
        "dqn": {"num_envs": 2, "learning_starts": 4, "batch_size": 4, "buffer_size": 200, "report_every": 20},
        "sb3:maskable-ppo": {"num_envs": 2, "num_steps": 8, "batch_size": 8},
        "ppo": {"num_envs": 2, "num_steps": 8},
        "random": {},
    }
    made = make_agent(agent, masked, settings=small[agent] or None)
    if agent != "random":
        list(made.learn(masked, 32))  # type: ignore[attr-defined]
    assert evaluate(made, masked, 3, seed=0).mean == 6


@pytest.mark.parametrize("agent", ["random", "ppo", "dqn", "sb3:maskable-ppo"])
@pytest.mark.parametrize("kind", ["discrete", "one part"])
def test_a_mask_that_forbids_everything_is_the_environments_fault(task, agent, kind):
    if kind == "one part" and agent == "dqn":
        pytest.skip("dqn takes Discrete actions")
    space, fine, stuck = (
        (spaces.Discrete(2), [1, 1], [0, 0]) if kind == "discrete" else (MULTI, FLAT, np.array([1, 0, 0, 0, 0]))
    )
    masked = task(taken=space, mask=lambda t: stuck if t == 3 else fine)
    settings: dict[str, Any] = {
        "dqn": {"num_envs": 2, "learning_starts": 4, "batch_size": 4, "buffer_size": 200, "report_every": 20},
        "sb3:maskable-ppo": {"num_envs": 2, "num_steps": 8, "batch_size": 8},
        "ppo": {"num_envs": 2, "num_steps": 8},
    }
    made = make_agent(agent, masked, settings=settings.get(agent))

    def use() -> None:
        if agent == "random":
            evaluate(made, masked, 2, seed=0)
        else:
            list(made.learn(masked, 64))  # type: ignore[attr-defined]

    with pytest.raises(EnvironmentFault, match="forbids every action"):
        use()


@pytest.mark.parametrize("ended", [np.zeros(2, np.int8), [0, 0], np.zeros(2, bool)])
def test_nothing_needs_to_be_legal_at_the_end(task, ended):
    masked = task(mask=lambda t: ended if t == 6 else [1, 1])
    for how in ("single", "learners", "evaluation", "sb3"):
        through(masked, how, 20)


def test_copies_that_tell_no_mask_allow_everything(task):
    masked = task(mask=lambda t: [0, 1] if t == 0 else None)
    copies = EnvRunner(masked, 2, 0)
    assert copies.action_mask.tolist() == [[False, True]] * 2
    copies.step(np.ones(2, int))
    assert copies.action_mask is None


@pytest.mark.parametrize(
    "wrong",
    [[1, 1, 1], [[1], [1]], [2, 1], [0.5, 1], [np.nan, 1], ["a", "b"], "11", 1, [-np.inf, 0], {"left": 1}],
    ids=str,
)
def test_a_mask_that_is_none_is_named(task, wrong):
    with pytest.raises(EnvironmentFault, match=r"'action_mask'.* in copy 0 at step 2"):
        through(task(mask=lambda t: wrong if t == 3 else [1, 1]), "learners")


def test_continuous_actions_have_no_mask(task):
    masked = task(taken=BOX, mask=lambda t: [1, 0])
    assert evaluate(make_agent("random", masked), masked, 2, seed=0).mean == 6


# ---------------------------------------------------------------------------------------------------- what runs keep


@pytest.mark.slow
def test_a_run_that_ends_by_a_fault_is_kept_and_goes_on(task, tmp_path):
    from inscape.experiments import open_run, train

    class Simulator(Theirs):
        left = 150

        def step(self, action: Any) -> Any:
            Simulator.left -= 1
            if Simulator.left == 0:
                raise ConnectionError("the simulator hung up")
            return super().step(action)

    world, settings = task(Simulator), {"num_envs": 2, "num_steps": 16}
    given: dict[str, Any] = {"steps": 320, "seed": 0, "out": tmp_path / "run", "settings": settings, "progress": False}
    with pytest.raises(UsageError, match=r"ConnectionError.*in copy . at step(.|\n)*kept: .* holds \d+ of 320 steps"):
        train("ppo", world, evaluate_every=0, **given)
    assert list((tmp_path / "run" / "checkpoints").iterdir())
    train("ppo", world, evaluate_every=0, resume=True, **given)
    latest = open_run(tmp_path / "run").load_latest()
    assert latest is not None
    assert latest[1]["steps"] >= 320


@pytest.mark.parametrize(("given", "limit"), [(7, 7), (-1, None), (None, 20)])
def test_the_time_limit_given_when_made_is_the_tasks(task, given, limit):
    name = task().name
    made = resolve_task(name, {} if given is None else {"max_episode_steps": given})
    assert made.max_episode_steps == limit


@pytest.mark.parametrize("given", [0, -2, 1.5, "9", True])
def test_a_time_limit_that_is_none_is_refused(task, given):
    with pytest.raises(UsageError, match="max_episode_steps"):
        resolve_task(task().name, {"max_episode_steps": given})


def take(env, steps):
    for _ in range(steps):
        env.step(np.array([0, 0]))


def test_a_space_that_changes_with_a_later_episode_is_named():
    class Fickle(gym.Env):
        action_space = gym.spaces.Discrete(2)

        def __init__(self):
            self.observation_space, self.begun = gym.spaces.Box(-9, 9, (4,)), 0

        def reset(self, *, seed=None, options=None):
            self.begun += 1
            if self.begun == 3:
                self.observation_space = gym.spaces.Box(-1, 1, (4,))
            return np.zeros(4, np.float32), {}

        def step(self, action):
            return np.zeros(4, np.float32), 0.0, True, False, {}

    env = resolve_task(Fickle).vector_env(2)
    env.reset(seed=0)
    with pytest.raises(EnvironmentFault, match=r"the observation space of Fickle has become Box\(-1"):
        take(env, 6)
