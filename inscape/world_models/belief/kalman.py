"""The exact filter of a linear-Gaussian world, by Kalman's equations; episodes of such a world."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces

from inscape.envs.data.trajectory import Trajectory
from inscape.errors import UsageError


@dataclass(frozen=True, eq=False)
class LinearGaussian:
    """x′ = A·x + B·u + w, y = C·x + v; w ~ N(0, Q), v ~ N(0, R), x₀ ~ N(mean, covariance). Nothing is rewarded, nothing
    ends.

        world = LinearGaussian.stable(states=3, actions=1, observations=2, seed=0)
        episodes = world.episodes(100, steps=100, seed=1)
        world.log_prob(episodes[0])     # nats, exact; given the first observation, as for every model

    Attributes:
        a: `[N, N]`.
        b: `[N, K]`.
        c: `[M, N]`.
        q, r: `[N, N]`, `[M, M]` covariances of the noise.
        mean, covariance: `[N]`, `[N, N]` of the first state.

    Raises:
        UsageError: shapes that do not fit, a covariance that is none.

    Source: Kalman (1960), "A new approach to linear filtering and prediction problems", J. Basic Engineering 82.
    """

    a: np.ndarray
    b: np.ndarray
    c: np.ndarray
    q: np.ndarray
    r: np.ndarray
    mean: np.ndarray
    covariance: np.ndarray

    def __post_init__(self) -> None:
        for name in ("a", "b", "c", "q", "r", "mean", "covariance"):
            array = np.asarray(getattr(self, name), np.float64)
            if not np.isfinite(array).all():
                raise UsageError(f"{name} with numbers that are not finite", expected="finite numbers")
            object.__setattr__(self, name, array)
        if self.a.ndim != 2 or self.b.ndim != 2 or self.c.ndim != 2:
            raise UsageError("a, b or c that is no matrix", expected="[N, N], [N, K], [M, N]")
        n, k, m = len(self.a), self.b.shape[-1], len(self.c)
        shapes = {"a": (n, n), "b": (n, k), "c": (m, n), "q": (n, n), "r": (m, m), "mean": (n,), "covariance": (n, n)}
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise UsageError(f"{name} of shape {getattr(self, name).shape}", expected=str(shape))
        for name in ("q", "r", "covariance"):
            array = getattr(self, name)
            if not np.allclose(array, array.T) or np.linalg.eigvalsh(array).min() < -1e-10:
                raise UsageError(f"{name} is no covariance", expected="symmetric, no eigenvalue below 0")
        if np.linalg.eigvalsh(self.r).min() <= 0:
            raise UsageError("r is singular", expected="some noise in every direction that is observed")

    @classmethod
    def stable(
        cls, states: int = 3, actions: int = 1, observations: int = 2, seed: int = 0, radius: float = 0.9
    ) -> LinearGaussian:
        """Returns a world drawn at random, begun in its stationary distribution without actions.

        Args:
            states, actions, observations: N, K, M.
            seed: of the matrices.
            radius: largest absolute eigenvalue of A, below 1.

        Raises:
            UsageError: a radius outside [0, 1).
        """
        if not 0.0 <= radius < 1.0:
            raise UsageError(f"radius = {radius}", expected="from 0 to below 1")
        rng = np.random.default_rng(seed)
        a = rng.standard_normal((states, states))
        a *= radius / np.abs(np.linalg.eigvals(a)).max()
        b, c = rng.standard_normal((states, actions)), rng.standard_normal((observations, states))
        q, r = 0.3 * np.eye(states), 0.3 * np.eye(observations)
        covariance = np.linalg.solve(np.eye(states**2) - np.kron(a, a), q.ravel()).reshape(states, states)
        return cls(a, b, c, q, r, np.zeros(states), (covariance + covariance.T) / 2)

    @property
    def observation_space(self) -> spaces.Box:
        """What is observed: M numbers without bounds."""
        return spaces.Box(-np.inf, np.inf, (len(self.c),), np.float64)

    @property
    def action_space(self) -> spaces.Box:
        """Actions: K numbers without bounds."""
        return spaces.Box(-np.inf, np.inf, (self.b.shape[1],), np.float64)

    def episodes(self, count: int, steps: int, seed: int = 0) -> list[Trajectory]:
        """Returns episodes under standard normal actions, each with its states' observations alone."""
        rng = np.random.default_rng(seed)

        def noise(covariance: np.ndarray) -> np.ndarray:
            return rng.multivariate_normal(np.zeros(len(covariance)), covariance, count, method="eigh")

        actions = rng.standard_normal((steps, count, self.b.shape[1]))
        x = self.mean + noise(self.covariance)
        seen = [x @ self.c.T + noise(self.r)]
        for u in actions:
            x = x @ self.a.T + u @ self.b.T + noise(self.q)
            seen.append(x @ self.c.T + noise(self.r))
        observed = np.stack(seen)
        return [
            Trajectory(observed[:, k], actions[:, k], np.zeros(steps), False, True, seed=seed) for k in range(count)
        ]

    def filter(self, trajectory: Trajectory) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns `([T + 1, N]` means, `[T + 1, N, N]` covariances of the state given all up to then, `[T + 1]` log p
        of each observation given those before, nats)."""
        observed, actions = np.asarray(trajectory.observations), np.asarray(trajectory.actions)
        mean, covariance = self.mean, self.covariance
        means, covariances, found = [], [], []
        identity = np.eye(len(self.a))
        for t, y in enumerate(observed):
            if t:
                mean = self.a @ mean + self.b @ actions[t - 1]
                covariance = self.a @ covariance @ self.a.T + self.q
            missed = y - self.c @ mean
            spread = self.c @ covariance @ self.c.T + self.r
            found.append(gaussian_log_density(missed, spread))
            gain = np.linalg.solve(spread, self.c @ covariance).T
            mean = mean + gain @ missed
            kept = identity - gain @ self.c
            covariance = kept @ covariance @ kept.T + gain @ self.r @ gain.T  # stays symmetric (Joseph's form)
            means.append(mean)
            covariances.append(covariance)
        return np.stack(means), np.stack(covariances), np.array(found)

    def log_prob(self, trajectory: Trajectory) -> float:
        """Returns log p(observations 1 to T | observation 0, actions), in nats, exact."""
        return float(self.filter(trajectory)[2][1:].sum())

    def joint_log_prob(self, trajectory: Trajectory) -> float:
        """Returns the same by the joint Gaussian of all observations at once: a check on the filter."""
        return self._joint(trajectory, len(trajectory) + 1) - self._joint(trajectory, 1)

    def _joint(self, trajectory: Trajectory, count: int) -> float:
        """Returns log p of the first observations, as one vector."""
        n = len(self.a)
        mean, state = self.mean, self.covariance
        means, blocks = [self.c @ mean], np.zeros((count * n, count * n))
        blocks[:n, :n] = state
        for t in range(1, count):
            mean = self.a @ mean + self.b @ np.asarray(trajectory.actions)[t - 1]
            means.append(self.c @ mean)
            here, before = slice(t * n, (t + 1) * n), slice((t - 1) * n, t * n)
            blocks[here, : t * n] = self.a @ blocks[before, : t * n]
            blocks[: t * n, here] = blocks[here, : t * n].T
            blocks[here, here] = self.a @ blocks[before, before] @ self.a.T + self.q
        seeing = np.kron(np.eye(count), self.c)
        covariance = seeing @ blocks @ seeing.T + np.kron(np.eye(count), self.r)
        return gaussian_log_density(np.ravel(trajectory.observations[:count]) - np.concatenate(means), covariance)


def gaussian_log_density(apart: np.ndarray, covariance: np.ndarray) -> float:
    """Returns log N(apart; 0, covariance) of a vector, in nats."""
    root: Any = np.linalg.cholesky(covariance)
    whitened = np.linalg.solve(root, apart)
    return float(-0.5 * whitened @ whitened - np.log(np.diag(root)).sum() - 0.5 * len(apart) * math.log(2 * math.pi))
