"""Numbers printed elsewhere, each with its source; `docs/planning.md` lists them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.world_models.planning.published import decisions, games

ENTRIES = [*decisions.ENTRIES, *games.ENTRIES]
PAGE = Path(__file__).parents[3] / "docs" / "planning.md"


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: f"{entry.source.split('(')[0]}{entry.place}"[:60])
def test_what_is_printed_is_what_is_computed(entry):
    entry.check()


def test_the_page_counts_them():
    """Rows of the table are `source | place | number of numbers`; the line below the table counts all."""
    rows: dict[tuple[str, str], int] = {}
    for entry in ENTRIES:
        rows[entry.source, entry.place] = rows.get((entry.source, entry.place), 0) + entry.count
    table = "\n".join(f"| {source} | {place} | {count} |" for (source, place), count in rows.items())
    total = sum(rows.values())
    assert total >= 60
    page = PAGE.read_text()
    assert table in page, f"the table of docs/planning.md should be\n{table}"
    assert f"{total} printed numbers" in page, f"{total} printed numbers"
