"""Dynamic programming in NumPy, for tables so small that compiling a kernel would take longer than solving them.

Which of the two solves a table depends on its size alone, never on what happens to be compiled: the same call returns
the same bits in every process. Both end with a sweep over all states, so that the residual, and with it the
certificate, means the same.

Source: Newton's method on V = TV, which is policy iteration for the hard backup: Puterman & Brumelle (1979), "On the
convergence of policy iteration in stationary dynamic programming", Mathematics of Operations Research 4(1).
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

HARD, MAXENT, SOFT_EVAL = 0, 1, 2
"""The backups, numbered as in `kernels.sweeps`."""
MOST_STATES = 512
"""States up to which a dense system of linear equations is solved in some ten milliseconds."""
MOST_ENTRIES = 200_000
"""Entries of `[S, A, K]` up to which a sweep in NumPy takes a millisecond or two."""
WARM_UP = 64
"""Sweeps from V = 0 before the first Newton step: the soft-eval backup's fixed point is the one they lead to."""
AFTER_A_VAIN_STEP = 32
"""Sweeps before the next Newton step after one that led nowhere."""
SWEEP, STEP, FEW_STEPS = 5_000, 20_000, 6
"""What a sweep and a Newton step cost beside their arithmetic, in entries of a sweep (6 ns each), and how many steps it
usually takes."""
MOST_NEWTON_STEPS = 200
"""Newton steps in all: some ten suffice; where rounding keeps them going, sweeps end it."""


def is_small(weight: Array) -> bool:
    """Returns whether tables `[S, A, K]` are solved here."""
    return weight.shape[0] <= MOST_STATES and weight.size <= MOST_ENTRIES


def solve(
    next_state: Array,
    weight: Array,
    reward: Array,
    terminal: Array,
    values: Array,
    mode: int,
    beta: float,
    target: float,
    max_sweeps: int,
) -> tuple[int, float]:
    """Backs `values` up until no value moves by more than `target`; arguments and result as `kernels.sweeps.solve`.

    Args:
        next_state, weight: `[S, A, K]`, weight = gamma · probability · continuation.
        reward: `[S, A]` expected reward, −inf where illegal.
        terminal: `[S]` bool; their values stay.
        values: `[S]`, changed in place to TV.
        mode: `HARD`, `MAXENT` or `SOFT_EVAL`.
        beta: rationality of the soft backups.
        target: the residual to reach.
        max_sweeps: sweeps (Newton steps count one each) after which to stop.

    Returns:
        (sweeps, residual): the residual max |TV − V| is that of one V.
    """
    going = np.flatnonzero(~terminal)
    if not len(going):
        return 1, 0.0
    table = _Table(next_state[going], weight[going], reward[going], going, len(terminal), mode, beta)
    sweeps = newton_steps = 0
    next_step = WARM_UP if mode == SOFT_EVAL else 2
    before = np.inf
    while True:
        backed_up, q = table.backup(values)
        residual = float(np.abs(backed_up - values[going]).max())
        sweeps += 1
        start = values.copy()
        values[going] = backed_up
        if residual <= target or sweeps >= max_sweeps:
            return sweeps, residual
        waits = sweeps < next_step or newton_steps == MOST_NEWTON_STEPS
        nearly = table.sweeps_cost_less(sweeps, residual, before, target)
        before = residual
        if waits or nearly:
            continue
        newton_steps += 1
        sweeps += 1
        step = table.newton(start, q, backed_up)
        # the hard and the maximum-entropy backup are convex and monotone: a step never does harm. Where the soft-eval
        # backup's leads away from its fixed point, sweeps go on.
        if step is None or (mode == SOFT_EVAL and table.residual(step) > 0.5 * residual):
            next_step = sweeps + AFTER_A_VAIN_STEP
        else:
            values[:] = step


def avoiders(next_state: Array, weight: Array, legal: Array, terminal: Array) -> Array:
    """Returns `[S]` bool: states from which some policy can go on for ever with probability one.

    The largest set of states that each have a legal action staying inside it for certain. Arguments as
    `kernels.sweeps.avoiders`.
    """
    inside = ~terminal
    while True:
        kept = (weight * inside[next_state]).sum(axis=2)
        stays = inside & (legal & (kept > 1.0 - 1e-9)).any(axis=1)
        if (stays == inside).all():
            return inside
        inside = stays


class _Table:
    """The rows of states that are not terminal, `[G, A, K]`."""

    def __init__(
        self, next_state: Array, weight: Array, reward: Array, going: Array, states: int, mode: int, beta: float
    ) -> None:
        self.next_state, self.weight, self.reward = next_state, weight, reward
        self.going, self.states, self.mode, self.beta = going, states, mode, beta
        # column of each state among those that are not terminal; the others have a column of their own, dropped later
        self.column = np.full(states, len(going))
        self.column[going] = np.arange(len(going))

    def backup(self, values: Array) -> tuple[Array, Array]:
        """Returns the backed-up values `[G]` and the action values `[G, A]` they come from."""
        q = self.reward.copy()
        for k in range(self.weight.shape[2]):
            q += self.weight[:, :, k] * values[self.next_state[:, :, k]]
        best = q.max(axis=1)
        if self.mode == HARD:
            return best, q
        advantage = np.where(q > -np.inf, q - best[:, None], 0.0)
        p = np.where(q > -np.inf, np.exp(self.beta * advantage), 0.0)
        partition = p.sum(axis=1)
        if self.mode == MAXENT:
            return best + np.log(partition) / self.beta, q
        mean = (p * advantage).sum(axis=1)
        return best + mean / partition, q

    def sweeps_cost_less(self, done: int, residual: float, before: float, target: float) -> bool:
        """Returns whether to sweep on: sweeps have cost little yet beside a few Newton steps, or reach the target
        sooner at the rate they converge now.

        Both are counted in operations, so that the same tables are always solved in the same way.
        """
        sweep, steps = SWEEP + self.weight.size, FEW_STEPS * (STEP + len(self.going) ** 3 / 75.0)
        if done * sweep < steps / 4.0:
            return True
        if not 0.0 < residual < before < np.inf:
            return False
        return bool(np.log(target / residual) / np.log(residual / before) * sweep < steps)

    def residual(self, values: Array) -> float:
        """Returns max |TV − V|."""
        return float(np.abs(self.backup(values)[0] - values[self.going]).max())

    def newton(self, values: Array, q: Array, backed_up: Array) -> Array | None:
        """Returns `[S]`: where the backup, made linear at `values`, is at rest; None where that is nowhere finite."""
        rows = len(self.going)
        mass = self._slopes(q, backed_up)[:, :, None] * self.weight
        at = np.broadcast_to(np.arange(rows)[:, None, None], mass.shape) * (rows + 1) + self.column[self.next_state]
        chain = np.bincount(at.ravel(), mass.ravel(), rows * (rows + 1)).reshape(rows, rows + 1)[:, :rows]
        try:  # V' = TV + J(V' − V), so (I − J)(V' − V) = TV − V
            with _blas().limit(limits=1):  # the same bits whatever the number of threads
                change = np.linalg.solve(np.eye(rows) - chain, backed_up - values[self.going])
        except np.linalg.LinAlgError:
            return None
        if not np.isfinite(change).all():
            return None
        step = values.copy()
        step[self.going] += change
        return step

    def _slopes(self, q: Array, backed_up: Array) -> Array:
        """Returns `[G, A]`: how the backed-up value moves with each action value."""
        if self.mode == HARD:
            slopes = np.zeros_like(q)
            slopes[np.arange(len(q)), q.argmax(axis=1)] = 1.0
            return slopes
        legal = q > -np.inf
        known = np.where(legal, q, 0.0)
        policy = np.where(legal, np.exp(self.beta * (np.where(legal, q - q.max(axis=1, keepdims=True), 0.0))), 0.0)
        policy /= policy.sum(axis=1, keepdims=True)
        if self.mode == MAXENT:
            return policy
        return policy * (1.0 + self.beta * (known - backed_up[:, None]))


@cache
def _blas() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")
