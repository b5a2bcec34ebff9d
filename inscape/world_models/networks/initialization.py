"""Where networks start: orthogonal weights drawn by NumPy, the same for every backend. Imports no torch."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from inscape.world_models.networks.blas import blas_threads

Floats = NDArray[np.float32]


def orthogonal(outputs: int, inputs: int, gain: float, rng: np.random.Generator) -> Floats:
    """Returns a weight `[outputs, inputs]` whose rows, or columns where they are fewer, are orthogonal, of norm `gain`.

    Source: Saxe, McClelland & Ganguli (2014), "Exact solutions to the nonlinear dynamics of learning in deep linear
    neural networks", ICLR; made uniform over rotations by the signs of R, Mezzadri (2007), Notices of the AMS 54(5).
    """
    large, small = max(outputs, inputs), min(outputs, inputs)
    q, r = np.linalg.qr(rng.standard_normal((large, small)))
    q = q * np.sign(np.diag(r))
    return np.ascontiguousarray(gain * (q if outputs >= inputs else q.T), np.float32)


def perceptron_weights(
    sizes: tuple[int, ...], last_gain: float, rng: np.random.Generator
) -> list[tuple[Floats, Floats]]:
    """Returns (weight, bias) of each layer between the widths `sizes`: gain √2, of the last `last_gain`; biases 0."""
    gains = [math.sqrt(2)] * (len(sizes) - 2) + [last_gain]
    with blas_threads(1):  # the factorisation adds up in another order with more
        return [
            (orthogonal(outputs, inputs, gain, rng), np.zeros(outputs, np.float32))
            for (inputs, outputs), gain in zip(pairwise(sizes), gains, strict=True)
        ]
