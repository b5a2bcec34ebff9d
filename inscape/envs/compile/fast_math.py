"""What `math` is in a law compiled with `arithmetic="fast"`: sine and cosine that several copies compute at once.

The C library's sine and cosine are calls, one number at a time: 9.3 of the 15 ns of an exact cart-pole step. These are
polynomials without a branch or a table, within 1 unit in the last place for |x| ≤ 20 and within 2⁻⁵² for |x| ≤ 2²⁰
(tests/envs/test_fast_math.py); so trajectories part from the exact ones in the last bit and, where the motion is
unstable, visibly after some hundred steps. Everything else is `math`'s own.

Source: argument reduction of Cody & Waite (1980), "Software Manual for the Elementary Functions"; coefficients of
fdlibm's kernels on [−π/4, π/4] (Sun Microsystems, 1993).
"""

from __future__ import annotations

import math
from functools import cache
from types import FunctionType, ModuleType

from inscape.envs.law.tools import Target, inline_jit

TWO_OVER_PI = 2 / math.pi
# π/2 in three parts; products of the first two with quadrant numbers below 2²⁰ are exact
PART_1, PART_2, PART_3 = 1.5707963267341256, 6.077100506303966e-11, 2.0222662487959506e-21
SIN = (-1.66666666666666324348e-1, 8.33333333332248946124e-3, -1.98412698298579493134e-4, 2.75573137070700676789e-6,
       -2.50507602534068634195e-8, 1.58969099521155010221e-10)  # fmt: skip
COS = (4.16666666666666019037e-2, -1.38888888888741095749e-3, 2.48015872894767294178e-5, -2.75573143513906633035e-7,
       2.08757232129817482790e-9, -1.13596475577881948265e-11)  # fmt: skip


def reduced(x: float) -> tuple[float, float]:
    """Returns `(r, q)` with x = r + q·π/2, |r| ≤ π/4, q a whole number."""
    q = math.floor(x * TWO_OVER_PI + 0.5)
    return ((x - q * PART_1) - q * PART_2) - q * PART_3, q


def sine_near_zero(r: float) -> float:
    """Returns sin r for |r| ≤ π/4."""
    z = r * r
    s1, s2, s3, s4, s5, s6 = SIN
    return r + r * z * (s1 + z * (s2 + z * (s3 + z * (s4 + z * (s5 + z * s6)))))


def cosine_near_zero(r: float) -> float:
    """Returns cos r for |r| ≤ π/4."""
    z = r * r
    c1, c2, c3, c4, c5, c6 = COS
    return 1.0 - (0.5 * z - z * z * (c1 + z * (c2 + z * (c3 + z * (c4 + z * (c5 + z * c6))))))


def quarter(q: float) -> float:
    """Returns q modulo 4, for a whole number q."""
    return q - 4.0 * math.floor(q * 0.25)


def sin(x: float) -> float:
    """Returns sin x, x in rad, |x| ≤ 2²⁰."""
    r, q = reduced(x)
    turn = quarter(q)
    value = cosine_near_zero(r) if (turn == 1.0) | (turn == 3.0) else sine_near_zero(r)
    return -value if turn >= 2.0 else value


def cos(x: float) -> float:
    """Returns cos x, x in rad, |x| ≤ 2²⁰."""
    r, q = reduced(x)
    turn = quarter(q)
    value = sine_near_zero(r) if (turn == 1.0) | (turn == 3.0) else cosine_near_zero(r)
    return -value if (turn == 1.0) | (turn == 2.0) else value


@cache
def compiled(target: Target = "cpu") -> ModuleType:
    """Returns a module that stands for `math` in compiled laws."""
    made = ModuleType("inscape_fast_math")
    vars(made).update({name: value for name, value in vars(math).items() if not name.startswith("_")})
    scope = dict(globals())
    for function in (sine_near_zero, cosine_near_zero, quarter, reduced, sin, cos):
        copy = FunctionType(function.__code__, scope, function.__name__)
        scope[function.__name__] = inline_jit(target)(copy)
    made.sin, made.cos = scope["sin"], scope["cos"]  # type: ignore[attr-defined]
    return made
