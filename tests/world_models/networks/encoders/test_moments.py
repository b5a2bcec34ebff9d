"""Running means and variances are those of all numbers at once."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from inscape.world_models.networks.encoders.moments import merged_moments


@pytest.mark.parametrize("make", [np.asarray, torch.as_tensor])
def test_merged_parts_are_the_whole(make):
    rng = np.random.default_rng(0)
    parts = [rng.normal(k, 1 + k, (size, 3)) for k, size in enumerate((1, 50, 7))]
    mean, variance, weight = make(parts[0].mean(0)), make(parts[0].var(0)), len(parts[0])
    for part in parts[1:]:
        mean, variance, weight = merged_moments(
            mean, variance, weight, make(part.mean(0)), make(part.var(0)), len(part)
        )
    whole = np.concatenate(parts)
    assert weight == len(whole)
    np.testing.assert_allclose(np.asarray(mean), whole.mean(0), rtol=1e-12)
    np.testing.assert_allclose(np.asarray(variance), whole.var(0), rtol=1e-12)


def test_numbers_far_from_zero_keep_their_variance():
    """Sums of squares would lose it: 10⁹ ± 1."""
    mean, variance, weight = 1e9, 1.0, 2
    for _ in range(10):
        mean, variance, weight = merged_moments(mean, variance, weight, 1e9, 1.0, 2)
    assert (mean, variance, weight) == (1e9, pytest.approx(1.0, abs=1e-12), 22)
