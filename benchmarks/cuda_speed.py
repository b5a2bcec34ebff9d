"""Steps per second on a CUDA card: one launch per step, replayed in a CUDA graph; and random play in one kernel.

python benchmarks/cuda_speed.py [--seconds 1.0] [--repeats 5]

CartPole is given prepared actions and writes observations, rewards and flags at every step, with same-step resets.
ConnectFour chooses uniformly among the legal columns, inside the kernel. Times are between CUDA events, with the card
warm. Without a card every row reads "not measured".
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from typing import Any

import torch

from inscape.envs.compile.cuda import has_card
from inscape.envs.registry import make_world

CHUNK = 64  # steps in a graph
CART_POLE = (4096, 65_536, 1_048_576)
CONNECT_FOUR = (65_536, 1_048_576)
BARS = {("CartPole", 4096): 1.5, ("CartPole", 1_048_576): 10.0, ("ConnectFour", 1_048_576): 3.0}
"""Billion steps per second asked of one H100."""
WAYS: dict[str, dict[str, Any]] = {
    "exact": {"arithmetic": "exact"},
    "fast": {"arithmetic": "fast"},
    "fast, float32 states": {"arithmetic": "fast", "dtype": torch.float32},
}


def rates(call: Callable[[], int], seconds: float, repeats: int) -> list[float]:
    """Returns steps per second of `repeats` runs of at least `seconds` each; `call` returns how many steps it took."""
    for _ in range(3):
        call()
    torch.cuda.synchronize()
    found = []
    calls = 1
    while len(found) < repeats:
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        steps = sum(call() for _ in range(calls))
        end.record()
        end.synchronize()
        elapsed = start.elapsed_time(end) / 1e3
        if elapsed < seconds:
            calls *= 2
        else:
            found.append(steps / elapsed)
    return found


def prepared(name: str, copies: int, graph: bool, way: dict[str, Any]) -> Callable[[], int]:
    """Returns a function that steps `CHUNK` times with prepared actions, replayed as a graph or launched one by one."""
    world = make_world(name)
    env: Any = world.vector_env(copies, "same-step", device="cuda", **way)
    env.reset(seed=0)
    actions = torch.randint(world.num_actions, (CHUNK, copies), device=env.device)

    def launch() -> int:
        for row in actions:
            env.step(row)
        return CHUNK * copies

    if not graph:
        return launch
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        env.step(actions[0])
    torch.cuda.current_stream().wait_stream(side)
    captured = torch.cuda.CUDAGraph()
    with torch.cuda.graph(captured):
        launch()

    def replay() -> int:
        captured.replay()  # reads and writes the memory of `actions` and `env`, which must live as long
        return len(actions) * env.num_envs

    return replay


def played(name: str, copies: int, way: dict[str, Any]) -> Callable[[], int]:
    """Returns a function that plays 64 random steps of every copy."""
    env: Any = make_world(name).vector_env(copies, "same-step", device="cuda", **way)
    return lambda: env.play(CHUNK).steps


def rows() -> list[tuple[str, int, str, Callable[[], Callable[[], int]]]]:
    """Returns (world, copies, way, what makes the function to be timed)."""
    found: list[tuple[str, int, str, Callable[[], Callable[[], int]]]] = []
    for copies in CART_POLE:
        for way, options in WAYS.items():
            found.append(
                ("CartPole", copies, f"graph, {way}", lambda c=copies, o=options: prepared("CartPole", c, True, o))
            )
    found.append(("CartPole", 4096, "launches, fast", lambda: prepared("CartPole", 4096, False, WAYS["fast"])))
    for copies in CONNECT_FOUR:
        found.append(("ConnectFour", copies, "random play", lambda c=copies: played("ConnectFour", c, WAYS["exact"])))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    card = has_card()
    print(f"{torch.cuda.get_device_name() if card else 'no CUDA device'}; 10⁹ steps/s: median (best)")
    print(f"{'world':12s} {'copies':>9s}  {'how':26s} {'speed':>18s} {'bar':>6s}")
    for world, copies, way, make in rows():
        bar = None if "launches" in way else BARS.get((world, copies))
        shown = "not measured"
        if card:
            found = rates(make(), options.seconds, options.repeats)
            shown = f"{statistics.median(found) / 1e9:.2f} ({max(found) / 1e9:.2f})"
        print(f"{world:12s} {copies:9,d}  {way:26s} {shown:>18s} {bar if bar else '':>6}", flush=True)


if __name__ == "__main__":
    main()
