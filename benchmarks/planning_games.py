"""Measures what the planning issue asks of games: `python benchmarks/planning_games.py`.

Kuhn poker to −1/18, Leduc poker to an exploitability of 1e-3, exact values of boards.
"""

from __future__ import annotations

import time

import numpy as np

from inscape import make_world
from inscape.world_models import GameTree, cfr, game_values


def main() -> None:
    began = time.perf_counter()
    kuhn = cfr("KuhnPoker", 20_000, tolerance=1e-6)
    print(f"Kuhn poker: value −1/18 {kuhn.returns[0] + 1 / 18:+.1e}, {kuhn.iterations:,} iterations, "
          f"{time.perf_counter() - began:.1f} s")  # fmt: skip
    began = time.perf_counter()
    tree = GameTree.from_world("LeducPoker")
    built = time.perf_counter() - began
    leduc = cfr(tree, 100_000, tolerance=1e-3)
    print(f"Leduc poker: {len(tree):,} histories, {tree.num_information_sets} information sets, tree {built:.1f} s; "
          f"exploitability {leduc.exploitability:.2e} after {leduc.iterations:,} iterations, {leduc.seconds:.1f} s; "
          f"value {leduc.returns[0]:.4f}")  # fmt: skip
    for name, settings in (("TicTacToe", {}), ("ConnectFour", {"rows": 4, "columns": 4})):
        began = time.perf_counter()
        found = game_values(make_world(name, **settings))
        print(f"{name} {settings or ''}: value {np.round(found.value, 9).tolist()}, {len(found.states):,} states, "
              f"{time.perf_counter() - began:.1f} s")  # fmt: skip


if __name__ == "__main__":
    main()
