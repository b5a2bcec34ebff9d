"""Text environments as tasks: by their own names, `PREFIX:ID` of another library's, or `text:WORLD`."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym

from inscape.envs.tasks.task import Task

TEXT_PREFIX = "text:"
# by name: what makes text environments stands above tasks, and itself asks for them
REGISTRY = "inscape.envs.text.registry"


@dataclass(frozen=True, eq=False)
class TextTask(Task):
    """A text environment: observations and actions are `str`."""

    def unchecked_env(self, render_mode: str | None = None) -> gym.Env[Any, Any]:
        """Returns one environment."""
        registry = importlib.import_module(REGISTRY)
        env: gym.Env[Any, Any] = registry.text_env(self.name.removeprefix(TEXT_PREFIX), **self.settings)
        return env


def is_text_name(name: str) -> bool:
    """Returns whether a name is that of a text environment."""
    if name.startswith(TEXT_PREFIX):
        return True
    registry = importlib.import_module(REGISTRY)
    return name in registry.text_env_specs() or name.partition(":")[0] in registry.PREFIXES


def text_names() -> list[str]:
    """Returns the names of text environments."""
    return list(importlib.import_module(REGISTRY).text_env_specs())


def text_class(name: str) -> Any:
    """Returns the class behind a text environment's name, whose constructor takes its settings; None where another
    library makes it."""
    if name.startswith(TEXT_PREFIX):
        return importlib.import_module("inscape.envs.text.described").DescribedEnv
    return importlib.import_module(REGISTRY).text_env_class(name)


def text_task(name: str, settings: Mapping[str, Any]) -> TextTask | None:
    """Returns the task of a text environment's name; None for any other name.

    Raises:
        UsageError: the environment cannot be made with these settings.
    """
    if not is_text_name(name):
        return None
    task = TextTask(name, None, dict(settings), None)
    task.unchecked_env().close()  # a wrong setting is reported here
    return task
