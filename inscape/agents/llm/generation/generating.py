"""Drawing replies from a causal language model: a batch at once, each distinct prompt encoded once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inscape.agents.llm.generation.sampling import drawn, sampled_log_probs
from inscape.agents.llm.sampling_settings import Sampling
from inscape.errors import UsageError, whole_number

Tokens = tuple[int, ...]
Ended = Literal["end", "stop", "cut"]


@dataclass(frozen=True, eq=False)
class Reply:
    """What was drawn after a prompt.

    Attributes:
        tokens: its ids, that of the end included where it was drawn.
        log_probs: `[n]` float32 of each, under the distribution it was drawn from; 0 where it was not drawn but put.
        drawn: `[n]` bool, False where a token was put there (the mark that ends thinking at its budget).
        text: decoded, without the end.
        ended: by the model's `end` token, by a `stop` text, or `cut` at the budget.
    """

    tokens: Tokens
    log_probs: NDArray[np.float32]
    drawn: NDArray[np.bool_]
    text: str
    ended: Ended

    @property
    def cut(self) -> bool:
        """Whether it ended because its budget was used up."""
        return self.ended == "cut"


@dataclass
class _Row:
    """A reply that is being drawn."""

    prompt: Tokens
    rng: np.random.Generator
    tokens: list[int] = field(default_factory=list)
    log_probs: list[float] = field(default_factory=list)
    text: str = ""
    ended: Ended | None = None


class Generator:
    """Draws replies.

    Args:
        model: a causal language model of transformers.
        tokenizer: its tokenizer.
        sampling: temperature and cut-offs.
        most: tokens of a reply, at most.
        stop: texts that end a reply where they appear in it (kept in it).
        ends: ids that end a reply; by default those of the tokenizer and of the model's generation settings.

    Raises:
        UsageError: `most` is below 1, or a stop text empty.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        sampling: Sampling | None = None,
        most: int = 32,
        stop: Sequence[str] = (),
        ends: Sequence[int] | None = None,
    ) -> None:
        self.model, self.tokenizer, self.sampling = model, tokenizer, sampling or Sampling()
        self.most, self.stop = whole_number("tokens of a reply", most, 1), tuple(stop)
        if not all(self.stop):
            raise UsageError("an empty stop text", expected="texts of at least a character")
        self.ends = frozenset(_ends(model, tokenizer) if ends is None else ends)
        config = model.config
        self._has_cache: bool | None = None
        self.context = int(getattr(config, "max_position_embeddings", None) or 1 << 30)

    def replies(
        self, prompts: Sequence[Tokens], rngs: Sequence[np.random.Generator], most: int | None = None,
        stop: Sequence[str] | None = None,
    ) -> list[Reply]:  # fmt: skip
        """Returns a reply to each of B prompts.

        Each draws from its own generator, a uniform a token: what it becomes does not depend on the rest of the batch.

        Args:
            prompts: B token strings, none empty.
            rngs: B generators.
            most, stop: instead of those it was made with.

        Raises:
            UsageError: a prompt is empty, or leaves no room in the model's context.
        """
        most, stop = self.most if most is None else most, self.stop if stop is None else tuple(stop)
        for number, prompt in enumerate(prompts):
            if not prompt:
                raise UsageError(f"prompt {number} has no tokens", expected="at least one")
            if len(prompt) >= self.context:
                raise UsageError(
                    f"prompt {number} has {len(prompt)} tokens",
                    expected=f"fewer than {self.context}, the model's context",
                )
        rows = [_Row(tuple(prompt), rng) for prompt, rng in zip(prompts, rngs, strict=True)]
        with torch.inference_mode():
            self._draw(rows, most, stop)
        return [
            Reply(
                tuple(row.tokens), np.array(row.log_probs, np.float32), np.ones(len(row.tokens), np.bool_), row.text,
                row.ended or "cut",
            )
            for row in rows
        ]  # fmt: skip

    def _draw(self, rows: list[_Row], most: int, stop: tuple[str, ...]) -> None:
        logits, state = self._read([row.prompt for row in rows])
        live = rows
        for _ in range(most):
            log_probs = sampled_log_probs(logits, self.sampling)
            uniforms = torch.tensor([row.rng.random() for row in live], dtype=torch.float64, device=logits.device)
            tokens = drawn(log_probs, uniforms)
            chosen = log_probs.gather(1, tokens[:, None])[:, 0]
            if not torch.isfinite(chosen).all():
                raise UsageError(
                    "a language model whose log-probabilities are not finite",
                    expected="numbers",
                    hint="its weights have diverged; train with a smaller --learning-rate",
                )
            going = []
            for k, (row, token, value) in enumerate(zip(live, tokens.tolist(), chosen.tolist(), strict=True)):
                row.tokens.append(token)
                row.log_probs.append(value)
                self._judge(row, token, stop)
                if row.ended is None and len(row.prompt) + len(row.tokens) < self.context:
                    going.append(k)
            if not going:
                return
            kept = torch.tensor(going, device=logits.device)
            logits = state.step(tokens[kept], kept if len(going) < len(live) else None)
            live = [live[k] for k in going]

    def _judge(self, row: _Row, token: int, stop: tuple[str, ...]) -> None:
        """Notes whether a token ends the reply."""
        if token in self.ends:
            row.ended = "end"
            return
        row.text = self.decode(row.tokens)
        if any(one in row.text for one in stop):
            row.ended = "stop"

    def decode(self, tokens: Sequence[int]) -> str:
        """Returns tokens as text, special ones left out."""
        return str(self.tokenizer.decode(list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def _caches(self) -> bool:
        """Returns whether the model hands back keys and values; recurrent ones keep another kind of state."""
        if self._has_cache is None:
            one = torch.zeros(1, 1, dtype=torch.int64, device=next(self.model.parameters()).device)
            self._has_cache = getattr(self.model(input_ids=one, use_cache=True), "past_key_values", None) is not None
        return self._has_cache

    def _read(self, prompts: Sequence[Tokens]) -> tuple[Tensor, _State | _Rereading]:
        """Encodes prompts, each distinct one once; returns `[B, V]` logits after them and what was read."""
        distinct = list(dict.fromkeys(prompts))
        number = {prompt: k for k, prompt in enumerate(distinct)}
        state: _State | _Rereading = (
            _State(self.model, distinct) if self._caches() else _Rereading(self.model, distinct)
        )
        logits = state.first()
        if len(distinct) < len(prompts):
            rows = torch.tensor([number[prompt] for prompt in prompts], device=logits.device)
            state.select(rows)
            logits = logits[rows]
        return logits, state


class _State:
    """What a model has read of some sequences: keys and values, left-padded."""

    def __init__(self, model: Any, prompts: Sequence[Tokens]) -> None:
        self._model = model
        device = next(model.parameters()).device
        width = max(map(len, prompts))
        self._tokens = torch.tensor([(0,) * (width - len(p)) + p for p in prompts], device=device)
        lengths = torch.tensor([len(p) for p in prompts], device=device)
        self._mask = (torch.arange(width, device=device) >= (width - lengths)[:, None]).long()
        self._padded = bool((lengths < width).any())
        self._next = lengths  # position of the next token
        self._cache: Any = None

    def first(self) -> Tensor:
        """Returns `[B, V]` logits after the prompts."""
        positions = (self._mask.cumsum(1) - 1).clamp_min(0)
        return self._run(self._tokens, positions)

    def step(self, tokens: Tensor, rows: Tensor | None) -> Tensor:
        """Returns the logits after `[B]` more tokens; those of `rows` alone go on, where given."""
        if rows is not None:
            self.select(rows)
        one = tokens[:, None]
        self._mask = torch.cat([self._mask, torch.ones_like(one)], 1)
        logits = self._run(one, self._next[:, None])
        self._next = self._next + 1
        return logits

    def select(self, rows: Tensor) -> None:
        """Keeps some of the sequences, in another order perhaps."""
        self._mask, self._next = self._mask[rows], self._next[rows]
        self._cache.batch_select_indices(rows)

    def _run(self, tokens: Tensor, positions: Tensor) -> Tensor:
        known = {} if self._cache is None else {"past_key_values": self._cache}
        output = self._model(
            input_ids=tokens,
            attention_mask=self._mask if self._padded else None,
            position_ids=positions,
            use_cache=True,
            **known,
        )
        self._cache = output.past_key_values
        return output.logits[:, -1]  # type: ignore[no-any-return]


class _Rereading:
    """What `_State` is, for models without keys and values: each sequence is read again at each token, by itself."""

    def __init__(self, model: Any, prompts: Sequence[Tokens]) -> None:
        self._model, self._rows = model, [list(prompt) for prompt in prompts]
        self._device = next(model.parameters()).device

    def first(self) -> Tensor:
        rows = (torch.tensor([row], device=self._device) for row in self._rows)
        return torch.cat([self._model(input_ids=row, use_cache=False).logits[:, -1] for row in rows])

    def step(self, tokens: Tensor, rows: Tensor | None) -> Tensor:
        if rows is not None:
            self.select(rows)
        for row, token in zip(self._rows, tokens.tolist(), strict=True):
            row.append(token)
        return self.first()

    def select(self, rows: Tensor) -> None:
        self._rows = [list(self._rows[k]) for k in rows.tolist()]


def _ends(model: Any, tokenizer: Any) -> list[int]:
    """Returns the ids at which a model says that it has finished."""
    settings = getattr(model, "generation_config", None)
    found: list[int] = []
    for given in (getattr(tokenizer, "eos_token_id", None), getattr(settings, "eos_token_id", None)):
        found += [int(given)] if isinstance(given, int) else [int(k) for k in given or ()]
    return found


def reply_log_probs(
    model: Any,
    sequences: Sequence[tuple[Tokens, Tokens]],
    sampling: Sampling,
    read: Callable[[Tensor], None] | None = None,
) -> list[Tensor]:
    """Returns the `[n]` log-probabilities of replies under the sampling distribution, by one plain forward pass.

    Differentiable: this is what learning uses, and what `Generator` is checked against.

    Args:
        model: a causal language model.
        sequences: B pairs of prompt and reply tokens.
        sampling: what the replies were drawn with.
        read: called with the `[n, V]` log-probabilities of each reply, in order.
    """
    device = next(model.parameters()).device
    longest = max(len(prompt) + len(reply) for prompt, reply in sequences)
    # causal: tokens to the right change nothing, so padding needs no mask
    padded = [(*prompt, *reply) + (0,) * (longest - len(prompt) - len(reply)) for prompt, reply in sequences]
    logits = model(input_ids=torch.tensor(padded, device=device), use_cache=False).logits
    found = []
    for row, (prompt, reply) in enumerate(sequences):
        part = logits[row, len(prompt) - 1 : len(prompt) + len(reply) - 1]
        log_probs = sampled_log_probs(part, sampling)
        if read is not None:
            read(log_probs)
        found.append(log_probs.gather(1, torch.tensor(reply, device=device)[:, None])[:, 0])
    return found
