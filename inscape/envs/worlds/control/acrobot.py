"""Two-link robot that swings itself up."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from inscape.envs.law.tools import squared
from inscape.envs.rendering.scene import Circle, Line, Rect, Scene
from inscape.envs.world import World
from inscape.envs.worlds.control.common import require_positive

MAX_SPEED_1, MAX_SPEED_2 = 4 * math.pi, 9 * math.pi
TURN = 2 * math.pi


class AcrobotState(NamedTuple):
    """Angle of the first link from hanging, of the second from the first (rad, in [−π, π]), and velocities (rad/s)."""

    theta1: float
    theta2: float
    theta1_dot: float
    theta2_dot: float


class AcrobotParams(NamedTuple):
    """The body and how it starts.

    Attributes:
        dt: s per step.
        torque: what the outer actions apply at the joint between the links, N m.
        torque_noise_max: a uniform number within ± this is added to every torque, N m.
        gravity: m/s².
        link_length_1, link_length_2: m.
        link_mass_1, link_mass_2: kg.
        link_com_pos_1, link_com_pos_2: distance of a link's centre of mass from its upper joint, m.
        link_moi: moment of inertia of either link, kg m².
        nips: the equations as printed in Sutton (1996), which lack a term, not the book's.
        start: half-width of the start box, rad and rad/s.
    """

    dt: float = 0.2
    torque: float = 1.0
    torque_noise_max: float = 0.0
    gravity: float = 9.8
    link_length_1: float = 1.0
    link_length_2: float = 1.0
    link_mass_1: float = 1.0
    link_mass_2: float = 1.0
    link_com_pos_1: float = 0.5
    link_com_pos_2: float = 0.5
    link_moi: float = 1.0
    nips: bool = False
    start: float = 0.1


class AcrobotPurpose(NamedTuple):
    """How far above the fixed joint the free end must get (m), the cost of a step, what the last step earns."""

    target_height: float = 1.0
    step_cost: float = 1.0
    goal_reward: float = 0.0


class Acrobot(World):
    """Two links hang from a fixed joint; a motor between them swings the free end above a line.

    Actions: `clockwise` (0), `idle` (1), `anticlockwise` (2): the torque at the joint between the links, −`torque`, 0
        or `torque`; positive angles turn anticlockwise, as drawn.
    Observations: `[6]` float32: cos and sin of theta1, cos and sin of theta2, the two velocities (rad/s).
    Rewards: −step_cost (−1) for every step, but goal_reward (0) for the one that gets there.
    Start: each of the four numbers uniform in [−start, start].
    End: terminated when −l1 cos(theta1) − l2 cos(theta1 + theta2) > target_height (1); truncated after 500 steps.
    Arguments: `dt`, `torque`, `torque_noise_max`, `gravity`, `link_length_1`, `link_length_2`, `link_mass_1`,
        `link_mass_2`, `link_com_pos_1`, `link_com_pos_2`, `link_moi`, `nips`, `start`, `target_height`, `step_cost`,
        `goal_reward`. With `torque_noise_max` above 0 the law can only be sampled.

    Trajectories equal Gymnasium's Acrobot-v1 bit for bit in double precision, as long as NumPy's sine, cosine and power
    equal the C library's. (Gymnasium draws its start states in single precision and observes those in single
    precision.) One Runge-Kutta step of fourth order per step; velocities are kept within ±4π and ±9π.

    Source: Sutton (1996), "Generalization in reinforcement learning: successful examples using sparse coarse coding",
        NIPS 8; equations as in Sutton & Barto, "Reinforcement Learning", and Gymnasium.
    Version history: v0, first.
    """

    State = AcrobotState
    Params = AcrobotParams
    Purpose = AcrobotPurpose
    actions = ("clockwise", "idle", "anticlockwise")
    initial_noise = 4
    max_episode_steps = 500

    @classmethod
    def sized(cls, **settings: Any) -> dict[str, Any]:
        noisy = settings.get("torque_noise_max", 0.0)
        return {"noise": 1, "transition": staticmethod(noisy_transition)} if noisy else {}

    def setup(self, **settings: Any) -> tuple[AcrobotParams, AcrobotPurpose]:
        params, purpose = super().setup(**settings)
        require_positive(
            self.name, params, "dt", "link_length_1", "link_length_2", "link_mass_1", "link_mass_2", "link_moi"
        )
        return params, purpose

    @staticmethod
    def initial(params: AcrobotParams, noise: tuple[float, float, float, float]) -> AcrobotState:
        low, width = -params.start, 2 * params.start
        return AcrobotState(
            low + width * noise[0], low + width * noise[1], low + width * noise[2], low + width * noise[3]
        )

    @staticmethod
    def transition(params: AcrobotParams, state: AcrobotState, action: int, branch: int) -> tuple[float, AcrobotState]:
        return 1.0, swung(params, state, (action - 1) * params.torque)

    @staticmethod
    def reward(
        params: AcrobotParams, purpose: AcrobotPurpose, state: AcrobotState, action: int, next_state: AcrobotState
    ) -> float:
        return purpose.goal_reward if above_line(params, purpose, next_state) else 0.0 - purpose.step_cost

    @staticmethod
    def terminal(params: AcrobotParams, purpose: AcrobotPurpose, state: AcrobotState) -> bool:
        return above_line(params, purpose, state)

    @staticmethod
    def observation(params: AcrobotParams, state: AcrobotState) -> tuple[float, float, float, float, float, float]:
        return (
            math.cos(state.theta1), math.sin(state.theta1), math.cos(state.theta2), math.sin(state.theta2),
            state.theta1_dot, state.theta2_dot,
        )  # fmt: skip

    @staticmethod
    def observations(params: AcrobotParams) -> gym.Space[Any]:
        high = np.array([1.0, 1.0, 1.0, 1.0, MAX_SPEED_1, MAX_SPEED_2], np.float32)
        return gym.spaces.Box(-high, high, dtype=np.float32)

    @staticmethod
    def state_of(params: AcrobotParams, observation: tuple[float, float, float, float, float, float]) -> AcrobotState:
        cos1, sin1, cos2, sin2, speed1, speed2 = observation
        return AcrobotState(math.atan2(sin1, cos1), math.atan2(sin2, cos2), float(speed1), float(speed2))

    @staticmethod
    def describe(params: AcrobotParams, purpose: AcrobotPurpose, state: AcrobotState) -> str:
        return (
            f"first link {_degrees(state.theta1)} from hanging, turning {state.theta1_dot:+.1f} rad/s | "
            f"second link {_degrees(state.theta2)} from the first, turning {state.theta2_dot:+.1f} rad/s | "
            f"free end at height {tip_height(params, state):.2f} | "
            f"wanted: above {purpose.target_height:g} (fixed joint 0; angles anticlockwise)"
        )

    @staticmethod
    def draw(params: AcrobotParams, purpose: AcrobotPurpose, state: AcrobotState) -> Scene:
        reach = params.link_length_1 + params.link_length_2
        half = reach + 0.25
        elbow = (
            half + params.link_length_1 * math.sin(state.theta1),
            half + params.link_length_1 * math.cos(state.theta1),
        )
        tip = Acrobot.place(params, state)
        line = half - purpose.target_height
        thick = 0.09 * reach
        return Scene(
            2 * half,
            2 * half,
            (
                Rect(0, 0, 2 * half, 2 * half, fill="paper"),
                Line(0, line, 2 * half, line, stroke="goal", line_width=thick / 2),
                Line(half, half, *elbow, stroke="wall", line_width=thick, layer="moving"),
                Line(*elbow, *tip, stroke="blue", line_width=thick, layer="moving"),
                Circle(half, half, 0.6 * thick, fill="ink", layer="moving"),
                Circle(*elbow, 0.75 * thick, fill="agent", layer="moving"),
                Circle(*tip, 0.5 * thick, fill="blue", layer="moving"),
            ),
        )

    @staticmethod
    def place(params: AcrobotParams, state: AcrobotState) -> tuple[float, float]:
        half = params.link_length_1 + params.link_length_2 + 0.25
        both = state.theta1 + state.theta2
        return (
            half + params.link_length_1 * math.sin(state.theta1) + params.link_length_2 * math.sin(both),
            half + params.link_length_1 * math.cos(state.theta1) + params.link_length_2 * math.cos(both),
        )


def noisy_transition(params: AcrobotParams, state: AcrobotState, action: int, noise: tuple[float]) -> AcrobotState:
    """Returns the next state where the torque is uncertain: the law function of an Acrobot with `torque_noise_max`."""
    strength = params.torque_noise_max
    return swung(params, state, (action - 1) * params.torque + (-strength + 2 * strength * noise[0]))


def tip_height(params: AcrobotParams, state: AcrobotState) -> float:
    """Returns how far the free end is above the fixed joint, m (compiled with the law)."""
    return -params.link_length_1 * math.cos(state.theta1) - params.link_length_2 * math.cos(state.theta2 + state.theta1)


def above_line(params: AcrobotParams, purpose: AcrobotPurpose, state: AcrobotState) -> bool:
    """Returns whether the free end is where `purpose` wants it (compiled with the law)."""
    return tip_height(params, state) > purpose.target_height


def swung(params: AcrobotParams, state: AcrobotState, torque: float) -> AcrobotState:
    """Returns the state one Runge-Kutta step later (compiled with the law)."""
    a1, a2, v1, v2 = state
    dt, half = params.dt, params.dt / 2.0
    p1, p2 = accelerations(params, a1, a2, v1, v2, torque)
    w1, w2 = v1 + half * p1, v2 + half * p2
    q1, q2 = accelerations(params, a1 + half * v1, a2 + half * v2, w1, w2, torque)
    x1, x2 = v1 + half * q1, v2 + half * q2
    r1, r2 = accelerations(params, a1 + half * w1, a2 + half * w2, x1, x2, torque)
    y1, y2 = v1 + dt * r1, v2 + dt * r2
    s1, s2 = accelerations(params, a1 + dt * x1, a2 + dt * x2, y1, y2, torque)
    sixth = dt / 6.0
    return AcrobotState(
        wrapped(a1 + sixth * (v1 + 2 * w1 + 2 * x1 + y1)),
        wrapped(a2 + sixth * (v2 + 2 * w2 + 2 * x2 + y2)),
        bounded(v1 + sixth * (p1 + 2 * q1 + 2 * r1 + s1), MAX_SPEED_1),
        bounded(v2 + sixth * (p2 + 2 * q2 + 2 * r2 + s2), MAX_SPEED_2),
    )


def accelerations(
    params: AcrobotParams, theta1: float, theta2: float, speed1: float, speed2: float, torque: float
) -> tuple[float, float]:
    """Returns the angular accelerations of both links, rad/s² (compiled with the law).

    Source: Sutton & Barto, "Reinforcement Learning", the Acrobot's equations of motion; letters d and phi as there.
    """
    m1, m2, l1 = params.link_mass_1, params.link_mass_2, params.link_length_1
    lc1, lc2, moi, g = params.link_com_pos_1, params.link_com_pos_2, params.link_moi, params.gravity
    cos2, sin2 = math.cos(theta2), math.sin(theta2)
    d1 = m1 * (lc1 * lc1) + m2 * (l1 * l1 + lc2 * lc2 + 2 * l1 * lc2 * cos2) + moi + moi
    d2 = m2 * (lc2 * lc2 + l1 * lc2 * cos2) + moi
    phi2 = m2 * lc2 * g * math.cos(theta1 + theta2 - math.pi / 2)
    phi1 = (
        -m2 * l1 * lc2 * squared(speed2) * sin2
        - 2 * m2 * l1 * lc2 * speed2 * speed1 * sin2
        + (m1 * lc1 + m2 * l1) * g * math.cos(theta1 - math.pi / 2)
        + phi2
    )
    centrifugal = 0.0 if params.nips else m2 * l1 * lc2 * squared(speed1) * sin2
    acceleration2 = (torque + d2 / d1 * phi1 - centrifugal - phi2) / (m2 * (lc2 * lc2) + moi - squared(d2) / d1)
    return -(d2 * acceleration2 + phi1) / d1, acceleration2


def wrapped(angle: float) -> float:
    """Returns the angle within [−π, π], whole turns taken off one after the other (compiled with the law).

    Twice is enough: at the greatest velocities an angle gains less than 6 rad in a step of 0.2 s.
    """
    angle = angle - TURN if angle > math.pi else angle
    angle = angle - TURN if angle > math.pi else angle
    angle = angle + TURN if angle < -math.pi else angle
    return angle + TURN if angle < -math.pi else angle


def bounded(value: float, limit: float) -> float:
    """Returns the value kept within ± `limit` (compiled with the law)."""
    value = -limit if value < -limit else value
    return limit if value > limit else value


def _degrees(angle: float) -> str:
    return f"{math.degrees(angle):+.0f}°"
