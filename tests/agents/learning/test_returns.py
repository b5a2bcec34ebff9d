from __future__ import annotations

from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from stable_baselines3.common.buffers import RolloutBuffer

from inscape.agents.learning.returns import (
    discounted_returns,
    generalized_advantages,
    importance_weights,
    n_step_returns,
    vtrace,
)
from inscape.agents.registry import make_agent
from inscape.envs.tasks.resolve import resolve_task

GAMMA, LAM = 0.9, 0.5


def test_advantages_against_arithmetic():
    """Three steps: an ordinary one, a truncated one (bootstraps), a terminated one (does not)."""
    rewards, values = np.array([[1.0, 2.0, 3.0]]), np.array([[0.5, 1.5, 2.5]])
    next_values = np.array([[1.5, 4.0, 100.0]])
    terminated, truncated = np.array([[False, False, True]]), np.array([[False, True, True]])
    found = generalized_advantages(rewards, values, next_values, terminated, truncated, GAMMA, LAM)
    last = 3.0 - 2.5  # terminated: the 100 is not counted, also because both flags are set
    middle = 2.0 + 0.9 * 4.0 - 1.5  # truncated: bootstraps, and the sum stops
    first = 1.0 + 0.9 * 1.5 - 0.5 + 0.9 * 0.5 * middle
    assert np.allclose(found, [[first, middle, last]], atol=1e-12)


def _their_buffer(rewards, values, dones, last_values):
    """Stable-Baselines3's buffer with its advantages and returns computed; everything `[B, T]`."""
    count, time = rewards.shape
    box = gymnasium.spaces.Box(-1, 1, (1,))
    buffer = RolloutBuffer(time, box, gymnasium.spaces.Discrete(2), gae_lambda=0.95, gamma=0.99, n_envs=count)
    starts = np.concatenate([np.ones((count, 1), bool), dones[:, :-1]], axis=1)
    for t in range(time):
        buffer.add(
            np.zeros((count, 1)), np.zeros((count, 1)), rewards[:, t], starts[:, t], torch.tensor(values[:, t]),
            torch.zeros(count),
        )  # fmt: skip
    buffer.compute_returns_and_advantage(torch.tensor(last_values), dones[:, -1])
    return buffer


@pytest.mark.parametrize("with_time_limits", [False, True])
def test_advantages_equal_those_of_stable_baselines3(with_time_limits):
    """Theirs has one flag; a time limit is repaired by adding γ·V(last observation) to the reward that is stored."""
    rng = np.random.default_rng(0)
    shape = 5, 40
    rewards, values = rng.normal(size=shape), rng.normal(size=shape)
    terminated = rng.random(shape) < 0.1
    truncated = (rng.random(shape) < 0.1) & with_time_limits
    last_values, cut_values = rng.normal(size=shape[0]), rng.normal(size=shape)
    cut = truncated & ~terminated
    buffer = _their_buffer(rewards + 0.99 * cut_values * cut, values, terminated | truncated, last_values)
    next_values = np.where(cut, cut_values, np.concatenate([values[:, 1:], last_values[:, None]], axis=1))
    found = generalized_advantages(rewards, values, next_values, terminated, truncated, 0.99, 0.95)
    assert cut.any() == with_time_limits
    assert np.allclose(found, buffer.advantages.T, atol=1e-5)  # theirs are float32
    assert np.allclose(found + values, buffer.returns.T, atol=1e-5)


def test_advantages_equal_those_of_a_rollout_of_stable_baselines3(forever):
    """Their own collecting in our world, time limits included: they end with our numbers for the same steps."""
    agent = make_agent("sb3:ppo", forever, settings={"num_envs": 3, "num_steps": 25, "batch_size": 75, "hidden": (8,)})
    seen = []
    step = agent._env.step_wait
    agent._env.step_wait = lambda: seen.append(step()) or seen[-1]
    next(agent.learn(forever, 75))
    buffer = agent.model.rollout_buffer
    # learning has changed the network since: values are those of the buffer, but for the states reached
    other = make_agent("sb3:ppo", forever, settings={"num_envs": 3, "num_steps": 25, "batch_size": 75, "hidden": (8,)})

    def value(observation):
        with torch.no_grad():
            tensor, _ = other.model.policy.obs_to_tensor(np.asarray(observation))
            return other.model.policy.predict_values(tensor).numpy()[:, 0]

    reached = np.stack([
        [info.get("terminal_observation", row) for row, info in zip(observation, infos, strict=True)]
        for observation, _, _, infos in seen
    ])  # fmt: skip
    next_values = np.stack([value(row) for row in reached], axis=1)
    truncated = np.stack([done for _, _, done, _ in seen], axis=1)
    ours = generalized_advantages(
        np.ones((3, 25)), buffer.values.reshape(3, 25).astype(np.float64), next_values,
        np.zeros((3, 25), bool), truncated, 0.99, 0.95,
    )  # fmt: skip
    assert truncated.sum() == 6  # after 10 and after 20 steps
    assert np.allclose(ours, buffer.advantages.reshape(3, 25), atol=1e-5)


def _naive_return(rewards, next_values, terminated, truncated, t, n):
    total, discount = 0.0, 1.0
    for k in range(t, len(rewards)):
        total += discount * rewards[k]
        discount *= GAMMA
        if terminated[k]:
            return total
        if truncated[k] or k == len(rewards) - 1 or k == t + n - 1:
            return total + discount * next_values[k]
    raise AssertionError


def test_returns_against_sums_written_out():
    rng = np.random.default_rng(1)
    count, time = 4, 25
    rewards, next_values = rng.normal(size=(count, time)), rng.normal(size=(count, time))
    terminated, truncated = rng.random((count, time)) < 0.1, rng.random((count, time)) < 0.1
    full = discounted_returns(rewards, next_values, terminated, truncated, GAMMA)
    three = n_step_returns(rewards, next_values, terminated, truncated, GAMMA, 3)
    for b in range(count):
        rows = rewards[b], next_values[b], terminated[b], truncated[b]
        for t in range(time):
            assert np.isclose(full[b, t], _naive_return(*rows, t, time))
            assert np.isclose(three[b, t], _naive_return(*rows, t, 3))


def test_gae_interpolates_between_one_step_and_monte_carlo():
    rng = np.random.default_rng(2)
    shape = (3, 12)
    rewards, values, next_values = (rng.normal(size=shape) for _ in range(3))
    next_values[:, :-1] = values[:, 1:]
    flags = np.zeros(shape, bool)
    one = n_step_returns(rewards, next_values, flags, flags, GAMMA, 1) - values
    whole = discounted_returns(rewards, next_values, flags, flags, GAMMA) - values
    assert np.allclose(generalized_advantages(rewards, values, next_values, flags, flags, GAMMA, 0.0), one)
    assert np.allclose(generalized_advantages(rewards, values, next_values, flags, flags, GAMMA, 1.0), whole)


def test_lambda_returns_are_the_mixture_of_n_step_returns():
    """G^λ = (1 − λ)·Σ_{n<N} λ^{n−1}·G^{(n)} + λ^{N−1}·G^{(N)}, N steps before the end (Sutton & Barto, eq. 12.3)."""
    rng = np.random.default_rng(3)
    shape = (4, 15)
    rewards, values, next_values = (rng.normal(size=shape) for _ in range(3))
    terminated, truncated = rng.random(shape) < 0.1, rng.random(shape) < 0.1
    ends = terminated | truncated
    inside = ~ends[:, :-1]
    next_values[:, :-1][inside] = values[:, 1:][inside]
    by_n = [n_step_returns(rewards, next_values, terminated, truncated, GAMMA, n) for n in range(1, 16)]
    found = values + generalized_advantages(rewards, values, next_values, terminated, truncated, GAMMA, LAM)
    for b in range(shape[0]):
        for t in range(shape[1]):
            left = next((k for k in range(t, 15) if ends[b, k]), 14) - t + 1
            mixed = sum((1 - LAM) * LAM ** (n - 1) * by_n[n - 1][b, t] for n in range(1, left))
            assert np.isclose(found[b, t], mixed + LAM ** (left - 1) * by_n[left - 1][b, t])


# ------------------------------------------------------------------------------------------- off-policy


def test_importance_weights_against_arithmetic():
    with np.errstate(divide="ignore"):
        target, behaviour = np.log([0.6, 0.1, 0.0, 0.5]), np.log([0.2, 0.4, 0.5, 0.5])
    assert np.allclose(importance_weights(target, behaviour), [3.0, 0.25, 0.0, 1.0])


def test_importance_weights_correct_the_mean():
    """E_μ[π/μ·f] = E_π[f], summed out over every action."""
    rng = np.random.default_rng(4)
    target, behaviour = rng.dirichlet(np.ones(5), 3), rng.dirichlet(np.ones(5), 3)
    values = rng.normal(size=(3, 5))
    weights = importance_weights(np.log(target), np.log(behaviour))
    assert np.allclose((behaviour * weights * values).sum(axis=1), (target * values).sum(axis=1))


def test_vtrace_against_arithmetic():
    """Weights 2, ½ and 3 with clips ρ̄ = 1.5 and c̄ = 1; the second step is cut by the time limit, the third ends."""
    rewards, values = np.array([[1.0, 2.0, 3.0]]), np.array([[0.5, 1.5, 2.5]])
    next_values, weights = np.array([[1.5, 4.0, 100.0]]), np.array([[2.0, 0.5, 3.0]])
    terminated, truncated = np.array([[False, False, True]]), np.array([[False, True, False]])
    found = vtrace(rewards, values, next_values, terminated, truncated, weights, GAMMA, 1.0, 1.5, 1.0)
    last = 2.5 + 1.5 * (3.0 - 2.5)  # ρ = min(1.5, 3); nothing follows
    middle = 1.5 + 0.5 * (2.0 + 0.9 * 4.0 - 1.5)  # ρ = 0.5; the cut state keeps its value
    first = 0.5 + 1.5 * (1.0 + 0.9 * 1.5 - 0.5) + 0.9 * 1.0 * (middle - 1.5)  # c = min(1, 2)
    assert np.allclose(found.targets, [[first, middle, last]], atol=1e-12)
    expected = [1.5 * (1.0 + 0.9 * middle - 0.5), 0.5 * (2.0 + 0.9 * 4.0 - 1.5), 1.5 * (3.0 - 2.5)]
    assert np.allclose(found.advantages, [expected], atol=1e-12)


def _random_batch(seed, shape=(4, 20)):
    """Rewards, values, values of the states reached (those of the next row, where the episode goes on) and flags."""
    rng = np.random.default_rng(seed)
    rewards, values, next_values = (rng.normal(size=shape) for _ in range(3))
    terminated, truncated = rng.random(shape) < 0.1, rng.random(shape) < 0.1
    inside = ~(terminated | truncated)[:, :-1]
    next_values[:, :-1][inside] = values[:, 1:][inside]
    return rewards, values, next_values, terminated, truncated


def test_vtrace_on_policy_is_the_lambda_return():
    """Remark 1 of the paper: with π = μ, c̄ ≥ 1 and λ = 1 the target is the n-step return; else the λ-return."""
    rewards, values, next_values, terminated, truncated = batch = _random_batch(5)
    ones = np.ones_like(rewards)
    whole = vtrace(*batch, ones, GAMMA)
    assert np.allclose(whole.targets, discounted_returns(rewards, next_values, terminated, truncated, GAMMA))
    assert np.allclose(whole.targets, n_step_returns(rewards, next_values, terminated, truncated, GAMMA, 20))
    mixed = vtrace(*batch, ones, GAMMA, LAM, 2.0, 2.0)
    assert np.allclose(mixed.targets - values, generalized_advantages(*batch, GAMMA, LAM))
    assert np.allclose(vtrace(*batch, 7 * ones, GAMMA).targets, whole.targets)  # clipped: as if on-policy
    one_step = rewards + GAMMA * np.where(terminated, 0.0, next_values) - values
    assert np.allclose(vtrace(*batch, ones, GAMMA, 0.0).advantages[:, -1], one_step[:, -1])


def test_vtrace_equals_the_sum_of_the_paper():
    """Equation 1 written out: v_s = V(s) + Σ_t γ^{t−s}·(Π_{i<t} c_i)·δ_t, up to the end of the episode."""
    rewards, values, next_values, terminated, truncated = batch = _random_batch(6)
    weights = np.random.default_rng(7).uniform(0.0, 3.0, rewards.shape)
    found = vtrace(*batch, weights, GAMMA, 1.0, 2.0, 1.2)
    for b in range(len(rewards)):
        for s in range(rewards.shape[1]):
            total, product = values[b, s], 1.0
            for t in range(s, rewards.shape[1]):
                after = 0.0 if terminated[b, t] else next_values[b, t]
                error = min(2.0, weights[b, t]) * (rewards[b, t] + GAMMA * after - values[b, t])
                total += GAMMA ** (t - s) * product * error
                product *= min(1.2, weights[b, t])
                if terminated[b, t] or truncated[b, t]:
                    break
            assert np.isclose(found.targets[b, s], total)


def test_unclipped_vtrace_is_unbiased():
    """The mean of one-step targets over μ is the Bellman update of π: E_μ[ρ·(r + γV′)] + (1 − E_μ[ρ])·V = T^π V."""
    rng = np.random.default_rng(8)
    target, behaviour, rewards = rng.dirichlet(np.ones(4)), rng.dirichlet(np.ones(4)), rng.normal(size=(4, 1))
    values, next_values, flags = np.full((4, 1), 0.7), rng.normal(size=(4, 1)), np.zeros((4, 1), bool)
    weights = importance_weights(np.log(target), np.log(behaviour))[:, None]
    found = vtrace(rewards, values, next_values, flags, flags, weights, GAMMA, rho_clip=np.inf, c_clip=np.inf)
    assert np.isclose(behaviour @ found.targets[:, 0], target @ (rewards + GAMMA * next_values)[:, 0])


# ------------------------------------------------------------------------------------------- in the agents


def _critic(agent, seen):
    return agent.state_values(seen)


def _best_action(agent, seen):
    return agent.action_values(seen).max(axis=1)


def _any_action(agent, seen):
    return agent.action_values(seen, np.zeros((len(seen), 1), np.float32))


def _their_critic(agent, seen):
    with torch.no_grad():
        return agent.model.policy.predict_values(agent.model.policy.obs_to_tensor(seen)[0]).numpy()[:, 0]


def _their_best_action(agent, seen):
    with torch.no_grad():
        return agent.model.q_net(agent.model.policy.obs_to_tensor(seen)[0]).numpy().max(axis=1)


ON_POLICY = {"num_envs": 16, "num_steps": 12, "learning_rate": 1e-2, "hidden": (8,)}
PPO = {**ON_POLICY, "epochs": 8, "minibatches": 2}
OFF_POLICY = {"num_envs": 4, "learning_rate": 1e-2, "batch_size": 64, "learning_starts": 100}
DQN = {
    **OFF_POLICY, "hidden": (8,), "train_freq": 1, "gradient_steps": 2, "target_update_interval": 50,
    "anneal": "linear",
}  # fmt: skip
REINFORCE = {"num_envs": 16, "value_learning_rate": 3e-2, "value_steps": 20, "hidden": (8,)}
SAC = {**OFF_POLICY, "hidden": (16,), "tau": 0.05, "entropy_coef": 0.0}
SB3 = {"learning_rate": 1e-2, "anneal": "linear", "hidden": (8,)}
SB3_PPO = {**SB3, "num_envs": 16, "num_steps": 12, "batch_size": 96, "epochs": 8}
SB3_DQN = {
    **SB3, "num_envs": 4, "batch_size": 64, "learning_starts": 100, "train_freq": 1, "gradient_steps": 2,
    "target_update_interval": 50, "buffer_size": 2000,
}  # fmt: skip
slow = pytest.mark.slow
LEARNERS = [  # agent, world, settings, steps, how its value of observations is read
    pytest.param("ppo", "Beat", PPO, 192 * 40, _critic, id="ppo", marks=slow),
    pytest.param("ppo", "Beat", {**PPO, "backend": "torch"}, 192 * 40, _critic, id="ppo-torch", marks=slow),
    pytest.param("a2c", "Beat", ON_POLICY, 192 * 150, _critic, id="a2c", marks=slow),
    pytest.param("recurrent-ppo", "Beat", {**PPO, "memory": 8, "hidden": ()}, 192 * 40, _critic, id="rnn", marks=slow),
    pytest.param("reinforce", "Beat", REINFORCE, 2400, _critic, id="reinforce", marks=slow),
    pytest.param("dqn", "Beat", DQN, 6000, _best_action, id="dqn"),
    pytest.param("dqn", "Beat", {**DQN, "n_step": 3}, 6000, _best_action, id="dqn-3-step"),
    pytest.param("sac", "ContinuousBeat", SAC, 2000, _any_action, id="sac", marks=slow),
    pytest.param("sac", "ContinuousBeat", {**SAC, "n_step": 3}, 2000, _any_action, id="sac-3-step", marks=slow),
    pytest.param("sb3:ppo", "Beat", SB3_PPO, 192 * 40, _their_critic, id="sb3-ppo", marks=slow),
    pytest.param("sb3:dqn", "Beat", SB3_DQN, 6000, _their_best_action, id="sb3-dqn", marks=slow),
]


@pytest.mark.compiled(all=False)
@pytest.mark.parametrize(("name", "world", "settings", "steps", "read"), LEARNERS)
def test_time_limits_are_bootstrapped_and_ends_are_not(name, world, settings, steps, read):
    """γ = ½: 4/3 and 2/3 where a time limit cuts; 1 where the episode ends. Every agent that bootstraps is a row."""
    path = Path(__file__).parents[1] / "time_limit_worlds.py"
    settings = {**settings, "gamma": 0.5}
    cut = resolve_task(f"{path}:{world}")
    agent = make_agent(name, cut, settings=settings)
    list(agent.learn(cut, steps))
    found = read(agent, np.array([[0], [1]]))
    assert abs(found[0] - 4 / 3) < 0.08
    if name != "recurrent-ppo":  # which values the observation as the first of an episode, and that is never a 1
        assert abs(found[1] - 2 / 3) < 0.08
    ended = resolve_task(f"{path}:{world}", {"ends": True})
    agent = make_agent(name, ended, settings=settings)
    list(agent.learn(ended, steps))
    assert abs(read(agent, np.array([[0]]))[0] - 1.0) < 0.08
