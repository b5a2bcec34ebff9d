"""Sums, products and permutations, with the questions that training may see kept apart."""

from __future__ import annotations

import re
from typing import Literal

import numpy as np

from inscape.envs.text.worlds.question import QuestionEnv, Split
from inscape.errors import UsageError, whole_number

Operation = Literal["add", "subtract", "multiply"]
SIGNS = {"add": "+", "subtract": "-", "multiply": "*"}
NUMBER = re.compile(r"[-+]?[0-9]{1,5000}")


class Arithmetic(QuestionEnv):
    """`345 + 78 = ?`, to be answered at once or worked out.

    Args:
        operation: `add`, `subtract` or `multiply`.
        digits: digits of both numbers, at most; numbers are uniform below 10^digits.
        order: which digit of the answer comes first: the highest (as people write) or the lowest (as carries run).
        worked: the text says that working may come before the answer.
        split, seen_share, penalty: see `QuestionEnv`; a + b and b + a are one question. By default training may see at
            most a tenth of all pairs.
    """

    def __init__(
        self,
        operation: Operation = "add",
        digits: int = 3,
        order: Literal["highest first", "lowest first"] = "highest first",
        worked: bool = False,
        split: Split = "all",
        seen_share: float = 0.1,
        penalty: float = 0.0,
    ) -> None:
        super().__init__(split, seen_share, penalty)
        if operation not in SIGNS:
            raise UsageError(f"operation = {operation!r}", expected="add, subtract or multiply")
        if order not in ("highest first", "lowest first"):
            raise UsageError(f"order = {order!r}", expected="'highest first' or 'lowest first'")
        self.operation, self.digits, self.order, self.worked = (
            operation,
            whole_number("digits =", digits, 1),
            order,
            worked,
        )
        first = "" if order == "highest first" else ", its lowest digit first"
        how = "Work it out, then answer" if worked else "Answer"
        self.instructions = f"{how} with one line: answer: NUMBER{first}"
        if worked:
            self.cue, self.stop = "", ("\n\n",)

    def draw(self, rng: np.random.Generator) -> tuple[str, str]:
        a, b = (int("".join(map(str, rng.integers(0, 10, self.digits).tolist()))) for _ in range(2))
        result = a + b if self.operation == "add" else a - b if self.operation == "subtract" else a * b
        return f"{a} {SIGNS[self.operation]} {b} = ?", self.written(result)

    def written(self, number: int) -> str:
        """Returns a number as it is to be answered."""
        text = str(abs(number))
        sign = "-" if number < 0 else ""
        return sign + (text if self.order == "highest first" else text[::-1])

    def key(self, question: str) -> str:
        a, sign, b, *_ = question.split()
        low, high = (b, a) if sign != "-" and int(a) > int(b) else (a, b)
        return f"{low} {sign} {high}"

    def agrees(self, answer: str) -> bool | None:
        found = answer.replace(",", "").replace(" ", "").rstrip(".")
        if not NUMBER.fullmatch(found):
            return None
        return self._value(found) == self._value(self.expected)

    def _value(self, text: str) -> tuple[bool, str]:
        """Returns sign and digits without leading zeros: numbers may be longer than Python converts."""
        digits = text.lstrip("+-")
        digits = (digits if self.order == "highest first" else digits[::-1]).lstrip("0")
        return text.startswith("-") and digits != "", digits


class Permutations(QuestionEnv):
    """Permutations one after another: where does each thing end?

    Args:
        count: permutations to compose.
        size: things that are permuted, named a, b, c, …
        worked: the text says that working may come before the answer.
        split, seen_share, penalty: see `QuestionEnv`.

    `bca then cab`: each word says which thing stands where after it: thing at place k becomes the one that stood at the
    place of the word's k-th letter. The answer is the word of all together.
    """

    def __init__(
        self,
        count: int = 12,
        size: int = 3,
        worked: bool = False,
        split: Split = "all",
        seen_share: float = 0.9,
        penalty: float = 0.0,
    ) -> None:
        super().__init__(split, seen_share, penalty)
        self.count, self.size = whole_number("count =", count, 1), whole_number("size =", size, 2)
        if size > 26:
            raise UsageError(f"size = {size}", expected="at most 26, a letter each")
        self.worked = worked
        if worked:
            self.cue, self.stop = "", ("\n\n",)
        how = "Work it out, then answer" if worked else "Answer"
        self.instructions = (
            f"Each word rearranges {self.size} places: place k takes what stood at the place of its k-th letter "
            f"(a is the first place). {how} with the word that does all, in order, at once: answer: WORD"
        )

    def draw(self, rng: np.random.Generator) -> tuple[str, str]:
        now = np.arange(self.size)
        words = []
        for _ in range(self.count):
            chosen = rng.permutation(self.size)
            words.append(_word(chosen))
            now = now[chosen]
        return " then ".join(words) + " = ?", _word(now)

    def agrees(self, answer: str) -> bool | None:
        found = answer.strip().strip(".").lower()
        return None if sorted(found) != sorted(self.expected) else found == self.expected


def _word(permutation: np.ndarray) -> str:
    return "".join(chr(ord("a") + k) for k in permutation.tolist())
