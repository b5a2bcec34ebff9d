"""A damaged passage, to be repaired by edits; the reward is the edit distance restored."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from inscape.envs.text.interface import TextEnv, Turn
from inscape.envs.text.worlds.edits import Edit, apply_diff, edit_distance, replace_lines
from inscape.errors import UsageError, whole_number

SUBJECTS = ("The gardener", "A traveller", "The old clerk", "Every child", "The painter", "Our neighbour", "A sailor")
VERBS = ("carried", "found", "described", "repaired", "remembered", "painted", "sold", "watched")
OBJECTS = (
    "the wooden ladder",
    "a small lantern",
    "the blue map",
    "an empty basket",
    "the broken clock",
    "a long letter",
)
PLACES = ("near the harbour", "behind the mill", "in the garden", "under the bridge", "at the market", "on the hill")
TIMES = ("before noon", "after the rain", "every winter", "in the evening", "without a word", "that day")
WORD = re.compile(r"[A-Za-z]+")
COMMANDS = "open N, goto N, find TEXT, replace N: LINE, replace N-M followed by lines, a unified diff, or done"
MOST_LINES = 2_000


def make_passage(rng: np.random.Generator, sentences: int) -> str:
    """Returns sentences of a small grammar, one a line."""

    def pick(words: tuple[str, ...]) -> str:
        return str(rng.choice(words))

    made = []
    for _ in range(sentences):
        tail = f" {pick(PLACES)}" if rng.random() < 0.7 else ""
        tail += f" {pick(TIMES)}" if rng.random() < 0.7 else ""
        joined = f", and {pick(SUBJECTS).lower()} {pick(VERBS)} {pick(OBJECTS)}" if rng.random() < 0.3 else ""
        made.append(f"{pick(SUBJECTS)} {pick(VERBS)} {pick(OBJECTS)}{tail}{joined}.")
    return "\n".join(made)


def _delete_space(text: str, rng: np.random.Generator) -> Edit | None:
    at = [m.start() for m in re.finditer(r"(?<=\S) (?=\S)", text)]
    return Edit(int(rng.choice(at)), " ", "") if at else None


def _duplicate_word(text: str, rng: np.random.Generator) -> Edit | None:
    words = list(WORD.finditer(text))
    if not words:
        return None
    word = words[int(rng.integers(len(words)))]
    return Edit(word.end(), "", f" {word[0]}")


def _insert_punctuation(text: str, rng: np.random.Generator) -> Edit | None:
    at = [m.end() for m in WORD.finditer(text)]
    return Edit(int(rng.choice(at)), "", str(rng.choice(list(",;:!?")))) if at else None


def _swap_words(text: str, rng: np.random.Generator) -> Edit | None:
    pairs = [m for m in re.finditer(r"(?=\b([A-Za-z]+) ([A-Za-z]+)\b)", text) if m[1] != m[2]]
    pairs = [m for m in pairs if m.start() == 0 or not text[m.start() - 1].isalpha()]
    if not pairs:
        return None
    pair = pairs[int(rng.integers(len(pairs)))]
    return Edit(pair.start(), f"{pair[1]} {pair[2]}", f"{pair[2]} {pair[1]}")


def _transpose_spans(text: str, rng: np.random.Generator) -> Edit | None:
    """Two neighbouring spans of characters within a line, exchanged."""
    lines = [m for m in re.finditer(r"[^\n]+", text) if len(m[0]) >= 8]
    if not lines:
        return None
    line = lines[int(rng.integers(len(lines)))]
    a, b, c = np.sort(rng.choice(len(line[0]) + 1, 3, replace=False)).tolist()
    old = line[0][a:c]
    new = line[0][b:c] + line[0][a:b]
    return Edit(line.start() + a, old, new) if new != old else None


def _swap_spans(text: str, rng: np.random.Generator) -> Edit | None:
    """Two words of different places in a line, exchanged over what stands between."""
    lines = [m for m in re.finditer(r"[^\n]+", text) if len(WORD.findall(m[0])) >= 3]
    if not lines:
        return None
    line = lines[int(rng.integers(len(lines)))]
    words = list(WORD.finditer(line[0]))
    first, second = np.sort(rng.choice(len(words), 2, replace=False)).tolist()
    a, b = words[first], words[second]
    old = line[0][a.start() : b.end()]
    new = b[0] + line[0][a.end() : b.start()] + a[0]
    return Edit(line.start() + a.start(), old, new) if new != old else None


DAMAGES: dict[str, Callable[[str, np.random.Generator], Edit | None]] = {
    "delete-space": _delete_space,
    "duplicate-word": _duplicate_word,
    "insert-punctuation": _insert_punctuation,
    "swap-words": _swap_words,
    "transpose-spans": _transpose_spans,
    "swap-spans": _swap_spans,
}
EASY = ("delete-space", "duplicate-word", "insert-punctuation")
LEVELS: tuple[tuple[int, int, tuple[str, ...]], ...] = (
    (1, 1, EASY),
    (2, 2, EASY),
    (4, 3, (*EASY, "swap-words")),
    (8, 5, tuple(DAMAGES)),
    (24, 8, tuple(DAMAGES)),
    (80, 16, tuple(DAMAGES)),
)
"""Sentences, damages and their kinds, by level."""


class TextRepair(TextEnv):
    """A passage with damages, to be repaired by edits.

    The agent reads a window of numbered lines and answers with a command: `open N` or `goto N` (the window begins at
    line N), `find TEXT` (at the next line that has it), `replace N: LINE`, `replace N-M` with the new lines below it, a
    unified diff, or `done`. A command that cannot be read, or a diff that does not apply exactly, changes nothing and
    is told why. Each turn pays the share of the first edit distance that it restored (negative where it damaged): an
    episode's rewards add up to 1 for a whole repair. It ends when nothing is left, or with `done`.

    Args:
        level: 0 to 5: sentences, damages and their kinds (`LEVELS`).
        passage: a text to damage instead of a generated one, or `@FILE`.
        damages: how many, instead of the level's.
        kinds: which (`DAMAGES`), instead of the level's.
        window: lines shown.
        max_turns: of an episode.
        penalty: what an answer with a problem costs.

    Attributes:
        original, text: the passage whole, and as it is now.
        damage: the edits that damaged it, in order; their inverses in reverse order restore it exactly.
    """

    stop = ("\n\n",)

    def __init__(
        self,
        level: int = 0,
        passage: str | None = None,
        damages: int | None = None,
        kinds: tuple[str, ...] | None = None,
        window: int = 20,
        max_turns: int = 20,
        penalty: float = 0.0,
    ) -> None:
        level = whole_number("level =", level, 0, len(LEVELS) - 1)
        self.sentences, count, ways = LEVELS[level]
        self.count = count if damages is None else whole_number("damages =", damages, 1)
        self.kinds = ways if kinds is None else tuple(kinds)
        if unknown := [kind for kind in self.kinds if kind not in DAMAGES] or not self.kinds:
            raise UsageError(f"kinds of damage {unknown or '()'}", expected=", ".join(DAMAGES))
        self.window, self.max_turns = whole_number("window =", window, 1), whole_number("max_turns =", max_turns, 1)
        if not penalty >= 0:  # written so that NaN is refused too
            raise UsageError(f"penalty = {penalty!r}", expected="a number of at least 0")
        self.level, self.penalty, self.passage = level, float(penalty), None if passage is None else _read(passage)
        self.instructions = f"Repair the passage. Answer with one command: {COMMANDS}."

    def begin(self, rng: np.random.Generator, options: Mapping[str, Any]) -> Turn:
        self.original = make_passage(rng, self.sentences) if self.passage is None else self.passage
        self.text, self.damage = self.original, list[Edit]()
        for _ in range(20 * self.count):
            edit = DAMAGES[str(rng.choice(self.kinds))](self.text, rng)
            if edit is not None:
                self.text = edit.apply(self.text)
                self.damage.append(edit)
            if len(self.damage) >= self.count and self.text != self.original:
                break
        if self.text == self.original:
            raise UsageError(
                f"a passage of {len(self.original)} characters that {', '.join(self.kinds)} cannot damage",
                expected="some words",
            )
        self.first = self.distance = edit_distance(self.text, self.original)
        self.top = 1
        return Turn(self._shown(), info={"distance": self.distance})

    def respond(self, answer: str) -> Turn:
        """Carries a command out."""
        given = _bare(answer)
        if not given.strip():
            return Turn(self._shown(f"empty; {COMMANDS}"), problem="empty")
        before = self.text
        try:
            told = self._do(given)
        except UsageError as error:
            told = "; ".join(str(error).split("\n"))
            return Turn(self._shown(told), problem="refused", info={"distance": self.distance})
        if told is None:
            return Turn(self._shown(f"not a command: {given.strip()[:60]!r}; {COMMANDS}"), problem="unknown")
        reward = 0.0
        if self.text != before:
            distance = edit_distance(self.text, self.original)
            reward, self.distance = (self.distance - distance) / self.first, distance
        over = self.distance == 0 or told == "done"
        return Turn(self._shown(told), reward, over, None, {"distance": self.distance, "restored": self.restored})

    def solution(self) -> str:
        """Returns the replacement of the first line that differs; damages add and remove no lines, edits may."""
        now, then = self.text.split("\n"), self.original.split("\n")
        if len(now) != len(then):
            return f"replace 1-{len(now)}\n{self.original}"
        for number, (one, other) in enumerate(zip(now, then, strict=True), 1):
            if one != other:
                return f"replace {number}: {other}"
        return "done"

    @property
    def restored(self) -> float:
        """The share of the first edit distance that is restored; below 0 where the passage is worse than it was."""
        return 1.0 - self.distance / self.first

    def _do(self, given: str) -> str | None:
        """Carries a command out; returns what is told, or None where it is not one.

        Raises:
            UsageError: it cannot be carried out.
        """
        head, _, rest = given.strip("\n").partition("\n")
        word, _, argument = head.strip().partition(" ")
        word, argument = word.lower().rstrip(":"), argument.strip()
        lines = self.text.split("\n")
        if head.startswith(("@@", "---", "diff ")):
            self._set(apply_diff(self.text, given.strip("\n")))
            return "diff applied"
        if word == "done" and not argument:
            return "done"
        if word in ("open", "goto") and re.fullmatch(r"[0-9]{1,6}", argument):
            self.top = whole_number("line", int(argument), 1, len(lines))
            return f"at line {self.top}"
        if word == "find" and argument:
            order = [*range(self.top, len(lines)), *range(self.top)]  # from the line after the window's first
            found = next((k for k in order if argument in lines[k]), None)
            if found is None:
                raise UsageError(f"no line has {argument[:60]!r}")
            self.top = found + 1
            return f"found in line {self.top}"
        match = re.fullmatch(r"([0-9]{1,6})(?:-([0-9]{1,6}))?(?::(.*))?", argument)
        if word == "replace" and match:
            first, last = int(match[1]), int(match[2] or match[1])
            one = match[3]
            if one is not None and rest.strip():
                return None
            new = [one[1:] if one.startswith(" ") else one] if one is not None else rest.split("\n") if rest else []
            self._set(replace_lines(self.text, first, last, new))
            return f"lines {first} to {last} replaced"
        return None

    def _set(self, text: str) -> None:
        if text.count("\n") > MOST_LINES or len(text) > 4 * len(self.original) + 1000:
            raise UsageError(f"a passage of {len(text)} characters", expected="one not much longer than it was")
        self.text = text
        self.top = min(self.top, text.count("\n") + 1)

    def _shown(self, told: str = "") -> str:
        lines = self.text.split("\n")
        last = min(self.top + self.window - 1, len(lines))
        shown = [f"{number}: {lines[number - 1]}" for number in range(self.top, last + 1)]
        part = f"lines {self.top} to {last} of {len(lines)}"
        return "\n".join([*([told] if told else []), part, *shown])


def _bare(answer: str) -> str:
    """Returns what stands in a fenced block, where there is one, else the whole answer without a leading mark."""
    fenced = re.search(r"```[a-z]*\n(.*?)\n?```", answer, re.DOTALL)
    if fenced:
        return fenced[1]
    marks = list(re.finditer(r"^[ \t]*(?:action|answer|command)[ \t]*:[ \t]*", answer, re.IGNORECASE | re.MULTILINE))
    return answer[marks[-1].end() :] if marks else answer


def _read(passage: str) -> str:
    if not passage.startswith("@"):
        return passage
    try:
        return Path(passage[1:]).read_text(encoding="utf-8").rstrip("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {passage[1:]}: {error}", expected="a text file in UTF-8") from error
