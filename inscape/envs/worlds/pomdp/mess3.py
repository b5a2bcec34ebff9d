"""A hidden Markov source of three states and three symbols: nobody acts, and what comes next has to be foreseen."""

from __future__ import annotations

from typing import NamedTuple

from inscape.envs.rendering.scene import Circle, Rect, Scene, Shape, Text
from inscape.envs.world import World
from inscape.errors import UsageError

SYMBOLS = ("A", "B", "C")
COLORS = ("blue", "orange", "green")


class Mess3State(NamedTuple):
    """The hidden state, and the symbol it has just sent; 0 to 2 each."""

    hidden: int
    symbol: int


class Mess3Params(NamedTuple):
    """How the source moves and sends.

    Attributes:
        x: probability of moving to each of the two other states.
        a: probability that a state sends its own symbol; each other symbol has (1 − a)/2.
    """

    x: float
    a: float


class Mess3Purpose(NamedTuple):
    """Nothing is earned."""


class Mess3(World):
    """A source that is to be predicted: three hidden states, each of which mostly sends its own symbol.

    Actions: `wait` (0); nothing depends on it.
    Observations: Discrete(3): the symbol.
    Rewards: 0.
    Start: any hidden state, all alike, and a symbol it sends.
    End: never terminated; truncated after 1,000 steps.

    The best prediction is the filter's; its beliefs after all sequences form a fractal in the triangle. Entropy rates:
    1.570934 bits a symbol for x = .15, a = .6; 1.144717 for x = .05, a = .85.

    Args:
        x: probability of moving to each of the two other states, up to 1/2.
        a: probability that a state sends its own symbol.

    Source: Marzen & Crutchfield (2017), "Nearly maximally predictive features and their dimensions", Physical Review E
        95; as used by Shai et al. (2024), "Transformers represent belief state geometry in their residual stream".
    Version history: v0, first.
    """

    State = Mess3State
    Params = Mess3Params
    Purpose = Mess3Purpose
    actions = ("wait",)
    branches = 9
    initial_branches = 9
    max_episode_steps = 1000
    gamma = 0.99

    def setup(self, x: float = 0.15, a: float = 0.6) -> tuple[Mess3Params, Mess3Purpose]:
        if not 0.0 <= x <= 0.5:
            raise UsageError(f"x = {x!r}", expected="a probability up to 1/2: there are two other states")
        if not 0.0 <= a <= 1.0:
            raise UsageError(f"a = {a!r}", expected="a probability")
        return Mess3Params(float(x), float(a)), Mess3Purpose()

    @staticmethod
    def initial(params: Mess3Params, branch: int) -> tuple[float, Mess3State]:
        hidden, symbol = branch // 3, branch % 3
        sends = params.a if hidden == symbol else (1.0 - params.a) / 2
        return sends / 3, Mess3State(hidden, symbol)

    @staticmethod
    def transition(params: Mess3Params, state: Mess3State, action: int, branch: int) -> tuple[float, Mess3State]:
        hidden, symbol = branch // 3, branch % 3
        moves = 1.0 - 2 * params.x if hidden == state.hidden else params.x
        sends = params.a if hidden == symbol else (1.0 - params.a) / 2
        return moves * sends, Mess3State(hidden, symbol)

    @staticmethod
    def reward(
        params: Mess3Params, purpose: Mess3Purpose, state: Mess3State, action: int, next_state: Mess3State
    ) -> float:
        return 0.0

    @staticmethod
    def observation(params: Mess3Params, state: Mess3State) -> int:
        return state.symbol

    @staticmethod
    def observations(params: Mess3Params) -> int:
        return 3

    @staticmethod
    def describe_observation(params: Mess3Params, purpose: Mess3Purpose, observation: int) -> str:
        """Returns what is perceived, as text."""
        return f"a source of three states sends symbols | it sends {SYMBOLS[observation]}"

    @staticmethod
    def describe(params: Mess3Params, purpose: Mess3Purpose, state: Mess3State) -> str:
        return Mess3.describe_observation(params, purpose, state.symbol)

    @staticmethod
    def draw(params: Mess3Params, purpose: Mess3Purpose, state: Mess3State) -> Scene:
        shapes: list[Shape] = [Rect(0, 0, 6, 4, fill="paper")]
        for k, (x, y) in enumerate(((1.2, 3.0), (3.0, 0.9), (4.8, 3.0))):
            shapes.append(Circle(x, y, 0.62, fill="line", stroke="muted"))
            if k == state.hidden:
                shapes.append(Circle(x, y, 0.62, fill=COLORS[k], stroke="ink", layer="moving"))
        shapes.append(Rect(2.45, 1.95, 1.1, 1.1, fill="start", stroke="ink", layer="moving"))
        shapes.append(Text(3.0, 2.5, SYMBOLS[state.symbol], 0.7, COLORS[state.symbol], "middle", "moving"))
        return Scene(6, 4, tuple(shapes))
