"""Independent learners: one for each player, for which the others are part of the world.

`independent:ppo` makes a PPO for each player. They take turns: the one with the fewest steps collects in copies of
its own, in which the others act by their present policies, and updates; so everybody learns against everybody's newest
policy, and all of it is saved and resumed as one agent. Nothing promises that they converge: each one's world changes
while the others learn.

Source: Tan (1993), "Multi-agent reinforcement learning: independent vs. cooperative agents", ICML.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from inscape.agents.batches import rows_of
from inscape.agents.interface import Agent, Metrics, learning_task
from inscape.agents.multi_agent.self_play import make_opponent, policy_log_probs
from inscape.envs.tasks.opponents_task import OpponentsTask
from inscape.errors import UsageError
from inscape.world_models.networks.types import Array, State

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task


class Independent(Agent):
    """A learner for each player of a world.

    It acts through `for_player`, which the rollout asks of it: alone it does not know whom it acts for.

    Args:
        task: a world of several players, in turn or all at once, or a PettingZoo environment.
        seed: player m's learner has M·seed + m.
        device: `"auto"`, `"cpu"` or `"cuda"`.
        settings: of every learner, as its own agent takes them.
        algorithm: which agent learns, `ppo` or another with action probabilities.

    Raises:
        UsageError: a world of one player, or an agent that cannot be another's opponent.
    """

    name = "independent"
    learns_with_players = True

    def __init__(
        self, task: Task, seed: int = 0, device: str = "cpu", settings: Any = None, algorithm: str = "ppo"
    ) -> None:
        self.algorithm = algorithm
        self.learners: list[Agent] = []
        self._whole = task
        self._tasks = [OpponentsTask.against(task, self, seat) for seat in range(task.players)]
        for seat, own in enumerate(self._tasks):
            own_seed = task.players * seed + seat
            self.learners.append(
                make_opponent(algorithm, own, own_seed, device, settings, "independent:ppo or independent:dqn")
            )
        self.settings = getattr(self.learners[0], "settings", None)
        self._names = task.player_names
        self._steps = [0] * task.players

    # ------------------------------------------------------------------------------------------------ acting

    def for_player(self, player: int) -> Agent:
        """Returns the learner of a player."""
        return self.learners[player]

    def act(self, observation: Array, action_mask: Array | None = None) -> Array:
        """Refuses.

        Raises:
            UsageError: always; which player to act for is not given.
        """
        raise UsageError(
            f"independent:{self.algorithm} asked to act, and not for which player",
            expected="for_player(player).act(observation)",
            hint="rollout and evaluate ask so",
        )

    def drawn(self, numbers: Array) -> Array:
        """Returns zeros: everybody's opponents are always the same."""
        return np.zeros(len(numbers), np.int64)

    def probabilities(self, opponent: Array, player: Array, observation: Array, mask: Array | None) -> Array:
        """Returns `[n, A]` what the players do by their present policies."""
        chosen: Array | None = None
        for seat in np.unique(player):
            rows = np.flatnonzero(player == seat)
            own = None if mask is None else mask[rows]
            probability = np.exp(policy_log_probs(self.learners[seat], rows_of(observation, rows), own))
            if chosen is None:
                chosen = np.zeros((len(player), probability.shape[1]))
            chosen[rows] = probability
        assert chosen is not None
        return chosen

    # ------------------------------------------------------------------------------------------------ learning

    def learn(self, task: Task, steps: int) -> Iterator[Metrics]:
        """Learns until all learners together have taken `steps` steps, each an equal share; yields when one does.

        Metrics are those of the learner in question, under its player's name, and `steps` of all together.

        Raises:
            UsageError: it was made for another task.
        """
        self._whole = learning_task(self, self._whole, task)
        share = -(-steps // len(self.learners))
        running = [
            cast(Any, learner).learn(own, share) for learner, own in zip(self.learners, self._tasks, strict=True)
        ]
        left = set(range(len(self.learners)))
        try:
            while left:
                seat = min(left, key=lambda m: (self._steps[m], m))
                metrics = next(running[seat], None)
                if metrics is None:
                    left.discard(seat)
                    continue
                self._steps[seat] = int(metrics["steps"])
                own = {f"{self._names[seat]}/{name}": value for name, value in metrics.items() if name != "steps"}
                yield {"steps": float(sum(self._steps)), **own}
        finally:
            for learning in running:
                learning.close()

    # ------------------------------------------------------------------------------------------------ saving

    def state_dict(self) -> State:
        return {"learners": [cast(Any, one).state_dict() for one in self.learners], "steps": list(self._steps)}

    def load_state_dict(self, state: State) -> None:
        if len(state["learners"]) != len(self.learners):
            raise UsageError(
                f"the states of {len(state['learners'])} learners", expected=f"one for each of {len(self.learners)}"
            )
        for learner, own in zip(self.learners, state["learners"], strict=True):
            cast(Any, learner).load_state_dict(own)
        self._steps = [int(n) for n in state["steps"]]
