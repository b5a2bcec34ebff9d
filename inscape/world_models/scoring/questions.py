"""Questions of any learned model: what it predicts, what surprised it, where it does not know, is it calibrated.

Sources: reliability of stated probabilities: Murphy & Winkler (1977), Applied Statistics 26; the variance of calibrated
forecasts: Spiegelhalter (1986), Statistics in Medicine 5; ranks among draws: Talagrand et al. (1997), ECMWF.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from inscape.errors import UsageError, whole_number
from inscape.world_models.episodes import check_episodes
from inscape.world_models.interface import as_numpy, check_gamma, require, require_model

if TYPE_CHECKING:
    from inscape.envs.data.trajectory import Trajectory

Array = np.ndarray[Any, Any]
MOST_OUTCOMES = 256
"""Different next observations whose probabilities are looked at in `calibration`."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a model predicts to follow a sequence of actions.

    Attributes:
        rewards: `[N, H]` of N imagined futures; 0 after an end.
        going: `[N, H]` probability that the task still goes on after each step.
        observations: `[N, H, …]` where the model can say what its states look like; else None.
        disagreement: `[H]` mean of what the model does not know for want of data, where it knows that; else None.
        returns: `[N]` discounted.
    """

    rewards: Array
    going: Array
    observations: Array | None
    disagreement: Array | None
    returns: Array

    @property
    def mean(self) -> float:
        """Mean return."""
        return float(self.returns.mean())

    @property
    def deviation(self) -> float:
        """Standard deviation of the return over imagined futures."""
        return float(self.returns.std())

    def __str__(self) -> str:
        return f"return {self.mean:.4g} ± {self.deviation:.4g} (deviation of {len(self.returns)} futures)"


def predict(
    model: Any, observation: Any, actions: Any, rollouts: int = 100, gamma: float = 1.0, seed: int = 0
) -> Prediction:
    """Returns what a model predicts to follow actions from an observation, as `rollouts` imagined futures.

        predict(model, 0, [1, 1, 2])

    Args:
        model: any `WorldModel`.
        observation: the first of an episode (of one that filters), or any.
        actions: `[H]`, or `[H, D]`.
        rollouts: N, imagined futures.
        gamma: discount of the returns.
        seed: of the futures.

    Raises:
        UsageError: no model; no actions, or some that it does not have.
    """
    require_model(model, "predict")
    check_gamma(gamma)
    count, steps = whole_number("rollouts =", rollouts, 1), np.asarray(actions)
    if steps.ndim == 0 or not len(steps):
        raise UsageError(f"actions = {actions!r}", expected="at least one action")
    space = model.action_space
    wrong = [action for action in steps if not space.contains(np.asarray(action, space.dtype))]
    if wrong:
        raise UsageError(f"the action {wrong[0]}", expected=f"actions in {space}")
    rng = np.random.default_rng(seed)
    states = model.init(np.repeat(np.asarray(observation)[None], count, axis=0))
    knows = callable(getattr(model, "disagreement", None))
    sees = callable(getattr(model, "observe", None))
    alive, rewards, going, seen, unknown = np.ones(count), [], [], [], []
    for action in steps:
        taken = np.repeat(np.asarray(action)[None], count, axis=0)
        if knows:
            each = as_numpy(model.disagreement(states, taken))
            unknown.append(float(np.average(each, weights=np.maximum(alive, 1e-12))))
        step = model.step(states, taken, rng)
        rewards.append(alive * as_numpy(step.reward))
        alive = alive * as_numpy(step.continuation)
        going.append(alive)
        states = step.states
        if sees:
            seen.append(np.asarray(as_numpy(model.observe(states))))
    paid = np.stack(rewards, axis=1)
    return Prediction(
        paid, np.stack(going, axis=1), np.stack(seen, axis=1) if seen else None, np.array(unknown) if knows else None,
        paid @ gamma ** np.arange(len(steps)),
    )  # fmt: skip


def surprise(model: Any, episode: Trajectory) -> Array:
    """Returns `[T]` −log₂ P(next observation, terminated | all before, actions) of each step, in bits.

    Models without `step_log_probs(trajectory)` are asked for the probability of every beginning of the episode.

    Raises:
        UsageError: the model has no code length; a number that is not finite (step named).
    """
    log_prob = require(model, "log_prob", "surprise")
    check_episodes([episode], "surprise")
    if callable(getattr(model, "step_log_probs", None)):
        return -np.asarray(as_numpy(model.step_log_probs(episode)), np.float64) / math.log(2)
    if callable(getattr(model, "transition_log_probs", None)):
        ends = np.zeros(len(episode), np.bool_)
        ends[-1] = episode.terminated
        seen = np.asarray(episode.observations)
        found = model.transition_log_probs(seen[:-1], np.asarray(episode.actions), seen[1:], ends)
        return -np.asarray(as_numpy(found), np.float64) / math.log(2)
    whole = [0.0, *(log_prob(_beginning(episode, t)) for t in range(1, len(episode) + 1))]
    return -np.diff(np.array(whole)) / math.log(2)


def disagreement_map(model: Any, world: Any) -> Array:
    """Returns `[S, A]` how uncertain a model is of what follows, for want of data; NaN for illegal actions and at ends.

    Args:
        model: has `disagreement`, and takes an observation for the state.
        world: enumerable, states numbered as `world.dynamics().states`.

    Raises:
        MissingLawError: the world cannot be enumerated.
        UsageError: the model does not know, or filters.
    """
    from inscape.world_models.tabular.model import TabularModel, world_in_hand

    unknown = require(model, "disagreement", "a map of disagreement")
    if getattr(model, "filters", False):
        raise UsageError(
            f"a map of the disagreement of {type(model).__name__}, whose states hold more than one observation tells",
            expected="a model that takes an observation for the state",
        )
    truth = world_in_hand(world)
    table = TabularModel.from_world(truth)
    states = model.init(truth.observe(truth.dynamics().states))
    columns = [
        np.asarray(as_numpy(unknown(states, np.full(table.num_states, action))), np.float64)
        for action in range(table.num_actions)
    ]
    return np.where(table.legal & ~table.terminal[:, None], np.stack(columns, axis=1), np.nan)


@dataclass(frozen=True, eq=False)
class Calibration:
    """Whether stated probabilities are true: of what is said to be 30 % likely, 30 % should happen.

    Attributes:
        stated: `[B]` mean stated probability in each bin; NaN in an empty one.
        happened: `[B]` share of those outcomes that happened.
        counts: `[B]` how many probabilities lie there.
        error: mean |stated − happened| over all of them (expected calibration error).
        z: Σ (x − p)(1 − 2p) over its standard deviation if the statements p of x are true: Spiegelhalter's statistic,
            standard normal for a calibrated model.
    """

    stated: Array
    happened: Array
    counts: Array
    error: float
    z: float

    def __str__(self) -> str:
        return f"calibration error {self.error:.4f}, z = {self.z:.2f} ({int(self.counts.sum()):,} probabilities)"


def calibration(
    model: Any, episodes: Iterable[Trajectory], bins: int = 10, rollouts: int = 0, seed: int = 0
) -> Calibration:
    """Returns whether the probabilities that a model states are true, on episodes it has not learned from.

    Each step states a probability for every next observation that occurs in the episodes (at most 256 of them), going
    on and ended; one of them happened. With `rollouts`, or where the model cannot score a transition, the probability
    is the share of imagined next observations that are the same.

    Args:
        model: has `transition_log_probs`, or `step` and `observe`.
        episodes: held-out episodes with observations that repeat.
        bins: of equal width, from 0 to 1.
        rollouts: imagined successors a step; 0: exact probabilities where the model has them, else 200.
        seed: of those.

    Raises:
        UsageError: the model can neither score nor show what follows; no step.
    """
    given = list(episodes)
    check_episodes(given, "calibration")
    bins = whole_number("bins =", bins, 2)
    before = np.concatenate([np.asarray(one.observations)[:-1] for one in given])
    after = np.concatenate([np.asarray(one.observations)[1:] for one in given])
    actions = np.concatenate([np.asarray(one.actions) for one in given])
    ended = np.concatenate([np.append(np.zeros(len(one) - 1, bool), one.terminated) for one in given if len(one)])
    rows = np.concatenate([after.reshape(len(after), -1), ended[:, None]], axis=1)
    _, first, which = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    which = which.reshape(-1)
    common = np.argsort(-np.bincount(which), kind="stable")[:MOST_OUTCOMES]
    scores = callable(getattr(model, "transition_log_probs", None)) and not rollouts
    stated = np.empty((len(rows), len(common)))
    if scores:
        for place, outcome in enumerate(common):
            at = first[outcome]
            repeated = np.repeat(after[at : at + 1], len(rows), axis=0)
            log_probs = model.transition_log_probs(before, actions, repeated, np.full(len(rows), ended[at]))
            stated[:, place] = np.exp(np.asarray(as_numpy(log_probs), np.float64))
    else:
        stated[:] = _by_imagining(
            model, before, actions, after[first[common]], ended[first[common]], rollouts or 200, seed
        )
    return reliability(stated.reshape(-1), (which[:, None] == common).reshape(-1), bins)


def reliability(stated: Array, happened: Array, bins: int = 10) -> Calibration:
    """Returns how stated probabilities `[N]` compare with what happened `[N]` bool."""
    stated, happened = np.clip(np.asarray(stated, np.float64), 0.0, 1.0), np.asarray(happened, np.float64)
    place = np.minimum((stated * bins).astype(int), bins - 1)
    counts = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        mean, share = (np.bincount(place, values, bins) / counts for values in (stated, happened))
    error = float(np.nansum(np.abs(mean - share) * counts) / max(counts.sum(), 1))
    # Spiegelhalter's: Σ (x − p)(1 − 2p) / √Σ (1 − 2p)² p(1 − p)
    weight = 1.0 - 2.0 * stated
    spread = math.sqrt(float((weight**2 * stated * (1.0 - stated)).sum()))
    z = float(((happened - stated) * weight).sum()) / spread if spread > 0 else 0.0
    return Calibration(mean, share, counts, error, z)


def _by_imagining(
    model: Any, before: Array, actions: Array, outcomes: Array, ended: Array, rollouts: int, seed: int
) -> Array:
    if not callable(getattr(model, "observe", None)):
        raise UsageError(
            f"calibration of {type(model).__name__}, which can neither score a transition nor show what follows",
            expected="transition_log_probs(observations, actions, next_observations, terminated), or observe(states)",
        )
    rng, states = np.random.default_rng(seed), model.init(before)
    found = np.zeros((len(before), len(outcomes)))
    for _ in range(rollouts):
        step = model.step(states, actions, rng)
        seen = np.asarray(as_numpy(model.observe(step.states))).reshape(len(before), 1, -1)
        same = (seen == outcomes.reshape(1, len(outcomes), -1)).all(axis=2)
        going = as_numpy(step.continuation)[:, None]
        found += same * np.where(ended[None, :], 1.0 - going, going)
    return found / rollouts


def _beginning(episode: Trajectory, steps: int) -> Trajectory:
    if steps == len(episode):
        return episode
    masks = episode.action_masks
    return dataclasses.replace(
        episode, observations=episode.observations[: steps + 1], actions=episode.actions[:steps],
        rewards=episode.rewards[:steps], terminated=False, truncated=True, states=None,
        action_masks=None if masks is None else masks[:steps],
    )  # fmt: skip


def imagined_episode(
    model: Any, observation: Any, actions: Sequence[Any] | Array, seed: int = 0
) -> tuple[Array, Array, bool]:
    """Returns one imagined episode under given actions: `(observations [T + 1, …], rewards [T], ended)`; it ends where
    the model ends it.

    Raises:
        UsageError: the model cannot show what its states look like (`observe`).
    """
    if not callable(getattr(model, "observe", None)):
        raise UsageError(
            f"an imagined episode of {type(model).__name__}", expected="a model with observe(states)",
        )  # fmt: skip
    rng, states = np.random.default_rng(seed), model.init(np.asarray(observation)[None])
    seen, rewards = [np.asarray(observation)], []
    for action in actions:
        step = model.step(states, np.asarray(action)[None], rng)
        states = step.states
        seen.append(np.asarray(as_numpy(model.observe(states)))[0])
        rewards.append(float(as_numpy(step.reward)[0]))
        if rng.random() >= float(as_numpy(step.continuation)[0]):
            return np.stack(seen), np.array(rewards), True
    return np.stack(seen), np.array(rewards), False
