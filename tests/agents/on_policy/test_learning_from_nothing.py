"""Where nothing is earned, or the same whatever is done, the policy stays: no noise becomes an advantage."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from inscape import World
from inscape.agents.kernels import policy_gradient
from inscape.agents.learning.normalization import SAMPLE, ReturnNormalizer
from inscape.agents.on_policy.torch_learner import weights_of_actions
from inscape.agents.registry import make_agent
from inscape.envs.tasks.resolve import as_task
from inscape.errors import UsageError

SMALL = {"num_envs": 8, "num_steps": 16, "hidden": (8,), "learning_rate": 1e-2, "entropy_coef": 0.0}
EPOCHS = {"epochs": 2, "minibatches": 2}
AGENTS = {
    "ppo compiled": ("ppo", {**SMALL, **EPOCHS, "backend": "compiled"}),
    "ppo torch": ("ppo", {**SMALL, **EPOCHS, "backend": "torch"}),
    "ppo cuda": ("ppo", {**SMALL, **EPOCHS, "backend": "cuda"}),
    "ppo as paid": ("ppo", {**SMALL, **EPOCHS, "backend": "torch", "normalize_rewards": False}),
    "a2c compiled": ("a2c", {**SMALL, "backend": "compiled"}),
    "a2c torch": ("a2c", {**SMALL, "backend": "torch", "normalize_rewards": False}),
    "a2c normalised": ("a2c", {**SMALL, "backend": "torch", "normalize_advantages": True}),
    "recurrent-ppo": ("recurrent-ppo", {**SMALL, **EPOCHS, "memory": 8}),
    "reinforce": ("reinforce", {"num_envs": 8, "hidden": (8,), "learning_rate": 1e-2}),
    "reinforce mean": ("reinforce", {"num_envs": 8, "hidden": (8,), "baseline": "mean"}),
}


class Where(NamedTuple):
    place: int
    steps: int


class Length(NamedTuple):
    steps: int
    seen: int


class Pay(NamedTuple):
    each: float


class Indifferent(World):
    """Four places between which chance moves; every step pays the same, and an episode has a fixed length."""

    State = Where
    Params = Length
    Purpose = Pay
    actions = ("a", "b", "c")
    branches = 4
    initial_branches = 4
    max_episode_steps = 30

    def setup(self, pay: float = 0.0, steps: int = 1, seen: int = 1):
        return Length(steps, seen), Pay(pay)

    @staticmethod
    def initial(params, branch):
        return 0.25, Where(branch, 0)

    @staticmethod
    def transition(params, state, action, branch):
        return 0.25, Where(branch, state.steps + 1)

    @staticmethod
    def reward(params, purpose, state, action, next_state):
        return purpose.each

    @staticmethod
    def terminal(params, purpose, state):
        return state.steps >= params.steps

    @staticmethod
    def observation(params, state):
        return (params.seen * state.place,)

    @staticmethod
    def observations(params):
        return (4,)


PLACES = np.arange(4)[:, None]
WORLDS = {
    "nothing": {"pay": 0.0, "steps": 6},
    "nothing, cut by a time limit": {"pay": 0.0, "steps": 100},
    "nothing in one step": {"pay": 0.0, "steps": 1},
    "nothing, all looks alike": {"pay": 0.0, "steps": 6, "seen": 0},
    "a tenth in one step": {"pay": 0.1, "steps": 1},
    "costs in one step": {"pay": -1000.0, "steps": 1},
    "a billionth in one step": {"pay": 1e-9, "steps": 1},
    "a third in one step, all looks alike": {"pay": 1 / 3, "steps": 1, "seen": 0},
}


@pytest.mark.quick(every=8)
@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("name", AGENTS)
def test_the_policy_stays(name, world):
    spec, settings = AGENTS[name]
    task = as_task(Indifferent(**WORLDS[world]))
    agent = make_agent(spec, task, settings=settings)
    before = agent.policy_log_probs(PLACES)
    rows = list(agent.learn(task, 128 * 3))
    # with a memory, what the critic learns of a reward moves what the policy sees too
    shared = 0.3 if spec == "recurrent-ppo" and WORLDS[world]["pay"] else 0.0
    assert_allclose(agent.policy_log_probs(PLACES), before, rtol=0.0, atol=shared)
    assert all(np.isfinite(value) for row in rows for value in row.values())


def test_the_mean_of_others_cancels_a_constant_reward():
    task = as_task(Indifferent(pay=-5.0, steps=6))
    agent = make_agent("reinforce", task, settings=AGENTS["reinforce mean"][1])
    before = agent.policy_log_probs(PLACES)
    list(agent.learn(task, 400))
    assert_allclose(agent.policy_log_probs(PLACES), before, atol=1e-5)


class Better(Indifferent):
    """One action pays more."""

    @staticmethod
    def reward(params, purpose, state, action, next_state):
        return purpose.each + (1e-3 * purpose.each if action == 2 else 0.0)


@pytest.mark.quick("a2c compiled")
@pytest.mark.parametrize("name", ["ppo torch", "a2c compiled", "recurrent-ppo"])
def test_a_thousandth_more_is_learned(name):
    """What tells rewards apart is not lost with what they have in common."""
    spec, settings = AGENTS[name]
    task = as_task(Better(pay=7.0))
    agent = make_agent(spec, task, settings=settings)
    before = np.exp(agent.policy_log_probs(PLACES))[:, 2].mean()
    list(agent.learn(task, 128 * 12))
    assert np.exp(agent.policy_log_probs(PLACES))[:, 2].mean() > before + (0.02 if spec != "a2c" else 1e-4)


# ------------------------------------------------------------------------------------------- what actions weigh

RNG = np.random.default_rng(0)
BATCHES = {
    "signal": (RNG.standard_normal(40), RNG.standard_normal(40)),
    "small signal": (1e-12 * RNG.standard_normal(40), 1e-12 * RNG.standard_normal(40)),
    "large signal": (1e12 * RNG.standard_normal(40), 1e12 * RNG.standard_normal(40)),
    "signal on a large level": (RNG.standard_normal(40), 1e4 + RNG.standard_normal(40)),
    "nothing": (np.zeros(40), np.zeros(40)),
    "returns alike": (RNG.standard_normal(40), np.full(40, 0.1)),
    "returns alike but for rounding": (RNG.standard_normal(40), 1e3 * (1 + 1e-8 * RNG.standard_normal(40))),
    "advantages alike": (np.full(40, 0.3), RNG.standard_normal(40)),
    "advantages of rounding": (1e-5 * RNG.standard_normal(40), 1e3 * RNG.standard_normal(40)),
    "few returns alike": (RNG.standard_normal(5), np.full(5, -2.0)),
    "two rows": (np.array([1.0, -1.0]), np.array([0.0, 3.0])),
}


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("name", BATCHES)
def test_compiled_and_torch_weigh_alike(name, normalize):
    advantages, returns = (column.astype(np.float32) for column in BATCHES[name])
    found = np.full(len(advantages) + 3, 7.0)
    policy_gradient.weigh_actions(
        advantages.astype(float), returns.astype(float), np.arange(len(advantages)), normalize, found
    )
    expected = weights_of_actions(torch.from_numpy(advantages), torch.from_numpy(returns), normalize).numpy()
    assert_allclose(found[:-3], expected, rtol=1e-4, atol=1e-6)
    assert_array_equal(found[-3:], 7.0)
    silent = ("signal" not in name and name != "two rows") and (
        normalize or name not in ("few returns alike", "advantages alike", "advantages of rounding")
    )
    assert (expected == 0).all() == silent
    if normalize and not silent and name != "small signal":
        assert np.isclose(expected.std(ddof=1), 1.0, atol=1e-3)


def test_a_sample_alike_by_chance_keeps_its_size():
    assert (weights_of_actions(torch.ones(SAMPLE - 1), torch.ones(SAMPLE - 1), False) == 1).all()
    assert (weights_of_actions(torch.ones(SAMPLE), torch.ones(SAMPLE), False) == 0).all()


# ------------------------------------------------------------------------------------------- the scale of rewards


@pytest.mark.parametrize("level", [0.0, 1e-3, 1.0, -1.0, 1e6, -1e6])
def test_the_same_reward_ever_is_divided_by_no_rounding(level):
    normalizer = ReturnNormalizer(4, 0.9)
    found = normalizer(np.full((500, 4), level), np.ones((500, 4), bool))
    assert np.isfinite(found).all()
    assert (np.abs(found) <= 10).all()
    if abs(level) >= 1e-3:
        assert_allclose(found[-1], np.sign(level) * 5, rtol=0.12 if abs(level) < 1 else 0.01)


def test_small_differences_on_a_large_level_are_not_clipped():
    rewards = 50.0 + np.random.default_rng(0).standard_normal((400, 4)) * 0.01
    found = ReturnNormalizer(4, 0.9)(rewards, np.ones((400, 4), bool))[100:]
    assert len(np.unique(found)) > 1000
    assert_allclose(np.corrcoef(found.ravel(), rewards[100:].ravel())[0, 1], 1.0, atol=0.05)


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_rewards_of_any_scale_come_out_alike(scale):
    rng = np.random.default_rng(1)
    rewards, ended = rng.standard_normal((300, 4)) - 2.0, rng.random((300, 4)) < 0.05
    one, other = (ReturnNormalizer(4, 0.99)(factor * rewards, ended)[50:] for factor in (1.0, scale))
    assert_allclose(one, other, rtol=0.02)


def test_rewards_beyond_double_precision_are_refused():
    with pytest.raises(UsageError, match=r"1e\+200, whose squares are beyond"), np.errstate(all="ignore"):
        ReturnNormalizer(2, 0.9)(np.full((3, 2), 1e200), np.zeros((3, 2), bool))


def test_values_are_in_the_tasks_own_units():
    """Costs of 1,000 at each of six steps: V of the first is learned from normalised rewards, and stated in them."""
    task = as_task(Indifferent(pay=-1000.0, steps=1))
    settings = {**SMALL, **EPOCHS, "backend": "torch", "learning_rate": 3e-2, "anneal": "constant"}
    agent = make_agent("ppo", task, settings=settings)
    list(agent.learn(task, 128 * 60))
    assert_allclose(agent.state_values(PLACES), -1000.0, rtol=0.1)


def test_a_state_of_rewards_as_paid_is_refused_by_an_agent_that_normalises_them():
    task = as_task(Indifferent())
    for backend in ("torch", "compiled", "cuda"):
        paid, scaled = (
            make_agent("ppo", task, settings={**SMALL, **EPOCHS, "backend": backend, "normalize_rewards": normalize})
            for normalize in (False, True)
        )
        with pytest.raises(UsageError, match="learned from rewards as they were"):
            scaled.load_state_dict(paid.state_dict())


def test_all_backends_scale_rewards_alike():
    """The returns that the CUDA learner divides by, worked out on the device, are those of `ReturnNormalizer`."""
    task = as_task(Indifferent(pay=-3.0, steps=4))
    agent = make_agent("ppo", task, settings={**SMALL, **EPOCHS, "backend": "cuda"})
    list(agent.learn(task, 128 * 2))
    known, t = ReturnNormalizer(8, 0.99), agent.learner._t
    for _ in range(2):  # every round is alike: the same reward, the same ends
        expected = known(np.full((16, 8), -3.0), t["terminated"].numpy())
    assert_allclose(t["scaled"], expected, rtol=1e-9)
    assert_allclose(agent.learner._rewards.deviation, known.deviation, rtol=1e-9)
    assert_allclose(agent.learner._rewards.running, known.running, rtol=1e-9)
    other = make_agent("ppo", task, settings={**SMALL, **EPOCHS, "backend": "torch"})
    other.load_state_dict(agent.state_dict())
    assert other.learner._rewards.deviation == agent.learner._rewards.deviation
