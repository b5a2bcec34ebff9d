"""A curriculum over settings of a world, and the task that an agent learns in when it has one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import gymnasium as gym
import numpy as np

from inscape.envs.tasks.curriculum.cells import MOST, Cell, cells_of
from inscape.envs.tasks.curriculum.copies import CurriculumEnv, CurriculumVectorEnv
from inscape.envs.tasks.curriculum.teacher import LEAST, Lessons, Teacher, teacher_named
from inscape.envs.tasks.task import Autoreset, Task, json_value
from inscape.errors import UsageError, whole_number

if TYPE_CHECKING:
    from inscape.envs.world import World

CUSTOM = "custom"
"""How a teacher is stored that is a function in hand."""


@dataclass(frozen=True)
class Curriculum:
    """Settings of a world between which a teacher chooses, for each episode of training: `train(…, curriculum=…)`.

        train("ppo", "DoorKey", curriculum={"size": [5, 6, 8]})
        train("ppo", MyWorld(), curriculum=Curriculum({"slip": {"low": 0.0, "high": 0.4}}, teacher="uniform"))

    Args:
        settings: setting → list of values, or a range `{"low": …, "high": …}`, which is divided into `bins` parts (of
            whole numbers where both ends are whole). Every combination is a task; in a range, each episode draws its
            own value uniformly from the task's part.
        teacher: `"learning-progress"`, `"uniform"`, or a function from `Scores` to `[K]` weights.
        window: latest returns of each task that the teacher is shown.
        random_share: probability of a task drawn uniformly, so that none is given up for good.
        bins: see `settings`.

    Raises:
        UsageError: no tasks, or more than 200; a number out of range; no such teacher.
    """

    settings: Mapping[str, Any]
    teacher: str | Teacher = "learning-progress"
    window: int = 20
    random_share: float = 0.2
    bins: int = 8

    def __post_init__(self) -> None:
        whole_number("window =", self.window, LEAST)
        whole_number("bins =", self.bins, 1)
        if self.bins > MOST:
            raise UsageError(f"bins = {self.bins}", expected=f"1 to {MOST}")
        share = self.random_share
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0.0 <= share <= 1.0:
            raise UsageError(f"random_share = {share!r}", expected="a number from 0 to 1")
        if isinstance(self.teacher, str):
            teacher_named(self.teacher)
        elif not callable(self.teacher):
            raise UsageError(f"teacher = {self.teacher!r}", expected="a name, or a function from Scores to weights")
        _ = self.cells

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The tasks."""
        return cells_of(self.settings, self.bins)

    def lessons(self) -> Lessons:
        """Returns what keeps the returns of the tasks, and has none yet."""
        teacher = teacher_named(self.teacher) if isinstance(self.teacher, str) else self.teacher
        return Lessons(tuple(cell.name for cell in self.cells), teacher, self.window, float(self.random_share))

    def to_json(self) -> dict[str, Any]:
        """Returns it as JSON values; a function in hand as "custom"."""
        settings = {
            str(name): {key: json_value(end) for key, end in given.items()}
            if isinstance(given, Mapping)
            else [json_value(value) for value in given]
            for name, given in self.settings.items()
        }
        return {
            "settings": settings, "teacher": self.teacher if isinstance(self.teacher, str) else CUSTOM,
            "window": self.window, "random_share": self.random_share, "bins": self.bins,
        }  # fmt: skip

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Curriculum:
        """Returns what `to_json` stored.

        Raises:
            UsageError: it is not that; or its teacher was a function, which is to be given again.
        """
        if document.get("teacher") == CUSTOM:
            raise UsageError(
                "a curriculum whose teacher is a function", expected="that function, given again",
                hint="train(…, resume=True, curriculum=Curriculum(…, teacher=FUNCTION))",
            )  # fmt: skip
        try:
            return cls(**document)
        except TypeError as error:
            raise UsageError(f"a stored curriculum: {error}"[:160], expected="what Curriculum takes") from error


def as_curriculum(given: Any) -> Curriculum:
    """Returns a curriculum from one, or from its settings."""
    return given if isinstance(given, Curriculum) else Curriculum(given)


@dataclass(frozen=True, eq=False)
class CurriculumTask(Task):
    """A task as it is learned in with a curriculum: its copies are in settings of their own. It is no law, so `world`
    is None.

    Attributes:
        target: the task itself, which says what is observed, and which the agent is evaluated in.
        curriculum: the settings.
        lessons: what is known of them so far.
        cells: the tasks of the curriculum.
    """

    exact_env: ClassVar[bool] = True
    target: Task
    curriculum: Curriculum
    lessons: Lessons = field(init=False)
    cells: tuple[Cell, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "lessons", self.curriculum.lessons())
        object.__setattr__(self, "cells", self.curriculum.cells)
        for cell in self.cells:
            for settings in cell.corners():
                self._require_alike(self._made(settings))

    @cached_property
    def _spaces(self) -> tuple[gym.Space[Any], gym.Space[Any]]:
        return self.target.observation_space, self.target.action_space

    @property
    def action_names(self) -> tuple[str, ...]:
        """Names of the actions."""
        return self.target.action_names

    @cached_property
    def worlds(self) -> list[World]:
        """A world of each task."""
        return [self._made(cell.corners()[0]) for cell in self.cells]

    def world_in(self, number: int, settings: Mapping[str, Any]) -> World:
        """Returns the world of a task with these settings of it."""
        if self.cells[number].single:
            return self.worlds[number]
        return self._require_alike(self._made(settings))

    def limit_of(self, world: World) -> int | None:
        """Returns the time limit in a world: its own, but that of the target where that was given one."""
        own = self.target.world
        assert own is not None
        given = "max_episode_steps" in self.target.settings and "max_episode_steps" not in own.settings
        return self.target.max_episode_steps if given else world.max_episode_steps

    def no_workers(self) -> str:
        """Returns why its copies cannot be divided over worker processes."""
        return "the copies of a curriculum share a teacher"

    def env(self, render_mode: str | None = None) -> gym.Env[Any, Any]:
        """Returns one environment: each reset begins an episode in a task that the teacher draws."""
        if render_mode is not None:
            raise UsageError(f"render_mode {render_mode!r} in a curriculum", expected="the world itself to look at")
        return CurriculumEnv(self)

    def unchecked_env(self, render_mode: str | None = None) -> gym.Env[Any, Any]:
        """Returns one environment."""
        return self.env(render_mode)

    def vector_env(self, num_envs: int, autoreset: Autoreset = "same-step") -> gym.vector.VectorEnv[Any, Any, Any]:
        """Returns `num_envs` copies, each in a task that the teacher draws for each of its episodes.

        Raises:
            UsageError: the copies are not to be reset in the same step.
        """
        if autoreset != "same-step":
            raise UsageError(
                f"a curriculum for an agent whose copies of {self.name} are reset by {autoreset!r}",
                expected="one that learns from copies reset in the same step",
                hint="ppo, dqn, q-learning, … ; not mcts, psrl, airl",
            )
        return CurriculumVectorEnv(self, num_envs)

    def to_json(self) -> dict[str, Any]:
        """Returns the target, from which this one is made again."""
        return self.target.to_json()

    def _made(self, settings: Mapping[str, Any]) -> World:
        own = self.target.world
        assert own is not None
        known = own.setting_parameters()
        if unknown := next((name for name in settings if name not in known), None):
            raise UsageError(
                f"a curriculum over {unknown!r}", expected=f"settings of {self.name}: {', '.join(known) or 'none'}"
            )
        made = _class_of(own)(**{**own.settings, **settings})
        made.title = own.title
        return made

    def _require_alike(self, world: World) -> World:
        """Returns a world of the curriculum; raises `UsageError` unless its observations and actions are among those of
        the target."""
        shown = ", ".join(f"{name}={world.settings[name]!r}" for name in self.cells[0].parts)
        if tuple(world.action_names) != tuple(self.action_names) or world.action_space != self.action_space:
            raise UsageError(
                f"a curriculum over {shown}, where the actions of {self.name} are others",
                expected=f"the actions of the world that is learned for: {self.action_space}",
            )
        if not _fits(world.observation_space, self.observation_space):
            raise UsageError(
                f"a curriculum over {shown}, where {self.name} shows {world.observation_space}",
                expected=f"observations that fit in those of the world that is learned for: {self.observation_space}",
                hint="the world with the largest of the settings as the one learned for (--world.SETTING VALUE)",
            )
        return world


def _class_of(world: World) -> type[World]:
    """Returns the class as its author wrote it, not what settings made of it (`Law.sized`)."""
    cls = type(world)
    while "_sized_from" in vars(cls):
        cls = vars(cls)["_sized_from"][0]
    return cls


def _fits(own: gym.Space[Any], whole: gym.Space[Any]) -> bool:
    """Returns whether every value of a space is one of another, and means the same there."""
    spaces = gym.spaces
    if isinstance(own, spaces.Discrete) and isinstance(whole, spaces.Discrete):
        return bool(own.start == whole.start and own.n <= whole.n)
    if isinstance(own, spaces.MultiDiscrete) and isinstance(whole, spaces.MultiDiscrete):
        same = own.shape == whole.shape and bool((own.start == whole.start).all())
        return same and bool((own.nvec <= whole.nvec).all())
    if isinstance(own, spaces.Box) and isinstance(whole, spaces.Box):
        same = own.shape == whole.shape and own.dtype == whole.dtype
        return same and bool(np.all(own.low >= whole.low) and np.all(own.high <= whole.high))
    return bool(own == whole)


def with_curriculum(task: Task, given: Any) -> CurriculumTask:
    """Returns a task as it is learned in with a curriculum.

    Args:
        task: of one player, with a law.
        given: a `Curriculum`, or the settings of one.

    Raises:
        UsageError: the task has several players, or no law; or the curriculum does not fit it.
    """
    curriculum = as_curriculum(given)
    if task.world is None or task.players > 1:
        what = "no law whose settings could be chosen" if task.world is None else f"{task.players} players"
        raise UsageError(
            f"a curriculum in {task.name}, which has {what}", expected="a world of one player, not wrapped",
            hint="a custom World, or a Gymnasium environment that changes by itself at each reset",
        )  # fmt: skip
    usual = _class_of(task.world)(**task.world.settings)
    if any(not np.array_equal(own, other) for own, other in zip(usual.packed, task.world.packed, strict=True)):
        raise UsageError(
            f"a curriculum in {task.name}, whose dynamics or purpose were replaced after it was made",
            expected="a world that its settings describe",
        )
    return CurriculumTask(task.name, None, task.settings, task.max_episode_steps, target=task, curriculum=curriculum)
