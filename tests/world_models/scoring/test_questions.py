"""Questions of models: each against a number found another way."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from inscape import rollout
from inscape.errors import UsageError
from inscape.world_models import (
    bits,
    calibration,
    disagreement_map,
    fit_model,
    imagined_episode,
    make_model,
    predict,
    reliability,
    surprise,
)


@pytest.fixture(scope="module")
def model() -> object:
    made = make_model("tabular", "FrozenLake")
    fit_model(made, rollout("random", "FrozenLake", 400, seed=0))
    return made


def test_predictions_have_the_mean_of_the_tables(model) -> None:
    found = predict(model, 14, [2, 2], rollouts=4000, seed=1)
    table = model.tabular()
    state = table.init(np.array([14]))[0]
    here = table.probability[state, 2]
    expected = (here * table.reward[state, 2]).sum()
    assert abs(found.rewards[:, 0].mean() - expected) < 4.5 * math.sqrt(expected / 4000)
    assert (np.diff(found.going, axis=1) <= 0).all()
    assert found.observations.shape == (4000, 2) and found.disagreement.shape == (2,)
    for wrong in ([], 3, [9]):
        with pytest.raises(UsageError):
            predict(model, 14, wrong)


def test_surprise_adds_up_to_the_code_length_by_every_route(model) -> None:
    episode = rollout("random", "FrozenLake", 1, seed=3)[0]
    each = surprise(model, episode)
    assert each.mean() == pytest.approx(bits(model, [episode]).per_step)

    class Whole:
        log_prob = staticmethod(model.log_prob)

    beginnings = surprise(Whole(), episode)
    assert np.allclose(beginnings, each)
    broken = dataclasses.replace(episode, rewards=np.full(len(episode), np.nan))
    with pytest.raises(UsageError, match="episode 0 at step 0"):
        surprise(model, broken)


def test_disagreement_maps_mark_what_was_tried_least(model) -> None:
    found = disagreement_map(model, "FrozenLake")
    assert found.shape == (16, 4) and np.isnan(found[5]).all()  # a hole
    tried = model.tried()[model.init(np.arange(16))]
    known = ~np.isnan(found)
    assert found[known][tried[known].argmin()] > found[known][tried[known].argmax()]
    with pytest.raises(UsageError, match="disagreement"):
        disagreement_map(make_model("context-tree", "Tiger"), "FrozenLake")


def test_true_probabilities_are_calibrated_and_others_are_found_out(model) -> None:
    rng = np.random.default_rng(0)
    stated = rng.random(40_000)
    happened = rng.random(40_000) < stated
    assert reliability(stated, happened).error < 0.01 and abs(reliability(stated, happened).z) < 4.5
    assert reliability(np.sqrt(stated), happened).error > 0.1
    judged = rollout("random", "FrozenLake", 100, seed=5)
    exact, imagined = calibration(model, judged), calibration(model, judged, rollouts=300)
    assert exact.error < 0.02 and abs(exact.error - imagined.error) < 0.02
    wrong = make_model("tabular", "FrozenLake", concentration=500.0)
    fit_model(wrong, rollout("random", "FrozenLake", 400, seed=0))
    assert calibration(wrong, judged).error > 2 * exact.error


def test_an_imagined_episode_is_one_of_the_model(model) -> None:
    seen, rewards, ended = imagined_episode(model, 0, [1] * 30, seed=2)
    assert len(seen) == len(rewards) + 1 and (ended or len(rewards) == 30)
    with pytest.raises(UsageError, match="observe"):
        imagined_episode(make_model("context-tree", "Tiger"), 0, [0])
