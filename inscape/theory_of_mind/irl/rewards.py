"""Rewards from behaviour: the most likely one, and a posterior over them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from inscape.errors import UsageError, whole_number
from inscape.theory_of_mind.controllers import Array
from inscape.theory_of_mind.irl.likelihood import ChoiceLikelihood
from inscape.theory_of_mind.parts.numbers import finite_number

if TYPE_CHECKING:
    from inscape.envs.data.trajectory import Trajectory
    from inscape.envs.world import World


@dataclass(frozen=True, eq=False)
class LearnedReward:
    """A reward θ·φ that explains what was done.

    Attributes:
        weights: `[F]` θ.
        reward: `[S, A]` expected reward of each action.
        log_policy: `[S, A]` of the maximum-entropy agent with that reward; `[H, S, A]` by stage with a horizon.
        log_likelihood: log P(actions | states, θ), in nats.
        gradient: `[F]` of the log-likelihood per action (with the penalty): near 0 where the features that are expected
            match those seen.
        iterations: of the optimiser.
    """

    weights: Array
    reward: Array
    log_policy: Array
    log_likelihood: float
    gradient: Array
    iterations: int


@dataclass(frozen=True, eq=False)
class RewardPosterior:
    """Draws from P(θ | actions).

    Attributes:
        samples: `[N, F]`.
        log_likelihoods: `[N]` in nats.
        acceptance: share of proposals that were taken.
    """

    samples: Array
    log_likelihoods: Array
    acceptance: float

    @property
    def mean(self) -> Array:
        """`[F]` posterior mean of θ."""
        return np.asarray(self.samples.mean(axis=0))

    @property
    def std(self) -> Array:
        """`[F]` posterior standard deviations."""
        return np.asarray(self.samples.std(axis=0, ddof=1))


def max_entropy_irl(
    world: World,
    trajectories: Sequence[Trajectory],
    features: Any,
    *,
    beta: float = 1.0,
    gamma: float | None = None,
    horizon: int | None = None,
    l2: float = 1e-6,
    tolerance: float = 1e-8,
    max_iterations: int = 1000,
) -> LearnedReward:
    """Returns the reward, linear in features, under which a maximum-entropy agent most likely does what was done.

        max_entropy_irl(world, trajectories, lambda state: [state.row, state.column])

    Args:
        world, trajectories, features, beta, gamma, horizon: see `ChoiceLikelihood`.
        l2: penalty l2/2·|θ|² on the mean log-likelihood, which keeps θ finite where behaviour is perfect.
        tolerance: largest component of the gradient to reach.
        max_iterations: of L-BFGS.

    Raises:
        UsageError: as `ChoiceLikelihood`; a number out of range.

    Source: Ziebart, Maas, Bagnell & Dey (2008), "Maximum entropy inverse reinforcement learning", AAAI; causal:
        Ziebart, Bagnell & Dey (2010), ICML, Eq. 13.
    """
    from scipy.optimize import minimize

    penalty = finite_number("l2", l2)
    if not finite_number("tolerance", tolerance) > 0:
        raise UsageError(f"tolerance = {tolerance!r}", expected="a positive number")
    max_iterations = whole_number("max_iterations =", max_iterations, 1)
    likelihood = ChoiceLikelihood(world, trajectories, features, beta, gamma, horizon)

    def loss(weights: Array) -> tuple[float, Array]:
        value, gradient = likelihood(weights)
        value = -value / likelihood.num_actions + 0.5 * penalty * float(weights @ weights)
        return value, penalty * weights - gradient / likelihood.num_actions

    found = minimize(
        loss, np.zeros(likelihood.num_features), jac=True, method="L-BFGS-B",
        options={"maxiter": max_iterations, "gtol": tolerance, "ftol": 0.0},
    )  # fmt: skip
    weights = np.asarray(found.x, np.float64)
    return LearnedReward(
        weights, likelihood.features @ weights, likelihood.log_policy(weights), likelihood(weights)[0],
        -loss(weights)[1], int(found.nit),
    )  # fmt: skip


def bayesian_irl(
    world: World,
    trajectories: Sequence[Trajectory],
    features: Any,
    *,
    beta: float = 1.0,
    gamma: float | None = None,
    horizon: int | None = None,
    prior_scale: float = 1.0,
    samples: int = 1000,
    warm_up: int = 300,
    seed: int = 0,
) -> RewardPosterior:
    """Returns draws from the posterior over θ, under a normal prior of mean 0 and standard deviation `prior_scale`.

    Langevin proposals with Metropolis & Hastings' correction, begun at the mode; the step is fitted while warming up.

    Args:
        world, trajectories, features, beta, gamma, horizon: see `ChoiceLikelihood`.
        prior_scale: standard deviation of every weight beforehand.
        samples: N.
        warm_up: steps before, which are not kept.
        seed: of the proposals.

    Raises:
        UsageError: as `ChoiceLikelihood`; a number out of range.

    Source: Ramachandran & Amir (2007), "Bayesian inverse reinforcement learning", IJCAI; the proposals: Roberts &
        Tweedie (1996), Bernoulli 2(4).
    """
    scale = finite_number("prior_scale", prior_scale)
    if scale == 0:
        raise UsageError("prior_scale = 0", expected="a positive number")
    samples, warm_up = whole_number("samples =", samples, 1), whole_number("warm_up =", warm_up)
    likelihood = ChoiceLikelihood(world, trajectories, features, beta, gamma, horizon)
    rng = np.random.default_rng(whole_number("seed =", seed))

    def posterior(weights: Array) -> tuple[float, Array, float]:
        value, gradient = likelihood(weights)
        return value - 0.5 * float(weights @ weights) / scale**2, gradient - weights / scale**2, value

    penalty = 1.0 / (scale**2 * likelihood.num_actions)
    mode = max_entropy_irl(
        world, trajectories, features, beta=beta, gamma=gamma, horizon=horizon, l2=penalty, tolerance=1e-5
    ).weights
    here, (density, slope, value) = mode, posterior(mode)
    step = 0.5 * scale / np.sqrt(1.0 + likelihood.num_actions)
    kept, values, taken = [], [], 0
    for n in range(warm_up + samples):
        drift = here + 0.5 * step**2 * slope
        offered = drift + step * rng.standard_normal(len(here))
        new_density, new_slope, new_value = posterior(offered)
        back = offered + 0.5 * step**2 * new_slope
        correction = ((offered - drift) @ (offered - drift) - (here - back) @ (here - back)) / (2 * step**2)
        accepted = bool(np.log(rng.random()) < new_density - density + correction)
        if accepted:
            here, density, slope, value = offered, new_density, new_slope, new_value
        if n < warm_up:  # towards the acceptance that is best for such proposals, 0.57
            step *= float(np.exp((accepted - 0.57) / np.sqrt(n + 1.0)))
        else:
            kept.append(here)
            values.append(value)
            taken += accepted
    return RewardPosterior(np.array(kept), np.array(values), taken / samples)
