"""Copies of a third-party environment in worker processes: they are stepped side by side, and survive what goes wrong.

    task = resolve_task("LunarLander-v3").in_workers(4)
    copies = task.vector_env(16)         # 16 copies in 4 processes, the same episodes as in this one

A copy that raises, ends its process or does not come back is made again, with a seed of its own; its episode is cut off
(truncated, with the last observation it had) and `Workers.faults` says what happened. Which process a copy is in
changes nothing else: seeds, order and numbers are those of copies in one process.

Processes are started afresh, not forked: they share no threads, locks or devices with this one, and a script needs no
`if __name__ == "__main__"`. Observations come through shared memory. Source of the arrangement:
Gymnasium's `AsyncVectorEnv` and Stable-Baselines3's `SubprocVecEnv`, which have a process for each copy and stop at the
first fault.
"""

from __future__ import annotations

import logging
import os
import pickle
import select
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any, Literal, NoReturn

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from inscape.envs.tasks.checking.contract import EnvironmentFault, mask_sizes
from inscape.envs.tasks.processes import worker_process as child
from inscape.envs.tasks.processes.shared_rows import RowLayout, SharedMemory, Sizes
from inscape.envs.tasks.processes.worker_process import Fault, ForeignCopy, Life, Memory, Plan
from inscape.errors import UsageError

Array = np.ndarray
START_SECONDS = 120.0
"""Seconds that a new process has to import what it needs."""
CLOSE_SECONDS = 5.0
"""Seconds that copies have to close, before their process is killed."""
_LOG = logging.getLogger("inscape")


@dataclass
class Workers:
    """How many processes third-party copies are divided over, and what is done about those that go wrong.

    Attributes:
        count: processes; `"auto"` for as many as there are processors to use, at most one for each copy.
        hang_seconds: time in one step or reset of a copy after which its process is killed and started again.
        max_restarts: how often copies may be made again, all copies together, before the run stops.
        shared_memory: False sends observations through pipes (to measure the difference).
        faults: every copy that was made again since, and why.
    """

    count: int | Literal["auto"] = "auto"
    hang_seconds: float = 60.0
    max_restarts: int = 20
    shared_memory: bool = True
    faults: list[Fault] = field(default_factory=list, compare=False)

    def __post_init__(self) -> None:
        if self.count != "auto" and (isinstance(self.count, bool) or not isinstance(self.count, int) or self.count < 1):
            raise UsageError(f"workers = {self.count!r}", expected='a positive number of processes, or "auto"')
        if not self.hang_seconds > 0:
            raise UsageError(f"hang_seconds = {self.hang_seconds!r}", expected="a positive number of seconds")
        if isinstance(self.max_restarts, bool) or not isinstance(self.max_restarts, int) or self.max_restarts < 0:
            raise UsageError(f"max_restarts = {self.max_restarts!r}", expected="0 or a positive number")
        if os.name != "posix":
            raise UsageError(
                "worker processes on this operating system", expected="Linux or macOS", hint="leave out workers"
            )

    @property
    def restarts(self) -> int:
        """How many copies went wrong and were made again; those that only shared a process with one do not count."""
        return sum(not fault.shared for fault in self.faults)

    def processes(self, copies: int) -> int:
        """Returns how many processes so many copies are divided over."""
        return min(copies, usable_processors() if self.count == "auto" else self.count)


def as_workers(given: Workers | int | str | None) -> Workers | None:
    """Returns the workers that a number, `"auto"` or `Workers` stands for; None for 0: copies in this process.

    Raises:
        UsageError: it is none of these.
    """
    if given is None or isinstance(given, Workers):
        return given
    if given == 0 and not isinstance(given, bool):
        return None
    return Workers(given)  # type: ignore[arg-type]


def usable_processors() -> int:
    """Returns how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True)
class Registered:
    """Makes an id known to Gymnasium in a worker, where this process registered it by hand; None does nothing."""

    spec: gym.envs.registration.EnvSpec | None = None

    def __call__(self) -> None:
        if self.spec is not None:
            gym.registry.setdefault(self.spec.id, self.spec)


def pickled(value: Any, name: str) -> bytes:
    """Returns a value pickled for a worker; what scripts and notebooks define goes with it.

    Raises:
        UsageError: a part of it cannot be pickled.
    """
    import cloudpickle  # type: ignore[import-untyped]

    # files loaded by name are no modules that a new process could import
    loaded = [module for key, module in list(sys.modules.items()) if key.startswith("inscape_file_")]
    for module in loaded:
        cloudpickle.register_pickle_by_value(module)
    try:
        data: bytes = cloudpickle.dumps(value)
    except Exception as error:  # whatever the environment's __reduce__ raises
        raise UsageError(
            f"{name} cannot be sent to worker processes: {error}",
            expected="an environment that a new process can make: an id that importing a module registers, "
            "file.py:Class, or a class or function that holds nothing open (files, locks, connections)",
            hint="open these in the environment's __init__; or leave out workers",
        ) from error
    finally:
        for module in loaded:
            cloudpickle.unregister_pickle_by_value(module)
    return data


class WorkerVectorEnv(VectorEnv[Any, Any, Any]):
    """Copies of a third-party environment in worker processes; observations, rewards, flags, masks and infos are those
    of the same copies in one process (`CheckedVectorEnv`).

    Where a fault cut an episode off (`truncated`, reward 0, the last observation there was), `infos["_cut_off"]` `[B]`
    bool says so.

    Args:
        make: makes copy number i, to be drawn in a render mode; it is pickled.
        num_envs: B.
        workers: see `Workers`.
        name: of the environment, for messages.
        spaces: of one copy's observations and actions.
        autoreset: `"same-step"` or `"next-step"`.
        render_mode: the environment's.
        players: `(M,)` where an observation has a row for each of M players.
        reward_shape: of one copy's rewards, `()` or `(M,)`.
        prepare: called in each worker before anything is made.
        metadata: the environment's.
        masks_at_ends: see `Plan`.
        with_infos: also hand over what each copy has in its infos, as `infos["infos"]` and `infos["final_infos"]`, a
            dictionary by copy.

    Raises:
        UsageError: the environment cannot be sent to, or made in, another process.
        EnvironmentFault: copies went wrong too often.
    """

    def __init__(
        self,
        make: Callable[[int, str | None], ForeignCopy],
        num_envs: int,
        workers: Workers,
        name: str,
        spaces: tuple[gym.Space[Any], gym.Space[Any]],
        autoreset: str = "same-step",
        render_mode: str | None = None,
        players: tuple[int, ...] = (),
        reward_shape: tuple[int, ...] = (),
        prepare: Callable[[], None] = Registered(),
        metadata: dict[str, Any] | None = None,
        masks_at_ends: bool = False,
        with_infos: bool = False,
    ) -> None:
        self.num_envs, self.workers, self._name = num_envs, workers, name
        self._same_step = autoreset == "same-step"
        mode = AutoresetMode.SAME_STEP if self._same_step else AutoresetMode.NEXT_STEP
        self.metadata = {**(metadata or {}), "autoreset_mode": mode}
        self.render_mode = render_mode
        self.single_observation_space, self.single_action_space = spaces
        self._players = players
        self._choices = (*players, sum(mask_sizes(spaces[1])))
        count = workers.processes(num_envs)
        sizes = Sizes()
        layouts = [RowLayout(spaces[0], num_envs, sizes, players, workers.shared_memory) for _ in range(2)]
        offsets = {
            "rewards": sizes.place(np.float64, (num_envs, *reward_shape)),
            "terminated": sizes.place(np.bool_, (num_envs,)),
            "truncated": sizes.place(np.bool_, (num_envs,)),
            "progress": sizes.place(np.int64, (count, 8)),
        }
        plan = Plan(
            make, name, spaces, render_mode, self._same_step, layouts[0], layouts[1], offsets, reward_shape,
            num_envs, count, with_infos, masks_at_ends, workers.max_restarts,
        )  # fmt: skip
        self._payload = pickle.dumps((pickled(prepare, name), pickled(plan, name)))
        self._shared = SharedMemory(sizes.total)
        self._memory = Memory(plan, self._shared)
        bounds = [num_envs * k // count for k in range(count + 1)]
        self._processes = [
            _Process(number, low, high, self._shared) for number, (low, high) in enumerate(pairwise(bounds))
        ]
        self._lives = [Life(i, None, 0) for i in range(num_envs)]
        self._beside: list[list[Any] | None] = [None] * num_envs
        self._began = False
        self._finalizer = weakref.finalize(self, _end, self._processes, self._shared)

    def __getattr__(self, name: str) -> Any:
        if name in ("observation_space", "action_space"):  # not every space has a batched one
            space = getattr(self, f"single_{name}")
            for count in (*self._players[::-1], self.num_envs):
                space = batch_space(space, count)
            setattr(self, name, space)
            return space
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    # ------------------------------------------------------------------------------------------- Gymnasium's interface

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Starts new episodes, with `copy_seeds(seed)` if it is a number; of copies from `options["first_copy"]` on."""
        from inscape.envs.law.streams import copy_seeds

        own = dict(options or {})
        first = int(own.pop("first_copy", 0))
        if isinstance(seed, (int, np.integer)):
            seed = copy_seeds(int(seed), self.num_envs, first)
        seeds = [None] * self.num_envs if seed is None else [None if s is None else int(s) for s in seed]
        if len(seeds) != self.num_envs:
            raise UsageError(f"{len(seeds)} seeds for {self.num_envs} copies", expected="one for each, or one number")
        for i, one in enumerate(seeds):
            if one is not None or not self._began:
                self._lives[i] = Life(first + i, one, 0)
        with self._in_step():
            if self._began:
                orders: list[tuple[Any, ...]] = [("reset", seeds[p.low : p.high], own or None) for p in self._processes]
            else:
                orders = [self._beginning(p, own) for p in self._processes]
                for process in self._processes:
                    self._start(process)
            extras = self._asked(orders, own)
            self._began = True
        infos = self._infos(extras)
        return self._memory.observations.copied(self._beside), infos

    def step(self, actions: Any) -> tuple[Any, Array, Array, Array, dict[str, Any]]:
        if len(actions) != self.num_envs:
            raise UsageError(
                f"{len(actions)} actions for {self.num_envs} copies of {self._name}", expected=f"{self.num_envs}"
            )
        memory = self._memory
        with self._in_step():
            extras = self._asked([("step", actions[p.low : p.high]) for p in self._processes])
        terminated, truncated = memory.terminated.copy(), memory.truncated.copy()
        observations = memory.observations.copied(self._beside)
        infos = self._infos(extras)
        ended = terminated | truncated
        if self._same_step and ended.any():
            beside = extras.get("final_beside", {})
            some = next(iter(beside.values()), None)
            infos["final_obs"] = self._final_batch(ended, [beside.get(i, some) for i in range(self.num_envs)])
            infos["_final_obs"] = ended
        return observations, memory.rewards.copy(), terminated, truncated, infos

    def _final_batch(self, ended: Array, beside: list[Any]) -> Any:
        for array in self._memory.finals.arrays:
            array[~ended] = 0
        return self._memory.finals.copied(beside)

    def render(self) -> tuple[Any, ...]:
        """Returns what each copy draws."""
        with self._in_step():
            extras = self._asked([("render",)] * len(self._processes))
        return tuple(extras["drawn"][i] for i in range(self.num_envs))

    def close_extras(self, **kwargs: Any) -> None:
        """Closes every copy and ends the processes; a process that does not end by itself is killed."""
        for process in self._processes:
            process.send(("close",))
        until = time.monotonic() + min(CLOSE_SECONDS, self.workers.hang_seconds)
        for process in self._processes:
            if not process.is_running:
                continue
            reply = process.reply(max(0.0, until - time.monotonic()))
            if reply is None:
                _LOG.warning("%s did not come back and was killed, %s", self._name, self._place(process))
            elif reply is not _ENDED:
                _say(reply)
            process.end(max(0.1, until - time.monotonic()))
        self._finalizer()

    # ------------------------------------------------------------------------------------------- orders and replies

    @contextmanager
    def _in_step(self) -> Iterator[None]:
        """Ends the processes where an order is not carried out to its end: what they reply would be taken for what
        they reply to the next."""
        try:
            yield
        except BaseException:
            self._finalizer()
            raise

    def _start(self, process: _Process) -> None:
        self._memory.progress[process.number] = 0
        process.start()

    def _beginning(self, process: _Process, options: dict[str, Any] | None, holding: bool = False) -> tuple[Any, ...]:
        lives = self._lives[process.low : process.high]
        return "begin", self._payload, process.number, process.low, lives, options or None, holding

    def _asked(self, orders: Sequence[tuple[Any, ...]], options: dict[str, Any] | None = None) -> dict[str, Any]:
        """Gives each process an order and returns what they bring beside what lies in the memory, by copy."""
        if not self._finalizer.alive:
            raise UsageError(f"the copies of {self._name} are closed", expected="copies in use", hint="make new ones")
        if not self._began and orders[0][0] != "begin":
            raise UsageError(f"{orders[0][0]} of {self._name} before reset", expected="reset first")
        for process, order in zip(self._processes, orders, strict=True):
            process.send(order)
        merged: dict[str, Any] = {}
        for process, order in zip(self._processes, orders, strict=True):
            extras = self._awaited(process)
            if extras is None:
                extras = self._begun_again(process, order[0] == "step", options)
            if extras:
                self._merge(merged, extras, process)
        for row, beside in merged.get("beside", {}).items():
            self._beside[row] = beside
        return merged

    def _merge(self, merged: dict[str, Any], extras: dict[str, Any], process: _Process) -> None:
        """Adds what a process brought to what others did.

        Raises:
            UsageError: it could not do what it was asked.
            EnvironmentFault: copies went wrong too often.
        """
        _say(extras)
        base = self._lives[0].number
        for fault in extras.get("faults", []):
            self._record(fault)
        if "error" in extras:
            raise extras["error"]
        for number, lives in extras.get("lives", {}).items():
            i = number - base
            self._lives[i] = Life(number, self._lives[i].seed, lives)
        merged.setdefault("cut", []).extend(extras.get("cut", []))
        for key in ("beside", "final_beside", "action_mask", "mover", "infos", "final_infos"):
            if key in extras:
                merged.setdefault(key, {}).update(extras[key])
        for i, picture in enumerate(extras.get("drawn", [])):
            merged.setdefault("drawn", {})[process.low + i] = picture

    def _awaited(self, process: _Process) -> dict[str, Any] | None:
        """Returns a process's reply; None where it ended, or was killed because a copy did not come back."""
        limit, progress = self.workers.hang_seconds, self._memory.progress[process.number]
        beat, since = int(progress[child.BEAT]), time.monotonic()
        while True:
            patience = limit if beat else max(limit, START_SECONDS)
            reply = process.reply(max(0.0, since + patience - time.monotonic()))
            if reply is _ENDED:
                return None
            if reply is not None:
                return reply
            if int(progress[child.BEAT]) == beat:
                process.hung = True
                process.kill()
                return None
            beat, since = int(progress[child.BEAT]), time.monotonic()

    def _begun_again(self, process: _Process, stepping: bool, options: dict[str, Any] | None) -> dict[str, Any]:
        """Starts a process that ended or was killed again, with its copies; their episodes are cut off."""
        memory, low, high = self._memory, process.low, process.high
        last, beside = memory.observations.saved(low, high), self._beside[low:high]
        # copies are stepped one after another: those before had taken their step, and keep what came of it
        reached = min(max(low, int(memory.progress[process.number][child.COPY]) - self._lives[0].number), high)
        extras: dict[str, Any] | None = None
        while extras is None:
            self._record_end(process)
            self._start(process)
            process.send(self._beginning(process, None if stepping else options, stepping and not self._same_step))
            extras = self._awaited(process)
        if not stepping:
            return extras
        memory.rewards[reached:high], memory.terminated[reached:high], memory.truncated[reached:high] = (
            0.0,
            False,
            False,
        )
        cut = np.flatnonzero(~(memory.terminated[low:high] | memory.truncated[low:high]))
        memory.truncated[low + cut] = True
        extras["cut"] = (low + cut).tolist()
        if self._same_step:
            memory.finals.take(low, last, cut)
            extras["final_beside"] = {low + int(i): beside[i] for i in cut if beside[i] is not None}
        else:
            memory.observations.take(low, last, np.arange(high - low))
        return extras

    def _record_end(self, process: _Process) -> None:
        """Notes which copy ended a process, or did not come back, and that the others went with it.

        Raises:
            EnvironmentFault: it ended before any copy was made.
        """
        progress, ending = self._memory.progress[process.number], process.ending(self.workers.hang_seconds)
        if not progress[child.BEAT]:
            raise EnvironmentFault(
                f"a worker process for {self._name} {ending} before a copy was made",
                expected="an environment that a new process can import",
                hint="what it wrote is above; --workers 0 steps all copies in this process",
            )
        culprit, place = int(progress[child.COPY]), self._place(process)
        others = process.high - process.low - 1
        for i in range(process.low, process.high):
            life = self._lives[i]
            shared = life.number != culprit
            text = f"{self._name} {ending} {place}"
            if shared:
                text = f"copy {life.number} of {self._name} shared a process with copy {culprit}, which {ending}"
            self._record(
                Fault(life.number, life.own_seed, -1 if shared else int(progress[child.STEPS]), text, shared), others
            )
            self._lives[i] = Life(life.number, life.seed, life.lives + 1)

    def _place(self, process: _Process) -> str:
        progress = self._memory.progress[process.number]
        seed = int(progress[child.SEED])
        where = "not seeded" if seed < 0 else f"seed {seed}"
        method = child.METHODS[int(progress[child.METHOD])]
        return f"in {method}, in copy {int(progress[child.COPY])} at step {int(progress[child.STEPS])} ({where})"

    def _record(self, fault: Fault, others: int = 0) -> None:
        """Notes that a copy went wrong.

        Raises:
            EnvironmentFault: that was once too often.
        """
        self.workers.faults.append(fault)
        if self.workers.restarts > self.workers.max_restarts:
            self._give_up()
        if not fault.shared:
            shared = f", and {others} more of its process" if others else ""
            _LOG.warning(
                "%s\n  copy %d is made again%s: %d of at most %d times", fault.message.splitlines()[0], fault.copy,
                shared, self.workers.restarts, self.workers.max_restarts,
            )  # fmt: skip

    def _give_up(self) -> NoReturn:
        faults = [fault for fault in self.workers.faults if not fault.shared]
        times = f"{len(faults)} times" if len(faults) > 1 else "once"
        raise EnvironmentFault(
            f"copies of {self._name} went wrong {times}; the last: {faults[-1].message.splitlines()[0]}",
            expected=f"at most {self.workers.max_restarts} copies made again",
            hint="mend the environment; or --max-restarts to allow more",
        )

    def _infos(self, extras: dict[str, Any]) -> dict[str, Any]:
        infos: dict[str, Any] = {}
        if masks := extras.get("action_mask"):
            everything = np.ones(self._choices, np.bool_)
            infos["action_mask"] = np.stack([masks.get(i, everything) for i in range(self.num_envs)])
        if "mover" in extras:
            infos["mover"] = np.array([extras["mover"][i] for i in range(self.num_envs)])
        if extras.get("cut"):
            infos["_cut_off"] = np.zeros(self.num_envs, np.bool_)
            infos["_cut_off"][extras["cut"]] = True
        infos.update({key: extras[key] for key in ("infos", "final_infos") if extras.get(key)})
        return infos


_ENDED: dict[str, Any] = {}
"""A reply that never comes: the process has ended."""


class _Process:
    """A worker process, as the parent sees it.

    Args:
        number: which worker it is.
        low, high: its copies, from `low` to `high` − 1.
        shared: the memory it writes to.

    Attributes:
        hung: whether it was killed because a copy did not come back.
    """

    def __init__(self, number: int, low: int, high: int, shared: SharedMemory) -> None:
        self.number, self.low, self.high, self._shared = number, low, high, shared
        self.hung = False
        self._running: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._life_line = -1
        self._poll = select.poll()

    @property
    def is_running(self) -> bool:
        """Whether it was started, and nobody has ended it."""
        return self._running is not None

    def start(self) -> None:
        """Starts it, in a process group of its own: Ctrl-C does not reach it, and it is killed with all it has started.

        Not in a session of its own: Linux shares time out among sessions, and messages between two would wait for it.
        """
        self.kill()
        self.hung = False
        here, there = Pipe()
        life_line, self._life_line = os.pipe()
        handles = (there.fileno(), life_line, self._shared.handle)
        code = f"import sys; sys.path[:] = {sys.path!r}; from {child.__name__} import main; main{handles}"
        try:
            self._running = subprocess.Popen(
                [sys.executable, "-c", code], stdin=subprocess.DEVNULL, pass_fds=handles, process_group=0
            )
        finally:
            there.close()
            os.close(life_line)
        self._connection = here
        self._poll.register(here.fileno(), select.POLLIN)

    def send(self, order: tuple[Any, ...]) -> None:
        """Sends an order; to a process that has ended, nothing: its reply says so."""
        if self._connection is not None:
            with suppress(OSError):
                self._connection.send_bytes(pickle.dumps(order, pickle.HIGHEST_PROTOCOL))

    def reply(self, seconds: float) -> dict[str, Any] | None:
        """Returns what it replies; None where it does not within so many seconds; `_ENDED` where it never will."""
        if self._connection is None:
            return _ENDED
        if not self._poll.poll(seconds * 1000):
            return None
        try:
            data = self._connection.recv_bytes()
        except (EOFError, OSError):
            return _ENDED
        reply: dict[str, Any] = pickle.loads(data) if data else {}
        return reply

    def ending(self, hang_seconds: float) -> str:
        """Says how it ended."""
        if self.hung:
            return f"did not come back within {hang_seconds:g} s"
        if self._running is None:
            return "was ended"
        try:
            code = self._running.wait(1.0)
        except subprocess.TimeoutExpired:  # alive, but it has closed the connection
            self.kill()
            return "closed the connection of its process"
        if code >= 0:
            return f"ended its process (exit code {code})"
        name = signal.Signals(-code).name
        why = " (by itself, or by the system for want of memory)" if name == "SIGKILL" else ""
        return f"was killed by {name}{why}"

    def end(self, seconds: float) -> None:
        """Waits for it to end by itself, and kills it where it does not."""
        if self._running is not None:
            with suppress(subprocess.TimeoutExpired):
                self._running.wait(seconds)
        self.kill()

    def kill(self) -> None:
        """Kills it and what it has started, waits for its end, and closes what led to it."""
        running, self._running = self._running, None
        if running is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(running.pid, signal.SIGKILL)  # all of its group, also where the process itself has ended
            running.wait()
        connection, self._connection = self._connection, None
        if connection is not None:
            self._poll.unregister(connection.fileno())
            connection.close()
            os.close(self._life_line)


def _end(processes: Sequence[_Process], shared: SharedMemory) -> None:
    """Ends all processes at once."""
    for process in processes:
        process.kill()
    shared.close()


def _say(extras: dict[str, Any]) -> None:
    """Logs what was logged in a worker."""
    for text in extras.get("log", []):
        _LOG.warning("%s", text)
