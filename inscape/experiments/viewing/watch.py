"""Watching agents at work, or recorded episodes: a window where there is a display, else a video file."""

from __future__ import annotations

import itertools
import math
import re
import textwrap
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from inscape.envs.law.streams import copy_seeds
from inscape.envs.rendering.rasterizer import (
    Window,
    as_picture,
    fitted,
    has_display,
    load_pygame,
    pixel_size,
    render_caption,
    render_scene,
)
from inscape.envs.rendering.scene import color_of
from inscape.envs.rendering.window import ROW, Line, panel_picture
from inscape.envs.tasks.pettingzoo import PettingZooTask
from inscape.envs.tasks.resolve import Given, as_task, task_from_json
from inscape.errors import UsageError
from inscape.experiments.numbers import number_text
from inscape.experiments.runs.progress import Progress
from inscape.experiments.viewing.video import VideoWriter

if TYPE_CHECKING:
    from gymnasium.vector import VectorEnv

    from inscape.envs.data.trajectory import Trajectory
    from inscape.envs.tasks.task import Task
    from inscape.theory_of_mind.observers.exact import ExactObserver

DEFAULT_FOLDER = Path("runs/watch")

MAX_TILES = 64
"""Copies side by side; more could not be distinguished."""

HOLD_SECONDS = 0.8
"""How long the end of an episode stays in view."""


def watch(
    agent: Any,
    task: Given,
    seed: int = 0,
    episodes: int = 1,
    save: str | Path | None = None,
    copies: int = 1,
    fps: float | None = None,
    size: int = 480,
    observer: ExactObserver | None = None,
) -> Path | None:
    """Shows episodes in a window, or writes them to a file; drawing reads states and changes nothing.

    Inscape worlds are drawn from recorded episodes, the same that `rollout(agent, task, episodes, seed)` returns with
    as many copies; other environments draw themselves as they are played, those of several players as the recorded
    episodes are played again.

    Args:
        agent: an agent, by name or in hand; in a world of several players a list, one for each, or one that acts for
            all.
        task: what to act in, or what stands for it (`resolve_task`).
        seed: seed of the environment's random stream.
        episodes: how many; raised to `copies` if smaller.
        save: an .mp4 or .gif, or a folder for pictures. None opens a window where there is a display (Esc or q closes
            it), and writes `runs/watch/<task>-<agent>.mp4` where there is none.
        copies: episodes shown side by side, at most 64.
        fps: frames per second; None suits the task: its own `render_fps`, 5 in worlds of discrete states, else 30.
        size: width of the picture in pixels.
        observer: what it believes about the agent is shown at the right of the picture, as bars that move with it.

    Returns:
        The file, or None after a window.

    Raises:
        UsageError: a file type that is not known, an environment that cannot draw itself, or numbers out of range.
    """
    from inscape.agents.registry import make_agent

    _require_sizes(episodes, copies, size)
    _require_one_copy(observer, copies)
    task = as_task(task)
    given = agent if isinstance(agent, list | tuple) else [agent]
    agents = [make_agent(one, task, seed=seed + k) for k, one in enumerate(given)]
    count = max(episodes, copies)

    def record() -> list[Trajectory]:
        from inscape.agents.rollout import rollout

        return rollout(agents if len(agents) > 1 else agents[0], task, count, seed, max_copies=copies)

    pace = fps if fps is not None else natural_fps(task)
    film = _Film(task, copies, size, pace, record, agents[0], seed, count, observer)
    return _show(film, ",".join(one.name for one in agents), save)


def record_video(agents: Sequence[Any], task: Task, seed: int, path: Path, longest: int) -> None:
    """Writes an episode of agents, one for each player, to a video file: its first `longest` frames at most.

    Raises:
        UsageError: the task cannot be drawn, or the file cannot be written.
    """
    from inscape.agents.rollout import rollout

    def record() -> list[Trajectory]:
        return rollout(list(agents) if len(agents) > 1 else agents[0], task, 1, seed, max_copies=1)

    film = _Film(task, 1, 480, natural_fps(task), record, agents[0], seed)
    with VideoWriter(path, film.fps) as video, closing(film.frames()) as frames:
        for frame in itertools.islice(frames, longest):
            video.add(frame)


def replay(
    trajectories: Sequence[Trajectory],
    save: str | Path | None = None,
    copies: int = 1,
    fps: float | None = None,
    size: int = 480,
    observer: ExactObserver | None = None,
) -> Path | None:
    """Shows recorded episodes as `watch` does; returns the file, or None after a window.

    Raises:
        UsageError: as `watch`; or nothing was recorded that could be drawn (no states, or episodes of several tasks).
    """

    _require_sizes(len(trajectories), copies, size)
    _require_one_copy(observer, copies)
    tasks = {repr(trajectory.task) for trajectory in trajectories}
    if len(tasks) > 1 or not trajectories[0].task:
        raise UsageError(f"episodes of {len(tasks)} tasks", expected="episodes of one task, with its name")
    task = task_from_json(trajectories[0].task, "the episodes' file")
    if task.world is None or any(trajectory.states is None for trajectory in trajectories):
        raise UsageError(
            f"the recorded episodes of {task.name} hold no states to draw",
            expected="episodes in an Inscape world; other environments draw themselves only while they are played",
            hint=f"inscape watch AGENT {task.name}",
        )
    for trajectory in trajectories:
        if trajectory.states is not None:
            task.world.require_states(trajectory.states, "the recorded states")
    pace = fps if fps is not None else natural_fps(task)
    film = _Film(task, copies, size, pace, lambda: list(trajectories), observer=observer)
    return _show(film, trajectories[0].agent, save)


def _require_sizes(episodes: int, copies: int, size: int) -> None:
    if not 1 <= copies <= MAX_TILES or episodes < 1 or size < 64:
        raise UsageError(
            f"{episodes} episodes, {copies} copies, {size} pixels",
            expected=f"at least 1 episode, 1 to {MAX_TILES} copies, at least 64 pixels",
        )


def _require_one_copy(observer: ExactObserver | None, copies: int) -> None:
    if observer is not None and copies > 1:
        raise UsageError(f"an observer beside {copies} copies", expected="one copy: its bars are about one agent")


def _show(film: _Film, agent: str, save: str | Path | None) -> Path | None:
    if save is None and has_display():
        window = Window(f"{agent} in {film.task.name}", fps=film.fps)
        for frame in film.frames():
            if not window.show_frame(frame):
                break
        window.close()
        return None
    path = Path(save) if save is not None else DEFAULT_FOLDER / f"{_file_name(f'{film.task.name}-{agent}')}.mp4"
    with VideoWriter(path, film.fps) as video:
        for frame in film.frames():
            video.add(frame)
    return path


def natural_fps(task: Task) -> float:
    """Returns a pace that suits the eye: slow where states jump, the environment's own where it names one."""
    if task.world is not None:
        return 30.0 if task.world.layouts()[0].num_floats else 5.0
    env = task.make() if isinstance(task, PettingZooTask) else task.env()
    pace = env.metadata.get("render_fps") or 30.0
    env.close()
    return float(min(60.0, pace))


def _file_name(text: str) -> str:
    return re.sub(r"[^\w.-]+", "-", text.replace(".py:", "-"))


@dataclass(frozen=True)
class Tile:
    """What one copy shows at one time.

    Attributes:
        picture: `[H, W, 3]` uint8.
        step: actions taken so far.
        words: the action taken next, or how the episode ended.
        reward: just received; of several players `[M]`.
        total: return so far; likewise.
        ended: the episode is over.
        beside: lines of a panel at the right of the picture; empty for none.
    """

    picture: np.ndarray
    step: int
    words: str
    reward: Any
    total: Any
    ended: bool
    beside: tuple[Line, ...] = ()

    def captioned(self) -> np.ndarray:
        """Returns the picture above a bar that says what the tile does; several players' rewards are left out."""
        facts = [f"step {self.step}", self.words]
        if np.ndim(self.total) == 0:
            facts.append(f"reward {number_text(float(self.reward))}")
        facts.append("return " + " ".join(number_text(float(total)) for total in np.ravel(self.total)))
        picture = self.picture if not self.beside else _with_panel(self.picture, self.beside)
        width = picture.shape[1]
        lines = 1 if width >= 400 else 2 if width >= 160 else len(facts)
        height = 28 if lines == 1 else 20 if lines == 2 else 14
        return np.concatenate([picture, render_caption(facts, width, height, lines)])


def episode_tiles(task: Task, agent: Any, seed: int, size: int | None) -> Generator[Tile]:
    """Returns an episode of an agent, tile by tile, its end last; the environment is closed with the generator.

    Args:
        task, agent, seed: as in `watch`.
        size: width of the picture in pixels; None: as an environment that draws itself draws it.
    """
    from inscape.agents.adapters import as_agent
    from inscape.agents.rollout import rollout

    acting = as_agent(agent)
    film = _Film(task, 1, size, 1.0, lambda: rollout(acting, task, 1, seed, max_copies=1), acting, seed)
    tiles = film.tiles()
    try:
        for tile in tiles:
            yield tile[0]
            if tile[0].ended:
                return
    finally:
        tiles.close()


@dataclass(frozen=True)
class _Film:
    """What is shown: an iterator of frames of one size, `copies` tiles each.

    Attributes:
        record: returns the episodes of an Inscape world.
        agent, seed, episodes: who plays an environment that draws itself.
        observer: whose beliefs are shown beside an Inscape world, of one copy.
    """

    task: Task
    copies: int
    size: int | None
    fps: float
    record: Callable[[], list[Trajectory]]
    agent: Any = None
    seed: int = 0
    episodes: int = 1
    observer: ExactObserver | None = None

    def frames(self) -> Generator[np.ndarray]:
        """Returns the frames, one `[H, W, 3]` at a time."""
        places = 0
        for tiles in self.tiles():
            places = max(places, len(tiles))  # the last round may show fewer
            yield _grid([tile.captioned() for tile in tiles], places)

    def tiles(self) -> Generator[list[Tile]]:
        """Returns what the frames are made of: a tile for each copy that is shown."""
        if self.task.world is not None:
            return self._world_tiles()
        if isinstance(self.task, PettingZooTask):
            return self._players_tiles(self.task)
        return self._environment_tiles()

    @property
    def tile_width(self) -> int | None:
        return None if self.size is None else max(48, self.size // math.ceil(math.sqrt(self.copies)))

    @property
    def hold(self) -> int:
        return max(1, round(self.fps * HOLD_SECONDS))

    # Inscape worlds: first recorded, then drawn ---------------------------------------------------------------------

    def _world_tiles(self) -> Generator[list[Tile]]:
        recorded = self.record()
        total, done = sum(len(t) + 1 for t in recorded), 0
        with Progress("Drawing", total) as progress:
            for first in range(0, len(recorded), self.copies):
                shown = recorded[first : first + self.copies]
                longest = max(len(t) for t in shown)
                beside = [self._beliefs(t) for t in shown]
                for step in range(longest + self.hold):
                    yield [self._draw(t, min(step, len(t)), lines) for t, lines in zip(shown, beside, strict=True)]
                    done += sum(step <= len(t) for t in shown)
                    progress.update(done)

    def _beliefs(self, trajectory: Trajectory) -> Sequence[tuple[Line, ...]]:
        if self.observer is None:
            return ()
        from inscape.experiments.viewing.beliefs import lines_along

        return lines_along(self.observer, trajectory, self.task)

    def _draw(self, trajectory: Trajectory, t: int, beside: Sequence[tuple[Line, ...]] = ()) -> Tile:
        world = self.task.world
        assert world is not None
        assert trajectory.states is not None
        scene = world.scene(trajectory.states, t)
        tile = self._told(trajectory, t, render_scene(scene, *pixel_size(scene, self.tile_width)))
        return replace(tile, beside=beside[t]) if beside else tile

    def _told(self, trajectory: Trajectory, t: int, frame: np.ndarray) -> Tile:
        """Returns the frame with what a recorded episode says of its step t."""
        if t == len(trajectory):
            words = "terminated" if trajectory.terminated else "truncated"
        else:
            words = action_text(self.task, trajectory.actions[t])
        rewards = trajectory.rewards
        reward = np.zeros_like(rewards[0]) if t == 0 else rewards[t - 1]
        return Tile(frame, t, words, reward, rewards[:t].sum(0), t == len(trajectory))

    # several players elsewhere: first recorded, then played again with the same seeds and actions, drawing ------------

    def _players_tiles(self, task: PettingZooTask) -> Generator[list[Tile]]:
        load_pygame()
        recorded = self.record()
        envs = [task.vector_env(1, "next-step", "rgb_array") for _ in recorded[: self.copies]]
        try:
            for env, seed in zip(envs, copy_seeds(self.seed, len(envs)), strict=True):
                env.reset(seed=seed)
            with Progress("Drawing", len(recorded)) as progress:
                for first in range(0, len(recorded), self.copies):
                    shown = recorded[first : first + self.copies]
                    if first:
                        for env, trajectory in zip(envs, shown, strict=False):
                            env.step(trajectory.actions[:1])  # begins the next episode, whatever the action
                    tiles = [self._drawn(env, trajectory, 0) for env, trajectory in zip(envs, shown, strict=False)]
                    yield list(tiles)
                    for step in range(1, max(len(t) for t in shown) + 1):
                        for k, trajectory in enumerate(shown):
                            if step <= len(trajectory):
                                envs[k].step(trajectory.actions[step - 1 : step])
                                tiles[k] = self._drawn(envs[k], trajectory, step)
                        yield list(tiles)
                    yield from itertools.repeat(tiles, self.hold)
                    progress.update(first + len(shown))
        finally:
            for env in envs:
                env.close()

    def _drawn(self, env: VectorEnv[Any, Any, Any], trajectory: Trajectory, t: int) -> Tile:
        frames = env.render()
        assert frames is not None
        return self._told(trajectory, t, _sized(as_picture(frames[0], self.task.name), self.tile_width))

    # other environments: drawn as they are played -------------------------------------------------------------------

    def _environment_tiles(self) -> Generator[list[Tile]]:
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

    def _play(self, seats: Sequence[_Seat]) -> Generator[list[Tile]]:
        from inscape.agents.batches import stacked
        from inscape.agents.vector_actor import VectorActor, check_actions

        player = VectorActor(self.agent, len(seats))
        for step in itertools.count():
            acting = [i for i, seat in enumerate(seats) if not seat.ending]
            if not acting:
                break
            masks = [seats[i].mask for i in acting]
            some = next((m for m in masks if m is not None), None)
            mask = None if some is None else np.stack([np.ones_like(some) if m is None else m for m in masks])
            observations = stacked([seats[i].observation for i in acting])
            chosen = player.act(observations, mask, np.array(acting))
            space = seats[0].env.action_space
            actions = check_actions(chosen, space, np.array(acting), agent=self.agent.name, step=step, action_mask=mask)
            chosen_by = dict(zip(acting, actions, strict=True))
            yield [seat.picture(chosen_by.get(i)) for i, seat in enumerate(seats)]
            for i, action in chosen_by.items():
                seats[i].step(action)
            player.earned(np.array([0.0 if i not in chosen_by else seat.reward for i, seat in enumerate(seats)]))
        for _ in range(self.hold):
            yield [seat.picture(None) for seat in seats]


class _Seat:
    """One running copy of an ordinary Gymnasium environment, with what its caption says."""

    def __init__(self, task: Task, seed: int, width: int | None) -> None:
        self.task, self.width = task, width
        self.env = task.env(render_mode="rgb_array")
        self.observation, info = self.env.reset(seed=seed)
        self.mask: np.ndarray | None = info.get("action_mask")
        self.steps, self.reward, self.total, self.ending = 0, 0.0, 0.0, ""

    def step(self, action: Any) -> None:
        self.observation, reward, terminated, truncated, info = self.env.step(action)
        self.mask = info.get("action_mask")
        self.steps, self.reward, self.total = self.steps + 1, float(reward), self.total + float(reward)
        self.ending = "terminated" if terminated else "truncated" if truncated else ""

    def picture(self, action: Any) -> Tile:
        frame = as_picture(self.env.render(), self.task.name)
        words = self.ending if action is None else action_text(self.task, action)
        return Tile(_sized(frame, self.width), self.steps, words, self.reward, self.total, action is None)


# ----------------------------------------------------------------------------------------------------------- pictures


def _with_panel(picture: np.ndarray, lines: Sequence[Line]) -> np.ndarray:
    """Returns a picture with a panel of lines at its right; below a picture too low for them is paper."""
    low = (len(lines) + 1) * ROW - len(picture)
    if low > 0:
        ground = np.empty((low, *picture.shape[1:]), np.uint8)
        ground[:] = [int(color_of("paper")[k : k + 2], 16) for k in (1, 3, 5)]
        picture = np.concatenate([picture, ground])
    return np.concatenate([picture, panel_picture(lines, len(picture))], axis=1)


def action_text(task: Task, action: Any) -> str:
    if task.simultaneous and np.ndim(action) == 1 and task.action_names:
        start = int(getattr(task.action_space, "start", 0))
        return " + ".join(task.action_names[int(a) - start] for a in action)
    if np.ndim(action) == 0 and task.action_names:
        start = int(getattr(task.action_space, "start", 0))
        return task.action_names[int(action) - start]
    if isinstance(action, (dict, tuple, str)):
        return textwrap.shorten(str(action), 40, placeholder=" …")
    return " ".join(number_text(float(number), 2) for number in np.ravel(action)[:6])


def _sized(frame: np.ndarray, width: int | None) -> np.ndarray:
    return frame if width is None else fitted(frame, width)


def _grid(tiles: Sequence[np.ndarray], places: int) -> np.ndarray:
    """Returns tiles in rows, about square, with room for `places`, on a dark ground; smaller tiles are padded."""
    if places == 1:
        return tiles[0]
    columns = math.ceil(math.sqrt(places))
    rows = math.ceil(places / columns)
    height, width = (max(tile.shape[axis] for tile in tiles) for axis in (0, 1))
    gap = 4
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), 30, np.uint8)
    for index, tile in enumerate(tiles):
        top, left = index // columns * (height + gap), index % columns * (width + gap)
        sheet[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    return sheet
