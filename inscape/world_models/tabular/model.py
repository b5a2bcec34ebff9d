"""A model as tables: what dynamic programming sweeps over and exact observers read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium import spaces

from inscape import html
from inscape.errors import MissingLawError, PartialObservationError, UsageError
from inscape.world_models.interface import Batch, ModelStep, as_numpy, nothing_to_load, require

if TYPE_CHECKING:
    from inscape.envs.data.trajectory import Trajectory
    from inscape.envs.world import World

SUM_TOLERANCE = 1e-9
REWARDS_AT_ONCE = 1_000_000
"""Outcomes whose rewards are computed at once: memory holds tables, not the states before and after every outcome."""


def observation_keys(observations: np.ndarray) -> list[bytes]:
    """Returns one hashable key per row of `[B, ...]` observations.

    Integers compare as int64 and floating-point numbers as float32 (what most `Box` spaces hold), −0.0 equal to 0.0,
    so that the same observation has the same key whichever reader made it.

    Raises:
        UsageError: observations are not numbers (dictionaries, text).
    """
    array = np.asarray(observations)
    if array.dtype.kind in "iub":
        rows: np.ndarray = array.astype(np.int64)
    elif array.dtype.kind == "f":
        rows = array.astype(np.float32) + np.float32(0)
    else:
        raise UsageError(
            f"observations of dtype {array.dtype}",
            expected="numbers: a Discrete, MultiDiscrete, MultiBinary or Box observation space",
            hint="wrap the environment in gymnasium.wrappers.FlattenObservation",
        )
    rows = np.ascontiguousarray(rows.reshape(len(rows), -1))
    return [row.tobytes() for row in rows]


class ObservationIndex:
    """Maps observations to state numbers.

    Args:
        keys: one key per state, as `observation_keys` gives them, or `[S, ...]` observations. They are looked at when
            the first one is looked up.
        owner: whose observations these are, for messages.
        default: state number for observations that are not known; None refuses them.
        ambiguous: two states look the same: every lookup is refused.
    """

    def __init__(self, keys: Sequence[bytes] | np.ndarray, owner: str, default: int | None = None) -> None:
        if isinstance(keys, np.ndarray):
            observation_keys(keys[:1])  # refuses what is no number
        self._keys: Sequence[bytes] | np.ndarray | None = keys
        self._known: dict[bytes, int] = {}
        self._owner, self._default = owner, default
        self._twins: tuple[int, int] | None = None

    @property
    def _index(self) -> dict[bytes, int]:
        if self._keys is not None:
            keys = observation_keys(self._keys) if isinstance(self._keys, np.ndarray) else self._keys
            for state, key in enumerate(keys):
                first = self._known.setdefault(key, state)
                if first != state:
                    self._twins = (first, state)
            self._keys = None
        return self._known

    def __len__(self) -> int:
        return len(self._index)

    def __call__(self, observations: np.ndarray) -> np.ndarray:
        """Returns `[B]` int64 state numbers of `[B, ...]` observations.

        Raises:
            PartialObservationError: two states give the same observation.
            UsageError: an observation belongs to no known state, and there is no default.
        """
        index = self._index
        if self._twins is not None:
            raise PartialObservationError(
                f"states {self._twins[0]} and {self._twins[1]} of {self._owner} give the same observation",
                expected="a world whose observation determines its state",
                hint="state numbers instead of observations, or a BeliefModel, whose states are beliefs",
            )
        found = np.empty(len(observations), np.int64)
        for row, key in enumerate(observation_keys(observations)):
            state = index.get(key, self._default)
            if state is None:
                raise UsageError(
                    f"observation {np.asarray(observations)[row].tolist()} (row {row}) is not one {self._owner} gives",
                    expected=f"an observation of one of its {len(index)} states",
                )
            found[row] = state
        return found


@dataclass(frozen=True, eq=False)
class TabularModel:
    """Dynamics and purpose as tables in gather form; a `WorldModel` whose states are `[B]` state numbers.

    Terminal states absorb: every action stays, with reward 0 and continuation 0.

    Attributes:
        next_state: `[S, A, K]` int32 successors; entries of probability 0 may hold any state number.
        probability: `[S, A, K]` float64 P(next_state | s, a), summing to one over K.
        reward: `[S, A, K]` float64.
        continuation: `[S, A, K]` float64 probability that the task goes on after this transition.
        legal: `[S, A]` bool.
        initial: `[S]` float64 probabilities of starting there.
        terminal: `[S]` bool.
        observations: maps `[B, ...]` observations to `[B]` state numbers; None where only numbers are known.
        name: what the tables are of, for messages.
        state_names, action_names: what they are called, in the order of their numbers; None: their numbers.

    Raises:
        UsageError: shapes disagree; a probability is negative or does not sum to one (the message names state, action
            and sum); a successor is out of range; a non-terminal state has no legal action.
    """

    next_state: np.ndarray
    probability: np.ndarray
    reward: np.ndarray
    continuation: np.ndarray
    legal: np.ndarray
    initial: np.ndarray
    terminal: np.ndarray
    observations: ObservationIndex | None = None
    name: str = "the tabular model"
    state_names: tuple[Any, ...] | None = None
    action_names: tuple[Any, ...] | None = None

    num_players = 1

    def __post_init__(self) -> None:
        for name in ("legal", "terminal"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), bool))
        _check_tables(self)

    @staticmethod
    def from_world(world: World | type[World] | str, purpose: Any = None) -> TabularModel:
        """Returns a known world (or that of its class or name) as tables, under `purpose` (a value or a name) if given.

        Raises:
            MissingLawError: the law can only be sampled, or the world has several players.
            UsageError: the law is broken (see `World.dynamics`).
        """
        world = world_in_hand(world)
        refuse_players(world)
        if purpose is not None:
            world = world.with_purpose(purpose)
        law = world.dynamics()
        size, actions, width = law.next_state.shape
        terminal = world.terminal_of(law.states)
        reward = np.empty(law.next_state.shape)
        block = max(1, REWARDS_AT_ONCE // (actions * width))
        for low in range(0, size, block):
            rows = slice(low, min(low + block, size))
            sources = np.repeat(np.arange(size)[rows], actions * width)
            choices = np.tile(np.repeat(np.arange(actions), width), rows.stop - low)
            following = law.states[law.next_state[rows].reshape(-1)]
            given = world.reward_of(law.states[sources], choices, following)
            possible = law.probability[rows].reshape(-1) > 0
            wrong = ~np.isfinite(given) & possible & ~terminal[sources]
            if wrong.any():
                row = int(np.argmax(wrong))
                raise UsageError(
                    f"{world.name} gives the reward {given[row]} in {world.unpack(law.states, int(sources[row]))} "
                    f"for action {choices[row]} ({world.action_names[choices[row]]})",
                    expected="a finite number",
                    hint="fix `reward`: inscape check",
                )
            reward[rows] = np.where(possible, given, 0.0).reshape(reward[rows].shape)
        tables = absorb(law.next_state, law.probability, reward, 1.0 - terminal[law.next_state], terminal)
        index = ObservationIndex(world.observe(law.states), world.name)
        names = tuple(world.choice_name(action) for action in range(actions))
        return TabularModel(*tables, law.legal, law.initial, terminal, index, repr(world), action_names=names)

    @staticmethod
    def from_arrays(
        P: Any,
        R: Any = None,
        *,
        layout: str | None = None,
        terminal: Any = None,
        initial: Any = None,
        legal: Any = None,
        state_names: Sequence[Any] | None = None,
        action_names: Sequence[Any] | None = None,
        name: str = "the model",
    ) -> TabularModel:
        """Returns a model of what is given as matrices, or as Gymnasium's dictionary of outcomes.

        Args:
            P: P(s' | s, a) as `[A, S, S]` or `[S, A, S]`; as a list (or dictionary) of one `[S, S]` matrix for each
                action, dense or SciPy sparse; as one `[S, S]` matrix, a chain without choices; or as
                `{state: {action: [(probability, next state, reward, terminated), …]}}`, which Gymnasium's toy-text
                environments have as `env.unwrapped.P`. Duplicate successors are summed.
            R: rewards of leaving a state `[S]`, of an action `[S, A]` or `[A, S]` (−inf: the action cannot be taken),
                or of a transition, shaped like P; None with a dictionary, whose outcomes have rewards.
            layout: the order of axes, where A = S leaves it open: `"ASS"` for P[a, s, s'], `"SAS"` for P[s, a, s'].
                For R of two axes `"ASS,SA"` or `"ASS,AS"`; with `"SAS"` alone R is `[S, A]`.
            terminal: states in which the task is over (`[S]` bool or state numbers): value 0. Their rows do not matter.
                In a dictionary also those that only stay, for no reward, with terminated = True.
            initial: `[S]` probabilities of starting there, or one state number; None: all that are not terminal, alike.
            legal: `[S, A]` bool; None: all actions. Rows of actions that are not legal do not matter.
            state_names, action_names: what states and actions are called.
            name: what the model is called, for messages.

        Raises:
            UsageError: shapes disagree, or leave the order of the axes open; a row does not sum to one, or holds a
                negative number or NaN (naming state and action); the tables do not fit into memory (saying their size).
        """
        from inscape.world_models.tabular import arrays

        found = arrays.read(P, R, layout, terminal, legal, name)
        states, actions = found.legal.shape
        names = {}
        for what, count, given in (("state", states, state_names), ("action", actions, action_names)):
            if given is not None and len(given) != count:
                raise UsageError(f"{len(given)} {what} names for {name}", expected=f"{count}")
            names[f"{what}_names"] = None if given is None else tuple(given)
        return TabularModel(
            *absorb(found.next_state, found.probability, found.reward, found.continuation, found.terminal),
            found.legal,
            _initial(initial, found.terminal, name),
            found.terminal,
            name=name,
            state_names=names["state_names"] or found.state_names,
            action_names=names["action_names"] or found.action_names,
        )

    # ------------------------------------------------------------------------------------------- as a WorldModel

    @property
    def num_states(self) -> int:
        return int(self.next_state.shape[0])

    @property
    def num_actions(self) -> int:
        return int(self.next_state.shape[1])

    @property
    def action_space(self) -> spaces.Discrete:
        return spaces.Discrete(self.num_actions)

    def __len__(self) -> int:
        return self.num_states

    def init(self, observations: Batch) -> np.ndarray:
        """Returns `[B]` state numbers of `[B, ...]` observations.

        Raises:
            PartialObservationError: two states give the same observation, or it is not known what they give.
            UsageError: an observation belongs to no state.
        """
        if self.observations is None:
            raise PartialObservationError(
                f"{self.name} does not know how its states look", expected="a model made from a world or from episodes"
            )
        return self.observations(as_numpy(observations))

    def update(self, states: np.ndarray, actions: Batch, observations: Batch) -> np.ndarray:
        """Returns `[B]` state numbers of the observations: what was before adds nothing to them (see `init`).

        Raises:
            PartialObservationError: as `init`; filter with a `BeliefModel`.
            UsageError: not one observation per state; or as `init`.
        """
        check_rows(states, observations)
        return self.init(observations)

    def step(self, states: np.ndarray, actions: np.ndarray, rng: np.random.Generator) -> ModelStep:
        """Draws a successor per row (see `WorldModel.step`); one number is a batch of one."""
        states, actions = np.atleast_1d(states), np.atleast_1d(actions)
        draw = rng.random(len(states))
        cumulative = np.cumsum(self.probability[states, actions], axis=1)
        cumulative /= cumulative[:, -1:]  # a draw of 0.999… must not fall off the end
        outcome = (draw[:, None] >= cumulative).sum(axis=1)
        at = (states, actions, outcome)
        following = self.next_state[at].astype(np.int64)
        return ModelStep(following, self.reward[at], self.continuation[at], self.legal[following])

    def outcomes(
        self, states: np.ndarray, actions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Returns `(probability [B, K], states [B·K], reward [B, K], continuation [B, K])`."""
        at = (states, actions)
        return (
            self.probability[at],
            self.next_state[at].reshape(-1).astype(np.int64),
            self.reward[at],
            self.continuation[at],
        )

    def state_dict(self) -> dict[str, Any]:
        """Returns {}: the tables are what the model is made of; nothing is learned (`LearnedTabularModel` learns)."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        nothing_to_load(state, self.name)

    def legal_of(self, states: np.ndarray) -> np.ndarray:
        """Returns `[B, A]` bool, True where the action is legal."""
        return np.asarray(self.legal[states])

    def terminal_of(self, states: np.ndarray) -> np.ndarray:
        """Returns `[B]` bool."""
        return np.asarray(self.terminal[states])

    def tabular(self) -> TabularModel:
        return self

    def __repr__(self) -> str:
        states, actions, outcomes = self.next_state.shape
        return f"TabularModel({_short(self.name)}, {states:,} states, {actions} actions, {outcomes} outcomes)"

    def _repr_html_(self) -> str:
        states, actions, outcomes = self.next_state.shape
        possible = self.probability[~self.terminal] > 0
        each = float(possible.sum(axis=-1).mean()) if possible.size else 0.0
        rows: list[list[object]] = [
            ["states", f"{states:,}, {int(self.terminal.sum()):,} of them terminal"],
            ["actions", f"{actions}, legal in {float(self.legal.mean()):.0%} of states and actions"],
            ["outcomes", f"up to {outcomes}, {html.number(each, 3)} on average"],
            ["starts", f"{int((np.asarray(self.initial) > 0).sum()):,}"],
            ["rewards", f"{html.number(float(self.reward.min()))} to {html.number(float(self.reward.max()))}"],
        ]
        return html.block(_short(self.name), html.table(("", ""), rows))

    def keys(self, states: np.ndarray) -> list[bytes]:
        """Returns one hashable key per state."""
        return [int(state).to_bytes(8, "little") for state in states]

    def log_prob(self, trajectory: Trajectory) -> float:
        """Returns Σ_t log P(next observation, terminated | observation, action), in nats; −inf if impossible."""
        states = self.init(trajectory.observations)
        ended = np.zeros(len(trajectory.actions), bool)
        ended[-1:] = trajectory.terminated
        probability = self.transition_probability(states[:-1], trajectory.actions, states[1:], ended)
        with np.errstate(divide="ignore"):
            return float(np.log(probability).sum())

    def transition_probability(
        self, states: np.ndarray, actions: np.ndarray, next_states: np.ndarray, terminated: np.ndarray
    ) -> np.ndarray:
        """Returns `[B]` probabilities of the given successors and of `terminated` being what it was."""
        at = (states, actions)
        goes_on = self.continuation[at]
        ending = np.where(terminated[:, None], 1.0 - goes_on, goes_on)
        here = self.next_state[at] == next_states[:, None]
        return np.asarray((here * self.probability[at] * ending).sum(axis=1))

    def expected_reward(self) -> np.ndarray:
        """Returns `[S, A]` expected rewards."""
        return np.asarray((self.probability * self.reward).sum(axis=2))


def world_in_hand(given: Any) -> World:
    """Returns the world that is given, or that of its class, its name, or its environment.

    Raises:
        MissingLawError: an environment without a law.
        UsageError: nothing that has a law, or an unknown name.
    """
    from inscape.envs.world import World

    if isinstance(given, World):
        return given
    from inscape.envs.tasks.resolve import resolve_task

    task = resolve_task(given)
    if task.world is None:
        raise MissingLawError(
            f"{task.name} has no law to tabulate",
            expected="a built-in world (inscape list worlds), or a World in a file",
            hint="TabularModel.from_arrays(env.unwrapped.P) where an environment has its outcomes in a dictionary; "
            "LearnedTabularModel learns a table from episodes",
        )
    return task.world


def refuse_players(world: World) -> None:
    """Raises MissingLawError where a world has several players."""
    if world.players > 1:
        raise MissingLawError(
            f"{world.name} has {world.players} players, and a table of one reward cannot hold their purposes",
            expected="a world with one player",
            hint="game_values (players in turn), cfr (hidden cards), nash_equilibria; tree search: inscape plan",
        )


def _short(name: str) -> str:
    return name if len(name) <= 80 else name[:77] + "…"


def _initial(given: Any, terminal: np.ndarray, name: str) -> np.ndarray:
    """Returns `[S]` probabilities of starting in each state."""
    states = len(terminal)
    if given is None:
        where = terminal if terminal.all() else ~terminal
        return np.asarray(where / where.sum())
    if isinstance(given, int | np.integer) and not isinstance(given, bool):
        if not 0 <= given < states:
            raise UsageError(f"initial = {given} for {name}", expected=f"a state from 0 to {states - 1}")
        return np.asarray(np.eye(1, states, int(given))[0])
    found = np.asarray(given, float)
    if found.shape != (states,):
        raise UsageError(f"initial of shape {list(found.shape)} for {name}", expected=f"[{states}] probabilities")
    if not np.isfinite(found).all() or (found < 0).any() or not abs(found.sum() - 1.0) <= 1e-6:
        raise UsageError(
            f"the initial probabilities of {name} sum to {found.sum():.9g}", expected="no negative ones, and a sum of 1"
        )
    return np.asarray(found / found.sum())


def check_rows(states: Any, observations: Any) -> None:
    """Raises UsageError unless there is one observation for each state."""
    if len(states) != len(observations):
        raise UsageError(f"{len(observations)} observations for {len(states)} states", expected="one for each")


def on_a_belief(error: PartialObservationError) -> PartialObservationError:
    """Returns the error with the model to use where observations do not determine the state."""
    return PartialObservationError(
        error.found,
        expected=error.expected or "a world whose observation determines its state",
        hint="a model whose states are beliefs: BeliefModel.from_world(world)",
    )


def absorb(
    next_state: np.ndarray,
    probability: np.ndarray,
    reward: np.ndarray,
    continuation: np.ndarray,
    terminal: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Returns copies of the four tables in which terminal states stay where they are, reward 0, continuation 0."""
    tables = next_state.astype(np.int32), probability.astype(float), reward.astype(float), continuation.astype(float)
    over = np.flatnonzero(terminal)
    tables[0][over] = over[:, None, None]
    tables[1][over] = 0.0
    tables[1][over, :, 0] = 1.0
    tables[2][over] = 0.0
    tables[3][over] = 0.0
    return tables


def _check_tables(model: TabularModel) -> None:
    shape = model.next_state.shape
    if len(shape) != 3 or 0 in shape:
        raise UsageError(f"next_state of shape {shape} for {model.name}", expected="[S, A, K], none of them 0")
    states, actions, _ = shape
    wanted: dict[str, tuple[int, ...]] = {"probability": shape, "reward": shape, "continuation": shape}
    wanted |= {"legal": (states, actions), "initial": (states,), "terminal": (states,)}
    for name, expected in wanted.items():
        found = getattr(model, name).shape
        if found != expected:
            raise UsageError(f"{name} of shape {found} for {model.name}", expected=f"{expected}")
    _check_probabilities(model)
    used = model.probability > 0
    if np.any(used & ((model.next_state < 0) | (model.next_state >= states))):
        s, a, k = np.argwhere(used & ((model.next_state < 0) | (model.next_state >= states)))[0]
        raise UsageError(
            f"state {s}, action {a} of {model.name} leads to state {model.next_state[s, a, k]}",
            expected=f"a state from 0 to {states - 1}",
        )
    if not np.isfinite(model.reward[used]).all():
        s, a, k = np.argwhere(used & ~np.isfinite(model.reward))[0]
        raise UsageError(f"state {s}, action {a} of {model.name} has reward {model.reward[s, a, k]}")
    if np.any((model.continuation < 0) | (model.continuation > 1) | np.isnan(model.continuation)):
        raise UsageError(f"a continuation of {model.name} lies outside [0, 1]")
    stuck = ~model.legal.any(axis=1) & ~model.terminal
    if stuck.any():
        raise UsageError(
            f"state {np.flatnonzero(stuck)[0]} of {model.name} is not terminal and has no legal action",
            expected="at least one legal action, or a terminal state",
        )
    moving = (
        model.terminal[:, None, None]
        & used
        & ((model.next_state != np.arange(states)[:, None, None]) | (model.reward != 0) | (model.continuation != 0))
    )
    if moving.any():
        raise UsageError(
            f"terminal state {np.argwhere(moving)[0][0]} of {model.name} does not absorb",
            expected="every action to stay, with reward 0 and continuation 0",
        )


def _check_probabilities(model: TabularModel) -> None:
    total = model.probability.sum(axis=2)
    wrong = (np.abs(total - 1.0) > SUM_TOLERANCE) | np.isnan(total) | (model.probability < 0).any(axis=2)
    if wrong.any():
        s, a = np.argwhere(wrong)[0]
        raise UsageError(
            f"the outcomes of state {s} under action {a} of {model.name} have probabilities "
            f"{model.probability[s, a].tolist()} summing to {total[s, a]:.9g}",
            expected="non-negative probabilities that sum to 1",
        )
    if not abs(model.initial.sum() - 1.0) <= SUM_TOLERANCE or (model.initial < 0).any():
        raise UsageError(
            f"the initial probabilities of {model.name} sum to {model.initial.sum():.9g}",
            expected="non-negative probabilities that sum to 1",
        )


def as_tabular(model: Any, reader: str) -> TabularModel:
    """Returns `model` as tables: itself, its `tabular()`, or those of a known `World`.

    Raises:
        UsageError: there is no way to tabulate it.
    """
    if isinstance(model, TabularModel):
        return model
    if hasattr(model, "dynamics"):
        return TabularModel.from_world(model)
    made = require(model, "tabular", reader)()
    assert isinstance(made, TabularModel)
    return made
