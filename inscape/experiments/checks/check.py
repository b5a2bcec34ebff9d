"""The public contract checker: `inscape check WORLD|AGENT|FILE.py:Class`, or `check(...)` from Python.

Each check has a name, looks at one promise of the contract, and either passes, fails with what was found, or is
skipped with the reason. The checks themselves are in `world_checks` (`law_checks`, `reader_checks`) and `agent_checks`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inscape.errors import UsageError
from inscape.experiments.checks.report import Check, CheckReport

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task

__all__ = ["Check", "CheckReport", "check", "classify", "is_world"]


def check(target: str, *, task: Task | None = None, settings: Any = None, trust: bool = False) -> CheckReport:
    """Checks a world, a Gymnasium environment or an agent, whichever the name means.

    Args:
        target: WORLD, any Gymnasium id, AGENT, or `file.py:Class` of a world or an agent.
        task: for agents, what to act in; None tries a few worlds until the agent accepts one.
        settings: settings of the world or the agent.
        trust: allow agents whose files are code (SB3 zips).

    Raises:
        UsageError: the name means nothing that can be checked.
    """
    from inscape.envs.tasks import resolve
    from inscape.experiments.checks import agents as agent_checks
    from inscape.experiments.checks import worlds as world_checks

    kind = classify(target)
    if kind == "world":
        found = resolve.resolve_task(target, settings or {})
        if found.world is not None:
            return world_checks.check_world(found.world)
        if found.players > 1:
            raise UsageError(
                f"{found.name} has {found.players} players and no law",
                expected="an Inscape world, or a Gymnasium environment",
                hint=f"pettingzoo.test.{'parallel_' if found.simultaneous else ''}api_test checks it; "
                f"an agent in it: inscape check {'ppo' if found.simultaneous else 'self-play'} {found.name}",
            )
        return world_checks.check_environment(found)
    return agent_checks.check_agent_spec(target, task=task, settings=settings, trust=trust)


def classify(target: str) -> str:
    """Returns `"world"` or `"agent"`: what a name, a Gymnasium id or `file.py:Class` means.

    Raises:
        UsageError: it is neither.
    """
    from inscape.agents.registry import is_agent_spec

    if is_world(target):
        return "world"
    if is_agent_spec(target):
        return "agent"
    raise UsageError(
        f"{target!r} is neither a world nor an agent",
        expected="WORLD, a Gymnasium id, AGENT, or file.py:Class",
        hint="inscape list",
    )


def is_world(target: str) -> bool:
    """Returns whether a name is that of a world, a Gymnasium id, or `file.py:Class` of a world."""
    from inscape.agents.registry import INDEPENDENT_PREFIX, SB3_PREFIX
    from inscape.envs import loading, registry
    from inscape.envs.world import World
    from inscape.envs.worlds.pomdp.decision_file import is_decision_file

    if target.startswith((registry.PIXELS_PREFIX, registry.PETTINGZOO_PREFIX)) or is_decision_file(target):
        return True
    if ":" in target and not target.startswith("inscape:"):
        if target.startswith((SB3_PREFIX, INDEPENDENT_PREFIX)):
            return False
        if registry.gymnasium_spec(target, "world or agent") is not None:
            return True
        found = loading.load_class(target, "world or agent")
        return isinstance(found, type) and issubclass(found, World)
    return registry.load_spec(target) is not None
