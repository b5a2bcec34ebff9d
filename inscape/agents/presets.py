"""Settings that are known to work, per agent and world: data, in one place.

`steps` is how long to train when nobody says; `settings` replace the agent's defaults. A world is known by its name
here, by its Gymnasium id, or both. The figures in the comments are from `tests/agents` and the demo.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Preset:
    """Settings for one agent in one world.

    Attributes:
        steps: environment steps to train for.
        settings: the settings that differ from the agent's defaults.
    """

    steps: int
    settings: Mapping[str, Any] = field(default_factory=dict)

    def describe(self, agent: str, task: str) -> str:
        """Returns one line to print when the preset is used."""
        shown = ", ".join(f"{name}={value}" for name, value in self.settings.items())
        return f"{agent} on {task}: preset of {self.steps:,} steps" + (f" with {shown}" if shown else "")


PRESETS: Mapping[str, Mapping[str, Preset]] = {}

ALIASES: Mapping[str, str] = {"cartpole-v1": "cartpole", "frozenlake-v1": "frozenlake"}


def preset_for(agent: str, task_name: str) -> Preset | None:
    """Returns the preset of an agent (by its registered name) in a task, or None."""
    name = task_name.lower().removeprefix("inscape/")
    return PRESETS.get(agent, {}).get(ALIASES.get(name, name))
