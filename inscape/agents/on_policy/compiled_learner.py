"""Policy and value networks in compiled code, and the rounds of acting and learning with them: worlds of ours."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from inscape.agents.interface import Metrics
from inscape.agents.kernels import policy_gradient
from inscape.agents.learning.distributed import part_of
from inscape.agents.learning.episode_log import EpisodeLog
from inscape.agents.learning.normalization import ReturnNormalizer, load_reward_scale
from inscape.agents.on_policy.base import Algorithm, Schedule, explained_variance, first_weights, law_of
from inscape.envs.compile.compile_time import announce
from inscape.envs.law.streams import stream_key, stream_keys
from inscape.envs.readers.copies import PackedCopies
from inscape.envs.tasks.shared_policy import PlayersTask
from inscape.errors import UsageError
from inscape.rng import restore_rng, rng_state
from inscape.world_models.networks.blas import blas_threads
from inscape.world_models.networks.encoders.features import FeatureReader
from inscape.world_models.networks.finite_checks import DivergenceError, divergence
from inscape.world_models.networks.kernels import one_hot, perceptron
from inscape.world_models.networks.numpy_distributions import numpy_distribution
from inscape.world_models.networks.types import Array, State

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task

COLLECTING = "inscape.agents.kernels.collecting"
ACTIVATIONS = {"tanh": perceptron.TANH, "relu": perceptron.RELU}
OPTIMIZERS = {"adam": policy_gradient.ADAM, "rmsprop": policy_gradient.RMSPROP}
MOMENTS = {"adam": ("first", "second"), "rmsprop": ("", "square")}
PROBLEMS = (
    ("", ""),
    ("the reward of {} is not finite", "finite numbers"),
    ("the observation of {} is not finite", "finite numbers"),
    ("nothing is legal in {}", "a legal action in every state that does not end the episode"),
)
"""What the collecting kernel reports by number, and what was expected."""
BAD_REWARD, BAD_OBSERVATION = 1, 2
BAD_POLICY = len(PROBLEMS)
"""What it reports where the policy itself gives numbers that are not finite."""
PIECE = 512
"""Rows whose values are worked out at a time: their activations stay in the cache."""
RMSPROP_DECAY = 0.99
"""What RMSProp keeps of its running mean square at a step."""


class CompiledLearner:
    """Collects with `num_envs` copies and learns from what they did, without Python in between.

    In a world in which M players act at once (`players_env.one_player`) these are rows: the players of num_envs / M
    copies of it.

    Attributes:
        parameters: one vector of float32, the actor's before the critic's, laid out as torch does, then the log
            standard deviations of a Gaussian policy. Where features are one-hot, both first weights are not in it, but
            in the layer of `kernels.one_hot`, whose rows may be behind.
    """

    backend = "compiled"

    def __init__(self, agent: Algorithm, task: Task) -> None:
        self.agent, self.settings = agent, agent.settings
        s, seed = agent.settings, agent.seed
        self.reader = FeatureReader(task.observation_space, s.normalize_observations)
        self.head = numpy_distribution(task.action_space)
        self.actor_sizes = np.array([self.reader.width, *s.hidden, self.head.outputs], np.int64)
        self.critic_sizes = np.array([self.reader.width, *s.hidden, 1], np.int64)
        self._activation = ACTIVATIONS[s.activation]
        weights = first_weights(s, self.reader.width, self.head.outputs, seed)
        self._one_hot = len(self.reader.places) > 0
        skipped = 1 if self._one_hot else 0  # the first weights
        networks = [
            np.concatenate([part.reshape(-1) for layer in weights[name] for part in layer][skipped:])
            for name in ("actor", "critic")
        ]
        # the deviation does not depend on the observation, as in the paper
        self.parameters = np.concatenate([*networks, np.zeros(self.head.free, np.float32)])
        ends = np.cumsum([len(network) for network in networks])
        self._actor, self._critic, self._log_std = np.split(self.parameters, ends)  # views
        self._moments = np.zeros((2, len(self.parameters)), np.float32)
        self._gradient = np.zeros_like(self.parameters)
        self._updates = 0
        # `[D, 3, w]`; without one-hot features a vector of nothing, from which compiled code knows
        self._rows = np.zeros(0, np.float32)
        if self._one_hot:
            first = np.concatenate([weights["actor"][0][0], weights["critic"][0][0]])
            self._rows = np.zeros((self.reader.width, 3, len(first)), np.float32)
            self._rows[:, one_hot.WEIGHT] = first.T
        self._layer = self._first_layer()
        self._rewards = ReturnNormalizer(s.num_envs, s.gamma) if s.normalize_rewards else None
        # `act` uses a separate random generator, so evaluation does not affect training
        self._acting = np.random.default_rng([seed, 2])
        self._drawn = 0  # numbers drawn for each copy's exploration, and for the order of minibatches
        self._shuffled = 0
        self._task, self._world = task, law_of(task)
        self._copies: PackedCopies | None = None
        self._running: Array = np.zeros((2, 0))  # of each row, return and length of the episode under way
        self._log = EpisodeLog(s.num_envs)
        self._pending: State | None = None  # the copies' part of a loaded state, until `begin` has a task
        self._arrays: dict[str, Any] = {}

    def _first_layer(self) -> tuple[Any, ...]:
        """Returns the layer of `kernels.one_hot`, whose rows are up to date with `_updates` steps."""
        if not self._one_hot:
            return (self._rows,)
        stamps = np.where(self._rows[:, one_hot.FIRST :].any(axis=(1, 2)), self._updates, one_hot.NEVER)
        clock = np.array([self._updates, self._updates], np.int64)
        history = (np.empty(one_hot.WINDOW, np.float32), np.empty(one_hot.WINDOW, np.float32))
        is_adam = self.agent.optimizer == "adam"
        rule = (is_adam, float(self.agent.epsilon), 0.999 if is_adam else RMSPROP_DECAY)
        return (self._rows, stamps, clock, *history, rule)

    # ------------------------------------------------------------------------------------------- acting

    def act(self, observation: Array, action_mask: Array | None, greedy: bool) -> Array:
        outputs = self._outputs(self._actor, self.actor_sizes, 0, observation)
        return self.head.act(outputs, self._log_std, action_mask, greedy, self._acting)

    def log_probs(self, observation: Array, action_mask: Array | None) -> Array:
        return self.head.log_probs(self._outputs(self._actor, self.actor_sizes, 0, observation), action_mask)

    def values(self, observation: Array) -> Array:
        outputs = self._outputs(self._critic, self.critic_sizes, int(self.actor_sizes[1]), observation)
        return outputs[:, 0].astype(np.float64)

    def _outputs(self, parameters: Array, sizes: Array, offset: int, observation: Array) -> Array:
        """Returns what a network says; of looked-up weights its part begins at `offset` in each row."""
        memory = np.empty(int(sizes[1:].sum()) * len(observation), np.float32)
        with blas_threads(1):
            if not self._one_hot:
                features = self.reader(observation)
                return np.asarray(perceptron.forward(parameters, sizes, self._activation, features, memory))
            columns = self.reader.columns(observation)
            one_hot.catch_up_visited(self._layer, columns)
            return np.asarray(
                one_hot.forward_columns(
                    self._layer[0], offset, parameters, sizes, self._activation, columns, memory
                )
            )  # fmt: skip

    # ------------------------------------------------------------------------------------------- learning

    def begin(self, task: Task, steps: int) -> None:
        s, world = self.settings, law_of(task)
        assert world is not None
        world.require_probabilities()
        self._task, self._world = task, world
        time, count = s.num_steps, s.num_envs
        width = len(self.reader.places) or self.reader.width
        players, copies = world.players, task.num_copies(count) if isinstance(task, PlayersTask) else count
        running, log = np.zeros((2, count)), EpisodeLog(count)
        if self._pending is None:
            begun = PackedCopies.begin(world, copies, self.agent.seed)
        else:
            kept, begun = part_of(self._pending, 0, 1), PackedCopies.empty(world, copies)
            begun.load_state_dict(kept["env"])  # refuses what does not fit: compiled code would not notice
            running[:] = kept["returns"], kept["lengths"]
            log.load_state_dict(kept.get("episodes"))
        self._copies, self._running, self._log = begun, running, log
        self._pending = None
        masked = world.law_function("legal") is not None
        shape = (time, count)
        units = int(self.actor_sizes[1:].sum()), int(self.critic_sizes[1:].sum())
        obs, last = world.observation_array(copies), world.observation_array(1)
        everyone = (players,) if players > 1 else ()
        standardised = bool(self.reader.statistics)
        self._arrays = {
            "rows": (
                np.zeros((time + 1, count, width), self._kind),
                np.zeros((time if standardised else 0, count, width), obs.dtype),
                np.zeros((time, count, self.head.outputs if masked else 0), np.bool_),
                self.head.actions(time, count), np.zeros(shape), np.zeros(shape),
                np.zeros(shape, np.bool_), np.zeros(shape, np.bool_), np.zeros(shape),
            ),
            "episodes": np.zeros((2, *shape)),
            "looking": (
                obs, last, world.batch_first(obs).reshape(copies, *everyone, -1),
                world.batch_first(last).reshape(1, *everyone, -1),
            ),
            "memory": (np.empty(count * units[0], np.float32), np.empty(players * units[1], np.float32)),
            "value_memory": np.empty(PIECE * units[1], np.float32),
            "values": np.empty((time + 1) * count, np.float32),
            "advantages": np.empty(shape),
            "kernels": world.kernel(
                COLLECTING, constants={
                    "GAUSSIAN": self.head.free > 0, "STANDARDISED": standardised, "ONE_HOT": self._one_hot,
                }
            ),
            "acting": (
                stream_keys(_exploration_seed(self.agent.seed), count), self.head.scaling, self.head.taken(count)
            ),
        }  # fmt: skip
        own = self._arrays["kernels"].collect
        announce(world.name, {
            ("collecting", "collect"): own, ("policy_gradient", "update"): policy_gradient.update,
            ("stepping", "step"): None,
        })  # fmt: skip

    def round(self, schedule: Schedule, steps: int) -> Metrics:
        with blas_threads(1):
            batch, metrics = self.collect(steps)
            return {**metrics, **self.update(batch, schedule, steps)}

    def collect(self, steps: int) -> tuple[tuple[Array, ...], Metrics]:
        """Acts for num_steps in every copy; returns the batch `policy_gradient.update` takes, and metrics."""
        s, arrays, copies, task, world = self.settings, self._arrays, self._copies, self._task, self._world
        assert copies is not None
        assert world is not None
        X, seen, masks, actions, log_probs, rewards, terminated, truncated, cut_values = arrays["rows"]
        wrong, t, row = arrays["kernels"].collect(
            world.packed, copies.floats, copies.ints, arrays["looking"],
            (self.reader.places, self.reader.bounds, self.reader.scale, *self.reader.centre_and_deviation),
            (self._actor, self.actor_sizes, self._critic, self.critic_sizes, self._activation, self._log_std,
             self._layer),
            arrays["memory"], arrays["acting"], task.max_episode_steps or 0, self._drawn, self._running,
            arrays["rows"], arrays["episodes"],
        )  # fmt: skip
        if wrong:
            copy, player = divmod(row, world.players)
            who = f"copy {copy}" if world.players == 1 else f"player {player} of copy {copy}"
            where = f"{who} at step {steps // s.num_envs + t} in {task.name}"
            if wrong == BAD_REWARD:  # the copy has not left the state it acted in
                raise self._reward_error(where, copies, copy, t, row)
            self._explain(wrong, where, steps)
        self._drawn += s.num_steps
        values = arrays["values"]
        critic = (
            self._critic, self.critic_sizes, self._activation, X.reshape(-1, X.shape[2]), arrays["value_memory"], values
        )  # fmt: skip
        if self._one_hot:
            policy_gradient.values_of_columns(self._layer[0], int(self.actor_sizes[1]), *critic)
        else:
            policy_gradient.values_of(*critic)
        table = values.reshape(X.shape[:2])
        if self._rewards is not None:
            rewards = self._rewards(rewards, terminated | truncated)
        self.reader.update(seen.reshape(-1, X.shape[2]))
        policy_gradient.advantages(
            rewards, table, cut_values, terminated, truncated, s.gamma, s.gae_lambda, arrays["advantages"]
        )
        returns = (arrays["advantages"] + table[:-1]).reshape(-1)
        metrics = {"explained_variance": explained_variance(table[:-1].reshape(-1), returns)}
        self._log.add(terminated | truncated, *arrays["episodes"])
        metrics |= self._log.report()
        rows = len(returns)
        return (
            X[:-1].reshape(rows, -1), masks.reshape(rows, masks.shape[2]), actions.reshape(rows, *actions.shape[2:]),
            log_probs.reshape(-1),
            arrays["advantages"].reshape(-1), returns,
        ), metrics  # fmt: skip

    def update(self, batch: tuple[Array, ...], schedule: Schedule, steps: int) -> Metrics:
        """Runs the epochs of minibatch gradient steps; returns the means of the loss's parts over the last epoch."""
        s, size = self.settings, len(batch[2])
        rows = -(-size // schedule.minibatches)
        table = np.zeros((schedule.minibatches, policy_gradient.PARTS))
        if "memories" not in self._arrays:
            self._arrays["memories"] = self._memory(rows)
        with blas_threads(1):
            taken = policy_gradient.update(
                (self.parameters, self.actor_sizes, self.critic_sizes, self._activation, self._layer),
                (self._moments[0], self._moments[1]), batch, np.arange(size), self._arrays["memories"], self._gradient,
                table,
                (schedule.rate, schedule.clip, s.value_coef, s.entropy_coef, s.max_grad_norm, self.agent.epsilon,
                 schedule.target_kl, RMSPROP_DECAY),
                (schedule.epochs, rows, OPTIMIZERS[self.agent.optimizer], s.normalize_advantages), self._updates,
                stream_key(_exploration_seed(self.agent.seed), -1), self._shuffled,
            )  # fmt: skip
        self._shuffled += schedule.epochs * size
        if taken < 0:
            row = table[~np.isfinite(table[:, policy_gradient.NORM])][0]
            loss = row[policy_gradient.POLICY_LOSS] + s.value_coef * row[policy_gradient.VALUE_LOSS]
            raise self._divergence(loss - s.entropy_coef * row[policy_gradient.ENTROPY], steps)
        self._updates += taken
        filled = -(-(size - 1 if size % rows == 1 else size) // rows)  # a last row alone is left out
        means = table[: max(1, filled)].mean(axis=0)
        metrics = {
            "policy_loss": means[policy_gradient.POLICY_LOSS], "value_loss": means[policy_gradient.VALUE_LOSS],
            "entropy": means[policy_gradient.ENTROPY], "updates": taken,
        }  # fmt: skip
        if np.isfinite(schedule.clip):
            metrics |= {"kl": means[policy_gradient.KL], "clip_fraction": means[policy_gradient.CLIPPED]}
        return {name: float(value) for name, value in metrics.items()}

    def _memory(self, rows: int) -> tuple[Any, ...]:
        """Returns the working memory of minibatches of so many rows."""
        widest = int(max(self.actor_sizes[1:].max(), self.critic_sizes[1:].max()))
        blocks, width = len(self.reader.places), self.reader.width

        def floats(*shape: int) -> Array:
            return np.empty(shape, np.float32)

        visits: tuple[Array, ...] = ()  # of one-hot features
        if self._one_hot:
            most = min(rows * blocks, width)
            visits = (
                np.empty(most, np.int64), np.full(width, -1, np.int64), np.zeros(1, np.int64),
                floats(most, int(self.actor_sizes[1] + self.critic_sizes[1])),
            )  # fmt: skip
        return (
            np.empty((rows, blocks or width), self._kind), floats(rows * int(self.actor_sizes[1:].sum())),
            floats(rows * int(self.critic_sizes[1:].sum())), floats(rows, self.head.outputs), floats(rows, 1),
            floats(2, rows * widest), np.empty(rows), visits,
        )  # fmt: skip

    @property
    def _kind(self) -> type[np.generic]:
        """What features are kept as: numbers, or the columns of ones."""
        return np.int64 if self._one_hot else np.float32

    def _reward_error(self, where: str, copies: PackedCopies, copy: int, t: int, row: int) -> UsageError:
        """Returns the error that names a reward that is not finite, with the state and the action it followed."""
        world, rows = self._world, self._arrays["rows"]
        assert world is not None
        player = slice(copy * world.players, (copy + 1) * world.players)
        taken = self._arrays["acting"][2][copy] if self.head.free else rows[3][t, player]
        names = taken.tolist() if self.head.free else [world.action_names[int(action)] for action in taken]
        return UsageError(
            f"the reward of {where} is {rows[5][t, row]}, for action {names[0] if len(names) == 1 else names} in "
            f"{world.unpack(copies.states, copy)}",
            expected=PROBLEMS[BAD_REWARD][1], hint="fix `reward`: inscape check tells state and action",
        )  # fmt: skip

    def _explain(self, wrong: int, where: str, steps: int) -> None:
        """Raises what kept the collecting kernel from going on: a fault of the world, or of the policy."""
        if wrong == BAD_POLICY:
            raise self._divergence(math.nan, steps)
        what, expected = PROBLEMS[wrong]
        if wrong == BAD_OBSERVATION and self._one_hot:
            what, expected = "the observation of {} is outside its space", str(self.reader.space)
        raise UsageError(what.format(where), expected=expected, hint=f"inscape check {self._task.name}")

    def _divergence(self, loss: float, steps: int) -> DivergenceError:
        """Returns the error that names what is not finite, weights before gradients."""
        of_rows = np.zeros(self._rows.shape[::2], np.float32)
        if self._one_hot and "memories" in self._arrays:
            columns, _, count, gradients = self._arrays["memories"][-1]
            of_rows[columns[: count[0]]] = gradients[: count[0]]
        broken = [
            f"{kind}{name}"
            for kind, vector, first in (
                ("weights ", self.parameters, self._of_rows(one_hot.WEIGHT)),
                ("gradient of ", self._gradient, of_rows),
            )
            for name, part in self._named(vector, first).items()
            if not np.isfinite(part).all()
        ]
        return divergence(self.agent.name, steps, loss, broken)

    @property
    def value_unit(self) -> float:
        """What values are to be multiplied by to be in the task's own units."""
        return 1.0 if self._rewards is None else self._rewards.deviation

    # ------------------------------------------------------------------------------------------- saving

    def _named(self, vector: Array, first: Array) -> dict[str, Array]:
        """Returns views of a vector laid out like the parameters, and of what the rows `first [D, w]` of one-hot
        features have for the first weights, by the names torch has for them."""
        named: dict[str, Array] = {}
        at, column = 0, 0
        for network, sizes in (("actor", self.actor_sizes), ("critic", self.critic_sizes)):
            for k in range(len(sizes) - 1):
                inputs, outputs = int(sizes[k]), int(sizes[k + 1])
                if k == 0 and self._one_hot:
                    weight = first[:, column : column + outputs].T
                    column += outputs
                else:
                    weight = vector[at : at + inputs * outputs].reshape(outputs, inputs)
                    at += inputs * outputs
                named[f"{network}.{2 * k}.weight"] = weight
                named[f"{network}.{2 * k}.bias"] = vector[at : at + outputs]
                at += outputs
        return named | ({"log_std": vector[at:]} if self.head.free else {})

    def _network(self) -> dict[str, Array]:
        """Returns views of all that acting depends on, by the names torch has for it."""
        statistics = {f"encoder.{name}": array for name, array in self.reader.statistics.items()}
        return self._named(self.parameters, self._of_rows(one_hot.WEIGHT)) | statistics

    def _named_moments(self) -> dict[str, dict[str, Array]]:
        """Returns views of the optimiser's moments by their names, and those of the parameters."""
        rows = self._of_rows(one_hot.FIRST), self._of_rows(one_hot.SECOND)
        return {
            name: self._named(vector, first)
            for name, vector, first in zip(MOMENTS[self.agent.optimizer], self._moments, rows, strict=True)
            if name
        }

    def _of_rows(self, part: int) -> Array:
        """Returns the view `[D, w]` of the rows that has weights, first or second moments."""
        return self._rows[:, part] if self._one_hot else self._rows

    def state_dict(self) -> State:
        if self._one_hot:
            one_hot.catch_up_all(self._layer)
        moments: State = {"steps": self._updates}
        if self._updates:
            for name, parts in self._named_moments().items():
                moments[name] = {key: part.copy() for key, part in parts.items()}
        return {
            "network": {name: part.copy() for name, part in self._network().items()},
            "optimizer": moments,
            "acting": rng_state(self._acting),
            "exploring": {"drawn": self._drawn, "shuffled": self._shuffled},
            "reward_scale": None if self._rewards is None else self._rewards.state_dict(),
            "copies": self._copies_state(),
        }

    def _copies_state(self) -> State | None:
        copies = self._copies
        if copies is None:
            return self._pending
        assert self._world is not None
        states = copies.states
        masked = self._world.law_function("legal") is not None
        several = self._world.players > 1
        return {
            "env": copies.state_dict(),
            "observation": _rows(self._world.observe(states), several),
            "action_mask": _rows(self._world.legal_actions(states), several) if masked else None,
            "returns": self._running[0].copy(),
            "lengths": self._running[1].astype(np.int64),
            "episodes": self._log.state_dict(),
        }

    def load_state_dict(self, state: State) -> None:
        _fill(self._network(), state["network"])
        self._updates = int(state["optimizer"]["steps"])
        self._moments[:] = 0.0
        if self._one_hot:
            self._rows[:, one_hot.FIRST :] = 0.0
        for name, parts in self._named_moments().items():
            if name in state["optimizer"]:
                _fill(parts, state["optimizer"][name])
        self._layer = self._first_layer()
        if state["acting"] is not None:
            restore_rng(self._acting, state["acting"])
        if state["exploring"] is not None:
            self._drawn, self._shuffled = int(state["exploring"]["drawn"]), int(state["exploring"]["shuffled"])
        load_reward_scale(self._rewards, state["reward_scale"])
        self._copies, self._pending = None, state["copies"]


def _rows(array: Array, several: bool) -> Array:
    """Returns `[B, M, ...]` of several players as `[B · M, ...]`."""
    return np.ascontiguousarray(array).reshape(-1, *array.shape[2:]) if several else array


def _fill(named: dict[str, Array], stored: dict[str, Any]) -> None:
    """Writes stored arrays into those of the same names.

    Raises:
        UsageError: names or shapes differ.
    """
    shapes = {name: np.shape(part) for name, part in stored.items()}
    expected = {name: part.shape for name, part in named.items()}
    if shapes != expected:
        wrong = sorted(shapes.items() ^ expected.items())
        raise UsageError(
            f"stored weights do not fit: {wrong[:4]}",
            expected="weights of an agent with the same settings in the same task",
        )
    for name, part in named.items():
        part[...] = stored[name]


def _exploration_seed(seed: int) -> int:
    """Returns a seed apart from that of the environment copies, whose streams would else be the same."""
    return stream_key(seed, -1)
