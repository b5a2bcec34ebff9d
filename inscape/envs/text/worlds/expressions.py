"""Expressions in x: read from text by a grammar of our own, differentiated, evaluated, written out.

Nothing here evaluates a text as code: what the grammar does not have is refused, and so is what would take long to
compute (large exponents, thousands of terms).

    sum     := product (("+" | "-") product)*
    product := unary (("*" | "/") unary)*
    unary   := "-" unary | power
    power   := atom (("^" | "**") unary)?
    atom    := number | "x" | "e" | "pi" | function "(" sum ")" | "(" sum ")"
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from inscape.errors import UsageError

Tree = tuple[Any, ...]
"""`("num", Fraction)`, `("x",)`, `("e",)`, `("pi",)`, `("+", a, b)`, `("*", a, b)`, `("/", a, b)`, `("^", a, b)`,
`("-", a)`, `(function, a)`."""
FUNCTIONS = ("sin", "cos", "tan", "exp", "log", "sqrt", "atan", "asin", "sinh", "cosh")
ALSO = {"ln": "log", "arctan": "atan", "arcsin": "asin"}
TOKEN = re.compile(r"\s*(?:(\d+(?:\.\d*)?|\.\d+)|([A-Za-z]+)|(\*\*|[-+*/^()]))")
LONGEST, MOST_NODES, DEEPEST = 400, 400, 60
LARGEST_EXPONENT, MOST_DIGITS = 64, 12


def parse(text: str) -> Tree:
    """Returns the tree of an expression.

    Raises:
        UsageError: it is none of the grammar, or too large; the message says where.
    """
    if len(text) > LONGEST:
        raise UsageError(f"an expression of {len(text)} characters", expected=f"at most {LONGEST}")
    tree = _Reader(text).whole()
    if size(tree) > MOST_NODES:
        raise UsageError(f"an expression of {size(tree)} parts", expected=f"at most {MOST_NODES}")
    return tree


class _Reader:
    def __init__(self, text: str) -> None:
        self.text, self.at, self.depth = text, 0, 0

    def whole(self) -> Tree:
        tree = self.sum()
        if self.text[self.at :].strip():
            raise self.wrong("an operator")
        return tree

    def wrong(self, expected: str) -> UsageError:
        rest = self.text[self.at : self.at + 20].strip()
        return UsageError(f"{rest!r} at character {self.at + 1}" if rest else "an end", expected=expected)

    def peek(self) -> str:
        match = TOKEN.match(self.text, self.at)
        return match[0].strip() if match else ""

    def take(self) -> str:
        match = TOKEN.match(self.text, self.at)
        if not match:
            raise self.wrong("a number, x, a function, or (")
        self.at = match.end()
        return match[0].strip()

    def sum(self) -> Tree:
        self.depth += 1
        if self.depth > DEEPEST:
            raise UsageError("an expression nested too deeply", expected=f"at most {DEEPEST} levels")
        tree = self.product()
        while (sign := self.peek()) in ("+", "-"):
            self.take()
            other = self.product()
            tree = ("+", tree, other if sign == "+" else ("-", other))
        self.depth -= 1
        return tree

    def product(self) -> Tree:
        tree = self.unary()
        while (sign := self.peek()) in ("*", "/") or sign[:1].isalnum() or sign == "(":
            if sign in ("*", "/"):
                self.take()
            tree = ("/" if sign == "/" else "*", tree, self.unary())  # 2x is 2*x
        return tree

    def unary(self) -> Tree:
        signs = 0
        while self.peek() in ("-", "+"):
            signs += self.take() == "-"
        tree = self.power()
        return ("-", tree) if signs % 2 else tree

    def power(self) -> Tree:
        base = self.atom()
        if self.peek() not in ("^", "**"):
            return base
        self.take()
        self.depth += 1
        if self.depth > DEEPEST:
            raise UsageError("an expression nested too deeply", expected=f"at most {DEEPEST} levels")
        exponent = self.unary()
        self.depth -= 1
        value = constant(exponent)
        if value is not None and abs(value) > LARGEST_EXPONENT:
            raise UsageError(f"the exponent {float(value):g}", expected=f"at most {LARGEST_EXPONENT}")
        return ("^", base, exponent)

    def atom(self) -> Tree:
        token = self.take()
        if token == "(":
            tree = self.sum()
            if self.peek() != ")":
                raise self.wrong(")")
            self.take()
            return tree
        if token[0].isdigit() or token[0] == ".":
            if len(token) > MOST_DIGITS:
                raise UsageError(f"the number {token[:20]}", expected=f"at most {MOST_DIGITS} digits")
            return ("num", Fraction(token if token[-1] != "." else token[:-1]))
        name = ALSO.get(token.lower(), token.lower())
        if name in ("x", "e", "pi"):
            return (name,)
        if name in FUNCTIONS:
            if self.peek() != "(":
                raise self.wrong(f"{name}(…)")
            self.take()
            inside = self.sum()
            if self.peek() != ")":
                raise self.wrong(")")
            self.take()
            return (name, inside)
        self.at -= len(token)
        raise self.wrong(f"x, or one of {', '.join(FUNCTIONS)}")


def size(tree: Tree) -> int:
    """Returns how many parts a tree has."""
    return 1 + sum(size(part) for part in tree[1:] if isinstance(part, tuple))


def constant(tree: Tree) -> Fraction | None:
    """Returns the value of a tree of numbers alone, or one too large for an exponent; None for any other."""
    kind = tree[0]
    if kind == "num":
        return Fraction(tree[1])
    if kind == "-":
        value = constant(tree[1])
        return None if value is None else -value
    if kind in ("+", "*", "/"):
        a, b = constant(tree[1]), constant(tree[2])
        if a is None or b is None or (kind == "/" and b == 0):
            return None
        return a + b if kind == "+" else a * b if kind == "*" else a / b
    if kind == "^":
        a, b = constant(tree[1]), constant(tree[2])
        if a is None or b is None or b.denominator != 1 or (a == 0 and b < 0):
            return None
        # beyond what an exponent may be, how large it is does not matter; and it would take long to compute
        return a ** int(b) if abs(b) <= 8 and a.denominator <= 99 and abs(a) <= 99 else Fraction(LARGEST_EXPONENT + 1)
    return None


# ------------------------------------------------------------------------------------------- built, simplified lightly


def num(value: int | Fraction) -> Tree:
    """Returns a number."""
    return ("num", Fraction(value))


def add(a: Tree, b: Tree) -> Tree:
    """Returns a + b."""
    x, y = constant(a), constant(b)
    if x is not None and y is not None:
        return num(x + y)
    return b if x == 0 else a if y == 0 else ("+", a, b)


def multiply(a: Tree, b: Tree) -> Tree:
    """Returns a · b, a number first."""
    x, y = constant(a), constant(b)
    if x is not None and y is not None:
        return num(x * y)
    if x == 0 or y == 0:
        return num(0)
    if x == 1:
        return b
    if y is not None:
        return a if y == 1 else multiply(b, a)
    if b[0] == "*" and (inner := constant(b[1])) is not None:
        return multiply(num(inner), multiply(a, b[2])) if x is None else multiply(num(x * inner), b[2])
    return ("*", a, b)


def power(a: Tree, b: Tree) -> Tree:
    """Returns a ^ b."""
    y = constant(b)
    return num(1) if y == 0 else a if y == 1 else ("^", a, b)


def derivative(tree: Tree) -> Tree:
    """Returns d/dx of a tree."""
    kind = tree[0]
    if kind in ("num", "e", "pi"):
        return num(0)
    if kind == "x":
        return num(1)
    if kind == "+":
        return add(derivative(tree[1]), derivative(tree[2]))
    if kind == "-":
        return multiply(num(-1), derivative(tree[1]))
    if kind == "*":
        return add(multiply(derivative(tree[1]), tree[2]), multiply(tree[1], derivative(tree[2])))
    if kind == "/":
        top = add(multiply(derivative(tree[1]), tree[2]), multiply(num(-1), multiply(tree[1], derivative(tree[2]))))
        return ("/", top, power(tree[2], num(2)))
    if kind == "^":
        base, exponent = tree[1], tree[2]
        known = constant(exponent)
        if known is not None:
            return multiply(multiply(num(known), power(base, num(known - 1))), derivative(base))
        grows = add(multiply(derivative(exponent), ("log", base)), ("/", multiply(exponent, derivative(base)), base))
        return multiply(tree, grows)
    a = tree[1]
    outer: dict[str, Tree] = {
        "sin": ("cos", a),
        "cos": multiply(num(-1), ("sin", a)),
        "tan": ("/", num(1), power(("cos", a), num(2))),
        "exp": ("exp", a),
        "log": ("/", num(1), a),
        "sqrt": ("/", num(1), multiply(num(2), ("sqrt", a))),
        "atan": ("/", num(1), add(num(1), power(a, num(2)))),
        "asin": ("/", num(1), ("sqrt", add(num(1), multiply(num(-1), power(a, num(2)))))),
        "sinh": ("cosh", a),
        "cosh": ("sinh", a),
    }
    return multiply(outer[kind], derivative(a))


def dual(tree: Tree, x: complex) -> tuple[complex, complex]:
    """Returns a tree's value and derivative at a complex number, by dual numbers.

    Raises:
        ArithmeticError, ValueError: it has none there, or one too large.
    """
    import cmath

    kind = tree[0]
    if kind == "num":
        return complex(tree[1]), 0j
    if kind in ("e", "pi"):
        return complex(math.e if kind == "e" else math.pi), 0j
    if kind == "x":
        return x, 1 + 0j
    a, da = dual(tree[1], x)
    if kind == "-":
        return -a, -da
    if len(tree) == 3:
        b, db = dual(tree[2], x)
        if kind == "+":
            return a + b, da + db
        if kind == "*":
            return a * b, da * b + a * db
        if kind == "/":
            return a / b, (da * b - a * db) / (b * b)
        value = a**b
        if db == 0:
            return value, (b * a ** (b - 1) * da if da != 0 else 0j)
        return value, value * (db * cmath.log(a) + b * da / a)
    if kind == "sqrt":
        root = cmath.sqrt(a)
        return root, da / (2 * root)
    found: complex = getattr(cmath, kind)(a)
    slopes: dict[str, Callable[[], complex]] = {
        "sin": lambda: cmath.cos(a),
        "cos": lambda: -cmath.sin(a),
        "tan": lambda: 1 / cmath.cos(a) ** 2,
        "exp": lambda: found,
        "log": lambda: 1 / a,
        "atan": lambda: 1 / (1 + a * a),
        "asin": lambda: 1 / cmath.sqrt(1 - a * a),
        "sinh": lambda: cmath.cosh(a),
        "cosh": lambda: cmath.sinh(a),
    }
    return found, slopes[kind]() * da


RANK = {"+": 1, "-": 1, "*": 2, "/": 2, "^": 4}


def written(tree: Tree, least: int = 0) -> str:
    """Returns a tree as text that `parse` reads back.

    Args:
        tree: what to write.
        least: rank below which it is put in parentheses.
    """
    kind = tree[0]
    if kind == "num":
        value = tree[1]
        text = str(value)
        return f"({text})" if (value < 0 or value.denominator > 1) and least > 1 else text
    if len(tree) == 1:
        return str(kind)
    if kind not in RANK:
        return f"{kind}({written(tree[1])})"
    if kind == "-":
        text = f"-{written(tree[1], 2)}"
    elif kind == "+":
        second = written(tree[2], 1)
        text = written(tree[1], 1) + (f" - {second[1:]}" if second.startswith("-") else f" + {second}")
    elif kind == "*":
        first = "-" if constant(tree[1]) == -1 else f"{written(tree[1], 2)}*"
        text = f"{first}{written(tree[2], 3)}"
        return f"({text})" if least > 2 or (first == "-" and least > 1) else text
    elif kind == "/":
        text = f"{written(tree[1], 2)}/{written(tree[2], 3)}"
        return f"({text})" if least > 2 else text
    else:
        text = f"{written(tree[1], 5)}^{written(tree[2], 5)}"
    return f"({text})" if RANK[kind] < least else text
