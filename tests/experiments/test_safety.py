"""What goes wrong in the middle of training, in real processes: a full disk, Ctrl-C, numbers that are not finite.

Whatever it is, the run stops with a sentence and without a traceback, and its last good checkpoint is kept and goes on.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inscape.agents.catalogue import BUILT_IN
from inscape.agents.tabular.base import TabularAgent
from inscape.envs.tasks.resolve import resolve_task
from inscape.errors import UsageError
from inscape.experiments.cli import main
from inscape.experiments.runs.folders import open_run
from inscape.experiments.runs.loop import TrainingInterrupted
from inscape.experiments.runs.resuming import load_agent
from inscape.experiments.runs.run import Run
from inscape.experiments.runs.storage.checkpoints import checkpoint_folders, load_checkpoint, save_checkpoint
from inscape.experiments.runs.training import train
from tests.experiments.runs.storage.test_checkpoints import assert_same
from tests.experiments.runs.test_kills import ROWS

FLAWED = Path(__file__).parent / "flawed_worlds.py"
INSCAPE = [sys.executable, "-c", "import sys; from inscape.experiments.cli import main; sys.exit(main())"]

COUNTER = '''
"""An agent that counts, slowly if asked to, and has something to save."""
import os
import time
from pathlib import Path
import numpy as np

class Counter:
    def __init__(self, task, seed=0):
        self.rng, self.steps, self.weights = np.random.default_rng(seed), 0, np.zeros(int(os.environ.get("SIZE", "10")))

    def act(self, observation):
        return np.zeros(len(observation), int)

    def learn(self, task, steps):
        while self.steps < steps:
            time.sleep(float(os.environ.get("SLOW", "0")))
            self.steps += 100
            self.weights += self.rng.normal(size=self.weights.shape)
            if self.steps == int(os.environ.get("FULL_AT", "-1")):  # the disk is full from here on
                path, = Path(os.environ["FULL_FOLDER"]).glob(os.environ["FULL"])
                path.unlink()
                path.symlink_to("/dev/full")
            if self.steps == int(os.environ.get("WAIT_AT", "-1")):
                print("waiting", flush=True)
                until = time.monotonic() + 30
                while time.monotonic() < until and not Path("on").exists():
                    time.sleep(0.01)
            yield {"steps": float(self.steps), "mean": float(self.weights.mean())}

    def state_dict(self):
        return {"rng": self.rng.bit_generator.state, "steps": self.steps, "weights": self.weights.copy()}

    def load_state_dict(self, state):
        self.rng.bit_generator.state, self.steps = state["rng"], state["steps"]
        self.weights = np.array(state["weights"])
'''
SCRIPT = """
import sys
from inscape.envs.tasks.resolve import resolve_task
from inscape.experiments.runs import training; from inscape.experiments import cli

def command(words):
    training.train("counter.py:Counter", resolve_task("FrozenLake"), 2000, out="r", resume="resume" in words,
                   evaluate_every=0, checkpoint_steps=200, progress=False)
    return 0

cli._run = command  # with the command line's words for errors, and checkpoints more often than it makes them
sys.exit(cli.main())
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "counter.py").write_text(COUNTER)
    return tmp_path


def start(*words: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *words],
        env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def finish(*words: str, **environment: str) -> tuple[int, str]:
    child = start(*words, **environment)
    _, said = child.communicate(timeout=120)
    return child.returncode, said


def final_state(run: Path | Run) -> Any:
    latest = (run if isinstance(run, Run) else open_run(run)).load_latest()
    assert latest is not None and latest[1]["finished"]
    return latest[0]


def whole_state(place: Path) -> Any:
    run = train(
        f"{place / 'counter.py'}:Counter", resolve_task("FrozenLake"), 2000, out=place / "whole", evaluate_every=0,
        progress=False,
    )  # fmt: skip
    return final_state(run)


# --- a full disk -----------------------------------------------------------------------------------------------------


@pytest.mark.quick("events.out.tfevents.*")
@pytest.mark.parametrize("file", ["metrics.jsonl", "events.out.tfevents.*"])
def test_a_full_disk_under_the_metrics_stops_with_a_sentence(place: Path, file: str) -> None:
    code, said = finish(FULL_AT="1100", FULL=file, FULL_FOLDER="r")
    assert code == 2, said
    assert re.search(r"inscape: cannot write r/\S+: No space left on device", said)
    assert "kept: r holds 1,000 of 2,000 steps" in said
    assert "Traceback" not in said
    assert load_checkpoint(checkpoint_folders("r")[-1])[0]["steps"] == 1000
    for link in (path for path in Path("r").iterdir() if path.is_symlink()):
        link.unlink()  # there is room again
        if link.name == "metrics.jsonl":
            link.write_text("")  # the rows are lost, and the manifest tells: the run is taken as it is
            Path("r/manifest.json").unlink()
    code, said = finish("resume")
    assert code == 0, said
    assert_same(final_state(place / "r"), whole_state(place))


def test_a_full_disk_under_the_checkpoint_keeps_the_last(place: Path) -> None:
    """No file may grow beyond a limit that the run's settings and metrics keep, and its weights do not."""
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT.replace("def command", LIMIT + "\ndef command", 1)],
        env={**os.environ, "SIZE": "20000"}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert ended.returncode == 2, ended.stderr
    assert re.search(r"inscape: cannot write the checkpoint r/checkpoints/step-1200: File too large", ended.stderr)
    assert "kept: r holds 1,000 of 2,000 steps" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert load_checkpoint(checkpoint_folders("r")[-1])[0]["steps"] == 1000
    assert not list(Path("r/checkpoints").glob(".*"))
    code, said = finish("resume", SIZE="20000")
    assert code == 0, said
    assert final_state(place / "r")["steps"] == 2000


LIMIT = f"""
import resource
from inscape.experiments.runs.run import Run
save = Run.save_checkpoint

def limited(run, state, steps, **options):
    if steps >= 1200:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, {resource.RLIM_INFINITY}))
    return save(run, state, steps, **options)

Run.save_checkpoint = limited
"""


# --- Ctrl-C ----------------------------------------------------------------------------------------------------------


@pytest.mark.quick("2")
@pytest.mark.parametrize("presses", [1, 2])
def test_ctrl_c_leaves_a_run_that_goes_on(place: Path, presses: int) -> None:
    child = start(WAIT_AT="1100")
    assert child.stdout is not None
    assert child.stdout.readline() == "waiting\n"
    child.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert child.poll() is None  # asked once, it waits until the agent is whole
    if presses == 1:
        Path("on").touch()
    else:
        child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=60)
    assert child.returncode == 130, said
    kept = 1100 if presses == 1 else 1000
    assert f"r holds {kept:,} of 2,000 steps" in said
    assert ("stopped at once" in said) == (presses == 2)
    assert "inscape train --resume r" in said
    assert "Traceback" not in said
    code, said = finish("resume")
    assert code == 0, said
    assert_same(final_state(place / "r"), whole_state(place))


@pytest.mark.slow
def test_the_command_resumes_a_run_by_its_folder_alone(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = [
        "train",
        "counter.py:Counter",
        "FrozenLake",
        "--steps",
        "2000",
        "--world.slip",
        "0.3",
        "--final-episodes",
        "0",
    ]
    child = subprocess.Popen(
        [*INSCAPE, *line, "--evaluate-episodes", "1"], env={**os.environ, "WAIT_AT": "1100"}, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert child.stdout is not None
    assert child.stdout.readline() == "waiting\n"
    child.send_signal(signal.SIGINT)
    Path("on").touch()
    _, said = child.communicate(timeout=60)
    assert child.returncode == 130, said
    (run,) = Path("runs").iterdir()
    assert f"inscape train --resume {run}" in said
    assert main(["train", "--resume", str(run), "--steps", "3000", "--world.slip", "0.1"]) == 2
    told = capsys.readouterr().err
    assert "steps: 2000 -> 3000" in told and "task.settings.slip: 0.3 -> 0.1" in told
    assert main(["train", "--resume", str(run), "--final-episodes", "0"]) == 0
    assert_same(final_state(run)["weights"], whole_state(place)["weights"])
    settings = json.loads((run / "settings.json").read_text())
    assert settings["task"]["settings"] == {"slip": 0.3} and settings["steps"] == 2000


# --- numbers that are not finite -------------------------------------------------------------------------------------

DEEP = [
    name for name, row in ROWS.items()
    if row.world in ("CartPole", "Pendulum", "TMaze") and not name.startswith("ppo, n")
]  # fmt: skip
OURS = [name for name in DEEP if not name.startswith("sb3:")]


def marked(names: list[str]) -> list[Any]:
    """The agents of the quick suite, and the others, slow."""
    return [name if name in ("ppo", "dqn") else pytest.param(name, marks=pytest.mark.slow) for name in names]


def test_every_deep_agent_is_tested_for_numbers_that_are_not_finite() -> None:
    tabular = [entry.name for entry in BUILT_IN if issubclass_of_tabular(entry.path)]
    # clone acts nowhere while it learns; psrl, mcts and mc-aixi have tables and counts; pets is tested
    # in tests/agents/test_pets.py
    others = {*tabular, "mcts", "psrl", "mc-aixi", "pets", "alphazero", "llm", "self-play", "clone"}
    deep = {entry.name for entry in BUILT_IN if entry.learns} - others
    assert deep <= set(OURS)


def issubclass_of_tabular(path: str) -> bool:
    module, _, name = path.partition(":")
    return issubclass(getattr(importlib.import_module(module), name), TabularAgent)


def settings_of(name: str) -> dict[str, Any]:
    return {"agent": ROWS[name].agent or name, "settings": ROWS[name].settings}


@pytest.mark.quick("ppo-Observation", "dqn-Observation")
@pytest.mark.parametrize("what", ["Reward", "Observation"])
@pytest.mark.parametrize("name", marked(DEEP))
def test_a_number_that_is_not_finite_stops_the_run_where_it_arises(tmp_path: Path, name: str, what: str) -> None:
    kind = "Continuous" if ROWS[name].world == "Pendulum" else ""
    task = resolve_task(f"{FLAWED}:Flawed{kind}", {"observed": int(what == "Observation")})
    spec = settings_of(name)
    number = {"Reward": "(nan|not finite)", "Observation": r"(\[inf|not finite)"}[what]
    from_learner = rf"the {what.lower()} of copy \d+ at step \d+ in .* is {number}"
    from_environment = rf"copy \d+: Flawed{kind} gave the {what.lower()} nan for action"
    with pytest.raises(UsageError, match=rf"(?s)({from_learner}|{from_environment}).*kept: "):
        train(
            spec["agent"], task, 50_000, settings=spec["settings"], seed=2, out=tmp_path / "r", evaluate_every=0,
            checkpoint_steps=1, progress=False,
        )  # fmt: skip
    require_good_checkpoint(tmp_path / "r")


@pytest.mark.parametrize("name", marked([*DEEP, "self-play", "independent:ppo"]))
def test_weights_that_are_not_finite_stop_the_run_before_the_next_step(tmp_path: Path, name: str) -> None:
    row, spec = ROWS[name], settings_of(name)

    def go_on(**options: Any) -> Run:
        return train(
            spec["agent"], resolve_task(row.world), row.steps, settings=spec["settings"], seed=2, out=tmp_path / "r",
            evaluate_every=0, checkpoint_steps=1, progress=False, **options,
        )  # fmt: skip

    seen = []

    def stop(agent: Any, metrics: Any) -> None:
        seen.append(metrics["steps"])
        if len(seen) == 8:
            raise KeyboardInterrupt

    with pytest.raises(TrainingInterrupted):
        go_on(on_yield=stop)
    newest = checkpoint_folders(tmp_path / "r")[-1]
    state, metadata = load_checkpoint(newest)
    poisoned = poison(state)
    save_checkpoint(newest, state, metadata)
    before = checkpoint_folders(tmp_path / "r")
    with pytest.raises(UsageError, match=r"(?s)diverged at step \d+.*(weights|gradient).*kept: ") as caught:
        go_on(resume=True)
    assert poisoned in str(caught.value)
    if name != "independent:ppo":  # where the other player's learner may come first, and be saved
        assert checkpoint_folders(tmp_path / "r") == before
    for folder in checkpoint_folders(tmp_path / "r"):
        if folder not in before[:-1]:
            shutil.rmtree(folder)
    require_good_checkpoint(tmp_path / "r")


def poison(value: Any, name: str = "", within: bool = False) -> str:
    """Makes one weight of the policy of a state not a number and returns the tensor's name."""
    if isinstance(value, dict):
        for key, entry in value.items():
            if found := poison(entry, str(key), within or key in ("network", "parameters")):
                return found
    elif isinstance(value, list):
        for entry in value:
            if found := poison(entry, name, within):
                return found
    elif within and isinstance(value, np.ndarray) and value.ndim == 2 and "critic" not in name:
        value[0, 0] = np.nan
        return name
    return ""


def require_good_checkpoint(run: Path) -> None:
    assert checkpoint_folders(run)
    agent, task = load_agent(run)
    shape = task.observation_space.shape
    assert shape is not None
    agents_by_player: Any = agent.for_player(0) if hasattr(agent, "for_player") else agent
    assert len(agents_by_player.act(np.zeros((2, *shape), task.observation_space.dtype))) == 2
