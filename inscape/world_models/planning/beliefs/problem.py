"""A partly observed problem as planners over beliefs need it: P(state', observation | state, action) and rewards.

In the tables of a world a percept is part of the state. States that differ in the percept alone have the same future:
they become one, and the percept an observation of the step. Source: lumping by equal rows, repeated: Kemeny & Snell
(1960), "Finite Markov Chains", section 6.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from inscape.errors import MissingLawError, UsageError
from inscape.world_models.belief.model import BeliefModel
from inscape.world_models.interface import check_gamma

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class BeliefProblem:
    """C classes of states, A actions, O observations.

    Attributes:
        model: beliefs over the S states of the world.
        action, observation, source: `[U]` what may happen: an action in a class, and what is observed then.
        ahead: `[U, C]` SciPy sparse P(class', observation, the task goes on | class, action).
        reward: `[C, A]` expected rewards; 0 where the action is illegal.
        legal: `[C, A]` bool.
        initial: `[N, C]` beliefs after the first observation, and
        initial_probability: `[N]` how likely each is.
        class_of: `[S]` class of every state; −1 for terminal ones, which have no class.
        gamma: discount.
    """

    model: BeliefModel
    action: Array
    observation: Array
    source: Array
    ahead: Any
    reward: Array
    legal: Array
    initial: Array
    initial_probability: Array
    class_of: Array
    gamma: float

    @property
    def num_classes(self) -> int:
        return int(self.reward.shape[0])

    @property
    def num_actions(self) -> int:
        return int(self.reward.shape[1])

    @property
    def num_observations(self) -> int:
        return int(self.observation.max(initial=0)) + 1

    @staticmethod
    def of(model: Any, gamma: float | None = None, lump: bool = True, horizon: int | None = None) -> BeliefProblem:
        """Returns the problem of a `BeliefModel`, or of a world (its class, or its name).

        Without `lump`, every state that is not terminal is a class of its own. Without gamma, the one that the world
        states; where nothing is stated 0.99, of a `BeliefModel` 0.95; with a horizon 1.

        Raises:
            MissingLawError: the law can only be sampled, or there are several players.
            UsageError: gamma out of range.
        """
        own = 0.95 if horizon is None else 1.0
        if not isinstance(model, BeliefModel):
            from inscape.envs.tasks.resolve import resolve_task

            task = resolve_task(model)
            if task.world is None:
                raise MissingLawError(
                    f"{task.name} has no law, and beliefs need one", expected="a built-in world, or a World in a file"
                )
            model, own = BeliefModel.from_world(task.world), task.world.default_gamma(horizon)
        discount = own if gamma is None else gamma
        check_gamma(discount)
        from scipy.sparse import coo_matrix

        tables = model.tables
        seen = model.filter.percepts
        class_of, classes = _lumped(tables, seen) if lump else _each(tables)
        first = np.array([np.argmax(class_of == c) for c in range(classes)])
        observations = int(seen.max()) + 1
        c, a, k = np.nonzero(tables.probability[first] * tables.legal[first][:, :, None])
        at = first[c], a, k
        following = tables.next_state[at]
        mass = tables.probability[at] * tables.continuation[at]
        goes_on = (class_of[following] >= 0) & (mass > 0)
        c, a, following, mass = c[goes_on], a[goes_on], following[goes_on], mass[goes_on]
        key, row = np.unique((a * observations + seen[following]) * classes + c, return_inverse=True)
        ahead = coo_matrix((mass, (row, class_of[following])), (len(key), classes)).tocsr()
        reward = np.where(tables.legal[first], tables.expected_reward()[first], 0.0)
        starts = np.zeros((observations, classes))
        begins = np.flatnonzero((tables.initial > 0) & ~tables.terminal)
        np.add.at(starts, (seen[begins], class_of[begins]), tables.initial[begins])
        total = starts.sum(axis=1)
        possible = np.flatnonzero(total > 0)
        return BeliefProblem(
            model, key // (observations * classes), key // classes % observations, key % classes, ahead,
            reward, tables.legal[first], starts[possible] / total[possible, None],
            total[possible], class_of, discount,
        )  # fmt: skip

    def belief_of(self, beliefs: Array) -> Array:
        """Returns `[B, C]` beliefs over classes of `[B, S]` beliefs over states."""
        found = np.zeros((len(beliefs), self.num_classes))
        alive = self.class_of >= 0
        np.add.at(found.T, self.class_of[alive], np.asarray(beliefs)[:, alive].T)
        return found

    def allowed(self, beliefs: Array) -> Array:
        """Returns `[B, A]` bool: actions legal in all states that `[B, C]` beliefs hold possible."""
        return np.asarray((beliefs > 0) @ (~self.legal).astype(float) == 0)

    def following(self, belief: Array) -> Array:
        """Returns `[A, O, C]` P(class', observation, the task goes on | belief, action)."""
        entries = self.ahead.tocoo()
        row = entries.row
        shape = self.num_actions, self.num_observations, self.num_classes
        at = (self.action[row] * shape[1] + self.observation[row]) * shape[2] + entries.col
        mass = np.bincount(at, belief[self.source[row]] * entries.data, int(np.prod(shape)))
        return mass.reshape(shape)

    def chain(self, action: int) -> Array:
        """Returns `[C, C]` P(class', the task goes on | class, action)."""
        found = np.zeros((self.num_classes, self.num_classes))
        rows = np.flatnonzero(self.action == action)
        np.add.at(found, self.source[rows], self.ahead[rows].toarray())
        return found

    def require_discount(self, method: str) -> None:
        """Raises UsageError for γ = 1, where values of beliefs may be infinite."""
        if self.gamma == 1.0:
            raise UsageError(f"gamma = 1 for {method}", expected="gamma < 1", hint="a horizon (alpha_vectors)")


def _each(tables: Any) -> tuple[Array, int]:
    """Returns `[S]` classes of one state each, −1 where terminal, and how many there are."""
    going = ~tables.terminal
    return np.where(going, np.cumsum(going) - 1, -1), int(going.sum())


def _lumped(tables: Any, seen: Array) -> tuple[Array, int]:
    """Returns `[S]` the class of each state, −1 where terminal, and how many there are."""
    size = tables.num_states
    going = np.flatnonzero(~tables.terminal)
    class_of = np.where(tables.terminal, -1, 0)
    count = 1
    reward = tables.expected_reward()
    while True:
        rows: dict[bytes, int] = {}
        renamed = np.full(size, -1)
        for s in going:
            parts = [tables.legal[s].tobytes(), np.round(reward[s] * tables.legal[s], 12).tobytes()]
            for a in np.flatnonzero(tables.legal[s]):
                used = (tables.probability[s, a] > 0) & (class_of[tables.next_state[s, a]] >= 0)
                following = tables.next_state[s, a][used]
                key = class_of[following].astype(np.int64) * (int(seen.max()) + 1) + seen[following]
                values, inverse = np.unique(key, return_inverse=True)
                mass = (tables.probability[s, a] * tables.continuation[s, a])[used]
                parts += [values.tobytes(), np.round(np.bincount(inverse, mass, len(values)), 12).tobytes()]
            # classes are only ever split: the old one is part of the key
            renamed[s] = rows.setdefault(b"|".join([int(class_of[s]).to_bytes(8, "little"), *parts]), len(rows))
        class_of = renamed
        if len(rows) == count:
            return class_of, count
        count = len(rows)
