"""One law, every mind: exact values against episodes, certificates, reading policies, who is taken for whom."""

import numpy as np
import pytest

from inscape.agents.registry import make_agent
from inscape.envs.tasks.resolve import as_task
from inscape.errors import UsageError
from inscape.experiments import Experiment, exact_value
from inscape.experiments.questions import every_mind
from inscape.experiments.questions.every_mind import (
    MEAN,
    SAME,
    SEARCH,
    STATED,
    certified_value,
    every_mind_measures,
    read_policy,
)
from inscape.experiments.questions.every_mind_answer import every_mind_sections, recognised
from inscape.experiments.report.sections import TableSection
from inscape.experiments.trials import execute
from inscape.experiments.trials.results import Results, ResultsFile
from inscape.experiments.trials.trial import TrialResult
from inscape.experiments.trials.worker import perform
from inscape.world_models import TabularModel
from inscape.world_models.planning.policy_play import play_policy, return_deviation


def uniform(world):
    legal = world.dynamics().legal
    return legal / legal.sum(axis=1, keepdims=True)


def here(due, jobs):
    for job in due:
        yield perform(job.trial, job.payload, job.root)


# --------------------------------------------------------------------------------------------- episodes of a policy


def test_the_mean_of_episodes_is_the_exact_value():
    world = as_task("FrozenLake").world
    exact = certified_value(world, uniform(world))
    played = play_policy(world, uniform(world), 1500, seed=0)
    assert exact.value == pytest.approx(exact_value("random", "FrozenLake").value, abs=1e-9)
    assert abs(played.deviations(exact.value)) < 4
    assert played.deviations(exact.value) == pytest.approx(
        (played.mean - exact.value) / played.standard_error, abs=0.01
    )
    assert abs(played.deviations(exact.value + 7 * played.standard_error)) > 4  # it can fail
    assert return_deviation(world, uniform(world), 0.99) == pytest.approx(played.returns.std(), rel=0.25)
    again = play_policy(world, uniform(world), 1500, seed=0)
    np.testing.assert_array_equal(again.returns, played.returns)


def test_endless_episodes_are_cut_where_it_does_not_matter():
    world = as_task("RiverSwim").world
    policy = uniform(world)
    played = play_policy(world, policy, 60, seed=1, gamma=0.6)
    assert 0 < played.cut < 1e-6 and played.steps == 60 * 32
    assert abs(played.deviations(certified_value(world, policy, 0.6).value)) < 4
    short = play_policy(world, policy, 60, seed=1, gamma=0.6, max_steps=3)
    assert short.steps == 180 and short.cut == pytest.approx(0.6**3 / 0.4)


def test_where_nothing_is_random_the_episode_has_the_exact_value():
    world = as_task("DynaMaze").world
    policy, _ = read_policy(make_agent("value-iteration", "DynaMaze"), as_task("DynaMaze"))
    played = play_policy(world, policy, 3, seed=0)
    exact = certified_value(world, policy)
    assert played.deviations(exact.value) == 0.0 and np.ptp(played.returns) < 1e-12
    assert played.deviations(exact.value - 0.01) == np.inf


@pytest.mark.parametrize(
    ("task", "change", "said"),
    [
        ("FrozenLake", {"episodes": 1}, "1 episodes"),
        ("FrozenLake", {"gamma": 1.5}, "gamma"),
        ("FrozenLake", {"policy": np.ones((16, 4))}, "policy"),
        ("TicTacToe", {"policy": np.ones((16, 9))}, "2 players"),
    ],
)
def test_what_cannot_be_played(task, change, said):
    world = as_task(task).world
    arguments = {"policy": np.full((16, 4), 0.25), "episodes": 10, "seed": 0} | change
    with pytest.raises(UsageError, match=said):
        play_policy(world, **arguments)


@pytest.mark.compiled
def test_compiled_and_plain_episodes_are_the_same():
    world = as_task("FrozenLake").world
    plain, fast = (play_policy(world, uniform(world), 50, seed=3, compiled=how) for how in (False, True))
    np.testing.assert_array_equal(plain.returns, fast.returns)


def test_what_is_too_rare_to_be_met_is_no_deviation():
    """The true standard error says so; that of returns which are all the same is 0."""
    world = as_task("DynaMaze").world
    best, _ = read_policy(make_agent("value-iteration", "DynaMaze"), as_task("DynaMaze"))
    rare = (1 - 1e-7) * best + 1e-7 * uniform(world)
    value, played = certified_value(world, rare).value, play_policy(world, rare, 3, seed=0)
    assert np.ptp(played.returns) < 1e-12 and abs(played.deviations(value)) == np.inf
    assert abs(played.deviations(value, return_deviation(world, rare, 0.99) / 3**0.5)) < 0.01
    assert return_deviation(world, best, 0.99) < 1e-3  # ways of the same value may tie


def test_the_deviation_of_the_return_of_one_step():
    """One step, which pays 5 with probability 0.3 and else 1: the deviation of a coin."""
    table = TabularModel(
        next_state=np.array([[[1, 2]], [[1, 1]], [[2, 2]]], np.int32),
        probability=np.array([[[0.3, 0.7]], [[1.0, 0.0]], [[1.0, 0.0]]]),
        reward=np.array([[[5.0, 1.0]], [[0.0, 0.0]], [[0.0, 0.0]]]),
        continuation=np.zeros((3, 1, 2)),
        legal=np.ones((3, 1), bool),
        initial=np.array([1.0, 0.0, 0.0]),
        terminal=np.array([False, True, True]),
    )
    assert return_deviation(table, np.ones((3, 1)), 0.9) == pytest.approx(4.0 * (0.3 * 0.7) ** 0.5)


# ------------------------------------------------------------------------------------------------------ certificates


def test_regrets_lie_between_their_certificates():
    task = as_task("FrozenLake")
    best, _ = read_policy(make_agent("value-iteration", task), task)
    found = certified_value(task.world, best)
    low, high = found.bounds
    assert low == 0.0 <= found.regret <= high < 1e-8 and found.share < 1e-8
    poor = certified_value(task.world, uniform(task.world))
    low, high = poor.bounds
    # published: 0.542 with a discount of 0.99, 0.0124 at random
    assert low <= poor.regret <= high < low + 1e-8 and poor.regret == pytest.approx(0.542 - 0.0124, abs=1e-3)
    assert poor.share == pytest.approx(1.0)
    with pytest.raises(UsageError, match="gamma = 1"):
        certified_value(task.world, best, 1.0)


# ------------------------------------------------------------------------------------------------- reading policies


class Fickle:
    """Answers with other probabilities each time, and does not say so."""

    name = "fickle"

    def __init__(self):
        self.rng = np.random.default_rng(0)

    def action_log_probs(self, observation, action_mask=None):
        left = self.rng.random(len(observation)) < 0.25
        return np.log(np.where(left[:, None], [0.97, 0.01, 0.01, 0.01], [0.01, 0.01, 0.01, 0.97]))

    def act(self, observation, action_mask=None):
        return np.argmax(self.action_log_probs(observation), axis=1)


class Downwards:
    name = "downwards"

    def act(self, observation, action_mask=None):
        return np.ones(len(observation), np.int64)


def test_how_policies_are_read_off():
    task = as_task("FrozenLake")
    policy, reading = read_policy(Fickle(), task)
    assert reading == MEAN
    open_rows = ~task.world.terminal_of(task.world.dynamics().states)
    assert policy[open_rows, 0].mean() == pytest.approx(0.25, abs=0.06)
    assert read_policy(Downwards(), task)[1] == SAME
    assert read_policy(make_agent("random", task), task)[1] == STATED
    search = make_agent("mcts", task, settings={"num_simulations": 4})
    policy, reading = read_policy(search, task)
    assert reading == SEARCH
    other = make_agent("mcts", task, settings={"num_simulations": 4})  # its searches follow from the seed
    np.testing.assert_array_equal(read_policy(other, task)[0], policy)


# --------------------------------------------------------------------------------------------------------- observers


def test_the_question_in_small(monkeypatch, tmp_path):
    monkeypatch.setattr(every_mind, "EPISODES", 60)
    experiment = Experiment(
        ["FourGoals"], ["random", "value-iteration"], seeds=1, final_episodes=0, measures=["every-mind"]
    )
    results = execute.run_trials(experiment.trials(), tmp_path, verbose=False, engine=here)
    assert not results.failed, results.failed[0].error
    random, best = (result.measures for result in results)
    assert best["as optimal"] + best["as noisy"] > 0.9 and best["goal"] > 0.9 and random["as random"] > 0.9
    assert best["regret_high"] < 1e-8 < random["regret_low"] and "bits" not in best
    stored = list(ResultsFile(tmp_path).read().values())
    assert Results(stored).arrays("policy", "FourGoals", "random")[0].shape == (73, 4)
    assert stored[0].arrays == results[0].arrays
    tables = {s.title: s for s in every_mind_sections(results) if isinstance(s, TableSection)}
    rows = {row[0].text: row for row in tables["Every mind"].rows}
    assert rows["value-iteration"][1].estimate < 1e-8 and rows["random"][1].estimate == pytest.approx(1.0)
    told = {row[0].text: row[1] for row in tables["Which of them is it?"].rows}
    assert min(told.values()) > 0.99
    assert len(tables["In each world"].rows) == 2 and len(tables["How policies are read off"].rows) == 2
    with pytest.raises(UsageError, match="no agent was judged"):
        every_mind_sections(Results([]))


def test_a_world_that_hides_its_state_is_refused():
    task = as_task("Tiger")
    with pytest.raises(UsageError, match="hides its state"):
        every_mind_measures(make_agent("random", task), task, 0)


def test_agents_that_act_alike_share_the_posterior():
    def result(agent, seed, row):
        policy = np.array([row, [0.5, 0.5]])
        counts = np.array([[round(20 * share) for share in row], [0, 0]])
        arrays = {"policy": policy.tolist(), "counts": counts.tolist()}
        return TrialResult(f"{agent}{seed}", agent, "w", seed, 0.0, arrays=arrays)

    results = Results(
        [result("a", 0, [0.9, 0.1]), result("b", 0, [0.9, 0.1]), result("c", 0, [0.1, 0.9]), result("c", 1, [0.2, 0.8])]
    )
    found = recognised(results)
    assert found["a"]["a"] == pytest.approx(0.5, abs=1e-6) == found["a"]["b"]
    # by Bayes' rule, of the second individual: 4 and 16 of 20 actions
    odds = 2 * (0.9**4 * 0.1**16) / (0.1**4 * 0.9**16)
    assert found["c"]["c"] == pytest.approx(1 / (1 + odds))
