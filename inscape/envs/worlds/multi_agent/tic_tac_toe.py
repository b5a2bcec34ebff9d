"""Tic-tac-toe, on any board of up to 64 cells."""

from __future__ import annotations

from typing import Any

from inscape.envs.law.tools import int64, shift_right
from inscape.envs.rendering.scene import Circle, Line, Rect, Scene, Shape
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


class TicTacToe(BoardGame):
    """Crosses and noughts: mark a free cell; who first has `length` marks in a row wins.

    Actions: the cells, row by row from the top: `row 1 column 1`, … Legal: the free ones.
    Observations: `[rows, columns, 2]` int8: the observer's own marks, the other's marks.
    Rewards: `win` for the winner, −`win` for the loser, 0 otherwise.
    Start: an empty board; player_0 (crosses) moves first.
    End: terminated at a line or on a full board.

    Args:
        rows, columns: size of the board, at most 64 cells.
        length: how many in a row win.
        win: what a line wins.

    Source: rules as in PettingZoo's tictactoe_v3 (whose players are called player_1 and player_2). 5,478 positions and
        255,168 games on the ordinary board; on others an m,n,k-game.
    Version history: v0, first.
    """

    @classmethod
    def sized(cls, rows: int = 3, columns: int = 3, length: int = 3, **others: Any) -> dict[str, Any]:
        require_board("TicTacToe", rows, columns, length)
        cells = tuple(f"row {row} column {column}" for row in range(1, rows + 1) for column in range(1, columns + 1))
        return board_class(rows, columns, length, cells)

    def setup(
        self, rows: int = 3, columns: int = 3, length: int = 3, win: float = 1.0
    ) -> tuple[BoardParams, LinePurpose]:
        return board_params(rows, columns, length, from_top=True), LinePurpose(finite_number("TicTacToe.win", win))

    @staticmethod
    def transition(params: BoardParams, state: BoardState, action: int, branch: int) -> tuple[float, BoardState]:
        return 1.0, BoardState(state.other, state.own | int64(1 << action), 1 - state.turn)

    @staticmethod
    def legal(params: BoardParams, state: BoardState, action: int) -> bool:
        return shift_right(state.own | state.other, action) & 1 == 0

    @staticmethod
    def describe(params: BoardParams, purpose: LinePurpose, state: BoardState) -> str:
        return in_words(params, state, ("X", "O"), line_length(params))

    @staticmethod
    def draw(params: BoardParams, purpose: LinePurpose, state: BoardState) -> Scene:
        width, height = params.columns, params.rows
        shapes: list[Shape] = [Rect(0, 0, width, height, fill="paper")]
        shapes += [Line(x, 0.08, x, height - 0.08, stroke="muted", line_width=0.06) for x in range(1, width)]
        shapes += [Line(0.08, y, width - 0.08, y, stroke="muted", line_width=0.06) for y in range(1, height)]
        for player, row, column in stones(params, state):
            x, y, r = column + 0.5, row + 0.5, 0.27
            if player == 0:
                for side in (r, -r):
                    shapes.append(Line(x - r, y - side, x + r, y + side, "player0", 0.15, layer="moving"))
            else:
                shapes.append(Circle(x, y, r, stroke="player1", line_width=0.15, layer="moving"))
        return Scene(width, height, (*shapes, *winning_lines(params, state)))
