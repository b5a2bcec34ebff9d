"""Worlds, their readers, tasks and trajectories. What users import is listed here; deeper paths are private."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inscape.lazy import lazy_names

if TYPE_CHECKING:
    from inscape.envs.catalogue import WorldSpec as WorldSpec
    from inscape.envs.data.minari import trajectories_from_minari as trajectories_from_minari
    from inscape.envs.data.minari import trajectories_to_minari as trajectories_to_minari
    from inscape.envs.data.trajectory import Trajectory as Trajectory
    from inscape.envs.data.transition import Transition as Transition
    from inscape.envs.law.law import NoParams as NoParams
    from inscape.envs.law.law import NoPurpose as NoPurpose
    from inscape.envs.law.states import States as States
    from inscape.envs.law.tools import gaussian as gaussian
    from inscape.envs.law.tools import int64 as int64
    from inscape.envs.law.tools import popcount as popcount
    from inscape.envs.law.tools import replaced as replaced
    from inscape.envs.law.tools import shift_right as shift_right
    from inscape.envs.law.tools import squared as squared
    from inscape.envs.readers.cuda_env import CudaVectorEnv as CudaVectorEnv
    from inscape.envs.readers.enumeration import Enumeration as Enumeration
    from inscape.envs.readers.gym_env import WorldEnv as WorldEnv
    from inscape.envs.readers.pettingzoo_env import WorldAECEnv as WorldAECEnv
    from inscape.envs.readers.pettingzoo_env import WorldParallelEnv as WorldParallelEnv
    from inscape.envs.readers.random_play import RandomPlay as RandomPlay
    from inscape.envs.readers.vector_env import WorldVectorEnv as WorldVectorEnv
    from inscape.envs.registry import make_world as make_world
    from inscape.envs.registry import register as register
    from inscape.envs.registry import world_specs as world_specs
    from inscape.envs.rendering.scene import Circle as Circle
    from inscape.envs.rendering.scene import Line as Line
    from inscape.envs.rendering.scene import Polygon as Polygon
    from inscape.envs.rendering.scene import Rect as Rect
    from inscape.envs.rendering.scene import Scene as Scene
    from inscape.envs.rendering.scene import Text as Text
    from inscape.envs.tasks.checking.contract import EnvironmentFault as EnvironmentFault
    from inscape.envs.tasks.curriculum.task import Curriculum as Curriculum
    from inscape.envs.tasks.curriculum.teacher import Scores as Scores
    from inscape.envs.tasks.curriculum.teacher import learning_progress as learning_progress
    from inscape.envs.tasks.processes.workers import Workers as Workers
    from inscape.envs.tasks.resolve import resolve_task as resolve_task
    from inscape.envs.tasks.resolve import task_from_json as task_from_json
    from inscape.envs.tasks.task import Task as Task
    from inscape.envs.text.answers import Answer as Answer
    from inscape.envs.text.answers import read_answer as read_answer
    from inscape.envs.text.described import DescribedEnv as DescribedEnv
    from inscape.envs.text.interface import AnyText as AnyText
    from inscape.envs.text.interface import TextEnv as TextEnv
    from inscape.envs.text.interface import Turn as Turn
    from inscape.envs.text.registry import register_text_env as register_text_env
    from inscape.envs.text.registry import text_env as text_env
    from inscape.envs.text.registry import text_env_specs as text_env_specs
    from inscape.envs.text.worlds.frontier import FrontierPoint as FrontierPoint
    from inscape.envs.text.worlds.frontier import best_proxy_at as best_proxy_at
    from inscape.envs.text.worlds.frontier import policy_point as policy_point
    from inscape.envs.text.worlds.frontier import proxy_frontier as proxy_frontier
    from inscape.envs.text.worlds.status_report import StatusReport as StatusReport
    from inscape.envs.world import World as World
    from inscape.envs.worlds.enumerated import enumerated_world as enumerated_world

_HOMES = {
    # writing a world
    "world": ("World",),
    "worlds.enumerated": ("enumerated_world",),
    "law.law": (
        "NoParams",
        "NoPurpose",
    ),
    "law.tools": (
        "gaussian",
        "int64",
        "popcount",
        "replaced",
        "shift_right",
        "squared",
    ),
    "rendering.scene": (
        "Circle",
        "Line",
        "Polygon",
        "Rect",
        "Scene",
        "Text",
    ),
    "catalogue": ("WorldSpec",),
    # finding one
    "registry": (
        "make_world",
        "register",
        "world_specs",
    ),
    "tasks.resolve": (
        "resolve_task",
        "task_from_json",
    ),
    "tasks.task": ("Task",),
    "tasks.curriculum.task": ("Curriculum",),
    "tasks.curriculum.teacher": ("Scores", "learning_progress"),
    "tasks.processes.workers": ("Workers",),
    "tasks.checking.contract": ("EnvironmentFault",),
    # text environments
    "text.interface": ("AnyText", "TextEnv", "Turn"),
    "text.answers": ("Answer", "read_answer"),
    "text.described": ("DescribedEnv",),
    "text.registry": ("register_text_env", "text_env", "text_env_specs"),
    # a flawed proxy reward and the truth
    "text.worlds.status_report": ("StatusReport",),
    "text.worlds.frontier": ("FrontierPoint", "best_proxy_at", "policy_point", "proxy_frontier"),
    # what its readers return
    "law.states": ("States",),
    "readers.gym_env": ("WorldEnv",),
    "readers.vector_env": ("WorldVectorEnv",),
    "readers.cuda_env": ("CudaVectorEnv",),
    "readers.pettingzoo_env": (
        "WorldAECEnv",
        "WorldParallelEnv",
    ),
    "readers.enumeration": ("Enumeration",),
    "readers.random_play": ("RandomPlay",),
    # episodes and data sets
    "data.trajectory": ("Trajectory",),
    "data.transition": ("Transition",),
    "data.minari": (
        "trajectories_from_minari",
        "trajectories_to_minari",
    ),
}
if not TYPE_CHECKING:  # a type checker reads the imports above and reports a name that does not exist
    __getattr__, __dir__, __all__ = lazy_names(__name__, _HOMES)
