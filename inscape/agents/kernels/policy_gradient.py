"""The update of PPO and A2C with perceptrons, compiled: advantages, minibatches, loss, gradient and optimiser.

Equal to the update through torch on the same batch (tests/agents/test_on_policy.py, test_compiled.py). Rows are steps
of copies, `[N]`; `networks` is (parameters, actor_sizes, critic_sizes, activation, layer), the actor's parameters
first, then the critic's, then the log standard deviations of a Gaussian policy.

Features are numbers, `X [N, D]` float32; or one-hot, `X [N, K]` int64, the columns of the ones. Then `layer` is that of
`kernels.one_hot`, with the first weights of both networks, the actor's before the critic's in each row, and the
parameters are all others. Else it has an empty vector instead of the rows: `embedding.ndim` is 1 and not 3, by which
only the code for one of the two is compiled.
"""

from __future__ import annotations

# mypy: disable-error-code="no-untyped-def, untyped-decorator"
import numpy as np

from inscape.envs.compile.kernel_cache import shared_uniform
from inscape.envs.compile.switch import kernel_math
from inscape.world_models.networks.kernels.gaussian import HALF_LOG_2_PI, log_density
from inscape.world_models.networks.kernels.one_hot import (
    backward_columns,
    forward_columns,
    move_visited,
    norm_with_rows,
    visit,
)
from inscape.world_models.networks.kernels.perceptron import (
    adam,
    backward,
    forward,
    inline,
    jit,
    norm,
    only_inside,
    parameter_count,
    rmsprop,
)

math = kernel_math()

uniform = shared_uniform()
ADAM, RMSPROP = 0, 1
ROUNDING, SAMPLE = 1e-6, 32  # as in `inscape.agents.learning.normalization`
# columns of the table of what a gradient step found
POLICY_LOSS, VALUE_LOSS, ENTROPY, KL, CLIPPED, NORM = 0, 1, 2, 3, 4, 5
PARTS = 6


@jit
def values_of(critic, sizes, activation, X, H, values):
    """Fills `values [N]` for the features `X [N, D]`, a piece at a time, so that working memory `H` stays near."""
    piece = len(H) // sizes[1:].sum()
    for start in range(0, X.shape[0], piece):
        stop = min(X.shape[0], start + piece)
        outputs = forward(critic, sizes, activation, X[start:stop], H)
        for k in range(stop - start):
            values[start + k] = outputs[k, 0]


@jit
def values_of_columns(embedding, offset, critic, sizes, activation, X, H, values):
    """As `values_of`, for one-hot features `X [N, K]` whose rows are up to date."""
    piece = len(H) // sizes[1:].sum()
    for start in range(0, X.shape[0], piece):
        stop = min(X.shape[0], start + piece)
        values[start:stop] = forward_columns(embedding, offset, critic, sizes, activation, X[start:stop], H)[:, 0]


@jit
def advantages(rewards, values, cut_values, terminated, truncated, gamma, lam, out):
    """Fills `out [T, B]` with generalised advantages (Schulman et al. 2016, equation 16); `values [T + 1, B]`."""
    for i in range(rewards.shape[1]):
        running = 0.0
        for t in range(rewards.shape[0] - 1, -1, -1):
            follows = values[t + 1, i]
            if terminated[t, i]:
                follows, running = 0.0, 0.0
            elif truncated[t, i]:
                follows, running = cut_values[t, i], 0.0
            running = rewards[t, i] + gamma * follows - values[t, i] + gamma * lam * running
            out[t, i] = running


@jit
def shuffle(order, key, clock):
    """Puts `order` into random order, by numbers `clock` and following of stream `key` (Fisher & Yates 1938)."""
    for k in range(len(order) - 1, 0, -1):
        j = int(uniform(key, clock + k) * (k + 1))
        order[k], order[j] = order[j], order[k]


@jit
def weigh_actions(A, R, X, normalize, out):
    """Fills `out` with the entries `X` of the advantages `A`, as `torch_learner.weights_of_actions` has them: with
    `normalize` shifted and scaled to mean 0 and (unbiased) deviation 1; 0 where they, or the returns `R`, do not differ
    by more than rounding."""
    n = len(X)
    mean, largest, low, high = 0.0, 0.0, R[X[0]], R[X[0]]
    for k in range(n):
        advantage, total = A[X[k]], R[X[k]]
        out[k] = advantage
        mean += advantage
        largest = max(largest, abs(advantage))
        low, high = min(low, total), max(high, total)
    scale = ROUNDING * max(abs(low), abs(high), largest)
    says_something = high - low > scale or (not normalize and n < SAMPLE)
    if normalize:
        mean /= n
        squares = 0.0
        for k in range(n):
            squares += (out[k] - mean) ** 2
        deviation = math.sqrt(squares / (n - 1))
        says_something = says_something and deviation > scale
        for k in range(n):
            out[k] = (out[k] - mean) / (deviation + 1e-8)
    if not says_something:
        out[:n] = 0.0


@inline
def surrogate(log_prob, old_log_prob, advantage, clip, weight, parts):
    """Adds a row to the parts of the loss; returns by how much its loss falls with log π(a|s): ratio · advantage,
    nothing where the ratio is clipped (A2C, whose `clip` is infinite, has no ratio: 1)."""
    if math.isinf(clip):
        parts[POLICY_LOSS] -= weight * advantage * log_prob
        return advantage
    log_ratio = log_prob - old_log_prob
    ratio = math.exp(log_ratio)
    limited = min(max(ratio, 1.0 - clip), 1.0 + clip)
    parts[POLICY_LOSS] -= weight * min(ratio * advantage, limited * advantage)
    parts[KL] += weight * (ratio - 1.0 - log_ratio)
    parts[CLIPPED] += weight * (abs(ratio - 1.0) > clip)
    return ratio * advantage if ratio * advantage <= limited * advantage else 0.0


@jit
def categorical_gradient(logits, batch, picked, A, clip, entropy_coef, by_logits, parts):
    """Fills the derivatives of the policy's loss by logits `[n, A]`, and its parts.

    log π(a) has by logit z_j the derivative 1[j = a] − π_j, the entropy H has −π_j·(log π_j + H).
    """
    _, masks, actions, old_log_probs, _, _ = batch
    n, width = logits.shape
    masked = masks.shape[1] > 0
    weight = 1.0 / n
    p, log_p = np.empty(width), np.empty(width)
    for row in range(n):
        at = picked[row]
        largest, total, entropy = -math.inf, 0.0, 0.0
        for j in range(width):
            if not masked or masks[at, j]:
                largest = max(largest, float(logits[row, j]))
        for j in range(width):
            p[j] = math.exp(logits[row, j] - largest) if not masked or masks[at, j] else 0.0
            total += p[j]
        for j in range(width):
            p[j] /= total
            log_p[j] = logits[row, j] - largest - math.log(total)
            entropy -= p[j] * log_p[j] if p[j] > 0.0 else 0.0
        chosen = actions[at]
        slope = surrogate(log_p[chosen], old_log_probs[at], A[row], clip, weight, parts)
        for j in range(width):
            by = slope * (p[j] - (1.0 if j == chosen else 0.0))
            by += entropy_coef * p[j] * (log_p[j] + entropy) if p[j] > 0.0 else 0.0
            by_logits[row, j] = weight * by
        parts[ENTROPY] += weight * entropy


@jit
def gaussian_gradient(means, log_std, batch, picked, A, clip, entropy_coef, by_means, by_log_std, parts):
    """Fills the derivatives of the policy's loss by means `[n, D]` and by log standard deviations `[D]`, and its parts.

    With z = (a − μ)/σ, log π(a) has by μ the derivative z/σ and by log σ z² − 1; the entropy is Σ log σ and a constant.
    """
    _, _, actions, old_log_probs, _, _ = batch
    n, width = means.shape
    weight = 1.0 / n
    by, inverse = np.empty(width), np.empty(width)
    entropy = 0.0
    for d in range(width):
        inverse[d] = math.exp(-log_std[d])
        by[d] = -entropy_coef
        entropy += log_std[d] + HALF_LOG_2_PI + 0.5
    for row in range(n):
        at = picked[row]
        log_prob = log_density(actions[at], means[row], log_std)
        slope = weight * surrogate(log_prob, old_log_probs[at], A[row], clip, weight, parts)
        for d in range(width):
            z = (actions[at, d] - means[row, d]) * inverse[d]
            by_means[row, d] = -slope * z * inverse[d]
            by[d] -= slope * (z * z - 1.0)
    for d in range(width):
        by_log_std[d] = by[d]
    parts[ENTROPY] = entropy


@jit
def head_gradient(actions, outputs, log_std, batch, picked, A, clip, entropy_coef, by_outputs, by_log_std, parts):
    """The gradient of the family of distributions that the batch's `actions` are of: only that one is compiled."""
    if actions.ndim == 1:
        categorical_gradient(outputs, batch, picked, A, clip, entropy_coef, by_outputs, parts)
    else:
        gaussian_gradient(outputs, log_std, batch, picked, A, clip, entropy_coef, by_outputs, by_log_std, parts)


@jit
def value_gradient(values, returns, picked, value_coef, by_values, parts):
    """Fills the derivatives of the loss by values `[n, 1]`, and its part."""
    n = len(picked)
    weight = 1.0 / n
    for row in range(n):
        error = values[row, 0] - returns[picked[row]]
        by_values[row, 0] = weight * 2.0 * value_coef * error
        parts[VALUE_LOSS] += weight * error * error


@inline
def own_parameters(embedding, sizes):
    """Returns how many parameters a network has in the vector of parameters."""
    total = parameter_count(sizes)
    if embedding.ndim == 3:
        total -= sizes[0] * sizes[1]
    return total


@inline
def prepare(embedding, layer, x, visits):
    """Makes the first weights ready for a minibatch of features: of one-hot ones, those that are looked up."""
    if embedding.ndim == 3:
        visit(layer, x, visits)


@inline
def network_forward(embedding, offset, W, sizes, activation, x, H):
    """Forward, of features of either kind."""
    if embedding.ndim == 3:
        return forward_columns(embedding, offset, W, sizes, activation, x, H)
    return forward(W, sizes, activation, x, H)


@inline
def network_backward(embedding, offset, W, sizes, activation, x, H, delta, G, D, visits):
    """Backward, of features of either kind."""
    if embedding.ndim == 3:
        backward_columns(offset, W, sizes, activation, x, H, delta, G, D, visits)
    else:
        backward(W, sizes, activation, x, H, delta, G, D)


@inline
def gradient_norm(embedding, G, visits):
    """Returns the Euclidean norm of all gradients."""
    if embedding.ndim == 3:
        return norm_with_rows(G, visits)
    return norm(G)


@inline
def move_first(embedding, layer, visits, rate, scale):
    """Takes the optimiser's step with the weights that are looked up, where there are such."""
    if embedding.ndim == 3:
        move_visited(layer, visits, rate, scale)


@only_inside
def gradient(networks, batch, picked, normalize, clip, value_coef, entropy_coef, memory, G, parts):
    """Fills `G` with the gradient of the loss over the rows `picked` of the batch, unclipped, and `parts`.

    The loss is that of `ppo_loss`, of `a2c_loss` where `clip` is infinite.

    Args:
        batch: (X, masks `[N, A]` or `[N, 0]`, actions `[N]` or `[N, D]`, old log-probabilities, advantages,
            returns `[N]`).
        memory: working memory: features, both networks' outputs, derivatives, advantages; the visits of
            `kernels.one_hot`.
    """
    W, actor_sizes, critic_sizes, activation, layer = networks
    features, H, K, by_outputs, by_values, D, A, visits = memory
    embedding = layer[0]
    n = len(picked)
    x, a = features[:n], A[:n]
    for k in range(n):
        row = picked[k]
        for j in range(x.shape[1]):
            x[k, j] = batch[0][row, j]
    weigh_actions(batch[4], batch[5], picked, normalize, a)
    split = own_parameters(embedding, actor_sizes)
    end = split + own_parameters(embedding, critic_sizes)
    prepare(embedding, layer, x, visits)
    outputs = network_forward(embedding, 0, W[:split], actor_sizes, activation, x, H)
    values = network_forward(embedding, actor_sizes[1], W[split:end], critic_sizes, activation, x, K)
    parts[:] = 0.0
    head_gradient(
        batch[2], outputs, W[end:], batch, picked, a, clip, entropy_coef, by_outputs[:n], G[end:], parts
    )  # fmt: skip
    value_gradient(values, batch[5], picked, value_coef, by_values[:n], parts)
    network_backward(embedding, 0, W[:split], actor_sizes, activation, x, H, by_outputs[:n], G[:split], D, visits)
    network_backward(
        embedding, actor_sizes[1], W[split:end], critic_sizes, activation, x, K, by_values[:n], G[split:end], D, visits
    )  # fmt: skip


@jit
def update(networks, moments, batch, order, memory, G, table, settings, passes, taken, key, clock):
    """Runs the gradient steps of one update.

    Args:
        moments: (first, second) of the optimiser, of the vector of parameters.
        order: `[N]` int64, all rows.
        table: `[minibatches, PARTS]`, filled with what the steps of the last pass found.
        settings: (rate, clip, value_coef, entropy_coef, max_norm, epsilon, target_kl, decay).
        passes: (epochs, rows of a minibatch, which optimiser, whether to normalise advantages).
        taken: gradient steps taken in the agent's life.
        key, clock: of the random order.

    Returns:
        gradient steps taken now; −1 where the gradient was not finite, and `G`, with the visits, is it.
    """
    layer, visits = networks[4], memory[7]
    rate, clip, value_coef, entropy_coef, max_norm, epsilon, target_kl, decay = settings
    epochs, step, optimizer, normalize = passes
    size, done = len(order), 0
    if size % step == 1 and size > step:  # a single row has no deviation to be divided by
        size -= 1
    for epoch in range(epochs):
        shuffle(order, key, clock + epoch * len(order))
        kl, count = 0.0, 0
        for start in range(0, size, step):
            stop = min(size, start + step)
            parts = table[count]
            gradient(
                networks, batch, order[start:stop], normalize, clip, value_coef, entropy_coef, memory, G, parts
            )  # fmt: skip
            length = gradient_norm(layer[0], G, visits)
            parts[NORM] = length
            if not math.isfinite(length):
                return -1
            scale = min(1.0, max_norm / (length + 1e-6))
            done += 1
            if optimizer == ADAM:
                adam(networks[0], G, moments[0], moments[1], taken + done, rate, scale, epsilon)
            else:
                rmsprop(networks[0], G, moments[1], rate, scale, decay, epsilon)
            move_first(layer[0], layer, visits, rate, scale)
            kl += parts[KL]
            count += 1
        if kl / count > target_kl:
            break
    return done
