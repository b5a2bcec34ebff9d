"""Level-k thinking against published predictions, and responses against other routes to them."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np
import pytest

from inscape import World, make_world, solve
from inscape.errors import MissingLawError, UsageError
from inscape.theory_of_mind import Best, against, as_game, cognitive_hierarchy, follow, level_k
from inscape.theory_of_mind.recursion.levels import poisson
from inscape.world_models import GameTree, TabularModel, cfr, policy_evaluation
from tests.theory_of_mind.worlds import Corridor


class PileState(NamedTuple):
    left: int
    mover: int


class Pile(World):
    """Nim of one pile: take one or two; who takes the last wins. A slip leaves one of them."""

    State = PileState
    players = 2
    actions = ("one", "two")
    branches = 2
    gamma = 0.9

    @staticmethod
    def initial(params, branch):
        return 1.0, PileState(4, 0)

    @staticmethod
    def mover(params, state):
        return state.mover

    @staticmethod
    def transition(params, state, action, branch):
        taken = min(action + 1, state.left)
        left = state.left - taken if branch == 0 else state.left - 1
        probability = 0.75 if branch == 0 else 0.25
        return probability, PileState(left, 1 - state.mover)

    @staticmethod
    def reward(params, purpose, state, action, next_state):
        won = 1.0 if next_state.left == 0 else 0.0
        return (won, -won) if state.mover == 0 else (-won, won)

    @staticmethod
    def terminal(params, purpose, state):
        return state.left == 0


PILE = Pile()
REPEATED = make_world("PrisonersDilemma", rounds=3)


def random_policies(game: Any, rng: np.random.Generator) -> Any:
    """A policy for each player, of random probabilities of its legal actions."""
    found = []
    for player in range(game.players):
        weights = rng.random(game.uniform(player).shape) * (game.uniform(player) > 0)
        found.append(weights / np.maximum(weights.sum(axis=-1, keepdims=True), 1e-300))
    return tuple(found)


def test_levels_of_the_11_20_game_are_those_published() -> None:
    """Arad & Rubinstein (2012), American Economic Review 102(7): L0 asks for 20, L1 19, L2 18, L3 17."""
    levels = level_k("MoneyRequest", 9, base="20")
    assert [levels.choices(k) for k in range(10)] == [[str(20 - k)] for k in range(10)]
    assert level_k("MoneyRequest", 2).choices(1) == ["19"]  # against a uniform level 0, too


def test_a_population_of_deep_thinkers_is_level_k() -> None:
    """At τ = 10⁹ hardly anybody is of another level than the highest: each level answers the one below."""
    hierarchy, levels = cognitive_hierarchy("MoneyRequest", 60, 1e9, base="20"), level_k("MoneyRequest", 60, base="20")
    assert [hierarchy.choices(k) for k in range(61)] == [levels.choices(k) for k in range(61)]
    shallow = cognitive_hierarchy("MoneyRequest", 5, 0.0, base="20")
    assert [shallow.choices(k) for k in range(6)] == [["20"]] + 5 * [["19"]]


def test_requests_of_a_cognitive_hierarchy_are_those_published() -> None:
    """At τ = 2.36, levels 3 and 4 both ask for 17 (the demo 11-20 of memo, after Arad & Rubinstein 2012)."""
    levels = cognitive_hierarchy("MoneyRequest", 4, 2.36, base="20")
    assert [levels.choices(k) for k in range(5)] == [["20"], ["19"], ["18"], ["17"], ["17"]]


def test_the_equilibrium_of_the_11_20_game_is_the_one_published() -> None:
    """Arad & Rubinstein (2012), table 1: 15 and 16 with 25 %, 17 20 %, 18 15 %, 19 10 %, 20 5 %."""
    printed = np.array([0, 0, 0, 0, 0.25, 0.25, 0.20, 0.15, 0.10, 0.05])
    game = as_game("MoneyRequest")
    assert game.nash_conv((printed, printed)) == pytest.approx(0.0, abs=1e-12)
    assert game.nash_conv((game.uniform(0), game.uniform(1))) > 1.0


def test_a_level_is_the_best_answer_to_the_one_below() -> None:
    rows = np.array([[3.0, 0.0, 1.0], [2.0, 2.5, 0.0], [0.0, 1.0, 2.0]])
    levels = level_k([rows, rows.T], 6)
    for level in range(1, 7):
        below = levels[level - 1][1]
        assert levels[level][0][(rows @ below).argmax()] > 0
    for level in (1, 2):
        soft = level_k([rows, rows.T], 2, chooses=1.7)
        weights = np.exp(1.7 * rows @ soft[level - 1][1])
        np.testing.assert_allclose(soft[level][0], weights / weights.sum(), atol=1e-12)


def test_level_100_costs_what_its_cycle_does_and_is_right() -> None:
    levels = level_k("MoneyRequest", 100, base="20")
    ten = [levels.choices(k)[0] for k in range(11)]
    assert ten[10] in ten[:10]  # it comes round
    first = ten.index(ten[10])
    assert levels.choices(100) == [ten[first + (100 - first) % (10 - first)]]


def test_a_hierarchy_believes_in_poisson_shares_of_the_levels_below() -> None:
    """Camerer, Ho & Chong (2004), section II: with τ = 1.5 level 2 thinks 40 % are level 0 and 60 % level 1."""
    np.testing.assert_allclose(poisson(1.5, 2), [0.4, 0.6], atol=1e-12)
    rows = np.array([[4.0, 0.0], [3.0, 2.0]])
    hierarchy = cognitive_hierarchy([rows, rows.T], 4, 1.5, chooses=2.0)
    for level in range(1, 5):
        shares = poisson(1.5, level)
        below = shares @ np.array([hierarchy[j][1] for j in range(level)])
        weights = np.exp(2.0 * rows @ below)
        np.testing.assert_allclose(hierarchy[level][0], weights / weights.sum(), atol=1e-12)
    mixed = poisson(1.5, 5) @ np.array([hierarchy[j][0] for j in range(5)])
    np.testing.assert_allclose(hierarchy.population()[0], mixed, atol=1e-12)
    assert cognitive_hierarchy([rows, rows.T], 3, 0.0).population()[0].tolist() == [0.5, 0.5]


def test_three_players_answer_both_others() -> None:
    rng = np.random.default_rng(0)
    payoffs = rng.random((3, 2, 3, 4))
    game = as_game(payoffs)
    policies = random_policies(game, rng)
    for player in range(3):
        others = [i for i in range(3) if i != player]
        expected = np.zeros(payoffs.shape[1 + player])
        for actions in itertools.product(*map(range, payoffs.shape[1:])):
            weight = np.prod([policies[i][actions[i]] for i in others])
            expected[actions[player]] += weight * payoffs[(player, *actions)]
        np.testing.assert_allclose(game.values(policies, player), expected, atol=1e-12)


# ------------------------------------------------------------------------------------------------- hidden information


def test_answers_in_poker_are_those_of_the_tree() -> None:
    game, rng = as_game("KuhnPoker"), np.random.default_rng(1)
    for policies in (random_policies(game, rng), tuple(game.uniform(i) for i in range(2))):
        for player in range(2):
            value, _ = game.tree.best_response(game.joined(policies), player)
            answer = game.respond(policies, player, Best())
            mine = tuple(answer if i == player else policies[i] for i in range(2))
            assert game.returns(mine)[player] == pytest.approx(value, abs=1e-12)
        assert game.nash_conv(policies) == pytest.approx(game.tree.nash_conv(game.joined(policies)), abs=1e-12)


def test_level_1_in_kuhn_poker_earns_what_a_best_response_to_uniform_does() -> None:
    levels = level_k("KuhnPoker", 1)
    uniform = tuple(levels.game.uniform(i) for i in range(2))
    # OpenSpiel prints exploitability 0.458333 for the uniform policy of Kuhn poker
    assert levels.game.exploitability(uniform) == pytest.approx(0.458333, abs=5e-7)
    gains = [levels.game.returns((levels[1][0], uniform[1]))[0], levels.game.returns((uniform[0], levels[1][1]))[1]]
    assert gains == pytest.approx([0.5, 5 / 12], abs=1e-12)


def test_an_equilibrium_cannot_be_exploited() -> None:
    tree = GameTree.from_world("KuhnPoker")
    solution = cfr(tree, iterations=2000)
    game = as_game(tree)
    assert game.nash_conv((solution.policy, solution.policy)) < 1e-3


def test_a_population_in_poker_behaves_as_one_of_its_members_drawn_before_the_cards() -> None:
    """Kuhn's theorem: against anybody, the mixture earns the mean of what its members earn."""
    game, rng = as_game("KuhnPoker"), np.random.default_rng(2)
    members = [random_policies(game, rng)[0] for _ in range(3)]
    weights = np.array([0.2, 0.5, 0.3])
    mixture = game.mixed(members, weights, 0)
    for _ in range(3):
        other = random_policies(game, rng)[1]
        apart = sum(w * game.returns((member, other)) for w, member in zip(weights, members))
        np.testing.assert_allclose(game.returns((mixture, other)), apart, atol=1e-12)


# -------------------------------------------------------------------------------------------------- everything seen


@pytest.mark.parametrize("world", [PILE, REPEATED], ids=["in turn", "at once"])
def test_one_players_model_values_what_all_of_them_do(world: Any) -> None:
    """Returns by one player's model against a linear system over the states of everybody."""
    game, rng = as_game(world), np.random.default_rng(3)
    policies, tables = random_policies(game, rng), game.tables
    size = tables.num_states
    for player in range(2):
        flow, paid = np.zeros((size, size)), np.zeros(size)
        for s in range(size):
            for j, moves in enumerate(tables.moves):
                if world.simultaneous:
                    weight = policies[0][s, moves[0]] * policies[1][s, moves[1]]
                else:
                    weight = policies[tables.mover[s]][s, j] if tables.mover[s] >= 0 else 0.0
                paid[s] += weight * tables.rewards(player)[s, j]
                for n, p in zip(tables.next_state[s, j], tables.probability[s, j]):
                    flow[s, n] += weight * p * (not tables.terminal[n])
        values = np.linalg.solve(np.eye(size) - world.gamma * flow, paid)
        assert game.returns(policies)[player] == pytest.approx(tables.initial @ values, abs=1e-9)


def test_the_best_answer_in_a_pile_is_what_solving_its_model_says() -> None:
    other = {1: np.array([0.5, 0.5])}
    model = against(PILE, 0, other)
    assert isinstance(model, TabularModel)
    best = solve(model, 0.9)
    levels = level_k(PILE, 1, gamma=0.9)
    uniform = levels.game.uniform(1)
    assert levels.game.returns((levels[1][0], uniform))[0] == pytest.approx(model.initial @ best.values, abs=1e-9)
    policy = np.eye(2)[best.policy]
    assert (model.initial @ policy_evaluation(model, policy, 0.9)) == pytest.approx(
        model.initial @ best.values, abs=1e-8
    )


def test_level_1_defects_to_the_end_and_so_do_all_above() -> None:
    levels = level_k(REPEATED, 3)
    acts = levels.game.tables.legal[:, 0].any(axis=1)
    for level in (1, 2, 3):
        assert (levels[level][0][acts, 1] == 1.0).all()


def test_following_a_policy_is_evaluating_it() -> None:
    world = Corridor(slip=0.2)
    model = TabularModel.from_world(world, "left end")
    policy = np.full((5, 2), 0.5)
    q_values = follow(model, policy, 0.9)
    values = policy_evaluation(model, policy, 0.9)
    going = ~model.terminal
    np.testing.assert_allclose((policy * q_values).sum(axis=1)[going], values[going], atol=1e-9)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: level_k("MoneyRequest", -1), "level -1"),
        (lambda: level_k("MoneyRequest", 1.5), "level 1.5"),
        (lambda: level_k("MoneyRequest", 1, base="30"), "'30' as level 0"),
        (lambda: level_k("MoneyRequest", 1, base=99), "99 as level 0"),
        (lambda: level_k("KuhnPoker", 1, base="bet"), "a policy, or 'uniform'"),
        (lambda: level_k("MoneyRequest", 1, base={0: "20"}), "no level 0 of player 1"),
        (lambda: level_k("MoneyRequest", 1, base=np.ones(10)), "a distribution"),
        (lambda: level_k("MoneyRequest", 1, base=np.ones(3) / 3), r"\[10\]"),
        (lambda: level_k("MoneyRequest", 1, chooses="worst"), "chooses = 'worst'"),
        (lambda: level_k([[1.0, 2.0], [3.0, 4.0]], 1), "payoffs of shape"),
        (lambda: level_k([np.ones((2, 2)), np.ones((3, 3))], 1), "tables of different shapes"),
        (lambda: level_k([np.full((2, 2), np.nan)] * 2, 1), "finite"),
        (lambda: cognitive_hierarchy("MoneyRequest", 2, -1.0), "tau is -1.0"),
        (lambda: against(PILE, 2, {}), "player 2"),
        (lambda: against(PILE, 0, {}), "no policy of player 1"),
        (lambda: against(PILE, 0, {1: [0.5, 0.6]}), "a distribution over its legal actions"),
        (lambda: level_k("KuhnPoker", 1).choices(1), "all choose once"),
    ],
)
def test_what_is_no_level_is_refused(make: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        make()


def test_worlds_of_one_player_are_refused() -> None:
    for make in (lambda: level_k("FrozenLake", 1), lambda: against(Corridor(), 0, {})):
        with pytest.raises(MissingLawError):
            make()
