"""Videos while an agent learns: files that play, without a trace in what is learned, refused where nothing is drawn."""

from __future__ import annotations

from pathlib import Path

import av
import gymnasium
import numpy as np
import pytest

from inscape.errors import UsageError
from inscape.experiments import train
from inscape.experiments.viewing import recording as videos
from tests.experiments.runs.storage.test_checkpoints import assert_same
from tests.experiments.runs.test_training import run_walker, walker

__all__ = ["walker"]  # a fixture


def frames(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as video:
        return [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]


class Patch(gymnasium.Env[int, int]):
    """Never ends; draws a square that moves."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 30}
    observation_space, action_space = gymnasium.spaces.Discrete(8), gymnasium.spaces.Discrete(2)

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode, self.at = render_mode, 0

    def reset(self, *, seed: int | None = None, options: object = None) -> tuple[int, dict[str, object]]:
        super().reset(seed=seed)
        self.at = 0
        return 0, {}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, object]]:
        self.at = (self.at + 1) % 8
        return self.at, 0.0, False, False, {}

    def render(self) -> np.ndarray:
        picture = np.zeros((64, 64, 3), np.uint8)
        picture[:8, 8 * self.at : 8 * self.at + 8] = 255
        return picture


class Dark(Patch):
    metadata = {"render_modes": []}


def test_videos_of_a_world_play_and_leave_no_trace(
    walker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(videos, "LONGEST", 12)
    runs = [
        run_walker(walker, tmp_path / str(every), steps=400, evaluate_every=0, video_every=every) for every in (0, 200)
    ]
    assert_same(*(run.agent.state_dict() for run in runs))  # type: ignore[attr-defined]
    assert not (runs[0].path / "videos").exists()
    made = sorted((runs[1].path / "videos").iterdir())
    assert [path.name for path in made] == ["step-200.mp4", "step-400.mp4"]
    for path in made:
        assert 2 <= len(frames(path)) <= 12


def test_videos_of_an_environment_that_never_ends_are_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(videos, "LONGEST", 9)
    run = train("q-learning", Patch, 1000, evaluate_every=0, out=tmp_path / "r", verbose=False, video_every=600)
    made = list((run.path / "videos").iterdir())
    assert len(made) == 1
    shown = frames(made[0])
    assert len(shown) == 9
    assert np.abs(shown[0].astype(int) - shown[3]).max() > 100


def test_what_cannot_be_drawn_is_refused_before_it_learns(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="videos of Dark, whose render modes are none"):
        train("q-learning", Dark, 500, evaluate_every=0, out=tmp_path / "r", verbose=False, video_every=100)
    assert not (tmp_path / "r").exists()
    with pytest.raises(UsageError, match="without a folder"):
        train("q-learning", "FrozenLake", 500, verbose=False, video_every=100)
