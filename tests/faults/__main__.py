"""Runs what `docs/reliability.md` counts: kills, damage, faults, malice, garbage, chance, time; prints one table.

    python -m tests.faults                  everything, two hours or so
    python -m tests.faults --short          a twentieth of everything, some minutes
    python -m tests.faults --only soak      one group
    python -m tests.faults --page           docs/reliability.md anew, from the last results, in build/faults

It exits 1 if anything came of a fault that must not.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.faults.rows import Group, Row

GROUPS = {
    "kills": "kills",
    "experiments": "kills",
    "damage": "damage",
    "writes": "writes",
    "workers": "workers",
    "late": "late",
    "malice": "malice",
    "parsers": "parsers",
    "determinism": "determinism",
    "soak": "soak",
}
"""Name of a group → its module here, and the function in it of the same name."""
KEPT = Path("build/faults")
PAGE = Path("docs/reliability.md")
BEGIN, END = "<!-- begin: written by python -m tests.faults --page -->", "<!-- end -->"


def group(name: str) -> Group:
    found: Group = getattr(importlib.import_module(f"tests.faults.{GROUPS[name]}"), name)
    return found


def run_group(name: str, short: bool) -> dict[str, Any]:
    """Runs a group in an empty folder and returns what is kept of it: its rows, how long it took, where."""
    here, began = Path.cwd(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        try:
            rows = group(name)(short, Path(folder))
        finally:
            os.chdir(here)
    return {
        "group": name, "short": short, "seconds": time.monotonic() - began, "rows": [asdict(row) for row in rows],
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}",
    }  # fmt: skip


def table(documents: list[dict[str, Any]]) -> str:
    lines = ["| what | times | wrong | what would be wrong | counted besides |", "|---|---:|---:|---|---|"]
    for document in documents:
        for row in (Row(**row) for row in document["rows"]):
            note = row.note.replace("|", "\\|").replace("\n", " ")
            lines.append(f"| {row.what} | {row.count:,} | {row.wrong} | {row.wanted} | {note} |")
    return "\n".join(lines)


def kept() -> list[dict[str, Any]]:
    """Returns the last results of each group, in order."""
    return [json.loads(path.read_text()) for name in GROUPS if (path := KEPT / f"{name}.json").is_file()]


def write_page(documents: list[dict[str, Any]]) -> None:
    """Puts the table of the last results into the page, between its marks."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    machines = "; ".join(dict.fromkeys(document["machine"] for document in documents))
    short = [document["group"] for document in documents if document["short"]]
    minutes = sum(document["seconds"] for document in documents) / 60
    told = f"Counted on {machines}, in {minutes:.0f} minutes."
    if short:
        told += f" In their short form: {', '.join(short)}."
    PAGE.write_text(f"{before}{BEGIN}\n\n{told}\n\n{table(documents)}\n\n{END}{after}", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--short", action="store_true", help="a twentieth of everything")
    parser.add_argument("--only", metavar="NAME", action="append", choices=list(GROUPS), help=", ".join(GROUPS))
    parser.add_argument("--page", action="store_true", help=f"write {PAGE} from the last results, and run nothing")
    given = parser.parse_args()
    if given.page:
        write_page(kept())
        return 0
    done = []
    for name in given.only or GROUPS:
        document = run_group(name, given.short)
        done.append(document)
        KEPT.mkdir(parents=True, exist_ok=True)
        (KEPT / f"{name}.json").write_text(json.dumps(document, indent=1))
        print(f"{name}: {document['seconds']:.0f} s", file=sys.stderr, flush=True)
    print(table(done))
    wrong = sum(row["wrong"] for document in done for row in document["rows"])
    count = sum(row["count"] for document in done for row in document["rows"])
    print(f"\n{count:,} faults, {wrong} came to what they must not")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
