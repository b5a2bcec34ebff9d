"""The agent that plans: tree search over a model, known or learned, at every decision.

With `model="known"` it simulates in the world's own law (never in the environment's copy, nor with its random numbers).
With `model="tabular"` it first has to learn one: `learn` gathers episodes in rounds and refits, going where little is
known.

Sources: search: see `inscape.world_models.planning.tree_search.uct`; learning by rounds of acting, fitting and
planning: Sutton (1991), "Dyna", SIGART Bulletin 2(4); the bonus b/√n that draws it to rare actions: Strehl & Littman
(2008), "An analysis of model-based interval estimation for Markov decision processes", JCSS 74(8), section 3 (MBIE-EB).
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import gymnasium
import numpy as np

from inscape.agents.acting import choice_log_probs, sample_actions
from inscape.agents.interface import Agent, Metrics
from inscape.agents.learning.settings_checks import require_counts, require_shares, require_weights
from inscape.agents.planners.value_iteration import ONE_OF_YOUR_OWN, known_law, unseen_state
from inscape.envs.tasks.shared_policy import PlayersTask
from inscape.errors import PartialObservationError, UsageError
from inscape.rng import restore_rng, rng_state
from inscape.world_models.interface import num_actions
from inscape.world_models.known import KnownModel
from inscape.world_models.networks.types import Array, State
from inscape.world_models.planning.dynamic_programming import value_iteration
from inscape.world_models.planning.interface import Plan
from inscape.world_models.planning.tree_search.settings import TreeSearchSettings
from inscape.world_models.planning.tree_search.uct import UCT
from inscape.world_models.tabular.counts import LearnedTabularModel

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task
    from inscape.envs.world import World
    from inscape.world_models.tabular.model import TabularModel


@dataclass(frozen=True)
class MCTSSettings(TreeSearchSettings):
    """Settings of the planning agent, with those of its search."""

    model: Literal["known", "tabular"] = "known"
    """What it simulates in: the world's own law, or a table of counts learned from its own episodes."""
    gamma: float | None = None
    """Discount per step; None for the world's own (0.99 for other environments)."""
    # Values, because visits are spread for the sake of the search. Mean regret over 12 seeds at 100, 200, 500 and 1,000
    # simulations (benchmarks/search_choice.py), most: always the most visited action:
    #   FrozenLake  values 0.0049 0.0008 0 0, visits 0.0080 0.0059 0.0029 0.0016, most 0.0045 0.0045 0.0003 0
    #   TicTacToe   values 0.10 0.07 0.01 0.001, visits 0.31 0.24 0.15 0.10, most 0.11 0.07 0.02 0.001
    choice: Literal["values", "visits", "most-visited"] = "values"
    """What it acts on: the searched action values (greedily, or with beta); the most visited action (one that is proven
    collects no more visits, and is taken if its value is no less), which chooses worse from few simulations; or in
    proportion to the visit counts, which explores."""
    beta: float | None = None
    """Rationality on the action values, P(a|s) ∝ exp(beta·Q); None acts greedily."""
    cache: int = 1000
    """Searches kept, for decisions at the same observation and for overlays. A search depends on the observation and
    the seed alone, so what is kept changes speed and memory, not actions."""
    episodes_per_round: int = 8
    """Learning the model: episodes gathered between two refits."""
    epsilon: float = 0.1
    """Learning the model: probability of a random action while gathering."""
    bonus: float = 0.03
    """Learning the model: weight of the reward b/√n for what was tried n times, in units of the range of rewards."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_counts(self, "cache", "episodes_per_round")
        require_shares(self, "epsilon")
        require_weights(self, "bonus")


class MCTS(Agent):
    """Searches a model at every decision. Players who move in turn each search for themselves.

    Args:
        task: what to act in; actions `Discrete`, counted from 0.
        seed: seed of the searches and of the episodes a model is learned from.
        settings: see `MCTSSettings`.
        model: a world model to plan in instead of the one the settings name (any `WorldModel`).

    Raises:
        MissingLawError: `model="known"` and the task has no law.
        UsageError: the actions are not finite, all players act at once, or a setting is out of range; the model
            filters, so that its states cannot be made of one observation.
    """

    name = "mcts"

    def __init__(self, task: Task, seed: int = 0, settings: MCTSSettings | None = None, model: Any = None) -> None:
        self.settings = settings or MCTSSettings()
        s = self.settings
        if not isinstance(task.action_space, gymnasium.spaces.Discrete):
            raise UsageError(
                f"mcts on {task.name}, whose actions are {task.action_space}",
                expected="a Discrete action space",
                hint="ppo, or sb3:sac for continuous actions",
            )
        if model is None and isinstance(task, PlayersTask):
            raise _plays_at_once(task.whole.name)
        if model is None and task.world is not None and task.world.players > 1:
            _require_turns(task.world, s.model)
        if getattr(model, "filters", False):
            raise UsageError(
                f"mcts with {type(model).__name__}, whose states hold more than the last observation tells",
                expected="a model that takes an observation for the state: each search begins at one",
                hint="UCT(...).plan(model, states, rng), with states from model.init and model.update",
            )
        self.seed, self.steps = seed, 0
        gamma = s.gamma if s.gamma is not None else (task.world.gamma if task.world is not None else 0.99)
        self.planner = UCT.from_settings(s, gamma)
        self._learned: LearnedTabularModel | None = None
        if model is None and s.model == "known":
            model = KnownModel(known_law(task, "mcts with a known model", "--model tabular, which learns one"))
        elif model is None:
            model = self._learned = LearnedTabularModel.for_task(task)
        self.model = model
        self._acting, self._gathering = (np.random.default_rng([seed, k]) for k in range(2))
        self._plans: OrderedDict[bytes, Plan | None] = OrderedDict()

    # ------------------------------------------------------------------------------------------- acting

    def act(self, observation: Array, action_mask: Array | None = None) -> Array:
        return sample_actions(self.action_log_probs(observation, action_mask), self._acting)

    def action_log_probs(self, observation: Array, action_mask: Array | None = None) -> Array:
        """Returns `[B, A]` log-probabilities of the actions as it acts, from one search per row.

        On values: greedy among them, or the choice rule with `beta`; actions the search never tried are never taken
        if another was. On visits: in proportion to the visit counts, or the most visited.
        """
        plans = [self.plan_for(row) for row in np.asarray(observation)]
        mask = np.ones((len(plans), num_actions(self.model, "mcts")), np.bool_) if action_mask is None else action_mask
        log_probs = np.empty(mask.shape)
        for row, plan in enumerate(plans):
            log_probs[row] = self._choice(plan, mask[row])
        return log_probs

    def _choice(self, plan: Plan | None, mask: Array) -> Array:
        tried = mask if plan is None else mask & (plan.visit_counts > 0)
        if plan is None or not tried.any():  # the model takes this state for an end, or knows none of what is legal
            return np.where(mask, -np.log(mask.sum()), -np.inf)
        # a search that ended early has proven its root: of what is proven no more visits are made, and values are exact
        proven = plan.simulations < self.settings.num_simulations and bool(tried[plan.action])
        if self.settings.choice == "most-visited":
            top = plan.action if proven else _most_visited(plan, tried)
            return np.where(np.arange(len(mask)) == top, 0.0, -np.inf)
        if self.settings.choice == "visits":
            with np.errstate(divide="ignore"):
                visits = np.log(np.where(tried, plan.visit_counts, 0))
            return np.asarray(visits - np.log(plan.visit_counts[tried].sum()))
        if self.settings.beta is None and tried[plan.action]:
            # the planner's own way with ties
            return np.where(np.arange(len(mask)) == plan.action, 0.0, -np.inf)
        return np.asarray(choice_log_probs(plan.action_values[None], self.settings.beta, tried[None])[0])

    def plan_for(self, observation: Array) -> Plan | None:
        """Returns the search behind the choice at one observation; None where the model takes it for an end.

        The search's randomness is a function of seed and observation, so that asking again, alone or in a batch, gives
        the same plan.

        Raises:
            PartialObservationError: it searches the known law, and the observation does not determine the state.
        """
        observation = np.asarray(observation)
        key = observation.tobytes()
        if key in self._plans:
            self._plans.move_to_end(key)
            return self._plans[key]
        model = self._search_model()
        try:
            states = model.init(observation[None])
        except PartialObservationError as error:
            if not isinstance(model, KnownModel):
                raise
            raise unseen_state(error, "mcts", model.world) from error
        plan = None
        if not _ends(model, states):
            digest = int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "little")
            plan = self.planner.plan(model, states, np.random.default_rng([self.seed, digest]))[0]
        self._plans[key] = plan
        if len(self._plans) > self.settings.cache:
            self._plans.popitem(last=False)
        return plan

    def _search_model(self) -> Any:
        """Returns what to search: a learned table as fixed tables, which the compiled search reads."""
        return self.model.tabular() if isinstance(self.model, LearnedTabularModel) else self.model

    # ------------------------------------------------------------------------------------------- learning

    def learn(self, task: Task, steps: int) -> Iterator[Metrics]:
        """Learns its model until at least `steps` environment steps in total; yields after each round of episodes.

        With a known model there is nothing to learn and nothing is yielded.
        """
        from inscape.agents.rollout import rollout

        if self._learned is None:
            return
        model = self._learned
        while self.steps < steps:
            explorer = _Explorer(model, self.settings, self.planner.gamma, self._gathering)
            seed = int(self._gathering.integers(2**31))
            episodes = rollout(explorer, task, self.settings.episodes_per_round, seed)
            report = model.fit(episodes)
            self._plans.clear()
            self.steps += report.transitions
            yield {
                "steps": float(self.steps),
                "episode_return": float(np.mean([episode.total_reward for episode in episodes])),
                "episode_length": float(np.mean([len(episode) for episode in episodes])),
                **report.metrics,
                "held_out_bits_per_step": report.held_out_bits_per_step,
                "prequential_bits_per_step": report.prequential_bits_per_step,
            }

    # ------------------------------------------------------------------------------------------- saving

    def state_dict(self) -> State:
        return {
            "steps": self.steps,
            "seed": self.seed,
            "acting": rng_state(self._acting),
            "gathering": rng_state(self._gathering),
            "model": None if self._learned is None else self._learned.state_dict(),
        }

    def load_state_dict(self, state: State) -> None:
        self.steps, self.seed = int(state["steps"]), int(state["seed"])
        restore_rng(self._acting, state["acting"])
        restore_rng(self._gathering, state["gathering"])
        self._plans.clear()
        if state["model"] is not None:
            if self._learned is None:
                raise UsageError(
                    "the stored state holds a learned model, and this agent plans in another",
                    expected='the settings it was stored with: model="tabular"',
                )
            self._learned.load_state_dict(state["model"])


class _Explorer(Agent):
    """Gathers episodes for a learned table: greedy on the solution of the table with a bonus for what is rare."""

    name = "explorer"

    def __init__(
        self, model: LearnedTabularModel, settings: MCTSSettings, gamma: float, rng: np.random.Generator
    ) -> None:
        self._table = model.tabular()
        self._epsilon, self._rng = settings.epsilon, rng
        # γ below 1 also where the task's is 1: the bonus of what was never tried is paid again and again
        curious = with_bonus(self._table, model.tried(), settings.bonus)
        self._values = value_iteration(curious, min(gamma, 0.99), 1e-3).q_values

    def act(self, observation: Array, action_mask: Array | None = None) -> Array:
        values = self._values[self._table.init(observation)]
        legal = np.ones(values.shape, np.bool_) if action_mask is None else action_mask
        random = self._rng.random(len(values)) < self._epsilon
        # a random order breaks ties, of which there are many as long as little is known
        noise = self._rng.random(values.shape)
        best = np.where(legal, values, -np.inf)
        top = legal & (best >= best.max(axis=1, keepdims=True) - 1e-9)
        return np.asarray(np.where(np.where(random[:, None], legal, top), noise, -1.0).argmax(axis=1))


def with_bonus(table: TabularModel, counts: Array, weight: float) -> TabularModel:
    """Returns the tables with `weight · range of rewards / √n` added to the reward of what was tried n times.

    Args:
        table: the model.
        counts: `[S, A]` n.
        weight: b, relative to the range of rewards (1 while all rewards seen were equal).
    """
    spread = float(np.ptp(table.reward)) or 1.0
    bonus = weight * spread / np.sqrt(np.maximum(counts, 0.5))
    bonus = np.where(table.terminal[:, None], 0.0, bonus)
    return dataclasses.replace(table, reward=table.reward + bonus[:, :, None])


def _most_visited(plan: Plan, allowed: Array) -> int:
    """Returns the most visited action; one that is closed, and so collects no more visits, if its value is no less."""
    closed = np.zeros(len(allowed), np.bool_) if plan.tree is None or not len(plan.tree.closed) else plan.tree.closed
    going_on, known = allowed & ~closed, np.where(allowed & closed, plan.action_values, -np.inf)
    most = np.where(going_on, plan.visit_counts, -1)
    top = int(np.where(going_on & (most == most.max()), plan.action_values, -np.inf).argmax())
    best = int(known.argmax())
    return (
        best
        if not going_on.any() or (allowed[best] and closed[best] and known[best] >= plan.action_values[top])
        else top
    )


def _plays_at_once(name: str) -> UsageError:
    return UsageError(
        f"mcts on {name}, whose players act at once",
        expected="a world of one player, or of players who move in turn",
        hint=ONE_OF_YOUR_OWN,
    )


def _require_turns(world: World, model: str) -> None:
    if world.simultaneous:
        raise _plays_at_once(world.name)
    if model == "tabular":
        raise UsageError(
            f"mcts with a learned table on {world.name}, which has {world.players} players",
            expected="a world of one player: the table holds one reward",
            hint="--model known",
        )


def _ends(model: Any, states: Any) -> bool:
    terminal = getattr(model, "terminal_of", None)
    return terminal is not None and bool(np.asarray(terminal(states))[0])
