"""Settings of a tree search: what planners and the agents that search share is documented here, once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from inscape.errors import UsageError
from inscape.world_models.interface import check_gamma


@dataclass(frozen=True)
class TreeSearchSettings:
    """What the planner `UCT` and the agent `mcts` have in common."""

    num_simulations: int = 1000
    """Simulations per decision: each descends from the root, adds at most one action's outcomes, and backs up."""
    # TicTacToe at 200 simulations, second player, a wrong first move: 0.5 and 0.7 3 of 9,000; 1 and 1.4 0 of 18,000
    exploration: float | None = None
    """Weight of the UCB1 term, relative to the range of action values seen so far in the search; None: 0.7 for one
    player, 1 for several, where a reply that was overlooked costs the game."""
    rollout: Literal["uniform", "none"] = "uniform"
    """How a new state is valued: by the return of uniformly random legal actions, or as 0."""
    # CartPole at 1,000 simulations, 8 seeds: 5 286, 50 419, 1,000 466, None and plain UCT 500 (benchmarks/results.md).
    averaging_visits: float | None = None
    """When a state's value is that of its best action rather than the average over all visits. A number: the best
    action weighs N/(N + averaging_visits) after N visits; 0: it alone (for values without noise). None: the average
    alone, as in plain UCT, until all but a tenth of the actions were tried in the states within reach; 5 from then on.
    Whatever is set, what is known exactly counts as such."""
    solver: bool = True
    """Whether values are proven from the ends on, where outcomes can be listed: what is proven is not simulated again,
    and a search that knows its root exactly ends early. False: plain UCT, whose every simulation is made."""
    max_depth: int = 200
    """Longest descent (it then stops at the stored value), and longest roll-out (what is beyond counts 0)."""

    def __post_init__(self) -> None:
        for name in ("num_simulations", "max_depth"):
            require_count(self, name)
        for name in ("exploration", "averaging_visits"):
            value = getattr(self, name)
            if value is None:
                continue
            if not 0.0 <= value < np.inf:
                raise UsageError(f"{name} = {value}", expected="a finite number of at least 0")
        if self.rollout not in ("uniform", "none"):
            raise UsageError(f"rollout = {self.rollout!r}", expected="'uniform' or 'none'")


@dataclass(frozen=True)
class UCTSettings(TreeSearchSettings):
    """Settings of one search."""

    gamma: float = 0.99
    """Discount per step, from 0 to 1; a state's future counts gamma times its probability of going on."""
    max_nodes: int = 1_000_000
    """Most states kept; the search stops early when they are used up (see `Plan.simulations`)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_count(self, "max_nodes")
        check_gamma(self.gamma)

    def exploration_for(self, players: int) -> float:
        """Returns the weight of the UCB1 term in a world of so many players."""
        return (0.7 if players == 1 else 1.0) if self.exploration is None else float(self.exploration)


def require_count(settings: Any, name: str) -> None:
    """Raises UsageError unless the setting is an integer of at least 1."""
    value = getattr(settings, name)
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise UsageError(f"{name} = {value!r}", expected="a whole number of at least 1")
