"""Cassandra's file format for decision problems, `.pomdp` and `.mdp`.

Source: Cassandra's "POMDP file format" (pomdp.org), the grammar of pomdp-solve 5. What it leaves open is refused,
with file and line.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from inscape.errors import UsageError

Array = np.ndarray[Any, Any]
TOLERANCE = 1e-5
"""By how much a row of probabilities may miss one: files are written in few decimals; rows are divided by their sum."""
LARGEST = 200_000_000
"""Entries of a table, beyond which a file is refused."""
MOST_NAMES = 1_000_000
"""States, actions or observations."""
SECTIONS = ("discount", "values", "states", "actions", "observations", "start", "T", "O", "R")
_TOKEN = re.compile(r"[^\s:]+|:")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


@dataclass(frozen=True, eq=False)
class DecisionFile:
    """What a file says.

    Attributes:
        discount: γ.
        states, actions, observations: names, in order; no observations in an `.mdp` file.
        start: `[S]` probabilities of the first state.
        transition: `[A, S, S]` P(s' | s, a).
        observation: `[A, S, O]` P(o | a, s'), of the state arrived in; None in an `.mdp` file.
        reward: `[A, S, S]` or, if rewards depend on the observation, `[A, S, S, O]`; costs are negative.
    """

    discount: float
    states: tuple[str, ...]
    actions: tuple[str, ...]
    observations: tuple[str, ...]
    start: Array
    transition: Array
    observation: Array | None
    reward: Array


def read(path: str | Path) -> DecisionFile:
    """Returns what a file says.

    Raises:
        UsageError: it cannot be read; a line is malformed (file, line number, what was found and expected); a row of
            probabilities does not sum to one (state and action named).
    """
    file = Path(path)
    try:
        text = _text(file.read_bytes())
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}", expected="a .pomdp or .mdp file") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is not text: {error.reason} at byte {error.start}") from None
    return _Reader(str(file), text).read()


def _text(data: bytes) -> str:
    """Returns a file's text: UTF-8, or what was written in Latin-1, as old files' comments are.

    Raises:
        UnicodeDecodeError: it has bytes that no text has.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        if any(byte < 32 and byte not in b"\t\n\r\f" for byte in data):
            raise
        return data.decode("latin-1")


class _Reader:
    """Reads token by token; a token knows its line."""

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.tokens: list[tuple[str, int]] = []
        for number, line in enumerate(text.splitlines(), 1):
            self.tokens += [(token, number) for token in _TOKEN.findall(line.split("#", 1)[0])]
        self.at = 0
        self.names: dict[str, tuple[str, ...]] = {}
        self.numbers: dict[str, dict[str, int]] = {}
        self.found: dict[str, Any] = {"values": "reward"}
        self.given: set[str] = set()
        self.lines: dict[str, Array] = {}
        self.start: Callable[[], Array] | None = None
        self.was_reset = False

    def read(self) -> DecisionFile:
        while self.at < len(self.tokens):
            section = self._next("a section")
            if section == "start":
                if self.start is not None:
                    self._fail("start given twice", "one start")
                if self.was_reset:
                    self._fail("start after a reset, which goes there", "start before T")
                self.start = self._start()
            elif section in ("T", "O", "R"):
                self._require_preamble(section)
                {"T": self._transition, "O": self._observation, "R": self._reward}[section]()
            elif section in SECTIONS:
                self._colon()
                self._preamble(section)
            else:
                self._fail(f"{section!r}", "one of " + ", ".join(SECTIONS))
        if not self.tokens:
            raise UsageError(f"{self.file} is empty", expected="a .pomdp or .mdp file")
        return self._finished()

    # ------------------------------------------------------------------------------------------------- tokens

    def _next(self, expected: str) -> str:
        if self.at >= len(self.tokens):
            raise UsageError(f"{self.file} ends, line {self._line()}", expected=expected)
        token = self.tokens[self.at][0]
        self.at += 1
        return token

    def _peek(self, ahead: int = 0) -> str | None:
        return self.tokens[self.at + ahead][0] if self.at + ahead < len(self.tokens) else None

    def _line(self) -> int:
        return self.tokens[min(max(self.at - 1, 0), len(self.tokens) - 1)][1] if self.tokens else 1

    def _fail(self, found: str, expected: str) -> Any:
        raise UsageError(f"{self.file}, line {self._line()}: {found}", expected=expected)

    def _colon(self) -> None:
        token = self._next("a colon")
        if token != ":":
            self._fail(repr(token), "a colon")

    def _number(self, what: str = "a number") -> float:
        token = self._next(what)
        if not _NUMBER.fullmatch(token):  # Python would read 1_0, and digits of other scripts
            self._fail(repr(token), what)
        value = float(token)
        if not np.isfinite(value):
            self._fail(repr(token), "a finite number")
        return value

    def _numbers_of(self, count: int, what: str) -> Array:
        return np.array([self._number(f"{what}: {count} numbers") for _ in range(count)])

    def _ends_here(self) -> bool:
        """Whether a section begins with the next token."""
        token = self._peek()
        if token is None:
            return True
        if token == "start" and self._peek(1) in (":", "include", "exclude"):
            return True
        return token in SECTIONS and self._peek(1) == ":"

    # ------------------------------------------------------------------------------------------------ preamble

    def _preamble(self, section: str) -> None:
        if section in ("discount", "values") and section in self.given:
            self._fail(f"{section} given twice", f"one {section}")
        self.given.add(section)
        if section == "discount":
            self.found["discount"] = self._number("a discount from 0 to 1")
            if not 0.0 <= self.found["discount"] <= 1.0:
                self._fail(f"discount {self.found['discount']:g}", "a number from 0 to 1")
        elif section == "values":
            self.found["values"] = self._next("reward or cost")
            if self.found["values"] not in ("reward", "cost"):
                self._fail(repr(self.found["values"]), "reward or cost")
        else:
            if section in self.names:
                self._fail(f"{section} given twice", f"one list of {section}")
            words = []
            while not self._ends_here():
                word = self._next(f"names of {section}")
                if word == ":":
                    self._fail("a colon", f"names of {section}")
                words.append(word)
            if len(words) == 1 and _is_count(words[0]):
                if len(words[0]) > 7 or not 1 <= int(words[0]) <= MOST_NAMES:
                    self._fail(f"{words[0]} {section}", f"from 1 to {MOST_NAMES:,}")
                words = [str(k) for k in range(int(words[0]))]
            if not words:
                self._fail(f"no {section}", "their number, or their names")
            if len(set(words)) < len(words):
                twice = next(word for word in words if words.count(word) > 1)
                self._fail(f"{section} {twice!r} twice", "different names")
            self.names[section] = tuple(words)
            self.numbers[section] = {word: k for k, word in enumerate(words)}

    def _require_preamble(self, section: str) -> None:
        missing = [name for name in ("states", "actions") if name not in self.names]
        if section == "O" and "observations" not in self.names:
            missing.append("observations")
        if missing:
            self._fail(f"{section} before {missing[0]}", "discount, values, states, actions, observations first")
        states, actions = len(self.names["states"]), len(self.names["actions"])
        if actions * states * states > LARGEST:
            self._fail(f"{actions} actions and {states} states", f"tables of at most {LARGEST:,} entries")
        if "T" not in self.found:
            self.found["T"] = np.zeros((actions, states, states))
            self.found["R"] = np.zeros((actions, states, states))
            # where each row was written last; 0: nowhere
            self.lines = {letter: np.zeros((actions, states), np.int64) for letter in ("T", "O")}
            if "observations" in self.names:
                self.found["O"] = np.zeros((actions, states, len(self.names["observations"])))

    def _pick(self, section: str) -> slice | int:
        """Returns a number or, for *, all."""
        word = self._next(f"one of {section}")
        if word == "*":
            return slice(None)
        numbers = self.numbers[section]
        if word in numbers:
            return numbers[word]
        if _is_count(word) and int(word) < len(numbers):
            return int(word)
        known = ", ".join(list(numbers)[:8]) + (", …" if len(numbers) > 8 else "")
        self._fail(f"{word!r} is not one of the {section}", f"{known}, a number below {len(numbers)}, or *")
        raise AssertionError

    def _start(self) -> Callable[[], Array]:
        """Returns what makes the distribution once the states are known (they may be listed later)."""
        word = self._next("a colon, include or exclude")
        if word in ("include", "exclude"):
            self._colon()
            listed, line = [], self._line()
            while not self._ends_here():
                listed.append(self._next("a state"))
            return lambda: self._listed(listed, word == "include", line)
        if word != ":":
            self._fail(repr(word), "a colon, include or exclude")
        words, line = [], self._line()
        while not self._ends_here():
            words.append(self._next("probabilities, uniform, or a state"))
        return lambda: self._distribution(words, line)

    def _state(self, word: str, line: int) -> int:
        states = self.numbers["states"]
        if word in states:
            return states[word]
        if _is_count(word) and int(word) < len(states):
            return int(word)
        raise UsageError(f"{self.file}, line {line}: {word!r} is not a state", expected="a state, or its number")

    def _listed(self, listed: list[str], include: bool, line: int) -> Array:
        chosen = np.zeros(len(self.names["states"]), bool)
        chosen[[self._state(word, line) for word in listed]] = True
        if not include:
            chosen = ~chosen
        if not chosen.any():
            raise UsageError(f"{self.file}, line {line}: no state to start in", expected="at least one")
        return np.asarray(chosen / chosen.sum())

    def _distribution(self, words: list[str], line: int) -> Array:
        size = len(self.names["states"])
        if words == ["uniform"]:
            return np.full(size, 1.0 / size)
        if len(words) == 1 and (size > 1 or words[0] in self.numbers["states"]):
            return np.asarray(np.eye(size)[self._state(words[0], line)])
        if not all(_NUMBER.fullmatch(word) for word in words):
            raise UsageError(
                f"{self.file}, line {line}: start {' '.join(words)[:60]!r}",
                expected=f"{size} probabilities, uniform, or a state",
            )
        found = np.array([float(word) for word in words])
        if len(found) != size or not np.isfinite(found).all() or (found < 0).any() or abs(found.sum() - 1) > TOLERANCE:
            raise UsageError(
                f"{self.file}, line {line}: {len(found)} start probabilities that sum to {found.sum():.6g}",
                expected=f"{size}, which sum to 1",
            )
        return np.asarray(found / found.sum())

    # --------------------------------------------------------------------------------------------------- tables

    def _transition(self) -> None:
        self._colon()
        action = self._pick("actions")
        self._fill("T", [action], ["states", "states"])

    def _observation(self) -> None:
        self._colon()
        action = self._pick("actions")
        self._fill("O", [action], ["states", "observations"])

    def _fill(self, letter: str, picked: list[slice | int], rest: list[str]) -> None:
        """Fills an entry, a row or a matrix, by how many names are given."""
        table, began = self.found[letter], self._line()
        while rest and self._peek() == ":":
            self._colon()
            picked.append(self._pick(rest.pop(0)))
        shape = tuple(len(self.names[section]) for section in rest)
        word = self._peek()
        if shape and word == "uniform":
            self._next("")
            table[tuple(picked)] = 1.0 / shape[-1]
        elif len(shape) == 2 and shape[0] == shape[1] and word == "identity":
            self._next("")
            table[tuple(picked)] = np.eye(shape[0])
        elif shape and word == "reset" and letter == "T":
            self._next("")
            table[tuple(picked)] = self._begin()
            self.was_reset = True
        else:
            what = "a probability" if not shape else "probabilities of " + " and ".join(rest)
            values = self._numbers_of(int(np.prod(shape, dtype=int)), what).reshape(shape)
            if (values < 0).any() or (values > 1 + TOLERANCE).any():
                wrong = float(values[(values < 0) | (values > 1 + TOLERANCE)][0])
                self._fail(f"probability {wrong:g}", "a number from 0 to 1")
            table[tuple(picked)] = values
        self.lines[letter][tuple(picked[:2])] = began

    def _reward(self) -> None:
        self._colon()
        picked: list[slice | int] = [self._pick("actions")]
        has_observations = "observations" in self.names
        rest = ["states", "states", *(["observations"] if has_observations else [])]
        while rest and self._peek() == ":":
            self._colon()
            picked.append(self._pick(rest.pop(0)))
        shape = tuple(len(self.names[section]) for section in rest)
        sign = -1.0 if self.found["values"] == "cost" else 1.0
        values = sign * self._numbers_of(int(np.prod(shape, dtype=int)), "rewards").reshape(shape)
        table = self.found["R"]
        if has_observations:
            by_observation = table.ndim == 4
            constant = len(picked) == 4 and picked[3] == slice(None)
            if constant and not by_observation:
                table[tuple(picked[:3])] = values
                return
            if not by_observation:
                size = table.size * len(self.names["observations"])
                if size > LARGEST:
                    self._fail(f"rewards of {size:,} entries", f"at most {LARGEST:,}")
                table = self.found["R"] = np.repeat(table[..., None], len(self.names["observations"]), axis=3)
        table[tuple(picked)] = values

    def _begin(self) -> Array:
        """Returns the distribution of the first state: uniform where nothing is said."""
        size = len(self.names["states"])
        return self.start() if self.start is not None else np.full(size, 1.0 / size)

    def _finished(self) -> DecisionFile:
        for section in ("discount", "states", "actions"):
            if section not in self.names and section not in self.found:
                raise UsageError(f"{self.file} has no {section}", expected=", ".join(SECTIONS))
        self._require_preamble("R")
        states, actions = self.names["states"], self.names["actions"]
        observations = self.names.get("observations", ())
        if not observations and self.file.lower().endswith(".pomdp"):
            raise UsageError(f"{self.file} has no observations", expected="observations, or an .mdp file")
        for letter, table in (("T", self.found["T"]), *((("O", self.found["O"]),) if observations else ())):
            total = table.sum(axis=2)
            wrong = np.abs(total - 1.0) > TOLERANCE
            if wrong.any():
                a, s = np.argwhere(wrong)[0]
                line = int(self.lines[letter][a, s])
                where = f", line {line}" if line else ""
                raise UsageError(
                    f"{self.file}{where}: {letter} of action {actions[a]!r}, state {states[s]!r} sums to "
                    f"{total[a, s]:.6g}",
                    expected="1",
                    hint=f"a later line of {letter} replaces an earlier one",
                )
            table /= total[:, :, None]
        return DecisionFile(
            self.found["discount"], states, actions, observations, self._begin(), self.found["T"],
            self.found["O"] if observations else None, self.found["R"],
        )  # fmt: skip


def _is_count(word: str) -> bool:
    """Returns whether a word is a whole number of ASCII digits."""
    return word.isascii() and word.isdigit()
