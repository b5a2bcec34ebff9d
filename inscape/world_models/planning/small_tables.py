"""Dynamic programming in tables so small that compiling a kernel would take longer than solving them.

They are swept by `kernels.tables.gauss_seidel`, as plain Python until that has taken as long as having it compiled
would, or compiled where its machine code lies in the cache (`envs.compile.choice`). Where sweeps converge slowly,
Newton steps in NumPy take over after a number of sweeps that depends on the tables alone. So the same call returns the
same bits in every process. Each way ends with a sweep over all states, so that the residual, and with it the
certificate, means the same.

Source: Newton's method on V = TV, which is policy iteration for the hard backup: Puterman & Brumelle (1979), "On the
convergence of policy iteration in stationary dynamic programming", Mathematics of Operations Research 4(1).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from inscape.envs.compile import choice
from inscape.envs.compile.kernel_cache import entry_point
from inscape.world_models.planning.kernels.tables import gauss_seidel
from inscape.world_models.planning.kernels.tables.gauss_seidel import EVALUATIONS, HARD, MAXENT, PAUSED, SOFT_EVAL

Array = np.ndarray[Any, Any]

MOST_STATES = 512
"""States up to which a dense system of linear equations is solved in some ten milliseconds."""
MOST_ENTRIES = 200_000
"""Entries of `[S, A, K]` up to which a plain sweep takes some ten milliseconds."""
OUTCOME, CHOICE = 1.1, 10.0
"""What the backup of an outcome takes compiled, and what the soft backups add an action, in nanoseconds."""
STEP, CUBE, FEW_STEPS = 150_000.0, 0.03, 6
"""What a Newton step takes, and what it adds for each n³ of n states, in nanoseconds; how many steps usually do."""
MOST_BEFORE_STEPS = 5e6
"""Nanoseconds of compiled sweeps after which Newton steps begin at the latest: plain sweeps take 50 times as long."""
AT_ONCE = 1_000_000.0
"""Nanoseconds of compiled sweeps that are made as plain Python between two looks at what compiling would take."""
WARM_UP = 64
"""Sweeps from V = 0 before the first Newton step: the soft-eval backup's fixed point is the one they lead to."""
AFTER_A_STEP, AFTER_A_VAIN_STEP = 2, 32
"""Sweeps before the next Newton step after one, and after one that led nowhere."""
MOST_NEWTON_STEPS = 200
"""Newton steps in all: some ten suffice; where rounding keeps them going, sweeps end it."""
SWEEPS_AT_ONCE = 10_000
"""Compiled sweeps between two chances for Ctrl-C."""
KERNELS = "inscape.world_models.planning.kernels.tables.sweeps"


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
    """Backs `values` up until no value moves by more than `target`, as `kernels.tables.sweeps.solve` does.

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
    tables = next_state, weight, reward, terminal
    per_sweep = _sweep_nanoseconds(weight.shape, mode)
    next_step = _sweeps_before_steps(len(terminal), per_sweep, mode)
    newton_steps = sweeps = 0
    table: _Table | None = None
    sweeping = _Sweeps(tables, per_sweep, mode, beta, target, max_sweeps)
    while True:
        sweeps, residual = sweeping.go_on(values, sweeps, next_step)
        if residual != PAUSED:
            return sweeps, residual
        table = table or _Table(*tables, mode, beta)
        newton_steps += 1
        sweeps += 1
        # the hard and the maximum-entropy backup are convex and monotone: a step never does harm. Where the soft-eval
        # backup's leads away from its fixed point, sweeps go on.
        step = table.newton(values)
        led_somewhere = step is not None and (mode != SOFT_EVAL or table.residual(step) <= 0.5 * table.residual(values))
        if led_somewhere:
            values[:] = step
        next_step = sweeps + (AFTER_A_STEP if led_somewhere else AFTER_A_VAIN_STEP)
        if newton_steps == MOST_NEWTON_STEPS:
            next_step = max_sweeps


def _sweep_nanoseconds(shape: tuple[int, ...], mode: int) -> float:
    states, actions, width = shape
    outcomes = states * width * (actions + (EVALUATIONS if mode == HARD else 0))
    return OUTCOME * outcomes + (0.0 if mode == HARD else CHOICE * states * actions)


def _sweeps_before_steps(states: int, per_sweep: float, mode: int) -> int:
    """Returns after how many sweeps Newton steps begin: when sweeps have taken as long as these are likely to."""
    steps = FEW_STEPS * (STEP + CUBE * states**3)
    return max(int(min(steps, MOST_BEFORE_STEPS) / per_sweep), WARM_UP if mode == SOFT_EVAL else 2)


class _Sweeps:
    """Sweeps of one solution, as plain Python or compiled."""

    def __init__(
        self, tables: tuple[Array, ...], per_sweep: float, mode: int, beta: float, target: float, most: int
    ) -> None:
        self.tables = tables
        self.settings = int(mode), float(beta), float(target)
        self.most = most
        self.at_once = max(1, int(AT_ONCE / per_sweep))
        self.account = choice.usage_of_function(KERNELS, "sweep")
        self._lists: tuple[Any, ...] | None = None

    def go_on(self, values: Array, done: int, pause: int) -> tuple[int, float]:
        """Sweeps `values` on after `done` sweeps; returns (sweeps, residual), the residual `PAUSED` after `pause`."""
        while not self.account.is_to_compile():
            try:
                done, residual = self._plain(values, done, min(pause, done + self.at_once))
            except choice.PLAIN_FAILURES as error:  # compiled code goes on from where this began
                choice.refuse_unless_arithmetic(error)
                self.account.ready = True
            else:
                if residual != PAUSED or done >= pause:
                    return done, residual
        return self._compiled(values, done, pause)

    def _plain(self, values: Array, done: int, until: int) -> tuple[int, float]:
        began = time.thread_time()
        if self._lists is None:
            _, actions, width = self.tables[1].shape
            states = len(values)
            scratch = (
                [0.0] * states, [0.0] * actions, [0] * states,
                [[0] * width for _ in range(states)], [[0.0] * width for _ in range(states)], [0.0] * states,
            )  # fmt: skip
            self._lists = *(table.tolist() for table in self.tables), scratch
        *tables, scratch = self._lists
        plain: Any = gauss_seidel.sweep
        found = values.tolist()
        result: tuple[int, float] = plain(*tables, found, scratch, *self.settings, done, until, self.most)
        values[:] = found
        self.account.charge(result[0] - done, time.thread_time() - began)
        return result

    def _compiled(self, values: Array, done: int, pause: int) -> tuple[int, float]:
        from inscape.world_models.planning.kernels.tables import sweeps

        next_state, weight, reward, terminal = self.tables
        arrays = (
            np.ascontiguousarray(next_state, np.int32), np.ascontiguousarray(weight), np.ascontiguousarray(reward),
            np.ascontiguousarray(terminal), values, sweeps.scratch(weight),
        )  # fmt: skip
        sweep = _entry_point(*arrays, *self.settings, done, pause, self.most)
        while True:
            until = min(pause, done + SWEEPS_AT_ONCE)
            done, residual = sweep(*arrays, *self.settings, done, until, self.most)
            if residual != PAUSED or done >= pause:
                return done, residual


def avoiders(next_state: Array, weight: Array, legal: Array, terminal: Array) -> Array:
    """Returns `[S]` bool: states from which some policy can go on for ever with probability one.

    The largest set of states that each have a legal action staying inside it for certain. Arguments as
    `kernels.tables.sweeps.avoiders`.
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
        self, next_state: Array, weight: Array, reward: Array, terminal: Array, mode: int, beta: float
    ) -> None:
        self.going = going = np.flatnonzero(~terminal)
        self.next_state, self.weight, self.reward = next_state[going], weight[going], reward[going]
        self.mode, self.beta = mode, beta
        # column of each state among those that are not terminal; the others have a column of their own, dropped later
        self.column = np.full(len(terminal), len(going))
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

    def residual(self, values: Array) -> float:
        """Returns max |TV − V|."""
        return float(np.abs(self.backup(values)[0] - values[self.going]).max())

    def newton(self, values: Array) -> Array | None:
        """Returns `[S]`: where the backup, made linear at `values`, is at rest; None where that is nowhere finite."""
        backed_up, q = self.backup(values)
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


def _entry_point(*arguments: Any) -> Callable[..., Any]:
    """Returns the compiled sweep, which takes arguments of the same types ever after."""
    if not _entries:
        from inscape.world_models.planning.kernels.tables import sweeps

        _entries.append(entry_point(sweeps.sweep, *arguments))
    return _entries[0]


_entries: list[Callable[..., Any]] = []


@cache
def _blas() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")
