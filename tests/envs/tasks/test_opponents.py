from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from inscape.envs.tasks.opponents_task import OpponentsTask
from inscape.envs.tasks.resolve import resolve_task
from inscape.envs.tasks.task import Task
from inscape.envs.world import World
from inscape.errors import UsageError


class Uniform:
    """Plays at random; notes what it was shown."""

    def __init__(self):
        self.seen = []

    def drawn(self, numbers):
        assert ((numbers >= 0) & (numbers < 1)).all()
        return (numbers * 3).astype(np.int64)

    def probabilities(self, opponent, player, observation, mask):
        self.seen.append((opponent, player, observation, mask))
        legal = np.ones((len(player), 3)) if mask is None else mask
        return legal / legal.sum(axis=1, keepdims=True)


class First(Uniform):
    """Takes the first legal action."""

    def probabilities(self, opponent, player, observation, mask):
        super().probabilities(opponent, player, observation, mask)
        chosen = np.zeros(mask.shape)
        chosen[np.arange(len(mask)), mask.argmax(axis=1)] = 1.0
        return chosen


class Second(Uniform):
    """Always the second of three, or of two, actions."""

    def __init__(self, actions):
        super().__init__()
        self.row = np.eye(actions)[1]

    def probabilities(self, opponent, player, observation, mask):
        super().probabilities(opponent, player, observation, mask)
        return np.tile(self.row, (len(player), 1))


def against(name, opponents, seat=None, **settings):
    return OpponentsTask.against(resolve_task(name, settings), opponents, seat)


def cells(board):
    """Returns a tic-tac-toe observation in words: own marks o, the other's x."""
    flat = board.reshape(9, 2)
    return "".join("o" if own else "x" if other else "." for own, other in flat)


def test_a_game_by_hand():
    """The others take the first free cell: the learner in the first seat fills the middle row, they lose."""
    env = against("TicTacToe", First(), seat=0).vector_env(1)
    seen, info = env.reset(seed=0)
    assert cells(seen[0]) == "." * 9
    seen, reward, over, _, info = env.step(np.array([4]))
    assert cells(seen[0]) == "x...o...."
    assert info["action_mask"][0].tolist() == [c == "." for c in "x...o...."]
    seen, reward, over, _, info = env.step(np.array([3]))
    assert (cells(seen[0]), reward[0], over[0]) == ("xx.oo....", 0, False)
    seen, reward, over, late, info = env.step(np.array([5]))
    assert (reward[0], over[0], late[0]) == (1, True, False)
    assert cells(info["final_obs"][0]) == "xx.ooo..."
    assert cells(seen[0]) == "." * 9


def test_a_lost_game_by_hand():
    """In the second seat the others have moved already; their line is the learner's loss, seen from its own side."""
    env = against("TicTacToe", First(), seat=1).vector_env(1)
    seen, _ = env.reset(seed=0)
    assert cells(seen[0]) == "x........"
    env.step(np.array([8]))
    seen, reward, over, _, info = env.step(np.array([7]))
    assert (reward[0], over[0]) == (-1, True)
    assert cells(info["final_obs"][0]) == "xxx....oo"
    assert cells(seen[0]) == "x........"


@pytest.mark.slow
def test_random_play_has_its_known_shares():
    """Both at random, the first wins 58.49 % and the second 28.81 % of games (exact: 737/1260, 121/420)."""
    env = against("TicTacToe", Uniform()).vector_env(256)
    _, info = env.reset(seed=1)
    rng, results = np.random.default_rng(0), [[], []]
    for _ in range(120):
        seats = env.seats
        mask = info["action_mask"]
        _, reward, over, _, info = env.step(np.argmax(mask * (1 + rng.random(mask.shape)), axis=1))
        for copy in np.flatnonzero(over):
            results[seats[copy]].append(reward[copy])
    first, second = (np.array(r) for r in results)
    assert min(len(first), len(second)) > 3000
    assert abs(np.mean(first == 1) - 737 / 1260) < 0.025
    assert abs(np.mean(first == -1) - 121 / 420) < 0.025
    assert abs(np.mean(second == 1) - 121 / 420) < 0.025
    assert abs(np.mean(second == -1) - 737 / 1260) < 0.025


def test_opponents_see_their_own_cards_alone():
    """Kuhn poker: what an opponent is shown is the card of its own seat, and never the learner's."""
    others = Uniform()
    others.probabilities = lambda o, p, seen, m: (others.seen.append((p, seen)), np.full((len(p), 2), 0.5))[1]
    task = against("KuhnPoker", others)
    env = task.vector_env(64)
    env.reset(seed=0)
    rng = np.random.default_rng(0)
    for _ in range(20):
        others.seen.clear()
        env.step(rng.integers(0, 2, 64))
        for player, seen in others.seen:
            opened_by = np.isin(seen[:, 1], (1, 2))  # histories p and b are the second player's to answer
            assert np.array_equal(player == 1, opened_by)
    env = OpponentsTask.against(task.whole, others, seat=0).vector_env(500)
    seen, _ = env.reset(seed=3)
    others.seen.clear()
    env.step(np.zeros(500, np.int64))
    first, second = seen[:, 0], env.states.ints
    answered = others.seen[0]
    assert np.array_equal(answered[0], np.ones(500))
    assert (answered[1][:, 0] != first).all()  # different cards
    assert len(second) == 3


def test_players_at_once():
    """The others always choose paper: scissors win from either seat, rock loses."""
    env = against("RockPaperScissors", Second(3)).vector_env(40)
    env.reset(seed=0)
    assert set(env.seats) == {0, 1}
    for action, gain in ((2, 1.0), (0, -1.0), (1, 0.0)):
        _, reward, over, _, info = env.step(np.full(40, action))
        assert (reward == gain).all()
        assert over.all()
        assert np.array_equal(info["final_obs"], np.tile([1, action + 1, 2], (40, 1)))


def test_players_at_once_may_be_restricted():
    payoffs = [[[1, 2, 3], [4, 5, 6]], [[6, 5, 4], [3, 2, 1]]]
    others = First()
    env = against("RockPaperScissors", others, payoffs=payoffs).vector_env(20)
    _, info = env.reset(seed=0)
    assert np.array_equal(info["action_mask"][:, 2], env.seats == 1)
    gains = np.where(env.seats == 0, 4.0, 5.0)  # row 1 against column 0, column 1 against row 0
    _, reward, *_ = env.step(np.ones(20, np.int64))
    assert np.array_equal(reward, gains)
    for _, player, _, mask in others.seen:
        assert np.array_equal(mask[:, 2], player == 1)


def test_copies_live_their_own_lives_and_go_on_exactly():
    task = against("TicTacToe", Uniform())

    def live(env, steps, info):
        rows = []
        for _ in range(steps):
            seen, reward, over, late, info = env.step(info["action_mask"].argmax(axis=1))
            rows.append((seen, reward, over, late, info["action_mask"], env.seats))
        return rows, info

    many, few, later = task.vector_env(6), task.vector_env(3), task.vector_env(2)
    _, info_many = many.reset(seed=4)
    _, info_few = few.reset(seed=4)
    _, info_later = later.reset(seed=4, options={"first_copy": 4})
    rows, info = live(many, 25, info_many)
    for env, start, part in ((few, info_few, slice(0, 3)), (later, info_later, slice(4, 6))):
        for ours, theirs in zip(live(env, 25, start)[0], rows, strict=True):
            assert all(np.array_equal(a, b[part]) for a, b in zip(ours, theirs, strict=True))
    resumed = task.vector_env(6)
    resumed.reset(seed=99)
    resumed.load_state_dict(many.state_dict())
    for ours, theirs in zip(live(resumed, 25, info)[0], live(many, 25, info)[0], strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))
    with pytest.raises(UsageError, match=r"shapes \(0, 6\)"):
        few.load_state_dict(many.state_dict())


def test_the_time_limit_counts_steps_of_the_law():
    whole = resolve_task("TicTacToe")
    whole = Task(whole.name, whole.world, whole.settings, 3)
    env = OpponentsTask.against(whole, First(), seat=0).vector_env(2)
    env.reset(seed=0)
    assert not env.step(np.array([4, 4]))[3].any()
    _, _, over, late, info = env.step(np.array([8, 8]))
    assert late.all()
    assert not over.any()
    assert cells(info["final_obs"][0]) == "x...o...o"


class Moved(NamedTuple):
    count: int


class Opening(World):
    """The first player moves, and that is all."""

    State = Moved
    players = 2
    actions = ("on", "off")

    @staticmethod
    def initial(params, branch):
        return 1.0, Moved(0)

    @staticmethod
    def mover(params, state):
        return state.count

    @staticmethod
    def transition(params, state, action, branch):
        return 1.0, Moved(1)

    @staticmethod
    def reward(params, purpose, state, action, next_state):
        return 0.0, 0.0

    @staticmethod
    def terminal(params, purpose, state):
        return state.count == 1


def test_refusals():
    with pytest.raises(UsageError, match="CartPole has one player"):
        OpponentsTask.against(resolve_task("CartPole"), Uniform())
    task = against("TicTacToe", First(), seat=0)
    with pytest.raises(UsageError, match="same-step"):
        task.vector_env(2, "next-step")
    with pytest.raises(UsageError, match="2 players, and a Gymnasium"):
        task.env()
    env = task.vector_env(2)
    env.reset(seed=0)
    env.step(np.array([4, 5]))
    with pytest.raises(UsageError, match="copy 1: action 5 of player_0 is illegal"):
        env.step(np.array([5, 5]))
    with pytest.raises(UsageError, match="copy 1: action 9"):
        env.step(np.array([5, 9]))
    world = Opening()
    lonely = OpponentsTask.against(Task("Opening", world, {}, None), Second(2), seat=1)
    with pytest.raises(UsageError, match="ended before player 1 had a turn"):
        lonely.vector_env(1).reset(seed=0)
