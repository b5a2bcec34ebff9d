"""Flips, cuts, swaps and deletions in every file of a run, of a hub folder and of an experiment: what is read is what
was written, or is refused."""

from __future__ import annotations

import contextlib
import io
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from inscape.errors import UsageError
from inscape.experiments import export
from inscape.experiments.trials.results import RESULTS, ResultsFile
from inscape.experiments.trials.trial import TrialResult
from tests.experiments.runs import damages
from tests.experiments.runs.storage.test_checkpoints import assert_same
from tests.experiments.runs.test_damage import read
from tests.faults.rows import Row, first


def damage(short: bool, place: Path) -> list[Row]:
    damages.make_runs(place)
    whole = place / "runs" / "whole"
    export(whole, "hub-folder", place / "hub")
    rng = np.random.default_rng(0)
    counts = (400, 50, 50) if short else (7000, 1000, 2000)
    return [
        _of_folder("flips, cuts, swaps, deletions: run folders", whole, place / "trial", counts[0], rng),
        _of_folder("the same: folders of a model hub", place / "hub", place / "trial", counts[1], rng),
        _of_results(place / "experiment", counts[2], rng),
    ]


def _of_folder(what: str, whole: Path, trial: Path, count: int, rng: np.random.Generator) -> Row:
    expected = read(whole)
    assert not any(isinstance(value, UsageError) for value in expected.values())
    refused, wrong, kinds = 0, [], Counter[str]()
    for _ in range(count):
        shutil.rmtree(trial, ignore_errors=True)
        shutil.copytree(whole, trial)
        done = damages.damage(trial, rng)
        kinds[Path(done.split(" in ")[-1].split(" ")[0]).suffix] += 1
        try:
            found = read(trial)
        except Exception as error:  # what should have been a refusal
            wrong.append(f"{done}: {type(error).__name__}: {error}")
            continue
        refused += any(isinstance(value, UsageError) for value in found.values())
        for name, value in found.items():
            if not isinstance(value, UsageError):
                try:
                    assert_same(value, expected[name])
                except AssertionError:
                    wrong.append(f"{done}: {name} was changed in silence")
    return Row(what, count, len(wrong), "read as something else, or an exception", first(wrong, f"{refused:,} refused"))


def _of_results(place: Path, count: int, rng: np.random.Generator) -> Row:
    file = ResultsFile(place)
    kept = {}
    for k in range(30):
        result = TrialResult(
            f"{k:016x}", f"agent {k % 3}", "world", k // 3, float(rng.normal()), tuple(rng.normal(size=3).tolist()),
            None, ((100, 0.5), (200, 0.25)), 1.5, 200, {"learning_rate": 0.5},
        )  # fmt: skip
        file.append(result)
        kept[result.id] = result
    file.close()
    whole = (place / RESULTS).read_bytes()
    wrong, told, gone = [], 0, 0
    for _ in range(count):
        (place / RESULTS).write_bytes(whole)
        with contextlib.redirect_stderr(io.StringIO()):
            done = damages.damage(place, rng)
            found = ResultsFile(place)
            try:
                read_back = found.read()
            except UsageError:
                told += 1
                continue
            except Exception as error:
                wrong.append(f"{done}: {type(error).__name__}: {error}")
                continue
        told += bool(found.damaged)
        gone += len(read_back) < len(kept)
        wrong += [f"{done}: {i} was changed in silence" for i, r in read_back.items() if kept.get(i) != r]
        if found.damaged:  # taken out, and what is appended is there
            found.mend()
            found.append(replace(kept[f"{0:016x}"], score=7.0))
            found.close()
            again = ResultsFile(place)
            if again.read() != {**read_back, f"{0:016x}": replace(kept[f"{0:016x}"], score=7.0)} or again.damaged:
                wrong.append(f"{done}: not mended")
    note = f"{told:,} told; {gone:,} with results gone, whose trials run again"
    return Row("the same: results of experiments", count, len(wrong), "a result that is another", first(wrong, note))
