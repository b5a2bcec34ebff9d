"""Context trees: the mixture over all prunings, enumerated; taken back bit for bit; bounded by the exact filter."""

import dataclasses
from fractions import Fraction

import numpy as np
import pytest
from gymnasium import spaces

from inscape import UsageError, make_world, rollout
from inscape.envs.data.trajectory import Trajectory
from inscape.world_models import BeliefFilter, bits, fit_model, make_model
from inscape.world_models.context_tree.model import ContextTreeModel, ContextTreeSettings


def kt(zeros, ones):
    """The Krichevsky–Trofimov probability of a string with so many zeros and ones."""
    p = Fraction(1)
    for k in range(zeros):
        p *= Fraction(2 * k + 1, 2 * (k + 1))
    for k in range(ones):
        p *= Fraction(2 * k + 1, 2 * (zeros + k + 1))
    return p


def prunings(depth):
    """All suffix sets of complete binary trees up to a depth, with their weights 2^−(description)."""
    yield ("",), Fraction(1) if depth == 0 else Fraction(1, 2)
    if depth > 0:
        for left, p in prunings(depth - 1):
            for right, q in prunings(depth - 1):
                yield tuple("0" + s for s in left) + tuple("1" + s for s in right), p * q / 2


def of_bits(sequence):
    """An episode of one action whose observations are bits, the first of them given."""
    observations = np.array([int(c) for c in sequence], np.int64)
    steps = len(observations) - 1
    return Trajectory(observations, np.zeros(steps, np.int64), np.zeros(steps), False, True)


@pytest.mark.parametrize("depth", [0, 1, 2, 3])
def test_the_probability_is_the_sum_over_all_prunings(depth):
    """The observation is a bit; each step also codes `terminated`, always 0, which stands in the contexts between."""
    rng = np.random.default_rng(depth)
    for _ in range(5):
        sequence = "".join(map(str, rng.integers(2, size=9)))
        model = ContextTreeModel(spaces.Discrete(2), spaces.Discrete(1), ContextTreeSettings(depth, rewards=1))
        parts = model.field_log_probs(of_bits(sequence))
        # contexts of the observation: 0 (going on), bit, 0, bit, …; before the first bit, zeros
        history = "0" * depth + sequence[0]
        expected = Fraction(0)
        for suffixes, weight in prunings(depth):
            p, text = weight, history
            counts = {suffix: [0, 0] for suffix in suffixes}
            for bit in sequence[1:]:
                context = text[::-1][:depth]
                counts[next(s for s in suffixes if context.startswith(s))][int(bit)] += 1
                text += bit + "0"
            for zeros, ones in counts.values():
                p *= kt(zeros, ones)
            expected += p
        assert abs(np.exp(parts["observation"]) - float(expected)) < 1e-12
        # terminated: eight zeros in contexts that end with the newest bit
        assert parts["terminated"] < 0


def test_the_weights_of_prunings_sum_to_one():
    assert sum(weight for _, weight in prunings(3)) == 1


def test_what_is_scored_is_taken_back_bit_for_bit():
    episodes = rollout("random", "Tiger", episodes=6, seed=0)
    model = make_model("context-tree", "Tiger", depth=9)
    fit_model(model, episodes[:3])
    before = model.state_dict()
    first = [model.log_prob(episode) for episode in episodes[3:]]
    again = model.state_dict()
    assert all(np.array_equal(before[name], again[name]) for name in before)
    assert first == [model.log_prob(episode) for episode in episodes[3:]]
    other = make_model("context-tree", "Tiger", depth=9)
    other.load_state_dict(before)
    assert first == [other.log_prob(episode) for episode in episodes[3:]]
    # coding an episode is what learning it costs
    report = fit_model(other, episodes[3:4])
    assert report.prequential_bits_per_step * len(episodes[3]) == pytest.approx(-first[0] / np.log(2), rel=1e-12)


def test_it_approaches_the_filter_from_above_on_tiger():
    world = make_world("Tiger")
    learned, judged = (rollout("random", world, episodes=n, seed=s) for n, s in ((12, 1), (5, 2)))
    model = make_model("context-tree", world, depth=7)
    fit_model(model, learned)
    exact = BeliefFilter.from_world(world)
    best = np.array([exact.filter(e.observations, e.actions, e.terminated).log_likelihood[1:].sum() for e in judged])
    found = np.array([model.log_prob(e) for e in judged])
    excess = (best - found) / np.log(2) / 100
    assert excess.mean() > -4.5 * excess.std() / np.sqrt(len(excess))
    assert excess.mean() < 0.2
    scored = bits(model, judged)
    assert sum(scored.by_field.values()) == pytest.approx(scored.per_step)


def test_steps_are_drawn_as_they_are_scored():
    """One step from one history: frequencies of what is drawn against probabilities of the same observation."""
    episodes = rollout("random", "FrozenLake", episodes=20, seed=0)
    model = make_model("context-tree", "FrozenLake", depth=8)
    fit_model(model, episodes)
    count = 1500
    state = np.repeat(model.init(np.array([0])), count, axis=0)
    step = model.step(state, np.full(count, 2), np.random.default_rng(0))
    seen = step.states[:, -5:-1] @ np.array([8, 4, 2, 1])
    for observation in (0, 1, 4):
        one = Trajectory(np.array([0, observation]), np.array([2]), np.zeros(1), False, True)
        p = np.exp(model.log_prob(one))
        share = ((seen == observation) & (step.continuation == 1)).mean()
        assert abs(share - p) < 4.5 * np.sqrt(p * (1 - p) / count)


def test_bad_input_is_refused():
    model = make_model("context-tree", "Tiger", rewards=2)
    with pytest.raises(UsageError, match="more than 2 different rewards"):
        fit_model(model, rollout("random", "Tiger", episodes=5, seed=0))
    with pytest.raises(UsageError, match="no episodes"):
        fit_model(model, [])
    with pytest.raises(UsageError):
        make_model("context-tree", "CartPole")
    with pytest.raises(UsageError):
        ContextTreeSettings(rewards=3)
    with pytest.raises(UsageError, match="of shape"):
        make_model("context-tree", "Tiger", depth=5).load_state_dict(make_model("context-tree", "Tiger").state_dict())
    episode = rollout("random", "Tiger", episodes=1, seed=0)[0]
    with pytest.raises(UsageError, match="actions"):
        model.log_prob(dataclasses.replace(episode, actions=episode.actions + 7))
