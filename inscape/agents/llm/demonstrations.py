"""What there is to imitate: states with the actions a planner would take there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from inscape.agents.acting import sample_actions
from inscape.errors import UsageError
from inscape.world_models.planning.choice import boltzmann_log_probs
from inscape.world_models.planning.dynamic_programming import value_iteration
from inscape.world_models.planning.tree_search.uct import UCT

if TYPE_CHECKING:
    from inscape.envs.data.trajectory import Trajectory
    from inscape.envs.law.states import States
    from inscape.envs.tasks.task import Task
    from inscape.envs.world import World

ActionValues = Callable[["States"], NDArray[np.float64]]
TIE = 1e-6
"""Action values closer than this, in units of reward, are equally good."""

MAX_STATES = 200_000
"""Largest world that is solved exactly; beyond it the planner searches."""

MAX_STEPS = 1_000
"""Longest demonstration in a task without a time limit."""


@dataclass(frozen=True, eq=False)
class Demonstrations:
    """N decisions to imitate.

    Attributes:
        observations: `[N, ...]`.
        targets: `[N, A]` probabilities with which the demonstrator takes each action.
        action_masks: `[N, A]` bool, True where legal.
    """

    observations: NDArray[Any]
    targets: NDArray[np.float64]
    action_masks: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.observations)


def from_trajectories(trajectories: Sequence[Trajectory], num_actions: int, first_action: int = 0) -> Demonstrations:
    """Returns the decisions of recorded episodes.

    Raises:
        UsageError: they hold none.
    """
    if not sum(map(len, trajectories)):
        raise UsageError(f"{len(trajectories)} trajectories without a single action", expected="at least one action")
    everything = [
        np.ones((len(t), num_actions), bool) if t.action_masks is None else t.action_masks for t in trajectories
    ]
    actions = np.concatenate([t.actions for t in trajectories]).astype(np.int64) - first_action
    return Demonstrations(
        np.concatenate([t.observations[:-1] for t in trajectories]),
        np.eye(num_actions)[actions],
        np.concatenate(everything),
    )


def planner_demonstrations(
    task: Task, episodes: int, beta: float, simulations: int, rng: np.random.Generator
) -> Demonstrations:
    """Returns what a planner of rationality `beta` does in `episodes` episodes of a world with a law.

    It chooses by the choice rule, P(a|s) ∝ exp(β·Q(s,a)), and that distribution is what is imitated. Q is that of value
    iteration where the world can be enumerated, else UCT's estimate.

    Args:
        task: whose `world` is not None.
        episodes: episodes, side by side.
        beta: rationality, per unit of reward; infinite for the best action always, ties shared evenly.
        simulations: of each search, where the planner searches.
        rng: everything random.
    """
    world = task.world
    assert world is not None
    values_of = exact_values(world) or searched_values(world, simulations, rng)
    states = world.sample_initial(episodes, rng)
    observations, targets, masks = [], [], []
    for _ in range(task.max_episode_steps or MAX_STEPS):
        states = states[~world.terminal_of(states)]
        if not len(states):
            break
        legal = world.legal_actions(states)
        log_probs = demonstrated_log_probs(values_of(states), beta, legal)
        observations.append(world.observe(states))
        targets.append(np.exp(log_probs))
        masks.append(legal)
        states, _, _ = world.step(states, sample_actions(log_probs, rng), rng)
    if not observations:
        raise UsageError(f"every start state of {world.name} is terminal", expected="something to demonstrate")
    return Demonstrations(np.concatenate(observations), np.concatenate(targets), np.concatenate(masks))


def demonstrated_log_probs(q_values: NDArray[np.float64], beta: float, legal: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Returns `[B, A]` log-probabilities of the choice rule, whose limit for infinite `beta` shares ties evenly."""
    if np.isfinite(beta):
        return boltzmann_log_probs(q_values, beta, legal)
    values = np.where(legal, q_values, -np.inf)
    best = values >= values.max(1, keepdims=True) - TIE
    return np.where(best, -np.log(best.sum(1, keepdims=True)), -np.inf)


def exact_values(world: World) -> ActionValues | None:
    """Returns Q* of an enumerable world; None where it cannot be enumerated."""
    if world.players > 1 or not world.is_enumerable:
        return None
    try:
        dynamics = world.dynamics(max_states=MAX_STATES)
    except UsageError:
        return None  # too many states, or none to start from by enumeration: the search needs neither
    solution = value_iteration(world, gamma=world.gamma, tolerance=TIE / 10)
    return lambda states: solution.q_values[dynamics.index_of(states)]


def searched_values(world: World, simulations: int, rng: np.random.Generator) -> ActionValues:
    """Returns UCT's estimates of action values; every state is searched separately."""
    planner = UCT(num_simulations=simulations, gamma=world.gamma)
    return lambda states: planner.plan(world, states, rng).action_values
