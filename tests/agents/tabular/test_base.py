from __future__ import annotations

import math

import gymnasium as gym
import numpy as np
import pytest

from inscape.agents.kernels import tabular as rules
from inscape.agents.kernels.tabular_arrays import Choices, Schedule, Step
from inscape.agents.registry import make_agent
from inscape.agents.rollout import evaluate
from inscape.agents.tabular.base import TEMPLATE
from inscape.agents.tabular.temporal_difference import TDLambda, TDLambdaSettings
from inscape.envs.tasks.resolve import resolve_task
from inscape.errors import UsageError
from inscape.world_models.planning.dynamic_programming import policy_evaluation, value_iteration
from inscape.world_models.tabular.model import TabularModel
from tests.agents.conftest import WORLDS

CONTROL = ("q-learning", "double-q-learning", "sarsa", "expected-sarsa", "n-step-sarsa", "monte-carlo", "dyna-q")
ALL = (*CONTROL, "td-lambda")


def a_few(names):
    """The first, and the n-step one; the others are slow: each compiles some seconds for every world it meets."""
    quick = ("q-learning", "n-step-sarsa")
    return [pytest.param(name, marks=() if name in quick else pytest.mark.slow) for name in names]


S_ALPHA = Schedule(0.9, 0.5, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0)  # γ = 0.9, α = 0.5 throughout, no exploration
RATES = np.full(100, 0.5)
KEYS = np.zeros((1, 2), np.int64)


def choices(actions):
    return Choices(tuple(range(actions)), None, KEYS, RATES)


def learnt(name, task, steps, seed=0, **settings):
    agent = make_agent(name, task, seed=seed, settings=settings)
    list(agent.learn(task, steps))
    return agent


def solved(task, agent, gamma):
    """Returns (exact value of what the agent does, of the best policy), from the start."""
    model = TabularModel.from_world(task.world)
    policy = np.exp(agent.action_log_probs(task.world.observe(task.world.dynamics().states)))
    best = value_iteration(model, gamma, 1e-9).values @ model.initial
    return policy_evaluation(model, policy, gamma) @ model.initial, best


# ------------------------------------------------------------------------------------------- convergence


@pytest.mark.quick("q-learning")
@pytest.mark.compiled(all=False)
@pytest.mark.parametrize("name", a_few(CONTROL))
def test_on_firm_ice_all_find_the_shortest_way(name):
    task = resolve_task("FrozenLake-firm")
    got, best = solved(task, learnt(name, task, 300_000), 0.99)
    assert got == pytest.approx(best, abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "world", "settings"),
    [("q-learning", "Chain", {}), ("double-q-learning", "RiverSwim", {"n": 4}), ("dyna-q", "RiverSwim", {"n": 4})],
)
def test_values_are_those_of_value_iteration(name, world, settings):
    task = resolve_task(world, settings)
    agent = learnt(name, task, 2_000_000, gamma=0.9, epsilon_end=1.0, learning_rate_power=0.7)
    solution = value_iteration(task.world, 0.9, 1e-9)
    rows = agent.rows(task.world.observe(task.world.dynamics().states))
    often = agent.counts[rows] > 5000
    assert often.mean() > 0.5
    off = np.abs(agent.q_values[rows] - solution.q_values)[often].max()
    assert off < 0.03 * np.abs(solution.q_values).max()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sarsa", "expected-sarsa", "n-step-sarsa", "monte-carlo"])
def test_values_of_what_they_do_are_those_of_policy_evaluation(name):
    """With epsilon 1 the policy is uniform: Q of the last step before the goal and of the start, in a slippery grid."""
    task = resolve_task("FrozenLake")
    agent = learnt(name, task, 4_000_000, gamma=0.9, epsilon_end=1.0, learning_rate_power=0.8)
    model = TabularModel.from_world(task.world)
    values = policy_evaluation(model, np.full((model.num_states, 4), 0.25), 0.9)
    rows = agent.rows(task.world.observe(task.world.dynamics().states))
    often = (agent.counts[rows].min(axis=1) > 5000) & ~model.terminal
    assert often.sum() >= 8
    assert np.abs(agent.q_values[rows].mean(axis=1) - values)[often].max() < 0.02


@pytest.mark.slow
def test_taxi_is_solved():
    task = resolve_task("Taxi")
    agent = learnt("q-learning", task, 2_000_000, learning_rate_power=0.0, epsilon_end=0.1, learning_rate=0.5)
    got, best = solved(task, agent, 0.99)
    assert got == pytest.approx(best, abs=0.05)


@pytest.mark.slow
def test_off_policy_walks_the_edge_and_on_policy_the_safe_way():
    """Example 6.6: greedy paths of 13 (optimal, along the cliff) and more steps; while exploring, SARSA earns more."""
    task, constant = resolve_task("CliffWalking"), {"epsilon_start": 0.1, "epsilon_end": 0.1}
    settings = {**constant, "gamma": 1.0, "learning_rate": 0.5, "learning_rate_power": 0.0, "seeds": 10}
    online, lengths = {}, {}
    for name in ("q-learning", "sarsa"):
        agent = make_agent(name, task, settings={**settings, "report_every": 20_000})
        rows = list(agent.learn(task, 60_000))
        online[name] = rows[-1]["episode_return"]
        if name == "q-learning":
            lengths[name] = evaluate(agent, task, 1, seed=0).lengths[0]
    assert lengths["q-learning"] == 13
    assert online["sarsa"] > online["q-learning"] + 10
    # SARSA's step size must fall for its greedy path to settle
    calm = learnt("sarsa", task, 1_000_000, gamma=1.0, learning_rate_power=0.6, **constant)
    assert 15 <= evaluate(calm, task, 1, seed=0).lengths[0] <= 17


@pytest.mark.quick("monte-carlo")
@pytest.mark.parametrize("name", ["q-learning", "n-step-sarsa", "monte-carlo"])
def test_time_limits_do_not_end_the_sum(name, forever):
    """Reward 1 for ever, cut after 10 steps: V = 1/(1 − γ) = 10."""
    agent = learnt(name, forever, 20_000, gamma=0.9, learning_rate_power=0.51, epsilon_end=1.0)
    assert np.allclose(agent.q_values, 10.0, atol=0.1)


@pytest.mark.slow
def test_time_limits_do_not_end_the_sum_of_predictions(forever):
    for decay in (0.0, 0.8):
        agent = learnt("td-lambda", forever, 100_000, gamma=0.9, learning_rate_power=0.51, trace_decay=decay)
        assert np.allclose(agent.values, 10.0, atol=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["double-q-learning", "expected-sarsa", "monte-carlo", "dyna-q"])
def test_illegal_actions_are_never_tried_nor_backed_up(name, corridor):
    agent = learnt(name, corridor, 30_000, gamma=0.9, initial_value=5.0, epsilon_end=0.5)
    assert (agent.counts[[0, 2, 4], 0] == 0).all()
    assert evaluate(agent, corridor, 2, seed=0).lengths.tolist() == [3, 3]


# ------------------------------------------------------------------------------------------- by hand


def sarsa_tables(n):
    return (np.zeros((1, 4, 2)), np.zeros((1, 4, 2), np.int64), np.full(1, -1), np.zeros((1, n), np.int64),
            np.zeros((1, n), np.int64), np.zeros((1, n)))  # fmt: skip


def test_n_step_targets_by_hand():
    """Rewards 1, 2, 3 from rows 0, 1, 2; two per target. γ = 0.9, α = 0.5; Q = 10 in rows 2 and 3."""
    for terminated, tail in ((True, 0.0), (False, 10.0)):
        tables = sarsa_tables(2)
        q = tables[0]
        q[0, 2:] = 10.0
        for step, gain in enumerate((1.0, 2.0, 3.0)):
            over = step == 2
            rules.sarsa_update(
                tables, *choices(2), S_ALPHA, 0,
                Step(step, 0, gain, over and terminated, over, step + 1, step + 1, step, 0.0),
            )  # fmt: skip
        assert q[0, 0, 0] == pytest.approx(0.5 * (1 + 0.9 * 2 + 0.81 * 10))
        assert q[0, 1, 0] == pytest.approx(0.5 * (2 + 0.9 * 3 + 0.81 * tail))
        assert q[0, 2, 0] == pytest.approx(10 + 0.5 * (3 + 0.9 * tail - 10))


def monte_carlo(kind, episode, chances=()):
    """Learns from one episode of (row, action, reward); returns the tables."""
    shape, length = (1, 3, 2), len(episode)
    tables = (np.zeros(shape), np.zeros(shape, np.int64), np.zeros(shape), np.zeros(shape, np.int64),
              np.zeros((1, length), np.int64), np.zeros((1, length), np.int64), np.zeros((1, length)),
              np.ones((1, length)), np.zeros((1, length), bool))  # fmt: skip
    schedule, rates = S_ALPHA._replace(extra=float(kind)), 1.0 / np.maximum(1, np.arange(100))
    for t, (row, action, gain) in enumerate(episode):
        over = t == length - 1
        epsilon = chances[t] if chances else 0.5
        step = Step(row, action, gain, over, over, t + 1, 2, t, epsilon)
        rules.monte_carlo_update(tables, *choices(2)._replace(rates=rates), schedule, 0, step)
    return tables


def test_first_and_every_visit_by_hand():
    episode = [(0, 0, 1.0), (1, 1, 2.0), (0, 0, 4.0)]
    returns = 1 + 0.9 * (2 + 0.9 * 4), 2 + 0.9 * 4, 4.0
    first, every = monte_carlo(rules.FIRST_VISIT, episode), monte_carlo(rules.EVERY_VISIT, episode)
    assert first[0][0, 0, 0] == pytest.approx(returns[0])
    assert every[0][0, 0, 0] == pytest.approx((returns[0] + returns[2]) / 2)
    assert first[0][0, 1, 1] == every[0][0, 1, 1] == pytest.approx(returns[1])


def test_weighted_importance_sampling_by_hand():
    """Two episodes through one pair, weighed by 1/b of what followed it: exact ratio of the weighted mean."""
    shape = (1, 3, 2)
    tables = (np.zeros(shape), np.zeros(shape, np.int64), np.zeros(shape), np.zeros(shape, np.int64),
              np.zeros((1, 2), np.int64), np.zeros((1, 2), np.int64), np.zeros((1, 2)), np.ones((1, 2)),
              np.zeros((1, 2), bool))  # fmt: skip
    tables[0][0, 1, 0] = 1.0  # in row 1, action 0 is the greedy one
    tables[2][0, 1, 0] = 1.0
    schedule, t = S_ALPHA._replace(extra=float(rules.OFF_POLICY)), 0
    for gain, epsilon in ((2.0, 0.8), (6.0, 0.2)):
        for step, (row, r, over) in enumerate(((0, 0.0, False), (1, gain, True))):
            taken = Step(row, 0, r, over, over, step + 1, 2, t, epsilon)
            rules.monte_carlo_update(tables, *choices(2), schedule, 0, taken)
            t += 1
    weights = 1 / (1 - 0.8 + 0.8 / 2), 1 / (1 - 0.2 + 0.2 / 2)  # π(0 | row 1) = 1 over b(0 | row 1)
    assert tables[2][0, 0, 0] == pytest.approx(sum(weights))
    assert tables[0][0, 0, 0] == pytest.approx(0.9 * (weights[0] * 2 + weights[1] * 6) / sum(weights))


def td_values(kind, decay, episode, start):
    """Returns the values after one episode of (row, reward), ending; γ = 0.9, α = 0.5."""
    values, n = np.array([start], float), len(start)
    tables = (values, np.zeros((1, n), np.int64), np.zeros((1, n)), np.zeros((1, n), np.int64), np.zeros(1, np.int64),
              np.zeros(1), np.ones((n, 1)), (kind, decay))  # fmt: skip
    rows = [row for row, _ in episode] + [0]
    for t, (row, gain) in enumerate(episode):
        over = t == len(episode) - 1
        step = Step(row, 0, gain, over, over, t + 1, rows[t + 1], t, 0.0)
        rules.td_lambda_update(tables, *choices(1), S_ALPHA, 0, step)
    return values[0]


EPISODE, START = [(0, 1.0), (1, -2.0), (0, 3.0), (2, 0.5), (1, 2.0)], [0.3, -0.4, 0.7]


def test_dutch_traces_equal_the_online_lambda_return():
    """The forward view, redone from the start of the episode at every horizon h (van Seijen et al. 2016, section 3)."""
    gamma, alpha, decay = 0.9, 0.5, 0.8
    rows, ends = [row for row, _ in EPISODE], len(EPISODE)
    known = [np.array(START)]  # V at time h, as the online λ-return algorithm has it
    for horizon in range(1, ends + 1):
        values = np.array(START)
        for t in range(horizon):
            target = 0.0
            for n in range(1, horizon - t + 1):  # n-step returns bootstrap on V of the time before
                g = sum(gamma**k * EPISODE[t + k][1] for k in range(n))
                if t + n < ends:
                    g += gamma**n * known[t + n - 1][rows[t + n]]
                target += g * (decay ** (n - 1)) * (1 - decay if n < horizon - t else 1)
            values[rows[t]] += alpha * (target - values[rows[t]])
        known.append(values)
    assert td_values(rules.DUTCH, decay, EPISODE, START) == pytest.approx(known[-1], abs=1e-12)


def test_traces_by_hand():
    """Rows 0, 0 with rewards 1, 1 from V = 0: what the second error does to row 0 is where traces differ."""
    first = 0.5 * 1.0
    second = 1.0 - first  # the episode ends: δ = 1 − V
    twice = [(0, 1.0), (0, 1.0)]
    fade = 0.9 * 0.8
    assert td_values(rules.ACCUMULATING, 0.8, twice, [0.0])[0] == pytest.approx(first + second * 0.5 * (1 + fade))
    assert td_values(rules.REPLACING, 0.8, twice, [0.0])[0] == pytest.approx(first + second * 0.5)
    for kind in (rules.ACCUMULATING, rules.REPLACING, rules.DUTCH):  # λ = 0: all are TD(0)
        assert td_values(kind, 0.0, twice, [0.0])[0] == pytest.approx(first + second * 0.5)


# ------------------------------------------------------------------------------------------- the books' examples


@pytest.mark.compiled(all=False)
def test_random_walk_of_five_states():
    """Example 6.2: values 1/6 … 5/6 of a walk that pays 1 at its right end."""
    task = resolve_task(f"{WORLDS}:Walk")
    agent = TDLambda(task, 0, TDLambdaSettings(gamma=1.0, learning_rate_power=0.9, initial_value=0.5))
    list(agent.learn(task, 1_000_000))
    assert np.allclose(agent.values[1:6], np.arange(1, 6) / 6, atol=0.02)


@pytest.mark.slow
def test_intermediate_traces_are_best_on_the_long_walk():
    """Figure 12.6's shape, 19 states, 10 episodes' worth of steps: λ = 0.8 beats TD(0) and λ = 1, each at α = 0.2."""
    task = resolve_task(f"{WORLDS}:Walk", {"n": 19, "left": -1.0})
    exact, errors = np.arange(-9, 10) / 10, {}
    for decay in (0.0, 0.8, 1.0):
        settings = TDLambdaSettings(gamma=1.0, learning_rate=0.2, learning_rate_power=0.0, trace_decay=decay, seeds=100)
        agent = TDLambda(task, 0, settings)
        list(agent.learn(task, 1000))
        errors[decay] = np.sqrt(((agent.tables["values"][:, 1:20] - exact) ** 2).mean(axis=1)).mean()
    assert errors[0.8] < 0.9 * errors[0.0]
    assert errors[0.8] < 0.9 * errors[1.0]


@pytest.mark.slow
def test_two_tables_do_not_fall_for_the_larger_maximum():
    """Example 6.7: going left looks good by chance, is bad on average (−0.1), and Q-learning believes in it longer."""
    task = resolve_task(f"{WORLDS}:MaximisationBias")
    settings = {"gamma": 1.0, "learning_rate": 0.1, "learning_rate_power": 0.0, "epsilon_start": 0.1,
                "epsilon_end": 0.1, "seeds": 500}  # fmt: skip
    left = {}
    for name in ("q-learning", "double-q-learning"):
        agent = learnt(name, task, 150, **settings)
        values = agent.tables["q"]
        left[name] = np.maximum(0.0, values[:, 1].max(axis=1)).mean(), (values[:, 0, 0] > values[:, 0, 1]).mean()
    assert left["q-learning"][1] > left["double-q-learning"][1] + 0.1


# ------------------------------------------------------------------------------------------- seeds, resuming


@pytest.mark.compiled
@pytest.mark.parametrize("name", a_few(ALL))
def test_seeds_at_once_equal_seeds_alone(name):
    task = resolve_task("FrozenLake")
    together = learnt(name, task, 4000, seed=5, seeds=40)
    table = "values" if name == "td-lambda" else "q"
    for i in (0, 17, 39):
        alone = learnt(name, task, 4000, seed=5 + i)
        assert np.array_equal(alone.tables[table][0], together.tables[table][i])
        assert np.array_equal(alone._totals[0], together._totals[i])


@pytest.mark.quick("q-learning")
@pytest.mark.parametrize("name", a_few(ALL))
def test_resuming_is_exact(name, corridor):
    for task in (resolve_task("FrozenLake"), *([corridor] if name in ("dyna-q", "monte-carlo") else [])):
        whole = learnt(name, task, 5000, report_every=777, seeds=2)
        half = make_agent(name, task, settings={"report_every": 777, "seeds": 2})
        learning = half.learn(task, 5000)
        for _ in range(3):
            next(learning)
        resumed = make_agent(name, task, seed=0, settings={"report_every": 777, "seeds": 2})
        resumed.load_state_dict(half.state_dict())
        list(resumed.learn(task, 5000))
        for table in whole.tables:
            assert np.array_equal(resumed.tables[table], whole.tables[table]), table


@pytest.mark.compiled
@pytest.mark.parametrize("name", a_few(ALL))
def test_plain_python_equals_compiled(name):
    task = resolve_task("FrozenLake")
    compiled, plain = (make_agent(name, task, settings={"seeds": 2}) for _ in range(2))
    list(compiled.learn(task, 1500))
    kernels = task.world.kernel(TEMPLATE, compiled=False, constants={"LEARNER": plain.algorithm})
    plain._compiled(task.world, 1500, kernels)(1500, plain._schedule(1500))
    for table, array in compiled.tables.items():
        assert np.allclose(plain.tables[table], array, rtol=1e-12), table


@pytest.mark.quick("q-learning")
@pytest.mark.parametrize("name", a_few(CONTROL))
def test_ordinary_environments_are_learned_by_the_same_rules(name):
    task = resolve_task("FrozenLake-v1", {"is_slippery": False})
    agent = learnt(name, task, 12_000, epsilon_end=0.2, seeds=1)
    assert evaluate(agent, task, 2, seed=0).mean == 1.0


@pytest.mark.parametrize("name", a_few(ALL))
def test_a_reward_that_is_no_number_is_named_and_not_learned_from(name):
    agent = make_agent(name, resolve_task(f"{WORLDS}:Unsound"), settings={"seeds": 2})
    with pytest.raises(UsageError, match="reward of copy 0 at step 4 in .*Unsound is not finite"):
        list(agent.learn(resolve_task(f"{WORLDS}:Unsound"), 100))
    assert all(np.isfinite(table).all() for table in agent.tables.values())


def test_so_it_is_in_ordinary_environments():
    lake = "FrozenLake-v1"
    gym.register("Unsound-v0", lambda **_: gym.wrappers.TransformReward(gym.make(lake), lambda _: math.nan))
    try:
        task = resolve_task("Unsound-v0")
        with pytest.raises(UsageError, match="the reward of Unsound-v0 is nan in copy 0 at step 0"):
            list(make_agent("q-learning", task).learn(task, 100))
    finally:
        del gym.registry["Unsound-v0"]


def test_what_makes_no_sense_is_refused():
    task = resolve_task("FrozenLake")
    with pytest.raises(UsageError, match="seeds = 0"):
        make_agent("q-learning", task, settings={"seeds": 0})
    with pytest.raises(UsageError, match="n = 0"):
        make_agent("n-step-sarsa", task, settings={"n": 0})
    with pytest.raises(UsageError, match="trace_decay = 2"):
        make_agent("td-lambda", task, settings={"trace_decay": 2.0})
    with pytest.raises(UsageError, match="policy of shape"):
        TDLambda(task, policy=np.ones((3, 4)))
    with pytest.raises(UsageError, match="not a distribution"):
        TDLambda(task, policy=np.ones((16, 4)))


@pytest.mark.parametrize("floor", [0.0, 0.3])
def test_the_step_size_never_falls_below_its_floor(forever, floor):
    """Reward 1 without a future: after n updates with step sizes α_k = max(floor, ½/k), 1 − Q = Π(1 − α_k)."""
    agent = learnt("q-learning", forever, 60, gamma=0.0, learning_rate=0.5, learning_rate_power=1.0,
                   learning_rate_floor=floor, epsilon_end=1.0)  # fmt: skip
    counts, values = agent.counts.ravel(), agent.q_values.ravel()
    assert counts.max() > 5
    left = [np.prod(1 - np.maximum(floor, 0.5 / np.arange(1, n + 1))) for n in counts]
    assert values == pytest.approx(1 - np.array(left), abs=1e-12)
