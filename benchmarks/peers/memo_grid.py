"""memo's observer of a 21×21 grid with two goals: prints its posteriors and its times, as JSON.

Run by `benchmarks/observer_speed.py --memo PYTHON`, with the Python (3.12 or later) of an environment that has
`memo-lang` installed. Both agents plan without discount; the observer takes them to choose by exp(2·Q). What is
compiled in first calls is not counted. The command line: how many sweeps each agent plans for.
"""

# ruff: noqa: F821  (memo reads the text of its functions, in which names are those of agents)
from __future__ import annotations

import json
import sys
import time
from functools import cache

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
from memo import memo  # noqa: E402

SIDE, REPEATS = 21, 3
States = jnp.arange(SIDE * SIDE)
Actions = jnp.arange(4)
Goals = jnp.array([0, SIDE * SIDE - 1])
RIGHT, DOWN = jnp.array([-1, 1, 0, 0]), jnp.array([0, 0, -1, 1])


@jax.jit
def leads_to(state, action, following):
    x = jnp.clip(state % SIDE + RIGHT[action], 0, SIDE - 1)
    y = jnp.clip(state // SIDE + DOWN[action], 0, SIDE - 1)
    return 1.0 * (y * SIDE + x == following)


@jax.jit
def reward(following, goal):
    return jnp.where(following == goal, 0.9, -0.1)


@jax.jit
def over(state, goal):
    return state == goal


@cache
@memo
def plan[state: States, action: Actions, goal: Goals](sweeps):  # fmt: skip
    agent: knows(state, action, goal)
    agent: given(following in States, wpp=leads_to(state, action, following))
    agent: chooses(then in Actions, to_maximize=0.0 if sweeps < 1 else plan[following, then, goal](sweeps - 1))
    return E[
        0.0
        if over(state, goal)
        else reward(agent.following, goal)
        + (0.0 if sweeps < 1 else plan[agent.following, agent.then, goal](sweeps - 1))
    ]


@memo
def infer[state: States, action: Actions, goal: Goals](sweeps):  # fmt: skip
    observer: knows(state, action, goal)
    observer: thinks[
        agent : chooses(goal in Goals, wpp=1),
        agent : knows(state),
        agent : chooses(action in Actions, wpp=exp(2 * plan[state, action, goal](sweeps))),
    ]
    observer: observes[agent.action] is action
    return observer[E[agent.goal == goal]]


def main():
    sweeps = int(sys.argv[1])
    plan(3)
    infer(3).block_until_ready()
    planning, inferring = [], []
    for _ in range(REPEATS):
        plan.cache_clear()
        began = time.process_time()
        plan(sweeps).block_until_ready()
        planning.append(time.process_time() - began)
        infer(sweeps).block_until_ready()
        began = time.process_time()
        found = infer(sweeps).block_until_ready()
        inferring.append(time.process_time() - began)
    result = {"planning": min(planning), "inferring": min(inferring), "posterior": np.asarray(found).tolist()}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
