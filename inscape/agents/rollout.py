"""The one loop in which agents act: `rollout` records what happened, `evaluate` only how well it went.

Which episodes are counted is fixed before anything is seen: with E episodes on n copies, copy i gives its first
⌈(E−i)/n⌉ episodes, however long they take. (Taking the first E episodes to *end* would favour short ones.)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from inscape.agents.interface import Agent, Array, as_agent, check_actions
from inscape.envs.law import States
from inscape.envs.trajectory import Trajectory
from inscape.errors import UsageError

if TYPE_CHECKING:
    import gymnasium

    from inscape.envs.registry import Task

MAX_COPIES = 128
LONGEST_EPISODE = 100_000
"""Steps after which an episode without a time limit is given up with an error: it may never end."""


@dataclass(frozen=True)
class Evaluation:
    """How an agent did.

    Attributes:
        returns: `[E]` sums of rewards, discounted by the `gamma` of the evaluation.
        lengths: `[E]` steps.
        terminated: `[E]` bool: the task itself ended (otherwise the time limit did).
        ci: 95 % bootstrap interval of the mean return, (low, high).
    """

    returns: NDArray[np.float64]
    lengths: NDArray[np.int64]
    terminated: NDArray[np.bool_]
    ci: tuple[float, float]

    @property
    def mean(self) -> float:
        """Mean return."""
        return float(self.returns.mean())

    def __str__(self) -> str:
        low, high = self.ci
        return f"mean return {self.mean:.4g} (95 % interval {low:.4g} to {high:.4g}, {len(self.returns)} episodes)"


def rollout(agent: Any, task: Task, episodes: int, seed: int, max_copies: int = MAX_COPIES) -> list[Trajectory]:
    """Returns `episodes` recorded episodes of `agent` in `task`, ordered by copy within each round of copies.

    Args:
        agent: an `Agent`, or any object with `act`.
        task: what to act in; with states recorded where it is a world of ours.
        episodes: how many.
        seed: seed of the environment's chance (the agent has its own).
        max_copies: episodes are played side by side in at most this many copies. Which episodes are seen depends on
            it when it is smaller than `episodes`.

    Raises:
        UsageError: an action of the wrong shape, dtype or range or an illegal one (naming agent, copy and step); or an
            episode that does not end in an environment without a time limit.
    """
    agent = as_agent(agent)
    recorder = _Recorder()
    played = list(_play(agent, task, episodes, seed, max_copies, recorder))
    identity = {"task": task.to_json(), "agent": agent.name, "seed": seed}
    return [recorder.trajectory(episode, identity) for episode in sorted(played, key=lambda e: (e.number, e.copy))]


def evaluate(
    agent: Any, task: Task, episodes: int, seed: int, max_copies: int = MAX_COPIES, gamma: float = 1.0
) -> Evaluation:
    """Returns the returns of `episodes` episodes, those that `rollout` would record, in the same order.

    Args:
        agent: an `Agent`, or any object with `act`.
        task: what to act in.
        episodes: how many.
        seed: seed of the environment's chance, and of the bootstrap.
        max_copies: as in `rollout`.
        gamma: discount of the returns; 1 for plain sums.

    Raises:
        UsageError: as `rollout`.
    """
    played = list(_play(as_agent(agent), task, episodes, seed, max_copies, None, gamma))
    played.sort(key=lambda e: (e.number, e.copy))
    returns = np.array([episode.total for episode in played])
    return Evaluation(
        returns,
        np.array([episode.stop - episode.start for episode in played]),
        np.array([episode.terminated for episode in played]),
        bootstrap_interval(returns, np.random.default_rng(seed)),
    )


def bootstrap_interval(
    values: Array, rng: np.random.Generator, level: float = 0.95, resamples: int = 2000
) -> tuple[float, float]:
    """Returns the percentile bootstrap interval of the mean of `[E]` values.

    Source: Efron (1979), Annals of Statistics 7(1).
    """
    drawn = rng.integers(0, len(values), (resamples, len(values)))
    low, high = np.quantile(values[drawn].mean(axis=1), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


@dataclass(frozen=True)
class _Episode:
    """Episode `number` of a copy, from step `start` to step `stop` of the loop (its last action is at stop − 1)."""

    copy: int
    number: int
    start: int
    stop: int
    total: float
    terminated: bool
    truncated: bool


class _Recorder:
    """Keeps every step of every copy as whole arrays; episodes are cut out at the end."""

    def __init__(self) -> None:
        self.observations: list[Array] = []
        self.states: list[States] = []
        self.masks: list[Array | None] = []
        self.actions: list[Array] = []
        self.rewards: list[Array] = []

    def saw(self, env: gymnasium.vector.VectorEnv[Any, Any, Any], observation: Array, mask: Array | None) -> None:
        self.observations.append(np.array(observation))
        self.masks.append(None if mask is None else mask.copy())
        states = getattr(env, "states", None)
        if isinstance(states, States):
            self.states.append(states)

    def did(self, actions: Array, rewards: Array) -> None:
        self.actions.append(np.array(actions))
        self.rewards.append(np.array(rewards, np.float64))

    def trajectory(self, episode: _Episode, identity: dict[str, Any]) -> Trajectory:
        i, steps, places = episode.copy, range(episode.start, episode.stop), range(episode.start, episode.stop + 1)
        masks = [self.masks[t] for t in steps]
        return Trajectory(
            np.stack([self.observations[t][i] for t in places]),
            np.stack([self.actions[t][i] for t in steps]),
            np.array([self.rewards[t][i] for t in steps]),
            episode.terminated,
            episode.truncated,
            States.concatenate([self.states[t][i] for t in places]) if self.states else None,
            np.stack([mask[i] for mask in masks if mask is not None]) if masks[0] is not None else None,
            **identity,
        )


def _play(
    agent: Agent, task: Task, episodes: int, seed: int, max_copies: int, recorder: _Recorder | None, gamma: float = 1.0
) -> Iterator[_Episode]:
    """Plays, and yields each counted episode as it ends.

    The environment resets in a step of its own ("next-step"), so that the last observation and state of an episode are
    seen like any other. The agent is asked only for copies that still owe an episode and are inside one.
    """
    _require_counts(episodes, max_copies)
    copies = min(episodes, max_copies)
    env = task.vector_env(copies, autoreset="next-step")
    try:
        owed = np.array([len(range(i, episodes, copies)) for i in range(copies)])
        number, start = np.zeros(copies, np.int64), np.zeros(copies, np.int64)
        total, discount, fresh = np.zeros(copies), np.ones(copies), np.zeros(copies, np.bool_)
        idle = _idle_action(env.single_action_space)
        observation, info = env.reset(seed=seed)
        step = 0
        while True:
            mask = info.get("action_mask")
            mask = None if mask is None else _stacked(mask)
            if recorder is not None:
                recorder.saw(env, observation, mask)
            if not (number < owed).any():
                return
            acting = np.flatnonzero((number < owed) & ~fresh)
            actions = _actions(agent, env.single_action_space, observation, mask, acting, copies, idle, step)
            observation, reward, terminated, truncated, info = env.step(actions)
            _require_numbers(task, reward, step)
            if recorder is not None:
                recorder.did(actions, reward)
            start[fresh], total[fresh], discount[fresh] = step + 1, 0.0, 1.0
            total += np.where(fresh, 0.0, discount * reward)
            discount[~fresh] *= gamma
            ended = (terminated | truncated) & ~fresh
            for i in np.flatnonzero(ended & (number < owed)):
                span, flags = (int(start[i]), step + 1), (bool(terminated[i]), bool(truncated[i]))
                yield _Episode(int(i), int(number[i]), *span, float(total[i]), *flags)
            number += ended
            fresh = ended
            step += 1
            _require_ending(task, agent, step - start[(number < owed) & ~fresh])
    finally:
        env.close()


def _actions(
    agent: Agent,
    space: gymnasium.Space[Any],
    observation: Array,
    mask: Array | None,
    acting: Array,
    copies: int,
    idle: Array,
    step: int,
) -> Array:
    """Returns the actions of all copies; those not `acting` get any legal one, which changes nothing that counts."""
    actions = np.repeat(idle[None], copies, axis=0)
    if mask is not None and idle.ndim == 0:
        actions = actions + np.argmax(mask, axis=1)
    if len(acting):
        everyone = len(acting) == copies
        seen = observation if everyone else observation[acting]
        legal = mask if mask is None or everyone else mask[acting]
        chosen = agent.act(seen, legal)
        actions[acting] = check_actions(chosen, space, acting, agent=agent.name, step=step, action_mask=legal)
    return actions


def _idle_action(space: gymnasium.Space[Any]) -> Array:
    """Returns an action any environment takes (a fixed one: copies that do not count must not use up chance)."""
    import gymnasium

    if isinstance(space, gymnasium.spaces.Box):
        return np.clip(np.zeros(space.shape, space.dtype), space.low, space.high)
    start = getattr(space, "start", 0)
    return np.zeros(space.shape or (), np.int64) + start


def _stacked(mask: Array) -> Array:
    """Returns `[B, A]` bool from what a vector environment collected (Gymnasium may collect rows as objects)."""
    return np.stack(list(mask)).astype(np.bool_) if mask.dtype == object else mask.astype(np.bool_, copy=False)


def _require_counts(episodes: int, max_copies: int) -> None:
    if episodes < 1 or max_copies < 1:
        raise UsageError(f"{episodes} episodes in at most {max_copies} copies", expected="at least 1 of both")


def _require_numbers(task: Task, rewards: Array, step: int) -> None:
    if not np.isfinite(rewards).all():
        copy = int(np.flatnonzero(~np.isfinite(rewards))[0])
        raise UsageError(
            f"the reward of {task.name} is {rewards[copy]} in copy {copy} at step {step}",
            expected="a finite number",
            hint=f"inscape check {task.name}",
        )


def _require_ending(task: Task, agent: Agent, lengths: Array) -> None:
    if len(lengths) and lengths.max() >= LONGEST_EPISODE and task.max_episode_steps is None:
        raise UsageError(
            f"an episode of {agent.name} in {task.name} has not ended after {LONGEST_EPISODE:,} steps",
            expected="an environment with a time limit, or an agent that ends its episodes",
            hint="give the world max_episode_steps",
        )
