"""Game trees, best responses and counterfactual regret: published values, and other routes to the same numbers."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
import pytest
from gymnasium import spaces

from inscape import MissingLawError, UsageError, World, make_world
from inscape.world_models import GameTree, cfr, payoffs_of, zero_sum_equilibrium

KUHN = GameTree.from_world("KuhnPoker")
LEDUC = GameTree.from_world("LeducPoker")


def test_the_size_of_poker():
    """Kuhn poker has 12 information sets (Kuhn 1950), Leduc poker 288 by rank (Southey et al. 2005)."""
    assert KUHN.num_information_sets == 12
    assert LEDUC.num_information_sets == 288
    assert KUHN.owner.tolist().count(0) == 6


@pytest.mark.parametrize(("tree", "returns", "nash_conv"), [(KUHN, 0.125, 0.916667), (LEDUC, -0.078125, 4.747222)])
def test_uniform_play_is_as_exploitable_as_published(tree, returns, nash_conv):
    """Lanctot et al. (2019), OpenSpiel, arXiv:1908.09453: its documentation prints both NashConvs."""
    uniform = tree.uniform_policy()
    assert tree.expected_returns(uniform) == pytest.approx([returns, -returns], abs=1e-12)
    assert tree.nash_conv(uniform) == pytest.approx(nash_conv, abs=5e-7)


def kuhn_equilibrium(alpha):
    """Returns Kuhn's (1950) family of equilibria for the first player, and the only one of the second."""
    bets = {  # (player, card, history) → probability of a bet
        (0, 0, 0): alpha, (0, 1, 0): 0.0, (0, 2, 0): 3 * alpha,
        (0, 0, 3): 0.0, (0, 1, 3): alpha + 1 / 3, (0, 2, 3): 1.0,
        (1, 0, 1): 1 / 3, (1, 1, 1): 0.0, (1, 2, 1): 1.0, (1, 0, 2): 0.0, (1, 1, 2): 1 / 3, (1, 2, 2): 1.0,
    }  # fmt: skip
    bet = np.array([bets[owner, *seen] for owner, seen in zip(KUHN.owner.tolist(), KUHN.observations.tolist())])
    return np.stack([1 - bet, bet], axis=1)


@pytest.mark.parametrize("alpha", [0.0, 0.2, 1 / 3])
def test_kuhns_equilibria_cannot_be_exploited(alpha):
    policy = kuhn_equilibrium(alpha)
    assert KUHN.expected_returns(policy) == pytest.approx([-1 / 18, 1 / 18], abs=1e-15)
    assert KUHN.nash_conv(policy) == pytest.approx(0.0, abs=1e-15)


VARIANTS = [("cfr+", 300, 1e-3), ("cfr", 500, 2e-2), ("discounted", 300, 2e-2)]


@pytest.mark.parametrize(("variant", "iterations", "bar"), VARIANTS)
def test_every_variant_finds_an_equilibrium_of_kuhn_poker(variant, iterations, bar):
    found = cfr(KUHN, iterations, variant)
    assert found.exploitability < bar
    assert found.returns[0] == pytest.approx(-1 / 18, abs=2 * found.exploitability)


def test_an_equilibrium_of_kuhn_poker_to_a_tolerance():
    found = cfr("KuhnPoker", 100_000, tolerance=5e-4)
    assert found.exploitability <= 5e-4
    assert found.iterations < 100_000
    first = {seen: row for player, seen, row in found.table(0) if player == 0}
    alpha = first["[0, 0]"]["bet"]
    assert alpha <= 1 / 3 + 0.01  # one of Kuhn's family
    assert first["[2, 0]"]["bet"] == pytest.approx(3 * alpha, abs=0.03)


def test_leduc_poker_is_nearly_solved():
    """The value −0.0856 for who moves first: Tammelin (2014) and the documentation of OpenSpiel."""
    found = cfr(LEDUC, 120)
    assert found.exploitability < 0.015
    assert found.returns[0] == pytest.approx(-0.0856, abs=0.005)


def test_the_best_response_is_the_best_of_all_pure_strategies():
    rng = np.random.default_rng(0)
    policy = rng.dirichlet(np.ones(2), KUHN.num_information_sets)
    for player in range(2):
        own = np.flatnonzero(KUHN.owner == player)
        best = -np.inf
        for choices in itertools.product(range(2), repeat=len(own)):
            pure = policy.copy()
            pure[own] = np.eye(2)[list(choices)]
            best = max(best, KUHN.expected_returns(pure)[player])
        value, response = KUHN.best_response(policy, player)
        assert value == pytest.approx(best, abs=1e-14)
        assert KUHN.expected_returns(response)[player] == pytest.approx(best, abs=1e-14)


def test_sequence_form_and_regret_agree_where_players_act_at_once():
    found = cfr("RockPaperScissors", 50)
    assert found.exploitability < 1e-12
    world = make_world("MatrixStagHunt")
    tree = GameTree.from_world(world)
    payoffs = payoffs_of(world)
    rng = np.random.default_rng(1)
    policy = rng.dirichlet(np.ones(2), tree.num_information_sets)
    expected = np.einsum("mab,a,b->m", payoffs, *policy)
    assert tree.expected_returns(policy) == pytest.approx(expected)
    best = sum(np.einsum("ab,b->a", payoffs[0], policy[1]).max(keepdims=True)) - expected[0]
    best += np.einsum("ab,a->b", payoffs[1], policy[0]).max() - expected[1]
    assert tree.nash_conv(policy) == pytest.approx(best)


def test_repeated_games_remember():
    world = make_world("PrisonersDilemma", rounds=2)
    tree = GameTree.from_world(world)
    assert tree.num_information_sets == 2 * (1 + 4)  # the first round, and after each of its outcomes
    defect = np.zeros(tree.legal.shape)
    defect[:, 1] = 1.0
    assert tree.nash_conv(defect) == pytest.approx(0.0)


def test_three_players():
    tree = GameTree.from_world(make_world("GuessTwoThirds", highest=4))
    assert tree.players == 3
    assert tree.nash_conv(tree.uniform_policy()) > 0
    lowest = np.zeros(tree.legal.shape)
    lowest[:, 0] = 1.0
    assert tree.nash_conv(lowest) == pytest.approx(0.0, abs=1e-12)


class Folds:
    """Bets with a king alone: an agent that sees observations."""

    def action_log_probs(self, observations, action_mask=None):
        with np.errstate(divide="ignore"):
            king = np.asarray(observations)[:, 0] == 2
            return np.log(np.stack([~king, king], axis=1).astype(float))


def test_any_agent_can_be_exploited():
    policy = KUHN.policy_of(Folds())
    assert policy[KUHN.observations[:, 0] == 2].tolist() == [[0, 1]] * 4
    assert KUHN.exploitability(policy) > 0.1
    with pytest.raises(UsageError, match="action_log_probs"):
        KUHN.policy_of(object())


def test_what_is_no_game_is_refused():
    with pytest.raises(MissingLawError, match="several players"):
        GameTree.from_world("FrozenLake")
    with pytest.raises(UsageError, match="more than 1,000 histories"):
        GameTree.from_world("TicTacToe", 1_000)
    with pytest.raises(UsageError, match=r"player 2 of KuhnPoker"):
        KUHN.best_response(KUHN.uniform_policy(), 2)
    with pytest.raises(UsageError, match=r"a policy of shape \[2, 2\]"):
        KUHN.nash_conv(np.ones((2, 2)))
    with pytest.raises(UsageError, match="in information set 0"):
        KUHN.nash_conv(np.ones((12, 2)))
    with pytest.raises(UsageError, match="did you mean 'cfr\\+'"):
        cfr(KUHN, 10, "crf+")
    with pytest.raises(UsageError, match="iterations = 0"):
        cfr(KUHN, 0)


def test_the_value_of_a_zero_sum_game_by_both_routes():
    payoffs = payoffs_of("RockPaperScissors")
    assert zero_sum_equilibrium(payoffs[0]).values[0] == pytest.approx(
        cfr("RockPaperScissors", 20).returns[0], abs=1e-12
    )


class Coin(NamedTuple):
    move: int
    turn: int


class Unit(NamedTuple):
    pass


class HiddenChoice(World):
    """A user's game: the first chooses, the second answers without having seen it; 3, −1 / −2, 1 for the first."""

    State, Params, Purpose = Coin, Unit, Unit
    players, gamma = 2, 1.0
    actions = ("left", "right")

    @staticmethod
    def initial(params, branch):
        return 1.0, Coin(0, 0)

    @staticmethod
    def mover(params, state):
        return state.turn

    @staticmethod
    def transition(params, state, action, branch):
        return 1.0, Coin(action, 1) if state.turn == 0 else Coin(2 * state.move + action, 2)

    @staticmethod
    def reward(params, purpose, state, action, next_state):
        if next_state.turn < 2:
            return 0.0, 0.0
        paid = (3.0, -1.0, -2.0, 1.0)[next_state.move]
        return paid, 0.0 - paid

    @staticmethod
    def terminal(params, purpose, state):
        return state.turn == 2

    @staticmethod
    def observation(params, state, player):
        return state.turn, (state.move if player == 0 else 0)

    @staticmethod
    def observations(params):
        return spaces.MultiDiscrete(np.array([3, 4]))


@pytest.mark.parametrize(("variant", "bar"), [("cfr", 0.1), ("cfr+", 4e-3), ("discounted", 0.06)])
def test_a_users_own_game_of_hidden_choices(variant, bar):
    """The value of a 2×2 game without a saddle point is (ad − bc)/(a + d − b − c) = 1/7, with 3/7 of the first row."""
    found = cfr(HiddenChoice(), iterations=800, variant=variant)
    assert found.returns[0] == pytest.approx(1 / 7, abs=bar)
    assert found.exploitability < bar
    assert zero_sum_equilibrium([[3, -1], [-2, 1]]).values[0] == pytest.approx(1 / 7)
    assert found.policy[found.tree.owner == 0][0] == pytest.approx([3 / 7, 4 / 7], abs=3 * bar)
