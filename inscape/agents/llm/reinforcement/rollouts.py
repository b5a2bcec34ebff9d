"""What a language model's training by reinforcement learns from: steps in copies of an environment, as prompts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from inscape.agents.acting import sample_actions
from inscape.agents.interface import Metrics
from inscape.agents.learning.returns import generalized_advantages
from inscape.agents.llm.policy import Scorebook
from inscape.agents.llm.reinforcement.reference import Reference, exact_kl
from inscape.agents.llm.reinforcement.tally import decisions
from inscape.agents.llm.scoring import log_softmax
from inscape.agents.llm.settings import LanguageModelSettings
from inscape.agents.llm.trainer import LanguageLearner
from inscape.world_models.networks.types import State

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task


@dataclass(frozen=True, eq=False)
class PromptBatch:
    """What B copies met in T steps, flat: N = B·T.

    Attributes:
        prompts: the U distinct prompts; scores: `[U, A]` of their answers when the actions were drawn.
        rows: `[N]` the prompt of each sample.
        actions: `[N]`; masks: `[N, A]`; log_probs: `[N]` of the actions when taken.
        advantages, returns: `[N]` float32.
        metrics: of the episodes that ended.
    """

    prompts: list[str]
    scores: NDArray[np.float32]
    rows: NDArray[np.int64]
    actions: NDArray[np.int64]
    masks: NDArray[np.bool_]
    log_probs: NDArray[np.float32]
    advantages: NDArray[np.float32]
    returns: NDArray[np.float32]
    metrics: Metrics


class Rollouts:
    """`num_envs` copies of a task's environment and where they stand.

    Args:
        learner: whose policy acts.
        task: what it acts in.
        reference: π₀, from which KL is charged to the rewards where the settings say so.
    """

    def __init__(self, learner: LanguageLearner, task: Task, reference: Reference | None = None) -> None:
        self._learner = learner
        self._reference = reference if learner.settings.kl_in == "reward" else None
        self._count = learner.settings.num_envs
        self._envs = task.vector_env(self._count, autoreset="same-step")
        own = 0.99 if task.world is None else task.world.gamma
        self._gamma = own if learner.settings.gamma is None else learner.settings.gamma

    def start(self, state: State | None) -> None:
        """Resumes from `state_dict()`; starts new episodes without one, or where environments cannot be stored."""
        self._observation, infos = self._envs.reset(seed=self._learner.seed + self._learner.steps)
        self._mask = self._legal(infos)
        self._returns = np.zeros(self._count)
        if state is not None and state["copies"] is not None:
            self._envs.load_state_dict(state["copies"])  # type: ignore[attr-defined]
            self._observation, self._mask = np.array(state["observation"]), np.array(state["mask"])
            self._returns = np.array(state["returns"])

    def state_dict(self) -> State:
        storable = callable(getattr(self._envs, "state_dict", None))
        return {
            "copies": self._envs.state_dict() if storable else None,  # type: ignore[attr-defined]
            "observation": np.array(self._observation),
            "mask": self._mask.copy(),
            "returns": self._returns.copy(),
        }

    def close(self) -> None:
        self._envs.close()

    def _legal(self, infos: dict[str, Any]) -> NDArray[np.bool_]:
        if "action_mask" in infos:
            return np.array(infos["action_mask"], bool)
        return np.ones((self._count, len(self._learner.actions)), bool)

    def collect(self, length: int) -> PromptBatch:
        """Acts for `length` steps in every copy, drawing from the policy."""
        learner, s = self._learner, self._learner.settings
        rows_of = learner.prompter.rows
        # a separate book: an evaluation in between must not change what is computed here, nor in which batch
        book = Scorebook(learner.policy, s.prompts_per_batch, values=True)
        shape = (self._count, length)
        rows, actions = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        masks = np.zeros((*shape, len(learner.actions)), bool)
        log_probs, rewards, next_values = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        terminated, truncated = np.zeros(shape, bool), np.zeros(shape, bool)
        finished: list[float] = []
        every = np.arange(self._count)
        rows[:, 0] = rows_of(self._observation, book)
        for t in range(length):
            masks[:, t] = self._mask
            choice = log_softmax(book.scores[rows[:, t]], self._mask)
            actions[:, t] = sample_actions(choice, learner.rng)
            log_probs[:, t] = choice[every, actions[:, t]]
            step = self._envs.step(actions[:, t] + learner.first_action)
            self._observation, rewards[:, t], terminated[:, t], truncated[:, t], infos = step
            self._mask = self._legal(infos)
            following = rows_of(self._observation, book)
            next_values[:, t] = book.values[following]
            cut = np.flatnonzero(truncated[:, t] & ~terminated[:, t])
            if len(cut):
                final = np.stack([infos["final_obs"][b] for b in cut])
                last = rows_of(final, book)
                next_values[cut, t] = book.values[last]
            if t + 1 < length:
                rows[:, t + 1] = following
            self._returns += rewards[:, t]
            ended = terminated[:, t] | truncated[:, t]
            finished += self._returns[ended].tolist()
            self._returns[ended] = 0.0
        values = book.values[rows].astype(np.float64)
        if self._reference is not None:
            shape_of = rows.reshape(-1), masks.reshape(-1, masks.shape[2])
            charged = charges(learner.settings, self._reference, book, *shape_of, actions.reshape(-1))
            rewards = rewards - charged.reshape(rewards.shape)
        advantages = generalized_advantages(
            rewards, values, next_values, terminated, truncated, self._gamma, s.gae_lambda
        )
        return PromptBatch(
            prompts=book.prompts,
            scores=book.scores,
            rows=rows.reshape(-1),
            actions=actions.reshape(-1),
            masks=masks.reshape(-1, masks.shape[2]),
            log_probs=log_probs.reshape(-1).astype(np.float32),
            advantages=advantages.reshape(-1).astype(np.float32),
            returns=(advantages + values).reshape(-1).astype(np.float32),
            metrics={"episodes": float(len(finished))}
            | (
                {"train/return_mean": float(np.mean(finished)), "ppo/return_deviation": float(np.std(finished))}
                if finished
                else {}
            ),
        )


def charges(
    settings: LanguageModelSettings,
    reference: Reference,
    book: Scorebook,
    rows: NDArray[np.int64],
    masks: NDArray[np.bool_],
    actions: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Returns `[N]` τ times the divergence from the reference at each sample, to be taken from its reward.

    Estimated by the log ratio of the action taken (`k1`), or the exact sum over the actions, whose own gradient at the
    state then belongs into the loss (the gradient of E[Σ γᵗ·(r_t − τ·KL_t)] has both parts).
    """
    first, decision = decisions(rows, masks)
    log_probs = log_softmax(book.scores[rows[first]], masks[first])
    near = reference.log_probs([book.prompts[row] for row in rows[first]], masks[first])
    if settings.kl_estimator == "exact":
        return settings.kl_coef * exact_kl(log_probs, near)[decision]
    taken = decision, actions
    return np.asarray(settings.kl_coef * (log_probs[taken] - near[taken]))
