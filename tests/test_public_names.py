"""What users import: every name of `inscape` and its five packages exists and is documented."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGES = (
    "inscape",
    "inscape.envs",
    "inscape.world_models",
    "inscape.agents",
    "inscape.theory_of_mind",
    "inscape.experiments",
)
NAMES = [(package, name) for package in PACKAGES for name in importlib.import_module(package).__all__]


def home_of(package: str, name: str) -> str:
    """Returns the module that defines a public name."""
    homes = importlib.import_module(package)._HOMES
    return next(f"{package}.{module}" for module, names in homes.items() if name in names)


def documentation(module: str, name: str) -> str | None:
    """Returns the docstring of a class or function, or the text below the line that assigns a constant or an alias."""
    body = ast.parse(Path(inspect.getfile(importlib.import_module(module))).read_text()).body
    for node, following in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            if any(ast.unparse(decorator) == "overload" for decorator in node.decorator_list):
                continue
            return ast.get_docstring(node)
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            text = getattr(getattr(following, "value", None), "value", None)
            return text if isinstance(text, str) else None
    raise AssertionError(f"{module} imports {name} from elsewhere: name the module that defines it")


@pytest.mark.parametrize(("package", "name"), NAMES)
def test_a_public_name_is_imported_and_documented(package: str, name: str) -> None:
    module = importlib.import_module(package)
    assert getattr(module, name) is getattr(importlib.import_module(home_of(package, name)), name)
    assert name in dir(module)
    text = documentation(home_of(package, name), name)
    assert text and len(text.split()) >= 3, f"{package}.{name} has no docstring"


@pytest.mark.parametrize("package", PACKAGES)
def test_names_of_type_checkers_and_names_at_run_time_are_the_same(package: str) -> None:
    module = importlib.import_module(package)
    tree = ast.parse(Path(inspect.getfile(module)).read_text())
    typed = {
        (node.module, alias.asname)
        for branch in tree.body
        if isinstance(branch, ast.If)
        for node in branch.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert typed == {(home_of(package, name), name) for name in module.__all__}


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'inscape' has no attribute 'maek_world'"):
        importlib.import_module("inscape").maek_world  # noqa: B018


def test_importing_the_packages_imports_no_heavy_library() -> None:
    program = (
        f"import sys, {', '.join(PACKAGES)}; print(*sorted({{'torch', 'pygame', 'transformers'}} & {{*sys.modules}}))"
    )
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == ""
