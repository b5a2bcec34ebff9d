"""Models from matrices and dictionaries: every form gives the same tables, and what is wrong is named."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
import scipy.sparse as sparse

from inscape import UsageError, make_world
from inscape.world_models import TabularModel, value_iteration

# Puterman (2005), figure 3.1.1, as pymdptoolbox's docstrings use it: P[a, s, s'], R[s, a]
TWO_STATES = np.array([[[0.5, 0.5], [0.8, 0.2]], [[0.0, 1.0], [0.1, 0.9]]])
TWO_REWARDS = np.array([[5.0, 10.0], [-1.0, 2.0]])


def garnet(states=7, actions=3, seed=0):
    """Returns a random P[a, s, s'] with some zeros, and R[a, s, s']."""
    rng = np.random.default_rng(seed)
    P = rng.random((actions, states, states)) * (rng.random((actions, states, states)) < 0.5)
    P[:, :, 0] += 0.1
    return P / P.sum(axis=2, keepdims=True), rng.normal(size=P.shape)


def same(one, other):
    assert np.allclose(dense(one)[0], dense(other)[0], atol=1e-15)
    assert np.allclose(one.expected_reward(), other.expected_reward(), atol=1e-12)
    assert np.array_equal(one.terminal, other.terminal)
    assert np.array_equal(one.legal, other.legal)


def dense(model):
    """Returns P[a, s, s'] times the probability of going on, and that of everything."""
    P = np.zeros((2, model.num_actions, model.num_states, model.num_states))
    for s, a, k in np.ndindex(model.next_state.shape):
        P[0, a, s, model.next_state[s, a, k]] += model.probability[s, a, k] * model.continuation[s, a, k]
        P[1, a, s, model.next_state[s, a, k]] += model.probability[s, a, k]
    return P


def test_the_two_states_of_pymdptoolboxs_docstrings():
    model = TabularModel.from_arrays(TWO_STATES, TWO_REWARDS, layout="ASS,SA")
    solution = value_iteration(model, 0.9, 1e-10)
    assert solution.values == pytest.approx([42.44186046511628, 36.04651162790698], abs=1e-9)
    assert solution.policy.tolist() == [1, 0]


def test_every_form_of_transitions_gives_the_same_tables():
    P, R = garnet()
    model = TabularModel.from_arrays(P, R)
    expected = (P * R).sum(axis=2)  # [A, S]
    assert np.allclose(dense(model)[1], P, atol=1e-15)
    assert np.allclose(model.expected_reward(), expected.T, atol=1e-15)
    same(model, TabularModel.from_arrays(P.transpose(1, 0, 2), R.transpose(1, 0, 2)))
    same(model, TabularModel.from_arrays(list(P), list(R)))
    same(model, TabularModel.from_arrays(P.tolist(), R.tolist()))
    same(model, TabularModel.from_arrays([sparse.csr_matrix(p) for p in P], [sparse.coo_matrix(r) for r in R]))
    as_objects = np.empty(len(P), object)  # as pymdptoolbox keeps sparse matrices
    as_objects[:] = [sparse.csc_matrix(p) for p in P]
    same(model, TabularModel.from_arrays(as_objects, R))
    same(model, TabularModel.from_arrays({a: sparse.csr_array(p) for a, p in enumerate(P)}, R))
    by_state = [sparse.csr_matrix(P[:, s]) for s in range(P.shape[1])]
    same(model, TabularModel.from_arrays(by_state, R.transpose(1, 0, 2), layout="SAS"))
    outcomes = {
        s: {a: [(P[a, s, t], t, R[a, s, t], False) for t in range(P.shape[1])] for a in range(len(P))}
        for s in range(P.shape[1])
    }
    same(model, TabularModel.from_arrays(outcomes))


def test_every_form_of_rewards():
    P, R = garnet()
    of_action = (P * R).sum(axis=2)
    model = TabularModel.from_arrays(P, of_action)
    same(model, TabularModel.from_arrays(P, of_action.T))
    same(model, TabularModel.from_arrays(P, np.repeat(of_action[:, :, None], P.shape[1], 2)))
    same(model, TabularModel.from_arrays(P, sparse.csr_matrix(of_action)))
    of_state = np.arange(7.0)
    assert np.allclose(TabularModel.from_arrays(P, of_state).expected_reward(), of_state[:, None])
    assert np.allclose(TabularModel.from_arrays(P, 3.0).expected_reward(), 3.0)


def test_a_chain_without_choices():
    P = np.array([[0.9, 0.1], [0.4, 0.6]])
    model = TabularModel.from_arrays(P, [1.0, 0.0])
    exact = np.linalg.solve(np.eye(2) - 0.5 * P, [1.0, 0.0])
    assert value_iteration(model, 0.5, 1e-12).values == pytest.approx(exact, abs=1e-11)
    same(model, TabularModel.from_arrays(sparse.csr_matrix(P), [1.0, 0.0]))


def test_as_many_actions_as_states_need_a_layout():
    P, R = garnet(3, 3)
    with pytest.raises(UsageError, match="layout="):
        TabularModel.from_arrays(P, R)
    same(
        TabularModel.from_arrays(P, R, layout="ASS"),
        TabularModel.from_arrays(P.transpose(1, 0, 2), R.transpose(1, 0, 2), layout="SAS"),
    )
    of_action = (P * R).sum(axis=2)
    with pytest.raises(UsageError, match="as many actions as states"):
        TabularModel.from_arrays(P, of_action, layout="ASS")
    for layout in ("ASS,AS", "[A, S, S], [A, S]", "ass as"):
        same(TabularModel.from_arrays(P, of_action, layout=layout), TabularModel.from_arrays(P, R, layout="ASS"))
    same(
        TabularModel.from_arrays(P.transpose(1, 0, 2), of_action.T, layout="SAS"),
        TabularModel.from_arrays(P, R, layout="ASS"),
    )
    with pytest.raises(UsageError, match="layout = 'SSA'"):
        TabularModel.from_arrays(P, R, layout="SSA")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda P, R: (P * 1.01, R), "state 0, action 0 of it sums to 1.01"),
        (lambda P, R: (np.where(P > 0, np.nan, P), R), "the probability nan"),
        (lambda P, R: (-P, R), "the probability -"),
        (lambda P, R: (P[:, :, :-1], R), r"P of shape \[3, 7, 6\]"),
        (lambda P, R: (P[0, 0], R), r"P of shape \[7\]"),
        (lambda P, R: (P, np.where(P > 0, np.nan, R)), "next state 0, is nan"),
        (lambda P, R: (P, R[:, :-1]), r"R of shape \[3, 6, 7\]"),
        (lambda P, R: (P, np.zeros(4)), r"R of shape \[4\]"),
        (lambda P, R: (P, np.full((7, 3), np.inf)), "the reward of state 0, action 0 of it is inf"),
        (lambda P, R: (P, None), "no R"),
        (lambda P, R: (P, "many"), "R is not an array of numbers"),
        (lambda P, R: ([sparse.eye(7), sparse.eye(6)], 0), r"the matrix of action 1 of it has shape \[6, 6\]"),
        (lambda P, R: ([sparse.eye(7)] * 2, [sparse.eye(7)]), "R as 1 matrices"),
        (lambda P, R: ({0: {0: [(1.0, 5, 0.0, False)]}}, None), "leads to 5, which is unknown"),
        (lambda P, R: ({0: {0: [(1.0, 0)]}}, None), "has the outcome"),
        (lambda P, R: ({0: {0: [(0.4, 0, 0.0, False)]}}, None), "sums to 0.4"),
        (lambda P, R: ({0: {0: [(1.0, 0, 0.0, False)]}}, R), "R = None"),
        (lambda P, R: (gym.make("FrozenLake-v1"), None), "an environment"),
        (lambda P, R: (P.transpose(0, 2, 1), R), "layout= says which axis is which"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(change, message):
    P, R = change(*garnet())
    with pytest.raises(UsageError, match=message):
        TabularModel.from_arrays(P, R, name="it")


def test_what_cannot_be_taken_is_illegal():
    P, R = garnet()
    rewards = (P * R).sum(axis=2).T.copy()
    rewards[2, 1] = -np.inf  # as QuantEcon marks it
    model = TabularModel.from_arrays(P, rewards)
    legal = np.ones((7, 3), bool)
    legal[2, 1] = False
    P[1, 2] = 0.0  # that row does not matter
    same(model, TabularModel.from_arrays(P, (P * R).sum(axis=2).T, legal=legal))
    assert np.isneginf(value_iteration(model, 0.9).q_values[2, 1])
    with pytest.raises(UsageError, match="legal of shape"):
        TabularModel.from_arrays(P, R, legal=[True])


def test_ends():
    P, R = garnet()
    P[:, 3] = np.nan  # rows of what is over do not matter
    model = TabularModel.from_arrays(np.nan_to_num(P), R, terminal=[3])
    assert model.terminal.tolist() == [False, False, False, True, False, False, False]
    assert value_iteration(model, 1.0 - 1e-3).values[3] == 0.0
    same(model, TabularModel.from_arrays(np.nan_to_num(P), R, terminal=np.arange(7) == 3))
    assert model.initial == pytest.approx([1 / 6, 1 / 6, 1 / 6, 0, 1 / 6, 1 / 6, 1 / 6])
    assert TabularModel.from_arrays(np.nan_to_num(P), R, terminal=3, initial=2).initial[2] == 1.0
    for wrong in ([7], [True], [0.5], [-1]):
        with pytest.raises(UsageError, match="terminal = "):
            TabularModel.from_arrays(np.nan_to_num(P), R, terminal=wrong)
    for wrong_start in (9, [1.0], np.full(7, 0.5)):
        with pytest.raises(UsageError, match="initial"):
            TabularModel.from_arrays(np.nan_to_num(P), R, terminal=3, initial=wrong_start)


def test_duplicates_are_summed():
    doubled = sparse.coo_matrix((np.full(4, 0.5), ([0, 0, 1, 1], [1, 1, 0, 1])), (2, 2))
    model = TabularModel.from_arrays([doubled], [1.0, 2.0])
    assert dense(model)[1, 0].tolist() == [[0, 1], [0.5, 0.5]]
    outcomes = {0: {0: [(0.25, 0, 1.0, False), (0.25, 0, 1.0, False), (0.5, 0, 3.0, True)]}}
    model = TabularModel.from_arrays(outcomes)
    assert model.next_state.shape == (1, 1, 2)
    assert value_iteration(model, 1.0, 1e-12).values == pytest.approx([4.0])


def test_rows_in_single_precision_are_taken():
    P, R = garnet(40)
    model = TabularModel.from_arrays(P.astype(np.float32), R)
    assert np.abs(dense(model)[1] - P).max() < 1e-6


def test_tables_too_large_for_memory_are_refused_before_they_are_made(monkeypatch):
    from inscape.world_models.tabular import arrays

    monkeypatch.setattr(arrays, "available_memory", lambda: 1000)
    with pytest.raises(UsageError, match=r"tables of the model, \[7, 3, 6\] would take"):
        TabularModel.from_arrays(*garnet())


@pytest.mark.parametrize("name", ["FrozenLake", "FrozenLake8x8", "Taxi", "CliffWalking"])
def test_gymnasiums_dictionaries_have_the_values_of_our_worlds(name):
    ids = {"FrozenLake": "FrozenLake-v1", "FrozenLake8x8": "FrozenLake8x8-v1", "CliffWalking": "CliffWalking-v1"}
    env = gym.make(ids.get(name, "Taxi-v4")).unwrapped
    theirs = TabularModel.from_arrays(env.P, initial=env.initial_state_distrib, name=name)
    ours = TabularModel.from_world(make_world(name))
    values = [value_iteration(model, 0.97, 1e-10).values @ model.initial for model in (theirs, ours)]
    assert values[0] == pytest.approx(values[1], abs=1e-9)


def test_states_and_actions_may_have_names():
    outcomes = {
        "shop": {
            "walk": [(0.9, "home", -1.0, False), (0.1, "shop", -1.0, False)],
            "ride": [(1.0, "home", -3.0, False)],
        },
        "home": {"stay": [(1.0, "bed", 2.0, True)]},
    }
    model = TabularModel.from_arrays(outcomes)
    assert model.state_names == ("shop", "home", "bed")
    assert model.action_names == ("walk", "ride", "stay")
    assert model.legal.tolist() == [[True, True, False], [False, False, True], [True, True, True]]
    assert model.terminal.tolist() == [False, False, True]
    assert value_iteration(model, 1.0, 1e-12).values == pytest.approx([2 - 1 / 0.9, 2.0, 0.0])
    with pytest.raises(UsageError, match="state 'shop', action 'walk'"):
        TabularModel.from_arrays({"shop": {"walk": [(0.9, "shop", 0, False)]}})
    with pytest.raises(UsageError, match="2 action names"):
        TabularModel.from_arrays(*garnet(), action_names=["a", "b"])
