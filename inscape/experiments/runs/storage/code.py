"""Copies of the files that agent and task came from: what they were when the run was started."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path

from inscape.experiments.runs.storage.files import replacing
from inscape.experiments.runs.storage.manifest import Entry, Manifest

CODE = "code"
MOST_EDITS = 20
"""Lines of a difference shown."""
LARGEST_CODE = 1 << 20
"""Bytes of a file that is copied into the run folder; of a larger one only the hash is kept."""


def copy_code(folder: Path, code: Mapping[str, Mapping[str, str]], manifest: Manifest) -> None:
    """Copies the files of a run's `code` into its folder, those that are Python and not there yet."""
    for entry in code.values():
        source, copy = Path(entry["path"]), folder / CODE / _copy_name(entry)
        if copy.suffix != ".py" or copy.exists() or source.stat().st_size > LARGEST_CODE:
            continue
        copy.parent.mkdir(exist_ok=True)
        with replacing(copy) as file:
            file.write(source.read_bytes())
        manifest.files[f"{CODE}/{copy.name}"] = Entry.of(copy.read_bytes())
    manifest.write()


def edits(folder: Path, entry: Mapping[str, str]) -> list[str]:
    """Returns lines that say how a file of a run's `code` differs from the copy in its folder."""
    copy = folder / CODE / _copy_name(entry)
    if copy.suffix != ".py":
        return ["  (not a text file)"]
    try:
        data, now = copy.read_bytes(), Path(entry["path"]).read_text(errors="replace")
    except OSError:
        return ["  (no copy of it as it was)"]
    Manifest.read(folder).check(f"{CODE}/{copy.name}", data)
    before = data.decode(errors="replace").splitlines()
    diff = list(difflib.unified_diff(before, now.splitlines(), "as it was", "now", n=0, lineterm=""))[2:]
    more = [f"  … and {len(diff) - MOST_EDITS} more lines"] if len(diff) > MOST_EDITS else []
    return [f"  {line}" for line in diff[:MOST_EDITS]] + more


def _copy_name(entry: Mapping[str, str]) -> str:
    return f"{entry['sha256'][:12]}-{Path(entry['path']).name}"
