"""Meant or accidental: closed forms on a corridor, side effects, false beliefs, effects on others, refusals."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest

from inscape import World, make_world
from inscape.errors import UsageError
from inscape.theory_of_mind import (
    Best,
    Caring,
    ImpossibleEvidenceError,
    Params,
    Planning,
    PlanningMind,
    Softmax,
    intended,
)


class CupState(NamedTuple):
    place: int  # 0 choosing, 1 drank from the left, 2 from the right


class CupParams(NamedTuple):
    sugar: int = 1  # which cup is sweet
    wet: int = 1  # which cup spills


class CupPurpose(NamedTuple):
    sweet: float = 1.0
    dry: float = 0.0


class Cups(World):
    """Two cups: one is sweet, one spills."""

    State, Params, Purpose = CupState, CupParams, CupPurpose
    actions = ("left", "right")
    gamma = 0.9

    @staticmethod
    def initial(params, branch):
        return 1.0, CupState(0)

    @staticmethod
    def transition(params, state, action, branch):
        return 1.0, CupState(action + 1)

    @staticmethod
    def reward(params, purpose, state, action, next_state):
        return (purpose.sweet if action + 1 == params.sugar else 0.0) - (
            purpose.dry if action + 1 == params.wet else 0.0
        )

    @staticmethod
    def terminal(params, purpose, state):
        return state.place > 0


CUPS, CHOOSING = Cups(), CupState(0)


def sweet(state: Any, action: int, after: CupState) -> float:
    return 1.0 if after.place == 1 else 0.0


def spilt(state: Any, action: int, after: CupState) -> float:
    return 0.0  # it is worth nothing to a mind that does not mind


def mind(**parts: Any) -> PlanningMind:
    return PlanningMind(**{"wants": CUPS.purpose, "plans": Planning("hard"), "chooses": Best()} | parts)


def test_what_it_is_done_for_is_meant_and_a_side_effect_is_not() -> None:
    assert intended(CUPS, [mind()], CHOOSING, "left", sweet).probability == pytest.approx(0.5)  # it might still have
    assert intended(CUPS, [mind()], CHOOSING, "left", spilt).probability == 0.0
    # where something else is to be had otherwise, it certainly would not have
    careful = mind(wants=CupPurpose(1.0, 0.5))
    assert intended(CUPS, [careful], CHOOSING, "left", sweet).probability == 1.0
    assert intended(CUPS, [careful], CHOOSING, "left", lambda s, a, after: after.place == 1).probability == 0.5


def test_of_a_soft_mind_it_is_the_share_that_the_effect_accounts_for() -> None:
    soft = mind(chooses=Softmax(2.0))
    with_it, without = 1 / (1 + np.exp(-2.0)), 0.5
    found = intended(CUPS, [soft], CHOOSING, "left", sweet)
    assert found.probability == pytest.approx(1 - without / with_it, abs=1e-9)
    assert intended(CUPS, [soft], CHOOSING, "right", sweet).probability == 0.0  # it was done in spite of it
    found = intended(CUPS, [soft, mind(chooses=Softmax(0.0))], CHOOSING, "left", sweet, posterior=[0.25, 0.75])
    weights = np.array([0.25 * with_it, 0.75 * 0.5])
    weights /= weights.sum()
    np.testing.assert_allclose(found.weights, weights)
    assert found.probability == pytest.approx(weights[0] * (1 - without / with_it))


def test_what_is_not_expected_is_not_meant() -> None:
    mistaken = mind(believes=Params(CupParams(sugar=2)), chooses=Softmax(2.0))
    assert intended(CUPS, [mistaken], CHOOSING, "left", lambda s, a, after: after.place == 1).probability == 0.0
    assert intended(CUPS, [mistaken], CHOOSING, "right", lambda s, a, after: after.place == 2).probability > 0.4


def test_harm_to_another_is_meant_by_one_who_wants_it() -> None:
    world = make_world("HelperHinderer", map="ASLB/#..#", move_cost=0.02)
    start = world.unpack(world.sample_initial(1, np.random.default_rng(0)), 0)
    goal, parts = "B, ignore", {"plans": Planning("hard"), "chooses": Softmax(8.0)}
    small = PlanningMind(wants=goal, **parts)
    spiteful = PlanningMind(wants=Caring(goal, {0: -1.0}), others={0: small}, **parts)
    selfish = PlanningMind(wants=Caring(goal), others={0: small}, **parts)
    hinders, alone = (m.controller(world, 1).log_probs for m in (spiteful, selfish))
    s = int(world.dynamics().index_of(world.pack([start]))[0])
    a = int((hinders - alone)[s, 0].argmax())
    found = intended(world, [spiteful, selfish], start, a, 0, player=1)
    assert found.by_mind[1] == 0.0
    assert found.by_mind[0] == pytest.approx(1 - np.exp(alone - hinders)[s, 0, a])
    with pytest.raises(UsageError, match="number of the player"):
        intended(world, [selfish], start, a, sweet, player=1)
    with pytest.raises(UsageError, match="effect = 1"):
        intended(world, [selfish], start, a, 1, player=1)


def test_what_cannot_be_judged_is_refused() -> None:
    for call, said in (
        (lambda: intended(CUPS, [], CHOOSING, "left", sweet), "without minds"),
        (lambda: intended(CUPS, [mind()], CHOOSING, "drink", sweet), "action 'drink'"),
        (lambda: intended(CUPS, [mind()], CHOOSING, 5, sweet), "action 5"),
        (lambda: intended(CUPS, [mind()], CHOOSING, "left", 0), "effect = 0"),
        (lambda: intended(CUPS, [mind()], CHOOSING, "left", "sweet"), "effect = 'sweet'"),  # type: ignore[arg-type]
        (lambda: intended(CUPS, [mind()], CHOOSING, "left", sweet, posterior=[0.5]), "prior"),
    ):
        with pytest.raises(UsageError, match=said):
            call()
    with pytest.raises(ImpossibleEvidenceError, match="no mind does there"):
        intended(CUPS, [mind()], CHOOSING, "right", sweet)
