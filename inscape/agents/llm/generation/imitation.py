"""Stage 1 for answers in text: cross-entropy on answers that are shown, on their tokens alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from inscape.agents.interface import Metrics
from inscape.agents.llm.demonstrations import demonstrated_log_probs, exact_values, searched_values
from inscape.agents.llm.generation.generating import Tokens
from inscape.agents.llm.generation.learner import TextLearner, text_env_of
from inscape.envs.text.described import DescribedEnv
from inscape.envs.text.interface import TextEnv
from inscape.errors import UsageError
from inscape.world_models.networks.types import State

REPORT_EVERY = 25
"""Gradient steps between two reports."""
LONGEST = 200
"""Turns of a demonstration at most."""


def answer_losses(model: torch.nn.Module, pairs: Sequence[tuple[Tokens, Tokens]]) -> Tensor:
    """Returns `[B]` mean cross-entropy per token of answers after their prompts, in nats."""
    device = next(model.parameters()).device
    longest = max(len(prompt) + len(answer) for prompt, answer in pairs)
    # causal: tokens to the right change nothing, so padding needs no mask
    padded = torch.tensor([(*p, *a) + (0,) * (longest - len(p) - len(a)) for p, a in pairs], device=device)
    wanted = torch.full_like(padded, -100)
    for row, (prompt, answer) in enumerate(pairs):
        wanted[row, len(prompt) : len(prompt) + len(answer)] = torch.tensor(answer, device=device)
    logits = model(input_ids=padded, use_cache=False).logits[:, :-1].float()
    each = functional.cross_entropy(logits.transpose(1, 2), wanted[:, 1:], ignore_index=-100, reduction="none")
    counts = torch.tensor([len(answer) for _, answer in pairs], device=device)
    return each.sum(1) / counts


class TextImitation:
    """Imitates for `clone_steps` gradient steps: what `imitate` was given, else the environment's own solutions, else,
    in a described world with a law, a planner's actions.

    Each gradient step sees `prompts_per_batch` answers of episodes that are demonstrated anew, so that the number of
    different examples grows with the steps.
    """

    def __init__(self, learner: TextLearner) -> None:
        self.learner = learner
        self.gradient_steps = 0
        self._given: list[tuple[str, str]] = []
        self._pairs: list[tuple[Tokens, Tokens]] = []

    def imitate(self, examples: Sequence[tuple[str, str]]) -> None:
        """Sets examples to imitate: (what is observed, what is answered), without instructions and cue.

        Raises:
            UsageError: there are none.
        """
        if not examples:
            raise UsageError("no examples to imitate", expected="at least one (observation, answer)")
        self._given = list(examples)

    def train(self, steps: int) -> Iterator[Metrics]:
        """Imitates; yields every 25 gradient steps, with `steps` 0."""
        learner, total = self.learner, self.learner.settings.clone_steps
        if self.gradient_steps >= total or learner.steps > 0:
            return
        if not self._given and not _has_teacher(learner.env):
            self.gradient_steps = total
            return
        sums, count = 0.0, 0
        while self.gradient_steps < total:
            pairs = self._batch(learner.settings.prompts_per_batch)
            with learner.own_threads():
                loss = answer_losses(learner.model, pairs).mean()
                learner.descend(loss)
            sums, count = sums + loss.item(), count + 1
            self.gradient_steps += 1
            if self.gradient_steps % REPORT_EVERY == 0 or self.gradient_steps == total:
                yield {"steps": 0.0, "clone/loss": sums / count, "clone/gradient_steps": float(self.gradient_steps)}
                sums, count = 0.0, 0

    def _batch(self, size: int) -> list[tuple[Tokens, Tokens]]:
        rng = self.learner.rng
        if self._given:
            chosen = rng.integers(len(self._given), size=size)
            return [self._pair(*self._given[k]) for k in chosen]
        found: list[tuple[Tokens, Tokens]] = []
        while len(found) < size:  # with generators of their own: nothing is kept from one batch to the next
            found += self._demonstrated(int(rng.integers(2**31)))
        return found[:size]

    def _pair(self, text: str, answer: str) -> tuple[Tokens, Tokens]:
        learner = self.learner
        talk = learner.begin(learner.env)
        talk.observe(text)
        return talk.context(learner.room)[0], self._ended(answer)

    def _ended(self, answer: str) -> Tokens:
        stop = self.learner.env.stop
        return self.learner.encode(answer if not stop or answer.endswith(stop) else answer + stop[0], False)

    def _demonstrated(self, seed: int) -> list[tuple[Tokens, Tokens]]:
        """Returns the turns of a demonstrated episode, in an order of their own."""
        learner, rng = self.learner, np.random.default_rng(seed)
        env = text_env_of(learner.task)
        text, _ = env.reset(seed=seed)
        talk = learner.begin(env)
        pairs: list[tuple[Tokens, Tokens]] = []
        for _ in range(LONGEST):
            answer = env.solution()
            if answer is None:
                assert isinstance(env, DescribedEnv)
                answer = f" {_planned(learner, env, rng)}"
            talk.observe(text)
            tokens = self._ended(answer)
            pairs.append((talk.context(learner.room)[0], tokens))
            text, _, terminated, truncated, _ = env.step(env.cue + answer)
            if terminated or truncated:
                break
            talk.shown(tokens)
        return [pairs[k] for k in rng.permutation(len(pairs))]

    def state_dict(self) -> State:
        return {"clone_steps": self.gradient_steps}

    def load_state_dict(self, state: State) -> None:
        self.gradient_steps = int(state.get("clone_steps", 0))


def _has_teacher(env: TextEnv) -> bool:
    if isinstance(env, DescribedEnv):
        return env.task.world is not None
    env.reset(seed=0)
    return env.solution() is not None


def _planned(learner: TextLearner, env: DescribedEnv, rng: np.random.Generator) -> str:
    """Returns the name of an action drawn as a planner of rationality `clone_beta` chooses."""
    world = env.task.world
    assert world is not None
    s = learner.settings
    if learner.teacher is None:
        learner.teacher = exact_values(world) or searched_values(world, s.clone_simulations, rng)
    states = env.env.unwrapped.states  # type: ignore[attr-defined]
    log_probs = demonstrated_log_probs(learner.teacher(states), s.clone_beta, env.legal[None])
    return env.actions[int(rng.choice(len(env.actions), p=np.exp(log_probs[0])))]
