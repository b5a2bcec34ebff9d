"""Machine code on disk: where it lies, which of it is still right, and when it goes.

`cached_jit` stands for Numba's `njit(cache=True)`. Numba keys a cached function by the text of its own file, so it goes
on running old machine code when a callee in another file changes; and an index file cut short stops every later run.
Here each compiled signature is one file, named by a digest of everything the function reaches (`envs.law.digest`),
its types, the processor and the versions, and checked by a checksum: what does not match is compiled anew.

The folder is `$INSCAPE_CACHE/kernels`, else one in the user's cache folder, else (unwritable) a temporary one. What was
not used for 30 days is removed, and beyond `INSCAPE_CACHE_MB` (1024) what was used longest ago; once a day, when a
process ends. Reading a file sets its modification time, at most once a day: that is what "used" means.

Numba's private handles are used in this file alone; tests/envs/compile/test_kernel_cache.py names each.
"""

from __future__ import annotations

import atexit
import hashlib
import importlib.util
import linecache
import logging
import os
import pickle
import shutil
import sys
import tempfile
import time
import types
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

from inscape.envs.compile import compile_time
from inscape.envs.compile.switch import is_plain
from inscape.envs.law import streams
from inscape.envs.law.digest import Reached
from inscape.errors import UsageError

REACHED = "__reached__"
"""The global of a generated module that holds its `Reached`; all its functions share it."""
FUNCTIONS = "functions"
"""The folder for functions that depend on no world, in the cache's."""
DAY = 86_400.0
UNUSED_DAYS = 30
JUST_WRITTEN = 3600.0
"""Seconds during which a file is not removed, however full the folder is: its writer may still need it."""
DEFAULT_MB = 1024
CHECKSUM = 32  # bytes of SHA-256 before the data

logger = logging.getLogger(__name__)


# ---------------------------------------------------------------------------------------------- compiled functions


def cached_jit(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Returns a decorator that compiles a function as `numba.njit(**options)` does and keeps the machine code on disk.

    Where kernels are plain Python (`envs.compile.switch`), the function stays as it is.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        if is_plain():
            return function
        from numba import njit

        compile_time.listen()
        compiled = njit(**options)(function)
        if hasattr(compiled, "py_func"):
            compiled._cache = _cache_class()(function, options)
            _call_without_wrappers(compiled, function, options)
        return compiled

    return decorate


def helper_jit(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Returns a decorator like `cached_jit` for what kernels call: nothing is kept on disk, callers hold the code."""

    def decorate(function: Callable[..., Any]) -> Any:
        if is_plain():
            return function
        from numba import njit

        compiled = njit(**options)(function)
        if hasattr(compiled, "py_func"):
            _call_without_wrappers(compiled, function, options)
        return compiled

    return decorate


def _call_without_wrappers(compiled: Any, function: Any, options: dict[str, Any]) -> None:
    """Lets other compiled functions call a form of this one that Python cannot: what unpacks Python's arguments is not
    compiled then, some 15 % of the time it takes, and only what Python calls is kept on disk."""
    from numba import njit

    if options.get("parallel") or options.get("inline", "never") != "never":
        return
    inner = njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, **options)(function)
    of_both = {"get_call_template": compiled.get_call_template, "get_overload": compiled.get_overload}

    def by_form(method: str) -> Callable[..., Any]:
        def called(*arguments: Any) -> Any:
            # Numba looks for a function that calls itself among the forms that Python can call
            found = of_both[method] if _calls_itself(function) else getattr(inner, method)
            return found(*arguments)

        return called

    compiled.get_call_template, compiled.get_overload = by_form("get_call_template"), by_form("get_overload")
    compiled.form_for_kernels = inner


@lru_cache(maxsize=4096)
def _calls_itself(function: types.FunctionType) -> bool:
    """Returns whether a function reaches itself through the compiled functions that it names."""
    met: set[types.FunctionType] = set()
    waiting = [function]
    while waiting:
        current = waiting.pop()
        for name in current.__code__.co_names:
            callee = getattr(current.__globals__.get(name), "py_func", None)
            if callee is function:
                return True
            if callee is not None and callee not in met:
                met.add(callee)
                waiting.append(callee)
    return False


def is_function_kept(module: str, name: str) -> bool:
    """Returns whether machine code of a function without a world lies in the cache, for some types and some version.

    Nothing of Numba is imported. (Only Numba can tell whether the code is for this processor and up to date.)
    """
    pattern = f"{module.rpartition('.')[2]}.{name}-*.nbc"
    return any(True for _ in (cache_folder() / FUNCTIONS).glob(pattern))


def shared_uniform() -> Any:
    """Returns `envs.law.streams.uniform` for kernels without a world: compiled, or plain where they are."""
    return streams.uniform if is_plain() else streams.compiled_uniform()


def entry_point(kernel: Any, *arguments: Any) -> Callable[..., Any]:
    """Returns the compiled function itself for arguments of these types, which it does not look up again at every call.

    Numba's dispatcher spends 0.6 of 1.5 µs on the types of a step's arguments. Whoever calls the entry point promises
    that they never change. Compiles if need be and runs nothing.
    """
    compile_for = getattr(kernel, "_compile_for_args", None)
    found: Callable[..., Any] = kernel if compile_for is None else compile_for(*arguments)  # plain Python as it is
    return found


def wrap_compiling(kernel: Any, wrapper: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Makes a kernel compile by way of `wrapper(compile)`; calls of what is compiled do not pass through it."""
    kernel._compile_for_args = wrapper(kernel._compile_for_args)


def copied(compiled: Any, function: types.FunctionType) -> Any:
    """Returns `function` compiled with the options of `compiled`, for its declared signatures if it has some."""
    from numba import njit

    options = {name: value for name, value in compiled.targetoptions.items() if name != "nopython"}
    if getattr(compiled, "locals", None):
        options["locals"] = compiled.locals
    if compiled._can_compile:
        return njit(**options)(function)
    return njit(list(compiled.signatures), **options)(function)


@lru_cache(maxsize=1)
def _cache_class() -> type:
    from numba.core.caching import _Cache
    from numba.core.compiler import CompileResult
    from numba.core.serialize import dumps

    class DigestCache(_Cache):  # type: ignore[misc, unused-ignore]
        """What a dispatcher asks for machine code before it compiles, and gives it to afterwards."""

        def __init__(self, function: Callable[..., Any], options: dict[str, Any]) -> None:
            self._function, self._options = function, options
            self._enabled = True
            self._reached: Reached | None = None

        @property
        def cache_path(self) -> str:
            return str(self._folder())

        def enable(self) -> None:
            self._enabled = True

        def disable(self) -> None:
            self._enabled = False

        def holds_any(self) -> bool:
            """Returns whether machine code of a function of this name is on the disk, for some signature."""
            return any(self._folder().glob(f"{self._name()}-*.nbc"))

        def flush(self) -> None:
            for path in self._folder().glob(f"{self._name()}-*.nbc"):
                with suppress(OSError):
                    path.unlink()

        def load_overload(self, sig: Any, target_context: Any) -> Any:
            """Returns the compiled result for a signature, or None."""
            target_context.refresh()
            self._reached = self._taken()  # anew for every signature: what was reached may have changed
            path = self._path(sig, target_context.codegen())
            payload = None if path is None else read(path)
            if payload is None:
                return None
            try:
                result = CompileResult._rebuild(target_context, *pickle.loads(payload))
            except ImportError as error:  # of a module that does not exist under its name any more
                logger.info("%s cannot be loaded: %s", path, error)
                return None
            wanted = getattr(sig, "args", sig)
            return result if tuple(result.signature.args) == tuple(wanted) else None

        def save_overload(self, sig: Any, data: Any) -> None:
            """Keeps a compiled result, unless something it was made of has changed while it was made."""
            if any(not lifted.can_cache for lifted in data.lifted) or data.library.has_dynamic_globals:
                return
            path = self._path(sig, data.codegen)
            if path is not None and self._reached is not None and self._reached.is_current():
                write(path, dumps(data._reduce()))

        def _taken(self) -> Reached:
            shared: Reached | None = self._function.__globals__.get(REACHED)
            return Reached([self._function, self._options]) if shared is None else shared

        def _folder(self) -> Path:
            if REACHED in self._function.__globals__:
                return Path(self._function.__code__.co_filename).parent
            return cache_folder() / FUNCTIONS

        def _name(self) -> str:
            module = self._function.__module__.rpartition(".")[2]
            return f"{module}.{self._function.__qualname__}".replace("<", "").replace(">", "")

        def _path(self, sig: Any, codegen: Any) -> Path | None:
            """Returns the file of a signature; None where there can be none: its types belong to this process."""
            args = getattr(sig, "args", sig)
            types_text = ", ".join(_type_text(arg) for arg in args)
            if not self._enabled or self._reached is None or " at 0x" in types_text:
                return None
            scope = self._function.__module__ if REACHED in self._function.__globals__ else ""
            parts = (self._reached.digest, scope, types_text, *map(str, codegen.magic_tuple()), versions())
            key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]
            return self._folder() / f"{self._name()}-{key}.nbc"

    return DigestCache


def _type_text(kind: Any) -> str:
    """Returns a Numba type as text, telling apart named tuples of one name from two modules."""
    made = getattr(kind, "instance_class", None)
    text = str(kind) if made is None else f"{made.__module__}.{kind}"
    inner = getattr(kind, "types", None)
    return text if inner is None else f"{text}({', '.join(_type_text(one) for one in inner)})"


@lru_cache(maxsize=1)
def versions() -> str:
    """Returns the versions that machine code depends on."""
    found = (f"{package} {metadata.version(package)}" for package in ("numba", "llvmlite", "numpy"))  # none imported
    return " ".join([sys.version, *found])


# ---------------------------------------------------------------------------------------------- files


def read(path: Path) -> bytes | None:
    """Returns what `write` kept in a file and marks it as used; None where it is missing, cut short or spoilt."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    kept = data[CHECKSUM:]
    if hashlib.sha256(kept).digest() != data[:CHECKSUM]:
        logger.info("%s is damaged: compiled anew", path)
        return None
    touch(path)
    return kept


def write(path: Path, data: bytes) -> None:
    """Keeps `data` in a file, whole or not at all, whoever else is writing it; a full disk costs speed only."""
    try:
        _replace(path, hashlib.sha256(data).digest() + data)
    except OSError as error:
        logger.info("%s could not be kept: %s", path, error)


def write_text(path: Path, text: str) -> None:
    """Writes `text` unless the file holds it already; marks it as used.

    Raises:
        OSError: it could not be written.
    """
    data = text.encode()
    try:
        if path.read_bytes() == data:
            touch(path)
            return
    except FileNotFoundError:
        pass
    _replace(path, data)


def _replace(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".tmp", delete=False) as file:
        try:
            file.write(data)
        except OSError:
            os.unlink(file.name)
            raise
    os.replace(file.name, path)


def touch(path: Path) -> None:
    """Marks a file as used today."""
    with suppress(OSError):  # somebody else's folder: then it ages
        if time.time() - path.stat().st_mtime > DAY:
            os.utime(path)


def load_source(name: str, path: Path, source: str, names: Mapping[str, Any]) -> types.ModuleType:
    """Returns `source` run as the module `name`, with `names` as globals from the start.

    It is written to `path` and imported from there, so that breakpoints and tracebacks show its text; where the file
    cannot be written, the text is kept in memory for them.
    """
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    vars(module).update(names)
    before = sys.modules.get(name)
    sys.modules[name] = module
    try:
        try:
            write_text(path, source)
        except OSError as error:
            logger.info("%s could not be written: %s", path, error)
            linecache.cache[str(path)] = (len(source), None, source.splitlines(keepends=True), str(path))
            exec(compile(source, str(path), "exec"), vars(module))
        else:
            spec.loader.exec_module(module)
    except BaseException:
        if before is None:
            del sys.modules[name]
        else:
            sys.modules[name] = before
        raise
    return module


# ---------------------------------------------------------------------------------------------- the folder


@lru_cache(maxsize=1)
def cache_folder() -> Path:
    """Returns the folder for compiled kernels: `$INSCAPE_CACHE`, else the user's cache folder, else a temporary one.

    Raises:
        UsageError: `INSCAPE_CACHE_MB` is not a positive number.
    """
    limit = size_limit()
    base = os.environ.get("INSCAPE_CACHE")
    if base is None:
        base = str(Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "inscape")
    folder = Path(base) / "kernels"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder):
            pass
    except OSError:
        temporary = tempfile.mkdtemp(prefix="inscape-kernels-")
        atexit.register(shutil.rmtree, temporary, ignore_errors=True)
        return Path(temporary)
    atexit.register(prune_daily, folder, limit)
    return folder


def size_limit() -> int:
    """Returns how many bytes of compiled kernels are kept: `$INSCAPE_CACHE_MB` (2^20 bytes each), 1024 by default.

    Raises:
        UsageError: it is not a positive number.
    """
    text = os.environ.get("INSCAPE_CACHE_MB", str(DEFAULT_MB))
    try:
        limit = float(text)
    except ValueError:
        limit = 0.0
    if not 0 < limit < 2**40:
        raise UsageError(f"INSCAPE_CACHE_MB={text}", expected="a positive number of megabytes, such as 1024")
    return int(limit * 2**20)


def prune_daily(folder: Path, limit: int) -> None:
    """Prunes unless some process has within a day."""
    marker = folder / ".pruned"
    try:
        if time.time() - marker.stat().st_mtime < DAY:
            return
    except FileNotFoundError:
        pass  # never yet
    except OSError:
        return
    with suppress(OSError):
        marker.touch()  # first, so that processes that end together do not all look
        os.utime(marker)
        prune(folder, limit)


def prune(folder: Path, limit: int, now: float | None = None) -> int:
    """Removes files unused for 30 days, then those used longest ago until `limit` bytes remain; returns how many.

    Nothing written or used within the last hour is removed. A process that finds a file gone compiles anew.
    """
    now = time.time() if now is None else now
    found: list[tuple[float, int, str]] = []
    for parent, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(parent, name)
            with suppress(OSError):
                state = os.stat(path, follow_symlinks=False)
                found.append((state.st_mtime, state.st_size, path))
    total, removed = sum(size for _, size, _ in found), 0
    for used, size, path in sorted(found):
        old = now - used > (DAY if path.endswith(".tmp") else UNUSED_DAYS * DAY)  # .tmp: its writer was stopped
        if not old and total <= limit:
            continue
        if now - used < JUST_WRITTEN or os.path.basename(path) == ".pruned":
            continue
        with suppress(OSError):
            if os.stat(path, follow_symlinks=False).st_mtime == used:  # not used meanwhile
                os.unlink(path)
                total -= size
                removed += 1
    for parent, _, _ in os.walk(folder, topdown=False):
        if parent != str(folder):
            with suppress(OSError):  # not empty
                os.rmdir(parent)
    return removed
