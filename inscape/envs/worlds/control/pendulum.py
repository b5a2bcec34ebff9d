"""Pendulum to swing up."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from inscape.envs.rendering.scene import Circle, Line, Polygon, Rect, Scene, Shape
from inscape.envs.world import World
from inscape.envs.worlds.control.common import require_positive, single

MAX_TORQUE = 2.0
TURN = 2 * math.pi
# 2π in two parts: the first times a whole number below 2²⁰ is exact, and so is the second
TURN_HIGH = round(TURN * 2**30) / 2**30
TURN_LOW = TURN - TURN_HIGH
# added and subtracted, it rounds a double to a whole number
TO_WHOLE = 1.5 * 2.0**52


class PendulumState(NamedTuple):
    """Angle `theta` from upright (rad, anticlockwise, turns are counted) and angular velocity `theta_dot` (rad/s)."""

    theta: float
    theta_dot: float


class PendulumParams(NamedTuple):
    """How it moves and starts.

    Attributes:
        g: gravity, m/s².
        m: mass, kg.
        l: length, m.
        dt: s per step.
        max_speed: the angular velocity is kept within ± this, rad/s.
        start_angle, start_speed: half-widths of the start box, rad and rad/s (Gymnasium's `x_init`, `y_init`).
    """

    g: float = 10.0
    m: float = 1.0
    l: float = 1.0
    dt: float = 0.05
    max_speed: float = 8.0
    start_angle: float = math.pi
    start_speed: float = 1.0


class PendulumPurpose(NamedTuple):
    """What a step costs beside the squared angle: per squared velocity, and per squared torque."""

    speed_cost: float = 0.1
    torque_cost: float = 0.001


class Pendulum(World):
    """A pendulum hinged at one end is swung up and held upright by a torque too weak to lift it straight.

    Actions: `[1]` the torque in [−2, 2] N m, positive anticlockwise. Torques outside are refused (Gymnasium clips).
    Observations: `[3]` float32: cos theta, sin theta, angular velocity (rad/s, in [−max_speed, max_speed]).
    Rewards: −(theta² + speed_cost · velocity² + torque_cost · torque²) of the state before the step and the action,
        theta taken in [−π, π) with 0 upright.
    Start: theta uniform in [−start_angle, start_angle], velocity uniform in [−start_speed, start_speed].
    End: never terminated; truncated after 200 steps.
    Arguments: `g`, `m`, `l`, `dt`, `max_speed`, `start_angle`, `start_speed`, `speed_cost`, `torque_cost`.

    Trajectories equal Gymnasium's Pendulum-v1 bit for bit under single-precision torques (their space), as long as
    NumPy's sine and cosine equal the C library's: what depends on the torque alone is single precision. Rewards are
    equal but for the last bit of a square: NumPy's `**` calls C's `pow`, which differs from a product about once in
    1,200 numbers; that of the torque, a single, moves the reward by up to 5e-10.

    Source: Gymnasium's Pendulum-v1: θ̈ = 3g/(2l) · sin θ + 3u/(m l²), velocity first, then the angle.
    Version history: v0, first.
    """

    State = PendulumState
    Params = PendulumParams
    Purpose = PendulumPurpose
    action_low = (-MAX_TORQUE,)
    action_high = (MAX_TORQUE,)
    initial_noise = 2
    max_episode_steps = 200

    def setup(self, **settings: Any) -> tuple[PendulumParams, PendulumPurpose]:
        params, purpose = super().setup(**settings)
        require_positive(self.name, params, "m", "l", "dt", "max_speed")
        return params, purpose

    @staticmethod
    def initial(params: PendulumParams, noise: tuple[float, float]) -> PendulumState:
        return PendulumState(
            -params.start_angle + 2 * params.start_angle * noise[0],
            -params.start_speed + 2 * params.start_speed * noise[1],
        )

    @staticmethod
    def transition(
        params: PendulumParams, state: PendulumState, action: tuple[float], branch: int
    ) -> tuple[float, PendulumState]:
        theta, theta_dot = state
        pushed = single(single(3.0 / (params.m * (params.l * params.l))) * action[0])
        speed = theta_dot + (3.0 * params.g / (2.0 * params.l) * math.sin(theta) + pushed) * params.dt
        speed = -params.max_speed if speed < -params.max_speed else speed
        speed = params.max_speed if speed > params.max_speed else speed
        return 1.0, PendulumState(theta + speed * params.dt, speed)

    @staticmethod
    def reward(
        params: PendulumParams,
        purpose: PendulumPurpose,
        state: PendulumState,
        action: tuple[float],
        next_state: PendulumState,
    ) -> float:
        theta, torque = reduced(state.theta), action[0]
        effort = single(single(purpose.torque_cost) * single(torque * torque))
        return -(theta * theta + purpose.speed_cost * (state.theta_dot * state.theta_dot) + effort)

    @staticmethod
    def observation(params: PendulumParams, state: PendulumState) -> tuple[float, float, float]:
        return math.cos(state.theta), math.sin(state.theta), state.theta_dot

    @staticmethod
    def observations(params: PendulumParams) -> gym.Space[Any]:
        high = np.array([1.0, 1.0, params.max_speed], np.float32)
        return gym.spaces.Box(-high, high, dtype=np.float32)

    @staticmethod
    def state_of(params: PendulumParams, observation: tuple[float, float, float]) -> PendulumState:
        """Returns the state up to whole turns, theta in [−π, π]."""
        return PendulumState(math.atan2(observation[1], observation[0]), float(observation[2]))

    @staticmethod
    def describe(params: PendulumParams, purpose: PendulumPurpose, state: PendulumState) -> str:
        angle = math.degrees(reduced(state.theta))
        side = "left" if angle > 0 else "right"
        turn = "anticlockwise" if state.theta_dot > 0 else "clockwise"
        return (
            f"pendulum {abs(angle):.0f}° {side} of upright, turning {turn} {abs(state.theta_dot):.1f} rad/s | "
            f"wanted: upright and still, little torque"
        )

    @staticmethod
    def draw(params: PendulumParams, purpose: PendulumPurpose, state: PendulumState) -> Scene:
        tip = Pendulum.place(params, state)
        return Scene(
            5,
            5,
            (
                Rect(0, 0, 5, 5, fill="paper"),
                Circle(2.5, 0.5, 0.32, stroke="goal", line_width=0.08),
                Line(2.5, 2.5, 2.5, 4.9, stroke="line", line_width=0.06),
                Line(2.5, 2.5, *tip, stroke="wall", line_width=0.3, layer="moving"),
                Circle(*tip, 0.32, fill="agent", layer="moving"),
                Circle(2.5, 2.5, 0.2, fill="ink", layer="moving"),
                *turning_arrow(2.5, 2.5, state.theta_dot / params.max_speed),
            ),
        )

    @staticmethod
    def place(params: PendulumParams, state: PendulumState) -> tuple[float, float]:
        return 2.5 - 2.0 * math.sin(state.theta), 2.5 - 2.0 * math.cos(state.theta)


def reduced(theta: float) -> float:
    """Returns ((theta + π) mod 2π) − π, in [−π, π) (compiled with the law).

    Bit for bit what floating-point `%` gives below 2²⁰ turns, without its loop: the nearest number of turns is taken
    off in two exact products.
    """
    shifted = theta + math.pi
    turns = (shifted / TURN + TO_WHOLE) - TO_WHOLE
    rest = (shifted - turns * TURN_HIGH) - turns * TURN_LOW
    rest = rest + TURN if rest < 0.0 else rest
    return rest - math.pi


def turning_arrow(x: float, y: float, share: float) -> tuple[Shape, ...]:
    """Returns an arrow bent about (x, y) that shows an angular velocity: `share` of the greatest, anticlockwise."""
    if abs(share) < 0.02:
        return ()
    radius, sweep = 1.05, share * 1.5 * math.pi
    count = 2 + int(24 * abs(share))
    # from the right of the hinge; y grows downwards
    bends = [sweep * k / count for k in range(count + 1)]
    points = [(x + radius * math.cos(bend), y - radius * math.sin(bend)) for bend in bends]
    ahead = math.copysign(0.42 / radius, share)
    head = [
        (x + r * math.cos(sweep + a), y - r * math.sin(sweep + a))
        for r, a in ((radius - 0.24, 0.0), (radius + 0.24, 0.0), (radius, ahead))
    ]
    arc = [Line(*p, *q, stroke="blue", line_width=0.14, layer="moving") for p, q in pairwise(points)]
    return (*arc, Polygon(tuple(head), fill="blue", layer="moving"))
