"""Programs of agentmodels.org restated: Restaurant Choice, where hyperbolic discounters meet the Donut Store.

Source: Evans, Stuhlmüller, Salvatier & Filan, "Modeling Agents with Probabilistic Programs", chapters 5a and 5b; map,
observed trajectories and utilities as in the library webppl-agents.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest

from inscape import World
from inscape.theory_of_mind import Best, Exponential, Hyperbolic, Observer, Planning, PlanningMind, Softmax, grid

STREETS = ("####V#", "###...", "##D.#.", "###.#.", "###...", "###.#N", "....##", "D##.##")[::-1]
MOVES = ((-1, 0), (1, 0), (0, 1), (0, -1))


class BobState(NamedTuple):
    x: int
    y: int
    eaten: int  # 1 with the first bite taken, 2 after the aftertaste


def at(x: int, y: int) -> str:
    return STREETS[y][x] if 0 <= x < 6 and 0 <= y < 8 else "#"


class RestaurantChoice(World):
    """Walking costs 0.01; a restaurant pays at once, and again a step later."""

    State = BobState
    actions = ("l", "r", "u", "d")
    gamma = 1.0

    @staticmethod
    def initial(params: Any, branch: int) -> tuple[float, BobState]:
        return 1.0, BobState(3, 1, 0)

    @staticmethod
    def legal(params: Any, state: BobState, action: int) -> bool:
        return at(state.x, state.y) in "DVN" or at(state.x + MOVES[action][0], state.y + MOVES[action][1]) != "#"

    @staticmethod
    def transition(params: Any, state: BobState, action: int, branch: int) -> tuple[float, BobState]:
        if at(state.x, state.y) in "DVN":
            return 1.0, state._replace(eaten=min(state.eaten + 1, 2))
        return 1.0, BobState(state.x + MOVES[action][0], state.y + MOVES[action][1], 0)

    @staticmethod
    def reward(params: Any, purpose: Any, state: BobState, action: int, next_state: BobState) -> float:
        pays = {"D": (10.0, -10.0, 0.0), "V": (-10.0, 20.0, 0.0), "N": (0.0, 0.0, 0.0)}.get(at(state.x, state.y))
        return -0.01 if pays is None else pays[state.eaten]

    @staticmethod
    def terminal(params: Any, purpose: Any, state: BobState) -> bool:
        return state.eaten == 2


WORLD = RestaurantChoice()
HORIZON = 20
"""Farther than anything is: a bite that the horizon cut from its aftertaste would tempt."""


def mind(discount: Any) -> PlanningMind:
    return PlanningMind(WORLD.purpose, plans=Planning("hard", horizon=HORIZON, discount=discount), chooses=Best())


def row(state: BobState) -> int:
    return int(WORLD.dynamics().index_of(WORLD.pack([state]))[0])


def walk(discount: Any) -> str:
    policy = np.exp(mind(discount).controller(WORLD).log_probs[:, 0])
    state, path = BobState(3, 1, 0), ""
    while at(state.x, state.y) not in "DVN":
        probs = policy[row(state)]
        assert probs.max() == pytest.approx(1.0)
        path += WORLD.actions[int(probs.argmax())]
        state = WORLD.transition(WORLD.params, state, int(probs.argmax()), 0)[1]
    return path + at(state.x, state.y)


def test_the_naive_are_tempted_and_the_sophisticated_take_the_long_way() -> None:
    assert walk(Hyperbolic(1.0)) == "uuuulD"  # Donut North, on the way to Veg: the trajectory that webppl-agents lists
    assert walk(Hyperbolic(1.0, sophisticated=True)) == "uurruuuluV"  # around the block, where no donut tempts
    assert walk(Exponential(1.0)) == "uuuuuruV"  # past Donut North


def test_donuts_look_worse_from_afar() -> None:
    values = mind(Hyperbolic(1.0)).action_values(WORLD)
    there = values[row(BobState(3, 5, 0))]
    assert there[0] == pytest.approx(-0.01 + 10 / 2 - 10 / 3)
    assert there[2] == pytest.approx(-0.01 * (1 + 1 / 2 + 1 / 3) - 10 / 4 + 20 / 5)
    veg = -0.01 * sum(1 / (1 + d) for d in range(7)) - 10 / 8 + 20 / 9
    assert values[row(BobState(3, 1, 0)), 2] == pytest.approx(veg)


def test_who_walks_to_donut_north_did_not_see_it_coming() -> None:
    minds = grid(
        wants=WORLD.purpose, chooses=Softmax(500.0),
        plans=[Planning("soft-eval", HORIZON, Hyperbolic(1.0, wise)) for wise in (False, True)],
    )  # fmt: skip
    watch, state = Observer(WORLD, minds), BobState(3, 1, 0)
    for t, action in enumerate("uuuul"):
        following = WORLD.transition(WORLD.params, state, WORLD.actions.index(action), 0)[1]
        posterior = watch.update(state, action, following)
        state = following
        assert posterior[0] == pytest.approx(0.5 if t < 2 else 1.0, abs=1e-6)
