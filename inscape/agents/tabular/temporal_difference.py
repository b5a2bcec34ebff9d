"""TD(λ) prediction: the values of a given policy; λ = 0 is TD(0), λ = 1 Monte Carlo step by step.

Source: Sutton (1988), Machine Learning 3; Sutton & Barto (2018), sections 6.1 and 12.2; Singh & Sutton (1996),
replacing traces; van Seijen, Mahmood, Pilarski, Machado & Sutton (2016), JMLR 17, true online TD(λ), which equals the
online λ-return exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from inscape.agents.learning.settings_checks import require_shares
from inscape.agents.tabular.base import TabularAgent, TabularSettings
from inscape.envs.tasks.task import Task
from inscape.errors import UsageError
from inscape.world_models.networks.types import Array, State

TRACES = ("accumulating", "replacing", "dutch")


@dataclass(frozen=True)
class TDLambdaSettings(TabularSettings):
    """Settings of TD(λ) prediction. Epsilon and beta are not used: the policy is given."""

    trace_decay: float = 0.0
    """λ: how far back each error reaches; 0 is TD(0)."""
    traces: Literal["accumulating", "replacing", "dutch"] = "dutch"
    """What a visit does to a trace; Dutch traces equal the online λ-return."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_shares(self, "trace_decay")


class TDLambda(TabularAgent):
    """State values `values [rows]` of a policy that it follows and does not improve. See `TabularAgent`.

    Args:
        task, seed, settings: as `TabularAgent`.
        policy: `[rows, A]` probabilities of each action, without regard to what is legal; None: uniform.

    Raises:
        UsageError: as `TabularAgent`; or the policy has another shape or is not one.
    """

    name = "td-lambda"
    algorithm = "td_lambda"
    Settings = TDLambdaSettings

    def __init__(
        self, task: Task, seed: int = 0, settings: TDLambdaSettings | None = None, policy: Array | None = None
    ) -> None:
        super().__init__(task, seed, settings)
        shape = (self._rows, self._actions)
        self.policy: Array = np.full(shape, 1.0 / shape[1]) if policy is None else np.asarray(policy, np.float64)
        if self.policy.shape != shape:
            raise UsageError(f"policy of shape {self.policy.shape}", expected=f"{shape} probabilities")
        if not ((self.policy >= 0).all() and np.allclose(self.policy.sum(axis=1), 1.0)):
            raise UsageError("a policy with a row that is not a distribution", expected="probabilities that sum to one")

    @property
    def values(self) -> Array:
        """`[rows]` values of the first learner."""
        return np.asarray(self.tables["values"][0])

    def action_log_probs(self, observation: Array, action_mask: Array | None = None) -> Array:
        """Returns `[B, A]` log-probabilities of the given policy, restricted to what is legal."""
        probabilities = self.policy[self.rows(observation)]
        if action_mask is not None:
            probabilities = np.where(action_mask, probabilities, 0.0)
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(probabilities / probabilities.sum(axis=1, keepdims=True)))

    def _make_tables(self, shape: tuple[int, int, int]) -> dict[str, Array]:
        states = shape[:2]
        return {
            "values": np.full(states, self.settings.initial_value),
            "counts": np.zeros(states, np.int64),
            "trace": np.zeros(states),
            "active": np.zeros(states, np.int64),
            "num_active": np.zeros(shape[0], np.int64),
            "before": np.zeros(shape[0]),
        }

    def _kernel_tables(self) -> tuple[Any, ...]:
        kind = TRACES.index(self.settings.traces)
        return (*self.tables.values(), self.policy, (kind, self.settings.trace_decay))

    def _begin_episode(self) -> None:
        self.tables["trace"][:] = 0.0
        self.tables["num_active"][:] = 0

    def state_dict(self) -> State:
        return {**super().state_dict(), "policy": self.policy.copy()}

    def load_state_dict(self, state: State) -> None:
        super().load_state_dict(state)
        self.policy = np.array(state["policy"])
