"""Other people's libraries on Inscape's worlds, each in an environment of its own; writes `docs/clients.md`.

    python benchmarks/clients.py                    # what has no row yet
    python benchmarks/clients.py --only skrl RLlib  # these
    python benchmarks/clients.py --again            # all of them
    python benchmarks/clients.py --page             # only writes the page from the rows there are

What is tried stands in `examples/clients/clients.toml`. Environments are made below `build/clients` with pip (with `uv`
where it is installed) and deleted after use. Rows are kept in `docs/clients.json`: an interrupted run goes on.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from benchmarks.results_file import ROOT, Notes, load_rows, save_row, table

SNIPPETS = ROOT / "examples" / "clients"
PAGE, FILE = ROOT / "docs" / "clients.md", ROOT / "docs" / "clients.json"
SECONDS = 900
"""After that long a case is ended."""
COLUMNS = {"CartPole": "CartPole", "Pendulum": "Pendulum", "DoorKey": "DoorKey", "SkiResort": "SkiResort (masks)"}
"""Worlds with a column of their own; of all others, which are games, there is one."""


PRINT_VERSIONS = """
import sys
from importlib.metadata import version
print(", ".join(f"{name} {version(name)}" for name in sys.argv[1:]))
"""


def clients() -> list[dict[str, Any]]:
    """Returns what is tried."""
    tried: list[dict[str, Any]] = tomllib.loads((SNIPPETS / "clients.toml").read_text())["client"]
    return tried


def make_environment(client: dict[str, Any], folder: Path) -> Path:
    """Makes the environment of a client and returns its Python.

    Raises:
        subprocess.CalledProcessError: something cannot be installed.
    """
    lifted = {name.lower() for name in client.get("lifted", ())}
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    kept = [line for line in lines if line.partition("==")[0].lower() not in lifted]
    constraints = folder.with_suffix(".txt")
    constraints.write_text("\n".join(kept) + "\n")
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    uv = shutil.which("uv")
    if uv:
        run([uv, "venv", "-q", "--python", sys.executable, str(folder)])
        install = [uv, "pip", "install", "-q", "--python", str(python), "-c", str(constraints)]
    else:
        run([sys.executable, "-m", "venv", str(folder)])
        install = [str(python), "-m", "pip", "install", "-q", "-c", str(constraints)]
    # torch by name, so that its build for CPUs is taken where the index has one
    run([*install, "torch", *client["requires"], f"inscape @ {ROOT.as_uri()}"])
    return python


def run(words: Sequence[str]) -> None:
    subprocess.run(words, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def try_case(python: Path, client: dict[str, Any], world: str, seconds: float) -> dict[str, Any]:
    """Runs a snippet in one world: status `ok` or `failed`, and its last line."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "MPLBACKEND": "agg", "SDL_VIDEODRIVER": "dummy", "MINARI_DATASETS_PATH": folder}
        environment.pop("PYTHONPATH", None)  # what is installed is tried
        words = [str(python), str(SNIPPETS / client["file"]), *([world] if world else [])]
        try:
            done = subprocess.run(
                words, cwd=folder, env=environment, capture_output=True, text=True, timeout=seconds
            )  # fmt: skip
            ok, said = done.returncode == 0, done.stdout if done.returncode == 0 else done.stderr
        except subprocess.TimeoutExpired:
            ok, said = False, f"ended after {seconds:.0f} s"
    lines = [line for line in said.strip().splitlines() if line.strip()]
    lines = [line for line in lines if line.startswith(f"{world}: ")] or lines  # some libraries print at exit
    cell = {"status": "ok" if ok else "failed", "seconds": round(time.perf_counter() - began)}
    cell["line"] = lines[-1].strip()[:300] if lines else ""
    if ok:
        return cell
    # without the folders of this machine
    cell["line"] = re.sub(r"\S*/(site-packages|lib/python[\d.]+)/", "", cell["line"])
    return {**cell, "said": re.sub(r"\S*/(site-packages|lib/python[\d.]+)/", "", said[-2000:]).replace(f"{ROOT}/", "")}


def row_of(
    client: dict[str, Any], folder: Path, seconds: float, keep: bool, worlds: Sequence[str], before: dict[str, Any]
) -> dict[str, Any]:
    """Returns the row of a client: versions, and a cell for each world.

    Args:
        client: what is tried.
        folder: where its environment is made.
        seconds: for each world.
        keep: whether the environment stays.
        worlds: those of the client's worlds that are tried; of all others the cells before are kept.
        before: its row before.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        python = make_environment(client, folder)
        named = {re.split(r"[\[=<>!~]", words)[0] for words in client["requires"]}
        words = [str(python), "-c", PRINT_VERSIONS, *sorted(named | {"gymnasium", "numpy", "torch"})]
        versions = subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()
        known = {world or "all" for world in client["worlds"]}
        cells = {world: cell for world, cell in before.get("cells", {}).items() if world in known}
        cells |= {world or "all": try_case(python, client, world, seconds) for world in worlds}
    except subprocess.CalledProcessError as error:
        said = error.stdout or error.stderr or ""
        last = [*said.strip().splitlines(), f"{error.cmd[0]} ended with {error.returncode}"][-2 if said.strip() else -1]
        cells = {"all": {"status": "failed", "line": last[:300], "said": said[-2000:], "seconds": 0}}
        versions = ", ".join(client["requires"])
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
            folder.with_suffix(".txt").unlink(missing_ok=True)
    return {"versions": versions, "cells": cells}


def text_of(cell: dict[str, Any], notes: Notes) -> str:
    """Returns what stands in a cell of the table."""
    if cell["status"] == "failed":
        return f"**failed** {notes.mark(cell['line'])}"
    found = re.search(r"mean return (-?[\d.]+(?:e[+-]?\d+)?)", cell["line"])
    return found[1] if found else f"yes {notes.mark(cell['line'])}"


def page(rows: dict[str, Any]) -> str:
    """Returns the page: the table, and every snippet."""
    notes, lines = Notes(), []
    known = clients()
    for client in known:
        row = rows.get(client["name"])
        words = [f"[{client['name']}](#{anchor(client['name'])})"]
        if row is None:
            lines.append([*words, *["not run"] * (len(COLUMNS) + 1), ""])
            continue
        cells = dict(row["cells"])
        for world in COLUMNS:
            if world in cells:
                words.append(text_of(cells.pop(world), notes))
            else:
                words.append(f"– {notes.mark(client['refused'][world])}" if world in client["refused"] else "–")
                words[-1] = "not run" if world in client["worlds"] else words[-1]
        games = [f"{'' if world == 'all' else world + ' '}{text_of(cell, notes)}" for world, cell in cells.items()]
        if not games and "game" in client["refused"]:
            games = [f"– {notes.mark(client['refused']['game'])}"]
        lines.append([*words, ", ".join(games) or "–", row["versions"]])
    text = [
        "# Other people's libraries",
        "",
        "Written by `make clients`; do not edit. A snippet for each library, run in an environment of its own: they",
        "are in `examples/clients`, versions in `examples/clients/clients.toml`. Each trains for some 2,000 steps and",
        "evaluates. A number is a mean return of five episodes: it says that training ran, not how well an agent can",
        "learn. Scripts that import nothing of Inscape take a world by its id, `inscape:inscape/CartPole-v0`: what",
        "stands before the colon is imported by Gymnasium.",
        "",
        *table(("library", *COLUMNS.values(), "a game, or all", "versions"), lines),
        "",
        *notes.lines(),
    ]
    for client in known:
        requires = " ".join(f"'{words}'" for words in client["requires"])
        text += ["", f"## {client['name']}", "", "```sh", f"pip install -c constraints.txt . {requires}"]
        if client.get("lifted"):
            text[-1] += f"  # without the constraints on {', '.join(client['lifted'])}"
        world = f" {client['worlds'][0]}" if client["worlds"][0] else ""
        text += [f"python examples/clients/{client['file']}{world}", "```", "", "```python"]
        text += [*(SNIPPETS / client["file"]).read_text().rstrip().splitlines(), "```"]
    return "\n".join(text) + "\n"


def anchor(heading: str) -> str:
    """Returns the anchor that Markdown readers give a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", metavar="NAME", help="these clients, whether they have a row or not")
    parser.add_argument("--again", action="store_true", help="all clients, whether they have a row or not")
    parser.add_argument("--worlds", nargs="*", metavar="WORLD", help="only these worlds of each")
    parser.add_argument("--first", action="store_true", help="only the first world of each")
    parser.add_argument("--page", action="store_true", help="write the page from the rows there are")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "clients", help="where environments are made")
    parser.add_argument("--keep", action="store_true", help="do not delete the environments")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for each case")
    given = parser.parse_args(argv)
    known = {client["name"]: client for client in clients()}
    unknown = set(given.only or ()) - set(known)
    if unknown:
        parser.error(f"no client {', '.join(sorted(unknown))}: {', '.join(known)}")
    rows = load_rows(FILE)
    wanted = given.only or [name for name in known if given.again or name not in rows]
    for name in [] if given.page else wanted:
        folder = given.folder.resolve() / re.sub(r"\W+", "_", name)
        worlds = [world for world in known[name]["worlds"] if not given.worlds or world in given.worlds]
        worlds = worlds[:1] if given.first else worlds
        row = row_of(known[name], folder, given.seconds, given.keep, worlds, rows.get(name, {}))
        rows = save_row(FILE, name, row)
        for world, cell in row["cells"].items():
            print(f"{name:30s} {world:10s} {cell['status']:7s} {cell['seconds']:4d} s  {cell['line']}", flush=True)
    PAGE.write_text(page(rows))
    print(f"Wrote {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
