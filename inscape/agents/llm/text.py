"""Observations as text: what a language model is asked, and what it may answer.

The prompt is the world's own `describe_observation` of what is perceived, or where it has none but what is perceived
determines the state, its `describe` of the state; then (for models that read English) the actions, then
`action:`. The answers are `" " + name + "\\n"`: the line break ends every answer in the same way, so that of two names
of which one begins the other ("up", "upright") neither is favoured. Few tokens are the aim: nothing is said twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from inscape.errors import PartialObservationError, TooManyStatesError, UsageError

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task

MEMORY = 100_000
"""Prompts kept per prompter; beyond that the memory starts afresh."""

MAX_NUMBERS = 256
"""Longest observation that is spelt out number by number."""


def format_prompt(description: str, actions: Sequence[str] = ()) -> str:
    """Returns the prompt for a state.

    Args:
        description: text that describes the state.
        actions: names to list, for a model that was not trained on this world; none leaves the line out.
    """
    listed = f"actions: {', '.join(actions)}\n" if actions else ""
    return f"{description.rstrip()}\n{listed}action:"


def format_answer(action: str) -> str:
    """Returns the text whose probability is that of the action."""
    return f" {action}\n"


def observation_text(observation: NDArray[Any]) -> str:
    """Returns an observation as text, number by number: `"observation 0.12 -3"` (three significant digits).

    Raises:
        UsageError: it has too many numbers to read, or is made of something else.
    """
    values = np.asarray(observation).reshape(-1)
    if values.dtype.kind not in "iufb" or len(values) > MAX_NUMBERS:
        raise UsageError(
            f"an observation of {len(values)} values of dtype {values.dtype} for a language model",
            expected=f"at most {MAX_NUMBERS} numbers, or a world whose observations determine its state",
            hint="give the world a `describe`, or use another agent",
        )
    # + 0.0 turns −0.0 into 0.0: one number, one text
    words = (f"{value + 0.0:.3g}" if values.dtype.kind == "f" else str(int(value)) for value in values.tolist())
    return "observation " + " ".join(words)


def answers_of(task: Task) -> tuple[str, ...]:
    """Returns the names of a task's actions: the world's own, or their numbers in an environment that names none.

    Raises:
        UsageError: the action space is not one finite choice, or two actions share a name.
    """
    import gymnasium

    space = task.action_space
    if not isinstance(space, gymnasium.spaces.Discrete):
        raise UsageError(
            f"the action space {space} of {task.name}",
            expected="a Discrete one: the language model chooses among named actions",
            hint="ppo or sb3:sac for continuous actions",
        )
    names = task.action_names
    if len(set(names)) < len(names):
        raise UsageError(f"the actions of {task.name} are {', '.join(names)}", expected="names that differ")
    return names


class Prompter:
    """Turns observations into prompts, remembering what it has seen.

    Args:
        task: a world with a law describes observations by its own texts, where it has them for observations or where
            these determine the state; elsewhere the numbers of the observation are written out.
        list_actions: whether prompts name the actions.
    """

    def __init__(self, task: Task, list_actions: bool) -> None:
        self._world = task.world
        self._listed = answers_of(task) if list_actions else ()
        self._memory: dict[bytes, str] = {}

    def prompts(self, observations: NDArray[Any]) -> list[str]:
        """Returns one prompt per row of `[B, ...]` observations."""
        rows = np.ascontiguousarray(observations)
        keys = [row.tobytes() for row in rows]
        unseen = {key: b for b, key in enumerate(keys) if key not in self._memory}
        if unseen:
            if len(self._memory) + len(unseen) > MEMORY:
                self._memory.clear()
                unseen = {key: b for b, key in enumerate(keys)}
            texts = self._describe(rows[list(unseen.values())])
            self._memory.update(zip(unseen, (format_prompt(text, self._listed) for text in texts), strict=True))
        return [self._memory[key] for key in keys]

    def rows(self, observations: NDArray[Any], book: Any) -> NDArray[np.int64]:
        """Returns the `[B]` rows in a `Scorebook` of `[B, ...]` observations, each distinct one looked up once."""
        flat = np.ascontiguousarray(observations).reshape(len(observations), -1)
        if flat.dtype != object and flat.shape[1]:
            seen = (
                flat[:, 0]
                if flat.shape[1] == 1
                else flat.view(np.dtype((np.void, flat.dtype.itemsize * flat.shape[1])))[:, 0]
            )
            _, first, place = np.unique(seen, return_index=True, return_inverse=True)
        else:
            first, place = np.arange(len(flat)), np.arange(len(flat))
        found: NDArray[np.int64] = book.rows(self.prompts(np.asarray(observations)[first]))[place.reshape(-1)]
        return found

    def _describe(self, observations: NDArray[Any]) -> list[str]:
        if self._world is not None:
            seen = self._world.describe_seen(observations)
            if seen is not None:
                return seen
            try:
                states = self._world.states_of(observations)
            except (PartialObservationError, TooManyStatesError):
                self._world = None  # the prompt may hold no more than the observation does
            else:
                return [self._world.describe_state(states, b) for b in range(len(observations))]
        return [observation_text(row) for row in observations]
