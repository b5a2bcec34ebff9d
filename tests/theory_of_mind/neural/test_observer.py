"""Observing networks: close to the exact observer where they were trained, and the same again when stored."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inscape.errors import UsageError
from inscape.theory_of_mind import (
    ImpossibleEvidenceError,
    InTurn,
    NeuralModel,
    NeuralObserver,
    Observer,
    ParticleObserver,
    Planning,
    PlanningMind,
    Softmax,
    minds_grid,
    most_informative,
    score_predictions,
    train_neural_observer,
)
from inscape.theory_of_mind.neural.population import Population
from tests.theory_of_mind.worlds import Corridor, CorridorState, simulate

WORLD = Corridor(slip=0.2)
MINDS = [
    *minds_grid(["left end", "right end"], [1.0, 5.0], "hard"),
    PlanningMind(InTurn(("left end", "right end")), plans=Planning("hard"), chooses=Softmax(5.0)),
]
SETTINGS: dict[str, Any] = {"past": 2, "length": 8, "batch": 32, "width": 16, "beyond_end": 0.5}
QUICK: dict[str, Any] = {**SETTINGS, "batch": 4, "width": 4}


@pytest.fixture(scope="module")
def model() -> NeuralModel:
    return train_neural_observer(WORLD, MINDS, 120, **SETTINGS, learning_rate=2e-2)


def episodes(mind: int, count: int) -> list[Any]:
    policy = np.exp(MINDS[mind].controller(WORLD).log_probs[:, 0])
    return [simulate(WORLD, policy, 8, np.random.default_rng([mind, k]), start=2) for k in range(count)]


def test_within_a_few_hundredths_of_a_bit_of_the_exact_observer(model: NeuralModel) -> None:
    watch, exact = NeuralObserver(model), Observer(WORLD, MINDS)
    ours, theirs = [], []
    for mind in range(4):
        seen = episodes(mind, 5)
        for observer in (watch, exact):
            observer.reset()
            observer.observe(seen[0])
            observer.observe(seen[1])
        ours.append(score_predictions(watch, seen[2:]).bits)
        theirs.append(score_predictions(exact, seen[2:]).bits)
        assert watch.marginal("goal")[MINDS[mind].goal] == pytest.approx(
            exact.marginal("goal")[MINDS[mind].goal], abs=0.2
        )
    assert np.concatenate(ours).mean() - np.concatenate(theirs).mean() < 0.06
    assert watch.posterior().sum() == pytest.approx(1.0)
    assert 0 < watch.expect(lambda mind: mind.beta) < 5.0


def test_one_step_at_a_time_is_the_whole_episode(model: NeuralModel) -> None:
    first, second = episodes(1, 2)
    whole, stepwise = NeuralObserver(model), NeuralObserver(model)
    path = whole.observe(first)
    bits = whole.bits_per_action(second)
    again = whole.posterior_over(second)
    for number, episode in enumerate((first, second)):
        numbered = stepwise.state_indices(episode)
        for t, action in enumerate(numbered.actions):
            assert stepwise.action_log_probs(int(numbered.states[t])).shape == (2,)
            after = stepwise.update(int(numbered.states[t]), int(action), fresh=t == 0)
            np.testing.assert_allclose(after, (path, again)[number][t + 1], atol=1e-5)
    assert stepwise.log_evidence() == pytest.approx(whole.log_evidence() - bits.sum() * np.log(2), abs=1e-4)
    assert stepwise.evidence() == pytest.approx(np.exp(stepwise.log_evidence()))
    assert stepwise.steps == len(first) + len(second)
    stepwise.reset()
    assert stepwise.log_evidence() == 0.0


def test_futures_are_shares_of_states_that_can_be_reached(model: NeuralModel) -> None:
    watch, exact = NeuralObserver(model, samples=2000), Observer(WORLD, MINDS)
    for observer in (watch, exact):
        observer.update(CorridorState(2), "right", CorridorState(3))
    found, wanted = watch.predict(CorridorState(3), 2), exact.predict(CorridorState(3), 2)
    np.testing.assert_allclose(found.state_probs.sum(axis=1), 1.0)
    np.testing.assert_allclose(found.state_probs[1], wanted.state_probs[1], atol=0.12)
    np.testing.assert_allclose(found.action_probs, wanted.action_probs, atol=0.12)
    assert found.states is None


def test_stored_without_pickle_and_the_same_again(model: NeuralModel, tmp_path: Path) -> None:
    path = model.save(tmp_path / "deep" / "observer.safetensors")
    assert b"pickle" not in path.read_bytes()[:4000]
    again = NeuralModel.load(path, WORLD, MINDS)
    named = NeuralModel.load(path, WORLD)
    episode = episodes(0, 1)[0]
    wanted = NeuralObserver(model).observe(episode)
    np.testing.assert_array_equal(NeuralObserver(again).observe(episode), wanted)
    by_name = NeuralObserver(named)
    np.testing.assert_array_equal(by_name.observe(episode), wanted)
    assert list(by_name.marginal("name")) == [mind.name for mind in MINDS]
    with pytest.raises(UsageError, match="known by name"):
        Observer(WORLD, named.minds)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(NeuralObserver(again))).observe(episode), wanted)
    for world, minds, words in (
        (Corridor(slip=0.3), None, "was trained in"),
        (WORLD, MINDS[1:], "expected"),
    ):
        with pytest.raises(UsageError, match=words):
            NeuralModel.load(path, world, minds)
    (tmp_path / "other").write_bytes(b"not a file of tensors")
    for name in ("other", "missing"):
        with pytest.raises(UsageError, match="cannot be read"):
            NeuralModel.load(tmp_path / name, WORLD)


def test_a_training_that_was_stopped_goes_on_as_if_it_never_was(tmp_path: Path) -> None:
    def stop(step: int, bits: float) -> None:
        raise KeyboardInterrupt

    settings = {**QUICK, "checkpoint": tmp_path / "half.safetensors", "checkpoint_steps": 10}
    with pytest.raises(KeyboardInterrupt):
        train_neural_observer(WORLD, MINDS, 20, **settings, progress=stop)
    resumed = train_neural_observer(WORLD, MINDS, 20, **settings)
    whole = train_neural_observer(WORLD, MINDS, 20, **QUICK)
    for name, value in whole.network.state_dict().items():
        np.testing.assert_array_equal(resumed.network.state_dict()[name].numpy(), value.numpy())
    assert resumed.loss == whole.loss
    with pytest.raises(UsageError, match="of a training with"):
        train_neural_observer(WORLD, MINDS, 30, **settings)


def test_minds_act_as_their_controllers_say() -> None:
    """Shares of simulated actions and states against the exact prediction, minds with memory included."""
    did = Population(WORLD, MINDS).simulate(4000, 1, 5, np.random.default_rng(0))
    for mind in (1, 4):
        exact = Observer(WORLD, [MINDS[mind]])
        path = exact.predict(2, 4).state_probs
        mine = did.minds == mind
        for t in range(5):
            ended = ~did.acting[mine, 0, t]
            shares = np.bincount(did.states[mine, 0, t][~ended], minlength=5) / mine.sum()
            went_on = path[t] * ~exact.policies.arrived.all(axis=0)
            np.testing.assert_allclose(shares, went_on, atol=0.06)


def test_kinds_of_minds_that_cannot_be_listed() -> None:
    def draw(rng: np.random.Generator) -> PlanningMind:
        return PlanningMind(["left end", "right end"][rng.integers(2)], float(rng.gamma(4.0)), "hard")

    model = train_neural_observer(WORLD, draw, 40, by="goal", minds=30, **SETTINGS, learning_rate=2e-2)
    watch = NeuralObserver(model)
    assert set(watch.marginal("goal")) == {"left end", "right end"}
    for _ in range(4):
        watch.update(CorridorState(2), "right", fresh=True)
    assert watch.marginal("goal")["right end"] > 0.5
    exact = ParticleObserver(WORLD, draw, 50, 0)
    assert exact.marginal("goal").keys() == watch.marginal("goal").keys()


def test_bad_input(model: NeuralModel, monkeypatch: pytest.MonkeyPatch) -> None:
    watch = NeuralObserver(model)
    for arguments, words in (
        ((CorridorState(2), "left", CorridorState(4)), "cannot lead to"),
        ((CorridorState(2), "up"), "action 'up'"),
        ((17, "left"), "state number 17"),
    ):
        with pytest.raises(UsageError, match=words):
            watch.update(*arguments)
    assert watch.steps == 0 == watch.log_evidence()
    watch.update(2, "left", 1)
    with pytest.raises(ImpossibleEvidenceError, match="the last step led to"):
        watch.update(3, "left")
    with pytest.raises(UsageError, match="what each of its minds does"):
        most_informative(watch, [2])
    with pytest.raises(UsageError, match="single minds"):
        _ = score_predictions(watch, episodes(0, 1)).best_mind
    with pytest.raises(UsageError, match="a trained model"):
        NeuralObserver(WORLD)  # type: ignore[arg-type]
    monkeypatch.setattr("inscape.theory_of_mind.neural.training.MOST_KINDS", 3)
    for settings, words in (
        ({}, "5 kinds of minds"),
        ({"steps": 0}, "steps = 0"),
        ({"beyond_end": 1.5}, "beyond_end = 1.5"),
        ({"by": "colour"}, "no 'colour'"),
        ({"learning_rate": 2.0}, "learning_rate = 2.0"),
        ({"device": "tpu"}, "device = 'tpu'"),
    ):
        with pytest.raises(UsageError, match=words):
            train_neural_observer(WORLD, MINDS, **settings)
