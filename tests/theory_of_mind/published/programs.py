"""Running the programs of examples/minds, each once, and counting the lines that a reader has to write."""

from __future__ import annotations

import ast
import contextlib
import functools
import io
import runpy
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[3] / "examples" / "minds"
PROGRAMS = sorted(path.stem for path in FOLDER.glob("*.py"))


@functools.cache
def run(name: str) -> dict[str, Any]:
    """Returns the variables of a program after it has run; `printed` is what it printed."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        found = runpy.run_path(str(FOLDER / f"{name}.py"))
    return found | {"printed": printed.getvalue()}


def lines_of(name: str) -> int:
    """Returns the lines of a program that hold code: none that is blank, a comment, or part of a docstring."""
    source = (FOLDER / f"{name}.py").read_text()
    documented: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Module, ast.FunctionDef, ast.ClassDef)) and ast.get_docstring(node) is not None:
            documented.update(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    lines = enumerate(source.splitlines(), 1)
    return sum(1 for n, line in lines if n not in documented and line.strip() and not line.strip().startswith("#"))
