from __future__ import annotations

import itertools
import time
from dataclasses import replace

import numpy as np
import pytest

from inscape.envs.data.trajectory import Trajectory
from inscape.envs.registry import make_world
from inscape.errors import MissingLawError, UsageError
from inscape.world_models.belief import exact
from inscape.world_models.belief.exact import BeliefFilter, ImpossiblePerceptError
from inscape.world_models.tabular.model import ObservationIndex, TabularModel, observation_keys

LISTEN, OPEN_LEFT, OPEN_RIGHT = 0, 1, 2
SILENCE = 2


@pytest.fixture(scope="module")
def tiger():
    return BeliefFilter.from_world(make_world("Tiger"))


@pytest.fixture(scope="module")
def maze():
    return BeliefFilter.from_world(make_world("CheeseMaze"))


def left(tiger, beliefs):
    return tiger.marginal(beliefs, "tiger")[0]


def random_filter(seed, states=5, actions=2, width=3, observations=2):
    rng = np.random.default_rng(seed)
    probability = rng.dirichlet(np.ones(width), (states, actions))
    return BeliefFilter(
        next_state=rng.integers(0, states, (states, actions, width)),  # successors may repeat
        probability=probability,
        legal=rng.random((states, actions)) < 0.8,
        initial=rng.dirichlet(np.ones(states)),
        terminal=np.zeros(states, bool),
        observations=rng.integers(0, observations, states),
    )


# --------------------------------------------------------------------------------------- Bayes' rule, by other routes


def test_tigers_beliefs_by_hand(tiger):
    """Each sound multiplies the odds by 0.85/0.15; opening a door forgets."""
    belief = tiger.start(np.array([SILENCE]))
    assert left(tiger, belief) == pytest.approx([0.5])
    odds = 1.0
    for heard in (0, 0, 1, 0, 0, 0, 1):
        odds *= 0.85 / 0.15 if heard == 0 else 0.15 / 0.85
        belief = tiger.observe(belief, np.array([LISTEN]), np.array([heard]))
        assert left(tiger, belief) == pytest.approx([odds / (1 + odds)], abs=1e-12)
    episode = tiger.filter(np.array([SILENCE, 0, 0, 1]), np.array([LISTEN, LISTEN, OPEN_RIGHT]))
    assert left(tiger, episode.beliefs) == pytest.approx([0.5, 0.85, 0.969799, 0.5], abs=1e-6)
    assert np.exp(episode.log_likelihood) == pytest.approx([1, 0.5, 0.85**2 + 0.15**2, 0.5])


@pytest.mark.quick("0", "1")
@pytest.mark.parametrize("seed", range(6))
def test_equals_bayes_rule_over_every_path(seed):
    """P(s_T | o, a) and P(o | a) as sums over all state sequences, terms written out."""
    belief_filter = random_filter(seed)
    rng = np.random.default_rng(100 + seed)
    size, horizon = belief_filter.num_states, 3
    table = np.zeros((size, 2, size))
    for s, a, k in np.ndindex(belief_filter.next_state.shape):
        table[s, a, belief_filter.next_state[s, a, k]] += belief_filter.probability[s, a, k]
    compared = 0
    for _ in range(40):
        actions, seen = rng.integers(0, 2, horizon), rng.integers(0, 2, horizon + 1)
        # an action is taken knowing that it is legal: weights of states where it is not are struck out, the rest kept
        joint = np.zeros(size)
        for path in itertools.product(range(size), repeat=horizon + 1):
            p = belief_filter.initial[path[0]] * (belief_filter.observations[list(path)] == seen).all()
            for t, action in enumerate(actions):
                p *= belief_filter.legal[path[t], action] * table[path[t], action, path[t + 1]]
            joint[path[-1]] += p
        if joint.sum() == 0:
            with pytest.raises(ImpossiblePerceptError):
                belief_filter.filter(seen, actions)
            continue
        compared += 1
        episode = belief_filter.filter(seen, actions)
        assert np.allclose(episode.beliefs[-1], joint / joint.sum(), atol=1e-12)
        if belief_filter.legal.all():
            assert episode.log_likelihood.sum() == pytest.approx(np.log(joint.sum()))
    assert compared >= 5


def test_log_likelihood_equals_bayes_rule_over_every_path():
    belief_filter = random_filter(3)
    object.__setattr__(belief_filter, "legal", np.ones((5, 2), bool))
    table = np.zeros((5, 2, 5))
    for s, a, k in np.ndindex(belief_filter.next_state.shape):
        table[s, a, belief_filter.next_state[s, a, k]] += belief_filter.probability[s, a, k]
    total = 0.0
    for seen in itertools.product(range(2), repeat=4):  # the probabilities of all observation sequences sum to one
        forward = belief_filter.initial * (belief_filter.observations == seen[0])
        for observation, action in zip(seen[1:], (0, 1, 1)):
            forward = (forward @ table[:, action]) * (belief_filter.observations == observation)
        if forward.sum() == 0:
            continue
        found = belief_filter.filter(np.array(seen), np.array([0, 1, 1])).log_likelihood.sum()
        assert found == pytest.approx(np.log(forward.sum()))
        total += np.exp(found)
    assert total == pytest.approx(1)


@pytest.mark.slow
@pytest.mark.compiled(all=False)
def test_equals_particles():
    """The states of 200,000 simulated students who saw the same thing, against the belief."""
    world = make_world("FoodTrucks", parked="??")
    belief_filter = BeliefFilter.from_world(world)
    law = world.dynamics()
    rng = np.random.default_rng(0)
    particles = world.sample_initial(200_000, rng)
    start = np.array([3 * 15 + 13, 1, 4])  # below the wall's east end, the Korean truck in view at the near spot
    particles = particles[(world.observe(particles) == start).all(axis=1)]
    belief = belief_filter.start(start[None])
    # south (a sixth of the far spot in view: not seen), east, north (the Lebanese truck seen)
    for action, content in ((3, 4), (2, 2), (4, 2)):
        particles, _, _ = world.step(particles, np.full(len(particles), action), rng)
        seen = world.observe(particles)
        chosen = seen[seen[:, 2] == content][0]
        particles = particles[(seen == chosen).all(axis=1)]
        belief = belief_filter.observe(belief, np.array([action]), chosen[None])
        counts = np.bincount(law.index_of(particles), minlength=len(law))
        expected = belief[0] * len(particles)
        assert (counts[expected == 0] == 0).all()
        kept = expected > 0
        freedom = max(1, kept.sum() - 1)
        assert ((counts - expected)[kept] ** 2 / expected[kept]).sum() < freedom + 5 * np.sqrt(2 * freedom)
    assert len(particles) > 100
    assert belief_filter.marginal(belief, "second")[2] == pytest.approx([1.0])


def test_a_model_that_shows_its_state_needs_no_filter():
    """Beliefs are certain, and the log-likelihood is the model's log-probability."""
    rng = np.random.default_rng(0)
    shape = 6, 3, 2
    next_state = np.stack([rng.permutation(6)[:2] for _ in range(18)]).reshape(shape)
    model = TabularModel(
        next_state, rng.dirichlet(np.ones(2), (6, 3)), np.zeros(shape), np.ones(shape), np.ones((6, 3), bool),
        np.full(6, 1 / 6), np.zeros(6, bool), ObservationIndex(observation_keys(np.arange(6)), "the model"),
    )  # fmt: skip
    actions, states = rng.integers(0, 3, 30), [np.array([4])]
    for action in actions:
        states.append(model.step(states[-1], np.array([action]), rng).states)
    seen = np.concatenate(states)
    belief_filter = BeliefFilter.from_tabular(model, np.arange(6))
    episode = belief_filter.filter(seen, actions, terminated=False)
    assert np.array_equal(episode.beliefs, np.eye(6)[seen])
    trajectory = Trajectory(seen, actions, np.zeros(30), terminated=False, truncated=True)
    assert episode.log_likelihood[1:].sum() == pytest.approx(model.log_prob(trajectory))
    assert episode.log_likelihood[0] == pytest.approx(np.log(1 / 6))
    with pytest.raises(UsageError, match="observations of shape"):
        BeliefFilter.from_tabular(model, np.arange(5))


# --------------------------------------------------------------------------------------- what worlds teach


def test_a_mouse_becomes_certain(maze):
    """In the dead end left or right the mouse cannot tell which; the corner above tells."""
    dead_end, passage, corner = 5, 4, 3
    belief = maze.start(np.array([dead_end]))
    cells = maze.marginal(belief, "cell")
    assert (cells[8][0], cells[9][0]) == (0.5, 0.5)
    north = np.array([0])
    belief = maze.observe(belief, north, np.array([passage]))
    assert np.count_nonzero(belief) == 2
    belief = maze.observe(belief, north, np.array([corner]))
    assert maze.marginal(belief, "cell")[4] == 1


def test_whether_the_task_ended_is_evidence():
    maze = BeliefFilter.from_world(make_world("CheeseMaze", restarts=False))
    blind = BeliefFilter(
        maze.next_state, maze.probability, maze.legal, maze.initial, maze.terminal, np.zeros(11, np.int64)
    )
    belief, south, nothing = blind.start(np.array([0])), np.array([1]), np.array([0])
    goes_on = blind.observe(belief, south, nothing, np.array([False]))
    ended = blind.observe(belief, south, nothing, np.array([True]))
    assert goes_on[0, maze.terminal].sum() == 0
    assert ended[0, maze.terminal].sum() == 1
    either = blind.observe(belief, south, nothing)
    assert np.allclose(either, 0.1 * ended + 0.9 * goes_on)  # one cell in ten leads to the cheese


@pytest.mark.slow
def test_where_the_mug_may_be():
    house = make_world("Household", containers="cupboard in kitchen, fridge in kitchen, chest in living room")
    belief_filter = BeliefFilter.from_world(house, "mug in chest")
    act = {name: np.array([a]) for a, name in enumerate(house.action_names)}
    belief = belief_filter.start(np.array([[0, 0, 0, 2, 4, 4, 4]]))
    assert np.count_nonzero(belief) == 27
    inside = np.array([[0, 1, 0, 2, 4, 0, 4]])  # the cupboard holds the book, and neither mug nor key
    belief = belief_filter.observe(belief, act["open cupboard"], inside)
    where = belief_filter.marginal(belief, "places")
    assert {place: float(p[0]) for place, p in where.items() if p[0] > 0} == pytest.approx(
        {(m, 0, k): 0.25 for m in (1, 2) for k in (1, 2)}
    )
    with pytest.raises(ImpossiblePerceptError, match=r"action \d+ \(take mug\) is legal in no state"):
        belief_filter.predict(belief, act["take mug"])


# --------------------------------------------------------------------------------------- planning on beliefs


def reachable_values(belief_filter, world, depth):
    """Returns V at the start: value iteration over the beliefs that can be reached, each counted once."""
    law = world.dynamics()
    size, actions, width = law.next_state.shape
    sources = np.repeat(np.arange(size), actions * width)
    choices = np.tile(np.repeat(np.arange(actions), width), size)
    rewards = world.reward_of(law.states[sources], choices, law.states[law.next_state.ravel()])
    expected = (rewards.reshape(law.next_state.shape) * law.probability).sum(axis=2)
    number: dict[bytes, int] = {}
    beliefs, edges = [], []

    def index(belief):
        key = np.round(belief, 9).tobytes()
        if key not in number:
            number[key] = len(beliefs)
            beliefs.append(belief)
        return number[key]

    index(belief_filter.start(np.array([SILENCE]))[0])
    at = 0
    while at < len(beliefs):
        for action in range(actions):
            probability, _, following = belief_filter.outcomes(beliefs[at], action)
            edges.append([(p, index(b)) for p, b in zip(probability, following)])
        at += 1
        assert at < depth
    gain = np.stack(beliefs) @ expected
    values = np.zeros(len(beliefs))
    for _ in range(600):
        after = np.array([sum(p * values[b] for p, b in edge) for edge in edges]).reshape(-1, actions)
        values = (gain + world.gamma * after).max(axis=1)
    return values[0]


def test_tigers_optimal_value_is_the_published_one(tiger):
    """19.37, as exact solvers find for tiger.95.POMDP; and as the best policy gives it in closed form."""
    value = reachable_values(tiger, make_world("Tiger"), depth=200)
    # listen until one side is two sounds ahead, then open the other: V0, V1, V2 by sounds ahead
    gamma, agree = 0.95, 0.85**2 + 0.15**2
    sure = 0.85**2 / agree
    system = [[1, -gamma, 0], [-gamma * (1 - agree), 1, -gamma * agree], [-gamma, 0, 1]]
    closed = np.linalg.solve(system, [-1, -1, 10 * sure - 100 * (1 - sure)])
    assert value == pytest.approx(closed[0], abs=1e-6)
    assert value == pytest.approx(19.37, abs=0.005)


def test_outcomes_agree_with_observe(tiger):
    belief = tiger.observe(tiger.start(np.array([SILENCE])), np.array([LISTEN]), np.array([0]))
    for action in range(3):
        probability, seen, following = tiger.outcomes(belief[0], action)
        assert probability.sum() == pytest.approx(1)
        distribution = tiger.observation_probabilities(belief, np.array([action]))[0]
        assert np.allclose(distribution[seen], probability)
        assert distribution.sum() == pytest.approx(1)
        for o, after in zip(seen, following):
            shown = tiger.distinct_observations[o : o + 1]
            assert np.allclose(tiger.observe(belief, np.array([action]), shown)[0], after)


# --------------------------------------------------------------------------------------- batches, size, bad input


def test_rows_do_not_influence_each_other(maze):
    rng = np.random.default_rng(0)
    first = rng.integers(0, 6, 30)
    beliefs = maze.start(first)
    actions = rng.integers(0, 4, 30)
    seen = np.array([rng.choice(maze.distinct_observations, p=p) for p in
                     maze.observation_probabilities(beliefs, actions)])  # fmt: skip
    together = maze.observe(beliefs, actions, seen)
    for row in range(30):
        alone = maze.observe(maze.start(first[row : row + 1]), actions[row : row + 1], seen[row : row + 1])
        assert np.array_equal(alone[0], together[row])


def test_a_hundred_thousand_states():
    """A ring of 200,000 places of 1,000 kinds: a step costs what the belief holds possible, not S × S."""
    size, rng = 200_000, np.random.default_rng(0)
    place = np.arange(size)
    ring = BeliefFilter(
        next_state=np.stack([(place + 1) % size, place], axis=1)[:, None, :],
        probability=np.tile([0.7, 0.3], (size, 1, 1)),
        legal=np.ones((size, 1), bool),
        initial=np.full(size, 1 / size),
        terminal=np.zeros(size, bool),
        observations=rng.integers(0, 1000, size),
    )
    kinds, at, seen = ring.observations, 12_345, [ring.observations[12_345]]
    for _ in range(40):
        at = (at + int(rng.random() < 0.7)) % size
        seen.append(kinds[at])
    belief = ring.start(np.array(seen[:1]))
    assert 100 < np.count_nonzero(belief) < 300
    began = time.perf_counter()
    for observation in seen[1:]:
        belief = ring.observe(belief, np.array([0]), np.array([observation]))
    assert time.perf_counter() - began < 8  # some 15 ms a step; a dense table of 320 GB could not even be made
    assert belief[0, at] == pytest.approx(1)


def test_impossible_evidence_is_named(tiger):
    with pytest.raises(ImpossiblePerceptError, match=r"(?s)step 2: Tiger.*observation 2 after action 0 \(listen\)"):
        tiger.filter(np.array([SILENCE, 0, SILENCE]), np.array([LISTEN, LISTEN]))
    with pytest.raises(ImpossiblePerceptError, match="step 0: .* observation 1 at the start"):
        tiger.filter(np.array([1, 0]), np.array([LISTEN]))
    with pytest.raises(ImpossiblePerceptError, match="row 1: .*no state gives this observation"):
        tiger.start(np.array([SILENCE, 7]))


@pytest.mark.parametrize(
    ("beliefs", "actions", "message"),
    [
        (np.full((1, 5), 0.2), [0], r"beliefs of shape \(1, 5\)"),
        (np.full((1, 6), 0.2), [0], "sums to 1.2"),
        ([[1.5, -0.5, 0, 0, 0, 0]], [0], "least entry is -0.5"),
        ([[np.nan, 1, 0, 0, 0, 0]], [0], "sums to nan"),
        (np.full((1, 6), 1 / 6), [3], "expected: 0 to 2"),
        (np.full((1, 6), 1 / 6), [-1], "expected: 0 to 2"),
        (np.full((1, 6), 1 / 6), [0.0], "float64"),
        (np.full((1, 6), 1 / 6), [0, 1], r"actions of shape \(2,\)"),
    ],
)
def test_bad_input_is_refused(tiger, beliefs, actions, message):
    with pytest.raises(UsageError, match=message):
        tiger.predict(np.asarray(beliefs), np.asarray(actions))


def test_what_cannot_be_filtered_is_refused(tiger):
    with pytest.raises(UsageError, match="2 observations and 2 actions"):
        tiger.filter(np.array([2, 0]), np.array([0, 0]))
    with pytest.raises(UsageError, match="no state field 'door'"):
        tiger.marginal(tiger.start(np.array([SILENCE])), "door")
    with pytest.raises(MissingLawError, match="can only be sampled"):
        BeliefFilter.from_world(make_world("CartPole"))
    with pytest.raises(UsageError, match="numbers without fields"):
        random_filter(0).marginal(np.ones((1, 5)) / 5, "x")


# --------------------------------------------------------------------------------------- tables made by hand


BAD = {
    "initial shape": ({"initial": np.ones(4) / 4}, r"initial of shape \(4,\)"),
    "initial sum": ({"initial": np.full(5, 0.3)}, "initial probabilities"),
    "initial nan": ({"initial": np.full(5, np.nan)}, "initial probabilities"),
    "initial negative": ({"initial": np.array([1.5, -0.5, 0, 0, 0])}, "initial probabilities"),
    "probability shape": ({"probability": np.ones((5, 2, 1))}, "probability of shape"),
    "probability sum": ({"probability": np.full((5, 2, 3), 0.5)}, "summing to 1.5"),
    "probability nan": ({"probability": np.full((5, 2, 3), np.nan)}, "summing to nan"),
    "legal shape": ({"legal": np.ones(5, bool)}, "legal of shape"),
    "terminal shape": ({"terminal": np.zeros(6, bool)}, "terminal of shape"),
    "observations": ({"observations": np.zeros(4, np.int64)}, "observations of shape"),
    "successor": ({"next_state": np.full((5, 2, 3), 5)}, "leads to state 5"),
    "successor type": ({"next_state": np.zeros((5, 2, 3))}, "next_state of dtype float64"),
    "next_state shape": ({"next_state": np.zeros((5, 2), np.int64)}, "next_state of shape"),
}


@pytest.mark.parametrize("case", list(BAD))
def test_a_filter_made_by_hand_is_checked(case):
    changed, message = BAD[case]
    with pytest.raises(UsageError, match=message):
        replace(random_filter(0), **changed)


@pytest.mark.parametrize("seed", range(3))
def test_wide_beliefs_are_predicted_as_narrow_ones(seed, monkeypatch):
    """By sparse products over all states, or from the states held possible alone; illegal rows may hold anything."""
    rng = np.random.default_rng(seed)
    states, actions, width = 40, 3, 4
    next_state = rng.integers(0, states, (states, actions, width))
    probability = rng.dirichlet(np.ones(width), (states, actions))
    legal = rng.random((states, actions)) < 0.8
    legal[:, 0] = True
    probability[~legal] = np.nan
    next_state[~legal] = -1
    tables = BeliefFilter(
        next_state, probability, legal, np.full(states, 1 / states), np.zeros(states, bool), np.arange(states) % 5
    )
    beliefs = rng.dirichlet(np.ones(states), 6)
    taken = rng.integers(0, actions, 6)
    wide = tables.predict(beliefs, taken)
    monkeypatch.setattr(exact, "DENSE", 2.0)
    np.testing.assert_allclose(wide, tables.predict(beliefs, taken), atol=1e-15)
    np.testing.assert_allclose(wide.sum(axis=1), 1.0)


@pytest.mark.parametrize("dense", [0.0, 2.0])
def test_an_action_that_is_legal_nowhere_names_the_row(dense, monkeypatch):
    monkeypatch.setattr(exact, "DENSE", dense)
    tables = BeliefFilter(
        np.zeros((2, 2, 1), int), np.ones((2, 2, 1)), np.array([[True, False]] * 2), np.array([0.5, 0.5]),
        np.zeros(2, bool), np.arange(2),
    )  # fmt: skip
    with pytest.raises(ImpossiblePerceptError, match="row 1: action 1 is legal in no state"):
        tables.predict(np.full((2, 2), 0.5), np.array([0, 1]))
