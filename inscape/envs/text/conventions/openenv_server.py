"""Worlds served as OpenEnv environments (https://github.com/huggingface/OpenEnv): one session, one environment."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from inscape.envs.text.conventions.foreign import number, package, plain
from inscape.envs.text.interface import TextEnv
from inscape.envs.text.registry import text_env
from inscape.errors import UsageError

INSTALL = "inscape[openenv]"
LOCAL = ("127.0.0.1", "localhost", "::1")
Scope = Mapping[str, Any]


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
    return _LocalOnly(app) if local else app


def _classes(types: Any, make: Callable[[], TextEnv], probe: TextEnv) -> tuple[Any, Any, Any]:
    interfaces = package("openenv.core.env_server.interfaces", INSTALL)

    class TextAction(types.Action):  # type: ignore[misc]
        text: str

    class TextObservation(types.Observation):  # type: ignore[misc]
        text: str

    class WorldEnvironment(interfaces.Environment):  # type: ignore[misc]
        SUPPORTS_CONCURRENT_SESSIONS = True

        def __init__(self) -> None:
            super().__init__()
            self.env = make()
            self._episode: str | None = None

        def reset(self, seed: int | None = None, episode_id: str | None = None, **options: Any) -> Any:
            text, info = self.env.reset(seed=seed, options=options or None)
            self._episode = episode_id
            return self._seen(text, None, False, False, info)

        def step(self, action: Any, timeout_s: float | None = None, **_: Any) -> Any:
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
            self.env.close()

    return TextAction, TextObservation, WorldEnvironment


class _LocalOnly:
    """Answers requests to this machine's own names only, and none from pages of other sites (DNS rebinding)."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Callable[[], Awaitable[Any]], send: Callable[..., Any]) -> None:
        if scope["type"] in ("http", "websocket"):
            headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
            named = [f"http://{headers.get(b'host', '')}", headers.get(b"origin", "http://localhost")]
            if any(urlsplit(one).hostname not in LOCAL for one in named):
                if scope["type"] == "websocket":
                    await receive()
                    return await send({"type": "websocket.close", "code": 1008})
                await send({"type": "http.response.start", "status": 403, "headers": []})
                return await send({"type": "http.response.body", "body": b"only this machine is answered"})
        await self.app(scope, receive, send)
