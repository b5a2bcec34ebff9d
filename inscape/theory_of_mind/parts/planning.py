"""How a mind plans: which backup, how far, and how it discounts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from inscape.errors import UsageError, closest
from inscape.theory_of_mind.controllers import Array
from inscape.theory_of_mind.parts.choosing import TIE, Chooses, Softmax
from inscape.theory_of_mind.parts.numbers import finite_number, probability
from inscape.world_models.planning.choice import boltzmann_log_probs
from inscape.world_models.planning.dynamic_programming import soft_value_iteration, ties, value_iteration
from inscape.world_models.planning.finite_horizon import backward_induction, soft_backward_induction
from inscape.world_models.planning.problem import Problem
from inscape.world_models.tabular.model import TabularModel

Backup = Literal["soft-eval", "maxent", "hard"]
BACKUPS: tuple[str, ...] = get_args(Backup)
"""Ways in which a planning mind values the states after the next: what its `backup` may be."""

RELATIVE_TOLERANCE = 1e-12
LONGEST_HORIZON = 1000.0
FARTHEST = 512
"""Steps that a hyperbolic mind without a horizon looks ahead at most."""
SETTLED = 1e-9


@dataclass(frozen=True)
class Exponential:
    """A reward d steps away counts γ^d: what is preferred does not change while one waits for it."""

    gamma: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "gamma", probability("gamma", self.gamma))

    def __str__(self) -> str:
        return f"γ={self.gamma:g}"


@dataclass(frozen=True)
class Hyperbolic:
    """A reward d steps away counts 1/(1 + k·d): what is near tempts.

    A naive mind believes that it will later want what it wants now; a `sophisticated` one foresees that its later self
    will be tempted, and plans around it.

    Source: Ainslie (2001), "Breakdown of Will"; the recursion over delays: Evans, Stuhlmüller & Goodman (2016),
        "Learning the preferences of ignorant, inconsistent agents", AAAI, Eqs. 5–7.
    """

    k: float
    sophisticated: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "k", finite_number("k", self.k, "per step"))
        if not isinstance(self.sophisticated, bool):
            raise UsageError(f"sophisticated is {self.sophisticated!r}", expected="True or False")

    def __str__(self) -> str:
        return f"hyperbolic k={self.k:g}" + (", sophisticated" if self.sophisticated else "")


@dataclass(frozen=True)
class Planning:
    """How a mind values actions.

    Raises:
        UsageError: an unknown backup, a horizon below 1, a discount of another kind, another moment of payment.
    """

    backup: Backup
    """How values are backed up: the mind evaluates its own soft policy (`"soft-eval"`), log-sum-exp (`"maxent"`), or
    the maximum (`"hard"`). No default."""
    horizon: int | None = None
    """Steps it looks ahead, at every step anew; None: to the end of the task."""
    discount: Exponential | Hyperbolic | None = None
    """None: exponential, by the γ of the observer or of the world."""
    pays: Literal["arrival", "leaving"] = "arrival"
    """When the reward of a step counts: on arrival, with the action itself (delay d), or when the state it led to is
    left again, a step later (delay d + 1), as where a state has a utility that is enjoyed while one is in it."""

    def __post_init__(self) -> None:
        if self.backup not in BACKUPS:
            raise UsageError(
                f"backup is {self.backup!r}", expected=", ".join(BACKUPS), hint=closest(str(self.backup), BACKUPS)
            )
        horizon = self.horizon
        if horizon is not None and (
            isinstance(horizon, bool) or not isinstance(horizon, (int, np.integer)) or horizon < 1
        ):
            raise UsageError(f"horizon is {horizon!r}", expected="a number of steps, 1 or more; None: to the end")
        if self.discount is not None and not isinstance(self.discount, (Exponential, Hyperbolic)):
            raise UsageError(
                f"discount is {self.discount!r}",
                expected="Exponential(gamma), Hyperbolic(k, sophisticated=False) or None",
            )
        if self.pays not in ("arrival", "leaving"):
            raise UsageError(f"pays is {self.pays!r}", expected="'arrival' or 'leaving'")

    def __str__(self) -> str:
        parts = [self.backup, "" if self.horizon is None else f"{self.horizon} steps ahead"]
        parts += [
            "" if self.discount is None else str(self.discount),
            "" if self.pays == "arrival" else "paid on leaving",
        ]
        return ", ".join(part for part in parts if part)

    def depends_on(self, chooses: Chooses) -> object:
        """Returns what of the choice rule the values depend on: nothing, for the hard backup."""
        return chooses.beta if self.backup != "hard" and isinstance(chooses, Softmax) else None

    def backup_for(self, chooses: Chooses) -> Backup:
        """Returns the backup of a mind that chooses so."""
        if not isinstance(chooses, Softmax):
            return "hard"
        # at β = 0, where the maximum-entropy backup has no finite values, all soft backups value the uniform policy
        return "soft-eval" if self.backup == "maxent" and chooses.beta == 0 else self.backup

    def action_values(self, model: TabularModel, chooses: Chooses, gamma: float) -> Array:
        """Returns `[S, A]` Q of a mind that plans so and chooses so; −inf where illegal, 0 in terminal states.

        Args:
            model: what it plans in.
            chooses: how it chooses; its lapses are not foreseen.
            gamma: discount where it has none of its own.

        Raises:
            UsageError: as the solvers; a hyperbolic mind whose returns do not settle within `FARTHEST` steps.
        """
        beta = chooses.beta if isinstance(chooses, Softmax) else None
        backup = self.backup_for(chooses)
        if isinstance(self.discount, Hyperbolic):
            q_values = self._hyperbolic(self.discount, model, beta, backup)
        else:
            discount = gamma if self.discount is None else self.discount.gamma
            table = model if self.pays == "arrival" else _paid_later(model, discount)
            q_values = self._exponential(table, beta, backup, discount)
        q_values = np.where(model.legal, q_values, -np.inf)
        q_values[model.terminal] = 0.0
        return q_values

    def _exponential(self, model: TabularModel, beta: float | None, backup: Backup, gamma: float) -> Array:
        if self.horizon is not None:
            values = (
                backward_induction(model, self.horizon - 1, gamma).values
                if beta is None or backup == "hard"
                else soft_backward_induction(model, self.horizon - 1, beta, backup, gamma).values
            )
            return Problem.of(model, gamma).action_values(values[0])
        tolerance = tolerance_of(np.abs(model.reward).max(initial=0.0), gamma)
        if beta is None or backup == "hard":
            return value_iteration(model, gamma, tolerance).q_values
        return soft_value_iteration(model, gamma, beta, backup, tolerance).q_values

    def _hyperbolic(self, discount: Hyperbolic, model: TabularModel, beta: float | None, backup: Backup) -> Array:
        if self.horizon is not None:
            return _delayed(model, self.horizon, discount, beta, backup, self.pays)
        horizon, before = 8, _delayed(model, 8, discount, beta, backup, self.pays)
        while horizon < FARTHEST:
            horizon *= 2
            q_values = _delayed(model, horizon, discount, beta, backup, self.pays)
            if (np.abs(q_values - before) <= SETTLED * np.maximum(1.0, np.abs(q_values)))[model.legal].all():
                return q_values
            before = q_values
        raise UsageError(
            f"a hyperbolic mind in {model.name} looks {FARTHEST} steps ahead, and what it sees still changes",
            expected="a task that ends",
            hint="Planning(…, horizon=20)",
        )


def _delayed(
    model: TabularModel, horizon: int, discount: Hyperbolic, beta: float | None, backup: Backup, pays: str
) -> Array:
    """Returns `[S, A]` expected utility at delay 0 with `horizon` steps to go.

    EU(s, a, d, n) = Σ P(s'|s,a) (r·D(d) + EU(s', a', d + 1, n − 1)), where a' is chosen by EU(s', ·, d + 1, n − 1) in a
    naive mind and by EU(s', ·, 0, n − 1) in a sophisticated one; D(d) = 1/(1 + k·d), a step later if paid on leaving.
    """
    weights = 1.0 / (1.0 + discount.k * (np.arange(horizon + 1) + (pays == "leaving")))
    ahead = np.where(model.probability > 0, model.probability * model.continuation, 0.0)
    reward, legal = model.expected_reward(), model.legal | model.terminal[:, None]
    reward = np.where(model.legal & ~model.terminal[:, None], reward, 0.0)

    def backed_up(delay: int, values: Array) -> Array:
        following = np.einsum("sak,sak->sa", ahead, values[model.next_state])
        return np.asarray(weights[delay] * reward + following)

    def choice(q_values: Array) -> Array:
        if beta is None or backup == "hard":
            return np.asarray(ties(np.where(legal, q_values, -np.inf), TIE), np.float64)
        return np.asarray(np.exp(boltzmann_log_probs(q_values, beta, legal)))

    def value(q_values: Array, policy: Array) -> Array:
        share = policy / policy.sum(axis=1, keepdims=True)
        worth = (share * np.where(legal, q_values, 0.0)).sum(axis=1)
        if backup == "maxent" and beta:
            with np.errstate(divide="ignore"):
                worth -= np.where(share > 0, share * np.log(np.where(share > 0, share, 1.0)), 0.0).sum(axis=1) / beta
        return np.where(model.terminal, 0.0, worth)

    if not discount.sophisticated:
        values = np.zeros(model.num_states)
        for delay in reversed(range(1, horizon)):
            q_values = backed_up(delay, values)
            values = value(q_values, choice(q_values))
        return backed_up(0, values)
    # later[d] is [S] what the n − 1 steps after this one are worth at delay d; the self of then chooses at delay 0
    later = [np.zeros(model.num_states) for _ in range(horizon + 1)]
    for steps in range(1, horizon + 1):
        tables = [backed_up(delay, later[delay + 1]) for delay in range(horizon - steps + 1)]
        if steps == horizon:
            return tables[0]
        policy = choice(tables[0])
        later = [value(table, policy) for table in tables]
    raise AssertionError("a horizon below 1")


def _paid_later(model: TabularModel, gamma: float) -> TabularModel:
    """Returns the model with every reward a step later: it counts γ times as much."""
    from dataclasses import replace

    return replace(model, reward=model.reward * gamma)


def tolerance_of(largest: float, gamma: float) -> float:
    """Returns a twelfth digit of the largest value possible: what β multiplies must be exact, and rounding allows no
    more.

    Args:
        largest: largest |reward|.
        gamma: discount.
    """
    return RELATIVE_TOLERANCE * (float(largest) or 1.0) / max(1 - gamma, 1 / LONGEST_HORIZON)
