"""The documentation's site: every page is in it, every public name once; it loads nothing from elsewhere."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.conftest import ROOT

sys.path.insert(0, str(ROOT / "docs" / "site"))
import build_site
import docstrings
import reference


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "source"
    build_site.stage(folder, reference=False)
    return folder


def test_every_link_leads_to_a_page_or_a_picture(source: Path) -> None:
    pages = sorted(source.rglob("*.md"))
    assert len(pages) > 80
    missing = [
        (str(page.relative_to(source)), target)
        for page in pages
        if "examples" not in page.relative_to(source).parts[:1] or page.name == "index.md"
        for target in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
        if not re.match(r"[a-z]+:", target) and not (page.parent / target).exists()
    ]
    assert not missing


def test_every_page_is_in_a_table_of_contents(source: Path) -> None:
    listed = {"index", "reference/index"}
    for page in (source / "index.md", source / "examples" / "index.md"):
        for block in re.findall(r"```\{toctree\}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
            for line in block.splitlines():
                if line and not line.startswith(":"):
                    name = re.sub(r"^.*<(.+)>$", r"\1", line)
                    listed.add(os.path.normpath(page.parent.relative_to(source) / name))
    pages = {str(page.relative_to(source).with_suffix("")) for page in source.rglob("*.md")}
    assert pages - listed == set()
    assert listed - pages == {"reference/index"}


def test_links_are_moved_with_their_page() -> None:
    text = "[a](../README.md#x) [b](../examples/my_mind.py) [c](https://x.org/y) ![d](worlds.png) [e](agents.md)"
    moved = build_site.relocated(text, Path("docs/python.md"), Path("deep/er/python.md"))
    assert moved == (
        "[a](../../index.md#x) [b](../../examples/my_mind.py.md) [c](https://x.org/y) "
        "![d](../../docs/worlds.png) [e](../../docs/agents.md)"
    )


def test_the_gallery_shows_every_world() -> None:
    worlds = (ROOT / "docs" / "worlds.md").read_text(encoding="utf-8")
    page = build_site.gallery(worlds)
    names = re.findall(r"^!\[(\S+)\]", worlds, re.MULTILINE)
    assert len(names) > 50
    assert re.findall(r"^\[!\[(\S+)\]", page, re.MULTILINE) == names
    assert page.count(":::{container}") == page.count("\n:::\n")


def test_the_reference_documents_every_public_name_once() -> None:
    groups = [group for package in reference.PACKAGES for group in reference.groups_of(package)]
    for package in reference.PACKAGES:
        exported = sys.modules[package].__all__
        assert sorted(name for group in groups if group.package == package for name in group.names) == sorted(exported)
    counted = Counter(
        reference.documented_in(group.package, name) + "." + name for group in groups for name in group.names
    )
    documented = Counter(f"{group.package}.{name}" for group in groups for name in reference.documented(group))
    assert set(documented) == set(counted)
    assert max(documented.values()) == 1
    assert len({group.file for group in groups}) == len(groups)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("max|V − V*| of `[S, A]`", r"max\|V − V\*\| of ``[S, A]``"),
        ("a list of `Mind`s", r"a list of ``Mind``\ s"),
        ("see [the paper](https://x.org/a_b)", "see `the paper <https://x.org/a_b>`__"),
        ("x_ and y_1", r"x\_ and y_1"),
    ],
)
def test_docstrings_become_restructured_text(written: str, read: str) -> None:
    assert docstrings.as_restructured_text([written]) == [read]


def test_code_within_docstrings_is_code() -> None:
    indented = docstrings.as_restructured_text(["Text:", "", "    f(*x)", "", "After."])
    assert ".. code-block:: python" in indented and "    f(*x)" in indented and indented[-1] == "After."
    over_two_lines = docstrings.as_restructured_text(["a `b", "c` d"])
    assert over_two_lines == ["a ``b c`` d"]
    assert docstrings.as_restructured_text(["Args:", "    x: a.", "", "Returns:", "    y."]) == [
        "Args:", "    x: a.", "", "Returns:", "    y.",
    ]  # fmt: skip
    assert docstrings.as_restructured_text(["Two:", "- a", "- b"]) == ["Two:", "", "- a", "- b"]


@pytest.mark.slow
def test_the_site_is_built_and_searched_without_a_network(tmp_path: Path) -> None:
    pytest.importorskip("sphinx")
    pytest.importorskip("furo")
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "site" / "build_site.py"), "--out", str(tmp_path)],
        capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    html = tmp_path / "html"
    for page in html.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        loaded = re.findall(r"<(?:script|img|iframe|source)[^>]*\bsrc=\"([^\"]+)\"", text)
        loaded += re.findall(r"<link[^>]*rel=\"(?:stylesheet|preload|icon)\"[^>]*href=\"([^\"]+)\"", text)
        assert not [url for url in loaded if re.match(r"(https?:)?//", url)], page
    for sheet in html.rglob("*.css"):
        assert not re.findall(r"(?:url\(|@import )['\"]?(?:https?:)?//", sheet.read_text(encoding="utf-8")), sheet
    assert "inscape.theory_of_mind.Observer" in (html / "reference/theory_of_mind/inferring-one.html").read_text()
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("built; no browser to search it with")
    shown = subprocess.run(
        [browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP * ~NOTFOUND",
         f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=8000", "--dump-dom",
         f"{(html / 'search.html').as_uri()}?q=regret"],
        capture_output=True, text=True, timeout=120,
    ).stdout  # fmt: skip
    assert re.search(r"found \d+ pages? matching", shown)
    assert "ExactEvaluation" in shown
