"""Exact beliefs: P(state | what was done and perceived), by Bayes' rule over an enumerated world.

A percept is part of the state (the law draws it together with what is hidden), so that an observation is a function of
the state and P(o | s′, a) needs no table of its own: a belief is predicted through P(s′ | s, a), and states that look
otherwise are struck out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from inscape.errors import MissingLawError, UsageError
from inscape.world_models.tabular.arrays import require_memory
from inscape.world_models.tabular.model import observation_keys

if TYPE_CHECKING:
    from inscape.envs.world import World
    from inscape.world_models.tabular.model import TabularModel

SUM_TOLERANCE = 1e-6
DENSE = 0.1
"""From which share of states held possible on a belief is predicted by a sparse product over all states."""


class ImpossiblePerceptError(UsageError):
    """A belief holds what was perceived, or what was done, to be impossible."""


@dataclass(frozen=True, eq=False)
class FilteredEpisode:
    """The beliefs along an episode of T steps.

    Attributes:
        beliefs: `[T+1, S]`, each after the observation of its time.
        log_likelihood: `[T+1]` log P(observation t | everything before, and the actions), in nats; entry 0 is of the
            first observation.
    """

    beliefs: np.ndarray
    log_likelihood: np.ndarray


@dataclass(frozen=True, eq=False)
class BeliefFilter:
    """Exact filtering over tables in gather form, batch first; the cost of a step is that of the states held possible.

    A belief is a row of `[B, S]` probabilities. Taking an action is evidence too: states in which it is not legal are
    struck out. So is an episode's end or going on, where it is given.

    Attributes:
        next_state: `[S, A, K]` successors.
        probability: `[S, A, K]` P(next_state | s, a).
        legal: `[S, A]` bool.
        initial: `[S]` probabilities of starting there.
        terminal: `[S]` bool.
        observations: `[S, ...]` what is observed in each state.
        owner: whose states these are, for messages.
        world: the world they come from, if any; messages and `marginal` read it.

    Source: Kaelbling, Littman & Cassandra (1998), Artificial Intelligence 101, section 3.3.
    """

    next_state: np.ndarray
    probability: np.ndarray
    legal: np.ndarray
    initial: np.ndarray
    terminal: np.ndarray
    observations: np.ndarray
    owner: str = "the tables"
    world: World | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Checks what was handed in.

        Raises:
            UsageError: shapes disagree, a successor is no state, or probabilities are negative, no numbers, or do not
                sum to 1 (those of illegal actions may be anything).
        """
        for name in ("next_state", "probability", "initial", "observations"):
            object.__setattr__(self, name, np.asarray(getattr(self, name)))
        for name in ("legal", "terminal"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), bool))
        _check_filter(self)

    @staticmethod
    def from_world(world: World, purpose: Any = None) -> BeliefFilter:
        """Returns the filter of a world; `purpose` (a value or a name) says which states end the task.

        Raises:
            MissingLawError: the law, or the initial distribution, can only be sampled; several players.
            TooManyStatesError: there are more states than can be enumerated.
        """
        if world.players > 1:
            raise MissingLawError(
                f"{world.name} has {world.players} players, who each perceive for themselves",
                expected="a world with one player",
            )
        world = world if purpose is None else world.with_purpose(purpose)
        law = world.dynamics()
        return BeliefFilter(
            law.next_state, law.probability, law.legal, law.initial,
            world.terminal_of(law.states), world.observe(law.states), repr(world), world,
        )  # fmt: skip

    @staticmethod
    def from_tabular(model: TabularModel, observations: np.ndarray, world: World | None = None) -> BeliefFilter:
        """Returns the filter of a tabular model whose state s gives `observations[s]` (`[S, ...]`).

        `world` is the one the tables are of, if any.

        Raises:
            UsageError: not one observation per state.
        """
        seen = np.asarray(observations)
        if seen.ndim < 1 or len(seen) != model.num_states:
            raise UsageError(f"observations of shape {seen.shape}", expected=f"[{model.num_states}, ...]")
        return BeliefFilter(
            model.next_state, model.probability, model.legal, model.initial, model.terminal, seen, model.name, world
        )

    # ------------------------------------------------------------------------------------------- what can be seen

    @property
    def num_states(self) -> int:
        return int(self.next_state.shape[0])

    @property
    def num_actions(self) -> int:
        return int(self.next_state.shape[1])

    @property
    def num_observations(self) -> int:
        """Number O of different observations."""
        return len(self.distinct_observations)

    @cached_property
    def _percepts(self) -> tuple[dict[bytes, int], np.ndarray, np.ndarray]:
        """Observation key → number, in order of first state; `[S]` the number each state gives; `[O]` first states."""
        numbers: dict[bytes, int] = {}
        given = np.array([numbers.setdefault(key, len(numbers)) for key in observation_keys(self.observations)])
        return numbers, given, np.unique(given, return_index=True)[1]

    @property
    def percepts(self) -> np.ndarray:
        """`[S]` the number, from 0 to O − 1, of the observation each state gives."""
        return self._percepts[1]

    @property
    def distinct_observations(self) -> np.ndarray:
        """`[O, ...]` the different observations, by number."""
        return np.asarray(self.observations[self._percepts[2]])

    def percepts_of(self, observations: np.ndarray) -> np.ndarray:
        """Returns the numbers `[B]` of `[B, ...]` observations; −1 for one that no state gives."""
        return np.array([self._percepts[0].get(key, -1) for key in observation_keys(observations)], np.int64)

    # ------------------------------------------------------------------------------------------- beliefs

    def start(self, observations: np.ndarray) -> np.ndarray:
        """Returns `[B, S]` beliefs at the start of episodes, after their first observations `[B, ...]`.

        Raises:
            ImpossiblePerceptError: no episode starts with such an observation.
        """
        prior = np.repeat(self.initial[None], len(observations), axis=0)
        return self._condition(prior, observations, None, None, None)[0]

    def predict(self, beliefs: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Returns `[B, S]`, P(next state | belief, action): what is expected before looking.

        Raises:
            ImpossiblePerceptError: a belief holds no state possible in which its action is legal.
            UsageError: shapes disagree, a belief is no distribution, an action is out of range.
        """
        beliefs, actions = self._checked(beliefs, actions)
        if np.count_nonzero(beliefs) > DENSE * beliefs.size:
            return self._predict_dense(beliefs, actions)
        row, state = np.nonzero(beliefs)
        allowed = self.legal[state, actions[row]]
        row, state = row[allowed], state[allowed]
        weight = beliefs[row, state]
        mass = np.bincount(row, weight, minlength=len(beliefs))
        self._require_legal(beliefs, actions, mass)
        at = (state, actions[row])
        to = row[:, None] * self.num_states + self.next_state[at]
        flow = (weight / mass[row])[:, None] * self.probability[at]
        counted = np.bincount(to.ravel(), flow.ravel(), minlength=beliefs.size)
        return counted.reshape(beliefs.shape)

    def _predict_dense(self, beliefs: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Returns what `predict` does, by one sparse product for each action taken."""
        predicted = np.empty(beliefs.shape)
        for action in np.unique(actions):
            rows = np.flatnonzero(actions == action)
            taken = beliefs if len(rows) == len(beliefs) else beliefs[rows]
            if not self._always_legal[action]:
                taken = taken * self.legal[:, action]
            mass = taken.sum(axis=1)
            self._require_legal(beliefs[rows], actions[rows], mass, rows)
            law = self._law(int(action))
            flow = law.T @ taken[0] if len(rows) == 1 else (law.T @ taken.T).T
            predicted[rows] = flow / mass[:, None]
        return predicted

    def _require_legal(
        self, beliefs: np.ndarray, actions: np.ndarray, mass: np.ndarray, rows: np.ndarray | None = None
    ) -> None:
        if (mass <= 0).any():
            b = int(np.argmin(mass))
            raise ImpossiblePerceptError(
                f"row {b if rows is None else rows[b]}: action {self._action_name(actions[b])} is legal in no state "
                f"that the belief of {self.owner} holds possible: {self._told(beliefs[b])}",
                expected="an action that the environment allowed",
            )

    @cached_property
    def _always_legal(self) -> np.ndarray:
        """`[A]` bool."""
        return np.asarray(self.legal.all(axis=0))

    @cached_property
    def _laws(self) -> dict[int, Any]:
        return {}

    def _law(self, action: int) -> Any:
        """Returns P(s′ | s, action) as a SciPy sparse matrix `[S, S]`, kept for the next call; illegal rows are 0."""
        from scipy.sparse import csr_matrix

        if action not in self._laws:
            states, _, width = self.next_state.shape
            require_memory(12 * states * width, f"the law of action {action} of {self.owner}")
            possible = (self.probability[:, action] > 0) & self.legal[:, action, None]
            data = np.where(possible, self.probability[:, action], 0.0)
            column = np.where(possible, self.next_state[:, action], 0).astype(np.int32)
            ends = np.arange(0, states * width + 1, width)
            self._laws[action] = csr_matrix((data.ravel(), column.ravel(), ends), (states, states))
        return self._laws[action]

    def observe(
        self,
        beliefs: np.ndarray,
        actions: np.ndarray,
        observations: np.ndarray,
        terminated: np.ndarray | None = None,
    ) -> np.ndarray:
        """Returns `[B, S]`, P(next state | belief, action, observation).

        Args:
            beliefs: `[B, S]`.
            actions: `[B]`.
            observations: `[B, ...]` after the actions.
            terminated: `[B]` bool, whether the task ended; None: not known.

        Raises:
            ImpossiblePerceptError: a belief holds its observation (or ending, or not ending) impossible.
            UsageError: shapes disagree, a belief is no distribution, an action is out of range.
        """
        return self._step(beliefs, actions, observations, terminated)[0]

    def observation_probabilities(self, beliefs: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Returns `[B, O]`, P(o | belief, action) for the observations of `distinct_observations`."""
        row, state = np.nonzero(predicted := self.predict(beliefs, actions))
        to = row * self.num_observations + self.percepts[state]
        shape = len(predicted), self.num_observations
        return np.bincount(to, predicted[row, state], minlength=shape[0] * shape[1]).reshape(shape)

    def outcomes(self, belief: np.ndarray, action: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns every next belief of one belief `[S]`: what a planner over beliefs branches on.

        Returns:
            `(probability [n], numbers of the observations [n], beliefs [n, S])` for the n possible observations.
        """
        predicted = self.predict(np.asarray(belief)[None], np.array([action]))[0]
        seen = self.percepts
        probability = np.bincount(seen, predicted, minlength=self.num_observations)
        possible = np.flatnonzero(probability > 0)
        beliefs = np.where(seen[None] == possible[:, None], predicted[None], 0.0) / probability[possible, None]
        return probability[possible], possible, beliefs

    def filter(self, observations: np.ndarray, actions: np.ndarray, terminated: bool | None = None) -> FilteredEpisode:
        """Returns the beliefs along one episode.

        Args:
            observations: `[T+1, ...]`.
            actions: `[T]`.
            terminated: whether the episode ended by itself after the last action (and so not before); None: not known.

        Raises:
            ImpossiblePerceptError: what happened is impossible; the message names step, action and observation.
            UsageError: not one more observation than actions.
        """
        observations, actions = np.asarray(observations), np.asarray(actions)
        if len(observations) != len(actions) + 1:
            raise UsageError(
                f"{len(observations)} observations and {len(actions)} actions",
                expected="one more observation than actions",
            )
        belief, log_p = self._condition(self.initial[None], observations[:1], None, None, 0)
        beliefs, log_likelihood = [belief[0]], [log_p[0]]
        for t in range(len(actions)):
            ended = None if terminated is None else np.array([terminated and t == len(actions) - 1])
            belief, log_p = self._step(belief, actions[t : t + 1], observations[t + 1 : t + 2], ended, step=t + 1)
            beliefs.append(belief[0])
            log_likelihood.append(log_p[0])
        return FilteredEpisode(np.stack(beliefs), np.array(log_likelihood))

    def marginal(self, beliefs: np.ndarray, name: str) -> dict[Any, np.ndarray]:
        """Returns `[B]` probabilities of each value of the state's field `name`: value → its probability per row.

        Raises:
            UsageError: the tables come from no world, or its states have no such field.
        """
        if self.world is None:
            raise UsageError(f"the states of {self.owner} are numbers without fields", expected="a filter of a world")
        layout = self.world.layouts()[0]
        fields = {f.name: f for f in layout.fields}
        if name not in fields:
            raise UsageError(f"{self.owner} has no state field {name!r}", expected=", ".join(fields))
        states, f = self.world.dynamics().states, fields[name]
        columns = (states.floats if f.kind == "float" else states.ints)[f.row : f.row + f.size]
        values, inverse = np.unique(columns, axis=1, return_inverse=True)
        inverse, convert = inverse.reshape(-1), {"float": float, "int": int, "bool": bool}[f.kind]
        named: dict[Any, np.ndarray] = {}
        for k, column in enumerate(values.T):
            value = convert(column[0]) if f.length is None else tuple(convert(entry) for entry in column)
            named[value] = np.asarray(beliefs)[:, inverse == k].sum(axis=1)
        return named

    # ------------------------------------------------------------------------------------------- within

    def _step(
        self,
        beliefs: np.ndarray,
        actions: np.ndarray,
        observations: np.ndarray,
        terminated: np.ndarray | None,
        step: int | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        try:
            predicted = self.predict(beliefs, actions)
        except ImpossiblePerceptError as error:
            if step is None:
                raise
            raise ImpossiblePerceptError(f"step {step}, {error.found}", expected=error.expected) from None
        if len(observations) != len(predicted):
            raise UsageError(f"{len(observations)} observations for {len(predicted)} beliefs")
        return self._condition(predicted, observations, actions, terminated, step)

    def _condition(
        self,
        predicted: np.ndarray,
        observations: np.ndarray,
        actions: np.ndarray | None,
        terminated: np.ndarray | None,
        step: int | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the beliefs after looking, and the log-probability of what was seen."""
        seen = self.percepts_of(observations)
        kept = np.where(self.percepts[None] == seen[:, None], predicted, 0.0)
        if terminated is not None:
            kept = np.where(self.terminal[None] == np.asarray(terminated, bool)[:, None], kept, 0.0)
        evidence = kept.sum(axis=1)
        if (evidence <= 0).any():
            b = int(np.argmin(evidence))
            ending = "" if terminated is None else ", ended" if terminated[b] else ", going on"
            done = "at the start" if actions is None else f"after action {self._action_name(actions[b])}"
            unknown = "" if seen[b] >= 0 else " (no state gives this observation)"
            raise ImpossiblePerceptError(
                f"{f'row {b}' if step is None else f'step {step}'}: {self.owner} gives observation "
                f"{np.asarray(observations)[b].tolist()}{ending} {done} with probability 0{unknown}; the belief "
                f"expected {self._told(predicted[b])}",
                expected="what this world, under these settings, can show",
            )
        return kept / evidence[:, None], np.log(evidence)

    def _checked(self, beliefs: np.ndarray, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        beliefs, actions = np.asarray(beliefs, np.float64), np.asarray(actions)
        if beliefs.ndim != 2 or beliefs.shape[1] != self.num_states:
            raise UsageError(f"beliefs of shape {beliefs.shape}", expected=f"[B, {self.num_states}]")
        if actions.shape != (len(beliefs),) or actions.dtype.kind not in "iu":
            raise UsageError(f"actions of shape {actions.shape}, {actions.dtype}", expected=f"{len(beliefs)} integers")
        if ((actions < 0) | (actions >= self.num_actions)).any():
            raise UsageError(f"actions {actions.tolist()}", expected=f"0 to {self.num_actions - 1}")
        wrong = ~(np.abs(beliefs.sum(axis=1) - 1) < SUM_TOLERANCE) | (beliefs < 0).any(axis=1)
        if wrong.any():
            b = int(np.argmax(wrong))
            raise UsageError(
                f"belief {b} sums to {beliefs[b].sum():.9g}, its least entry is {beliefs[b].min():.3g}",
                expected="non-negative probabilities that sum to 1",
            )
        return beliefs, actions

    def _action_name(self, action: Any) -> str:
        return str(int(action)) if self.world is None else f"{int(action)} ({self.world.action_names[int(action)]})"

    def _told(self, belief: np.ndarray) -> str:
        """Returns the likeliest states of a belief, for messages."""
        likeliest = np.argsort(-belief, kind="stable")[:3]
        states = self.world.dynamics().states if self.world is not None else None
        named_states = []
        for s in likeliest[belief[likeliest] > 0]:
            named = f"state {s}" if states is None or self.world is None else f"{self.world.unpack(states, int(s))}"
            named_states.append(f"{named} {belief[s]:.3g}")
        more = int(np.count_nonzero(belief)) - len(named_states)
        return ", ".join(named_states) + (f" and {more} more" if more > 0 else "")


def _check_filter(tables: BeliefFilter) -> None:
    shape, owner = tables.next_state.shape, tables.owner
    if len(shape) != 3 or 0 in shape:
        raise UsageError(f"next_state of shape {shape} for {owner}", expected="[S, A, K], none of them 0")
    if tables.next_state.dtype.kind not in "iu":
        raise UsageError(f"next_state of dtype {tables.next_state.dtype} for {owner}", expected="state numbers")
    states, actions, _ = shape
    wanted = {"probability": shape, "legal": (states, actions), "initial": (states,), "terminal": (states,)}
    for name, expected in wanted.items():
        found = getattr(tables, name).shape
        if found != expected:
            raise UsageError(f"{name} of shape {found} for {owner}", expected=f"{expected}")
    if tables.observations.ndim < 1 or len(tables.observations) != states:
        raise UsageError(f"observations of shape {tables.observations.shape} for {owner}", expected=f"[{states}, ...]")
    initial = np.asarray(tables.initial, np.float64)
    if not abs(initial.sum() - 1.0) <= SUM_TOLERANCE or (initial < 0).any():
        raise UsageError(
            f"the initial probabilities of {owner}, which sum to {initial.sum():.9g} and the least of which is "
            f"{initial.min():.3g}",
            expected="non-negative probabilities that sum to 1",
        )
    total = tables.probability.sum(axis=2)
    wrong = tables.legal & ~((np.abs(total - 1.0) <= SUM_TOLERANCE) & (tables.probability >= 0).all(axis=2))
    if wrong.any():
        s, a = np.argwhere(wrong)[0]
        raise UsageError(
            f"the outcomes of state {s} under action {a} of {owner} have probabilities "
            f"{tables.probability[s, a].tolist()} summing to {total[s, a]:.9g}",
            expected="non-negative probabilities that sum to 1",
        )
    outside = (tables.next_state < 0) | (tables.next_state >= states)
    used = tables.legal[:, :, None] & (tables.probability > 0) & outside
    if used.any():
        s, a, k = np.argwhere(used)[0]
        raise UsageError(
            f"state {s}, action {a} of {owner} leads to state {tables.next_state[s, a, k]}",
            expected=f"a state from 0 to {states - 1}",
        )
