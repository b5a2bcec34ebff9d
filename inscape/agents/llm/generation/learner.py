"""A language model that answers in text: the model, what it generates with, and its optimiser."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from inscape.agents.llm.demonstrations import ActionValues
from inscape.agents.llm.generation.conversation import Conversation
from inscape.agents.llm.generation.generating import Generator, Reply, Tokens
from inscape.agents.llm.generation.playing import TextEpisode, play
from inscape.agents.llm.model import (
    LanguageModel,
    build_model,
    encode,
    load_language_model,
    tokenizer_from_json,
    tokenizer_from_texts,
)
from inscape.agents.llm.sampling_settings import Sampling
from inscape.agents.llm.settings import LanguageModelSettings
from inscape.envs.text.interface import TextEnv
from inscape.errors import UsageError
from inscape.world_models.networks.types import State

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task

SAMPLES = 256
"""Episodes whose texts the built-in tokenizer is learnt from."""


def text_env_of(task: Task) -> TextEnv:
    """Returns the text environment of a task.

    Raises:
        UsageError: it has none.
    """
    env = task.unchecked_env()
    if not isinstance(env, TextEnv):
        raise UsageError(f"{task.name} for answers in text", expected="a text environment", hint=f"text:{task.name}")
    return env


class TextLearner:
    """The model and what acting and training share.

    Args:
        task: a text environment's.
        settings: see `LanguageModelSettings`.
        seed: of first weights, and everything drawn.
        device: where the model is.

    Attributes:
        model, tokenizer: as transformers has them.
        generator: draws replies.
        rng: random numbers of training.
        steps: environment steps taken in training.
    """

    def __init__(self, task: Task, settings: LanguageModelSettings, seed: int, device: torch.device) -> None:
        self.task, self.settings, self.seed, self.device = task, settings, seed, device
        self.env = text_env_of(task)
        s = settings
        if s.model is not None:
            self._install(load_language_model(s.model, s.revision))
        else:
            texts = sample_texts(text_env_of(task), seed)
            self._install(self._built(tokenizer_from_texts(texts, s.vocabulary)))
        self.rng = np.random.default_rng([seed, 1])
        self.steps = 0
        self.teacher: ActionValues | None = None  # of a described world, once it was asked

    def _built(self, tokenizer: Any) -> LanguageModel:
        s = self.settings
        return LanguageModel(build_model(tokenizer, s.hidden_size, s.layers, s.heads, self.seed), tokenizer)

    def _install(self, language: LanguageModel) -> None:
        s = self.settings
        self.model, self.tokenizer = language.model.to(self.device), language.tokenizer
        sampling = Sampling(s.temperature, s.top_k, s.top_p, s.min_p)
        self.generator = Generator(self.model, self.tokenizer, sampling, s.answer_tokens, self.env.stop)
        self.restart_optimizer(s.clone_learning_rate)

    # --------------------------------------------------------------------------------------------------------- acting

    @property
    def room(self) -> int:
        """Tokens of a context at most."""
        return self.generator.context - self.settings.answer_tokens

    def encode(self, text: str, special: bool) -> Tokens:
        """Returns the tokens of a text; `special` adds what the model begins texts with."""
        if not text:
            start = getattr(self.tokenizer, "bos_token_id", None)
            return (int(start),) if special and start is not None else ()
        return encode(self.tokenizer, [text], special=special)[0]

    def begin(self, env: TextEnv) -> Conversation:
        """Returns a conversation about an episode that begins."""
        history = env.history if self.settings.history is None else self.settings.history
        return Conversation(self.encode, env.instructions, env.cue, history)

    def play(self, envs: Sequence[TextEnv], seeds: Sequence[int], stream: Sequence[int]) -> list[TextEpisode]:
        """Returns an episode of each environment.

        Args:
            envs: B text environments.
            seeds: of their resets.
            stream: of what is drawn; the same one draws the same.
        """

        def replies(contexts: Sequence[Tokens], who: Sequence[tuple[int, int]]) -> list[Reply]:
            return self.generator.replies(contexts, [np.random.default_rng([*stream, *place]) for place in who])

        with self.own_threads():
            return play(envs, seeds, self.begin, replies, self.room)

    def own_threads(self) -> Any:
        """Computes with the settings' number of threads inside, and leaves torch as it was."""
        return _Threads(1 if self.settings.threads is None and self.settings.model is None else self.settings.threads)

    # ------------------------------------------------------------------------------------------------------- training

    def restart_optimizer(self, learning_rate: float) -> None:
        """Forgets the optimiser's moments and sets its step size."""
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=learning_rate, eps=1e-5)

    def descend(self, loss: Tensor) -> None:
        """Takes one gradient step on a loss, its gradient scaled down to `max_grad_norm`.

        Raises:
            UsageError: the loss is not finite; the weights are as before.
        """
        if not torch.isfinite(loss):
            raise UsageError(
                f"the loss of an update is {loss.item()}, after {self.steps} steps",
                expected="a finite number",
                hint="a smaller --learning-rate or --max-grad-norm; the last checkpoint is from before this step",
            )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.max_grad_norm)
        self.optimizer.step()

    # ------------------------------------------------------------------------------------------------------- resuming

    def state_dict(self) -> State:
        """Returns weights, tokenizer, optimiser, random state and steps."""
        named = dict(self.model.named_parameters())
        moments = {
            name: {key: value.cpu().numpy().copy() for key, value in self.optimizer.state[parameter].items()}
            for name, parameter in named.items()
            if parameter in self.optimizer.state
        }
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        return {
            "model": self.settings.model,
            "tokenizer": backend.to_str() if backend is not None and self.settings.model is None else None,
            "weights": {name: value.detach().cpu().numpy().copy() for name, value in named.items()},
            "optimizer": {"learning_rate": self.optimizer.param_groups[0]["lr"], "moments": moments},
            "rng": self.rng.bit_generator.state,
            "steps": self.steps,
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
        named = dict(self.model.named_parameters())
        if {name: tuple(value.shape) for name, value in named.items()} != {
            name: np.shape(value) for name, value in state["weights"].items()
        }:
            raise UsageError("weights of another model", expected="those of a model with these settings")
        with torch.no_grad():
            for name, value in state["weights"].items():
                named[name].copy_(torch.as_tensor(np.array(value)))
        self.restart_optimizer(float(state["optimizer"]["learning_rate"]))
        for name, kept in state["optimizer"]["moments"].items():
            self.optimizer.state[named[name]] = {
                key: torch.as_tensor(np.array(value)).to("cpu" if key == "step" else self.device)
                for key, value in kept.items()
            }
        self.rng.bit_generator.state = state["rng"]
        self.steps = int(state["steps"])


class _Threads:
    """Torch's threads within a block."""

    def __init__(self, count: int | None) -> None:
        self._count = count

    def __enter__(self) -> None:
        self._before = torch.get_num_threads()
        if self._count is not None:
            torch.set_num_threads(self._count)

    def __exit__(self, *_: object) -> None:
        torch.set_num_threads(self._before)


def sample_texts(env: TextEnv, seed: int) -> list[str]:
    """Returns texts of a text environment, observed and answered, to learn a tokenizer from."""
    texts = [env.instructions] if env.instructions else []
    named = getattr(env, "actions", ())
    rng = np.random.default_rng([seed, 0])
    for number in range(SAMPLES):
        text, _ = env.reset(seed=int(rng.integers(2**31)))
        texts.append(f"{text}\n{env.cue}")
        answer = env.solution()
        if answer is None and len(named):
            answer = f" {named[int(rng.integers(len(named)))]}"
        if answer is not None:
            texts.append(answer + env.stop[0])
            if number % 8 == 0:
                texts.append(env.step(env.cue + answer)[0])
    return texts
