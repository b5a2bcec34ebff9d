"""OpenEnv (https://github.com/huggingface/OpenEnv): environments that a server holds, as text environments."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from inscape.envs.text.conventions.foreign import number
from inscape.envs.text.conventions.openenv_session import Connection, Session
from inscape.envs.text.interface import TextEnv, Turn
from inscape.errors import UsageError

BESIDE = ("metadata", "done", "reward")
"""Fields of observations that are no part of what is read."""


class OpenEnvClient(TextEnv):
    """An environment that an OpenEnv server holds: `text_env("openenv:http://127.0.0.1:8000")`.

    An action with one text field (`message`, `text`, …) takes the whole answer; any other action is answered as a JSON
    object. An answer that is no object, or that the server refuses, is counted as `"malformed"`, and the server's
    episode stands still. Observations with one text field are that text, others JSON.

    OpenEnv knows `done` only. Where the server tells `terminated` and `truncated` apart in its metadata (ours do), so
    does this; elsewhere `done` counts as terminated.

    Args:
        url: the server's address: `http://HOST:PORT`, `https://…`, `ws://…`, or `HOST:PORT`.
        timeout: seconds to wait for an answer.
        missing_reward: what a reward is that the server leaves out; None refuses it.
        max_turns: turns of an episode at most.
        connection: an open connection, in place of one to `url`.
        schema: JSON schema of actions; the server is asked for it unless given.

    Raises:
        UsageError: there is no server, it is not of OpenEnv's, does not answer in time, or answers what cannot be read.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 30.0,
        missing_reward: float | None = None,
        max_turns: int | None = None,
        connection: Connection | None = None,
        schema: Mapping[str, Any] | None = None,
    ) -> None:
        self.session = Session(url, timeout, connection)
        self.max_turns, self.missing_reward = max_turns, missing_reward
        self.schema = self.session.action_schema() if schema is None else dict(schema)
        fields = {name: one for name, one in self.schema.get("properties", {}).items() if name != "metadata"}
        texts = [name for name, one in fields.items() if one.get("type") == "string"]
        self._field = texts[0] if len(fields) == len(texts) == 1 else None
        if self._field is None:
            self.instructions = f"Answer with one JSON object of this schema: {json.dumps(self.schema)}"

    @property
    def name(self) -> str:
        return self.session.name

    def _begin(self, seed: int | None, options: Mapping[str, Any]) -> Turn:
        data = {**options, "seed": int(self.np_random.integers(2**31)) if seed is None else seed}
        turn = self._turn(self.session.ask({"type": "reset", "data": data}, "observation"), 0.0)
        return turn._replace(info={name: value for name, value in turn.info.items() if name != "truncated"})

    def begin(self, rng: np.random.Generator, options: Mapping[str, Any]) -> Turn:
        """Starts an episode on the server and returns its first text."""
        return self._begin(int(rng.integers(2**31)), options)

    def respond(self, answer: str) -> Turn:
        """Sends the answer and returns what follows."""
        data: Any = {self._field: answer}
        if self._field is None:
            try:
                data = json.loads(answer)
            except (ValueError, RecursionError):
                data = None
            if not isinstance(data, dict):
                return Turn(self._text, problem="malformed", info={"error": "not a JSON object"})
        try:
            reply = self.session.ask({"type": "step", "data": data}, "observation")
        except UsageError:
            self._running = False
            raise
        if "refused" in reply:
            return Turn(self._text, problem="malformed", info={"error": reply["refused"]})
        return self._turn(reply, self.missing_reward)

    def state(self) -> dict[str, Any]:
        """Returns what the server tells of the episode: its `episode_id`, `step_count` and whatever else."""
        return self.session.ask({"type": "state"}, "state")

    def _turn(self, data: Mapping[str, Any], missing: float | None) -> Turn:
        observation, done, reward = data.get("observation"), data.get("done", False), data.get("reward")
        if not isinstance(observation, dict) or not isinstance(done, bool):
            raise UsageError(f"{self.name}: the answer {str(data)[:300]}", expected="observation, reward and done")
        reward = missing if reward is None else reward
        if reward is None:
            raise UsageError(f"{self.name} gave no reward", expected="a number", hint="missing_reward=0.0")
        told = observation.get("metadata") or data.get("metadata")
        metadata = dict(told) if isinstance(told, Mapping) else {}
        shown = {name: value for name, value in observation.items() if name not in BESIDE}
        texts = [value for value in shown.values() if isinstance(value, str)]
        text = texts[0] if len(texts) == len(shown) == 1 else json.dumps(shown)
        truncated = done and metadata.get("truncated") is True and metadata.get("terminated") is not True
        problem = metadata.pop("problem", None)
        info = {**metadata, "truncated": truncated}
        return Turn(text, number(reward, self.name), done and not truncated, problem, info)

    def close(self) -> None:
        """Ends the session; the next reset starts another."""
        self._running = False
        self.session.close()
