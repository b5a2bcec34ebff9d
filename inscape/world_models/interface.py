"""What a world model is, what else it may be able to do, and what it reports when it learns.

Batches first, randomness an argument. A batch is a NumPy array or, for models made of networks, a torch tensor
(`RolloutBatch`): planners hand over actions as NumPy arrays and read what comes back through `as_numpy`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from gymnasium import spaces

from inscape.errors import UsageError

if TYPE_CHECKING:
    from inscape.envs.data.trajectory import Trajectory

Batch = Any
"""`[B, ...]` numbers: a NumPy array or a torch tensor."""


@dataclass(frozen=True, eq=False)
class ModelStep:
    """One imagined step of a batch.

    Attributes:
        states: `B` successor model states, of the model's own kind.
        reward: `[B]` float64; `[B, M]` for M > 1 players.
        continuation: `[B]` float64 probability that the task goes on after this step (0: terminated). A planner
            multiplies `gamma * continuation`; truncation is never a model's output.
        legal: `[B, A]` bool, True where an action is legal in the successor; None: every action is, or actions are
            continuous.
    """

    states: Any
    reward: Batch
    continuation: Batch
    legal: Batch | None = None


@dataclass(frozen=True)
class FitReport:
    """How well a model predicts, as code length: what it needs to write down what happened next.

    Attributes:
        transitions: transitions learned from in this call so far.
        held_out_bits_per_step: mean −log₂ P(next observation, terminated | observation, action) over transitions that
            the model has not learned from. NaN where there are none, or the model has no code length.
        prequential_bits_per_step: the same mean over every new transition, each coded by the model fitted to those
            before it (Dawid 1984): includes the cost of learning. NaN where the model is not fitted in order.
        metrics: what else the model reports, by name (a tabular model: `states` and `state_actions` known).
    """

    transitions: int
    held_out_bits_per_step: float = math.nan
    prequential_bits_per_step: float = math.nan
    metrics: dict[str, float] = field(default_factory=dict)


@runtime_checkable
class WorldModel(Protocol):
    """Known, tabular or learned: what a planner simulates in.

    Model states are opaque: `len(states)` is B and `states[index]` selects, as with arrays. A state is what the model
    knows after everything it was shown: a row of the world's state where that is seen, a belief or a latent vector
    where it is not (such a model says `filters = True`: a state cannot be made of one observation in mid-episode).
    What a model can do beyond this is a *strength*, found by the name of its method (`STRENGTHS`). A model that is not
    to be solved or searched as others are names its planner: `default_planner = "rho-uct"`.

    Attributes:
        action_space: `Discrete`, counted from 0 (actions are `[B]` integers), or `Box` (actions are `[B, D]` floats).
        num_players: M; rewards are `[B, M]` where it is above 1.
    """

    @property
    def action_space(self) -> spaces.Space[Any]: ...

    @property
    def num_players(self) -> int: ...

    def init(self, observations: Batch) -> Any:
        """Returns the model states after the first `[B, ...]` observations of episodes."""
        ...

    def update(self, states: Any, actions: Batch, observations: Batch) -> Any:
        """Returns the model states after `actions` were taken in `states` and `[B, ...]` observations made (filtering).

        Where an observation determines the state, this is `init(observations)`.
        """
        ...

    def step(self, states: Any, actions: Batch, rng: np.random.Generator) -> ModelStep:
        """Returns a sampled successor for each of B states under `[B]` (or `[B, D]`) actions."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Returns everything learned, as nested dicts of arrays and JSON values: {} where nothing is learned.

        What the model was made with (a world, tables, settings) is not repeated here, as with agents.
        """
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Replaces everything learned by what `state_dict` returned."""
        ...


# --------------------------------------------------------------------------------------------------- strengths


@runtime_checkable
class HasLegal(Protocol):
    """Some actions are illegal in some states. A model without it takes every action for legal."""

    def legal_of(self, states: Any) -> Batch:
        """Returns `[B, A]` bool, True where the action is legal."""
        ...


@runtime_checkable
class HasTerminal(Protocol):
    """Knows of a state, not only of a step, whether the task has ended there."""

    def terminal_of(self, states: Any) -> Batch:
        """Returns `[B]` bool."""
        ...


@runtime_checkable
class HasMover(Protocol):
    """Several players who act in turn."""

    def mover_of(self, states: Any) -> Batch:
        """Returns `[B]` integers, the player to act."""
        ...


@runtime_checkable
class HasKeys(Protocol):
    """Recognises a state it has been in; without it a search cannot share nodes."""

    def keys(self, states: Any) -> list[bytes]:
        """Returns B keys; equal states have equal keys."""
        ...


@runtime_checkable
class HasOutcomes(Protocol):
    """Lists the outcomes of an action. A model whose class has the method, but which cannot, says `exact = False`."""

    def outcomes(self, states: Any, actions: Batch) -> tuple[Batch, Any, Batch, Batch]:
        """Returns the K outcomes of each of B actions, those of probability 0 included.

        Returns:
            `(probability [B, K], B·K states (row b·K + k), reward [B, K] or [B, K, M], continuation [B, K])`.
        """
        ...


@runtime_checkable
class HasTables(Protocol):
    """Has finitely many states."""

    def tabular(self) -> Any:
        """Returns a `TabularModel`."""
        ...


@runtime_checkable
class HasLogProb(Protocol):
    """Knows how probable an episode is: what prediction is scored by."""

    def log_prob(self, trajectory: Trajectory) -> float:
        """Returns Σ_t log P(next observation, terminated | all before, actions), in nats; −inf if impossible."""
        ...


@runtime_checkable
class Learns(Protocol):
    """Learns from episodes; `fit_model(model, trajectories)` is the one call that runs it to the end.

    A model that has to see earlier episodes again, as networks do, says `replays = True`: whoever gathers for it
    (`inscape train MODEL WORLD`) then gives it all episodes so far at each call, and not the new ones alone.
    """

    def learn(self, trajectories: Iterable[Trajectory]) -> Iterator[FitReport]:
        """Learns from episodes on top of what it has learned, yielding reports at points where `state_dict` is whole.

        Yields at least once; the last report is the result. A model that trains for long yields often, so that a driver
        can log, save and stop in between, as with `Agent.learn`.
        """
        ...


@runtime_checkable
class HasPosterior(Protocol):
    """Knows how uncertain it is of its own law."""

    def sample_model(self, rng: np.random.Generator) -> WorldModel:
        """Returns a draw from the posterior over models: what Thompson sampling plans in."""
        ...


@runtime_checkable
class HasDisagreement(Protocol):
    """Knows where it does not know: what exploration seeks."""

    def disagreement(self, states: Any, actions: Batch) -> Batch:
        """Returns `[B]` how uncertain the model is of what follows for want of data, at least 0, noise not counted.

        The unit is the model's own: the information in nats that the outcome would give about the law, or the variance
        among the members of an ensemble.
        """
        ...


STRENGTHS: dict[str, type] = {
    "legal_of": HasLegal,
    "terminal_of": HasTerminal,
    "mover_of": HasMover,
    "keys": HasKeys,
    "outcomes": HasOutcomes,
    "tabular": HasTables,
    "log_prob": HasLogProb,
    "learn": Learns,
    "sample_model": HasPosterior,
    "disagreement": HasDisagreement,
}
"""What a model may be able to do beyond `WorldModel`: the method that shows it, and the protocol that says how."""


def require(model: Any, strength: str, reader: str) -> Any:
    """Returns the method `strength` (one of `STRENGTHS`) of `model`.

    Raises:
        UsageError: the model lacks it; the message names the reader, the model and what is missing.
    """
    method = getattr(model, strength, None)
    if not callable(method):
        refuse_environment(model, reader)
        present = [name for name in STRENGTHS if callable(getattr(model, name, None))]
        raise UsageError(
            f"{reader} needs a model with {strength}(), and {type(model).__name__} has none",
            expected=f"a model with {strength}(); this one has: " + (", ".join(present) or "none of the strengths"),
            hint="the known model of a world, or a learned tabular one, has every strength",
        )
    return method


def has_outcomes(model: Any) -> bool:
    """Returns whether the model lists the outcomes of an action, rather than only samples them."""
    return callable(getattr(model, "outcomes", None)) and bool(getattr(model, "exact", True))


def refuse_environment(model: Any, reader: str) -> None:
    """Raises UsageError if `model` is an environment or a task: a planner is given a model of it."""
    stateful = callable(getattr(model, "reset", None)) and callable(getattr(model, "step", None))
    if not stateful and not callable(getattr(model, "vector_env", None)):
        return
    kind = "an environment" if stateful else "a task"
    world = getattr(getattr(model, "unwrapped", model), "world", None)
    raise UsageError(
        f"{reader} was given {kind} ({type(model).__name__})",
        expected="a model, whose states can be simulated from without acting in the environment",
        hint=("its law: " + ("env.unwrapped.world" if stateful else "task.world"))
        if world is not None
        else "a model learned from its episodes: LearnedTabularModel.for_task(...)",
    )


def require_model(model: Any, reader: str) -> None:
    """Checks that `model` can be simulated in.

    Raises:
        UsageError: it is a class, an environment or a task, or has no `step` or `action_space`.
    """
    if isinstance(model, type):
        raise UsageError(f"{reader} was given the class {model.__name__}", expected=f"a model: {model.__name__}(…)")
    refuse_environment(model, reader)
    missing = [name for name in ("action_space", "step") if not hasattr(model, name)]
    if missing:
        raise UsageError(
            f"{reader} was given {type(model).__name__}, which has no {' and no '.join(missing)}",
            expected="a World, or a WorldModel: action_space, num_players, init, update, step, state_dict",
        )


def num_actions(model: Any, reader: str) -> int:
    """Returns A of a model whose actions are `Discrete`, counted from 0.

    Raises:
        UsageError: they are not; the message names the reader.
    """
    space = model.action_space
    if not isinstance(space, spaces.Discrete) or space.start != 0:
        raise UsageError(
            f"{reader} chooses among finitely many actions, and those of {type(model).__name__} are {space}",
            expected="a model with Discrete actions, counted from 0",
            hint="ICEM, CEM, MPPI, RandomShooting, or DPW, a tree search: inscape plan WORLD --planner icem"
            if isinstance(space, spaces.Box)
            else "",
        )
    return int(space.n)


def legal_actions(model: Any, states: Any, reader: str) -> np.ndarray:
    """Returns `[B, A]` bool, True where an action is legal; all are, in a model without `legal_of`."""
    if not callable(getattr(model, "legal_of", None)):
        return np.ones((len(states), num_actions(model, reader)), np.bool_)
    return np.asarray(as_numpy(model.legal_of(states)), np.bool_)


def joined_states(parts: Sequence[Any]) -> Any:
    """Returns batches of model states as one batch; None where this kind of state cannot be joined.

    Arrays and tensors can, and what has a static `concatenate(parts)`.
    """
    first = parts[0]
    if len(parts) == 1:
        return first
    if isinstance(first, np.ndarray):
        return np.concatenate(parts)
    if callable(joined := getattr(type(first), "concatenate", None)):
        return joined(parts)
    if hasattr(first, "detach"):
        import torch

        return torch.cat(list(parts))
    return None


def as_numpy(batch: Batch) -> np.ndarray:
    """Returns a batch as a NumPy array: torch tensors without their gradient, from whatever device."""
    return np.asarray(batch.detach().cpu() if hasattr(batch, "detach") else batch)


def nothing_to_load(state: dict[str, Any], owner: str) -> None:
    """Checks that a stored state is that of a model that learns nothing.

    Raises:
        UsageError: something is stored in it.
    """
    if state:
        raise UsageError(
            f"a stored state with {', '.join(sorted(state))}, for {owner}, which learns nothing",
            expected="the state of a model of the same kind: {}",
        )


def fit_model(
    model: Any, trajectories: Iterable[Trajectory], progress: Callable[[FitReport], None] | None = None
) -> FitReport:
    """Learns from episodes to the end and returns the last report.

    Args:
        model: a model that `Learns`.
        trajectories: the episodes.
        progress: called with each report, the last one included.

    Raises:
        UsageError: the model does not learn, or reported nothing.
    """
    report: FitReport | None = None
    for report in require(model, "learn", "fitting")(trajectories):
        if progress is not None:
            progress(report)
    if report is None:
        raise UsageError(f"{type(model).__name__}.learn yielded no report", expected="at least one FitReport")
    return report


def total_log_prob(model: Any, trajectories: Sequence[Trajectory]) -> float:
    """Returns the summed log-probability of trajectories, in nats; −inf when one is impossible under the model."""
    log_prob = require(model, "log_prob", "scoring trajectories")
    return float(sum(log_prob(trajectory) for trajectory in trajectories))


def check_gamma(gamma: Any) -> None:
    """Raises UsageError unless gamma is a discount."""
    number = isinstance(gamma, (int, float, np.integer, np.floating)) or (
        isinstance(gamma, np.ndarray) and gamma.ndim == 0 and gamma.dtype.kind in "fiu"
    )
    if not number or not 0.0 <= gamma <= 1.0:  # also refuses NaN
        shown = gamma if number else repr(gamma)
        raise UsageError(f"gamma = {shown}", expected="a discount from 0 to 1")
