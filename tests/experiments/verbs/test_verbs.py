"""`inscape.train`, `evaluate`, `plan`, `observe`: names, and what is in hand."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, NamedTuple, cast

import gymnasium as gym
import numpy as np
import pytest

import inscape
from inscape import UsageError, World, evaluate, observe, plan, train
from inscape.agents import PPO, Evaluation, QLearning, RandomAgent
from inscape.errors import MissingLawError, PartialObservationError, UnknownSettingError
from inscape.experiments import PlayersEvaluation, Run, load_agent, open_run
from inscape.experiments.cli import main
from inscape.theory_of_mind import PlanningMind
from inscape.world_models import UCT, KnownModel, LearnedTabularModel, Plan, Plans, TabularModel

SMALL: dict[str, Any] = {"hidden": (8,), "num_envs": 4, "num_steps": 16}


class Walk(World):
    """A walk between two goals, from the middle."""

    class State(NamedTuple):
        x: int

    class Purpose(NamedTuple):
        goal: int = 6

    actions = ("left", "right")
    max_episode_steps = 20

    @staticmethod
    def initial(params: Any, branch: int) -> tuple[float, Any]:
        return 1.0, Walk.State(3)

    @staticmethod
    def transition(params: Any, state: Any, action: int, branch: int) -> tuple[float, Any]:
        return 1.0, Walk.State(min(max(state.x + 2 * action - 1, 0), 6))

    @staticmethod
    def reward(params: Any, purpose: Any, state: Any, action: int, next_state: Any) -> float:
        return 1.0 if next_state.x == purpose.goal else -0.1

    @staticmethod
    def terminal(params: Any, purpose: Any, state: Any) -> bool:
        return state.x == purpose.goal

    @staticmethod
    def observation(params: Any, state: Any) -> int:
        return state.x

    @staticmethod
    def observations(params: Any) -> int:
        return 7

    @staticmethod
    def purposes(params: Any, purpose: Any) -> dict[str, Any]:
        return {"left end": Walk.Purpose(0), "right end": Walk.Purpose(6)}


class Rightward:
    """Goes right, and counts how often it was asked."""

    def act(self, observation: Any) -> Any:
        return np.ones(len(observation), int)


class Learner:
    """Learns nothing, in as few lines as a user writes; it cannot be saved."""

    def __init__(self) -> None:
        self.steps = 0

    def act(self, observation: Any) -> Any:
        return np.ones(len(observation), int)

    def learn(self, task: Any, steps: int) -> Any:
        while self.steps < steps:
            self.steps = min(steps, self.steps + 50)
            yield {"steps": self.steps, "loss": 1.0 / self.steps}


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


# ---------------------------------------------------------------------------------------------------- train


@pytest.mark.parametrize(
    ("agent", "world", "settings"),
    [
        ("q-learning", "FrozenLake", {}),
        (QLearning, Walk, {}),
        (QLearning, Walk(), {"report_every": 50}),
        (PPO, Walk(), SMALL),
        (PPO, Walk().env(), SMALL),
        ("ppo", gym.make("CartPole-v1"), SMALL),
        (PPO, lambda: gym.make("CartPole-v1"), SMALL),
        (Learner, Walk, {}),
        (Learner(), Walk(), {}),
    ],
    ids=["names", "classes", "world", "ppo", "its environment", "gymnasium", "function", "own class", "own agent"],
)
def test_train_returns_a_run_and_writes_nothing(agent: Any, world: Any, settings: Any, tmp_path: Path) -> None:
    run = train(agent, world, 200, verbose=False, evaluate_episodes=2, **settings)
    assert isinstance(run, Run)
    assert run.folder is None
    assert run.metrics()[-1]["steps"] >= 200
    assert run.trained_steps >= 200
    assert callable(run.agent.act)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UsageError, match=r"has no folder(.|\n)*run.save"):
        run.path  # noqa: B018
    assert isinstance(evaluate(run, episodes=2), Evaluation)


def test_the_same_seed_gives_the_same_run() -> None:
    first, second, other = (
        train(PPO, Walk(), 200, seed=seed, verbose=False, evaluate_episodes=2, **SMALL) for seed in (1, 1, 2)
    )
    seen = np.arange(7)

    def believed(run: Run) -> Any:
        return cast(Any, run.agent).policy_log_probs(seen)

    np.testing.assert_array_equal(believed(first), believed(second))
    assert not np.array_equal(believed(first), believed(other))
    rows = [[{k: v for k, v in row.items() if k != "seconds"} for row in run.metrics()] for run in (first, second)]
    assert rows[0] == rows[1]


def test_a_run_in_memory_is_that_of_a_folder(tmp_path: Path) -> None:
    given: dict[str, Any] = {"steps": 200, "seed": 3, "verbose": False, "evaluate_episodes": 2, **SMALL}
    memory, folder = train(PPO, "FrozenLake", **given), train(PPO, "FrozenLake", **given, out=tmp_path / "run")
    assert folder.folder == tmp_path / "run"
    saved = memory.save(tmp_path / "saved")  # type: ignore[attr-defined]
    for run in (folder, saved):
        again, task = load_agent(run.path)
        assert task.to_json() == {"name": "FrozenLake", "settings": {}}
        np.testing.assert_array_equal(
            cast(Any, again).action_log_probs(np.arange(16)), cast(Any, memory.agent).action_log_probs(np.arange(16))
        )
    assert open_run(tmp_path / "saved").finished
    assert [row["steps"] for row in saved.metrics()] == [row["steps"] for row in folder.metrics()]
    assert evaluate(tmp_path / "saved", episodes=5).mean == evaluate(str(tmp_path / "run"), episodes=5).mean


def test_an_agent_in_hand_goes_on_learning() -> None:
    agent = inscape.make_agent("q-learning", "FrozenLake", settings={"report_every": 100})
    first = train(agent, "FrozenLake", 300, verbose=False, evaluate_every=0)
    second = train(agent, "FrozenLake", 200, verbose=False, evaluate_every=0)
    assert first.agent is second.agent is agent
    assert [row["steps"] for row in second.metrics()] == [400, 500]
    assert (first.trained_steps, second.trained_steps) == (300, 200)
    whole = train("q-learning", "FrozenLake", 500, verbose=False, evaluate_every=0, report_every=100)
    np.testing.assert_array_equal(cast(Any, whole.agent).q_values, cast(Any, agent).q_values)


def test_a_world_in_hand_is_given_again_beside_its_run(tmp_path: Path) -> None:
    class Local(Walk):
        pass

    class Own(Rightward):
        def learn(self, task: Any, steps: int) -> Any:
            yield {"steps": steps}

        def state_dict(self) -> dict[str, Any]:
            return {"known": np.ones(2)}

        def load_state_dict(self, state: dict[str, Any]) -> None:
            self.known = state["known"]

    run = train("q-learning", Local(), 200, out=tmp_path / "run", verbose=False, evaluate_episodes=2)
    with pytest.raises(UsageError, match="had in hand"):
        load_agent(tmp_path / "run")
    with pytest.raises(UsageError, match="had in hand"):
        evaluate(tmp_path / "run")
    assert evaluate(tmp_path / "run", Local(), episodes=3).mean == evaluate(run, episodes=3).mean
    assert main(["report", str(run.path)]) == 0

    run = train(Own, Local(), 100, out=tmp_path / "own", verbose=False, evaluate_episodes=2)
    with pytest.raises(UsageError, match=r"of Own, an agent(.|\n)*load_agent\(run, agent=Own\)"):
        load_agent(tmp_path / "own", world=Local())
    again, _ = load_agent(tmp_path / "own", agent=Own, world=Local())
    assert cast(Any, again).known.tolist() == [1.0, 1.0]
    assert run.name == "own"


def test_whole_numbers_of_any_kind_are_taken() -> None:
    run = train("q-learning", Walk(), 2e2, seed=cast(Any, np.int64(3)), verbose=False, evaluate_every=0)
    again = train("q-learning", Walk(), cast(Any, np.int32(200)), seed=3, verbose=False, evaluate_every=0)
    np.testing.assert_array_equal(cast(Any, run.agent).q_values, cast(Any, again.agent).q_values)
    assert len(evaluate("random", Walk(), cast(Any, np.int16(3)), cast(Any, np.int64(1))).returns) == 3


def test_settings_by_name_are_those_of_the_agent() -> None:
    run = train("ppo", Walk(), 64, verbose=False, evaluate_every=0, settings={"hidden": (8,)}, num_envs=2, num_steps=16)
    assert run.settings.agent_settings["num_envs"] == 2
    assert run.settings.agent_settings["hidden"] == [8]
    from inscape.agents import PPOSettings

    settings = PPOSettings(hidden=(8,), num_envs=4)
    run = train("ppo", Walk(), 64, verbose=False, evaluate_every=0, settings=settings, num_steps=16)
    assert (run.settings.agent_settings["num_envs"], run.settings.agent_settings["num_steps"]) == (4, 16)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: train("ppo", Walk(), 100, lerning_rate=1.0), "learning_rate"),
        (lambda: train("ppo", Walk(), total_timesteps=100), "steps="),
        (lambda: train(Learner, Walk(), 100, size=3), "Learner has no setting 'size'"),
        (lambda: train("ppo", Walk(), -1), "-1 training steps"),
        (lambda: train("ppo", Walk(), 1.5), "1.5 training steps"),
        (lambda: train("random", Walk(), 100), "does not learn"),
        (lambda: train(Rightward(), Walk(), 100), "does not learn"),
        (lambda: train(lambda o: 0, Walk(), 100), "does not learn"),
        (lambda: train("ppo", 3, 100), "an object of int as a world"),
        (lambda: train(3, Walk(), 100), "no method act"),
        (lambda: train("ppoo", Walk(), 100), "did you mean 'ppo'"),
        (lambda: train(Learner(), Walk(), 100, out="run"), "no state_dict"),
        (lambda: train("ppo", Walk(), 100, seed=-1), "seed -1"),
        (lambda: train("ppo", Walk(), 100, goal=3), r"one of the world(.|\n)*make_world\('Walk', goal=3\)"),
        (lambda: train("ppo", Walk(), 0.0), "0.0 training steps"),
        (lambda: train("ppo", Walk(), True), "True training steps"),
        (lambda: train("ppo", Walk(), "ten"), "'ten' training steps"),
        (lambda: train("ppo", Walk(), 100, evaluate_episodes=0), "evaluate_episodes = 0"),
    ],
)
def test_what_train_cannot_do_is_named(call: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        call()


def test_an_unknown_keyword_is_a_type_error_in_pythons_words() -> None:
    for call in (
        lambda: train("ppo", Walk(), 100, lerning_rate=1.0),
        lambda: plan(Walk(), num_simulatons=4),
        lambda: cast(Any, evaluate)("random", Walk(), episods=4),
        lambda: cast(Any, observe)("random", Walk(), betta=4),
        lambda: inscape.make_world("FrozenLake", slap=0.1),
        lambda: inscape.make_agent("ppo", Walk(), settings={"lerning_rate": 1.0}),
        lambda: Walk(gaol=3),
        lambda: gym.make("inscape/FrozenLake-v0", slap=0.1),
        lambda: cast(Any, UCT)(simulations=3),
        lambda: cast(Any, Walk().env)(render="human"),
    ):
        with pytest.raises(TypeError, match="got an unexpected keyword argument '"):
            call()


def test_a_model_of_stable_baselines3_is_trained_by_itself_or_by_its_class() -> None:
    from stable_baselines3 import A2C

    model = A2C("MlpPolicy", "CartPole-v1", n_steps=4, device="cpu")
    with pytest.raises(UsageError, match=r"does not learn(.|\n)*model.learn"):
        train(model, "CartPole-v1", 100)
    run = train(A2C, Walk(), 64, verbose=False, evaluate_episodes=2)
    assert run.settings.agent == "sb3:a2c"


def test_what_stops_a_run_in_memory_is_raised_with_the_run() -> None:
    def stop(agent: Any, metrics: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match="the agent has learned") as stopped:
        train("q-learning", Walk(), 1000, verbose=False, on_yield=stop, evaluate_every=0, report_every=100)
    assert cast(Any, stopped.value).run.agent.name == "q-learning"


# ---------------------------------------------------------------------------------------------------- evaluate


@pytest.mark.parametrize(
    "agent",
    ["random", RandomAgent, lambda o: 1, Rightward(), Rightward, "value-iteration"],
    ids=["name", "class", "function", "agent", "own class", "planner"],
)
@pytest.mark.parametrize("world", [Walk, Walk(), lambda: Walk(), Walk().env(), "FrozenLake"], ids=str)
def test_evaluate_takes_whatever_acts_wherever(agent: Any, world: Any) -> None:
    found = evaluate(agent, world, 4)
    assert len(found.returns) == 4
    assert found.ci[0] <= found.mean <= found.ci[1]
    if not isinstance(agent, (Rightward, type(lambda: 0))) and agent is not Rightward:
        again = evaluate(agent, world, 4)
        assert found.returns.tolist() == again.returns.tolist()


def test_several_players_have_an_evaluation_each() -> None:
    found = evaluate(["random", lambda o, action_mask=None: int(np.argmax(action_mask))], "TicTacToe", 6)
    assert isinstance(found, PlayersEvaluation)
    assert len(found.players) == 2
    assert found.mean == found.players[0].mean
    assert (found.players[0].returns + found.players[1].returns == 0).all()
    assert len(cast(PlayersEvaluation, evaluate("random", "TicTacToe", 3)).players) == 2
    by_name = {"player_1": lambda o, action_mask: int(np.argmax(action_mask)), "player_0": "random"}
    assert evaluate(by_name, "TicTacToe", 6).returns.tolist() == found.returns.tolist()


def test_evaluate_can_record(tmp_path: Path) -> None:
    found = evaluate("random", "FrozenLake", 3, save_episodes=tmp_path / "episodes.npz")
    assert found.returns.tolist() == evaluate("random", "FrozenLake", 3).returns.tolist()
    assert len(observe("random", "FourGoals")) == 1
    from inscape.experiments import load_trajectories

    assert len(load_trajectories(tmp_path / "episodes.npz")) == 3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: evaluate("random"), "no world for random"),
        (lambda: evaluate(Rightward()), "no world for an object of Rightward"),
        (lambda: evaluate(Walk(), Rightward()), "the agent first, then the world"),
        (lambda: evaluate("random", Walk(), 0), "episodes = 0"),
        (lambda: evaluate("random", Walk(), cast(Any, 2.5)), "episodes = 2.5"),
        (lambda: evaluate("random", Walk(), True), "episodes = True"),
        (lambda: evaluate("random", Walk(), 3, seed="a"), "seed 'a'"),
        (lambda: evaluate(["random"], "TicTacToe"), "1 agents for the 2 players"),
        (lambda: evaluate(["random", "random"], Walk()), "2 agents for the 1 players"),
        (lambda: evaluate(Path("gone"), Walk()), "no run at gone"),
        (lambda: evaluate("gone/run", Walk()), "no agent 'gone/run'"),
        (lambda: evaluate(None, Walk()), "no method act"),
        (lambda: evaluate("model.zip", Walk()), r"is a zip(.|\n)*PPO.load\('model.zip'\)"),
        (lambda: evaluate(inscape.make_agent("random", "CartPole"), Walk()), "in Walk, whose observations are"),
        (lambda: evaluate(inscape.solve("FrozenLake"), Walk()), "the solution of that world"),
        (lambda: evaluate(inscape.solve(Walk(), horizon=3), Walk()), "depends on the stage"),
    ],
)
def test_what_evaluate_cannot_do_is_named(call: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        call()


# ---------------------------------------------------------------------------------------------------- plan


@pytest.mark.parametrize("state", [Walk.State(4), Walk.State(x=np.int64(4)), None], ids=["state", "numpy", "none"])
@pytest.mark.parametrize("world", [Walk, Walk(), lambda: Walk(), Walk().env(), KnownModel(Walk())], ids=str)
def test_plan_takes_a_state(world: Any, state: Any) -> None:
    found = plan(world, state, num_simulations=100)
    assert isinstance(found, Plan)
    assert found.action_name == "right"
    assert found.action == 1
    assert found.value == found.action_values[1]


@pytest.mark.parametrize("state", [4, np.int64(4), np.array(4), {"x": 4}], ids=["int", "numpy", "array", "dict"])
def test_plan_takes_what_stands_for_a_state(state: Any) -> None:
    found = plan(Walk(), state, num_simulations=50)
    assert isinstance(found, Plan)
    np.testing.assert_array_equal(found.action_values, plan(Walk(), Walk.State(4), num_simulations=50).action_values)


def test_the_exact_planner_is_the_solution() -> None:
    solution = cast(Any, inscape.solve(Walk(), tolerance=1e-8))
    states = Walk().dynamics().states
    row = [Walk().unpack(states, k).x for k in range(len(states))].index(4)
    found = plan(Walk(), Walk.State(4), planner="value-iteration")
    np.testing.assert_allclose(found.action_values, solution.q_values[row])
    assert (found.action_name, found.value) == ("right", found.action_values[1])
    with pytest.raises(UsageError, match="terminal"):
        plan(Walk(), Walk.State(6), planner="value-iteration")
    assert plan(TabularModel.from_world(Walk()), row, planner="value-iteration").action == 1
    assert evaluate(solution, Walk(), 3).returns.tolist() == evaluate("value-iteration", Walk(), 3).returns.tolist()


def test_plan_takes_a_batch_and_gives_plans() -> None:
    world = Walk()
    for batch in (world.pack([Walk.State(1), Walk.State(5)]), [Walk.State(1), Walk.State(5)]):
        found = cast(Plans, plan(world, batch, num_simulations=50))
        assert isinstance(found, Plans)
        assert found.actions.shape == (2,)
        assert found[1].action_name == "right"


def test_plan_takes_tables_and_a_number() -> None:
    model = TabularModel.from_world(Walk())
    found = plan(model, 1, num_simulations=50)
    assert found.action in (0, 1)
    assert isinstance(cast(Any, plan(model, np.array([1, 2]), num_simulations=20)), Plans)
    assert isinstance(plan(model), Plan)
    learned = LearnedTabularModel.for_task(inscape.resolve_task(Walk()))
    learned.fit(inscape.rollout("random", Walk(), 20, seed=0))
    assert isinstance(plan(learned, 0, num_simulations=20), Plan)


def test_planners_by_name_by_class_and_in_hand() -> None:
    start = Walk.State(4)
    by_name = plan(Walk(), start, "uct", num_simulations=64, exploration=2.0, seed=5)
    by_class = plan(Walk(), start, UCT, num_simulations=64, exploration=2.0, seed=5)
    in_hand = plan(Walk(), start, UCT(num_simulations=64, exploration=2.0, gamma=Walk.gamma), seed=5)
    for other in (by_class, in_hand):
        np.testing.assert_array_equal(by_name.action_values, other.action_values)

    class First:
        def plan(self, model: Any, states: Any, rng: Any, evaluate: Any = None) -> Plans:
            return Plans(np.zeros(len(states), np.int64), np.zeros(len(states)))

    assert plan(Walk(), start, First()).action_name == "left"
    assert plan(Walk(), start, First).action == 0


def test_the_same_seed_gives_the_same_plan() -> None:
    first, second, other = (plan("FrozenLake", num_simulations=200, seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.action_values, second.action_values)
    np.testing.assert_array_equal(first.visit_counts, second.visit_counts)
    assert not np.array_equal(first.visit_counts, other.visit_counts)  # values are exact: the search solves it


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: plan("CartPole-v1"), MissingLawError, "no law to plan with"),
        (lambda: plan("Tiger"), PartialObservationError, "full_information=True"),
        (lambda: plan("RockPaperScissors"), UsageError, "act at once"),
        (lambda: plan(Walk(), Walk.State(6)), UsageError, "terminal"),
        (lambda: plan(Walk(), "3"), UsageError, r"Walk.State\(x\)"),
        (lambda: plan(Walk(), 8), UsageError, "not one Walk can give"),
        (lambda: plan(Walk(), (3,)), UsageError, r"Walk.State\(x\)"),
        (lambda: plan(Walk(), []), UsageError, "0 of them"),
        (lambda: plan(Walk(), planner="mctss"), UsageError, "no planner 'mctss'"),
        (lambda: plan(Walk(), planner=3), UsageError, "as a planner"),
        (lambda: plan(Walk(), planner=dict), UsageError, "the class dict as a planner"),
        (lambda: plan(Walk(), simulations=3), UnknownSettingError, "num_simulations"),
        (lambda: plan(Walk(), planner=UCT(), num_simulations=3), UsageError, "made already"),
        (lambda: plan(Walk(), planner=UCT(), gamma=0.5), UsageError, "made already"),
        (lambda: plan(Walk(), num_simulations=0), UsageError, "num_simulations = 0"),
        (lambda: plan(Walk(), seed=-1), UsageError, "seed -1"),
        (lambda: plan(TabularModel.from_world(Walk()), 99), UsageError, "state 99"),
    ],
)
def test_what_plan_cannot_do_is_named(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_a_plan_with_full_information() -> None:
    assert isinstance(plan("Tiger", full_information=True, num_simulations=50), Plan)


def test_a_state_in_hand_is_a_batch_of_one_for_the_law() -> None:
    world, state = Walk(), Walk.State(2)
    rng = np.random.default_rng(0)
    following, reward, ended = world.step(cast(Any, state), cast(Any, 1), rng)
    assert (world.unpack(following), reward.tolist(), ended.tolist()) == (Walk.State(3), [-0.1], [False])
    assert world.observe(cast(Any, state)).tolist() == [2]
    assert world.legal_actions(cast(Any, state)).tolist() == [[True, True]]
    assert world.terminal_of(cast(Any, [state, Walk.State(6)])).tolist() == [False, True]
    assert world.reward_of(cast(Any, state), cast(Any, 1), cast(Any, Walk.State(6))).tolist() == [1.0]
    assert world.describe_state(cast(Any, state)) == "x 2"
    model = KnownModel(world)
    assert model.step(cast(Any, state), 1, rng).reward.tolist() == [-0.1]
    assert model.outcomes(cast(Any, state), cast(Any, 1))[0].tolist() == [[1.0]]
    assert len(model.init(4)) == 1
    with pytest.raises(UsageError, match=r"a Walk.State\(x\)"):
        world.observe(cast(Any, inscape.make_world("CartPole").State(0.0, 0.0, 0.0, 0.0)))


# ---------------------------------------------------------------------------------------------------- observe


def test_observe_tells_where_an_agent_goes() -> None:
    found = observe(Rightward(), Walk())
    assert found.goal == "right end"
    assert found.probabilities.shape == (4, 6)
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1)
    assert [len(values) for values in found.goals.values()] == [4, 4]
    assert found[0].actions == ("right",) * 3
    assert found.bits.shape == (3,)
    leftward = observe(lambda o: 0, Walk())
    assert leftward.goal == "left end"


def test_observe_takes_minds_goals_episodes_and_runs(tmp_path: Path) -> None:
    minds = [PlanningMind("left end", 5.0, "hard"), PlanningMind("right end", 5.0, "hard")]
    found = observe(Rightward(), Walk, minds=minds)
    assert found.probabilities.shape == (4, 2)
    assert found.most_probable is minds[1]
    assert observe(Rightward(), Walk(), goals=["right end"], betas=2.0).probabilities.shape == (4, 1)
    assert observe("random", Walk(), episodes=3)[2].probabilities.ndim == 2
    recorded = inscape.rollout(Rightward(), Walk(), 2, seed=0)
    assert len(observe(recorded, Walk())) == 1
    assert len(observe(recorded, Walk(), episodes=2)) == 2
    assert observe(recorded[0], Walk()).goal == "right end"
    run = train("q-learning", Walk(), 2000, verbose=False, evaluate_every=0)
    assert len(observe(run, Walk(), episodes=2)) == 2
    assert observe(Rightward(), Walk(), prior=[0.9, 0.1]).probabilities[0].sum() == pytest.approx(1)
    observed = observe(Rightward(), Walk(), prior=[0.9, 0.1])
    assert observed.goals["left end"][0] == pytest.approx(0.9)


S = Walk.State


@pytest.mark.parametrize(
    "steps",
    [
        [(S(3), "right"), (S(4), "right"), (S(5), "right")],
        [(S(3), 1), (S(4), 1), (S(5), 1), S(6)],
        [((3,), 1), ((4,), 1), ((5,), 1), ((6,), None)],
        [[S(3), np.int64(1)], [S(4), 1], [S(5), 1], (S(6),)],
        [(S(3), 1, S(4)), (S(4), 1, S(5)), (S(5), 1, S(6))],
        ((S(3), 1, S(4)), (S(4), 1), (S(5), "right")),
    ],
)
def test_observe_takes_steps_that_were_seen(steps: Any) -> None:
    """What is believed is what the recorded episode says, of states and actions however they are given."""
    whole, found = observe(Rightward(), Walk()), observe(steps, Walk())
    assert found.goal == "right end" and found[0].actions == ("right",) * 3
    np.testing.assert_array_equal(found.probabilities, whole.probabilities)
    np.testing.assert_array_equal(found.bits, whole.bits)
    assert found[0].trajectory.rewards.tolist() == whole[0].trajectory.rewards.tolist()
    assert "what was seen in" in repr(found) and found[0].trajectory.terminated


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([(S(3), "up")], "action 'up'"),
        ([(S(3), 1), (S(3), 1)], "step 0"),
        ([(S(3), 1, S(4)), (S(5), 1)], "step 1 begins in state"),
        ([(S(3), 1), S(4), (S(4), 1)], "step 1 is State"),
        ([(S(3), 1), (S(4), 1, S(5), 1)], "step 1 is"),
        ([(S(3), None)], "no action"),
        ([(S(3), None), (S(4), 1)], "action None"),
        ([(99, 1)], "state number 99"),
        ([((3, 4), 1)], "2 fields"),
    ],
)
def test_steps_that_cannot_be_are_named(steps: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        observe(steps, Walk())


def test_steps_need_the_world_they_were_taken_in() -> None:
    with pytest.raises(UsageError, match="steps without a world"):
        observe([(S(3), 1)])
    with pytest.raises(UsageError, match="2 players"):
        observe([(S(3), 1)], "TicTacToe")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: observe("random", "CartPole-v1"), "no law to observe with"),
        (lambda: observe("random", "TicTacToe"), "2 players"),
        (lambda: observe("random", "CartPole"), "names no goals"),
        (lambda: observe("random"), "no world for random"),
        (lambda: observe("random", Walk(), episodes=0), "episodes = 0"),
        (lambda: observe("random", Walk(), prior=[1.0]), "1 prior probabilities for 2 goals"),
        (lambda: observe("random", Walk(), goals=["up"]), "up"),
        (lambda: observe("random", Walk(), minds=[3]), "3"),
        (lambda: observe([1, 1, 0], Walk()), "a list of int to observe"),
        (lambda: observe([], Walk()), "a list of nothing"),
        (
            lambda: observe("random", Walk(), minds=[PlanningMind("left end", 1.0, "hard")], goals=["left end"]),
            "minds and goals",
        ),
    ],
)
def test_what_observe_cannot_do_is_named(call: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        call()


# ---------------------------------------------------------------------------------------------------- commands


def test_the_commands_print_what_the_verbs_return(capsys: pytest.CaptureFixture[str]) -> None:
    spec = f"{Path(__file__)}:Walk"
    assert main(["evaluate", "random", spec, "--episodes", "20"]) == 0
    assert f"mean return {evaluate('random', spec, 20).mean:.4g}" in capsys.readouterr().out
    assert main(["plan", spec, "--simulations", "200", "--seed", "4"]) == 0
    found = plan(spec, num_simulations=200, seed=4)
    printed = capsys.readouterr().out
    assert f"Best action: {found.action_name}, value {found.value:.6f}" in printed
    assert main(["observe", "value-iteration", spec, "--beta", "5"]) == 0
    posterior = observe("value-iteration", spec, betas=5.0)[0]
    assert f"log evidence {posterior.log_evidence:.3f} nats" in capsys.readouterr().out


def test_results_survive_pickle() -> None:
    for result in (
        evaluate("random", Walk(), 3),
        evaluate("random", "TicTacToe", 3),
        plan(Walk(), num_simulations=20),
        train("q-learning", "FrozenLake", 200, verbose=False, evaluate_every=0),
    ):
        assert repr(pickle.loads(pickle.dumps(result))) == repr(result)
