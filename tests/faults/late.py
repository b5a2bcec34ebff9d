"""User environments that go wrong late (`late_faults`): named with copy, step and seed, and the run is kept."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path

import pytest

from tests.envs.tasks.late_faults import FAULTS
from tests.envs.tasks.test_late_faults import CATCHABLE, KINDS, goes_wrong
from tests.faults.rows import Row, first


def late(short: bool, place: Path) -> list[Row]:
    wrong, before = [], dict(os.environ)
    chosen = CATCHABLE[:: len(CATCHABLE) // 10] if short else [*CATCHABLE][:200]
    for number, (what, when) in enumerate(chosen):
        with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(io.StringIO()):
            patch.delenv("LATE_FAULTS_MENDED", raising=False)
            try:
                kind = KINDS[number % len(KINDS)]
                goes_wrong(kind, what, when, list(FAULTS).index(what), place / str(number), patch)
            except (Exception, AssertionError, pytest.fail.Exception) as error:
                wrong.append(f"{what}, {when}: {type(error).__name__}: {str(error)[:150]}")
        os.environ.clear()
        os.environ.update(before)
    return [Row("environments that go wrong late", len(chosen), len(wrong),
                "a fault not named, a run that does not load or go on", first(wrong))]  # fmt: skip
