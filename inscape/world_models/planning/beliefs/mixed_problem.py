"""Mixed observability: states grouped by what is observed in them, so that a belief is over one group only.

Source: Ong, Png, Hsu & Lee (2010), "Planning under uncertainty for robotic tasks with mixed observability",
International Journal of Robotics Research 29(8): a belief is (what is seen, a distribution over what is not).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from inscape.errors import UsageError
from inscape.world_models.belief.exact import ImpossiblePerceptError
from inscape.world_models.belief.model import BeliefModel
from inscape.world_models.interface import check_gamma

Array = np.ndarray[Any, Any]
SMALLEST = 1e-300
"""Probabilities below this are rounding."""


class Fan(NamedTuple):
    """What may follow one percept: L links, each an action and the percept it leads to.

    Attributes:
        action, target: `[L]` action, and next percept, of each link; by action, then percept.
        first: `[L + 1]` where a link's entries begin in a row of next states, one after the other.
        source: `[E]` members (of this percept) that entries start from,
        place: `[E]` where in that row they lead, and
        mass: `[E]` P(next member, the task goes on | member, action).
        link: `[E]` the link an entry belongs to.
        reward: `[n, A]` expected rewards of the n members.
        legal: `[A]` bool.
    """

    action: Array
    target: Array
    first: Array
    source: Array
    place: Array
    mass: Array
    link: Array
    reward: Array
    legal: Array


@dataclass(frozen=True, eq=False)
class MixedProblem:
    """N states that are not terminal, those of each percept together.

    Attributes:
        model: beliefs over the S states of the tables.
        gamma: discount below 1.
        order: `[N]` state numbers, sorted by percept.
        first: `[O + 1]` where in `order` the members of each percept begin.
        place: `[S]` where each state is in `order`; −1 for terminal ones.
        reward: `[N, A]` expected rewards; 0 where illegal.
        legal: `[N, A]` bool.
        starts: `[(percept, probability, belief [n])]`, what may be observed first.
    """

    model: BeliefModel
    gamma: float
    order: Array
    first: Array
    place: Array
    reward: Array
    legal: Array
    starts: list[tuple[int, float, Array]]
    _links: tuple[Array, ...]
    _fans: dict[int, Fan]

    @staticmethod
    def of(model: BeliefModel, gamma: float) -> MixedProblem:
        """Returns the problem of a belief model.

        Raises:
            UsageError: gamma is 1 or out of range.
        """
        check_gamma(gamma)
        if gamma == 1.0:
            raise UsageError("gamma = 1 for values of beliefs", expected="gamma < 1")
        tables, percept = model.tables, model.filter.percepts
        count = int(percept.max()) + 1
        going = np.flatnonzero(~tables.terminal)
        order = going[np.argsort(percept[going], kind="stable")]
        place = np.full(tables.num_states, -1)
        place[order] = np.arange(len(order))
        first = np.searchsorted(percept[order], np.arange(count + 1))
        legal = tables.legal[order]
        links = _links_of(tables, percept, order, place)
        starts, initial = [], tables.initial[order]
        for o in np.unique(percept[order[initial > 0]]).tolist():
            mass = initial[first[o] : first[o + 1]]
            starts.append((o, float(mass.sum()), mass / mass.sum()))
        reward = np.where(legal, tables.expected_reward()[order], 0.0)
        return MixedProblem(model, gamma, order, first, place, reward, legal, starts, links, {})

    @property
    def num_actions(self) -> int:
        return int(self.legal.shape[1])

    def members(self, percept: int) -> slice:
        """Returns where the states of a percept are in `order`."""
        return slice(int(self.first[percept]), int(self.first[percept + 1]))

    def fan(self, percept: int) -> Fan:
        """Returns what may follow a percept; kept once it was asked for."""
        fan = self._fans.get(percept)
        if fan is None:
            fan = self._fans[percept] = self._make_fan(percept)
        return fan

    def _make_fan(self, percept: int) -> Fan:
        source, action, following, target, mass, bounds = self._links
        low, high = int(bounds[percept]), int(bounds[percept + 1])
        here = self.members(percept)
        action, target = action[low:high], target[low:high]
        new = np.ones(high - low, np.bool_)
        new[1:] = (action[1:] != action[:-1]) | (target[1:] != target[:-1])
        heads = np.flatnonzero(new)
        link = np.cumsum(new) - 1
        sizes = self.first[target[heads] + 1] - self.first[target[heads]]
        first = np.concatenate([[0], np.cumsum(sizes)])
        place = first[link] + following[low:high] - self.first[target]
        return Fan(
            action[heads], target[heads], first, source[low:high] - here.start, place, mass[low:high], link,
            self.reward[here], np.asarray(self.legal[here].all(axis=0)),
        )  # fmt: skip

    def following(self, percept: int, belief: Array) -> tuple[Array, Array]:
        """Returns `([L] probability of each link given its action, [total] mass of next states, link by link)`."""
        fan = self.fan(percept)
        mass = np.bincount(fan.place, belief[fan.source] * fan.mass, int(fan.first[-1]))
        return np.add.reduceat(mass, fan.first[:-1]) if len(fan.action) else np.zeros(0), mass

    def update(self, percept: int, belief: Array, action: int, target: int) -> Array:
        """Returns `[n']` the belief after an action in a percept, and the percept it led to.

        Raises:
            ImpossiblePerceptError: the belief holds that to be impossible.
        """
        fan = self.fan(percept)
        found = np.flatnonzero((fan.action == action) & (fan.target == target))
        if len(found):
            total, mass = self.following(percept, belief)
            link = int(found[0])
            if total[link] > SMALLEST:
                return np.asarray(mass[fan.first[link] : fan.first[link + 1]] / total[link])
        seen = self.model.filter.distinct_observations
        raise ImpossiblePerceptError(
            f"{self.model.tables.name}: {seen[target].tolist()} after {seen[percept].tolist()} and action {action}",
            expected="what some state held possible can lead to",
        )

    def start(self, percept: int) -> Array:
        """Returns `[n]` the belief after a first observation.

        Raises:
            ImpossiblePerceptError: no episode starts so.
        """
        for o, _, belief in self.starts:
            if o == percept:
                return belief
        seen = self.model.filter.distinct_observations[percept].tolist() if percept >= 0 else "what no state shows"
        raise ImpossiblePerceptError(
            f"{self.model.tables.name}: an episode that begins with {seen}", expected="an observation of a first state"
        )


def _links_of(tables: Any, percept: Array, order: Array, place: Array) -> tuple[Array, ...]:
    """Returns entries (source, action, next, next percept, mass), by percept, action and next percept, and where
    those of each percept begin; source and next are places in `order`."""
    mass = tables.probability[order] * tables.continuation[order] * tables.legal[order][:, :, None]
    following = tables.next_state[order]
    x, a, k = np.nonzero((mass > 0) & (place[following] >= 0))
    mass, following = mass[x, a, k], following[x, a, k]
    here, there = percept[order[x]], percept[following]
    sort = np.lexsort((there, a, here))
    bounds = np.searchsorted(here[sort], np.arange(int(percept.max()) + 2))
    return x[sort], a[sort], place[following[sort]], there[sort], mass[sort], bounds
