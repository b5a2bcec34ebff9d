from __future__ import annotations

import pytest
import torch

from inscape.agents.registry import make_agent
from inscape.envs.tasks.resolve import resolve_task
from inscape.world_models.networks.blas import _controller, blas_threads
from inscape.world_models.networks.finite_checks import DivergenceError
from inscape.world_models.networks.tensors import learning_threads, step_if_finite

AGENTS = {
    "ppo": {"num_envs": 4, "num_steps": 4, "minibatches": 2, "hidden": (8,), "backend": "torch"},
    "ppo on the device": {"num_envs": 4, "num_steps": 4, "minibatches": 2, "hidden": (8,), "backend": "cuda"},
    "dqn": {"hidden": (8,), "learning_starts": 8, "batch_size": 4, "report_every": 16},
    "sac": {"hidden": (8,), "learning_starts": 8, "batch_size": 4, "report_every": 16},
    "reinforce": {"num_envs": 2, "hidden": (8,)},
    "recurrent-ppo": {"num_envs": 4, "num_steps": 4, "minibatches": 2, "memory": 8},
}


def counts():
    return {torch.get_num_threads(), *(library["num_threads"] for library in _controller().info())}


@pytest.mark.parametrize("name", AGENTS)
def test_threads_are_the_callers_between_reports(name):
    """`learn` is a generator: what it sets while it runs must not hold while it waits."""
    task = resolve_task("Pendulum" if name == "sac" else "CartPole")
    agent = make_agent(name.split()[0], task, settings=AGENTS[name])
    with learning_threads(2), blas_threads(2):
        before = counts()
        learning = agent.learn(task, 2000)
        for _ in range(2):
            next(learning)
            assert counts() == before == {2}


def test_a_step_is_taken_with_scaled_gradients_or_not_at_all():
    """Gradients (3, 4) have norm 5; plain descent with rate 1 takes them off."""
    for most, expected in ((None, [-3.0, -4.0]), (10.0, [-3.0, -4.0]), (1.0, [-0.6, -0.8])):
        network = torch.nn.Linear(2, 1, bias=False)
        torch.nn.init.zeros_(network.weight)
        optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
        network.weight.grad = torch.tensor([[3.0, 4.0]])
        assert step_if_finite(optimizer, network, most, 0.0, 7, "mine") == pytest.approx(5.0)
        assert network.weight.tolist()[0] == pytest.approx(expected, abs=1e-5)
    network.weight.grad[0, 1] = float("nan")
    before = network.weight.tolist()
    with pytest.raises(DivergenceError, match=r"mine diverged at step 7(.|\n)*gradient of weight"):
        step_if_finite(optimizer, network, 1.0, 0.0, 7, "mine")
    assert network.weight.tolist() == before


def test_threads_are_given_back_after_an_error():
    @learning_threads(2)
    def fail():
        assert counts() == {2}
        raise ZeroDivisionError

    before = counts()
    with pytest.raises(ZeroDivisionError):
        fail()
    assert counts() == before
