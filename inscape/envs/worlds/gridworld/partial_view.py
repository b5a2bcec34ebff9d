"""What worlds with MiniGrid's partial view share: the 7 × 7 cells before the agent, as far as it can see.

A cell of the view is a bit of one integer: bit 7·ahead + across, `ahead` 0 … 6 steps in front of the agent, `across`
0 … 6 from its left to its right, the agent itself at ahead 0, across 3. What there is to see is a handful of such
49-bit masks, worked out from the state by arithmetic; no grid is kept anywhere.

Directions are MiniGrid's: 0 right, 1 down, 2 left, 3 up; x grows to the right, y downwards; cell (0, 0) is a wall.

Source: Chevalier-Boisvert et al. (2023), Minigrid & Miniworld, NeurIPS Datasets and Benchmarks: encodings, dynamics,
line of sight and the order of the image's entries; equal to the package minigrid 3.2 entry for entry.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import gymnasium as gym
import numpy as np

from inscape.envs.rendering.scene import Circle, Polygon, Rect, Scene, Shape
from inscape.envs.world import World
from inscape.errors import UsageError

ACTIONS = ("left", "right", "forward", "pick up", "drop", "toggle", "done")
LEFT, RIGHT, FORWARD, PICK_UP, DROP, TOGGLE, DONE = range(7)
DIRECTIONS = ("right", "down", "left", "up")

SIDE = 7
ROW = 127  # the bits of one row
COLUMN = sum(1 << SIDE * ahead for ahead in range(SIDE))  # one bit of each row
EVERY = (1 << SIDE * SIDE) - 1
OWN = 1 << SIDE // 2  # the agent's own cell

OPEN, CLOSED, LOCKED = 0, 1, 2  # states of a door
FLOOR, WALL, DOOR, KEY, GOAL = 1, 2, 4, 5, 8  # MiniGrid's numbers for what is seen
REWARDS = ("falling", "constant")
LARGEST = 1000  # cells per side


class View(NamedTuple):
    """What the agent sees: disjoint masks of what lies where, and how it looks.

    Attributes:
        floor, wall, goal, key, door: cells in sight that look so; the agent's own cell looks like what it carries.
        door_state: `OPEN`, `CLOSED` or `LOCKED`.
        compass: the agent's direction, 0 where there is no compass.
    """

    floor: int
    wall: int
    goal: int
    key: int
    door: int
    door_state: int
    compass: int


# ------------------------------------------------------------------------------------- compiled with the laws


def step_x(direction: int) -> int:
    """Returns the x of the unit vector in a direction."""
    return int(direction == 0) - int(direction == 2)


def step_y(direction: int) -> int:
    """Returns the y of the unit vector in a direction."""
    return int(direction == 1) - int(direction == 3)


def turned(direction: int, action: int) -> int:
    """Returns the direction after an action: `left` and `right` turn by 90°."""
    return (direction + int(action == RIGHT) + 3 * int(action == LEFT)) & 3


def inside(coordinate: int) -> bool:
    """Returns whether `ahead`, or `across`, lies within the view."""
    return (coordinate >= 0) & (coordinate < SIDE)


def bit_at(x: int, y: int, dx: int, dy: int) -> int:
    """Returns the view's bit of the cell (x, y) away from an agent facing (dx, dy); 0 where it is out of view."""
    ahead = x * dx + y * dy
    across = y * dx - x * dy + SIDE // 2
    return 1 << SIDE * ahead + across if inside(ahead) & inside(across) else 0


def room_floor(x: int, y: int, dx: int, dy: int, width: int, height: int) -> int:
    """Returns the cells of the view inside a room with walls all around, seen from (x, y) facing (dx, dy)."""
    east, west, south, north = width - 2 - x, x - 1, height - 2 - y, y - 1  # cells between the agent and each wall
    lengthwise = dx != 0
    forward = dx + dy > 0
    ahead = (east if lengthwise else south) if forward else (west if lengthwise else north)
    # facing right or up, lower coordinates lie to the left
    low, high = (north if lengthwise else west), (south if lengthwise else east)
    straight = dx - dy > 0
    left, right = (low if straight else high), (high if straight else low)
    row = (2 << SIDE // 2 + min(right, SIDE // 2)) - (1 << SIDE // 2 - min(left, SIDE // 2))
    return row * (COLUMN & ((1 << SIDE * min(ahead + 1, SIDE)) - 1))


def column_in_view(x: int, dx: int, dy: int) -> int:
    """Returns the view's cells in the column of the grid `x` away from an agent facing (dx, dy)."""
    ahead = x * dx
    across = SIDE // 2 - x * dy
    if dx != 0:
        return ROW << SIDE * ahead if inside(ahead) else 0
    return COLUMN << across if inside(across) else 0


def line_of_sight(clear: int) -> int:
    """Returns the cells in sight, `clear` being those one can see through.

    MiniGrid's rule, row by row away from the agent: light spreads sideways through clear cells up to the first that
    is not, and each lit clear cell lights the three cells next to it in the row ahead.
    """
    clear |= OWN
    lit = OWN
    seen = 0
    for ahead in range(SIDE):
        row = (clear >> SIDE * ahead) & ROW
        seeds = lit & row
        # adding the seeds carries them through the clear cells to their right and into the cell beyond
        rightwards = (row + seeds) ^ row
        # to their left in doubling steps: 1, 2, then 4 cells
        leftwards = seeds | (row & seeds >> 1)
        passing = row & row >> 1
        leftwards |= passing & leftwards >> 2
        passing &= passing >> 2
        leftwards |= passing & leftwards >> 4
        lit = (lit | rightwards | leftwards >> 1) & ROW
        seen |= lit << SIDE * ahead
        through = lit & row
        lit = (through | through << 1 | through >> 1) & ROW
    return seen


def look(view: View, k: int) -> tuple[int, int, int]:
    """Returns object, colour and state of cell k of the image (row-major over across, 6 − ahead).

    MiniGrid's encodings: floor (1, 0, 0), a grey wall (2, 5, 0), a yellow door (4, 4, its state), a yellow key
    (5, 4, 0), a green goal (8, 1, 0), and (0, 0, 0) for what is not seen.
    """
    bit = 1 << SIDE * (SIDE - 1 - k % SIDE) + k // SIDE
    floor, wall, goal = int((view.floor & bit) != 0), int((view.wall & bit) != 0), int((view.goal & bit) != 0)
    key, door = int((view.key & bit) != 0), int((view.door & bit) != 0)
    return (
        floor + 2 * wall + 5 * key + 8 * goal + 4 * door,
        5 * wall + 4 * key + goal + 4 * door,
        view.door_state * door + view.compass * int(bit == OWN),
    )


# ------------------------------------------------------------------------------------- ordinary Python


def check_settings(world: str, size: int, smallest: int, max_steps: int | None, reward: str) -> None:
    """Raises UsageError unless the settings every such world has are possible."""
    if not isinstance(size, (int, np.integer)) or not smallest <= size <= LARGEST:
        raise UsageError(
            f"size = {size!r} for {world}",
            expected=f"an integer from {smallest} to {LARGEST}",
            hint="cells per side, the walls included",
        )
    if max_steps is not None and (not isinstance(max_steps, (int, np.integer)) or max_steps < 1):
        raise UsageError(f"max_steps = {max_steps!r} for {world}", expected="an integer of at least 1, or None")
    if reward not in REWARDS:
        raise UsageError(
            f"reward = {reward!r} for {world}",
            expected=" or ".join(REWARDS),
            hint="falling: MiniGrid's, less the later; constant: 1",
        )


def time_limit(factor: int, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the class attribute `max_episode_steps` that follows from the settings: factor · size² by default."""
    size, limit = settings.get("size", 8), settings.get("max_steps")
    if limit is None and isinstance(size, (int, np.integer)):  # settings are checked later
        limit = factor * int(size) ** 2
    return {} if limit is None or limit == factor * 64 else {"max_episode_steps": limit}


def view_of(image: Any) -> View:
    """Returns what an image `[7, 7, 3]` shows, as far as it can be seen: the inverse of `look`."""
    cells = np.asarray(image)
    things, states = cells[:, ::-1, 0].T, cells[:, ::-1, 2].T  # row by row away from the agent
    own = (0, SIDE // 2)
    floor, wall, goal, key, door = (_mask(things == code) for code in (FLOOR, WALL, GOAL, KEY, DOOR))
    return View(floor, wall, goal, key, door, int(states[things == DOOR].max(initial=OPEN)), int(states[own]))


def _mask(cells: np.ndarray) -> int:
    return sum(1 << int(bit) for bit in np.flatnonzero(cells))


def describe_view(view: View, mission: str, compass: bool) -> str:
    """Returns as text what the agent sees, knows about itself, and has to do; nothing that it does not perceive."""
    carrying = "key" if view.key & OWN else "nothing"
    facing = [f"facing {DIRECTIONS[view.compass]}"] if compass else []
    parts = [mission, *facing, f"carrying {carrying}"]
    for name, forward, sideways in (("ahead", 1, 0), ("left", 0, -1), ("right", 0, 1)):
        parts.append(f"{name} {_along(view, forward, sideways)}")
    seen = [f"{name} {_whereabouts(mask)}" for name, mask in _things(view) if mask & ~OWN]
    parts.append("in view: " + (", ".join(seen) or "no object"))
    return " | ".join(parts)


def _things(view: View) -> tuple[tuple[str, int], ...]:
    door = ("open door", "closed door", "locked door")[view.door_state]
    return ("key", view.key), (door, view.door), ("goal", view.goal)


def _whereabouts(mask: int) -> str:
    ahead, across = divmod(mask.bit_length() - 1, SIDE)
    side = across - SIDE // 2
    words = [f"{ahead} ahead"] if ahead else []
    if side:
        words.append(f"{abs(side)} {'right' if side > 0 else 'left'}")
    return " ".join(words)


def _along(view: View, forward: int, sideways: int) -> str:
    """Returns how far one could go in a straight line, and what is there, as far as it is in sight."""
    for distance in range(1, SIDE):
        across = SIDE // 2 + distance * sideways
        if not 0 <= across < SIDE:
            return f"free for {distance - 1} cells"
        bit = 1 << SIDE * distance * forward + across
        if view.wall & bit:
            return f"wall at {distance}"
        for name, mask in _things(view):
            if mask & bit:
                return f"{name} at {distance}"
        if not view.floor & bit:
            return f"free for {distance - 1} cells"
    return f"free for {SIDE - 1} cells"


def seen_cells(seen: int, x: int, y: int, direction: int) -> list[tuple[int, int]]:
    """Returns the cells (x, y) of the grid at which the bits of `seen` lie, some perhaps outside the grid."""
    dx, dy = step_x(direction), step_y(direction)
    found = []
    for ahead in range(SIDE):
        for across in range(SIDE):
            if seen >> (SIDE * ahead + across) & 1:
                side = across - SIDE // 2
                found.append((x + ahead * dx - side * dy, y + ahead * dy + side * dx))
    return found


def draw_room(
    size: int, view: View, x: int, y: int, direction: int, walls: Sequence[tuple[int, int]] = (),
    things: tuple[Shape, ...] = (), carrying: bool = False,
) -> Scene:  # fmt: skip
    """Returns a room as a scene: what the agent sees lies in the light, the rest is dim.

    Args:
        walls: cells of walls inside the room.
        things: shapes of what lies about.
    """
    shapes: list[Shape] = [Rect(0, 0, size, size, fill="muted")]
    shapes.append(Rect(1, 1, size - 2, size - 2, fill="line"))
    lit = seen_cells(view.floor | view.wall | view.goal | view.key | view.door, x, y, direction)
    inside = [(i, j) for i, j in lit if 0 <= i < size and 0 <= j < size]
    solid = set(walls) | {(i, j) for i, j in inside if i in (0, size - 1) or j in (0, size - 1)}
    shapes += [Rect(i, j, 1, 1, fill="muted", layer="moving") for i, j in walls]
    for i, j in inside:
        fill = "wall" if (i, j) in solid else "paper"
        shapes.append(Rect(i, j, 1, 1, fill=fill, stroke=None if fill == "wall" else "line", layer="moving"))
    shapes += [Rect(size - 1.88, size - 1.88, 0.76, 0.76, fill="goal", radius=0.12, layer="moving"), *things]
    shapes += _agent_shapes(x + 0.5, y + 0.5, step_x(direction), step_y(direction), carrying)
    return Scene(size, size, tuple(shapes))


def scene_of_view(view: View, compass: bool) -> Scene:
    """Returns the view as a scene, the agent in the middle of its lowest row and facing up; what is out of its sight is
    dark. With a compass, an arrow below shows which way it faces in the house."""
    shapes: list[Shape] = [Rect(0, 0, SIDE, SIDE + compass, fill="muted")]
    carried = view.key & OWN
    for ahead in range(SIDE):
        for across in range(SIDE):
            bit, x, y = 1 << SIDE * ahead + across, across, SIDE - 1 - ahead
            if view.wall & bit:
                shapes.append(Rect(x, y, 1, 1, fill="wall", layer="moving"))
            elif (view.floor | view.goal | view.key | view.door) & bit:
                shapes.append(Rect(x, y, 1, 1, fill="paper", stroke="line", layer="moving"))
            if view.goal & bit:
                shapes.append(Rect(x + 0.12, y + 0.12, 0.76, 0.76, fill="goal", radius=0.12, layer="moving"))
            if view.key & bit & ~OWN:
                shapes += key_shapes(x + 0.5, y + 0.5, 1.0)
            if view.door & bit:
                shapes += door_shapes(x, y, view.door_state)
    shapes += _agent_shapes(SIDE / 2, SIDE - 0.5, 0, -1, bool(carried))
    if compass:
        shapes.append(Circle(SIDE / 2, SIDE + 0.5, 0.48, fill="paper", stroke="ink", layer="moving"))
        shapes += _agent_shapes(SIDE / 2, SIDE + 0.5, step_x(view.compass), step_y(view.compass), False, "ink")
    return Scene(SIDE, SIDE + compass, tuple(shapes))


def _agent_shapes(x: float, y: float, dx: int, dy: int, carrying: bool, fill: str = "agent") -> tuple[Shape, ...]:
    """Returns the agent, an arrowhead at (x, y) that points along (dx, dy), with the key in it if it carries one."""
    corners = ((0.4, 0.0), (-0.3, 0.34), (-0.3, -0.34))  # ahead, to the right
    points = tuple((x + a * dx - r * dy, y + a * dy + r * dx) for a, r in corners)
    arrow = Polygon(points, fill=fill, stroke="ink", layer="moving")
    return (arrow, *(key_shapes(x - 0.1 * dx, y - 0.1 * dy, 0.5) if carrying else ()))


def door_shapes(x: float, y: float, door: int) -> tuple[Shape, ...]:
    """Returns a door whose cell has its upper left corner at (x, y)."""
    if door == OPEN:
        return (Rect(x, y, 1, 0.16, fill="yellow", stroke="ink", layer="moving"),)
    panel = Rect(x + 0.06, y + 0.06, 0.88, 0.88, fill="yellow", stroke="ink", line_width=0.06, layer="moving")
    if door == CLOSED:
        return panel, Circle(x + 0.74, y + 0.5, 0.1, fill="ink", layer="moving")
    return (
        panel,
        Circle(x + 0.5, y + 0.42, 0.15, fill="ink", layer="moving"),
        Rect(x + 0.44, y + 0.45, 0.12, 0.3, fill="ink", layer="moving"),
    )


def key_shapes(x: float, y: float, scale: float) -> tuple[Shape, ...]:
    """Returns a key centred at (x, y), as large as a cell times `scale`."""
    s = scale
    return (
        Rect(x - 0.06 * s, y - 0.1 * s, 0.12 * s, 0.48 * s, fill="ink", layer="moving"),
        Rect(x, y + 0.22 * s, 0.22 * s, 0.12 * s, fill="ink", layer="moving"),
        Circle(x, y - 0.2 * s, 0.2 * s, fill="yellow", stroke="ink", line_width=0.08 * s, layer="moving"),
    )


# ------------------------------------------------------------------------------------- what the worlds share


class SeenRoom(World):
    """A square room with the goal in its far corner, of which the agent sees the cells before it.

    Subclasses say what there is (`initial`, `transition`) and how it looks (`observation_view`, `draw`). Their states
    have `x`, `y`, `direction` and `steps`, their params `size`, `max_steps` and `compass`.
    """

    actions = ACTIONS
    mission: ClassVar[str]
    """What is to be done, for readers of text."""

    @staticmethod
    def reward(params: Any, purpose: Any, state: Any, action: int, next_state: Any) -> float:
        arrived = (next_state.x == params.size - 2) & (next_state.y == params.size - 2)
        return 1.0 - 0.9 * (next_state.steps / params.max_steps) if arrived else 0.0

    @staticmethod
    def terminal(params: Any, purpose: Any, state: Any) -> bool:
        arrived: bool = (state.x == params.size - 2) & (state.y == params.size - 2)
        return arrived

    @staticmethod
    def observation_entry(params: Any, view: View, k: int) -> tuple[int, int, int]:
        return look(view, k)

    @staticmethod
    def observations(params: Any) -> gym.Space[Any]:
        """Returns the space of images: what MiniGrid's `ImgObsWrapper` leaves, `[7, 7, 3]` uint8."""
        return gym.spaces.Box(0, 255, (SIDE, SIDE, 3), np.uint8)

    @classmethod
    def seen(cls, params: Any, state: Any) -> View:
        """Returns what the agent sees."""
        view: View = cls.observation_view(params, state)  # type: ignore[attr-defined]
        return view

    @classmethod
    def describe(cls, params: Any, purpose: Any, state: Any) -> str:
        return describe_view(cls.seen(params, state), cls.mission, params.compass)

    @classmethod
    def describe_observation(cls, params: Any, purpose: Any, observation: Any) -> str:
        """Returns an image as text."""
        return describe_view(view_of(observation), cls.mission, params.compass)

    @classmethod
    def draw_view(cls, params: Any, purpose: Any, state: Any) -> Scene:
        """Returns what the agent sees, itself below and facing up."""
        return scene_of_view(cls.seen(params, state), params.compass)

    @staticmethod
    def place(params: Any, state: Any) -> tuple[float, float]:
        return state.x + 0.5, state.y + 0.5
