"""Average reward: closed forms, the linear programme, long horizons, discounted values as γ → 1, every policy."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from inscape import UsageError, make_world, solve
from inscape.world_models import (
    TabularModel,
    average_linear_programme,
    average_of_policy,
    average_reward,
    backward_induction,
)
from inscape.world_models.planning.average_reward import average


def random_table(seed):
    """Returns sparse random tables: often with several sets of states in which one can stay, often periodic."""
    rng = np.random.default_rng(seed)
    S, A = rng.integers(2, 8), rng.integers(1, 4)
    P = rng.dirichlet(np.full(S, 0.15), (A, S))
    P = np.where(P < 0.05, 0, P)
    certain = rng.random((A, S)) < 0.5
    P[certain] = np.eye(S)[rng.integers(0, S, certain.sum())]
    P /= P.sum(axis=2, keepdims=True)
    R = rng.integers(-3, 4, (S, A)).astype(float)
    return TabularModel.from_arrays(P, R, layout="ASS,SA", terminal=[0] if seed % 3 == 0 else None)


@pytest.mark.parametrize("seed", range(40))
def test_random_tables_by_the_linear_programme_and_by_discounting(seed):
    model = random_table(seed)
    found = average_reward(model)
    assert found.gain == pytest.approx(average_linear_programme(model), abs=1e-7)
    assert 0.0 <= found.error_bound < 1e-8
    gamma = 1 - 1e-6
    discounted = solve(model, gamma, method="policy-iteration").values
    apart = np.abs(discounted - found.gain / (1 - gamma) - found.bias).max()
    assert apart < 1e-3 * (1 + np.abs(found.bias).max())
    gain, bias = average_of_policy(model, found.policy)
    assert gain == pytest.approx(found.gain, abs=1e-12)
    assert bias == pytest.approx(found.bias, abs=1e-9)


@pytest.mark.quick("1", "6")
@pytest.mark.parametrize("seed", [0, 1, 4, 6, 9])
def test_no_policy_earns_more_and_a_long_horizon_earns_as_much(seed):
    model = random_table(seed)
    found = average_reward(model)
    best = np.full(model.num_states, -np.inf)
    for choice in itertools.islice(itertools.product(range(model.num_actions), repeat=model.num_states), 3_000):
        best = np.maximum(best, average_of_policy(model, np.array(choice))[0])
    assert (best <= found.gain + found.error_bound + 1e-12).all()
    horizon = 3_000
    assert backward_induction(model, horizon).values[0] / horizon == pytest.approx(found.gain, abs=0.05)


@pytest.mark.parametrize("seed", [0, 3])
def test_large_tables_are_solved_by_relative_values(seed, monkeypatch):
    rng = np.random.default_rng(seed)
    S, A, K = 60, 3, 3
    following = rng.integers(0, S, (S, A, K))
    P = np.zeros((A, S, S))
    for s, a, k in np.ndindex(S, A, K):
        P[a, s, following[s, a, k]] += 1 / K
    model = TabularModel.from_arrays(P, rng.normal(size=(S, A)), terminal=None)
    exact = average_reward(model)
    monkeypatch.setattr(average, "MOST_FACTORED", 10)
    quick = average_reward(model)
    assert quick.iterations > exact.iterations
    assert quick.gain == pytest.approx(exact.gain, abs=1e-8)
    assert quick.bias == pytest.approx(exact.bias, abs=1e-7)
    assert (quick.gain <= exact.gain + 1e-12).all()
    assert (exact.gain <= quick.gain + quick.error_bound).all()
    assert quick.error_bound < 1e-6
    assert (quick.policy == exact.policy).all()
    monkeypatch.setattr(average, "MOST_SWEEPS", 3)
    assert average_reward(model).gain == pytest.approx(exact.gain)  # it does not settle: linear systems


def test_a_periodic_chain():
    model = TabularModel.from_arrays([[0.0, 1.0], [1.0, 0.0]], [3.0, 1.0])
    found = solve(model, criterion="average")
    assert found.gain.tolist() == [2.0, 2.0]
    assert found.bias.tolist() == [0.5, -0.5]  # the average of 1, 0, 1, 0, …
    assert found.structure == "unichain"


def test_structures_are_told_apart():
    stay, swap = np.eye(3), np.roll(np.eye(3), 1, axis=1)
    assert average_reward(TabularModel.from_arrays([stay, swap], 0.0, layout="ASS")).structure == "communicating"
    assert average_reward(TabularModel.from_arrays(stay, [1.0, 2.0, 3.0])).structure == "multichain"
    away = np.array([[0, 1.0, 0], [0, 1, 0], [0, 0, 1]]), np.array([[0, 0, 1.0], [0, 0, 1], [0, 1, 0]])
    assert average_reward(TabularModel.from_arrays(away, 0.0, layout="ASS")).structure == "weakly communicating"
    assert solve("RiverSwim", criterion="average").structure == "unichain"


def test_where_to_go_counts_the_way_and_the_dangers():
    """From state 0 a try for the good place (gain 5) ends in the bad one (gain −1) half of the time."""
    P = np.zeros((2, 4, 4))
    P[:, 1, 1] = P[:, 2, 2] = P[:, 3, 3] = 1.0
    P[0, 0, 1] = 1.0
    P[1, 0, 2] = P[1, 0, 3] = 0.5
    R = np.array([[-100.0, -100], [1, 1], [5, 5], [-1, -1]])
    model = TabularModel.from_arrays(P, R, layout="ASS,SA")
    found = average_reward(model)
    assert found.gain == pytest.approx([2.0, 1.0, 5.0, -1.0])
    assert found.policy[0] == 1
    assert found.optimal_actions()[0].tolist() == [False, True]
    assert found.structure == "multichain"
    assert found.recurrent_class[0] == -1


def test_where_every_episode_ends_the_bias_is_the_total_reward():
    for name in ("CliffWalking", "FrozenLake"):
        found, total = solve(name, criterion="average"), solve(name, criterion="total")
        assert found.gain == pytest.approx(0.0, abs=1e-12)
        assert found.bias == pytest.approx(total.values, abs=1e-8)


def test_what_ends_without_a_terminal_state_earns_nothing_after():
    outcomes = {0: {0: [(0.75, 0, 4.0, False), (0.25, 1, 0.0, True)]}, 1: {0: [(1.0, 1, 7.0, False)]}}
    found = average_reward(TabularModel.from_arrays(outcomes, initial=0))
    assert found.gain.tolist() == [0.0, 7.0]
    assert found.bias[0] == pytest.approx(12.0)


def test_of_equal_gain_the_better_bias_is_taken():
    P = np.array([[[0.0, 1.0], [0.0, 1.0]], [[0.0, 1.0], [0.0, 1.0]]])
    model = TabularModel.from_arrays(P, np.array([[1.0, 2.0], [0.0, 0.0]]), layout="ASS,SA")
    found = solve(model, criterion="average", method="linear-programme")
    assert found.policy[0] == 1
    assert found.bias == pytest.approx([2.0, 0.0])


def test_what_contradicts_itself_is_refused():
    model = random_table(1)
    with pytest.raises(UsageError, match=r"criterion = 'average' with gamma = 0\.9"):
        solve(model, 0.9, criterion="average")
    with pytest.raises(UsageError, match="criterion = 'average' with horizon = 3"):
        solve(model, horizon=3, criterion="average")
    with pytest.raises(UsageError, match=r"criterion = 'total' with gamma = 0\.5"):
        solve(model, 0.5, criterion="total")
    with pytest.raises(UsageError, match="criterion = 'discounted' with gamma = 1"):
        solve(model, 1.0, criterion="discounted")
    with pytest.raises(UsageError, match="did you mean 'average'"):
        solve(model, criterion="averge")
    with pytest.raises(UsageError, match="hides its state"):
        solve("Tiger", criterion="average")
    with pytest.raises(UsageError, match="max_iterations"):
        average_reward(model, max_iterations=0)
    with pytest.raises(UsageError, match="a policy of shape"):
        average_of_policy(model, np.zeros(99, int))
    with pytest.raises(UsageError, match="several players|2 players"):
        solve(make_world("TicTacToe"), criterion="average")
