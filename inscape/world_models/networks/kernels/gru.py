"""A gated recurrent unit over whole sequences in compiled code: forward, and backward through time.

A tensor library makes a dozen calls per step, forward and again backward; at the sizes of these agents the calls cost
more than the arithmetic. Here there are none between the steps of a sequence. Time first: `[T, B, …]`, float32.

With `x_t` the input, `h` what was remembered (0 where an episode begins), gates r, z and the candidate n:

    r = σ(x_r + U_r h + b_r)    z = σ(x_z + U_z h + b_z)    q = U_n h + b_n    n = tanh(x_n + r·q)
    h_t = (1 − z)·n + z·h

`X [T, B, 3H]` are the inputs' shares (x_r, x_z, x_n) side by side, `U [3H, H]` and `b [3H]` likewise.

Source: Cho et al. (2014), arXiv:1406.1078, in the form of torch's `nn.GRU` (r after the product, biases on both sides).
"""

from __future__ import annotations

# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call"
import numpy as np

from inscape.envs.compile.switch import plain_form
from inscape.world_models.networks.kernels import array_forms
from inscape.world_models.networks.kernels.perceptron import FLOAT, ONE, copy_rows, inline, jit, tanh

HALF, ZERO = FLOAT(0.5), FLOAT(0)


@inline
def sigmoid(x):
    """Returns 1/(1 + e^−x) = (1 + tanh(x/2))/2."""
    return HALF + HALF * tanh(HALF * x)


@jit
def forward(X, U, b, first, starts, hidden, gates, before):
    """Fills `hidden [T, B, H]` with h_t.

    `first [B, H]` is what was remembered before the first step, `starts [T, B]` says where an episode begins. For
    `backward`, `gates [T, B, 4H]` is filled with r, z, n, q, and `before [T, B, H]` with the h each step started from.
    """
    steps, count, size = hidden.shape
    product = np.empty((count, 3 * size), np.float32)
    for t in range(steps):
        known = before[t]
        copy_rows(first if t == 0 else hidden[t - 1], known)
        for row in range(count):
            if starts[t, row]:
                known[row] = ZERO
        np.dot(known, U.T, product)
        for row in range(count):
            i = np.uint64(row)
            x, p, g = X[t, i], product[i], gates[t, i]
            _gates(x[: 2 * size], p[: 2 * size], b[: 2 * size], g[: 2 * size])
            _candidate(x[2 * size :], p[2 * size :], b[2 * size :], g[:size], g[2 * size : 3 * size], g[3 * size :])
            _mix(g[size : 2 * size], g[2 * size : 3 * size], known[i], hidden[t, i])


# loops over few arrays each: more would need more checks that they do not overlap than the compiler makes


@plain_form(array_forms.gates)
@inline
def _gates(x, p, b, g):
    for j in range(np.uint64(g.size)):
        g[j] = sigmoid(x[j] + p[j] + b[j])


@plain_form(array_forms.candidate)
@inline
def _candidate(x, p, b, r, n, q):
    for j in range(np.uint64(q.size)):
        q[j] = p[j] + b[j]
    for j in range(np.uint64(q.size)):
        n[j] = tanh(x[j] + r[j] * q[j])


@plain_form(array_forms.mix)
@inline
def _mix(z, n, known, h):
    for j in range(np.uint64(h.size)):
        h[j] = n[j] + z[j] * (known[j] - n[j])


@jit
def backward(U, starts, gates, before, change, dX, dU, db, dfirst):
    """Fills the gradients by X, U, b and `first` of a loss whose derivative by h is `change [T, B, H]`."""
    steps, count, size = change.shape
    H = np.uint64(size)
    dP = np.empty((steps, count, 3 * size), np.float32)  # by the products U h + b
    carried, through = np.zeros((count, size), np.float32), np.empty((count, size), np.float32)
    for step in range(steps):
        t = steps - 1 - step
        for row in range(count):
            i = np.uint64(row)
            g, dx, dp, later = gates[t, i], dX[t, i], dP[t, i], carried[i]
            for j in range(H):
                r, z, n, q = g[j], g[j + H], g[j + H + H], g[j + H + H + H]
                dh = change[t, i, j] + later[j]
                dn = dh * (ONE - z) * (ONE - n * n)
                dx[j] = dn * q * r * (ONE - r)
                dx[j + H] = dh * (before[t, i, j] - n) * z * (ONE - z)
                dx[j + H + H] = dn
                dp[j], dp[j + H], dp[j + H + H] = dx[j], dx[j + H], dn * r
                later[j] = dh * z
        np.dot(dP[t], U, through)
        for row in range(count):
            i = np.uint64(row)
            for j in range(H):
                carried[i, j] = ZERO if starts[t, i] else carried[i, j] + through[i, j]
    copy_rows(carried, dfirst)
    flat = dP.reshape((steps * count, 3 * size))
    np.dot(flat.T, before.reshape((steps * count, size)), dU)
    db[:] = ZERO
    for row in range(steps * count):
        i = np.uint64(row)
        for j in range(np.uint64(3 * size)):
            db[j] += flat[i, j]
