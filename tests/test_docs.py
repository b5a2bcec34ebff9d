"""What README, CONTRIBUTING and docs say: files exist, names can be imported, programs run."""

from __future__ import annotations

import ast
import importlib
import os
import re
import tomllib
from pathlib import Path

import pytest

from tests.conftest import EXAMPLES, ROOT
from tests.forked import Forks

PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
ROOMS = ("envs", "world_models", "agents", "theory_of_mind", "experiments")
PUBLIC = {"inscape", *(f"inscape.{room}" for room in ROOMS)}
TOP_FOLDERS = {"inscape", "tests", "docs", "examples", "benchmarks", *ROOMS}
PLACEHOLDERS = ("file.py", "mine.py", "my_world.py", "ferry.py")
"""The reader's own files."""
GROUPS = {f"inscape.{group}" for group in ("agents", "worlds")}
"""Entry points of plug-ins, which are no modules."""

by_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def paths_in(text: str) -> list[tuple[str, Path | None]]:
    """Returns the paths a text names between backticks, each with the one before it in its line.

    A path ends in `.py`, or in `/`, or begins with a folder of the repository.
    """
    found: list[tuple[str, Path | None]] = []
    for line in text.splitlines():
        before: Path | None = None
        for quoted in re.findall(r"`([^`\s]+)`", line):
            path = quoted.split("::")[0].split(":")[0]
            known = "/" in path and path.split("/")[0] in TOP_FOLDERS
            is_environment = re.search(r"-v\d+$", path)  # such as inscape/FrozenLake-v0
            is_path = re.fullmatch(r"[\w./-]+", path) and (known or path.endswith((".py", "/")))
            if is_path and not is_environment:
                found.append((path, before))
                before = resolved(path, before) or before
    return found


def resolved(path: str, before: Path | None) -> Path | None:
    """Returns the file or folder a page means: from the root, from `inscape/`, or beside the one named before it."""
    beside = [before.parent] if before else []
    if "/" not in path and not beside:
        return next((found for folder in TOP_FOLDERS for found in (ROOT / folder).rglob(path)), None)
    return next((base / path for base in (ROOT, ROOT / "inscape", *beside) if (base / path).exists()), None)


def exists(name: str) -> bool:
    """Returns whether a dotted name is a module, or an attribute of one."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            value = importlib.import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        return all((value := getattr(value, part, None)) is not None for part in parts[count:])
    return False


def programs_in(page: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)


@by_page
def test_files_and_folders_exist(page: Path) -> None:
    named = [(path, before) for path, before in paths_in(page.read_text()) if Path(path).name not in PLACEHOLDERS]
    missing = [path for path, before in named if resolved(path, before) is None]
    assert not missing


@by_page
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)", page.read_text())
    assert not [link for link in links if "://" not in link and not (page.parent / link).exists()]


@by_page
def test_names_can_be_imported(page: Path) -> None:
    names = set(re.findall(r"(?<![\w./])inscape(?:\.[A-Za-z_]\w*)+", page.read_text())) - GROUPS
    assert not [name for name in sorted(names) if not exists(name)]


@pytest.mark.parametrize("page", [*PAGES, *sorted(EXAMPLES.glob("*.py"))], ids=lambda page: page.name)
def test_only_public_names_are_used(page: Path) -> None:
    """The README and the examples show what users may rely on."""
    programs = programs_in(page) if page.suffix == ".md" else [page.read_text()]
    for program in programs:
        if not re.search(r"^\s*(from|import) inscape", program, re.MULTILINE):
            continue  # an outline, not a program
        for node in ast.walk(ast.parse(program)):
            if isinstance(node, ast.Import):
                assert not {n.name for n in node.names if n.name.split(".")[0] == "inscape"} - PUBLIC
            elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "inscape":
                assert node.module in PUBLIC
                assert {n.name for n in node.names} <= {*importlib.import_module(node.module).__all__, *ROOMS}


def test_what_the_readme_says_in_python_runs(tmp_path: Path, forks: Forks) -> None:
    """On plain kernels, with numbers of four digits and more cut to a thousandth, and without what needs a GPU."""
    programs = programs_in(ROOT / "README.md")
    assert programs
    for program in programs:
        lines = [line for line in program.splitlines() if "cuda" not in line]
        environment = {name: value for name, value in os.environ.items() if name != "NUMBA_DISABLE_JIT"}
        small = re.sub(r"\b\d[\d_]{3,}\b", lambda m: str(max(int(m[0]) // 1000, 2)), "\n".join(lines))
        result = forks.program(small, tmp_path, environment | {"INSCAPE_KERNELS": "plain"})
        assert result.returncode == 0, result.stderr


def test_every_recipe_has_an_example_that_is_tested() -> None:
    recipes = re.findall(
        r"^### An? (\w+)\n(.*?)(?=^##)", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL | re.MULTILINE
    )
    assert [name for name, _ in recipes] == ["world", "agent", "model", "planner", "mind"]
    tests = (ROOT / "tests" / "test_examples.py").read_text()
    for name, recipe in recipes:
        rows = dict(re.findall(r"^\| (\w[\w ]*) \| (.*) \|$", recipe, re.MULTILINE))
        assert {*rows} == {"copy", "implement", "try", "put it in", "register", "test", "document"}, name
        examples = re.findall(r"`examples/(\w+\.py)", rows["copy"])
        assert examples and all(example in tests for example in examples), name


def test_entry_points_named_here_are_those_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(project["entry-points"]) == GROUPS


def test_a_missing_file_and_a_missing_name_would_be_noticed() -> None:
    text = "`envs/law/law.py`, `tools.py`, `nothing.py`; `inscape/envs/nowhere/`; `file.py:Class`"
    found = [(path, resolved(path, before)) for path, before in paths_in(text)]
    law = ROOT / "inscape" / "envs" / "law"
    assert found[:2] == [("envs/law/law.py", law / "law.py"), ("tools.py", law / "tools.py")]
    assert [where for _, where in found[2:]] == [None, None, None]
    assert exists("inscape.envs.World.vector_env")
    assert not exists("inscape.envs.world.Wolrd") and not exists("inscape.nowhere")
