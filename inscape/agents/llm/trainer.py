"""What the ways of training a language model share: the interface of a trainer, and what every trainer changes.

A trainer is a file: `cloning`, `ppo`. It is made with the agent's `LanguageLearner`, whose policy it improves by
`descend`; the agent runs its trainers one after the other and saves what they say.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor

from inscape.agents.interface import Metrics
from inscape.agents.llm.model import (
    LanguageModel,
    build_model,
    build_tokenizer,
    load_language_model,
    tokenizer_from_json,
)
from inscape.agents.llm.policy import LanguagePolicy, Scorebook
from inscape.agents.llm.settings import LanguageModelSettings
from inscape.agents.llm.text import Prompter
from inscape.envs.text.described import action_names_of
from inscape.errors import UsageError
from inscape.world_models.networks.types import Array, State

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task


class NotFiniteLossError(UsageError):
    """A loss is NaN or infinite; the weights are as before that step."""


class Trainer(Protocol):
    """One way of training the policy of a `LanguageLearner`, from which it is made."""

    def train(self, task: Task, steps: int) -> Iterator[Metrics]:
        """Trains until its part is done, `steps` being the environment steps of the whole training.

        Yields where its state is complete: a training saved there and resumed ends with the same weights. Each
        metric but `steps` has a name no other trainer uses, such as `ppo/entropy`.
        """
        ...

    def state_dict(self) -> State:
        """Returns what resuming needs, under names that no other trainer uses."""
        ...

    def load_state_dict(self, state: State) -> None:
        """Resumes from the agent's state, of which its own is a part; the learner has loaded its part already."""
        ...


class LanguageLearner:
    """The policy, its optimiser, and the random numbers of training.

    Args:
        task: what is acted in; its action space must be `Discrete`.
        settings: see `LanguageModelSettings`.
        seed: of first weights, demonstrations, environments, sampling.
        device: where the model is.

    Attributes:
        actions: names of the actions.
        first_action: number of the first of them in the action space.
        prompter: makes prompts of observations.
        policy: what is trained.
        book: scores of the policy outside training; emptied whenever the weights change.
        rng: random numbers of training.
        steps: environment steps taken in training.
        caution: what step sizes are multiplied by; halved by every roll-back.

    Raises:
        UsageError: transformers is missing, the model cannot be had safely, or the actions have no names to answer.
    """

    policy: LanguagePolicy
    book: Scorebook
    optimizer: torch.optim.Adam

    def __init__(self, task: Task, settings: LanguageModelSettings, seed: int, device: torch.device) -> None:
        self.settings, self.seed, self.device = settings, seed, device
        self.actions = action_names_of(task)
        self.first_action = int(task.action_space.start)  # type: ignore[attr-defined]
        listed = settings.model is not None if settings.list_actions is None else settings.list_actions
        self.prompter = Prompter(task, listed)
        if settings.model is not None:
            self._install(load_language_model(settings.model, settings.revision))
        else:
            self._install(self._built(build_tokenizer(task, settings.vocabulary, seed)))
        self.rng = np.random.default_rng([seed, 1])
        self.steps = 0
        self.caution = 1.0

    def _built(self, tokenizer: Any) -> LanguageModel:
        s = self.settings
        return LanguageModel(build_model(tokenizer, s.hidden_size, s.layers, s.heads, self.seed), tokenizer)

    def _install(self, language: LanguageModel) -> None:
        s = self.settings
        threads = 1 if s.threads is None and s.model is None else s.threads
        self.policy = LanguagePolicy(language, self.actions, s.scoring, self.device, self.seed, threads)
        self.book = Scorebook(self.policy, s.prompts_per_batch, values=False)
        self.restart_optimizer(s.clone_learning_rate)

    # ------------------------------------------------------------------------------------------------------- training

    def tensor(self, array: Array) -> Tensor:
        """Returns the array as a tensor where the model is."""
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)

    def restart_optimizer(self, learning_rate: float) -> None:
        """Forgets the optimiser's moments and sets its step size."""
        self.optimizer = torch.optim.Adam(self.policy.parameters(), lr=learning_rate, eps=1e-5)

    def set_rate(self, learning_rate: float, taken: int, total: int) -> None:
        """Sets the step size after `taken` of `total` steps: falling linearly to 0 where the settings say so."""
        left = 1.0 - taken / total if self.settings.anneal == "linear" else 1.0
        self.optimizer.param_groups[0]["lr"] = learning_rate * left * self.caution

    def descend(self, loss: Tensor) -> None:
        """Takes one gradient step on a loss, its gradient scaled down to `max_grad_norm`.

        Raises:
            NotFiniteLossError: the loss, or the norm of its gradient, is not finite; the weights are as before.
        """
        self.optimizer.zero_grad(set_to_none=True)
        if not torch.isfinite(loss):
            raise NotFiniteLossError(
                f"a loss of {loss.item()}, after {self.steps} steps",
                expected="a finite number",
                hint="a smaller --learning-rate or --max-grad-norm; the last checkpoint is from before this step",
            )
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self.policy.parameters(), self.settings.max_grad_norm)
        if not torch.isfinite(norm):
            raise NotFiniteLossError(
                f"a gradient of norm {norm.item()}, after {self.steps} steps", expected="a finite number",
                hint="a smaller --learning-rate; the last checkpoint is from before this step",
            )  # fmt: skip
        self.optimizer.step()
        self.book.clear()

    # ------------------------------------------------------------------------------------------------------- resuming

    def state_dict(self) -> State:
        """Returns weights, tokenizer, optimiser, random state and steps."""
        moments = {
            name: {key: value.cpu().numpy().copy() for key, value in self.optimizer.state[parameter].items()}
            for name, parameter in self.policy.named_parameters()
            if parameter in self.optimizer.state
        }
        backend = getattr(self.policy.tokenizer, "backend_tokenizer", None)
        return {
            "model": self.settings.model,
            "tokenizer": backend.to_str() if backend is not None and self.settings.model is None else None,
            "weights": self.policy.weights(),
            "optimizer": {"learning_rate": self.optimizer.param_groups[0]["lr"], "moments": moments},
            "rng": self.rng.bit_generator.state,
            "steps": self.steps,
            "caution": self.caution,
        }

    def load_state_dict(self, state: State) -> None:
        """Resumes from `state_dict()`.

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
        self.restart_optimizer(float(state["optimizer"]["learning_rate"]))
        moments = state["optimizer"]["moments"]
        for name, parameter in self.policy.named_parameters():
            if name in moments:
                self.optimizer.state[parameter] = {
                    key: torch.as_tensor(np.array(value)).to("cpu" if key == "step" else self.device)
                    for key, value in moments[name].items()
                }
        self.rng.bit_generator.state = state["rng"]
        self.steps = int(state["steps"])
        self.caution = float(state.get("caution", 1.0))
        self.book.clear()
