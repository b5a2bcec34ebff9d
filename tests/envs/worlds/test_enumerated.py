"""Worlds of plain functions against the same world as a class, and refusals."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

from inscape.envs import enumerated_world
from inscape.errors import TooManyStatesError, UsageError
from inscape.experiments.checks.worlds import check_world
from inscape.theory_of_mind import Filtering, Observer, PlanningMind, as_game, level_k, minds_grid
from inscape.theory_of_mind.parts.planning import Planning
from tests.theory_of_mind.recursion.test_levels import PILE
from tests.theory_of_mind.worlds import Corridor, CorridorState


def corridor(slip: float = 0.2) -> Any:
    def step(cell: int, action: str) -> dict[int, float]:
        move = 1 if action == "right" else -1
        ahead, back = (min(max(cell + d, 0), 4) for d in (move, -move))
        return {ahead: 1.0} if ahead == back else {ahead: 1 - slip, back: slip}

    ends = {"left end": 0, "middle": 2, "right end": 4}
    goals = {name: (lambda s, a, t, goal=goal: float(t == goal)) for name, goal in ends.items()}
    return enumerated_world(2, ("left", "right"), step, goals=goals, over=lambda s, goal: s == ends[goal], gamma=0.9)


def test_minds_do_the_same_as_in_a_world_that_is_a_class() -> None:
    mine, other = corridor(), Corridor(slip=0.2)
    watch = [Observer(world, minds_grid(("left end", "right end"), (1.0, 5.0), "soft-eval")) for world in (mine, other)]
    for cell, action in ((2, "right"), (3, "left"), (2, "right")):
        watch[0].update(mine.number[cell], action, fresh=True)
        watch[1].update(CorridorState(cell), action, fresh=True)
    assert watch[0].posterior() == pytest.approx(watch[1].posterior(), abs=1e-12)
    assert watch[0].evidence() == pytest.approx(watch[1].evidence(), abs=1e-12)


def test_two_players_in_turn() -> None:
    def step(state: Any, action: str) -> Any:
        left, mover = state
        taken = min(1 + (action == "two"), left)
        return {(left - taken, 1 - mover): 0.75, (left - 1, 1 - mover): 0.25} if taken > 1 else (left - 1, 1 - mover)

    def pays(state: Any, action: str, following: Any) -> tuple[float, float]:
        won = float(following[0] == 0)
        return (won, -won) if state[1] == 0 else (-won, won)

    world = enumerated_world(
        (4, 0), ("one", "two"), step, pays, over=lambda s: s[0] == 0, mover=lambda s: s[1], gamma=0.9
    )
    mine, other = (level_k(each, 3, gamma=0.9) for each in (world, PILE))
    for level in range(4):
        assert mine.game.returns(mine[level]) == pytest.approx(other.game.returns(other[level]), abs=1e-12)
    assert as_game(world).nash_conv(mine[3]) == pytest.approx(as_game(PILE).nash_conv(other[3]), abs=1e-12)


def test_what_is_not_seen_is_believed() -> None:
    """One of two boxes holds a prize; looking shows it."""
    world = enumerated_world(
        {(box, "?"): 1.0 for box in "AB"}, ("look", "A", "B"),
        lambda s, a: (s[0], s[0]) if a == "look" else (s[0], "end"),
        lambda s, a, t: float(a == s[0]) - 0.1 * (a == "look"),
        over=lambda s: s[1] == "end", sees=lambda s: s[1],
    )  # fmt: skip
    mind = PlanningMind(world.purpose, 100.0, believes=Filtering(), plans=Planning("hard"))
    assert mind.action_values(world)[0] == pytest.approx([0.9, 0.5, 0.5])


def test_a_world_of_functions_is_a_world() -> None:
    world = corridor()
    again = pickle.loads(pickle.dumps(world.settings["listing"]))
    assert again.states == world.listed and world.name == "the world" and "5 states" in repr(world)
    env = world.env()
    observation, _ = env.reset(seed=0)
    assert observation == 0 and env.step(1)[0] in (1, 2)
    np.testing.assert_allclose(world.dynamics().probability.sum(axis=2), 1.0)
    assert world.describe_state(world.dynamics().states, world.number[3]) == "3"
    assert not [check for check in check_world(world, readers="none").checks if check.passed is False]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: enumerated_world(0, ("a",), lambda s, a: s), "without a reward"),
        (lambda: enumerated_world(0, (), lambda s, a: s, lambda s, a, t: 0.0), "actions"),
        (lambda: enumerated_world(0, ("a", "a"), lambda s, a: s, lambda s, a, t: 0.0), "each of them once"),
        (lambda: enumerated_world(0, ("a",), lambda s, a: None, lambda s, a, t: 0.0), "nothing is legal in 0"),
        (lambda: enumerated_world(0, ("a",), lambda s, a: {0: -1.0}, lambda s, a, t: 0.0), "outcomes of 'a' in 0"),
        (lambda: enumerated_world({}, ("a",), lambda s, a: s, lambda s, a, t: 0.0), "the start"),
        (lambda: enumerated_world([1], ("a",), lambda s, a: s, lambda s, a, t: 0.0), "hashable"),
        (lambda: enumerated_world(1, ("a",), lambda s, a: [s], lambda s, a, t: 0.0), "hashable"),
        (lambda: enumerated_world(1, ("a",), lambda s, a: s, lambda s, a, t: 0.0, sees=lambda s: [s]), "what is seen"),
        (lambda: enumerated_world(1, ("a",), lambda s, a: s, lambda s, a, t: None), "the reward None for 'a' in 1"),
        (lambda: enumerated_world(1, ("a",), lambda s, a: s, lambda s, a, t: float("nan")), "a finite number"),
        (lambda: enumerated_world(1, ("a",), lambda s, a: s, lambda s, a, t: (1, 2)), "a finite number"),
        (lambda: enumerated_world(1, ("a",), lambda s, a: s, lambda s, a, t: 1.0, mover=lambda s: 0), "a pair"),
        (lambda: enumerated_world(1, ("a",), lambda s, a: s, lambda s, a, t: (1, 2), mover=lambda s: 2), "the mover 2"),
        (lambda: enumerated_world(1, ("a",), lambda s, a: s, lambda s, a, t: 1.0, gamma=2), "gamma = 2"),
        (lambda: enumerated_world(1, ("a",), lambda s, a: s, 3.0), "the reward 3.0"),
    ],
)
def test_what_is_no_world_is_refused(make: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        make()


def test_endless_worlds_are_refused() -> None:
    with pytest.raises(TooManyStatesError, match="more than 50 states"):
        enumerated_world(0, ("on",), lambda s, a: s + 1, lambda s, a, t: 0.0, max_states=50)


def test_states_as_given_are_refused_where_numbers_are_expected() -> None:
    world = enumerated_world((0, 0), ("a",), lambda s, a: s, lambda s, a, t: 0.0, gamma=0.5)
    with pytest.raises(UsageError, match=r"world.number\[state\]"):
        Observer(world, minds_grid([world.purpose], (1.0,), "hard")).update((0, 0), "a")
