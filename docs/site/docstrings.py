"""Docstrings as they are written here (Google's sections, Markdown within) as reStructuredText, which Sphinx reads."""

from __future__ import annotations

import re
from collections.abc import Iterable

_CODE = re.compile(r"(`+)(.+?)\1(?!`)")
_LINK = re.compile(r"\[([^\]]+)\]\((https?://[^)\s]+)\)")
_FENCE = re.compile(r"^(\s*)```(\w*)\s*$")
_ITEM = re.compile(r"^(\s*)[-*] ")


def as_restructured_text(lines: Iterable[str]) -> list[str]:
    """Returns the lines with code between double backticks, and with everything else that has a meaning escaped."""
    made: list[str] = []
    fence: str | None = None
    for line in _lists_apart(_joined(_fenced(lines))):
        mark = _FENCE.match(line)
        if mark and fence is None:
            fence = mark[1]
            made += ["", f"{fence}.. code-block:: {mark[2] or 'text'}", ""]
        elif mark:
            fence = None
            made.append("")
        else:
            made.append(line if fence is None and not line.strip() else _line(line, fence is not None))
    return made


def _fenced(lines: Iterable[str]) -> list[str]:
    """Returns lines in which an indented block after an empty line, which Markdown takes as code, stands in a fence."""
    made: list[str] = []
    inside = False
    for line in lines:
        if inside and line.strip() and not line.startswith("    "):
            made += ["```", ""]
            inside = False
        begins = line.startswith("    ") and len(made) > 1 and not made[-1].strip() and made[-2].strip()
        if not inside and begins and not made[-2].startswith(" ") and not line.strip().startswith(("- ", "* ")):
            made.append("```python")
            inside = True
        made.append(line[4:] if inside else line)
    return [*made, "```"] if inside else made


def _joined(lines: Iterable[str]) -> list[str]:
    """Returns lines in which no code between backticks goes on in the next one."""
    made: list[str] = []
    for line in lines:
        open_before = made and made[-1].count("`") % 2 and "```" not in made[-1] and line.strip()
        if open_before:
            made[-1] = f"{made[-1]} {line.strip()}"
        else:
            made.append(line)
    return made


def _lists_apart(lines: list[str]) -> list[str]:
    """Returns lines with an empty one before each list: Markdown needs none."""
    made: list[str] = []
    for line in lines:
        if _ITEM.match(line) and made and made[-1].strip() and not _ITEM.match(made[-1]):
            indent = len(line) - len(line.lstrip())
            before = len(made[-1]) - len(made[-1].lstrip())
            if before <= indent:
                made.append("")
        made.append(line)
    return made


def _line(line: str, code: bool) -> str:
    if code:
        return f"    {line}"
    item = _ITEM.match(line)
    head, rest = (item[0], line[item.end() :]) if item else ("", line)
    parts: list[str] = []
    start = 0
    for match in _CODE.finditer(rest):
        parts += [_plain(rest[start : match.start()]), f"``{match[2].strip()}``", _after(rest, match.end())]
        start = match.end()
    return head + "".join([*parts, _plain(rest[start:])])


def _after(text: str, end: int) -> str:
    """Returns what parts code from a letter that follows at once: reStructuredText asks for it."""
    return "\\ " if end < len(text) and (text[end].isalnum() or text[end] in "_`") else ""


def _plain(text: str) -> str:
    def escaped(part: str) -> str:
        part = part.replace("\\", "\\\\")
        part = re.sub(r"([*|`])", r"\\\1", part)
        return re.sub(r"(?<=\w)_(?!\w)", r"\\_", part)

    parts: list[str] = []
    start = 0
    for match in _LINK.finditer(text):
        parts += [escaped(text[start : match.start()]), f"`{match[1]} <{match[2]}>`__"]
        start = match.end()
    return "".join([*parts, escaped(text[start:])])
