"""UCT on known laws: simulations per second, their fall as the tree grows, memory, both cores, beside OpenSpiel's bot.

    python benchmarks/uct_speed.py [--only rates growth batch peers] [--open-spiel PYTHON] [--longest 1000000]

- rates: searches of 1,000 and 10,000 simulations; `solver=False`, so that every simulation is made (with a solver small
  games end early), and `solver=True`, with the number of simulations after which it knew the value.
- growth: connect four, and a slippery grid of 100×100 cells from corner to corner, from 10³ simulations to `--longest`;
  what the start is worth as found (the grid's exactly, too); bytes of memory per node.
- batch: 16 roots of 20,000 simulations, in a row and by `plan` with all of them.
- peers: OpenSpiel's C++ bot with one random roll-out per simulation and no solver, in a process of its own that takes
  turns with ours; the median over rounds of the ratio within a round. `--open-spiel`: a Python that has `open_spiel`.

Times are of the processor, of one thread, except for `batch`.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import time

import numpy as np

from inscape import make_world
from inscape.envs.tasks.resolve import resolve_task
from inscape.world_models import UCT, KnownModel, value_iteration
from inscape.world_models.planning.tree_search.uct import bytes_per_node

WORLDS = ("FrozenLake", "FrozenLake8x8", "TicTacToe", "ConnectFour")
PEER = """
import sys, time, pyspiel
for line in sys.stdin:
    name, count = line.split()
    game = pyspiel.load_game(name)
    bot = pyspiel.MCTSBot(game, pyspiel.RandomRolloutEvaluator(1, 0), 2.0, int(count), 500, False, 0, False)
    state, done, began = game.new_initial_state(), 0, time.process_time()
    while time.process_time() - began < 1.0:
        bot.mcts_search(state)
        done += int(count)
    print(done / (time.process_time() - began), flush=True)
"""


def rate(name: str, simulations: int, solver: bool, seconds: float = 1.0) -> tuple[float, float]:
    """Returns simulations made per second of processor time, and how many a search made in the median."""
    world = resolve_task(name).world
    assert world is not None
    model, root = KnownModel(world, compiled=True), world.sample_initial(1, np.random.default_rng(0))
    planner = UCT(simulations, gamma=world.gamma, solver=solver, max_nodes=2 * simulations + 1000)
    planner.plan(model, root, np.random.default_rng(0))  # loads the kernel
    made, began = [], time.process_time()
    while time.process_time() - began < seconds:
        made.append(planner.plan(model, root, np.random.default_rng(len(made)))[0].simulations)
    return sum(made) / (time.process_time() - began), statistics.median(made)


def rates() -> None:
    print("| world | simulations | M simulations/s, `solver=False` | `solver=True` | made |\n|---|---:|---:|---:|---:|")
    for name in WORLDS:
        for simulations in (1000, 10_000):
            plain, (solving, made) = rate(name, simulations, False)[0], rate(name, simulations, True)
            print(f"| {name} | {simulations:,} | {plain / 1e6:.2f} | {solving / 1e6:.2f} | {made:,.0f} |", flush=True)


def growth(longest: int) -> None:
    field = make_world("GridWorld", map=["S" + "F" * 99, *["F" * 100] * 98, "F" * 99 + "G"])
    boards = make_world("ConnectFour")
    exact = value_iteration(field, field.gamma or 0.99, 1e-9).values
    start = field.dynamics().index_of(field.sample_initial(1, np.random.default_rng(0)))[0]
    print(f"exact value of the grid's start: {exact[start]:.3g}")
    print("| world | simulations | M simulations/s | of the rate at 1,000 | value |\n|---|---:|---:|---:|---:|")
    for name, world in (("connect four", boards), ("grid of 100×100, slippery", field)):
        model, root = KnownModel(world, compiled=True), world.sample_initial(1, np.random.default_rng(0))
        first, count = 0.0, 1000
        while count <= longest:
            planner = UCT(count, gamma=world.gamma or 0.99, solver=False, max_nodes=count + 1000)
            if count == 1000:
                planner.plan(model, root, np.random.default_rng(0))  # loads the kernel
            made, began = 0, time.process_time()
            while made == 0 or time.process_time() - began < 0.5:
                plan = planner.plan(model, root, np.random.default_rng(made))[0]
                made += plan.simulations
            found = made / (time.process_time() - began)
            first = first or found
            print(f"| {name} | {count:,} | {found / 1e6:.3f} | {found / first:.2f} | {plan.value:.3g} |", flush=True)
            count *= 10
    print(f"\n{bytes_per_node(UCT(1000), boards)} bytes a node in connect four")


def batch() -> None:
    world = resolve_task("ConnectFour").world
    assert world is not None
    model, roots = KnownModel(world, compiled=True), world.sample_initial(16, np.random.default_rng(0))
    planner, ratios = UCT(20_000, gamma=1.0, solver=False), []
    planner.plan(model, roots[[0]], np.random.default_rng(0))
    for _ in range(5):
        began = time.perf_counter()
        for b in range(16):
            planner.plan(model, roots[[b]], np.random.default_rng(b))
        middle = time.perf_counter()
        planner.plan(model, roots, np.random.default_rng(0))
        ratios.append((middle - began) / (time.perf_counter() - middle))
    print(f"16 roots at once: {statistics.median(ratios):.2f} × as fast as one by one")


def peers(python: str, rounds: int = 5) -> None:
    process = subprocess.Popen([python, "-c", PEER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    print("| game | UCT, M simulations/s | OpenSpiel's C++ bot | ratio |\n|---|---:|---:|---:|")
    for name, theirs in (("TicTacToe", "tic_tac_toe"), ("ConnectFour", "connect_four")):
        for count in (1000, 10_000):
            pairs = []
            for _ in range(rounds):
                own = rate(name, count, False)[0]
                process.stdin.write(f"{theirs} {count}\n")
                process.stdin.flush()
                pairs.append((own, float(process.stdout.readline())))
            own, other = (statistics.median(side) / 1e6 for side in zip(*pairs))
            ratio = statistics.median(mine / other for mine, other in pairs)
            print(f"| {name}, {count:,} | {own:.2f} | {other:.3f} | {ratio:.1f} |", flush=True)
    process.stdin.close()
    process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = ("rates", "growth", "batch", "peers")
    parser.add_argument("--only", nargs="+", choices=parts, default=list(parts))
    parser.add_argument("--open-spiel", metavar="PYTHON")
    parser.add_argument("--longest", type=int, default=1_000_000)
    given = parser.parse_args()
    if "rates" in given.only:
        rates()
    if "growth" in given.only:
        growth(given.longest)
    if "batch" in given.only:
        batch()
    if "peers" in given.only and given.open_spiel:
        peers(given.open_spiel)


if __name__ == "__main__":
    main()
