"""How long it takes to draw and store an episode of 500 frames: `python benchmarks/video_speed.py`.

Each row replays the same recorded states (random actions, episode after episode) with
`inscape.experiments.viewing.watch`, from scenes to the finished file. Times are seconds: best and median of several,
and processor time (of all threads), which other work on the machine disturbs less.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from inscape.agents.registry import make_agent
from inscape.agents.rollout import rollout
from inscape.envs.data.trajectory import Trajectory
from inscape.envs.law.states import States
from inscape.envs.rendering.rasterizer import pixel_size, render_scene
from inscape.envs.tasks.resolve import resolve_task
from inscape.envs.world import World
from inscape.experiments.viewing.watch import replay

FRAMES = 500


def recorded(world: str) -> Trajectory:
    """Returns 500 states of random play as one trajectory."""
    task = resolve_task(world)
    agent = make_agent("random", task)
    episodes: list[Trajectory] = []
    while sum(map(len, episodes)) < FRAMES:
        episodes += rollout(agent, task, 8, seed=len(episodes))
    steps = FRAMES - 1
    observations, actions, rewards = (
        np.concatenate([part(episode) for episode in episodes])[: steps + extra]
        for part, extra in ((lambda e: e.observations, 1), (lambda e: e.actions, 0), (lambda e: e.rewards, 0))
    )
    states = States.concatenate([e.states for e in episodes if e.states is not None])[np.arange(FRAMES)]
    return Trajectory(observations, actions, rewards, False, True, states, task=task.to_json(), agent="random")


def seconds(call: Callable[[], object], repeats: int) -> str:
    """Returns best and median seconds of a call, and the median of what all its threads took of the processor."""
    took, busy = [], []
    for _ in range(repeats):
        start, cpu = time.perf_counter(), time.process_time()
        call()
        took.append(time.perf_counter() - start)
        busy.append(time.process_time() - cpu)
    return f"{min(took):8.2f} {statistics.median(took):9.2f} {statistics.median(busy):9.2f}"


def draw(world: World, states: States, size: tuple[int, int]) -> None:
    for t in range(len(states)):
        render_scene(world.scene(states, t), *size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("worlds", nargs="*", default=["CartPole", "FrozenLake"])
    given = parser.parse_args()
    print(f"{'500 frames':32s} {'best s':>8s} {'median s':>9s} {'CPU s':>9s} {'file':>10s}")
    with tempfile.TemporaryDirectory() as place:
        for name in given.worlds:
            trajectory, world = recorded(name), resolve_task(name).world
            assert world is not None
            assert trajectory.states is not None
            for size in (480, 960):
                shape = pixel_size(world.scene(trajectory.states), size)
                took = seconds(partial(draw, world, trajectory.states, shape), given.repeats)
                print(f"{name}, {size} px, drawing alone".ljust(32), took)
                for kind in ("mp4", "gif"):
                    file = Path(place) / f"{name}.{kind}"
                    took = seconds(partial(replay, [trajectory], file, size=size), given.repeats)
                    print(f"{name}, {size} px, {kind}".ljust(32), took, f"{file.stat().st_size / 1024:7.0f} kB")


if __name__ == "__main__":
    main()
