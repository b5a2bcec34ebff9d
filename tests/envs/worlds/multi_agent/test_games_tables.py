"""Matrix games, Kuhn poker, guess two thirds, money request: values known in closed form."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
from scipy.optimize import linprog

from inscape.envs.registry import make_world
from inscape.envs.worlds.multi_agent.kuhn_poker import CARDS, HISTORIES, KuhnPoker, KuhnState
from inscape.envs.worlds.multi_agent.matrix_game import GAMES, MatrixGame, MatrixState, MoneyRequest
from inscape.errors import PartialObservationError, UsageError

# ------------------------------------------------------------------------------------------- Kuhn poker


def kuhn_plans() -> list[list[dict[tuple[int, int], int]]]:
    """All deterministic plans of each player: an action for each (card, history) it may have to act at."""
    found = []
    for histories in ((0, 3), (1, 2)):
        places = list(itertools.product(range(3), histories))
        found.append([dict(zip(places, choice)) for choice in itertools.product((0, 1), repeat=len(places))])
    return found


def kuhn_return(world: KuhnPoker, plans: tuple[dict, dict]) -> Fraction:
    """What player 0 gets on average over the deals, by the law alone."""
    total = Fraction(0)
    for deal in range(6):
        probability, state = world.initial(world.params, deal)
        assert probability == pytest.approx(1 / 6)
        while not world.terminal(world.params, world.purpose, state):
            player = world.mover(world.params, state)
            action = plans[player][world.observation(world.params, state, player)]
            (_, following) = world.transition(world.params, state, action, 0)
            gained = world.reward(world.params, world.purpose, state, action, following)
            assert gained[0] + gained[1] == 0
            total += Fraction(gained[0]) / 6
            state = following
    return total


@pytest.fixture(scope="module")
def kuhn_table() -> np.ndarray:
    """`[64, 64]` average return of player 0 for each pair of plans, in eighteenths (whole numbers)."""
    world = make_world("KuhnPoker")
    first, second = kuhn_plans()
    table = [[kuhn_return(world, (one, two)) * 18 for two in second] for one in first]
    assert all(value.denominator == 1 for row in table for value in row)
    return np.array([[int(value) for value in row] for row in table])


def game_value(table: np.ndarray) -> tuple[float, np.ndarray]:
    """Value of a zero-sum game for the player of the rows, and a mixed plan that secures it (linear programme)."""
    rows, columns = table.shape
    result = linprog(
        c=np.r_[np.zeros(rows), -1.0],
        A_ub=np.c_[-table.T, np.ones(columns)], b_ub=np.zeros(columns),
        A_eq=np.r_[np.ones(rows), 0.0][None], b_eq=[1.0],
        bounds=[(0, None)] * rows + [(None, None)],
    )  # fmt: skip
    assert result.success
    return -result.fun, result.x[:-1]


def test_kuhn_pokers_value_is_minus_one_eighteenth(kuhn_table):
    """Every plan of both players is enumerated (64 × 64, six deals each) and the game solved from both sides."""
    assert kuhn_table.shape == (64, 64)
    low, _ = game_value(kuhn_table / 18)
    high, _ = game_value(-kuhn_table.T / 18)
    assert low == pytest.approx(-1 / 18, abs=1e-9)
    assert -high == pytest.approx(-1 / 18, abs=1e-9)


@pytest.mark.parametrize("alpha", [Fraction(0), Fraction(1, 5), Fraction(1, 3)])
def test_kuhns_own_equilibria_cannot_be_exploited(kuhn_table, alpha):
    """Kuhn (1950): the first player bets the jack with probability α ≤ 1/3, the king with 3α, and calls with the queen
    with α + 1/3; the second bluffs with the jack and calls with the queen, each with probability 1/3."""
    third = Fraction(1, 3)
    no, yes = Fraction(0), Fraction(1)
    bets = [  # probability of betting, by (card, history)
        {(0, 0): alpha, (1, 0): no, (2, 0): 3 * alpha, (0, 3): no, (1, 3): alpha + third, (2, 3): yes},
        {(0, 1): third, (1, 1): no, (2, 1): yes, (0, 2): no, (1, 2): third, (2, 2): yes},
    ]
    mixed = []
    for plans, bet in zip(kuhn_plans(), bets):
        weights = [Fraction(1)] * len(plans)
        for k, plan in enumerate(plans):
            for place, action in plan.items():
                weights[k] *= bet[place] if action == 1 else 1 - bet[place]
        assert sum(weights) == 1
        mixed.append(weights)
    against_first = [sum(w * int(v) for w, v in zip(mixed[0], column)) for column in kuhn_table.T]
    against_second = [sum(w * int(v) for w, v in zip(mixed[1], row)) for row in kuhn_table]
    assert min(against_first) == -1  # eighteenths: the best the second player can do to this plan
    assert max(against_second) == -1


def test_kuhn_poker_hides_the_others_card():
    world = make_world("KuhnPoker")
    law = world.dynamics()
    assert len(law) == 6 * len(HISTORIES)
    assert law.initial.sum() == pytest.approx(1)
    for player, cards in enumerate((law.states.ints[0], law.states.ints[1])):
        seen = world.observe(law.states, player)
        assert np.array_equal(seen, np.stack([cards, law.states.ints[2]], axis=1))
    with pytest.raises(PartialObservationError):
        world.states_of(world.observe(law.states)[:1])
    for other in (1, 2):  # words and picture from the mover's side do not depend on the card it cannot see
        for history, mine in ((0, "first"), (3, "first")):
            states = world.pack([KuhnState(0, other, history), KuhnState(0, 3 - other, history)])
            assert world.describe_state(states, 0) == world.describe_state(states, 1)
            assert f"you are {mine}, your card: jack" in world.describe_state(states, 0)
            assert world.scene(states, 0) == world.scene(states, 1)
        folded = world.pack([KuhnState(0, other, 7), KuhnState(0, 3 - other, 7)])
        assert world.describe_state(folded, 0) == world.describe_state(folded, 1)
        assert world.scene(folded, 0) == world.scene(folded, 1)
    shown = world.describe_state(world.pack([KuhnState(2, 1, 8)]))
    assert all(card in shown for card in (CARDS[2], CARDS[1]))


def test_kuhn_pokers_stakes_are_settings():
    world = make_world("KuhnPoker", ante=2.0, bet=3.0)
    called = world.reward(world.params, world.purpose, KuhnState(2, 0, 2), 1, KuhnState(2, 0, 6))
    folded = world.reward(world.params, world.purpose, KuhnState(0, 2, 2), 0, KuhnState(0, 2, 5))
    assert (called, folded) == ((5.0, -5.0), (2.0, -2.0))


# ------------------------------------------------------------------------------------------- payoff tables


def payoffs_played(world) -> np.ndarray:
    """`[2, A, B]` rewards of every joint action, through the compiled law."""
    count = world.num_actions
    joint = world.joint_actions(np.arange(count * count))
    states = world.pack([MatrixState(0, 0, 0)] * len(joint))
    _, rewards, ended = world.step(states, joint, np.random.default_rng(0))
    assert ended.all() == (world.params.rounds == 1)
    return rewards.T.reshape(2, count, count)


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("RockPaperScissors", [[0, -1, 1], [1, 0, -1], [-1, 1, 0]]),
        ("PrisonersDilemma", [[3, 0], [5, 1]]),
        ("MatrixStagHunt", [[4, 0], [3, 3]]),
        ("Schelling", [[1, 0], [0, 1]]),
    ],
)
def test_named_games_pay_what_their_tables_say(name, first):
    table = payoffs_played(make_world(name))
    assert table[0].tolist() == first
    assert np.array_equal(table[1], table[0].T)


def test_named_games_are_the_dilemmas_they_are_called():
    games = {name: np.array(game.payoffs) for name, game in GAMES.items()}
    (reward, sucker), (temptation, punishment) = games["prisoners-dilemma"]
    assert temptation > reward > punishment > sucker
    assert 2 * reward > temptation + sucker
    (together, alone), (hare, hares) = games["stag-hunt"]
    assert together > hare >= hares > alone
    assert game_value(games["rock-paper-scissors"].astype(float))[0] == pytest.approx(0, abs=1e-9)
    assert np.allclose(game_value(games["rock-paper-scissors"].astype(float))[1], 1 / 3)


def test_a_table_of_ones_own_need_not_be_square():
    table = np.arange(12.0).reshape(2, 2, 3)
    world = MatrixGame(payoffs=table, names=("left", "middle", "right"))
    states = world.pack([MatrixState(0, 0, 0)])
    assert world.legal_actions(states)[0].tolist() == [[True, True, False], [True, True, True]]
    env = world.parallel_env()
    env.reset(seed=0)
    with pytest.raises(UsageError, match="'right' of player_0 is illegal"):
        env.step({"player_0": 2, "player_1": 0})
    assert env.step({"player_0": 1, "player_1": 2})[1] == {"player_0": 5.0, "player_1": 11.0}
    assert "left-right 2, 8" in world.describe_state(states)
    assert MatrixGame().law_function("legal") is None  # nothing to forbid in a square one


def test_rounds_show_the_last_joint_action_or_not():
    for remember in (True, False):
        env = make_world("PrisonersDilemma", rounds=3, remember=remember).parallel_env()
        env.reset(seed=0)
        observations, rewards, terminated, _, _ = env.step({"player_0": 1, "player_1": 0})
        assert rewards == {"player_0": 5.0, "player_1": 0.0}
        assert observations["player_0"].tolist() == ([1, 2, 1] if remember else [1, 0, 0])  # own first
        assert observations["player_1"].tolist() == ([1, 1, 2] if remember else [1, 0, 0])
        assert not any(terminated.values())
        env.step({"player_0": 0, "player_1": 0})
        assert all(env.step({"player_0": 0, "player_1": 0})[2].values())


def test_care_for_the_other_turns_the_dilemma():
    game = make_world("PrisonersDilemma", rounds=1)
    own = payoffs_played(game)
    both = payoffs_played(game.with_purpose("prosocial"))
    assert np.array_equal(both, np.stack([own.sum(0)] * 2))
    assert both[0].argmax() == 0  # cooperate, cooperate
    rivals = payoffs_played(game.with_purpose("competitive"))
    assert np.array_equal(rivals[0], own[0] - own[1])
    mixed = payoffs_played(make_world("PrisonersDilemma", rounds=1, care=(0.5, 0.0)))
    assert np.array_equal(mixed, np.stack([own[0] + 0.5 * own[1], own[1]]))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"payoffs": [[1, 2], [3, 4]]}, r"shape \[2, 2\]\n(.|\n)*\[table, -table\]"),
        ({"payoffs": np.zeros((3, 2, 2))}, r"shape \[3, 2, 2\]\n.*\[2, A, B\]"),
        ({"payoffs": np.zeros((2, 0, 2))}, r"shape \[2, 0, 2\]"),
        ({"payoffs": [[[1, 2], [3]], [[1, 2], [3, 4]]]}, "rows of different lengths"),
        ({"payoffs": [[[0, np.nan]], [[0, 0]]]}, "payoff nan of player 0 at row 0, column 1"),
        ({"payoffs": "chicken"}, "no game named 'chicken'"),
        ({"names": ("rock", "paper")}, "2 names for 3 actions"),
        ({"rounds": 0}, "rounds = 0"),
        ({"care": (1.0, 2.0, 3.0)}, "care has 3 values"),
    ],
)
def test_bad_tables_are_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        MatrixGame(**settings)


# ------------------------------------------------------------------------------------------- money request


def test_money_request_pays_what_is_asked_and_the_bonus():
    table = payoffs_played(make_world("MoneyRequest"))
    for first, second in itertools.product(range(11, 21), repeat=2):
        expected = first + (20 if first == second - 1 else 0), second + (20 if second == first - 1 else 0)
        assert tuple(table[:, first - 11, second - 11]) == expected


def test_money_requests_equilibrium_is_the_published_one():
    """Arad & Rubinstein (2012), table 1: 15 … 20 with 25, 25, 20, 15, 10, 5 %; nobody gains by asking otherwise."""
    world = make_world("MoneyRequest")
    mix = np.array([0, 0, 0, 0, 25, 25, 20, 15, 10, 5]) / 100
    expected = world.params.payoffs[0] @ mix
    assert expected.max() == pytest.approx(20)
    assert np.allclose(expected[mix > 0], 20)


def test_money_request_takes_other_amounts():
    world = MoneyRequest(low=2, high=5, bonus=7.0)
    assert world.action_names == ("2", "3", "4", "5")
    assert payoffs_played(world)[0, 1, 2] == 10.0
    for settings in ({"low": 20, "high": 20}, {"low": -1}, {"bonus": float("inf")}):
        with pytest.raises(UsageError):
            MoneyRequest(**settings)


# ------------------------------------------------------------------------------------------- guess two thirds


def plain_shares(guesses, fraction) -> list[Fraction]:
    """The rule in exact arithmetic."""
    target = fraction * Fraction(sum(guesses), len(guesses))
    distances = [abs(Fraction(guess) - target) for guess in guesses]
    won = [distance == min(distances) for distance in distances]
    return [Fraction(int(w), sum(won)) for w in won]


@pytest.mark.parametrize("players", [2, 3, 5])
def test_the_nearest_guesses_share_the_prize(players):
    world = make_world("GuessTwoThirds", players=players, prize=10.0)
    rng = np.random.default_rng(players)
    guesses = rng.integers(0, 101, (3000, players))
    guesses[::3] = rng.integers(0, 6, (1000, players))  # ties
    states = world.pack([world.State(0, (0,) * players)] * len(guesses))
    following, rewards, ended = world.step(states, guesses, rng)
    assert ended.all()
    expected = [[10.0 * float(share) for share in plain_shares(row, Fraction(2, 3))] for row in guesses.tolist()]
    assert np.allclose(rewards, expected)
    assert np.allclose(rewards.sum(1), 10.0)
    assert (rewards > 0).sum(1).max() > 1
    assert np.array_equal(following.ints[1:], guesses.T + 1)
    seen = world.observe(following, player=players - 1)
    assert np.array_equal(seen[:, 1], guesses[:, -1] + 1)  # the observer's own first


def test_two_guessers_low_wins_and_all_zero_is_the_equilibrium():
    world = make_world("GuessTwoThirds", players=2)
    state = world.State(0, (0, 0))
    for one, two in itertools.combinations(range(101), 2):
        assert world.reward(world.params, world.purpose, state, (one, two), state) == (1.0, 0.0)
    three = make_world("GuessTwoThirds")
    for other in range(1, 101):  # nobody gains by leaving zero
        gained = three.reward(three.params, three.purpose, None, (other, 0, 0), None)
        assert gained == (0.0, 0.5, 0.5)


def test_bad_settings_of_the_guessing_game_are_refused():
    for settings, message in (
        ({"players": 1}, "players = 1"), ({"players": 33}, "at most 32"), ({"highest": 0}, "highest = 0"),
        ({"fraction": float("nan")}, "fraction = nan"), ({"rounds": 1.5}, "rounds = 1.5"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=message):
            make_world("GuessTwoThirds", **settings)
