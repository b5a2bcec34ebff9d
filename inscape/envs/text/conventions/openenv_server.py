"""Worlds served as OpenEnv environments (https://github.com/huggingface/OpenEnv): one session, one environment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from inscape.envs.text.conventions.foreign import number, package, plain
from inscape.envs.text.conventions.openenv_listening import LocalOnly
from inscape.envs.text.interface import TextEnv
from inscape.envs.text.registry import text_env
from inscape.errors import UsageError

INSTALL = "inscape[openenv]"


def openenv_app(
    what: Any, *, sessions: int = 64, idle_seconds: float | None = 600.0, local: bool = True, **settings: Any
) -> Any:
    """Returns an ASGI application that serves a world as an OpenEnv environment.

    Actions are `{"text": answer}`; observations `{"text": …}` with `done`, `reward` and the metadata `terminated`,
    `truncated`, `problem`, `problems` and `episode_id`. `reset(seed, episode_id)`: the same seed gives the episode that
    `text_env(what)` gives. A session whose connection drops ends at once, an idle one after `idle_seconds`.

    Args:
        what: as `text_env` takes it.
        sessions: at most, at a time; further ones are refused.
        idle_seconds: None keeps idle sessions.
        local: whether only this machine's own names are answered, and no page of another site that a browser has open.
        settings: of the text environment.

    Raises:
        UsageError: OpenEnv is not installed, or there is no such environment.
    """
    if sessions < 1:
        raise UsageError(f"sessions = {sessions}", expected="at least 1")
    probe = text_env(what, **settings)
    if what is probe:
        raise UsageError(
            f"the environment {probe.name}", expected="a name, a world or a task: each session has its own"
        )
    types = package("openenv.core.env_server.types", INSTALL)
    server = package("openenv.core.env_server.http_server", INSTALL)
    action, observation, environment = _classes(types, lambda: text_env(what, **settings), probe)
    app = server.create_fastapi_app(
        environment,
        action,
        observation,
        env_name=probe.name,
        concurrency_config=types.ConcurrencyConfig(max_concurrent_envs=sessions, session_timeout=idle_seconds),
    )
    return LocalOnly(app) if local else app


def _classes(types: Any, make: Callable[[], TextEnv], probe: TextEnv) -> tuple[Any, Any, Any]:
    interface: Any = package("openenv.core.env_server.interfaces", INSTALL).Environment

    class TextAction(types.Action):  # type: ignore[misc]
        text: str

    class TextObservation(types.Observation):  # type: ignore[misc]
        text: str

    class WorldEnvironment(interface):  # type: ignore[misc]
        SUPPORTS_CONCURRENT_SESSIONS = True

        def __init__(self) -> None:
            super().__init__()
            self.env = make()
            self._episode: str | None = None
            self._closed = False

        def reset(self, seed: int | None = None, episode_id: str | None = None, **options: Any) -> Any:
            self._check_open()
            text, info = self.env.reset(seed=seed, options=options or None)
            self._episode = episode_id
            return self._seen(text, None, False, False, info)

        def step(self, action: Any, timeout_s: float | None = None, **_: Any) -> Any:
            self._check_open()
            text, reward, terminated, truncated, info = self.env.step(action.text)
            return self._seen(text, number(reward, self.env.name), terminated, truncated, info)

        def _seen(self, text: str, reward: float | None, terminated: bool, truncated: bool, info: Any) -> Any:
            flags = {"terminated": terminated, "truncated": truncated, "episode_id": self._episode}
            metadata = {**plain(info), **flags}
            return TextObservation(text=text, reward=reward, done=terminated or truncated, metadata=metadata)

        @property
        def state(self) -> Any:
            return types.State(episode_id=self._episode, step_count=self.env.turns)

        def get_metadata(self) -> Any:
            told = probe.instructions or f"the text environment {probe.name}"
            return types.EnvironmentMetadata(name=probe.name, description=told, version="0.1.0")

        def close(self) -> None:
            self._closed = True
            self.env.close()

        def _check_open(self) -> None:
            # OpenEnv ends idle sessions, and would go on answering on a connection that is still open
            if self._closed:
                raise UsageError("the session ended: it was idle", expected="a new connection")

    return TextAction, TextObservation, WorldEnvironment
