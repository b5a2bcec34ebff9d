"""Connect four, on any board of up to 64 cells."""

from __future__ import annotations

from typing import Any

from inscape.envs.law.tools import int64, shift_right
from inscape.envs.rendering.scene import Circle, Rect, Scene, Shape
from inscape.envs.worlds.multi_agent.boards import (
    BoardGame,
    BoardParams,
    BoardState,
    LinePurpose,
    board_class,
    board_params,
    in_words,
    line_length,
    require_board,
    stones,
    winning_lines,
)
from inscape.envs.worlds.multi_agent.checks import finite_number


class ConnectFour(BoardGame):
    """Drop discs into columns; who first has `length` in a row, across, down or along a diagonal, wins.

    Actions: the columns from the left: `column 1`, … Legal: those that are not full.
    Observations: `[rows, columns, 2]` int8, rows from the top: the observer's own discs, the other's discs.
    Rewards: `win` for the winner, −`win` for the loser, 0 otherwise.
    Start: an empty board; player_0 moves first.
    End: terminated at a line or on a full board.

    Args:
        rows, columns: size of the board, at most 64 cells.
        length: how many in a row win.
        win: what a line wins.

    Source: rules as in PettingZoo's connect_four_v3. Numbers of positions by ply: J. Tromp's table, OEIS A212693.
    Version history: v0, first.
    """

    @classmethod
    def sized(cls, rows: int = 6, columns: int = 7, length: int = 4, **others: Any) -> dict[str, Any]:
        require_board("ConnectFour", rows, columns, length)
        return board_class(rows, columns, length, tuple(f"column {column}" for column in range(1, columns + 1)))

    def setup(
        self, rows: int = 6, columns: int = 7, length: int = 4, win: float = 1.0
    ) -> tuple[BoardParams, LinePurpose]:
        return board_params(rows, columns, length, from_top=False), LinePurpose(finite_number("ConnectFour.win", win))

    @staticmethod
    def transition(params: BoardParams, state: BoardState, action: int, branch: int) -> tuple[float, BoardState]:
        # rows count from the bottom, so the lowest free cell of the column is its lowest free bit
        free = int64(params.column << action) & ~(state.own | state.other)
        return 1.0, BoardState(state.other, state.own | int64(free & -free), 1 - state.turn)

    @staticmethod
    def legal(params: BoardParams, state: BoardState, action: int) -> bool:
        return shift_right(state.own | state.other, (params.rows - 1) * params.columns + action) & 1 == 0

    @staticmethod
    def describe(params: BoardParams, purpose: LinePurpose, state: BoardState) -> str:
        return in_words(params, state, ("X", "O"), line_length(params))

    @staticmethod
    def draw(params: BoardParams, purpose: LinePurpose, state: BoardState) -> Scene:
        width, height = params.columns, params.rows
        shapes: list[Shape] = [Rect(0, 0, width, height, fill="wall")]
        shapes += [Circle(x + 0.5, y + 0.5, 0.4, fill="paper") for y in range(height) for x in range(width)]
        for player, row, column in stones(params, state):
            color = "player0" if player == 0 else "player1"
            shapes.append(Circle(column + 0.5, row + 0.5, 0.4, fill=color, layer="moving"))
        return Scene(width, height, (*shapes, *winning_lines(params, state)))
