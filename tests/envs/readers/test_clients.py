"""What other people's libraries ask of our environments, asked as they ask it; `docs/clients.md` names them."""

from __future__ import annotations

import copy
import importlib
import inspect
import pickle
import pkgutil
import subprocess
import sys
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

import inscape
from inscape import World, make_world
from inscape.errors import UnknownSettingError, UsageError
from tests.conftest import ROOT

MASKED = ("inscape/SkiResort-v0", "inscape/Household-v0")


class State(NamedTuple):
    x: float


class Push(World):
    """A bound, 0.1, that single precision holds as 0.10000000149."""

    State, action_low, action_high, branches, max_episode_steps = State, (-0.1,), (0.1,), 1, 20

    def initial(params: Any, branch: Any) -> Any:
        return 1.0, State(0.0)

    def transition(params: Any, state: Any, action: Any, branch: Any) -> Any:
        return 1.0, State(state.x + action[0])

    def reward(params: Any, purpose: Any, state: Any, action: Any, next_state: Any) -> Any:
        return -abs(state.x)

    def observations(params: Any) -> Any:
        return gym.spaces.Box(-10, 10, (1,), np.float32)


# --- actions ---------------------------------------------------------------------------------------------------------

ACTIONS = {
    "high": np.array([0.1], np.float32), "low": np.array([-0.1], np.float32), "beyond": np.array([3.0]),
    "far beyond": np.array([-1e30], np.float32), "infinite": np.array([np.inf]), "whole": np.array([2]),
}  # fmt: skip


@pytest.mark.parametrize("name", ACTIONS)
def test_actions_out_of_bounds_are_clipped(name: str) -> None:
    action, expected = ACTIONS[name], float(np.clip(np.float64(ACTIONS[name][0]), -0.1, 0.1))
    env, copies = Push().env(), Push().vector_env(2)
    env.reset(seed=0)
    copies.reset(seed=0)
    env.step(action)
    copies.step(np.stack([action, action]))
    assert env.state.x == expected
    assert copies.states.floats.tolist() == [[expected, expected]]
    copies.reset(seed=0)
    copies.step(np.stack([action, action]).astype(np.float64))  # what the kernels take as it is
    assert copies.states.floats.tolist() == [[expected, expected]]


@pytest.mark.parametrize("action", [[np.nan], [0.0, 0.0], "left", None])
def test_what_is_no_action_is_refused(action: Any) -> None:
    env, copies = Push().env(), Push().vector_env(2)
    env.reset(seed=0)
    copies.reset(seed=0)
    with pytest.raises((UsageError, ValueError)):
        env.step(action)
    with pytest.raises((UsageError, ValueError)):
        copies.step([action, action])
    if action == [np.nan]:
        with pytest.raises(UsageError):
            copies.step(np.full((2, 1), np.nan))


def test_the_law_stays_strict() -> None:
    world = Push()
    with pytest.raises(UsageError, match="within"):
        world.outcomes(world.pack([State(0.0)]), np.array([[3.0]]))


def test_wrappers_of_continuous_actions() -> None:
    for env, action in (
        (gym.wrappers.ClipAction(Push().env()), np.array([3.0], np.float32)),
        (gym.wrappers.RescaleAction(Push().env(), -1.0, 1.0), np.array([1.0], np.float32)),
    ):
        env.reset(seed=0)
        env.step(action)


@pytest.mark.parametrize("name", MASKED)
def test_samples_of_a_space_nobody_seeded_are_legal(name: str) -> None:
    for seed in range(5):
        env = gym.make(name)
        _, info = env.reset(seed=seed)
        for _ in range(4):
            action = env.action_space.sample()
            assert info["action_mask"][action]
            _, _, terminated, truncated, info = env.step(action)
            if terminated or truncated:
                break


@pytest.mark.parametrize("name", MASKED)
def test_masks_as_maskable_ppo_asks_for_them(name: str) -> None:
    env = gym.make(name)
    _, info = env.reset(seed=0)
    masks = env.get_wrapper_attr("action_masks")
    assert np.array_equal(masks(), info["action_mask"])
    _, _, _, _, info = env.step(int(np.argmax(masks())))
    assert np.array_equal(masks(), info["action_mask"])
    copies: Any = gym.make_vec(name, 3)
    _, infos = copies.reset(seed=0)
    assert np.array_equal(copies.action_masks(), infos["action_mask"])


def test_masks_where_nothing_is_forbidden() -> None:
    env = make_world("FrozenLake").env()
    env.reset(seed=0)
    assert env.action_masks().tolist() == [True] * 4
    with pytest.raises(UsageError, match="continuous"):
        Push().env().action_masks()


# --- making ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["inscape/CartPole-v0", "inscape/FrozenLake-v0", "inscape/Pendulum-v0"])
@pytest.mark.parametrize("make", [gym.make, lambda name, **given: gym.make_vec(name, 2, **given)])
def test_an_unknown_keyword_is_a_type_error_in_pythons_words(name: str, make: Any) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'frameskip'") as caught:
        make(name, frameskip=1)
    assert isinstance(caught.value, UsageError)


@pytest.mark.parametrize("mode", ["rgb_array", "ansi", "rgb_array_list", "ansi_list", "human"])
def test_every_render_mode_that_gymnasium_derives(mode: str, recwarn: pytest.WarningsRecorder) -> None:
    env = gym.make("inscape/FrozenLake-v0", render_mode=mode)
    env.reset(seed=0)
    env.step(1)
    drawn = env.render()
    if mode.endswith("_list"):
        assert isinstance(drawn, list) and len(drawn) == 2
        drawn = drawn[0]
    kind = {"rgb_array": np.ndarray, "ansi": str, "human": type(None)}[mode.removesuffix("_list")]
    assert isinstance(drawn, kind)
    env.close()
    assert not [warning for warning in recwarn if "not in the possible render_modes" in str(warning.message)]


MODES = {
    AutoresetMode.NEXT_STEP: AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP: AutoresetMode.SAME_STEP,
    AutoresetMode.DISABLED: AutoresetMode.DISABLED, "SameStep": AutoresetMode.SAME_STEP,
    "same-step": AutoresetMode.SAME_STEP, "DISABLED": AutoresetMode.DISABLED,
}  # fmt: skip


@pytest.mark.parametrize("given", MODES)
def test_autoreset_by_gymnasiums_name(given: Any) -> None:
    copies: Any = gym.make_vec("inscape/FrozenLake-v0", 2, autoreset_mode=given)
    assert copies.autoreset_mode is copies.metadata["autoreset_mode"] is MODES[given]
    again = pickle.loads(pickle.dumps(copies))
    assert again.autoreset_mode is MODES[given]


def test_an_unknown_autoreset_is_refused() -> None:
    with pytest.raises(UsageError, match="autoreset_mode"):
        gym.make_vec("inscape/FrozenLake-v0", 2, autoreset_mode="sometimes")


@pytest.mark.parametrize("mode", [None, "rgb_array", "ansi"])
def test_copies_draw_themselves(mode: str | None) -> None:
    copies = gym.make_vec("inscape/CartPole-v0", 3, render_mode=mode)
    copies.reset(seed=0)
    assert copies.render_mode == mode
    if mode is None:
        with pytest.raises(UsageError, match="render mode"):
            copies.render()
        return
    drawn = copies.render()
    assert drawn is not None and len(drawn) == 3
    if mode == "rgb_array":
        alone = gym.make("inscape/CartPole-v0", render_mode="rgb_array")
        alone.reset(seed=0)
        assert np.array_equal(drawn[0], alone.render())
    assert gym.wrappers.vector.RecordEpisodeStatistics(copies).render() is not None


def test_a_window_of_copies_is_refused() -> None:
    with pytest.raises(UsageError, match="render_mode 'human'"):
        gym.make_vec("inscape/CartPole-v0", 3, render_mode="human")


SAME = {
    "inscape/FrozenLake-v0": "FrozenLake-v1", "inscape/FrozenLake8x8-v0": "FrozenLake8x8-v1",
    "inscape/CartPole-v0": "CartPole-v1", "inscape/MountainCar-v0": "MountainCar-v0",
    "inscape/MountainCarContinuous-v0": "MountainCarContinuous-v0", "inscape/Acrobot-v0": "Acrobot-v1",
    "inscape/Pendulum-v0": "Pendulum-v1", "inscape/CliffWalking-v0": "CliffWalking-v1",
}  # fmt: skip


@pytest.mark.parametrize("name", SAME)
def test_reward_thresholds_are_gymnasiums(name: str) -> None:
    assert gym.spec(name).reward_threshold == gym.spec(SAME[name]).reward_threshold


class _EnoughError(Exception):
    """Ends a game."""


@pytest.mark.parametrize("name", ["inscape/FrozenLake-v0", "inscape/CartPole-v0", "inscape/Taxi-v0"])
def test_gymnasium_plays(name: str) -> None:
    from gymnasium.utils.play import play

    steps: list[Any] = []

    def callback(*step: Any) -> None:
        steps.append(step)
        if len(steps) == 3:
            raise _EnoughError

    env = gym.make(name, render_mode="rgb_array")
    keys = env.get_wrapper_attr("get_keys_to_action")()
    assert sorted(keys.values()) == list(range(env.action_space.n))  # type: ignore[attr-defined]
    with pytest.raises(_EnoughError):
        play(env, callback=callback, noop=0, fps=1000)


# --- errors ----------------------------------------------------------------------------------------------------------


def errors() -> list[type[BaseException]]:
    """Returns every exception class of the package."""
    found: list[type[BaseException]] = []
    for module in pkgutil.walk_packages(inscape.__path__, "inscape."):
        source = (ROOT / module.name.replace(".", "/")).with_suffix(".py")
        if source.is_file() and ("Error" in source.read_text() or "Exception" in source.read_text()):
            if "import pygame" in source.read_text() or "cuda" in module.name or module.name.endswith("__main__"):
                continue
            loaded = importlib.import_module(module.name)
            found += [
                cls for _, cls in inspect.getmembers(loaded, inspect.isclass)
                if issubclass(cls, BaseException) and cls.__module__ == module.name
            ]  # fmt: skip
    return found


def test_every_error_is_made_from_itself_and_pickled() -> None:
    kinds = errors()
    assert {"UsageError", "UnknownSettingError", "TrainingInterrupted", "DivergenceError"} <= {
        k.__name__ for k in kinds
    }
    for kind in kinds:
        error = kind("what was found")
        if isinstance(error, UsageError):
            error = kind("what was found", expected="something else", hint="another")  # type: ignore[call-arg]
        for again in (type(error)(error), pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
            assert type(again) is kind and str(again) == str(error), kind
    error = UnknownSettingError("Lake", "slap", expected="slip", hint="did you mean 'slip'?")
    again = pickle.loads(pickle.dumps(error))
    assert (again.found, again.expected, again.hint) == (error.found, error.expected, error.hint)
    assert str(type(again)(again)) == str(error)


def test_a_gymnasium_without_generic_vector_wrappers_is_enough() -> None:
    """Gymnasium below 1.4 has a `VectorWrapper` that takes no type arguments."""
    code = """
import gymnasium as gym, gymnasium.vector as v
def plain(cls, item): raise TypeError(f"{cls} is not a generic class")
v.VectorWrapper.__class_getitem__ = classmethod(plain)
import inscape
from inscape.envs import resolve_task
resolve_task("CartPole-v1").vector_env(2).reset(seed=0)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
