"""The chain."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import gymnasium as gym

from inscape.envs.rendering.scene import Circle, Line, Polygon, Rect, Scene, Shape
from inscape.envs.world import World
from inscape.envs.worlds.mdp.checks import number, probability, whole

ON, BACK = 0, 1


class ChainState(NamedTuple):
    """The link of the chain, 0 … n − 1."""

    link: int


class ChainParams(NamedTuple):
    """`slip`: probability that an action does what the other one would; `last`: n − 1."""

    slip: float
    last: int


class ChainPurpose(NamedTuple):
    """Rewards: of going back to the first link, and of going on in the last."""

    small_reward: float = 2.0
    large_reward: float = 10.0


class Chain(World):
    """Go on along a chain for a large reward at its end, or back to its beginning for a small one.

    Actions: `on` (one link further; in the last link it stays there), `back` (to the first link, from anywhere). With
        probability `slip` an action does what the other one would.
    Observations: Discrete(n): the link.
    Rewards: 2 for going back, 10 for going on in the last link: for what happened, not for what was meant.
    Start: the first link.
    End: never terminated; truncated after 1,000 steps.

    Args:
        n: number of links, at least 2.
        slip: see above.
        small_reward, large_reward: rewards.

    Source: Dearden, Friedman & Russell (1998), "Bayesian Q-learning", AAAI, Figure 1. Always going on is optimal, and
        worth 3,677 in 1,000 steps (Strens 2000, "A Bayesian framework for reinforcement learning", ICML).
    Version history: v0, first.
    """

    State = ChainState
    Params = ChainParams
    Purpose = ChainPurpose
    actions = ("on", "back")
    branches = 2
    max_episode_steps = 1000

    def setup(
        self, n: int = 5, slip: float = 0.2, small_reward: float = 2.0, large_reward: float = 10.0
    ) -> tuple[ChainParams, ChainPurpose]:
        params = ChainParams(probability("slip", slip), whole("n", n, 2) - 1)
        return params, ChainPurpose(number("small_reward", small_reward), number("large_reward", large_reward))

    @staticmethod
    def initial(params: ChainParams, branch: int) -> tuple[float, ChainState]:
        return 1.0, ChainState(0)

    @staticmethod
    def transition(params: ChainParams, state: ChainState, action: int, branch: int) -> tuple[float, ChainState]:
        link = min(state.link + 1, params.last) if action == branch else 0
        return (1.0 - params.slip if branch == 0 else params.slip), ChainState(link)

    @staticmethod
    def reward(
        params: ChainParams, purpose: ChainPurpose, state: ChainState, action: int, next_state: ChainState
    ) -> float:
        end = (state.link == params.last) & (next_state.link == params.last)
        return (purpose.small_reward if next_state.link == 0 else 0.0) + (purpose.large_reward if end else 0.0)

    @staticmethod
    def observation(params: ChainParams, state: ChainState) -> int:
        return state.link

    @staticmethod
    def observations(params: ChainParams) -> gym.Space[Any]:
        return gym.spaces.Discrete(params.last + 1)

    @staticmethod
    def state_of(params: ChainParams, observation: int) -> ChainState:
        return ChainState(int(observation))

    @staticmethod
    def roots(params: ChainParams) -> Iterable[ChainState]:
        return [ChainState(link) for link in range(params.last + 1)]

    @staticmethod
    def purposes(params: ChainParams, purpose: ChainPurpose) -> dict[str, ChainPurpose]:
        return {
            "the end": purpose._replace(small_reward=0.0),
            "the beginning": purpose._replace(large_reward=0.0),
            "both": purpose,
        }

    @staticmethod
    def describe(params: ChainParams, purpose: ChainPurpose, state: ChainState) -> str:
        return (
            f"link {state.link} of 0 to {params.last} | going back pays {purpose.small_reward:g}, going on in link "
            f"{params.last} pays {purpose.large_reward:g} | an action slips into the other with "
            f"probability {params.slip:g}"
        )

    @staticmethod
    def draw(params: ChainParams, purpose: ChainPurpose, state: ChainState) -> Scene:
        n = params.last + 1
        shapes: list[Shape] = [Rect(0, 0, n, 2, fill="paper")]
        for link in range(n - 1):
            shapes += [
                Line(link + 0.5, 1.2, link + 1.5, 1.2, stroke="muted", line_width=0.08),
                Polygon(((link + 1.12, 1.2), (link + 0.92, 1.06), (link + 0.92, 1.34)), fill="muted"),
            ]
        shapes += [  # the way back, over the top
            Line(n - 0.5, 1.2, n - 0.5, 0.35, stroke="line", line_width=0.06),
            Line(n - 0.5, 0.35, 0.5, 0.35, stroke="line", line_width=0.06),
            Line(0.5, 0.35, 0.5, 1.2, stroke="line", line_width=0.06),
        ]
        for link in range(n):
            fill = "goal" if link == params.last else "start" if link == 0 else "ice"
            shapes.append(Circle(link + 0.5, 1.2, 0.38, fill=fill, stroke="wall", line_width=0.05))
        x, y = Chain.place(params, state)
        shapes.append(Circle(x, y, 0.24, fill="agent", stroke="ink", layer="moving"))
        return Scene(n, 2, tuple(shapes))

    @staticmethod
    def place(params: ChainParams, state: ChainState) -> tuple[float, float]:
        return state.link + 0.5, 1.2
