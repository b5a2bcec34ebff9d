"""Controllers: what a mind comes down to in one world, and the one contract between minds and observers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inscape.errors import UsageError

if TYPE_CHECKING:
    from inscape.envs.readers.enumeration import Enumeration
    from inscape.envs.world import World

Array = NDArray[Any]

SUM_TOLERANCE = 1e-6
"""How far from one a row of probabilities may sum: what float32 arithmetic leaves."""


@dataclass(frozen=True, eq=False)
class Step:
    """How memory changes when the agent in s, having taken a, arrives in s': P(m' | m, s, a, s'), J entries per row.

    S, A and K are those of `world.dynamics()`: outcome k of action a in state s leads to `next_state[s, a, k]`. An axis
    of length one says that memory does not depend on it.

    Attributes:
        next_memory: `[S or 1, A or 1, K or 1, M, J]` numbers m'; None (with `Step.stay`): memory never changes.
        probability: the same shape, or one that broadcasts to it; rows over J sum to one. An m' may occur twice in a
            row: its probabilities add up.
    """

    next_memory: Array | None
    probability: Array | None

    stay: ClassVar[Step]
    """Memory never changes: of a mind that remembers nothing, or of one drawn once at the start."""

    @staticmethod
    def switching(probability: ArrayLike) -> Step:
        """Returns a step that depends on memory alone: `probability [M, M]` holds P(m' | m), rows summing to one."""
        table = np.asarray(probability, np.float64)
        if table.ndim != 2 or table.shape[0] != table.shape[1]:
            raise UsageError(f"switching probabilities of shape {table.shape}", expected="[M, M], P(m' | m)")
        return Step(np.broadcast_to(np.arange(len(table)), (1, 1, 1, *table.shape)), table[None, None, None])

    @staticmethod
    def on_arrival(world: World, probability: ArrayLike) -> Step:
        """Returns a step that depends on where the agent arrives: `probability [S, M, M]` holds P(m' | m, s')."""
        dynamics, table = world.dynamics(), np.asarray(probability, np.float64)
        if table.ndim != 3 or table.shape[0] != len(dynamics) or table.shape[1] != table.shape[2]:
            raise UsageError(
                f"probabilities of shape {table.shape} in {world.name}",
                expected=f"[S, M, M] with S = {len(dynamics)}, P(m' | m, s')",
            )
        memories = np.broadcast_to(np.arange(table.shape[1]), (1, 1, 1, *table.shape[1:]))
        return Step(memories, table[dynamics.next_state])


Step.stay = Step(None, None)


class Controller(NamedTuple):
    """What a mind does in one world: an automaton of M memory states that acts in the S states of `world.dynamics()`.

    Anybody may return one; an observer filters over (mind, memory). A mind without memory has M = 1
    (`Controller.memoryless`).

    Attributes:
        log_probs: `[S, M, A]` log π(a | s, memory), −inf where illegal; rows of probabilities sum to one.
        start: `[S, M]` P(memory | first state); rows sum to one.
        step: P(m' | m, s, a, s').
        arrived: `[S, M]` bool, True where the mind's episode is over, so that it stays there in predictions; None:
            only where the dynamics end.
        partial: rows of `start` and `step` may be all zero: what the mind holds to be impossible. An observer then
            rules it out.
    """

    log_probs: Array
    start: Array
    step: Step = Step.stay
    arrived: Array | None = None
    partial: bool = False

    @staticmethod
    def memoryless(log_probs: ArrayLike, arrived: ArrayLike | None = None) -> Controller:
        """Returns the controller of a mind that remembers nothing.

        Args:
            log_probs: `[S, A]` log π(a | s).
            arrived: `[S]` bool, or None.

        Raises:
            UsageError: other numbers of axes.
        """
        table = np.asarray(log_probs, np.float64)
        over = None if arrived is None else np.asarray(arrived, np.bool_)
        if table.ndim != 2 or (over is not None and over.ndim != 1):
            shapes = f"{table.shape}" if over is None else f"{table.shape} and {over.shape}"
            raise UsageError(
                f"a controller without memory of tables of shapes {shapes}",
                expected="log_probs [S, A], and arrived [S] or None",
            )
        over = None if over is None else over[:, None]
        return Controller(table[:, None], np.ones((len(table), 1)), Step.stay, over)

    @property
    def num_memories(self) -> int:
        """M."""
        return int(np.shape(self.start)[1])


def check_controller(controller: Any, world: World, who: str) -> Controller:
    """Returns a controller with its arrays as float64, int64 and bool, or refuses what is not one of `world`.

    Args:
        controller: what a mind returned.
        world: the world it is to act in.
        who: the mind's name, for messages.

    Raises:
        UsageError: not a `Controller`; a shape is wrong; a row is not a distribution; an illegal action has positive
            probability. The message names mind, state, memory (and for a step the action and the next state).
    """
    if not isinstance(controller, Controller):
        raise UsageError(
            f"the mind ({who}) has the controller {type(controller).__name__}",
            expected="a Controller(log_probs [S, M, A], start [S, M], step)",
            hint="Controller.memoryless(log_probs [S, A])",
        )
    dynamics = world.dynamics()
    size, actions = dynamics.legal.shape
    log_probs = _numbers(controller.log_probs, who, "log_probs")
    if log_probs.ndim != 3 or log_probs.shape[::2] != (size, actions) or log_probs.shape[1] < 1:
        _refuse_shape(who, "log_probs", log_probs.shape, f"[S, M, A] with S = {size}, A = {actions}", world)
    memories = log_probs.shape[1]
    start = _numbers(controller.start, who, "start")
    if start.shape != (size, memories):
        _refuse_shape(who, "start", start.shape, f"[S, M] with S = {size}, M = {memories}", world)
    arrived = controller.arrived
    if arrived is not None:
        arrived = np.asarray(arrived)
        if arrived.shape != (size, memories) or arrived.dtype != np.bool_:
            _refuse_shape(
                who, f"arrived ({arrived.dtype})", arrived.shape, f"[S, M] bool, S = {size}, M = {memories}", world
            )
    _check_choices(log_probs, world, who)
    wrong = ~_are_distributions(start, controller.partial)
    if wrong.any():
        s = int(np.argmax(wrong))
        raise UsageError(
            f"the mind ({who}) begins in {_state(world, s)} with memory probabilities {start[s].tolist()}",
            expected="a distribution over its memory states",
        )
    step = _check_step(controller.step, world, who, memories, controller.partial)
    return Controller(log_probs, start, step, arrived, bool(controller.partial))


def _are_distributions(rows: Array, partial: bool) -> Array:
    """Returns `[...]` bool for `[..., N]`: is it a distribution, or, if `partial`, all zero?"""
    total = rows.sum(axis=-1)
    return np.asarray((rows >= 0).all(axis=-1) & ((np.abs(total - 1) <= SUM_TOLERANCE) | (partial & (total == 0))))


def _check_choices(log_probs: Array, world: World, who: str) -> None:
    legal = world.dynamics().legal[:, None]
    outside = ~legal & ~np.isneginf(log_probs)
    if outside.any():
        s, m, a = (int(i) for i in np.argwhere(outside)[0])
        raise UsageError(
            f"the mind ({who}) takes {world.action_names[a]!r} in {_state(world, s)}, memory {m}, with log-probability "
            f"{log_probs[s, m, a]:.6g}, and that action is not legal there",
            expected="log_probs of −inf for actions that are not legal",
            hint="boltzmann_log_probs(q_values, beta, world.dynamics().legal)",
        )
    with np.errstate(over="ignore"):  # an infinite sum is refused below
        total = np.exp(log_probs).sum(axis=2)
    wrong = ~(np.abs(total - 1) <= SUM_TOLERANCE)
    if wrong.any():
        s, m = (int(i) for i in np.argwhere(wrong)[0])
        raise UsageError(
            f"the action probabilities of the mind ({who}) in {_state(world, s)}, memory {m}, sum to {total[s, m]:.9g}",
            expected="1",
            hint="log_probs are logarithms of probabilities; subtract log Σ exp over the actions",
        )


def _check_step(step: Any, world: World, who: str, memories: int, partial: bool) -> Step:
    if not isinstance(step, Step):
        raise UsageError(
            f"the mind ({who}) has the step {step!r}", expected="a Step, such as Step.stay or Step.switching(P [M, M])"
        )
    if step.next_memory is None or step.probability is None:
        return Step.stay
    size = world.dynamics().next_state.shape
    following, probability = np.asarray(step.next_memory), _numbers(step.probability, who, "step.probability")
    fits = following.ndim == 5 and following.shape[3] == memories and probability.ndim == 5
    fits = fits and all(n == m or 1 in (n, m) for n, m in zip(following.shape, probability.shape))
    shape = np.broadcast_shapes(following.shape, probability.shape) if fits else ()
    if not shape or shape[3] != memories or any(n not in (1, full) for n, full in zip(shape, size)):
        both = f"{following.shape} and {probability.shape}"
        raise UsageError(
            f"the mind ({who}) has a step with next_memory and probability of shapes {both}",
            expected=f"[S, A, K, M, J] with S, A, K = {', '.join(map(str, size))} (or 1), M = {memories}",
        )
    if following.dtype.kind not in "iu" or ((following < 0) | (following >= memories)).any():
        raise UsageError(
            f"the mind ({who}) has a step to memory states {following.min()} … {following.max()} ({following.dtype})",
            expected=f"integers from 0 to {memories - 1}",
        )
    following, probability = (np.broadcast_to(array, shape) for array in (following, probability))
    wrong = ~_are_distributions(probability, partial)
    wrong = wrong & _possible(world.dynamics(), shape[:3])[..., None]
    if wrong.any():
        s, a, k, m = (int(i) for i in np.argwhere(wrong)[0])
        raise UsageError(
            f"the step of the mind ({who}) from {_state(world, s)}, memory {m}, action {world.action_names[a]!r}, "
            f"outcome {k}, has probabilities {probability[s, a, k, m].tolist()}",
            expected="a distribution over the next memory state",
        )
    return Step(following.astype(np.int64), probability)


def _possible(dynamics: Enumeration, shape: tuple[int, ...]) -> Array:
    """Returns which rows of a step of `shape` (S, A, K, each in full or 1) can be used at all."""
    possible = dynamics.probability > 0
    shared = tuple(axis for axis, n in enumerate(shape) if n == 1)
    return np.asarray(possible.any(axis=shared, keepdims=True))


def _numbers(array: Any, who: str, what: str) -> Array:
    try:
        numbers = np.asarray(array, np.float64)
    except (TypeError, ValueError) as error:
        raise UsageError(f"the mind ({who}) has {what} = {array!r}", expected="an array of numbers") from error
    if np.isnan(numbers).any() or np.isposinf(numbers).any():
        place = np.argwhere(np.isnan(numbers) | np.isposinf(numbers))[0].tolist()
        raise UsageError(f"the mind ({who}) has {what}{place} = {numbers[tuple(place)]}", expected="no NaN, no +inf")
    return numbers


def _refuse_shape(who: str, what: str, shape: tuple[int, ...], expected: str, world: World) -> None:
    raise UsageError(
        f"the mind ({who}) has {what} of shape {shape}",
        expected=expected,
        hint=f"one row per state of world.dynamics(), here of {world!r}",
    )


def _state(world: World, s: int) -> str:
    return f"state {s}, {world.unpack(world.dynamics().states, s)}"


def check_world(world: Any) -> None:
    """Refuses what is no world, such as the name of one."""
    if isinstance(world, type) or not callable(getattr(world, "dynamics", None)):
        name = world if isinstance(world, str) else getattr(world, "__name__", "FrozenLake")
        made = f"{name}()" if isinstance(world, type) else f"make_world({str(name)!r})"
        raise UsageError(f"{world!r} where a world is asked for", expected="an inscape.World", hint=made)
