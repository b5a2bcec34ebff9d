from __future__ import annotations

import itertools

import numpy as np
import pytest

from inscape.agents.interface import Agent
from inscape.agents.multi_agent.self_play import PRESENT, GameTable, Member, Pool, SelfPlay, match
from inscape.agents.registry import make_agent
from inscape.agents.rollout import evaluate_players, rollout
from inscape.envs.tasks.resolve import resolve_task
from inscape.errors import UsageError
from inscape.experiments.runs.storage.checkpoints import load_checkpoint, save_checkpoint

TICTACTOE = resolve_task("TicTacToe")
KUHN = resolve_task("KuhnPoker")
SMALL = {"num_envs": 8, "num_steps": 16, "epochs": 2, "minibatches": 2, "hidden": (16,)}
TINY = {"add_every": 128, "pool_size": 2, "games": 8, "learner_settings": SMALL}


class Fixed(Agent):
    """Takes the first or the last legal action."""

    def __init__(self, last=False):
        self.last = last

    def act(self, observation, action_mask=None):
        return self.action_log_probs(observation, action_mask).argmax(axis=1)

    def action_log_probs(self, observation, action_mask=None):
        legal = np.ones((len(observation), 3), bool) if action_mask is None else action_mask
        columns = np.arange(legal.shape[1])
        best = np.where(legal, columns if self.last else -columns, -99).argmax(axis=1)
        return np.where(columns == best[:, None], 0.0, -np.inf)


def flat(state, prefix=""):
    """Returns every array and number of a nested state by its path."""
    if isinstance(state, dict):
        return {k: v for key, entry in state.items() for k, v in flat(entry, f"{prefix}/{key}").items()}
    if isinstance(state, (list, tuple)):
        return {k: v for key, entry in enumerate(state) for k, v in flat(entry, f"{prefix}/{key}").items()}
    return {prefix: state}


def assert_same(one, other):
    first, second = flat(one), flat(other)
    assert first.keys() == second.keys()
    for name, value in first.items():
        if "acting" in name:  # a separate random generator, which evaluation advances
            continue
        assert np.array_equal(value, second[name]), name


def lost_games(agent, seat):
    """Returns how many games an agent loses in a seat, over every sequence of replies, and how many games there are."""
    world, rng = TICTACTOE.world, np.random.default_rng(0)
    states, lost, total = world.sample_initial(1, rng), 0, 0
    while len(states):
        legal, mine = world.legal_actions(states), world.mover_of(states) == seat
        own = np.flatnonzero(mine)
        answers = agent.act(world.observe(states[own]), legal[own]) if len(own) else np.zeros(0, int)
        replies = np.argwhere(legal & ~mine[:, None])
        rows, actions = np.concatenate([own, replies[:, 0]]), np.concatenate([answers, replies[:, 1]])
        following, rewards, ended = world.step(states[rows], actions, rng)
        lost += int((rewards[ended, seat] < 0).sum())
        total += int(ended.sum())
        states = following[~ended]
    return lost, total


# ----------------------------------------------------------------------------------------------------- the pool


def members(*steps):
    return [Member(number, at, Fixed()) for number, at in enumerate(steps, 1)]


def test_the_pool_keeps_its_past_spread_out():
    """First and newest stay; of the others whoever has the closest neighbours goes."""
    pool = Pool(0.5, 0.0)
    for member in members(0, 10, 20, 100, 110):
        pool.add(member, 4)
    assert [m.steps for m in pool.members] == [0, 20, 100, 110]
    pool.add(Member(6, 120, Fixed()), 4)
    assert [m.steps for m in pool.members] == [0, 20, 100, 120]
    alone = Pool(0.5, 0.0)
    for member in members(0, 10, 20):
        alone.add(member, 1)
    assert [m.steps for m in alone.members] == [20]


def test_opponents_are_drawn_in_their_shares():
    pool = Pool(0.25, 0.0)
    assert pool.drawn(np.array([0.9])).tolist() == [PRESENT]  # nobody else yet
    pool.members = members(0, 10, 20)
    numbers = (np.arange(1200) + 0.5) / 1200
    names, counts = np.unique(pool.drawn(numbers), return_counts=True)
    assert dict(zip(names.tolist(), counts.tolist(), strict=True)) == {PRESENT: 300, 1: 300, 2: 300, 3: 300}
    only = Pool(1.0, 0.0)
    only.members = members(0)
    assert (only.drawn(numbers) == PRESENT).all()


def test_opponents_choose_as_themselves_or_at_random():
    """The present self takes the last, number 1 the first; a share of 0.3 is uniform over the legal ones. Whoever has
    left is played by the next one after it."""
    pool = Pool(0.5, 0.3)
    pool.present, pool.members = Fixed(last=True), [Member(2, 0, Fixed())]
    mask = np.array([[True, True, True], [False, True, True], [True, True, False], [True, False, False]])
    found = pool.probabilities(np.array([PRESENT, 2, 1, PRESENT]), np.zeros(4, int), np.zeros((4, 1)), mask)
    assert np.allclose(found, [[0.1, 0.1, 0.8], [0, 0.85, 0.15], [0.85, 0.15, 0], [1, 0, 0]])
    free = pool.probabilities(np.array([PRESENT]), np.zeros(1, int), np.zeros((1, 1)), None)
    assert np.allclose(free, [[0.1, 0.1, 0.8]])


# -------------------------------------------------------------------------------------------------------- games


def test_matches_by_hand():
    """First free cell against last free cell: whoever begins fills three in a row first, from either seat."""
    rng = np.random.default_rng(0)
    first, last = Fixed(), Fixed(last=True)
    opening = rollout([first, last], TICTACTOE, 1, seed=0)[0].total_reward[0]
    answering = rollout([last, first], TICTACTOE, 1, seed=0)[0].total_reward[1]
    won = 4 * [opening, answering].count(1.0)
    lost = 4 * [opening, answering].count(-1.0)
    assert match(TICTACTOE, first, last, 8, rng).tolist() == [won, 8 - won - lost, lost]
    games = resolve_task("RockPaperScissors")
    assert match(games, first, last, 10, rng).tolist() == [10, 0, 0]  # rock against scissors
    assert match(games, last, first, 10, rng).tolist() == [0, 0, 10]
    assert match(games, last, last, 10, rng).tolist() == [0, 10, 0]


def test_the_table_of_games_gives_elo():
    """Three of four points against a random player, and a prior draw: 3.5 to 1.5, odds 7/3."""
    table = GameTable()
    assert table.join() == 1
    table.record(1, 0, np.array([2, 2, 0]))
    assert table.scores.tolist() == [[0, 1], [3, 0]]
    assert np.allclose(table.ratings(), [0, 400 * np.log10(7 / 3)])


# ----------------------------------------------------------------------------------------------------- learning


@pytest.mark.slow
def test_it_learns_to_beat_a_random_player():
    own = {"num_envs": 64, "entropy_coef": 0.01, "hidden": (64, 64)}
    agent = make_agent("self-play", TICTACTOE, settings={"add_every": 10_000, "games": 60, "learner_settings": own})
    curves = [row for row in agent.learn(TICTACTOE, 30_000) if "elo" in row]
    assert [row["pool"] for row in curves] == [2, 3, 4]
    assert curves[-1]["elo"] > curves[0]["elo"] > 0
    assert curves[-1]["win_rate/random"] > 0.55
    assert {"draw_rate/random", "win_rate/pool", "draw_rate/pool", "policy_loss"} <= curves[-1].keys()
    first, second = evaluate_players([agent, make_agent("random", TICTACTOE)], TICTACTOE, 200, seed=0)
    assert first.mean > 0.7
    assert np.allclose(first.returns + second.returns, 0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_it_never_loses_tic_tac_toe_from_the_first_seat(seed):
    """Not one of 1,000 games against a random player, nor any game at all against any player."""
    agent = make_agent("self-play", TICTACTOE, seed=seed, settings={"games": 0})
    list(agent.learn(TICTACTOE, 400_000))
    found = evaluate_players([agent, make_agent("random", TICTACTOE, seed=1)], TICTACTOE, 1000, seed=seed)
    assert (found[0].returns >= 0).all()
    lost, total = lost_games(agent, 0)
    assert lost == 0
    assert total > 50


def test_lost_games_are_counted():
    """Whoever takes the first free cell in the second seat loses to some, and the first seat's games are all games of
    the replies."""
    lost, total = lost_games(Fixed(), 1)
    assert 0 < lost < total
    assert lost_games(Fixed(), 0)[1] < 9 * 7 * 5 * 3  # replies in at most four moves


def kuhn_policy(agent):
    """Returns `[3, 4]` probability of `bet` by card and history ("", p, b, pb)."""
    seen = np.array([[card, history] for card in range(3) for history in range(4)])
    return np.exp(agent.policy_log_probs(seen))[:, 1].reshape(3, 4)


def kuhn_value(first, second):
    """Returns what the first player gains on average, by going through every deal; policies as `kuhn_policy` gives."""
    total = 0.0
    for own, other in itertools.permutations(range(3), 2):
        show = 1.0 if own > other else -1.0
        opens, answers, calls, later = first[own, 0], second[other, 1], second[other, 2], first[own, 3]
        after_pass = answers * (later * 2 * show - (1 - later)) + (1 - answers) * show
        after_bet = calls * 2 * show + (1 - calls)
        total += opens * after_bet + (1 - opens) * after_pass
    return total / 6


def kuhn_exploitability(policy):
    """Returns the mean of what best responses gain from either seat; 0 in equilibrium. Pure responses are enough."""
    pure = [np.array(choice, float).reshape(3, 2) for choice in itertools.product((0, 1), repeat=6)]

    def placed(choice, columns):
        table = np.zeros((3, 4))
        table[:, columns] = choice
        return table

    best_first = max(kuhn_value(placed(choice, [0, 3]), policy) for choice in pure)
    best_second = max(-kuhn_value(policy, placed(choice, [1, 2])) for choice in pure)
    return (best_first + best_second) / 2


def test_exploitability_of_kuhn_poker_by_hand():
    """0 at Kuhn's equilibria, whose value is −1/18; a policy that always passes gives away both antes."""
    for alpha in (0.0, 1 / 3):
        policy = np.array([[alpha, 1 / 3, 0, 0], [0, 0, 1 / 3, alpha + 1 / 3], [3 * alpha, 1, 1, 1]])
        assert np.isclose(kuhn_value(policy, policy), -1 / 18)
        assert np.isclose(kuhn_exploitability(policy), 0.0)
    # against one who always folds, betting wins the ante each time
    assert np.isclose(kuhn_exploitability(np.zeros((3, 4))), 1.0)


@pytest.mark.slow
def test_poker_is_learned_from_both_seats():
    """Self-play of plain PPO does not find the equilibrium of a game that needs mixing; with much entropy it stays
    near one (uniform play is exploited for 11/24)."""
    assert np.isclose(kuhn_exploitability(np.full((3, 4), 0.5)), 11 / 24)
    agent = make_agent("self-play", KUHN, settings={"games": 0, "random_moves": 0.0})
    list(agent.learn(KUHN, 40_000))
    policy = kuhn_policy(agent)
    assert (np.diff(policy[:, 2]) > 0).all()  # the better the card, the more it calls
    assert policy[2, 2] > 0.8
    assert kuhn_exploitability(policy) < 0.2


# ----------------------------------------------------------------------------------------------------- resuming


@pytest.mark.quick("dqn")
@pytest.mark.parametrize("learner", ["ppo", "dqn"])
def test_resuming_is_exact(learner, tmp_path):
    """Pool, table of games, who plays whom and the learner: saved, loaded into a fresh agent, continued, the same."""
    settings = TINY
    if learner == "dqn":
        own = {"num_envs": 8, "learning_starts": 64, "buffer_size": 400, "report_every": 128, "hidden": (16,)}
        settings = {**TINY, "learner": "dqn", "learner_settings": own}
    whole, half, resumed = (make_agent("self-play", TICTACTOE, seed=3, settings=settings) for _ in range(3))
    list(whole.learn(TICTACTOE, 128 * 7))
    learning = half.learn(TICTACTOE, 128 * 7)
    for _ in range(4):
        next(learning)
    evaluate_players(half, TICTACTOE, 2, seed=0)  # looking at it changes nothing
    save_checkpoint(tmp_path / "step", half.state_dict())
    resumed.load_state_dict(load_checkpoint(tmp_path / "step")[0])
    assert len(list(resumed.learn(TICTACTOE, 128 * 7))) == 3
    state = whole.state_dict()
    assert [entry["steps"] for entry in state["pool"]] == [0, 896]
    assert len(state["scores"]) == 9
    assert_same(resumed.state_dict(), state)


def test_a_saved_agent_keeps_its_learners_settings(monkeypatch, tmp_path):
    """Those of a preset too, which may be another, or none, when it is loaded."""
    saved = make_agent("self-play", KUHN)
    assert saved.learner.settings.hidden == (32,)
    save_checkpoint(tmp_path / "step", saved.state_dict())
    monkeypatch.setattr("inscape.agents.presets.PRESETS", {})
    loaded = make_agent("self-play", KUHN)
    assert loaded.learner.settings.hidden == (64, 64)
    loaded.load_state_dict(load_checkpoint(tmp_path / "step")[0])
    assert loaded.learner.settings == saved.learner.settings
    assert loaded.pool.present is loaded.learner
    assert np.array_equal(kuhn_policy(loaded), kuhn_policy(saved))
    other = make_agent("self-play", KUHN, settings={"learner_settings": {"hidden": [8]}})
    with pytest.raises(UsageError, match="do not fit"):
        other.load_state_dict(load_checkpoint(tmp_path / "step")[0])


def test_same_seed_same_games():
    one, two, other = (make_agent("self-play", TICTACTOE, seed=s, settings=TINY) for s in (1, 1, 2))
    for agent in (one, two, other):
        list(agent.learn(TICTACTOE, 300))
    assert_same(one.state_dict(), two.state_dict())
    assert not np.array_equal(one.table.scores, other.table.scores)


def test_past_selves_are_frozen():
    agent = make_agent("self-play", TICTACTOE, settings={**TINY, "pool_size": 9, "games": 0})
    board, mask = np.zeros((1, 3, 3, 2), np.int8), np.ones((1, 9), bool)
    now = agent.policy_log_probs(board, mask)
    list(agent.learn(TICTACTOE, 128 * 3))
    assert np.array_equal(agent.pool.members[0].agent.policy_log_probs(board, mask), now)
    looks = [m.agent.policy_log_probs(board, mask) for m in agent.pool.members]
    assert len({look.tobytes() for look in looks}) == 4
    assert np.array_equal(looks[-1], agent.policy_log_probs(board, mask))


# ----------------------------------------------------------------------------------------------------- refusals


def test_refusals():
    for settings, message in (
        ({"pool_size": 0}, "pool_size = 0"),
        ({"games": -1}, "games = -1"),
        ({"present": 1.5}, "present = 1.5"),
        ({"random_moves": -0.1}, "random_moves = -0.1"),
        ({"learner": "random"}, "random as an opponent of itself"),
        ({"learner": "recurrent-ppo"}, "recurrent-ppo remembers"),
        ({"learner": "pop"}, "no agent 'pop'"),
        ({"learner": "sac"}, r"Discrete\(9\) of TicTacToe[\s\S]*--learner ppo or dqn"),
        ({"learner_settings": {"num_env": 3}}, "no setting 'num_env'"),
    ):
        with pytest.raises(UsageError, match=message):
            make_agent("self-play", TICTACTOE, settings=settings)
    with pytest.raises(UsageError, match="CartPole has one player"):
        SelfPlay(resolve_task("CartPole"))


def test_a_learner_that_plays_while_it_is_made_is_refused():
    pytest.importorskip("transformers")  # whose agent makes its tokenizer from played episodes
    with pytest.raises(UsageError, match="plays while it is made"):
        make_agent("self-play", resolve_task("TicTacToe"), settings={"learner": "llm"})
