"""The windy grid."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from inscape.envs.rendering.scene import Circle, Line, Polygon, Rect, Scene, Shape
from inscape.envs.world import World
from inscape.envs.worlds.mdp.checks import flag, number
from inscape.errors import UsageError

HEIGHT, WIDTH = 7, 10
START, GOAL = 30, 37
WIND = (0, 0, 0, 1, 1, 1, 2, 2, 1, 0)
GUSTS = (0, 1, -1)  # how much the wind of an outcome differs from its mean
MOVES = {
    "up": (-1, 0),
    "right": (0, 1),
    "down": (1, 0),
    "left": (0, -1),
    "up-right": (-1, 1),
    "down-right": (1, 1),
    "down-left": (1, -1),
    "up-left": (-1, -1),
    "stay": (0, 0),
}
NAMES = tuple(MOVES)


class WindyState(NamedTuple):
    """The cell: row · 10 + column."""

    cell: int


class WindyParams(NamedTuple):
    """How one moves.

    Attributes:
        after: `[3, moves, 70]` the cell a move leads to under the mean wind, one more, one less.
        chances: probabilities of the three winds.
        moves: 4, 8 (king's moves) or 9 (staying as well).
    """

    after: np.ndarray
    chances: tuple[float, float, float]
    moves: int


class WindyPurpose(NamedTuple):
    """Reward of every step, the one into the goal included."""

    step_reward: float = -1.0


class WindyGrid(World):
    """Cross a grid in whose middle a wind blows upwards.

    A grid of 7 × 10 cells, start (row 3, column 0), goal (row 3, column 7). A move ends as many cells further up as the
    wind of the column it began in: 0 0 0 1 1 1 2 2 1 0. Nothing leaves the grid.

    Actions: `up`, `right`, `down`, `left`; with `moves=8` also the diagonals `up-right`, `down-right`, `down-left`,
        `up-left`; with `moves=9` also `stay`, which the wind alone moves.
    Observations: Discrete(70): the cell, row · 10 + column.
    Rewards: −1 for every step.
    Start: cell 30.
    End: terminated at the goal; truncated after 1,000 steps.

    Args:
        moves: 4, 8 (king's moves, Exercise 6.9) or 9 (with staying).
        stochastic_wind: where there is wind it is its mean, one more, or one less, with probability 1/3 each
            (Exercise 6.10).
        step_reward: reward of a step.

    Source: Sutton & Barto (2018), Reinforcement Learning, Example 6.5: the shortest path has 15 steps; with king's
        moves 7.
    Version history: v0, first.
    """

    State = WindyState
    Params = WindyParams
    Purpose = WindyPurpose
    max_branches = 3
    max_episode_steps = 1000

    def setup(
        self, moves: int = 4, stochastic_wind: bool = False, step_reward: float = -1.0
    ) -> tuple[WindyParams, WindyPurpose]:
        if moves not in (4, 8, 9) or isinstance(moves, bool):
            raise UsageError(f"moves = {moves!r}", expected="4, 8 (king's moves) or 9 (staying as well)")
        after = np.empty((len(GUSTS), moves, HEIGHT * WIDTH), np.int64)
        for k, gust in enumerate(GUSTS):
            for action, name in enumerate(NAMES[:moves]):
                down, right = MOVES[name]
                for cell in range(HEIGHT * WIDTH):
                    row, column = divmod(cell, WIDTH)
                    wind = WIND[column] + gust if WIND[column] else 0
                    row = min(max(row + down - wind, 0), HEIGHT - 1)
                    column = min(max(column + right, 0), WIDTH - 1)
                    after[k, action, cell] = row * WIDTH + column
        chances = (1 / 3, 1 / 3, 1 / 3) if flag("stochastic_wind", stochastic_wind) else (1.0, 0.0, 0.0)
        return WindyParams(after, chances, int(moves)), WindyPurpose(number("step_reward", step_reward))

    @staticmethod
    def actions(params: WindyParams) -> tuple[str, ...]:
        return NAMES[: params.moves]

    @staticmethod
    def branches(params: WindyParams) -> int:
        return 3 if params.chances[1] > 0.0 else 1

    @staticmethod
    def initial(params: WindyParams, branch: int) -> tuple[float, WindyState]:
        return 1.0, WindyState(START)

    @staticmethod
    def transition(params: WindyParams, state: WindyState, action: int, branch: int) -> tuple[float, WindyState]:
        return params.chances[branch], WindyState(params.after[branch, action, state.cell])

    @staticmethod
    def reward(
        params: WindyParams, purpose: WindyPurpose, state: WindyState, action: int, next_state: WindyState
    ) -> float:
        return purpose.step_reward

    @staticmethod
    def terminal(params: WindyParams, purpose: WindyPurpose, state: WindyState) -> bool:
        return state.cell == GOAL

    @staticmethod
    def observation(params: WindyParams, state: WindyState) -> int:
        return state.cell

    @staticmethod
    def observations(params: WindyParams) -> gym.Space[Any]:
        return gym.spaces.Discrete(HEIGHT * WIDTH)

    @staticmethod
    def state_of(params: WindyParams, observation: int) -> WindyState:
        return WindyState(int(observation))

    @staticmethod
    def roots(params: WindyParams) -> Iterable[WindyState]:
        return [WindyState(cell) for cell in range(HEIGHT * WIDTH)]

    @staticmethod
    def describe(params: WindyParams, purpose: WindyPurpose, state: WindyState) -> str:
        row, column = divmod(state.cell, WIDTH)
        strength = WIND[column]
        wind = f"wind {strength} up" if strength else "no wind"
        if strength and params.chances[1] > 0:
            wind += " give or take 1"
        return f"row {row} (0 to {HEIGHT - 1}) column {column} (0 to {WIDTH - 1}) | goal row 3 column 7 | {wind} here"

    @staticmethod
    def draw(params: WindyParams, purpose: WindyPurpose, state: WindyState) -> Scene:
        shapes: list[Shape] = [Rect(0, 0, WIDTH, HEIGHT, fill="paper")]
        for column, strength in enumerate(WIND):
            if strength:
                shapes.append(Rect(column, 0, 1, HEIGHT, fill="ice"))
        shapes += [Line(x, 0, x, HEIGHT, stroke="line", line_width=0.02) for x in range(1, WIDTH)]
        shapes += [Line(0, y, WIDTH, y, stroke="line", line_width=0.02) for y in range(1, HEIGHT)]
        for column, strength in enumerate(WIND):
            for y in (1.5, 3.5, 5.5):
                for k in range(strength):
                    x, tip = column + (0.5 if strength == 1 else 0.3 + 0.4 * k), y - 0.3
                    shapes.append(Polygon(((x, tip), (x - 0.16, tip + 0.5), (x + 0.16, tip + 0.5)), fill="water"))
        shapes += [
            Rect(START % WIDTH, START // WIDTH, 1, 1, fill="start"),
            Rect(GOAL % WIDTH + 0.08, GOAL // WIDTH + 0.08, 0.84, 0.84, fill="goal", radius=0.12),
        ]
        x, y = WindyGrid.place(params, state)
        shapes.append(Circle(x, y, 0.34, fill="agent", stroke="ink", layer="moving"))
        return Scene(WIDTH, HEIGHT, tuple(shapes))

    @staticmethod
    def place(params: WindyParams, state: WindyState) -> tuple[float, float]:
        row, column = divmod(state.cell, WIDTH)
        return column + 0.5, row + 0.5
