"""Questions about a made-up town, some of which its chronicle answers and some not; "I don't know" is an answer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from inscape.envs.text.answers import answer_text
from inscape.envs.text.interface import TextEnv, Turn
from inscape.envs.text.worlds.spelling import make_word
from inscape.errors import UsageError, whole_number

RELATIONS: dict[str, tuple[str, str, int]] = {
    "birthplace": ("Where was {} born?", "{} was born in {}.", 12),
    "trade": ("What is the trade of {}?", "{} works as a {}.", 10),
    "neighbour": ("Who is the neighbour of {}?", "{} lives next to {}.", 0),
    "animal": ("Which animal does {} keep?", "{} keeps a {}.", 8),
}
"""Question, sentence, and how many different answers there are (0: any of the town's people)."""
UNKNOWN = re.compile(r"i (do not|don't|don’t) know|unknown|not known", re.IGNORECASE)
CONFIDENCE = re.compile(r"confidence\s*[:=]\s*([0-9]*\.?[0-9]+)\s*(%?)", re.IGNORECASE)
LOOK_UP = re.compile(r"\s*look up\s+(\w+)\s+(\w+)\s*", re.IGNORECASE)


class Facts(TextEnv):
    """A question about one of (subject, relation, object) triples.

    `corpus()` is the chronicle: what training may read. It tells `told` of all facts; the others cannot be known from
    it. A right answer pays 1, a wrong one `wrong`, "I don't know" `unknown`, whether the chronicle tells it or not.
    An answer may state `confidence: 0.8` on another line; it is in `info`.

    Args:
        mode: `closed` (the question alone), `passage` (with what the chronicle tells of the subject), or `tool`
            (`look up SUBJECT RELATION` before the answer).
        people: how many there are.
        told: share of the facts that the chronicle tells.
        town: which town: the seed of people and facts.
        wrong, unknown: rewards, see above.
        penalty: what an answer with a problem costs.
    """

    def __init__(
        self,
        mode: Literal["closed", "passage", "tool"] = "closed",
        people: int = 50,
        told: float = 0.6,
        town: int = 0,
        wrong: float = -1.0,
        unknown: float = 0.0,
        penalty: float = 0.0,
    ) -> None:
        if mode not in ("closed", "passage", "tool"):
            raise UsageError(f"mode = {mode!r}", expected="'closed', 'passage' or 'tool'")
        whole_number("people =", people, 2, 5_000)
        if not 0 <= told <= 1:
            raise UsageError(f"told = {told!r}", expected="a share between 0 and 1")
        if not wrong <= unknown <= 1 or not penalty >= 0:  # written so that NaN is refused too
            raise UsageError(
                f"wrong {wrong}, unknown {unknown}, penalty {penalty}",
                expected="wrong <= unknown <= 1, penalty at least 0",
            )
        self.mode, self.wrong, self.unknown, self.penalty = mode, float(wrong), float(unknown), float(penalty)
        self.max_turns = 6 if mode == "tool" else 1
        self.cue = "" if mode == "tool" else "answer:"
        rng = np.random.default_rng([town, 11])
        self.people = _names(rng, people, 2, set())
        taken = set(self.people)
        pools = {
            name: _names(rng, count, 3, taken) if count else self.people for name, (*_, count) in RELATIONS.items()
        }
        self.facts = {
            (person, relation): str(rng.choice([one for one in pools[relation] if one != person]))
            for person in self.people
            for relation in RELATIONS
        }
        keys = list(self.facts)
        chosen = rng.permutation(len(keys))[: round(told * len(keys))]
        self.told = {keys[k] for k in chosen.tolist()}
        how = "`look up SUBJECT RELATION` (" + ", ".join(RELATIONS) + "), or " if mode == "tool" else ""
        self.instructions = f"Answer with one line: {how}answer: ONE WORD, or answer: I don't know"

    def corpus(self) -> list[str]:
        """Returns the chronicle, a sentence for each fact that it tells."""
        return [self._sentence(key) for key in self.facts if key in self.told]

    def _sentence(self, key: tuple[str, str]) -> str:
        return RELATIONS[key[1]][1].format(key[0], self.facts[key])

    def begin(self, rng: np.random.Generator, options: Mapping[str, Any]) -> str:
        self.key = list(self.facts)[int(rng.integers(len(self.facts)))]
        question = RELATIONS[self.key[1]][0].format(self.key[0])
        if self.mode != "passage":
            return question
        about = [self._sentence(key) for key in self.facts if key[0] == self.key[0] and key in self.told]
        return " ".join([*about, question])

    def solution(self) -> str:
        """Returns the answer of somebody who knows the chronicle and nothing else."""
        answer = self.facts[self.key] if self.key in self.told else "I don't know"
        return f" {answer}" if self.cue else f"answer: {answer}"

    def respond(self, answer: str) -> Turn:
        """Looks up, or judges the answer and ends the episode."""
        looked = LOOK_UP.fullmatch(answer) if self.mode == "tool" else None
        if looked:
            key = next(
                (k for k in self.told if [part.lower() for part in k] == [g.lower() for g in looked.groups()]), None
            )
            return Turn("nothing is told" if key is None else self._sentence(key))
        stated = CONFIDENCE.search(answer)
        read = answer_text(CONFIDENCE.sub("", answer))
        info: dict[str, Any] = {"expected": self.facts[self.key], "told": self.key in self.told}
        if stated:
            info["confidence"] = min(float(stated[1]) / (100.0 if stated[2] else 1.0), 1.0)
        said = read.text.strip(" .!\"'")
        if read.problem is not None or len(said.split()) > 6:
            return Turn("that is no answer", terminated=True, problem=read.problem or "unknown", info=info)
        if UNKNOWN.fullmatch(said):
            return Turn("so it is", self.unknown, True, info={**info, "right": False, "knows": False})
        right = said.lower() == self.facts[self.key].lower()
        text = "right" if right else f"wrong: {self.facts[self.key]}"
        return Turn(text, 1.0 if right else self.wrong, True, info={**info, "right": right, "knows": True})


def _names(rng: np.random.Generator, count: int, syllables: int, taken: set[str]) -> list[str]:
    """Returns so many different names, none of them taken."""
    found: list[str] = []
    seen = set(taken)
    while len(found) < count:
        name = make_word(rng, syllables).capitalize()
        if name not in seen:
            seen.add(name)
            found.append(name)
    return found
