"""Best model kept, early stopping, evaluation that leaves no trace; each over resume too."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inscape.agents.learning.apart import apart
from inscape.errors import UsageError
from inscape.experiments import Callback, KeepBest, StopAt, StopOnPlateau, evaluate, load_agent, open_run, train
from inscape.experiments.cli import main
from inscape.experiments.runs.callbacks import restore_states, states_of
from inscape.experiments.runs.storage.checkpoints import checkpoint_folders
from tests.experiments.runs.storage.test_checkpoints import assert_same
from tests.experiments.runs.test_training import rows, run_walker, walker

__all__ = ["walker"]  # a fixture


class Scripted(Callback):
    """Notes evaluations; raises at a step, as if the process were killed there."""

    def __init__(self, dies_at: int = -1) -> None:
        self.dies_at, self.returns = dies_at, {}

    def on_evaluation(self, training: Any, metrics: Mapping[str, float]) -> None:
        self.returns[int(metrics["steps"])] = metrics["evaluation/return_mean"]

    def on_step(self, training: Any, metrics: Mapping[str, float]) -> None:
        if training.steps == self.dies_at:
            raise KeyError("killed")


def policy(run: Any) -> Any:
    return run.agent.state_dict()["tables"]


LAKE: dict[str, Any] = {"evaluate_every": 500, "evaluate_episodes": 5, "verbose": False, "keep_best": True}


def test_the_best_model_is_that_of_the_best_evaluation_in_memory_and_in_a_folder(tmp_path: Path) -> None:
    noting = Scripted()
    run = train("q-learning", "FrozenLake", 4000, on=[noting], **LAKE)
    best = run.best_evaluation()
    assert best is not None
    assert best.return_mean == max(noting.returns.values())
    assert best.steps == min(s for s, value in noting.returns.items() if value == best.return_mean)
    short = train("q-learning", "FrozenLake", 4000, on=[Scripted()], **(LAKE | {"stop_at": best.return_mean}))
    assert short.stopped is not None
    assert short.steps_taken == best.steps
    assert_same(policy(run.best), policy(short))
    saved = run.save(tmp_path / "run")
    again = open_run(tmp_path / "run" / "best")
    assert again.best_evaluation() == saved.best_evaluation() == best
    for found in (again.agent, load_agent(tmp_path / "run" / "best")[0]):
        assert_same(found.state_dict()["tables"], policy(short))  # type: ignore[attr-defined]
    assert evaluate(str(tmp_path / "run" / "best"), episodes=10).mean == evaluate(short, episodes=10).mean
    with pytest.raises(UsageError, match="keeps no best"):
        _ = train("q-learning", "FrozenLake", 200, verbose=False).best


def test_killed_and_resumed_the_best_and_the_stop_are_the_same(walker: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {"keep_best": True, "patience": 3, "steps": 20_000, "checkpoint_steps": 700}
    whole = run_walker(walker, tmp_path / "whole", **options)
    assert whole.stopped is not None
    assert 1500 < whole.steps_taken < 20_000
    with pytest.raises(KeyError):
        run_walker(walker, tmp_path / "cut", **options, on=[Scripted(whole.steps_taken - 100)])
    del options["keep_best"], options["patience"]  # as they were
    cut = run_walker(walker, tmp_path / "cut", **options, resume=True)
    assert (cut.stopped, cut.best_evaluation()) == (whole.stopped, whole.best_evaluation())
    assert rows(cut) == rows(whole)
    assert len(checkpoint_folders(cut.path, "best")) == 1
    assert_same(cut.best.load_latest()[0], whole.best.load_latest()[0])  # type: ignore[index]


def test_a_stopped_run_goes_on_only_when_told(walker: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place, whole = tmp_path / "r", run_walker(walker, tmp_path / "whole")
    stopped = run_walker(walker, place, stop_at=0.0)
    assert stopped.stopped == "evaluation return 0 is at least 0"
    assert run_walker(walker, place, resume=True).trained_steps == 0
    assert main(["train", "--resume", str(place), "--trust"]) == 0
    assert "Stopped early at 500 of 2,000 steps: evaluation return 0 is at least 0" in capsys.readouterr().out
    on = run_walker(walker, place, resume=True, go_on=True)
    assert (on.stopped, on.trained_steps, on.finished) == (None, 1500, True)
    assert rows(on) == rows(whole)
    with pytest.raises(UsageError, match="go_on without resume"):
        run_walker(walker, tmp_path / "other", go_on=True)


@pytest.mark.parametrize("agent", ["q-learning", "{walker}"])
def test_a_run_learns_the_same_with_and_without_evaluation(agent: str, walker: str, tmp_path: Path) -> None:
    found = []
    for every in (0, 400):
        run = train(
            agent.format(walker=walker), "FrozenLake", 2000, evaluate_every=every, evaluate_episodes=3, verbose=False
        )
        found.append(run.agent.state_dict())  # type: ignore[attr-defined]
    assert_same(*found)


def test_generators_are_put_back_wherever_an_agent_keeps_them() -> None:
    class Own:
        __slots__ = ("inner",)

    class Agent:
        def __init__(self) -> None:
            self.one, self.many = np.random.default_rng(1), {"a": [np.random.RandomState(2)], "b": random.Random(3)}
            self.own = Own()
            self.own.inner = np.random.Generator(np.random.Philox(4))  # type: ignore[attr-defined]
            self.me = self

        def drawn(self) -> list[float]:
            generators = (self.one, self.many["a"][0], self.many["b"], self.own.inner)  # type: ignore[index,attr-defined]
            return [*(g.random() for g in generators), np.random.random(), random.random()]

    agent, twin, seen = Agent(), Agent(), []
    np.random.seed(5)
    random.seed(5)
    expected = twin.drawn()
    np.random.seed(5)
    random.seed(5)
    for seed in (7, 7, 8):
        with apart(agent, seed):
            seen.append(agent.drawn())
    assert seen[0] == seen[1]
    assert not set(seen[0]) & set(seen[2])
    assert len(set(seen[0])) == 6
    assert agent.drawn() == expected


def plateau(returns: list[float], **settings: Any) -> int | None:
    """Returns the evaluation after which `StopOnPlateau` stops; between two, it is stored and restored."""

    class Stub:
        steps, stopped = 0, None

        def stop(self, reason: str) -> None:
            self.stopped = self.steps

    stub, state = Stub(), {}
    for stub.steps, value in enumerate(returns):
        rule = StopOnPlateau(**settings)
        restore_states([StopAt(0), rule], state)
        rule.on_evaluation(stub, {"evaluation/return_mean": value})  # type: ignore[arg-type]
        state = states_of([StopAt(0), rule])
        if stub.stopped is not None:
            break
    return stub.stopped


def test_patience_counts_evaluations_without_a_new_best() -> None:
    assert plateau([1, 2, 2, 1, 3, 3, 2, 3], patience=3) == 7
    assert plateau([1, 2, 2, 1, 3], patience=2) == 3
    assert plateau([3, 1, 1, 1, 1, 1], patience=2, min_evaluations=5) == 4
    assert plateau([1, 1.5, 2, 2.5], patience=1, min_improvement=0.6) == 1
    assert plateau([-5, -6, -7], patience=2) == 2
    assert plateau([math.nan, math.nan], patience=2) == 1
    assert plateau([1, 2, 3, 4], patience=1) is None


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"stop_at": math.nan}, "stop_at = nan"),
        ({"stop_at": "high"}, "stop_at = 'high'"),
        ({"patience": 0}, "patience"),
        ({"patience": 2.5}, "patience"),
        ({"keep_best": "yes"}, "keep_best"),
        ({"video_every": -1}, "video_every"),
        ({"keep_best": True, "evaluate_every": 0}, "keep_best without evaluations"),
        ({"patience": 2, "evaluate_every": 0}, "patience without evaluations"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(asked: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        train("q-learning", "FrozenLake", 500, verbose=False, out=tmp_path / "r", **asked)
    assert not (tmp_path / "r").exists()


def test_callbacks_of_ones_own_may_be_these() -> None:
    run = train("q-learning", "FrozenLake", 2000, evaluate_every=500, verbose=False, on=[KeepBest(), StopAt(0)])
    assert run.stopped is not None
    assert run.best_evaluation() is not None


def test_the_line_keeps_stops_and_evaluates_the_best(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "q.toml").write_text(
        'agent = "q-learning"\nworld = "FrozenLake"\nsteps = 3000\nkeep_best = true\nstop_at = 0\nfinal_episodes = 0\n'
    )
    assert main(["train", "--config", "q.toml", "--out", "r"]) == 0
    shown = capsys.readouterr().out
    assert "Stopped early at 0 of 3,000 steps" in shown
    assert "inscape evaluate r --best" in shown
    assert main(["evaluate", "r", "--best", "--episodes", "5"]) == 0
    first = capsys.readouterr().out
    assert main(["evaluate", "r/best", "--episodes", "5"]) == 0
    assert first.splitlines()[0].split(":")[1] == capsys.readouterr().out.splitlines()[0].split(":")[1]
    for line, message in (
        (["train", "--resume", "r/best"], "newest model"),
        (["evaluate", "random", "FrozenLake", "--best"], "--best with random"),
        (["train", "q-learning", "FrozenLake", "--seeds", "2", "--keep-best"], "--keep-best with --seeds"),
    ):
        assert main(line) == 2
        assert message in capsys.readouterr().err
