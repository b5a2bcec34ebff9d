"""A folder with runs, and a viewer of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from inscape import rollout, train
from inscape.experiments.serving.app import App
from inscape.experiments.serving.server import Viewer


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs, with episodes and evaluations."""
    root = tmp_path_factory.mktemp("viewed") / "runs"
    for name, seed in (("first", 0), ("second", 1)):
        run = train(
            "q-learning", "FourGoals", steps=400, seed=seed, evaluate_every=200, evaluate_episodes=2, report_every=200,
            out=root / name,
        )  # fmt: skip
        run.save_episodes("final", rollout(run.agent, "FourGoals", 2, 7))
    return root


@pytest.fixture
def app(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[App]:
    """What serves them; what is played goes to a fresh folder."""
    monkeypatch.chdir(tmp_path)
    made = App(runs)
    yield made
    made.close()


@pytest.fixture
def viewer(app: App) -> Iterator[Viewer]:
    """A server that runs."""
    made = app.viewer(0)
    made.start()
    yield made
    made.close()
