"""What every agent that learns must keep, to the last bit: a run cut in two is one run, and one seed is one life."""

from __future__ import annotations

import numpy as np
import torch

from inscape.agents.registry import make_agent
from inscape.agents.rollout import evaluate
from inscape.experiments.runs.storage.checkpoints import load_checkpoint, save_checkpoint


def weights(agent):
    """Returns the weights by name, as the agent saves them (Stable-Baselines3: those of its policy)."""
    state = agent.state_dict()
    return state["network"] if "network" in state else state["parameters"]["policy"]


def assert_same_weights(one, other, **tolerance):
    first, second = weights(one), weights(other)
    for name, array in first.items():
        same = np.allclose(array, second[name], **tolerance) if tolerance else np.array_equal(array, second[name])
        assert same, name


def assert_resuming_is_exact(spec, task, settings, steps, stop, folder):
    """Trains in one go, and in two: saved at yield number `stop`, loaded into a fresh agent, continued.

    Returns:
        The agent trained in one go and the one that went on, whose reports and weights are the same, bit for bit.
    """
    whole, half, resumed = (make_agent(spec, task, seed=5, settings=settings) for _ in range(3))
    expected = list(whole.learn(task, steps))
    learning = half.learn(task, steps)
    for _ in range(stop):
        next(learning)
    evaluate(half, task, 2, seed=0)  # looking at it changes nothing
    torch.rand(3), np.random.rand(3)  # nor does whoever else draws from the process-wide generators
    save_checkpoint(folder / "step", half.state_dict())
    resumed.load_state_dict(load_checkpoint(folder / "step")[0])
    assert list(resumed.learn(task, steps)) == expected[stop:]
    assert_same_weights(resumed, whole)
    return whole, resumed


def assert_same_seed_same_weights(spec, task, settings, steps):
    """Trains with seeds 1, 1 and 2: the process-wide generators play no part, and the seed does."""
    one, two, other = (make_agent(spec, task, seed=seed, settings=settings) for seed in (1, 1, 2))
    for number, agent in enumerate((one, two, other)):
        torch.manual_seed(number)
        np.random.seed(number)
        list(agent.learn(task, steps))
    assert_same_weights(one, two)
    for name, array in weights(one).items():
        assert array.ndim < 2 or not np.array_equal(array, weights(other)[name]), name
