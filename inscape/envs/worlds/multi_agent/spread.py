"""Particles in the plane that spread out over landmarks."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from inscape.envs.law.tools import replaced
from inscape.envs.rendering.scene import Circle, Line, Rect, Scene, Shape, player_color
from inscape.envs.world import World
from inscape.envs.worlds.multi_agent.grid_moves import require
from inscape.errors import UsageError

COVERED = 0.1
"""Distance within which a landmark counts as covered."""
FELT = 46.0
"""Gap between two agents, in contact margins, beyond which they do not feel each other: the force would be below
e^−46 ≈ 1e-20 of contact_force · contact_margin, and the exponential and the logarithm are most of a step's work."""
REACH = 1.5
"""The drawing shows the square [−REACH, REACH]²."""


class SpreadState(NamedTuple):
    """Agents' positions `x`, `y` and velocities `vx`, `vy` (per unit of time), landmarks' positions `lx`, `ly`."""

    x: tuple[float, ...]
    y: tuple[float, ...]
    vx: tuple[float, ...]
    vy: tuple[float, ...]
    lx: tuple[float, ...]
    ly: tuple[float, ...]


class SpreadParams(NamedTuple):
    """Constants of the motion.

    Attributes:
        zeros: one 0.0 per agent, to be filled.
        tau: time of one step.
        damping: part of the velocity lost in one step.
        sensitivity: force of a push.
        contact_force, contact_margin: strength and softness of contacts.
        size: radius of an agent.
        ends: is a task with every landmark covered over.
    """

    zeros: tuple[float, ...]
    tau: float
    damping: float
    sensitivity: float
    contact_force: float
    contact_margin: float
    size: float
    ends: bool


class SpreadPurpose(NamedTuple):
    """Weight in [0, 1] of an agent's own collisions; the landmarks' distances weigh 1 − local_ratio."""

    local_ratio: float


class SpreadView(NamedTuple):
    """What the entries of an observation are read from."""

    state: SpreadState
    player: int


# ------------------------------------------------------------------------------------------- the law, for both classes


def moved(params: SpreadParams, state: SpreadState, fx: tuple[float, ...], fy: tuple[float, ...]) -> SpreadState:
    """Returns the state one step on under the agents' own forces and their contacts (compiled with the law).

    Two agents nearer than their radii allow push each other apart with contact_force · k · log(1 + e^(depth / k)),
    k the contact margin. Velocities move the positions before forces change them.
    """
    count = len(params.zeros)
    reach = 2.0 * params.size + FELT * params.contact_margin
    for a in range(count):
        for b in range(a + 1, count):
            dx, dy = state.x[a] - state.x[b], state.y[a] - state.y[b]
            squared = dx * dx + dy * dy
            if squared < reach * reach:
                distance = max(math.sqrt(squared), 1e-300)  # agents in one place push nobody
                depth = -(distance - 2.0 * params.size) / params.contact_margin
                penetration = (max(depth, 0.0) + math.log1p(math.exp(-abs(depth)))) * params.contact_margin
                px = params.contact_force * dx / distance * penetration
                py = params.contact_force * dy / distance * penetration
                fx = replaced(replaced(fx, a, px + fx[a]), b, fx[b] - px)
                fy = replaced(replaced(fy, a, py + fy[a]), b, fy[b] - py)
    x, y, vx, vy = state.x, state.y, state.vx, state.vy
    kept = 1.0 - params.damping
    for i in range(count):
        x = replaced(x, i, state.x[i] + state.vx[i] * params.tau)
        y = replaced(y, i, state.y[i] + state.vy[i] * params.tau)
        vx = replaced(vx, i, state.vx[i] * kept + fx[i] * params.tau)
        vy = replaced(vy, i, state.vy[i] * kept + fy[i] * params.tau)
    return SpreadState(x, y, vx, vy, state.lx, state.ly)


def farthest_and_total(state: SpreadState) -> tuple[float, float]:
    """Returns the largest and the sum of the landmarks' distances from their nearest agents (compiled with the law)."""
    farthest, total = 0.0, 0.0
    for landmark in range(len(state.lx)):
        nearest = 1e300
        for i in range(len(state.x)):
            dx, dy = state.x[i] - state.lx[landmark], state.y[i] - state.ly[landmark]
            nearest = min(nearest, dx * dx + dy * dy)
        distance = math.sqrt(nearest)
        farthest = max(farthest, distance)
        total += distance
    return farthest, total


def rewards_of(params: SpreadParams, purpose: SpreadPurpose, state: SpreadState) -> tuple[float, ...]:
    """Returns each agent's reward on arriving in `state` (compiled with the law)."""
    count = len(state.x)
    touching = params.zeros
    for a in range(count):
        for b in range(a + 1, count):
            dx, dy = state.x[a] - state.x[b], state.y[a] - state.y[b]
            hit = 1.0 if math.sqrt(dx * dx + dy * dy) < 2.0 * params.size else 0.0
            touching = replaced(replaced(touching, a, touching[a] + hit), b, touching[b] + hit)
    shared = -farthest_and_total(state)[1] * (1.0 - purpose.local_ratio)
    rewards = touching
    for i in range(count):
        rewards = replaced(rewards, i, shared - touching[i] * purpose.local_ratio)
    return rewards


def entry(view: SpreadView, k: int) -> float:
    """Returns entry k of what an agent observes (compiled with the law)."""
    state, me = view.state, view.player
    count = len(state.x)
    item = (k - 4) // 2
    across = k % 2 == 0
    own = state.x[me] if across else state.y[me]
    if k < 2:
        return state.vx[me] if across else state.vy[me]
    if k < 4:
        return own
    if item < count:
        return (state.lx[item] if across else state.ly[item]) - own
    if item < 2 * count - 1:
        other = item - count
        other += 1 if other >= me else 0
        return (state.x[other] if across else state.y[other]) - own
    return 0.0


# ------------------------------------------------------------------------------------------- the worlds


class Particles(World):
    """What the two worlds share: how episodes begin and end, and how a state is shown. Subclasses say who steers."""

    State = SpreadState
    Params = SpreadParams
    Purpose = SpreadPurpose
    lengths = dict.fromkeys(("x", "y", "vx", "vy", "lx", "ly", "zeros"), 3)
    initial_noise = 12
    max_episode_steps = 25

    @classmethod
    def sized(cls, agents: int = 3, **settings: Any) -> dict[str, Any]:
        require("agents", agents, 2, 6, whole=True)
        return {"lengths": dict.fromkeys(cls.lengths, int(agents)), "initial_noise": 4 * int(agents)}

    def setup(
        self,
        agents: int = 3,
        local_ratio: float = 0.5,
        damping: float = 0.25,
        sensitivity: float = 5.0,
        contact_force: float = 100.0,
        contact_margin: float = 0.001,
        size: float = 0.15,
        terminate_on_success: bool = False,
    ) -> tuple[SpreadParams, SpreadPurpose]:
        require("local_ratio", local_ratio, 0, 1)
        require("damping", damping, 0, 1)
        for name, value in (("sensitivity", sensitivity), ("contact_force", contact_force)):
            require(name, value, 0, 1e9)
        require("size", size, 1e-6, 1)
        require("contact_margin", contact_margin, 1e-6, 1)
        if not isinstance(terminate_on_success, bool):
            raise UsageError(f"terminate_on_success = {terminate_on_success!r}", expected="True or False")
        params = SpreadParams(
            (0.0,) * agents, 0.1, float(damping), float(sensitivity), float(contact_force), float(contact_margin),
            float(size), terminate_on_success,
        )  # fmt: skip
        return params, SpreadPurpose(float(local_ratio))

    @staticmethod
    def initial(params: SpreadParams, noise: tuple[float, ...]) -> SpreadState:
        x, y, lx, ly = params.zeros, params.zeros, params.zeros, params.zeros
        count = len(params.zeros)
        for i in range(count):
            x = replaced(x, i, 2.0 * noise[4 * i] - 1.0)
            y = replaced(y, i, 2.0 * noise[4 * i + 1] - 1.0)
            lx = replaced(lx, i, 2.0 * noise[4 * i + 2] - 1.0)
            ly = replaced(ly, i, 2.0 * noise[4 * i + 3] - 1.0)
        return SpreadState(x, y, params.zeros, params.zeros, lx, ly)

    @staticmethod
    def terminal(params: SpreadParams, purpose: SpreadPurpose, state: SpreadState) -> bool:
        return params.ends and farthest_and_total(state)[0] < COVERED

    @staticmethod
    def observations(params: SpreadParams) -> gym.Space[Any]:
        return gym.spaces.Box(-np.inf, np.inf, (6 * len(params.zeros),), np.float32)

    @staticmethod
    def describe(params: SpreadParams, purpose: SpreadPurpose, state: SpreadState) -> str:
        agents = " | ".join(
            f"agent {i} at {state.x[i]:.2f} {state.y[i]:.2f} moving {state.vx[i]:.2f} {state.vy[i]:.2f}"
            for i in range(len(state.x))
        )
        landmarks = " | ".join(
            f"landmark {k} at {lx:.2f} {ly:.2f}, nearest agent "
            f"{min(math.hypot(x - lx, y - ly) for x, y in zip(state.x, state.y)):.2f} away"
            for k, (lx, ly) in enumerate(zip(state.lx, state.ly))
        )
        return f"{agents} | {landmarks} | goal: an agent at every landmark, no collisions (x grows right, y up)"

    @staticmethod
    def draw(params: SpreadParams, purpose: SpreadPurpose, state: SpreadState) -> Scene:
        """Returns the plane, seen from above: landmarks as dark dots, agents as discs with their velocities."""
        side = 2 * REACH

        def on_page(x: float, y: float) -> tuple[float, float]:
            return min(max(x + REACH, 0.0), side), min(max(REACH - y, 0.0), side)

        shapes: list[Shape] = [
            Rect(0, 0, side, side, fill="paper"),
            Rect(REACH - 1, REACH - 1, 2, 2, stroke="line", line_width=0.02),
        ]
        for i in range(len(state.x)):
            x, y = on_page(state.x[i], state.y[i])
            to = on_page(state.x[i] + 0.4 * state.vx[i], state.y[i] + 0.4 * state.vy[i])
            shapes.append(
                Circle(x, y, params.size, fill=player_color(i), stroke="ink", line_width=0.02, layer="moving")
            )
            shapes.append(Line(x, y, *to, stroke="ink", line_width=0.03, layer="moving"))
        for lx, ly in zip(state.lx, state.ly):  # on top: a covered landmark is seen on the agent that covers it
            x, y = on_page(lx, ly)
            shapes.append(Circle(x, y, 0.08, fill="ink", stroke="paper", line_width=0.02, layer="moving"))
        return Scene(side, side, tuple(shapes))


class Spread(Particles):
    """Agents in the plane cover landmarks between them without running into each other.

    Actions: `stay`, `left`, `right`, `down`, `up`, all agents at once: a push of `sensitivity` for 0.1 units of time.
    Observations: `[6N]` float32 for each agent: its velocity (2), its position (2), the landmarks' positions relative
        to its own (2N), the other agents' (2N − 2), and 2N − 2 zeros where MPE has what the others say.
    Rewards: (1 − local_ratio) · (minus the sum over landmarks of the distance of the nearest agent) − local_ratio ·
        (number of agents it collides with), at the state arrived in.
    Start: agents, at rest, and landmarks uniform in [−1, 1]².
    End: truncated after 25 steps; with `terminate_on_success`, terminated when every landmark has an agent within 0.1.

    Args:
        agents: N, agents and landmarks, 2 to 6.
        local_ratio: weight of collisions, in [0, 1].
        damping: part of the velocity lost in a step, in [0, 1].
        sensitivity: force of a push (an agent's mass is 1).
        contact_force, contact_margin: strength and softness of contacts.
        size: radius of an agent.
        terminate_on_success: does a task with every landmark covered end.

    Source: simple_spread of Lowe et al. (2017), "Multi-agent actor-critic", NeurIPS; forces and order of operations as
        mpe2's simple_spread_v3.
    Version history: v0, first.
    """

    actions = ("stay", "left", "right", "down", "up")
    players = 3
    simultaneous = True
    player_names = ("agent_0", "agent_1", "agent_2")

    @classmethod
    def sized(cls, agents: int = 3, **settings: Any) -> dict[str, Any]:
        return super().sized(agents) | {
            "players": int(agents),
            "player_names": tuple(f"agent_{k}" for k in range(agents)),
        }

    @staticmethod
    def transition(
        params: SpreadParams, state: SpreadState, action: tuple[int, ...], branch: int
    ) -> tuple[float, SpreadState]:
        fx, fy = params.zeros, params.zeros
        for i in range(len(params.zeros)):
            right = (1.0 if action[i] == 2 else 0.0) - (1.0 if action[i] == 1 else 0.0)
            up = (1.0 if action[i] == 4 else 0.0) - (1.0 if action[i] == 3 else 0.0)
            fx = replaced(fx, i, params.sensitivity * right)
            fy = replaced(fy, i, params.sensitivity * up)
        return 1.0, moved(params, state, fx, fy)

    @staticmethod
    def reward(
        params: SpreadParams,
        purpose: SpreadPurpose,
        state: SpreadState,
        action: tuple[int, ...],
        next_state: SpreadState,
    ) -> tuple[float, ...]:
        return rewards_of(params, purpose, next_state)

    @staticmethod
    def observation_view(params: SpreadParams, state: SpreadState, player: int) -> SpreadView:
        return SpreadView(state, player)

    @staticmethod
    def observation_entry(params: SpreadParams, view: SpreadView, k: int) -> float:
        return entry(view, k)

    @staticmethod
    def purposes(params: SpreadParams, purpose: SpreadPurpose) -> dict[str, SpreadPurpose]:
        return {
            "cover": SpreadPurpose(0.0),
            "cover without collisions": SpreadPurpose(0.5),
            "avoid each other": SpreadPurpose(1.0),
        }


class SpreadForces(Particles):
    """Spread with continuous forces, all agents steered by one hand.

    Actions: `[2N]` in [−1, 1]: agent 0's force to the right and up, agent 1's, …, in units of `sensitivity`. In MPE's
        continuous actions these are the differences right − left and up − down.
    Observations: `[6N]` float32: what agent 0 of `Spread` observes, with the other agents' velocities in the place of
        what they say.
    Rewards: the mean of the agents' rewards in `Spread`.
    Start: as `Spread`.
    End: as `Spread`.

    Args:
        agents, local_ratio, damping, sensitivity, contact_force, contact_margin, size, terminate_on_success: as
            `Spread`.

    Source: as `Spread`.
    Version history: v0, first.
    """

    action_low = (-1.0,) * 6
    action_high = (1.0,) * 6

    @classmethod
    def sized(cls, agents: int = 3, **settings: Any) -> dict[str, Any]:
        return super().sized(agents) | {
            "action_low": (-1.0,) * (2 * agents),
            "action_high": (1.0,) * (2 * agents),
        }

    @staticmethod
    def transition(
        params: SpreadParams, state: SpreadState, action: tuple[float, ...], branch: int
    ) -> tuple[float, SpreadState]:
        fx, fy = params.zeros, params.zeros
        for i in range(len(params.zeros)):
            fx = replaced(fx, i, params.sensitivity * action[2 * i])
            fy = replaced(fy, i, params.sensitivity * action[2 * i + 1])
        return 1.0, moved(params, state, fx, fy)

    @staticmethod
    def reward(
        params: SpreadParams,
        purpose: SpreadPurpose,
        state: SpreadState,
        action: tuple[float, ...],
        next_state: SpreadState,
    ) -> float:
        rewards = rewards_of(params, purpose, next_state)
        total = 0.0
        for i in range(len(rewards)):
            total += rewards[i]
        return total / len(rewards)

    @staticmethod
    def observation_view(params: SpreadParams, state: SpreadState) -> SpreadView:
        return SpreadView(state, 0)

    @staticmethod
    def observation_entry(params: SpreadParams, view: SpreadView, k: int) -> float:
        heard = k - (4 * len(params.zeros) + 2)
        if heard < 0:
            return entry(view, k)
        other = 1 + heard // 2
        return view.state.vx[other] if heard % 2 == 0 else view.state.vy[other]
