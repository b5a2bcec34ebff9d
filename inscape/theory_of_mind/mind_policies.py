"""What all minds of an observer would do in every state, in tables an observer filters with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from inscape.errors import UsageError
from inscape.theory_of_mind.controllers import Array, check_controller
from inscape.theory_of_mind.mind_solver import MindSolver
from inscape.theory_of_mind.minds import Mind, name_of
from inscape.theory_of_mind.parts.believing import Filtering
from inscape.theory_of_mind.parts.wanting import InTurn, Switching
from inscape.theory_of_mind.planning_mind import PlanningMind
from inscape.theory_of_mind.player_view import view_of
from inscape.theory_of_mind.together import share_out
from inscape.world_models.tabular.arrays import require_memory
from inscape.world_models.tabular.model import observation_keys

if TYPE_CHECKING:
    from inscape.envs.world import World

FEWER = "fewer minds at a time; or ParticleObserver, which holds a sample of them"
SAME = 1e-9
"""Probabilities closer than this are taken to be the same."""


class MemoryStep(NamedTuple):
    """The step of one mind whose memory changes: `rows` of the tables are its M memory states.

    Attributes:
        rows: slice of length M.
        next_memory: `[S or 1, A or 1, K or 1, M, J]`, as in `Step`.
        log_probability: the same shape.
    """

    rows: slice
    next_memory: Array
    log_probability: Array

    def at(self, state: Any, action: Any, outcome: Any) -> tuple[Array, Array]:
        """Returns `([..., M, J] next memory, [..., M, J] log-probability)` of outcomes, arrays or numbers."""
        sizes = self.next_memory.shape[:3]
        index = tuple(np.where(size == 1, 0, i) for size, i in zip(sizes, (state, action, outcome)))
        return self.next_memory[index], self.log_probability[index]


@dataclass(frozen=True, eq=False)
class MindPolicies:
    """What G minds would do in the S states of `world.dynamics()`.

    Each row is one memory state of one mind, R in all, a mind's rows together; R = G where no mind remembers anything.

    Attributes:
        log_probs: `[R, S, A]` log P(a | s, memory, mind); −inf where illegal.
        arrived: `[R, S]` bool, True where the mind has what it wants, or can no longer get it: its episode ends there.
        mind_of: `[R]` which mind a row belongs to.
        first_row: `[G]` the first row of each mind.
        log_start: `[R, S]` log P(memory | first state, mind); None where R = G.
        steps: of the minds whose memory changes.
    """

    log_probs: Array
    arrived: Array
    mind_of: Array
    first_row: Array
    log_start: Array | None
    steps: tuple[MemoryStep, ...]

    @property
    def num_minds(self) -> int:
        """G."""
        return len(self.first_row)

    def by_mind(self, log_rows: Array) -> Array:
        """Returns `[..., G]` log Σ exp of `[..., R]` over the rows of each mind."""
        if self.log_start is None:
            return log_rows
        return np.asarray(np.logaddexp.reduceat(log_rows, self.first_row, axis=-1))

    def begin(self, log_rows: Array, state: int) -> Array:
        """Returns `[R]` log P(mind, memory) at the first `state` of an episode: memory starts again, minds stay."""
        if self.log_start is None:
            return log_rows
        return np.asarray(self.by_mind(log_rows)[self.mind_of] + self.log_start[:, state])

    def remember(self, log_rows: Array, state: int, action: int, outcome: int) -> Array:
        """Returns `[R]` log P(mind, memory) after outcome `outcome` (K) of `action` in `state`."""
        if not self.steps:
            return log_rows
        moved = log_rows.copy()
        for step in self.steps:
            following, log_probability = step.at(state, action, outcome)
            arriving = np.full(len(following), -np.inf)
            # log-sum-exp entry by entry: a memory state of tiny mass may be the one that explains what follows
            np.logaddexp.at(arriving, following, log_rows[step.rows, None] + log_probability)
            moved[step.rows] = arriving
        return moved


def policies_of(world: World, minds: Sequence[Mind], gamma: float, player: int | None = None) -> MindPolicies:
    """Returns the policies of all minds; `PlanningMind`s that share Q (the hard backup at several β) share one solve.

    Args:
        world: the world acted in.
        minds: the G minds.
        gamma: the discount `PlanningMind`s plan with; other minds choose their own.
        player: whose minds these are, where there are several players.

    Raises:
        MissingLawError: the world cannot be enumerated; or has several players, and none is named.
        UsageError: a `PlanningMind` wants what the world has no purpose for, or believes in dynamics that do not know a
            state of the world; a controller is not valid (`check_controller`); a mind that does not say it sees acts
            differently in states that look alike.
    """
    view = view_of(world, player)
    solver, dynamics = MindSolver(view, gamma), view.dynamics()
    require_memory(9 * len(minds) * dynamics.legal.size, f"what {len(minds)} minds do in {view.name}", FEWER)
    # built-in minds without memory are solved side by side, and their controllers are not kept beside the tables
    simple = [g for g, mind in enumerate(minds) if type(mind) is PlanningMind and _is_simple(mind)]
    controllers = {
        g: solver.controller(mind)
        if type(mind) is PlanningMind  # a subclass may have a controller of another kind, so it is asked for it
        else check_controller(mind.controller(world, player or 0), view, name_of(mind))
        for g, mind in enumerate(minds)
        if not (type(mind) is PlanningMind and _is_simple(mind))
    }
    counts = np.ones(len(minds), np.int64)
    counts[list(controllers)] = [controller.num_memories for controller in controllers.values()]
    first_row = np.cumsum(counts) - counts
    total = int(counts.sum())
    if controllers:
        require_memory(
            8 * total * dynamics.legal.size, f"what {len(minds)} minds do, {total} with their memories", FEWER
        )
    log_probs = np.empty((total, *dynamics.legal.shape))
    arrived = np.zeros(log_probs.shape[:2], np.bool_)
    forgetful = total == len(minds) and not any(controller.partial for controller in controllers.values())
    log_start = None if forgetful else np.zeros(log_probs.shape[:2])
    for group in share_out(solver, [minds[g] for g in simple]):  # type: ignore[misc]
        for n in group:
            controller, row = solver.controller(minds[simple[n]]), int(first_row[simple[n]])  # type: ignore[arg-type]
            log_probs[row] = controller.log_probs[:, 0]
            if controller.arrived is not None:
                arrived[row] = controller.arrived[:, 0]
    steps = []
    for g, controller in controllers.items():
        count = int(counts[g])
        rows = slice(int(first_row[g]), int(first_row[g]) + count)
        log_probs[rows] = controller.log_probs.swapaxes(0, 1)
        if controller.arrived is not None:
            arrived[rows] = controller.arrived.T
        with np.errstate(divide="ignore"):  # log 0 is −inf: a memory state that cannot be
            if log_start is not None:
                log_start[rows] = np.log(controller.start.T)
            next_memory, probability = controller.step.next_memory, controller.step.probability
            if (count > 1 or controller.partial) and next_memory is not None and probability is not None:
                steps.append(MemoryStep(rows, *np.broadcast_arrays(next_memory, np.log(probability))))
    mind_of = np.repeat(np.arange(len(minds)), counts)
    policies = MindPolicies(log_probs, arrived, mind_of, first_row, log_start, tuple(steps))
    _refuse_unseen_state(view, minds, policies, counts)
    return policies


def _is_simple(mind: PlanningMind) -> bool:
    """Returns whether a built-in mind remembers nothing."""
    return not isinstance(mind.wants, (InTurn, Switching)) and not isinstance(mind.believes, Filtering)


# ------------------------------------------------------------------------------------------------------- hidden state


def _refuse_unseen_state(world: World, minds: Sequence[Mind], policies: MindPolicies, counts: Array) -> None:
    """Raises UsageError where a mind acts, begins or remembers by what the world hides, and does not say it sees."""
    look = _looks(world)
    if look is None:
        return
    twin = np.unique(look, return_index=True)[1][look]  # the first state that looks alike
    for g, mind in enumerate(minds):
        if _may_see(mind):
            continue
        first_row = int(policies.first_row[g])
        rows = slice(first_row, first_row + int(counts[g]))
        for tables, what in ((policies.log_probs[rows], "acts"), (_started(policies, rows), "begins")):
            probs = np.exp(tables)
            differs = (np.abs(probs - probs[:, twin]) > SAME).any(axis=(0, 2))
            if differs.any():
                s = int(np.argmax(differs))
                _refuse_sight(world, mind, what, s, int(twin[s]))
    dynamics = world.dynamics()
    for step in policies.steps:
        mind = minds[policies.mind_of[step.rows.start]]
        if _may_see(mind):
            continue
        before, action, outcome = np.nonzero(dynamics.probability > 0)
        seen = np.stack([look[before], action, look[dynamics.next_state[before, action, outcome]]], axis=1)
        _, first, group = np.unique(seen, axis=0, return_index=True, return_inverse=True)
        following, log_probability = step.at(before, action, outcome)
        # distributions over M are compared by their mean of M random values: equal iff they are, but for a null set
        value = np.random.default_rng(0).random(size=(following.shape[1],))
        mean = (np.exp(log_probability) * value[following]).sum(axis=-1)
        differs = (np.abs(mean - mean[first[group.ravel()]]) > SAME).any(axis=1)
        if differs.any():
            n = int(np.argmax(differs))
            _refuse_sight(world, mind, "remembers", int(before[n]), int(before[first[group.ravel()[n]]]))


def _may_see(mind: Mind) -> bool:
    """Whether a mind says that it sees the state, or is known to act only by what is observed."""
    filters = type(mind) is PlanningMind and isinstance(mind.believes, Filtering)
    return filters or bool(getattr(mind, "sees", False))


def _looks(world: World) -> Array | None:
    """Returns `[S]` numbers that are equal for states that look alike; None where no two do."""
    if (world.law_function("observation") is None and not world.is_wide()) or world.law_function("state_of"):
        return None
    keys = observation_keys(world.observe(world.dynamics().states))
    number = {key: n for n, key in enumerate(dict.fromkeys(keys))}
    return None if len(number) == len(keys) else np.array([number[key] for key in keys])


def _started(policies: MindPolicies, rows: slice) -> Array:
    if policies.log_start is None:
        return np.zeros((1, policies.log_probs.shape[1], 1))
    return policies.log_start[rows][:, :, None]


def _refuse_sight(world: World, mind: Mind, what: str, state: int, other: int) -> None:
    one, same = (world.unpack(world.dynamics().states, s) for s in (state, other))
    raise UsageError(
        f"the mind ({name_of(mind)}) {what} differently in {one} and {same}, which look alike: {world.name} hides its "
        "state from the agent",
        expected="a mind whose controller depends on what is observed, or one that says it sees the state",
        hint="believes=Filtering(prior), a mind that updates a belief; sees=True (PlanningMind, minds_grid; inscape "
        "observe --minds-see); or a Controller with a memory of what was observed",
    )
