"""Agents by name, and the loops that run them. What users import is listed here; deeper paths are private."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from inscape.lazy import lazy_names

if TYPE_CHECKING:
    from inscape.agents.adapters import as_agent as as_agent
    from inscape.agents.interface import Agent as Agent
    from inscape.agents.interface import LearningAgent as LearningAgent
    from inscape.agents.interface import RememberingAgent as RememberingAgent
    from inscape.agents.interface import ResumableAgent as ResumableAgent
    from inscape.agents.interface import ScoringAgent as ScoringAgent
    from inscape.agents.learning.env_runner import EnvRunner as EnvRunner
    from inscape.agents.registry import agent_names as agent_names
    from inscape.agents.registry import make_agent as make_agent
    from inscape.agents.rollout import Evaluation as Evaluation
    from inscape.agents.rollout import evaluate as evaluate
    from inscape.agents.rollout import evaluate_players as evaluate_players
    from inscape.agents.rollout import rollout as rollout

_HOMES = {
    "learning.env_runner": ("EnvRunner",),
    "interface": (
        "Agent",
        "LearningAgent",
        "RememberingAgent",
        "ResumableAgent",
        "ScoringAgent",
    ),
    "adapters": ("as_agent",),
    "registry": (
        "agent_names",
        "make_agent",
    ),
    "rollout": (
        "Evaluation",
        "evaluate",
        "evaluate_players",
        "rollout",
    ),
}
if not TYPE_CHECKING:  # a type checker reads the imports above: a name that is none is an error there
    __getattr__, __all__ = lazy_names(__name__, _HOMES)

# Intel's MKL, under torch, rounds a product of small matrices differently by where its operands happen to lie in
# memory, so that a resumed run would drift from one never killed by the last bit. This asks it not to, at no cost that
# we could measure; it is read at the first product, so it may come after `import torch`.
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")
