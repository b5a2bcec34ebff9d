"""Tables of text: delimiters, encodings and columns as they are met in practice."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from inscape.errors import UsageError, closest

DELIMITERS = (",", ";", "\t", "|")
MISSING = ("", "na", "n/a", "nan", "null", "none", ".", "-")
"""What stands in tables where nothing was recorded."""

ALIASES = {
    "participant": ("participant", "participant_id", "subject", "subject_id", "subj", "person", "worker", "pid", "id"),
    "episode": ("episode", "trial", "trial_id", "game", "round", "scenario"),
    "step": ("step", "t", "time", "timestep", "time_step", "move_number", "turn"),
    "state": ("state", "s", "state_id"),
    "action": ("action", "choice", "a", "response", "act", "move", "chosen", "decision"),
}  # fmt: skip
"""Names that columns are known by, the first that is there being taken."""


@dataclass(frozen=True, eq=False)
class Table:
    """Rows of a text file.

    Attributes:
        source: its name, for messages.
        header: names of the columns, as they are written.
        rows: cells of each row, as many as columns.
        lines: line of the file each row begins on, from 1.
    """

    source: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]

    def place(self, row: int) -> str:
        """Returns where a row is found, in words."""
        return f"{self.source}, line {self.lines[row]}"

    def column(self, role: str, names: Mapping[str, str]) -> int | None:
        """Returns the number of the column that plays a role: the one named, else the first known alias.

        Raises:
            UsageError: the column named is not there, or there twice.
        """
        folded = [_folded(name) for name in self.header]
        if role in names:
            wanted = names[role]
            if self.header.count(wanted) == 1:
                return self.header.index(wanted)
            places = [n for n, name in enumerate(folded) if name == _folded(wanted)]
            if len(places) != 1:
                found = f"no column {wanted!r}" if not places else f"{len(places)} columns {wanted!r}"
                raise UsageError(
                    f"{self.source} has {found} for the {role}",
                    expected=", ".join(self.header),
                    hint=closest(wanted, self.header),
                )
            return places[0]
        for alias in ALIASES[role]:
            if folded.count(alias) > 1:
                raise UsageError(f"{self.source} has {folded.count(alias)} columns {alias!r}", expected="one")
            if alias in folded:
                return folded.index(alias)
        return None


def _folded(name: str) -> str:
    return name.strip().lower().replace(" ", "_").replace("-", "_")


def read_table(source: str | Path, delimiter: str | None = None) -> Table:
    """Returns a file of rows with a header: commas, semicolons, tabs or bars between cells, quoted where need be.

    Args:
        source: the file, UTF-8 (with or without a byte order mark) or UTF-16 with one.
        delimiter: what stands between cells; None: what the header has most of.

    Raises:
        UsageError: no such file, another encoding, no rows; a row with more or fewer cells than the header.
    """
    path = Path(source)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"{source} cannot be read: {error.strerror}", expected="a file of choices, one row for each"
        ) from None
    wide = data[:2] in (b"\xff\xfe", b"\xfe\xff")
    try:
        text = data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise UsageError(
            f"{source}, line {line}: not UTF-8 (byte {data[error.start]:#04x})",
            expected="UTF-8, or UTF-16 with a byte order mark",
            hint="save the table as UTF-8 (CSV UTF-8)",
        ) from None  # fmt: skip
    if "\0" in text:
        raise UsageError(f"{source} is no text", expected="a table of text, as a CSV file")
    return parse_table(text, path.name, delimiter)


def parse_table(text: str, source: str, delimiter: str | None = None) -> Table:
    """Returns the rows of a text (see `read_table`)."""
    if delimiter is not None and len(delimiter) != 1:
        raise UsageError(f"the delimiter {delimiter!r}", expected="one character", hint="',' or ';' or a tab")
    between = delimiter or _delimiter(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=between, skipinitialspace=True)
    header: tuple[str, ...] | None = None
    rows: list[tuple[str, ...]] = []
    lines: list[int] = []
    line = 1
    try:
        for cells in reader:
            begun, line = line, reader.line_num + 1
            stripped = tuple(cell.strip() for cell in cells)
            if not any(stripped) or (header is None and stripped[0].startswith("#")):
                continue
            if header is None:
                header = stripped
                continue
            while len(stripped) > len(header) and not stripped[-1]:  # as spreadsheets leave them
                stripped = stripped[:-1]
            if len(stripped) != len(header):
                raise UsageError(
                    f"{source}, line {begun}: {len(stripped)} cells under {len(header)} columns",
                    expected=between.join(header),
                )
            rows.append(stripped)
            lines.append(begun)
    except csv.Error as error:
        raise UsageError(f"{source}, line {reader.line_num}: {error}", expected="a table of text") from None
    if header is None or not rows:
        raise UsageError(
            f"{source} has no rows",
            expected="a header, and one row for each choice",
            hint=_EXAMPLE.replace("\n", " / "),
        )
    return Table(source, header, tuple(rows), tuple(lines))


_EXAMPLE = "participant,episode,step,state,action\nanna,1,0,12,left"


def _delimiter(text: str) -> str:
    """Returns the character that the header has most of, outside of quotes."""
    header = next((line for line in text.splitlines() if line.strip() and not line.startswith("#")), "")
    bare = "".join(part for n, part in enumerate(header.split('"')) if n % 2 == 0)
    return max(DELIMITERS, key=bare.count)


def is_missing(cell: str) -> bool:
    """Returns whether a cell says that nothing was recorded."""
    return cell.lower() in MISSING


def whole(cell: str) -> int | None:
    """Returns a whole number written as `3` or `3.0`; None for anything else."""
    try:
        value = float(cell)
    except ValueError:
        return None
    return int(value) if value.is_integer() else None


def known_value(cell: str, names: Sequence[str]) -> int | None:
    """Returns which of some names a cell is: as it is written, else apart from case, spaces and dashes."""
    if cell in names:
        return names.index(cell)
    folded = [_folded(name) for name in names]
    return folded.index(_folded(cell)) if folded.count(_folded(cell)) == 1 else None
