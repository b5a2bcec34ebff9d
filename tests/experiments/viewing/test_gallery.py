import numpy as np
import pytest

from inscape.envs.catalogue import FAMILIES
from inscape.envs.registry import make_world
from inscape.envs.rendering.scene import Circle, Rect, Scene
from inscape.errors import UsageError
from inscape.experiments.cli import main
from inscape.experiments.viewing.gallery import (
    GAP,
    NAME_HEIGHT,
    TILE_HEIGHT,
    TILE_WIDTH,
    docstring_sections,
    sample_scene,
    save_contact_sheet,
    worlds_listed,
    write_gallery,
)
from tests.conftest import ROOT

PAGE = ROOT / "docs" / "worlds.md"
REGISTERED = [spec.name for specs in FAMILIES.values() for spec in specs]


def test_the_page_lists_every_registered_world_in_order():
    assert worlds_listed(PAGE.read_text(encoding="utf-8")) == REGISTERED, "run: make gallery"


def test_every_picture_of_the_page_is_there_and_small():
    pictures = PAGE.with_suffix("")
    assert sorted(file.stem for file in pictures.glob("*.png")) == sorted(REGISTERED)
    for file in pictures.glob("*.png"):
        assert file.stat().st_size < 12_000, file.name


@pytest.mark.slow
def test_the_same_catalogue_gives_the_same_page(tmp_path):
    import imageio.v3 as iio

    families = {family: specs[:2] for family, specs in FAMILIES.items() if family in ("Grids", "Control")}
    for folder in ("a", "b"):
        assert write_gallery(tmp_path / folder / "worlds.md", families) == 4
    files = [sorted(p.relative_to(tmp_path / f) for p in (tmp_path / f).rglob("*.*")) for f in ("a", "b")]
    assert files[0] == files[1]
    assert len(files[0]) == 6  # a page, four pictures and the sheet of them
    for file in files[0]:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    assert max(iio.imread(tmp_path / "a" / "worlds" / "CartPole.png").shape) <= 200
    page = (tmp_path / "a" / "worlds.md").read_text(encoding="utf-8")
    assert "| `slip` | `0.2` | probability in [0, 1] that a move on ice goes astray. |" in page
    assert "`inscape/CartPole-v0`" in page
    assert "**States**: 16" in page
    assert "as [GridWorld](#gridworld), with `map='4x4'`" in page


@pytest.mark.parametrize("name", REGISTERED)
def test_every_world_can_be_drawn_some_steps_in(name):
    """Also a check of every drawing: shapes with finite places and known colours."""
    from inscape.envs.rendering.rasterizer import render_scene

    scene = sample_scene(make_world(name), name)
    frame = render_scene(scene, 64) if scene.width >= scene.height else render_scene(scene, None, 64)
    assert frame.std() > 3
    assert np.isfinite([scene.width, scene.height]).all()
    assert sample_scene(make_world(name), name) == scene


DOCSTRING = """One line.

Actions: `left` (0)
    or `right`.
End: never: not at all.

A paragraph, no section: it has too many words.

Source: Me.
"""


def test_sections_of_a_docstring():
    assert docstring_sections(DOCSTRING) == {
        "Actions": "`left` (0) or `right`.", "End": "never: not at all.", "Source": "Me.",
    }  # fmt: skip


def test_wrong_places_are_refused(tmp_path, capsys):
    with pytest.raises(UsageError, match=r"ending in \.md"):
        write_gallery(tmp_path / "worlds.html")
    (tmp_path / "file").touch()
    assert main(["list", "--gallery", str(tmp_path / "file" / "worlds.md")]) == 2
    assert "cannot write" in capsys.readouterr().err


@pytest.mark.quick("5-5-1", "6-6-1")
@pytest.mark.parametrize(
    ("count", "columns", "rows"),
    [
        pytest.param(48, 8, 6, marks=pytest.mark.slow),
        pytest.param(49, 7, 7, marks=pytest.mark.slow),
        pytest.param(50, 10, 5, marks=pytest.mark.slow),
        (1, 1, 1),
        (5, 5, 1),
        (6, 6, 1),
        (14, 7, 2),
        (36, 9, 4),
        pytest.param(60, 10, 6, marks=pytest.mark.slow),
        pytest.param(47, 8, 6, marks=pytest.mark.slow),
    ],
)
def test_the_sheet_has_equal_tiles_with_names_and_no_empty_cell(tmp_path, count, columns, rows):
    """Each tile is filled in one direction at least, whatever margins its drawing has."""
    import imageio.v3 as iio

    scenes = {}
    for k in range(count):
        size = (4.0, 2.0, 1.0)[k % 3]
        scenes[f"World{k}"] = Scene(
            size, 1.5, (Rect(0, 0, size, 1.5, fill="paper"), Circle(size / 2, 0.6, 0.2, fill="red"))
        )
    save_contact_sheet(tmp_path / "sheet.png", scenes)
    sheet = iio.imread(tmp_path / "sheet.png")[..., :3].astype(int)
    wide, high = TILE_WIDTH + GAP, TILE_HEIGHT + NAME_HEIGHT + GAP
    assert sheet.shape[:2] == (rows * high + GAP, columns * wide + GAP)
    for number in range(count):
        row, column = divmod(number, columns)
        shift = (columns * rows - count) * wide // 2 if row == rows - 1 else 0
        top, left = GAP + row * high, GAP + column * wide + shift
        tile = sheet[top : top + TILE_HEIGHT, left : left + TILE_WIDTH]
        red = (tile[..., 0] > 200) & (tile[..., 1] < 120)
        assert np.ptp(np.flatnonzero(red.any(axis=1))) >= TILE_HEIGHT - 12
        name = sheet[top + TILE_HEIGHT : top + TILE_HEIGHT + NAME_HEIGHT, left : left + TILE_WIDTH]
        assert (name < 128).any()
