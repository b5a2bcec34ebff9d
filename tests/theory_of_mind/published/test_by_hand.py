"""Published programs whose source prints no number: recomputed by enumeration in plain NumPy, to six digits."""

from __future__ import annotations

import functools
import itertools
from typing import Any

import numpy as np
import pytest

from tests.theory_of_mind.published.programs import run
from tests.theory_of_mind.published.recursions import Agent, BanditAgent, softmax


def rows(weights: np.ndarray) -> np.ndarray:
    """Returns weights divided by the sum of their row."""
    return weights / weights.sum(axis=-1, keepdims=True)


def test_reference_game() -> None:
    holds = np.array([[1, 1, 0], [0, 0, 1], [1, 0, 0], [0, 1, 1]], float)  # [word, thing]
    level_0 = rows(rows(holds.T).T)
    assert run("reference_game")["literal"] == pytest.approx(level_0, abs=1e-6)
    for beta, found in ((1.0, "pragmatic"), (1.74, "fitted")):
        level_1 = rows(rows((holds * np.exp(beta * level_0)).T).T)
        assert run("reference_game")[found] == pytest.approx(level_1, abs=1e-6)


def test_scalar_implicature() -> None:
    holds = np.array([[0, 0, 0, 1], [0, 1, 1, 1], [1, 0, 0, 0]], float)
    literal = rows(holds)
    speaker = rows(literal.T**2)
    found = run("scalar_implicature")
    assert found["literal"][1] == pytest.approx([0, 1 / 3, 1 / 3, 1 / 3], abs=1e-6)
    assert found["speaker"] == pytest.approx(speaker, abs=1e-6)
    assert found["speaker"][3] == pytest.approx([0.9, 0.1, 0], abs=1e-6)  # 1 : (1/3)²
    assert found["listener"][1] == pytest.approx([0, 1 / 2.1, 1 / 2.1, 0.1 / 2.1], abs=1e-6)


def test_niceness() -> None:
    """A speaker to whom none or all fit says so with 1 : 1/10,000, and some in all other states."""
    some = np.ones(10_001)
    some[0], some[-1] = 0.0, 1e-4 / (1 + 1e-4)
    assert run("niceness")["listener"][1] == pytest.approx(some / some.sum(), abs=1e-12)


def test_false_belief() -> None:
    assert run("false_belief")["after"] == pytest.approx([1.0, 0.0], abs=1e-6)


def test_polarization() -> None:
    """Sums over what is wanted (0.9, 0.1), what the bill does (0.5) and what the study says of it (0.9)."""
    for who, liberal in enumerate((0.9, 0.1)):
        if_spends = 0.9 * liberal + 0.1 * (1 - liberal)
        assert run("polarization")["before"][who] == pytest.approx(0.5 * 0.5 + 0.5 * if_spends, abs=1e-6)
        for study, spends in enumerate((0.1, 0.9)):
            after = (1 - spends) * 0.5 + spends * if_spends
            assert run("polarization")["after"][study, who] == pytest.approx(after, abs=1e-6)


def test_politeness() -> None:
    meaning = np.array([[1, 0.5, 0, 0], [1, 1, 1, 0], [0, 1, 1, 1], [0, 0, 0.5, 1]])
    spoken = meaning / meaning.sum(axis=0)
    heard = rows(spoken)
    for phi, name in ((0.9, "honest"), (0.1, "polite")):
        weights = np.zeros((4, 4))
        for hearts, word in itertools.product(range(4), range(4)):
            if heard[word, hearts] > 0:
                pleasing = sum(h * heard[word, h] for h in range(4))
                weights[hearts, word] = np.exp(3 * (phi * np.log(heard[word, hearts]) + (1 - phi) * pleasing))
        assert run("politeness")[name] == pytest.approx(rows(weights), abs=1e-6)


def test_persuasion_of_kamenica_and_gentzkow() -> None:
    """At 4/7 the accused are as often guilty as not (0.3 = 0.7 · 3/7): 60 % are convicted; with all known, 30 %."""
    found = run("persuasion")["convicted"]
    assert found[-1, -1] == pytest.approx(0.3, abs=1e-9)
    assert found.max() == pytest.approx(0.3 + 0.7 * (1 - 0.575), abs=1e-9)
    assert found.max() == pytest.approx(0.6, abs=0.005)  # as printed, but for the grid


# ------------------------------------------------------------------------------------------------- agentmodels.org

STREETS = ("####V#", "###...", "##D.#.", "###.#.", "###...", "###.#N", "....##", "D##.##")[::-1]
STEPS = {"l": (-1, 0), "r": (1, 0), "u": (0, 1), "d": (0, -1)}


def street(x: int, y: int) -> str:
    return STREETS[y][x] if 0 <= x < 6 and 0 <= y < 8 else "#"


def test_integer_line() -> None:
    agent = Agent(
        lambda s: [-1, 0, 1], lambda s, a: {(s[0] + a, s[1] - 1): 1.0},
        lambda s, a: float(s[0] == 3), lambda s: s[1] == 1, alpha=100.0,
    )  # fmt: skip
    state, path = (0, 4), []
    while state[1] > 0:
        likely = agent.act(state)
        path.append(state[0])
        action = max(likely, key=lambda a: likely[a])
        state = (state[0] + action, state[1] - 1)
    assert path == run("integer_line")["path"] == [0, 1, 2, 3]


def test_favourite() -> None:
    """The world of webppl-agents: no turning back, at most two bites, 11 steps before the last."""

    def ends(state: Any) -> bool:  # (place, place before, time left, time at the restaurant, last action?)
        return bool(state[4])

    def after(state: Any, action: str) -> Any:
        place, _, left, bites, last = state
        if street(*place) == ".":
            left, last = left - 1, last or left - 1 <= 1
            to = place[0] + STEPS[action][0], place[1] + STEPS[action][1]
            place = place if street(*to) == "#" else to
            bites = None
        if street(*place) != ".":
            bites = 0 if bites is None else bites + 1
            last = last or bites >= 1
        return place, state[0], left, bites, last

    def options(state: Any) -> list[str]:
        moves = [a for a in "lrud" if after(state, a)[0] not in (state[0], state[1])]
        return moves or ["l"]

    path = []
    start = ((3, 1), None, 11, None, False)
    likelihood = np.ones((4, 3))
    for g, liked in enumerate("DVN"):
        worth = {".": -0.04, "D": 1.0, "V": 1.0, "N": 1.0} | {liked: 2.0}
        agent = Agent(
            options, lambda s, a: {after(s, a): 1.0}, lambda s, a, worth=worth: worth[street(*s[0])], ends, alpha=2.0
        )
        state = start
        for t, action in enumerate("llld"):
            likelihood[t:, g] *= agent.act(state)[action]
            state = after(state, action)
        path.append(state[0])
    assert path == [(0, 0)] * 3  # Donut South
    for t in range(4):
        assert run("favourite")["path"][t] == pytest.approx(rows(likelihood[t]), abs=1e-6)


@pytest.mark.parametrize(("noise", "name"), [(0.0, "dry"), (0.1, "wet")])
def test_hiking(noise: float, name: str) -> None:
    land = (".....", ".#...", ".#W#E", ".....", "HHHHH")[::-1]
    worth = {"E": 10.0, "W": 1.0, "H": -10.0, ".": -0.1}

    def on(x: int, y: int) -> str:
        return land[y][x] if 0 <= x < 5 and 0 <= y < 5 else "#"

    def moved(place: tuple[int, int], action: str) -> tuple[int, int]:
        to = place[0] + STEPS[action][0], place[1] + STEPS[action][1]
        return place if on(*to) == "#" else to

    def outcomes(state: Any, action: str) -> dict[Any, float]:
        found: dict[Any, float] = {}
        for taken, p in ((action, 1 - noise), *((a, noise / 2) for a in ("ud" if action in "lr" else "lr"))):
            place = moved(state[0], taken)
            following = (place, state[1] - 1, state[1] - 1 <= 1 or on(*place) != ".")
            found[following] = found.get(following, 0.0) + p
        return found

    agent = Agent(
        lambda s: [a for a in "lrud" if moved(s[0], a) != s[0]] or ["l"],
        outcomes, lambda s, a: worth[on(*s[0])], lambda s: s[2], alpha=100.0,
    )  # fmt: skip
    chosen = agent.act(((0, 1), 13, False))
    assert run("hiking")[name] == pytest.approx([chosen.get(a, 0.0) for a in "lrud"], abs=1e-6)
    assert max(chosen, key=lambda a: chosen[a]) == ("r" if noise == 0 else "u")  # as the chapter says


def test_bandit() -> None:
    arms = {0: [{1.0: 1.0}, {1.5: 1.0}], 1: [{1.0: 1.0}, {0.0: 1.0}]}
    agent = BanditAgent(arms, np.inf)
    for trials, found in zip((1, 2, 3, 5), run("bandit")["found"]):
        assert found == pytest.approx([agent.expected(((0, 0.5), (1, 0.5)), a, trials) for a in range(2)], abs=1e-6)


def test_champagne() -> None:
    def posterior(trials: int) -> np.ndarray:
        weights = []
        for champagne, chocolate in ((5.0, 3.0), (3.0, 5.0)):
            arms = {0: [{chocolate: 1.0}, {champagne: 1.0}], 1: [{chocolate: 1.0}, {0.0: 1.0}]}
            agent = BanditAgent(arms, 1000.0)
            weights += [agent.act(belief, trials)[0] for belief in (((0, 1.0),), ((0, 0.05), (1, 0.95)))]
        return rows(np.array(weights))

    assert run("champagne")["few"] == pytest.approx(posterior(5), abs=1e-6)
    assert run("champagne")["few"] == pytest.approx([0, 1 / 3, 1 / 3, 1 / 3], abs=1e-6)
    assert run("champagne")["many"] == pytest.approx([posterior(t)[2:].sum() for t in (2, 5, 10, 20, 30, 40)], abs=1e-6)


def test_skiing() -> None:
    arms = {
        (chile, swiss): [{1.0: 1.0}, {chile: 1.0}, {swiss: 1.0}] for chile in (0.0, 5.0) for swiss in (0.5, 1.5)
    }  # fmt: skip
    prior = tuple((latent, (0.9 if latent[0] == 0 else 0.1) / 2) for latent in arms)
    names = ("Tahoe", "Chile", "Switzerland")
    for gamma in (0.5, 1.0):
        agent, belief, trips = BanditAgent(arms, np.inf, gamma), prior, []
        for left in range(10, 0, -1):
            chosen = agent.act(belief, left)
            arm = max(chosen, key=lambda a: chosen[a])
            assert chosen[arm] > 0.99  # no tie that could be broken otherwise
            trips.append(names[arm])
            belief = agent.after(belief, arm, (1.0, 0.0, 0.5)[arm])
        assert trips == run("skiing")["trips"][gamma]


def test_procrastination() -> None:
    def ends(state: Any) -> bool:  # (place, days waited, time left)
        return bool(state[0] == "reward" or state[2] == 1)

    def after(state: Any, action: str) -> dict[Any, float]:
        place, waited, left = state
        return {("reward", waited, left - 1) if action == "work" else (place, waited + 1, left - 1): 1.0}

    def utility(state: Any, action: str) -> float:
        return 4.5 - 0.1 * state[1] if state[0] == "reward" else -1.0 * (action == "work")

    for wise in (False, True):
        for k in range(8):
            agent = Agent(
                lambda s: ["relax"] if s[0] == "reward" else ["wait", "work"], after, utility, ends, 1000.0,
                lambda d, k=k: 1 / (1 + k * d), wise,
            )  # fmt: skip
            day = next((day for day in range(9) if agent.act(("wait", day, 10 - day))["work"] > 0.5), None)
            assert run("procrastination")["days"][wise, k] == day


def test_greedy() -> None:
    chances = list(itertools.product((0.1, 0.5, 0.9), repeat=3))
    arms = {c: [{prize: p, 0.0: 1 - p} for prize, p in zip((3.0, 1.0, 2.0), c)] for c in chances}
    agent = BanditAgent(arms, 10.0, bound=1)
    belief = tuple((c, 1 / 27) for c in chances)
    expected = []
    for left, (arm, prize) in zip((3, 2, 1), ((0, 0.0), (2, 0.0), (1, 1.0))):
        expected.append(list(agent.act(belief, left).values()))
        belief = agent.after(belief, arm, prize)
    assert run("greedy")["predicted"] == pytest.approx(np.array(expected), abs=1e-6)


def test_closed_restaurants() -> None:
    """Beliefs are two: as before, or certain; values by recursion over (place, belief, steps left)."""
    shops = ("####V#", "###...", "##D.#.", "###.#.", "###...", "###.#N", "....##", "S##.##")[::-1]
    cases = {"DNV": 0.8, "DSV": 0.2}

    def at(x: int, y: int) -> str:
        return shops[y][x] if 0 <= x < 6 and 0 <= y < 8 else "#"

    for likes, found in (({"D": 5, "S": 5, "V": 1, "N": 1}, "donuts"), ({"D": 1, "S": 1, "V": 3, "N": 5}, "noodles")):

        def moved(place: tuple[int, int], action: str, doors: str) -> tuple[int, int]:
            to = place[0] + STEPS[action][0], place[1] + STEPS[action][1]
            return to if at(*to) == "." or at(*to) in doors else place

        def seen(place: tuple[int, int], believed: str, doors: str) -> str:
            beside = {at(place[0] + dx, place[1] + dy) for dx, dy in STEPS.values()}
            return doors if beside & {"S", "N"} else believed

        @functools.cache
        def worth(place: tuple[int, int], believed: str, left: int) -> dict[str, float]:
            total = dict.fromkeys("lrud", 0.0)
            for doors, p in cases.items() if believed == "?" else ((believed, 1.0),):
                for action in "lrud":
                    to = moved(place, action, doors)
                    ends = at(*to) != "." or left == 1
                    later = 0.0 if ends else max(worth(to, seen(to, believed, doors), left - 1).values())
                    total[action] += p * (likes.get(at(*to), -0.1) + later)  # noqa: B023
            return total

        place, believed, path = (3, 1), "?", ""
        for left in range(11, 0, -1):
            values = worth(place, believed, left)
            path += max(values, key=lambda a: values[a])
            place = moved(place, path[-1], "DSV")
            believed = seen(place, believed, "DSV")
            if at(*place) != ".":
                break
        assert run("closed_restaurants")[found] == path + at(*place)


def test_prosody() -> None:
    """Loops over grade, what is known, word, stress and what is heard."""
    noise, both = {0: 0.7, 1: 0.99}, (0, 1)
    known_if = {0: {0: 0.5, 1: 0.5}, 1: {0: 0.0, 1: 1.0}}  # grade → what the speaker knows
    own = {k: rows(np.array([known_if[g][k] for g in both])) for k in both}

    def listener(level: int) -> dict[tuple[int, int], np.ndarray]:
        heard = {}
        for h, s in itertools.product(both, both):
            weights = np.zeros(2)
            for g, k, w in itertools.product(both, both, both):
                literal = (0.5 if w == 0 else 0.0) if g == 0 else 0.25
                says = speaker(level - 1)[k][w, s] if level else literal
                weights[g] += known_if[g][k] * says * (noise[s] if w == h else 1 - noise[s])
            heard[h, s] = rows(weights)
        return heard

    def speaker(level: int) -> dict[int, dict[tuple[int, int], float]]:
        heard, found = listener(level), {}
        for k in both:
            worth = {}
            for w, s in itertools.product(both, both):
                worth[w, s] = -0.1 * s
                for h in both:
                    apart = sum(p * np.log(p / q) for p, q in zip(own[k], heard[h, s]) if p > 0)
                    worth[w, s] -= (noise[s] if w == h else 1 - noise[s]) * apart
            found[k] = softmax(worth, 3.0)
        return found

    expected = [(listener(n)[0, 1][0], listener(n)[0, 0][0]) for n in range(3)]
    assert run("prosody")["exhaustive"][:3] == pytest.approx(np.array(expected), abs=1e-6)
