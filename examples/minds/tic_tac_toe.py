"""Tic-tac-toe of two who plan softly, and expect it of each other; and of one who looks one move ahead.

Source: agentmodels.org, chapter 7 (10 for winning, -10 for losing, alpha = 1; two positions).
"""

from inscape.envs import enumerated_world
from inscape.theory_of_mind import level_k

LINES = ((0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6))


def won(board):
    """Returns who has three in a row, or nobody."""
    return next((board[a] for a, b, c in LINES if "?" != board[a] == board[b] == board[c]), None)


def moves(start, first, levels, ahead=9):
    """Returns how likely `first` moves to each square of the position, `ahead` moves before all is over."""
    ends = start.count("?") - ahead
    names = first + {"x": "o", "o": "x"}[first]

    def mover(board):
        return (start.count("?") - board.count("?")) % 2

    def pays(board, action, after):
        winner = won(after)
        return (0.0, 0.0) if winner is None else (10.0, -10.0) if winner == names[0] else (-10.0, 10.0)

    def step(board, action):
        place = int(action)
        return board[:place] + names[mover(board)] + board[place + 1 :] if board[place] == "?" else None

    def over(board):
        return won(board) is not None or board.count("?") <= max(ends, 0)

    world = enumerated_world(start, "012345678", step, pays, over=over, mover=mover)
    return level_k(world, levels, chooses=1.0).top[0][world.number[start]]


one_ahead, planning = moves("oo??xx???", "x", 1, ahead=1), moves("o????x???", "o", 7)
print(one_ahead.round(6), planning.round(6), sep="\n")
