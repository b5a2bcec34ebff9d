"""Bits and regret of learned models: closed forms, two routes to one number, what is refused."""

import dataclasses
import math

import numpy as np
import pytest

from inscape import UsageError, make_world, rollout
from inscape.errors import PartialObservationError
from inscape.world_models import (
    TabularModel,
    bits,
    exact_bits,
    fit_model,
    learning_curve,
    make_model,
    regret,
    score_model,
    value_gap,
)


@pytest.fixture(scope="module")
def fitted():
    model = make_model("tabular", "FrozenLake")
    fit_model(model, rollout("random", "FrozenLake", episodes=100, seed=1))
    return model


class True_:
    """The law itself as a model."""

    def __init__(self, world):
        self.table, self.world = TabularModel.from_world(world), world

    def transition_log_probs(self, observations, actions, next_observations, terminated):
        s, then = self.table.init(observations), self.table.init(next_observations)
        p = np.where(self.table.next_state[s, actions] == then[:, None], self.table.probability[s, actions], 0).sum(1)
        with np.errstate(divide="ignore"):
            return np.log(np.where(self.table.terminal[then] == terminated, p, 0.0))

    def tabular(self):
        return self.table


def test_the_law_itself_wastes_nothing_and_loses_nothing():
    world = make_world("FrozenLake")
    model = True_(world)
    exact = exact_bits(model, world)
    assert exact.excess == pytest.approx(0, abs=1e-12) and exact.infinite == 0
    # a slip to either side, 1/3 each; fewer outcomes at the walls
    assert 1.0 < exact.entropy < math.log2(3)
    lost = regret(model, world)
    assert lost.regret == pytest.approx(0, abs=1e-8) and lost.planned == pytest.approx(lost.optimum, abs=1e-8)
    gap = value_gap(model, world, lost.policy)
    assert gap.model_value == pytest.approx(gap.value, abs=1e-9) and gap.bound == pytest.approx(0, abs=1e-6)
    assert gap.value == pytest.approx(lost.value, abs=1e-9)


def test_exact_bits_are_the_mean_of_held_out_bits(fitted):
    """Two routes: KL + entropy over the occupancy of random play, and the code length of 3,000 random episodes."""
    world = make_world("FrozenLake")
    table = TabularModel.from_world(world)
    play = np.where(table.legal, 1 / table.num_actions, 0)
    play = np.where(play.sum(1, keepdims=True) > 0, play, 1 / table.num_actions)
    from inscape.world_models import occupancy

    visits = occupancy(table, play, 1.0)[:, None] * play
    exact = exact_bits(fitted, world, visits)
    sampled = bits(fitted, rollout("random", "FrozenLake", episodes=3000, seed=5))
    assert abs(sampled.per_step - exact.excess - exact.entropy) < 4.5 * sampled.standard_error


def test_the_simulation_lemma_holds_for_every_policy(fitted):
    world = make_world("FrozenLake")
    rng = np.random.default_rng(0)
    for gamma in (0.5, 0.9, 0.99):
        for policy in rng.integers(4, size=(10, 16)):
            gap = value_gap(fitted, world, policy, gamma)
            assert abs(gap.value - gap.model_value) <= gap.bound + 1e-12


def test_regret_by_a_planner_is_regret_by_tables(fitted):
    from inscape.world_models.planning.lookup import ValueIteration

    world = make_world("FrozenLake")
    exact = regret(fitted, world)
    assert exact.regret >= -1e-9
    assert regret(fitted.tabular(), world, planner=None).regret == exact.regret

    class Searched(ValueIteration):
        def plan(self, model, states, rng, evaluate=None):
            states = np.where(model.tabular().terminal[states], 0, states)
            return super().plan(model, states, rng)

    assert regret(fitted, world, planner=Searched(gamma=0.99)).value == pytest.approx(exact.value, abs=1e-6)


def test_score_model_and_the_learning_curve(fitted):
    held_out = rollout("random", "FrozenLake", episodes=20, seed=2)
    score = score_model(fitted, "FrozenLake", held_out)
    assert score.held_out.per_step == bits(fitted, held_out).per_step
    assert score.exact is not None and score.regret is not None and "regret" in str(score)
    episodes = rollout("random", "FrozenLake", episodes=64, seed=3)
    curve = learning_curve(lambda: make_model("tabular", "FrozenLake"), episodes, held_out, points=4)
    assert [steps for steps, _ in curve] == sorted({steps for steps, _ in curve}) and len(curve) == 4
    assert curve[-1][1] < curve[0][1]


def test_infinite_kl_is_counted_apart():
    class Certain(True_):
        def transition_log_probs(self, observations, actions, next_observations, terminated):
            found = super().transition_log_probs(observations, actions, next_observations, terminated)
            return np.where(self.table.init(observations) == 0, -np.inf, found)

    world = make_world("FrozenLake")
    exact = exact_bits(Certain(world), world)
    assert math.isinf(exact.excess) and exact.infinite == 4


def test_bad_input_is_refused(fitted):
    with pytest.raises(UsageError, match="no episodes"):
        bits(fitted, [])
    episode = rollout("random", "CartPole", episodes=1, seed=0)[0]
    observations = episode.observations.copy()
    observations[3, 1] = np.nan
    with pytest.raises(UsageError, match=r"observations with nan in episode 1 at step 3"):
        bits(fitted, [episode, dataclasses.replace(episode, observations=observations)])
    with pytest.raises(UsageError, match="did you mean 'tabular'"):
        make_model("tabula", "FrozenLake")
    with pytest.raises(UsageError, match="no setting 'concentratio'"):
        make_model("tabular", "FrozenLake", concentratio=1.0)
    with pytest.raises(UsageError, match="transition_log_probs"):
        exact_bits(fitted.tabular(), "FrozenLake")
    with pytest.raises(UsageError, match="weights"):
        exact_bits(fitted, "FrozenLake", np.ones((3, 2)))
    with pytest.raises(PartialObservationError):
        regret(make_model("tabular", "Tiger"), "Tiger")
    with pytest.raises(UsageError, match="gamma = 1"):
        value_gap(fitted, "FrozenLake", np.zeros(16, int), gamma=1.0)
