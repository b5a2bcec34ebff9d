"""Background: next-token prediction on text, packed into rows without leakage from one text to the next.

    loss = −Σ w_k·log P(t_k | t_1 … t_{k−1}, of the same text) / Σ w_k,

with weight 1 for every token (pretraining) or for the tokens of answers only (supervised fine-tuning). Several texts
stand in one row; the attention mask lets a token see its own text only and positions count from each text's beginning,
so that the loss is that of each text in a row of its own.

Source of the packing: Krell et al. (2021), arXiv:2107.02027, section 3.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor

from inscape.agents.interface import Metrics
from inscape.agents.llm.model import encode
from inscape.agents.llm.text import Prompter, format_answer
from inscape.envs.text.described import action_names_of
from inscape.errors import UsageError

if TYPE_CHECKING:
    from inscape.agents.llm.trainer import LanguageLearner
    from inscape.envs.data.trajectory import Trajectory
    from inscape.envs.tasks.task import Task

Piece = tuple[str, bool]
"""Text, and whether it is to be predicted."""


class Trained(Protocol):
    """An agent with a language model to train, as `LanguageModelAgent` is."""

    seed: int
    learner: LanguageLearner


@dataclass(frozen=True)
class Text:
    """Tokens of one text and the weight with which each is predicted (that of the first has no effect)."""

    tokens: tuple[int, ...]
    weights: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Packed:
    """R rows of at most L tokens.

    Attributes:
        tokens: `[R, L]` int64, 0 where nothing stands.
        positions: `[R, L]` position in its own text.
        number: `[R, L]` which text of the row, from 0; −1 where nothing stands.
        weights: `[R, L]` float32 of predicting that token; 0 for the first of a text.
    """

    tokens: Tensor
    positions: Tensor
    number: Tensor
    weights: Tensor

    def rows(self, chosen: Any) -> Packed:
        """Returns some of the rows."""
        return Packed(self.tokens[chosen], self.positions[chosen], self.number[chosen], self.weights[chosen])


def to_text(tokenizer: Any, pieces: Sequence[Piece]) -> Text:
    """Returns pieces of one text as tokens; each piece is encoded by itself, so that the weights are exact.

    Raises:
        UsageError: fewer than two tokens, or nothing to predict.
    """
    encoded = [encode(tokenizer, [piece], special=False)[0] if piece else () for piece, _ in pieces]
    tokens = tuple(token for part in encoded for token in part)
    weights = tuple(float(predicted) for part, (_, predicted) in zip(encoded, pieces, strict=True) for _ in part)
    if len(tokens) < 2 or not any(weights[1:]):
        raise UsageError(f"a text of {len(tokens)} tokens with nothing to predict", expected="at least one target")
    return Text(tokens, weights)


def episode_pieces(task: Task, trajectory: Trajectory, answers_only: bool = False) -> list[Piece]:
    """Returns an episode as text: description, answer, reward, and so on; the answers alone predicted if asked."""
    prompter, names = Prompter(task, list_actions=False), action_names_of(task)
    first = int(task.action_space.start)  # type: ignore[attr-defined]
    pieces: list[Piece] = []
    for prompt, action, reward in zip(
        prompter.prompts(trajectory.observations[:-1]), trajectory.actions, trajectory.rewards, strict=True
    ):
        pieces += [(prompt, not answers_only), (format_answer(names[int(action) - first]), True)]
        if reward:
            pieces.append((f"reward {reward:g}\n", not answers_only))
    return pieces


def windows(text: Text, length: int) -> list[Text]:
    """Returns a text in parts of at most `length` tokens; each token but the first is predicted in just one."""
    parts = []
    for start in range(0, max(len(text.tokens) - 1, 1), length - 1):
        part = slice(start, start + length)
        weights = text.weights[part]
        if any(weights[1:]):
            parts.append(Text(text.tokens[part], weights))
    return parts


def pack(texts: Sequence[Text], length: int) -> Packed:
    """Returns texts in as few rows as first-fit decreasing finds; longer ones than `length` are cut into windows.

    Raises:
        UsageError: no text, or a length below 2.
    """
    if length < 2:
        raise UsageError(f"rows of {length} tokens", expected="at least 2")
    parts = sorted((part for text in texts for part in windows(text, length)), key=lambda part: -len(part.tokens))
    if not parts:
        raise UsageError(f"{len(texts)} texts with nothing to predict", expected="at least one token to predict")
    rows: list[list[Text]] = []
    room: list[int] = []
    for part in parts:
        size = len(part.tokens)
        row = next((r for r, free in enumerate(room) if free >= size), len(rows))
        if row == len(rows):
            rows.append([])
            room.append(length)
        rows[row].append(part)
        room[row] -= size
    width = length - min(room)
    table = np.zeros((4, len(rows), width))
    table[2] = -1
    for r, row_texts in enumerate(rows):
        at = 0
        for number, part in enumerate(row_texts):
            end = at + len(part.tokens)
            table[:, r, at:end] = (
                part.tokens, range(len(part.tokens)), [number] * len(part.tokens), (0.0, *part.weights[1:]),
            )  # fmt: skip
            at = end
    tokens, positions, number_table = (torch.from_numpy(table[k].astype(np.int64)) for k in range(3))
    return Packed(tokens, positions, number_table, torch.from_numpy(table[3].astype(np.float32)))


def token_losses(model: Any, packed: Packed) -> Tensor:
    """Returns `[R, L − 1]` weighted −log P of each token but the first of the row, in nats.

    Args:
        model: a causal language model that takes a four-dimensional attention mask.
        packed: on any device.
    """
    device = next(model.parameters()).device
    number = packed.number.to(device)
    width = number.shape[1]
    causal = torch.ones(width, width, dtype=torch.bool, device=device).tril()
    same = (number[:, :, None] == number[:, None, :]) & causal
    mask = torch.zeros(same.shape, dtype=model.dtype, device=device)
    mask = mask.masked_fill(~same, torch.finfo(model.dtype).min)[:, None]
    tokens, positions = packed.tokens.to(device), packed.positions.to(device)
    logits = model(input_ids=tokens, attention_mask=mask, position_ids=positions, use_cache=False).logits
    log_probs = logits[:, :-1].float().log_softmax(-1)
    taken: Tensor = log_probs.gather(2, tokens[:, 1:, None])[..., 0]
    return -packed.weights[:, 1:].to(device) * taken


def perplexity(model: Any, packed: Packed, batch: int = 16) -> float:
    """Returns exp of the mean loss of a predicted token."""
    with torch.inference_mode():
        total = sum(float(token_losses(model, packed.rows(slice(k, k + batch))).sum())
                    for k in range(0, len(packed.tokens), batch))  # fmt: skip
    return float(np.exp(total / float(packed.weights.sum())))


def pretrain(
    agent: Trained,
    texts: Sequence[Text],
    steps: int,
    *,
    length: int = 256,
    batch: int = 8,
    learning_rate: float = 1e-3,
    penalty: Any = None,
) -> Iterator[Metrics]:
    """Trains an agent's model on texts; call it before `agent.learn`, which then begins from there.

    Args:
        agent: whose model is trained.
        texts: what to predict; at their answers only where their weights say so.
        steps: gradient steps.
        length: tokens of a row.
        batch: rows of a step.
        learning_rate: Adam's step size.
        penalty: called with the policy, returns a scalar to add to each loss: `ElasticWeights(…).penalty`.

    Yields:
        Every 25 steps: `pretrain/steps`, `pretrain/loss` (nats a token), `pretrain/perplexity`.

    Raises:
        UsageError: no text, or a loss that is not finite (the weights are as before that step).
    """
    learner = agent.learner
    packed = pack(texts, min(length, learner.policy.max_tokens))
    learner.restart_optimizer(learning_rate)
    rng, total, count = np.random.default_rng([agent.seed, 6]), 0.0, 0.0
    order = rng.permutation(len(packed.tokens))
    for step in range(1, steps + 1):
        if len(order) < min(batch, len(packed.tokens)):
            order = rng.permutation(len(packed.tokens))
        chosen, order = packed.rows(torch.from_numpy(order[:batch])), order[batch:]
        with learner.policy.own_threads():
            losses = token_losses(learner.policy.model, chosen).sum()
            weight = float(chosen.weights.sum())
            loss = losses / weight if penalty is None else losses / weight + penalty(learner.policy)
            learner.descend(loss)
        total, count = total + losses.item(), count + weight
        if step % 25 == 0 or step == steps:
            yield {"steps": 0.0, "pretrain/steps": float(step), "pretrain/loss": total / count,
                   "pretrain/perplexity": float(np.exp(total / count))}  # fmt: skip
            total = count = 0.0
