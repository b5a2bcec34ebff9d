"""The gallery of worlds: one generated page with a picture, the spaces and the settings of each.

Written by `make gallery` (`inscape list worlds --gallery docs/worlds.md`). The same catalogue gives the same page.
"""

from __future__ import annotations

import inspect
import re
import textwrap
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np

from inscape.envs.catalogue import FAMILIES, WorldSpec
from inscape.envs.loading import load_class
from inscape.envs.registry import make_world
from inscape.envs.rendering.scene import color_of
from inscape.envs.tasks.resolve import world_settings
from inscape.envs.tasks.task import Task
from inscape.errors import TooManyStatesError, UsageError
from inscape.experiments.runs.storage.files import write_text
from inscape.experiments.viewing.stage import WorldSession

if TYPE_CHECKING:
    from inscape.envs.rendering.scene import Scene
    from inscape.envs.world import World

COMMAND = "make gallery"

PICTURE_PIXELS = 192
"""Longer side of a picture."""

RANDOM_STEPS = 12
"""Steps taken at random before the picture, so that it shows more than the start."""

MOST_STATES = 100_000
"""Worlds of more states are called large rather than counted."""

MOST_CHOICES = 1_000
"""Joint actions up to which states are counted."""

LONGEST_DEFAULT = 60
"""Characters of a default value; longer ones are cut."""


def write_gallery(path: str | Path, families: Mapping[str, tuple[WorldSpec, ...]] = FAMILIES) -> int:
    """Writes the page, the pictures in a folder of its name beside it, and all of them on one sheet, `….png`.

    Returns how many worlds it shows.

    Args:
        path: the page, `….md`; pictures go to `…/<world>.png`.
        families: family name → worlds.

    Raises:
        UsageError: not a name ending in .md, or a place that cannot be written.
    """
    path = Path(path)
    if path.suffix != ".md":
        raise UsageError(f"{path.name!r} for the gallery", expected="a name ending in .md", hint="docs/worlds.md")
    folder = path.with_suffix("")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot write {folder}: {error.strerror or error}", hint="another place") from error
    shown = {family: specs for family, specs in families.items() if specs}
    parts = [_introduction(shown)]
    scenes: dict[str, Scene] = {}
    described: dict[str, str] = {}  # class → the first world of it, whose entry has the settings
    for family, specs in shown.items():
        parts.append(f"## {family}\n")
        for spec in specs:
            world = make_world(spec.name)
            scenes[spec.name] = sample_scene(world, spec.name)
            save_picture(folder / f"{spec.name}.png", scenes[spec.name])
            parts.append(_entry(spec, world, f"{folder.name}/{spec.name}.png", described))
            described.setdefault(spec.entry, spec.name)
    save_contact_sheet(path.with_suffix(".png"), scenes)
    write_text(path, "\n".join(parts).rstrip() + "\n")
    return sum(map(len, shown.values()))


TILE_WIDTH, TILE_HEIGHT, NAME_HEIGHT, GAP = 148, 112, 20, 10
"""Pixels of the contact sheet: a picture, the name below it, and what is between tiles."""


def save_contact_sheet(path: Path, scenes: Mapping[str, Scene]) -> None:
    """Saves scenes side by side in equal tiles, each filled as far as its proportions allow, with its name below.

    As many to a row as leave no cell empty, from 6 to 10; where no number does, the last row stands in the middle.
    """
    from PIL import Image

    count = len(scenes)
    columns = min(range(min(6, count), min(10, count) + 1), key=lambda n: (-count % n, -n))
    wide, high = TILE_WIDTH + GAP, TILE_HEIGHT + NAME_HEIGHT + GAP
    rows = -(-count // columns)
    sheet = Image.new("RGB", (columns * wide + GAP, rows * high + GAP), "white")
    for number, (name, scene) in enumerate(scenes.items()):
        row, column = divmod(number, columns)
        missing = columns * rows - count if row == rows - 1 else 0
        left = GAP + column * wide + missing * wide // 2
        sheet.paste(Image.fromarray(_tile(name, scene)), (left, GAP + row * high))
    sheet.quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(path, optimize=True)


def _tile(name: str, scene: Scene) -> np.ndarray:
    """Returns `[TILE_HEIGHT + NAME_HEIGHT, TILE_WIDTH, 3]`: what is drawn without empty margins, and the name."""
    from PIL import Image

    from inscape.envs.rendering.rasterizer import render_label, render_scene

    drawn = render_scene(scene, *((1200, None) if scene.width >= scene.height else (None, 1200)))
    paper = np.array([int(color_of("paper")[k : k + 2], 16) for k in (1, 3, 5)], np.uint8)
    other = np.asarray(np.abs(drawn.astype(np.int64) - paper).max(axis=2) > 12)
    if other.any():
        rows, columns = np.flatnonzero(other.max(axis=1)), np.flatnonzero(other.max(axis=0))
        drawn = drawn[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    room = (TILE_WIDTH - 8, TILE_HEIGHT - 8)
    scale = min(room[0] / drawn.shape[1], room[1] / drawn.shape[0])
    size = (max(1, round(drawn.shape[1] * scale)), max(1, round(drawn.shape[0] * scale)))
    picture = np.asarray(Image.fromarray(drawn).resize(size, Image.Resampling.BOX))
    tile = np.full((TILE_HEIGHT + NAME_HEIGHT, TILE_WIDTH, 3), 255, np.uint8)
    tile[:TILE_HEIGHT] = paper
    y, x = (TILE_HEIGHT - size[1]) // 2, (TILE_WIDTH - size[0]) // 2
    tile[y : y + size[1], x : x + size[0]] = picture
    tile[TILE_HEIGHT:] = render_label(name, TILE_WIDTH, NAME_HEIGHT, 12)
    return tile


def worlds_listed(page: str) -> list[str]:
    """Returns the names of the worlds that a page's text has an entry for, in order."""
    return re.findall(r"^### (\S+)$", page, re.MULTILINE)


# --------------------------------------------------------------------------------------------------------- pictures


def sample_scene(world: World, name: str) -> Scene:
    """Returns a world's drawing some steps into an episode, the same every time.

    The last state before any end; or the end, where everything is over in one step (what has been played is seen then).
    """
    seed = zlib.crc32(name.encode())
    stage = WorldSession(Task(name, world, {}, None), world)
    stage.reset(seed)
    rng, scene = np.random.default_rng(seed), stage.picture()
    for _ in range(RANDOM_STEPS):
        stage.step({player: _random_action(world, stage.mask(player), rng) for player in stage.movers})
        if stage.ended:
            return stage.picture() if len(stage.actions) == 1 else scene
        scene = stage.picture()
    return scene


def _random_action(world: World, mask: np.ndarray | None, rng: np.random.Generator) -> Any:
    if world.continuous:
        return rng.uniform(world.action_low, world.action_high)
    return int(rng.choice(np.arange(world.num_actions) if mask is None else np.flatnonzero(mask)))


def save_picture(path: Path, scene: Scene) -> None:
    """Stores a scene as a small PNG: few colours, without anything that depends on the day."""
    from PIL import Image

    from inscape.envs.rendering.rasterizer import render_scene

    wide = scene.width >= scene.height
    frame = render_scene(scene, PICTURE_PIXELS, None) if wide else render_scene(scene, None, PICTURE_PIXELS)
    image = Image.fromarray(frame).quantize(64, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    image.save(path, optimize=True)


# ------------------------------------------------------------------------------------------------------------- page


def _introduction(families: Mapping[str, tuple[WorldSpec, ...]]) -> str:
    lines = [
        "# Worlds",
        "",
        f"Written by `{COMMAND}`; do not edit. Every world can be acted in (`inscape train`, `gymnasium.make`), played",
        "(`inscape play NAME`), watched (`inscape watch random NAME`) and, where its law is known in full, planned in,",
        "solved and observed. Settings are given as `--world.slip 0.2` on the command line, as",
        '`gymnasium.make("inscape/FrozenLake-v0", slip=0.2)` or `make_world("FrozenLake", slip=0.2)` in Python.',
        "Pictures show a state some random steps into an episode.",
        "",
    ]
    for family, specs in families.items():
        names = ", ".join(f"[{spec.name}](#{_anchor(spec.name)})" for spec in specs)
        lines.append(f"- **{family}**: {names}")
    return "\n".join(lines) + "\n"


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w-]", "", heading.lower())


def _entry(spec: WorldSpec, world: World, picture: str, described: Mapping[str, str]) -> str:
    cls = load_class(spec.entry, "world")
    sections = docstring_sections(inspect.getdoc(cls) or "")
    first = described.get(spec.entry)
    facts = {
        "Players": _players(world),
        "Actions": _actions(world, sections),
        "Observation": _observation(world, sections),
        "Rewards": sections.get("Rewards", ""),
        "Start": sections.get("Start", ""),
        "End": sections.get("End", ""),
        "Time limit": f"{world.max_episode_steps:,} steps" if world.max_episode_steps else "none",
        "States": _states(world),
        "Goals for observers": ", ".join(world.goals) if world.players == 1 else "",
        "Source": sections.get("Source", ""),
    }
    if first is not None:  # the same class: only what differs
        changed = ", ".join(f"`{key}={value!r}`" for key, value in spec.settings.items()) or "its defaults"
        same = ("Observation", "Rewards", "Start", "End", "Source")
        facts = {name: text for name, text in facts.items() if name not in same}
        facts["Settings"] = f"as [{first}](#{_anchor(first)}), with {changed}"
    lines = [f"### {spec.name}", "", f"![{spec.name}]({picture})", "", f"{_sentence(spec.description)} `{spec.id}`", ""]
    lines += [f"- **{name}**: {_inline(text)}" for name, text in facts.items() if text]
    lines.append("")
    if first is None:
        lines += _settings_table(spec)
    return "\n".join(lines)


def docstring_sections(text: str) -> dict[str, str]:
    """Returns the sections of a world's docstring (`Actions: …`, indented lines going on), each as one line."""
    found: dict[str, list[str]] = {}
    current: list[str] | None = None
    for line in text.splitlines():
        match = re.match(r"([A-Z]\w*(?: \w+)?):(?: (.*))?$", line)
        if match:
            current = found.setdefault(match[1], [])
            if match[2]:
                current.append(match[2])
        elif current is not None and line.startswith(" "):
            current.append(line.strip())
        else:  # a paragraph of its own ends the section
            current = None
    return {name: " ".join(lines) for name, lines in found.items()}


def _players(world: World) -> str:
    if world.players == 1:
        return "1"
    how = "all at once" if world.simultaneous else "in turn"
    return f"{world.players}, {how}: {', '.join(world.agents)}"


def _actions(world: World, sections: Mapping[str, str]) -> str:
    said = sections.get("Actions", "")
    if world.continuous:
        ranges = ", ".join(f"[{low:g}, {high:g}]" for low, high in zip(world.action_low, world.action_high))
        return f"continuous, {ranges}. {said}".strip()
    names = [f"`{name}`" for name in world.action_names]
    if all(name in said for name in names):
        return f"{world.num_actions}: {said}"
    if len(names) > 12:
        names = [*names[:5], "…", names[-1]]
    return f"{world.num_actions}: {', '.join(names)}. {said}".strip()


def _observation(world: World, sections: Mapping[str, str]) -> str:
    said, space = sections.get("Observations", ""), world.observation_space
    kind = type(space).__name__
    if isinstance(space, gymnasium.spaces.Box):
        kind = f"Box `{list(space.shape)}` {space.dtype}"
    elif isinstance(space, gymnasium.spaces.Discrete):
        kind = f"Discrete({space.n})"
    # many docstrings begin with the kind, as `[4]` float32 or Discrete(16)
    said = re.sub(r"^(Discrete|MultiDiscrete|Box)?(\([^)]*\))?( ?`\[[^`]*`)?( (float|u?int)\d+)?[:,.]? ", "", said)
    return f"{kind}. {_sentence(said)}" if said else kind


def _states(world: World) -> str:
    """Returns how many states there are where they can be counted, and why not where they cannot."""
    if world.layouts()[0].num_floats:
        return "continuous"
    if world.noise or world.initial_noise:
        return f"not enumerable: {'outcomes' if world.noise else 'starts'} can only be sampled"
    if world.continuous or world.num_choices > MOST_CHOICES:
        return ""
    try:
        return f"{len(world.dynamics(max_states=MOST_STATES).states):,}"
    except TooManyStatesError:
        return f"more than {MOST_STATES:,}"


def _settings_table(spec: WorldSpec) -> list[str]:
    settings = world_settings(spec.name)
    if not settings:
        return []
    lines = ["| setting | default | |", "|---|---|---|"]
    for name, (_, default, doc) in settings.items():
        shown = textwrap.shorten(re.sub(r"\s+", " ", repr(default)), LONGEST_DEFAULT, placeholder=" …")
        lines.append(f"| `{name}` | `{shown}` | {_inline(doc)} |")
    return [*lines, ""]


def _inline(text: str) -> str:
    """Returns a docstring's text for a line of Markdown: no bars outside code, which would end a table's cell."""
    return " ".join(text.split()).replace("|", "\\|")


def _sentence(text: str) -> str:
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else text + "."
