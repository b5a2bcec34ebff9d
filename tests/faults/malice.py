"""Files as an attacker may send them: runs, episodes, hub folders, experiments and their results. Whatever reads them
runs nothing of theirs, and writes nothing outside the folders that were named.

A program named in an experiment file, as `worlds = ["mine.py:World"]`, is no such thing: who runs the file asks for it.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import shutil
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inscape import trust
from inscape.experiments.cli import main
from inscape.experiments.trials.results import RESULTS
from inscape.experiments.trials.trial import TrialResult
from tests.experiments import test_code_from_data as code
from tests.experiments.conftest import CODE
from tests.faults.rows import Row, first

SCRIPT = "<script>alert(1)</script>"
ODD: dict[str, dict[str, Any]] = {
    "labels with scripts": {"agent": SCRIPT, "world": SCRIPT},
    "labels with markup": {"agent": "[red]x[/nothing]", "world": "[link=file:///]"},
    "labels with control characters": {"agent": "\x1b]0;x\x07\x1b[2J", "world": "\x00"},
    "score a text": {"score": "1"}, "score a list": {"score": [1]}, "score not finite": {"score": float("nan")},
    "score huge": {"score": 10**400}, "seed a text": {"seed": "0"}, "seed a list": {"seed": [0]},
    "curve of text": {"curve": [["a", "b"]]}, "curve huge": {"curve": [[10**400, 1.0]]},
    "returns of text": {"returns": ["x"]}, "settings a list": {"settings": [1]}, "exact a list": {"exact": [1]},
    "exact without values": {"exact": {}}, "run outside": {"run": "../../../etc"}, "label a list": {"agent": ["x"]},
    "steps negative": {"steps": -1}, "error an object": {"error": {"a": 1}}, "unknown key": {"surprise": 1},
}  # fmt: skip
"""What stands in results.jsonl, its checksum right."""
EXPERIMENTS = {
    "trust in a file": 'worlds = ["FrozenLake"]\nagents = [{name = "sb3:ppo", load = "evil.zip", trust = true}]',
    "a zip to load": 'worlds = ["FrozenLake"]\nagents = [{name = "sb3:ppo", load = "evil.zip"}]',
    "labels that lead out": 'worlds = [{name = "FrozenLake", label = "../../out"}]\n'
    'agents = [{name = "q-learning", label = "../../../out", steps = 50}]\nseeds = 1\nfinal_episodes = 1',
    "absolute labels": 'worlds = [{name = "FrozenLake", label = "/OUT/x"}]\nagents = [{name = "random"}]\nseeds = 1',
    "a name that leads out": 'name = "../../out"\nworlds = ["FrozenLake"]\nagents = ["random"]\nseeds = 1',
}
HUB: dict[str, Callable[[Path], None]] = {
    "a link out": lambda f: (f / "episodes" / "x.npz").symlink_to("/etc/hostname"),
    "a folder that is a link out": lambda f: (f / "code").symlink_to("/etc"),
    "a pickle": lambda f: (f / "model.pkl").write_bytes(pickle.dumps(code.Payload())),
    "a pickle as a checkpoint": lambda f: _checkpoint(f, "tensors.safetensors", pickle.dumps(code.Payload())),
    "episodes with pickles": lambda f: np.savez(f / "episodes" / "final.npz", json=np.array([code.Payload()], object)),
    "episodes that unpack elsewhere": lambda f: _slip(f / "episodes" / "final.npz"),
    "a state of millions of levels": lambda f: _checkpoint(f, "state.json", b"[" * 10**6),
    "tensors of impossible size": lambda f: _checkpoint(f, "tensors.safetensors", b"\xff" * 8 + b"{}"),
    "a manifest that leads out": lambda f: (f / "manifest.json").write_text(
        json.dumps({"files": {"../../x": {"bytes": 1, "sha256": "0"}}, "signature": ""})
    ),
    "settings that name a file": lambda f: code.rewrite(f, task={"name": code.TASKS["file"], "settings": {}}),
    "settings that name an agent": lambda f: code.rewrite(f, agent=code.AGENTS["agent module"]),
}  # fmt: skip


def malice(short: bool, place: Path) -> list[Row]:
    with pytest.MonkeyPatch.context() as patch:
        innocent = _innocent(place, patch)
        patch.setenv("THEIR_CONFIG", str(innocent / "config"))
        patch.setattr(trust, "_allowed", set())
        stored: dict[str, Callable[[Path], None]] = {
            **{f"world: {n}": lambda f, t=t: _names(f, t) for n, t in code.TASKS.items()},  # type: ignore[misc]
            **{f"agent: {n}": lambda f, a=a: code.rewrite(f, agent=a) for n, a in code.AGENTS.items()},  # type: ignore[misc]
            **code.WAYS,
        }
        commands = list(code.COMMANDS.values())[:: 4 if short else 1]
        rows = [
            _of("runs and episodes", stored, lambda home, make: _run(home, innocent, make, commands), place, patch),
            _of("folders of a hub, pulled and used", HUB, lambda home, make: _pull(home, innocent, make), place, patch),
            _of("results of experiments", ODD, _results, place, patch),
            _of("experiment files", EXPERIMENTS, _experiment, place, patch),
        ]
    return rows


def _innocent(place: Path, patch: pytest.MonkeyPatch) -> Path:
    folder = place / "innocent"
    folder.mkdir()
    with pytest.MonkeyPatch.context() as theirs:
        theirs.setenv("XDG_CONFIG_HOME", str(folder / "config"))
        theirs.chdir(folder)
        line = "train q-learning FrozenLake --steps 200 --evaluate-every 0 --final-episodes 2 --out theirs"
        assert _main(line.split())[0] == 0
    patch.setenv("XDG_CONFIG_HOME", str(place / "mine"))
    return folder


def _main(words: list[str]) -> tuple[int, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        found = main(words)
    return found, out.getvalue() + err.getvalue()


def _of(what: str, cases: Any, use: Callable[[Path, Any], list[str]], place: Path, patch: pytest.MonkeyPatch) -> Row:
    wrong: list[str] = []
    for number, (name, make) in enumerate(cases.items()):
        around = place / f"{what.split()[0]}-{number}"
        home = around / "a" / "b" / "home"
        home.mkdir(parents=True)
        patch.chdir(home)
        patch.syspath_prepend(str(home))
        trust._allowed.clear()
        try:
            wrong += [f"{name}: {one}" for one in use(home, make)]
        except BaseException as error:
            wrong.append(f"{name}: {type(error).__name__}: {str(error)[:150]}")
        if any(path.name == "EXECUTED" for path in around.rglob("*")):
            wrong.append(f"{name}: EXECUTED")
        outside = [p for p in around.rglob("*") if p.is_file() and home not in p.parents]
        wrong += [f"{name}: wrote {path}" for path in outside]
        os.chdir(place)
    return Row(f"malicious files: {what}", len(cases), len(wrong), "code executed, a file written outside, a traceback",
               first(wrong))  # fmt: skip


def _refused(words: list[str]) -> list[str]:
    found, told = _main(words)
    wrong = [] if found in (0, 1, 2) else [f"{' '.join(words)}: exit {found}"]
    return wrong + ([f"{' '.join(words)}: traceback"] if "Traceback" in told else [])


def _theirs(home: Path, innocent: Path) -> Path:
    shutil.copytree(innocent / "theirs", home / "theirs")
    for name in ("theirs/notes.py", "theirs/my notes.py", "attacker.py", "independent.py", "pixels.py"):
        (home / name).write_text(CODE)
    return home / "theirs"


def _run(home: Path, innocent: Path, make: Callable[[Path], None], commands: list[list[str]]) -> list[str]:
    make(_theirs(home, innocent))
    return [line for words in commands for line in _refused(words)]


def _names(folder: Path, name: str) -> None:
    task = {"name": name.replace("{place}", str(folder.parent)), "settings": {}}
    code.rewrite(folder, task=task)
    code.rewrite_episodes(folder, task)


def _pull(home: Path, innocent: Path, make: Callable[[Path], None]) -> list[str]:
    make(_theirs(home, innocent))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INSCAPE_HUB", str(home))
        wrong = _refused(["export", "hub:theirs", "--to", "hub-folder", "--out", "pulled"])
    for words in (["evaluate", "pulled", "--episodes", "1"], ["report", "pulled"], ["observe", "pulled"],
                  ["export", "pulled", "--to", "torchscript", "--out", "a.pt"]):  # fmt: skip
        wrong += _refused(words)
    wrong += [f"{p} came along" for p in (home / "pulled").rglob("*") if p.is_symlink() or p.suffix == ".pkl"]
    return wrong


def _results(home: Path, changes: dict[str, Any]) -> list[str]:
    lines = []
    for seed in range(4):
        result = {**asdict(TrialResult(f"{seed:016x}", "ppo", "lake", seed, float(seed), (1.0,))), "id": f"{seed:x}"}
        text = json.dumps({**result, **(changes if seed < 3 else {})}).encode()
        lines.append(f"{zlib.crc32(text):08x} ".encode() + text + b"\n")
    (home / "theirs").mkdir()
    (home / "theirs" / RESULTS).write_bytes(b"".join(lines))
    wrong = _refused(["compare", "theirs", "--save", "page.html"])
    page = home / "page.html"
    if page.exists() and SCRIPT in page.read_text(encoding="utf-8"):
        wrong.append("a script in the page")
    return wrong


def _experiment(home: Path, text: str) -> list[str]:
    code.zipped(home)
    (home / "model.zip").rename(home / "evil.zip")
    (home / "theirs.toml").write_text(text)
    return _refused(["run", "theirs.toml"])


def _checkpoint(folder: Path, name: str, data: bytes) -> None:
    """Puts other bytes into a checkpoint, whose manifest agrees."""
    from inscape.experiments.runs.storage import checkpoints

    [place] = checkpoints.checkpoint_folders(folder)[-1:]
    (place / name).write_bytes(data)
    files = {n: (place / n).read_bytes() for n in (checkpoints.TENSORS, checkpoints.STATE)}
    entries = {n: {"bytes": len(d), "sha256": checkpoints._sha256(d)} for n, d in files.items()}
    (place / checkpoints.MANIFEST).write_bytes(checkpoints._manifest_bytes(entries))


def _slip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../../../../slipped.npy", b"x")
        archive.writestr("/slipped.npy", b"x")
