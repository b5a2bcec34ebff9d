"""Folders of a model hub: a run with a card, without pickles; pushed to a hub and pulled from one.

A hub is that of `huggingface_hub`, or a local folder, which the variable INSCAPE_HUB names. What is pulled was written
by anybody: only the files that a run consists of are taken, none of them is unpickled, and code that it names or holds
runs only with `--trust`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from inscape.errors import UsageError
from inscape.experiments.runs.folders import open_run
from inscape.experiments.runs.run import Run
from inscape.experiments.runs.settings import SETTINGS
from inscape.experiments.runs.storage.checkpoints import checkpoint_folders

HUB = "hub:"
HUB_FOLDER = "INSCAPE_HUB"
CARD = "README.md"
TAKEN = re.compile(
    r"(settings|manifest|evaluation)\.json|metrics\.(jsonl|sums)|restarts\.jsonl|README\.md|code/[^/]+|"
    r"episodes/[^/]+\.npz|checkpoints/step-\d+/(tensors\.safetensors|state\.json|manifest\.json)"
)
"""The files that a run consists of, and its card; nothing else is copied, in either direction."""
_NAME = re.compile(r"[\w][\w.-]*(/[\w][\w.-]*)?")
MOST_BYTES = 1 << 36
"""The largest file that is taken."""


def write_hub_folder(run: Run, out: Path) -> Path:
    """Copies a run with its newest checkpoint to a new folder, with a card, and returns the folder.

    Raises:
        UsageError: the run has no checkpoint; the folder is not new or empty, or cannot be written.
    """
    newest = checkpoint_folders(run.path)
    if not newest:
        raise UsageError(f"{run.path} has no checkpoint", expected="a run that was trained", hint="inscape train …")
    run.load_latest()  # a damaged one is refused here
    older = {folder.name for folder in newest[:-1]}
    _copy_run(run.path, out, older)
    try:
        (out / CARD).write_text(_card(run), encoding="utf-8")
    except OSError as error:
        raise _cannot_write(out, error) from error
    return out


def push(run: Run, name: str) -> str:
    """Uploads a run to a hub and returns where it is.

    Args:
        run: what to upload.
        name: `OWNER/NAME`, or `NAME` for the user's own.

    Raises:
        UsageError: no such name; the hub cannot be reached or refuses.
    """
    _require_name(name)
    local = os.environ.get(HUB_FOLDER)
    if local:
        return str(write_hub_folder(run, Path(local) / name))
    with tempfile.TemporaryDirectory() as place, _of_hub(name):
        folder = write_hub_folder(run, Path(place) / "run")
        api = _hub().HfApi()
        repository = api.create_repo(name, exist_ok=True).repo_id
        api.upload_folder(folder_path=folder, repo_id=repository, commit_message=f"{run.settings.agent} of Inscape")
        return f"{HUB}{repository}"


def pull(name: str, out: Path) -> Path:
    """Downloads a run from a hub to a new folder and returns the folder.

    Raises:
        UsageError: no such name, or no run there; the hub cannot be reached; the folder is not new or empty.
    """
    _require_name(name)
    local = os.environ.get(HUB_FOLDER)
    if local:
        _copy_run(Path(local) / name, out)
    else:
        with tempfile.TemporaryDirectory() as place, _of_hub(name):
            downloaded = _hub().snapshot_download(name, local_dir=Path(place) / "run")
            _copy_run(Path(downloaded), out)
    try:
        open_run(out)
    except UsageError:
        shutil.rmtree(out, ignore_errors=True)
        raise
    return out


def _require_name(name: str) -> None:
    if not _NAME.fullmatch(name) or ".." in name:
        raise UsageError(f"the name {name!r} on a hub", expected="OWNER/NAME, of letters, digits, - _ .")


def _copy_run(source: Path, out: Path, without: Collection[str] = ()) -> None:
    """Copies the files of a run; links and everything else stay behind."""
    if not (source / SETTINGS).is_file():
        raise UsageError(f"no run at {source}", expected=f"a folder with {SETTINGS}")
    try:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise UsageError(f"{out} is not empty", expected="a new or empty folder", hint="another --out")
        for path in _plain_files(source):
            name = path.relative_to(source).as_posix()
            parts = name.split("/")
            if not TAKEN.fullmatch(name) or (parts[0] == "checkpoints" and parts[1] in without):
                continue
            if path.stat().st_size > MOST_BYTES:
                raise UsageError(f"{path} has {path.stat().st_size:,} bytes", expected=f"at most {MOST_BYTES:,}")
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, out / name)
    except OSError as error:
        raise _cannot_write(out, error) from error


def _plain_files(folder: Path) -> Iterator[Path]:
    """Yields the files below a folder; neither links nor what lies behind links to folders."""
    for place, folders, files in os.walk(folder, followlinks=False):
        folders.sort()
        for name in sorted(files):
            path = Path(place) / name
            if path.is_file() and not path.is_symlink():
                yield path


def _card(run: Run) -> str:
    """Returns the card of a run: what it is, how it did, how it is used."""
    settings, evaluation = run.settings, run.evaluation()
    world = str(settings.task.get("name"))
    lines = [
        "---", "library_name: inscape", "tags: [reinforcement-learning, inscape]", "---", "",
        f"# {_plain(settings.agent)} in {_plain(world)}", "",
        f"Trained for {settings.steps:,} steps with seed {settings.seed}.",
    ]  # fmt: skip
    if evaluation is not None:
        lines.append(f"Mean return {evaluation[0]} over {evaluation[1]} episodes.")
    shown = json.dumps(settings.agent_settings, indent=1, default=str)
    lines += ["", "```", "inscape evaluate FOLDER", "inscape watch FOLDER", "```", "", "```json", shown, "```", ""]
    return "\n".join(lines)


def _plain(text: str) -> str:
    return re.sub(r"[^\w\s.:/+-]", "", text).replace("\n", " ")


def _cannot_write(out: Path, error: OSError) -> UsageError:
    return UsageError(
        f"cannot write {out}: {error.strerror or error}", expected="a folder that can be written", hint="another --out"
    )


def _hub() -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise UsageError(
            "a model hub needs the package huggingface_hub", expected="it installed",
            hint=f'pip install "inscape[hub]"; or {HUB_FOLDER}=FOLDER for a local folder',
        ) from error  # fmt: skip
    return huggingface_hub


class _of_hub:
    """Reports as `UsageError` what a hub or the network raises."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None: ...

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, Exception) and not isinstance(error, UsageError):
            raise UsageError(
                f"{HUB}{self.name}: {type(error).__name__}: {str(error)[:300]}",
                expected="a hub that can be reached, and a name that is there, or that this user may write",
                hint=f"hf auth login; or {HUB_FOLDER}=FOLDER for a local folder",
            ) from error
