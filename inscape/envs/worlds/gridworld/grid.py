"""Grid worlds built from a text map."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from inscape.envs.rendering.scene import Circle, Polygon, Rect, Scene, Shape, Text
from inscape.envs.world import World
from inscape.envs.worlds.gridworld.maps import MAPS
from inscape.errors import UsageError, closest

# Clockwise seen from above with rows growing downwards… left, down, right, up is Gymnasium's order, anticlockwise.
OFFSETS = {
    4: ((0, -1), (1, 0), (0, 1), (-1, 0)),
    8: ((0, -1), (1, -1), (1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1)),
}
NAMES = {
    4: ("left", "down", "right", "up"),
    8: ("left", "down-left", "down", "down-right", "right", "up-right", "up", "up-left"),
}
ONE_WAY = {"<": (0, -1), "v": (1, 0), ">": (0, 1), "^": (-1, 0)}
NAMED_GOALS = "ABCDE"
LETTERS = {"#": "wall", ".": "floor", "S": "start", "G": "goal", "H": "pit", "F": "ice"}
GOALS = "G" + NAMED_GOALS
PIT, ANY_GOAL = ord("H"), -1
G, FIRST_NAMED, LAST_NAMED = ord("G"), ord(NAMED_GOALS[0]), ord(NAMED_GOALS[-1])


class GridState(NamedTuple):
    """The agent's cell: row · width + column."""

    cell: int


class GridParams(NamedTuple):
    """How one moves.

    Attributes:
        letters: `[cells]` the map's letters, as character codes.
        after: `[3, moves, cells]` the cell a move leads to: as meant, astray to the one side, to the other.
        chances: `[3, cells]` their probabilities.
        slips: `[cells]` bool, True where a move may slip.
        starts: `[n]` start cells, equally likely.
        slip: probability of slipping to one of the two neighbouring directions, half of it each.
        width: columns of the map.
        moves: 4 or 8.
    """

    letters: np.ndarray
    after: np.ndarray
    chances: np.ndarray
    slips: np.ndarray
    starts: np.ndarray
    slip: float
    width: int
    moves: int


class GridPurpose(NamedTuple):
    """What is wanted: reach the cell `goal` (−1: any goal of the map).

    Attributes:
        goal_reward: on entering the goal.
        pit_reward: on falling into a pit.
        step_cost: subtracted at every step.
    """

    goal: int = ANY_GOAL
    goal_reward: float = 1.0
    pit_reward: float = 0.0
    step_cost: float = 0.0


class GridWorld(World):
    """A grid read from a text map.

    The map: `#` wall, `.` floor, `S` start (several: equally likely), `G` goal, `A` … `E` goals by name, `H` pit,
    `F` ice, `< > ^ v` one-way cells: left only along the arrow, never entered against it.

    Actions: `left`, `down`, `right`, `up`; or, with `moves=8`, the eight directions from `left` by way of `down`.
        Moves into walls, off the map, against an arrow, or diagonally around a wall's corner stay where they are.
        On ice a move goes astray with probability `slip`, to either neighbouring direction alike (with 4 moves, at
        right angles; with 8, by 45°).
    Observations: Discrete: the cell, row · width + column.
    Rewards: `goal_reward` on entering the goal, `pit_reward` on falling, `step_cost` subtracted at every step.
    Start: one of the cells `S`.
    End: terminated at the goal and in pits; truncated after `max_episode_steps`.

    Args:
        map: a name (`4x4`, `8x8`, `four-goals`, `rooms`), the rows of a map (a list, or one text with line breaks or
            `/` between rows), or the path of a text file.
        moves: 4 or 8.
        slip: probability in [0, 1] that a move on ice goes astray.
        ice: the letters of the map whose cells are ice.
        goal: `any`, or the letter of a goal.
        goal_reward, pit_reward, step_cost: rewards.

    Source: FrozenLake is Gymnasium's; its table and this one are equal entry for entry (slip 2/3).
    Version history: v0, first.
    """

    State = GridState
    Params = GridParams
    Purpose = GridPurpose
    max_branches = 3
    max_episode_steps = 100

    def setup(
        self,
        map: str | Sequence[str] = "rooms",
        moves: int = 4,
        slip: float = 0.2,
        ice: str = "F",
        goal: str = "any",
        goal_reward: float = 1.0,
        pit_reward: float = 0.0,
        step_cost: float = 0.0,
    ) -> tuple[GridParams, GridPurpose]:
        rows = read_map(map)
        if moves not in OFFSETS:
            raise UsageError(f"moves = {moves!r}", expected="4 or 8")
        if not (isinstance(slip, (int, float)) and 0 <= slip <= 1):
            raise UsageError(
                f"slip = {slip!r}", expected="a probability in [0, 1]", hint="slip = 0.2, or 0 for firm ground"
            )
        for name, value in (("goal_reward", goal_reward), ("pit_reward", pit_reward), ("step_cost", step_cost)):
            if not (isinstance(value, (int, float)) and np.isfinite(value)):
                raise UsageError(f"{name} = {value!r}", expected="a finite number")
        text = "".join(rows)
        letters = np.array([ord(letter) for letter in text], np.int64)
        slips = np.array([letter in ice for letter in text])
        meant = _moves_table(rows, moves)
        params = GridParams(
            letters=letters,
            after=np.stack([meant, np.roll(meant, -1, 0), np.roll(meant, 1, 0)]),
            chances=np.stack([1.0 - slip * slips, 0.5 * slip * slips, 0.5 * slip * slips]),
            slips=slips,
            starts=np.flatnonzero(letters == ord("S")),
            slip=float(slip),
            width=len(rows[0]),
            moves=int(moves),
        )
        return params, GridPurpose(_goal_cell(text, goal), float(goal_reward), float(pit_reward), float(step_cost))

    @staticmethod
    def actions(params: GridParams) -> tuple[str, ...]:
        return NAMES[params.moves]

    @staticmethod
    def initial_branches(params: GridParams) -> int:
        return len(params.starts)

    @staticmethod
    def branches(params: GridParams) -> int:
        return 3 if params.slip > 0.0 else 1

    @staticmethod
    def initial(params: GridParams, branch: int) -> tuple[float, GridState]:
        return 1.0 / len(params.starts), GridState(params.starts[branch])

    @staticmethod
    def transition(params: GridParams, state: GridState, action: int, branch: int) -> tuple[float, GridState]:
        # branch 0 goes where it was meant to, 1 and 2 to the neighbouring directions
        return params.chances[branch, state.cell], GridState(params.after[branch, action, state.cell])

    @staticmethod
    def reward(params: GridParams, purpose: GridPurpose, state: GridState, action: int, next_state: GridState) -> float:
        gained = 0.0 - purpose.step_cost  # not −0.0 where steps are free
        # no branch: which copies arrive cannot be predicted
        arrived = is_goal(params, purpose, next_state.cell)
        fallen = (params.letters[next_state.cell] == PIT) & (not arrived)
        return gained + (purpose.goal_reward if arrived else 0.0) + (purpose.pit_reward if fallen else 0.0)

    @staticmethod
    def terminal(params: GridParams, purpose: GridPurpose, state: GridState) -> bool:
        return bool((params.letters[state.cell] == PIT) | is_goal(params, purpose, state.cell))

    @staticmethod
    def observation(params: GridParams, state: GridState) -> int:
        return state.cell

    @staticmethod
    def observations(params: GridParams) -> gym.Space[Any]:
        return gym.spaces.Discrete(len(params.letters))

    @staticmethod
    def state_of(params: GridParams, observation: int) -> GridState:
        return GridState(int(observation))

    @staticmethod
    def roots(params: GridParams) -> Iterable[GridState]:
        return [GridState(int(cell)) for cell in np.flatnonzero(params.letters != ord("#"))]

    @staticmethod
    def purposes(params: GridParams, purpose: GridPurpose) -> dict[str, GridPurpose]:
        named = {}
        for letter in GOALS:
            cells = np.flatnonzero(params.letters == ord(letter))
            for number, cell in enumerate(cells, 1):
                named[letter if len(cells) == 1 else f"{letter}{number}"] = purpose._replace(goal=int(cell))
        return named

    @staticmethod
    def describe(params: GridParams, purpose: GridPurpose, state: GridState) -> str:
        row, column = divmod(state.cell, params.width)
        around = " ".join(
            f"{name} {_ground(params, purpose, state.cell, int(params.after[0, k, state.cell]))}"
            for k, name in enumerate(NAMES[params.moves])
        )
        places = [
            "row {} column {}".format(*divmod(cell, params.width))
            for cell in range(len(params.letters))
            if is_goal(params, purpose, cell)
        ]
        wanted = f" | goal {' or '.join(places)}" if places else ""
        return f"row {row} column {column} | {around}{wanted}"

    @staticmethod
    def draw(params: GridParams, purpose: GridPurpose, state: GridState) -> Scene:
        width, height = params.width, len(params.letters) // params.width
        shapes: list[Shape] = [Rect(0, 0, width, height, fill="paper")]
        for cell, code in enumerate(params.letters):
            row, column = divmod(cell, width)
            icy = bool(params.slips[cell]) or (code == PIT and bool(params.slips.any()))
            shapes += _cell_shapes(chr(code), column, row, icy, is_goal(params, purpose, cell))
        row, column = divmod(state.cell, width)
        shapes.append(Circle(column + 0.5, row + 0.5, 0.3, fill="agent", stroke="ink", layer="moving"))
        return Scene(width, height, tuple(shapes))

    @staticmethod
    def place(params: GridParams, state: GridState) -> tuple[float, float]:
        row, column = divmod(state.cell, params.width)
        return column + 0.5, row + 0.5


def is_goal(params: GridParams, purpose: GridPurpose, cell: int) -> bool:
    """Returns whether reaching `cell` is what `purpose` wants (compiled with the law)."""
    if purpose.goal >= 0:
        return cell == purpose.goal
    letter = params.letters[cell]
    return bool((letter == G) | ((letter >= FIRST_NAMED) & (letter <= LAST_NAMED)))


def read_map(source: str | Sequence[str]) -> tuple[str, ...]:
    """Returns the rows of a map given by name, by text, by rows, or by the path of a text file.

    Raises:
        UsageError: no such map; ragged rows; an unknown letter; no start; no free cell.
    """
    where = "the map"
    if isinstance(source, str):
        if source in MAPS:
            return MAPS[source]
        if "\n" in source or ("/" in source and not source.endswith(".txt")):
            rows = source.strip().replace("/", "\n").split("\n")
        elif Path(source).is_file():
            rows, where = Path(source).read_text(encoding="utf-8").strip().split("\n"), source
        else:
            raise UsageError(
                f"no map named {source!r}, and no such file",
                expected="a map's name, its rows with / between them, or the path of a text file",
                hint=closest(source, MAPS),
            )
    else:
        rows = [str(row) for row in source]
    rows = [row.strip() for row in rows]
    if not rows or not rows[0]:
        raise UsageError(f"{where} is empty", expected="rows of letters, such as SF/FG")
    known = set(LETTERS) | set(ONE_WAY) | set(NAMED_GOALS)
    for number, row in enumerate(rows, 1):
        if len(row) != len(rows[0]):
            raise UsageError(
                f"row {number} of {where} has {len(row)} cells and row 1 has {len(rows[0])}: {row!r}",
                expected="rows of equal length",
                hint="fill short rows with # (wall) or . (floor)",
            )
        for column, letter in enumerate(row, 1):
            if letter not in known:
                raise UsageError(
                    f"unknown letter {letter!r} in row {number}, column {column} of {where}",
                    expected="# wall, . floor, S start, G goal, A–E named goals, H pit, F ice, < > ^ v one-way cells",
                    hint="one of these letters, or . for a cell where nothing is",
                )
    if not any("S" in row for row in rows):
        raise UsageError(f"{where} has no start", expected="at least one cell S", hint="write S where episodes begin")
    return tuple(rows)


def _goal_cell(text: str, goal: str) -> int:
    if goal == "any":
        return ANY_GOAL
    present = [letter for letter in GOALS if letter in text]
    if not isinstance(goal, str) or goal not in present:
        raise UsageError(
            f"goal = {goal!r}", expected=f"any, or a goal of the map: {', '.join(present) or 'it has none'}"
        )
    if text.count(goal) > 1:
        raise UsageError(
            f"goal = {goal!r} stands {text.count(goal)} times in the map", expected="a goal that is one cell"
        )
    return text.index(goal)


def _moves_table(rows: Sequence[str], moves: int) -> np.ndarray:
    height, width = len(rows), len(rows[0])

    def free(row: int, column: int) -> bool:
        return 0 <= row < height and 0 <= column < width and rows[row][column] != "#"

    after = np.empty((moves, height * width), np.int64)
    for k, (down, right) in enumerate(OFFSETS[moves]):
        for row in range(height):
            for column in range(width):
                to = (row + down, column + right)
                here = rows[row][column]
                allowed = free(*to) and here != "#"
                if allowed and down and right:
                    allowed = free(row + down, column) and free(row, column + right)
                if allowed and here in ONE_WAY:
                    allowed = ONE_WAY[here] == (down, right)
                if allowed and rows[to[0]][to[1]] in ONE_WAY:
                    arrow = ONE_WAY[rows[to[0]][to[1]]]
                    allowed = arrow[0] * down + arrow[1] * right >= 0
                after[k, row * width + column] = to[0] * width + to[1] if allowed else row * width + column
    return after


def _ground(params: GridParams, purpose: GridPurpose, cell: int, to: int) -> str:
    """Returns what lies where a move leads, in one word."""
    if to == cell:
        return "blocked"
    if is_goal(params, purpose, to):
        return "goal"
    if params.letters[to] == PIT:
        return "pit"
    return "ice" if params.slips[to] else "floor"


EDGE = (0.42, 0.40, 0.43, 0.37, 0.41, 0.43, 0.39, 0.37, 0.42, 0.41, 0.37, 0.43)
"""How far the broken edge of a hole reaches from its middle, in twelve directions."""


def _around(x: float, y: float, reaches: Sequence[float]) -> tuple[tuple[float, float], ...]:
    angles = [2 * math.pi * k / len(reaches) for k in range(len(reaches))]
    return tuple(
        (x + reach * math.cos(angle), y + reach * math.sin(angle)) for reach, angle in zip(reaches, angles, strict=True)
    )


def _cell_shapes(letter: str, x: int, y: int, ice: bool, wanted: bool) -> list[Shape]:
    ground = "wall" if letter == "#" else "ice" if ice else "paper"
    shapes: list[Shape] = [Rect(x, y, 1, 1, fill=ground, stroke="line", line_width=0.02)]
    if letter == "H":  # water below a broken edge, whose shadow lies on it
        shapes.append(Polygon(_around(x + 0.5, y + 0.5, EDGE), fill="wall"))
        shapes.append(Polygon(_around(x + 0.5, y + 0.56, tuple(0.8 * reach for reach in EDGE)), fill="water"))
    elif letter in GOALS:
        shapes.append(Rect(x + 0.12, y + 0.12, 0.76, 0.76, fill="goal" if wanted else "muted", radius=0.12))
        shapes.append(Text(x + 0.5, y + 0.5, letter, size=0.45, fill="paper"))
    elif letter == "S":  # seen around whoever stands there, too
        shapes.append(Rect(x + 0.08, y + 0.08, 0.84, 0.84, fill="start", stroke="muted", line_width=0.03, radius=0.1))
        shapes.append(Text(x + 0.2, y + 0.21, "S", size=0.16, fill="ink"))
    elif letter in ONE_WAY:
        down, right = ONE_WAY[letter]
        cx, cy = x + 0.5, y + 0.5
        tip = (cx + 0.3 * right, cy + 0.3 * down)
        left = (cx - 0.2 * right - 0.25 * down, cy - 0.2 * down - 0.25 * right)
        other = (cx - 0.2 * right + 0.25 * down, cy - 0.2 * down + 0.25 * right)
        shapes.append(Polygon((tip, left, other), fill="muted"))
    return shapes
