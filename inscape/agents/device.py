"""Where tensors live: `--device auto|cpu|cuda` turned into a torch device."""

from __future__ import annotations

import torch

from inscape.errors import UsageError


def resolve_device(device: str) -> torch.device:
    """Returns the torch device for `"auto"`, `"cpu"`, `"cuda"` or `"cuda:<n>"`.

    `"auto"` is CUDA where there is a card, else the CPU.

    Raises:
        UsageError: the name is unknown, or CUDA is asked for and absent.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind, _, index = device.partition(":")
    if kind not in ("cpu", "cuda") or (index and not (kind == "cuda" and index.isdigit())):
        raise UsageError(f"device {device!r}", expected="auto, cpu, cuda or cuda:<number>")
    if kind == "cuda" and int(index or 0) >= torch.cuda.device_count():
        raise UsageError(
            f"device {device!r}, and torch {torch.__version__} sees {torch.cuda.device_count()} CUDA devices here",
            expected="a CUDA device that is there",
            hint="--device cpu, or --device auto to take whatever there is",
        )
    return torch.device(device)
