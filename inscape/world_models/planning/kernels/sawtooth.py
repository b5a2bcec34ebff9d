"""The upper bound that values of beliefs give by interpolation, compiled."""

from __future__ import annotations

from typing import Any

import numpy as np

from inscape.envs.compile.kernel_cache import cached_jit


@cached_jit(nogil=True, error_model="numpy")
def most_taken_off(beliefs: Any, inverse: Any, gains: Any) -> Any:
    """Returns `[B]` min over points p of φ_p·gains[p], φ_p = min over its support of belief / point; at most 0.

    Args:
        beliefs: `[B, C]`.
        inverse: `[P, C]` 1 / point; 0 outside its support.
        gains: `[P]` what each point takes off the corners' values, at most 0.

    Source: Hauskrecht (2000), JAIR 13, section 4.
    """
    taken = np.zeros(beliefs.shape[0])
    for b in range(beliefs.shape[0]):
        most = 0.0
        for p in range(inverse.shape[0]):
            gain = gains[p]
            if gain >= most:
                continue  # even a share of 1 takes off no more
            share = 1.0
            for c in range(inverse.shape[1]):
                if inverse[p, c] > 0.0:
                    ratio = beliefs[b, c] * inverse[p, c]
                    if ratio < share:
                        share = ratio
                        if share * gain >= most:
                            break
            if share * gain < most:
                most = share * gain
        taken[b] = most
    return taken
