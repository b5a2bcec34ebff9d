"""Files that are written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from inscape.errors import UsageError


def write_text(path: Path, text: str) -> None:
    """Writes a whole file in UTF-8 or none: beside its place, flushed, renamed."""
    with replacing(path) as file:
        file.write(text.encode())


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Yields a file that takes the place of `path` when all of it has been written and reached the disk."""
    temporary = path.with_name(f".{path.name}.writing-{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Reports as `UsageError` what kept a file of a run from being written."""
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"cannot write {path}: {error.strerror or error}",
            expected="a folder that can be written, with room on its disk",
            hint="make room, then go on: inscape train --resume RUN",
        ) from error
