"""Classes from `file.py:Class` and `package.module:Class`; errors name the user's line."""

from __future__ import annotations

import copyreg
import hashlib
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from inscape.envs.process_settings import kept_process_settings
from inscape.errors import UsageError, exits_as_errors
from inscape.trust import allow

_LOADED = "inscape_file_"
"""Begins the names of modules that were loaded from a file."""


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


def reference_of(cls: type) -> str | None:
    """Returns `package.module:Class` or `file.py:Class`, by which a class is found again; None if there is none.

    A class of `__main__` has none: making an object of a stored name must not run a script again. The class being
    there, its code has run: its name may be obeyed from now on (`inscape.trust`).
    """
    module = sys.modules.get(cls.__module__)
    if module is None or cls.__module__ == "__main__" or "." in cls.__qualname__:
        return None
    if getattr(module, cls.__name__, None) is not cls:
        return None
    source = module.__file__ if cls.__module__.startswith(_LOADED) else cls.__module__
    reference = f"{source}:{cls.__name__}"
    allow([reference])
    return reference


def load_module(source: str, what: str) -> ModuleType:
    """Returns a module by its name: an installed one, or one in the present folder.

    Raises:
        UsageError: there is none, or it fails to import (its own error is shown).
    """
    top = source.partition(".")[0]
    here = Path.cwd()
    if importlib.util.find_spec(top) is None and ((here / f"{top}.py").is_file() or (here / top).is_dir()):
        sys.path.append(str(here))  # which `python -m` has on the path, and the command `inscape` has not
        importlib.invalidate_caches()
    try:
        with exits_as_errors(f"{source} was imported"):
            return importlib.import_module(source)
    except ModuleNotFoundError as error:
        beside = f"; {here} has no {top}.py and no folder {top}" if error.name == top else ""
        raise UsageError(
            f"no module {error.name!r} for the {what} {source!r}{beside}",
            expected="file.py:Class or package.module:Class",
        ) from error
    except UsageError:
        raise
    except Exception as error:  # whatever a user's module raises is for the user to read
        file = getattr(importlib.util.find_spec(top), "origin", None)
        line = line_of(error, file) if file else None
        raise UsageError(
            f"{f'{file}:{line}' if line else source} failed to import: {type(error).__name__}: {error}",
            hint=f"python -c 'import {source}'",
        ) from error


def find_again(record: Mapping[str, Mapping[str, str]]) -> None:
    """Puts the folders on the path in which modules lay when a record of code was made, where they are not found.

    Args:
        record: as `inscape.trust.code_record` made it, from a file that may say where code lies.
    """
    for name, entry in record.items():
        source, path = name.rpartition(":")[0], Path(entry.get("path", ""))
        if not source or source.endswith(".py") or not all(part.isidentifier() for part in source.split(".")):
            continue
        top = source.partition(".")[0]
        if top in sys.modules or importlib.util.find_spec(top) is not None or not path.is_file():
            continue
        inside = path.parent if path.name == "__init__.py" else path
        if len(inside.parents) >= source.count(".") + 1:
            sys.path.append(str(inside.parents[source.count(".")]))
            importlib.invalidate_caches()


def load_file(path: str, what: str) -> ModuleType:
    """Returns the module in a file, imported once per content.

    Raises:
        UsageError: the file is missing, or fails to import (its own error is shown).
    """
    if path in _stand_ins:
        file, name = _stand_ins[path]
    else:
        file = Path(path)
        if not file.is_file():
            raise UsageError(
                f"no file {path!r} for the {what}", expected="a path such as examples/elevator.py:Elevator"
            )
        name = _module_name(file)
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with (
            kept_process_settings(path),
            exits_as_errors(f"{path} was imported"),
            _modules_beside(file.resolve().parent),
        ):
            spec.loader.exec_module(module)
    except UsageError:
        del sys.modules[name]
        raise
    except Exception as error:  # whatever a user's file raises is for the user to read, without the loader's traceback
        del sys.modules[name]
        at = f"{path}:{line}" if (line := line_of(error, file)) else path
        message = error.msg if isinstance(error, SyntaxError) and error.msg else error
        hint = f"python {path}"
        if isinstance(error, ImportError) and "relative import" in str(error):
            hint = f"from the folder above its package: {file.resolve().parent.name}.{file.stem}:YourClass"
        raise UsageError(f"{at} failed to import: {type(error).__name__}: {message}", hint=hint) from error
    for member in vars(module).values():
        if isinstance(member, type) and member.__module__ == name:
            copyreg.pickle(member, _reduced_with_its_file)
    return module


_stand_ins: dict[str, tuple[Path, str]] = {}
"""Path → the file that stands in for it, and the name of its module."""


def stand_in(path: str, copy: Path, original: str) -> None:
    """Loads a copy wherever a file is asked for that another machine has.

    Args:
        path: as the file is asked for.
        copy: where its content is here.
        original: its absolute path on the other machine: objects that were pickled there name its module by it.
    """
    _stand_ins[path] = copy, _module_name_of(Path(original), copy.read_bytes())


_beside: dict[str, Path] = {}
"""Modules that files imported from their own folder, and which folder that was."""


@contextmanager
def _modules_beside(folder: Path) -> Iterator[None]:
    """Lets a file import the modules that lie beside it, as `python FILE` does, whatever the present folder.

    Two folders may each have a `helper.py`: each file gets its own. The folder stays on the path, at its end, for
    imports inside functions.
    """
    for name, other in list(_beside.items()):
        if other != folder and ((folder / f"{name}.py").is_file() or (folder / name).is_dir()):
            del _beside[name]
            for loaded in [loaded for loaded in sys.modules if loaded == name or loaded.startswith(f"{name}.")]:
                del sys.modules[loaded]
    before = set(sys.modules)
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        if str(folder) not in sys.path:
            sys.path.append(str(folder))
        for name in {loaded.partition(".")[0] for loaded in set(sys.modules) - before}:
            found = getattr(sys.modules.get(name), "__file__", None)
            if found is not None and Path(found).resolve().is_relative_to(folder):
                _beside[name] = folder


def _module_name(file: Path) -> str:
    return _module_name_of(file.resolve(), file.read_bytes())


def _module_name_of(file: Path, content: bytes) -> str:
    digest = hashlib.sha256(str(file).encode() + content).hexdigest()[:12]
    return f"{_LOADED}{file.stem}_{digest}"


# ---------------------------------------------------------------------------------------------- pickles


@dataclass(frozen=True)
class _FileOf:
    """The file a class was loaded from. As a pickle is read, it becomes the module, loaded from there if need be."""

    path: str
    name: str

    def __reduce__(self) -> tuple[Any, ...]:
        return _loaded_as_pickled, (self.path, self.name)


def _reduced_with_its_file(value: Any) -> tuple[Any, ...]:
    """Returns how `pickle` and `copy` make an instance of a class from a file again: first comes the file, so that the
    class is found in a process that has not loaded it."""
    module = sys.modules[type(value).__module__]
    function, arguments, *rest = value.__reduce_ex__(4)
    return (_called, (_FileOf(str(module.__file__), module.__name__), function, arguments), *rest)


def _called(module: Any, function: Any, arguments: tuple[Any, ...]) -> Any:
    return function(*arguments)


def _loaded_as_pickled(path: str, name: str) -> ModuleType:
    """Returns the module that an object was pickled with.

    Raises:
        UsageError: the file is gone, or was edited since.
    """
    if name in sys.modules:
        return sys.modules[name]
    file = Path(path)
    if path not in _stand_ins and file.is_file() and _module_name(file) != name:
        raise UsageError(
            f"{path} was edited since an object of a class in it was pickled",
            expected="the file as it was",
            hint="make the object, and its pickle, again",
        )
    return load_file(path, "pickled object")


def line_of(error: BaseException, file: str | Path) -> int | None:
    """Returns the line of `file` at which an error arose, or None if it arose elsewhere."""
    where = Path(file).resolve()
    if isinstance(error, SyntaxError) and error.filename is not None and Path(error.filename).resolve() == where:
        return error.lineno
    frames = traceback.extract_tb(error.__traceback__)
    return next((frame.lineno for frame in reversed(frames) if Path(frame.filename).resolve() == where), None)
