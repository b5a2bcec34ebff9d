"""What happened: one record for replay, model learning, observers and reports."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inscape import html
from inscape.envs.law.states import States
from inscape.errors import UsageError


@dataclass(frozen=True)
class Trajectory:
    """One episode of one agent, or of several players. `reward[t]` follows `action[t]` taken at `observation[t]`.

    Attributes:
        observations: `[T+1, ...]`, the last one being that of the final state (also when truncated). Several players in
            turn: of the acting player; all at once: `[T+1, M, ...]`. Of a Dict space `[T+1, D]`, flattened as
            `gymnasium.spaces.flatten` does.
        actions: `[T]` int64, or `[T, D]` float for continuous actions; all at once: `[T, M]`.
        rewards: `[T]` float64; several players: `[T, M]`.
        terminated: the task itself ended after the last action (its future value is 0).
        truncated: cut from outside (its future value is not 0). Both may be set; termination wins.
        states: packed states `[., T+1]` where the task is an Inscape world.
        action_masks: `[T, A]` (all at once: `[T, M, A]`) bool, True where legal, where the task restricts actions.
        task: name and settings of the task, as `Task.to_json()` gives them.
        agent: name of the agent that acted; several players: their names, with commas.
        seed: the seed the episode was started with.
    """

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    terminated: bool
    truncated: bool
    states: States | None = None
    action_masks: np.ndarray | None = None
    task: dict[str, Any] = field(default_factory=dict)
    agent: str = ""
    seed: int = 0

    def __len__(self) -> int:
        return len(self.actions)

    def __repr__(self) -> str:
        ended = "terminated" if self.terminated else "truncated" if self.truncated else "going on"
        where = f"{self.agent or 'an agent'} in {self.task.get('name', 'a world')}"
        return f"Trajectory({where}, {len(self)} steps, return {_shown(self.total_reward)}, {ended})"

    def _repr_html_(self) -> str:
        rows = [
            [step, _shown(self.observations[step]), _shown(self.actions[step]), _shown(self.rewards[step])]
            for step in range(len(self))
        ]
        columns = ("step", "observation", "action", "reward")
        return html.block(repr(self), html.table(columns, rows, ("step", "action", "reward")))

    def require_whole(self) -> None:
        """Raises UsageError unless the arrays are as long as each other says: what was read from a file may not be."""
        count = len(self.actions) if np.ndim(self.actions) else -1
        lengths = {
            "observations": (self.observations, count + 1), "rewards": (self.rewards, count),
            "action_masks": (self.action_masks, count),
        }  # fmt: skip
        for name, (array, expected) in lengths.items():
            if array is not None and (np.ndim(array) == 0 or len(array) != expected):
                raise UsageError(f"{name} of shape {np.shape(array)} in an episode of {count} actions")
        if self.rewards.dtype.kind not in "fiu" or self.actions.dtype.kind not in "fiubU":
            raise UsageError(f"an episode with rewards {self.rewards.dtype} and actions {self.actions.dtype}")
        if not all(isinstance(flag, bool) for flag in (self.terminated, self.truncated)):
            raise UsageError(f"an episode that ended {self.terminated!r}, {self.truncated!r}", expected="true or false")
        states = self.states
        if states is not None and (states.floats.ndim != 2 or states.ints.ndim != 2):
            raise UsageError("packed states that are no tables")
        if states is not None and {states.floats.shape[1], states.ints.shape[1]} != {count + 1}:
            raise UsageError(f"{states.floats.shape[1]} states in an episode of {count} actions")

    @property
    def total_reward(self) -> float | NDArray[np.float64]:
        """Undiscounted return of the episode: a float; several players: `[M]`, one for each."""
        total = np.sum(self.rewards, axis=0, dtype=np.float64)
        return float(total) if total.ndim == 0 else np.asarray(total)


def _shown(value: Any) -> str:
    """Returns a few numbers as text; of more, the first ones."""
    flat = np.ravel(np.asarray(value))
    if flat.dtype.kind not in "fiub":
        return str(value)[:60]
    few = [html.number(float(one)) for one in flat[:6]]
    return few[0] if np.ndim(value) == 0 else f"({', '.join(few)}{', …' if len(flat) > 6 else ''})"
