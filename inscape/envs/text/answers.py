"""Reading the action that a free text names: exactly one, or none and why."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

MARKS = re.compile(
    r"<(?P<tag>action|answer)>(?P<inside>.*?)(?P<closed></(?P=tag)>)|\\boxed\{(?P<boxed>[^{}]*)\}"
    r"|^[ \t>*_`#-]*(?:final[ \t]+|my[ \t]+)?(?:action|answer)[ \t*_`]*[:=](?P<line>[^\n]*)$",
    re.IGNORECASE | re.MULTILINE | re.DOTALL,
)
AROUND = " \t\r\n\"'`*_.,;:!?()[]{}<>“”‘’"
AFTER_NAME = re.compile(r"\s*[.,;:!(\[\n–—-]")


class Answer(NamedTuple):
    """What an answer says.

    Attributes:
        action: the number of the action it names, or None.
        problem: why there is none: `"empty"`, `"unknown"`, `"ambiguous"` (several are named, or one in a sentence
            that may mean another) or `"cut"` (it ended before it was finished).
        text: the part that was read.
    """

    action: int | None
    problem: str | None
    text: str


def read_answer(text: str, names: Sequence[str], *, cut: bool = False) -> Answer:
    """Returns the action that a text names.

    Read is the last marked answer (`action: NAME`, `answer: NAME`, `<action>NAME</action>`, `\\boxed{NAME}`); without a
    mark the whole text, or its last line. What is read must be a name, upper or lower case, quotes and punctuation
    aside; after a marked name an explanation may follow, divided off by punctuation, that names no other action.
    Nothing else counts: "not left" is no answer "left".

    Args:
        text: what the agent wrote.
        names: the actions' names.
        cut: whether the text ended because it reached a limit; an answer at its very end may then be half of another.
    """
    if not text.strip():
        return Answer(None, "cut" if cut else "empty", "")
    read, marked, ended = _part(text)
    if cut and not ended:
        return Answer(None, "cut", read)
    return _match(read, names, marked)


def answer_text(text: str, *, cut: bool = False) -> Answer:
    """Returns the part of a text that is its answer, where answers are free: the last marked one, or the last line.

    `action` is None; `problem` is `"empty"`, `"cut"` or None.
    """
    if not text.strip():
        return Answer(None, "cut" if cut else "empty", "")
    read, _, ended = _part(text)
    if cut and not ended:
        return Answer(None, "cut", read)
    return Answer(None, None if read else "empty", read)


def _part(text: str) -> tuple[str, bool, bool]:
    """Returns `(what is read, whether it was marked, whether more text could not change it)`."""
    marks = list(MARKS.finditer(text))
    if marks:
        mark = marks[-1]
        inside = next(part for part in (mark["inside"], mark["boxed"], mark["line"]) if part is not None)
        return inside.strip(), True, mark["line"] is None or mark.end() < len(text)
    lines = [line for line in text.strip().split("\n") if line.strip()]
    return text.strip() if len(lines) == 1 else lines[-1].strip(), False, text.endswith("\n")


def _match(read: str, names: Sequence[str], marked: bool) -> Answer:
    bare = read.strip(AROUND)
    for candidate in (read, bare):
        if candidate in names:
            return Answer(names.index(candidate), None, read)
    folded = [name.strip().casefold() for name in names]
    if not bare and not any(not name.strip(AROUND) for name in names):
        return Answer(None, "empty", read)
    if folded.count(bare.casefold()) == 1:
        return Answer(folded.index(bare.casefold()), None, read)
    if folded.count(bare.casefold()) > 1:
        return Answer(None, "ambiguous", read)
    named = _named(read.casefold(), folded)
    if len(named) == 1 and marked:
        (action,) = named
        rest = read.lstrip(AROUND).casefold().removeprefix(folded[action])
        if rest != read.lstrip(AROUND).casefold() and AFTER_NAME.match(rest):
            return Answer(action, None, read)
    return Answer(None, "ambiguous" if named else "unknown", read)


def _named(text: str, folded: Sequence[str]) -> set[int]:
    """Returns the actions whose names stand in a text as words of their own, the longest name at each place."""
    spans: list[tuple[int, int, int]] = []
    for number, name in enumerate(folded):
        if name:
            pattern = rf"(?<!\w){re.escape(name)}(?!\w)"
            spans += [(m.start(), m.end(), number) for m in re.finditer(pattern, text)]
    return {
        number
        for start, end, number in spans
        if not any(a <= start and end <= b and (b - a) > (end - start) for a, b, _ in spans)
    }
