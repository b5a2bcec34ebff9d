"""Active inference: against enumeration, against pymdp's numbers, against expected utility, and what it refuses."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest

from inscape import MissingLawError, UsageError, make_agent, make_world, resolve_task
from inscape.world_models import (
    ActiveInference,
    BeliefModel,
    BeliefProblem,
    LearnedTabularModel,
    TabularModel,
    backward_induction,
    make_planner,
    parameter_information,
)

MAZE = str(Path(__file__).parents[4] / "examples" / "pomdp" / "tmaze.pomdp")
CENTRE, LEFT, RIGHT, CUE = range(4)


def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="module")
def maze():
    model = BeliefModel.from_world(resolve_task(MAZE).world)
    start = model.init(np.array([7]))
    return model, start, model.update(start, np.array([CUE]), np.array([5]))


def test_the_t_maze_of_pymdp(maze):
    """Posteriors that pymdp 1.0.4 (its JAX agent, in double precision) gives in its T-maze with rewards of ±3, γ = 16.

    `benchmarks/active_inference.py --pymdp PYTHON` runs both and compares all policies of up to three actions.
    """
    model, start, cued = maze
    one = ActiveInference(depth=1).posterior(model, np.concatenate([start, cued]))
    expected = [1.0770825259608255e-05, 0.14705621248052703, 0.14705621248052703, 0.7058768042136863]
    assert one.probability[0] == pytest.approx(expected, abs=1e-9)
    assert one.probability[1, LEFT] == pytest.approx(1.0, abs=1e-9)
    two = ActiveInference(depth=2).posterior(model, start)
    assert two.policies[15].tolist() == [CUE, CUE]
    assert two.probability[0, 1] == pytest.approx(1.5839167679675792e-06, abs=1e-12)


def test_it_goes_to_the_cue_first_and_then_to_the_reward(maze):
    model, start, cued = maze
    planner = ActiveInference(depth=2)
    assert planner.plan(model, start, rng()).actions.tolist() == [CUE]
    assert planner.plan(model, cued, rng()).actions.tolist() == [LEFT]
    # the cue is worth log 2 nats; an arm, 0 in reward, log 2 less the entropy of 0.98
    told = ActiveInference(depth=1).posterior(model, start)
    noise = -(0.98 * math.log(0.98) + 0.02 * math.log(0.02))
    assert told.information[0] == pytest.approx([0.0, math.log(2) - noise, math.log(2) - noise, math.log(2)])
    assert told.utility[0] == pytest.approx([0.0] * 4)
    assert told.novelty.tolist() == [[0.0] * 4]


def by_hand(problem, belief, policy):
    """Returns expected reward and information of a policy, by sums over all that may happen, one at a time."""
    alive, ended, reward, information = belief.copy(), 0.0, 0.0, 0.0
    for action in policy:
        reward += float(alive @ problem.reward[:, action])
        joint = problem.following(alive)[action]  # [O, C]
        over = ended + alive.sum() - joint.sum()
        cells = [*joint.ravel(), over]
        columns, rows = [*joint.sum(axis=0), over], [*joint.sum(axis=1), over]
        entropy = [-sum(p * math.log(p) for p in part if p > 1e-15) for part in (rows, columns, cells)]
        information += entropy[0] + entropy[1] - entropy[2]
        alive, ended = joint.sum(axis=0), over
    return reward, information


def random_hidden(seed):
    rng = np.random.default_rng(seed)
    P = rng.dirichlet(np.full(5, 0.4), (3, 5))
    P[P < 0.1] = 0.0  # structural zeros
    P /= P.sum(axis=2, keepdims=True)
    table = TabularModel.from_arrays(P, rng.normal(size=(5, 3)), layout="ASS,SA")
    return BeliefModel(table, np.arange(5) % 2)


@pytest.mark.parametrize("model", [random_hidden(0), random_hidden(1), "Tiger", "CheeseMaze"])
def test_every_policy_by_enumeration(model):
    model = model if isinstance(model, BeliefModel) else BeliefModel.from_world(make_world(model))
    problem = BeliefProblem.of(model, 0.5)
    belief = rng().dirichlet(np.ones(model.tables.num_states), 2)
    found = ActiveInference(depth=3, precision=2.0).posterior(model, belief)
    for b, row in enumerate(problem.belief_of(belief)):
        for k, policy in enumerate(itertools.product(range(problem.num_actions), repeat=3)):
            assert found.policies[k].tolist() == list(policy)
            reward, information = by_hand(problem, row, policy)
            assert found.utility[b, k] == pytest.approx(reward, abs=1e-9)
            assert found.information[b, k] == pytest.approx(information, abs=1e-9)
    weight = np.exp(2.0 * (found.negative_energy - found.negative_energy.max(axis=1, keepdims=True)))
    assert found.probability == pytest.approx(weight / weight.sum(axis=1, keepdims=True))
    assert found.action_probs.sum(axis=1) == pytest.approx([1.0, 1.0])


def test_an_end_is_observed_and_earns_nothing_more():
    world = make_world("CheeseMaze", restarts=False)
    model = BeliefModel.from_world(world)
    problem = BeliefProblem.of(model, 0.5)
    belief = model.init(np.array([5]))
    found = ActiveInference(depth=4).posterior(model, belief)
    for k in range(0, 256, 37):
        reward, information = by_hand(problem, problem.belief_of(belief)[0], found.policies[k])
        assert found.utility[0, k] == pytest.approx(reward)
        assert found.information[0, k] == pytest.approx(information)


def test_without_weight_on_information_it_is_expected_utility():
    """Where the state is seen and nothing is random, the best sequence of actions is that of backward induction."""
    table = TabularModel.from_world(make_world("FrozenLake", slip=0.0))
    exact = backward_induction(table, 4, 1.0)
    states = np.flatnonzero(~table.terminal)
    plans = ActiveInference(depth=4, information=0.0, precision=100.0).plan(table, states, rng())
    assert plans.action_values.max(axis=1) == pytest.approx(exact.values[0][states])
    assert (exact.q_values[0][states, plans.actions] == exact.values[0][states]).all()


def test_precision_and_weights(maze):
    model, start, _ = maze
    assert ActiveInference(depth=2, precision=0.0).posterior(model, start).action_probs == pytest.approx(0.25)
    blind = ActiveInference(depth=1, information=0.0).posterior(model, start).action_probs
    assert blind == pytest.approx(0.25)
    halved = ActiveInference(depth=2, gamma=0.5).posterior(model, start)
    first = ActiveInference(depth=1).posterior(model, start).negative_energy[0]
    assert halved.negative_energy[0, 15] == pytest.approx(1.5 * first[CUE], abs=1e-9)


def test_what_may_be_illegal_is_not_followed():
    rng = np.random.default_rng(0)
    P = rng.dirichlet(np.ones(3), (2, 3))
    legal = np.array([[True, True], [True, False], [True, True]])
    table = TabularModel.from_arrays(P, np.zeros((3, 2)), layout="ASS,SA", legal=legal)
    found = ActiveInference(depth=2, utility=0.0).posterior(table, np.array([0, 1]))
    assert np.isfinite(found.probability).all()
    assert found.probability[0].tolist()[1::2] == [0.0, 0.0]  # action 1 is illegal in state 1, where one may be by then
    assert found.probability[1, 2:].tolist() == [0.0, 0.0]
    assert found.action_probs[1].tolist() == [1.0, 0.0]


def test_information_about_parameters_is_that_of_dirichlet_rows():
    """Sampled: mutual information of the next successor and the row's parameters, and none where all is known."""
    from inscape.agents.rollout import rollout
    from inscape.envs import resolve_task as task_of

    task = task_of("RiverSwim")
    model = LearnedTabularModel.for_task(task)
    model.fit(rollout(make_agent("random", task, seed=0), task, 3, 0))
    found = parameter_information(model)
    assert (found >= 0).all()
    counts = model.successor_counts()
    tried = model.tried()
    s, a = np.argwhere((tried > 2) & (tried < 2000))[0]
    share = model.settings.concentration / model.num_observations
    alpha = np.full(model.num_observations, share)
    alpha[: len(counts[s][a])] += counts[s][a]
    rows = np.random.default_rng(0).dirichlet(alpha, 200_000)
    entropy = -(rows * np.log(np.where(rows > 0, rows, 1))).sum(axis=1).mean()
    p = alpha / alpha.sum()
    assert found[s, a] == pytest.approx(-(p * np.log(p)).sum() - entropy, abs=4e-3)
    plan = ActiveInference(depth=2, utility=0.0, information=0.0).posterior(model, np.array([s]))
    assert plan.novelty[0].max() > 0
    more = found[:-1][tried[:-1] > 0].max()
    assert found[-1].max() >= more  # where nothing was tried there is most to learn


@pytest.mark.parametrize("choice", ["likeliest", "posterior"])
def test_the_agent_looks_before_it_chooses(choice):
    task = resolve_task(MAZE)
    agent = make_agent("active-inference", task, seed=0, settings={"depth": 2, "choice": choice, "precision": 64.0})
    memory, observation, actions = agent.initial_memory(1), np.array([7]), []
    for seen in (6, 3):
        action, memory = agent.act_with_memory(observation, memory, np.zeros(1))
        actions.append(int(action[0]))
        observation = np.array([seen])
    assert actions == [CUE, RIGHT]
    log_probs = agent.action_log_probs(np.array([7]), np.array([[True, True, True, False]]))
    assert np.exp(log_probs).sum() == pytest.approx(1.0)
    assert np.isneginf(log_probs[0, CUE])


def test_planner_by_name():
    assert make_planner("active-inference", depth=5).depth == 5


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"depth": 0}, "depth = 0"),
        ({"precision": -1.0}, "precision = -1"),
        ({"information": float("inf")}, "information = inf"),
        ({"gamma": 2.0}, "gamma = 2"),
    ],
)
def test_settings_out_of_range(settings, found):
    with pytest.raises(UsageError, match=found):
        ActiveInference(**settings)


def test_bad_input(maze):
    model, start, _ = maze
    planner = ActiveInference(depth=2)
    with pytest.raises(UsageError, match="no distributions"):
        planner.plan(model, np.full_like(start, np.nan), rng())
    with pytest.raises(UsageError, match="beliefs of shape"):
        planner.plan(model, start[0], rng())
    with pytest.raises(UsageError, match="evaluate"):
        planner.plan(model, start, rng(), evaluate=lambda states: (np.zeros(1), None))
    with pytest.raises(UsageError, match="policies of 30"):
        ActiveInference(depth=30).plan(model, start, rng())
    with pytest.raises(UsageError, match="numbers from 0 to"):
        planner.plan(model.tables, np.array([99]), rng())
    with pytest.raises(UsageError, match="an environment"):
        planner.plan(make_world("Tiger").env(), start, rng())
    kuhn, over = make_world("KuhnPoker"), BeliefModel.from_world(make_world("CheeseMaze", restarts=False))
    dealt = kuhn.sample_initial(1, rng())
    with pytest.raises(MissingLawError, match="2 players"):
        planner.plan(kuhn, dealt, rng())
    with pytest.raises(UsageError, match="the task is over"):
        planner.plan(over, over.tables.terminal[None].astype(float), rng())
