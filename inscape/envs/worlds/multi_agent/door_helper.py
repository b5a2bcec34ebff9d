"""A helper with the keys, that does not know where the other one wants to go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from inscape.envs.law.tools import popcount
from inscape.envs.rendering.scene import Rect, Scene, Shape, Text
from inscape.envs.world import World
from inscape.envs.worlds.multi_agent.grid_moves import (
    MOVES,
    STAY,
    at,
    cells_of,
    floor_shapes,
    middle,
    moves_table,
    neighbours_table,
    player_shapes,
    read_rows,
    require,
    settled,
)
from inscape.errors import UsageError

GOALS = "ABCDE"
MOST_DOORS = 12
OPEN = 5
HUMAN = 0
MAPS: dict[str, tuple[str, ...]] = {
    "four-rooms": (
        "#########",
        "#A..#..B#",
        "#...#...#",
        "##+###+##",
        "#...S...#",
        "#...P...#",
        "##+###+##",
        "#...#...#",
        "#C..#..D#",
        "#########",
    ),
    "corridor": ("###########", "#A+..S..+B#", "#...#P#...#", "###########"),
}


class DoorHelperState(NamedTuple):
    """The human's cell and the helper's (row · width + column), and a bit per open door."""

    human: int
    helper: int
    doors: int


class DoorHelperParams(NamedTuple):
    """How one moves.

    Attributes:
        letters: `[cells]` the map's letters, as character codes.
        after: `[5, cells]` the cell a move leads to, doors open.
        door: `[cells]` the bit of the door in a cell, 0 where there is none.
        reach: `[cells]` the bits of the doors next to a cell.
        human, helper: first cells.
        doors: number of doors.
        width: columns of the map.
    """

    letters: np.ndarray
    after: np.ndarray
    door: np.ndarray
    reach: np.ndarray
    human: int
    helper: int
    doors: int
    width: int


class DoorHelperPurpose(NamedTuple):
    """What the human wants, and so the helper.

    Attributes:
        goal: the cell the human wants to reach.
        goal_reward: when the human reaches it.
        step_cost: subtracted at every step.
        door_cost: subtracted for every door opened.
    """

    goal: int
    goal_reward: float
    step_cost: float
    door_cost: float


class DoorHelper(World):
    """A human walks to a goal that only the human knows; a helper with the keys opens doors.

    The map: `#` wall, `.` floor, `S` the human's first cell, `P` the helper's, `A` … `E` goals, `+` doors, closed at
    first.

    Actions: `left`, `down`, `right`, `up`, `stay`, `open`, both at once. `open` opens all doors next to the helper, to
        be walked through from the next step on; for the human, who has no keys, it is `stay`. Nobody enters a closed
        door. If the two would share a cell or swap cells, both stay where they were.
    Observations: MultiDiscrete, the same for both: the human's cell, the helper's, the open doors as bits. The goal is
        no part of it: it is the purpose, and what the helper has to infer.
    Rewards: the same for both: `goal_reward` when the human reaches the goal, minus `step_cost`, minus `door_cost` for
        every door opened.
    Start: the map's.
    End: terminated when the human is at the goal; truncated after 60 steps.

    Args:
        map: a name (`four-rooms`, `corridor`) or rows with `/` between them.
        goal: the letter of the human's goal.
        goal_reward, step_cost, door_cost: rewards.

    Source: the assistance game of Hadfield-Menell, Russell, Abbeel & Dragan (2016), "Cooperative inverse reinforcement
        learning", NeurIPS: two players, one reward that only one of them knows. The map is original.
    Version history: v0, first.
    """

    State = DoorHelperState
    Params = DoorHelperParams
    Purpose = DoorHelperPurpose
    actions = (*MOVES, "open")
    players = 2
    player_names = ("human", "helper")
    simultaneous = True
    max_episode_steps = 60

    def setup(
        self,
        map: str | Sequence[str] = "four-rooms",
        goal: str = "A",
        goal_reward: float = 1.0,
        step_cost: float = 0.02,
        door_cost: float = 0.05,
    ) -> tuple[DoorHelperParams, DoorHelperPurpose]:
        rows = read_rows(map, MAPS, "#.SP+" + GOALS)
        text = "".join(rows)
        doors = cells_of(rows, "+")
        for letter, what in (("S", "the human's first cell"), ("P", "the helper's first cell")):
            if text.count(letter) != 1:
                raise UsageError(f"the map has {text.count(letter)} cells {letter}", expected=f"one: {what}")
        if len(doors) > MOST_DOORS:
            raise UsageError(f"the map has {len(doors)} doors", expected=f"at most {MOST_DOORS}")
        if not isinstance(goal, str) or goal not in GOALS or text.count(goal) != 1:
            there = ", ".join(letter for letter in GOALS if text.count(letter) == 1)
            raise UsageError(
                f"goal = {goal!r}", expected=f"a letter that stands once in the map: {there or 'none does'}"
            )
        for name, value in (("goal_reward", goal_reward), ("step_cost", step_cost), ("door_cost", door_cost)):
            require(name, value, -1e12, 1e12)
        after = moves_table(rows)
        bits = np.zeros(len(text), np.int64)
        bits[doors] = 1 << np.arange(len(doors))
        params = DoorHelperParams(
            letters=np.array([ord(letter) for letter in text], np.int64),
            after=after,
            door=bits,
            reach=(neighbours_table(after) * bits).sum(1),
            human=text.index("S"),
            helper=text.index("P"),
            doors=len(doors),
            width=len(rows[0]),
        )
        return params, DoorHelperPurpose(text.index(goal), float(goal_reward), float(step_cost), float(door_cost))

    @staticmethod
    def initial(params: DoorHelperParams, branch: int) -> tuple[float, DoorHelperState]:
        return 1.0, DoorHelperState(params.human, params.helper, 0)

    @staticmethod
    def transition(
        params: DoorHelperParams, state: DoorHelperState, action: tuple[int, int], branch: int
    ) -> tuple[float, DoorHelperState]:
        human = params.after[min(action[0], STAY), state.human]
        helper = params.after[min(action[1], STAY), state.helper]
        human = state.human if params.door[human] & ~state.doors else human
        helper = state.helper if params.door[helper] & ~state.doors else helper
        human, helper = settled((state.human, state.helper), (human, helper))
        opened = params.reach[state.helper] if action[1] == OPEN else 0
        return 1.0, DoorHelperState(human, helper, state.doors | opened)

    @staticmethod
    def reward(
        params: DoorHelperParams,
        purpose: DoorHelperPurpose,
        state: DoorHelperState,
        action: tuple[int, int],
        next_state: DoorHelperState,
    ) -> tuple[float, float]:
        gained = purpose.goal_reward if next_state.human == purpose.goal else 0.0
        opened = popcount(int(next_state.doors & ~state.doors))
        shared = gained - purpose.step_cost - purpose.door_cost * opened
        return shared, shared

    @staticmethod
    def terminal(params: DoorHelperParams, purpose: DoorHelperPurpose, state: DoorHelperState) -> bool:
        return state.human == purpose.goal

    @staticmethod
    def observation(params: DoorHelperParams, state: DoorHelperState, player: int) -> tuple[int, int, int]:
        return state.human, state.helper, state.doors

    @staticmethod
    def observations(params: DoorHelperParams) -> tuple[int, int, int]:
        return len(params.letters), len(params.letters), 2**params.doors

    @staticmethod
    def state_of(params: DoorHelperParams, observation: tuple[int, int, int]) -> DoorHelperState:
        human, helper, doors = observation
        return DoorHelperState(int(human), int(helper), int(doors))

    @staticmethod
    def purposes(params: DoorHelperParams, purpose: DoorHelperPurpose) -> dict[str, DoorHelperPurpose]:
        named = {}
        for letter in GOALS:
            cells = np.flatnonzero(params.letters == ord(letter))
            if len(cells) == 1:
                named[letter] = purpose._replace(goal=int(cells[0]))
        return named

    @staticmethod
    def describe(params: DoorHelperParams, purpose: DoorHelperPurpose, state: DoorHelperState) -> str:
        width = params.width
        doors = ", ".join(
            f"door {at(int(cell), width)} {'open' if params.door[cell] & state.doors else 'closed'}"
            for cell in np.flatnonzero(params.door)
        )
        goals = ", ".join(
            f"{letter} {at(goal.goal, width)}" for letter, goal in DoorHelper.purposes(params, purpose).items()
        )
        return (
            f"human {at(state.human, width)} | helper {at(state.helper, width)} | {doors} | goals {goals} | the human "
            "knows which goal is wanted; the helper opens doors that the human may pass"
        )

    @staticmethod
    def draw(params: DoorHelperParams, purpose: DoorHelperPurpose, state: DoorHelperState) -> Scene:
        return _floor_plan(params, state, purpose.goal)

    @staticmethod
    def draw_view(params: DoorHelperParams, purpose: DoorHelperPurpose, state: DoorHelperState, player: int) -> Scene:
        """Returns what a player sees; to the helper all goals look the same."""
        return _floor_plan(params, state, purpose.goal if player == HUMAN else None)

    @staticmethod
    def place(params: DoorHelperParams, state: DoorHelperState) -> tuple[float, float]:
        return middle(state.human, params.width)


def _floor_plan(params: DoorHelperParams, state: DoorHelperState, wanted: int | None) -> Scene:
    """Returns the floor with the players; of the goals, the one in cell `wanted` stands out."""
    width, height = params.width, len(params.letters) // params.width
    text = "".join(chr(code) for code in params.letters)
    shapes: list[Shape] = floor_shapes([text[r * width : (r + 1) * width] for r in range(height)])
    for cell, letter in enumerate(text):
        x, y = middle(cell, width)
        if letter in GOALS:
            fill = "goal" if cell == wanted else "muted"
            shapes.append(Rect(x - 0.38, y - 0.38, 0.76, 0.76, fill=fill, radius=0.12))
            shapes.append(Text(x, y, letter, size=0.45, fill="paper"))
        elif letter == "+":
            if params.door[cell] & state.doors:
                for side in (-0.5, 0.36):  # its posts
                    shapes.append(Rect(x + side, y - 0.5, 0.14, 1, fill="wood", layer="moving"))
            else:
                shapes.append(Rect(x - 0.5, y - 0.5, 1, 1, fill="wood", stroke="ink", layer="moving"))
                shapes.append(Rect(x + 0.16, y - 0.08, 0.16, 0.16, fill="ink", radius=0.08, layer="moving"))
    shapes += player_shapes(0, state.human, width)
    x, y = middle(state.helper, width)
    shapes += player_shapes(1, state.helper, width)
    shapes.append(Rect(x - 0.18, y - 0.06, 0.36, 0.12, fill="yellow", layer="moving"))  # the keys
    return Scene(width, height, tuple(shapes))
