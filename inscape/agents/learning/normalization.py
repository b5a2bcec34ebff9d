"""Running means and variances; rewards on one scale by them, whatever the task pays. Imports no torch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from inscape.errors import UsageError
from inscape.world_models.networks.encoders.moments import merged_moments
from inscape.world_models.networks.types import Array, State

ROUNDING = 1e-6
"""A spread below this part of the largest magnitude is what single precision rounds by, and says nothing."""

SAMPLE = 32
"""Returns that are the same by chance are fewer than this."""


def spread_is_rounding(values: Array) -> bool:
    """Returns whether values differ by no more than single precision rounds by."""
    return float(np.ptp(values)) <= ROUNDING * float(np.abs(values).max())


def standardised(values: Array) -> Array:
    """Returns values of mean 0 and deviation 1; all 0 where they differ by no more than rounding.

    Divided by a spread of next to nothing, rounding errors would look like advantages.
    """
    centred: Array = values - values.mean()
    deviation = float(values.std())
    if deviation <= ROUNDING * float(np.abs(values).max()):
        return np.zeros_like(centred)
    return centred / (deviation + 1e-8)


LEAST_DEVIATION = 0.2
"""Returns so far are taken to deviate by at least this part of their mean: divided by less, rewards that are all but
the same would all be clipped, and what tells them apart be lost."""


def squared_deviation(mean: Any, variance: Any, epsilon: float) -> Any:
    """Returns the square of what rewards are divided by, from the moments of the returns so far; numbers or tensors."""
    least = (LEAST_DEVIATION * mean) ** 2
    return variance + (least - variance) * (least > variance) + epsilon


class ReturnNormalizer:
    """Divides rewards by the running standard deviation of the discounted return so far.

    Each copy keeps R ← γ·R + r, reset to 0 after its episode's last step, whichever way it ended. Mean and
    variance run over the R of every copy and step. The rewards of a round are divided by one number, the deviation they
    give after it, at least a fifth of the mean: what a state pays does not depend on when in the round it was met. Then
    they are clipped. The mean is not taken off: the sign of rewards stays.

    Args:
        count: B, copies.
        gamma: discount per step.
        clip: normalised rewards are kept within ± this.
        epsilon: added to the variance.

    Raises:
        UsageError: gamma is not in [0, 1], or `clip` or `epsilon` is not positive.

    Source: Engstrom et al. (2020), "Implementation Matters in Deep RL", ICLR, §3, item 2. Stable-Baselines3's
    `VecNormalize` and in effect Gymnasium's `NormalizeReward` keep the same moments, begun with a variance of 1 that
    weighs next to nothing, and divide each step by its own.
    """

    def __init__(self, count: int, gamma: float, clip: float = 10.0, epsilon: float = 1e-8) -> None:
        if not 0 <= gamma <= 1:
            raise UsageError(f"gamma = {gamma!r} for normalised rewards", expected="a number from 0 to 1")
        if not (clip > 0 and epsilon > 0):
            raise UsageError(f"clip = {clip!r}, epsilon = {epsilon!r}", expected="positive numbers")
        self.gamma, self.clip, self.epsilon = gamma, clip, epsilon
        self.running = np.zeros(count)
        self.mean, self.variance, self.weight = 0.0, 0.0, 0.0

    def __call__(self, rewards: Array, ended: Array) -> Array:
        """Returns `[T, B]` normalised rewards of a round, float64, and counts them.

        Args:
            rewards: `[T, B]` in the order in which they came.
            ended: `[T, B]` bool, the episode's last step (terminated or truncated).

        Raises:
            UsageError: the returns are so large that their squares are not finite.
        """
        returns = np.empty(rewards.shape)
        running = self.running
        for t, reward in enumerate(rewards):
            running = running * self.gamma + reward
            returns[t] = running
            running = np.where(ended[t], 0.0, running)
        self.running = running
        with np.errstate(over="ignore", invalid="ignore"):
            moments = merged_moments(
                self.mean, self.variance, self.weight, returns.mean(), returns.var(), returns.size
            )  # fmt: skip
        if not np.isfinite(moments).all():
            raise UsageError(
                f"rewards of up to {np.abs(rewards).max():.3g}, whose squares are beyond double precision",
                expected="rewards of a smaller size", hint="measure them in a larger unit",
            )  # fmt: skip
        self.mean, self.variance, self.weight = map(float, moments)
        scaled: Array = rewards / self.deviation
        return scaled.clip(-self.clip, self.clip)

    @property
    def deviation(self) -> float:
        """What rewards are divided by now; values learned from them, times this, are in the task's own units."""
        return math.sqrt(squared_deviation(self.mean, self.variance, self.epsilon))

    def restart(self) -> None:
        """Begins a new episode in every copy; what is known of their scale stays."""
        self.running = np.zeros_like(self.running)

    def state_dict(self) -> State:
        """Returns all that later rewards are normalised by."""
        moments = {"mean": self.mean, "variance": self.variance, "weight": self.weight}
        return {"running": self.running.copy(), **moments}

    def load_state_dict(self, state: State) -> None:
        """Goes on from a `state_dict`.

        Raises:
            UsageError: it is of another number of copies.
        """
        if np.shape(state["running"]) != self.running.shape:
            raise UsageError(
                f"returns of {len(state['running'])} copies", expected=f"those of {len(self.running)} copies"
            )
        numbers = [float(state[name]) for name in ("mean", "variance", "weight")]
        if not np.isfinite([*np.ravel(state["running"]), *numbers]).all() or min(numbers[1:]) < 0:
            raise UsageError(
                f"a scale of rewards with mean {numbers[0]}, variance {numbers[1]}, weight {numbers[2]}",
                expected="finite numbers, variance and weight at least 0",
            )
        self.running = np.array(state["running"], np.float64)
        self.mean, self.variance, self.weight = (float(state[name]) for name in ("mean", "variance", "weight"))


def load_reward_scale(rewards: ReturnNormalizer | None, stored: State | None) -> None:
    """Gives what normalises an agent's rewards, if anything does, what was stored of their scale.

    Raises:
        UsageError: nothing was: the weights were learned from rewards as they were.
    """
    if rewards is None:
        return
    if stored is None:
        raise UsageError(
            "a state learned from rewards as they were, for an agent that normalises them",
            expected="the settings it was saved with", hint="normalize_rewards=False",
        )  # fmt: skip
    if np.shape(stored["running"]) != rewards.running.shape:
        # of other copies: acting needs no returns so far, and learning on in other copies begins new ones or is refused
        stored = {**stored, "running": np.zeros_like(rewards.running)}
    rewards.load_state_dict(stored)
