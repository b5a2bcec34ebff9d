"""What action sequences earn in a model: by a kernel on a known law, step by step in any other model."""

from __future__ import annotations

from typing import Any

import numpy as np

from inscape.envs.compile import choice
from inscape.envs.compile.threads import block_count, is_forked
from inscape.envs.law import streams
from inscape.envs.law.states import States
from inscape.errors import UsageError
from inscape.world_models.interface import as_numpy
from inscape.world_models.known import KnownModel
from inscape.world_models.planning.interface import Evaluate, evaluated
from inscape.world_models.planning.tree_search.common import no_legal_action

TEMPLATE = "inscape.world_models.planning.kernels.shooting"
PARALLEL_FROM = 40_000
"""Steps of the law from which on more than one thread pays."""


def returns_of(
    model: Any,
    states: Any,
    sequences: np.ndarray,
    gamma: float,
    keys: np.ndarray,
    evaluate: Evaluate | None,
) -> np.ndarray:
    """Returns `[B, N]` mean discounted returns of N action sequences from each of B states.

    Σ_t γ^t r_t over H steps, and γ^H times the value of the last state where the task has not ended and there is an
    `evaluate`. An action that is illegal where it is met stands for the next legal one, cyclically.

    Args:
        model: a `KnownModel` (by a kernel, on one core or several, with the same result), or any other `WorldModel`;
            one with `roll(states, actions, rng)` takes all steps in one call (`EnsembleModel.roll`).
        states: B of its states.
        sequences: `[B, N, H]` integers, or `[B, N, H, D]` float64.
        gamma: discount per step.
        keys: `[B, particles]` int64, of random streams: as many roll-outs per sequence. On a known law row b draws from
            its own streams alone, and its N sequences meet the same random numbers; in other models the keys seed the
            generator that `step` is given.
        evaluate: values of last states.

    Raises:
        UsageError: a return is not finite; the message says where. A state that is not terminal has no legal action.
    """
    particles = keys.shape[1]
    rng = np.random.default_rng([int(key) & streams.MASK for key in keys[:, 0]])
    if isinstance(model, KnownModel):
        totals, weights, last = _by_kernel(model, states, sequences, gamma, keys)
    else:
        totals, weights, last = _by_steps(model, states, sequences, gamma, particles, rng)
    if not np.isfinite(totals).all():
        _explain(model, states, sequences, int(np.flatnonzero(~np.isfinite(totals))[0]) // particles, rng)
    alive = np.flatnonzero(weights > 0.0)
    if evaluate is not None and len(alive):
        values, _ = evaluated(evaluate, last[alive], 1, getattr(model.action_space, "n", 0))
        totals[alive] += weights[alive] * values[:, 0]
    return np.asarray(totals.reshape(*sequences.shape[:2], particles).mean(axis=2))


def _by_kernel(
    model: KnownModel, states: States, sequences: np.ndarray, gamma: float, keys: np.ndarray
) -> tuple[np.ndarray, np.ndarray, States]:
    world, (batch, count, horizon) = model.world, sequences.shape[:3]
    columns = batch * count * keys.shape[1]
    totals, weights, last = np.empty(columns), np.empty(columns), world.empty_states(columns)
    flat = np.ascontiguousarray(sequences).reshape(batch * count * horizon, *sequences.shape[3:])
    steps = columns * horizon
    blocks = 1 if model.compiled is False else block_count(None, steps, PARALLEL_FROM)
    several = blocks > 1 and not is_forked()
    choice.call(
        world, TEMPLATE, "roll_parallel" if several else "roll", steps,
        world.packed, states.floats, states.ints, flat, keys, gamma, horizon, totals, weights, last.floats, last.ints,
        blocks, compiled=model.compiled,
    )  # fmt: skip
    return totals, weights, last


def _by_steps(
    model: Any, states: Any, sequences: np.ndarray, gamma: float, particles: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, Any]:
    batch, count, horizon = sequences.shape[:3]
    rows = np.repeat(np.arange(batch), count * particles)
    at = states[rows]
    actions = np.repeat(sequences.reshape(batch * count, *sequences.shape[2:]), particles, axis=0)
    discrete = sequences.ndim == 3
    totals, weights = np.zeros(len(rows)), np.ones(len(rows))
    if callable(getattr(model, "roll", None)) and (rolled := model.roll(at, actions, rng)) is not None:
        rewards, continuations, last = rolled
        for reward, going_on in zip(rewards, continuations, strict=True):
            totals += np.where(weights > 0.0, weights * reward, 0.0)
            weights *= gamma * going_on
        totals[np.isnan(weights)] = np.nan
        return totals, weights, last
    legal = None
    if discrete and callable(getattr(model, "legal_of", None)):
        legal = as_numpy(model.legal_of(at))
    if callable(getattr(model, "terminal_of", None)):
        weights[np.asarray(as_numpy(model.terminal_of(at)), np.bool_)] = 0.0
    for t in range(horizon):
        action = actions[:, t]
        if legal is not None:
            action = permitted(action, np.asarray(legal, np.bool_), weights > 0.0, type(model).__name__)
        step = model.step(at, action, rng)
        reward, going_on = as_numpy(step.reward).astype(np.float64), as_numpy(step.continuation).astype(np.float64)
        if reward.shape != weights.shape or going_on.shape != weights.shape:
            raise UsageError(
                f"{type(model).__name__}.step returned reward of shape {reward.shape} and continuation of shape "
                f"{going_on.shape} for a batch of {len(rows)}",
                expected=f"[{len(rows)}] each",
            )
        running = weights > 0.0
        totals[running] += weights[running] * reward[running]
        weights[running] *= gamma * going_on[running]
        totals[np.isnan(weights)] = np.nan  # a continuation that is no number
        at, legal = step.states, step.legal if discrete else None
        if not (weights > 0.0).any():
            break
    return totals, weights, at


def permitted(actions: np.ndarray, legal: np.ndarray, running: np.ndarray, owner: str) -> np.ndarray:
    """Returns `[B]` actions: each itself, or the next legal one after it, cyclically.

    Args:
        actions: `[B]` integers. legal: `[B, A]` bool.
        running: `[B]` bool: where something is to be done at all.
        owner: whose states they are, for the message.

    Raises:
        UsageError: a row in which something is to be done has no legal action.
    """
    if (running & ~legal.any(axis=1)).any():
        raise no_legal_action(owner)
    count = legal.shape[1]
    ahead = (actions[:, None] + np.arange(count)) % count
    shift = np.take_along_axis(legal, ahead, axis=1).argmax(axis=1)
    return np.asarray((actions + shift) % count)


def _explain(model: Any, states: Any, sequences: np.ndarray, number: int, rng: np.random.Generator) -> None:
    """Raises UsageError that says where sequence `number` meets something that is not a finite number."""
    row, column = divmod(number, sequences.shape[1])
    owner = model.world.name if isinstance(model, KnownModel) else type(model).__name__
    at, sequence = states[[row]], sequences[row, column]
    for t, action in enumerate(sequence):
        if sequence.ndim == 1 and callable(getattr(model, "legal_of", None)):
            legal = np.asarray(as_numpy(model.legal_of(at)), np.bool_)
            action = permitted(np.array([action]), legal, np.ones(1, np.bool_), owner)[0]
        step = model.step(at, np.asarray(action)[None], rng)
        for what, value in (("reward", step.reward), ("continuation", step.continuation)):
            number_there = float(as_numpy(value)[0])
            if not np.isfinite(number_there):
                shown = model.world.unpack(at) if isinstance(model, KnownModel) else f"step {t} of a roll-out"
                raise UsageError(
                    f"{owner} gave the {what} {number_there} in {shown} for action {np.asarray(action).tolist()}",
                    expected="a finite number",
                    hint="fix `reward` or `transition`: inscape check"
                    if isinstance(model, KnownModel)
                    else "a model that was learned from few episodes is wrong far from them: more episodes",
                )
        at = step.states
    raise UsageError(
        f"{owner} gave rewards that add up to no finite number over {len(sequence)} steps",
        expected="finite rewards",
        hint="a shorter horizon",
    )
