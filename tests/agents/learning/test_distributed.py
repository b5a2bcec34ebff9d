"""Two processes under torchrun (gloo, on the CPU) learn what one process with all the copies learns."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inscape.agents.learning.distributed import ProcessGroup, from_bytes, to_bytes
from inscape.agents.learning.env_runner import EnvRunner
from inscape.agents.off_policy.agent import Step, joined_steps, steps_message
from inscape.agents.registry import make_agent
from inscape.envs.data.transition import Transition
from inscape.envs.tasks.resolve import resolve_task
from inscape.errors import UsageError
from inscape.experiments.runs.folders import open_run
from inscape.experiments.runs.loading import learning_task
from inscape.experiments.runs.run import Run
from inscape.experiments.runs.storage.checkpoints import checkpoint_folders
from inscape.experiments.runs.training import train
from tests.experiments.runs.storage.test_checkpoints import assert_same

WORLDS = Path(__file__).parents[1] / "worlds.py"
CORRIDOR = f"{WORLDS}:Corridor"
TOLERANCE = 1e-5
"""Of weights after twelve rounds: the same numbers are added in another order, in float32 (ε = 1.2e-7)."""
ON_POLICY: dict[str, Any] = {"num_envs": 6, "num_steps": 16, "hidden": (8,)}
REPLAYING: dict[str, Any] = {
    "num_envs": 4, "train_freq": 2, "gradient_steps": 2, "learning_starts": 40, "batch_size": 15, "buffer_size": 300,
    "hidden": (8,), "report_every": 80,
}  # fmt: skip
SETTINGS: dict[str, dict[str, Any]] = {
    "ppo": {**ON_POLICY, "epochs": 2, "minibatches": 4},
    "a2c": ON_POLICY,
    "dqn": {**REPLAYING, "target_update_interval": 24, "epsilon_end": 0.3},
    "sac": REPLAYING,
}
STEPS = {"ppo": 12 * 6 * 16, "a2c": 12 * 6 * 16, "dqn": 480, "sac": 480}
EVERYTHING = {"double": True, "dueling": True, "n_step": 3, "prioritized": True, "anneal": "linear"}
# What `torchrun` does, with processes forked after torch is imported, which takes longer than the jobs. Of several jobs
# all but the last run in forks of their own, whose processes meet at another port.
SCRIPT = """
import json, os, sys, traceback
import torch, torch._dynamo, tensorboard.compat.proto.event_pb2, tensorboard.summary.writer.event_file_writer
from torch.distributed.launcher.api import LaunchConfig, elastic_launch
from inscape.envs.tasks.resolve import resolve_task
from inscape.experiments.runs.training import train

def run(agent, world, steps, settings, out, resume):
    train(agent, resolve_task(world), steps, settings=settings, out=out, resume=resume, seed=4, progress=False,
          evaluate_every=400, evaluate_episodes=2, checkpoint_steps=1)

def process(jobs):
    os.environ["TORCHELASTIC_USE_AGENT_STORE"] = "False"
    for port, *first in jobs[:-1]:
        os.environ["MASTER_PORT"] = str(port)
        child = os.fork()
        if child == 0:
            try:
                run(*first)
            except SystemExit as end:
                code = end.code or 0
            except BaseException:
                traceback.print_exc()
                code = 1
            else:
                code = 0
            sys.stdout.flush()
            os._exit(code)
        if os.waitpid(child, 0)[1]:
            sys.exit(1)
    port, *last = jobs[-1]
    os.environ["MASTER_PORT"] = str(port)
    run(*last)

if __name__ == "__main__":
    jobs, processes = json.loads(sys.argv[1]), int(sys.argv[2])
    if "RANK" in os.environ:
        process(jobs)
    else:
        settings = LaunchConfig(1, 1, processes, run_id="tests", rdzv_backend="c10d", rdzv_endpoint="localhost:0",
                                max_restarts=0, start_method="fork")
        elastic_launch(settings, process)(jobs)
"""
Job = tuple[Any, ...]


def job(out: Path, world: str = "CartPole", agent: str = "ppo", resume: bool = False, **more: Any) -> Job:
    with socket.create_server(("localhost", 0)) as free:
        port = free.getsockname()[1]
    return port, agent, world, STEPS[agent], {**SETTINGS[agent], **more}, str(out), resume


def launch(folder: Path, jobs: list[Job], processes: int = 2, torchrun: bool = False) -> subprocess.Popen[str]:
    (folder / "job.py").write_text(SCRIPT)
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)] if torchrun else []
    return subprocess.Popen(
        [sys.executable, *command, str(folder / "job.py"), json.dumps(jobs), str(processes)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
    )  # fmt: skip


def together(out: Path, world: str = "CartPole", agent: str = "ppo", processes: int = 2, **more: Any):
    return launch(out.parent, [job(out, world, agent, **more)], processes, torchrun=processes == 3)


def finished(process: subprocess.Popen[str], out: Path) -> Run:
    said, _ = process.communicate(timeout=240)
    assert process.returncode == 0, said
    return open_run(out)


def alone(out: Path, world: str = "CartPole", agent: str = "ppo", **more: Any) -> Run:
    settings = {**SETTINGS[agent], **more, "backend": "torch"}
    return train(
        agent, resolve_task(world), STEPS[agent], settings=settings, out=out, seed=4, progress=False,
        evaluate_every=400, evaluate_episodes=2,
    )  # fmt: skip


def state(run: Run) -> dict[str, Any]:
    latest = run.load_latest()
    assert latest is not None
    assert latest[1]["finished"]
    return latest[0]


def require_close(left: Run, right: Run) -> None:
    one, other = state(left)["network"], state(right)["network"]
    assert list(one) == list(other)
    for name in one:
        np.testing.assert_allclose(one[name], other[name], rtol=0, atol=TOLERANCE, err_msg=name)
    for row, same in zip(left.metrics(), right.metrics(), strict=True):
        # each process reports the episodes of its own copies (`EpisodeLog`), as soon as those before them have ended
        ours, theirs = ([name for name in found if not name.startswith("episode_")] for found in (row, same))
        assert ours == theirs
        for name in ours:
            if name != "seconds":
                assert row[name] == pytest.approx(same[name], abs=1e-3, rel=1e-3), name


@dataclass(frozen=True)
class Launched:
    """Three jobs of two processes, the last of which is refused."""

    folder: Path
    returncode: int
    output: str


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> Launched:
    folder = tmp_path_factory.mktemp("two")
    jobs = [
        job(folder / "ppo"), job(folder / "dqn", CORRIDOR, "dqn", **EVERYTHING), job(folder / "refused", num_envs=7),
    ]  # fmt: skip
    process = launch(folder, jobs)
    output, _ = process.communicate(timeout=240)
    return Launched(folder, process.returncode, output)


@pytest.mark.slow
def test_two_processes_learn_what_one_learns(tmp_path: Path, launched: Launched) -> None:
    assert (launched.folder / "ppo").exists(), launched.output
    require_close(alone(tmp_path / "one"), open_run(launched.folder / "ppo"))


@pytest.mark.slow
def test_two_processes_remember_what_one_remembers(tmp_path: Path, launched: Launched) -> None:
    """And learn it: with action masks, and all that deep Q-learning knows."""
    assert (launched.folder / "dqn").exists(), launched.output
    two = open_run(launched.folder / "dqn")
    one = alone(tmp_path / "one", CORRIDOR, "dqn", **EVERYTHING)
    require_close(one, two)
    memory, other = state(one)["memory"], state(two)["memory"]
    for name in ("priorities", "largest"):
        np.testing.assert_allclose(memory.pop(name), other.pop(name), rtol=1e-4, atol=1e-4)
    assert memory["next_mask"] is not None
    assert_same(memory, other)


@pytest.mark.slow
def test_what_cannot_be_shared_is_refused(launched: Launched) -> None:
    assert launched.returncode != 0
    assert "num_envs = 7 for 2 processes" in launched.output


@pytest.mark.slow
@pytest.mark.parametrize(
    ("world", "agent", "more"),
    [
        ("CartPole", "dqn", {}),
        ("CartPole", "dqn", {"gradient_steps": -1, "batch_size": 1}),  # rows for one process only
        ("CartPole-v1", "dqn", {"n_step": 2}),  # an ordinary environment
        ("pixels:FrozenLake-firm", "dqn", {"prioritized": True}),  # stacked frames
        ("Pendulum", "sac", {"normalize_observations": True, "hold_random": 3}),
        ("Pendulum", "sac", {"entropy_coef": 0.2, "n_step": 3, "batch_size": 16}),
        ("Pendulum", "ppo", {"normalize_observations": True, "normalize_rewards": True}),
        (CORRIDOR, "ppo", {}),  # action masks
        ("CartPole", "a2c", {}),
        ("CartPole", "ppo", {"minibatches": 7, "normalize_advantages": False}),  # shares of unequal size
    ],
)
def test_two_processes_learn_what_one_learns_elsewhere(tmp_path: Path, world: str, agent: str, more: Any) -> None:
    run = finished(together(tmp_path / "two", world, agent, **more), tmp_path / "two")
    require_close(alone(tmp_path / "one", world, agent, **more), run)


@pytest.mark.slow
def test_three_processes_learn_what_one_learns(tmp_path: Path) -> None:
    """Under `torchrun` itself."""
    run = finished(together(tmp_path / "three", processes=3), tmp_path / "three")
    require_close(alone(tmp_path / "one"), run)


@pytest.mark.slow
@pytest.mark.parametrize(("agent", "world", "more"), [
    ("ppo", "CartPole", {}), ("dqn", "CartPole", EVERYTHING), ("sac", "Pendulum", {"normalize_observations": True}),
])  # fmt: skip
def test_a_killed_run_of_two_processes_goes_on_exactly(tmp_path: Path, agent: str, world: str, more: Any) -> None:
    whole = finished(together(tmp_path / "whole", world, agent, **more), tmp_path / "whole")
    process = together(tmp_path / "killed", world, agent, **more)
    while process.poll() is None and len(checkpoint_folders(tmp_path / "killed")) < 3:
        time.sleep(0.01)
    assert process.poll() is None, process.communicate()[0]
    # the launcher and its children: it cannot tell them when it is killed alone
    children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True).stdout
    for child in [*children.split(), process.pid]:
        os.kill(int(child), signal.SIGKILL)
    process.communicate()
    killed = finished(together(tmp_path / "killed", world, agent, resume=True, **more), tmp_path / "killed")
    assert_same(whole.load_latest(), killed.load_latest())


@pytest.mark.parametrize(
    "name", ["CartPole", "CartPole-v1", "pixels:CartPole", pytest.param("Spread", marks=pytest.mark.slow)]
)
def test_copies_shared_out_live_as_they_do_together(name: str) -> None:
    task = learning_task("ppo", resolve_task(name))
    together, *apart = (EnvRunner(task, count, 7, first=first) for count, first in ((12, 0), (6, 0), (6, 6)))
    for t in range(15):
        assert len(np.unique(together.observation.reshape(12, -1), axis=0)) > 3
        np.testing.assert_array_equal(together.observation, np.concatenate([part.observation for part in apart]))
        actions = np.arange(12) * (t + 1) % 2
        together.step(actions)
        for part, own in zip(apart, np.split(actions, 2), strict=True):
            part.step(own)


def test_what_off_policy_agents_cannot_share_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    one_of_two = object.__new__(ProcessGroup)
    one_of_two.count, one_of_two.number = 2, 0
    monkeypatch.setattr("inscape.agents.off_policy.agent.process_group", lambda device: one_of_two)
    task = resolve_task("CartPole")
    with pytest.raises(UsageError, match=r"num_envs = 1 for 2 processes(.|\n)*--num-envs 2"):
        make_agent("dqn", task, settings={"num_envs": 1})
    with pytest.raises(UsageError, match=r"compiled update of several processes"):
        make_agent("dqn", task, settings={"num_envs": 2, "backend": "compiled"})
    assert make_agent("dqn", task, settings={"num_envs": 2})._compiled is None


@pytest.mark.parametrize(("agent", "world"), [("dqn", "CartPole"), ("sac", "Pendulum")])
def test_what_two_processes_learned_off_policy_acts_in_one(agent: str, world: str) -> None:
    task = resolve_task(world)
    one, other = (make_agent(agent, task, settings=REPLAYING) for _ in range(2))
    next(one.learn(task, 400))
    state = one.state_dict()
    other.load_state_dict({**state, "copies": {"parts": [state["copies"], state["copies"]]}})
    seen = one._copies.observation
    np.testing.assert_array_equal(one.act(seen), other.act(seen))
    with pytest.raises(UsageError, match=r"2 processes(.|\n)*torchrun"):
        next(other.learn(task, 400))


@pytest.mark.parametrize("masked", [False, True])
def test_steps_of_several_processes_are_joined_in_the_order_of_the_copies(masked: bool) -> None:
    rng = np.random.default_rng(0)
    seen = rng.normal(size=(6, 7, 3))  # 5 steps of 7 copies, 1, 2 and 4 of a process
    whole: list[Step] = []
    for t in range(5):
        terminated, truncated = rng.random((2, 7)) < 0.4
        ended = np.flatnonzero(terminated | truncated)
        transition = Transition(
            rng.normal(size=7), terminated, truncated, ended, rng.normal(size=(len(ended), 3)), seen[t + 1]
        )
        whole.append(Step(seen[t], rng.integers(0, 4, 7), transition, rng.random((7, 4)) < 0.5 if masked else None))
    if masked:  # an environment may begin to say what is legal, in one process and not yet in another
        whole[1].action_mask[0] = True

    def share(step: Step, own: slice) -> Step:
        transition, mask = step.transition, step.action_mask
        mine = (transition.ended >= own.start) & (transition.ended < own.stop)
        part = Transition(
            transition.reward[own], transition.terminated[own], transition.truncated[own],
            transition.ended[mine] - own.start, transition.last_observation[mine], transition.observation[own],
        )  # fmt: skip
        return Step(step.observation[own], step.action[own], part, None if mask is None else mask[own])

    shares = [[share(step, own) for step in whole] for own in (slice(0, 1), slice(1, 3), slice(3, 7))]
    if masked:
        shares[0][1] = shares[0][1]._replace(action_mask=None)
    joined = joined_steps([steps_message(steps) for steps in shares])
    for step, other in zip(whole, joined, strict=True):
        for name, value in vars(step.transition).items():
            np.testing.assert_array_equal(value, getattr(other.transition, name), err_msg=name)
        for name in ("observation", "action", "action_mask"):
            np.testing.assert_array_equal(getattr(step, name), getattr(other, name), err_msg=name)
    assert all(step.transition.observation is after.observation for step, after in pairwise(joined))


def test_states_travel_as_bytes_and_come_back() -> None:
    state = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": [1, None, {"c": np.zeros((0, 2), bool)}], "d": "x"}
    assert_same(from_bytes(to_bytes(state)), state)
    with pytest.raises(TypeError, match="text"):
        to_bytes({1: 2})


def test_shares_of_rows_are_all_of_them_and_their_weights_add_up() -> None:
    for rows in (1, 2, 5, 12):
        seen, weights = [], []
        for number in range(3):
            member = object.__new__(ProcessGroup)
            member.count, member.number = 3, number
            part, weight = member.share(rows)
            assert len(range(rows)[part]) >= 1
            if weight:
                seen += range(rows)[part]
            weights.append(weight)
        assert seen == list(range(rows))
        assert sum(weights) == pytest.approx(1)
