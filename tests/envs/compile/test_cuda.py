"""Laws compiled for a card that is not there: typing, NVVM and the assembler, of every kernel an environment launches.

Needs the extra `cuda` (or `cuda12`), whose wheels hold the compiler; neither a driver nor a card.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from inscape.envs.registry import world_specs

pytestmark = pytest.mark.compiled

ROOT = Path(__file__).parents[3]
KINDS = ("CartPole", "FrozenLake8x8", "ConnectFour", "StagHunt", "Kitchen", "DoorKey")
# The only fused operations an exact kernel may hold are those inside CUDA's own functions.
WITHOUT_FUNCTIONS = (
    "FrozenLake8x8",
    "ConnectFour",
    "StagHunt",
    "Kitchen",
    "DoorKey",
    "tests.envs.readers.cuda_cases:Orbit",
)


@cache
def has_compiler() -> bool:
    if importlib.util.find_spec("numba_cuda") is None:
        return False
    program = "from numba.cuda.cudadrv import nvvm; nvvm.NVVM()"
    return subprocess.run([sys.executable, "-c", program], capture_output=True).returncode == 0


def compiled(*names: str, arithmetic: str = "exact") -> dict[str, Any]:
    if not has_compiler():
        pytest.skip("no NVVM: install the extra cuda")
    command = [sys.executable, "-m", "tests.envs.compile.cuda_ptx", f"--{arithmetic}", *names]
    environment = os.environ | {"NUMBA_ENABLE_CUDASIM": "0"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return {report["world"]: report for report in found}


def assert_whole(report: dict[str, Any]) -> None:
    assert set(report["machine_code"]) == {"reset", "step", "play"}
    assert min(report["machine_code"].values()) > 1000


def test_kernels_become_machine_code_and_exact_ones_round_every_operation():
    reports = compiled(*KINDS, "tests.envs.readers.cuda_cases:Orbit")
    assert set(reports) == {*KINDS, "tests.envs.readers.cuda_cases:Orbit"}
    for name, report in reports.items():
        assert_whole(report)
        assert report["loose"] == 0, name  # products and sums the assembler might still fuse
        if name in WITHOUT_FUNCTIONS:
            assert report["fused"] == 0, name
    assert reports["tests.envs.readers.cuda_cases:Orbit"]["products"] >= 8


def test_fast_kernels_fuse_and_call_no_function_for_sine():
    reports = compiled("CartPole", "tests.envs.readers.cuda_cases:Orbit", arithmetic="fast")
    assert reports["tests.envs.readers.cuda_cases:Orbit"]["fused"] >= 4
    assert not reports["CartPole"]["local_memory"]  # CUDA's own reduces large arguments in an array on the stack


@pytest.mark.slow
@pytest.mark.parametrize("arithmetic", ["exact", "fast"])
def test_every_registered_world_becomes_machine_code(arithmetic):
    names = [spec.name for spec in world_specs()]
    reports = compiled(*names, arithmetic=arithmetic)
    assert list(reports) == names
    for report in reports.values():
        assert_whole(report)
