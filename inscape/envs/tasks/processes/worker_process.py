"""What runs in a worker process: some copies of a third-party environment, stepped when the parent process asks.

`workers.WorkerVectorEnv` starts it. A copy that raises, or hands over what its interface excludes, is made again here;
one that ends or blocks the whole process is found out by the parent, which reads in `Progress` where it was. When the
parent is gone, however it went, this process ends, and so does what its environments have started.
"""

from __future__ import annotations

import logging
import math
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Protocol

import gymnasium as gym
import numpy as np

from inscape.envs.law.streams import later_seed
from inscape.envs.tasks.checking import hangs
from inscape.envs.tasks.checking.contract import EnvironmentFault
from inscape.envs.tasks.processes.shared_rows import RowLayout, Rows, SharedMemory
from inscape.errors import UsageError

Array = np.ndarray

METHODS = ("__init__", "reset", "step", "render", "close")
"""What a copy may be in; `Progress` holds the number."""
BEAT, COPY, METHOD, STEPS, SEED = range(5)
"""Entries of a worker's `Progress`: changes with each call of an environment; which copy is called; what; its steps
since it was seeded; its seed, −1 for none."""


class ForeignCopy(Protocol):
    """One copy of an environment, checked; it is reset when it is asked to be, not by itself."""

    def reset(self, *, seed: int | None, options: dict[str, Any] | None) -> tuple[Any, dict[str, Any]]:
        """Begins an episode; returns observation and info."""

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Returns observation, reward, terminated, truncated and info."""

    def render(self) -> Any:
        """Returns what it draws."""

    def close(self) -> None:
        """Closes it."""


@dataclass(frozen=True)
class Plan:
    """What a worker needs to know of the environment and of the memory; the same for all workers.

    Attributes:
        make: makes copy number i, to be drawn in a render mode.
        name: of the environment, for messages.
        spaces: of observations and actions, as every copy must have them.
        render_mode: the environment's, or None.
        same_step: whether a copy is reset in the step in which its episode ends.
        rows: where observations lie in the memory.
        offsets: where the last observations, rewards, both flags and the progress lie.
        reward_shape: `()` or `(M,)`.
        count: copies in all workers.
        with_infos: whether the environment's own infos are handed over.
        masks_at_ends: whether a copy whose episode is over has a mask, where it is reset in the next step.
        most_failures: times that a copy is made again in one step before that is given up.
    """

    make: Callable[[int, str | None], ForeignCopy]
    name: str
    spaces: tuple[Any, Any]
    render_mode: str | None
    same_step: bool
    rows: RowLayout
    finals: RowLayout
    offsets: dict[str, int]
    reward_shape: tuple[int, ...]
    count: int
    workers: int
    with_infos: bool
    masks_at_ends: bool
    most_failures: int


class Memory:
    """The arrays that workers write and the parent reads."""

    def __init__(self, plan: Plan, memory: SharedMemory) -> None:
        self.observations, self.finals = Rows(plan.rows, memory), Rows(plan.finals, memory)
        at, count = plan.offsets, plan.count
        self.rewards = memory.array(at["rewards"], np.float64, (count, *plan.reward_shape))
        self.terminated = memory.array(at["terminated"], np.bool_, (count,))
        self.truncated = memory.array(at["truncated"], np.bool_, (count,))
        self.progress = memory.array(at["progress"], np.int64, (plan.workers, 8))


@dataclass(frozen=True)
class Life:
    """Which copy a worker is to have, and how it begins.

    Attributes:
        number: which copy it is, among those of this process and others.
        seed: what it was first seeded with; None if it never was.
        lives: how often it was made before.
    """

    number: int
    seed: int | None
    lives: int

    @property
    def own_seed(self) -> int | None:
        """The seed of this life: no episode of an earlier one is seen again."""
        return None if self.seed is None else later_seed(self.seed, self.lives)


@dataclass(frozen=True)
class Fault:
    """A copy went wrong and was made again.

    Attributes:
        copy: its number.
        seed: what it had been seeded with; None if it had not been.
        step: its steps since then.
        message: what happened, as it is reported.
        shared: whether only the process that it shared with another copy ended.
    """

    copy: int
    seed: int | None
    step: int
    message: str
    shared: bool = False


class Worker:
    """The copies of one process.

    Args:
        plan: see `Plan`.
        number: which worker it is.
        first: row of its first copy in the arrays.
        shared: the memory.

    Attributes:
        extras: what the last order brought beside what lies in the memory.
    """

    def __init__(self, plan: Plan, number: int, first: int, shared: SharedMemory) -> None:
        self.plan, self.memory, self.first = plan, Memory(plan, shared), first
        memory = self.memory
        self._progress = memoryview(memory.progress[number]).cast("B").cast("q")
        self.copies: list[ForeignCopy | None] = []
        self.lives: list[Life] = []
        self._steps: list[int] = []
        self._seeds: list[int] = []
        self._number = 0
        self._last: list[Any] = []
        self._fresh: list[bool] = []
        self._held: list[tuple[Any, dict[str, Any]] | None] = []
        self.extras: dict[str, Any] = {}

    def begin(self, lives: Sequence[Life], options: dict[str, Any] | None, holding: bool) -> None:
        """Makes the copies and begins an episode in each.

        Args:
            lives: the copies.
            options: for the reset.
            holding: keep the first observations for the next step: last ones of an episode are still to be returned.
        """
        count = len(lives)
        self.copies = [None] * count
        self.lives, self._steps, self._seeds = list(lives), [0] * count, [-1] * count
        self._number = self.lives[0].number
        self._last, self._fresh, self._held = [None] * count, [False] * count, [None] * count
        for i in range(count):
            begun = self._made(i, options)
            if holding:
                self._held[i], self._fresh[i] = begun, True
            else:
                self._row(i, *begun)

    def reset(self, seeds: Sequence[int | None], options: dict[str, Any] | None) -> None:
        """Begins an episode in each copy."""
        for i, seed in enumerate(seeds):
            if seed is not None:
                self.lives[i] = Life(self.lives[i].number, seed, 0)
            self._fresh[i], self._held[i] = False, None
            try:
                begun = self._begun(i, seed, options)
            except EnvironmentFault as fault:
                begun = self._made_again(i, fault)
            self._row(i, *begun)

    def step(self, actions: Sequence[Any]) -> None:
        """Takes an action in each copy; what comes of it lies in the memory and in `extras` afterwards."""
        memory, first, same_step = self.memory, self.first, self.plan.same_step
        rewards, terminated, truncated = memory.rewards, memory.terminated, memory.truncated
        for i, action in enumerate(actions):
            row = first + i
            if self._fresh[i]:
                self._fresh[i] = False
                begun, self._held[i] = self._held[i], None
                if begun is None:
                    try:
                        begun = self._begun(i, None, None)
                    except EnvironmentFault as fault:
                        begun = self._made_again(i, fault)
                rewards[row], terminated[row], truncated[row] = 0.0, False, False
                self._row(i, *begun)
                continue
            try:
                observation, reward, over, cut, info = self._stepped(i, action)
            except EnvironmentFault as fault:
                begun = self._made_again(i, fault)
                rewards[row], terminated[row], truncated[row] = 0.0, False, True
                self.extras.setdefault("cut", []).append(row)
                self._final(i, self._last[i])
                if same_step:
                    self._row(i, *begun)
                else:
                    self._held[i], self._fresh[i] = begun, True
                continue
            rewards[row], terminated[row], truncated[row] = reward, over, cut
            if not (over or cut):
                self._row(i, observation, info)
                continue
            if not same_step:
                self._fresh[i] = True
                if not self.plan.masks_at_ends:
                    info = {key: value for key, value in info.items() if key != "action_mask"}
                self._row(i, observation, info)
                continue
            self._final(i, observation)
            if self.plan.with_infos and info:
                self.extras.setdefault("final_infos", {})[row] = info
            try:
                begun = self._begun(i, None, None)
            except EnvironmentFault as fault:
                begun = self._made_again(i, fault)
            self._row(i, *begun)

    def render(self) -> None:
        """Draws each copy."""
        drawn = []
        for i, copy in enumerate(self.copies):
            self._note(i, 3)
            assert copy is not None
            drawn.append(copy.render())
        self.extras["drawn"] = drawn

    def close(self) -> None:
        """Closes each copy."""
        for i in range(len(self.copies)):
            self._closed(i)

    # -------------------------------------------------------------------------------------------------- one copy

    def _note(self, i: int, method: int) -> None:
        """Writes what is called next, for the parent to read should it not return."""
        life = self.lives[i]
        self._seeds[i] = -1 if (seed := life.own_seed) is None else seed
        progress = self._progress
        progress[COPY], progress[METHOD], progress[STEPS], progress[SEED] = (
            life.number,
            method,
            self._steps[i],
            self._seeds[i],
        )
        progress[BEAT] += 1

    def _stepped(self, i: int, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        progress = self._progress
        progress[COPY], progress[METHOD], progress[STEPS], progress[SEED] = (
            i + self._number,
            2,
            self._steps[i],
            self._seeds[i],
        )
        progress[BEAT] += 1
        copy = self.copies[i]
        assert copy is not None
        stepped = copy.step(action)
        self._steps[i] += 1
        return stepped

    def _begun(self, i: int, seed: int | None, options: dict[str, Any] | None) -> tuple[Any, dict[str, Any]]:
        if seed is not None:
            self._steps[i] = 0
        self._note(i, 1)
        copy = self.copies[i]
        assert copy is not None
        return copy.reset(seed=seed, options=options)

    def _made(self, i: int, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Makes a copy and begins an episode in it, if need be several times."""
        while True:
            try:
                self._steps[i] = 0
                self._note(i, 0)
                self.copies[i] = self.plan.make(self.lives[i].number, self.plan.render_mode)
                self._require_spaces(i)
                return self._begun(i, self.lives[i].own_seed, options)
            except EnvironmentFault as fault:
                self._fault(i, fault)

    def _made_again(self, i: int, fault: EnvironmentFault) -> tuple[Any, dict[str, Any]]:
        self._fault(i, fault)
        return self._made(i)

    def _fault(self, i: int, fault: EnvironmentFault) -> None:
        """Notes that a copy went wrong, and takes it down.

        Raises:
            EnvironmentFault: it went wrong too often in this step.
        """
        life = self.lives[i]
        faults = self.extras.setdefault("faults", [])
        faults.append(Fault(life.number, life.own_seed, self._steps[i], str(fault)))
        if sum(one.copy == life.number for one in faults) > self.plan.most_failures:
            raise fault
        self._closed(i)
        self.lives[i] = Life(life.number, life.seed, life.lives + 1)
        self.extras.setdefault("lives", {})[life.number] = self.lives[i].lives

    def _require_spaces(self, i: int) -> None:
        env = self.copies[i]
        found = tuple(getattr(env, name, None) for name in ("observation_space", "action_space"))
        if found != (None, None) and found != self.plan.spaces:
            name, number = self.plan.name, self.lives[i].number
            raise EnvironmentFault(
                f"copy {number} of {name} has the spaces {found[0]}, {found[1]}; the first one made had "
                f"{self.plan.spaces[0]}, {self.plan.spaces[1]}",
                expected="the same spaces in every copy",
            )

    def _closed(self, i: int) -> None:
        copy, self.copies[i] = self.copies[i], None
        if copy is not None:
            self._note(i, 4)
            copy.close()

    def _row(self, i: int, observation: Any, info: dict[str, Any]) -> None:
        row = self.first + i
        self._last[i] = observation
        beside = self.memory.observations.write(row, observation)
        if beside is not None:
            self.extras.setdefault("beside", {})[row] = beside
        if info:
            for key in ("action_mask", "mover"):
                if key in info:
                    self.extras.setdefault(key, {})[row] = info[key]
            if self.plan.with_infos:
                self.extras.setdefault("infos", {})[row] = info

    def _final(self, i: int, observation: Any) -> None:
        row = self.first + i
        beside = self.memory.finals.write(row, observation)
        if beside is not None:
            self.extras.setdefault("final_beside", {})[row] = beside


# ------------------------------------------------------------------------------------------------------- the process


def main(connection: int, life_line: int, memory: int) -> None:
    """Runs a worker process: does what comes over a connection until its end.

    Args:
        connection: file descriptor of the connection with the parent.
        life_line: of a pipe that is closed when the parent is gone.
        memory: of the shared memory.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process of a terminal: the parent decides
    hangs.HANG_SECONDS = math.inf  # the parent ends what hangs
    _end_with_parent(life_line)
    log = _Log()
    logging.getLogger("inscape").addHandler(log)
    parent = Connection(connection)
    worker: Worker | None = None
    shared = SharedMemory(handle=memory)
    while True:
        try:
            order, *rest = pickle.loads(parent.recv_bytes())
        except (EOFError, OSError):
            os._exit(0)
        try:
            if order == "begin":
                payload, number, first, lives, options, holding = rest
                worker = Worker(_plan(payload), number, first, shared)
                worker.begin(lives, options, holding)
            elif worker is not None:
                getattr(worker, order)(*rest)
            extras = {} if worker is None else worker.extras
        except (UsageError, gym.error.Error) as error:
            extras = {"error": error, **({} if worker is None else worker.extras)}
        except Exception as error:  # whatever the environment's code raises where nothing else has taken it
            text = f"{type(error).__name__}: {error}"
            extras = {"error": UsageError(f"a worker process cannot {order}: {text}", hint="--workers 0 shows where")}
        threads = _threads_left() if order == "close" else []
        if threads:
            log.texts.append(f"environments in worker processes left threads running: {', '.join(threads)}")
        if worker is not None:
            worker.extras = {}
        if log.texts:
            extras["log"], log.texts = log.texts, []
        parent.send_bytes(_bytes(extras) if extras else b"")
        if threads:  # leaving as usual would wait for them
            sys.stdout.flush()
            os._exit(0)
        if order == "close":
            return


def _plan(payload: bytes) -> Plan:
    """Returns the plan that the parent pickled.

    Raises:
        UsageError: something in it is not to be had here.
    """
    try:
        prepare, plan = pickle.loads(payload)
        pickle.loads(prepare)()
        found: Plan = pickle.loads(plan)
    except UsageError:
        raise
    except Exception as error:  # whatever importing a user's modules raises
        raise UsageError(
            f"a new process cannot make the environment: {type(error).__name__}: {error}",
            expected="a class that importing its module defines, file.py:Class, or a class of a notebook or script "
            "whose parts can be pickled",
            hint="--workers 0 steps all copies in this process",
        ) from error
    return found


def _threads_left() -> list[str]:
    """Returns the names of threads for which Python would wait before it ends."""
    own = (threading.current_thread(), threading.main_thread())
    return [one.name for one in threading.enumerate() if one.is_alive() and not one.daemon and one not in own]


class _Log(logging.Handler):
    """Keeps what is logged for the parent, which has the terminal."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


def _bytes(extras: dict[str, Any]) -> bytes:
    try:
        return pickle.dumps(extras, pickle.HIGHEST_PROTOCOL)
    except Exception:  # an info may hold anything
        for name in ("infos", "final_infos"):
            extras[name] = {row: _sendable(info) for row, info in extras.get(name, {}).items()}
        return pickle.dumps(extras, pickle.HIGHEST_PROTOCOL)


def _sendable(info: dict[str, Any]) -> dict[str, Any]:
    """Returns what of an info can be handed to another process."""
    kept = {}
    for key, value in info.items():
        with suppress(Exception):  # locks, sockets, generators, …
            pickle.dumps(value)
            kept[key] = value
    return kept


def _end_with_parent(life_line: int) -> None:
    """Ends this process, and those it started, when the parent closes its end of a pipe or is gone."""

    def wait() -> None:
        with suppress(OSError):
            os.read(life_line, 1)
        os.killpg(os.getpgid(0), signal.SIGKILL)

    threading.Thread(target=wait, name="inscape-life-line", daemon=True).start()
    import fcntl

    if hasattr(fcntl, "F_SETOWN") and hasattr(os, "O_ASYNC"):
        # the thread does not run where the environment's C code keeps the interpreter's lock: then the signal ends it
        signal.signal(signal.SIGIO, signal.SIG_DFL)
        fcntl.fcntl(life_line, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(life_line, fcntl.F_SETFL, fcntl.fcntl(life_line, fcntl.F_GETFL) | os.O_ASYNC)
