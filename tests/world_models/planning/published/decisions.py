"""Printed numbers of decision processes that are seen completely."""

from __future__ import annotations

from functools import cache

import numpy as np

from inscape import make_world, solve
from inscape.world_models import (
    TabularModel,
    average_of_policy,
    average_reward,
    backward_induction,
    hitting,
    occupancy,
    policy_evaluation,
    policy_iteration,
)
from tests.world_models.planning.published.printed import Printed

SUTTON = "Sutton & Barto (2018), Reinforcement Learning"
HOWARD = "Howard (1960), Dynamic Programming and Markov Processes"
TOOLBOX = "pymdptoolbox 4.0b"
FELLER = "Feller (1968), An Introduction to Probability Theory and Its Applications I"
MOVES = np.array([(-1, 0), (1, 0), (0, 1), (0, -1)])


def grid(size, special=(), edge=0.0, step=0.0, terminal=()):
    """Returns a square grid: leaving it costs `edge`; from a special cell all moves lead elsewhere for a reward."""
    states = size * size
    P, R = np.zeros((4, states, states)), np.full((4, states, states), step)
    for s in range(states):
        for a, move in enumerate(MOVES):
            to = np.array(divmod(s, size)) + move
            inside = ((to >= 0) & (to < size)).all()
            P[a, s, to[0] * size + to[1] if inside else s] = 1.0
            R[a, s] += 0.0 if inside else edge
    for s, to, reward in special:
        P[:, s], R[:, s] = np.eye(states)[to], reward
    return TabularModel.from_arrays(P, R, layout="ASS", terminal=list(terminal) or None)


def uniform(model):
    return np.full((model.num_states, model.num_actions), 1 / model.num_actions)


def chosen(model, actions):
    return np.eye(model.num_actions)[np.asarray(actions)]


@cache
def five_by_five():
    """Returns the grid of example 3.5: A leads to A' for 10, B to B' for 5."""
    return grid(5, [(1, 21, 10.0), (3, 13, 5.0)], edge=-1.0)


@cache
def four_by_four():
    return grid(4, step=-1.0, terminal=(0, 15))


def sweeps(k):
    """Returns the values of the random policy for k steps: one sweep of policy evaluation each."""
    model = four_by_four()
    choice = np.arange(model.num_actions)
    averaged = TabularModel(
        np.concatenate([model.next_state[:, [a]] for a in choice], axis=2),
        np.concatenate([model.probability[:, [a]] / 4 for a in choice], axis=2),
        np.concatenate([model.reward[:, [a]] for a in choice], axis=2),
        np.concatenate([model.continuation[:, [a]] for a in choice], axis=2),
        np.ones((16, 1), bool), model.initial, model.terminal,
    )  # fmt: skip
    return backward_induction(averaged, k).values[0].reshape(4, 4)


def random_walk(states=5):
    P = np.zeros((1, states + 2, states + 2))
    for s in range(1, states + 1):
        P[0, s, s - 1] = P[0, s, s + 1] = 0.5
    reward = np.zeros_like(P)
    reward[0, states, states + 1] = 1.0
    return TabularModel.from_arrays(P, reward, layout="ASS", terminal=[0, states + 1])


def value_of(name, gamma):
    found = solve(name, gamma)
    return float(make_world(name).dynamics().initial @ found.values)


def russell_and_norvig(step=-0.04):
    """Returns the utilities of the 4×3 world, row by row from the top: 0.8 as meant, 0.1 to either side."""
    cells = [(x, y) for y in (3, 2, 1) for x in (1, 2, 3, 4) if (x, y) != (2, 2)]
    number = {cell: s for s, cell in enumerate(cells)}
    P = np.zeros((4, 12, 12))
    moves = [(0, 1), (1, 0), (0, -1), (-1, 0)]
    for cell, s in number.items():
        for a in range(4):
            for probability, turn in ((0.8, 0), (0.1, 1), (0.1, 3)):
                move = moves[(a + turn) % 4]
                P[a, s, number.get((cell[0] + move[0], cell[1] + move[1]), s)] += probability
    R = np.full(12, step)
    for cell, reward in (((4, 3), 1.0), ((4, 2), -1.0)):  # rewards are of being in a state; the last one counts too
        P[:, number[cell]], R[number[cell]] = np.eye(12)[11], reward
    return solve(TabularModel.from_arrays(P, R, layout="ASS", terminal=[11]), 1.0).values[:11]


def toymaker():
    P = np.array([[[0.5, 0.5], [0.8, 0.2]], [[0.4, 0.6], [0.7, 0.3]]])  # P[s, a, s']
    R = np.array([[[9.0, 3.0], [4.0, 4.0]], [[3.0, -7.0], [1.0, -19.0]]])
    return TabularModel.from_arrays(P, R, layout="SAS")


def taxicab():
    P = np.array(
        [
            [[1 / 2, 1 / 4, 1 / 4], [1 / 16, 3 / 4, 3 / 16], [1 / 4, 1 / 8, 5 / 8]],
            [[1 / 2, 0, 1 / 2], [1 / 16, 7 / 8, 1 / 16], [1, 0, 0]],
            [[1 / 4, 1 / 4, 1 / 2], [1 / 8, 3 / 4, 1 / 8], [3 / 4, 1 / 16, 3 / 16]],
        ]
    )
    R = np.array(
        [
            [[10, 4, 8], [8, 2, 4], [4, 6, 4]],
            [[14, 0, 18], [8, 16, 8], [0, 0, 0]],
            [[10, 2, 8], [6, 4, 2], [4, 0, 8]],
        ],
        float,
    )
    legal = np.array([[True] * 3, [True, True, False], [True] * 3])
    return TabularModel.from_arrays(P, R, layout="SAS", legal=legal)


def relative_values(model, policy):
    """Returns the relative values, the last state's 0, and the gain: what Howard prints."""
    gain, bias = average_of_policy(model, np.array(policy))
    return [*(bias - bias[-1])[:-1], gain[0]]


def forest(states=3, keep=4.0, cut=2.0, fire=0.1):
    P = np.zeros((2, states, states))
    for s in range(states):
        P[0, s, 0], P[0, s, min(s + 1, states - 1)] = fire, 1 - fire
        P[1, s, 0] = 1.0
    R = np.zeros((states, 2))
    R[1:, 1], R[-1] = 1.0, (keep, cut)
    return TabularModel.from_arrays(P, R, layout="ASS,SA")


def small():
    P = np.array([[[0.5, 0.5], [0.8, 0.2]], [[0.0, 1.0], [0.1, 0.9]]])
    return TabularModel.from_arrays(P, np.array([[5.0, 10.0], [-1.0, 2.0]]), layout="ASS,SA")


def puterman():
    P = np.array([[[0.5, 0.5], [0, 1.0]], [[0, 1.0], [0, 1.0]]])
    return TabularModel.from_arrays(P, np.array([[5.0, 10.0], [-1.0, -np.inf]]), layout="SAS,SA")


def replacement():
    age = np.arange(1, 6)
    P = np.stack([np.eye(5)[np.minimum(age, 4)], np.tile(np.eye(5)[0], (5, 1))])
    R = np.stack([50 - 2.5 * age - 2.5 * age**2, np.full(5, -25.0)], axis=1)
    R[-1, 0] = -np.inf
    return TabularModel.from_arrays(P, R, layout="ASS,SA")


def water(capacity=30):
    levels = capacity + 1
    P, R = np.zeros((levels, levels, levels)), np.full((levels, levels), -np.inf)
    for s in range(levels):
        for x in range(s + 1):
            R[s, x] = 14 * x**0.8 + 10 * (s - x) ** 0.4
            for rain, probability in enumerate((0.1, 0.2, 0.4, 0.2, 0.1)):
                P[s, x, min(s - x + rain, capacity)] += probability
    return TabularModel.from_arrays(P, R, layout="SAS,SA", legal=np.isfinite(R))


def ruin(p, start, top):
    """Returns the probability of ruin and the expected duration of Feller's game."""
    P = np.zeros((1, top + 1, top + 1))
    for s in range(1, top):
        P[0, s, s + 1], P[0, s, s - 1] = p, 1 - p
    model = TabularModel.from_arrays(P, 0.0, layout="ASS", terminal=[0, top], initial=start)
    policy = np.zeros(top + 1, int)
    visits = occupancy(model, policy, 1.0)
    return [hitting(model, policy, 0).probability[start], visits[1:top].sum()]


WATER = [
    338.41645251, 361.98791375, 377.4257383, 391.4257383, 405.2360958, 417.9622843, 429.86115765, 441.17106277,
    452.06672421, 462.66012607, 473.03554185, 483.40234488, 493.51237732, 503.35334776, 512.93797732, 522.31628408,
    531.65601391, 540.88902181, 549.98545145, 558.93954761, 567.74582688, 576.47074514, 585.14046164, 593.69786291,
    602.15675175, 610.510884, 618.80539659, 627.0562497, 635.2098027, 643.28164235, 651.27787278,
]  # fmt: skip

ENTRIES = [
    Printed(
        SUTTON, "figure 3.2", "a grid under the random policy, γ = 0.9",
        [[3.3, 8.8, 4.4, 5.3, 1.5], [1.5, 3.0, 2.3, 1.9, 0.5], [0.1, 0.7, 0.7, 0.4, -0.4],
         [-1.0, -0.4, -0.4, -0.6, -1.2], [-1.9, -1.3, -1.2, -1.4, -2.0]], 1,
        lambda: policy_evaluation(five_by_five(), uniform(five_by_five()), 0.9).reshape(5, 5),
    ),
    Printed(
        SUTTON, "figure 3.5", "the same grid, optimal values",
        [[22.0, 24.4, 22.0, 19.4, 17.5], [19.8, 22.0, 19.8, 17.8, 16.0], [17.8, 19.8, 17.8, 16.0, 14.4],
         [16.0, 17.8, 16.0, 14.4, 13.0], [14.4, 16.0, 14.4, 13.0, 11.7]], 1,
        lambda: solve(five_by_five(), 0.9).values.reshape(5, 5),
    ),
    Printed(
        SUTTON, "figure 4.1, k = 2", "two sweeps of policy evaluation",
        [[0.0, -1.7, -2.0, -2.0], [-1.7, -2.0, -2.0, -2.0], [-2.0, -2.0, -2.0, -1.7], [-2.0, -2.0, -1.7, 0.0]], 1,
        lambda: sweeps(2),
    ),
    Printed(
        SUTTON, "figure 4.1, k = 3", "three sweeps of policy evaluation",
        [[0.0, -2.4, -2.9, -3.0], [-2.4, -2.9, -3.0, -2.9], [-2.9, -3.0, -2.9, -2.4], [-3.0, -2.9, -2.4, 0.0]], 1,
        lambda: sweeps(3),
    ),
    Printed(
        SUTTON, "figure 4.1, k = 10", "ten sweeps of policy evaluation",
        [[0.0, -6.1, -8.4, -9.0], [-6.1, -7.7, -8.4, -8.4], [-8.4, -8.4, -7.7, -6.1], [-9.0, -8.4, -6.1, 0.0]], 1,
        lambda: sweeps(10),
    ),
    Printed(
        SUTTON, "figure 4.1, k = ∞", "the random policy, total reward",
        [[0, -14, -20, -22], [-14, -18, -20, -20], [-20, -20, -18, -14], [-22, -20, -14, 0]], 0,
        lambda: policy_evaluation(four_by_four(), uniform(four_by_four()), 1.0).reshape(4, 4),
    ),
    Printed(
        SUTTON, "example 6.2", "the random walk A to E", [1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6], 11,
        lambda: policy_evaluation(random_walk(), uniform(random_walk()), 1.0, 1e-13)[1:6],
    ),
    Printed(SUTTON, "example 6.5", "windy gridworld, steps of the best episode", [15], 0,
            lambda: [-value_of("WindyGrid", 1.0)]),
    Printed(SUTTON, "example 8.1", "the maze of Dyna, steps of the best episode", [14], 0,
            lambda: [1 + np.log(value_of("DynaMaze", 0.95)) / np.log(0.95)]),
    Printed(
        "Russell & Norvig (2010), Artificial Intelligence, 3rd edition", "figure 17.3", "utilities of the 4×3 world",
        [0.812, 0.868, 0.918, 1.0, 0.762, 0.660, -1.0, 0.705, 0.655, 0.611, 0.388], 3, russell_and_norvig,
    ),
    Printed(
        HOWARD, "table 3.1", "the toymaker, n weeks left, both states",
        [[6.0, -3.0], [8.2, -1.7], [10.22, 0.23], [12.222, 2.223]], 3,
        lambda: backward_induction(toymaker(), 4).values[3::-1],
    ),
    Printed(HOWARD, "chapter 4", "the toymaker's best policy: relative value and gain", [10.0, 2.0], 1,
            lambda: relative_values(toymaker(), average_reward(toymaker()).policy)),
    Printed(HOWARD, "chapter 5, the taxicab", "first policy: relative values and gain", [1.33, 7.47, 9.2], 2,
            lambda: relative_values(taxicab(), [0, 0, 0])),
    Printed(HOWARD, "chapter 5, the taxicab", "second policy", [-3.88, 12.85, 13.15], 2,
            lambda: relative_values(taxicab(), [0, 1, 1])),
    Printed(HOWARD, "chapter 5, the taxicab", "best policy", [-1.18, 12.66, 13.34], 2,
            lambda: relative_values(taxicab(), average_reward(taxicab()).policy)),
    Printed(
        "Puterman (2005), Markov Decision Processes", "example 6.2.1, as printed by QuantEcon's DiscreteDP",
        "values, γ = 0.95", [-8.57142857, -20.0], 8, lambda: policy_iteration(puterman(), 0.95).values,
    ),
    Printed(
        TOOLBOX, "docstring of FiniteHorizon", "the forest, three stages and the end, γ = 0.9",
        [[2.6973, 5.9373, 9.9373], [0.81, 3.24, 7.24], [0.0, 1.0, 4.0], [0.0, 0.0, 0.0]], 4,
        lambda: backward_induction(forest(), 3, 0.9).values,
    ),
    Printed(TOOLBOX, "docstring of FiniteHorizon", "its policies", [[0, 0, 0], [0, 0, 0], [0, 1, 0]], 0,
            lambda: backward_induction(forest(), 3, 0.9).policy),
    Printed(TOOLBOX, "docstring of PolicyIteration", "the forest, γ = 0.9",
            [26.244000000000014, 29.484000000000016, 33.484000000000016], 12,
            lambda: policy_iteration(forest(), 0.9).values),
    Printed(TOOLBOX, "docstring of RelativeValueIteration", "the forest, average reward", [3.2399999999999993], 12,
            lambda: [average_reward(forest()).gain[0]]),
    Printed(TOOLBOX, "tests/test_PolicyIteration.py", "the small example, γ = 0.9, from Octave's MDPtoolbox",
            [42.4418604651163, 36.0465116279070], 12, lambda: policy_iteration(small(), 0.9).values),
    Printed(TOOLBOX, "tests/test_PolicyIteration.py", "the forest, γ = 0.96, from Octave's MDPtoolbox",
            [74.6496, 78.1056, 82.1056], 11, lambda: policy_iteration(forest(), 0.96).values),
    Printed(TOOLBOX, "tests/test_PolicyIteration.py", "the forest, cut in its middle age, γ = 0.9",
            [4.47513812154696, 5.02762430939227, 23.17243384704857], 12,
            lambda: policy_evaluation(forest(), chosen(forest(), [0, 1, 0]), 0.9, 1e-13)),
    Printed(TOOLBOX, "tests/test_RelativeValueIteration.py", "the forest of ten ages, average reward, by iteration",
            [1.549682], 6, lambda: [average_reward(forest(10)).gain[0]]),
    Printed(
        "Miranda & Fackler (2002), Applied Computational Economics and Finance",
        "section 7.6.2, as printed by QuantEcon", "when to replace a machine, γ = 0.9",
        [216.56004653, 190.62227392, 172.91363769, 169.90404187, 169.90404187], 8,
        lambda: policy_iteration(replacement(), 0.9).values,
    ),
    Printed(
        "Miranda & Fackler (2002), Applied Computational Economics and Finance",
        "section 7.6.5, as printed by QuantEcon", "a reservoir of 31 levels, γ = 0.9", WATER, 8,
        lambda: policy_iteration(water(), 0.9).values,
    ),
    *(
        Printed(FELLER, "table 1 of chapter XIV", f"ruin and duration, p = {p}, from {start} to {top}", numbers, digits,
                lambda p=p, start=start, top=top, k=k: [ruin(p, start, top)[k]])
        for p, start, top, *columns in (
            (0.5, 9, 10, 0.1, 9, 3), (0.5, 90, 100, 0.1, 900, 3), (0.45, 9, 10, 0.210, 11, 3),
            (0.45, 90, 100, 0.866, 765.6, 1), (0.45, 99, 100, 0.182, 171.8, 1),
            (0.4, 90, 100, 0.983, 441.3, 1), (0.4, 99, 100, 0.333, 161.7, 1),
        )
        for k, (numbers, digits) in enumerate((([columns[0]], 3), ([columns[1]], columns[2] if columns[2] == 1 else 0)))
    ),
]  # fmt: skip
