"""How a world is compiled: kernel templates instantiated against one law, cached on disk.

A template is an ordinary source file written against `inscape.envs.kernels.names`. Instantiating it for a world copies
it, as a real module file, into a cache folder named by the law's fingerprint, with that import bound to the world's
law. Numba caches a function whose callees are module globals, but not one that takes or closes over another compiled
function (numba issue 6264); hence one file per world and template. The fingerprint covers everything the law's
functions reach (bytecode, constants, globals, helper functions), because Numba's own cache key sees only the file.

An unwritable cache folder costs speed only: kernels then live in a temporary folder for the life of the process.
"""

from __future__ import annotations

import atexit
import builtins
import dis
import enum
import hashlib
import importlib.util
import logging
import math
import os
import re
import shutil
import sys
import tempfile
import threading
import types
from collections.abc import Callable, Iterator, Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from inscape.envs.compile import fast_math
from inscape.envs.compile.adapter import adapter_source, view_layout
from inscape.envs.law import streams
from inscape.envs.law import tools as lawtools
from inscape.errors import UsageError

if TYPE_CHECKING:
    from inscape.envs.law.law import Law

NAMES_IMPORT = "from inscape.envs.kernels.names import"
LAW_FUNCTIONS = (
    "initial", "transition", "reward", "terminal", "observation", "observation_view", "observation_entry", "legal",
    "mover", "branches", "initial_branches",
)  # fmt: skip

logger = logging.getLogger(__name__)
_lock = threading.RLock()
Arithmetic = Literal["exact", "fast"]
"""`"fast"`: sine and cosine of `fast_math`, and sums and products in whatever order and fusion is quickest."""
SUFFIX = {"exact": "", "fast": "_fast"}
FAST = {"contract", "reassoc", "arcp", "nsz"}  # but NaN and infinity mean what they mean

SHARED = ("inscape.envs.kernels.lookup",)
"""Templates whose functions other templates import."""
Constants = tuple[tuple[str, int | float | str | bool], ...]

_kernels: dict[tuple[type, str, bool, str, Constants], types.ModuleType] = {}
_laws: dict[tuple[type, bool, str], types.ModuleType] = {}
_told: set[type] = set()


# ---------------------------------------------------------------------------------------------- fingerprint


def fingerprint(world: type[Law]) -> str:
    """Returns a hash of everything the compiled law of `world` depends on."""
    digest = hashlib.sha256()
    for part in _parts(world):
        digest.update(part.encode())
        digest.update(b"\0")
    return digest.hexdigest()[:20]


def _parts(world: type[Law]) -> Iterator[str]:
    yield _machinery()
    yield sys.version
    yield adapter_source(world)
    seen: set[int] = set()
    for name in LAW_FUNCTIONS:
        function = world.law_function(name)
        if function is not None:
            yield name
            yield from _function_parts(function, seen)


@lru_cache(maxsize=1)
def _machinery() -> str:
    """Returns a hash of the code that makes kernels, so that changing it makes new ones."""
    return hashlib.sha256(
        b"".join(Path(f).read_bytes() for f in (__file__, streams.__file__, lawtools.__file__, fast_math.__file__))
    ).hexdigest()


def _function_parts(function: Callable[..., Any], seen: set[int]) -> Iterator[str]:
    function = getattr(function, "py_func", function)
    if id(function) in seen:
        return
    seen.add(id(function))
    yield repr((function.__defaults__, function.__kwdefaults__))
    yield from _code_parts(function.__code__, function.__globals__, seen)
    for cell in function.__closure__ or ():
        yield from _value_parts(cell.cell_contents, (), seen)


def _code_parts(code: types.CodeType, scope: dict[str, Any], seen: set[int]) -> Iterator[str]:
    yield code.co_code.hex()
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _code_parts(constant, scope, seen)
        else:
            yield repr(constant)
    for name in code.co_names:
        yield name
        if name in scope:
            yield from _value_parts(scope[name], code.co_names, seen)


def _value_parts(value: Any, attributes: tuple[str, ...], seen: set[int]) -> Iterator[str]:
    if isinstance(value, types.ModuleType):
        yield value.__name__
        for name in attributes:  # constants and functions reached as module.name
            inner = getattr(value, name, None)
            if isinstance(inner, (int, float, str, tuple, types.FunctionType)):
                yield from _value_parts(inner, (), seen)
    elif isinstance(value, types.FunctionType) or hasattr(value, "py_func"):
        yield from _function_parts(value, seen)
    elif isinstance(value, np.ndarray):
        yield f"{value.dtype}{value.shape}"
        yield hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
    elif isinstance(value, type) and issubclass(value, enum.Enum):
        yield repr([(member.name, member.value) for member in value])
    elif isinstance(value, type):
        yield f"{value.__qualname__} {getattr(value, '_fields', '')} {getattr(value, '__annotations__', '')}"
    else:
        yield repr(value)


# ---------------------------------------------------------------------------------------------- the law's module


def law_module(world: type[Law], compiled: bool, arithmetic: Arithmetic = "exact") -> types.ModuleType:
    """Returns the module of names that kernels of `world` import, compiled by Numba or as plain Python."""
    with _lock:
        found = _laws.get((world, compiled, arithmetic))
        if found is not None:
            return found
        # the same in every process: cached kernels name the modules they came from
        name = f"inscape_law_{fingerprint(world)}{SUFFIX[arithmetic] if compiled else '_plain'}"
        options = {"error_model": "numpy", **({"fastmath": FAST} if arithmetic == "fast" else {})}
        module = types.ModuleType(name, f"The law of {world.__name__}, as kernels see it.")
        scope = module.__dict__
        state, params, purpose = world.layouts()
        scope.update(State=state.cls, Params=params.cls, Purpose=purpose.cls)
        if (views := view_layout(world)) is not None:
            scope["View"] = views.cls
        helpers: dict[int, Any] = {}
        for law_name in LAW_FUNCTIONS:
            function = world.law_function(law_name)
            if function is not None:
                scope[f"law_{law_name}"] = _compile_law(function, name, options, helpers) if compiled else function
        scope["uniform"] = streams.compiled_uniform() if compiled else streams.uniform
        before = set(scope)
        exec(compile(adapter_source(world), f"<law of {world.__name__}>", "exec"), scope)
        if compiled:
            from numba import njit, prange

            for key in set(scope) - before:
                if isinstance(scope[key], types.FunctionType):
                    scope[key] = njit(forceinline=True, **options)(scope[key])
            scope["jit"] = njit(cache=True, nogil=True, **options)
            scope["parallel_jit"] = njit(cache=True, parallel=True, **options)
            scope["inner"] = njit(nogil=True, **options)
            scope["prange"] = prange
        else:
            scope.update(dict.fromkeys(("jit", "inner", "parallel_jit"), lambda function: function), prange=range)
        sys.modules[name] = module
        _laws[world, compiled, arithmetic] = module
        return module


def _compile_law(function: Callable[..., Any], module: str, options: dict[str, Any], done: dict[int, Any]) -> Any:
    """Compiles a law function together with the plain Python helpers it calls by name."""
    from numba import njit

    if hasattr(function, "py_func"):
        return function
    tool = lawtools.compiled_form(function, arithmetic="fast" if "fastmath" in options else "exact")
    if tool is not None:
        return tool
    if id(function) in done:
        return done[id(function)]
    scope = dict(function.__globals__)
    copy = types.FunctionType(function.__code__, scope, function.__name__, function.__defaults__, function.__closure__)
    copy.__kwdefaults__ = function.__kwdefaults__
    copy.__module__ = module  # importable when a cached kernel is loaded, wherever the user's file lies
    compiled = done[id(function)] = njit(forceinline=True, **options)(copy)
    for name in _global_names(function.__code__):
        helper = scope.get(name)
        if isinstance(helper, types.FunctionType) and not hasattr(builtins, name):
            scope[name] = _compile_law(helper, module, options, done)
        elif helper is math and "fastmath" in options:
            scope[name] = fast_math.compiled()
    return compiled


def _global_names(code: types.CodeType) -> Iterator[str]:
    for instruction in dis.get_instructions(code):
        if instruction.opname == "LOAD_GLOBAL":
            yield instruction.argval
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _global_names(constant)


# ---------------------------------------------------------------------------------------------- kernels


def kernel(
    world: type[Law],
    template: str,
    compiled: bool = True,
    arithmetic: Arithmetic = "exact",
    constants: Mapping[str, int | float | str | bool] | None = None,
) -> types.ModuleType:
    """Returns the kernel template module `template` (dotted name) bound to the law of `world`.

    `constants` replaces the values of the template's module constants, each the line `NAME = …`: one template then
    makes several kernels, each compiled knowing its own.

    Raises:
        UsageError: the template does not import its names as expected, or has no such constant; no such arithmetic.
    """
    if arithmetic not in SUFFIX:
        raise UsageError(f"arithmetic {arithmetic!r}", expected=" or ".join(SUFFIX))
    chosen = tuple(sorted((constants or {}).items()))
    with _lock:
        key = (world, template, compiled, arithmetic, chosen)
        if key not in _kernels:
            _kernels[key] = _instance(world, template, compiled, arithmetic, chosen)
        return _kernels[key]


def _instance(
    world: type[Law], template: str, compiled: bool, arithmetic: Arithmetic, constants: Constants
) -> types.ModuleType:
    law = law_module(world, compiled, arithmetic)
    source = template_source(template).replace(NAMES_IMPORT, f"from {law.__name__} import")
    for name, value in constants:
        source, lines = re.subn(rf"(?m)^{name} = .*$", f"{name} = {value!r}", source)
        if lines != 1:
            raise UsageError(f"{lines} lines `{name} = …` in kernel template {template!r}", expected="one")
    for shared in SHARED:
        if f"from {shared} import" in source:
            module = kernel(world, shared, compiled, arithmetic)
            source = source.replace(f"from {shared} import", f"from {module.__name__} import")
    tail = template.rsplit(".", 1)[-1]
    digest = hashlib.sha256((source + _imported_source(source)).encode()).hexdigest()[:12]
    name = f"{law.__name__}_{tail}_{digest}"
    if not compiled:
        module = types.ModuleType(name)
        exec(compile(source, f"<{template} of {world.__name__}, plain>", "exec"), module.__dict__)
        sys.modules[name] = module
        return module
    path = cache_folder() / f"{world.__name__}-{fingerprint(world)}{SUFFIX[arithmetic]}" / f"{tail}_{digest}.py"
    if not path.exists() and world not in _told:
        _told.add(world)
        logger.info("compiling the law of %s: some seconds, the first time only", world.__name__)
    _write_once(path, source)
    module = _load(name, path)
    _explain_failures(module, world)
    return module


def entry_point(kernel: Any, *arguments: Any) -> Callable[..., Any]:
    """Returns the compiled function itself for arguments of these types, which it does not look up again at every call.

    Numba's dispatcher spends 0.6 of 1.5 µs on the types of a step's arguments. Whoever calls the entry point promises
    that they never change. Compiles if need be and runs nothing.
    """
    compile_for = getattr(kernel, "_compile_for_args", None)
    found: Callable[..., Any] = kernel if compile_for is None else compile_for(*arguments)  # plain Python as it is
    return found


def _explain_failures(module: types.ModuleType, world: type[Law]) -> None:
    """Makes the kernels say in a user's words why a law does not compile; costs nothing once they are compiled."""
    from numba.core.errors import NumbaError, UnsupportedBytecodeError

    def explained(compile_for: Callable[..., Any]) -> Callable[..., Any]:
        def compile_for_args(*args: Any, **kwargs: Any) -> Any:
            try:
                return compile_for(*args, **kwargs)
            except (NumbaError, UnsupportedBytecodeError) as error:
                raise UsageError(
                    f"the law of {world.__name__} does not compile:\n{_gist(str(error))}",
                    expected="arithmetic on numbers and tuples; State, Params, Purpose and helpers at module level",
                    hint=f"inscape check FILE.py:{world.__name__} runs it as plain Python; see docs/architecture.md",
                ) from error

        return compile_for_args

    for value in vars(module).values():
        if hasattr(value, "py_func"):
            value._compile_for_args = explained(value._compile_for_args)


def _gist(text: str) -> str:
    """Returns the lines of a Numba error that speak of the user's law, without colours and without its own advice."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    if untyped := re.search(r"Untyped global name '(\w+)'.*<class", plain):
        return (
            f"    it uses the class {untyped[1]}, which cannot be compiled\n"
            "    State, Params and Purpose cannot be reached through a class: define them at module level"
        )
    kept: list[str] = []
    ours = False
    for line in plain.splitlines():
        told = line.strip()
        if told.startswith("File "):  # what follows quotes that file
            ours = "inscape" in told.lower() and "kernels" in told.lower()
        elif told.startswith("def ") and re.match(r"def \w+\(\s*P\b|def \w+\(\s*counts", told):
            ours = True
        machinery = any(word in told.lower() for word in ("kernels", "<law of", "numba", "<source", "nopython"))
        if told and not ours and not machinery and not told.startswith("During:") and told not in kept:
            kept.append(told)
    return "\n".join(f"    {line}" for line in kept[:12])


@cache
def template_source(template: str) -> str:
    """Returns the source text of a kernel template."""
    spec = importlib.util.find_spec(template)
    if spec is None or spec.origin is None:
        raise UsageError(f"no kernel template {template!r}", expected="the dotted name of an importable source file")
    source = Path(spec.origin).read_text(encoding="utf-8")
    if NAMES_IMPORT not in source:
        raise UsageError(f"kernel template {template!r} does not contain {NAMES_IMPORT!r}")
    return source


def _imported_source(source: str) -> str:
    """Returns the text of our own modules that a template imports: Numba's cache does not see when they change."""
    names = sorted(set(re.findall(r"^from (inscape\.\S+) import", source, re.MULTILINE)))
    specs = [importlib.util.find_spec(name) for name in names]
    return "".join(Path(s.origin).read_text(encoding="utf-8") for s in specs if s is not None and s.origin is not None)


@lru_cache(maxsize=1)
def cache_folder() -> Path:
    """Returns the folder for compiled kernels: `$INSCAPE_CACHE`, else the user's cache folder, else a temporary one."""
    base = os.environ.get("INSCAPE_CACHE")
    if base is None:
        base = str(Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "inscape")
    folder = Path(base) / "kernels"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder):
            return folder
    except OSError:
        temporary = tempfile.mkdtemp(prefix="inscape-kernels-")
        atexit.register(shutil.rmtree, temporary, ignore_errors=True)
        return Path(temporary)


def _write_once(path: Path, text: str) -> None:
    """Writes `text` unless the file holds it already: its modification time is part of Numba's cache key."""
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".tmp", delete=False, encoding="utf-8") as file:
        file.write(text)
    os.replace(file.name, path)


def _load(name: str, path: Path) -> types.ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
