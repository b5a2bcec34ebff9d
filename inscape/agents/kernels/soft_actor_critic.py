"""Gradient steps of soft actor-critic in compiled code: all those of a round in one call.

Each minibatch of N transitions (s, a, r, d, s′) changes, in this order,

    critics   ½·Σ_i mean (Q_i(s, a) − y)²,  y = r + d·(min_i Q⁻_i(s′, a′) − α·log π(a′|s′)),  a′ ~ π(·|s′)    (3, 5)
    policy    mean (α·log π(ã|s) − min_i Q_i(s, ã)),  ã ~ π(·|s),  with the critics just changed              (7)
    log α     −log α·(mean log π(ã|s) + H̄), where it is adjusted                                              (18)
    targets   Q⁻ ← Q⁻ + τ·(Q − Q⁻)

with one α throughout, and actions ã = tanh u, u = μ + σ·ε of noise ε that is given (26). What
`inscape.agents.off_policy.sac` does with torch's derivatives is written out here:

    ∂ log π/∂u = 2·tanh u,   ∂ tanh u/∂u = 1 − tanh² u,   ∂u/∂μ = 1,   ∂u/∂ log σ = σ·ε,   ∂ log π/∂ log σ has −1 more,

and nothing flows into log σ where it was clamped.

The policy is a perceptron as `inscape.world_models.networks.kernels.perceptron` has it, log α the number after it. The
two critics lie as `inscape.agents.off_policy.sac.TwinCritic` has them: for each layer the weights `[2, inputs,
outputs]`, then the biases `[2, 1, outputs]`. All hidden layers are rectified. Minibatches lie one behind the other, as
in `q_network`.

Source: Haarnoja et al. (2018), "Soft Actor-Critic Algorithms and Applications", arXiv:1812.05905; equations in
brackets.
"""

from __future__ import annotations

# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call"
import numpy as np
from numpy.typing import NDArray

from inscape.agents.kernels.update_arrays import ActorCriticMemory
from inscape.envs.compile.switch import kernel_math
from inscape.world_models.networks.kernels.perceptron import (
    FLOAT,
    RELU,
    activate,
    adam,
    backward,
    forward,
    inline,
    jit,
    norm,
    space,
    sum_rows,
    through_activation,
)

math = kernel_math()

ALL_STEPS, CRITIC, POLICY = 0, 1, 2
"""What `train` reports: every step was taken, or whose gradient was not finite."""
CONSTANT = 0.5 * math.log(2 * math.pi) + 2 * math.log(2)


@inline
def clamped(value, low, high):
    """Returns a number kept within bounds; NaN stays NaN."""
    return low if value < low else (high if value > high else value)


@jit
def squashed_gaussian(outputs, noise, low, high, actions, log_probs):
    """Writes `actions [N, D]` tanh(μ + σ·ε) and their `log_probs [N]`, for `outputs [N, 2·D]`, μ and log σ."""
    size = noise.shape[1]
    for i in range(len(log_probs)):
        total = 0.0
        for d in range(size):
            log_std = clamped(np.float64(outputs[i, size + d]), low, high)
            e = np.float64(noise[i, d])
            u = outputs[i, d] + math.exp(log_std) * e
            softplus = max(-2.0 * u, 0.0) + math.log1p(math.exp(-2.0 * abs(u)))
            total += 2.0 * (u + softplus) - log_std - (0.5 * e * e + CONSTANT)
            actions[i, d] = math.tanh(u)
        log_probs[i] = total


@jit
def drawn_actions(W, sizes, X, noise, low, high, H):
    """Returns `[N, D]` actions in [−1, 1] of the policy at features `X [N, F]`; `H` is working memory for them."""
    actions, log_probs = np.empty(noise.shape, np.float32), np.empty(len(noise), np.float32)
    squashed_gaussian(forward(W, sizes, RELU, X, H), noise, low, high, actions, log_probs)
    return actions


@jit
def layer(W, at, n, m, i):
    """Returns the weight `[n, m]` and bias `[m]` of critic i, views of `W`, in a layer that begins at `at`."""
    weights, biases = at + i * n * m, at + 2 * n * m + i * m
    return W[weights : weights + n * m].reshape((n, m)), W[biases : biases + m]


@jit
def critic_forward(W, sizes, i, X, H):
    """Fills `H` for the rows `X [N, F + D]`, features and actions; returns `[N, 1]` Q_i, a view of it."""
    rows, at, place = X.shape[0], 0, 0
    inputs = X
    for k in range(len(sizes) - 1):
        n, m = sizes[k], sizes[k + 1]
        weight, bias = layer(W, at, n, m, i)
        Z = H[place : place + rows * m].reshape((rows, m))
        np.dot(inputs, weight, Z)
        activate(Z, bias, RELU, k == len(sizes) - 2)
        at += 2 * m * (n + 1)
        place += rows * m
        inputs = Z
    return inputs


@jit
def critic_backward(W, sizes, i, X, H, delta, G, D, of_actions):
    """Writes the gradient of a loss whose derivative by Q_i is `delta [N, 1]`, after `critic_forward` left `H`.

    Args:
        G: laid out like `W`, the gradient by the parameters of critic i; with length 0 it is not computed.
        D: `[2, N · widest]` working memory.
        of_actions: `[N, D]`, the gradient by the last D columns of `X`; with N = 0 it is not computed.
    """
    rows = X.shape[0]
    at, place = 0, 0
    for k in range(len(sizes) - 1):
        at += 2 * sizes[k + 1] * (sizes[k] + 1)
        place += rows * sizes[k + 1]
    current = delta
    for k in range(len(sizes) - 2, -1, -1):
        n, m = sizes[k], sizes[k + 1]
        at -= 2 * m * (n + 1)
        place -= rows * m
        inputs = X if k == 0 else H[place - rows * n : place].reshape((rows, n))
        weight, _ = layer(W, at, n, m, i)
        if len(G):
            of_weight, of_bias = layer(G, at, n, m, i)
            np.dot(inputs.T, current, of_weight)
            sum_rows(current, of_bias)
        if k > 0:
            before = D[k % 2, : rows * n].reshape((rows, n))
            np.dot(current, weight.T, before)
            through_activation(before, inputs, RELU)
            current = before
        elif len(of_actions):
            np.dot(current, weight[n - of_actions.shape[1] :].T, of_actions)


@jit
def side_by_side(features, actions, X):
    """Writes `X [N, F + D]`."""
    width = features.shape[1]
    for i in range(X.shape[0]):
        for j in range(width):
            X[i, j] = features[i, j]
        for d in range(actions.shape[1]):
            X[i, width + d] = actions[i, d]


@jit
def q_values(W, sizes, X, H, Q):
    """Writes `Q [2, N]`, both critics' values of the rows `X [N, F + D]`; `H [2, …]` for `critic_backward`."""
    for which in range(2):
        values = critic_forward(W, sizes, which, X, H[which])
        for i in range(X.shape[0]):
            Q[which, i] = values[i, 0]


@inline
def lesser(first, second):
    """Returns the lesser value and how much of its derivative is the first's: half where they are equal; NaN stays."""
    if first < second:
        return first, FLOAT(1)
    if second < first:
        return second, FLOAT(0)
    return FLOAT(0.5) * (first + second), FLOAT(0.5)


@jit
def take_step(trained, rate, epsilon):
    """Takes a step of Adam."""
    trained.steps[0] += FLOAT(1)
    adam(
        trained.parameters, trained.gradient, trained.first, trained.second, int(trained.steps[0]), rate, 1.0, epsilon
    )  # fmt: skip


@jit
def train(critic, policy, target, sizes, actor_sizes, batches, noise, settings, memory, metrics):
    """Takes a gradient step for each batch of the rows given.

    Args:
        critic, policy: `Trained`, changed; the policy's with log α at the end where that is adjusted.
        target: parameters of the target critics, changed.
        sizes: of a critic, from F + D to 1. actor_sizes: from F to 2·D.
        batches: `ActorCriticBatches`.
        noise: `[steps, 2, batch, D]` ε of ã, and of a′.
        settings: `ActorCriticSettings`.
        memory: `ActorCriticMemory`; see `working_memory`.
        metrics: `[steps, 5]` of each step critic loss, actor loss, mean Q(s, a), entropy, α; written.

    Returns:
        ALL_STEPS, or whose gradient was not finite (nothing after it was done); the norm and the loss there.
    """
    W, G = critic.parameters, critic.gradient
    rate, epsilon, tau, low, high, fixed, goal = settings
    X, drawn, log_probs, targets, H, H_critic, Q, slopes, D, of_outputs, of_actions = memory
    batch, size = drawn.shape
    count = policy.parameters.size - (0 if fixed >= 0 else 1)
    actor, of_actor = policy.parameters[:count], policy.gradient[:count]
    share, keep = FLOAT(1.0 / batch), FLOAT(1.0 - tau)
    for k in range(noise.shape[0]):
        begin, end = k * batch, (k + 1) * batch
        features, actions = batches.features[begin:end], batches.actions[begin:end]
        rewards, discounts = batches.rewards[begin:end], batches.discounts[begin:end]
        next_features = batches.next_features[begin:end]
        alpha = FLOAT(fixed if fixed >= 0 else math.exp(policy.parameters[count]))

        # critics
        squashed_gaussian(forward(actor, actor_sizes, RELU, next_features, H), noise[k, 1], low, high, drawn, log_probs)
        side_by_side(next_features, drawn, X)
        q_values(target, sizes, X, H_critic, Q)
        for i in range(batch):
            value, _ = lesser(Q[0, i], Q[1, i])
            targets[i] = rewards[i] + discounts[i] * (value - alpha * log_probs[i])
        side_by_side(features, actions, X)
        q_values(W, sizes, X, H_critic, Q)
        loss, total = 0.0, 0.0
        for which in range(2):
            for i in range(batch):
                error = Q[which, i] - targets[i]
                loss += 0.5 * error * error * share
                total += Q[which, i]
                slopes[which, i, 0] = error * share
            critic_backward(W, sizes, which, X, H_critic[which], slopes[which], G, D, of_actions[which, :0])
        length = norm(G)
        if not np.isfinite(length):
            return CRITIC, length, loss
        take_step(critic, rate, epsilon)
        metrics[k, 0], metrics[k, 2], metrics[k, 4] = loss, total / (2 * batch), alpha

        # policy and log α
        outputs = forward(actor, actor_sizes, RELU, features, H)
        squashed_gaussian(outputs, noise[k, 0], low, high, drawn, log_probs)
        side_by_side(features, drawn, X)
        q_values(W, sizes, X, H_critic, Q)
        loss, mean = 0.0, 0.0
        for i in range(batch):
            value, part = lesser(Q[0, i], Q[1, i])
            loss += (alpha * log_probs[i] - value) * share
            mean += log_probs[i] * share
            slopes[0, i, 0], slopes[1, i, 0] = -part * share, (part - FLOAT(1)) * share
        for which in range(2):
            critic_backward(W, sizes, which, X, H_critic[which], slopes[which], G[:0], D, of_actions[which])
        for i in range(batch):
            for d in range(size):
                a, raw = drawn[i, d], outputs[i, size + d]
                of_value = (of_actions[0, i, d] + of_actions[1, i, d]) * (FLOAT(1) - a * a)
                slope = FLOAT(2) * share * alpha * a + of_value
                of_outputs[i, d] = slope
                inside = low <= raw and raw <= high
                of_outputs[i, size + d] = slope * math.exp(raw) * noise[k, 0, i, d] - alpha * share if inside else 0.0
        backward(actor, actor_sizes, RELU, features, H, of_outputs, of_actor, D)
        metrics[k, 1], metrics[k, 3] = loss, -mean
        if fixed < 0:
            policy.gradient[count] = -(mean + goal)
        length = norm(policy.gradient)
        if not np.isfinite(length):
            return POLICY, length, loss
        take_step(policy, rate, epsilon)

        for i in range(np.uint64(target.size)):
            target[i] = W[i] - keep * (W[i] - target[i])  # with τ = 1 a copy, exactly
    return ALL_STEPS, 0.0, 0.0


def working_memory(sizes: NDArray[np.int64], actor_sizes: NDArray[np.int64], batch: int) -> ActorCriticMemory:
    """Returns what `train` needs to work: arrays for `batch` rows."""
    size, widest = actor_sizes[-1] // 2, max(int(sizes.max()), int(actor_sizes.max()))
    shapes = (
        (batch, sizes[0]), (batch, size), (batch,), (batch,), (space(actor_sizes, batch),), (2, space(sizes, batch)),
        (2, batch), (2, batch, 1), (2, batch * widest), (batch, 2 * size), (2, batch, size),
    )  # fmt: skip
    return ActorCriticMemory(*(np.empty(shape, np.float32) for shape in shapes))
