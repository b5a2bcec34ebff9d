"""What an environment's code changes for the whole process, while it is imported or made, is changed back."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inscape.agents.registry import make_agent
from inscape.agents.rollout import evaluate
from inscape.envs.tasks.checking.contract import Breach, Contract
from inscape.envs.tasks.resolve import resolve_task
from inscape.errors import UsageError, out_of_memory

FILE = """
import os, sys, gymnasium as gym, numpy as np, torch
{imported}
class Env(gym.Env):
    observation_space = gym.spaces.{space}
    action_space = gym.spaces.Discrete(2)
    def __init__(self, render_mode=None):
        self.t = 0
        {made}
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self.observation_space.sample(), {{}}
    def step(self, action):
        self.t += 1
        return self.observation_space.sample(), 1.0, self.t >= 5, False, {{}}
"""
BOX = "Box(-1, 1, (3,), np.float32)"


def written(folder: Path, imported: str = "", made: str = "pass", space: str = BOX) -> str:
    (folder / "env.py").write_text(FILE.format(imported=imported, made=made, space=space))
    return f"{folder}/env.py:Env"


@pytest.mark.parametrize(
    ("code", "said", "when"),
    [
        ("os.chdir(os.sep)", "the working folder", "made"),
        ("torch.set_default_dtype(torch.float64)", "torch's default dtype to torch.float64", "imported"),
        ("torch.set_grad_enabled(False)", "torch's gradients to off", "made"),
        ("torch.set_default_device('meta')", "torch's default device to meta", "imported"),
        ("sys.stdout = None", "standard output", "made"),
        ("sys.setrecursionlimit(150)", "the limit of recursion to 150", "imported"),
    ],
)
def test_what_a_file_changes_for_everybody_is_changed_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, code: str, said: str, when: str
) -> None:
    import torch

    before = os.getcwd(), sys.stdout, sys.getrecursionlimit()
    with caplog.at_level(logging.WARNING, "inscape"):
        task = resolve_task(written(tmp_path, **{when: code}))
        agent: Any = make_agent("ppo", task, settings={"backend": "torch", "num_envs": 2, "num_steps": 8})
        assert [metrics["steps"] for metrics in agent.learn(task, 16)] == [16]
    assert (os.getcwd(), sys.stdout, sys.getrecursionlimit()) == before
    assert torch.get_default_dtype() == torch.float32
    assert torch.is_grad_enabled()
    assert str(torch.get_default_device()) == "cpu"
    assert said in caplog.text
    assert "it is changed back" in caplog.text


def test_a_higher_limit_of_recursion_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = sys.getrecursionlimit()
    try:
        resolve_task(written(tmp_path, imported=f"sys.setrecursionlimit({limit + 500})"))
        assert sys.getrecursionlimit() == limit + 500
    finally:
        sys.setrecursionlimit(limit)


@pytest.mark.parametrize("agent", ["ppo", "dqn", "recurrent-ppo"])
@pytest.mark.parametrize("space", ["Discrete(10**9)", "MultiDiscrete([10**8, 3])"])
def test_observations_of_too_many_numbers_are_refused(tmp_path: Path, agent: str, space: str) -> None:
    task = resolve_task(written(tmp_path, space=space))
    with pytest.raises(UsageError, match=r"numbers for a network\n *expected: at most 10,000,000"):
        make_agent(agent, task)
    assert evaluate(make_agent("random", task), task, 1, 0).mean == 5  # random play takes them


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 7.45 TiB for an array with shape (10**12,) and data type float64"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried to "
                     "allocate 25600000000 bytes. Error code 12"),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    ],
)  # fmt: skip
def test_memory_that_cannot_be_had_is_named(error: BaseException) -> None:
    told = out_of_memory(error, "ppo was made")
    assert told is not None
    assert "not enough memory (" in str(told)
    assert "ppo was made" in str(told)
    assert out_of_memory(RuntimeError("mat1 and mat2"), "ppo was made") is None


def test_memory_that_ends_while_an_agent_is_made_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from inscape.agents.off_policy import dqn

    def full(*given: Any, **named: Any) -> None:
        raise MemoryError("Unable to allocate 7.45 TiB for an array")

    monkeypatch.setattr(dqn, "QNetwork", full)
    with pytest.raises(UsageError, match=r"not enough memory \(7.45 tib at once\), while dqn was made for"):
        make_agent("dqn", resolve_task(written(tmp_path)))


@pytest.mark.parametrize("value", [np.ma.masked, np.ma.masked_array([1.0], [True])])
def test_a_masked_reward_is_no_number(value: Any) -> None:
    import gymnasium as gym

    contract = Contract("theirs", gym.spaces.Box(-1, 1, (2,)), gym.spaces.Discrete(2))
    with pytest.raises(Breach):
        contract.reward(value)
    assert contract.reward(np.ma.masked_array([2.0], [False])) == 2.0
