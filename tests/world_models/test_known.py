from __future__ import annotations

import numpy as np
import pytest

from inscape.envs.tasks.resolve import resolve_task
from inscape.errors import PartialObservationError, UsageError
from inscape.world_models import KnownModel, TabularModel, WorldModel
from inscape.world_models.known import as_model


def test_an_update_is_what_the_observation_determines() -> None:
    lake = resolve_task("FrozenLake").world
    known, tables = KnownModel(lake), TabularModel.from_world(lake)
    actions, cells = np.array([1, 2]), np.array([4, 9])
    for model in (known, tables):
        states = model.update(model.init(np.array([0, 8])), actions, cells)
        assert model.keys(states) == model.keys(model.init(cells))
        with pytest.raises(UsageError, match="1 observations for 2 states"):
            model.update(states, actions, cells[:1])


def test_hidden_states_are_referred_to_beliefs() -> None:
    tiger = resolve_task("Tiger").world
    for model in (KnownModel(tiger), TabularModel.from_world(tiger)):
        for ask in (model.init, lambda seen, model=model: model.update(np.zeros(1), np.zeros(1), seen)):
            with pytest.raises(PartialObservationError, match="BeliefModel"):
                ask(tiger.observe(tiger.sample_initial(1, np.random.default_rng(0))))


def test_continuous_actions_are_stepped() -> None:
    world = resolve_task("Pendulum").world
    model = as_model(world, "a test")
    assert isinstance(model, KnownModel) and isinstance(model, WorldModel)
    assert model.action_space == world.action_space
    states = world.sample_initial(3, np.random.default_rng(0))
    step = model.step(states, np.full((3, 1), 0.5), np.random.default_rng(1))
    assert step.legal is None
    expected = world.step(states, np.full((3, 1), 0.5), np.random.default_rng(1))
    assert step.states.keys() == expected[0].keys()
    np.testing.assert_array_equal(step.reward, expected[1])
    with pytest.raises(UsageError, match="continuous actions"):
        model.legal_of(states)


def test_players_who_act_at_once_are_refused() -> None:
    with pytest.raises(UsageError, match="act at once"):
        as_model(resolve_task("RockPaperScissors").world, "a test")
