"""Inscape: one law, many readers. Worlds to act in, agents, models that predict, observers that infer minds."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from inscape.envs.registry import register_all
from inscape.lazy import lazy_names

if TYPE_CHECKING:
    from inscape.agents.registry import make_agent as make_agent
    from inscape.agents.rollout import rollout as rollout
    from inscape.envs.registry import make_world as make_world
    from inscape.envs.tasks.resolve import resolve_task as resolve_task
    from inscape.envs.tasks.task import Task as Task
    from inscape.envs.world import World as World
    from inscape.errors import MissingLawError as MissingLawError
    from inscape.errors import PartialObservationError as PartialObservationError
    from inscape.errors import TooManyStatesError as TooManyStatesError
    from inscape.errors import UsageError as UsageError
    from inscape.experiments.runs.resuming import load_agent as load_agent
    from inscape.experiments.runs.training import train as train
    from inscape.experiments.verbs.collect import collect as collect
    from inscape.experiments.verbs.evaluate import evaluate as evaluate
    from inscape.experiments.verbs.fit import fit as fit
    from inscape.experiments.verbs.imagine import imagine as imagine
    from inscape.experiments.verbs.observe import observe as observe
    from inscape.experiments.verbs.plan import plan as plan
    from inscape.world_models.planning.solve import solve as solve

__version__ = "0.1.0"
_HOMES = {
    # worlds and tasks
    "envs.world": ("World",),
    "envs.registry": ("make_world",),
    "envs.tasks.task": ("Task",),
    "envs.tasks.resolve": ("resolve_task",),
    # agents
    "agents.registry": ("make_agent",),
    "agents.rollout": ("rollout",),
    # the verbs
    "experiments.runs.training": ("train",),
    "experiments.runs.resuming": ("load_agent",),
    "experiments.verbs.collect": ("collect",),
    "experiments.verbs.evaluate": ("evaluate",),
    "experiments.verbs.plan": ("plan",),
    "experiments.verbs.observe": ("observe",),
    "experiments.verbs.fit": ("fit",),
    "experiments.verbs.imagine": ("imagine",),
    "world_models.planning.solve": ("solve",),
    # errors a user can cause
    "errors": (
        "MissingLawError",
        "PartialObservationError",
        "TooManyStatesError",
        "UsageError",
    ),
}
if not TYPE_CHECKING:  # a type checker reads the imports above and reports a name that does not exist
    __getattr__, __dir__, __all__ = lazy_names(__name__, _HOMES)

# Threads that wait by spinning steal the very core the others need when the machine is shared: with one busy neighbour
# two spinning threads were measured 30 times slower than one. Sleeping at once costs half the speed when it is quiet.
# A short spin (about 10 µs) keeps both: 117 M CartPole steps/s quiet, 52 M beside a busy process. libgomp
# reads it when it is loaded, by torch or by the first parallel kernel, so it is set before either is imported.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")

register_all()
