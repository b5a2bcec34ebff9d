"""Environments that go wrong late: what (`FAULTS`) × when (`WHENS`), each an id `LateFault-<what>-<when>-v0`.

`what` is something that real environments were seen to do; `when` says at which step, in which episode, in which copy.
With `LATE_FAULTS_MENDED` set in the process's environment they are sound, as after their author has mended them.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import random
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from inscape.envs.law.streams import copy_seeds
from inscape.errors import UsageError

SEED, COPIES = 0, 4
WHENS = ("first", "late", "second", "copy3")
"""At the first step; at step 50; at the first step of the second episode (or its reset); at step 50 of copy 3 alone."""
EPISODE = 20
THIRD = copy_seeds(SEED, COPIES)[3]
BOX = spaces.Box(-1, 1, (3,), np.float32)
GOOD = np.array([0.1, -0.2, 0.3], np.float32)


@dataclass(frozen=True)
class Fault:
    """What goes wrong.

    Attributes:
        place: `"observation"`, `"reward"`, `"terminated"`, `"truncated"`, `"info"`, `"step"` (instead of what it
            returns), `"reset"` (likewise) or `"process"` (nothing in it can be caught).
        do: returns what is handed over there, raises, or does something else.
        says: what the error must name; "" where nothing goes wrong for a learner.
        space: of observations; None for `BOX`.
        finite: whether it needs finite actions.
    """

    place: str
    do: Callable[[Any], Any]
    says: str
    space: spaces.Space[Any] | None = None
    finite: bool = False


def _raises(error: Callable[[], BaseException]) -> Callable[[Any], Any]:
    def do(env: Any) -> Any:
        raise error()

    return do


def _five(env: Any) -> tuple[Any, ...]:
    return GOOD.copy(), 1.0, False, False, {}


class _Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class _Own(BaseException):
    """What nobody expects."""


class _Unpicklable(Exception):
    def __init__(self) -> None:
        super().__init__("holds a lock")
        self.lock = threading.Lock()


def _deeper(env: Any) -> Any:
    return _deeper(env)


def _generator(env: Any) -> Iterator[Any]:
    yield _five(env)


def _mask(value: Any) -> Callable[[Any], Any]:
    return lambda env: {"action_mask": value}


FAULTS: dict[str, Fault] = {
    # observations
    "obs-shape": Fault("observation", lambda env: np.zeros(4, np.float32), "shape (4,)"),
    "obs-scalar": Fault("observation", lambda env: 0.5, "shape ()"),
    "obs-batch": Fault("observation", lambda env: np.zeros((1, 3), np.float32), "shape (1, 3)"),
    "obs-none": Fault("observation", lambda env: None, "None"),
    "obs-text": Fault("observation", lambda env: "state", "observation"),
    "obs-words": Fault("observation", lambda env: np.array(["a", "b", "c"]), "dtype <U1"),
    "obs-nan": Fault("observation", lambda env: np.array([0, np.nan, 0], np.float32), "nan"),
    "obs-inf": Fault("observation", lambda env: np.array([0, np.inf, 0], np.float32), "inf"),
    "obs-huge": Fault("observation", lambda env: np.array([0, 1e300, 0]), "1e+300"),
    "obs-complex": Fault("observation", lambda env: np.zeros(3, complex), "dtype complex128"),
    "obs-objects": Fault("observation", lambda env: np.array([None, 1, 2], object), "observation"),
    "obs-ragged": Fault("observation", lambda env: [1, [2, 3], 4], "observation"),
    "obs-empty": Fault("observation", lambda env: np.zeros(0, np.float32), "shape (0,)"),
    "obs-dict": Fault("observation", lambda env: {"state": GOOD}, "observation"),
    "obs-pair": Fault("observation", lambda env: (GOOD, {}), "observation"),
    "obs-number": Fault("observation", lambda env: 9, "is 9", spaces.Discrete(5)),
    "obs-fraction": Fault("observation", lambda env: 1.5, "dtype float64", spaces.Discrete(5)),
    "obs-picture": Fault(
        "observation", lambda env: np.full((8, 8, 3), 300), "dtype int64", spaces.Box(0, 255, (8, 8, 3), np.uint8)
    ),
    # rewards
    "reward-none": Fault("reward", lambda env: None, "reward"),
    "reward-text": Fault("reward", lambda env: "1.0", "reward"),
    "reward-nan": Fault("reward", lambda env: float("nan"), "reward"),
    "reward-inf": Fault("reward", lambda env: np.float32("inf"), "reward"),
    "reward-two": Fault("reward", lambda env: np.ones(2), "reward"),
    "reward-list": Fault("reward", lambda env: [1.0, 2.0], "reward"),
    "reward-complex": Fault("reward", lambda env: 1j, "reward"),
    "reward-huge": Fault("reward", lambda env: 1e200, "reward"),
    "reward-object": Fault("reward", lambda env: object(), "reward"),
    # ends
    "terminated-text": Fault("terminated", lambda env: "False", "terminated"),
    "terminated-none": Fault("terminated", lambda env: None, "terminated"),
    "terminated-two": Fault("terminated", lambda env: 2, "terminated"),
    "terminated-array": Fault("terminated", lambda env: np.array([True, False]), "terminated"),
    "truncated-none": Fault("truncated", lambda env: None, "truncated"),
    "truncated-half": Fault("truncated", lambda env: 0.5, "truncated"),
    # infos
    "info-none": Fault("info", lambda env: None, "info"),
    "info-list": Fault("info", lambda env: [], "info"),
    "info-text": Fault("info", lambda env: "fine", "info"),
    # what step and reset return
    "step-three": Fault("step", lambda env: _five(env)[:3], "unpack"),
    "step-four": Fault("step", lambda env: _five(env)[:4], "unpack"),
    "step-six": Fault("step", lambda env: (*_five(env), {}), "unpack"),
    "step-nothing": Fault("step", lambda env: None, "step"),
    "step-generator": Fault("step", _generator, "unpack"),
    "reset-none": Fault("reset", lambda env: (None, {}), "observation"),
    "reset-three": Fault("reset", lambda env: (GOOD, {}, {}), "observation"),
    "reset-info-none": Fault("reset", lambda env: (GOOD, None), "info"),
    "reset-raises": Fault("reset", _raises(lambda: RuntimeError("no room")), "no room"),
    # what is raised
    "raises": Fault("step", _raises(lambda: ValueError("boom")), "boom"),
    "raises-empty": Fault("step", _raises(KeyError), "KeyError"),
    "raises-unprintable": Fault("step", _raises(_Unprintable), "_Unprintable"),
    "raises-unpicklable": Fault("step", _raises(_Unpicklable), "holds a lock"),
    "raises-long": Fault("step", _raises(lambda: ValueError("x" * 100_000)), "ValueError"),
    "raises-control": Fault("step", _raises(lambda: ValueError("\x1b[2Jgone")), "gone"),
    "raises-usage": Fault("step", _raises(lambda: UsageError("of a wrapper")), "of a wrapper"),
    "raises-group": Fault("step", _raises(lambda: ExceptionGroup("two", [ValueError(), KeyError()])), "two"),
    "raises-warning": Fault("step", _raises(lambda: UserWarning("as an error")), "as an error"),
    "raises-disk": Fault("step", _raises(lambda: OSError(28, "No space left on device")), "No space"),
    "raises-reset-needed": Fault("step", _raises(lambda: gym.error.ResetNeeded("reset me")), "reset me"),
    "recursion": Fault("step", _deeper, "RecursionError"),
    "memory": Fault("step", _raises(lambda: MemoryError("16 EiB")), "MemoryError"),
    "interrupt": Fault("step", _raises(KeyboardInterrupt), "KeyboardInterrupt"),
    "stop-iteration": Fault("step", _raises(StopIteration), "StopIteration"),
    "generator-exit": Fault("step", _raises(GeneratorExit), "GeneratorExit"),
    "cancelled": Fault("step", _raises(asyncio.CancelledError), "CancelledError"),
    "base-exception": Fault("step", _raises(_Own), "_Own"),
    "exit": Fault("step", lambda env: sys.exit(), "sys.exit"),
    "exit-text": Fault("step", lambda env: sys.exit("licence expired"), "licence expired"),
    "exit-in-reset": Fault("reset", lambda env: sys.exit(0), "sys.exit"),
    # masks
    "mask-short": Fault("info", _mask([True]), "action_mask", finite=True),
    "mask-nothing": Fault("info", _mask(np.zeros(3, bool)), "forbids every action", finite=True),
    "mask-nan": Fault("info", _mask(np.array([1, np.nan, 1])), "action_mask", finite=True),
    "mask-words": Fault("info", _mask(["yes", "no", "yes"]), "action_mask", finite=True),
    # spaces
    "observation-space": Fault(
        "reset", lambda env: (setattr(env, "observation_space", spaces.Box(-1, 1, (4,))), (GOOD, {}))[1],
        "observation space",
    ),
    "action-space": Fault(
        "reset", lambda env: (setattr(env, "action_space", spaces.Discrete(7)), (GOOD, {}))[1], "action space"
    ),
    # the process
    "os-exit": Fault("process", lambda env: os._exit(0), "exit code 0"),
    "os-exit-3": Fault("process", lambda env: os._exit(3), "exit code 3"),
    "killed": Fault("process", lambda env: os.kill(os.getpid(), signal.SIGKILL), "SIGKILL"),
    "terminated-by-signal": Fault("process", lambda env: os.kill(os.getpid(), signal.SIGTERM), "SIGTERM"),
    "segfault": Fault("process", lambda env: ctypes.string_at(0), "SIGSEGV"),
    "abort": Fault("process", lambda env: os.abort(), "SIGABRT"),
    "hang": Fault("process", lambda env: time.sleep(10_000), "did not come back"),
    "hang-busy": Fault("process", lambda env: [None for _ in iter(int, 1)], "did not come back"),
    "hang-in-c": Fault("process", lambda env: ctypes.PyDLL(None).sleep(10_000), "did not come back"),
    "files-closed": Fault("process", lambda env: (os.closerange(3, 256), time.sleep(10_000)), "process"),
}  # fmt: skip


def _thread(env: Any) -> None:
    threading.Thread(target=threading.Event().wait, args=(3.0,)).start()


def _reuse(env: Any) -> None:
    env.buffer = GOOD.copy()


HARMLESS: dict[str, Callable[[Any], Any]] = {
    "thread": _thread,
    "stdout": lambda env: print("z" * 100_000),
    "folder": lambda env: os.chdir("/"),
    "seeds": lambda env: (random.seed(0), np.random.seed(0)),
    "buffer": _reuse,
    "warnings": lambda env: warnings.simplefilter("ignore"),
    "no-info": lambda env: None,
    "close-raises": lambda env: setattr(env, "closing", ValueError("cannot close")),
    "close-exits": lambda env: setattr(env, "closing", SystemExit(5)),
    "environ": lambda env: os.environ.update(COLUMNS="3"),
}
"""What is bad manners, and must not harm a run."""


class LateFault(gym.Env[Any, Any]):
    """Episodes of `EPISODE` steps with random observations, in which something goes wrong.

    Args:
        what: a key of `FAULTS` or `HARMLESS`.
        when: one of `WHENS`.
        continuous: whether actions are numbers in [−1, 1].
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}

    def __init__(self, what: str, when: str = "late", continuous: bool = False, render_mode: str | None = None) -> None:
        self.fault = FAULTS.get(what) or Fault("process", HARMLESS[what], "")
        self.when, self.render_mode = when, render_mode
        self.observation_space = self.fault.space or BOX
        finite = self.fault.finite or not continuous
        self.action_space = spaces.Discrete(3) if finite else spaces.Box(-1, 1, (2,), np.float32)
        self.steps = self.t = self.episodes = 0
        self.seeded: int | None = None
        self.buffer: Any = None
        self.closing: BaseException | None = None
        self.no_info = what == "no-info"

    def _goes_wrong(self, place: str) -> bool:
        if os.environ.get("LATE_FAULTS_MENDED"):
            return False
        resetting, wanted = place == "reset", self.fault.place == "reset"
        if resetting != wanted:
            return False
        if self.when == "first":
            return self.episodes == 1 and self.t == 0
        if self.when == "second":
            return self.episodes == 2 and self.t == 0
        if self.when == "copy3" and self.seeded != THIRD:
            return False
        return self.episodes == 4 if resetting else self.steps == 50

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.seeded = seed if seed is not None else self.seeded
        self.t, self.episodes = 0, self.episodes + 1
        if self._goes_wrong("reset"):
            return self.fault.do(self)
        return self._observed() if self.no_info else (self._observed(), {})

    def _observed(self) -> Any:
        if not isinstance(self.observation_space, spaces.Box) or self.observation_space.dtype == np.uint8:
            self.observation_space.seed(int(self.np_random.integers(1 << 30)))
            return self.observation_space.sample()
        drawn = self.np_random.uniform(-1, 1, 3).astype(np.float32)
        if self.buffer is None:
            return drawn
        self.buffer[:] = drawn
        return self.buffer

    def step(self, action: Any) -> Any:
        wrong = self._goes_wrong("step")
        self.t, self.steps = self.t + 1, self.steps + 1
        if wrong and self.fault.place == "step":
            return self.fault.do(self)
        out = {
            "observation": self._observed(),
            "reward": 1.0,
            "terminated": self.t >= EPISODE,
            "truncated": False,
            "info": {"action_mask": np.ones(3, bool)} if self.fault.finite else {},
        }
        if wrong:
            value = self.fault.do(self)
            if self.fault.place in out:
                out[self.fault.place] = value
        return tuple(out.values())

    def render(self) -> Any:
        return np.zeros((16, 16, 3), np.uint8)

    def close(self) -> None:
        if self.closing is not None:
            raise self.closing


def cases() -> list[tuple[str, str]]:
    """Returns (what, when) of every environment that goes wrong, at least 200; the first ones differ most."""
    return [(what, WHENS[(k + n) % len(WHENS)]) for n in range(len(WHENS)) for k, what in enumerate(FAULTS)]


def name_of(what: str, when: str, continuous: bool = False) -> str:
    """Returns the name of an environment, as users type it."""
    return f"{__name__}:LateFault-{what}-{when}{'-continuous' if continuous else ''}-v0"


for _what in (*FAULTS, *HARMLESS):
    for _when in WHENS:
        for _continuous in (False, True):
            gym.register(
                name_of(_what, _when, _continuous).rpartition(":")[2],
                LateFault,
                kwargs={"what": _what, "when": _when, "continuous": _continuous},
            )
