"""Inscape: one law, many readers. Worlds to act in, agents, models that predict, observers that infer minds."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from inscape.envs.registry import register_all
from inscape.lazy import lazy_names

if TYPE_CHECKING:
    from inscape.agents.registry import make_agent as make_agent
    from inscape.agents.rollout import evaluate as evaluate
    from inscape.agents.rollout import rollout as rollout
    from inscape.envs.registry import make_world as make_world
    from inscape.envs.tasks.resolve import resolve_task as resolve_task
    from inscape.envs.world import World as World
    from inscape.errors import UsageError as UsageError
    from inscape.experiments.runs.training import train as train

__version__ = "0.1.0"
_HOMES = {
    "agents.registry": ("make_agent",),
    "agents.rollout": ("evaluate", "rollout"),
    "envs.registry": ("make_world",),
    "envs.tasks.resolve": ("resolve_task",),
    "envs.world": ("World",),
    "errors": ("UsageError",),
    "experiments.runs.training": ("train",),
}
if not TYPE_CHECKING:  # a type checker reads the imports above: a name that is none is an error there
    __getattr__, __all__ = lazy_names(__name__, _HOMES)

# Threads that wait by spinning steal the very core the others need when the machine is shared: with one busy neighbour
# two spinning threads were measured 30 times slower than one. Sleeping at once costs half the speed when it is quiet.
# A short spin (about 10 µs) keeps both: 117 M CartPole steps/s quiet, 52 M beside a busy process. libgomp
# reads it when it is loaded, by torch or by the first parallel kernel, so it is set before either is imported.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")

register_all()
