"""A custom world: walls, ice, a key, a door. `benchmarks/program_induction.py` finds its rules in 200 transitions."""

from typing import NamedTuple

import numpy as np

from inscape import World

OFFSETS = ((-1, 0), (0, 1), (1, 0), (0, -1))
MAP = "S.F.#..G/.F..#.F./..F.D.F./K..F#..H"


class State(NamedTuple):
    row: int
    column: int
    key: int  # 1 while it is carried


class Params(NamedTuple):
    cells: np.ndarray  # [rows, columns] character codes
    starts: np.ndarray  # [n, 2]
    slip: float


class KeyGrid(World):
    """Fetch the key K, pass the door D, reach the goal G (1; pits H end too); on ice F a move may go sideways."""

    State, Params = State, Params
    actions, max_episode_steps, gamma, branches = ("up", "right", "down", "left"), 60, 0.95, 3

    def setup(self, map: str = MAP, slip: float = 0.2):
        cells = np.array([[ord(letter) for letter in row] for row in map.split("/")])
        return Params(cells, np.argwhere(cells == ord("S")), slip), self.Purpose()

    def initial_branches(params):
        return len(params.starts)

    def initial(params, branch):
        return 1.0 / len(params.starts), State(params.starts[branch, 0], params.starts[branch, 1], 0)

    def transition(params, state, action, branch):
        slip = params.slip if params.cells[state.row, state.column] == ord("F") else 0.0
        way = (action + (0 if branch == 0 else 1 if branch == 1 else 3)) % 4
        row = min(max(state.row + OFFSETS[way][0], 0), params.cells.shape[0] - 1)
        column = min(max(state.column + OFFSETS[way][1], 0), params.cells.shape[1] - 1)
        cell = params.cells[row, column]
        if cell == ord("#") or (cell == ord("D") and state.key == 0):
            row, column = state.row, state.column
        key = 1 if cell == ord("K") else state.key
        return 1.0 - slip if branch == 0 else slip / 2, State(row, column, key)

    def reward(params, purpose, state, action, next_state):
        return 1.0 if params.cells[next_state.row, next_state.column] == ord("G") else 0.0

    def terminal(params, purpose, state):
        cell = params.cells[state.row, state.column]
        return cell == ord("G") or cell == ord("H")

    def observations(params):
        return params.cells.shape[0], params.cells.shape[1], 2
