"""From a run to its agent: the agent made again, given the state of the last checkpoint."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from inscape.agents.in_hand import require_in_a_name
from inscape.envs.tasks.resolve import as_task, task_from_json
from inscape.errors import UsageError, exits_as_errors
from inscape.experiments.runs.settings import SETTINGS

if TYPE_CHECKING:
    from inscape.agents.interface import Agent
    from inscape.envs.tasks.resolve import Given
    from inscape.envs.tasks.task import Task


class StoredRun(Protocol):
    """What is asked of a run: see `inscape.experiments.runs.run.Run`."""

    @property
    def path(self) -> Path: ...
    @property
    def settings(self) -> Any: ...
    def load_latest(self) -> tuple[dict[str, Any], dict[str, Any]] | None: ...
    def require_trust(self) -> None: ...
    def trusted_settings(self) -> dict[str, Any]: ...


def agent_of(
    run: StoredRun, seed: int | None = None, agent: Any = None, world: Given | None = None
) -> tuple[Agent, Task]:
    """Returns the agent of a run as its last checkpoint left it, and the task it was trained in.

    Args:
        run: the run.
        seed: seed of the agent's own random generator; None for the run's.
        agent: its class, where the run does not say how it is made again.
        world: what it was trained in, where the run does not say how it is made again.

    Raises:
        UsageError: the run has no checkpoint, or a damaged one; or nothing says how agent or world are made again.
    """
    latest = run.load_latest()
    if latest is None:
        raise UsageError(
            f"{run.path} has no checkpoint", expected="a run that was trained", hint="train it with --resume"
        )
    run.require_trust()
    settings = run.settings
    task = task_from_json(settings.task, run.path / SETTINGS) if world is None else as_task(world)
    if agent is None:
        require_in_a_name(settings.agent, run.path)
        agent = settings.agent
    made: Any = build_agent(
        agent,
        learning_task(agent, task),
        settings.seed if seed is None else seed,
        run.trusted_settings() or None,
        settings.device if settings.device == "cpu" else _usable(settings.device),
    )
    require_saving(made, settings.agent)
    load_state(run, made, latest[0])
    acting: Agent = made
    return acting, task


def learning_task(agent: Any, task: Task) -> Task:
    """Returns the task as the agent learns in it: with several players one player's part, unless it takes them all.

    Raises:
        UsageError: the players act in turn, and the agent knows one player.
    """
    from inscape.agents.registry import learns_with_players
    from inscape.envs.tasks.shared_policy import one_player

    return task if task.players == 1 or learns_with_players(agent) else one_player(task)


def build_agent(agent: Any, task: Task, seed: int, settings: Any, device: str) -> Agent:
    """Returns the agent that is named or in hand; `settings` may be its settings dataclass, a dict of them, or None."""
    from inscape.agents.registry import make_agent

    made: Agent = make_agent(agent, task, seed=seed, settings=settings, device=device)
    return made


def load_state(run: StoredRun, agent: Any, state: dict[str, Any]) -> None:
    """Gives an agent the state of a checkpoint.

    Raises:
        UsageError: the state is not one of this agent: a part is missing, or of another type or shape.
    """
    if wrong := unsound(state):
        raise UsageError(
            f"the last checkpoint of {run.path} holds {wrong}", expected="what was saved while the agent learned",
            hint="an older checkpoint: remove that one and resume",
        )  # fmt: skip
    try:
        with exits_as_errors(f"{run.settings.agent} was loaded from {run.path}"):
            agent.load_state_dict(state)
    except UsageError:
        raise
    except Exception as error:  # whatever a custom agent raises too: what it was given is what is wrong
        missing = f"no {error}" if isinstance(error, KeyError) else f"{type(error).__name__}: {error}"
        raise UsageError(
            f"the last checkpoint of {run.path} does not fit {run.settings.agent}: {missing}",
            expected="a state that state_dict of this agent, with these settings in this task, returned",
            hint=f"inscape check {run.settings.agent} WORLD; or remove that checkpoint to go on from an older one",
        ) from error


def unsound(state: Any) -> str:
    """Returns what in a stored state no agent can have saved, "" for nothing: a negative number of steps, tables or
    moments of an optimiser that are not finite, environments that are no packed states.

    Weights are not looked at: an agent names them itself when it finds that it has diverged.
    """
    import numpy as np

    waiting: list[tuple[str, Any, bool]] = [("", state, False)]
    while waiting:
        where, value, finite = waiting.pop()
        if isinstance(value, dict):
            for key, item in value.items():
                name = f"{where}.{key}".lstrip(".")
                if key == "steps" and isinstance(item, int | float) and not item >= 0:
                    return f"{item} {name}"
                if key in ("floats", "ints") and {"floats", "ints"} <= set(value):
                    kind = np.float64 if key == "floats" else np.int64
                    if not isinstance(item, np.ndarray) or item.dtype != kind or item.ndim != 2:
                        return f"{name} that are no packed states"
                waiting.append((name, item, finite or key in ("optimizer", "tables")))
        elif isinstance(value, list | tuple):
            waiting += [(f"{where}.{number}", item, finite) for number, item in enumerate(value)]
        elif finite and (wrong := _not_finite(value)):
            return f"{wrong} numbers in {where} that are not finite"
    return ""


def _not_finite(value: Any) -> int:
    """Returns how many numbers of a floating-point array or tensor are not finite; 0 for anything else."""
    import numpy as np

    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        return int((~torch.isfinite(value)).sum()) if value.is_floating_point() else 0
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        return int(np.sum(~np.isfinite(value)))
    return 0


def require_saving(agent: Any, spec: str) -> None:
    """An agent that learns and cannot be saved would leave runs that look trained and are not."""
    missing = [name for name in ("state_dict", "load_state_dict") if not callable(getattr(agent, name, None))]
    if missing:
        raise UsageError(
            f"agent {spec} learns, but has no {' and no '.join(missing)}: what it learns would be lost",
            expected="state_dict(self) -> dict of arrays and plain values, and load_state_dict(self, state)",
            hint=f"add them (all that acting and learning on need), then inscape check {spec} WORLD",
        )


def _usable(device: str) -> str:
    import torch

    return device if torch.cuda.is_available() else "cpu"
