"""MC-AIXI learns in a world it knows nothing of, and resumes bit for bit."""

import numpy as np
import pytest

from inscape import UsageError
from inscape.agents import MCAIXI, MCAIXISettings
from inscape.envs.tasks.resolve import resolve_task

SMALL = MCAIXISettings(depth=8, rewards=4, horizon=2, num_simulations=12, epsilon_decay=0.9)


def test_it_resumes_bit_for_bit_and_remembers():
    task = resolve_task("Tiger", max_episode_steps=10)
    whole, first = MCAIXI(task, 3, SMALL), MCAIXI(task, 3, SMALL)
    for agent in (whole, first):
        for _ in agent.learn(task, 30):
            pass
    second = MCAIXI(task, 99, SMALL)
    second.load_state_dict(first.state_dict())
    reports = [list(agent.learn(task, 50)) for agent in (whole, second)]
    assert reports[0] == reports[1] and len(reports[0]) == 2
    memory = whole.initial_memory(2)
    actions, memory = whole.act_with_memory(np.array([2, 2]), memory, np.zeros(2))
    _, later = whole.act_with_memory(np.array([0, 1]), memory, np.array([-1.0, -1.0]))
    assert actions.shape == (2,) and (later[0] != later[1]).any()


def test_bad_settings_are_refused():
    with pytest.raises(UsageError):
        MCAIXISettings(horizon=0)
    with pytest.raises(UsageError):
        MCAIXI(resolve_task("CartPole"))
