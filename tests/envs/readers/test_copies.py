"""Packed copies: first states as vector environments draw them, streams, and what is saved."""

from __future__ import annotations

import numpy as np
import pytest

from inscape.envs.law import streams
from inscape.envs.readers.copies import PackedCopies
from inscape.envs.registry import make_world
from inscape.errors import UsageError


@pytest.mark.parametrize("name", ["CartPole", "FrozenLake8x8", "TicTacToe"])
@pytest.mark.parametrize("seed", [0, 3, [5, None, 5, 8], np.array([1, 2, 3, 4])])
def test_copies_begin_as_a_vector_environment_does(name, seed):
    world = make_world(name)
    env = world.vector_env(4)
    env.reset(seed=seed)
    expected, begun = env.state_dict(), PackedCopies.begin(world, 4, seed)
    assert expected.keys() == begun.state_dict().keys()
    for part, value in begun.state_dict().items():
        np.testing.assert_array_equal(value, expected[part])
    np.testing.assert_array_equal(begun.states.floats, env.states.floats)
    np.testing.assert_array_equal(begun.states.ints, env.states.ints)


def test_a_share_of_the_copies_begins_as_in_the_whole():
    world = make_world("CartPole")
    whole, share = PackedCopies.begin(world, 6, 4), PackedCopies.begin(world, 2, 4, first=3)
    np.testing.assert_array_equal(share.ints, whole.ints[:, 3:5])
    np.testing.assert_array_equal(share.floats, whole.floats[:, 3:5])
    env = world.vector_env(2)
    env.reset(seed=4, options={"first_copy": 3})
    np.testing.assert_array_equal(env.states.floats, share.floats)


def test_rows_are_named_and_are_the_memory_of_the_copies():
    copies = PackedCopies.begin(make_world("FrozenLake8x8"), 3, 7)
    assert copies.ints.shape == (len(copies.states.ints) + 3, 3)
    np.testing.assert_array_equal(copies.key, streams.stream_keys(7, 3))
    assert copies.clock.tolist() == [1, 1, 1]  # the draw of the first state
    assert copies.elapsed.tolist() == [0, 0, 0]
    copies.elapsed[1] = 5
    copies.clock[:] = 9
    copies.states.ints[:] = 2
    assert copies.ints[-1].tolist() == [0, 5, 0] and copies.ints[-2].tolist() == [9, 9, 9]
    assert (copies.ints[:-3] == 2).all()


def test_copies_that_have_not_begun_are_over_and_have_no_streams():
    copies = PackedCopies.empty(make_world("CartPole"), 5)
    assert len(copies) == 5 and not copies.keyed
    assert (copies.elapsed < 0).all()


def test_seeds():
    copies = PackedCopies.empty(make_world("CartPole"), 3)
    copies.reseed(None)
    assert copies.keyed and len(set(copies.key.tolist())) == 3  # a seed was drawn
    keys = copies.key.copy()
    copies.clock[:] = 4
    copies.reseed(None)
    np.testing.assert_array_equal(copies.key, keys)  # those with streams keep them
    assert copies.clock.tolist() == [4, 4, 4]
    copies.reseed([None, 11, None])
    assert copies.key.tolist() == [keys[0], streams.stream_key(11), keys[2]]
    assert copies.clock.tolist() == [4, 0, 4]
    with pytest.raises(UsageError, match="2 seeds for 3 copies"):
        copies.reseed([1, 2])


def test_states_of_some_copies_are_set():
    world = make_world("CartPole")
    copies, others = PackedCopies.begin(world, 4, 0), PackedCopies.begin(world, 4, 1)
    before = copies.floats.copy()
    chosen = np.array([True, False, False, True])
    copies.set_states(others.states[chosen], chosen)
    np.testing.assert_array_equal(copies.floats[:, chosen], others.floats[:, chosen])
    np.testing.assert_array_equal(copies.floats[:, ~chosen], before[:, ~chosen])


def test_what_is_saved_is_a_copy_and_is_loaded_in_place():
    world = make_world("CartPole")
    copies, other = PackedCopies.begin(world, 3, 0), PackedCopies.empty(world, 3)
    saved, floats, ints = copies.state_dict(), other.floats, other.ints
    other.load_state_dict(saved)
    assert other.floats is floats and other.ints is ints and other.keyed
    np.testing.assert_array_equal(floats, copies.floats)
    np.testing.assert_array_equal(ints, copies.ints)
    copies.floats[:] = 0.0
    assert saved["floats"].any()


@pytest.mark.parametrize(("name", "count"), [("CartPole", 4), ("FrozenLake8x8", 3)])
def test_what_does_not_fit_is_refused(name, count):
    saved = PackedCopies.begin(make_world("CartPole"), 3, 0).state_dict()
    world = make_world(name)
    with pytest.raises(UsageError, match=f"{count} copies of {name}"):
        PackedCopies.empty(world, count).load_state_dict(saved)
    with pytest.raises(UsageError, match="an environment state of shapes"):
        world.vector_env(count).load_state_dict(saved)


def test_a_single_environment_refuses_the_state_of_another_world():
    saved = PackedCopies.begin(make_world("CartPole"), 1, 0).state_dict()
    with pytest.raises(UsageError, match="1 copies of FrozenLake8x8"):
        make_world("FrozenLake8x8").env().load_state_dict(saved)


@pytest.mark.slow
@pytest.mark.compiled
def test_learners_begin_without_compiling_a_step(monkeypatch):
    """A vector environment would compile the step it never takes: 4 to 5 s of a new world's first training."""
    from inscape.agents.registry import make_agent
    from inscape.envs.readers import vector_env
    from inscape.envs.tasks.resolve import resolve_task

    def refuse(*_args: object) -> None:
        raise AssertionError("a vector environment was made")

    monkeypatch.setattr(vector_env, "entry_point", refuse)
    task = resolve_task("FrozenLake8x8")
    for name in ("q-learning", "ppo"):
        agent = make_agent(name, task, seed=0)
        assert next(iter(agent.learn(task, 2048)))["steps"] > 0
