"""The learner whose environments stay on the device: the same numbers as the other two learners on the CPU, and on a
GPU where there is one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from inscape.agents.learning.env_runner import EnvRunner
from inscape.agents.learning.returns import generalized_advantages
from inscape.agents.on_policy.torch_learner import RolloutBatch
from inscape.agents.registry import make_agent
from inscape.agents.rollout import evaluate
from inscape.envs.tasks.resolve import resolve_task
from inscape.world_models.networks.finite_checks import DivergenceError

SMALL = {
    "num_envs": 4, "num_steps": 40, "hidden": (16,), "minibatches": 2, "epochs": 2, "normalize_observations": False,
    "normalize_rewards": False,
}  # fmt: skip


def make(task, device="cpu", spec="ppo", **settings):
    return make_agent(spec, task, seed=3, device=device, settings={**SMALL, "backend": "cuda", **settings})


def filled(task, **settings):
    agent = make(task, **settings)
    agent.learner.begin(task, 0)
    agent.learner.collect()
    return agent, agent.learner._t


@pytest.mark.parametrize("world", ["corridor", "forever"])
def test_what_it_collects_happened(world, request):
    """Its actions, taken again in the environment everybody sees; advantages as in `returns`."""
    task = request.getfixturevalue(world)
    agent, t = filled(task)
    copies = EnvRunner(task, 4, seed=3)
    values, next_values = np.empty((40, 4)), np.empty((40, 4))
    for step in range(40):
        values[step] = agent.state_values(copies.observation)
        if "masks" in t:
            assert_array_equal(copies.action_mask, t["masks"][step])
        happened = copies.step(t["actions"][step].numpy())
        next_values[step] = agent.state_values(happened.next_observation)
        assert_array_equal(happened.reward, t["rewards"][step])
        assert_array_equal(happened.terminated, t["terminated"][step])
        assert_array_equal(happened.truncated, t["truncated"][step])
    assert (t["truncated"] if world == "forever" else t["terminated"]).any()
    flags = [t[name].numpy().T for name in ("terminated", "truncated")]
    expected = generalized_advantages(t["rewards"].numpy().T, values.T, next_values.T, *flags, 0.99, 0.95).T
    assert_allclose(t["advantages"], expected, atol=1e-5)
    ended = (t["terminated"] | t["truncated"]).numpy()
    agent.learner._log.add(ended, *t["episodes"].numpy())
    assert agent.learner._log.report() == copies.episodes()


@pytest.mark.parametrize("world", ["corridor", "Pendulum"])
def test_its_gradient_step_is_the_other_learners(world, corridor):
    task = corridor if world == "corridor" else resolve_task(world)
    agent, t = filled(task, entropy_coef=0.01, epochs=1, minibatches=1)
    other = make_agent("ppo", task, seed=3, settings={
        **SMALL, "entropy_coef": 0.01, "epochs": 1, "minibatches": 1, "backend": "torch",
    })  # fmt: skip
    rows = {
        name: t[name].reshape(160, *t[name].shape[2:]) for name in ("actions", "log_probs", "advantages", "returns")
    }
    masks = t["masks"].reshape(160, -1) if "masks" in t else None
    batch = RolloutBatch(
        t["features"][:-1].reshape(160, -1), masks, rows["actions"], rows["log_probs"], rows["advantages"],
        rows["returns"], {},
    )  # fmt: skip
    found, updates = agent.learner.update(agent.schedule(1.0))
    expected = other.learner.update(batch, other.schedule(1.0), 0)
    assert updates == expected["updates"] == 1
    assert_allclose(found[0], [expected[name] for name in agent.learner._part_names], atol=1e-6)
    for name, weight in agent.state_dict()["network"].items():
        assert_allclose(weight, other.state_dict()["network"][name], atol=1e-6, err_msg=name)


def test_it_solves_a_toy_and_resumes_exactly(corridor):
    settings = {"num_envs": 16, "num_steps": 16, "epochs": 4, "learning_rate": 1e-2}
    whole, half, resumed = (make(corridor, **settings) for _ in range(3))
    list(whole.learn(corridor, 256 * 20))
    assert evaluate(whole, corridor, 5, seed=0).lengths.tolist() == [3] * 5
    learning = half.learn(corridor, 256 * 20)
    for _ in range(7):
        next(learning)
    resumed.load_state_dict(half.state_dict())
    list(resumed.learn(corridor, 256 * 20))
    for name, weight in whole.state_dict()["network"].items():
        assert_array_equal(weight, resumed.state_dict()["network"][name])


def test_what_is_not_finite_raises(corridor):
    agent = make(corridor)
    state = agent.state_dict()
    state["network"]["critic.0.weight"][:] = np.nan
    agent.load_state_dict(state)
    with pytest.raises(DivergenceError, match=r"weights critic\.0\.weight"):
        list(agent.learn(corridor, 160))


# ------------------------------------------------------------------------------------------- on a GPU


@pytest.mark.gpu
@pytest.mark.parametrize("spec", ["ppo", "a2c"])
def test_on_a_card_it_solves_a_toy(spec, corridor):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    settings = {"num_envs": 64, "num_steps": 16, "learning_rate": 1e-2, "hidden": (16,), "backend": "auto"}
    agent = make_agent(spec, corridor, seed=3, device="cuda", settings=settings)
    assert agent.learner.backend == "cuda"
    list(agent.learn(corridor, 1024 * 60))
    assert evaluate(agent, corridor, 5, seed=0).lengths.tolist() == [3] * 5


@pytest.mark.gpu
@pytest.mark.parametrize("spec", ["ppo", "a2c"])
@pytest.mark.parametrize("backend", ["torch", "cuda"])
def test_on_a_card_it_goes_on_from_a_state(spec, backend, corridor):
    """The optimiser's moments and its count of steps have to be where the card reads them."""
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    settings = {"num_envs": 4, "num_steps": 40, "hidden": (16,), "backend": backend}
    agent, resumed = (make_agent(spec, corridor, seed=3, device="cuda", settings=settings) for _ in range(2))
    learning = agent.learn(corridor, 160 * 4)
    next(learning)
    resumed.load_state_dict(agent.state_dict())
    list(learning)
    list(resumed.learn(corridor, 160 * 4))
    for name, weight in agent.state_dict()["network"].items():
        assert_allclose(weight, resumed.state_dict()["network"][name], atol=1e-5, err_msg=name)
