"""Learning from comparisons: which of two actions in one state is the better one.

Direct preference optimisation minimises, over pairs labelled by somebody,

    −log σ(β·[log π(a⁺|s)/π₀(a⁺|s) − log π(a⁻|s)/π₀(a⁻|s)]).

Where the labels follow the Bradley–Terry model, P(a ≻ b | s) = σ(k·(Q(s, a) − Q(s, b))), and every pair is compared,
its minimum is π ∝ π₀·exp(k·Q/β): with β = k·τ and the soft Q of KL-regularised return, the policy that is best under
it.
Pairs are of actions taken in *one* state: of two whole episodes in a stochastic world the better was also the luckier.

Sources: Rafailov et al. (2023), Direct Preference Optimization, arXiv:2305.18290, equation 7; Bradley and Terry (1952).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from inscape.agents.interface import Metrics
from inscape.agents.llm.policy import Scorebook
from inscape.agents.llm.scoring import masked_log_softmax
from inscape.agents.llm.trainer import LanguageLearner
from inscape.errors import UsageError
from inscape.world_models.networks.types import State

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task

REPORT_EVERY = 25
"""Gradient steps between two reports."""


@dataclass(frozen=True, eq=False)
class Preferences:
    """N comparisons, each of two actions in one state.

    Attributes:
        observations: `[N, ...]`.
        chosen: `[N]` the actions that were preferred, counted from 0.
        rejected: `[N]` those they were preferred to.
        action_masks: `[N, A]` bool, True where legal; None where every action is.

    Raises:
        UsageError: lengths differ, or an action is compared with itself.
    """

    observations: NDArray[Any]
    chosen: NDArray[np.int64]
    rejected: NDArray[np.int64]
    action_masks: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        lengths = {len(self.observations), len(self.chosen), len(self.rejected)}
        if len(lengths) > 1 or (self.action_masks is not None and len(self.action_masks) not in lengths):
            raise UsageError(f"comparisons of {sorted(lengths)} rows", expected="as many of each")
        if (same := np.flatnonzero(np.asarray(self.chosen) == np.asarray(self.rejected))).size:
            raise UsageError(f"comparison {same[0]} is of an action with itself", expected="two different actions")

    def __len__(self) -> int:
        return len(self.chosen)


def bradley_terry(
    observations: NDArray[Any],
    values: NDArray[np.float64],
    pairs: int,
    rng: np.random.Generator,
    sharpness: float = 1.0,
    action_masks: NDArray[np.bool_] | None = None,
) -> Preferences:
    """Returns comparisons of random pairs of legal actions, labelled with P(a ≻ b) = σ(k·(Q(s, a) − Q(s, b))).

    Args:
        observations: `[S, ...]` states to compare actions in, each alike often.
        values: `[S, A]` Q.
        pairs: how many comparisons.
        rng: draws states, pairs and labels.
        sharpness: k.
        action_masks: `[S, A]` bool; states with fewer than two legal actions are left out.

    Raises:
        UsageError: no state has two legal actions.
    """
    q = np.asarray(values, np.float64)
    legal = np.ones(q.shape, bool) if action_masks is None else np.asarray(action_masks, bool)
    able = np.flatnonzero(legal.sum(1) > 1)
    if not len(able):
        raise UsageError("no state with two legal actions", expected="something to compare")
    at = rng.choice(able, pairs)
    two = np.where(legal[at], rng.random((pairs, q.shape[1])), -1.0).argsort(1)[:, -2:]
    first, second = two[:, 1], two[:, 0]
    gap = sharpness * (q[at, first] - q[at, second])
    better = rng.random(pairs) * (1 + np.exp(-np.clip(gap, -700, 700))) < 1
    chosen, rejected = np.where(better, first, second), np.where(better, second, first)
    return Preferences(np.asarray(observations)[at], chosen, rejected, legal[at])


def best_of_n(log_probs: NDArray[Any], scores: NDArray[Any], n: int) -> NDArray[np.float64]:
    """Returns `[..., A]` the exact probabilities of taking the best-scored of n draws, a decision at a time.

    Equal scores share as they were drawn. KL(result ‖ policy) ≤ ln n − (n − 1)/n, with equality only where no two
    draws can be alike (Beirami et al. 2024, arXiv:2401.01879, theorem 1 and remark 1).

    Args:
        log_probs: `[..., A]` of the policy that is drawn from.
        scores: `[..., A]`, higher is better.
        n: draws, at least 1.

    Raises:
        UsageError: n below 1, or scores that are NaN where the policy goes.
    """
    if n < 1 or int(n) != n:
        raise UsageError(f"best of {n}", expected="an integer of at least 1")
    p = np.exp(np.asarray(log_probs, np.float64))
    s = np.broadcast_to(np.asarray(scores, np.float64), p.shape)
    if np.isnan(s[p > 0]).any():
        raise UsageError("a score that is NaN", expected="numbers to compare")
    s = np.where(p > 0, s, -np.inf)
    out = np.zeros(p.shape)
    for row in np.ndindex(p.shape[:-1]):
        _, level = np.unique(s[row], return_inverse=True)
        level = level.reshape(-1)
        alike = np.bincount(level, p[row])
        upto = np.minimum(alike.cumsum(), 1.0)
        taken = upto**n - np.concatenate([[0.0], upto[:-1]]) ** n
        out[row] = np.where(p[row] > 0, p[row] / np.maximum(alike, 1e-300)[level], 0.0) * taken[level]
    return out


class DPO:
    """Stage between cloning and reinforcement: learns from comparisons, where `prefer` has given some."""

    def __init__(self, learner: LanguageLearner) -> None:
        self.learner = learner
        self.gradient_steps = 0
        self._start: NDArray[np.float32] | None = None  # scores of the reference
        self._given: Preferences | None = None

    def prefer(self, preferences: Preferences) -> None:
        """Sets the comparisons.

        Raises:
            UsageError: there are none, or of actions that the agent does not have.
        """
        count = len(self.learner.actions)
        if not len(preferences):
            raise UsageError("no comparisons", expected="at least one")
        for name in ("chosen", "rejected"):
            actions = np.asarray(getattr(preferences, name))
            if actions.min() < 0 or actions.max() >= count:
                raise UsageError(
                    f"{name} actions from {actions.min()} to {actions.max()}", expected=f"0 to {count - 1}"
                )
        self._given = preferences

    def train(self, task: Task, steps: int) -> Iterator[Metrics]:
        """Takes `dpo_steps` gradient steps; yields every 25."""
        learner, s = self.learner, self.learner.settings
        if self._given is None or self.gradient_steps >= s.dpo_steps or learner.steps > 0:
            return
        if self.gradient_steps == 0:
            learner.restart_optimizer(s.dpo_learning_rate)
        data, count = self._given, len(learner.actions)
        texts = learner.prompter.prompts(data.observations)
        prompts = list(dict.fromkeys(texts))
        number = {text: row for row, text in enumerate(prompts)}
        rows = np.array([number[text] for text in texts])
        masks = np.ones((len(data), count), bool) if data.action_masks is None else data.action_masks
        legal = np.zeros((len(prompts), count), bool)
        np.logical_or.at(legal, rows, masks)
        compared = np.bincount((rows * count + data.chosen) * count + data.rejected, minlength=len(prompts) * count**2)
        pairs = learner.tensor(compared.reshape(len(prompts), count, count).astype(np.float32))
        seen = learner.tensor(legal)
        near = self._reference(prompts)
        while self.gradient_steps < s.dpo_steps:
            left = 1.0 - self.gradient_steps / s.dpo_steps if s.anneal == "linear" else 1.0
            learner.optimizer.param_groups[0]["lr"] = s.dpo_learning_rate * left
            # a draw of prompts for this step, by its number: resumed, it is the same
            order = np.random.default_rng([learner.seed, 5, self.gradient_steps]).permutation(len(prompts))
            chosen = np.sort(order[: s.prompts_per_batch])
            picked = learner.tensor(chosen)
            with learner.policy.own_threads():
                scores, _ = learner.policy([prompts[row] for row in chosen], values=False)
                log_probs = masked_log_softmax(scores, seen[picked])
                ratio = (log_probs - near[picked]).masked_fill(~seen[picked], 0.0)
                margin = s.dpo_beta * (ratio[:, :, None] - ratio[:, None, :])
                weights = pairs[picked]
                loss = -(weights * nn.functional.logsigmoid(margin)).sum() / weights.sum().clamp_min(1.0)
                learner.descend(loss)
            self.gradient_steps += 1
            if self.gradient_steps % REPORT_EVERY == 0 or self.gradient_steps == s.dpo_steps:
                agreed = float((weights * (margin > 0)).sum() / weights.sum().clamp_min(1.0))
                yield {
                    "steps": 0.0,
                    "dpo/steps": float(self.gradient_steps),
                    "dpo/loss": loss.item(),
                    "dpo/agreement": agreed,
                }

    def _reference(self, prompts: list[str]) -> Any:
        """Returns `[U, A]` unnormalised log π₀; a constant a row cancels in every pair."""
        learner, s = self.learner, self.learner.settings
        if s.kl_reference == "uniform":
            return learner.tensor(np.zeros((len(prompts), len(learner.actions)), np.float32))
        if self._start is None:
            book = Scorebook(learner.policy, s.prompts_per_batch, values=False)
            rows = book.rows(prompts)
            self._start = book.scores[rows].copy()
        return learner.tensor(self._start)

    def state_dict(self) -> State:
        return {"dpo_steps": self.gradient_steps, "dpo_start": self._start}

    def load_state_dict(self, state: State) -> None:
        self.gradient_steps = int(state.get("dpo_steps", 0))
        self._start = state.get("dpo_start")
