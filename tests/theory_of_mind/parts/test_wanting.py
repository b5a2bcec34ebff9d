"""Minds with several goals, against products and paths written out."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from inscape.errors import UsageError
from inscape.theory_of_mind import (
    Best,
    Curious,
    Filtering,
    InTurn,
    Observer,
    Planning,
    PlanningMind,
    Softmax,
    Switching,
)
from tests.theory_of_mind.worlds import Corridor, CorridorPurpose, CorridorState

WORLD = Corridor(slip=0.2)
LEFT, RIGHT = 0, 1
GOALS = ("left end", "right end")


def test_goals_in_turn_are_worth_the_way_through_all_of_them() -> None:
    """Values of the corridor times the goal pursued, by sweeps over (cell, goal) written out."""
    mind = PlanningMind(InTurn(GOALS), plans=Planning("hard"), chooses=Best())
    values = {(cell, g): 0.0 for cell in range(5) for g in (0, 1)}
    ends = {0: 0, 1: 4}

    def q(cell: int, g: int, action: int) -> float:
        total = 0.0
        for step, p in ((2 * action - 1, 0.8), (1 - 2 * action, 0.2)):
            there = min(max(cell + step, 0), 4)
            if there == ends[g]:
                total += p * (1.0 + (0.9 * values[there, 1] if g == 0 else 0.0))
            else:
                total += p * 0.9 * values[there, g]
        return total

    for _ in range(2000):
        values = {(c, g): 0.0 if c == ends[g] else max(q(c, g, LEFT), q(c, g, RIGHT)) for c, g in values}
    found = mind.action_values(WORLD)
    for cell, g, action in itertools.product(range(5), (0, 1), (0, 1)):
        if cell != ends[g]:
            s = number(cell)
            assert found[g, s, action] == pytest.approx(q(cell, g, action), abs=1e-9)


def number(cell: int) -> int:
    return int(WORLD.dynamics().index_of(WORLD.pack([CorridorState(cell)]))[0])


def test_a_mind_turns_round_at_its_first_goal_and_remembers_it() -> None:
    controller = PlanningMind(InTurn(GOALS), plans=Planning("hard"), chooses=Best()).controller(WORLD)
    policy = np.exp(controller.log_probs)
    assert policy[number(2)].tolist() == [[1.0, 0.0], [0.0, 1.0]]  # first left, then right
    assert controller.start[number(2)].tolist() == [1.0, 0.0]
    assert controller.start[number(0)].tolist() == [0.0, 1.0]  # it begins where the first goal is
    watch = Observer(WORLD, [PlanningMind(InTurn(goals), 25.0, "hard") for goals in (GOALS, GOALS[::-1])])
    for cell, action in ((2, LEFT), (1, LEFT), (0, RIGHT), (1, RIGHT), (2, RIGHT)):
        posterior = watch.update(CorridorState(cell), action)
    assert posterior[0] > 0.99
    assert watch.predict(CorridorState(3)).action_probs[RIGHT] > 0.95


@pytest.mark.parametrize("start", [None, (0.3, 0.7)])
def test_switching_goals_is_a_sum_over_every_sequence_of_goals(start: Any) -> None:
    rate, beta = 0.15, 2.0
    switching = PlanningMind(Switching(GOALS, rate, start), beta, "hard")
    steady = PlanningMind("middle", beta, "hard")
    cells, actions = [2, 3, 2, 1, 2], [RIGHT, LEFT, LEFT, RIGHT, RIGHT]
    policies = [np.exp(PlanningMind(goal, beta, "hard").controller(WORLD).log_probs[:, 0]) for goal in GOALS]
    evidence = 0.0
    for path in itertools.product((0, 1), repeat=len(cells)):
        weight = (start or (0.5, 0.5))[path[0]]
        for t, goal in enumerate(path):
            if t:
                weight *= rate if goal != path[t - 1] else 1 - rate
            weight *= policies[goal][number(cells[t]), actions[t]]
        evidence += weight
    other = np.prod([np.exp(steady.controller(WORLD).log_probs)[number(c), 0, a] for c, a in zip(cells, actions)])
    watch = Observer(WORLD, [switching, steady])
    for cell, action in zip(cells, actions):
        watch.update(CorridorState(cell), action)
    np.testing.assert_allclose(watch.posterior(), np.array([evidence, other]) / (evidence + other), rtol=1e-12)
    assert watch.log_evidence() == pytest.approx(np.log(0.5 * (evidence + other)), abs=1e-12)


def test_a_rate_of_zero_is_a_goal_drawn_once() -> None:
    switching = PlanningMind(Switching(GOALS, 0.0), 2.0, "hard")
    watch, apart = Observer(WORLD, [switching]), Observer(WORLD, [PlanningMind(g, 2.0, "hard") for g in GOALS])
    for cell, action in ((2, RIGHT), (3, LEFT), (2, LEFT)):
        watch.update(CorridorState(cell), action)
        apart.update(CorridorState(cell), action)
    assert watch.log_evidence() == pytest.approx(apart.log_evidence(), abs=1e-12)


def test_minds_of_equal_goals_are_equal() -> None:
    assert PlanningMind(InTurn(GOALS), 1.0, "hard") == PlanningMind(InTurn(list(GOALS)), 1.0, "hard")
    assert PlanningMind(InTurn(GOALS), 1.0, "hard") != PlanningMind(Switching(GOALS, 0.1), 1.0, "hard")
    purposes = CorridorPurpose(goal=0), CorridorPurpose(goal=4)
    assert hash(PlanningMind(InTurn(purposes), 1.0, "hard")) == hash(PlanningMind(InTurn(purposes), 1.0, "hard"))
    named = PlanningMind(InTurn(GOALS), 2.0, "soft-eval").action_values(WORLD)
    np.testing.assert_array_equal(named, PlanningMind(InTurn(purposes), 2.0, "soft-eval").action_values(WORLD))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: InTurn(("left end",)), "two or more"),
        (lambda: InTurn("left end"), "two or more goals"),
        (lambda: Switching(GOALS, 1.5), "rate = 1.5"),
        (lambda: Switching(GOALS, 0.1, (0.5, 0.6)), "a distribution over the 2 goals"),
        (lambda: Curious(-1.0, "left end"), "weight is -1.0"),
        (lambda: PlanningMind(Curious(1.0, "left end"), 1.0, "hard"), "does not filter"),
        (lambda: PlanningMind(InTurn(GOALS), 1.0, "hard", believes=Filtering()), "one goal"),
        (lambda: PlanningMind(InTurn(("left end", "moon")), 1.0, "hard").controller(WORLD), "moon"),
        (lambda: PlanningMind("left end", 1.0, "hard", wants="right end"), "a goal and wants"),
        (lambda: PlanningMind(beta=1.0, backup="hard"), "neither a goal nor wants"),
        (lambda: PlanningMind("left end", 1.0, plans=Planning("hard"), chooses=Softmax(1.0)), "beta = 1.0 beside"),
        (lambda: PlanningMind("left end", chooses=Softmax(1.0), plans="hard"), "plans = 'hard'"),
        (lambda: PlanningMind("left end", chooses=2.0, plans=Planning("hard")), "chooses = 2.0"),
        (lambda: PlanningMind("left end", 1.0, "hard", believes="all"), "believes = 'all'"),
    ],
)
def test_what_cannot_be_wanted_is_refused(make: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        make()
