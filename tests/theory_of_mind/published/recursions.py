"""The agents of agentmodels.org as their equations say, over dictionaries: no code of Inscape's planners or minds."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Hashable
from typing import Any

Weights = dict[Any, float]


def softmax(utilities: Weights, alpha: float) -> Weights:
    """Returns C(a) ∝ exp(α·EU(a)); α = ∞: the best, ties alike."""
    top = max(utilities.values())
    if math.isinf(alpha):
        best = [a for a, u in utilities.items() if u > top - 1e-9]
        return {a: 1 / len(best) if a in best else 0.0 for a in utilities}
    weights = {a: math.exp(alpha * (u - top)) for a, u in utilities.items()}
    return {a: weight / sum(weights.values()) for a, weight in weights.items()}


class Agent:
    """EU[s, a, d] = D(d)·U(s, a) + E(EU[s', a', d + 1]), a' ~ C(s'; d + 1), or C(s'; 0) of a sophisticated agent.

    Args:
        options: a function of a state: the actions.
        outcomes: a function of a state and an action: next states and their probabilities.
        utility: a function of both, enjoyed in the state.
        last: a function of a state: is this the last action?
        alpha: noise.
        discount: D(d).
        sophisticated: see above.
    """

    def __init__(
        self,
        options: Callable[[Any], list[Any]],
        outcomes: Callable[[Any, Any], Weights],
        utility: Callable[[Any, Any], float],
        last: Callable[[Any], bool],
        alpha: float,
        discount: Callable[[int], float] = lambda delay: 1.0,
        sophisticated: bool = False,
    ) -> None:
        def expected(state: Hashable, action: Hashable, delay: int) -> float:
            worth = discount(delay) * utility(state, action)
            if last(state):
                return worth
            for following, probability in outcomes(state, action).items():
                chosen = self.act(following, 0 if sophisticated else delay + 1)
                worth += probability * sum(p * self.expected(following, a, delay + 1) for a, p in chosen.items() if p)
            return worth

        def act(state: Hashable, delay: int = 0) -> Weights:
            return softmax({a: self.expected(state, a, delay) for a in options(state)}, alpha)

        self.expected = functools.cache(expected)
        self.act = functools.cache(act)


class BanditAgent:
    """EU[b, a] = E(prize + EU[b', a']), where b' is b after what arm `a` gave.

    Args:
        arms: `{latent: [a distribution over prizes for each arm]}`.
        alpha: noise.
        discount: of a step.
        bound: pulls that it looks ahead; None: all that are left.
    """

    def __init__(
        self, arms: dict[Any, list[Weights]], alpha: float, discount: float = 1.0, bound: int | None = None
    ) -> None:
        self.arms, self.alpha, self.discount, self.bound = arms, alpha, discount, bound
        self.expected = functools.cache(self._expected)

    def prizes(self, belief: tuple[tuple[Any, float], ...], arm: int) -> Weights:
        """Returns what an arm is believed to give."""
        found: Weights = {}
        for latent, held in belief:
            for prize, p in self.arms[latent][arm].items():
                found[prize] = found.get(prize, 0.0) + held * p
        return {prize: p for prize, p in found.items() if p > 0}

    def after(self, belief: tuple[tuple[Any, float], ...], arm: int, prize: Any) -> tuple[tuple[Any, float], ...]:
        """Returns the belief after an arm gave a prize."""
        weights = {latent: held * self.arms[latent][arm].get(prize, 0.0) for latent, held in belief}
        total = sum(weights.values())
        return tuple((latent, round(weight / total, 15)) for latent, weight in weights.items() if weight > 0)

    def act(self, belief: tuple[tuple[Any, float], ...], left: int) -> Weights:
        """Returns how likely each arm is pulled."""
        left = left if self.bound is None else min(left, self.bound)
        arms = range(len(next(iter(self.arms.values()))))
        return softmax({arm: self.expected(belief, arm, left) for arm in arms}, self.alpha)

    def _expected(self, belief: tuple[tuple[Any, float], ...], arm: int, left: int) -> float:
        worth = 0.0
        for prize, probability in self.prizes(belief, arm).items():
            worth += probability * prize
            if left > 1:
                following = self.after(belief, arm, prize)
                chosen = self.act(following, left - 1)
                later = sum(p * self.expected(following, a, left - 1) for a, p in chosen.items() if p)
                worth += probability * self.discount * later
        return worth
