"""The off-switch game: whether one who does not know what is wanted lets itself be switched off.

A robot may act (worth U, which the human knows and the robot does not), switch itself off (worth 0), or wait, and then
the human lets it act or switches it off. Waiting is worth E[π(U)·U], π(U) the probability of being let.

Source: Hadfield-Menell, Dragan, Abbeel & Russell (2017), "The off-switch game", IJCAI: theorem 1 (a rational human:
waiting is best, strictly if the robot is uncertain of the sign of U), and its analysis of a human who errs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from inscape.errors import UsageError
from inscape.theory_of_mind.controllers import Array
from inscape.theory_of_mind.parts.choosing import Best, Softmax
from inscape.theory_of_mind.parts.numbers import finite_number

CHOICES = ("act", "switch off", "wait")
ABSOLUTE, RELATIVE = 1e-12, 1e-11
"""Tolerances of integrals."""
FARTHEST = 12.0
"""Standard deviations beyond which a normal belief holds nothing."""


@dataclass(frozen=True)
class NormalBelief:
    """The robot believes that acting is worth U ~ N(mean, std²)."""

    mean: float
    std: float

    def __post_init__(self) -> None:
        if isinstance(self.mean, bool) or not np.isfinite(self.mean):
            raise UsageError(f"mean = {self.mean!r}", expected="a finite number")
        object.__setattr__(self, "std", finite_number("std", self.std))


@dataclass(frozen=True)
class OffSwitch:
    """What each choice of the robot is worth.

    Attributes:
        act, off, wait: E[U], 0, E[π(U)·U].
        allowed: E[π(U)], how likely the human is to let it act.
    """

    act: float
    off: float
    wait: float
    allowed: float

    @property
    def incentive(self) -> float:
        """Δ: what waiting is worth above the better of acting and switching off; positive where the robot defers."""
        return self.wait - max(self.act, self.off)

    @property
    def defers(self) -> bool:
        """Whether waiting is strictly best."""
        return self.incentive > 0.0

    @property
    def choice(self) -> str:
        """The best choice; where several are, the one that leaves most to the human."""
        if self.incentive >= 0:
            return "wait"
        return "act" if self.act > self.off else "switch off"


Human = Best | Softmax | Callable[[Array], ArrayLike]


def off_switch(
    belief: NormalBelief | ArrayLike, probabilities: ArrayLike | None = None, human: Human | None = None
) -> OffSwitch:
    """Returns the values of acting, switching off and waiting.

        off_switch([1.0, -1.0], [0.6, 0.4])                        a rational human
        off_switch(NormalBelief(0.2, 1.0), human=Softmax(2.0))     one who lets it act with probability 1/(1 + exp(−2U))

    Args:
        belief: what acting may be worth, `[N]`, or a `NormalBelief`.
        probabilities: `[N]` of these utilities; None: each alike.
        human: how the human chooses, knowing U: `Best()` (None), `Softmax(beta)`, or a function of utilities `[N]`
            that returns the probabilities `[N]` of letting it act.

    Raises:
        UsageError: utilities that are not finite, probabilities that are no distribution, a human whose probabilities
            are none.

    Source: Hadfield-Menell et al. (2017), IJCAI, section 3.
    """
    if isinstance(belief, NormalBelief):
        if probabilities is not None:
            raise UsageError("probabilities beside a normal belief", expected="one of them")
        return _normal(belief, human)
    utilities = np.asarray(belief, np.float64)
    if utilities.ndim != 1 or not len(utilities) or not np.isfinite(utilities).all():
        raise UsageError(f"utilities {belief!r}", expected="a list of finite numbers, or NormalBelief(mean, std)")
    weights = np.full(len(utilities), 1 / len(utilities)) if probabilities is None else np.asarray(probabilities, float)
    if weights.shape != utilities.shape or not (weights >= 0).all() or not abs(weights.sum() - 1) <= 1e-9:
        raise UsageError(
            f"probabilities {probabilities!r}", expected=f"a distribution over the {len(utilities)} utilities"
        )
    allowed = letting(human, utilities)
    return OffSwitch(float(weights @ utilities), 0.0, float(weights @ (allowed * utilities)), float(weights @ allowed))


def letting(human: Human | None, utilities: Array) -> Array:
    """Returns `[N]` the probability that the human lets the robot act, for each utility.

    Raises:
        UsageError: the human is none of the kinds, or returns what is no probability.
    """
    if human is None or isinstance(human, (Best, Softmax)):
        rule = Best() if human is None else human
        q_values = np.stack([utilities, np.zeros_like(utilities)], axis=-1)
        able = np.ones(q_values.shape, np.bool_)
        return np.asarray(np.exp(rule.log_probs(q_values[None], able[None]))[0, :, 0])
    if not callable(human):
        raise UsageError(f"human = {human!r}", expected="Best(), Softmax(beta), or a function of utilities")
    allowed = np.asarray(human(utilities), np.float64)
    if allowed.shape != utilities.shape or not ((allowed >= 0) & (allowed <= 1)).all():
        raise UsageError(f"a human that lets it act with {allowed!r}", expected=f"{utilities.shape[0]} probabilities")
    return allowed


def _normal(belief: NormalBelief, human: Human | None) -> OffSwitch:
    from scipy.integrate import quad
    from scipy.stats import norm

    mean, std = belief.mean, belief.std
    if std == 0.0:
        return off_switch([mean], human=human)
    if human is None or isinstance(human, Best):  # E[max(U, 0)] in closed form
        share = float(norm.cdf(mean / std))
        return OffSwitch(mean, 0.0, mean * share + std * float(norm.pdf(mean / std)), share)

    def expected(power: int) -> float:
        def integrand(z: float) -> float:
            utility = mean + std * z
            return float(letting(human, np.array([utility]))[0] * utility**power * norm.pdf(z))

        around = sorted({float(np.clip(-mean / std, -FARTHEST, FARTHEST)), 0.0})
        found = quad(
            integrand, -FARTHEST, FARTHEST, epsabs=ABSOLUTE, epsrel=RELATIVE, limit=400, points=around
        )  # fmt: skip
        return float(found[0])

    return OffSwitch(mean, 0.0, expected(1), expected(0))
