"""A report's path, which a notebook shows as the report itself."""

from __future__ import annotations

from pathlib import Path

from inscape import html

LARGEST = 8 << 20
"""Bytes of a report that is shown within a notebook: it becomes part of the notebook's file."""
HEIGHT = 640


def frame(page: str, title: str, height: int = HEIGHT) -> str:
    """Returns a page in a frame whose scripts see nothing of the page around it."""
    return (
        f'<iframe sandbox="allow-scripts" srcdoc="{html.text(page)}" title="{html.text(title)}" '
        f'style="width:100%;height:{height}px;border:1px solid currentColor;border-radius:4px"></iframe>'
    )


class ReportFile(type(Path())):  # type: ignore[misc]  # the class of this system's paths
    """The path of a report; in a notebook, the report in a frame of its own, whose scripts see nothing of the page."""

    def _repr_html_(self) -> str:
        if not self.is_file():
            return html.block("Report", note=f"{self} is gone")
        if self.stat().st_size > LARGEST:
            return html.block("Report", note=f"{self}: open it in a browser")
        return html.block("Report", frame(self.read_text(encoding="utf-8"), "report"), note=str(self))
