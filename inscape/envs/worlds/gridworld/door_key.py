"""A key, a locked door and a goal behind it, seen in part: MiniGrid's DoorKey."""

from __future__ import annotations

from typing import Any, NamedTuple

from inscape.envs.rendering.scene import Scene, Shape
from inscape.envs.worlds.gridworld import partial_view as pv
from inscape.envs.worlds.gridworld.partial_view import (
    CLOSED,
    DROP,
    EVERY,
    FORWARD,
    LOCKED,
    OPEN,
    OWN,
    PICK_UP,
    TOGGLE,
    SeenRoom,
    View,
    bit_at,
    column_in_view,
    line_of_sight,
    room_floor,
    step_x,
    step_y,
    turned,
)  # fmt: skip

CARRIED = -1  # x and y of the key in the agent's hand


class DoorKeyState(NamedTuple):
    """The agent, the key and the door; the layout of this episode; and its steps.

    Attributes:
        x, y, direction: where the agent stands and looks.
        key_x, key_y: where the key lies; `CARRIED` while the agent holds it.
        door: `OPEN`, `CLOSED` or `LOCKED`.
        wall: column of the wall between the two rooms.
        door_y: row of the door in it.
        steps: of this episode; 0 throughout where the reward is constant.
    """

    x: int
    y: int
    direction: int
    key_x: int
    key_y: int
    door: int
    wall: int
    door_y: int
    steps: int


class DoorKeyParams(NamedTuple):
    """The house.

    Attributes:
        size: cells per side, the walls included.
        max_steps: what the reward's fall is measured by.
        counting: whether the state counts steps.
        see_through_walls: whether the whole view is visible.
        compass: whether the direction is observed.
    """

    size: int
    max_steps: int
    counting: bool
    see_through_walls: bool
    compass: bool


def first_state(size: int, wall: int, door_y: int, cell: int, direction: int, key: int) -> DoorKeyState:
    """Returns a start: the agent in cell number `cell` of the left room, the key in number `key` of its other cells."""
    key += int(key >= cell)
    rows = size - 2
    return DoorKeyState(
        1 + cell // rows, 1 + cell % rows, direction, 1 + key // rows, 1 + key % rows, LOCKED, wall, door_y, 0
    )


def number_of_starts(params: DoorKeyParams) -> int:
    """Returns how many starts there are."""
    rows, total = params.size - 2, 0
    for wall in range(2, params.size - 2):
        cells = (wall - 1) * rows
        total += 4 * (params.size - 3) * cells * (cells - 1)
    return total


def each_start(params: DoorKeyParams, branch: int) -> tuple[float, DoorKeyState]:
    """Returns start number `branch` and its probability: as drawn by `DoorKey.initial`."""
    doors, wall = params.size - 3, 2
    cells = params.size - 2
    while branch >= 4 * doors * cells * (cells - 1):
        branch -= 4 * doors * cells * (cells - 1)
        wall += 1
        cells += params.size - 2
    direction, rest = branch & 3, branch >> 2
    door_y, rest = 1 + rest % doors, rest // doors
    probability = 1.0 / ((params.size - 4) * 4 * doors * cells * (cells - 1))
    return probability, first_state(params.size, wall, door_y, rest // (cells - 1), direction, rest % (cells - 1))


# Starts are enumerated in houses up to this size (816 of them); 8 × 8 has 20,400, 16 × 16 6.6 million.
ENUMERATED = 6


class DoorKey(SeenRoom):
    """A room with a key, a locked door, and behind it a room with the goal, seen in part.

    Actions: `left` and `right` (turn), `forward`, `pick up` the key ahead, `drop` it on the free cell ahead, `toggle`
        the door ahead (open and close it; a locked one opens for who carries the key), `done` (nothing).
    Observations: Box `[7, 7, 3]` uint8, MiniGrid's image (its `ImgObsWrapper`): the 7 × 7 cells before the agent as
        far as it can see past walls and closed doors, itself at `[3, 6]`; of each cell, object, colour and state, and
        in its own the key while it carries it. MiniGrid's `direction` is left out, or with `compass` stands in the
        state entry of the agent's own cell, which MiniGrid always leaves 0; its `mission` is the same in every episode
        and part of the text reader.
    Rewards: 1 − 0.9 · steps / max_steps on reaching the goal, else 0; or, with `reward="constant"`, 1.
    Start: the wall's column, the door's row, the agent's cell and direction and the key's cell in the left room are
        drawn again in each episode, with MiniGrid's probabilities. Up to 6 × 6 the starts can be enumerated.
    End: terminated at the goal; truncated after `max_steps`.

    MiniGrid's reward depends on the steps taken, so the state counts them. For planning, `reward="constant"` is the
    better choice: a discount prefers short ways as well, and there are `max_steps` times fewer states.

    Args:
        size: cells per side, the walls included, at least 5.
        max_steps: the time limit; by default 10 · size².
        reward: `falling` (MiniGrid's) or `constant`.
        see_through_walls: True shows the whole view.
        compass: whether the direction is observed.

    Source: MiniGrid-DoorKey-NxN-v0 of the package minigrid 3.2; equal in observations, rewards and ends from the same
        starts.
    Version history: v0, first.
    """

    State = DoorKeyState
    Params = DoorKeyParams
    mission = "use the key to open the door and then get to the goal"
    initial_noise = 5
    max_episode_steps = 640

    @classmethod
    def sized(cls, **settings: Any) -> dict[str, Any]:
        limit = pv.time_limit(10, settings)
        if settings.get("size", 8) in range(5, ENUMERATED + 1):
            return limit | {
                "initial": staticmethod(each_start),
                "initial_branches": staticmethod(number_of_starts),
                "initial_noise": 0,
            }
        return limit

    def setup(
        self,
        size: int = 8,
        max_steps: int | None = None,
        reward: str = "falling",
        see_through_walls: bool = False,
        compass: bool = False,
    ) -> tuple[DoorKeyParams, Any]:
        pv.check_settings(self.name, size, 5, max_steps, reward)
        params = DoorKeyParams(
            size=int(size),
            max_steps=int(max_steps or 10 * size**2),
            counting=reward == "falling",
            see_through_walls=bool(see_through_walls),
            compass=bool(compass),
        )
        return params, self.Purpose()

    @staticmethod
    def initial(params: DoorKeyParams, noise: tuple[float, ...]) -> DoorKeyState:
        size = params.size
        wall = 2 + int(noise[0] * (size - 4))
        cells = (wall - 1) * (size - 2)
        cell, key = int(noise[2] * cells), int(noise[4] * (cells - 1))
        return first_state(size, wall, 1 + int(noise[1] * (size - 3)), cell, int(noise[3] * 4), key)

    @staticmethod
    def transition(params: DoorKeyParams, state: DoorKeyState, action: int, branch: int) -> tuple[float, DoorKeyState]:
        far = params.size - 2
        ahead_x, ahead_y = state.x + step_x(state.direction), state.y + step_y(state.direction)
        at_door = (ahead_x == state.wall) & (ahead_y == state.door_y)
        at_key = (ahead_x == state.key_x) & (ahead_y == state.key_y)
        at_goal = (ahead_x == far) & (ahead_y == far)
        inside = (ahead_x >= 1) & (ahead_x <= far) & (ahead_y >= 1) & (ahead_y <= far)
        floor = inside & (ahead_x != state.wall) & (not at_key)
        carrying = state.key_x == CARRIED

        enters = (action == FORWARD) & (floor | (at_door & (state.door == OPEN)))
        x, y = (ahead_x, ahead_y) if enters else (state.x, state.y)

        key_x, key_y = state.key_x, state.key_y
        if (action == PICK_UP) & at_key:
            key_x, key_y = CARRIED, CARRIED
        if (action == DROP) & carrying & floor & (not at_goal):
            key_x, key_y = ahead_x, ahead_y

        door = state.door
        if (action == TOGGLE) & at_door & ((door != LOCKED) | carrying):
            door = CLOSED if door == OPEN else OPEN

        steps = min(state.steps + 1, params.max_steps) if params.counting else 0
        direction = turned(state.direction, action)
        return 1.0, DoorKeyState(x, y, direction, key_x, key_y, door, state.wall, state.door_y, steps)

    @staticmethod
    def observation_view(params: DoorKeyParams, state: DoorKeyState) -> View:
        dx, dy, far = step_x(state.direction), step_y(state.direction), params.size - 2
        carrying = state.key_x == CARRIED
        door = bit_at(state.wall - state.x, state.door_y - state.y, dx, dy)
        goal = bit_at(far - state.x, far - state.y, dx, dy)
        lying = bit_at(state.key_x - state.x, state.key_y - state.y, dx, dy)
        floor = room_floor(state.x, state.y, dx, dy, params.size, params.size)
        floor &= ~column_in_view(state.wall - state.x, dx, dy)
        clear = floor | (door if state.door == OPEN else 0)
        seen = EVERY if params.see_through_walls else line_of_sight(clear)
        # the agent's own cell looks like the key it carries, or like floor, even in a doorway or at the goal
        around = seen & ~OWN
        key = OWN if carrying else lying & around
        compass = state.direction if params.compass else 0
        return View(
            ((seen & floor) | OWN) & ~key & ~(goal & around),
            around & ~floor & ~door,
            goal & around,
            key,
            door & around,
            state.door,
            compass,
        )

    @staticmethod
    def draw(params: DoorKeyParams, purpose: Any, state: DoorKeyState) -> Scene:
        view = DoorKey.seen(params, state)
        walls = [(state.wall, y) for y in range(1, params.size - 1) if y != state.door_y]
        things: tuple[Shape, ...] = pv.door_shapes(state.wall, state.door_y, state.door)
        carrying = state.key_x == CARRIED
        if not carrying:
            things += pv.key_shapes(state.key_x + 0.5, state.key_y + 0.5, 1.0)
        return pv.draw_room(params.size, view, state.x, state.y, state.direction, walls, things, carrying)
