"""Measures planners of action sequences on the known law: `python benchmarks/control_planning.py [--quick]`.

Returns of the agents with their presets, and the processor time of a decision on one core. The pendulum's optimum is
computed here, apart from the project: dynamic programming over a grid of angles and velocities, 200 stages, bilinear
interpolation, and then the greedy policy played from the same starts. What it earns is a lower bound on the optimum;
how much it changes from one grid to the next finer one tells its error.
"""

from __future__ import annotations

import argparse
import os
import time

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numba  # noqa: E402
import numpy as np  # noqa: E402

from inscape import make_agent, make_world, resolve_task  # noqa: E402
from inscape.agents.rollout import rollout  # noqa: E402

AGENTS = ("icem", "cem", "mppi", "random-shooting")
STAGES = 200


@numba.njit(cache=False)
def _value_at(values, theta, speed):
    """Returns the value bilinearly interpolated at an angle (any number of turns) and a velocity within ± 8."""
    n, m = values.shape
    x = theta / (2.0 * np.pi)
    x = (x - np.floor(x)) * n
    y = (speed + 8.0) / 16.0 * (m - 1)
    i, j = min(int(x), n - 1), min(int(y), m - 2)
    a, b, k = x - i, y - j, (i + 1) % n
    return (1 - a) * ((1 - b) * values[i, j] + b * values[i, j + 1]) + a * (
        (1 - b) * values[k, j] + b * values[k, j + 1]
    )


@numba.njit(cache=False)
def _best(values, theta, speed, torques):
    """Returns (value, torque, next angle, next velocity, reward) of the best torque with `values` of the next stage."""
    angle = theta - 2.0 * np.pi * np.floor((theta + np.pi) / (2.0 * np.pi))
    found = (-1e30, 0.0, 0.0, 0.0, 0.0)
    for k in range(torques):
        u = -2.0 + 4.0 * k / (torques - 1)
        following = min(max(speed + (15.0 * np.sin(theta) + 3.0 * u) * 0.05, -8.0), 8.0)
        turned = theta + following * 0.05
        reward = -(angle * angle + 0.1 * speed * speed + 0.001 * u * u)
        total = reward + _value_at(values, turned, following)
        if total > found[0]:
            found = (total, u, turned, following, reward)
    return found


@numba.njit(cache=False)
def _backup(values, out, torques):
    n, m = values.shape
    for i in range(n):
        for j in range(m):
            out[i, j] = _best(values, 2.0 * np.pi * i / n, -8.0 + 16.0 * j / (m - 1), torques)[0]


@numba.njit(cache=False)
def _play(values, theta, speed, torques):
    """Returns what the greedy policy earns from a start; `values[k]` with k stages to go."""
    total = 0.0
    for t in range(values.shape[0] - 1):
        _, _, theta, speed, reward = _best(values[values.shape[0] - 2 - t], theta, speed, torques)
        total += reward
    return total


def pendulum_optimum(points: int, starts: np.ndarray, torques: int = 41) -> tuple[float, float]:
    """Returns the means over `[B, 2]` starts of (what the greedy policy of the grid earns, the grid's own value)."""
    values = np.zeros((STAGES + 1, points, points + 1), np.float32)
    for k in range(STAGES):
        _backup(values[k], values[k + 1], torques)
    played = [_play(values, theta, speed, 201) for theta, speed in starts]
    expected = [_value_at(values[STAGES], theta, speed) for theta, speed in starts]
    return float(np.mean(played)), float(np.mean(expected))


def returns(agent: str, world: str, episodes: int, seed: int = 0, **settings: object) -> np.ndarray:
    """Returns what an agent with its preset earns in each of these episodes."""
    task = resolve_task(world)
    return np.array(
        [
            e.total_reward
            for e in rollout(make_agent(agent, task, seed, settings=settings or None), task, episodes, seed=seed)
        ]
    )


def milliseconds(agent: str, world: str, decisions: int = 60) -> float:
    """Returns the median processor time of a decision for one copy, warm."""
    task = resolve_task(world)
    planner, rng = make_agent(agent, task), np.random.default_rng(0)
    made = make_world(world)
    states, memory = made.sample_initial(1, rng), planner.initial_memory(1)
    times = []
    for _ in range(decisions):
        observation, began = made.observe(states), time.process_time()
        actions, memory = planner.act_with_memory(observation, memory, np.zeros(1))
        times.append(time.process_time() - began)
        states, _, ended = made.step(states, actions, rng)
        if ended[0]:
            states, memory = made.sample_initial(1, rng), planner.initial_memory(1)
    return 1e3 * float(np.median(times[5:]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the episodes, coarse grids")
    parser.add_argument("--agents", default=",".join(AGENTS))
    parser.add_argument(
        "--worlds", default="CartPole,Pendulum,CartPoleSwingUp,MountainCarContinuous,MountainCar,Acrobot"
    )
    parser.add_argument("--episodes", type=int, help="in place of the usual number")
    parser.add_argument("--seed", type=int, default=0, help="of the starts and of the plans")
    given = parser.parse_args()
    episodes = {"CartPole": 100, "Pendulum": 200, "CartPoleSwingUp": 20}
    print(f"load {os.getloadavg()[0]:.1f}")
    for world in given.worlds.split(","):
        count = given.episodes or max(2, episodes.get(world, 20) // (10 if given.quick else 1))
        for agent in given.agents.split(","):
            earned = returns(agent, world, count, given.seed)
            spread = f"{earned.min():.1f} to {earned.max():.1f}"
            print(f"{world}, {agent}: mean {earned.mean():.2f}, {spread}, {count} episodes; "
                  f"{milliseconds(agent, world):.2f} ms a decision", flush=True)  # fmt: skip
        if world == "Pendulum":
            task = resolve_task(world)
            played = rollout(
                make_agent("random", task), task, count, seed=given.seed
            )  # the starts are those of any agent
            starts = np.array([made[:, 0] for made in (e.states.floats for e in played)])
            for points in (100, 200) if given.quick else (100, 200, 400):
                began = time.perf_counter()
                greedy, value = pendulum_optimum(points, starts)
                print(f"Pendulum, dynamic programming, {points} x {points + 1}: greedy policy {greedy:.2f}, value "
                      f"{value:.2f}, {time.perf_counter() - began:.0f} s", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
