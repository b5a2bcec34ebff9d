"""Machine code on disk: what makes a file of it right, damage, several writers, and what is removed when."""

from __future__ import annotations

import inspect
import linecache
import os
import subprocess
import sys
import time
import traceback
from pathlib import Path

import numpy as np
import pytest
from numba import njit
from numba.core import caching
from numba.core.compiler import CompileResult
from numba.core.options import DefaultOptions

from inscape.envs.compile import kernel_cache
from inscape.envs.compile.kernel_cache import cached_jit, helper_jit
from inscape.errors import UsageError

pytestmark = pytest.mark.compiled

LOW = """
from inscape.envs.compile.kernel_cache import cached_jit

SCALE = 2.0

@cached_jit(nogil=True)
def scale(x):
    return x * SCALE
"""
HIGH = """
from inscape.envs.compile.kernel_cache import cached_jit
from small.low import scale

@cached_jit(nogil=True)
def answer(x):
    total = 0.0
    for k in range(3):
        total += later(scale(x))
    return total

@cached_jit()
def later(x):
    return x + 1.0
"""
RUN = "from small.high import answer; print(answer(3.0), answer.stats.cache_hits)"


def answer(folder: Path) -> str:
    """Returns what a fresh process prints: the value, and how often it found machine code."""
    environment = os.environ | {
        "INSCAPE_CACHE": str(folder / "cache"),
        "PYTHONPATH": os.pathsep.join([str(folder), *sys.path]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "NUMBA_DISABLE_JIT": "0",
    }
    done = subprocess.run([sys.executable, "-c", RUN], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def is_hit(printed: str) -> bool:
    return not printed.endswith("{}") and not printed.endswith("Counter()")


def test_a_callee_edited_in_another_file_is_compiled_anew(tmp_path):
    package = tmp_path / "small"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "low.py").write_text(LOW)
    (package / "high.py").write_text(HIGH)

    first = answer(tmp_path)
    assert first.startswith("21.0")
    assert not is_hit(first)
    kept = sorted((tmp_path / "cache").rglob("*.nbc"))
    assert len(kept) == 1  # what Python calls

    (package / "low.py").write_text("# a comment\n\n" + LOW.replace("def scale(x):", 'def scale(x):\n    """Doc."""'))
    again = answer(tmp_path)
    assert again.startswith("21.0")
    assert is_hit(again)
    assert sorted((tmp_path / "cache").rglob("*.nbc")) == kept

    (package / "low.py").write_text(LOW.replace("2.0", "5.0"))
    changed = answer(tmp_path)
    assert changed.startswith("48.0")
    assert not is_hit(changed)

    (package / "low.py").write_text(LOW)  # back: what was compiled first is right again
    for path in kept:
        path.write_bytes(path.read_bytes()[:100])
    damaged = answer(tmp_path)
    assert damaged.startswith("21.0")
    assert not is_hit(damaged)
    assert is_hit(answer(tmp_path))  # and has been mended


# ---------------------------------------------------------------------------------------------- files


def test_what_is_cut_short_or_spoilt_counts_as_missing(tmp_path):
    path = tmp_path / "folder" / "x.nbc"
    assert kernel_cache.read(path) is None
    kernel_cache.write(path, b"machine code")
    assert kernel_cache.read(path) == b"machine code"
    data = path.read_bytes()
    for first_nonfinite in (b"", data[:10], data[:-1], data[:-1] + b"X", data + b"X"):
        path.write_bytes(first_nonfinite)
        assert kernel_cache.read(path) is None
    assert [other.name for other in path.parent.iterdir()] == ["x.nbc"]


def test_two_writers_leave_one_whole_file(tmp_path):
    program = (
        "import sys; from pathlib import Path; from inscape.envs.compile import kernel_cache as k\n"
        "data = bytes([int(sys.argv[1])]) * 1_000_000\n"
        "for _ in range(30): k.write(Path(sys.argv[2]), data); k.read(Path(sys.argv[2])) or sys.exit('torn')"
    )
    path = str(tmp_path / "x.nbc")
    writers = [subprocess.Popen([sys.executable, "-c", program, str(k), path], cwd=os.getcwd()) for k in (1, 2)]
    assert [writer.wait() for writer in writers] == [0, 0]
    assert kernel_cache.read(Path(path)) in (bytes([1]) * 1_000_000, bytes([2]) * 1_000_000)
    assert os.listdir(tmp_path) == ["x.nbc"]


def test_a_folder_that_cannot_be_written_costs_speed_only(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    kernel_cache.write(blocked / "x.nbc", b"data")
    path = blocked / "law.py"
    module = kernel_cache.load_source("stale_unwritten", path, "def f(x):\n    return x / k\n", {"k": 0})
    assert linecache.getline(str(path), 2) == "    return x / k\n"
    with pytest.raises(ZeroDivisionError) as caught:
        module.f(1)
    assert "return x / k" in "".join(traceback.format_exception(caught.value))
    del sys.modules["stale_unwritten"]


def test_generated_modules_are_real_files(tmp_path):
    path = tmp_path / "law.py"
    module = kernel_cache.load_source("stale_written", path, "def f(x):\n    return x + k\n", {"k": 1})
    assert module.f(1) == 2
    assert inspect.getsource(module.f) == "def f(x):\n    return x + k\n"
    assert Path(inspect.getfile(module.f)) == path
    with pytest.raises(NameError):
        kernel_cache.load_source("stale_written", path, "nothing\n", {})
    assert sys.modules.pop("stale_written") is module


def test_a_change_while_compiling_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(kernel_cache, "cache_folder", lambda: tmp_path)
    table = np.array([1.0])
    scope = {"table": table, "__name__": "stale_edited"}
    exec("def first(k):\n    return table[k]\n", scope)
    compiled = cached_jit()(scope["first"])
    if not hasattr(compiled, "py_func"):
        pytest.skip("Numba is switched off")
    load = compiled._cache.load_overload

    def load_and_edit(*arguments):
        found = load(*arguments)
        table[0] = 2.0
        return found

    monkeypatch.setattr(compiled._cache, "load_overload", load_and_edit)
    assert compiled(0) == 2.0
    assert not list(tmp_path.rglob("*.nbc"))  # named after the array as it was


def test_what_kernels_call_can_be_called_from_python_too(tmp_path, monkeypatch):
    monkeypatch.setattr(kernel_cache, "cache_folder", lambda: tmp_path)
    source = (
        "@helper\ndef twice(x):\n    return 2 * x\n\n"
        "@jit\ndef inside(x, n):\n    if n == 0:\n        return twice(x)\n    return inside(x, n - 1) + 1\n\n"
        "@jit\ndef outside(x):\n    return plain(x) + inside(x, 3)\n\n"
        "@jit\ndef plain(x):\n    return 0 * x\n"
    )
    decorators = {"jit": cached_jit(), "helper": helper_jit(forceinline=True)}
    names = vars(kernel_cache.load_source("stale_called", tmp_path / "stale_called.py", source, decorators))
    assert names["outside"](2) == 7
    files = {path.name.split("-")[0] for path in tmp_path.rglob("*.nbc")}
    if hasattr(names["outside"], "py_func"):  # one that calls itself has one form only
        assert files == {"stale_called.outside", "stale_called.inside"}
    assert names["plain"](1) == 0
    assert names["inside"](5, 1) == 11
    assert names["twice"](4) == 8
    assert names["outside"](2.5) == 8.0
    del sys.modules["stale_called"]


# ---------------------------------------------------------------------------------------------- what is removed


def aged(path: Path, days: float, size: int = 1000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    then = time.time() - days * kernel_cache.DAY
    os.utime(path, (then, then))
    return path


def test_what_was_not_used_for_thirty_days_goes(tmp_path):
    old = aged(tmp_path / "World-1" / "law.py", 31)
    stopped = aged(tmp_path / "World-2" / "x.tmp", 2)
    kept = [aged(tmp_path / "World-2" / "law.py", 29), aged(tmp_path / "functions" / "x.nbc", 0)]
    assert kernel_cache.prune(tmp_path, 10**9) == 2
    assert not old.parent.exists()
    assert not stopped.exists()
    assert all(path.exists() for path in kept)


def test_beyond_the_limit_what_was_used_longest_ago_goes_first(tmp_path):
    files = [aged(tmp_path / f"World-{k}" / "x.nbc", days=k) for k in (1, 2, 3, 4)]
    assert kernel_cache.prune(tmp_path, 2500) == 2
    assert [path.exists() for path in files] == [True, True, False, False]
    fresh = [aged(tmp_path / f"Fresh-{k}" / "x.nbc", days=0) for k in (1, 2, 3)]
    kernel_cache.prune(tmp_path, 10)
    assert all(path.exists() for path in fresh)  # whatever the limit: their writers run
    assert not any(path.exists() for path in files)


def test_reading_marks_as_used(tmp_path):
    path = tmp_path / "x.nbc"
    kernel_cache.write(path, b"data")
    source = tmp_path / "law.py"
    kernel_cache.write_text(source, "k = 1\n")
    for file in (path, source):
        os.utime(file, (0, 0))
    kernel_cache.read(path)
    kernel_cache.write_text(source, "k = 1\n")
    assert kernel_cache.prune(tmp_path, 10**9) == 0
    assert source.read_text() == "k = 1\n"


def test_a_file_used_while_pruning_stays(tmp_path, monkeypatch):
    path = aged(tmp_path / "x.nbc", 40)
    stat = os.stat

    def used_meanwhile(*arguments, **options):
        state = stat(*arguments, **options)
        os.utime(path)
        return state

    monkeypatch.setattr(kernel_cache.os, "stat", used_meanwhile)
    assert kernel_cache.prune(tmp_path, 1) == 0
    assert path.exists()


def test_pruning_happens_once_a_day(tmp_path):
    old = aged(tmp_path / "a" / "x.nbc", 40)
    kernel_cache.prune_daily(tmp_path, 10**9)
    assert not old.exists()
    another = aged(tmp_path / "a" / "y.nbc", 40)
    start = time.perf_counter()
    kernel_cache.prune_daily(tmp_path, 10**9)
    assert time.perf_counter() - start < 5e-3
    assert another.exists()
    os.utime(tmp_path / ".pruned", (0, 0))
    kernel_cache.prune_daily(tmp_path, 10**9)
    assert not another.exists()


@pytest.mark.parametrize("text", ["", "many", "0", "-5", "nan", "inf"])
def test_a_limit_that_is_no_number_is_refused(text, monkeypatch):
    monkeypatch.setenv("INSCAPE_CACHE_MB", text)
    with pytest.raises(UsageError, match="INSCAPE_CACHE_MB"):
        kernel_cache.size_limit()


def test_the_limit_is_a_setting(monkeypatch):
    monkeypatch.delenv("INSCAPE_CACHE_MB", raising=False)
    assert kernel_cache.size_limit() == 2**30
    monkeypatch.setenv("INSCAPE_CACHE_MB", "0.5")
    assert kernel_cache.size_limit() == 2**19


# ---------------------------------------------------------------------------------------------- Numba's own


def test_the_private_handles_of_numba_are_there():
    """Each is used in `inscape.envs.compile.kernel_cache` alone; a new Numba that lacks one fails here first."""
    compiled = njit(lambda x: x)
    if not hasattr(compiled, "py_func"):
        pytest.skip("Numba is switched off")
    assert callable(compiled._compile_for_args)
    assert compiled._can_compile is True
    assert isinstance(compiled._cache, caching._Cache)
    assert compiled.targetoptions["nopython"] is True
    assert callable(compiled.get_call_template)
    assert callable(compiled.get_overload)
    assert {"no_cpython_wrapper", "no_cfunc_wrapper"} <= set(dir(DefaultOptions))
    assert hasattr(compiled, "locals")
    assert set(caching._Cache.__abstractmethods__) == {
        "cache_path", "load_overload", "save_overload", "enable", "disable", "flush",
    }  # fmt: skip
    compiled(1)
    result = compiled.overloads[compiled.signatures[0]]
    assert result.lifted == ()
    assert result.library.has_dynamic_globals is False
    assert len(result._reduce()) == len(inspect.signature(CompileResult._rebuild).parameters) - 1
    assert len(result.codegen.magic_tuple()) > 0
