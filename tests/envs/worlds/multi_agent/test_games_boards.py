"""TicTacToe and ConnectFour against PettingZoo's, published counts, and a plain search for lines."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from pettingzoo.classic.connect_four import connect_four
from pettingzoo.classic.tictactoe import tictactoe

from inscape.envs.registry import make_world
from inscape.envs.worlds.multi_agent.boards import BoardState, has_line
from inscape.envs.worlds.multi_agent.connect_four import ConnectFour
from inscape.envs.worlds.multi_agent.tic_tac_toe import TicTacToe
from inscape.errors import UsageError
from inscape.world_models.planning.tree_search.uct import UCT

PAIRS = {"TicTacToe": tictactoe.env, "ConnectFour": connect_four.env}


def same_games(name: str, games: int) -> dict[tuple[float, ...], int]:
    """Plays random games on both sides; returns how often each pair of final rewards came."""
    ours, theirs = make_world(name).aec_env(), PAIRS[name]()
    rng = np.random.default_rng(0)
    ends: dict[tuple[float, ...], int] = {}
    for _ in range(games):
        ours.reset(seed=0)
        theirs.reset(seed=0)
        players = dict(zip(theirs.possible_agents, ours.possible_agents))  # TicTacToe's are called player_1, player_2
        while True:
            mine, their = ours.last(), theirs.last()
            assert players[theirs.agent_selection] == ours.agent_selection
            assert mine[1:4] == their[1:4]
            assert np.array_equal(mine[0]["observation"], their[0]["observation"])
            assert mine[0]["observation"].dtype == their[0]["observation"].dtype
            if mine[2]:
                break
            assert np.array_equal(mine[0]["action_mask"], their[0]["action_mask"])
            action = int(rng.choice(np.flatnonzero(mine[0]["action_mask"])))
            ours.step(action)
            theirs.step(action)
        assert {players[agent]: reward for agent, reward in theirs.rewards.items()} == ours.rewards
        ends[tuple(ours.rewards.values())] = ends.get(tuple(ours.rewards.values()), 0) + 1
    return ends


@pytest.mark.quick("TicTacToe")
@pytest.mark.parametrize("name", PAIRS)
def test_random_games_equal_pettingzoos(name):
    ends = same_games(name, 400)
    assert ends[1.0, -1.0] > ends[-1.0, 1.0] > 0  # who begins has the better of it


@pytest.mark.slow
@pytest.mark.parametrize("name", PAIRS)
def test_ten_thousand_random_games_equal_pettingzoos(name):
    assert set(same_games(name, 10_000)) == {(1.0, -1.0), (-1.0, 1.0), (0.0, 0.0)}


def test_tic_tac_toe_has_the_known_numbers_of_positions_and_games():
    """Positions 5,478 and games 255,168 (131,184 won by who begins, 77,904 by the other, 46,080 drawn): much-published
    counts, found alike by others; the positions by ply are counted independently below."""
    world = make_world("TicTacToe")
    law = world.dynamics()
    assert len(law) == 5478
    plies = [bin(own | other).count("1") for own, other in law.states.ints[:2].T.tolist()]
    assert np.bincount(plies).tolist() == positions_by_ply_of_tic_tac_toe()
    ended = world.terminal_of(law.states)
    games = np.zeros((len(law), 3), np.int64)  # won by who begins, by the other, drawn, from this state on
    for s in sorted(range(len(law)), key=lambda s: -plies[s]):
        if ended[s]:
            won = has_line(world.params, int(law.states.ints[1, s]))
            games[s, (0 if plies[s] % 2 else 1) if won else 2] = 1
        else:
            for a in np.flatnonzero(law.legal[s]):
                games[s] += games[law.next_state[s, a, 0]]
    start = int(np.flatnonzero(law.initial)[0])
    assert games[start].tolist() == [131184, 77904, 46080]


def positions_by_ply_of_tic_tac_toe() -> list[int]:
    """Counts boards of k crosses and noughts in turn, without the law: at most one side has a line, and that side moved
    last."""
    lines = [(0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6)]
    counts = [0] * 10
    for board in itertools.product((0, 1, 2), repeat=9):
        crosses, noughts = board.count(1), board.count(2)
        has = {mark: any(all(board[c] == mark for c in line) for line in lines) for mark in (1, 2)}
        if crosses - noughts not in (0, 1) or (has[1] and crosses == noughts) or (has[2] and crosses > noughts):
            continue
        counts[crosses + noughts] += 1
    return counts


@pytest.mark.slow
@pytest.mark.parametrize("plies", [5, pytest.param(8, marks=[pytest.mark.slow, pytest.mark.compiled(all=False)])])
def test_connect_four_has_tromps_numbers_of_positions(plies):
    """OEIS A212693 (J. Tromp): legal 7 × 6 positions after n plies."""
    world = make_world("ConnectFour")
    states = world.pack([BoardState(0, 0, 0)])
    counts = []
    for _ in range(plies + 1):
        counts.append(len(states))
        states = states[~world.terminal_of(states)]
        rows, actions = np.nonzero(world.legal_actions(states))
        following, _, _ = world.step(states[rows], actions, np.random.default_rng(0))
        states = following[np.unique(following.ints, axis=1, return_index=True)[1]]
    assert counts == [1, 7, 49, 238, 1120, 4263, 16422, 54859, 184275][: plies + 1]


BOARDS = [
    (6, 7, 4),
    (8, 8, 4),
    (8, 8, 8),
    (8, 8, 5),
    (1, 64, 64),
    (64, 1, 3),
    (2, 32, 7),
    (5, 9, 2),
    (3, 3, 3),
    (7, 9, 6),
]


@pytest.mark.parametrize(("rows", "columns", "length"), BOARDS)
def test_lines_are_those_a_plain_search_finds(rows, columns, length):
    """Boards of up to 64 cells, the sign bit included: no line wraps around an edge, none is missed."""
    rng = np.random.default_rng(0)
    directions = ((0, 1), (1, 0), (1, 1), (1, -1))

    def found(board: np.ndarray) -> bool:
        for r, c in itertools.product(range(rows), range(columns)):
            for down, right in directions:
                cells = [(r + i * down, c + i * right) for i in range(length)]
                if 0 <= cells[-1][0] < rows and 0 <= cells[-1][1] < columns and all(board[cell] for cell in cells):
                    return True
        return False

    for make in (TicTacToe, ConnectFour):
        world = make(rows=rows, columns=columns, length=length)
        seen = set()
        for k in range(60):
            board = rng.random((rows, columns)) < (0.3 + 0.7 * (k / 60)) ** (1 / max(1, length - 2))
            if k % 3 == 0:  # a line, and a line short of one cell, somewhere
                down, right = directions[k % 4]
                r0, c0 = rng.integers(rows), rng.integers(columns)
                board[:] = False
                for i in range(length - (k % 2)):
                    if 0 <= r0 + i * down < rows and 0 <= c0 + i * right < columns:
                        board[r0 + i * down, c0 + i * right] = True
            planes = np.stack([np.zeros_like(board), board], axis=-1)
            other = world.state_of(world.params, planes).other
            assert -(2**63) <= other < 2**63
            assert has_line(world.params, other) == found(board)
            seen.add(found(board))
        assert seen == {True, False}


@pytest.mark.parametrize("make", [TicTacToe, ConnectFour])
def test_the_largest_board_plays_the_same_compiled_and_plain(make):
    """8 × 8: the last cell is the sign of the packed integer. A game is played to the end both ways."""
    world = make(rows=8, columns=8, length=8)
    rng = np.random.default_rng(1)
    state, states = BoardState(0, 0, 0), world.pack([BoardState(0, 0, 0)])
    plies = 0
    while not world.terminal(world.params, world.purpose, state):
        legal = [a for a in range(world.num_actions) if world.legal(world.params, state, a)]
        assert np.flatnonzero(world.legal_actions(states)[0]).tolist() == legal
        action = int(rng.choice(legal))
        following = world.transition(world.params, state, action, 0)[1]
        reward = world.reward(world.params, world.purpose, state, action, following)
        states, rewards, _ = world.step(states, np.array([action]), rng)
        assert world.unpack(states) == following
        assert tuple(rewards[0]) == reward
        assert world.state_of(world.params, world.observe(states)[0]) == following
        state, plies = following, plies + 1
    assert bool(world.terminal_of(states)[0])
    assert plies == 64  # eight in a row do not come about by chance
    assert (state.own | state.other) == -1


def test_discs_fall_to_the_lowest_free_cell():
    world = make_world("ConnectFour", rows=4, columns=5)
    state = BoardState(0, 0, 0)
    for action in (2, 2, 2, 0):
        state = world.transition(world.params, state, action, 0)[1]
    planes = world.observe(world.pack([state]), player=0)[0]
    assert np.argwhere(planes[:, :, 0]).tolist() == [[1, 2], [3, 2]]  # rows from the top
    assert np.argwhere(planes[:, :, 1]).tolist() == [[2, 2], [3, 0]]
    other = world.observe(world.pack([state]), player=1)[0]
    assert np.array_equal(other, planes[:, :, ::-1])


@pytest.mark.slow
@pytest.mark.compiled
def test_search_as_first_player_never_loses_to_chance():
    world, rng, games = make_world("TicTacToe"), np.random.default_rng(0), 200
    search = UCT(num_simulations=300, gamma=1.0)
    states, returns = world.sample_initial(games, rng), []
    while len(states):
        if world.mover_of(states)[0] == 0:
            actions = search.plan(world, states, rng).actions
        else:
            actions = (world.legal_actions(states) * rng.random((len(states), 9))).argmax(1)
        states, rewards, ended = world.step(states, actions, rng)
        returns += rewards[ended, 0].tolist()
        states = states[~ended]
    assert len(returns) == games
    assert min(returns) == 0  # a draw now and then, no loss
    assert np.mean(returns) > 0.9


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rows": 9, "columns": 8}, "9 × 8 = 72 cells\n.*at most 64"),
        ({"rows": 0}, "rows = 0"),
        ({"columns": 2.5}, "columns = 2.5"),
        ({"length": 9}, "length = 9"),
        ({"length": 1}, "length = 1"),
        ({"win": float("nan")}, "win = nan"),
        ({"size": 8}, "no setting 'size'"),
    ],
)
def test_bad_boards_are_refused(name, settings, message):
    with pytest.raises(UsageError, match=message):
        make_world(name, **settings)


def test_words_and_pictures_show_the_board():
    world = make_world("TicTacToe")
    states = world.pack([BoardState(0b11, 0b10000, 0), BoardState(0b11000, 0b111, 1)])
    assert (
        world.describe_state(states, 0) == "you are X and to move, 3 in a row win | rows from the top: XX. / .O. / ..."
    )
    assert world.describe_state(states, 1) == "X has won | rows from the top: XXX / OO. / ..."
    assert world.action_names[:4] == ("row 1 column 1", "row 1 column 2", "row 1 column 3", "row 2 column 1")
    # two lines for each cross, one ring for each nought, and a stroke with two ends through the line that won
    assert [len(world.scene(states, k).layer("moving")) for k in (0, 1)] == [5, 11]
    four = make_world("ConnectFour")
    won = four.pack([BoardState(0b1110000000, 0b1111, 1)])
    assert "X has won" in four.describe_state(won)
    assert len(four.scene(won).layer("moving")) == 7 + 3
