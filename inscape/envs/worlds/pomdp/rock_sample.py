"""RockSample: a rover that checks rocks from afar before it drives to those worth sampling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from inscape.envs.rendering.scene import Circle, Rect, Scene, Shape, Text
from inscape.envs.world import World
from inscape.errors import UsageError

LAYOUTS: dict[tuple[int, int], tuple[tuple[int, int], ...]] = {
    (4, 4): ((3, 1), (2, 1), (1, 3), (1, 0)),
    (5, 5): ((2, 4), (0, 4), (3, 3), (2, 2), (4, 1)),
    (5, 7): ((1, 0), (2, 1), (1, 2), (2, 2), (4, 2), (0, 3), (3, 4)),
    (7, 8): ((2, 0), (0, 1), (3, 1), (6, 3), (2, 4), (3, 4), (5, 5), (1, 6)),
    (11, 11): ((0, 3), (0, 7), (1, 8), (2, 4), (3, 3), (3, 8), (4, 3), (5, 8), (6, 1), (9, 3), (9, 9)),
}
"""Rocks of the layouts in use, (column from the west, row from the south), by (size, number of rocks)."""
STARTS = {4: 2, 5: 2, 7: 3, 11: 5}
"""The start's row from the south, in the westernmost column, by size; elsewhere the middle."""
MOVES = {"north": (0, 1), "east": (1, 0), "south": (0, -1), "west": (-1, 0)}
SAMPLE, CHECK = 4, 5
NOTHING, BAD, GOOD = range(3)
READINGS = ("nothing was checked", "the checked rock looks bad", "the checked rock looks good")
NEAR, FAR = 4.0, 20.0  # half distances of the published problems
MOST_ROCKS, LARGEST = 16, 40


class RockSampleState(NamedTuple):
    """The rover's cell, row · size + column (size²: gone), which rocks are good (bit i: rock i), and the last reading:
    0 nothing was checked, 1 bad, 2 good."""

    cell: int
    good: int
    reading: int


class RockSampleParams(NamedTuple):
    """The field.

    Attributes:
        size: cells along a side.
        rocks: how many there are.
        after: `[4, size²]` the cell a move leads to; size² beyond the eastern edge.
        rock: `[size² + 1]` the rock in a cell, −1 for none.
        right: `[size² + 1, rocks]` probability that a check from the cell reads what the rock is.
        start: the rover's first cell.
    """

    size: int
    rocks: int
    after: np.ndarray
    rock: np.ndarray
    right: np.ndarray
    start: int


class RockSamplePurpose(NamedTuple):
    """Rewards for sampling a good and a bad rock, and for leaving in the east."""

    good_reward: float
    bad_reward: float
    exit_reward: float


class RockSample(World):
    """A rover in a field of rocks, some of scientific value, that it can sample where they lie and check from afar.

    The rover knows where it and all rocks are, but not which are good. A check reads what the rock is with probability
    (1 + 2^(−d/d₀))/2, d the Euclidean distance to it. A good rock that was sampled is bad from then on.

    Actions: `north` (0), `east` (1), `south` (2), `west` (3), `sample` (4), then `check 1`, `check 2`, … for each rock.
        Moves off the field stay, but in the east, where they end the task; sampling where there is no rock does
        nothing.
    Observations: MultiDiscrete: the rover's cell, row from the south · size + column (size²: gone), and the reading:
        nothing was checked (0), bad (1), good (2).
    Rewards: 10 for sampling a good rock, −10 for a bad one, 10 for leaving in the east.
    Start: in the westernmost column, midway; each rock good with probability 1/2.
    End: terminated on leaving in the east; truncated after 200 steps.

    Args:
        size: cells along a side.
        rocks: how many rocks. Laid out as in other programs' RockSample(size, rocks) for (4, 4), (5, 5), (5, 7), (7, 8)
            and (11, 11); else give `positions`.
        positions: (column from the west, row from the south) of each rock; None: as laid out.
        half_distance: d₀, at which the check is right three times in four; None: 4 cells in (4, 4) and (5, 5), else 20.
        good_reward, bad_reward, exit_reward: rewards.

    Source: Smith & Simmons (2004), "Heuristic search value iteration for POMDPs", UAI 20: RockSample; layouts and half
        distances of the .pomdp files that come with it (there a move off the field but in the east, and sampling
        without a rock, costs 100 and ends the task, which pays nobody: optimal values are the same).
    Version history: v0, first.
    """

    State = RockSampleState
    Params = RockSampleParams
    Purpose = RockSamplePurpose
    actions = (*MOVES, "sample", *(f"check {rock + 1}" for rock in range(4)))
    branches = 2
    max_episode_steps = 200
    gamma = 0.95

    @classmethod
    def sized(cls, **settings: Any) -> dict[str, Any]:
        positions = settings.get("positions")
        rocks = settings.get("rocks", 4) if positions is None else len(positions)
        if not _whole(rocks, 1, MOST_ROCKS):  # setup refuses what is not possible
            return {}
        return {"actions": (*MOVES, "sample", *(f"check {rock + 1}" for rock in range(rocks)))}

    def setup(
        self,
        size: int = 4,
        rocks: int = 4,
        positions: Sequence[Sequence[int]] | None = None,
        half_distance: float | None = None,
        good_reward: float = 10.0,
        bad_reward: float = -10.0,
        exit_reward: float = 10.0,
    ) -> tuple[RockSampleParams, RockSamplePurpose]:
        if not _whole(size, 2, LARGEST):
            raise UsageError(f"size = {size!r}", expected=f"a whole number from 2 to {LARGEST}")
        places = _positions(size, rocks, positions)
        if half_distance is None:
            half_distance = NEAR if (size, len(places)) in ((4, 4), (5, 5)) else FAR
        if not (isinstance(half_distance, (int, float)) and 0 < half_distance < math.inf):
            raise UsageError(f"half_distance = {half_distance!r}", expected="a positive number of cells")
        rewards = {"good_reward": good_reward, "bad_reward": bad_reward, "exit_reward": exit_reward}
        for name, value in rewards.items():
            if not (isinstance(value, (int, float)) and math.isfinite(value)):
                raise UsageError(f"{name} = {value!r}", expected="a finite number")
        row, column = np.divmod(np.arange(size * size), size)
        after = np.stack(
            [
                np.clip(row + up, 0, size - 1) * size + np.clip(column + right, 0, size - 1)
                for right, up in MOVES.values()
            ]
        )
        after[1, column == size - 1] = size * size
        rock, right = np.full(size * size + 1, -1), np.full((size * size + 1, len(places)), 0.5)
        for number, (x, y) in enumerate(places):
            rock[y * size + x] = number
            right[:-1, number] = 0.5 + 0.5 * 2.0 ** (-np.hypot(column - x, row - y) / half_distance)
        start = STARTS.get(size, size // 2) * size
        purpose = RockSamplePurpose(**{name: float(value) for name, value in rewards.items()})
        return RockSampleParams(size, len(places), after, rock, right, start), purpose

    @staticmethod
    def initial_branches(params: RockSampleParams) -> int:
        return 1 << params.rocks

    @staticmethod
    def initial(params: RockSampleParams, branch: int) -> tuple[float, RockSampleState]:
        return 1.0 / (1 << params.rocks), RockSampleState(params.start, branch, NOTHING)

    @staticmethod
    def transition(
        params: RockSampleParams, state: RockSampleState, action: int, branch: int
    ) -> tuple[float, RockSampleState]:
        gone = params.size * params.size
        here = min(state.cell, gone - 1)  # one who is gone has no place in the table
        checks = action >= CHECK
        asked = action - CHECK if checks else 0
        right = params.right[here, asked]
        probability = (right if branch == 0 else 1.0 - right) if checks else (1.0 if branch == 0 else 0.0)
        cell = params.after[action, here] if action < SAMPLE else here
        cell = gone if state.cell == gone else cell
        rock = params.rock[here]
        good = state.good & ~(1 << rock) if (action == SAMPLE) & (rock >= 0) else state.good
        # what the rocks were no longer matters: there is one state for having left
        good = 0 if cell == gone else good
        read = BAD + (((state.good >> asked) & 1) ^ branch)
        return probability, RockSampleState(cell, good, read if checks else NOTHING)

    @staticmethod
    def reward(
        params: RockSampleParams,
        purpose: RockSamplePurpose,
        state: RockSampleState,
        action: int,
        next_state: RockSampleState,
    ) -> float:
        rock = params.rock[state.cell]
        worth = purpose.good_reward if (state.good >> max(rock, 0)) & 1 else purpose.bad_reward
        sampled = worth if (action == SAMPLE) & (rock >= 0) else 0.0
        gone = params.size * params.size
        return purpose.exit_reward if (next_state.cell == gone) & (state.cell < gone) else sampled

    @staticmethod
    def terminal(params: RockSampleParams, purpose: RockSamplePurpose, state: RockSampleState) -> bool:
        return bool(state.cell == params.size * params.size)

    @staticmethod
    def observation(params: RockSampleParams, state: RockSampleState) -> tuple[int, int]:
        return state.cell, state.reading

    @staticmethod
    def observations(params: RockSampleParams) -> tuple[int, int]:
        return params.size * params.size + 1, len(READINGS)

    @staticmethod
    def describe_observation(params: RockSampleParams, purpose: RockSamplePurpose, observation: tuple[int, int]) -> str:
        """Returns what is perceived, as text."""
        cell, reading = (int(entry) for entry in observation)
        if cell == params.size * params.size:
            return "gone in the east"
        row, column = divmod(cell, params.size)
        rocks = ", ".join(
            f"{params.rock[place] + 1} at column {place % params.size} row {place // params.size}"
            for place in np.flatnonzero(params.rock >= 0)
        )
        here = params.rock[cell]
        return (
            f"rover at column {column} row {row} of {params.size} × {params.size} (rows from the south)"
            f"{f', at rock {here + 1}' if here >= 0 else ''} | rocks {rocks} | {READINGS[reading]} | a good rock is "
            f"worth {purpose.good_reward:g}, a bad one {purpose.bad_reward:g}, leaving in the east "
            f"{purpose.exit_reward:g}"
        )

    @staticmethod
    def describe(params: RockSampleParams, purpose: RockSamplePurpose, state: RockSampleState) -> str:
        return RockSample.describe_observation(params, purpose, (state.cell, state.reading))

    @staticmethod
    def draw(params: RockSampleParams, purpose: RockSamplePurpose, state: RockSampleState) -> Scene:
        n = params.size
        shapes: list[Shape] = [Rect(0, 0, n + 1, n, fill="paper"), Rect(n, 0, 1, n, fill="goal")]
        shapes += [Rect(c, r, 1, 1, stroke="line", line_width=0.02) for r in range(n) for c in range(n)]
        for cell in np.flatnonzero(params.rock >= 0):
            x, y = _centre(n, int(cell))
            number = int(params.rock[cell])
            fill = "teal" if state.good >> number & 1 else "wall"
            shapes.append(Rect(x - 0.38, y - 0.38, 0.76, 0.76, fill=fill, radius=0.2, layer="moving"))
            shapes.append(Text(x - 0.2, y - 0.2, str(number + 1), size=0.26, fill="paper", layer="moving"))
        x, y = _centre(n, state.cell)
        shapes.append(Circle(x + 0.14, y + 0.14, 0.24, fill="agent", stroke="ink", layer="moving"))
        if state.reading != NOTHING:
            sign = "+" if state.reading == GOOD else "−"
            shapes.append(Text(x + 0.14, y + 0.14, sign, size=0.34, fill="paper", layer="moving"))
        return Scene(n + 1, n, tuple(shapes))

    @staticmethod
    def place(params: RockSampleParams, state: RockSampleState) -> tuple[float, float]:
        return _centre(params.size, state.cell)


def _centre(size: int, cell: int) -> tuple[float, float]:
    """Returns the middle of a cell in the scene, north above; one who is gone is east of the field, halfway."""
    if cell == size * size:
        return size + 0.5, size / 2
    return cell % size + 0.5, size - 0.5 - cell // size


def _whole(number: Any, least: int, most: int) -> bool:
    return isinstance(number, (int, np.integer)) and not isinstance(number, bool) and bool(least <= number <= most)


def _positions(size: int, rocks: int, positions: Sequence[Sequence[int]] | None) -> list[tuple[int, int]]:
    """Returns (column, row) of each rock, or raises UsageError."""
    if positions is None:
        if not _whole(rocks, 1, MOST_ROCKS) or (size, rocks) not in LAYOUTS:
            raise UsageError(
                f"RockSample of size = {size}, rocks = {rocks!r} without positions",
                expected="one of " + ", ".join(f"({n}, {k})" for n, k in LAYOUTS),
                hint="positions = [(column from the west, row from the south), …] for any other",
            )
        return list(LAYOUTS[size, rocks])
    try:
        places = [(int(x), int(y)) for x, y in positions]
    except (TypeError, ValueError) as error:
        raise UsageError(f"positions = {positions!r}", expected="(column, row) of each rock") from error
    if not 1 <= len(places) <= MOST_ROCKS or len(set(places)) < len(places):
        raise UsageError(f"positions = {positions!r}", expected=f"1 to {MOST_ROCKS} different cells")
    for x, y in places:
        if not (0 <= x < size and 0 <= y < size):
            raise UsageError(f"a rock at ({x}, {y})", expected=f"columns and rows from 0 to {size - 1}")
    return places
