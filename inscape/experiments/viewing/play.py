"""A person at the controls: keys become actions, what happens is recorded like any other episode."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np

from inscape.agents.adapters import as_agent
from inscape.agents.vector_actor import VectorActor
from inscape.envs.rendering.scene import player_color
from inscape.envs.rendering.window import Line, PlayWindow
from inscape.errors import UsageError
from inscape.experiments.runs.evaluation import looks_alike
from inscape.experiments.runs.storage.episodes import save_trajectories
from inscape.experiments.viewing.beliefs import LiveBelief
from inscape.experiments.viewing.stage import EpisodeSession, agents_by_player, choose, make_session, words_scene
from inscape.experiments.viewing.watch import natural_fps

if TYPE_CHECKING:
    from inscape.envs.data.trajectory import Trajectory
    from inscape.envs.tasks.task import Task
    from inscape.theory_of_mind.observers.exact import ExactObserver

DEFAULT_FOLDER = Path("runs/play")

WORDS = {
    "left": "left", "west": "left", "right": "right", "east": "right",
    "up": "up", "north": "up", "forward": "up", "down": "down", "south": "down", "back": "down", "backward": "down",
}  # fmt: skip
"""What an action's name says → the arrow it goes on."""

VERBS = {"move", "go", "step", "walk", "turn", "push", "drive", "steer", "accelerate", "force", "torque", "head"}
"""Words that may stand beside a direction in an action's name; beside any other word it is no direction."""

IDLE = {
    "none", "noop", "coast", "stay", "idle", "wait", "nothing", "still", "rest", "donothing", "zero", "hold",
    "nopush", "notorque", "noforce", "noaction",
}  # fmt: skip
"""Names of actions that do nothing: what happens in real time while no key is down."""

ARROWS = {name: name for name in ("left", "right", "up", "down")}
SEATS = (
    ARROWS,
    {"left": "a", "right": "d", "up": "w", "down": "s"},
    {"left": "j", "right": "l", "up": "i", "down": "k"},
    {"left": "f", "right": "h", "up": "t", "down": "g"},
)
"""Direction keys of the humans who share a keyboard."""

OTHER_KEYS = ("7890-=", "123456", "uonm", "vbyz")
"""Further keys of each of them, when they act at once; the first takes `ALONE` where there is no other."""

ALONE = "1234567890zxcvbnmfghjkltyueoi"
"""Keys for actions that are no direction, for one human at a time; q, r, p (and w, a, s, d) mean something else."""

PAGE = 9
"""Actions on one page, where there are more than keys."""

AGENT_PAUSE = 0.35
"""Seconds an agent seems to think in turn-based worlds, so that a person sees what it does."""


# ---------------------------------------------------------------------------------------------------------- key maps


def direction_of(action: str) -> str:
    """Returns the arrow that an action's name asks for, or ""."""
    words = re.findall(r"[a-z]+", action.lower())
    found = [WORDS[word] for word in words if word in WORDS]
    return found[0] if len(found) == 1 and all(word in WORDS or word in VERBS for word in words) else ""


def idle_action(action_names: Sequence[str]) -> int | None:
    """Returns the action that does nothing, by its name, or None."""
    for index, name in enumerate(action_names):
        if re.sub(r"[^a-z]", "", name.lower()) in IDLE:
            return index
    return None


def keys_for(action_names: Sequence[str], seat: int = 0, humans_at_once: int = 1) -> dict[str, int] | None:
    """Returns key name → action for one human.

    Directions go on arrows (left, right, up, down; forward is up) or, for further humans who act at the same time, on
    W A S D, I J K L, T F G H; an action whose name is a digit on this digit; the others on number keys in their order,
    then letters.

    Args:
        action_names: `[A]`.
        seat: which of the humans who act at once.
        humans_at_once: how many those are.

    Returns:
        The map; None where there are more actions than keys, so that they have to be picked from pages.
    """
    directions = SEATS[seat]
    keys: dict[str, int] = {}
    pool = list(ALONE if humans_at_once == 1 else OTHER_KEYS[seat])
    left_over = []
    for index, name in enumerate(action_names):
        key = directions.get(direction_of(name), "")
        if key and key not in keys:
            keys[key] = index
        elif name in pool and name.isdigit():
            keys[name] = index
            pool.remove(name)
        else:
            left_over.append(index)
    if len(left_over) > len(pool):
        return None
    keys |= dict(zip(pool, left_over, strict=False))
    return keys


def push_of(held: frozenset[str], space: gymnasium.spaces.Box) -> np.ndarray:
    """Returns a continuous action from the keys that are down: full force by arrows, half with Shift, 0 without.

    The first dimension is left and right, the second down and up, the third A and D, the fourth S and W.
    """
    action = np.clip(np.zeros(space.shape), space.low, space.high)
    pairs = (("left", "right"), ("down", "up"), ("a", "d"), ("s", "w"))
    flat, low, high = action.reshape(-1), space.low.reshape(-1), space.high.reshape(-1)
    for k, (minus, plus) in enumerate(pairs[: flat.size]):
        size = 0.5 if "shift" in held else 1.0
        if (minus in held) != (plus in held):
            edge = low[k] if minus in held else high[k]
            flat[k] = np.clip(size * (edge if np.isfinite(edge) else np.sign(edge)), low[k], high[k])
    return action.astype(space.dtype)


# ----------------------------------------------------------------------------------------------------------- session


@dataclass(frozen=True)
class Played:
    """What was played.

    Attributes:
        trajectories: the episodes, also unfinished ones (`truncated`).
        path: the file they are in; None if there was nothing to keep.
    """

    trajectories: list[Trajectory]
    path: Path | None


def play(
    task: Task,
    players: Sequence[str] = (),
    seed: int = 0,
    save: str | Path | None = None,
    reveal: bool = False,
    fps: float | None = None,
    size: int = 640,
    realtime: bool | None = None,
    window: PlayWindow | None = None,
    observer: ExactObserver | None = None,
) -> Played:
    """Opens a window, lets people play, and stores what happened.

    Turn-based worlds wait for a key. Worlds in real time (continuous actions, or continuous states where not players
    take turns) go on at `fps`, from the first key press: while no key is down with the action that does nothing, where
    there is one, else with the last action taken.

    Args:
        task: what to play.
        players: who plays each part: `human`, an agent or a run; one for all, or none for a human against random
            agents.
        seed: episode k has the seed `seed + k`.
        save: the `.npz`; None for a fresh file in `runs/play`.
        reveal: show hidden states too.
        fps: steps per second in real time; None for the world's own pace.
        size: pixels of the longer side of the picture.
        realtime: True or False to say which kind of world it is.
        window: where to play; None opens one.
        observer: what it believes about the first human is shown in the panel, after every step.

    Raises:
        UsageError: no display, a task that cannot be played by hand, or players that do not fit.
    """
    agents = agents_by_player(players, task, seed, humans=True)
    if None not in agents:
        raise UsageError(
            f"nobody among {', '.join(players)} is human",
            expected="human for one player at least",
            hint=f"inscape watch {','.join(players)} {task.name}",
        )
    path = _place(task, save)
    session = Session(task, agents, seed, reveal, realtime, observer)
    pace = fps if fps is not None else natural_fps(task)
    if not 0 < pace <= 240 or size < 64:
        raise UsageError(f"{pace} steps per second, {size} pixels", expected="at most 240, at least 64 pixels")
    window = window or PlayWindow(f"Play {task.name}", size)
    try:
        _loop(session, window, pace if session.realtime else 30.0)
    except KeyboardInterrupt:
        pass  # Ctrl-C in the terminal leaves as Esc does: what was played is kept
    finally:
        window.close()
    trajectories = session.finish()
    return Played(trajectories, save_trajectories(path, trajectories) if trajectories else None)


def _loop(session: Session, window: PlayWindow, fps: float) -> None:
    shown = -1
    while True:
        if session.revision != shown:
            window.show(session.picture(), session.lines())
            shown = session.revision
        for key in window.presses():
            session.press(key)
            if session.left:
                return
        session.tick(window.held)
        window.tick(fps)


def _place(task: Task, save: str | Path | None) -> Path:
    """Returns where to store, refused before anybody has played if it cannot be."""
    if save is not None:
        path = Path(save)
        if path.suffix != ".npz":
            raise UsageError(f"{path.name!r} for recorded episodes", expected="a name ending in .npz")
    else:
        path = fresh_file(task)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}", hint="another place: --save") from error
    return path


def fresh_file(task: Task) -> Path:
    """Returns a file in `DEFAULT_FOLDER`, named after the task, that is not there yet."""
    name = re.sub(r"[^\w.-]+", "-", task.name.replace(".py:", "-"))
    return next(p for k in itertools.count(1) if not (p := DEFAULT_FOLDER / f"{name}-{k}.npz").exists())


class Session:
    """What keys do, apart from any window: tests press them by name.

    Attributes:
        stage: the episode in progress.
        left: the user has quit.
        revision: grows with whatever may look different.
        realtime: whether time goes on without a key.
    """

    def __init__(
        self,
        task: Task,
        agents: Sequence[Any],
        seed: int,
        reveal: bool = False,
        realtime: bool | None = None,
        observer: ExactObserver | None = None,
    ) -> None:
        self.task, self.agents, self.reveal = task, list(agents), reveal
        self.stage: EpisodeSession = make_session(task)
        self.humans = [player for player, agent in enumerate(agents) if agent is None]
        self.belief = None if observer is None else LiveBelief(observer, self.humans[0])
        self._space = task.action_space
        self.continuous = isinstance(self._space, gymnasium.spaces.Box)
        self.realtime = _is_realtime(task) if realtime is None else realtime
        self._keys = self._key_maps()
        self._paged = any(keys is None for keys in self._keys.values())
        self._idle = idle_action(task.action_names)
        self._seed, self._kept = seed, list[Any]()
        self.left = self.paused = False
        world = task.world
        self._shows_mover = (
            world is not None and world.players > 1 and world.law_function("draw_view") is None and looks_alike(world)
        )
        self.revision = 0
        self._held: frozenset[str] = frozenset()
        self._begin()

    def _key_maps(self) -> dict[int, dict[str, int] | None]:
        if self.continuous:
            shape = self._space.shape or ()
            if len(self.humans) > 1 or int(np.prod(shape)) > 4:
                raise UsageError(
                    f"the action space {self._space} of {self.task.name}",
                    expected="at most four dimensions, and one human, to play by hand",
                )
            return {}
        if not isinstance(self._space, gymnasium.spaces.Discrete):
            raise UsageError(
                f"the action space {self._space} of {self.task.name}", expected="Discrete or Box, to play by hand"
            )
        at_once = len(self.humans) if self.stage.simultaneous else 1
        if at_once > len(SEATS):
            raise UsageError(
                f"{at_once} humans at once", expected=f"at most {len(SEATS)} on one keyboard", hint="human,random,…"
            )
        names = self.task.action_names
        maps = {player: keys_for(names, seat if at_once > 1 else 0, at_once) for seat, player in enumerate(self.humans)}
        if at_once > 1 and None in maps.values():
            raise UsageError(
                f"{len(names)} actions for each of {at_once} humans",
                expected="few enough to have a key each",
                hint="one human: --players human,random",
            )
        return maps

    def _begin(self) -> None:
        self.stage.reset(self._seed + len(self._kept))
        if self.belief is not None:
            self.belief.begin()
        self._pending: dict[int, Any] = {}
        self._last: dict[int, Any] = {}
        self._page = 0
        self._picture: Any = None
        self._acting = {k: VectorActor(as_agent(a), 1) for k, a in enumerate(self.agents) if a is not None}
        self._waiting = self.realtime  # for the first key
        self._acted = time.monotonic()

    # ----------------------------------------------------------------------------------------------------- keys

    def press(self, key: str) -> None:
        """Does what a key press means now."""
        self.revision += 1
        if key in ("escape", "q", "quit"):
            self.left = True
        elif key == "r":
            self._keep()
            self._begin()
        elif key == "p":
            self.paused = not self.paused
        elif key == "space":
            self._single_step()
        elif key in ("pagedown", "pageup", "tab") and self._paged:
            pages = max(1, -(-len(self._offered()) // PAGE))
            self._page = (self._page + (-1 if key == "pageup" else 1)) % pages
        elif not self.stage.ended and not self.continuous:
            self._choose(key)
        if self._waiting and key not in ("p", "r", "space"):
            self._waiting = False

    def _choose(self, key: str) -> None:
        """Notes a human's choice; where everybody has chosen, it happens."""
        for player in self._deciding():
            action = self._action_of(key, player)
            if action is None or not self._legal(player, action):
                continue
            self._pending[player] = action  # in real time for the next step, however short the key was down
            if not self.realtime:
                self._page = 0
                self._advance_if_complete()
            return

    def _deciding(self) -> list[int]:
        """Returns the humans whose choice is open."""
        return [player for player in self.stage.movers if player in self.humans and player not in self._pending]

    def _action_of(self, key: str, player: int) -> int | None:
        keys = self._keys[player]
        if keys is not None:
            return keys.get(key)
        offered = self._offered()[self._page * PAGE : (self._page + 1) * PAGE]
        return offered[int(key) - 1] if key.isdigit() and 0 < int(key) <= len(offered) else None

    def _offered(self) -> list[int]:
        """Returns the legal actions of the human who decides, for pages."""
        deciding = self._deciding() or self.humans[:1]
        return [a for a in range(len(self.task.action_names)) if self._legal(deciding[0], a)]

    def _legal(self, player: int, action: int) -> bool:
        mask = self.stage.mask(player) if player in self.stage.movers else None
        return mask is None or bool(mask[action])

    def _single_step(self) -> None:
        """One step by a key: in real time as time would go; else agents act, or a human does nothing, if one can."""
        if self.stage.ended:
            return
        if self.realtime:
            self._advance_in_time()
            return
        for player in self._deciding():
            if self._idle is None or not self._legal(player, self._idle):
                return
            self._pending[player] = self._idle
        self._advance_if_complete(hurry=True)

    # ----------------------------------------------------------------------------------------------------- time

    def tick(self, held: frozenset[str]) -> None:
        """Lets time pass: in real time a step, else the agents' turn."""
        self._held = held
        if self.stage.ended or self.paused or self._waiting:
            return
        if self.realtime:
            self._advance_in_time()
        else:
            self._advance_if_complete()

    def _advance_if_complete(self, hurry: bool = False) -> None:
        """Steps once every human who acts now has chosen; agents alone take a moment, and none while paused."""
        movers = self.stage.movers
        if self._deciding() or not movers:
            return
        only_agents = not any(player in self.humans for player in movers)
        if only_agents and not hurry and (self.paused or time.monotonic() - self._acted < AGENT_PAUSE):
            return
        self._step(self._pending)

    def _advance_in_time(self) -> None:
        chosen: dict[int, Any] = {}
        for player in self.stage.movers:
            if player in self.humans:
                action = self._held_action(player)
                if action is None:
                    return  # nothing is down, nothing was, and no action does nothing: time waits for a first key
                chosen[player] = action
        self._step(chosen)

    def _held_action(self, player: int) -> Any:
        if self.continuous:
            assert isinstance(self._space, gymnasium.spaces.Box)
            return push_of(self._held, self._space)
        down = [
            action
            for key in sorted(self._held)
            if (action := self._action_of(key, player)) is not None and self._legal(player, action)
        ]
        last = self._last.get(player)
        if player in self._pending:
            return self._pending[player]
        if down:
            return last if last in down else down[0]  # of two keys, the one pressed later
        if self._idle is not None and self._legal(player, self._idle):
            return self._idle
        return last if last is not None and self._legal(player, last) else None

    def _step(self, chosen: Mapping[int, Any]) -> None:
        """Steps with the humans' choices, counted from 0, and the agents' answers."""
        start = 0 if self.continuous else int(self._space.start)  # type: ignore[attr-defined]
        before, movers = getattr(self.stage, "state", None), self.stage.movers
        self.stage.step(
            {
                player: chosen[player] + start if player in chosen else choose(self._acting[player], self.stage, player)
                for player in self.stage.movers
            }
        )
        rewards = np.ravel(self.stage.rewards[-1])
        for player, acting in self._acting.items():
            acting.earned(rewards[player : player + 1])
        if self.belief is not None:
            watched = self.belief.player
            taken = np.ravel(self.stage.actions[-1])
            action = int(taken[movers.index(watched)]) - start if watched in movers else 0
            self.belief.saw(before, action, self.stage.state)  # type: ignore[attr-defined]
        self._last |= chosen
        self._pending = {}
        self._acted = time.monotonic()
        self.revision += 1

    # ------------------------------------------------------------------------------------------------ record, show

    def _keep(self) -> None:
        if self.stage.actions:
            name = ",".join("human" if agent is None else agent.name for agent in self.agents)
            self._kept.append(self.stage.trajectory(name))

    def finish(self) -> list[Trajectory]:
        """Returns all episodes with at least one step, the one in progress included."""
        self._keep()
        self.left = True
        return self._kept

    def picture(self) -> Any:
        """Returns what the player in question sees: the human who decides, else the first; all of it with `reveal`.

        Where drawings show what the acting player knows (cards, say), a human keeps the last picture of their own turn
        while an agent acts.
        """
        deciding = self._deciding()
        if self._shows_mover and not self.reveal and not deciding and not self.stage.ended:
            return self._picture or words_scene(self._status())
        self._picture = self.stage.picture(None if self.reveal else (deciding or self.humans)[0])
        return self._picture

    def lines(self) -> list[Line]:
        """Returns what the panel says: how it stands, then which key does what."""
        stage = self.stage
        several = len(stage.names) > 1
        lines = [Line(f"{self.task.name}", strong=True), Line(f"step {len(stage.actions)}")]
        for player, name in enumerate(stage.names):
            label = f"{name}: " if several else ""
            lines.append(
                Line(f"{label}return {stage.returns[player]:.4g}", color=player_color(player) if several else "")
            )
        lines += [Line(""), Line(self._status(), strong=True)]
        shown = self._shown_humans()
        for player in shown:
            if len(shown) > 1:
                lines.append(Line(stage.names[player], color=player_color(player), strong=True))
            lines += self._legend(player)
        lines.append(Line(""))
        lines += [Line("restart", "r"), Line("go on" if self.paused else "pause", "p")]
        lines += [Line("single step", "space"), Line("leave", "escape")]
        if self.belief is not None:
            lines += [Line(""), *self.belief.lines(stage.state, stage.ended)]  # type: ignore[attr-defined]
        return lines

    def _shown_humans(self) -> list[int]:
        return self.humans if self.stage.simultaneous else (self._deciding() or self.humans)[:1]

    def _status(self) -> str:
        stage = self.stage
        if stage.ended:
            return "the end" if stage.terminated else "time is up"
        if self.paused:
            return "paused"
        if self._waiting:
            return "press a key to begin"
        if self.realtime:
            return "running"
        deciding = self._deciding()
        if not deciding:
            return f"{stage.names[stage.movers[0]]} is thinking" if stage.movers else ""
        if len(stage.names) == 1:
            return "your move"
        return " and ".join(stage.names[player] for player in deciding) + (" decides" if len(deciding) == 1 else "")

    def _legend(self, player: int) -> list[Line]:
        if self.continuous:
            pairs = (("left", "right"), ("down", "up"), ("a", "d"), ("s", "w"))
            size = int(np.prod(self._space.shape or ()))
            name = "force" if size == 1 else "dimension"
            lines = []
            for k, (minus, plus) in enumerate(pairs[:size]):
                number = "" if size == 1 else f" {k}"
                lines += [Line(f"{name}{number} −", minus), Line(f"{name}{number} +", plus)]
            return [*lines, Line("with it: half", "shift")]
        names, ended = self.task.action_names, self.stage.ended
        keys = self._keys[player]
        if keys is None:
            offered = self._offered()
            page = offered[self._page * PAGE : (self._page + 1) * PAGE]
            lines = [Line(names[action], str(k + 1), dim=ended) for k, action in enumerate(page)]
            pages = max(1, -(-len(offered) // PAGE))
            return [*lines, Line(f"page {self._page + 1} of {pages}", "pagedown")]
        decided = player in self._pending
        return [
            Line(names[action], key, dim=ended or decided or not self._legal(player, action))
            for key, action in sorted(keys.items(), key=lambda item: item[1])
        ]


def _is_realtime(task: Task) -> bool:
    """Returns whether time goes on without a key: continuous actions or states, and players who do not take turns."""
    if isinstance(task.action_space, gymnasium.spaces.Box):
        return True
    if task.world is None:
        return isinstance(task.observation_space, gymnasium.spaces.Box)
    world = task.world
    return world.layouts()[0].num_floats > 0 and (world.players == 1 or world.simultaneous)
