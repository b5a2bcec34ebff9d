"""The agent `llm` where its model is behind a server: it acts, and does not learn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from inscape.agents.batches import objects
from inscape.agents.interface import Agent
from inscape.agents.llm.generation.endpoint import Endpoint, Usage
from inscape.agents.llm.settings import LanguageModelSettings
from inscape.envs.text.interface import TextEnv
from inscape.errors import UsageError
from inscape.world_models.networks.types import Array

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task


class EndpointAgent(Agent):
    """A model behind a server of chat completions, in a text environment.

    It remembers the episode as messages: instructions as the system's, observations as the user's, answers as its own.
    Where the server finds them too long it says so itself; `history` keeps them short.

    Args:
        task: a text environment's.
        seed, device: not used: the server draws.
        settings: `endpoint`, `model`, `temperature`, `top_p`, `answer_tokens`, `history`, `endpoint_seconds`,
            `endpoint_parallel`.

    Raises:
        UsageError: the task is not of texts, or the endpoint is none.
    """

    name = "llm"
    Settings = LanguageModelSettings

    def __init__(
        self, task: Task, seed: int = 0, device: str = "cpu", settings: LanguageModelSettings | None = None
    ) -> None:
        self.task, self.settings = task, (settings or LanguageModelSettings()).for_acting("generate")
        env = task.unchecked_env()
        if not isinstance(env, TextEnv):
            raise UsageError(f"an endpoint in {task.name}", expected="a text environment", hint=f"text:{task.name}")
        s = self.settings
        self._env = env
        if s.top_k or s.min_p:
            raise UsageError(
                "top_k or min_p with an endpoint", expected="temperature and top_p, which its protocol has"
            )
        self.endpoint = Endpoint(
            s.endpoint or "", s.model or "", s.temperature, s.top_p, s.endpoint_seconds, parallel=s.endpoint_parallel
        )

    @property
    def usage(self) -> Usage:
        """Requests, retries and tokens so far."""
        return self.endpoint.usage

    def initial_memory(self, count: int) -> Array:
        """Returns `[count]` conversations that have not begun: tuples of messages."""
        told = self._env.instructions
        return objects([({"role": "system", "content": told},) if told else () for _ in range(count)])

    def act_with_memory(
        self, observation: Any, memory: Array, reward: Array, action_mask: Array | None = None
    ) -> tuple[Array, Array]:
        """Returns `[B]` answers to `[B]` texts, and the conversations they belong to."""
        s, env = self.settings, self._env
        stop = [mark for mark in env.stop if mark.strip()]  # a line break alone would end an answer that begins with it
        talks = [
            (*talk, {"role": "user", "content": str(text)})
            for text, talk in zip(observation, memory.tolist(), strict=True)
        ]
        said = self.endpoint.ask_all([self._window(talk) for talk in talks], s.answer_tokens, stop)
        answers = ["" if one.cut and not one.text.strip() else one.text for one in said]
        after = [(*talk, {"role": "assistant", "content": answer}) for talk, answer in zip(talks, answers, strict=True)]
        return objects(answers), objects(after)

    def _window(self, talk: tuple[dict[str, str], ...]) -> list[dict[str, str]]:
        """Returns the messages of a conversation that are sent."""
        history = self._env.history if self.settings.history is None else self.settings.history
        if history is None:
            return list(talk)
        first = [message for message in talk[:1] if message["role"] == "system"]
        turns = talk[len(first) :]
        return [*first, *turns[max(0, len(turns) - 1 - 2 * history) :]]

    def act(self, observation: Any, action_mask: Array | None = None) -> Array:
        """Returns `[B]` answers to `[B]` texts, each the first of an episode."""
        count = len(observation)
        return self.act_with_memory(observation, self.initial_memory(count), np.zeros(count))[0]
