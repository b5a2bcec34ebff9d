"""What the parts of a study share: the world, its exact solution, the plan of the budget, the trials, a memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from inscape.errors import MissingLawError, TooManyStatesError, UsageError

if TYPE_CHECKING:
    from inscape.agents.interface import Agent
    from inscape.envs.data.trajectory import Trajectory
    from inscape.envs.tasks.task import Task
    from inscape.envs.world import World
    from inscape.experiments.studies.budget import Budget
    from inscape.experiments.trials.results import Results
    from inscape.experiments.trials.trial import TrialResult
    from inscape.world_models.planning.dynamic_programming import Solution
    from inscape.world_models.tabular.model import TabularModel

TIES = 1e-6
"""Actions whose values differ by less, relative to their size, are both optimal."""

MOST_STATES = 20_000
"""States up to which a study works with tables."""


@dataclass
class StudyContext:
    """A study in progress.

    Attributes:
        task: what is studied.
        folder: where it is kept.
        seed: of everything random.
        budget: the minutes, and what they were planned for.
        say: tells the user what goes on.
        jobs: worker processes.
        results: of the trained and the searching agents, once they have run.
        facts: what parts found, for the summary, in order.
        notes: what was left out, and why.
    """

    task: Task
    folder: Path
    seed: int
    budget: Budget
    say: Callable[[str], None]
    jobs: int = 1
    results: Results | None = None
    facts: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def world(self) -> World | None:
        """The world, where the task has a law."""
        return self.task.world

    @cached_property
    def hidden(self) -> bool:
        """Whether what is observed does not determine the state."""
        from inscape.experiments.runs.evaluation import hides_state

        return self.world is not None and self.world.players == 1 and hides_state(self.world)

    @cached_property
    def why_no_table(self) -> str:
        """Why the world cannot be tabulated; "" where it can."""
        world = self.world
        if world is None:
            return "it has no law"
        if world.continuous:
            return "its actions are continuous"
        try:
            size = len(world.dynamics(max_states=MOST_STATES))
        except (MissingLawError, TooManyStatesError, UsageError) as error:
            return str(error).splitlines()[0]
        return "" if size <= MOST_STATES else f"it has {size:,} states"

    @cached_property
    def table(self) -> TabularModel | None:
        """The world as tables; None where it has several players or cannot be tabulated."""
        from inscape.world_models.tabular.model import TabularModel

        if self.why_no_table or self.world is None or self.world.players > 1:
            return None
        return TabularModel.from_world(self.world)

    @cached_property
    def solution(self) -> Solution | None:
        """The exact solution for one who sees the state; None where there is no table."""
        from inscape.world_models.planning.dynamic_programming import Solution
        from inscape.world_models.planning.solve import solve

        if self.table is None or self.world is None:
            return None
        try:
            found = solve(self.table, self.world.gamma)
        except UsageError as error:
            self.notes.append(f"No exact optimum: {str(error).splitlines()[0]}.")
            return None
        return found if isinstance(found, Solution) else None

    def agent_of(self, result: TrialResult) -> Agent:
        """Returns the agent of a trial: from its run, or made again where it does not learn."""
        from inscape.agents.registry import make_agent
        from inscape.experiments.runs.resuming import load_agent
        from inscape.experiments.trials.execute import RUNS

        if result.run:
            return load_agent(self.folder / "trials" / RUNS / result.run)[0]
        spec = next(row for row in self.budget.rows if row.label == result.agent)
        return make_agent(spec.agent, self.task, seed=result.seed, settings=spec.settings or None)

    @cached_property
    def policies(self) -> dict[str, np.ndarray]:
        """For each agent of the best seed that has one, its policy, `[S, A]`, where the world can be tabulated."""
        from inscape.experiments.runs.evaluation import policy_table

        found: dict[str, np.ndarray] = {}
        if self.table is None or self.hidden:
            return found
        for result in self.best_trials:
            row = next(row for row in self.budget.rows if row.label == result.agent)
            if row.seconds_a_decision * self.table.num_states > MOST_SECONDS_A_TABLE:
                continue
            try:
                found[result.agent] = policy_table(self.agent_of(result), self.task)[0]
            except UsageError as error:
                self.notes.append(f"No table of {result.agent}: {str(error).splitlines()[0]}.")
        return found

    @cached_property
    def best_trials(self) -> list[TrialResult]:
        """Of each agent its trial with the highest score, in the order of the agents."""
        best: dict[str, Any] = {}
        for result in self.results or ():
            if result.finished and (result.agent not in best or result.score > best[result.agent].score):
                best[result.agent] = result
        return list(best.values())

    @cached_property
    def episodes(self) -> dict[str, list[Trajectory]]:
        """For each agent, a few episodes of its best trial."""
        from inscape.agents.rollout import rollout
        from inscape.experiments.runs.loop import EVALUATION_SEED, evaluated_casts

        found = {}
        for result in self.best_trials:
            agent = self.agent_of(result)
            cast, _ = evaluated_casts(agent, self.task, EVALUATION_SEED + result.seed)[0]
            row = next(row for row in self.budget.rows if row.label == result.agent)
            found[result.agent] = rollout(cast, self.task, min(EPISODES, row.final_episodes), EVALUATION_SEED)
        return found


EPISODES = 4
"""Episodes of each agent that are observed; the best of them is shown."""

MOST_SECONDS_A_TABLE = 15.0
"""Time up to which a planner is asked what it does in every state."""
