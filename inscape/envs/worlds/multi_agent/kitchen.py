"""Cooks who make soup together in a narrow kitchen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from inscape.envs.law.tools import replaced
from inscape.envs.rendering.scene import Circle, Rect, Scene, Shape
from inscape.envs.world import World
from inscape.envs.worlds.multi_agent.grid_moves import (
    MOVES,
    OFFSETS,
    STAY,
    at,
    cells_of,
    floor_shapes,
    middle,
    moves_table,
    per_player,
    player_shapes,
    read_rows,
    require,
    settled,
)
from inscape.errors import UsageError

USE = 5
UP = 3
NOTHING, ONION, TOMATO, PLATE, ONION_SOUP, TOMATO_SOUP = range(6)
ITEMS = ("nothing", "an onion", "a tomato", "a plate", "onion soup", "tomato soup")
FLOOR, COUNTER, ONIONS, TOMATOES, PLATES, POT, HATCH = range(7)
TILES = {"X": COUNTER, "O": ONIONS, "T": TOMATOES, "D": PLATES, "P": POT, "S": HATCH}
MOST_COUNTERS = 21  # three bits each in one integer
FULL = 3
ANY_SOUP = -1
SOUPS = {"onion": 0, "tomato": 1, "any": ANY_SOUP}
MAPS: dict[str, tuple[str, ...]] = {
    "hatch-window": ("XOXPX", "D2X1S", "XTXSX"),
    "one-counter": ("XOXPX", "T1X2X", "X.X.S", "XDXXX"),
    # the five of Carroll et al. (2019)
    "cramped-room": ("XXPXX", "O..2O", "X1..X", "XDXSX"),
    "asymmetric-advantages": ("XXXXXXXXX", "O.XSXOX.S", "X...P.1.X", "X2..P...X", "XXXDXDXXX"),
    "coordination-ring": ("XXXPX", "X.1.P", "D2X.X", "O...X", "XOSXX"),
    "forced-coordination": ("XXXPX", "O.X1P", "O2X.X", "D.X.X", "XXXSX"),
    "counter-circuit": ("XXXPPXXX", "X..2...X", "D.XXXX.S", "X..1...X", "XXXOOXXX"),
}


class KitchenState(NamedTuple):
    """The cooks and the kitchen.

    Attributes:
        cells: the cooks' cells, row · width + column.
        facing: the directions they face, 0 left, 1 down, 2 right, 3 up.
        held: what they hold: 0 nothing, 1 onion, 2 tomato, 3 plate, 4 onion soup, 5 tomato soup.
        pots: what each pot has: 0 to 2 ingredients; 3 + t: three, cooked for t steps.
        kinds: what each pot's ingredients are: 0 onions (or none), 1 tomatoes.
        counters: what lies on the counters, three bits each.
    """

    cells: tuple[int, ...]
    facing: tuple[int, ...]
    held: tuple[int, ...]
    pots: tuple[int, ...]
    kinds: tuple[int, ...]
    counters: int


class KitchenParams(NamedTuple):
    """The kitchen.

    Attributes:
        after: `[5, cells]` the cell a move leads to.
        ahead: `[4, cells]` the cell one faces.
        tiles: `[cells]` what stands in a cell.
        slots: `[cells]` the number of the counter or pot in a cell.
        rows, columns: `[cells]` where a cell is.
        starts: the cooks' first cells.
        upwards, empty: 3 and 0 for every cook; no_pots: 0 for every pot.
        cook_time: steps a full pot takes.
        num_counters: counters within reach.
        width: columns of the map.
    """

    after: np.ndarray
    ahead: np.ndarray
    tiles: np.ndarray
    slots: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    starts: tuple[int, ...]
    upwards: tuple[int, ...]
    empty: tuple[int, ...]
    no_pots: tuple[int, ...]
    cook_time: int
    num_counters: int
    width: int


class KitchenPurpose(NamedTuple):
    """What is wanted.

    Attributes:
        shares: what part of `delivery_reward` each cook gets for a delivery, by any of them.
        soup: the kind of soup wanted, 0 onion, 1 tomato, −1 any.
        delivery_reward: for a soup of that kind brought to the hatch.
        pot_reward, plate_reward: for the cook who puts an ingredient into a pot, who takes soup out of one.
    """

    shares: tuple[float, ...]
    soup: int
    delivery_reward: float
    pot_reward: float
    plate_reward: float


class KitchenView(NamedTuple):
    """What the entries of an observation are read from: rows, columns, facing, held of the cooks, own first."""

    rows: tuple[int, ...]
    columns: tuple[int, ...]
    facing: tuple[int, ...]
    held: tuple[int, ...]
    pots: tuple[int, ...]
    kinds: tuple[int, ...]
    counters: int


class Kitchen(World):
    """Cooks bring three ingredients to a pot, wait, plate the soup and deliver it.

    The map: `.` floor, `X` counter, `O` onions, `T` tomatoes, `D` plates, `P` pot, `S` hatch, `1` … `4` the cooks'
    first cells.

    Actions: `left`, `down`, `right`, `up`, `stay`, `use`, all cooks at once. A move turns the cook, and takes it there
        if the cell is floor. `use` acts on the cell one faces, first cook first: takes from a store with empty hands,
        lays down on or takes from a counter, puts an ingredient into a pot that is not full and holds no other kind,
        takes the soup out of a pot that is done, with a plate, and delivers soup at the hatch. Then all move at once:
        of those who would share a cell or swap cells, all stay where they were. Then full pots cook on.
    Observations: float32 `[4 · cooks + 2 · pots + counters]` for each cook: row, column, facing and what is held of
        itself and of the others in their order; content and kind of each pot; what lies on each counter.
    Rewards: each cook's share (1) of `delivery_reward` for a soup of the wanted kind; `pot_reward` and `plate_reward`
        to the cook who puts an ingredient into a pot and who takes the soup out of one.
    Start: the map's, facing up, hands, pots and counters empty.
    End: truncated after 400 steps.

    Args:
        map: a name (`hatch-window`, `one-counter`, `cramped-room`, `asymmetric-advantages`, `coordination-ring`,
            `forced-coordination`, `counter-circuit`) or rows with `/` between them.
        soup: `onion`, `tomato` or `any`.
        cook_time: steps a full pot takes.
        shares: what part of `delivery_reward` each cook gets: one number, or one per cook.
        delivery_reward, pot_reward, plate_reward: rewards; Overcooked's shaping is 20, 3, 5.

    Source: Carroll, Shah, Ho, Griffiths, Seshia, Abbeel & Dragan (2019), "On the utility of learning about humans for
        human-AI coordination", NeurIPS: five of the maps, and the rules: states and rewards equal those of their
        Overcooked-AI with `old_dynamics`, for two cooks (it lets kinds mix in a pot, this does not). Wu, Wang, Evans,
        Tenenbaum, Parkes & Kleiman-Weiner (2021), "Too many cooks", Topics in Cognitive Science 13: several dishes,
        and kitchens divided by a counter.
    Version history: v0, first.
    """

    State = KitchenState
    Params = KitchenParams
    Purpose = KitchenPurpose
    actions = (*MOVES, "use")
    players = 2
    simultaneous = True
    lengths = {
        **dict.fromkeys(("cells", "facing", "held", "starts", "upwards", "empty", "shares", "rows", "columns"), 2),
        **dict.fromkeys(("pots", "kinds", "no_pots"), 1),
    }
    max_episode_steps = 400

    @classmethod
    def sized(cls, map: str | Sequence[str] = "one-counter", **settings: Any) -> dict[str, Any]:
        text = "".join(read_rows(map, MAPS, ".XOTDPS1234"))
        cooks, pots = sum(text.count(digit) for digit in "1234"), text.count("P")
        if cooks < 2 or any(text.count(digit) != 1 for digit in "1234"[:cooks]):
            raise UsageError("the map does not say where the cooks begin", expected="one cell 1, one cell 2, and so on")
        if not 1 <= pots <= 8:
            raise UsageError(f"the map has {pots} pots", expected="1 to 8 cells P")
        names = ("cells", "facing", "held", "starts", "upwards", "empty", "shares", "rows", "columns")
        lengths = dict.fromkeys(names, cooks) | dict.fromkeys(("pots", "kinds", "no_pots"), pots)
        return {"players": cooks, "lengths": lengths}

    def setup(
        self,
        map: str | Sequence[str] = "one-counter",
        soup: str = "onion",
        cook_time: int = 20,
        shares: float | Sequence[float] = 1.0,
        delivery_reward: float = 20.0,
        pot_reward: float = 0.0,
        plate_reward: float = 0.0,
    ) -> tuple[KitchenParams, KitchenPurpose]:
        rows = read_rows(map, MAPS, ".XOTDPS1234")
        if soup not in SOUPS:
            raise UsageError(f"soup = {soup!r}", expected=", ".join(SOUPS))
        require("cook_time", cook_time, 1, 1000, whole=True)
        for name, value in (
            ("delivery_reward", delivery_reward), ("pot_reward", pot_reward), ("plate_reward", plate_reward)
        ):  # fmt: skip
            require(name, value, -1e12, 1e12)
        text, width = "".join(rows), len(rows[0])
        ahead = _ahead_table(rows)
        tiles = np.array([TILES.get(letter, FLOOR) for letter in text])
        if (tiles.reshape(len(rows), width)[[0, -1]] == FLOOR).any() or (
            tiles.reshape(len(rows), width)[:, [0, -1]] == FLOOR
        ).any():
            raise UsageError("the map is open at its edge", expected="no floor in the first and last row and column")
        reached = {int(cell) for cell in ahead[:STAY, tiles == FLOOR].ravel()}
        counters = [cell for cell in range(len(text)) if tiles[cell] == COUNTER and cell in reached]
        if len(counters) > MOST_COUNTERS:
            raise UsageError(f"the map has {len(counters)} counters within reach", expected=f"at most {MOST_COUNTERS}")
        slots = np.zeros(len(text), np.int64)
        slots[counters] = np.arange(len(counters))
        pots = cells_of(rows, "P")
        slots[pots] = np.arange(len(pots))
        cooks = self.players
        params = KitchenParams(
            after=moves_table(rows, barred="XOTDPS"),
            ahead=ahead,
            tiles=tiles,
            slots=slots,
            rows=np.arange(len(text)) // width,
            columns=np.arange(len(text)) % width,
            starts=tuple(text.index(digit) for digit in "1234"[:cooks]),
            upwards=(UP,) * cooks,
            empty=(NOTHING,) * cooks,
            no_pots=(0,) * len(pots),
            cook_time=int(cook_time),
            num_counters=len(counters),
            width=width,
        )
        return params, KitchenPurpose(
            per_player("shares", shares, cooks), SOUPS[soup], float(delivery_reward), float(pot_reward),
            float(plate_reward),
        )  # fmt: skip

    @staticmethod
    def initial(params: KitchenParams, branch: int) -> tuple[float, KitchenState]:
        return 1.0, KitchenState(params.starts, params.upwards, params.empty, params.no_pots, params.no_pots, 0)

    @staticmethod
    def transition(
        params: KitchenParams, state: KitchenState, action: tuple[int, ...], branch: int
    ) -> tuple[float, KitchenState]:
        return 1.0, used_and_moved(params, state, action)

    @staticmethod
    def reward(
        params: KitchenParams,
        purpose: KitchenPurpose,
        state: KitchenState,
        action: tuple[int, ...],
        next_state: KitchenState,
    ) -> tuple[float, ...]:
        return earned(params, purpose, purpose.soup, state, action, next_state)

    @staticmethod
    def observation_view(params: KitchenParams, state: KitchenState, player: int) -> KitchenView:
        return view_of_cook(params, state, player)

    @staticmethod
    def observation_entry(params: KitchenParams, view: KitchenView, k: int) -> float:
        return entry_of(view, k)

    @staticmethod
    def observations(params: KitchenParams) -> gym.Space[Any]:
        cook = [int(params.rows.max()), int(params.columns.max()), UP, TOMATO_SOUP]
        high = cook * len(params.starts) + [FULL + params.cook_time, 1] * len(params.no_pots)
        high += [TOMATO_SOUP] * params.num_counters
        return gym.spaces.Box(0.0, np.array(high, np.float32))

    @staticmethod
    def purposes(params: KitchenParams, purpose: KitchenPurpose) -> dict[str, KitchenPurpose]:
        return {f"{name} soup": purpose._replace(soup=soup) for name, soup in SOUPS.items()}

    @staticmethod
    def describe(params: KitchenParams, purpose: KitchenPurpose, state: KitchenState) -> str:
        places = {code: letter for letter, code in TILES.items()}
        names = {"X": "counter", "O": "onions", "T": "tomatoes", "D": "plates", "P": "pot", "S": "hatch"}
        cooks = " | ".join(
            f"cook {k} {at(cell, params.width)} facing {MOVES[state.facing[k]]} "
            f"{names.get(places.get(int(params.tiles[params.ahead[state.facing[k], cell]]), ''), 'floor')} "
            f"holding {ITEMS[state.held[k]]}"
            for k, cell in enumerate(state.cells)
        )
        pots = " | ".join(f"pot {p}: {_pot_in_words(params, state, p)}" for p in range(len(state.pots)))
        lying = [
            f"{ITEMS[(state.counters >> (3 * int(params.slots[cell]))) & 7]} {at(int(cell), params.width)}"
            for cell in np.flatnonzero(params.tiles == COUNTER)
            if _in_reach(params, int(cell)) and (state.counters >> (3 * int(params.slots[cell]))) & 7
        ]
        wanted = {0: "onion soup", 1: "tomato soup", ANY_SOUP: "soup"}[purpose.soup]
        return (
            f"{cooks} | {pots} | on counters: {', '.join(lying) or 'nothing'} | goal: three of a kind into a pot, "
            f"wait, take the soup out with a plate, bring {wanted} to the hatch"
        )

    @staticmethod
    def draw(params: KitchenParams, purpose: KitchenPurpose, state: KitchenState) -> Scene:
        width, height = params.width, len(params.tiles) // params.width
        shapes: list[Shape] = floor_shapes(["." * width] * height)
        for cell, tile in enumerate(params.tiles):
            x, y = middle(cell, width)
            if tile == FLOOR:
                continue
            shapes.append(Rect(x - 0.5, y - 0.5, 1, 1, fill="wood", stroke="line", line_width=0.02))
            if tile in (ONIONS, TOMATOES):
                fill = "yellow" if tile == ONIONS else "red"
                for dx, dy in ((-0.18, 0.14), (0.18, 0.14), (0, -0.16)):
                    shapes.append(Circle(x + dx, y + dy, 0.17, fill=fill, stroke="ink"))
            elif tile == PLATES:
                for lift in (0.12, 0.0, -0.12):
                    shapes.append(Circle(x, y + lift, 0.27, fill="paper", stroke="ink"))
            elif tile == HATCH:
                shapes.append(Rect(x - 0.5, y - 0.5, 1, 1, fill="goal"))
                shapes.append(Circle(x, y, 0.27, stroke="paper", line_width=0.06))
            elif tile == POT:
                shapes.append(Circle(x, y, 0.42, fill="wall", stroke="ink"))
                shapes += _pot_shapes(params, state, int(params.slots[cell]), x, y)
            elif _in_reach(params, cell):
                item = (state.counters >> (3 * int(params.slots[cell]))) & 7
                shapes += _item_shapes(item, x, y, 0.26)
        for k, cell in enumerate(state.cells):
            shapes += player_shapes(k, cell, width)
            x, y = middle(cell, width)
            down, right = OFFSETS[state.facing[k]]
            shapes.append(Circle(x + 0.27 * right, y + 0.27 * down, 0.07, fill="ink", layer="moving"))
            shapes += _item_shapes(state.held[k], x + 0.12 * right, y + 0.12 * down, 0.2)
        return Scene(width, height, tuple(shapes))


# ------------------------------------------------------------------------------------------- compiled with the law


def used_and_moved(params: KitchenParams, state: Any, action: tuple[int, ...]) -> KitchenState:
    """Returns the kitchen a step later."""
    held, pots, kinds, counters = state.held, state.pots, state.kinds, state.counters
    targets, facing = state.cells, state.facing
    for k in range(len(held)):
        cell = params.ahead[state.facing[k], state.cells[k]]
        tile, slot, item = params.tiles[cell], params.slots[cell], held[k]
        if action[k] == USE:
            if tile == COUNTER:
                lies = (counters >> (3 * slot)) & 7
                if lies == NOTHING or item == NOTHING:
                    counters ^= (lies ^ item) << (3 * slot)
                    held = replaced(held, k, lies)
            elif tile == POT:
                content, kind = pots[slot], kinds[slot]
                if item == PLATE and content == FULL + params.cook_time:
                    held = replaced(held, k, ONION_SOUP + kind)
                    pots, kinds = replaced(pots, slot, 0), replaced(kinds, slot, 0)
                elif NOTHING < item < PLATE and content < FULL and (content == 0 or kind == item - 1):
                    held = replaced(held, k, NOTHING)
                    pots, kinds = replaced(pots, slot, content + 1), replaced(kinds, slot, item - 1)
            elif tile == HATCH:
                held = replaced(held, k, NOTHING if item >= ONION_SOUP else item)
            elif tile != FLOOR and item == NOTHING:
                held = replaced(held, k, tile - ONIONS + ONION)
        targets = replaced(targets, k, params.after[min(action[k], STAY), state.cells[k]])
        facing = replaced(facing, k, action[k] if action[k] < STAY else state.facing[k])
    for p in range(len(pots)):
        cooks_on = (pots[p] >= FULL) & (pots[p] < FULL + params.cook_time)
        pots = replaced(pots, p, pots[p] + 1 if cooks_on else pots[p])
    return KitchenState(settled(state.cells, targets), facing, held, pots, kinds, counters)


def earned(
    params: KitchenParams, purpose: KitchenPurpose, wanted: int, state: Any, action: tuple[int, ...], next_state: Any
) -> tuple[float, ...]:
    """Returns each cook's reward, where soup of kind `wanted` is asked for."""
    delivered = 0
    rewards = purpose.shares
    for k in range(len(rewards)):
        tile = params.tiles[params.ahead[state.facing[k], state.cells[k]]]
        item, then = state.held[k], next_state.held[k]
        uses = action[k] == USE
        soup = uses & (tile == HATCH) & (item >= ONION_SOUP)
        delivered += 1 if soup & ((wanted == ANY_SOUP) | (item - ONION_SOUP == wanted)) else 0
        at_pot = uses & (tile == POT) & (item != then)
        own = purpose.plate_reward if item == PLATE else purpose.pot_reward
        rewards = replaced(rewards, k, own if at_pot else 0.0)
    for k in range(len(rewards)):
        rewards = replaced(rewards, k, rewards[k] + purpose.shares[k] * purpose.delivery_reward * delivered)
    return rewards


def view_of_cook(params: KitchenParams, state: Any, player: int) -> KitchenView:
    """Returns what a cook observes of a kitchen."""
    rows, columns, facing, held = params.empty, params.empty, params.empty, params.empty
    for place in range(len(rows)):
        who = player if place == 0 else (place - 1 if place <= player else place)
        rows = replaced(rows, place, params.rows[state.cells[who]])
        columns = replaced(columns, place, params.columns[state.cells[who]])
        facing = replaced(facing, place, state.facing[who])
        held = replaced(held, place, state.held[who])
    return KitchenView(rows, columns, facing, held, state.pots, state.kinds, state.counters)


def entry_of(view: Any, k: int) -> float:
    """Returns entry k of an observation."""
    cook, part = k // 4, k % 4
    pot = k - 4 * len(view.rows)
    counter = pot - 2 * len(view.pots)
    if pot < 0:
        if part < 2:
            return float(view.rows[cook] if part == 0 else view.columns[cook])
        return float(view.facing[cook] if part == 2 else view.held[cook])
    if counter < 0:
        return float(view.pots[pot // 2] if pot % 2 == 0 else view.kinds[pot // 2])
    return float((view.counters >> (3 * counter)) & 7)


# ------------------------------------------------------------------------------------------- settings, drawing


def _ahead_table(rows: Sequence[str]) -> np.ndarray:
    """Returns `[4, cells]` int64: the cell one faces; at the edge of the map one's own."""
    height, width = len(rows), len(rows[0])
    row, column = np.divmod(np.arange(height * width), width)
    to = [
        np.clip(row + down, 0, height - 1) * width + np.clip(column + right, 0, width - 1)
        for down, right in OFFSETS[:STAY]
    ]
    return np.stack(to)


def _in_reach(params: KitchenParams, cell: int) -> bool:
    """Returns whether a cook can stand next to a cell."""
    return bool((params.tiles[params.ahead[:, cell]] == FLOOR).any())


def _pot_in_words(params: KitchenParams, state: KitchenState, pot: int) -> str:
    content, kind = state.pots[pot], ("onion", "tomato")[state.kinds[pot]]
    if content < FULL:
        return (
            f"{content} of {FULL} {kind}{'' if content == 1 else 's' if kind == 'onion' else 'es'}"
            if content
            else "empty"
        )
    left = FULL + params.cook_time - content
    return f"{kind} soup, done" if left == 0 else f"{kind} soup, {left} steps to go"


def _pot_shapes(params: KitchenParams, state: KitchenState, pot: int, x: float, y: float) -> list[Shape]:
    """Returns what is in a pot: ingredients; or soup, with a bar that fills while it cooks and a rim when done."""
    content = state.pots[pot]
    fill = "red" if state.kinds[pot] else "yellow"
    if content < FULL:
        return [
            Circle(x + dx, y + dy, 0.13, fill=fill, stroke="ink", layer="moving")
            for dx, dy in ((-0.16, 0.1), (0.16, 0.1), (0, -0.16))[:content]
        ]
    done = (content - FULL) / params.cook_time
    shapes: list[Shape] = [Circle(x, y, 0.33, fill=fill, stroke="ink", layer="moving")]
    if done < 1:
        shapes.append(Rect(x - 0.4, y + 0.3, 0.8, 0.14, fill="paper", layer="moving"))
        shapes.append(Rect(x - 0.4, y + 0.3, 0.8 * done, 0.14, fill="goal", layer="moving"))
    else:
        shapes.append(Circle(x, y, 0.4, stroke="goal", line_width=0.1, layer="moving"))
    return shapes


def _item_shapes(item: int, x: float, y: float, radius: float) -> list[Shape]:
    """Returns an ingredient, a plate, or a plate of soup."""
    if item == NOTHING:
        return []
    plated = item in (PLATE, ONION_SOUP, TOMATO_SOUP)
    fill = "paper" if plated else "yellow" if item == ONION else "red"
    shapes: list[Shape] = [Circle(x, y, radius if plated else 0.75 * radius, fill=fill, stroke="ink", layer="moving")]
    if item >= ONION_SOUP:
        soup = "yellow" if item == ONION_SOUP else "red"
        shapes.append(Circle(x, y, 0.65 * radius, fill=soup, layer="moving"))
    return shapes
