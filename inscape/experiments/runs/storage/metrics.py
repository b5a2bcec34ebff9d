"""A run's metrics file, read once and block by block: as rows, or as one column of numbers per metric.

The file has one JSON object per line, each ended by a newline. A last line without one that is not JSON was cut short
by a kill and is left out; any other line that is not a JSON object in UTF-8 is refused with its number.
"""

from __future__ import annotations

import hashlib
import json
import mmap
from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from inscape.errors import UsageError
from inscape.experiments.runs.storage.manifest import Entry, changed

METRICS = "metrics.jsonl"

Row = dict[str, Any]

BLOCK_BYTES = 1 << 17
"""Read at a time. Larger blocks are slower: their rows no longer fit in the processor's cache."""


@dataclass(frozen=True)
class Column:
    """The numbers logged under one key; rows without a number there are left out.

    Attributes:
        rows: `[N]` int64, indices of the rows that hold a number, increasing.
        values: `[N]` float64, the numbers; NaN and infinities as they were logged.
    """

    rows: np.ndarray
    values: np.ndarray

    def at(self, rows: np.ndarray) -> np.ndarray:
        """Returns the values in `rows` (`[M]` indices) as `[M]` float64, NaN where a row holds none."""
        if rows is self.rows:
            return self.values
        if not len(self.rows):
            return np.full(len(rows), np.nan)
        index = np.minimum(np.searchsorted(self.rows, rows), len(self.rows) - 1)
        return np.where(self.rows[index] == rows, self.values[index], np.nan)


@dataclass(frozen=True)
class MetricColumns:
    """Columns of a metrics file.

    Attributes:
        count: rows in the file.
        columns: one `Column` for each key that was asked for, empty where no row has it.
    """

    count: int
    columns: Mapping[str, Column]

    def __getitem__(self, key: str) -> Column:
        return self.columns[key]

    def last(self, key: str) -> float | None:
        """Returns the number that the file's last row holds under `key`, or None."""
        column = self.columns[key]
        return float(column.values[-1]) if len(column.rows) and column.rows[-1] == self.count - 1 else None


def read_columns(path: Path, keys: Iterable[str], covered: Entry | None = None) -> MetricColumns:
    """Returns what a metrics file holds under `keys`, read in one pass; no columns' worth of rows is ever in memory.

    Memory is 8 bytes a row for a key that every row has, 16 bytes a number for any other.

    Args:
        path: the file; one that does not exist has no rows.
        keys: what to keep. A value that is not a number (a bool, text, a list, an integer beyond float64) is a gap.
        covered: what the file begins with, as the run's manifest says; None where it is not known.

    Raises:
        UsageError: the file cannot be read, a line is damaged, or it does not begin with what is covered.
    """
    growing = {key: _GrowingColumn() for key in keys}
    count = 0
    for rows, _ in read_rows(path, covered):
        for key, column in growing.items():
            column.extend([row.get(key) for row in rows], count)
        count += len(rows)
    every = np.arange(
        count, dtype=np.int64
    )  # shared, so that `Column.at` sees at once that two columns have the same rows
    return MetricColumns(count, {key: column.finish(every) for key, column in growing.items()})


TAIL_BYTES = 1 << 16
SOUGHT_BYTES = 1 << 25
"""How far from its end a metrics file is searched for a key that its last rows do not have."""


def last_values(path: Path, keys: Iterable[str]) -> dict[str, float]:
    """Returns the last number logged under each key, from the end of the file alone: quick however long it is.

    A key that was not logged in the last `SOUGHT_BYTES` is left out. Nothing is checked against the manifest, and lines
    that are not JSON objects are passed over.
    """
    wanted, found = set(keys), dict[str, float]()
    try:
        file = path.open("rb")
    except OSError:
        return found
    with file:
        size = file.seek(0, 2)
        file.seek(max(0, size - TAIL_BYTES))
        tail = file.read().split(b"\n")
        for line in reversed(tail[1:] if size > TAIL_BYTES else tail):
            _take(line, wanted, found)
            if found.keys() >= wanted:
                return found
        if size > TAIL_BYTES:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole:
                for key in wanted - found.keys():
                    at = whole.rfind(json.dumps(key).encode(), max(0, size - SOUGHT_BYTES))
                    if at >= 0:
                        end = whole.find(b"\n", at)
                        _take(whole[whole.rfind(b"\n", 0, at) + 1 : end if end >= 0 else size], {key}, found)
    return found


def _take(line: bytes, keys: Iterable[str], found: dict[str, float]) -> None:
    """Adds the numbers of a line under those keys that are not found yet."""
    try:
        row = json.loads(line)
    except ValueError:
        return
    for key in keys if isinstance(row, dict) else ():
        if key not in found and (number := as_number(row.get(key))) is not None:
            found[key] = number


class _GrowingColumn:
    """A column while its file is read: row indices are kept from the first gap on."""

    def __init__(self) -> None:
        self.values = array("d")
        self.rows: array[int] | None = None

    def extend(self, values: list[Any], start: int) -> None:
        """Appends the values of consecutive rows, the first of which is row `start`."""
        kinds = set(map(type, values))
        if kinds <= {float, int}:
            try:
                self.values += array("d", values)
            except OverflowError:  # an integer beyond float64
                pass
            else:
                if self.rows is not None:
                    self.rows.extend(range(start, start + len(values)))
                return
        if self.rows is None:
            self.rows = array("q", range(start))
        if kinds == {type(None)}:
            return
        for index, value in enumerate(values, start):
            if value is not None and (number := as_number(value)) is not None:
                self.values.append(number)
                self.rows.append(index)

    def finish(self, every: np.ndarray) -> Column:
        rows = every if self.rows is None else np.frombuffer(self.rows, np.int64)
        return Column(rows, np.frombuffer(self.values, np.float64))


def as_number(value: object) -> float | None:
    """Returns a JSON number as a float; None for anything else, and for an integer beyond float64."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def read_rows(path: Path, covered: Entry | None = None, end: int | None = None) -> Iterator[tuple[list[Row], bytes]]:
    """Yields a metrics file block by block: its rows, and the lines they were read from, the first row's first.

    Args:
        path: the file.
        covered: what it begins with, as the run's manifest says; None where it is not known.
        end: the byte at which to stop, the end of a line; None for the end of the file.

    Raises:
        UsageError: the file cannot be read, a line is damaged, or, after the last block, the file turns out not to
            begin with what is `covered`. A file that does not exist has no rows.
    """
    number = 1
    for block in _blocks(path, end) if covered is None else _checked_blocks(path, covered):
        rows = _flat_rows(block)
        if rows is None:
            rows = _rows_one_by_one(path, number, block)
        yield rows, block
        number += len(rows)


def _blocks(path: Path, end: int | None = None) -> Iterator[bytes]:
    """Yields whole lines; only the file's last line may lack its newline."""
    try:
        with path.open("rb") as file:
            while block := file.read(BLOCK_BYTES if end is None else min(BLOCK_BYTES, max(0, end - file.tell()))):
                if end is None or file.tell() < end:
                    block += file.readline()
                yield block
                if not block.endswith(b"\n"):
                    return  # whatever a running process appends from here on belongs to this line
    except FileNotFoundError:
        return
    except OSError as error:
        raise UsageError(
            f"cannot read {path}: {error.strerror or error}", expected="the metrics file that inscape wrote"
        ) from error


def check_prefix(path: Path, covered: Entry) -> None:
    """Raises `UsageError` unless a metrics file begins with what is covered; the rest of it is not looked at."""
    for _ in _checked_blocks(path, covered):
        """Read to its end, where the hash is compared."""


def _checked_blocks(path: Path, covered: Entry) -> Iterator[bytes]:
    digest, left = hashlib.sha256(), covered.size
    for block in _blocks(path):
        digest.update(block[:left])
        left = max(0, left - len(block))
        yield block
    if left or digest.hexdigest() != covered.sha256:
        size = f"has {covered.size - left} of {covered.size} bytes" if left else f"has {covered.size} bytes"
        raise changed(path, f"{size} with SHA-256 {digest.hexdigest()}", covered)


def _flat_rows(block: bytes) -> list[Row] | None:
    """Returns the rows of a block whose lines are all objects without braces inside, by one call of the parser.

    None: the block has other lines. Nothing is accepted that would be refused line by line: each line begins with the
    only `{` in it and ends with the only `}`, and the parser finds as many objects as there are lines, so that every
    brace opened or closed an object and none stood in text; hence each line is one object.
    """
    body = block.removesuffix(b"\n")
    count = body.count(b"\n") + 1
    if not (
        body.startswith(b"{")
        and body.endswith(b"}")
        and body.count(b"}\n{") == count - 1
        and body.count(b"{") == body.count(b"}") == count
    ):
        return None
    try:
        rows: list[Any] = json.loads("[" + body.replace(b"\n", b",").decode() + "]")
    except (ValueError, RecursionError):
        return None
    return rows if len(rows) == count and set(map(type, rows)) == {dict} else None


def _rows_one_by_one(path: Path, first: int, block: bytes) -> list[Row]:
    lines = block.removesuffix(b"\n").split(b"\n")
    rows: list[Row] = []
    for number, line in enumerate(lines, start=first):
        try:
            row = json.loads(line.decode())
        except (ValueError, RecursionError) as error:
            if number == first + len(lines) - 1 and not block.endswith(b"\n"):
                break
            problem = next((text for kind, text in _PROBLEMS.items() if isinstance(error, kind)), "is not JSON")
            raise _damaged(path, number, line, problem) from error
        if not isinstance(row, dict):
            raise _damaged(path, number, line, "is not a JSON object")
        rows.append(row)
    return rows


_PROBLEMS = {UnicodeDecodeError: "is not UTF-8", RecursionError: "is nested too deeply"}


def _damaged(path: Path, number: int, line: bytes, problem: str) -> UsageError:
    return UsageError(
        f"{path}, line {number} {problem}: {line.decode(errors='replace')[:60]!r}",
        expected="one JSON object per line",
        hint="remove that line",
    )


def plain_value(value: Any) -> Any:
    """Returns a NumPy scalar or an array of no dimension as a Python number; anything else as it is."""
    return (
        value.item() if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0) else value
    )
