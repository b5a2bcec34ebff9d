"""What cannot be meant is refused with what was found, wherever minds, observers, games and rewards take it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from inscape import make_world
from inscape.errors import UsageError
from inscape.theory_of_mind import (
    Filtering,
    Observer,
    ParticleObserver,
    PlanningMind,
    against,
    as_game,
    bayesian_irl,
    belief_world,
    follow,
    level_k,
    max_entropy_irl,
    none_of_these,
    predictive_check,
    score_predictions,
)
from tests.theory_of_mind.worlds import Corridor, CorridorState, simulate

WORLD = Corridor(slip=0.2)
MINDS = [PlanningMind("right end", 2.0, "hard"), PlanningMind("left end", 2.0, "hard")]
EPISODE = simulate(WORLD, np.full((5, 2), 0.5), 6, np.random.default_rng(0), start=2)
UNIFORM = [0.1] * 10


def observer() -> Any:
    return Observer(WORLD, MINDS)


def feature(state: Any) -> list[float]:
    return [state.cell]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: Observer("FourGoals", MINDS), "make_world"),
        (lambda: Observer(Corridor, MINDS), r"Corridor\(\)"),
        (lambda: ParticleObserver("FourGoals", lambda rng: MINDS[0], 5, 0), "make_world"),
        (lambda: belief_world("Tiger"), "make_world"),
        (lambda: against("KuhnPoker", 0, {}), "make_world"),
        (lambda: max_entropy_irl("FourGoals", [EPISODE], feature), "make_world"),
        (lambda: Observer(WORLD, MINDS[0]), "a list of minds"),
        (lambda: Observer(WORLD, MINDS, prior="even"), "prior"),
        (lambda: observer().update(CorridorState(1.5), "left"), "a whole number as its cell"),
        (lambda: ParticleObserver(WORLD, lambda rng: MINDS[0], 5, "seed"), "rng"),
        (lambda: ParticleObserver(WORLD, lambda rng: MINDS[0], 5, 0, threshold="half"), "threshold"),
        (lambda: predictive_check(observer(), [EPISODE], seed="x"), "seed"),
        (lambda: predictive_check(observer(), 3), "trajectories"),
        (lambda: score_predictions(observer(), ["episode"]), "among the trajectories"),
        (lambda: none_of_these(observer(), ["episode"]), "among the trajectories"),
        (lambda: belief_world(make_world("Tiger"), resolution=0.0), "resolution"),
        (lambda: belief_world(make_world("Tiger"), resolution=-1.0), "resolution"),
        (lambda: belief_world(make_world("Tiger"), resolution=1e-300), "resolution"),
        (lambda: Filtering(resolution="fine"), "resolution"),
        (lambda: Filtering("even"), "prior"),
        (lambda: Filtering({-1: 1.0}).weights(make_world("Tiger")), "state -1"),
        (lambda: Filtering({99: 1.0}).weights(make_world("Tiger")), "state 99"),
        (lambda: as_game("MoneyRequest").nash_conv((UNIFORM,)), "one for each of 2"),
        (lambda: as_game("MoneyRequest").nash_conv(([2.0] * 10, UNIFORM)), "a distribution"),
        (lambda: as_game("MoneyRequest").exploitability((UNIFORM[:9], UNIFORM)), r"\[10\]"),
        (lambda: as_game("KuhnPoker").returns((UNIFORM, UNIFORM)), r"\[12, 2\]"),
        (lambda: level_k("PrisonersDilemma", 1, gamma="x"), "gamma"),
        (lambda: follow(WORLD, np.full((5, 2), 0.5), "x"), "gamma"),
        (lambda: max_entropy_irl(WORLD, [EPISODE], feature, gamma="x"), "gamma"),
        (lambda: max_entropy_irl(WORLD, [EPISODE], feature, max_iterations=-1), "max_iterations"),
        (lambda: max_entropy_irl(WORLD, [EPISODE], feature, tolerance=0.0), "tolerance"),
        (lambda: max_entropy_irl(WORLD, [EPISODE], lambda state: "far"), "features"),
        (lambda: bayesian_irl(WORLD, [EPISODE], feature, seed="x"), "seed"),
    ],
)
def test_it_is_said_what_is_wrong(call: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        call()


def test_one_trajectory_is_a_sequence_of_one() -> None:
    assert predictive_check(observer(), EPISODE) == predictive_check(observer(), [EPISODE])
    bits = [score_predictions(observer(), given).bits for given in (EPISODE, [EPISODE])]
    np.testing.assert_array_equal(*bits)
    weights = [max_entropy_irl(WORLD, given, feature).weights for given in (EPISODE, [EPISODE])]
    np.testing.assert_array_equal(*weights)
