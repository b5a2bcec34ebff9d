"""A causal language model that acts: it reads a text that describes the state and answers with the name of an action.

The policy. With the prompt p(s) of a state (`text.format_prompt`) and the tokens t_1 … t_n of " name\\n",

    π(a|s) = exp(score(a)) / Σ_{a′ legal} exp(score(a′)),    score(a) = Σ_k log P(t_k | p(s), t_1 … t_{k−1}),

so that it never answers what is not an action, nor one that is illegal (`scoring`).

It is trained in stages, a `Trainer` each: `cloning` imitates a planner, then `ppo`, or one of the methods that compare
whole episodes (`algorithm`), improves on it by the environment's return. All encode each distinct prompt of a batch
once, however many samples share it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from inscape.agents.acting import greedy_log_probs, sample_actions
from inscape.agents.interface import Agent, Metrics
from inscape.agents.llm.cloning import Cloning
from inscape.agents.llm.generation.agent import TextAgent
from inscape.agents.llm.generation.endpoint_agent import EndpointAgent
from inscape.agents.llm.policy import LanguagePolicy
from inscape.agents.llm.preferences import DPO, Preferences
from inscape.agents.llm.reinforcement.groups import GroupPolicyGradient
from inscape.agents.llm.reinforcement.ppo import PPO
from inscape.agents.llm.scoring import log_softmax
from inscape.agents.llm.settings import LanguageModelSettings
from inscape.agents.llm.stages.expert_iteration import ExpertIteration
from inscape.agents.llm.stages.watching import Watch
from inscape.agents.llm.text import MEMORY
from inscape.agents.llm.trainer import LanguageLearner, Trainer
from inscape.envs.tasks.text_task import TextTask
from inscape.envs.text.described import action_names_of
from inscape.errors import UsageError
from inscape.world_models.networks.device import resolve_device
from inscape.world_models.networks.types import Array, State

if TYPE_CHECKING:
    from inscape.envs.data.trajectory import Trajectory
    from inscape.envs.tasks.task import Task


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

    Attributes:
        learner: the policy and what training needs beside it.
        trainers: the stages of training, in order.
        watch: looks for signs that reinforcement goes wrong; `watch.seen` are those met.
    """

    name = "llm"
    Settings = LanguageModelSettings

    def __new__(cls, task: Task, *args: Any, **named: Any) -> Any:
        """Returns the agent for answers in free text, where the task is a text environment."""
        settings = named.get("settings", args[2] if len(args) > 2 else None)
        if settings is not None and settings.endpoint is not None:
            return EndpointAgent(task, *args, **named)
        if isinstance(task, TextTask):
            return TextAgent(task, *args, **named)
        return super().__new__(cls, task, *args, **named)

    def __init__(
        self, task: Task, seed: int = 0, device: str = "cpu", settings: LanguageModelSettings | None = None
    ) -> None:
        self.task, self.seed = task, seed
        self.settings = (settings or LanguageModelSettings()).for_acting("score")
        if task.world is not None and task.world.simultaneous:
            raise UsageError(
                f"llm on {task.name}, whose players act at once",
                expected="a world of one player, or of players who move in turn",
                hint="random, or a custom agent: file.py:Class",
            )
        self.learner = LanguageLearner(task, self.settings, seed, resolve_device(device))
        self._cloning = Cloning(self.learner)
        self._comparing = DPO(self.learner)
        others: dict[str, Callable[[LanguageLearner], Trainer]] = {"ppo": PPO, "em": ExpertIteration}
        reinforcing = others.get(self.settings.algorithm, GroupPolicyGradient)
        self.trainers: tuple[Trainer, ...] = (self._cloning, self._comparing, reinforcing(self.learner))
        self.watch = Watch(self.learner)
        self._act_rng = np.random.default_rng([seed, 2])

    @property
    def policy(self) -> LanguagePolicy:
        """What it acts by."""
        return self.learner.policy

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
        book = self.learner.book
        if len(book.prompts) > MEMORY:
            book.clear()
        rows = book.rows(self.learner.prompter.prompts(np.asarray(observation)))
        return log_softmax(book.scores[rows], action_mask)

    def act(self, observation: Array, action_mask: Array | None = None) -> Array:
        log_probs = self.policy_log_probs(observation, action_mask)
        chosen = log_probs.argmax(1) if self.settings.greedy else sample_actions(log_probs, self._act_rng)
        return np.asarray(chosen + self.learner.first_action, np.int64)

    # ------------------------------------------------------------------------------------------------------- learning

    def imitate(self, trajectories: Sequence[Trajectory]) -> None:
        """Sets the episodes stage 1 is to clone, instead of the planner's.

        Raises:
            UsageError: they hold no action.
        """
        self._cloning.imitate(trajectories)

    def prefer(self, preferences: Preferences) -> None:
        """Sets comparisons of actions to learn from by DPO, after cloning and before reinforcement.

        Raises:
            UsageError: there are none, or of actions that the agent does not have.
        """
        self._comparing.prefer(preferences)

    def learn(self, task: Task, steps: int) -> Iterator[Metrics]:
        """Clones, then improves by `algorithm` until `steps` environment steps in total have been taken.

        Yields every 25 gradient steps of stage 1 (`steps` is 0 there) and after every update of stage 2. With `steps` 0
        only stage 1 is done. Stage 1 is left out in an environment without a law, unless `imitate` gave it episodes.

        Raises:
            UsageError: the task has other actions than the one the agent was made for, or several players.
        """
        if task.players > 1:
            raise UsageError(
                f"llm learns in {task.name}, which has {task.players} players",
                expected="a world of one player to learn in; it acts for any player who moves in turn",
                hint=f"self-play, alphazero; inscape evaluate llm {task.name}",
            )
        actions = action_names_of(task)
        if actions != self.learner.actions:
            raise UsageError(
                f"{task.name} has the actions {', '.join(actions)}",
                expected=f"those of {self.task.name}: {', '.join(self.learner.actions)}",
            )
        for trainer in self.trainers[:-1]:
            yield from trainer.train(task, steps)
        yield from self.watch.watched(self.trainers[-1].train, task, steps)

    # ------------------------------------------------------------------------------------------------------- resuming

    def state_dict(self) -> State:
        """Returns weights, tokenizer, optimiser, generators, counters and environments."""
        state = {**self.learner.state_dict(), "act_rng": self._act_rng.bit_generator.state, **self.watch.state_dict()}
        for trainer in self.trainers:
            state |= trainer.state_dict()
        return state

    def load_state_dict(self, state: State) -> None:
        """Resumes from `state_dict()`.

        Raises:
            UsageError: the state is of another model.
        """
        self.learner.load_state_dict(state)
        self.watch.load_state_dict(state)
        for trainer in self.trainers:
            trainer.load_state_dict(state)
        self._act_rng.bit_generator.state = state["act_rng"]
