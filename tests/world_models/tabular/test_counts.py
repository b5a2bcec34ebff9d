from __future__ import annotations

import dataclasses
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from inscape.envs.data.trajectory import Trajectory
from inscape.envs.tasks.resolve import resolve_task
from inscape.errors import UsageError
from inscape.world_models import (
    KnownModel,
    LearnedTabularModel,
    TabularModel,
    WorldModel,
    policy_evaluation,
    value_iteration,
)
from inscape.world_models.interface import total_log_prob
from inscape.world_models.tabular.counts import TabularModelSettings
from tests.world_models.helpers import random_episodes


@pytest.fixture(scope="module")
def lake() -> Any:
    """A lake without pits: random episodes see all of it."""
    return resolve_task("GridWorld", {"map": "SFF/FFF/FFG", "slip": 0.5, "ice": "SF", "step_cost": 0.1})


@pytest.fixture(scope="module")
def episodes(lake: Any) -> list[Trajectory]:
    return random_episodes(lake.env(), 30_000, 0)


@pytest.fixture(scope="module")
def learned(lake: Any, episodes: list[Trajectory]) -> LearnedTabularModel:
    model = LearnedTabularModel.for_task(lake)
    model.fit(episodes)
    return model


def test_learned_tables_approach_the_known(lake: Any, learned: LearnedTabularModel) -> None:
    assert isinstance(learned, WorldModel)
    known, found = TabularModel.from_world(lake.world), learned.tabular()
    cells = np.arange(9)
    here, there = known.init(cells), found.init(cells)
    np.testing.assert_array_equal(known.terminal_of(here), found.terminal_of(there))
    for s, t in zip(here[:-1], there[:-1]):
        for a in range(4):
            law = {int(cells[here == n][0]): p for n, p in zip(known.next_state[s, a], known.probability[s, a]) if p}
            seen = {int(cells[there == n][0]): p for n, p in zip(found.next_state[t, a], found.probability[t, a]) if p}
            assert law.keys() == seen.keys()
            assert all(abs(law[cell] - seen[cell]) < 0.07 for cell in law)
            assert found.expected_reward()[t, a] == pytest.approx(known.expected_reward()[s, a], abs=0.07)
    best, guess = value_iteration(known, 0.95).values[here], value_iteration(learned, 0.95).values[there]
    np.testing.assert_allclose(guess, best, atol=0.06)


def test_held_out_bits_approach_the_entropy_of_the_law(lake: Any, episodes: list[Trajectory]) -> None:
    model = LearnedTabularModel.for_task(lake)
    report = model.fit(episodes)
    steps = sum(map(len, episodes))
    entropy = -total_log_prob(KnownModel(lake.world), episodes) / steps / np.log(2)
    assert entropy > 0.5
    assert report.held_out_bits_per_step == pytest.approx(entropy, abs=0.02)
    assert entropy < report.prequential_bits_per_step < entropy + 0.05
    assert report.transitions == steps
    assert report.metrics == {"states": 9.0, "state_actions": 32.0}
    early = LearnedTabularModel.for_task(lake).fit(episodes[:5])
    assert early.held_out_bits_per_step > report.held_out_bits_per_step + 0.3


def test_fitting_in_parts_is_fitting_at_once(
    lake: Any, episodes: list[Trajectory], learned: LearnedTabularModel
) -> None:
    parts = LearnedTabularModel.for_task(lake)
    for low in range(0, len(episodes), 400):
        parts.fit(episodes[low : low + 400])
    np.testing.assert_array_equal(parts.tabular().probability, learned.tabular().probability)
    assert parts.log_prob(episodes[3]) == learned.log_prob(episodes[3])


def test_predictive_probabilities_sum_to_one(learned: LearnedTabularModel) -> None:
    total = 0.0
    for following in range(9):
        for terminated in (False, True):
            step = Trajectory(np.array([4, following]), np.array([1]), np.zeros(1), terminated, not terminated)
            total += np.exp(learned.log_prob(step))
    assert total == pytest.approx(1.0, abs=1e-12)


@pytest.mark.slow
def test_posterior_draws_surround_the_mean(lake: Any, episodes: list[Trajectory]) -> None:
    model = LearnedTabularModel.for_task(lake)
    model.fit(episodes[:30])
    start = model.init(np.array([0]))[0]
    rng = np.random.default_rng(0)
    draws = np.array([model.sample_model(rng).probability[start, 1] for _ in range(400)])
    np.testing.assert_allclose(draws.mean(axis=0), model.tabular().probability[start, 1], atol=0.03)
    assert draws.std(axis=0).max() > 0.02
    same = [model.sample_model(np.random.default_rng(7)).probability for _ in range(2)]
    np.testing.assert_array_equal(same[0], same[1])


@pytest.mark.parametrize(("unknown", "better"), [("optimistic", True), ("pessimistic", False)])
def test_untried_actions(unknown: Any, better: bool) -> None:
    step = Trajectory(np.array([0, 1]), np.array([0]), np.array([0.0]), False, True)
    back = Trajectory(np.array([1, 0]), np.array([0]), np.array([1.0]), False, True)
    model = LearnedTabularModel(2, TabularModelSettings(unknown=unknown, highest_reward=1.0))
    model.fit([step, back])
    q = value_iteration(model, 0.9).q_values[model.init(np.array([0]))[0]]
    assert (q[1] > q[0]) == better
    unseen = model.init(np.array([77]))[0]
    expected = (1.0 if better else 0.0) / (1 - 0.9)
    assert value_iteration(model, 0.9).values[unseen] == pytest.approx(expected, abs=1e-4)


def test_any_gymnasium_environment_with_discrete_observations() -> None:
    env = gym.make("Blackjack-v1")  # Tuple of Discrete: flattened to numbers it repeats
    env = gym.wrappers.TransformObservation(env, lambda o: np.array(o, np.int64), gym.spaces.MultiDiscrete([32, 11, 2]))
    model = LearnedTabularModel.for_task(env)
    report = model.fit(random_episodes(env, 3000, 1))
    assert report.held_out_bits_per_step < 7
    values = value_iteration(model, 1.0 - 1e-9, 1e-4).values
    strong, weak = model.init(np.array([[20, 5, 0], [15, 10, 0]]))
    assert values[strong] > values[weak]


def test_masks_are_remembered() -> None:
    masks = np.array([[True, False, True]])
    step = Trajectory(np.array([0, 1]), np.array([0]), np.ones(1), True, False, action_masks=masks)
    model = LearnedTabularModel(3)
    model.fit([step])
    np.testing.assert_array_equal(model.legal_of(model.init(np.array([0]))), masks)
    assert model.terminal_of(model.init(np.array([1])))[0]


def test_state_dict_restores_everything(learned: LearnedTabularModel, episodes: list[Trajectory]) -> None:
    other = LearnedTabularModel(learned.num_actions, num_observations=learned.num_observations)
    other.load_state_dict(learned.state_dict())
    for name in ("next_state", "probability", "reward", "continuation", "legal", "initial", "terminal"):
        np.testing.assert_array_equal(getattr(other.tabular(), name), getattr(learned.tabular(), name))
    assert other.log_prob(episodes[0]) == learned.log_prob(episodes[0])
    np.testing.assert_array_equal(other.init(np.arange(9)), learned.init(np.arange(9)))


def test_refusals() -> None:
    with pytest.raises(UsageError, match="Discrete actions"):
        LearnedTabularModel.for_task(resolve_task("Pendulum-v1"))
    model = LearnedTabularModel(2)
    with pytest.raises(UsageError, match="action 2"):
        model.fit([Trajectory(np.array([0, 1]), np.array([2]), np.zeros(1), False, True)])
    with pytest.raises(UsageError, match="finite reward"):
        model.fit([Trajectory(np.array([0, 1]), np.array([1]), np.array([np.nan]), False, True)])
    with pytest.raises(UsageError, match="unknown"):
        TabularModelSettings(unknown="hopeful")  # type: ignore[arg-type]


@pytest.mark.parametrize("concentration", [0.5, 8.0])
def test_concentration_says_how_far_the_prior_outweighs_counts(lake: Any, concentration: float) -> None:
    """P(s'|s,a) = (n(s,a,s') + c/O) / (n(s,a) + c): of what was seen 10 times in 10, and of what never was."""
    model = LearnedTabularModel.for_task(lake)
    model.settings = dataclasses.replace(model.settings, concentration=concentration)
    seen = Trajectory(np.array([0, 1]), np.array([2]), np.zeros(1), False, True)
    model.fit([seen] * 10)
    size = lake.observation_space.n
    usual = (
        (10 + concentration / size) / (10 + concentration) * (10.5 / 11)
    )  # ½ stands for an end: 10 times it was none
    surprise = concentration / size / (10 + concentration) * 0.5
    assert model.log_prob(seen) == pytest.approx(np.log(usual))
    elsewhere = Trajectory(np.array([0, 3]), np.array([2]), np.zeros(1), False, True)
    assert model.log_prob(elsewhere) == pytest.approx(np.log(surprise))


@pytest.mark.quick("0.9")
@pytest.mark.parametrize("gamma", [0.9, 0.95, 0.99])
def test_optimism_swims_up_the_river_to_the_optimum(gamma: float) -> None:
    """Greedy in what is learned, from the start at the small reward (Strehl & Littman 2008)."""
    task = resolve_task("RiverSwim")
    assert task.world is not None
    known, seen = TabularModel.from_world(task.world), task.world.observe(task.world.dynamics().states)
    optimum = known.initial @ value_iteration(known, gamma, 1e-9).values
    for seed in range(2):
        model = LearnedTabularModel.for_task(task, TabularModelSettings(unknown="optimistic"))
        rng = np.random.default_rng(seed)
        for _ in range(60):
            q = value_iteration(model, gamma, 1e-6).q_values
            states, taken, rewards = [known.init(seen)[:1]], list[int](), list[float]()
            for _ in range(100):
                taken.append(int(q[model.init(seen[states[-1]])[0]].argmax()))
                step = known.step(states[-1], np.array(taken[-1:]), rng)
                states.append(np.asarray(step.states))
                rewards.append(float(step.reward[0]))
            model.fit([Trajectory(seen[np.concatenate(states)], np.array(taken), np.array(rewards), False, True)])
        best = value_iteration(model, gamma, 1e-6).q_values[model.init(seen)].argmax(axis=1)
        policy = (np.arange(2) == best[:, None]).astype(float)
        assert known.initial @ policy_evaluation(known, policy, gamma) == pytest.approx(optimum, rel=0.01)


@pytest.mark.slow
def test_posterior_draws_have_mass_on_successors_never_seen() -> None:
    """The mean of a Dirichlet: (n(s') + c/O)/(n + c); observations never seen are one state together."""
    model = LearnedTabularModel(1, TabularModelSettings(concentration=2.0), num_observations=8)
    step = Trajectory(np.array([0, 1, 2]), np.array([0, 0]), np.ones(2), False, True)
    model.fit([step, step, step])
    (start, one, two), unseen = model.init(np.array([0, 1, 2])), 3
    rng, mass = np.random.default_rng(0), np.zeros(4)
    for _ in range(4000):
        drawn = model.sample_model(rng)
        np.testing.assert_allclose(drawn.probability.sum(axis=2), 1.0)
        mass += np.bincount(drawn.next_state[start, 0], drawn.probability[start, 0], minlength=4) / 4000
    share = 2.0 / 8
    assert mass[one] == pytest.approx((3 + share) / 5, abs=0.02)
    assert mass[start] == pytest.approx(share / 5, abs=0.02)
    assert mass[two] == pytest.approx(share / 5, abs=0.02)
    assert mass[unseen] == pytest.approx(5 * share / 5, abs=0.03)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("legal", np.ones((9, 3), bool), r"legal of shape \(9, 3\)[\s\S]*shape \(9, 4\)"),
        ("legal", np.ones(9, bool), r"legal of shape \(9,\)"),
        ("counts", np.ones((2, 4), np.int64), r"counts of shape \(2, 4\)[\s\S]*\(2, 5\)"),
        ("counts", np.int64(3), r"counts of shape \(\)"),
        ("rewards", np.zeros(1), r"rewards of shape \(1,\)"),
        ("starts", np.zeros((2, 3), np.int64), r"starts of shape \(2, 3\)[\s\S]*\(2, 2\)"),
        ("starts", np.array([[77, 1]]), "starts, column state, from 77 to 77"),
        ("starts", np.array([[0, -1]]), "starts down to -1"),
        ("reward_range", np.zeros(3), r"reward_range of shape \(3,\)"),
        ("reward_range", np.array([np.nan, 1.0]), "reward_range nan to 1.0"),
        ("observations", np.zeros(9, np.uint8), r"observations of shape \(9,\)"),
        ("observations", np.zeros((9, 8), np.float64), "observations of dtype float64"),
        ("observations", np.zeros((9, 8), np.uint8), "observations of 1 different keys"),
    ],
)
def test_what_is_stored_is_checked_by_field(learned: LearnedTabularModel, field: str, value: Any, message: str) -> None:
    state = learned.state_dict() | {field: value}
    with pytest.raises(UsageError, match=message):
        LearnedTabularModel(4, num_observations=9).load_state_dict(state)


@pytest.mark.parametrize(("column", "value"), [(0, 9), (0, -1), (1, 4), (2, 9), (3, 0), (4, -1), (4, 10**9)])
def test_stored_counts_are_checked(learned: LearnedTabularModel, column: int, value: int) -> None:
    state = learned.state_dict()
    state["counts"][0, column] = value
    with pytest.raises(UsageError, match="a stored tabular model with counts"):
        LearnedTabularModel(4, num_observations=9).load_state_dict(state)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"rewards": np.zeros(3)}, r"rewards of shape \(3,\)[\s\S]*\(2,\)"),
        ({"rewards": np.array([0.0, np.inf])}, "rewards with inf at step 1"),
        ({"observations": np.zeros(2, np.int64)}, r"observations of shape \(2,\) with 2 actions[\s\S]*\[3, ...\]"),
        ({"actions": np.array([0, -1])}, "actions holding action -1"),
        ({"actions": np.zeros((2, 1), np.int64)}, r"actions of shape \(2, 1\)"),
        ({"action_masks": np.ones((2, 3), bool)}, r"action_masks of shape \(2, 3\)[\s\S]*\[2, 2\]"),
    ],
)
def test_episodes_are_checked_by_field(changed: dict[str, Any], message: str) -> None:
    parts = {"observations": np.zeros(3, np.int64), "actions": np.zeros(2, np.int64), "rewards": np.zeros(2)} | changed
    with pytest.raises(UsageError, match=message):
        LearnedTabularModel(2).fit([Trajectory(terminated=False, truncated=True, **parts)])
