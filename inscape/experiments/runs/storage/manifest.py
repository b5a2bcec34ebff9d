"""The manifest of a run folder: size and SHA-256 of its files, signed by who made the run.

runs/<name>/manifest.json covers settings.json, evaluation.json, the recorded episodes, the copies of the code, and of
metrics.jsonl what had been written at the last checkpoint (later rows have sums in metrics.sums). It covers itself. The
checkpoints have manifests of their own; TensorBoard's events carry a checksum for each record and are not read here.
A run made before there were manifests has none: it opens unsigned, and unchecked.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inscape import trust
from inscape.errors import UsageError
from inscape.experiments.runs.storage.files import write_text

MANIFEST = "manifest.json"
FORMAT = 1
KIND = "run"
_LARGEST = 1 << 26


@dataclass(frozen=True)
class Entry:
    """What a file held: its first `size` bytes have the SHA-256 `sha256`."""

    size: int
    sha256: str

    @classmethod
    def of(cls, data: bytes) -> Entry:
        """Returns the entry of a file that holds `data`."""
        return cls(len(data), hashlib.sha256(data).hexdigest())


@dataclass
class Manifest:
    """What `manifest.json` of a run folder says.

    Attributes:
        folder: the run folder.
        files: name of each covered file, relative to the folder, and its entry.
        signed: whether it bears this user's signature; what is written keeps that, so that going on with somebody
            else's run does not sign it.
    """

    folder: Path
    files: dict[str, Entry] = field(default_factory=dict)
    signed: bool = False

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Returns the manifest of a run folder, without files where there is none.

        Raises:
            UsageError: it is damaged.
        """
        try:
            data = (folder / MANIFEST).read_bytes()
        except FileNotFoundError:
            return cls(folder)
        except OSError as error:
            raise _damaged(folder, f"cannot be read: {error.strerror or error}") from error
        try:
            if len(data) > _LARGEST:
                raise ValueError("too large")
            document = json.loads(data)
            files = {name: Entry(entry["bytes"], entry["sha256"]) for name, entry in document["files"].items()}
            if any(not within(name) for name in files):
                raise ValueError("a file outside of the folder")
            signature = document["signature"]
            whole = data == _bytes(files, signature)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise _damaged(folder, "is not a manifest that inscape wrote") from error
        if not whole:
            raise _damaged(folder, "does not match its own checksum")
        return cls(folder, files, trust.is_signed(KIND, _body(files), signature))

    def write(self) -> None:
        """Writes the manifest, whole or not at all; signed if `signed`."""
        signature = trust.sign(KIND, _body(self.files)) if self.signed else ""
        write_text(self.folder / MANIFEST, _bytes(self.files, signature).decode())

    @contextmanager
    def replacing(self, name: str) -> Iterator[None]:
        """Covers a file that is written in the block. Killed in between, the file is not covered, and nothing else."""
        if self.files.pop(name, None) is not None:
            self.write()
        yield
        self.files[name] = Entry.of((self.folder / name).read_bytes())
        self.write()

    def check(self, name: str, data: bytes | None) -> None:
        """Raises `UsageError` unless a file (`None`: not there) begins with what the manifest says that it holds.

        A file that the manifest does not know is not checked; only metrics.jsonl may go on after what is covered.
        """
        entry = self.files.get(name)
        if entry is None:
            return
        if data is None:
            raise changed(self.folder / name, "is missing", entry)
        found = Entry.of(data[: entry.size] if name.endswith(".jsonl") else data)
        if found != entry:
            raise changed(self.folder / name, f"has {found.size} bytes with SHA-256 {found.sha256}", entry)


def within(name: str) -> bool:
    """Returns whether a relative path, as a manifest has it, leads to a place inside of the folder."""
    parts = name.split("/")
    return bool(name) and "\\" not in name and "\0" not in name and not {"", ".", ".."} & set(parts)


def changed(path: Path, found: str, entry: Entry) -> UsageError:
    """Returns the error for a file that is not what the manifest says."""
    return UsageError(
        f"{path} was changed or damaged after inscape wrote it: it {found}",
        expected=f"{entry.size} bytes with SHA-256 {entry.sha256}, as {MANIFEST} says",
        hint=f"a copy of the file as it was; or remove {MANIFEST} there, to take the run as it is, unsigned",
    )


def _body(files: dict[str, Entry]) -> bytes:
    body: dict[str, Any] = {
        "format": FORMAT,
        "files": {name: {"bytes": entry.size, "sha256": entry.sha256} for name, entry in sorted(files.items())},
    }
    return json.dumps(body, separators=(",", ":")).encode()


def _bytes(files: dict[str, Entry], signature: str) -> bytes:
    body = _body(files)
    document = {**json.loads(body), "signature": signature}
    checksum = hashlib.sha256(body + str(signature).encode()).hexdigest()
    return json.dumps({**document, "sha256": checksum}, indent=1).encode()


def _damaged(folder: Path, found: str) -> UsageError:
    return UsageError(
        f"damaged: {folder / MANIFEST} {found}",
        expected="the file that inscape wrote",
        hint="a copy of it as it was; or remove it, to take the run as it is, unsigned",
    )


class HashedPrefix:
    """Hash of what a growing file has held so far, each byte read once."""

    def __init__(self, path: Path) -> None:
        self._path, self._hash, self._bytes = path, hashlib.sha256(), 0

    def entry(self) -> Entry | None:
        """Returns the entry of the file as it is; None where there is none."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._bytes)
                while block := file.read(1 << 20):
                    self._hash.update(block)
                    self._bytes += len(block)
        except FileNotFoundError:
            return None
        return Entry(self._bytes, self._hash.copy().hexdigest())
