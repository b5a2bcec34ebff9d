"""Expected information, by another route: the mean over outcomes of how far the posterior moves."""

from __future__ import annotations

import numpy as np
import pytest

from inscape.errors import UsageError
from inscape.theory_of_mind import (
    InTurn,
    Observer,
    ParticleObserver,
    Planning,
    PlanningMind,
    Softmax,
    Watch,
    minds_grid,
    most_informative,
)
from tests.theory_of_mind.worlds import Corridor, CorridorState

WORLD = Corridor(slip=0.2)
REMEMBERS = PlanningMind(InTurn(("left end", "right end")), plans=Planning("hard"), chooses=Softmax(3.0))
MINDS = [*minds_grid(["left end", "middle", "right end"], [0.5, 4.0], "hard"), REMEMBERS]


def by_updating(before: Observer, cell: int, steps: int) -> float:
    """Σ over sequences of actions and outcomes of P(sequence)·KL(posterior after ‖ before), by `update` alone."""
    law, prior = WORLD.dynamics(), before.posterior()
    total = 0.0

    def walk(done: list[tuple[int, int, int]], state: int) -> None:
        nonlocal total
        if len(done) == steps:
            watch = Observer(WORLD, MINDS)
            watch.update(CorridorState(2), "right", CorridorState(3))
            at_first = watch.log_evidence()
            for number, (s, a, following) in enumerate(done):
                watch.update(s, a, following, fresh=number == 0 and s != 3)
            weight = np.exp(watch.log_evidence() - at_first)
            for s, a, following in done:
                weight *= law.probability[s, a][law.next_state[s, a] == following].sum()
            after = watch.posterior()
            held = after > 0
            total += weight * float((after[held] * np.log2(after[held] / prior[held])).sum())
            return
        for action in range(2):
            for following in np.unique(law.next_state[state, action][law.probability[state, action] > 0]):
                walk([*done, (state, action, int(following))], int(following))

    walk([], cell)
    return total


@pytest.mark.parametrize(("cell", "steps"), [(3, 1), (1, 1), (3, 2), (3, 3)])
def test_two_routes_to_the_expected_information(cell: int, steps: int) -> None:
    watch = Observer(WORLD, MINDS)
    watch.update(CorridorState(2), "right", CorridorState(3))
    found = most_informative(watch, {"there": Watch(cell, steps)})
    assert found.bits["there"] == pytest.approx(by_updating(watch, cell, steps), abs=1e-12)
    assert 0 < found.bits["there"] <= found.entropy


def test_questions_features_and_costs() -> None:
    watch = Observer(WORLD, minds_grid(["left end", "right end"], [1.0, 5.0], "hard"))
    options = {
        "which goal": lambda mind: [1.0, 0.0] if mind.goal == "left end" else [0.0, 1.0],
        "nothing": np.full((4, 3), 1 / 3),
        "which mind": np.eye(4),
        "at the middle": CorridorState(2),
    }
    found = most_informative(watch, options)
    assert found.bits["which goal"] == pytest.approx(1.0)
    assert found.bits["nothing"] == 0.0
    assert found.bits["which mind"] == pytest.approx(2.0) == found.entropy
    assert found.best == "which mind"
    about_goal = most_informative(watch, options, about="goal", costs={"which mind": 0.5, "which goal": 0.6})
    assert about_goal.bits["which mind"] == pytest.approx(1.0) == about_goal.entropy
    assert about_goal.worth["which mind"] == pytest.approx(0.5)
    assert about_goal.best == "which mind"
    # I(goal; action) = 1 − H(goal | action), by Bayes' rule written out
    probs = np.exp([mind.controller(WORLD).log_probs[2, 0] for mind in watch.minds])
    of_goal = probs.reshape(2, 2, 2).mean(axis=1)
    after = of_goal / of_goal.sum(axis=0)
    rest = (of_goal.mean(axis=0) * -(after * np.log2(after)).sum(axis=0)).sum()
    assert about_goal.bits["at the middle"] == pytest.approx(1.0 - rest)
    assert most_informative(watch, [CorridorState(2), CorridorState(0)]).best == CorridorState(2)


def test_other_observers_and_an_observer_of_part_of_the_state() -> None:
    there = Observer(WORLD, MINDS)
    there.update(CorridorState(2), "right", CorridorState(3))
    seen = Observer(WORLD, MINDS, sees=lambda state: state.cell)
    seen.update(2, "right", 3)
    np.testing.assert_allclose(
        np.exp(seen.action_log_probs_by_mind(3)), np.exp(there.action_log_probs_by_mind(CorridorState(3))), atol=1e-12
    )
    particles = ParticleObserver(WORLD, lambda rng: MINDS[rng.integers(len(MINDS))], 500, 0)
    assert most_informative(particles, {0: CorridorState(2)}).bits[0] == pytest.approx(
        most_informative(Observer(WORLD, MINDS), {0: CorridorState(2)}).bits[0], abs=0.1
    )
    with pytest.raises(UsageError, match="exact observer of the whole state"):
        most_informative(particles, [Watch(CorridorState(2), 2)])


def test_a_mind_that_is_ruled_out_still_has_a_policy_and_no_say() -> None:
    watch = Observer(WORLD, MINDS, prior=[1.0, *[0.0] * (len(MINDS) - 1)])
    assert np.isfinite(watch.action_log_probs_by_mind(2)).all()
    assert most_informative(watch, [2]).bits[2] == 0.0 == most_informative(watch, [2]).entropy


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "no options"),
        ({"q": np.eye(3)}, "a row for each mind"),
        ({"q": np.full((7, 2), 0.6)}, "sum to 1"),
        ({"q": lambda mind: [1.0] * (2 if mind is MINDS[0] else 3)}, "the same N"),
        ({"q": 17}, "state number 17"),
        ({"q": Watch(2, 40)}, "fewer steps"),
    ],
)
def test_what_is_no_option(options: object, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inscape.theory_of_mind.informative.MOST_PATHS", 50)
    with pytest.raises(UsageError, match=words):
        most_informative(Observer(WORLD, MINDS), options)
    with pytest.raises(UsageError, match="steps = 0"):
        Watch(2, 0)
    with pytest.raises(UsageError, match="a cost of 'x'"):
        most_informative(Observer(WORLD, MINDS), [2], costs={"x": 1.0})
