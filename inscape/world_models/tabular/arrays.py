"""Tables from what people bring: transition arrays, sparse matrices, or Gymnasium's dictionaries of outcomes."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from inscape.errors import UsageError

Array = np.ndarray[Any, Any]

FORMS = (
    "P as [A, S, S] or [S, A, S], a list of A matrices [S, S] (dense or SciPy sparse), one [S, S] matrix of a chain, "
    "or {state: {action: [(probability, next state, reward, terminated), …]}} as Gymnasium's env.unwrapped.P"
)
BYTES_PER_ENTRY = 28
"""Of the tables: a successor (4), a probability, a reward and a continuation (8 each)."""
ROUNDING = 1e-6
"""By how much a row may miss one: single precision, or decimals; it is divided by its sum."""
SAMPLE = "a planner that samples (inscape plan, UCT), or fewer outcomes for each action"
LARGEST_SHARE = 0.8
"""Of the memory that is available, which tables may take."""


@dataclass(frozen=True, eq=False)
class Entries:
    """Outcomes one after another, sorted by row = state · A + action.

    Attributes:
        states, actions: how many there are.
        row, column: `[N]` int64 row and successor of each.
        probability: `[N]` float64.
        reward: `[N]` float64, or None while it is not known.
        continuation: `[N]` float64, or None: 1.
    """

    states: int
    actions: int
    row: Array
    column: Array
    probability: Array
    reward: Array | None = None
    continuation: Array | None = None


@dataclass(frozen=True, eq=False)
class Tables:
    """`[S, A, K]` tables (terminal states do not absorb yet), `[S, A]` legal, `[S]` terminal, and names if given."""

    next_state: Array
    probability: Array
    reward: Array
    continuation: Array
    legal: Array
    terminal: Array
    state_names: tuple[Any, ...] | None
    action_names: tuple[Any, ...] | None


def read(P: Any, R: Any, layout: str | None, terminal: Any, legal: Any, name: str) -> Tables:
    """Returns the tables; see `TabularModel.from_arrays`."""
    order, reward_order = _parse_layout(layout)
    state_names: tuple[Any, ...] | None = None
    action_names: tuple[Any, ...] | None = None
    if isinstance(P, Mapping) and P and isinstance(next(iter(P.values())), Mapping):
        if R is not None:
            raise UsageError("P as a dictionary of outcomes, and R", expected="R = None: the outcomes have rewards")
        entries, allowed, ended, state_names, action_names = _of_outcomes(P, name)
    else:
        if hasattr(P, "unwrapped") or hasattr(P, "reset"):
            raise UsageError(
                f"an environment, {type(P).__name__}, where P is expected",
                expected=FORMS,
                hint="env.unwrapped.P where there is one; TabularModel.from_world(world) for a World",
            )
        entries, order = _of_matrices(P, order, name)
        allowed = np.ones((entries.states, entries.actions), bool)
        ended = np.zeros(entries.states, bool)
        rewards, allowed = _rewards(R, P, entries, order, reward_order, allowed, name)
        entries = Entries(entries.states, entries.actions, entries.row, entries.column, entries.probability, rewards)
    ended = ended | _flags(terminal, entries.states, "terminal")
    if legal is not None:
        allowed = allowed & _mask(legal, (entries.states, entries.actions))
    _check_rows(entries, allowed, ended, name, state_names, action_names)
    return Tables(*_scatter(entries, allowed, ended, name), allowed | ended[:, None], ended, state_names, action_names)


def _parse_layout(layout: str | None) -> tuple[str | None, str | None]:
    """Returns the order of P's axes and that of R's two, where given: "ASS", "SAS,SA"."""
    if layout is None:
        return None, None
    letters = re.sub(r"[^A-Za-z]", "", str(layout)).upper()
    order, rest = letters[:3], letters[3:]
    if order not in ("ASS", "SAS") or rest not in ("", "SA", "AS"):
        raise UsageError(
            f"layout = {layout!r}",
            expected='"ASS" (P[a, s, s\']) or "SAS" (P[s, a, s\']), and after a comma "SA" or "AS" for R: "ASS,SA"',
        )
    return order, rest or None


# ------------------------------------------------------------------------------------------------- transitions


def _of_matrices(P: Any, order: str | None, name: str) -> tuple[Entries, str]:
    """Returns the outcomes (without rewards), and the order of the axes."""
    if _is_sparse(P):
        return _of_sparse([P], name), "ASS"
    if isinstance(P, Mapping):
        P = [P[action] for action in P]
    if isinstance(P, Sequence | np.ndarray) and len(P) and _is_sparse(P[0]):
        if order == "SAS":
            return _of_sparse_by_state(list(P), name), "SAS"
        return _of_sparse(list(P), name), "ASS"
    dense = _numbers(P, "P")
    if dense.ndim == 2:
        dense = dense[None]
        order = order or "ASS"
    if dense.ndim != 3 or 0 in dense.shape:
        raise UsageError(f"P of shape {list(dense.shape)} for {name}", expected=FORMS)
    first, second, third = dense.shape
    by_action, by_state = second == third, first == third
    if order is None and by_action and by_state and first > 1:
        raise UsageError(
            f"P of shape {list(dense.shape)}, in which there are as many actions as states",
            expected="the order of its axes",
            hint='layout="ASS" where P[a, s, s\'], layout="SAS" where P[s, a, s\']',
        )
    order = order or ("ASS" if by_action else "SAS")
    if not (by_action if order == "ASS" else by_state):
        raise UsageError(
            f"P of shape {list(dense.shape)} for {name}",
            expected="[A, S, S]" if order == "ASS" else "[S, A, S]" if by_action else "[A, S, S] or [S, A, S]",
            hint="rows are states s, the last axis the next state: each row sums to one",
        )
    if order == "ASS":
        dense = dense.transpose(1, 0, 2)
    states, actions, _ = dense.shape
    s, a, column = np.nonzero(dense)  # NaN is not zero: found below
    return Entries(states, actions, s * actions + a, column, np.ascontiguousarray(dense[s, a, column], float)), order


def _of_sparse(matrices: list[Any], name: str) -> Entries:
    """Returns the outcomes of one matrix per action."""
    rows, columns, probabilities = [], [], []
    states, actions = matrices[0].shape[0], len(matrices)
    for a, matrix in enumerate(matrices):
        if matrix.shape != (states, states):
            raise UsageError(
                f"the matrix of action {a} of {name} has shape {list(matrix.shape)}", expected=f"[{states}, {states}]"
            )
        found = matrix.tocsr(copy=True)
        found.sum_duplicates()
        coo = found.tocoo()
        rows.append(coo.row.astype(np.int64) * actions + a)
        columns.append(coo.col.astype(np.int64))
        probabilities.append(np.asarray(coo.data, float))
    return _sorted(states, actions, rows, columns, probabilities)


def _of_sparse_by_state(matrices: list[Any], name: str) -> Entries:
    """Returns the outcomes of one matrix `[A, S]` per state."""
    rows, columns, probabilities = [], [], []
    states, actions = len(matrices), matrices[0].shape[0]
    for s, matrix in enumerate(matrices):
        if matrix.shape != (actions, states):
            raise UsageError(
                f"the matrix of state {s} of {name} has shape {list(matrix.shape)}", expected=f"[{actions}, {states}]"
            )
        found = matrix.tocsr(copy=True)
        found.sum_duplicates()
        coo = found.tocoo()
        rows.append(s * actions + coo.row.astype(np.int64))
        columns.append(coo.col.astype(np.int64))
        probabilities.append(np.asarray(coo.data, float))
    return _sorted(states, actions, rows, columns, probabilities)


def _of_outcomes(
    P: Mapping[Any, Mapping[Any, Iterable[Any]]], name: str
) -> tuple[Entries, Array, Array, tuple[Any, ...] | None, tuple[Any, ...] | None]:
    """Returns outcomes, legal `[S, A]`, terminal `[S]`, and the names of states and actions that are not numbered."""
    states, actions = _numbered(P), _numbered(key for choices in P.values() for key in choices)
    state_number = {state: number for number, state in enumerate(states)}
    action_number = {action: number for number, action in enumerate(actions)}
    found: dict[tuple[int, int, float, bool], float] = {}
    beyond: list[Any] = []  # states that are only ever arrived at, at the end of an episode
    for state, choices in P.items():
        for action, outcomes in choices.items():
            row = state_number[state] * len(actions) + action_number[action]
            for outcome in outcomes:
                probability, following, reward, over = _outcome(outcome, state, action, name)
                if following not in state_number:
                    if not over and probability > 0:
                        raise UsageError(
                            f"state {state!r}, action {action!r} of {name} leads to {following!r}, which is unknown",
                            expected="an entry of P, or terminated = True",
                        )
                    state_number[following] = len(state_number)
                    beyond.append(following)
                entry = row, state_number[following], reward, over
                found[entry] = found.get(entry, 0.0) + probability
    size = len(state_number)
    keys = sorted(found)
    rows: Array = np.array([key[0] for key in keys], np.int64)
    columns: Array = np.array([key[1] for key in keys], np.int64)
    rewards: Array = np.array([key[2] for key in keys], float)
    ended: Array = np.array([key[3] for key in keys], bool)
    legal = np.zeros((size, len(actions)), bool)
    legal.reshape(-1)[rows] = True
    # an end is written as staying there for nothing, or has no entry
    sources = rows // len(actions)
    ends = np.ones(size, bool)
    np.logical_and.at(ends, sources, ended & (columns == sources) & (rewards == 0))
    probabilities: Array = np.array([found[key] for key in keys], float)
    entries = Entries(size, len(actions), rows, columns, probabilities, rewards, 1.0 - ended)
    every = [*states, *beyond]
    names = None if every == list(range(size)) else tuple(every)
    return entries, legal, ends, names, None if actions == list(range(len(actions))) else tuple(actions)


def _numbered(keys: Iterable[Any]) -> list[Any]:
    """Returns the different keys: numbers 0 to N − 1 in their order, others in the order they come in."""
    distinct = list(dict.fromkeys(keys))
    numbers = all(isinstance(key, int | np.integer) for key in distinct)
    return sorted(distinct) if numbers else distinct


def _outcome(outcome: Any, state: Any, action: Any, name: str) -> tuple[float, Any, float, bool]:
    try:
        probability, following, reward, *rest = outcome
        over = bool(rest[0]) if rest else False
        probability, reward = float(probability), float(reward)
        hash(following)
    except (TypeError, ValueError):
        raise UsageError(
            f"state {state!r}, action {action!r} of {name} has the outcome {outcome!r}",
            expected="(probability, next state, reward, terminated)",
        ) from None
    if not np.isfinite(probability) or probability < 0 or not np.isfinite(reward):
        raise UsageError(
            f"state {state!r}, action {action!r} of {name} has the outcome {outcome!r}",
            expected="a probability from 0 to 1 and a finite reward",
        )
    return probability, following, reward, over


# ----------------------------------------------------------------------------------------------------- rewards


def _rewards(
    R: Any, P: Any, entries: Entries, order: str, reward_order: str | None, allowed: Array, name: str
) -> tuple[Array, Array]:
    """Returns the reward of each outcome `[N]`, and `[S, A]` which actions are legal: −inf marks those that are not."""
    states, actions = entries.states, entries.actions
    s, a = entries.row // actions, entries.row % actions
    if R is None:
        raise UsageError("no R", expected=f"rewards [S], [S, A], [A, S] or shaped like P; S = {states}, A = {actions}")
    if isinstance(R, Mapping):
        R = [R[action] for action in R]
    if _is_sparse(R):
        R = [R] if actions == 1 and states > 1 else R.toarray()
    if isinstance(R, Sequence | np.ndarray) and len(R) and _is_sparse(R[0]):
        return _sparse_rewards(list(R), entries, order, name), allowed
    rewards = _numbers(R, "R")
    if rewards.ndim == 0:
        rewards = np.full(states, float(rewards))
    if rewards.ndim == 3 or (rewards.ndim == 2 and actions == 1 and rewards.shape == (states, states) and states > 1):
        cube = rewards if rewards.ndim == 3 else rewards[None]
        wanted = (actions, states, states) if order == "ASS" else (states, actions, states)
        if cube.shape != wanted:
            raise UsageError(f"R of shape {list(rewards.shape)} for {name}", expected=f"{list(wanted)}, as P")
        return np.asarray(cube[a, s, entries.column] if order == "ASS" else cube[s, a, entries.column], float), allowed
    if rewards.shape == (states,):
        table = np.broadcast_to(rewards[:, None], (states, actions))
    elif rewards.shape == (states, actions) and rewards.shape == (actions, states) and actions > 1:
        if reward_order is None and order == "ASS" and not np.array_equal(rewards, rewards.T):
            raise UsageError(
                f"R of shape {list(rewards.shape)}, in which there are as many actions as states",
                expected="the order of its axes",
                hint=f'layout="{order},SA" where R[s, a], layout="{order},AS" where R[a, s]',
            )
        table = rewards.T if reward_order == "AS" else rewards
    elif rewards.shape == (states, actions) and reward_order != "AS":
        table = rewards
    elif rewards.shape == (actions, states) and reward_order != "SA":
        table = rewards.T
    else:
        raise UsageError(
            f"R of shape {list(rewards.shape)} for {name}, which has {states} states and {actions} actions",
            expected=f"[{states}], [{states}, {actions}], [{actions}, {states}] or shaped like P",
        )
    table = np.asarray(table, float)
    allowed = allowed & ~np.isneginf(table)
    wrong = allowed & ~np.isfinite(table)
    if wrong.any():
        state, action = np.argwhere(wrong)[0]
        raise UsageError(
            f"the reward of state {state}, action {action} of {name} is {table[state, action]}",
            expected="a finite number, or −inf where the action cannot be taken",
        )
    return np.where(allowed, table, 0.0).reshape(-1)[entries.row], allowed


def _sparse_rewards(matrices: list[Any], entries: Entries, order: str, name: str) -> Array:
    """Returns `[N]` rewards from one matrix per action (or per state): where a matrix holds nothing, 0."""
    states, actions = entries.states, entries.actions
    count, shape = (actions, (states, states)) if order == "ASS" else (states, (actions, states))
    if len(matrices) != count or any(matrix.shape != shape for matrix in matrices):
        raise UsageError(
            f"R as {len(matrices)} matrices of shape {sorted({tuple(matrix.shape) for matrix in matrices})} for {name}",
            expected=f"{count} of shape {list(shape)}, as P",
        )
    s, a = entries.row // actions, entries.row % actions
    which, inner = (a, s) if order == "ASS" else (s, a)
    rewards = np.zeros(len(entries.row))
    for number, matrix in enumerate(matrices):
        here = np.flatnonzero(which == number)
        if len(here):
            rewards[here] = np.asarray(matrix.tocsr()[inner[here], entries.column[here]]).reshape(-1)
    return rewards


# ------------------------------------------------------------------------------------------- checks and tables


def _check_rows(
    entries: Entries, legal: Array, terminal: Array, name: str, state_names: Any, action_names: Any
) -> None:
    """Raises UsageError where probabilities or rewards are wrong, naming state and action."""
    actions = entries.actions

    def named(row: int) -> str:
        s, a = divmod(row, actions)
        return f"state {s if state_names is None else repr(state_names[s])}, action " + str(
            a if action_names is None else repr(action_names[a])
        )

    bad = np.isnan(entries.probability) | (entries.probability < 0) | (entries.probability == np.inf)
    if bad.any():
        k = int(np.argmax(bad))
        raise UsageError(
            f"P of {named(int(entries.row[k]))} of {name} gives state {entries.column[k]} the probability "
            f"{entries.probability[k]:g}",
            expected="a number from 0 to 1",
        )
    used = legal.reshape(-1) & ~np.repeat(terminal, actions)
    total = np.bincount(entries.row, entries.probability, minlength=len(used))
    wrong = used & (np.abs(total - 1.0) > ROUNDING)
    if wrong.any():
        row = int(np.argmax(wrong))
        more = f" ({int(wrong.sum()) - 1:,} more rows are wrong)" if wrong.sum() > 1 else ""
        raise UsageError(
            f"P of {named(row)} of {name} sums to {total[row]:.9g}{more}",
            expected="1",
            hint="the last axis is the next state; legal=[S, A] or R = −inf marks actions that cannot be taken"
            + ("; layout= says which axis is which" if _columns_sum_to_one(entries) else ""),
        )
    assert entries.reward is not None
    unknown = ~np.isfinite(entries.reward) & used[entries.row] & (entries.probability > 0)
    if unknown.any():
        k = int(np.argmax(unknown))
        raise UsageError(
            f"R of {named(int(entries.row[k]))} of {name}, next state {entries.column[k]}, is {entries.reward[k]}",
            expected="a finite number",
        )


def _columns_sum_to_one(entries: Entries) -> bool:
    """Returns whether the matrices look transposed: columns that sum to one."""
    key = (entries.row % entries.actions) * entries.states + entries.column
    total = np.bincount(key, entries.probability, minlength=entries.actions * entries.states)
    return bool(np.allclose(total, 1.0))


def _scatter(entries: Entries, legal: Array, terminal: Array, name: str) -> tuple[Array, Array, Array, Array]:
    """Returns `[S, A, K]` next_state, probability, reward and continuation, K the most outcomes of a row."""
    states, actions = entries.states, entries.actions
    keep = (entries.probability > 0) & (legal.reshape(-1) & ~np.repeat(terminal, actions))[entries.row]
    row, column, probability = entries.row[keep], entries.column[keep], entries.probability[keep]
    counts = np.bincount(row, minlength=states * actions)
    width = max(1, int(counts.max(initial=1)))
    require_memory(states * actions * width * BYTES_PER_ENTRY, f"tables of {name}, [{states}, {actions}, {width}]")
    place = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
    at = row // actions, row % actions, place
    shape = states, actions, width
    next_state = np.broadcast_to(np.arange(states, dtype=np.int32)[:, None, None], shape).copy()
    table, reward, continuation = np.zeros(shape), np.zeros(shape), np.ones(shape)
    next_state[at], table[at] = column, probability
    assert entries.reward is not None
    reward[at] = entries.reward[keep]
    if entries.continuation is not None:
        continuation[at] = entries.continuation[keep]
    continuation[at] *= ~terminal[column]
    forbidden = ~legal & ~terminal[:, None]
    table[forbidden] = 0.0
    table[forbidden, 0] = 1.0  # an action that cannot be taken stays, and is never looked at
    total = table.sum(axis=2, keepdims=True)
    table /= np.where(total > 0, total, 1.0)  # given in decimals or in single precision, rows sum to one roughly
    return next_state, table, reward, continuation


def require_memory(size: int, what: str, hint: str = SAMPLE) -> None:
    """Raises UsageError if `size` bytes are more than can be had, before they are taken.

    What can be had is what the machine has free, and what the process may still take (`ulimit -v`; the limit of its
    control group).
    """
    available = available_memory()
    if available is not None and size > LARGEST_SHARE * available:
        raise UsageError(
            f"{what} would take {size / 2**30:,.1f} GiB",
            expected=f"at most {LARGEST_SHARE * available / 2**30:,.1f} of {available / 2**30:,.1f} GiB available",
            hint=hint,
        )


def available_memory() -> int | None:
    """Returns how many bytes more this process can take; None where that is not known."""
    known = [found for found in (_free_memory(), _left_of_address_space(), _left_of_control_group()) if found]
    return min(known, default=None)


def _free_memory() -> int | None:
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("MemAvailable:"))
    except (OSError, ValueError, StopIteration):
        pass
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # not known on this system
        return None


def _left_of_address_space() -> int | None:
    try:
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit == resource.RLIM_INFINITY:
            return None
        with open("/proc/self/statm", encoding="ascii") as file:
            taken = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except (ImportError, OSError, ValueError):  # not known on this system
        return None
    return max(1, limit - taken)


def _left_of_control_group() -> int | None:
    group = "/sys/fs/cgroup/memory"
    try:
        with open(f"{group}.max", encoding="ascii") as file:
            limit = int(file.read())  # "max", without a limit, is no number
        with open(f"{group}.current", encoding="ascii") as file:
            taken = int(file.read())
        with open(f"{group}.stat", encoding="ascii") as file:  # files that were read, and are given up when asked for
            taken -= sum(int(line.split()[1]) for line in file if line.startswith("inactive_file "))
    except (OSError, ValueError):
        return None
    return max(1, limit - taken)


def _sorted(states: int, actions: int, rows: list[Array], columns: list[Array], probabilities: list[Array]) -> Entries:
    """Returns the outcomes of all matrices, by row and successor."""
    row, column, probability = np.concatenate(rows), np.concatenate(columns), np.concatenate(probabilities)
    order = np.lexsort((column, row))
    return Entries(states, actions, row[order], column[order], probability[order])


def _flags(given: Any, states: int, what: str) -> Array:
    """Returns `[S]` bool from a mask or from state numbers."""
    if given is None:
        return np.zeros(states, bool)
    found = np.atleast_1d(np.asarray(given))
    if found.dtype == bool and found.shape == (states,):
        return np.asarray(found, bool)
    integers = found.dtype.kind in "iu" or found.size == 0
    if found.dtype == bool or not integers or (found.size and not (found.min() >= 0 and found.max() < states)):
        raise UsageError(
            f"{what} = {given!r}", expected=f"[{states}] of True and False, or state numbers from 0 to {states - 1}"
        )
    flags = np.zeros(states, bool)
    flags[found.astype(np.int64)] = True
    return flags


def _mask(given: Any, shape: tuple[int, int]) -> Array:
    found = np.asarray(given)
    if found.shape != shape or found.dtype.kind not in "biu":
        raise UsageError(f"legal of shape {list(found.shape)}", expected=f"[S, A] = {list(shape)} of True and False")
    return np.asarray(found, bool)


def _numbers(given: Any, what: str) -> Array:
    if np.iscomplexobj(given):
        raise UsageError(f"{what} has complex numbers", expected=FORMS)
    try:
        found = np.asarray(given, float)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{what} is not an array of numbers: {error}", expected=FORMS) from None
    return found


def _is_sparse(given: Any) -> bool:
    return hasattr(given, "tocsr") and hasattr(given, "shape")
