"""A network of one layer of sines beside a linear one, in compiled code: many members, each for rows of its own.

A planner asks for some hundred rows at each step of a horizon; in a tensor library the calls would cost more.

A member's parameters lie in one float64 vector (solved for in closed form, weights of nearly
collinear sines cancel): `[inputs, features]` frequencies, `[features]` phases, `[features,
outputs]` weights of the sines, `[inputs, outputs]` of the inputs, `[outputs]` constants. Outputs are, for C numbers,
C means and C logarithms of variances, and then the logits of one categorical variable after another.

Source: sines of random projections, Rahimi & Recht (2007), "Random features for large-scale kernel machines", NIPS.
"""

from __future__ import annotations

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"
import math

import numpy as np

from inscape.envs.compile.kernel_cache import cached_jit, helper_jit
from inscape.envs.compile.switch import plain_form

FASTER = {"reassoc", "contract", "arcp", "nsz"}
jit = cached_jit(nogil=True, error_model="numpy", fastmath=FASTER)
inline = helper_jit(nogil=True, error_model="numpy", fastmath=FASTER, forceinline=True)

TURN, WHOLE = 1.0 / (2.0 * np.pi), 2.0 * np.pi
TERMS = tuple((-1.0) ** k / math.factorial(2 * k + 1) for k in range(8))
T1, T3, T5, T7, T9, T11, T13, T15 = TERMS


@inline
def sine(x):
    """Returns sin x to 1e-11 for |x| up to some thousands: whole turns off, folded at a quarter turn, then Taylor's
    polynomial, so that many are computed at once."""
    y = x - np.floor(x * TURN + 0.5) * WHOLE
    y = np.pi - y if y > 0.5 * np.pi else (-np.pi - y if y < -0.5 * np.pi else y)
    z = y * y
    return y * (T1 + z * (T3 + z * (T5 + z * (T7 + z * (T9 + z * (T11 + z * (T13 + z * T15)))))))


def _outputs_of_arrays(parameters, member, X, features, out):
    """`outputs` by NumPy, a member at a time."""
    inputs, count = X.shape[1], out.shape[1]
    for k in np.unique(member):
        rows = np.flatnonzero(member == k)
        frequencies, phases, of_sines, of_inputs, constants = blocks(parameters[k], inputs, features, count)
        hidden = np.sin(X[rows] @ frequencies + phases)
        out[rows] = hidden @ of_sines + X[rows] @ of_inputs + constants


@plain_form(_outputs_of_arrays)
@jit
def outputs(parameters, member, X, features, out):
    """Fills `out [N, outputs]` with what member `member[n]` of `parameters [K, P]` says of `X [N, inputs]`."""
    inputs, count = X.shape[1], out.shape[1]
    hidden = np.empty(features)
    for n in range(X.shape[0]):
        row_outputs(parameters[member[n]], X[n], inputs, features, count, hidden, out[n])


@inline
def row_outputs(W, x, inputs, features, count, hidden, out):
    """Fills `out [outputs]` for one row; `hidden [features]` is working memory."""
    at = inputs * features
    for f in range(np.uint64(features)):
        hidden[f] = W[at + f]
    for i in range(inputs):
        value, first = x[i], i * features
        for f in range(np.uint64(features)):
            hidden[f] += value * W[first + f]
    for f in range(np.uint64(features)):
        hidden[f] = sine(hidden[f])
    sines = at + features
    linear = sines + features * count
    last = linear + inputs * count
    for o in range(count):
        out[o] = W[last + o]
    for i in range(inputs):
        for o in range(count):
            out[o] += x[i] * W[linear + i * count + o]
    for f in range(features):
        for o in range(count):
            out[o] += hidden[f] * W[sines + f * count + o]


def _roll_of_arrays(parameters, member, flat, actions, noise, scales, bounds, features, least, most, after):
    """`roll` by NumPy, a step at a time."""
    (input_mean, input_scale, target_mean, target_scale), (low, high) = scales, bounds
    width, rows = flat.shape[1], len(flat)
    at, everyone = flat, np.arange(len(parameters))
    for t in range(actions.shape[1]):
        x = (np.concatenate([at, actions[:, t]], axis=1) - input_mean) / input_scale
        out = np.empty((rows, 2 * width))
        mean = member[:, t] < 0
        if mean.all():
            each = np.empty((len(parameters), rows, 2 * width))
            for k in everyone:
                _outputs_of_arrays(parameters, np.full(rows, k), x, features, each[k])
            out = each.mean(axis=0)
        else:
            _outputs_of_arrays(parameters, member[:, t], x, features, out)
        spread = np.exp(0.5 * np.clip(out[:, width:], least, most)) * noise[:, t]
        at = np.minimum(np.maximum(at + (out[:, :width] + spread) * target_scale + target_mean, low), high)
        after[t] = at


@plain_form(_roll_of_arrays)
@jit
def roll(parameters, member, flat, actions, noise, scales, bounds, features, least, most, after):
    """Fills `after [H, N, D]` with what members predict along N sequences of actions, number by number.

    Args:
        parameters: `[K, P]`.
        member: `[N, H]` int64, whose prediction each step is; −1: the mean of all.
        flat: `[N, D]` where they begin. actions: `[N, H, inputs − D]`. noise: `[N, H, D]` standard normal, or 0.
        scales: mean and scale of inputs `[inputs]`, of changes `[D]`. bounds: low and high `[D]`.
        least, most: of the logarithm of a variance, in units of the changes' scale.
    """
    input_mean, input_scale, target_mean, target_scale = scales
    low, high = bounds
    width, inputs = flat.shape[1], input_mean.shape[0]
    count = 2 * width
    hidden, out, summed, x, at = np.empty(features), np.empty(count), np.empty(count), np.empty(inputs), np.empty(width)
    for n in range(flat.shape[0]):
        for d in range(width):
            at[d] = flat[n, d]
        for t in range(actions.shape[1]):
            for d in range(width):
                x[d] = (at[d] - input_mean[d]) / input_scale[d]
            for d in range(width, inputs):
                x[d] = (actions[n, t, d - width] - input_mean[d]) / input_scale[d]
            if member[n, t] >= 0:
                row_outputs(parameters[member[n, t]], x, inputs, features, count, hidden, out)
            else:
                for o in range(count):
                    summed[o] = 0.0
                for k in range(parameters.shape[0]):
                    row_outputs(parameters[k], x, inputs, features, count, hidden, out)
                    for o in range(count):
                        summed[o] += out[o]
                for o in range(count):
                    out[o] = summed[o] / parameters.shape[0]
            for d in range(width):
                change = out[d]
                if noise[n, t, d] != 0.0:
                    change += np.exp(0.5 * min(max(out[width + d], least), most)) * noise[n, t, d]
                at[d] = min(max(at[d] + change * target_scale[d] + target_mean[d], low[d]), high[d])
                after[t, n, d] = at[d]


def blocks(W: np.ndarray, inputs: int, features: int, count: int) -> tuple[np.ndarray, ...]:
    """Returns the five parts of a member's parameters, views of them."""
    a = inputs * features
    b = a + features
    c = b + features * count
    d = c + inputs * count
    return (
        W[:a].reshape((inputs, features)), W[a:b], W[b:c].reshape((features, count)),
        W[c:d].reshape((inputs, count)), W[d : d + count],
    )  # fmt: skip


def parameter_count(inputs: int, features: int, count: int) -> int:
    """Returns how long a member's parameters are."""
    return (inputs + 1) * features + (features + inputs + 1) * count
