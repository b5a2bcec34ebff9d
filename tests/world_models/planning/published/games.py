"""Printed numbers of games, and of decision processes whose state is hidden."""

from __future__ import annotations

from functools import cache

import numpy as np

from inscape import make_world
from inscape.world_models import (
    GameTree,
    cfr,
    correlated_equilibrium,
    joint_plan,
    nash_equilibria,
    point_based,
    zero_sum_equilibrium,
)
from tests.world_models.planning.games.test_joint import BroadcastChannel
from tests.world_models.planning.published.printed import Printed

FERGUSON = "Ferguson (2014), Game Theory, 2nd edition"
OPENSPIEL = "Lanctot et al. (2019), OpenSpiel, arXiv:1908.09453"
OSBORNE = "Osborne & Rubinstein (1994), A Course in Game Theory"
POMDP = "Hahsler & Cassandra, R package pomdp"
KUHN = "Kuhn (1950), A simplified two-person poker"
MASPLAN = "masplan.org, Optimal values for finite-horizon Dec-POMDPs"
NISAN = "Nisan, Roughgarden, Tardos & Vazirani (2007), Algorithmic Game Theory"


@cache
def tree(name):
    return GameTree.from_world(make_world(name))


def value_and_mixture(payoffs):
    found = zero_sum_equilibrium(payoffs)
    return [found.values[0], *found.strategies[0]]


def of_nash_conv(name):
    return [tree(name).nash_conv(tree(name).uniform_policy())]


def tiger_forgetting():
    found = point_based("Tiger", 0.75, 2e-7)
    return (found.vectors @ np.array([[0.5, 1, 0], [0.5, 0, 1]])).max(axis=0)


ENTRIES = [
    Printed(KUHN, "the value of the game", "for the first player, in eighteenths", [-1.0], 2,
            lambda: [18 * cfr(tree("KuhnPoker"), 600).returns[0]]),
    Printed(KUHN, "the game", "information sets of both", [12], 0,
            lambda: [tree("KuhnPoker").num_information_sets]),
    Printed("Southey et al. (2005), Bayes' bluff", "Leduc hold'em", "information sets of both, by rank", [288], 0,
            lambda: [tree("LeducPoker").num_information_sets]),
    Printed(OPENSPIEL, "documentation", "NashConv of uniform play, Kuhn poker", [0.916667], 6,
            lambda: of_nash_conv("KuhnPoker")),
    Printed(OPENSPIEL, "documentation", "NashConv of uniform play, Leduc poker", [4.747222], 6,
            lambda: of_nash_conv("LeducPoker")),
    Printed(FERGUSON, "II, section 1.2", "odd or even: value, and how often to call one", [1 / 12, 7 / 12, 5 / 12], 9,
            lambda: value_and_mixture([[-2, 3], [3, -4]])),
    Printed(FERGUSON, "II, section 2.1", "a saddle point", [2.0], 9,
            lambda: value_and_mixture([[4, 1, -3], [3, 2, 5], [0, 1, 6]])[:1]),
    Printed(FERGUSON, "II, section 2.4", "a game of two rows: value", [17 / 7], 9,
            lambda: value_and_mixture([[2, 3, 1, 5], [4, 1, 6, 0]])[:1]),
    Printed(OSBORNE, "example 34.1", "the battle of the sexes, mixed: both strategies and values",
            [2 / 3, 1 / 3, 1 / 3, 2 / 3, 2 / 3, 2 / 3], 9,
            lambda: np.ravel([*(e := nash_equilibria([[2, 0], [0, 1]], [[1, 0], [0, 2]])[2]).strategies, e.values])),
    Printed(NISAN, "example 3.3", "three equilibria of a game of three rows",
            [[1, 0, 0, 1, 0], [4 / 5, 1 / 5, 0, 2 / 3, 1 / 3], [0, 1 / 3, 2 / 3, 1 / 3, 2 / 3]], 9,
            lambda: [np.concatenate(e.strategies)
                     for e in nash_equilibria([[3, 3], [2, 5], [0, 6]], [[3, 2], [2, 6], [3, 1]])]),
    Printed("Aumann (1974), Subjectivity and correlation in randomized strategies", "section 9",
            "chicken: the best correlated equilibrium", [5.25, 5.25], 9,
            lambda: correlated_equilibrium(np.array([[[6, 2], [7, 0]], [[6, 7], [2, 0]]]))[1]),
    Printed(POMDP, "README and help of solve_POMDP: Tiger, discount 0.75",
            "value of the start, and of knowing where the tiger is", [1.933439, 11.450079, 11.450079], 6,
            tiger_forgetting),
    Printed(MASPLAN, "Dec-Tiger", "horizons 2, 3, 4", [-4.0, 5.190812, 4.802755], 6,
            lambda: [joint_plan("DecTiger", h).value for h in (2, 3, 4)]),
    Printed(MASPLAN, "broadcast channel", "horizons 2 to 6", [2.0, 2.99, 3.89, 4.79, 5.69], 6,
            lambda: [joint_plan(BroadcastChannel(), h).value for h in (2, 3, 4, 5, 6)]),
]  # fmt: skip
