"""Foragers of different levels who must join to lift what is too heavy for one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from inscape.envs.law.tools import replaced
from inscape.envs.rendering.scene import Circle, Polygon, Scene, Text
from inscape.envs.world import World
from inscape.envs.worlds.multi_agent.grid_moves import (
    MOVES,
    STAY,
    at,
    floor_shapes,
    middle,
    moves_table,
    neighbours_table,
    per_player,
    player_shapes,
    require,
    settled,
    with_care,
)
from inscape.errors import UsageError

LOAD = 5


class ForagingState(NamedTuple):
    """The foragers' cells (row · size + column), a bit per food that is gone, the number of the layout."""

    cells: tuple[int, ...]
    gone: int
    layout: int


class ForagingParams(NamedTuple):
    """How one moves, and where things lie in each of the n layouts an episode may have.

    Attributes:
        after: `[5, cells]` the cell a move leads to.
        rows, columns: `[cells]` where a cell is.
        starts, levels: `[n, players]` first cells and levels of the foragers.
        food_cells, food_levels: `[n, foods]`; level 0 is a food for which there was no room.
        food_on, food_by: `[n, cells]` the food that lies on a cell, that can be loaded from it; −1 for none.
        nothing: `[n]` the foods for which there was no room, a bit each.
        totals: `[n]` the levels of all foods, added up.
        bits: 1, 2, 4, …, one per food.
        blank: zeros, one per forager, to be filled.
        items: zeros, one per food and forager, to be filled.
    """

    after: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    starts: np.ndarray
    levels: np.ndarray
    food_cells: np.ndarray
    food_levels: np.ndarray
    food_on: np.ndarray
    food_by: np.ndarray
    nothing: np.ndarray
    totals: np.ndarray
    bits: tuple[int, ...]
    blank: tuple[int, ...]
    items: tuple[int, ...]


class ForagingPurpose(NamedTuple):
    """What is wanted.

    Attributes:
        care: each forager's weight of what the others gain (0 selfish, 1 prosocial).
        penalty: lost by everyone who takes part in a load that fails.
        normalized: do rewards add up to 1 over an episode in which all food is loaded.
    """

    care: tuple[float, ...]
    penalty: float
    normalized: bool


class ForagingView(NamedTuple):
    """Rows, columns and levels of the foods, of the one who looks, and of the other foragers."""

    rows: tuple[int, ...]
    columns: tuple[int, ...]
    levels: tuple[int, ...]


class Foraging(World):
    """Foragers load food; the levels of those who load it together must reach the food's.

    Actions: `left`, `down`, `right`, `up`, `stay`, `load`, all foragers at once. Nobody enters a food's cell. Of those
        who would enter one cell, all stay where they were (and so do those who wanted a cell that is not left because
        of it); two may trade places. A food is loaded when the levels of the foragers next to it who choose `load`
        add up to its level or more; it is then gone.
    Observations: `[3 · (foods + players)]` float32 for each forager: row, column and level of each food (−1, −1, 0 when
        it is gone), then of itself and of the others in their order.
    Rewards: of a food loaded, each loader gets its level · the food's level / (the loaders' levels · all food of the
        episode), so that an episode's rewards add up to 1; with `normalize=False` its level · the food's level. A
        loader at a food that stays loses `penalty`. To its own gain a forager adds `care` times the others'.
    Start: one of `layouts` layouts, drawn by `layout_seed`: foragers on different cells, their levels uniform from 1 to
        `max_player_level`; foods off the border with no other food around them (eight cells, and two cells away in
        the four directions).
    End: terminated when all food is gone; truncated after 50 steps.

    Args:
        foragers: 2 to 6 players.
        size: rows and columns.
        foods: number of foods, 1 to 8.
        max_player_level: highest level of a forager.
        max_food_level: highest level of a food; 0 stands for the sum of the three lowest foragers' levels.
        cooperative: have all foods the highest level.
        penalty: lost in a load that fails.
        normalize: do an episode's rewards add up to 1.
        care: weight of the others' gains: one number, or one per forager.
        layouts: number of layouts, 1 for one that is always the same.
        layout_seed: draws them.

    Source: Albrecht & Ramamoorthy (2013), "A game-theoretic model and best-response learning method for ad hoc
        coordination", AAMAS; Christianos, Schäfer & Albrecht (2020), "Shared experience actor-critic", NeurIPS, and
        their lbforaging, whose rules these are but for two: there a forager can come to stand on another one's cell
        (one who wanted to leave and was held back), and foods that are gone leave a gap in no list.
    Version history: v0, first.
    """

    State = ForagingState
    Params = ForagingParams
    Purpose = ForagingPurpose
    actions = (*MOVES, "load")
    players = 2
    simultaneous = True
    lengths = {**dict.fromkeys(("cells", "blank", "care", "bits"), 2), "items": 4}
    max_episode_steps = 50

    @classmethod
    def sized(cls, foragers: int = 2, foods: int = 2, **settings: Any) -> dict[str, Any]:
        require("foragers", foragers, 2, 6, whole=True)
        require("foods", foods, 1, 8, whole=True)
        lengths = dict.fromkeys(("cells", "blank", "care"), int(foragers))
        lengths |= {"bits": int(foods), "items": int(foods + foragers)}
        return {"players": int(foragers), "lengths": lengths}

    def setup(
        self,
        foragers: int = 2,
        size: int = 8,
        foods: int = 2,
        max_player_level: int = 2,
        max_food_level: int = 0,
        cooperative: bool = False,
        penalty: float = 0.0,
        normalize: bool = True,
        care: float | Sequence[float] = 0.0,
        layouts: int = 256,
        layout_seed: int = 0,
    ) -> tuple[ForagingParams, ForagingPurpose]:
        require("size", size, 3, 40, whole=True)
        require("max_player_level", max_player_level, 1, 100, whole=True)
        require("max_food_level", max_food_level, 0, 1000, whole=True)
        require("penalty", penalty, 0, 1e9)
        require("layouts", layouts, 1, 100_000, whole=True)
        for name, value in (("cooperative", cooperative), ("normalize", normalize)):
            if not isinstance(value, bool):
                raise UsageError(f"{name} = {value!r}", expected="True or False")
        rng = np.random.default_rng(layout_seed)
        drawn = [
            draw_layout(rng, foragers, size, foods, max_player_level, max_food_level, cooperative)
            for _ in range(layouts)
        ]
        starts, levels, food_cells, food_levels = (np.stack(column) for column in zip(*drawn))
        after = moves_table(["." * size] * size)
        near = neighbours_table(after)
        food_on = np.full((layouts, size * size), -1)
        food_by = np.full((layouts, size * size), -1)
        for n in range(layouts):
            for f in np.flatnonzero(food_levels[n]):
                food_on[n, food_cells[n, f]] = f
                food_by[n, near[food_cells[n, f]]] = f  # one at most: foods keep their distance
        params = ForagingParams(
            after=after,
            rows=np.arange(size * size) // size,
            columns=np.arange(size * size) % size,
            starts=starts,
            levels=levels,
            food_cells=food_cells,
            food_levels=food_levels,
            food_on=food_on,
            food_by=food_by,
            nothing=((food_levels == 0) << np.arange(foods)).sum(1),
            totals=food_levels.sum(1),
            bits=tuple(1 << f for f in range(foods)),
            blank=(0,) * foragers,
            items=(0,) * (foods + foragers),
        )
        return params, ForagingPurpose(per_player("care", care, foragers), float(penalty), normalize)

    @staticmethod
    def initial_branches(params: ForagingParams) -> int:
        return len(params.starts)

    @staticmethod
    def initial(params: ForagingParams, branch: int) -> tuple[float, ForagingState]:
        cells = params.blank
        for k in range(len(cells)):
            cells = replaced(cells, k, params.starts[branch, k])
        return 1.0 / len(params.starts), ForagingState(cells, params.nothing[branch], branch)

    @staticmethod
    def transition(
        params: ForagingParams, state: ForagingState, action: tuple[int, ...], branch: int
    ) -> tuple[float, ForagingState]:
        targets = state.cells
        for k in range(len(targets)):
            to = params.after[min(action[k], STAY), state.cells[k]]
            food = params.food_on[state.layout, to]
            barred = (food >= 0) & ((state.gone >> max(food, 0)) & 1 == 0)
            targets = replaced(targets, k, state.cells[k] if barred else to)
        foods, strength = loads(params, state, action)
        gone = state.gone
        for k in range(len(foods)):
            food = max(foods[k], 0)
            loaded = (foods[k] >= 0) & (strength[k] >= params.food_levels[state.layout, food])
            gone |= (1 if loaded else 0) << food
        return 1.0, ForagingState(settled(state.cells, targets, True), gone, state.layout)

    @staticmethod
    def reward(
        params: ForagingParams,
        purpose: ForagingPurpose,
        state: ForagingState,
        action: tuple[int, ...],
        next_state: ForagingState,
    ) -> tuple[float, ...]:
        foods, strength = loads(params, state, action)
        gains = purpose.care
        for k in range(len(gains)):
            food = params.food_levels[state.layout, max(foods[k], 0)]
            share = strength[k] * params.totals[state.layout] if purpose.normalized else 1
            gained = params.levels[state.layout, k] * food / max(share, 1)
            gained = gained if strength[k] >= food else -purpose.penalty
            gains = replaced(gains, k, gained if foods[k] >= 0 else 0.0)
        return with_care(gains, purpose.care)

    @staticmethod
    def terminal(params: ForagingParams, purpose: ForagingPurpose, state: ForagingState) -> bool:
        return state.gone == (1 << len(params.bits)) - 1

    @staticmethod
    def observation_view(params: ForagingParams, state: ForagingState, player: int) -> ForagingView:
        rows, columns, levels = params.items, params.items, params.items
        foods = len(params.bits)
        for f in range(foods):
            gone = state.gone & params.bits[f] != 0
            cell = params.food_cells[state.layout, f]
            rows = replaced(rows, f, -1 if gone else params.rows[cell])
            columns = replaced(columns, f, -1 if gone else params.columns[cell])
            levels = replaced(levels, f, 0 if gone else params.food_levels[state.layout, f])
        for place in range(len(state.cells)):
            who = player if place == 0 else (place - 1 if place <= player else place)
            rows = replaced(rows, foods + place, params.rows[state.cells[who]])
            columns = replaced(columns, foods + place, params.columns[state.cells[who]])
            levels = replaced(levels, foods + place, params.levels[state.layout, who])
        return ForagingView(rows, columns, levels)

    @staticmethod
    def observation_entry(params: ForagingParams, view: ForagingView, k: int) -> float:
        item, part = k // 3, k % 3
        return 1.0 * (view.rows[item] if part == 0 else (view.columns[item] if part == 1 else view.levels[item]))

    @staticmethod
    def observations(params: ForagingParams) -> gym.Space[Any]:
        count = len(params.bits) + len(params.blank)
        highest = max(int(params.levels.max()), int(params.food_levels.max()))
        side = int(params.rows.max())
        low = np.array([-1, -1, 0] * count, np.float32)
        return gym.spaces.Box(low, np.array([side, side, highest] * count, np.float32))

    @staticmethod
    def purposes(params: ForagingParams, purpose: ForagingPurpose) -> dict[str, ForagingPurpose]:
        count = len(params.blank)
        return {
            "selfish": purpose._replace(care=(0.0,) * count),
            "prosocial": purpose._replace(care=(1.0,) * count),
            "competitive": purpose._replace(care=(-1.0,) * count),
        }

    @staticmethod
    def describe(params: ForagingParams, purpose: ForagingPurpose, state: ForagingState) -> str:
        size = int(params.rows.max()) + 1
        foragers = " | ".join(
            f"forager {k} of level {params.levels[state.layout, k]} {at(cell, size)}"
            for k, cell in enumerate(state.cells)
        )
        foods = " | ".join(
            f"food of level {params.food_levels[state.layout, f]} {at(params.food_cells[state.layout, f], size)}"
            for f in range(len(params.bits))
            if not state.gone & params.bits[f]
        )
        return (
            f"{foragers} | {foods or 'all food is gone'} | goal: load the food, standing next to it; the levels of "
            "those who load at the same time must reach the food's"
        )

    @staticmethod
    def draw(params: ForagingParams, purpose: ForagingPurpose, state: ForagingState) -> Scene:
        size = int(params.rows.max()) + 1
        shapes = floor_shapes(["." * size] * size)
        for f in range(len(params.bits)):
            if state.gone & params.bits[f]:
                continue
            x, y = middle(params.food_cells[state.layout, f], size)
            leaf = ((x, y - 0.24), (x + 0.22, y - 0.46), (x + 0.06, y - 0.16))
            shapes.append(Circle(x, y + 0.06, 0.34, fill="danger", stroke="ink", line_width=0.04, layer="moving"))
            shapes.append(Polygon(leaf, fill="goal", stroke="ink", layer="moving"))
            level = str(params.food_levels[state.layout, f])
            shapes.append(Text(x, y + 0.06, level, size=0.34, fill="paper", layer="moving"))
        for k, cell in enumerate(state.cells):
            shapes += player_shapes(k, cell, size, str(params.levels[state.layout, k]))
        return Scene(size, size, tuple(shapes))


def loads(
    params: ForagingParams, state: ForagingState, action: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Returns which food each forager loads, −1 for none, and the levels of all who load it, added up.

    Compiled with the law.
    """
    foods, strength = params.blank, params.blank
    for k in range(len(foods)):
        food = params.food_by[state.layout, state.cells[k]]
        there = (food >= 0) & ((state.gone >> max(food, 0)) & 1 == 0)
        foods = replaced(foods, k, food if there & (action[k] == LOAD) else -1)
    for k in range(len(foods)):
        total = 0
        for j in range(len(foods)):
            total += params.levels[state.layout, j] if foods[j] == foods[k] else 0
        strength = replaced(strength, k, total)
    return foods, strength


def draw_layout(
    rng: np.random.Generator,
    foragers: int,
    size: int,
    foods: int,
    max_player_level: int,
    max_food_level: int,
    cooperative: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Returns cells and levels of the foragers, and of the foods, row by row; a food without room has level 0."""
    cells = rng.choice(size * size, foragers, replace=False)
    levels = rng.integers(1, max_player_level + 1, foragers)
    highest = max_food_level or int(np.sort(levels)[:3].sum())
    taken = set(cells.tolist())
    found: list[tuple[int, int]] = []
    for _ in range(foods):
        room = [
            row * size + column
            for row in range(1, size - 1)
            for column in range(1, size - 1)
            if row * size + column not in taken and not any(_crowds(row, column, *divmod(c, size)) for c, _ in found)
        ]
        if room:
            found.append((int(rng.choice(room)), highest if cooperative else int(rng.integers(1, highest + 1))))
    found.sort()
    found += [(0, 0)] * (foods - len(found))
    return cells, levels, np.array([cell for cell, _ in found]), np.array([level for _, level in found])


def _crowds(row: int, column: int, other_row: int, other_column: int) -> bool:
    down, right = abs(row - other_row), abs(column - other_column)
    return max(down, right) <= 1 or (min(down, right) == 0 and max(down, right) <= 2)
