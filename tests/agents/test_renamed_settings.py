"""Settings that were renamed: the table is right, and stored runs, states and Python code go on with old names."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from inscape.agents.catalogue import BUILT_IN
from inscape.agents.off_policy.dqn import DQNSettings
from inscape.agents.on_policy.ppo import PPOSettings
from inscape.agents.on_policy.recurrent_ppo import RecurrentPPOSettings
from inscape.agents.on_policy.reinforce import ReinforceSettings
from inscape.agents.registry import current_agent_settings, make_agent, settings_class
from inscape.agents.renamed_settings import RENAMED, Renamed, current_settings, may_be_old
from inscape.agents.sb3.settings import SB3Settings
from inscape.agents.settings import build_settings
from inscape.envs.tasks.resolve import resolve_task
from inscape.errors import UsageError
from inscape.experiments.runs.folders import open_run
from inscape.experiments.runs.resuming import load_agent
from inscape.experiments.runs.settings import RunSettings
from inscape.experiments.runs.training import train


def _settings_classes() -> dict[str, type]:
    classes = [settings_class(entry.name) for entry in BUILT_IN] + [SB3Settings]
    return {base.__name__: base for cls in classes if cls is not None for base in cls.__mro__}


@pytest.mark.parametrize("row", RENAMED, ids=lambda row: f"{row.settings}.{row.old}")
def test_each_row_leads_to_a_setting_that_is_there(row: Renamed) -> None:
    fields = {f.name for f in dataclasses.fields(_settings_classes()[row.settings])}
    assert row.new in fields
    assert row.old == row.new or row.old not in fields
    cls = next(cls for cls in _settings_classes().values() if row.settings in {base.__name__ for base in cls.__mro__})
    for old, new in row.values:
        assert getattr(build_settings(cls, {row.old: old}), row.new) == new
        assert getattr(build_settings(cls, {row.old: new}), row.new) == new  # only the name is old


def test_old_names_become_present_ones_and_others_stay() -> None:
    old = {"n_envs": 4, "ent_coef": 0.1, "schedule": "linear", "gamma": 0.9}
    assert current_settings(SB3Settings, old) == {
        "num_envs": 4, "entropy_coef": 0.1, "anneal": "linear", "gamma": 0.9,
    }  # fmt: skip
    assert current_settings(PPOSettings, {"backend": "resident"}) == {"backend": "cuda"}
    assert current_settings(PPOSettings, {"backend": "torch", "n_envs": 4}) == {"backend": "torch", "n_envs": 4}
    assert current_settings(type(None), {"backend": "resident"}) == {"backend": "resident"}


@pytest.mark.parametrize("names", [("n_envs", "num_envs"), ("num_envs", "n_envs")])
def test_a_setting_given_twice_is_refused(names: tuple[str, str]) -> None:
    with pytest.raises(UsageError, match="'n_envs' is the old name of 'num_envs'"):
        build_settings(SB3Settings, dict.fromkeys(names, 4))


def test_a_custom_class_inherits_the_old_names_but_keeps_its_own() -> None:
    @dataclass(frozen=True)
    class Custom(SB3Settings):
        schedule: str = "own"

    assert current_settings(Custom, {"n_envs": 4, "schedule": "mine"}) == {"num_envs": 4, "schedule": "mine"}


def test_only_settings_that_may_be_old_ask_for_their_agent() -> None:
    assert may_be_old({"entropy": 0.1})
    assert may_be_old({"backend": "resident"})
    assert not may_be_old({"backend": "cuda", "anneal": "linear", "entropy_coef": 0.1})
    assert current_agent_settings("nowhere.py:Agent", {"n_envs": 4}) == {"n_envs": 4}
    assert current_agent_settings("a package that is gone", {"n_envs": 4}) == {"n_envs": 4}
    assert current_agent_settings("independent:ppo", {"backend": "resident"}) == {"backend": "cuda"}


def test_python_code_with_old_names_works_and_is_warned() -> None:
    task = resolve_task("FrozenLake")
    with pytest.warns(FutureWarning, match="'steps_per_report' is now 'report_every'"):
        agent: Any = make_agent("q-learning", task, settings={"steps_per_report": 77})
    assert agent.settings.report_every == 77


# ---------------------------------------------------------------------------------------------------- stored runs


def test_a_stored_run_is_opened_by_present_names() -> None:
    stored = RunSettings("llm", {"name": "FrozenLake", "settings": {}}, 0, 100, agent_settings={
        "horizon": 16, "entropy": 0.1, "value_weight": 0.4, "kl_weight": 0.2, "max_gradient_norm": 0.3, "anneal": False,
    })  # fmt: skip
    assert RunSettings.from_json(stored.to_json()).agent_settings == {
        "num_steps": 16, "entropy_coef": 0.1, "value_coef": 0.4, "kl_coef": 0.2, "max_grad_norm": 0.3,
        "anneal": "constant",
    }  # fmt: skip


def _tables(path: Any) -> np.ndarray:
    state, _ = open_run(path).load_latest() or ({}, {})
    return np.asarray(state["tables"]["q"])


@pytest.mark.parametrize("given", ["steps_per_report", "report_every"])
def test_a_run_stored_with_old_names_goes_on_exactly(tmp_path: Any, given: str) -> None:
    task, settings = resolve_task("FrozenLake"), {"report_every": 100}
    options: dict[str, Any] = {"evaluate_every": 0, "progress": False, "checkpoint_steps": 1}

    def stop(_: Any, metrics: Any) -> None:
        if metrics["steps"] == 300:
            raise KeyboardInterrupt

    train("q-learning", task, 600, out=tmp_path / "whole", settings=settings, **options)
    with pytest.raises(KeyboardInterrupt):
        train("q-learning", task, 600, out=tmp_path / "half", settings=settings, on_yield=stop, **options)
    file = tmp_path / "half" / "settings.json"
    document = json.loads(file.read_text())
    document["agent_settings"]["steps_per_report"] = document["agent_settings"].pop("report_every")
    file.write_text(json.dumps(document))
    (tmp_path / "half" / "manifest.json").unlink()  # runs of that time had none
    load_agent(tmp_path / "half")
    assert not np.array_equal(_tables(tmp_path / "half"), _tables(tmp_path / "whole"))
    if given == "report_every":
        train("q-learning", task, 600, out=tmp_path / "half", settings=settings, resume=True, **options)
    else:
        with pytest.warns(FutureWarning, match="report_every"):
            train("q-learning", task, 600, out=tmp_path / "half", settings={given: 100}, resume=True, **options)
    assert np.array_equal(_tables(tmp_path / "half"), _tables(tmp_path / "whole"))


def test_a_state_of_the_learner_once_called_resident_goes_on_exactly() -> None:
    task = resolve_task("CartPole")
    settings = {"num_envs": 4, "num_steps": 8, "minibatches": 2, "epochs": 2, "hidden": (8,), "backend": "cuda"}
    whole, half, resumed = (make_agent("ppo", task, seed=3, settings=settings) for _ in range(3))
    expected = list(whole.learn(task, 96))  # type: ignore[attr-defined]
    learning = half.learn(task, 96)  # type: ignore[attr-defined]
    next(learning)
    resumed.load_state_dict({**half.state_dict(), "backend": "resident"})  # type: ignore[attr-defined]
    assert list(resumed.learn(task, 96)) == expected[1:]  # type: ignore[attr-defined]


# ---------------------------------------------------------------------------------------------------- one vocabulary


def test_one_name_means_one_type_in_every_agent() -> None:
    """Settings of one name differ in type only by None, for "the agent's own" or "adjusted"."""
    shared = ("entropy_coef", "value_coef", "max_grad_norm", "num_steps", "num_envs", "learning_rate", "gamma",
              "gae_lambda", "epochs", "clip", "anneal", "report_every", "epsilon_end", "epsilon_fraction")  # fmt: skip
    types: dict[str, set[str]] = {name: set() for name in shared}
    for cls in _settings_classes().values():
        if dataclasses.is_dataclass(cls):
            for f in dataclasses.fields(cls):
                if f.name in types:
                    types[f.name].add(str(f.type).removesuffix(" | None"))
    assert {name: len(found) for name, found in types.items()} == dict.fromkeys(shared, 1)


def test_defaults_are_those_before_inheritance() -> None:
    recurrent = dataclasses.asdict(RecurrentPPOSettings())
    assert recurrent == {
        "num_envs": 32, "num_steps": 64, "epochs": 4, "minibatches": 4, "learning_rate": 1e-3, "anneal": "linear",
        "gamma": 0.99, "gae_lambda": 0.95, "clip": 0.2, "value_coef": 0.5, "entropy_coef": 0.01, "max_grad_norm": 0.5,
        "normalize_advantages": True, "normalize_observations": False, "normalize_rewards": True, "target_kl": None,
        "memory": 64, "hidden": (), "activation": "tanh", "previous_action": True, "previous_reward": False,
        "greedy": True, "threads": 1,
    }  # fmt: skip
    assert dataclasses.asdict(ReinforceSettings()) == {
        "num_envs": 16, "baseline": "value", "gamma": 0.99, "discount_states": True, "learning_rate": 3e-3,
        "value_learning_rate": 1e-2, "value_steps": 10, "entropy_coef": 0.0, "max_grad_norm": None,
        "normalize_observations": False, "hidden": (64, 64), "activation": "tanh", "longest_episode": 10_000,
        "greedy": True, "threads": 1,
    }  # fmt: skip
    assert DQNSettings().backend == "auto"
