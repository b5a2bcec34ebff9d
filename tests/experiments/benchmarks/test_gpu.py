"""`make gpu` without a GPU: what its rows compute, what makes it fail, and all of it in the simulator."""

import math
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import gpu
from benchmarks.gpu import Row

ROOT = Path(__file__).parents[3]


def test_differences():
    one = np.array([1.0, -np.inf, np.nan, 100.0])
    assert gpu.difference(one, one.copy()) == 0
    assert gpu.difference(one, one + np.array([0.5, 0, 0, 0])) == 0.5
    assert gpu.difference(one, one + np.array([0.5, 0, 0, 0]), relative=True) == 0.005
    assert gpu.difference(one, np.zeros(4)) == math.inf
    assert gpu.difference(one, np.zeros(3)) == math.inf
    assert gpu.difference(one, np.array([np.inf, -np.inf, np.nan, 100.0])) == math.inf


def test_what_agrees():
    assert Row("a", 0.0, 0.0).agrees and Row("a", 1e-5, 1e-4).agrees and Row("speed only", speed=1.0).agrees
    assert not any(
        row.agrees for row in (Row("a", 1e-9, 0.0), Row("a", math.nan, 1.0), Row("a", failure="no"), Row("a", 0.1))
    )
    shown = gpu.table([Row("a", 0.5, 0.0, 2e9, 1e6, "steps/s"), Row("b", failure="gone")])
    assert shown.splitlines()[1].split() == ["a", "0.5", "0", "2.00e+09", "1.00e+06", "2000.0", "steps/s", "DIFFERS"]
    assert shown.splitlines()[2].split() == ["b", "gone"]


def test_what_raises_or_comes_too_late_is_a_row_that_fails():
    def broken():
        raise RuntimeError("no\nluck")

    shown = []
    steps = [("a", lambda: Row("a", 0.0, 0.0)), ("b", broken)]
    assert [row.failure for row in gpu.run(steps, time.monotonic() + 9, shown.append)] == ["", "RuntimeError: no luck"]
    assert [row.failure for row in gpu.run(steps, time.monotonic() - 1, shown.append)] == ["not run: time was over"] * 2
    assert len(shown) == 4


def test_rows_of_a_report():
    case = '<testcase classname="c" name="{}">{}</testcase>'
    passed, failed = case.format("p", ""), case.format("f", '<failure message="1 != 2"/>')
    skipped = case.format("s", '<skipped message="no CUDA device"/>')
    report = "<testsuites><testsuite>{}</testsuite></testsuites>"
    assert [row.agrees for row in gpu.rows_of_report(report.format(passed))] == [True]
    rows = gpu.rows_of_report(report.format(passed + failed + skipped))
    assert [row.failure for row in rows] == ["2 did not pass", "failure: 1 != 2", "skipped: no CUDA device"]
    assert [row.agrees for row in gpu.rows_of_report(report.format(""))] == [False]  # none was found


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so(capsys):
    assert gpu.main([]) == gpu.NO_GPU == 3
    assert "no GPU" in capsys.readouterr().out


def test_rows_of_networks_on_the_cpu(monkeypatch):
    settings = {"backend": "cuda", "num_envs": 4, "num_steps": 16, "hidden": (8,)}
    row = gpu.learner_row("a2c", "CartPole", 64, settings, gpu.TINY)
    assert row.agrees and row.difference == 0 and row.speed > 0
    real, calls = gpu.outputs, []

    def moved(agent, observations):  # as if the GPU computed something else
        calls.append(agent)
        return real(agent, observations) + (len(calls) == 2) * 1e-2

    monkeypatch.setattr(gpu, "outputs", moved)
    assert not gpu.learner_row("a2c", "CartPole", 64, settings, gpu.TINY).agrees


def test_wheels_are_pinned_as_everything_is():
    lines = [line for line in (ROOT / "requirements-gpu.txt").read_text().splitlines() if not line.startswith("#")]
    pins = dict(line.split("==") for line in lines)
    known = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    known = {name.lower().replace("_", "-"): version for name, version in known.items()}
    assert {name: version for name, version in pins.items() if name != "numba-cuda[cu13]"}.items() <= known.items()
    needed = re.findall(r'^    "([\w-]+)>=', (ROOT / "pyproject.toml").read_text().partition("[project.opt")[0], re.M)
    assert {*needed, "pytest", "numba-cuda[cu13]"} <= set(pins)


@pytest.mark.slow
def test_all_rows_in_the_simulator(tmp_path):
    command = [sys.executable, "-m", "benchmarks.gpu", "--simulate", "--out", str(tmp_path / "gpu.txt")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    table = (tmp_path / "gpu.txt").read_text()
    assert "simulated on the CPU" in table and "11 of 11 rows agree" in table
    assert len(re.findall(r"\bok$", table, re.M)) == 11
