"""Parts of how a mind plans and chooses, against recursions by hand."""

from __future__ import annotations

import functools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from inscape.errors import UsageError
from inscape.theory_of_mind import Best, Exponential, Hyperbolic, Planning, PlanningMind, Softmax
from inscape.world_models import TabularModel
from tests.theory_of_mind.worlds import Corridor, Fork

WORLD = Corridor(slip=0.2)


def temptation() -> TabularModel:
    """Cells 0 … 3 and the end: at 1 one may step aside for 5 at once, at 3 one gets 14; every step costs 0.1."""
    rewards = {(1, 1): 5.0, (3, 0): 14.0}
    outcomes: dict[int, dict[int, Any]] = {
        s: {
            a: [(1.0, s + 1 if (s, a) not in rewards else 4, rewards.get((s, a), 0.0) - 0.1, (s, a) in rewards)]
            for a in ((0, 1) if s == 1 else (0,))
        }
        for s in range(4)
    }
    outcomes[4] = {}
    return TabularModel.from_arrays(outcomes, initial=0)


def expected_utility(
    model: TabularModel, horizon: int, k: float, beta: float | None, sophisticated: bool, leaving: bool
) -> np.ndarray:
    """EU(s, a, 0) as Evans et al. (2016) write it, by recursion over dictionaries of floats."""

    def weight(delay: int) -> float:
        return 1.0 / (1.0 + k * (delay + leaving))

    @functools.cache
    def utility(s: int, a: int, delay: int, left: int) -> float:
        total = 0.0
        for n, p, r, c in zip(
            *(getattr(model, f)[s, a] for f in ("next_state", "probability", "reward", "continuation"))
        ):
            if p > 0:
                total += p * (r * weight(delay) + c * (value(int(n), delay + 1, left - 1) if left > 1 else 0.0))
        return total

    @functools.cache
    def value(s: int, delay: int, left: int) -> float:
        if model.terminal[s]:
            return 0.0
        legal = np.flatnonzero(model.legal[s])
        chosen_by = [utility(s, int(a), 0 if sophisticated else delay, left) for a in legal]
        best = max(chosen_by)
        weights = [float(u >= best - 1e-12) if beta is None else math.exp(beta * (u - best)) for u in chosen_by]
        return sum(w * utility(s, int(a), delay, left) for w, a in zip(weights, legal)) / sum(weights)

    return np.array(
        [
            [
                utility(s, a, 0, horizon) if model.legal[s, a] and not model.terminal[s] else 0.0
                for a in range(model.num_actions)
            ]
            for s in range(model.num_states)
        ]
    )


@pytest.mark.parametrize("sophisticated", [False, True])
@pytest.mark.parametrize("beta", [0.7, None])
@pytest.mark.parametrize("pays", ["arrival", "leaving"])
@pytest.mark.parametrize("horizon", [1, 2, 5])
def test_hyperbolic_minds_value_as_the_recursion_over_delays(
    sophisticated: bool, beta: float | None, pays: Any, horizon: int
) -> None:
    chooses = Best() if beta is None else Softmax(beta)
    for model in (temptation(), TabularModel.from_world(WORLD, "right end")):
        planning = Planning("soft-eval", horizon, Hyperbolic(1.3, sophisticated), pays)
        found = planning.action_values(model, chooses, gamma=1.0)
        expected = expected_utility(model, horizon, 1.3, beta, sophisticated, pays == "leaving")
        usable = model.legal & ~model.terminal[:, None]
        np.testing.assert_allclose(found[usable], expected[usable], atol=1e-12)
        assert np.isneginf(found[~model.legal & ~model.terminal[:, None]]).all()


def test_a_naive_mind_gives_in_where_it_did_not_mean_to_and_a_sophisticated_one_sees_it_coming() -> None:
    model = temptation()
    naive, wise = (
        Planning("hard", discount=Hyperbolic(2.0, sophisticated)).action_values(model, Best(), 1.0)
        for sophisticated in (False, True)
    )
    # far away both prefer 14 at the end; standing beside it, 5 at once is worth more than 14 two steps later
    assert naive[0, 0] == pytest.approx(-0.1 - 0.1 / 3 - 0.1 / 5 + 13.9 / 7)
    assert naive[1, 1] == pytest.approx(4.9) and naive[1, 0] == pytest.approx(-0.1 - 0.1 / 3 + 13.9 / 5)
    assert wise[0, 0] == pytest.approx(-0.1 + 4.9 / 3)  # it knows that it will step aside


def test_a_hyperbolic_mind_with_k_0_is_one_that_does_not_discount() -> None:
    model = temptation()
    for sophisticated in (False, True):
        found = Planning("soft-eval", 6, Hyperbolic(0.0, sophisticated)).action_values(model, Softmax(2.0), 0.5)
        same = Planning("soft-eval", 6, Exponential(1.0)).action_values(model, Softmax(2.0), 0.5)
        np.testing.assert_allclose(found, same, atol=1e-12)


@pytest.mark.parametrize("backup", ["soft-eval", "maxent", "hard"])
@pytest.mark.parametrize("chooses", [Softmax(3.0), Best()])
def test_a_far_horizon_is_none(backup: Any, chooses: Any) -> None:
    model = TabularModel.from_world(WORLD, "left end")
    near, far, none = (Planning(backup, horizon).action_values(model, chooses, 0.9) for horizon in (1, 400, None))
    np.testing.assert_allclose(far, none, atol=1e-9)
    usable = model.legal & ~model.terminal[:, None]
    np.testing.assert_allclose(near[usable], model.expected_reward()[usable], atol=1e-15)


def test_what_is_paid_on_leaving_counts_a_step_later() -> None:
    model = TabularModel.from_world(WORLD, "left end")
    late = Planning("hard", pays="leaving", discount=Exponential(0.8)).action_values(model, Best(), 1.0)
    now = Planning("hard", discount=Exponential(0.8)).action_values(
        replace(model, reward=0.8 * model.reward), Best(), 1.0
    )
    np.testing.assert_allclose(late, now, atol=1e-12)


def test_the_discount_of_a_mind_comes_before_the_worlds() -> None:
    own = PlanningMind("left end", plans=Planning("hard", discount=Exponential(0.5)), chooses=Softmax(2.0))
    np.testing.assert_array_equal(
        own.action_values(WORLD), PlanningMind("left end", 2.0, "hard").action_values(WORLD, 0.5)
    )


def test_the_best_actions_are_taken_alike() -> None:
    values = np.array([[1.0, 1.0 + 1e-12, 0.5], [2.0, 1.0, 3.0]])
    legal = np.array([[True, True, True], [True, True, False]])
    np.testing.assert_allclose(np.exp(Best().log_probs(values, legal)), [[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])


def test_lapses_mix_in_any_legal_action() -> None:
    legal = np.array([[True, True, False], [True, True, True]])
    values = np.array([[1.0, 0.0, 9.0], [0.0, 1.0, 2.0]])
    attentive = np.exp(Softmax(1.5).log_probs(values, legal))
    lapsing = np.exp(Softmax(1.5, lapse=0.2).log_probs(values, legal))
    np.testing.assert_allclose(lapsing, 0.8 * attentive + 0.2 * legal / legal.sum(axis=1, keepdims=True), atol=1e-15)
    np.testing.assert_allclose(
        np.exp(Softmax(1.5, lapse=1.0).log_probs(values, legal)), legal / legal.sum(axis=1)[:, None]
    )


def test_best_is_the_limit_of_large_beta() -> None:
    best = PlanningMind("right end", plans=Planning("hard"), chooses=Best()).controller(Corridor())
    soft = PlanningMind("right end", 1e4, "hard").controller(Corridor())
    np.testing.assert_allclose(np.exp(best.log_probs), np.exp(soft.log_probs), atol=1e-12)
    assert PlanningMind("prize", plans=Planning("maxent"), chooses=Best()).action_values(Fork())[0].tolist() == [
        0.4,
        0.5,
    ]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Planning("maxnet"), "did you mean 'maxent'"),
        (lambda: Planning("hard", 0), "horizon is 0"),
        (lambda: Planning("hard", True), "horizon is True"),
        (lambda: Planning("hard", discount=0.9), r"Exponential\(gamma\)"),
        (lambda: Planning("hard", pays="now"), "'arrival' or 'leaving'"),
        (lambda: Exponential(1.5), "gamma = 1.5"),
        (lambda: Hyperbolic(-1.0), "k is -1.0"),
        (lambda: Hyperbolic(1.0, "yes"), "sophisticated"),
        (lambda: Softmax(1.0, lapse=1.5), "lapse = 1.5"),
        (lambda: Softmax(float("nan")), "beta is nan"),
    ],
)
def test_what_is_no_part_is_refused(make: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        make()


def test_returns_that_do_not_settle_need_a_horizon() -> None:
    loop = TabularModel.from_arrays(np.ones((1, 1, 1)), np.ones((1, 1)), layout="ASS,SA")
    with pytest.raises(UsageError, match=r"(?s)still changes.*horizon=20"):
        Planning("hard", discount=Hyperbolic(1.0)).action_values(loop, Best(), 0.9)
    assert Planning("hard", 3, Hyperbolic(1.0)).action_values(loop, Best(), 0.9)[0, 0] == pytest.approx(
        1 + 1 / 2 + 1 / 3
    )
