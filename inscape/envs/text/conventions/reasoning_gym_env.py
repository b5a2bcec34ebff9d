"""reasoning-gym (https://github.com/open-thought/reasoning-gym): its questions as text environments of one turn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from inscape.envs.text.answers import answer_text
from inscape.envs.text.conventions.foreign import known, number, package
from inscape.envs.text.interface import TextEnv, Turn
from inscape.errors import UsageError

INSTALL = "reasoning-gym"


class ReasoningGymEnv(TextEnv):
    """Questions of a data set of reasoning-gym: `text_env("reasoning-gym:chain_sum", size=10_000)`.

    An episode is one question, `dataset[index]`; the index is drawn uniformly, or given: `reset(options={"index": 7})`.
    Read is the last marked answer (`answer: …`, `<answer>…</answer>`, which may have several lines), or the last line;
    the data set scores it, in [0, 1]. An answer on which the scorer fails scores 0 and is counted as `"unreadable"`.

    Args:
        dataset: its name.
        seed: of the data set: another seed, other questions.
        settings: of the data set, such as `size` (500 questions unless given).

    Raises:
        UsageError: reasoning-gym is not installed, has no such data set, or refuses the settings.
    """

    instructions = "Answer the question. End with one line: answer: ..., or with <answer>...</answer>."

    def __init__(self, dataset: str, *, seed: int = 0, **settings: Any) -> None:
        gym = package("reasoning_gym", INSTALL)
        registry: Mapping[str, Any] = package("reasoning_gym.factory", INSTALL).DATASETS
        self._dataset = known(dataset, registry, "reasoning-gym")
        try:
            self.dataset = gym.create_dataset(dataset, seed=seed, **settings)
        except (AssertionError, TypeError, ValueError) as error:
            raise UsageError(f"reasoning-gym:{dataset} refuses {settings}: {error}", expected="its settings") from error

    @property
    def name(self) -> str:
        return f"reasoning-gym:{self._dataset}"

    def begin(self, rng: np.random.Generator, options: Mapping[str, Any]) -> Turn:
        """Draws a question and returns its text."""
        size = len(self.dataset)
        index = int(options.get("index", rng.integers(size)))
        if not 0 <= index < size:
            raise UsageError(f"index = {index} of {self.name}", expected=f"0 to {size - 1}")
        self.entry, self.index = self.dataset[index], index
        return Turn(str(self.entry["question"]), info={"index": index})

    def respond(self, answer: str) -> Turn:
        """Scores the answer; the episode ends."""
        read = answer_text(answer)
        info: dict[str, Any] = {"index": self.index, "read": read.text}
        if read.problem is not None:
            return Turn("", 0.0, True, read.problem, info)
        try:
            score = self.dataset.score_answer(answer=read.text, entry=self.entry)
        except Exception as error:  # of a scorer that meets what it did not think of: counted and shown
            return Turn("", 0.0, True, "unreadable", {**info, "error": f"{type(error).__name__}: {error}"})
        return Turn("", number(score, self.name), True, None, info)
