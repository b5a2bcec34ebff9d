"""A window one can play in: a picture, a panel that says which key does what, and key presses by name.

It does not know what a key means: it reports names ("left", "a", "1", "space", …) and draws what it is given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from inscape.envs.rendering.rasterizer import (
    Window,
    draw_text,
    load_pygame,
    pixel_size,
    render_scene,
    require_display,
    shrink,
)
from inscape.envs.rendering.scene import Scene, color_of

SYMBOLS = {
    "left": "←", "right": "→", "up": "↑", "down": "↓", "return": "Enter", "pagedown": "Page ↓", "pageup": "Page ↑",
    "space": "Space", "escape": "Esc",
}  # fmt: skip
"""How keys are written where not as their own name in capitals."""

PANEL = 270
"""Width of the panel, pixels."""

BAR_LEFT, BAR_WIDTH = 130, 84
"""Where the bars of the panel begin, and how long a full one is, pixels."""

ROW = 24
"""Height of a line of the panel, pixels."""


def key_label(key: str) -> str:
    """Returns how a key is written in the panel."""
    return SYMBOLS.get(key, key.upper())


@dataclass(frozen=True)
class Line:
    """One line of the panel.

    Attributes:
        text: what it says.
        key: the key that does it, drawn as a key cap; "" for plain text.
        color: palette name of a dot before the text; "" for none.
        dim: what cannot be done now.
        strong: a heading, or what was chosen.
        share: of 1, drawn as a bar at the right of the text, with its percentage; None for no bar.
    """

    text: str
    key: str = ""
    color: str = ""
    dim: bool = False
    strong: bool = False
    share: float | None = None


class PlayWindow:
    """A window for a person at the keyboard.

    Args:
        title: what the title bar says.
        size: pixels of the longer side of the picture.

    Raises:
        UsageError: there is no display (unless SDL's driver is set, by `SDL_VIDEODRIVER`).
    """

    def __init__(self, title: str, size: int = 640) -> None:
        require_display("inscape play")
        self.size = size
        self.held: frozenset[str] = frozenset()
        """Names of the keys that are down."""
        self._window = Window(title, own_events=True)
        self._clock: Any = None
        self._area = (0, 0)

    def show(self, picture: Scene | np.ndarray, lines: Sequence[Line]) -> None:
        """Draws the picture with the panel at its right."""
        self._window.show_frame(self.compose(picture, lines))

    def compose(self, picture: Scene | np.ndarray, lines: Sequence[Line]) -> np.ndarray:
        """Returns picture and panel as pixels `[H, W, 3]`; the size never shrinks, so that the window stays still."""
        if isinstance(picture, Scene):
            wide = picture.width >= picture.height
            size = pixel_size(picture, self.size, None) if wide else pixel_size(picture, None, self.size)
            picture = render_scene(picture, *size)
        picture = shrink(picture, self.size)
        height, width = picture.shape[:2]
        needed = (len(lines) + 1) * ROW
        self._area = (max(self._area[0], width), max(self._area[1], height, min(needed, 2 * self.size)))
        sheet = np.empty((self._area[1], self._area[0] + PANEL, 3), np.uint8)
        sheet[:] = [int(color_of("paper")[k : k + 2], 16) for k in (1, 3, 5)]
        top, left = (self._area[1] - height) // 2, (self._area[0] - width) // 2
        sheet[top : top + height, left : left + width] = picture
        sheet[:, self._area[0] :] = panel_picture(lines, self._area[1])
        return sheet

    def presses(self) -> list[str]:
        """Returns the keys pressed since the last call, in order; "quit" for the window's close button."""
        pygame = load_pygame()
        pressed: list[str] = []
        held = set(self.held)
        for event in pygame.event.get() if pygame.display.get_init() else []:
            if event.type == pygame.QUIT:
                pressed.append("quit")
            elif event.type == pygame.KEYDOWN:
                name = _key_name(event.key)
                held.add(name)
                pressed.append(name)
            elif event.type == pygame.KEYUP:
                held.discard(_key_name(event.key))
            elif event.type == pygame.WINDOWFOCUSLOST:  # the key's release would go to another window
                held.clear()
        self.held = frozenset(held)
        return pressed

    def tick(self, fps: float) -> None:
        """Waits until the next frame is due."""
        self._clock = self._clock or load_pygame().time.Clock()
        self._clock.tick(fps)

    def close(self) -> None:
        """Closes the window; closing twice is harmless."""
        self._window.close()


def _key_name(code: int) -> str:
    """Returns a key's name: pygame's, with keypad digits and both Enter and Shift keys under one name each."""
    name = str(load_pygame().key.name(code)).lower().strip("[]")
    name = {"enter": "return", "page down": "pagedown", "page up": "pageup"}.get(name, name)
    return "shift" if name.endswith(" shift") else name


def panel_picture(lines: Sequence[Line], height: int) -> np.ndarray:
    """Returns lines below each other as pixels `[height, PANEL, 3]`; what does not fit is cut."""
    pygame = load_pygame()
    panel = pygame.Surface((PANEL, height), 0, 32)
    panel.fill(color_of("paper"))
    pygame.draw.line(panel, color_of("line"), (0, 0), (0, height), 2)
    for row, line in enumerate(lines):
        middle = ROW // 2 + row * ROW + ROW // 2
        ink = "line" if line.dim else "ink" if line.strong or line.key else "muted"
        x = 16
        if line.color:
            pygame.draw.circle(panel, color_of(line.color), (x + 6, middle), 6)
            x += 20
        if line.key:
            x += _draw_key(panel, x, middle, line)
        right = PANEL - 6 if line.share is None else BAR_LEFT - 8
        draw_text(panel, line.text, x, middle, 15, ink, right - x, bold=line.strong)
        if line.share is not None:
            _draw_share(panel, middle, line.share, line.color or "agent")
    out = np.empty((height, PANEL, 3), np.uint8)
    out[:] = pygame.surfarray.array3d(panel).swapaxes(0, 1)
    return out


def _draw_key(panel: Any, x: int, middle: int, line: Line) -> int:
    """Draws a key cap and returns the width it takes."""
    pygame = load_pygame()
    label = key_label(line.key)
    width = max(22, 12 + 9 * len(label))
    box = (x, middle - 10, width, 20)
    pygame.draw.rect(panel, color_of("start" if not line.dim else "paper"), box, border_radius=4)
    pygame.draw.rect(panel, color_of("line" if line.dim else "muted"), box, width=1, border_radius=4)
    draw_text(panel, label, x + width // 2, middle, 13, "line" if line.dim else "ink", width, centred=True)
    return width + 10


def _draw_share(panel: Any, middle: int, share: float, color: str) -> None:
    """Draws a bar for a share of 1, and the percentage at its right."""
    pygame = load_pygame()
    share = min(1.0, max(0.0, share))
    pygame.draw.rect(panel, color_of("start"), (BAR_LEFT, middle - 7, BAR_WIDTH, 14), border_radius=3)
    if (width := round(share * BAR_WIDTH)) > 0:
        pygame.draw.rect(panel, color_of(color), (BAR_LEFT, middle - 7, width, 14), border_radius=3)
    draw_text(
        panel, f"{100 * share:.1f}%", BAR_LEFT + BAR_WIDTH + 6, middle, 13, "ink", PANEL - BAR_LEFT - BAR_WIDTH - 8
    )
