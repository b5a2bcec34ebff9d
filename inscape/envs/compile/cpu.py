"""How a world is compiled: kernel templates instantiated against one law, cached on disk.

A template is an ordinary source file written against `inscape.envs.kernels.names`. Instantiating it for a world copies
it, as a real module file, into a cache folder named by the law's fingerprint, with that import bound to the world's
law. Numba caches a function whose callees are module globals, but not one that takes or closes over another compiled
function (numba issue 6264); hence one file per world and template.

What a kernel depends on is the law's fingerprint, which covers everything the law's functions reach, and the digest of
the template's code and of everything it imports (`envs.law.digest`). Both are looked at again whenever a kernel is
asked for, so that a law defined anew in a running process gets kernels of its own; environments made before keep
theirs.
"""

from __future__ import annotations

import builtins
import dis
import hashlib
import importlib.util
import logging
import math
import re
import sys
import threading
import types
import typing
import weakref
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from inscape.envs.compile import compile_time, fast_math, kernel_cache
from inscape.envs.compile.adapter import adapter_source, view_layout
from inscape.envs.compile.kernel_cache import REACHED, cache_folder, cached_jit, copied, helper_jit, wrap_compiling
from inscape.envs.compile.switch import is_plain
from inscape.envs.law import streams
from inscape.envs.law import tools as lawtools
from inscape.envs.law.digest import Reached, attributes_read, is_library, module_code_digest
from inscape.envs.law.layout import AS_STORED, Numbers
from inscape.errors import UsageError

if TYPE_CHECKING:
    from inscape.envs.law.law import Law

NAMES_MODULE = "inscape.envs.kernels.names"
NAMES_IMPORT = f"from {NAMES_MODULE} import"
LAW_FUNCTIONS = (
    "initial", "transition", "reward", "terminal", "observation", "observation_view", "observation_entry", "legal",
    "mover", "branches", "initial_branches",
)  # fmt: skip
READ_OF_THE_CLASS = (
    *LAW_FUNCTIONS, "State", "Params", "Purpose", "lengths", "actions", "action_low", "action_high", "continuous",
    "max_branches", "noise", "initial_noise", "players", "simultaneous", "_observation_size",
)  # fmt: skip
"""What `adapter_source` and `law_module` read of a world's class."""
MACHINERY = ("law_module", "_compile_law", "_global_names", "_instance", "FAST", "SHARED")
"""What of this file decides what kernels compute."""

logger = logging.getLogger(__name__)
_lock = threading.RLock()
Arithmetic = Literal["exact", "fast"]
"""`"fast"`: sine and cosine of `fast_math`, and sums and products in whatever order and fusion is quickest."""
Variant = Literal["exact", "fast", "bare"]
"""How a law is compiled: with an arithmetic; `"bare"`: exact, without counting references to arrays."""
SUFFIX: dict[Variant, str] = {"exact": "", "fast": "_fast", "bare": "_bare"}
BARE = re.compile(r"(?m)^BARE = True\b")
"""The line by which a template says that it and the law it calls make no array. It is compiled without counting
references: at every call of a function Numba counts one to each array among its arguments, some 5 ns each."""
PYTHON_NUMBERS = Numbers("float({})", "int({})")
"""What a plain law computes with: NumPy's scalars are slower, warn where they overflow, and are no `bool`."""
FAST = {"contract", "reassoc", "arcp", "nsz"}  # but NaN and infinity mean what they mean

SHARED = ("inscape.envs.kernels.lookup",)
"""Templates whose functions other templates import."""
Constants = tuple[tuple[str, int | float | str | bool], ...]

_kernels: dict[tuple[type, str, bool, str, Constants], types.ModuleType] = {}
_laws: dict[tuple[type, bool, str], types.ModuleType] = {}
_found: weakref.WeakKeyDictionary[type, _Law] = weakref.WeakKeyDictionary()


# ---------------------------------------------------------------------------------------------- fingerprint


class _Law(NamedTuple):
    """What the law of a world was found to be."""

    reached: Reached
    adapter: str  # its source


def fingerprint(world: type[Law]) -> str:
    """Returns a hash of everything the compiled law of `world` depends on, as it is now.

    Raises:
        UsageError: State, Params or Purpose was defined again, with other fields, and the world's class was not.
    """
    return law_of(world).reached.digest[:20]


def law_of(world: type[Law]) -> _Law:
    """Returns what the law of `world` is now: looked at again, and taken anew if anything it reaches was changed."""
    with _lock:
        found = _found.get(world)
        if found is None or not found.reached.is_current():
            found = _found[world] = _take(world)
        return found


def _take(world: type[Law]) -> _Law:
    adapter = adapter_source(world)
    functions = [world.law_function(name) for name in LAW_FUNCTIONS]
    reached = Reached([_machinery(), adapter, *functions], attributes=())
    reached.watch(world, READ_OF_THE_CLASS)
    for layout in world.layouts():
        for met in reached.named_tuples:
            same_name = met.__qualname__ == layout.cls.__qualname__ and met.__module__ == layout.cls.__module__
            if same_name and met is not layout.cls and _fields(met) != _fields(layout.cls):
                raise UsageError(
                    f"{met.__name__} was defined again with the fields ({', '.join(_fields(met))}), "
                    f"and {world.__name__} was not: its fields are ({', '.join(_fields(layout.cls))})",
                    expected=f"the class {world.__name__} defined after its {met.__name__}",
                    hint=f"run the cell that defines {world.__name__} again",
                )
    return _Law(reached, adapter)


def _fields(cls: Any) -> tuple[str, ...]:
    hints = typing.get_type_hints(cls)
    return tuple(f"{name}: {getattr(hints.get(name), '__name__', hints.get(name))}" for name in cls._fields)


@lru_cache(maxsize=1)
def _machinery() -> str:
    """Returns a hash of the code that makes kernels, so that changing it makes new ones."""
    here = module_code_digest(sys.modules[__name__], MACHINERY)
    others = (module_code_digest(module) for module in (streams, lawtools, fast_math))
    return " ".join([kernel_cache.versions(), here, module_code_digest(kernel_cache, ["copied"]), *others])


# ---------------------------------------------------------------------------------------------- the law's module


def law_module(world: type[Law], compiled: bool, arithmetic: Variant = "exact") -> types.ModuleType:
    """Returns the module of names that kernels of `world` import, compiled by Numba or as plain Python."""
    with _lock:
        law = law_of(world)
        name = law_module_name(law.reached, SUFFIX[arithmetic] if compiled else "_plain")
        found = _laws.get((world, compiled, arithmetic))
        if found is not None and found.__name__ == name:
            return found
        # all functions of a law have the same: those compiled for a caller that counts references count them too
        special: dict[str, Any] = {"fast": {"fastmath": FAST}, "bare": {"_nrt": False}}
        options = {"error_model": "numpy", **special.get(arithmetic, {})}
        state, params, purpose = world.layouts()
        names: dict[str, Any] = {"State": state.cls, "Params": params.cls, "Purpose": purpose.cls}
        if (views := view_layout(world)) is not None:
            names["View"] = views.cls
        helpers: dict[int, Any] = {}
        for law_name in LAW_FUNCTIONS:
            function = world.law_function(law_name)
            if function is not None:
                names[f"law_{law_name}"] = _compile_law(function, name, options, helpers) if compiled else function
        names["uniform"] = streams.compiled_uniform() if compiled else streams.uniform
        path = world_folder(world, SUFFIX[arithmetic] if compiled else "") / ("law.py" if compiled else "law_plain.py")
        text = law_text(world, AS_STORED if compiled else PYTHON_NUMBERS)
        module = kernel_cache.load_source(name, path, text, names)
        scope = vars(module)
        if compiled:
            from numba import prange

            for key in [key for key in scope if key not in names]:
                if isinstance(scope[key], types.FunctionType):
                    scope[key] = helper_jit(forceinline=True, **options)(scope[key])
            scope["jit"] = cached_jit(nogil=True, **options)
            scope["parallel_jit"] = cached_jit(parallel=True, **options)
            scope["inner"] = helper_jit(nogil=True, **options)
            scope["inline_jit"] = helper_jit(nogil=True, forceinline=True, **options)
            scope["prange"] = prange
        else:
            scope.update(
                dict.fromkeys(("jit", "inner", "inline_jit", "parallel_jit"), lambda function: function), prange=range
            )
        _laws[world, compiled, arithmetic] = module
        return module


def law_module_name(law: Reached, suffix: str = "") -> str:
    """Returns the name of a law's module: the same in every process, since cached kernels name their modules."""
    return f"inscape_law_{law.digest[:20]}{suffix}"


def law_text(world: type[Law], numbers: Numbers = AS_STORED) -> str:
    """Returns the text of the generated module between the law of `world` and the kernels, as it lies in the cache.

    `numbers`: see `adapter_source`.
    """
    adapter = law_of(world).adapter if numbers is AS_STORED else adapter_source(world, numbers)
    return (
        f'"""The law of {world.__name__} on packed arrays: generated from what the world declares.\n\n'
        "`law_…` are the functions of the world's class; State, Params and Purpose its named tuples; `uniform` is that "
        'of\ninscape.envs.law.streams. What each name means stands in inscape/envs/kernels/names.py.\n"""\n\n'
    ) + adapter


def world_folder(world: type[Law], suffix: str = "") -> Path:
    """Returns the folder of the cache for the kernels of `world`, as its law is now."""
    return cache_folder() / f"{world.__name__}-{fingerprint(world)}{suffix}"


def _compile_law(function: Callable[..., Any], module: str, options: dict[str, Any], done: dict[int, Any]) -> Any:
    """Compiles a law function together with the plain Python helpers it calls by name."""
    from numba import config

    if config.DISABLE_JIT:  # the law as it is written, its tools too
        return function
    # a helper that is compiled already keeps its options, but not its module: a cached kernel would name that, and a
    # world's file is loaded under a name that changes with its text
    own: Any = None
    if hasattr(function, "py_func"):
        own, function = function, function.py_func
        if is_library(function.__module__):
            return own
    tool = lawtools.compiled_form(function, arithmetic="fast" if "fastmath" in options else "exact")
    if tool is not None:
        return tool
    if id(function) in done:
        return done[id(function)]
    scope = dict(function.__globals__)
    copy = types.FunctionType(function.__code__, scope, function.__name__, function.__defaults__, function.__closure__)
    copy.__kwdefaults__ = function.__kwdefaults__
    copy.__module__ = module  # importable when a cached kernel is loaded, wherever the user's file lies
    compiled = done[id(function)] = (
        copied(own, copy) if own is not None else helper_jit(forceinline=True, **options)(copy)
    )
    for name in _global_names(function.__code__):
        helper: Any = scope.get(name)
        if hasattr(helper, "py_func") or (isinstance(helper, types.FunctionType) and not hasattr(builtins, name)):
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
    arithmetic: Variant = "exact",
    constants: Mapping[str, int | float | str | bool] | None = None,
) -> types.ModuleType:
    """Returns the kernel template module `template` (dotted name) bound to the law of `world`.

    `constants` replaces the values of the template's module constants, each the line `NAME = …`: one template then
    makes several kernels, each compiled knowing its own. Where kernels are plain Python (`envs.compile.switch`), so is
    what `compiled` asks for.

    Raises:
        UsageError: the template does not import its names as expected, or has no such constant; no such arithmetic.
    """
    if arithmetic not in SUFFIX:
        raise UsageError(f"arithmetic {arithmetic!r}", expected=" or ".join(SUFFIX))
    chosen = tuple(sorted((constants or {}).items()))
    compiled = compiled and not is_plain()
    with _lock:
        key = (world, template, compiled, arithmetic, chosen)
        found = _kernels.get(key)
        if found is not None:
            known: Depends = vars(found)[REACHED]
            law = law_of(world).reached
            if known.law is law and known.of_template.is_current():
                return found
            now = depends(world, template, chosen)
            if now.digest == known.digest:  # defined again, as it was
                vars(found)[REACHED] = now
                return found
        made = _kernels[key] = _instance(world, template, compiled, arithmetic, chosen)
        return made


def is_kept(world: type[Law], template: str, function: str, constants: Constants = ()) -> bool:
    """Returns whether machine code of a function of a kernel template lies in the cache, for some types of arguments.

    Nothing of Numba is imported. (Only Numba can tell whether the code is for this processor.)
    """
    found = depends(world, template, constants)
    tail = f"{template.rsplit('.', 1)[-1]}_{found.of_template.digest[:12]}"
    suffix = SUFFIX[_variant(world, template, True, "exact")]
    pattern = f"{law_module_name(found.law, suffix)}_{tail}.{function}-*.nbc"
    return any(True for _ in world_folder(world, suffix).glob(pattern))


def _variant(world: type[Law], template: str, compiled: bool, arithmetic: Variant) -> Variant:
    """Returns how a template is compiled that is asked for with this arithmetic."""
    is_bare = compiled and arithmetic == "exact" and BARE.search(template_source(template)) is not None
    return "bare" if is_bare and not _allocates(world).exists() else arithmetic


def _allocates(world: type[Law]) -> Path:
    """Returns the file that says of a law that it makes lists or arrays, which only code that counts references can."""
    return world_folder(world, SUFFIX["bare"]) / "allocates"


def _counting(world: type[Law], template: str) -> types.ModuleType:
    """Returns a kernel module with reference counting, from now on for this law in every process."""
    mark = _allocates(world)
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()
    with _lock:
        for key in [key for key in _kernels if key[:2] == (world, template)]:
            del _kernels[key]
    return kernel(world, template)


class Depends(NamedTuple):
    """What a kernel module depends on: a law, and a template with what it imports. Has the interface of `Reached`."""

    law: Reached
    of_template: Reached
    digest: str

    def is_current(self) -> bool:
        return self.law.is_current() and self.of_template.is_current()


def depends(world: type[Law], template: str, constants: Constants = ()) -> Depends:
    """Returns what a kernel of `world` depends on."""
    law, of_template = law_of(world).reached, _template_reached(template, constants)
    digest = hashlib.sha256(f"{law.digest}{of_template.digest}".encode()).hexdigest()
    return Depends(law, of_template, digest)


def _template_reached(template: str, constants: Constants) -> Reached:
    """Returns what a template depends on beside the law: its code, and what it imports from other modules."""
    code = _template_code(template, template_source(template))
    roots: list[Any] = [code, constants]
    for module_name, names in _imports(code):
        if module_name in SHARED:
            roots.append(_template_reached(module_name, ()).digest)
        elif module_name != NAMES_MODULE:
            module = importlib.import_module(module_name)
            roots += [getattr(module, name) for name in names] or [module]
    return Reached(roots, attributes_read(code))


@lru_cache(maxsize=128)
def _template_code(template: str, source: str) -> types.CodeType:
    return compile(source, template, "exec")


def _imports(code: types.CodeType) -> list[tuple[str, list[str]]]:
    """Returns `(module, names)` of each import of a template."""
    found: list[tuple[str, list[str]]] = []
    for instruction in dis.get_instructions(code):
        if instruction.opname == "IMPORT_NAME" and instruction.argval != "__future__":
            found.append((instruction.argval, []))
        elif instruction.opname == "IMPORT_FROM" and found:
            found[-1][1].append(instruction.argval)
    return found


def _instance(
    world: type[Law], template: str, compiled: bool, arithmetic: Variant, constants: Constants
) -> types.ModuleType:
    arithmetic = _variant(world, template, compiled, arithmetic)
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
    needed = depends(world, template, constants)
    tail = template.rsplit(".", 1)[-1]
    name = f"{law.__name__}_{tail}_{needed.of_template.digest[:12]}"
    suffix = SUFFIX[arithmetic] if compiled else "_plain"
    path = world_folder(world, SUFFIX[arithmetic]) / f"{tail}_{needed.of_template.digest[:12]}{suffix}.py"
    names = {REACHED: needed, compile_time.TEMPLATE: tail, compile_time.WORLD: world.__name__}
    module = kernel_cache.load_source(name, path, source, names)
    if compiled:
        counting = partial(_counting, world, template) if arithmetic == "bare" and not constants else None
        _explain_failures(module, world, counting)
    return module


def _explain_failures(
    module: types.ModuleType, world: type[Law], counting: Callable[[], types.ModuleType] | None
) -> None:
    """Makes the kernels say in a user's words why a law does not compile; costs nothing once they are compiled.

    Where it does not because it makes a list, which takes reference counting, the kernel of `counting()` is compiled.
    """
    from numba.core.errors import NumbaError, UnsupportedBytecodeError

    def explained(compile_for: Callable[..., Any], name: str) -> Callable[..., Any]:
        def compile_for_args(*args: Any, **kwargs: Any) -> Any:
            try:
                return compile_for(*args, **kwargs)
            except (NumbaError, UnsupportedBytecodeError) as error:
                if counting is not None and "NRT required" in str(error):
                    return getattr(counting(), name)._compile_for_args(*args, **kwargs)
                raise UsageError(
                    f"the law of {world.__name__} does not compile:\n{_gist(str(error))}",
                    expected="arithmetic on numbers and tuples; State, Params, Purpose and helpers at module level",
                    hint=f"inscape check FILE.py:{world.__name__} runs it as plain Python; see docs/architecture.md",
                ) from error

        return compile_for_args

    for name, value in vars(module).items():
        if hasattr(value, "py_func"):
            wrap_compiling(value, partial(explained, name=name))


_GENERATED = re.compile(r"-[0-9a-f]{20}\w*[/\\\\]\w+\.py")
"""A file of a world's folder in the cache."""


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
            ours = ("inscape" in told.lower() and "kernels" in told.lower()) or bool(_GENERATED.search(told))
        elif told.startswith("def ") and re.match(r"def \w+\(\s*P\b|def \w+\(\s*counts", told):
            ours = True
        machinery = any(word in told.lower() for word in ("kernels", "<law of", "numba", "<source", "nopython"))
        if told and not ours and not machinery and not told.startswith("During:") and told not in kept:
            kept.append(told)
    return "\n".join(f"    {line}" for line in kept[:12])


def template_source(template: str) -> str:
    """Returns the source text of a kernel template."""
    spec = importlib.util.find_spec(template)
    if spec is None or spec.origin is None:
        raise UsageError(f"no kernel template {template!r}", expected="the dotted name of an importable source file")
    path = Path(spec.origin)
    source = _text(path, path.stat().st_mtime_ns)
    if NAMES_IMPORT not in source:
        raise UsageError(f"kernel template {template!r} does not contain {NAMES_IMPORT!r}")
    return source


@lru_cache(maxsize=128)
def _text(path: Path, modified: int) -> str:
    return path.read_text(encoding="utf-8")
