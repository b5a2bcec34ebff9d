"""Errors a user can cause: each says what was found, what was expected and what to try."""

from __future__ import annotations

import difflib
import itertools
import os
import re
import sysconfig
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

MOST_NAMES = 12
"""Names listed in a hint; more would hide the message."""


class UsageError(ValueError):
    """Wrong input. The command line prints it without a traceback and exits with code 2.

    Args:
        found: what was found, with the offending value.
        expected: what would have been accepted.
        hint: what to try next; a command or a spelling where there is one.
    """

    def __init__(self, found: object, *, expected: str = "", hint: str = "") -> None:
        # an error made from another one, as workers of vector environments do it, says the same
        self.found, self.expected, self.hint = str(found), expected, hint
        parts = [self.found]
        if expected:
            parts.append(f"expected: {expected}")
        if hint:
            parts.append(f"try: {hint}")
        super().__init__("\n  ".join(parts))


class UnknownSettingError(UsageError, TypeError):
    """A setting that there is not. Also a `TypeError` in Python's words, as an unknown keyword argument is: libraries
    that try whether an environment takes one lean on that.

    Args:
        owner: what has no such setting.
        name: the setting.
        expected: see `UsageError`.
        hint: see `UsageError`.
    """

    def __init__(self, owner: object, name: str = "", *, expected: str = "", hint: str = "") -> None:
        found = f"{owner} has no setting {name!r}: got an unexpected keyword argument {name!r}" if name else owner
        super().__init__(found, expected=expected, hint=hint)


class PartialObservationError(UsageError):
    """A reader needed the state, and the observation does not determine it."""


class MissingLawError(UsageError):
    """A reader needed a law (known dynamics), and the environment has none, or too weak a one."""


class TooManyStatesError(UsageError):
    """A reader needed every state of a world, and there are more than it may enumerate."""


_PACKAGE = str(Path(__file__).parent) + os.sep
_LIBRARIES = tuple({f"{sysconfig.get_path(name)}{os.sep}" for name in ("stdlib", "platstdlib", "purelib", "platlib")})
"""Where Python and what is installed lie."""
_PARSERS = (f"{os.sep}argparse.py", f"{os.sep}tyro{os.sep}")
"""What leaves Python for good reason: help was shown, or a wrong option named."""


def raised_elsewhere(error: BaseException, doing: str) -> UsageError | None:
    """Returns the error in words, if code that is neither Inscape's nor an installed library's raised it; else None.

    Args:
        error: what was raised.
        doing: what is going on, for messages: "… while {doing}".
    """
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith("<")]
    own = [f for f in frames if f.filename.startswith(_PACKAGE) or not f.filename.startswith(_LIBRARIES)]
    theirs = list(itertools.takewhile(lambda frame: not frame.filename.startswith(_PACKAGE), reversed(own)))
    if not theirs:
        return None
    try:
        text = str(error)
    except Exception as again:  # whatever the __str__ of an error of theirs raises
        text = f"(its text cannot be had: {type(again).__name__})"
    at, *others = theirs
    callers = ", ".join(f"{frame.filename}:{frame.lineno} in {frame.name}" for frame in others[:5])
    return UsageError(
        f"{at.filename}:{at.lineno} raised {f'{type(error).__name__}: {text[:500]}'.rstrip(': ')} in {at.name}, "
        f"while {doing}",
        expected="code that returns",
        hint=f"look there, and at what called it: {callers}" if callers else "look there",
    )


def out_of_memory(error: BaseException, doing: str) -> UsageError | None:
    """Returns the error in words, if it says that memory could not be had (Python's, NumPy's, torch's); else None.

    Args:
        error: what was raised.
        doing: what is going on, for messages: "… while {doing}".
    """
    text = str(error).lower()
    of_torch = isinstance(error, RuntimeError) and ("allocate memory" in text or "out of memory" in text)
    if not isinstance(error, MemoryError) and not of_torch:
        return None
    asked = re.search(r"allocate ([\d.,]+ ?[a-z]*bytes|[\d.]+ ?[kmgtp]i?b)", text)
    amount = f" ({asked[1]} at once)" if asked else ""
    return UsageError(
        f"there is not enough memory{amount}, while {doing}",
        expected="what fits into memory",
        hint="spaces of fewer values, smaller networks, replay memories and batches, or fewer copies",
    )


@contextmanager
def exits_as_errors(doing: str) -> Iterator[None]:
    """Within the block, `sys.exit()` of code that is not Inscape's is an error of that code.

    Args:
        doing: what is going on, for messages: "… while {doing}".

    Raises:
        UsageError: naming the line that called it.
    """
    try:
        yield
    except SystemExit as leaving:
        frames = traceback.extract_tb(leaving.__traceback__)
        # of a parser, whose it is: ours, or that of a file that reads the command line when it is imported
        asked = [frame for frame in frames if not any(part in frame.filename for part in _PARSERS)]
        if not asked or asked[-1].filename.startswith(_PACKAGE):
            raise
        at = asked[-1]
        raise UsageError(
            f"{at.filename}:{at.lineno} called sys.exit({leaving.code!r}) in {at.name}, while {doing}",
            expected="code that returns, or raises an error that says what is wrong",
            hint="raise an exception there",
        ) from leaving


def whole_number(name: str, value: object, least: int = 0, most: int | None = None, hint: str = "") -> int:
    """Returns a count or a seed as an `int`: NumPy's integers, and 1e5, are whole numbers too.

    Args:
        name: what messages call it, before the value, or around it where it has `{}`.
        value: what was given.
        least, most: its range.
        hint: see `UsageError`.

    Raises:
        UsageError: it is none, or out of range.
    """
    number = getattr(value, "__index__", None)
    if isinstance(value, float) and value.is_integer():
        found = int(value)
    elif isinstance(value, bool) or number is None:
        found = least - 1
    else:
        found = int(number())
    if found < least or (most is not None and found > most):
        ends = f"from {least:,} to {most:,}" if most is not None else f"{least:,} or larger"
        shown = name.format(repr(value)) if "{}" in name else f"{name} {value!r}"
        raise UsageError(shown, expected=f"a whole number, {ends}", hint=hint)
    return found


_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if code not in (9, 10)}
_CONTROLS |= {code: f"\\u{code:04x}" for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}


def printable(text: str) -> str:
    """Returns the text with control characters written out (`\\x1b`), so that what a file holds cannot command a
    terminal (move its cursor, change its title, reverse its text). Line ends and tabs stay."""
    return text.translate(_CONTROLS)


def closest(word: str, known: Iterable[str]) -> str:
    """Returns "did you mean 'x'?" for the nearest known word, or the list of what is known."""
    names = list(known)
    by_lower_case = {name.lower(): name for name in names}
    swapped = [name for name in by_lower_case if sorted(name) == sorted(word.lower())]  # letters in another order
    near = swapped or difflib.get_close_matches(word.lower(), by_lower_case, n=1, cutoff=0.6)
    if near:
        return f"did you mean {by_lower_case[near[0]]!r}?"
    more = ", …" if len(names) > MOST_NAMES else ""
    return "one of " + ", ".join(names[:MOST_NAMES]) + more if names else "nothing is known by name here"
