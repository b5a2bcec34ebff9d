"""Checkpoints that are whole or absent: safetensors for arrays, JSON for everything else, a SHA-256 manifest over both.

A checkpoint is written to a temporary folder beside its place, flushed to the disk and renamed, so a process killed at
any moment leaves either the whole checkpoint or none. One that takes the place of another moves it aside first, and
readers know where: there is no moment without either. Every byte of every file is covered by the manifest, and the
manifest covers itself, because safetensors alone loads most flipped bits without complaint. Nothing is pickled.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import shutil
import sys
import uuid
from pathlib import Path
from typing import Any

import numpy as np

from inscape.errors import UsageError

TENSORS, STATE, MANIFEST = "tensors.safetensors", "state.json", "manifest.json"
FORMAT = 1
_NATIVE = {
    np.dtype(name) for name in ("bool", "u1", "i1", "<u2", "<i2", "<u4", "<i4", "<u8", "<i8", "<f2", "<f4", "<f8")
}
_STEP = re.compile(r"step-(\d+)")
_PLACE = re.compile(r"(?:\.)?step-(\d+)(?:\.replaced-[0-9a-f]+)?")
_REPLACED = re.compile(r"\.step-(\d+)\.replaced-[0-9a-f]+")


def save_checkpoint(folder: str | Path, state: dict[Any, Any], metadata: dict[str, Any] | None = None) -> Path:
    """Writes a state atomically and returns its folder.

    Args:
        folder: where the checkpoint will lie; its parents are made. An older checkpoint there is replaced.
        state: nested dict (lists and tuples too) of NumPy arrays of any dtype but object, NumPy scalars, torch
            tensors (stored as arrays; bfloat16 as float32, which holds it exactly), and ints of any size, floats
            (NaN and infinities too), bools, strings, None.
        metadata: the same kind of values; for what describes the checkpoint rather than restores it.

    Raises:
        TypeError: a value of another kind, naming where it is.
        UsageError: the folder cannot be written.
    """
    folder = Path(folder)
    tensors: dict[str, np.ndarray] = {}
    document = {"state": _encode(state, "state", tensors), "metadata": _encode(metadata or {}, "metadata", tensors)}
    files = {TENSORS: _tensor_bytes(tensors), STATE: _json_bytes(document)}
    files[MANIFEST] = _manifest_bytes({name: {"bytes": len(d), "sha256": _sha256(d)} for name, d in files.items()})
    temporary = folder.parent / f".{folder.name}.writing-{uuid.uuid4().hex}"
    try:
        temporary.mkdir(parents=True)
        if not folder.exists() and (aside := _present(folder)) != folder:
            aside.rename(folder)  # of a process killed here: replaced again below
        for name, data in files.items():
            _write_through(temporary / name, data)
        _flush_folder(temporary)
        _move_into_place(temporary, folder)
    except OSError as error:
        raise UsageError(
            f"cannot write the checkpoint {folder}: {error.strerror or error}",
            expected="a folder that can be written, with room on its disk",
            hint="another place with --out",
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def load_checkpoint(folder: str | Path) -> tuple[dict[Any, Any], dict[str, Any]]:
    """Returns `(state, metadata)` as they were saved, torch tensors as arrays.

    Raises:
        UsageError: a file is missing, truncated or changed by as little as one bit; it names the file, the expected
            and the found hash, and what to try.
    """
    folder = _present(Path(folder))
    files = _read_manifest(folder)
    data = {name: _read_checked(folder, name, entry) for name, entry in files.items()}
    try:
        tensors = _load_tensors(data[TENSORS])
        document = json.loads(data[STATE], parse_constant=_no_constant, object_pairs_hook=_no_key_twice)
        state, metadata = (_decode(document[part], tensors) for part in ("state", "metadata"))
        if not (isinstance(state, dict) and isinstance(metadata, dict)):
            raise TypeError("state or metadata is no dictionary")
    except (
        Exception
    ) as error:  # the hashes hold, so whoever wrote the file wrote this; safetensors has an error of its own
        raise UsageError(
            f"{folder} is no checkpoint that inscape wrote: {type(error).__name__}: {str(error)[:200]}",
            expected="a state in the form that save_checkpoint writes",
            hint="an older checkpoint, or train again",
        ) from error
    return state, metadata


def require_metadata(folder: Path, metadata: dict[str, Any]) -> None:
    """Raises UsageError unless the metadata is that of a run's checkpoint in this folder, `steps` and `finished`."""
    steps, finished, match = metadata.get("steps"), metadata.get("finished"), _PLACE.fullmatch(folder.name)
    if type(steps) is not int or type(finished) is not bool or match is None or int(match[1]) != steps:
        raise UsageError(
            f"{folder} holds a checkpoint with steps {steps!r} and finished {finished!r}",
            expected="the checkpoint of the steps that its folder is named for",
            hint="an older checkpoint: remove that folder and resume",
        )


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a key stands twice in an object")
    return document


def checkpoint_folders(run: str | Path) -> list[Path]:
    """Returns the checkpoints `checkpoints/step-<n>` of a run folder, oldest (fewest steps) first.

    Of a process killed between moving an old checkpoint aside and a new one into its place, the old one, as it lies.
    """
    folder = Path(run) / "checkpoints"
    if not folder.is_dir():
        return []
    found: dict[int, Path] = {}
    for path in sorted(folder.iterdir()):  # what was moved aside begins with a dot, so that it comes first
        if match := _STEP.fullmatch(path.name) or _REPLACED.fullmatch(path.name):
            found[int(match[1])] = path
    return [path for _, path in sorted(found.items())]


def latest_checkpoint(run: str | Path) -> Path | None:
    """Returns the checkpoint with the most steps in a run folder, or None. It is not read, so it may be damaged."""
    folders = checkpoint_folders(run)
    return folders[-1] if folders else None


def remove_checkpoint(folder: Path) -> None:
    """Removes a checkpoint; a process killed in the middle leaves it whole or gone, never in parts under its name."""
    removing = folder.parent / f".{folder.name.lstrip('.')}.removing-{uuid.uuid4().hex}"
    folder.rename(removing)
    shutil.rmtree(removing, ignore_errors=True)


def remove_leftovers(run: str | Path) -> None:
    """Removes what killed processes left beside the checkpoints of a run: half written, half removed, moved aside."""
    folder = Path(run) / "checkpoints"
    for path in [*folder.glob(".step-*.writing-*"), *folder.glob(".step-*.removing-*")]:
        shutil.rmtree(path, ignore_errors=True)
    for path in folder.glob(".step-*.replaced-*"):
        match = _REPLACED.fullmatch(path.name)
        if match and (folder / f"step-{match[1]}").is_dir():
            remove_checkpoint(path)


def _present(folder: Path) -> Path:
    """Returns where a checkpoint lies: in its place, or moved aside by a process that was killed before it went on."""
    if not folder.exists():
        aside = sorted(folder.parent.glob(f".{folder.name}.replaced-*"))
        return aside[-1] if aside else folder
    return folder


# --- values <-> JSON, with arrays by reference ---------------------------------------------------------------------
# JSON has no tuples, integer keys, NaN or arrays. Each is an object with one key that starts with two underscores; a
# dict of the user's that looks like one is stored as a list of pairs.


def _encode(value: Any, where: str, tensors: dict[str, np.ndarray]) -> Any:
    if isinstance(value, np.generic):  # first: some NumPy scalars are also Python floats and strings
        return {"__scalar__": _encode_array(np.asarray(value), where, tensors)}
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {"__float__": repr(float(value))}
    if isinstance(value, list):
        return [_encode(item, f"{where}.{i}", tensors) for i, item in enumerate(value)]
    if isinstance(value, tuple):
        return {"__tuple__": [_encode(item, f"{where}.{i}", tensors) for i, item in enumerate(value)]}
    if isinstance(value, dict):
        return _encode_dict(value, where, tensors)
    if isinstance(value, np.ndarray):
        return _encode_array(value, where, tensors)
    torch = sys.modules.get("torch")  # a tensor can only exist if torch has been imported
    if torch is not None and isinstance(value, torch.Tensor):
        tensor = value.detach().cpu()
        return _encode_array((tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy(), where, tensors)
    raise TypeError(f"cannot save {where}: {type(value).__name__}; a state holds arrays, tensors and JSON values")


def _encode_dict(value: dict[Any, Any], where: str, tensors: dict[str, np.ndarray]) -> Any:
    if all(isinstance(key, str) and not key.startswith("__") for key in value):
        return {key: _encode(item, f"{where}.{key}", tensors) for key, item in value.items()}
    pairs = [[_encode(k, f"{where} key {k!r}", tensors), _encode(v, f"{where}.{k}", tensors)] for k, v in value.items()]
    return {"__dict__": pairs}


def _encode_array(array: np.ndarray, where: str, tensors: dict[str, np.ndarray]) -> dict[str, Any]:
    if array.dtype.hasobject:
        raise TypeError(f"cannot save {where}: an array of Python objects")
    if array.dtype.names:
        raise TypeError(f"cannot save {where}: a structured array; save its fields")
    # Numbered, because two paths may spell alike ("a.b" nested and "a.b" as one key).
    name = f"{len(tensors)}:{where}"
    if array.flags.f_contiguous and not array.flags.c_contiguous:
        # the order in memory is kept: matrix products round differently in the other
        return {"__transposed__": _encode_array(array.T, where, tensors)}
    contiguous = np.array(array, order="C")
    if array.dtype in _NATIVE:
        tensors[name] = contiguous
        return {"__array__": name}
    tensors[name] = np.frombuffer(contiguous.tobytes(), dtype=np.uint8)
    return {"__bytes__": [name, array.dtype.str, list(array.shape)]}


def _decode(value: Any, tensors: dict[str, np.ndarray]) -> Any:
    if isinstance(value, list):
        return [_decode(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        [(tag, content)] = value.items()
        match tag:
            case "__float__":
                return float(content)
            case "__tuple__":
                if not isinstance(content, list):
                    raise TypeError(f"a tuple of {type(content).__name__}")
                return tuple(_decode(item, tensors) for item in content)
            case "__dict__":
                return {_decode(key, tensors): _decode(item, tensors) for key, item in content}
            case "__array__":
                return tensors[content]
            case "__bytes__":
                name, described, shape = content
                if np.dtype(described).hasobject or -1 in shape:
                    raise TypeError(f"an array of {described!r}, {shape}")
                return np.frombuffer(tensors[name].tobytes(), dtype=np.dtype(described)).reshape(shape).copy()
            case "__transposed__":
                return _decode(content, tensors).T
            case "__scalar__":
                return _decode(content, tensors)[()]
    return {key: _decode(item, tensors) for key, item in value.items()}


# --- bytes ----------------------------------------------------------------------------------------------------------


def _tensor_bytes(tensors: dict[str, np.ndarray]) -> bytes:
    from safetensors.numpy import save

    return bytes(save(tensors))


def _load_tensors(data: bytes) -> dict[str, np.ndarray]:
    from safetensors.numpy import load

    # The arrays lie in `data`, read-only; agents expect to write to what they load.
    return {name: np.array(array) for name, array in load(data).items()}


def _json_bytes(document: Any) -> bytes:
    return json.dumps(document, allow_nan=False, separators=(",", ":")).encode()


def _manifest_bytes(files: dict[str, Any]) -> bytes:
    body = {"format": FORMAT, "files": files}
    return json.dumps({**body, "sha256": _sha256(_json_bytes(body))}, indent=1).encode()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _read_manifest(folder: Path) -> dict[str, dict[str, Any]]:
    data = _read(folder, MANIFEST)
    try:
        document = json.loads(data)
        files: dict[str, dict[str, Any]] = document["files"]
        whole = set(files) == {TENSORS, STATE} and data == _manifest_bytes(files)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        whole = False
    if not whole:
        raise _damaged(folder, MANIFEST, f"does not hold together (SHA-256 found: {_sha256(data)})", "its own checksum")
    return files


def _read_checked(folder: Path, name: str, entry: dict[str, Any]) -> bytes:
    data = _read(folder, name)
    found = _sha256(data)
    if found != entry["sha256"]:
        size = "" if len(data) == entry["bytes"] else f", {len(data)} bytes"
        expected = "" if len(data) == entry["bytes"] else f", {entry['bytes']} bytes"
        raise _damaged(folder, name, f"has SHA-256 {found}{size}", f"SHA-256 {entry['sha256']}{expected}")
    return data


def _read(folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except OSError as error:
        raise _damaged(
            folder, name, f"cannot be read ({error.strerror})", f"{STATE}, {TENSORS} and {MANIFEST}"
        ) from error


def _damaged(folder: Path, name: str, found: str, expected: str) -> UsageError:
    older = [
        path for path in checkpoint_folders(folder.parent.parent) if path != folder and path.parent == folder.parent
    ]
    if older:
        hint = f"an older checkpoint, {older[-1]}: remove {folder} and resume"
    else:
        hint = "train again: this run has no other checkpoint"
    return UsageError(f"damaged checkpoint: {folder / name} {found}", expected=expected, hint=hint)


def _write_through(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    if os.name == "nt":  # Windows cannot open a folder to flush it
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _move_into_place(temporary: Path, folder: Path) -> None:
    replaced = None
    if folder.exists():  # a folder that is not empty cannot be renamed over
        replaced = folder.parent / f".{folder.name}.replaced-{uuid.uuid4().hex}"
        folder.rename(replaced)
    temporary.rename(folder)
    _flush_folder(folder.parent)
    if replaced is not None:
        remove_checkpoint(replaced)
