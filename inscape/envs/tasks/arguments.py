"""Arguments of other people's constructors: which there are, and what a text on a command line means as one.

known = arguments_of(creator)                       # names, annotations, defaults; along the bases of a class
typed("8", known.known["size"], "--env.size")       # 8
checked({"size": 8}, known, "MiniGrid-Empty-8x8-v0", "--env.")

A text becomes what the annotation says, else what the default is, else what it is as JSON, and a string where it is
none. Nothing is evaluated. What JSON cannot hold is refused, for it could not be stored with a run.
"""

from __future__ import annotations

import collections.abc
import inspect
import json
import os
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from inscape.errors import UsageError, closest

EMPTY = inspect.Parameter.empty
NOTHING = ("None", "none", "null")
TRUTH = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}


@dataclass(frozen=True)
class Argument:
    """One argument of a constructor.

    Attributes:
        name: of it.
        annotation: its type; `EMPTY` where there is none that could be read.
        default: what it is without being given; `EMPTY` where it must be given.
    """

    name: str
    annotation: Any = EMPTY
    default: Any = EMPTY

    @property
    def annotation_name(self) -> str:
        """The annotation as text; empty where there is none."""
        return "" if self.annotation is EMPTY else _name(self.annotation)

    def __str__(self) -> str:
        kind = f": {self.annotation_name}" if self.annotation_name else ""
        return f"{self.name}{kind}" + ("" if self.default is EMPTY else f" = {self.default!r}")


@dataclass(frozen=True)
class Arguments:
    """What a constructor takes.

    Attributes:
        known: its arguments by name.
        takes_others: whether it takes others too (`**kwargs` that it hands to nobody known).
        required: names of those that must be given; what a base needs, the class itself may give it.
    """

    known: Mapping[str, Argument]
    takes_others: bool
    required: tuple[str, ...] = ()


def arguments_of(creator: Any, skip: int = 0) -> Arguments:
    """Returns the arguments of a class or a function; where a class hands on `**kwargs`, those of its bases too.

    Args:
        creator: a class, or anything that is called.
        skip: how many of the first arguments are left out: the environment that a wrapper is given.
    """
    if not inspect.isclass(creator):
        found, others = _signature(creator)
        own = dict(list(found.items())[skip:])
        return Arguments(own, others, _required(own))
    known: dict[str, Argument] = {}
    required: tuple[str, ...] | None = None
    others, left = False, skip
    for base in creator.__mro__:
        if "__init__" not in vars(base) or base is object:
            continue
        found, others = _signature(vars(base)["__init__"])
        for name, argument in list(found.items())[1 + left :]:
            known.setdefault(name, argument)
        required = _required(known) if required is None else required
        if not others:
            break
    return Arguments(known, others, required or ())


def _required(arguments: Mapping[str, Argument]) -> tuple[str, ...]:
    return tuple(name for name, argument in arguments.items() if argument.default is EMPTY)


def _signature(function: Callable[..., Any]) -> tuple[dict[str, Argument], bool]:
    """Returns the arguments that may be given by name, and whether there is `**kwargs`."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # in C
        return {}, True
    try:
        hints = typing.get_type_hints(function)
    except Exception:  # names that only a type checker knows, or whatever an annotation raises
        hints = {}
    found = {}
    for p in parameters:
        if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY):
            annotation = EMPTY if isinstance(p.annotation, str) else p.annotation
            found[p.name] = Argument(p.name, hints.get(p.name, annotation), p.default)
    return found, any(p.kind is p.VAR_KEYWORD for p in parameters)


def require_json(settings: Any, what: str) -> None:
    """Raises `UsageError` unless a run can store the settings of a task: JSON holds them."""
    for name, value in settings.items() if isinstance(settings, Mapping) else ():
        _storable(value, str(name), what)


def checked(given: Mapping[str, Any], arguments: Arguments, what: str, prefix: str) -> dict[str, Any]:
    """Returns values as a constructor is given them: a list that was stored in place of a tuple becomes one again.

    Args:
        given: by name.
        arguments: of the constructor.
        what: whose they are, for messages.
        prefix: of the names in messages: `"--env."`.

    Raises:
        UsageError: a name that is not among the arguments, or one that is missing.
    """
    for name in given:
        if name not in arguments.known and not arguments.takes_others:
            raise UsageError(
                f"{what} takes no argument {name!r}",
                expected=", ".join(map(str, arguments.known.values())) or "no arguments at all",
                hint=closest(name, [*arguments.known]),
            )
    missing = [name for name in arguments.required if name not in given]
    if missing:
        raise UsageError(
            f"{what} needs the argument {arguments.known[missing[0]]}",
            expected=f"a value for {', '.join(missing)}",
            hint=f"{prefix}{missing[0]}{' VALUE' if prefix.startswith('-') else '=VALUE'}",
        )
    return {name: _as_given(value, arguments.known.get(name)) for name, value in given.items()}


def _as_given(value: Any, argument: Argument | None) -> Any:
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if argument is None or not isinstance(value, list):
        return value
    origin = typing.get_origin(argument.annotation) or argument.annotation
    return tuple(value) if isinstance(argument.default, tuple) or origin is tuple else value


def _storable(value: Any, name: str, what: str) -> None:
    """Raises unless JSON holds a value, once arrays, tuples and NumPy's numbers are lists and numbers."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, Mapping) and all(isinstance(key, str) for key in item):
            waiting += item.values()
        elif isinstance(item, list | tuple):
            waiting += item
        elif isinstance(item, np.ndarray) and item.dtype.kind in "biuf":
            continue
        elif item is not None and not isinstance(item, bool | int | float | str | np.bool_ | np.number):
            raise UsageError(
                f"{what} with {name} = {str(item)[:60]} ({type(item).__name__})",
                expected="a value that a run can store: numbers, text, true and false, lists and dictionaries of them",
                hint="a class of yours in a file, which gives it to its base: file.py:Class",
            )


def with_absolute_files(given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns settings in which names of files that exist are absolute, so that they mean the same from any folder."""
    return {name: _absolute(value) for name, value in given.items()}


def files_in(value: Any) -> list[str]:
    """Returns the absolute names of files that exist among the texts of a JSON value."""
    if isinstance(value, str):
        return [value] if os.path.isabs(value) and _is_file(value) else []
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return [name for item in inner for name in files_in(item)]


def _absolute(value: Any) -> Any:
    if not isinstance(value, str) or not (os.sep in value or Path(value).suffix):
        return value
    return str(Path(value).expanduser().resolve()) if _is_file(value) else value


def _is_file(name: str) -> bool:
    try:
        return Path(name).expanduser().is_file()
    except (OSError, ValueError, RuntimeError):  # no name of a file at all
        return False


# ---------------------------------------------------------------------------------------------- from text


class _Unreadable(Exception):
    """A text that an annotation does not take."""


def typed(text: str | None, argument: Argument | None, option: str) -> Any:
    """Returns what a text means as an argument; None, an option without a value, means True.

    Args:
        text: as it was typed.
        argument: what it is to be; None where the constructor does not name it.
        option: as it was typed, for messages.

    Raises:
        UsageError: it is not of the argument's type, or no text stands for a value of that type.
    """
    known = argument or Argument("")
    if text is None:
        if known.annotation not in (EMPTY, Any) and not _takes_bool(known.annotation):
            raise UsageError(f"{option} without a value", expected=str(known), hint=f"{option} VALUE")
        if known.annotation is EMPTY and not isinstance(known.default, bool) and known.default is not EMPTY:
            raise UsageError(f"{option} without a value", expected=str(known), hint=f"{option} VALUE")
        return True
    try:
        if known.annotation in (EMPTY, Any) or isinstance(known.annotation, str | typing.TypeVar):
            return _like(text, known.default)
        return _as(text, known.annotation, known.default)
    except _Unreadable as error:
        shown = f"{option}{'' if option.endswith('=') else ' '}{text}"
        raise UsageError(shown, expected=f"{error} ({known})" if argument else str(error)) from None


def _takes_bool(annotation: Any) -> bool:
    return annotation is bool or bool in typing.get_args(annotation)


def _like(text: str, default: Any) -> Any:
    """Returns a text as what a default is; an annotation says nothing."""
    if isinstance(default, bool):
        return _as(text, bool)
    if isinstance(default, int | float | np.number):
        return _number(text)  # 9.8 where the default is 10 is meant
    if isinstance(default, str) or (default is None and text in NOTHING):
        return None if default is None else text
    if isinstance(default, tuple | list):
        items = _items(text)
        return tuple(items) if isinstance(default, tuple) else items
    if isinstance(default, Mapping):
        return _as(text, dict)
    return _literal(text)


def _literal(text: str) -> Any:
    """Returns a text as JSON, or as Python writes None, True and False; any other is a string."""
    if text in NOTHING:
        return None
    if text in ("True", "False"):
        return text == "True"
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _number(text: str) -> int | float:
    for kind in (int, float):
        try:
            number: int | float = kind(text)
        except ValueError:
            continue
        return number
    raise _Unreadable("a number")


def _as(text: str, annotation: Any, default: Any = EMPTY) -> Any:
    """Returns a text as a value of an annotation; raises `_Unreadable` where it is none."""
    origin, inner = _origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _as(text, inner[0], default)
    if origin in (typing.Union, types.UnionType):
        return _one_of(text, inner, default)
    if origin is Literal:
        for value in inner:
            if str(value) == text:
                return value
        raise _Unreadable("one of " + ", ".join(map(str, inner)))
    kind = origin or annotation
    if kind is object or isinstance(kind, typing.TypeVar | str) or str(kind) == "typing.Any":
        return _literal(text)
    if kind is type(None):
        if text in NOTHING:
            return None
        raise _Unreadable("None")
    if not isinstance(kind, type):
        raise _Unreadable(f"a value that text can stand for, which {_name(annotation)} is not; {WRITE_A_CLASS}")
    return _of_class(text, kind, inner, annotation)


WRITE_A_CLASS = "write a class in a file that makes it: file.py:Class"


def _of_class(text: str, kind: type, inner: tuple[Any, ...], annotation: Any) -> Any:
    if kind is bool or kind is np.bool_:
        if text.lower() not in TRUTH:
            raise _Unreadable("true or false")
        return TRUTH[text.lower()]
    if issubclass(kind, int | np.integer):
        number = _number(text)
        if isinstance(number, float) and not number.is_integer():
            raise _Unreadable("a whole number")
        return int(number)
    if issubclass(kind, float | np.floating):
        return float(_number(text))
    if issubclass(kind, str | os.PathLike):
        return text
    if issubclass(kind, np.ndarray):
        return _items(text)
    if issubclass(kind, collections.abc.Mapping):
        value = _literal(text)
        if not isinstance(value, dict):
            raise _Unreadable('a JSON object such as {"key": 1}')
        return value
    if issubclass(kind, collections.abc.Iterable) and not issubclass(kind, collections.abc.Callable):  # type: ignore[arg-type]
        items = _items(text, inner)
        return tuple(items) if kind is tuple else items
    raise _Unreadable(f"a value that text can stand for, which {_name(annotation)} is not; {WRITE_A_CLASS}")


def _one_of(text: str, options: tuple[Any, ...], default: Any) -> Any:
    order = {type(None): 0, bool: 2, int: 3, float: 4, str: 9}
    failures = []
    for option in sorted(options, key=lambda o: 1 if _origin(o) is Literal else order.get(o, 5)):
        alone = all(other in (option, type(None)) for other in options)
        if option is bool and not alone and text.lower() not in ("true", "false"):
            continue  # 1 and 0 are numbers where there may be numbers
        if option is int and not alone and not text.lstrip("+-").replace("_", "").isdecimal():
            continue
        try:
            return _as(text, option, default)
        except _Unreadable as error:
            failures.append(str(error))
    readable = [failure for failure in failures if WRITE_A_CLASS not in failure]
    raise _Unreadable(", or ".join(dict.fromkeys(readable or failures or ["a value"])))


def _items(text: str, inner: tuple[Any, ...] = ()) -> list[Any]:
    """Returns the items of a JSON array, or of a text with commas between them."""
    if text[:1] in "[(":
        value = _literal(f"[{text[1:-1]}]" if text[-1:] in "])" else text)
        if not isinstance(value, list):
            raise _Unreadable("numbers with commas between them, or a JSON array")
        return value
    kinds = [kind for kind in inner if kind is not Ellipsis]
    words = [word.strip() for word in text.split(",") if word.strip()]
    if len(kinds) > 1 and len(kinds) != len(words):
        raise _Unreadable(f"{len(kinds)} values with commas between them")
    return [
        _literal(word) if not kinds else _as(word, kinds[k] if len(kinds) > 1 else kinds[0])
        for k, word in enumerate(words)
    ]


def _origin(annotation: Any) -> Any:
    return typing.get_origin(annotation)


def _name(annotation: Any) -> str:
    plain = inspect.isclass(annotation) and not typing.get_args(annotation)
    return str(annotation.__name__ if plain else annotation)
