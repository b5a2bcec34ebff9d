"""Where an environment went wrong, and what it did: errors that name copy, step, seed and the line of its code."""

from __future__ import annotations

import dis
import os
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from inscape.envs.tasks.checking.contract import Breach, Contract, EnvironmentFault
from inscape.errors import UsageError

_PACKAGE = str(Path(__file__).parents[3]) + os.sep
_TASKS = str(Path(__file__).parents[1]) + os.sep
_RAISE = dis.opmap["RAISE_VARARGS"]
LONGEST = 500
"""Characters of an environment's error that are shown."""


class Clock:
    """Steps since the last seed: of one copy, or of all copies of a batch, which step together."""

    __slots__ = ("steps",)

    def __init__(self) -> None:
        self.steps = 0


class Place:
    """Where an error of an environment arises: its name, which copy, what seed, what step.

    Attributes:
        contract: the environment's.
        number: which copy it is.
        seed: what it was last seeded with; None if it never was.
        clock: counts steps since then.
    """

    def __init__(self, contract: Contract, number: int, clock: Clock | None = None) -> None:
        self.contract, self.number, self.clock = contract, number, clock or Clock()
        self.seed: int | None = None

    def seeded(self, seed: int | None) -> None:
        """Notes what the environment is seeded with; None changes nothing."""
        if seed is not None:
            self.seed, self.clock.steps = int(seed), 0

    def call(self, method: str, function: Callable[..., Any], *args: Any, **given: Any) -> Any:
        """Returns what a method of the environment returns; raises as `raised` where it raises."""
        try:
            return function(*args, **given)
        except BaseException as error:
            self.raised(error, method)

    def taken(self, convert: Callable[..., Any], *values: Any) -> Any:
        """Returns what a method of the contract makes of a value; raises as `breach` where that is excluded."""
        try:
            return convert(*values)
        except Breach as breach:
            self.breach(breach)

    def forbids(self) -> NoReturn:
        """Raises for a mask that forbids every action."""
        raise EnvironmentFault(
            f"{self.contract.name} forbids every action (its action mask is all False) {self.place}",
            expected="at least one legal action wherever an episode goes on",
            hint="end the episode there, or allow an action that does nothing",
        )

    @property
    def place(self) -> str:
        """Says where it is: copy, step and seed."""
        seed = "not seeded" if self.seed is None else f"seed {self.seed}"
        return f"in copy {self.number} at step {self.clock.steps} ({seed})"

    def breach(self, breach: Breach) -> NoReturn:
        """Raises for a value that its interface or space excludes."""
        raise EnvironmentFault(
            f"{breach.what} of {self.contract.name} {breach.wrong} {self.place}",
            expected=breach.expected,
            hint=breach.hint or f"inscape check {self.contract.name}",
        ) from breach.__cause__

    def raised(self, error: BaseException, method: str) -> NoReturn:
        """Raises for what the environment itself raised; an exit is an error of its code, Ctrl-C is passed on."""
        if isinstance(error, Breach):
            self.breach(error)
        if isinstance(error, KeyboardInterrupt) and not _is_statement(error):
            raise error
        at = _raised_in(error)
        text = f"{type(error).__name__}: {_text_of(error)}".rstrip(": ")
        if isinstance(error, SystemExit):
            done = f"called sys.exit({error.code!r})"[:LONGEST]
        else:
            done = f"raised {text}"
        hint = f"look at {at}" if at else ""
        if isinstance(error, (ValueError, TypeError)) and "unpack" in str(error):
            hint = (
                "return (observation, info) from reset and (observation, reward, terminated, truncated, info) from "
                "step; shimmy.GymV21CompatibilityV0 converts environments of the old Gym"
            )
        raise EnvironmentFault(
            f"{self.contract.name} {done} in {method}, {self.place}",
            expected="an environment whose reset and step return",
            hint=hint,
        ) from error


def cannot_be_made(name: str, error: BaseException) -> EnvironmentFault:
    """Returns the error for a constructor of `name` that raised `error` or exited."""
    text = f"raised {type(error).__name__}: {_text_of(error)}".rstrip(": ")
    if isinstance(error, SystemExit):
        text = f"called sys.exit({error.code!r})"
    at = _raised_in(error)
    return EnvironmentFault(
        f"{name} cannot be made: its constructor {text}",
        expected="an environment that can be made",
        hint=f"look at {at}" if at else "",
    )


def _is_statement(error: BaseException) -> bool:
    """Returns whether a `raise` statement outside this package raised it; of a KeyboardInterrupt, whether that was none
    of the user's: Ctrl-C arises between any two instructions, or in a signal handler of ours."""
    at = error.__traceback__
    if at is None:
        return False
    while at.tb_next is not None:
        at = at.tb_next
    code = at.tb_frame.f_code
    return code.co_code[at.tb_lasti] == _RAISE and not code.co_filename.startswith(_PACKAGE)


def _text_of(error: BaseException) -> str:
    """Returns what an error says, cut where it is long."""
    try:
        text = error.found if isinstance(error, UsageError) else str(error)
    except Exception as again:  # whatever the __str__ of an error of theirs raises
        text = f"(its text cannot be had: {type(again).__name__})"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}… ({len(text):,} characters)"


def _raised_in(error: BaseException) -> str:
    """Returns file and line of the innermost code outside Gymnasium and NumPy that raised; "" if there is none."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith("<")]
    for frame in reversed(frames):
        if frame.filename.startswith(_TASKS):
            return ""
        if not any(part in frame.filename for part in ("/gymnasium/", "/numpy/", "\\gymnasium\\", "\\numpy\\")):
            return f"{frame.filename}:{frame.lineno} in {frame.name}"
    return ""
