"""Keeping what was learned: a quadratic penalty on leaving old weights, by how much the old task depends on each.

After a task with the likelihood L(θ) = Σ_n log p(y_n | x_n, θ) and its best weights θ*, a second order expansion gives
log L(θ) ≈ log L(θ*) − ½ (θ − θ*)ᵀ F (θ − θ*), F the Fisher information *summed over the data of the old task*. The loss
of the new task plus that quadratic is then that of both tasks together: exactly, where the likelihood is
linear-Gaussian and F is the full expected information; nearly, and in memory linear in the weights, with its diagonal.

- expected: E over y ~ p(y | x, θ*) of the squared score. `expected_fisher`, for categorical and Gaussian predictions.
- empirical: the squared score at the labels that were seen. `empirical_fisher`; cheap, and not the same (Kunstner et
  al. 2019): at the optimum of a regression it is larger where the residuals are.

Sources: Kirkpatrick et al. (2017), Overcoming catastrophic forgetting, arXiv:1612.00796, equation 3; Huszár (2018),
arXiv:1712.03847: after several tasks one quadratic, about the newest optimum; Kunstner et al. (2019), arXiv:1905.12558.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from inscape.errors import UsageError

Form = Literal["diagonal", "full"]
FORMS = ("diagonal", "full")
MOST_FULL = 5_000
"""Weights up to which the full information is kept: a matrix of 25 million numbers."""


def expected_fisher(
    module: nn.Module,
    predict: Callable[[Any], torch.distributions.Distribution],
    batches: Iterable[Any],
    form: Form = "diagonal",
) -> Tensor:
    """Returns the Fisher information of a module's weights, in expectation over its own predictions.

    Args:
        module: whose weights that require gradients count, P of them.
        predict: returns what the module predicts for a batch: a `Categorical` or a `Normal` (possibly `Independent`)
            whose first axis is the samples.
        batches: of the old task's inputs.
        form: `"diagonal"` or `"full"`.

    Returns:
        `[P]` or `[P, P]`, summed over the samples, detached.

    Raises:
        UsageError: no samples, another distribution, or too many weights for the full matrix.
    """
    weights, total = _start(module, form)
    samples = 0
    for batch in batches:
        distribution = predict(batch)
        if isinstance(distribution, torch.distributions.Independent):
            distribution = distribution.base_dist
        if isinstance(distribution, torch.distributions.Categorical):
            log_probs = distribution.logits.reshape(-1, distribution.logits.shape[-1])
            samples += len(log_probs)
            for row in log_probs:
                for outcome, log_prob in enumerate(row):
                    share = row[outcome].detach().exp()
                    if share > 0:
                        _add(total, _gradient(log_prob, weights), share, form)
        elif isinstance(distribution, torch.distributions.Normal):
            # E[score·scoreᵀ] = Σ ∇μ∇μᵀ/σ² + 2·∇log σ ∇log σᵀ
            mean, scale = distribution.mean.reshape(-1), distribution.stddev.reshape(-1)
            samples += len(distribution.mean)
            for m, s in zip(mean, scale, strict=True):
                _add(total, _gradient(m, weights), 1 / s.detach().square(), form)
                if s.requires_grad:
                    _add(total, _gradient(s.log(), weights), torch.tensor(2.0, dtype=s.dtype), form)
        else:
            raise UsageError(
                f"predictions that are a {type(distribution).__name__}", expected="Categorical or Normal",
                hint="empirical_fisher, which needs a loss for each sample only",
            )  # fmt: skip
    _require_samples(samples)
    return total


def empirical_fisher(
    module: nn.Module, losses: Callable[[Any], Tensor], batches: Iterable[Any], form: Form = "diagonal"
) -> Tensor:
    """Returns the sum of squared gradients of the negative log-likelihoods of the old task's samples.

    Args:
        module: whose weights that require gradients count, P of them.
        losses: returns the `[B]` negative log-likelihoods of a batch.
        batches: of the old task's data.
        form: `"diagonal"` or `"full"`.

    Returns:
        `[P]` or `[P, P]`, detached.

    Raises:
        UsageError: no samples, or too many weights for the full matrix.
    """
    weights, total = _start(module, form)
    samples = 0
    for batch in batches:
        for loss in losses(batch).reshape(-1):
            _add(total, _gradient(loss, weights), torch.ones((), dtype=total.dtype, device=total.device), form)
            samples += 1
    _require_samples(samples)
    return total


class ElasticWeights:
    """What a module learned, as springs on its weights: ½·λ·(θ − θ*)ᵀF(θ − θ*).

    One quadratic for all tasks so far: each task that is remembered adds its information to F and moves θ* to the
    weights as they are then, which must have been trained with the penalty of those before.

    Args:
        weight: λ; 1 is the sum of log-likelihoods, if the new loss is a *sum* over its samples too. With a mean over N
            samples give 1/N.
    """

    def __init__(self, weight: float = 1.0) -> None:
        if not 0 <= weight < float("inf"):
            raise UsageError(f"a weight of {weight}", expected="a finite number of at least 0")
        self.weight = weight
        self._anchor: Tensor | None = None
        self._fisher: Tensor | None = None

    def remember(self, module: nn.Module, fisher: Tensor) -> None:
        """Adds a task: the module's weights as they are, and their Fisher information on it, `[P]` or `[P, P]`.

        Raises:
            UsageError: another number of weights, another form than that of the tasks before, or not finite.
        """
        anchor = _flat(module).detach().clone()
        form = (len(anchor),) if self._fisher is None else tuple(self._fisher.shape)
        if set(fisher.shape) != {len(anchor)} or (self._fisher is not None and tuple(fisher.shape) != form):
            raise UsageError(f"Fisher information of shape {tuple(fisher.shape)}", expected=f"{list(form)}")
        if not torch.isfinite(fisher).all():
            raise UsageError("Fisher information that is not finite", expected="finite numbers", hint="did it diverge?")
        self._anchor = anchor
        self._fisher = fisher.detach().clone() if self._fisher is None else self._fisher + fisher.detach()

    def penalty(self, module: nn.Module) -> Tensor:
        """Returns the scalar to add to the loss of the new task; 0 before anything is remembered."""
        theta = _flat(module)
        if self._anchor is None or self._fisher is None:
            return theta.new_zeros(())
        away = theta - self._anchor
        matrix = self._fisher
        return 0.5 * self.weight * (away @ matrix @ away if matrix.ndim == 2 else (matrix * away.square()).sum())

    def state_dict(self) -> dict[str, Any]:
        """Returns what is remembered, as arrays."""
        parts = {"anchor": self._anchor, "fisher": self._fisher}
        return {"weight": self.weight, **{k: None if v is None else v.cpu().numpy() for k, v in parts.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Replaces what is remembered."""
        self.weight = float(state["weight"])
        found = (None if state[k] is None else torch.as_tensor(state[k]) for k in ("anchor", "fisher"))
        self._anchor, self._fisher = found


def _weights(module: nn.Module) -> list[Tensor]:
    return [parameter for parameter in module.parameters() if parameter.requires_grad]


def _flat(module: nn.Module) -> Tensor:
    return torch.cat([parameter.reshape(-1) for parameter in _weights(module)])


def _start(module: nn.Module, form: Form) -> tuple[list[Tensor], Tensor]:
    if form not in FORMS:
        raise UsageError(f"form {form!r}", expected=", ".join(FORMS))
    weights = _weights(module)
    if not weights:
        raise UsageError("a module without weights to train", expected="parameters that require gradients")
    count = sum(weight.numel() for weight in weights)
    if form == "full" and count > MOST_FULL:
        raise UsageError(
            f"the full Fisher information of {count:,} weights takes {8 * count**2 / 1e9:,.0f} GB",
            expected=f"at most {MOST_FULL:,} weights",
            hint='form="diagonal"',
        )
    return weights, weights[0].new_zeros((count, count) if form == "full" else (count,))


def _gradient(value: Tensor, weights: list[Tensor]) -> Tensor:
    found = torch.autograd.grad(value, weights, retain_graph=True, allow_unused=True)
    return torch.cat(
        [torch.zeros_like(w).reshape(-1) if g is None else g.reshape(-1) for g, w in zip(found, weights, strict=True)]
    )


def _add(total: Tensor, gradient: Tensor, share: Tensor, form: Form) -> None:
    if form == "full":
        total.addr_(gradient, gradient * share)
    else:
        total.add_(gradient.square() * share)


def _require_samples(samples: int) -> None:
    if not samples:
        raise UsageError("no samples of the old task", expected="at least one, to know what it depends on")
