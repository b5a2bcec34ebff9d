"""A context tree for each bit of a percept, given the actions: FAC-CTW as a world model.

The code length is that of the exact Bayesian mixture over all prediction suffix trees of each bit up to the depth, each
weighed by 2^−(its description), so that a source with a short memory is found among all of them without search.

Sources: Willems, Shtarkov & Tjalkens (1995), "The context-tree weighting method: basic properties", IEEE Trans. Inf.
Theory 41(3); given actions, and a tree for each bit of the percept: Veness, Ng, Hutter, Uther & Silver (2011), "A
Monte-Carlo AIXI approximation", JAIR 40, sections 4 and 5.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium import spaces

from inscape.errors import UsageError, whole_number
from inscape.world_models.context_tree.kernels import trees
from inscape.world_models.episodes import check_episodes
from inscape.world_models.interface import Batch, FitReport, ModelStep, as_numpy
from inscape.world_models.learned.tokens import Vocabulary

if TYPE_CHECKING:
    from inscape.envs.data.trajectory import Trajectory

Array = np.ndarray[Any, Any]
LEAST = 1024
"""Nodes and bits that arrays begin with; they double as they fill."""


@dataclass(frozen=True)
class ContextTreeSettings:
    """How much is remembered, and what is predicted."""

    depth: int = 24
    """Bits of the history that a tree looks back at most."""
    rewards: int = 8
    """How many different rewards can be told apart (a power of 2); each new one met takes a number."""
    reward_context: bool = False
    """Whether rewards are part of the history that predicts what comes next. Off, a code length is comparable with a
    filter that sees observations only."""

    def __post_init__(self) -> None:
        whole_number("depth =", self.depth, 0)
        whole_number("rewards =", self.rewards, 1)
        if self.depth > 1000 or self.rewards > 1024 or self.rewards & (self.rewards - 1):
            raise UsageError(
                f"depth = {self.depth}, rewards = {self.rewards}",
                expected="a depth of at most 1000, and 1, 2, 4, … 1024 rewards",
            )


class ContextTreeModel:
    """Predicts the next percept bit by bit from the most recent bits of actions and percepts.

        model = ContextTreeModel.for_task("Tiger")
        fit_model(model, trajectories)
        model.log_prob(trajectory)        # nats, of the exact mixture, learning on the way; then taken back

    Args:
        observation_space: Discrete, MultiDiscrete, MultiBinary, or a Box of whole numbers.
        action_space: Discrete.
        settings: see `ContextTreeSettings`.

    Attributes:
        filters: True: one observation in mid-episode does not make a state. A state is a row of `[B, depth]` bits.

    Raises:
        UsageError: spaces it cannot take, or settings out of range.
    """

    filters = True
    default_planner = "rho-uct"
    num_players = 1

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        settings: ContextTreeSettings | None = None,
    ) -> None:
        self.settings = settings or ContextTreeSettings()
        self.action_space = action_space
        self.vocabulary = Vocabulary.of_spaces(observation_space, action_space, True)
        self.action_bits = _width(self.vocabulary.num_actions)
        self.field_bits = tuple(_width(count) for count in self.vocabulary.fields)
        self.percept_bits = sum(self.field_bits) + 1  # and whether the task ended
        self.reward_bits = _width(self.settings.rewards)
        self._rewards: list[float] = []
        self._begin()

    @staticmethod
    def for_task(task: Any, settings: ContextTreeSettings | None = None) -> ContextTreeModel:
        """Returns an untrained model for a task, or what stands for one."""
        if isinstance(task, (str, type)) or not hasattr(task, "action_space"):
            from inscape.envs.tasks.resolve import resolve_task

            task = resolve_task(task)
        return ContextTreeModel(task.observation_space, task.action_space, settings)

    def _begin(self) -> None:
        roots = self.percept_bits + (1 << self.reward_bits) - 1
        size = max(LEAST, 2 * roots)
        self._children: Array = np.zeros((2, size), np.int32)
        self._counts: Array = np.zeros((2, size), np.int64)
        self._ratio, self._scale = np.ones(size), np.zeros(size, np.int32)
        self._history = np.zeros(LEAST, np.uint8)
        self._numbers = np.array([roots, 0, 0, 0], np.int64)

    @property
    def num_nodes(self) -> int:
        """How many nodes all trees have."""
        return int(self._numbers[trees.NODES])

    # ------------------------------------------------------------------------------------------------ learning

    def learn(self, trajectories: Iterable[Trajectory]) -> Iterator[FitReport]:
        """Learns episodes one after another, each bit coded before it is learned; yields after each.

        Raises:
            UsageError: nothing to learn from; a value that the spaces do not have; more different rewards than settings
                allow.
        """
        episodes = list(trajectories)
        check_episodes(episodes, "a context tree")
        spent, steps = 0.0, 0
        for episode in episodes:
            codes, predicted, counted = self._coded(episode, learning=True)
            spent -= float(np.log2(self._run(codes, predicted)[counted]).sum())
            steps += len(episode)
            yield FitReport(
                transitions=steps,
                prequential_bits_per_step=spent / max(steps, 1),
                metrics={"nodes": float(self.num_nodes)},
            )

    def _run(self, codes: Array, predicted: Array) -> Array:
        """Learns the bits of an episode and returns the probability of each before it was learned."""
        numbers, done = self._numbers, 0
        probability = np.ones(len(codes))
        numbers[trees.LENGTH] = 0
        self._reserve(0, len(codes))
        while True:
            done += trees.learn_steps(
                codes[done:], predicted[done:], self.settings.depth, self._children, self._counts, self._ratio,
                self._scale, self._history, numbers, probability[done:],
            )  # fmt: skip
            if done == len(codes):
                return probability
            self._reserve(self._children.shape[1], 0)

    def _reserve(self, nodes: int, bits: int) -> None:
        """Makes room for so many more nodes, and a history of so many bits."""
        wanted = self.num_nodes + nodes + self.settings.depth + 1
        if wanted > self._children.shape[1]:
            more = max(wanted, 2 * self._children.shape[1]) - self._children.shape[1]
            self._children, self._counts = (np.pad(a, ((0, 0), (0, more))) for a in (self._children, self._counts))
            self._ratio = np.pad(self._ratio, (0, more), constant_values=1.0)
            self._scale = np.pad(self._scale, (0, more))
        if bits > len(self._history):
            self._history = np.zeros(max(bits, 2 * len(self._history)), np.uint8)

    # ------------------------------------------------------------------------------------------------ prediction

    def log_prob(self, trajectory: Trajectory) -> float:
        """Returns Σ_t log P(next observation, terminated | all before, actions), in nats: of the exact mixture.

        Within the episode it learns as it goes, as a Bayesian does; then the trees are what they were, bit for bit.
        """
        return float(sum(self.field_log_probs(trajectory).values()))

    def field_log_probs(self, trajectory: Trajectory) -> dict[str, float]:
        """Returns the part of `log_prob` of each field of the observation (`observation` where it is one), and of
        `terminated`."""
        codes, predicted, counted = self._coded(trajectory, learning=False)
        probability = np.log(self._scored(codes, predicted)[counted]).reshape(len(trajectory), self.percept_bits)
        ends = np.cumsum(self.field_bits)
        fields = np.split(probability.sum(axis=0)[:-1], ends[:-1])
        names = [f"field {k}" for k in range(len(fields))] if len(fields) > 1 else ["observation"]
        parts = {name: float(part.sum()) for name, part in zip(names, fields, strict=True)}
        return {**parts, "terminated": float(probability[:, -1].sum())}

    def _scored(self, codes: Array, predicted: Array) -> Array:
        depth, count = self.settings.depth, int((predicted != -1).sum())
        log_nodes = np.zeros((depth + 3, count), np.int64)
        log_ratio, log_scale = np.zeros((depth + 1, count)), np.zeros((depth + 1, count), np.int32)
        probability = np.ones(len(codes))
        self._reserve(count * depth, len(codes))
        self._numbers[trees.LENGTH] = 0
        done = trees.score_steps(
            codes, predicted, depth, self._children, self._counts, self._ratio, self._scale, self._history,
            self._numbers, probability, log_nodes, log_ratio, log_scale,
        )  # fmt: skip
        assert done == len(codes)
        return probability

    def _coded(self, trajectory: Trajectory, learning: bool) -> tuple[Array, Array, Array]:
        """Returns the bits of an episode, what predicts each (`trees.learn_steps`), and which count as the percept."""
        values = self.vocabulary.observed(trajectory.observations)
        actions = np.asarray(trajectory.actions)
        if (
            actions.ndim != 1
            or actions.dtype.kind not in "iu"
            or ((actions < 0) | (actions >= self.vocabulary.num_actions)).any()
        ):
            raise UsageError(
                f"actions of shape {actions.shape} and dtype {actions.dtype}",
                expected=f"[T] integers from 0 to {self.vocabulary.num_actions - 1}",
            )
        steps = len(actions)
        ended = np.zeros(steps, np.int64)
        ended[-1:] = trajectory.terminated
        observed = [_bits(values[:, k], width) for k, width in enumerate(self.field_bits)]
        head = np.concatenate([part[0] for part in observed])
        percept = np.concatenate([*(part[1:] for part in observed), ended[:, None].astype(np.uint8)], axis=1)
        numbers = self._reward_numbers(np.asarray(trajectory.rewards, np.float64), learning)
        rewards = _bits(np.maximum(numbers, 0), self.reward_bits)
        which = self.percept_bits + np.stack(
            [(1 << j) - 1 + (np.maximum(numbers, 0) >> (self.reward_bits - j)) for j in range(self.reward_bits)], axis=1
        ) if self.reward_bits else np.zeros((steps, 0), np.int64)  # fmt: skip
        which = which if self.settings.reward_context else -2 - which
        unknown = numbers < 0  # a reward never met is not learned from: it enters the history as number 0
        which[unknown] = -1 if self.settings.reward_context else -2 - self.percept_bits
        layout = np.concatenate(
            [np.full(self.action_bits, -1), np.arange(self.percept_bits)]
        )  # fmt: skip
        codes = np.concatenate([_bits(actions, self.action_bits), percept, rewards], axis=1)
        predicted = np.concatenate([np.broadcast_to(layout, (steps, len(layout))), which], axis=1)
        counted = np.zeros(codes.shape, np.bool_)
        counted[:, self.action_bits : self.action_bits + self.percept_bits] = True
        none = np.zeros(len(head), np.bool_)
        return (
            np.concatenate([head, codes.ravel()]).astype(np.uint8),
            np.concatenate([np.full(len(head), -1), predicted.ravel()]).astype(np.int64),
            np.concatenate([none, counted.ravel()]),
        )

    def _reward_numbers(self, rewards: Array, learning: bool) -> Array:
        """Returns `[T]` numbers of rewards; −1: never met."""
        known = {value: number for number, value in enumerate(self._rewards)}
        for value in rewards.tolist() if learning else ():
            if value not in known:
                if len(known) == self.settings.rewards:
                    raise UsageError(
                        f"more than {self.settings.rewards} different rewards (the next is {value:g})",
                        expected="as many as the setting `rewards` allows",
                        hint=f"rewards={2 * self.settings.rewards}",
                    )
                known[value] = len(known)
                self._rewards.append(value)
        return np.array([known.get(value, -1) for value in rewards.tolist()], np.int64)

    # ------------------------------------------------------------------------------------------------ as a WorldModel

    def init(self, observations: Batch) -> Array:
        """Returns `[B, depth]` bits: the history that an episode begins with."""
        values = self.vocabulary.observed(as_numpy(observations))
        blank = np.zeros((len(values), self.settings.depth), np.uint8)
        return self._pushed(blank, [_bits(values[:, k], width) for k, width in enumerate(self.field_bits)])

    def update(self, states: Array, actions: Batch, observations: Batch, rewards: Batch | None = None) -> Array:
        """Returns the histories with an action and what was observed after it.

        `rewards` `[B]` enter where they are part of the history (`reward_context`); one never met, or not given, as the
        first that was met.
        """
        values = self.vocabulary.observed(as_numpy(observations))
        parts = [_bits(np.asarray(actions, np.int64), self.action_bits)]
        parts += [_bits(values[:, k], width) for k, width in enumerate(self.field_bits)]
        parts.append(np.zeros((len(values), 1), np.uint8))
        if self.settings.reward_context:
            given = np.zeros(len(values)) if rewards is None else np.asarray(rewards, np.float64)
            numbers = np.maximum(self._reward_numbers(given, learning=False), 0)
            parts.append(_bits(numbers if rewards is not None else 0 * numbers, self.reward_bits))
        return self._pushed(states, parts)

    def _pushed(self, states: Array, parts: list[Array]) -> Array:
        depth = self.settings.depth
        longer = np.concatenate([states, *parts], axis=1)
        return np.ascontiguousarray(longer[:, longer.shape[1] - depth :])

    def step(self, states: Array, actions: Batch, rng: np.random.Generator) -> ModelStep:
        """Draws percepts from the trees as they are: what is imagined is not learned from.

        Values that a field of bits holds beyond those of the space are drawn again, up to 20 times, then clipped.
        """
        states = np.atleast_2d(states)
        actions = np.atleast_1d(np.asarray(actions, np.int64))
        count, acted = len(states), self.action_bits
        levels = self.reward_bits
        contexts = np.ascontiguousarray(self._pushed(states, [_bits(actions, acted)]).T)
        codes = np.zeros((self.percept_bits, count), np.uint8)
        reward = np.zeros(count, np.int64)
        rest, after = np.arange(count), contexts.copy()
        for _ in range(20):
            part, drawn = contexts[:, rest], np.zeros((self.percept_bits, len(rest)), np.uint8)
            part, number = np.ascontiguousarray(part), np.zeros(len(rest), np.int64)
            trees.sample_steps(
                part, rng.random((self.percept_bits + levels, len(rest))), self.percept_bits, levels,
                self.settings.reward_context, self.settings.depth, self._children, self._counts, self._ratio,
                self._scale, drawn, number,
            )  # fmt: skip
            codes[:, rest], after[:, rest], reward[rest] = drawn, part, number
            rest = rest[(self._values(drawn) >= np.array(self.vocabulary.fields)).any(axis=1)]
            if not len(rest):
                break
        known = np.array(self._rewards or [0.0])
        earned = known[np.minimum(reward, len(known) - 1)]
        return ModelStep(np.ascontiguousarray(after.T), earned, 1.0 - codes[-1].astype(np.float64))

    def _values(self, codes: Array) -> Array:
        """Returns `[B, F]` values of fields of `[bits, B]` percepts."""
        found, at = [], 0
        for width in self.field_bits:
            value = np.zeros(codes.shape[1], np.int64)
            for row in codes[at : at + width]:
                value = 2 * value + row
            found.append(value)
            at += width
        return np.stack(found, axis=1)

    def keys(self, states: Array) -> list[bytes]:
        return [row.tobytes() for row in np.ascontiguousarray(states)]

    def reward_values(self) -> Array:
        """Returns `[2^reward_bits]` the reward of each number; of those not met yet, the mean of those that were."""
        known = np.array(self._rewards or [0.0])
        return np.append(known, np.full((1 << self.reward_bits) - len(known), known.mean()))

    def search_arrays(self, horizon: int) -> tuple[Any, ...]:
        """Returns what a search of so many steps reads and writes (`kernels.search`): trees, history and a log."""
        depth, bits = self.settings.depth, self.percept_bits + self.reward_bits
        columns = horizon * bits
        self._reserve(columns * depth, depth + horizon * (bits + self.action_bits))
        return (
            depth, self._children, self._counts, self._ratio, self._scale, self._history, self._numbers,
            np.zeros((depth + 3, columns), np.int64), np.zeros((depth + 1, columns)),
            np.zeros((depth + 1, columns), np.int32),
        )  # fmt: skip

    # ------------------------------------------------------------------------------------------------ storage

    def state_dict(self) -> dict[str, Any]:
        count = self.num_nodes
        return {
            "children": self._children[:, :count].copy(), "counts": self._counts[:, :count].copy(),
            "ratio": self._ratio[:count].copy(), "scale": self._scale[:count].copy(),
            "rewards": np.array(self._rewards, np.float64), "shape": self._shape(),
        }  # fmt: skip

    def _shape(self) -> Array:
        s = self.settings
        return np.array([s.depth, s.rewards, s.reward_context, self.action_bits, *self.field_bits], np.int64)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Replaces everything learned by what `state_dict` returned.

        Raises:
            UsageError: it is not that of a context tree, or of one of other settings or spaces.
        """
        names = ("children", "counts", "ratio", "scale", "rewards", "shape")
        if missing := [name for name in names if name not in state]:
            raise UsageError(f"a stored context tree without {', '.join(missing)}", expected=", ".join(names))
        if not np.array_equal(state["shape"], self._shape()):
            raise UsageError(
                f"a stored context tree of shape {np.asarray(state['shape']).tolist()}",
                expected=f"{self._shape().tolist()}: depth, rewards, reward_context, bits of actions and of each field",
            )
        self._begin()
        count = len(state["ratio"])
        self._reserve(count, 0)
        self._children[:, :count], self._counts[:, :count] = state["children"], state["counts"]
        self._ratio[:count], self._scale[:count] = state["ratio"], state["scale"]
        self._numbers[trees.NODES] = count
        self._rewards = [float(value) for value in state["rewards"]]


def _width(count: int) -> int:
    """Returns how many bits tell `count` values apart."""
    return math.ceil(math.log2(count)) if count > 1 else 0


def _bits(values: Array, width: int) -> Array:
    """Returns `[N, width]` bits of `[N]` numbers, the highest first."""
    return ((np.asarray(values)[:, None] >> np.arange(width - 1, -1, -1)) & 1).astype(np.uint8)
