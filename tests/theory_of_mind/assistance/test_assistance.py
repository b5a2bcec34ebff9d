"""Helping somebody whose mind is not known: values by two routes, cases with known answers, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from inscape import make_world
from inscape.errors import MissingLawError, UsageError
from inscape.theory_of_mind import (
    Best,
    Caring,
    Controller,
    InTurn,
    Observer,
    Planning,
    PlanningMind,
    Switching,
    assistance_problem,
    minds_grid,
)
from inscape.theory_of_mind.recursion.folding import PlayersTables
from inscape.world_models import point_based
from inscape.world_models.belief.exact import ImpossiblePerceptError

WORLD = make_world("DoorHelper", map="AS+B/##P#", step_cost=0.05, goal_reward=2.0)
MINDS = minds_grid(WORLD.goals, [5.0], ["hard"])


def tree_value(world: Any, minds: Any, prior: tuple[float, ...], gamma: float, horizon: int) -> float:
    """The value of the best helper, by the enumerated belief tree, from the law and the minds' action values alone."""
    policies, purposes = [], [world.goals[mind.wants] for mind in minds]
    states = world.dynamics().states
    for mind in minds:
        q = mind.beta * mind.action_values(world)
        policies.append(np.exp(q - q.max(axis=1, keepdims=True)))
        policies[-1] /= policies[-1].sum(axis=1, keepdims=True)
    number = {world.unpack(states, s): s for s in range(len(states))}
    known: dict[Any, float] = {}

    def value(state: Any, weights: tuple[float, ...], steps: int) -> float:
        if steps == 0 or sum(weights) == 0.0:
            return 0.0
        if (key := (state, weights, steps)) in known:
            return known[key]
        best = -np.inf
        for action in range(world.num_actions):
            reward, following = 0.0, {}
            for own in range(world.num_actions):
                _, after = world.transition(world.params, state, (own, action), 0)
                ahead = following.setdefault(after, [0.0] * len(minds))
                for g, weight in enumerate(weights):
                    share = weight * policies[g][number[state], own]
                    reward += share * world.reward(world.params, purposes[g], state, (own, action), after)[0]
                    ahead[g] += 0.0 if world.terminal(world.params, purposes[g], after) else share
            later = sum(value(after, tuple(ahead), steps - 1) for after, ahead in following.items())
            best = max(best, reward + gamma * later)
        known[key] = best
        return best

    first = world.unpack(world.sample_initial(1, np.random.default_rng(0)), 0)
    return value(first, prior, horizon)


def test_the_value_is_that_of_the_enumerated_belief_tree() -> None:
    gamma, horizon, prior = 0.4, 5, (0.2, 0.8)
    minds = minds_grid(WORLD.goals, [40.0], ["hard"])
    problem = assistance_problem(WORLD, minds, prior, gamma=gamma)
    helper = problem.solve(1e-6)
    tail = gamma**horizon * 2.0  # nothing is worth more
    tree = tree_value(WORLD, minds, prior, gamma, horizon)
    assert helper.gap <= 1e-6
    assert helper.lower - tail <= tree <= helper.upper + tail
    assert tree > problem.waiting_value() + tail  # and helping is worth something


def test_grouping_states_by_what_is_seen_changes_no_value() -> None:
    problem = assistance_problem(WORLD, MINDS, gamma=0.9)
    mixed, plain = problem.solve(1e-3), point_based(problem.model, 0.9, 1e-3)
    assert mixed.gap <= 1e-3 and plain.gap <= 1e-3
    assert mixed.lower <= plain.upper and plain.lower <= mixed.upper
    assert mixed.upper <= problem.knowing_value + 1e-6


def test_a_helper_earns_what_its_bounds_say_and_baselines_do_not_earn_more() -> None:
    problem = assistance_problem(WORLD, MINDS, gamma=0.95)
    helper = problem.solve(1e-3)
    found = problem.simulate(helper, 400, 0, max_steps=300)
    assert abs(found.mean - helper.lower) < 4 * found.standard_error + 1e-3
    assert found.ended.all() and set(found.minds) == {0, 1}
    for other in (problem.qmdp(), problem.sample(8), problem.waiting("stay")):
        earned = problem.simulate(other, 100, 0, max_steps=100)
        assert earned.mean <= helper.upper + 4 * earned.standard_error
    assert problem.waiting_value() <= helper.lower
    knowing = problem.simulate(problem.knowing(), 400, 0, max_steps=300)
    assert abs(knowing.mean - problem.knowing_value) < 4 * knowing.standard_error


def test_one_mind_is_known() -> None:
    problem = assistance_problem(WORLD, MINDS[:1])
    helper = problem.solve(1e-6)
    assert helper.lower == pytest.approx(problem.knowing_value, abs=1e-6)


def test_beside_a_rational_human_of_known_goal_helping_is_the_joint_plan() -> None:
    tables, gamma = PlayersTables(WORLD, "A"), 0.9
    shared, values = tables.rewards(0), np.zeros(tables.num_states)
    for _ in range(400):
        ahead = (tables.probability * values[tables.next_state]).sum(axis=2)
        values = np.where(tables.terminal, 0.0, (shared + gamma * ahead).max(axis=1))
    best = (shared + gamma * (tables.probability * values[tables.next_state]).sum(axis=2)).argmax(axis=1)

    class Partner:
        wants, name = "A", "its part of the joint plan"

        def controller(self, world: Any, player: int = 0) -> Controller:
            with np.errstate(divide="ignore"):
                return Controller.memoryless(np.log(np.eye(world.num_actions)[tables.moves[best, player]]))

    helper = assistance_problem(WORLD, [Partner()], gamma=gamma).solve(1e-8)
    assert helper.lower == pytest.approx(float(tables.initial @ values), abs=1e-7)


def test_from_a_human_who_acts_at_random_nothing_is_learned() -> None:
    problem = assistance_problem(WORLD, minds_grid(WORLD.goals, [0.0], ["hard"]), [0.7, 0.3])
    states = WORLD.dynamics().states
    first = WORLD.sample_initial(1, np.random.default_rng(0))
    work = problem.qmdp().begin(WORLD.observe(first, player=1)[0])
    np.testing.assert_allclose(work.posterior(), [0.7, 0.3])
    after, *_ = WORLD.step(first, np.array([[4, 4]]), np.random.default_rng(0))
    np.testing.assert_allclose(work.update(4, WORLD.observe(after, player=1)[0]), [0.7, 0.3])
    with pytest.raises(ImpossiblePerceptError):
        work.update(4, WORLD.observe(states[[len(states) - 1]], player=1)[0])
    with pytest.raises(UsageError, match="observation of DoorHelper"):
        work.update(4, [-1, 0, 0])


def test_the_posterior_is_that_of_an_observer() -> None:
    problem = assistance_problem(WORLD, MINDS)
    watch = Observer(WORLD, MINDS, player=0)
    rng = np.random.default_rng(3)
    states = WORLD.sample_initial(1, rng)
    work = problem.solve(1e-2).begin(WORLD.observe(states, player=1)[0])
    for human in (4, 2, 1, 4):
        before = WORLD.unpack(states, 0)
        states, *_ = WORLD.step(states, np.array([[human, action := work.act()]]), rng)
        found = work.update(action, WORLD.observe(states, player=1)[0])
        # what the human did is not seen, only where it led: summed over its actions
        pi = np.exp(np.stack([mind.controller(WORLD).log_probs[:, 0] for mind in MINDS]))
        s = int(WORLD.dynamics().index_of(WORLD.pack([before]))[0])
        same = [
            WORLD.transition(WORLD.params, before, (a, action), 0)[1] == WORLD.unpack(states, 0) for a in range(6)
        ]  # fmt: skip
        expected = watch.posterior() * (pi[:, s] @ np.array(same, float))
        np.testing.assert_allclose(found, expected / expected.sum(), atol=1e-12)
        watch = Observer(WORLD, MINDS, found, player=0)


def test_minds_that_remember_are_helped() -> None:
    still = assistance_problem(WORLD, [PlanningMind("A", 8.0, "hard"), PlanningMind("B", 8.0, "hard")], gamma=0.9)
    one = PlanningMind(wants=Switching(("A", "B"), 0.0), plans=Planning("hard"), chooses=still.minds[0].chooses)
    twice = assistance_problem(WORLD, [one], gamma=0.9)
    a, b = still.solve(1e-5), twice.solve(1e-5)
    assert a.lower == pytest.approx(b.lower, abs=2e-5)
    switching = PlanningMind(wants=Switching(("A", "B"), 0.5), plans=Planning("hard"), chooses=still.minds[0].chooses)
    assert assistance_problem(WORLD, [switching], gamma=0.9).solve(1e-3).upper < a.lower


def test_whose_rewards_count() -> None:
    world = make_world("HelperHinderer", map="S.A/.L.", move_cost=0.1)
    minds = [PlanningMind("A, help", 20.0, "hard")]
    free = assistance_problem(world, minds)
    costly = assistance_problem(world, minds, counts={0: 1.0, 1: 1.0})
    assert costly.knowing_value > free.knowing_value  # care 1: the helper's own reward is the other's again
    spiteful = assistance_problem(world, minds, counts={0: -1.0})
    assert spiteful.solve(1e-3).lower > -free.waiting_value()


def test_what_cannot_be_helped_is_refused() -> None:
    for call, words in (
        (lambda: assistance_problem(make_world("FourGoals"), MINDS), "1 players"),
        (lambda: assistance_problem(WORLD, []), "without minds"),
        (lambda: assistance_problem(WORLD, MINDS, [1.0]), "prior"),
        (lambda: assistance_problem(WORLD, MINDS, human=2), "human = 2"),
        (lambda: assistance_problem(WORLD, MINDS, human=1, helper=1), "helper = 1"),
        (lambda: assistance_problem(WORLD, MINDS, gamma=1.0), "gamma = 1"),
        (lambda: assistance_problem(WORLD, MINDS, counts={7: 1.0}), "player 7"),
        (lambda: assistance_problem(WORLD, MINDS, counts={0: np.nan}), "finite"),
        (lambda: assistance_problem(WORLD, [PlanningMind(InTurn(("A", "B")), 1.0, "hard")]), "one goal at a time"),
        (lambda: assistance_problem(WORLD, MINDS).waiting("open sesame"), "no action"),
        (lambda: assistance_problem(WORLD, MINDS).waiting(9), "0 to 5"),
        (lambda: assistance_problem(WORLD, MINDS).sample(0), "num_samples"),
        (lambda: assistance_problem(WORLD, MINDS).solve(tolerance=0), "tolerance"),
        (lambda: assistance_problem(WORLD, MINDS).simulate(None, 0, 0), "episodes"),  # type: ignore[arg-type]
        (lambda: assistance_problem("DoorHelper", MINDS), "make_world"),  # type: ignore[arg-type]
    ):
        with pytest.raises((UsageError, MissingLawError), match=words):
            call()  # type: ignore[no-untyped-call]


def test_a_mind_goes_on_where_the_worlds_own_purpose_ends() -> None:
    # the world's own goal is A; a mind that wants B walks over it
    world = make_world("DoorHelper", map="SAB/P..", step_cost=0.05)
    mind = PlanningMind(wants="B", plans=Planning("hard"), chooses=Best())
    helper = assistance_problem(world, [mind], gamma=0.9).solve(1e-6)
    assert helper.lower == pytest.approx(-0.05 + 0.9 * (1 - 0.05), abs=1e-6)
    caring = PlanningMind(Caring("B", {1: 1.0}), 5.0, "hard")
    assert assistance_problem(world, [caring], gamma=0.9).knowing_value > 0.3
