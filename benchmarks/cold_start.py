"""Measures the cold start: the first result in a new world, in a fresh process, with nothing compiled.

Each row is a process of its own with an empty cache, imports included: `python benchmarks/cold_start.py`. The worlds
are those of this file, of 6, 64 and 400 states, a belief problem of 6 states, and `examples/elevator.py`.
`--compile-times` prints what `envs.compile.compile_time.TYPICAL_SECONDS` lists.
"""

from __future__ import annotations

import argparse
import logging
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from inscape import World

ROOT = Path(__file__).resolve().parents[1]
BAR = 2.0  # seconds


# ------------------------------------------------------------------------------------------- the worlds


class Cell(NamedTuple):
    x: int
    y: int


class Size(NamedTuple):
    width: int = 8
    height: int = 8
    slip: float = 0.1  # probability of staying


class Goal(NamedTuple):
    x: int = 0
    y: int = 0


class Grid(World):
    """An empty grid with slips: go to a corner."""

    State, Params, Purpose = Cell, Size, Goal
    actions, max_episode_steps, gamma, branches = ("left", "right", "up", "down"), 200, 0.95, 2
    initial_branches = staticmethod(lambda params: params.width * params.height)

    def initial(params: Any, branch: int) -> tuple[float, Cell]:
        cells = params.width * params.height
        return 1.0 / cells, Cell(branch % params.width, branch // params.width)

    def transition(params: Any, state: Any, action: int, branch: int) -> tuple[float, Cell]:
        if branch == 0:
            return params.slip, state
        x = min(max(state.x - (action == 0) + (action == 1), 0), params.width - 1)
        y = min(max(state.y - (action == 2) + (action == 3), 0), params.height - 1)
        return 1.0 - params.slip, Cell(x, y)

    def reward(params: Any, purpose: Any, state: Any, action: int, next_state: Any) -> float:
        return 1.0 if next_state.x == purpose.x and next_state.y == purpose.y else -0.01

    def terminal(params: Any, purpose: Any, state: Any) -> bool:
        return state.x == purpose.x and state.y == purpose.y

    def purposes(params: Any, purpose: Any) -> dict[str, Goal]:
        return {"here": Goal(0, 0), "there": Goal(params.width - 1, params.height - 1)}


class Doors(NamedTuple):
    tiger: int  # behind which of two doors
    heard: int  # 2: nothing


class Ears(NamedTuple):
    accuracy: float = 0.85


class Listen(World):
    """Two doors, a tiger behind one: listen, or open a door."""

    State, Params = Doors, Ears
    actions, max_episode_steps, gamma = ("listen", "open left", "open right"), 50, 0.95
    branches, initial_branches = 2, 2

    def initial(params: Any, branch: int) -> tuple[float, Doors]:
        return 0.5, Doors(branch, 2)

    def transition(params: Any, state: Any, action: int, branch: int) -> tuple[float, Doors]:
        if action > 0:
            return 0.5, Doors(branch, 2)
        return (params.accuracy if branch == state.tiger else 1.0 - params.accuracy), Doors(state.tiger, branch)

    def reward(params: Any, purpose: Any, state: Any, action: int, next_state: Any) -> float:
        return -1.0 if action == 0 else (-100.0 if action - 1 == state.tiger else 10.0)

    def observation(params: Any, state: Any) -> int:
        return int(state.heard)

    def observations(params: Any) -> int:
        return 3


# world: (what is resolved, settings)
WORLDS: dict[str, tuple[str, dict[str, int]]] = {
    "grid of 6 states": (f"{__file__}:Grid", {"width": 3, "height": 2}),
    "grid of 64 states": (f"{__file__}:Grid", {"width": 8, "height": 8}),
    "grid of 400 states": (f"{__file__}:Grid", {"width": 20, "height": 20}),
    "elevator, 160 states": (str(ROOT / "examples" / "elevator.py") + ":Elevator", {}),
    "tiger, 6 states, hidden": (f"{__file__}:Listen", {}),
}
HIDDEN = "tiger, 6 states, hidden"


# ------------------------------------------------------------------------------------------- what is measured


def posterior(world: World) -> str:
    from inscape.theory_of_mind import Observer, minds_grid

    observer = Observer(world, minds_grid(list(world.goals)[:2], [2.0], ["soft-eval"]))
    posterior = observer.update(len(observer.dynamics) // 2, 0)
    return str(posterior.round(12).tolist())


def plan(world: World) -> str:
    import numpy as np

    from inscape.world_models import UCT

    state = world.pack([world.unpack(world.dynamics().states, len(world.dynamics()) - 1)])
    found = UCT(num_simulations=1000, gamma=world.gamma).plan(world, state, np.random.default_rng(0))[0]
    return f"{found.action} {found.value:.12g} {found.visit_counts.tolist()}"


def value_table(world: World) -> str:
    from inscape.world_models import TabularModel, value_iteration

    return f"{value_iteration(TabularModel.from_world(world), world.gamma).values.sum():.12g}"


def belief(world: World) -> str:
    import numpy as np

    from inscape.world_models import BeliefFilter

    following = BeliefFilter.from_world(world)
    beliefs = following.start(np.array([2]))
    return str(following.observe(beliefs, np.array([0]), np.array([1])).round(12).tolist())


def env_step(world: World) -> str:
    env = world.env()
    env.reset(seed=0)
    rewards = []
    for k in range(20):
        _, reward, terminated, truncated, _ = env.step(k % 3)
        rewards.append(float(reward))
        if terminated or truncated:
            env.reset()
    return str(rewards)


MEASURED = {
    "first posterior": posterior,
    "first plan, UCT of 1,000": plan,
    "first value table": value_table,
    "first belief": belief,
    "first 20 env.step": env_step,
}
COMMAND_LINE = "inscape plan --simulations 1000"


def rows() -> list[tuple[str, str]]:
    """Returns (world, what is measured)."""
    seen = ("first posterior", "first plan, UCT of 1,000", COMMAND_LINE, "first value table", "first 20 env.step")
    of_hidden = ("first belief", "first value table", "first 20 env.step")
    return [(world, what) for world in WORLDS for what in (of_hidden if world == HIDDEN else seen)]


def child(world: str, what: str) -> None:
    """Does one thing in this process and prints its result, the same however it was computed."""
    from inscape import resolve_task

    spec, settings = WORLDS[world]
    found = resolve_task(spec, settings).world
    assert found is not None
    print(MEASURED[what](found))


def measure(world: str, what: str) -> tuple[float, float, str]:
    """Returns (wall seconds, CPU seconds, result) of a fresh process with an empty cache."""
    if what == COMMAND_LINE:
        spec, settings = WORLDS[world]
        options = [part for name, value in settings.items() for part in (f"--world.{name}", str(value))]
        line = ["-m", "inscape", "plan", spec, "--simulations", "1000", *options]
    else:
        line = [__file__, "--child", world, what]
    with tempfile.TemporaryDirectory() as cache:
        variables = {**os.environ, "INSCAPE_CACHE": cache, "NUMBA_CACHE_DIR": f"{cache}/numba"}
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        done = subprocess.run([sys.executable, *line], env=variables, capture_output=True, text=True, check=False)
        wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{world}, {what}:\n{done.stderr}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, cpu, "" if what == COMMAND_LINE else done.stdout.strip()


# ------------------------------------------------------------------------------------------- what compiling takes


def compile_times(name: str) -> None:
    """Compiles what is read of a world and prints the seconds of each function."""
    import numpy as np

    from inscape import resolve_task
    from inscape.envs.compile.switch import compiled_kernels
    from inscape.world_models import UCT

    logging.basicConfig(level=logging.DEBUG, format="%(message)s")
    for other in ("numba", "matplotlib", "asyncio"):
        logging.getLogger(other).setLevel(logging.WARNING)
    world, rng = resolve_task(name).world, np.random.default_rng(0)
    assert world is not None
    with compiled_kernels():
        states = world.sample_initial(4, rng)
        actions = world.random_actions(states, rng)
        world.step(states, actions, rng)
        world.observe(states)
        vector = world.vector_env(4)
        vector.reset(seed=0)
        vector.step(actions)
        world.random_play(4, 10)
        if world.players == 1:
            env = world.env()
            env.reset(seed=0)
            env.step(env.action_space.sample())
        if world.is_enumerable and not world.initial_noise:
            world.dynamics()
        if not world.continuous and not world.simultaneous:
            UCT(num_simulations=10).plan(world, states[[0]], rng)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3, help="processes per row; the median is printed")
    parser.add_argument("--worlds", nargs="+", default=[""], metavar="PART", help="only worlds whose names have PART")
    parser.add_argument("--child", nargs=2, metavar=("WORLD", "WHAT"), help=argparse.SUPPRESS)
    parser.add_argument("--compile-times", metavar="WORLD", help="print what each function of a world's kernels takes")
    given = parser.parse_args()
    if given.child:
        child(*given.child)
        return
    if given.compile_times:
        compile_times(given.compile_times)
        return
    print(f"{'world':26s}{'':34s}{'wall s':>8s}{'most':>8s}{'CPU s':>8s}  load {os.getloadavg()[0]:.1f}", flush=True)
    slow = 0
    for world, what in rows():
        if not any(part in world for part in given.worlds):
            continue
        runs = [measure(world, what) for _ in range(given.repeats)]
        walls = [run[0] for run in runs]
        wall = statistics.median(walls)
        slow += wall > BAR
        cpu = statistics.median(run[1] for run in runs)
        print(f"{world:26s}{what:34s}{wall:8.2f}{max(walls):8.2f}{cpu:8.2f}  {runs[0][2][:70]}", flush=True)
    print(f"bar: {BAR:g} s of wall time, a quiet machine; {slow} rows above it; load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
