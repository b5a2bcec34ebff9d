"""What a language model has read and written in an episode, as token ids: what was drawn is never encoded again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from inscape.agents.llm.generation.generating import Reply, Tokens
from inscape.errors import UsageError

Encode = Callable[[str, bool], Tokens]
"""Text to tokens; True adds what the model begins texts with."""


@dataclass(frozen=True)
class Part:
    """Tokens of one side.

    Attributes:
        tokens: ids.
        own: whether the model wrote them.
    """

    tokens: Tokens
    own: bool


@dataclass
class Conversation:
    """An episode in turns: instructions, then what is observed and what was answered.

    Args:
        encode: text to tokens.
        instructions: told once, at the beginning.
        cue: how each answer begins, put after each observation.
        history: turns before the present one that are kept in the context; None: as many as fit.
    """

    encode: Encode
    instructions: str
    cue: str = ""
    history: int | None = None
    parts: list[Part] = field(default_factory=list)

    def observe(self, text: str) -> None:
        """Adds what is observed; what was answered before stands as it was drawn."""
        before = "" if not self.parts else "\n"
        self.parts.append(Part(self.encode(f"{before}{text}\n{self.cue}", False), False))

    def answer(self, reply: Reply) -> None:
        """Adds what the model answered."""
        self.parts.append(Part(reply.tokens, True))

    def shown(self, tokens: Tokens) -> None:
        """Adds an answer that was shown to the model, as if it were its own."""
        self.parts.append(Part(tokens, True))

    def context(self, room: int) -> tuple[Tokens, int]:
        """Returns the tokens that the next answer follows, and how many earlier turns were left out of them.

        The instructions and the last observation are always there; of the turns between, the newest that fit. Where
        some are left out, a line says how many.

        Args:
            room: tokens at most.

        Raises:
            UsageError: instructions and the last observation alone are longer.
        """
        opening = self.encode(f"{self.instructions}\n" if self.instructions else "", True)
        last = self.parts[-1].tokens
        turns = [self.parts[k].tokens + self.parts[k + 1].tokens for k in range(0, len(self.parts) - 1, 2)]
        kept = turns if self.history is None else turns[len(turns) - min(self.history, len(turns)) :]
        while True:
            dropped = len(turns) - len(kept)
            # said only where the window is what left them out: with a fixed history it would count up for ever
            told = dropped > 0 and self.history is None
            note = self.encode(f"[{dropped} earlier turns left out]\n", False) if told else ()
            tokens = opening + note + tuple(token for turn in kept for token in turn) + last
            if len(tokens) <= room:
                return tokens, dropped
            if not kept:
                raise UsageError(
                    f"instructions and observation take {len(opening) + len(last)} tokens",
                    expected=f"at most {room}: the model's context less what an answer may take",
                    hint="a smaller window of the environment, or fewer answer_tokens",
                )
            kept = kept[1:]
