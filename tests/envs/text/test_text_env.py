"""Text environments: the same episodes as the world's own, and no answer taken for another."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import inscape
from inscape.envs import TextEnv, Turn, read_answer, register_text_env, text_env
from inscape.envs.tasks.resolve import resolve_task
from inscape.errors import UsageError

LAKE = ("left", "down", "right", "up")


class Guess(TextEnv):
    """A number from 0 to 9; four turns."""

    max_turns = 4
    penalty = 0.25

    def begin(self, rng: np.random.Generator, options: Mapping[str, Any]) -> str:
        self.number = int(options.get("number", rng.integers(10)))
        return "which digit?"

    def respond(self, answer: str) -> Turn:
        read = read_answer(answer, "0123456789")
        if read.action is None:
            return Turn("a digit, please", problem=read.problem)
        if read.action == self.number:
            return Turn("right", 1.0, terminated=True)
        return Turn("higher" if self.number > read.action else "lower")


@pytest.mark.parametrize(
    ("text", "action", "problem"),
    [
        ("left", 0, None),
        ("  Left.\n", 0, None),
        ("action: up", 3, None),
        ("**Action:** `down`", 1, None),
        ("I go right because of the hole.\naction: right", 2, None),
        ("action: left\nno, better:\naction: down", 1, None),
        ("<action>up</action>", 3, None),
        ("so \\boxed{right}", 2, None),
        ("I think.\n\nright", 2, None),
        ("action: right, since the goal is there", 2, None),
        ("action: right, not left", None, "ambiguous"),
        ("", None, "empty"),
        (" \n\t", None, "empty"),
        ("action:", None, "empty"),
        ("<action></action>", None, "empty"),
        ("action: jump", None, "unknown"),
        ("leftover", None, "unknown"),
        ("action: left or right", None, "ambiguous"),
        ("not left", None, "ambiguous"),
        ("I would not go left here", None, "ambiguous"),
        ("left left", None, "ambiguous"),
        ("<action>left", None, "ambiguous"),
    ],
)
def test_read_answer(text: str, action: int | None, problem: str | None) -> None:
    read = read_answer(text, LAKE)
    assert (read.action, read.problem) == (action, problem)


def test_an_answer_that_was_cut_counts_only_where_more_text_cannot_change_it() -> None:
    assert read_answer("action: up", ("up", "upright"), cut=True).problem == "cut"
    assert read_answer("action: up\n", ("up", "upright"), cut=True).action == 0
    assert read_answer("<action>up</action>", ("up", "upright"), cut=True).action == 0
    assert read_answer("", LAKE, cut=True).problem == "cut"


def test_names_of_which_one_holds_the_other() -> None:
    names = ("pick up", "pick", "PICK", "go-to a", "go-to b", "1", "-1")
    assert [read_answer(name, names).action for name in names] == list(range(7))
    assert read_answer("action: pick up. It is near", names).action == 0
    assert read_answer("Pick", names).problem == "ambiguous"  # of two that differ in case alone


@pytest.mark.parametrize("name", ["FrozenLake", "Taxi", "Tiger", "DoorKey-5x5", "CartPole", "SkiResort"])
def test_a_described_world_plays_the_episodes_of_the_world(name: str) -> None:
    task = resolve_task(name)
    plain, told = task.env(), text_env(name, penalty=0.5)
    rng = np.random.default_rng(0)
    for seed in range(5):
        obs, _ = plain.reset(seed=seed)
        told.reset(seed=seed)
        for _ in range(200):
            np.testing.assert_array_equal(obs, told.observation)
            legal = np.flatnonzero(told.legal)
            if rng.random() < 0.2:  # answers that mean nothing do not move the world
                assert told.step("perhaps")[1:4] == (-0.5, False, False)
            action = int(rng.choice(legal))
            obs, reward, terminated, truncated, _ = plain.step(action)
            found = told.step(f"action: {told.actions[action]}")
            assert found[1:4] == (reward, terminated, truncated)
            if terminated or truncated:
                break


def test_an_end_in_the_step_of_the_limit_has_both_flags() -> None:
    task = resolve_task("FrozenLake-firm", max_episode_steps=6)  # the shortest way to the goal
    plain, told = task.env(), text_env(task)
    plain.reset(seed=0)
    told.reset(seed=0)
    for name in ("down", "down", "right", "down", "right", "right"):
        expected, found = plain.step(told.actions.index(name)), told.step(f"action: {name}")
        assert expected[1:4] == found[1:4]
    assert found[1:4] == (1.0, True, True)


def test_the_text_says_no_more_than_is_perceived() -> None:
    env = text_env("Tiger")
    texts = {env.reset(seed=seed)[0] for seed in range(20)}
    assert len(texts) == 1  # behind which door the tiger is cannot be told from it


def test_problems_are_counted_cost_and_end_with_the_turns() -> None:
    env = Guess()
    env.reset(seed=0, options={"number": 7})
    rewards = [env.step(answer)[1] for answer in ("", "3 or 4", "perhaps")]
    *_, terminated, truncated, info = env.step("6")
    assert rewards == [-0.25] * 3 and truncated and not terminated
    assert info["problems"] == {"empty": 1, "ambiguous": 1, "unknown": 1} and "problem" not in info
    with pytest.raises(UsageError, match="after the episode's end"):
        env.step("7")
    assert env.reset(seed=0)[1]["problems"] == {}


def test_it_is_a_gymnasium_environment() -> None:
    check_env(Guess(), skip_render_check=True)
    assert Guess().reset(seed=3) == Guess().reset(seed=3)
    copied = pickle.loads(pickle.dumps(Guess()))
    assert copied.reset(seed=3)[0] == "which digit?"
    with pytest.raises(UsageError, match="text"):
        copied.step(3)


def test_illegal_actions_are_named() -> None:
    env = text_env("Household", penalty=1.0)
    env.reset(seed=0)
    illegal = int(np.flatnonzero(~env.legal)[0])
    text, reward, _, _, info = env.step(f"action: {env.actions[illegal]}")
    assert (info["problem"], reward) == ("illegal", -1.0) and "illegal" in text
    assert env.actions[illegal] not in text.split("actions: ")[1].split(", ")
    with pytest.raises(UsageError, match="2 players"):
        text_env("TicTacToe")


def test_by_name() -> None:
    register_text_env("Guess", f"{__name__}:Guess", "a digit")
    assert isinstance(text_env("Guess"), Guess)
    assert text_env(text_env("Guess")).name == "Guess"
    for wrong, settings, message in [
        ("Gues", {}, "did you mean Guess"),
        ("Pendulum", {}, "Discrete"),
        ("FrozenLake", {"penalties": 1}, "penalties"),
        ("FrozenLake", {"penalty": float("nan")}, "penalty"),
        ("FrozenLake", {"max_turns": 0}, "max_turns"),
    ]:
        with pytest.raises(UsageError, match=message):
            text_env(wrong, **settings)


def test_a_foreign_environment_is_told_in_numbers() -> None:
    env = text_env("CartPole-v1")
    text, _ = env.reset(seed=0)
    assert text.startswith("observation 0.0") and text.endswith("actions: 0, 1")
    assert gym.make("CartPole-v1").reset(seed=0)[0] == pytest.approx(env.observation)
    assert inscape.envs.TextEnv in type(env).__mro__
