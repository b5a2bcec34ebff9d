"""Gradient steps of a network that imitates a search, compiled: policy towards the search's, values towards returns.

The network has A logits and M values, the mover's first (`PerceptronEvaluator`). The loss of a position is
−Σ_a π(a)·log p(a), over legal actions, plus value_coef times the mean over players of (v − z)²; weights decay apart
from the gradient (Loshchilov & Hutter 2019, "Decoupled weight decay regularization", ICLR).
"""

from __future__ import annotations

# mypy: disable-error-code="no-untyped-def, untyped-decorator"
import numpy as np

from inscape.envs.compile.switch import kernel_math
from inscape.world_models.networks.kernels.perceptron import FLOAT, adam, backward, forward, jit, norm

math = kernel_math()

POLICY_LOSS, VALUE_LOSS, ENTROPY, NORM = 0, 1, 2, 3
PARTS = 4


@jit
def gather(observations, picked, places, scale, X):
    """Fills features `X [n, D]` of the observations picked, as `FeatureReader` does."""
    for r in range(len(picked)):
        row = picked[r]
        if len(places) == 0:
            for k in range(X.shape[1]):
                X[r, k] = observations[row, k] * scale
        else:
            for k in range(X.shape[1]):
                X[r, k] = FLOAT(0)
            for k in range(len(places)):
                X[r, int(observations[row, k]) + places[k]] = FLOAT(1)


@jit
def loss_gradient(outputs, picked, policy, values, unit, value_coef, delta, parts):
    """Fills the derivatives `delta` of the mean loss by `outputs [n, A + M]`, and its parts.

    `policy [N, A]` is the search's, negative where an action was illegal; `values [N, M]` are returns, the mover's
    first, and `unit` what outputs are multiplied by.
    """
    n, A = len(picked), policy.shape[1]
    M = values.shape[1]
    weight = 1.0 / n
    for r in range(n):
        row = picked[r]
        largest, total = -math.inf, 0.0
        for a in range(A):
            if policy[row, a] >= 0.0:
                largest = max(largest, float(outputs[r, a]))
        for a in range(A):
            if policy[row, a] >= 0.0:
                total += math.exp(outputs[r, a] - largest)
        for a in range(A):
            delta[r, a] = 0.0
            if policy[row, a] >= 0.0:
                log_p = outputs[r, a] - largest - math.log(total)
                p = math.exp(log_p)
                delta[r, a] = weight * (p - policy[row, a])
                parts[POLICY_LOSS] -= weight * policy[row, a] * log_p
                parts[ENTROPY] -= weight * p * log_p
        for m in range(M):
            error = outputs[r, A + m] - values[row, m] / unit
            delta[r, A + m] = weight * value_coef * 2.0 * error / M
            parts[VALUE_LOSS] += weight * error * error / M


@jit
def imitate(network, moments, memory, order, reading, working, settings, taken, parts):
    """Takes a gradient step for each row of `order [steps, n]`; returns how many, −1 where one was not finite.

    Args:
        network: (parameters, sizes, activation, unit of values). moments: Adam's (first, second).
        memory: (observations `[N, D]` or `[N, K]`, policy `[N, A]`, values `[N, M]`).
        reading: (places, scale). working: features, outputs of layers, derivatives, gradient, two halves of memory.
        settings: (rate, value_coef, max_norm, weight decay).
        taken: gradient steps before. parts: `[PARTS]` gets means over the steps.
    """
    W, sizes, activation, unit = network
    X, H, delta, G, D = working
    rate, value_coef, max_norm, decay = settings
    parts[:] = 0.0
    for step in range(order.shape[0]):
        picked = order[step]
        gather(memory[0], picked, reading[0], reading[1], X)
        outputs = forward(W, sizes, activation, X, H)
        loss_gradient(outputs, picked, memory[1], memory[2], unit, value_coef, delta, parts)
        backward(W, sizes, activation, X, H, delta, G, D)
        length = norm(G)
        if not math.isfinite(length):
            return -1
        parts[NORM] += length
        keep = FLOAT(1.0 - rate * decay)
        for i in range(np.uint64(W.size)):
            W[i] *= keep
        adam(W, G, moments[0], moments[1], taken + step + 1, rate, min(1.0, max_norm / (length + 1e-6)), 1e-8)
    for k in range(PARTS):
        parts[k] /= order.shape[0]
    return order.shape[0]
