"""A causal language model that acts: it reads the state in words and answers with the name of an action.

The policy. With the prompt p(s) of a state (`text.format_prompt`) and the tokens t_1 … t_n of " name\\n",

    π(a|s) = exp(score(a)) / Σ_{a′ legal} exp(score(a′)),    score(a) = Σ_k log P(t_k | p(s), t_1 … t_{k−1}),

so that it never answers what is not an action, nor one that is illegal (`scoring`).

Stage 1 clones the planner: it minimises the cross-entropy −Σ_a π*(a|s) log π(a|s) over states the planner was seen in
(Pomerleau 1988; the planner's actions are labels also where exploration strayed). Where observations hide the state the
planner sees it nonetheless: what is cloned is then the average of what it does at the states that look the same.

Stage 2 is PPO on the environment's return: clipped surrogate (Schulman et al. 2017, arXiv:1707.06347, equation 7),
generalised advantages, a value head at the prompt's end, entropy, and if wanted a penalty on KL(π ‖ cloned policy)
(Ziegler et al. 2019, arXiv:1909.08593, section 2, here exact over the actions). An episode that is cut bootstraps from
the value of the state it was cut in; one that terminates does not.

Both stages encode each distinct prompt of a batch once, however many samples share it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inscape.agents.acting import greedy_log_probs, sample_actions
from inscape.agents.interface import Agent, Metrics
from inscape.agents.learning.returns import generalized_advantages
from inscape.agents.llm.demonstrations import Demonstrations, from_trajectories, planner_demonstrations
from inscape.agents.llm.model import (
    LanguageModel,
    build_model,
    build_tokenizer,
    load_language_model,
    tokenizer_from_json,
)
from inscape.agents.llm.policy import LanguagePolicy, Scorebook, Scoring, prompt_batches
from inscape.agents.llm.scoring import masked_log_softmax
from inscape.agents.llm.text import MEMORY, Prompter, answers_of
from inscape.errors import UsageError
from inscape.world_models.networks.device import resolve_device
from inscape.world_models.networks.types import State

if TYPE_CHECKING:
    from inscape.envs.data.trajectory import Trajectory
    from inscape.envs.tasks.task import Task

Array = NDArray[Any]


@dataclass(frozen=True)
class LanguageModelSettings:
    """Settings of the language-model agent."""

    model: str | None = None
    """Folder or hub name of a causal language model (safetensors only); none builds a small one in place."""
    greedy: bool = False
    """Act by taking the most probable action instead of drawing from the policy; learning draws either way."""
    list_actions: bool | None = None
    """Name the actions in the prompt; by default for loaded models only."""
    threads: int | None = None
    """CPU threads torch uses; by default 1 for the built-in model, for which more do not pay, and torch's own number
    for loaded ones."""
    scoring: Scoring = "auto"
    """How answers are scored: all in one pass (tree), one by one (full), or whichever the model allows (auto)."""
    hidden_size: int = 64
    """Width of the built-in model."""
    layers: int = 2
    """Layers of the built-in model."""
    heads: int = 4
    """Attention heads of the built-in model."""
    vocabulary: int = 512
    """Most tokens of the built-in tokenizer."""
    clone_steps: int = 100
    """Gradient steps of stage 1; 0 leaves it out."""
    clone_episodes: int = 4
    """Episodes the planner demonstrates for stage 1."""
    clone_beta: float = 100.0
    """Rationality of the demonstrating planner, per unit of reward; inf for its best actions only."""
    clone_simulations: int = 400
    """Simulations per decision of the demonstrating planner, where the world is too large to be solved."""
    clone_learning_rate: float = 1e-3
    """Adam's step size in stage 1."""
    num_envs: int = 256
    """Environment copies of stage 2."""
    horizon: int = 64
    """Steps of each copy between updates."""
    epochs: int = 4
    """Passes over those steps per update."""
    prompts_per_batch: int = 64
    """Distinct prompts per gradient step and per forward pass."""
    learning_rate: float = 2e-3
    """Adam's step size in stage 2."""
    gamma: float | None = None
    """Discount per step; by default the world's own, 0.99 where it has none."""
    gae_lambda: float = 0.95
    """λ of the generalised advantages."""
    clip: float = 0.2
    """Half-width of the interval the probability ratio is clipped to, around 1."""
    # After the usual cloning 0.03 ends nearer the optimum (FrozenLake8x8, a million steps, two seeds: 97 % and 96 %,
    # with 0.1 95 % and 91 %). After a poor one in FrozenLake (tests, "poor_clone") it reached 95 % with two seeds of
    # five, 0.06 with five of eight, 0.1 with four of four.
    entropy: float = 0.03
    """Weight of the policy's entropy in the objective; 0.1 where cloning left much to learn, which with less may stay
    with the first way it finds."""
    anneal: bool = True
    """Let step size and entropy weight of stage 2 fall linearly to 0 over the steps asked for."""
    value_weight: float = 0.5
    """Weight of the squared error of the value."""
    kl_weight: float = 0.0
    """Weight of KL(policy ‖ cloned policy), in nats."""
    max_gradient_norm: float = 0.5
    """Gradients are scaled down to this norm."""


class LanguageModelAgent(Agent):
    """A causal language model as a policy over named actions.

    Args:
        task: what to act in; its action space must be `Discrete`.
        seed: of everything random: first weights, demonstrations, environments, sampling.
        device: `auto`, `cpu` or `cuda`.
        settings: see `LanguageModelSettings`.

    Raises:
        UsageError: transformers is missing, the model cannot be had safely, the actions have no names to answer, or
            all players act at once.
    """

    name = "llm"
    Settings = LanguageModelSettings

    def __init__(
        self, task: Task, seed: int = 0, device: str = "cpu", settings: LanguageModelSettings | None = None
    ) -> None:
        settings = settings or LanguageModelSettings()
        _check(settings)
        self.task, self.seed, self.settings = task, seed, settings
        self.device = resolve_device(device)
        if task.world is not None and task.world.simultaneous:
            raise UsageError(
                f"llm on {task.name}, whose players act at once",
                expected="a world of one player, or of players who move in turn",
                hint="random, or an agent of your own: file.py:Class",
            )
        self.actions = answers_of(task)
        self._first_action = int(task.action_space.start)  # type: ignore[attr-defined]
        listed = settings.model is not None if settings.list_actions is None else settings.list_actions
        self._prompter = Prompter(task, listed)
        if settings.model is not None:
            self._install(load_language_model(settings.model))
        else:
            self._install(self._built(build_tokenizer(task, settings.vocabulary, seed)))
        self._rng = np.random.default_rng([seed, 1])
        self._act_rng = np.random.default_rng([seed, 2])
        self._given: Demonstrations | None = None
        self._cloned = 0  # gradient steps of stage 1 done
        self._steps = 0  # environment steps of stage 2 taken
        self._reference: LanguagePolicy | None = None
        self._resume: State | None = None  # the environments, as loaded
        self._live: _Rollouts | None = None

    def _built(self, tokenizer: Any) -> LanguageModel:
        s = self.settings
        return LanguageModel(build_model(tokenizer, s.hidden_size, s.layers, s.heads, self.seed), tokenizer)

    def _install(self, language: LanguageModel) -> None:
        s = self.settings
        threads = 1 if s.threads is None and s.model is None else s.threads
        self.policy = LanguagePolicy(language, self.actions, s.scoring, self.device, self.seed, threads)
        self._book = Scorebook(self.policy, self.settings.prompts_per_batch, values=False)
        self._optimizer = self._new_optimizer(self.settings.clone_learning_rate)

    def _new_optimizer(self, learning_rate: float) -> torch.optim.Adam:
        return torch.optim.Adam(self.policy.parameters(), lr=learning_rate, eps=1e-5)

    # --------------------------------------------------------------------------------------------------------- acting

    def action_log_probs(self, observation: Array, action_mask: Array | None = None) -> Array:
        """Returns `[B, A]` float64 log-probabilities as it acts: the policy's, or 0 and −inf where it acts greedily.

        Raises:
            UsageError: a row of the mask has no legal action.
        """
        log_probs = self.policy_log_probs(observation, action_mask)
        return greedy_log_probs(log_probs) if self.settings.greedy else log_probs

    def policy_log_probs(self, observation: Array, action_mask: Array | None = None) -> Array:
        """Returns `[B, A]` float64 log π(a|s), normalised over the legal actions, −inf where illegal.

        Raises:
            UsageError: a row of the mask has no legal action.
        """
        if len(self._book.prompts) > MEMORY:
            self._book.clear()
        rows = self._book.rows(self._prompter.prompts(np.asarray(observation)))
        return log_softmax(self._book.scores[rows], action_mask)

    def act(self, observation: Array, action_mask: Array | None = None) -> Array:
        log_probs = self.policy_log_probs(observation, action_mask)
        chosen = log_probs.argmax(1) if self.settings.greedy else sample_actions(log_probs, self._act_rng)
        return np.asarray(chosen + self._first_action, np.int64)

    # ------------------------------------------------------------------------------------------------------- learning

    def imitate(self, trajectories: Sequence[Trajectory]) -> None:
        """Hands in the episodes stage 1 is to clone, instead of the planner's."""
        self._given = from_trajectories(trajectories, len(self.actions), self._first_action)

    def learn(self, task: Task, steps: int) -> Iterator[Metrics]:
        """Clones, then improves by PPO until `steps` environment steps in total have been taken.

        Yields every 25 gradient steps of stage 1 (`steps` is 0 there) and after every update of stage 2. With `steps` 0
        only stage 1 is done. Stage 1 is left out in an environment without a law, unless `imitate` gave it episodes.
        """
        if answers_of(task) != self.actions:
            raise UsageError(
                f"{task.name} has the actions {', '.join(answers_of(task))}",
                expected=f"those of {self.task.name}: {', '.join(self.actions)}",
            )
        if self._cloned < self.settings.clone_steps and self._steps == 0:
            yield from self._clone(task)
        if self._steps < steps:
            yield from self._improve(task, steps)

    def _demonstrations(self, task: Task) -> Demonstrations | None:
        if self._given is not None:
            return self._given
        if task.world is None or task.world.players > 1:
            return None
        s = self.settings
        # their own generator: made again, they are the same
        rng = np.random.default_rng([self.seed, 3])
        return planner_demonstrations(task, s.clone_episodes, s.clone_beta, s.clone_simulations, rng)

    def _clone(self, task: Task) -> Iterator[Metrics]:
        shown = self._demonstrations(task)
        if shown is None:
            self._cloned = self.settings.clone_steps
            return
        prompts = self._prompter.prompts(shown.observations)
        number = {text: row for row, text in enumerate(dict.fromkeys(prompts))}
        rows, distinct = np.array([number[text] for text in prompts]), list(number)
        targets, masks = self._tensor(shown.targets.astype(np.float32)), self._tensor(shown.action_masks)
        total = self.settings.clone_steps
        while self._cloned < total:
            sums, seen = np.zeros(2), 0
            for chosen, samples, local in prompt_batches(rows, self.settings.prompts_per_batch, self._rng):
                picked, place = self._tensor(samples), self._tensor(local)
                with self.policy.own_threads():
                    scores, _ = self.policy([distinct[row] for row in chosen], values=False)
                    log_probs = masked_log_softmax(scores[place], masks[picked])
                    losses = -(targets[picked] * log_probs.masked_fill(~masks[picked], 0.0)).sum(1)
                    self._descend(losses.mean())
                likeliest = targets[picked] >= targets[picked].max(1, keepdim=True).values
                agreement = likeliest.gather(1, log_probs.argmax(1, keepdim=True))
                sums += losses.sum().item(), agreement.sum().item()
                seen += len(samples)
                self._cloned += 1
                if self._cloned % 25 == 0 or self._cloned >= total:
                    break  # a point where nothing is half done: what is left of the pass is drawn anew
            if self._cloned % 25 == 0 or self._cloned >= total:
                yield {
                    "steps": 0.0,
                    "clone/steps": float(self._cloned),
                    "clone/demonstrated_steps": float(len(shown)),
                    "clone/loss": float(sums[0] / seen),
                    "clone/agreement": float(sums[1] / seen),
                }

    def _tensor(self, array: Array) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)

    def _descend(self, loss: Tensor) -> None:
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.policy.parameters(), self.settings.max_gradient_norm)
        self._optimizer.step()
        self._book.clear()

    def _improve(self, task: Task, steps: int) -> Iterator[Metrics]:
        s = self.settings
        if self._steps == 0:
            self._optimizer = self._new_optimizer(s.learning_rate)
            if s.kl_weight > 0:
                self._reference = copy.deepcopy(self.policy).requires_grad_(False)
        self._live = _Rollouts(self, task)
        self._live.start(self._resume)
        self._resume = None
        try:
            while self._steps < steps:
                length = min(s.horizon, -(-(steps - self._steps) // s.num_envs))
                batch = self._live.collect(length)
                left = 1.0 - self._steps / steps if s.anneal else 1.0
                self._optimizer.param_groups[0]["lr"] = s.learning_rate * left
                with self.policy.own_threads():
                    losses = self._update(batch, s.entropy * left)
                self._steps += length * s.num_envs
                yield {"steps": float(self._steps), **batch.metrics, **losses}
        finally:
            self._resume = self._live.state_dict()
            self._live.close()
            self._live = None

    def _update(self, batch: _Batch, entropy_weight: float) -> Metrics:
        """Improves the policy on one batch (PPO) and returns the mean losses."""
        s = self.settings
        to = self._tensor
        actions, masks = to(batch.actions), to(batch.masks)
        old, returns = to(batch.log_probs), to(batch.returns)
        advantages = to((batch.advantages - batch.advantages.mean()) / (batch.advantages.std() + 1e-8))
        reference = self._reference_log_probs(batch)
        sums, count = np.zeros(6), 0
        for _ in range(s.epochs):
            batches = -(-len(np.unique(batch.rows)) // s.prompts_per_batch)
            for chosen, samples, local in prompt_batches(batch.rows, s.prompts_per_batch, self._rng):
                scores, values = self.policy([batch.prompts[row] for row in chosen])
                picked, place = to(samples), to(local)
                log_probs = masked_log_softmax(scores[place], masks[picked])
                finite = log_probs.masked_fill(~masks[picked], 0.0)
                taken = log_probs.gather(1, actions[picked][:, None])[:, 0]
                ratio, advantage = (taken - old[picked]).exp(), advantages[picked]
                surrogate = torch.minimum(ratio * advantage, ratio.clamp(1 - s.clip, 1 + s.clip) * advantage)
                policy_loss = -surrogate.mean()
                value_loss = (values[place] - returns[picked]).square().mean()
                probabilities = log_probs.exp()
                entropy = -(probabilities * finite).sum(1).mean()
                loss = policy_loss + s.value_weight * value_loss - entropy_weight * entropy
                drift = loss.new_zeros(())
                if reference is not None:
                    drift = (probabilities * (finite - reference[picked])).sum(1).mean()
                    loss = loss + s.kl_weight * drift
                # every sample weighs the same, in whichever batch its prompt came
                self._descend(loss * (len(samples) * batches / len(batch.rows)))
                with torch.no_grad():
                    old_kl = (old[picked] - taken).mean()
                    clipped = ((ratio - 1).abs() > s.clip).float().mean()
                sums += [x.item() for x in (policy_loss, value_loss, entropy, old_kl, clipped, drift)]
                count += 1
        names = ("policy_loss", "value_loss", "entropy", "approximate_kl", "clipped", "kl_to_cloned")
        return {f"ppo/{name}": float(mean) for name, mean in zip(names, sums / count, strict=True)}

    def _reference_log_probs(self, batch: _Batch) -> Tensor | None:
        """Returns `[N, A]` log-probabilities of the cloned policy, 0 where illegal; None when there is no penalty."""
        if self._reference is None:
            return None
        book = Scorebook(self._reference, self.settings.prompts_per_batch, values=False)
        rows = book.rows(batch.prompts)
        log_probs = log_softmax(book.scores[rows][batch.rows], batch.masks)
        finite = np.where(batch.masks, log_probs, 0.0).astype(np.float32)
        return self._tensor(finite)

    # ------------------------------------------------------------------------------------------------------- resuming

    def state_dict(self) -> State:
        """Returns weights, tokenizer, optimiser, generators, counters and environments."""
        moments = {
            name: {key: value.cpu().numpy().copy() for key, value in self._optimizer.state[parameter].items()}
            for name, parameter in self.policy.named_parameters()
            if parameter in self._optimizer.state
        }
        backend = getattr(self.policy.tokenizer, "backend_tokenizer", None)
        return {
            "model": self.settings.model,
            "tokenizer": backend.to_str() if backend is not None and self.settings.model is None else None,
            "weights": self.policy.weights(),
            "optimizer": {"learning_rate": self._optimizer.param_groups[0]["lr"], "moments": moments},
            "reference": self._reference.weights() if self._reference is not None else None,
            "rng": self._rng.bit_generator.state,
            "act_rng": self._act_rng.bit_generator.state,
            "cloned": self._cloned,
            "steps": self._steps,
            "environments": self._live.state_dict() if self._live is not None else self._resume,
        }

    def load_state_dict(self, state: State) -> None:
        """Goes on from `state_dict()`.

        Raises:
            UsageError: the state is of another model.
        """
        if state["model"] != self.settings.model:
            raise UsageError(
                f"the state of a run with --model {state['model']}", expected=f"--model {self.settings.model}"
            )
        if state["tokenizer"] is not None:
            self._install(self._built(tokenizer_from_json(state["tokenizer"])))
        self.policy.load_weights(state["weights"])
        self._optimizer = self._new_optimizer(float(state["optimizer"]["learning_rate"]))
        moments = state["optimizer"]["moments"]
        for name, parameter in self.policy.named_parameters():
            if name in moments:
                self._optimizer.state[parameter] = {
                    key: torch.as_tensor(np.array(value)).to("cpu" if key == "step" else self.device)
                    for key, value in moments[name].items()
                }
        self._reference = None
        if state["reference"] is not None:
            self._reference = copy.deepcopy(self.policy).requires_grad_(False)
            self._reference.load_weights(state["reference"])
        self._rng.bit_generator.state = state["rng"]
        self._act_rng.bit_generator.state = state["act_rng"]
        self._cloned, self._steps = int(state["cloned"]), int(state["steps"])
        self._resume = state["environments"]
        self._book.clear()


# ------------------------------------------------------------------------------------------------------ data of stage 2


@dataclass(frozen=True, eq=False)
class _Batch:
    """What B copies met in T steps, flat: N = B·T.

    Attributes:
        prompts: the U distinct prompts; rows: `[N]` the prompt of each sample.
        actions: `[N]`; masks: `[N, A]`; log_probs: `[N]` of the actions when taken.
        advantages, returns: `[N]` float32.
        metrics: of the episodes that ended.
    """

    prompts: list[str]
    rows: NDArray[np.int64]
    actions: NDArray[np.int64]
    masks: NDArray[np.bool_]
    log_probs: NDArray[np.float32]
    advantages: NDArray[np.float32]
    returns: NDArray[np.float32]
    metrics: Metrics


class _Rollouts:
    """The environments of stage 2 and where they stand."""

    def __init__(self, agent: LanguageModelAgent, task: Task) -> None:
        self._agent = agent
        self._count = agent.settings.num_envs
        self._envs = task.vector_env(self._count, autoreset="same-step")
        own = 0.99 if task.world is None else task.world.gamma
        self._gamma = own if agent.settings.gamma is None else agent.settings.gamma

    def start(self, state: State | None) -> None:
        """Goes on from `state_dict()`; starts new episodes without one, or where environments cannot be stored."""
        self._observation, infos = self._envs.reset(seed=self._agent.seed + self._agent._steps)
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
        return np.ones((self._count, len(self._agent.actions)), bool)

    def collect(self, length: int) -> _Batch:
        """Acts for `length` steps in every copy, drawing from the policy."""
        agent, s = self._agent, self._agent.settings
        prompts_of = agent._prompter.prompts
        # a book of its own: an evaluation in between must not change what is computed here, nor in which batch
        book = Scorebook(agent.policy, s.prompts_per_batch, values=True)
        shape = (self._count, length)
        rows, actions = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        masks = np.zeros((*shape, len(agent.actions)), bool)
        log_probs, rewards, next_values = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        terminated, truncated = np.zeros(shape, bool), np.zeros(shape, bool)
        finished: list[float] = []
        every = np.arange(self._count)
        rows[:, 0] = book.rows(prompts_of(self._observation))
        for t in range(length):
            masks[:, t] = self._mask
            choice = log_softmax(book.scores[rows[:, t]], self._mask)
            actions[:, t] = sample_actions(choice, agent._rng)
            log_probs[:, t] = choice[every, actions[:, t]]
            step = self._envs.step(actions[:, t] + agent._first_action)
            self._observation, rewards[:, t], terminated[:, t], truncated[:, t], infos = step
            self._mask = self._legal(infos)
            following = book.rows(prompts_of(self._observation))
            next_values[:, t] = book.values[following]
            cut = np.flatnonzero(truncated[:, t] & ~terminated[:, t])
            if len(cut):
                final = np.stack([infos["final_obs"][b] for b in cut])
                last = book.rows(prompts_of(final))
                next_values[cut, t] = book.values[last]
            if t + 1 < length:
                rows[:, t + 1] = following
            self._returns += rewards[:, t]
            ended = terminated[:, t] | truncated[:, t]
            finished += self._returns[ended].tolist()
            self._returns[ended] = 0.0
        values = book.values[rows].astype(np.float64)
        advantages = generalized_advantages(
            rewards, values, next_values, terminated, truncated, self._gamma, s.gae_lambda
        )
        return _Batch(
            prompts=book.prompts,
            rows=rows.reshape(-1),
            actions=actions.reshape(-1),
            masks=masks.reshape(-1, masks.shape[2]),
            log_probs=log_probs.reshape(-1).astype(np.float32),
            advantages=advantages.reshape(-1).astype(np.float32),
            returns=(advantages + values).reshape(-1).astype(np.float32),
            metrics={"episodes": float(len(finished))}
            | ({"train/return_mean": float(np.mean(finished))} if finished else {}),
        )


def log_softmax(scores: Array, action_mask: Array | None) -> NDArray[np.float64]:
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


def _check(settings: LanguageModelSettings) -> None:
    """Raises UsageError for settings out of range."""
    counts = "num_envs horizon epochs prompts_per_batch clone_episodes clone_simulations hidden_size layers heads"
    positive = "clone_learning_rate learning_rate max_gradient_norm"
    fractions = "gae_lambda"
    weights = "clip entropy value_weight kl_weight clone_steps"
    infinity = float("inf")
    ranges: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
        (counts, lambda x: x >= 1, "at least 1"),
        (positive, lambda x: 0 < x < infinity, "a positive number"),
        (fractions, lambda x: 0 <= x <= 1, "a number in [0, 1]"),
        (weights, lambda x: 0 <= x < infinity, "a number of at least 0"),
        ("clone_beta", lambda x: x >= 0, "a number of at least 0, per unit of reward; inf for best actions only"),
        ("gamma", lambda x: x is None or 0 <= x <= 1, "a number in [0, 1]"),
        ("threads", lambda x: x is None or x >= 1, "at least 1"),
    )
    for names, accepts, expected in ranges:
        for name in names.split():
            value = getattr(settings, name)
            if not accepts(value):  # so put that NaN is refused too
                raise UsageError(f"{name} = {value}", expected=expected)
