"""A world as tables of its states."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from inscape.envs.law.states import States
from inscape.envs.readers.enumeration import enumerate_dynamics
from inscape.envs.registry import make_world
from inscape.envs.tasks.resolve import resolve_task
from inscape.errors import MissingLawError, UsageError
from tests.conftest import EXAMPLES

NAMES = ["FrozenLake8x8", "FourGoals", f"{EXAMPLES / 'elevator.py'}:Elevator"]


@pytest.mark.parametrize("name", ["FrozenLake8x8", "FourGoals", NAMES[-1]])
def test_sampled_frequencies_match_the_enumerated_law(name):
    world = resolve_task(name).world
    law = world.dynamics()
    rng = np.random.default_rng(0)
    assert np.allclose(law.probability.sum(2), 1)
    draws = 4000
    alive = np.flatnonzero(~world.terminal_of(law.states))
    for s in rng.choice(alive, 4, replace=False):
        a = int(rng.integers(world.num_actions))
        after, _, _ = world.step(law.states[np.full(draws, s)], np.full(draws, a), rng)
        counts = np.bincount(law.index_of(after), minlength=len(law))
        expected = np.zeros(len(law))
        np.add.at(expected, law.next_state[s, a], law.probability[s, a] * draws)
        assert (counts[expected == 0] == 0).all()
        kept = expected > 0
        chi_square = ((counts - expected)[kept] ** 2 / expected[kept]).sum()
        assert chi_square < kept.sum() - 1 + 5 * np.sqrt(2 * max(1, kept.sum() - 1)) + 6


@pytest.mark.compiled
def test_enumeration_plain_equals_compiled(elevator_file):
    world = resolve_task(elevator_file, {"floors": 3}).world
    plain, fast = enumerate_dynamics(world, compiled=False), world.dynamics()
    assert np.array_equal(plain.states.ints, fast.states.ints)
    assert np.array_equal(plain.next_state, fast.next_state)
    assert np.array_equal(plain.probability, fast.probability)


def test_enumeration_refuses_what_it_cannot_hold(elevator_file):
    with pytest.raises(MissingLawError, match="can only be sampled"):
        make_world("CartPole").dynamics()
    with pytest.raises(UsageError, match="more than 50 states"):
        resolve_task(elevator_file).world.dynamics(max_states=50)


def test_few_states_are_found_as_many_are():
    law = make_world("FrozenLake").dynamics()
    fresh = dataclasses.replace(law)
    some = law.states[[3, 0, 15]]
    assert fresh.index_of(some).tolist() == [3, 0, 15]
    assert "_index" not in vars(fresh)
    assert fresh.index_of(law.states[list(range(16)) * 2]).tolist() == list(range(16)) * 2
    assert fresh.index_of(some).tolist() == [3, 0, 15]
    unknown = States(some.floats, some.ints + 100)
    for one in (dataclasses.replace(law), fresh):
        with pytest.raises(UsageError, match="is not among the enumerated states"):
            one.index_of(unknown)
