"""Models that verbs are given, and episodes that are collected for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import inscape
from inscape.agents import make_agent
from inscape.errors import UsageError
from inscape.experiments.cli import main
from inscape.experiments.runs.model_scores import ModelScores
from inscape.world_models import fit_model, make_model, value_iteration

QUIET = {"evaluate_every": 0, "verbose": False}


def test_plans_are_made_in_models(tmp_path: Path) -> None:
    run = inscape.train("tabular", "FrozenLake", 400, out=tmp_path / "run", **QUIET)
    learned = run.agent.model.tabular()
    expected = value_iteration(learned, 0.95).q_values[learned.init(np.array([0, 4]))]
    for given in (run, run.path, run.agent.model):
        plans = inscape.plan("FrozenLake", [0, 4], "value-iteration", model=given, gamma=0.95)
        assert np.allclose(plans.action_values, expected, atol=1e-6)
    assert inscape.plan("FrozenLake", 4, "value-iteration", model=run).action_name in ("left", "down", "right", "up")
    with pytest.raises(UsageError, match="observation space"):
        inscape.plan("Taxi", model=run)
    with pytest.raises(UsageError, match="world = FourGoals|observation space"):
        inscape.plan("FourGoals", model=run)
    with pytest.raises(UsageError, match="no run at tabulr"):
        inscape.plan("FrozenLake", model="tabulr")
    with pytest.raises(UsageError, match="without init"):
        inscape.plan("FrozenLake", model=3)


def test_collected_episodes_are_learned_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "lake.npz"
    assert main(["collect", "FrozenLake", "--steps", "300", "--out", str(path)]) == 0
    assert "300 steps" in capsys.readouterr().out
    run = inscape.train("tabular", "FrozenLake", data=str(path), **QUIET)
    assert run.agent.steps == 300
    known = inscape.collect("FrozenLake", "posterior", 100, model=run, seed=1)
    assert sum(map(len, known)) == 100 and run.agent.model.tried().sum() == 300  # the run's model is not changed
    assert run.agent.model.tried().sum() == 300


@pytest.mark.slow
def test_disagreement_leads_to_what_was_tried_least() -> None:
    agent = make_agent("tabular", "FrozenLake", settings={"collect": "disagreement", "round_steps": 50})
    for _ in agent.learn(agent._task, 600):
        pass
    random = make_agent("tabular", "FrozenLake", settings={"round_steps": 50})
    for _ in random.learn(random._task, 600):
        pass
    seen, shallow = ((one.model.tried() > 0).sum() for one in (agent, random))
    assert seen > shallow  # pairs of state and action tried at least once


def test_scores_of_a_run_are_those_of_its_model() -> None:
    run = inscape.train("tabular", "FrozenLake", 300, seed=2, **QUIET)
    scores = ModelScores(run.agent, inscape.resolve_task("FrozenLake"), 5)()
    assert set(scores) == {"model/bits", "model/excess_bits", "model/regret"}
    copy = make_model("tabular", "FrozenLake")
    copy.load_state_dict(run.agent.model.state_dict())
    assert scores["model/regret"] == pytest.approx(inscape.world_models.regret(copy, "FrozenLake").regret)
    assert fit_model(copy, inscape.rollout("random", "FrozenLake", 1, seed=0)).transitions
