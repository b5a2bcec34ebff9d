"""Spread's speed beside MPE's (mpe2) and JaxMARL's, in one run: environment steps per second, three agents each.

python benchmarks/spread_speed.py [--jaxmarl PYTHON] [--seconds 2] [--repeats 3]

mpe2 comes with the extra `bench`. JaxMARL is measured with the interpreter named by `--jaxmarl`, one in whose
environment `pip install jaxmarl` was run; without it, it is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess

import numba
import numpy as np
from timing import Measured, print_table, rate

import inscape

AGENTS = 3

# Runs in JaxMARL's environment: random actions, copies stepped under vmap inside a jitted scan, no reset but their own.
JAXMARL = """
import json, sys, time
import jax, jaxmarl
seconds, repeats = float(sys.argv[1]), int(sys.argv[2])
env = jaxmarl.make("MPE_simple_spread_v3")
found = {}
for copies, steps in ((1024, 50), (4096, 25), (16384, 25)):
    @jax.jit
    def roll(key, state):
        def body(carry, _):
            key, state = carry
            key, act, step = jax.random.split(key, 3)
            actions = jax.random.randint(act, (len(env.agents), copies), 0, 5)
            named = {name: actions[k] for k, name in enumerate(env.agents)}
            obs, state, reward, _, _ = jax.vmap(env.step)(jax.random.split(step, copies), state, named)
            return (key, state), sum(o.sum() for o in obs.values()) + reward[env.agents[0]].sum()
        (key, state), total = jax.lax.scan(body, (key, state), None, steps)
        return key, state, total.sum()
    key = jax.random.PRNGKey(0)
    carry = (key, jax.vmap(env.reset)(jax.random.split(key, copies))[1])
    for _ in range(2):
        carry = jax.block_until_ready(roll(*carry))[:2]
    rates = []
    for _ in range(repeats):
        done, start = 0, time.perf_counter()
        while (spent := time.perf_counter() - start) < seconds:
            carry = jax.block_until_ready(roll(*carry))[:2]
            done += copies * steps
        rates.append(done / spent)
    found[copies] = rates
print(json.dumps(found))
"""


def ours(copies: int, options: argparse.Namespace, threads: int | None = None) -> Measured:
    venv = inscape.make_world("Spread").vector_env(copies, threads=threads)
    venv.reset(seed=0)
    actions = np.random.default_rng(0).integers(0, 5, (25, copies, AGENTS))
    rounds = max(1, 65536 // copies)

    def call() -> int:
        for _ in range(rounds):
            for joint in actions:
                venv.step(joint)
        return rounds * len(actions) * copies

    only = f", {threads} thread" if threads else ""
    measured = rate(f"Inscape, {copies:,} copies{only}", call, options.seconds, options.repeats)
    venv.close()
    return measured


def mpe(options: argparse.Namespace) -> Measured:
    from mpe2 import simple_spread_v3

    env = simple_spread_v3.parallel_env(N=AGENTS, max_cycles=25)
    env.reset(seed=0)
    table = np.random.default_rng(0).integers(0, 5, (512, AGENTS)).tolist()
    actions = [{f"agent_{k}": a for k, a in enumerate(row)} for row in table]

    def call() -> int:
        for joint in actions:
            env.step(joint)
            if not env.agents:
                env.reset()
        return len(actions)

    return rate("mpe2 simple_spread_v3, one copy", call, options.seconds, options.repeats)


def jaxmarl(options: argparse.Namespace) -> list[Measured]:
    done = subprocess.run(
        [options.jaxmarl, "-c", JAXMARL, str(options.seconds), str(options.repeats)],
        check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    found = json.loads(done.stdout.splitlines()[-1])
    return [Measured(f"JaxMARL MPE_simple_spread_v3, {int(n):,} copies", tuple(r)) for n, r in found.items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jaxmarl", metavar="PYTHON", help="interpreter of an environment with JaxMARL")
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    print(
        f"inscape {inscape.__version__}, numba {numba.__version__}, Python {platform.python_version()}, "
        f"{os.cpu_count()} cores"
    )
    rows = [ours(copies, options) for copies in (4096, 16384, 65536)]
    rows.append(ours(16384, options, threads=1))
    rows.append(mpe(options))
    print_table("Spread: three agents, three landmarks, random actions", rows, "env-steps/s", rows[-1].name)
    if options.jaxmarl:
        peers = jaxmarl(options)
        best = max(peers, key=lambda row: row.median)
        print_table("beside the fastest of JaxMARL's", [*rows, *peers], "env-steps/s", best.name)


if __name__ == "__main__":
    main()
