from __future__ import annotations

import numpy as np
import pytest

from inscape.envs.worlds.gridworld.windy_grid import WindyGrid
from inscape.errors import UsageError
from inscape.world_models import value_iteration
from tests.envs.worlds.mdp.plain import outcomes, plain_table

GAMMA = 0.99


@pytest.mark.parametrize(("moves", "steps"), [(4, 15), (8, 7), (9, 7)])
def test_shortest_paths_are_the_books(moves, steps):
    """15 steps (Sutton & Barto 2018, Example 6.5); 7 with king's moves, and no better by staying (Exercise 6.9)."""
    table, _ = plain_table(WindyGrid(moves=moves))
    value = value_iteration(table, GAMMA).values[30]
    assert value == pytest.approx(-(1 - GAMMA**steps) / (1 - GAMMA), abs=1e-5)


def cells(world, cell, name):
    return {s.cell: p for s, p in outcomes(world, world.State(cell), world.action_names.index(name)).items()}


def test_the_wind_is_that_of_the_column_left():
    """The book's example: one cell to the right of the goal, left leads to the cell just above the goal."""
    assert cells(WindyGrid(), 38, "left") == {27: 1.0}
    assert cells(WindyGrid(), 6, "up") == {6: 1.0}  # nothing leaves the grid
    assert cells(WindyGrid(), 9, "right") == {9: 1.0}
    assert cells(WindyGrid(moves=9), 33, "stay") == {23: 1.0}
    assert cells(WindyGrid(moves=8), 35, "down-right") == {36: 1.0}


def test_stochastic_wind_is_the_books():
    """Exercise 6.10: left from the cell right of the goal: the goal, one cell above it, or two, a third each."""
    world = WindyGrid(moves=8, stochastic_wind=True)
    assert cells(world, 38, "left") == pytest.approx({37: 1 / 3, 27: 1 / 3, 17: 1 / 3})
    assert cells(world, 30, "right") == {31: 1.0}  # no wind there
    table, _ = plain_table(world)
    values = value_iteration(table, GAMMA, tolerance=1e-9).values
    # Bellman's equation, written out once more from the exercise's words
    wind = [0, 0, 0, 1, 1, 1, 2, 2, 1, 0]
    for cell in range(70):
        row, column = divmod(cell, 10)
        best = -np.inf
        for down in (-1, 0, 1):
            for right in (-1, 0, 1):
                if (down, right) == (0, 0):
                    continue
                worth = []
                for gust in (-1, 0, 1) if wind[column] else (0,):
                    r, c = np.clip(row + down - wind[column] - gust, 0, 6), np.clip(column + right, 0, 9)
                    worth.append(-1 + GAMMA * values[r * 10 + c])
                best = max(best, np.mean(worth))
        assert cell == 37 or values[cell] == pytest.approx(best, abs=1e-7)


@pytest.mark.parametrize("settings", [{"moves": 5}, {"stochastic_wind": "yes"}, {"step_reward": float("inf")}])
def test_bad_settings_are_refused(settings):
    (name,) = settings
    with pytest.raises(UsageError, match=f"{name} = "):
        WindyGrid(**settings)
