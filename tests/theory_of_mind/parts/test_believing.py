"""Minds that filter what they see, against Bayes' rule written out and against other planners over beliefs."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np
import pytest
from gymnasium import spaces

from inscape import World, make_world
from inscape.errors import UsageError
from inscape.theory_of_mind import (
    Best,
    Curious,
    Exponential,
    Filtering,
    ImpossibleEvidenceError,
    Observer,
    Params,
    Planning,
    PlanningMind,
    Sees,
    Softmax,
    belief_world,
)
from inscape.world_models import BeliefModel, alpha_vectors
from inscape.world_models.planning.choice import boltzmann_log_probs
from tests.theory_of_mind.worlds import Corridor


class CaveState(NamedTuple):
    gold: int  # 0 left, 1 right
    glint: int  # what was seen last: 0 left, 1 right, 2 nothing yet
    dug: int


class CaveParams(NamedTuple):
    clear: float = 0.8
    left: float = 0.5


class Cave(World):
    """Look as often as one likes, each time a glint on the right side with probability `clear`; then dig."""

    State, Params = CaveState, CaveParams
    actions = ("look", "dig left", "dig right")
    initial_branches = 2
    branches = 2
    gamma = 0.9

    @staticmethod
    def initial(params, branch):
        return (params.left, 1.0 - params.left)[branch], CaveState(branch, 2, 0)

    @staticmethod
    def transition(params, state, action, branch):
        if action == 0:
            side = state.gold if branch == 0 else 1 - state.gold
            return (params.clear, 1.0 - params.clear)[branch], CaveState(state.gold, side, 0)
        return (1.0, 0.0)[branch], CaveState(state.gold, state.glint, 1)

    @staticmethod
    def reward(params, purpose, state, action, next_state):
        if action == 0:
            return -0.05
        return 1.0 if action - 1 == state.gold else -1.0

    @staticmethod
    def terminal(params, purpose, state):
        return state.dug == 1

    @staticmethod
    def observations(params):
        return spaces.Discrete(4)

    @staticmethod
    def observation(params, state):
        return 3 if state.dug else state.glint


WORLD = Cave()
CORRIDOR = Corridor(slip=0.2)
GOAL = WORLD.purpose


def mind(**parts: Any) -> PlanningMind:
    given = {"wants": GOAL, "chooses": Softmax(4.0), "plans": Planning("soft-eval"), "believes": Filtering()}
    return PlanningMind(**given | parts)


def row(*state: int) -> int:
    return int(WORLD.dynamics().index_of(WORLD.pack([CaveState(*state)]))[0])


def belief_in_right(glints: list[int], left: float = 0.5, clear: float = 0.8) -> float:
    """P(gold is right | glints) by Bayes' rule."""
    weights = [left, 1.0 - left]
    for side, glint in itertools.product((0, 1), glints):
        weights[side] *= clear if glint == side else 1.0 - clear
    return weights[1] / sum(weights)


def test_values_of_beliefs_are_those_of_alpha_vectors() -> None:
    horizon = 6
    filtering = mind(plans=Planning("hard", horizon, Exponential(0.9)), chooses=Best())
    values = filtering.action_values(WORLD).max(axis=1)
    points = belief_world(WORLD)
    exact = alpha_vectors(BeliefModel.from_world(WORLD), horizon, gamma=0.9)[-1]
    beliefs = points.beliefs[:12]
    for value, belief in zip(values, beliefs):
        assert value == pytest.approx(float(np.ravel(exact.values(belief[None]))[0]), abs=1e-9)


def test_the_tiger_is_worth_what_is_published() -> None:
    world = make_world("Tiger")
    values = PlanningMind(
        world.purpose, plans=Planning("hard", discount=Exponential(0.95)), chooses=Best(), believes=Filtering()
    ).action_values(world)
    assert values[0].max() == pytest.approx(
        19.371368, abs=1e-5
    )  # 19.37: Cassandra's tiger.95, as point_based bounds it


def test_a_mind_acts_by_what_it_has_seen_and_not_by_what_is_there() -> None:
    watch = Observer(WORLD, [mind()])
    policy = dict(policies())
    glints = [1, 1, 0, 1]
    for t, glint in enumerate(glints):
        watch.update(CaveState(0, glints[t - 1] if t else 2, 0), "look", CaveState(0, glint, 0))
    predicted = watch.predict(CaveState(0, 1, 0)).action_probs
    np.testing.assert_allclose(predicted, policy[round(belief_in_right(glints), 9)], atol=1e-9)
    assert predicted[2] > predicted[1]  # the gold is left, and it has seen it right


def policies() -> list[tuple[float, np.ndarray]]:
    """What the mind does at every belief: it is how many more glints it has seen right than left, here −40 to 40."""
    count = np.arange(-40, 41)
    right = 0.8**count / (0.8**count + 0.2**count)
    chance = right * 0.8 + (1 - right) * 0.2  # of a glint on the right
    values, q = np.zeros(81), np.zeros((81, 3))
    for _ in range(400):
        up, down = np.append(values[1:], values[-1]), np.append(values[0], values[:-1])
        q = np.stack([-0.05 + 0.9 * (chance * up + (1 - chance) * down), 1 - 2 * right, 2 * right - 1], axis=1)
        values = (np.exp(boltzmann_log_probs(q, 4.0)) * q).sum(axis=1)
    policy = np.exp(boltzmann_log_probs(q, 4.0))
    return [(round(float(right[n + 40]), 9), policy[n + 40]) for n in range(-5, 6)]


def test_what_it_prefers_and_what_it_believed_are_inferred_together() -> None:
    """P(prior, β | actions) by Bayes' rule over policies written out."""
    priors = {"left": 0.1, "even": 0.5, "right": 0.9}

    def believing(right: float) -> Filtering:
        return Filtering({CaveState(0, 2, 0): 1 - right, CaveState(1, 2, 0): right})

    minds = [mind(believes=believing(p)) for p in priors.values()]
    watch = Observer(WORLD, minds)
    watch.update(CaveState(0, 2, 0), "look", CaveState(0, 0, 0))
    posterior = watch.update(CaveState(0, 0, 0), "dig right")
    likelihood = []
    for right, planner in zip(priors.values(), minds):
        controller = planner.controller(WORLD)
        first = int(np.argmax(controller.start[row(0, 2, 0)]))
        points = belief_world(WORLD, believing(right).weights(WORLD))
        after = int(points.following[first, 0, points.seen[row(0, 0, 0)]])
        np.testing.assert_allclose(
            points.beliefs[after, row(1, 0, 0)], belief_in_right([0], left=1 - right), atol=1e-12
        )
        probs = np.exp(controller.log_probs)
        likelihood.append(probs[row(0, 2, 0), first, 0] * probs[row(0, 0, 0), after, 2])
    np.testing.assert_allclose(posterior, np.array(likelihood) / sum(likelihood), rtol=1e-12)
    assert posterior.argmax() == 2


def test_a_mind_mistaken_about_the_dynamics_filters_by_what_it_believes() -> None:
    certain = mind(believes=Filtering(params=CaveParams(clear=1.0)), chooses=Best(), plans=Planning("hard"))
    watch = Observer(WORLD, [certain, mind(chooses=Best(), plans=Planning("hard"))])
    watch.update(CaveState(0, 2, 0), "look", CaveState(0, 1, 0))
    assert watch.update(CaveState(0, 1, 0), "dig right")[0] == 1.0  # one glint is enough for it, not for the other


def test_what_it_holds_to_be_impossible_rules_a_mind_out() -> None:
    certain, open_minded = mind(believes=Filtering(params=CaveParams(clear=1.0))), mind()
    watch = Observer(WORLD, [certain, open_minded])
    watch.update(CaveState(0, 2, 0), "look", CaveState(0, 0, 0))
    assert watch.posterior()[0] > 0
    assert watch.update(CaveState(0, 0, 0), "look", CaveState(0, 1, 0)).tolist() == [0.0, 1.0]
    alone = Observer(WORLD, [certain])
    alone.update(CaveState(0, 2, 0), "look", CaveState(0, 0, 0))
    with pytest.raises(ImpossibleEvidenceError):
        alone.update(CaveState(0, 0, 0), "look", CaveState(0, 1, 0))


def test_where_all_is_seen_filtering_is_seeing_also_past_a_goal() -> None:
    """A mind that walks on where its own episode would have ended is indifferent there, whatever it believed before."""
    seeing = PlanningMind("left end", 3.0, "soft-eval").controller(CORRIDOR)
    filtering = PlanningMind("left end", 3.0, "soft-eval", believes=Filtering()).controller(CORRIDOR)
    assert filtering.num_memories == 4
    for state in range(5):
        for memory in np.flatnonzero(filtering.start[state]) if state else range(4):
            np.testing.assert_allclose(filtering.log_probs[state, memory], seeing.log_probs[state, 0], atol=1e-9)


def test_who_walks_over_a_goal_and_on_goes_on_believing() -> None:
    """Where all is seen, minds that filter get the posterior of minds that see, also past a goal."""
    goals, path = ("left end", "right end", "middle"), [2, 1, 0, 1, 2, 3, 2]
    watches = [
        Observer(CORRIDOR, [PlanningMind(goal, 2.0, "soft-eval", believes=believes) for goal in goals])
        for believes in (None, Filtering())
    ]
    for here, there in itertools.pairwise(path):
        posteriors = [watch.update(here, int(there > here), there) for watch in watches]
        np.testing.assert_allclose(*posteriors, atol=1e-9)
    assert posteriors[0].min() > 0.05


def test_a_world_of_beliefs_begins_by_the_prior() -> None:
    prior = np.array([0.0, 0.5, 0.125, 0.125, 0.25])  # the world begins in cell 2, and is over in cell 4
    points = belief_world(CORRIDOR, prior)
    np.testing.assert_allclose(points.beliefs.T @ points.model.initial[:-1], [0.0, 0.5, 0.125, 0.125, 0.0], atol=1e-15)
    assert points.model.initial[-1] == 0.25
    with pytest.raises(UsageError, match="over in every state it may begin in"):
        belief_world(CORRIDOR, np.eye(5)[4])


def test_a_prior_without_the_first_state_rules_a_mind_out() -> None:
    far = mind(believes=Filtering({CaveState(0, 1, 0): 1.0}))
    assert Observer(WORLD, [far, mind()]).update(CaveState(0, 2, 0), "look").tolist() == [0.0, 1.0]


def test_information_is_what_a_look_tells() -> None:
    points = belief_world(WORLD)
    start = int(points.first[points.seen[row(0, 2, 0)]])
    entropy = -(0.8 * np.log2(0.8) + 0.2 * np.log2(0.2))
    np.testing.assert_allclose(points.information[start], [1.0 - entropy, 0.0, 0.0], atol=1e-12)
    keen, plain = (
        np.exp(mind(wants=wants).controller(WORLD).log_probs)[row(0, 2, 0), 0, 0]
        for wants in (Curious(1.0, GOAL), GOAL)
    )
    assert keen > plain


@pytest.mark.parametrize("believes", [None, Params(CaveParams())])
def test_a_mind_that_would_know_the_hidden_state_is_refused_and_filtering_named(believes: Any) -> None:
    with pytest.raises(UsageError, match=r"(?s)look alike.*Filtering"):
        Observer(WORLD, [mind(believes=believes)])


def test_one_who_sees_may_know_the_hidden_state() -> None:
    watch = Observer(WORLD, [mind(believes=Sees(), chooses=Softmax(8.0)), mind(chooses=Softmax(8.0))])
    assert watch.update(CaveState(1, 2, 0), "dig right")[0] > 0.9


def test_abilities_are_planned_with() -> None:
    blind = mind(can=("dig left", "dig right"))
    probs = np.exp(blind.controller(WORLD).log_probs)[row(0, 2, 0), 0]
    np.testing.assert_allclose(probs, [0.0, 0.5, 0.5], atol=1e-12)
    assert Observer(WORLD, [blind, mind()]).update(CaveState(0, 2, 0), "look").tolist() == [0.0, 1.0]
    never_left = mind(believes=Sees(), can=lambda state, action: action != "dig left")
    assert np.exp(never_left.controller(WORLD).log_probs)[row(0, 2, 0), 0, 1] == 0.0
    masked = mind(believes=Sees(), can=[True, False, True])
    np.testing.assert_array_equal(masked.controller(WORLD).log_probs, never_left.controller(WORLD).log_probs)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Filtering(max_points=0), "max_points is 0"),
        (lambda: Filtering(resolution=0.0), "resolution"),
        (lambda: mind(believes=Filtering([0.5, 0.5])).controller(WORLD), "one probability for each state"),
        (lambda: mind(believes=Filtering(lambda state: -1.0)).controller(WORLD), "a weight, 0 or more"),
        (lambda: mind(believes=Filtering(lambda state: 0.0)).controller(WORLD), "no state of Cave is possible"),
        (lambda: mind(believes=Filtering({CaveState(5, 5, 5): 1.0})).controller(WORLD), "not among the enumerated"),
        (lambda: mind(believes=Filtering(max_points=3)).controller(WORLD), "more than 3 beliefs"),
        (lambda: mind(can=("fly",)).controller(WORLD), "can 'fly'"),
        (lambda: mind(can=()), "names of actions"),
        (lambda: mind(can=np.ones((2, 2), bool)).controller(WORLD), "shape"),
        (lambda: mind(believes=Sees(), can=lambda s, a: False).controller(WORLD), "can do nothing in"),
        (lambda: mind(believes=Filtering(params="clear")).controller(WORLD), "params 'clear'"),
    ],
)
def test_what_cannot_be_believed_is_refused(make: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        make()
