"""Tables folded for dynamic programming, and what bounds the error of values in them.

Sources: the weighted sup-norm certificate: Bertsekas (2012), "Dynamic Programming and Optimal Control" II, section 3.3.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import ModuleType

import numpy as np

from inscape.errors import UsageError
from inscape.world_models.tabular.model import TabularModel

EPSILON = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, eq=False)
class Problem:
    """Tables folded for sweeps: `weight = γ · probability · continuation` and expected rewards."""

    name: str
    next_state: np.ndarray  # [S, A, K] int32
    weight: np.ndarray  # [S, A, K]
    reward: np.ndarray  # [S, A], −inf where illegal
    terminal: np.ndarray  # [S]
    largest_reward: float  # of Σ_k p·|r|, for rounding
    gamma: float

    @staticmethod
    def of(table: TabularModel, gamma: float) -> Problem:
        if not 0.0 <= gamma <= 1.0:  # also refuses NaN
            raise UsageError(f"gamma = {gamma}", expected="a discount from 0 to 1")
        legal, terminal = table.legal, table.terminal
        reward = np.einsum("sak,sak->sa", table.probability, table.reward)
        largest = float(np.einsum("sak,sak->sa", table.probability, np.abs(table.reward)).max())
        return Problem(
            table.name,
            np.ascontiguousarray(table.next_state, np.int32),
            gamma * table.probability * table.continuation,
            np.where(legal | terminal[:, None], reward, -np.inf),
            terminal,
            largest,
            gamma,
        )

    def under(self, policy: np.ndarray) -> Problem:
        """Returns the chain that a policy makes of the problem: one action, all outcomes."""
        states = len(policy)
        weight = (policy[:, :, None] * self.weight).reshape(states, 1, -1)
        reward = (policy * np.where(policy > 0, self.reward, 0.0)).sum(axis=1, keepdims=True)
        nexts = self.next_state.reshape(states, 1, -1)
        return Problem(self.name, nexts, weight, reward, self.terminal, self.largest_reward, self.gamma)

    def keeps_going(self) -> bool:
        """Returns whether some action never ends the episode by itself."""
        legal = np.isfinite(self.reward) & ~self.terminal[:, None]
        return bool((self.weight.sum(axis=2) >= 1.0 - 1e-9)[legal].any())

    def without_idle_loops(self) -> Problem:
        """Returns the chain with states that never end and earn nothing counted as terminal."""
        sweeps = sweeps_for(self.weight)
        forever = sweeps.avoiders(self.next_state, self.weight, np.ones(self.reward.shape, bool), self.terminal)
        earning = forever & (self.reward[:, 0] != 0)
        if earning.any():
            raise UsageError(
                f"with gamma = 1 the policy earns reward for ever in state {np.flatnonzero(earning)[0]} of {self.name}",
                expected="a policy that ends, or gamma < 1",
            )
        return Problem(
            self.name, self.next_state, self.weight, self.reward, self.terminal | forever, self.largest_reward, 1.0
        )

    def certificate(self) -> tuple[float, float]:
        """Returns (max h, η) for some h ≥ 0 with max_a Σ weight·h ≤ h − η in every state that is not terminal.

        Then |TV − V| ≤ ε everywhere implies |V* − V| ≤ (ε/η)·h and |V* − TV| ≤ (ε/η)·(h − η).
        """
        legal = np.isfinite(self.reward)
        keep = float(self.weight.sum(axis=2).max(where=legal & ~self.terminal[:, None], initial=0.0))
        if self.gamma < 1.0 or keep < 1.0 - 1e-9:
            return 1.0, 1.0 - keep
        return self._longest_duration(legal)

    def _longest_duration(self, legal: np.ndarray) -> tuple[float, float]:
        sweeps = sweeps_for(self.weight)
        forever = sweeps.avoiders(self.next_state, self.weight, legal, self.terminal)
        if forever.any():
            raise UsageError(
                f"with gamma = 1 no error bound can be given for {self.name}: from state {np.flatnonzero(forever)[0]} "
                "some policy goes on for ever",
                expected="gamma < 1, or a world in which every policy ends",
                hint="gamma = 0.999 values a reward 100 steps away at nine tenths",
            )
        duration = np.zeros(len(self.terminal))
        cost = np.where(legal, 1.0, -np.inf)
        sweeps.solve(self.next_state, self.weight, cost, self.terminal, duration, sweeps.HARD, 0.0, 0.25, 10_000_000)
        ahead = np.einsum("sak,sak->sa", self.weight, duration[self.next_state])
        fall = duration - np.where(legal, ahead, -np.inf).max(axis=1)
        longest = float(duration.max(initial=1.0))
        drop = float(fall.min(where=~self.terminal, initial=1.0)) - 64 * EPSILON * longest
        return (longest, drop) if drop > 0.0 else (np.inf, 1.0)  # longer than double precision can count

    def action_values(self, values: np.ndarray) -> np.ndarray:
        """Returns `[S, A]` one-step look-ahead from `values [S]`; −inf where illegal."""
        return np.asarray(self.reward + np.einsum("sak,sak->sa", self.weight, values[self.next_state]))

    def rounding(self, values: np.ndarray, beta: float = 0.0) -> float:
        """Returns a bound on the rounding error of one backup: a sum of K + 1 products, and the soft maximum's."""
        actions, width = self.weight.shape[1:]
        operations = width + 8 + (4 * actions if beta > 0 else 0)
        soft = float(np.log(actions) / beta) if beta > 0 else 0.0
        return float(operations * EPSILON * (self.largest_reward + float(np.abs(values).max(initial=0.0)) + soft))

    def in_favour_of(self, log_prior: np.ndarray, beta: float) -> Problem:
        """Returns the problem with log π₀(a|s)/β added to the rewards: its maximum-entropy values are those of the
        reward less (1/β)·KL(π‖π₀). Actions of prior 0 become illegal."""
        reward = np.where(self.terminal[:, None], self.reward, self.reward + log_prior / beta)
        largest = float(np.abs(np.where(np.isfinite(log_prior), log_prior, 0.0)).max(initial=0.0)) / beta
        return replace(self, reward=reward, largest_reward=self.largest_reward + largest)


def sweeps_for(weight: np.ndarray) -> ModuleType:
    """Returns what solves tables of this size: compiled sweeps, or what need not be compiled."""
    from inscape.world_models.planning import small_tables

    if small_tables.is_small(weight):
        return small_tables
    from inscape.world_models.planning.kernels import sweeps

    return sweeps


def rounding_of(weight: np.ndarray, largest_reward: float, values: np.ndarray) -> float:
    """Returns a bound on the rounding error of a hard backup: a sum of K + 1 products."""
    return float((weight.shape[2] + 8) * EPSILON * (largest_reward + float(np.abs(values).max(initial=0.0))))
