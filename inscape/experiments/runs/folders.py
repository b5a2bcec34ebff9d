"""Run folders: made, opened, found and listed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from inscape import trust
from inscape.envs.loading import find_again
from inscape.errors import UsageError, closest
from inscape.experiments.runs.run import Run
from inscape.experiments.runs.settings import SETTINGS, RunSettings, run_name
from inscape.experiments.runs.storage.best import BEST
from inscape.experiments.runs.storage.code import copy_code
from inscape.experiments.runs.storage.files import write_text
from inscape.experiments.runs.storage.lock import LOCK
from inscape.experiments.runs.storage.manifest import MANIFEST, Manifest

DEFAULT_ROOT = Path("runs")


def create_run(
    settings: RunSettings, path: str | Path | None = None, root: str | Path = DEFAULT_ROOT, locked: bool = False
) -> Run:
    """Makes a run folder and writes its settings.

    Args:
        settings: what the run does.
        path: the folder; None makes a fresh one under `root`, named after world, agent and seed.
        root: where fresh folders go.
        locked: whether this process keeps the run for itself (`Run.lock`).

    Raises:
        UsageError: the folder holds a run or other files already, or cannot be written.
    """
    while path is None:
        fresh = _fresh_folder(Path(root), settings)
        try:
            return create_run(settings, fresh, root, locked)
        except UsageError:
            if not ((fresh / SETTINGS).exists() or (fresh / LOCK).exists()):
                raise
            # else another process took the same name at the same time
    folder = Path(path)
    if (folder / SETTINGS).exists():
        raise UsageError(
            f"{folder} already holds a run", expected="a new folder", hint="--resume to go on with it, or another --out"
        )
    run = Run(folder, settings)
    run._made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        run.lock()  # two processes may find it empty
        if (folder / SETTINGS).exists():
            raise UsageError(f"{folder} was just taken by another process", hint="another --out")
        for leftover in (
            *folder.glob(f".{SETTINGS}.writing-*"),
            *folder.glob(f".{MANIFEST}.writing-*"),
        ):  # of a process killed as it began
            leftover.unlink(missing_ok=True)
        if any(not file.name.lstrip(".").startswith(LOCK) for file in folder.iterdir()):
            raise UsageError(f"{folder} is not empty", expected="a new or empty folder", hint="another --out")
        manifest = Manifest(folder, signed=True)
        with manifest.replacing(SETTINGS):
            write_text(folder / SETTINGS, json.dumps(settings.to_json(), indent=2) + "\n")
        if settings.code:
            copy_code(folder, settings.code, manifest)
        if not locked:
            run.release()
    except UsageError:
        run.release()
        raise
    except OSError as error:
        run.release()
        raise UsageError(
            f"cannot write the run folder {folder}: {error.strerror or error}",
            expected="a folder that can be written",
            hint="another place with --out",
        ) from error
    return run


def open_run(path: str | Path, root: str | Path = DEFAULT_ROOT) -> Run:
    """Returns the run in a folder; `path` may also be its bare name under `root`, or `RUN/best`: the run with the
    model of its best evaluation in place of the newest.

    Raises:
        UsageError: there is no run, or its settings cannot be read; or it keeps no best model.
    """
    if _is_best_of_a_run(path, root):
        return open_run(Path(path).parent, root).best
    folder = find_run(path, root)
    if folder is None:
        for place in _meant(path, root):
            if (place / MANIFEST).is_file():
                Manifest.read(place).check(SETTINGS, None)
        names = [folder.name for folder in run_folders(root)]
        hint = closest(str(path), names) if names else "inscape train AGENT WORLD makes one"
        raise UsageError(f"no run at {path}", expected=f"a folder with {SETTINGS}", hint=hint)
    manifest = Manifest.read(folder)
    try:
        data = (folder / SETTINGS).read_bytes()
        manifest.check(SETTINGS, data)
        document = json.loads(data)
    except UsageError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(
            f"cannot read {folder / SETTINGS}: {error}", expected="the JSON that inscape wrote", hint="train again"
        ) from error
    if not isinstance(document, dict):
        raise UsageError(f"{folder / SETTINGS} holds a {type(document).__name__}", expected="a JSON object")
    settings = RunSettings.from_json(document)
    if manifest.signed or trust.is_trusting():  # only then may the file say where code lies
        find_again(settings.code)
        settings = replace(
            settings,
            agent=trust.located(settings.agent, settings.code),
            task=trust.located(settings.task, settings.code),
        )
    if manifest.signed:
        trust.allow(settings.code_names())
    return Run(folder, settings)


def find_run(path: str | Path, root: str | Path = DEFAULT_ROOT) -> Path | None:
    """Returns the run folder that `path` means, a folder or a bare name under `root`, `RUN/best` as such; or None."""
    if _is_best_of_a_run(path, root):
        return Path(path)
    return next((folder for folder in _meant(path, root) if (folder / SETTINGS).is_file()), None)


def _is_best_of_a_run(path: str | Path, root: str | Path) -> bool:
    """Whether a path is `RUN/best`, where there is a run RUN."""
    path = Path(path)
    if path.name != BEST or path.parent == Path() or (path / SETTINGS).is_file():
        return False
    return any((folder / SETTINGS).is_file() for folder in _meant(path.parent, root))


def _meant(path: str | Path, root: str | Path) -> list[Path]:
    bare = Path(path).name == str(path)
    return [Path(path), *([Path(root) / path] if bare else [])]


def run_folders(root: str | Path = DEFAULT_ROOT) -> list[Path]:
    """Returns the run folders under `root` (two levels deep, as the demo groups its own, and those of experiments
    there), newest first.

    One whose settings are gone and whose manifest is there is among them: `open_run` says what is missing.
    """
    patterns = [f"{depth}/{name}" for name in (SETTINGS, MANIFEST) for depth in ("*", "*/*", "*/runs/*")]
    found = {path.parent: path for pattern in reversed(patterns) for path in Path(root).glob(pattern)}
    return sorted(found, key=lambda f: (-found[f].stat().st_mtime, f))


def matching_run(settings: RunSettings, root: str | Path = DEFAULT_ROOT) -> Path | None:
    """Returns the newest folder that `create_run` would have named for these settings, or None."""
    base, number = run_name(settings), 1
    folder: Path | None = None
    while (candidate := Path(root) / _numbered(base, number)).exists():
        folder, number = candidate, number + 1
    return folder


def _fresh_folder(root: Path, settings: RunSettings) -> Path:
    base, number = run_name(settings), 1
    while (root / _numbered(base, number)).exists():
        number += 1
    return root / _numbered(base, number)


def _numbered(base: str, number: int) -> str:
    return base if number == 1 else f"{base}-{number}"
