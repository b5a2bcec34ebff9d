"""Settings dataclasses from what a user gives: checked, converted, with errors that name the setting."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any

from inscape.agents.renamed_settings import current_settings
from inscape.errors import UnknownSettingError, UsageError, closest


def build_settings(cls: type, values: Mapping[str, Any], base: Any = None) -> Any:
    """Returns an instance of a settings dataclass from values by name (JSON values will do), over `base`.

    Names that settings had before they were renamed are accepted (`renamed_settings`).

    Raises:
        UsageError: a name is unknown, or a value is refused by the class.
    """
    fields = {f.name: f for f in dataclasses.fields(cls) if f.init}
    hints = typing.get_type_hints(cls)
    converted = {}
    for name, value in current_settings(cls, values).items():
        if name not in fields:
            raise UnknownSettingError(cls.__name__, name, expected=", ".join(fields), hint=closest(name, fields))
        converted[name] = _convert(value, hints[name], f"{cls.__name__}.{name}")
    return dataclasses.replace(base if base is not None else cls(), **converted)


def _convert(value: Any, hint: Any, where: str) -> Any:
    """Returns `value` as the annotation wants it: restores types that JSON and dictionaries lose."""
    options = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    if value is None and type(None) in options:
        return None
    for option in options:
        origin = typing.get_origin(option) or option
        if origin is typing.Literal and value in typing.get_args(option):
            return value
        if origin is tuple and isinstance(value, (list, tuple)):
            kind = typing.get_args(option)[:1]
            return tuple(_convert(entry, kind[0], where) for entry in value) if kind else tuple(value)
        if origin is float and isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
        if isinstance(origin, type) and isinstance(value, origin) and (origin is bool or not isinstance(value, bool)):
            return value
    shown = getattr(hint, "__name__", None) if isinstance(hint, type) else str(hint)
    raise UsageError(f"{where} = {value!r}", expected=f"a value of type {shown}")
