"""Updates of a Q-network in compiled code: all the gradient steps of a round in one call.

The network is a perceptron as `inscape.world_models.networks.kernels.perceptron` has it. With `dueling` its first
output is V and the others are advantages. Batches lie one behind the other: rows k·batch to (k + 1)·batch are those of
step k.
"""

from __future__ import annotations

# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call"
import numpy as np

from inscape.world_models.networks.kernels.perceptron import FLOAT, adam, backward, forward, jit, norm

CHUNK = 256  # rows computed together: enough for BLAS, few enough to stay in the cache


@jit
def combine(outputs, dueling, Q):
    """Writes into `Q [rows, A]` the action values that outputs stand for: V + A − mean A, or they themselves."""
    actions = Q.shape[1]
    for i in range(Q.shape[0]):
        if not dueling:
            for a in range(actions):
                Q[i, a] = outputs[i, a]
            continue
        mean = FLOAT(0)
        for a in range(actions):
            mean += outputs[i, 1 + a]
        mean /= FLOAT(actions)
        for a in range(actions):
            Q[i, a] = outputs[i, 0] + outputs[i, 1 + a] - mean


@jit
def action_values(network, X, H, Q):
    """Fills `Q [rows, A]` for features `X [rows, F]` of a `ValueNetwork`; `H` is working memory for CHUNK rows."""
    W, sizes, activation, dueling = network
    for begin in range(0, X.shape[0], CHUNK):
        end = min(begin + CHUNK, X.shape[0])
        combine(forward(W, sizes, activation, X[begin:end], H), dueling, Q[begin:end])


@jit
def best_legal(values, mask, row):
    """Returns the legal action of the largest value; −1 if none is legal."""
    best = -1
    for a in range(len(values)):
        if (len(mask) == 0 or mask[row, a]) and (best < 0 or values[a] > values[best]):
            best = a
    return best


@jit
def train(network, trained, batches, settings, memory, errors):
    """Takes a gradient step for each batch of the rows given.

    Args:
        network: `ValueNetwork`.
        trained: `Trained`: its parameters, changed.
        batches: `ValueBatches`.
        settings: `ValueSettings`.
        memory: `ValueMemory`.
        errors: `[rows]` Q(s, a) − target, written.

    Returns:
        steps taken (fewer where a gradient is not finite: the last one was not applied), mean loss (of the step that
        failed, its own), mean Q(s, a).
    """
    W, sizes, activation, dueling = network
    X, actions, rewards, discounts, next_X, next_values, mask, weights = batches
    batch, rate, epsilon, max_norm, double, huber = settings
    G, H, D = trained.gradient, memory.outputs, memory.deltas
    width = next_values.shape[1]
    steps = X.shape[0] // batch
    Q = np.empty((batch, width), np.float32)
    chooser = np.empty((batch, width), np.float32)
    delta = np.empty((batch, sizes[-1]), np.float32)
    share = FLOAT(1.0 / batch)
    total_loss, total_value = 0.0, 0.0
    for k in range(steps):
        first = k * batch
        features = X[first : first + batch]
        if double:
            combine(forward(W, sizes, activation, next_X[first : first + batch], H), dueling, chooser)
        combine(forward(W, sizes, activation, features, H), dueling, Q)
        delta[:] = FLOAT(0)
        loss = 0.0
        for i in range(batch):
            row = first + i
            following = best_legal(chooser[i] if double else next_values[row], mask, row)
            value = next_values[row, following] if following >= 0 else FLOAT(0)
            a = actions[row]
            error = Q[i, a] - (rewards[row] + discounts[row] * value)
            errors[row] = error
            total_value += Q[i, a]
            slope = error
            if huber and abs(error) > FLOAT(1):
                slope = FLOAT(np.copysign(FLOAT(1), error))
                loss += weights[row] * (abs(error) - 0.5)
            else:
                loss += weights[row] * 0.5 * error * error
            slope *= weights[row] * share
            if dueling:
                delta[i, 0] = slope
                for b in range(width):
                    delta[i, 1 + b] = -slope / FLOAT(width)
                delta[i, 1 + a] += slope
            else:
                delta[i, a] = slope
        loss /= batch
        backward(W, sizes, activation, features, H, delta, G, D)
        length = norm(G)
        if not np.isfinite(length) or not np.isfinite(loss):
            return k, loss, 0.0
        scale = min(1.0, max_norm / (length + 1e-6))
        trained.steps[0] += FLOAT(1)
        adam(W, G, trained.first, trained.second, int(trained.steps[0]), rate, scale, epsilon)
        total_loss += loss
    return steps, total_loss / steps, total_value / (steps * batch)
