from __future__ import annotations

import pytest

from inscape.envs.worlds.gridworld.grid import GridWorld
from inscape.world_models import value_iteration
from tests.envs.worlds.mdp.plain import plain_table

GAMMA = 0.95


def steps_to_goal(world: GridWorld) -> float:
    """Length of the shortest path, from the value of the start: γ^(n − 1), the reward being 1 at the goal."""
    table, _ = plain_table(world)
    value = float(value_iteration(table, GAMMA, tolerance=1e-10).values @ table.initial)
    n = 1
    while GAMMA ** (n - 1) > value + 1e-8:
        n += 1
    assert GAMMA ** (n - 1) == pytest.approx(value, abs=1e-8)
    return n


@pytest.mark.parametrize(
    ("name", "free", "steps"),
    [
        ("dyna-maze", 47, 14),  # Sutton & Barto (2018), Example 8.1: 47 states, optimal episodes of 14 steps
        ("blocking-maze", 46, 10),
        ("blocking-maze-later", 46, 16),
        ("shortcut-maze", 46, 16),
        ("shortcut-maze-later", 47, 10),
    ],
)
def test_mazes_are_the_books(name, free, steps):
    world = GridWorld(map=name, slip=0.0)
    assert len(list(world.roots(world.params))) == free
    assert steps_to_goal(world) == steps


def test_a_maze_that_changes_is_another_set_of_parameters():
    """The same states and purpose, other walls: what an agent that planned before the change falsely believes."""
    before, after = (GridWorld(map=name, slip=0.0) for name in ("shortcut-maze", "shortcut-maze-later"))
    changed = before.with_params(after.params)
    assert changed.purpose == before.purpose
    assert (steps_to_goal(before), steps_to_goal(changed)) == (16, 10)
    assert before.observation_space == changed.observation_space
