"""Cart and pole."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from inscape.envs.rendering.scene import Circle, Line, Polygon, Rect, Scene
from inscape.envs.world import World

X_LIMIT = 2.4
THETA_LIMIT = 12 * 2 * math.pi / 360


class CartPoleState(NamedTuple):
    """Cart position `x` (m) and velocity (m/s), pole angle `theta` from upright (rad) and angular velocity (rad/s)."""

    x: float
    x_dot: float
    theta: float
    theta_dot: float


class CartPoleParams(NamedTuple):
    """Constants of the body: m/s², kg, kg, half the pole's length in m, N, s per step, half-width of the start box."""

    gravity: float = 9.8
    masscart: float = 1.0
    masspole: float = 0.1
    length: float = 0.5
    force: float = 10.0
    tau: float = 0.02
    start: float = 0.05


class CartPolePurpose(NamedTuple):
    """Reward for each step, the last one included."""

    upright_reward: float = 1.0


class CartPole(World):
    """A pole hinged on a cart is kept upright by pushing the cart.

    Actions: `left` (0) or `right` (1): a push of `force` newtons for `tau` seconds.
    Observations: `[4]` float32: x (m), its velocity (m/s), theta (rad), its velocity (rad/s).
    Rewards: 1 for every step, the one in which the pole falls included.
    Start: each of the four numbers uniform in [−start, start].
    End: terminated when |x| > 2.4 m or |theta| > 12°; truncated after 500 steps.
    Arguments: `gravity`, `masscart`, `masspole`, `length`, `force`, `tau`, `start`, `upright_reward`.

    Trajectories equal Gymnasium's CartPole-v1 bit for bit in double precision (the order of operations is the same), as
    long as NumPy's sine and cosine equal the C library's.

    Source: Barto, Sutton & Anderson (1983), "Neuronlike adaptive elements", IEEE SMC 13(5), as in Gymnasium.
    Version history: v0, first.
    """

    State = CartPoleState
    Params = CartPoleParams
    Purpose = CartPolePurpose
    actions = ("left", "right")
    initial_noise = 4
    max_episode_steps = 500

    @staticmethod
    def initial(params: CartPoleParams, noise: tuple[float, float, float, float]) -> CartPoleState:
        low, width = -params.start, 2 * params.start
        return CartPoleState(
            low + width * noise[0], low + width * noise[1], low + width * noise[2], low + width * noise[3]
        )

    @staticmethod
    def transition(
        params: CartPoleParams, state: CartPoleState, action: int, branch: int
    ) -> tuple[float, CartPoleState]:
        x, x_dot, theta, theta_dot = state
        total_mass = params.masspole + params.masscart
        polemass_length = params.masspole * params.length
        force = params.force if action == 1 else -params.force
        cos, sin = math.cos(theta), math.sin(theta)
        temp = (force + polemass_length * (theta_dot * theta_dot) * sin) / total_mass
        theta_acc = (params.gravity * sin - cos * temp) / (
            params.length * (4.0 / 3.0 - params.masspole * (cos * cos) / total_mass)
        )
        x_acc = temp - polemass_length * theta_acc * cos / total_mass
        return 1.0, CartPoleState(
            x + params.tau * x_dot,
            x_dot + params.tau * x_acc,
            theta + params.tau * theta_dot,
            theta_dot + params.tau * theta_acc,
        )

    @staticmethod
    def reward(
        params: CartPoleParams, purpose: CartPolePurpose, state: CartPoleState, action: int, next_state: CartPoleState
    ) -> float:
        return purpose.upright_reward

    @staticmethod
    def terminal(params: CartPoleParams, purpose: CartPolePurpose, state: CartPoleState) -> bool:
        return state.x < -X_LIMIT or state.x > X_LIMIT or state.theta < -THETA_LIMIT or state.theta > THETA_LIMIT

    @staticmethod
    def observations(params: CartPoleParams) -> gym.Space[Any]:
        high = np.array([X_LIMIT * 2, np.inf, THETA_LIMIT * 2, np.inf], np.float32)
        return gym.spaces.Box(-high, high, dtype=np.float32)

    @staticmethod
    def describe(params: CartPoleParams, purpose: CartPolePurpose, state: CartPoleState) -> str:
        side = "left" if state.x < 0 else "right"
        lean = "left" if state.theta < 0 else "right"
        turn = "left" if state.theta_dot < 0 else "right"
        drift = "left" if state.x_dot < 0 else "right"
        return (
            f"cart {abs(state.x):.1f} {side} moving {drift} {abs(state.x_dot):.1f} | "
            f"pole leans {lean} {abs(math.degrees(state.theta)):.0f} turning {turn} {abs(state.theta_dot):.1f}"
        )

    @staticmethod
    def draw(params: CartPoleParams, purpose: CartPolePurpose, state: CartPoleState) -> Scene:
        cx, cy = 3 + state.x, 2.1
        reach = 2.6 * params.length
        s, c = math.sin(state.theta), math.cos(state.theta)
        w = 0.06
        pole = tuple(
            (cx + across * c + along * s, cy - 0.15 + across * s - along * c)
            for across, along in ((-w, 0), (w, 0), (w, reach), (-w, reach))
        )
        return Scene(
            6,
            3,
            (
                Rect(0, 0, 6, 3, fill="paper"),
                Line(0, cy + 0.15, 6, cy + 0.15, stroke="muted", line_width=0.03),
                Line(3 - X_LIMIT, cy, 3 - X_LIMIT, cy + 0.3, stroke="danger", line_width=0.04),
                Line(3 + X_LIMIT, cy, 3 + X_LIMIT, cy + 0.3, stroke="danger", line_width=0.04),
                Rect(cx - 0.35, cy - 0.15, 0.7, 0.3, fill="wall", radius=0.06, layer="moving"),
                Polygon(pole, fill="agent", layer="moving"),
                Circle(cx, cy - 0.15, 0.07, fill="ink", layer="moving"),
            ),
        )

    @staticmethod
    def place(params: CartPoleParams, state: CartPoleState) -> tuple[float, float]:
        reach = 2.6 * params.length
        return 3 + state.x + reach * math.sin(state.theta), 1.95 - reach * math.cos(state.theta)
