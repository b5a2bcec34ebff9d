"""Builds the documentation's site: `make docs`, or `python docs/site/build_site.py [--out FOLDER]`.

The pages are the repository's own Markdown files, as GitHub shows them. This program puts them into one folder with
pages made from the code (the reference, the examples, the gallery), and has Sphinx write HTML. What it writes is read
from the folder, without a server and without a network; so is the search.
"""

from __future__ import annotations

import argparse
import ast
import os
import re
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(ROOT)]

PAGES = ("CONTRIBUTING.md", "CHANGELOG.md", "docs/**/*.md", "benchmarks/*.md")
PICTURES = ("docs/**/*.png", "docs/**/*.svg")
EXAMPLES = ("examples/**/*.py", "examples/**/*.pomdp")
_LINK = re.compile(r"(!?\[(?:[^\]\[]|\[[^\]]*\])*\])\(([^)\s#]+)(#[^)\s]*)?\)")


def main(argv: list[str] | None = None) -> int:
    """Builds, and returns 0 if Sphinx had nothing to complain of."""
    parser = argparse.ArgumentParser(description="Builds the documentation's site.")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "docs", help="folder that gets html/ and source/")
    parser.add_argument("--without-reference", action="store_true", help="faster, to look at a page")
    given = parser.parse_args(argv)
    try:
        from sphinx.cmd.build import build_main
    except ImportError:
        print("the site is built by Sphinx, which is not installed: pip install -e '.[docs]'", file=sys.stderr)
        return 2
    source, html = given.out / "source", given.out / "html"
    stage(source, reference=not given.without_reference)
    strict = [] if given.without_reference else ["--fail-on-warning", "--keep-going"]
    code = build_main(
        ["-q", "-b", "html", "-c", str(HERE), "-d", str(given.out / "doctrees"), *strict, str(source), str(html)]
    )
    if code == 0:
        print(f"open {html / 'index.html'}")
    return code


def stage(folder: Path, *, reference: bool = True) -> None:
    """Puts every page into a folder, those made from the code too; what lay there goes."""
    if folder.exists():
        shutil.rmtree(folder)
    for pattern in PICTURES:
        for path in sorted(ROOT.glob(pattern)):
            _copy(path, folder)
    for pattern in PAGES:
        for path in sorted(ROOT.glob(pattern)):
            place = Path("index.md") if path == HERE / "index.md" else path.relative_to(ROOT)
            _write(folder / place, relocated(path.read_text(encoding="utf-8"), path.relative_to(ROOT), place))
    _stage_examples(folder)
    _write(folder / "docs" / "gallery.md", gallery((ROOT / "docs" / "worlds.md").read_text(encoding="utf-8")))
    if reference:
        from reference import write_reference

        write_reference(folder / "reference")


def relocated(text: str, old: Path, new: Path) -> str:
    """Returns a page's text with its links as they must be where it stands now.

    Args:
        text: Markdown.
        old, new: where the page is in the repository, and in the site. Links to examples lead to their pages.
    """

    def link(match: re.Match[str]) -> str:
        label, target, anchor = match[1], match[2], match[3] or ""
        if re.match(r"[a-z]+:", target) or target.startswith("<"):
            return match[0]
        path = Path(os.path.normpath(old.parent / target))
        if path.parts[0] == "examples" and path.suffix in (".py", ".pomdp", ""):
            path = path / "index.md" if (ROOT / path).is_dir() else path.with_name(f"{path.name}.md")
            path = Path("examples/index.md") if path.name == "index.md" else path
        elif path in (Path("docs/site/index.md"), Path("README.md")):
            path = Path("index.md")
        return f"{label}({os.path.relpath(path, new.parent)}{anchor})"

    return _LINK.sub(link, text)


def gallery(worlds: str) -> str:
    """Returns a page with the picture of every world, each leading to what `docs/worlds.md` says of it."""
    rows = [
        "# Gallery",
        "",
        "Every world, by family, some random steps into an episode. A picture leads to what is known of its world.",
        "",
    ]
    for line in worlds.splitlines():
        if line.startswith("## "):
            rows += [":::", "", line, "", ":::{container} gallery", ""]
        elif picture := re.match(r"!\[([^\]]*)\]\(([^)]*)\)", line):
            anchor = picture[1].lower()
            rows += [f"[{picture[0]}\n{picture[1]}](worlds.md#{anchor})", ""]
    first = rows.index(":::")
    return "\n".join([*rows[:first], *rows[first + 1 :], ":::", ""])


def _stage_examples(folder: Path) -> None:
    """Writes a page for each example, with what its docstring says, and one that lists them."""
    listed: dict[str, list[tuple[str, str]]] = {}
    for pattern in EXAMPLES:
        for path in sorted(ROOT.glob(pattern)):
            place = path.relative_to(ROOT)
            if path.name == "__init__.py" or "__pycache__" in place.parts:
                continue
            source = path.read_text(encoding="utf-8")
            said = ast.get_docstring(ast.parse(source)) if path.suffix == ".py" else ""
            first = (said or path.name).splitlines()[0]
            listed.setdefault(str(place.parent), []).append((place.name, first))
            fence = "`````"
            language = "python" if path.suffix == ".py" else "text"
            page = [f"# {place}", "", f"{fence}{language}", source.rstrip("\n"), fence, ""]
            _write(folder / place.with_name(f"{place.name}.md"), "\n".join(page))
    rows = ["# Programs", "", "The repository's examples. Each runs in the tests, or is made of what they run.", ""]
    for parent in sorted(listed):
        below = os.path.relpath(parent, "examples")
        rows += [f"## {parent}", ""]
        rows += [f"- [{name}]({Path(below) / name}.md): {first}" for name, first in listed[parent]]
        rows += [
            "",
            "```{toctree}",
            ":hidden:",
            "",
            *(f"{Path(below) / name}" for name, _ in listed[parent]),
            "```",
            "",
        ]
    _write(folder / "examples" / "index.md", "\n".join(rows))


def _copy(path: Path, folder: Path) -> None:
    place = folder / path.relative_to(ROOT)
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, place)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
