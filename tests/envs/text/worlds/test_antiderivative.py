"""Antiderivatives: our derivatives against SymPy's, answers in other forms, and answers meant to do harm."""

from __future__ import annotations

import signal

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from inscape.envs.text.worlds.antiderivative import Antiderivative
from inscape.envs.text.worlds.expressions import derivative, dual, parse, written
from inscape.errors import UsageError

X = sympy.Symbol("x")


@pytest.fixture(scope="module")
def env() -> Antiderivative:
    made = Antiderivative(level=3)
    yield made  # type: ignore[misc]
    made.close()


@pytest.mark.parametrize(
    "text",
    ["3*x^2 + cos(x)", "-x^-2", "2x(x+1)", "exp(-x^2)/sqrt(1 + x)", "x^x", "log(x)*atan(3x)", "1/3*x - .5", "-(-x)**2",
     "sinh(x)/cosh(2*x)", "tan(x)^2", "2^x", "pi*x - e", "asin(x/3)", "x/2/3", "-3^2"],
)  # fmt: skip
def test_reading_writing_and_differentiating_agree_with_sympy(text: str) -> None:
    tree = parse(text)
    ours = sympy.sympify(text.replace("2x(", "2*x*(").replace("3x", "3*x").replace("^", "**"), {"e": sympy.E})
    for given_tree, expected in ((tree, ours), (parse(written(tree)), ours), (derivative(tree), sympy.diff(ours, X))):
        for point in (0.7 + 0.1j, 1.3 - 0.2j):
            assert dual(given_tree, point)[0] == pytest.approx(complex(expected.subs(X, point).evalf()), rel=1e-9)
    assert dual(tree, 0.9 + 0.1j)[1] == pytest.approx(dual(derivative(tree), 0.9 + 0.1j)[0], rel=1e-9)


@pytest.mark.parametrize("level", range(4))
def test_the_function_it_was_made_from_is_right(level: int) -> None:
    env = Antiderivative(level=level, symbolic=False)
    for seed in range(25):
        text, _ = env.reset(seed=seed)
        assert text.startswith("integrate ") and env.agrees(env.expected)
        assert env.agrees(f"{env.expected} + 17/3") and env.agrees(f"7 + {env.expected} + C")
        assert env.agrees(f"{env.expected} + x") is False


def test_other_forms_are_right_and_sympy_says_so(env: Antiderivative) -> None:
    for asked, answer, right in [
        ("2*sin(x)*cos(x)", "sin(x)^2", True),
        ("2*sin(x)*cos(x)", "-cos(2*x)/2", True),
        ("2*sin(x)*cos(x)", "sin(x)", False),
        ("1/x", "log(3*x)", True),
        ("exp(x)", "e^x - 1", True),
        ("x", "x^2/2 + 0.0001*x", False),
    ]:
        env._asked = parse(asked)
        assert env.agrees(answer) is right
        assert env.checked == ("by SymPy" if right else "at points")


@pytest.mark.parametrize(
    "text",
    ["__import__('os').system('true')", "x; x", "lambda: 0", "x.real", "9^9^9^9", "f(x)", "sin x", "((((x", "",
     "(" * 300 + "x" + ")" * 300, "1" * 50, "x" * 401, "2**-99999", "é", "x=1", "-" * 399 + "x", "x^(10^3)"],
)  # fmt: skip
def test_what_is_no_expression_is_refused(text: str) -> None:
    if text == "-" * 399 + "x":
        assert parse(text)[0] == "-"
        return
    with pytest.raises(UsageError):
        parse(text)


@settings(max_examples=150, deadline=None)
@given(st.text("x0123456789+-*/^() sincoexplgqrt.", max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        tree = parse(text)
    except UsageError:
        return
    try:
        value = dual(tree, 0.7 + 0.1j)[0]
    except (ArithmeticError, ValueError):
        return
    if np.isfinite(value):
        assert dual(parse(written(tree)), 0.7 + 0.1j)[0] == pytest.approx(value, rel=1e-6, abs=1e-9)


def test_sympy_that_hangs_is_ended(env: Antiderivative) -> None:
    env._asked = parse("x")
    assert env.agrees("x^2/2") and env.checked == "by SymPy"
    process = env._sympy._process
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    env._sympy.seconds = 0.2
    assert env.agrees("x^2/2") and env.checked == "at points"
    env._sympy.seconds = 30.0
    assert env.agrees("x^2/2") and env.checked == "by SymPy"
