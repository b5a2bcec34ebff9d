"""What games on a rectangular board of up to 64 cells share: bit boards, lines, planes to observe, drawings.

A set of cells is one 64-bit integer. Cell (row, column) is bit `row · columns + column`, rows counted from one end of
the board (which end is the game's choice: lines look the same from both).
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import gymnasium as gym
import numpy as np

from inscape.envs.law.tools import int64, popcount, shift_right
from inscape.envs.rendering.scene import Circle, Line, Shape
from inscape.envs.world import World
from inscape.envs.worlds.multi_agent.checks import whole_number
from inscape.errors import UsageError

MOST_CELLS = 64


class BoardState(NamedTuple):
    """Cells of the player to move, cells of the other player, and who is to move (0 or 1)."""

    own: int
    other: int
    turn: int


class BoardParams(NamedTuple):
    """The board and what counts as a line.

    Attributes:
        rows, columns: size of the board.
        full: every cell.
        column: every cell of column 0.
        shifts: bits between neighbours in each of the four directions.
        starts: in each direction, the cells at which a line may begin without leaving the board.
        steps: doubling steps that make one cell into a line: their sum is its length less one.
        bits: `[rows · columns]` the bit of each cell, row by row from the top.
    """

    rows: int
    columns: int
    full: int
    column: int
    shifts: tuple[int, int, int, int]
    starts: tuple[int, int, int, int]
    steps: tuple[int, ...]
    bits: np.ndarray


class LinePurpose(NamedTuple):
    """What a player wins by a line, and the other loses."""

    win: float = 1.0


def board_class(rows: int, columns: int, length: int, actions: tuple[str, ...]) -> dict[str, Any]:
    """Returns what the class of a world on such a board has of its own."""
    return {"actions": actions, "size": (rows, columns), "lengths": {"steps": len(_doubling_steps(length))}}


def require_board(game: str, rows: int, columns: int, length: int) -> None:
    """Raises UsageError unless the board has 2 to 64 cells and a line of `length` fits."""
    for name, value in (("rows", rows), ("columns", columns), ("length", length)):
        whole_number(f"{game}.{name}", value, 1)
    if rows * columns > MOST_CELLS:
        raise UsageError(
            f"{game} on a board of {rows} × {columns} = {rows * columns} cells",
            expected=f"at most {MOST_CELLS} cells: a board is the bits of one 64-bit integer",
            hint="rows=8 columns=8",
        )
    if not 2 <= length <= max(rows, columns):
        raise UsageError(
            f"{game}: length = {length} on a board of {rows} × {columns} cells",
            expected=f"a line of 2 to {max(rows, columns)}",
        )


def board_params(rows: int, columns: int, length: int, from_top: bool) -> BoardParams:
    """Returns the board; `from_top`: bits count rows from the top, else from the bottom."""
    shifts, starts = [], []
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        found = 0
        for row in range(rows):
            for column in range(columns):
                last = row + (length - 1) * down, column + (length - 1) * right
                if last[0] < rows and 0 <= last[1] < columns:
                    found |= 1 << (row * columns + column)
        # where no line fits, shifting by whole boards would be undefined
        shifts.append(down * columns + right if found else 0)
        starts.append(int64(found))
    cells = [
        (row if from_top else rows - 1 - row) * columns + column for row in range(rows) for column in range(columns)
    ]
    return BoardParams(
        rows=rows,
        columns=columns,
        full=int64((1 << (rows * columns)) - 1),
        column=int64(sum(1 << (row * columns) for row in range(rows))),
        shifts=(shifts[0], shifts[1], shifts[2], shifts[3]),
        starts=(starts[0], starts[1], starts[2], starts[3]),
        steps=_doubling_steps(length),
        bits=np.array(cells, np.int64),
    )


def _doubling_steps(length: int) -> tuple[int, ...]:
    """Returns how far to shift, in cells, so that 1, 2, 4, … cells of a line are looked at, and at last `length`."""
    steps, seen = [], 1
    while seen < length:
        steps.append(min(seen, length - seen))
        seen += steps[-1]
    return tuple(steps)


def lines_from(params: BoardParams, cells: int, direction: int) -> int:
    """Returns the cells at which a full line in that direction begins (compiled with the law)."""
    run = cells
    for j in range(len(params.steps)):
        run &= shift_right(run, params.shifts[direction] * params.steps[j])
    return run & params.starts[direction]


def has_line(params: BoardParams, cells: int) -> bool:
    """Returns whether the cells hold a full line in any direction (compiled with the law)."""
    return (
        lines_from(params, cells, 0)
        | lines_from(params, cells, 1)
        | lines_from(params, cells, 2)
        | lines_from(params, cells, 3)
    ) != 0


class BoardGame(World):
    """Two players in turn put stones on a board; who first makes a line wins. Subclasses say where a stone may go."""

    State = BoardState
    Params = BoardParams
    Purpose = LinePurpose
    players = 2
    zero_sum = True
    gamma = 1.0
    size: ClassVar[tuple[int, int]]

    def return_bounds(self) -> tuple[float, float]:
        return -abs(self.purpose.win), abs(self.purpose.win)

    @staticmethod
    def initial(params: BoardParams, branch: int) -> tuple[float, BoardState]:
        return 1.0, BoardState(0, 0, 0)

    @staticmethod
    def mover(params: BoardParams, state: BoardState) -> int:
        return state.turn

    @staticmethod
    def reward(
        params: BoardParams, purpose: LinePurpose, state: BoardState, action: int, next_state: BoardState
    ) -> tuple[float, float]:
        won = purpose.win if has_line(params, next_state.other) else 0.0
        gained = won if state.turn == 0 else 0.0 - won
        return gained, 0.0 - gained

    @staticmethod
    def terminal(params: BoardParams, purpose: LinePurpose, state: BoardState) -> bool:
        # only who moved last can have made a line
        return ((state.own | state.other) == params.full) | has_line(params, state.other)

    @staticmethod
    def observation_view(params: BoardParams, state: BoardState, player: int) -> BoardState:
        return state if player == state.turn else BoardState(state.other, state.own, state.turn)

    @staticmethod
    def observation_entry(params: BoardParams, view: BoardState, k: int) -> int:
        cells = view.own if k & 1 == 0 else view.other
        return shift_right(cells, params.bits[k >> 1]) & 1

    @staticmethod
    def observations(params: BoardParams) -> gym.Space[Any]:
        return gym.spaces.Box(0, 1, (params.rows, params.columns, 2), np.int8)

    @staticmethod
    def state_of(params: BoardParams, observation: Any) -> BoardState:
        own, other = (
            sum(1 << int(bit) for bit, there in zip(params.bits, plane, strict=True) if there)
            for plane in np.asarray(observation).reshape(-1, 2).T
        )
        return BoardState(int64(own), int64(other), popcount(own | other) & 1)


def stones(params: BoardParams, state: BoardState) -> list[tuple[int, int, int]]:
    """Returns (player, row from the top, column) of every stone."""
    first, second = (state.own, state.other) if state.turn == 0 else (state.other, state.own)
    found = []
    for cell, bit in enumerate(params.bits):
        for player, cells in enumerate((first, second)):
            if shift_right(cells, int(bit)) & 1:
                found.append((player, *divmod(cell, params.columns)))
    return found


def winner(params: BoardParams, state: BoardState) -> int | None:
    """Returns the player who has a line, or None."""
    return 1 - state.turn if has_line(params, state.other) else None


def in_words(params: BoardParams, state: BoardState, marks: tuple[str, str], length: int) -> str:
    """Returns the board as text, from the side of the player to move."""
    rows = [["." for _ in range(params.columns)] for _ in range(params.rows)]
    for player, row, column in stones(params, state):
        rows[row][column] = marks[player]
    board = " / ".join("".join(row) for row in rows)
    won = winner(params, state)
    if won is not None:
        text = f"{marks[won]} has won"
    elif (state.own | state.other) == params.full:
        text = "a draw"
    else:
        text = f"you are {marks[state.turn]} and to move, {length} in a row win"
    return f"{text} | rows from the top: {board}"


def line_length(params: BoardParams) -> int:
    """Returns how many stones in a row win."""
    return 1 + sum(params.steps)


def winning_lines(params: BoardParams, state: BoardState) -> list[Shape]:
    """Returns a stroke through every full line."""
    place = {int(bit): divmod(cell, params.columns) for cell, bit in enumerate(params.bits)}
    reach = line_length(params) - 1
    shapes: list[Shape] = []
    for direction, shift in enumerate(params.shifts):
        begins = lines_from(params, state.other, direction)
        for bit, (row, column) in place.items():
            if shift_right(begins, bit) & 1:
                end_row, end_column = place[bit + reach * shift]
                ends = (column + 0.5, row + 0.5, end_column + 0.5, end_row + 0.5)
                shapes.append(Line(*ends, stroke="ink", line_width=0.1, layer="moving"))
                shapes += [Circle(x, y, 0.05, fill="ink", layer="moving") for x, y in (ends[:2], ends[2:])]
    return shapes
