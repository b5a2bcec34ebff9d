"""What kernels of networks are where they are plain, against their own source, an element at a time."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any

import numpy as np
import pytest

from inscape.world_models.networks.kernels import array_forms, gru, perceptron

RNG = np.random.default_rng(0)
PLACES = {
    "activate": perceptron, "through_activation": perceptron, "copy_rows": perceptron, "sum_rows": perceptron,
    "norm": perceptron, "adam_move": perceptron, "rmsprop": perceptron, "gates": gru, "candidate": gru, "mix": gru,
}  # fmt: skip


def numbers(*shape: int) -> Any:
    return RNG.normal(0, 3, shape).astype(np.float32)


def squares(*shape: int) -> Any:
    return numbers(*shape) ** 2


Z = np.concatenate([numbers(5, 4), [[np.nan, np.inf, -np.inf, 0.0]]]).astype(np.float32)
STEP = (np.float32(1e-2), np.float32(1.5), 0.7, 1e-5)
CASES: list[tuple[str, tuple[Any, ...]]] = [
    *(("activate", (Z, numbers(4), kind, last)) for kind in (0, 1) for last in (False, True)),
    *(("through_activation", (numbers(6, 4), Z, kind)) for kind in (0, 1)),
    ("copy_rows", (numbers(3, 4), numbers(3, 4))),
    ("sum_rows", (numbers(9, 4), numbers(4))),
    ("norm", (numbers(50),)),
    ("adam_move", (numbers(9), numbers(9), numbers(9), squares(9), *STEP)),
    ("rmsprop", (numbers(9), numbers(9), squares(9), 1e-2, 0.7, 0.99, 1e-5)),
    ("gates", tuple(numbers(4, 8))),
    ("candidate", tuple(numbers(6, 5))),
    ("mix", tuple(numbers(4, 5))),
]


def source_of(name: str) -> Callable[..., Any]:
    """Returns the kernel's own source, as Python."""
    made = getattr(PLACES[name], name, None) or getattr(PLACES[name], f"_{name}")
    return getattr(made, "kernel", None) or getattr(made, "py_func", made)


@pytest.mark.parametrize(("name", "arguments"), CASES)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_they_are_what_the_kernels_are(name: str, arguments: tuple[Any, ...]) -> None:
    copies = [tuple(np.copy(a) if isinstance(a, np.ndarray) else a for a in arguments) for _ in range(2)]
    results = getattr(array_forms, name)(*copies[0]), source_of(name)(*copies[1])
    for one, other in zip((*copies[0], results[0]), (*copies[1], results[1]), strict=True):
        if name in ("norm", "sum_rows"):  # sums, in another order
            assert one is other is None or np.allclose(one, other, rtol=1e-6)
        else:
            assert one is other is None or np.array_equal(one, other, equal_nan=True)
    assert name == "norm" or any(not np.array_equal(a, b, equal_nan=True) for a, b in zip(arguments, copies[0]))


def test_every_form_is_compared() -> None:
    made = {name for name, value in vars(array_forms).items() if isinstance(value, FunctionType)}
    assert {name for name, _ in CASES} == set(PLACES) == made - {"tanh", "sigmoid"}
