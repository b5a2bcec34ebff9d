from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from inscape.envs.tasks.resolve import resolve_task
from inscape.errors import UsageError
from inscape.world_models import FitReport, KnownModel, LearnedTabularModel, TabularModel, WorldModel, fit_model
from inscape.world_models.interface import STRENGTHS, as_numpy, has_outcomes, legal_actions, num_actions, require
from tests.world_models.helpers import random_model


class Bare:
    """As little as a model may have."""

    action_space, num_players = spaces.Discrete(3), 1

    def init(self, observations: Any) -> Any:
        return observations

    def update(self, states: Any, actions: Any, observations: Any) -> Any:
        return observations

    def step(self, states: Any, actions: Any, rng: np.random.Generator) -> Any:
        raise AssertionError

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        raise AssertionError


class Patient(Bare):
    """Learns in three rounds."""

    def learn(self, trajectories: Any) -> Iterator[FitReport]:
        for k in range(1, 4):
            yield FitReport(transitions=k * len(trajectories), metrics={"loss": 1 / k})


def test_built_in_models_are_models_and_have_their_strengths() -> None:
    lake = resolve_task("FrozenLake").world
    models: dict[Any, set[str]] = {
        KnownModel(lake): {"legal_of", "terminal_of", "mover_of", "keys", "outcomes", "tabular", "log_prob"},
        TabularModel.from_world(lake): {"legal_of", "terminal_of", "keys", "outcomes", "tabular", "log_prob"},
        LearnedTabularModel(4): set(STRENGTHS) - {"mover_of"},
        Bare(): set(),
    }
    for model, strengths in models.items():
        assert isinstance(model, WorldModel)
        assert {name for name, protocol in STRENGTHS.items() if isinstance(model, protocol)} == strengths
        assert {name for name in STRENGTHS if callable(getattr(model, name, None))} == strengths
        assert num_actions(model, "a test") == (3 if isinstance(model, Bare) else 4)


def test_a_missing_strength_is_named() -> None:
    with pytest.raises(UsageError, match=r"sweeping needs a model with tabular\(\)[\s\S]*this one has: learn"):
        require(Patient(), "tabular", "sweeping")
    with pytest.raises(UsageError, match="sweeping was given an environment"):
        require(resolve_task("FrozenLake").env(), "tabular", "sweeping")
    with pytest.raises(UsageError, match="fitting needs a model with learn"):
        fit_model(KnownModel(resolve_task("FrozenLake").world), [])
    assert not has_outcomes(Bare())
    assert has_outcomes(random_model(0))
    assert not has_outcomes(KnownModel(resolve_task("Acrobot", {"torque_noise_max": 0.5}).world))


def test_fitting_in_one_call_and_with_progress() -> None:
    reports: list[FitReport] = []
    last = fit_model(Patient(), [1, 2], reports.append)  # type: ignore[list-item]
    assert last is reports[-1]
    assert [report.transitions for report in reports] == [2, 4, 6]
    assert np.isnan(last.held_out_bits_per_step)

    class Silent(Bare):
        def learn(self, trajectories: Any) -> Iterator[FitReport]:
            return iter(())

    with pytest.raises(UsageError, match="yielded no report"):
        fit_model(Silent(), [])


def test_without_masks_every_action_is_legal() -> None:
    assert legal_actions(Bare(), np.arange(2), "a test").tolist() == [[True] * 3] * 2
    tables = random_model(1)
    np.testing.assert_array_equal(legal_actions(tables, np.array([2, 3]), "a test"), tables.legal[[2, 3]])


def test_other_actions_are_refused_where_they_must_be_few() -> None:
    model = Bare()
    for space in (spaces.Discrete(3, start=1), spaces.Box(-1, 1, (2,))):
        model.action_space = space  # type: ignore[assignment]
        with pytest.raises(UsageError, match="a test chooses among finitely many"):
            num_actions(model, "a test")


def test_tensors_are_read() -> None:
    import torch

    np.testing.assert_array_equal(as_numpy(torch.arange(3.0, requires_grad=True)), [0, 1, 2])


def test_what_learns_nothing_stores_nothing() -> None:
    lake = resolve_task("FrozenLake").world
    for model in (KnownModel(lake), TabularModel.from_world(lake)):
        assert model.state_dict() == {}
        model.load_state_dict({})
        with pytest.raises(UsageError, match="a stored state with counts"):
            model.load_state_dict({"counts": 1})
