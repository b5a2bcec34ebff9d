"""Everything that needs a GPU, in one run of at most 8 minutes: tests marked `gpu`, agreement with the CPU, speeds.

    make gpu                                   # writes build/gpu.txt
    python -m benchmarks.gpu [--out FILE] [--minutes 8]
    python -m benchmarks.gpu --simulate        # the same rows, tiny, without a GPU

Rows: environments of the compiled laws (64 steps of all copies in a CUDA graph), random play inside one kernel,
learners whose environments stay on the GPU, learners in torch, the sequence model. Each compares first: the same copies
given the same actions; the same weights given the same observations; the same minibatches. "allowed" is how far the two
may be apart (docs/cuda.md, "Bits"): 0 where whole numbers and IEEE arithmetic decide.

`--simulate` runs kernels in Numba's simulator and torch on the CPU in place of the GPU: the logic, not the speed.

Exit code 0: every result agrees and every test passed; 1: one does not, did not run, or time was over; 3: there is no
GPU (nothing was measured); 4: packages are missing (named).
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
AGREED, DIFFERS, NO_GPU, NO_PACKAGES = 0, 1, 3, 4
NEEDED = ("torch", "numba", "numba_cuda", "gymnasium", "scipy", "pytest")
ROWS_SHARE = 0.55
"""Of the time: rows are begun within it, the tests have the rest."""
WORLDS = {"FrozenLake8x8": 0.0, "Taxi": 0.0, "ConnectFour": 0.0, "CartPole": 1e-4}
"""World → how far observations and rewards may be apart: sine and cosine are CUDA's own in CartPole."""
LEARNERS = (
    ("ppo", "CartPole", 65_536, {"backend": "cuda"}),
    ("a2c", "CartPole", 65_536, {"backend": "cuda"}),
    ("ppo", "CartPole", 16_384, {"backend": "torch"}),
    ("dqn", "CartPole", 4096, {"backend": "torch", "learning_starts": 100}),
    ("sac", "Pendulum", 1024, {"backend": "torch", "learning_starts": 100}),
)
"""Agent, world, environment steps, settings."""
OUTPUTS = 1e-4
"""How far outputs of networks may be apart, relative to the largest: float32, summed in another order."""
OF_AGENTS = ("state_values", "action_log_probs", "action_values")
"""Methods that say what a network computes."""
LEARNED = 1e-2
"""The same of log-probabilities (nats) after twenty gradient steps on equal minibatches."""


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes:
        what: what was run.
        difference, allowed: largest difference from the CPU's results; None where nothing was compared.
        speed: units a second on the GPU; None where not measured.
        cpu: the same on the CPU.
        unit: of both.
        failure: why it does not count; "" where it does.
    """

    what: str
    difference: float | None = None
    allowed: float | None = None
    speed: float | None = None
    cpu: float | None = None
    unit: str = ""
    failure: str = ""

    @property
    def agrees(self) -> bool:
        """Whether it ran, and the difference is allowed; one that is not a number is not."""
        if self.failure:
            return False
        return self.difference is None or (self.allowed is not None and self.difference <= self.allowed)

    def cells(self) -> tuple[str, ...]:
        """Returns what the table shows."""
        times = f"{self.speed / self.cpu:.1f}" if self.speed and self.cpu else ""
        verdict = "ok" if self.agrees else self.failure or "DIFFERS"
        return (self.what, _short(self.difference), _short(self.allowed), _short(self.speed), _short(self.cpu), times,
                self.unit, verdict)  # fmt: skip


@dataclass(frozen=True)
class Size:
    """How much is run.

    Attributes:
        compared: copies and steps that are compared, and observations of networks.
        steps: of each comparison.
        copies: whose speed is measured.
        learn: environment steps of a learner at most.
        seconds: of a measurement of speed.
        graphs: whether steps are replayed in CUDA graphs.
        device: of torch.
    """

    compared: int = 4096
    steps: int = 60
    copies: int = 65_536
    learn: int = 1 << 20
    seconds: float = 0.5
    graphs: bool = True
    device: str = "cuda"


TINY = Size(3, 4, 3, 256, 0.0, False, "cpu")
"""For the simulator: a step of a copy takes it milliseconds."""


def _short(number: float | None) -> str:
    return "" if number is None else f"{number:.3g}" if number < 1e5 else f"{number:.2e}"


# ------------------------------------------------------------------------------------------------------------- rows


def environment_row(name: str, allowed: float, size: Size) -> Row:
    """Returns how far apart copies on the GPU and on the CPU are, given the same actions, and both speeds.

    Flags and masks must be equal whatever is allowed.
    """
    import torch

    from benchmarks.cuda_speed import prepared
    from inscape import make_world

    world = make_world(name)
    cpu = world.vector_env(size.compared, "same-step")
    gpu: Any = world.vector_env(size.compared, "same-step", device="cuda")
    _, infos = cpu.reset(seed=0)
    gpu.reset(seed=0)
    rng, worst = np.random.default_rng(0), 0.0
    for _ in range(size.steps):
        mask = infos.get("action_mask", world.mask_array(size.compared))
        actions = np.where(mask, rng.random(mask.shape), -1.0).argmax(-1)
        expected = cpu.step(actions)
        infos = expected[4]
        found = [part.cpu().numpy() for part in gpu.step(torch.from_numpy(actions).to(gpu.device))[:4]]
        for one, other in zip(expected[:2], found[:2], strict=True):
            worst = max(worst, difference(np.asarray(one, float), other.astype(float)))
        for one, other in zip(expected[2:4], found[2:4], strict=True):
            if not np.array_equal(one, other):
                worst = np.inf
    gpu.check()
    launch = prepared(name, size.copies, size.graphs, {"arithmetic": "exact"})
    speed = rate(launch, size)
    actions = np.zeros(size.compared, np.int64)
    plain = world.vector_env(size.compared, "same-step")
    _, infos = plain.reset(seed=0)

    def on_cpu() -> int:
        nonlocal infos
        mask = infos.get("action_mask")
        infos = plain.step(actions if mask is None else mask.argmax(-1))[4]
        return size.compared

    return Row(f"{name}, {size.copies:,} copies", worst, allowed, speed, rate(on_cpu, size), "steps/s")


def play_row(size: Size) -> Row:
    """Returns the speed of random play of ConnectFour inside one kernel, and how far its number of episodes, their mean
    return and length are from the CPU's: sums in another order."""
    from benchmarks.cuda_speed import played
    from inscape import make_world

    world = make_world("ConnectFour")
    gpu: Any = world.vector_env(size.compared, "same-step", device="cuda")
    gpu.reset(seed=0)
    found, expected = gpu.play(size.steps), world.random_play(size.compared, size.steps, seed=0)
    one, other = (np.array([p.steps, p.episodes, *p.mean_return, p.mean_length]) for p in (expected, found))
    speed = rate(played("ConnectFour", size.copies, {"arithmetic": "exact"}), size)
    return Row(
        f"ConnectFour, random play, {size.copies:,} copies", difference(one, other), 1e-9, speed, None, "steps/s"
    )


def learner_row(agent: str, world: str, steps: int, settings: dict[str, Any], size: Size) -> Row:
    """Returns how far apart outputs are of a network trained on the GPU, there and on the CPU, and both speeds."""
    from inscape.agents import make_agent
    from inscape.envs.tasks.resolve import resolve_task

    task = resolve_task(world)
    gpu = make_agent(agent, task, seed=0, device=size.device, settings=settings)
    began = time.perf_counter()
    list(gpu.learn(task, steps))
    speed = steps / (time.perf_counter() - began)
    cpu = make_agent(agent, task, seed=0, device="cpu", settings=settings)
    began = time.perf_counter()
    list(cpu.learn(task, steps))
    cpu_speed = steps / (time.perf_counter() - began)
    cpu.load_state_dict(gpu.state_dict())
    rng = np.random.default_rng(0)
    rows = [task.observation_space.sample() for _ in range(8)]
    shape = np.asarray(rows).shape[1:]
    observations = rng.normal(size=(max(8, size.compared), *shape)).astype(np.float32)
    worst = difference(outputs(cpu, observations), outputs(gpu, observations), relative=True)
    how = settings.get("backend", "torch")
    return Row(f"{agent} in {world}, {how}", worst, OUTPUTS, speed, cpu_speed, "steps/s")


def outputs(agent: Any, observations: np.ndarray) -> np.ndarray:
    """Returns what an agent's networks say of observations, `[B, .]`: values and log-probabilities."""
    if agent.name == "sac":
        found = [agent.action_values(observations, np.zeros((len(observations), 1)))]
    else:
        found = [getattr(agent, name)(observations) for name in OF_AGENTS if hasattr(agent, name)]
    return np.concatenate([np.asarray(part).reshape(len(observations), -1) for part in found], -1)


def sequence_row(size: Size) -> Row:
    """Returns how far apart log-probabilities are of two sequence models that learned the same minibatches."""
    from inscape import make_agent
    from inscape.agents.rollout import rollout
    from inscape.envs.tasks.resolve import resolve_task
    from inscape.world_models import SequenceModel, SequenceSettings

    task = resolve_task("FrozenLake")
    episodes = list(rollout(make_agent("random", task, seed=0), task, 20, 0))
    settings = SequenceSettings(width=32, layers=1, heads=2, updates=20, batch_size=16)
    found, speeds = [], []
    for device in (size.device, "cpu"):
        model = SequenceModel.for_task(task, settings, seed=0, device=device)
        began = time.perf_counter()
        list(model.learn(episodes))
        speeds.append(settings.updates / (time.perf_counter() - began))
        found.append(np.concatenate([model.step_log_probs(episode) for episode in episodes[:5]]))
    return Row("sequence model, 20 updates", difference(found[1], found[0]), LEARNED, speeds[0], speeds[1], "updates/s")


def difference(one: np.ndarray, other: np.ndarray, relative: bool = False) -> float:
    """Returns the largest difference of two arrays; infinity where one is not finite and the other is no equal."""
    if one.shape != other.shape:
        return float("inf")
    finite = np.isfinite(one) & np.isfinite(other)
    if not np.array_equal(one[~finite], other[~finite], equal_nan=True):
        return float("inf")
    apart = np.abs(one[finite] - other[finite]).max(initial=0.0)
    return float(apart / max(1.0, np.abs(one[finite]).max(initial=0.0)) if relative else apart)


def rate(call: Callable[[], int], size: Size) -> float:
    """Returns units a second; `call` returns how many it did, on the GPU's current stream or at once."""
    import torch

    def wait() -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()

    call()
    wait()
    found, calls = list[float](), 1
    while len(found) < 3:
        began = time.perf_counter()
        done = sum(call() for _ in range(calls))
        wait()
        elapsed = time.perf_counter() - began
        if elapsed < size.seconds:
            calls *= 2
        else:
            found.append(done / elapsed)
    return statistics.median(found)


def plan(size: Size) -> list[tuple[str, Callable[[], Row]]]:
    """Returns what is measured: names, and what makes the row of each."""
    rows: list[tuple[str, Callable[[], Row]]] = [
        (name, lambda n=name, a=allowed: environment_row(n, a, size)) for name, allowed in WORLDS.items()
    ]  # fmt: skip
    rows.append(("random play", lambda: play_row(size)))
    for agent, world, steps, settings in LEARNERS:
        given = (agent, world, min(steps, size.learn), _fit(settings, agent, size), size)
        rows.append((agent, lambda given=given: learner_row(*given)))  # type: ignore[misc]
    rows.append(("sequence model", lambda: sequence_row(size)))
    return rows


def _fit(settings: dict[str, Any], agent: str, size: Size) -> dict[str, Any]:
    if size.device == "cuda" or agent not in ("ppo", "a2c"):
        return settings
    return settings | {"num_envs": 4, "num_steps": 16, "hidden": (8,)}


# ------------------------------------------------------------------------------------------------------------ tests


def test_rows(seconds: float) -> list[Row]:
    """Runs every test marked `gpu` in a process of its own, and returns a row for each that did not pass, and of all.

    Args:
        seconds: after which it is ended.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            "-m",
            "gpu",
            f"--junitxml={report}",
            "tests",
        ]
        try:
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=max(1.0, seconds))
        except subprocess.TimeoutExpired:
            return [Row("tests marked gpu", failure=f"not finished after {seconds:.0f} s")]
        if not report.exists():
            return [Row("tests marked gpu", failure=(done.stdout + done.stderr).strip()[-300:] or "no report")]
        return rows_of_report(report.read_text(encoding="utf-8"))


def rows_of_report(text: str) -> list[Row]:
    """Returns rows from a JUnit report: one for all, one for each test that failed or was skipped."""
    cases = list(ElementTree.fromstring(text).iter("testcase"))
    bad = [(case, part) for case in cases for part in case if part.tag in ("failure", "error", "skipped")]
    failed = "" if cases and not bad else f"{len(bad)} did not pass" if cases else "there is none"
    rows = [Row(f"{len(cases)} tests marked gpu", failure=failed)]
    for case, part in bad:
        why = (part.get("message") or part.text or "").strip().splitlines()
        rows.append(Row(f"{case.get('classname')}::{case.get('name')}", failure=f"{part.tag}: {' '.join(why)[:120]}"))
    return rows


# -------------------------------------------------------------------------------------------------------------- all


def run(steps: Sequence[tuple[str, Callable[[], Row]]], deadline: float, show: Callable[[Row], None]) -> list[Row]:
    """Runs one after another; what raises, and what time was over for, is a row that does not count.

    Args:
        steps: from `plan`.
        deadline: by `time.monotonic()`, after which none is begun.
        show: called with each row.
    """
    found = []
    for name, make in steps:
        try:
            row = make() if time.monotonic() < deadline else Row(name, failure="not run: time was over")
        except Exception as error:  # the others still say what they say
            row = Row(name, failure=f"{type(error).__name__}: {' '.join(str(error).split())[:200]}")
        found.append(row)
        show(row)
    return found


HEAD = ("what", "apart", "allowed", "GPU", "CPU", "times", "unit", "")


def table(rows: Sequence[Row]) -> str:
    """Returns the table as text."""
    lines = [HEAD, *(row.cells() for row in rows)]
    widths = [max(len(line[k]) for line in lines) for k in range(len(HEAD) - 1)]
    return "\n".join(
        "  ".join([*(cell.ljust(w) if k in (0, 6) else cell.rjust(w) for k, (cell, w) in enumerate(zip(line, widths))),
                   line[-1]]).rstrip()
        for line in lines
    )  # fmt: skip


def missing() -> list[str]:
    """Returns the packages that are needed and not installed."""
    return [name for name in NEEDED if importlib.util.find_spec(name) is None]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", help="file for the table")
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--simulate", action="store_true")
    given = parser.parse_args(argv)
    if given.simulate and os.environ.get("NUMBA_ENABLE_CUDASIM") != "1":  # read when numba is imported
        return subprocess.run(
            [sys.executable, "-m", "benchmarks.gpu", *(sys.argv[1:] if argv is None else argv)], cwd=ROOT,
            env={**os.environ, "NUMBA_ENABLE_CUDASIM": "1"},
        ).returncode  # fmt: skip
    began = time.monotonic()
    deadline = began + 60 * given.minutes
    if not given.simulate:
        import torch

        if not torch.cuda.is_available():
            print(f"no GPU: torch {torch.__version__} finds no CUDA device; nothing was measured")
            return NO_GPU
        if lacking := missing():
            print(f"not installed: {', '.join(lacking)}; try: pip install -r requirements-gpu.txt (docs/cuda.md)")
            return NO_PACKAGES
        from inscape.envs.compile.cuda import has_card

        if not has_card():
            print("torch finds a GPU, numba-cuda does not: its driver is too old for this numba-cuda (docs/cuda.md)")
            return NO_PACKAGES
    import torch

    title = "simulated on the CPU" if given.simulate else torch.cuda.get_device_name()
    title = f"{title}; torch {torch.__version__}, Python {sys.version.split()[0]}"
    print(title, flush=True)

    def show(row: Row) -> None:
        print(f"{time.monotonic() - began:6.1f} s  {'  '.join(filter(None, row.cells()))}", flush=True)

    for_rows = began + 60 * given.minutes * (1.0 if given.simulate else ROWS_SHARE)
    rows = run(plan(TINY if given.simulate else Size()), for_rows, show)
    if not given.simulate:
        rows += test_rows(deadline - time.monotonic())
    bad = [row for row in rows if not row.agrees]
    seconds = time.monotonic() - began
    end = f"{len(rows) - len(bad)} of {len(rows)} rows agree; {seconds:.0f} s"
    text = f"{title}\n\n{table(rows)}\n\n{end}\n"
    print(f"\n{text}", end="")
    if given.out:
        Path(given.out).parent.mkdir(parents=True, exist_ok=True)
        Path(given.out).write_text(text, encoding="utf-8")
    return DIFFERS if bad else AGREED


if __name__ == "__main__":
    sys.exit(main())
