from __future__ import annotations

import dataclasses
import json
from functools import partial

import numpy as np
import pytest

from inscape.agents.planners.mcts import MCTS, MCTSSettings
from inscape.agents.registry import current_agent_settings, make_agent
from inscape.agents.rollout import evaluate, rollout
from inscape.envs.registry import make_world
from inscape.envs.tasks.resolve import resolve_task
from inscape.errors import MissingLawError, PartialObservationError, UsageError
from inscape.experiments.runs.evaluation import exact_value
from inscape.experiments.runs.resuming import load_agent
from inscape.experiments.runs.training import train
from inscape.world_models.belief.model import BeliefModel
from inscape.world_models.planning.choice import boltzmann_log_probs
from inscape.world_models.planning.dynamic_programming import value_iteration
from inscape.world_models.planning.interface import Plan, SearchTree
from inscape.world_models.planning.tree_search.settings import TreeSearchSettings
from inscape.world_models.tabular.model import TabularModel


@pytest.mark.compiled
def test_search_on_the_known_law_is_nearly_optimal():
    task = resolve_task("FrozenLake")
    exact = exact_value(make_agent("mcts", task, settings={"num_simulations": 2000}), task)
    assert exact.regret < 0.01


@pytest.mark.compiled
def test_values_choose_better_than_visits():
    """Why they are the default; more worlds and seeds: benchmarks/search_choice.py."""
    task = resolve_task("FrozenLake")

    def regret(choice, seed):
        agent = make_agent("mcts", task, seed, settings={"num_simulations": 200, "choice": choice})
        return exact_value(agent, task).regret

    values, visits = (sum(regret(choice, seed) for seed in range(3)) for choice in ("values", "visits"))
    assert values < 0.2 * visits


@pytest.mark.compiled(all=False)
def test_search_on_a_learned_model_beats_random_by_far():
    task = resolve_task("FrozenLake")
    agent = make_agent("mcts", task, settings={"model": "tabular", "num_simulations": 500})
    rows = list(agent.learn(task, 8000))
    assert rows[-1]["steps"] >= 8000
    assert rows[-1]["held_out_bits_per_step"] < 1.8  # the law itself has log2(3) = 1.58 bits on ice
    exact = exact_value(agent, task)
    floor = exact_value(make_agent("random", task), task)
    assert exact.regret < 0.25 * floor.regret


def test_learning_resumes_exactly():
    task = resolve_task("FrozenLake")
    make = lambda: make_agent("mcts", task, settings={"model": "tabular", "episodes_per_round": 4})  # noqa: E731
    one, other = make(), make()
    learning = one.learn(task, 3000)
    for _ in range(3):
        next(learning)
    other.load_state_dict(one.state_dict())
    *_, last = learning
    *_, last_other = other.learn(task, 3000)
    assert last == last_other
    for name, array in one.state_dict()["model"].items():
        assert np.array_equal(array, other.state_dict()["model"][name]), name


def test_plans_are_functions_of_the_observation():
    task = resolve_task("FourGoals")
    a, b = (make_agent("mcts", task, settings={"num_simulations": 50}) for _ in range(2))
    cells = np.array([40, 30, 31, 32])
    first = a.action_log_probs(cells)
    assert np.array_equal(first, np.concatenate([b.action_log_probs(cells[::-1][i : i + 1]) for i in range(4)])[::-1])


def test_trees_of_learned_models_can_be_drawn():
    task = resolve_task("FrozenLake")
    agent = make_agent("mcts", task, settings={"model": "tabular", "num_simulations": 100})
    list(agent.learn(task, 1000))
    plan = agent.plan_for(np.int64(0))
    states = task.world.states_of(agent.model.observations_of(plan.tree.states, task.observation_space))
    assert task.world.unpack(states, 0).cell == 0


def test_without_a_law_it_says_what_to_use():
    task = resolve_task("CartPole-v1")
    with pytest.raises(MissingLawError, match="--model tabular"):
        make_agent("mcts", task)
    assert list(make_agent("mcts", resolve_task("FrozenLake")).learn(resolve_task("FrozenLake"), 10)) == []


def test_who_needs_the_state_says_what_to_use_where_it_is_hidden():
    tiger = resolve_task("Tiger")
    mcts = make_agent("mcts", tiger)
    with pytest.raises(PartialObservationError, match=r"mcts needs to see the state[\s\S]*try: q-learning or ppo"):
        rollout(mcts, tiger, 1, seed=0)
    with pytest.raises(PartialObservationError, match=r"value-iteration needs to see the state[\s\S]*try: q-learning"):
        make_agent("value-iteration", tiger)
    poker = resolve_task("KuhnPoker")
    with pytest.raises(
        PartialObservationError, match=r"mcts needs to see the state[\s\S]*try: random, or a custom agent"
    ):
        rollout(make_agent("mcts", poker), poker, 1, seed=0)


def test_a_model_that_filters_is_refused():
    tiger = resolve_task("Tiger")
    with pytest.raises(UsageError, match=r"BeliefModel, whose states hold more[\s\S]*try: UCT"):
        MCTS(tiger, model=BeliefModel.from_world(tiger.world))


def test_who_cannot_plan_for_several_players_says_so():
    rocks, board = resolve_task("RockPaperScissors"), resolve_task("TicTacToe")
    with pytest.raises(UsageError, match=r"players act at once[\s\S]*try: random"):
        make_agent("mcts", rocks)
    with pytest.raises(UsageError, match=r"has 2 players[\s\S]*--model known"):
        make_agent("mcts", board, settings={"model": "tabular"})
    with pytest.raises(MissingLawError, match=r"has 2 players[\s\S]*try: random; or mcts"):
        make_agent("value-iteration", board)
    with pytest.raises(MissingLawError, match=r"has 2 players[\s\S]*try: random, or a custom agent"):
        make_agent("value-iteration", rocks)


@pytest.mark.slow
@pytest.mark.compiled
def test_search_balances_the_pole():
    """Deterministic, continuous, no table: known law only."""
    task = resolve_task("CartPole")
    agent = make_agent("mcts", task, settings={"num_simulations": 100, "max_depth": 60})
    assert evaluate(agent, task, 2, seed=0).mean > 150  # random play: 22


@pytest.mark.slow  # quickly: tests/test_examples.py plans in it
@pytest.mark.compiled
def test_the_elevator_of_the_examples(elevator_file):
    task = resolve_task(elevator_file)
    mcts, random = (make_agent(name, task) for name in ("mcts", "random"))
    assert evaluate(mcts, task, 5, seed=0).mean > evaluate(random, task, 5, seed=0).mean + 5


def test_exact_agent_acts_by_the_choice_rule():
    task = resolve_task("FourGoals")
    model = TabularModel.from_world(task.world)
    q_values = value_iteration(model, task.world.gamma, 1e-9).q_values
    greedy = make_agent("value-iteration", task)
    assert exact_value(greedy, task).regret < 1e-6
    soft = make_agent("value-iteration", task, settings={"beta": 3.0})
    states = task.world.dynamics().states
    log_probs = soft.action_log_probs(task.world.observe(states))
    assert np.allclose(log_probs, boltzmann_log_probs(q_values, 3.0), atol=1e-6)
    assert len(rollout(soft, task, 2, seed=0)) == 2
    with pytest.raises(MissingLawError, match="needs its law"):
        make_agent("value-iteration", resolve_task("CartPole-v1"))
    with pytest.raises(UsageError, match="beta = -1"):
        make_agent("value-iteration", task, settings={"beta": -1.0})


def test_each_setting_of_the_search_is_the_planners():
    """Documented once, in TreeSearchSettings; old runs name `averaging_visits` by what it was called."""
    task = resolve_task("FrozenLake")
    values = {"num_simulations": 7, "exploration": 0.5, "rollout": "none", "averaging_visits": 2.0, "max_depth": 9}
    values["solver"] = False
    agent = make_agent("mcts", task, settings=values)
    shared = [f.name for f in dataclasses.fields(TreeSearchSettings)]
    assert {name: getattr(agent.planner, name) for name in shared} == values
    assert agent.planner.gamma == task.world.gamma
    with pytest.warns(FutureWarning, match="'patience' is now 'averaging_visits'"):
        old = make_agent("mcts", task, settings={"patience": 2.0})
    assert old.settings == MCTSSettings(averaging_visits=2.0)
    assert current_agent_settings("mcts", {"patience": 2.0, "beta": None}) == {"averaging_visits": 2.0, "beta": None}
    for name, value in (("num_simulations", 0), ("averaging_visits", -1.0), ("rollout", "clever")):
        with pytest.raises(UsageError, match=name):
            make_agent("mcts", task, settings={name: value})


def test_a_run_of_before_the_renaming_is_loaded_and_resumed(tmp_path):
    task, settings = resolve_task("FrozenLake"), {"model": "tabular", "num_simulations": 5, "averaging_visits": 5.0}
    go_on = partial(train, "mcts", task, out=tmp_path / "run", settings=settings, progress=False, evaluate_every=0)
    run = go_on(300)
    stored = json.loads((run.path / "settings.json").read_text())
    stored["agent_settings"]["patience"] = stored["agent_settings"].pop("averaging_visits")
    (run.path / "settings.json").write_text(json.dumps(stored))
    (run.path / "manifest.json").unlink()  # runs of that time had none
    agent, _ = load_agent(str(run.path))
    assert agent.settings.averaging_visits == 5.0
    assert agent.steps >= 300
    assert go_on(300, resume=True).path == run.path


@pytest.mark.parametrize(
    ("closed", "values", "expected"),
    [
        ((True, False, False), (0.5, 0.4, 0.9), 0),  # proven, and no worse than the most visited of the others
        ((True, False, False), (0.3, 0.4, 0.9), 1),  # proven, and worse
        ((True, False, True), (-1.0, 0.4, 0.6), 2),
        ((True, True, True), (-1.0, 0.4, 0.1), 1),
        ((False, False, False), (0.3, 0.4, 0.9), 1),
    ],
)
def test_most_visited_where_some_actions_are_proven(closed, values, expected) -> None:
    """What is proven collects no more visits: its value is compared, not its visits."""
    agent = make_agent("mcts", "TicTacToe", settings={"choice": "most-visited", "num_simulations": 60})
    none = np.zeros(0)
    tree = SearchTree(none, none, none, none, none, none, none, np.array(closed))
    plan = Plan(2, np.array(values), np.array([9, 30, 20]), 0.4, tree, simulations=60)
    assert np.exp(agent._choice(plan, np.ones(3, bool))).tolist() == np.eye(3)[expected].tolist()


def test_the_most_visited_action_of_a_proven_root_is_the_best() -> None:
    """Proven actions collect no more visits: by visits alone the first cell of the lake was left upwards (0.378)."""
    world = make_world("FrozenLake")
    settings = {"choice": "most-visited", "num_simulations": 1000}
    agent = make_agent("mcts", world, seed=0, settings=settings)
    best = value_iteration(TabularModel.from_world(world), 0.99).optimal_actions()
    for state in (0, 4, 8, 9, 10, 14):
        assert best[state, int(agent.act(np.array([state]))[0])]
