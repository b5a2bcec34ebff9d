"""Hypothesis on everything that reads what somebody else wrote: a value, or a `UsageError`; nothing else is raised.

Half of the inputs are random bytes and texts, half are documents that were whole, changed in one to three places.
"""

from __future__ import annotations

import contextlib
import copy
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inscape.errors import UsageError
from tests.experiments.runs import damages
from tests.faults.rows import Row, first

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
EXPERIMENT = {
    "worlds": ["FrozenLake", {"name": "FrozenLake", "slip": 0.1, "label": "dry", "steps": 100}],
    "agents": ["random", {"name": "q-learning", "grid": {"learning_rate": [0.1, 0.5]}, "label": "q"}],
    "seeds": 3, "steps": 100, "final_episodes": 5, "exact": False, "keep": "runs", "name": "x",
}  # fmt: skip


def places(document: Any, where: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield where
    if not isinstance(document, (dict, list)):
        return
    entries = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, value in entries:
        yield from places(value, (*where, key))


@st.composite
def changed(draw: Any, document: Any) -> Any:
    """A document with one to three of its values replaced or removed, or keys added."""
    found = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        *path, last = draw(st.sampled_from([p for p in places(found) if p] or [("x",)]))
        inner = found
        for key in path:
            inner = inner[key]
        how = draw(st.sampled_from(["replace", "remove", "add"]))
        if how == "replace" or not isinstance(inner, dict):
            inner[last] = draw(JSON)
        elif how == "remove":
            inner.pop(last, None)
        else:
            inner[draw(st.text(max_size=6))] = draw(JSON)
    return found


@st.composite
def cut(draw: Any, data: bytes) -> bytes:
    """Bytes with some of them replaced, removed or added."""
    found = bytearray(data)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(found)))
        found[at : at + draw(st.integers(0, 8))] = draw(st.binary(max_size=8))
    return bytes(found)


def texts_of(document: Any) -> Any:
    as_json = changed(document).map(lambda value: json.dumps(value).encode())
    return st.one_of(as_json, cut(json.dumps(document).encode()), st.binary(max_size=60), as_json)


def parsers(short: bool, place: Path) -> list[Row]:
    count = 50 if short else 1000
    damages.make_runs(place)
    return [_of(name, strategy, read, count) for name, strategy, read in _readers(place)]


def _of(name: str, strategy: Any, read: Callable[[Any], Any], count: int) -> Row:
    wrong: list[str] = []
    seen = [0, 0]

    @settings(
        max_examples=count, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    @given(strategy)
    def check(value: Any) -> None:
        seen[0] += 1
        try:
            with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
                read(value)
        except UsageError:
            seen[1] += 1
        except SystemExit:  # the parser of command lines has said what was wrong
            seen[1] += 1
        except Exception as error:
            wrong.append(f"{type(error).__name__}: {str(error)[:80]} for {str(value)[:120]}")

    check()
    return Row(f"random and changed inputs: {name}", seen[0], len(wrong), "anything raised but a UsageError",
               first(wrong, f"{seen[1]:,} refused"))  # fmt: skip


def _readers(place: Path) -> list[tuple[str, Any, Callable[[Any], Any]]]:
    from inscape.envs.tasks.environments import settings_from_text
    from inscape.experiments.arguments import parsing as args
    from inscape.experiments.arguments.train import TrainArguments
    from inscape.experiments.runs.folders import open_run
    from inscape.experiments.runs.settings import RunSettings
    from inscape.experiments.runs.storage.checkpoints import checkpoint_folders, load_checkpoint
    from inscape.experiments.runs.storage.episodes import load_trajectories
    from inscape.experiments.runs.storage.manifest import MANIFEST, Manifest
    from inscape.experiments.runs.storage.metrics import METRICS, read_rows
    from inscape.experiments.trials.experiment import Experiment
    from inscape.experiments.trials.results import RESULTS, ResultsFile

    run = place / "runs" / "whole"

    def written(path: Path, read: Callable[[], Any]) -> Callable[[bytes], Any]:
        path.parent.mkdir(parents=True, exist_ok=True)

        def do(data: bytes) -> Any:
            path.write_bytes(data)
            return read()

        return do

    at = place / "at"
    [checkpoint] = checkpoint_folders(run)[-1:]
    kept = at / checkpoint.name
    kept.mkdir(parents=True)
    for path in checkpoint.iterdir():
        (kept / path.name).write_bytes(path.read_bytes())
    document = json.loads((run / "settings.json").read_text())
    words = ["ppo", "CartPole", "--steps", "100", "--seed", "1", "--learning-rate", "0.1", "--world.gravity", "9", "x",
             "--out", "d", "-1", "--hidden", "nan", "--track"]  # fmt: skip
    line = st.lists(st.sampled_from(words) | st.text(max_size=6), max_size=8)
    found: list[tuple[str, Any, Callable[[Any], Any]]] = [
        ("settings of runs", changed(document), lambda d: RunSettings.from_json(d) if isinstance(d, dict) else None),
        ("settings.json", texts_of(document), written(at / "run" / "settings.json", lambda: open_run(at / "run"))),
        ("manifests", texts_of(json.loads((run / MANIFEST).read_text())),
         written(at / "m" / MANIFEST, lambda: Manifest.read(at / "m").check("settings.json", b""))),
        ("metrics", st.one_of(cut((run / METRICS).read_bytes()), st.binary(max_size=80)),
         written(at / METRICS, lambda: list(read_rows(at / METRICS)))),
        ("episodes", st.one_of(cut((run / "episodes" / "final.npz").read_bytes()), st.binary(max_size=80)),
         written(at / "e.npz", lambda: load_trajectories(at / "e.npz"))),
        ("checkpoints", st.one_of(cut((kept / "manifest.json").read_bytes()), st.binary(max_size=80)),
         written(kept / "manifest.json", lambda: load_checkpoint(kept))),
        ("results of experiments", st.one_of(texts_of({"id": "x"}), st.binary(max_size=80)),
         written(at / RESULTS, lambda: ResultsFile(at).read())),
        ("experiments", changed(EXPERIMENT), lambda d: Experiment.from_document(d).trials()),
        ("experiment files", st.one_of(st.binary(max_size=80), cut(_toml().encode())),
         written(at / "x.toml", lambda: Experiment.from_toml(at / "x.toml"))),
        ("arguments of environments", st.dictionaries(st.text(max_size=6), st.text(max_size=8) | st.none(), max_size=3),
         lambda texts: settings_from_text("CartPole-v1", texts)),
        ("command lines", line, lambda words: args.parse("train", TrainArguments, words)),
    ]  # fmt: skip
    return found


def _toml() -> str:
    return (
        'worlds = ["FrozenLake", {name = "FrozenLake", slip = 0.1}]\n'
        'agents = ["random", {name = "q-learning", grid = {learning_rate = [0.1, 0.5]}}]\nseeds = 2\nsteps = 100\n'
    )
