"""The first layer of perceptrons over one-hot features, in compiled code: rows of a table instead of a product.

An observation is the numbers of its K columns, `[K]`, never expanded to `[D]` zeros and ones. What belongs to a column
lies in one place, `rows [D, 3, w]` float32: its weights, which torch keeps as a column of `[outputs, D]`, those of
several networks side by side, and the optimiser's first and second moments of them. Forward adds up the weights of K
rows; only rows that were visited have a gradient, kept as `[visited, w]`.

Adam moves weights without gradient too: their moments decay, and the first one goes on moving them. Here each row is
brought up to date when it is next needed (`catch_up`), by the steps it has missed. How many it misses at a time never
matters: a missed step is a function of the row and of the step's number alone, so that a run that is saved in between,
which brings every row up to date, ends with the same weights, bit for bit. The arithmetic of missed steps is therefore
compiled without the freedom to reorder it. A missed step is:

    while some first moment m of the row is not zero: m ← β₁·m, set to zero below 10⁻⁷·ε (what it would still move w
    by, in all steps together, is less than 10⁻⁶ of the learning rate); v ← β₂·v; w ← w − size·m/(root·√v + ε);

    else, and for RMSProp: v ← v·β₂, v on a grid of neighbours 10⁻⁶ apart, which the factor maps to itself: so a
    thousand steps are one multiplication, and the same as ten times a hundred.

A `layer` is (rows, stamps, clock, sizes, roots, rule): `stamps [D]` int64, the gradient step each row is up to date
with, NEVER where it has no moments; `clock [2]` int64, the step after which the history begins and the steps taken; the
history, `[window]` float32 each: Adam's step size and 1/√(1 − β₂ᵗ) of the steps since; rule (whether it is Adam, else
RMSProp; ε; β₂, or RMSProp's decay).
"""

from __future__ import annotations

import math

# mypy: disable-error-code="no-untyped-def, untyped-decorator"
import numpy as np

from inscape.envs.compile.kernel_cache import cached_jit, helper_jit
from inscape.world_models.networks.kernels.perceptron import (
    FLOAT,
    activate,
    adam_move,
    adam_scales,
    backward,
    forward,
    inline,
    jit,
    norm,
    rmsprop,
    through_activation,
)

BASE, NOW = 0, 1
WEIGHT, FIRST, SECOND = 0, 1, 2
NEVER = 2**62
WINDOW = 16_384
"""Steps of history; when it is full every row is brought up to date."""
FADED = 1e-7
"""First moments below this times ε are zero."""
VANISHED = 1e-10
"""Second moments whose root is below this times ε are zero: ε plus Adam's 32 times as much is ε in float32."""
SPACING = 1e-6
"""Relative distance of neighbours on the grid of second moments: ten times float32's."""

# float32: bits of the mantissa, its mask, those of 1.0, the exponent's offset; the smallest normal number
MANTISSA_BITS, MANTISSA, ONE_BITS, EXPONENT_ZERO = np.int32(23), np.int32(0x7FFFFF), np.int32(0x3F800000), np.int32(127)
SMALLEST, LEAST_EXPONENT = FLOAT(2.0**-126), -126.0
ROOT_TWO, LOG_2, TWICE_LOG_2_E = math.sqrt(2.0), math.log(2.0), 2.0 / math.log(2.0)

# every operation as written, so that k steps are the same whether they come in one piece or in several
exact = cached_jit(nogil=True, error_model="numpy")
exact_inline = helper_jit(nogil=True, error_model="numpy", forceinline=True)


# ------------------------------------------------------------------------------------------- missed steps


@exact_inline
def coast(rows, row, size, root, small, faded):
    """Takes one of Adam's steps without gradient; returns whether the row goes on moving."""
    b1, b2 = FLOAT(0.9), FLOAT(0.999)
    moving, c = False, np.uint64(row)
    for i in range(np.uint64(rows.shape[2])):
        w, m, v = rows[c, WEIGHT, i], b1 * rows[c, FIRST, i], b2 * rows[c, SECOND, i]
        m = FLOAT(0) if abs(m) <= faded else m
        rows[c, WEIGHT, i] = w - size * m / (np.sqrt(v) * root + small)
        rows[c, FIRST, i] = m
        rows[c, SECOND, i] = v
        moving |= m != FLOAT(0)
    return moving


@exact_inline
def fade(rows, row, steps, decay, epsilon):
    """Multiplies the row's second moments by decay^steps, on the grid.

    Logarithm and power of two are by series, to 10⁻⁹, so that many are computed at once.
    """
    points = math.ceil(-math.log(decay) / SPACING)  # of the grid, within the factor of one step
    unit = math.log2(decay) / points
    least = max(FLOAT((VANISHED * epsilon) ** 2), SMALLEST)
    shift, c = float(points) * float(steps), np.uint64(row)
    for i in range(np.uint64(rows.shape[2])):
        v = rows[c, SECOND, i]
        bits = np.float32(v).view(np.int32)
        mantissa = np.float64(np.int32((bits & MANTISSA) | ONE_BITS).view(np.float32))  # in [1, 2)
        t = (mantissa - ROOT_TWO) / (mantissa + ROOT_TWO)
        z = t * t
        series = t * (1.0 + z * (1 / 3 + z * (1 / 5 + z * (1 / 7 + z * (1 / 9)))))
        log_2 = np.float64((bits >> MANTISSA_BITS) - EXPONENT_ZERO) + 0.5 + TWICE_LOG_2_E * series
        x = (np.floor(log_2 / unit + 0.5) + shift) * unit
        x = x if x > LEAST_EXPONENT else LEAST_EXPONENT
        whole = np.floor(x + 0.5)
        y = (x - whole) * LOG_2
        power = 1.0 + y * (1.0 + y / 2 * (1.0 + y / 3 * (1.0 + y / 4 * (1.0 + y / 5 * (1.0 + y / 6 * (1.0 + y / 7))))))
        scale = np.int32((np.int32(whole) + EXPONENT_ZERO) << MANTISSA_BITS).view(np.float32)
        value = np.float32(power) * scale
        value = FLOAT(0) if v <= least or value <= least else value
        rows[c, SECOND, i] = value if v == v else v  # NaN stays NaN


@exact_inline
def has_momentum(rows, row):
    """Returns whether a first moment of the row is not zero."""
    moving, c = False, np.uint64(row)
    for i in range(np.uint64(rows.shape[2])):
        moving |= rows[c, FIRST, i] != FLOAT(0)
    return moving


@exact
def catch_up(layer, row):
    """Brings a row up to date: the steps it has missed."""
    rows, stamps, clock, sizes, roots, rule = layer
    step, now = stamps[row], clock[NOW]
    if step >= now:
        return
    is_adam, epsilon, decay = rule
    if is_adam:
        small, faded = FLOAT(epsilon), FLOAT(FADED * epsilon)
        moving = has_momentum(rows, row)
        while moving and step < now:
            k = step - clock[BASE]
            moving = coast(rows, row, sizes[k], roots[k], small, faded)
            step += 1
    if step < now:
        fade(rows, row, now - step, decay, epsilon)
    stamps[row] = now


@exact
def catch_up_visited(layer, X):
    """Brings the rows of columns `X [rows, K]` up to date."""
    for i in range(X.shape[0]):
        for k in range(X.shape[1]):
            catch_up(layer, X[i, k])


@exact
def catch_up_all(layer):
    """Brings every row up to date."""
    for row in range(len(layer[1])):
        catch_up(layer, row)


@exact
def record(layer, rate):
    """Adds the step to come to the history, and returns it: (Adam's step size, 1/√(1 − β₂ᵗ)).

    Where the history is full, all rows are brought up to date first, and it starts again.
    """
    _, _, clock, sizes, roots, _ = layer
    if clock[NOW] - clock[BASE] >= len(sizes):
        catch_up_all(layer)
        clock[BASE] = clock[NOW]
    k = clock[NOW] - clock[BASE]
    sizes[k], roots[k] = adam_scales(clock[NOW] + 1, rate)
    return sizes[k], roots[k]


# ------------------------------------------------------------------------------------------- forward and backward


@jit
def forward_columns(rows, offset, W, sizes, activation, X, H):
    """As `perceptron.forward`, for columns `X [rows, K]`: of the network whose weights begin at `offset` in each row.

    `W` is its vector of parameters without the first weight.
    """
    count, m = X.shape[0], sizes[1]
    Z = H[: count * m].reshape((count, m))
    width, start = np.uint64(m), np.uint64(offset)
    for row in range(count):
        i, c = np.uint64(row), np.uint64(X[row, 0])
        for j in range(width):
            Z[i, j] = rows[c, WEIGHT, start + j]
        for k in range(1, X.shape[1]):
            c = np.uint64(X[row, k])
            for j in range(width):
                Z[i, j] += rows[c, WEIGHT, start + j]
    activate(Z, W[:m], activation, len(sizes) == 2)
    if len(sizes) == 2:
        return Z
    return forward(W[m:], sizes[1:], activation, Z, H[count * m :])


@jit
def backward_columns(offset, W, sizes, activation, X, H, delta, G, D, visits):
    """As `perceptron.backward`: writes `G`, laid out like `W`, and adds to the visited rows' gradients."""
    _, slots, _, gradients = visits
    count, m = X.shape[0], sizes[1]
    change = delta
    if len(sizes) == 2:
        for j in range(m):
            G[j] = FLOAT(0)
    else:
        Z = H[: count * m].reshape((count, m))
        later = backward(W[m:], sizes[1:], activation, Z, H[count * m :], delta, G[m:], D)
        change = D[0, : count * m].reshape((count, m))  # the other half may hold `later`
        n = sizes[2]
        np.dot(later, W[m : m + n * m].reshape((n, m)), change)
        through_activation(change, Z, activation)
        G[:m] = FLOAT(0)
    width, start = np.uint64(m), np.uint64(offset)
    for row in range(count):
        i = np.uint64(row)
        for j in range(width):
            G[j] += change[i, j]
        for k in range(X.shape[1]):
            s = np.uint64(slots[X[row, k]])
            for j in range(width):
                gradients[s, start + j] += change[i, j]


@jit
def visit(layer, X, visits):
    """Lists the distinct columns of `X [rows, K]`, brings their rows up to date, and makes their gradients zero.

    `visits` is (columns `[n]`, slots `[D]` −1 where a column is not among them, their count `[1]`, gradients `[n, w]`).
    """
    columns, slots, count, gradients = visits
    leave(visits)
    n = 0
    for i in range(X.shape[0]):
        for k in range(X.shape[1]):
            c = X[i, k]
            if slots[c] < 0:
                slots[c], columns[n] = n, c
                n += 1
                catch_up(layer, c)
    count[0] = n
    gradients[:n] = FLOAT(0)


@inline
def leave(visits):
    """Forgets the columns listed."""
    columns, slots, count, _ = visits
    for s in range(count[0]):
        slots[columns[s]] = -1
    count[0] = 0


@inline
def norm_with_rows(G, visits):
    """Returns the Euclidean norm of all gradients."""
    _, _, count, gradients = visits
    one, other = norm(G), norm(gradients[: count[0]].reshape(-1))
    return np.sqrt(one * one + other * other)


@jit
def move_visited(layer, visits, rate, scale):
    """Takes the optimiser's step with the rows visited; the others have missed it."""
    rows, stamps, clock, _, _, rule = layer
    is_adam, epsilon, decay = rule
    columns, _, count, gradients = visits
    size, root = record(layer, rate)
    for s in range(count[0]):
        row = columns[s]
        w, m, v = rows[row, WEIGHT], rows[row, FIRST], rows[row, SECOND]
        if is_adam:
            adam_move(w, gradients[s], m, v, size, root, scale, epsilon)
        else:
            rmsprop(w, gradients[s], v, rate, scale, decay, epsilon)
        stamps[row] = clock[NOW] + 1
    clock[NOW] += 1
