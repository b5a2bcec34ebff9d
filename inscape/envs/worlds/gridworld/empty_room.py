"""An empty room seen in part: MiniGrid's Empty."""

from __future__ import annotations

from typing import Any, NamedTuple

from inscape.envs.rendering.scene import Scene
from inscape.envs.worlds.gridworld import partial_view as pv
from inscape.envs.worlds.gridworld.partial_view import (
    EVERY,
    FORWARD,
    OWN,
    SeenRoom,
    View,
    bit_at,
    line_of_sight,
    room_floor,
    step_x,
    step_y,
    turned,
)  # fmt: skip
from inscape.errors import UsageError


class EmptyRoomState(NamedTuple):
    """Where the agent stands and looks, and the steps of this episode (0 throughout where the reward is constant)."""

    x: int
    y: int
    direction: int
    steps: int


class EmptyRoomParams(NamedTuple):
    """The room.

    Attributes:
        size: cells per side, the walls included.
        max_steps: what the reward's fall is measured by.
        counting: whether the state counts steps.
        random_start: whether episodes start anywhere, or in the corner opposite the goal.
        see_through_walls: whether the whole view is visible, as MiniGrid has it here.
        compass: whether the direction is observed.
    """

    size: int
    max_steps: int
    counting: bool
    random_start: bool
    see_through_walls: bool
    compass: bool


class EmptyRoom(SeenRoom):
    """An empty square room with the goal in its far corner, seen in part.

    Actions: `left` and `right` (turn), `forward`, `pick up`, `drop`, `toggle`, `done`; the last four do nothing here.
    Observations: Box `[7, 7, 3]` uint8, MiniGrid's image (its `ImgObsWrapper`): the 7 × 7 cells before the agent,
        which itself stands at `[3, 6]`; of each, object, colour and state. MiniGrid's `direction` is left out, or
        with `compass` stands in the state entry of the agent's own cell, which MiniGrid always leaves 0; its
        `mission` is the same in every episode and part of the text reader.
    Rewards: 1 − 0.9 · steps / max_steps on reaching the goal, else 0; or, with `reward="constant"`, 1.
    Start: cell (1, 1) facing right; or any cell but the goal, facing anywhere.
    End: terminated at the goal; truncated after `max_steps`.

    MiniGrid's reward depends on the steps taken, so the state counts them. For planning, `reward="constant"` is the
    better choice: a discount prefers short ways as well, and there are `max_steps` times fewer states.

    Args:
        size: cells per side, the walls included, at least 4.
        start: `corner` or `random`.
        max_steps: the time limit; by default 4 · size².
        reward: `falling` (MiniGrid's) or `constant`.
        see_through_walls: False hides what no line of sight reaches.
        compass: whether the direction is observed.

    Source: MiniGrid-Empty-NxN-v0 and MiniGrid-Empty-Random-NxN-v0 of the package minigrid 3.2; equal in observations,
        rewards and ends.
    Version history: v0, first.
    """

    State = EmptyRoomState
    Params = EmptyRoomParams
    mission = "get to the green goal square"
    max_episode_steps = 256

    @classmethod
    def sized(cls, **settings: Any) -> dict[str, Any]:
        return pv.time_limit(4, settings)

    def setup(
        self,
        size: int = 8,
        start: str = "corner",
        max_steps: int | None = None,
        reward: str = "falling",
        see_through_walls: bool = True,
        compass: bool = False,
    ) -> tuple[EmptyRoomParams, Any]:
        pv.check_settings(self.name, size, 4, max_steps, reward)
        if start not in ("corner", "random"):
            raise UsageError(f"start = {start!r} for {self.name}", expected="corner or random")
        params = EmptyRoomParams(
            size=int(size),
            max_steps=int(max_steps or 4 * size**2),
            counting=reward == "falling",
            random_start=start == "random",
            see_through_walls=bool(see_through_walls),
            compass=bool(compass),
        )
        return params, self.Purpose()

    @staticmethod
    def initial_branches(params: EmptyRoomParams) -> int:
        return 4 * ((params.size - 2) ** 2 - 1) if params.random_start else 1

    @staticmethod
    def initial(params: EmptyRoomParams, branch: int) -> tuple[float, EmptyRoomState]:
        side = params.size - 2
        cell = branch >> 2  # the goal's cell is the last one, and left out
        state = EmptyRoomState(1 + cell % side, 1 + cell // side, branch & 3, 0)
        return 1.0 / (4 * (side**2 - 1) if params.random_start else 1), state

    @staticmethod
    def transition(
        params: EmptyRoomParams, state: EmptyRoomState, action: int, branch: int
    ) -> tuple[float, EmptyRoomState]:
        far = params.size - 2
        x = state.x + step_x(state.direction) * int(action == FORWARD)
        y = state.y + step_y(state.direction) * int(action == FORWARD)
        steps = min(state.steps + 1, params.max_steps) if params.counting else 0
        state = EmptyRoomState(min(max(x, 1), far), min(max(y, 1), far), turned(state.direction, action), steps)
        return 1.0, state

    @staticmethod
    def observation_view(params: EmptyRoomParams, state: EmptyRoomState) -> View:
        dx, dy, far = step_x(state.direction), step_y(state.direction), params.size - 2
        floor = room_floor(state.x, state.y, dx, dy, params.size, params.size)
        seen = EVERY if params.see_through_walls else line_of_sight(floor)
        goal = bit_at(far - state.x, far - state.y, dx, dy) & seen & ~OWN
        compass = state.direction if params.compass else 0
        return View(floor & seen & ~goal, seen & ~floor, goal, 0, 0, 0, compass)

    @staticmethod
    def draw(params: EmptyRoomParams, purpose: Any, state: EmptyRoomState) -> Scene:
        view = EmptyRoom.seen(params, state)
        return pv.draw_room(params.size, view, state.x, state.y, state.direction)
