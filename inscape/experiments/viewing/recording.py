"""Videos of an episode every so often while an agent learns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from inscape.agents.learning.apart import apart
from inscape.errors import UsageError, whole_number
from inscape.experiments.runs.callbacks import Callback

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task
    from inscape.experiments.runs.callbacks import Training

VIDEOS = "videos"
LONGEST = 1000
"""Frames of a video, and steps of an episode in a world, at most."""


class RecordVideo(Callback):
    """Writes an episode of the agent to `videos/step-<n>.mp4` in the run's folder every so many steps:
    `train(…, out=FOLDER, video_every=10_000)`.

    It is played in a copy of the environment and with random numbers of its own, so that what is learned does not
    depend on it; the seed is the same each time. Gymnasium's `RecordVideo`, Stable-Baselines3's `VecVideoRecorder`.

    Args:
        every: environment steps between videos.

    Raises:
        UsageError: a number below 1; when training starts: the run has no folder, or the environment cannot be drawn.
    """

    def __init__(self, every: int) -> None:
        self.every = whole_number("video_every =", every, 1)
        self.before = 0

    def on_start(self, training: Training) -> None:
        self.before = training.steps
        folder = training.run.folder
        if folder is None:
            raise UsageError("videos of a run without a folder", expected="train(…, out=FOLDER)")
        require_drawing(training.task)
        for leftover in (folder / VIDEOS).glob(".step-*.writing-*"):  # of a process killed while it wrote
            leftover.unlink(missing_ok=True)

    def on_step(self, training: Training, metrics: Mapping[str, float]) -> None:
        from inscape.experiments.runs.loop import EVALUATION_SEED, evaluated_casts
        from inscape.experiments.viewing.watch import record_video

        before, self.before = self.before, training.steps
        if training.steps // self.every == before // self.every:
            return
        seed, task = EVALUATION_SEED + training.run.settings.seed, _limited(training.task)
        path = Path(training.run.path) / VIDEOS / f"step-{training.steps}.mp4"
        with apart(training.agent, seed):
            record_video(evaluated_casts(training.agent, task, seed)[0][0], task, seed, path, LONGEST)


def require_drawing(task: Task) -> None:
    """Raises `UsageError` where nothing can be drawn."""
    from inscape.envs.tasks.pettingzoo import PettingZooTask

    if task.world is not None:
        return  # of a world that does not say how, its state is written
    try:
        env = task.make() if isinstance(task, PettingZooTask) else task.env(render_mode="rgb_array")
    except UsageError as error:
        raise UsageError(
            f"videos of {task.name}: {error.found}", expected='an environment with the render mode "rgb_array"',
            hint="leave out video_every (--video-every)",
        ) from error  # fmt: skip
    modes = env.metadata.get("render_modes") or ()
    env.close()
    if "rgb_array" not in modes:
        raise UsageError(
            f"videos of {task.name}, whose render modes are {', '.join(map(str, modes)) or 'none'}",
            expected='an environment with the render mode "rgb_array"', hint="leave out video_every (--video-every)",
        )  # fmt: skip


def _limited(task: Task) -> Task:
    """Returns a world with a time limit of a video's length; other environments are cut as they are drawn."""
    limit = task.max_episode_steps
    if task.world is None or (limit is not None and limit <= LONGEST):
        return task
    return replace(task, max_episode_steps=LONGEST)
