"""Classes from `file.py:Class` and `package.module:Class`; errors name the user's line."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from inscape.errors import UsageError

if TYPE_CHECKING:
    pass


def load_class(entry: str, what: str) -> Any:
    """Returns the object `file.py:Class` or `package.module:Class` names. `what` is its role, for messages.

    Raises:
        UsageError: no such file or module, it does not import, or has no such class.
    """
    source, _, attribute = entry.rpartition(":")
    if not source or not attribute:
        raise UsageError(f"{entry!r} does not name a {what}", expected="file.py:Class or package.module:Class")
    module = load_file(source, what) if source.endswith(".py") else load_module(source, what)
    if not hasattr(module, attribute):
        public = [
            n for n, v in vars(module).items() if isinstance(v, type) and v.__module__ == module.__name__
        ]  # fmt: skip
        raise UsageError(
            f"{source} has no class {attribute!r}",
            expected=f"one of {', '.join(public)}" if public else f"a class {attribute} in {source}",
        )
    return getattr(module, attribute)


def load_module(source: str, what: str) -> ModuleType:
    try:
        return importlib.import_module(source)
    except ModuleNotFoundError as error:
        raise UsageError(
            f"no module {error.name!r} for the {what} {source!r}", expected="file.py:Class or package.module:Class"
        ) from error


def load_file(path: str, what: str) -> ModuleType:
    """Returns the module in a file, imported once per content.

    Raises:
        UsageError: the file is missing, or fails to import (its own error is shown).
    """
    file = Path(path)
    if not file.is_file():
        raise UsageError(f"no file {path!r} for the {what}", expected="a path such as examples/elevator.py:Elevator")
    digest = hashlib.sha256(str(file.resolve()).encode() + file.read_bytes()).hexdigest()[:12]
    name = f"inscape_file_{file.stem}_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except UsageError:
        del sys.modules[name]
        raise
    except Exception as error:  # whatever a user's file raises is the user's to read, without our traceback
        del sys.modules[name]
        at = f"{path}:{line}" if (line := line_of(error, file)) else path
        told = error.msg if isinstance(error, SyntaxError) and error.msg else error
        raise UsageError(f"{at} failed to import: {type(error).__name__}: {told}", hint=f"python {path}") from error
    return module


def line_of(error: BaseException, file: str | Path) -> int | None:
    """Returns the line of `file` at which an error arose, or None if it arose elsewhere."""
    where = Path(file).resolve()
    if isinstance(error, SyntaxError) and error.filename is not None and Path(error.filename).resolve() == where:
        return error.lineno
    frames = traceback.extract_tb(error.__traceback__)
    return next((frame.lineno for frame in reversed(frames) if Path(frame.filename).resolve() == where), None)
