"""Watching an agent: a window where there is a display, else a video file."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from inscape.envs.rendering import Window, has_display, load_pygame, pixel_size, render_caption, render_scene, shrink
from inscape.errors import UsageError
from inscape.experiments.progress import Progress
from inscape.experiments.video import VideoWriter

if TYPE_CHECKING:
    from inscape.envs.registry import Task
    from inscape.envs.trajectory import Trajectory

DEFAULT_FOLDER = Path("runs/watch")

MAX_TILES = 64
"""Copies side by side; more could not be told apart."""

HOLD_SECONDS = 0.8
"""How long the end of an episode stays in view."""


def watch(
    agent: Any,
    task: Task,
    seed: int = 0,
    episodes: int = 1,
    save: str | Path | None = None,
    copies: int = 1,
    fps: float | None = None,
    size: int = 640,
) -> Path | None:
    """Shows episodes in a window, or writes them to a file; drawing reads states and changes nothing.

    Worlds of ours are drawn from recorded episodes, the same that `rollout(agent, task, episodes, seed)` returns with
    as many copies; other environments draw themselves as they are played.

    Args:
        agent: an `Agent`, or any object with `act`.
        task: what to act in.
        seed: seed of the environment's chance.
        episodes: how many; raised to `copies` if smaller.
        save: an .mp4 or .gif. None opens a window where there is a display (Esc or q closes it), and writes
            `runs/watch/<task>-<agent>.mp4` where there is none.
        copies: episodes shown side by side, at most 64.
        fps: frames per second; None suits the task: its own `render_fps`, 5 in worlds of discrete states, else 30.
        size: width of the picture in pixels.

    Returns:
        The file, or None after a window.

    Raises:
        UsageError: a file type that is not known, an environment that cannot draw itself, or numbers out of range.
    """
    if not 1 <= copies <= MAX_TILES or episodes < 1 or size < 64:
        raise UsageError(
            f"{episodes} episodes, {copies} copies, {size} pixels",
            expected=f"at least 1 episode, 1 to {MAX_TILES} copies, at least 64 pixels",
        )
    from inscape.agents.interface import as_agent

    agent = as_agent(agent)
    pace = fps if fps is not None else natural_fps(task)
    film = _Film(agent, task, seed, max(episodes, copies), copies, size, pace)
    if save is None and has_display():
        window = Window(f"{agent.name} in {task.name}", fps=pace)
        for frame in film.frames():
            if not window.show_frame(frame):
                break
        window.close()
        return None
    path = Path(save) if save is not None else DEFAULT_FOLDER / f"{_file_name(f'{task.name}-{agent.name}')}.mp4"
    with VideoWriter(path, pace) as video:
        for frame in film.frames():
            video.add(frame)
    return path


def natural_fps(task: Task) -> float:
    """Returns a pace that suits the eye: slow where states jump, the environment's own where it names one."""
    if task.world is not None:
        return 30.0 if task.world.layouts()[0].num_floats else 5.0
    env = task.env()
    pace = env.metadata.get("render_fps") or 30.0
    env.close()
    return float(min(60.0, pace))


def _file_name(text: str) -> str:
    return re.sub(r"[^\w.-]+", "-", text.replace(".py:", "-"))


@dataclass(frozen=True)
class _Film:
    """What is shown: an iterator of frames of one size, `copies` tiles each."""

    agent: Any
    task: Task
    seed: int
    episodes: int
    copies: int
    size: int
    fps: float

    def frames(self) -> Iterator[np.ndarray]:
        """Returns the frames, one `[H, W, 3]` at a time."""
        make = self._world_tiles if self.task.world is not None else self._environment_tiles
        for tiles in make():
            yield _grid(tiles)

    @property
    def tile_width(self) -> int:
        return max(48, self.size // math.ceil(math.sqrt(self.copies)))

    @property
    def hold(self) -> int:
        return max(1, round(self.fps * HOLD_SECONDS))

    # worlds of ours: first recorded, then drawn ---------------------------------------------------------------------

    def _world_tiles(self) -> Iterator[list[np.ndarray]]:
        from inscape.agents.rollout import rollout

        recorded = rollout(self.agent, self.task, self.episodes, self.seed, max_copies=self.copies)
        total, done = sum(len(t) + 1 for t in recorded), 0
        with Progress("Drawing", total) as progress:
            for first in range(0, len(recorded), self.copies):
                shown = recorded[first : first + self.copies]
                longest = max(len(t) for t in shown)
                for step in range(longest + self.hold):
                    yield [self._draw(t, min(step, len(t))) for t in shown]
                    done += sum(step <= len(t) for t in shown)
                    progress.update(done)

    def _draw(self, trajectory: Trajectory, t: int) -> np.ndarray:
        world = self.task.world
        assert world is not None
        assert trajectory.states is not None
        scene = world.scene(trajectory.states, t)
        frame = render_scene(scene, *pixel_size(scene, self.tile_width))
        over = t == len(trajectory)
        ending = "terminated" if trajectory.terminated else "truncated"
        action = ending if over else _action_text(self.task, trajectory.actions[t])
        reward = 0.0 if t == 0 else float(trajectory.rewards[t - 1])
        return _captioned(frame, t, action, reward, float(trajectory.rewards[:t].sum()))

    # other environments: drawn as they are played -------------------------------------------------------------------

    def _environment_tiles(self) -> Iterator[list[np.ndarray]]:
        load_pygame()  # as an environment does in its own way: without a display, this way makes no noise
        with Progress("Playing", self.episodes) as progress:
            for first in range(0, self.episodes, self.copies):
                count = min(self.copies, self.episodes - first)
                seats = [_Seat(self.task, self.seed + first + i, self.tile_width) for i in range(count)]
                try:
                    yield from self._play(seats)
                finally:
                    for seat in seats:
                        seat.env.close()
                progress.update(first + count)

    def _play(self, seats: Sequence[_Seat]) -> Iterator[list[np.ndarray]]:
        from inscape.agents.interface import check_actions

        for step in itertools.count():
            acting = [i for i, seat in enumerate(seats) if not seat.ending]
            if not acting:
                break
            masks = [seats[i].mask for i in acting]
            mask = None if masks[0] is None else np.stack([m for m in masks if m is not None])
            observations = np.stack([np.asarray(seats[i].observation) for i in acting])
            chosen = self.agent.act(observations, mask)
            space = seats[0].env.action_space
            actions = check_actions(chosen, space, np.array(acting), agent=self.agent.name, step=step, action_mask=mask)
            chosen_by = dict(zip(acting, actions, strict=True))
            yield [seat.picture(chosen_by.get(i)) for i, seat in enumerate(seats)]
            for i, action in chosen_by.items():
                seats[i].step(action)
        for _ in range(self.hold):
            yield [seat.picture(None) for seat in seats]


class _Seat:
    """One running copy of an ordinary Gymnasium environment, with what its caption says."""

    def __init__(self, task: Task, seed: int, width: int) -> None:
        self.task, self.width = task, width
        self.env = task.env(render_mode="rgb_array")
        self.observation, info = self.env.reset(seed=seed)
        self.mask: np.ndarray | None = info.get("action_mask")
        self.steps, self.reward, self.total, self.ending = 0, 0.0, 0.0, ""

    def step(self, action: Any) -> None:
        discrete = np.ndim(action) == 0
        self.observation, reward, terminated, truncated, info = self.env.step(int(action) if discrete else action)
        self.mask = info.get("action_mask")
        self.steps, self.reward, self.total = self.steps + 1, float(reward), self.total + float(reward)
        self.ending = "terminated" if terminated else "truncated" if truncated else ""

    def picture(self, action: Any) -> np.ndarray:
        frame: Any = self.env.render()
        if not (isinstance(frame, np.ndarray) and frame.ndim == 3 and frame.shape[2] == 3):
            raise UsageError(
                f"{self.task.name} drew {type(frame).__name__}",
                expected='an environment with render_mode="rgb_array"',
                hint="evaluate it instead: inscape evaluate",
            )
        words = self.ending if action is None else _action_text(self.task, action)
        return _captioned(shrink(frame, self.width), self.steps, words, self.reward, self.total)


# ----------------------------------------------------------------------------------------------------------- pictures


def _action_text(task: Task, action: Any) -> str:
    if np.ndim(action) == 0 and task.action_names:
        start = int(getattr(task.action_space, "start", 0))
        return task.action_names[int(action) - start]
    return " ".join(f"{number:.2f}" for number in np.ravel(action)[:6])


def _captioned(frame: np.ndarray, step: int, action: str, reward: float, total: float) -> np.ndarray:
    """Returns the frame above a bar that says: step, action (taken next), reward (just received), return so far."""
    words = [f"step {step}", action, f"reward {reward:.4g}", f"return {total:.4g}"]
    width = frame.shape[1]
    return np.concatenate([frame, render_caption(words, width, max(14, min(28, round(width * 0.06))))])


def _grid(tiles: Sequence[np.ndarray]) -> np.ndarray:
    """Returns tiles in rows, about square, on a dark ground; smaller tiles are padded."""
    if len(tiles) == 1:
        return tiles[0]
    columns = math.ceil(math.sqrt(len(tiles)))
    rows = math.ceil(len(tiles) / columns)
    height, width = (max(tile.shape[axis] for tile in tiles) for axis in (0, 1))
    gap = 4
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), 30, np.uint8)
    for index, tile in enumerate(tiles):
        top, left = index // columns * (height + gap), index % columns * (width + gap)
        sheet[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    return sheet
