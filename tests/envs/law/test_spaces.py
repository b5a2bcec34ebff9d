"""The observation space of a world, from what it declares."""

from __future__ import annotations

from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import pytest

from inscape import World
from inscape.errors import UsageError


class Pose(NamedTuple):
    x: float
    count: int


class Bare(World):
    """Declares nothing of what is observed."""

    State = Pose
    actions = ("on",)

    @staticmethod
    def initial(params: Any, branch: int) -> Any:
        return 1.0, Pose(0.0, 0)

    @staticmethod
    def transition(params: Any, state: Any, action: int, branch: int) -> Any:
        return 1.0, Pose(state.x + 0.5, state.count + 1)

    @staticmethod
    def reward(params: Any, purpose: Any, state: Any, action: int, next_state: Any) -> float:
        return 0.0

    @staticmethod
    def terminal(params: Any, purpose: Any, state: Any) -> bool:
        return False


def declaring(declared: Any) -> type[World]:
    class Declaring(Bare):
        @staticmethod
        def observation(params: Any, state: Any) -> Any:
            return (state.count,)

        @staticmethod
        def observations(params: Any) -> Any:
            return declared

    return Declaring


def test_without_a_declaration_it_is_the_state_unbounded() -> None:
    space = Bare().observation_space
    assert space == gym.spaces.Box(-np.inf, np.inf, (2,), np.float32)


@pytest.mark.parametrize(
    ("declared", "space"),
    [
        (5, gym.spaces.Discrete(5)),
        (np.int64(5), gym.spaces.Discrete(5)),
        ((3, 4), gym.spaces.MultiDiscrete([3, 4])),
        ([3, 4], gym.spaces.MultiDiscrete([3, 4])),
        (gym.spaces.Box(0, 9, (1,)), gym.spaces.Box(0, 9, (1,))),
    ],
)
def test_a_number_is_discrete_and_several_are_multi_discrete(declared: Any, space: gym.Space[Any]) -> None:
    assert declaring(declared)().observation_space == space


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ("five", r"observations of Declaring.* returned 'five'"),
        ((3, 0.5), r"observations of Declaring.* returned \(3, 0\.5\)"),
        (gym.spaces.Box(0, 1, (2, 2)), r"the observation space of Declaring.* is Box(.|\n)*one axis"),
        (gym.spaces.Dict(a=gym.spaces.Discrete(2)), r"the observation space of Declaring.* is Dict"),
    ],
)
def test_what_is_no_space_of_one_axis_is_refused(declared: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        _ = declaring(declared)().observation_space


def test_observations_need_a_space() -> None:
    class Undeclared(Bare):
        @staticmethod
        def observation(params: Any, state: Any) -> Any:
            return (state.count,)

    with pytest.raises(UsageError, match=r"Undeclared.* defines observation but not observations"):
        _ = Undeclared().observation_space
