"""What the matrix products of one DQN gradient step cost by themselves: the floor under `agent_speed.py --only dqn`.

python benchmarks/matrix_floor.py [--batch 64] [--width 256]

Forward, gradient of the weights, gradient of the inputs, of one square layer, in microseconds: the C library's BLAS as
compiled kernels call it (NumPy's here) on one thread, and torch's on one and on all, in float32 and in bfloat16; and
what large products reach, which is what the cores can do.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from typing import Any

import numpy as np
import torch

from inscape.world_models.networks.blas import blas_threads

LARGE = 1024
"""Rows and columns of a product so large that nothing but arithmetic counts."""


def microseconds(one: Any, other: Any, repeats: int = 200) -> float:
    """Returns what the product of two matrices takes, the median over nine rounds of so many."""
    one @ other
    taken = []
    for _ in range(9):
        began = time.perf_counter()
        for _ in range(repeats):
            one @ other
        taken.append((time.perf_counter() - began) / repeats * 1e6)
    return statistics.median(taken)


def main() -> None:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--width", type=int, default=256)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    inputs, slopes = (rng.standard_normal((options.batch, options.width)).astype(np.float32) for _ in range(2))
    weight = rng.standard_normal((options.width, options.width)).astype(np.float32)
    with blas_threads(1):
        found = [microseconds(a, b) for a, b in ((inputs, weight.T), (slopes.T, inputs), (slopes, weight))]
    print(f"NumPy, 1 thread    {' + '.join(f'{one:.0f}' for one in found)} = {sum(found):.0f} µs")
    large = torch.randn(LARGE, LARGE)
    for threads in (1, os.cpu_count() or 1):
        torch.set_num_threads(threads)
        for dtype in (torch.float32, torch.bfloat16):
            x, d, w = (torch.from_numpy(array).to(dtype) for array in (inputs, slopes, weight))
            found = [microseconds(a, b) for a, b in ((x, w.t()), (d.t(), x), (d, w))]
            best = 2 * LARGE**3 / microseconds(large.to(dtype), large.to(dtype), 5) / 1e3
            print(
                f"torch, {threads} thread(s), {str(dtype).removeprefix('torch.'):8} "
                f"{' + '.join(f'{one:.0f}' for one in found)} = {sum(found):.0f} µs; large ones {best:.0f} GFLOP/s"
            )


if __name__ == "__main__":
    main()
