"""Tables folded for dynamic programming, and what bounds the error of values in them.

Sources: the weighted sup-norm certificate: Bertsekas (2012), "Dynamic Programming and Optimal Control" II, section 3.3;
bounds from one backup: MacQueen (1966), Journal of Mathematical Analysis and Applications 14.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import ModuleType

import numpy as np

from inscape.errors import UsageError
from inscape.world_models.interface import check_gamma
from inscape.world_models.planning import small_tables
from inscape.world_models.planning.small_tables import is_small
from inscape.world_models.tabular.arrays import require_memory
from inscape.world_models.tabular.model import TabularModel

EPSILON = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Bounds:
    """What a Jacobi backup certifies, from what it changes.

    Attributes:
        smallest, largest: Σ weight of a state and action lies between them.
        amplified: an upper bound on |V* − V| is `amplified` times the largest |TV − V|.
        closed: whether there is no terminal state.
    """

    smallest: float
    largest: float
    amplified: float
    closed: bool

    @property
    def shifts(self) -> bool:
        """Whether a constant added to V is γ times that constant in TV."""
        return self.closed and self.largest - self.smallest <= 1e-9 * (1.0 - self.largest)

    def of(self, least: float, most: float) -> tuple[float, float]:
        """Returns (lower, upper) bounds on V* − V in states that are not terminal."""
        lower = least * (self.amplified if least < 0.0 else 1.0 / (1.0 - self.smallest))
        upper = most * (self.amplified if most > 0.0 else 1.0 / (1.0 - self.smallest))
        return lower, upper


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
    kept_bounds: tuple[float, float] | None = None  # least and most Σ weight of an action, if known

    @staticmethod
    def of(table: TabularModel, gamma: float) -> Problem:
        check_gamma(gamma)
        given = table.next_state, table.probability, table.reward, table.continuation
        return Problem._folded(table, *given, table.legal, gamma)

    @staticmethod
    def of_policy(table: TabularModel, gamma: float, policy: np.ndarray) -> Problem:
        """Returns the chain that a policy makes of the tables: one action, with the outcomes of all it may take.

        Args:
            table, gamma: as in `of`.
            policy: `[S, A]` probabilities, 0 in terminal states and of illegal actions.
        """
        check_gamma(gamma)
        states, actions, width = table.probability.shape
        if not is_small(table.probability):
            return Problem._folded_policy(table, gamma, policy)
        s, a = np.nonzero(policy)
        counts = np.bincount(s, minlength=states)
        most = max(1, int(counts.max()))
        place = np.arange(len(s)) - np.repeat(np.cumsum(counts) - counts, counts)
        row, share = np.repeat(np.arange(states) * actions, most).reshape(states, most), np.zeros((states, most))
        row[s, place] += a
        share[s, place] = policy[s, a]
        require_memory(28 * row.size * width, f"the outcomes of a policy in {table.name}")

        def taken(entries: np.ndarray) -> np.ndarray:
            return np.take(entries.reshape(-1, width), row, axis=0).reshape(states, 1, -1)

        probability = taken(table.probability) * np.repeat(share, width, axis=1).reshape(states, 1, -1)
        legal = np.ones((states, 1), bool)
        given = taken(table.next_state), probability, taken(table.reward), taken(table.continuation)
        return Problem._folded(table, *given, legal, gamma)

    @staticmethod
    def _folded_policy(table: TabularModel, gamma: float, policy: np.ndarray) -> Problem:
        """Returns the chain of `of_policy`, by a compiled kernel."""
        from inscape.world_models.planning.kernels.tables import backups

        states, _, width = table.probability.shape
        most = width * max(1, int(np.einsum("sa->s", (policy != 0.0).astype(np.int64)).max()))
        require_memory(12 * states * most, f"the outcomes of a policy in {table.name}")
        successors, weight = np.zeros((states, 1, most), np.int32), np.zeros((states, 1, most))
        expected = np.empty((states, 1))
        given = table.probability, table.reward, table.continuation
        tables = (np.ascontiguousarray(array, np.float64) for array in given)
        largest, *kept = backups.fold_policy(
            np.ascontiguousarray(table.next_state, np.int32), *tables, table.terminal,
            np.ascontiguousarray(policy), gamma, successors, weight, expected,
        )  # fmt: skip
        bounds = kept[0], kept[1]
        return Problem(table.name, successors, weight, expected, table.terminal, largest, gamma, bounds)

    @staticmethod
    def _folded(
        table: TabularModel,
        next_state: np.ndarray,
        probability: np.ndarray,
        reward: np.ndarray,
        continuation: np.ndarray,
        legal: np.ndarray,
        gamma: float,
    ) -> Problem:
        states, terminal = len(next_state), table.terminal
        if is_small(probability):
            weight = gamma * probability * continuation
            expected = np.einsum("sak,sak->sa", probability, reward)
            largest = float(np.einsum("sak,sak->sa", probability, np.abs(reward)).max())
            expected = np.where(legal | terminal[:, None], expected, -np.inf)
            successors = np.ascontiguousarray(next_state, np.int32)
            return Problem(table.name, successors, weight, expected, terminal, largest, gamma)
        from inscape.world_models.planning.kernels.tables import backups

        require_memory(8 * probability.size, f"the weights of {table.name}")
        weight, expected = np.empty(probability.shape), np.empty(legal.shape)
        tables = (np.ascontiguousarray(array, np.float64) for array in (probability, reward, continuation))
        largest, *kept = backups.fold(*tables, legal, terminal, gamma, weight, expected)
        successors = np.ascontiguousarray(next_state, np.int32)
        if successors.min() < 0 or successors.max() >= states:  # of probability 0
            successors = np.where((successors < 0) | (successors >= states), np.int32(0), successors)
        return Problem(table.name, successors, weight, expected, terminal, largest, gamma, (kept[0], kept[1]))

    def kept(self) -> tuple[float, float]:
        """Returns the least and the most Σ weight of a legal action, terminal states left out; (inf, 0): of none."""
        if self.kept_bounds is not None:
            return self.kept_bounds
        legal = np.isfinite(self.reward) & ~self.terminal[:, None]
        kept = np.einsum("sak->sa", self.weight)
        return float(kept.min(where=legal, initial=np.inf)), float(kept.max(where=legal, initial=0.0))

    def keeps_going(self) -> bool:
        """Returns whether some action never ends the episode by itself."""
        return self.kept()[1] >= 1.0 - 1e-9

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
        return replace(self, terminal=self.terminal | forever)

    def bounds(self) -> Bounds:
        """Returns what a Jacobi backup certifies about V* (see `certificate`)."""
        height, drop = self.certificate()
        closed = not self.terminal.any() and height == 1.0
        smallest = self.kept()[0] * (1.0 - self.weight.shape[2] * EPSILON) if closed else 0.0
        return Bounds(smallest, 1.0 - drop / height, height / drop, closed)

    def certificate(self) -> tuple[float, float]:
        """Returns (max h, η) for some h ≥ 0 with max_a Σ weight·h ≤ h − η in every state that is not terminal.

        Then |TV − V| ≤ ε everywhere implies |V* − V| ≤ (ε/η)·h and |V* − TV| ≤ (ε/η)·(h − η).
        """
        keep = self.kept()[1]
        if self.gamma < 1.0 or keep < 1.0 - 1e-9:
            # the sum of K weights may be rounded down
            return 1.0, 1.0 - keep * (1.0 + self.weight.shape[2] * EPSILON)
        return self._longest_duration(np.isfinite(self.reward))

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
        return replace(self, reward=reward, largest_reward=self.largest_reward + largest, kept_bounds=None)


def sweeps_for(weight: np.ndarray) -> ModuleType:
    """Returns what solves tables of this size: compiled sweeps, or what need not be compiled."""
    if is_small(weight):
        return small_tables
    from inscape.world_models.planning.kernels.tables import sweeps

    return sweeps


def rounding_of(weight: np.ndarray, largest_reward: float, values: np.ndarray) -> float:
    """Returns a bound on the rounding error of a hard backup: a sum of K + 1 products."""
    return float((weight.shape[2] + 8) * EPSILON * (largest_reward + float(np.abs(values).max(initial=0.0))))
