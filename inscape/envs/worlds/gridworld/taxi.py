"""The taxi."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from inscape.envs.rendering.scene import Circle, Line, Rect, Scene, Shape
from inscape.envs.world import World
from inscape.envs.worlds.mdp.checks import flag, number, probability

SIZE = 5
PADS = ((0, 0), (0, 4), (4, 0), (4, 3))
PAD_NAMES = ("red", "green", "yellow", "blue")
RIDING, NO_PAD = 4, 4
# walls stand on the right of these cells
WALLS = frozenset({(0, 1), (1, 1), (3, 0), (4, 0), (3, 2), (4, 2)})
OFFSETS = ((1, 0), (-1, 0), (0, 1), (0, -1))  # south, north, east, west
SIDES = ((2, 3), (3, 2), (1, 0), (0, 1))  # left and right of each heading
PICKUP, DROPOFF = 4, 5
STARTS = SIZE * SIZE * 4 * 3


class TaxiState(NamedTuple):
    """Where everybody is.

    Attributes:
        place: the taxi's cell: row · 5 + column.
        passenger: where the passenger is: red, green, yellow, blue (0 … 3), or in the taxi (4).
        destination: where the passenger wants to go: 0 … 3.
        fickle: the passenger will change their mind on the way (not observed).
    """

    place: int
    passenger: int
    destination: int
    fickle: bool


class TaxiParams(NamedTuple):
    """How the taxi moves.

    Attributes:
        places: `[3, 6, 25]` where drift k of an action leads: none, to the left, to the right.
        chances: `[6, 3]` probabilities of the three drifts.
        pads: `[25]` the pad on each cell, 0 … 3; 4 where there is none.
        riders: `[6, 5, 5]` where the passenger is after an action, by the pad the taxi stands on and where they were.
        fickle: probability that the passenger is fickle.
    """

    places: np.ndarray
    chances: np.ndarray
    pads: np.ndarray
    riders: np.ndarray
    fickle: float


class TaxiPurpose(NamedTuple):
    """Rewards: of an ordinary step; of delivering; of a pickup or dropoff where there is nothing to do."""

    step_reward: float = -1.0
    delivery_reward: float = 20.0
    mistake_reward: float = -10.0


class Taxi(World):
    """Drive to the passenger, pick them up, and drop them off where they want to go.

    A grid of 5 × 5 cells with walls and four pads: red, green, yellow and blue.

    Actions: `south`, `north`, `east`, `west`, `pickup`, `dropoff`. All are allowed everywhere: driving into a wall
        stays, and a dropoff on a pad other than the destination lets the passenger out there.
    Observations: Discrete(500): ((row · 5 + column) · 5 + passenger) · 4 + destination. A fickle passenger's mind does
        not show.
    Rewards: −1 per step; +20 for a delivery; −10 for a pickup or dropoff that does nothing.
    Start: the taxi anywhere, the passenger on a pad, the destination another pad: 300 states, equally likely.
    End: terminated when the passenger is at the destination; truncated after 200 steps.

    Args:
        is_rainy: a move that is not blocked goes as meant with `rainy_probability`, else to its left or right alike.
        fickle_passenger: with `fickle_probability` the passenger wants to go elsewhere (any other pad, alike) once the
            taxi has moved with them for the first time.
        rainy_probability, fickle_probability: see above.
        step_reward, delivery_reward, mistake_reward: rewards.

    Source: Dietterich (2000), "Hierarchical Reinforcement Learning with the MAXQ Value Function Decomposition", JAIR
        13, as Gymnasium's Taxi-v4, whose transition table equals this one entry for entry. (In the 96 states that
        cannot be reached, the passenger at the destination and the taxi elsewhere, Gymnasium's task would go on; this
        one is over.)
    Version history: v0, first.
    """

    State = TaxiState
    Params = TaxiParams
    Purpose = TaxiPurpose
    actions = ("south", "north", "east", "west", "pickup", "dropoff")
    max_branches = 9
    max_episode_steps = 200

    def setup(
        self,
        is_rainy: bool = False,
        fickle_passenger: bool = False,
        rainy_probability: float = 0.8,
        fickle_probability: float = 0.3,
        step_reward: float = -1.0,
        delivery_reward: float = 20.0,
        mistake_reward: float = -10.0,
    ) -> tuple[TaxiParams, TaxiPurpose]:
        meant = probability("rainy_probability", rainy_probability)
        fickle = probability("fickle_probability", fickle_probability)
        chances = np.tile([1.0, 0.0, 0.0], (6, 1))
        if flag("is_rainy", is_rainy):
            chances[:4] = [meant, (1.0 - meant) / 2, (1.0 - meant) / 2]
        pads = np.full(SIZE * SIZE, NO_PAD, np.int64)
        for pad, (row, column) in enumerate(PADS):
            pads[row * SIZE + column] = pad
        params = TaxiParams(
            places=_places(),
            chances=chances,
            pads=pads,
            riders=_riders(),
            fickle=fickle if flag("fickle_passenger", fickle_passenger) else 0.0,
        )
        return params, TaxiPurpose(
            number("step_reward", step_reward),
            number("delivery_reward", delivery_reward),
            number("mistake_reward", mistake_reward),
        )

    @staticmethod
    def initial_branches(params: TaxiParams) -> int:
        return 2 * STARTS if params.fickle > 0.0 else STARTS

    @staticmethod
    def branches(params: TaxiParams) -> int:
        if params.fickle > 0.0:
            return 9
        return 3 if params.chances[0, 1] > 0.0 else 1

    @staticmethod
    def initial(params: TaxiParams, branch: int) -> tuple[float, TaxiState]:
        start, fickle = branch % STARTS, branch >= STARTS
        passenger, other = (start % 12) // 3, start % 3
        destination = other + 1 if other >= passenger else other
        weight = params.fickle if fickle else 1.0 - params.fickle
        return weight / STARTS, TaxiState(start // 12, passenger, destination, fickle)

    @staticmethod
    def transition(params: TaxiParams, state: TaxiState, action: int, branch: int) -> tuple[float, TaxiState]:
        # outcome = drift + 3 · change: the three drifts, for each of the passenger's three other wishes
        drift, change = branch % 3, branch // 3
        place = params.places[drift, action, state.place]
        passenger = params.riders[action, params.pads[state.place], state.passenger]
        changes = state.fickle & (state.passenger == RIDING) & (place != state.place)
        destination = (state.destination + 1 + change) % 4 if changes else state.destination
        share = 1.0 / 3.0 if changes else (1.0 if change == 0 else 0.0)
        return params.chances[action, drift] * share, TaxiState(
            place, passenger, destination, state.fickle & (not changes)
        )

    @staticmethod
    def reward(params: TaxiParams, purpose: TaxiPurpose, state: TaxiState, action: int, next_state: TaxiState) -> float:
        if action < PICKUP:
            return purpose.step_reward
        if next_state.passenger == state.passenger:
            return purpose.mistake_reward
        return purpose.delivery_reward if next_state.passenger == next_state.destination else purpose.step_reward

    @staticmethod
    def terminal(params: TaxiParams, purpose: TaxiPurpose, state: TaxiState) -> bool:
        return state.passenger == state.destination

    @staticmethod
    def observation(params: TaxiParams, state: TaxiState) -> int:
        return (state.place * 5 + state.passenger) * 4 + state.destination

    @staticmethod
    def observations(params: TaxiParams) -> gym.Space[Any]:
        return gym.spaces.Discrete(500)

    @staticmethod
    def roots(params: TaxiParams) -> Iterable[TaxiState]:
        return [
            TaxiState(place, passenger, destination, False)
            for place in range(SIZE * SIZE)
            for passenger in range(5)
            for destination in range(4)
        ]

    @staticmethod
    def describe(params: TaxiParams, purpose: TaxiPurpose, state: TaxiState) -> str:
        row, column = divmod(state.place, SIZE)
        ways = [
            f"{name} {'free' if params.places[0, k, state.place] != state.place else 'blocked'}"
            for k, name in enumerate(Taxi.actions[:4])
        ]
        rider = "in the taxi" if state.passenger == RIDING else f"waiting at {_pad(state.passenger)}"
        return (
            f"taxi at row {row} column {column} | passenger {rider} | wants to go to {_pad(state.destination)} | "
            + ", ".join(ways)
        )

    @staticmethod
    def draw(params: TaxiParams, purpose: TaxiPurpose, state: TaxiState) -> Scene:
        shapes: list[Shape] = [Rect(0, 0, SIZE, SIZE, fill="paper")]
        shapes += [Line(k, 0, k, SIZE, stroke="line", line_width=0.02) for k in range(1, SIZE)]
        shapes += [Line(0, k, SIZE, k, stroke="line", line_width=0.02) for k in range(1, SIZE)]
        for name, (row, column) in zip(PAD_NAMES, PADS):
            shapes.append(Rect(column + 0.06, row + 0.06, 0.88, 0.88, fill=name, radius=0.1))
        for row, column in sorted(WALLS):
            shapes.append(Line(column + 1, row, column + 1, row + 1, stroke="wall", line_width=0.12))
        shapes.append(Rect(0, 0, SIZE, SIZE, stroke="wall", line_width=0.12))
        goal_row, goal_column = PADS[state.destination]
        shapes.append(
            Rect(goal_column + 0.12, goal_row + 0.12, 0.76, 0.76, stroke="ink", line_width=0.1, layer="moving")
        )
        x, y = Taxi.place(params, state)
        shapes += [
            Rect(x - 0.38, y - 0.2, 0.76, 0.42, fill="agent", stroke="ink", radius=0.1, layer="moving"),
            Rect(x - 0.2, y - 0.36, 0.4, 0.2, fill="agent", stroke="ink", radius=0.06, layer="moving"),
            Circle(x - 0.2, y + 0.24, 0.1, fill="ink", layer="moving"),
            Circle(x + 0.2, y + 0.24, 0.1, fill="ink", layer="moving"),
        ]
        if state.passenger == RIDING:
            shapes.append(Circle(x, y - 0.02, 0.16, fill="paper", stroke="ink", layer="moving"))
        else:
            row, column = PADS[state.passenger]
            shapes.append(Circle(column + 0.5, row + 0.5, 0.2, fill="paper", stroke="ink", layer="moving"))
        return Scene(SIZE, SIZE, tuple(shapes))

    @staticmethod
    def place(params: TaxiParams, state: TaxiState) -> tuple[float, float]:
        row, column = divmod(state.place, SIZE)
        return column + 0.5, row + 0.5


def _pad(pad: int) -> str:
    row, column = PADS[pad]
    return f"{PAD_NAMES[pad]} (row {row} column {column})"


def _neighbour(row: int, column: int, heading: int) -> tuple[int, int]:
    """Returns the cell one comes to; the same one at a wall or the edge."""
    down, right = OFFSETS[heading]
    blocked = (right > 0 and (row, column) in WALLS) or (right < 0 and (row, column - 1) in WALLS)
    if blocked or not (0 <= row + down < SIZE and 0 <= column + right < SIZE):
        return row, column
    return row + down, column + right


def _places() -> np.ndarray:
    """Returns `[3, 6, 25]` where each drift of an action leads: a move that is blocked does not drift."""
    places = np.tile(np.arange(SIZE * SIZE), (3, 6, 1))
    for heading in range(4):
        for place in range(SIZE * SIZE):
            here = divmod(place, SIZE)
            if _neighbour(*here, heading) == here:
                continue
            for drift, way in enumerate((heading, *SIDES[heading])):
                row, column = _neighbour(*here, way)
                places[drift, heading, place] = row * SIZE + column
    return places


def _riders() -> np.ndarray:
    """Returns `[6, 5, 5]` where the passenger is after an action, by the pad under the taxi and where they were."""
    riders = np.tile(np.arange(5), (6, 5, 1))
    for pad in range(4):
        riders[PICKUP, pad, pad] = RIDING
        riders[DROPOFF, pad, RIDING] = pad
    return riders
