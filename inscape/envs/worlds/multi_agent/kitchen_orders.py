"""A kitchen in which one cook reads the orders, and the others have to infer them."""

from __future__ import annotations

from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from inscape.envs.rendering.scene import Rect, Scene, Text
from inscape.envs.worlds.multi_agent.kitchen import (
    HATCH,
    ONION_SOUP,
    TOMATO_SOUP,
    USE,
    Kitchen,
    KitchenParams,
    KitchenPurpose,
    KitchenState,
    earned,
    entry_of,
    used_and_moved,
    view_of_cook,
)

READER = 0
"""The cook who reads the orders."""
ORDERS = ("onion soup", "tomato soup")


class KitchenOrdersState(NamedTuple):
    """The cooks and the kitchen, as in `KitchenState`, and the order: 0 onion soup, 1 tomato soup."""

    cells: tuple[int, ...]
    facing: tuple[int, ...]
    held: tuple[int, ...]
    pots: tuple[int, ...]
    kinds: tuple[int, ...]
    counters: int
    order: int


class KitchenOrdersView(NamedTuple):
    """What the entries of an observation are read from: as `KitchenView`; order: 1 + the order, 0 where unknown."""

    rows: tuple[int, ...]
    columns: tuple[int, ...]
    facing: tuple[int, ...]
    held: tuple[int, ...]
    pots: tuple[int, ...]
    kinds: tuple[int, ...]
    counters: int
    order: int


class KitchenOrders(Kitchen):
    """Cooks make the soup that is ordered; only the first cook reads the order, the others infer it from what it does.

    The map: as `Kitchen`'s.

    Actions: `left`, `down`, `right`, `up`, `stay`, `use`, all cooks at once, as in `Kitchen`.
    Observations: float32, as `Kitchen`'s, and one entry more: 1 onion soup, 2 tomato soup for the first cook, 0 for the
        others.
    Rewards: each cook's share (1) of `delivery_reward` for a soup of the kind that is ordered; `pot_reward` and
        `plate_reward` as in `Kitchen`. With a delivery comes the next order, onion or tomato soup alike.
    Start: as `Kitchen`'s; each order alike.
    End: truncated after 400 steps.

    Args:
        map: as `Kitchen`'s; `hatch-window` gives one cook the stores, the other the pot and the hatch.
        soup: plays no part.
        cook_time: steps a full pot takes.
        shares: what part of `delivery_reward` each cook gets: one number, or one per cook.
        delivery_reward, pot_reward, plate_reward: rewards.

    Source: the kitchen of Carroll et al. (2019), NeurIPS; that one player alone knows what is wanted: Hadfield-Menell,
        Russell, Abbeel & Dragan (2016), "Cooperative inverse reinforcement learning", NeurIPS.
    Version history: v0, first.
    """

    State = KitchenOrdersState  # type: ignore[assignment]
    branches = 2
    initial_branches = 2

    @staticmethod
    def initial(params: KitchenParams, branch: int) -> tuple[float, KitchenOrdersState]:  # type: ignore[override]
        pots = params.no_pots
        return 0.5, KitchenOrdersState(params.starts, params.upwards, params.empty, pots, pots, 0, branch)

    @staticmethod
    def transition(  # type: ignore[override]
        params: KitchenParams, state: KitchenOrdersState, action: tuple[int, ...], branch: int
    ) -> tuple[float, KitchenOrdersState]:
        after = used_and_moved(params, state, action)
        done = delivers(params, state, action)
        probability = 0.5 if done else (1.0 if branch == 0 else 0.0)
        order = branch if done else state.order
        return probability, KitchenOrdersState(
            after.cells, after.facing, after.held, after.pots, after.kinds, after.counters, order
        )

    @staticmethod
    def reward(
        params: KitchenParams, purpose: KitchenPurpose, state: Any, action: tuple[int, ...], next_state: Any
    ) -> tuple[float, ...]:
        return earned(params, purpose, state.order, state, action, next_state)

    @staticmethod
    def observation_view(params: KitchenParams, state: Any, player: int) -> KitchenOrdersView:  # type: ignore[override]
        view = view_of_cook(params, state, player)
        order = state.order + 1 if player == READER else 0
        return KitchenOrdersView(
            view.rows, view.columns, view.facing, view.held, view.pots, view.kinds, view.counters, order
        )

    @staticmethod
    def observation_entry(params: KitchenParams, view: Any, k: int) -> float:
        last = 4 * len(view.rows) + 2 * len(view.pots) + params.num_counters
        return 1.0 * view.order if k == last else entry_of(view, k)

    @staticmethod
    def observations(params: KitchenParams) -> gym.Space[Any]:
        high = Kitchen.observations(params).high  # type: ignore[attr-defined]
        return gym.spaces.Box(0.0, np.append(high, np.float32(len(ORDERS))))

    @staticmethod
    def purposes(params: KitchenParams, purpose: KitchenPurpose) -> dict[str, KitchenPurpose]:
        """Returns the one purpose: what is ordered is part of the state."""
        return {"what is ordered": purpose}

    @staticmethod
    def describe(params: KitchenParams, purpose: KitchenPurpose, state: Any) -> str:
        return f"{Kitchen.describe(params, purpose, _kitchen(state))} | ordered: {ORDERS[state.order]}"

    @staticmethod
    def draw(params: KitchenParams, purpose: KitchenPurpose, state: Any) -> Scene:
        return _with_order(Kitchen.draw(params, purpose, _kitchen(state)), ORDERS[state.order])

    @staticmethod
    def draw_view(params: KitchenParams, purpose: KitchenPurpose, state: Any, player: int) -> Scene:
        """Returns what a cook sees: only the first reads the order."""
        order = ORDERS[state.order] if player == READER else "?"
        return _with_order(Kitchen.draw(params, purpose, _kitchen(state)), order)


def delivers(params: KitchenParams, state: KitchenOrdersState, action: tuple[int, ...]) -> bool:
    """Returns whether a cook brings the soup that is ordered to the hatch."""
    found = False
    for k in range(len(state.held)):
        tile = params.tiles[params.ahead[state.facing[k], state.cells[k]]]
        found |= (action[k] == USE) & (tile == HATCH) & (state.held[k] == ONION_SOUP + state.order)
    return found


def _kitchen(state: KitchenOrdersState) -> KitchenState:
    return KitchenState(*state[:-1])


def _with_order(scene: Scene, order: str) -> Scene:
    """Returns a scene with the order below it."""
    slip = Rect(0, scene.height, scene.width, 0.6, fill="paper", layer="moving")
    words = Text(scene.width / 2, scene.height + 0.3, order, size=0.35, fill="ink", layer="moving")
    return Scene(scene.width, scene.height + 0.6, (*scene.shapes, slip, words))


assert ONION_SOUP + 1 == TOMATO_SOUP, "orders count soups in this order"
