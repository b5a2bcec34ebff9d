"""The off-switch game: the paper's results, Stein's identity, and the same game as an assistance problem."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
from scipy.stats import norm

from inscape import World
from inscape.errors import UsageError
from inscape.theory_of_mind import Best, NormalBelief, PlanningMind, Softmax, assistance_problem, off_switch


class SwitchState(NamedTuple):
    turn: int  # 0 the robot's, 1 the human's, 2 over: off, 3 over: it acted


class SwitchPurpose(NamedTuple):
    utility: float = 1.0


class NoParams(NamedTuple):
    pass


class Switch(World):
    """The robot acts, switches itself off, or waits; then the human lets it act, or not."""

    State, Params, Purpose = SwitchState, NoParams, SwitchPurpose
    actions = ("act", "off", "wait")
    players, simultaneous = 2, False
    gamma = 1 - 1e-9

    @staticmethod
    def initial(params, branch):
        return 1.0, SwitchState(0)

    @staticmethod
    def mover(params, state):
        return 1 if state.turn == 0 else 0

    @staticmethod
    def legal(params, state, action):
        return state.turn == 0 or action != 2

    @staticmethod
    def transition(params, state, action, branch):
        return 1.0, SwitchState(1 if action == 2 else 3 if action == 0 else 2)

    @staticmethod
    def reward(params, purpose, state, action, next_state):
        worth = purpose.utility if next_state.turn == 3 else 0.0
        return worth, worth

    @staticmethod
    def terminal(params, purpose, state):
        return state.turn >= 2


def test_beside_a_rational_human_it_defers_iff_it_is_uncertain_of_the_sign() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        utilities, weights = rng.normal(size=5), rng.dirichlet(np.ones(5))
        game = off_switch(utilities, weights)
        expected = weights @ np.maximum(utilities, 0)  # theorem 1
        assert game.wait == pytest.approx(expected, abs=1e-12)
        assert game.incentive >= -1e-12
        assert (game.incentive > 1e-12) == (utilities.min() < 0 < utilities.max())
    sure = off_switch([0.7])
    assert sure.incentive == 0.0 and not sure.defers and sure.choice == "wait"


def test_a_normal_belief_is_its_closed_form_and_its_quantiles() -> None:
    for mean, std in ((0.3, 1.0), (-0.5, 0.4), (2.0, 0.1)):
        game = off_switch(NormalBelief(mean, std))
        assert game.wait == pytest.approx(mean * norm.cdf(mean / std) + std * norm.pdf(mean / std), abs=1e-14)
        utilities = norm.ppf((np.arange(40_000) + 0.5) / 40_000, mean, std)
        assert game.wait == pytest.approx(off_switch(utilities).wait, abs=1e-4)
        for beta in (0.5, 3.0):
            noisy = off_switch(NormalBelief(mean, std), human=Softmax(beta))
            many = off_switch(utilities, human=Softmax(beta))
            assert (noisy.wait, noisy.allowed) == pytest.approx((many.wait, many.allowed), abs=1e-4)


def test_a_human_who_errs_is_deferred_to_if_the_robot_is_uncertain_enough() -> None:
    # Stein: E[π(U)·U] = μ·E[π] + σ²·E[π'], so Δ = σ²·E[π'] − |μ|·P(the human errs on the sign of μ)
    beta = 2.0
    for mean, std in ((0.4, 0.5), (0.4, 3.0), (-0.4, 0.5), (-0.4, 3.0)):
        game = off_switch(NormalBelief(mean, std), human=Softmax(beta))
        z = np.linspace(-12, 12, 200_001)
        allowed = 1 / (1 + np.exp(-beta * (mean + std * z)))
        slope = np.trapezoid(beta * allowed * (1 - allowed) * norm.pdf(z), z)
        errs = 1 - game.allowed if mean > 0 else game.allowed
        assert game.incentive == pytest.approx(std**2 * slope - abs(mean) * errs, abs=1e-8)
    assert not off_switch(NormalBelief(0.4, 0.1), human=Softmax(beta)).defers
    assert off_switch(NormalBelief(0.4, 3.0), human=Softmax(beta)).defers
    # one who does not look at U is never worth asking; one who always errs, least of all
    assert off_switch([1.0, -2.0], human=lambda u: np.full(len(u), 0.5)).choice == "switch off"
    assert off_switch([1.0, -0.5], human=lambda u: (u < 0).astype(float)).choice == "act"
    assert off_switch([1.0, -0.5], human=Softmax(1e3)).wait == pytest.approx(off_switch([1.0, -0.5]).wait)


@pytest.mark.parametrize("human", [Best(), Softmax(0.8), Softmax(5.0, lapse=0.2)])
def test_it_is_the_value_of_the_assistance_problem(human: Any) -> None:
    utilities, weights = [1.5, -1.0, 0.2], [0.3, 0.5, 0.2]
    from inscape.theory_of_mind import Planning

    minds = [
        PlanningMind(wants=SwitchPurpose(u), plans=Planning("hard"), chooses=human) for u in utilities
    ]  # fmt: skip
    game = off_switch(utilities, weights, human)
    helper = assistance_problem(Switch(), minds, weights).solve(1e-9)
    assert helper.lower == pytest.approx(max(game.act, game.off, game.wait), abs=1e-7)
    names = Switch().action_names
    work = helper.begin(Switch().observe(Switch().sample_initial(1, np.random.default_rng(0)), player=1)[0])
    assert names[work.act()] == {"act": "act", "switch off": "off", "wait": "wait"}[game.choice]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: off_switch([]), "utilities"),
        (lambda: off_switch([np.nan]), "utilities"),
        (lambda: off_switch([1.0, 2.0], [0.5, 0.6]), "probabilities"),
        (lambda: off_switch(NormalBelief(0.0, 1.0), [1.0]), "normal belief"),
        (lambda: NormalBelief(0.0, -1.0), "std"),
        (lambda: NormalBelief(np.inf, 1.0), "mean"),
        (lambda: off_switch([1.0], human="me"), "human"),  # type: ignore[arg-type]
        (lambda: off_switch([1.0], human=lambda u: u + 1), "probabilities"),
    ],
)
def test_what_is_no_game_is_refused(call: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        call()
