"""Compiles every kernel a CUDA environment launches, for a card that is not there; prints one line of JSON per world.

    python -m tests.envs.compile.cuda_ptx [--exact | --fast] CartPole ConnectFour …

Needs numba-cuda with NVVM and nvJitLink (the extra `cuda`), no driver and no card: the environment is made as it is on
a card, its tensors on the processor, and a launch only compiles the kernel for the types it is given, down to the
card's machine code. Counted in the step's PTX: `fused` operations, `products` rounded by themselves, and `loose` ones
that the assembler may yet fuse (PTX ISA, "add" and "mul" in double precision: without a rounding modifier).
"""

from __future__ import annotations

import json
import re
import sys
import time
from types import SimpleNamespace
from typing import Any

import numba.cuda.codegen
import torch
from numba.cuda import dispatcher, types
from numba.cuda.np.numpy_support import from_dtype
from numba.cuda.typing.typeof import typeof

from inscape.envs.compile import cuda as cuda_compile
from inscape.envs.readers import cuda_env
from inscape.envs.registry import make_world

CC = (9, 0)  # H100


def pretend_card() -> None:
    """Lets numba-cuda compile and link for `CC`; whatever would touch a card is left out."""
    card = SimpleNamespace(compute_capability=CC, id=0)
    dispatcher.get_current_device = lambda: card
    numba.cuda.codegen.devices = SimpleNamespace(get_context=lambda *_: SimpleNamespace(device=card))
    dispatcher._Kernel.bind = lambda kernel: kernel._codelibrary.get_cubin()
    cuda_compile.require_cuda = lambda: None
    cuda_env._device = lambda device, simulated: torch.device("cpu")


class PretendedEnv(cuda_env.CudaVectorEnv):
    """Compiles what it is asked to launch, and keeps the kernels."""

    def _array(self, tensor: torch.Tensor) -> Any:
        array = tensor.numpy()
        layout = "C" if array.flags.c_contiguous else "F" if array.flags.f_contiguous else "A"
        return types.Array(from_dtype(array.dtype), array.ndim, layout)

    def _launch(self, name: str, *arguments: Any) -> None:
        signature = tuple(_type_of(argument) for argument in arguments)
        compiled = getattr(self._kernels, name).compile(signature)
        self.__dict__.setdefault("compiled", {})[name] = compiled


def _type_of(argument: Any) -> Any:
    if isinstance(argument, tuple):
        return types.BaseTuple.from_types([_type_of(part) for part in argument])
    return argument if isinstance(argument, types.Type) else typeof(argument)


def compiled_for(name: str, arithmetic: Any = "exact", dtype: torch.dtype = torch.float64) -> dict[str, Any]:
    """Compiles reset, step and play of a world; returns what came of it."""
    world = make_world(name)
    began = time.perf_counter()
    env = PretendedEnv(world, 64, max_episode_steps=100, arithmetic=arithmetic, dtype=dtype)
    env.reset(seed=0)
    env.step(torch.zeros(env._actions_shape, dtype=env._action_dtypes[0]))
    env.play(1)
    step = env.compiled["step"]
    ptx = step.inspect_asm((*CC, "a"))
    return {
        "world": name,
        "seconds": round(time.perf_counter() - began, 1),
        "machine_code": {kernel: len(bytes(c._codelibrary.get_cubin().code)) for kernel, c in env.compiled.items()},
        "fused": len(re.findall(r"\bfma\.rn\.f64", ptx)),
        "products": len(re.findall(r"\bmul\.rn\.f64", ptx)),
        "loose": len(re.findall(r"\b(?:mul|add|sub)\.f64", ptx)),
        "local_memory": "__local_depot" in ptx,
    }


if __name__ == "__main__":
    pretend_card()
    for argument in sys.argv[1:]:
        if not argument.startswith("--"):
            print(json.dumps(compiled_for(argument, "fast" if "--fast" in sys.argv else "exact")), flush=True)
