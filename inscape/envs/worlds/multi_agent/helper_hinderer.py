"""One wants to get somewhere; the other helps or hinders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from inscape.envs.rendering.scene import Circle, Rect, Scene, Shape, Text, player_color
from inscape.envs.world import World
from inscape.envs.worlds.multi_agent.grid_moves import (
    MOVES,
    STAY,
    at,
    floor_shapes,
    middle,
    moves_table,
    read_rows,
    require,
)
from inscape.errors import UsageError

GOALS = "ABCDE"
STANCES = {"help": 1.0, "hinder": -1.0, "ignore": 0.0}
MAPS: dict[str, tuple[str, ...]] = {
    "four-goals": (
        "A...#...B",
        ".........",
        "..#...#..",
        ".........",
        "#...S...#",
        "....L....",
        "..#...#..",
        ".........",
        "C...#...D",
    ),
    "small": ("A.#.B", ".....", "..S..", ".L...", "C.#.D"),
}


class HelperHindererState(NamedTuple):
    """The small player's cell and the large one's: row · width + column."""

    small: int
    large: int


class HelperHindererParams(NamedTuple):
    """How one moves.

    Attributes:
        letters: `[cells]` the map's letters, as character codes.
        after: `[5, cells]` the cell a move leads to.
        small, large: first cells.
        weakness: probability that a move of the small player fails.
        width: columns of the map.
    """

    letters: np.ndarray
    after: np.ndarray
    small: int
    large: int
    weakness: float
    width: int


class HelperHindererPurpose(NamedTuple):
    """What is wanted.

    Attributes:
        goal: the cell the small player wants to reach.
        care: ρ, the large player's weight of the small one's reward: positive helps, negative hinders.
        goal_reward: for the small player on reaching the goal.
        step_cost: lost by the small player at every step.
        move_cost: lost by the large player at every step in which it does not choose to stay.
    """

    goal: int
    care: float
    goal_reward: float
    step_cost: float
    move_cost: float


class HelperHinderer(World):
    """A small player walks to its goal among four; a large one, who can push it, helps or hinders.

    The map: `#` wall, `.` floor, `S` the small player's first cell, `L` the large one's, `A` … `E` goals.

    Actions: `left`, `down`, `right`, `up`, `stay`, both at once. A move of the small player fails with probability
        `weakness`. A large player that walks into the small one (who stays, or comes the other way) pushes it one cell
        on; against a wall neither moves. The small player cannot push: who would enter the cell of a large one that
        stays does not move. If both would enter the same free cell, neither moves.
    Observations: MultiDiscrete, the same for both: the small player's cell, the large one's.
    Rewards: the small player's r₀: `goal_reward` on reaching the goal, minus `step_cost`. The large player's:
        `care` · r₀, minus `move_cost` unless it chose to stay.
    Start: the map's.
    End: terminated when the small player is at the goal; truncated after 60 steps.

    Args:
        map: a name (`four-goals`, `small`) or rows with `/` between them.
        goal: the letter of the small player's goal.
        stance: `help` (care 1), `hinder` (−1), `ignore` (0), or care itself, a number.
        weakness: probability in [0, 1] that a move of the small player fails.
        goal_reward, step_cost, move_cost: rewards.

    Source: Ullman, Baker, Macindoe, Evans, Goodman & Tenenbaum (2009), "Help or hinder: Bayesian models of social goal
        inference", NeurIPS: a small and a large agent, the large one's reward ρ times the small one's expected reward
        minus costs; pushing. Here ρ weighs the reward itself, and there is no boulder.
    Version history: v0, first.
    """

    State = HelperHindererState
    Params = HelperHindererParams
    Purpose = HelperHindererPurpose
    actions = MOVES
    players = 2
    player_names = ("small", "large")
    simultaneous = True
    branches = 2
    max_episode_steps = 60

    def setup(
        self,
        map: str | Sequence[str] = "four-goals",
        goal: str = "A",
        stance: str | float = "help",
        weakness: float = 0.0,
        goal_reward: float = 1.0,
        step_cost: float = 0.04,
        move_cost: float = 0.0,
    ) -> tuple[HelperHindererParams, HelperHindererPurpose]:
        rows = read_rows(map, MAPS, "#.SL" + GOALS)
        text = "".join(rows)
        for letter, what in (("S", "the small player's first cell"), ("L", "the large player's first cell")):
            if text.count(letter) != 1:
                raise UsageError(f"the map has {text.count(letter)} cells {letter}", expected=f"one: {what}")
        if not isinstance(goal, str) or goal not in GOALS or text.count(goal) != 1:
            there = ", ".join(letter for letter in GOALS if text.count(letter) == 1)
            raise UsageError(
                f"goal = {goal!r}", expected=f"a letter that stands once in the map: {there or 'none does'}"
            )
        if isinstance(stance, str) and stance not in STANCES:
            raise UsageError(f"stance = {stance!r}", expected=f"{', '.join(STANCES)}, or a number")
        care = STANCES[stance] if isinstance(stance, str) else stance
        require("weakness", weakness, 0, 1)
        for name, value in (
            ("stance", care), ("goal_reward", goal_reward), ("step_cost", step_cost), ("move_cost", move_cost)
        ):  # fmt: skip
            require(name, value, -1e12, 1e12)
        params = HelperHindererParams(
            letters=np.array([ord(letter) for letter in text], np.int64),
            after=moves_table(rows),
            small=text.index("S"),
            large=text.index("L"),
            weakness=float(weakness),
            width=len(rows[0]),
        )
        return params, HelperHindererPurpose(
            text.index(goal), float(care), float(goal_reward), float(step_cost), float(move_cost)
        )

    @staticmethod
    def initial(params: HelperHindererParams, branch: int) -> tuple[float, HelperHindererState]:
        return 1.0, HelperHindererState(params.small, params.large)

    @staticmethod
    def transition(
        params: HelperHindererParams, state: HelperHindererState, action: tuple[int, int], branch: int
    ) -> tuple[float, HelperHindererState]:
        probability = params.weakness if branch == 1 else 1.0 - params.weakness
        small = params.after[STAY if branch == 1 else action[0], state.small]
        large = params.after[action[1], state.large]
        pushed = params.after[action[1], state.small]
        # the large player walks into the small one, who does not get out of its way
        pushes = (large == state.small) & ((small == state.small) | (small == state.large))
        end = pushed if pushes else small
        held = (end == large) | (pushes & (pushed == state.small))
        return probability, HelperHindererState(state.small if held else end, state.large if held else large)

    @staticmethod
    def reward(
        params: HelperHindererParams,
        purpose: HelperHindererPurpose,
        state: HelperHindererState,
        action: tuple[int, int],
        next_state: HelperHindererState,
    ) -> tuple[float, float]:
        own = (purpose.goal_reward if next_state.small == purpose.goal else 0.0) - purpose.step_cost
        return own, purpose.care * own - (0.0 if action[1] == STAY else purpose.move_cost)

    @staticmethod
    def terminal(params: HelperHindererParams, purpose: HelperHindererPurpose, state: HelperHindererState) -> bool:
        return state.small == purpose.goal

    @staticmethod
    def observation(params: HelperHindererParams, state: HelperHindererState, player: int) -> tuple[int, int]:
        return state.small, state.large

    @staticmethod
    def observations(params: HelperHindererParams) -> tuple[int, int]:
        return len(params.letters), len(params.letters)

    @staticmethod
    def state_of(params: HelperHindererParams, observation: tuple[int, int]) -> HelperHindererState:
        return HelperHindererState(int(observation[0]), int(observation[1]))

    @staticmethod
    def purposes(params: HelperHindererParams, purpose: HelperHindererPurpose) -> dict[str, HelperHindererPurpose]:
        strength = abs(purpose.care) or 1.0
        named = {}
        for letter in GOALS:
            cells = np.flatnonzero(params.letters == ord(letter))
            if len(cells) == 1:
                for stance, sign in STANCES.items():
                    named[f"{letter}, {stance}"] = purpose._replace(goal=int(cells[0]), care=sign * strength)
        return named

    @staticmethod
    def describe(params: HelperHindererParams, purpose: HelperHindererPurpose, state: HelperHindererState) -> str:
        width = params.width
        stance = "helps" if purpose.care > 0 else "hinders" if purpose.care < 0 else "ignores the small one"
        goal = chr(int(params.letters[purpose.goal]))
        return (
            f"small {at(state.small, width)} | large {at(state.large, width)} | the small one wants to reach {goal} "
            f"at {at(purpose.goal, width)}; the large one {stance} and can push"
        )

    @staticmethod
    def draw(params: HelperHindererParams, purpose: HelperHindererPurpose, state: HelperHindererState) -> Scene:
        width, height = params.width, len(params.letters) // params.width
        text = "".join(chr(code) for code in params.letters)
        shapes: list[Shape] = floor_shapes([text[r * width : (r + 1) * width] for r in range(height)])
        for cell, letter in enumerate(text):
            if letter in GOALS:
                x, y = middle(cell, width)
                fill = "goal" if cell == purpose.goal else "muted"
                shapes.append(Rect(x - 0.38, y - 0.38, 0.76, 0.76, fill=fill, radius=0.12))
                shapes.append(Text(x, y, letter, size=0.45, fill="paper"))
        x, y = middle(state.large, width)
        shapes.append(
            Rect(x - 0.44, y - 0.44, 0.88, 0.88, fill=player_color(1), stroke="ink", line_width=0.04, radius=0.16,
                 layer="moving")
        )  # fmt: skip
        x, y = middle(state.small, width)
        shapes.append(Circle(x, y, 0.27, fill=player_color(0), stroke="ink", line_width=0.04, layer="moving"))
        return Scene(width, height, tuple(shapes))

    @staticmethod
    def place(params: HelperHindererParams, state: HelperHindererState) -> tuple[float, float]:
        return middle(state.small, params.width)
