"""Do bits buy regret? Exact excess bits of learned models beside the exact regret of planning in them.

A triple is a world, a model and a size of data. For each: the excess KL over all state-action pairs and over the data's
own distribution, the regret of planning in the model, and the simulation lemma checked on two policies, the one planned
and uniform play: |V − V̂| ≤ γ·R/(1 − γ)² · mean √(KL/2). Infinite KLs are counted apart.

python -m benchmarks.bits_and_regret [--seeds 4] [--out bits_and_regret.png]
"""

from __future__ import annotations

import argparse
import os
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from inscape import make_world, rollout
from inscape.world_models import exact_bits, fit_model, make_model, regret, value_gap

GAMMA = 0.95
SIZES = (10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000)
"""Steps learned from."""
PRIORS = (0.1, 0.5, 2.0)
WORLDS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("FrozenLake", "FrozenLake", {}),
    ("RiverSwim", "RiverSwim", {}),
    *((f"Garnet {seed}", "Garnet", {"states": 20, "num_actions": 4, "seed": seed}) for seed in range(6)),
    ("FourGoals", "FourGoals", {}),
    ("Chain", "Chain", {}),
)


def main() -> None:
    """Prints a line for each family and writes the plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--out", default="", help="write the plot there (.png)")
    given = parser.parse_args()
    began, busy = time.perf_counter(), time.process_time()
    rows: list[dict[str, Any]] = []
    for name, world, settings in WORLDS:
        for seed in range(given.seeds):
            rows.extend(triples(name, make_world(world, **settings), seed))
    violated = sum(row["violated"] for row in rows)
    infinite = sum(row["infinite"] for row in rows)
    print(f"{'family':14}{'triples':>8}{'Spearman':>10}{'on the data':>13}{'tightest':>10}")
    for family, group in families(rows).items():
        rank, own = (spearman([r[key] for r in group], [r["regret"] for r in group]) for key in ("excess", "own"))
        print(f"{family:14}{len(group):8}{rank:10.3f}{own:13.3f}{max(r['tightest'] for r in group):10.4f}")
    print(
        f"{len(rows):,} triples, {2 * len(rows):,} policies: bound violated {violated} times, {infinite} infinite; "
        f"{time.perf_counter() - began:.0f} s ({time.process_time() - busy:.0f} s of processor time, "
        f"load {os.getloadavg()[0]:.1f})"
    )
    if given.out:
        plot(rows, Path(given.out))


def triples(name: str, world: Any, seed: int) -> list[dict[str, Any]]:
    """Returns a row for each prior and each size of data from random play in one world."""
    episodes = []
    total = 0
    while total < max(SIZES):
        part = rollout("random", world, episodes=200, seed=1_000 * seed + len(episodes))
        episodes.extend(part)
        total += sum(len(episode) for episode in part)
    rows = []
    for prior in PRIORS:
        model = make_model("tabular", world, concentration=prior)
        used, steps = 0, 0
        for size in SIZES:
            first = used
            while steps < size and used < len(episodes):
                steps += len(episodes[used])
                used += 1
            if used > first:
                fit_model(model, episodes[first:used])
                rows.append({"family": name.split()[0], "model": prior, "size": steps, **row(model, world)})
    return rows


def row(model: Any, world: Any) -> dict[str, Any]:
    """Returns excess bits, regret, and how the bound holds for two policies."""
    exact, own = exact_bits(model, world), exact_bits(model, world, "random")
    lost = regret(model, world, GAMMA)
    legal = world.dynamics().legal
    uniform = legal / np.maximum(legal.sum(axis=1, keepdims=True), 1)
    violated = infinite = 0
    tightest = 0.0
    for policy in (lost.policy, uniform):
        gap = value_gap(model, world, policy, GAMMA)
        infinite += not np.isfinite(gap.bound)
        difference = abs(gap.value - gap.model_value)
        violated += difference > gap.bound + 1e-9
        tightest = max(tightest, difference / gap.bound if 0 < gap.bound < np.inf else 0.0)
    share = lost.regret / lost.optimum if lost.optimum > 0 else lost.regret
    return {
        "excess": exact.excess, "own": own.excess, "regret": max(share, 0.0), "violated": violated,
        "infinite": infinite, "tightest": tightest,
    }  # fmt: skip


def families(rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Returns the rows of each family of worlds."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for one in rows:
        found[one["family"]].append(one)
    return found


def spearman(x: list[float], y: list[float]) -> float:
    """Returns the correlation of ranks, equal values sharing their mean rank."""
    from scipy.stats import spearmanr

    if np.ptp(np.round(y, 9)) == 0:  # all alike: nothing to rank
        return float("nan")
    return float(spearmanr(np.round(x, 9), np.round(y, 9)).statistic)


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """Draws regret against excess bits, a panel for each family, coloured by the size of data."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    groups = families(rows)
    figure, axes = pyplot.subplots(1, len(groups), figsize=(3.2 * len(groups), 3.4), sharey=True, squeeze=False)
    for axis, (family, group) in zip(axes[0], groups.items(), strict=True):
        sizes = np.log10([one["size"] for one in group])
        dots = axis.scatter(
            [one["excess"] for one in group], [one["regret"] + 1e-6 for one in group], c=sizes, s=9, vmin=1, vmax=4.5
        )
        rank = spearman([one["excess"] for one in group], [one["regret"] for one in group])
        axis.set(xscale="log", yscale="log", title=f"{family}: ρ = {rank:.2f}", xlabel="excess bits a step")
    axes[0][0].set_ylabel("regret, share of the optimum (+1e-6)")
    figure.colorbar(dots, ax=axes[0].tolist(), label="log₁₀ steps of data")
    figure.savefig(path, dpi=110, bbox_inches="tight")


if __name__ == "__main__":
    main()
