"""The likelihood of a member, its gradient, and gradient steps until held-out rows say stop.

These are products of matrices and functions of whole arrays, which NumPy takes as fast as compiled code would; only
what a planner asks for row by row is compiled (`networks.kernels.features`).

Sources: a network's mean and variance by their likelihood, Nix & Weigend (1994), "Estimating the mean and variance of
the target probability distribution"; gradients weighed by the variance to the power β, Seitzer, Tavakoli, Antic &
Martius (2022), "On the pitfalls of heteroscedastic uncertainty estimation", ICLR, eq. 5; Adam, Kingma & Ba (2015),
ICLR, algorithm 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from inscape.world_models.networks.kernels.features import blocks

LOG_2_PI = float(np.log(2.0 * np.pi))


@dataclass(frozen=True, eq=False)
class Rows:
    """What a member learns from, for each row its inputs, numbers and classes.

    Attributes:
        x: `[N, I]`. targets: `[N, C]`. classes: `[N, J]` int64.
        hidden: `[N, F]` sines, where they do not change while it learns; None: they do.
    """

    x: np.ndarray
    targets: np.ndarray
    classes: np.ndarray
    hidden: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, rows: np.ndarray) -> Rows:
        hidden = None if self.hidden is None else self.hidden[rows]
        return Rows(self.x[rows], self.targets[rows], self.classes[rows], hidden)

    def with_hidden(self, W: np.ndarray, features: int) -> Rows:
        """Returns the rows with the sines of parameters `W`, where these stay."""
        at = self.x.shape[1] * features
        angle = self.x @ W[:at].reshape(-1, features) + W[at : at + features]
        return Rows(self.x, self.targets, self.classes, np.sin(angle))


@dataclass(frozen=True, eq=False)
class Likelihood:
    """The negative log-likelihood of rows, in nats, and its gradient.

    Attributes:
        features: F. sizes: `[J]` classes of each categorical variable.
        least, most: of the logarithm of a variance; beyond them it stays there.
        beta: gradients of means and variances are weighed by the variance to this power.
        decay: precision of the prior over the weights of logits, a row.
    """

    features: int
    sizes: np.ndarray
    least: float
    most: float
    beta: float = 0.0
    decay: float = 0.0

    def loss(self, W: np.ndarray, rows: Rows) -> float:
        """Returns the mean over rows under parameters `W [P]`."""
        count = 2 * rows.targets.shape[1] + int(self.sizes.sum())
        frequencies, phases, of_sines, of_inputs, constants = blocks(W, rows.x.shape[1], self.features, count)
        hidden = np.sin(rows.x @ frequencies + phases) if rows.hidden is None else rows.hidden
        out = hidden @ of_sines + rows.x @ of_inputs + constants
        return self._loss_and_delta(out, rows)[0]

    def gradient(self, W: np.ndarray, rows: Rows, G: np.ndarray) -> float:
        """Returns the loss, and fills `G`, laid out like `W`; 0 for frequencies and phases of sines that stay."""
        count, first = 2 * rows.targets.shape[1] + int(self.sizes.sum()), 2 * rows.targets.shape[1]
        frequencies, phases, of_sines, of_inputs, constants = blocks(W, rows.x.shape[1], self.features, count)
        to_frequencies, to_phases, to_sines, to_inputs, to_constants = blocks(G, rows.x.shape[1], self.features, count)
        angle = rows.x @ frequencies + phases if rows.hidden is None else rows.hidden
        hidden = np.sin(angle) if rows.hidden is None else rows.hidden
        loss, delta = self._loss_and_delta(hidden @ of_sines + rows.x @ of_inputs + constants, rows)
        np.matmul(hidden.T, delta, out=to_sines)
        np.matmul(rows.x.T, delta, out=to_inputs)
        to_constants[:] = delta.sum(axis=0)
        if self.decay > 0.0:
            to_sines[:, first:] += (self.decay) * of_sines[:, first:]
            to_inputs[:, first:] += (self.decay) * of_inputs[:, first:]
        if rows.hidden is not None:
            to_frequencies[:], to_phases[:] = 0.0, 0.0
        else:
            before = (delta @ of_sines.T) * np.cos(angle)
            np.matmul(rows.x.T, before, out=to_frequencies)
            to_phases[:] = before.sum(axis=0)
        return loss

    def _loss_and_delta(self, out: np.ndarray, rows: Rows) -> tuple[float, np.ndarray]:
        """Returns the mean loss and its derivative by `out [N, outputs]`, over N."""
        count, width = out.shape[0], rows.targets.shape[1]
        delta, total = np.empty_like(out), 0.0
        if width:
            wide = out[:, width : 2 * width]
            log_variance = wide.clip(self.least, self.most)
            precision = np.exp(-log_variance)
            error = out[:, :width] - rows.targets
            squares = error * error * precision
            total += 0.5 * float((squares + log_variance).sum(dtype=np.float64)) + 0.5 * LOG_2_PI * error.size
            weight = np.exp((self.beta) * log_variance) * (1.0 / count)
            delta[:, :width] = weight * error * precision
            slope = 0.5 * (1.0 - squares)
            stays = ((wide <= self.least) & (slope > 0.0)) | ((wide >= self.most) & (slope < 0.0))
            delta[:, width : 2 * width] = np.where(stays, 0.0, weight * slope)
        at, numbers = 2 * width, np.arange(count)
        for j, size in enumerate(self.sizes):
            logits = out[:, at : at + size]
            shifted = logits - logits.max(axis=1, keepdims=True)
            each = np.exp(shifted)
            summed = each.sum(axis=1)
            total += float((np.log(summed) - shifted[numbers, rows.classes[:, j]]).sum(dtype=np.float64))
            each /= summed[:, None]
            each[numbers, rows.classes[:, j]] -= 1.0
            delta[:, at : at + size] = each / (count)
            at += size
        return total / count, delta


def descend(
    W: np.ndarray, likelihood: Likelihood, own: Rows, held_out: Rows, batches: np.ndarray, rates: np.ndarray,
    check_every: int, patience: int,
) -> int:  # fmt: skip
    """Takes gradient steps by Adam; leaves in `W [P]` what was best on held-out rows, or, without any, what was last.

    Args:
        batches: `[updates, size]` int64, which of the own rows each step is of.
        rates: `[P]` learning rate of each parameter; 0: it stays.
        check_every: steps between looks at the held-out rows.
        patience: looks without improvement after which it stops.

    Returns:
        Steps taken to what is kept; 0: held-out rows were predicted best before.
    """
    G, M, V = np.zeros_like(W), np.zeros_like(W), np.zeros_like(W)
    moves = np.flatnonzero(rates)
    best = likelihood.loss(W, held_out) if len(held_out) else np.nan
    kept, best_step, waited = W.copy(), 0, 0
    for step in range(1, len(batches) + 1):
        batch = own if batches.shape[1] == len(own) else own[batches[step - 1]]
        likelihood.gradient(W, batch, G)
        M += 0.1 * (G - M)
        V += 0.001 * (G * G - V)
        root = 1.0 / np.sqrt(1.0 - 0.999**step)
        move = rates * M * (1.0 / (1.0 - 0.9**step)) / (np.sqrt(V) * root + (1e-8))
        W[moves] -= move[moves]
        if len(held_out) and step % check_every == 0:
            now = likelihood.loss(W, held_out)
            if now < best:
                best, best_step, waited = now, step, 0
                kept[:] = W
            else:
                waited += 1
                if waited >= patience:
                    break
    if len(held_out):
        W[:] = kept
        return best_step
    return len(batches)
