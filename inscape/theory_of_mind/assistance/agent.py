"""The agent `helper`: acts beside another player, under its posterior over what that one wants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from inscape.agents.interface import Agent, State
from inscape.agents.learning.settings_checks import require_counts, require_positive, require_shares
from inscape.errors import MissingLawError, UsageError
from inscape.rng import restore_rng, rng_state
from inscape.theory_of_mind.assistance.answering import Answering
from inscape.theory_of_mind.assistance.helpers import Helper
from inscape.theory_of_mind.assistance.problem import AssistanceProblem, assistance_problem
from inscape.theory_of_mind.controllers import Array
from inscape.theory_of_mind.minds import Mind, minds_grid
from inscape.world_models.planning.dynamic_programming import ties

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task

Method = Literal["bounds", "qmdp", "search", "vote"]
METHODS = ("bounds", "qmdp", "search", "vote")


@dataclass(frozen=True)
class HelperSettings:
    """Settings of the helper."""

    goals: str = ""
    """Names of what the other may want, with commas; empty: all that the world names, or its own purpose."""
    beta: float = 100.0
    """Rationality of the other, per unit of reward: it is taken to choose by exp(β·Q), and not to model the helper."""
    accuracy: float = 0.95
    """Probability of a true answer, where the world lets the other say what it wants (`say GOAL`)."""
    method: Method = "bounds"
    """How it plans: `bounds` (point-based values, certified), `qmdp` (as if the goal were known from the next step on),
    `search` (POMCP at every step), `vote` (goals drawn from the posterior vote for their best actions)."""
    gamma: float | None = None
    """Discount per step, below 1; None for the world's own."""
    tolerance: float = 0.01
    """`bounds`: the gap between the bounds on the value of the start to reach, in units of reward."""
    max_trials: int = 100
    """`bounds`: walks through belief space after which to stop, whatever the gap."""
    num_simulations: int = 2_000
    """`search`: simulations at every step; `vote`: goals that are drawn."""

    def __post_init__(self) -> None:
        require_shares(self, "accuracy", *(() if self.gamma is None else ("gamma",)))
        require_positive(self, "tolerance")
        require_counts(self, "max_trials", "num_simulations")
        if self.method not in METHODS:
            raise UsageError(f"method = {self.method!r}", expected=", ".join(METHODS))
        if not isinstance(self.beta, (int, float)) or not 0 <= self.beta < np.inf:
            raise UsageError(f"beta = {self.beta!r}", expected="a finite number of at least 0")


class HelperAgent(Agent):
    """Helps the other of two players: infers from what it observes what the other wants, and plans under that.

    It plans when it is first asked what to do. What it remembers is what it observed and believed, and what it did.

    Args:
        task: a task whose world has two players and can be enumerated.
        seed: seed of its choices among equals, and of its searches.
        settings: how it plans, and what it takes the other to be.

    Raises:
        MissingLawError: the task has no law, or one that can only be sampled; or it has not two players.
        UsageError: a setting is out of range; a goal that the world does not name.
    """

    name = "helper"

    def __init__(self, task: Task, seed: int = 0, settings: HelperSettings | None = None) -> None:
        self.settings = settings or HelperSettings()
        if task.world is None:
            raise MissingLawError(f"a helper in {task.name}, which has no law", expected="a world with a law")
        if task.world.players != 2:
            raise MissingLawError(
                f"a helper in {task.world.name}, which has {task.world.players} players",
                expected="a world of two players: who is helped, and who helps", hint="DoorHelper, HouseholdHelper",
            )  # fmt: skip
        self.world, self.player, self._seed = task.world, 1, seed
        self._goals = self._wanted()
        self._rng = np.random.default_rng(seed)
        self._helper: Helper | None = None

    def _wanted(self) -> list[Any]:
        names = [name for part in self.settings.goals.split(",") if (name := part.strip())]
        unknown = [name for name in names if name not in self.world.goals]
        if unknown:
            raise UsageError(f"goal {unknown[0]!r} of {self.world.name}", expected=", ".join(self.world.goals))
        return list(names or self.world.goals or [self.world.purpose])

    def for_player(self, player: int) -> HelperAgent:
        """Returns the helper that acts as a player, and helps the other."""
        if player == self.player:
            return self
        other = HelperAgent.__new__(HelperAgent, *self._made_with[0], **self._made_with[1])
        other.__dict__.update(self.__dict__)
        other.player, other._helper = player, None
        other._rng = np.random.default_rng(self._seed)
        return other

    @property
    def problem(self) -> AssistanceProblem:
        """Whom it helps, and where."""
        problem = self.helper.problem
        assert isinstance(problem, AssistanceProblem)
        return problem

    @property
    def helper(self) -> Helper:
        """What it acts by; planned when first asked for."""
        if self._helper is None:
            s = self.settings
            minds: list[Mind] = list(minds_grid(self._goals, [s.beta], ["hard"]))
            answers = [f"say {goal}" in self.world.action_names for goal in self._goals]
            minds = [Answering(mind, s.accuracy) if named else mind for mind, named in zip(minds, answers)]
            problem = assistance_problem(self.world, minds, human=1 - self.player, gamma=s.gamma)
            if s.method == "bounds":
                self._helper = problem.solve(s.tolerance, np.inf, s.max_trials)
            elif s.method == "qmdp":
                self._helper = problem.qmdp()
            elif s.method == "search":
                self._helper = problem.search(s.num_simulations, self._seed)
            else:
                self._helper = problem.sample(s.num_simulations, self._seed)
        return self._helper

    def initial_memory(self, count: int) -> Array:
        """Returns `[count]` objects: None, where an episode begins."""
        return np.full(count, None, object)

    def act(self, observation: Array, action_mask: Array | None = None) -> Array:
        """Returns `[B]` actions as at the first step of an episode."""
        return self.act_with_memory(observation, self.initial_memory(len(observation)), np.zeros(0), action_mask)[0]

    def act_with_memory(
        self, observation: Array, memory: Array, reward: Array, action_mask: Array | None = None
    ) -> tuple[Array, Array]:
        """Returns actions, and `[B]` memories (percept, belief, action)."""
        actions, remembered = np.zeros(len(observation), np.int64), np.full(len(observation), None, object)
        for b, seen in enumerate(observation):
            percept, belief = self._believed(seen, memory[b])
            values = self.helper.action_values(percept, belief)
            if action_mask is not None:
                values = np.where(action_mask[b], values, -np.inf)
            best = np.flatnonzero(ties(values[None], 1e-9)[0])
            actions[b] = best[0] if len(best) == 1 else self._rng.choice(best)
            remembered[b] = (percept, belief, int(actions[b]))
        return actions, remembered

    def posterior(self, memory: Any) -> dict[Any, float]:
        """Returns P(goal | what was observed) of a memory, an entry of what `act_with_memory` returned."""
        percept, belief, _ = memory
        problem = self.problem
        here = problem.mixed.order[problem.mixed.members(percept)]
        found = np.bincount(problem.mind_of[here], belief, len(problem.minds))
        return {getattr(mind, "wants", g): float(p) for g, (mind, p) in enumerate(zip(problem.minds, found))}

    def _believed(self, observation: Array, memory: Any) -> tuple[int, Array]:
        problem = self.problem
        percept = problem.percept_of(observation)
        if percept < 0:
            raise UsageError(
                f"{self.name} observes {np.asarray(observation).tolist()}",
                expected=f"what a state of {self.world.name} shows player {self.player}",
            )
        if memory is None:
            return percept, problem.mixed.start(percept)
        before, belief, action = memory
        return percept, problem.mixed.update(before, belief, action, percept)

    def state_dict(self) -> State:
        """Returns the random state; what was planned is planned again."""
        return {"rng": rng_state(self._rng)}

    def load_state_dict(self, state: State) -> None:
        """Goes on from `state_dict()`."""
        restore_rng(self._rng, state["rng"])
