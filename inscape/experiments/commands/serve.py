"""`inscape serve`: a world, served to agents of other libraries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from rich.markup import escape
from tyro.conf import Positional, arg

from inscape.errors import UsageError
from inscape.experiments.arguments import parsing as args
from inscape.experiments.commands.output import make_console


@dataclass(frozen=True)
class ServeArguments:
    """Serves a world as text to agents of other libraries; each session has an environment of its own.

    Only this machine is answered unless --host says otherwise: there is no password. Ctrl-C ends it.

    Examples:
      inscape serve FrozenLake --protocol openenv
      inscape serve TextRepair --port 9000 --sessions 8
      inscape serve FrozenLake --write lake_env
    """

    world: Annotated[Positional[str], arg(metavar="WORLD")]
    """A world, a text environment, or PREFIX:ID of another library's."""

    protocol: Literal["openenv"] = "openenv"
    """What is spoken: OpenEnv (JSON over websockets)."""

    host: str = "127.0.0.1"
    """The interface that is listened on."""

    port: Annotated[int, arg(metavar="PORT")] = 8000
    """The port that is listened on; 0 for any that is free."""

    sessions: int = 64
    """Sessions at a time at most."""

    idle: float = 600.0
    """Seconds after which an idle session ends."""

    penalty: float = 0.0
    """What an answer costs that names no action."""

    max_turns: int | None = None
    """Turns of an episode at most."""

    write: Annotated[str | None, arg(metavar="FOLDER")] = None
    """Write a folder with openenv.yaml and the server, for OpenEnv's own tools, and serve nothing."""


def serve_command(argv: Sequence[str]) -> int:
    """Serves a world until Ctrl-C."""
    given = args.parse("serve", ServeArguments, argv)
    if not 0 <= given.port <= 65535:
        raise UsageError(f"--port {given.port}", expected="a number from 1 to 65535, or 0 for any that is free")
    if not given.idle > 0:
        raise UsageError(f"--idle {given.idle}", expected="seconds above 0")
    console = make_console()
    if given.write is not None:
        from inscape.envs.text.conventions.openenv_files import write_openenv

        folder = write_openenv(given.world, given.write, given.port)
        console.print(f"{escape(str(folder))}: openenv.yaml, pyproject.toml, server/app.py", highlight=False)
        return 0
    from inscape.envs.text.conventions.openenv_listening import LOCAL, listening
    from inscape.envs.text.conventions.openenv_server import openenv_app

    settings = {name: value for name in ("penalty", "max_turns") if (value := getattr(given, name))}
    local = given.host in LOCAL
    app = openenv_app(given.world, sessions=given.sessions, idle_seconds=given.idle, local=local, **settings)
    socket, serve = listening(app, given.host, given.port)
    with socket:
        port = socket.getsockname()[1]
        console.print(f"{escape(given.world)} at [bold]http://{given.host}:{port}[/bold] (OpenEnv)", highlight=False)
        console.print(
            f"To play it here: text_env('openenv:http://{given.host}:{port}'). Ctrl-C ends it.", highlight=False
        )
        if not local:
            console.print("Whoever reaches this machine can open sessions: there is no password.")
        serve()
    return 0
