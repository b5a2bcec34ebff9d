"""Tree search over continuous actions: on problems whose optimum is known."""

from __future__ import annotations

from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import pytest

from inscape import World, make_world
from inscape.errors import UsageError
from inscape.world_models import DPW, UCT, KnownModel, TabularModel


class Place(NamedTuple):
    steps: int
    x: float


class Nothing(NamedTuple):
    best: float = 0.3


class Noisy(NamedTuple):
    spread: float = 0.0


class Bandit(World):
    """One step: the reward falls with the squared distance from (0.3, −0.5); with a `spread`, by where it lands."""

    State, Params, Purpose = Place, Noisy, Nothing
    action_low, action_high = (-1.0, -1.0), (1.0, 1.0)
    noise = 1

    @staticmethod
    def initial(params: Noisy, branch: int) -> tuple[float, Place]:
        return 1.0, Place(0, 0.0)

    @staticmethod
    def transition(params: Noisy, state: Place, action: Any, noise: tuple[float]) -> Place:
        return Place(1, action[0] + params.spread * (noise[0] - 0.5))

    @staticmethod
    def reward(params: Noisy, purpose: Nothing, state: Place, action: Any, following: Place) -> float:
        return 1.0 - (following.x - purpose.best) ** 2 - (action[1] + 0.5) ** 2

    @staticmethod
    def terminal(params: Noisy, purpose: Nothing, state: Place) -> bool:
        return state.steps == 1

    @staticmethod
    def observation(params: Noisy, state: Place) -> tuple[float]:
        return (state.x,)

    @staticmethod
    def observations(params: Noisy) -> gym.Space[Any]:
        return gym.spaces.Box(-9.0, 9.0, (1,), np.float32)


def searched(world: World, planner: DPW, seed: int) -> Any:
    return planner.plan(world, world.sample_initial(1, np.random.default_rng(0)), np.random.default_rng(seed))[0]


def test_a_bandit_over_a_square_is_solved() -> None:
    plans = [searched(Bandit(), DPW(2000), seed) for seed in range(4)]
    for plan in plans:
        assert plan.action == pytest.approx([0.3, -0.5], abs=0.12)
        assert plan.value == pytest.approx(1.0, abs=0.01)
        assert plan.metrics["root_actions"] == 45  # √2000
    uniform = [searched(Bandit(), DPW(2000, local=0.0), seed).value for seed in range(4)]
    assert np.mean([1.0 - plan.value for plan in plans]) < 0.5 * np.mean([1.0 - value for value in uniform])


def test_noise_is_averaged() -> None:
    plan = searched(Bandit(spread=1.0), DPW(3000, local=0.2), 0)
    assert plan.action == pytest.approx([0.3, -0.5], abs=0.25)
    assert plan.value == pytest.approx(1.0 - 1.0 / 12.0, abs=0.06)  # the variance of uniform noise


def test_pendulum_is_pushed_as_a_fine_grid_would() -> None:
    """Near the top it falls unless it is pushed back: a torque of the sign that dynamic programming has."""
    world = make_world("Pendulum")
    for theta, sign in ((0.15, -1.0), (-0.15, 1.0)):
        states = world.pack([world.State(theta=theta, theta_dot=0.0)])
        plan = DPW(600, max_depth=15, rollout="none").plan(world, states, np.random.default_rng(0))[0]
        assert plan.action[0] * sign > 0.3, (theta, plan.action)
        assert -2.0 <= plan.action[0] <= 2.0


def test_a_batch_is_its_rows_and_repeats() -> None:
    world, planner = Bandit(spread=0.5), DPW(60)
    states = world.sample_initial(3, np.random.default_rng(0))
    first, again = (planner.plan(world, states, np.random.default_rng(4)) for _ in range(2))
    np.testing.assert_array_equal(first.actions, again.actions)
    assert len({tuple(row) for row in first.actions.tolist()}) == 3
    with pytest.raises(UsageError, match="DPW"):
        UCT(10).plan(world, states, np.random.default_rng(0))


@pytest.mark.compiled
def test_compiled_and_plain_agree() -> None:
    world = make_world("Pendulum")
    states = world.sample_initial(2, np.random.default_rng(0))
    plans = [
        DPW(300).plan(KnownModel(world, compiled=compiled), states, np.random.default_rng(1))
        for compiled in (True, False)
    ]
    np.testing.assert_allclose(plans[0].actions, plans[1].actions)
    np.testing.assert_allclose(plans[0].values, plans[1].values)


class Broken(Bandit):
    @staticmethod
    def reward(params: Noisy, purpose: Nothing, state: Place, action: Any, following: Place) -> float:
        return float("nan") if action[0] > 0 else 0.0


def test_what_it_cannot_do_is_refused() -> None:
    rng = np.random.default_rng(0)
    for name, message in (("FrozenLake", "UCT for finitely many"), ("TicTacToe", "one player")):
        world = make_world(name)
        with pytest.raises(UsageError, match=message):
            DPW(10).plan(world, world.sample_initial(1, rng), rng)
    with pytest.raises(UsageError, match="whose law is known"):
        DPW(10).plan(TabularModel.from_world("FrozenLake"), [0], rng)
    world = Bandit()
    with pytest.raises(UsageError, match="is terminal"):
        DPW(10).plan(world, world.pack([Place(1, 0.0)]), rng)
    with pytest.raises(UsageError, match="nan"):
        DPW(50).plan(Broken(), Broken().sample_initial(1, rng), rng)
    with pytest.raises(UsageError, match="evaluate"):
        DPW(10).plan(world, world.sample_initial(1, rng), rng, evaluate=lambda states: (states, None))


@pytest.mark.parametrize(
    "wrong",
    [{"num_simulations": 0}, {"action_width": 0.0}, {"outcome_exponent": 1.5}, {"local": -0.1}, {"rollout": "best"},
     {"exploration": -1.0}, {"gamma": 2.0}, {"max_depth": 0}],
)  # fmt: skip
def test_settings_are_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(wrong))):
        DPW(**wrong)
