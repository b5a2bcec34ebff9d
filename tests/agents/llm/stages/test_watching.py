"""Reinforcement under alarms: a leap is reported, stops, or is rolled back; nothing is ever NaN."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from inscape import make_agent, resolve_task
from inscape.errors import UsageError

pytest.importorskip("transformers")
SMALL = {
    "hidden_size": 16, "layers": 1, "heads": 2, "clone_steps": 0, "num_envs": 16, "num_steps": 8, "epochs": 1,
}  # fmt: skip
LEAP = {"learning_rate": 2.0, "max_grad_norm": 1e6, "epochs": 8, "entropy_coef": 0.0}


def learned(steps: int, **settings: Any) -> Any:
    task = resolve_task("FrozenLake")
    agent = make_agent("llm", task, settings=SMALL | settings)
    for _ in agent.learn(task, steps):
        pass
    return agent


def finite(agent: Any) -> bool:
    return all(np.isfinite(w).all() for w in agent.policy.weights().values())


def test_a_leap_is_named_and_the_run_goes_on() -> None:
    with pytest.warns(UserWarning, match="alarm: ratio at step"):
        agent = learned(800, **LEAP)
    assert {alarm.kind for alarm in agent.watch.seen} >= {"ratio"}
    assert finite(agent)


def test_a_leap_stops_where_asked() -> None:
    with pytest.raises(UsageError, match="alarm: ratio at step"):
        learned(800, on_alarm="stop", **LEAP)


@pytest.mark.filterwarnings("ignore:alarm")
def test_rolling_back_takes_smaller_steps_from_the_last_good_weights() -> None:
    task = resolve_task("FrozenLake")
    agent: Any = make_agent("llm", task, settings=SMALL | LEAP | {"on_alarm": "roll-back"})
    before, rolled = agent.policy.weights(), 0
    for row in agent.learn(task, 800):
        after = agent.policy.weights()
        if agent.learner.caution < 0.5**rolled:
            assert all(np.array_equal(before[name], w) for name, w in after.items())
            assert row["steps"] == agent.learner.steps
            rolled += 1
        before = after
    assert rolled >= 1
    assert agent.learner.caution == 0.5**rolled


def test_a_loss_that_is_not_a_number_is_rolled_back_or_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    task = resolve_task("FrozenLake")
    for mode in ("roll-back", "warn"):
        agent: Any = make_agent("llm", task, settings=SMALL | {"on_alarm": mode})
        learner, descend, calls = agent.learner, agent.learner.descend, []

        def broken(loss: Any, descend: Any = descend, calls: Any = calls) -> None:
            calls.append(loss)
            descend(loss * float("nan") if len(calls) == 3 else loss)

        monkeypatch.setattr(learner, "descend", broken)
        if mode == "warn":
            with pytest.raises(UsageError, match="a loss of nan, after 256 steps"):
                list(agent.learn(task, 1024))
        else:
            with pytest.warns(UserWarning, match="not finite at step 256"):
                rows = list(agent.learn(task, 1024))
            assert rows[-1]["steps"] == 1024
            assert learner.caution == 0.5
        assert finite(agent)


def test_a_gradient_that_is_not_finite_changes_no_weight() -> None:
    agent = learned(0)
    weight = next(agent.policy.parameters())
    before = agent.policy.weights()
    with pytest.raises(UsageError, match="a gradient of norm"):
        agent.learner.descend((weight - weight.detach()).abs().sum().sqrt())
    assert all(np.array_equal(before[name], w) for name, w in agent.policy.weights().items())
    assert torch.isfinite(weight).all()


@pytest.mark.filterwarnings("ignore:alarm")
def test_a_resumed_watch_ends_with_the_same_weights() -> None:
    task, given = resolve_task("FrozenLake"), SMALL | LEAP | {"on_alarm": "roll-back"}
    whole: Any = make_agent("llm", task, settings=given)
    resumed: Any = make_agent("llm", task, settings=given)
    states = [whole.state_dict() for _ in whole.learn(task, 800)]
    rolled = next(k for k, state in enumerate(states) if state["caution"] < 1)
    for at in (rolled - 1, rolled):
        resumed.load_state_dict(states[at])
        list(resumed.learn(task, 800))
        for name, weights in whole.policy.weights().items():
            assert weights.tobytes() == resumed.policy.weights()[name].tobytes()


def test_answers_in_text_refuse_what_does_not_watch_them() -> None:
    with pytest.raises(UsageError, match="on_alarm 'stop' where answers are generated"):
        make_agent("llm", resolve_task("Arithmetic"), settings={"on_alarm": "stop"})
