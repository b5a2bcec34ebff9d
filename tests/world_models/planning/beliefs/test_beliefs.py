"""Values of beliefs: the vectors against the belief tree, bounds against each other, and published values."""

from __future__ import annotations

import numpy as np
import pytest

from inscape import MissingLawError, UsageError, make_agent, make_world, resolve_task, solve
from inscape.world_models import (
    AlphaVectors,
    BeliefModel,
    BeliefProblem,
    BeliefSolution,
    TabularModel,
    alpha_vectors,
    fast_informed_bound,
    point_based,
    qmdp,
    value_iteration,
)
from inscape.world_models.planning.beliefs.alpha_vectors import pruned


@pytest.fixture(scope="module")
def tiger():
    return point_based("Tiger", tolerance=0.2)


def tree_value(problem, belief, steps):
    """Returns the value of a belief by enumerating everything that may be done and seen."""
    if steps == 0:
        return 0.0
    mass = problem.following(belief)
    best = -np.inf
    for a in np.flatnonzero(problem.allowed(belief[None])[0]):
        total = float(belief @ problem.reward[:, a])
        for after in mass[a]:
            if after.sum() > 1e-12:
                total += problem.gamma * after.sum() * tree_value(problem, after / after.sum(), steps - 1)
        best = max(best, total)
    return best


def random_hidden(states=4, actions=2, kinds=2, seed=0):
    """Returns a random problem whose states look like one of a few kinds."""
    rng = np.random.default_rng(seed)
    P = rng.dirichlet(np.full(states, 0.5), (actions, states))
    table = TabularModel.from_arrays(P, rng.normal(size=(states, actions)), layout="ASS,SA")
    return BeliefModel(table, np.arange(states) % kinds)


@pytest.mark.parametrize(("model", "most"), [("Tiger", 3), (random_hidden(), 3), (random_hidden(5, 3, 2, 1), 2)])
def test_vectors_are_the_belief_tree(model, most):
    problem = BeliefProblem.of(model, 0.9)
    for steps, stage in enumerate(alpha_vectors(model, most, 0.9), 1):
        for belief in problem.initial:
            assert (stage.vectors @ belief).max() == pytest.approx(tree_value(problem, belief, steps), abs=1e-9)


def test_states_that_differ_in_the_percept_alone_become_one():
    problem = BeliefProblem.of("Tiger")
    assert (problem.num_classes, problem.num_actions) == (2, 3)
    assert len(problem.class_of) == 6
    listen = problem.following(np.array([0.5, 0.5]))[0]
    assert sorted(np.round(listen[listen.sum(axis=1) > 0], 12).tolist()) == [[0.075, 0.425], [0.425, 0.075]]


def test_the_tiger_is_worth_what_is_published(tiger):
    """19.37: the value of tiger.95 at the uniform belief (Smith & Simmons 2005; Kurniawati et al. 2008 print 19.37)."""
    assert tiger.lower <= 19.3715
    assert tiger.upper >= 19.3713
    assert tiger.gap <= 0.2
    closer = point_based("Tiger", tolerance=1e-2)
    assert (closer.lower + closer.upper) / 2 == pytest.approx(19.3714, abs=5e-3)


def test_bounds_stand_in_their_order(tiger):
    problem = tiger.problem
    start = problem.initial[0]
    informed = float((start @ fast_informed_bound(problem)).max())
    assert tiger.lower < tiger.upper <= informed + 1e-9
    assert informed <= float((start @ qmdp(problem)).max()) + 1e-9
    seen = solve("Tiger", full_information=True)
    assert (start @ qmdp(problem)).max() <= seen.values @ TabularModel.from_world(make_world("Tiger")).initial + 1e-6


@pytest.mark.parametrize("seed", range(3))
def test_both_bounds_hold_what_a_long_horizon_gives(seed):
    model = random_hidden(seed=seed)
    found = point_based(model, 0.7, tolerance=1e-4)
    steps = 4
    problem = found.problem
    exact = alpha_vectors(model, steps, 0.7)[-1].value
    left = 0.7**steps / 0.3 * np.abs(problem.reward).max()
    assert found.lower - left <= exact <= found.upper + left
    assert found.gap <= 1e-4


def test_where_the_state_is_seen_it_is_value_iteration():
    table = TabularModel.from_world(make_world("RiverSwim"))
    model = BeliefModel(table, np.arange(table.num_states))
    found = point_based(model, 0.9, tolerance=1e-6)
    expected = value_iteration(table, 0.9, 1e-10)
    assert found.lower == pytest.approx(expected.values @ table.initial, abs=1e-6)


def test_beliefs_of_the_model_have_values_and_actions(tiger):
    model = tiger.problem.model
    start = model.init(np.array([2]))
    assert tiger.values(start)[0] == pytest.approx(tiger.lower)
    assert tiger.act(start).tolist() == [0]
    belief = start
    for _ in range(3):
        belief = model.update(belief, np.array([0]), np.array([0]))
    assert tiger.act(belief).tolist() == [2]  # three sounds from the left: open right
    with pytest.raises(UsageError, match=r"beliefs of shape \[2\]"):
        tiger.values(np.ones(2))


def test_solve_is_told_apart_by_what_is_seen():
    assert isinstance(solve("Tiger", tolerance=1.0), BeliefSolution)
    staged = solve("Tiger", horizon=2)
    assert isinstance(staged, AlphaVectors)
    assert staged.value == pytest.approx(-1.95)
    assert solve("Tiger", full_information=True).values.shape == (6,)


UNITS = """
discount: 0.9
values: cost
states: 2
actions: 2
observations: 2
T: 0
identity
T: 1
uniform
O: 0
0.9 0.1
0.1 0.9
O: 1
uniform
R: 0 : * : * : * {0}
R: 1 : 0 : * : * {1}
R: 1 : 1 : * : * {2}
"""


@pytest.mark.parametrize("unit", [1e-12, 1e-9, 1.0, 1e12])
def test_the_unit_of_rewards_does_not_matter(tmp_path, unit):
    # in units of 1e-9 vectors that are best somewhere were pruned (−0.65 for −0.42); in units of 1e12 no linear
    # programme was solved
    file = tmp_path / "units.pomdp"
    file.write_text(UNITS.format(unit, -10 * unit, 100 * unit))
    staged = solve(file, horizon=5)
    assert staged.value / unit == pytest.approx(-0.41983192, abs=1e-9)  # expectimax over histories
    assert len(staged) == 9
    bounds = solve(file, tolerance=1e-2 * unit)
    assert bounds.gap <= 1e-2 * unit
    assert bounds.lower / unit <= -4.1576 <= bounds.upper / unit + 1e-3


def test_bounds_take_names_and_models():
    problem = BeliefProblem.of("Tiger")
    for bound in (qmdp, fast_informed_bound):
        assert np.array_equal(bound("Tiger"), bound(problem))
        assert bound(BeliefModel.from_world("Tiger")).shape == (2, 3)


@pytest.mark.parametrize("horizon", [0, 1.5, True, "2"])
def test_a_horizon_is_a_number_of_steps(horizon):
    with pytest.raises(UsageError, match="horizon = "):
        alpha_vectors("Tiger", horizon)


@pytest.mark.parametrize("name", ["pbvi", "qmdp"])
def test_agents_listen_before_they_open(name):
    task = resolve_task("Tiger")
    quickly = {"tolerance": 0.5} if name == "pbvi" else {}
    agent = make_agent(name, task, seed=0, settings=quickly)
    memory, observation = agent.initial_memory(1), np.array([2])
    actions = []
    for heard in (0, 0, 0):
        action, memory = agent.act_with_memory(observation, memory, np.zeros(1))
        actions.append(int(action[0]))
        observation = np.array([heard])
    assert actions[0] == 0
    assert 2 in actions or agent.act_with_memory(observation, memory, np.zeros(1))[0][0] == 2
    again = make_agent(name, task, seed=5, settings=quickly)
    again.load_state_dict(agent.state_dict())
    assert np.array_equal(again.act(np.array([2, 2])), agent.act(np.array([2, 2])))
    assert np.exp(agent.action_log_probs(np.array([2]))).tolist() == [[1, 0, 0]]


def test_pbvi_earns_what_its_bounds_say():
    """Discounted returns of 400 episodes against the lower bound, within four standard errors."""
    world = make_world("Tiger")
    agent = make_agent("pbvi", resolve_task("Tiger"), seed=0, settings={"tolerance": 0.2})
    rng = np.random.default_rng(0)
    count, steps = 400, 100
    states, memory = world.sample_initial(count, rng), agent.initial_memory(400)
    total, reward = np.zeros(count), np.zeros(count)
    for t in range(steps):
        actions, memory = agent.act_with_memory(world.observe(states), memory, reward)
        states, reward, _ = world.step(states, actions, rng)
        total += 0.95**t * reward
    error = 4 * total.std() / count**0.5 + 0.95**steps / 0.05 * 10
    assert total.mean() == pytest.approx(agent.solution.lower, abs=error + agent.solution.gap)


def test_pruning_keeps_what_is_best_somewhere():
    vectors = np.array([[1.0, 0.0], [0.0, 1.0], [0.4, 0.4], [0.6, 0.6], [1.0, 0.0], [0.5, -1.0]])
    assert pruned(vectors).tolist() == [0, 1, 3]


def test_what_cannot_be_done_is_refused():
    with pytest.raises(UsageError, match="gamma = 1"):
        point_based("Tiger", 1.0)
    with pytest.raises(UsageError, match="tolerance = 0"):
        point_based("Tiger", tolerance=0)
    with pytest.raises(UsageError, match="horizon = 0"):
        alpha_vectors("Tiger", 0)
    with pytest.raises(MissingLawError, match="2 players"):
        point_based("KuhnPoker")
    with pytest.raises(MissingLawError, match="has no law"):
        point_based("CartPole-v1")
    with pytest.raises(UsageError, match="vectors to prune"):
        alpha_vectors("Tiger", 9, max_vectors=10)
    with pytest.raises(MissingLawError, match="2 players"):
        make_agent("pbvi", resolve_task("KuhnPoker"))
