"""How worlds become kernels: caching, fingerprints, and what is said when a law does not compile."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import traceback
from pathlib import Path
from typing import NamedTuple

import gymnasium
import numpy as np
import pytest

from inscape.envs.compile.adapter import view_layout
from inscape.envs.compile.cpu import fingerprint, law_module
from inscape.envs.law.layout import Layout
from inscape.envs.tasks.resolve import resolve_task
from inscape.envs.world import World
from inscape.errors import UsageError
from inscape.experiments.cli import main

pytestmark = pytest.mark.compiled

STEP = 2


def twice(x):
    return x * STEP


class Count(NamedTuple):
    n: int


class Counter(World):
    """Counts up; helpers and constants of the module are compiled with it."""

    State = Count
    actions = ("up", "stay")

    def initial(params, branch):
        return 1.0, Count(1)

    def transition(params, state, action, branch):
        return 1.0, Count(twice(state.n) if action == 0 else state.n)

    def reward(params, purpose, state, action, next_state):
        return float(next_state.n)


def after_one_step(world):
    states, rewards, _ = world.step(world.pack([Count(3)]), np.array([0]), np.random.default_rng(0))
    return int(states.ints[0, 0]), float(rewards[0])


def test_helpers_are_compiled_with_the_law():
    assert after_one_step(Counter()) == (6, 6.0)


def test_the_fingerprint_sees_what_the_law_reaches(monkeypatch):
    law = Counter().compiled_law
    before = fingerprint(law)
    assert fingerprint(law) == before
    monkeypatch.setitem(globals(), "STEP", 3)
    changed = fingerprint(law)
    assert changed != before
    monkeypatch.setitem(globals(), "twice", lambda x: x + x + x)
    assert fingerprint(law) not in (before, changed)


def write_world(path: Path, factor: int) -> None:
    path.write_text(
        textwrap.dedent(f"""
        from typing import NamedTuple
        from inscape import World

        class State(NamedTuple):
            n: int

        def grow(n):
            return n * {factor}

        class Growth(World):
            State = State
            actions = ("go",)
            def initial(params, branch):
                return 1.0, State(1)
            def transition(params, state, action, branch):
                return 1.0, State(grow(state.n))
            def reward(params, purpose, state, action, next_state):
                return 0.0 + next_state.n
        """)
    )


RUN = """
import sys
from inscape import resolve_task
env = resolve_task(sys.argv[1]).env()
env.reset(seed=0)
print(env.step(0)[1])
"""


def run(target: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", RUN, target],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.mark.slow
def test_an_edited_world_is_compiled_anew_and_an_unwritable_cache_only_costs_time(tmp_path):
    path, cache = tmp_path / "growth.py", tmp_path / "cache"
    target = f"{path}:Growth"
    write_world(path, 2)
    assert run(target, INSCAPE_CACHE=str(cache)) == "2.0"
    kept = sorted(cache.rglob("*.nbc"))
    assert kept
    assert run(target, INSCAPE_CACHE=str(cache)) == "2.0"  # from the cache
    assert sorted(cache.rglob("*.nbc")) == kept
    write_world(path, 5)
    assert run(target, INSCAPE_CACHE=str(cache)) == "5.0"
    nowhere = tmp_path / "file"
    nowhere.write_text("")
    assert run(target, INSCAPE_CACHE=str(nowhere)) == "5.0"


class Mixed(Counter):
    def transition(params, state, action, branch):
        if action == 1:
            return 1.0, Count(state.n / 2)
        return 1.0, Count(state.n)


def test_a_law_that_does_not_compile_is_explained():
    with pytest.raises(UsageError, match="the law of Mixed does not compile") as caught:
        after_one_step(Mixed())
    told = str(caught.value)
    assert "Count(state.n / 2)" in told
    assert "inscape check" in told
    assert "numba" not in told.lower()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "no law function 'initial'"),
        ({"State": Count, "actions": ()}, "no law function 'initial'"),
        ({**vars(Counter), "actions": ()}, "has no actions"),
        ({**vars(Counter), "initial": lambda params: (1.0, Count(0))}, "initial takes 1 arguments"),
        ({**vars(Counter), "State": int}, "expected: a typing.NamedTuple class"),
        ({**vars(Counter), "State": NamedTuple("S", [("x", list)])}, "field 'x'"),
        ({**vars(Counter), "observation": lambda params, state: state.n}, "not observations"),
        ({**vars(Counter), "observations": lambda params: "many"}, "returned 'many'"),
    ],
)
def test_half_written_worlds_are_refused(body, message):
    kept = {k: v for k, v in body.items() if not k.startswith("__")}
    cls = type("Broken", (World,), {"State": Count} | kept)
    with pytest.raises(UsageError, match=message):
        cls().env()


def test_a_world_that_overrides_observation_space_is_told_the_name():
    with pytest.raises(UsageError, match="observations"):
        type("Old", (World,), {"observation_space": lambda params: None})


def test_settings_are_checked(elevator_file):
    with pytest.raises(UsageError, match=r"Elevator.floors = 2.5\n.*expected: an integer"):
        resolve_task(elevator_file, {"floors": 2.5})
    with pytest.raises(UsageError, match="no setting 'flors'"):
        resolve_task(elevator_file, {"flors": 2})


class Leaky(Counter):
    """Loses a tenth of its probability."""

    branches = 2

    def transition(params, state, action, branch):
        return 0.45, Count(state.n + branch)


def test_probabilities_that_do_not_sum_to_one_are_refused_before_anything_is_learned():
    for reader in (Leaky().env, lambda: Leaky().vector_env(4)):
        with pytest.raises(UsageError, match=r"under action 'up' have probabilities summing to 0.9"):
            reader()


class Nested(Counter):
    class Inner(NamedTuple):
        n: int

    State = Inner

    def initial(params, branch):
        return 1.0, Nested.State(1)


def test_a_nested_state_is_told_where_to_go():
    with pytest.raises(UsageError, match="define them at module level"):
        Nested().sample_initial(1, np.random.default_rng(0))


class Formatted(Counter):
    def transition(params, state, action, branch):
        return 1.0, Count(len(f"{state.n:03d}"))


def test_what_numba_cannot_read_is_a_usage_error_too():
    with pytest.raises(UsageError, match="does not compile"):
        after_one_step(Formatted())


TEMPLATE = "from inscape.envs.kernels.names import jit\n\nSTEPS = 3\n\n\n@jit\ndef answer():\n    return STEPS * 2\n"


@pytest.mark.parametrize("compiled", [True, False])
def test_one_template_makes_a_kernel_for_each_constant(compiled, tmp_path, monkeypatch):
    (tmp_path / "six_template.py").write_text(TEMPLATE)
    monkeypatch.syspath_prepend(tmp_path)
    world = Counter()
    made = [
        world.kernel("six_template", compiled, constants=constants) for constants in (None, {"STEPS": 5}, {"STEPS": 7})
    ]
    assert [module.answer() for module in made] == [6, 10, 14]
    assert world.kernel("six_template", compiled, constants={"STEPS": 5}) is made[1]
    with pytest.raises(UsageError, match="0 lines `STOPS"):
        world.kernel("six_template", compiled, constants={"STOPS": 1})


class Nest(NamedTuple):
    inner: Count


class Wide(Counter):
    """Its view holds a state, and so cannot be packed."""

    def observation_view(params, state) -> Nest:
        return Nest(state)

    def observation_entry(params, view, k):
        return float(view.inner.n + k)

    def observations(params):
        return gymnasium.spaces.Box(-np.inf, np.inf, (2, 2), np.float32)


def test_a_view_that_cannot_be_packed_is_worked_out_where_it_is_needed():
    world = Wide()
    observation, _ = world.vector_env(3).reset(seed=0)
    assert view_layout(type(world)) is None
    assert observation.tolist() == [[[1, 2], [3, 4]]] * 3
    assert Layout.holds(Count, {})
    assert not Layout.holds(Nest, {})
    assert not Layout.holds(tuple[int, int], {})


def test_the_generated_code_of_a_law_can_be_seen(elevator_file, capsys):
    assert main(["check", elevator_file, "--show-law"]) == 0
    printed = capsys.readouterr().out
    path = Path(printed.splitlines()[0].removeprefix("# "))
    assert path.read_text() == printed.split("\n", 1)[1]
    assert "def load_state(F, I, i):" in printed
    assert main(["check", "random", "CartPole", "--show-law"]) == 2
    assert "random has no law to show" in capsys.readouterr().err


def test_a_traceback_shows_the_generated_code():
    world = Counter()
    law = law_module(world.compiled_law, compiled=False)
    with pytest.raises(IndexError) as caught:
        law.load_state(np.zeros((0, 1)), np.zeros((0, 1)), 0)
    assert "return State(int(I[0, i]))" in "".join(traceback.format_exception(caught.value))
