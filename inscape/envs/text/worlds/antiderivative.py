"""Antiderivatives, made backwards: a function is drawn, its derivative asked about."""

from __future__ import annotations

import cmath
from fractions import Fraction

import numpy as np

from inscape.envs.text.interface import Turn
from inscape.envs.text.worlds.expressions import (
    Tree,
    add,
    constant,
    derivative,
    dual,
    multiply,
    num,
    parse,
    power,
    size,
    written,
)  # fmt: skip
from inscape.envs.text.worlds.question import QuestionEnv, Split
from inscape.envs.text.worlds.symbolic_check import SymPyProcess
from inscape.errors import UsageError, whole_number

POINTS = 24
CLOSE = 1e-7
LEVELS = 4


class Antiderivative(QuestionEnv):
    """`integrate 3*x^2 + cos(x)`: an expression whose derivative that is; any constant may be added.

    Answers are read by a grammar of our own (`expressions`), never as code. An answer is wrong where its derivative
    differs at one of 24 complex points (by dual numbers); where it agrees at all of them, SymPy confirms it in a
    process with a limit of time. Where SymPy does not say, the points decide, and `info["checked"]` says so.

    Args:
        level: 0: polynomials; 1: with sines, exponentials; 2: with inner functions; 3: products.
        symbolic: ask SymPy; False: points alone.
        seconds: SymPy may take for an answer.
        split, seen_share, penalty: see `QuestionEnv`.
    """

    def __init__(
        self,
        level: int = 0,
        symbolic: bool = True,
        seconds: float = 5.0,
        split: Split = "all",
        seen_share: float = 0.9,
        penalty: float = 0.0,
    ) -> None:
        super().__init__(split, seen_share, penalty)
        self.level = whole_number("level =", level, 0, LEVELS - 1)
        if not seconds > 0:
            raise UsageError(f"seconds = {seconds!r}", expected="a number above 0")
        self.symbolic = symbolic
        self._sympy = SymPyProcess(seconds)
        self.instructions = (
            "Answer with one line: answer: an expression in x, of numbers, + - * / ^, sin, cos, tan, exp, log, sqrt, "
            "whose derivative is the given one"
        )

    def draw(self, rng: np.random.Generator) -> tuple[str, str]:
        while True:
            terms = [self._term(rng) for _ in range(int(rng.integers(1, 3 + (self.level > 0))))]
            whole = terms[0]
            for term in terms[1:]:
                whole = add(whole, term)
            asked = derivative(whole)
            if constant(asked) is None and size(asked) <= 120:
                self._asked = asked
                return f"integrate {written(asked)}", written(whole)

    def _term(self, rng: np.random.Generator) -> Tree:
        factor = num(Fraction(int(rng.integers(1, 10)) * (1 if rng.random() < 0.7 else -1)))
        kind = 0 if self.level == 0 else int(rng.integers(0, self.level + 1))
        if kind == 0:
            return multiply(factor, power(("x",), num(int(rng.integers(1, 6)))))
        outer = str(rng.choice(("sin", "cos", "exp", "log") if kind > 1 else ("sin", "cos", "exp")))
        inner: Tree = ("x",)
        if kind >= 2:
            inner = multiply(num(int(rng.integers(2, 6))), ("x",))
            if outer == "log":
                inner = add(power(("x",), num(2)), num(int(rng.integers(1, 5))))
        made: Tree = (outer, inner)
        return multiply(factor, multiply(power(("x",), num(int(rng.integers(1, 3)))), made) if kind == 3 else made)

    def respond(self, answer: str) -> Turn:
        """Judges the answer; `info["checked"]` says by what."""
        self.checked = ""
        turn = super().respond(answer)
        return turn._replace(info={**turn.info, "checked": self.checked})

    def agrees(self, answer: str) -> bool | None:
        text = answer.strip().rstrip(".").strip()
        for constant_part in ("+ C", "+ c", "+C", "+c"):  # as people write it
            text = text.removesuffix(constant_part).strip()
        try:
            tree = parse(text)
        except UsageError:
            return None
        self.checked = "at points"
        if not self._agrees_at_points(tree):
            return False
        if self.symbolic:
            found = self._sympy.is_antiderivative(tree, self._asked)
            if found is not None:
                self.checked = "by SymPy"
                return found
        return True

    def _agrees_at_points(self, tree: Tree) -> bool:
        rng = np.random.default_rng(7)
        met = 0
        for _ in range(4 * POINTS):
            point = complex(rng.uniform(0.3, 2.0), rng.uniform(-0.3, 0.3))
            try:
                wanted, found = dual(self._asked, point)[0], dual(tree, point)[1]
            except (ArithmeticError, ValueError):
                continue
            if not (cmath.isfinite(wanted) and cmath.isfinite(found)):
                continue
            if abs(found - wanted) > CLOSE * max(1.0, abs(wanted)):
                return False
            met += 1
            if met == POINTS:
                return True
        return False  # it has no value almost anywhere

    def close(self) -> None:
        self._sympy.close()
