"""The density of independent normals, against SciPy's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from inscape.world_models.networks.kernels import gaussian


def test_log_density_is_scipys():
    rng = np.random.default_rng(0)
    plain = getattr(gaussian.log_density, "py_func", gaussian.log_density)
    for size in (1, 4):
        action, mean, log_std = rng.normal(size=(3, size))
        expected = stats.norm.logpdf(action, mean, np.exp(log_std)).sum()
        assert plain(action, mean, log_std) == pytest.approx(expected, rel=1e-12)
