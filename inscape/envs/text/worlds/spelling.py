"""Letters of words: counted, and words written backwards."""

from __future__ import annotations

from typing import Literal

import numpy as np

from inscape.envs.text.worlds.question import QuestionEnv, Split
from inscape.errors import UsageError, whole_number

STARTS = ("b", "br", "c", "cl", "d", "dr", "f", "g", "gr", "h", "k", "l", "m", "n", "p", "pl", "r", "s", "st", "t", "v")
VOWELS = ("a", "e", "i", "o", "u", "ea", "oo")
ENDS = ("", "n", "r", "l", "s", "t", "ll", "rr", "ss", "ck")


def make_word(rng: np.random.Generator, syllables: int) -> str:
    """Returns a word of some syllables that may be pronounced."""
    parts = [str(rng.choice(STARTS)) + str(rng.choice(VOWELS)) + str(rng.choice(ENDS)) for _ in range(syllables)]
    return "".join(parts)


class Spelling(QuestionEnv):
    """How often is a letter in a word (`count`), or the word backwards (`reverse`).

    A tokenizer of bytes shows the letters, one of word pieces hides them: that is what this measures.

    Args:
        task: `count`, `reverse`, or `both`.
        syllables: of the words, at most.
        split, seen_share, penalty: see `QuestionEnv`; words are held out, whatever is asked of them.
    """

    def __init__(
        self,
        task: Literal["count", "reverse", "both"] = "both",
        syllables: int = 4,
        split: Split = "all",
        seen_share: float = 0.9,
        penalty: float = 0.0,
    ) -> None:
        super().__init__(split, seen_share, penalty)
        if task not in ("count", "reverse", "both"):
            raise UsageError(f"task = {task!r}", expected="'count', 'reverse' or 'both'")
        self.task, self.syllables = task, whole_number("syllables =", syllables, 1)
        self.instructions = "Answer with one line: answer: NUMBER or WORD"

    def draw(self, rng: np.random.Generator) -> tuple[str, str]:
        word = make_word(rng, int(rng.integers(1, self.syllables + 1)))
        if self.task == "count" or (self.task == "both" and rng.random() < 0.5):
            letter = word[int(rng.integers(len(word)))] if rng.random() < 0.8 else chr(ord("a") + int(rng.integers(26)))
            return f"How often is the letter {letter} in {word} ?", str(word.count(letter))
        return f"Write {word} backwards.", word[::-1]

    def key(self, question: str) -> str:
        return question.rstrip(" ?").split()[-1] if question.startswith("How") else question.split()[1]

    def agrees(self, answer: str) -> bool | None:
        found = answer.strip().strip(".").lower()
        wanted = str.isdigit if self.expected.isdigit() else str.isalpha
        return found == self.expected if found and found.isascii() and wanted(found) else None
