"""A household read as text: rooms, containers that hide what is in them, and an object to be put in its place."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from inscape.envs.law.tools import replaced
from inscape.envs.rendering.scene import Circle, Line, Rect, Scene, Shape, Text
from inscape.envs.world import World
from inscape.errors import UsageError, closest

ROOMS = "kitchen, living room, bedroom"
CONTAINERS = "cupboard in kitchen, fridge in kitchen, chest in living room, drawer in bedroom, wardrobe in bedroom"
OBJECTS = "mug, book, key"
MOST_ROOMS, MOST_CONTAINERS, MOST_OBJECTS = 8, 8, 5

LOOK, GO, OPEN, CLOSE, TAKE, PUT = range(6)
CLOSED, OPENED, ELSEWHERE = range(3)  # how a container is perceived
OBJECT_COLORS = ("red", "blue", "green", "purple", "teal")


class HouseholdState(NamedTuple):
    """Where one is, which containers are open (0 or 1), and where each object is: the number of its container, or the
    number of containers for the hand."""

    room: int
    open: tuple[int, ...]
    places: tuple[int, ...]


class HouseholdParams(NamedTuple):
    """The house.

    Attributes:
        doors: `[R, R]` bool, whether one can go from one room to another.
        room_of: `[C]` the room each container is in.
        kind: `[A]` what each action does (LOOK, GO, OPEN, CLOSE, TAKE, PUT).
        target: `[A]` the room, container or object it does it to.
        names: `[R + C + N, width]` the names of rooms, containers and objects, as character codes, 0 after the end.
        start: the room one starts in.
        closed, origin: zeros, one per container and one per object: the shape of a state's fields.
    """

    doors: np.ndarray
    room_of: np.ndarray
    kind: np.ndarray
    target: np.ndarray
    names: np.ndarray
    start: int
    closed: tuple[int, ...]
    origin: tuple[int, ...]


class HouseholdPurpose(NamedTuple):
    """What is wanted: to see object number `thing` in container number `container`."""

    thing: int
    container: int
    goal_reward: float
    step_cost: float


class Household(World):
    """Somebody in a house puts an object where it belongs, and has to find it first.

    Rooms are joined by doors; each container stands in a room; what is in a container is seen only from its room and
    only while it is open. One object at a time can be carried.

    Actions, by name: `look`, `go to ROOM`, `open CONTAINER`, `close CONTAINER`, `take OBJECT`, `put in CONTAINER` (what
        is in the hand). Legal are: doors that exist, containers of the room one is in, objects in view and an empty
        hand for `take`, an open container and something in the hand for `put in`.
    Observations: MultiDiscrete: the room; for each container 0 closed, 1 open, 2 elsewhere; for each object its
        container, the number of containers for the hand, one more if it is not in view.
    Rewards: `goal_reward` when the goal's object is seen in the goal's container; `step_cost` subtracted at every step.
    Start: in the room `start`, all containers closed, each object in any container alike.
    End: terminated when the goal's object is seen in the goal's container (it may be there from the start, unseen);
        truncated after 50 steps.

    Args:
        rooms: their names: a list, or one text with commas.
        containers: `NAME in ROOM` for each.
        objects: their names.
        doors: `ROOM - ROOM` for each; empty: each room to the next in order.
        start: the room one starts in; empty: the first.
        goal: `OBJECT in CONTAINER`.
        goal_reward, step_cost: rewards.

    Source: original; the kind of task of Shridhar et al. (2021), "ALFWorld: aligning text and embodied environments for
        interactive learning", ICLR, pick and place.
    Version history: v0, first.
    """

    State = HouseholdState
    Params = HouseholdParams
    Purpose = HouseholdPurpose
    lengths = {"open": 5, "closed": 5, "places": 3, "origin": 3}
    max_episode_steps = 50
    gamma = 0.95

    @classmethod
    def sized(cls, **settings: Any) -> dict[str, Any]:
        containers = len(listed(settings.get("containers", CONTAINERS)))
        objects = len(listed(settings.get("objects", OBJECTS)))
        lengths = {"open": containers, "closed": containers, "places": objects, "origin": objects}
        return {} if lengths == cls.lengths else {"lengths": lengths}

    def setup(
        self,
        rooms: str | Sequence[str] = ROOMS,
        containers: str | Sequence[str] = CONTAINERS,
        objects: str | Sequence[str] = OBJECTS,
        doors: str | Sequence[str] = "",
        start: str = "",
        goal: str = "mug in cupboard",
        goal_reward: float = 1.0,
        step_cost: float = 0.0,
    ) -> tuple[HouseholdParams, HouseholdPurpose]:
        for name, value in (("goal_reward", goal_reward), ("step_cost", step_cost)):
            if not (isinstance(value, (int, float)) and np.isfinite(value)):
                raise UsageError(f"{name} = {value!r}", expected="a finite number")
        room_names, things = listed(rooms), listed(objects)
        placed = [pair(entry, " in ", "containers", "cupboard in kitchen") for entry in listed(containers)]
        boxes = [box for box, _ in placed]
        check_names(room_names, boxes, things)
        joined = [pair(entry, " - ", "doors", "kitchen - bedroom") for entry in listed(doors)]
        connected = np.zeros((len(room_names), len(room_names)), bool)
        for here, there in joined or itertools.pairwise(room_names):
            a, b = (room_number(room, room_names, "doors") for room in (here, there))
            connected[a, b] = connected[b, a] = a != b
        thing, container = _goal(goal, things, boxes)
        kinds = [(LOOK, 0), *((GO, r) for r in range(len(room_names)))]
        kinds += [(kind, c) for kind in (OPEN, CLOSE) for c in range(len(boxes))]
        kinds += [(TAKE, o) for o in range(len(things))] + [(PUT, c) for c in range(len(boxes))]
        params = HouseholdParams(
            doors=connected,
            room_of=np.array([room_number(room, room_names, "containers") for _, room in placed], np.int64),
            kind=np.array([kind for kind, _ in kinds], np.int64),
            target=np.array([target for _, target in kinds], np.int64),
            names=name_codes([*room_names, *boxes, *things]),
            start=room_number(start, room_names, "start") if start else 0,
            closed=(0,) * len(boxes),
            origin=(0,) * len(things),
        )
        return params, HouseholdPurpose(thing, container, float(goal_reward), float(step_cost))

    @staticmethod
    def actions(params: HouseholdParams) -> tuple[str, ...]:
        rooms, containers, things = _names(params)
        words = {GO: ("go to", rooms), OPEN: ("open", containers), CLOSE: ("close", containers)}
        words |= {TAKE: ("take", things), PUT: ("put in", containers)}
        return tuple(
            "look" if kind == LOOK else f"{words[kind][0]} {words[kind][1][target]}"
            for kind, target in zip(params.kind.tolist(), params.target.tolist())
        )

    @staticmethod
    def initial_branches(params: HouseholdParams) -> int:
        return int(len(params.closed) ** len(params.origin))

    @staticmethod
    def initial(params: HouseholdParams, branch: int) -> tuple[float, HouseholdState]:
        containers = len(params.closed)
        probability, rest, places = 1.0, branch, params.origin
        for thing in range(len(params.origin)):
            places = replaced(places, thing, rest % containers)
            rest //= containers
            probability /= containers
        return probability, HouseholdState(params.start, params.closed, places)

    @staticmethod
    def transition(
        params: HouseholdParams, state: HouseholdState, action: int, branch: int
    ) -> tuple[float, HouseholdState]:
        kind, target = params.kind[action], params.target[action]
        if not can(params, state, action):  # what is not legal changes nothing
            kind = LOOK
        room = target if kind == GO else state.room
        opened, places, hand = state.open, state.places, held(state)
        for c in range(len(opened)):
            value = 1 if kind == OPEN else (0 if kind == CLOSE else opened[c])
            opened = replaced(opened, c, value if c == target else opened[c])
        for thing in range(len(places)):
            taken = (kind == TAKE) & (thing == target)
            put = (kind == PUT) & (thing == hand)
            places = replaced(places, thing, len(opened) if taken else (target if put else places[thing]))
        return 1.0, HouseholdState(room, opened, places)

    @staticmethod
    def reward(
        params: HouseholdParams,
        purpose: HouseholdPurpose,
        state: HouseholdState,
        action: int,
        next_state: HouseholdState,
    ) -> float:
        return (purpose.goal_reward if is_done(params, purpose, next_state) else 0.0) - purpose.step_cost

    @staticmethod
    def terminal(params: HouseholdParams, purpose: HouseholdPurpose, state: HouseholdState) -> bool:
        return is_done(params, purpose, state)

    @staticmethod
    def legal(params: HouseholdParams, state: HouseholdState, action: int) -> bool:
        return can(params, state, action)

    @staticmethod
    def observation(params: HouseholdParams, state: HouseholdState) -> tuple[int, ...]:
        opened, places = state.open, state.places
        here, seen = boxes_here(params, state), things_in_view(params, state)
        for c in range(len(opened)):
            opened = replaced(opened, c, opened[c] if (here >> c) & 1 else ELSEWHERE)
        for thing in range(len(places)):
            places = replaced(places, thing, places[thing] if (seen >> thing) & 1 else len(opened) + 1)
        return (state.room,) + opened + places  # noqa: RUF005 (what Numba compiles)

    @staticmethod
    def observations(params: HouseholdParams) -> tuple[int, ...]:
        containers, things = len(params.closed), len(params.origin)
        return (len(params.doors), *(3,) * containers, *(containers + 2,) * things)

    @staticmethod
    def purposes(params: HouseholdParams, purpose: HouseholdPurpose) -> dict[str, HouseholdPurpose]:
        """Returns a goal for every object and container."""
        _, containers, things = _names(params)
        return {
            f"{thing} in {container}": purpose._replace(thing=t, container=c)
            for t, thing in enumerate(things)
            for c, container in enumerate(containers)
        }

    @staticmethod
    def describe_observation(params: HouseholdParams, purpose: HouseholdPurpose, observation: Sequence[int]) -> str:
        """Returns what is perceived, as text."""
        rooms, containers, things = _names(params)
        room, *rest = (int(entry) for entry in observation)
        opened, places = rest[: len(containers)], rest[len(containers) :]
        parts = [f"in the {rooms[room]}"]
        for c, container in enumerate(containers):
            if opened[c] == OPENED:
                inside = [thing for thing, place in zip(things, places) if place == c]
                parts.append(f"open {container}: {', '.join(inside) or 'empty'}")
            elif opened[c] == CLOSED:
                parts.append(f"closed {container}")
        ways = [rooms[r] for r in np.flatnonzero(params.doors[room])]
        carried = [thing for thing, place in zip(things, places) if place == len(containers)]
        parts.append(f"doors to {', '.join(ways) or 'nowhere'}")
        parts.append(f"holding {carried[0] if carried else 'nothing'}")
        return " | ".join([*parts, f"goal: {things[purpose.thing]} in {containers[purpose.container]}"])

    @staticmethod
    def describe(params: HouseholdParams, purpose: HouseholdPurpose, state: HouseholdState) -> str:
        return Household.describe_observation(params, purpose, Household.observation(params, state))

    @staticmethod
    def draw(params: HouseholdParams, purpose: HouseholdPurpose, state: HouseholdState) -> Scene:
        return _scene(params, purpose, state)

    @staticmethod
    def place(params: HouseholdParams, state: HouseholdState) -> tuple[float, float]:
        return _stand(params, state.room)


# ------------------------------------------------------------------------------------------- compiled with the law


# None of these branches: where they do, LLVM keeps reference counts of the tables, and a step takes ten times as long.


def held(state: HouseholdState) -> int:
    """Returns the object in the hand, −1 for none."""
    found = -1
    for thing in range(len(state.places)):
        found = thing if state.places[thing] == len(state.open) else found
    return found


def boxes_here(params: HouseholdParams, state: HouseholdState) -> int:
    """Returns the containers of this room, as bits."""
    bits = 0
    for c in range(len(state.open)):
        bits |= (1 << c) if params.room_of[c] == state.room else 0
    return bits


def boxes_open(state: HouseholdState) -> int:
    """Returns the open containers, as bits."""
    bits = 0
    for c in range(len(state.open)):
        bits |= state.open[c] << c
    return bits


def things_in_view(params: HouseholdParams, state: HouseholdState) -> int:
    """Returns the objects in the hand and in open containers of this room, as bits."""
    places = (boxes_here(params, state) & boxes_open(state)) | (1 << len(state.open))
    bits = 0
    for thing in range(len(state.places)):
        bits |= ((places >> state.places[thing]) & 1) << thing
    return bits


def is_done(params: HouseholdParams, purpose: HouseholdPurpose, state: HouseholdState) -> bool:
    """Returns whether the goal's object is seen in the goal's container."""
    there = 0
    for thing in range(len(state.places)):
        there |= (1 << thing) if state.places[thing] == purpose.container else 0
    return ((there & things_in_view(params, state)) >> purpose.thing) & 1 == 1


def can(params: HouseholdParams, state: HouseholdState, action: int) -> bool:
    """Returns whether the action is legal."""
    kind, target = params.kind[action], params.target[action]
    here = (boxes_here(params, state) >> target) & 1 == 1
    is_open = (boxes_open(state) >> target) & 1 == 1
    seen = (things_in_view(params, state) >> target) & 1 == 1
    carrying = held(state) >= 0
    door = params.doors[state.room, target if kind == GO else 0]
    return bool(
        (kind == LOOK)
        | ((kind == GO) & door)
        | ((kind == TAKE) & seen & (not carrying))
        | ((kind == OPEN) & here & (not is_open))
        | ((kind == CLOSE) & here & is_open)
        | ((kind == PUT) & here & is_open & carrying)
    )


# ------------------------------------------------------------------------------------------- settings


def listed(entries: str | Sequence[str]) -> list[str]:
    """Returns the entries of a list, or of a text with commas, without spaces around them."""
    if not isinstance(entries, (str, list, tuple)):
        raise UsageError(f"{entries!r}", expected="names: a list, or one text with commas")
    parts = entries.split(",") if isinstance(entries, str) else entries
    return [text for part in parts if (text := " ".join(str(part).split()))]


def pair(entry: str, between: str, setting: str, example: str) -> tuple[str, str]:
    first, found, second = entry.partition(between)
    if not (found and first.strip() and second.strip()):
        raise UsageError(f"{setting}: {entry!r}", expected=f"two names, such as {example!r}")
    return first.strip(), second.strip()


def room_number(name: str, known: Sequence[str], setting: str) -> int:
    if name not in known:
        raise UsageError(f"{setting}: no room {name!r}", expected=", ".join(known), hint=closest(name, known))
    return list(known).index(name)


def _goal(goal: str, things: Sequence[str], containers: Sequence[str]) -> tuple[int, int]:
    thing, container = pair(str(goal), " in ", "goal", "mug in cupboard")
    for name, known, what in ((thing, things, "object"), (container, containers, "container")):
        if name not in known:
            raise UsageError(f"goal: no {what} {name!r}", expected=", ".join(known), hint=closest(name, known))
    return list(things).index(thing), list(containers).index(container)


def check_names(rooms: Sequence[str], containers: Sequence[str], things: Sequence[str]) -> None:
    for what, names, most in (
        ("rooms", rooms, MOST_ROOMS),
        ("containers", containers, MOST_CONTAINERS),
        ("objects", things, MOST_OBJECTS),
    ):
        if not 1 <= len(names) <= most:
            raise UsageError(f"{len(names)} {what}", expected=f"1 to {most}")
        for name in names:
            if list(names).count(name) > 1:
                raise UsageError(f"{what}: {name!r} twice", expected="names that differ")


def name_codes(names: Sequence[str]) -> np.ndarray:
    """Returns names as rows of character codes: parameters hold numbers only."""
    codes = np.zeros((len(names), max(map(len, names))), np.int64)
    for row, name in zip(codes, names):
        row[: len(name)] = [ord(letter) for letter in name]
    return codes


def _names(params: HouseholdParams) -> tuple[list[str], list[str], list[str]]:
    """Returns the names of rooms, containers and objects."""
    names = ["".join(chr(code) for code in row if code) for row in params.names.tolist()]
    rooms, containers = len(params.doors), len(params.closed)
    return names[:rooms], names[rooms : rooms + containers], names[rooms + containers :]


# ------------------------------------------------------------------------------------------- drawing

ROOM_HEIGHT = 4.2
BOX = 1.6


def _width(params: HouseholdParams) -> float:
    return 0.3 + (BOX + 0.3) * max(2, int(np.bincount(params.room_of).max()))


def _stand(params: HouseholdParams, room: int) -> tuple[float, float]:
    return (room + 0.5) * _width(params), ROOM_HEIGHT - 0.95


def _scene(params: HouseholdParams, purpose: HouseholdPurpose, state: HouseholdState) -> Scene:
    rooms, containers, things = _names(params)
    width, below = _width(params), _corridors(params)
    height = ROOM_HEIGHT + 0.35 * len(below)
    shapes: list[Shape] = [Rect(0, 0, width * len(rooms), height, fill="paper")]
    for r, room in enumerate(rooms):
        shapes.append(Rect(r * width, 0, width, ROOM_HEIGHT, stroke="wall", line_width=0.14))
        shapes.append(Text((r + 0.5) * width, ROOM_HEIGHT - 0.3, room, size=0.3, fill="muted"))
        if r and params.doors[r - 1, r]:
            shapes.append(Rect(r * width - 0.12, ROOM_HEIGHT - 1.5, 0.24, 1.0, fill="start"))
    for k, (here, there) in enumerate(below):
        y = ROOM_HEIGHT + 0.2 + 0.35 * k
        left, right = ((room + 0.5) * width for room in (here, there))
        shapes += [Line(x, ROOM_HEIGHT, x, y, stroke="wood", line_width=0.12) for x in (left, right)]
        shapes.append(Line(left, y, right, y, stroke="wood", line_width=0.12))
    for c, container in enumerate(containers):
        x, y = _corner(params, c)
        wanted = "goal" if c == purpose.container else "wall"
        fill = "start" if state.open[c] else "wood"
        shapes.append(Rect(x, y, BOX, 1.5, fill=fill, stroke=wanted, line_width=0.1, radius=0.1, layer="moving"))
        shapes.append(Text(x + BOX / 2, y + 1.75, container, size=0.24, fill="ink"))
        inside = [thing for thing, place in enumerate(state.places) if place == c]
        for k, thing in enumerate(inside):
            at = x + 0.3 + 0.5 * (k % 3), y + 0.45 + 0.6 * (k // 3)
            shapes += _thing(at, thing, things, faint=not state.open[c])
    x, y = _stand(params, state.room)
    shapes.append(Circle(x, y, 0.36, fill="agent", stroke="ink", layer="moving"))
    if (thing := held(state)) >= 0:
        shapes += _thing((x + 0.55, y - 0.2), thing, things, faint=False)
    return Scene(width * len(rooms), height, tuple(shapes))


def _corner(params: HouseholdParams, container: int) -> tuple[float, float]:
    """Returns the top left corner of a container: those of a room stand side by side."""
    room = int(params.room_of[container])
    before = int((params.room_of[:container] == room).sum())
    return room * _width(params) + 0.3 + (BOX + 0.3) * before, 0.3


def _corridors(params: HouseholdParams) -> list[tuple[int, int]]:
    """Returns the doors between rooms that are not drawn side by side."""
    return [(a, b) for a, b in np.argwhere(np.triu(params.doors, 2)).tolist()]


def _thing(at: tuple[float, float], thing: int, things: Sequence[str], faint: bool) -> list[Shape]:
    """Returns an object: a disc with its letter; an outline where the container is closed."""
    color = OBJECT_COLORS[thing]
    disc = Circle(*at, 0.24, fill=None if faint else color, stroke=color, line_width=0.06, layer="moving")
    letter = Text(*at, things[thing][0].upper(), size=0.24, fill=color if faint else "paper", layer="moving")
    return [disc, letter]
