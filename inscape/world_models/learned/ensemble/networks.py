"""K probabilistic networks that predict numbers (mean and variance) and classes, fitted to resampled transitions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from inscape.errors import UsageError
from inscape.world_models.learned.ensemble.evidence import Regression, regress
from inscape.world_models.learned.ensemble.settings import EnsembleSettings
from inscape.world_models.learned.ensemble.training import Likelihood, Rows, descend
from inscape.world_models.networks.kernels import features as kernels

CHECK_EVERY = 10
MOST_TRIED = 32
"""Inputs up to which each is tried without."""
INDIFFERENT = 3.0
"""Evidence, in nats, that the simpler may lack."""
WIDEST = 2.0 * np.log(10.0)  # ten standard deviations of the targets


@dataclass(frozen=True, eq=False)
class Prediction:
    """What members predict for N rows.

    Attributes:
        mean, variance: `[N, C]` of the numbers, in their own units.
        probs: for each of J variables `[N, classes]`.
    """

    mean: np.ndarray
    variance: np.ndarray
    probs: list[np.ndarray]


@dataclass(frozen=True, eq=False)
class Fitted:
    """How a fit went.

    Attributes:
        left_out: `[K, N]` bool, rows that a member did not learn from.
        updates: `[K]` gradient steps each member kept.
    """

    left_out: np.ndarray
    updates: np.ndarray


class Networks:
    """Members of one shape, their parameters side by side.

    Args:
        settings: see `EnsembleSettings`.
        inputs: I.
        numbers: C.
        classes: `[J]` how many each categorical variable has.
    """

    ARRAYS = ("parameters", "input_mean", "input_scale", "target_mean", "target_scale")

    def __init__(self, settings: EnsembleSettings, inputs: int, numbers: int, classes: np.ndarray) -> None:
        self.settings, self.inputs, self.numbers = settings, inputs, numbers
        self.classes = np.asarray(classes, np.int64)
        self.count = 2 * numbers + int(self.classes.sum())
        size = kernels.parameter_count(inputs, settings.features, self.count)
        self.parameters = np.zeros((settings.members, size))
        self.input_mean, self.input_scale = np.zeros(inputs), np.ones(inputs)
        self.target_mean, self.target_scale = np.zeros(numbers), np.ones(numbers)
        self._rates = self._learning_rates(size)

    def _learning_rates(self, size: int) -> tuple[np.ndarray, np.ndarray]:
        s, rates = self.settings, np.empty(size)
        slow, fast = s.learning_rate / 20.0, s.learning_rate
        parts = kernels.blocks(rates, self.inputs, s.features, self.count)
        parts[0][:] = parts[1][:] = slow
        for part in parts[2:]:
            part[...] = fast
            part[..., : self.numbers] = slow
        heads = rates.copy()
        parts = kernels.blocks(heads, self.inputs, s.features, self.count)
        parts[0][:], parts[1][:] = 0.0, 0.0
        for part in parts[2:]:
            part[..., : self.numbers] = 0.0
        return heads, rates

    # ----------------------------------------------------------------------------------------------------- fitting

    def fit(self, X: np.ndarray, targets: np.ndarray, classes: np.ndarray, rng: np.random.Generator) -> Fitted:
        """Fits all members anew.

        Args:
            X: `[N, I]`. targets: `[N, C]`. classes: `[N, J]` int64.
            rng: draws features, resamples and the order of gradient steps.
        """
        s, rows = self.settings, len(X)
        self.input_mean, self.input_scale = X.mean(axis=0), _scale(X)
        self.target_mean, self.target_scale = targets.mean(axis=0), _scale(targets)
        x, y = self._normal(X), (targets - self.target_mean) / self.target_scale
        whole = Rows(x, y, classes)
        left_out, updates = np.zeros((s.members, rows), np.bool_), np.zeros(s.members, np.int64)
        for k in range(s.members):
            if s.bootstrap:
                drawn = rng.integers(rows, size=rows)
                left_out[k] = True
                left_out[k, drawn] = False
            else:
                order = rng.permutation(rows)
                aside = int(s.held_out * rows) if rows > 1 else 0
                left_out[k, order[:aside]] = True
                drawn = order[aside:]
            self._solve(k, x[drawn], y[drawn], classes[drawn], rng)
            updates[k] = self._train(k, whole, drawn, left_out[k], rng) if s.updates else 0
        if not np.isfinite(self.parameters).all():
            raise UsageError("an ensemble whose parameters are no longer finite", expected="a lower learning_rate")
        return Fitted(left_out, updates)

    def _normal(self, X: np.ndarray) -> np.ndarray:
        return np.asarray((X - self.input_mean) / self.input_scale)

    def _solve(self, k: int, x: np.ndarray, y: np.ndarray, classes: np.ndarray, rng: np.random.Generator) -> None:
        """Draws a member's sines, and solves for the means; logits begin at the frequencies of the classes.

        Inputs that the evidence does not ask for are left out of the sines, as in automatic relevance determination
        (Neal 1996): where nothing was seen along them, only the linear part tells what they do.
        """
        s = self.settings
        varying = max(1, int((np.ptp(x, axis=0) > 0).sum())) if len(x) else 1
        directions = rng.standard_normal((self.inputs, s.features))
        phases = rng.uniform(0.0, 2.0 * np.pi, s.features)
        regression: Regression | None = None
        frequencies = directions / (s.length_scales[0] * np.sqrt(varying))
        for scale in s.length_scales if self.numbers else ():
            tried = directions / (scale * np.sqrt(varying))
            found = self._regress(x, y, tried, phases)
            if regression is None or found.log_evidence > regression.log_evidence:
                regression, frequencies = found, tried
        for i in range(self.inputs) if regression is not None and self.inputs <= MOST_TRIED else ():
            tried = frequencies.copy()
            tried[i] = 0.0
            found = self._regress(x, y, tried, phases)
            if regression is not None and found.log_evidence > regression.log_evidence - INDIFFERENT:
                regression, frequencies = found, tried
        parts = kernels.blocks(self.parameters[k], self.inputs, s.features, self.count)
        parts[0][:], parts[1][:] = frequencies, phases
        for part in parts[2:]:
            part[...] = 0.0
        if regression is not None:
            c = self.numbers
            parts[2][:, :c], parts[3][:, :c] = regression.of_features, regression.of_inputs
            parts[4][:c], parts[4][c : 2 * c] = regression.constants, np.log(regression.variance)
        at = 2 * self.numbers
        for j, size in enumerate(self.classes):
            seen = np.bincount(classes[:, j], minlength=size) + 0.5
            parts[4][at : at + size] = np.log(seen / seen.sum())
            at += size

    def _regress(self, x: np.ndarray, y: np.ndarray, frequencies: np.ndarray, phases: np.ndarray) -> Regression:
        return regress(np.sin(x @ frequencies + phases), x, y, float(self.settings.least_std) ** 2)

    def _train(self, k: int, rows: Rows, drawn: np.ndarray, left_out: np.ndarray, rng: np.random.Generator) -> int:
        """Tunes a member by gradient steps: variances and logits, then everything; each stopped by what is left out."""
        s, W = self.settings, self.parameters[k]
        own, held_out = rows[drawn], rows[left_out]
        self._noise_of_left_out(k, held_out)
        size = min(s.batch_size, len(own))
        decay = s.weight_decay * s.features / 2.0 / len(own)
        likelihood = Likelihood(s.features, self.classes, 2.0 * np.log(s.least_std), WIDEST, s.beta, decay)
        steps = 0
        for rates in self._rates if s.tune else self._rates[:1]:
            if not rates[0]:  # the sines stay
                own, held_out = own.with_hidden(W, s.features), held_out.with_hidden(W, s.features)
            else:
                own, held_out = rows[drawn], rows[left_out]
            if size < len(own):
                batches = rng.integers(len(own), size=(s.updates, size))
            else:
                batches = np.broadcast_to(np.arange(size), (s.updates, size))
            steps += descend(W, likelihood, own, held_out, batches, rates, CHECK_EVERY, s.patience)
        return steps

    def _noise_of_left_out(self, k: int, held_out: Rows) -> None:
        """Raises a member's variances to what it misses of rows it did not learn from."""
        s, c = self.settings, self.numbers
        if not len(held_out) or not c:
            return
        parts = kernels.blocks(self.parameters[k], self.inputs, s.features, self.count)
        hidden = np.sin(held_out.x @ parts[0] + parts[1])
        missed = held_out.targets - (hidden @ parts[2] + held_out.x @ parts[3] + parts[4])[:, :c]
        found = np.log((missed**2).mean(axis=0) + s.least_std**2)
        parts[4][c : 2 * c] = np.maximum(parts[4][c : 2 * c], found)

    # -------------------------------------------------------------------------------------------------- predicting

    def predict(self, member: np.ndarray, X: np.ndarray) -> Prediction:
        """Returns what member `member[n]` predicts for row n of `X [N, I]`."""
        s, c = self.settings, self.numbers
        out = np.empty((len(X), self.count))
        kernels.outputs(self.parameters, member, np.ascontiguousarray(self._normal(X)), s.features, out)
        log_variance = out[:, c : 2 * c].clip(2.0 * np.log(s.least_std), WIDEST)
        probs, at = [], 2 * c
        for size in self.classes:
            logits = out[:, at : at + size]
            each = np.exp(logits - logits.max(axis=1, keepdims=True))
            probs.append(each / each.sum(axis=1, keepdims=True))
            at += size
        return Prediction(
            out[:, :c] * self.target_scale + self.target_mean, np.exp(log_variance) * self.target_scale**2, probs
        )

    def roll(
        self, member: np.ndarray, flat: np.ndarray, actions: np.ndarray, noise: np.ndarray, low: np.ndarray,
        high: np.ndarray,
    ) -> np.ndarray:  # fmt: skip
        """Returns `[H, N, C]` numbers along sequences of actions, whose changes these networks predict.

        Args: see `kernels.roll`.
        """
        s, after = self.settings, np.empty((actions.shape[1], *flat.shape))
        kernels.roll(
            self.parameters, np.ascontiguousarray(member), np.ascontiguousarray(flat), np.ascontiguousarray(actions),
            noise, (self.input_mean, self.input_scale, self.target_mean, self.target_scale), (low, high), s.features,
            2.0 * np.log(s.least_std), WIDEST, after,
        )  # fmt: skip
        return after

    # ----------------------------------------------------------------------------------------------------- storing

    def state_dict(self) -> dict[str, Any]:
        """Returns parameters and scales."""
        return {name: getattr(self, name).copy() for name in self.ARRAYS}

    def load_state_dict(self, state: dict[str, Any], name: str) -> None:
        """Replaces what was learned.

        Raises:
            UsageError: arrays of other shapes; the field is named.
        """
        for field in self.ARRAYS:
            own, given = getattr(self, field), np.asarray(state.get(field))
            if given.shape != own.shape or given.dtype.kind != "f":
                found = f"shape {given.shape}" if field in state else "nothing"
                raise UsageError(
                    f"{name}.{field}: {found}", expected=f"shape {own.shape}, as of this world and these settings"
                )
            setattr(self, field, given.astype(own.dtype).copy())


def _scale(values: np.ndarray) -> np.ndarray:
    """Returns `[D]` standard deviations; 1 for what does not vary beyond rounding."""
    spread, size = values.std(axis=0), np.abs(values).max(axis=0, initial=0.0)
    return np.asarray(np.where(spread > 1e-7 * np.maximum(size, 1e-12), spread, 1.0))
