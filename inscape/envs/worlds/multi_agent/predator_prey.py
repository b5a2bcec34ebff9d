"""Predators that surround a prey."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from inscape.envs.law.tools import replaced
from inscape.envs.rendering.scene import Polygon, Scene
from inscape.envs.world import World
from inscape.envs.worlds.multi_agent.grid_moves import (
    MOVES,
    STAY,
    at,
    floor_shapes,
    middle,
    moves_table,
    neighbours_table,
    own_first,
    per_player,
    placements,
    player_shapes,
    require,
    settled,
)


class PredatorPreyState(NamedTuple):
    """The predators' cells (row · size + column) and the prey's."""

    cells: tuple[int, ...]
    prey: int


class PredatorPreyParams(NamedTuple):
    """How all move.

    Attributes:
        after: `[5, cells]` the cell a move leads to.
        near: `[cells, cells]` bool, are they neighbours.
        starts: `[n, players + 1]` start cells, the prey's last; each row equally likely.
        blank: zeros, one per predator, to be filled.
        needed: predators next to the prey that catch it.
        rest: probability that the prey stays where it is.
        size: rows and columns of the grid.
    """

    after: np.ndarray
    near: np.ndarray
    starts: np.ndarray
    blank: tuple[int, ...]
    needed: int
    rest: float
    size: int


class PredatorPreyPurpose(NamedTuple):
    """What is wanted.

    Attributes:
        shares: what part of `catch_reward` each predator gets when the prey is caught, by whomever.
        catch_reward: for the catch.
        step_cost: subtracted from everyone's reward at every step.
    """

    shares: tuple[float, ...]
    catch_reward: float
    step_cost: float


class PredatorPrey(World):
    """Predators on a grid without edges surround a prey that moves at random.

    Actions: `left`, `down`, `right`, `up`, `stay`, all predators at once. No two share a cell or swap cells: of those
        who would, all stay where they were (and so do those who wanted a cell that is not left because of it).
        Nobody enters the prey's cell. Then the prey stays with probability `rest`, or moves in one of the four
        directions alike; into a predator it does not move. A caught prey stays.
    Observations: MultiDiscrete (32 bits), for each predator: its own cell, the others' in their order, the prey's.
    Rewards: each predator's share (1) of `catch_reward` when the prey is caught; `step_cost` subtracted at every step.
    Start: one of `starts` placements, drawn by `placement_seed`, equally likely.
    End: terminated when `needed` predators are next to the prey; truncated after 100 steps.

    Args:
        predators: 2 to 6 players.
        size: rows and columns of the grid, whose opposite edges are joined (`torus`).
        needed: how many predators next to the prey catch it; 0 stands for all of them, four at most.
        rest: probability in [0, 1] that the prey stays.
        torus: are opposite edges joined.
        starts: number of start placements.
        placement_seed: draws them.
        shares: what part of `catch_reward` each predator gets, when any of them catches: one number, or one each.
        catch_reward, step_cost: rewards.

    Source: Benda, Jagannathan & Dodhiawala (1985), "On optimal cooperation of knowledge sources", as the pursuit domain
        of Barrett, Stone & Kraus (2011), AAMAS: a torus, four predators, a random prey. There collisions are decided
        by a random priority, and all move at the same time; here by the symmetric rule above, the prey last.
    Version history: v0, first.
    """

    State = PredatorPreyState
    Params = PredatorPreyParams
    Purpose = PredatorPreyPurpose
    actions = MOVES
    players = 4
    simultaneous = True
    lengths = {"cells": 4, "blank": 4, "shares": 4}
    max_branches = 5
    max_episode_steps = 100

    @classmethod
    def sized(cls, predators: int = 4, **settings: Any) -> dict[str, Any]:
        require("predators", predators, 2, 6, whole=True)
        return {"players": int(predators), "lengths": dict.fromkeys(("cells", "blank", "shares"), int(predators))}

    def setup(
        self,
        predators: int = 4,
        size: int = 5,
        needed: int = 0,
        rest: float = 0.2,
        torus: bool = True,
        starts: int = 64,
        placement_seed: int = 0,
        shares: float | Sequence[float] = 1.0,
        catch_reward: float = 1.0,
        step_cost: float = 0.01,
    ) -> tuple[PredatorPreyParams, PredatorPreyPurpose]:
        require("size", size, 3, 64, whole=True)
        require("needed", needed, 0, min(4, predators), whole=True)
        require("rest", rest, 0, 1)
        require("starts", starts, 1, 100_000, whole=True)
        require("catch_reward", catch_reward, -1e12, 1e12)
        require("step_cost", step_cost, -1e12, 1e12)
        after = moves_table(["." * size] * size, torus=bool(torus))
        params = PredatorPreyParams(
            after=after,
            near=neighbours_table(after),
            starts=placements(range(size * size), predators + 1, starts, placement_seed),
            blank=(0,) * int(predators),
            needed=int(needed) or min(4, int(predators)),
            rest=float(rest),
            size=int(size),
        )
        return params, PredatorPreyPurpose(
            per_player("shares", shares, predators), float(catch_reward), float(step_cost)
        )

    @staticmethod
    def initial_branches(params: PredatorPreyParams) -> int:
        return len(params.starts)

    @staticmethod
    def branches(params: PredatorPreyParams) -> int:
        return 5

    @staticmethod
    def initial(params: PredatorPreyParams, branch: int) -> tuple[float, PredatorPreyState]:
        cells = params.blank
        for k in range(len(cells)):
            cells = replaced(cells, k, params.starts[branch, k])
        return 1.0 / len(params.starts), PredatorPreyState(cells, params.starts[branch, len(cells)])

    @staticmethod
    def transition(
        params: PredatorPreyParams, state: PredatorPreyState, action: tuple[int, ...], branch: int
    ) -> tuple[float, PredatorPreyState]:
        targets = state.cells
        for k in range(len(state.cells)):
            to = params.after[action[k], state.cells[k]]
            targets = replaced(targets, k, state.cells[k] if to == state.prey else to)
        cells = settled(state.cells, targets)
        to = params.after[branch, state.prey]
        blocked = count_near(params, cells, state.prey) >= params.needed
        for k in range(len(cells)):
            blocked |= cells[k] == to
        probability = params.rest if branch == STAY else 0.25 * (1.0 - params.rest)
        return probability, PredatorPreyState(cells, state.prey if blocked else to)

    @staticmethod
    def reward(
        params: PredatorPreyParams,
        purpose: PredatorPreyPurpose,
        state: PredatorPreyState,
        action: tuple[int, ...],
        next_state: PredatorPreyState,
    ) -> tuple[float, ...]:
        caught = count_near(params, next_state.cells, next_state.prey) >= params.needed
        rewards = purpose.shares
        for k in range(len(rewards)):
            gained = purpose.shares[k] * purpose.catch_reward if caught else 0.0
            rewards = replaced(rewards, k, gained - purpose.step_cost)
        return rewards

    @staticmethod
    def terminal(params: PredatorPreyParams, purpose: PredatorPreyPurpose, state: PredatorPreyState) -> bool:
        return count_near(params, state.cells, state.prey) >= params.needed

    @staticmethod
    def observation(params: PredatorPreyParams, state: PredatorPreyState, player: int) -> tuple[int, ...]:
        return (*own_first(state.cells, player), state.prey)

    @staticmethod
    def observations(params: PredatorPreyParams) -> gym.Space[Any]:
        # 32 bits: writing what four predators see is half of a step's work
        return gym.spaces.MultiDiscrete([params.size**2] * (len(params.blank) + 1), dtype=np.int32)

    @staticmethod
    def purposes(params: PredatorPreyParams, purpose: PredatorPreyPurpose) -> dict[str, PredatorPreyPurpose]:
        count = len(params.blank)
        named = {"all hunt": purpose._replace(shares=(1.0,) * count)}
        for idle in range(count):
            shares = tuple(float(k != idle) for k in range(count))
            named[f"player_{idle} does not care"] = purpose._replace(shares=shares)
        return named

    @staticmethod
    def describe(params: PredatorPreyParams, purpose: PredatorPreyPurpose, state: PredatorPreyState) -> str:
        places = " | ".join(f"predator {k} {at(cell, params.size)}" for k, cell in enumerate(state.cells))
        return (
            f"{places} | prey {at(state.prey, params.size)} | "
            f"{params.needed} predators next to the prey catch it, {count_near(params, state.cells, state.prey)} are"
        )

    @staticmethod
    def draw(params: PredatorPreyParams, purpose: PredatorPreyPurpose, state: PredatorPreyState) -> Scene:
        shapes = floor_shapes(["." * params.size] * params.size)
        x, y = middle(state.prey, params.size)
        r = 0.36
        prey = ((x, y - r), (x + r, y), (x, y + r), (x - r, y))
        shapes.append(Polygon(prey, fill="danger", stroke="ink", line_width=0.04, layer="moving"))
        for k, cell in enumerate(state.cells):
            shapes += player_shapes(k, cell, params.size)
        return Scene(params.size, params.size, tuple(shapes))


def count_near(params: PredatorPreyParams, cells: tuple[int, ...], prey: int) -> int:
    """Returns how many of the cells are next to the prey's (compiled with the law)."""
    count = 0
    for k in range(len(cells)):
        count += params.near[cells[k], prey]
    return count
