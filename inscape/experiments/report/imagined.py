"""Counterfactuals drawn: what would follow from each alternative as ghosts of its colour, in a picture or on a page."""

from __future__ import annotations

import dataclasses
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from inscape.envs.rendering.scene import Circle, Line, Rect, Scene, Shape, Text
from inscape.experiments.numbers import number_text
from inscape.experiments.report.episodes import player_episode
from inscape.experiments.report.sections import (
    Frame,
    ImaginationOverlay,
    PlayerEpisode,
    PlayerSection,
    Section,
    TableSection,
)

if TYPE_CHECKING:
    from inscape.envs.world import World
    from inscape.experiments.verbs.imagine import Imagined

COLORS = ("blue", "orange", "green", "purple", "red", "teal", "yellow")
GHOSTS = 6
"""Ghosts of each alternative in a picture."""
WIDTH = 720


def color_of_alternative(number: int) -> str:
    """Returns the palette name of an alternative's colour; more than seven start again."""
    return COLORS[number % len(COLORS)]


def tinted(shapes: tuple[Shape, ...], color: str) -> tuple[Shape, ...]:
    """Returns shapes in one colour, without texts."""
    made: list[Shape] = []
    for shape in shapes:
        if isinstance(shape, Text):
            continue
        changes: dict[str, Any] = {name: color for name in ("fill", "stroke") if getattr(shape, name, None) is not None}
        made.append(dataclasses.replace(shape, **changes))
    return tuple(made)


def imagined_picture(world: World, imagined: Imagined, width: int = WIDTH) -> np.ndarray:
    """Returns `[height, width, 3]` uint8: the state, ghosts and paths of the alternatives, and a legend.

    Later ghosts are fainter; a path ends in a disc where the horizon was reached, in a ring where the task ended.
    """
    from inscape.envs.rendering.rasterizer import render_scene

    first = next(iter(imagined.values()))
    assert first.states is not None
    now = world.scene(first.states, 0)
    ghosts: list[tuple[Scene, float]] = []
    paths: list[Shape] = []
    for number, trajectory in enumerate(imagined.values()):
        color, states = color_of_alternative(number), trajectory.states
        assert states is not None
        times = np.unique(np.linspace(0, len(states) - 1, GHOSTS + 1).round().astype(int))[1:]
        for place, t in enumerate(times):
            shapes = tinted(world.scene(states, int(t)).layer("moving"), color)
            ghosts.append((Scene(now.width, now.height, shapes), 0.5 - 0.35 * place / max(1, len(times) - 1)))
        places = [world.place_of(states, t) for t in range(len(states))]
        points = [place for place in places if place is not None]
        thin = 0.006 * max(now.width, now.height)
        paths += [Line(*a, *b, stroke=color, line_width=thin, layer="moving") for a, b in pairwise(points)]
        if points and trajectory.terminated:
            paths.append(Circle(*points[-1], 3 * thin, stroke=color, line_width=thin, layer="moving"))
        elif points:
            paths.append(Circle(*points[-1], 2 * thin, fill=color, layer="moving"))
    picture = render_scene(Scene(now.width, now.height, (*now.shapes, *paths)), width, ghosts=ghosts[::-1])
    return np.concatenate([picture, render_scene(_legend(imagined, width), width)])


def _legend(imagined: Imagined, width: int) -> Scene:
    """Returns a line for each alternative: its colour, its name, what it returns."""
    line = 26.0
    shapes: list[Shape] = [Rect(0, 0, width, line * len(imagined) + 8, fill="paper")]
    for number, name in enumerate(imagined):
        y = line * number + 17.0
        shapes.append(Rect(12, y - 8, 16, 16, fill=color_of_alternative(number), radius=3))
        shapes.append(Text(40, y, f"{name}: {outcome(imagined, name)}", size=11.0, anchor="start"))
    return Scene(width, line * len(imagined) + 8, tuple(shapes))


def outcome(imagined: Imagined, name: str) -> str:
    """Returns what an alternative leads to, in words."""
    returns, lengths, first = imagined.returns[name], imagined.lengths[name], imagined[name]
    earned = f"return {number_text(float(returns.mean()))}"
    if len(returns) > 1:
        return f"mean {earned} of {len(returns)} futures, {number_text(float(lengths.mean()))} steps"
    return f"{earned}, {'ends' if first.terminated else 'goes on'} after {len(first)} steps"


def imagined_sections(world: World, imagined: Imagined) -> list[Section]:
    """Returns the sections of a page: a table, and the alternatives in the player, the others beside them as ghosts."""
    rows = tuple(
        (name, float(imagined.returns[name].mean()), float(imagined.lengths[name].mean()), *difference(imagined, name))
        for name in imagined
    )
    count = len(next(iter(imagined.returns.values())))
    note = f"{count} futures each under the same random numbers" if count > 1 else "one future each"
    table = TableSection(
        "What would follow", ("alternative", "return", "steps", "less than the best by", "standard error"), rows, note
    )
    episodes = tuple(_episode(world, imagined, name) for name in imagined)
    note = "Each alternative moves; the others are ghosts in their colours: " + ", ".join(
        f"{name} {color_of_alternative(number)}" for number, name in enumerate(imagined)
    )
    return [table, PlayerSection("Alternatives", episodes, note, overlays=("imagination",))]


def difference(imagined: Imagined, name: str) -> tuple[float, float | None]:
    """Returns how much less an alternative returns than the best of them, and the standard error of that."""
    best = max(imagined, key=lambda other: float(imagined.returns[other].mean()))
    if name == best:
        return 0.0, None
    less, error = imagined.difference(best, name)
    return less, error if np.isfinite(error) else None


def _episode(world: World, imagined: Imagined, name: str) -> PlayerEpisode:
    """Returns an alternative as an episode of the player."""
    made = player_episode(world, imagined[name], title=f"{name}: {outcome(imagined, name)}", agent=name)
    frames: list[Frame] = []
    for t, frame in enumerate(made.frames):
        ghosts: list[tuple[tuple[Shape, ...], ...]] = []
        for number, (other, trajectory) in enumerate(imagined.items()):
            states = trajectory.states
            if other != name and states is not None:
                scene = world.scene(states, min(t, len(states) - 1))
                ghosts.append((tinted(scene.layer("moving"), color_of_alternative(number)),))
        frames.append(dataclasses.replace(frame, imagination=ImaginationOverlay(tuple(ghosts))))
    return dataclasses.replace(made, frames=tuple(frames))


def save_imagined(path: Path, world: World, imagined: Imagined, title: str, commands: tuple[str, ...]) -> Path:
    """Writes a `.png` picture or an `.html` page and returns its path.

    Raises:
        UsageError: the file cannot be written.
    """
    if path.suffix.lower() == ".html":
        from inscape.experiments.report.page import write_report

        return write_report(imagined_sections(world, imagined), path, title=title, commands=commands)
    from inscape.envs.rendering.rasterizer import load_pygame
    from inscape.errors import UsageError

    pygame, pixels = load_pygame(), imagined_picture(world, imagined)
    surface = pygame.image.frombytes(np.ascontiguousarray(pixels).tobytes(), pixels.shape[1::-1], "RGB")
    try:
        pygame.image.save(surface, str(path))
    except (OSError, pygame.error) as error:
        raise UsageError(f"{path} cannot be written: {error}", expected="a writable place") from error
    return path
