"""What runs as plain Python and what compiled: the choice itself, and that nobody can tell which it was."""

from __future__ import annotations

import logging
import math
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from inscape import World, make_world
from inscape.envs.compile import choice, compile_time
from inscape.envs.compile import cpu as compiler
from inscape.envs.compile.switch import compiled_kernels, kernels_mode, plain_kernels
from inscape.envs.readers.batched import BatchedLaw
from inscape.envs.readers.enumeration import enumerate_dynamics
from inscape.envs.readers.random_play import random_play
from inscape.world_models import UCT, KnownModel, TabularModel
from inscape.world_models.tabular.as_world import world_of

EXAMPLE = Path(__file__).parents[3] / "examples" / "elevator.py"
BATCH = choice.BATCH


class Place(NamedTuple):
    x: int
    height: float


class Size(NamedTuple):
    length: int = 7
    slip: float = 0.25


class Hill(World):
    """A line with slips and heights; its end is the goal."""

    State, Params = Place, Size
    actions, max_episode_steps, branches = ("left", "right"), 40, 2

    def initial(params: Any, branch: int) -> tuple[float, Place]:
        return 1.0, Place(0, 1.0)

    def transition(params: Any, state: Any, action: int, branch: int) -> tuple[float, Place]:
        if branch == 0:
            return params.slip, state
        x = min(max(state.x + 2 * action - 1, 0), params.length - 1)
        return 1.0 - params.slip, Place(x, math.cos(0.3 * x))

    def reward(params: Any, purpose: Any, state: Any, action: int, next_state: Any) -> float:
        return next_state.height - 1.0

    def terminal(params: Any, purpose: Any, state: Any) -> bool:
        return state.x == params.length - 1


class Dividing(Hill):
    """Its reward divides by zero, where machine code goes on with infinity, to 0 in the end, and Python stops."""

    State, Params = Place, Size

    def reward(params: Any, purpose: Any, state: Any, action: int, next_state: Any) -> float:
        return 1.0 / (1.0 + 1.0 / abs(next_state.x - 1.0))


class Drawn(Hill):
    """The same line, with a class of its own, so that nothing was counted for it before."""

    State, Params = Place, Size


@pytest.fixture(autouse=True)
def auto(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test begins with nothing counted, and the choice is free."""
    monkeypatch.setattr(choice, "_usages", {})
    monkeypatch.setattr(choice, "_seconds_of_law", {})
    monkeypatch.setattr(choice, "kernels_mode", lambda: "auto")


def price(monkeypatch: pytest.MonkeyPatch, *, compiling: float, importing: float = 0.0, kept: bool = False) -> None:
    monkeypatch.setattr(compile_time, "typical_seconds", lambda template, name: compiling)
    monkeypatch.setattr(compile_time, "import_seconds", lambda: importing)
    monkeypatch.setattr(compiler, "is_kept", lambda *function: kept)


# ------------------------------------------------------------------------------------------- the choice


def test_as_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    price(monkeypatch, compiling=1e9)
    assert choice.choose(Hill(), BATCH, "steps", 1, True) is True
    price(monkeypatch, compiling=0.0)
    assert choice.choose(Hill(), BATCH, "steps", 1e9, False) is False


@pytest.mark.parametrize(("mode", "chosen"), [("plain", False), ("compiled", True)])
def test_as_the_process_asks(monkeypatch: pytest.MonkeyPatch, mode: str, chosen: bool) -> None:
    monkeypatch.setattr(choice, "kernels_mode", lambda: mode)
    assert choice.choose(Hill(), BATCH, "steps", 1e9 if mode == "plain" else 1) is chosen


def test_small_work_is_plain_and_large_work_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    price(monkeypatch, compiling=1.0)
    monkeypatch.setattr(choice, "_seconds_of_a_call", lambda world: 1e-4)
    assert not choice.choose(Hill(), BATCH, "steps", 9_000)
    assert choice.choose(Hill(), BATCH, "steps", 11_000)


def test_once_compiled_always_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    price(monkeypatch, compiling=1.0)
    monkeypatch.setattr(choice, "_seconds_of_a_call", lambda world: 1e-4)
    assert choice.choose(Hill(), BATCH, "steps", 11_000)
    assert choice.choose(Hill(), BATCH, "steps", 1)
    assert not choice.choose(Hill(), BATCH, "rewards_of", 1)  # each function by itself


def test_what_was_taken_before_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    price(monkeypatch, compiling=1.0)
    world = Hill()
    choice.usage(world, BATCH, "steps").charge(1_000, 0.5)
    assert not choice.choose(world, BATCH, "steps", 900)  # 0.5 s and 0.45 s
    assert choice.choose(world, BATCH, "steps", 1_100)


def test_machine_code_in_the_cache_is_cheap_but_numba_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "_seconds_of_a_call", lambda world: 1e-4)
    price(monkeypatch, compiling=5.0, kept=True, importing=0.7)
    assert not choice.choose(Hill(), BATCH, "steps", 7_000)
    price(monkeypatch, compiling=5.0, kept=True, importing=0.0)
    assert choice.choose(Hill(), BATCH, "rewards_of", 7_000)


def test_a_law_defined_anew_is_counted_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    price(monkeypatch, compiling=1.0)
    choice.usage(Drawn(), BATCH, "steps").charge(10, 0.9)
    monkeypatch.setattr(Drawn, "reward", staticmethod(lambda params, purpose, state, action, next_state: 2.0))
    assert choice.usage(Drawn(), BATCH, "steps").seconds == 0.0


def test_a_step_of_the_law_is_timed_once() -> None:
    world = Hill()
    seconds = choice._seconds_of_a_call(world)
    assert 0 < seconds < 1
    assert choice._seconds_of_a_call(world) == seconds


def test_modes_in_blocks() -> None:
    before = kernels_mode()
    with compiled_kernels():
        assert kernels_mode() == ("plain" if before == "plain" else "compiled")
        with plain_kernels():
            assert kernels_mode() == "plain"
    assert kernels_mode() == before


# ------------------------------------------------------------------------------------------- nobody can tell


def readings(world: World, compiled: bool | None) -> list[Any]:
    """Returns what is read of the world, as bytes and numbers."""
    rng = np.random.default_rng(5)
    states = world.sample_initial(40, rng, compiled=compiled)
    actions = rng.integers(world.num_actions, size=40)
    following, rewards, ended = world.step(states, actions, rng, compiled=compiled)
    probability, outcomes = world.outcomes(following, actions, compiled=compiled)
    table = enumerate_dynamics(world, compiled=compiled)
    plan = UCT(num_simulations=120).plan(KnownModel(world, compiled=compiled), states[[0]], rng)[0]
    assert plan.tree is not None
    played = random_play(world, 3, 50, 1, 20, compiled=compiled)
    arrays = (
        following.floats, following.ints, rewards, ended, probability, outcomes.floats, outcomes.ints,
        world.observe(following, compiled=compiled), world.terminal_of(following, compiled=compiled),
        table.states.floats, table.states.ints, table.next_state, table.probability, table.legal, table.initial,
        plan.visit_counts, plan.action_values, plan.tree.values, played.mean_return,
    )  # fmt: skip
    return [np.ascontiguousarray(array).tobytes() for array in arrays] + [played.episodes]


@pytest.mark.slow  # quickly: test_agreement.py, and the tests that follow
@pytest.mark.compiled
def test_plain_compiled_and_chosen_give_the_same_bits() -> None:
    world = Hill(length=30)
    plain = readings(world, False)
    assert readings(world, None) == plain
    assert readings(world, True) == plain


@pytest.mark.slow
@pytest.mark.compiled
def test_a_search_that_goes_on_compiled_gives_the_same_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    world = Hill(length=30)
    states = world.sample_initial(1, np.random.default_rng(0), compiled=False)

    def search(compiled: bool | None) -> list[bytes]:
        found = UCT(num_simulations=300).plan(KnownModel(world, compiled=compiled), states, np.random.default_rng(1))[0]
        assert found.tree is not None
        return [array.tobytes() for array in (found.visit_counts, found.action_values, found.tree.values)]

    plain = search(False)
    price(monkeypatch, compiling=1e-6)
    assert search(None) == plain
    account = choice.usage(world, "inscape.world_models.planning.kernels.uct", "search")
    assert account.ready
    assert 0 < account.units < 300  # it began in plain Python


def trajectory(world: World, seed: int = 3) -> tuple[list[Any], list[Any]]:
    """Returns what an environment gave, and the functions it stepped with."""
    env, rng = world.env(), np.random.default_rng(0)
    observation, _ = env.reset(seed=seed)
    seen, functions = [observation.tobytes()], []
    for _ in range(120):
        observation, reward, terminated, truncated, _ = env.step(int(rng.integers(world.num_actions)))
        assert (type(reward), type(terminated), type(truncated)) == (float, bool, bool)
        seen.append((observation.tobytes(), reward, terminated, truncated))
        functions.append(env._step)  # type: ignore[attr-defined]
        if terminated or truncated:
            seen.append(env.reset()[0].tobytes())
    return seen, functions


@pytest.mark.compiled
def test_an_environment_that_goes_on_compiled_gives_the_same_trajectory(monkeypatch: pytest.MonkeyPatch) -> None:
    world = Hill()
    price(monkeypatch, compiling=1e9)
    plain, functions = trajectory(world)
    assert functions[0] is functions[-1]
    monkeypatch.setattr(choice, "_usages", {})
    monkeypatch.setattr(choice.Usage, "is_worth_compiling", lambda account, seconds=0.0: account.units >= 50)
    switched, functions = trajectory(world)
    assert switched == plain
    assert functions[0] is not functions[-1]
    monkeypatch.setattr(choice, "kernels_mode", lambda: "compiled")
    compiled, functions = trajectory(world)
    assert compiled == plain
    assert functions[0] is functions[-1]


@pytest.mark.compiled
@pytest.mark.parametrize("autoreset", ["next-step", pytest.param("same-step", marks=pytest.mark.slow)])
def test_few_copies_that_go_on_compiled_give_the_same(monkeypatch: pytest.MonkeyPatch, autoreset: Any) -> None:
    def play(copies: int) -> tuple[list[bytes], Any, Any]:
        env, rng, seen = Hill().vector_env(copies, autoreset, max_episode_steps=9), np.random.default_rng(0), []
        env.reset(seed=3)
        first = env._step
        for _ in range(60):
            seen.append([array[:3].tobytes() for array in env.step(rng.integers(2, size=5)[:copies])[:4]])
        return seen, first, env._step

    price(monkeypatch, compiling=1e9)
    plain, first, last = play(3)
    assert first is last
    monkeypatch.setattr(choice, "_usages", {})
    monkeypatch.setattr(choice.Usage, "is_worth_compiling", lambda account, seconds=0.0: account.units >= 90)
    switched, first, last = play(3)
    assert first is not last
    assert switched == plain
    assert play(5)[0] == plain  # more copies are compiled from the first step on


@pytest.mark.compiled
def test_players_who_take_turns_get_the_same_whatever_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    def play() -> list[Any]:
        env = make_world("TicTacToe").aec_env()
        env.reset(seed=1)
        seen = []
        for agent in env.agent_iter(60):
            observation, reward, terminated, truncated, _ = env.last()
            assert (type(reward), type(terminated)) == (float, bool)
            seen.append((agent, observation["observation"].tobytes(), reward, terminated, truncated))
            mask = observation["action_mask"]
            env.step(None if terminated or truncated else int(np.flatnonzero(mask)[-1]))
        return seen

    price(monkeypatch, compiling=1e9)
    plain = play()
    monkeypatch.setattr(choice, "_usages", {})
    price(monkeypatch, compiling=1e-5)
    assert play() == plain


@pytest.mark.compiled
def test_what_python_cannot_compute_is_computed_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    price(monkeypatch, compiling=1e9)
    world = Dividing()
    env = world.env()
    env.reset(seed=3)
    rewards = [env.step(1)[1] for _ in range(4)]
    assert 0.0 in rewards
    clock = env.unwrapped._copies.clock[0]  # type: ignore[attr-defined]
    assert clock == 5  # a reset and four steps: the step that failed in Python was taken once
    states = world.pack([Place(0, 1.0)])
    assert world.reward_of(states, np.array([1]), world.pack([Place(1, 0.5)]))[0] == 0.0
    with pytest.raises(ZeroDivisionError):
        world.reward_of(states, np.array([1]), world.pack([Place(1, 0.5)]), compiled=False)


# ------------------------------------------------------------------------------------------- nothing is compiled


def test_a_small_world_needs_no_numba(tmp_path: Path) -> None:
    code = f"""
import sys
import numpy as np
from inscape import resolve_task
from inscape.theory_of_mind import Observer, minds_grid
from inscape.world_models import UCT, TabularModel, value_iteration
world = resolve_task({str(EXAMPLE)!r} + ":Elevator").world
observer = Observer(world, minds_grid(["floor 0", "fair"], [2.0], ["soft-eval"]))
observer.update(3, 0)
UCT(num_simulations=50).plan(world, world.sample_initial(1, np.random.default_rng(0)), np.random.default_rng(0))
value_iteration(TabularModel.from_world(world), world.gamma)
env = world.env()
env.reset(seed=0)
env.step(0)
world.random_play(2, 20)
print("numba" in sys.modules)
"""
    environment = {"INSCAPE_CACHE": str(tmp_path), "INSCAPE_KERNELS": "auto", "PYTHONPATH": str(EXAMPLE.parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment
    )  # fmt: skip
    assert done.stderr == ""
    assert done.stdout.strip() == "False"


@pytest.mark.compiled
def test_compiling_is_counted_and_announced_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    monkeypatch.setattr(compiler, "cache_folder", lambda: tmp_path)
    monkeypatch.setattr(compile_time, "WORTH_SAYING", 0.0)
    world, states = Drawn(), Drawn().pack([Place(2, 0.5)])
    compiler._kernels.pop((world.compiled_law, BATCH, True, "exact", ()), None)
    before = compile_time.compile_seconds()
    with caplog.at_level(logging.INFO, logger="inscape"):
        world.terminal_of(states, compiled=True)
        world.observe(states, compiled=True)
        world.terminal_of(states, compiled=True)
    assert compile_time.compile_seconds() > before
    announced = [record.getMessage() for record in caplog.records if record.getMessage().startswith("compiling")]
    assert len(announced) == 1
    assert announced[0].startswith("compiling the law of Drawn: about ")
    before = compile_time.compile_seconds()
    world.terminal_of(states, compiled=True)
    assert compile_time.compile_seconds() == before


def test_tables_are_searched_by_the_same_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    model = TabularModel.from_world(Hill())
    price(monkeypatch, compiling=1e9)
    UCT(num_simulations=40, solver=False).plan(model, np.array([0]), np.random.default_rng(0))
    assert choice.usage(world_of(model), "inscape.world_models.planning.kernels.uct", "search").units == 40


def test_every_batch_method_passes_the_choice_on() -> None:
    """No method of `BatchedLaw` asks for compiled kernels by itself."""
    names = ("sample_initial", "step", "outcomes", "reward_of", "terminal_of", "observe", "legal_actions", "mover_of")
    assert all(getattr(BatchedLaw, name).__kwdefaults__["compiled"] is None for name in names)
