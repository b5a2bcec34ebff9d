"""How a law is compiled for CUDA: the source that Numba compiles for the processor, given to numba-cuda.

The law's functions, their helpers and the generated adapter become device functions, each inlined into the kernel that
calls it; kernel templates are instantiated as in `inscape.envs.compile.cpu` and cached beside the others. Under the
simulator (`NUMBA_ENABLE_CUDASIM=1`, read when numba is imported) the same kernels call the law as plain Python.

`arithmetic="exact"` forbids NVVM to fuse a product and a sum into one operation rounded once (its option `-fma`, on by
default; NVIDIA, "libNVVM API", nvvmCompileProgram), since the processor rounds twice; `"fast"` allows it, and takes
sine and cosine from `fast_math`. numba-cuda has no argument for that option, hence `_contraction`; and nothing may be
optimised at link time (`lto=False`), where nvJitLink would fuse after all.
"""

from __future__ import annotations

import builtins
import hashlib
import importlib.util
import math
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from typing import TYPE_CHECKING, Any

from inscape.envs.compile import cpu as compiler
from inscape.envs.compile import fast_math
from inscape.envs.compile.kernel_cache import REACHED, load_source
from inscape.envs.law import streams
from inscape.envs.law import tools as lawtools
from inscape.envs.law.digest import module_code_digest
from inscape.envs.law.layout import Numbers
from inscape.errors import UsageError

if TYPE_CHECKING:
    from inscape.envs.law.law import Law

CONVERTED = Numbers("real({})", "whole({})")
"""Every number that is loaded is made a float64 or an int64 (simulated: Python's own): storage may be narrower than the
law's arithmetic (float32 states, int32 actions), and the law as plain Python counts on integers without an end."""

_laws: dict[tuple[type, str], types.ModuleType] = {}
_kernels: dict[tuple[type, str, str], types.ModuleType] = {}


def is_simulated() -> bool:
    """Returns whether kernels run in numba-cuda's simulator, on the processor."""
    from numba import cuda

    return bool(cuda.config.ENABLE_CUDASIM)


def has_card() -> bool:
    """Returns whether there is a card, and what it takes to compile for it."""
    if importlib.util.find_spec("numba_cuda") is None:
        return False
    import torch
    from numba import cuda

    return bool(torch.cuda.is_available() and cuda.is_available())


def require_cuda() -> None:
    """Checks that kernels can run here: on a GPU, or simulated.

    Raises:
        UsageError: numba-cuda or the card is missing.
    """
    if is_simulated() or has_card():
        return
    if importlib.util.find_spec("numba_cuda") is None:
        raise UsageError(
            "numba-cuda is not installed",
            expected="the extra cuda (cuda12 beside a torch for CUDA 12)",
            hint='pip install "inscape[cuda]"',
        )
    raise UsageError(
        "no CUDA device",
        expected="a CUDA build of torch, a driver and a card",
        hint='device="cpu"; or NUMBA_ENABLE_CUDASIM=1 to simulate one, slowly',
    )


def kernel(world: type[Law], template: str, arithmetic: compiler.Arithmetic = "exact") -> types.ModuleType:
    """Returns the kernel template module `template` (dotted name) bound to the law of `world`, compiled for CUDA.

    Raises:
        UsageError: no such arithmetic.
    """
    if arithmetic not in compiler.SUFFIX:
        raise UsageError(f"arithmetic {arithmetic!r}", expected=" or ".join(compiler.SUFFIX))
    with compiler._lock:
        found = _kernels.get((world, template, arithmetic))
        needed = compiler.depends(world, template)
        if found is None or vars(found)[REACHED].digest != needed.digest:
            found = _kernels[world, template, arithmetic] = _made(world, template, arithmetic, needed)
        return found


def _made(
    world: type[Law], template: str, arithmetic: compiler.Arithmetic, needed: compiler.Depends
) -> types.ModuleType:
    law = law_module(world, arithmetic)
    source = compiler.template_source(template).replace(compiler.NAMES_IMPORT, f"from {law.__name__} import")
    tail = template.rsplit(".", 1)[-1]
    digest = hashlib.sha256((needed.digest + _machinery()).encode()).hexdigest()[:12]
    path = compiler.world_folder(world, _suffix(arithmetic)) / f"{tail}_{digest}.py"
    module = load_source(f"{law.__name__}_{tail}_{digest}", path, source, {REACHED: needed})
    if not is_simulated():
        for value in vars(module).values():
            if hasattr(value, "targetoptions") and not value.targetoptions.get("device"):
                value.compile = _compiling(value.compile, world, arithmetic == "fast")
    return module


def _machinery() -> str:
    """Returns what compiled kernels depend on beside the law and the template."""
    version = "simulated" if is_simulated() else metadata.version("numba-cuda")
    return version + module_code_digest(sys.modules[__name__])


def _suffix(arithmetic: compiler.Arithmetic) -> str:
    return f"_cuda{compiler.SUFFIX[arithmetic]}"


# ---------------------------------------------------------------------------------------------- the law's module


def law_module(world: type[Law], arithmetic: compiler.Arithmetic) -> types.ModuleType:
    """Returns the module of names that CUDA kernels of `world` import."""
    name = f"inscape_law_{compiler.fingerprint(world)}{_suffix(arithmetic)}"
    found = _laws.get((world, arithmetic))
    if found is not None and found.__name__ == name:
        return found
    simulated = is_simulated()
    state, params, purpose = world.layouts()
    names: dict[str, Any] = {"State": state.cls, "Params": params.cls, "Purpose": purpose.cls}
    done: dict[int, Any] = {}
    for law_name in compiler.LAW_FUNCTIONS:
        function = world.law_function(law_name)
        if function is not None:
            names[f"law_{law_name}"] = function if simulated else _device_law(function, name, arithmetic, done)
    if simulated:
        names.update(uniform=streams.uniform, real=float, whole=int)
    else:
        names.update(uniform=streams.compiled_uniform("cuda"), **_conversions())
    path = compiler.world_folder(world, _suffix(arithmetic)) / "law.py"
    module = load_source(name, path, compiler.law_text(world, CONVERTED), names)
    scope = vars(module)
    from numba import cuda

    if simulated:
        scope.update(inner=_unchanged, jit=cuda.jit)
    else:
        inline = lawtools.inline_jit("cuda")
        for key in [key for key in scope if key not in names]:
            if isinstance(scope[key], types.FunctionType):
                scope[key].__module__ = name
                scope[key] = inline(scope[key])
        scope.update(inner=inline, jit=cuda.jit(cache=True, lto=False))
    _laws[world, arithmetic] = module
    return module


def _unchanged(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


def _conversions() -> dict[str, Any]:
    """Returns the device functions `real(x)` and `whole(x)`: float64 and int64, whatever is stored."""
    import numpy as np

    def real(x: Any) -> Any:
        return np.float64(x)

    def whole(x: Any) -> Any:
        return np.int64(x)

    inline = lawtools.inline_jit("cuda")
    return {"real": inline(real), "whole": inline(whole)}


def _device_law(function: Callable[..., Any], module: str, arithmetic: str, done: dict[int, Any]) -> Any:
    """Makes a law function a device function, together with the plain Python helpers it calls by name."""
    function = getattr(function, "py_func", function)
    # squares are products: equal to the C library's `pow` but once in some 1,200 numbers, which CUDA's own `pow` is not
    tool = lawtools.compiled_form(function, "cuda", "fast")
    if tool is not None:
        return tool
    if id(function) in done:
        return done[id(function)]
    scope = dict(function.__globals__)
    copy = types.FunctionType(function.__code__, scope, function.__name__, function.__defaults__, function.__closure__)
    copy.__kwdefaults__ = function.__kwdefaults__
    copy.__module__ = module
    made = done[id(function)] = lawtools.inline_jit("cuda")(copy)
    for name in compiler._global_names(function.__code__):
        helper: Any = scope.get(name)
        if hasattr(helper, "py_func") or (isinstance(helper, types.FunctionType) and not hasattr(builtins, name)):
            scope[name] = _device_law(helper, module, arithmetic, done)
        elif helper is math and arithmetic == "fast":
            scope[name] = fast_math.compiled("cuda")
    return made


# ---------------------------------------------------------------------------------------------- compiling


def _compiling(compile_kernel: Callable[..., Any], world: type[Law], fused: bool) -> Callable[..., Any]:
    """Wraps a kernel's `compile`: with or without fused operations, and failures told in a user's words."""

    def compile_for(*args: Any, **kwargs: Any) -> Any:
        from numba.core.errors import NumbaError

        try:
            with _contraction(fused):
                return compile_kernel(*args, **kwargs)
        except NumbaError as error:
            raise UsageError(
                f"the law of {world.__name__} does not compile for CUDA:\n{compiler._gist(str(error))}",
                expected="arithmetic on numbers and tuples; State, Params, Purpose and helpers at module level",
                hint=f"inscape check FILE.py:{world.__name__} runs it as plain Python; see docs/architecture.md",
            ) from error

    return compile_for


@contextmanager
def _contraction(allowed: bool) -> Iterator[None]:
    """Compiles with NVVM's option `-fma` set; numba-cuda passes its options on but lets nobody add one."""
    from numba.cuda import dispatcher

    with compiler._lock:
        original = dispatcher.compile_cuda

        def compile_cuda(*args: Any, nvvm_options: dict[str, Any], **kwargs: Any) -> Any:
            return original(*args, nvvm_options=nvvm_options | {"fma": allowed}, **kwargs)

        dispatcher.compile_cuda = compile_cuda
        try:
            yield
        finally:
            dispatcher.compile_cuda = original
