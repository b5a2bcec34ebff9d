"""What the tabular learners share: tables over observations, several seeds at once, learning compiled or in Python.

An algorithm is a name in the kernel template `inscape.agents.kernels.tabular`, the tables it keeps, and settings. In a
world with a law environment and update run in one compiled loop; in any other Gymnasium environment with finite
observations and actions the same update runs in Python.

Source: Sutton & Barto (2018), Reinforcement Learning, second edition, part I.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import gymnasium
import numpy as np

from inscape.agents.acting import choice_log_probs, sample_actions
from inscape.agents.interface import Agent, Metrics, learning_task
from inscape.agents.kernels.tabular_arrays import Choices, Copies, Schedule, Step
from inscape.agents.learning.episode_log import EpisodeLog
from inscape.agents.learning.settings_checks import (
    require_counts,
    require_finite,
    require_shares,
    require_weights_if_any,
)
from inscape.envs.compile.compile_time import announce
from inscape.envs.law.states import States
from inscape.envs.law.streams import later_seed
from inscape.envs.readers.copies import KEY, PackedCopies
from inscape.errors import UsageError
from inscape.rng import restore_rng, rng_state
from inscape.world_models.networks.types import Array, State

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task
    from inscape.envs.world import World

TEMPLATE = "inscape.agents.kernels.tabular"
MAX_TABLE = 100_000_000
FEW = 16
"""Loops over so many actions, or numbers of an observation, are unrolled, and no more."""
RATES = 1 << 20
"""Step sizes looked up instead of computed, at most."""
# what the columns of `totals` hold (see the kernel template)
EPISODES, RUNNING, ERRORS = range(3)
NOTED = 1 << 18
"""Episodes of all learners that a kernel notes, at most, before they are read."""
Advance = Callable[[int, Schedule], None]


@dataclass(frozen=True)
class TabularSettings:
    """Settings of every tabular learner."""

    gamma: float = 0.99
    """Discount per step."""
    learning_rate: float = 1.0
    """Step size of the first update of an entry."""
    learning_rate_power: float = 0.6
    """The n-th update of an entry uses learning_rate · n^−power. Values in (0.5, 1] converge; 0 keeps the rate."""
    learning_rate_floor: float = 0.0
    """The step size never falls below this."""
    epsilon_start: float = 1.0
    """Probability of a uniformly random action at the first step."""
    epsilon_end: float = 0.1
    """The same from `epsilon_fraction` of the training on."""
    epsilon_fraction: float = 0.5
    """Part of the training over which epsilon falls, linearly."""
    initial_value: float = 0.0
    """Where values start. Above what can be reached (optimism), everything is tried before it is given up."""
    beta: float | None = None
    """Rationality when acting after learning, P(a|s) ∝ exp(beta·Q); None acts greedily."""
    seeds: int = 1
    """Learners in one run, alike but for their seeds: seed, seed + 1, … It acts as the first of them. As an option of
    `inscape train`: --agent.seeds N, for its --seeds N makes N runs."""
    report_every: int = 2_000
    """Environment steps, of each learner, between two reports of `learn`."""

    def __post_init__(self) -> None:
        require_counts(self, "seeds", "report_every")
        require_shares(self, "gamma", "learning_rate", "learning_rate_power", "learning_rate_floor")
        require_shares(self, "epsilon_start", "epsilon_end", "epsilon_fraction")
        require_finite(self, "initial_value")
        require_weights_if_any(self, "beta")


class TabularAgent(Agent):
    """A learner with a table, one row per observation; or several learners, with a seed each, side by side.

    Args:
        task: what to act in; observations `Discrete` or `MultiDiscrete`, actions `Discrete`.
        seed: seed of exploration and of the episodes learned from. Learner i has `seed + i`.
        settings: an instance of the class attribute `Settings`.

    Attributes:
        tables: name → array, `[N, …]` for N learners. Most have `q [N, rows, A]` and `counts`, updates of each entry.
        steps: environment steps each learner has taken.

    Raises:
        UsageError: the spaces are not finite, or the tables would not fit.
    """

    Settings: ClassVar[type[TabularSettings]] = TabularSettings
    algorithm: ClassVar[str]
    """Its name among the `RULES` of the kernel template."""

    def __init__(self, task: Task, seed: int = 0, settings: Any = None) -> None:
        self.settings: Any = settings or self.Settings()
        self.seed = seed
        self._space = _finite_actions(task, self.name)
        self._first, self._strides, rows = _table_rows(task, self.name)
        self._limit, self._task_name = task.max_episode_steps or 0, task.name
        shape = (self.settings.seeds, rows, int(self._space.n))
        if np.prod(shape, dtype=float) > MAX_TABLE:
            raise UsageError(
                f"{shape[0]} tables of {rows:,} observations × {shape[2]} actions for {task.name}",
                expected=f"at most {MAX_TABLE:,} entries",
                hint="ppo or sb3:dqn, which generalise",
            )
        self._rows, self._actions, self._seeds = rows, shape[2], shape[0]
        self.tables: dict[str, Array] = self._make_tables(shape)
        self.steps = 0
        self._totals: Array = np.zeros((self._seeds, 3))
        self._log = EpisodeLog(self._seeds)
        at_once = min(self.settings.report_every, max(1, NOTED // self._seeds))  # steps, each the end of an episode
        self._ended: Array = np.zeros((self._seeds, at_once, 3))
        self._acting = np.random.default_rng([seed, 0])
        self._task: Task | None = None  # which it learns in
        self._copies: dict[str, Array] | None = None
        self._under_way: Callable[[], State] | None = None  # what environments without a law are in the midst of
        self._pending: State | None = None  # the same, of a checkpoint

    # ------------------------------------------------------------------------------------------- what algorithms say

    def _make_tables(self, shape: tuple[int, int, int]) -> dict[str, Array]:
        """Returns the tables for `shape` (N, rows, A), in the order of the kernel's `T`."""
        return {"q": np.full(shape, self.settings.initial_value), "counts": np.zeros(shape, np.int64)}

    def _kernel_tables(self) -> tuple[Any, ...]:
        return tuple(self.tables.values())

    def _extra(self) -> float:
        """Returns the `extra` of the kernel's `Schedule`."""
        return 0.0

    def _begin_episode(self) -> None:
        """Resets what belongs to an episode that will not continue."""

    # ------------------------------------------------------------------------------------------- acting

    @property
    def q_values(self) -> Array:
        """`[rows, A]` action values of the first learner."""
        return np.asarray(self.tables["q"][0])

    @property
    def counts(self) -> Array:
        """How often each entry of the first learner was updated."""
        return np.asarray(self.tables["counts"][0])

    def act(self, observation: Array, action_mask: Array | None = None) -> Array:
        return sample_actions(self.action_log_probs(observation, action_mask), self._acting) + int(self._space.start)

    def action_log_probs(self, observation: Array, action_mask: Array | None = None) -> Array:
        """Returns `[B, A]` log-probabilities as it acts after learning: greedily, or by the choice rule with `beta`."""
        return choice_log_probs(self.q_values[self.rows(observation)], self.settings.beta, action_mask)

    def rows(self, observation: Array) -> Array:
        """Returns the `[B]` rows of the table that `[B, ...]` observations have."""
        flat = np.asarray(observation).reshape(len(observation), -1)
        rows = np.asarray((flat - self._first) @ self._strides).astype(np.int64)
        outside = (rows < 0) | (rows >= self._rows)
        if outside.any():
            raise self._no_row(observation[int(np.argmax(outside))])
        return rows

    def _no_row(self, observation: Array) -> UsageError:
        return UsageError(
            f"the observation {observation} has no row in the table of {self._rows:,}",
            expected="observations within the space that the world declares",
            hint="fix the world's `observations` or `observation`: inscape check WORLD",
        )

    def _not_finite(self, learner: int, step: int, how: str) -> UsageError:
        return UsageError(
            f"the reward of copy {learner} at step {step} in {self._task_name} is not finite: {how}",
            expected="finite numbers",
            hint=f"inscape check {self._task_name}",
        )

    # ------------------------------------------------------------------------------------------- learning

    def learn(self, task: Task, steps: int) -> Iterator[Metrics]:
        """Learns until each learner has taken `steps` environment steps; yields every `report_every`.

        Resuming is exact in worlds with a law; in other environments a resumed run begins new episodes.

        Raises:
            UsageError: it has learned in another task; a reward is not finite (naming step and copy); or an observation
                has no row in the table.
        """
        self._task = learning_task(self, self._task, task)
        advance = self._compiled(task.world, steps) if task.world is not None else self._in_python(task, steps)
        while self.steps < steps:
            before = float(self._totals[:, ERRORS].sum())
            chunk = min(self.settings.report_every, steps - self.steps)
            for done in range(0, chunk, self._ended.shape[1]):
                self._take(advance, min(self._ended.shape[1], chunk - done), steps)
            yield self._metrics(before, chunk * self._seeds, steps)

    def _take(self, advance: Advance, count: int, steps: int) -> None:
        """Takes `count` steps, and logs the episodes that ended, in the order in which they did."""
        room, before = self._ended.shape[1], self._totals[:, EPISODES].astype(np.int64)
        advance(count, self._schedule(steps))
        found = self._totals[:, EPISODES].astype(np.int64) - before
        copies = np.repeat(np.arange(self._seeds), found)
        numbers = np.arange(len(copies)) - np.repeat(np.cumsum(found) - found, found)
        last, returns, lengths = self._ended[copies, (before[copies] + numbers) % room].T
        order = np.argsort(last, kind="stable")
        at = last[order].astype(np.int64) - self.steps
        self._log.add_ended(count, at, copies[order], returns[order], lengths[order])
        self.steps += count

    def _schedule(self, steps: int) -> Schedule:
        s = self.settings
        horizon = max(1.0, s.epsilon_fraction * steps)
        return Schedule(
            s.gamma, s.learning_rate, s.learning_rate_power, s.learning_rate_floor,
            s.epsilon_start, s.epsilon_end, horizon, self._extra(),
        )  # fmt: skip

    def _step_sizes(self, steps: int) -> Array:
        """Returns the step size of the n-th update for n = 0 (unused), 1, …"""
        s = self.settings
        n = np.maximum(1.0, np.arange(min(steps + 1, RATES)))
        return np.asarray(np.maximum(s.learning_rate_floor, s.learning_rate * n**-s.learning_rate_power))

    def _metrics(self, errors_before: float, taken: int, steps: int) -> Metrics:
        errors = float(self._totals[:, ERRORS].sum()) - errors_before
        schedule = self._schedule(steps)
        start, end, horizon = schedule.epsilon_start, schedule.epsilon_end, schedule.epsilon_steps
        return {
            "steps": float(self.steps),
            "epsilon": end + (start - end) * max(0.0, 1.0 - self.steps / horizon),
            "td_error": errors / taken,
            "visited": float((self.tables["counts"] > 0).mean()),
            **self._log.report(),
        }

    def _stream_keys(self) -> Array:
        """Returns `[N, 2]` keys of exploration and planning: streams separate from the environments'."""
        from inscape.envs.law.streams import stream_key

        return np.array([[stream_key(self.seed + i, -1 - k) for k in range(2)] for i in range(self._seeds)])

    def _numbers(self) -> Any:
        return _unrolled(np.arange(self._actions))

    def _compiled(self, world: World, steps: int, kernels: Any = None) -> Advance:
        kernels = kernels or world.kernel(TEMPLATE, constants={"LEARNER": self.algorithm})
        announce(world.name, {("tabular", "learn"): kernels.learn, ("stepping", "step"): None})
        if self._copies is None:
            self._copies = self._begin(world)
        else:
            self._require_copies(world, self._copies)
        copies, keys, rates = self._copies, self._stream_keys(), self._step_sizes(steps)
        blocks = np.linspace(0, self._seeds, min(_cores(), self._seeds) + 1).astype(int)
        masked = world.law_function("legal") is not None
        mask = np.ones((self._seeds, self._rows, self._actions), np.bool_) if masked else None

        choices = Choices(self._numbers(), mask, keys, rates)

        def surroundings() -> Copies:
            obs = world.observation_array(1)
            return Copies(
                copies["floats"], copies["ints"], obs, obs.reshape(-1), _unrolled(self._first),
                _unrolled(self._strides), copies["rows"], self._rows, self._totals, self._limit,
                self._ended,
            )  # fmt: skip

        def run_block(block: int, count: int, schedule: Schedule) -> None:
            around = surroundings()  # working memory of this block alone
            wrong, step, action = kernels.learn(
                world.packed, around, self._kernel_tables(), choices, schedule, self.steps, count,
                int(blocks[block]), int(blocks[block + 1]),
            )  # fmt: skip
            if step >= 0:
                states = States(copies["floats"], copies["ints"][:KEY])
                how = f"action {world.action_names[action]!r} led to {world.unpack(states, wrong)}"
                raise self._not_finite(wrong, step, how)
            if wrong >= 0:
                raise self._no_row(around.seen)

        around = surroundings()
        # what is legal is noted on arrival: of a resumed learner, in all that it has seen
        if mask is not None and "legal" in copies:
            mask[:] = copies["legal"]
        if kernels.observe_all(world.packed, around, choices) >= 0:
            raise self._no_row(around.seen)
        if mask is not None:
            copies["legal"] = mask

        def advance(count: int, schedule: Schedule) -> None:
            if len(blocks) == 2:
                run_block(0, count, schedule)
                return
            with ThreadPoolExecutor(len(blocks) - 1) as pool:
                list(pool.map(lambda block: run_block(block, count, schedule), range(len(blocks) - 1)))

        return advance

    def _begin(self, world: World) -> dict[str, Array]:
        world.require_probabilities()
        begun = PackedCopies.begin(world, self._seeds, [self.seed + i for i in range(self._seeds)])
        return {"floats": begun.floats, "ints": begun.ints, "rows": np.zeros(self._seeds, np.int64)}

    def _require_copies(self, world: World, copies: dict[str, Array]) -> None:
        """Raises UsageError unless copies from a checkpoint are of this world: kernels do not check bounds."""
        ints, rows = copies.get("ints", np.zeros((0, 0))), copies.get("rows", np.zeros(0))
        if ints.shape[1:] != (self._seeds,) or rows.shape != (self._seeds,) or rows.dtype != np.int64:
            raise UsageError(f"{ints.shape[1:]} stored copies", expected=f"{self._seeds}, one for each seed")
        world.require_states(States(copies["floats"], ints[:KEY]), "stored copies")
        if not ((rows >= 0) & (rows < self._rows)).all():
            raise UsageError("stored copies in rows that the table does not have", expected=f"0 to {self._rows - 1}")

    def _in_python(self, task: Task, steps: int) -> Advance:
        """The same updates, one after another, in any environment: the kernel template imported as plain Python."""
        from inscape.agents.kernels import tabular

        act, update = tabular.RULES[self.algorithm]
        pending, self._pending = self._pending, None
        if pending is None:
            self._begin_episode()
            self._totals[:, RUNNING] = 0.0
            self._log.restart()
        elif self._seeds > 1:
            raise UsageError("stored environments of several learners", expected="those of one")
        mask = np.ones((self._seeds, self._rows, self._actions), np.bool_)
        choices = Choices(self._numbers(), mask, self._stream_keys(), self._step_sizes(steps))
        start = int(self._space.start)
        if task.exact_env and self._seeds > 1:  # what one learner did would decide on the tasks of another
            raise UsageError(
                f"{self._seeds} learners of {self.name} with one curriculum", expected="one: seeds = 1",
                hint="a run for each seed",
            )  # fmt: skip
        envs = [task.env() for _ in range(self._seeds)]
        rows, lengths = np.zeros(self._seeds, np.int64), np.zeros(self._seeds, np.int64)

        def arrive(i: int, observation: Any, info: dict[str, Any]) -> int:
            row = int(self.rows(np.asarray(observation)[None])[0])
            if "action_mask" in info:
                mask[i, row] = np.asarray(info["action_mask"], np.bool_)
            return row

        if pending is not None:
            envs[0].load_state_dict(pending["env"])  # type: ignore[attr-defined]
            rows[0], lengths[0], mask[:] = int(pending["row"]), int(pending["length"]), np.array(pending["legal"])
            if not 0 <= rows[0] < self._rows:
                raise UsageError(f"a stored environment in row {rows[0]}", expected=f"0 to {self._rows - 1}")
        else:
            for i, env in enumerate(envs):  # a resumed run begins a new episode, not the first one again
                rows[i] = arrive(i, *env.reset(seed=later_seed(self.seed + i, self.steps)))
        if task.exact_env:
            self._under_way = lambda: {
                "env": envs[0].state_dict(), "row": int(rows[0]), "length": int(lengths[0]), "legal": mask.copy()  # type: ignore[attr-defined]
            }  # fmt: skip

        def advance(count: int, schedule: Schedule) -> None:
            tables, totals = self._kernel_tables(), self._totals
            for i, env in enumerate(envs):
                for t in range(self.steps, self.steps + count):
                    epsilon, row = tabular.epsilon_at(schedule, t), int(rows[i])
                    action = int(act(tables, *choices[:3], i, row, t, epsilon))
                    observation, gain, terminated, truncated, info = env.step(action + start)
                    if not math.isfinite(float(gain)):
                        raise self._not_finite(i, t, f"it is {float(gain)}, for action {action + start}")
                    then = arrive(i, observation, info)
                    lengths[i] += 1
                    over = terminated or truncated or (self._limit > 0 and lengths[i] >= self._limit)
                    step = Step(row, action, float(gain), terminated, over, int(lengths[i]), then, t, epsilon)
                    error = update(tables, *choices, schedule, i, step)
                    totals[i, [RUNNING, ERRORS]] += (float(gain), error)
                    if over:
                        tabular.note_end(totals, self._ended, i, t, lengths[i])
                        lengths[i] = 0
                        then = arrive(i, *env.reset())
                    rows[i] = then

        return advance

    # ------------------------------------------------------------------------------------------- saving

    def state_dict(self) -> State:
        return {
            "tables": {name: table.copy() for name, table in self.tables.items()},
            "steps": self.steps,
            "totals": self._totals.copy(),
            "episodes": self._log.state_dict(),
            "acting": rng_state(self._acting),
            "copies": None if self._copies is None else {name: array.copy() for name, array in self._copies.items()},
            **({} if self._under_way is None else {"under_way": self._under_way()}),
        }

    def load_state_dict(self, state: State) -> None:
        tables = {name: np.array(table) for name, table in state["tables"].items()}
        for name, table in self.tables.items():
            found = tables[name].shape if name in tables else None
            if found != table.shape:
                raise UsageError(f"a table {name} of shape {found}", expected=f"shape {table.shape} for this task")
            bad = int(np.sum(~np.isfinite(tables[name]) | ((tables[name] < 0) & (name == "counts"))))
            if tables[name].dtype != table.dtype or bad:
                raise UsageError(
                    f"a table {name} of {tables[name].dtype}, {bad} of its entries not finite or negative counts",
                    expected=f"finite numbers, {table.dtype}",
                    hint="an older checkpoint, or train again",
                )
        self.tables = {name: tables[name] for name in self.tables}
        totals = np.array(state["totals"], np.float64)
        if totals.shape == (self._seeds, 5):  # as older runs have them: with the sums of returns and lengths
            totals = totals[:, [0, 3, 4]]
        if totals.shape != self._totals.shape or not np.isfinite(totals).all() or (totals[:, EPISODES] < 0).any():
            raise UsageError(
                f"totals of shape {totals.shape}, or not all finite",
                expected=f"finite numbers of shape {self._totals.shape}",
                hint="an older checkpoint, or train again",
            )
        self.steps, self._totals = int(state["steps"]), totals
        self._log.load_state_dict(state.get("episodes"))
        restore_rng(self._acting, state["acting"])
        copies = state["copies"]
        self._task, self._under_way, self._pending = None, None, state.get("under_way")
        self._copies = None if copies is None else {name: np.array(array) for name, array in copies.items()}


def _not_finite(table: Array) -> str:
    """Returns which entry of a table is not finite, for messages."""
    wrong = ~np.isfinite(table)
    where = tuple(int(k) for k in np.argwhere(wrong)[0])
    return f"{table[where]} at {where}, {int(wrong.sum())} entries in all that are not finite"


def _unrolled(numbers: Array) -> Any:
    """Returns the numbers as a tuple where they are few: its length is then known when compiling."""
    return tuple(numbers.tolist()) if len(numbers) <= FEW else numbers


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _finite_actions(task: Task, name: str) -> gymnasium.spaces.Discrete[Any]:
    space = task.action_space
    if not isinstance(space, gymnasium.spaces.Discrete):
        raise UsageError(
            f"{name} on {task.name}, whose actions are {space}",
            expected="a Discrete action space",
            hint="ppo, or sb3:sac for continuous actions",
        )
    return space


def _table_rows(task: Task, name: str) -> tuple[Array, Array, int]:
    """Returns `(first value [D], stride [D], number of rows)` of the table over the observations."""
    space = task.observation_space
    if isinstance(space, gymnasium.spaces.Discrete):
        return np.array([space.start], np.int64), np.ones(1, np.int64), int(space.n)
    if isinstance(space, gymnasium.spaces.MultiDiscrete):
        sizes = space.nvec.reshape(-1).astype(np.int64)
        strides = np.concatenate([np.cumprod(sizes[::-1])[::-1][1:], [1]])
        return space.start.reshape(-1).astype(np.int64), strides.astype(np.int64), int(np.prod(sizes.astype(float)))
    raise UsageError(
        f"{name} on {task.name}, whose observations are {space}",
        expected="Discrete or MultiDiscrete observations",
        hint="ppo or sb3:dqn, which take any numbers",
    )
