"""Sections to one HTML file. Everything that comes from outside is escaped; nothing is loaded from anywhere."""

from __future__ import annotations

import html
import json
import math
import os
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import Any

from inscape.envs.rendering.scene import DARK_PALETTE, PALETTE
from inscape.errors import UsageError
from inscape.experiments.numbers import column_decimals, interval_decimals, number_text
from inscape.experiments.report.file import ReportFile
from inscape.experiments.report.packing import pack_curves, pack_player
from inscape.experiments.report.sections import (
    Cell,
    CurvesSection,
    Label,
    MapSection,
    Section,
    TableSection,
    TextSection,
)
from inscape.experiments.report.value_map import map_html
from inscape.experiments.runs.settings import installed_versions
from inscape.experiments.runs.statistics import Interval
from inscape.experiments.runs.storage.files import write_text

JSON = Any


def write_report(
    sections: Sequence[Section],
    out: str | Path,
    *,
    title: str = "Inscape report",
    summary: str = "",
    commands: Sequence[str] = (),
    facts: Mapping[str, str] | None = None,
) -> ReportFile:
    """Writes one self-contained HTML file, whole or not at all, and returns its path, which a notebook shows as it.

    Args:
        sections: what to show, in order.
        out: the file, or a folder (existing, or with no suffix) that gets a `report.html`.
        title: heading and window title.
        summary: one paragraph under it.
        commands: what re-creates the report, to copy.
        facts: shown under the summary; None: `machine_facts()`.

    Raises:
        UsageError: the file cannot be written.
    """
    path = Path(out)
    if path.is_dir() or not path.suffix:
        path = path / "report.html"
    page = render_report(sections, title=title, summary=summary, commands=commands, facts=facts)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, page)
    except OSError as error:
        raise UsageError(
            f"cannot write {path}: {error.strerror or error}",
            expected="a place that can be written",
            hint="another --out",
        ) from error
    return ReportFile(path)


@dataclass(frozen=True)
class PageParts:
    """What a page has around its sections; that of a file by default.

    Attributes:
        policy: content security policy.
        footer: a sentence at the end.
        commands: what stands above the commands.
        css, js: more style and program, after the page's own.
        body: HTML above the sections; nothing in it is escaped.
    """

    policy: str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
    footer: str = "Made by Inscape. One file: nothing is loaded from anywhere."
    commands: str = "Commands that re-create this report"
    css: str = ""
    js: str = ""
    body: str = ""


def render_report(
    sections: Sequence[Section],
    *,
    title: str = "Inscape report",
    summary: str = "",
    commands: Sequence[str] = (),
    facts: Mapping[str, str] | None = None,
    parts: PageParts | None = None,
) -> str:
    """Returns the page as text; see `write_report`. `parts` are what a page has that is no file."""
    parts = parts or PageParts()
    payload: dict[str, list[JSON]] = {"curves": [], "players": []}
    bodies = [_section_html(section, index, payload) for index, section in enumerate(sections)]
    shown = machine_facts() if facts is None else facts
    values = {
        "title": _escape(title),
        "summary": f'<p class="lead">{_escape(summary)}</p>' if summary else "",
        "facts": _facts_html(shown) if shown else "",
        "commands": _commands_html(commands, parts.commands) if commands else "",
        "contents": "".join(f'<a href="#section-{i}">{_escape(s.title)}</a>' for i, s in enumerate(sections)),
        "sections": "\n".join([parts.body, *bodies]),
        "policy": parts.policy,
        "footer": _escape(parts.footer),
        "payload": _script_safe(payload),
        "palette": _palette_css(),
        "css": _part("page.css") + parts.css,
        "js": _part("page.js") + parts.js,
    }
    # one pass, so that what was filled in is never itself searched for tokens
    return re.sub(r"\{\{(\w+)\}\}", lambda match: values[match[1]], _part("page.html"))


def machine_facts() -> dict[str, str]:
    """Returns date, machine and versions as the header shows them; names neither the host nor the user."""
    versions = {name: version for name, version in installed_versions().items() if version != "not installed"}
    return {
        "made": datetime.now().astimezone().strftime("%-d %B %Y, %H:%M %Z"),
        "machine": f"{_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}",
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    match = re.search(r"^model name\s*:\s*(.+)$", info.read_text(), re.MULTILINE) if info.exists() else None
    return match[1].strip() if match else platform.processor() or "processor unknown"


def _part(name: str) -> str:
    return resources.files("inscape.experiments.report").joinpath(name).read_text(encoding="utf-8")


def _escape(text: object) -> str:
    return html.escape(str(text), quote=True)


def _script_safe(value: JSON) -> str:
    """Returns JSON that can stand in a <script>: nothing in it can end the element or start a comment."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _palette_css() -> str:
    light, dark = (
        "".join(f"--p-{name}:{value};" for name, value in palette.items()) for palette in (PALETTE, DARK_PALETTE)
    )
    return f":root{{{light}}}\n@media (prefers-color-scheme: dark){{:root{{{dark}}}}}"


def _facts_html(facts: Mapping[str, str]) -> str:
    items = "".join(f"<div><dt>{_escape(key)}</dt><dd>{_escape(value)}</dd></div>" for key, value in facts.items())
    return f'<dl class="facts">{items}</dl>'


def _commands_html(commands: Sequence[str], summary: str) -> str:
    return f'<details class="commands" open><summary>{_escape(summary)}</summary>{_lines_html(commands)}</details>'


def _lines_html(commands: Sequence[str]) -> str:
    """Returns commands to copy: long ones are folded on the page, and copied as one line each."""
    return f"<pre>{''.join(f'<code>{_escape(command)}</code>' for command in commands)}</pre>"


def _section_html(section: Section, index: int, payload: dict[str, list[JSON]]) -> str:
    if isinstance(section, TextSection):
        paragraphs = "".join(f"<p>{_escape(p.strip())}</p>" for p in section.text.split("\n\n") if p.strip())
        body = paragraphs + (_lines_html(section.commands) if section.commands else "")
    else:
        body = f'<p class="note">{_escape(section.note)}</p>' if section.note else ""
        if isinstance(section, TableSection):
            body += _table_html(section)
        elif isinstance(section, MapSection):
            body += map_html(section)
        elif isinstance(section, CurvesSection):
            body += f'<div data-curves="{len(payload["curves"])}"></div>'
            payload["curves"].append(pack_curves(section))
        else:
            body += f'<div data-player="{len(payload["players"])}"></div>'
            payload["players"].append(pack_player(section))
    return f'<section id="section-{index}"><h2>{_escape(section.title)}</h2>{body}</section>'


def _table_html(table: TableSection) -> str:
    columns = list(zip(*table.rows, strict=True)) if table.rows else [()] * len(table.columns)
    classes = [_column_class(column) for column in columns]
    decimals = [column_decimals([v for v in column if _is_number(v)]) for column in columns]
    head = "".join(
        f'<th class="{kind}" scope="col">{_escape(name)}</th>'
        for name, kind in zip(table.columns, classes, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(
            f'<td class="{kind}">{_cell_html(cell, shared, _scale(table, row, place), _row_color(row))}</td>'
            for place, (cell, kind, shared) in enumerate(zip(row, classes, decimals, strict=True))
        )
        + "</tr>"
        for row in table.rows
    )
    # what does not fit is scrolled to, by keys too; the page says so where it is so
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{_escape(table.title)}">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
        '<div class="hint">more to the right: scroll →</div>'
    )


def _is_number(cell: Cell) -> bool:
    return isinstance(cell, int | float) and not isinstance(cell, bool)


def _column_class(column: Sequence[Cell]) -> str:
    if any(isinstance(cell, Interval) for cell in column):
        return "interval"
    numbers = [_is_number(cell) for cell in column if cell is not None]
    return "number" if numbers and all(numbers) else "text"


def _scale(table: TableSection, row: Sequence[Cell], column: int) -> tuple[float, float]:
    """Returns the bounds of a whisker: those of the intervals that share its scale."""
    by = table.scale_by
    cells = [other[column] for other in table.rows if by is None or other[by] == row[by]]
    bounds = [b for cell in cells if isinstance(cell, Interval) for b in (cell.low, cell.high) if math.isfinite(b)]
    return (min(bounds), max(bounds)) if bounds else (0.0, 0.0)


def _row_color(row: Sequence[Cell]) -> int | None:
    return next((cell.color for cell in row if isinstance(cell, Label)), None)


def _cell_html(cell: Cell, decimals: int | None, scale: tuple[float, float], color: int | None) -> str:
    if isinstance(cell, Interval):
        shared = interval_decimals((cell.estimate, cell.low, cell.high))
        estimate, low, high = (number_text(v, shared) for v in (cell.estimate, cell.low, cell.high))
        return f"<span>{estimate} <small>[{low}, {high}]</small></span>{_whisker(cell, scale, color)}"
    if isinstance(cell, Label):
        return f'<i class="swatch" style="--c:{_color(cell.color)}"></i>{_escape(cell.text)}'
    if cell is None:
        return "–"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    return number_text(cell, decimals) if isinstance(cell, int | float) else _escape(cell)


NUM_COLORS = 8
"""Colours of curves in `page.css`; further ones are grey, told apart by their dashes."""


def _color(number: int) -> str:
    return f"var(--c{number})" if number < NUM_COLORS else "var(--soft)"


def _whisker(cell: Interval, scale: tuple[float, float], color: int | None) -> str:
    if not all(map(math.isfinite, (cell.estimate, cell.low, cell.high))) or scale[1] <= scale[0]:
        return ""
    low, middle, high = (
        100 * (min(max(v, scale[0]), scale[1]) - scale[0]) / (scale[1] - scale[0])
        for v in (cell.low, cell.estimate, cell.high)
    )
    style = "" if color is None else f' style="--c:{_color(color)}"'
    return (
        f'<svg class="whisker" viewBox="-4 0 108 14" aria-hidden="true"{style}>'
        f'<rect x="0" y="6.5" width="100" height="1"/><line x1="{low:.1f}" x2="{high:.1f}" y1="7" y2="7"/>'
        f'<circle cx="{middle:.1f}" cy="7" r="3.6"/></svg>'
    )
