"""Options of settings that were renamed: the old words are accepted for one release, with a message."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from inscape.agents.renamed_settings import Renamed, renamed_settings

logger = logging.getLogger(__name__)


def current_words(words: Sequence[str], settings: type, prefix: str = "") -> list[str]:
    """Returns the words of a line with options of renamed settings by their present names; logs each that changed.

    Args:
        words: the line after the command.
        settings: class of the agent's settings.
        prefix: what stands before their names in options, `"agent."` or nothing.
    """
    rows = renamed_settings(settings)
    current: list[str] = []
    at = 0
    while at < len(words):
        taken, present = _current_option(words[at : at + 2], rows, prefix)
        before = list(words[at : at + taken])
        if present != before:
            logger.warning(
                "%s is now %s; the old option works until the next release.", " ".join(before), " ".join(present)
            )
        current += present
        at += taken
    return current


def _current_option(words: Sequence[str], rows: dict[str, Renamed], prefix: str) -> tuple[int, list[str]]:
    """Returns how many of one or two words are an old option and its value, and what they are now.

    A word that is no old option counts alone and stays. So do the values of an option of which only the name changed.
    """
    option, equals, attached = words[0].partition("=")
    name = option.removeprefix("--" + prefix).replace("-", "_") if option.startswith("--" + prefix) else ""
    off = rows.get(name.removeprefix("no_")) if name.startswith("no_") else None
    if off is not None and off.was_flag:
        return 1, [_option(off, prefix), str(off.value(False))]
    row = rows.get(name)
    if row is None:
        return 1, [words[0]]
    if not row.values:
        return 1, [_option(row, prefix) + equals + attached]
    present_of = {str(old): str(new) for old, new in row.values}
    value = attached if equals else words[1] if len(words) > 1 else None
    if row.was_flag and value not in {*present_of, *present_of.values()}:
        return 1, [_option(row, prefix), str(row.value(True))]
    if value is None:
        return 1, [words[0]]
    present = present_of.get(value, value)
    return (1, [f"{_option(row, prefix)}={present}"]) if equals else (2, [_option(row, prefix), present])


def _option(row: Renamed, prefix: str) -> str:
    return f"--{prefix}{row.new.replace('_', '-')}"
