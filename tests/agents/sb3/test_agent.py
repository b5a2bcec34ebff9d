from __future__ import annotations

from collections.abc import Callable, Iterator

import gymnasium
import numpy as np
import pytest
import torch
from sb3_contrib.common.maskable.evaluation import evaluate_policy as masked_evaluate_policy
from sb3_contrib.common.wrappers import ActionMasker
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor

from inscape.agents.catalogue import SB3_ALGORITHMS
from inscape.agents.registry import make_agent
from inscape.agents.rollout import evaluate, rollout
from inscape.agents.sb3.agent import as_sb3_policy, load_zip
from inscape.agents.sb3.env import LawVecEnv, gymnasium_copies
from inscape.envs.tasks.resolve import resolve_task
from inscape.envs.tasks.task import Task
from inscape.errors import UsageError
from inscape.experiments.checks.worlds import check_environment
from tests.agents.exactness import assert_resuming_is_exact, assert_same_weights

SMALL_PPO = {"num_envs": 4, "num_steps": 16, "batch_size": 32, "epochs": 2, "hidden": (16,)}
SMALL_DQN = {
    "num_envs": 2, "buffer_size": 500, "learning_starts": 20, "batch_size": 16, "hidden": (16,), "train_freq": 2,
    "gradient_steps": 1, "report_every": 40,
}  # fmt: skip
SMALL_SAC = {"buffer_size": 500, "learning_starts": 20, "batch_size": 16, "hidden": (16,), "report_every": 40}


# ------------------------------------------------------------------------------------------- the environment


@pytest.mark.parametrize("name", ["FrozenLake", "CartPole"])
def test_the_adapter_gives_the_transitions_of_our_environment(name):
    task, rng = resolve_task(name), np.random.default_rng(0)
    theirs, ours = LawVecEnv(task, 6, seed=3), task.vector_env(6, autoreset="same-step")
    assert np.array_equal(theirs.reset(), ours.reset(seed=3)[0])
    returns = np.zeros(6)
    ended = 0
    for _ in range(600):
        actions = rng.integers(0, task.action_space.n, 6)
        observation, reward, done, infos = theirs.step(actions)
        expected, gains, terminated, truncated, info = ours.step(actions)
        returns += gains
        assert np.array_equal(observation, expected)
        assert np.array_equal(reward, gains)
        assert np.array_equal(done, terminated | truncated)
        for i in range(6):
            assert bool(infos[i]) == done[i]
            if done[i]:
                ended += 1
                assert np.array_equal(infos[i]["terminal_observation"], info["final_obs"][i])
                assert infos[i]["TimeLimit.truncated"] == (truncated[i] and not terminated[i])
                assert infos[i]["episode"]["r"] == returns[i]
                returns[i] = 0.0
    assert ended > 20


def test_time_limits_are_reported_as_such(forever):
    env = LawVecEnv(forever, 2, seed=0)
    env.reset()
    for _ in range(10):
        _, _, done, infos = env.step(np.zeros(2, np.int64))
    assert done.all()
    assert infos[0]["TimeLimit.truncated"]
    assert infos[0]["episode"]["l"] == 10


def test_a_last_observation_that_is_no_number_is_named(monkeypatch):
    env = LawVecEnv(resolve_task("CartPole"), 2, seed=0)
    env.reset()
    observation, reward, _, truncated, info = env.venv.step(np.zeros(2, np.int64))
    ended = (observation, reward, np.array([False, True]), truncated, {**info, "final_obs": observation * np.nan})
    monkeypatch.setattr(env.venv, "step", lambda actions: ended)
    with pytest.raises(UsageError, match="the last observation of copy 1 at step 0 in CartPole is .*nan"):
        env.step(np.zeros(2, np.int64))


# ------------------------------------------------------------------------------------------- learning


@pytest.mark.slow
def test_time_limits_are_bootstrapped(forever):
    """As for our own PPO: V = 1/(1 − γ) = 10."""
    agent = make_agent("sb3:ppo", forever, settings={
        "num_envs": 16, "num_steps": 16, "batch_size": 128, "epochs": 8, "gamma": 0.9, "learning_rate": 2e-2,
        "anneal": "linear", "hidden": (8,),
    })  # fmt: skip
    list(agent.learn(forever, 256 * 36))
    with torch.no_grad():
        values = agent.model.policy.predict_values(agent.model.policy.obs_to_tensor(np.array([[0], [1]]))[0])
    assert np.allclose(values, 10.0, atol=0.5)


@pytest.mark.slow
def test_masked_ppo_solves_a_toy_with_illegal_actions(corridor):
    agent = make_agent("sb3:maskable-ppo", corridor, settings={
        "num_envs": 16, "num_steps": 16, "batch_size": 128, "epochs": 4, "learning_rate": 1e-2, "hidden": (16,),
    })  # fmt: skip
    rows = list(agent.learn(corridor, 256 * 25))
    assert rows[-1]["steps"] == 256 * 25
    assert evaluate(agent, corridor, 5, seed=0).lengths.tolist() == [3] * 5
    with pytest.raises(UsageError, match="sb3:maskable-ppo"):
        make_agent("sb3:ppo", corridor)


RECURRENT = {
    "num_envs": 16, "num_steps": 32, "batch_size": 256, "epochs": 6, "learning_rate": 1e-2, "hidden": (16,),
    "lstm_hidden_size": 16, "entropy_coef": 0.01, "anneal": "linear",
}  # fmt: skip


@pytest.mark.slow
def test_recurrent_ppo_remembers_the_sign():
    """A corridor of two steps: 4 for who remembers the sign at its start, 1.95 at best for anybody else."""
    task = resolve_task("TMaze", {"length": 2})
    agent = make_agent("sb3:recurrent-ppo", task, settings=RECURRENT)
    list(agent.learn(task, 512 * 14))
    ours = evaluate(agent, task, 40, seed=3)
    assert ours.mean > 3.5
    # theirs, handing the memory on in their own way
    found = evaluate_policy(as_sb3_policy(agent, task), LawVecEnv(task, 40, seed=3), 40, return_episode_rewards=True)
    assert sorted(found[0]) == sorted(ours.returns)
    # without what it remembers, the junction looks alike
    junction = np.full(8, 3)
    assert len(set(agent.act(junction))) == 1
    assert np.allclose(np.exp(agent.action_log_probs(junction)).sum(axis=1), 1.0)
    with pytest.raises(UsageError, match="lstm_hidden_size"):
        make_agent("sb3:ppo", task, settings={"lstm_hidden_size": 8})


def test_its_memory_is_the_state_their_policy_hands_on():
    task = resolve_task("TMaze")
    agent = make_agent("sb3:recurrent-ppo", task, settings={"num_envs": 2, "lstm_hidden_size": 8, "hidden": (8,)})
    rng, memory, state = np.random.default_rng(0), agent.initial_memory(6), None
    for _ in range(5):
        seen = rng.integers(0, 5, 6)
        actions, memory = agent.act_with_memory(seen, memory, np.zeros(6))
        expected, state = agent.model.predict(seen, state, np.zeros(6, bool), deterministic=True)
        assert np.array_equal(actions, expected)
        assert np.array_equal(memory.transpose(1, 2, 0, 3), np.stack(state))
    # rows do not influence each other
    alone = agent.act_with_memory(seen[2:3], memory[2:3], np.zeros(1))[1]
    assert np.allclose(alone, agent.act_with_memory(seen, memory, np.zeros(6))[1][2:3], atol=1e-6)


@pytest.mark.quick("ppo-FrozenLake-settings0", "dqn-FrozenLake-settings3")
@pytest.mark.parametrize(
    ("algorithm", "task_name", "settings"),
    [
        ("ppo", "FrozenLake", SMALL_PPO),
        ("a2c", "FrozenLake", {"num_envs": 4, "hidden": (16,)}),
        ("trpo", "FrozenLake", {"num_envs": 4, "num_steps": 16, "batch_size": 64, "hidden": (16,)}),
        ("dqn", "FrozenLake", SMALL_DQN),
        ("qrdqn", "CartPole", {**SMALL_DQN, "train_freq": 8}),
        ("ars", "CartPole", {"num_envs": 2}),
        ("sac", "Pendulum-v1", SMALL_SAC),
        ("td3", "Pendulum-v1", SMALL_SAC),
    ],
)
def test_algorithms_learn_act_and_come_back(algorithm, task_name, settings):
    task = resolve_task(task_name)
    agent, other = (make_agent(f"sb3:{algorithm}", task, seed=seed, settings=settings) for seed in (0, 1))
    rows = list(agent.learn(task, 100))
    assert rows[-1]["steps"] >= 100
    assert all(isinstance(value, float) for row in rows for value in row.values())
    observation = np.stack([task.observation_space.sample() for _ in range(5)])
    other.load_state_dict(agent.state_dict())
    assert_same_weights(other, agent)
    assert np.allclose(other.act(observation), agent.act(observation))
    if algorithm in ("sac", "td3"):
        assert (np.abs(agent.act(observation)) <= 2).all()
    else:
        assert np.isclose(np.exp(agent.action_log_probs(observation)).sum(axis=1), 1.0).all()


def test_drawing_follows_the_log_probabilities_and_masks():
    task = resolve_task("FrozenLake")
    seen = np.zeros(3000, np.int64)
    for algorithm, settings in (("ppo", SMALL_PPO), ("dqn", SMALL_DQN)):
        agent = make_agent(f"sb3:{algorithm}", task, settings={**settings, "greedy": False})
        list(agent.learn(task, 64))
        frequency = np.bincount(agent.act(seen), minlength=4) / len(seen)
        assert np.abs(frequency - np.exp(agent.action_log_probs(seen[:1])[0])).max() < 0.05
        mask = np.array([[False, True, True, False]])
        masked = np.exp(agent.action_log_probs(seen[:1], mask))
        assert np.isclose(masked[0, 1:3].sum(), 1.0)


# ------------------------------------------------------------------------------------------- ordinary environments

DICT = gymnasium.spaces.Dict(
    {"place": gymnasium.spaces.Discrete(4, start=3), "speed": gymnasium.spaces.Box(-1, 1, (2,))}
)


class Ordinary(gymnasium.Env):
    """Four steps of reward 1, in the spaces given; something is not a number at the third, or in the last observation.

    With `masks`, only the action that counts the steps is legal, which is told by `"method"` or in the `"info"`.
    """

    def __init__(self, observed=None, taken=None, broken="", masks=""):
        self.observation_space = observed or gymnasium.spaces.Box(-1, 1, (2,))
        self.action_space = taken or gymnasium.spaces.Discrete(4, start=2)
        self.broken, self.masks = broken, masks
        if masks == "method":
            self.action_masks = lambda: np.arange(4) == self.t

    def seen(self):
        if isinstance(self.observation_space, gymnasium.spaces.Dict):
            return {"place": np.int64(3 + self.t % 4), "speed": np.zeros(2, np.float32)}
        if isinstance(self.observation_space, gymnasium.spaces.Box):
            return np.zeros(2, np.float32)
        return self.observation_space.start + self.t % 3

    def info(self):
        return {"action_mask": (np.arange(4) == self.t).astype(np.int8)} if self.masks == "info" else {}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self.seen(), self.info()

    def step(self, action):
        assert self.action_space.contains(action), action
        assert not self.masks or action == 2 + self.t, "illegal"
        self.t += 1
        seen, reward = self.seen(), 1.0
        if self.broken == "reward" and self.t == 3:
            reward = np.inf
        if (self.broken, self.t) in (("observation", 3), ("last observation", 4)):
            seen[1] = np.nan
        return seen, reward, self.t == 4, False, self.info()


@pytest.fixture
def ordinary() -> Iterator[Callable[..., Task]]:
    gymnasium.register("Ordinary-v0", Ordinary)
    yield lambda **settings: resolve_task("Ordinary-v0", settings)
    del gymnasium.registry["Ordinary-v0"]


@pytest.mark.parametrize(("broken", "step"), [("reward", 2), ("observation", 2), ("last observation", 3)])
@pytest.mark.parametrize(("algorithm", "settings"), [("ppo", SMALL_PPO), ("dqn", SMALL_DQN)])
def test_numbers_that_are_none_stop_it_where_they_arise(ordinary, algorithm, settings, broken, step):
    task = ordinary(broken=broken)
    agent = make_agent(f"sb3:{algorithm}", task, settings=settings)
    what = broken.removeprefix("last ")
    with pytest.raises(UsageError, match=rf"the {what} of Ordinary-v0 is .*(inf|nan).* in copy 0 at step {step} "):
        list(agent.learn(task, 100))


@pytest.mark.parametrize(
    ("algorithm", "settings", "spaces"),
    [
        ("ppo", SMALL_PPO, {"observed": gymnasium.spaces.Discrete(3, start=5)}),
        ("dqn", SMALL_DQN, {"observed": gymnasium.spaces.Discrete(3, start=5)}),
        ("recurrent-ppo", {**SMALL_PPO, "lstm_hidden_size": 8}, {"observed": DICT}),
        ("ppo", SMALL_PPO, {"taken": gymnasium.spaces.MultiDiscrete([2, 3], start=[1, -1])}),
        ("ppo", SMALL_PPO, {"observed": gymnasium.spaces.MultiDiscrete([3, 3], start=[4, 7])}),
        ("ppo", SMALL_PPO, {"taken": gymnasium.spaces.MultiBinary(2)}),
        ("dqn", SMALL_DQN, {"observed": DICT}),
    ],
)
def test_spaces_of_any_kind_and_start(ordinary, algorithm, settings, spaces):
    task = ordinary(**spaces)
    agent = make_agent(f"sb3:{algorithm}", task, settings=settings)
    list(agent.learn(task, 64))
    assert evaluate(agent, task, 3, seed=0).returns.tolist() == [4.0] * 3
    (episode,) = rollout(agent, task, 1, seed=0)
    assert all(task.action_space.contains(action) for action in episode.actions)
    assert len(episode.observations) == 5
    if spaces.get("observed") is DICT:
        assert episode.observations[:, :4].tolist() == np.eye(4)[[0, 1, 2, 3, 0]].tolist()
        assert evaluate(make_agent("random", task), task, 3, seed=0).returns.tolist() == [4.0] * 3


def test_dict_observations_are_checked_like_others(ordinary):
    assert not check_environment(ordinary(observed=DICT)).failures


@pytest.mark.parametrize("masks", ["info", "method"])
def test_masked_ppo_is_told_what_an_ordinary_environment_says(ordinary, masks):
    """It asserts that nothing illegal is done, while learning and afterwards."""
    task = ordinary(masks=masks)
    agent = make_agent("sb3:maskable-ppo", task, settings=SMALL_PPO)
    list(agent.learn(task, 128))
    assert rollout(agent, task, 1, seed=0)[0].actions.tolist() == [2, 3, 4, 5]


def test_what_they_cannot_observe_is_refused(ordinary):
    pair = gymnasium.spaces.Tuple([gymnasium.spaces.Discrete(2)] * 2)
    with pytest.raises(UsageError, match=r"Ordinary-v0 observes Tuple.*, which sb3:ppo does not take"):
        make_agent("sb3:ppo", ordinary(observed=pair))


# ------------------------------------------------------------------------------------------- resuming


@pytest.mark.quick("ppo-settings0")
@pytest.mark.parametrize(
    ("algorithm", "settings"),
    [("ppo", SMALL_PPO), ("dqn", SMALL_DQN), ("recurrent-ppo", {**SMALL_PPO, "lstm_hidden_size": 8})],
)
def test_resuming_is_exact(algorithm, settings, tmp_path):
    assert_resuming_is_exact(f"sb3:{algorithm}", resolve_task("CartPole"), settings, 320, stop=2, folder=tmp_path)


def test_drawing_actions_in_between_changes_nothing():
    task = resolve_task("Pendulum-v1")
    looked_at, left_alone = (
        make_agent("sb3:ppo", task, seed=4, settings={**SMALL_PPO, "greedy": False}) for _ in range(2)
    )
    learning = looked_at.learn(task, 192)
    next(learning)
    seen = np.zeros((3, 3), np.float32)
    drawn = [looked_at.act(seen) for _ in range(2)]
    assert not np.array_equal(*drawn)
    list(learning)
    list(left_alone.learn(task, 192))
    assert_same_weights(looked_at, left_alone)
    resumed = make_agent("sb3:ppo", task, seed=9, settings={**SMALL_PPO, "greedy": False})
    resumed.load_state_dict(looked_at.state_dict())
    assert np.array_equal(resumed.act(seen), looked_at.act(seen))  # its chance is saved, too


def test_it_leaves_the_process_wide_generators_alone():
    task = resolve_task("CartPole")
    torch.manual_seed(1)
    np.random.seed(1)
    expected = torch.rand(2), np.random.rand(2)
    torch.manual_seed(1)
    np.random.seed(1)
    agent = make_agent("sb3:ppo", task, settings=SMALL_PPO)
    list(agent.learn(task, 64))
    assert torch.equal(torch.rand(2), expected[0])
    assert np.array_equal(np.random.rand(2), expected[1])


# ------------------------------------------------------------------------------------------- the other way round


def trained_ppo(task, steps=512, **settings):
    agent = make_agent("ppo", task, seed=2, settings={
        "num_envs": 8, "num_steps": 32, "epochs": 4, "minibatches": 2, "hidden": (16,), "learning_rate": 1e-2,
        **settings,
    })  # fmt: skip
    list(agent.learn(task, steps))
    return agent


@pytest.mark.parametrize("name", ["FrozenLake", "CartPole"])
def test_their_evaluation_of_our_agent_is_ours(name):
    """In our environment behind theirs: the same episodes, so the same returns and lengths. (One of each copy: the
    chance of a second one depends on whether a reset is a step of its own, which it is in ours and not in theirs.)"""
    task = resolve_task(name)
    agent = trained_ppo(task)
    ours = evaluate(agent, task, 12, seed=7)
    policy, theirs = as_sb3_policy(agent, task), LawVecEnv(task, 12, seed=7)
    returns, lengths = evaluate_policy(policy, theirs, 12, return_episode_rewards=True)
    assert sorted(zip(returns, lengths)) == sorted(zip(ours.returns, ours.lengths))
    assert ours.lengths.std() > 0
    mean, _ = evaluate_policy(policy, theirs, 12)
    assert np.isclose(mean, ours.mean)


def test_their_evaluation_in_gymnasium_is_ours():
    """An ordinary environment: one by itself, several behind their `DummyVecEnv`, from the same seeds."""
    task = resolve_task("CartPole-v1")
    agent = trained_ppo(resolve_task("CartPole"))
    policy = as_sb3_policy(agent, task)
    for copies, episodes in ((1, 3), (4, 4)):
        env = gymnasium_copies(task, copies, seed=11)
        found = evaluate_policy(policy, env, episodes, return_episode_rewards=True)
        ours = evaluate(agent, task, episodes, seed=11, max_copies=copies)
        assert sorted(found[0]) == sorted(ours.returns)
        assert sorted(found[1]) == sorted(ours.lengths)
    mean, _ = evaluate_policy(policy, Monitor(task.env()), 2)
    assert mean > 5


def test_neighbouring_seeds_share_no_copy_of_an_ordinary_environment():
    """Stable-Baselines3 gives copy i the seed + i, so that ten seeds of eight copies would be seventeen lives."""
    task, starts = resolve_task("CartPole-v1"), set()
    for seed in range(4):
        agent = make_agent("sb3:ppo", task, seed=seed, settings={"num_envs": 3, "num_steps": 8, "batch_size": 8})
        next(agent.learn(task, 24))
        starts |= {env.unwrapped.np_random_seed for env in agent._env.envs}
    assert len(starts) == 12


@pytest.mark.slow
def test_their_masked_evaluation_of_our_agent(corridor):
    agent = trained_ppo(corridor, 256 * 12)
    ours = evaluate(agent, corridor, 6, seed=0, max_copies=3)
    policy, theirs = as_sb3_policy(agent, corridor), LawVecEnv(corridor, 3, seed=0)
    returns, lengths = masked_evaluate_policy(policy, theirs, 6, return_episode_rewards=True)
    assert sorted(zip(returns, lengths)) == sorted(zip(ours.returns, ours.lengths))
    # a policy that would rather do what is illegal in even places
    left = as_sb3_policy(Left(), corridor)
    _, lengths = masked_evaluate_policy(left, LawVecEnv(corridor, 1, seed=0), 1, return_episode_rewards=True)
    assert lengths == [30]
    one = ActionMasker(Monitor(corridor.env()), lambda env: env.unwrapped.world.legal_actions(env.unwrapped.states)[0])
    _, lengths = masked_evaluate_policy(left, one, 1, return_episode_rewards=True)
    assert lengths == [30]


class Patient:
    """Waits for two steps and then goes right: it has to remember how long it has waited."""

    name = "patient"

    def initial_memory(self, count):
        return np.zeros(count, np.int64)

    def act_with_memory(self, observation, memory):
        return np.where(memory < 2, 2, 1), memory + 1

    def act(self, observation):
        return np.full(len(observation), 2)


def test_memory_lasts_an_episode_in_their_evaluations(corridor):
    """Also in the masked one, which does not hand on the state it is given."""
    policy = as_sb3_policy(Patient(), corridor)
    ours = evaluate(Patient(), corridor, 6, seed=0, max_copies=2)
    assert ours.lengths.tolist() == [5] * 6
    for their_evaluation in (evaluate_policy, masked_evaluate_policy):
        found = their_evaluation(policy, LawVecEnv(corridor, 2, seed=0), 6, return_episode_rewards=True)
        assert found[1] == [5] * 6


class Left:
    """Goes left where it may."""

    name = "left"

    def act(self, observation, action_mask=None):
        return action_mask.argmax(axis=1)


def test_deterministic_takes_the_most_probable_action_and_one_observation_gets_one_action():
    task = resolve_task("FrozenLake")
    agent = trained_ppo(task, greedy=False)
    policy, seen = as_sb3_policy(agent, task), np.arange(16)
    best, state = policy.predict(seen, "what was given", deterministic=True)
    assert np.array_equal(best, agent.policy_log_probs(seen).argmax(axis=1))
    assert state == "what was given"
    drawn = np.stack([policy.predict(seen)[0] for _ in range(30)])
    assert (drawn != best).any()
    mask = np.array([False, False, False, True])
    assert policy.predict(np.int64(3), deterministic=True, action_masks=mask)[0] == 3
    assert policy.predict(np.int64(3), deterministic=True)[0] == best[3]
    pendulum = resolve_task("Pendulum-v1")
    continuous = as_sb3_policy(make_agent("ppo", pendulum, settings={"greedy": False}), pendulum)
    assert continuous.predict(np.zeros((2, 3), np.float32), deterministic=True)[0].shape == (2, 1)
    with pytest.raises(UsageError, match="2 players"):
        as_sb3_policy(agent, resolve_task("ConnectFour"))
    with pytest.raises(UsageError, match="no method act"):
        as_sb3_policy(object(), task)


# ------------------------------------------------------------------------------------------- refusals


def test_a_zip_is_loaded_only_with_trust(tmp_path):
    task = resolve_task("CartPole")
    agent = make_agent("sb3:ppo", task, settings=SMALL_PPO)
    path = tmp_path / "model.zip"
    agent.model.save(path)
    with pytest.raises(UsageError, match="--trust"):
        load_zip(path, "ppo", trust=False)
    with pytest.raises(UsageError, match="--trust"):
        make_agent("sb3:ppo", task, settings={"load": str(path)})
    loaded = make_agent("sb3:ppo", task, seed=9, settings={**SMALL_PPO, "load": str(path), "trust": True})
    assert_same_weights(loaded, agent)
    assert [row["steps"] for row in loaded.learn(task, 64)] == [64]
    with pytest.raises(UsageError, match="observation_space"):
        make_agent("sb3:ppo", resolve_task("FrozenLake"), settings={"load": str(path), "trust": True})
    with pytest.raises(UsageError, match="could not be loaded as a model of dqn"):
        load_zip(path, "dqn", trust=True)
    path.write_bytes(b"no zip")
    with pytest.raises(UsageError, match="could not be loaded"):
        load_zip(path, "ppo", trust=True)
    with pytest.raises(UsageError, match="no file"):
        load_zip(tmp_path / "absent.zip", "ppo", trust=True)


def test_what_does_not_fit_is_refused():
    lake, pendulum = resolve_task("FrozenLake"), resolve_task("Pendulum-v1")
    with pytest.raises(UsageError, match="sb3:sac refuses FrozenLake"):
        make_agent("sb3:sac", lake)
    with pytest.raises(UsageError, match="sb3:dqn refuses Pendulum"):
        make_agent("sb3:dqn", pendulum)
    with pytest.raises(UsageError, match="sb3:dqn has no setting 'epochs'"):
        make_agent("sb3:dqn", lake, settings={"epochs": 3})
    with pytest.raises(UsageError, match="num_envs = 0"):
        make_agent("sb3:ppo", lake, settings={"num_envs": 0})
    wide, narrow = (make_agent("sb3:ppo", lake, settings={**SMALL_PPO, "hidden": (w,)}) for w in (8, 16))
    with pytest.raises(UsageError, match="do not fit"):
        narrow.load_state_dict(wide.state_dict())
    assert {"ppo", "dqn", "sac", "a2c"} <= set(SB3_ALGORITHMS)


@pytest.mark.parametrize("value_coef", [0.0, 0.5])
def test_value_coef_weighs_the_value_loss(value_coef):
    """Without any weight the value network, which shares nothing with the policy's, stays as it was."""
    task = resolve_task("CartPole")
    agent = make_agent("sb3:ppo", task, settings={**SMALL_PPO, "anneal": "constant", "value_coef": value_coef})
    before = {name: p.detach().clone() for name, p in agent.model.policy.named_parameters()}
    list(agent.learn(task, 64))
    changed = {name for name, p in agent.model.policy.named_parameters() if not torch.equal(p, before[name])}
    of_value = {name for name in before if "value" in name}
    assert of_value & changed == (of_value if value_coef else set())
    assert changed - of_value == set(before) - of_value


def test_every_setting_reaches_the_algorithm_under_its_own_name():
    settings = {
        **SMALL_PPO, "entropy_coef": 0.03, "value_coef": 0.4, "clip": 0.1, "max_grad_norm": 0.3, "gae_lambda": 0.8,
        "gamma": 0.9,
    }  # fmt: skip
    model = make_agent("sb3:ppo", resolve_task("CartPole"), settings=settings).model
    assert (model.n_envs, model.n_steps, model.n_epochs, model.batch_size) == (4, 16, 2, 32)
    assert (model.ent_coef, model.vf_coef, model.clip_range(1.0), model.max_grad_norm) == (0.03, 0.4, 0.1, 0.3)
    assert (model.gae_lambda, model.gamma, model.policy_kwargs["net_arch"]) == (0.8, 0.9, [16])
    dqn = {**SMALL_DQN, "epsilon_fraction": 0.3, "epsilon_end": 0.02}
    model = make_agent("sb3:dqn", resolve_task("CartPole"), settings=dqn).model
    assert (model.exploration_fraction, model.exploration_final_eps) == (0.3, 0.02)
