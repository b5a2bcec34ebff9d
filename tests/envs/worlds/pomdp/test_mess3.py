"""The hidden source: its entropy rates are the published ones, computed from the law over all sequences."""

from __future__ import annotations

import numpy as np
import pytest

from inscape.envs.registry import make_world
from inscape.envs.worlds.pomdp.mess3 import Mess3, Mess3State
from inscape.errors import UsageError
from inscape.world_models.belief.exact import BeliefFilter


def labelled(world: Mess3) -> np.ndarray:
    """Returns `[symbol, from, to]` P(to, symbol | from) out of the law."""
    found = np.zeros((3, 3, 3))
    for i in range(3):
        for branch in range(9):
            p, after = world.transition(world.params, Mess3State(i, 0), 0, branch)
            found[after.symbol, i, after.hidden] += p
    return found


@pytest.mark.parametrize(
    ("settings", "rate", "left_by_four", "at_nine"),
    [({}, 1.570934, 0.00004, 1e-6), ({"x": 0.05, "a": 0.85}, 1.144717, 0.0018, 2e-5)],
)
def test_entropy_rates(settings, rate, left_by_four, at_nine):
    matrices = labelled(make_world("Mess3", **settings))
    weights = np.full((1, 3), 1 / 3)  # unnormalised beliefs after every sequence
    entropy = [0.0]
    for _ in range(10):
        weights = np.einsum("ni,kij->nkj", weights, matrices).reshape(-1, 3)
        p = weights.sum(axis=1)
        entropy.append(-float((p * np.log2(p)).sum()))
    conditional = np.diff(entropy)  # [n] bits of a symbol when n are known
    assert (np.diff(conditional) < 1e-12).all()
    assert conditional[9] == pytest.approx(rate, abs=at_nine + 5e-7)
    assert conditional[4] - rate == pytest.approx(left_by_four, rel=0.15)


def test_the_filter_is_bayes_rule_by_hand():
    world = make_world("Mess3")
    matrices, symbols = labelled(world), [0, 0, 2, 1]
    belief = np.array([0.6, 0.2, 0.2])  # after the first symbol, 0
    for symbol in symbols[1:]:
        belief = belief @ matrices[symbol]
        belief /= belief.sum()
    filtered = BeliefFilter.from_world(world)
    beliefs = filtered.filter(np.array(symbols), np.zeros(3, int)).beliefs[-1]
    assert filtered.marginal(beliefs[None], "hidden")[0][0] == pytest.approx(belief[0])


@pytest.mark.parametrize("settings", [{"x": 0.6}, {"x": -0.1}, {"a": 1.5}, {"a": float("nan")}], ids=str)
def test_what_is_no_probability_is_refused(settings):
    with pytest.raises(UsageError, match="a probability"):
        make_world("Mess3", **settings)
