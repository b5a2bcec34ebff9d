"""Checkpoints that are whole or absent: safetensors for arrays, JSON for everything else, a SHA-256 manifest over both.

A checkpoint is written to a temporary folder beside its place, flushed to the disk and renamed, so a process killed at
any moment leaves either the whole checkpoint or none. One that takes the place of another moves it aside first, and
readers know where: there is no moment without either. Every byte of every file is covered by the manifest, and the
manifest covers itself, because safetensors alone loads most flipped bits without complaint. Nothing is pickled.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import os
import re
import shutil
import sys
import uuid
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np

from inscape.errors import UsageError

TENSORS, STATE, MANIFEST = "tensors.safetensors", "state.json", "manifest.json"
FORMAT = 1
_NATIVE = {
    np.dtype(name) for name in ("bool", "u1", "i1", "<u2", "<i2", "<u4", "<i4", "<u8", "<i8", "<f2", "<f4", "<f8")
}
_TENSOR_TYPES = {
    "bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float16", "float32", "float64",
    "bfloat16", "complex64", "complex128",
}  # fmt: skip
_STEP = re.compile(r"step-(\d+)")
_PLACE = re.compile(r"(?:\.)?step-(\d+)(?:\.replaced-[0-9a-f]+)?")
_REPLACED = re.compile(r"\.step-(\d+)\.replaced-[0-9a-f]+")


def save_checkpoint(folder: str | Path, state: dict[Any, Any], metadata: dict[str, Any] | None = None) -> Path:
    """Writes a state atomically and returns its folder.

    Args:
        folder: where the checkpoint will lie; its parents are made. An older checkpoint there is replaced.
        state: nested dict (lists, tuples, sets and queues too) of NumPy arrays of any dtype but object, NumPy scalars,
            torch tensors (dense ones, of any device; they come back on the CPU), and ints of any size, floats (NaN and
            infinities too), complex numbers, bools, strings, bytes, None.
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
    """Returns `(state, metadata)` as they were saved, torch tensors as tensors of the same type on the CPU.

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


def require_storable(state: Any, name: str) -> None:
    """Raises UsageError unless `save_checkpoint` can write an agent's state and `load_checkpoint` gives it back.

    Args:
        state: what `state_dict` returned.
        name: of the agent.
    """
    hint = f"inscape check {name} WORLD"
    if not isinstance(state, dict):
        raise UsageError(
            f"state_dict of {name} returned {type(state).__name__}", expected="a dictionary", hint=hint
        )  # fmt: skip
    try:
        _encode(state, "state", {})
    except TypeError as error:
        what = str(error).removeprefix("cannot save ")
        raise UsageError(
            f"state_dict of {name} holds what a checkpoint cannot: {what}",
            expected="arrays, tensors, numbers, strings, None, in dictionaries, lists and tuples", hint=hint,
        ) from error  # fmt: skip


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


def checkpoint_folders(run: str | Path, within: str = "checkpoints") -> list[Path]:
    """Returns the checkpoints `checkpoints/step-<n>` of a run folder, oldest (fewest steps) first.

    Of a process killed between moving an old checkpoint aside and a new one into its place, the old one, as it lies.
    """
    folder = Path(run) / within
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


def remove_leftovers(run: str | Path, within: str = "checkpoints") -> None:
    """Removes what killed processes left beside the checkpoints of a run: half written, half removed, moved aside."""
    folder = Path(run) / within
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
# JSON has no tuples, integer keys, NaN, bytes, arrays or tensors. Each is an object with one key that starts with two
# underscores; a dict of the user's that looks like one is stored as a list of pairs.


_DEEPEST = 200
"""Levels of nesting: a state that holds itself has no end."""
_INSTEAD = {
    "Module": "its state_dict()", "Optimizer": "its state_dict()", "LRScheduler": "its state_dict()",
    "Generator": "its get_state(), or bit_generator.state", "BitGenerator": "its state",
    "RandomState": "its get_state()", "Random": "its getstate()", "Path": "str of it", "PurePath": "str of it",
    "device": "str of it", "dtype": "str of it", "Enum": "its value", "function": "what it is made of",
    "SummaryWriter": "nothing of it", "Env": "nothing of it: environments begin anew",
}  # fmt: skip
"""Classes that states often hold → what to store instead."""


def _instead(value: Any) -> str:
    """Returns what to store instead of a value, for messages."""
    found = next((_INSTEAD[kind.__name__] for kind in type(value).__mro__ if kind.__name__ in _INSTEAD), "")
    return f"; store {found}" if found else "; a state holds arrays, tensors and JSON values"


def _encode(value: Any, where: str, tensors: dict[str, np.ndarray]) -> Any:
    if where.count(".") > _DEEPEST:
        raise TypeError(f"cannot save {where[:80]}…: more than {_DEEPEST} levels deep, or it holds itself")
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
    if isinstance(value, complex):
        return {"__complex__": [repr(value.real), repr(value.imag)]}
    if isinstance(value, bytes | bytearray):
        return {"__raw__": base64.b64encode(value).decode()}
    if isinstance(value, set | frozenset):
        items = [_encode(item, f"{where}.{i}", tensors) for i, item in enumerate(sorted(value, key=repr))]
        return {"__set__": items}
    if isinstance(value, deque):
        return {"__deque__": [value.maxlen, [_encode(item, f"{where}.{i}", tensors) for i, item in enumerate(value)]]}
    torch = sys.modules.get("torch")  # a tensor can only exist if torch has been imported
    if torch is not None and isinstance(value, torch.Tensor):
        return _encode_tensor(value, where, tensors)
    raise TypeError(f"cannot save {where}: {type(value).__name__}{_instead(value)}")


def _encode_tensor(value: Any, where: str, tensors: dict[str, np.ndarray]) -> dict[str, Any]:
    """Returns a torch tensor as an array and the name of its type, which NumPy may not have."""
    import torch

    try:
        tensor = value.detach().cpu().resolve_conj().resolve_neg()
        held = tensor.float() if tensor.dtype == torch.bfloat16 else tensor  # which holds it exactly
        array = held.numpy()
    except (TypeError, RuntimeError, NotImplementedError) as error:
        what = f"a tensor of {value.dtype}, {value.layout}, on {value.device}"
        raise TypeError(f"cannot save {where}: {what}; store a dense tensor of usual numbers") from error
    return {"__tensor__": [_encode_array(array, where, tensors), str(tensor.dtype).removeprefix("torch.")]}


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
            case "__tensor__":
                stored, kind = content
                return _decode_tensor(stored, kind, tensors)
            case "__complex__":
                return complex(*map(float, content))
            case "__raw__":
                return base64.b64decode(content, validate=True)
            case "__set__":
                return {_decode(item, tensors) for item in content}
            case "__deque__":
                maxlen, items = content
                return deque((_decode(item, tensors) for item in items), maxlen)
    return {key: _decode(item, tensors) for key, item in value.items()}


def _decode_tensor(stored: Any, kind: str, tensors: dict[str, np.ndarray]) -> Any:
    import torch

    dtype = getattr(torch, kind) if kind in _TENSOR_TYPES else None
    if dtype is None:
        raise TypeError(f"a tensor of {kind!r}")
    array = _decode(stored, tensors)
    if not isinstance(array, np.ndarray):
        raise TypeError(f"a tensor of {type(array).__name__}")
    return torch.from_numpy(np.array(array)).to(dtype)


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
    if folder.parent.name == "best":
        hint = f"the newest model: {folder.parent.parent}"
    elif older:
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
