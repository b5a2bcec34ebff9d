"""Which kernels the tests have compiled: `make coverage-compiled` (a plugin of pytest, `-p tests.compiled_coverage`).

A kernel counts as compiled where Numba made machine code of it in this session: called from Python, or inside another
kernel. What was loaded from a cache shows only what Python called, hence a cache folder of its own. Tests that run the
command line in a process of its own are not counted.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PACKAGE = Path(__file__).parents[1] / "inscape"
DECORATORS = {
    "jit", "parallel_jit", "inner", "inline", "exact", "exact_inline", "only_inside", "cached_jit", "helper_jit",
}  # fmt: skip
NOT_COMPILED_HERE = {"names", "cuda_stepping"}  # declarations; kernels for a GPU, which the simulator runs as Python
GENERATED = re.compile(r"(\w+)_[0-9a-f]{12}(_fast)?")

_compiled: set[tuple[str, str]] = set()
_worlds: set[str] = set()


def kernels_written() -> Iterator[tuple[str, str]]:
    """Yields `(module, function)` of every kernel in the source."""
    for path in sorted(PACKAGE.glob("**/kernels/*.py")):
        if path.stem in NOT_COMPILED_HERE:
            continue
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and DECORATORS & {_name(one) for one in node.decorator_list}:
                yield path.stem, node.name


def _name(decorator: ast.expr) -> str:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    return getattr(called, "id", "")


def collect() -> tuple[set[tuple[str, str]], set[str]]:
    """Returns the kernels compiled in this process, and the worlds they were compiled for."""
    found: set[tuple[str, str]] = set()
    worlds: set[str] = set()
    put_in: list[tuple[tuple[str, str], str]] = []  # compiled only as a part of what names them
    named: set[str] = set()
    for name, module in list(sys.modules.items()):
        if not name.startswith("inscape_law_") and not (name.startswith("inscape.") and ".kernels." in name):
            continue
        for value in list(vars(module).values()):
            function = getattr(value, "py_func", None)
            if function is None:
                continue
            path = Path(function.__code__.co_filename)
            generated = GENERATED.fullmatch(path.stem)
            key = (generated[1] if generated else path.stem, function.__name__)
            if value.targetoptions.get("inline") == "always":
                put_in.append((key, function.__name__))
            elif is_compiled(value):
                found.add(key)
                named.update(function.__code__.co_names)
                if generated:
                    worlds.add(path.parent.name.partition("-")[0])
    return found | {key for key, function in put_in if function in named}, worlds


def is_compiled(dispatcher: Any) -> bool:
    inside = getattr(dispatcher, "form_for_kernels", None)
    return bool(dispatcher.signatures) or bool(inside is not None and inside.signatures)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    found, worlds = collect()
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["compiled"] = [sorted(found), sorted(worlds)]
    _compiled.update(found)
    _worlds.update(worlds)
    if output is None and _missing() and session.exitstatus == 0:
        session.exitstatus = 1


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    found, worlds = getattr(node, "workeroutput", {}).get("compiled", ([], []))
    _compiled.update((module, function) for module, function in found)
    _worlds.update(worlds)


def _missing() -> list[tuple[str, str]]:
    return [kernel for kernel in kernels_written() if kernel not in _compiled]


def pytest_terminal_summary(terminalreporter: Any) -> None:
    written, missing = list(kernels_written()), _missing()
    terminalreporter.section("compiled kernels")
    made = len(written) - len(missing)
    terminalreporter.line(f"{made} of {len(written)} kernels compiled; for {len(_worlds)} worlds:")
    terminalreporter.line(" ".join(sorted(_worlds)))
    for module, function in missing:
        terminalreporter.line(f"not compiled: {module}.{function}")
