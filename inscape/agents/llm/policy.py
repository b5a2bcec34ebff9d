"""A causal language model as a policy and a value: prompts in, scores of the answers and values out."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from inscape.agents.llm.model import LanguageModel, encode
from inscape.agents.llm.scoring import Tokens, answer_tree, full_scores, tree_scores
from inscape.agents.llm.settings import Scoring
from inscape.agents.llm.text import MEMORY, format_answer
from inscape.errors import UsageError

PROBES = ("action:", "a longer prompt\naction:")
"""Prompts on which the ways of scoring are compared."""
TOLERANCE = 1e-3
"""How far, in nats, the two ways of scoring may differ on a loaded model."""


class LanguagePolicy(nn.Module):
    """Scores every answer to a prompt, and says what the prompt's state is worth.

    Args:
        language: the model and its tokenizer.
        actions: the answers' names.
        scoring: `"tree"` (one pass), `"full"` (a pass per answer), or `"auto"`: tree, unless the model ignores
            the mask that needs, which is tried once.
        device: where its weights are.
        seed: of the value head's first weights.
        threads: CPU threads to compute with; None leaves torch's setting alone.
    """

    def __init__(
        self,
        language: LanguageModel,
        actions: Sequence[str],
        scoring: Scoring,
        device: torch.device,
        seed: int,
        threads: int | None = None,
    ) -> None:
        super().__init__()
        self._threads = threads
        self.model, self.tokenizer = language.model, language.tokenizer
        self.actions = tuple(actions)
        self.answers = encode(self.tokenizer, [format_answer(name) for name in actions], special=False)
        width = int(self.model.get_input_embeddings().embedding_dim)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            worth = nn.Linear(64, 1)
            self.value_head = nn.Sequential(nn.Linear(width, 64), nn.Tanh(), worth)
        nn.init.zeros_(worth.weight)  # the first values are 0: the first advantages are returns, not noise
        nn.init.zeros_(worth.bias)
        self.to(device)
        self.device = device
        self.tree = answer_tree(self.answers).to(device)
        config = self.model.config
        self.max_tokens = int(getattr(config, "max_position_embeddings", None) or 1 << 30)
        self._tokens: dict[str, Tokens] = {}
        self._require_room()
        self.scoring = self._tried() if scoring == "auto" else scoring

    def forward(self, prompts: Sequence[str], values: bool = True) -> tuple[Tensor, Tensor]:
        """Returns `(scores [B, A], values [B])`; without `values`, zeros in their place.

        Args:
            prompts: B prompts.
            values: whether values are wanted.

        Raises:
            UsageError: a prompt and its answers are longer than the model reads.
        """
        tokens = self.tokens_of(prompts)
        if self.scoring == "tree":
            scores, hidden = tree_scores(self.model, tokens, self.tree, states=values)
        else:
            scores, hidden = full_scores(self.model, tokens, self.answers, states=values)
        worth = self.value_head(hidden.float())[:, 0] if values else scores.new_zeros(len(prompts))
        return scores, worth

    @contextmanager
    def own_threads(self) -> Iterator[None]:
        """Computes with this policy's number of threads inside, and leaves torch as it was."""
        before = torch.get_num_threads()
        if self._threads is not None:
            torch.set_num_threads(self._threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)

    def tokens_of(self, prompts: Sequence[str]) -> list[Tokens]:
        """Returns the tokens of each prompt, remembered from one call to the next."""
        unseen = list(dict.fromkeys(text for text in prompts if text not in self._tokens))
        if unseen:
            if len(self._tokens) + len(unseen) > MEMORY:
                self._tokens.clear()
                unseen = list(dict.fromkeys(prompts))
            encoded = encode(self.tokenizer, unseen, special=True)
            longest = max(map(len, encoded)) + max(map(len, self.answers)) - 1
            if longest > self.max_tokens:
                raise UsageError(
                    f"a prompt and its answer take {longest} tokens", expected=f"at most {self.max_tokens}, the model's"
                )
            self._tokens.update(zip(unseen, encoded, strict=True))
        return [self._tokens[text] for text in prompts]

    def _require_room(self) -> None:
        """Raises UsageError where the model has no embedding for a token, or cannot read the shortest of prompts."""
        known = int(self.model.get_input_embeddings().num_embeddings)
        if len(self.tokenizer) > known:
            raise UsageError(
                f"a tokenizer of {len(self.tokenizer)} tokens and a model with {known} embeddings",
                expected="an embedding for every token",
                hint="the tokenizer of this model, or model.resize_token_embeddings(len(tokenizer)) before it is saved",
            )
        self.tokens_of(PROBES)

    def _tried(self) -> Literal["tree", "full"]:
        """Whether one pass gives what separate passes give, on two prompts of different lengths."""
        probes = self.tokens_of(PROBES)
        with torch.inference_mode():
            plain, _ = full_scores(self.model, probes, self.answers)
            try:
                quick, _ = tree_scores(self.model, probes, self.tree)
            except (TypeError, ValueError, RuntimeError, IndexError) as error:
                reason = f"{type(error).__name__}: {error}".splitlines()[0]
            else:
                gap = float((quick - plain).abs().max())
                if gap < TOLERANCE:
                    return "tree"
                reason = f"scores differ by {gap:.2g} nats"
        warnings.warn(
            f"{type(self.model).__name__} does not take tree attention ({reason}); every answer is scored by itself",
            stacklevel=2,
        )
        return "full"

    def weights(self) -> dict[str, NDArray[Any]]:
        """Returns copies of all weights by name; tied ones once."""
        return {name: p.detach().cpu().numpy().copy() for name, p in self.named_parameters()}

    def load_weights(self, weights: dict[str, NDArray[Any]]) -> None:
        """Takes over weights that `weights()` gave.

        Raises:
            UsageError: they are of another model.
        """
        own = dict(self.named_parameters())
        wrong = set(own) ^ set(weights) or {name for name in own if tuple(own[name].shape) != weights[name].shape}
        if wrong:
            raise UsageError(
                f"weights of another language model: {len(wrong)} of {len(own)} differ, {min(wrong)} among them",
                expected="those of a run with the same --model and sizes",
            )
        with torch.no_grad():
            for name, parameter in own.items():
                parameter.copy_(torch.from_numpy(np.asarray(weights[name])))


class Scorebook:
    """Scores and values under fixed weights, each distinct prompt computed once.

    Attributes:
        prompts: the distinct prompts, in order of first appearance.
        scores: `[U, A]` float32.
        values: `[U]` float32.
    """

    def __init__(self, policy: LanguagePolicy, batch: int, values: bool) -> None:
        self._policy, self._batch, self._with_values = policy, batch, values
        self.clear()

    def clear(self) -> None:
        """Forgets everything: the weights have changed."""
        self.prompts: list[str] = []
        self._row: dict[str, int] = {}
        self._scores = np.zeros((64, len(self._policy.actions)), np.float32)
        self._values = np.zeros(64, np.float32)

    @property
    def scores(self) -> NDArray[np.float32]:
        return self._scores[: len(self.prompts)]

    @property
    def values(self) -> NDArray[np.float32]:
        return self._values[: len(self.prompts)]

    def rows(self, prompts: Sequence[str]) -> NDArray[np.int64]:
        """Returns the row of each of B prompts, computing those not met before."""
        unseen = list(dict.fromkeys(text for text in prompts if text not in self._row))
        for start in range(0, len(unseen), self._batch):
            self._add(unseen[start : start + self._batch])
        return np.array([self._row[text] for text in prompts], np.int64)

    def _add(self, prompts: list[str]) -> None:
        first, last = len(self.prompts), len(self.prompts) + len(prompts)
        if last > len(self._scores):
            self._scores = np.concatenate([self._scores, np.zeros_like(self._scores)])
            self._values = np.concatenate([self._values, np.zeros_like(self._values)])
            return self._add(prompts)
        with torch.inference_mode(), self._policy.own_threads():
            scores, values = self._policy(prompts, values=self._with_values)
        self._scores[first:last], self._values[first:last] = scores.cpu().numpy(), values.cpu().numpy()
        self._row.update(zip(prompts, range(first, last), strict=True))
        self.prompts += prompts
        return None


def prompt_batches(
    rows: NDArray[np.int64], size: int, rng: np.random.Generator
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
    """Splits samples into batches of at most `size` distinct prompts, so that no prompt is encoded twice.

    Args:
        rows: `[N]` the prompt each sample belongs to.
        size: distinct prompts per batch.
        rng: shuffles the prompts.

    Yields:
        `(prompts [u], samples [n], local [n])`: the batch's prompts, its samples, and each sample's place in `prompts`.
    """
    order = rng.permutation(np.unique(rows))
    place = np.full(int(rows.max()) + 1, -1)
    place[order] = np.arange(len(order))
    by_sample = place[rows]
    for start in range(0, len(order), size):
        samples = np.flatnonzero((by_sample >= start) & (by_sample < start + size))
        yield order[start : start + size], samples, by_sample[samples] - start
