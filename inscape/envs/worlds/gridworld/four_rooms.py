"""Four rooms."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from inscape.envs.rendering.scene import Circle, Layer, Rect, Scene, Shape
from inscape.envs.world import World
from inscape.envs.worlds.mdp.checks import number, probability
from inscape.errors import UsageError, closest

ROWS = (
    "#############",
    "#.....#.....#",
    "#.....#.....#",
    "#...........#",
    "#.....#.....#",
    "#.....#.....#",
    "##.####.....#",
    "#.....###.###",
    "#.....#.....#",
    "#.....#.....#",
    "#...........#",
    "#.....#.....#",
    "#############",
)
SIZE = len(ROWS)
CELLS = tuple((r, c) for r in range(SIZE) for c in range(SIZE) if ROWS[r][c] == ".")
NUMBER = {cell: k for k, cell in enumerate(CELLS)}
COUNT = len(CELLS)
HALLWAYS = {"north": (3, 6), "east": (7, 9), "south": (10, 6), "west": (6, 2)}
OFFSETS = ((-1, 0), (0, 1), (1, 0), (0, -1))
DRAWN = -1  # the purpose's goal is the one drawn at the start


class RoomsState(NamedTuple):
    """Where one is, and the goal drawn for this episode, each as the number of a free cell, row by row: 0 … 103.

    `goal` is 0 where goals are not drawn.
    """

    cell: int
    goal: int


class RoomsParams(NamedTuple):
    """How one moves.

    Attributes:
        after: `[4, 4, 104]` the cell that outcome k of a move leads to: as meant, or turned clockwise k times.
        starts: `[n, 2]` first states (cell, goal), equally likely.
        chances: probability of moving as meant, and of each of the three other directions.
        goals_drawn: whether the goal is drawn at the start and observed.
    """

    after: np.ndarray
    starts: np.ndarray
    chances: tuple[float, float, float, float]
    goals_drawn: bool


class RoomsPurpose(NamedTuple):
    """What is wanted.

    Attributes:
        goal: number of the cell to reach; −1: the one drawn at the start.
        goal_reward: on entering it.
        step_reward: at every step, beside.
    """

    goal: int = DRAWN
    goal_reward: float = 1.0
    step_reward: float = 0.0


class FourRooms(World):
    """Find a cell in four rooms that are joined by four hallways.

    A grid of 11 × 11 cells within walls, 104 of them free. Free cells are numbered row by row.

    Actions: `up`, `right`, `down`, `left`. With probability `fail_probability` a move goes in one of the three other
        directions instead, alike. Moves into walls stay where they are.
    Observations: Discrete(104): the number of the cell; with `goal="random"` Discrete(10816): goal · 104 + cell.
    Rewards: 1 on entering the goal, 0 otherwise.
    Start: anywhere in a room (not in a hallway, nor at the goal), or a given cell.
    End: terminated at the goal; truncated after 500 steps.

    Args:
        goal: a hallway (`north`, `east`, `south`, `west`), a cell as `row,column` with (0, 0) the corner of the outer
            wall, or `random`: drawn again for each episode from all free cells, and observed.
        start: `random`, or a cell as `row,column`.
        fail_probability: see above.
        goal_reward, step_reward: rewards.

    Source: Sutton, Precup & Singh (1999), "Between MDPs and semi-MDPs", Artificial Intelligence 112, Section 3: the
        rooms, and moves that fail with probability 1/3. `goal="8,9", start="4,1"` is gymnax's FourRooms-misc, and with
        `goal="random"` its resampled goal.
    Version history: v0, first.
    """

    State = RoomsState
    Params = RoomsParams
    Purpose = RoomsPurpose
    actions = ("up", "right", "down", "left")
    branches = 4
    max_episode_steps = 500

    def setup(
        self,
        goal: str = "south",
        start: str = "random",
        fail_probability: float = 1 / 3,
        goal_reward: float = 1.0,
        step_reward: float = 0.0,
    ) -> tuple[RoomsParams, RoomsPurpose]:
        fail = probability("fail_probability", fail_probability)
        wanted = DRAWN if goal == "random" else _cell("goal", goal)
        rooms = [k for k, cell in enumerate(CELLS) if cell not in HALLWAYS.values()]
        starts = rooms if start == "random" else [_cell("start", start)]
        goals = range(COUNT) if wanted == DRAWN else [0]
        pairs = [(s, g) for s in starts for g in goals if s != (g if wanted == DRAWN else wanted)]
        if not pairs:
            raise UsageError(f"start = {start!r} is the goal", expected="another cell")
        params = RoomsParams(
            after=_after(),
            starts=np.array(pairs, np.int64),
            chances=(1.0 - fail, fail / 3, fail / 3, fail / 3),
            goals_drawn=wanted == DRAWN,
        )
        return params, RoomsPurpose(wanted, number("goal_reward", goal_reward), number("step_reward", step_reward))

    @staticmethod
    def initial_branches(params: RoomsParams) -> int:
        return len(params.starts)

    @staticmethod
    def initial(params: RoomsParams, branch: int) -> tuple[float, RoomsState]:
        return 1.0 / len(params.starts), RoomsState(params.starts[branch, 0], params.starts[branch, 1])

    @staticmethod
    def transition(params: RoomsParams, state: RoomsState, action: int, branch: int) -> tuple[float, RoomsState]:
        return params.chances[branch], RoomsState(params.after[branch, action, state.cell], state.goal)

    @staticmethod
    def reward(
        params: RoomsParams, purpose: RoomsPurpose, state: RoomsState, action: int, next_state: RoomsState
    ) -> float:
        goal = next_state.goal if purpose.goal == DRAWN else purpose.goal
        return purpose.step_reward + (purpose.goal_reward if next_state.cell == goal else 0.0)

    @staticmethod
    def terminal(params: RoomsParams, purpose: RoomsPurpose, state: RoomsState) -> bool:
        return state.cell == (state.goal if purpose.goal == DRAWN else purpose.goal)

    @staticmethod
    def observation(params: RoomsParams, state: RoomsState) -> int:
        return state.goal * COUNT + state.cell

    @staticmethod
    def observations(params: RoomsParams) -> gym.Space[Any]:
        return gym.spaces.Discrete(COUNT * COUNT if params.goals_drawn else COUNT)

    @staticmethod
    def state_of(params: RoomsParams, observation: int) -> RoomsState:
        goal, cell = divmod(int(observation), COUNT)
        return RoomsState(cell, goal)

    @staticmethod
    def roots(params: RoomsParams) -> Iterable[RoomsState]:
        goals = range(COUNT) if params.goals_drawn else [0]
        return [RoomsState(cell, goal) for goal in goals for cell in range(COUNT)]

    @staticmethod
    def purposes(params: RoomsParams, purpose: RoomsPurpose) -> dict[str, RoomsPurpose]:
        return {name: purpose._replace(goal=NUMBER[cell]) for name, cell in HALLWAYS.items()}

    @staticmethod
    def describe(params: RoomsParams, purpose: RoomsPurpose, state: RoomsState) -> str:
        row, column = CELLS[state.cell]
        goal = state.goal if purpose.goal == DRAWN else purpose.goal
        goal_row, goal_column = CELLS[goal]
        ways = [
            f"{name} {'wall' if params.after[0, k, state.cell] == state.cell else 'free'}"
            for k, name in enumerate(FourRooms.actions)
        ]
        halls = ", ".join(f"{name} row {r} column {c}" for name, (r, c) in HALLWAYS.items())
        return (
            f"row {row} column {column}, {_room(row, column)} | goal row {goal_row} column {goal_column}, "
            f"{_room(goal_row, goal_column)} | hallways: {halls} | " + ", ".join(ways)
        )

    @staticmethod
    def draw(params: RoomsParams, purpose: RoomsPurpose, state: RoomsState) -> Scene:
        shapes: list[Shape] = [Rect(0, 0, SIZE, SIZE, fill="wall")]
        for row, column in CELLS:
            ground = "start" if (row, column) in HALLWAYS.values() else "paper"
            shapes.append(Rect(column, row, 1, 1, fill=ground, stroke="line", line_width=0.02))
        drawn = purpose.goal == DRAWN
        row, column = CELLS[state.goal if drawn else purpose.goal]
        layer: Layer = "moving" if drawn else "static"
        shapes.append(Rect(column + 0.06, row + 0.06, 0.88, 0.88, fill="goal", radius=0.12, layer=layer))
        x, y = FourRooms.place(params, state)
        shapes.append(Circle(x, y, 0.4, fill="agent", stroke="ink", layer="moving"))
        return Scene(SIZE, SIZE, tuple(shapes))

    @staticmethod
    def place(params: RoomsParams, state: RoomsState) -> tuple[float, float]:
        row, column = CELLS[state.cell]
        return column + 0.5, row + 0.5


def _room(row: int, column: int) -> str:
    for name, cell in HALLWAYS.items():
        if cell == (row, column):
            return f"the {name} hallway"
    upper = row < (6 if column < 6 else 7)
    return f"{'upper' if upper else 'lower'} {'left' if column < 6 else 'right'} room"


def _cell(name: str, text: str) -> int:
    """Returns the number of a cell given as a hallway's name or as `row,column`."""
    cell = HALLWAYS.get(text)
    parts = text.split(",") if isinstance(text, str) else []
    if cell is None and len(parts) == 2 and all(part.strip().isdigit() for part in parts):
        cell = (int(parts[0]), int(parts[1]))
    if cell not in NUMBER:
        raise UsageError(
            f"{name} = {text!r}",
            expected=f"random, {', '.join(HALLWAYS)}, or a free cell such as 8,9",
            hint=closest(str(text), ["random", *HALLWAYS]),
        )
    return NUMBER[cell]


def _after() -> np.ndarray:
    """Returns `[4, 4, 104]` the cell that each outcome of each move leads to."""
    moved = np.array(
        [[NUMBER.get((r + down, c + right), NUMBER[r, c]) for r, c in CELLS] for down, right in OFFSETS], np.int64
    )
    return np.stack([np.roll(moved, -turn, axis=0) for turn in range(4)])
