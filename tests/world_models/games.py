"""Small worlds for tests: a game in turn, a gamble with a sampled law, a corridor."""

from __future__ import annotations

from typing import NamedTuple

from inscape.envs.world import World

LINES = (0b111, 0b111000, 0b111000000, 0b1001001, 0b10010010, 0b100100100, 0b100010001, 0b1010100)


def has_line(cells: int) -> bool:
    found = False
    for line in LINES:
        found = found or cells & line == line
    return found


class Board(NamedTuple):
    crosses: int
    noughts: int
    turn: int


class TicTacToe(World):
    """Two players in turn; +1 for a line, −1 for the other's. Cells are bits of a mask."""

    State = Board
    players = 2
    actions = tuple("012345678")
    gamma = 1.0

    @staticmethod
    def initial(params, branch):
        return 1.0, Board(0, 0, 0)

    @staticmethod
    def transition(params, state, action, branch):
        mark = 1 << action
        if state.turn == 0:
            return 1.0, Board(state.crosses | mark, state.noughts, 1)
        return 1.0, Board(state.crosses, state.noughts | mark, 0)

    @staticmethod
    def reward(params, purpose, state, action, next_state):
        if has_line(next_state.crosses):
            return 1.0, -1.0
        if has_line(next_state.noughts):
            return -1.0, 1.0
        return 0.0, 0.0

    @staticmethod
    def terminal(params, purpose, state):
        full = (state.crosses | state.noughts) == 0b111111111
        return full or has_line(state.crosses) or has_line(state.noughts)

    @staticmethod
    def legal(params, state, action):
        return ((state.crosses | state.noughts) >> action) & 1 == 0

    @staticmethod
    def mover(params, state):
        return state.turn

    @staticmethod
    def observation(params, state, player):
        return (float(state.crosses), float(state.noughts), float(state.turn))

    @staticmethod
    def observations(params):
        import gymnasium as gym
        import numpy as np

        return gym.spaces.Box(0, 511, (3,), np.float32)


class Purse(NamedTuple):
    coins: int
    rounds: int


class CoinGame(World):
    """Three rounds: keep the purse, or toss a coin that wins one coin with probability 0.7 and loses one else.

    The law can only be sampled. Always tossing is worth 3 · 0.4 = 1.2 coins.
    """

    State = Purse
    actions = ("keep", "toss")
    noise = 1
    gamma = 1.0

    @staticmethod
    def initial(params, branch):
        return 1.0, Purse(0, 3)

    @staticmethod
    def transition(params, state, action, noise):
        change = 0
        if action == 1:
            change = 1 if noise[0] < 0.7 else -1
        return Purse(state.coins + change, state.rounds - 1)

    @staticmethod
    def reward(params, purpose, state, action, next_state):
        return float(next_state.coins - state.coins)

    @staticmethod
    def terminal(params, purpose, state):
        return state.rounds == 0
