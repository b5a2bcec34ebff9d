"""The training loop around an agent's `learn`: metrics, learning curve, checkpoints, Ctrl-C, exact resume.

`learn` is a generator that yields at points where `state_dict` is whole; everything here happens between yields. A run
killed at any moment goes on from its last checkpoint and ends with the weights of one never killed: what was logged
after that checkpoint is forgotten and happens again.
"""

from __future__ import annotations

import dataclasses
import json
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from inscape.agents.catalogue import BUILT_IN
from inscape.agents.learning.distributed import dismiss, process_count, process_number
from inscape.agents.registry import SB3_PREFIX, is_built_in
from inscape.agents.renamed_settings import current_settings
from inscape.envs.tasks.resolve import task_from_json
from inscape.errors import UsageError
from inscape.experiments.runs.checkpoints import checkpoint_folders, require_storable
from inscape.experiments.runs.progress import Progress
from inscape.experiments.runs.run import (
    DEFAULT_ROOT,
    NEVER_STORED,
    SETTINGS,
    Run,
    RunSettings,
    create_run,
    installed_versions,
    matching_run,
    open_run,
    run_name,
)
from inscape.trust import code_record, file_record

if TYPE_CHECKING:
    from inscape.agents.interface import Agent
    from inscape.envs.tasks.task import Task

EVALUATION_SEED = 1_000_000_000
"""Added to a run's seed for its evaluation episodes, so that they are none of its training episodes."""
CHECKPOINT_SHARE = 50.0
"""In third-party environments a checkpoint is made when that many times what the last one took have passed: at most
2 % of the time goes into them, and little is lost where such an environment ends the run."""


class TrainingInterrupted(KeyboardInterrupt):
    """Ctrl-C during training. The message says what is kept and how to resume."""

    def __init__(self, message: object, run: Run | None = None) -> None:
        super().__init__(str(message))
        self.run: Run | None = message.run if isinstance(message, TrainingInterrupted) else run


def train(
    agent_spec: str,
    task: Task,
    steps: int,
    *,
    seed: int = 0,
    device: str = "cpu",
    out: str | Path | None = None,
    root: str | Path = DEFAULT_ROOT,
    resume: bool = False,
    settings: Any = None,
    progress: bool = True,
    evaluate_every: int | None = None,
    evaluate_episodes: int = 10,
    checkpoint_seconds: float = 30.0,
    checkpoint_steps: int | None = None,
    on_yield: Callable[[Any, Mapping[str, float]], None] | None = None,
    accept_changes: bool = False,
) -> Run:
    """Trains an agent in a task and returns the run folder that holds the result.

    Under `torchrun` all processes call this alike. The first has the run folder and returns; the others learn along
    (`inscape.agents.learning.distributed`) and leave when it is done.

    Args:
        agent_spec: what `make_agent` takes.
        task: what to act in.
        steps: environment steps in total, those before a resume included.
        seed: seed of everything random.
        device: `"auto"`, `"cpu"` or `"cuda"`; what `"auto"` came to is recorded.
        out: the run folder; None makes one under `root`, or with `resume` finds the newest one of this name there.
        root: where run folders without a name of their own go.
        resume: go on from the last checkpoint of a run with the same settings.
        settings: the agent's settings, a dataclass or a dict; None for its defaults.
        progress: show a bar when training takes longer than two seconds.
        evaluate_every: steps between points of the learning curve; None for ten points, 0 for none.
        evaluate_episodes: episodes of each of those evaluations.
        checkpoint_seconds: time between checkpoints, at most; whatever the value, one is made at the end and on Ctrl-C,
            and more often in third-party environments (`CHECKPOINT_SHARE`).
        checkpoint_steps: steps between checkpoints, besides those made by time.
        on_yield: called with the agent and its metrics whenever `learn` yields; to look, not to change.
        accept_changes: with `resume`, go on although a file of the agent or of the task was edited since.

    Raises:
        UsageError: the agent does not learn or cannot be saved, or not among the players of this task; a number below
            the least it can be; the folder cannot be used; or the settings of a resumed run changed, or its code
            without `accept_changes`.
        TrainingInterrupted: Ctrl-C; a checkpoint was left.
        SystemExit: under torchrun, in the processes that only learn along, when the first is done.
    """
    if steps <= 0:
        raise UsageError(f"{steps} training steps", expected="a positive number", hint="--steps 100000")
    for name, value, least in (
        ("evaluate_every", evaluate_every, 0), ("evaluate_episodes", evaluate_episodes, 1),
        ("checkpoint_steps", checkpoint_steps, 1), ("checkpoint_seconds", checkpoint_seconds, 0),
    ):  # fmt: skip
        if value is not None and not value >= least:
            raise UsageError(f"{name} = {value!r}", expected=f"a number of at least {least}")
    learned_in = learning_task(agent_spec, task)
    agent = build_agent(agent_spec, learned_in, seed, settings, device)
    _require_learning(agent, agent_spec)
    if not is_built_in(agent_spec):  # built-in states can be stored, and may be large
        require_storable(agent.state_dict(), agent_spec)  # type: ignore[attr-defined]
    if process_count() > 1:
        _learn_along(agent, agent_spec, learned_in)
    wanted = RunSettings(
        agent=agent_spec,
        task=_json_values(task.to_json()),
        seed=seed,
        steps=steps,
        device=_resolved(device),
        agent_settings=complete_settings(agent, settings),
        evaluate_every=max(1, steps // 10) if evaluate_every is None else evaluate_every,
        evaluate_episodes=evaluate_episodes,
        versions=installed_versions(),
    )
    loaded = wanted.agent_settings.get("load") if agent_spec.startswith(SB3_PREFIX) else None
    code = code_record(wanted.code_names()) | (file_record(loaded) if loaded else {})
    wanted = dataclasses.replace(wanted, code=code)
    run = _run_to_resume(wanted, agent, out, root, accept_changes) if resume else create_run(wanted, out, root)
    start = _restore(run, agent) if resume else 0
    if start is None:
        dismiss()
        return run
    loop = _Loop(run, agent, task, learned_in, start, not resume, checkpoint_seconds, checkpoint_steps, on_yield)
    with (
        Progress(f"{agent_spec} in {task.name}", steps, done=start, enabled=progress) as bar,
        _polite_interrupt() as asked,
    ):
        loop.drive(bar, asked)
    dismiss()
    run.trained_steps = loop.steps - start
    return run


def learning_task(agent_spec: str, task: Task) -> Task:
    """Returns the task as the agent learns in it: with several players one player's part, unless it takes them all.

    Raises:
        UsageError: the players act in turn, and the agent knows one player.
    """
    from inscape.agents.registry import learns_with_players
    from inscape.envs.tasks.shared_policy import one_player

    return task if task.players == 1 or learns_with_players(agent_spec) else one_player(task)


def evaluated_casts(agent: Any, task: Task, seed: int) -> list[tuple[list[Any], tuple[int, ...]]]:
    """Returns who plays in an evaluation of a trained agent, and whose returns in it are the agent's.

    Alone, or where all players act at once, the agent plays every part. Where they act in turn, mostly against each
    other, it plays each part once, the others being random agents.
    """
    from inscape.agents.registry import make_agent

    players = task.players
    if players == 1 or task.simultaneous:
        return [([agent] * players, tuple(range(players)))]
    return [
        ([agent if k == seat else make_agent("random", task, seed=seed + k) for k in range(players)], (seat,))
        for seat in range(players)
    ]


def build_agent(agent_spec: str, task: Task, seed: int, settings: Any, device: str) -> Agent:
    """Returns the agent a spec names; `settings` may be its settings dataclass, a dict of them, or None."""
    from inscape.agents.registry import make_agent

    return make_agent(agent_spec, task, seed=seed, settings=settings, device=device)


def load_agent(run: Run | str | Path, seed: int | None = None) -> tuple[Agent, Task]:
    """Returns the agent of a run as its last checkpoint left it, and the task it was trained in.

    Args:
        run: a run or its folder.
        seed: seed of the agent's own random generator; None for the run's.

    Raises:
        UsageError: there is no run or no checkpoint there, or the checkpoint is damaged.
    """

    run = run if isinstance(run, Run) else open_run(run)
    latest = run.load_latest()
    if latest is None:
        raise UsageError(
            f"{run.path} has no checkpoint", expected="a run that was trained", hint="train it with --resume"
        )
    run.require_trust()
    task = task_from_json(run.settings.task, run.path / SETTINGS)
    agent = build_agent(
        run.settings.agent,
        learning_task(run.settings.agent, task),
        run.settings.seed if seed is None else seed,
        run.trusted_settings() or None,
        run.settings.device if run.settings.device == "cpu" else _usable(run.settings.device),
    )
    _require_saving(agent, run.settings.agent)
    _load_state(run, agent, latest[0])
    return agent, task


def complete_settings(agent: Agent, given: Any) -> dict[str, Any]:
    """Returns every setting an agent runs with as JSON values: its `settings` dataclass if it has one, else `given`."""
    return settings_as_json(getattr(agent, "settings", given))


def settings_as_json(settings: Any) -> dict[str, Any]:
    """Returns settings, a dataclass or a mapping, as they will read back from settings.json; None stays None."""
    if dataclasses.is_dataclass(settings) and not isinstance(settings, type):
        settings = dataclasses.asdict(settings)
    return {name: value for name, value in _json_values(settings or {}).items() if name not in NEVER_STORED}


class _Loop:
    """Drives `learn` and does what is due at each yield, always in this order: log, evaluate, checkpoint."""

    def __init__(
        self,
        run: Run,
        agent: Any,
        task: Task,
        learned_in: Task,
        start: int,
        fresh: bool,
        seconds: float,
        checkpoint_steps: int | None,
        on_yield: Callable[[Any, Mapping[str, float]], None] | None,
    ) -> None:
        self.run, self.agent, self.task, self.learned_in = run, agent, task, learned_in
        self.steps = self.saved = start
        self.on_yield = on_yield
        self.checkpoint_seconds, self.checkpoint_steps = seconds, checkpoint_steps
        self.fresh = fresh
        self.started = self.saved_at = time.monotonic()
        self.checkpoint_cost = 0.0  # seconds the last one took
        self.note = ""

    def drive(self, bar: Progress, asked_to_stop: threading.Event) -> None:
        try:
            if self._begins_evaluated():
                self.evaluate()
            for metrics in self._reports():
                self.fresh = False
                before, self.steps = self.steps, int(metrics["steps"])
                self.run.log({**metrics, "seconds": time.monotonic() - self.started})
                if self.on_yield is not None:
                    self.on_yield(self.agent, metrics)
                if self._crossed(before, self.run.settings.evaluate_every):
                    self.evaluate()
                if asked_to_stop.is_set():
                    self.interrupt()
                if self._checkpoint_due():
                    self.checkpoint()
                bar.update(self.steps, self.note)
            self.checkpoint(finished=True)
            self.run.close()
        except TrainingInterrupted:
            raise
        except KeyboardInterrupt:
            self._close_quietly()
            raise TrainingInterrupted(self._farewell(f"stopped at once; {self._kept()}"), self.run) from None
        except Exception as error:
            if self.fresh:  # refused before anything was learned: there is nothing to go on with
                self._discard_quietly()
            else:
                self._close_quietly()
                if isinstance(error, UsageError):
                    error.args = (f"{error}\n  kept: {self._kept()}",)
            raise
        except BaseException:
            self._close_quietly()
            raise

    def _close_quietly(self) -> None:
        """Closes the run when something else went wrong already, which is what has to be reported."""
        with suppress(UsageError):
            self.run.close()

    def _discard_quietly(self) -> None:
        with suppress(OSError):
            self.run.discard()

    def _reports(self) -> Iterator[Mapping[str, float]]:
        """Yields what `learn` yields; reports as `UsageError` where a custom `learn` does otherwise."""
        reports, name = self.agent.learn(self.learned_in, self.run.settings.steps), self.run.settings.agent
        if not isinstance(reports, Iterator):
            raise UsageError(
                f"learn of {name} returned {reports!r}",
                expected="a generator: learn yields metrics while it learns",
                hint='yield {"steps": steps_so_far} in it now and then, and at the end',
            )
        for metrics in reports:
            if not isinstance(metrics, Mapping) or "steps" not in metrics:
                raise UsageError(
                    f"learn of {name} yielded {metrics!r}",
                    expected='a dictionary of numbers with "steps", the environment steps taken so far',
                    hint=f"inscape check {name} WORLD",
                )
            yield metrics

    def _begins_evaluated(self) -> bool:
        """Whether the learning curve begins at step 0, with what the agent does before it has learned anything.

        Where nobody knows what that takes it does not: in third-party environments, with third-party agents, and
        where episodes have no limit, which an untrained agent may need.
        """
        built_in = self.run.settings.agent in {entry.name for entry in BUILT_IN}
        limited = self.task.world is not None and self.task.max_episode_steps is not None
        begins = self.steps == 0 and not checkpoint_folders(self.run.path)
        return begins and self.run.settings.evaluate_every > 0 and built_in and limited

    def _crossed(self, before: int, every: int) -> bool:
        """Whether a multiple of `every` lies in (before, steps]: a function of the steps alone, so that a resumed run
        evaluates where an uninterrupted one does."""
        return every > 0 and self.steps // every > before // every

    def evaluate(self) -> None:
        import numpy as np

        from inscape.agents.rollout import bootstrap_interval, evaluate_players

        settings, task = self.run.settings, self.task
        seed, episodes = EVALUATION_SEED + settings.seed, settings.evaluate_episodes
        found = [
            (seat, result)
            for cast, own in evaluated_casts(self.agent, task, seed)
            for seat, result in enumerate(evaluate_players(cast, task, episodes, seed))
            if seat in own
        ]
        returns = np.concatenate([result.returns for _, result in found])
        low, high = found[0][1].ci if len(found) == 1 else bootstrap_interval(returns, np.random.default_rng(seed))
        lengths = np.concatenate([result.lengths for _, result in found])
        by_player = {f"evaluation/return_mean/{task.player_names[seat]}": result.mean for seat, result in found}
        self.run.log(
            {
                "steps": self.steps,
                "seconds": time.monotonic() - self.started,
                "evaluation/return_mean": float(returns.mean()),
                "evaluation/return_low": float(low),
                "evaluation/return_high": float(high),
                "evaluation/length_mean": float(lengths.mean()),
                "evaluation/episodes": float(episodes),
                **(by_player if len(found) > 1 else {}),
            }
        )
        self.note = f"return {returns.mean():.4g}"

    def _checkpoint_due(self) -> bool:
        if self.checkpoint_steps is not None and self.steps - self.saved >= self.checkpoint_steps:
            return True
        seconds = self.checkpoint_seconds
        if self.task.world is None and seconds > 0:  # third-party code may raise, exit or kill the process at any step
            seconds = min(seconds, CHECKPOINT_SHARE * self.checkpoint_cost)
        return time.monotonic() - self.saved_at >= seconds

    def checkpoint(self, finished: bool = False) -> None:
        began, state = time.monotonic(), self.agent.state_dict()
        try:
            self.run.save_checkpoint(state, self.steps, finished=finished)
        except (TypeError, AttributeError) as error:  # what it has come to hold while it learned
            require_storable(state, self.run.settings.agent)
            raise error
        self.saved, self.saved_at = self.steps, time.monotonic()
        self.checkpoint_cost = self.saved_at - began

    def interrupt(self) -> None:
        self.checkpoint()
        self.run.close()
        raise TrainingInterrupted(self._farewell(self._kept()), self.run)

    def _kept(self) -> str:
        return f"{self.run.path} holds {self.saved:,} of {self.run.settings.steps:,} steps"

    def _farewell(self, kept: str) -> str:
        launcher = f"torchrun --nproc-per-node {process_count()} -m " if process_count() > 1 else ""
        return f"Interrupted: {kept}.\nGo on with: {launcher}inscape train --resume {self.run.path}"


@contextmanager
def _polite_interrupt() -> Iterator[threading.Event]:
    """Turns the first Ctrl-C into a request honoured at the next yield, where the agent is whole; a second one stops at
    once. Signals reach the main thread only; elsewhere nothing changes."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def handle(number: int, frame: FrameType | None) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    previous = signal.signal(signal.SIGINT, handle)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, previous)


def _run_to_resume(
    wanted: RunSettings, agent: Any, out: str | Path | None, root: str | Path, accept_changes: bool
) -> Run:
    folder = out if out is not None else matching_run(wanted, root)
    if folder is None:
        raise UsageError(
            f"nothing to resume: there is no run {Path(root) / run_name(wanted)}",
            expected="a run folder of this agent, world and seed",
            hint="--out FOLDER to name it, or leave out --resume to start",
        )
    run = open_run(folder, root)
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
    return run


def _restore(run: Run, agent: Any) -> int | None:
    """Loads the last checkpoint and returns the step to go on from; None if the run came to its end already."""
    latest = run.load_latest()
    if latest is None:
        run.truncate_metrics(-1)
        return 0
    state, metadata = latest
    if metadata["finished"]:
        return None
    _load_state(run, agent, state)
    run.truncate_metrics(metadata["steps"])
    return int(metadata["steps"])


def _load_state(run: Run, agent: Any, state: dict[str, Any]) -> None:
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


def _require_learning(agent: Any, spec: str) -> None:
    if not callable(getattr(agent, "learn", None)):
        raise UsageError(
            f"agent {spec} does not learn",
            expected="an agent with a method learn(task, steps)",
            hint=f"inscape evaluate {spec} WORLD",
        )
    _require_saving(agent, spec)


def _learn_along(agent: Any, spec: str, task: Task) -> None:
    """Under torchrun: refuses agents that learn in one process; in all but the first, does not return."""
    if not callable(getattr(agent, "run_worker", None)):
        raise UsageError(
            f"{spec} in {process_count()} processes",
            expected="an agent that can share its learning: ppo, a2c, dqn, sac", hint="leave out torchrun",
        )  # fmt: skip
    if process_number() > 0:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process: the first decides
        agent.run_worker(task)
        dismiss()
        raise SystemExit(0)


def _require_saving(agent: Any, spec: str) -> None:
    """An agent that learns and cannot be saved would leave runs that look trained and are not."""
    missing = [name for name in ("state_dict", "load_state_dict") if not callable(getattr(agent, name, None))]
    if missing:
        raise UsageError(
            f"agent {spec} learns, but has no {' and no '.join(missing)}: what it learns would be lost",
            expected="state_dict(self) -> dict of arrays and plain values, and load_state_dict(self, state)",
            hint=f"add them (all that acting and learning on need), then inscape check {spec} WORLD",
        )


def _json_values(value: Any) -> Any:
    """Returns the value as it will read back from settings.json (tuples become lists), to compare like with like."""
    return json.loads(json.dumps(value))


def _resolved(device: str) -> str:
    """Returns what a device came to: an agent with tensors has imported torch by now, any other runs on the CPU."""
    if "torch" not in sys.modules:
        return "cpu"
    from inscape.world_models.networks.device import resolve_device

    return str(resolve_device(device))


def _usable(device: str) -> str:
    import torch

    return device if torch.cuda.is_available() else "cpu"
