"""Alpha-beta and UCT's solver on connect four: exact values of the solved sizes up to 5×5, and mates within six plies
on 7×6.

    python benchmarks/exact_games.py

Prints, for each size and planner, the value, the states entered or simulations made, and processor seconds without
compiling. Then positions of random play on the whole board in which the mover can force a win within six plies, by a
plain search of all lines: in how many of them each planner proves it (UCT with at most 20,000 simulations).
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from inscape import make_world
from inscape.world_models import UCT, AlphaBeta, KnownModel

SIMULATIONS = 30_000_000
SIZES = ((4, 4), (4, 5), (5, 4), (5, 5))


def forced(world, states, plies: int) -> bool:
    """Returns whether the mover can force a win within `plies` plies: all lines, without pruning or memory."""
    for action in np.flatnonzero(world.legal_actions(states)[0]):
        following, reward, _ = world.step(states, np.array([action]), np.random.default_rng(0))
        mover = int(world.mover_of(states)[0])
        if np.asarray(reward)[0, mover] > 0:
            return True
        if plies >= 3 and not world.terminal_of(following)[0]:
            replies = np.flatnonzero(world.legal_actions(following)[0])
            lost = True
            for reply in replies:
                after, reward, _ = world.step(following, np.array([reply]), np.random.default_rng(0))
                if (
                    np.asarray(reward)[0, mover] < 0
                    or world.terminal_of(after)[0]
                    or not forced(world, after, plies - 2)
                ):
                    lost = False
                    break
            if lost:
                return True
    return False


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    rng = np.random.default_rng(0)
    for rows, columns in SIZES:
        world = make_world("ConnectFour", rows=rows, columns=columns)
        start = world.sample_initial(1, rng)
        model = KnownModel(world, compiled=True)
        AlphaBeta(depth=2).plan(model, start, rng)  # compiled from here on
        began = time.process_time()
        plan = AlphaBeta(max_nodes=10**9, table_entries=2**22).plan(model, start, rng)[0]
        seconds = time.process_time() - began
        proven = "proven" if plan.metrics["proven"] else "not proven"
        print(
            f"{rows} × {columns}: value {plan.value:+.0f}, {proven}, {plan.simulations:,} states, {seconds:.1f} s",
            flush=True,
        )
        UCT(100, gamma=1.0).plan(model, start, rng)
        began = time.process_time()
        plan = UCT(SIMULATIONS, gamma=1.0, max_nodes=SIMULATIONS // 2).plan(model, start, rng)[0]
        seconds, proven = time.process_time() - began, "proven" if plan.simulations < SIMULATIONS else "not proven"
        print(
            f"       UCT: value {plan.value:+.0f}, {proven}, {plan.simulations:,} simulations, {seconds:.1f} s",
            flush=True,
        )
    world, wins, found, made = make_world("ConnectFour"), 0, [0, 0], []
    planner, search = AlphaBeta(depth=6), UCT(20_000, gamma=1.0)
    while wins < 40:
        states = world.sample_initial(1, rng)
        for _ in range(int(rng.integers(6, 26))):
            if world.terminal_of(states)[0]:
                break
            states, *_ = world.step(states, world.random_actions(states, rng), rng)
        if not world.terminal_of(states)[0] and forced(world, states, 5):
            wins += 1
            plan = planner.plan(world, states, rng)[0]
            found[0] += plan.value == 1.0 and plan.metrics["proven"] == 1.0
            plan = search.plan(world, states, rng)[0]
            found[1] += plan.value == 1.0 and plan.simulations < 20_000
            made.append(plan.simulations)
    print(
        f"7 × 6, forced wins within six plies: alpha-beta {found[0]} of {wins}, UCT {found[1]} "
        f"({np.median(made):,.0f} simulations in the median, {max(made):,} at most)"
    )


if __name__ == "__main__":
    main()
