"""SymPy in a process of its own, with a limit of time and memory: is the derivative of one tree another?

The process is sent trees, not texts, and builds SymPy's objects of them: nothing is evaluated as code there either.
"""

from __future__ import annotations

import json
import select
import subprocess
import sys
from fractions import Fraction
from typing import Any

from inscape.envs.text.worlds.expressions import Tree

MEMORY = 2 << 30


class SymPyProcess:
    """Asks SymPy whether F′ = f; a process that takes too long is ended, and another started when it is needed.

    Args:
        seconds: a question may take.
    """

    def __init__(self, seconds: float = 5.0) -> None:
        self.seconds = seconds
        self._process: subprocess.Popen[str] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"seconds": self.seconds, "_process": None}

    def is_antiderivative(self, candidate: Tree, integrand: Tree) -> bool | None:
        """Returns whether the derivative of `candidate` is `integrand`; None where SymPy does not say in time."""
        process = self._started()
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(json.dumps([_plain(candidate), _plain(integrand)]) + "\n")
            process.stdin.flush()
            ready, _, _ = select.select([process.stdout], [], [], self.seconds)
            answer = process.stdout.readline().strip() if ready else ""
        except OSError:
            answer = ""
        if answer in ("yes", "no", "unknown"):
            return {"yes": True, "no": False}.get(answer)
        self.close()  # it hangs, or has ended for want of memory
        return None

    def _started(self) -> subprocess.Popen[str]:
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                [sys.executable, "-c", f"from {__name__} import serve; serve()"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            assert self._process.stdout is not None
            select.select([self._process.stdout], [], [], 60.0)  # importing SymPy is not part of a question's time
            self._process.stdout.readline()
        return self._process

    def close(self) -> None:
        """Ends the process."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    stream.close()

    def __del__(self) -> None:
        self.close()


def _plain(tree: Any) -> Any:
    if isinstance(tree, Fraction):
        return [tree.numerator, tree.denominator]
    return [_plain(part) for part in tree] if isinstance(tree, tuple) else tree


def serve() -> None:
    """Answers questions on standard input, a line each; what the process runs."""
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    except (ImportError, ValueError, OSError):  # no such limits on this system: time alone is limited
        pass
    import sympy

    print("ready", flush=True)
    for line in sys.stdin:
        candidate, integrand = (_symbolic(sympy, part) for part in json.loads(line))
        try:
            rest = sympy.diff(candidate, sympy.Symbol("x")) - integrand
            found = rest.equals(0)
            if found is None:
                found = True if sympy.simplify(rest) == 0 else None
        except (ArithmeticError, ValueError, TypeError, AttributeError, RecursionError, NotImplementedError):
            found = None
        print({True: "yes", False: "no"}.get(found, "unknown"), flush=True)


def _symbolic(sympy: Any, tree: Any) -> Any:
    kind = tree[0]
    if kind == "num":
        return sympy.Rational(*tree[1])
    if kind == "x":
        return sympy.Symbol("x")
    if kind in ("e", "pi"):
        return sympy.E if kind == "e" else sympy.pi
    parts = [_symbolic(sympy, part) for part in tree[1:]]
    if kind == "-":
        return -parts[0]
    if kind == "+":
        return parts[0] + parts[1]
    if kind == "*":
        return parts[0] * parts[1]
    if kind == "/":
        return parts[0] / parts[1]
    if kind == "^":
        return parts[0] ** parts[1]
    return getattr(sympy, kind)(parts[0])
