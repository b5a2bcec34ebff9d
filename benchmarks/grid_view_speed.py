"""8×8 grids with MiniGrid's 7×7 partial view, steps per second: ours beside MiniGrid and Navix, in one run.

python benchmarks/grid_view_speed.py [--navix PYTHON] [--seconds 2] [--repeats 3]

MiniGrid comes with the extra `bench`. Navix wants an environment of its own: `python -m venv V && V/bin/pip install
navix`, then `--navix V/bin/python`.

Navix's environments reset themselves and run in a compiled loop of 25 steps, actions drawn inside it. Its default
observation is the whole grid; `first person` is its 7 × 7 view, without MiniGrid's line of sight. Ours is MiniGrid's
image, entry for entry; `masked` where walls hide what lies behind them (MiniGrid's Empty shows its whole view).
"""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Callable
from functools import partial
from typing import Any

from timing import Measured, print_table, rate

COPIES, UNROLLED = 4096, 25


def single(env_id: str, options: argparse.Namespace) -> Measured:
    """One environment of `gym.make`, checker off, random actions."""
    import gymnasium as gym
    import numpy as np

    env = gym.make(env_id, disable_env_checker=True)
    actions = [int(a) for a in np.random.default_rng(0).integers(0, 7, 4096)]
    env.reset(seed=0)

    def call() -> int:
        for action in actions:
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()
        return len(actions)

    return rate(env_id, call, options.seconds, options.repeats)


def batched(name: str, world: Any, threads: int, options: argparse.Namespace) -> Measured:
    """A vector environment of ours, prepared actions."""
    import numpy as np

    env = world.vector_env(COPIES, threads=threads)
    env.reset(seed=0)
    actions = np.random.default_rng(0).integers(0, 7, (64, COPIES))

    def call() -> int:
        for row in actions:
            env.step(row)
        return actions.size

    return rate(f"Inscape {name}, {threads} thread{'s' * (threads > 1)}", call, options.seconds, options.repeats)


def navix_rows(options: argparse.Namespace) -> list[Measured]:
    """Runs under the Python that has Navix."""
    import jax
    import navix as nx

    def measured(name: str, env_id: str, **settings: Any) -> Measured:
        env = nx.make(env_id, **settings)

        @jax.jit
        def several_steps(key: Any, timesteps: Any) -> Any:
            def body(carry: Any, _: None) -> Any:
                key, timesteps = carry
                key, own = jax.random.split(key)
                timesteps = jax.vmap(env.step)(timesteps, jax.random.randint(own, (COPIES,), 0, 7))
                return (key, timesteps), timesteps.reward.sum() + timesteps.observation.sum()

            (key, timesteps), kept = jax.lax.scan(body, (key, timesteps), None, UNROLLED)
            return key, timesteps, kept

        key = jax.random.PRNGKey(0)
        state = [key, jax.jit(jax.vmap(env.reset))(jax.random.split(key, COPIES))]

        def call() -> int:
            state[:] = jax.block_until_ready(several_steps(*state))[:2]
            return COPIES * UNROLLED

        return rate(name, call, options.seconds, options.repeats)

    first_person = nx.observations.symbolic_first_person
    return [
        measured("Navix Empty", "Navix-Empty-8x8-v0"),
        measured("Navix Empty, first person", "Navix-Empty-8x8-v0", observation_fn=first_person),
        measured("Navix DoorKey, first person", "Navix-DoorKey-8x8-v0", observation_fn=first_person),
    ]


def from_navix(options: argparse.Namespace) -> list[Measured]:
    """Returns Navix's rows, measured by this file under another Python."""
    command = [options.navix, __file__, "--in-navix", "--seconds", str(options.seconds), "--repeats",
               str(options.repeats)]  # fmt: skip
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
    return [Measured(name, tuple(rates)) for name, rates in json.loads(told)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--navix", help="a Python that has Navix")
    parser.add_argument("--in-navix", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    if options.in_navix:
        print(json.dumps([(row.name, row.rates) for row in navix_rows(options)]))
        return

    import minigrid  # noqa: F401  registers its ids

    import inscape  # noqa: F401  registers ours
    from inscape.envs.worlds.gridworld.door_key import DoorKey
    from inscape.envs.worlds.gridworld.empty_room import EmptyRoom

    for theirs, ours in (
        ("MiniGrid-Empty-8x8-v0", "inscape/EmptyRoom-v0"),
        ("MiniGrid-DoorKey-8x8-v0", "inscape/DoorKey-v0"),
    ):
        rows = [single(theirs, options), single(ours, options)]
        print_table("One environment, checker off", rows, "steps/s", theirs)

    kinds: list[tuple[str, Callable[[], Any]]] = [
        ("EmptyRoom, masked", partial(EmptyRoom, see_through_walls=False)),
        ("EmptyRoom", EmptyRoom),
        ("DoorKey, masked", DoorKey),
    ]
    rows = from_navix(options) if options.navix else []
    rows += [batched(name, make(), threads, options) for name, make in kinds for threads in (1, 2)]
    print_table(f"{COPIES:,} copies", rows, "steps/s", rows[0].name if options.navix else None)


if __name__ == "__main__":
    main()
