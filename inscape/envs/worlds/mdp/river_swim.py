"""RiverSwim."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from inscape.envs.rendering.scene import Circle, Line, Polygon, Rect, Scene, Shape
from inscape.envs.world import World
from inscape.envs.worlds.mdp.checks import whole
from inscape.errors import UsageError, closest

LEFT, RIGHT = 0, 1


class Published(NamedTuple):
    """One published version: chances of (back, stay, on) when swimming right, rewards, first states."""

    first: tuple[float, float, float]
    middle: tuple[float, float, float]
    last: tuple[float, float, float]
    small_reward: float
    large_reward: float
    only_staying: bool
    starts: tuple[int, ...]


VERSIONS = {
    "osband2013": Published((0.0, 0.4, 0.6), (0.05, 0.6, 0.35), (0.4, 0.6, 0.0), 0.005, 1.0, False, (0,)),
    "strehl2008": Published((0.0, 0.7, 0.3), (0.1, 0.6, 0.3), (0.7, 0.3, 0.0), 5.0, 10_000.0, True, (1, 2)),
}


class RiverState(NamedTuple):
    """The place along the river, 0 (left, downstream) … n − 1."""

    place: int


class RiverParams(NamedTuple):
    """How one swims.

    Attributes:
        chances: `[2, n, 3]` probabilities of coming one place to the left, staying, coming one to the right.
        starts: `[k]` first places, equally likely.
        last: n − 1.
    """

    chances: np.ndarray
    starts: np.ndarray
    last: int


class RiverPurpose(NamedTuple):
    """What is wanted.

    Attributes:
        small_reward: for swimming left in the first place.
        large_reward: for swimming right in the last place.
        only_staying: the large reward is given only to who stays there.
    """

    small_reward: float
    large_reward: float
    only_staying: bool


class RiverSwim(World):
    """Swim up a river for a large reward, or drift down for a small one.

    Actions: `left` (with the current: always succeeds), `right` (against it: may stay or be carried back).
    Observations: Discrete(n): the place.
    Rewards: small for `left` in the first place, large for `right` in the last.
    Start: see `version`.
    End: never terminated; truncated after 100 steps.

    Args:
        n: number of places, at least 2.
        version: the published numbers.
            `osband2013`: `right` goes on 0.35, stays 0.6, is carried back 0.05; in the first place on 0.6, stays 0.4;
            in the last stays 0.6, back 0.4. Rewards 0.005 and 1, whatever comes of the move. Starts in the first place.
            `strehl2008`: 0.3, 0.6, 0.1; first place 0.3, 0.7; last 0.3, 0.7. Rewards 5 and 10,000, the large one only
            when staying. Starts in place 1 or 2 alike (of 0 … n − 1; in place 1 if n = 2).

    Source: Strehl & Littman (2008), "An analysis of model-based interval estimation for Markov decision processes",
        Journal of Computer and System Sciences 74(8), Figure 1; Osband, Van Roy & Russo (2013), "(More) efficient
        reinforcement learning via posterior sampling", NeurIPS, Figure 1, the version most used since.
    Version history: v0, first.
    """

    State = RiverState
    Params = RiverParams
    Purpose = RiverPurpose
    actions = ("left", "right")
    branches = 3
    max_episode_steps = 100
    gamma = 0.95

    def setup(self, n: int = 6, version: str = "osband2013") -> tuple[RiverParams, RiverPurpose]:
        n = whole("n", n, 2)
        if version not in VERSIONS:
            raise UsageError(
                f"version = {version!r}", expected=", ".join(VERSIONS), hint=closest(str(version), VERSIONS)
            )
        numbers = VERSIONS[version]
        chances = np.zeros((2, n, 3))
        chances[LEFT, :, 0] = 1.0
        chances[LEFT, 0] = [0.0, 1.0, 0.0]
        chances[RIGHT, 1:-1] = numbers.middle
        chances[RIGHT, 0], chances[RIGHT, -1] = numbers.first, numbers.last
        starts = np.array([place for place in numbers.starts if place < n], np.int64)
        purpose = RiverPurpose(numbers.small_reward, numbers.large_reward, numbers.only_staying)
        return RiverParams(chances, starts, n - 1), purpose

    @staticmethod
    def initial_branches(params: RiverParams) -> int:
        return len(params.starts)

    @staticmethod
    def initial(params: RiverParams, branch: int) -> tuple[float, RiverState]:
        return 1.0 / len(params.starts), RiverState(params.starts[branch])

    @staticmethod
    def transition(params: RiverParams, state: RiverState, action: int, branch: int) -> tuple[float, RiverState]:
        place = min(max(state.place + branch - 1, 0), params.last)
        return params.chances[action, state.place, branch], RiverState(place)

    @staticmethod
    def reward(
        params: RiverParams, purpose: RiverPurpose, state: RiverState, action: int, next_state: RiverState
    ) -> float:
        small = (action == LEFT) & (state.place == 0)
        large = (action == RIGHT) & (state.place == params.last)
        large = large & ((next_state.place == params.last) | (not purpose.only_staying))
        return (purpose.small_reward if small else 0.0) + (purpose.large_reward if large else 0.0)

    @staticmethod
    def observation(params: RiverParams, state: RiverState) -> int:
        return state.place

    @staticmethod
    def observations(params: RiverParams) -> gym.Space[Any]:
        return gym.spaces.Discrete(params.last + 1)

    @staticmethod
    def state_of(params: RiverParams, observation: int) -> RiverState:
        return RiverState(int(observation))

    @staticmethod
    def roots(params: RiverParams) -> Iterable[RiverState]:
        return [RiverState(place) for place in range(params.last + 1)]

    @staticmethod
    def purposes(params: RiverParams, purpose: RiverPurpose) -> dict[str, RiverPurpose]:
        return {
            "upstream": purpose._replace(small_reward=0.0),
            "downstream": purpose._replace(large_reward=0.0),
            "both": purpose,
        }

    @staticmethod
    def describe(params: RiverParams, purpose: RiverPurpose, state: RiverState) -> str:
        back, stay, on = (float(p) for p in params.chances[RIGHT, state.place])
        chances = [f"{what} {p:g}" for what, p in (("back", back), ("stay", stay), ("on", on)) if p > 0]
        return (
            f"place {state.place} of 0 to {params.last} | right, against the current: {', '.join(chances)}; left is "
            f"sure | reward {purpose.small_reward:g} for left in place 0, {purpose.large_reward:g} for right in place "
            f"{params.last}"
        )

    @staticmethod
    def draw(params: RiverParams, purpose: RiverPurpose, state: RiverState) -> Scene:
        n = params.last + 1
        shapes: list[Shape] = [
            Rect(0, 0, n, 3, fill="paper"),
            Rect(0, 0.6, n, 1.8, fill="water"),
            Rect(0, 0.6, 1, 1.8, fill="start" if purpose.small_reward > 0 else "ice"),
            Rect(n - 1, 0.6, 1, 1.8, fill="goal" if purpose.large_reward > 0 else "ice"),
        ]
        for place in range(n):
            if place:
                shapes.append(Line(place, 0.6, place, 2.4, stroke="ice", line_width=0.03))
            for y in (0.9, 2.1):  # the current, to the left
                shapes.append(
                    Polygon(((place + 0.25, y), (place + 0.6, y - 0.12), (place + 0.6, y + 0.12)), fill="ice")
                )
        x, y = RiverSwim.place(params, state)
        shapes.append(Circle(x, y, 0.36, fill="agent", stroke="ink", layer="moving"))
        return Scene(n, 3, tuple(shapes))

    @staticmethod
    def place(params: RiverParams, state: RiverState) -> tuple[float, float]:
        return state.place + 0.5, 1.5
