import subprocess
import sys

import numpy as np
import pytest

from inscape.envs.rendering import rasterizer as rendering
from inscape.envs.rendering.fields import default_scene
from inscape.envs.rendering.rasterizer import Window, fitted, render_caption, render_label, render_scene, shrink
from inscape.envs.rendering.scene import (
    DARK_PALETTE,
    NUM_PLAYER_COLORS,
    PALETTE,
    Circle,
    Line,
    Polygon,
    Rect,
    Scene,
    Text,
    color_of,
    player_color,
)  # fmt: skip
from inscape.errors import UsageError

FLOOR = tuple(Rect(x, y, 1, 1, "ice" if (x + y) % 2 else "paper", "line", 0.02) for x in range(4) for y in range(4))


def scene_at(x: float, y: float, *more) -> Scene:
    agent = Circle(x + 0.5, y + 0.5, 0.3, "agent", "ink", 0.05, "moving")
    return Scene(4, 4, (*FLOOR, agent, *more))


def rgb(name: str) -> np.ndarray:
    return np.array([int(PALETTE[name][i : i + 2], 16) for i in (1, 3, 5)])


@pytest.mark.parametrize("width", [64, 200, 1000])
def test_shapes_fall_where_scene_units_say(width):
    frame = render_scene(scene_at(2, 1), width)
    assert frame.shape == (width, width, 3)
    assert frame.dtype == np.uint8
    cell = width // 4
    np.testing.assert_allclose(frame[cell + cell // 2, 2 * cell + cell // 2], rgb("agent"), atol=2)
    np.testing.assert_allclose(frame[cell + cell // 2, cell // 2], rgb("ice"), atol=2)
    np.testing.assert_allclose(frame[cell // 2, cell // 2], rgb("paper"), atol=2)


def test_incremental_drawing_equals_drawing_everything():
    """Two routes to a frame: static layer cached with regions repainted, and all shapes in one static layer."""
    extras = (
        Polygon(((0.2, 0.3), (1.1, 0.4), (0.6, 1.2)), "teal", "ink", 0.04, "moving"),
        Line(0.1, 3.7, 3.3, 2.2, "red", 0.1, "moving"),
        Rect(2.2, 2.9, 1.1, 0.7, "blue", "ink", 0.06, 0.2, "moving"),
        Text(3.0, 0.5, "Wy↑", 0.3, "ink", "end", "moving"),
    )
    for width in (64, 333, 700):
        moving = scene_at(1.3, 0.7, *extras)
        flat = Scene(4, 4, tuple(type(s)(**{**vars(s), "layer": "static"}) for s in moving.shapes))
        # Averaging a region or the whole may round differently, by one level.
        assert np.abs(render_scene(moving, width).astype(int) - render_scene(flat, width)).max() <= 1


def test_frames_do_not_remember_earlier_frames():
    before = render_scene(scene_at(0, 0), 100)
    render_scene(scene_at(3, 3), 100, ghosts=[(scene_at(1, 2), 0.5)])
    np.testing.assert_array_equal(render_scene(scene_at(0, 0), 100), before)


def test_ghosts_are_faded_and_lie_under_the_present():
    empty, here = render_scene(Scene(4, 4, FLOOR), 200), render_scene(scene_at(0, 0), 200)
    frame = render_scene(scene_at(0, 0), 200, ghosts=[(scene_at(2, 2), 0.25), (scene_at(0, 0), 0.9)])
    np.testing.assert_allclose(frame[125, 125], 0.75 * rgb("paper") + 0.25 * rgb("agent"), atol=3)
    np.testing.assert_array_equal(frame[25, 25], here[25, 25])
    np.testing.assert_array_equal(render_scene(scene_at(0, 0), 200, ghosts=[(scene_at(2, 2), 0.0)]), here)
    assert (frame[175, 175] == empty[175, 175]).all()


def test_text_is_hidden_when_it_could_not_be_read():
    scene = Scene(4, 4, (*FLOOR, Text(2, 2, "HEAVY", 0.5)))
    plain = Scene(4, 4, FLOOR)
    np.testing.assert_array_equal(render_scene(scene, 32), render_scene(plain, 32))
    assert (render_scene(scene, 200) != render_scene(plain, 200)).any()


def test_sizes_keep_proportions_and_fit_the_middle():
    wide = Scene(6, 3, (Rect(0, 0, 6, 3, "blue"),))
    assert render_scene(wide).shape == (256, 512, 3)
    assert render_scene(wide, 100).shape == (50, 100, 3)
    assert render_scene(wide, height=100).shape == (100, 200, 3)
    boxed = render_scene(wide, 100, 100)
    np.testing.assert_array_equal(boxed[50, 50], rgb("blue"))
    np.testing.assert_array_equal(boxed[5, 50], rgb("paper"))


def test_wrong_input_is_named():
    with pytest.raises(UsageError, match="0 pixels"):
        render_scene(scene_at(0, 0), 0)
    with pytest.raises(UsageError, match=r"unknown colour 'oragne'[\s\S]*orange"):
        render_scene(Scene(1, 1, (Rect(0, 0, 1, 1, "oragne"),)), 32)
    with pytest.raises(UsageError, match="scene of"):
        render_scene(Scene(0, 1), 32)


def test_colours_are_names_or_literals():
    assert color_of("goal") == PALETTE["goal"]
    assert color_of("#12aBcd") == "#12aBcd"
    assert PALETTE.keys() == DARK_PALETTE.keys()


def test_default_scene_shows_every_field():
    fields = {"theta": -0.2, "floor": 5, "open": True, "waiting": (0, 1, 3), "gone": float("nan")}
    scene = default_scene(fields, "Elevator")
    texts = {s.text for s in scene.shapes if isinstance(s, Text)}
    assert texts >= {"Elevator", "theta", "-0.2", "floor", "5", "open", "True", "waiting", "gone", "nan"}
    assert render_scene(scene, 64).shape[1] == 64
    for shape in scene.shapes:
        if isinstance(shape, Rect):
            assert 0 <= shape.x <= shape.x + shape.width <= scene.width
    # Only what depends on the values moves, so an episode paints the table once.
    other = default_scene({**fields, "theta": 0.7, "floor": 2, "open": False, "waiting": (2, 2, 2)}, "Elevator")
    assert scene.layer("static") == other.layer("static")


def test_caption_bar():
    bar = render_caption(["step 3", "right", "return 1.0"], 300)
    assert bar.shape == (28, 300, 3)
    assert bar.std() > 5
    assert render_caption(["a very long caption that does not fit"], 20).shape == (28, 20, 3)


def test_shrinking_averages_and_never_enlarges():
    frame = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    small = shrink(frame, 30)
    expected = frame.reshape(20, 2, 30, 2, 3).mean(axis=(1, 3))
    assert np.abs(small - expected).max() <= 2
    assert shrink(frame, 100) is frame


def test_window_without_a_display_and_after_quit(monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    window = Window(size=80)
    assert window.show(scene_at(0, 0, Text(1, 1, "A", 0.5)))
    rendering.load_pygame().quit()  # what any Gymnasium environment's close() does
    again = Window(size=120)
    assert again.show(scene_at(1, 0, Text(1, 1, "B", 0.5)))
    again.close()
    again.close()
    assert not again.show(scene_at(0, 0))


@pytest.mark.quick("environment0-dummy")
@pytest.mark.parametrize(
    ("environment", "expected"),
    [({}, "dummy"), ({"DISPLAY": ":9"}, ""), ({"SDL_VIDEODRIVER": "x11", "DISPLAY": ":9"}, "x11")],
)
def test_dummy_driver_only_without_a_display(environment, expected):
    if not sys.platform.startswith("linux"):
        pytest.skip("elsewhere a display is taken for granted")
    code = "import os, inscape.envs.rendering.rasterizer as r; r.load_pygame(); print(os.getenv('SDL_VIDEODRIVER', ''))"
    out = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert out.stdout.strip() == expected


def test_pygame_is_imported_lazily():
    code = "import sys, inscape.envs.rendering.rasterizer, inscape.envs.rendering.scene; print('pygame' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"


CODE = """
import logging, sys
logging.basicConfig(format="%(message)s")
from inscape.envs.rendering.fields import default_scene
from inscape.envs.rendering.rasterizer import Window, require_display
from inscape.envs.rendering.scene import Scene
from inscape.errors import UsageError
try:
    require_display("inscape play")
except UsageError as error:
    print("refused", str(error).splitlines()[0])
try:
    print(Window("a world", 64).show(Scene(1, 1)))
except UsageError as error:
    print(error)
"""


@pytest.mark.quick("environment1-out1-", "environment3-out3-")
@pytest.mark.parametrize(
    ("environment", "out", "said"),
    [
        ({}, ["refused inscape play needs a display", "True"], 'the window of "a world" cannot be seen'),
        ({"SDL_VIDEODRIVER": "dummy"}, ["True"], ""),
        ({"DISPLAY": ":77"}, ["no window can be opened", "xvfb-run"], ""),
        ({"SDL_VIDEODRIVER": "nonsense"}, ["no window can be opened", "SDL_VIDEODRIVER"], ""),
    ],
)
def test_windows_without_a_display_say_so(environment, out, said):
    if not sys.platform.startswith("linux"):
        pytest.skip("elsewhere a display is taken for granted")
    done = subprocess.run([sys.executable, "-c", CODE], env=environment, capture_output=True, text=True, check=True)
    for words in out:
        assert words in done.stdout
    assert said in done.stderr
    assert ("refused" in done.stdout) == (environment == {})


def test_players_have_colours_of_their_own():
    names = [player_color(k) for k in range(NUM_PLAYER_COLORS)]
    assert player_color(NUM_PLAYER_COLORS) == names[0]
    colours = np.array([rgb(name) for name in names]).astype(float)
    apart = np.linalg.norm(colours[:, None] - colours[None], axis=2) + 1000 * np.eye(len(names))
    assert apart.min() > 60


def test_line_widths_and_letters_grow_with_the_picture():
    """Readable at 64 and at 1,000 pixels: strokes keep at least most of a pixel, letters vanish before they smudge."""
    scene = Scene(4, 4, (Line(0, 2, 4, 2, "ink", 0.04), Text(2, 1, "E", 0.5)))
    dark = {width: (render_scene(scene, width).mean(axis=2) < 150) for width in (64, 250, 1000)}
    thickness = {
        width: seen[width // 2 - width // 25 : width // 2 + width // 25, 5].sum() for width, seen in dark.items()
    }
    assert thickness[1000] == pytest.approx(10, abs=1)
    assert thickness[64] in (1, 2)
    letter = {width: seen[: width // 2 - width // 20].any(axis=1).sum() / width for width, seen in dark.items()}
    assert letter[1000] == pytest.approx(0.125, abs=0.02)  # half a unit of four
    assert letter[250] == pytest.approx(0.125, abs=0.02)


@pytest.mark.parametrize("lines", [1, 2, 4])
@pytest.mark.parametrize("width", [48, 96, 160, 240, 480])
@pytest.mark.parametrize("last", ["return 5", "return −1\u202f234.5", "return " + "9 " * 30])
def test_captions_are_never_cut(width, lines, last):
    """The last text is there whole: another last letter gives another picture, and nothing touches the right edge."""
    words = ["step 123", "row 2 column 2", "reward −0.25", last]
    bar = render_caption(words, width, 20, lines)
    assert bar.shape == (20 * lines, width, 3)
    assert (bar[:, -2:] == bar[0, -1]).all()
    assert (bar != render_caption([*words[:-1], ""], width, 20, lines)).any()


@pytest.mark.parametrize(
    ("shape", "width", "expected"),
    [
        ((100, 150), 480, (320, 480)), ((210, 160), 480, (630, 480)), ((400, 600), 480, (320, 480)),
        ((84, 84), 84, (84, 84)), ((2, 2), 64, (64, 64)), ((3, 500), 100, (1, 100)), ((64, 64), 200, (200, 200)),
    ],
)  # fmt: skip
def test_frames_are_scaled_to_the_width_asked_for(shape, width, expected):
    frame = np.zeros((*shape, 3), np.uint8)
    frame[:, : shape[1] // 2] = 200
    scaled = fitted(frame, width)
    assert scaled.shape == (*expected, 3) and scaled.dtype == np.uint8
    if min(expected) > 20:  # left and right halves stay where they are
        middle = expected[1] // 2
        assert scaled[:, : middle - 4].min() >= 195 and scaled[:, middle + 4 :].max() <= 5  # averages are rounded


def test_small_pictures_are_enlarged_by_whole_pixels():
    frame = np.random.default_rng(0).integers(0, 255, (4, 5, 3), dtype=np.uint8)
    np.testing.assert_array_equal(fitted(frame, 20), np.repeat(np.repeat(frame, 4, 0), 4, 1))


@pytest.mark.parametrize("name", ["Chain", "MountainCarContinuous", "a name that is much too long for its tile", ""])
def test_labels_fit_their_tile(name):
    strip = render_label(name, 148, 20, 12)
    assert strip.shape == (20, 148, 3)
    assert (strip[:, :1] == 255).all() and (strip[:, -1:] == 255).all()
    assert (strip != 255).any() == bool(name)
