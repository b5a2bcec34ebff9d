"""A car in a valley, too weak to climb out without a run-up; its pedal in three positions or continuous."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from inscape.envs.rendering.scene import Circle, Line, Polygon, Rect, Scene
from inscape.envs.world import World
from inscape.envs.worlds.control.common import require_positive, single
from inscape.errors import UsageError

# the scene: units per metre, free space at either side, its height, where height 0 lies
SCALE, MARGIN, HEIGHT, BASE = 3.0, 0.4, 4.4, 4.5


class CarState(NamedTuple):
    """Position `x` (m, the valley's floor at −π/6) and velocity `x_dot` (m per step)."""

    x: float
    x_dot: float


class CarParams(NamedTuple):
    """How the car moves and starts.

    Attributes:
        force: velocity gained per step by the pedal, m per step².
        gravity: velocity lost per step on the steepest rise, m per step².
        min_position, max_position: where the world ends, m; at the left end the car is stopped.
        max_speed: the velocity is kept within ± this, m per step.
        start_low, start_high: the start position is uniform between these, m.
    """

    force: float = 0.001
    gravity: float = 0.0025
    min_position: float = -1.2
    max_position: float = 0.6
    max_speed: float = 0.07
    start_low: float = -0.6
    start_high: float = -0.4


class CarPurpose(NamedTuple):
    """The flag's position (m), the least velocity there (m per step), the cost of a step."""

    goal_position: float = 0.5
    goal_velocity: float = 0.0
    step_cost: float = 1.0


class ContinuousCarParams(NamedTuple):
    """How the car moves and starts: as `CarParams`, with `power`, the velocity gained per step at full pedal."""

    power: float = 0.0015
    gravity: float = 0.0025
    min_position: float = -1.2
    max_position: float = 0.6
    max_speed: float = 0.07
    start_low: float = -0.6
    start_high: float = -0.4


class ContinuousCarPurpose(NamedTuple):
    """The flag's position (m), the least velocity there (m per step), what it is worth, the cost of squared pedal."""

    goal_position: float = 0.45
    goal_velocity: float = 0.0
    goal_reward: float = 100.0
    action_cost: float = 0.1


AnyCarParams = CarParams | ContinuousCarParams
AnyCarPurpose = CarPurpose | ContinuousCarPurpose


class Valley(World):
    """What the two cars share: the valley, its settings' limits, and its readers."""

    State = CarState
    initial_noise = 1

    def setup(self, **settings: Any) -> tuple[Any, Any]:
        params, purpose = super().setup(**settings)
        check_valley(self.name, params)
        return params, purpose

    @staticmethod
    def observations(params: AnyCarParams) -> gym.Space[Any]:
        return car_space(params)

    @staticmethod
    def describe(params: AnyCarParams, purpose: AnyCarPurpose, state: CarState) -> str:
        return car_in_words(purpose, state)

    @staticmethod
    def draw(params: AnyCarParams, purpose: AnyCarPurpose, state: CarState) -> Scene:
        return car_scene(params, purpose, state)

    @staticmethod
    def place(params: AnyCarParams, state: CarState) -> tuple[float, float]:
        return on_hill(params, state.x)


class MountainCar(Valley):
    """A car in a valley gains momentum to and fro until it reaches the flag on the right.

    Actions: `left` (0), `coast` (1), `right` (2): the pedal.
    Observations: `[2]` float32: position (m), velocity (m per step).
    Rewards: −step_cost (−1) for every step, the last one included.
    Start: position uniform in [start_low, start_high] = [−0.6, −0.4], at rest.
    End: terminated at position ≥ goal_position (0.5) with velocity ≥ goal_velocity (0); truncated after 200 steps.
    Arguments: `force`, `gravity`, `min_position`, `max_position`, `max_speed`, `start_low`, `start_high`,
        `goal_position`, `goal_velocity`, `step_cost`.

    Trajectories equal Gymnasium's MountainCar-v0 bit for bit.

    Source: Moore (1990), "Efficient memory-based learning for robot control", PhD thesis, Cambridge; the numbers are
        those of Sutton & Barto, "Reinforcement Learning", example 10.1, as in Gymnasium.
    Version history: v0, first.
    """

    Params = CarParams
    Purpose = CarPurpose
    actions = ("left", "coast", "right")
    max_episode_steps = 200

    @staticmethod
    def initial(params: CarParams, noise: tuple[float]) -> CarState:
        return CarState(params.start_low + (params.start_high - params.start_low) * noise[0], 0.0)

    @staticmethod
    def transition(params: CarParams, state: CarState, action: int, branch: int) -> tuple[float, CarState]:
        speed = state.x_dot + ((action - 1) * params.force + math.cos(3 * state.x) * -params.gravity)
        speed = -params.max_speed if speed < -params.max_speed else speed
        speed = params.max_speed if speed > params.max_speed else speed
        x = state.x + speed
        x = params.min_position if x < params.min_position else x
        x = params.max_position if x > params.max_position else x
        return 1.0, CarState(x, 0.0 if (x == params.min_position) & (speed < 0.0) else speed)

    @staticmethod
    def reward(params: CarParams, purpose: CarPurpose, state: CarState, action: int, next_state: CarState) -> float:
        return 0.0 - purpose.step_cost  # not −0.0 where steps are free

    @staticmethod
    def terminal(params: CarParams, purpose: CarPurpose, state: CarState) -> bool:
        return (state.x >= purpose.goal_position) & (state.x_dot >= purpose.goal_velocity)


class MountainCarContinuous(Valley):
    """The car in the valley with a continuous pedal whose use costs.

    Actions: `[1]` the pedal in [−1, 1], positive to the right. Values outside are refused (Gymnasium clips).
    Observations: `[2]` float32: position (m), velocity (m per step): the whole state.
    Rewards: −action_cost · pedal² at every step; goal_reward (100) more on reaching the flag.
    Start: position uniform in [start_low, start_high] = [−0.6, −0.4], rounded to single precision, at rest.
    End: terminated at position ≥ goal_position (0.45) with velocity ≥ goal_velocity (0); truncated after 999 steps.
    Arguments: `power`, `gravity`, `min_position`, `max_position`, `max_speed`, `start_low`, `start_high`,
        `goal_position`, `goal_velocity`, `goal_reward`, `action_cost`.

    Trajectories equal Gymnasium's MountainCarContinuous-v0 bit for bit under single-precision actions (their space)
    from start states in single precision. The state is single precision throughout, as there; only Gymnasium's very
    first state is not, so that its first step may differ from this one's in the last bit of single precision.

    Source: Gymnasium's MountainCarContinuous-v0; the valley is that of `MountainCar`.
    Version history: v0, first.
    """

    Params = ContinuousCarParams
    Purpose = ContinuousCarPurpose
    action_low = (-1.0,)
    action_high = (1.0,)
    max_episode_steps = 999

    @staticmethod
    def initial(params: ContinuousCarParams, noise: tuple[float]) -> CarState:
        return CarState(single(params.start_low + (params.start_high - params.start_low) * noise[0]), 0.0)

    @staticmethod
    def transition(
        params: ContinuousCarParams, state: CarState, action: tuple[float], branch: int
    ) -> tuple[float, CarState]:
        low, high, fastest = single(params.min_position), single(params.max_position), single(params.max_speed)
        pushed = single(action[0] * single(params.power))
        pulled = single(params.gravity * math.cos(single(3.0 * state.x)))
        speed = single(state.x_dot + single(pushed - pulled))
        speed = fastest if speed > fastest else speed
        speed = -fastest if speed < -fastest else speed
        x = single(state.x + speed)
        x = high if x > high else x
        x = low if x < low else x
        return 1.0, CarState(x, 0.0 if (x == low) & (speed < 0.0) else speed)

    @staticmethod
    def reward(
        params: ContinuousCarParams,
        purpose: ContinuousCarPurpose,
        state: CarState,
        action: tuple[float],
        next_state: CarState,
    ) -> float:
        # a single squared in double precision is exact, so that a product equals C's `pow`
        there = continuous_car_at_flag(purpose, next_state)
        return (purpose.goal_reward if there else 0.0) - action[0] * action[0] * purpose.action_cost

    @staticmethod
    def terminal(params: ContinuousCarParams, purpose: ContinuousCarPurpose, state: CarState) -> bool:
        return continuous_car_at_flag(purpose, state)


def continuous_car_at_flag(purpose: ContinuousCarPurpose, state: CarState) -> bool:
    """Returns whether the car is where `purpose` wants it (compiled with the law)."""
    return (state.x >= single(purpose.goal_position)) & (state.x_dot >= single(purpose.goal_velocity))


def check_valley(world: str, params: AnyCarParams) -> None:
    """Checks the settings of a car.

    Raises:
        UsageError: the ends of the world or of the start are the wrong way round, or no velocity is allowed.
    """
    require_positive(world, params, "max_speed")
    if not params.min_position <= params.start_low <= params.start_high <= params.max_position:
        raise UsageError(
            f"{world} with min_position {params.min_position}, start_low {params.start_low}, "
            f"start_high {params.start_high}, max_position {params.max_position}",
            expected="these four in ascending order",
        )


def car_space(params: AnyCarParams) -> gym.Space[Any]:
    """Returns the box of positions and velocities."""
    low = np.array([params.min_position, -params.max_speed], np.float32)
    high = np.array([params.max_position, params.max_speed], np.float32)
    return gym.spaces.Box(low, high, dtype=np.float32)


def car_in_words(purpose: AnyCarPurpose, state: CarState) -> str:
    """Returns what there is to know about the car, for a reader of text."""
    slope = math.cos(3 * state.x)
    ground = "on the valley floor" if abs(slope) < 0.05 else f"on the {'right' if slope > 0 else 'left'} slope"
    direction = "right" if state.x_dot > 0 else "left"
    moving = "at rest" if state.x_dot == 0 else f"rolling {direction} {abs(state.x_dot):.3f} per step"
    return f"car at {state.x:.2f} {ground}, {moving} | wanted: the flag at {purpose.goal_position:g}, on the right"


def height(x: float) -> float:
    """Returns the height of the ground, whose slope pulls the car: 0.45 sin 3x + 0.55."""
    return 0.45 * math.sin(3 * x) + 0.55


def along_hill(params: AnyCarParams, x: float) -> tuple[float, float, float, float]:
    """Returns where position `x` touches the ground in the scene, and the unit vector that points uphill right."""
    slope = 1.35 * math.cos(3 * x)
    norm = math.hypot(1.0, slope)
    return MARGIN + SCALE * (x - params.min_position), BASE - SCALE * height(x), 1.0 / norm, -slope / norm


def on_hill(params: AnyCarParams, x: float, along: float = 0.0, above: float = 0.3) -> tuple[float, float]:
    """Returns the scene's point `along` the slope and `above` it, seen from a car at `x`, in scene units."""
    at_x, at_y, right, down = along_hill(params, x)
    return at_x + along * right + above * down, at_y + along * down - above * right


def car_scene(params: AnyCarParams, purpose: AnyCarPurpose, state: CarState) -> Scene:
    """Returns the valley, the flag and the car."""
    span = params.max_position - params.min_position
    width = SCALE * span + 2 * MARGIN
    ground = [along_hill(params, params.min_position + span * k / 48)[:2] for k in range(49)]
    outline = ((0.0, ground[0][1]), *ground, (width, ground[-1][1]), (width, HEIGHT), (0.0, HEIGHT))
    flag_x, flag_y = along_hill(params, purpose.goal_position)[:2]
    corners = ((-0.48, 0.14), (0.48, 0.14), (0.48, 0.36), (0.22, 0.62), (-0.22, 0.62), (-0.48, 0.36))
    return Scene(
        width,
        HEIGHT,
        (
            Rect(0, 0, width, HEIGHT, fill="paper"),
            Polygon(outline, fill="start", stroke="muted", line_width=0.05),
            Line(flag_x, flag_y, flag_x, flag_y - 1.1, stroke="ink", line_width=0.08),
            Polygon(((flag_x, flag_y - 1.15), (flag_x, flag_y - 0.55), (flag_x - 0.7, flag_y - 0.85)), fill="goal"),
            Polygon(tuple(on_hill(params, state.x, *c) for c in corners), fill="agent", layer="moving"),
            Circle(*on_hill(params, state.x, -0.27, 0.15), 0.16, fill="ink", layer="moving"),
            Circle(*on_hill(params, state.x, 0.27, 0.15), 0.16, fill="ink", layer="moving"),
        ),
    )
