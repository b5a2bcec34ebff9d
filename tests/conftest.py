"""Shared fixtures: worlds every layer is tested on; which tests compile kernels.

`make test` runs the suite in two halves, side by side: tests marked `compiled`, and all others with plain kernels
(`INSCAPE_KERNELS=plain`). Of the marked ones,

- `compiled` tests machine code: whatever asks for a kernel gets it compiled;
- `compiled(all=False)` takes long on plain kernels, a learner's training for example: kernels are compiled where that
  takes less time than to run them as plain Python, as in users' work.

Plain `pytest` does so for tests without a mark, too; they must pass either way.
"""

from __future__ import annotations

import functools
import gc
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

# The suite's two halves on two cores: threads of NumPy's BLAS would only wait for each other, at full speed. It reads
# this when it is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import pytest

from inscape.envs.compile.switch import compiled_kernels, is_plain
from tests.forked import Forks

os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
# runs are signed with a secret in the user's configuration folder: tests have one of their own
os.environ["XDG_CONFIG_HOME"] = tempfile.mkdtemp(prefix="inscape-config-")
ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
# One world of each kind. Compiling a world for all its readers takes some ten seconds of a cold start: quick tests that
# go through the catalogue stop at these (and at users' files), `make test-slow` goes on.
ONE_OF_EACH_KIND = {
    "GridWorld", "FrozenLake", "FrozenLake8x8", "FrozenLake-firm", "FrozenLake8x8-firm", "FourGoals",
    "DynaMaze",  # one law so far
    "Taxi",  # sampled without a loop
    "EmptyRoom",  # wide, three entries at a time
    "Tiger",  # small, partly observed
    "CartPole", "Pendulum",  # starts that can only be drawn; continuous actions
    "Household",  # goals as parameters, text
    "TicTacToe", "KuhnPoker",  # in turn, wide; in turn, hidden
    "RockPaperScissors", "Spread",  # all at once: a table; in the plane
}  # fmt: skip


def one_of_each_kind(names: Iterable[str]) -> list[Any]:
    """Returns the names as parameters of a test, slow but for one world of each kind."""
    quick = ONE_OF_EACH_KIND | {f"inscape/{name}-v0" for name in ONE_OF_EACH_KIND}
    return [name if name in quick or ":" in name else pytest.param(name, marks=pytest.mark.slow) for name in names]


def slow_but(quick: Iterable[Any], values: Iterable[Any]) -> list[Any]:
    """Returns the values as parameters of a test, slow but for the quick ones."""
    quick = list(quick)
    return [
        value
        if value in quick
        else pytest.param(*(value if isinstance(value, tuple) else (value,)), marks=pytest.mark.slow)
        for value in values
    ]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Makes cases slow that a `quick` mark leaves out; skips what needs compiled kernels in a process that has none."""
    _slow_but_the_quick_ones(items)
    if is_plain():
        for item in items:
            if item.get_closest_marker("compiled"):
                item.add_marker(pytest.mark.skip(reason="kernels are plain in this process"))


def _slow_but_the_quick_ones(items: list[pytest.Item]) -> None:
    """`quick("a", "b")`: these cases of a test are quick. `quick(every=3)`: the first and every third after it are."""
    cases: dict[tuple[pytest.Item | pytest.Collector | None, str], list[pytest.Item]] = {}
    for item in items:
        if item.get_closest_marker("quick"):
            cases.setdefault((item.parent, item.originalname), []).append(item)  # type: ignore[attr-defined]
    for group in cases.values():
        mark = group[0].get_closest_marker("quick")
        assert mark is not None
        every = mark.kwargs.get("every")
        named = [item.callspec.id for item in group]  # type: ignore[attr-defined]
        if every is None and len(group) > 1 and not set(named) & set(mark.args):
            raise pytest.UsageError(f"{group[0].nodeid}: no case is named {mark.args}")
        for k, (item, name) in enumerate(zip(group, named, strict=True)):
            if k % every if every else name not in mark.args:
                item.add_marker(pytest.mark.slow)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Where only tests marked `compiled` are asked for, files without one are not imported: that takes seconds."""
    wanted = config.option.markexpr.startswith("compiled") and collection_path.suffix == ".py"
    return True if wanted and "mark.compiled" not in collection_path.read_text(encoding="utf-8") else None


def pytest_collection_finish() -> None:
    """Collecting garbage looks at nothing that is there before the first test: a tenth of the time of compiling."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


@pytest.fixture(autouse=True)
def _compiled(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Compiles all kernels in tests marked `compiled`, and in the processes they start."""
    mark = request.node.get_closest_marker("compiled")
    if mark is None or not mark.kwargs.get("all", True):
        yield
        return
    monkeypatch.setenv("INSCAPE_KERNELS", "compiled")
    with compiled_kernels():
        yield


@pytest.fixture(autouse=True, scope="session")
def _one_thread_per_process() -> None:
    """The suite's two halves on two cores: torch's own threads would only get in each other's way."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def _installed_packages_are_read_once() -> Iterator[None]:
    """Every `make_agent` and `make_world` reads the entry points of all installed packages, which takes some 20 ms."""
    from inscape.agents import registry as agents
    from inscape.envs import registry as worlds

    with pytest.MonkeyPatch.context() as patch:
        for module in (agents, worlds):
            patch.setattr(module, "entry_points", functools.cache(module.entry_points))
        yield


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    """Processes of their own for commands and programs, without the seconds that imports take (`tests.forked`)."""
    made = Forks()
    yield made
    made.close()


@pytest.fixture
def gates() -> Iterator[None]:
    """Ordinary environments in which only one action is legal: Gate-v0 says so by its info, AskedGate-v0 if asked."""
    import gymnasium

    gymnasium.register("Gate-v0", "tests.gates:Gate")
    gymnasium.register("AskedGate-v0", "tests.gates:AskedGate")
    yield
    del gymnasium.registry["Gate-v0"], gymnasium.registry["AskedGate-v0"]


@pytest.fixture
def elevator_file() -> str:
    """The user's world of the examples, as it is named on the command line."""
    return f"{EXAMPLES / 'elevator.py'}:Elevator"
