"""The report of minds fitted to choices: models held out, minds, numbers, kinds of people, participants."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inscape.experiments.report.file import ReportFile
from inscape.experiments.report.page import write_report
from inscape.experiments.report.sections import Section, TableSection
from inscape.theory_of_mind.minds import name_of

if TYPE_CHECKING:
    from inscape.experiments.verbs.fit import Fitted

MOST_ROWS = 200


def write_fit_report(out: Path, fitted: Fitted, commands: Sequence[str] = ()) -> ReportFile:
    """Writes the report of a fit, and returns its path.

    Args:
        out: the file, or a folder.
        fitted: what `inscape.fit` returned.
        commands: what makes the report again.

    Raises:
        UsageError: the file cannot be written.
    """
    fit, choices = fitted.fit, fitted.choices
    sections: list[Section] = []
    if fitted.comparison is not None:
        note = "Bits per choice on choices held out; low and high are a paired bootstrap interval of the difference."
        sections.append(_table("Models", fitted.comparison.rows(), note))
    sections.append(_table("Minds", fitted.minds(), "How common each mind is among the participants."))
    if fitted.refined is not None:
        rows = [
            {"number": name, "estimate": e.value, "standard error": e.standard_error, "low": e.low, "high": e.high}
            for name, e in fitted.refined.estimates.items()
        ]
        sections.append(_table("Numbers fitted to all choices", rows, f"Of the mind {name_of(fit.best)}."))
    if (mixture := fitted.mixture) is not None:
        rows = [
            {
                "kind": k + 1,
                "share": float(share),
                "mind": name_of(mind),
                "participants": len(mixture.members(k)),
            }
            for k, (share, mind) in enumerate(zip(mixture.shares, mixture.mind_of_kind))
        ]
        sections.append(_table("Kinds of people", rows, ""))
    sections.append(_table("Participants", fitted.people(), ""))
    world = ", ".join(dict.fromkeys(world.name for world in choices.worlds))
    summary = (
        f"{len(choices):,} choices of {len(choices.participants)} participants. Best for all: {name_of(fit.best)}, "
        f"{fit.bits_per_choice:.3f} bits per choice; minds that differ {fit.population_bits_per_choice:.3f}; a uniform "
        f"guess {fit.uniform_bits_per_choice:.3f}."
    )
    return write_report(sections, out, title=f"Minds fitted to choices in {world}", summary=summary, commands=commands)


def _table(title: str, rows: Sequence[Mapping[str, Any]], note: str) -> TableSection:
    shown = [tuple(_cell(value) for value in row.values()) for row in rows[:MOST_ROWS]]
    more = f" {len(rows) - MOST_ROWS:,} more are not shown." if len(rows) > MOST_ROWS else ""
    return TableSection(title, tuple(rows[0]), tuple(shown), note + more)


def _cell(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
