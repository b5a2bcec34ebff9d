"""Rewards from behaviour: gradients by finite differences, optima by other searches, posteriors by grids."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from inscape import make_agent, make_world, rollout
from inscape.envs.data.trajectory import Trajectory
from inscape.errors import UsageError
from inscape.theory_of_mind import ChoiceLikelihood, PlanningMind, bayesian_irl, max_entropy_irl
from inscape.world_models import TabularModel, soft_backward_induction, soft_value_iteration
from tests.theory_of_mind.worlds import Corridor, simulate

WORLD = Corridor(slip=0.2)
SIZE = 5


def one_hot(state: Any) -> np.ndarray:
    return np.eye(SIZE)[state.cell]


def episodes(policy: np.ndarray, count: int, steps: int = 12, seed: int = 0) -> list[Trajectory]:
    rng = np.random.default_rng(seed)
    return [simulate(WORLD, policy, steps, rng, start=int(rng.integers(4))) for _ in range(count)]


EPISODES = episodes(np.full((SIZE, 2), 0.5), 40)


@pytest.mark.parametrize("horizon", [None, 12])
@pytest.mark.parametrize("gamma", [0.9, 1.0])
def test_the_gradient_is_that_of_finite_differences(horizon: int | None, gamma: float) -> None:
    likelihood = ChoiceLikelihood(WORLD, EPISODES, one_hot, beta=1.7, gamma=gamma, horizon=horizon)
    weights = np.array([0.3, -0.7, -0.2, -0.4, 0.9]) - (1.5 if gamma == 1.0 else 0.0)
    _, gradient = likelihood(weights)
    for f in range(SIZE):
        step = 1e-5 * np.eye(SIZE)[f]
        slope = (likelihood(weights + step)[0] - likelihood(weights - step)[0]) / 2e-5
        assert gradient[f] == pytest.approx(slope, rel=1e-5, abs=1e-5)


def test_the_policy_is_that_of_soft_value_iteration() -> None:
    likelihood = ChoiceLikelihood(WORLD, EPISODES, one_hot, beta=2.0, gamma=0.9)
    weights = np.array([0.3, -0.7, 0.2, 0.4, 0.9])
    model = TabularModel.from_world(WORLD)
    reward = np.broadcast_to((likelihood.features @ weights)[:, :, None], model.reward.shape) * (
        model.continuation >= 0
    )
    reward = np.where(model.terminal[:, None, None], 0.0, reward)
    import dataclasses

    same = dataclasses.replace(model, reward=reward)
    going = ~model.terminal
    expected = soft_value_iteration(same, 0.9, 2.0, "maxent", 1e-12).log_policy
    np.testing.assert_allclose(likelihood.log_policy(weights)[going], expected[going], atol=1e-9)
    stages = ChoiceLikelihood(WORLD, EPISODES, one_hot, beta=2.0, gamma=0.9, horizon=12)
    expected = soft_backward_induction(same, 12, 2.0, "maxent", 0.9).log_policy
    np.testing.assert_allclose(stages.log_policy(weights)[:, going], expected[:, going], atol=1e-10)


@pytest.mark.slow
def test_the_behaviour_is_found_again_and_the_gradient_vanishes() -> None:
    """From very many choices of a known agent: its policy, though not its reward, is determined."""
    truth = PlanningMind("right end", 1.0, "maxent").controller(WORLD).log_probs[:, 0]
    many = episodes(np.exp(truth), 1500)
    found = max_entropy_irl(WORLD, many, one_hot, beta=1.0, gamma=0.9)
    assert np.abs(found.gradient).max() < 1e-6
    going = ~TabularModel.from_world(WORLD).terminal
    assert np.abs(np.exp(found.log_policy) - np.exp(truth))[going].max() < 0.04
    assert found.log_likelihood >= ChoiceLikelihood(WORLD, many, one_hot, gamma=0.9)(np.eye(SIZE)[4])[0]


def test_the_optimum_is_that_of_a_search_without_gradients() -> None:
    from scipy.optimize import minimize

    def features(state: Any) -> list[float]:
        return [state.cell / 4, float(state.cell == 2)]

    found = max_entropy_irl(WORLD, EPISODES, features, gamma=0.8, l2=0.01)
    likelihood = ChoiceLikelihood(WORLD, EPISODES, features, gamma=0.8)

    def loss(weights: np.ndarray) -> float:
        return -likelihood(weights)[0] / likelihood.num_actions + 0.005 * float(weights @ weights)

    apart = minimize(loss, np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-12, "maxiter": 2000})
    np.testing.assert_allclose(found.weights, apart.x, atol=1e-4)


def test_expected_features_match_those_seen_where_outcomes_are_certain() -> None:
    """Ziebart et al. (2008), Eq. 2: at the optimum, over the horizon, without a discount."""
    world = Corridor()
    trajectories = [t for t in rollout(make_agent("random", world), world, episodes=30, seed=3) if len(t) <= 30]
    found = max_entropy_irl(world, trajectories, one_hot, gamma=1.0, horizon=30, l2=0.0)
    law, policy = world.dynamics(), np.exp(found.log_policy)
    model = TabularModel.from_world(world)
    cells = [world.unpack(law.states, s).cell for s in range(SIZE)]
    expected = np.zeros(SIZE)
    here = law.initial * len(trajectories)
    for h in range(30):
        following = np.zeros(SIZE)
        flow = (here * ~model.terminal)[:, None, None] * policy[h][:, :, None] * law.probability
        np.add.at(following, law.next_state, flow)
        np.add.at(expected, cells, following)
        here = following
    seen = np.zeros(SIZE)
    for trajectory in trajectories:
        for s in law.index_of(trajectory.states)[1:]:
            seen[cells[int(s)]] += 1
    np.testing.assert_allclose(expected, seen, rtol=2e-3, atol=1e-2)


def test_the_posterior_is_that_of_a_grid() -> None:
    def features(state: Any) -> float:
        return state.cell / 4

    drawn = bayesian_irl(WORLD, EPISODES[:5], features, gamma=0.8, prior_scale=2.0, samples=1500, warm_up=200, seed=1)
    likelihood = ChoiceLikelihood(WORLD, EPISODES[:5], features, gamma=0.8)
    points = np.linspace(-8, 8, 801)
    logs = np.array([likelihood(np.array([w]))[0] - w**2 / 8 for w in points])
    density = np.exp(logs - logs.max())
    density /= density.sum()
    mean = density @ points
    deviation = np.sqrt(density @ (points - mean) ** 2)
    assert drawn.mean[0] == pytest.approx(mean, abs=0.2 * deviation)
    assert drawn.std[0] == pytest.approx(deviation, rel=0.2)
    assert 0.3 < drawn.acceptance < 0.9
    again = bayesian_irl(WORLD, EPISODES[:5], features, gamma=0.8, prior_scale=2.0, samples=20, warm_up=5, seed=1)
    np.testing.assert_array_equal(
        again.samples,
        bayesian_irl(WORLD, EPISODES[:5], features, gamma=0.8, prior_scale=2.0, samples=20, warm_up=5, seed=1).samples,
    )


def test_a_goal_of_the_lake_is_found_from_an_agent_on_it() -> None:
    world = make_world("FourGoals", goal="D")
    trajectories = rollout(make_agent("value-iteration", world, settings={"beta": 8.0}), world, episodes=30, seed=0)
    states = world.dynamics().states
    ends = [s for s in range(len(states)) if TabularModel.from_world(world, "D").terminal[s]]
    features = np.zeros((len(states), 2))
    features[ends, 0] = 1.0
    features[:, 1] = 1.0  # a cost of every step
    found = max_entropy_irl(world, trajectories, features, gamma=0.95, l2=1e-3)
    assert found.weights[0] > 0 > found.weights[1]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"beta": 0.0}, "beta = 0"),
        ({"gamma": 1.5}, "gamma = 1.5"),
        ({"horizon": 0}, "horizon = 0"),
        ({"horizon": 3}, "at most the horizon"),
        ({"features": np.zeros((3, 2))}, "features of shape"),
        ({"features": lambda state: [1.0] * (state.cell + 1)}, "different lengths"),
        ({"features": lambda state: np.nan}, "not finite"),
        ({"trajectories": []}, "without a single action"),
        ({"l2": -1.0}, "l2 is -1.0"),
    ],
)
def test_what_cannot_be_explained_is_refused(changed: dict[str, Any], said: str) -> None:
    given = {"world": WORLD, "trajectories": EPISODES, "features": one_hot} | changed
    positional = [given.pop(name) for name in ("world", "trajectories", "features")]
    with pytest.raises(UsageError, match=said):
        max_entropy_irl(*positional, **given)


def test_numbers_of_a_posterior_are_checked() -> None:
    for changed in ({"samples": 0}, {"prior_scale": 0.0}, {"warm_up": -1}):
        with pytest.raises(UsageError):
            bayesian_irl(WORLD, EPISODES, one_hot, **changed)


def test_without_discount_weights_under_which_nobody_wants_to_end_are_refused() -> None:
    """At θ = 0 two actions are worth log 2 a step for ever: no values, where a linear system still returns numbers."""
    world = Corridor()  # nothing slips, so that one can go on for ever
    steps = [simulate(world, np.full((SIZE, 2), 0.5), 12, np.random.default_rng(n), start=n) for n in range(4)]
    likelihood = ChoiceLikelihood(world, steps, one_hot, gamma=1.0)
    for weights in (np.zeros(SIZE), np.ones(SIZE)):
        with pytest.raises(UsageError, match="do not settle"):
            likelihood(weights)
    dear = np.full(SIZE, -2.0)  # after a refusal, weights that have values have the same ones
    assert likelihood(dear)[0] == ChoiceLikelihood(world, steps, one_hot, gamma=1.0)(dear)[0]
    with pytest.raises(UsageError, match="do not settle"):
        max_entropy_irl(world, steps, one_hot, gamma=1.0)
