"""Pages of the reference, from the tables of public names in the packages' `__init__` files."""

from __future__ import annotations

import ast
import contextlib
import importlib
import inspect
import io
import os
import re
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from docstrings import as_restructured_text

PACKAGES = (
    "inscape",
    "inscape.envs",
    "inscape.world_models",
    "inscape.agents",
    "inscape.theory_of_mind",
    "inscape.experiments",
)


@dataclass(frozen=True)
class Group:
    """Public names that belong together: a comment in a package's table, and what stands below it.

    Attributes:
        package: `inscape.agents`, say.
        title: the comment, with a capital.
        names: in the table's order.
    """

    package: str
    title: str
    names: tuple[str, ...]

    @property
    def file(self) -> str:
        """The page's path below `reference/`, without its suffix."""
        words = re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")
        return f"{self.package.removeprefix('inscape').strip('.') or 'inscape'}/{words}"


def groups_of(package: str) -> list[Group]:
    """Returns the groups of a package's public names: `_HOMES` of its `__init__`, parted by its comments."""
    module = importlib.import_module(package)
    source = Path(inspect.getfile(module)).read_text(encoding="utf-8")
    node = next(
        node
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_HOMES"
    )
    titles: list[tuple[int, str]] = []
    lines = source.splitlines()
    for number in range(node.lineno, node.end_lineno or node.lineno):
        if re.match(r"^    # ", lines[number]):
            titles.append((number + 1, lines[number].strip("# ").strip()))
    assert isinstance(node.value, ast.Dict)
    found: dict[str, list[str]] = {}
    for key, names in zip(node.value.keys, node.value.values, strict=True):
        assert key is not None
        title = next((text for line, text in reversed(titles) if line < key.lineno), "names")
        found.setdefault(title, []).extend(ast.literal_eval(names))
    return [Group(package, title[0].upper() + title[1:], tuple(names)) for title, names in found.items()]


def home_of(package: str, name: str) -> ModuleType:
    """Returns the module that defines a public name."""
    homes = importlib.import_module(package)._HOMES
    return importlib.import_module(
        next(f"{package}.{home}" if home else package for home, names in homes.items() if name in names)
    )


def documented_in(package: str, name: str) -> str:
    """Returns the package whose pages document a name: of those that export the same thing under it, the last."""
    value = getattr(importlib.import_module(package), name)
    others = [other for other in PACKAGES if name in importlib.import_module(other).__all__]
    return next(other for other in reversed(others) if getattr(importlib.import_module(other), name) is value)


def documented(group: Group) -> list[str]:
    """Returns the names of a group that its own page documents."""
    return [name for name in group.names if documented_in(group.package, name) == group.package]


def write_reference(folder: Path) -> int:
    """Writes an overview, a page for each package, one for each group, and one of the command line.

    Returns:
        how many names are documented.
    """
    count = 0
    overview = [_heading("Reference", "="), "What users import. Deeper paths are private, and may move.", ""]
    overview += [".. toctree::", "   :maxdepth: 2", "", *(f"   {_page(package)}" for package in PACKAGES)]
    overview += ["   command-line", ""]
    _write(folder / "index.rst", overview)
    for package in PACKAGES:
        groups = groups_of(package)
        summary = " ".join((importlib.import_module(package).__doc__ or "").split())
        rows = [_heading(package, "="), re.sub(r" (What users import|Deeper paths).*", "", summary)]
        rows += [
            "",
            ".. toctree::",
            "   :hidden:",
            "",
            *(f"   {group.file}" for group in groups if documented(group)),
            "",
        ]
        for group in groups:
            rows += [_heading(group.title, "-"), ".. list-table::", "   :widths: 30 70", "   :class: names", ""]
            for name in group.names:
                first = " ".join(as_restructured_text([_summary(package, name)])).strip()
                rows += [f"   * - :py:obj:`~{documented_in(package, name)}.{name}`", f"     - {first}"]
            rows += [""]
            count += len(documented(group))
            if documented(group):
                _write(folder / f"{group.file}.rst", _group_page(group))
        _write(folder / f"{_page(package)}.rst", rows)
    _write(folder / "command-line.md", _command_line())
    return count


def _page(package: str) -> str:
    return package.replace(".", "-")


def _heading(title: str, line: str) -> str:
    return f"{title}\n{line * len(title)}\n"


def _write(path: Path, rows: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")


def _group_page(group: Group) -> list[str]:
    rows = [_heading(group.title, "="), f".. py:currentmodule:: {group.package}", ""]
    rows += ["Import from", f":doc:`{group.package} </reference/{_page(group.package)}>`.", ""]
    for name in documented(group):
        value = getattr(importlib.import_module(group.package), name)
        if inspect.isclass(value):
            rows += [f".. autoclass:: {name}", "   :members:", "   :show-inheritance:"]
            rows += ["   :inherited-members: object", ""] if name.endswith("Settings") else [""]
        elif inspect.isroutine(value):
            rows += [f".. autofunction:: {name}", ""]
        else:
            text = _text_below(home_of(group.package, name), name)
            rows += [f".. py:data:: {name}", ""]
            rows += [f"   {line}" for line in as_restructured_text(text.splitlines())]
            rows += [""]
    return rows


def _text_below(module: ModuleType, name: str) -> str:
    """Returns the text below the line that assigns a constant or an alias."""
    body = ast.parse(Path(inspect.getfile(module)).read_text(encoding="utf-8")).body
    for node, following in zip(body, [*body[1:], None], strict=True):
        targets = (
            node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", getattr(node, "name", None))]
        )
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            value = getattr(getattr(following, "value", None), "value", None)
            return inspect.cleandoc(value) if isinstance(value, str) else ""
    return ""


def _summary(package: str, name: str) -> str:
    value: Any = getattr(importlib.import_module(package), name)
    if inspect.isclass(value) or inspect.isroutine(value):
        text = inspect.getdoc(value) or ""
    else:
        text = _text_below(home_of(package, name), name)
    return " ".join(text.split("\n\n")[0].split())


def _command_line() -> list[str]:
    """Returns a page with what `inscape COMMAND --help` says, for every command."""
    from inscape.experiments.cli import COMMANDS, main

    rows = ["# Command line", "", "What `inscape COMMAND --help` says.", ""]
    before = {name: os.environ.get(name) for name in ("COLUMNS", "NO_COLOR", "TERM")}
    os.environ.update(COLUMNS="88", NO_COLOR="1", TERM="dumb")
    try:
        for name in COMMANDS:
            said = io.StringIO()
            with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
                main([name, "--help"])
            text = "\n".join(line.rstrip() for line in said.getvalue().splitlines())
            rows += [f"## inscape {name}", "", "```text", text.strip("\n"), "```", ""]
    finally:
        for key, value in before.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value
    return rows
