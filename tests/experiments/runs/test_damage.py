"""A run folder damaged at random: whatever is read is what was written, or is refused with a sentence.

TensorBoard's events and videos are damaged too, and nothing here reads them: each record of events carries a checksum
that TensorBoard checks, and a video shows what episodes, which are covered, hold. Left out is a whole checkpoint folder
that is gone, which the hint for a damaged one advises.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inscape.errors import UsageError
from inscape.experiments.cli import main
from inscape.experiments.runs.folders import open_run
from inscape.experiments.runs.resuming import load_agent
from inscape.experiments.runs.run import Run
from tests.experiments.runs import damages
from tests.experiments.runs.storage.test_checkpoints import assert_same


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("whole")
    world = place / "world.py"
    world.write_text("from inscape.envs.worlds.gridworld.grid import GridWorld\n\nclass Lake(GridWorld):\n    ...\n")
    line = ["train", "q-learning", f"{world}:Lake", "--world.map", "4x4", "--steps", "600", "--report-every", "100"]
    assert main([*line, "--evaluate-every", "300", "--final-episodes", "2", "--out", str(place / "run")]) == 0
    return place / "run"


def metrics(run: Run) -> Any:
    return run.metrics()


def columns(run: Run) -> Any:
    found = run.metric_columns(("steps", "episode_return", "evaluation/return_mean"))
    return [(found.count, column.rows.tolist(), column.values.tolist()) for column in found.columns.values()]


def episodes(run: Run) -> Any:
    return [
        (e.observations.tolist(), e.actions.tolist(), e.rewards.tolist(), e.terminated, e.truncated, e.agent, e.seed,
         e.task, None if e.states is None else (e.states.floats.tolist(), e.states.ints.tolist()))
        for e in run.episodes()
    ]  # fmt: skip


READERS: dict[str, Callable[[Run], Any]] = {
    "settings": lambda run: run.settings.to_json(), "metrics": metrics, "columns": columns, "episodes": episodes,
    "evaluation": lambda run: run.evaluation(), "checkpoint": lambda run: run.load_latest(),
    "signed": lambda run: True,
}  # fmt: skip


def read(folder: Path) -> dict[str, Any]:
    """Returns what each reader gets; a `UsageError` where it refuses. Anything else that is raised fails the test."""
    try:
        run = open_run(folder)
    except UsageError as error:
        return dict.fromkeys(READERS, error)
    found: dict[str, Any] = {}
    for name, reader in READERS.items():
        try:
            found[name] = reader(run)
        except UsageError as error:
            found[name] = error
    return found


def check(whole: Path, place: Path, seeds: range) -> None:
    expected = read(whole)
    assert not any(isinstance(value, UsageError) for value in expected.values())
    refused = 0
    for seed in seeds:
        folder = place / "run"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(whole, folder)
        what = damages.damage(folder, np.random.default_rng([seed, 11]))
        found = read(folder)
        for name, value in found.items():
            if isinstance(value, UsageError):
                refused += 1
                assert str(folder) in str(value), what
            else:
                try:
                    assert_same(value, expected[name])
                except AssertionError:
                    raise AssertionError(f"{what}: {name} was changed in silence") from None
    assert refused > len(seeds) // 2


@pytest.mark.quick("50", "100")
@pytest.mark.parametrize("first", range(0, 200, 50))
def test_damage_is_refused_or_harmless(whole: Path, tmp_path: Path, first: int) -> None:
    check(whole, tmp_path, range(first, first + 50))


@pytest.mark.slow
@pytest.mark.parametrize("first", range(200, 2200, 250))
def test_much_damage_is_refused_or_harmless(whole: Path, tmp_path: Path, first: int) -> None:
    check(whole, tmp_path, range(first, first + 250))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("runs")
    damages.make_runs(place)
    return place


@pytest.fixture(scope="module")
def expected(runs: Path) -> dict[str, Any]:
    found = damages.expectations(runs)
    assert all(code == 0 for code, _, _ in found.values())
    return found


@pytest.mark.slow
def test_commands_refuse_damage_or_are_not_changed_by_it(runs: Path, expected: dict[str, Any]) -> None:
    """All 2,000: `python -m tests.experiments.runs.damages --count 2000`."""
    refused: Counter[str] = Counter()
    assert [line for seed in range(10_000, 10_020) for line in damages.wrong_with(runs, expected, seed, refused)] == []
    assert sum(refused.values()) > 8


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 2000, 250))
def test_2000_damages(runs: Path, expected: dict[str, Any], first: int) -> None:
    assert [line for seed in range(first, first + 250) for line in damages.wrong_with(runs, expected, seed)] == []


def test_a_run_without_its_settings_is_listed_as_damaged(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(runs / "runs", tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    Path("runs/whole/settings.json").unlink()
    assert main(["list", "runs"]) == 0
    shown = "".join(capsys.readouterr().out.split())
    assert "runs/whole/settings.json" in shown and "runs/half" in shown
    for words in ("report runs/whole", "evaluate runs/whole --episodes 1", "train --resume runs/whole"):
        assert main(words.split()) == 2
        assert "is missing" in capsys.readouterr().err


# --- checkpoints that are whole, of content that no agent saved ----------------------------------------------------


def crafted(name: str, state: dict[str, Any]) -> None:
    """Changes a state of q-learning as a malicious maker may."""
    tables, copies = state["tables"], state["copies"]
    match name:
        case "NaN in a table":
            tables["q"].reshape(-1)[0] = np.nan
        case "infinite table":
            tables["q"].reshape(-1)[0] = np.inf
        case "negative counts":
            tables["counts"].reshape(-1)[0] = -1
        case "empty table":
            tables["q"] = tables["q"][:, :0]
        case "table of text":
            tables["q"] = "q"
        case "table of integers":
            tables["q"] = tables["q"].astype(np.int64)
        case "no tables":
            del state["tables"]
        case "tables a list":
            state["tables"] = [1]
        case "negative steps":
            state["steps"] = -5
        case "steps a text":
            state["steps"] = "many"
        case "generator of another kind":
            state["acting"] = {"bit_generator": "MT19937"}
        case "generator of text":
            state["acting"]["state"] = "x"
        case "copies of another number":
            state["copies"] = {key: array[..., :0] for key, array in copies.items()}
        case "state far outside":
            copies["ints"][0] = 2**40
        case "state far below":
            copies["ints"][0] = -(2**40)
        case "row far outside":
            copies["rows"][:] = 2**40
        case "copies of floats":
            copies["ints"] = copies["ints"].astype(np.float64)
        case "copies flat":
            copies["ints"] = copies["ints"].reshape(-1)
        case "copies without rows":
            del copies["rows"]


@pytest.mark.quick(every=2)
@pytest.mark.parametrize(
    "name",
    [
        "NaN in a table", "infinite table", "negative counts", "empty table", "table of text", "table of integers",
        "no tables", "tables a list", "negative steps", "steps a text", "generator of another kind",
        "generator of text", "copies of another number", "state far outside", "state far below", "row far outside",
        "copies of floats", "copies flat", "copies without rows",
    ],
)  # fmt: skip
def test_a_crafted_state_is_refused(whole: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    run = open_run(folder)
    latest = run.load_latest()
    assert latest is not None
    state, _ = latest
    state["steps"] = 300
    crafted(name, state)
    shutil.rmtree(folder / "checkpoints")
    run.save_checkpoint(state, 300)
    code = main(["train", "--resume", str(folder), "--final-episodes", "0"])
    told = capsys.readouterr().err
    assert code == 2 and "Traceback" not in told, told


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("task a list", {"task": ["FrozenLake"]}), ("task a number", {"task": 3}), ("no name", {"task": {}}),
        ("name a number", {"task": {"name": 7, "settings": {}}}), ("agent a number", {"agent": 5}),
        ("settings a list", {"task": {"name": "FrozenLake", "settings": [1]}}), ("agent null", {"agent": None}),
        ("agent_settings a list", {"agent_settings": [1]}), ("seed a text", {"seed": "0"}),
        ("steps true", {"steps": True}),
        ("seed a float", {"seed": 0.5}), ("versions a list", {"versions": []}), ("device null", {"device": None}),
        ("code a list", {"code": [1]}), ("code of text", {"code": {"a": "b"}}),
        ("code half", {"code": {"a": {"path": "b"}}}),
        ("unknown", {"surprise": 1}), ("seed huge", {"seed": 10**400}), ("seed negative", {"seed": -1}),
        ("wrong map", {"task": {"name": "FrozenLake", "settings": {"map": 7}}}),
    ],
)  # fmt: skip
def test_settings_of_wrong_types_are_refused(
    whole: Path, tmp_path: Path, name: str, changes: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    (folder / "manifest.json").unlink()
    document = {**json.loads((folder / "settings.json").read_text()), **changes}
    (folder / "settings.json").write_text(json.dumps(document))
    for words in (["evaluate", str(folder), "--episodes", "1"], ["train", "--resume", str(folder)]):
        assert main(words) == 2, name
    assert main(["report", str(folder)]) in (0, 2)
    assert "Traceback" not in capsys.readouterr().err


def test_the_whole_run_is_read(whole: Path) -> None:
    assert load_agent(whole)[1].world is not None and open_run(whole).signed
