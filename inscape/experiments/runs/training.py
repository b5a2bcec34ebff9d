"""The training loop around an agent's `learn`: metrics, learning curve, checkpoints, Ctrl-C, exact resume.

`learn` is a generator that yields at points where `state_dict` is whole; everything here happens between yields. A run
killed at any moment goes on from its last checkpoint and ends with the weights of one never killed: what was logged
after that checkpoint is forgotten and happens again.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakKeyDictionary

import numpy as np

from inscape.agents.catalogue import BUILT_IN, AgentEntry
from inscape.agents.in_hand import IN_HAND, known_name, name_of
from inscape.agents.learning.distributed import dismiss, process_count, process_number
from inscape.agents.registry import SB3_PREFIX, default_steps, is_built_in
from inscape.agents.renamed_settings import current_settings
from inscape.agents.settings import build_settings
from inscape.envs.tasks.arguments import files_in, require_json
from inscape.envs.tasks.checking.contract import EnvironmentFault
from inscape.envs.tasks.resolve import as_task
from inscape.errors import UnknownSettingError, UsageError, exits_as_errors, whole_number
from inscape.experiments.runs.checkpoints import checkpoint_folders, require_storable
from inscape.experiments.runs.loading import agent_of, build_agent, learning_task, load_state, require_saving
from inscape.experiments.runs.progress import Progress
from inscape.experiments.runs.run import (
    DEFAULT_ROOT,
    NEVER_STORED,
    Run,
    RunSettings,
    create_run,
    installed_versions,
    matching_run,
    open_run,
    run_name,
)
from inscape.experiments.runs.unsaved import UnsavedRun
from inscape.trust import code_record, file_record

if TYPE_CHECKING:
    from inscape.agents.interface import Agent
    from inscape.envs.tasks.processes.workers import Workers
    from inscape.envs.tasks.resolve import Given
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
    agent: Any,
    world: Given,
    steps: int | None = None,
    *,
    seed: int = 0,
    device: str = "cpu",
    out: str | Path | None = None,
    root: str | Path | None = None,
    resume: bool = False,
    settings: Any = None,
    verbose: bool = True,
    progress: bool = True,
    evaluate_every: int | None = None,
    evaluate_episodes: int = 10,
    checkpoint_seconds: float = 30.0,
    checkpoint_steps: int | None = None,
    on_yield: Callable[[Any, Mapping[str, float]], None] | None = None,
    accept_changes: bool = False,
    workers: Workers | int | Literal["auto"] | None = None,
    **agent_settings: Any,
) -> Run:
    """Trains an agent in a world and returns the run: the trained agent, its metrics, and its folder if it has one.

        run = train("ppo", "CartPole")
        run = train(PPO, MyWorld(), steps=20_000, learning_rate=1e-3)
        run = train(my_agent, gym.make("CartPole-v1"), steps=10_000, out="runs/mine")

    Without `out` and `root` no file is written: the run is in memory, and `run.save(FOLDER)` writes it. The same seed
    gives the same run.

    Under `torchrun` all processes call this alike. The first has the run folder and returns; the others learn along
    (`inscape.agents.learning.distributed`) and leave when it is done.

    Args:
        agent: a name (`"ppo"`, `"sb3:dqn"`, `"file.py:Class"`), a class (of Inscape, of Stable-Baselines3, your own),
            or an agent in hand, which goes on learning.
        world: a name, or a task, a world or an environment, its class or a function that makes one; agents learn in
            copies of it.
        steps: environment steps in total, those before a resume included, those an agent in hand has learned before
            not; None for the preset of this agent in this world, or the agent's default.
        seed: seed of everything random.
        device: `"auto"`, `"cpu"` or `"cuda"`; what `"auto"` came to is recorded.
        out: the run folder; None makes one under `root`, or with `resume` finds the newest one of this name there.
        root: where run folders without a name of their own go; the command line has `runs`.
        resume: go on from the last checkpoint of a run with the same settings.
        settings: the agent's settings, a dataclass or a dict; None for its defaults.
        verbose: show progress when training takes longer than two seconds: a bar, in a notebook too; a line now and
            then where output is not a terminal.
        progress: False shows no progress either.
        evaluate_every: steps between points of the learning curve; None for ten points, 0 for none.
        evaluate_episodes: episodes of each of those evaluations.
        checkpoint_seconds: time between checkpoints, at most; whatever the value, one is made at the end and on Ctrl-C,
            and more often in third-party environments (`CHECKPOINT_SHARE`).
        checkpoint_steps: steps between checkpoints, besides those made by time.
        on_yield: called with the agent and its metrics whenever `learn` yields; to look, not to change.
        accept_changes: with `resume`, go on although a file of the agent or of the task was edited since.
        workers: processes that the copies of a third-party environment are divided over, a number, `"auto"` or
            `Workers` with the limits; None for what the task says (`Task.in_workers`). Results do not depend on it.
        agent_settings: settings of the agent by name, over `settings`.

    Raises:
        UsageError: there is no such agent or world; the agent does not learn or cannot be saved, or not among the
            players of this world; an unknown setting (a `TypeError` too); a number below the least it can be; the
            folder cannot be used, or another process trains the run; or the settings of a resumed run changed, or its
            code without `accept_changes`.
        EnvironmentFault: a third-party environment went wrong; the run is kept, and can be resumed.
        TrainingInterrupted: Ctrl-C; a checkpoint was left.
        SystemExit: under torchrun, in the processes that only learn along, when the first is done.
    """
    task, spec = as_task(world), name_of(agent)
    _require_own_names(agent_settings)
    settings = merged_settings(settings, agent_settings)
    hint = "--steps 100000"
    steps = _steps_of(agent, task) if steps is None else whole_number("{} training steps", steps, 1, hint=hint)
    seed = whole_number("seed", seed)
    _require_numbers(evaluate_every, evaluate_episodes, checkpoint_steps, checkpoint_seconds)
    unsaved = out is None and root is None and not resume
    if task.world is None and not unsaved:
        require_json(task.to_json()["settings"], task.name)
    if workers is not None:
        task = in_workers(task, workers)
    learned_in, given = learning_task(agent, task), agent
    with _settings_of_the_world(agent_settings, task):
        agent = build_agent(given, learned_in, seed, settings, device)
    _require_learning(agent, spec, unsaved)
    if not unsaved and not is_built_in(spec):  # built-in states can be stored, and may be large
        require_storable(agent.state_dict(), spec)
    if process_count() > 1:
        _learn_along(agent, spec, learned_in)
    before = 0 if resume or isinstance(given, (str, type)) else steps_learned(given)
    steps += before
    wanted = RunSettings(
        agent=spec,
        task=_json_values(task.to_json()),
        seed=seed,
        steps=steps,
        device=_resolved(device),
        agent_settings=complete_settings(agent, settings, lenient=unsaved),
        evaluate_every=max(1, (steps - before) // 10) if evaluate_every is None else evaluate_every,
        evaluate_episodes=evaluate_episodes,
        versions=installed_versions(),
    )
    loaded = wanted.agent_settings.get("load") if spec.startswith(SB3_PREFIX) else None
    code = code_record(wanted.code_names()) | (file_record(loaded) if loaded else {})
    for file in files_in(wanted.task):
        code |= file_record(file)
    wanted = dataclasses.replace(wanted, code=code)
    root = DEFAULT_ROOT if root is None else root
    run: Run
    if unsaved:
        run = UnsavedRun(wanted)
    elif resume:
        run = _run_to_resume(wanted, agent, out, root, accept_changes)
    else:
        run = create_run(wanted, out, root, locked=True)
    run.hold(agent, task)
    try:
        start = _restore(run, agent) if resume else before
        if start is not None:
            loop = _Loop(
                run, agent, task, learned_in, start, not resume, checkpoint_seconds, checkpoint_steps, on_yield
            )
            with (
                Progress(f"{spec} in {task.name}", steps, done=start, enabled=verbose and progress) as bar,
                _polite_interrupt() as asked,
            ):
                loop.drive(bar, asked)
            run.trained_steps = loop.steps - start
    finally:
        run.release()
    dismiss()
    return run


def in_workers(task: Task, workers: Workers | int | Literal["auto"]) -> Task:
    """Returns the task with its copies in worker processes; with `"auto"`, as it is where that is not possible.

    Raises:
        UsageError: a number of processes for copies that cannot be divided over any (`Task.in_workers`).
    """
    if workers == "auto" and (why := task.no_workers()):
        logging.getLogger("inscape").info("No worker processes for %s: %s.", task.name, why)
        return task
    return task.in_workers(workers)


def _require_own_names(settings: Mapping[str, Any]) -> None:
    """Raises `UsageError`, a `TypeError` too, for arguments that are none of an agent's and that belong elsewhere."""
    for name, instead in (("total_timesteps", "steps=…"), ("timesteps", "steps=…"), ("episodes", "steps=…")):
        if name in settings:
            raise UnknownSettingError("train", name, expected="how many environment steps", hint=instead)


@contextmanager
def _settings_of_the_world(given: Mapping[str, Any], task: Task) -> Iterator[None]:
    """Where an agent has no such setting, says so if the world has it."""
    try:
        yield
    except UnknownSettingError as error:
        known = {} if task.world is None else task.world.setting_parameters()
        name = next((name for name in given if name in known and repr(name) in error.found), None)
        if name is None:
            raise
        raise UnknownSettingError(
            error.found, expected="a setting of the agent; this is one of the world",
            hint=f"make_world({task.name!r}, {name}={given[name]!r})",
        ) from error  # fmt: skip


def merged_settings(settings: Any, named: Mapping[str, Any]) -> Any:
    """Returns settings, a dataclass, a mapping or None, with those given by name over them."""
    if not named:
        return settings
    if settings is None or isinstance(settings, Mapping):
        return {**(settings or {}), **named}
    return build_settings(type(settings), named, base=settings)


def _require_numbers(every: Any, episodes: Any, checkpoint_steps: Any, checkpoint_seconds: Any) -> None:
    for name, value, least in (
        ("evaluate_every", every, 0), ("evaluate_episodes", episodes, 1),
        ("checkpoint_steps", checkpoint_steps, 1), ("checkpoint_seconds", checkpoint_seconds, 0),
    ):  # fmt: skip
        if value is not None and not value >= least:
            raise UsageError(f"{name} = {value!r}", expected=f"a number of at least {least}")


def _steps_of(agent: Any, task: Task) -> int:
    """Returns how many steps to train for where that is not given."""
    name = agent if isinstance(agent, str) else known_name(agent if isinstance(agent, type) else type(agent))
    return AgentEntry.steps if name is None else default_steps(name, task)


_learned: WeakKeyDictionary[Any, int] = WeakKeyDictionary()
"""Steps that agents in hand have learned in this process."""


def steps_learned(agent: Any) -> int:
    """Returns how many steps an agent in hand has learned, by `train` in this process."""
    try:
        return _learned.get(getattr(agent, "wrapped", agent), 0)
    except TypeError:  # an object of which no weak reference can be made
        return 0


def _note_learned(agent: Any, steps: int) -> None:
    with suppress(TypeError):
        _learned[getattr(agent, "wrapped", agent)] = steps


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


def complete_settings(agent: Agent, given: Any, lenient: bool = False) -> dict[str, Any]:
    """Returns every setting an agent runs with as JSON values: its `settings` dataclass if it has one, else `given`."""
    return settings_as_json(getattr(agent, "settings", given), lenient)


def settings_as_json(settings: Any, lenient: bool = False) -> dict[str, Any]:
    """Returns settings, a dataclass or a mapping, as they will read back from settings.json; None stays None.

    Args:
        settings: the settings.
        lenient: write out, as Python shows it, what JSON has no value for: of a run that is not stored.
    """
    if dataclasses.is_dataclass(settings) and not isinstance(settings, type):
        settings = dataclasses.asdict(settings)
    settings = settings if isinstance(settings, Mapping) else {}  # a custom agent may keep anything under that name
    plain = _json_values(settings, default=repr if lenient else None)
    return {name: value for name, value in plain.items() if name not in NEVER_STORED}


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
        self.folder = os.getcwd()
        self.restarts = 0  # entries of `Workers.faults` that the run has noted

    def drive(self, bar: Progress, asked_to_stop: threading.Event) -> None:
        try:
            with exits_as_errors(f"{self.run.settings.agent} learned in {self.task.name}"):
                self._drive(bar, asked_to_stop)
        except TrainingInterrupted:
            raise
        except KeyboardInterrupt:
            self._close_quietly()
            raise TrainingInterrupted(self._farewell(f"stopped at once; {self._kept()}"), self.run) from None
        except Exception as error:
            # refused before anything was learned, there is nothing to go on with; an environment that went wrong has
            # begun, and may be mended
            if self.fresh and not isinstance(error, EnvironmentFault):
                self._discard_quietly()
            else:
                self._close_quietly()
                if isinstance(error, UsageError) and self.run.folder is not None:
                    error.args = (f"{error}\n  kept: {self._kept()}",)
            raise
        except BaseException:
            self._close_quietly()
            raise

    def _drive(self, bar: Progress, asked_to_stop: threading.Event) -> None:
        if self._begins_evaluated():
            self.evaluate()
        self._first_checkpoint()
        try:
            for metrics in self._reports():
                self.fresh = False
                before, self.steps = self.steps, int(metrics["steps"])
                _note_learned(self.agent, self.steps)
                self.run.log({**metrics, **self._restarts(), "seconds": time.monotonic() - self.started})
                if self.on_yield is not None:
                    self.on_yield(self.agent, metrics)
                if self._crossed(before, self.run.settings.evaluate_every):
                    self.evaluate()
                if asked_to_stop.is_set():
                    self.interrupt()
                if self._checkpoint_due():
                    self.checkpoint()
                bar.update(self.steps, self.note)
        finally:
            self._restarts()
        self.checkpoint(finished=True)
        self.run.close()

    def _close_quietly(self) -> None:
        """Closes the run when something else went wrong already, which is what has to be reported."""
        with suppress(UsageError):
            self.run.close()

    def _discard_quietly(self) -> None:
        with suppress(OSError):
            self.run.discard()

    def _first_checkpoint(self) -> None:
        """Saves the agent as it begins, in a third-party environment, which may end this process at any step."""
        if self.fresh and self.task.world is None and self.run.folder is not None:
            try:
                state = self.agent.state_dict()
            except Exception:  # whatever a custom agent raises that has no state before it learns: then there is none
                return
            self.run.save_checkpoint(state, self.steps)
            self.saved_at = time.monotonic()

    def _restarts(self) -> dict[str, float]:
        """Notes in the run which copies in worker processes were made again; returns how often that was, if at all."""
        workers = self.task.workers
        if workers is None or not workers.faults:
            return {}
        new, self.restarts = workers.faults[self.restarts :], len(workers.faults)
        if new and self.run.folder is not None:
            self.run.log_restarts(dataclasses.asdict(fault) for fault in new)
        return {"restarts": float(workers.restarts)}

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
            self._stay()
            if not isinstance(metrics, Mapping) or "steps" not in metrics:
                raise UsageError(
                    f"learn of {name} yielded {metrics!r}",
                    expected='a dictionary of numbers with "steps", the environment steps taken so far',
                    hint=f"inscape check {name} WORLD",
                )
            yield metrics

    def _stay(self) -> None:
        """Goes back to the folder that the run's path counts from, where an environment or agent has left it."""
        try:
            now = os.getcwd()
        except FileNotFoundError:  # it was removed
            now = ""
        if now != self.folder:
            os.chdir(self.folder)
            logging.getLogger("inscape").warning(
                "%s or %s changed the working folder to %s; it is changed back",
                self.run.settings.agent, self.task.name, now or "one that is gone",
            )  # fmt: skip

    def _begins_evaluated(self) -> bool:
        """Whether the learning curve begins at step 0, with what the agent does before it has learned anything.

        Where nobody knows what that takes it does not: in third-party environments, with third-party agents, and
        where episodes have no limit, which an untrained agent may need.
        """
        built_in = self.run.settings.agent in {entry.name for entry in BUILT_IN}
        limited = self.task.world is not None and self.task.max_episode_steps is not None
        folder = self.run.folder
        begins = self.steps == 0 and (folder is None or not checkpoint_folders(folder))
        return begins and self.run.settings.evaluate_every > 0 and built_in and limited

    def _crossed(self, before: int, every: int) -> bool:
        """Whether a multiple of `every` lies in (before, steps]: a function of the steps alone, so that a resumed run
        evaluates where an uninterrupted one does."""
        return every > 0 and self.steps // every > before // every

    def evaluate(self) -> None:
        from inscape.agents.rollout import bootstrap_interval, evaluate_players

        settings, task = self.run.settings, self.task
        seed, episodes = EVALUATION_SEED + settings.seed, settings.evaluate_episodes
        found = [
            (seat, result)
            for cast, own in evaluated_casts(self.agent, task, seed)
            for seat, result in enumerate(evaluate_players(cast, task, episodes, seed))
            if seat in own
        ]
        self._stay()
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
        if self.run.folder is None:
            return False
        if self.checkpoint_steps is not None and self.steps - self.saved >= self.checkpoint_steps:
            return True
        seconds = self.checkpoint_seconds
        if self.task.world is None and seconds > 0:  # third-party code may raise, exit or kill the process at any step
            seconds = min(seconds, CHECKPOINT_SHARE * self.checkpoint_cost)
        return time.monotonic() - self.saved_at >= seconds

    def checkpoint(self, finished: bool = False) -> None:
        if isinstance(self.run, UnsavedRun):
            self.saved = self.steps
            self.run.reached(self.steps, finished)
            return
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
        if self.run.folder is None:
            return f"the agent has learned {self.steps:,} of {self.run.settings.steps:,} steps"
        return f"{self.run.path} holds {self.saved:,} of {self.run.settings.steps:,} steps"

    def _farewell(self, kept: str) -> str:
        if self.run.folder is None:
            return f"Interrupted: {kept}.\nIt is the agent of the error's run: sys.last_value.run.agent"
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


def _restore(run: Run, agent: Any) -> int | None:
    """Loads the last checkpoint and returns the step to go on from; None if the run came to its end already."""
    latest = run.load_latest()
    if latest is None:
        run.truncate_metrics(-1)
        return 0
    state, metadata = latest
    if metadata["finished"]:
        return None
    load_state(run, agent, state)
    run.truncate_metrics(metadata["steps"])
    return int(metadata["steps"])


def _require_learning(agent: Any, spec: str, unsaved: bool) -> None:
    if not callable(getattr(agent, "learn", None)):
        raise UsageError(
            f"agent {spec} does not learn",
            expected="an agent with a method learn(task, steps)",
            hint=_how_to_learn(agent, spec),
        )
    if not unsaved:
        require_saving(agent, spec)


def _how_to_learn(agent: Any, spec: str) -> str:
    if type(getattr(agent, "wrapped", None)).__module__.startswith(("stable_baselines3.", "sb3_contrib.")):
        return "model.learn(…), or train with its class: train(PPO, world)"
    return f"inscape evaluate {spec} WORLD"


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


def _json_values(value: Any, default: Callable[[Any], str] | None = None) -> Any:
    """Returns the value as it will read back from settings.json (tuples become lists), to compare like with like."""
    try:
        return json.loads(json.dumps(value, default=default))
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"settings that settings.json cannot hold: {error}", expected="numbers, text, lists, dictionaries"
        ) from error


def _resolved(device: str) -> str:
    """Returns what a device came to: an agent with tensors has imported torch by now, any other runs on the CPU."""
    if "torch" not in sys.modules:
        return "cpu"
    from inscape.world_models.networks.device import resolve_device

    return str(resolve_device(device))
