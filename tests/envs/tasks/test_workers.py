"""Copies in worker processes: the same numbers as in one process, whatever their number; what goes wrong is made again;
nothing is left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from inscape import resolve_task
from inscape.agents import EnvRunner, make_agent
from inscape.agents.rollout import evaluate, rollout
from inscape.envs.tasks.checking.contract import EnvironmentFault
from inscape.envs.tasks.processes.workers import Workers, WorkerVectorEnv
from inscape.errors import UsageError
from inscape.experiments import train
from tests.conftest import slow_but
from tests.envs.tasks.late_faults import COPIES, SEED, name_of
from tests.envs.tasks.walk import COMPOSITE, Walk

ROOT = Path(__file__).parents[3]


@pytest.fixture
def walk() -> Iterator[Callable[..., Any]]:
    """Registers `Walk` with some arguments; returns the task."""
    made: list[str] = []

    def register(**arguments: Any) -> Any:
        name = f"Walk{len(made)}-{time.monotonic_ns()}-v0"
        gym.register(name, Walk, kwargs=arguments)
        made.append(name)
        return resolve_task(name)

    yield register
    for name in made:
        del gym.registry[name]


def same(one: Any, other: Any) -> bool:
    """Returns whether both are the same, bit for bit, in the same types."""
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, (list, tuple)):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    if one is None or isinstance(one, (str, bool)):
        return one == other and type(one) is type(other)
    left, right = np.asarray(one), np.asarray(other)
    if left.dtype == object:
        return right.dtype == object and all(map(same, left.tolist(), right.tolist()))
    return left.dtype == right.dtype and left.shape == right.shape and left.tobytes() == right.tobytes()


def played(task: Any, count: int, autoreset: Any, steps: int = 40, actions: Any = None) -> list[Any]:
    """Returns everything that copies return; of last observations those that are some."""
    env = task.vector_env(count, autoreset)
    rng = np.random.default_rng(1)
    out = [env.reset(seed=5)]
    for t in range(steps):
        if t == 20:
            out.append(env.reset())
        taken = rng.integers(0, 2, count) if actions is None else actions(rng, count)
        observation, reward, terminated, truncated, info = env.step(taken)
        final = info.pop("final_obs", None)
        rows = np.flatnonzero(info.get("_final_obs", np.zeros(count, bool)))
        lasts = [_row(final, i) for i in rows]
        out.append((observation, reward, terminated, truncated, info, lasts))
    env.close()
    return out


def _row(batch: Any, i: int) -> Any:
    if isinstance(batch, dict):
        return {key: _row(part, i) for key, part in batch.items()}
    return tuple(_row(part, i) for part in batch) if isinstance(batch, tuple) else batch[i]


ARGUMENTS: dict[str, dict[str, Any]] = {
    "box": {}, "masks": {"masked": True}, "composite": {"space": COMPOSITE}, "discrete": {"space": spaces.Discrete(7)},
}  # fmt: skip


@pytest.mark.quick("same-step-box", "next-step-masks")
@pytest.mark.parametrize(
    ("autoreset", "kind"),
    slow_but(
        [("same-step", "box"), ("same-step", "composite"), ("next-step", "masks")],
        [(autoreset, kind) for kind in ARGUMENTS for autoreset in ("same-step", "next-step")],
    ),
)
def test_copies_are_the_same_in_any_number_of_processes(autoreset: str, kind: str, walk: Callable[..., Any]) -> None:
    arguments = ARGUMENTS[kind]
    task = walk(**arguments)
    alone = played(task, 5, autoreset)
    for workers in (3,) if arguments else (1, 4):
        assert same(alone, played(task.in_workers(workers), 5, autoreset)), workers
    if "space" in arguments:
        assert same(alone, played(task.in_workers(Workers(1, shared_memory=False)), 5, autoreset))


@pytest.mark.quick("pettingzoo:tests.envs.tasks.duel")
@pytest.mark.parametrize(
    "name",
    [
        "pettingzoo:pettingzoo.classic.tictactoe_v3", "pettingzoo:pettingzoo.classic.rps_v2",
        "pettingzoo:tests.envs.tasks.duel",
    ],
)  # fmt: skip
def test_copies_of_pettingzoo_are_the_same(name: str) -> None:
    if "classic" in name:
        pytest.importorskip("pygame")
    task = resolve_task(name)

    def first_legal(env: Any, steps: int = 25) -> list[Any]:
        observation, info = env.reset(seed=3)
        out = [(observation, info)]
        for _ in range(steps):
            mask = info.get("action_mask")
            shape = (3, 2) if task.simultaneous else (3,)
            taken = np.zeros(shape, int) if mask is None else mask.argmax(axis=-1)
            *rest, info = env.step(taken)
            out.append((*rest, {key: value for key, value in info.items() if key != "final_obs"}))
        env.close()
        return out

    for autoreset in ("same-step", "next-step"):
        alone = first_legal(task.vector_env(3, autoreset))
        for workers in (2,):
            assert same(alone, first_legal(task.in_workers(workers).vector_env(3, autoreset))), workers


def test_players_as_rows_and_opponents(tmp_path: Path) -> None:
    from inscape.envs.tasks.shared_policy import one_player

    task = resolve_task("pettingzoo:pettingzoo.classic.rps_v2")
    found = []
    for whole in (task, task.in_workers(2)):
        env = one_player(whole).vector_env(4)
        out: list[Any] = [env.reset(seed=0)]
        for t in range(20):
            *rest, info = env.step(np.full(4, t % 3))
            out.append((*rest, {key: value for key, value in info.items() if key != "final_obs"}))
        found.append(out)
        env.close()
    assert same(*found)
    with pytest.raises(UsageError, match="against opponents"):
        train("self-play", task, 100, out=tmp_path / "run", workers=2)
    assert not (tmp_path / "run").exists()


@pytest.mark.quick("sb3:dqn")
@pytest.mark.parametrize("agent", ["ppo", "sb3:dqn"])
def test_training_does_not_depend_on_the_number_of_workers(agent: str, tmp_path: Path) -> None:
    small = {"num_envs": 4, "num_steps": 16, "hidden": (8,), "epochs": 2, "minibatches": 2}
    settings = small if agent == "ppo" else {"num_envs": 3}
    results = []
    for workers in (0, 3) if agent == "ppo" else (0, 2):
        run = train(
            agent, resolve_task("CartPole-v1"), 300, seed=1, out=tmp_path / str(workers), settings=settings,
            workers=workers, evaluate_every=150, evaluate_episodes=3, progress=False,
        )  # fmt: skip
        rows = [{key: value for key, value in row.items() if key != "seconds"} for row in run.metrics()]
        results.append((json.dumps(rows), run.load_latest()[0]))
    rows, state = results[0]
    for other_rows, other_state in results[1:]:
        assert rows == other_rows and _same_state(state, other_state)


def test_a_run_goes_on_with_the_workers_it_was_started_with(tmp_path: Path) -> None:
    """Stored, taken up by `resume`, and in the line that makes it again; others may be given, and no results differ."""
    from inscape.experiments.arguments.command_lines import train_line
    from inscape.experiments.commands.train import _given_over
    from inscape.experiments.runs.folders import open_run

    def stop(agent: Any, metrics: Any) -> None:
        raise KeyboardInterrupt

    task, given = resolve_task("CartPole-v1"), {"num_envs": 4, "num_steps": 16, "hidden": (8,)}
    common: dict[str, Any] = {"settings": given, "out": tmp_path / "run", "evaluate_every": 0, "progress": False}
    with pytest.raises(KeyboardInterrupt):
        train("ppo", task, 128, workers=Workers(2, hang_seconds=20), on_yield=stop, **common)
    settings = open_run(tmp_path / "run").settings
    assert settings.workers == {"count": 2, "hang_seconds": 20, "max_restarts": 20}
    line = _given_over(settings, settings.agent_settings, task, [])
    assert (line.workers, line.hang_seconds, line.max_restarts) == (2, 20.0, 20)
    assert _given_over(settings, settings.agent_settings, task, ["--workers", "0"]).workers == 0
    run = train("ppo", task, 128, resume=True, **common)
    assert run.held is not None and run.held[1].workers is not None and run.held[1].workers.count == 2
    assert run.trained_steps == 128 and "--hang-seconds 20 --workers 2" in train_line(run)
    other = train("ppo", task, 128, **{**common, "out": tmp_path / "other"})
    assert _same_state(run.load_latest()[0], other.load_latest()[0]) and other.settings.workers == {}
    assert run.settings.differences(other.settings) == []


def _same_state(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same_state(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(_same_state, one, other))
    return same(one, other) if isinstance(one, np.ndarray) else one == other


@pytest.mark.slow
def test_evaluation_and_recording_are_the_same_in_workers(walk: Callable[..., Any]) -> None:
    task = walk(masked=True)
    agents = [make_agent("random", task, seed=0) for _ in range(4)]
    alone, divided = (evaluate(agents[k], t, 9, 0, max_copies=4) for k, t in enumerate((task, task.in_workers(2))))
    assert np.array_equal(alone.returns, divided.returns) and np.array_equal(alone.lengths, divided.lengths)
    one, other = (rollout(agents[2 + k], t, 4, 0) for k, t in enumerate((task, task.in_workers(3))))
    for here, there in zip(one, other, strict=True):
        assert np.array_equal(here.observations, there.observations)
        assert np.array_equal(here.action_masks, there.action_masks)


@pytest.mark.slow
def test_infos_reach_stable_baselines(walk: Callable[..., Any]) -> None:
    from inscape.agents.sb3.env import gymnasium_copies

    task, found = walk(masked=True), []
    for one in (task, task.in_workers(2)):
        env = gymnasium_copies(one, 3, 0)
        out = [env.reset()]
        for _ in range(30):
            observation, reward, done, infos = env.step(np.zeros(3, int))
            for info in infos:
                info.pop("episode", {}).pop("t", None)
            out.append((observation, reward, done, [dict(sorted(info.items())) for info in infos]))
            out.append([np.asarray(mask) for mask in env.env_method("action_masks")])
        found.append(out)
        env.close()
    assert same(*found)


@pytest.mark.slow
def test_copies_draw_in_their_processes(walk: Callable[..., Any]) -> None:
    task = walk()
    from inscape.envs.tasks.processes.workers import Registered
    from inscape.envs.tasks.task import _CheckedCopies

    env = WorkerVectorEnv(
        _CheckedCopies(task), 3, Workers(2), task.name, (task.observation_space, task.action_space),
        render_mode="rgb_array", prepare=Registered(gym.spec(task.name)),
    )  # fmt: skip
    env.reset(seed=0)
    env.step(np.zeros(3, int))
    pictures = env.render()
    assert len(pictures) == 3 and all(picture.shape == (4, 4, 3) for picture in pictures)
    env.close()


# --- what goes wrong -----------------------------------------------------------------------------------------------


def restarted(what: str, workers: int, autoreset: Any = "same-step", steps: int = 60) -> tuple[list[Any], Workers]:
    limits = Workers(workers, hang_seconds=2.0)
    env = resolve_task(name_of(what, "copy3")).in_workers(limits).vector_env(COPIES, autoreset)
    out: list[Any] = [env.reset(seed=SEED)]
    for _ in range(steps):
        observation, reward, terminated, truncated, info = env.step(np.zeros(COPIES, int))
        last = info["final_obs"][info["_final_obs"]] if "final_obs" in info else None
        out.append((observation, reward, terminated, truncated, info.get("_cut_off"), last))
    env.close()
    return out, limits


@pytest.mark.parametrize("autoreset", slow_but(["same-step"], ["same-step", "next-step"]))
def test_a_copy_that_raises_is_made_again_and_its_episode_cut_off(autoreset: str) -> None:
    found = [restarted("raises", workers, autoreset) for workers in (1, 2, 4)]
    (steps, limits), *others = found
    cut = [t for t, step in enumerate(steps) if t and step[4] is not None]
    assert len(cut) == limits.restarts == 1
    observation, reward, terminated, truncated, where, last = steps[cut[0]]
    assert where.tolist() == [False, False, False, True] == truncated.tolist() and not terminated.any()
    assert reward.tolist() == [1.0, 1.0, 1.0, 0.0]
    before = steps[cut[0] - 1][0][3]
    if autoreset == "same-step":
        assert np.array_equal(last[-1], before) and not np.array_equal(observation[3], before)
    else:
        assert np.array_equal(observation[3], before)
        assert not np.array_equal(steps[cut[0] + 1][0][3], before)
    fault = limits.faults[0]
    assert (fault.copy, fault.step, fault.shared) == (3, 50, False) and "boom" in fault.message
    for other, _ in others:
        assert same(steps[1:], other[1:])


@pytest.mark.quick("hang-next-step")
@pytest.mark.parametrize(
    ("what", "autoreset"),
    slow_but(
        [("os-exit", "same-step"), ("hang", "next-step")],
        [(what, autoreset) for what in ("os-exit", "killed", "hang") for autoreset in ("same-step", "next-step")],
    ),
)
def test_a_process_that_ends_or_hangs_is_started_again(what: str, autoreset: str) -> None:
    steps, limits = restarted(what, 2, autoreset)
    assert limits.restarts == 1
    shared = [fault for fault in limits.faults if fault.shared]
    assert [fault.copy for fault in shared] == [2] and "shared a process with copy 3" in shared[0].message
    cut = next(t for t, step in enumerate(steps) if t and step[4] is not None)
    _, reward, _, truncated, where, _ = steps[cut]
    assert where.tolist() == truncated.tolist() == [False, False, True, True]
    assert reward.tolist() == [1.0, 1.0, 1.0, 0.0]  # copy 2 had taken its step
    calm, _ = restarted("warnings", 2, autoreset)
    for t in range(1, len(steps)):  # copies 0 and 1 notice nothing
        for part in range(4):
            assert np.array_equal(steps[t][part][:2], calm[t][part][:2])


@pytest.mark.slow
def test_an_evaluation_counts_no_episode_that_was_cut_off() -> None:
    limits = Workers(2)
    task = resolve_task(name_of("raises", "copy3")).in_workers(limits)
    result = evaluate(make_agent("random", task), task, 4 * COPIES, SEED, max_copies=COPIES)
    assert limits.restarts == 1 and len(result.lengths) == 16 and (result.lengths == 20).all()


def test_a_learner_counts_no_episode_that_was_cut_off() -> None:
    limits = Workers(1)
    copies = EnvRunner(resolve_task(name_of("raises", "copy3")).in_workers(limits), COPIES, SEED)
    for _ in range(55):
        transition = copies.step(np.zeros(COPIES, int))
    assert limits.restarts == 1 and copies.episodes()["episode_length"] == 20
    assert np.isfinite(transition.next_observation).all()
    copies.close()


@pytest.mark.slow
def test_too_many_faults_stop_the_run() -> None:
    limits = Workers(2, max_restarts=2)
    env = resolve_task(name_of("raises", "first")).in_workers(limits).vector_env(COPIES)
    env.reset(seed=0)
    with pytest.raises(EnvironmentFault, match="went wrong 3 times") as told:
        env.step(np.zeros(COPIES, int))
    assert "--max-restarts" in str(told.value) and "boom" in str(told.value)
    with pytest.raises(UsageError, match="are closed"):
        env.step(np.zeros(COPIES, int))


def test_an_action_that_cannot_be_taken_is_no_fault_of_the_environment() -> None:
    limits = Workers(2)
    env = resolve_task("CartPole-v1").in_workers(limits).vector_env(4)
    env.reset(seed=0)
    with pytest.raises(UsageError, match="action"):
        env.step(np.array([0, 1, 2, 7]))
    assert not limits.faults


# --- what can be sent ----------------------------------------------------------------------------------------------


def test_classes_and_functions_of_a_function_can_be_sent(walk: Callable[..., Any]) -> None:
    class Local(Walk):
        """Defined where no other process can import it."""

    gym.register("LocalWalk-v0", lambda **given: Local(**given))
    try:
        task = resolve_task("LocalWalk-v0")
        assert same(played(task, 2, "same-step", 10), played(task.in_workers(2), 2, "same-step", 10))
    finally:
        del gym.registry["LocalWalk-v0"]


def test_what_cannot_be_sent_is_explained() -> None:
    lock = threading.Lock()
    gym.register("LockedWalk-v0", lambda **given: (lock, Walk(**given))[1])
    try:
        task = resolve_task("LockedWalk-v0").in_workers(2)
        with pytest.raises(UsageError, match=r"cannot be sent to worker processes.*lock") as told:
            task.vector_env(2)
        assert "__init__" in told.value.hint
    finally:
        del gym.registry["LockedWalk-v0"]


@pytest.mark.slow
def test_an_environment_of_a_file_and_a_script_without_a_guard(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("SIZE = 3\n")
    (tmp_path / "env.py").write_text(
        "import gymnasium as gym, helper, numpy as np\n"
        "class Mine(gym.Env):\n"
        "    observation_space = gym.spaces.Box(-1, 1, (helper.SIZE,), np.float32)\n"
        "    action_space = gym.spaces.Discrete(2)\n"
        "    def reset(self, *, seed=None, options=None):\n"
        "        super().reset(seed=seed); self.t = 0\n"
        "        return self.np_random.uniform(-1, 1, 3).astype('f'), {}\n"
        "    def step(self, action):\n"
        "        self.t += 1\n"
        "        return self.np_random.uniform(-1, 1, 3).astype('f'), 1.0, self.t > 5, False, {}\n"
        "gym.register('MineOfAFile-v0', Mine)\n"
    )
    task = resolve_task(f"{tmp_path / 'env.py'}:MineOfAFile-v0")
    assert same(played(task, 3, "same-step", 9), played(task.in_workers(2), 3, "same-step", 9))
    script = (tmp_path / "env.py").read_text() + (
        "from inscape import resolve_task\n"
        "env = resolve_task('MineOfAFile-v0').in_workers(2).vector_env(2)\n"
        "env.reset(seed=0)\nprint(env.step(np.zeros(2, int))[1].sum())\nenv.close()\n"
    )
    (tmp_path / "script.py").write_text(script)
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, env=_environment(), capture_output=True, text=True
    )
    assert done.stdout == "2.0\n", done.stderr


def test_built_in_worlds_have_no_workers(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="compiled code"):
        resolve_task("CartPole").in_workers(2)
    with pytest.raises(UsageError, match="worker processes for pixels:"):
        resolve_task("pixels:FrozenLake").in_workers(2)
    caplog.set_level("INFO", "inscape")
    run = train(
        "q-learning", resolve_task("FrozenLake"), 100, out=tmp_path / "run", workers="auto", evaluate_every=0,
        progress=False,
    )  # fmt: skip
    assert run.finished and "No worker processes for FrozenLake" in caplog.text


@pytest.mark.parametrize(
    "given", [{"count": 0}, {"count": -1}, {"count": True}, {"count": 1.5}, {"hang_seconds": 0}, {"max_restarts": -1}]
)
def test_limits_out_of_range_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Workers(**given)


# --- nothing is left behind ----------------------------------------------------------------------------------------


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in ("Z", "X")


def _gone(pids: list[int], seconds: float = 20.0) -> bool:
    until = time.monotonic() + seconds
    while any(map(_alive, pids)) and time.monotonic() < until:
        time.sleep(0.05)
    return not any(map(_alive, pids))


def _zombies() -> list[str]:
    own = str(os.getpid())
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if fields[0] == "Z" and fields[1] == own:
            found.append(stat.parent.name)
    return found


PARENT = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the suite runs in the background of a shell
from tests.envs.tasks.late_faults import name_of
from inscape import resolve_task
from inscape.envs.tasks.processes.workers import Workers
import numpy as np
task = resolve_task(name_of(sys.argv[1], "late")).in_workers(Workers(2, hang_seconds=600))
env = task.vector_env(4)
env.reset(seed=0)
print(*(process._running.pid for process in env._processes), flush=True)
for _ in range(60):
    env.step(np.zeros(4, int))
print("done", flush=True)
time.sleep(600)
"""


@pytest.mark.quick("warnings-signals1", "hang-in-c-signals4")
@pytest.mark.parametrize(
    ("what", "signals"),
    [
        ("warnings", [signal.SIGINT]),
        ("warnings", [signal.SIGTERM]),
        ("warnings", [signal.SIGKILL]),
        ("hang", [signal.SIGKILL]),
        ("hang-in-c", [signal.SIGKILL]),
    ],
)
def test_a_parent_that_ends_takes_its_workers_along(what: str, signals: list[int]) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, what], cwd=ROOT, env=_environment(), stdout=subprocess.PIPE, text=True,
        stderr=subprocess.DEVNULL,
    ) as parent:  # fmt: skip
        assert parent.stdout is not None
        pids = [int(word) for word in parent.stdout.readline().split()]
        assert len(pids) == 2 and all(map(_alive, pids))
        if what == "warnings":
            assert parent.stdout.readline() == "done\n"
        else:
            time.sleep(0.5)
        for number in signals:
            parent.send_signal(number)
        parent.wait(30)
        assert _gone(pids)


@pytest.mark.quick("raise")
@pytest.mark.parametrize("how", ["close", "forget", "raise"])
def test_no_process_and_no_zombie_is_left(how: str, walk: Callable[..., Any]) -> None:
    env: Any = walk().in_workers(2).vector_env(4)
    env.reset(seed=0)
    pids = [process._running.pid for process in env._processes]
    handle = env._shared.handle
    if how == "close":
        env.close()
        env.close()
    elif how == "raise":
        with pytest.raises(UsageError):
            env.step(np.full(4, 99))
    del env
    assert _gone(pids) and not _zombies()
    with pytest.raises(OSError):
        os.fstat(handle)
