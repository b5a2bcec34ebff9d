"""Steps that were seen one by one, as an episode: `observe([(state, "right"), (state, "up")], "FourGoals")`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from inscape.envs.data.trajectory import Trajectory
from inscape.errors import UsageError
from inscape.theory_of_mind.observers.numbering import Numbering

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task
    from inscape.envs.world import World

WHO = "what was seen"


def are_steps(given: Any) -> bool:
    """Returns whether it is a list of steps: pairs of a state and an action, or three with the state that followed."""
    if not isinstance(given, (list, tuple)) or not given or hasattr(given, "_fields"):
        return False
    first = given[0]
    return isinstance(first, (tuple, list)) and not hasattr(first, "_fields") and len(first) in (2, 3)


def episode_of(steps: Sequence[Any], world: World, task: Task) -> Trajectory:
    """Returns steps as an episode.

    Args:
        steps: `(state, action)` or `(state, action, next_state)`, in order; a state alone may stand at the end: where
            the last action led. Without it, its most probable outcome stands there, from which an observer of actions
            learns nothing. States and actions are given as `ExactObserver.update` takes them.
        world: one that can be enumerated.
        task: it as a task.

    Raises:
        UsageError: something else than steps, no state, no action, or a state other than the step before led to.
        ImpossibleEvidenceError: a state that cannot be reached.
    """
    numbering = Numbering(world)
    states, actions = [], []
    following: int | None = None
    for number, step in enumerate(steps):
        alone = not isinstance(step, (tuple, list)) or hasattr(step, "_fields")
        if (alone and number != len(steps) - 1) or (not alone and len(step) not in (1, 2, 3)):
            raise UsageError(
                f"step {number} is {step!r}",
                expected="(state, action) or (state, action, next_state); a state alone only at the end",
            )
        state = numbering.one_state(step if alone else step[0], number)
        if following is not None and state != following:
            raise UsageError(
                f"step {number} begins in {numbering.described(state)} and the step before led to "
                f"{numbering.described(following)}",
                expected="the state in which the step before ended",
            )
        states.append(state)
        if alone or len(step) == 1 or (step[1] is None and number == len(steps) - 1):
            following = None
            break
        actions.append(numbering.one_action(step[1]))
        following = numbering.one_state(step[2], number) if len(step) == 3 else None
    if len(states) == len(actions):
        if following is None:
            dynamics, at = numbering.dynamics, (states[-1], actions[-1])
            following = int(dynamics.next_state[at][np.argmax(dynamics.probability[at])])
        states.append(following)
    found, chosen = numbering.dynamics.states[np.array(states)], np.array(actions, np.int64)
    if not len(chosen):
        raise UsageError("a state and no action to observe", expected="at least one step: (state, action)")
    return Trajectory(
        world.observe(found),
        chosen,
        world.reward_of(found[:-1], chosen, found[1:]),
        bool(world.terminal_of(found[-1:])[0]),
        False,
        found,
        task=task.to_json(),
        agent=WHO,
    )
