"""The loop around an agent's `learn`: what is due at each of its yields, and what is left when it ends early."""

from __future__ import annotations

import dataclasses
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from inscape.agents.catalogue import BUILT_IN
from inscape.agents.learning.apart import apart
from inscape.agents.learning.distributed import process_count
from inscape.envs.tasks.checking.contract import EnvironmentFault
from inscape.errors import UsageError, exits_as_errors
from inscape.experiments.runs.callbacks import call, states_of
from inscape.experiments.runs.during.curriculum import curriculum_metrics
from inscape.experiments.runs.model_scores import ModelScores
from inscape.experiments.runs.progress import Progress
from inscape.experiments.runs.run import Run
from inscape.experiments.runs.storage.checkpoints import checkpoint_folders, require_storable
from inscape.experiments.runs.unsaved import UnsavedRun

if TYPE_CHECKING:
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


class TrainingLoop:
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
        callbacks: Sequence[Any] = (),
    ) -> None:
        self.run, self.agent, self.task, self.learned_in = run, agent, task, learned_in
        self.steps = self.saved = start
        self.on_yield, self.callbacks = on_yield, callbacks
        self.stopped: str | None = None  # why, once somebody has stopped it
        self.checkpoint_seconds, self.checkpoint_steps = seconds, checkpoint_steps
        self.fresh = fresh
        self.started = self.saved_at = time.monotonic()
        self.checkpoint_cost = 0.0  # seconds the last one took
        self.note = ""
        self.folder = os.getcwd()
        self.model_scores = ModelScores(agent, task, EVALUATION_SEED + run.settings.seed)
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

    def stop(self, reason: str = "") -> None:
        """Ends training at this point, as if no more steps had been asked for; the run counts as finished."""
        if self.stopped is None:
            self.stopped = str(reason)

    def _drive(self, bar: Progress, asked_to_stop: threading.Event) -> None:
        call(self.callbacks, "on_start", self)
        if self._begins_evaluated():
            self.evaluate()
        self._first_checkpoint()
        try:
            for metrics in self._reports() if self.stopped is None else ():
                self.fresh = False
                before, self.steps = self.steps, int(metrics["steps"])
                _note_learned(self.agent, self.steps)
                more = {**self._restarts(), **curriculum_metrics(self.learned_in)}
                self.run.log({**metrics, **more, "seconds": time.monotonic() - self.started})
                if self.on_yield is not None:
                    self.on_yield(self.agent, metrics)
                call(self.callbacks, "on_step", self, metrics)
                if self._crossed(before, self.run.settings.evaluate_every):
                    self.evaluate()
                if asked_to_stop.is_set():
                    self.interrupt()
                if self._checkpoint_due():
                    self.checkpoint()
                bar.update(self.steps, self.note)
                if self.stopped is not None:
                    break
        finally:
            self._restarts()
        self.checkpoint(finished=True)
        self.run.close()
        call(self.callbacks, "on_end", self)

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
        with apart(self.agent, seed):
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
        metrics = {
            "steps": self.steps,
            "seconds": time.monotonic() - self.started,
            "evaluation/return_mean": float(returns.mean()),
            "evaluation/return_low": float(low),
            "evaluation/return_high": float(high),
            "evaluation/length_mean": float(lengths.mean()),
            "evaluation/episodes": float(episodes),
            **(by_player if len(found) > 1 else {}),
            **self.model_scores(),
        }
        self.run.log(metrics)
        self.note = f"return {returns.mean():.4g}"
        call(self.callbacks, "on_evaluation", self, metrics)

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
        stopped = self.stopped if finished else None
        if isinstance(self.run, UnsavedRun):
            self.saved = self.steps
            self.run.reached(self.steps, finished, stopped)
            return
        began, state = time.monotonic(), self.agent.state_dict()
        more = {"callbacks": states_of(self.callbacks)} | ({} if stopped is None else {"stopped": stopped})
        try:
            self.run.save_checkpoint(state, self.steps, finished=finished, more=more)
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


@contextmanager
def polite_interrupt() -> Iterator[threading.Event]:
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
