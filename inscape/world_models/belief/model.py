"""Beliefs as the states of a model: what is planned in where the observation does not determine the state.

Source: Kaelbling, Littman & Cassandra (1998), "Planning and acting in partially observable stochastic domains",
Artificial Intelligence 101, section 3.3 (the belief MDP).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from gymnasium import spaces

from inscape.errors import UsageError
from inscape.world_models.belief.exact import BeliefFilter, ImpossiblePerceptError
from inscape.world_models.interface import Batch, ModelStep, as_numpy, nothing_to_load
from inscape.world_models.tabular.model import TabularModel, check_rows, world_in_hand

if TYPE_CHECKING:
    from inscape.envs.data.trajectory import Trajectory
    from inscape.envs.world import World

DIGITS = 12
"""Decimals to which beliefs are compared: the same evidence in another order differs by rounding."""


class _Outcomes(NamedTuple):
    """Outcomes of one action per row, by observation: `[B, K]` each, beliefs `[B, K, S]`; padded with probability 0."""

    probability: np.ndarray
    beliefs: np.ndarray
    reward: np.ndarray
    continuation: np.ndarray


class _Flows(NamedTuple):
    """Where the probability of B beliefs flows: n pairs of (row, possible state), K successors of each.

    Attributes:
        rows: B.
        row: `[n]`.
        following, mass, reward, goes_on: `[n, K]`.
    """

    rows: int
    row: np.ndarray
    following: np.ndarray
    mass: np.ndarray
    reward: np.ndarray
    goes_on: np.ndarray

    def summed(self, columns: np.ndarray, width: int, amount: np.ndarray) -> np.ndarray:
        """Returns `[B, width]` sums of the amounts `[n, K]`, by row and column `[n, K]`."""
        index = (self.row[:, None] * width + columns).ravel()
        sums = np.bincount(index, amount.ravel(), minlength=self.rows * width)
        return sums.reshape(self.rows, width)


class BeliefModel:
    """A `WorldModel` whose states are beliefs: `[B, S]` probabilities over the states of a tabular model.

    `init` and `update` are exact Bayes filtering; the outcomes of an action are the observations it may lead to. A
    reward is the expected one given belief, action and observation. That the task goes on is evidence too: `update`
    strikes out transitions that end it.

    Args:
        tables: dynamics and rewards.
        observations: `[S, ...]` what is observed in each state.
        world: the world the tables are of, if any; messages and `filter.marginal` read it.

    Raises:
        UsageError: not one observation per state; or states that look the same differ in what is legal (a mask is
            perceived, and would distinguish them).
    """

    num_players = 1
    filters = True

    def __init__(self, tables: TabularModel, observations: np.ndarray, world: World | None = None) -> None:
        self.tables = tables
        self.filter = BeliefFilter.from_tabular(tables, observations, world)
        _check_masks(self.filter)

    @staticmethod
    def from_world(world: World | type[World] | str, purpose: Any = None) -> BeliefModel:
        """Returns the model of a world (or of its class or name), under `purpose` (a value or a name) if given.

        Raises:
            MissingLawError: the law, or the initial distribution, can only be sampled; several players.
            TooManyStatesError: there are more states than can be enumerated.
        """
        world = world_in_hand(world)
        world = world if purpose is None else world.with_purpose(purpose)
        return BeliefModel(TabularModel.from_world(world), world.observe(world.dynamics().states), world)

    @property
    def action_space(self) -> spaces.Discrete:
        return self.tables.action_space

    def init(self, observations: Batch) -> np.ndarray:
        """Returns `[B, S]` beliefs at the start of episodes, after their first observations.

        Raises:
            ImpossiblePerceptError: no episode starts with such an observation.
        """
        return self.filter.start(as_numpy(observations))

    def update(self, states: np.ndarray, actions: Batch, observations: Batch) -> np.ndarray:
        """Returns `[B, S]` beliefs after the actions, given what was observed and that the task goes on.

        Raises:
            ImpossiblePerceptError: a belief holds that impossible.
            UsageError: not one observation per belief.
        """
        check_rows(states, observations)
        going_on = np.zeros(len(states), np.bool_)
        return self._condition(states, as_numpy(actions), as_numpy(observations), going_on)[0]

    def step(self, states: np.ndarray, actions: Batch, rng: np.random.Generator) -> ModelStep:
        """Draws an observation per row and returns the belief it leads to."""
        found = self._outcomes(states, as_numpy(actions))
        cumulative = np.cumsum(found.probability, axis=1)
        cumulative /= cumulative[:, -1:]  # a draw of 0.999… must not fall off the end
        chosen = (rng.random(len(states))[:, None] >= cumulative).sum(axis=1)
        at = (np.arange(len(states)), chosen)
        following = found.beliefs[at]
        return ModelStep(following, found.reward[at], found.continuation[at], self.legal_of(following))

    def state_dict(self) -> dict[str, Any]:
        """Returns {}: the tables are what the model is made of; nothing is learned."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        nothing_to_load(state, f"beliefs over {self.tables.name}")

    # ------------------------------------------------------------------------------------------- strengths

    def outcomes(self, states: np.ndarray, actions: Batch) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Returns `(probability [B, K], beliefs [B·K, S], reward [B, K], continuation [B, K])`, K by observation.

        K is the largest number of observations possible in a row; the rest of a row has probability 0.

        Raises:
            ImpossiblePerceptError: an action is legal in no state that its belief holds possible.
        """
        found = self._outcomes(states, as_numpy(actions))
        return found.probability, found.beliefs.reshape(-1, states.shape[1]), found.reward, found.continuation

    def legal_of(self, states: np.ndarray) -> np.ndarray:
        """Returns `[B, A]` bool: legal in the states held possible, which agree."""
        going = (states > 0) & ~self.tables.terminal
        return np.asarray(self.tables.legal[going.argmax(axis=1)])

    def terminal_of(self, states: np.ndarray) -> np.ndarray:
        """Returns `[B]` bool, True where every state held possible is terminal."""
        return np.asarray(~((states > 0) & ~self.tables.terminal).any(axis=1))

    def keys(self, states: np.ndarray) -> list[bytes]:
        """Returns one hashable key per belief, equal for beliefs that agree to twelve decimals."""
        return [row.tobytes() for row in np.round(states, DIGITS) + 0.0]

    def log_prob(self, trajectory: Trajectory) -> float:
        """Returns Σ_t log P(next observation, terminated | all before, actions), in nats; −inf if impossible."""
        total, steps = 0.0, len(trajectory)
        observations, actions = np.asarray(trajectory.observations), np.asarray(trajectory.actions)
        try:
            belief = self.init(observations[:1])
            for t in range(steps):
                ended = np.array([bool(trajectory.terminated) and t == steps - 1])
                belief, evidence = self._condition(belief, actions[t : t + 1], observations[t + 1 : t + 2], ended)
                total += float(np.log(evidence[0]))
        except ImpossiblePerceptError:
            return -np.inf
        return total

    # ------------------------------------------------------------------------------------------- within

    def _outcomes(self, beliefs: np.ndarray, actions: np.ndarray) -> _Outcomes:
        flows, size, seen = self._flows(beliefs, actions), self.tables.num_states, self.filter.num_observations
        percept = self.filter.percepts[flows.following]
        total = flows.summed(percept, seen, flows.mass)
        width = int((total > 0).sum(axis=1).max())
        order = np.argsort(total <= 0, axis=1, kind="stable")[:, :width]  # possible observations first
        probability, reward, going = (
            np.take_along_axis(sums, order, axis=1)
            for sums in (
                total,
                flows.summed(percept, seen, flows.mass * flows.reward),
                flows.summed(percept, seen, flows.mass * flows.goes_on),
            )
        )
        looks = self.filter.percepts[None, None] == order[:, :, None]
        alive = flows.summed(flows.following, size, flows.mass * flows.goes_on)[:, None] * looks
        arrived = flows.summed(flows.following, size, flows.mass)[:, None] * looks
        # where the task always ends, the belief is that of the end
        after = np.where(going[:, :, None] > 0, alive, arrived)
        mass = after.sum(axis=2, keepdims=True)
        after = np.divide(after, mass, out=np.repeat(beliefs[:, None], width, axis=1), where=mass > 0)
        share = np.where(probability > 0, probability, 1.0)
        return _Outcomes(probability, after, reward / share, going / share)

    def _condition(
        self, beliefs: np.ndarray, actions: np.ndarray, observations: np.ndarray, ended: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the `[B, S]` beliefs after what was observed, and its `[B]` probability with `ended` being so."""
        flows = self._flows(beliefs, actions)
        ending = np.where(ended[flows.row, None], 1.0 - flows.goes_on, flows.goes_on)
        joint = flows.summed(flows.following, self.tables.num_states, flows.mass * ending)
        kept = joint * (self.filter.percepts[None] == self.filter.percepts_of(observations)[:, None])
        evidence = kept.sum(axis=1)
        if (evidence <= 0).any():
            b = int(np.argmin(evidence))
            self.filter.observe(
                beliefs, actions, observations, ended
            )  # where it refuses too, it says what was expected
            raise ImpossiblePerceptError(
                f"row {b}: {self.tables.name} {'never' if ended[b] else 'always'} ends after action {actions[b]} and "
                f"observation {observations[b].tolist()}",
                expected="what these tables can show",
            )
        return kept / evidence[:, None], evidence

    def _flows(self, beliefs: np.ndarray, actions: np.ndarray) -> _Flows:
        tables, over = self.tables, self.terminal_of(beliefs)
        self.filter.predict(beliefs[~over], actions[~over])  # refuses beliefs and actions that are wrong
        # terminal states absorb, in the tables; they count only where nothing else is possible
        acting = ~tables.terminal & tables.legal[:, actions].T
        row, state = np.nonzero((beliefs > 0) & (acting | over[:, None]))
        weight = beliefs[row, state]
        weight = weight / np.bincount(row, weight, minlength=len(beliefs))[row]
        at = (state, actions[row])
        mass = weight[:, None] * tables.probability[at]
        return _Flows(len(beliefs), row, tables.next_state[at], mass, tables.reward[at], tables.continuation[at])


def _check_masks(belief_filter: BeliefFilter) -> None:
    going = np.flatnonzero(~belief_filter.terminal)
    first: dict[int, int] = {}
    for state, percept in zip(going.tolist(), belief_filter.percepts[going].tolist()):
        other = first.setdefault(percept, state)
        if (belief_filter.legal[other] != belief_filter.legal[state]).any():
            raise UsageError(
                f"states {other} and {state} of {belief_filter.owner} look the same and differ in what is legal",
                expected="the same legal actions in states that look the same",
                hint="an observation that shows the mask",
            )
