from __future__ import annotations

import pytest

from inscape.envs.worlds.mdp.ski_resort import AREAS, LIFTS, NAMES, PISTES, PLACES, SkiResort
from inscape.errors import UsageError
from inscape.world_models import value_iteration
from tests.envs.worlds.mdp.plain import outcomes, plain_table


def test_every_place_has_its_ways():
    """Lifts lead up and pistes down, every area has at least one piste, and no piste ends where it is missed to."""
    world = SkiResort()
    height = {"Hotel": 0, "Wood": 1, "Terrace": 1, "Bowl": 2, "Glacier": 3}
    for way in LIFTS.values():
        assert height[PLACES[way.ends]] > height[PLACES[way.begins]]
        assert way.astray == way.begins
    for way in PISTES.values():
        assert height[PLACES[way.ends]] <= height[PLACES[way.begins]]
        assert way.ends not in (way.begins, way.astray)
    assert {PLACES[way.begins] for way in PISTES.values()} == set(AREAS)
    for place in range(5):
        legal = {name for a, name in enumerate(NAMES) if world.legal(world.params, world.State(place, 0), a)}
        ways = {name for name, way in (LIFTS | PISTES).items() if way.begins == place}
        assert legal == ways | ({"rest"} if place == 0 else set())
    assert len(plain_table(world)[1]) == 5
    assert len(plain_table(SkiResort(legs=3))[1]) == 20


@pytest.mark.quick("Terrace", "anywhere")
@pytest.mark.parametrize("favourite", [*AREAS, "anywhere"])
def test_on_a_perfect_day_the_best_is_to_go_round(favourite):
    """Where nothing fails the long-run reward is that of the best cycle of lifts and pistes, all of them tried.

    A favourite area is skied and reached again by one lift: (1 − 0.1) / 2.
    """
    world = SkiResort(favourite=favourite, closed=0.0, missed=0.0, ticket=0.1)
    best = max(cycles(world))
    gamma = 0.99999
    table, _ = plain_table(world)
    solution = value_iteration(table, gamma, tolerance=1e-6)
    assert solution.values[0] * (1 - gamma) == pytest.approx(best, abs=1e-4)
    if favourite != "anywhere":
        assert best == pytest.approx(0.45)


def cycles(world):
    """Yields the mean reward of every simple cycle of a resort in which nothing fails."""

    def walk(start, place, seen, total, steps):
        for action in range(len(NAMES)):
            state = world.State(place, 0)
            if not world.legal(world.params, state, action):
                continue
            (following,) = outcomes(world, state, action)
            reward = total + world.reward(world.params, world.purpose, state, action, following)
            if following.place == start:
                yield reward / (steps + 1)
            elif following.place not in seen:
                yield from walk(start, following.place, seen | {following.place}, reward, steps + 1)

    for place in range(5):
        yield from walk(place, place, {place}, 0.0, 0)


def test_lifts_close_pistes_are_missed_and_legs_tire():
    world = SkiResort(closed=0.2, missed=0.1, legs=2, missed_tired=0.6)
    name = {n: a for a, n in enumerate(NAMES)}

    def after(place, legs, action):
        found = outcomes(world, world.State(PLACES.index(place), legs), name[action])
        return {(PLACES[s.place], s.legs): p for s, p in found.items()}

    assert after("Hotel", 2, "gondola") == pytest.approx({("Wood", 2): 0.8, ("Hotel", 2): 0.2})
    assert after("Glacier", 2, "ibex-run") == pytest.approx({("Terrace", 1): 0.9, ("Bowl", 1): 0.1})
    assert after("Glacier", 0, "ibex-run") == pytest.approx({("Terrace", 0): 0.4, ("Bowl", 0): 0.6})
    assert after("Wood", 0, "t-bar") == pytest.approx({("Bowl", 0): 0.8, ("Wood", 0): 0.2})
    assert after("Hotel", 0, "rest") == {("Hotel", 2): 1.0}


def test_purposes_are_the_areas_and_the_first_lift_tells_them_apart():
    world = SkiResort()
    assert set(world.goals) == {*AREAS, "anywhere"}
    first = {}
    for area in AREAS:
        table, states = plain_table(world.with_purpose(area))
        policy = value_iteration(table, 0.95).policy
        first[area] = NAMES[policy[states.index(world.State(0, 0))]]
    assert first == {"Wood": "gondola", "Bowl": "gondola", "Terrace": "chairlift", "Glacier": "chairlift"}


@pytest.mark.parametrize(
    "settings", [{"favourite": "glacier"}, {"closed": 2}, {"missed": -1}, {"legs": 1.5}, {"ticket": float("nan")}]
)
def test_bad_settings_are_refused(settings):
    (name,) = settings
    with pytest.raises(UsageError, match=f"{name} = "):
        SkiResort(**settings)
