"""Values and optimal actions on a map, in text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from inscape.envs.law.states import States
    from inscape.envs.world import World

ARROWS = {
    "left": "←",
    "right": "→",
    "up": "↑",
    "down": "↓",
    "stay": "·",
    "west": "←",
    "east": "→",
    "north": "↑",
    "south": "↓",
}
WIDEST_MAP = 26
"""Columns of a map that still fit beside each other, of six characters each."""


def best_actions(q_values: np.ndarray, legal: np.ndarray) -> np.ndarray:
    """Returns `[S, A]` bool: the optimal actions, ties all of them."""
    from inscape.world_models.planning.dynamic_programming import ties

    return np.asarray(ties(np.where(legal, q_values, -np.inf), 1e-9) & legal)


def text_map(
    world: World, states: States, values: np.ndarray, q_values: np.ndarray, terminal: np.ndarray, legal: np.ndarray
) -> str | None:
    """Returns values and optimal actions on the map; None where states have no place of their own."""
    places = [world.place_of(states, index) for index in range(min(len(states), 2_000))]
    known = [place for place in places if place is not None]
    if len(known) < len(states) or len(set(known)) < len(known):
        return None
    xs, ys = sorted({x for x, _ in known}), sorted({y for _, y in known})
    if len(xs) > WIDEST_MAP or len(xs) * len(ys) > 4 * len(known):
        return None
    best = best_actions(q_values, legal)
    arrows = [ARROWS.get(str(world.choice_name(a)), str(world.choice_name(a))[:1]) for a in range(q_values.shape[1])]
    digits = 3 if np.abs(values).max(initial=0.0) < 10 else 1
    numbers = [f"{value + 0.0:.{digits}f}".replace("-", "−") for value in np.round(values, digits)]
    marks = [
        "end" if terminal[s] else "".join(dict.fromkeys(a for a, is_best in zip(arrows, row, strict=True) if is_best))
        for s, row in enumerate(best)
    ]
    width = max(max(map(len, numbers)), max(map(len, marks))) + 2
    rows: list[str] = []
    at = {place: s for s, place in enumerate(known)}
    for y in ys:
        cells = [at.get((x, y)) for x in xs]
        rows.append("".join(("" if s is None else numbers[s]).rjust(width) for s in cells).rstrip())
        rows.append("".join(("" if s is None else marks[s]).rjust(width) for s in cells).rstrip())
    return "\n".join(rows)
