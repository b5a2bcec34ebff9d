"""What a class declares, and what is compiled for its instances."""

from __future__ import annotations

from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import pytest

from inscape import World
from inscape.envs.worlds.multi_agent.matrix_game import MoneyRequest
from inscape.errors import UsageError


class Lamps(NamedTuple):
    lit: int


class Row(NamedTuple):
    lamps: int = 3


class LampRow(World):
    """A row of lamps, lit one after another; how many numbers are observed follows from a parameter."""

    State = Lamps
    Params = Row
    actions = ("wait", "light")

    @staticmethod
    def initial(params: Row, branch: int) -> tuple[float, Lamps]:
        return 1.0, Lamps(0)

    @staticmethod
    def transition(params: Row, state: Lamps, action: int, branch: int) -> tuple[float, Lamps]:
        return 1.0, Lamps(min(state.lit + action, params.lamps))

    @staticmethod
    def reward(params: Row, purpose: Any, state: Lamps, action: int, next_state: Lamps) -> float:
        return 1.0 if next_state.lit > state.lit else 0.0

    @staticmethod
    def terminal(params: Row, purpose: Any, state: Lamps) -> bool:
        return state.lit == params.lamps

    @staticmethod
    def observation_entry(params: Row, view: Lamps, k: int) -> float:
        return 1.0 if k < view.lit else 0.0

    @staticmethod
    def observations(params: Row) -> gym.Space[Any]:
        return gym.spaces.Box(0, 1, (params.lamps,), np.float32)


def lit(world: World, steps: int) -> list[float]:
    env = world.env()
    observation, _ = env.reset(seed=0)
    for _ in range(steps):
        observation = env.step(1)[0]
    return list(map(float, observation))


@pytest.mark.parametrize("first", [2, 5])
def test_instances_that_observe_differently_have_kernels_of_their_own(first: int) -> None:
    """In either order, and taking turns."""
    worlds = {lamps: LampRow(lamps=lamps) for lamps in (first, 7 - first, 3)}
    for _ in range(2):
        assert {lamps: lit(world, 1) for lamps, world in worlds.items()} == {
            lamps: [1.0] + [0.0] * (lamps - 1) for lamps in worlds
        }
    assert worlds[2].compiled_law is not worlds[5].compiled_law
    assert worlds[2].compiled_law is LampRow(lamps=2).compiled_law


def test_a_changed_parameter_changes_what_is_observed() -> None:
    world = LampRow(lamps=4)
    assert lit(world, 2) == [1.0, 1.0, 0.0, 0.0]
    assert lit(world.with_params(Row(lamps=2)), 1) == [1.0, 0.0]


def test_using_a_world_changes_nothing_about_its_class() -> None:
    before = set(vars(LampRow))
    world = LampRow(lamps=6)
    world.vector_env(2).reset(seed=0)
    world.dynamics()
    assert set(vars(LampRow)) == before
    with pytest.raises(UsageError, match="how many numbers LampRow observes"):
        LampRow.observation_size()


def test_kernels_need_nothing_done_before() -> None:
    world = LampRow(lamps=2)
    counts = world.kernel("inscape.envs.kernels.batch", compiled=False).counts
    assert "packed" not in vars(world)
    assert tuple(counts(world.packed)) == (1, 1, 2)


def test_a_subclass_observes_at_its_own_size() -> None:
    class Doubled(LampRow):
        @staticmethod
        def observation_entry(params: Row, view: Lamps, k: int) -> float:
            return 1.0 if k // 2 < view.lit else 0.0

        @staticmethod
        def observations(params: Row) -> gym.Space[Any]:
            return gym.spaces.Box(0, 1, (2 * params.lamps,), np.float32)

    assert lit(LampRow(lamps=2), 1) == [1.0, 0.0]
    assert lit(Doubled(lamps=2), 1) == [1.0, 1.0, 0.0, 0.0]
    assert lit(LampRow(lamps=2), 1) == [1.0, 0.0]


def test_a_setup_with_other_settings_than_its_parents_is_read_by_name() -> None:
    assert list(MoneyRequest.setting_parameters()) == ["low", "high", "bonus", "rounds", "remember", "care"]
    assert list(LampRow.setting_parameters()) == ["lamps"]
