"""Kernels as plain Python by one switch."""

from __future__ import annotations

import math
import os
import subprocess
import sys

import pytest

from inscape.envs.compile.switch import kernel_math, plain_kernels

RUN = """
import sys
import numpy as np
from inscape import make_world
from inscape.agents.kernels import policy_gradient

world = make_world("FrozenLake")
copies = world.vector_env(3)
copies.reset(seed=0)
copies.step(np.array([0, 1, 2]))
order = np.arange(5)
policy_gradient.shuffle(order, -7, 0)  # a negative key: as an unsigned number it is huge
print(order.tolist(), "numba" in sys.modules)
"""


def run(**environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("INSCAPE_KERNELS", "NUMBA_DISABLE_JIT")}
    command = [sys.executable, "-W", "error::RuntimeWarning", "-c", RUN]
    return subprocess.run(command, env=kept | environment, capture_output=True, text=True)


@pytest.mark.compiled
def test_plain_kernels_give_what_compiled_ones_give_without_numba(tmp_path) -> None:
    cache = str(tmp_path)
    plain = run(INSCAPE_KERNELS="plain", INSCAPE_CACHE=cache).stdout.strip()
    compiled = run(INSCAPE_KERNELS="compiled", INSCAPE_CACHE=cache).stdout.strip()
    assert compiled.endswith("True")
    assert plain == compiled.replace("True", "False")


@pytest.mark.slow
def test_numbas_own_switch_makes_them_plain_too() -> None:
    assert run(NUMBA_DISABLE_JIT="1").stdout == run(INSCAPE_KERNELS="plain").stdout != ""


def test_another_word_is_refused() -> None:
    done = run(INSCAPE_KERNELS="fast")
    assert done.returncode != 0
    assert "INSCAPE_KERNELS=fast" in done.stderr
    assert "expected: auto, plain or compiled" in done.stderr


def test_plain_kernels_reckon_with_infinity_as_compiled_ones_do() -> None:
    with plain_kernels():
        plain = kernel_math()
    assert (plain.exp(1000.0), plain.log(0.0), plain.log1p(-1.0)) == (math.inf, -math.inf, -math.inf)
    assert all(math.isnan(value) for value in (plain.log(-1.0), plain.log1p(-2.0), plain.sqrt(-1.0)))
    for x in (0.25, 3.0):
        for name in ("exp", "log", "log1p", "sqrt", "sin"):
            assert getattr(plain, name)(x) == getattr(math, name)(x)


@pytest.mark.compiled
def test_compiled_kernels_use_math_itself() -> None:
    assert kernel_math() is math
