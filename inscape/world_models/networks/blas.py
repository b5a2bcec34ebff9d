"""How many threads products of matrices take inside compiled kernels.

OpenBLAS wakes its threads for a product as small as 128 × 64 × 64 and lets them spin: on a shared machine of two cores
that was measured 600 times slower than one thread.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache
from typing import Any


@cache
def _controller() -> Any:
    import scipy.linalg.cython_blas  # noqa: F401  (what Numba calls: loaded here, so that it is found)
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")


def blas_threads(count: int) -> AbstractContextManager[Any]:
    """Returns a context in which BLAS uses so many threads."""
    limited: AbstractContextManager[Any] = _controller().limit(limits=count)
    return limited
