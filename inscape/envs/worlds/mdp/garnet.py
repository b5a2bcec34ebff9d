"""Garnet: random decision processes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from inscape.envs.rendering.scene import Circle, Line, Rect, Scene, Shape
from inscape.envs.world import World
from inscape.envs.worlds.mdp.checks import probability, whole
from inscape.errors import UsageError

SCHEMES = ("pairs", "states")
# purposes an observer may consider beside the world's own: other rewards over the same dynamics
PURPOSES = 4
COLORS = ("blue", "green", "red", "purple", "teal", "yellow")


class GarnetState(NamedTuple):
    """The number of the state, 0 … n − 1."""

    number: int


class GarnetParams(NamedTuple):
    """The dynamics.

    Attributes:
        successors: `[n, m, b]` states that may come next, all different.
        probability: `[n, m, b]` their probabilities.
    """

    successors: np.ndarray
    probability: np.ndarray


class GarnetPurpose(NamedTuple):
    """The rewards.

    Attributes:
        rewards: `[n, m]` reward of taking action a in state s.
        seed: what they were drawn with.
        by_state: every action of a state has the same reward.
        sparsity: share of rewards that are 0.
    """

    rewards: np.ndarray
    seed: int
    by_state: bool
    sparsity: float


class Garnet(World):
    """A decision process drawn at random: Garnet(n, m, b).

    In each state each action leads to b different states, drawn at random; their probabilities are the lengths of the
    pieces into which b − 1 uniform random cuts divide the unit interval. Rewards are standard normal.

    Actions: `a0` … `a<m − 1>`.
    Observations: Discrete(n): the number of the state.
    Rewards: of the state and the action (or of the state alone), whatever comes next.
    Start: state 0.
    End: never terminated; truncated after 100 steps.

    Args:
        states: n.
        num_actions: m.
        branching: b, at most n.
        rewards: `pairs`: one for each state and action; `states`: one for each state, given for leaving it.
        sparsity: share of the rewards that are 0 instead, drawn at random.
        seed: of dynamics and rewards.

    Source: Archibald, McKinnon & Thomas (1995), "On the generation of Markov decision processes", Journal of the
        Operational Research Society 46(3); in the form of Bhatnagar, Sutton, Ghavamzadeh & Lee (2009), "Natural
        actor-critic algorithms", Automatica 45(11), Section 7, without their noise around the expected reward and
        without change over time. The law is of expected rewards.
    Version history: v0, first.
    """

    State = GarnetState
    Params = GarnetParams
    Purpose = GarnetPurpose
    max_episode_steps = 100
    gamma = 0.95

    def setup(
        self,
        states: int = 30,
        num_actions: int = 4,
        branching: int = 2,
        rewards: str = "pairs",
        sparsity: float = 0.0,
        seed: int = 0,
    ) -> tuple[GarnetParams, GarnetPurpose]:
        n, m = whole("states", states, 1), whole("num_actions", num_actions, 1)
        b = whole("branching", branching, 1, n)
        if rewards not in SCHEMES:
            raise UsageError(f"rewards = {rewards!r}", expected=", ".join(SCHEMES))
        seed = whole("seed", seed, 0)
        rng = np.random.default_rng([seed, 0])
        cuts = np.sort(rng.random((n * m, b - 1)), axis=1)
        edges = np.concatenate([np.zeros((n * m, 1)), cuts, np.ones((n * m, 1))], axis=1)
        params = GarnetParams(
            successors=_distinct(n * m, n, b, rng).reshape(n, m, b),
            probability=np.diff(edges, axis=1).reshape(n, m, b),
        )
        by_state, share = rewards == "states", probability("sparsity", sparsity)
        return params, GarnetPurpose(_rewards(n, m, by_state, share, seed, 0), seed, by_state, share)

    @staticmethod
    def actions(params: GarnetParams) -> tuple[str, ...]:
        return tuple(f"a{k}" for k in range(params.successors.shape[1]))

    @staticmethod
    def branches(params: GarnetParams) -> int:
        return int(params.successors.shape[2])

    @staticmethod
    def initial(params: GarnetParams, branch: int) -> tuple[float, GarnetState]:
        return 1.0, GarnetState(0)

    @staticmethod
    def transition(params: GarnetParams, state: GarnetState, action: int, branch: int) -> tuple[float, GarnetState]:
        return (
            params.probability[state.number, action, branch],
            GarnetState(params.successors[state.number, action, branch]),
        )

    @staticmethod
    def reward(
        params: GarnetParams, purpose: GarnetPurpose, state: GarnetState, action: int, next_state: GarnetState
    ) -> float:
        return float(purpose.rewards[state.number, action])

    @staticmethod
    def observation(params: GarnetParams, state: GarnetState) -> int:
        return state.number

    @staticmethod
    def observations(params: GarnetParams) -> gym.Space[Any]:
        return gym.spaces.Discrete(len(params.successors))

    @staticmethod
    def state_of(params: GarnetParams, observation: int) -> GarnetState:
        return GarnetState(int(observation))

    @staticmethod
    def roots(params: GarnetParams) -> Iterable[GarnetState]:
        return [GarnetState(number) for number in range(len(params.successors))]

    @staticmethod
    def purposes(params: GarnetParams, purpose: GarnetPurpose) -> dict[str, GarnetPurpose]:
        n, m = purpose.rewards.shape
        return {
            f"rewards {k}": purpose._replace(
                rewards=_rewards(n, m, purpose.by_state, purpose.sparsity, purpose.seed, k)
            )
            for k in range(PURPOSES)
        }

    @staticmethod
    def describe(params: GarnetParams, purpose: GarnetPurpose, state: GarnetState) -> str:
        choices = []
        for action, name in enumerate(Garnet.actions(params)):
            ways = sorted(
                zip(params.probability[state.number, action], params.successors[state.number, action]), reverse=True
            )
            likely = ", ".join(f"state {to} {p:.2f}" for p, to in ways[:4]) + (", …" if len(ways) > 4 else "")
            choices.append(f"{name} pays {purpose.rewards[state.number, action]:.2f} and leads to {likely}")
        return f"state {state.number} of {len(params.successors)} | collect rewards | " + "; ".join(choices)

    @staticmethod
    def draw(params: GarnetParams, purpose: GarnetPurpose, state: GarnetState) -> Scene:
        n, m, b = params.successors.shape
        shapes: list[Shape] = [Rect(0, 0, 10, 10, fill="paper")]
        radius = min(0.34, 12.0 / n)
        if n <= 400:
            shapes += [Circle(*_spot(k, n), radius, fill="line", stroke="muted", line_width=0.03) for k in range(n)]
        else:
            shapes.append(Circle(5, 5, 4.3, stroke="line", line_width=0.2))
        x, y = _spot(state.number, n)
        ends = []
        for action in range(m):
            for k in range(b):
                to = _spot(int(params.successors[state.number, action, k]), n)
                color = COLORS[action % len(COLORS)]
                width = 0.04 + 0.22 * float(params.probability[state.number, action, k])
                shapes.append(Line(x, y, *to, stroke=color, line_width=width, layer="moving"))
                ends.append(Circle(*to, max(radius, 0.16), fill=color, layer="moving"))
        shapes += [*ends, Circle(x, y, max(0.42, radius), fill="agent", stroke="ink", layer="moving")]
        return Scene(10, 10, tuple(shapes))

    @staticmethod
    def place(params: GarnetParams, state: GarnetState) -> tuple[float, float]:
        return _spot(state.number, len(params.successors))


def _spot(number: int, count: int) -> tuple[float, float]:
    """Returns where a state is drawn: on a circle, clockwise from the top."""
    angle = 2 * math.pi * number / count
    return 5 + 4.3 * math.sin(angle), 5 - 4.3 * math.cos(angle)


def _distinct(rows: int, count: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """Returns `[rows, size]` different numbers below `count`, each subset alike (Floyd's algorithm, all rows at once).

    Source: Bentley & Floyd (1987), "Programming pearls: a sample of brilliance", Communications of the ACM 30(9).
    """
    chosen = np.empty((rows, size), np.int64)
    for k, last in enumerate(range(count - size, count)):
        drawn = rng.integers(0, last + 1, rows)
        taken = (chosen[:, :k] == drawn[:, None]).any(axis=1)
        chosen[:, k] = np.where(taken, last, drawn)
    return chosen


def _rewards(n: int, m: int, by_state: bool, sparsity: float, seed: int, which: int) -> np.ndarray:
    """Returns `[n, m]` rewards, number `which` of those that go with the seed."""
    rng = np.random.default_rng([seed, 1, which])
    shape = (n, 1) if by_state else (n, m)
    drawn = rng.standard_normal(shape)
    drawn[rng.random(shape) < sparsity] = 0.0
    return np.ascontiguousarray(np.broadcast_to(drawn, (n, m)))
