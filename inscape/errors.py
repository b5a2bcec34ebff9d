"""Errors a user can cause: each says what was found, what was expected and what to try."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

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
    near = difflib.get_close_matches(word.lower(), by_lower_case, n=1, cutoff=0.6)
    if near:
        return f"did you mean {by_lower_case[near[0]]!r}?"
    more = ", …" if len(names) > MOST_NAMES else ""
    return "one of " + ", ".join(names[:MOST_NAMES]) + more if names else "nothing is known by name here"
