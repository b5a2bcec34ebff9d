"""Populations of minds, and what they do: the data an observing network is trained on."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from inscape.errors import UsageError, whole_number
from inscape.theory_of_mind.controllers import Array
from inscape.theory_of_mind.mind_policies import policies_of
from inscape.theory_of_mind.minds import Mind, identity_of, name_of
from inscape.theory_of_mind.observers.checks import check_minds
from inscape.theory_of_mind.player_view import view_of

if TYPE_CHECKING:
    from inscape.envs.world import World

DrawMind = Callable[[np.random.Generator], Mind]


@dataclass(frozen=True, eq=False)
class Behaviour:
    """What N minds did in E episodes each, of at most T steps.

    Attributes:
        minds: `[N]` numbers in the population.
        states: `[N, E, T]` state numbers; where the episode is over, what stands there means nothing.
        actions: `[N, E, T]` action numbers.
        probs: `[N, E, T, A]` float32 P(action | state, mind, its memory): what was drawn from.
        acting: `[N, E, T]` bool, False once the episode is over.
    """

    minds: Array
    states: Array
    actions: Array
    probs: Array
    acting: Array


class Population:
    """Minds drawn from a prior, with what each does in every state.

    Args:
        world: one that can be enumerated.
        draw_mind: draws a mind from the prior, a function of a `numpy.random.Generator`; or a list of minds, equally
            likely.
        size: how many are drawn; a list is taken whole.
        seed: of the draws.
        gamma, player: as in `ExactObserver`.

    Attributes:
        minds: the P distinct ones.
        weights: `[P]` how often each was drawn, as a share.

    Raises:
        UsageError: what is drawn is no mind; or as `ExactObserver`.
    """

    def __init__(
        self,
        world: World,
        draw_mind: DrawMind | Sequence[Mind],
        size: int = 1000,
        seed: int = 0,
        gamma: float | None = None,
        player: int | None = None,
    ) -> None:
        if callable(draw_mind):
            rng = np.random.default_rng([whole_number("seed =", seed), 0])
            drawn = [draw_mind(rng) for _ in range(whole_number("minds drawn:", size, 1))]
            odd = next((mind for mind in drawn if isinstance(mind, type) or not hasattr(mind, "controller")), None)
            if odd is not None:
                raise UsageError(f"draw_mind returned {odd!r}", expected="a Mind")
        else:
            drawn = list(check_minds(draw_mind))
        numbers: dict[Any, int] = {}
        member = np.array([numbers.setdefault(identity_of(mind), len(numbers)) for mind in drawn])
        first = np.unique(member, return_index=True)[1]
        self.minds = tuple(drawn[n] for n in first)
        self.weights = np.bincount(member) / len(member)
        self.world = world
        self.policies = policies_of(world, self.minds, world.gamma if gamma is None else gamma, player)
        self.dynamics = view_of(world, player).dynamics()
        self._probs = np.exp(self.policies.log_probs)
        self._edges = np.cumsum(self._probs, axis=2)
        self._outcomes = np.cumsum(self.dynamics.probability, axis=2)
        self._initial = np.cumsum(self.dynamics.initial)

    def kinds(self, by: str | Callable[[Mind], Hashable] | None, most: int) -> tuple[tuple[Mind, ...], Array]:
        """Returns `(K representatives, [P] which kind each mind is)`: minds for which `by` gives the same are one kind.

        Raises:
            UsageError: more than `most` kinds; minds have no such attribute.
        """
        labels: dict[Any, int] = {}
        first: list[Mind] = []
        kind = np.empty(len(self.minds), np.int64)
        for p, mind in enumerate(self.minds):
            if by is None:
                label: Any = identity_of(mind)
            elif callable(by):
                label = by(mind)
            elif hasattr(mind, by):
                label = getattr(mind, by)
            else:
                raise UsageError(f"the mind ({name_of(mind)}) has no {by!r}", expected="an attribute, or a function")
            kind[p] = labels.setdefault(label, len(labels))
            if kind[p] == len(first):
                first.append(mind)
        if len(first) > most:
            raise UsageError(
                f"{len(first):,} kinds of minds",
                expected=f"at most {most}, each with an output of its own",
                hint="by='goal': which minds are of one kind",
            )
        return tuple(first), kind

    def simulate(
        self, count: int, episodes: int, length: int, rng: np.random.Generator, beyond_end: float = 0.0
    ) -> Behaviour:
        """Returns what `count` minds, drawn by their weights, do in `episodes` episodes of at most `length` steps.

        In a share `beyond_end` of the episodes minds go on where their own episode is over, as their controllers say.
        """
        policies, actions = self.policies, self.dynamics.legal.shape[1]
        minds = np.searchsorted(np.cumsum(self.weights), rng.random(count) * (1 - 1e-12), side="right")
        who = np.repeat(minds, episodes)
        total = len(who)
        state = _drawn(np.broadcast_to(self._initial, (total, len(self._initial))), rng)
        row = self._begun(who, state, rng)
        beyond = rng.random(total) < beyond_end
        states, taken = np.zeros((length, total), np.int64), np.zeros((length, total), np.int64)
        probs, acting = np.zeros((length, total, actions), np.float32), np.zeros((length, total), np.bool_)
        for t in range(length):
            acting[t] = ~policies.arrived[row, state] | beyond
            states[t], probs[t] = state, self._probs[row, state]
            taken[t] = action = _drawn(self._edges[row, state], rng)
            outcome = _drawn(self._outcomes[state, action], rng)
            row = self._remembered(row, state, action, outcome, acting[t], rng)
            state = np.where(acting[t], self.dynamics.next_state[state, action, outcome], state)
            acting[t] &= acting[t - 1] if t else True

        def shaped(array: Array) -> Array:
            return np.moveaxis(array, 0, 1).reshape(count, episodes, length, *array.shape[2:])

        return Behaviour(minds, shaped(states), shaped(taken), shaped(probs), shaped(acting))

    def _begun(self, who: Array, state: Array, rng: np.random.Generator) -> Array:
        policies = self.policies
        row = policies.first_row[who].copy()
        if policies.log_start is None:
            return row
        for mind in np.unique(who):
            rows = np.flatnonzero(policies.mind_of == mind)
            members = np.flatnonzero(who == mind)
            start = np.cumsum(np.exp(policies.log_start[rows][:, state[members]]).T, axis=1)
            row[members] = rows[_drawn(start, rng)]
        return row

    def _remembered(
        self, row: Array, state: Array, action: Array, outcome: Array, acting: Array, rng: np.random.Generator
    ) -> Array:
        for step in self.policies.steps:
            members = np.flatnonzero(acting & (row >= step.rows.start) & (row < step.rows.stop))
            if len(members):
                memory, log_probability = step.at(state[members], action[members], outcome[members])
                here = row[members] - step.rows.start
                each = np.arange(len(members))
                choice = _drawn(np.cumsum(np.exp(log_probability[each, here]), axis=1), rng)
                row = row.copy()
                row[members] = step.rows.start + memory[each, here, choice]
        return row


def _drawn(edges: Array, rng: np.random.Generator) -> Array:
    """Returns `[n]` indices drawn by cumulative weights `[n, N]`."""
    draws = rng.random(len(edges)) * edges[:, -1]
    return np.asarray((draws[:, None] >= edges).sum(axis=1).clip(max=edges.shape[1] - 1))
