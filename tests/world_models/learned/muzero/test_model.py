"""The model for search: the compressed scale, NumPy against torch, a World model's methods, scores of predictions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch.nn import functional

from inscape import UsageError, resolve_task, rollout
from inscape.world_models import bits
from inscape.world_models.learned.muzero.model import MuZeroModel
from inscape.world_models.learned.muzero.settings import MuZeroModelSettings
from inscape.world_models.learned.muzero.supports import class_loss, class_mean, class_weights, restored, transformed
from inscape.world_models.planning.tree_search.gumbel import Gumbel

BOX = spaces.Box(-1.0, 1.0, (4,), np.float32)


def model(codes: int = 0, players: int = 1, observation: Any = BOX, actions: int = 3) -> MuZeroModel:
    """Returns a model with weights that are nowhere 0."""
    made = MuZeroModel(
        observation, spaces.Discrete(actions), MuZeroModelSettings(8, 16, 5, codes, normalize=False), 0, players
    )
    generator = torch.Generator().manual_seed(1)
    for weight in made.network.parameters():
        torch.nn.init.normal_(weight, 0.0, 0.4, generator=generator)
    return made


def test_the_scale_and_its_inverse() -> None:
    x = np.array([-1e5, -30.0, -1.0, -0.01, 0.0, 0.3, 2.0, 500.0])
    assert np.allclose(restored(transformed(x)), x, rtol=1e-7, atol=1e-9)
    assert np.allclose(restored(transformed(torch.as_tensor(x))).numpy(), x, rtol=1e-7, atol=1e-9)
    assert transformed(np.array(3.0)) == pytest.approx(1.003)  # √4 − 1 + 3/1000
    weights = class_weights(torch.as_tensor([3.0, -3.0, 0.0]), 5).numpy()
    assert np.allclose(weights.sum(axis=1), 1.0)
    assert weights[0, 6:8] == pytest.approx([0.997, 0.003], abs=1e-5) and weights[2, 5] == 1.0


def test_the_mean_of_the_classes_is_the_number_they_stand_for() -> None:
    x = np.linspace(-20, 20, 41)
    with np.errstate(divide="ignore"):
        logits = np.log(class_weights(torch.as_tensor(x), 5).numpy())
    assert np.allclose(class_mean(logits, 5), x, atol=1e-5)
    # the loss is smallest at those weights: its gradient by the logits is softmax − weights
    free = torch.randn(4, 11, generator=torch.Generator().manual_seed(0), requires_grad=True)
    target = torch.as_tensor([0.4, -7.0, 2.0, 1e9])
    class_loss(free, target, 5).sum().backward()  # type: ignore[no-untyped-call]
    assert free.grad is not None
    assert torch.allclose(free.grad, free.detach().softmax(-1) - class_weights(target, 5), atol=1e-6)


@pytest.mark.parametrize("codes", [0, 3])
def test_numpy_says_what_torch_says(codes: int) -> None:
    made, rng = model(codes), np.random.default_rng(0)
    network, inference = made.network, made.inference
    latent = inference.represent(rng.normal(size=(6, 4)).astype(np.float32))
    actions = rng.integers(0, 3, 6)
    with torch.no_grad():
        given = torch.as_tensor(latent)
        one_hot = functional.one_hot(torch.as_tensor(actions), 3).float()
        reached = given.flip(0)
        step = network.unroll(given, one_hot, reached if codes else None)
        policy, value = network.predict(given)
    choice, source = actions, latent
    if codes:
        assert step.seen is not None and step.codes is not None
        source, probability = inference.after(latent, actions)
        assert np.allclose(probability, step.codes.softmax(-1).numpy(), atol=1e-6)
        choice = step.seen.argmax(-1).numpy()
    following, reward, going = inference.follow(source, choice)
    assert np.allclose(following, step.latent.numpy(), atol=1e-5)
    assert np.allclose(reward, class_mean(step.reward.numpy(), 5), atol=1e-5)
    assert np.allclose(going, step.going.sigmoid().numpy(), atol=1e-6)
    logits, values = inference.predict(latent)
    assert np.allclose(logits, policy.numpy(), atol=1e-5)
    assert np.allclose(values, class_mean(value.numpy(), 5), atol=1e-5)


def test_a_step_is_one_of_the_outcomes_as_often_as_they_say() -> None:
    made, count = model(codes=3), 4000
    state = made.init(np.full((1, 4), 0.3, np.float32))
    probability, following, reward, going = made.outcomes(state, np.array([1]))
    assert probability.sum() == pytest.approx(1.0) and len(following) == 3
    step = made.step(np.repeat(state, count, axis=0), np.ones(count, np.int64), np.random.default_rng(0))
    distance = np.abs(step.states[:, None] - following[None]).sum(axis=2)
    outcome = distance.argmin(axis=1)
    assert distance.min(axis=1).max() < 1e-4
    assert np.allclose(step.reward, reward[0][outcome], atol=1e-5)
    assert np.allclose(step.continuation, going[0][outcome], atol=1e-6)
    shares = np.bincount(outcome, minlength=3) / count
    assert np.abs(shares - probability[0]).max() < 4.5 * np.sqrt(0.25 / count)


@pytest.mark.parametrize("codes", [0, 2])
def test_two_players_alternate_and_what_one_gains_the_other_loses(codes: int) -> None:
    made, rng = model(codes, players=2), np.random.default_rng(0)
    mask = np.array([[True, False, True], [False, True, True]])
    states = made.init(rng.normal(size=(2, 4)).astype(np.float32), mask)
    assert (made.legal_of(states) == mask).all() and (made.mover_of(states) == 0).all()
    first = made.step(states, np.array([0, 1]), rng)
    assert (made.mover_of(first.states) == 1).all() and made.legal_of(first.states).all()
    second = made.step(first.states, np.array([0, 1]), rng)
    assert (made.mover_of(second.states) == 0).all()
    for step in (first, second):
        assert np.array_equal(step.reward[:, 0], -step.reward[:, 1])
    values, _ = made.evaluate(first.states)
    own = made.inference.predict(made._latent(first.states))[1]
    assert np.array_equal(values[:, 1], own) and np.array_equal(values[:, 0], -own)
    plans = Gumbel(8, 0.9, rollout="none", max_outcomes=1).plan(made, states, rng, made.evaluate)
    assert (plans.action_probs[~mask] == 0.0).all()


def test_predictions_are_scored_as_steps_of_the_model_give_them() -> None:
    task = resolve_task("CartPole")
    made = MuZeroModel(task.observation_space, task.action_space, MuZeroModelSettings(8, 16, 5, normalize=False))
    episodes = rollout("random", task, episodes=2, seed=0)
    found = made.prediction_scores(episodes, horizon=3, gamma=0.9)
    # heads begin at 0: rewards and values are foreseen as 0, going on as likely as not
    assert np.allclose(found["reward_error"], 1.0) and np.allclose(found["ending_bits"], 1.0)
    returns = [(1 - 0.9 ** (len(e) - t)) / 0.1 for e in episodes for t in range(len(e))]
    assert found["value_error"][0] == pytest.approx(np.mean(returns))
    made = model(observation=task.observation_space, actions=2)
    found = made.prediction_scores(episodes, horizon=3)
    errors = []
    for episode in episodes:
        for t in range(len(episode) - 2):
            states = made.init(episode.observations[t : t + 1])
            for k in range(3):
                step = made.step(states, episode.actions[t + k : t + k + 1], np.random.default_rng(0))
                states = step.states
            errors.append(abs(step.reward[0] - episode.rewards[t + 2]))
    assert found["reward_error"][2] == pytest.approx(np.mean(errors), abs=1e-5)


def test_it_has_no_code_length_and_says_so() -> None:
    task = resolve_task("CartPole")
    made = model(observation=task.observation_space, actions=2)
    with pytest.raises(UsageError, match="log_prob"):
        bits(made, rollout("random", task, episodes=1, seed=0))
    with pytest.raises(UsageError, match="no step"):
        made.prediction_scores([])


@pytest.mark.parametrize(
    ("space", "settings", "players", "words"),
    [
        (spaces.Box(-1, 1, (1,)), {}, 1, "Discrete"), (spaces.Discrete(2, start=1), {}, 1, "from 0"),
        (spaces.Discrete(2), {"latent": 1}, 1, "at least 2"), (spaces.Discrete(2), {}, 3, "3 players"),
    ],
)  # fmt: skip
def test_what_it_cannot_take_is_refused(space: Any, settings: dict[str, Any], players: int, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        MuZeroModel(BOX, space, MuZeroModelSettings(**settings), players=players)
