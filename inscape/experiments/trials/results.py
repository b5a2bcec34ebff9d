"""Results of an experiment: one line for each trial in a file that only grows, and tables of them."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import IO, Any

import numpy as np

from inscape import html
from inscape.errors import UsageError
from inscape.experiments.runs.storage.files import replacing, writing
from inscape.experiments.trials.trial import TrialResult

RESULTS = "results.jsonl"


class ResultsFile:
    """The results of an experiment's folder. One process writes; a line is whole or does not count.

    Args:
        folder: of the experiment.

    Attributes:
        damaged: numbers of lines that could not be read: their trials run again.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / RESULTS
        self.damaged: list[int] = []
        self._file: IO[bytes] | None = None

    def read(self) -> dict[str, TrialResult]:
        """Returns the results by the identity of their trial; of several of one trial the last.

        Raises:
            UsageError: the file cannot be read, or holds results that another version wrote: they are left alone.
        """
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise UsageError(f"cannot read {self.path}: {error.strerror or error}") from error
        found: dict[str, TrialResult] = {}
        self.damaged = []
        for number, line in enumerate(data.split(b"\n"), 1):
            if not line:
                continue
            result = _parsed(line)
            if isinstance(result, frozenset):
                raise UsageError(
                    f"{self.path}, line {number}, has {', '.join(map(repr, sorted(result)[:3]))}",
                    expected="results of this version of inscape",
                    hint="another --out; or the version that wrote them",
                )
            if result is None:
                self.damaged.append(number)
            else:
                found[result.id] = result
        return found

    def mend(self) -> None:
        """Takes the damaged lines that `read` found out of the file, as long as nothing is appended.

        Raises:
            UsageError: the file cannot be written.
        """
        if not self.damaged:
            return
        lines = self.path.read_bytes().split(b"\n")
        with writing(self.path), replacing(self.path) as file:
            file.write(b"".join(line + b"\n" for n, line in enumerate(lines, 1) if line and n not in self.damaged))
        self.damaged = []

    def append(self, result: TrialResult) -> None:
        """Adds a result; it is in the file when this returns, also if the process is killed afterwards.

        Raises:
            UsageError: the file cannot be written.
        """
        try:
            if self._file is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self.path.open("ab")
                if self.path.stat().st_size and not self.path.read_bytes().endswith(b"\n"):
                    self._file.write(b"\n")  # a line that a killed process left half written
            self._file.write(_line(result))
            self._file.flush()
        except OSError as error:
            raise UsageError(
                f"cannot write {self.path}: {error.strerror or error}",
                expected="a folder that can be written, with room on its disk",
                hint="make room, then run the same command again: what is finished is kept",
            ) from error

    def close(self) -> None:
        """Closes the file, what was written on the disk."""
        if self._file is not None:
            os.fsync(self._file.fileno())
            self._file.close()
            self._file = None


def _line(result: TrialResult) -> bytes:
    text = json.dumps(asdict(result), separators=(",", ":"), default=str).encode()
    return f"{zlib.crc32(text):08x} ".encode() + text + b"\n"


def _parsed(line: bytes) -> TrialResult | frozenset[str] | None:
    """Returns a line's result, or the names in it that this version does not know; None where it is damaged."""
    checksum, _, text = line.partition(b" ")
    if checksum != f"{zlib.crc32(text):08x}".encode():
        return None
    try:
        document = json.loads(text)
        if {"id", "agent", "world", "seed"} <= document.keys() and (unknown := document.keys() - _NAMES):
            return frozenset(str(name)[:40] for name in unknown)
        document["returns"] = tuple(document["returns"])
        document["curve"] = tuple((int(s), float(v)) for s, v in document["curve"])
        result = TrialResult(**document)
        return result if _is_sound(result) else None
    except (ValueError, TypeError, KeyError, OverflowError, AttributeError, RecursionError):
        return None


_NAMES = frozenset(field.name for field in fields(TrialResult))


def _is_sound(result: TrialResult) -> bool:
    """Whether every value is of its type: a checksum does not say who wrote a line."""
    texts = (result.id, result.agent, result.world, result.error, result.run)
    tables = (result.measures, result.exact or {})
    numbers = [*result.returns, result.seconds, *(value for table in tables for value in table.values())]
    counts = (result.seed, result.steps, result.attempts)
    return (
        all(isinstance(text, str) for text in texts)
        and all(type(count) is int and 0 <= count < 1 << 63 for count in counts)
        and all(type(number) in (int, float) for number in numbers)
        and (result.exact is None or {"value", "regret"} <= set(result.exact))
        and all(isinstance(name, str) and _is_array(array) for name, array in result.arrays.items())
        and (result.error != "" or result.score is None or _is_finite(result.score))
        and isinstance(result.settings, dict)
        and Path(result.run).name == result.run  # a name, and no way out of the folder
    )


def _is_array(value: Any) -> bool:
    if not isinstance(value, list):
        return False
    try:
        return np.asarray(value).dtype.kind in "biuf"
    except ValueError:  # rows of different lengths
        return False


def _is_finite(number: Any) -> bool:
    return type(number) in (int, float) and bool(np.isfinite(float(number)))


class Results(Sequence[TrialResult]):
    """The results of an experiment's trials, in the order of the trials; failed ones among them.

    Attributes:
        folder: of the experiment; None in memory.
        reused: how many were finished before.
    """

    def __init__(self, results: Iterable[TrialResult], folder: Path | None = None, reused: int = 0) -> None:
        self._results, self.folder, self.reused = tuple(results), folder, reused

    def __len__(self) -> int:
        return len(self._results)

    def __iter__(self) -> Iterator[TrialResult]:
        return iter(self._results)

    def __getitem__(self, index: Any) -> Any:
        return self._results[index]

    @property
    def failed(self) -> list[TrialResult]:
        """Those that failed."""
        return [result for result in self if not result.finished]

    @property
    def worlds(self) -> tuple[str, ...]:
        """Labels of the worlds, in order."""
        return tuple(dict.fromkeys(result.world for result in self))

    @property
    def agents(self) -> tuple[str, ...]:
        """Labels of the agents, in order."""
        return tuple(dict.fromkeys(result.agent for result in self))

    def scores(self, world: str, agent: str, exact: bool = False) -> dict[int, float]:
        """Returns seed → score of an agent's finished trials in a world.

        Args:
            world, agent: labels.
            exact: the exact values of the final policies instead.
        """
        found: dict[int, float] = {}
        for result in self:
            if result.world == world and result.agent == agent and result.finished:
                score = (result.exact or {}).get("value") if exact else result.score
                if score is not None:
                    found[result.seed] = float(score)
        return found

    def measured(self, name: str, world: str | None = None, agent: str | None = None) -> dict[int, float]:
        """Returns seed → what a measure found of finished trials; of several of one seed, the last.

        Args:
            name: of the number, as the measure calls it.
            world, agent: labels; None for any.
        """
        return {
            result.seed: result.measures[name]
            for result in self
            if result.finished
            and name in result.measures
            and world in (None, result.world)
            and agent in (None, result.agent)
        }

    def arrays(self, name: str, world: str, agent: str) -> dict[int, np.ndarray]:
        """Returns seed → an array that a measure returned of an agent's finished trials in a world."""
        return {
            result.seed: np.asarray(result.arrays[name])
            for result in self
            if result.finished and name in result.arrays and (result.world, result.agent) == (world, agent)
        }

    def __repr__(self) -> str:
        done = sum(result.finished for result in self)
        return f"Results({done} of {len(self)} trials, {len(self.agents)} agents, {len(self.worlds)} worlds)"

    def _repr_html_(self) -> str:
        cells = [
            [world, agent, str(len(scores)), html.number(float(np.mean(list(scores.values()))))]
            for world in self.worlds
            for agent in self.agents
            if (scores := self.scores(world, agent))
        ]
        table = html.table(("world", "agent", "runs", "mean"), cells, ("runs", "mean"))
        return html.block("Results", table, note=f"{len(self.failed)} of {len(self)} trials failed")


def scores_array(results: Results, world: str, agents: Sequence[str], exact: bool = False) -> dict[str, np.ndarray]:
    """Returns each agent's scores in a world, `[N]` in the order of seeds; agents without any are left out."""
    found = {agent: results.scores(world, agent, exact) for agent in agents}
    return {agent: np.array([by[s] for s in sorted(by)]) for agent, by in found.items() if by}
