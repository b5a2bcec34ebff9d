"""Edits of texts: replacements of spans and their inverses, unified diffs, and the edit distance."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from inscape.errors import UsageError

HUNK = re.compile(r"^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")


class Edit(NamedTuple):
    """A span of a text and what replaces it.

    Attributes:
        start: first character.
        old, new: what stands there, and what is to.
    """

    start: int
    old: str
    new: str

    def apply(self, text: str) -> str:
        """Returns the text after the edit.

        Raises:
            UsageError: the text has something else there.
        """
        end = self.start + len(self.old)
        if not 0 <= self.start <= len(text) or text[self.start : end] != self.old:
            raise UsageError(f"{text[self.start : end]!r} at character {self.start}", expected=repr(self.old))
        return text[: self.start] + self.new + text[end:]

    def inverse(self) -> Edit:
        """Returns the edit that takes this one back."""
        return Edit(self.start, self.new, self.old)


def edit_distance(a: str, b: str) -> int:
    """Returns the least number of characters to insert, delete or replace that make `b` of `a`.

    Source: Myers (1999), Journal of the ACM 46, in Hyyrö's form (2003): a column of the table of differences in one
    whole number, so that a text of n characters against one of m takes n operations on m bits.
    """
    if len(a) < len(b):
        a, b = b, a
    while b and a[-1] == b[-1]:
        a, b = a[:-1], b[:-1]
    if not b:
        return len(a)
    places: dict[str, int] = {}
    for k, letter in enumerate(b):
        places[letter] = places.get(letter, 0) | 1 << k
    full, top = (1 << len(b)) - 1, 1 << (len(b) - 1)
    plus, minus, distance = full, 0, len(b)
    for letter in a:
        equal = places.get(letter, 0)
        across = (((equal & plus) + plus) ^ plus) | equal | minus
        up = minus | ~(across | plus) & full
        down = plus & across
        distance += 1 if up & top else -1 if down & top else 0
        up = (up << 1 | 1) & full
        plus = (down << 1) & full | ~(across | up) & full
        minus = across & up
    return distance


def apply_diff(text: str, diff: str) -> str:
    """Returns a text with a unified diff applied, exactly where it says.

    Lines of context and removed lines must stand where the hunk's header says, letter by letter; nothing is guessed.
    The lines `---`, `+++` and `diff …` are optional.

    Raises:
        UsageError: there is no hunk, or one does not apply, naming the line.
    """
    lines, result, read = text.split("\n"), list[str](), 0
    hunks = _hunks(diff)
    for first, hunk, where in hunks:
        at = first - 1 if any(mark != "+" for mark, _ in hunk) else first  # "-N,0": after line N
        if at < read or at > len(lines):
            raise UsageError(
                f"hunk {where} starts at line {first}", expected=f"lines {read + 1} to {len(lines)}, hunks in order"
            )
        result += lines[read:at]
        read = at
        for mark, content in hunk:
            if mark == "+":
                result.append(content)
                continue
            if read >= len(lines) or lines[read] != content:
                stands = repr(lines[read]) if read < len(lines) else "nothing"
                raise UsageError(f"line {read + 1} is {stands}", expected=f"{content!r}, as hunk {where} says")
            if mark == " ":
                result.append(content)
            read += 1
    return "\n".join([*result, *lines[read:]])


def _hunks(diff: str) -> list[tuple[int, list[tuple[str, str]], str]]:
    """Returns `(first line, [(mark, content)], header)` of each hunk."""
    found: list[tuple[int, list[tuple[str, str]], str]] = []
    left_old = left_new = 0
    for number, line in enumerate(diff.split("\n"), 1):
        header = HUNK.match(line)
        if header and left_old == left_new == 0:
            first, old, _, new = header.groups()
            left_old, left_new = int(old or 1), int(new or 1)
            found.append((int(first), [], header[0]))
        elif left_old or left_new:
            mark, content = (line[0], line[1:]) if line else (" ", "")
            if mark not in " +-":
                if line.startswith("\\"):
                    continue
                raise UsageError(
                    f"line {number} of the diff is {line!r}", expected="a line that begins with ' ', + or -"
                )
            left_old -= mark != "+"
            left_new -= mark != "-"
            if left_old < 0 or left_new < 0:
                raise UsageError(
                    f"line {number} of the diff is one too many", expected=f"as many as {found[-1][2]} says"
                )
            found[-1][1].append((mark, content))
        elif line.strip() and not line.startswith(("---", "+++", "diff ", "index ", "\\")):
            raise UsageError(f"line {number} of the diff is {line!r}", expected="a hunk: @@ -line,count +line,count @@")
    if left_old or left_new:
        raise UsageError("a diff that ends within a hunk", expected=f"as many lines as {found[-1][2]} says")
    if not found:
        raise UsageError("a diff without a hunk", expected="@@ -line,count +line,count @@")
    return found


def replace_lines(text: str, first: int, last: int, lines: Sequence[str]) -> str:
    """Returns a text with lines `first` to `last` (from 1, both included) replaced.

    Raises:
        UsageError: there are no such lines.
    """
    old = text.split("\n")
    if not 1 <= first <= last <= len(old):
        raise UsageError(f"lines {first} to {last}", expected=f"lines from 1 to {len(old)}")
    return "\n".join([*old[: first - 1], *lines, *old[last:]])
