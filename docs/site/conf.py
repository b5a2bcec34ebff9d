"""Settings of Sphinx. `make docs` builds the site: docs/site/build_site.py puts pages together, then calls Sphinx."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from docstrings import as_restructured_text

import inscape

project = "Inscape"
author = copyright = "the authors of Inscape"  # Sphinx reads it by this name
version = release = inscape.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
default_role = "code"  # docstrings put names and formulas between single backticks
nitpicky = False
keep_warnings = False

# Markdown as GitHub reads it
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4
myst_links_external_new_tab = True
suppress_warnings = [
    "misc.highlighting_failure",  # outlines of Python
    "ref.python",  # a word of a signature that several things are called
]

# The reference
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
autodoc_class_signature = "mixed"
python_maximum_signature_line_length = 88
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
napoleon_custom_sections = [("Source", "notes_style"), ("Sources", "notes_style"), ("Actions", "notes_style")]

# Looks. No font, script or picture from elsewhere: the site is read from a folder, without a network.
html_theme = "furo"
html_title = "Inscape"
html_static_path = [str(Path(__file__).resolve().parent / "static")]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#a85a10", "color-brand-content": "#2f6492"},
    "dark_css_variables": {"color-brand-primary": "#f0a04b", "color-brand-content": "#8fbfea"},
}
pygments_style, pygments_dark_style = "default", "github-dark"
copybutton_exclude = ".linenos, .gp, .go"


def _docstring(app: Any, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    lines[:] = as_restructured_text(lines) if what not in ("method", "property") or _is_ours(name) else []


def _is_ours(name: str) -> bool:
    """Returns whether the text on a method was written here, and not inherited from Gymnasium or torch."""
    path, attribute = name.rsplit(".", 1)
    owner: Any = inscape
    for part in path.split(".")[1:]:
        owner = getattr(owner, part, None) or importlib.import_module(f"{owner.__name__}.{part}")
    documented = (base for base in owner.__mro__ if getattr(base.__dict__.get(attribute), "__doc__", None))
    return next((base.__module__.startswith("inscape") for base in documented), True)


def setup(app: Any) -> None:
    app.connect("autodoc-process-docstring", _docstring, priority=100)  # before napoleon, which is at 500
