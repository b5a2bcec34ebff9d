"""Environments that go wrong late (`late_faults`), with agents of every kind: what, copy, step and seed are named, and
the run is kept: it loads, and is resumed when the environment is mended.

All of them: `make test-faults`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from inscape import resolve_task
from inscape.agents import make_agent
from inscape.agents.rollout import evaluate
from inscape.envs.tasks.checking.contract import EnvironmentFault
from inscape.envs.tasks.processes.workers import Workers
from inscape.experiments import train
from inscape.experiments.runs.resuming import load_agent
from tests.conftest import slow_but
from tests.envs.tasks import late_faults
from tests.envs.tasks.late_faults import COPIES, FAULTS, HARMLESS, SEED, cases, name_of
from tests.forked import Forks

AGENTS: dict[str, dict[str, Any]] = {
    "ppo": {"num_envs": COPIES, "num_steps": 16, "epochs": 1, "hidden": (8,)},
    "dqn": {"num_envs": COPIES, "learning_starts": 64, "hidden": (8,), "buffer_size": 500, "backend": "torch"},
    "sac": {"num_envs": COPIES, "learning_starts": 64, "hidden": (8,), "buffer_size": 500, "backend": "torch"},
    "sb3:ppo": {"num_envs": COPIES, "num_steps": 16, "batch_size": 64, "epochs": 1},
    "random": {},
}
STEPS = 400
CATCHABLE = [(what, when) for what, when in cases() if FAULTS[what].place != "process"]
FATAL = [(what, when) for what, when in cases() if FAULTS[what].place == "process"]


@pytest.fixture(autouse=True)
def _own_environment():
    """Undoes what faults do to the variables of the process, which later tests would inherit."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(autouse=True)
def _not_mended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LATE_FAULTS_MENDED", raising=False)


def agent_for(kind: str, what: str, number: int) -> tuple[str, bool]:
    """Returns the agent, and whether actions are continuous: `off-policy` is DQN or SAC in turn."""
    continuous = number % 2 == 1 and not FAULTS[what].finite
    if kind == "off-policy":
        kind = "sac" if continuous else "dqn"
    return kind, continuous


def require_named(text: str, what: str) -> None:
    """Fails unless a message says what went wrong, in which copy, at which step and seed."""
    assert FAULTS[what].says in text, text
    assert re.search(r"in copy \d+ at step \d+ \((seed \d+|not seeded)\)", text), text
    assert len(text) < 2000


def trained(agent: str, name: str, out: Path, resume: bool = False, workers: Workers | None = None) -> Any:
    return train(
        agent, resolve_task(name), STEPS, seed=SEED, out=out, resume=resume, settings=AGENTS[agent], progress=False,
        evaluate_every=0, workers=workers,
    )  # fmt: skip


def require_kept(agent: str, name: str, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails unless the run loads, and goes on to its end in the mended environment."""
    monkeypatch.setenv("LATE_FAULTS_MENDED", "1")
    load_agent(out)
    assert trained(agent, name, out, resume=True).finished


def goes_wrong(kind: str, what: str, when: str, number: int, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    agent, continuous = agent_for(kind, what, number)
    name = name_of(what, when, continuous)
    if agent == "random":
        task = resolve_task(name)
        with pytest.raises(EnvironmentFault) as told:
            evaluate(make_agent("random", task), task, 2 * COPIES + 8, SEED, max_copies=COPIES)
        require_named(str(told.value), what)
        return
    with pytest.raises(EnvironmentFault) as told:
        trained(agent, name, out)
    require_named(str(told.value), what)
    assert str(out) in str(told.value)
    require_kept(agent, name, out, monkeypatch)


KINDS = ("ppo", "off-policy", "random", "sb3:ppo")
SAMPLE = [(KINDS[n % 4], *case, n) for n, case in enumerate(CATCHABLE[::13])][:20]


@pytest.mark.quick(every=5)
@pytest.mark.parametrize(("kind", "what", "when", "number"), SAMPLE)
def test_it_is_named_and_the_run_kept(
    kind: str, what: str, when: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_wrong(kind, what, when, number, tmp_path / "run", monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("what", "when"), CATCHABLE)
def test_every_fault_with_every_agent(
    kind: str, what: str, when: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_wrong(kind, what, when, list(FAULTS).index(what), tmp_path / "run", monkeypatch)


# --- what ends or blocks the process -------------------------------------------------------------------------------


def survives(kind: str, what: str, when: str, number: int, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a worker process it is named and made again, and at last the run stops and is kept."""
    agent, continuous = agent_for(kind, what, number)
    name = name_of(what, when, continuous)
    limits = Workers(2, hang_seconds=1.0, max_restarts=1)
    if agent == "random":
        task = resolve_task(name).in_workers(limits)
        if when == "copy3":
            evaluate(make_agent("random", task), task, 4 * COPIES, SEED, max_copies=COPIES)
        else:
            with pytest.raises(EnvironmentFault) as told:
                evaluate(make_agent("random", task), task, 4 * COPIES, SEED, max_copies=COPIES)
            require_named(str(told.value), what)
    elif when == "copy3":  # made again with another seed, it does not go wrong again
        run = trained(agent, name, out, workers=limits)
        assert run.finished and limits.restarts == 1
        assert (out / "restarts.jsonl").read_text().count("\n") == len(limits.faults)
    else:
        with pytest.raises(EnvironmentFault) as told:
            trained(agent, name, out, workers=limits)
        require_named(str(told.value), what)
        require_kept(agent, name, out, monkeypatch)
    assert limits.restarts
    require_named(next(fault for fault in limits.faults if not fault.shared).message, what)


@pytest.mark.quick("hang-in-c-copy3")
@pytest.mark.parametrize(("what", "when"), [("os-exit", "late"), ("hang-in-c", "copy3"), ("segfault", "second")])
def test_in_a_worker_it_is_named_and_made_again(
    what: str, when: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    survives("sb3:ppo" if when == "late" else "ppo", what, when, 0, tmp_path / "run", monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("what", "when"), FATAL)
def test_every_fatal_fault_in_workers(
    kind: str, what: str, when: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    survives(kind, what, when, list(FAULTS).index(what), tmp_path / "run", monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize(("what", "when"), [case for case in FATAL if not case[0].startswith(("hang", "files"))])
def test_in_this_process_the_run_is_left_resumable(
    what: str, when: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forks: Forks
) -> None:
    out = tmp_path / "run"
    words = ("train", "sb3:ppo", name_of(what, when), "--steps", str(STEPS), "--out", str(out), *SB3_WORDS)
    done = forks.command(*words)
    assert (out / "settings.json").is_file(), done.stderr
    require_kept("sb3:ppo", name_of(what, when), out, monkeypatch)


# --- bad manners ---------------------------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A working folder, come back to at the end."""
    before = Path.cwd()
    os.chdir(tmp_path)
    yield tmp_path
    os.chdir(before)


@pytest.mark.quick(every=4)
@pytest.mark.parametrize("number", range(len(HARMLESS)), ids=list(HARMLESS))
@pytest.mark.parametrize("workers", [0, 2])
def test_bad_manners_do_no_harm(number: int, workers: int, home: Path) -> None:
    what = list(HARMLESS)[number]
    if workers and what not in ("folder", "close-raises", "thread"):
        pytest.skip("what happens in another process is no concern of this one")
    divided = Workers(workers) if workers else None
    run = trained("ppo", name_of(what, "late"), Path("run"), workers=divided)
    assert run.finished and (home / "run" / "settings.json").is_file()
    assert divided is None or not divided.faults


# --- the command line ----------------------------------------------------------------------------------------------

SB3_WORDS = (
    "--seed", str(SEED), "--num-envs", "4", "--num-steps", "16", "--batch-size", "64", "--epochs", "1",
    "--evaluate-every", "0", "--final-episodes", "0",
)  # fmt: skip


ON_THE_LINE = [("exit", "late"), ("interrupt", "second"), ("raises-control", "copy3"), ("reward-nan", "first")]


@pytest.mark.parametrize(("what", "when"), slow_but([("exit", "late")], ON_THE_LINE))
def test_on_the_command_line(what: str, when: str, tmp_path: Path, forks: Forks) -> None:
    out = tmp_path / "run"
    words = ("train", "sb3:ppo", name_of(what, when), "--steps", str(STEPS), "--out", str(out), *SB3_WORDS)
    done = forks.command(*words)
    assert done.returncode == 2 and "Traceback" not in done.stderr and "\x1b" not in done.stderr, done.stderr
    require_named(done.stderr[done.stderr.index("inscape: ") :], what)
    os.environ["LATE_FAULTS_MENDED"] = "1"
    try:
        again = forks.command("train", "--resume", str(out), "--final-episodes", "2")
    finally:
        del os.environ["LATE_FAULTS_MENDED"]
    assert again.returncode == 0, again.stderr


def test_there_are_200_of_them() -> None:
    assert len(set(cases())) >= 200
    assert late_faults.__name__ in name_of("raises", "late")
