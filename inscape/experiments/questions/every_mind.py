"""One law, every mind: what each kind of agent is worth, exactly; what it knows; what an observer takes it for.

The law of a world is read five ways here. It is enumerated and solved (the optimum, with its certificate), it is
evaluated with each agent's policy (value and regret, exact), it is stepped through (100,000 episodes, which must come
to the same value), what agents have learned of it is compared with it (bits), and minds plan in it, as which an
observer considers each agent.
"""

from __future__ import annotations

import functools
import math
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from inscape.errors import MissingLawError, UsageError

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task
    from inscape.envs.world import World
    from inscape.theory_of_mind.observers.exact import ExactObserver
    from inscape.world_models.tabular.model import TabularModel

EPISODES = 100_000
"""Episodes that the exact value is compared with."""
WATCHED = 10
"""Episodes that the observer watches."""
ASKED = 64
"""How often an agent is asked in every state that answers differently when asked again."""
LAPSE = 0.02
"""Share of steps in which every mind considered takes any legal action: nothing is impossible."""
KINDS = ("random", "short-sighted", "noisy", "optimal")
"""Kinds of mind that the observer considers for each goal."""
AHEAD = 2
"""Steps that a short-sighted mind looks ahead."""

STATED, SAME, SEARCH, DRAWN, MEAN = range(5)
READINGS = {
    STATED: "states its probabilities, the same when asked again",
    SAME: "took the same action each time it was asked",
    SEARCH: "one search in every state; its random numbers follow from seed and observation, so that it is the search "
    "it makes there when it acts",
    DRAWN: "frequencies of 200 actions drawn in every state",
    MEAN: f"answers differently when asked again: the mean of {ASKED} stated distributions",
}
"""How a policy was read off in every state: what `every_mind_measures` returns as `reading`."""


@dataclass(frozen=True)
class CertifiedValue:
    """What a policy is worth from the initial states, and what it loses, each with bounds that are certain.

    Attributes:
        value: V^π; `value_error` bounds how far it is off, rounding included.
        optimum: V*; `optimum_error` likewise, of value iteration.
        random: value of uniform play.
    """

    value: float
    value_error: float
    optimum: float
    optimum_error: float
    random: float

    @property
    def regret(self) -> float:
        """V* − V^π, at least 0."""
        return max(0.0, self.optimum - self.value)

    @property
    def bounds(self) -> tuple[float, float]:
        """Between which the regret is: no policy is better than the best one, so that neither is below 0."""
        error = self.value_error + self.optimum_error
        return max(0.0, self.optimum - self.value - error), max(0.0, self.optimum - self.value + error)

    @property
    def share(self) -> float:
        """Regret as a share of what the optimum is above uniform play; 0 where that is nothing."""
        gain = self.optimum - self.random
        return self.regret / gain if gain > 1e-12 else 0.0


def certified_value(world: World, policy: np.ndarray, gamma: float | None = None) -> CertifiedValue:
    """Returns a policy's exact value and the optimum, with certificates of both.

    Args:
        world: of one player, enumerable.
        policy: `[S, A]` probabilities, states numbered as `world.dynamics().states`.
        gamma: discount; None for the world's.

    Raises:
        MissingLawError: the world cannot be enumerated.
        UsageError: the policy is not one; gamma out of range, or 1.

    Source: the certificate: Bertsekas (2012), "Dynamic Programming and Optimal Control" II, section 2.2; of a policy it
        is that of the law with this one choice.
    """
    from inscape.world_models.planning.dynamic_programming import check_policy, solve_problem
    from inscape.world_models.planning.problem import Problem

    gamma = world.gamma if gamma is None else gamma
    if not 0.0 <= gamma < 1.0:
        raise UsageError(f"certified values with gamma = {gamma}", expected="a discount below 1")
    table, optimum, error, random = _solved(world, gamma)
    problem = Problem.of_policy(table, gamma, check_policy(table, np.asarray(policy, np.float64)))
    found = solve_problem(problem, 1e-10, 1_000_000)
    rounding = len(found.values) * np.finfo(np.float64).eps * float(np.abs(found.values).max(initial=0.0))
    value = float(table.initial @ found.values)
    return CertifiedValue(value, found.error_bound + rounding, optimum, error, random)


def _solved(world: World, gamma: float) -> tuple[TabularModel, float, float, float]:
    """Returns a world's tables, its optimum with the bound on its error, and the value of uniform play; kept for agents
    that are judged one after another in one world."""
    from inscape.world_models.planning.dynamic_programming import policy_evaluation, value_iteration
    from inscape.world_models.tabular.model import TabularModel

    for known, discount, found in _known:
        if known is world and discount == gamma:
            return found
    table = TabularModel.from_world(world)
    solution = value_iteration(table, gamma, 1e-10)
    rounding = table.num_states * np.finfo(np.float64).eps * float(np.abs(solution.values).max(initial=0.0))
    random = float(table.initial @ policy_evaluation(table, _uniform(world), gamma))
    found = table, float(table.initial @ solution.values), solution.error_bound + rounding, random
    _known.appendleft((world, gamma, found))
    return found


_known: deque[tuple[World, float, tuple[TabularModel, float, float, float]]] = deque(maxlen=4)


def read_policy(agent: Any, task: Task) -> tuple[np.ndarray, int]:
    """Returns `([S, A] probabilities, reading)`: what an agent does in every state, and how that was found out.

    Raises:
        UsageError, MissingLawError: as `runs.evaluation.policy_table`.
    """
    from inscape.experiments.runs.evaluation import policy_table

    policy, drawn = policy_table(agent, task)
    if drawn:
        return policy, DRAWN
    if not callable(getattr(agent, "action_log_probs", None)):
        return policy, SAME
    again, _ = policy_table(agent, task)
    if np.abs(again - policy).max() > 1e-9:
        return np.mean([policy, again, *(policy_table(agent, task)[0] for _ in range(ASKED - 2))], axis=0), MEAN
    return policy, SEARCH if callable(getattr(getattr(agent, "planner", None), "plan", None)) else STATED


def every_mind_measures(agent: Any, task: Task, seed: int) -> dict[str, Any]:
    """Returns what an agent is worth, exactly and played; what it wastes in bits; what an observer takes it for.

    Returns:
        `score` and `value`: V^π at the start; `optimum`, `regret`, and `regret_low`, `regret_high`, between which it
        is for certain; `share`: regret over V* − random play; `played`: mean discounted return of `EPISODES` episodes,
        `error` its standard error (exact too), `z` how many of these the mean is off; `reading`: a key of `READINGS`;
        `states`; where the agent has a model of its own, `bits`: what it wastes a step, over all states and actions
        alike; `as KIND`: posterior probability of each kind of mind, `goal`: of the goal that it was trained for, where
        several are considered; `bits_action`: of the observer's predictions; and two arrays `[S, A]`: `policy`, a share
        `LAPSE` of which is any legal action, and `counts`, what it did in the episodes watched.

    Raises:
        MissingLawError: the world cannot be enumerated.
        UsageError: the agent remembers; the world hides its state, or has γ = 1.
    """
    from inscape.experiments.runs.evaluation import hides_state
    from inscape.world_models.planning.policy_play import play_policy, return_deviation

    world = task.world
    if world is None:
        raise MissingLawError(f"{task.name} has no law", expected="a world that can be enumerated")
    if hides_state(world):
        raise UsageError(f"{task.name} hides its state", expected="a world whose state is observed")
    policy, reading = read_policy(agent, task)
    exact = certified_value(world, policy)
    played = play_policy(world, policy, EPISODES, 1_000 + seed)
    error = return_deviation(world, policy, world.gamma) / math.sqrt(EPISODES)
    low, high = exact.bounds
    found = {
        "score": exact.value, "value": exact.value, "optimum": exact.optimum, "regret": exact.regret,
        "regret_low": low, "regret_high": high, "share": exact.share,
        "played": played.mean, "error": error, "z": _finite(played.deviations(exact.value, error)),
        "reading": float(reading), "states": float(len(policy)),
        "policy": (1.0 - LAPSE) * policy + LAPSE * _uniform(world),
    }  # fmt: skip
    return found | _bits(agent, world) | _observed(agent, task, seed)


def _uniform(world: World) -> np.ndarray:
    legal = world.dynamics().legal
    return np.asarray(legal / np.maximum(1, legal.sum(axis=1, keepdims=True)))


def _finite(z: float) -> float:
    return float(np.clip(z, -1e9, 1e9))  # what is off without any deviation is off by more than any number of errors


def _bits(agent: Any, world: World) -> dict[str, float]:
    from inscape.world_models.scoring.exact import exact_bits
    from inscape.world_models.tabular.counts import LearnedTabularModel

    model = getattr(agent, "model", None)
    if not isinstance(model, LearnedTabularModel):
        return {}
    found = exact_bits(model, world)
    return {"entropy": found.entropy, **({"bits": found.excess} if np.isfinite(found.excess) else {})}


# ---------------------------------------------------------------------------------------------------------- observer


def _observed(agent: Any, task: Task, seed: int) -> dict[str, Any]:
    """Returns what the observer of goals and kinds believes after some of the agent's episodes."""
    from inscape.agents.rollout import rollout
    from inscape.experiments.runs.loop import EVALUATION_SEED

    observer, wanted, kinds = _observer(task.world)
    observer.reset()
    bits: list[float] = []
    counts = np.zeros(observer.dynamics.legal.shape, np.int64)
    for episode in rollout(agent, task, WATCHED, EVALUATION_SEED + seed):
        if len(episode):
            numbered = observer.state_indices(episode)
            bits += observer.bits_per_action(numbered).tolist()
            observer.observe(numbered)
            np.add.at(counts, (numbered.states[: len(episode)], numbered.actions), 1)
    posterior = observer.posterior()
    observer.reset()
    found: dict[str, Any] = {"counts": counts}
    found |= {f"as {kind}": float(posterior[[k == kind for k in kinds]].sum()) for kind in KINDS}
    if not wanted.all():
        # a random mind wants nothing: it is counted to no goal
        held = posterior[[k != "random" for k in kinds]]
        mine = posterior[wanted & np.array([k != "random" for k in kinds])]
        found["goal"] = float(mine.sum() / held.sum()) if held.sum() > 0.0 else 0.0
    return found | ({"bits_action": float(np.mean(bits))} if bits else {})


@functools.lru_cache(maxsize=4)
def _observer(world: Any) -> tuple[ExactObserver, np.ndarray, tuple[str, ...]]:
    """Returns the observer of a world, `[G]` whether each of its minds has the world's own goal, and their kinds.

    Rationality is in units of what a choice is worth: β of the noisy mind is 3 over the mean advantage of the best
    action above a random one, under the goal in question.
    """
    from inscape.theory_of_mind import Observer, Planning, PlanningMind, Softmax
    from inscape.theory_of_mind.parts.wanting import fingerprint
    from inscape.world_models.planning.dynamic_programming import value_iteration

    own = fingerprint(world.purpose)
    goals: list[Any] = list(world.goals.values())
    if own not in map(fingerprint, goals):  # one that is named alone is the world's own, said in another way
        goals = [world.purpose, *(goals if len(goals) > 1 else [])]
    minds: list[Any] = [PlanningMind(world.purpose, 0.0, "hard")]
    kinds, wanted = ["random"], [True]
    for goal in goals:
        beta = 3.0 / _advantage(value_iteration(world.with_purpose(goal), world.gamma).q_values)
        minds += [
            PlanningMind(goal, plans=Planning("hard", horizon=AHEAD), chooses=Softmax(1e3 * beta, LAPSE)),
            PlanningMind(goal, plans=Planning("soft-eval"), chooses=Softmax(beta, LAPSE)),
            PlanningMind(goal, plans=Planning("hard"), chooses=Softmax(1e3 * beta, LAPSE)),
        ]
        kinds += KINDS[1:]
        wanted += [fingerprint(goal) == own] * 3
    # kinds alike, and goals alike in each
    prior = np.array([1.0 if kind == "random" else 1.0 / len(goals) for kind in kinds])
    return Observer(world, minds, prior / prior.sum()), np.array(wanted), tuple(kinds)


def _advantage(q_values: np.ndarray) -> float:
    """Returns the mean over states of max Q − mean Q, over legal actions; 1 where all actions are alike."""
    legal = np.isfinite(q_values)
    rows = legal.any(axis=1)
    best = q_values[rows].max(axis=1)
    mean = np.where(legal, q_values, 0.0)[rows].sum(axis=1) / legal[rows].sum(axis=1)
    gain = best - mean
    return float(gain[gain > 1e-12].mean()) if (gain > 1e-12).any() else 1.0
