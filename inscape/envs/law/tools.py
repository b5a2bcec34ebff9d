"""What law functions may call beside arithmetic: the same results as plain Python, under Numba and under numba-cuda.

Import them by name (`from inscape.envs.law.tools import replaced`): a law is compiled together with the functions it
names. Integers of a state are 64-bit and signed; plain Python's have no end, hence `int64` and `shift_right` for boards
of up to 64 cells.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any, Literal, TypeVar

Item = TypeVar("Item")
Target = Literal["cpu", "cuda"]
BITS = 0xFFFFFFFFFFFFFFFF
SIGN = 1 << 63


def replaced(items: tuple[Item, ...], index: int, value: Item) -> tuple[Item, ...]:
    """Returns `items` with entry `index` replaced; all entries are of one type. Compiled: no branch."""
    return (*items[:index], value, *items[index + 1 :])


def int64(bits: int) -> int:
    """Returns the low 64 bits as a signed integer: how a packed state holds a bit board."""
    bits = int(bits) & BITS  # NumPy integers too
    return bits - (1 << 64) if bits & SIGN else bits


def shift_right(bits: int, count: int) -> int:
    """Returns the 64-bit pattern shifted right by `count` in 0 … 63, zeros coming in (`>>` would copy the sign)."""
    return int64((int(bits) & BITS) >> int(count))


def popcount(bits: int) -> int:
    """Returns the number of ones among the 64 bits."""
    return (int(bits) & BITS).bit_count()


def squared(x: float) -> float:
    """Returns finite `x` squared by the C library's `pow`, as NumPy's scalars and Python's `**` do it.

    For worlds that promise the bits of a Python original: a product is some 10 ns faster and differs in the last bit
    about once in 1,200 numbers. With `arithmetic="fast"` it is the product.
    """
    # the exponent is 2, which no compiler may conclude: it would multiply
    return float(x ** (2.0 + 0.0 * x))


def gaussian(uniform: float) -> float:
    """Returns the standard normal quantile of `uniform` in [0, 1): noise of a continuous law from its uniform number.

    Relative error below 1e-15. 0 counts as 2⁻⁵⁴, so the result is finite.

    Source: Wichura (1988), algorithm AS 241 (PPND16), Applied Statistics 37(3).
    """
    q = uniform - 0.5
    if abs(q) <= 0.425:
        r = 0.180625 - q * q
        top = (((((((2509.0809287301226727 * r + 33430.575583588128105) * r + 67265.770927008700853) * r
                + 45921.953931549871457) * r + 13731.693765509461125) * r + 1971.5909503065514427) * r
                + 133.14166789178437745) * r + 3.387132872796366608)  # fmt: skip
        bottom = (((((((5226.495278852545925 * r + 28729.085735721942674) * r + 39307.89580009271061) * r
                   + 21213.794301586595867) * r + 5394.1960214247511077) * r + 687.1870074920579083) * r
                   + 42.313330701600911252) * r + 1.0)  # fmt: skip
        return q * top / bottom
    tail = max(min(uniform, 1.0 - uniform), 2.0**-54)
    r = math.sqrt(-math.log(tail))
    if r <= 5.0:
        r -= 1.6
        top = (((((((7.7454501427834140764e-4 * r + 0.0227238449892691845833) * r + 0.24178072517745061177) * r
                + 1.27045825245236838258) * r + 3.64784832476320460504) * r + 5.7694972214606914055) * r
                + 4.6303378461565452959) * r + 1.42343711074968357734)  # fmt: skip
        bottom = (((((((1.05075007164441684324e-9 * r + 5.475938084995344946e-4) * r + 0.0151986665636164571966) * r
                   + 0.14810397642748007459) * r + 0.68976733498510000455) * r + 1.6763848301838038494) * r
                   + 2.05319162663775882187) * r + 1.0)  # fmt: skip
    else:
        r -= 5.0
        top = (((((((2.01033439929228813265e-7 * r + 2.71155556874348757815e-5) * r + 0.0012426609473880784386) * r
                + 0.026532189526576123093) * r + 0.29656057182850489123) * r + 1.7848265399172913358) * r
                + 5.4637849111641143699) * r + 6.6579046435011037772)  # fmt: skip
        bottom = (((((((2.04426310338993978564e-15 * r + 1.4215117583164458887e-7) * r + 1.8463183175100546818e-5) * r
                   + 7.868691311456132591e-4) * r + 0.0148753612908506148525) * r + 0.13692988092273580531) * r
                   + 0.59983220655588793769) * r + 1.0)  # fmt: skip
    return top / bottom if q > 0.0 else -top / bottom


# ---------------------------------------------------------------------------------------------- their compiled forms


def inline_jit(target: Target) -> Any:
    """Returns the decorator for small functions that compiled laws call: Numba's, or numba-cuda's for device code."""
    if target == "cuda":
        from numba import cuda

        return cuda.jit(device=True, forceinline=True)
    from numba import njit

    return njit(error_model="numpy", forceinline=True)


@cache
def compiled_form(function: Callable[..., Any], target: Target = "cpu", arithmetic: str = "exact") -> Any:
    """Returns what stands for a tool in a compiled law (a compiled function), or None for any other function."""
    form = (_FAST_FORMS if arithmetic == "fast" else _FORMS).get(function)
    return None if form is None else form(target)


def _compiled_replaced(target: Target) -> Any:
    if target == "cuda":  # numba-cuda has types and extensions of its own
        from numba.cuda import types
        from numba.cuda.extending import overload
    else:
        from numba import types
        from numba.extending import overload

    def entry_replaced(items, index, value):  # type: ignore[no-untyped-def]
        raise NotImplementedError("only inside compiled laws")

    @overload(entry_replaced, jit_options={"forceinline": True})  # type: ignore[untyped-decorator, unused-ignore]
    def implementation(items, index, value):  # type: ignore[no-untyped-def]
        if not isinstance(items, types.BaseTuple):
            return None
        entries = ", ".join(f"(value if index == {k} else items[{k}])" for k in range(len(items)))
        scope: dict[str, Any] = {}
        exec(f"def entries(items, index, value):\n    return ({entries},)\n", scope)
        return scope["entries"]

    @inline_jit(target)  # type: ignore[untyped-decorator, unused-ignore]
    def replaced(items, index, value):  # type: ignore[no-untyped-def]
        return entry_replaced(items, index, value)  # type: ignore[no-untyped-call]

    return replaced


def _compiled_int64(target: Target) -> Any:
    import numpy as np

    @inline_jit(target)  # type: ignore[untyped-decorator, unused-ignore]
    def int64(bits):  # type: ignore[no-untyped-def]
        return np.int64(bits)

    return int64


def _compiled_shift_right(target: Target) -> Any:
    import numpy as np

    @inline_jit(target)  # type: ignore[untyped-decorator, unused-ignore]
    def shift_right(bits, count):  # type: ignore[no-untyped-def]
        return np.int64(np.uint64(bits) >> np.uint64(count))

    return shift_right


def _compiled_popcount(target: Target) -> Any:
    import numpy as np

    m1, m2, m4 = np.uint64(0x5555555555555555), np.uint64(0x3333333333333333), np.uint64(0x0F0F0F0F0F0F0F0F)
    h01, s1, s2, s4, s56 = np.uint64(0x0101010101010101), np.uint64(1), np.uint64(2), np.uint64(4), np.uint64(56)

    @inline_jit(target)  # type: ignore[untyped-decorator, unused-ignore]
    def popcount(bits):  # type: ignore[no-untyped-def]
        x = np.uint64(bits)  # LLVM knows this pattern as one instruction where there is one
        x = x - ((x >> s1) & m1)
        x = (x & m2) + ((x >> s2) & m2)
        x = (x + (x >> s4)) & m4
        return np.int64((x * h01) >> s56)

    return popcount


def _compiled_product(target: Target) -> Any:
    @inline_jit(target)  # type: ignore[untyped-decorator, unused-ignore]
    def squared(x):  # type: ignore[no-untyped-def]
        return x * x

    return squared


_FORMS: dict[Callable[..., Any], Callable[[Target], Any]] = {
    replaced: _compiled_replaced,
    int64: _compiled_int64,
    shift_right: _compiled_shift_right,
    popcount: _compiled_popcount,
}
_FAST_FORMS = {**_FORMS, squared: _compiled_product}
