"""Chains: stationary distributions, gain and bias, against powers of the matrix."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from inscape.world_models.planning.average_reward.chain import Chain


def test_two_classes_and_a_state_that_leads_to_both():
    P = np.array([[0.2, 0.3, 0.5, 0.0], [0, 1, 0, 0], [0, 0, 0.5, 0.5], [0, 0, 0.25, 0.75]])
    chain = Chain(csr_matrix(P))
    assert chain.classes[0] == -1
    assert chain.classes[2] == chain.classes[3] != chain.classes[1]
    assert chain.stationary == pytest.approx([0, 1, 1 / 3, 2 / 3])
    reward = np.array([7.0, 2.0, 3.0, 0.0])
    gain, bias = chain.gain_and_bias(reward)
    limit = np.linalg.matrix_power(P, 400)
    assert gain == pytest.approx(limit @ reward)
    total = sum(np.linalg.matrix_power(P, t) @ reward - gain for t in range(200))
    assert bias == pytest.approx(total)
    assert limit @ bias == pytest.approx(0.0, abs=1e-12)


def test_classes_are_numbered_in_any_order():
    rng = np.random.default_rng(0)
    for _ in range(20):
        order = rng.permutation(6)
        P = np.zeros((6, 6))
        P[0, 1] = P[1, 0] = P[2, 2] = P[3, 4] = P[4, 3] = 1.0
        P[5, [0, 2, 3]] = 0.25, 0.25, 0.5
        P = P[np.ix_(order, order)]
        reward = rng.normal(size=6)
        gain, bias = Chain(csr_matrix(P)).gain_and_bias(reward)
        assert gain + bias == pytest.approx(reward + P @ bias)
        assert gain == pytest.approx(P @ gain)
