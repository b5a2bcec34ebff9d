"""What is stored is never obeyed as if it had been typed: runs, episodes and data sets of somebody else that name code.

Each way is a file as an attacker may send it: whole, with a manifest that holds, signed with another secret. Whatever
command reads it, the code does not run; `--trust` runs it.
"""

from __future__ import annotations

import base64
import json
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inscape import trust
from inscape.envs.tasks.resolve import resolve_task, task_from_json
from inscape.errors import UsageError
from inscape.experiments.arguments.command_lines import train_line
from inscape.experiments.cli import main
from inscape.experiments.report import report_for_runs
from inscape.experiments.runs.folders import open_run
from inscape.experiments.runs.resuming import load_agent
from inscape.experiments.runs.settings import SETTINGS
from inscape.experiments.runs.storage.episodes import load_trajectories
from inscape.experiments.runs.storage.manifest import MANIFEST, Manifest
from inscape.experiments.runs.training import train
from inscape.experiments.viewing.watch import replay

TASKS = {
    "file": "theirs/notes.py:World",
    "file from here": "./theirs/notes.py:World",
    "absolute file": "{place}/theirs/notes.py:World",
    "file with a space": "theirs/my notes.py:World",
    "id in a file": "theirs/notes.py:Notes-v0",
    "module": "attacker:World",
    "id in a module": "attacker:Notes-v0",
    "pictures of a file": "pixels:theirs/notes.py:World",
    "pictures of a module": "pixels:pixels:attacker:World",
    "pettingzoo": "pettingzoo:attacker",
    "prefix of agents": "independent:World",
}
AGENTS = {
    "agent file": "theirs/notes.py:Agent",
    "agent module": "attacker:Agent",
    "agent for each player": "independent:theirs/notes.py:Agent",
    "agent named as a world": "pixels:Agent",
    "agent file as an algorithm": "sb3:theirs/notes.py:Agent",
}
COMMANDS: dict[str, list[str]] = {
    "report": ["report", "theirs"],
    "evaluate": ["evaluate", "theirs", "--episodes", "1"],
    "evaluate elsewhere": ["evaluate", "theirs", "FrozenLake", "--episodes", "1"],
    "watch": ["watch", "theirs", "--save", "a.gif"],
    "observe": ["observe", "theirs"],
    "observe episodes": ["observe", "theirs/episodes/final.npz"],
    "watch episodes": ["watch", "theirs/episodes/final.npz", "--save", "b.gif"],
    "plan": ["plan", "FrozenLake", "--model", "theirs", "--simulations", "4"],
    "resume": ["train", "--resume", "theirs"],
    "resume with help": ["train", "--resume", "theirs", "--help"],
    "list": ["list", "runs"],
}


def rewrite(theirs: Path, **changes: Any) -> None:
    """Changes settings as their maker would: with a manifest that holds, signed by them."""
    with signing_as_they_do():
        document = json.loads((theirs / SETTINGS).read_text())
        (theirs / SETTINGS).write_text(json.dumps({**document, **changes}))
        manifest = Manifest.read(theirs)
        manifest.signed = True
        with manifest.replacing(SETTINGS):
            pass
        assert Manifest.read(theirs).signed


def rewrite_episodes(theirs: Path, task: dict[str, Any]) -> None:
    path = theirs / "episodes" / "final.npz"
    with signing_as_they_do(), np.load(path) as file:
        arrays = dict(file)
        said = json.dumps([{**one, "task": task} for one in json.loads(arrays["json"].tobytes())]).encode()
        arrays["json"] = np.frombuffer(said, np.uint8)
        code = arrays["code"].tobytes()
        arrays["signature"] = np.frombuffer(trust.sign("episodes", said + b"\n" + code).encode(), np.uint8)
        np.savez_compressed(path, **arrays)
        manifest = Manifest.read(theirs)
        manifest.signed = True
        with manifest.replacing("episodes/final.npz"):
            pass


def signing_as_they_do() -> Any:
    import os

    patch = pytest.MonkeyPatch()
    patch.setenv("XDG_CONFIG_HOME", os.environ["THEIR_CONFIG"])

    class _Patched:
        def __enter__(self) -> None: ...
        def __exit__(self, *_: object) -> None:
            patch.undo()

    return _Patched()


def refuses_to_run(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    code = main(words)
    told = capsys.readouterr()
    assert not Path("EXECUTED").exists(), " ".join(words)
    assert code in (0, 2) and "Traceback" not in told.err
    return told.err


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", TASKS)
def test_a_stored_world_is_not_run(theirs: Path, name: str, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    task = {"name": TASKS[name].replace("{place}", str(theirs.parent)), "settings": {}}
    rewrite(theirs, task=task)
    rewrite_episodes(theirs, task)
    told = refuses_to_run(COMMANDS[command], capsys)
    if command == "evaluate":
        assert "--trust" in told and "settings.json" in told


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", AGENTS)
def test_a_stored_agent_is_not_run(theirs: Path, name: str, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    rewrite(theirs, agent=AGENTS[name])
    refuses_to_run(COMMANDS[command], capsys)


def test_trust_on_the_line_runs_it(theirs: Path) -> None:
    rewrite(theirs, task={"name": TASKS["file"], "settings": {"map": "4x4"}})
    assert main([*COMMANDS["evaluate"], "--trust"]) == 0
    assert Path("EXECUTED").exists()
    assert not trust.is_trusting()


def test_what_needs_no_code_is_shown_all_the_same(theirs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rewrite(theirs, task={"name": TASKS["file"], "settings": {}})
    assert main(["report", "theirs"]) == 0
    assert "not drawn" in capsys.readouterr().err
    assert "Episode return" in (theirs / "report.html").read_text()
    assert len(open_run(theirs).episodes()) == 2 and len(open_run(theirs).metrics()) > 0
    assert main(["list", "runs"]) == 0


# --- other places that a name of code can stand in -----------------------------------------------------------------


def in_world_settings(theirs: Path) -> None:
    rewrite(theirs, task={"name": "CartPole-v1", "settings": {"wrappers": ["attacker:World"]}})


def in_agent_settings(theirs: Path) -> None:
    rewrite(theirs, agent_settings={"opponents": ["theirs/notes.py:Agent"]})


def says_trust(theirs: Path) -> None:
    zipped(theirs)
    settings = {"load": "theirs/model.zip", "trust": True}
    rewrite(theirs, agent="sb3:ppo", task={"name": "CartPole", "settings": {}}, agent_settings=settings)


def says_trust_outside(theirs: Path) -> None:
    rewrite(theirs, task={"name": TASKS["file"], "settings": {}, "trust": True})


def says_where_code_lies(theirs: Path) -> None:
    """A name that the user typed, which the settings say lies in the folder of the run."""
    Path("mine.py").write_text("from inscape.envs.worlds.gridworld.grid import GridWorld as World\n")
    resolve_task("mine.py:World")
    code = {"mine.py:World": {"path": str(theirs / "notes.py"), "sha256": "0" * 64}}
    rewrite(theirs, task={"name": "mine.py:World", "settings": {}}, code=code)


def without_manifest(theirs: Path) -> None:
    rewrite(theirs, task={"name": TASKS["file"], "settings": {}})
    (theirs / MANIFEST).unlink()


def with_the_users_manifest(theirs: Path) -> None:
    """The signature of a run that the user made, over other settings."""
    run = train("q-learning", resolve_task("FrozenLake"), 100, out="mine", progress=False, evaluate_every=0)
    assert run.signed
    rewrite(theirs, task={"name": TASKS["file"], "settings": {}})
    shutil.copy(run.path / MANIFEST, theirs / MANIFEST)


def with_an_empty_signature(theirs: Path) -> None:
    rewrite(theirs, task={"name": TASKS["file"], "settings": {}})
    manifest = Manifest.read(theirs)
    manifest.signed = False
    manifest.write()


WAYS: dict[str, Callable[[Path], None]] = {
    f.__name__: f
    for f in (
        in_world_settings, in_agent_settings, says_trust, says_trust_outside, says_where_code_lies, without_manifest,
        with_the_users_manifest, with_an_empty_signature,
    )
}  # fmt: skip


@pytest.mark.quick("without_manifest", "with_the_users_manifest")
@pytest.mark.parametrize("way", WAYS)
def test_nor_are_these(theirs: Path, way: str, capsys: pytest.CaptureFixture[str]) -> None:
    WAYS[way](theirs)
    for command in COMMANDS.values():
        refuses_to_run(command, capsys)


class Payload:
    def __reduce__(self) -> Any:
        return exec, ("open('EXECUTED', 'w').close()",)


def zipped(theirs: Path) -> None:
    blob = {"policy_class": {":type:": "x", ":serialized:": base64.b64encode(pickle.dumps(Payload())).decode()}}
    with zipfile.ZipFile(theirs / "model.zip", "w") as archive:
        archive.writestr("data", json.dumps(blob))


def test_python_does_not_run_it_either(theirs: Path) -> None:
    task = {"name": TASKS["file"], "settings": {}}
    rewrite(theirs, task=task)
    rewrite_episodes(theirs, task)
    for call in (
        lambda: load_agent(theirs),
        lambda: task_from_json(task, theirs),
        lambda: replay(load_trajectories(theirs / "episodes" / "final.npz"), save="c.gif"),
        lambda: replay(load_trajectories(theirs), save="c.gif"),
    ):
        with pytest.raises(UsageError, match="names code to run"):
            call()
    report_for_runs([theirs], "r.html")
    assert train_line(open_run(theirs)).startswith("python -c")
    assert not Path("EXECUTED").exists()


def test_episodes_that_hold_pickles_are_refused(theirs: Path) -> None:
    np.savez("e.npz", json=np.array([Payload()], dtype=object), allow_pickle=True)
    with pytest.raises(UsageError, match="cannot read episodes"):
        load_trajectories("e.npz")
    assert not Path("EXECUTED").exists()


def test_a_data_set_of_somebody_else_is_not_run(theirs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    minari = pytest.importorskip("minari")
    pytest.importorskip("h5py")
    from inscape.envs.data import minari as sets

    monkeypatch.setenv("MINARI_DATASETS_PATH", str(theirs.parent / "sets"))
    sets.trajectories_to_minari(load_trajectories(theirs), "theirs-v0")
    dataset = minari.load_dataset("theirs-v0")
    dataset.storage.update_metadata({sets.TASK: json.dumps({"name": TASKS["file"], "settings": {"map": "4x4"}})})
    assert main(["observe", "minari:theirs-v0"]) == 2
    assert not Path("EXECUTED").exists()
    main(["observe", "minari:theirs-v0", "--trust"])
    assert Path("EXECUTED").exists()


@pytest.mark.parametrize("shard", ["pytorch_model.bin", "../elsewhere.safetensors", "absent.safetensors"])
def test_an_index_of_weights_leads_to_safetensors_beside_it(tmp_path: Path, shard: str) -> None:
    pytest.importorskip("transformers")
    from inscape.agents.llm.model import load_language_model

    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    (tmp_path / "decoy.safetensors").touch()
    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps(Payload()))
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"w": shard}}))
    with pytest.raises(UsageError, match="leads to"):
        load_language_model(str(tmp_path))


# --- signatures ------------------------------------------------------------------------------------------------------


def test_what_the_user_made_runs_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "away").mkdir()
    monkeypatch.chdir(tmp_path / "home")
    Path("helper.py").write_text("from inscape.envs.worlds.gridworld.grid import GridWorld as Lake\n")
    Path("mine.py").write_text("import helper\nWorld = helper.Lake\n")
    line = "train q-learning mine.py:World --steps 200 --evaluate-every 0 --final-episodes 1 --out run"
    assert main(line.split()) == 0
    monkeypatch.setattr(trust, "_allowed", set())
    monkeypatch.chdir(tmp_path / "away")
    Path("mine.py").write_text("raise SystemExit('another file of the same name')\n")
    run = str(tmp_path / "home" / "run")
    assert main(["evaluate", run, "--episodes", "1"]) == 0
    assert str(tmp_path / "home" / "mine.py") in capsys.readouterr().out
    assert main(["report", run]) == 0
    assert main(["watch", f"{run}/episodes/final.npz", "--save", "a.gif"]) == 0
    (tmp_path / "home" / "mine.py").unlink()
    assert main(["evaluate", run, "--episodes", "1"]) == 2
    assert str(tmp_path / "home" / "mine.py") in capsys.readouterr().err


@pytest.mark.parametrize("edited", ["mine.py", "helper.py"])
def test_edited_files_are_noticed_on_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], edited: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("helper.py").write_text("SLIP = 0\n")
    Path("mine.py").write_text("import helper\nfrom inscape.envs.worlds.gridworld.grid import GridWorld as World\n")
    line = "train q-learning mine.py:World --steps 200 --evaluate-every 0 --final-episodes 0 --out run"
    assert main(line.split()) == 0
    Path(edited).write_text(Path(edited).read_text() + "FRICTION = 7\n")
    assert main(["train", "--resume", "run"]) == 2
    told = capsys.readouterr().err
    assert str(tmp_path / edited) in told and "+FRICTION = 7" in told and "--accept-changes" in told
    assert main(["train", "--resume", "run", "--accept-changes"]) == 0
    assert main(["train", "--resume", "run"]) == 0
    assert open_run("run").signed


def test_the_secret_is_the_users_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    signature = trust.sign("run", b"data")
    secret = tmp_path / "inscape" / "secret"
    assert secret.stat().st_mode & 0o777 == 0o600 and len(secret.read_bytes()) == 32
    assert trust.is_signed("run", b"data", signature)
    for kind, data, claimed in (
        ("episodes", b"data", signature), ("run", b"other", signature), ("run", b"data", ""), ("run", b"data", None),
        ("run", b"data", "é" * 64), ("run", b"data", signature[:-1]),
    ):  # fmt: skip
        assert not trust.is_signed(kind, data, claimed)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "other"))
    assert not trust.is_signed("run", b"data", signature)
    assert not (tmp_path / "other").exists()  # looking makes no secret


def test_without_a_configuration_folder_nothing_is_signed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "file"))
    assert trust.sign("run", b"data") == ""
    run = train("q-learning", resolve_task("FrozenLake"), 100, out=tmp_path / "r", progress=False, evaluate_every=0)
    assert not run.signed and load_agent(run)


def test_going_on_with_somebody_elses_run_does_not_sign_it(theirs: Path) -> None:
    settings = json.loads((theirs / SETTINGS).read_text())
    shutil.rmtree(theirs / "checkpoints")
    assert main(["train", "--resume", "theirs", "--final-episodes", "1"]) == 0
    assert json.loads((theirs / SETTINGS).read_text()) == settings
    assert not open_run(theirs).signed


# --- terminals -------------------------------------------------------------------------------------------------------

WILD = "\x1b]0;owned\x07\x9b31m\u202e"


@pytest.mark.slow
def test_escape_sequences_do_not_reach_the_terminal(theirs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for changes in (
        {"agent": f"a{WILD}"}, {"task": {"name": f"w{WILD}", "settings": {}}}, {"agent_settings": {f"k{WILD}": 1}},
        {"versions": {"python": WILD}}, {"device": WILD}, {WILD: 1},
        {"agent": "q-learning", "task": {"name": "FrozenLake", "settings": {WILD: WILD}}},
    ):  # fmt: skip
        before = (theirs / SETTINGS).read_bytes(), (theirs / MANIFEST).read_bytes()
        rewrite(theirs, **changes)
        shutil.copytree(theirs, Path("runs") / "theirs", dirs_exist_ok=True)
        for words in COMMANDS.values():
            assert main(words) in (0, 2)
            told = capsys.readouterr()
            assert not set(told.out + told.err) & set("\x1b\x07\x9b\u202e"), (changes, words)
        (theirs / SETTINGS).write_bytes(before[0])
        (theirs / MANIFEST).write_bytes(before[1])


def test_nor_those_in_metrics_episodes_and_evaluations(theirs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (theirs / MANIFEST).unlink()
    (theirs / "metrics.jsonl").write_text(json.dumps({"steps": 1, WILD: 1, "evaluation/return_mean": WILD}) + "\n")
    (theirs / "evaluation.json").write_text(json.dumps({"mean": WILD}))
    rewrite_episodes(theirs, {"name": f"w{WILD}", "settings": {}})
    (theirs / MANIFEST).unlink()
    for words in COMMANDS.values():
        assert main(words) in (0, 2)
        told = capsys.readouterr()
        assert not set(told.out + told.err) & set("\x1b\x07\x9b\u202e"), words
