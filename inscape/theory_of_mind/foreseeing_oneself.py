"""What an agent knows of itself: its next actions and its success, predicted beforehand, and scored."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from inscape.agents.adapters import as_agent
from inscape.agents.registry import make_agent
from inscape.agents.rollout import rollout
from inscape.envs.tasks.resolve import as_task
from inscape.errors import MissingLawError, UsageError, whole_number
from inscape.theory_of_mind.controllers import Array
from inscape.theory_of_mind.observers.exact import ExactObserver
from inscape.theory_of_mind.policy_mind import PolicyMind
from inscape.theory_of_mind.scoring import Calibration, calibration, score_predictions

if TYPE_CHECKING:
    from inscape.envs.data.trajectory import Trajectory
    from inscape.envs.world import World


@dataclass(frozen=True, eq=False)
class SelfKnowledge:
    """An agent's predictions of itself against what it did, in T steps of E episodes.

    Attributes:
        action_bits: `[T]` −log₂ of the probability it gave to what it did next.
        uniform_bits: `[T]` the same for a uniform guess among the legal actions.
        frequency_bits: `[T]` the same for a guess by how often it had taken each action before.
        observer_bits: `[T]` the same for an observer from outside; None where there was none.
        bits_ahead: `[H]` mean bits of what it did h = 0, 1, … steps later, predicted by thinking ahead.
        actions: are the probabilities of its next action earned.
        success_probs: `[E]` the probability of success it gave at a step drawn at random.
        succeeded: `[E]` bool.
        success: are they earned.
    """

    action_bits: Array
    uniform_bits: Array
    frequency_bits: Array
    observer_bits: Array | None
    bits_ahead: Array
    actions: Calibration
    success_probs: Array
    succeeded: Array
    success: Calibration

    @property
    def bits_per_action(self) -> float:
        """Of its next action."""
        return float(self.action_bits.mean())

    @property
    def success_bits(self) -> float:
        """Mean −log₂ of the probability it gave to what came of the episode; infinite if it was sure and wrong."""
        with np.errstate(divide="ignore"):
            return float(-np.log2(np.where(self.succeeded, self.success_probs, 1 - self.success_probs)).mean() + 0.0)

    @property
    def base_rate_bits(self) -> float:
        """Of one who knows how often it succeeds, and nothing else."""
        rate = float(self.succeeded.mean())
        return -sum(p * math.log2(p) for p in (rate, 1 - rate) if p > 0) + 0.0

    @property
    def brier(self) -> float:
        """Mean squared difference of the probability of success and what came (Brier 1950)."""
        return float(((self.success_probs - self.succeeded) ** 2).mean())

    def __str__(self) -> str:
        seen = "" if self.observer_bits is None else f", an observer {self.observer_bits.mean():.3f}"
        return (
            f"its next action {self.bits_per_action:.3f} bits (uniform {self.uniform_bits.mean():.3f}, by frequency "
            f"{self.frequency_bits.mean():.3f}{seen}), calibration error {self.actions.error:.3f}; "
            f"success: {self.succeeded.mean():.3f} of {len(self.succeeded)} episodes, {self.success_bits:.3f} bits "
            f"(base rate {self.base_rate_bits:.3f}), calibration error {self.success.error:.3f}"
        )


def self_knowledge(
    agent: Any,
    world: Any,
    episodes: int = 100,
    *,
    success: Callable[[Any], bool] | None = None,
    model: World | None = None,
    horizon: int = 1,
    observer: ExactObserver | None = None,
    samples: int = 0,
    seed: int = 0,
) -> SelfKnowledge:
    """Returns how well an agent predicts what it will do and whether it will succeed, over recorded episodes.

        print(self_knowledge(load_agent(run)[0], "FrozenLake"))

    Its next action it predicts by its own action probabilities. Whether it will succeed, and what it will do later, it
    works out by them: exactly, in what it takes the world to be. An agent that has a method
    `predict_success(observations) -> [B]` is asked instead for the probability of success.

    Args:
        agent: one with `action_log_probs`, or a name; with `samples`, any that acts by what it observes.
        world: one of one player whose law is known, or its name.
        episodes: how many are played.
        success: a function of a `State`: is an episode that ends there a success? None: one whose last reward is
            positive.
        model: what the agent takes the world to be, a world over the same states; None: as it is.
        horizon: how many steps its actions are predicted ahead.
        observer: an exact one of the same world, whose predictions are scored beside.
        samples: how often the agent is asked in every state, if it does not say its probabilities.
        seed: of the episodes, and of an agent that is made here.

    Raises:
        MissingLawError: the world has no law, or several players.
        UsageError: as `PolicyMind`; a model over other states; predictions that are no probabilities.

    Source: scores: Dawid (1984); Brier (1950), Monthly Weather Review 78(1).
    """
    task = as_task(world)
    if task.world is None or task.players > 1:
        raise MissingLawError(
            f"self-knowledge in {task.name}", expected="a world of one player whose law is known, as FrozenLake"
        )
    known = task.world
    acting: Any = make_agent(agent, task, seed=seed) if isinstance(agent, str) else as_agent(agent)
    itself = PolicyMind(acting, samples=samples)
    steps = whole_number("horizon =", horizon, 1)
    trajectories = rollout(acting, task, whole_number("episodes =", episodes, 1), seed)
    watch = ExactObserver(known, [itself])
    numbered = [watch.state_indices(trajectory) for trajectory in trajectories]
    if not sum(len(one.actions) for one in numbered):
        raise UsageError("episodes without a single action", expected="at least one action to predict")
    score = score_predictions(watch, trajectories)
    predicted = np.concatenate([watch.predicted_over(one) for one in numbered])
    taken = np.concatenate([one.actions for one in numbered])
    thought = _Thought(itself, known, known if model is None else model, success)
    limit = task.max_episode_steps or 1_000
    rng = np.random.default_rng(seed)
    at = np.array([int(rng.integers(max(1, len(one.actions)))) for one in numbered])
    succeeded = np.array([thought.succeeded(trajectory, one.states) for trajectory, one in zip(trajectories, numbered)])
    if callable(getattr(acting, "predict_success", None)):
        given = [
            np.asarray(acting.predict_success(trajectory.observations[t : t + 1]), np.float64).reshape(-1)
            for t, trajectory in zip(at, trajectories)
        ]
        probs = np.concatenate(given)
        if probs.shape != at.shape or not ((probs >= 0) & (probs <= 1)).all():
            raise UsageError("predict_success returns no probabilities", expected="[B] numbers from 0 to 1")
    else:
        probs = thought.success_probs([(int(one.states[t]), limit - int(t)) for t, one in zip(at, numbered)])
    seen = None if observer is None else score_predictions(observer, trajectories).bits
    pairs = np.stack([1 - probs, probs], axis=1)
    return SelfKnowledge(
        score.bits, score.uniform_bits, score.frequency_bits, seen, thought.bits_ahead(numbered, steps),
        calibration(predicted, taken), probs, succeeded, calibration(pairs, succeeded.astype(np.int64)),
    )  # fmt: skip


class _Thought:
    """An agent's thoughts about itself: its policy, in what it takes the world to be."""

    def __init__(
        self, itself: PolicyMind, world: World, model: World, success: Callable[[Any], bool] | None
    ) -> None:  # fmt: skip
        self.world, self.model, self.success = world, model, success
        dynamics = model.dynamics()
        try:
            self.rows = np.asarray(dynamics.index_of(world.dynamics().states))
        except UsageError as error:
            raise UsageError(
                f"a model in which states of {world.name} cannot be reached", expected="a world over the same states"
            ) from error
        self.policy = np.exp(itself.controller(model).log_probs[:, 0])
        self.over = model.terminal_of(dynamics.states)
        self.probability, self.next_state = dynamics.probability, dynamics.next_state
        size, actions, width = self.next_state.shape
        before = np.repeat(np.arange(size), actions * width)
        chosen = np.tile(np.repeat(np.arange(actions), width), size)
        after = self.next_state.ravel()
        if success is None:
            rewards = model.reward_of(dynamics.states[before], chosen, dynamics.states[after])
            won = rewards > 0
        else:
            wins = np.array([bool(success(model.unpack(dynamics.states, s))) for s in range(size)])
            won = wins[after]
        self.won = (won & self.over[after]).reshape(self.next_state.shape)

    def succeeded(self, trajectory: Trajectory, states: Array) -> bool:
        """Returns whether an episode was a success."""
        if not trajectory.terminated:
            return False
        if self.success is None:
            return bool(len(trajectory.rewards) and trajectory.rewards[-1] > 0)
        return bool(self.success(self.world.unpack(self.world.dynamics().states, int(states[-1]))))

    def success_probs(self, asked: list[tuple[int, int]]) -> Array:
        """Returns the probability of success from each `(state, steps left)`, by backward induction."""
        going, found = ~self.over, np.zeros(len(asked))
        value = np.zeros(len(self.over))
        wanted: dict[int, list[int]] = {}
        for n, (_, left) in enumerate(asked):
            wanted.setdefault(left, []).append(n)
        for left in range(1, max(wanted) + 1):
            ahead = np.where(self.won, 1.0, np.where(self.over[self.next_state], 0.0, value[self.next_state]))
            value = np.where(going, np.einsum("sa,sak,sak->s", self.policy, self.probability, ahead), 0.0)
            for n in wanted.get(left, ()):
                found[n] = value[self.rows[asked[n][0]]]
        return np.clip(found, 0.0, 1.0)

    def bits_ahead(self, numbered: list[Any], horizon: int) -> Array:
        """Returns `[H]` mean bits of the action h steps later, episodes that have ended by then not counting."""
        states = np.unique(np.concatenate([one.states[: len(one.actions)] for one in numbered]))
        place = {int(s): n for n, s in enumerate(states)}
        where = np.zeros((len(states), len(self.over)))
        where[np.arange(len(states)), self.rows[states]] = 1.0
        flow = np.where(self.over[:, None, None], 0.0, self.policy[:, :, None] * self.probability)
        bits = np.full(horizon, math.nan)
        for h in range(horizon):
            alive = where * ~self.over
            with np.errstate(invalid="ignore", divide="ignore"):
                probs = alive @ self.policy / alive.sum(axis=1, keepdims=True)
                told = [
                    -np.log2(probs[place[int(one.states[t])], one.actions[t + h]])
                    for one in numbered
                    for t in range(len(one.actions) - h)
                ]
            if told:
                bits[h] = float(np.mean(told))
            if h + 1 < horizon:
                moved = np.zeros_like(where)
                for n in range(len(where)):
                    held = np.flatnonzero(where[n])
                    weights = where[n, held, None, None] * flow[held]
                    moved[n] = np.bincount(self.next_state[held].ravel(), weights.ravel(), where.shape[1])
                where = moved
        return bits
