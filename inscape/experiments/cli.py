"""The command line. It exits 0 for success, 2 for wrong input, 130 after Ctrl-C.

Only what a command needs is imported: `inscape list` loads no torch.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress

from inscape.errors import UsageError, closest, exits_as_errors, out_of_memory, printable, raised_elsewhere
from inscape.experiments.encoding import make_encodable
from inscape.trust import trusting

COMMANDS = {
    "list": "what is known by name: worlds, agents, models, runs",
    "train": "train an agent in a world",
    "evaluate": "mean return with its interval; exact value and regret where the law allows",
    "watch": "see agents act, or recorded episodes: a window, a GIF, an MP4",
    "play": "play yourself, at the keyboard, alone or with others; recorded",
    "solve": "exact values and optimal actions of a world, with a certificate",
    "plan": "search from a world's start; action values beside the exact optimum",
    "collect": "episodes for world models to learn from, in a file or as a Minari data set",
    "imagine": "what would follow from other actions, drawn as ghosts",
    "observe": "what an observer believes an agent wants, step by step",
    "fit": "minds fitted to people's recorded choices; models compared on choices held out",
    "study": "what is to be known about a world, in one page",
    "run": "an experiment file: agents, worlds, seeds; compared in statistics",
    "sweep": "search the settings with which an agent does best in a world",
    "compare": "agents in statistics, from runs or experiments",
    "diff": "in what two runs differ",
    "view": "runs in the browser: live curves, episodes, an agent step by step, play",
    "serve": "a world for agents of other libraries, by OpenEnv's protocol",
    "report": "one HTML file on some runs",
    "export": "a run's agent for others: ONNX, TorchScript, Stable-Baselines3, a model hub",
    "check": "does a world or an agent keep its contract?",
    "bench": "methods compared: inscape bench tabular",
    "demo": "the whole platform once, in three minutes",
}

OTHER_WORDS = {
    **dict.fromkeys(("tune", "optimize", "optimise", "hyperopt", "optuna"), "did you mean 'sweep'?"),
    **dict.fromkeys(("learn", "resume"), "did you mean 'train'?"),
    **dict.fromkeys(("eval", "score"), "did you mean 'evaluate'?"),
    **dict.fromkeys(("enjoy", "render", "show", "record", "video", "replay"), "did you mean 'watch'?"),
    **dict.fromkeys(("ls", "worlds", "agents", "runs", "envs"), "did you mean 'list'?"),
    **dict.fromkeys(("search", "mcts"), "did you mean 'plan'?"),
    **dict.fromkeys(("counterfactual", "whatif", "dream"), "did you mean 'imagine'?"),
    **dict.fromkeys(("test", "validate", "lint"), "did you mean 'check'?"),
    **dict.fromkeys(("plot", "tensorboard"), "did you mean 'report'?"),
    **dict.fromkeys(("dashboard", "ui", "gui", "browse"), "did you mean 'view'?"),
    **dict.fromkeys(("help", "h"), "inscape --help"),
}
"""What other tools call things, and what to try here."""

TRUST = "--trust"
"""Runs the code that a run, an episodes file or a zip names or holds, although this user did not sign it."""

TRUST_HELP = (
    "--trust, with any command: run the code that runs, episodes or zips name or hold, although you did not make them."
)

EXAMPLES = """Examples:
  inscape train q-learning FrozenLake8x8
  inscape solve FrozenLake8x8
  inscape plan FrozenLake8x8 --simulations 50000
  inscape evaluate mcts FrozenLake8x8 --episodes 20
  inscape watch mcts FrozenLake8x8
  inscape play FourGoals
  inscape train --help"""


LAST_SECONDS = 5.0
"""How long the process waits for threads that other people's code left running."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    make_encodable(sys.stdout, sys.stderr)
    code = _code_of(list(sys.argv[1:] if argv is None else argv))
    try:
        if sys.stdout is not None and not sys.stdout.closed:
            sys.stdout.flush()
    except BrokenPipeError:
        code = _reader_left()
    if argv is None:
        _end_with(code)
    return code


def _end_with(code: int) -> None:
    """Sees to it that the process ends: Python would wait for ever for threads that an environment left running."""

    def end() -> None:
        time.sleep(LAST_SECONDS)
        left = [t.name for t in threading.enumerate() if not t.daemon and t is not threading.main_thread()]
        print(f"inscape: threads are still running, and are ended: {printable(', '.join(left))}", file=sys.stderr)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)

    threading.Thread(target=end, name="inscape-end", daemon=True).start()


def _code_of(words: list[str]) -> int:
    # of any command, and of this one only: nothing that is stored can say it
    trusted, words = TRUST in words, [word for word in words if word != TRUST]
    try:
        with trusting(trusted), exits_as_errors(f"inscape {words[0] if words else ''} was running"):
            return _run(words)
    except UsageError as error:
        print(f"inscape: {printable(str(error))}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        return _reader_left()
    except KeyboardInterrupt as interrupt:
        print(f"\n{interrupt}" if str(interrupt) else "\nInterrupted.", file=sys.stderr)
        return 130
    except Exception as error:
        doing = f"inscape {words[0] if words else ''} was running"
        if (told := out_of_memory(error, doing) or raised_elsewhere(error, doing)) is None:
            raise
        print(f"inscape: {printable(str(told))}", file=sys.stderr)
        return 2
    except SystemExit as leaving:  # tyro has said what was wrong, or shown the help
        return leaving.code if isinstance(leaving.code, int) else 2 if leaving.code else 0


def _reader_left() -> int:
    """Returns the code of a command whose reader (`| head`) closed the pipe: as shells count a death by SIGPIPE. What
    is still to be written goes nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    with suppress(OSError, ValueError):  # a stream without a file, as tests put in place
        os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
    return 141


def _run(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help"):
        print(_usage())
        return 0 if words else 2
    if words[0] == "--version":
        import inscape

        print(f"inscape {inscape.__version__}")
        return 0
    command, rest = words[0], words[1:]
    if command not in COMMANDS:
        hint = OTHER_WORDS.get(command.lower().lstrip("-")) or closest(command, COMMANDS)
        raise UsageError(f"unknown command {command!r}", expected=", ".join(COMMANDS), hint=hint)
    _tell_what_takes_time()
    module = importlib.import_module(f"inscape.experiments.commands.{command}")
    code: int = getattr(module, f"{command}_command")(rest)
    return code


def _tell_what_takes_time() -> None:
    """Shows what the library logs while it works (kernels being compiled), once, on standard error."""
    logger = logging.getLogger("inscape")
    if not logger.handlers:
        logger.addHandler(_ToStderr())
        logger.setLevel(logging.INFO)


class _ToStderr(logging.Handler):
    """Writes to what standard error is at the time: a process may run several commands, each with its own."""

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(BrokenPipeError):  # nobody reads what is said beside the work: that ends no work
            print(printable(record.getMessage()), file=sys.stderr)


def _usage() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {what}" for name, what in COMMANDS.items()]
    return "\n".join(
        ["usage: inscape COMMAND …", "", *lines, "", "inscape COMMAND --help says more.", TRUST_HELP, "", EXAMPLES]
    )
