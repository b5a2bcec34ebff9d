"""What kernels of networks are where kernels are plain Python: the same arithmetic on whole arrays, by NumPy.

An element at a time, a plain network takes a hundred times as long, nearly all of it in tanh. Element by element these
give the bits of the kernels' own source as plain Python; sums may differ in the last one.
"""

from __future__ import annotations

# mypy: disable-error-code="no-untyped-def, no-untyped-call"
import numpy as np

FLOAT = np.float32
EIGHTH, LARGE, ONE, TWO = FLOAT(0.125), FLOAT(9), FLOAT(1), FLOAT(2)
N1, N2, N3 = FLOAT(17325 / 135135), FLOAT(378 / 135135), FLOAT(1 / 135135)
D1, D2, D3 = FLOAT(62370 / 135135), FLOAT(3150 / 135135), FLOAT(28 / 135135)
HALF = FLOAT(0.5)


def tanh(x):
    """As `perceptron.tanh`; of NaN, NaN."""
    y = np.clip(x, -LARGE, LARGE) * EIGHTH
    z = y * y
    n = y * (ONE + z * (N1 + z * (N2 + z * N3)))
    d = ONE + z * (D1 + z * (D2 + z * D3))
    for _ in range(3):
        n, d = TWO * n * d, d * d + n * n
    return n / d


def sigmoid(x):
    """As `gru.sigmoid`."""
    return HALF + HALF * tanh(HALF * x)


def activate(Z, bias, activation, last):
    """As `perceptron.activate`; `activation` is 0 for tanh."""
    Z += bias
    if not last:
        Z[:] = tanh(Z) if activation == 0 else np.where(Z <= 0, FLOAT(0), Z)


def through_activation(delta, Y, activation):
    """As `perceptron.through_activation`."""
    d, y = delta.reshape(-1), Y.reshape(-1)
    if activation == 0:
        d *= ONE - y * y
    else:
        d[:] = np.where(y <= 0, FLOAT(0), d)


def copy_rows(table, out):
    """As `perceptron.copy_rows`."""
    out[:] = table


def sum_rows(table, out):
    """As `perceptron.sum_rows`."""
    out[:] = table.sum(axis=0, dtype=np.float32)


def norm(G):
    """As `perceptron.norm`."""
    wide = G.astype(np.float64)
    return np.sqrt(wide.dot(wide))


def adam_move(W, G, M, V, size, root, scale, epsilon):
    """As `perceptron.adam_move`."""
    g = G * FLOAT(scale)
    M[:] = FLOAT(0.9) * M + FLOAT(0.1) * g
    V[:] = FLOAT(0.999) * V + FLOAT(0.001) * (g * g)
    W -= size * M / (np.sqrt(V) * root + FLOAT(epsilon))


def rmsprop(W, G, V, rate, scale, decay, epsilon):
    """As `perceptron.rmsprop`."""
    g = G * FLOAT(scale)
    V[:] = FLOAT(decay) * V + FLOAT(1.0 - decay) * (g * g)
    W -= FLOAT(rate) * g / (np.sqrt(V) + FLOAT(epsilon))


def gates(x, p, b, g):
    """As `gru._gates`."""
    g[:] = sigmoid(x + p + b)


def candidate(x, p, b, r, n, q):
    """As `gru._candidate`."""
    q[:] = p + b
    n[:] = tanh(x + r * q)


def mix(z, n, known, h):
    """As `gru._mix`."""
    h[:] = n + z * (known - n)
