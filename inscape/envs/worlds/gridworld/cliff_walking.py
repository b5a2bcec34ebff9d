"""The cliff walk."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from inscape.envs.rendering.scene import Circle, Line, Polygon, Rect, Scene, Shape
from inscape.envs.world import World
from inscape.envs.worlds.mdp.checks import flag, number

HEIGHT, WIDTH = 4, 12
START, GOAL = 36, 47
CLIFF = range(37, 47)
OFFSETS = ((-1, 0), (0, 1), (1, 0), (0, -1))
# What becomes of a move: as meant, or turned one step anticlockwise or clockwise
TURNS = (0, -1, 1)


class CliffState(NamedTuple):
    """The walker's cell: row · 12 + column."""

    cell: int


class CliffParams(NamedTuple):
    """How one moves.

    Attributes:
        after: `[3, 4, 48]` the cell that outcome k of a move leads to; over the cliff's edge it is the start.
        fallen: `[4, 48]` probability that one has fallen, given that the move ended in the start.
        chances: probabilities of the three outcomes: as meant, turned anticlockwise, turned clockwise.
    """

    after: np.ndarray
    fallen: np.ndarray
    chances: tuple[float, float, float]


class CliffPurpose(NamedTuple):
    """Rewards: of a step (the one into the goal included), and of a fall instead."""

    step_reward: float = -1.0
    fall_reward: float = -100.0


class CliffWalking(World):
    """Walk from start to goal along the edge of a cliff; who falls starts again.

    A grid of 4 × 12 cells. The start is the lower left corner (cell 36), the goal the lower right one (cell 47), and
    the ten cells between them are the cliff: an agent that would enter one is put back to the start.

    Actions: `up`, `right`, `down`, `left`. Moves off the grid stay where they are. Where it is slippery a move goes as
        meant, or at a right angle to either side, with probability 1/3 each.
    Observations: Discrete(48): the cell, row · 12 + column.
    Rewards: −1 for every step, −100 for a fall instead. Where it is slippery a move from the start may end in the start
        with or without a fall; a law's reward knows only where a step began and ended, and is then the mean of the two
        (−50.5 for `up` and `right`, −34 for `down`), where Gymnasium gives one or the other. Expected rewards, values
        and policies are the same.
    Start: cell 36.
    End: terminated at the goal; truncated after 1,000 steps (Gymnasium sets no limit).

    Args:
        is_slippery: whether moves go astray.
        step_reward, fall_reward: rewards.

    Source: Sutton & Barto (2018), Reinforcement Learning, Example 6.6, as Gymnasium's CliffWalking-v1, whose transition
        table and this one are equal entry for entry (all 48 cells; outcomes that end in one cell merged, their rewards
        averaged).
    Version history: v0, first.
    """

    State = CliffState
    Params = CliffParams
    Purpose = CliffPurpose
    actions = ("up", "right", "down", "left")
    max_branches = 3
    max_episode_steps = 1000

    def setup(
        self, is_slippery: bool = False, step_reward: float = -1.0, fall_reward: float = -100.0
    ) -> tuple[CliffParams, CliffPurpose]:
        chances = (1 / 3, 1 / 3, 1 / 3) if flag("is_slippery", is_slippery) else (1.0, 0.0, 0.0)
        landing = _landing()
        falls = np.isin(landing, CLIFF)
        after = np.where(falls, START, landing)
        weight = np.array(chances)[:, None, None]
        back = (weight * (after == START)).sum(0)
        fallen = np.divide((weight * falls).sum(0), back, out=np.zeros_like(back), where=back > 0)
        rewards = CliffPurpose(number("step_reward", step_reward), number("fall_reward", fall_reward))
        return CliffParams(after, fallen, chances), rewards

    @staticmethod
    def branches(params: CliffParams) -> int:
        return 3 if params.chances[1] > 0.0 else 1

    @staticmethod
    def initial(params: CliffParams, branch: int) -> tuple[float, CliffState]:
        return 1.0, CliffState(START)

    @staticmethod
    def transition(params: CliffParams, state: CliffState, action: int, branch: int) -> tuple[float, CliffState]:
        return params.chances[branch], CliffState(params.after[branch, action, state.cell])

    @staticmethod
    def reward(
        params: CliffParams, purpose: CliffPurpose, state: CliffState, action: int, next_state: CliffState
    ) -> float:
        # looked up for every move: a lookup under a condition would keep copies from being stepped together
        fallen = params.fallen[action, state.cell]
        in_start = (1.0 - fallen) * purpose.step_reward + fallen * purpose.fall_reward
        return in_start if next_state.cell == START else purpose.step_reward

    @staticmethod
    def terminal(params: CliffParams, purpose: CliffPurpose, state: CliffState) -> bool:
        return state.cell == GOAL

    @staticmethod
    def observation(params: CliffParams, state: CliffState) -> int:
        return state.cell

    @staticmethod
    def observations(params: CliffParams) -> gym.Space[Any]:
        return gym.spaces.Discrete(HEIGHT * WIDTH)

    @staticmethod
    def state_of(params: CliffParams, observation: int) -> CliffState:
        return CliffState(int(observation))

    @staticmethod
    def roots(params: CliffParams) -> Iterable[CliffState]:
        return [CliffState(cell) for cell in range(HEIGHT * WIDTH)]

    @staticmethod
    def describe(params: CliffParams, purpose: CliffPurpose, state: CliffState) -> str:
        row, column = divmod(state.cell, WIDTH)
        looks = []
        for action, (name, (down, right)) in enumerate(zip(CliffWalking.actions, OFFSETS)):
            r, c = row + down, column + right
            if not (0 <= r < HEIGHT and 0 <= c < WIDTH):
                looks.append(f"{name} blocked")
            elif r * WIDTH + c in CLIFF:
                looks.append(f"{name} cliff")
            elif params.after[0, action, state.cell] == GOAL:
                looks.append(f"{name} goal")
            else:
                looks.append(f"{name} free")
        ground = " | slippery" if params.chances[1] > 0 else ""
        return f"row {row} column {column} | goal row 3 column 11, cliff row 3 columns 1 to 10{ground} | " + ", ".join(
            looks
        )

    @staticmethod
    def draw(params: CliffParams, purpose: CliffPurpose, state: CliffState) -> Scene:
        ground = "ice" if params.chances[1] > 0 else "paper"
        shapes: list[Shape] = [Rect(0, 0, WIDTH, HEIGHT, fill=ground)]
        shapes += [Line(x, 0, x, HEIGHT, stroke="line", line_width=0.02) for x in range(1, WIDTH)]
        shapes += [Line(0, y, WIDTH, y, stroke="line", line_width=0.02) for y in range(1, HEIGHT)]
        rim: list[tuple[float, float]] = [(1, 3.06)]
        for column in CLIFF:  # jagged
            rim += [(column % WIDTH + 0.5, 3.22), (column % WIDTH + 1.0, 3.06)]
        shapes += [
            Rect(0, 3, 1, 1, fill="start"),
            Rect(11.12, 3.12, 0.76, 0.76, fill="goal", radius=0.12),
            Polygon(((1, 4), *rim, (11, 4)), fill="wall"),
            Polygon(((1, 4), (1, 3.7), *((x + 0.5, 3.5 if x % 2 else 3.75) for x in range(1, 11)), (11, 3.7), (11, 4)),
                    fill="danger"),
        ]  # fmt: skip
        x, y = CliffWalking.place(params, state)
        shapes.append(Circle(x, y, 0.34, fill="agent", stroke="ink", layer="moving"))
        return Scene(WIDTH, HEIGHT, tuple(shapes))

    @staticmethod
    def place(params: CliffParams, state: CliffState) -> tuple[float, float]:
        row, column = divmod(state.cell, WIDTH)
        return column + 0.5, row + 0.5


def _landing() -> np.ndarray:
    """Returns `[3, 4, 48]` the cell each outcome of a move comes to, the cliff's cells among them."""
    landing = np.empty((len(TURNS), 4, HEIGHT * WIDTH), np.int64)
    for k, turn in enumerate(TURNS):
        for action in range(4):
            down, right = OFFSETS[(action + turn) % 4]
            for cell in range(HEIGHT * WIDTH):
                row, column = divmod(cell, WIDTH)
                row, column = min(max(row + down, 0), HEIGHT - 1), min(max(column + right, 0), WIDTH - 1)
                landing[k, action, cell] = row * WIDTH + column
    return landing
