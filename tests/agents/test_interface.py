from __future__ import annotations

import gymnasium
import numpy as np
import pytest

from inscape.agents.adapters import as_agent
from inscape.agents.interface import Agent, can_learn, can_resume, can_score
from inscape.agents.registry import make_agent
from inscape.agents.vector_actor import check_actions
from inscape.envs.tasks.resolve import resolve_task
from inscape.errors import UsageError
from inscape.world_models.networks.device import resolve_device

TWO = gymnasium.spaces.Discrete(2)


class Bare:
    def act(self, observation):
        return [1] * len(observation)


class OneByOne:
    batched = False
    name = "single"

    def act(self, observation, action_mask=None):
        assert np.ndim(observation) == 0
        return int(observation > 3) if action_mask is None else int(np.argmax(action_mask))


class Scoring(Bare):
    def action_log_probs(self, observation, action_mask=None):
        return np.log(np.full((len(observation), 2), 0.5))


def test_any_object_with_act_is_an_agent():
    agent = as_agent(Bare())
    assert isinstance(agent, Agent)
    assert agent.name == "Bare"
    # a mask it does not take is kept from it
    assert agent.act(np.zeros((3, 2)), np.ones((3, 2), bool)).tolist() == [1, 1, 1]
    assert as_agent(agent) is agent


def test_an_unbatched_agent_says_so_and_is_asked_row_by_row():
    agent = as_agent(OneByOne())
    assert agent.name == "single"
    assert agent.act(np.array([1, 5, 9])).tolist() == [0, 1, 1]
    assert agent.act(np.array([1, 5]), np.array([[False, True], [True, False]])).tolist() == [1, 0]


def test_abilities_shine_through_the_adapter():
    plain, scoring = as_agent(Bare()), as_agent(Scoring())
    assert not can_score(plain)
    assert can_score(scoring)
    assert scoring.action_log_probs(np.zeros(4)).shape == (4, 2)
    assert not can_learn(plain)
    assert not can_resume(plain)
    assert not hasattr(plain, "plan_for")
    task = resolve_task("FrozenLake")
    assert can_learn(make_agent("q-learning", task))
    assert can_resume(make_agent("random", task))
    assert not can_learn(make_agent("random", task))


@pytest.mark.parametrize(
    ("obj", "message"),
    [
        (object(), "no method act"),
        (Bare, "class Bare itself"),
        (type("Deaf", (), {"act": lambda self: 0})(), "cannot be called with one observation"),
        (type("Greedy", (), {"act": lambda self, a, b: 0})(), "cannot be called with one observation"),
    ],
)
def test_what_cannot_act_is_refused(obj, message):
    with pytest.raises(UsageError, match=message):
        as_agent(obj)


MASK = np.array([[True, False], [False, True], [True, True]])


@pytest.mark.parametrize(
    ("actions", "space", "mask", "message"),
    [
        (1, TWO, None, r"shape \(\) for 3 copies at step 7"),
        ([0, 1], TWO, None, r"shape \(2,\)"),
        ([[0], [1], [0]], TWO, None, r"shape \(3, 1\)"),
        ([0.0, 1.0, 0.0], TWO, None, "dtype float64"),
        ([True, False, True], TWO, None, "dtype bool"),
        ([0, 2, 1], TWO, None, "action 2 for copy 20 at step 7"),
        ([0, -1, 1], TWO, None, "action -1 for copy 20 at step 7"),
        ([0, 0, 1], TWO, MASK, "illegal action 0 for copy 20 at step 7"),
        ([[0, 3], [0, 1], [1, 1]], gymnasium.spaces.MultiDiscrete([2, 3]), None, "for copy 10 at step 7"),
        ([[0.0], [np.nan], [0.0]], gymnasium.spaces.Box(-1, 1, (1,)), None, "for copy 20 at step 7"),
        ([[0.0], [0.5], [1.5]], gymnasium.spaces.Box(-1, 1, (1,)), None, "for copy 30 at step 7"),
        (["a", "b", "c"], TWO, None, "dtype"),
    ],
)
def test_bad_actions_name_agent_copy_and_step(actions, space, mask, message):
    copies = np.array([10, 20, 30])
    with pytest.raises(UsageError, match=message) as error:
        check_actions(actions, space, copies, agent="mine", step=7, action_mask=mask)
    assert "agent mine" in str(error.value)


def test_good_actions_pass():
    copies = np.arange(3)
    found = check_actions(np.array([0, 1, 1], np.int8), TWO, copies, agent="a", step=0, action_mask=MASK)
    assert found.dtype == np.int64
    assert found.tolist() == [0, 1, 1]
    shifted = gymnasium.spaces.Discrete(2, start=5)
    assert check_actions([5, 6, 6], shifted, copies, agent="a", step=0, action_mask=MASK).tolist() == [5, 6, 6]
    box = check_actions([[0.1], [1.0], [-1.0]], gymnasium.spaces.Box(-1, 1, (1,)), copies, agent="a", step=0)
    assert box.dtype == np.float32


def test_devices():
    assert resolve_device("cpu").type == "cpu"
    assert resolve_device("auto").type in ("cpu", "cuda")
    for wrong in ("gpu", "cuda:x", "cpu:0", "cuda:99", "", None, 0, {"device": "cpu"}):
        with pytest.raises(UsageError, match="device"):
            resolve_device(wrong)
