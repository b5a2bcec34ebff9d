"""What planners over action sequences share: checks, the population's account, the plans that come of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces

from inscape.envs.law import streams
from inscape.errors import UsageError
from inscape.world_models.interface import as_numpy
from inscape.world_models.known import KnownModel, as_model
from inscape.world_models.planning.control.proposals import Categorical, Gaussian, Proposal
from inscape.world_models.planning.control.returns import permitted, returns_of
from inscape.world_models.planning.interface import Evaluate, Plans
from inscape.world_models.planning.tree_search.common import terminal_root


class Search:
    """A search for action sequences in a model, from each of B states at once.

    Attributes:
        keys, rngs: a random stream, and a generator that draws sequences, for each state.
        batch, horizon: B, H.
        actions: A where actions are discrete, else 0.
        low, high: `[D]` bounds where they are continuous.
    """

    def __init__(
        self, planner: Any, model: Any, states: Any, rng: np.random.Generator | np.ndarray, evaluate: Evaluate | None
    ) -> None:
        self.reader = type(planner).__name__
        self.model = as_model(model, self.reader)
        self.horizon, self.gamma, self.particles = planner.horizon, planner.gamma, planner.particles
        if getattr(self.model, "num_players", 1) > 1:
            raise UsageError(
                f"{self.reader} on a model of {self.model.num_players} players",
                expected="a model of one player: a sequence of actions is the choice of one",
                hint="UCT, where players move in turn",
            )
        self.actions, self.low, self.high = action_bounds(self.model.action_space, self.reader)
        self.states = self._checked(states)
        self.batch = len(self.states)
        self.evaluate = evaluate
        keys = rng if isinstance(rng, np.ndarray) else streams.random_keys(rng, self.batch)
        if keys.shape != (self.batch,) or keys.dtype != np.int64:
            raise UsageError(
                f"keys of shape {keys.shape}, {keys.dtype}, for {self.batch} states",
                expected="a generator, or one int64 key for each",
            )
        self.keys = keys
        self.rngs = [np.random.default_rng(int(key) & streams.MASK) for key in keys]
        self._rolled = self._drawn = 0
        self._best = np.full((self.batch, self.actions), -np.inf)
        self._counts = np.zeros((self.batch, self.actions), np.int64)
        self._last = np.zeros((self.batch, 1))

    def _checked(self, states: Any) -> Any:
        """Returns the batch of states, none of them terminal."""
        known = self.model if isinstance(self.model, KnownModel) else None
        states = known.world.as_states(states) if known else states
        if isinstance(states, (int, np.integer)) or (isinstance(states, np.ndarray) and states.ndim == 0):
            states = np.atleast_1d(states)  # one state of a tabular model
        if len(states) == 0:
            raise UsageError("a batch of 0 states to plan for", expected="at least one")
        if callable(getattr(self.model, "terminal_of", None)):
            over = np.flatnonzero(as_numpy(self.model.terminal_of(states)))
            if len(over):
                shown = known.world.unpack(states, int(over[0])) if known else f"number {over[0]} of the batch"
                raise terminal_root(shown, known.world.name if known else type(self.model).__name__)
        return states

    # ------------------------------------------------------------------------------------------- searching

    def proposal(self, initial_std: float, uniform_share: float, carried: np.ndarray) -> Proposal:
        """Returns what a decision starts from: `carried` of the last one, or nothing known where that is NaN.

        Args:
            initial_std: of continuous actions, in half their range.
            uniform_share: of discrete ones, weight of the uniform distribution.
            carried: `[B, K]`, what `Proposal.carried` returned.
        """
        if self.actions:
            uniform = np.full((self.batch, self.horizon, self.actions), 1.0 / self.actions)
            last = carried.reshape(uniform.shape)
            mixed = uniform_share * uniform + (1.0 - uniform_share) * last
            return Categorical(np.where(np.isnan(last), uniform, mixed))
        shape = (self.batch, self.horizon, len(self.low))
        middle, half = 0.5 * (self.low + self.high), 0.5 * (self.high - self.low)
        last = carried.reshape(shape)
        mean = np.where(np.isnan(last), middle, last)
        return Gaussian(mean, np.broadcast_to(initial_std * half, shape), self.low, self.high)

    def returns(self, sequences: np.ndarray) -> np.ndarray:
        """Returns `[B, N]` what the sequences earn, and keeps account of them."""
        streams_used = self._drawn + np.tile(np.arange(self.particles), self.batch)
        keys = streams.words(np.repeat(self.keys, self.particles), streams_used).view(np.int64)
        self._drawn += self.particles
        keys = keys.reshape(self.batch, self.particles)
        returns = returns_of(self.model, self.states, sequences, self.gamma, keys, self.evaluate)
        self._rolled += sequences.shape[1] * self.particles
        self._last = returns
        for a in range(self.actions):
            first = sequences[:, :, 0] == a
            self._counts[:, a] += first.sum(axis=1)
            self._best[:, a] = np.maximum(self._best[:, a], np.where(first, returns, -np.inf).max(axis=1))
        return returns

    def plans(self, sequences: np.ndarray, carried: np.ndarray, proposal: Proposal | None) -> Plans:
        """Returns the plans of the `[B, H, …]` sequences found.

        Args:
            sequences: the one to act on per state; its value is from roll-outs of its own.
            carried: `[B, K]` for the next decision.
            proposal: the distribution it is of, if any.
        """
        spread = self._last
        first = sequences[:, 0]
        metrics = {
            "population_mean": spread.mean(axis=1),
            "population_std": spread.std(axis=1),
            "population_best": spread.max(axis=1),
        }
        if isinstance(proposal, Gaussian):
            metrics |= {f"action_std_{k}": proposal.std[:, 0, k].copy() for k in range(len(self.low))}
        values = self.returns(sequences[:, None])[:, 0]
        extra: dict[str, Any] = {}
        if self.actions:
            probs = self._counts / self._counts.sum(axis=1, keepdims=True)
            if isinstance(proposal, Categorical):
                probs = proposal.probs[:, 0].copy()
            extra = {"action_values": self._best, "visit_counts": self._counts, "action_probs": probs}
            if callable(getattr(self.model, "legal_of", None)):
                legal = np.asarray(as_numpy(self.model.legal_of(self.states)), np.bool_)
                first = permitted(first, legal, np.ones(self.batch, np.bool_), type(self.model).__name__)
        simulations = np.full(self.batch, self._rolled, np.int64)
        return Plans(
            first.copy(), values, simulations=simulations, metrics=metrics, sequences=sequences, carried=carried,
            **extra,
        )  # fmt: skip

    def carried_from(self, previous: Plans | None, size: int) -> np.ndarray:
        """Returns `[B, K]` what the last decisions left, NaN without.

        Raises:
            UsageError: they were of another number of states, or by a planner of other settings.
        """
        if previous is None:
            return np.full((self.batch, size), np.nan)
        carried = np.asarray(previous.carried, np.float64)
        if carried.shape != (self.batch, size):
            raise UsageError(
                f"previous plans that carry an array of shape {list(carried.shape)}",
                expected=f"[{self.batch}, {size}]: of the same planner, a row for each state",
                hint="previous=plans[b:b + 1] for one state of a batch",
            )
        return carried


def action_bounds(space: spaces.Space[Any], reader: str) -> tuple[int, np.ndarray, np.ndarray]:
    """Returns (A, [], []) of a `Discrete` space, or (0, low `[D]`, high `[D]`) of a `Box`.

    Raises:
        UsageError: the space is another one, has more than one axis, or is unbounded.
    """
    none = np.empty(0)
    if isinstance(space, spaces.Discrete) and space.start == 0:
        return int(space.n), none, none
    if not isinstance(space, spaces.Box) or space.dtype is None or space.dtype.kind != "f" or len(space.shape) != 1:
        raise UsageError(
            f"{reader} on a model whose actions are {space}",
            expected="Discrete actions, counted from 0, or a Box of floats with one axis",
        )
    low, high = np.asarray(space.low, np.float64), np.asarray(space.high, np.float64)
    wide = ~np.isfinite(high - low)
    if wide.any():
        k = int(np.flatnonzero(wide)[0])
        raise UsageError(
            f"{reader} on a model whose action {k} ranges from {low[k]:g} to {high[k]:g}",
            expected="bounded actions: sequences are drawn in proportion to the range",
            hint="a Box with finite low and high",
        )
    return 0, low, high


def carried_size(space: spaces.Space[Any], planner: Any) -> int:
    """Returns K, how many numbers the planner carries from one decision to the next, per state."""
    actions, low, _ = action_bounds(space, type(planner).__name__)
    return int(planner.horizon * planner.carried_per_step(actions, len(low)))
