"""A world played in the browser: the keys of `inscape play`, its pictures as scenes."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inscape.envs.rendering.scene import Scene
from inscape.errors import UsageError
from inscape.experiments.report.clips import picture_of
from inscape.experiments.report.packing import pack_player
from inscape.experiments.report.sections import Frame, PlayerEpisode, PlayerSection
from inscape.experiments.runs.storage.episodes import save_trajectories
from inscape.experiments.viewing.play import Session, fresh_file
from inscape.experiments.viewing.stage import agents_by_player
from inscape.experiments.viewing.watch import natural_fps

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task
    from inscape.theory_of_mind.observers.exact import ExactObserver

JSON = Any

KEYS = {
    "ArrowLeft": "left", "ArrowRight": "right", "ArrowUp": "up", "ArrowDown": "down", " ": "space",
    "PageDown": "pagedown", "PageUp": "pageup", "Tab": "tab", "Shift": "shift", "Enter": "return",
}  # fmt: skip
"""What a browser calls keys → what the window calls them; letters and digits are called the same."""

MOST_KEYS = 32
"""Keys in one report of the browser."""


class Playing:
    """One person at one page.

    Args:
        task: what is played.
        players: as `inscape play` takes them.
        seed: of the first episode.
        observer: what it believes about the first human is shown.
    """

    def __init__(self, task: Task, players: Sequence[str], seed: int, observer: ExactObserver | None = None) -> None:
        agents = agents_by_player(players, task, seed, humans=True)
        if None not in agents:
            raise UsageError("nobody plays", expected="human among the players")
        self.task, self.lock = task, threading.RLock()
        self.session = Session(task, agents, seed, observer=observer)
        self.pace = natural_fps(task) if self.session.realtime else 5.0
        self.saved: Path | None = None
        self._shown = -1

    def report(self, pressed: Sequence[Any], held: Sequence[Any], again: bool = False) -> JSON:
        """Takes in what the keyboard did and lets time pass; returns what is to be seen if that has changed.

        Args:
            pressed: keys that went down since the last report, in order, as the browser calls them.
            held: keys that are down.
            again: return everything, changed or not.
        """
        names = [self._key(key) for key in [*pressed, *held]]
        with self.lock:
            session = self.session
            for key in names[: len(pressed)]:
                if not session.left:
                    session.press(key)
            if session.left:
                self.finish()
            else:
                session.tick(frozenset(names[len(pressed) :]))
            if session.revision == self._shown and not again:
                return {"changed": False}
            self._shown = session.revision
            return {"changed": True, **self.view()}

    def _key(self, key: Any) -> str:
        if not isinstance(key, str) or len(key) > 12:
            raise UsageError(f"the key {str(key)[:40]!r}", expected="a key's name")
        return KEYS.get(key, key.lower())

    def view(self) -> JSON:
        """Returns the picture as an episode of one frame, the panel's lines, and how it stands."""
        session = self.session
        picture = session.picture()
        scene = picture if isinstance(picture, Scene) else picture_of(picture)
        packed = pack_player(PlayerSection("", (PlayerEpisode("", (Frame(scene),)),)))
        return {
            "player": packed,
            "lines": [asdict(line) for line in session.lines()],
            "realtime": session.realtime,
            "fps": self.pace,
            "left": session.left,
            "saved": None if self.saved is None else str(self.saved),
        }

    def finish(self) -> None:
        """Leaves, and keeps what was played."""
        with self.lock:
            if self.saved is None and (played := self.session.finish()):
                self.saved = save_trajectories(fresh_file(self.task), played)
