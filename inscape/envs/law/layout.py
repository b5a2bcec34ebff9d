"""How named tuples of scalars become columns of two arrays: one of float64, one of int64, batch axis last."""

from __future__ import annotations

import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from inscape.errors import UsageError


class Numbers(NamedTuple):
    """How generated code takes numbers from arrays: format strings for an expression, `"float({})"` say."""

    real: str
    whole: str


AS_STORED = Numbers("{}", "{}")


@dataclass(frozen=True)
class Field:
    """One field of a named tuple.

    Attributes:
        kind: `"float"`, `"int"`, `"bool"` or `"table"` (a read-only NumPy array; parameters and purposes only).
        length: None for a scalar, n for `tuple[kind, ...]` of n entries.
        row: first row in the float array (kind float), the int array (int, bool) or index into the tables.
    """

    name: str
    kind: str
    length: int | None
    row: int

    @property
    def size(self) -> int:
        return 1 if self.length is None else self.length


@dataclass(frozen=True)
class Layout:
    """Where each field of a named tuple lies in the packed arrays."""

    cls: type
    fields: tuple[Field, ...]
    num_floats: int
    num_ints: int
    num_tables: int

    @staticmethod
    def of(cls: type, *, tables: bool = False, owner: str = "", lengths: Mapping[str, int] | None = None) -> Layout:
        """Returns the layout of a `NamedTuple` class; `lengths` says how long fields `tuple[kind, ...]` are.

        Raises:
            UsageError: a field is neither float, int, bool nor a fixed-length tuple of one of them.
        """
        where = f"{owner}.{cls.__name__}" if owner else cls.__name__
        if not (isinstance(cls, type) and issubclass(cls, tuple) and hasattr(cls, "_fields")):
            raise UsageError(f"{where} is {cls!r}", expected="a typing.NamedTuple class")
        hints = typing.get_type_hints(cls)
        fields: list[Field] = []
        rows = {"float": 0, "int": 0, "table": 0}
        for name in cls._fields:
            kind, length = _kind_of(hints.get(name), where, name, tables, lengths or {})
            pool = "int" if kind == "bool" else kind
            fields.append(Field(name, kind, length, rows[pool]))
            rows[pool] += 1 if length is None else length
        return Layout(cls, tuple(fields), rows["float"], rows["int"], rows["table"])

    @staticmethod
    def holds(declared: Any, lengths: Mapping[str, int]) -> bool:
        """Returns whether `declared` is a named tuple that `of` has a layout for, without tables."""
        if not (isinstance(declared, type) and issubclass(declared, tuple) and hasattr(declared, "_fields")):
            return False
        hints = typing.get_type_hints(declared)
        kinds = (_scalar_kind(hints.get(name), name, lengths) for name in declared._fields)
        return all(kind is not None for kind in kinds)

    def flat(self, value: Any) -> Iterable[tuple[Field, int, Any]]:
        """Yields (field, row, scalar) for every scalar of `value`, tables left out."""
        for field, item in zip(self.fields, value):
            if field.kind == "table":
                continue
            if field.length is None:
                yield field, field.row, item
            else:
                for k, entry in enumerate(item):
                    yield field, field.row + k, entry

    def pack(self, values: Sequence[Any]) -> tuple[np.ndarray, np.ndarray]:
        """Returns `(floats [NF, B], ints [NI, B])` holding `values`, a sequence of B named tuples."""
        floats = np.zeros((self.num_floats, len(values)))
        ints = np.zeros((self.num_ints, len(values)), np.int64)
        for b, value in enumerate(values):
            for field, row, scalar in self.flat(value):
                (floats if field.kind == "float" else ints)[row, b] = scalar
        return floats, ints

    def tables(self, value: Any) -> tuple[np.ndarray, ...]:
        """Returns the tables of `value` as C-contiguous float64, int64 or bool arrays."""
        found = []
        for field, item in zip(self.fields, value):
            if field.kind == "table":
                array = np.ascontiguousarray(item)
                if array.dtype != np.bool_:
                    array = array.astype(np.float64 if array.dtype.kind == "f" else np.int64)
                array.setflags(write=False)
                found.append(array)
        return tuple(found)

    def unpack(self, floats: np.ndarray, ints: np.ndarray, index: int) -> Any:
        """Returns column `index` as the named tuple, with plain Python scalars."""
        items: list[Any] = []
        for field in self.fields:
            source = floats if field.kind == "float" else ints
            convert = {"float": float, "int": int, "bool": bool}[field.kind]
            column = [convert(source[field.row + k, index]) for k in range(field.size)]
            items.append(column[0] if field.length is None else tuple(column))
        return self.cls(*items)

    def load_source(
        self, role: str, floats: str, ints: str, first_table: int, at: str, arguments: str, numbers: Numbers = AS_STORED
    ) -> str:
        """Returns the source of `load_state(arguments)` (role `"State"`), which rebuilds the named tuple from arrays.

        `at` is the text of the column index (`", i"` for packed states, `""` for one packed value); table number t
        is entry `first_table + t` of the packed world. `numbers` is how a number is taken from an array.
        """
        if not self.fields:
            return f"def load_{role.lower()}({arguments}):\n    return 0\n"
        items = []
        for field in self.fields:
            if field.kind == "table":
                items.append(f"P[{first_table + field.row}]")
                continue
            source, number = (floats, numbers.real) if field.kind == "float" else (ints, numbers.whole)
            suffix = " != 0" if field.kind == "bool" else ""
            scalars = [number.format(f"{source}[{field.row + k}{at}]") + suffix for k in range(field.size)]
            items.append(scalars[0] if field.length is None else "(" + ", ".join(scalars) + ",)")
        return f"def load_{role.lower()}({arguments}):\n    return {role}({', '.join(items)})\n"

    def store_source(self, what: str = "state") -> str:
        """Returns the source of `store_state(F, I, i, state)`."""
        lines = [f"def store_{what}(F, I, i, {what}):"]
        for field in self.fields:
            target = "F" if field.kind == "float" else "I"
            for k in range(field.size):
                value = f"{what}.{field.name}" if field.length is None else f"{what}.{field.name}[{k}]"
                # adding 0.0 turns −0.0 into 0.0, so that equal states have equal bits
                value = f"{value} + 0.0" if field.kind == "float" else f"int({value})"
                lines.append(f"    {target}[{field.row + k}, i] = {value}")
        return "\n".join(lines) + "\n"


def _scalar_kind(hint: Any, name: str, lengths: Mapping[str, int]) -> tuple[str, int | None] | None:
    """Returns (kind, length) of a field of scalars; None where the annotation is another, or leaves the length open."""
    scalars = {float: "float", int: "int", bool: "bool"}
    if hint in scalars:
        return scalars[hint], None
    entries = typing.get_args(hint) if typing.get_origin(hint) is tuple else ()
    if not entries or entries[0] not in scalars:
        return None
    if len(entries) == 2 and entries[1] is Ellipsis:
        return (scalars[entries[0]], int(lengths[name])) if name in lengths else None
    return (scalars[entries[0]], len(entries)) if len(set(entries)) == 1 else None


def _kind_of(hint: Any, where: str, name: str, tables: bool, lengths: Mapping[str, int]) -> tuple[str, int | None]:
    kind = _scalar_kind(hint, name, lengths)
    if kind is not None:
        return kind
    if tables and (hint is np.ndarray or typing.get_origin(hint) is np.ndarray):
        return "table", None
    if typing.get_origin(hint) is tuple and typing.get_args(hint)[1:] == (Ellipsis,) and name not in lengths:
        raise UsageError(
            f"field {name!r} of {where} is annotated {hint!r}, and nothing says how long it is",
            expected=f'lengths = {{"{name}": 3}} in the world, or from its `sized(**settings)`',
        )
    allowed = "float, int, bool, or a fixed-length tuple of one of them such as tuple[int, int]"
    raise UsageError(
        f"field {name!r} of {where} is annotated {hint!r}",
        expected=allowed + (", or np.ndarray for a lookup table" if tables else ""),
        hint="write boards as integer bit masks, and lookup tables as fields of Params" if not tables else "",
    )


def coerced(value: Any, kind: str, length: int | None, where: str) -> Any:
    """Returns `value` as the field's kind, refusing what would change it (2.5 as an int, "a" as a float)."""
    if kind == "table":
        return np.asarray(value)
    if length is not None:
        if not isinstance(value, Sequence) or len(value) != length:
            raise UsageError(f"{where} = {value!r}", expected=f"{length} values")
        return tuple(coerced(item, kind, None, where) for item in value)
    convert: dict[str, Any] = {"float": float, "int": int, "bool": bool}
    wanted = {"float": "a finite number", "int": "an integer", "bool": "True or False"}[kind]
    number = isinstance(value, (int, float, np.integer, np.floating, np.bool_)) and value == value
    if not number or convert[kind](value) != value or (kind == "float" and not np.isfinite(value)):
        raise UsageError(f"{where} = {value!r}", expected=wanted)
    return convert[kind](value)
