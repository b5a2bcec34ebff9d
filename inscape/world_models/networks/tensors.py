"""Tensors and the plain arrays checkpoints hold, back and forth; the check on gradients; threads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from inscape.errors import UsageError
from inscape.world_models.networks.blas import blas_threads
from inscape.world_models.networks.finite_checks import divergence


@contextmanager
def learning_threads(count: int) -> Iterator[None]:
    """Lets torch, and the BLAS that compiled code calls, use so many threads; to be left before a generator yields,
    for the number is the whole process's."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        with blas_threads(count):
            yield
    finally:
        torch.set_num_threads(before)


def to_arrays(value: Any) -> Any:
    """Returns nested dicts, lists and tensors as dicts with text keys, lists and NumPy arrays (copies)."""
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().numpy().copy()
    if isinstance(value, dict):
        return {str(key): to_arrays(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_arrays(entry) for entry in value]
    return value


def to_tensors(value: Any) -> Any:
    """Returns nested dicts with arrays as dicts with tensors (copies); the reverse of `to_arrays` but for keys."""
    if isinstance(value, np.ndarray):
        return torch.from_numpy(np.array(value))
    if isinstance(value, dict):
        return {key: to_tensors(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [to_tensors(entry) for entry in value]
    return value


def load_module(module: torch.nn.Module, arrays: dict[str, Any]) -> None:
    """Puts stored parameters and buffers into a module.

    Raises:
        UsageError: names or shapes are not those of the module.
    """
    try:
        module.load_state_dict(to_tensors(arrays))
    except RuntimeError as error:
        raise UsageError(
            f"stored weights do not fit {type(module).__name__}: {error}",
            expected="weights of an agent with the same settings in the same task",
        ) from error


def optimizer_arrays(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Returns an optimiser's state as nested dicts and lists of arrays and JSON values."""
    arrays: dict[str, Any] = to_arrays(optimizer.state_dict())
    return arrays


def load_optimizer(optimizer: torch.optim.Optimizer, arrays: dict[str, Any]) -> None:
    """Puts a stored state, as `optimizer_arrays` gave it, into an optimiser over the same parameters."""
    state = to_tensors(arrays)
    moments = {int(number): entry for number, entry in state["state"].items()}
    groups = [
        {**group, "betas": tuple(group["betas"])} if "betas" in group else group for group in state["param_groups"]
    ]
    optimizer.load_state_dict({"state": moments, "param_groups": groups})


def require_finite_gradients(
    norm: float, loss: float, named: Iterable[tuple[str, torch.nn.Parameter]], step: int, agent: str
) -> None:
    """Raises if the norm of the gradients is not finite; the message names step, loss and the first such tensors."""
    if np.isfinite(norm):
        return
    raise divergence(agent, step, loss, not_finite(named))


def step_if_finite(
    optimizer: torch.optim.Optimizer,
    network: torch.nn.Module,
    max_norm: float | None,
    loss: float,
    step: int,
    agent: str,
) -> float:
    """Takes an optimiser's step and returns the norm its gradients had.

    Args:
        optimizer: of weights of `network`, whose gradients are there.
        network: its weights are named where something is not finite.
        max_norm: gradients are scaled down to this norm; None leaves them.
        loss: for the message, as `step` (environment steps) and `agent` (name) are.

    Raises:
        DivergenceError: the norm is not finite; nothing has been changed then.
    """
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    # checked before they are scaled: a norm that is not finite would spread to every gradient
    norm = torch.nn.utils.get_total_norm([weight.grad for weight in weights if weight.grad is not None])
    require_finite_gradients(float(norm), loss, network.named_parameters(), step, agent)
    if max_norm is not None:
        torch.nn.utils.clip_grads_with_norm_(weights, max_norm, norm)
    optimizer.step()
    return float(norm)


def not_finite(named: Iterable[tuple[str, torch.nn.Parameter]]) -> list[str]:
    """Returns which weights and gradients are not finite, by name."""
    parameters = list(named)
    broken = [f"weights {name}" for name, p in parameters if not bool(torch.isfinite(p).all())]
    return broken + [f"gradient of {name}" for name, p in parameters if not _finite(p.grad)]


def _finite(tensor: torch.Tensor | None) -> bool:
    return tensor is None or bool(torch.isfinite(tensor).all())
