"""A dynamic Bayesian network over the fields of the observation, learned by counting.

Each field of the next observation, and the end, depends on few of: the action, the fields before, the fields after that
come earlier in order. Which, is averaged over exactly (`inscape.world_models.factored.structure`). Where fields depend
on few others, far fewer samples are needed than of whole states: counts are shared by all that does not matter.

Sources: Dean & Kanazawa (1989), Computational Intelligence 5; factored models for control: Boutilier, Dearden &
Goldszmidt (2000), Artificial Intelligence 121; see also `structure`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from gymnasium import spaces

from inscape.errors import UsageError
from inscape.rng import drawn_indices
from inscape.world_models.episodes import check_episodes, check_spaces
from inscape.world_models.factored.structure import Dependence, learned_dependence
from inscape.world_models.interface import Batch, FitReport, ModelStep, as_numpy

if TYPE_CHECKING:
    from inscape.envs.data.trajectory import Trajectory
    from inscape.world_models.tabular.model import TabularModel

Array = np.ndarray
HELD_OUT = 0.2
MOST_STATES = 50_000
MOST_VALUES = 4096


@dataclass(frozen=True)
class FactoredSettings:
    """How the network is learned."""

    structure: Literal["learned", "full"] = "learned"
    """Whether it is learned what each field depends on; full: on everything, which is a table of whole states."""
    max_parents: int = 3
    """What a field depends on at most, the action counted too."""
    concentration: float = 0.5
    """Prior mass of the Dirichlet over the values of a field, under each configuration of its parents."""

    def __post_init__(self) -> None:
        if self.structure not in ("learned", "full"):
            raise UsageError(f"structure = {self.structure!r}", expected="'learned' or 'full'")
        if isinstance(self.max_parents, bool) or not isinstance(self.max_parents, int) or self.max_parents < 0:
            raise UsageError(f"max_parents = {self.max_parents!r}", expected="a whole number of at least 0")
        if not 0 < self.concentration < math.inf:
            raise UsageError(f"concentration = {self.concentration}", expected="a positive number")


class FactoredModel:
    """A `WorldModel` whose states are `[B, F]` fields, counted from 0.

    Args:
        observation_space: Discrete, MultiDiscrete, MultiBinary, or a bounded Box of whole numbers.
        action_space: Discrete, counted from 0.
        settings: see `FactoredSettings`.

    Raises:
        UsageError: spaces it cannot take, or more configurations than can be numbered.
    """

    num_players = 1

    def __init__(
        self, observation_space: spaces.Space[Any], action_space: spaces.Space[Any],
        settings: FactoredSettings | None = None,
    ) -> None:  # fmt: skip
        self.settings = settings or FactoredSettings()
        if not isinstance(action_space, spaces.Discrete) or action_space.start != 0:
            raise UsageError(
                f"the action space {action_space}", expected="Discrete actions, counted from 0, for a factored model",
                hint="--model ensemble for continuous actions",
            )  # fmt: skip
        self.action_space, self.observation_space = action_space, observation_space
        self.first, self.sizes = _fields(observation_space)
        self.fields = len(self.sizes)
        self._columns = (int(action_space.n), *self.sizes, *self.sizes)  # action, fields before, fields after
        if self.settings.structure == "full" and math.prod(self._columns) >= 2**62:
            raise UsageError(f"a full table of {observation_space}", expected="fewer configurations")
        self._rows = np.zeros((0, len(self._columns) + 1), np.int64)  # … and whether it ended
        self._times: Array = np.zeros(0, np.int64)  # how often
        self._rewards: Array = np.zeros(0)  # the sum of what was paid
        self._states: Array = np.zeros((0, self.fields), np.int64)  # those of the tables
        self._starts = np.zeros((0, self.fields), np.int64)
        self._start_times = np.zeros(0, np.int64)
        self._refit()

    @classmethod
    def for_task(cls, task: Any, settings: FactoredSettings | None = None) -> FactoredModel:
        """Returns an untrained model of a task, a world, or what stands for one.

        Raises:
            UsageError: its observations or actions are not finitely many; several players.
        """
        from inscape.envs.tasks.resolve import as_task

        given = as_task(task)
        if given.players != 1:
            raise UsageError(f"{given.name} has {given.players} players", expected="a world of one player")
        return cls(given.observation_space, given.action_space, settings)

    # ------------------------------------------------------------------------------------------------ learning

    def learn(self, trajectories: Iterable[Trajectory]) -> Iterator[FitReport]:
        """Adds episodes to what is counted and reports once; the last fifth is first coded by what was known before.

        Raises:
            UsageError: no step to learn from; something is not finite or not of the spaces (episode and step named).
        """
        episodes = list(trajectories)
        check_episodes(episodes, "the factored model")
        check_spaces(episodes, self.observation_space, self.action_space, "the factored model")
        rows, rewards = (np.concatenate(parts) for parts in zip(*(self._coded(one) for one in episodes if len(one))))
        boundary = len(rows) - int(HELD_OUT * len(rows))
        self._count(rows[:boundary], rewards[:boundary])
        starts = np.stack([self._values(np.asarray(one.observations)[:1])[0] for one in episodes if len(one)])
        self._starts, at = np.unique(np.concatenate([self._starts, starts]), axis=0, return_inverse=True)
        times = np.concatenate([self._start_times, np.ones(len(starts), np.int64)])
        self._start_times = np.bincount(at.reshape(-1), times).astype(np.int64)
        bits = math.nan
        if boundary < len(rows):
            self._refit()
            bits = -float(self._log_probs(rows[boundary:]).sum()) / (len(rows) - boundary) / math.log(2)
            self._count(rows[boundary:], rewards[boundary:])
        self._refit()
        metrics = {"transitions_seen": float(len(self._times)), "mean_parents": float(np.mean(self.parent_counts()))}
        yield FitReport(len(rows), bits, metrics=metrics)

    def _coded(self, episode: Trajectory) -> tuple[Array, Array]:
        values = self._values(np.asarray(episode.observations))
        ended = np.zeros((len(episode), 1), np.int64)
        ended[-1] = episode.terminated
        actions = np.asarray(episode.actions, np.int64)[:, None]
        return np.concatenate([actions, values[:-1], values[1:], ended], axis=1), np.asarray(
            episode.rewards, np.float64
        )

    def _values(self, observations: Array) -> Array:
        rows = np.asarray(observations).reshape(len(observations), -1)
        values = np.rint(rows).astype(np.int64) - self.first
        wrong = ((values < 0) | (values >= np.array(self.sizes)) | (values + self.first != rows)).any(axis=1)
        if wrong.any():
            raise UsageError(
                f"the observation {rows[int(np.argmax(wrong))]}", expected=f"whole numbers in {self.observation_space}"
            )
        return np.asarray(values)

    def _count(self, rows: Array, rewards: Array) -> None:
        everything = np.concatenate([self._rows, rows])
        times = np.concatenate([self._times, np.ones(len(rows), np.int64)])
        self._rows, at = np.unique(everything, axis=0, return_inverse=True)
        at = at.reshape(-1)
        self._rewards = np.bincount(at, np.concatenate([self._rewards, rewards]), len(self._rows))
        self._times = np.bincount(at, times, len(self._rows)).astype(np.int64)

    def _refit(self) -> None:
        """Learns from the counts what depends on what."""
        own, most = self.settings, self.settings.max_parents if self.settings.structure == "learned" else None
        columns, times, count = self._rows[:, :-1], self._times, self.fields
        self._laws: list[Dependence] = [
            learned_dependence(
                columns, columns[:, 1 + count + k], times, range(1 + count + k), self._columns, self.sizes[k],
                own.concentration, most,
            )
            for k in range(count)
        ]  # fmt: skip
        self._ends = learned_dependence(
            columns, self._rows[:, -1], times, range(len(self._columns)), self._columns, 2, 1.0, most
        )
        paid, self._paid = np.unique(np.round(self._rewards / np.maximum(times, 1), 9), return_inverse=True)
        self._prices = paid
        self._pay = None
        if 0 < len(paid) <= MOST_VALUES:
            self._pay = learned_dependence(
                columns, self._paid.reshape(-1), times, range(len(self._columns)), self._columns, len(paid), 1e-3, most
            )
        self._table: TabularModel | None = None

    def parents(self) -> dict[str, tuple[str, ...]]:
        """Returns what each field depends on under the most probable structure, by name."""
        names = [
            "action",
            *(f"field {k}" for k in range(self.fields)),
            *(f"next field {k}" for k in range(self.fields)),
        ]
        found = {f"next field {k}": law.sets[0].parents for k, law in enumerate(self._laws)}
        found["terminated"] = self._ends.sets[0].parents
        return {name: tuple(names[column] for column in parents) for name, parents in found.items()}

    def parent_counts(self) -> list[int]:
        """Returns how many parents each field has under the most probable structure."""
        return [len(law.sets[0].parents) for law in self._laws]

    # ------------------------------------------------------------------------------------------------ prediction

    def _parts(self, rows: Array) -> tuple[Array, Array]:
        """Returns log P of each field `[N, F]` and of the end `[N]`, given those before, in nats."""
        columns, here = rows[:, :-1], np.arange(len(rows))
        fields = [
            np.log(law.probabilities(columns)[here, columns[:, 1 + self.fields + k]])
            for k, law in enumerate(self._laws)
        ]
        return np.stack(fields, axis=1), np.log(self._ends.probabilities(columns)[here, rows[:, -1]])

    def _log_probs(self, rows: Array) -> Array:
        fields, ends = self._parts(rows)
        return np.asarray(fields.sum(axis=1) + ends)

    def step_log_probs(self, trajectory: Trajectory) -> Array:
        """Returns `[T]` log P(next observation, terminated | observation, action), in nats; nothing is learned."""
        return self._log_probs(self._coded(trajectory)[0])

    def log_prob(self, trajectory: Trajectory) -> float:
        """Returns Σ_t log P(next observation, terminated | observation, action), in nats; nothing is learned."""
        return float(self.step_log_probs(trajectory).sum())

    def field_log_probs(self, trajectory: Trajectory) -> dict[str, float]:
        """Returns the parts of `log_prob` by field, in nats."""
        fields, ends = self._parts(self._coded(trajectory)[0])
        return {
            **{f"field {k}": float(fields[:, k].sum()) for k in range(self.fields)},
            "terminated": float(ends.sum()),
        }

    def transition_log_probs(
        self, observations: Array, actions: Array, next_observations: Array, terminated: Array
    ) -> Array:
        """Returns `[B]` log P(next observation, terminated | observation, action), in nats; nothing is learned."""
        ended = np.asarray(terminated, np.int64)[:, None]
        before, after = self._values(np.asarray(observations)), self._values(np.asarray(next_observations))
        rows = np.concatenate([np.asarray(actions, np.int64)[:, None], before, after, ended], axis=1)
        return self._log_probs(rows)

    # ------------------------------------------------------------------------------------------------ as a WorldModel

    def init(self, observations: Batch) -> Array:
        """Returns `[B, F]` fields, counted from 0."""
        return self._values(as_numpy(observations))

    def update(self, states: Array, actions: Batch, observations: Batch) -> Array:
        """Returns `[B, F]` fields: this model takes an observation for the state."""
        return self.init(observations)

    def observe(self, states: Array) -> Array:
        """Returns `[B, …]` observations of states."""
        shape = self.observation_space.shape or ()
        return np.asarray((states + self.first).reshape(len(states), *shape), self.observation_space.dtype)

    def keys(self, states: Array) -> list[bytes]:
        return [row.tobytes() for row in np.ascontiguousarray(states)]

    def step(self, states: Array, actions: Batch, rng: np.random.Generator) -> ModelStep:
        """Returns sampled successors, drawn field by field."""
        columns = np.concatenate([np.asarray(actions, np.int64)[:, None], states, np.zeros_like(states)], axis=1)
        for k, law in enumerate(self._laws):
            columns[:, 1 + self.fields + k] = drawn_indices(law.probabilities(columns), rng.random(len(columns)))
        return ModelStep(columns[:, 1 + self.fields :].copy(), self._reward(columns), self._continuation(columns))

    def disagreement(self, states: Array, actions: Batch) -> Array:
        """Returns `[B]` the information in nats that the next fields would give about their laws, summed over fields.

        Fields that depend on others of the next observation are taken at the most probable values of those.
        """
        states = self._states_of(states)
        columns = np.concatenate([np.asarray(actions, np.int64)[:, None], states, np.zeros_like(states)], axis=1)
        total = np.zeros(len(columns))
        for k, law in enumerate(self._laws):
            total += law.gain(columns)
            columns[:, 1 + self.fields + k] = law.probabilities(columns).argmax(axis=1)
        return total

    def _states_of(self, states: Array) -> Array:
        """Returns fields, also for the numbers of the states of `tabular()`."""
        given = np.asarray(states)
        return given if given.ndim == 2 else self._listed()[0][given]

    def _reward(self, columns: Array) -> Array:
        if self._pay is None:
            return np.zeros(len(columns))
        one = self._pay.sets[0]
        counts = self._pay.counts(one, columns)
        total = counts.sum(axis=1)
        lowest = self._prices.min()
        return np.asarray(np.where(total > 0, counts @ self._prices / np.maximum(total, 1), lowest))

    def _continuation(self, columns: Array) -> Array:
        counts = self._ends.counts(self._ends.sets[0], columns)
        total = counts.sum(axis=1)
        return np.asarray(np.where(total > 0, counts[:, 0] / np.maximum(total, 1), 1.0))

    # ------------------------------------------------------------------------------------------------ as tables

    def tabular(self) -> TabularModel:
        """Returns the states that can be reached from the first observations seen, under the most probable structure
        and observed frequencies; what a configuration never seen does is taken to be to stay, at the lowest reward.

        Raises:
            UsageError: nothing is learned yet, or more than 50,000 states.
        """
        if self._table is None:
            self._listed()
        assert self._table is not None
        return self._table

    def _listed(self) -> tuple[Array, TabularModel]:
        from inscape.world_models.tabular.model import ObservationIndex, TabularModel, absorb, observation_keys

        if self._table is not None:
            return self._states, self._table
        if not len(self._starts):
            raise UsageError("tables of a factored model that has learned nothing", expected="a model that was fitted")
        actions, count = int(self.action_space.n), self.fields
        known = {row.tobytes(): number for number, row in enumerate(np.ascontiguousarray(self._starts))}
        states, done = [*self._starts], 0
        ended_at = self._only_ends()
        found: list[tuple[Array, Array, Array, Array]] = []  # source row, successor, probability, columns
        while done < len(states):
            block = np.stack(states[done:])
            source = np.repeat(np.arange(done, len(states)), actions)
            columns = np.zeros((len(source), len(self._columns)), np.int64)
            columns[:, 0] = np.tile(np.arange(actions), len(block))
            columns[:, 1 : 1 + count] = np.repeat(block, actions, axis=0)
            rows, probability, columns = self._expanded(columns)
            over = np.array([state.tobytes() in ended_at for state in np.ascontiguousarray(block)], np.bool_)
            done = len(states)
            after = np.ascontiguousarray(columns[:, 1 + count :])
            following = np.empty(len(after), np.int64)
            for number, row in enumerate(after):
                key = row.tobytes()
                if key not in known and not over[rows[number] // actions]:
                    known[key] = len(states)
                    states.append(row)
                following[number] = known.get(key, 0)
            if len(states) > MOST_STATES:
                raise UsageError(
                    f"more than {MOST_STATES:,} states in a factored model", expected="fewer, to be solved exactly",
                    hint="a search: --planner icem, --planner gumbel",
                )  # fmt: skip
            found.append((source[rows] * actions + columns[:, 0], following, probability, columns))
        rows, following, probability = (np.concatenate([part[k] for part in found]) for k in range(3))
        columns = np.concatenate([part[3] for part in found])
        order = np.argsort(rows, kind="stable")
        rows, following, probability, columns = rows[order], following[order], probability[order], columns[order]
        place = np.arange(len(rows)) - np.searchsorted(rows, rows)
        shape = (len(states) * actions, int(place.max()) + 1)
        tables = [np.zeros(shape) for _ in range(4)]
        tables[3][:] = 1.0
        for table, values in zip(
            tables, (following, probability, self._reward(columns), self._continuation(columns)), strict=True
        ):
            table[rows, place] = values
        self._states = np.stack(states)
        terminal = np.array([row.tobytes() in ended_at for row in np.ascontiguousarray(self._states)], np.bool_)
        full = [table.reshape(len(states), actions, -1) for table in tables]
        made = absorb(full[0], full[1], full[2], full[3], terminal)
        initial = np.zeros(len(states))
        initial[: len(self._starts)] = self._start_times / self._start_times.sum()
        index = ObservationIndex(observation_keys(self.observe(self._states)), "the factored model", default=0)
        legal = np.ones((len(states), actions), np.bool_)
        self._table = TabularModel(*made, legal, initial, terminal, index, "the factored model")
        return self._states, self._table

    def _expanded(self, columns: Array) -> tuple[Array, Array, Array]:
        """Returns the outcomes of rows: which row, its probability, the columns with the fields after filled in."""
        rows, probability = np.arange(len(columns)), np.ones(len(columns))
        for k, law in enumerate(self._laws):
            counts = law.counts(law.sets[0], columns)
            total = counts.sum(axis=1, keepdims=True)
            stay = np.eye(self.sizes[k])[columns[:, 1 + k]]
            share = np.where(total > 0, counts / np.maximum(total, 1), stay)
            row, value = np.nonzero(share)
            rows, probability, columns = rows[row], probability[row] * share[row, value], columns[row]
            columns[:, 1 + self.fields + k] = value
        return rows, probability, columns

    def _only_ends(self) -> set[bytes]:
        """Returns the states where every arrival ended the task and from which nothing was ever done."""
        count = self.fields
        after = np.ascontiguousarray(self._rows[:, 1 + count : 1 + 2 * count])
        before = {row.tobytes() for row in np.ascontiguousarray(self._rows[:, 1 : 1 + count])}
        going_on = {row.tobytes() for row, ended in zip(after, self._rows[:, -1]) if not ended}
        return {row.tobytes() for row in after} - before - going_on

    # ------------------------------------------------------------------------------------------------ storage

    def state_dict(self) -> dict[str, Any]:
        """Returns what was counted, as arrays."""
        return {
            "rows": self._rows, "times": self._times, "rewards": self._rewards, "starts": self._starts,
            "start_times": self._start_times,
        }  # fmt: skip

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Replaces everything learned by what `state_dict` returned.

        Raises:
            UsageError: it is not that of a factored model with these fields.
        """
        names = ("rows", "times", "rewards", "starts", "start_times")
        if missing := [name for name in names if name not in state]:
            raise UsageError(f"a stored factored model without {', '.join(missing)}", expected=", ".join(names))
        rows = np.array(state["rows"], np.int64)
        sizes = np.array((*self._columns, 2))
        if rows.ndim != 2 or rows.shape[1] != len(sizes) or ((rows < 0) | (rows >= sizes)).any():
            raise UsageError(
                f"a stored factored model with rows of shape {rows.shape}",
                expected=f"[N, {len(sizes)}]: action, fields before and after, within {self._columns}",
            )
        self._rows, self._times = rows, np.array(state["times"], np.int64)
        self._rewards = np.array(state["rewards"], np.float64)
        self._starts = np.array(state["starts"], np.int64).reshape(-1, self.fields)
        self._start_times = np.array(state["start_times"], np.int64)
        for name, array, length in (
            ("times", self._times, len(rows)), ("rewards", self._rewards, len(rows)),
            ("start_times", self._start_times, len(self._starts)),
        ):  # fmt: skip
            if array.shape != (length,) or not np.isfinite(array).all():
                raise UsageError(f"a stored factored model with {name} of shape {array.shape}", expected=f"[{length}]")
        self._refit()


def _fields(space: spaces.Space[Any]) -> tuple[Array, tuple[int, ...]]:
    """Returns the least value of each field of an observation, and how many values it has.

    Raises:
        UsageError: they are not finitely many whole numbers.
    """
    if isinstance(space, spaces.Discrete):
        return np.array([int(space.start)]), (int(space.n),)
    if isinstance(space, spaces.MultiDiscrete):
        return np.asarray(space.start, np.int64).reshape(-1), tuple(int(n) for n in space.nvec.reshape(-1))
    if isinstance(space, spaces.MultiBinary):
        count = int(np.prod(space.shape))
        return np.zeros(count, np.int64), (2,) * count
    if isinstance(space, spaces.Box) and space.dtype.kind in "iub":
        low, high = space.low.reshape(-1).astype(np.int64), space.high.reshape(-1).astype(np.int64)
        if (high - low < MOST_VALUES).all():
            return low, tuple(int(n) for n in high - low + 1)
    raise UsageError(
        f"observations in {space}, for a factored model", expected="whole numbers, finitely many in each field",
        hint="--model ensemble for real numbers",
    )  # fmt: skip
