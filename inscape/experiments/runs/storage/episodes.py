"""Recorded episodes: trajectories in a file, arrays without pickle and the rest as signed JSON."""

from __future__ import annotations

import json
import os
import struct
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from inscape import trust
from inscape.envs.loading import find_again
from inscape.envs.tasks.arguments import require_json
from inscape.errors import UsageError
from inscape.experiments.runs.storage.manifest import MANIFEST, Manifest
from inscape.experiments.runs.storage.metrics import plain_value

if TYPE_CHECKING:
    from inscape.envs.data.trajectory import Trajectory


EPISODES = "episodes"
MINARI = "minari:"
"""Prefix of the name of a Minari data set, where else a file of episodes is named."""
_ARRAYS = ("observations", "actions", "rewards", "action_masks")
_PLAIN = ("terminated", "truncated", "task", "agent", "seed")


def names_episodes(source: str) -> bool:
    """Returns whether it names recorded episodes: an `.npz`, or a Minari data set."""
    return source.endswith(".npz") or source.startswith(MINARI)


def save_trajectories(path: str | Path, trajectories: Iterable[Trajectory]) -> Path:
    """Stores trajectories in one `.npz` (no pickle: what is not an array is JSON in it) and returns its path.

    `minari:NAME` makes a Minari data set of them instead.
    """
    if str(path).startswith(MINARI):
        from inscape.envs.data.minari import trajectories_to_minari

        with warnings.catch_warnings():
            # that a set to be published should name its author
            warnings.filterwarnings("ignore", category=UserWarning, module="minari")
            return Path(trajectories_to_minari(list(trajectories), str(path).removeprefix(MINARI)).spec.data_path)
    path = Path(path)
    arrays: dict[str, np.ndarray] = {}
    plain = []
    for index, trajectory in enumerate(trajectories):
        for name in _ARRAYS:
            if (value := getattr(trajectory, name)) is not None:
                arrays[f"{index}/{name}"] = np.asarray(value)
        if trajectory.states is not None:
            arrays[f"{index}/states.floats"] = trajectory.states.floats
            arrays[f"{index}/states.ints"] = trajectory.states.ints
        plain.append({name: plain_value(getattr(trajectory, name)) for name in _PLAIN})
    for values in plain:
        require_json((values["task"] or {}).get("settings"), str((values["task"] or {}).get("name")))
    said = json.dumps(plain).encode()
    arrays["json"] = np.frombuffer(said, dtype=np.uint8)
    code = json.dumps(trust.code_record(_episode_code(plain))).encode()
    arrays["code"] = np.frombuffer(code, dtype=np.uint8)
    arrays["signature"] = np.frombuffer(trust.sign("episodes", said + b"\n" + code).encode(), dtype=np.uint8)
    temporary = path.with_name(f".{path.name}.writing-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)
        temporary.replace(path)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}", hint="another place") from error
    return path


def load_trajectories(path: str | Path) -> list[Trajectory]:
    """Returns the trajectories stored in a `.npz`, in all of a folder's in order of name, or in `minari:NAME`.

    Raises:
        UsageError: there are none, or the file is damaged or not an episode file.
    """
    if str(path).startswith(MINARI):
        from inscape.envs.data.minari import trajectories_from_minari

        return trajectories_from_minari(str(path).removeprefix(MINARI))
    path = Path(path)
    if path.is_dir():
        if (path / MANIFEST).is_file() and (path / EPISODES).is_dir():
            return load_covered(path, sorted((path / EPISODES).glob("*.npz")), whole=True)
        files = sorted((path / EPISODES).glob("*.npz")) or sorted(path.glob("*.npz"))
        if not files:
            raise UsageError(f"no episodes in {path}", expected="*.npz in it or in its episodes/")
        return [trajectory for file in files for trajectory in load_trajectories(file)]
    try:
        if not zipfile.is_zipfile(path):  # what NumPy says of it would be advice to load it unsafely
            raise zipfile.BadZipFile("no such file" if not path.exists() else "it is no .npz")
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        plain = _described(arrays)
        return [_trajectory(arrays, index, values) for index, values in enumerate(plain)]
    except (
        UsageError,
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        EOFError,
        RecursionError,
        NotImplementedError,
        MemoryError,
        OverflowError,
        SyntaxError,
        struct.error,
        tokenize.TokenError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:  # fmt: skip  what NumPy and zipfile raise at damaged archives
        raise UsageError(
            f"cannot read episodes from {path}: {error}",
            expected="an .npz that inscape wrote, or a run folder",
            hint="inscape evaluate RUN --save-episodes FILE.npz records some",
        ) from error


def load_covered(run: Path, paths: Sequence[Path], whole: bool) -> list[Trajectory]:
    """Returns the trajectories in files of a run folder, checked against the manifest; `whole`: none is missing."""
    manifest = Manifest.read(run)
    known = [name for name in manifest.files if name.startswith(f"{EPISODES}/")] if whole else []
    for name in sorted({*known, *(f"{EPISODES}/{path.name}" for path in paths)}):
        manifest.check(name, (run / name).read_bytes() if (run / name).is_file() else None)
    return [trajectory for path in paths for trajectory in load_trajectories(path)]


def _episode_code(plain: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for values in plain for name in trust.task_code_names(values["task"] or {})))


def _described(arrays: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """Returns what a file of episodes says beside its arrays. If this user signed it, the code it names may run."""
    said = arrays["json"].tobytes()
    plain: list[dict[str, Any]] = json.loads(said)
    code, signature = (arrays[key].tobytes() if key in arrays else b"" for key in ("code", "signature"))
    for values in plain:
        if not isinstance(values["task"], dict | None) or not isinstance(values["agent"], str):
            raise TypeError("its task is no JSON object, or its agent no text")
    signed = trust.is_signed("episodes", said + b"\n" + code, signature.decode("ascii", "replace"))
    if code and (signed or trust.is_trusting()):
        record = json.loads(code)
        find_again(record)
        plain = [{**values, "task": trust.located(values["task"], record)} for values in plain]
    if signed:
        trust.allow(_episode_code(plain))
    return plain


def _trajectory(arrays: dict[str, np.ndarray], index: int, values: dict[str, Any]) -> Trajectory:
    from inscape.envs.data.trajectory import Trajectory
    from inscape.envs.law.states import States

    states = None
    if f"{index}/states.floats" in arrays:
        states = States(arrays[f"{index}/states.floats"], arrays[f"{index}/states.ints"])
    trajectory = Trajectory(
        observations=arrays[f"{index}/observations"],
        actions=arrays[f"{index}/actions"],
        rewards=arrays[f"{index}/rewards"],
        action_masks=arrays.get(f"{index}/action_masks"),
        states=states,
        **{name: values[name] for name in _PLAIN},
    )
    trajectory.require_whole()
    return trajectory
