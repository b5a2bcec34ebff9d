"""A language model that answers in free text: the agent `llm` in text environments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from inscape.agents.batches import objects
from inscape.agents.interface import Agent, Metrics
from inscape.agents.llm.generation.conversation import Conversation
from inscape.agents.llm.generation.imitation import TextImitation
from inscape.agents.llm.generation.learner import TextLearner
from inscape.agents.llm.generation.reinforcement import TokenPolicyGradient
from inscape.agents.llm.settings import LanguageModelSettings
from inscape.errors import UsageError
from inscape.world_models.networks.device import resolve_device
from inscape.world_models.networks.types import Array, State

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task


class TextAgent(Agent):
    """A causal language model that reads texts and answers in its own words.

    What `llm` is in a text environment (`TextRepair`, `text:FrozenLake`). It remembers the episode as token ids.

    Args:
        task: a text environment's.
        seed: of first weights and everything drawn.
        device: `auto`, `cpu` or `cuda`.
        settings: see `LanguageModelSettings`.

    Raises:
        UsageError: transformers is missing, the model cannot be had safely, the task is not of texts, or an algorithm,
            a penalty on divergence or an `on_alarm` that answers in text do not have.

    Attributes:
        learner: the model and what training needs beside it.
    """

    name = "llm"
    Settings = LanguageModelSettings

    def __init__(
        self, task: Task, seed: int = 0, device: str = "cpu", settings: LanguageModelSettings | None = None
    ) -> None:
        self.task, self.seed = task, seed
        self.settings = (settings or LanguageModelSettings()).for_acting("generate")
        if self.settings.on_alarm != "warn":
            raise UsageError(
                f"on_alarm {self.settings.on_alarm!r} where answers are generated: alarms watch scored actions only",
                expected="warn, the default",
            )
        self.learner = TextLearner(task, self.settings, seed, resolve_device(device))
        self._imitation = TextImitation(self.learner)
        self._reinforcement = TokenPolicyGradient(self.learner)
        self._drawn = 0

    def initial_memory(self, count: int) -> Array:
        """Returns `[count]` conversations that have not begun."""
        return objects([self.learner.begin(self.learner.env) for _ in range(count)])

    def act_with_memory(
        self, observation: Any, memory: Array, reward: Array, action_mask: Array | None = None
    ) -> tuple[Array, Array]:
        """Returns `[B]` answers to `[B]` texts, and the conversations they belong to."""
        talks: list[Conversation] = []
        for text, talk in zip(observation, memory.tolist(), strict=True):
            # the caller's stays as it was: it may ask again
            now = Conversation(talk.encode, talk.instructions, talk.cue, talk.history, list(talk.parts))
            now.observe(str(text))
            talks.append(now)
        contexts = [talk.context(self.learner.room)[0] for talk in talks]
        rngs = [np.random.default_rng([self.seed, 2, self._drawn + k]) for k in range(len(talks))]
        self._drawn += len(talks)
        with self.learner.own_threads():
            replies = self.learner.generator.replies(contexts, rngs)
        stop, cue = tuple(self.learner.env.stop), self.learner.env.cue
        answers = []
        for talk, reply in zip(talks, replies, strict=True):
            talk.answer(reply)
            answers.append("" if reply.cut and not reply.text.endswith(stop) else cue + reply.text)
        return objects(answers), objects(talks)

    def act(self, observation: Any, action_mask: Array | None = None) -> Array:
        """Returns `[B]` answers to `[B]` texts, each the first of an episode."""
        count = len(observation)
        return self.act_with_memory(observation, self.initial_memory(count), np.zeros(count))[0]

    def imitate(self, examples: Sequence[tuple[str, str]]) -> None:
        """Sets examples to imitate: (what is observed, what is answered), instead of the environment's solutions.

        Raises:
            UsageError: there are none.
        """
        self._imitation.imitate(examples)

    def learn(self, task: Task, steps: int) -> Iterator[Metrics]:
        """Imitates, then improves by `algorithm` until `steps` turns in total have been taken.

        Yields every 25 gradient steps of imitation (`steps` is 0 there) and after every update.
        """
        yield from self._imitation.train(steps)
        yield from self._reinforcement.train(steps)

    def state_dict(self) -> State:
        """Returns weights, tokenizer, optimiser, generators and counters."""
        state = {**self.learner.state_dict(), "drawn": self._drawn, **self._imitation.state_dict()}
        return state | self._reinforcement.state_dict()

    def load_state_dict(self, state: State) -> None:
        """Resumes from `state_dict()`.

        Raises:
            UsageError: the state is of another model.
        """
        self.learner.load_state_dict(state)
        self._imitation.load_state_dict(state)
        self._reinforcement.load_state_dict(state)
        self._drawn = int(state["drawn"])
