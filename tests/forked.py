"""Processes that have imported what takes seconds, for tests of what commands and programs do in one of their own.

A server imports torch, Stable-Baselines3 and the command line once and forks a child for each request, which runs a
command or a program as a fresh interpreter would: its own working folder, environment variables, output and exit code.
What must not have been imported, and what a signal does to a process that starts, is tested with `subprocess`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
MODULES = (
    "torch", "stable_baselines3", "gymnasium.envs.classic_control", "tensorboard.summary.writer.record_writer",
    "tensorboard.compat.proto.event_pb2", "matplotlib", "inscape.experiments.cli", "inscape.agents.registry",
    "inscape.experiments.runs.training",
)  # fmt: skip


class Forks:
    """The server, started at the first request."""

    def __init__(self) -> None:
        self._server: subprocess.Popen[str] | None = None

    def command(self, *words: str, cwd: str | Path = ".", env: dict[str, str] | None = None) -> Any:
        """Returns what `inscape WORDS` came to, as `subprocess.run` would with `text=True`."""
        return self._run({"words": words}, cwd, env)

    def program(self, source: str, cwd: str | Path = ".", env: dict[str, str] | None = None) -> Any:
        """Returns what `python -c SOURCE` came to."""
        return self._run({"source": source}, cwd, env)

    def close(self) -> None:
        if self._server is not None:
            assert self._server.stdin is not None
            self._server.stdin.close()
            self._server.wait(20)

    def _run(self, what: dict[str, Any], cwd: str | Path, env: dict[str, str] | None) -> Any:
        if self._server is None or self._server.poll() is not None:
            path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
            self._server = subprocess.Popen(
                [sys.executable, "-c", "from tests.forked import serve; serve()"], stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, text=True, cwd=ROOT,
                env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
            )  # fmt: skip
        stdin, stdout = self._server.stdin, self._server.stdout
        assert stdin is not None and stdout is not None
        request = {**what, "cwd": str(Path(cwd).resolve()), "env": dict(os.environ if env is None else env)}
        print(json.dumps(request), file=stdin, flush=True)
        answer = json.loads(stdout.readline())
        return subprocess.CompletedProcess(what.get("words", "-c"), answer["returncode"], answer["out"], answer["err"])


def serve() -> None:
    """Answers requests, a line each, until its input ends."""
    import importlib

    for name in MODULES:
        importlib.import_module(name)
    for line in sys.stdin:
        request = json.loads(line)
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            child = os.fork()
            if child == 0:
                _child(request, out.fileno(), err.fileno())
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            texts = []
            for file in (out, err):
                file.seek(0)
                texts.append(file.read().decode(errors="replace"))
        print(json.dumps({"returncode": status, "out": texts[0], "err": texts[1]}), flush=True)


def _child(request: dict[str, Any], out: int, err: int) -> None:
    """Becomes the process that was asked for; does not return."""
    import atexit
    import signal
    import traceback

    status = 1
    try:
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, place in ((nothing, 0), (out, 1), (err, 2)):
            os.dup2(source, place)
        sys.stdin = os.fdopen(0, closefd=False)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.chdir(request["cwd"])
        os.environ.clear()
        os.environ.update(request["env"])
        sys.path[0] = ""
        status = _exit_code(request)
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        atexit._run_exitfuncs()
        os._exit(status)


def _exit_code(request: dict[str, Any]) -> int:
    try:
        if "words" in request:
            from inscape.experiments.cli import main

            sys.argv = ["inscape", *request["words"]]
            return int(main())
        sys.argv = ["-c"]
        exec(compile(request["source"], "<string>", "exec"), {"__name__": "__main__"})
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0
