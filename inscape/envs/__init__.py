"""Worlds, their readers, tasks and trajectories. What users import is listed here; deeper paths are private."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inscape.lazy import lazy_names

if TYPE_CHECKING:
    from inscape.envs.catalogue import WorldSpec as WorldSpec
    from inscape.envs.data.trajectory import Trajectory as Trajectory
    from inscape.envs.data.transition import Transition as Transition
    from inscape.envs.law.law import NoParams as NoParams
    from inscape.envs.law.law import NoPurpose as NoPurpose
    from inscape.envs.law.states import States as States
    from inscape.envs.registry import make_world as make_world
    from inscape.envs.registry import register as register
    from inscape.envs.registry import world_specs as world_specs
    from inscape.envs.rendering.scene import Scene as Scene
    from inscape.envs.tasks.resolve import resolve_task as resolve_task
    from inscape.envs.tasks.resolve import task_from_json as task_from_json
    from inscape.envs.tasks.task import Task as Task
    from inscape.envs.world import World as World

_HOMES = {
    "world": ("World",),
    "registry": (
        "make_world",
        "register",
        "world_specs",
    ),
    "catalogue": ("WorldSpec",),
    "tasks.resolve": (
        "resolve_task",
        "task_from_json",
    ),
    "tasks.task": ("Task",),
    "law.states": ("States",),
    "law.law": (
        "NoParams",
        "NoPurpose",
    ),
    "data.trajectory": ("Trajectory",),
    "data.transition": ("Transition",),
    "rendering.scene": ("Scene",),
}
if not TYPE_CHECKING:  # a type checker reads the imports above: a name that is none is an error there
    __getattr__, __all__ = lazy_names(__name__, _HOMES)
