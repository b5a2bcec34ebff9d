"""Compiled sweeps of dynamic programming over gather-form tables. They take arrays only, so Numba caches them."""

from __future__ import annotations

from types import FunctionType
from typing import Any

# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call"
import numpy as np

from inscape.envs.compile.kernel_cache import cached_jit, helper_jit
from inscape.world_models.planning.kernels.tables import gauss_seidel
from inscape.world_models.planning.kernels.tables.gauss_seidel import HARD, MAXENT, SOFT_EVAL

__all__ = ["HARD", "MAXENT", "SOFT_EVAL", "avoiders", "scratch", "solve", "sweep", "sweep_freely"]

FASTER = {"reassoc", "contract"}
"""Sums in any order: within the rounding the certificate allows for."""


def _compiled(name, **options):
    """Returns `gauss_seidel.sweep` compiled under a name of its own, with compiled helpers in its sight."""
    options = {"nogil": True, "error_model": "numpy", **options}
    names = {**vars(gauss_seidel), "__name__": __name__}
    names["state_value"] = helper_jit(forceinline=True, **options)(gauss_seidel.state_value)
    function = FunctionType(gauss_seidel.sweep.__code__, names, name)
    function.__qualname__ = name
    return cached_jit(**options)(function)


sweep = _compiled("sweep")
"""`gauss_seidel.sweep`: the bits of plain Python."""
sweep_freely = _compiled("sweep_freely", fastmath=FASTER)
"""`gauss_seidel.sweep` with sums in any order: up to a twentieth faster where an action has many outcomes."""


def scratch(weight: Any) -> tuple[Any, ...]:
    """Returns the memory that `gauss_seidel.sweep` works in, for tables `[S, A, K]`.

    (backed-up values `[S]`, action values of a state `[A]`, greedy actions `[S]`; what these do, side by side:
    successors `[S, K]`, weights `[S, K]` and rewards `[S]`)
    """
    states, actions, width = weight.shape
    return (
        np.empty(states), np.empty(actions), np.empty(states, np.int32),
        np.empty((states, width), np.int32), np.empty((states, width)), np.empty(states),
    )  # fmt: skip


def solve(next_state, weight, reward, terminal, values, mode, beta, target, max_sweeps):
    """Backs `values` up until no value moves by more than `target`; see `gauss_seidel.sweep`.

    Args:
        next_state, weight: `[S, A, K]`, weight = gamma · probability · continuation.
        reward: `[S, A]` expected reward, −inf where illegal.
        terminal: `[S]` bool; their values stay.
        values: `[S]`, changed in place to TV.
        mode, beta, target: as there.
        max_sweeps: sweeps after which to stop.

    Returns:
        (sweeps, residual).
    """
    tables = next_state, weight, reward, terminal, values
    return sweep_freely(*tables, scratch(weight), mode, beta, target, 0, max_sweeps, max_sweeps)


@cached_jit(nogil=True, error_model="numpy")
def avoiders(next_state, weight, legal, terminal):
    """Returns `[S]` bool: states from which some policy can go on for ever with probability one.

    The largest set of states that each have a legal action staying inside it for certain, found by removing states
    that have none until nothing changes. `weight = probability · continuation`.
    """
    states, actions, width = weight.shape
    inside = ~terminal
    changed = True
    while changed:
        changed = False
        for i in range(states):
            s = states - 1 - i
            if not inside[s]:
                continue
            stays = False
            for a in range(actions):
                if stays or not legal[s, a]:
                    continue
                kept = 0.0
                for k in range(width):
                    if weight[s, a, k] > 0.0 and inside[next_state[s, a, k]]:
                        kept += weight[s, a, k]
                stays = kept > 1.0 - 1e-9
            if not stays:
                inside[s] = False
                changed = True
    return inside
