from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from inscape.envs.data.trajectory import Trajectory
from inscape.envs.tasks.resolve import resolve_task
from inscape.errors import MissingLawError, PartialObservationError, UsageError
from inscape.world_models import KnownModel, TabularModel, WorldModel
from inscape.world_models.tabular.model import ObservationIndex, observation_keys
from tests.world_models.games import TicTacToe
from tests.world_models.helpers import random_episodes, random_model


@pytest.fixture(scope="module")
def lake() -> Any:
    return resolve_task("FrozenLake").world


def test_tables_equal_gymnasiums(lake: Any) -> None:
    import gymnasium as gym

    table = gym.make("FrozenLake-v1").unwrapped.P  # type: ignore[attr-defined]
    model = TabularModel.from_world(lake)
    state = model.init(np.arange(16))
    for s in range(16):
        for a in range(4):
            expected: dict[int, np.ndarray] = {}
            for p, following, reward, ended in table[s][a]:
                row = np.array([p, p * reward, p * (not ended)])
                expected[following] = expected.get(following, np.zeros(3)) + row
            at = (state[s], a)
            for following, (p, reward, goes_on) in expected.items():
                here = (model.next_state[at] == state[following]) & (model.probability[at] > 0)
                assert model.probability[at][here].sum() == pytest.approx(p)
                assert (model.probability[at] * model.reward[at])[here].sum() == pytest.approx(reward)
                assert (model.probability[at] * model.continuation[at])[here].sum() == pytest.approx(goes_on)


def test_both_are_world_models(lake: Any) -> None:
    assert isinstance(TabularModel.from_world(lake), WorldModel)
    assert isinstance(KnownModel(lake), WorldModel)


def test_sampled_frequencies_equal_probabilities() -> None:
    model = random_model(4, ending=0.5)
    draws = 40_000
    for s, a in ((1, 0), (3, 2)):
        step = model.step(np.full(draws, s), np.full(draws, a), np.random.default_rng(s))
        for k, following in enumerate(model.next_state[s, a]):
            assert (step.states == following).mean() == pytest.approx(model.probability[s, a, k], abs=0.012)
        assert step.reward.mean() == pytest.approx(model.expected_reward()[s, a], abs=0.1)
        np.testing.assert_array_equal(step.legal, model.legal[step.states])


def test_known_model_agrees_with_its_tables(lake: Any) -> None:
    known, tables = KnownModel(lake), KnownModel(lake).tabular()
    numbers = np.arange(16)
    states = known.init(numbers)
    for a in range(4):
        actions = np.full(16, a)
        for goes_on in (False, True):
            totals = []
            for model, at in ((known, states), (tables, tables.init(numbers))):
                probability, following, reward, continuation = model.outcomes(at, actions)
                live = ~model.terminal_of(at)
                weight = probability * continuation if goes_on else probability * reward
                totals.append(weight.sum(axis=1)[live])
                assert len(following) == probability.size
            np.testing.assert_allclose(totals[0], totals[1])
    assert known.keys(states) == known.keys(states[np.arange(16)])


def test_known_step_is_the_law(lake: Any) -> None:
    known = KnownModel(lake)
    states = known.init(np.full(30_000, 10))
    step = known.step(states, np.full(30_000, 1), np.random.default_rng(0))
    cells, counts = np.unique(lake.observe(step.states), return_counts=True)
    assert cells.tolist() == [9, 11, 14]
    np.testing.assert_allclose(counts / 30_000, 1 / 3, atol=0.01)
    np.testing.assert_array_equal(step.continuation, lake.observe(step.states) != 11)


def test_log_prob_of_episodes_agrees_and_refuses_the_impossible(lake: Any) -> None:
    known, tables = KnownModel(lake), TabularModel.from_world(lake)
    episodes = random_episodes(lake.env(), 300, 0)
    for episode in episodes:
        assert known.log_prob(episode) == pytest.approx(tables.log_prob(episode))
        assert known.log_prob(episode) == pytest.approx(-np.log(3) * len(episode), abs=len(episode))
    jump = Trajectory(np.array([0, 10]), np.array([1]), np.zeros(1), False, True)
    never_ended = Trajectory(np.array([4, 5]), np.array([2]), np.zeros(1), False, True)
    for episode in (jump, never_ended):
        assert known.log_prob(episode) == tables.log_prob(episode) == -np.inf


def test_purposes_share_the_dynamics() -> None:
    world = resolve_task("FrozenLake").world
    other = world.purpose._replace(goal=3)
    model = TabularModel.from_world(world, other)
    assert model.terminal[model.init(np.array([3]))[0]]
    assert not TabularModel.from_world(world).terminal[model.init(np.array([3]))[0]]


def test_several_players_are_refused() -> None:
    with pytest.raises(MissingLawError, match="2 players"):
        TabularModel.from_world(TicTacToe())


def broken(name: str) -> dict[str, np.ndarray]:
    model = random_model(0)
    tables = {k: getattr(model, k).copy() for k in ("next_state", "probability", "reward", "continuation", "initial")}
    if name == "sum":
        tables["probability"][2, 1] *= 0.9
    elif name == "negative":
        tables["probability"][2, 1, :2] = [-0.1, 0.1 + tables["probability"][2, 1, :2].sum()]
    elif name == "successor":
        tables["next_state"][2, 1, 0] = 7
    elif name == "absorb":
        tables["reward"][0, 0, 0] = 1.0
    elif name == "initial":
        tables["initial"] *= 2
    elif name == "reward":
        tables["reward"][2, 1, 0] = np.nan
    elif name == "continuation":
        tables["continuation"][2, 1, 0] = 1.5
    elif name == "shape":
        tables["reward"] = tables["reward"][:, :, :1]
    return tables


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sum", r"state 2 under action 1 .*summing to 0\.9"),
        ("negative", "state 2 under action 1"),
        ("successor", "state 2, action 1 .* leads to state 7"),
        ("absorb", "terminal state 0 .* does not absorb"),
        ("initial", "initial probabilities .* sum to 2"),
        ("reward", "state 2, action 1 .* reward nan"),
        ("continuation", "continuation"),
        ("shape", "reward of shape"),
    ],
)
def test_broken_tables_are_refused(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        replace(random_model(0), **broken(name))


def test_a_state_without_legal_actions_is_refused() -> None:
    legal = np.asarray(random_model(0).legal).copy()
    legal[5] = False
    with pytest.raises(UsageError, match="state 5 .* no legal action"):
        replace(random_model(0), legal=legal)


def test_observation_keys_do_not_depend_on_the_reader() -> None:
    assert observation_keys(np.array([3], np.int32)) == observation_keys(np.array([3], np.int64))
    assert observation_keys(np.array([[0.1, -0.0]])) == observation_keys(np.array([[0.1, 0.0]], np.float32))
    assert observation_keys(np.array([3])) != observation_keys(np.array([4]))
    with pytest.raises(UsageError, match="dtype"):
        observation_keys(np.array(["north"]))


def test_look_alike_states_are_refused() -> None:
    index = ObservationIndex(observation_keys(np.array([1, 2, 1])), "the twins")
    with pytest.raises(PartialObservationError, match="states 0 and 2 of the twins"):
        index(np.array([2]))
    with pytest.raises(UsageError, match="not one"):
        ObservationIndex(observation_keys(np.array([1, 2])), "it")(np.array([9]))
