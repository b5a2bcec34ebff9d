"""The sequence model: probabilities that are probabilities, the filter as the bound, histories as states."""

import itertools
import math

import numpy as np
import pytest
from gymnasium import spaces

from inscape import make_world, rollout
from inscape.envs.data.trajectory import Trajectory
from inscape.errors import UsageError
from inscape.world_models import BeliefFilter, SequenceModel, SequenceSettings, belief_probe, fit_model
from inscape.world_models.learned.probing import linear_probe
from inscape.world_models.learned.tokens import Vocabulary

SMALL = SequenceSettings(width=16, layers=1, heads=2, context=24, updates=30, batch_size=16, report_every=10)


def episode(observations, actions, terminated=False):
    return Trajectory(
        np.array(observations), np.array(actions), np.zeros(len(actions)), terminated, not terminated
    )  # fmt: skip


@pytest.mark.parametrize(
    ("space", "values"),
    [
        (spaces.Discrete(3), [0, 1, 2]),
        (spaces.Discrete(2, start=5), [5, 6]),
        (spaces.MultiDiscrete([2, 2]), [[0, 0], [0, 1], [1, 0], [1, 1]]),
        (spaces.Box(0, 2, (1,), np.int8), [[0], [1], [2]]),
    ],
    ids=str,
)
def test_probabilities_of_all_that_can_follow_sum_to_one(space, values):
    model = SequenceModel(space, spaces.Discrete(2), SMALL, seed=3)
    total = 0.0
    for last, ends in itertools.product(itertools.product(values, repeat=2), (False, True)):
        total += math.exp(model.log_prob(episode([values[0], *last], [1, 0], ends)))
    # an episode that ended after its first action is not among them
    ended = sum(math.exp(model.log_prob(episode([values[0], value], [1], True))) for value in values)
    assert total + ended == pytest.approx(1.0, abs=1e-5)


def test_long_episodes_are_read_in_windows_that_agree_with_reading_afresh():
    model = SequenceModel(spaces.Discrete(3), spaces.Discrete(1), SMALL, seed=0, ends=False)
    rng = np.random.default_rng(0)
    whole = episode(rng.integers(3, size=61), np.zeros(60, int))
    found = model.step_log_probs(whole)
    tokens = model.vocabulary.episode(whole)
    for t in (0, 5, 21, 22, 40, 59):  # the token of observation t + 1 is number t + 2
        place = t + 2
        begin = 0 if place < 24 else max(0, min(len(tokens), 24 + 12 * ((place - 24) // 12 + 1)) - 24)
        history = tokens[begin:place]
        probs = model._next([history], 1, 3)[0]
        assert found[t] == pytest.approx(math.log(probs[tokens[place] - 1]), abs=1e-5)


def test_steps_are_drawn_as_they_are_scored():
    model = SequenceModel(spaces.Discrete(3), spaces.Discrete(2), SMALL, seed=1)
    states = model.update(model.init(np.array([0])), np.array([1]), np.array([2]))
    drawn = model.step(states[np.zeros(4000, int)], np.zeros(4000, int), np.random.default_rng(0))
    frequency = np.bincount([(t[-2] - 3) for t in drawn.states.tokens], minlength=3) / 4000
    expected = np.array(
        [sum(math.exp(model.log_prob(episode([0, 2, o], [1, 0], ends))) for ends in (False, True)) for o in range(3)]
    )
    expected /= expected.sum()
    np.testing.assert_allclose(frequency, expected, atol=0.03)
    goes_on = [
        math.exp(model.log_prob(episode([0, 2, o], [1, 0]))) / sum(
            math.exp(model.log_prob(episode([0, 2, o], [1, 0], ends))) for ends in (False, True)
        )
        for o in range(3)
    ]  # fmt: skip
    for k in (0, 1, 2):
        np.testing.assert_allclose(drawn.continuation[k], goes_on[drawn.states.tokens[k][-2] - 3], atol=1e-5)


def test_it_learns_a_hidden_source_up_to_the_filter():
    world = make_world("Mess3", x=0.05, a=0.85)
    learned, judged = rollout("random", world, 40, 1), rollout("random", world, 6, 2)
    settings = SequenceSettings(16, 1, 2, 16, 150, 32, 1e-2, average=0.98, report_every=150)
    model = SequenceModel.for_task(world, settings, ends=False)
    report = fit_model(model, learned)
    exact = BeliefFilter.from_world(world)
    steps = sum(map(len, judged))
    bound = -sum(exact.filter(e.observations, e.actions).log_likelihood[1:].sum() for e in judged) / steps / math.log(2)
    bits = -sum(model.log_prob(e) for e in judged) / steps / math.log(2)
    assert bound < bits < bound + 0.05
    assert report.held_out_bits_per_step == pytest.approx(bits, abs=0.1)
    assert belief_probe(model, world, judged).r_squared > 0.8


def test_the_same_seed_gives_the_same_model_and_a_stored_one_goes_on():
    world = make_world("Tiger")
    data = rollout("random", world, 20, 0)
    models = [SequenceModel.for_task(world, SMALL, seed=2) for _ in range(2)]
    for model in models:
        fit_model(model, data)
    assert models[0].log_prob(data[0]) == models[1].log_prob(data[0])
    restored = SequenceModel.for_task(world, SMALL, seed=2)
    restored.load_state_dict(models[0].state_dict())
    assert restored.log_prob(data[0]) == models[0].log_prob(data[0])
    for model in (restored, models[1]):
        fit_model(model, data)
    assert restored.log_prob(data[0]) == models[1].log_prob(data[0])
    seen = {(int(a), int(o)): r for e in data for a, o, r in zip(e.actions, e.observations[1:], e.rewards)}
    listen = [r for (a, _), r in seen.items() if a == 0]
    step = restored.step(restored.init(data[0].observations[:1]), np.array([0]), np.random.default_rng(0))
    assert step.reward[0] in listen


def test_tokens_say_what_happened():
    vocabulary = Vocabulary.of_spaces(spaces.MultiDiscrete([2, 3]), spaces.Discrete(4), ends=True)
    assert (vocabulary.size, vocabulary.step, vocabulary.head()) == (1 + 4 + 5 + 2, 4, 4)
    tokens = vocabulary.episode(episode([[0, 1], [1, 2]], [3], terminated=True))
    assert tokens.tolist() == [0, 5, 8, 10, 4, 6, 9, 11]
    assert vocabulary.scored(8).tolist() == [False] * 5 + [True] * 3
    assert vocabulary.decoded(tokens[[5, 6]][None]).tolist() == [[1, 2]]


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (lambda: SequenceModel.for_task("CartPole"), "observations Box"),
        (lambda: SequenceModel.for_task("Pendulum"), "actions Box"),
        (lambda: SequenceModel.for_task("TicTacToe"), "2 players"),
        (lambda: SequenceModel(spaces.Discrete(2), spaces.Discrete(2), SequenceSettings(context=3)), "context = 3"),
        (lambda: SequenceSettings(held_out=1.0), "held_out"),
        (lambda: SequenceSettings(updates=0), "updates"),
    ],
)
def test_what_it_cannot_take_is_refused(make, found):
    with pytest.raises(UsageError, match=found):
        make()


def test_wrong_data_is_named():
    model = SequenceModel(spaces.Discrete(3), spaces.Discrete(2), SMALL)
    with pytest.raises(UsageError, match="no episode"):
        fit_model(model, [])
    with pytest.raises(UsageError, match="episode 1: field 0 of observation 2 is 7"):
        fit_model(model, [episode([0, 1], [0]), episode([0, 1, 2, 7], [0, 1, 0])])
    with pytest.raises(UsageError, match="is nan"):
        fit_model(model, [episode([0.0, np.nan], [0])])
    with pytest.raises(UsageError, match="ended by itself"):
        fit_model(
            SequenceModel(spaces.Discrete(3), spaces.Discrete(2), SMALL, ends=False), [episode([0, 1], [0], True)]
        )
    other = SequenceModel(spaces.Discrete(4), spaces.Discrete(2), SMALL)
    with pytest.raises(UsageError, match=r"weights model.embed_tokens.weight: \(9, 16\)"):
        model.load_state_dict(other.state_dict())


def test_probes_find_what_is_linear():
    rng = np.random.default_rng(0)
    inside = rng.normal(size=(400, 5))
    targets = inside @ rng.normal(size=(5, 3)) + 2.0
    aside = np.arange(400) >= 200
    assert linear_probe(inside, targets, aside).r_squared == pytest.approx(1.0)
    assert linear_probe(rng.normal(size=(400, 5)), targets, aside).r_squared < 0.1
    with pytest.raises(UsageError, match="all alike"):
        linear_probe(inside, np.ones((400, 2)), aside)
