"""What a report is made of: sections as frozen dataclasses, plain data that `page` writes and tests can read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from inscape.envs.rendering.scene import Scene, Shape
from inscape.experiments.runs.statistics import Interval

Floats = Sequence[float | None]


@dataclass(frozen=True)
class Label:
    """A name in a table, with the colour that its curve and its episodes have; `color` as in `Curve`."""

    text: str
    color: int


Cell = str | float | int | bool | Interval | Label | None


@dataclass(frozen=True)
class TextSection:
    """Paragraphs (separated by blank lines) and commands to copy. Plain text, no markup."""

    title: str
    text: str = ""
    commands: tuple[str, ...] = ()


@dataclass(frozen=True)
class TableSection:
    """A table. An `Interval` is shown as its estimate, its bounds, and a whisker.

    Attributes:
        scale_by: index of a column; whiskers share a scale in the rows where it has the same value (the world, say).
            None: one scale for the whole column.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""
    scale_by: int | None = None

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"table {self.title!r}: a row of {len(row)} cells under {len(self.columns)} columns")


@dataclass(frozen=True)
class Curve:
    """One learning curve. All sequences have one entry per point; NaN or None leaves a gap.

    Attributes:
        name: what the legend says.
        steps: environment steps, increasing.
        mean: the value drawn as a line.
        low, high: its interval, drawn as a band; empty for none.
        seconds: wall-clock time of each point; empty where unknown.
        color: number of its colour and dashes, the same for the same agent throughout a report; None: its place in
            the section.
    """

    name: str
    steps: Floats
    mean: Floats
    low: Floats = ()
    high: Floats = ()
    seconds: Floats = ()
    color: int | None = None

    def __post_init__(self) -> None:
        for part in ("mean", "low", "high", "seconds"):
            length = len(getattr(self, part))
            if length != len(self.steps) and (length or part == "mean"):
                raise ValueError(f"curve {self.name!r}: {length} values of {part} for {len(self.steps)} steps")


@dataclass(frozen=True)
class CurvesSection:
    """Learning curves of several agents in one chart.

    Attributes:
        references: named horizontal lines (an optimum, say).
        y_range: values that the vertical axis covers at least, to give several charts one scale. It always reaches 0.
        x_end: steps that the horizontal axis covers at least.
    """

    title: str
    curves: tuple[Curve, ...]
    y_label: str = "return"
    references: tuple[tuple[str, float], ...] = ()
    note: str = ""
    y_range: tuple[float, float] | None = None
    x_end: float = 0.0


@dataclass(frozen=True)
class SearchOverlay:
    """What a search looked at before acting.

    Attributes:
        cells: `(x, y, visits)` in scene units, one per visited place.
        actions: `(action name, visits, value)`, one per action; a value that is not finite is left out.
        radius: of the circle on the most visited place, in scene units.
    """

    cells: tuple[tuple[float, float, int], ...]
    actions: tuple[tuple[str, int, float], ...]
    radius: float = 0.42


@dataclass(frozen=True)
class ImaginationOverlay:
    """Futures a model imagined: each a sequence of moving layers (shapes of the imagined states, nearest first)."""

    futures: tuple[tuple[tuple[Shape, ...], ...], ...]


@dataclass(frozen=True)
class PosteriorOverlay:
    """What an observer believes before it sees this frame's action.

    Attributes:
        names: hypotheses, the same in every frame of an episode.
        probabilities: their posterior.
        next_action: predicted distribution over the next action, `(action name, probability)`; empty for none.
        bits: −log₂ of the probability predicted for the action that was then taken; None at the end.
        places: where each hypothesis lies in the scene (a goal's cell), or None; empty for none.
        radius: of the ring drawn there, in scene units.
        expected: `(x, y, steps)` in scene units: where the agent is expected next, and for how many steps.
    """

    names: tuple[str, ...]
    probabilities: tuple[float, ...]
    next_action: tuple[tuple[str, float], ...] = ()
    bits: float | None = None
    places: tuple[tuple[float, float] | None, ...] = ()
    radius: float = 0.46
    expected: tuple[tuple[float, float, float], ...] = ()

    def __post_init__(self) -> None:
        if len(self.names) != len(self.probabilities):
            raise ValueError(f"{len(self.probabilities)} probabilities for {len(self.names)} hypotheses")


@dataclass(frozen=True)
class Picture:
    """What an environment drew itself, as the bytes of a WebP file of `width` × `height` pixels."""

    width: int
    height: int
    webp: bytes


@dataclass(frozen=True)
class Frame:
    """One state of an episode and what was done in it. The last frame has no action and no reward."""

    scene: Scene | Picture
    action: str = ""
    reward: float | None = None
    caption: str = ""
    search: SearchOverlay | None = None
    imagination: ImaginationOverlay | None = None
    posterior: PosteriorOverlay | None = None


@dataclass(frozen=True)
class PlayerEpisode:
    """One episode. Episodes of the same `agent` are listed together; `outcome` is shown at the end.

    `color` is that of the agent's curve, as in `Curve`.
    """

    title: str
    frames: tuple[Frame, ...]
    agent: str = ""
    outcome: str = ""
    color: int | None = None

    def __post_init__(self) -> None:
        if not self.frames:
            raise ValueError(f"episode {self.title!r} has no frames")
        if len({f.posterior.names for f in self.frames if f.posterior}) > 1:
            raise ValueError(f"episode {self.title!r}: the observer's hypotheses change between frames")


@dataclass(frozen=True)
class PlayerSection:
    """An episode player.

    Attributes:
        fps: the pace at speed 1×.
        side_by_side: agents are shown beside each other, one episode of each at the same time, without overlays.
        overlays: those that are shown at first: "search", "imagination", "posterior".
    """

    title: str
    episodes: tuple[PlayerEpisode, ...]
    note: str = ""
    fps: float = 6.0
    side_by_side: bool = False
    overlays: tuple[str, ...] = ("search", "posterior")


@dataclass(frozen=True)
class MapCell:
    """A place on a map of values.

    Attributes:
        x, y: its middle, in scene units.
        value: what is shown there.
        directions: unit vectors of the optimal actions that go somewhere.
        words: the other optimal actions, by name.
        label: what a pointer resting on it is shown.
    """

    x: float
    y: float
    value: float
    directions: tuple[tuple[float, float], ...] = ()
    words: tuple[str, ...] = ()
    label: str = ""


@dataclass(frozen=True)
class MapSection:
    """Values and optimal actions on a world's own picture.

    Attributes:
        scene: the picture; its static shapes are drawn.
        cells: places with values.
        side: of a cell, in scene units.
    """

    title: str
    scene: Scene
    cells: tuple[MapCell, ...]
    side: float = 1.0
    note: str = ""


Section = TextSection | TableSection | CurvesSection | PlayerSection | MapSection
