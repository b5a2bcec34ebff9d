from typing import Any

import numpy as np
import pytest

from inscape.agents.registry import make_agent
from inscape.agents.rollout import evaluate
from inscape.envs.tasks.resolve import resolve_task
from inscape.envs.tasks.task import Task
from inscape.errors import MissingLawError, UsageError
from inscape.experiments.runs.evaluation import exact_value, hides_state, policy_table
from inscape.world_models.planning.dynamic_programming import value_iteration
from inscape.world_models.tabular.model import TabularModel


@pytest.fixture(scope="module")
def lake() -> Task:
    return resolve_task("FrozenLake")


class FromTable:
    """Acts by a table of probabilities and does not say them."""

    def __init__(self, policy: Any, seed: int = 0) -> None:
        self.policy, self.rng = policy, np.random.default_rng(seed)

    def act(self, observation: Any) -> Any:
        cumulative = self.policy[observation].cumsum(axis=1)
        return (self.rng.random(len(observation))[:, None] > cumulative).sum(axis=1)


def optimal_table(task: Task, gamma: float) -> Any:
    assert task.world is not None
    solution = value_iteration(TabularModel.from_world(task.world), gamma, tolerance=1e-10)
    policy = np.eye(4)[solution.policy]
    seen = task.world.observe(task.world.dynamics().states)
    table = np.full(policy.shape, 0.25)
    table[seen] = policy
    return table


@pytest.mark.compiled(all=False)
def test_exact_value_is_what_playing_estimates(lake: Task) -> None:
    random = make_agent("random", lake, seed=0)
    exact = exact_value(random, lake, gamma=0.9)
    played = evaluate(random, lake, 20_000, seed=1, gamma=0.9, max_copies=2000)
    assert not exact.sampled
    error = played.returns.std() / np.sqrt(len(played.returns))
    assert abs(exact.value - played.mean) < 4 * error


def test_the_optimal_policy_has_no_regret_and_any_other_some(lake: Task) -> None:
    table = optimal_table(lake, 0.99)
    best = exact_value(FromTable(table), lake)
    assert abs(best.regret) < 1e-6
    assert best.optimum == pytest.approx(0.5420, abs=1e-4)
    worse = exact_value(FromTable(np.roll(table, 2, axis=1)), lake)
    assert worse.regret > 0.1


def test_a_deterministic_agent_is_recognised_and_a_stochastic_one_estimated(lake: Task) -> None:
    table = optimal_table(lake, 0.99)
    policy, sampled = policy_table(FromTable(table), lake)
    assert not sampled
    mixed, sampled = policy_table(FromTable(0.5 * table + 0.125), lake, samples=2000)
    assert sampled
    assert np.abs(mixed - (0.5 * policy + 0.125)).max() < 0.06


def test_a_sampled_policy_is_worth_what_a_stated_one_is(lake: Task) -> None:
    stated = exact_value(make_agent("random", lake, seed=0), lake)
    drawn = exact_value(FromTable(np.full((16, 4), 0.25)), lake)
    assert drawn.sampled
    assert drawn.value == pytest.approx(stated.value, abs=0.01)


def test_where_the_state_is_hidden_the_optimum_is_said_to_be_of_one_who_sees_it(lake: Task) -> None:
    tiger = resolve_task("Tiger")
    exact = exact_value(make_agent("random", tiger, seed=0), tiger)
    # a listening costs 1, a door is worth (10 − 100) / 2 on average; who knows opens the right one for 10 each time
    assert exact.value == pytest.approx((-1 - 45 - 45) / 3 / 0.05)
    assert exact.optimum == pytest.approx(10 / 0.05)
    assert exact.hidden
    assert not exact_value(make_agent("random", lake, seed=0), lake).hidden


def test_what_is_seen_decides_what_is_hidden() -> None:
    hidden = {name: hides_state(resolve_task(name).world) for name in ("Tiger", "KuhnPoker", "Taxi", "TicTacToe")}
    assert hidden == {"Tiger": True, "KuhnPoker": True, "Taxi": False, "TicTacToe": False}


def test_what_cannot_be_evaluated_exactly_says_why(lake: Task) -> None:
    cases = (("CartPole-v1", "no law"), ("CartPole", "can only be sampled"), ("TicTacToe", "2 players"))
    for name, said in cases:
        task = resolve_task(name)
        with pytest.raises(MissingLawError, match=said):
            exact_value(make_agent("random", task, seed=0), task)

    class Boaster(FromTable):
        def action_log_probs(self, observation: Any, action_mask: Any = None) -> Any:
            return np.zeros((len(observation), 4))

    with pytest.raises(UsageError, match="sum to 4"):
        exact_value(Boaster(np.full((16, 4), 0.25)), lake)
