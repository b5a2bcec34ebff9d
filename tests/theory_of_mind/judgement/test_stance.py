"""Helping or hindering: against the exact observer, in cases with known answers, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from inscape import make_world
from inscape.errors import MissingLawError, UsageError
from inscape.theory_of_mind import Caring, Observer, Planning, PlanningMind, Softmax, helping_or_hindering

WORLD = make_world("HelperHinderer", map="ASLB/#..#", move_cost=0.02)
GOALS = ["A, ignore", "B, ignore"]
START = WORLD.unpack(WORLD.sample_initial(1, np.random.default_rng(0)), 0)


def along(*joint: tuple[str, str], world: Any = WORLD) -> list[tuple[Any, tuple[str, str]]]:
    steps, states, rng = [], world.sample_initial(1, np.random.default_rng(0)), np.random.default_rng(0)
    for actions in joint:
        steps.append((world.unpack(states, 0), actions))
        numbers = np.array([[world.action_names.index(name) for name in actions]])
        states, *_ = world.step(states, numbers, rng)
    return steps


def test_who_pushes_a_weak_one_to_its_goal_helps_and_who_stands_on_it_hinders() -> None:
    world = make_world("HelperHinderer", map="A..SL./#.....", weakness=0.9, move_cost=0.02)
    pushed = along(("left", "left"), ("left", "left"), world=world)
    found = helping_or_hindering(world, pushed, 1, goals=["A, ignore"], beta=20.0)
    assert found.helps > 0.9 and found.hinders < 0.01
    left = along(("left", "stay"), ("left", "stay"), world=world)
    found = helping_or_hindering(world, left, 1, goals=["A, ignore"], beta=20.0)
    assert found.ignores > found.helps
    assert found.helps + found.hinders + found.ignores == pytest.approx(1.0)
    world = make_world("HelperHinderer", map="AS./L..", weakness=0.7, move_cost=0.1)
    away = along(("left", "up"), ("left", "stay"), world=world)  # onto the goal, where nobody else can then be
    found = helping_or_hindering(world, away, 1, goals=["A, ignore"], beta=20.0)
    assert found.hinders > 0.9 and found.helps < 0.01
    still = helping_or_hindering(world, away, 1, goals=["A, ignore"], weights=[0.0], beta=20.0)
    assert still.ignores == 1.0


def test_it_is_the_posterior_of_an_observer_over_minds_that_care() -> None:
    steps = along(("left", "down"), ("left", "stay"))
    chooses, plans, goal = Softmax(3.0), Planning("hard"), "A, ignore"
    small = PlanningMind(wants=goal, plans=plans, chooses=chooses)
    minds = [
        PlanningMind(wants=Caring(goal, {0: weight}), plans=plans, chooses=chooses, others={0: small})
        for weight in (2.0, 0.0, -0.5)
    ]
    watch = Observer(WORLD, minds, [0.2, 0.5, 0.3], player=1)
    for state, actions in steps:
        watch.update(state, actions[1], fresh=True)
    found = helping_or_hindering(
        WORLD, steps, 1, goals=[goal], weights=(2.0, 0.0, -0.5), beta=3.0, prior=[0.2, 0.5, 0.3]
    )
    np.testing.assert_allclose(found.joint[0], watch.posterior(), atol=1e-12)
    assert (found.helps, found.ignores, found.hinders) == pytest.approx(tuple(watch.posterior()))


def test_goal_and_stance_are_inferred_together() -> None:
    steps = along(("left", "left"))
    both = helping_or_hindering(WORLD, steps, 1, goals=GOALS, beta=50.0)
    alone = helping_or_hindering(WORLD, steps, 1, goals=GOALS, beta=50.0, watched="actor")
    assert both.goals["A, ignore"] > 0.9 > alone.goals["A, ignore"]
    assert both.joint.sum() == pytest.approx(1.0) and both.joint.shape == (2, 3)


def test_what_cannot_be_judged_is_refused() -> None:
    step = [(START, ("stay", "stay"))]
    for call, said in (
        (lambda: helping_or_hindering(make_world("FourGoals"), step, 1), "two players"),
        (lambda: helping_or_hindering(make_world("KuhnPoker"), step, 1), "two players"),
        (lambda: helping_or_hindering(WORLD, step, 2), "actor = 2"),
        (lambda: helping_or_hindering(WORLD, step, 1, goals=[]), "no goals"),
        (lambda: helping_or_hindering(WORLD, step, 1, weights=[np.nan]), "weight nan"),
        (lambda: helping_or_hindering(WORLD, step, 1, goals=GOALS, prior=[1.0]), "prior"),
        (lambda: helping_or_hindering(WORLD, step, 1, watched="nobody"), "watched"),
        (lambda: helping_or_hindering(WORLD, [(START, "stay")], 1, goals=GOALS), "step 0"),
        (lambda: helping_or_hindering(WORLD, [(START, ("stay", "fly"))], 1, goals=GOALS), "action 'fly'"),
        (lambda: helping_or_hindering(WORLD, step, 1, goals=["Z"]), "Z"),
    ):
        with pytest.raises((UsageError, MissingLawError), match=said):
            call()
