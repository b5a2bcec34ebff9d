"""Total reward (γ = 1): textbook values, closed forms, brute force over policies, and what has no total reward."""

import itertools

import numpy as np
import pytest

import inscape
from inscape.errors import UsageError
from inscape.world_models import TabularModel, absorb, policy_evaluation, value_iteration
from inscape.world_models.planning import undiscounted


def table(next_state, probability, reward, terminal, legal=None):
    next_state, probability, reward = (np.asarray(array) for array in (next_state, probability, reward))
    terminal = np.asarray(terminal)
    continuation = np.where(terminal[next_state], 0.0, 1.0)
    legal = np.ones(reward.shape[:2], bool) if legal is None else legal
    tables = absorb(next_state, probability, reward.astype(float), continuation, terminal)
    return TabularModel(*tables, legal, np.full(len(terminal), 1 / len(terminal)), terminal)


def walk(steps):
    """Action 0 goes on with probability .95 and back with .05, action 1 the reverse; each step costs 1."""
    next_state = [[[s + 1, max(s - 1, 0)]] * 2 for s in range(steps)] + [[[steps] * 2] * 2]
    probability = [[[0.95, 0.05], [0.05, 0.95]]] * (steps + 1)
    reward = np.full((steps + 1, 2, 2), -1.0)
    return table(next_state, probability, reward, np.arange(steps + 1) == steps)


def expected_steps(steps, p=0.95):
    """Returns the mean first-passage time of the walk that goes on with probability p, from its first state."""
    passage = [1 / p]
    for _ in range(steps - 1):
        passage.append((1 + (1 - p) * passage[-1]) / p)
    return sum(passage)


@pytest.mark.parametrize("steps", [6, 7, 12, 40])
def test_a_walk_in_which_the_worst_policy_takes_for_ever(steps):
    """The longest expected duration is 19 to the power of the number of steps: no bound of all policies is of use."""
    solution = value_iteration(walk(steps), 1.0)
    assert abs(solution.values[0] + expected_steps(steps)) <= solution.error_bound + 1e-9
    assert 0 <= solution.error_bound < 1e-6
    assert solution.policy[:steps].tolist() == [0] * steps


@pytest.mark.parametrize(
    ("name", "value"),
    [("CliffWalking", -13.0), ("FrozenLake", 14 / 17), ("FrozenLake8x8", 1.0), ("DynaMaze", 1.0), ("WindyGrid", -15.0)],
)
def test_textbook_tasks_in_which_one_may_dawdle(name, value):
    """Sutton & Barto 2018, examples 6.5, 6.6 and 8.1; FrozenLake 4×4 reaches the goal 14 times in 17."""
    model = TabularModel.from_world(inscape.make_world(name))
    solution = value_iteration(model, 1.0)
    assert float(model.initial @ solution.values) == pytest.approx(value, abs=solution.error_bound + 1e-9)
    policy = np.eye(model.num_actions)[solution.policy]
    assert policy_evaluation(model, policy, 1.0) == pytest.approx(solution.values, abs=1e-8)


@pytest.mark.parametrize("seed", range(12))
def test_random_tables_against_every_deterministic_policy(seed):
    """The best total reward over all policies that end; those that go on for ever at no cost count what they earn."""
    rng = np.random.default_rng(seed)
    states, actions = 5, 2
    next_state = rng.integers(0, states, (states, actions, 2))
    probability = rng.dirichlet([0.5, 0.5], (states, actions))
    reward = -rng.integers(0, 3, (states, actions, 1)).astype(float) * np.ones((1, 1, 2))
    reward[:, :, 0] += 4.0 * (next_state[:, :, 0] == 0)  # something to earn, at the end alone
    model = table(next_state, probability, reward, np.arange(states) == 0)
    best = np.full(states, -np.inf)
    for choice in itertools.product(range(actions), repeat=states):
        try:
            best = np.maximum(best, policy_evaluation(model, np.eye(actions)[list(choice)], 1.0))
        except UsageError:  # it costs without end
            continue
    if not np.isfinite(best).all():
        with pytest.raises(UsageError, match="cannot be left"):
            value_iteration(model, 1.0)
    else:
        solution = value_iteration(model, 1.0)
        assert np.abs(solution.values - best).max() <= solution.error_bound + 1e-8
        ended = policy_evaluation(model, np.eye(actions)[solution.policy], 1.0)
        assert ended == pytest.approx(solution.values, abs=solution.error_bound + 1e-9)


def loop(there, back):
    """Two states with a way back and forth, and out of the first at the price of 5."""
    next_state = [[[1], [2]], [[0], [0]], [[2], [2]]]
    reward = [[[there], [-5.0]], [[back], [back]], [[0.0], [0.0]]]
    return table(next_state, np.ones((3, 2, 1)), reward, [False, False, True])


def test_a_loop_that_earns_has_no_total_reward():
    with pytest.raises(UsageError, match=r"from state 0 on reward adds up without end"):
        value_iteration(loop(2.0, -1.0), 1.0)


def test_a_loop_whose_rewards_cancel_has_none_either():
    with pytest.raises(UsageError, match=r"its rewards may cancel"):
        value_iteration(loop(1.0, -1.0), 1.0)


def test_a_loop_that_costs_is_left_and_one_that_costs_nothing_is_stayed_in():
    assert value_iteration(loop(2.0, -3.0), 1.0).values.tolist() == [-3.0 + 0.0 - 2.0, -8.0, 0.0]
    idle = value_iteration(loop(0.0, 0.0), 1.0)
    assert idle.values.tolist() == [0.0, 0.0, 0.0]
    assert idle.policy[0] == 0  # going on for ever is worth more than the price of the way out


def test_a_costly_state_that_cannot_be_left_is_named():
    model = table(
        [[[0], [0]], [[1], [0]], [[2], [2]]], np.ones((3, 2, 1)), np.full((3, 2, 1), -1.0), [False, False, True]
    )
    with pytest.raises(UsageError, match=r"state 0 cannot be left for certain, and staying costs without end"):
        value_iteration(model, 1.0)


def test_an_idle_component_is_left_by_its_best_exit_from_every_state():
    """A ring of four idle states; two of them have exits, worth 1 and 3."""
    next_state = [[[1], [4]], [[2], [2]], [[3], [4]], [[0], [0]], [[4], [4]]]
    reward = [[[0.0], [1.0]], [[0.0], [0.0]], [[0.0], [3.0]], [[0.0], [0.0]], [[0.0], [0.0]]]
    model = table(next_state, np.ones((5, 2, 1)), reward, np.arange(5) == 4)
    solution = value_iteration(model, 1.0)
    assert solution.values.tolist() == [3.0, 3.0, 3.0, 3.0, 0.0]
    assert policy_evaluation(model, np.eye(2)[solution.policy], 1.0).tolist() == [3.0, 3.0, 3.0, 3.0, 0.0]


def test_end_components_are_the_largest_sets_one_can_stay_in():
    next_state = np.array([[[1, 1], [2, 2]], [[0, 0], [2, 2]], [[2, 2], [0, 2]]])
    weight = np.array([[[1.0, 0.0], [0.5, 0.5]], [[0.5, 0.5], [1.0, 0.0]], [[0.9, 0.0], [0.5, 0.5]]])
    allowed, component = undiscounted.end_components(next_state, weight, weight.sum(axis=2) > 0.99)
    assert allowed.tolist() == [[True, True], [True, True], [False, True]]
    assert component.tolist() == [0, 0, 0]
    allowed[2] = False
    allowed, component = undiscounted.end_components(next_state, weight, allowed)
    assert allowed.tolist() == [[True, False], [True, False], [False, False]]
    assert component.tolist() == [0, 0, -1]


@pytest.mark.parametrize(("tolerance", "sweeps"), [(0.0, 10), (float("nan"), 10), (1e-6, 0), (1e-6, -1)])
def test_limits_that_are_none_are_refused(tolerance, sweeps):
    with pytest.raises(UsageError, match=r"tolerance|max_iterations"):
        value_iteration(walk(3), 1.0, tolerance, sweeps)
    with pytest.raises(UsageError, match=r"tolerance|max_iterations"):
        value_iteration(walk(3), 0.9, tolerance, sweeps)
