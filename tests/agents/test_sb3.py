from __future__ import annotations

import numpy as np
import pytest
import torch

from inscape.agents.plugins import SB3_ALGORITHMS, make_agent
from inscape.agents.rollout import evaluate
from inscape.agents.sb3 import load_zip
from inscape.agents.sb3_env import LawVecEnv
from inscape.envs.registry import resolve_task
from inscape.errors import UsageError
from inscape.experiments.checkpoints import load_checkpoint, save_checkpoint

SMALL_PPO = {"n_envs": 4, "n_steps": 16, "batch_size": 32, "n_epochs": 2, "net_arch": (16,)}
SMALL_DQN = {
    "n_envs": 2, "buffer_size": 500, "learning_starts": 20, "batch_size": 16, "net_arch": (16,), "train_freq": 2,
    "gradient_steps": 1, "steps_per_report": 40,
}  # fmt: skip
SMALL_SAC = {"buffer_size": 500, "learning_starts": 20, "batch_size": 16, "net_arch": (16,), "steps_per_report": 40}


def weights(agent):
    return {name: tensor.numpy().copy() for name, tensor in agent.model.policy.state_dict().items()}


def assert_same_weights(one, other):
    first, second = weights(one), weights(other)
    for name, array in first.items():
        assert np.array_equal(array, second[name]), name


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


# ------------------------------------------------------------------------------------------- learning


def test_time_limits_are_bootstrapped(forever):
    """As for our own PPO: V = 1/(1 − γ) = 10."""
    agent = make_agent("sb3:ppo", forever, settings={
        "n_envs": 16, "n_steps": 16, "batch_size": 128, "n_epochs": 8, "gamma": 0.9, "learning_rate": 2e-2,
        "schedule": "linear", "net_arch": (8,),
    })  # fmt: skip
    list(agent.learn(forever, 256 * 60))
    with torch.no_grad():
        values = agent.model.policy.predict_values(agent.model.policy.obs_to_tensor(np.array([[0], [1]]))[0])
    assert np.allclose(values, 10.0, atol=0.5)


def test_masked_ppo_solves_a_toy_with_illegal_actions(corridor):
    agent = make_agent("sb3:maskable-ppo", corridor, settings={
        "n_envs": 16, "n_steps": 16, "batch_size": 128, "n_epochs": 4, "learning_rate": 1e-2, "net_arch": (16,),
    })  # fmt: skip
    rows = list(agent.learn(corridor, 256 * 25))
    assert rows[-1]["steps"] == 256 * 25
    assert evaluate(agent, corridor, 5, seed=0).lengths.tolist() == [3] * 5
    with pytest.raises(UsageError, match="sb3:maskable-ppo"):
        make_agent("sb3:ppo", corridor)


@pytest.mark.parametrize(
    ("algorithm", "task_name", "settings"),
    [
        ("ppo", "FrozenLake", SMALL_PPO),
        ("a2c", "FrozenLake", {"n_envs": 4, "net_arch": (16,)}),
        ("trpo", "FrozenLake", {"n_envs": 4, "n_steps": 16, "batch_size": 64, "net_arch": (16,)}),
        ("dqn", "FrozenLake", SMALL_DQN),
        ("qrdqn", "CartPole", {**SMALL_DQN, "train_freq": 8}),
        ("ars", "CartPole", {"n_envs": 2}),
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


# ------------------------------------------------------------------------------------------- resuming


@pytest.mark.parametrize(("algorithm", "settings"), [("ppo", SMALL_PPO), ("dqn", SMALL_DQN)])
def test_resuming_is_exact(algorithm, settings, tmp_path):
    task = resolve_task("CartPole")
    whole, half, resumed = (make_agent(f"sb3:{algorithm}", task, seed=3, settings=settings) for _ in range(3))
    list(whole.learn(task, 320))
    learning = half.learn(task, 320)
    for _ in range(2):
        next(learning)
    evaluate(half, task, 2, seed=0)  # looking at it changes nothing
    torch.rand(3), np.random.rand(3)  # nor does whoever else draws from the process-wide generators
    save_checkpoint(tmp_path / "step", half.state_dict())
    resumed.load_state_dict(load_checkpoint(tmp_path / "step")[0])
    list(resumed.learn(task, 320))
    assert_same_weights(resumed, whole)


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
    with pytest.raises(UsageError, match="sb3:dqn has no setting 'n_epochs'"):
        make_agent("sb3:dqn", lake, settings={"n_epochs": 3})
    with pytest.raises(UsageError, match="n_envs = 0"):
        make_agent("sb3:ppo", lake, settings={"n_envs": 0})
    wide, narrow = (make_agent("sb3:ppo", lake, settings={**SMALL_PPO, "net_arch": (w,)}) for w in (8, 16))
    with pytest.raises(UsageError, match="do not fit"):
        narrow.load_state_dict(wide.state_dict())
    assert {"ppo", "dqn", "sac", "a2c"} <= set(SB3_ALGORITHMS)
