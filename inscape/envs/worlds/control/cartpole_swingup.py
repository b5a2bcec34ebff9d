"""Cart whose pole hangs and is to be swung up."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from inscape.envs.law.law import NoPurpose
from inscape.envs.law.tools import gaussian
from inscape.envs.rendering.scene import Circle, Line, Rect, Scene
from inscape.envs.world import World
from inscape.envs.worlds.control.common import require_positive

TURN = 2 * math.pi


class SwingUpState(NamedTuple):
    """Cart position `x` (m) and velocity (m/s), angle `theta` of the pole from upright and velocity.

    Angles are in rad, anticlockwise; turns are counted.
    """

    x: float
    x_dot: float
    theta: float
    theta_dot: float


class SwingUpParams(NamedTuple):
    """The body, the track and the start.

    Attributes:
        gravity: m/s².
        masscart, masspole: kg.
        length: of the whole pole, a uniform rod, m.
        friction: of the cart on the track, N per m/s.
        force: what action 1 applies to the cart, N.
        tau: s per step.
        track: half the track's length, m.
        start: standard deviation of each of the four numbers at the start.
    """

    gravity: float = 9.82
    masscart: float = 0.5
    masspole: float = 0.5
    length: float = 0.6
    friction: float = 0.1
    force: float = 10.0
    tau: float = 0.01
    track: float = 2.4
    start: float = 0.2


class CartPoleSwingUp(World):
    """A pole hanging from a cart is swung up and balanced in the middle of the track by pushing the cart.

    Actions: `[1]` the push in [−1, 1], as a share of `force` newtons, positive to the right. Values outside are
        refused.
    Observations: `[5]` float32: position (m), velocity (m/s), cos theta, sin theta, angular velocity (rad/s); theta
        from upright, anticlockwise.
    Rewards: (1 + cos theta)/2 · cos(π x / (2 track)) of the state reached: 1 upright in the middle, 0 hanging or at
        the track's ends.
    Start: hanging at rest in the middle, each of the four numbers with Gaussian noise of deviation `start`.
    End: terminated when |x| > track (2.4 m); truncated after 1,000 steps (10 s).
    Arguments: `gravity`, `masscart`, `masspole`, `length`, `friction`, `force`, `tau`, `track`, `start`.

    Source: dynamics of Gal, McAllister & Rasmussen (2016), "Improving PILCO with Bayesian neural network dynamics
        models" (those of Deisenroth's PILCO); reward, track, step and limits of Gaier & Ha (2019), "Weight agnostic
        neural networks", NeurIPS 32. Explicit Euler steps, as there.
    Version history: v0, first.
    """

    State = SwingUpState
    Params = SwingUpParams
    action_low = (-1.0,)
    action_high = (1.0,)
    initial_noise = 4
    max_episode_steps = 1000

    def setup(self, **settings: Any) -> tuple[SwingUpParams, NoPurpose]:
        params, purpose = super().setup(**settings)
        require_positive(self.name, params, "masscart", "masspole", "length", "tau", "track")
        return params, purpose

    @staticmethod
    def initial(params: SwingUpParams, noise: tuple[float, float, float, float]) -> SwingUpState:
        return SwingUpState(
            params.start * gaussian(noise[0]),
            params.start * gaussian(noise[1]),
            math.pi + params.start * gaussian(noise[2]),
            params.start * gaussian(noise[3]),
        )

    @staticmethod
    def transition(
        params: SwingUpParams, state: SwingUpState, action: tuple[float], branch: int
    ) -> tuple[float, SwingUpState]:
        x, x_dot, theta, theta_dot = state
        sin, cos = math.sin(theta), math.cos(theta)
        mass = params.masscart + params.masspole
        moment = params.masspole * params.length
        push = params.force * action[0] - params.friction * x_dot
        swing = moment * (theta_dot * theta_dot) * sin
        # both accelerations solve M(q) q̈ = forces for a uniform rod on a cart; the common factor is 4 M − 3 m cos²
        common = 4.0 * mass - 3.0 * params.masspole * (cos * cos)
        x_acc = (4.0 * push - 2.0 * swing + 3.0 * params.masspole * params.gravity * sin * cos) / common
        theta_acc = (6.0 * push * cos - 3.0 * swing * cos + 6.0 * mass * params.gravity * sin) / (
            params.length * common
        )
        return 1.0, SwingUpState(
            x + params.tau * x_dot,
            x_dot + params.tau * x_acc,
            theta + params.tau * theta_dot,
            theta_dot + params.tau * theta_acc,
        )

    @staticmethod
    def reward(
        params: SwingUpParams, purpose: NoPurpose, state: SwingUpState, action: tuple[float], next_state: SwingUpState
    ) -> float:
        return 0.5 * (1.0 + math.cos(next_state.theta)) * math.cos(0.5 * math.pi * next_state.x / params.track)

    @staticmethod
    def terminal(params: SwingUpParams, purpose: NoPurpose, state: SwingUpState) -> bool:
        return abs(state.x) > params.track

    @staticmethod
    def observation(params: SwingUpParams, state: SwingUpState) -> tuple[float, float, float, float, float]:
        return state.x, state.x_dot, math.cos(state.theta), math.sin(state.theta), state.theta_dot

    @staticmethod
    def observations(params: SwingUpParams) -> gym.Space[Any]:
        high = np.array([np.inf, np.inf, 1.0, 1.0, np.inf], np.float32)
        return gym.spaces.Box(-high, high, dtype=np.float32)

    @staticmethod
    def state_of(params: SwingUpParams, observation: tuple[float, float, float, float, float]) -> SwingUpState:
        """Returns the state up to whole turns, theta in [0, 2π)."""
        x, x_dot, cos, sin, theta_dot = (float(number) for number in observation)
        return SwingUpState(x, x_dot, math.atan2(sin, cos) % TURN, theta_dot)

    @staticmethod
    def describe(params: SwingUpParams, purpose: NoPurpose, state: SwingUpState) -> str:
        angle = math.degrees(math.remainder(state.theta, TURN))
        side = "left" if state.x < 0 else "right"
        drift = "left" if state.x_dot < 0 else "right"
        lean = "left" if angle > 0 else "right"
        turn = "anticlockwise" if state.theta_dot > 0 else "clockwise"
        return (
            f"cart {abs(state.x):.2f} m {side} of the middle, moving {drift} {abs(state.x_dot):.1f} m/s | "
            f"pole {abs(angle):.0f}° {lean} of upright, turning {turn} {abs(state.theta_dot):.1f} rad/s | "
            f"wanted: upright in the middle; the track ends at {params.track:g} m"
        )

    @staticmethod
    def draw(params: SwingUpParams, purpose: NoPurpose, state: SwingUpState) -> Scene:
        half = params.track + 0.6
        reach = 2 * params.length
        height = 2 * reach + 0.8
        cx, cy = half + state.x, height / 2
        tip_x, tip_y = CartPoleSwingUp.place(params, state)
        return Scene(
            2 * half,
            height,
            (
                Rect(0, 0, 2 * half, height, fill="paper"),
                Line(half - params.track, cy, half + params.track, cy, stroke="muted", line_width=0.06),
                Line(half - params.track, cy - 0.25, half - params.track, cy + 0.25, stroke="danger", line_width=0.1),
                Line(half + params.track, cy - 0.25, half + params.track, cy + 0.25, stroke="danger", line_width=0.1),
                Circle(half, cy - reach, 0.26, stroke="goal", line_width=0.09),
                Rect(cx - 0.4, cy - 0.2, 0.8, 0.4, fill="wall", radius=0.08, layer="moving"),
                Line(cx, cy, tip_x, tip_y, stroke="agent", line_width=0.22, layer="moving"),
                Circle(tip_x, tip_y, 0.2, fill="agent", layer="moving"),
                Circle(cx, cy, 0.13, fill="ink", layer="moving"),
            ),
        )

    @staticmethod
    def place(params: SwingUpParams, state: SwingUpState) -> tuple[float, float]:
        # the pole is drawn at twice its length
        reach = 2 * params.length
        return (
            params.track + 0.6 + state.x - reach * math.sin(state.theta),
            reach + 0.4 - reach * math.cos(state.theta),
        )
