"""The world over beliefs: what a mind that filters what it sees plans in, and what it remembers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from inscape.errors import MissingLawError, UsageError
from inscape.theory_of_mind.controllers import Array, check_world
from inscape.world_models.tabular.model import TabularModel, absorb, observation_keys

if TYPE_CHECKING:
    from inscape.envs.world import World

SUM_TOLERANCE = 1e-9
FINEST = 1e-15
"""Probabilities closer than this differ by rounding."""


@dataclass(frozen=True, eq=False)
class BeliefWorld:
    """B beliefs that one can come to have in a world of S states, and what leads from one to another.

    Attributes:
        beliefs: `[B, S]` probabilities of the states, given that the task goes on.
        model: the beliefs as the states of a `TabularModel`: B of them and, last, the end. Rewards are those expected;
            it begins as the one who believes expects to begin, by the prior.
        seen: `[S]` which of O observations each state gives.
        following: `[B, A, O]` the belief after an action and an observation; −1 where that is impossible.
        first: `[O]` the belief after the first observation of an episode; −1 where that is impossible.
        information: `[B, A]` bits that what is seen next is expected to tell about the state one is in.
        past_end: `[O, A, O]` the belief of one who goes on where the task was over, by what was seen there (all ends
            that look like that alike), what was done and what is seen then; −1 where nothing follows. None: not asked.
    """

    beliefs: Array
    model: TabularModel
    seen: Array
    following: Array
    first: Array
    information: Array
    past_end: Array | None = None

    def __len__(self) -> int:
        return len(self.beliefs)

    def with_rewards(self, tables: TabularModel) -> BeliefWorld:
        """Returns the same beliefs with the rewards of other tables, of the same states, law and ends."""
        worth = self.beliefs @ np.where(tables.legal, tables.expected_reward(), 0.0)
        reward = np.zeros(self.model.reward.shape)
        reward[:-1] = np.where(self.model.legal[:-1], worth, 0.0)[:, :, None]
        return replace(self, model=replace(self.model, reward=reward))


def belief_world(
    world: World,
    prior: ArrayLike | None = None,
    purpose: Any = None,
    max_points: int = 10_000,
    resolution: float = 1e-9,
    can: Array | None = None,
) -> BeliefWorld:
    """Returns the world over the beliefs that one who knows the law, and sees what the world shows, can come to have.

    Args:
        world: a world of one player that can be enumerated.
        prior: `[S]` probabilities of the states of `world.dynamics()` before anything is seen; None: as it begins.
        purpose: what is rewarded and ends the task, a value or a name; None: the world's own.
        max_points: how many beliefs there may be.
        resolution: beliefs closer than this, in every probability, are one.
        can: `[S, A]` bool, True where an action is open to the one who believes; None: where it is legal.

    Raises:
        MissingLawError: the law can only be sampled; several players.
        UsageError: more than `max_points` beliefs; a prior that is none; a resolution that is none.

    Source: Kaelbling, Littman & Cassandra (1998), Artificial Intelligence 101, section 3.4 (the belief MDP).
    """
    check_world(world)
    if world.players > 1:
        raise MissingLawError(
            f"{world.name} has {world.players} players, who each perceive for themselves",
            expected="a world with one player",
        )
    tables = TabularModel.from_world(world, purpose)
    return beliefs_in(world, tables, tables.initial if prior is None else prior, max_points, resolution, can)


def beliefs_in(
    world: Any,
    tables: TabularModel,
    prior: ArrayLike,
    max_points: int,
    resolution: float,
    can: Array | None,
    past_end: bool = False,
) -> BeliefWorld:
    """Returns the world over the beliefs one can come to have in the tables of a world (see `belief_world`).

    Args:
        past_end: also those that one comes to by going on where the task was over.
    """
    keys = observation_keys(world.observe(world.dynamics().states))
    number = {key: n for n, key in enumerate(dict.fromkeys(keys))}
    seen = np.array([number[key] for key in keys])
    start = np.asarray(prior, np.float64)
    if start.shape != (tables.num_states,) or (start < 0).any() or not abs(start.sum() - 1) <= SUM_TOLERANCE:
        raise UsageError(
            f"a prior of shape {start.shape}, sum {start.sum():.9g}",
            expected=f"[S] = [{tables.num_states}] probabilities that sum to 1",
        )
    open_to = tables.legal if can is None else tables.legal & can
    check_resolution(resolution)
    search = _Search(tables, open_to, seen, len(number), max_points, resolution)
    going_on = np.where(tables.terminal, 0.0, start)
    first = search.arrive(going_on)
    following = search.past_end(world.dynamics()) if past_end else None
    if not search.beliefs:
        raise UsageError(
            f"beliefs in {tables.name}, which is over in every state it may begin in",
            expected="a state with some probability beforehand in which there is something to do",
        )
    while search.open:
        search.expand()
    found = search.result(first, np.bincount(seen, going_on, len(number)), world)
    return found if following is None else replace(found, past_end=following)


def check_resolution(resolution: Any) -> None:
    """Refuses what cannot tell beliefs apart in float64."""
    number = isinstance(resolution, (int, float, np.number)) and not isinstance(resolution, bool)
    if not number or not FINEST <= resolution < 1:
        raise UsageError(f"resolution is {resolution!r}", expected=f"a small number, {FINEST:g} or larger, below 1")


class _Search:
    """Beliefs found so far, and what follows from those that were expanded; breadth first."""

    def __init__(
        self, tables: TabularModel, legal: Array, seen: Array, observations: int, most: int, resolution: float
    ) -> None:
        self.tables, self.legal, self.seen, self.observations = tables, legal, seen, observations
        self.most, self.resolution = most, resolution
        self.numbers: dict[bytes, int] = {}
        self.beliefs: list[Array] = []
        self.rows: list[list[tuple[Array, Array, float, float]]] = []
        self.going = np.where(tables.probability > 0, tables.probability * tables.continuation, 0.0)
        self.reward = np.where(tables.legal, tables.expected_reward(), 0.0)

    @property
    def open(self) -> bool:
        return len(self.rows) < len(self.beliefs)

    def arrive(self, mass: Array) -> Array:
        """Returns `[O]` numbers of the beliefs that `mass [S]`, seen, comes apart into; −1 where there is none."""
        found = np.full(self.observations, -1)
        total = np.bincount(self.seen, mass, self.observations)
        for o in np.flatnonzero(total > 0):
            belief = np.where(self.seen == o, mass, 0.0) / total[o]
            key = np.round(belief / self.resolution).astype(np.int64).tobytes()
            if key not in self.numbers:
                if len(self.beliefs) == self.most:
                    raise UsageError(
                        f"more than {self.most} beliefs can be come to in {self.tables.name}",
                        expected="a world in which beliefs repeat, or are few",
                        hint="a coarser resolution, a larger max_points, or an observer of particles",
                    )
                self.numbers[key] = len(self.beliefs)
                self.beliefs.append(belief)
            found[o] = self.numbers[key]
        return found

    def past_end(self, dynamics: Any) -> Array:
        """Returns `[O, A, O]` numbers of the beliefs of one who goes on where the task was over."""
        over, actions = self.tables.terminal, self.tables.num_actions
        found = np.full((self.observations, actions, self.observations), -1)
        for o in np.unique(self.seen[over]):
            held = np.flatnonzero(over & (self.seen == o))
            for action in range(actions):
                flow = dynamics.probability[held, action] * dynamics.legal[held, action, None]
                mass = np.bincount(dynamics.next_state[held, action].ravel(), flow.ravel(), len(over))
                found[o, action] = self.arrive(np.where(over, 0.0, mass))
        return found

    def expand(self) -> None:
        """Finds what follows from the first belief that was not expanded."""
        belief = self.beliefs[len(self.rows)]
        held = np.flatnonzero(belief)
        ways: list[tuple[Array, Array, float, float]] = []
        for action in range(self.tables.num_actions):
            if not self.legal[held, action].all():  # what may be illegal is not done
                ways.append((np.full(self.observations, -1), np.zeros(self.observations), -np.inf, 0.0))
                continue
            flow = belief[held, None] * self.going[held, action]
            following = self.tables.next_state[held, action]
            mass = np.bincount(following.ravel(), flow.ravel(), self.tables.num_states)
            chance = np.bincount(self.seen, mass, self.observations)
            joint = np.zeros((len(held), self.observations + 1))  # P(state, observation), the end in the last column
            np.add.at(joint, (np.arange(len(held))[:, None], self.seen[following]), flow)
            joint[:, -1] = belief[held] - joint.sum(axis=1)
            gain = _entropy(belief[held]) + _entropy(joint.sum(axis=0)) - _entropy(joint)
            worth = float(belief[held] @ self.reward[held, action])
            ways.append((self.arrive(mass), chance, worth, max(0.0, gain)))
        self.rows.append(ways)

    def result(self, first: Array, start: Array, world: Any) -> BeliefWorld:
        """Returns what was found; `first` and `start` `[O]`: the first beliefs, and how likely each is."""
        count, actions = len(self.beliefs), self.tables.num_actions
        following = np.array([[way[0] for way in ways] for ways in self.rows]).reshape(count, actions, -1)
        chance = np.array([[way[1] for way in ways] for ways in self.rows]).reshape(count, actions, -1)
        worth = np.array([[way[2] for way in ways] for ways in self.rows])
        gain = np.array([[way[3] for way in ways] for ways in self.rows])
        legal = np.append(np.isfinite(worth), np.zeros((1, actions), np.bool_), axis=0)
        stuck = ~legal[:-1].any(axis=1)
        if stuck.any():
            belief = self.beliefs[int(np.argmax(stuck))]
            held = [str(world.unpack(world.dynamics().states, int(s))) for s in np.flatnonzero(belief)[:4]]
            raise UsageError(
                f"in {world.name} no action is legal in all of {', '.join(held)}, which look alike",
                expected="a world that shows which actions are legal",
            )
        # the last of the outcomes, and the last of the states, is the end
        end = np.maximum(0.0, 1.0 - chance.sum(axis=2))
        next_state = np.concatenate(
            [np.where(following >= 0, following, count), np.full((count, actions, 1), count)], 2
        )
        probability = np.concatenate([chance, end[:, :, None]], 2)
        probability = np.where(legal[:-1, :, None], probability, 0.0)
        probability[~legal[:-1], -1] = 1.0
        probability /= probability.sum(axis=2, keepdims=True)
        reward = np.where(legal[:-1], worth, 0.0)[:, :, None] * np.ones(probability.shape[2])
        terminal = np.zeros(count + 1, np.bool_)
        terminal[-1] = True

        def with_end(table: Array) -> Array:
            return np.append(table, np.zeros((1, *table.shape[1:]), table.dtype), axis=0)

        goes_on = (next_state < count).astype(float)
        tables = absorb(with_end(next_state), with_end(probability), with_end(reward), with_end(goes_on), terminal)
        initial = np.zeros(count + 1)
        np.add.at(initial, first[first >= 0], start[first >= 0])
        initial[-1] = max(0.0, 1.0 - start.sum())  # it is over where it begins
        model = TabularModel(
            *tables, legal, initial / initial.sum(), terminal,
            name=f"the beliefs in {self.tables.name}", action_names=self.tables.action_names,
        )  # fmt: skip
        return BeliefWorld(np.array(self.beliefs), model, self.seen, following, first, gain)


def _entropy(mass: Array) -> float:
    """Returns −Σ m log₂ m, in bits where `mass` sums to one."""
    held = mass[mass > 0]
    return float(-(held * np.log2(held)).sum())
