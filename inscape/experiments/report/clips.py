"""Short clips of environments that draw themselves, for the episode player."""

from __future__ import annotations

import io
import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from inscape.experiments.numbers import number_text
from inscape.experiments.report.sections import Frame, Picture, PlayerEpisode

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task
    from inscape.experiments.runs.run import Run
    from inscape.experiments.viewing.watch import Tile

CLIP_FPS = 20.0
CLIP_WIDTH = 360
"""Pixels across, at most."""

CLIP_FRAMES = 200
"""Frames kept of an episode; longer ones are cut."""

CLIP_BYTES = 1 << 20
"""Bytes kept of an episode: a busy picture takes more than a plain one."""


def clip(run: Run, task: Task, agent: str, color: int, whose: str = "") -> list[PlayerEpisode]:
    """Returns an episode of a run's agent as it is now, drawn by the environment; none where it cannot be had.

    Why not is logged: the environment and the agent may be somebody else's, and the rest of a report needs neither.

    Args:
        run: a run.
        task: what it was trained in, not an Inscape world.
        agent, color: as in `PlayerEpisode`.
        whose: in front of the title.
    """
    from inscape.envs.tasks.text_task import TextTask
    from inscape.experiments.runs.loop import EVALUATION_SEED
    from inscape.experiments.runs.resuming import load_agent
    from inscape.experiments.viewing.watch import episode_tiles

    if isinstance(task, TextTask):  # read, not drawn: inscape watch prints its episodes
        return []
    seed = EVALUATION_SEED + run.settings.seed
    try:
        frames, last, whole = _frames(episode_tiles(task, load_agent(run)[0], seed, None))
    except Exception as error:  # whatever third-party code raises
        logging.getLogger("inscape").warning("No clip of %s in %s: %s", run.path, task.name, error)
        return []
    gained = " and ".join(number_text(float(total)) for total in np.ravel(last.total))
    outcome = last.words if whole else f"cut after {last.step} steps"
    title = f"{whose}return {gained}" if whole else f"{whose}the first {last.step} steps"
    return [PlayerEpisode(title, tuple(frames), agent, outcome, color)]


def _frames(tiles: Any) -> tuple[list[Frame], Tile, bool]:
    """Returns the frames, the last tile that was drawn, and whether the episode ended in it."""
    frames: list[Frame] = []
    size, before, last = 0, None, None
    try:
        for tile in tiles:
            if before is not None and frames:
                reward = float(tile.reward) if np.ndim(tile.reward) == 0 else None
                frames[-1] = Frame(frames[-1].scene, before.words, reward)
            picture = picture_of(tile.picture)
            size += len(picture.webp)
            if last is not None and (len(frames) >= CLIP_FRAMES or size > CLIP_BYTES):
                break
            frames.append(Frame(picture))
            before = last = tile
    finally:
        tiles.close()
    assert last is not None
    return frames, last, last.ended


def picture_of(picture: np.ndarray) -> Picture:
    """Returns `[H, W, 3]` uint8 as a picture of the player, at most `CLIP_WIDTH` across."""
    from PIL import Image

    image = Image.fromarray(picture)
    if image.width > CLIP_WIDTH:
        image = image.resize((CLIP_WIDTH, max(1, round(image.height * CLIP_WIDTH / image.width))), Image.Resampling.BOX)
    file = io.BytesIO()
    image.save(file, "WEBP", quality=70, method=2)
    return Picture(image.width, image.height, file.getvalue())
