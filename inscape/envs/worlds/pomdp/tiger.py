"""The tiger problem: which door hides the tiger is heard, not seen."""

from __future__ import annotations

from typing import Any, NamedTuple

from inscape.envs.rendering.scene import Circle, Polygon, Rect, Scene, Shape
from inscape.envs.world import World
from inscape.errors import UsageError

MOST_DOORS = 8
LISTEN = 0
STAND = 1  # extended tiger only


class TigerState(NamedTuple):
    """The door the tiger is behind, and the door the last sound came from (the number of doors: nothing was heard)."""

    tiger: int
    heard: int


class TigerParams(NamedTuple):
    """Number of doors, and the probability that listening hears the tiger behind its own door."""

    doors: int
    accuracy: float


class TigerPurpose(NamedTuple):
    """Rewards for listening, for opening a door without the tiger, and for the tiger's."""

    listen: float
    treasure: float
    tiger: float


class Tiger(World):
    """A tiger is behind one door and treasure behind the others; listen, then open.

    Actions: `listen` (0), then one action per door: `open left`, `open right` (three doors: left, middle, right; more:
        by number from 1).
    Observations: Discrete: the door the last sound came from, or the number of doors: nothing heard yet. Listening
        hears the tiger behind its own door with probability `accuracy`, behind each other door alike. The sound after
        opening comes from any door alike and tells nothing, as in the source.
    Rewards: −1 for listening, 10 for a door without the tiger, −100 for the tiger's.
    Start: the tiger behind any door alike, nothing heard.
    End: never terminated: after a door is opened the tiger is placed again at random; truncated after 100 steps.

    Args:
        doors: number of doors, 2 to 8.
        accuracy: probability in [0, 1] of hearing the tiger behind its own door.
        listen, treasure, tiger: rewards.

    Source: Kaelbling, Littman & Cassandra (1998), "Planning and acting in partially observable stochastic domains",
        Artificial Intelligence 101, section 5.1; probabilities and rewards equal Cassandra's tiger.95.POMDP entry for
        entry. Three doors: the variant with the treasure behind two of them.
    Version history: v0, first.
    """

    State = TigerState
    Params = TigerParams
    Purpose = TigerPurpose
    actions = ("listen", "open left", "open right")
    branches = 4
    max_episode_steps = 100
    gamma = 0.95

    @classmethod
    def sized(cls, **settings: Any) -> dict[str, Any]:
        doors = settings.get("doors", 2)
        if doors == 2 or not _possible(doors):  # setup refuses what is not possible
            return {}
        return {"actions": ("listen", *(f"open {name}" for name in door_names(doors))), "branches": doors * doors}

    def setup(
        self,
        doors: int = 2,
        accuracy: float = 0.85,
        listen: float = -1.0,
        treasure: float = 10.0,
        tiger: float = -100.0,
    ) -> tuple[TigerParams, TigerPurpose]:
        if not _possible(doors):
            raise UsageError(f"doors = {doors!r}", expected=f"a whole number from 2 to {MOST_DOORS}")
        return _checked(doors, accuracy), _rewards(listen=listen, treasure=treasure, tiger=tiger)

    @staticmethod
    def initial_branches(params: TigerParams) -> int:
        return params.doors

    @staticmethod
    def initial(params: TigerParams, branch: int) -> tuple[float, TigerState]:
        return 1.0 / params.doors, TigerState(branch, params.doors)

    @staticmethod
    def transition(params: TigerParams, state: TigerState, action: int, branch: int) -> tuple[float, TigerState]:
        n = params.doors
        heard = branch % n
        if action == LISTEN:  # the branches beyond the first n are not used
            probability = params.accuracy if heard == state.tiger else (1.0 - params.accuracy) / (n - 1)
            return (probability if branch < n else 0.0), TigerState(state.tiger, heard)
        return 1.0 / (n * n), TigerState(branch // n, heard)

    @staticmethod
    def reward(
        params: TigerParams, purpose: TigerPurpose, state: TigerState, action: int, next_state: TigerState
    ) -> float:
        opened = purpose.tiger if action - 1 == state.tiger else purpose.treasure
        return purpose.listen if action == LISTEN else opened

    @staticmethod
    def observation(params: TigerParams, state: TigerState) -> int:
        return state.heard

    @staticmethod
    def observations(params: TigerParams) -> int:
        return params.doors + 1

    @staticmethod
    def describe_observation(params: TigerParams, purpose: TigerPurpose, observation: int) -> str:
        """Returns what is perceived, as text."""
        names = door_names(params.doors)
        heard = f"last sound: {names[observation]} door" if observation < params.doors else "nothing heard yet"
        return (
            f"a tiger is behind one of the doors {', '.join(names)}, treasure behind the others | {heard} | "
            f"listening is right {100 * params.accuracy:.0f}% of the time; after a door is opened all starts again"
        )

    @staticmethod
    def describe(params: TigerParams, purpose: TigerPurpose, state: TigerState) -> str:
        return Tiger.describe_observation(params, purpose, state.heard)

    @staticmethod
    def draw(params: TigerParams, purpose: TigerPurpose, state: TigerState) -> Scene:
        return _doors_scene(params.doors, state.tiger, state.heard)


class ExtendedTigerState(NamedTuple):
    """The door the tiger is behind, the door the last sound came from (2: silence), and whether the agent stands."""

    tiger: int
    heard: int
    standing: bool


class ExtendedTigerPurpose(NamedTuple):
    """Rewards: for listening and standing up, for the gold, for the tiger, and for what cannot be done."""

    effort: float
    treasure: float
    tiger: float
    invalid: float


class ExtendedTiger(World):
    """The tiger problem on a chair: only who sits hears anything, and only who stands can open a door.

    Actions: `listen` (0), `stand` (1), `open left` (2), `open right` (3). Listening while standing, standing up twice
        and opening while sitting have no effect.
    Observations: Discrete(3): a sound from the left (0), from the right (1), silence (2). Only listening while sitting
        makes a sound, which comes from the tiger's door with probability `accuracy`.
    Rewards: −1 for listening and for standing up, 30 for the gold, −100 for the tiger, −10 for what has no effect.
    Start: sitting, the tiger behind either door alike, silence.
    End: never terminated: after a door is opened the agent sits again and the tiger is placed again at random;
        truncated after 100 steps.

    Args:
        accuracy: probability in [0, 1] of hearing the tiger behind its own door.
        effort, treasure, tiger, invalid: rewards.

    Source: Veness, Ng, Hutter, Uther & Silver (2011), "A Monte-Carlo AIXI approximation", JAIR 40, section 7. The paper
        gives no penalty for invalid actions; −10 is that of the program pyaixi.
    Version history: v0, first.
    """

    State = ExtendedTigerState
    Params = TigerParams
    Purpose = ExtendedTigerPurpose
    actions = ("listen", "stand", "open left", "open right")
    branches = 2
    initial_branches = 2
    max_episode_steps = 100
    gamma = 0.95

    def setup(
        self,
        accuracy: float = 0.85,
        effort: float = -1.0,
        treasure: float = 30.0,
        tiger: float = -100.0,
        invalid: float = -10.0,
    ) -> tuple[TigerParams, ExtendedTigerPurpose]:
        rewards = {"effort": effort, "treasure": treasure, "tiger": tiger, "invalid": invalid}
        for name, value in rewards.items():
            _finite(name, value)
        return _checked(2, accuracy), ExtendedTigerPurpose(**{name: float(value) for name, value in rewards.items()})

    @staticmethod
    def initial(params: TigerParams, branch: int) -> tuple[float, ExtendedTigerState]:
        return 0.5, ExtendedTigerState(branch, 2, False)

    @staticmethod
    def transition(
        params: TigerParams, state: ExtendedTigerState, action: int, branch: int
    ) -> tuple[float, ExtendedTigerState]:
        if action == LISTEN and not state.standing:
            probability = params.accuracy if branch == state.tiger else 1.0 - params.accuracy
            return probability, ExtendedTigerState(state.tiger, branch, False)
        if action > STAND and state.standing:
            return 0.5, ExtendedTigerState(branch, 2, False)
        standing = state.standing or action == STAND
        return (1.0 if branch == 0 else 0.0), ExtendedTigerState(state.tiger, 2, standing)

    @staticmethod
    def reward(
        params: TigerParams,
        purpose: ExtendedTigerPurpose,
        state: ExtendedTigerState,
        action: int,
        next_state: ExtendedTigerState,
    ) -> float:
        if (action > STAND) != state.standing:
            return purpose.invalid
        if action <= STAND:
            return purpose.effort
        return purpose.tiger if action - 2 == state.tiger else purpose.treasure

    @staticmethod
    def observation(params: TigerParams, state: ExtendedTigerState) -> int:
        return state.heard

    @staticmethod
    def observations(params: TigerParams) -> int:
        return 3

    @staticmethod
    def describe_observation(params: TigerParams, purpose: ExtendedTigerPurpose, observation: int) -> str:
        """Returns what is perceived, as text (whether one stands is not perceived: it follows from what one did)."""
        heard = ("a sound from the left door", "a sound from the right door", "silence")[observation]
        return (
            f"a tiger is behind one of two doors, gold behind the other | {heard} | listen while sitting (right "
            f"{100 * params.accuracy:.0f}% of the time), stand up, then open a door; after that one sits again"
        )

    @staticmethod
    def describe(params: TigerParams, purpose: ExtendedTigerPurpose, state: ExtendedTigerState) -> str:
        return ExtendedTiger.describe_observation(params, purpose, state.heard)

    @staticmethod
    def draw(params: TigerParams, purpose: ExtendedTigerPurpose, state: ExtendedTigerState) -> Scene:
        return _doors_scene(2, state.tiger, state.heard, seated=not state.standing)


def door_names(doors: int) -> tuple[str, ...]:
    """Returns what the doors are called, from left to right."""
    if doors == 2:
        return "left", "right"
    return ("left", "middle", "right") if doors == 3 else tuple(f"door {k}" for k in range(1, doors + 1))


def _possible(doors: Any) -> bool:
    return isinstance(doors, int) and not isinstance(doors, bool) and 2 <= doors <= MOST_DOORS


def _checked(doors: int, accuracy: float) -> TigerParams:
    if not (isinstance(accuracy, (int, float)) and 0 <= accuracy <= 1):
        raise UsageError(f"accuracy = {accuracy!r}", expected="a probability in [0, 1]")
    return TigerParams(doors, float(accuracy))


def _finite(name: str, value: Any) -> None:
    if not (isinstance(value, (int, float)) and abs(value) < float("inf")):
        raise UsageError(f"{name} = {value!r}", expected="a finite number")


def _rewards(**values: float) -> TigerPurpose:
    for name, value in values.items():
        _finite(name, value)
    return TigerPurpose(**{name: float(value) for name, value in values.items()})


def _doors_scene(doors: int, tiger: int, heard: int, seated: bool | None = None) -> Scene:
    """Returns the doors with what is behind each, the last sound, and the listener below (on a chair, or not)."""
    width, height = 2.0 * doors + 0.4, 4.0
    shapes: list[Shape] = [Rect(0, 0, width, height, fill="paper"), Rect(0, 2.5, width, height - 2.5, fill="start")]
    for door in range(doors):
        x = 0.2 + 2 * door
        shapes.append(Rect(x + 0.15, 0.35, 1.7, 2.15, fill="wall", radius=0.1))
        shapes.append(Rect(x + 0.3, 0.5, 1.4, 2.0, fill="paper"))
        shapes += _tiger_shapes(x + 1, 1.55) if door == tiger else _treasure_shapes(x + 1, 1.55)
        if door == heard:
            for k, reach in enumerate((0.2, 0.42, 0.64)):
                shapes.append(
                    Rect(x + 1 - reach, 2.58 + 0.16 * k, 2 * reach, 0.1, fill="red", radius=0.05, layer="moving")
                )
    middle = width / 2
    if seated is not None:
        shapes += [Rect(middle - 0.36, 3.5, 0.72, 0.12, fill="wall"), Rect(middle + 0.26, 3.0, 0.1, 0.9, fill="wall")]
        shapes.append(Rect(middle - 0.36, 3.5, 0.1, 0.4, fill="wall"))
    y = 3.3 if seated or seated is None else 3.15
    shapes.append(Circle(middle if seated in (None, True) else middle - 0.75, y, 0.28, fill="agent", stroke="ink",
                         layer="moving"))  # fmt: skip
    return Scene(width, height, tuple(shapes))


def _tiger_shapes(x: float, y: float) -> list[Shape]:
    shapes: list[Shape] = [
        Polygon(((x + s * 0.5, y - 0.55), (x + s * 0.5, y - 0.05), (x + s * 0.1, y - 0.35)), fill="orange",
                layer="moving") for s in (-1, 1)
    ]  # fmt: skip
    shapes.append(Circle(x, y, 0.5, fill="orange", layer="moving"))
    for s in (-1, 1):
        shapes.append(Circle(x + s * 0.2, y - 0.08, 0.09, fill="ink", layer="moving"))
        stripe = ((x + s * 0.5, y + 0.02), (x + s * 0.5, y + 0.18), (x + s * 0.22, y + 0.12))
        shapes.append(Polygon(stripe, fill="ink", layer="moving"))
    shapes.append(Polygon(((x - 0.12, y + 0.14), (x + 0.12, y + 0.14), (x, y + 0.3)), fill="ink", layer="moving"))
    shapes.append(Rect(x - 0.06, y - 0.5, 0.12, 0.24, fill="ink", layer="moving"))
    return shapes


def _treasure_shapes(x: float, y: float) -> list[Shape]:
    return [
        Rect(x - 0.5, y - 0.1, 1.0, 0.6, fill="goal", radius=0.06, layer="moving"),
        Rect(x - 0.5, y - 0.42, 1.0, 0.34, fill="goal", radius=0.16, layer="moving"),
        Rect(x - 0.5, y - 0.11, 1.0, 0.07, fill="paper", layer="moving"),
        Rect(x - 0.1, y - 0.16, 0.2, 0.24, fill="paper", radius=0.05, layer="moving"),
    ]
