"""Metrics as TensorBoard reads them."""

from __future__ import annotations

import io
import time
import uuid
from pathlib import Path
from typing import Any

from inscape.experiments.runs.storage.files import writing

EVENTS_SECONDS = 5.0
"""TensorBoard events reach the disk this often; rows of metrics, which resuming reads, at once."""


class EventsFile:
    """TensorBoard's file of events, written by the process itself: a full disk is an error where it is met, and not a
    traceback of TensorBoard's own thread."""

    def __init__(self, folder: Path) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        now = time.time()
        number = sum(1 for _ in folder.glob("events.out.tfevents.*"))  # TensorBoard reads files in order of name
        self.path = folder / f"events.out.tfevents.{int(now):010d}.{number:04d}.{uuid.uuid4().hex[:8]}"
        self._pending = io.BytesIO()
        self._due = now
        self._append(Event(wall_time=now, file_version="brain.Event:2"))

    def add(self, step: int, values: dict[str, float]) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        summary = Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()])
        self._append(Event(wall_time=time.time(), step=step, summary=summary))

    def restart(self, step: int) -> None:
        """Tells TensorBoard to drop what earlier files hold from `step` on."""
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog

        self._append(Event(wall_time=time.time(), step=step, session_log=SessionLog(status=SessionLog.START)))

    def _append(self, event: Any) -> None:
        from tensorboard.summary.writer.record_writer import RecordWriter

        RecordWriter(self._pending).write(event.SerializeToString())
        if time.time() >= self._due:
            self.flush()

    def flush(self) -> None:
        data, self._pending = self._pending.getvalue(), io.BytesIO()
        self._due = time.time() + EVENTS_SECONDS
        with writing(self.path), self.path.open("ab") as file:
            file.write(data)
