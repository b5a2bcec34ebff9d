"""Assistance: how to act for somebody whose mind is not known, P(a_helper | s, what the other has done).

The other's mind is part of the hidden state, and its way of acting is fixed: it does not model the helper. Planning
under the posterior over minds is then planning in a partly observed world, and what helping is worth has bounds.

Sources: Fern, Natarajan, Judah & Tadepalli (2014), "A decision-theoretic model of assistance", JAIR 50 (the
assistance POMDP, hidden goal MDPs); Hadfield-Menell, Russell, Abbeel & Dragan (2016), "Cooperative inverse
reinforcement learning", NeurIPS.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from inscape.errors import MissingLawError, UsageError
from inscape.theory_of_mind.assistance.helpers import (
    Ensemble,
    Helper,
    Knowing,
    PlannedHelper,
    QMDPHelper,
    SearchingHelper,
    Waiting,
)
from inscape.theory_of_mind.assistance.tables import counted, purposes_of, stacked
from inscape.theory_of_mind.controllers import Array, check_controller, check_world
from inscape.theory_of_mind.minds import Mind, name_of
from inscape.theory_of_mind.observers.checks import check_gamma, check_minds, check_prior
from inscape.theory_of_mind.player_view import view_of
from inscape.world_models.belief.model import BeliefModel
from inscape.world_models.planning.beliefs.mixed_observability import mixed_point_based
from inscape.world_models.planning.beliefs.mixed_problem import MixedProblem
from inscape.world_models.planning.dynamic_programming import Solution, policy_evaluation, value_iteration

if TYPE_CHECKING:
    from inscape.envs.world import World


@dataclass(frozen=True)
class Assisted:
    """What came of helping, over E episodes.

    Attributes:
        returns: `[E]` discounted sums of what the helper counts.
        lengths: `[E]` steps.
        ended: `[E]` bool: the task itself ended, not the time.
        minds: `[E]` whose mind it was.
    """

    returns: Array
    lengths: Array
    ended: Array
    minds: Array

    @property
    def mean(self) -> float:
        """Mean return."""
        return float(self.returns.mean())

    @property
    def standard_error(self) -> float:
        """Of the mean return."""
        return float(self.returns.std(ddof=1) / np.sqrt(len(self.returns))) if len(self.returns) > 1 else np.inf


@dataclass(frozen=True, eq=False)
class AssistanceProblem:
    """A helper beside somebody whose mind is one of G.

    Attributes:
        world: a world of two players.
        minds: the G minds the other may have, and
        prior: `[G]` how likely each is.
        human, helper: which player is helped, and which one helps.
        gamma: discount.
        model: beliefs over X joint states (mind, memory, world state), with the helper's actions.
        mind_of, memory_of, state_of: `[X]` the parts of each joint state; states by number in `world.dynamics()`.
    """

    world: World
    minds: tuple[Mind, ...]
    prior: Array
    human: int
    helper: int
    gamma: float
    model: BeliefModel
    mind_of: Array
    memory_of: Array
    state_of: Array

    @cached_property
    def mixed(self) -> MixedProblem:
        """The problem with states grouped by what the helper observes."""
        return MixedProblem.of(self.model, self.gamma)

    @cached_property
    def known(self) -> Solution:
        """Values of a helper that knows the other's mind (and all else that it does not see): an upper bound."""
        return value_iteration(self.model.tables, self.gamma, 1e-9)

    @property
    def knowing_value(self) -> float:
        """What a helper that knew the other's mind would be worth at the start."""
        return float(self.model.tables.initial @ self.known.values)

    def percept_of(self, observation: Any) -> int:
        """Returns the number of what the helper observes; −1 for what it never does."""
        return int(self._percepts.get(np.ascontiguousarray(observation, np.float64).tobytes(), -1))

    @cached_property
    def _percepts(self) -> dict[bytes, int]:
        seen = np.asarray(self.world.observe(self.world.dynamics().states, player=self.helper), np.float64)
        percepts = self.model.filter.percepts
        found: dict[bytes, int] = {}
        # the first memory of the first mind has every state
        for x, s in enumerate(self.state_of[: len(seen)].tolist()):
            found.setdefault(seen[s].tobytes(), int(percepts[x]))
        return found

    def solve(self, tolerance: float = 1e-3, max_seconds: float = 30.0, max_trials: int = 1_000_000) -> PlannedHelper:
        """Returns the helper of bounds that close: it earns at least `lower`, and nobody more than `upper`.

        Args:
            tolerance: the gap between the bounds to reach, in units of reward.
            max_seconds, max_trials: stops after these; `gap` then says how far it got.
        """
        return PlannedHelper(self, mixed_point_based(self.model, self.gamma, tolerance, max_seconds, max_trials))

    def qmdp(self) -> QMDPHelper:
        """Returns the baseline that acts as if it knew the other's mind from the next step on: it never asks.

        Source: Littman, Cassandra & Kaelbling (1995), ICML.
        """
        return QMDPHelper(self)

    def search(self, num_simulations: int = 2_000, seed: int = 0) -> SearchingHelper:
        """Returns a helper that searches from its belief at every step (`POMCP`), for what is too large to solve."""
        return SearchingHelper(self, num_simulations, seed)

    def sample(self, num_samples: int = 32, seed: int = 0) -> Ensemble:
        """Returns a helper that votes: the best action for each of some minds drawn from its posterior."""
        return Ensemble(self, num_samples, seed)

    def waiting(self, action: int | str | None = None) -> Waiting:
        """Returns the helper that does not help: it takes one action for ever ('stay', 'wait', 'look', 'noop')."""
        return Waiting(self, action)

    def knowing(self) -> Knowing:
        """Returns the helper that knows the other's mind, for `simulate`: nobody can do better."""
        return Knowing(self)

    def waiting_value(self, action: int | str | None = None) -> float:
        """Returns what the start is worth without help."""
        policy = np.eye(self.world.num_actions)[self.waiting(action).choices]
        return float(self.model.tables.initial @ policy_evaluation(self.model.tables, policy, self.gamma))

    def simulate(
        self, helper: Helper | Knowing, episodes: int, rng: np.random.Generator | int, max_steps: int | None = None
    ) -> Assisted:
        """Returns what comes of a helper beside minds drawn from the prior.

        Args:
            helper: what `solve`, `qmdp`, … return.
            episodes: how many.
            rng: random generator, or a seed; with the same seed, helpers meet the same minds, with the same random
                numbers, so that their differences have less noise.
            max_steps: steps after which an episode is cut off; None: the world's time limit, or 1,000.
        """
        if isinstance(episodes, bool) or not isinstance(episodes, (int, np.integer)) or episodes < 1:
            raise UsageError(f"episodes = {episodes!r}", expected="a whole number, 1 or more")
        seeds = np.random.default_rng(rng).integers(2**63, size=episodes)
        limit = max_steps or self.world.max_episode_steps or 1_000
        tables, percepts = self.model.tables, self.model.filter.percepts
        found = [self._episode(helper, limit, np.random.default_rng(s), tables, percepts) for s in seeds]
        returns, lengths, ended, minds = (np.array(column) for column in zip(*found))
        return Assisted(returns, lengths, ended, minds)

    def _episode(
        self, helper: Any, limit: int, rng: np.random.Generator, tables: Any, percepts: Array
    ) -> tuple[float, int, bool, int]:
        x = int(rng.choice(len(tables.initial), p=tables.initial))
        mind, total, discount, steps, goes_on = int(self.mind_of[x]), 0.0, 1.0, 0, not tables.terminal[x]
        knows = isinstance(helper, Knowing)
        belief = self.mixed.start(int(percepts[x])) if goes_on and not knows else np.zeros(0)
        while goes_on and steps < limit:
            o = int(percepts[x])
            action = int(helper.choices[x]) if knows else helper.act(o, belief)
            k = int(rng.choice(tables.probability.shape[2], p=tables.probability[x, action]))
            total += discount * float(tables.reward[x, action, k])
            discount *= self.gamma
            steps += 1
            following = int(tables.next_state[x, action, k])
            goes_on = rng.random() < tables.continuation[x, action, k]
            if goes_on and not knows:
                belief = self.mixed.update(o, belief, action, int(percepts[following]))
            x = following
        return total, steps, not goes_on, mind


def assistance_problem(
    world: World,
    minds: Sequence[Mind],
    prior: ArrayLike | None = None,
    *,
    human: int = 0,
    helper: int | None = None,
    gamma: float | None = None,
    counts: Mapping[int, float] | None = None,
) -> AssistanceProblem:
    """Returns the problem of helping a player whose mind is one of the given ones.

        problem = assistance_problem(world, minds_grid(world.goals, [20.0], ["hard"]))
        helper = problem.solve()
        print(helper.lower, helper.upper)

    How each mind acts is fixed and known, its controller; it takes no account of what the helper knows. What is hidden
    is whose mind it is (and what it remembers, and what the world hides from the helper).

    Args:
        world: a world of two players that can be enumerated.
        minds: the minds the other may have; each has `wants`, whose rewards then count.
        prior: `[G]` probabilities of the minds; None: those of a `MindGrid`, else uniform.
        human, helper: numbers of the players; `helper` None: the other one.
        gamma: discount below 1; None: the world's.
        counts: `{player: weight}` whose rewards the helper counts; None: the human's alone.

    Raises:
        MissingLawError: the world cannot be enumerated, or has not two players.
        UsageError: no minds; a prior that is none; gamma is 1 or out of range; a mind that pursues goals in turn or
            does not say what it wants; no such player.
    """
    check_world(world)
    if world.players != 2:
        raise MissingLawError(
            f"assistance in {world.name}, which has {world.players} players",
            expected="a world of two: who is helped, and who helps", hint="DoorHelper, HouseholdHelper",
        )  # fmt: skip
    helper = 1 - human if helper is None and human in (0, 1) else helper
    if not (human in (0, 1) and helper in (0, 1) and human != helper):
        raise UsageError(f"human = {human!r}, helper = {helper!r}", expected="0 and 1, or 1 and 0")
    hypotheses = check_minds(minds)
    weights = check_prior(prior, hypotheses, getattr(minds, "prior", None))
    discount = check_gamma(world.gamma if gamma is None else gamma)
    if discount == 1.0:
        raise UsageError("gamma = 1 for assistance", expected="gamma < 1", hint="gamma=0.99")
    view: Any = view_of(world, human)
    counts_of = counted(counts, human, world.players)
    controllers = [check_controller(mind.controller(world, human), view, name_of(mind)) for mind in hypotheses]
    purposes = [purposes_of(mind, view, c.num_memories) for mind, c in zip(hypotheses, controllers)]
    name = f"{world!r} for a helper of one of {len(hypotheses)} minds"
    tables, mind_of, memory_of, state_of = stacked(view, helper, controllers, purposes, weights, counts_of, name)
    seen = np.asarray(world.observe(world.dynamics().states, player=helper))
    model = BeliefModel(tables, seen[state_of])
    return AssistanceProblem(
        world, hypotheses, weights, int(human), int(helper), discount, model, mind_of, memory_of, state_of
    )
