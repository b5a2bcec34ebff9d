"""One process at a time trains a run; locks of dead processes are taken over; no `flock`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from inscape import resolve_task
from inscape.agents.random_agent import RandomAgent
from inscape.errors import UsageError
from inscape.experiments import train
from inscape.experiments.runs.folders import open_run
from inscape.experiments.runs.storage import lock
from inscape.experiments.runs.storage.lock import LOCK, STALE_SECONDS, Holder, RunLock, holder_of

ROOT = Path(__file__).parents[4]


class Slow(RandomAgent):
    """Learns nothing, a step at a time."""

    def learn(self, task: Any, steps: int) -> Iterator[Mapping[str, float]]:
        for step in range(getattr(self, "taken", 0) + 1, steps + 1):
            self.taken = step
            yield {"steps": float(step)}

    def state_dict(self) -> dict[str, Any]:
        return {"taken": getattr(self, "taken", 0)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.taken = state["taken"]


AGENT = f"{__name__}:Slow"


def trained(out: Path, steps: int = 5, **given: Any) -> Any:
    return train(AGENT, resolve_task("FrozenLake"), steps, out=out, evaluate_every=0, progress=False, **given)


def left_behind(folder: Path, **changes: Any) -> Holder:
    """Writes the lock of another process."""
    holder = replace(Holder.this_process(), pid=2**22 + 7, started="1", **changes)
    (folder / LOCK).write_text(json.dumps(asdict(holder)))
    return holder


def test_a_run_is_locked_while_it_is_trained_and_free_afterwards(tmp_path: Path) -> None:
    seen = []

    def look(agent: Any, metrics: Mapping[str, float]) -> None:
        holder = holder_of(tmp_path / "run")
        assert holder is not None and holder.pid == os.getpid()
        with pytest.raises(UsageError, match=r"run is in use by this process, since \d{4}-") as told:
            trained(tmp_path / "run", resume=True)
        seen.append(str(told.value))

    trained(tmp_path / "run", on_yield=look)
    assert len(seen) == 5 and "a run that no other process trains" in seen[0]
    assert not (tmp_path / "run" / LOCK).exists() and holder_of(tmp_path / "run") is None
    assert not list((tmp_path / "run").glob(f".{LOCK}*"))
    trained(tmp_path / "run", resume=True)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, UsageError])
def test_a_run_is_free_after_an_error(error: type[BaseException], tmp_path: Path) -> None:
    def fail(agent: Any, metrics: Mapping[str, float]) -> None:
        raise error("stop")

    with pytest.raises(BaseException):  # noqa: B017 — whatever becomes of it
        trained(tmp_path / "run", on_yield=fail, checkpoint_steps=1)
    assert not (tmp_path / "run" / LOCK).exists()
    assert trained(tmp_path / "run", resume=True).finished


def test_a_run_is_free_where_resuming_is_refused(tmp_path: Path) -> None:
    trained(tmp_path / "run")
    with pytest.raises(UsageError, match="the settings are not those"):
        trained(tmp_path / "run", steps=9, resume=True)
    assert not (tmp_path / "run" / LOCK).exists()


def test_the_lock_of_a_dead_process_is_taken_over(tmp_path: Path) -> None:
    left_behind(tmp_path)
    RunLock(tmp_path).release()
    assert not (tmp_path / LOCK).exists()


def test_the_number_of_a_dead_process_may_be_that_of_another(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        alive = replace(Holder.this_process(), pid=other.pid, started=lock._started(other.pid))
        (tmp_path / LOCK).write_text(json.dumps(asdict(alive)))
        with pytest.raises(UsageError, match=f"process {other.pid} on"):
            RunLock(tmp_path)
        (tmp_path / LOCK).write_text(json.dumps(asdict(replace(alive, started="12345"))))
        RunLock(tmp_path).release()
        other.kill()


def test_a_process_that_was_killed_and_not_waited_for_is_dead(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        holder = replace(Holder.this_process(), pid=other.pid, started=lock._started(other.pid))
        (tmp_path / LOCK).write_text(json.dumps(asdict(holder)))
        os.kill(other.pid, signal.SIGKILL)
        until = time.monotonic() + 10
        while lock._started(other.pid) != "zombie" and time.monotonic() < until:
            time.sleep(0.01)
        RunLock(tmp_path).release()


def test_another_machine_is_believed_as_long_as_it_touches_its_lock(tmp_path: Path) -> None:
    left_behind(tmp_path, place="elsewhere", host="node7\x1b[2J")
    with pytest.raises(UsageError, match=r"process \d+ on node7\\x1b\[2J") as told:
        RunLock(tmp_path)
    assert "\x1b" not in str(told.value)
    old = time.time() - STALE_SECONDS - 5
    os.utime(tmp_path / LOCK, (old, old))
    RunLock(tmp_path).release()


def test_a_lock_in_use_is_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "TOUCH_SECONDS", 0.02)
    held = RunLock(tmp_path)
    old = time.time() - 1000
    os.utime(tmp_path / LOCK, (old, old))
    until = time.monotonic() + 10
    while (tmp_path / LOCK).stat().st_mtime < old + 100 and time.monotonic() < until:
        time.sleep(0.02)
    assert (tmp_path / LOCK).stat().st_mtime > old + 100
    held.release()


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"pid": 1}', "[" * 100_000, '{"pid": "x"}'])
def test_a_lock_that_cannot_be_read_is_waited_for(text: str, tmp_path: Path) -> None:
    (tmp_path / LOCK).write_text(text)
    with pytest.raises(UsageError, match="a lock that cannot be read"):
        RunLock(tmp_path)
    os.utime(tmp_path / LOCK, (1, 1))
    RunLock(tmp_path).release()


def test_file_systems_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*arguments: Any, **more: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    held = RunLock(tmp_path)
    with pytest.raises(UsageError, match="in use by this process"):
        RunLock(tmp_path)
    held.release()
    RunLock(tmp_path).release()


def test_a_lock_that_was_taken_over_is_noticed_and_left(tmp_path: Path) -> None:
    """As when a machine slept: on waking up it stops, and leaves the lock to whoever took over."""
    stolen = []

    def steal(agent: Any, metrics: Mapping[str, float]) -> None:
        if metrics["steps"] == 3:
            stolen.append(left_behind(tmp_path / "run", place="elsewhere", host="node7"))

    with pytest.raises(UsageError, match="in use by process .* on node7"):
        trained(tmp_path / "run", on_yield=steal, checkpoint_steps=1)
    assert Holder.read(tmp_path / "run" / LOCK) == stolen[0]
    latest = open_run(tmp_path / "run").load_latest()
    assert latest is not None and latest[1]["steps"] < 3


def test_of_many_at_once_one_gets_it(tmp_path: Path) -> None:
    left_behind(tmp_path)
    got, refused, barrier = [], [], threading.Barrier(8)

    def take() -> None:
        barrier.wait()
        try:
            got.append(RunLock(tmp_path))
        except UsageError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 1 and len(refused) == 7
    got[0].release()


SCRIPT = """
import sys, time
from tests.experiments.runs.storage.test_lock import AGENT, trained
from pathlib import Path
def wait(agent, metrics):
    if metrics["steps"] == 3:
        print("here", flush=True)
        time.sleep(120)
trained(Path(sys.argv[1]), on_yield=wait, checkpoint_steps=1)
"""


@pytest.mark.slow
def test_on_the_command_line_a_run_in_progress_is_refused_and_a_killed_one_taken_over(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "INSCAPE_KERNELS": "plain"}
    out = tmp_path / "run"
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(out)], stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT
    ) as other:
        assert other.stdout is not None and other.stdout.readline() == "here\n"
        words = [sys.executable, "-m", "inscape", "train", "--resume", str(out), "--final-episodes", "0"]
        refused = subprocess.run(words, capture_output=True, text=True, env=environment, cwd=ROOT)
        assert refused.returncode == 2 and f"in use by process {other.pid} on" in refused.stderr, refused.stderr
        assert "Traceback" not in refused.stderr and open_run(out).metrics()[-1]["steps"] == 3
        other.kill()
    assert (out / LOCK).exists()
    done = subprocess.run(words, capture_output=True, text=True, env=environment, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert open_run(out).finished and not (out / LOCK).exists()


def test_two_that_begin_at_once_get_folders_of_their_own(tmp_path: Path) -> None:
    barrier, runs, errors = threading.Barrier(4), [], []

    def begin() -> None:
        barrier.wait()
        try:
            runs.append(
                train(
                    AGENT, resolve_task("FrozenLake"), 3, root=tmp_path, evaluate_every=0, progress=False
                ).path
            )  # fmt: skip
        except UsageError as error:
            errors.append(error)

    threads = [threading.Thread(target=begin) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors and len(set(runs)) == 4
