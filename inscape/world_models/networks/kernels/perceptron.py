"""A multilayer perceptron in compiled code: forward, backward, Adam, on one flat vector of float32 parameters.

For networks this small the cost of an update in a tensor library is the calls, not the arithmetic; here a caller makes
none between the steps of an update. Parameters lie as torch keeps them: for each layer the weight `[outputs, inputs]`,
row-major, then the bias. `sizes` int64 `[L + 1]` are the widths, input first. Products of matrices go to BLAS.

`H`, working memory: the outputs of layer after layer, each `[rows, width]`, one behind the other (`space` says how
long). The last layer is linear; `activation` is TANH or RELU between the others.
"""

from __future__ import annotations

# mypy: disable-error-code="no-untyped-def, untyped-decorator"
import numpy as np

from inscape.envs.compile.kernel_cache import cached_jit, helper_jit
from inscape.envs.compile.switch import plain_form
from inscape.world_models.networks.kernels import array_forms

TANH, RELU = 0, 1
# sums in any order; NaN and infinity mean what they mean
FASTER = {"reassoc", "contract", "arcp", "nsz"}
FLOAT = np.float32

jit = cached_jit(nogil=True, error_model="numpy", fastmath=FASTER)
# for a long function with one caller: put into it before types are known, and compiled once with it instead of twice
only_inside = helper_jit(nogil=True, error_model="numpy", fastmath=FASTER, inline="always")
inline = helper_jit(nogil=True, error_model="numpy", fastmath=FASTER, forceinline=True)

# tanh y = y·(1 + z·(…))/(1 + z·(…)) with z = y²: Lambert's continued fraction, cut after the seventh term
N1, N2, N3 = FLOAT(17325 / 135135), FLOAT(378 / 135135), FLOAT(1 / 135135)
D1, D2, D3 = FLOAT(62370 / 135135), FLOAT(3150 / 135135), FLOAT(28 / 135135)
ONE, TWO, EIGHTH, LARGE = FLOAT(1), FLOAT(2), FLOAT(0.125), FLOAT(9)


@inline
def tanh(x):
    """Returns tanh x to 2e-7: of x/8 by a continued fraction, then tanh 2y = 2·tanh y/(1 + tanh² y) three times, with
    one division in all, so that many are computed at once."""
    y = x if x < LARGE else (LARGE if x == x else x)  # NaN stays NaN
    y = (y if y > -LARGE else (-LARGE if y == y else y)) * EIGHTH
    z = y * y
    n = y * (ONE + z * (N1 + z * (N2 + z * N3)))
    d = ONE + z * (D1 + z * (D2 + z * D3))
    n, d = TWO * n * d, d * d + n * n
    n, d = TWO * n * d, d * d + n * n
    n, d = TWO * n * d, d * d + n * n
    return n / d


@plain_form(array_forms.copy_rows)
@inline
def copy_rows(table, out):
    """Fills `out [rows, width]` with `table`. `out[:] = table` would compile the text of an error first, for 1.4 s."""
    for row in range(out.shape[0]):
        i = np.uint64(row)
        for j in range(np.uint64(out.shape[1])):
            out[i, j] = table[i, j]


@jit
def parameter_count(sizes):
    """Returns how long the vector of parameters is."""
    total = 0
    for k in range(len(sizes) - 1):
        total += sizes[k + 1] * (sizes[k] + 1)
    return total


@jit
def space(sizes, rows):
    """Returns how long working memory must be for a batch of so many rows."""
    return rows * sizes[1:].sum()


@plain_form(array_forms.activate)
@jit
def activate(Z, bias, activation, last):
    """Adds the bias to `Z [rows, width]` and applies the activation, in place."""
    width = np.uint64(Z.shape[1])
    for row in range(Z.shape[0]):
        i = np.uint64(row)
        if last:
            for j in range(width):
                Z[i, j] += bias[j]
        elif activation == TANH:
            for j in range(width):
                Z[i, j] = tanh(Z[i, j] + bias[j])
        else:
            for j in range(width):
                value = Z[i, j] + bias[j]
                Z[i, j] = FLOAT(0) if value <= FLOAT(0) else value


@jit
def forward(W, sizes, activation, X, H):
    """Fills `H` for the features `X [rows, sizes[0]]`; returns the outputs `[rows, sizes[-1]]`, a view of it."""
    rows, at, place = X.shape[0], 0, 0
    inputs = X
    for k in range(len(sizes) - 1):
        n, m = sizes[k], sizes[k + 1]
        weight = W[at : at + m * n].reshape((m, n))
        Z = H[place : place + rows * m].reshape((rows, m))
        np.dot(inputs, weight.T, Z)
        activate(Z, W[at + m * n : at + m * n + m], activation, k == len(sizes) - 2)
        at += m * (n + 1)
        place += rows * m
        inputs = Z
    return inputs


@plain_form(array_forms.through_activation)
@jit
def through_activation(delta, Y, activation):
    """Multiplies `delta [rows, width]` by the derivative of the activation where its output was `Y`, in place.

    Through NaN it goes on, to be found.
    """
    d, y = delta.reshape(-1), Y.reshape(-1)
    if activation == TANH:
        for i in range(np.uint64(d.size)):
            d[i] *= ONE - y[i] * y[i]
    else:
        for i in range(np.uint64(d.size)):
            d[i] = FLOAT(0) if y[i] <= FLOAT(0) else d[i]


@plain_form(array_forms.sum_rows)
@jit
def sum_rows(table, out):
    """Writes `out [width]`, the sums of the columns of `table [rows, width]`."""
    out[:] = FLOAT(0)
    for row in range(table.shape[0]):
        i = np.uint64(row)
        for j in range(np.uint64(table.shape[1])):
            out[j] += table[i, j]


@jit
def backward(W, sizes, activation, X, H, delta, G, D):
    """Writes into `G`, laid out like `W`, the gradient of a loss whose derivative by the outputs is `delta`.

    `H` is what `forward` left, `D [2, rows · widest]` working memory, `widest` over the layers' outputs.

    Returns:
        `[rows, sizes[1]]` the derivative by what the first layer gives before its activation: `delta`, or in `D[1]`.
    """
    rows = X.shape[0]
    at, place = 0, 0
    for k in range(len(sizes) - 1):
        at += sizes[k + 1] * (sizes[k] + 1)
        place += rows * sizes[k + 1]
    current = delta
    for k in range(len(sizes) - 2, -1, -1):
        n, m = sizes[k], sizes[k + 1]
        at -= m * (n + 1)
        place -= rows * m
        inputs = X if k == 0 else H[place - rows * n : place].reshape((rows, n))
        np.dot(current.T, inputs, G[at : at + m * n].reshape((m, n)))
        sum_rows(current, G[at + m * n : at + m * n + m])
        if k > 0:
            before = D[k % 2, : rows * n].reshape((rows, n))
            np.dot(current, W[at : at + m * n].reshape((m, n)), before)
            through_activation(before, inputs, activation)
            current = before
    return current


@plain_form(array_forms.norm)
@jit
def norm(G):
    """Returns the Euclidean norm of a vector, summed in float64."""
    total = 0.0
    for i in range(np.uint64(G.size)):
        total += np.float64(G[i]) * np.float64(G[i])
    return np.sqrt(total)


@jit
def adam(W, G, M, V, step, rate, scale, epsilon):
    """Moves `W` against `scale · G`; `M` and `V` are the moments, `step` counts from 1.

    Source: Kingma & Ba (2015), ICLR, algorithm 1, with β₁ = 0.9 and β₂ = 0.999.
    """
    size, root = adam_scales(step, rate)
    adam_move(W, G, M, V, size, root, scale, epsilon)


@inline
def adam_scales(step, rate):
    """Returns Adam's step size in step t, α/(1 − β₁ᵗ), and the factor of roots of second moments, 1/√(1 − β₂ᵗ)."""
    return FLOAT(rate / (1.0 - 0.9**step)), FLOAT(1.0 / np.sqrt(1.0 - 0.999**step))


@plain_form(array_forms.adam_move)
@inline
def adam_move(W, G, M, V, size, root, scale, epsilon):
    """Takes the step of `adam` with the numbers of `adam_scales`."""
    small, s = FLOAT(epsilon), FLOAT(scale)
    b1, c1, b2, c2 = FLOAT(0.9), FLOAT(0.1), FLOAT(0.999), FLOAT(0.001)
    for i in range(np.uint64(W.size)):
        g = G[i] * s
        M[i] = b1 * M[i] + c1 * g
        V[i] = b2 * V[i] + c2 * (g * g)
        W[i] -= size * M[i] / (np.sqrt(V[i]) * root + small)


@plain_form(array_forms.rmsprop)
@jit
def rmsprop(W, G, V, rate, scale, decay, epsilon):
    """Moves `W` against `scale · G`, divided by the root of the running mean square `V` (Hinton 2012, lecture 6e)."""
    size, small, s = FLOAT(rate), FLOAT(epsilon), FLOAT(scale)
    keep, add = FLOAT(decay), FLOAT(1.0 - decay)
    for i in range(np.uint64(W.size)):
        g = G[i] * s
        V[i] = keep * V[i] + add * (g * g)
        W[i] -= size * g / (np.sqrt(V[i]) + small)
