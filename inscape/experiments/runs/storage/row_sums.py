"""Checksums of the rows of metrics.jsonl that the manifest does not cover yet: those since the last checkpoint.

`metrics.sums` holds the byte at which those rows begin, and then a CRC-32 for each. A row is written before its sum, so
that a process killed in between leaves a row without one, which is taken as it is. Sums without their rows, and rows
that do not match, were changed or lost.
"""

from __future__ import annotations

import re
import zlib
from pathlib import Path

from inscape.errors import UsageError
from inscape.experiments.runs.storage.files import write_text

SUMS = "metrics.sums"
_WHOLE = re.compile(rb"\d{1,18}\n([0-9a-f]{8}\n)*[0-9a-f]{0,8}")


def begin_sums(folder: Path, at: int) -> None:
    """Forgets the sums: from byte `at` of the metrics on, rows will get new ones."""
    write_text(folder / SUMS, f"{at}\n")


def append_sum(folder: Path, line: bytes) -> None:
    """Adds the sum of a row, the line with its newline."""
    with (folder / SUMS).open("ab") as file:
        file.write(f"{zlib.crc32(line):08x}\n".encode())


def check_sums(metrics: Path) -> None:
    """Raises `UsageError` if the rows of a metrics file that have a sum beside it are not those that were written."""
    path = metrics.with_name(SUMS)
    try:
        data = path.read_bytes()  # before the rows: a run in progress writes in the other order
    except FileNotFoundError:
        return
    except OSError as error:
        raise _wrong(path, f"cannot be read: {error.strerror or error}") from error
    if not _WHOLE.fullmatch(data):
        raise _wrong(path, "is not what inscape wrote")
    start, *sums = data.split(b"\n")[:-1]
    try:
        with metrics.open("rb") as file:
            file.seek(int(start))
            lines = file.read().splitlines(keepends=True) if sums else []
    except FileNotFoundError:
        lines = []
    except OSError as error:
        raise _wrong(metrics, f"cannot be read: {error.strerror or error}") from error
    for number, expected in enumerate(sums):
        if number >= len(lines):
            raise _wrong(metrics, f"has lost {len(sums) - len(lines)} of its last {len(sums)} rows")
        if zlib.crc32(lines[number]) != int(expected, 16):
            raise _wrong(
                metrics, f"has other rows than {SUMS} says, from {lines[number].decode(errors='replace')[:60]!r} on"
            )


def _wrong(path: Path, found: str) -> UsageError:
    return UsageError(
        f"damaged: {path} {found}",
        expected="the rows that were logged",
        hint=f"inscape train --resume, which logs them again; or remove {SUMS} there, to take them as they are",
    )
