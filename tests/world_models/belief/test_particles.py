"""Particles against exact beliefs, and beliefs that never die."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pytest

from inscape import MissingLawError, UsageError, World, make_world
from inscape.world_models import BeliefModel, ImpossiblePerceptError, ParticleModel


def frequencies(model, belief):
    """Returns `[S]` the weight of each enumerated state among a belief's particles."""
    world, row = model.world, belief.rows[0]
    numbers = world.dynamics().index_of(row.states)
    return np.bincount(numbers, row.weights, len(world.dynamics().states))


@pytest.mark.quick("Tiger-2-steps0")
@pytest.mark.parametrize(
    ("name", "first", "steps"),
    [
        ("Tiger", 2, [(0, 0), (0, 0), (0, 1), (1, 1), (0, 0)]),
        ("CheeseMaze", 5, [(0, 4), (3, 4), (0, 0), (2, 1), (2, 2), (1, 4), (1, 6), (0, 1)]),
    ],
)
def test_particles_are_the_exact_belief(name, first, steps):
    world, count = make_world(name), 4000
    exact, particles = BeliefModel.from_world(world), ParticleModel(world, count)
    there, here = exact.init(np.array([first])), particles.init(np.array([first]))
    for action, seen in steps:
        there = exact.update(there, np.array([action]), np.array([seen]))
        here = particles.update(here, np.array([action]), np.array([seen]))
        assert frequencies(particles, here) == pytest.approx(there[0], abs=4 * math.sqrt(0.25 / count) * len(steps))
        assert here.rows[0].weights.sum() == pytest.approx(1.0)


class CoinState(NamedTuple):
    bias: float
    shown: int


class Coin(World):
    """A coin of unknown bias, drawn uniformly, is tossed: the law can only be sampled, its state is a real number."""

    State = CoinState
    actions = ("toss", "stop")
    noise = 1
    initial_noise = 1
    max_episode_steps = 20

    @staticmethod
    def initial(params, noise):
        return CoinState(noise[0], 2)

    @staticmethod
    def transition(params, state, action, noise):
        return CoinState(state.bias, (1 if noise[0] < state.bias else 0) if action == 0 else 2)

    @staticmethod
    def reward(params, purpose, state, action, next_state):
        return float(next_state.shown == 1)

    @staticmethod
    def observation(params, state):
        return state.shown

    @staticmethod
    def observations(params):
        return 3


def test_a_law_that_can_only_be_sampled():
    """After h heads in n tosses the bias has the mean (h + 1)/(n + 2): Laplace's rule of succession."""
    model = ParticleModel(Coin(), 4000)
    belief = model.init(np.array([2]))
    for n, (shown, heads) in enumerate([(1, 1), (1, 2), (0, 2)], 1):
        belief = model.update(belief, np.array([0]), np.array([shown]))
        assert belief.rows[0].states.floats[0].mean() == pytest.approx((heads + 1) / (n + 2), abs=0.02)


def test_the_same_evidence_gives_the_same_belief():
    model = ParticleModel(make_world("Tiger"), 50, seed=3)
    both = model.update(model.init(np.array([2, 2])), np.array([0, 0]), np.array([0, 1]))
    alone = model.update(model.init(np.array([2])), np.array([0]), np.array([1]))
    assert np.array_equal(both[1].rows[0].states.ints, alone.rows[0].states.ints)
    again = ParticleModel(make_world("Tiger"), 50, seed=4)
    assert not np.array_equal(again.init(np.array([2])).rows[0].states.ints, both.rows[0].states.ints)


def test_a_belief_is_never_dead():
    """With 2 particles most evidence is explained by none of them; then the belief is drawn again from the start."""
    world = make_world("CheeseMaze")
    exact, model = BeliefModel.from_world(world), ParticleModel(world, 2)
    rng, drawn_again = np.random.default_rng(1), 0
    for _ in range(8):
        states = world.sample_initial(1, rng)
        there, here = exact.init(world.observe(states)), model.init(world.observe(states))
        for _ in range(12):
            action = rng.integers(4, size=1)
            states, _, _ = world.step(states, action, rng)
            there = exact.update(there, action, world.observe(states))
            here = model.update(here, action, world.observe(states))
            assert (there[0][frequencies(model, here) > 0] > 0).all()  # what it holds possible is possible
        drawn_again += here.rows[0].drawn_again
    assert drawn_again > 0


def test_what_nothing_explains_is_named():
    model = ParticleModel(make_world("Tiger", accuracy=1.0), 20)
    belief = model.update(model.init(np.array([2])), np.array([0]), np.array([0]))
    changed = model.update(belief, np.array([0]), np.array([1]))  # impossible after this history, but seen in play
    assert changed.rows[0].drawn_again == 1
    with pytest.raises(ImpossiblePerceptError, match=r"observation 7 after action 0 \(listen\)"):
        model.update(belief, np.array([0]), np.array([7]))
    with pytest.raises(ImpossiblePerceptError, match="starts with observation 0"):
        model.init(np.array([0]))


def test_where_the_state_is_seen_the_belief_is_the_state():
    world = make_world("CartPole")
    model, states = ParticleModel(world, 5), world.sample_initial(1, np.random.default_rng(0))
    belief = model.init(world.observe(states))
    assert belief.rows[0].states.floats == pytest.approx(np.repeat(states.floats, 5, axis=1), abs=1e-6)


def test_bad_input():
    with pytest.raises(UsageError, match="num_particles = 0"):
        ParticleModel(make_world("Tiger"), 0)
    with pytest.raises(MissingLawError, match="2 players"):
        ParticleModel(make_world("KuhnPoker"))
    with pytest.raises(UsageError, match="continuous"):
        ParticleModel(make_world("Pendulum"))
    model = ParticleModel(make_world("Tiger"), 5)
    with pytest.raises(UsageError, match="2 actions and 1 observations for 1 beliefs"):
        model.update(model.init(np.array([2])), np.array([0, 0]), np.array([0]))
    with pytest.raises(UsageError, match=r"actions \[9\]"):
        model.update(model.init(np.array([2])), np.array([9]), np.array([0]))
