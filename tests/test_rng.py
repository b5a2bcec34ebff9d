from __future__ import annotations

import numpy as np

from inscape.agents.acting import sample_actions
from inscape.rng import drawn_indices


def test_indices_are_drawn_with_their_probabilities_and_never_with_none() -> None:
    probability = np.array([0.0, 0.2, 0.0, 0.5, 0.3, 0.0])
    numbers = (np.arange(1000) + 0.5) / 1000
    drawn = drawn_indices(np.tile(probability, (1000, 1)), numbers)
    assert np.bincount(drawn, minlength=6).tolist() == [0, 200, 0, 500, 300, 0]


def test_rows_that_miss_one_by_rounding_are_scaled() -> None:
    below = np.full((1, 10), 0.1) * (1 - 1e-9)
    below = np.append(below, [[0.0]], axis=1)  # which is never drawn
    assert drawn_indices(below, np.array([np.nextafter(1.0, 0.0)])).tolist() == [9]


def test_actions_of_an_agent_are_drawn_by_the_numbers_of_its_generator() -> None:
    log_probs = np.log(np.random.default_rng(0).dirichlet(np.ones(5), size=200))
    numbers = np.random.default_rng(3).random(200)
    assert np.array_equal(
        sample_actions(log_probs, np.random.default_rng(3)), drawn_indices(np.exp(log_probs), numbers)
    )
