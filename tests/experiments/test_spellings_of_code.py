"""More ways in which a file of somebody else may get code run: odd spellings of names, other files of a run, links.

Each is one way, read by every command that would meet it; `test_code_from_data.py` has the plain ones.
"""

from __future__ import annotations

import io
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
from inscape.envs.tasks.resolve import resolve_task
from inscape.errors import UsageError
from inscape.experiments.report import report_for_runs
from inscape.experiments.runs.folders import open_run
from inscape.experiments.runs.settings import SETTINGS
from inscape.experiments.runs.storage.checkpoints import _json_bytes, _manifest_bytes, _sha256, latest_checkpoint
from inscape.experiments.runs.storage.manifest import MANIFEST, Manifest, within
from inscape.experiments.runs.training import train
from tests.conftest import slow_but
from tests.experiments.conftest import CODE
from tests.experiments.test_code_from_data import COMMANDS, Payload, refuses_to_run, rewrite, rewrite_episodes

READ = ("report", "evaluate", "watch", "observe", "observe episodes", "watch episodes", "resume", "list")


def nothing_runs(capsys: pytest.CaptureFixture[str], commands: tuple[str, ...] = READ) -> None:
    for command in commands:
        refuses_to_run(COMMANDS[command], capsys)


def attacking(*files: str) -> None:
    for name in files:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(CODE)


# --- names -----------------------------------------------------------------------------------------------------------

TASKS: dict[str, tuple[str, str]] = {
    "begins as our agents": ("inscape.agents./notes.py:World", "inscape.agents./notes.py"),
    "begins as our worlds": ("inscape.envs.worlds./notes.py:World", "inscape.envs.worlds./notes.py"),
    "begins as our ids": ("inscape:theirs/notes.py:World", "inscape:theirs/notes.py"),
    "two colons": ("attacker::World", "attacker:.py"),
    "a module with a space": ("my mod:World", "my mod.py"),
    "a space before the colon": ("attacker :World", "attacker .py"),
    "a colon first": (":attacker:World", ":attacker.py"),
    "a home folder": ("~/notes.py:World", "notes.py"),
    "a variable": ("$PWD/notes.py:World", "$PWD/notes.py"),
    "a detour": ("theirs/../theirs/notes.py:World", "theirs/notes.py"),
    "a module of the run folder": ("theirs.notes:World", "theirs/notes.py"),
    "a game of the run folder": ("pettingzoo:theirs.notes", "theirs/notes.py"),
    "an id of the run folder": ("theirs.notes:Notes-v0", "theirs/notes.py"),
    "a known id, after a module": ("attacker:CartPole-v1", "attacker.py"),
    "pictures of an odd name": ("pixels:inscape.agents./notes.py:World", "inscape.agents./notes.py"),
    "pictures of two colons": ("pixels:attacker::World", "attacker:.py"),
    "letters of another case": ("theirs/notes.PY:World", "theirs/notes.PY"),
    "no colon": ("theirs/notes.py", "theirs/notes.py"),
    "dots": ("attacker.World", "attacker.py"),
}
AGENTS: dict[str, tuple[str, str]] = {
    "independent twice": ("independent:independent:theirs/notes.py:Agent", "theirs/notes.py"),
    "sb3 of independent": ("sb3:independent:attacker:Agent", "attacker.py"),
    "an agent that begins as ours": ("inscape.agents./notes.py:Agent", "inscape.agents./notes.py"),
    "an agent of two colons": ("attacker::Agent", "attacker:.py"),
    "an agent of a module with a space": ("my mod:Agent", "my mod.py"),
    "an agent for a home folder": ("~/notes.py:Agent", "notes.py"),
}


@pytest.mark.quick(every=2)
@pytest.mark.parametrize("way", TASKS)
def test_a_world_in_an_odd_spelling(
    theirs: Path,
    way: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    name, file = TASKS[way]
    attacking(file)
    monkeypatch.setenv("HOME", str(theirs.parent))
    rewrite(theirs, task={"name": name, "settings": {}})
    rewrite_episodes(theirs, {"name": name, "settings": {}})
    nothing_runs(capsys)


@pytest.mark.quick("an agent of two colons", "an agent for a home folder")
@pytest.mark.parametrize("way", AGENTS)
def test_an_agent_in_an_odd_spelling(
    theirs: Path,
    way: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    name, file = AGENTS[way]
    attacking(file)
    monkeypatch.setenv("HOME", str(theirs.parent))
    rewrite(theirs, agent=name)
    nothing_runs(capsys)


def test_names_of_code_and_others() -> None:
    for name, _ in TASKS.values():
        odd = name not in ("theirs/notes.py", "attacker.World")
        assert bool(trust.task_code_names({"name": name, "settings": {}})) == odd, name
    for name in ("CartPole", "inscape/CartPole-v0", "inscape:inscape/CartPole-v0", "pixels:CartPole", "ALE/Pong-v5"):
        assert trust.task_code_names({"name": name, "settings": {"note": "a: b", "at": "12:30 h"}}) == []
    for name in ("ppo", "sb3:ppo", "independent:dqn", "independent:sb3:ppo", "inscape.agents.on_policy.ppo:PPO"):
        assert trust.agent_code_names(name, {}) == []


# --- settings --------------------------------------------------------------------------------------------------------

SETTINGS_OF_THEIRS: dict[str, dict[str, Any]] = {
    "policy": {"agent_settings": {"policy": "attacker:World"}},
    "within a list": {"agent_settings": {"a": [[{"b": ["theirs/notes.py:World"]}]]}},
    "as a key": {"agent_settings": {"attacker:World": 1}},
    "an entry point": {"task": {"name": "CartPole-v1", "settings": {"entry_point": "attacker:World"}}},
    "an old environment": {"task": {"name": "GymV21Environment-v0", "settings": {"env_id": "attacker:Notes-v0"}}},
    "wrappers": {"task": {"name": "CartPole-v1", "settings": {}, "wrappers": ["attacker:World:a=1"]}},
    "a tag of YAML": {"agent_settings": {"gamma": "!!python/object/apply:os.system ['touch EXECUTED']"}},
    "a tag of jsonpickle": {"agent_settings": {"py/reduce": [{"py/function": "os.system"}, ["touch EXECUTED"]]}},
    "a template": {"agent_settings": {"gamma": "{{ cycler.__init__.__globals__.os.system('touch EXECUTED') }}"}},
    "an expression": {"task": {"name": "FrozenLake", "settings": {"slip": "exec('open(\'EXECUTED\', \'w\')')"}}},
    "a shell": {"device": "$(touch EXECUTED)"},
    "code elsewhere": {"code": {"a:b": {"path": "theirs/notes.py", "sha256": "../../../../x"}}},
    "code in versions": {"versions": {"attacker:World": "attacker:World"}},
}  # fmt: skip


@pytest.mark.quick(every=6)
@pytest.mark.parametrize("way", SETTINGS_OF_THEIRS)
def test_settings_are_data(theirs: Path, way: str, capsys: pytest.CaptureFixture[str]) -> None:
    rewrite(theirs, **SETTINGS_OF_THEIRS[way])
    nothing_runs(capsys)


# --- other files of a run --------------------------------------------------------------------------------------------


def pickled_settings(folder: Path) -> None:
    (folder / SETTINGS).write_bytes(pickle.dumps(Payload()))


def pickled_evaluation(folder: Path) -> None:
    (folder / "evaluation.json").write_bytes(pickle.dumps(Payload()))


def pickled_metrics(folder: Path) -> None:
    (folder / "metrics.jsonl").write_bytes(pickle.dumps(Payload(), protocol=0) + b"\n")


def pickled_sums(folder: Path) -> None:
    (folder / "metrics.sums").write_bytes(pickle.dumps(Payload(), protocol=0))


def pickled_manifest(folder: Path) -> None:
    (folder / MANIFEST).write_bytes(pickle.dumps(Payload()))


def pickled_episodes(folder: Path) -> None:
    (folder / "episodes" / "final.npz").write_bytes(pickle.dumps(Payload()))


def an_episodes_header_of_code(folder: Path) -> None:
    """NumPy reads an array's header as a Python literal."""
    header = b"{'descr': __import__('os').system('touch EXECUTED'), 'fortran_order': False, 'shape': (1,)}"
    array = b"\x93NUMPY\x01\x00" + (len(header) + 1).to_bytes(2, "little") + header + b"\n" + b"\0" * 8
    with zipfile.ZipFile(folder / "episodes" / "final.npz", "w") as archive:
        archive.writestr("json.npy", array)
        archive.writestr("../../../EXECUTED", b"")  # NumPy does not unpack; nothing else does either


def pickled_tensors(folder: Path) -> None:
    change_checkpoint(folder, tensors=pickle.dumps(Payload()))


def tensors_of_torch(folder: Path) -> None:
    import torch

    file = io.BytesIO()
    torch.save({"weights": Payload()}, file)
    change_checkpoint(folder, tensors=file.getvalue())


def a_checkpoint_of_objects(folder: Path) -> None:
    data = np.frombuffer(pickle.dumps(Payload()), np.uint8)
    from safetensors.numpy import save

    state = {"state": {"q": {"__bytes__": ["0:q", "|O", [1]]}}, "metadata": {"steps": 200, "finished": True}}
    change_checkpoint(folder, bytes(save({"0:q": data})), _json_bytes(state))


def a_checkpoint_that_calls(folder: Path) -> None:
    state = {"__reduce__": ["os.system", ["touch EXECUTED"]], "__class__": "os.system", "py/object": "os.system"}
    document = {"state": state, "metadata": {"steps": 200, "finished": True}}
    change_checkpoint(folder, state=_json_bytes(document))


def change_checkpoint(folder: Path, tensors: bytes | None = None, state: bytes | None = None) -> None:
    """Changes files of the newest checkpoint as its maker would: the manifest holds."""
    checkpoint = latest_checkpoint(folder)
    assert checkpoint is not None
    files = {}
    for name, data in (("tensors.safetensors", tensors), ("state.json", state)):
        content = (checkpoint / name).read_bytes() if data is None else data
        (checkpoint / name).write_bytes(content)
        files[name] = {"bytes": len(content), "sha256": _sha256(content)}
    (checkpoint / "manifest.json").write_bytes(_manifest_bytes(files))


def a_manifest_that_leaves(folder: Path) -> None:
    manifest = Manifest.read(folder)
    (entry,) = {manifest.files[name] for name in manifest.files if name == SETTINGS}
    manifest.files["episodes/../../attacker.py"] = entry
    manifest.write()


def modules_in_the_folder(folder: Path) -> None:
    for name in ("json", "torch", "inscape", "sitecustomize", "conftest", "__init__", "__main__"):
        attacking(str(folder / f"{name}.py"), str(folder / "code" / f"{name}.py"))


FILES: dict[str, Callable[[Path], None]] = {
    f.__name__: f
    for f in (
        pickled_settings, pickled_evaluation, pickled_metrics, pickled_sums, pickled_manifest, pickled_episodes,
        an_episodes_header_of_code, pickled_tensors, tensors_of_torch, a_checkpoint_of_objects, a_checkpoint_that_calls,
        a_manifest_that_leaves, modules_in_the_folder,
    )
}  # fmt: skip


@pytest.mark.quick(every=6)
@pytest.mark.parametrize("covered", slow_but(["with manifest"], ["with manifest", "without"]))
@pytest.mark.parametrize("way", FILES)
def test_files_are_data(theirs: Path, way: str, covered: str, capsys: pytest.CaptureFixture[str]) -> None:
    FILES[way](theirs)
    if covered == "without":
        (theirs / MANIFEST).unlink()
    nothing_runs(capsys)


@pytest.mark.parametrize(
    "part", ["json", "code", "signature", "0/observations", "0/actions", "0/rewards", "0/states.ints"]
)
def test_arrays_of_objects_are_refused(theirs: Path, part: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = theirs / "episodes" / "final.npz"
    with np.load(path) as file:
        arrays = dict(file)
    arrays[part] = np.array([Payload()], dtype=object)
    np.savez(path, **arrays)
    (theirs / MANIFEST).unlink()
    for command in ("watch episodes", "observe episodes", "report"):
        told = refuses_to_run(COMMANDS[command], capsys)
        assert "cannot read episodes" in told


def test_manifests_name_files_within_their_folder() -> None:
    for name in ("settings.json", "episodes/final.npz", "code/ab-my notes.py", "..a", "a..b/c"):
        assert within(name), name
    for name in ("", "/etc/passwd", "../a", "a/../../b", "a//b", "./a", "a\\..\\b", "a/.", "a\0b"):
        assert not within(name), name


# --- signatures and links --------------------------------------------------------------------------------------------


@pytest.fixture
def mine(theirs: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that the user made and signed, in a world from a file; then, in another folder, a file of the same name."""
    Path("home").mkdir()
    monkeypatch.chdir("home")
    Path("notes.py").write_text("from inscape.envs.worlds.gridworld.grid import GridWorld as World\n")
    train("q-learning", resolve_task("notes.py:World"), 100, out="run", progress=False, evaluate_every=0)
    monkeypatch.setattr(trust, "_allowed", set())
    monkeypatch.chdir(theirs.parent)
    attacking("notes.py")
    return Path("home/run").resolve()


@pytest.mark.quick("linked folder", "linked files")
@pytest.mark.parametrize("how", ["moved", "copied", "linked folder", "linked files"])
def test_a_signed_run_elsewhere_runs_what_its_maker_signed(
    theirs: Path,
    mine: Path,
    how: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Not the file of the same name that lies there."""
    shutil.rmtree(theirs / "checkpoints")
    if how == "moved":
        shutil.rmtree(theirs)
        mine.rename(theirs)
    elif how == "copied":
        shutil.copytree(mine, theirs, dirs_exist_ok=True)
    elif how == "linked folder":
        shutil.rmtree(theirs)
        theirs.symlink_to(mine)
    else:
        for name in (SETTINGS, MANIFEST):
            (theirs / name).unlink()
            (theirs / name).symlink_to(mine / name)
    nothing_runs(capsys)


@pytest.mark.parametrize("edited", ["settings", "name in settings", "hash of the code", "path of the code"])
def test_a_signature_holds_for_nothing_else(
    theirs: Path,
    mine: Path,
    edited: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.rmtree(theirs)
    shutil.copytree(mine, theirs)
    document = json.loads((theirs / SETTINGS).read_text())
    code = document["code"]["notes.py:World"]
    if edited == "settings":
        document["seed"] = 7
    elif edited == "name in settings":
        document["task"]["name"] = "attacker:World"
    elif edited == "hash of the code":
        code["sha256"] = "0" * 64
    else:
        code["path"] = str(Path("notes.py").resolve())
    (theirs / SETTINGS).write_text(json.dumps(document))
    nothing_runs(capsys)
    with pytest.raises(UsageError, match="was changed or damaged"):
        open_run(theirs)
    (theirs / MANIFEST).unlink()
    nothing_runs(capsys)


@pytest.mark.quick("settings.json", "metrics.jsonl")
@pytest.mark.parametrize("linked", ["episodes", "checkpoints", "code", SETTINGS, "metrics.jsonl"])
def test_links_out_of_the_folder_lead_to_data_only(
    theirs: Path,
    linked: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What they lead to is read as what it should be; what is written goes into the run's own folder."""
    rewrite(theirs, task={"name": "theirs/notes.py:World", "settings": {}})
    outside = Path("outside") / linked
    outside.parent.mkdir()
    if (theirs / linked).exists():
        (theirs / linked).rename(outside)
    else:
        attacking("outside/code/a.py")
    (theirs / linked).symlink_to(outside.resolve())
    before = {path: path.read_bytes() for path in Path("outside").rglob("*") if path.is_file()}
    nothing_runs(capsys)
    assert {path: path.read_bytes() for path in Path("outside").rglob("*") if path.is_file()} == before


# --- what is shown ---------------------------------------------------------------------------------------------------

NASTY = "</script><img src=x onerror=alert(1)>\"'&<!--"


@pytest.mark.parametrize(
    "changes",
    [
        {"agent": NASTY}, {"task": {"name": NASTY, "settings": {}}}, {"agent_settings": {NASTY: 1}},
        {"agent_settings": {"gamma": NASTY}}, {"task": {"name": "FrozenLake", "settings": {NASTY: NASTY}}},
        {"device": NASTY}, {"versions": {NASTY: NASTY}},
    ],
)  # fmt: skip
def test_markup_in_settings_is_text_in_a_report(theirs: Path, changes: dict[str, Any]) -> None:
    """Beside a run that differs by it, so that it stands in labels too."""
    shutil.copytree(theirs, NASTY.replace("/", "_"))
    rewrite(theirs, **changes)
    (theirs / MANIFEST).unlink()
    page = report_for_runs([theirs, NASTY.replace("/", "_")], "r.html").read_text()
    assert "<img" not in page and "<!--" not in page
    assert page.count("</script>") == 2


def test_nor_is_it_in_recorded_episodes(theirs: Path) -> None:
    path = theirs / "episodes" / "final.npz"
    with np.load(path) as file:
        arrays = dict(file)
    said = [{**one, "agent": NASTY} for one in json.loads(arrays["json"].tobytes())]
    arrays["json"] = np.frombuffer(json.dumps(said).encode(), np.uint8)
    np.savez(path, **arrays)
    (theirs / MANIFEST).unlink()
    page = report_for_runs([theirs], "r.html").read_text()
    assert "<img" not in page and page.count("</script>") == 2
