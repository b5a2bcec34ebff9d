"""The law recovered as a program: rules of grids with keys from 200 transitions.

For each grid: the code of rules, map and data beside the true law's code of the same data, the same for `tabular`; the
probability of slipping; the regret of planning by the recovered rules on 20 maps never seen; steps a second.

python -m benchmarks.program_induction [--seeds 10] [--maps 20]
"""

from __future__ import annotations

import argparse
import math
import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from inscape.envs.data.trajectory import Trajectory
from inscape.envs.loading import load_class
from inscape.world_models import KnownModel, fit_model, make_model, regret, value_iteration

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "key_grid.py"
SLIPS = (0.2, 1 / 3, 0.8, 2 / 3, 0.37)


def main() -> None:
    """Prints a row for each grid."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--maps", type=int, default=20)
    parser.add_argument("--steps", type=int, default=200)
    given = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f}")
    for known in (True, False):
        print("the map's letters given, their meaning not:" if known else "nothing given but episodes:")
        grids(given.seeds, given.maps, given.steps, known)


def random_map(rng: np.random.Generator) -> str:
    """Returns a map of two rooms, a key in the left one, a locked door between them, the goal in the right one."""
    rows, columns = int(rng.integers(4, 7)), int(rng.integers(7, 10))
    wall = int(rng.integers(3, columns - 2))
    cells = np.where(rng.random((rows, columns)) < 0.6, "F", ".")
    cells[:, wall] = "#"
    cells[rng.integers(rows), wall] = "D"
    left = [(r, c) for r in range(rows) for c in range(wall - 1)]  # the column beside the door is left free
    right = [(r, c) for r in range(rows) for c in range(wall + 2, columns)]
    picked = rng.permutation(len(left))
    for letter, where in zip("SK#", picked):
        cells[left[where]] = letter
    picked = rng.permutation(len(right))
    for letter, where in zip("GH", picked):
        cells[right[where]] = letter
    return "/".join("".join(row) for row in cells)


def solvable(world: Any) -> bool:
    """Returns whether the goal can be reached."""
    table = KnownModel(world).tabular()
    return float(table.initial @ value_iteration(table, 0.95, 1e-10).values) > 0.05


def key_grid(rng: np.random.Generator, slip: float) -> Any:
    """Returns a key grid on a random map from which the goal can be reached."""
    made = load_class(f"{EXAMPLE}:KeyGrid", "a world")
    while not solvable(world := made(map=random_map(rng), slip=slip)):
        pass
    return world


TOURS = ("DKH", "DKG")


def explore(world: Any, steps: int, rng: np.random.Generator) -> list[Trajectory]:
    """Returns episodes of at most `steps` steps in all: tours past letters of the map, every fifth action at random.

    Who explores knows the map and heads for its letters through whatever is no wall, closed doors included.
    """
    rows = world.settings["map"].split("/")
    episodes: list[Trajectory] = []
    env = world.env()
    while steps > 0:
        tour = list(TOURS[len(episodes) % len(TOURS)])
        sees, _ = env.reset(seed=int(rng.integers(2**31)))
        observations, actions, rewards, ended, bumps = [sees], [], [], False, 0
        for _ in range(min(steps, 60)):
            at = int(sees[0]), int(sees[1])
            while tour and (rows[at[0]][at[1]] == tour[0] or bumps > 2):
                tour, bumps = tour[1:], 0
            way = toward(rows, at, tour[0] if tour else "G")
            action = int(rng.integers(4)) if rng.random() < 0.2 else way
            sees, reward, ended, cut, _ = env.step(action)
            bumps += tour[:1] == ["D"] and at == (int(sees[0]), int(sees[1]))
            observations.append(sees)
            actions.append(action)
            rewards.append(reward)
            if ended or cut:
                break
        steps -= len(actions)
        seen, gained = np.array(observations), np.array(rewards, np.float64)
        episodes.append(Trajectory(seen, np.array(actions), gained, bool(ended), not ended))
    return episodes


def toward(rows: list[str], at: tuple[int, int], letter: str) -> int:
    """Returns the first action of a shortest way to a letter, walls alone being in the way."""
    first: dict[tuple[int, int], int] = {at: 0}
    queue = [at]
    for cell in queue:
        if rows[cell[0]][cell[1]] == letter and cell != at:
            return first[cell]
        for action, (down, right) in enumerate(((-1, 0), (0, 1), (1, 0), (0, -1))):
            to = cell[0] + down, cell[1] + right
            inside = 0 <= to[0] < len(rows) and 0 <= to[1] < len(rows[0])
            if inside and to not in first and rows[to[0]][to[1]] != "#":
                first[to] = action if cell == at else first[cell]
                queue.append(to)
    return 0


def code_of(world: Any, episodes: list[Trajectory]) -> float:
    """Returns the true law's code length of episodes, in bits."""
    return -sum(KnownModel(world).log_prob(episode) for episode in episodes) / math.log(2)


def online_code(model: Any, episodes: list[Trajectory]) -> float:
    """Returns the code length of episodes in which each transition is learned once it is coded, in bits."""
    report = fit_model(model, episodes)
    return report.prequential_bits_per_step * report.transitions


def grids(seeds: int, maps: int, steps: int, known: bool) -> None:
    """Prints a row for each grid, and what holds of all."""
    print(
        f"{'slip':>6}{'steps':>6}{'found':>9}{'true':>8}{'program':>9}{'tabular':>9}{'ratio':>7}{'regret':>10}{'seconds':>9}"
    )
    rows = []
    for seed in range(seeds):
        for slip in SLIPS:
            rng = np.random.default_rng([seed, round(1000 * slip)])
            world = key_grid(rng, slip)
            episodes = explore(world, steps, rng)
            model = make_model("program", world, map=world.settings["map"] if known else "")
            began = time.process_time()
            fit_model(model, episodes)
            took = time.process_time() - began
            best, true = model.programs[0], code_of(world, episodes)
            excess = best.bits - true
            table = online_code(make_model("tabular", world), episodes) - true
            chance = model.world().params.chances[1]
            lost = transfer(model, slip, maps, rng)
            rows.append(
                (
                    slip,
                    1 - float(chance[0]),
                    excess / table,
                    lost,
                    took,
                    counted_error(world, slip, episodes),
                    met(world, episodes),
                )
            )
            found, size = 1 - float(chance[0]), sum(len(episode) for episode in episodes)
            print(f"{slip:6.3f}{size:6}{found:9.4f}{true:8.1f}{best.bits:9.1f}{table + true:9.1f}", end="")
            print(f"{excess / table:7.3f}{lost:10.1e}{took:9.2f}", flush=True)
    named = [row for row in rows if row[0] != SLIPS[-1]]
    print(f"excess over the true law ≤ 1/5 of tabular's: {sum(row[2] <= 0.2 for row in rows)} of {len(rows)}")
    print(f"slips that are fractions, exact: {sum(abs(row[0] - row[1]) < 1e-12 for row in named)} of {len(named)}")
    whole = [row for row in named if row[6]]
    exact, every = (sum(row[3] <= 1e-9 for row in some) for some in (whole, named))
    print(f"regret ≤ 1e-9 on {maps} unseen maps, fraction slips: {every} of {len(named)}")
    print(f"of those whose steps met every kind of cell: {exact} of {len(whole)}")
    within = sum(abs(row[0] - row[1]) <= 2 * row[5] for row in rows)
    print(f"slips within two standard errors of counts of slips seen on ice: {within} of {len(rows)}")
    if known:
        speed(model.world())


def met(world: Any, episodes: list[Trajectory]) -> bool:
    """Returns whether episodes met every kind: ice, key, goal, pit, and the door, both passed and refused."""
    rows, seen = world.settings["map"].split("/"), set()
    for one in episodes:
        places = [(int(row), int(column), int(key)) for row, column, key in one.observations]
        seen |= {rows[row][column] for row, column, _ in places}
        for (row, column, key), then, action in zip(places, places[1:], one.actions.tolist(), strict=False):
            down, right = ((-1, 0), (0, 1), (1, 0), (0, -1))[action]
            inside = 0 <= row + down < len(rows) and 0 <= column + right < len(rows[0])
            if inside and rows[row + down][column + right] == "D" and not key and then[:2] == (row, column):
                seen.add("refused")
    return seen >= {"F", "K", "G", "H", "D", "refused"}


def counted_error(world: Any, slip: float, episodes: list[Trajectory]) -> float:
    """Returns the standard error of a frequency over as many moves as were made on ice."""
    rows = world.settings["map"].split("/")
    moves = sum(rows[row][column] == "F" for one in episodes for row, column, _ in one.observations[:-1].tolist())
    return math.sqrt(slip * (1 - slip) / max(moves, 1))


def transfer(model: Any, slip: float, maps: int, rng: np.random.Generator) -> float:
    """Returns the largest regret of planning by the recovered rules on maps never seen; infinite: a kind never met."""
    worst = 0.0
    for _ in range(maps):
        true = key_grid(rng, slip)
        try:
            rules = KnownModel(model.world(map=true.settings["map"]))
        except ValueError:
            return math.inf
        worst = max(worst, regret(rules, true).regret)
    return worst


def speed(world: Any) -> None:
    """Prints the steps a second of random play on the vector kernel."""
    best = 0.0
    world.random_play(4096, 100)
    for _ in range(5):
        began = time.process_time()
        played = world.random_play(4096, 5000, threads=1)
        best = max(best, played.steps / (time.process_time() - began))
    print(
        f"recovered law, compiled: {best / 1e6:.0f} M steps a second of one processor (load {os.getloadavg()[0]:.1f})"
    )


if __name__ == "__main__":
    main()
