"""A curriculum in a run: the task that is learned in, what is stored and logged of it, what the command line says."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from inscape.agents.learning.distributed import process_count
from inscape.errors import UsageError
from inscape.experiments.runs.callbacks import Callback

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task

EXAMPLE = "--curriculum size=5,6,8, or --curriculum slip=0.0..0.4; several settings with spaces between them"


def curriculum_task(task: Task, given: Any) -> Task:
    """Returns the task as it is learned in: itself, or with a curriculum.

    Raises:
        UsageError: the curriculum does not fit the task; or several processes learn together.
    """
    if given is None:
        return task
    from inscape.envs.tasks.curriculum.task import with_curriculum

    if process_count() > 1:
        raise UsageError(
            f"a curriculum in {process_count()} processes", expected="one process: its copies share a teacher"
        )
    return with_curriculum(task, given)


class KeepLessons(Callback):
    """Stores what the teacher knows with each checkpoint, for agents that do not store their environments."""

    def __init__(self, lessons: Any) -> None:
        self.lessons = lessons

    def state_dict(self) -> dict[str, Any]:
        return dict(self.lessons.state_dict())

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.lessons.load_state_dict(state)


def curriculum_callbacks(task: Task) -> list[Callback]:
    """Returns the callbacks that the curriculum of a task needs; none without."""
    lessons = getattr(task, "lessons", None)
    return [] if lessons is None else [KeepLessons(lessons)]


def curriculum_json(task: Task) -> dict[str, Any]:
    """Returns what a run stores of the curriculum of the task it learns in; empty without one."""
    curriculum = getattr(task, "curriculum", None)
    return {} if curriculum is None else dict(curriculum.to_json())


def curriculum_metrics(task: Task) -> dict[str, float]:
    """Returns what is logged of a curriculum: of each task its probability, mean return and number of episodes."""
    lessons = getattr(task, "lessons", None)
    return {} if lessons is None else dict(lessons.metrics())


def curriculum_names(document: Mapping[str, Any]) -> list[str]:
    """Returns what the tasks of a stored curriculum are called in metrics; none of an empty one.

    Raises:
        UsageError: it is no stored curriculum.
    """
    if not document:
        return []
    from inscape.envs.tasks.curriculum.cells import cells_of

    bins = document.get("bins")
    if isinstance(bins, bool) or not isinstance(bins, int) or not 1 <= bins <= 1000:
        raise UsageError(
            f"a stored curriculum with bins = {bins!r}"[:100], expected="a whole number", hint="train again"
        )
    return [cell.name for cell in cells_of(document.get("settings"), bins)]


def curriculum_words(words: Sequence[str], teacher: str) -> Any:
    """Returns the curriculum that the words after `--curriculum` describe; None without any.

    Args:
        words: `NAME=VALUE,VALUE` or `NAME=LOW..HIGH`, one for each setting.
        teacher: its name.

    Raises:
        UsageError: a word that is neither, or a curriculum of no tasks.
    """
    from inscape.envs.tasks.curriculum.task import Curriculum
    from inscape.envs.tasks.curriculum.teacher import teacher_named

    teacher_named(teacher)
    if not words:
        return None
    settings: dict[str, Any] = {}
    for word in words:
        name, equals, values = word.partition("=")
        name = name.strip().replace("-", "_")
        if not equals or not name or not values.strip():
            raise UsageError(f"--curriculum {word!r}", expected=EXAMPLE)
        if name in settings:
            raise UsageError(f"--curriculum with {name} twice", expected="all values of a setting in one word")
        low, dots, high = values.partition("..")
        settings[name] = (
            {"low": _value(low), "high": _value(high)} if dots else [_value(value) for value in values.split(",")]
        )
    return Curriculum(settings, teacher=teacher)


def words_of_settings(settings: Mapping[str, Any]) -> list[str]:
    """Returns the settings of a curriculum as words of the command line."""
    words = []
    for name, given in settings.items():
        if isinstance(given, Mapping):
            words.append(f"{name}={json.dumps(given.get('low'))}..{json.dumps(given.get('high'))}")
        else:
            listed = given if isinstance(given, Sequence) and not isinstance(given, str) else [given]
            words.append(f"{name}={','.join(v if isinstance(v, str) else json.dumps(v) for v in listed)}")
    return words


def short_settings(document: Mapping[str, Any]) -> dict[str, str]:
    """Returns what tells a stored curriculum from others, for labels; empty without one."""
    if not document:
        return {}
    words = " ".join(words_of_settings(document.get("settings", {})))
    return {"curriculum": words, "curriculum.teacher": str(document.get("teacher"))}


def words_of_curriculum(document: Mapping[str, Any]) -> list[str] | None:
    """Returns the options of the command line for a stored curriculum; None where they cannot say it."""
    if not document:
        return []
    teacher, words = str(document.get("teacher")), words_of_settings(document.get("settings", {}))
    try:
        same = curriculum_words(words, teacher).to_json() == document
    except UsageError:
        same = False
    return ["--curriculum", *words, "--teacher", teacher] if same else None


def _value(text: str) -> Any:
    """Returns a number or True or False from text; anything else as it is."""
    text = text.strip()
    try:
        value = json.loads(text.lower() if text in ("True", "False") else text)
    except ValueError:
        return text
    return value if isinstance(value, int | float | bool) else text


def stored_curriculum(document: Mapping[str, Any]) -> Any:
    """Returns the curriculum that a run was started with; None without one."""
    if not document:
        return None
    from inscape.envs.tasks.curriculum.task import Curriculum

    return Curriculum.from_json(document)
