"""Where tensors live: `--device auto|cpu|cuda` turned into a torch device. Importing this imports no torch."""

from __future__ import annotations

import ctypes
import sys
from typing import TYPE_CHECKING

from inscape.errors import UsageError

if TYPE_CHECKING:
    import torch


def has_cuda() -> bool:
    """Returns whether torch has a CUDA device to work on; imports torch only where there is a driver for one."""
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:  # no driver, so no GPU that could be used
        return False
    import torch

    return torch.cuda.is_available()


def resolve_device(device: str) -> torch.device:
    """Returns the torch device for `"auto"`, `"cpu"`, `"cuda"` or `"cuda:<n>"`.

    `"auto"` is CUDA where there is a GPU, else the CPU.

    Raises:
        UsageError: the name is unknown, or CUDA is asked for and absent.
    """
    import torch

    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind, _, index = device.partition(":") if isinstance(device, str) else ("", "", "")
    if kind not in ("cpu", "cuda") or (index and not (kind == "cuda" and index.isdigit())):
        raise UsageError(f"device {device!r}", expected='"auto", "cpu", "cuda" or "cuda:<number>"')
    if kind == "cuda" and int(index or 0) >= torch.cuda.device_count():
        raise UsageError(
            f"device {device!r}, and torch {torch.__version__} sees {torch.cuda.device_count()} CUDA devices here",
            expected="a CUDA device that is there",
            hint="--device cpu, or --device auto to take whatever there is",
        )
    return torch.device(device)
