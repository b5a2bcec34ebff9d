"""Exact evaluation: an agent's policy as a table, its value by policy evaluation, its regret against the optimum.

Agreement: the value found here is what `inscape.agents.rollout.evaluate` estimates by playing, up to the time limit,
which is part of the environment and not of the law.
"""

from __future__ import annotations

import functools
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from inscape.agents.interface import can_remember, can_score
from inscape.agents.registry import make_agent
from inscape.agents.vector_actor import check_actions
from inscape.envs.tasks.resolve import as_task
from inscape.errors import MissingLawError, PartialObservationError, TooManyStatesError, UsageError

if TYPE_CHECKING:
    from inscape.envs.tasks.resolve import Given
    from inscape.envs.tasks.task import Task
    from inscape.envs.world import World
    from inscape.world_models.planning.dynamic_programming import Solution
    from inscape.world_models.tabular.model import TabularModel

SAMPLES = 200
"""Actions drawn per state where an agent does not say its probabilities."""

MAX_STATES = 200_000

PROBES, PROBE_STEPS = 32, 12


@dataclass(frozen=True)
class ExactEvaluation:
    """What an agent is worth at the start, and what it could have been.

    Attributes:
        value: V^π, expected over the initial states.
        optimum: V*, the same; of one who sees the state, whatever the agent observes.
        error_bound: certifies that `optimum` is off by at most this much.
        gamma: the discount of both.
        sampled: the policy was estimated from drawn actions, because the agent does not say its probabilities.
        hidden: what is observed does not determine the state, so that perhaps no agent that acts on observations can
            reach `optimum`.
    """

    value: float
    optimum: float
    error_bound: float
    gamma: float
    sampled: bool
    hidden: bool = False

    @property
    def regret(self) -> float:
        """V* − V^π, not below 0 but for the error bound. Where states are `hidden`, part of it is not the agent's."""
        return self.optimum - self.value


def exact_value(agent: Any, task: Given, gamma: float | None = None) -> ExactEvaluation:
    """Returns the value of an agent's policy and its regret, both without sampling episodes.

    Args:
        agent: an agent, by name or in hand, whose actions depend on the observation alone.
        task: a world of one player that can be enumerated, or what stands for it (`resolve_task`).
        gamma: discount; None for the world's.

    Raises:
        MissingLawError: the task has no law, or one that cannot be enumerated; or it has several players.
        UsageError: the world has more states than can be tabulated, or the agent an illegal action.
    """
    from inscape.world_models.planning.dynamic_programming import policy_evaluation

    task = as_task(task)
    world = _enumerable(task)
    gamma = world.gamma if gamma is None else gamma
    policy, sampled = policy_table(agent, task)
    model, solution, hidden = _solved(world, gamma)
    values = policy_evaluation(model, policy, gamma)
    return ExactEvaluation(
        float(model.initial @ values),
        float(model.initial @ solution.values),
        solution.error_bound,
        gamma,
        sampled,
        hidden,
    )


def _solved(world: World, gamma: float) -> tuple[TabularModel, Solution, bool]:
    """Returns an enumerable world's tables, their solution, and whether it hides its state; kept for a while, for
    agents that are evaluated one after another in one world."""
    from inscape.world_models.planning.dynamic_programming import value_iteration
    from inscape.world_models.tabular.model import TabularModel

    for known, discount, found in _known:
        if known is world and discount == gamma:
            return found
    model = TabularModel.from_world(world)
    found = model, value_iteration(model, gamma, tolerance=1e-8), hides_state(world)
    _known.appendleft((world, gamma, found))
    return found


_known: deque[tuple[World, float, tuple[TabularModel, Solution, bool]]] = deque(maxlen=2)


def hides_state(world: World) -> bool:
    """Returns whether states look alike to the acting agent: by enumeration, or where there are too many states as far
    as a little random play shows."""
    from inscape.agents.planners.value_iteration import require_seen_state

    try:
        require_seen_state(world, "the acting agent")
    except PartialObservationError:
        return True
    except TooManyStatesError:
        return looks_alike(world)
    return False


@functools.lru_cache(maxsize=16)
def looks_alike(world: World) -> bool:
    """Returns whether different states look alike to the acting agent, as far as a little random play shows.

    A world whose observation is the state, or that defines `state_of`, hides nothing.
    """
    observes = world.law_function("observation") is not None or world.is_wide()
    if not observes or world.law_function("state_of") is not None or world.simultaneous:
        return False
    rng, looks = np.random.default_rng(0), dict[tuple[int, bytes], bytes]()
    states = world.sample_initial(PROBES, rng, compiled=False)
    for _ in range(PROBE_STEPS):
        seen, movers = world.observe(states, compiled=False), world.mover_of(states, compiled=False)
        for k, key in enumerate(states.keys()):
            if looks.setdefault((int(movers[k]), np.ascontiguousarray(seen[k]).tobytes()), key) != key:
                return True
        if world.continuous:
            actions = rng.uniform(world.action_low, world.action_high, (len(states), len(world.action_low)))
        else:
            legal = world.legal_actions(states, compiled=False)
            actions = np.argmax(legal * (1 + rng.random(legal.shape)), axis=1)
        following, _, ended = world.step(states, actions, rng, compiled=False)
        states = following[~ended]  # an end looks like whatever it looks like: nobody acts there
        if not len(states):
            break
    return False


def policy_table(agent: Any, task: Task, samples: int = SAMPLES) -> tuple[np.ndarray, bool]:
    """Returns `([S, A] probabilities, sampled)`: the agent's policy in every state of an enumerable world.

    Where the agent does not say its probabilities, each state's row is the frequencies of `samples` drawn actions (one
    is enough if the first few agree in every state). Rows of terminal states are uniform over the legal actions.

    Raises:
        MissingLawError: the task has no law, or one that cannot be enumerated; or it has several players.
        UsageError: an action out of range or illegal; or the agent remembers, and so has no such table.
    """
    agent, world = make_agent(agent, task), _enumerable(task)
    if can_remember(agent):
        raise UsageError(
            f"{agent.name} remembers: what it does in a state depends on how it came there",
            expected="an agent whose actions depend on the present observation alone",
            hint="the mean over episodes is what there is: inscape evaluate",
        )
    law = world.dynamics(max_states=MAX_STATES)
    terminal = world.terminal_of(law.states)
    policy = law.legal / np.maximum(1, law.legal.sum(axis=1, keepdims=True))
    if terminal.all():
        return policy, False
    asked = np.flatnonzero(~terminal)
    observations = world.observe(law.states[asked])
    masks = law.legal[asked] if world.law_function("legal") is not None else None
    stated = _stated(agent, observations, masks)
    if stated is not None:
        policy[asked] = stated
        return policy, False
    policy[asked], sampled = _drawn(agent, task, observations, masks, samples)
    return policy, sampled


def _stated(agent: Any, observations: np.ndarray, masks: np.ndarray | None) -> np.ndarray | None:
    """Returns the `[B, A]` probabilities an agent says it acts with, or None."""
    if not can_score(agent):
        return None
    probabilities = np.exp(np.asarray(agent.action_log_probs(observations, masks), np.float64))
    total = probabilities.sum(axis=1, keepdims=True)  # single precision sums to one only within 1e-7
    if np.abs(total - 1).max() > 1e-3:
        raise UsageError(
            f"the probabilities of {agent.name} sum to {float(total[np.abs(total - 1).argmax()][0]):.6g}",
            expected="1",
            hint="inscape check on the agent",
        )
    return np.asarray(probabilities / total)


def _drawn(
    agent: Any, task: Task, observations: np.ndarray, masks: np.ndarray | None, samples: int
) -> tuple[np.ndarray, bool]:
    rows = np.arange(len(observations))
    counts = np.zeros((len(observations), int(task.action_space.n)))  # type: ignore[attr-defined]
    for drawn in range(samples):
        answer = agent.act(observations, masks)
        actions = check_actions(answer, task.action_space, rows, agent=agent.name, step=0, action_mask=masks)
        counts[rows, actions] += 1
        if drawn == 7 and (counts.max(axis=1) == drawn + 1).all():
            return counts / counts.sum(axis=1, keepdims=True), False
    return counts / counts.sum(axis=1, keepdims=True), True


def _enumerable(task: Task) -> World:
    if task.world is None:
        raise MissingLawError(
            f"{task.name} has no law to evaluate with",
            expected="a built-in world, or a World in a file",
            hint="the mean over episodes is what there is: inscape evaluate",
        )
    if task.world.players > 1:
        raise MissingLawError(
            f"{task.name} has {task.world.players} players, and what one is worth depends on the others",
            expected="a world of one player",
            hint="the means over episodes are what there is: inscape evaluate AGENT,AGENT WORLD",
        )
    task.world.require_enumerable("exact evaluation")
    return task.world
