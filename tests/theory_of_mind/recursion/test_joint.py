"""Joint distributions against enumeration by loops, and refusals."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from inscape.errors import UsageError
from inscape.theory_of_mind import Best, Joint, PlanningMind, Proportional, Softmax, grid, level_k
from inscape.theory_of_mind.parts.planning import Planning


def test_probabilities_are_those_of_an_enumeration() -> None:
    weather = {"sun": 3.0, "rain": 1.0}

    def wet(weather: str, ground: str) -> float:
        return 0.9 if (weather == "rain") == (ground == "wet") else 0.1

    joint = Joint(weather=weather, day=range(3)).chance("ground", ("dry", "wet"), wet)
    by_hand = {
        (w, d, g): weather[w] / 4 / 3 * wet(w, g) for w, d, g in itertools.product(weather, range(3), ("dry", "wet"))
    }
    assert joint.p(ground="wet") == pytest.approx(sum(p for (_, _, g), p in by_hand.items() if g == "wet"))
    seen = joint.given(lambda day: day + 1.0, ground="wet")
    total = sum(p * (d + 1) for (_, d, g), p in by_hand.items() if g == "wet")
    rain = sum(p * (d + 1) for (w, d, g), p in by_hand.items() if (w, g) == ("rain", "wet"))
    assert seen.prob("weather") == pytest.approx([1 - rain / total, rain / total])
    # the axes of an answer are in the order of the question
    conditional = joint.prob("ground", "weather") / joint.prob("ground")[:, None]
    assert joint.prob("weather", given="ground") == pytest.approx(conditional)
    assert joint.prob("ground", "weather") == pytest.approx(joint.prob("weather", "ground").T)
    assert joint.expect(lambda day, weather: day * (weather == "sun")) == pytest.approx(0.75)
    assert joint.variance(lambda day: day) == pytest.approx(2 / 3)


def test_weights_as_an_array_are_those_of_a_function() -> None:
    rng = np.random.default_rng(0)
    table = rng.random((3, 2, 4))
    base = Joint(a=range(2), b=range(3))
    by_array = base.chance("c", range(4), table, given=("b", "a"))
    by_function = base.chance("c", range(4), lambda a, b, c: table[b, a, c])
    np.testing.assert_allclose(by_array.table, by_function.table, atol=1e-15)


def test_a_decision_maximises_what_is_expected_by_what_is_known() -> None:
    rng = np.random.default_rng(1)
    prior, worth = rng.random((3, 2)), rng.random((4, 3, 2))
    world = Joint(x=range(3)).chance("y", range(2), prior, given="x")
    expected = np.array([[world.prob("y", given="x")[x] @ worth[o, x] for o in range(4)] for x in range(3)])
    knowing = world.choice("o", range(4), lambda o, x, y: worth[o, x, y], chooses=2.0, knows="x")
    soft = np.exp(2 * expected)
    assert knowing.prob("o", given="x") == pytest.approx(soft / soft.sum(axis=1, keepdims=True))
    as_array = world.choice("o", range(4), expected, chooses=2.0, knows="x")
    np.testing.assert_allclose(as_array.table, knowing.table, atol=1e-12)
    blind = world.choice("o", range(4), lambda o, x, y: worth[o, x, y])
    mean = np.einsum("xy,oxy->o", world.table, worth)
    assert blind.prob("o").argmax() == mean.argmax()
    assert blind.prob("o", given=("x", "y")) == pytest.approx(np.broadcast_to(blind.prob("o"), (3, 2, 4)))
    matching = world.choice("o", range(4), lambda o, x, y: worth[o, x, y], Proportional((1, 2, 3, 4)))
    weights = mean * np.arange(1, 5)
    assert matching.prob("o") == pytest.approx(weights / weights.sum())


def test_information_is_entropy_that_is_lost() -> None:
    dice = Joint(red=range(6), blue=range(6)).chance(
        "even", (False, True), lambda red, blue, even: even == (red + blue) % 2
    )
    assert dice.entropy("red", "blue") == pytest.approx(2 * np.log2(6))
    assert dice.information("even", about=("red", "blue")) == pytest.approx(1.0)
    assert dice.information("even", about="red") == pytest.approx(0.0, abs=1e-12)
    assert dice.entropy("even", given=("red", "blue")) == pytest.approx(0.0, abs=1e-12)


DOORS = Joint(prize=range(3))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Joint(prize=()), "no value of 'prize'"),
        (lambda: Joint(prize=(1, 1)), "equal"),
        (lambda: Joint(prize="abc"), "values 'abc'"),
        (lambda: Joint(prize={"a": -1.0, "b": 2.0}), "negative or not finite"),
        (lambda: Joint(prize={"a": "b"}), "no numbers"),
        (lambda: DOORS.chance("prize", range(2)), "a second time"),
        (lambda: DOORS.chance("opened", range(3), lambda price, opened: 1.0), "no variable 'price'"),
        (lambda: DOORS.chance("opened", range(3), np.ones((2, 3)), given="prize"), r"\[2, 3\]"),
        (lambda: DOORS.chance("opened", range(3), lambda prize, opened: prize > 0), "where {'prize': 0}"),
        (lambda: DOORS.chance("opened", range(3), lambda prize, opened: "often"), "could not convert"),
        (lambda: DOORS.choice("pick", range(3), lambda pick: float("nan")), "NaN"),
        (lambda: DOORS.choice("pick", range(3), lambda pick: -np.inf), "no option"),
        (lambda: DOORS.choice("pick", range(3), [1.0, 2.0]), r"\[2\]"),
        (lambda: DOORS.choice("pick", range(3), "much"), "no numbers"),
        (lambda: DOORS.choice("pick", range(3), lambda pick: -1.0, Proportional()), "a value of -1"),
        (lambda: DOORS.choice("pick", range(3), lambda pick: 1.0, "worst"), "chooses = 'worst'"),
        (lambda: DOORS.choice("pick", range(3), lambda pick: 1.0, knows="opened"), "no variable 'opened'"),
        (lambda: DOORS.given(prize=7), "prize = 7"),
        (lambda: DOORS.given(lambda prize: prize > 5), "impossible|all 0"),
        (lambda: DOORS.given(prize=0).given(prize=1), "impossible"),
        (lambda: DOORS.prob("prize", given="prize"), "each of them once"),
        (lambda: DOORS.expect(3), "a function of variables"),
        (lambda: Proportional((0.0, 0.0)), "prior"),
        (lambda: Proportional(("a",)), "a weight for each action"),
        (lambda: level_k("Schelling", 1, chooses=Proportional((1.0, 1.0, 1.0))), "a prior of 3 weights"),
    ],
)
def test_what_is_no_distribution_is_refused(make: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        make()


def test_minds_may_choose_in_proportion() -> None:
    from tests.theory_of_mind.worlds import Corridor

    world = Corridor()
    minds = grid(wants="right end", chooses=[Softmax(2.0), Best(), Proportional()], plans=Planning("hard"))
    mind = minds[2]
    assert isinstance(mind, PlanningMind) and np.isnan(mind.beta) and "proportion" in mind.name
    values = mind.action_values(world)
    policy = np.exp(mind.controller(world).log_probs[:, 0])
    assert policy[:4] == pytest.approx(values[:4] / values[:4].sum(axis=1, keepdims=True))
    assert policy[4] == pytest.approx([0.5, 0.5])  # arrived: nothing is worth anything
