"""An observer that sees part of the state, against sums over every path of states, memories and actions."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from inscape.errors import UsageError
from inscape.theory_of_mind import (
    Best,
    Filtering,
    ImpossibleEvidenceError,
    Observer,
    Planning,
    PlanningMind,
    Softmax,
    Switching,
)
from tests.theory_of_mind.parts.test_believing import WORLD as CAVE
from tests.theory_of_mind.parts.test_believing import CaveParams, mind
from tests.theory_of_mind.worlds import Corridor, CorridorState

WORLD = Corridor(slip=0.2)
MINDS = [
    PlanningMind("left end", 2.0, "hard"),
    PlanningMind(Switching(("left end", "right end"), 0.2), 3.0, "hard"),
    PlanningMind("right end", 1.0, "soft-eval"),
]


def half(state: CorridorState) -> str:
    return "left" if state.cell < 2 else "right"


def brute_force(world: Any, minds: Any, sees: Any, looks: list[Any], actions: list[int | None]) -> np.ndarray:
    """P(looks, actions, mind), by walking every path of states, memory states and actions."""
    law = world.dynamics()
    seen = [sees(world.unpack(law.states, s)) for s in range(len(law))]

    def walk(controller: Any, t: int, s: int, m: int, weight: float) -> float:
        if weight == 0.0 or seen[s] != looks[t]:
            return 0.0
        if t == len(actions):
            return weight
        result = 0.0
        for a in range(world.num_actions) if actions[t] is None else [actions[t]]:
            p = weight * np.exp(controller.log_probs[s, m, a])
            if t == len(looks) - 1:
                result += p
                continue
            for k, (n, q) in enumerate(zip(law.next_state[s, a], law.probability[s, a])):
                if controller.step.next_memory is None:
                    result += walk(controller, t + 1, int(n), m, p * q)
                    continue
                table = np.broadcast_arrays(controller.step.next_memory, controller.step.probability)
                index = tuple(0 if size == 1 else i for size, i in zip(table[0].shape[:3], (s, a, k)))
                for following, r in zip(table[0][index][m], table[1][index][m]):
                    result += walk(controller, t + 1, int(n), int(following), p * q * r)
        return result

    found = []
    for controller in (each.controller(world) for each in minds):
        pairs = itertools.product(range(len(law)), range(controller.start.shape[1]))
        found.append(sum(walk(controller, 0, s, m, law.initial[s] * controller.start[s, m]) for s, m in pairs))
    return np.array(found)


@pytest.mark.parametrize("actions", [[1, 0, 1, 1], [1, None, None, 0], [None] * 4])
def test_the_posterior_is_a_sum_over_all_that_may_have_happened(actions: list[int | None]) -> None:
    looks = ["right", "right", "right", "left", "left"]
    watch = Observer(WORLD, MINDS, prior=[0.5, 0.3, 0.2], sees=half)
    for t, action in enumerate(actions):
        watch.update(looks[t], action, looks[t + 1])
    expected = brute_force(WORLD, MINDS, half, looks, actions) * [0.5, 0.3, 0.2]
    np.testing.assert_allclose(watch.posterior(), expected / expected.sum(), rtol=1e-10)
    assert watch.log_evidence() == pytest.approx(np.log(expected.sum()), abs=1e-10)
    apart = Observer(WORLD, MINDS, prior=[0.5, 0.3, 0.2], sees=half)
    for look, action in zip(looks, actions):  # where a step led is said by the next one
        apart.update(look, action)
    expected = brute_force(WORLD, MINDS, half, looks[:4], actions) * [0.5, 0.3, 0.2]
    if actions[-1] is not None:
        np.testing.assert_allclose(apart.posterior(), expected / expected.sum(), rtol=1e-10)


def test_what_is_hidden_is_inferred_with_the_mind() -> None:
    watch = Observer(WORLD, [MINDS[0]], sees=lambda state: state.cell >= 4)
    for _ in range(2):
        watch.update(False, "left", False)
    hidden = watch.state_posterior()
    law, path = WORLD.dynamics(), np.zeros(5)
    path[int(np.argmax(law.initial))] = 1.0
    policy = np.exp(MINDS[0].controller(WORLD).log_probs[:, 0, 0])
    cells = [WORLD.unpack(law.states, s).cell for s in range(5)]
    for _ in range(2):
        moved = np.zeros(5)
        for s in range(5):
            np.add.at(moved, law.next_state[s, 0], path[s] * policy[s] * law.probability[s, 0])
        path = np.where(np.array(cells) >= 4, 0.0, moved)
    np.testing.assert_allclose(hidden, path / path.sum(), atol=1e-12)


def test_who_sees_everything_is_the_exact_observer() -> None:
    everything, exact = Observer(WORLD, MINDS, sees=lambda state: state), Observer(WORLD, MINDS)
    for cell, action in ((2, 1), (3, 0), (2, 0)):
        everything.update(CorridorState(cell), action)
        exact.update(CorridorState(cell), action)
        np.testing.assert_allclose(everything.posterior(), exact.posterior(), rtol=1e-12)
    np.testing.assert_allclose(
        everything.predict(CorridorState(1), 3).state_probs, exact.predict(CorridorState(1), 3).state_probs, atol=1e-12
    )


def test_what_a_mind_was_told_is_inferred_from_what_it_does() -> None:
    """Neither the gold nor the glints are seen, only that it looks and digs: as in Baker et al. (2017)."""
    watch = Observer(CAVE, [mind(chooses=Softmax(8.0))], sees=lambda state: state.dug)
    watch.update(0, "look", 0)
    watch.update(0, "look", 0)
    watch.update(0, "dig right")
    hidden = watch.state_posterior()
    states = [CAVE.unpack(CAVE.dynamics().states, s) for s in range(len(hidden))]
    right = sum(p for p, s in zip(hidden, states) if s.gold == 1)
    assert right > 0.85  # it dug right, so it had seen glints there, and they are mostly true
    seen = sum(p for p, s in zip(hidden, states) if s.glint == 1)
    assert seen > 0.95


@pytest.mark.parametrize(
    ("do", "said"),
    [
        (lambda o: o.update("nowhere", 0), "'nowhere' seen in Corridor"),
        (lambda o: o.update("right", "fly"), "fly"),
        (lambda o: o.observe(None), "whole trajectory"),
        (lambda o: o.action_log_probs(0), "does not see the state"),
        (lambda o: o.predict("right", -1), "horizon = -1"),
        (lambda o: o.update_batch(["right"], [0, 1]), "1 states with 2 actions"),
    ],
)
def test_what_makes_no_sense_is_refused(do: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        do(Observer(WORLD, MINDS, sees=half))


def test_what_cannot_have_happened_is_refused_and_nothing_changes() -> None:
    certain = mind(believes=Filtering(params=CaveParams(clear=1.0)), chooses=Best(), plans=Planning("hard"))
    watch = Observer(CAVE, [certain], sees=lambda state: state.dug)
    with pytest.raises(ImpossibleEvidenceError, match="came to what looks like 1"):
        watch.update(0, "look", 1)
    before = watch.posterior()
    with pytest.raises(ImpossibleEvidenceError):
        watch.update(0, "dig left")  # it would look first
    np.testing.assert_array_equal(watch.posterior(), before)
    with pytest.raises(UsageError, match="cannot be looked up"):
        Observer(CAVE, [certain], sees=lambda state: [state.dug])
    with pytest.raises(UsageError, match="sees = 3"):
        Observer(CAVE, [certain], sees=3)


def test_who_acts_has_not_come_to_the_end() -> None:
    watch = Observer(CAVE, [mind()], sees=lambda state: None)
    watch.update(None)  # whatever it did
    watch.update(None, "look")
    dug = np.array([CAVE.unpack(CAVE.dynamics().states, s).dug for s in range(len(CAVE.dynamics()))])
    assert watch.state_posterior()[dug == 1].sum() == 0.0
    watch.update(None, "dig left")
    with pytest.raises(ImpossibleEvidenceError):
        watch.update(None, "look")
    assert watch.update(None, "look", fresh=True).tolist() == [1.0]
