"""Observers' programs whose source prints no number: planning and Bayes' rule written out, to six digits."""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any

import numpy as np
import pytest

from inscape import make_world
from tests.theory_of_mind.published.programs import run
from tests.theory_of_mind.published.recursions import Agent


def rows(weights: np.ndarray) -> np.ndarray:
    """Returns weights divided by the sum of their row."""
    return weights / weights.sum(axis=-1, keepdims=True)


def test_procrastinators_as_printed() -> None:
    """Chapter 5d reads 0.005 and around 0.2 off its graphs, with two days left (eight days waited)."""
    found = run("procrastinators")["last_chance"]
    assert found["optimal"][8] == pytest.approx(0.005, abs=1e-3)
    assert found["discounting"][8] == pytest.approx(0.2, abs=0.05)


@pytest.mark.slow
def test_procrastinators() -> None:
    share = {0.1: 0.1, 1.0: 0.2, 10.0: 0.2, 100.0: 0.2, 1000.0: 0.3}
    found = run("procrastinators")["last_chance"]

    def ends(state: Any) -> bool:
        return bool(state[0] == "reward" or state[2] == 1)

    def after(state: Any, action: str) -> dict[Any, float]:
        place, waited, left = state
        return {("reward", waited, left - 1) if action == "work" else (place, waited + 1, left - 1): 1.0}

    for model, discounts in (("optimal", (0.0,)), ("discounting", (0.0, 0.5, 1.0, 2.0, 4.0))):
        joint, last = [], []
        for reward, (alpha, weight), k in itertools.product((0.5, 2, 3, 4, 5, 6, 7, 8), share.items(), discounts):
            agent = Agent(
                lambda s: ["relax"] if s[0] == "reward" else ["wait", "work"], after,
                lambda s, a, reward=reward: reward - 0.1 * s[1] if s[0] == "reward" else -1.0 * (a == "work"),
                ends, alpha, lambda d, k=k: 1 / (1 + k * d),
            )  # fmt: skip
            waits = [1.0, *(agent.act(("wait", day, 10 - day))["wait"] for day in range(8))]
            joint.append(weight * np.cumprod(waits))
            last.append(agent.act(("wait", 8, 2))["work"])
        expected = np.array(last) @ rows(np.array(joint).T).T
        assert found[model] == pytest.approx(expected, abs=1e-6)


def test_crying_baby() -> None:
    cries = {"feed": (0.1, 0.8), "sing": (0.0, 0.9), "ignore": (0.1, 0.8)}
    cost = {"feed": 5.0, "sing": 0.5, "ignore": 0.0}

    @functools.cache
    def value(hungry: float, left: int) -> dict[str, float]:
        worth = {}
        for action in cries:
            after = 0.0 if action == "feed" else hungry + 0.1 * (1 - hungry)
            worth[action] = -10 * hungry - cost[action]
            sated, starved = cries[action]
            for heard in (True, False):
                both = [(1 - after) * (sated if heard else 1 - sated), after * (starved if heard else 1 - starved)]
                if sum(both) > 0 and left > 1:
                    worth[action] += 0.9 * sum(both) * max(value(round(both[1] / sum(both), 14), left - 1).values())
        return worth

    for hungry, found in run("crying_baby")["found"].items():
        assert found == pytest.approx(list(value(hungry, 5).values()), abs=1e-6)


@pytest.mark.slow
def test_food_trucks() -> None:
    """Three beliefs in a cell: as before, or of what is parked, once it was seen; values by sweeps over all of them."""
    world = make_world("FoodTrucks", map="east", parked="K?")
    params, moves = world.params, world.action_names
    cells, gone, trucks = len(params.walls), len(params.walls), (0, 2, 3)
    names = {1: "korean", 2: "lebanese", 3: "mexican"}
    sight = params.sight[1]
    found = run("food_trucks")
    path, likelihood = found["path"], np.ones((6, 2))
    for g, purpose in enumerate(world.goals.values()):
        worth = {0: 0.0, **{truck: getattr(purpose, name) for truck, name in names.items()}}
        for b, weights in enumerate(((1, 1, 1), (1, 1, 8))):
            prior = np.array(weights) / sum(weights)
            beliefs = np.vstack([prior, np.eye(3)])  # not seen; seen: nothing, Lebanese, Mexican
            values = np.zeros((4, cells + 1))

            def moved(values: np.ndarray, k: int, cell: int) -> float:
                """What it is worth to come to a cell with belief k: the second spot may then be seen."""
                if k or cell == gone:
                    return float(values[k, cell])
                seen = sum(prior[n] * values[1 + n, cell] for n in range(3))  # noqa: B023
                return float(sight[cell] * seen + (1 - sight[cell]) * values[0, cell])

            def q_values(values: np.ndarray, k: int, cell: int) -> list[float]:
                q = []
                for action, name in enumerate(moves):
                    cost = 0.0 if name == "stay" else purpose.step_cost  # noqa: B023
                    if name != "eat":
                        q.append(-cost + 0.99 * moved(values, k, int(params.after[action, cell])))
                    elif cell == params.spots[0]:
                        q.append(worth[1] - cost)  # noqa: B023
                    elif cell == params.spots[1]:
                        eats = sum(p * worth[truck] for p, truck in zip(beliefs[k], trucks))  # noqa: B023
                        stays = beliefs[k][0] * 0.99 * values[1, cell]  # noqa: B023
                        q.append(eats - cost + stays)
                    else:
                        q.append(-cost + 0.99 * moved(values, k, cell))
                return q

            free = [cell for cell in range(cells) if not params.walls[cell]]
            for _ in range(40):  # nowhere is farther from a truck
                values = np.array([
                    [max(q_values(values, k, cell)) if cell in free else 0.0 for cell in range(cells)] + [0.0]
                    for k in range(4)
                ])  # fmt: skip
            k, cell = 0, 58
            for action in path:
                chosen = np.exp(np.array(q_values(values, k, cell)) - max(q_values(values, k, cell)))
                likelihood[g, b] *= chosen[moves.index(action)] / chosen.sum()
                if action != "eat":
                    cell = int(params.after[moves.index(action), cell])
                k = 2 if k or sight[cell] > 0.5 else 0  # as the program has it, the likelier outcome
            assert cell == params.spots[0]
    posterior = likelihood / likelihood.sum()
    assert list(found["likes"][-1].values()) == pytest.approx(posterior.sum(axis=1), abs=1e-6)
    assert found["believed"] == pytest.approx(posterior.sum(axis=0), abs=1e-6)
    assert found["best"] == "Mexican > Korean > Lebanese"  # as figure 1 has it


FOUR_GOALS = (
    "A...#...B",
    ".........",
    "..#...#..",
    ".........",
    "#...S...#",
    ".........",
    "..#...#..",
    ".........",
    "C...#...D",
)
WALK = ("left", "up", "left", "up", "right", "right", "right", "up")
TURNS = {"left": (0, -1), "down": (1, 0), "right": (0, 1), "up": (-1, 0)}


def turned(cell: tuple[int, int], action: str) -> tuple[int, int]:
    to = cell[0] + TURNS[action][0], cell[1] + TURNS[action][1]
    return to if 0 <= to[0] < 9 and 0 <= to[1] < 9 and FOUR_GOALS[to[0]][to[1]] != "#" else cell


def policy_towards(letter: str, then: Any = None) -> tuple[dict[Any, np.ndarray], dict[Any, float]]:
    """Returns how one acts who wants a corner, and what being somewhere is worth; `then`: the same of what follows."""
    free = [(r, c) for r in range(9) for c in range(9) if FOUR_GOALS[r][c] != "#"]
    goal = next(cell for cell in free if FOUR_GOALS[cell[0]][cell[1]] == letter)
    values = dict.fromkeys(free, 0.0)
    later = 0.0 if then is None else then[1][goal]

    def worth(cell: Any, action: str) -> float:
        to = turned(cell, action)
        return -0.1 + (1.0 + 0.99 * later if to == goal else 0.99 * values[to])

    for _ in range(60):
        values = {cell: 0.0 if cell == goal else max(worth(cell, a) for a in TURNS) for cell in free}
    table = {}
    for cell in free:
        q = np.array([worth(cell, a) for a in TURNS])
        weights = np.exp(10 * (q - q.max()))
        table[cell] = np.full(4, 0.25) if cell == goal else weights / weights.sum()
    return table, values


def test_goals_and_changes() -> None:
    single = {letter: policy_towards(letter) for letter in "ABCD"}
    cells = [(4, 4)]
    for action in WALK:
        cells.append(turned(cells[-1], action))
    assert not any(FOUR_GOALS[r][c] in "ABCD" for r, c in cells)  # nobody arrives: no memory of goals reached is needed
    number = {action: a for a, action in enumerate(TURNS)}
    ahead, joint = [], []
    for letter in "ABCD":
        table = single[letter][0]
        joint.append(np.cumprod([table[cell][number[a]] for cell, a in zip(cells, WALK)]) / 4)
        ahead.append(table[cells[-1]])
    switching = np.full(4, 0.25)
    stay = np.full((4, 4), 0.25 / 3) + np.eye(4) * (0.75 - 0.25 / 3)
    path, total = [], 1.0
    for cell, action in zip(cells, WALK):
        switching = switching * [single[letter][0][cell][number[action]] for letter in "ABCD"]
        total *= switching.sum()
        switching = switching / switching.sum() @ stay
        path.append(total)
    joint.append(np.array(path))
    ahead.append(sum(p * single[letter][0][cells[-1]] for p, letter in zip(switching, "ABCD")))
    for first, last in itertools.permutations("ABCD", 2):
        table = policy_towards(first, single[last])[0]
        joint.append(np.cumprod([table[cell][number[a]] for cell, a in zip(cells, WALK)]) / 12)
        ahead.append(table[cells[-1]])
    kinds = np.array([np.sum(joint[:4], axis=0), joint[4], np.sum(joint[5:], axis=0)])
    assert run("goals_and_changes")["kinds"] == pytest.approx(rows(kinds.T), abs=1e-6)
    weights = rows(np.array([path[-1] for path in joint]))
    assert run("goals_and_changes")["ahead"] == pytest.approx(weights @ np.array(ahead), abs=1e-6)


def test_gridworld_species() -> None:
    program = run("gridworld_species")
    land, moves, move = program["ROWS"], program["MOVES"], program["step"]
    free = [(r, c) for r in range(11) for c in range(11) if land[r][c] != "#"]
    posterior, expected, policies = np.full(4, 0.25), [], []
    for liked in "ABCD":
        values = dict.fromkeys(free, 0.0)
        for left in range(31):
            q = {}
            for cell in free:
                q[cell] = []
                for action in moves:
                    to = move(cell, action)
                    wall = cell == to and action != "stay"
                    gain = float(land[to[0]][to[1]] == liked) - 0.01 - 0.05 * wall
                    q[cell].append(gain + (0.99 * values[to] if land[to[0]][to[1]] not in "ABCD" and left else 0.0))
            values = {cell: max(q[cell]) for cell in free}
        policies.append({cell: rows(np.exp(20 * (np.array(each) - max(each)))) for cell, each in q.items()})
    cell = (5, 5)
    for action in ("up", "up", "right", "up", "right"):
        posterior = rows(posterior * [policy[cell][list(moves).index(action)] for policy in policies])
        expected.append(posterior)
        cell = move(cell, action)
    assert program["liked"] == pytest.approx(np.array(expected), abs=1e-6)
    assert program["ahead"] == pytest.approx(sum(p * policy[cell] for p, policy in zip(posterior, policies)), abs=1e-6)


def test_random_species() -> None:
    """The likelihood of a Dirichlet-multinomial distribution, by gamma functions."""
    counts = np.array([0, 4, 0, 1, 0])
    logs = [
        math.lgamma(5 * a) - math.lgamma(5 + 5 * a) + sum(math.lgamma(n + a) - math.lgamma(a) for n in counts)
        for a in (0.01, 0.1, 1.0)
    ]
    posterior = rows(np.exp(logs))
    assert run("random_species")["species"] == pytest.approx(posterior, abs=1e-6)
    ahead = sum(p * (counts + a) / (5 + 5 * a) for p, a in zip(posterior, (0.01, 0.1, 1.0)))
    assert run("random_species")["ahead"] == pytest.approx(ahead, abs=1e-6)
