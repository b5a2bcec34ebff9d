"""Text environments of one question and one answer, with a share of the questions held out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from inscape.envs.text.answers import answer_text
from inscape.envs.text.interface import TextEnv, Turn
from inscape.errors import UsageError

Split = Literal["train", "held-out", "all"]
TRIES = 100_000
"""Draws until a question of the wanted split is met."""


def is_trained_on(key: str, share: float) -> bool:
    """Returns whether a question belongs to the share that training may see: by a hash of its text alone, so that it
    holds in every process, for every seed and whoever asks."""
    place = int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "little")
    return place < share * 2.0**64


class QuestionEnv(TextEnv):
    """One question, one answer, reward 1 for a right one. A subclass writes `draw`.

    The answer is the last marked one (`answer: …`, `<answer>…</answer>`, `\\boxed{…}`), or the last line: what comes
    before may be working. What cannot be read as an answer at all is a problem, not a wrong answer.

    Args:
        split: questions that training may see (`train`), those it may not (`held-out`), or `all`.
        seen_share: share of all questions that are in `train`.
        penalty: what an answer with a problem costs.

    Attributes:
        expected: the right answer to the present question.
    """

    max_turns = 1
    cue = "answer:"

    def __init__(self, split: Split = "all", seen_share: float = 0.9, penalty: float = 0.0) -> None:
        if split not in ("train", "held-out", "all"):
            raise UsageError(f"split = {split!r}", expected="'train', 'held-out' or 'all'")
        if not 0 <= seen_share <= 1:
            raise UsageError(f"seen_share = {seen_share!r}", expected="a share between 0 and 1")
        if (split == "train" and seen_share == 0) or (split == "held-out" and seen_share == 1):
            raise UsageError(f"split {split!r} of seen_share {seen_share}", expected="a share that is not empty")
        if not penalty >= 0:  # written so that NaN is refused too
            raise UsageError(f"penalty = {penalty!r}", expected="a number of at least 0")
        self.split, self.seen_share, self.penalty = split, float(seen_share), float(penalty)

    def draw(self, rng: np.random.Generator) -> tuple[str, str]:
        """Returns a question and its answer."""
        raise NotImplementedError

    def key(self, question: str) -> str:
        """Returns by what a question is assigned to a split: equal for questions that are the same in substance."""
        return question

    def agrees(self, answer: str) -> bool | None:
        """Returns whether an answer is right; None where it is not an answer at all."""
        return answer.strip() == self.expected

    def solution(self) -> str:
        return f" {self.expected}"

    def begin(self, rng: np.random.Generator, options: Mapping[str, Any]) -> str:
        """Asks a question of the split."""
        for _ in range(TRIES):
            question, self.expected = self.draw(rng)
            trained_on = is_trained_on(self.key(question), self.seen_share)
            if self.split == "all" or trained_on == (self.split == "train"):
                return question
        raise UsageError(
            f"{TRIES:,} questions of {self.name}, none of the split {self.split!r}",
            expected="more than a few questions",
        )

    def respond(self, answer: str) -> Turn:
        """Judges the answer and ends the episode."""
        read = answer_text(answer)
        right = self.agrees(read.text) if read.problem is None else None
        problem = read.problem if read.problem is not None else "unknown" if right is None else None
        info = {"expected": self.expected, "right": right is True}
        return Turn("right" if right else f"wrong: {self.expected}", float(right is True), True, problem, info)
