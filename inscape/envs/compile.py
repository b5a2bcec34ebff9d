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
import inspect
import logging
import math
import os
import re
import shutil
import sys
import tempfile
import threading
import types
import typing
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from inscape.envs import fast_math, lawtools, streams
from inscape.envs.layout import Layout
from inscape.errors import UsageError

if TYPE_CHECKING:
    from inscape.envs.law import World

UNROLLED = 8  # laws of at most so many outcomes are sampled without a loop
FIRST_TABLE = 5  # where the lookup tables begin in the packed world
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

_kernels: dict[tuple[type, str, bool, str], types.ModuleType] = {}
_laws: dict[tuple[type, bool, str], types.ModuleType] = {}
_told: set[type] = set()


# ---------------------------------------------------------------------------------------------- fingerprint


def fingerprint(world: type[World]) -> str:
    """Returns a hash of everything the compiled law of `world` depends on."""
    digest = hashlib.sha256()
    for part in _parts(world):
        digest.update(part.encode())
        digest.update(b"\0")
    return digest.hexdigest()[:20]


def _parts(world: type[World]) -> Iterator[str]:
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


# ---------------------------------------------------------------------------------------------- adapter


def adapter_source(world: type[World]) -> str:
    """Returns the generated source that lets kernels call the law of `world` on packed arrays."""
    state, params, purpose = world.layouts()
    parts = [
        params.load_source("Params", "P[0]", "P[1]", FIRST_TABLE, "", "P"),
        purpose.load_source("Purpose", "P[2]", "P[3]", FIRST_TABLE + params.num_tables, "", "P"),
        state.load_source("State", "F", "I", 0, ", i", "F, I, i"),
        state.store_source(),
        "def with_purpose(P, goals, g):\n    return (P[0], P[1], goals[0][g], goals[1][g]) + P[4:]\n",
    ]

    def has(name: str) -> bool:
        return world.law_function(name) is not None

    # what acts: one number, or several (dimensions of a continuous action; players who act at once)
    width = len(world.action_low) if world.continuous else world.players if world.simultaneous else 0
    loaded = "(" + ", ".join(f"A[i, {k}]" for k in range(width)) + ",)" if width else "A[i]"
    parts.append(f"def load_action(A, i):\n    return {loaded}\n")
    if world.continuous:
        bounds = zip(world.action_low, world.action_high)
        inside = [f"(A[i, {k}] >= {float(a)!r}) & (A[i, {k}] <= {float(b)!r})" for k, (a, b) in enumerate(bounds)]
        outside = f"not ({' & '.join(inside)})"  # so written, because nothing holds of NaN
    else:
        entries = [f"A[i, {k}]" for k in range(width)] or ["A[i]"]
        outside = " | ".join(f"({entry} < 0) | ({entry} >= num_actions(P))" for entry in entries)
    parts.append(f"def is_out_of_range(P, A, i):\n    return {outside}\n")
    fixed = world.fixed_actions()
    parts.append(f"def num_actions(P):\n    return {'P[4][0]' if fixed is None else len(fixed)}\n")
    parts.append(_choices_source(world))

    # how many outcomes
    for name in ("branches", "initial_branches"):
        value = inspect.getattr_static(world, name)
        if isinstance(value, int):
            parts.append(f"def {name}(params):\n    return {value}\n")
        else:
            parts.append(f"{name} = law_{name}\n")

    # sampling
    for name, extra in (("initial", ""), ("transition", "state, action, ")):
        noise = world.initial_noise if name == "initial" else world.noise
        count = "initial_branches" if name == "initial" else "branches"
        parts.append(f"{name} = law_{name}\n")
        bound = world.max_branches if name == "transition" else None
        parts.append(_sampler_source(name, extra, count, noise, inspect.getattr_static(world, count), bound))

    # optional law functions
    parts.append("reward = law_reward\nterminal = law_terminal\n")
    parts.append("mover = law_mover\n" if has("mover") else "def mover(params, state):\n    return 0\n")
    parts.append(_legal_source(world))

    # what is written
    parts.append(_observation_source(world))
    parts.append(_write_source("write_reward", None if world.players == 1 else world.players))
    parts.append(_sum_source(None if world.players == 1 else world.players))
    parts.append(_random_action_source(world))
    transition_slots = world.noise or (0 if inspect.getattr_static(world, "branches") == 1 else 1)
    initial_slots = world.initial_noise or (0 if inspect.getattr_static(world, "initial_branches") == 1 else 1)
    zero = "0.0" if world.players == 1 else repr((0.0,) * world.players)
    parts.append(
        f"NUM_FLOATS = {state.num_floats}\nNUM_INTS = {state.num_ints}\n"
        f"KEY = {state.num_ints}\nCLOCK = {state.num_ints + 1}\nELAPSED = {state.num_ints + 2}\n"
        f"TRANSITION_SLOTS = {transition_slots}\nSLOTS = {max(1, transition_slots + initial_slots)}\n"
        f"NUM_PLAYERS = {world.players}\nHAS_LEGAL = {has('legal')}\nZERO_REWARD = {zero}\n"
        f"TAKES_TURNS = {world.players > 1 and not world.simultaneous}\n"
        f"MASK_PLAYERS = {world.players if world.simultaneous else 1}\n"
    )
    return "\n".join(parts)


def _choices_source(world: type[World]) -> str:
    """Returns the source of `num_choices(P)` and `action_of_index(a)`: actions, or joint actions, by number."""
    if not world.simultaneous:
        return "def num_choices(P):\n    return num_actions(P)\n\ndef action_of_index(P, a):\n    return a\n"
    digits = [f"(a // n ** {world.players - 1 - k}) % n" for k in range(world.players)]
    return (
        f"def num_choices(P):\n    return num_actions(P) ** {world.players}\n\n"
        f"def action_of_index(P, a):\n    n = num_actions(P)\n    return ({', '.join(digits)},)\n"
    )


def _legal_source(world: type[World]) -> str:
    """Returns the source of `legal(params, state, action)`, `legal_for(… player, a)` and `write_mask`."""
    has = world.law_function("legal") is not None
    if world.simultaneous:
        each = " and ".join(f"law_legal(params, state, {k}, action[{k}])" for k in range(world.players))
        own = "law_legal(params, state, player, a)"
        write = "mask[i, player, a] = value"
    else:
        each, own, write = "law_legal(params, state, action)", "law_legal(params, state, a)", "mask[i, a] = value"
    return (
        f"def legal(params, state, action):\n    return {each if has else 'True'}\n\n"
        f"def legal_for(params, state, player, a):\n    return {own if has else 'True'}\n\n"
        f"def write_mask(mask, i, player, a, value):\n    {write}\n"
    )


def _observation_source(world: type[World]) -> str:
    """Returns the source of `observe_into(params, state, out, i)` and `observe_as(params, state, player, out, i)`.

    The first writes what is observed after a step: the mover's observation, or every player's where all act at once.
    """
    size = world.observation_size()
    several = world.players > 1
    given = ", player" if several else ""
    if world.is_wide():
        view = f"law_observation_view(params, state{given})" if world.law_function("observation_view") else "state"
        lines = ["view = " + view, *_entries_source(world)]
        one, all_at_once = "i, ", "i, {player}, "
    else:
        if world.law_function("observation") is not None:
            value = f"law_observation(params, state{given})"
        else:
            value = _whole_state(world)
        lines = ["value = " + value]
        if size is None:
            lines, one, all_at_once = [*lines, "out[{at}] = value"], "i", "{player}, i"
        else:
            lines += [f"out[{k}, {{at}}] = value[{k}]" for k in range(size)]
            one, all_at_once = "i", "{player}, i"

    def body(at: str) -> str:
        return "".join(f"    {line.replace('{at}', at)}\n" for line in lines)

    shape = f"(1, {size})" if world.is_wide() else f"({size}, 1)"
    source = (
        _views_source(world)
        + f"def as_batch(obs):\n    return {'obs' if size is None else f'obs.reshape({shape})'}\n\n"
    )
    source += f"def observe_as(params, state, player, out, i):\n{body(one)}\n"
    if not world.simultaneous:
        return source + (
            "def observe_into(params, state, out, i):\n    observe_as(params, state, mover(params, state), out, i)\n"
        )
    source += f"def observe_one(params, state, player, out, i):\n{body(all_at_once.format(player='player'))}\n"
    calls = "".join(f"    observe_one(params, state, {k}, out, i)\n" for k in range(world.players))
    return source + f"def observe_into(params, state, out, i):\n{calls}"


def _random_action_source(world: type[World]) -> str:
    """Returns the source of `random_action(P, params, state, key, counter)`: uniform among what is legal."""
    if world.continuous:
        bounds = enumerate(zip(world.action_low, world.action_high))
        drawn = ", ".join(
            f"{float(a)!r} + {float(b) - float(a)!r} * uniform(key, counter + {k})" for k, (a, b) in bounds
        )
        body, slots = f"    return ({drawn},)\n", len(world.action_low)
    elif world.simultaneous:
        drawn = ", ".join(f"random_choice(P, params, state, {k}, key, counter + {k})" for k in range(world.players))
        body, slots = f"    return ({drawn},)\n", world.players
    else:
        body, slots = "    return random_choice(P, params, state, 0, key, counter)\n", 1
    source = f"CHOICE_SLOTS = {slots}\n\n"
    if not world.continuous:
        source += "def random_choice(P, params, state, player, key, counter):\n    u = uniform(key, counter)\n"
        if world.law_function("legal") is None:
            source += "    return int(u * num_actions(P))\n\n"
        else:  # number k of the legal ones, found without a branch
            source += (
                "    count = 0\n"
                "    for a in range(num_actions(P)):\n"
                "        count += legal_for(params, state, player, a)\n"
                "    k = int(u * count)\n"
                "    chosen, seen = 0, 0\n"
                "    for a in range(num_actions(P)):\n"
                "        allowed = legal_for(params, state, player, a)\n"
                "        chosen = a if allowed & (seen == k) else chosen\n"
                "        seen += allowed\n"
                "    return chosen\n\n"
            )
    return source + f"def random_action(P, params, state, key, counter):\n{body}"


def view_layout(world: type[World]) -> Layout | None:
    """Returns the layout of what `observation_view` is annotated to return; None if that is no named tuple.

    Where there is one, vector environments keep the views of a tile of copies and work out several at once.
    """
    function = world.law_function("observation_view")
    if function is None or not world.is_wide() or world.players > 1:
        return None
    declared = typing.get_type_hints(function).get("return")
    if not (isinstance(declared, type) and hasattr(declared, "_fields")):
        return None
    try:
        return Layout.of(declared, owner=world.__name__, lengths=world.lengths)
    except UsageError:  # a view that cannot be packed is worked out where it is needed
        return None


def _entries_source(world: type[World]) -> list[str]:
    """Returns the lines that write `view` entry by entry, or, where `observation_entry` is annotated to return a
    tuple, that many entries at a time."""
    size, function = world.observation_size(), world.law_function("observation_entry")
    assert size is not None
    assert function is not None
    declared = typing.get_type_hints(function).get("return")
    width = len(typing.get_args(declared)) if typing.get_origin(declared) is tuple else 0
    if not width:
        return [f"for k in range({size}):", "    out[{at}k] = law_observation_entry(params, view, k)"]
    lines = [f"for k in range({size // width}):", "    entries = law_observation_entry(params, view, k)"]
    return lines + [f"    out[{{at}}{width} * k + {n}] = entries[{n}]" for n in range(width)]


def _views_source(world: type[World]) -> str:
    """Returns the source of `view_of`, `store_view`, `load_view`, `write_view`, of use where SEPARATE_VIEWS is True."""
    layout = view_layout(world)
    if layout is None:
        names = ("view_of(params, state)", "store_view(F, I, i, view)", "load_view(F, I, i)",
                 "write_view(params, view, out, i)")  # fmt: skip
        return "SEPARATE_VIEWS = False\n" + "".join(f"\ndef {name}:\n    return 0\n" for name in names) + "\n"
    write = "".join(f"    {line.replace('{at}', 'i, ')}\n" for line in _entries_source(world))
    return (
        "SEPARATE_VIEWS = True\nview_of = law_observation_view\n\n"
        + layout.load_source("View", "F", "I", 0, ", i", "F, I, i")
        + f"\n{layout.store_source('view')}\n"
        + f"def write_view(params, view, out, i):\n{write}\n"
    )


def _sampler_source(name: str, extra: str, count: str, noise: int, branches: Any, bound: int | None) -> str:
    call = f"law_{name}(params, {extra}"
    if noise:
        draws = ", ".join(f"uniform(key, counter + {k})" for k in range(noise))
        # a law that can only be sampled has no outcomes; readers that need them refuse before they call this
        missing = f"def {name}_outcome(params, {extra}b):\n    return 0.0, {call}({', '.join(['0.5'] * noise)},))\n\n"
        return missing + f"def sample_{name}(params, {extra}key, counter):\n    return {call}({draws},))\n"
    outcome = f"def {name}_outcome(params, {extra}b):\n    return {call}b)\n"
    if branches == 1:
        return outcome + f"\ndef sample_{name}(params, {extra}key, counter):\n    return {call}0)[1]\n"
    # rounding may leave the sum just below one: the last outcome of positive probability then stands
    if isinstance(branches, int) and branches <= UNROLLED:
        bound = branches
    if bound is not None:  # the same choice as below without a branch, so that several copies are stepped at once
        rest = "".join(
            f"    p = {call}{b})[0]\n    chosen = {b} if (u >= total) & (p > 0.0) else chosen\n    total += p\n"
            for b in range(1, bound)
        )
        return outcome + (
            f"\ndef sample_{name}(params, {extra}key, counter):\n"
            f"    u = uniform(key, counter)\n"
            f"    chosen, total = 0, {call}0)[0]\n{rest}"
            f"    return {call}chosen)[1]\n"
        )
    return outcome + (
        f"\ndef sample_{name}(params, {extra}key, counter):\n"
        f"    n = {count}(params)\n"
        f"    total, chosen = {call}0)\n"
        f"    if n == 1:\n"
        f"        return chosen\n"
        f"    u = uniform(key, counter)\n"
        f"    b = 1\n"
        f"    while u >= total and b < n:\n"
        f"        p, candidate = {call}b)\n"
        f"        if p > 0.0:\n"
        f"            chosen = candidate\n"
        f"            total += p\n"
        f"        b += 1\n"
        f"    return chosen\n"
    )


def _whole_state(world: type[World]) -> str:
    """Returns the expression for an observation that shows every scalar of the state."""
    scalars = []
    for field in world.layouts()[0].fields:
        if field.length is None:
            scalars.append(f"state.{field.name}")
        else:
            scalars += [f"state.{field.name}[{k}]" for k in range(field.length)]
    return scalars[0] if world.observation_size() is None else "(" + ", ".join(scalars) + ",)"


def _write_source(function: str, size: int | None) -> str:
    if size is None:
        return f"def {function}(out, i, value):\n    out[i] = value\n"
    return f"def {function}(out, i, value):\n" + "".join(f"    out[{k}, i] = value[{k}]\n" for k in range(size))


def _sum_source(players: int | None) -> str:
    """Returns the source of `add_reward(out, i, value)` and `move_reward(gained, i, returns)`, `returns [M]`."""
    add, move = "def add_reward(out, i, value):\n", "def move_reward(gained, i, returns):\n"
    for k in range(players or 1):
        at, value = ("i", "value") if players is None else (f"{k}, i", f"value[{k}]")
        add += f"    out[{at}] += {value}\n"
        move += f"    returns[{k}] += gained[{at}]\n    gained[{at}] = 0.0\n"
    return f"{add}\n{move}"


# ---------------------------------------------------------------------------------------------- the law's module


def law_module(world: type[World], compiled: bool, arithmetic: Arithmetic = "exact") -> types.ModuleType:
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
    world: type[World], template: str, compiled: bool = True, arithmetic: Arithmetic = "exact"
) -> types.ModuleType:
    """Returns the kernel template module `template` (dotted name) bound to the law of `world`.

    Raises:
        UsageError: the template does not import its names as expected; no such arithmetic.
    """
    if arithmetic not in SUFFIX:
        raise UsageError(f"arithmetic {arithmetic!r}", expected=" or ".join(SUFFIX))
    with _lock:
        found = _kernels.get((world, template, compiled, arithmetic))
        if found is not None:
            return found
        law = law_module(world, compiled, arithmetic)
        source = template_source(template).replace(NAMES_IMPORT, f"from {law.__name__} import")
        tail = template.rsplit(".", 1)[-1]
        if compiled:
            digest = hashlib.sha256((source + _imported_source(source)).encode()).hexdigest()[:12]
            folder = cache_folder() / f"{world.__name__}-{fingerprint(world)}{SUFFIX[arithmetic]}"
            path = folder / f"{tail}_{digest}.py"
            if not path.exists() and world not in _told:
                _told.add(world)
                logger.info("compiling the law of %s: some seconds, the first time only", world.__name__)
            _write_once(path, source)
            module = _load(f"{law.__name__}_{tail}_{digest}", path)
            _explain_failures(module, world)
        else:
            module = types.ModuleType(f"{law.__name__}_{tail}")
            exec(compile(source, f"<{template} of {world.__name__}, plain>", "exec"), module.__dict__)
        _kernels[world, template, compiled, arithmetic] = module
        return module


def entry_point(kernel: Any, *arguments: Any) -> Callable[..., Any]:
    """Returns the compiled function itself for arguments of these types, which it does not look up again at every call.

    Numba's dispatcher spends 0.6 of 1.5 µs on the types of a step's arguments. Whoever calls the entry point promises
    that they never change. Compiles if need be and runs nothing.
    """
    compile_for = getattr(kernel, "_compile_for_args", None)
    found: Callable[..., Any] = kernel if compile_for is None else compile_for(*arguments)  # plain Python as it is
    return found


def _explain_failures(module: types.ModuleType, world: type[World]) -> None:
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
