"""`inscape view`: runs in the browser of this machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from rich.markup import escape
from tyro.conf import Positional, arg

from inscape.errors import UsageError
from inscape.experiments.arguments import parsing as args
from inscape.experiments.commands.output import make_console


@dataclass(frozen=True)
class ViewArguments:
    """Serves runs to this machine's browser: learning curves as they grow, episodes, agents step by step, play.

    Only 127.0.0.1 is listened on, and only a page with the token of the printed address is answered. Ctrl-C ends it.

    Examples:
      inscape view
      inscape view experiments/lake
      inscape view runs --port 9000 --no-open
    """

    runs: Annotated[Positional[str], arg(metavar="RUNS-FOLDER")] = "runs"
    """A folder with runs, a run, or the folder of an experiment."""

    port: Annotated[int | None, arg(metavar="PORT")] = None
    """Port to listen on; 0 for any that is free. Without it 8631, or another if that is in use."""

    open: bool = True
    """Open the page in a browser, where there is a display."""


def view_command(argv: Sequence[str]) -> int:
    """Serves runs until Ctrl-C."""
    given = args.parse("view", ViewArguments, argv)
    from inscape.experiments.serving.app import App
    from inscape.experiments.serving.server import FIRST_PORT

    app = App(given.runs)
    viewer = app.viewer(given.port)
    console = make_console()
    try:
        if given.port is None and viewer.port != FIRST_PORT:
            console.print(f"Port {FIRST_PORT} is in use: this is port {viewer.port}.")
        console.print(f"{escape(given.runs)} at [bold]{viewer.url}[/bold]", soft_wrap=True, highlight=False)
        console.print("Ctrl-C ends it.")
        if given.open:
            _open(viewer.url)
        viewer.serve()
    except KeyboardInterrupt:
        console.print("Stopped.")
    finally:
        viewer.close()
        app.close()
    return 0


def _open(url: str) -> None:
    """Opens the browser, where one would be seen."""
    import webbrowser

    from inscape.envs.rendering.rasterizer import has_display

    if has_display():
        try:
            webbrowser.open(url)
        except (webbrowser.Error, OSError) as error:
            raise UsageError(f"no browser could be opened: {error}", hint="--no-open, and open the address") from error
