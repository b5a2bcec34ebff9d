"""Pictures that other people's environments draw, windows side by side, and disks that are full."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inscape import make_world
from inscape.envs.rendering.rasterizer import Window, as_picture
from inscape.errors import UsageError
from inscape.experiments.viewing.video import VideoWriter

SIDE = (4, 5)
PICTURES = {
    "three channels": (np.full((*SIDE, 3), 200, np.uint8), 200),
    "whole numbers": (np.full((*SIDE, 3), 200), 200),
    "small whole numbers": (np.full((*SIDE, 3), 200, np.int16), 200),
    "fractions": (np.full((*SIDE, 3), 0.5), 128),
    "single precision": (np.full((*SIDE, 3), 0.5, np.float32), 128),
    "black and white": (np.ones((*SIDE, 3), bool), 255),
    "transparent": (np.zeros((*SIDE, 4), np.uint8), 255),
    "opaque": (np.full((*SIDE, 4), (7, 7, 7, 255), np.uint8), 7),
    "opaque fractions": (np.full((*SIDE, 4), (0.0, 0.0, 0.0, 1.0)), 0),
    "grey": (np.full(SIDE, 90, np.uint8), 90),
    "grey fractions": (np.full(SIDE, 1.0), 255),
    "one channel": (np.full((*SIDE, 1), 90, np.uint8), 90),
    "a view": (np.full((5, 4, 3), 90, np.uint8).transpose(1, 0, 2), 90),
}
NO_PICTURES = {
    "nothing": (None, "NoneType"), "text": ("a picture", "str"), "list": ([[1]], "list"),
    "channels first": (np.zeros((3, 40, 50), np.uint8), r"\(3, 40, 50\), uint8"),
    "five channels": (np.zeros((*SIDE, 5), np.uint8), r"\(4, 5, 5\)"), "flat": (np.zeros(9, np.uint8), r"\(9,\)"),
    "several": (np.zeros((2, *SIDE, 3), np.uint8), r"\(2, 4, 5, 3\)"), "empty": (np.zeros((0, 0, 3), np.uint8), "0, 0"),
    "objects": (np.full((*SIDE, 3), None), "object"), "beyond 255": (np.full((*SIDE, 3), 300), "300"),
    "negative": (np.full((*SIDE, 3), -1), "-1"), "floats to 255": (np.full((*SIDE, 3), 200.0), "200"),
    "not a number": (np.full((*SIDE, 3), np.nan), "nan"),
}  # fmt: skip


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_are_taken_in_every_form(name: str) -> None:
    frame, value = PICTURES[name]
    picture = as_picture(frame, "Theirs-v0")
    assert picture.shape == (*SIDE, 3) and picture.dtype == np.uint8 and picture.flags.c_contiguous
    assert (picture == value).all()


@pytest.mark.parametrize("name", NO_PICTURES)
def test_what_is_no_picture_is_named(name: str) -> None:
    frame, said = NO_PICTURES[name]
    with pytest.raises(UsageError, match=f"Theirs-v0 drew .*{said}"):
        as_picture(frame, "Theirs-v0")


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("count", [2, 3])
def test_closing_a_window_leaves_the_others(first: int, count: int) -> None:
    envs = [make_world("FrozenLake").env(render_mode="human") for _ in range(count)]
    for env in envs:
        env.metadata = {**env.metadata, "render_fps": 1000}
        env.reset(seed=0)
    for env in [envs.pop(first), *envs]:
        env.close()
        for other in envs:
            if other is not env and other._window is not None:
                other.step(0)
    envs[0].close()


def test_windows_of_two_sizes_take_turns() -> None:
    one, two = Window("one"), Window("two")
    for _ in range(3):
        assert one.show_frame(np.zeros((20, 30, 3), np.uint8))
        assert two.show_frame(np.zeros((40, 10, 3), np.uint8))
    one.close()
    one.close()
    assert two.show_frame(np.zeros((40, 10, 3), np.uint8)) and not one.show_frame(np.zeros((20, 30, 3), np.uint8))
    two.close()


@pytest.mark.quick("folder")
@pytest.mark.parametrize("name", ["a.gif", "a.mp4", "folder"])
def test_a_full_disk_is_told_in_words(tmp_path: Path, name: str) -> None:
    code = f"""
import resource, sys
import numpy as np
from inscape.errors import UsageError
from inscape.experiments.viewing.video import VideoWriter
rng = np.random.default_rng(0)
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
try:
    with VideoWriter({str(tmp_path / name)!r}, 10) as video:
        for _ in range(60):
            video.add(rng.integers(0, 256, (64, 64, 3), np.uint8))
except UsageError as error:
    assert "cannot write" in str(error), error
    sys.exit(7)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env=os.environ)
    assert done.returncode == 7, done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_other_errors_of_the_encoder_stay_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from inscape.experiments.viewing import video

    def broken(self: Any, frame: np.ndarray) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(video._Gif, "add", broken)
    with pytest.raises(ZeroDivisionError), VideoWriter(tmp_path / "a.gif", 10) as writer:
        writer.add(np.zeros((8, 8, 3), np.uint8))
