"""What compiled code depends on: a digest of everything a function reaches, source and values.

Machine code has the globals, helpers and arrays of a function built in, and neither Numba's cache nor its dispatchers
see that one of them changed. `Reached` follows a function through its globals, closures, defaults, decorators, helper
functions in any module, constants, arrays, enumerations and the attributes of classes and modules it names. Its digest
is the same in every process; comments, blank lines, docstrings and line numbers are not part of it.

`Reached.is_current` says cheaply (some 60 ns per thing reached; arrays are hashed) whether any of them was replaced or
edited since: a notebook's cell run again, a constant assigned, a method replaced, a module loaded again.

Python's standard library, NumPy and Numba are taken as they are, by version.
"""

from __future__ import annotations

import dis
import enum
import functools
import hashlib
import re
import sys
import sysconfig
import types
import typing
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

ABSENT = object()
"""Stands where a name is not defined."""

_PLAIN = (bool, int, float, complex, str, bytes, type(None), type(Ellipsis))
_COMPILED_LIBRARIES = frozenset({"numpy", "numba", "numba_cuda", "llvmlite"})
# what a class or module body stores beside its contents
_NOT_CONTENTS = frozenset({"__doc__", "__firstlineno__", "__static_attributes__"})
# where objects that stand for a function keep it: functools.wraps and Numba's cfunc, intrinsic, vectorize
_STANDS_FOR = ("__wrapped__", "_pyfunc", "_defn", "_dispatcher")


class Reached:
    """Everything that some functions and values depend on.

    Args:
        roots: what to start from, in a fixed order.
        attributes: names of attributes that are read of the roots themselves.

    Attributes:
        digest: hexadecimal, of 64 characters.
        named_tuples: the named-tuple classes met, for callers that compare them with those they hold.
    """

    def __init__(self, roots: Iterable[Any], attributes: Iterable[str] = ()) -> None:
        self.named_tuples: list[type] = []
        self._parts: list[bytes] = []
        self._met: dict[int, int] = {}
        self._members: set[tuple[int, str]] = set()
        self._kept: list[Any] = []  # so that no id is used twice
        # what `is_current` looks at again: where a value was found, and which
        self._named: list[tuple[Any, str, Any]] = []
        self._members_of_classes: list[tuple[type, str, Any]] = []
        self._functions: list[tuple[types.FunctionType, types.CodeType, Any, Any]] = []
        self._cells: list[tuple[types.CellType, Any]] = []
        self._containers: list[tuple[Any, tuple[Any, ...]]] = []
        self._arrays: list[tuple[np.ndarray, int]] = []
        names = tuple(attributes)
        for root in roots:
            self._value(root, names)
        self.digest = hashlib.sha256(b"".join(self._parts)).hexdigest()
        del self._parts, self._met, self._members

    def watch(self, cls: type, names: Iterable[str]) -> None:
        """Makes `is_current` look at these attributes of a class too, as they are now."""
        self._members_of_classes += [(cls, name, static_attribute(cls, name)) for name in names]

    def is_current(self) -> bool:
        """Returns whether nothing reached was replaced or edited since. False may be a false alarm: take it again."""
        for mapping, name, value in self._named:
            if mapping.get(name, ABSENT) is not value:
                return False
        for function, code, defaults, keyword_defaults in self._functions:
            if (
                function.__code__ is not code
                or function.__defaults__ is not defaults
                or function.__kwdefaults__ is not keyword_defaults
            ):
                return False
        for cls, name, value in self._members_of_classes:
            if static_attribute(cls, name) is not value:
                return False
        for cell, value in self._cells:
            if _contents(cell) is not value:
                return False
        for container, items in self._containers:
            now = _items(container)
            if len(now) != len(items) or any(a is not b for a, b in zip(now, items)):
                return False
        return all(_quick_hash(array) == known for array, known in self._arrays)

    # ------------------------------------------------------------------------------------ the walk

    def _emit(self, tag: str, text: str | bytes = b"") -> None:
        data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
        self._parts.append(f"{tag}{len(data)}:".encode() + data)

    def _is_known(self, value: Any) -> bool:
        """Notes an object that may be met again, and whether it was: then a reference stands for it."""
        number = self._met.get(id(value))
        if number is not None:
            self._emit("again", str(number))
            return True
        self._met[id(value)] = len(self._met)
        self._kept.append(value)
        return False

    def _value(self, value: Any, attributes: tuple[str, ...]) -> None:
        kind = type(value)
        if kind in _PLAIN:
            self._emit(kind.__name__, repr(value))
        elif kind is types.FunctionType:
            self._function(value)
        elif kind is types.ModuleType or isinstance(value, types.ModuleType):
            self._module(value, attributes)
        elif isinstance(value, np.ndarray):
            self._array(value)
        elif isinstance(value, np.generic):
            self._emit("scalar", value.dtype.str.encode() + value.tobytes())
        elif isinstance(value, enum.Enum):
            self._emit("member", value.name)
            self._class(type(value), attributes)
        elif isinstance(value, (tuple, list, dict, set, frozenset)):
            self._container(value, attributes)
        elif isinstance(value, type):
            self._class(value, attributes)
        elif kind is types.CodeType:
            self._emit("code", _facts(value).text)
        elif isinstance(value, (int, float, complex, str, bytes)):  # of a class derived from them
            base: Any = next(base for base in _PLAIN if isinstance(value, base))
            self._emit("derived", base.__repr__(value))
            self._class(kind, attributes)
        else:
            self._object(value, attributes)

    def _function(self, function: types.FunctionType) -> None:
        if is_library(function.__module__):
            self._emit("library", f"{function.__module__}.{function.__qualname__}")
            return
        if self._is_known(function):
            return
        code, defaults, keyword_defaults = function.__code__, function.__defaults__, function.__kwdefaults__
        self._functions.append((function, code, defaults, keyword_defaults))
        facts = _facts(code)
        self._emit("function", facts.text)
        self._value(defaults, facts.attributes)
        self._value(keyword_defaults, facts.attributes)
        for cell in function.__closure__ or ():
            value = _contents(cell)
            self._cells.append((cell, value))
            self._value(None if value is ABSENT else value, facts.attributes)
        scope = function.__globals__
        for name in facts.names:
            value = scope.get(name, ABSENT)
            self._named.append((scope, name, value))
            self._emit("name", name)
            if value is not ABSENT:  # otherwise one of Python's builtins
                self._value(value, facts.attributes)
        wrapped = function.__dict__.get("__wrapped__")
        if wrapped is not None:
            self._value(wrapped, facts.attributes)

    def _module(self, module: types.ModuleType, attributes: tuple[str, ...]) -> None:
        """Follows the names that code takes of a module, `pkg.sub.name` too: whatever it names that the module has."""
        if is_library(module.__name__):
            self._emit("library", module.__name__)
            return
        self._emit("module")
        scope = vars(module)
        for name in attributes:
            if (id(module), name) in self._members:
                continue
            self._members.add((id(module), name))
            value = scope.get(name, ABSENT)
            if value is ABSENT and "__getattr__" in scope:  # a package that loads its parts when they are asked for
                value = getattr(module, name, ABSENT)
            self._named.append((scope, name, scope.get(name, ABSENT)))
            if value is not ABSENT:
                self._emit("name", name)
                self._value(value, attributes)

    def _class(self, cls: type, attributes: tuple[str, ...]) -> None:
        if is_library(cls.__module__):
            self._emit("library", f"{cls.__module__}.{cls.__qualname__}")
            return
        if not self._is_known(cls):
            self._emit("class", cls.__qualname__)
            if issubclass(cls, enum.Enum):
                for name, member in cls.__members__.items():
                    self._emit("member", name)
                    self._value(member.value, attributes)
            elif issubclass(cls, tuple) and hasattr(cls, "_fields"):
                self.named_tuples.append(cls)
                self._value(cls._fields, ())
                self._value(getattr(cls, "_field_defaults", {}), ())
                self._emit("annotations", _annotation(list(getattr(cls, "__annotations__", {}).values())))
            elif hasattr(cls, "class_type"):  # a jitclass of Numba
                made = cls.class_type
                self._emit("struct", str(list(made.struct.items())))
                for part in (made.jit_methods, made.jit_props, made.jit_static_methods):
                    self._value(part, attributes)
        for name in attributes:
            if (id(cls), name) in self._members or name.startswith("__"):
                continue
            self._members.add((id(cls), name))
            value = static_attribute(cls, name)
            self._members_of_classes.append((cls, name, value))
            if value is not ABSENT:
                self._emit("name", name)
                self._value(value, attributes)

    def _container(self, value: Any, attributes: tuple[str, ...]) -> None:
        if not value and type(value) in (tuple, frozenset):
            self._emit(type(value).__name__)
            return
        if self._is_known(value):
            return
        items = _items(value)
        if not isinstance(value, (tuple, frozenset)):
            self._containers.append((value, items))
        self._emit(type(value).__name__, str(len(items)))
        if type(value) not in (tuple, list, dict, set, frozenset):
            self._class(type(value), attributes)
        if isinstance(value, (set, frozenset)):  # in whatever order: it differs from process to process
            self._emit("set", "".join(sorted(Reached([item], attributes).digest for item in items)))
            return
        for item in items:
            self._value(item, attributes)

    def _array(self, array: np.ndarray) -> None:
        if self._is_known(array):
            return
        order = f"{array.flags.c_contiguous}{array.flags.f_contiguous}"
        self._emit("array", f"{array.dtype.descr if array.dtype.names else array.dtype.str}{array.shape}{order}")
        if array.dtype.hasobject:
            for item in array.ravel().tolist():
                self._value(item, ())
        else:
            self._emit("entries", hashlib.sha256(array.tobytes()).digest())
        self._arrays.append((array, _quick_hash(array)))

    def _object(self, value: Any, attributes: tuple[str, ...]) -> None:
        if self._is_known(value):
            return
        if hasattr(value, "py_func"):  # compiled by Numba: the options are part of the code
            self._emit("compiled")
            self._value(dict(sorted(getattr(value, "targetoptions", {}).items())), attributes)
            self._value({name: str(kind) for name, kind in sorted(getattr(value, "locals", {}).items())}, ())
            self._value(value.py_func, attributes)
        elif isinstance(value, (functools.partial, functools.partialmethod)):
            self._emit("partial")
            self._value((value.func, value.args, dict(value.keywords)), attributes)
        elif isinstance(value, types.MethodType):
            self._emit("method")
            self._value((value.__func__, value.__self__), attributes)
        elif isinstance(value, (staticmethod, classmethod)):
            self._emit(type(value).__name__)
            self._value(value.__func__, attributes)
        elif isinstance(value, property):
            self._emit("property")
            self._value(value.fget, attributes)
        elif (function := _stood_for(value)) is not None:
            self._emit("wrapper", type(value).__qualname__)
            self._value(function, attributes)
        elif is_library(type(value).__module__):
            self._emit("object", re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value)))
        else:  # an instance: what is read of it
            self._emit("instance")
            self._class(type(value), attributes)
            scope = getattr(value, "__dict__", {})
            for name in attributes:
                if name in scope:
                    self._named.append((scope, name, scope[name]))
                    self._emit("name", name)
                    self._value(scope[name], attributes)


def static_attribute(cls: type, name: str) -> Any:
    """Returns what a class or its bases have under this name, no descriptor called; `ABSENT` if nothing."""
    for base in cls.__mro__:
        if name in base.__dict__:
            return base.__dict__[name]
    return ABSENT


def code_digest(code: types.CodeType) -> str:
    """Returns a digest of a code object and those inside it, a whole module's too: not of the values it reads."""
    return hashlib.sha256(_facts(code).text).hexdigest()


def attributes_read(code: types.CodeType) -> tuple[str, ...]:
    """Returns the names of the attributes that a code object and those inside it read."""
    return _facts(code).attributes


def module_code_digest(module: types.ModuleType, names: Iterable[str] | None = None) -> str:
    """Returns a digest of the code of a loaded module: its functions, its classes' methods and its constants.

    `names`: only of these.
    """
    parts: list[Any] = []
    chosen = vars(module) if names is None else {name: vars(module)[name] for name in names}
    for name, value in sorted(chosen.items()):
        if name.startswith("__"):
            continue
        if getattr(value, "__module__", None) == module.__name__:
            for function in _functions_of(value):
                parts += [name, function.__code__, function.__defaults__, function.__kwdefaults__]
        elif name.isupper() and isinstance(value, (*_PLAIN, tuple, frozenset)):
            parts += [name, value]
    return Reached(part for part in parts if _is_data(part)).digest


def _functions_of(value: Any) -> Iterator[types.FunctionType]:
    value = getattr(value, "__wrapped__", value)
    if isinstance(value, types.FunctionType):
        yield value
    elif isinstance(value, type):
        for member in vars(value).values():
            yield from _functions_of(getattr(member, "__func__", getattr(member, "fget", member)))


def _is_data(value: Any) -> bool:
    if isinstance(value, (tuple, frozenset)):
        return all(_is_data(item) for item in value)
    return isinstance(value, (*_PLAIN, dict, types.CodeType))


# ---------------------------------------------------------------------------------------------- code objects


class _Facts(NamedTuple):
    """What a code object says: itself as bytes, the globals it names, the attributes it reads."""

    text: bytes
    names: tuple[str, ...]
    attributes: tuple[str, ...]


_CONSTANTS = frozenset(dis.hasconst)
_NAMES = frozenset(dis.hasname)


@functools.cache
def _facts(code: types.CodeType) -> _Facts:
    """Reads a code object, those inside it included, by what its instructions load: a docstring is loaded by none."""
    parts: list[str] = []
    names: dict[str, None] = {}
    attributes: dict[str, None] = {}
    for instruction in dis.get_instructions(code):
        operation, arg, value = instruction.opname, instruction.arg, instruction.argval
        if operation in ("EXTENDED_ARG", "NOP", "CACHE"):
            continue
        if instruction.opcode in _CONSTANTS:
            parts.append(f"{operation} {_constant(value, names, attributes)}")
        elif instruction.opcode in _NAMES:
            if operation == "STORE_NAME" and value in _NOT_CONTENTS:
                parts.pop()  # the constant that is stored
                continue
            parts.append(f"{operation} {value}")
            if operation in ("LOAD_GLOBAL", "LOAD_NAME"):
                names[value] = None
            else:
                attributes[value] = None
        else:
            parts.append(f"{operation} {arg}")
    arguments = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags & 0x0F)
    parts.append(f"{arguments}{code.co_varnames}{code.co_freevars}{code.co_cellvars}")
    parts.append(str(len(code.co_exceptiontable)))
    return _Facts("\n".join(parts).encode("utf-8", "surrogatepass"), tuple(names), tuple(attributes))


def _constant(value: Any, names: dict[str, None], attributes: dict[str, None]) -> str:
    if isinstance(value, types.CodeType):
        inner = _facts(value)
        names.update(dict.fromkeys(inner.names))
        attributes.update(dict.fromkeys(inner.attributes))
        return f"code {hashlib.sha256(inner.text).hexdigest()}"
    if isinstance(value, tuple):
        return f"({', '.join(_constant(item, names, attributes) for item in value)})"
    if isinstance(value, frozenset):
        return f"{{{', '.join(sorted(_constant(item, names, attributes) for item in value))}}}"
    return f"{type(value).__name__} {value!r}"


# ---------------------------------------------------------------------------------------------- values


def _contents(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not assigned yet
        return ABSENT


def _items(container: Any) -> tuple[Any, ...]:
    if isinstance(container, dict):
        return tuple(item for pair in container.items() for item in pair)
    return tuple(container)


def _quick_hash(array: np.ndarray) -> int:
    """Returns a 64-bit hash of an array's entries, of this process only."""
    return hash(tuple(map(id, array.ravel().tolist()))) if array.dtype.hasobject else hash(array.tobytes())


def _stood_for(value: Any) -> Callable[..., Any] | None:
    for name in _STANDS_FOR:
        function = getattr(value, name, None)
        if callable(function):
            return typing.cast("Callable[..., Any]", function)
    return None


def _annotation(hint: Any) -> str:
    """Returns an annotation as text, without the names of modules: a world's file is loaded under changing ones."""
    if isinstance(hint, list):
        return ", ".join(_annotation(one) for one in hint)
    origin = typing.get_origin(hint)
    if origin is not None:
        return f"{_annotation(origin)}[{_annotation(list(typing.get_args(hint)))}]"
    return str(getattr(hint, "__qualname__", hint))


@functools.cache
def is_library(module: str | None) -> bool:
    """Returns whether a module belongs to Python itself, NumPy or Numba: replaced only together with its version."""
    top = (module or "").partition(".")[0]
    if top in _COMPILED_LIBRARIES or top == "builtins":
        return True
    if top not in sys.stdlib_module_names:
        return False
    file = getattr(sys.modules.get(top), "__file__", None)  # a user's own module may bear the name
    return file is None or file.startswith((sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")))
