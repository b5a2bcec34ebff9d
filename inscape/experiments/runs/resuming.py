"""Going on with a run: the agent of a folder, and whether training may go on there."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inscape.agents.in_hand import IN_HAND
from inscape.agents.renamed_settings import current_settings
from inscape.envs.tasks.resolve import as_task
from inscape.errors import UsageError
from inscape.experiments.runs.callbacks import restore_states
from inscape.experiments.runs.folders import matching_run, open_run
from inscape.experiments.runs.loading import agent_of, load_state
from inscape.experiments.runs.run import Run
from inscape.experiments.runs.settings import RunSettings, run_name

if TYPE_CHECKING:
    from inscape.agents.interface import Agent
    from inscape.envs.tasks.resolve import Given
    from inscape.envs.tasks.task import Task


def load_agent(
    run: Run | str | Path, seed: int | None = None, *, agent: Any = None, world: Given | None = None
) -> tuple[Agent, Task]:
    """Returns the agent of a run as its last checkpoint left it, and the task it was trained in.

    Args:
        run: a run or its folder.
        seed: seed of the agent's own random generator; None for the run's.
        agent: its class, where it was in hand when it was trained, and has no name by which it is found again.
        world: likewise the world or environment it was trained in.

    Raises:
        UsageError: there is no run or no checkpoint there, or the checkpoint is damaged; or agent or world have no
            name, and are not given.
    """
    run = run if isinstance(run, Run) else open_run(run)
    held = run.held
    if held is not None:  # it was trained in this process: what has no name is there
        if run.folder is None or (agent is None and run.settings.agent.endswith(IN_HAND)):
            return held[0], held[1] if world is None else as_task(world)
        world = held[1] if world is None else world
    return agent_of(run, seed, agent, world)


def run_to_resume(
    wanted: RunSettings, agent: Any, out: str | Path | None, root: str | Path, accept_changes: bool
) -> Run:
    """Returns the run to go on with, locked: that in `out`, or the newest of its name under `root`.

    Raises:
        UsageError: there is none; its settings differ; or its code was edited, without `accept_changes`.
    """
    folder = out if out is not None else matching_run(wanted, root)
    if folder is None:
        raise UsageError(
            f"nothing to resume: there is no run {Path(root) / run_name(wanted)}",
            expected="a run folder of this agent, world and seed",
            hint="--out FOLDER to name it, or leave out --resume to start",
        )
    run = open_run(folder, root)
    if run.is_best:
        raise UsageError(
            f"{folder} to resume", expected="the run: it goes on from its newest model", hint=f"--resume {run.path}"
        )
    run.lock()
    try:
        _require_same(run, wanted, agent, accept_changes)
    except BaseException:
        run.release()
        raise
    return run


def _require_same(run: Run, wanted: RunSettings, agent: Any, accept_changes: bool) -> None:
    # a custom agent's class may inherit settings that were renamed; that of a built-in agent was asked already
    kind = type(getattr(agent, "settings", None))
    stored = dataclasses.replace(run.settings, agent_settings=current_settings(kind, run.settings.agent_settings))
    if changes := stored.differences(wanted):
        raise UsageError(
            f"the settings are not those {run.path} was started with:\n    " + "\n    ".join(changes),
            expected="the same settings (was -> now)",
            hint="give the old settings again, or start a new run with another --out",
        )
    if edits := run.code_changes(wanted.code):
        if not accept_changes:
            raise UsageError(
                f"code of {run.path} was edited since it was started:\n    " + "\n    ".join(edits),
                expected="the files as they were",
                hint="--accept-changes to go on with them as they are; or start a new run with another --out",
            )
        run.accept_code(wanted.code)


def restore(run: Run, agent: Any, callbacks: Sequence[Any] = (), go_on: bool = False) -> int | None:
    """Loads the last checkpoint and returns the step to go on from; None if the run came to its end already.

    Args:
        run: the run.
        agent: given the agent's state.
        callbacks: given their states.
        go_on: go on where the run was stopped early.
    """
    latest = run.load_latest()
    if latest is None:
        run.truncate_metrics(-1)
        return 0
    state, metadata = latest
    if metadata["finished"] and not (go_on and metadata.get("stopped") is not None):
        return None
    load_state(run, agent, state)
    restore_states(callbacks, metadata.get("callbacks"))
    run.truncate_metrics(metadata["steps"])
    return int(metadata["steps"])
