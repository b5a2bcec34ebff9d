import re
import subprocess
import sys

import numpy as np
import pytest

from inscape.errors import UsageError
from inscape.experiments.viewing import video as video_module
from inscape.experiments.viewing.video import VideoWriter


def read(path):
    import imageio.v3 as iio

    return iio.imread(path)


def frames_of(count: int, height: int = 60, width: int = 80) -> list[np.ndarray]:
    frames = np.full((count, height, width, 3), 240, np.uint8)
    for i in range(count):
        frames[i, 10:30, i : i + 20] = (200, 90, 10)
    return list(frames)


def test_gif_holds_every_frame_exactly(tmp_path):
    frames = [*frames_of(5), frames_of(5)[4]]  # the last one does not change
    with VideoWriter(tmp_path / "a.gif", 10) as video:
        for frame in frames:
            video.add(frame)
    np.testing.assert_array_equal(read(tmp_path / "a.gif"), np.stack(frames))


@pytest.mark.quick("size1")
@pytest.mark.parametrize("size", [(60, 80), (61, 81)])
def test_mp4_holds_every_frame_nearly(tmp_path, size):
    frames = frames_of(8, *size)
    with VideoWriter(tmp_path / "deep" / "a.mp4", 12.5) as video:
        for frame in frames:
            video.add(frame)
    got = read(tmp_path / "deep" / "a.mp4")
    assert got.shape == (8, size[0] + size[0] % 2, size[1] + size[1] % 2, 3)
    difference = np.abs(got[:, : size[0], : size[1]].astype(float) - np.stack(frames))
    assert difference.mean() < 4  # colours are stored at half resolution


def film_until(error, path):
    with VideoWriter(path, 10) as video:
        for frame in frames_of(3):
            video.add(frame)
        raise error


@pytest.mark.slow
def test_video_survives_ctrl_c_and_nothing_else(tmp_path):
    for error, expected in ((KeyboardInterrupt, ["a.mp4"]), (ZeroDivisionError, [])):
        folder = tmp_path / error.__name__
        with pytest.raises(error):
            film_until(error, folder / "a.mp4")
        assert sorted(p.name for p in folder.iterdir()) == expected
    assert len(read(tmp_path / "KeyboardInterrupt" / "a.mp4")) == 3


def test_video_refuses_what_it_cannot_write(tmp_path):
    with pytest.raises(UsageError, match=r"\.mp4 or \.gif"):
        VideoWriter(tmp_path / "a.avi", 10)
    with pytest.raises(UsageError, match="0 frames per second"):
        VideoWriter(tmp_path / "a.mp4", 0)
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot write"):
        VideoWriter(tmp_path / "file" / "a.mp4", 10)


def test_a_folder_holds_every_frame_exactly(tmp_path):
    frames = frames_of(3)
    (tmp_path / "shots").mkdir()  # an empty folder may be there
    with VideoWriter(tmp_path / "shots", 10) as video:
        for frame in frames:
            video.add(frame)
            frame[:] = 0  # the writer keeps its own copy, however late it is encoded
    files = sorted((tmp_path / "shots").iterdir())
    assert [file.name for file in files] == ["00000.png", "00001.png", "00002.png"]
    np.testing.assert_array_equal(np.stack([read(file) for file in files]), np.stack(frames_of(3)))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["shots"]
    with pytest.raises(UsageError, match="new or empty folder"):
        VideoWriter(tmp_path / "shots", 10)


def fill(path, frames):
    with VideoWriter(path, 10) as video:
        for frame in frames:
            video.add(frame)


def test_a_failing_encoder_is_heard_and_leaves_nothing(tmp_path, monkeypatch):
    def full(encoder, frame):
        raise OSError("no space left")

    monkeypatch.setattr(video_module._Mp4, "add", full)
    with pytest.raises(UsageError, match="no space left"):
        fill(tmp_path / "a.mp4", frames_of(60))  # more than may wait
    assert list(tmp_path.iterdir()) == []


def test_frames_of_another_size_are_refused(tmp_path):
    with pytest.raises(UsageError, match=r"shape \(10, 10, 3\)"):
        fill(tmp_path / "a.gif", [frames_of(1)[0], np.zeros((10, 10, 3), np.uint8)])
    assert list(tmp_path.iterdir()) == []


def decoded(path):
    """Frames of a video, counted: what a fragmented file says of its length is not exact."""
    import av

    with av.open(str(path)) as video:
        return [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]


LIMITED = """
import resource, sys
import numpy as np
from inscape.experiments.viewing.video import VideoWriter
noise = np.random.default_rng(0).integers(0, 255, (200, 60, 80, 3), dtype=np.uint8)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
with VideoWriter(sys.argv[1], 10) as video:
    for number, frame in enumerate(noise):
        video.add(frame if number > 5 else frame * 0)
"""


@pytest.mark.quick("shots-3000")
@pytest.mark.parametrize(("name", "limit"), [("a.mp4", 150_000), ("a.gif", 60_000), ("shots", 3_000)])
def test_a_full_disk_keeps_what_was_recorded(tmp_path, name, limit):
    """No file may grow beyond a limit."""
    words = [sys.executable, "-c", LIMITED, name, str(limit)]
    ended = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    kept = re.search(rf"cannot write {name}: File too large\n  kept: the first (\d+) frames, in {name}\n", ended.stderr)
    assert kept, ended.stderr
    assert [path.name for path in tmp_path.iterdir()] == [name]
    path = tmp_path / name
    found = sorted(path.iterdir()) if path.is_dir() else decoded(path)
    assert len(found) == int(kept[1]) >= 5
    if path.is_dir():
        assert [read(picture).shape for picture in found] == [(60, 80, 3)] * len(found)


def test_a_disk_that_is_full_from_the_start_leaves_nothing(tmp_path):
    words = [sys.executable, "-c", LIMITED, "a.gif", "10"]
    ended = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert "cannot write a.gif: File too large" in ended.stderr and "kept" not in ended.stderr
    assert list(tmp_path.iterdir()) == []
