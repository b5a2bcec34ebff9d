"""Two in a household: one knows which object belongs where, the other can help, and ask."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from inscape.envs.law.tools import replaced
from inscape.envs.rendering.scene import Circle, Rect, Scene, Shape, Text, player_color
from inscape.envs.world import World
from inscape.envs.worlds.text.household import (
    OBJECT_COLORS,
    check_names,
    listed,
    name_codes,
    pair,
    room_number,
)
from inscape.errors import UsageError, closest

ROOMS = "kitchen, hall, living room"
CONTAINERS = "shelf in kitchen, table in living room"
OBJECTS = "mug in shelf, book in shelf"
MOST_ROOMS, MOST_CONTAINERS, MOST_OBJECTS = 8, 6, 4
HUMAN, HELPER = range(2)
LOOK, GO, TAKE, PUT, ASK, SAY = range(6)
SILENCE, ASKED, SAID = range(3)
"""What was said last: nothing, the helper's question, and from `SAID` on the goal that the human named."""


class HouseholdHelperState(NamedTuple):
    """The rooms of the human and the helper; where each object is: the number of its container, one more than the last
    for the human's hand, two more for the helper's; and what was said in the last step."""

    rooms: tuple[int, ...]
    places: tuple[int, ...]
    word: int


class HouseholdHelperParams(NamedTuple):
    """The house.

    Attributes:
        doors: `[R, R]` bool, whether one can go from one room to another.
        room_of: `[C]` the room each container is in.
        kind: `[A]` what each action does (LOOK, GO, TAKE, PUT, ASK, SAY).
        target: `[A]` the room, object, container or goal it does it to.
        names: `[R + C + N, width]` the names of rooms, containers and objects, as character codes, 0 after the end.
        thing, container: `[G]` the goals the human can name.
        begin: first rooms of the human and the helper.
        origin: first places of the objects.
    """

    doors: np.ndarray
    room_of: np.ndarray
    kind: np.ndarray
    target: np.ndarray
    names: np.ndarray
    thing: np.ndarray
    container: np.ndarray
    begin: tuple[int, ...]
    origin: tuple[int, ...]


class HouseholdHelperPurpose(NamedTuple):
    """What is wanted: object number `thing` in container number `container`."""

    thing: int
    container: int
    goal_reward: float
    step_cost: float
    ask_cost: float


class HouseholdHelper(World):
    """A human wants an object put somewhere, and only the human knows which and where; a helper carries, waits or asks.

    Rooms are joined by doors; each container stands in a room, and is open. Everybody sees everything but the goal.

    Actions, by name, both at once: `look` (wait), `go to ROOM`, `take OBJECT`, `put in CONTAINER` (what is in the
        hand); for the helper `ask`; for the human, in the step after a question, `say OBJECT in CONTAINER`, and then
        nothing else: answering takes its time. If both would take the same object, the human has it.
    Observations: MultiDiscrete, the same for both: their rooms; for each object its container, the number of containers
        for the human's hand, one more for the helper's; what was said in the last step: 0 nothing, 1 a question, 2 + g
        goal g. The goal is no part of it: it is the purpose.
    Rewards: the same for both: `goal_reward` when the goal's object is in the goal's container, minus `step_cost`,
        minus `ask_cost` for a question.
    Start: as `human`, `helper` and `objects` say.
    End: terminated when the goal's object is in the goal's container; truncated after 40 steps.

    Args:
        rooms: their names: a list, or one text with commas.
        containers: `NAME in ROOM` for each.
        objects: `NAME in CONTAINER` for each, where it is at first.
        doors: `ROOM - ROOM` for each; empty: each room to the next in order.
        human, helper: the rooms they start in; empty: the last and the first.
        goal: `OBJECT in CONTAINER`; empty: the first that is not so from the start.
        goal_reward, step_cost, ask_cost: rewards.

    Source: original, after `Household`; a helper that may ask: Fern, Natarajan, Judah & Tadepalli (2014), "A
        decision-theoretic model of assistance", JAIR 50.
    Version history: v0, first.
    """

    State = HouseholdHelperState
    Params = HouseholdHelperParams
    Purpose = HouseholdHelperPurpose
    players = 2
    player_names = ("human", "helper")
    simultaneous = True
    lengths = {"rooms": 2, "begin": 2, "places": 2, "origin": 2}
    max_episode_steps = 40
    gamma = 0.95

    @classmethod
    def sized(cls, **settings: Any) -> dict[str, Any]:
        objects = len(listed(settings.get("objects", OBJECTS)))
        return {} if objects == 2 else {"lengths": {**cls.lengths, "places": objects, "origin": objects}}

    def setup(
        self,
        rooms: str | Sequence[str] = ROOMS,
        containers: str | Sequence[str] = CONTAINERS,
        objects: str | Sequence[str] = OBJECTS,
        doors: str | Sequence[str] = "",
        human: str = "",
        helper: str = "",
        goal: str = "",
        goal_reward: float = 1.0,
        step_cost: float = 0.05,
        ask_cost: float = 0.02,
    ) -> tuple[HouseholdHelperParams, HouseholdHelperPurpose]:
        for name, value in (("goal_reward", goal_reward), ("step_cost", step_cost), ("ask_cost", ask_cost)):
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not (number and np.isfinite(value)):
                raise UsageError(f"{name} = {value!r}", expected="a finite number")
        room_names = listed(rooms)
        placed = [pair(entry, " in ", "containers", "shelf in kitchen") for entry in listed(containers)]
        laid = [pair(entry, " in ", "objects", "mug in shelf") for entry in listed(objects)]
        boxes, things = [box for box, _ in placed], [thing for thing, _ in laid]
        check_names(room_names, boxes, things)
        if len(boxes) > MOST_CONTAINERS or len(things) > MOST_OBJECTS:
            raise UsageError(
                f"{len(boxes)} containers and {len(things)} objects",
                expected=f"at most {MOST_CONTAINERS} and {MOST_OBJECTS}",
            )
        origin = tuple(_box(box, boxes, "objects") for _, box in laid)
        connected = np.zeros((len(room_names), len(room_names)), bool)
        joined = [pair(entry, " - ", "doors", "kitchen - hall") for entry in listed(doors)]
        for here, there in joined or itertools.pairwise(room_names):
            a, b = (room_number(room, room_names, "doors") for room in (here, there))
            connected[a, b] = connected[b, a] = a != b
        goals = [(t, c) for t in range(len(things)) for c in range(len(boxes)) if origin[t] != c]
        if not goals:
            raise UsageError("nothing can be put anywhere else", expected="two containers or more")
        kinds = [(LOOK, 0), *((GO, r) for r in range(len(room_names)))]
        kinds += [(TAKE, t) for t in range(len(things))] + [(PUT, c) for c in range(len(boxes))]
        kinds += [(ASK, 0)] + [(SAY, g) for g in range(len(goals))]
        begin = (
            room_number(human, room_names, "human") if human else len(room_names) - 1,
            room_number(helper, room_names, "helper") if helper else 0,
        )
        params = HouseholdHelperParams(
            doors=connected,
            room_of=np.array([room_number(room, room_names, "containers") for _, room in placed], np.int64),
            kind=np.array([kind for kind, _ in kinds], np.int64),
            target=np.array([target for _, target in kinds], np.int64),
            names=name_codes([*room_names, *boxes, *things]),
            thing=np.array([t for t, _ in goals], np.int64),
            container=np.array([c for _, c in goals], np.int64),
            begin=begin,
            origin=origin,
        )
        wanted = _wanted(goal, things, boxes, goals)
        return params, HouseholdHelperPurpose(*wanted, float(goal_reward), float(step_cost), float(ask_cost))

    @staticmethod
    def actions(params: HouseholdHelperParams) -> tuple[str, ...]:
        rooms, containers, things = _names(params)
        words = {GO: ("go to ", rooms), TAKE: ("take ", things), PUT: ("put in ", containers)}
        words |= {LOOK: ("look", [""]), ASK: ("ask", [""]), SAY: ("say ", _goals(params))}
        return tuple(
            words[kind][0] + words[kind][1][target]
            for kind, target in zip(params.kind.tolist(), params.target.tolist())
        )

    @staticmethod
    def initial(params: HouseholdHelperParams, branch: int) -> tuple[float, HouseholdHelperState]:
        return 1.0, HouseholdHelperState(params.begin, params.origin, SILENCE)

    @staticmethod
    def transition(
        params: HouseholdHelperParams, state: HouseholdHelperState, action: tuple[int, int], branch: int
    ) -> tuple[float, HouseholdHelperState]:
        rooms, places, word = state.rooms, state.places, SILENCE
        containers = len(params.room_of)
        for player in range(2):
            able = can(params, state.rooms, places, state.word, player, action[player])
            kind = params.kind[action[player]] if able else LOOK  # what cannot be done changes nothing
            target = params.target[action[player]]
            rooms = replaced(rooms, player, target if kind == GO else rooms[player])
            word = ASKED if kind == ASK else (SAID + target if kind == SAY else word)
            for thing in range(len(places)):
                taken = (kind == TAKE) & (thing == target)
                put = (kind == PUT) & (places[thing] == containers + player)
                after = containers + player if taken else (target if put else places[thing])
                places = replaced(places, thing, after)
        return 1.0, HouseholdHelperState(rooms, places, word)

    @staticmethod
    def reward(
        params: HouseholdHelperParams,
        purpose: HouseholdHelperPurpose,
        state: HouseholdHelperState,
        action: tuple[int, int],
        next_state: HouseholdHelperState,
    ) -> tuple[float, float]:
        gained = purpose.goal_reward if done(purpose, next_state) else 0.0
        shared = gained - purpose.step_cost - (purpose.ask_cost if next_state.word == ASKED else 0.0)
        return shared, shared

    @staticmethod
    def terminal(params: HouseholdHelperParams, purpose: HouseholdHelperPurpose, state: HouseholdHelperState) -> bool:
        return done(purpose, state)

    @staticmethod
    def legal(params: HouseholdHelperParams, state: HouseholdHelperState, player: int, action: int) -> bool:
        return can(params, state.rooms, state.places, state.word, player, action)

    @staticmethod
    def observation(params: HouseholdHelperParams, state: HouseholdHelperState, player: int) -> tuple[int, ...]:
        return state.rooms + state.places + (state.word,)

    @staticmethod
    def observations(params: HouseholdHelperParams) -> tuple[int, ...]:
        rooms, places = len(params.doors), len(params.room_of) + 2
        return (rooms, rooms, *(places,) * len(params.origin), SAID + len(params.thing))

    @staticmethod
    def state_of(params: HouseholdHelperParams, observation: Sequence[int]) -> HouseholdHelperState:
        human, helper, *places, word = (int(entry) for entry in observation)
        return HouseholdHelperState((human, helper), tuple(places), word)

    @staticmethod
    def purposes(params: HouseholdHelperParams, purpose: HouseholdHelperPurpose) -> dict[str, HouseholdHelperPurpose]:
        """Returns a goal for every object and every container it is not in at first."""
        return {
            name: purpose._replace(thing=int(t), container=int(c))
            for name, t, c in zip(_goals(params), params.thing, params.container)
        }

    @staticmethod
    def describe(params: HouseholdHelperParams, purpose: HouseholdHelperPurpose, state: HouseholdHelperState) -> str:
        rooms, containers, things = _names(params)
        where = [*(f"in the {box}" for box in containers), "in the human's hand", "in the helper's hand"]
        said = ["", "the helper asks what is wanted", *(f"the human says: {goal}" for goal in _goals(params))]
        parts = [f"human in the {rooms[state.rooms[HUMAN]]}", f"helper in the {rooms[state.rooms[HELPER]]}"]
        parts += [f"{thing} {where[place]}" for thing, place in zip(things, state.places)]
        parts += [said[state.word]] if state.word else []
        parts.append(
            f"shelves and tables: {', '.join(f'{c} in {rooms[r]}' for c, r in zip(containers, params.room_of))}"
        )
        return " | ".join([*parts, "the human knows what is wanted where"])

    @staticmethod
    def draw(params: HouseholdHelperParams, purpose: HouseholdHelperPurpose, state: HouseholdHelperState) -> Scene:
        return _floor_plan(params, state, purpose)

    @staticmethod
    def draw_view(
        params: HouseholdHelperParams, purpose: HouseholdHelperPurpose, state: HouseholdHelperState, player: int
    ) -> Scene:
        """Returns what a player sees; the goal stands out for the human only."""
        return _floor_plan(params, state, purpose if player == HUMAN else None)

    @staticmethod
    def place(params: HouseholdHelperParams, state: HouseholdHelperState) -> tuple[float, float]:
        return _stand(params, state.rooms[HUMAN], HUMAN)


# ------------------------------------------------------------------------------------------- compiled with the law


def can(
    params: HouseholdHelperParams, rooms: tuple[int, ...], places: tuple[int, ...], word: int, player: int, action: int
) -> bool:
    """Returns whether an action is legal for a player."""
    kind, target = params.kind[action], params.target[action]
    containers, room = len(params.room_of), rooms[player]
    hand = containers + player
    carrying, near = False, False
    for thing in range(len(places)):
        carrying |= places[thing] == hand
        lies = places[thing] < containers
        here = params.room_of[places[thing] if lies else 0] == room
        near |= (thing == target) & lies & here
    answers = (player == HUMAN) & (word == ASKED)
    door = params.doors[room, target if kind == GO else 0]
    box = params.room_of[target if kind == PUT else 0] == room
    otherwise = (
        (kind == LOOK)
        | ((kind == GO) & door)
        | ((kind == TAKE) & near & (not carrying))
        | ((kind == PUT) & box & carrying)
        | ((kind == ASK) & (player == HELPER) & (word != ASKED))
    )
    return bool((answers & (kind == SAY)) | ((not answers) & otherwise))


def done(purpose: HouseholdHelperPurpose, state: HouseholdHelperState) -> bool:
    """Returns whether the goal's object is in the goal's container."""
    place = -1
    for thing in range(len(state.places)):
        place = state.places[thing] if thing == purpose.thing else place
    return place == purpose.container


# ------------------------------------------------------------------------------------------- settings


def _box(name: str, boxes: Sequence[str], setting: str) -> int:
    if name not in boxes:
        raise UsageError(f"{setting}: no container {name!r}", expected=", ".join(boxes), hint=closest(name, boxes))
    return list(boxes).index(name)


def _wanted(goal: str, things: Sequence[str], boxes: Sequence[str], goals: list[tuple[int, int]]) -> tuple[int, int]:
    if not goal:
        return goals[0]
    thing, box = pair(str(goal), " in ", "goal", "mug in table")
    if thing not in things:
        raise UsageError(f"goal: no object {thing!r}", expected=", ".join(things), hint=closest(thing, things))
    wanted = list(things).index(thing), _box(box, boxes, "goal")
    if wanted not in goals:
        raise UsageError(f"goal: {goal!r} is so from the start", expected="something still to be done")
    return wanted


def _names(params: HouseholdHelperParams) -> tuple[list[str], list[str], list[str]]:
    """Returns the names of rooms, containers and objects."""
    names = ["".join(chr(code) for code in row if code) for row in params.names.tolist()]
    rooms, containers = len(params.doors), len(params.room_of)
    return names[:rooms], names[rooms : rooms + containers], names[rooms + containers :]


def _goals(params: HouseholdHelperParams) -> list[str]:
    _, containers, things = _names(params)
    return [f"{things[t]} in {containers[c]}" for t, c in zip(params.thing.tolist(), params.container.tolist())]


# ------------------------------------------------------------------------------------------- drawing

ROOM, BOX = 4.0, 1.7


def _width(params: HouseholdHelperParams) -> float:
    return 0.3 + (BOX + 0.3) * max(2, int(np.bincount(params.room_of).max()))


def _stand(params: HouseholdHelperParams, room: int, player: int) -> tuple[float, float]:
    return room * _width(params) + _width(params) * (0.3 + 0.4 * player), ROOM - 0.95


def _floor_plan(
    params: HouseholdHelperParams, state: HouseholdHelperState, purpose: HouseholdHelperPurpose | None
) -> Scene:
    """Returns the rooms side by side; the goal's container and object stand out, if it is known."""
    rooms, containers, things = _names(params)
    width = _width(params)
    shapes: list[Shape] = [Rect(0, 0, width * len(rooms), ROOM, fill="paper")]
    for r, room in enumerate(rooms):
        shapes.append(Rect(r * width, 0, width, ROOM, stroke="wall", line_width=0.12))
        shapes.append(Text((r + 0.5) * width, ROOM - 0.25, room, size=0.3, fill="muted"))
        if r and params.doors[r - 1, r]:
            shapes.append(Rect(r * width - 0.1, ROOM - 1.5, 0.2, 1.0, fill="start"))
    used = [0] * len(rooms)
    for c, container in enumerate(containers):
        r = int(params.room_of[c])
        x = r * width + 0.3 + (BOX + 0.3) * used[r]
        used[r] += 1
        wanted = "goal" if purpose is not None and purpose.container == c else "wall"
        shapes.append(Rect(x, 0.3, BOX, 1.3, fill="start", stroke=wanted, line_width=0.1, radius=0.1))
        shapes.append(Text(x + BOX / 2, 1.85, container, size=0.26, fill="ink"))
        for k, thing in enumerate(t for t, place in enumerate(state.places) if place == c):
            shapes += _thing(x + 0.35 + 0.5 * k, 0.95, thing, things, purpose)
    for player in (HUMAN, HELPER):
        x, y = _stand(params, state.rooms[player], player)
        shapes.append(Circle(x, y, 0.36, fill=player_color(player), stroke="ink", line_width=0.04, layer="moving"))
        for thing, place in enumerate(state.places):
            if place == len(containers) + player:
                shapes += _thing(x + 0.45, y - 0.3, thing, things, purpose)
    said = ["", "?", *_goals(params)][state.word]
    if said:
        x, y = _stand(params, state.rooms[HELPER if state.word == ASKED else HUMAN], int(state.word == ASKED))
        shapes.append(Text(x, y - 0.6, said, size=0.26, fill="ink", layer="moving"))
    return Scene(width * len(rooms), ROOM, tuple(shapes))


def _thing(
    x: float, y: float, thing: int, things: Sequence[str], purpose: HouseholdHelperPurpose | None
) -> list[Shape]:
    """Returns an object: a disc with its letter, with a rim if it is the goal's."""
    wanted = purpose is not None and purpose.thing == thing
    rim = "goal" if wanted else "ink"
    color = OBJECT_COLORS[thing]
    disc = Circle(x, y, 0.22, fill=color, stroke=rim, line_width=0.08 if wanted else 0.03, layer="moving")
    return [disc, Text(x, y, things[thing][0].upper(), size=0.24, fill="paper", layer="moving")]
