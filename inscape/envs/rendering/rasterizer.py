"""Scenes to pixels with pygame: arrays for videos, a window for people.

Shapes are drawn enlarged and averaged down (antialiasing). The static layer is drawn once and kept; a frame costs one
copy of it plus the regions its moving shapes touch, so that a frame's price depends on what moves, not on its size.
Nothing here changes a state, and pygame is imported when the first pixel is asked for.
"""

from __future__ import annotations

import functools
import importlib.util
import logging
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from inscape.envs.rendering.scene import Circle, Line, Polygon, Rect, Scene, Shape, Text, color_of
from inscape.errors import UsageError

Ghosts = Sequence[tuple[Scene, float]]
Box = tuple[int, int, int, int]
"""Left, top, right, bottom in output pixels; right and bottom excluded."""

MIN_CAPITAL_PIXELS = 5.0
"""Text whose capitals would be lower than this is left out: it could not be read."""

MIN_STROKE_PIXELS = 0.8
"""Thinner strokes are widened to this, so that small pictures keep their lines."""

CAPITAL_HEIGHT = 0.73
"""Height of a capital of the font, in ems."""

_ANCHOR = {"start": 0.0, "middle": 0.5, "end": 1.0}  # the part of a text that lies left of its anchor


INVISIBLE = ("dummy", "offscreen")
"""SDL's video drivers that show nothing."""

_invisible: list[str] = []
"""Holds an entry once this module, and not the user, has chosen the driver that shows nothing."""


def require_display(reader: str) -> None:
    """Checks that a person could see a window, or that the user has set SDL's driver.

    Raises:
        UsageError: no display.
    """
    chosen_by_user = "SDL_VIDEODRIVER" in os.environ and not _invisible
    if not has_display() and not chosen_by_user:
        raise UsageError(
            f"{reader} needs a display to open its window on, and there is none (DISPLAY is not set)",
            expected="a screen, or a virtual one",
            hint=f"xvfb-run {reader} …, ssh -X, or without a person: inscape watch AGENT WORLD --save episode.mp4",
        )


def has_display() -> bool:
    """Whether a window would be seen: by SDL's driver if set, else (on Linux) by a display server's name."""
    driver = os.environ.get("SDL_VIDEODRIVER")
    if driver:
        return driver not in INVISIBLE
    if sys.platform.startswith("linux"):
        return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    return True


def load_pygame() -> Any:
    """Returns pygame with fonts ready; without a display, SDL's dummy video driver is chosen first."""
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    if not has_display() and "SDL_VIDEODRIVER" not in os.environ:
        os.environ["SDL_VIDEODRIVER"] = "dummy"
        _invisible.append("chosen here")
    import pygame

    if not pygame.font.get_init():
        pygame.font.init()
    return pygame


def render_scene(scene: Scene, width: int | None = None, height: int | None = None, ghosts: Ghosts = ()) -> np.ndarray:
    """Returns the scene as pixels.

    Args:
        scene: what to draw.
        width: pixels; with neither width nor height, 512 for the longer side.
        height: pixels. Given one of the two, the other follows the scene's proportions; given both, the scene is
            fitted into the middle.
        ghosts: `(scene, opacity)` pairs with opacity in [0, 1]; their moving shapes (but text) are painted faded,
            first to last, underneath the moving shapes of `scene`.

    Returns:
        `[height, width, 3]` uint8, a fresh array.

    Raises:
        UsageError: a size that is not positive, or an unknown colour.
    """
    size = pixel_size(scene, width, height)
    return _to_array(_paint(scene, size, ghosts))


def pixel_size(scene: Scene, width: int | None = None, height: int | None = None) -> tuple[int, int]:
    """Returns `(width, height)` in pixels for a scene, keeping its proportions where one of them is None."""
    if not (scene.width > 0 and scene.height > 0):
        raise UsageError(f"a scene of {scene.width} × {scene.height}", expected="positive width and height")
    for name, value in (("width", width), ("height", height)):
        if value is not None and value < 1:
            raise UsageError(f"{name} of {value} pixels", expected="at least 1")
    if width is None and height is None:
        scale = 512 / max(scene.width, scene.height)
        width, height = round(scene.width * scale), round(scene.height * scale)
    elif height is None:
        assert width is not None
        height = round(width * scene.height / scene.width)
    elif width is None:
        width = round(height * scene.width / scene.height)
    return max(1, width), max(1, height)


# ---------------------------------------------------------------------------------------------- painting


class _View:
    """Where scene units fall in pixels: `scale` pixels per unit, centred; drawn `factor` times larger."""

    def __init__(self, scene: Scene, size: tuple[int, int]) -> None:
        self.size = size
        self.scale = min(size[0] / scene.width, size[1] / scene.height)
        self.left = (size[0] - self.scale * scene.width) / 2
        self.top = (size[1] - self.scale * scene.height) / 2
        # Small pictures need finer averaging, large ones would cost memory for nothing.
        self.factor = 4 if max(size) <= 320 else 2

    def clip(self, box: tuple[float, float, float, float]) -> Box | None:
        """Returns the whole pixels that a box in scene units touches, with a margin; None if outside the picture."""
        left = max(0, math.floor(box[0] * self.scale + self.left) - 2)
        top = max(0, math.floor(box[1] * self.scale + self.top) - 2)
        right = min(self.size[0], math.ceil(box[2] * self.scale + self.left) + 2)
        bottom = min(self.size[1], math.ceil(box[3] * self.scale + self.top) + 2)
        return (left, top, right, bottom) if left < right and top < bottom else None


def _paint(scene: Scene, size: tuple[int, int], ghosts: Ghosts) -> Any:
    """Returns a fresh pygame Surface of the scene."""
    load_pygame()
    view = _View(scene, size)
    large, small = _static_layer(scene.layer("static"), (scene.width, scene.height), size)
    layers = [(_ghost_shapes(ghost), max(0.0, min(1.0, opacity))) for ghost, opacity in ghosts]
    layers.append((scene.layer("moving"), 1.0))
    picture = small.copy()
    for region in _regions(layers, view):
        picture.blit(_paint_region(large, region, layers, view), region[:2])
    return picture


def _ghost_shapes(scene: Scene) -> tuple[Shape, ...]:
    """Returns what is painted of an imagined state: moving shapes but text, which nobody can read over text."""
    return tuple(shape for shape in scene.layer("moving") if not isinstance(shape, Text))


@functools.lru_cache(maxsize=8)
def _static_layer(shapes: tuple[Shape, ...], extent: tuple[float, float], size: tuple[int, int]) -> tuple[Any, Any]:
    """Returns the static layer enlarged (what moving shapes are painted on) and averaged down (what is copied)."""
    pygame = load_pygame()
    view = _View(Scene(*extent), size)
    large = pygame.Surface((size[0] * view.factor, size[1] * view.factor), 0, 32)
    large.fill(color_of("paper"))
    _draw_shapes(large, shapes, view, (0, 0))
    return large, pygame.transform.smoothscale(large, size)


def _regions(layers: Sequence[tuple[tuple[Shape, ...], float]], view: _View) -> list[Box]:
    """Returns disjoint pixel boxes that cover every moving shape."""
    boxes: list[Box] = []
    for shapes, _ in layers:
        for shape in shapes:
            box = view.clip(_bounds(shape, view))
            while box is not None:  # swallow what it overlaps until it overlaps nothing
                hit = next((other for other in boxes if _overlap(box, other)), None)
                if hit is None:
                    boxes.append(box)
                    break
                boxes.remove(hit)
                box = (min(box[0], hit[0]), min(box[1], hit[1]), max(box[2], hit[2]), max(box[3], hit[3]))
    return boxes


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _paint_region(large: Any, region: Box, layers: Sequence[tuple[tuple[Shape, ...], float]], view: _View) -> Any:
    """Returns one region with its moving shapes on the static layer, averaged down."""
    pygame = load_pygame()
    left, top, right, bottom = (view.factor * edge for edge in region)
    canvas = large.subsurface((left, top, right - left, bottom - top)).copy()
    for shapes, opacity in layers:
        if opacity == 1.0:
            _draw_shapes(canvas, shapes, view, (left, top))
        elif opacity > 0.0:  # one sheet per ghost, so that its own overlapping shapes do not show through each other
            sheet = pygame.Surface(canvas.get_size(), pygame.SRCALPHA, 32)
            _draw_shapes(sheet, shapes, view, (left, top))
            sheet.set_alpha(round(255 * opacity))
            canvas.blit(sheet, (0, 0))
    return pygame.transform.smoothscale(canvas, (region[2] - region[0], region[3] - region[1]))


def _bounds(shape: Shape, view: _View) -> tuple[float, float, float, float]:
    """Returns left, top, right, bottom of a shape in scene units, its stroke included."""
    if isinstance(shape, Text):
        size = _font_pixels(shape.size * view.scale)
        if size == 0:
            return shape.x, shape.y, shape.x, shape.y
        glyphs = _glyphs(shape.text, size * view.factor, color_of(shape.fill))
        width, height = (pixels / view.factor / view.scale for pixels in glyphs.get_size())
        left = shape.x - _ANCHOR[shape.anchor] * width
        return left, shape.y - height / 2, left + width, shape.y + height / 2
    pad = max(shape.line_width, MIN_STROKE_PIXELS / view.scale)
    if isinstance(shape, Rect):
        return shape.x - pad, shape.y - pad, shape.x + shape.width + pad, shape.y + shape.height + pad
    if isinstance(shape, Circle):
        reach = shape.radius + pad
        return shape.x - reach, shape.y - reach, shape.x + reach, shape.y + reach
    points = ((shape.x1, shape.y1), (shape.x2, shape.y2)) if isinstance(shape, Line) else shape.points
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return min(xs) - pad, min(ys) - pad, max(xs) + pad, max(ys) + pad


# ------------------------------------------------------------------------------------------------ shapes


def _draw_shapes(surface: Any, shapes: Sequence[Shape], view: _View, corner: tuple[int, int]) -> None:
    """Draws shapes on an enlarged surface whose top left pixel is at `corner` of the enlarged picture."""
    scale = view.scale * view.factor
    dx, dy = view.left * view.factor - corner[0], view.top * view.factor - corner[1]
    for shape in shapes:
        if isinstance(shape, Text):
            _draw_text(surface, shape, view, (shape.x * scale + dx, shape.y * scale + dy))
            continue
        stroke = max(shape.line_width * scale, MIN_STROKE_PIXELS * view.factor)
        if isinstance(shape, Rect):
            box = (shape.x * scale + dx, shape.y * scale + dy, shape.width * scale, shape.height * scale)
            _draw_rect(surface, shape, box, shape.radius * scale, stroke)
        elif isinstance(shape, Circle):
            _draw_circle(surface, shape, (shape.x * scale + dx, shape.y * scale + dy), shape.radius * scale, stroke)
        elif isinstance(shape, Line):
            ends = [(shape.x1 * scale + dx, shape.y1 * scale + dy), (shape.x2 * scale + dx, shape.y2 * scale + dy)]
            _draw_segment(surface, ends[0], ends[1], stroke, color_of(shape.stroke))
        else:
            _draw_polygon(surface, shape, [(x * scale + dx, y * scale + dy) for x, y in shape.points], stroke)


def _draw_rect(surface: Any, shape: Rect, box: tuple[float, float, float, float], radius: float, stroke: float) -> None:
    draw = load_pygame().draw
    left, top = round(box[0]), round(box[1])
    right, bottom = round(box[0] + box[2]), round(box[1] + box[3])
    if shape.fill is not None and right > left and bottom > top:
        size = (left, top, right - left, bottom - top)
        draw.rect(surface, color_of(shape.fill), size, border_radius=round(radius))
    if shape.stroke is not None:  # centred on the edge, as in SVG
        half, width = stroke / 2, max(1, round(stroke))
        outer = (round(box[0] - half), round(box[1] - half), round(box[2] + stroke), round(box[3] + stroke))
        corner = round(radius + half) if radius > 0 else 0
        draw.rect(surface, color_of(shape.stroke), outer, width=width, border_radius=corner)


def _draw_circle(surface: Any, shape: Circle, center: tuple[float, float], radius: float, stroke: float) -> None:
    draw = load_pygame().draw
    if shape.fill is not None:
        draw.circle(surface, color_of(shape.fill), center, radius)
    if shape.stroke is not None:
        draw.circle(surface, color_of(shape.stroke), center, radius + stroke / 2, width=max(1, round(stroke)))


def _draw_polygon(surface: Any, shape: Polygon, points: list[tuple[float, float]], stroke: float) -> None:
    if shape.fill is not None and len(points) > 2:
        load_pygame().draw.polygon(surface, color_of(shape.fill), points)
    if shape.stroke is not None:
        for start, end in zip(points, points[1:] + points[:1], strict=True):
            _draw_segment(surface, start, end, stroke, color_of(shape.stroke))


def _draw_segment(surface: Any, start: tuple[float, float], end: tuple[float, float], width: float, color: str) -> None:
    """Draws a line with round ends; pygame's own thick lines have ends cut along the axes."""
    draw = load_pygame().draw
    dx, dy = end[0] - start[0], end[1] - start[1]
    length = math.hypot(dx, dy)
    half = width / 2
    if length > 0:
        px, py = -dy / length * half, dx / length * half
        corners = [(start[0] + px, start[1] + py), (end[0] + px, end[1] + py)]
        corners += [(end[0] - px, end[1] - py), (start[0] - px, start[1] - py)]
        draw.polygon(surface, color, corners)
    if half >= 1.5:
        draw.circle(surface, color, start, half)
        draw.circle(surface, color, end, half)


def _draw_text(surface: Any, shape: Text, view: _View, at: tuple[float, float]) -> None:
    size = _font_pixels(shape.size * view.scale)
    if size == 0:
        return
    glyphs = _glyphs(shape.text, size * view.factor, color_of(shape.fill))
    width, height = glyphs.get_size()
    left = at[0] - _ANCHOR[shape.anchor] * width
    surface.blit(glyphs, (round(left), round(at[1] - height / 2)))


def _font_pixels(capital: float) -> int:
    """Returns the font size in pixels for capitals of that many pixels; 0 where they could not be read."""
    return round(capital / CAPITAL_HEIGHT) if capital >= MIN_CAPITAL_PIXELS else 0


@functools.lru_cache(maxsize=4096)
def _glyphs(text: str, size: int, color: str) -> Any:
    """Returns a Surface of the text."""
    pygame = load_pygame()
    words = text.replace("\x00", "")
    try:
        return _font(size).render(words, True, color)
    except pygame.error:  # `pygame.quit` was called since: fonts die of it, surfaces do not
        _font.cache_clear()
        return _font(size).render(words, True, color)


@functools.lru_cache(maxsize=64)
def _font(size: int) -> Any:
    return load_pygame().font.Font(_font_file(), size)


@functools.cache
def _font_file() -> str | None:
    """Returns matplotlib's DejaVu Sans (arrows, Greek, stars), or None for pygame's own font."""
    spec = importlib.util.find_spec("matplotlib")  # locates the package without importing it
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
        if path.exists():
            return str(path)
    return None


def _to_array(surface: Any) -> np.ndarray:
    width, height = surface.get_size()
    out = np.empty((height, width, 3), np.uint8)
    pixels = np.frombuffer(surface.get_view("0"), np.uint8).reshape(height, -1, 4)[:, :width]
    for channel, shift in enumerate(surface.get_shifts()[:3]):  # little-endian: a shift of 8 bits is one byte
        out[..., channel] = pixels[..., shift // 8]
    return out


# ------------------------------------------------------------------------------------ captions and windows


def render_caption(words: Sequence[str], width: int, height: int = 28, lines: int = 1) -> np.ndarray:
    """Returns a bar of short texts, `[lines·height, width, 3]` uint8, as many in each line.

    Nothing is cut: a line wider than the bar is written smaller.

    Args:
        words: texts from left to right, the first one bright, the others muted.
        width: pixels.
        height: pixels of a line.
        lines: how many.
    """
    pygame = load_pygame()
    bar = pygame.Surface((width, height * lines), 0, 32)
    bar.fill(color_of("ink"))
    size, margin, gap = max(8, round(height * 0.5)), round(height * 0.4), round(height * 0.6)
    glyphs = [_glyphs(word, size, color_of("line" if index else "paper")) for index, word in enumerate(words)]
    each = -(-len(words) // lines)
    for row in range(lines):
        line = [
            text for text in glyphs[row * each : (row + 1) * each] if text.get_width()
        ]  # pygame scales no empty one
        wide = sum(text.get_width() for text in line) + gap * max(0, len(line) - 1)
        scale = min(1.0, max(1, width - 2 * margin) / max(1, wide))
        x = float(margin)
        for text in line:
            if scale < 1.0:
                small = [max(1, int(side * scale)) for side in text.get_size()]
                text = pygame.transform.smoothscale(text, small)
            bar.blit(text, (round(x), row * height + (height - text.get_height()) // 2))
            x += text.get_width() + gap * scale
    return _to_array(bar)


def render_label(text: str, width: int, height: int, size: int) -> np.ndarray:
    """Returns a text in the middle of a white strip, `[height, width, 3]` uint8, written smaller where it is too wide.

    Args:
        text: one line.
        width, height: pixels of the strip.
        size: pixels of the font.
    """
    pygame = load_pygame()
    strip = pygame.Surface((width, height), 0, 32)
    strip.fill("white")
    while size > 6 and _glyphs(text, size, color_of("ink")).get_width() > width:
        size -= 1
    draw_text(strip, text, width / 2, height / 2, size, "ink", width, centred=True)
    return _to_array(strip)


def draw_text(
    surface: Any,
    text: str,
    x: float,
    middle: float,
    size: int,
    color: str,
    width: float,
    *,
    bold: bool = False,
    centred: bool = False,
) -> None:
    """Draws one line of text on a pygame Surface, from `x` (or around it), cut to `width` pixels."""
    glyphs = _glyphs(text, size, color_of(color))
    if glyphs.get_width() > width and not centred:
        glyphs = glyphs.subsurface((0, 0, max(1, int(width)), glyphs.get_height()))
    left = round(x - glyphs.get_width() / 2 if centred else x)
    top = round(middle - glyphs.get_height() / 2)
    surface.blit(glyphs, (left, top))
    if bold:
        surface.blit(glyphs, (left + 1, top))


def as_picture(frame: Any, source: str) -> np.ndarray:
    """Returns what an environment drew as `[H, W, 3]` uint8.

    Taken are uint8 and other whole numbers from 0 to 255, and floats from 0 to 1; with three channels, with a fourth
    that says how opaque a pixel is (over white), or grey, `[H, W]` or `[H, W, 1]`.

    Args:
        frame: what `render` returned.
        source: who drew it, for messages.

    Raises:
        UsageError: it is no such picture; the message has its shape, dtype and range.
    """
    array = frame if isinstance(frame, np.ndarray) else None
    if array is None or array.size == 0 or array.dtype.kind not in "buif" or not _is_image_shape(array.shape):
        what = type(frame).__name__ if array is None else f"an array of shape {array.shape}, {array.dtype}"
        raise UsageError(
            f"{source} drew {what}",
            expected='render_mode="rgb_array": [H, W, 3], with an opacity [H, W, 4], or grey [H, W]',
            hint="evaluate it instead: inscape evaluate",
        )
    if array.dtype != np.uint8:
        low, high = float(array.min()), float(array.max())
        scale = 255.0 if array.dtype.kind in "fb" else 1.0
        if not 0 <= low <= high <= (1.0 if scale > 1 else 255.0):  # NaN is not within either
            raise UsageError(
                f"{source} drew an array of shape {array.shape}, {array.dtype}, with values from {low:g} to {high:g}",
                expected="whole numbers from 0 to 255, or floats from 0 to 1",
            )
        array = np.rint(array * scale).astype(np.uint8)
    if array.ndim == 2:
        array = array[:, :, None]
    if array.shape[2] == 4:
        opacity = array[:, :, 3:] / 255.0
        array = np.rint(array[:, :, :3] * opacity + 255.0 * (1.0 - opacity)).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(array, (*array.shape[:2], 3)))


def _is_image_shape(shape: tuple[int, ...]) -> bool:
    return len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3, 4))


def fitted(frame: np.ndarray, width: int) -> np.ndarray:
    """Returns a frame `[H, W, 3]` uint8 scaled to `width` pixels across, also up: small ones by whole pixels."""
    if frame.shape[1] == width:
        return frame
    height = max(1, round(frame.shape[0] * width / frame.shape[1]))
    return _scaled(frame, width, height, smooth=width < 2 * frame.shape[1])


def shrink(frame: np.ndarray, width: int) -> np.ndarray:
    """Returns a frame `[H, W, 3]` uint8 averaged down to at most `width` pixels across; never enlarged."""
    return frame if frame.shape[1] <= width else fitted(frame, width)


def _scaled(frame: np.ndarray, width: int, height: int, smooth: bool) -> np.ndarray:
    pygame = load_pygame()
    pixels = np.ascontiguousarray(frame)
    surface = pygame.image.frombuffer(pixels.tobytes(), (frame.shape[1], frame.shape[0]), "RGB")
    scale = pygame.transform.smoothscale if smooth else pygame.transform.scale
    scaled = scale(surface, (width, height))
    return np.frombuffer(bytearray(pygame.image.tobytes(scaled, "RGB")), np.uint8).reshape(height, width, 3)


class Window:
    """A window on the screen (without a display, an invisible one, so that the same code runs on a server).

    Args:
        title: what the title bar says.
        size: pixels of the longer side of a scene.
        fps: most frames per second; None shows frames as fast as they come.
        own_events: the caller that shows the frames also reads the events (key presses, the close button).
    """

    def __init__(
        self, title: str = "Inscape", size: int = 640, fps: float | None = None, own_events: bool = False
    ) -> None:
        self.title, self.size, self.fps, self.own_events = title, size, fps, own_events
        self.closed = False
        self._screen: Any = None
        self._clock: Any = None

    def show(self, scene: Scene, ghosts: Ghosts = ()) -> bool:
        """Draws a scene; returns False once the user has closed the window."""
        wide = scene.width >= scene.height
        width, height = pixel_size(scene, self.size, None) if wide else pixel_size(scene, None, self.size)
        return self.show_frame(render_scene(scene, width, height, ghosts))

    def show_frame(self, frame: np.ndarray) -> bool:
        """Shows pixels `[H, W, 3]` uint8; returns False once the user has closed the window."""
        if self.closed:
            return False
        pygame = load_pygame()
        height, width = frame.shape[:2]
        if _shown[-1:] != [self] or self._screen is None or self._screen.get_size() != (width, height):
            self._open((width, height))
        self._screen.blit(
            pygame.image.frombuffer(np.ascontiguousarray(frame).tobytes(), (width, height), "RGB"), (0, 0)
        )
        pygame.display.flip()
        if self.fps:
            self._clock.tick(self.fps)
        for event in () if self.own_events else pygame.event.get():
            leaving = event.type == pygame.KEYDOWN and event.key in (pygame.K_ESCAPE, pygame.K_q)
            if event.type == pygame.QUIT or leaving:
                self.close()
                return False
        return True

    def _open(self, size: tuple[int, int]) -> None:
        pygame = load_pygame()
        try:
            pygame.display.init()
            pygame.display.set_caption(self.title)
            self._screen = pygame.display.set_mode(size)
        except pygame.error as error:
            raise _no_window(str(error)) from error
        if has_display() and pygame.display.get_driver() in INVISIBLE:  # SDL goes on without a word
            raise _no_window("the display that is named does not answer")
        if self._clock is None and _invisible:
            logging.getLogger("inscape").warning('No display: the window of "%s" cannot be seen.', self.title)
        self._clock = self._clock or pygame.time.Clock()
        _shown[:] = [window for window in _shown if window is not self] + [self]

    def close(self) -> None:
        """Closes the window; closing twice is harmless."""
        self.closed = True
        if self._screen is not None:
            self._screen = None
            _shown.remove(self)
            if not _shown:
                load_pygame().display.quit()


_shown: list[Window] = []
"""Windows that are open, the one that was drawn last at the end. SDL's display has one screen: several windows (of a
training and an evaluation environment) take turns on it, and it is left when the last of them closes."""


def _no_window(why: str) -> UsageError:
    return UsageError(
        f"no window can be opened: {why}",
        expected="a display that answers (DISPLAY, WAYLAND_DISPLAY, SDL_VIDEODRIVER)",
        hint='xvfb-run in front of the command; or without a window: render_mode="rgb_array", '
        "inscape watch … --save episode.mp4",
    )
