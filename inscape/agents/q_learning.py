"""Tabular Q-learning: Q(s,a) ← Q(s,a) + α·(r + γ·(1 − terminated)·max_a′ Q(s′,a′) − Q(s,a)).

In a world of ours the environment and the update run in one compiled loop; in any other Gymnasium environment with
finite observations and actions the same rule runs in Python.

Source: Watkins (1989), Learning from Delayed Rewards, chapter 7; Watkins & Dayan (1992), Machine Learning 8.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np

from inscape.agents.acting import choice_log_probs, restore_rng, rng_state, sample_actions
from inscape.agents.interface import Agent, Array, Metrics, State
from inscape.errors import UsageError

if TYPE_CHECKING:
    from inscape.envs.law import World
    from inscape.envs.registry import Task

TEMPLATE = "inscape.agents.kernels.q_learning"
MAX_TABLE = 100_000_000
# what the columns of `totals` hold (see the kernel template)
EPISODES, RETURNS, LENGTHS, RUNNING, STEPS, ERRORS = range(6)


@dataclass(frozen=True)
class QLearningSettings:
    """Settings of tabular Q-learning."""

    gamma: float = 0.99
    """Discount per step."""
    learning_rate: float = 1.0
    """Step size of the first update of a state-action pair."""
    learning_rate_power: float = 0.6
    """The n-th update of a pair uses learning_rate · n^−power. Values in (0.5, 1] converge; 0 keeps the rate."""
    learning_rate_floor: float = 0.0
    """The step size never falls below this."""
    epsilon_start: float = 1.0
    """Probability of a uniformly random action at the first step."""
    epsilon_end: float = 0.1
    """The same from `epsilon_fraction` of the training on."""
    epsilon_fraction: float = 0.5
    """Part of the training over which epsilon falls, linearly."""
    initial_value: float = 0.0
    """Where Q starts. Above what can be reached (optimism), everything is tried before it is given up."""
    beta: float | None = None
    """Rationality when acting after learning, P(a|s) ∝ exp(beta·Q); None acts greedily."""
    steps_per_report: int = 50_000
    """Environment steps between two reports of `learn`."""

    def __post_init__(self) -> None:
        for name, low, high in (
            ("gamma", 0.0, 1.0), ("learning_rate", 0.0, 1.0), ("learning_rate_power", 0.0, 1.0),
            ("learning_rate_floor", 0.0, 1.0), ("epsilon_start", 0.0, 1.0), ("epsilon_end", 0.0, 1.0),
            ("epsilon_fraction", 0.0, 1.0), ("steps_per_report", 1, 10**12),
        ):  # fmt: skip
            value = getattr(self, name)
            if not low <= value <= high:
                raise UsageError(f"{name} = {value!r}", expected=f"a number from {low} to {high}")
        if self.beta is not None and not 0 <= self.beta < np.inf:
            raise UsageError(f"beta = {self.beta!r}", expected="a finite number of at least 0, or None for greedy")


class QLearning(Agent):
    """A table of action values, one row per observation.

    Args:
        task: what to act in; observations `Discrete` or `MultiDiscrete`, actions `Discrete`.
        seed: seed of exploration and of the episodes learned from.
        settings: see `QLearningSettings`.

    Raises:
        UsageError: the spaces are not finite, or the table would not fit.
    """

    name = "q-learning"

    def __init__(self, task: Task, seed: int = 0, settings: QLearningSettings | None = None) -> None:
        self.settings = settings or QLearningSettings()
        self.seed = seed
        self._space = _finite_actions(task)
        self._first, self._strides, rows = _table_rows(task)
        shape = (rows, int(self._space.n))
        if rows * shape[1] > MAX_TABLE:
            raise UsageError(
                f"a table of {rows:,} observations × {shape[1]} actions for {task.name}",
                expected=f"at most {MAX_TABLE:,} entries",
                hint="ppo or sb3:dqn, which generalise",
            )
        self.q_values: Array = np.full(shape, self.settings.initial_value)
        self.counts: Array = np.zeros(shape, np.int64)
        self.steps = 0
        self._totals: Array = np.zeros(6)
        self._acting, self._exploring = (np.random.default_rng([seed, k]) for k in range(2))
        self._copy: dict[str, Array] | None = None

    # ------------------------------------------------------------------------------------------- acting

    def act(self, observation: Array, action_mask: Array | None = None) -> Array:
        return sample_actions(self.action_log_probs(observation, action_mask), self._acting) + int(self._space.start)

    def action_log_probs(self, observation: Array, action_mask: Array | None = None) -> Array:
        """Returns `[B, A]` log-probabilities as it acts after learning: greedily, or by the choice rule with `beta`."""
        return choice_log_probs(self.q_values[self.rows(observation)], self.settings.beta, action_mask)

    def rows(self, observation: Array) -> Array:
        """Returns the `[B]` rows of the table that `[B, ...]` observations have."""
        flat = np.asarray(observation).reshape(len(observation), -1)
        rows = np.asarray((flat - self._first) @ self._strides).astype(np.int64)
        outside = (rows < 0) | (rows >= len(self.q_values))
        if outside.any():
            raise self._no_row(observation[int(np.argmax(outside))])
        return rows

    def _no_row(self, observation: Array) -> UsageError:
        return UsageError(
            f"the observation {observation} has no row in the table of {len(self.q_values):,}",
            expected="observations within the space that the world declares",
            hint="fix the world's `observations` or `observation`: inscape check WORLD",
        )

    # ------------------------------------------------------------------------------------------- learning

    def learn(self, task: Task, steps: int) -> Iterator[Metrics]:
        """Learns until `steps` environment steps in total; yields every `steps_per_report`.

        Exact resume on worlds of ours; on other environments a resumed run begins a new episode.
        """
        advance = self._compiled(task.world, task) if task.world is not None else self._in_python(task)
        while self.steps < steps:
            before = self._totals.copy()
            chunk = min(self.settings.steps_per_report, steps - self.steps)
            advance(chunk, self._schedule(steps))
            self.steps += chunk
            yield self._metrics(before, chunk, steps)

    def _schedule(self, steps: int) -> tuple[float, ...]:
        s = self.settings
        horizon = max(1.0, s.epsilon_fraction * steps)
        return (
            s.gamma, s.learning_rate, s.learning_rate_power, s.learning_rate_floor,
            s.epsilon_start, s.epsilon_end, horizon,
        )  # fmt: skip

    def _metrics(self, before: Array, chunk: int, steps: int) -> Metrics:
        gained = self._totals - before
        *_, start, end, horizon = self._schedule(steps)
        metrics = {
            "steps": float(self.steps),
            "epsilon": end + (start - end) * max(0.0, 1.0 - self.steps / horizon),
            "td_error": float(gained[ERRORS] / chunk),
            "visited": float((self.counts > 0).mean()),
        }
        if gained[EPISODES] > 0:
            metrics["episode_return"] = float(gained[RETURNS] / gained[EPISODES])
            metrics["episode_length"] = float(gained[LENGTHS] / gained[EPISODES])
        return metrics

    def _compiled(self, world: World, task: Task) -> Any:
        from inscape.envs.streams import stream_key

        kernels = world.kernel(TEMPLATE)
        if self._copy is None:
            one = world.vector_env(1)
            one.reset(seed=self.seed)
            begun = one.state_dict()
            self._copy = {"floats": begun["floats"], "ints": begun["ints"]}
        copy, seen = self._copy, world.observation_array(1)
        # exploration has a stream of its own, apart from the environment's chance
        key = stream_key(self.seed, -1)

        def advance(count: int, schedule: tuple[float, ...]) -> None:
            known = kernels.learn(
                world.packed, copy["floats"], copy["ints"], seen, self._first, self._strides,
                self.q_values, self.counts, schedule, key, self.steps, count, task.max_episode_steps or 0, self._totals,
            )  # fmt: skip
            if not known:
                raise self._no_row(seen)

        return advance

    def _in_python(self, task: Task) -> Any:
        env = task.env()
        # a resumed run begins an episode of its own, not the first one again
        observation, info = env.reset(seed=self.seed + self.steps)
        length, self._totals[RUNNING] = 0, 0.0
        start, actions = int(self._space.start), int(self._space.n)
        everything = np.ones(actions, np.bool_)

        def advance(count: int, schedule: tuple[float, ...]) -> None:
            nonlocal observation, info, length
            gamma, rate, power, floor, high, low, horizon = schedule
            q, counts, totals, rng = self.q_values, self.counts, self._totals, self._exploring
            row = int(self.rows(np.asarray(observation)[None])[0])
            mask = np.asarray(info.get("action_mask", everything), np.bool_)
            for t in range(self.steps, self.steps + count):
                epsilon = low + (high - low) * max(0.0, 1.0 - t / horizon)
                legal = np.flatnonzero(mask)
                if rng.random() >= epsilon:
                    legal = legal[q[row, legal] == q[row, legal].max()]
                action = int(legal[rng.integers(len(legal))])
                observation, gain, terminated, truncated, info = env.step(action + start)
                next_row = int(self.rows(np.asarray(observation)[None])[0])
                mask = np.asarray(info.get("action_mask", everything), np.bool_)
                target = float(gain) if terminated else float(gain) + gamma * q[next_row, mask].max()
                counts[row, action] += 1
                error = target - q[row, action]
                q[row, action] += max(floor, rate * float(counts[row, action]) ** -power) * error
                length += 1
                totals[[RUNNING, STEPS, ERRORS]] += (float(gain), 1.0, abs(error))
                if terminated or truncated:
                    totals[[EPISODES, RETURNS, LENGTHS]] += (1.0, totals[RUNNING], length)
                    totals[RUNNING], length = 0.0, 0
                    observation, info = env.reset()
                    next_row = int(self.rows(np.asarray(observation)[None])[0])
                    mask = np.asarray(info.get("action_mask", everything), np.bool_)
                row = next_row

        return advance

    # ------------------------------------------------------------------------------------------- saving

    def state_dict(self) -> State:
        return {
            "q_values": self.q_values.copy(),
            "counts": self.counts.copy(),
            "steps": self.steps,
            "totals": self._totals.copy(),
            "acting": rng_state(self._acting),
            "exploring": rng_state(self._exploring),
            "copy": None if self._copy is None else {name: array.copy() for name, array in self._copy.items()},
        }

    def load_state_dict(self, state: State) -> None:
        q_values = np.array(state["q_values"])
        if q_values.shape != self.q_values.shape:
            raise UsageError(
                f"a table of shape {q_values.shape}", expected=f"shape {self.q_values.shape} for this task"
            )
        self.q_values, self.counts = q_values, np.array(state["counts"])
        self.steps, self._totals = int(state["steps"]), np.array(state["totals"])
        restore_rng(self._acting, state["acting"])
        restore_rng(self._exploring, state["exploring"])
        copy = state["copy"]
        self._copy = None if copy is None else {name: np.array(array) for name, array in copy.items()}


def _finite_actions(task: Task) -> gymnasium.spaces.Discrete[Any]:
    space = task.action_space
    if not isinstance(space, gymnasium.spaces.Discrete):
        raise UsageError(
            f"q-learning on {task.name}, whose actions are {space}",
            expected="a Discrete action space",
            hint="ppo, or sb3:sac for continuous actions",
        )
    return space


def _table_rows(task: Task) -> tuple[Array, Array, int]:
    """Returns `(first value [D], stride [D], number of rows)` of the table over the observations."""
    space = task.observation_space
    if isinstance(space, gymnasium.spaces.Discrete):
        return np.array([space.start], np.int64), np.ones(1, np.int64), int(space.n)
    if isinstance(space, gymnasium.spaces.MultiDiscrete):
        sizes = space.nvec.reshape(-1).astype(np.int64)
        strides = np.concatenate([np.cumprod(sizes[::-1])[::-1][1:], [1]])
        return space.start.reshape(-1).astype(np.int64), strides.astype(np.int64), int(np.prod(sizes.astype(float)))
    raise UsageError(
        f"q-learning on {task.name}, whose observations are {space}",
        expected="Discrete or MultiDiscrete observations",
        hint="ppo or sb3:dqn, which take any numbers",
    )
