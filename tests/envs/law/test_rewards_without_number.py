"""A law that gives NaN or infinite rewards: whoever steps, plays or plans stops where it arises, and says so."""

# mypy: disable-error-code="no-untyped-def, override, attr-defined"

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest

from inscape.envs.world import World
from inscape.errors import UsageError
from inscape.world_models import UCT, KnownModel, TabularModel, value_iteration
from inscape.world_models.tabular.model import ObservationIndex


class Step(NamedTuple):
    place: int


class Size(NamedTuple):
    last: int = 3


class Scale(NamedTuple):
    scale: float = 1e308


class Stairs(World):
    """Up a step at a time; action 1 from step 1 pays what overflows to infinity."""

    State, Params, Purpose = Step, Size, Scale

    def actions(params):
        return ("walk", "jump")

    def initial(params, branch):
        return 1.0, Step(0)

    def transition(params, state, action, branch):
        return 1.0, Step(min(state.place + 1, params.last))

    def reward(params, purpose, state, action, next_state):
        return purpose.scale * 10.0 if state.place == 1 and action == 1 else 1.0

    def terminal(params, purpose, state):
        return state.place == params.last


class Stumbling(Stairs):
    """The same, but it pays the difference of two infinities: NaN."""

    def reward(params, purpose, state, action, next_state):
        return purpose.scale * 10.0 - purpose.scale * 10.0 if state.place == 1 and action == 1 else 1.0


WORLDS = pytest.mark.parametrize(("kind", "number"), [(Stairs, "inf"), (Stumbling, "nan")])


def test_actions_of_the_params_need_no_decorator() -> None:
    assert Stairs().action_names == ("walk", "jump")
    assert Stairs().num_actions == 2


@WORLDS
def test_one_copy(kind: type[World], number: str) -> None:
    env = kind().env()
    env.reset(seed=0)
    assert env.step(1)[1] == 1.0
    with pytest.raises(UsageError, match=rf"gave the reward {number} for action 1, which led to Step\(place=2\)"):
        env.step(1)


@WORLDS
@pytest.mark.parametrize("autoreset", ["next-step", "same-step"])
def test_many_copies(kind: type[World], number: str, autoreset: Any) -> None:
    env = kind().vector_env(3, autoreset)
    env.reset(seed=0)
    env.step(np.ones(3, np.int64))
    with pytest.raises(UsageError, match=rf"copy 1: {kind.__name__} gave the reward {number} for action 1"):
        env.step(np.array([0, 1, 1]))


def test_large_rewards_are_numbers() -> None:
    env = Stairs(scale=1e200).vector_env(3)
    env.reset(seed=0)
    env.step(np.ones(3, np.int64))
    assert env.step(np.ones(3, np.int64))[1].tolist() == [1e200 * 10.0] * 3


@WORLDS
def test_random_play(kind: type[World], number: str) -> None:
    with pytest.raises(UsageError, match="random play met rewards"):
        kind().random_play(50, 10)


@WORLDS
def test_tables_and_value_iteration(kind: type[World], number: str) -> None:
    for read in (TabularModel.from_world, lambda world: value_iteration(world, 0.9)):
        with pytest.raises(UsageError, match=rf"the reward {number} in Step\(place=1\) for action 1 \(jump\)"):
            read(kind())


@WORLDS
@pytest.mark.parametrize("compiled", [True, False])
def test_tree_search(kind: type[World], number: str, compiled: bool) -> None:
    world = kind()
    states = world.sample_initial(1, np.random.default_rng(0))
    for simulations in (10, 200):
        search, model = UCT(simulations, rollout="none"), KnownModel(world, compiled=compiled)
        with pytest.raises(UsageError, match=rf"reward {number} in {kind.__name__}, in Step\(place=1\) for action 1"):
            search.plan(model, states, np.random.default_rng(0))


@WORLDS
def test_tree_search_whose_random_actions_meet_it(kind: type[World], number: str) -> None:
    states = kind().sample_initial(20, np.random.default_rng(0))
    with pytest.raises(UsageError, match=rf"the reward {number} in {kind.__name__}, as the return of random actions"):
        UCT(1).plan(kind(), states, np.random.default_rng(0))


@WORLDS
def test_the_search_in_python(kind: type[World], number: str) -> None:
    world = kind()
    states = world.sample_initial(1, np.random.default_rng(0))
    with pytest.raises(UsageError, match=rf"the reward {number} in KnownModel, in Step\(place=1\) for action 1"):
        UCT(50).plan(KnownModel(world), states, np.random.default_rng(0), evaluate=lambda s: (np.zeros(len(s)), None))


@pytest.mark.parametrize("initial", [np.array([np.nan, 1.0]), np.array([0.5, 0.4]), np.array([1.5, -0.5])])
def test_start_probabilities_of_tables(initial: np.ndarray) -> None:
    with pytest.raises(UsageError, match="initial probabilities"):
        TabularModel(
            next_state=np.ones((2, 1, 1), np.int32),
            probability=np.ones((2, 1, 1)),
            reward=np.array([1.0, 0.0]).reshape(2, 1, 1),
            continuation=np.zeros((2, 1, 1)),
            legal=np.ones((2, 1), bool),
            initial=initial,
            terminal=np.array([False, True]),
            observations=ObservationIndex([b"a", b"b"], "a test"),
        )
