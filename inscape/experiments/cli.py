"""The command line. It exits 0 for success, 2 for wrong input, 130 after Ctrl-C.

Only what a command needs is imported: `inscape list` loads no torch.
"""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Sequence

from inscape.errors import UsageError, closest, printable
from inscape.trust import trusting

COMMANDS = {
    "list": "what is known by name: worlds, agents, models, runs",
    "train": "train an agent in a world",
    "evaluate": "mean return with its interval; exact value and regret where the law allows",
    "watch": "see agents act, or recorded episodes: a window, a GIF, an MP4",
    "play": "play yourself, at the keyboard, alone or with others; recorded",
    "solve": "exact values and optimal actions of a world, with a certificate",
    "plan": "search from a world's start; action values beside the exact optimum",
    "observe": "what an observer believes an agent wants, step by step",
    "report": "one HTML file on some runs",
    "check": "does a world or an agent keep its contract?",
    "bench": "methods compared: inscape bench tabular",
    "demo": "the whole platform once, in three minutes",
}

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


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    # of any command, and of this one only: nothing that is stored can say it
    trusted, words = TRUST in words, [word for word in words if word != TRUST]
    try:
        with trusting(trusted):
            return _run(words)
    except UsageError as error:
        print(f"inscape: {printable(str(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as interrupt:
        print(f"\n{interrupt}" if str(interrupt) else "\nInterrupted.", file=sys.stderr)
        return 130
    except SystemExit as leaving:  # tyro has said what was wrong, or shown the help
        return leaving.code if isinstance(leaving.code, int) else 2 if leaving.code else 0


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
        raise UsageError(f"unknown command {command!r}", expected=", ".join(COMMANDS), hint=closest(command, COMMANDS))
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
        print(printable(record.getMessage()), file=sys.stderr)


def _usage() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {what}" for name, what in COMMANDS.items()]
    return "\n".join(
        ["usage: inscape COMMAND …", "", *lines, "", "inscape COMMAND --help says more.", TRUST_HELP, "", EXAMPLES]
    )
