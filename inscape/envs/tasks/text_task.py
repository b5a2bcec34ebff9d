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


def text_task(name: str, settings: Mapping[str, Any]) -> TextTask | None:
    """Returns the task of a text environment's name; None for any other name.

    Raises:
        UsageError: the environment cannot be made with these settings.
    """
    if not name.startswith(TEXT_PREFIX):
        registry = importlib.import_module(REGISTRY)
        if name not in registry.text_env_specs() and name.partition(":")[0] not in registry.PREFIXES:
            return None
    task = TextTask(name, None, dict(settings), None)
    task.unchecked_env().close()  # a wrong setting is reported here
    return task
