"""AlphaZero: a network learns from a search that the network guides, by playing itself. One player, two, or more.

Games are played side by side; every move is a batched search (`Gumbel` or `PUCT`) on the known law, compiled with the
network inside. The network learns the search's policy and the returns. What it acts by afterwards is the search again,
or the network alone.

Sources: Silver et al. (2018), "A general reinforcement learning algorithm that masters chess, shogi, and Go through
self-play", Science 362; with Gumbel search, whose policy is improved however few the simulations are: Danihelka et al.
(2022), "Policy improvement by planning with Gumbel", ICLR.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import gymnasium
import numpy as np

from inscape.agents.acting import greedy_log_probs, sample_actions
from inscape.agents.interface import Agent, Metrics, learning_task
from inscape.agents.kernels import search_imitation
from inscape.agents.learning.rounds import say_rounds
from inscape.agents.learning.settings import PolicySettings
from inscape.agents.learning.settings_checks import (
    require_counts,
    require_positive,
    require_shares,
    require_weights,
)
from inscape.agents.planners.search_games import PositionMemory, SearchGames
from inscape.agents.planners.value_iteration import known_law, unseen_state
from inscape.errors import PartialObservationError, UsageError
from inscape.rng import restore_rng, rng_state
from inscape.world_models.networks.blas import blas_threads
from inscape.world_models.networks.initialization import perceptron_weights
from inscape.world_models.networks.types import Array, State
from inscape.world_models.planning.interface import Plan, Plans
from inscape.world_models.planning.tree_search.batched import BatchedSearch
from inscape.world_models.planning.tree_search.gumbel import Gumbel
from inscape.world_models.planning.tree_search.network import PerceptronEvaluator
from inscape.world_models.planning.tree_search.puct import PUCT

if TYPE_CHECKING:
    from inscape.envs.law.states import States
    from inscape.envs.tasks.task import Task


@dataclass(frozen=True)
class AlphaZeroSettings(PolicySettings):
    """Settings of AlphaZero."""

    num_envs: int = 128
    """Games played side by side."""
    learning_rate: float = 2e-3
    """The optimiser's step size at the beginning."""
    gamma: float | None = None  # type: ignore[assignment]
    """Discount per step; None for the world's own."""
    hidden: tuple[int, ...] = (128, 128)
    """Widths of the hidden layers of the one network of policy and values."""
    activation: Literal["tanh", "relu"] = "relu"
    """Nonlinearity of the hidden layers."""
    num_simulations: int = 32
    """Simulations per move, in its games and as it acts."""
    search: Literal["gumbel", "puct"] = "gumbel"
    """The search: Gumbel, or PUCT with Dirichlet noise at the root."""
    play: Literal["search", "network"] = "search"
    """How it acts outside `learn`: by a search guided by the network, or by the network alone."""
    value_scale: float = 0.25
    """Gumbel: how much action values weigh against the prior."""
    exploration: float = 1.25
    """PUCT: weight of the prior's bonus."""
    dirichlet_fraction: float = 0.25
    """PUCT: share of noise in the root's prior in its own games."""
    dirichlet_alpha: float = 0.5
    """PUCT: concentration of that noise; small is uneven."""
    value_range: tuple[float, float] | None = None
    """Lowest and highest return there can be, by which searches scale values; None: those met in a tree."""
    random_moves: float = 0.2
    """Share of moves in its own games drawn uniformly from the legal ones, so that every position comes up."""
    return_lambda: float = 1.0
    """λ of the returns that values learn: 1 is what the game ended with, 0 what the next search said."""
    num_steps: int = 16
    """Moves in every game between two rounds of gradient steps."""
    gradient_steps: int = 16
    """Gradient steps of a round."""
    batch_size: int = 256
    """Positions in each gradient step."""
    buffer_size: int = 50_000
    """Positions remembered."""
    value_coef: float = 1.0
    """Weight of the value loss."""
    weight_decay: float = 1e-4
    """Decay of the weights, apart from the gradient."""
    max_grad_norm: float = 5.0
    """Gradients are scaled down to this norm."""
    anneal: Literal["linear", "constant"] = "linear"
    """Whether the learning rate falls linearly to zero over the training."""

    def __post_init__(self) -> None:
        require_counts(
            self, "num_envs", "num_simulations", "num_steps", "gradient_steps", "batch_size", "buffer_size", "threads"
        )
        require_positive(self, "learning_rate", "max_grad_norm", "dirichlet_alpha")
        require_shares(self, "random_moves", "return_lambda", "dirichlet_fraction")
        require_weights(self, "value_coef", "weight_decay", "value_scale", "exploration")
        if self.gamma is not None:
            require_shares(self, "gamma")
        if any(not width >= 1 for width in self.hidden):
            raise UsageError(f"hidden = {self.hidden!r}", expected="widths of at least 1")
        for name, known in (("search", ("gumbel", "puct")), ("play", ("search", "network"))):
            if getattr(self, name) not in known:
                raise UsageError(f"{name} = {getattr(self, name)!r}", expected=" or ".join(map(repr, known)))
        if self.normalize_observations:
            raise UsageError(
                "normalize_observations = True", expected="False: alphazero takes observations as the world has them"
            )


class AlphaZero(Agent):
    """Learns by self-play with a search, and acts by it: in worlds with a law whose players see the state, in turn.

    Args:
        task: a world with a law and finitely many actions, of one player or of several who act in turn.
        seed: seed of weights, games and searches.
        settings: see `AlphaZeroSettings`.

    Raises:
        MissingLawError: the task has no law.
        PartialObservationError: observations do not determine the state.
        UsageError: actions are not finite, all players act at once, or a setting is out of range.

    Attributes:
        steps: moves made in its own games, all together.
        evaluator: the network, as a search takes it.
    """

    name = "alphazero"
    learns_with_players = True

    def __init__(self, task: Task, seed: int = 0, settings: AlphaZeroSettings | None = None) -> None:
        self.settings = settings or AlphaZeroSettings()
        s = self.settings
        self.world = world = known_law(task, "alphazero", "ppo, which needs no law")
        if world.continuous or not isinstance(task.action_space, gymnasium.spaces.Discrete):
            raise UsageError(
                f"alphazero on {task.name}, whose actions are {task.action_space}",
                expected="a Discrete action space", hint="sac or ppo for continuous actions",
            )  # fmt: skip
        if world.simultaneous:
            raise UsageError(
                f"alphazero on {task.name}, whose players act at once",
                expected="a world of one player, or of players who move in turn", hint="self-play",
            )  # fmt: skip
        self._require_seen_state()
        self.seed, self.steps = seed, 0
        self.gamma = world.gamma if s.gamma is None else float(s.gamma)
        width = PerceptronEvaluator.inputs(world)
        sizes = (width, *s.hidden, world.num_actions + world.players)
        layers = perceptron_weights(sizes, 0.1, np.random.default_rng([seed, 1]))
        self.evaluator = PerceptronEvaluator(world, layers, s.activation)
        self._parameters = self.evaluator.network[0]  # the same memory
        self._moments = np.zeros((2, len(self._parameters)), np.float32)
        self._updates = 0
        self._unit = 0.0  # of values: the largest return met; 0 before the first
        self._rng, self._acting = (np.random.default_rng([seed, k]) for k in (2, 3))
        observations = np.asarray(world.observe(world.sample_initial(1, np.random.default_rng(0))))
        self.memory = PositionMemory(s.buffer_size, observations, world.num_actions, world.players)
        self._games: SearchGames | None = None
        self._pending: State | None = None
        self._task: Task | None = None

    def _require_seen_state(self) -> None:
        start = self.world.sample_initial(1, np.random.default_rng(0))
        try:
            self.world.states_of(self.world.observe(start))
        except PartialObservationError as error:
            raise unseen_state(error, "alphazero", self.world) from error

    # ------------------------------------------------------------------------------------------- searching

    def _planner(self, training: bool) -> Gumbel | PUCT:
        s = self.settings
        if s.search == "gumbel":
            return Gumbel(
                s.num_simulations, self.gamma, value_range=s.value_range, value_scale=s.value_scale,
                noise=1.0 if training else 0.0,
            )  # fmt: skip
        return PUCT(
            s.num_simulations, self.gamma, value_range=s.value_range, exploration=s.exploration,
            dirichlet_fraction=s.dirichlet_fraction if training else 0.0, dirichlet_alpha=s.dirichlet_alpha,
        )  # fmt: skip

    def _plans(self, observation: Array) -> tuple[Plans, Array]:
        """Returns the plans of the rows whose state is not an end, and which these are."""
        states = self.world.states_of(np.asarray(observation))
        going = np.flatnonzero(~np.asarray(self.world.terminal_of(states)))
        if not len(going):
            return Plans(np.zeros(0, np.int64), np.zeros(0)), going
        planner = self._planner(training=False)
        # without noise nothing is drawn: the same observation is always answered alike
        return planner.plan(self.world, states[going], np.random.default_rng(self.seed), self.evaluator), going

    # ------------------------------------------------------------------------------------------- acting

    def act(self, observation: Array, action_mask: Array | None = None) -> Array:
        return sample_actions(self.action_log_probs(observation, action_mask), self._acting)

    def action_log_probs(self, observation: Array, action_mask: Array | None = None) -> Array:
        """Returns `[B, A]` log-probabilities as it acts: the search's proposal, or where not `greedy` its policy; with
        `play="network"` the most probable action of the network, or its policy."""
        if self.settings.play == "network":
            log_probs = self.policy_log_probs(observation, action_mask)
            return greedy_log_probs(log_probs) if self.settings.greedy else log_probs
        plans, going = self._plans(observation)
        count = self.world.num_actions
        mask = (
            np.ones((len(observation), count), np.bool_) if action_mask is None else np.asarray(action_mask, np.bool_)
        )
        probs = mask / np.maximum(mask.sum(axis=1, keepdims=True), 1)  # where it is over, and where nothing was tried
        if len(going):
            allowed = np.where(mask[going], plans.action_probs, 0.0)
            if self.settings.greedy:
                proposed = np.eye(count)[plans.actions] * mask[going]
                best = np.eye(count)[allowed.argmax(axis=1)] * (allowed.max(axis=1, keepdims=True) > 0)
                allowed = np.where(proposed.any(axis=1, keepdims=True), proposed, best)
            total = allowed.sum(axis=1, keepdims=True)
            probs[going] = np.where(total > 0, allowed / np.where(total > 0, total, 1.0), probs[going])
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(probs))

    def policy_log_probs(self, observation: Array, action_mask: Array | None = None) -> Array:
        """Returns `[B, A]` log π(a|s) of the network alone."""
        outputs = self.evaluator.outputs(self.evaluator.reader(np.asarray(observation)))
        logits = outputs[:, : self.world.num_actions].astype(np.float64)
        if action_mask is not None:
            logits = np.where(action_mask, logits, -np.inf)
        logits = logits - logits.max(axis=1, keepdims=True)
        return np.asarray(logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)))

    def state_values(self, observation: Array) -> Array:
        """Returns `[B]` the network's V(s) for the player to move."""
        outputs = self.evaluator.outputs(self.evaluator.reader(np.asarray(observation)))
        return np.asarray(outputs[:, self.world.num_actions] * self.evaluator.network[3], np.float64)

    def plan_for(self, observation: Array) -> Plan | None:
        """Returns the search at one observation; None where the game is over."""
        plans, going = self._plans(np.asarray(observation)[None])
        return plans[0] if len(going) else None

    # ------------------------------------------------------------------------------------------- learning

    def learn(self, task: Task, steps: int) -> Iterator[Metrics]:
        """Learns until at least `steps` moves were made in its games, in whole rounds of num_envs · num_steps.

        Metrics: `episode_return` is that of the first player, `policy_loss` the cross-entropy with the search's policy.

        Raises:
            UsageError: it has learned in another task; a gradient is not finite.
        """
        s = self.settings
        self._task = learning_task(self, self._task, task)
        if self._games is None:
            self._games = SearchGames(
                self.world, s.num_envs, self._rng, s.random_moves, s.return_lambda, self.gamma, task.max_episode_steps
            )
            if self._pending is not None:
                self._games.load_state_dict(self._pending["games"])
                restore_rng(self._rng, self._pending["rng"])
                self._pending = None
        size = s.num_envs * s.num_steps
        say_rounds(self.name, self.steps, steps, size, "--num-envs, --num-steps")
        planner = self._planner(training=True)
        while self.steps < steps:
            remaining = max(0.0, 1.0 - self.steps / steps)

            def search(states: States) -> BatchedSearch:
                return BatchedSearch(planner, self.world, states, self._rng, self.evaluator, keep=False)

            for _ in range(s.num_steps):
                self._games.move(search, self.evaluator, self.memory)
            self.steps += size
            metrics = self._games.log.report()
            if len(self.memory) >= s.batch_size:
                rate = s.learning_rate * (remaining if s.anneal == "linear" else 1.0)
                metrics |= self._update(rate)
            yield {"steps": float(self.steps), "positions": float(len(self.memory)), **metrics}

    def _update(self, rate: float) -> Metrics:
        """Takes the gradient steps of a round; returns the means of the loss's parts."""
        s, memory = self.settings, self.memory
        self._widen(float(np.abs(memory.arrays[2][: len(memory)]).max()))
        parameters, sizes, activation, unit = self.evaluator.network
        rows, widest = s.batch_size, int(sizes[1:].max())
        working = (
            np.zeros((rows, int(sizes[0])), np.float32), np.zeros(rows * int(sizes[1:].sum()), np.float32),
            np.zeros((rows, int(sizes[-1])), np.float32), np.zeros_like(parameters),
            np.zeros((2, rows * widest), np.float32),
        )  # fmt: skip
        order = self._rng.integers(0, len(memory), (s.gradient_steps, rows))
        parts = np.zeros(search_imitation.PARTS)
        reader = self.evaluator.reader
        with blas_threads(1):
            taken = search_imitation.imitate(
                (parameters, sizes, activation, unit), (self._moments[0], self._moments[1]), memory.arrays, order,
                (reader.places, reader.scale), working,
                (rate, float(s.value_coef), float(s.max_grad_norm), float(s.weight_decay)), self._updates, parts,
            )  # fmt: skip
        if taken < 0:
            raise UsageError(
                f"the gradient of alphazero's network is not finite after {self._updates:,} steps",
                expected="finite numbers", hint="a smaller --learning-rate",
            )  # fmt: skip
        self._updates += taken
        names = ("policy_loss", "value_loss", "entropy", "gradient_norm")
        return {**dict(zip(names, map(float, parts), strict=True)), "learning_rate": rate}

    def _widen(self, largest: float) -> None:
        """Makes the largest return met the unit of values; what the network says of states stays as it is.

        Source: van Hasselt et al. (2016), "Learning values across many orders of magnitude", NeurIPS, section 2.2.
        """
        if largest <= self._unit or not math.isfinite(largest):
            return
        if self._unit > 0.0:
            outputs, inputs, players = self.world.num_actions + self.world.players, self._sizes[-2], self.world.players
            weight = self._parameters[-outputs * (inputs + 1) : -outputs].reshape(outputs, inputs)
            weight[-players:] *= self._unit / largest
            self._parameters[-players:] *= self._unit / largest
        self._unit = largest
        self.evaluator.network = (*self.evaluator.network[:3], largest)

    @property
    def _sizes(self) -> list[int]:
        return [int(size) for size in self.evaluator.network[1]]

    # ------------------------------------------------------------------------------------------- saving

    def state_dict(self) -> State:
        games = self._games.state_dict() if self._games is not None else (self._pending or {}).get("games")
        rng = rng_state(self._rng) if self._pending is None else self._pending["rng"]
        return {
            "steps": self.steps,
            "network": self._parameters.copy(),
            "moments": self._moments.copy(),
            "updates": self._updates,
            "value_unit": self._unit,
            "rng": rng,
            "acting": rng_state(self._acting),
            "memory": self.memory.state_dict(),
            "games": games,
        }

    def load_state_dict(self, state: State) -> None:
        """Resumes from `state_dict()`.

        Raises:
            UsageError: the weights, the memory or the games are of other settings or of another world.
        """
        network = np.asarray(state["network"], np.float32)
        if network.shape != self._parameters.shape:
            raise UsageError(
                f"a stored network of {network.size:,} weights",
                expected=f"{len(self._parameters):,}: the same settings",
            )
        self._parameters[:], self._moments[:] = network, state["moments"]
        self.steps, self._updates, self._unit = int(state["steps"]), int(state["updates"]), float(state["value_unit"])
        self.evaluator.network = (*self.evaluator.network[:3], self._unit or 1.0)
        restore_rng(self._rng, state["rng"])
        restore_rng(self._acting, state["acting"])
        self.memory.load_state_dict(state["memory"])
        self._games, self._task = None, None
        self._pending = {"games": state["games"], "rng": state["rng"]} if state["games"] is not None else None
