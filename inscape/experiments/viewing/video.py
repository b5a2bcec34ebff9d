"""Video files written frame by frame: memory does not grow with their length, and encoding runs beside drawing."""

from __future__ import annotations

import os
import queue
import shutil
import struct
import threading
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import numpy as np

from inscape.errors import UsageError

SUFFIXES = (".mp4", ".gif")

FRAMES_WAITING = 16
"""Frames drawn ahead of the encoder; more would cost memory and win nothing."""


class VideoWriter:
    """Writes frames `[H, W, 3]` uint8 to an MP4 (H.264), a GIF, or a folder of PNG pictures; the name decides.

    A thread encodes while the caller draws the next frame (both let go of Python's lock). The file appears when the
    block ends, also after Ctrl-C and when the disk is full (with the frames so far); after any other error it does not.

    Args:
        path: `….mp4`, `….gif`, or a folder (no suffix) for `00000.png`, `00001.png`, …; parent folders are made.
        fps: frames per second.

    Raises:
        UsageError: another suffix, a folder that holds something already, or a place that cannot be written.
    """

    def __init__(self, path: str | Path, fps: float) -> None:
        self.path, self.fps, self.frames = Path(path), fps, 0
        suffix = self.path.suffix.lower()
        self._is_folder = not suffix
        if suffix and suffix not in SUFFIXES:
            raise UsageError(
                f"{self.path.name!r} as a video file",
                expected="a name ending in .mp4 or .gif, or a folder (no suffix) for numbered PNG pictures",
            )
        if not 0 < fps <= 240:
            raise UsageError(f"{fps} frames per second", expected="more than 0, at most 240")
        if self._is_folder and self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise UsageError(f"{path} exists", expected="a new or empty folder for the pictures")
        self._temporary = self.path.with_name(f".{self.path.stem}.writing-{os.getpid()}{suffix}")
        self._waiting: queue.Queue[np.ndarray | None] = queue.Queue(FRAMES_WAITING)
        self._shape: tuple[int, ...] = ()
        self._thread: threading.Thread | None = None
        self._encoder: _Encoder | None = None
        self._failure: BaseException | None = None
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self._is_folder:
                self._temporary.mkdir()
            else:
                self._temporary.touch()
        except OSError as error:
            raise UsageError(f"cannot write {path}: {error.strerror or error}", hint="another place") from error

    def __enter__(self) -> VideoWriter:
        return self

    def add(self, frame: np.ndarray) -> None:
        """Appends a frame; it may be changed afterwards.

        Raises:
            UsageError: a frame of another size than the first.
        """
        if self._failure is not None:
            raise self._failure if not isinstance(self._failure, OSError) else _DiskFailed()
        self._shape = self._shape or frame.shape
        if frame.shape != self._shape or len(frame.shape) != 3:
            raise UsageError(f"a frame of shape {frame.shape}", expected=f"[H, W, 3], all as the first: {self._shape}")
        if self._thread is None:
            kind = _Folder if self._is_folder else _Gif if self.path.suffix.lower() == ".gif" else _Mp4
            try:
                self._encoder = kind(self._temporary, self.fps, frame.shape[1], frame.shape[0])
            except OSError as error:
                raise self._worded(error) from error
            self._thread = threading.Thread(target=self._encode, args=(self._encoder,), daemon=True)
            self._thread.start()
        self._waiting.put(frame.copy())
        self.frames += 1

    def _encode(self, encoder: _Encoder) -> None:
        """Encodes what waits until it is to stop; after a failure, only empties the queue, so that nobody blocks."""
        while (frame := self._waiting.get()) is not None:
            if self._failure is None:
                self._try(lambda frame=frame: encoder.add(frame))
        if self._failure is None:
            self._try(encoder.close)

    def _try(self, call: Any) -> None:
        try:
            call()
        except BaseException as error:  # handed to the caller's thread
            self._failure = self._failure or error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._thread is not None:
            self._waiting.put(None)
            self._thread.join()
        kept = self.frames
        if isinstance(self._failure, OSError) and self._encoder is not None:
            kept = self._encoder.rescue()
        told = kind is None or issubclass(kind, KeyboardInterrupt | _DiskFailed)
        if kept > 0 and told and (self._failure is None or isinstance(self._failure, OSError)):
            if self._is_folder and self.path.exists():
                self.path.rmdir()  # empty: looked at before
            self._temporary.replace(self.path)
        elif self._is_folder:
            shutil.rmtree(self._temporary)
        else:
            self._temporary.unlink(missing_ok=True)
        if self._failure is not None and (kind is None or issubclass(kind, _DiskFailed)):
            raise self._worded(self._failure, kept)

    def _worded(self, error: BaseException, kept: int = 0) -> BaseException:
        """Returns the error that stopped the encoder; of the disk, as `UsageError`."""
        if not isinstance(error, OSError):
            return error
        number = "the first frame" if kept == 1 else f"the first {kept:,} frames"
        said = UsageError(
            f"cannot write {self.path}: {error.strerror or error}"
            + (f"\n  kept: {number}, in {self.path}" if kept else ""),
            expected="a place that can be written, with room",
            hint="make room, or another --save",
        )
        said.__cause__ = error
        return said


class _DiskFailed(Exception):
    """Ends the block of a writer that cannot write any more; `__exit__` reports it, with what was kept."""


class _Encoder(Protocol):
    def __init__(self, path: Path, fps: float, width: int, height: int) -> None: ...
    def add(self, frame: np.ndarray) -> None: ...
    def close(self) -> None: ...

    def rescue(self) -> int:
        """Makes the file whole after the disk failed; returns how many frames it has, 0 if it cannot be used."""
        ...


class _Mp4:
    def __init__(self, path: Path, fps: float, width: int, height: int) -> None:
        import av

        self._frame, self._path = av.VideoFrame, path
        # in fragments while it is written, so that what is on the disk can be played; one piece once it is closed
        self._container: Any = av.open(str(path), "w", options={"movflags": "hybrid_fragmented+frag_keyframe"})
        self._stream: Any = self._container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000))
        # 4:2:0 halves the colour planes, so sides must be even: one row or column of the edge is repeated
        self._pad = ((0, height % 2), (0, width % 2), (0, 0))
        self._stream.width, self._stream.height = width + width % 2, height + height % 2
        self._stream.pix_fmt = "yuv420p"
        self._stream.options = {"crf": "18", "preset": "veryfast", "g": str(max(1, round(2 * fps)))}

    def add(self, frame: np.ndarray) -> None:
        even = np.ascontiguousarray(np.pad(frame, self._pad, mode="edge"))
        self._container.mux(self._stream.encode(self._frame.from_ndarray(even, format="rgb24")))

    def close(self) -> None:
        self._container.mux(self._stream.encode())
        self._container.close()

    def rescue(self) -> int:
        import av

        with suppress(OSError, av.FFmpegError):
            self._container.close()
        os.truncate(self._path, _whole_boxes(self._path))
        count = 0
        with suppress(OSError, av.FFmpegError, IndexError), av.open(str(self._path)) as video:
            for _ in video.decode(video=0):
                count += 1
        return count


def _whole_boxes(path: Path) -> int:
    """Returns the bytes up to the end of an MP4's last whole fragment (boxes, ISO/IEC 14496-12)."""
    size, at, whole = path.stat().st_size, 0, 0
    with path.open("rb") as file:
        while at + 16 <= size:
            file.seek(at)
            length, kind, long = struct.unpack(">I4sQ", file.read(16))
            at += long if length == 1 else length
            if length == 0 or at > size:
                break
            whole = at if kind in (b"mdat", b"moov") else whole
    return whole


class _Gif:
    """GIF89a with a colour table per frame, each frame holding only the rectangle that changed.

    Pillow's and imageio's own writers keep every frame in memory until the end.
    """

    def __init__(self, path: Path, fps: float, width: int, height: int) -> None:
        self._file = path.open("wb", buffering=0)
        self._whole = self._count = 0  # bytes and number of the frames that are on the disk
        self._milliseconds = max(20, round(1000 / fps))  # viewers slow down anything faster
        self._last: Any = None
        screen = struct.pack("<HHBBB", width, height, 0x70, 0, 0)
        repeat = b"\x21\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00"
        self._write(b"GIF89a" + screen + repeat)

    def _write(self, data: bytes) -> None:
        while data:
            data = data[self._file.write(data) or 0 :]

    def add(self, frame: np.ndarray) -> None:
        from PIL import GifImagePlugin, Image, ImageChops

        image = Image.fromarray(frame)
        box = (0, 0, *image.size)
        if self._last is not None:
            box = ImageChops.difference(image, self._last).getbbox() or (0, 0, 1, 1)
        self._last = image
        part = image.crop(box).quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        for chunk in GifImagePlugin.getdata(
            part, box[:2], duration=self._milliseconds, disposal=1, include_color_table=True
        ):
            self._write(chunk)
        self._whole, self._count = self._file.tell(), self._count + 1

    def close(self) -> None:
        self._write(b";")
        self._file.close()

    def rescue(self) -> int:
        with self._file, suppress(OSError):  # a reader does without the last byte
            self._file.truncate(self._whole)
            self._file.seek(self._whole)
            self._write(b";")
        return self._count


class _Folder:
    """Numbered PNG pictures."""

    def __init__(self, path: Path, fps: float, width: int, height: int) -> None:
        self._path, self._count = path, 0

    def add(self, frame: np.ndarray) -> None:
        from PIL import Image

        Image.fromarray(frame).save(self._picture(), compress_level=4)
        self._count += 1

    def _picture(self) -> Path:
        return self._path / f"{self._count:05d}.png"

    def close(self) -> None:
        """Nothing is open."""

    def rescue(self) -> int:
        self._picture().unlink(missing_ok=True)  # the one that did not fit
        return self._count
