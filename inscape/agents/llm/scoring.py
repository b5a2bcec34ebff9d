"""Probabilities of whole answers under a causal language model.

An answer is a string of tokens `t_1 … t_n`. Its score after a prompt is

    score(a) = Σ_k log P(t_k | prompt, t_1 … t_{k−1})

and the policy is the softmax of the scores over the legal answers. All answers are scored in one forward pass: they
form a tree (names that begin alike share their first tokens), the tree's inner tokens are appended to the prompt, and
the attention mask lets each see the prompt and its own ancestors only. The prompt is thus encoded once whatever the
number of answers, and the last token of an answer (the line break) is never encoded at all.

Source of the mask: tree attention, Miao et al. (2024), SpecInfer, arXiv:2305.09781, section 4.2.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inscape.errors import UsageError

Tokens = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class AnswerTree:
    """Answers as a tree of tokens.

    Attributes:
        num_answers: A.
        tokens: `[M]` tokens to encode: the distinct beginnings of answers, each by its last token.
        depth: `[M]` position after the prompt's end, from 0.
        sees: `[M, M]` bool, True where the column is the row's ancestor or itself.
        source: `[E]` where each token of each answer is predicted: 0 at the prompt's last token, k+1 at `tokens[k]`.
        target: `[E]` the token predicted there.
        answer: `[E]` the answer it belongs to.
    """

    num_answers: int
    tokens: Tensor
    depth: Tensor
    sees: Tensor
    source: Tensor
    target: Tensor
    answer: Tensor

    def to(self, device: torch.device) -> AnswerTree:
        tensors = (self.tokens, self.depth, self.sees, self.source, self.target, self.answer)
        return AnswerTree(self.num_answers, *(tensor.to(device) for tensor in tensors))


def answer_tree(answers: Sequence[Tokens]) -> AnswerTree:
    """Returns the tree of the given answers.

    Raises:
        UsageError: an answer has no tokens, or two have the same.
    """
    if len(set(answers)) < len(answers) or not all(answers):
        raise UsageError(
            f"the tokens of the answers are {list(answers)}", expected="at least one token each, no two answers alike"
        )
    node: dict[Tokens, int] = {}
    edges = []
    for index, answer in enumerate(answers):
        for k in range(len(answer)):
            begun = answer[:k]
            if begun:
                node.setdefault(begun, len(node))
            edges.append((node[begun] + 1 if begun else 0, answer[k], index))
    sees = torch.zeros(len(node), len(node), dtype=torch.bool)
    for begun, row in node.items():
        for k in range(1, len(begun) + 1):
            sees[row, node[begun[:k]]] = True
    source, target, answer_index = (torch.tensor(column) for column in zip(*edges, strict=True))
    return AnswerTree(
        num_answers=len(answers),
        tokens=torch.tensor([begun[-1] for begun in node], dtype=torch.int64),
        depth=torch.tensor([len(begun) - 1 for begun in node], dtype=torch.int64),
        sees=sees,
        source=source,
        target=target,
        answer=answer_index,
    )


def tree_scores(model: Any, prompts: Sequence[Tokens], tree: AnswerTree, states: bool = False) -> tuple[Tensor, Tensor]:
    """Returns `(scores [B, A], last hidden state at the prompt's end [B, D])` in one forward pass.

    Prompts stand flush right before the answers' tokens, so that what is predicted lies at the same places in each row.

    Args:
        model: a causal language model of transformers that takes a four-dimensional attention mask.
        prompts: B token strings, none empty.
        tree: the answers, on the model's device.
        states: whether the hidden states are wanted; else `[B, 0]`.
    """
    device = tree.tokens.device
    width, inner = max(map(len, prompts)), len(tree.tokens)
    lengths = torch.tensor([len(prompt) for prompt in prompts], device=device)
    padded = torch.tensor([(0,) * (width - len(prompt)) + tuple(prompt) for prompt in prompts], device=device)
    tokens = torch.cat([padded, tree.tokens.expand(len(prompts), inner)], 1)
    positions = torch.cat(
        [torch.arange(width, device=device) - (width - lengths)[:, None], lengths[:, None] + tree.depth], 1
    ).clamp_min(0)
    output = model(
        input_ids=tokens,
        attention_mask=_attention(width, lengths, tree, model.dtype),
        position_ids=positions,
        use_cache=False,
        output_hidden_states=states,
        **({"logits_to_keep": inner + 1} if _keeps_logits(model.__class__) else {}),
    )
    log_probs = output.logits[:, -(inner + 1) :].float().log_softmax(-1)
    scores = log_probs.new_zeros(len(prompts), tree.num_answers)
    scores = scores.index_add(1, tree.answer, log_probs[:, tree.source, tree.target])
    hidden = output.hidden_states[-1][:, width - 1] if states else scores.new_zeros(len(prompts), 0)
    return scores, hidden


def _attention(width: int, lengths: Tensor, tree: AnswerTree, dtype: torch.dtype) -> Tensor:
    """Returns `[B, 1, L, L]`, to be added to the attention scores: 0 where the row sees the column, else −large."""
    inner, device = len(tree.tokens), lengths.device
    total = width + inner
    sees = torch.zeros(total, total, dtype=torch.bool, device=device)
    sees[:width, :width] = torch.ones(width, width, dtype=torch.bool, device=device).tril()
    sees[width:, :width] = True
    sees[width:, width:] = tree.sees
    real = torch.arange(total, device=device) >= (width - lengths)[:, None]
    # padding sees itself, because a softmax over nothing is not a number
    allowed = (sees & real[:, None, :]) | torch.eye(total, dtype=torch.bool, device=device)
    bias = torch.zeros(allowed.shape, dtype=dtype, device=device)
    return bias.masked_fill(~allowed, torch.finfo(dtype).min)[:, None]


@lru_cache(maxsize=64)
def _keeps_logits(model_class: Any) -> bool:
    return "logits_to_keep" in inspect.signature(model_class.forward).parameters


def full_scores(
    model: Any, prompts: Sequence[Tokens], answers: Sequence[Tokens], states: bool = False
) -> tuple[Tensor, Tensor]:
    """Returns what `tree_scores` returns, by the plain route: every prompt encoded again with every answer.

    For models whose attention does not take the tree's mask, such as recurrent ones; the reference in tests and
    benchmarks.
    """
    device = next(model.parameters()).device
    longest = max(map(len, answers))
    rows, hidden = [], []
    for prompt in prompts:
        # causal: tokens to the right change nothing, so padding needs no mask
        padded = [tuple(prompt) + answer + (0,) * (longest - len(answer)) for answer in answers]
        tokens = torch.tensor(padded, device=device)
        output = model(input_ids=tokens, use_cache=False, output_hidden_states=states)
        start = len(prompt)
        log_probs = output.logits[:, start - 1 : -1].float().log_softmax(-1)
        chosen = log_probs.gather(2, tokens[:, start:, None])[..., 0]
        lengths = torch.tensor([len(answer) for answer in answers], device=device)
        rows.append((chosen * (torch.arange(longest, device=device) < lengths[:, None])).sum(1))
        hidden.append(output.hidden_states[-1][0, start - 1] if states else chosen.new_zeros(0))
    return torch.stack(rows), torch.stack(hidden)


def masked_log_softmax(scores: Tensor, mask: Tensor | None) -> Tensor:
    """Returns `[B, A]` log-probabilities over the legal answers, −inf elsewhere.

    Args:
        scores: `[B, A]`.
        mask: `[B, A]` bool, True where legal; None means all.
    """
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    return scores.log_softmax(-1)


def log_softmax(scores: NDArray[Any], action_mask: NDArray[np.bool_] | None) -> NDArray[np.float64]:
    """Returns `[B, A]` float64 log-probabilities over the legal actions, −inf elsewhere.

    Raises:
        UsageError: a row has no legal action, or the scores are not numbers.
    """
    values = np.asarray(scores, np.float64)
    if action_mask is not None:
        mask = np.asarray(action_mask, bool)
        if not mask.any(1).all():
            raise UsageError(
                f"row {int(np.argmin(mask.any(1)))} of the action mask has no legal action", expected="at least one"
            )
        values = np.where(mask, values, -np.inf)
    best = values.max(1, keepdims=True)
    if not np.isfinite(best).all():
        row = int(np.argmin(np.isfinite(best[:, 0])))
        raise UsageError(
            f"the language model scores row {row} as {scores[row]}",
            expected="finite log-probabilities",
            hint="its weights have diverged; train with a smaller --learning-rate",
        )
    shifted = values - best
    return np.asarray(shifted - np.log(np.exp(shifted).sum(1, keepdims=True)))
