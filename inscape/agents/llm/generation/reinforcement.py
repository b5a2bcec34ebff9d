"""Stage 2 for answers in text: whole episodes compared in groups, the clipped surrogate on every token drawn.

An update plays `num_envs` episodes, `group_size` of them from one seed of the environment, gives each turn the
advantage of its return-to-go among its group (`advantages`), and each token the advantage of its turn. Ratios are those
of the distribution that drew: temperature and cut-offs are in old and new probabilities alike, so that before the first
step every ratio is 1. A token that the new distribution cuts off has left the trust region: it is left out and counted.

Sources: Shao et al. (2024), arXiv:2402.03300, equation 3, with one mean over all tokens of an update (Yu et al. 2025,
DAPO, arXiv:2503.14476, equation 8) instead of one for each episode; Schulman (2020), "Approximating KL divergence"
(k3).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from inscape.agents.interface import Metrics
from inscape.agents.llm.generation.generating import Tokens, reply_log_probs
from inscape.agents.llm.generation.learner import TextLearner, text_env_of
from inscape.agents.llm.generation.playing import TextEpisode
from inscape.agents.llm.reinforcement.advantages import group_advantages, returns_to_go
from inscape.errors import UsageError
from inscape.world_models.networks.types import State

ALGORITHMS = ("grpo", "rloo", "reinforce")


class TokenPolicyGradient:
    """Improves a model that answers in text by the environment's return."""

    def __init__(self, learner: TextLearner) -> None:
        self.learner = learner
        self.rounds = 0
        self._reference: dict[str, NDArray[Any]] | None = None
        s = learner.settings
        if s.algorithm not in ALGORITHMS:
            raise UsageError(
                f"algorithm {s.algorithm} for answers in text", expected=", ".join(ALGORITHMS), hint="--algorithm grpo"
            )
        if s.kl_coef > 0 and s.kl_in == "reward":
            raise UsageError(
                "kl_in reward for answers in text", expected="loss", hint="score mode, for the exact optimum it has"
            )
        if s.kl_coef > 0 and s.kl_reference == "uniform":
            raise UsageError("kl_reference uniform for answers in text", expected="start")

    def train(self, steps: int) -> Iterator[Metrics]:
        """Learns until at least `steps` environment steps (turns) in total; yields after every update."""
        learner, s = self.learner, self.learner.settings
        if learner.steps >= steps:
            return
        if learner.steps == 0:
            learner.restart_optimizer(s.step_size)
            if s.kl_coef > 0:
                self._reference = {
                    name: value.detach().cpu().numpy().copy() for name, value in learner.model.named_parameters()
                }
        envs = [text_env_of(learner.task) for _ in range(s.num_envs)]
        groups = np.arange(s.num_envs) // s.group_size
        try:
            while learner.steps < steps:
                seeds = np.random.default_rng([learner.seed, 4, self.rounds]).integers(2**31, size=groups[-1] + 1)
                episodes = learner.play(envs, seeds[groups].tolist(), [learner.seed, 5, self.rounds])
                left = 1.0 - learner.steps / steps if s.anneal == "linear" else 1.0
                learner.optimizer.param_groups[0]["lr"] = s.step_size * left
                with learner.own_threads():
                    metrics = self._update(episodes, groups)
                learner.steps += sum(len(episode.turns) for episode in episodes)
                self.rounds += 1
                yield {"steps": float(learner.steps), **metrics}
        finally:
            for env in envs:
                env.close()

    def _update(self, episodes: list[TextEpisode], groups: NDArray[np.int64]) -> Metrics:
        learner, s = self.learner, self.learner.settings
        lengths = np.array([len(episode.turns) for episode in episodes])
        rewards = np.zeros((lengths.max(), len(episodes)))
        for k, episode in enumerate(episodes):
            rewards[: lengths[k], k] = episode.rewards
        ahead = returns_to_go(rewards, lengths, 1.0 if s.gamma is None else s.gamma)
        time = np.concatenate([np.arange(length) for length in lengths])
        copy = np.repeat(np.arange(len(episodes)), lengths)
        kind = "grpo" if s.algorithm == "reinforce" else s.algorithm
        whole = groups[copy] if s.algorithm != "reinforce" else np.zeros(len(copy), np.int64)
        own = ahead[time, copy] if s.credit == "return-to-go" else ahead[0, copy]
        at = time * (groups[-1] + 1) + whole
        advantages = group_advantages(own, at, kind, s.group_scale)  # type: ignore[arg-type]
        turns = [turn for episode in episodes for turn in episode.turns]
        samples = [(turn.context, turn.reply.tokens) for turn in turns]
        old = [torch.from_numpy(turn.reply.log_probs).to(learner.device) for turn in turns]
        near = self._reference_log_probs(samples) if self._reference is not None else None
        losses = self._improve(samples, old, advantages, near)
        totals = rewards.sum(0)
        alike = np.bincount(groups, np.abs(totals - totals[groups * s.group_size])) == 0
        answers = len(turns)
        problems = {
            f"{s.algorithm}/problems_{kind}": sum(turn.problem == kind for turn in turns) / answers
            for kind in sorted({turn.problem for turn in turns if turn.problem is not None})
        }
        return {
            "episodes": float(len(episodes)),
            "train/return_mean": float(totals.mean()),
            f"{s.algorithm}/groups_alike": float(alike.mean()),
            f"{s.algorithm}/answer_tokens": float(np.mean([len(reply) for _, reply in samples])),
            f"{s.algorithm}/problems": sum(turn.problem is not None for turn in turns) / answers,
            **problems,
            **{f"{s.algorithm}/{name}": value for name, value in losses.items()},
        }

    def _improve(
        self,
        samples: list[tuple[Tokens, Tokens]],
        old: list[torch.Tensor],
        advantages: NDArray[np.float64],
        near: list[torch.Tensor] | None,
    ) -> Metrics:
        learner, s = self.learner, self.learner.settings
        size = s.prompts_per_batch
        total = sum(len(reply) for _, reply in samples)
        batches_count = -(-len(samples) // size)
        sums, steps, first_gap = np.zeros(6), 0, 0.0
        for _ in range(s.epochs):
            order = learner.rng.permutation(len(samples))
            for low in range(0, len(order), size):
                rows = order[low : low + size].tolist()
                entropies: list[torch.Tensor] = []
                new = reply_log_probs(
                    learner.model,
                    [samples[k] for k in rows],
                    learner.generator.sampling,
                    lambda found, to=entropies: to.append(_entropy(found)),  # type: ignore[misc]
                )
                log_probs, before = torch.cat(new), torch.cat([old[k] for k in rows])
                gain = torch.cat(
                    [torch.full((len(samples[k][1]),), float(advantages[k]), device=learner.device) for k in rows]
                )
                inside = torch.isfinite(log_probs)
                log_ratio = torch.where(inside, log_probs, before) - before
                ratio = log_ratio.exp()
                surrogate = torch.minimum(ratio * gain, ratio.clamp(1 - s.clip, 1 + s.clip) * gain) * inside
                entropy = torch.cat(entropies).sum()
                drift = log_probs.new_zeros(())
                if near is not None:
                    apart = torch.where(inside, torch.cat([near[k] for k in rows]) - log_probs, log_ratio * 0.0)
                    drift = (apart.exp() - 1 - apart).sum()  # k3, at least 0
                # every token of the update weighs the same, in whichever batch it came
                loss = (-surrogate.sum() - s.entropy_weight * entropy + s.kl_coef * drift) * (batches_count / total)
                learner.descend(loss)
                with torch.no_grad():
                    gap = (ratio - 1).abs()
                    count = len(gap)
                    row = (
                        -surrogate.sum() / count, entropy / count, -log_ratio.sum() / count,
                        (gap > s.clip).float().mean(), (~inside).float().mean(), drift / count,
                    )  # fmt: skip
                if steps == 0:
                    first_gap = float(gap.max())
                sums += [value.item() for value in row]
                steps += 1
        names = ("policy_loss", "entropy", "approximate_kl", "clipped", "cut_off", "kl_to_reference")
        return {**{name: float(mean) for name, mean in zip(names, sums / steps, strict=True)}, "ratio_gap": first_gap}

    def _reference_log_probs(self, samples: list[tuple[Tokens, Tokens]]) -> list[torch.Tensor]:
        """Returns the log-probabilities of the tokens under the weights that training began with."""
        learner, size = self.learner, self.learner.settings.prompts_per_batch
        assert self._reference is not None
        named = dict(learner.model.named_parameters())
        found: list[torch.Tensor] = []
        with torch.no_grad():
            now = {name: value.detach().clone() for name, value in named.items()}
            for name, value in self._reference.items():
                named[name].copy_(torch.as_tensor(value))
            for low in range(0, len(samples), size):
                found += reply_log_probs(learner.model, samples[low : low + size], learner.generator.sampling)
            for name, value in now.items():
                named[name].copy_(value)
        return found

    def state_dict(self) -> State:
        return {"text_rounds": self.rounds, "text_reference": self._reference}

    def load_state_dict(self, state: State) -> None:
        self.rounds = int(state.get("text_rounds", 0))
        kept = state.get("text_reference")
        self._reference = None if kept is None else {name: np.array(value) for name, value in kept.items()}


def _entropy(log_probs: torch.Tensor) -> torch.Tensor:
    """Returns `[n]` entropies of `[n, V]` distributions, in nats."""
    probabilities = log_probs.exp()
    return -(probabilities * log_probs.masked_fill(probabilities == 0, 0.0)).sum(-1)
