"""Sections to one HTML file. Everything that comes from outside is escaped; nothing is loaded from anywhere."""

from __future__ import annotations

import html
import json
import math
import os
import platform
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import Any

from inscape.envs.rendering.scene import DARK_PALETTE, PALETTE
from inscape.errors import UsageError
from inscape.experiments.report.file import ReportFile
from inscape.experiments.report.packing import pack_curves, pack_player
from inscape.experiments.report.sections import Cell, CurvesSection, Section, TableSection, TextSection
from inscape.experiments.runs.files import write_text
from inscape.experiments.runs.run import installed_versions
from inscape.experiments.runs.statistics import Interval

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


def render_report(
    sections: Sequence[Section],
    *,
    title: str = "Inscape report",
    summary: str = "",
    commands: Sequence[str] = (),
    facts: Mapping[str, str] | None = None,
) -> str:
    """Returns the page as text; see `write_report`."""
    payload: dict[str, list[JSON]] = {"curves": [], "players": []}
    bodies = [_section_html(section, index, payload) for index, section in enumerate(sections)]
    shown = machine_facts() if facts is None else facts
    values = {
        "title": _escape(title),
        "summary": f'<p class="lead">{_escape(summary)}</p>' if summary else "",
        "facts": _facts_html(shown) if shown else "",
        "commands": _commands_html(commands, "Commands that re-create this report") if commands else "",
        "contents": "".join(f'<a href="#section-{i}">{_escape(s.title)}</a>' for i, s in enumerate(sections)),
        "sections": "\n".join(bodies),
        "payload": _script_safe(payload),
        "palette": _palette_css(),
        "css": _part("page.css"),
        "js": _part("page.js"),
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
    lines = "\n".join(_escape(command) for command in commands)
    return f'<details class="commands" open><summary>{_escape(summary)}</summary><pre>{lines}</pre></details>'


def _section_html(section: Section, index: int, payload: dict[str, list[JSON]]) -> str:
    if isinstance(section, TextSection):
        paragraphs = "".join(f"<p>{_escape(p.strip())}</p>" for p in section.text.split("\n\n") if p.strip())
        pre = f"<pre>{chr(10).join(_escape(c) for c in section.commands)}</pre>" if section.commands else ""
        body = paragraphs + pre
    else:
        body = f'<p class="note">{_escape(section.note)}</p>' if section.note else ""
        if isinstance(section, TableSection):
            body += _table_html(section)
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
    scales = [_column_scale(column) for column in columns]
    head = "".join(
        f'<th class="{kind}">{_escape(name)}</th>' for name, kind in zip(table.columns, classes, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(
            f'<td class="{kind}">{_cell_html(cell, scale)}</td>'
            for cell, kind, scale in zip(row, classes, scales, strict=True)
        )
        + "</tr>"
        for row in table.rows
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _column_class(column: Sequence[Cell]) -> str:
    if any(isinstance(cell, Interval) for cell in column):
        return "interval"
    numbers = [isinstance(cell, int | float) and not isinstance(cell, bool) for cell in column if cell is not None]
    return "number" if numbers and all(numbers) else "text"


def _column_scale(column: Sequence[Cell]) -> tuple[float, float]:
    bounds = [b for cell in column if isinstance(cell, Interval) for b in (cell.low, cell.high) if math.isfinite(b)]
    return (min(bounds), max(bounds)) if bounds else (0.0, 0.0)


def _cell_html(cell: Cell, scale: tuple[float, float]) -> str:
    if isinstance(cell, Interval):
        bounds = f"<small>[{_number_text(cell.low)}, {_number_text(cell.high)}]</small>"
        return f"<span>{_number_text(cell.estimate)} {bounds}</span>{_whisker(cell, scale)}"
    if cell is None:
        return "–"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    return _number_text(cell) if isinstance(cell, int | float) else _escape(cell)


def _number_text(value: float) -> str:
    if not math.isfinite(value):
        return "–" if math.isnan(value) else "∞" if value > 0 else "−∞"
    if float(value).is_integer() and abs(value) < 1e15:
        text = f"{int(value):,}".replace(",", "\u202f")
    else:
        text = f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}".replace(",", "\u202f")
    return text.replace("-", "−")


def _whisker(cell: Interval, scale: tuple[float, float]) -> str:
    if not all(map(math.isfinite, (cell.estimate, cell.low, cell.high))) or scale[1] <= scale[0]:
        return ""
    low, middle, high = (
        100 * (min(max(v, scale[0]), scale[1]) - scale[0]) / (scale[1] - scale[0])
        for v in (cell.low, cell.estimate, cell.high)
    )
    return (
        '<svg class="whisker" viewBox="-4 0 108 14" aria-hidden="true">'
        f'<rect x="0" y="6.5" width="100" height="1"/><line x1="{low:.1f}" x2="{high:.1f}" y1="7" y2="7"/>'
        f'<circle cx="{middle:.1f}" cy="7" r="3.6"/></svg>'
    )
