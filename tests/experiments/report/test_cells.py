"""Charts and players as cells of a notebook: within a frame, escaped, or saved as a page."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from inscape import UsageError, make_world, rollout
from inscape.experiments import Curve, CurvesSection, TableSection, cell, player
from inscape.experiments.report.cells import BARE


class Frames(HTMLParser):
    """Reads the pages within the frames of a cell."""

    def __init__(self, shown: str) -> None:
        super().__init__()
        self.pages: list[str] = []
        self.tags: list[str] = []
        self.feed(shown)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "iframe":
            given = dict(attributes)
            assert given["sandbox"] == "allow-scripts"
            self.pages.append(given["srcdoc"] or "")


def test_episodes_are_played_in_a_frame() -> None:
    world = make_world("FrozenLake")
    episodes = rollout("random", world, episodes=2, seed=0)
    played = player(world, episodes, height=300)
    shown = Frames(played._repr_html_())
    assert "script" not in shown.tags and len(shown.pages) == 1
    assert "data-player" in shown.pages[0] and "height:300px" in played._repr_html_()
    assert len(played.sections[0].episodes) == 2  # type: ignore[union-attr]
    assert [len(e.frames) for e in played.sections[0].episodes] == [len(t) + 1 for t in episodes]  # type: ignore[union-attr]
    assert player(world, episodes[0]).sections[0].episodes == played.sections[0].episodes[:1]  # type: ignore[union-attr]


def test_sections_are_shown_and_saved_as_they_are(tmp_path: Path) -> None:
    curves = CurvesSection("Learning <i>", (Curve("mine", steps=[0, 10], mean=[0.0, 1.0]),))
    shown = cell(curves, TableSection("Numbers", ("a",), ((1.5,),)))
    (page,) = Frames(shown._repr_html_()).pages
    assert "Learning &lt;i&gt;" in page and "<i>" not in page.split("<main")[-1].split("<script")[0]
    assert repr(shown) == "Shown(Learning <i>, Numbers)"
    assert shown.save(tmp_path / "curve.html").read_text(encoding="utf-8") == page.replace(BARE, "")


@pytest.mark.parametrize(
    ("given", "says"), [((), "no section"), (("text",), "str among the sections"), ((3,), "expected: CurvesSection")]
)
def test_what_cannot_be_shown_is_refused(given: tuple[Any, ...], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        cell(*given)


def test_no_episode_is_refused() -> None:
    with pytest.raises(UsageError, match="no episode to play"):
        player(make_world("FrozenLake"), [])
