"""Expert iteration: sample episodes, keep what earned something, refit the policy to it.

Rewards of at least 0 make the discounted return a likelihood, J(π) = Σ_t E[γᵗ·r_t], of the event "rewarded"; its
expectation maximisation is

    E: a step (s_k, a_k) of an episode weighs w_k = Σ_{t ≥ k} γᵗ·r_t        M: π ← argmax Σ w_k·log π(a_k | s_k).

What verifies (reward 1) is kept and what does not (reward 0) is dropped. The mean of w_k given state and action is
proportional to Q(s, a), so that in the limit of many samples a round is π ← π·Q/V: J never falls, in a stochastic world
too. A round's lower bound on the next log J is log J + Σ w_k·log(π_new/π_old)/Σ w_0 (Jensen), and is reported.

Sources: Dayan and Hinton (1997), Neural Computation 9(2), section 2; Toussaint and Storkey (2006), ICML, section 3, a
mixture over the times t; Singh et al. (2023), Beyond Human Data, arXiv:2312.06585, algorithm 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from inscape.agents.interface import Metrics
from inscape.agents.llm.policy import Scorebook
from inscape.agents.llm.reinforcement.advantages import returns_to_go
from inscape.agents.llm.reinforcement.episodes import Episodes, GroupPlay
from inscape.agents.llm.reinforcement.tally import Tally, tally
from inscape.agents.llm.scoring import log_softmax, masked_log_softmax
from inscape.agents.llm.trainer import LanguageLearner
from inscape.errors import UsageError
from inscape.world_models.networks.types import State

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task


def exact_round(policy: NDArray[Any], q_values: NDArray[Any]) -> NDArray[np.float64]:
    """Returns `[..., A]` the policy after a round without sampling, π·Q / Σ_a π·Q; unchanged where nothing is earned.

    Args:
        policy: `[..., A]` probabilities.
        q_values: `[..., A]` of that policy, at least 0.

    Raises:
        UsageError: a value is negative or not finite.
    """
    q = np.asarray(q_values, np.float64)
    if not (np.isfinite(q).all() and (q >= 0).all()):
        raise UsageError(f"action values down to {q.min()}", expected="finite numbers of at least 0", hint=NEGATIVE)
    weighted = np.asarray(policy, np.float64) * q
    total = weighted.sum(-1, keepdims=True)
    return np.where(total > 0, weighted / np.where(total > 0, total, 1.0), policy)


NEGATIVE = "--algorithm ppo or grpo, which take rewards of any sign"


class ExpertIteration:
    """Improves the policy by expectation maximisation, from where cloning left it (`--algorithm em`)."""

    def __init__(self, learner: LanguageLearner) -> None:
        self.learner = learner
        self.rounds = 0

    def train(self, task: Task, steps: int) -> Iterator[Metrics]:
        """Learns until at least `steps` environment steps in total have been taken; yields after every round.

        Raises:
            UsageError: a reward is negative.
        """
        learner, s = self.learner, self.learner.settings
        if learner.steps >= steps:
            return
        if learner.steps == 0:
            learner.restart_optimizer(s.step_size)
        gamma = s.gamma if s.gamma is not None else 0.99 if task.world is None else task.world.gamma
        play = GroupPlay(learner, task, None)
        try:
            while learner.steps < steps:
                episodes = play.collect(self.rounds)
                learner.set_rate(s.step_size, learner.steps, steps)
                metrics = self._round(episodes, gamma)
                learner.steps += int(episodes.lengths.sum())
                self.rounds += 1
                yield {"steps": float(learner.steps), **metrics}
        finally:
            play.close()

    def _round(self, episodes: Episodes, gamma: float) -> Metrics:
        """Refits the policy to what one round of episodes earned."""
        if (least := episodes.rewards.min()) < 0:
            raise UsageError(f"a reward of {least:g}", expected="rewards of at least 0 for em", hint=NEGATIVE)
        ahead = returns_to_go(episodes.rewards, episodes.lengths, gamma)
        weights = gamma**episodes.time * ahead[episodes.time, episodes.copy]
        counted = tally(episodes.rows, episodes.masks, episodes.actions, weights, episodes.scores)
        earned, count = float(ahead[0].sum()), len(episodes.lengths)
        totals = episodes.rewards.sum(0)
        metrics = {
            "episodes": float(count),
            "train/return_mean": float(totals.mean()),
            "em/return_deviation": float(totals.std()),
            "em/kept": float((ahead[0] > 0).mean()),
            "em/discounted_return": earned / count,
        }
        gain = self._refit(counted, episodes.prompts) / earned if earned > 0 else 0.0
        bound = float(np.log(earned / count) + gain) if earned > 0 else float("-inf")
        return metrics | {"em/bound_gain": gain, "em/bound": float(np.exp(bound))}

    def _refit(self, counted: Tally, prompts: list[str]) -> float:
        """Takes `epochs` passes of weighted maximum likelihood; returns Σ w·log(π_new/π_old)."""
        learner, s = self.learner, self.learner.settings
        total = counted.gains.sum()
        gains, masks = learner.tensor(counted.gains.astype(np.float32)), learner.tensor(counted.masks)
        with learner.policy.own_threads():
            for _ in range(s.epochs):
                for rows in counted.batches(s.prompts_per_batch, learner.rng):
                    seen, place = np.unique(counted.rows[rows], return_inverse=True)
                    picked, local = learner.tensor(rows), learner.tensor(place.reshape(-1))
                    scores, _ = learner.policy([prompts[row] for row in seen], values=False)
                    log_probs = masked_log_softmax(scores[local], masks[picked]).masked_fill(~masks[picked], 0.0)
                    learner.descend(-(gains[picked] * log_probs).sum() / float(total))
        book = Scorebook(learner.policy, s.prompts_per_batch, values=False)
        at = book.rows([prompts[row] for row in counted.rows])
        new = log_softmax(book.scores[at], counted.masks)
        change = np.where(counted.gains > 0, new - counted.old, 0.0)
        return float((counted.gains * change).sum())

    def state_dict(self) -> State:
        return {"em_rounds": self.rounds}

    def load_state_dict(self, state: State) -> None:
        self.rounds = int(state.get("em_rounds", 0))
