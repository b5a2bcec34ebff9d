"""A ski resort."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import gymnasium as gym
import numpy as np

from inscape.envs.rendering.scene import Circle, Line, Polygon, Rect, Scene, Shape, Text
from inscape.envs.world import World
from inscape.envs.worlds.mdp.checks import number, probability, whole
from inscape.errors import UsageError, closest

PLACES = ("Hotel", "Wood", "Terrace", "Bowl", "Glacier")
AREAS = PLACES[1:]
HOTEL, WOOD, TERRACE, BOWL, GLACIER = range(5)
ANYWHERE = -1
WHERE = {"Hotel": (6.0, 7.9), "Wood": (2.6, 5.6), "Terrace": (9.0, 5.4), "Bowl": (3.9, 2.7), "Glacier": (8.0, 1.5)}


class Way(NamedTuple):
    """A lift or a piste: from where, to where, where one comes to instead, by way of which point of the map, colour."""

    begins: int
    ends: int
    astray: int
    via: tuple[float, float] | None
    color: str


LIFTS = {
    "gondola": Way(HOTEL, WOOD, HOTEL, None, "muted"),
    "chairlift": Way(HOTEL, TERRACE, HOTEL, None, "muted"),
    "t-bar": Way(WOOD, BOWL, WOOD, None, "muted"),
    "cable-car": Way(TERRACE, GLACIER, TERRACE, None, "muted"),
}
PISTES = {
    "marten-run": Way(WOOD, HOTEL, WOOD, (3.1, 7.5), "blue"),
    "hare-run": Way(TERRACE, HOTEL, WOOD, (8.6, 7.5), "blue"),
    "eagle-traverse": Way(TERRACE, WOOD, HOTEL, (6.0, 6.1), "blue"),
    "fox-run": Way(BOWL, WOOD, TERRACE, (2.1, 4.0), "red"),
    "chamois-run": Way(BOWL, TERRACE, WOOD, (6.3, 4.5), "red"),
    "ibex-run": Way(GLACIER, TERRACE, BOWL, (10.0, 3.2), "ink"),
    "finch-run": Way(GLACIER, BOWL, TERRACE, (5.7, 1.5), "red"),
}
REST = "rest"
Anchor = Literal["start", "middle", "end"]
WAYS = LIFTS | PISTES
NAMES = (*WAYS, REST)
FIRST_PISTE, REST_NUMBER = len(LIFTS), len(WAYS)


class SkiState(NamedTuple):
    """Where one is (Hotel, Wood, Terrace, Bowl, Glacier: 0 … 4), and for how many more pistes the legs are good."""

    place: int
    legs: int


class SkiParams(NamedTuple):
    """The resort.

    Attributes:
        begins: `[12]` the place where each lift or piste begins; resting is at the hotel.
        ends: `[2, 12]` the place one comes to, and the one if it does not go as meant.
        failing: `[2, 12]` probability that it does not, with good legs and with tired ones.
        legs: pistes one can ski before tiring; 0: one never tires.
    """

    begins: np.ndarray
    ends: np.ndarray
    failing: np.ndarray
    legs: int


class SkiPurpose(NamedTuple):
    """What is wanted.

    Attributes:
        favourite: the area whose pistes one enjoys; −1: every area's.
        joy: reward for a piste begun there.
        ticket: cost of a lift, working or not.
    """

    favourite: int = GLACIER
    joy: float = 1.0
    ticket: float = 0.1


class SkiResort(World):
    """A day on skis: lifts up, pistes down, and a favourite area.

    A hotel in the valley and four areas above it: Wood and Terrace, higher up Bowl and Glacier. It is not a grid: what
    one can do depends on where one is.

    Actions: lifts `gondola` (Hotel → Wood), `chairlift` (Hotel → Terrace), `t-bar` (Wood → Bowl), `cable-car` (Terrace
        → Glacier); pistes `marten-run` (Wood → Hotel), `hare-run` (Terrace → Hotel), `eagle-traverse` (Terrace → Wood),
        `fox-run` (Bowl → Wood), `chamois-run` (Bowl → Terrace), `ibex-run` (Glacier → Terrace), `finch-run` (Glacier →
        Bowl); `rest` at the hotel. Only what begins where one is, is legal. A lift may be closed (one stays); a piste
        may be missed (one comes out elsewhere).
    Observations: Discrete(5 · (legs + 1)): place · (legs + 1) + pistes the legs are still good for.
    Rewards: `joy` for each piste begun in the favourite area, −`ticket` for each lift.
    Start: at the hotel, rested.
    End: never terminated; truncated after 40 steps, when the lifts close.

    Args:
        favourite: `Wood`, `Terrace`, `Bowl`, `Glacier` or `anywhere`.
        closed: probability that a lift is closed.
        missed: probability that a piste is missed.
        legs: how many pistes one skis before tiring, until a rest at the hotel; 0: one never tires.
        missed_tired: probability that a piste is missed with tired legs.
        joy, ticket: see Rewards.

    Source: original to this project.
    Version history: v0, first.
    """

    State = SkiState
    Params = SkiParams
    Purpose = SkiPurpose
    actions = NAMES
    branches = 2
    max_episode_steps = 40
    gamma = 0.95

    def setup(
        self,
        favourite: str = "Glacier",
        closed: float = 0.1,
        missed: float = 0.15,
        legs: int = 0,
        missed_tired: float = 0.5,
        joy: float = 1.0,
        ticket: float = 0.1,
    ) -> tuple[SkiParams, SkiPurpose]:
        if favourite not in (*AREAS, "anywhere"):
            raise UsageError(
                f"favourite = {favourite!r}",
                expected=f"{', '.join(AREAS)} or anywhere",
                hint=closest(str(favourite), [*AREAS, "anywhere"]),
            )
        ways = list(WAYS.values())
        failing = np.zeros((2, len(NAMES)))
        failing[:, :FIRST_PISTE] = probability("closed", closed)
        failing[0, FIRST_PISTE:REST_NUMBER] = probability("missed", missed)
        failing[1, FIRST_PISTE:REST_NUMBER] = probability("missed_tired", missed_tired)
        params = SkiParams(
            begins=np.array([*(way.begins for way in ways), HOTEL]),
            ends=np.array([[*(way.ends for way in ways), HOTEL], [*(way.astray for way in ways), HOTEL]]),
            failing=failing,
            legs=whole("legs", legs, 0, 1000),
        )
        area = ANYWHERE if favourite == "anywhere" else PLACES.index(favourite)
        return params, SkiPurpose(area, number("joy", joy), number("ticket", ticket))

    @staticmethod
    def initial(params: SkiParams, branch: int) -> tuple[float, SkiState]:
        return 1.0, SkiState(HOTEL, params.legs)

    @staticmethod
    def transition(params: SkiParams, state: SkiState, action: int, branch: int) -> tuple[float, SkiState]:
        tired = 1 if (params.legs > 0) & (state.legs == 0) else 0
        failing = params.failing[tired, action]
        spent = 1 if (action >= FIRST_PISTE) & (action < REST_NUMBER) else 0
        legs = params.legs if action == REST_NUMBER else max(state.legs - spent, 0)
        return (1.0 - failing if branch == 0 else failing), SkiState(params.ends[branch, action], legs)

    @staticmethod
    def legal(params: SkiParams, state: SkiState, action: int) -> bool:
        return bool(params.begins[action] == state.place)

    @staticmethod
    def reward(params: SkiParams, purpose: SkiPurpose, state: SkiState, action: int, next_state: SkiState) -> float:
        piste = (action >= FIRST_PISTE) & (action < REST_NUMBER)
        wanted = (purpose.favourite == ANYWHERE) | (state.place == purpose.favourite)
        return (purpose.joy if piste & wanted else 0.0) - (purpose.ticket if action < FIRST_PISTE else 0.0)

    @staticmethod
    def observation(params: SkiParams, state: SkiState) -> int:
        return state.place * (params.legs + 1) + state.legs

    @staticmethod
    def observations(params: SkiParams) -> gym.Space[Any]:
        return gym.spaces.Discrete(len(PLACES) * (params.legs + 1))

    @staticmethod
    def state_of(params: SkiParams, observation: int) -> SkiState:
        return SkiState(*divmod(int(observation), params.legs + 1))

    @staticmethod
    def roots(params: SkiParams) -> Iterable[SkiState]:
        return [SkiState(place, params.legs) for place in range(len(PLACES))]

    @staticmethod
    def purposes(params: SkiParams, purpose: SkiPurpose) -> dict[str, SkiPurpose]:
        return {area: purpose._replace(favourite=PLACES.index(area)) for area in AREAS} | {
            "anywhere": purpose._replace(favourite=ANYWHERE)
        }

    @staticmethod
    def describe(params: SkiParams, purpose: SkiPurpose, state: SkiState) -> str:
        ways = [
            f"{name} ({'lift' if name in LIFTS else 'piste'} to {PLACES[way.ends]})"
            for name, way in WAYS.items()
            if way.begins == state.place
        ]
        if state.place == HOTEL:
            ways.append(REST)
        legs = f" | legs good for {state.legs} of {params.legs} pistes" if params.legs else ""
        wanted = "any area" if purpose.favourite == ANYWHERE else PLACES[purpose.favourite]
        return f"at {PLACES[state.place]}{legs} | favourite: pistes from {wanted} | from here: {', '.join(ways)}"

    @staticmethod
    def draw(params: SkiParams, purpose: SkiPurpose, state: SkiState) -> Scene:
        far = ((0, 6), (2.2, 2.9), (3.9, 1.3), (5.4, 2.9), (8, 0.3), (10.2, 3.1), (12, 5), (12, 9), (0, 9))
        near = ((0, 7.6), (2.6, 6.4), (6, 7.1), (9.0, 6.2), (12, 7.4), (12, 9), (0, 9))
        shapes: list[Shape] = [
            Rect(0, 0, 12, 9, fill="paper"),
            Polygon(far, fill="ice", stroke="line", line_width=0.06),
            Polygon(near, fill="line"),
        ]
        for way in WAYS.values():
            points = [WHERE[PLACES[way.begins]], *([way.via] if way.via else []), WHERE[PLACES[way.ends]]]
            width = 0.16 if way.via else 0.08
            shapes += [Line(*here, *there, stroke=way.color, line_width=width) for here, there in pairwise(points)]
            if not way.via:  # a cabin on its cable
                (x1, y1), (x2, y2) = points
                x, y = (x1 + x2) / 2, (y1 + y2) / 2
                shapes.append(Rect(x - 0.22, y - 0.16, 0.44, 0.36, fill="muted", stroke="ink", radius=0.08))
        for number_, (name, (x, y)) in enumerate(WHERE.items()):
            wanted = purpose.favourite in (number_, ANYWHERE)
            if number_ == HOTEL:
                roof = ((x - 0.95, y - 0.15), (x, y - 0.95), (x + 0.95, y - 0.15))
                shapes += [
                    Rect(x - 0.7, y - 0.2, 1.4, 1.0, fill="wood", stroke="ink"),
                    Polygon(roof, fill="danger", stroke="ink"),
                ]
            else:
                shapes.append(Circle(x, y, 0.62, fill="goal" if wanted else "paper", stroke="ink", line_width=0.06))
                side = 0.8 if number_ == TERRACE else -0.8 if number_ == WOOD else 0.0
                anchor: Anchor = "start" if side > 0 else "end" if side < 0 else "middle"
                shapes.append(Text(x + side, y if side else y - 0.95, name, size=0.4, anchor=anchor))
        x, y = SkiResort.place(params, state)
        shapes.append(Circle(x, y, 0.42, fill="agent", stroke="ink", line_width=0.06, layer="moving"))
        return Scene(12, 9, tuple(shapes))

    @staticmethod
    def place(params: SkiParams, state: SkiState) -> tuple[float, float]:
        x, y = WHERE[PLACES[state.place]]
        return x, y + (0.3 if state.place == HOTEL else 0.0)
