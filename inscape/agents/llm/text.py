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

from inscape.envs.text.described import Describer, action_names_of

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task

MEMORY = 100_000
"""Prompts kept per prompter; beyond that the memory starts afresh."""


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


class Prompter:
    """Turns observations into prompts, remembering what it has seen.

    Args:
        task: a world with a law describes observations by its own texts, where it has them for observations or where
            these determine the state; elsewhere the numbers of the observation are written out.
        list_actions: whether prompts name the actions.
    """

    def __init__(self, task: Task, list_actions: bool) -> None:
        self._describer = Describer(task)
        self._listed = action_names_of(task) if list_actions else ()
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
            texts = self._describer.describe(rows[list(unseen.values())])
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
